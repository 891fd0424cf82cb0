package ingest_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"switchhook/gateway/config"
	"switchhook/gateway/hook"
	"switchhook/gateway/ingest"
	"switchhook/gateway/live"
	"switchhook/gateway/script"
	"switchhook/gateway/store"
	"switchhook/gateway/verify"
)

const connector = `
key: shop
name: Shop
parametersSchema: {type: object, required: [token], properties: {token: {type: string, minLength: 1}}}
globalWebhooks:
  orders:
    verify: {scheme: token, header: X-Token, secret: parameters.token}
    handshake:
      verified: true
      when: {body: {do: confirm}}
      confirm: {field: url, allow: ["https://api.example.com/"]}
      respond: {status: 204}
      remember: {code: body.code}
    handle: |
      export default function handle({ data, parameters }) {
        if (data?.do === 'throw') throw new Error('boom')
        if (data?.do === 'refuse') throw new HttpError(418, 'no')
        if (data?.do === 'loop') for (;;);
        return {
          events: [{ selector: 'order/' + data?.id, payload: data, id: data?.key, type: 'order' }, { selector: 'other', payload: 1 }],
          response: { status: 202, data: { ok: true } },
        }
      }
`

const configuration = `
workspaces:
  main:
    integrations:
      shop: {connector: shop, parameters: {token: t0ken}}
    subscriptions:
      all: {integration: shop, selector: "order/*", ordered: true, destination: {type: stdout, retry: {delays: [3s]}}}
`

// fake is a store that remembers what it was given, or fails.
type fake struct {
	records    []*hook.Record
	remembered map[string]string
	err        error
}

func (f *fake) Append(_ context.Context, rec *hook.Record) error {
	if f.err == nil {
		f.records = append(f.records, rec)
	}
	return f.err
}
func (f *fake) State(context.Context, string) (map[string]string, error) { return nil, f.err }
func (f *fake) Remember(_ context.Context, _, key, value string, _ bool) error {
	if f.err == nil {
		if f.remembered == nil {
			f.remembered = map[string]string{}
		}
		f.remembered[key] = value
	}
	return f.err
}

// fetcher is asked for URLs.
type fetcher struct {
	urls []string
	err  error
}

func (f *fetcher) Fetch(_ context.Context, url string) ([]byte, error) {
	f.urls = append(f.urls, url)
	return nil, f.err
}

type observer struct{ turned []ingest.Turned }

func (o *observer) Stored(*hook.Record, time.Duration) {}
func (o *observer) Turned(t ingest.Turned)             { o.turned = append(o.turned, t) }

type fixture struct {
	store    *fake
	observer *observer
	fetcher  *fetcher
	offered  []*hook.Delivery
	pipeline *ingest.Pipeline
	endpoint *live.Endpoint
}

func newFixture(t *testing.T) *fixture {
	dir := t.TempDir()
	for name, text := range map[string]string{"config.yaml": configuration, "connectors/shop.yml": connector} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cfg, list := config.Load(filepath.Join(dir, "config.yaml"), config.Options{Env: func(string) (string, bool) { return "", false }})
	if list.HasErrors() {
		t.Fatal(list)
	}
	engine := script.NewInProcess(script.Options{Timeout: 200 * time.Millisecond})
	t.Cleanup(func() { engine.Close() })
	l := live.New(&live.Builder{Engine: engine, URLKey: live.URLKey("0123456789abcdef"), Now: time.Now})
	g, list := l.Reload(t.Context(), cfg)
	if list.HasErrors() {
		t.Fatal(list)
	}
	f := &fixture{store: &fake{}, observer: &observer{}, fetcher: &fetcher{}, endpoint: g.Endpoints[0]}
	f.pipeline = ingest.New(ingest.Options{
		Engine: engine, Store: f.store, Subscriptions: l, Now: time.Now, NewID: func() string { return "01ERR" },
		Offer: func(ds []*hook.Delivery) { f.offered = append(f.offered, ds...) }, Observer: f.observer, Fetcher: f.fetcher,
	})
	return f
}

