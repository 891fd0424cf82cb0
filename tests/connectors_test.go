package tests

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"switchhook/gateway/fixture"
	"switchhook/gateway/live"
	"switchhook/gateway/script"
	"switchhook/spec"
	"switchhook/spec/diagnostic"
)

// TestConnectors checks the bundled connectors, which must be without a
// finding, and runs their fixtures.
func TestConnectors(t *testing.T) {
	paths, list := spec.Find(filepath.Join(repository(t), "connectors"))
	if len(list) > 0 {
		t.Fatal(list)
	}
	if len(paths) == 0 {
		t.Fatal("there are no connectors")
	}
	engine := script.NewInProcess(script.Options{})
	t.Cleanup(func() { engine.Close() })
	builder := &live.Builder{Engine: engine, URLKey: make(live.URLKey, 32), Now: time.Now}
	runner := &fixture.Runner{Engine: engine, Builder: builder}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			c := builder.LoadConnector(path, nil)
			if len(c.Problems) > 0 {
				var b bytes.Buffer
				diagnostic.WriteText(&b, c.Problems, false)
				t.Fatalf("check finds something:\n%s", &b)
			}
			if c.Spec.Configuration == "" {
				t.Error("configuration.md is missing")
			}
			var cases []*fixture.Case
			for _, file := range c.Spec.Fixtures {
				more, findings := fixture.Load(file)
				if len(findings) > 0 {
					t.Fatal(findings)
				}
				cases = append(cases, more...)
			}
			if len(cases) == 0 {
				t.Fatal("there are no fixtures")
			}
			suite := &fixture.Suite{Name: c.Key, Results: runner.RunConnector(t.Context(), c, cases)}
			if n := fixture.Count([]*fixture.Suite{suite}); n.Failed > 0 || n.Skipped > 0 {
				var b bytes.Buffer
				(&fixture.Text{W: &b}).Report([]*fixture.Suite{suite}, 0)
				t.Errorf("\n%s", &b)
			}
		})
	}
}
