package verify_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"switchhook/gateway/body"
	"switchhook/gateway/hook"
	"switchhook/gateway/verify"
	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func parse(t testing.TB, yaml string) (*verify.Scheme, diagnostic.List) {
	t.Helper()
	doc, list := document.Parse("spec.yml", []byte(yaml))
	if list.HasErrors() {
		t.Fatalf("YAML: %v\n%s", list, yaml)
	}
	return verify.Parse(doc.Root)
}

func scheme(t testing.TB, yaml string) *verify.Scheme {
	t.Helper()
	s, list := parse(t, yaml)
	if len(list) > 0 {
		var b strings.Builder
		_ = diagnostic.WriteText(&b, list, false)
		t.Fatalf("Parse:\n%s", b.String())
	}
	return s
}

type parameters map[string]any

func bind(t testing.TB, yaml string, p parameters, opt ...verify.Options) *verify.Verifier {
	t.Helper()
	var o verify.Options
	if len(opt) > 0 {
		o = opt[0]
	}
	v, err := scheme(t, yaml).Bind(marshal(t, p), o)
	if err != nil {
		t.Fatalf("Bind: %v\n%s", err, yaml)
	}
	return v
}

func marshal(t testing.TB, v any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// request makes a request; headers are name, value, name, value, ...
func request(method, url, content string, headers ...string) *hook.Request {
	req := &hook.Request{Method: method, URL: url, Body: []byte(content)}
	if url == "" {
		req.URL = "https://gw.example/demo/app/events/token"
	}
	rest := strings.TrimPrefix(strings.TrimPrefix(req.URL, "https://"), "http://")
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		req.Path, req.Query, _ = strings.Cut(rest[i:], "?")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Headers = append(req.Headers, hook.Header{Name: headers[i], Value: headers[i+1]})
	}
	return req
}

func check(v *verify.Verifier, req *hook.Request, now time.Time, state ...map[string]string) error {
	parsed := sync.OnceValue(func() *body.Parsed { return body.Parse(req.Headers.Get("Content-Type"), req.Body) })
	var s map[string]string
	if len(state) > 0 {
		s = state[0]
	}
	return v.Verify(context.Background(), req, parsed, s, now)
}

// accepted fails the test unless the request verifies.
func accepted(t testing.TB, v *verify.Verifier, req *hook.Request, now time.Time, state ...map[string]string) {
	t.Helper()
	if err := check(v, req, now, state...); err != nil {
		t.Errorf("Verify: %v", err)
	}
}

// refused fails the test unless the request is rejected with a reason that contains want.
func refused(t testing.TB, v *verify.Verifier, req *hook.Request, now time.Time, want string, state ...map[string]string) {
	t.Helper()
	err := check(v, req, now, state...)
	rejected, ok := errors.AsType[*verify.Rejected](err)
	if !ok {
		t.Errorf("Verify = %v, want a *Rejected with %q", err, want)
		return
	}
	if !strings.Contains(rejected.Reason, want) {
		t.Errorf("reason = %q, want it to contain %q", rejected.Reason, want)
	}
}

// clone copies a request deeply.
func clone(req *hook.Request) *hook.Request {
	c := *req
	c.Headers = append(hook.Headers(nil), req.Headers...)
	c.Body = append([]byte{}, req.Body...)
	return &c
}

type vectors struct {
	Vectors []struct {
		ID, Provider, Key string
		KeyEncoding       string `json:"key_encoding"`
		KeyDisplay        string `json:"key_display"`
		Now               int64
		Request           struct {
			Method, URL string
			Headers     map[string]string
			Body        string
			BodyB64     []byte `json:"body_b64"`
		}
		Signature string
	}
}

func loadVectors(t testing.TB) vectors {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}