func (f *fixture) send(body string, headers ...hook.Header) *hook.Response {
	headers = append(headers, hook.Header{Name: "Content-Type", Value: "application/json"})
	return f.pipeline.Receive(context.Background(), f.endpoint, &hook.Request{
		ID: "req_01ARRIVED", Method: "POST", Path: f.endpoint.Path, URL: f.endpoint.URL, Headers: headers, Body: []byte(body), ReceivedAt: time.Unix(1000, 0),
	})
}

var token = hook.Header{Name: "X-Token", Value: "t0ken"}

func TestAccepted(t *testing.T) {
	f := newFixture(t)
	body := `{"id": 7, "key": "k1", "big": 9007199254740993}`
	resp := f.send(body, token, hook.Header{Name: "Traceparent", Value: "00-1-2-01"})
	if resp.Status != 202 || string(resp.Body) != `{"ok":true}` {
		t.Errorf("answered %d %s", resp.Status, resp.Body)
	}
	if len(f.store.records) != 1 {
		t.Fatalf("%d records", len(f.store.records))
	}
	rec := f.store.records[0]
	if rec.Outcome != hook.Accepted || rec.Verified != "token" || rec.Response.Status != 202 || rec.Failure != nil {
		t.Errorf("record %+v", rec)
	}
	if r := rec.Request; r.Workspace != "main" || r.Integration != "shop" || r.Webhook != "orders" || r.Connector != "shop" {
		t.Errorf("request %+v", r)
	}
	if len(rec.Events) != 2 {
		t.Fatalf("%d events", len(rec.Events))
	}
	e := rec.Events[0]
	if e.ID != "evt_01ARRIVED_0" || e.RequestID != "req_01ARRIVED" || e.Key != "k1" || e.Type != "order" || e.Selector != "order/7" {
		t.Errorf("event %+v", e)
	}
	if string(e.Payload) != body || !e.FromBody {
		t.Errorf("the payload is not the body's bytes: %s", e.Payload)
	}
	if len(rec.Deliveries) != 1 || len(f.offered) != 1 || f.offered[0] != rec.Deliveries[0] {
		t.Fatalf("%d deliveries, %d offered", len(rec.Deliveries), len(f.offered))
	}
	d := rec.Deliveries[0]
	if d.Event != e || d.Subscription != "main/all" || !d.Ordered || d.TraceParent != "00-1-2-01" || d.State != hook.Pending {
		t.Errorf("delivery %+v", d)
	}
	if want := time.Unix(1003, 0); !d.DueAt.Equal(want) {
		t.Errorf("due at %v, not %v: the first delay counts from the event", d.DueAt, want)
	}
}

func TestUnverified(t *testing.T) {
	f := newFixture(t)
	for _, headers := range [][]hook.Header{nil, {{Name: "X-Token", Value: "wrong"}}, {{Name: "X-Token", Value: ""}}} {
		resp := f.send(`{"id": 7}`, headers...)
		if resp.Status != 401 || strings.Contains(string(resp.Body), "t0ken") {
			t.Errorf("answered %d %s", resp.Status, resp.Body)
		}
	}
	if len(f.store.records) != 0 {
		t.Error("a request that does not verify was stored")
	}
	if n := len(f.observer.turned); n != 3 || f.observer.turned[0].Kind != "unverified" {
		t.Errorf("observed %+v", f.observer.turned)
	}
}

