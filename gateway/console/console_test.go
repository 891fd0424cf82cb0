package console_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"switchhook/gateway/activity"
	"switchhook/gateway/config"
	"switchhook/gateway/console"
	"switchhook/gateway/deliver"
	"switchhook/gateway/fixture"
	"switchhook/gateway/hook"
	"switchhook/gateway/ingest"
	"switchhook/gateway/live"
	"switchhook/gateway/script"
	"switchhook/gateway/store"
	"switchhook/gateway/store/memory"
)

const connector = `
key: shop
name: Shop
parametersSchema: {type: object, properties: {secret: {type: string}}}
globalWebhooks:
  events:
    verify: none
    handshake: {when: {query: {challenge: {$exist: true}}}, respond: {text: "${query.challenge}"}}
    handle: "HANDLER"
`

const configuration = `
workspaces:
  main:
    integrations:
      shop: {connector: shop, parameters: {secret: integration-secret}}
    subscriptions:
      fixed: {integration: shop, selector: "order/*", destination: {type: stdout}}
`

const works = "export default ({data}) => ({events: [{selector: 'order/' + data.id, payload: data}]})"

// fakeDeliver records what the delivery engine is told.
type fakeDeliver struct {
	mu      sync.Mutex
	offered []*hook.Delivery
	woken   []string
	tried   []*hook.Event
}

func (f *fakeDeliver) Offer(ds []*hook.Delivery) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.offered = append(f.offered, ds...)
}

func (f *fakeDeliver) Wake(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.woken = append(f.woken, id)
}
func (f *fakeDeliver) Reload()                    {}
func (f *fakeDeliver) State(string) deliver.State { return deliver.State{Breaker: "closed"} }
func (f *fakeDeliver) Totals() deliver.Totals     { return deliver.Totals{} }
func (f *fakeDeliver) Try(_ context.Context, sub *hook.Subscription, e *hook.Event) hook.Attempt {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tried = append(f.tried, e)
	return hook.Attempt{Number: 1, At: time.Now(), Took: time.Millisecond, Status: 503, Class: "status", Error: "the receiver answered 503 Service Unavailable", Response: []byte("no")}
}

type world struct {
	t        *testing.T
	dir      string
	live     *live.Live
	store    *memory.Store
	pipeline *ingest.Pipeline
	deliver  *fakeDeliver
	console  *console.Console
	activity *activity.Log
	logged   *bytes.Buffer
	requests int
}

func newWorld(t *testing.T, handler, listen, token string) *world {
	w := &world{t: t, dir: t.TempDir(), store: memory.New(store.Options{}), deliver: &fakeDeliver{}}
	if err := os.Mkdir(filepath.Join(w.dir, "connectors"), 0o755); err != nil {
		t.Fatal(err)
	}
	engine := script.NewInProcess(script.Options{})
	t.Cleanup(func() { engine.Close() })
	builder := &live.Builder{Engine: engine, URLKey: live.URLKey("0123456789abcdef"), Now: time.Now}
	w.live = live.New(builder)
	w.load(handler)
	ids := 0
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	w.activity, w.logged = activity.New(time.Now), &bytes.Buffer{}
	w.pipeline = ingest.New(ingest.Options{Engine: engine, Store: w.store, Subscriptions: w.live, Offer: w.deliver.Offer, Now: time.Now,
		NewID: func() string { ids++; return strconv.Itoa(ids) }, Logger: logger, Observer: w.activity})
	w.console = console.New(console.Options{Metrics: plainMetrics, Ready: func() error { return nil }, Live: w.live, Version: "test", Listen: listen,
		Token: config.NewSecret(token), Store: w.store, Pipeline: w.pipeline, Deliver: w.deliver, Now: time.Now,
		Fixtures: &fixture.Runner{Engine: engine, Builder: builder}, Activity: w.activity, Logger: slog.New(slog.NewTextHandler(w.logged, nil))})
	return w
}

var plainMetrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
})

// newBare is a console that has nothing to show.
func newBare() *console.Console {
	return console.New(console.Options{Listen: loopback, Metrics: plainMetrics})
}

