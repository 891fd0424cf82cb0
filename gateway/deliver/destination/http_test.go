package destination_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"switchhook/gateway/deliver"
	"switchhook/gateway/deliver/destination"
	"switchhook/gateway/hook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// senders returns the senders, closed at the end of the test.
func senders(t testing.TB, o destination.Options) map[string]deliver.Sender {
	t.Helper()
	s := destination.Senders(o)
	t.Cleanup(func() {
		for kind, s := range s {
			if err := s.Close(); err != nil {
				t.Errorf("close %s: %v", kind, err)
			}
		}
	})
	return s
}

func subscription(d hook.Destination) *hook.Subscription {
	if d.Timeout == 0 {
		d.Timeout = 10 * time.Second
	}
	return &hook.Subscription{Workspace: "demo", Name: "orders", Destination: d}
}

func delivery(payload string) *hook.Delivery {
	return &hook.Delivery{
		ID: "dlv_1", Subscription: "demo/orders", Workspace: "demo", Integration: "shop", Webhook: "events", Connector: "acme",
		ReceivedAt: time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC), State: hook.Pending,
		TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		Event:       &hook.Event{ID: "evt_1", RequestID: "req_1", Selector: "order.created/42", Payload: []byte(payload)},
	}
}

// send makes one attempt as the engine does.
func send(s deliver.Sender, sub *hook.Subscription, d *hook.Delivery) deliver.Result {
	ctx, cancel := context.WithTimeout(context.Background(), sub.Destination.Timeout)
	defer cancel()
	return s.Send(ctx, sub, d)
}

// receiver is an HTTP server that keeps its last request.
type receiver struct {
	*httptest.Server
	request *http.Request
	body    []byte
	count   atomic.Int32
	conns   atomic.Int32
}

func receive(t testing.TB, answer http.HandlerFunc) *receiver {
	return receiveWith(t, answer, (*httptest.Server).Start)
}

func receiveWith(t testing.TB, answer http.HandlerFunc, start func(*httptest.Server)) *receiver {
	r := &receiver{}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.request, r.body = req, body
		r.count.Add(1)
		if answer != nil {
			answer(w, req)
		}
	}))
	r.Config.ErrorLog = discardLog
	r.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			r.conns.Add(1)
		}
	}
	start(r.Server)
	t.Cleanup(r.CloseClientConnections)
	t.Cleanup(r.Server.Close)
	return r
}

func TestHTTPRequest(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	s := senders(t, destination.Options{Now: func() time.Time { return now }, Version: "1.2"})["http"]
	r := receive(t, nil)
	first, second := "whsec_"+base64.StdEncoding.EncodeToString([]byte("first-secret-of-24-bytes")), "whsec_"+base64.StdEncoding.EncodeToString([]byte("other-secret-of-24-bytes"))
	const payload = `{"n": 9007199254740993, "a":"\u00e9", "a":1}`
	sub := subscription(hook.Destination{
		URL: r.URL + "/hooks?key=1", Allow: loopback, Secrets: []string{first, second},
		Headers: hook.Headers{{Name: "authorization", Value: "Bearer abc"}, {Name: "X-Two", Value: "1"}, {Name: "X-Two", Value: "2"}},
	})
	if res := send(s, sub, delivery(payload)); res.Class != "ok" || res.Status != 200 || res.Error != "" {
		t.Fatalf("%+v", res)
	}
	if string(r.body) != payload {
		t.Errorf("the body is %s", r.body)
	}
	h := r.request.Header
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Webhook-Id": "evt_1", "Webhook-Timestamp": fmt.Sprint(now.Unix()),
		"X-Switchhook-Selector": "order.created/42", "X-Switchhook-Subscription": "demo/orders",
		"User-Agent": "Switchhook/1.2", "Authorization": "Bearer abc", "Content-Length": fmt.Sprint(len(payload)),
		"Accept-Encoding": "",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := h.Values("X-Two"); len(got) != 2 {
		t.Errorf("X-Two is %q", got)
	}
	if got := h.Get("Traceparent"); !strings.HasPrefix(got, "00-4bf92f3577b34da6a3ce929d0e0e4736-") || strings.Contains(got, "00f067aa0ba902b7") {
		t.Errorf("Traceparent is %q", got)
	}
	if r.request.Method != "POST" || r.request.RequestURI != "/hooks?key=1" {
		t.Errorf("it was %s %s", r.request.Method, r.request.RequestURI)
	}
	if n := len(strings.Fields(h.Get("Webhook-Signature"))); n != 2 {
		t.Errorf("%d signatures", n)
	}
	for _, secret := range []string{first, second} {
		wh, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := wh.VerifyIgnoringTimestamp(r.body, h); err != nil {
			t.Errorf("the receiver cannot verify with %s: %v", secret, err)
		}
	}

	// Unsigned and untraced.
	d := delivery("{}")
	d.TraceParent = "nonsense"
	sub = subscription(hook.Destination{URL: r.URL, Allow: loopback})
	if res := send(s, sub, d); res.Class != "ok" {
		t.Fatalf("%+v", res)
	}
	if h := r.request.Header; h.Get("Webhook-Signature") != "" || h.Get("Traceparent") != "" || h.Get("Webhook-Id") == "" {
		t.Errorf("headers %v", h)
	}
}

