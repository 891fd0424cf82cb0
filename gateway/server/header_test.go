package server

import (
	"bufio"
	"bytes"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/valyala/fasthttp"
)

// FuzzHeader: what is taken for a proper header, net/http reads in the same way.
func FuzzHeader(f *testing.F) {
	for _, seed := range []string{
		"POST /a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX-Y: a\r\nx-y:\tb \r\n\r\nhello",
		"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET http://h/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET /a HTTP/1.1\nHost: h\n\n\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var h fasthttp.RequestHeader
		if err := h.Read(bufio.NewReaderSize(bytes.NewReader(raw), 64<<10)); err != nil {
			return
		}
		problem := checkHeader(&h)
		fields := headers(h.RawHeaders())
		if problem != nil {
			if problem.status < 400 || problem.detail == "" || !problem.close {
				t.Errorf("problem is %+v", problem)
			}
			return
		}
		if origin, ok := originForm(string(h.RequestURI())); ok && !strings.HasPrefix(origin, "/") {
			t.Errorf("%q is %q", h.RequestURI(), origin)
		}
		raw = bytes.TrimLeft(raw, "\r\n") // which servers should ignore: RFC 9112 section 2.2
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			// It looks at more than the framing: at what URLs and hosts contain.
			_, urlErr := url.ParseRequestURI(string(h.RequestURI()))
			if urlErr == nil && !strings.Contains(err.Error(), "Host") && !strings.Contains(err.Error(), "invalid URI") {
				t.Errorf("net/http refuses it: %v", err)
			}
			return
		}
		length, chunked := int64(max(h.ContentLength(), 0)), h.ContentLength() == -1
		if req.Method != string(h.Method()) || req.RequestURI != string(h.RequestURI()) {
			t.Errorf("%s %s, by net/http %s %s", h.Method(), h.RequestURI(), req.Method, req.RequestURI)
		}
		if isChunked := len(req.TransferEncoding) > 0; isChunked != chunked || !chunked && req.ContentLength != length {
			t.Errorf("length %d chunked %v, by net/http %d %v", length, chunked, req.ContentLength, req.TransferEncoding)
		}
		want := map[string][]string{}
		for _, field := range fields {
			if name := textproto.CanonicalMIMEHeaderKey(field.Name); name != "Host" && name != "Transfer-Encoding" && name != "Trailer" {
				want[name] = append(want[name], field.Value)
			}
		}
		delete(req.Header, "Trailer")
		if len(want["Pragma"]) > 0 { // net/http adds a Cache-Control
			delete(want, "Cache-Control")
			delete(req.Header, "Cache-Control")
		}
		if diff := cmp.Diff(http.Header(want), req.Header); diff != "" && len(want)+len(req.Header) > 0 {
			t.Error(diff)
		}
	})
}

func FuzzCaller(f *testing.F) {
	f.Add("192.0.2.1, 10.0.0.1", "[::1]:80")
	f.Fuzz(func(t *testing.T, a, b string) {
		peer := netip.MustParseAddr("10.0.0.9")
		got := caller(peer, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, headers([]byte("X-Forwarded-For: "+a+"\r\nx-forwarded-for:"+b+"\r\n\r\n")))
		if !got.IsValid() || got.Zone() != "" || got.Is4In6() {
			t.Errorf("caller is %v", got)
		}
	})
}

var testStart = time.Unix(1_700_000_000, 0)

func TestLimiterCatchesUp(t *testing.T) {
	t.Parallel()
	start := netip.MustParseAddr("192.0.2.1")
	if l := newLimiter(0, testStart); l.allowAddr(start, testStart) != 0 || l.allowPath("/", testStart) != 0 {
		t.Error("no limit limits")
	}
	// Slower than one in a second there is still a burst of two.
	l := newLimiter(0.1, testStart)
	for i, want := range []bool{true, true, false} {
		if wait := l.allowAddr(start, testStart); (wait == 0) != want {
			t.Errorf("request %d has to wait %s", i, wait)
		}
	}
	if wait := l.allowAddr(start, testStart); wait != 10e9 {
		t.Errorf("the wait is %s", wait)
	}
	if wait := l.allowAddr(start, testStart.Add(10e9)); wait != 0 {
		t.Errorf("after the wait there is one of %s", wait)
	}
}
