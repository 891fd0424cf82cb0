package spec_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"switchhook/spec"
	"switchhook/spec/document"
)

// derived makes the schemas of a folder's files from that of the single file. In the published
// format other keys are allowed, so these do not forbid any.
func derived(t *testing.T) map[string][]byte {
	t.Helper()
	parse := func() map[string]any {
		var root map[string]any
		if err := json.Unmarshal(spec.JSONSchema("connector-file"), &root); err != nil {
			t.Fatal(err)
		}
		defs := root["$defs"].(map[string]any)
		for _, name := range []string{"globalWebhook", "webhookFunctions", "event", "eventFunctions", "functionDeclaration"} {
			delete(defs[name].(map[string]any), "additionalProperties")
		}
		// There the absence of verify is a warning.
		defs["inlineGlobalWebhook"] = map[string]any{"$ref": "#/$defs/globalWebhook"}
		// Schemas are taken as far as they are understood.
		defs["jsonType"] = map[string]any{"type": "string", "examples": []string{"string", "integer", "number", "boolean", "object", "array"}}
		defs["jsonSchema"].(map[string]any)["properties"].(map[string]any)["required"] = map[string]any{
			"description": "The names of properties that must be there.", "type": []string{"array", "boolean", "null"}}
		for _, name := range []string{"minLength", "maxLength", "minimum", "maximum"} {
			delete(defs["jsonSchema"].(map[string]any)["properties"].(map[string]any), name)
		}
		// Events of other kinds are none of our concern.
		for _, name := range []string{"implementationType", "type"} {
			defs["event"].(map[string]any)["properties"].(map[string]any)[name] = map[string]any{
				"description": "How events reach subscriptions. Those of other kinds are not served.", "type": []string{"string", "null"}, "examples": []string{"global-webhook"}}
		}
		return root
	}
	made := map[string][]byte{}
	encode := func(name, title string, root map[string]any) {
		root["title"] = title
		used := map[string]any{}
		keepUsed(root, root["$defs"].(map[string]any), used, true)
		root["$defs"] = used
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(root); err != nil {
			t.Fatal(err)
		}
		made[name] = b.Bytes()
	}
	root := parse()
	delete(root, "additionalProperties")
	delete(root, "patternProperties")
	delete(root["properties"].(map[string]any), "configuration")
	delete(root["properties"].(map[string]any), "fixtures")
	encode("connector", "Switchhook connector: spec.yml", root)
	for name, def := range map[string]string{"global-webhook": "globalWebhook", "event": "event"} {
		root := parse()
		one := root["$defs"].(map[string]any)[def].(map[string]any)
		delete(one, "patternProperties")
		one["$schema"], one["$defs"] = root["$schema"], root["$defs"]
		if def == "event" { // of an event of another kind nothing is known
			one = map[string]any{"$schema": root["$schema"], "$defs": root["$defs"], "description": one["description"], "type": "object",
				"if":   map[string]any{"anyOf": []any{otherKind("implementationType"), otherKind("type")}},
				"else": map[string]any{"$ref": "#/$defs/event"}}
			delete(root["$defs"].(map[string]any)["event"].(map[string]any), "$defs")
		} else {
			delete(root["$defs"].(map[string]any), def)
		}
		encode(name, "Switchhook "+strings.ReplaceAll(name, "-", " ")+": spec.yml", one)
	}
	return made
}

func otherKind(key string) map[string]any {
	return map[string]any{"required": []string{key}, "properties": map[string]any{key: map[string]any{"not": map[string]any{"enum": []any{"global-webhook", nil}}}}}
}

// keepUsed copies the definitions that v refers to.
func keepUsed(v any, defs, used map[string]any, top bool) {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			if ref, ok := inner.(string); ok && key == "$ref" {
				name := strings.TrimPrefix(ref, "#/$defs/")
				if _, have := used[name]; !have {
					used[name] = defs[name]
					keepUsed(defs[name], defs, used, false)
				}
			}
			if !top || key != "$defs" {
				keepUsed(inner, defs, used, false)
			}
		}
	case []any:
		for _, inner := range v {
			keepUsed(inner, defs, used, false)
		}
	}
}

