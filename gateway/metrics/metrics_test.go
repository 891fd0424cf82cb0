package metrics_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"switchhook/gateway/deliver"
	"switchhook/gateway/hook"
	"switchhook/gateway/ingest"
	"switchhook/gateway/live"
	"switchhook/gateway/metrics"
	"switchhook/gateway/server"
	"switchhook/gateway/store"
	"switchhook/spec/diagnostic"
)

func newMetrics() *metrics.Metrics {
	return metrics.New(metrics.Sources{
		Version: "1.2.3",
		Stats: func(context.Context) (store.Stats, error) {
			return store.Stats{Requests: 7, Pending: 3, Dead: 2, OldestPending: time.Now().Add(-time.Minute), Bytes: 4096}, nil
		},
		StoreErr: func() error { return nil },
		Totals:   func() deliver.Totals { return deliver.Totals{Lanes: 2, InFlight: 1} },
		Server:   func() server.Stats { return server.Stats{Connections: 5} },
		Live: func() *live.Generation {
			return &live.Generation{Number: 4, Connectors: map[string]*live.Connector{"a": {State: live.Up}, "b": {State: live.Stale}, "c": {State: live.Up}}}
		},
		Quarantined: func(connector string) bool { return connector == "c" },
		Workers:     func() metrics.Workers { return metrics.Workers{Busy: 1, Idle: 2, Killed: 3} },
		Streams:     func() (int, int64) { return 1, 9 },
	})
}

// exercise makes every metric have a value.
func exercise(m *metrics.Metrics, n int) {
	sub := &hook.Subscription{Workspace: "demo", Name: fmt.Sprint("s", n), Destination: hook.Destination{Type: "http"}}
	event := &hook.Event{Selector: "x"}
	m.Stored(&hook.Record{
		Request: &hook.Request{Connector: fmt.Sprint("c", n), Webhook: "events", Body: []byte("12345")}, Outcome: hook.Accepted, HandlerTime: time.Millisecond,
		Events: []*hook.Event{event, {Duplicate: true}}, Deliveries: []*hook.Delivery{{}},
	}, 3*time.Millisecond)
	m.Turned(ingest.Turned{Connector: fmt.Sprint("c", n), Webhook: "events", Kind: "unverified", Took: time.Millisecond})
	m.Answered(server.Observation{Status: 404})
	m.Answered(server.Observation{Status: 200, Found: true})
	at := time.Now()
	d := &hook.Delivery{Event: event, Subscription: sub.ID(), ReceivedAt: at.Add(-time.Second)}
	m.Attempted(sub, d, hook.Attempt{At: at, Took: time.Millisecond, Class: "timeout"}, hook.Pending)
	m.Attempted(sub, d, hook.Attempt{At: at, Took: time.Millisecond, Class: "ok"}, hook.Done)
	m.Attempted(sub, d, hook.Attempt{At: at, Took: time.Millisecond, Class: "gone"}, hook.Dead)
	m.Settled(3, time.Millisecond)
	m.Breaker(sub.ID(), "open")
	m.QueueFailed("settle", store.ErrFull)
	m.Reloaded(at, false, diagnostic.List{{}, {Severity: diagnostic.Warning}})
}

func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	if rec.Code != 200 || !strings.HasPrefix(rec.Header().Get("Content-Type"), "text/plain") {
		t.Fatalf("%d %s", rec.Code, rec.Header())
	}
	return rec.Body.String()
}

