package starter_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"switchhook/gateway/fixture"
	"switchhook/gateway/live"
	"switchhook/gateway/script"
	"switchhook/gateway/starter"
	"switchhook/spec"
	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

func schema(t *testing.T, path string) *jsonschema.Schema {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema.json", value); err != nil {
		t.Fatal(err)
	}
	s, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var modeline = regexp.MustCompile(`^# yaml-language-server: \$schema=(\S+)\n`)

// Every connector that can be begun with is without a finding, passes its
// fixtures, and is taken by its schemas and its types.
func TestNewConnectors(t *testing.T) {
	tsc, err := exec.LookPath("tsc")
	if err != nil {
		if os.Getenv("SWITCHHOOK_CI") != "" {
			t.Error("tsc is not installed")
		}
		t.Log("tsc is not installed, so the types are not checked")
	}
	engine := script.NewInProcess(script.Options{})
	t.Cleanup(func() { engine.Close() })
	builder := &live.Builder{Engine: engine, URLKey: make(live.URLKey, 32), Now: time.Now}
	runner := &fixture.Runner{Engine: engine, Builder: builder}
	schemes, about := starter.Schemes()
	for i, scheme := range schemes {
		for _, language := range starter.Languages {
			t.Run(scheme+" "+language, func(t *testing.T) {
				c := starter.Connector{Key: "acme.shop_1", Name: `Acme: "the" #1 shop`, Language: language, Scheme: scheme, Header: starter.HeaderFor("acme.shop_1", scheme)}
				folder := filepath.Join(t.TempDir(), "acme.shop_1")
				if err := c.Write(folder); err != nil {
					t.Fatal(err)
				}
				loaded := builder.LoadConnector(folder, nil)
				if len(loaded.Problems) > 0 {
					var b bytes.Buffer
					_ = diagnostic.WriteText(&b, loaded.Problems, false)
					t.Fatalf("check finds something:\n%s", &b)
				}
				if loaded.Spec.Name != c.Name || about[scheme] == "" {
					t.Errorf("name %q, about %q", loaded.Spec.Name, about[scheme])
				}
				cases, list := fixture.Of(loaded)
				suite := &fixture.Suite{Name: "acme", Findings: list, Results: runner.RunConnector(t.Context(), loaded, cases)}
				if n := fixture.Count([]*fixture.Suite{suite}); n.Failed+n.Broken > 0 || n.Passed < 2 || scheme != "none" && n.Passed < 4 {
					var b bytes.Buffer
					(&fixture.Text{W: &b}).Report([]*fixture.Suite{suite}, 0)
					t.Errorf("\n%s", &b)
				}
				count := 0
				_ = filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
					if err != nil || filepath.Ext(path) != ".yml" {
						return err
					}
					content, err := os.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					m := modeline.FindSubmatch(content)
					if m == nil {
						t.Errorf("%s does not begin with a modeline", path)
						return nil
					}
					doc, _ := document.Parse(path, content)
					value, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc.Root.JSON()))
					if err != nil {
						t.Fatal(err)
					}
					if err := schema(t, filepath.Join(filepath.Dir(path), string(m[1]))).Validate(value); err != nil {
						t.Errorf("%s: %v", path, err)
					}
					count++
					return nil
				})
				if count != 4 {
					t.Errorf("%d YAML files", count)
				}
				if tsc != "" && i%3 == 0 { // it takes a second each
					if out, err := exec.Command(tsc, "-p", folder, "--pretty", "false").CombinedOutput(); err != nil {
						t.Errorf("tsc: %v\n%s", err, out)
					}
				}
				// A parameter that the schema does not have is found by the types.
				if tsc != "" && scheme == "hmac-sha256" && language == "ts" {
					handler := filepath.Join(folder, "global-webhooks/events/handle.ts")
					source := "export default ({ parameters }: Switchhook.Request) => ({ events: [{ selector: String(parameters.sekret), payload: 1 }] })\n"
					if err := os.WriteFile(handler, []byte(source), 0o644); err != nil {
						t.Fatal(err)
					}
					out, err := exec.Command(tsc, "-p", folder, "--pretty", "false").CombinedOutput()
					if err == nil || !strings.Contains(string(out), "'sekret' does not exist on type 'Parameters'") {
						t.Errorf("tsc: %v\n%s", err, out)
					}
				}
			})
		}
	}
}

func TestWriteLeavesNothingBehind(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "b")
	c := starter.Connector{Key: "not a key", Name: "x", Language: "js", Scheme: "none"}
	if err := c.Write(folder); err == nil {
		t.Error("a bad key was taken")
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Error("the folder is still there")
	}
	c.Key = "b"
	if err := c.Write(folder); err != nil {
		t.Fatal(err)
	}
	if err := c.Write(folder); err == nil {
		t.Error("a folder that exists was written into")
	}
	loaded, _ := spec.Load(folder)
	written, err := starter.WriteEditor(loaded)
	if err != nil || len(written) > 0 {
		t.Errorf("WriteEditor wrote what is there already: %v, %v", written, err)
	}
	types := filepath.Join(loaded.Root, starter.EditorFolder, "switchhook.d.ts")
	if err := os.WriteFile(types, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if written, err = starter.WriteEditor(loaded); err != nil || !slices.Equal(written, []string{types}) {
		t.Errorf("WriteEditor: %v, %v", written, err)
	}
}