// A handshake is confirmed once the request has been verified, and only then is it agreed.
func TestHandshakeIsConfirmed(t *testing.T) {
	const address = "https://api.example.com/?token=s3cret"
	body := `{"do": "confirm", "url": "` + address + `", "code": "c"}`
	f := newFixture(t)
	if resp := f.send(body); resp.Status != 401 || len(f.fetcher.urls) != 0 {
		t.Errorf("unverified: answered %d, fetched %q", resp.Status, f.fetcher.urls)
	}
	if resp := f.send(`{"do": "confirm", "url": "https://evil.example/"}`, token); resp.Status != 400 || len(f.fetcher.urls) != 0 {
		t.Errorf("elsewhere: answered %d, fetched %q", resp.Status, f.fetcher.urls)
	}
	for _, err := range []error{&verify.FetchError{Status: 500}, &url.Error{Op: "Get", URL: address, Err: errors.New("no route")}} {
		f.fetcher.err = err
		resp := f.send(body, token)
		turned := f.observer.turned[len(f.observer.turned)-1]
		if resp.Status != 503 || resp.Headers.Get("Retry-After") == "" || f.store.remembered != nil {
			t.Errorf("%v: answered %d, remembered %v", err, resp.Status, f.store.remembered)
		}
		if turned.Kind != "unavailable" || strings.Contains(turned.Reason, "s3cret") || !strings.HasPrefix(turned.Reason, "confirming a handshake: ") {
			t.Errorf("%v: observed %+v", err, turned)
		}
	}
	f.fetcher.err, f.fetcher.urls = nil, nil
	resp := f.send(body, token)
	turned := f.observer.turned[len(f.observer.turned)-1]
	if resp.Status != 204 || turned.Kind != "handshake" || !slices.Equal(f.fetcher.urls, []string{address}) || f.store.remembered["code"] != "c" {
		t.Errorf("answered %d, observed %+v, fetched %q, remembered %v", resp.Status, turned, f.fetcher.urls, f.store.remembered)
	}
	if len(f.store.records) != 0 {
		t.Error("a handshake became a record")
	}
}

func TestFailedRequestsAreKept(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		body    string
		status  int
		outcome hook.Outcome
		kind    string
	}{
		{`{"do": "throw"}`, 500, hook.Failed, "thrown"},
		{`{"do": "loop"}`, 504, hook.Failed, "timeout"},
		{`{"do": "refuse"}`, 418, hook.Refused, "refused"},
		{strings.Repeat("[", 101) + strings.Repeat("]", 101), 400, hook.Refused, "input"},
	} {
		resp := f.send(c.body, token)
		rec := f.store.records[len(f.store.records)-1]
		if resp.Status != c.status || rec.Outcome != c.outcome || rec.Failure == nil || rec.Failure.Kind != c.kind {
			t.Errorf("%s: answered %d, record %s %+v", c.body, resp.Status, rec.Outcome, rec.Failure)
		}
		if c.outcome == hook.Failed && (rec.Failure.ID != "err_01ERR" || !strings.Contains(string(resp.Body), "err_01ERR") || strings.Contains(string(resp.Body), "boom")) {
			t.Errorf("%s: the answer must have the error id and nothing else: %s", c.body, resp.Body)
		}
		if string(rec.Request.Body) != c.body || len(rec.Events) != 0 || len(rec.Deliveries) != 0 {
			t.Errorf("%s: record %+v", c.body, rec)
		}
	}
}

func TestBodyThatDoesNotParse(t *testing.T) {
	f := newFixture(t)
	if resp := f.send(`{"id":`, token); resp.Status != 202 {
		t.Errorf("answered %d", resp.Status)
	}
	if rec := f.store.records[0]; len(rec.Notes) != 1 || !strings.Contains(rec.Notes[0], "JSON") {
		t.Errorf("notes %q", rec.Notes)
	}
}

func TestNotStoredIsNotAcknowledged(t *testing.T) {
	for _, err := range []error{store.ErrFull, store.ErrBroken} {
		f := newFixture(t)
		f.store.err = nil
		if resp := f.send(`{"id": 1}`, token); resp.Status != 202 { // so that the state is known
			t.Fatal(resp.Status)
		}
		f.offered, f.store.err = nil, err
		resp := f.send(`{"id": 7}`, token)
		if resp.Status != 503 || resp.Headers.Get("Retry-After") == "" {
			t.Errorf("%v: answered %d %v", err, resp.Status, resp.Headers)
		}
		if len(f.offered) != 0 {
			t.Errorf("%v: what is not stored was offered for delivery", err)
		}
	}
}

func TestUnverifiedOptionSkipsVerification(t *testing.T) {
	f := newFixture(t)
	rec, answered := f.pipeline.Run(t.Context(), f.endpoint, &hook.Request{ID: "req_1", Method: "POST",
		Headers: hook.Headers{{Name: "Content-Type", Value: "application/json"}}, Body: []byte(`{"id": 1}`)}, ingest.Unverified())
	if answered != nil || rec.Outcome != hook.Accepted || len(rec.Events) != 2 {
		t.Errorf("%+v %+v", rec, answered)
	}
}
