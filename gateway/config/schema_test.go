package config

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"switchhook/spec"
	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

type object = map[string]any

func schema(t *testing.T) (parsed object, compiled *jsonschema.Schema) {
	t.Helper()
	loaded, err := jsonschema.UnmarshalJSON(bytes.NewReader(spec.JSONSchema("config")))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("config.schema.json", loaded); err != nil {
		t.Fatal(err)
	}
	compiled, err = compiler.Compile("config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return loaded.(object), compiled
}

// keys are the keys of a struct that is decoded, with those of structs within.
func keys(prefix string, v reflect.Type) []string {
	var all []string
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Field(i).Tag.Get("yaml"), ",")
		if name == "" {
			continue
		}
		all = append(all, prefix+name)
		if field := v.Field(i).Type; field.Kind() == reflect.Struct && !reflect.PointerTo(field).Implements(decoderType) {
			all = append(all, keys(prefix+name+".", field)...)
		}
	}
	return slices.Sorted(slices.Values(all))
}

// properties are the keys that a schema knows, with those of objects within.
func properties(prefix string, schema object) []string {
	var all []string
	known, _ := schema["properties"].(object)
	for name, value := range known {
		all = append(all, prefix+name)
		if within, ok := value.(object); ok && prefix+name != "workspaces" {
			all = append(all, properties(prefix+name+".", within)...)
		}
	}
	return slices.Sorted(slices.Values(all))
}

func TestSchemaHasTheKeys(t *testing.T) {
	t.Parallel()
	root, _ := schema(t)
	defs := root["$defs"].(object)
	compare := func(name string, want, got []string) {
		t.Helper()
		if diff := cmp.Diff(slices.Sorted(slices.Values(want)), got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	compare("settings", keys("", reflect.TypeFor[settings]()), properties("", root))
	workspace := root["properties"].(object)["workspaces"].(object)["additionalProperties"].(object)
	compare("workspace", keys("", reflect.TypeFor[workspaceKeys]()), properties("", workspace))
	compare("integration", keys("", reflect.TypeFor[integrationKeys]()), properties("", defs["integration"].(object)))
	compare("subscription", keys("", reflect.TypeFor[subscriptionKeys]()), properties("", defs["subscription"].(object)))
	compare("retry", keys("", reflect.TypeFor[retryKeys]()), properties("", defs["retry"].(object)))
	all := []string{"type", "retry"}
	for name, own := range destinationKeys {
		compare(name, append([]string{"type", "retry"}, own...), properties("", defs["destination-"+name].(object)))
		all = append(all, own...)
	}
	slices.Sort(all)
	compare("destinations", slices.Compact(all), keys("", reflect.TypeFor[fields]()))
}

func TestSchemaHasTheDefaults(t *testing.T) {
	t.Parallel()
	root, _ := schema(t)
	all := defaults()
	for _, s := range list("", reflect.ValueOf(&all).Elem()) {
		at := root
		for name := range strings.SplitSeq(s.path, ".") {
			at = at["properties"].(object)[name].(object)
		}
		value, has := at["default"]
		if !has {
			if !s.value.IsZero() {
				t.Errorf("%s: no default", s.path)
			}
			continue
		}
		encoded, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		doc, _ := document.Parse("default", encoded)
		decoded := reflect.New(s.value.Type())
		doc.Root.Decode(decoded.Interface())
		want, got := s.value.Interface(), decoded.Elem().Interface()
		if s.path == "connectors" || s.path == "data" {
			got = strings.TrimPrefix(got.(string), "./")
		}
		if want != got {
			t.Errorf("%s: default is %v, in the schema %v", s.path, want, got)
		}
	}
}

func TestSchemaAgreesWithLoad(t *testing.T) {
	t.Parallel()
	_, compiled := schema(t)
	files, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatal(files, err)
	}
	env := func(name string) (string, bool) { return "0123456789abcdef", name == "URL_KEY" || name == "WORD" }
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		doc, list := document.ParseExpandable(file, source)
		if list.HasErrors() {
			continue
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc.Root.JSON()))
		if err != nil {
			t.Fatal(err)
		}
		invalid := compiled.Validate(value)
		_, list = Load(file, Options{Env: env})
		// The schema does not see values that are expanded, and leaves ranges to Load.
		structural := slices.ContainsFunc(list, func(d diagnostic.Diagnostic) bool {
			return slices.Contains([]string{"unknown-key", "wrong-type", "bad-name", "bad-size"}, d.Code) && !strings.Contains(file, "expansion")
		})
		switch {
		case !list.HasErrors() && invalid != nil:
			t.Errorf("%s loads, but the schema says %v", file, invalid)
		case structural && invalid == nil:
			t.Errorf("%s does not load, but is valid by the schema: %v", file, list)
		}
	}
}

func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/*.yaml")
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(source)
	}
	env := func(name string) (string, bool) { return "1", name == "A" }
	f.Fuzz(func(t *testing.T, source []byte) {
		c, list := parse("testdata/good/fuzz.yaml", source, Options{Env: env})
		if (c == nil) != list.HasErrors() {
			t.Errorf("configuration %v with findings %v", c, list)
		}
		for _, d := range list {
			if d.Message == "" || d.Code == "" {
				t.Errorf("empty finding %+v", d)
			}
		}
		if err := diagnostic.WriteText(io.Discard, list, true); err != nil {
			t.Error(err)
		}
	})
}
