package tests

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"switchhook/gateway/fixture"
	"switchhook/gateway/live"
	"switchhook/gateway/script"
	"switchhook/spec"
	"switchhook/spec/document"
)

// Whatever a bundled connector accepts can be recorded, and what was recorded
// passes and has none of the integration's secrets.
func TestRecordedRequestsPass(t *testing.T) {
	paths, _ := spec.Find(filepath.Join(repository(t), "connectors"))
	engine := script.NewInProcess(script.Options{})
	t.Cleanup(func() { engine.Close() })
	builder := &live.Builder{Engine: engine, URLKey: make(live.URLKey, 32), Now: time.Now}
	runner := &fixture.Runner{Engine: engine, Builder: builder}
	recorded := 0
	for _, path := range paths {
		c := builder.LoadConnector(path, nil)
		cases, _ := fixture.Of(c)
		for _, r := range runner.RunConnector(t.Context(), c, cases) {
			one := r.Case
			// Values that the redaction changes may be what a case is about, as with a parameter that the body repeats.
			if r.Outcome != "accepted" || len(r.Events) == 0 || one.Request.Sign != fixture.Valid || one.Request.URL != "" || one.Parameters == nil {
				continue
			}
			at := one.Node
			endpoints, list := builder.Endpoints(c, "test", "test", one.Parameters, at, "https://hooks.example.com")
			if list.HasErrors() { // its public key is left out
				continue
			}
			e := endpoints[0]
			for _, other := range endpoints {
				if other.Key == one.Webhook {
					e = other
				}
			}
			req, err := fixture.NewRequest(e, one, one.Now)
			if err != nil {
				continue
			}
			out, err := runner.Record(t.Context(), e, &fixture.Stored{ID: "req_1", Method: req.Method, Query: req.Query, Headers: req.Headers, Body: req.Body,
				ReceivedAt: one.Now, Outcome: "accepted", Status: 200})
			if err != nil {
				t.Errorf("%s: %q: %v", c.Key, one.Name, err)
				continue
			}
			doc, list := document.Parse("recorded.yml", out.YAML)
			again, more := fixture.FromNode(doc.Root, t.TempDir())
			if list.HasErrors() || more.HasErrors() || len(again) != 1 {
				t.Errorf("%s: %q: %v %v\n%s", c.Key, one.Name, list, more, out.YAML)
				continue
			}
			suite := &fixture.Suite{Name: c.Key, Results: runner.RunConnector(t.Context(), c, again)}
			// Of a body that is no text the recorder can only say that it is as it was.
			text := utf8.Valid(req.Body)
			if n := fixture.Count([]*fixture.Suite{suite}); n.Passed != 1 || text == (len(out.Notes) > 0) {
				var b bytes.Buffer
				(&fixture.Text{W: &b}).Report([]*fixture.Suite{suite}, 0)
				t.Errorf("%s: %q: %v\n%s\n%s", c.Key, one.Name, out.Notes, b.String(), out.YAML)
			}
			for _, p := range one.Parameters.Entries() {
				// "s3cret" is what the fixtures and the recorder both use.
				if v := p.Value.Value; len(v) >= 6 && v != "s3cret" && strings.Contains(string(out.YAML), v) {
					t.Errorf("%s: %q: the value of %s is still there:\n%s", c.Key, one.Name, p.Key, out.YAML)
				}
			}
			recorded++
		}
	}
	if recorded < 100 {
		t.Errorf("only %d cases were recorded", recorded)
	}
	if os.Getenv("SWITCHHOOK_SLOW") != "" {
		t.Logf("%d cases recorded", recorded)
	}
}