// load writes the configuration with a handler, and reads it.
func (w *world) load(handler string) {
	w.t.Helper()
	for name, text := range map[string]string{"config.yaml": configuration, "connectors/shop.yml": strings.Replace(connector, "HANDLER", handler, 1)} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	cfg, list := config.Load(filepath.Join(w.dir, "config.yaml"), config.Options{})
	if list.HasErrors() {
		w.t.Fatal(list)
	}
	if _, list := w.live.Reload(w.t.Context(), cfg); list.HasErrors() {
		w.t.Fatal(list)
	}
}

// receive sends a request to the webhook and returns its id.
func (w *world) receive(body string) string {
	w.t.Helper()
	w.requests++
	id := "req_0000000000000000000000000" + strconv.Itoa(w.requests)
	w.pipeline.Receive(context.Background(), w.live.Current().Endpoint("main", "shop", "events"), &hook.Request{
		ID: id, Method: "POST", URL: "http://x/hook?token=query-secret&a=1", Path: "/hook", Query: "token=query-secret&a=1",
		Headers: hook.Headers{{Name: "Content-Type", Value: "application/json"}, {Name: "Authorization", Value: "Bearer header-secret"},
			{Name: "cookie", Value: "header-secret"}, {Name: "X-Signature", Value: "abc"}},
		Body: []byte(body), ReceivedAt: time.Now(),
	})
	return id
}

func (w *world) send(r *http.Request) (int, string, http.Header) {
	rec := httptest.NewRecorder()
	w.console.ServeHTTP(rec, r)
	contract, err := theContract()
	if err == nil {
		err = contract.check(r, rec.Code, rec.Header(), rec.Body.String())
	}
	if err != nil {
		w.t.Error(err)
	}
	return rec.Code, rec.Body.String(), rec.Header()
}

func request(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "127.0.0.1:8081"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// call makes a call that must have the status, and decodes the answer.
func (w *world) call(method, path, body string, status int) map[string]any {
	w.t.Helper()
	code, text, header := w.send(request(method, "/api/v1"+path, body))
	if code != status {
		w.t.Fatalf("%s %s: status %d, not %d: %s", method, path, code, status, text)
	}
	if header.Get("Cache-Control") != "no-store" || header.Get("X-Content-Type-Options") != "nosniff" {
		w.t.Errorf("%s %s: headers %v", method, path, header)
	}
	for _, secret := range []string{"integration-secret", "query-secret", "header-secret", "whsec_", "destination-secret"} {
		if strings.Contains(text, secret) {
			w.t.Errorf("%s %s shows %q: %s", method, path, secret, text)
		}
	}
	if status == http.StatusNoContent {
		return nil
	}
	if status >= 400 && header.Get("Content-Type") != "application/problem+json" {
		w.t.Errorf("%s %s: content type %q", method, path, header.Get("Content-Type"))
	}
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		w.t.Fatalf("%s %s: %v: %s", method, path, err, text)
	}
	if status >= 400 && (v["status"] != float64(status) || v["detail"] == "" || v["title"] == "") {
		w.t.Errorf("%s %s: not problem details: %s", method, path, text)
	}
	return v
}

const loopback = "127.0.0.1:8081"

func items(v map[string]any) []any { return v["items"].([]any) }

func TestRequests(t *testing.T) {
	w := newWorld(t, works, loopback, "")
	first, second := w.receive(`{"id": 1}`), w.receive(`{"id": 2}`)
	for filter, want := range map[string]int{
		"": 2, "?outcome=accepted": 2, "?outcome=failed": 0, "?integration=shop&webhook=events": 2, "?integration=other": 0,
		"?text=order/2": 1, "?limit=1": 1, "?before=2000-01-01T00:00:00Z": 0, "?after=2000-01-01T00:00:00Z": 2,
	} {
		if got := items(w.call("GET", "/requests"+filter, "", 200)); len(got) != want {
			t.Errorf("%q: %d requests, not %d", filter, len(got), want)
		}
	}
	page := w.call("GET", "/requests?limit=1", "", 200)
	if items(page)[0].(map[string]any)["id"] != second {
		t.Errorf("the newest is not first: %v", page)
	}
	page = w.call("GET", "/requests?limit=1&cursor="+page["next"].(string), "", 200)
	if items(page)[0].(map[string]any)["id"] != first {
		t.Errorf("the second page: %v", page)
	}
	one := w.call("GET", "/requests/"+first, "", 200)
	if one["text"] != `{"id": 1}` || one["body"] != "eyJpZCI6IDF9" || one["query"] != "token=[redacted]&a=1" {
		t.Errorf("request: %v", one)
	}
	if h := one["headers"].([]any)[3].(map[string]any); h["value"] != "abc" {
		t.Errorf("a header that is no secret: %v", h)
	}
	d := one["deliveries"].([]any)[0].(map[string]any)
	if d["subscription"] != "main/fixed" || d["selector"] != "order/1" || d["state"] != "pending" {
		t.Errorf("delivery: %v", d)
	}
	if got := w.call("GET", "/deliveries/"+d["id"].(string), "", 200); got["eventId"] != d["eventId"] {
		t.Errorf("delivery: %v", got)
	}
	if got := items(w.call("GET", "/deliveries?subscription=main/fixed&state=pending&selector=order/**", "", 200)); len(got) != 2 {
		t.Errorf("deliveries: %v", got)
	}
	if s := w.call("GET", "/status", "", 200); s["requests"] != 2.0 || s["pending"] != 2.0 || s["ready"] != false {
		t.Errorf("status: %v", s)
	}
}

