package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"switchhook/gateway/hook"
	"switchhook/gateway/server"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp keeps one clock for the process.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

// urls is a Gateway of functions by path.
type urls map[string]func(ctx context.Context, req *hook.Request) *hook.Response

type function func(ctx context.Context, req *hook.Request) *hook.Response

func (f function) Receive(ctx context.Context, req *hook.Request) *hook.Response { return f(ctx, req) }

func (u urls) Find(path string) (server.Target, bool) {
	f, ok := u[path]
	return function(f), ok
}

// echo answers with the body, and says how long it was.
func echo(_ context.Context, req *hook.Request) *hook.Response {
	return &hook.Response{Status: 200, Body: req.Body, Headers: hook.Headers{{Name: "X-Length", Value: fmt.Sprint(len(req.Body))}}}
}

type running struct {
	*server.Server
	addr string
	// done is closed when Serve has returned.
	done chan struct{}
}

// start serves until the test ends.
func start(t testing.TB, opt server.Options) *running {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Gateway == nil {
		opt.Gateway = urls{"/hook": echo}
	}
	r := &running{Server: server.New(opt), addr: ln.Addr().String(), done: make(chan struct{})}
	go func() {
		defer close(r.done)
		if err := r.Serve(ln); err != nil {
			t.Errorf("Serve: %v", err)
		}
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		<-r.done
	})
	return r
}

// client is one connection.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func (r *running) dial(t testing.TB) *client {
	t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &client{t: t, Conn: c, r: bufio.NewReader(c)}
}

func (c *client) send(text string) *client {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
	return c
}

// answer reads one response; what its body is, is read too.
func (c *client) answer(method string) (*http.Response, string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode >= 200 && !strings.HasPrefix(resp.Header.Get("X-Request-Id"), "req_") {
		c.t.Errorf("%s: no request id: %v", resp.Status, resp.Header)
	}
	if resp.StatusCode >= 400 && resp.Header.Get("Content-Type") == "application/problem+json" && method != "HEAD" {
		var p struct {
			Type, Title, Detail, RequestID string
			Status                         int
		}
		if err := json.Unmarshal(body, &p); err != nil || p.Status != resp.StatusCode || p.RequestID != resp.Header.Get("X-Request-Id") || p.Title == "" || p.Detail == "" || p.Type != "about:blank" {
			c.t.Errorf("problem %s: %v", body, err)
		}
	}
	if resp.Header.Get("Server") != "" {
		c.t.Errorf("Server is %s", resp.Header.Get("Server"))
	}
	return resp, string(body)
}

// closed checks that the server closes the connection without another byte.
func (c *client) closed() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.r); err != nil || len(rest) > 0 {
		c.t.Errorf("the connection goes on: %q, %v", rest, err)
	}
}

// expect sends text on a new connection and checks the status of the answer.
func (r *running) expect(t testing.TB, status int, text string) (*http.Response, string) {
	t.Helper()
	method, _, _ := strings.Cut(text, " ")
	resp, body := r.dial(t).send(text).answer(method)
	if resp.StatusCode != status {
		t.Errorf("%.80q: got %s %s", text, resp.Status, body)
	}
	return resp, body
}

