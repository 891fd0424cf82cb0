package tests

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"switchhook/gateway/fixture"
	"switchhook/gateway/live"
	"switchhook/gateway/match"
	"switchhook/gateway/script"
	"switchhook/spec"
)

// What check knows of the selectors of a handler without running it is true: every
// event of the bundled fixtures has one of them.
func TestSelectorsOfHandlers(t *testing.T) {
	paths, _ := spec.Find(filepath.Join(repository(t), "connectors"))
	engine := script.NewInProcess(script.Options{})
	t.Cleanup(func() { engine.Close() })
	builder := &live.Builder{Engine: engine, URLKey: make(live.URLKey, 32), Now: time.Now}
	runner := &fixture.Runner{Engine: engine, Builder: builder}
	known, all := 0, 0
	for _, path := range paths {
		c := builder.LoadConnector(path, nil)
		if c.Spec == nil {
			t.Fatal(c.Problems)
		}
		patterns := map[string][]*match.Selector{}
		for key, w := range c.Webhooks {
			all++
			patterns[key] = w.Selectors()
			if patterns[key] != nil {
				known++
			} else {
				t.Logf("%s: the selectors of %s are not known", c.Key, key)
			}
		}
		cases, _ := fixture.Of(c)
		for _, r := range runner.RunConnector(t.Context(), c, cases) {
			of := patterns[r.Case.Webhook]
			if r.Case.Webhook == "" {
				of = patterns[c.Spec.Webhooks[0].Key]
			}
			for _, e := range r.Events {
				if of != nil && !slices.ContainsFunc(of, func(s *match.Selector) bool { return s.Match(e.Selector) }) {
					t.Errorf("%s: %q: the selector %q is none of %v", c.Key, r.Case.Name, e.Selector, of)
				}
			}
		}
	}
	if known < all*3/4 {
		t.Errorf("only of %d of %d handlers the selectors are known", known, all)
	}
}