func TestDerivedSchemas(t *testing.T) {
	for name, want := range derived(t) {
		if *update {
			if err := os.WriteFile("schema/"+name+".schema.json", want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if !bytes.Equal(spec.JSONSchema(name), want) {
			t.Errorf("schema/%s.schema.json is stale; run with -update", name)
		}
	}
	if spec.JSONSchema("nothing") != nil {
		t.Error("a schema of nothing")
	}
}

// compiled returns one of the schemas, ready to validate.
func compiled(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(spec.JSONSchema(name)))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema:///"+name, value); err != nil {
		t.Fatal(err)
	}
	s, err := compiler.Compile("schema:///" + name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return s
}

// schemaOf is the name of the schema for a file of a connector, "" for none.
func schemaOf(path string) string {
	parts := strings.Split(filepath.ToSlash(path), "/")
	slices.Reverse(parts)
	isSpec := parts[0] == "spec.yml" || parts[0] == "spec.yaml"
	switch {
	case isSpec && len(parts) > 2 && parts[2] == "global-webhooks":
		return "global-webhook"
	case isSpec && len(parts) > 2 && parts[2] == "events":
		return "event"
	case isSpec && len(parts) == 2:
		return "connector"
	case len(parts) == 1 && slices.Contains([]string{".yml", ".yaml"}, filepath.Ext(path)):
		return "connector-file"
	}
	return ""
}

func validate(t *testing.T, schema *jsonschema.Schema, source []byte) error {
	t.Helper()
	doc, _ := document.Parse("f", source)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc.Root.JSON()))
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(value)
}

// What Load takes the schemas take, and what is wrong with a file by itself they find.
func TestSchemasAgreeWithLoad(t *testing.T) {
	schemas := map[string]*jsonschema.Schema{}
	for _, name := range []string{"connector", "global-webhook", "event", "connector-file"} {
		schemas[name] = compiled(t, name)
	}
	good, err := filepath.Glob("testdata/good/*")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	check := func(root, path string) {
		rel, _ := filepath.Rel(root, path)
		name := schemaOf(rel)
		if name == "" || strings.Contains(path, "/_") {
			return
		}
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		count++
		if err := validate(t, schemas[name], source); err != nil {
			t.Errorf("%s is taken by Load, and not by the schema %s: %v", path, name, err)
		}
	}
	for _, path := range good {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if !info.IsDir() {
			check(filepath.Dir(path), path)
			continue
		}
		// One level up in the folder form, so that spec.yml has a parent.
		_ = filepath.WalkDir(path, func(name string, entry os.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				check(filepath.Dir(path), name)
			}
			return err
		})
	}
	if count < 9 {
		t.Errorf("only %d files seen", count)
	}

	// Errors that can be seen in the file alone.
	visible := []string{"unknown-key", "wrong-type", "missing-key", "no-verification", "missing-value"}
	archives, _ := filepath.Glob("testdata/broken/*.txtar")
	for _, file := range archives {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := string(archive.Files[len(archive.Files)-1].Data)
		for _, f := range archive.Files {
			name := schemaOf(f.Name)
			if name == "" || f.Name == "want" {
				continue
			}
			var seen, found bool
			for line := range strings.Lines(want) {
				if !strings.HasPrefix(line, f.Name+":") || !strings.Contains(line, ": error[") {
					continue
				}
				found = true
				for _, code := range visible {
					seen = seen || strings.Contains(line, "error["+code+"]")
				}
			}
			doc, list := document.Parse(f.Name, f.Data)
			if list.HasErrors() || doc.Root.Kind != document.Map {
				continue
			}
			err := validate(t, schemas[name], f.Data)
			if seen && err == nil {
				t.Errorf("%s: %s has mistakes that the schema %s does not find", file, f.Name, name)
			}
			if !found && err != nil {
				t.Errorf("%s: %s is taken by Load, and not by the schema %s: %v", file, f.Name, name, err)
			}
		}
	}
}

// Every property says what it is for, since editors show that.
func TestSchemasDescribe(t *testing.T) {
	var root struct {
		Properties map[string]map[string]any
		Defs       map[string]struct {
			Properties map[string]map[string]any
		} `json:"$defs"`
	}
	if err := json.Unmarshal(spec.JSONSchema("connector-file"), &root); err != nil {
		t.Fatal(err)
	}
	described := func(where string, properties map[string]map[string]any) {
		for name, p := range properties {
			if _, refers := p["$ref"]; p["description"] == nil && !refers {
				t.Errorf("%s.%s has no description", where, name)
			}
		}
	}
	described("connector", root.Properties)
	for _, def := range []string{"globalWebhook", "event", "functionDeclaration", "verifyScheme"} {
		described(def, root.Defs[def].Properties)
	}
}
