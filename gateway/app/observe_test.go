package app

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A request's trace goes on in its deliveries, each attempt a span of its own,
// also after a restart and after a replay.
func TestTraces(t *testing.T) {
	const trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	r := newRunning(t, "{delays: [0s, 1h, 1h], jitter: 0}", "")
	got := make(chan string, 10)
	status := 400
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(status)
		got <- req.Header.Get("Traceparent")
	}))
	defer receiver.Close()
	path := filepath.Join(r.dir, "config.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), r.url, receiver.URL, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	r.start()
	webhooks, _ := r.g.Addresses()
	req, err := http.NewRequest("POST", "http://"+webhooks+r.g.Live().Current().Endpoints[0].Path, strings.NewReader(`{"n":1}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Traceparent", "00-"+trace+"-"+parent+"-01")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	id := resp.Header.Get("X-Request-Id")

	spans := map[string]bool{parent: true}
	next := func(when string) {
		t.Helper()
		select {
		case header := <-got:
			part := strings.Split(header, "-")
			if len(part) != 4 || part[0] != "00" || part[1] != trace || part[3] != "01" || len(part[2]) != 16 {
				t.Errorf("%s: traceparent %q", when, header)
			} else if spans[part[2]] {
				t.Errorf("%s: the span %s was there before", when, part[2])
			} else {
				spans[part[2]] = true
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: no attempt", when)
		}
	}
	next("the first attempt")
	r.stop()
	status = 200
	r.jump(time.Hour)
	r.start()
	next("after a restart")
	_, admin := r.g.Addresses()
	call := func(method, path string) map[string]any {
		t.Helper()
		req, err := http.NewRequest(method, "http://"+admin+"/api/v1"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var v map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&v); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s %s: %s, %v %v", method, path, resp.Status, v, err)
		}
		return v
	}
	call("POST", "/requests/"+id+"/replay?force=true")
	next("after a replay")
	if v := call("GET", "/requests/"+id); v["traceParent"] != "00-"+trace+"-"+parent+"-01" {
		t.Errorf("the request shows %v", v["traceParent"])
	}
}

// Streams that are open do not hold up the end of the gateway.
func TestStreamsEndWithTheGateway(t *testing.T) {
	r := newRunning(t, "{delays: [0s]}", "")
	r.start()
	_, admin := r.g.Addresses()
	resp, err := http.Get("http://" + admin + "/api/v1/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "event: hello") {
	}
	r.stop()
	// To its end: one that had to be cut off is an error.
	for lines.Scan() {
	}
	if err := lines.Err(); err != nil {
		t.Errorf("the stream was cut off: %v", err)
	}
}

// The live stream and the figures are of what really happens, whole.
func TestWhatIsSeen(t *testing.T) {
	r := newRunning(t, "{delays: [0s]}", "")
	r.start()
	_, admin := r.g.Addresses()
	for n := range 5 {
		if status, body := r.send(fmt.Sprintf(`{"n":%d}`, n)); status != 202 {
			t.Fatal(status, body)
		}
	}
	r.wait(5)
	resp, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	seen := map[string]bool{}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		seen[lines.Text()] = true
	}
	for _, line := range []string{
		`switchhook_requests_total{connector="shop",outcome="accepted",webhook="events"} 5`,
		`switchhook_http_responses_total{status="202",target="webhook"} 5`,
		`switchhook_deliveries_settled_total{state="done",subscription="main/all",type="http"} 5`,
		`switchhook_store_requests 5`, `switchhook_store_pending_deliveries 0`, `switchhook_connectors{state="up"} 1`,
		`switchhook_config_reloads_total{result="ok"} 1`,
	} {
		if !seen[line] {
			t.Errorf("missing: %s", line)
		}
	}
}