func TestHTTPCloudEvents(t *testing.T) {
	s := senders(t, destination.Options{})["http"]
	r := receive(t, nil)
	secret := "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	wh, _ := standardwebhooks.NewWebhook(secret)
	for mode, contentType := range map[string]string{"binary": "application/json", "structured": "application/cloudevents+json; charset=utf-8"} {
		sub := subscription(hook.Destination{URL: r.URL, Allow: loopback, CloudEvents: mode, Secrets: []string{secret}})
		if res := send(s, sub, delivery(`{"a":1}`)); res.Class != "ok" {
			t.Fatalf("%s: %+v", mode, res)
		}
		h := r.request.Header
		if got := h.Get("Content-Type"); got != contentType {
			t.Errorf("%s: Content-Type is %q", mode, got)
		}
		if err := wh.Verify(r.body, h); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
		if mode == "binary" && (h.Get("ce-id") != "evt_1" || h.Get("ce-specversion") != "1.0" || h.Get("ce-source") != "/demo/shop/events" || h.Get("ce-time") != "2026-01-02T03:04:05.6Z" || string(r.body) != `{"a":1}`) {
			t.Errorf("binary: %v %s", h, r.body)
		}
		if mode == "structured" && (h.Get("ce-id") != "" || !bytes.Contains(r.body, []byte(`"data":{"a":1}}`))) {
			t.Errorf("structured: %v %s", h, r.body)
		}
	}
}