func TestMistakes(t *testing.T) {
	w := newWorld(t, works, loopback, "")
	for _, c := range []struct {
		method, path, body string
		status             int
		detail             string
	}{
		{"GET", "/requests/req_none", "", 404, "there is no request"},
		{"GET", "/deliveries/dlv_9", "", 404, "there is no delivery"},
		{"GET", "/deliveries/nonsense", "", 404, "there is no delivery"},
		{"GET", "/nothing", "", 404, "there is no GET"},
		{"DELETE", "/requests", "", 405, "there is no DELETE"},
		{"GET", "/requests?outcom=failed", "", 400, `did you mean`},
		{"GET", "/requests?outcome=bad", "", 400, "known are: accepted"},
		{"GET", "/requests?after=yesterday", "", 400, "expected a time"},
		{"GET", "/requests?limit=0", "", 400, "from 1 to 1000"},
		{"GET", "/requests?cursor=x", "", 400, "cursor"},
		{"POST", "/replay", `{}`, 400, "at least one"},
		{"POST", "/replay", `{"subscription":"main/none"}`, 404, "there is no subscription"},
		{"POST", "/replay", `{"subscription":"main/fixed","state":"lost"}`, 400, "known are"},
		{"POST", "/replay", `{"subscripton":"main/fixed"}`, 400, "unknown field"},
		{"POST", "/deliveries/dlv_9/replay", "", 404, "there is no delivery"},
		{"POST", "/subscriptions", `{"name":`, 400, "not valid JSON"},
		{"POST", "/subscriptions", `[]`, 400, "expected a JSON object"},
		{"POST", "/subscriptions", `{"workspace":"main","name":"a/b","integration":"shop","selector":"x","destination":{"type":"stdout"}}`, 400, "expected a name"},
		{"POST", "/subscriptions", `{"workspace":"main","name":"fixed","integration":"shop","selector":"x","destination":{"type":"stdout"}}`, 409, "defined in config.yaml"},
		{"POST", "/subscriptions", `{"workspace":"main","name":"a","integration":"none","selector":"x","destination":{"type":"stdout"}}`, 400, "no integration"},
		{"POST", "/subscriptions", `{"workspace":"main","name":"a","integration":"shop","selectr":"x","destination":{"type":"stdout"}}`, 400, ""},
		{"POST", "/subscriptions", `{"workspace":"main","name":"a","integration":"shop","selector":"x","destination":{"type":"file","path":"out.ndjson"}}`, 400, "absolute path"},
		{"POST", "/subscriptions", `{"workspace":"main","name":"a","integration":"shop","selector":"x","destination":{"type":"http","url":"https://example.com","headers":{"X-A":"b\r\nX-B: c"}}}`, 400, "line breaks"},
		{"POST", "/subscriptions", `{"text":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "larger than 1 MiB"},
		{"PUT", "/subscriptions/main/a", `{"name":"b","integration":"shop","selector":"x","destination":{"type":"stdout"}}`, 400, "names another"},
		{"DELETE", "/subscriptions/main/none", "", 404, "there is no subscription"},
		{"DELETE", "/subscriptions/main/fixed", "", 409, "config.yaml"},
		{"POST", "/subscriptions/main/fixed/pause", "", 409, "config.yaml"},
		{"POST", "/subscriptions/main/none/enable", "", 404, "there is no subscription"},
	} {
		if got := w.call(c.method, c.path, c.body, c.status)["detail"].(string); !strings.Contains(got, c.detail) {
			t.Errorf("%s %s %.80s: %q does not say %q", c.method, c.path, c.body, got, c.detail)
		}
	}
}

func TestSubscriptions(t *testing.T) {
	w := newWorld(t, works, loopback, "")
	const body = `{"workspace":"main","name":"made","integration":"shop","selector":"order/*","destination":{"type":"http","url":"https://example.com/in?key=destination-secret",
		"headers":{"X-Any":"destination-secret"},"secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}}`
	made := w.call("POST", "/subscriptions", body, 201)
	if made["origin"] != "api" || made["webhook"] != "events" || made["destination"].(map[string]any)["secrets"] != 1.0 {
		t.Errorf("made: %v", made)
	}
	w.call("POST", "/subscriptions", body, 409)
	if list := items(w.call("GET", "/subscriptions", "", 200)); len(list) != 2 {
		t.Errorf("list: %v", list)
	}
	page := w.call("GET", "/subscriptions?limit=1", "", 200)
	if page["next"] != "main/fixed" {
		t.Errorf("first page: %v", page)
	}
	page = w.call("GET", "/subscriptions?limit=1&cursor=main/fixed", "", 200)
	if page["next"] != "" || items(page)[0].(map[string]any)["id"] != "main/made" {
		t.Errorf("second page: %v", page)
	}
	w.receive(`{"id": 1}`)
	if got := items(w.call("GET", "/deliveries?subscription=main/made", "", 200)); len(got) != 1 {
		t.Fatalf("it got %v", got)
	}
	if s := w.call("POST", "/subscriptions/main/made/pause", "", 200); s["paused"] != true {
		t.Errorf("paused: %v", s)
	}
	if s := w.call("POST", "/subscriptions/main/made/resume", "", 200); s["paused"] != false || !slices.Contains(w.deliver.woken, "main/made") {
		t.Errorf("resumed: %v, woken %v", s, w.deliver.woken)
	}
	if err := w.store.Disable(t.Context(), "main/fixed", "gone"); err != nil {
		t.Fatal(err)
	}
	w.live.SetDisabled("main/fixed", "gone")
	if s := w.call("GET", "/subscriptions/main/fixed", "", 200); s["disabled"] != "gone" || s["origin"] != "config" {
		t.Errorf("disabled: %v", s)
	}
	if s := w.call("POST", "/subscriptions/main/fixed/enable", "", 200); s["disabled"] != nil {
		t.Errorf("enabled: %v", s)
	}
	if left, _ := w.store.Disabled(t.Context()); len(left) > 0 {
		t.Errorf("the store still has it disabled: %v", left)
	}
	w.call("DELETE", "/subscriptions/main/made", "", 204)
	w.call("GET", "/subscriptions/main/made", "", 404)
	w.store.Subscriptions(t.Context(), func(s *hook.Subscription) bool { t.Errorf("stored: %v", s.ID()); return true })
}

func TestReplayOfDeliveries(t *testing.T) {
	w := newWorld(t, works, loopback, "")
	for i := range 3 {
		w.receive(`{"id": ` + strconv.Itoa(i) + `}`)
	}
	var settle []hook.Settlement
	for _, d := range w.deliver.offered {
		settle = append(settle, hook.Settlement{Attempt: hook.Attempt{DeliveryID: d.ID, At: time.Now(), Class: "refused"}, Next: hook.Dead})
	}
	if err := w.store.Settle(t.Context(), settle...); err != nil {
		t.Fatal(err)
	}
	if got := w.call("POST", "/deliveries/"+w.deliver.offered[0].ID+"/replay", "", 200); got["count"] != 1.0 {
		t.Errorf("one: %v", got)
	}
	if got := w.call("POST", "/replay", `{"subscription":"main/fixed","selector":"order/1"}`, 200); got["count"] != 1.0 {
		t.Errorf("by selector: %v", got)
	}
	if got := w.call("POST", "/replay", `{"after":"2000-01-01T00:00:00Z"}`, 200); got["count"] != 1.0 {
		t.Errorf("the rest: %v", got)
	}
	if got := items(w.call("GET", "/deliveries?state=pending", "", 200)); len(got) != 3 || len(w.deliver.woken) != 3 {
		t.Errorf("pending %v, woken %v", got, w.deliver.woken)
	}
}

// A replay of many goes in steps, each from where the one before ended, and
// without what arrives meanwhile.
func TestReplayInSteps(t *testing.T) {
	w := newWorld(t, works, loopback, "")
	die := func() {
		t.Helper()
		w.receive(`{"id": 1}`)
		d := w.deliver.offered[len(w.deliver.offered)-1]
		if err := w.store.Settle(t.Context(), hook.Settlement{Attempt: hook.Attempt{DeliveryID: d.ID, At: time.Now(), Class: "refused"}, Next: hook.Dead}); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		die()
	}
	if got := w.call("POST", "/replay", `{"subscription":"main/fixed","dryRun":true}`, 200); got["count"] != 5.0 {
		t.Errorf("dry run: %v", got)
	}
	if got := items(w.call("GET", "/deliveries?state=dead", "", 200)); len(got) != 5 {
		t.Fatalf("a dry run replayed: %v", got)
	}
	var next string
	for step, want := range []float64{2, 2, 1} {
		body, _ := json.Marshal(map[string]any{"subscription": "main/fixed", "limit": 2, "cursor": next})
		got := w.call("POST", "/replay", string(body), 200)
		next, _ = got["next"].(string)
		if got["count"] != want || (next == "") != (step == 2) {
			t.Errorf("step %d: %v", step, got)
		}
		if step == 0 {
			die() // later than the replay began
			pending := items(w.call("GET", "/deliveries?state=pending", "", 200))
			if len(pending) != 2 || pending[1].(map[string]any)["id"] != w.deliver.offered[0].ID {
				t.Errorf("the oldest are not first: %v", pending)
			}
		}
	}
	if got := items(w.call("GET", "/deliveries?state=dead", "", 200)); len(got) != 1 {
		t.Errorf("what arrived meanwhile is replayed, too: %v", got)
	}
	for _, body := range []string{`{"subscription":"main/fixed","cursor":"x"}`, `{"subscription":"main/fixed","cursor":"1.x"}`, `{"subscription":"main/fixed","limit":-1}`} {
		w.call("POST", "/replay", body, 400)
	}
}

func TestReplayOfRequest(t *testing.T) {
	w := newWorld(t, "export default () => { throw new Error('boom') }", loopback, "")
	id := w.receive(`{"id": 1}`)
	path := "/requests/" + id + "/replay"
	if got := w.call("POST", path, "", 200); got["outcome"] != "failed" {
		t.Errorf("still broken: %v", got)
	}
	w.load(works)
	dry := w.call("POST", path+"?dryRun=true", "", 200)
	if dry["outcome"] != "accepted" || len(dry["stored"].([]any)) != 0 || len(dry["events"].([]any)) != 1 {
		t.Errorf("dry run: %v", dry)
	}
	if got := w.call("GET", "/requests/"+id, "", 200); got["outcome"] != "failed" || len(w.deliver.offered) != 0 {
		t.Errorf("a dry run stored: %v", got)
	}
	w.call("POST", path, "", 200)
	got := w.call("GET", "/requests/"+id, "", 200)
	if got["outcome"] != "accepted" || len(got["events"].([]any)) != 1 || len(w.deliver.offered) != 1 {
		t.Errorf("replayed: %v", got)
	}
	w.call("POST", path, "", 409)
	w.call("POST", path+"?force=true", "", 200)
	got = w.call("GET", "/requests/"+id, "", 200)
	events := got["events"].([]any)
	if len(events) != 2 || events[0].(map[string]any)["id"] == events[1].(map[string]any)["id"] || len(w.deliver.offered) != 2 {
		t.Errorf("forced: %v", events)
	}
}

// TestEverythingNeedsTheToken calls all there is without it.
func TestEverythingNeedsTheToken(t *testing.T) {
	w := newWorld(t, works, loopback, "t0ken")
	for _, route := range w.console.Routes() {
		method, path, _ := strings.Cut(route, " ")
		if path == "/healthz" || path == "/readyz" {
			continue
		}
		if code, text, header := w.send(request(method, path, "")); code != 401 || header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s is answered %d without a token: %s", route, code, text)
		}
	}
}

func TestGuard(t *testing.T) {
	header := func(r *http.Request, name, value string) *http.Request { r.Header.Set(name, value); return r }
	host := func(r *http.Request, host string) *http.Request { r.Host = host; return r }
	get := func() *http.Request { return request("GET", "/api/v1/requests", "") }
	post := func() *http.Request { return request("POST", "/api/v1/replay", `{"selector":"x"}`) }
	for name, c := range map[string]struct {
		listen, token string
		r             *http.Request
		status        int
	}{
		"open":                     {loopback, "", get(), 200},
		"no token":                 {loopback, "t0ken", get(), 401},
		"wrong token":              {loopback, "t0ken", header(get(), "Authorization", "Bearer t0kem"), 401},
		"other scheme":             {loopback, "t0ken", header(get(), "Authorization", "Basic t0ken"), 401},
		"right token":              {loopback, "t0ken", header(get(), "Authorization", "Bearer t0ken"), 200},
		"health needs no token":    {loopback, "t0ken", request("GET", "/healthz", ""), 200},
		"readiness needs no token": {loopback, "t0ken", request("GET", "/readyz", ""), 503},
		"rebound name":             {loopback, "", host(get(), "evil.example:8081"), 403},
		"rebound name, readiness":  {loopback, "", host(request("GET", "/readyz?verbose", ""), "evil.example"), 403},
		"name that looks like one": {loopback, "", host(get(), "127.0.0.1.evil.example"), 403},
		"localhost":                {loopback, "", host(get(), "localhost:8081"), 200},
		"IPv6 loopback":            {loopback, "", host(get(), "[::1]:8081"), 200},
		"any name, not loopback":   {"0.0.0.0:8081", "t0ken", header(host(get(), "gw.example"), "Authorization", "Bearer t0ken"), 200},
		"own origin":               {loopback, "", header(post(), "Origin", "http://127.0.0.1:8081"), 200},
		"own page":                 {loopback, "", header(get(), "Sec-Fetch-Site", "same-origin"), 200},
		"typed in":                 {loopback, "", header(get(), "Sec-Fetch-Site", "none"), 200},
		"other site":               {loopback, "", header(get(), "Sec-Fetch-Site", "cross-site"), 403},
		"other port, same site":    {loopback, "", header(post(), "Sec-Fetch-Site", "same-site"), 403},
		"link to a page":           {loopback, "t0ken", header(request("GET", "/", ""), "Sec-Fetch-Site", "cross-site"), 200},
		"a detour":                 {loopback, "t0ken", request("GET", "/assets/../api/v1/requests", ""), 401},
		"readiness in full":        {loopback, "t0ken", request("GET", "/readyz?verbose", ""), 401},
		"metrics need the token":   {loopback, "t0ken", request("GET", "/metrics", ""), 401},
		"the document needs it":    {loopback, "t0ken", request("GET", "/api/openapi.json", ""), 401},
		"unknown paths need it":    {loopback, "t0ken", request("GET", "/api/v2/none", ""), 401},
		"other origin":             {loopback, "", header(post(), "Origin", "http://evil.example"), 403},
		"other port":               {loopback, "", header(post(), "Origin", "http://127.0.0.1:3000"), 403},
		"null origin":              {loopback, "", header(post(), "Origin", "null"), 403},
		"form":                     {loopback, "", header(post(), "Content-Type", "application/x-www-form-urlencoded"), 415},
		"text":                     {loopback, "", header(post(), "Content-Type", "text/plain"), 415},
		"JSON with charset":        {loopback, "", header(post(), "Content-Type", "application/json; charset=utf-8"), 200},
		"form without body":        {loopback, "", header(request("POST", "/api/v1/subscriptions/main/fixed/enable", ""), "Content-Type", "application/x-www-form-urlencoded"), 415},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, works, c.listen, c.token)
			code, text, header := w.send(c.r)
			if code != c.status {
				t.Errorf("status %d, not %d: %s", code, c.status, text)
			}
			policy := header.Get("Content-Security-Policy")
			if !strings.HasPrefix(policy, "default-src 'none'; ") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") ||
				header.Get("X-Frame-Options") != "DENY" || header.Get("Referrer-Policy") != "no-referrer" || header.Get("Cross-Origin-Resource-Policy") != "same-origin" {
				t.Errorf("headers: %v", header)
			}
		})
	}
}