func TestValues(t *testing.T) {
	m := newMetrics()
	exercise(m, 1)
	text := scrape(t, m)
	for _, line := range []string{
		`switchhook_build_info{version="1.2.3"} 1`,
		`switchhook_requests_total{connector="c1",outcome="accepted",webhook="events"} 1`,
		`switchhook_requests_total{connector="c1",outcome="unverified",webhook="events"} 1`,
		`switchhook_request_body_bytes_total{connector="c1",webhook="events"} 5`,
		`switchhook_request_duration_seconds_bucket{connector="c1",webhook="events",le="0.0025"} 1`,
		`switchhook_request_duration_seconds_count{connector="c1",webhook="events"} 2`,
		`switchhook_handler_duration_seconds_count{connector="c1",webhook="events"} 1`,
		`switchhook_events_total{connector="c1",webhook="events"} 2`,
		`switchhook_duplicate_events_total{connector="c1",webhook="events"} 1`,
		`switchhook_http_responses_total{status="404",target="none"} 1`,
		`switchhook_delivery_attempts_total{class="timeout",subscription="demo/s1",type="http"} 1`,
		`switchhook_deliveries_settled_total{state="done",subscription="demo/s1",type="http"} 1`,
		`switchhook_delivery_duration_seconds_bucket{subscription="demo/s1",type="http",le="5"} 1`,
		`switchhook_delivery_duration_seconds_bucket{subscription="demo/s1",type="http",le="0.5"} 0`,
		`switchhook_breaker_state{subscription="demo/s1"} 2`,
		`switchhook_store_failures_total{operation="settle"} 1`,
		`switchhook_config_last_reload_successful 0`,
		`switchhook_diagnostics{severity="error"} 1`,
		`switchhook_connectors{state="stale"} 1`,
		`switchhook_connectors{state="up"} 1`,
		`switchhook_connectors{state="quarantined"} 1`,
		`switchhook_script_workers{state="idle"} 2`,
		`switchhook_script_worker_kills_total 3`,
		`switchhook_store_up 1`,
		`switchhook_store_pending_deliveries 3`,
		`switchhook_http_open_connections 5`,
		`switchhook_stream_dropped_messages_total 9`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
	m.Breaker("demo/s1", "closed")
	if strings.Contains(scrape(t, m), "switchhook_breaker_state{") {
		t.Error("a breaker that closed is still there")
	}
}

func TestNamesFollowTheRules(t *testing.T) {
	m := newMetrics()
	exercise(m, 1)
	problems, err := testutil.GatherAndLint(m.Registry())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "switchhook_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestSeriesAreBounded(t *testing.T) {
	m := newMetrics()
	count := func() int { n, _ := testutil.GatherAndCount(m.Registry()); return n }
	for n := range 600 {
		exercise(m, n)
		m.Breaker(fmt.Sprintf("demo/s%d", n), "closed")
	}
	at600 := count()
	for n := 600; n < 5000; n++ {
		exercise(m, n)
		m.Breaker(fmt.Sprintf("demo/s%d", n), "closed")
	}
	if got := count(); got != at600 {
		t.Errorf("%d series after 5000 webhooks and subscriptions, %d after 600", got, at600)
	}
	text := scrape(t, m)
	for _, line := range []string{
		`switchhook_requests_total{connector="other",outcome="accepted",webhook="other"} 4500`,
		`switchhook_deliveries_settled_total{state="dead",subscription="other",type="other"} 4500`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
}

// TestMonitoringFiles sees to it that dashboard and alerts ask for what there is.
func TestMonitoringFiles(t *testing.T) {
	m := newMetrics()
	exercise(m, 1)
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]map[string]bool{}
	for _, f := range families {
		known := map[string]bool{"instance": true, "le": true, "job": true}
		for _, series := range f.GetMetric() {
			for _, l := range series.GetLabel() {
				known[l.GetName()] = true
			}
		}
		labels[f.GetName()] = known
		if f.GetType().String() == "HISTOGRAM" {
			labels[f.GetName()+"_bucket"] = known
		}
	}
	name := regexp.MustCompile(`\b(?:switchhook|go|process)_[a-z_]+\b`)
	selector := regexp.MustCompile(`\b((?:switchhook|go|process)_[a-z_]+)\{([^}]*)\}`)
	label := regexp.MustCompile(`([a-z_]+)(?:=~|!=|=)`)
	for _, file := range []string{"grafana-dashboard.json", "alerts.yaml"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "contrib", "monitoring", file))
		if err != nil {
			t.Fatal(err)
		}
		found := name.FindAllString(string(text), -1)
		if len(found) < 8 {
			t.Errorf("%s names %d metrics only", file, len(found))
		}
		for _, n := range found {
			if labels[n] == nil {
				t.Errorf("%s: there is no metric %s", file, n)
			}
		}
		for _, s := range selector.FindAllStringSubmatch(string(text), -1) {
			for _, l := range label.FindAllStringSubmatch(s[2], -1) {
				if !labels[s[1]][l[1]] {
					t.Errorf("%s: %s has no label %s", file, s[1], l[1])
				}
			}
		}
	}
}

func BenchmarkStored(b *testing.B) {
	m := newMetrics()
	rec := &hook.Record{Request: &hook.Request{Connector: "github", Webhook: "events", Body: make([]byte, 7000)}, Outcome: hook.Accepted,
		HandlerTime: time.Millisecond, Events: []*hook.Event{{}, {}}, Deliveries: []*hook.Delivery{{}, {}}}
	b.ReportAllocs()
	for b.Loop() {
		m.Stored(rec, time.Millisecond)
	}
}
