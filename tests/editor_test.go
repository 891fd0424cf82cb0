package tests

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"switchhook/gateway/starter"
	"switchhook/spec"
	"switchhook/spec/document"
)

// TestYAMLFitsSchemas holds all YAML of the bundled connectors, and config.yaml, against the JSON Schemas that
// editors are given, with the validator that the gateway itself uses.
func TestYAMLFitsSchemas(t *testing.T) {
	schemas := map[string]*spec.Schema{}
	for _, name := range []string{"connector", "global-webhook", "event", "connector-file", "fixtures", "config"} {
		doc, list := document.Parse(name+".schema.json", spec.JSONSchema(name))
		if list.HasErrors() {
			t.Fatal(list)
		}
		schemas[name], list = spec.CompileSchema(doc.Root)
		if list.HasErrors() {
			t.Fatal(list)
		}
	}
	checked := map[string]int{}
	check := func(schema, path string) {
		t.Helper()
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		doc, list := document.Parse(path, content)
		if !list.HasErrors() {
			list.Add(schemas[schema].Check(doc.Root)...)
		}
		for _, d := range list {
			t.Errorf("%s: %s", d.Position(), d.Message)
		}
		checked[schema]++
	}
	root := repository(t)
	check("config", filepath.Join(root, "config.yaml"))
	connectors := filepath.Join(root, "connectors")
	err := filepath.WalkDir(connectors, func(path string, entry fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(connectors, path)
		part := strings.Split(filepath.ToSlash(rel), "/")
		if err != nil || entry.IsDir() || !slices.Contains([]string{".yml", ".yaml"}, filepath.Ext(path)) {
			return err
		}
		switch {
		case len(part) == 1:
			check("connector-file", path)
		case len(part) == 2 && part[1] == "spec.yml":
			check("connector", path)
		case len(part) == 4 && part[1] == "global-webhooks" && part[3] == "spec.yml":
			check("global-webhook", path)
		case len(part) == 4 && part[1] == "events" && part[3] == "spec.yml":
			check("event", path)
		case len(part) == 3 && part[1] == "fixtures":
			check("fixtures", path)
		case !strings.HasSuffix(part[len(part)-1], ".map.yml"):
			t.Errorf("connectors/%s: no schema is known for it", rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"connector", "global-webhook", "event", "fixtures"} {
		if checked[name] < 20 {
			t.Errorf("only %d files were held against the schema %q", checked[name], name)
		}
	}
}

// functionTypes are the types that the functions of files have.
var functionTypes = map[string]string{"handle": "Switchhook.Handle", "handshake": "Switchhook.Handshake", "get-event-selector": "Switchhook.GetEventSelector", "getEventSelector": "Switchhook.GetEventSelector"}

// exported finds the function of a file, where its type can be written in front.
var exported = regexp.MustCompile(`(?m)^(export default (async )?function|module\.exports = |exports\.(handle|handshake) = )`)

// TestConnectorsTypeCheck has TypeScript's compiler check all functions of the bundled connectors against the types that
// editors are given, `parameters` as the connector's own parametersSchema describes them.
func TestConnectorsTypeCheck(t *testing.T) {
	tsc, err := exec.LookPath("tsc")
	if err != nil {
		if os.Getenv("SWITCHHOOK_CI") != "" {
			t.Fatal("tsc is not installed: npm install -g typescript")
		}
		t.Skip("tsc is not installed")
	}
	root := filepath.Join(repository(t), "connectors")
	paths, list := spec.Find(root)
	if list.HasErrors() {
		t.Fatal(list)
	}
	work := t.TempDir()
	for _, path := range paths {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := filepath.Join(work, name)
			functions := copyTyped(t, path, folder)
			if functions == 0 {
				t.Error("no function was found")
			}
			typeCheckFiles(t, folder)
			if out, err := exec.Command(tsc, "-p", folder, "--pretty", "false").CombinedOutput(); err != nil {
				t.Errorf("tsc: %v\n%s", err, out)
			}
		})
	}
}

// The types find what is wrong: a parameter that the connector does not have, and a result of the wrong shape.
func TestConnectorsTypeCheckFinds(t *testing.T) {
	tsc, err := exec.LookPath("tsc")
	if err != nil {
		t.Skip("tsc is not installed") // where it must be, the test above fails
	}
	folder := filepath.Join(t.TempDir(), "github")
	copyTyped(t, filepath.Join(repository(t), "connectors", "github"), folder)
	handle := filepath.Join(folder, "global-webhooks/events/handle.js")
	if err := os.WriteFile(handle, []byte("/** @type {Switchhook.Handle} */ export default function handle({ parameters }) {\n"+
		"  const a = parameters.secret.length\n  const b = parameters.secrte\n  return { events: [{ selector: a + b }] }\n}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	typeCheckFiles(t, folder)
	out, err := exec.Command(tsc, "-p", folder, "--pretty", "false").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "handle.js(3,24)") || !strings.Contains(string(out), "secrte") || !strings.Contains(string(out), "handle.js(1,34)") && !strings.Contains(string(out), "payload") {
		t.Errorf("tsc: %v\n%s", err, out)
	}
}

// typeCheckFiles writes the types and a tsconfig.json into a connector's folder.
func typeCheckFiles(t *testing.T, folder string) {
	t.Helper()
	c, list := spec.Load(folder)
	if c == nil || list.HasErrors() {
		t.Fatal(list)
	}
	if _, err := starter.WriteEditor(c); err != nil {
		t.Fatal(err)
	}
	// Not strict, since the bundled connectors are JavaScript without further types.
	config := fmt.Sprintf(`{"compilerOptions": {"target": "ES2021", "lib": ["ES2021"], "types": [], "module": "esnext", "moduleResolution": "bundler",
		"moduleDetection": "force", "allowJs": true, "checkJs": true, "noEmit": true, "strict": false, "paths": {"*": ["./*"]}},
		"include": ["**/*.js", "**/*.ts", "%s/switchhook.d.ts"]}`, starter.EditorFolder)
	if err := os.WriteFile(filepath.Join(folder, "tsconfig.json"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
}

// copyTyped copies a connector, writes its type in front of every function, and counts them.
func copyTyped(t *testing.T, from, to string) (functions int) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(from, path)
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if ext := filepath.Ext(path); ext == ".js" || ext == ".ts" {
			if kind := functionTypes[strings.TrimSuffix(filepath.Base(path), ext)]; kind != "" {
				content = exported.ReplaceAll(content, []byte("/** @type {"+kind+"} */ $0"))
				functions++
			}
		}
		target := filepath.Join(to, rel)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return functions
}