func TestHTTPAnswers(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := senders(t, destination.Options{Now: func() time.Time { return now }})["http"]
	for _, c := range []struct {
		name   string
		status int
		header map[string]string
		want   deliver.Result
	}{
		{"ok", 200, nil, deliver.Result{Status: 200, Class: "ok"}},
		{"no content", 204, nil, deliver.Result{Status: 204, Class: "ok"}},
		{"any 2xx", 299, nil, deliver.Result{Status: 299, Class: "ok"}},
		{"redirect", 307, map[string]string{"Location": "/elsewhere?s3cr3t"}, deliver.Result{Status: 307, Class: "redirect"}},
		{"moved", 301, map[string]string{"Location": "/elsewhere"}, deliver.Result{Status: 301, Class: "redirect"}},
		{"gone", 410, nil, deliver.Result{Status: 410, Class: "gone", Gone: true}},
		{"not found", 404, nil, deliver.Result{Status: 404, Class: "status"}},
		{"server error", 500, map[string]string{"Retry-After": "60"}, deliver.Result{Status: 500, Class: "status"}},
		{"too many", 429, map[string]string{"Retry-After": "60"}, deliver.Result{Status: 429, Class: "status", RetryAfter: time.Minute}},
		{"too many, date", 429, map[string]string{"Retry-After": "Fri, 02 Jan 2026 03:05:35 GMT"}, deliver.Result{Status: 429, Class: "status", RetryAfter: 90 * time.Second}},
		{"unavailable", 503, map[string]string{"Retry-After": "5"}, deliver.Result{Status: 503, Class: "status", RetryAfter: 5 * time.Second}},
		{"unavailable for ages", 503, map[string]string{"Retry-After": "99999999"}, deliver.Result{Status: 503, Class: "status", RetryAfter: 24 * time.Hour}},
		{"unregistered", 599, nil, deliver.Result{Status: 599, Class: "status"}},
	} {
		r := receive(t, func(w http.ResponseWriter, _ *http.Request) {
			for k, v := range c.header {
				w.Header().Set(k, v)
			}
			w.WriteHeader(c.status)
			if c.status >= 300 {
				fmt.Fprint(w, "because")
			}
		})
		got := send(s, subscription(hook.Destination{URL: r.URL, Allow: loopback}), delivery("{}"))
		if c.status >= 300 && string(got.Response) != "because" {
			t.Errorf("%s: the response is %q", c.name, got.Response)
		}
		if (got.Error == "") != (c.want.Class == "ok") || strings.Contains(got.Error, "s3cr3t") {
			t.Errorf("%s: the error is %q", c.name, got.Error)
		}
		got.Error, got.Response = "", nil
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		if n := r.count.Load(); n != 1 {
			t.Errorf("%s: %d requests", c.name, n)
		}
	}
}

// raw is a TCP server that answers each connection with f.
func raw(t testing.TB, f func(net.Conn)) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		conns   []net.Conn
	)
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			running.Go(func() { f(c); c.Close() })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return "http://" + l.Addr().String()
}

func readRequest(c net.Conn) {
	buf := make([]byte, 4096)
	_, _ = c.Read(buf)
}

