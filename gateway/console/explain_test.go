package console_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"switchhook/gateway/hook"
)

func TestExplain(t *testing.T) {
	w := newWorld(t, works, loopback, "")
	w.call("POST", "/subscriptions", `{"workspace":"main","name":"filtered","integration":"shop","selector":"order/*","filter":{"total":{"$gt":100}},"destination":{"type":"stdout"}}`, 201)
	w.call("POST", "/subscriptions", `{"workspace":"main","name":"other","integration":"shop","selector":"refund/*","destination":{"type":"stdout"}}`, 201)
	id := w.receive(`{"id": 1, "total": 5}`)
	w.call("POST", "/subscriptions", `{"workspace":"main","name":"later","integration":"shop","selector":"order/1","destination":{"type":"stdout"}}`, 201)
	w.call("POST", "/subscriptions", `{"workspace":"main","name":"off","integration":"shop","selector":"order/1","destination":{"type":"stdout"}}`, 201)
	w.live.SetDisabled("main/off", "the receiver answered 410 Gone")

	v := w.call("GET", "/requests/"+id+"/explain", "", 200)
	events := v["events"].([]any)
	if len(events) != 1 {
		t.Fatalf("events: %v", events)
	}
	got := map[string]map[string]any{}
	for _, s := range events[0].(map[string]any)["subscriptions"].([]any) {
		s := s.(map[string]any)
		got[s["subscription"].(string)] = s
	}
	for sub, want := range map[string]struct {
		matches, delivered bool
		reason             string
	}{
		"main/fixed":    {true, true, ""},
		"main/filtered": {false, false, "total is 5, expected $gt: greater than 100"},
		"main/other":    {false, false, `its selector "refund/*" does not match "order/1"`},
		"main/later":    {true, false, "it was not there yet"},
		"main/off":      {true, false, "it matches, but is disabled: the receiver answered 410 Gone"},
	} {
		s := got[sub]
		reason, _ := s["reason"].(string)
		if s["matches"] != want.matches || (s["delivery"] != nil) != want.delivered || !strings.Contains(reason, want.reason) || want.reason == "" && reason != "" {
			t.Errorf("%s: %v", sub, s)
		}
	}

	// In pages, and one alone.
	seen, cursor := 0, ""
	for {
		page := w.call("GET", "/requests/"+id+"/explain?limit=2&cursor="+cursor, "", 200)
		seen += len(page["events"].([]any)[0].(map[string]any)["subscriptions"].([]any))
		if cursor = page["next"].(string); cursor == "" {
			break
		}
	}
	if seen != 5 {
		t.Errorf("%d in pages", seen)
	}
	w.call("GET", "/requests/"+id+"/explain?subscription=main/none", "", 404)

	// What changed since the event arrived.
	w.call("PUT", "/subscriptions/main/later", `{"integration":"shop","selector":"order/2","destination":{"type":"stdout"}}`, 200)
	w.receive(`{"id": 2}`)
	second := w.receive(`{"id": 2}`)
	w.call("PUT", "/subscriptions/main/later", `{"integration":"shop","selector":"order/3","destination":{"type":"stdout"}}`, 200)
	v = w.call("GET", "/requests/"+second+"/explain?subscription=main/later", "", 200)
	s := v["events"].([]any)[0].(map[string]any)["subscriptions"].([]any)[0].(map[string]any)
	if s["delivery"] == nil || s["matches"] != false || !strings.Contains(s["reason"].(string), "would not now") {
		t.Errorf("changed since: %v", s)
	}

	// A request without events says why.
	w.load("export default () => { throw new Error('boom') }")
	failed := w.receive(`{"id": 3}`)
	if v := w.call("GET", "/requests/"+failed+"/explain", "", 200); v["outcome"] != "failed" || !strings.Contains(v["reason"].(string), "boom") {
		t.Errorf("failed: %v", v)
	}
}

func TestDuplicatesAreExplained(t *testing.T) {
	w := newWorld(t, "export default ({data}) => ({events: [{id: 'k', selector: 'order/1', payload: data}]})", loopback, "")
	w.receive(`{}`)
	id := w.receive(`{}`)
	v := w.call("GET", "/requests/"+id+"/explain?subscription=main/fixed", "", 200)
	e := v["events"].([]any)[0].(map[string]any)
	if s := e["subscriptions"].([]any)[0].(map[string]any); e["duplicate"] != true || !strings.Contains(s["reason"].(string), `duplicate: one with the id "k"`) {
		t.Errorf("a duplicate: %v", e)
	}
}