func TestRequestAsItCame(t *testing.T) {
	t.Parallel()
	got := make(chan *hook.Request, 1)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := start(t, server.Options{
		PublicURL: "https://hooks.example.com/in/",
		Now:       func() time.Time { return now },
		NewID:     func() string { return "req_1" },
		Gateway: urls{"/w/i/%C3%A4/t": func(_ context.Context, req *hook.Request) *hook.Response {
			got <- req
			return &hook.Response{Status: 202}
		}},
	})
	for _, prefix := range []string{"", "/in", "http://other.example.com", "HTTP://other.example.com:80/in"} {
		resp, body := s.expect(t, 202, "PATCH "+prefix+"/w/i/%C3%A4/t?a=1&a=%20+/?#x HTTP/1.1\r\nhOST: h\r\nX-B: 1\r\nx-a:\t two  words \t\r\nX-B: \r\ncontent-type: text/plain\r\nUser-Agent: x\r\nCookie: a=1; b=2\r\nCookie: c=3\r\nContent-Length: 3\r\nX-Bytes: \xff\r\n\r\na\x00\xff")
		if body != "" || resp.Header.Get("X-Request-Id") != "req_1" || resp.ContentLength != 0 {
			t.Errorf("answer is %v %q", resp, body)
		}
		want := &hook.Request{
			ID: "req_1", Method: "PATCH", URL: "https://hooks.example.com/in/w/i/%C3%A4/t?a=1&a=%20+/?#x",
			Path: "/in/w/i/%C3%A4/t", Query: "a=1&a=%20+/?#x",
			Headers: hook.Headers{{Name: "hOST", Value: "h"}, {Name: "X-B", Value: "1"}, {Name: "x-a", Value: "two  words"}, {Name: "X-B", Value: ""},
				{Name: "content-type", Value: "text/plain"}, {Name: "User-Agent", Value: "x"}, {Name: "Cookie", Value: "a=1; b=2"}, {Name: "Cookie", Value: "c=3"},
				{Name: "Content-Length", Value: "3"}, {Name: "X-Bytes", Value: "\xff"}},
			Body: []byte("a\x00\xff"), RemoteAddr: "127.0.0.1", ReceivedAt: now,
		}
		if diff := cmp.Diff(want, <-got); diff != "" {
			t.Errorf("%s: %s", prefix, diff)
		}
	}
	// A query mark without a query is kept in the URL, and a body is never nil.
	s.expect(t, 202, "GET /w/i/%C3%A4/t? HTTP/1.1\r\nHost: h\r\n\r\n")
	if req := <-got; req.URL != "https://hooks.example.com/in/w/i/%C3%A4/t?" || req.Query != "" || req.Body == nil || len(req.Body) != 0 {
		t.Errorf("request is %+v", req)
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	s := start(t, server.Options{Gateway: urls{"/hook": func(_ context.Context, req *hook.Request) *hook.Response {
		return &hook.Response{Status: 200, Headers: hook.Headers{{Name: "X-Method", Value: req.Method}}, Body: []byte("body")}
	}}})
	for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "PROPFIND", "get"} {
		resp, body := s.expect(t, 200, m+" /hook HTTP/1.1\r\nHost: h\r\n\r\n")
		if resp.Header.Get("X-Method") != m || (body == "") != (m == "HEAD") || resp.ContentLength != 4 {
			t.Errorf("%s: %v %q", m, resp.Header, body)
		}
	}
	for _, m := range []string{"TRACE /hook", "CONNECT /hook"} {
		resp, _ := s.expect(t, 405, m+" HTTP/1.1\r\nHost: h\r\n\r\n")
		if resp.Header.Get("Allow") == "" {
			t.Error("no Allow")
		}
	}
	s.expect(t, 404, "CONNECT example.com:443 HTTP/1.1\r\nHost: h\r\n\r\n")
	s.expect(t, 404, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
	resp, _ := s.expect(t, 404, "HEAD /none HTTP/1.1\r\nHost: h\r\n\r\n")
	if resp.ContentLength < 1 {
		t.Errorf("HEAD: %v", resp.Header)
	}
}

func TestUnknownURLs(t *testing.T) {
	t.Parallel()
	s := start(t, server.Options{Gateway: urls{"/w/i/h/token": echo}})
	normal := ""
	for _, path := range []string{
		"/w/i/h/tokem", "/x/i/h/token", "/", "/w/i/h/token/", "//w/i/h/token", "/w/i/h/../h/token", "/w/./i/h/token", "/w/i/h/%74oken", "/w/i/h/TOKEN",
		"/w/i/h/token%00", "/w/i/h/token;x", "/w%2fi/h/token", "/w/i/h/token#", "/w\\i\\h\\token", "/../w/i/h/token",
	} {
		for _, rest := range []string{"GET %s HTTP/1.1\r\nHost: h\r\n\r\n", // with the header alone, and the body never sent
			"POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n",
			"POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
			"POST %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
			"POST %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"} {
			c := s.dial(t).send(fmt.Sprintf(rest, path))
			resp, body := c.answer("POST")
			if resp.StatusCode != 404 {
				t.Errorf("%s: %s", path, resp.Status)
			}
			plain := regexp.MustCompile(`req_\w+`).ReplaceAllString(body, "")
			if normal == "" {
				normal = plain
			}
			if plain != normal || !strings.Contains(plain, "there is no webhook") {
				t.Errorf("%s answers otherwise: %s", path, body)
			}
			if strings.HasPrefix(rest, "POST") {
				if !resp.Close {
					t.Error("the connection is kept")
				}
				_ = c.CloseWrite()
				c.closed()
			}
		}
	}
}

func (c *client) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

func TestBodyLimit(t *testing.T) {
	t.Parallel()
	const limit = 200_000
	s := start(t, server.Options{MaxBody: limit})
	exact := strings.Repeat("x", limit)
	if _, body := s.expect(t, 200, fmt.Sprintf("POST /hook HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", limit, exact)); body != exact {
		t.Errorf("%d bytes came back", len(body))
	}
	if _, body := s.expect(t, 200, fmt.Sprintf("POST /hook HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x;ext=1\r\n%s\r\n1\r\nx\r\n0\r\nX-T: 1\r\n\r\n", limit-1, exact[1:])); body != exact {
		t.Errorf("%d bytes came back", len(body))
	}
	for _, head := range []string{
		"Content-Length: 200001\r\n\r\n", // the answer comes though nothing of the body does
		"Content-Length: 9223372036854775807\r\n\r\n",
		"Content-Length: 200001\r\nExpect: 100-continue\r\n\r\n",
		"Content-Length: 200001\r\n\r\n" + exact + "x",
		"Transfer-Encoding: chunked\r\n\r\n30d50\r\n" + exact + "x",
		"Transfer-Encoding: chunked\r\n\r\n30d40\r\n" + exact + "\r\n1\r\nx\r\n0\r\n\r\n",
	} {
		c := s.dial(t).send("POST /hook HTTP/1.1\r\nHost: h\r\n" + head)
		if resp, _ := c.answer("POST"); resp.StatusCode != 413 || !resp.Close {
			t.Errorf("%.60q: %s", head, resp.Status)
		}
		_ = c.CloseWrite()
		c.closed()
	}
	// A caller that goes on sending can still read the answer.
	c := s.dial(t).send("POST /hook HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n")
	for range 10 {
		c.send(strings.Repeat("y", 100_000))
	}
	if resp, _ := c.answer("POST"); resp.StatusCode != 413 {
		t.Error(resp.Status)
	}
}

func TestBodySizes(t *testing.T) {
	t.Parallel()
	s := start(t, server.Options{})
	c := s.dial(t)
	for _, size := range []int{0, 1, 2, 4095, 4096, 4097, 65535, 65536, 65537, 1_000_000, 10 << 20} {
		body := bytes.Repeat([]byte("0123456789abcde\n"), size/16+1)[:size]
		c.send(fmt.Sprintf("POST /hook HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", size, body))
		if resp, got := c.answer("POST"); resp.StatusCode != 200 || got != string(body) {
			t.Errorf("%d: %s, %d bytes", size, resp.Status, len(got))
		}
		half := size / 2
		c.send("POST /hook HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
		for _, part := range [][]byte{body[:half], body[half:]} {
			if len(part) > 0 {
				c.send(fmt.Sprintf("%X\r\n%s\r\n", len(part), part))
			}
		}
		c.send("0\r\n\r\n")
		if resp, got := c.answer("POST"); resp.StatusCode != 200 || got != string(body) {
			t.Errorf("chunked %d: %s, %d bytes", size, resp.Status, len(got))
		}
	}
}

func TestContinue(t *testing.T) {
	t.Parallel()
	s := start(t, server.Options{})
	for _, expect := range []string{"Expect: 100-continue", "expect:100-Continue"} {
		c := s.dial(t).send("POST /hook HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n" + expect + "\r\n\r\n")
		if resp, _ := c.answer("POST"); resp.StatusCode != 100 {
			t.Errorf("%s: %s", expect, resp.Status)
		}
		c.send("ab")
		if resp, body := c.answer("POST"); resp.StatusCode != 200 || body != "ab" {
			t.Errorf("%s %q", resp.Status, body)
		}
		c.send("GET /hook HTTP/1.1\r\nHost: h\r\n\r\n")
		if resp, _ := c.answer("GET"); resp.StatusCode != 200 {
			t.Error(resp.Status)
		}
	}
	s.expect(t, 417, "POST /hook HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: a miracle\r\n\r\n")
}

// What could be read otherwise by another server is refused, and the connection closed.
func TestNotProperHTTP(t *testing.T) {
	t.Parallel()
	s := start(t, server.Options{})
	const post = "POST /hook HTTP/1.1\r\nHost: h\r\n"
	tests := map[string]struct {
		text   string
		status int
	}{
		"length and coding":        {post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		"coding and length":        {post + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
		"two lengths":              {post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
		"two unequal lengths":      {post + "Content-Length: 5\r\ncontent-length: 6\r\n\r\nhello", 400},
		"list of lengths":          {post + "Content-Length: 5, 5\r\n\r\nhello", 400},
		"negative length":          {post + "Content-Length: -5\r\n\r\nhello", 400},
		"signed length":            {post + "Content-Length: +5\r\n\r\nhello", 400},
		"hex length":               {post + "Content-Length: 0x5\r\n\r\nhello", 400},
		"no length":                {post + "Content-Length: \r\n\r\nhello", 400},
		"huge length":              {post + "Content-Length: 99999999999999999999\r\n\r\nhello", 400},
		"coding twice":             {post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		"coding list":              {post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400},
		"coding identity":          {post + "Transfer-Encoding: identity\r\n\r\n", 501},
		"coding disguised":         {post + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400},
		"coding in HTTP/1.0":       {"POST /hook HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		"space before colon":       {post + "Content-Length : 5\r\n\r\nhello", 400},
		"space in name":            {post + "X Y: 5\r\n\r\n", 400},
		"no colon":                 {post + "X-Y\r\n\r\n", 400},
		"no name":                  {post + ": x\r\n\r\n", 400},
		"folded":                   {post + "X-Y: a\r\n b\r\n\r\n", 400},
		"folded first":             {"POST /hook HTTP/1.1\r\n Host: h\r\n\r\n", 400},
		"bare CR":                  {post + "X-Y: a\rX-Z: b\r\n\r\n", 400},
		"bare LF":                  {post + "X-Y: a\nX-Z: b\r\n\r\n", 400},
		"LF only":                  {"POST /hook HTTP/1.1\nHost: h\n\nx\r\n\r\n", 400},
		"LF before the end":        {post + "X-Y: a\n\r\n", 400},
		"NUL in value":             {post + "X-Y: a\x00b\r\n\r\n", 400},
		"NUL in name":              {post + "X\x00Y: ab\r\n\r\n", 400},
		"DEL in value":             {post + "X-Y: a\x7fb\r\n\r\n", 400},
		"no host":                  {"GET /hook HTTP/1.1\r\nX: y\r\n\r\n", 400},
		"two hosts":                {"GET /hook HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
		"HTTP/2 preface":           {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
		"HTTP/2.0":                 {"GET /hook HTTP/2.0\r\nHost: h\r\n\r\n", 505},
		"HTTP/1.2":                 {"GET /hook HTTP/1.2\r\nHost: h\r\n\r\n", 505},
		"no version":               {"GET /hook\r\nHost: h\r\n\r\n", 400},
		"NUL in path":              {"GET /ho\x00ok HTTP/1.1\r\nHost: h\r\n\r\n", 400},
		"space in path":            {"GET /ho ok HTTP/1.1\r\nHost: h\r\n\r\n", 400},
		"no method":                {" /hook HTTP/1.1\r\nHost: h\r\n\r\n", 400},
		"bad method":               {"G(T /hook HTTP/1.1\r\nHost: h\r\n\r\n", 400},
		"TLS hello":                {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
		"bad chunk size":           {post + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400},
		"negative chunk size":      {post + "Transfer-Encoding: chunked\r\n\r\n-1\r\n", 400},
		"hex prefix in chunk size": {post + "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", 400},
		"huge chunk size":          {post + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400},
		"chunk without end":        {post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n", 400},
		"LF after chunk size":      {post + "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", 400},
		"LF in chunk extension":    {post + "Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n", 400},
		"chunks of framing":        {post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;"+strings.Repeat("e", 1000)+"\r\nx\r\n", 1000) + "0\r\n\r\n", 400},
		"endless extension":        {post + "Transfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("e", 1_000_000), 400},
		"bad trailer":              {post + "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n", 400},
		"content coding":           {post + "Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello", 415},
		"content codings":          {post + "Content-Encoding: identity\r\nContent-Encoding: br\r\nContent-Length: 5\r\n\r\nhello", 415},
		"many fields":              {post + strings.Repeat("a:b\r\n", 300) + "\r\n", 431},
		"long header":              {post + "X-Y: " + strings.Repeat("a", 70_000) + "\r\n\r\n", 431},
		"endless header":           {post + "X-Y: " + strings.Repeat("a", 70_000), 431},
		"long path":                {"GET /" + strings.Repeat("a", 70_000) + " HTTP/1.1\r\nHost: h\r\n\r\n", 431},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := s.dial(t)
			// A second request must not be seen, whatever the first is taken for.
			if _, err := io.WriteString(c, test.text+"GET /hook HTTP/1.1\r\nHost: smuggled\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			resp, body := c.answer("GET")
			if resp.StatusCode != test.status || !resp.Close {
				t.Errorf("got %s, close %v: %s", resp.Status, resp.Close, body)
			}
			_ = c.CloseWrite()
			c.closed()
		})
	}
}

func TestProperThoughUnusual(t *testing.T) {
	t.Parallel()
	s := start(t, server.Options{})
	for _, text := range []string{
		"GET /hook HTTP/1.0\r\n\r\n",
		"POST /hook HTTP/1.1\r\nHost: h\r\nContent-Encoding: identity\r\nContent-Length: 1\r\n\r\nx",
		"\r\nGET /hook HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /hook HTTP/1.1\r\nHost:h\r\nX:\r\n\r\n",
		"POST /hook HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n2;a=\"b\"\r\nxy\r\n0\r\nX-Trailer: 1\r\n\r\n",
		"POST /hook HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\nx\r\n", 200_000) + "0\r\n\r\n",
		"POST /hook HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("80000\r\n"+strings.Repeat("x", 0x80000)+"\r\n", 8) + "0\r\n\r\n",
		"GET /hook HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nxy",
		"GET /hook HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("a", 60_000) + "\r\n\r\n",
	} {
		s.expect(t, 200, text)
	}
	c := s.dial(t).send(strings.Repeat("POST /hook HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", 3) + "GET /none HTTP/1.1\r\nHost: h\r\n\r\nGET /hook HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	for _, want := range []int{200, 200, 200, 404, 200} {
		if resp, _ := c.answer("POST"); resp.StatusCode != want {
			t.Errorf("pipelined: %s, not %d", resp.Status, want)
		}
	}
	c.closed()
}

func TestBodyCutShort(t *testing.T) {
	t.Parallel()
	s := start(t, server.Options{Gateway: urls{"/hook": func(context.Context, *hook.Request) *hook.Response {
		t.Error("the target sees half a body")
		return &hook.Response{Status: 200}
	}}})
	for _, text := range []string{"Content-Length: 5\r\n\r\nhell", "Content-Length: 100000\r\n\r\nhell", "Transfer-Encoding: chunked\r\n\r\n5\r\nhell", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"Transfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Trailer"} {
		c := s.dial(t).send("POST /hook HTTP/1.1\r\nHost: h\r\n" + text)
		_ = c.CloseWrite()
		if resp, _ := c.answer("POST"); resp.StatusCode != 400 {
			t.Errorf("%q: %s", text, resp.Status)
		}
	}
	c := s.dial(t).send("POST /hook HTTP/1.1\r\nHo")
	_ = c.CloseWrite()
	if resp, _ := c.answer("POST"); resp.StatusCode != 400 {
		t.Error(resp.Status)
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	s := start(t, server.Options{ReadTimeout: 200 * time.Millisecond, IdleTimeout: 200 * time.Millisecond})
	s.dial(t).closed() // a connection that says nothing gets no answer
	s.expect(t, 408, "POST /hook HTTP/1.1\r\nHo")
	s.expect(t, 408, "POST /hook HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
	s.expect(t, 408, "POST /hook HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhell")
	s.expect(t, 408, "POST /hook HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n")
	s.expect(t, 408, "POST /hook HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;")

	c := s.dial(t).send("GET /hook HTTP/1.1\r\nHost: h\r\n\r\n")
	c.answer("GET")
	c.closed()

	// A byte now and then does not stretch the time.
	c = s.dial(t).send("POST /hook HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				if _, err := c.Write([]byte("x")); err != nil {
					return
				}
			}
		}
	})
	if resp, _ := c.answer("POST"); resp.StatusCode != 408 {
		t.Error(resp.Status)
	}
	close(stop)
	wg.Wait()
}

func TestMemoryBudget(t *testing.T) {
	t.Parallel()
	const header = 4 << 10
	release := make(chan struct{})
	entered := make(chan struct{}, 10)
	s := start(t, server.Options{
		MaxBody: 400_000, MaxHeader: header, InFlightBytes: 500_000,
		Gateway: urls{"/hook": func(context.Context, *hook.Request) *hook.Response {
			entered <- struct{}{}
			<-release
			return &hook.Response{Status: 200}
		}},
	})
	// What is announced costs little until it comes.
	announced := s.dial(t).send("POST /hook HTTP/1.1\r\nHost: h\r\nContent-Length: 400000\r\n\r\nx")
	big := s.dial(t).send("POST /hook HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n" + strings.Repeat("x", 300_000))
	<-entered
	got := s.settled(func(got server.Stats) bool { return got.Requests == 2 && got.Bytes >= 300_000+2*header+64<<10 })
	if got.Bytes < 300_000+2*header || got.Bytes > 300_000+2*header+64<<10 || got.Requests != 2 || got.Connections != 2 {
		t.Errorf("stats are %+v", got)
	}
	for _, text := range []string{
		"POST /hook HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n" + strings.Repeat("y", 300_000),
		"POST /hook HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n493e0\r\n" + strings.Repeat("y", 300_000),
	} {
		resp, _ := s.expect(t, 503, text)
		if resp.Header.Get("Retry-After") != "1" || !resp.Close {
			t.Errorf("503 is %v", resp.Header)
		}
	}
	small := s.dial(t).send("GET /hook HTTP/1.1\r\nHost: h\r\n\r\n")
	<-entered
	close(release)
	for _, c := range []*client{big, small} {
		if resp, _ := c.answer("GET"); resp.StatusCode != 200 {
			t.Error(resp.Status)
		}
	}
	_ = announced.Close()
	_ = big.Close()
	_ = small.Close()
	if got := s.settled(func(got server.Stats) bool { return got.Connections == 0 }); got != (server.Stats{}) {
		t.Errorf("stats are %+v after all", got)
	}
}

// settled waits for figures that follow on what clients did.
func (r *running) settled(ok func(server.Stats) bool) server.Stats {
	for deadline := time.Now().Add(10 * time.Second); ; {
		got := r.Stats()
		if ok(got) || time.Now().After(deadline) {
			return got
		}
		time.Sleep(time.Millisecond)
	}
}

func TestConnectionsAreBoundByMemory(t *testing.T) {
	t.Parallel()
	s := start(t, server.Options{MaxBody: 1, MaxHeader: 4 << 10, InFlightBytes: 10 * 4 << 10})
	// Those that send nothing take nothing.
	for range 30 {
		s.dial(t)
	}
	if got := s.settled(func(got server.Stats) bool { return got.Connections == 30 }); got.Bytes != 0 {
		t.Errorf("stats are %+v", got)
	}
	var slow []*client
	for range 10 {
		slow = append(slow, s.dial(t).send("G"))
	}
	s.settled(func(got server.Stats) bool { return got.Bytes == 10*4<<10 })
	resp, _ := s.expect(t, 503, "GET /hook HTTP/1.1\r\nHost: h\r\n\r\n")
	if resp.Header.Get("Retry-After") != "1" || resp.Header.Get("Date") == "" {
		t.Errorf("503 is %v", resp.Header)
	}
	// Answers close connections as long as memory is short.
	slow[0].send("ET /hook HTTP/1.1\r\nHost: h\r\n\r\n")
	if resp, _ := slow[0].answer("GET"); resp.StatusCode != 200 || !resp.Close {
		t.Errorf("%s, close %v", resp.Status, resp.Close)
	}
	slow[0].closed()
	s.settled(func(got server.Stats) bool { return got.Bytes == 9*4<<10 })
	s.expect(t, 200, "GET /hook HTTP/1.1\r\nHost: h\r\n\r\n")
}

func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	s := start(t, server.Options{MaxConnections: 2})
	a, b := s.dial(t), s.dial(t)
	s.settled(func(got server.Stats) bool { return got.Connections == 2 })
	c := s.dial(t)
	if resp, _ := c.answer("GET"); resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" {
		t.Error(resp.Status)
	}
	c.closed()
	_ = a.Close()
	s.settled(func(got server.Stats) bool { return got.Connections == 1 })
	s.expect(t, 200, "GET /hook HTTP/1.1\r\nHost: h\r\n\r\n")
	b.send("GET /hook HTTP/1.1\r\nHost: h\r\n\r\n").answer("GET")
}

func TestPanics(t *testing.T) {
	t.Parallel()
	var logged lockedBuffer
	s := start(t, server.Options{
		Logger: slog.New(slog.NewTextHandler(&logged, nil)),
		Gateway: finder(func(path string) (server.Target, bool) {
			switch path {
			case "/find":
				panic("in find")
			case "/nil":
				return function(func(context.Context, *hook.Request) *hook.Response { return nil }), true
			case "/status":
				return function(func(context.Context, *hook.Request) *hook.Response { return &hook.Response{Status: 100} }), true
			}
			return function(func(context.Context, *hook.Request) *hook.Response { panic(errors.New("in receive")) }), true
		}),
	})
	for _, path := range []string{"/find", "/nil", "/status", "/receive"} {
		for _, rest := range []string{"GET %s HTTP/1.1\r\nHost: h\r\n\r\n", "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"} {
			resp, body := s.expect(t, 500, fmt.Sprintf(rest, path))
			var p struct{ ErrorID, Detail string }
			if err := json.Unmarshal([]byte(body), &p); err != nil {
				t.Fatal(err)
			}
			if path == "/find" && strings.HasPrefix(rest, "POST") {
				continue // found before there was a request to name
			}
			if !strings.HasPrefix(p.ErrorID, "err_") || !strings.Contains(logged.String(), p.ErrorID) || !strings.Contains(logged.String(), resp.Header.Get("X-Request-Id")) {
				t.Errorf("%s: %s is not in the log %s", path, body, logged.String())
			}
			if strings.Contains(body, "receive") || strings.Contains(body, ".go:") {
				t.Errorf("the caller is told %s", body)
			}
		}
	}
	if !strings.Contains(logged.String(), "in find") || !strings.Contains(logged.String(), "server_test.go") {
		t.Errorf("the log is %s", logged.String())
	}
}

type finder func(path string) (server.Target, bool)

func (f finder) Find(path string) (server.Target, bool) { return f(path) }

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestResponses(t *testing.T) {
	t.Parallel()
	next := make(chan *hook.Response, 1)
	s := start(t, server.Options{Gateway: urls{"/hook": func(context.Context, *hook.Request) *hook.Response { return <-next }}})
	c := s.dial(t)
	get := func(r *hook.Response) (*http.Response, string) {
		t.Helper()
		next <- r
		return c.send("GET /hook HTTP/1.1\r\nHost: h\r\n\r\n").answer("GET")
	}
	resp, body := get(&hook.Response{Status: 201, Body: []byte("hi"), Headers: hook.Headers{
		{Name: "content-type", Value: "text/x"}, {Name: "Set-Cookie", Value: "a=1; Path=/"}, {Name: "Set-Cookie", Value: "b=2"}, {Name: "X-GitHub", Value: "1"}, {Name: "X-GitHub", Value: "2"},
		{Name: "Content-Encoding", Value: "x"},
		// Left out:
		{Name: "Content-Length", Value: "99"}, {Name: "Transfer-Encoding", Value: "chunked"}, {Name: "connection", Value: "close"}, {Name: "Server", Value: "x"}, {Name: "X-Request-ID", Value: "mine"},
		{Name: "Date", Value: "x"}, {Name: "Trailer", Value: "X"}, {Name: "X-Break", Value: "a\r\nX-Injected: 1"}, {Name: "X-Inj\r\nected", Value: "1"}, {Name: "", Value: "x"}, {Name: "X-Nul", Value: "\x00"},
	}})
	want := http.Header{"Content-Type": {"text/x"}, "Set-Cookie": {"a=1; Path=/", "b=2"}, "X-Github": {"1", "2"}, "Content-Encoding": {"x"}, "Content-Length": {"2"}}
	for _, own := range []string{"Date", "X-Request-Id"} {
		if len(resp.Header[own]) != 1 {
			t.Errorf("%s is %q", own, resp.Header[own])
		}
		delete(resp.Header, own)
	}
	if diff := cmp.Diff(want, resp.Header); diff != "" || body != "hi" || resp.Status != "201 Created" {
		t.Errorf("%s %s %s", resp.Status, body, diff)
	}
	resp, body = get(&hook.Response{Status: 200})
	if body != "" || resp.ContentLength != 0 || resp.Header.Get("Content-Type") != "" {
		t.Errorf("%v %q", resp.Header, body)
	}
	for _, status := range []int{204, 304} {
		if resp, body = get(&hook.Response{Status: status, Body: []byte("no place for it")}); resp.StatusCode != status || body != "" {
			t.Errorf("%s %q", resp.Status, body)
		}
	}
	for _, status := range []int{299, 418, 599} {
		if resp, _ = get(&hook.Response{Status: status}); resp.StatusCode != status {
			t.Error(resp.Status)
		}
	}
	large := strings.Repeat("z", 5<<20)
	if resp, body = get(&hook.Response{Status: 200, Body: []byte(large)}); body != large {
		t.Errorf("%s, %d bytes", resp.Status, len(body))
	}
}

func TestNotReady(t *testing.T) {
	t.Parallel()
	s := start(t, server.Options{Ready: func() error { return errors.New("disk secret") }})
	resp, body := s.expect(t, 503, "POST /hook HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
	if resp.Header.Get("Retry-After") != "10" || strings.Contains(body, "secret") {
		t.Errorf("%v %s", resp.Header, body)
	}
	s.expect(t, 404, "GET /none HTTP/1.1\r\nHost: h\r\n\r\n")
}

func TestObserve(t *testing.T) {
	t.Parallel()
	seen := make(chan server.Observation, 10)
	s := start(t, server.Options{MaxBody: 10, Observe: func(o server.Observation) { seen <- o }})
	for _, test := range []struct {
		text string
		want server.Observation
	}{
		{"POST /hook HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nxyz", server.Observation{Status: 200, Found: true, RequestBytes: 3, ResponseBytes: 3}},
		{"GET /none HTTP/1.1\r\nHost: h\r\n\r\n", server.Observation{Status: 404}},
		{"POST /hook HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n\r\n", server.Observation{Status: 413}},
		{"nonsense\r\n\r\n", server.Observation{Status: 400}},
	} {
		_, body := s.dial(t).send(test.text).answer("GET")
		got := <-seen
		if test.want.Status >= 400 {
			test.want.ResponseBytes = len(body)
		}
		got.Took = 0
		if got != test.want {
			t.Errorf("%q: got %+v", test.text, got)
		}
	}
}

func TestRateLimits(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Now()
	s := start(t, server.Options{
		Now:            func() time.Time { mu.Lock(); defer mu.Unlock(); return now },
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		RatePerWebhook: 3, RatePerAddress: 1.5,
		Gateway: urls{"/a": echo, "/b": echo},
	})
	get := func(path, from string) int {
		t.Helper()
		resp, _ := s.dial(t).send("GET " + path + " HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: " + from + "\r\n\r\n").answer("GET")
		if resp.StatusCode == 429 && resp.Header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After is %s", resp.Header.Get("Retry-After"))
		}
		return resp.StatusCode
	}
	// Three are let through from one address, whatever they ask for.
	got := []int{get("/a", "192.0.2.1"), get("/none", "192.0.2.1"), get("/b", "192.0.2.1"), get("/a", "192.0.2.1"), get("/none", "192.0.2.1"), get("/a", "192.0.2.2")}
	if diff := cmp.Diff([]int{200, 404, 200, 429, 429, 200}, got); diff != "" {
		t.Error(diff)
	}
	mu.Lock()
	now = now.Add(time.Second)
	mu.Unlock()
	if status := get("/b", "192.0.2.1"); status != 200 {
		t.Errorf("a second later: %d", status)
	}
	// Six to one URL, from wherever they come.
	got = nil
	for i := range 9 {
		got = append(got, get("/a", fmt.Sprintf("2001:db8:0:%d::1", i)))
	}
	if diff := cmp.Diff([]int{200, 200, 200, 200, 200, 200, 429, 429, 429}, got); diff != "" {
		t.Error(diff)
	}
	// Addresses of one /64 are one.
	got = nil
	for i := range 4 {
		got = append(got, get("/none", fmt.Sprintf("2001:db8:1::%d", i)))
	}
	if diff := cmp.Diff([]int{404, 404, 404, 429}, got); diff != "" {
		t.Error(diff)
	}
}

func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		trusted string
		headers string
		want    string
	}{
		{"", "X-Forwarded-For: 192.0.2.1\r\n", "127.0.0.1"},
		{"10.0.0.0/8", "X-Forwarded-For: 192.0.2.1\r\n", "127.0.0.1"},
		{"127.0.0.1/32", "", "127.0.0.1"},
		{"127.0.0.1/32", "X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1"},
		{"127.0.0.1/32", "X-Forwarded-For: 198.51.100.9, 192.0.2.1\r\n", "192.0.2.1"},
		{"127.0.0.1/32 10.0.0.0/8", "X-Forwarded-For: 198.51.100.9, 192.0.2.1, 10.1.1.1\r\n", "192.0.2.1"},
		{"127.0.0.1/32 10.0.0.0/8", "X-Forwarded-For: 198.51.100.9\r\nx-forwarded-for: 10.1.1.1\r\n", "198.51.100.9"},
		{"127.0.0.1/32", "X-Forwarded-For: [2001:db8::1]:443\r\n", "2001:db8::1"},
		{"127.0.0.1/32", "X-Forwarded-For: [2001:db8::1]\r\n", "2001:db8::1"},
		{"127.0.0.1/32", "X-Forwarded-For: ::ffff:192.0.2.1\r\n", "192.0.2.1"},
		{"127.0.0.1/32", "X-Forwarded-For: 192.0.2.1:80\r\n", "192.0.2.1"},
		{"127.0.0.1/32", "X-Forwarded-For: 192.0.2.1, unknown\r\n", "127.0.0.1"},
		{"127.0.0.1/32", "X-Forwarded-For: \r\n", "127.0.0.1"},
	} {
		var networks []netip.Prefix
		for _, p := range strings.Fields(test.trusted) {
			networks = append(networks, netip.MustParsePrefix(p))
		}
		s := start(t, server.Options{TrustedProxies: networks, Gateway: urls{"/hook": func(_ context.Context, req *hook.Request) *hook.Response {
			return &hook.Response{Status: 200, Body: []byte(req.RemoteAddr)}
		}}})
		c := s.dial(t)
		for range 2 {
			if _, got := c.send("GET /hook HTTP/1.1\r\nHost: h\r\n" + test.headers + "\r\n").answer("GET"); got != test.want {
				t.Errorf("%+v: got %s", test, got)
			}
		}
	}
}

func TestShutdownDrains(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	s := start(t, server.Options{Gateway: urls{"/fast": echo, "/hook": func(ctx context.Context, _ *hook.Request) *hook.Response {
		close(entered)
		<-release
		return &hook.Response{Status: 200, Body: []byte(fmt.Sprint(ctx.Err()))}
	}}})
	fresh, idle, busy := s.dial(t), s.dial(t), s.dial(t)
	idle.send("GET /fast HTTP/1.1\r\nHost: h\r\n\r\n").answer("GET")
	busy.send("GET /hook HTTP/1.1\r\nHost: h\r\n\r\n")
	<-entered
	s.settled(func(got server.Stats) bool { return got.Connections == 3 })

	begun := time.Now()
	result := make(chan error, 1)
	go func() { result <- s.Shutdown(context.Background()) }()
	fresh.closed()
	idle.closed()
	if c, err := net.Dial("tcp", s.addr); err == nil {
		_ = c.Close()
		t.Error("it still accepts")
	}
	select {
	case err := <-result:
		t.Fatalf("Shutdown did not wait: %v", err)
	default:
	}
	close(release)
	if resp, body := busy.answer("GET"); resp.StatusCode != 200 || !resp.Close || body != "<nil>" {
		t.Errorf("%s, close %v, context %s", resp.Status, resp.Close, body)
	}
	busy.closed()
	if err := <-result; err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	if got := s.Stats(); got != (server.Stats{}) {
		t.Errorf("stats are %+v", got)
	}
	<-s.done
	if err := s.Serve(nil); err == nil {
		t.Error("Serve can be called again")
	}
}

func TestShutdownGivesUp(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	entered, ended := make(chan struct{}), make(chan struct{})
	s := &running{addr: ln.Addr().String(), Server: server.New(server.Options{
		Logger: slog.New(slog.DiscardHandler),
		Gateway: urls{"/body": echo, "/hook": func(ctx context.Context, _ *hook.Request) *hook.Response {
			close(entered)
			<-ctx.Done()
			close(ended)
			return &hook.Response{Status: 200}
		}}})}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	stuck, slow := s.dial(t), s.dial(t)
	stuck.send("GET /hook HTTP/1.1\r\nHost: h\r\n\r\n")
	slow.send("POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nx")
	<-entered
	s.settled(func(got server.Stats) bool { return got.Requests == 2 })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	<-ended
	if err := <-served; err != nil {
		t.Error(err)
	}
	if got := s.Stats(); got != (server.Stats{}) {
		t.Errorf("stats are %+v", got)
	}
}

func TestShutdownBeforeServe(t *testing.T) {
	t.Parallel()
	s := server.New(server.Options{Gateway: urls{}, Logger: slog.New(slog.DiscardHandler)})
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(ln); err != nil {
		t.Error(err)
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}
}

// The listener may be closed before Shutdown does it. No request is under way then, and it does not say so.
func TestShutdownAfterListener(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := server.New(server.Options{Gateway: urls{}, Logger: slog.New(slog.DiscardHandler)})
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// failing is a listener that fails before it accepts.
type failing struct {
	net.Listener
	mu     sync.Mutex
	errors []error
}

func (f *failing) Accept() (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.errors) > 0 {
		err := f.errors[0]
		f.errors = f.errors[1:]
		return nil, &net.OpError{Op: "accept", Err: err}
	}
	return f.Listener.Accept()
}

func TestAcceptErrors(t *testing.T) {
	t.Parallel()
	listen := func(errs ...error) (*failing, *running) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return &failing{Listener: ln, errors: errs}, &running{addr: ln.Addr().String(),
			Server: server.New(server.Options{Gateway: urls{"/hook": echo}, Logger: slog.New(slog.DiscardHandler)})}
	}
	ln, s := listen(syscall.EMFILE, syscall.ECONNABORTED)
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	s.expect(t, 200, "GET /hook HTTP/1.1\r\nHost: h\r\n\r\n")
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	broken := errors.New("broken for good")
	ln, s = listen(broken)
	if err := s.Serve(ln); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestNewIDs(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.UnixMilli(1_700_000_000_000)
	next := server.NewIDs("req_", func() time.Time { mu.Lock(); defer mu.Unlock(); return now })
	var ids []string
	for i := range 10_000 {
		ids = append(ids, next())
		if i%100 == 0 {
			mu.Lock()
			now = now.Add(time.Duration(i%300-100) * time.Millisecond) // also back
			mu.Unlock()
		}
	}
	if !slices.IsSorted(ids) || len(slices.Compact(ids)) != 10_000 {
		t.Error("ids are not in order")
	}
	if !regexp.MustCompile(`^req_[0-9A-HJKMNP-TV-Z]{26}$`).MatchString(ids[0]) {
		t.Errorf("an id is %s", ids[0])
	}
	seen := make(chan string, 4000)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				seen <- next()
			}
		})
	}
	wg.Wait()
	close(seen)
	all := map[string]bool{}
	for id := range seen {
		all[id] = true
	}
	if len(all) != 4000 {
		t.Errorf("%d of 4000 ids differ", len(all))
	}
}