func TestHTTPBadReceivers(t *testing.T) {
	s := senders(t, destination.Options{})["http"]
	plain := receive(t, nil)
	secure := receiveWith(t, nil, (*httptest.Server).StartTLS)
	for _, c := range []struct {
		name, url, class, text string
	}{
		{"refused", closedPort(t), "refused", "connection refused"},
		{"dns", "http://nobody.invalid/", "dns", "nobody.invalid"},
		{"unknown authority", secure.URL, "tls", "certificate"},
		{"plain where TLS is expected", "https" + strings.TrimPrefix(plain.URL, "http"), "tls", "TLS"},
		{"TLS where plain is expected", "http" + strings.TrimPrefix(secure.URL, "https"), "status", "400"},
		{"reset", raw(t, func(c net.Conn) { readRequest(c); _ = c.(*net.TCPConn).SetLinger(0) }), "reset", ""},
		{"closed", raw(t, readRequest), "reset", "closed"},
		{"closed within the head", raw(t, func(c net.Conn) { readRequest(c); fmt.Fprint(c, "HTTP/1.1 200 OK\r\nA: b") }), "reset", "closed"},
		{"not HTTP", raw(t, func(c net.Conn) { readRequest(c); fmt.Fprint(c, "SSH-2.0-OpenSSH_9.9\x1b[31m\r\n\r\n") }), "protocol", "malformed"},
		{"endless head", raw(t, func(c net.Conn) {
			readRequest(c)
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\n")
			for {
				if _, err := fmt.Fprintf(c, "X: %s\r\n", strings.Repeat("x", 1000)); err != nil {
					return
				}
			}
		}), "protocol", ""},
		{"no answer", raw(t, func(c net.Conn) { readRequest(c); _, _ = io.Copy(io.Discard, c) }), "timeout", "300ms"},
		{"slow head", raw(t, func(c net.Conn) {
			readRequest(c)
			for _, b := range []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}), "timeout", "300ms"},
		{"TLS handshake that hangs", "https" + strings.TrimPrefix(raw(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }), "http"), "timeout", "300ms"},
		{"wrong scheme", "ftp://127.0.0.1/", "gateway", "not an http"},
		{"bad URL", "http://127.0.0.1:port/s3cr3t", "gateway", "not an http"},
	} {
		t.Run(c.name, func(t *testing.T) {
			timeout := 20 * time.Second // a handshake takes a while on a busy machine
			if c.class == "timeout" {
				timeout = 300 * time.Millisecond
			}
			began := time.Now()
			got := send(s, subscription(hook.Destination{URL: c.url, Allow: loopback, Timeout: timeout}), delivery("{}"))
			if got.Class != c.class || !strings.Contains(got.Error, c.text) || got.Error == "" || strings.ContainsAny(got.Error, "\x1b\n") || strings.Contains(got.Error, "s3cr3t") {
				t.Errorf("%+v, want class %s and %q", got, c.class, c.text)
			}
			if took := time.Since(began); took > timeout+10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func closedPort(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// The status decides; a body that does not end is bounded by the timeout, and in memory.
func TestHTTPEndlessAndSlowBodies(t *testing.T) {
	s := senders(t, destination.Options{})["http"]
	var written atomic.Int64
	endless := receive(t, func(w http.ResponseWriter, r *http.Request) {
		chunk := bytes.Repeat([]byte("x"), 16<<10)
		for {
			n, err := w.Write(chunk)
			written.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	slow := receive(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(500)
		for r.Context().Err() == nil {
			fmt.Fprint(w, "x")
			w.(http.Flusher).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	})
	began := time.Now()
	got := send(s, subscription(hook.Destination{URL: endless.URL, Allow: loopback}), delivery("{}"))
	if got.Class != "ok" || len(got.Response) != 4096 || time.Since(began) > 5*time.Second {
		t.Errorf("endless: %s %d bytes after %v", got.Class, len(got.Response), time.Since(began))
	}
	if n := written.Load(); n > 20<<20 {
		t.Errorf("%d bytes were taken", n)
	}
	began = time.Now()
	got = send(s, subscription(hook.Destination{URL: slow.URL, Allow: loopback, Timeout: 200 * time.Millisecond}), delivery("{}"))
	if took := time.Since(began); got.Class != "status" || got.Status != 500 || len(got.Response) == 0 || took > 10*time.Second {
		t.Errorf("slow: %+v after %v", got, took)
	}
}

func TestHTTPKeepAliveAndAllowLists(t *testing.T) {
	s := senders(t, destination.Options{})["http"]
	r := receive(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(404)
		_, _ = w.Write(bytes.Repeat([]byte("x"), 20<<10)) // more than is kept
	})
	sub := subscription(hook.Destination{URL: r.URL, Allow: loopback})
	for range 5 {
		if got := send(s, sub, delivery("{}")); got.Status != 404 {
			t.Fatalf("%+v", got)
		}
	}
	if n := r.conns.Load(); n != 1 {
		t.Errorf("%d connections for 5 requests", n)
	}
	// A destination that may not connect there cannot use the open connection.
	for name, d := range map[string]hook.Destination{
		"without allow": {URL: r.URL},
		"another allow": {URL: r.URL, Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		"by name":       {URL: strings.Replace(r.URL, "127.0.0.1", "localhost", 1)},
		"mapped":        {URL: strings.Replace(r.URL, "127.0.0.1", "[::ffff:127.0.0.1]", 1)},
		"unspecified":   {URL: strings.Replace(r.URL, "127.0.0.1", "0.0.0.0", 1)},
		"v6":            {URL: strings.Replace(r.URL, "127.0.0.1", "[::1]", 1)},
		"metadata":      {URL: "http://169.254.169.254/latest/meta-data/"},
		"zone":          {URL: "http://[fe80::1%25lo]/"},
	} {
		before := r.count.Load()
		got := send(s, subscription(d), delivery("{}"))
		if got.Class != "forbidden" || !strings.Contains(got.Error, "allow") {
			t.Errorf("%s: %+v", name, got)
		}
		if r.count.Load() != before {
			t.Errorf("%s: the request was made", name)
		}
	}
}

func TestHTTPIgnoresProxiesFromTheEnvironment(t *testing.T) {
	proxy := receive(t, nil)
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	t.Setenv("ALL_PROXY", proxy.URL)
	s := senders(t, destination.Options{})["http"]
	got := send(s, subscription(hook.Destination{URL: "http://nobody.invalid/", Allow: loopback}), delivery("{}"))
	if got.Class != "dns" || proxy.count.Load() != 0 {
		t.Errorf("%+v; the proxy saw %d requests", got, proxy.count.Load())
	}
}

func TestHTTP2AndTLS(t *testing.T) {
	r := receiveWith(t, nil, func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() })
	pool := x509.NewCertPool()
	pool.AddCert(r.Certificate())
	s := senders(t, destination.Options{TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}})["http"]
	sub := subscription(hook.Destination{URL: r.URL, Allow: loopback})
	for range 3 {
		if got := send(s, sub, delivery(`{"a":1}`)); got.Class != "ok" {
			t.Fatalf("%+v", got)
		}
	}
	if r.request.ProtoMajor != 2 || string(r.body) != `{"a":1}` || r.request.Header.Get("webhook-id") != "evt_1" {
		t.Errorf("%s %s %v", r.request.Proto, r.body, r.request.Header)
	}
	if n := r.conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	wrongName := subscription(hook.Destination{URL: strings.Replace(r.URL, "127.0.0.1", "127.0.0.2", 1), Allow: loopback})
	if got := send(s, wrongName, delivery("{}")); got.Class != "refused" && got.Class != "tls" {
		t.Errorf("%+v", got)
	}
}

func TestHTTPUserInformation(t *testing.T) {
	s := senders(t, destination.Options{})["http"]
	r := receive(t, nil)
	url := strings.Replace(r.URL, "http://", "http://user:pa55word@", 1)
	if got := send(s, subscription(hook.Destination{URL: url, Allow: loopback}), delivery("{}")); got.Class != "ok" {
		t.Fatalf("%+v", got)
	}
	if user, password, _ := r.request.BasicAuth(); user != "user" || password != "pa55word" {
		t.Errorf("%q %q", user, password)
	}
}

func TestHTTPDestinationsThatCannotBeUsed(t *testing.T) {
	s := senders(t, destination.Options{})["http"]
	r := receive(t, nil)
	for name, d := range map[string]hook.Destination{
		"secret":     {Secrets: []string{"whsec_s3cr3t!"}},
		"header":     {Headers: hook.Headers{{Name: "X", Value: "s3cr3t\r\nEvil: 1"}}},
		"reserved":   {Headers: hook.Headers{{Name: "Webhook-Id", Value: "s3cr3t"}}},
		"cloudevent": {CloudEvents: "both"},
	} {
		d.URL, d.Allow = r.URL, loopback
		got := send(s, subscription(d), delivery("{}"))
		if got.Class != "gateway" || got.Error == "" || strings.Contains(got.Error, "s3cr3t") {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if n := r.count.Load(); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}

func TestHTTPManyAllowLists(t *testing.T) {
	s := senders(t, destination.Options{})["http"]
	r := receive(t, nil)
	for i := range 600 {
		allow := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32)}
		if got := send(s, subscription(hook.Destination{URL: r.URL, Allow: allow}), delivery("{}")); got.Class != "ok" {
			t.Fatalf("%d: %+v", i, got)
		}
	}
}

func TestUnicodeSelectors(t *testing.T) {
	s := senders(t, destination.Options{})["http"]
	r := receive(t, nil)
	d := delivery("{}")
	d.Event.Selector = "größe/a\r\nEvil: 1"
	if got := send(s, subscription(hook.Destination{URL: r.URL, Allow: loopback}), d); got.Class != "ok" {
		t.Fatalf("%+v", got)
	}
	if got := r.request.Header.Get("x-switchhook-selector"); got != "gr%C3%B6%C3%9Fe/a%0D%0AEvil: 1" || r.request.Header.Get("Evil") != "" {
		t.Errorf("selector %q", got)
	}
}

func init() {
	// No test may depend on what the machine it runs on has set.
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"} {
		os.Unsetenv(name)
	}
}
