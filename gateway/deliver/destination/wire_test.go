package destination

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"switchhook/gateway/hook"
)

// What is an ordinary answer, and what is left to net/http. FuzzOrdinaryHead says what they mean.
func TestOrdinaryHead(t *testing.T) {
	for text, want := range map[string]string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok":                                             `200 2 ""`,
		"HTTP/1.1 200 \r\ncontent-length:0\r\nX: \r\n\r\n":                                           `200 0 ""`,
		"HTTP/1.1 599\r\nServer: nginx\r\nContent-Length: \t 12 \r\nConnection: Keep-Alive\r\n\r\n":  `599 12 ""`,
		"HTTP/1.1 503 No\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\nContent-Length: 0\r\n\r\n": `503 0 "Fri, 31 Dec 1999 23:59:59 GMT"`,
		"HTTP/1.1 204 No Content\r\n\r\n":                                                            `204 0 ""`,
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n":                                     `304 0 ""`,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n":                                                   "",
		"HTTP/1.1 200 OK\r\n\r\nall that comes":                                                      "",
		"HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\n":                                      "",
		"HTTP/1.1 101 Switching Protocols\r\nContent-Length: 0\r\n\r\n":                              "",
		"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok":                                             "",
		"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok":                                            "",
		"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok":                                            "",
		"HTTP/1.1 +20 OK\r\nContent-Length: 2\r\n\r\nok":                                             "",
		"HTTP/1.1 200 O\x00K\r\nContent-Length: 2\r\n\r\nok":                                         "",
		"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok":                                               "",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\nX: y\r\n\r\nok":                                       "",
		"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok":                                            "",
		"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok":                                          "",
		"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok":                                               "",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok":                        "",
		"HTTP/1.1 200 OK\r\nContent-Length: 2222222222222222222\r\n\r\nok":                           "",
		"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok":                                            "",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n X: y\r\n\r\nok":                                    "",
		"HTTP/1.1 200 OK\r\n Content-Length: 2\r\n\r\nok":                                            "",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n: y\r\n\r\nok":                                      "",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX\r\n\r\nok":                                        "",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: \x7f\r\n\r\nok":                                  "",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok":               "",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok":                        "",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, Upgrade\r\n\r\nok":          "",
		"HTTP/1.1 429 No\r\nContent-Length: 0\r\nRetry-After: 1\r\nretry-after: 2\r\n\r\n":           "",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: " + strings.Repeat("x", 4096) + "\r\n\r\n":       `200 0 ""`,
		"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":                                           "",
		"HTTP/1.1\r\n\r\n": "",
		"\r\n\r\n":         "",
		"":                 "",
	} {
		h, ok := ordinaryHead([]byte(text))
		got := ""
		if ok {
			got = fmt.Sprintf("%d %d %q", h.status, h.length, h.retryAfter)
		}
		if got != want {
			t.Errorf("%.100q: %s, want %s", text, got, want)
		}
		sameAsReadResponse(t, []byte(text))
	}
}

// FuzzOrdinaryHead holds ordinary answers against http.ReadResponse.
func FuzzOrdinaryHead(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: x\r\n\r\nok"))
	f.Add([]byte("HTTP/1.1 204 No Content\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok"))
	f.Add([]byte("HTTP/1.1 503 \r\nRetry-After: 12\r\nContent-Length:0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
	f.Fuzz(sameAsReadResponse)
}

func sameAsReadResponse(t *testing.T, text []byte) {
	h, ok := ordinaryHead(text)
	if !ok {
		return
	}
	r := bufio.NewReader(bytes.NewReader(text))
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("%q is ordinary, and malformed: %v", text, err)
	}
	a := answerOf(resp)
	length := resp.ContentLength
	if a.body == nil {
		length = 0
	}
	if a.status != h.status || a.retryAfter != h.retryAfter || length != h.length || resp.Close || len(resp.TransferEncoding) > 0 {
		t.Fatalf("%q is %+v, and to net/http %+v", text, h, resp)
	}
	want := text[h.size:min(int64(len(text)), int64(h.size)+h.length)]
	var got []byte
	if a.body != nil {
		got, _ = io.ReadAll(a.body) // it may be cut off
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%q has the body %q, and to net/http %q", text, want, got)
	}
}

// FuzzCall holds what is written against http.Request.Write.
func FuzzCall(f *testing.F) {
	f.Add("http://example.com/hook?a=1", "evt_1", "order/1", "demo/orders", "X-Two", "1", "x-two", "2", "binary", "payload")
	f.Add("http://u:p@[::1]:80", "", "ö\r\n", "a b", "User-Agent", "\tme ", "user-agent", "", "structured", "")
	f.Add("http://a.example/b c?d e#f", "\x00", " ", "", "Authorization", "", "Accept", "é\x80", "", "{}")
	s := newHTTP(Options{Now: func() time.Time { return time.Unix(1, 0) }, Version: "1"})
	f.Fuzz(func(t *testing.T, url, id, selector, subscription, name1, value1, name2, value2, mode, payload string) {
		sub := toURL(url)
		sub.Destination.Headers = hook.Headers{{Name: name1, Value: value1}, {Name: name2, Value: value2}}
		sub.Destination.CloudEvents = mode
		sub.Destination.Secrets = []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
		c, err := s.call(sub, &hook.Delivery{Subscription: subscription, Event: &hook.Event{ID: id, Selector: selector, Payload: []byte(payload)}})
		if err != nil || !newPlain(nil).takes(c) {
			return
		}
		var want bytes.Buffer
		if err := c.request().Write(&want); err != nil {
			t.Fatalf("%q is refused by net/http: %v", c.appendTo(nil), err)
		}
		if got := c.appendTo(nil); !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%q is written, and %q by net/http", got, want.Bytes())
		}
	})
}