func TestDiff(t *testing.T) {
	w := newWorld(t, `export default ({data}) => ({events: [
		{selector: 'a', payload: {n: 1, list: [1, 2], big: data.big}}, {selector: 'same', payload: {x: 1}}, {selector: 'gone', payload: {}}]})`, loopback, "")
	id := w.receive(`{"big": 12345678901234567890}`)
	w.load(`export default ({data}) => ({events: [
		{selector: 'new', payload: {}}, {selector: 'same', payload: {x: 1}}, {selector: 'a', type: 't', payload: {n: 2, list: [1], big: data.big, more: null}}]})`)
	v := w.call("POST", "/requests/"+id+"/replay?dryRun=true", "", 200)
	kinds := map[string]string{}
	changes := map[string][2]string{}
	for _, d := range v["diff"].([]any) {
		d := d.(map[string]any)
		e, ok := d["after"].(map[string]any)
		if !ok {
			e = d["before"].(map[string]any)
		}
		kinds[e["selector"].(string)] = d["kind"].(string)
		list, _ := d["changes"].([]any)
		for _, c := range list {
			c := c.(map[string]any)
			text := func(key string) string {
				v, ok := c[key]
				if !ok {
					return "nothing"
				}
				b, _ := json.Marshal(v)
				return string(b)
			}
			changes[c["path"].(string)] = [2]string{text("before"), text("after")}
		}
	}
	for selector, kind := range map[string]string{"a": "changed", "same": "same", "gone": "removed", "new": "added"} {
		if kinds[selector] != kind {
			t.Errorf("%s is %q, not %q", selector, kinds[selector], kind)
		}
	}
	want := map[string][2]string{"type": {`""`, `"t"`}, "payload.n": {"1", "2"}, "payload.list[1]": {"2", "nothing"}, "payload.more": {"nothing", "null"}}
	for path, values := range want {
		if changes[path] != values {
			t.Errorf("%s: %v, not %v", path, changes[path], values)
		}
	}
	if len(changes) != len(want) {
		t.Errorf("changes: %v", changes)
	}
}

// TestStream reads the live stream over a real connection.
func TestStream(t *testing.T) {
	w := newWorld(t, works, loopback, "")
	server := httptest.NewServer(w.console)
	defer server.Close()
	listen := func(query string) (next func() (kind string, data map[string]any), end func()) {
		t.Helper()
		resp, err := http.Get(server.URL + "/api/v1/stream" + query)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("stream%s: %s", query, resp.Status)
		}
		lines := bufio.NewScanner(resp.Body)
		next = func() (kind string, data map[string]any) {
			t.Helper()
			for lines.Scan() {
				name, value, _ := strings.Cut(lines.Text(), ": ")
				switch name {
				case "event":
					kind = value
				case "data":
					if err := json.Unmarshal([]byte(value), &data); err != nil {
						t.Errorf("%s: %v", value, err)
					}
				case "":
					if kind != "" {
						return kind, data
					}
				}
			}
			return "", nil
		}
		if kind, _ := next(); kind != "hello" {
			t.Fatalf("the stream begins with %q", kind)
		}
		return next, func() { resp.Body.Close() }
	}
	all, endAll := listen("")
	some, endSome := listen("?kinds=request&status=2xx&text=needle")
	defer endSome()

	w.receive(`{"id": 1}`)
	found := w.receive(`{"id": "needle"}`)
	if kind, data := all(); kind != "request" || data["outcome"] != "accepted" || data["bodySize"] != 9.0 {
		t.Errorf("%s: %v", kind, data)
	}
	all()
	if kind, data := some(); kind != "request" || data["id"] != found {
		t.Errorf("filtered %s: %v", kind, data)
	}
	d := w.deliver.offered[0]
	w.activity.Attempted(&hook.Subscription{Workspace: "main", Name: "fixed"}, d, hook.Attempt{Number: 1, Class: "refused", Error: "connection refused"}, hook.Dead)
	if kind, data := all(); kind != "attempt" || data["deliveryId"] != d.ID || data["state"] != "dead" || data["error"] != "connection refused" {
		t.Errorf("%s: %v", kind, data)
	}
	w.call("POST", "/deliveries/"+d.ID+"/replay", "", 200)
	if kind, data := all(); kind != "change" || data["action"] != "delivery.replay" || data["target"] != d.ID {
		t.Errorf("%s: %v", kind, data)
	}
	if v := w.call("GET", "/overview", "", 200); v["streams"].(map[string]any)["open"] != 2.0 {
		t.Errorf("streams: %v", v["streams"])
	}
	// More than a reader takes at once is dropped, and it is told.
	for range 2000 {
		w.activity.Attempted(&hook.Subscription{}, d, hook.Attempt{Class: "ok"}, hook.Done)
	}
	missed, got := 0.0, 0.0
	for missed+got < 2000 {
		switch kind, data := all(); kind {
		case "attempt":
			got++
		case "dropped":
			missed += data["count"].(float64)
		default:
			t.Fatalf("%s: %v", kind, data)
		}
	}
	if missed == 0 {
		t.Error("nothing was dropped")
	}
	endAll()

	// The console ends what is open when the gateway stops.
	w.console.Close()
	if kind, _ := some(); kind != "" {
		t.Errorf("after the end: %q", kind)
	}
}

// TestLargePayloads sees to it that an answer does not repeat a large body for
// every event.
func TestLargePayloads(t *testing.T) {
	w := newWorld(t, "export default ({data}) => ({events: Array.from({length: 50}, (_, i) => ({selector: 'order/' + i, payload: data}))})", loopback, "")
	id := w.receive(`{"text": "` + strings.Repeat("x", 1<<20) + `"}`)
	for _, call := range []struct{ method, path, list string }{{"GET", "/requests/" + id, "events"}, {"POST", "/requests/" + id + "/replay?dryRun=true", "stored"}} {
		v := w.call(call.method, call.path, "", 200)
		shown := 0
		for _, e := range v[call.list].([]any) {
			e := e.(map[string]any)
			if e["payloadSize"] != float64(1<<20+12) {
				t.Fatalf("payloadSize: %v", e["payloadSize"])
			}
			if e["payload"] != nil {
				shown++
			}
		}
		if shown != 7 || len(v[call.list].([]any)) != 50 {
			t.Errorf("%s shows %d payloads of %d", call.path, shown, len(v[call.list].([]any)))
		}
	}
}
