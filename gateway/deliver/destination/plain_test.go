package destination

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"switchhook/gateway/hook"
)

// talk is a receiver that answers the requests of each connection with one text after the other, and closes it behind the
// last. It keeps what was sent.
type talk struct {
	url    string
	mu     sync.Mutex
	conns  int
	heads  []string      // of requests, in order
	bodies []string      // of those
	closed chan struct{} // one for each connection that it closed
}

func newTalk(t *testing.T, answers ...string) *talk {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &talk{url: "http://" + l.Addr().String() + "/hook?a=1", closed: make(chan struct{}, 100)}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			k.mu.Lock()
			k.conns++
			k.mu.Unlock()
			running.Go(func() {
				defer func() { k.closed <- struct{}{} }()
				defer c.Close()
				r := bufio.NewReader(c)
				for _, answer := range answers {
					var head strings.Builder
					size := 0
					for {
						line, err := r.ReadString('\n')
						if err != nil {
							return
						}
						_, _ = fmt.Sscanf(line, "Content-Length: %d", &size)
						head.WriteString(line)
						if line == "\r\n" {
							break
						}
					}
					answer, deaf := strings.CutPrefix(answer, "deaf:")
					body := make([]byte, size)
					if !deaf {
						if _, err := io.ReadFull(r, body); err != nil {
							return
						}
					}
					k.mu.Lock()
					k.heads, k.bodies = append(k.heads, head.String()), append(k.bodies, string(body))
					k.mu.Unlock()
					if _, err := io.WriteString(c, answer); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); running.Wait() })
	return k
}

var loop = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func newSender(t *testing.T) *httpSender {
	s := newHTTP(Options{Now: time.Now})
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func toURL(url string) *hook.Subscription {
	return &hook.Subscription{Workspace: "demo", Name: "orders", Destination: hook.Destination{URL: url, Allow: loop, Timeout: 10 * time.Second}}
}

func withPayload(payload string) *hook.Delivery {
	return &hook.Delivery{ID: "dlv_1", Subscription: "demo/orders", Event: &hook.Event{ID: "evt_1", Selector: "a", Payload: []byte(payload)}}
}

const fine = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// What comes of three deliveries, one after the other, and over how many connections they go.
func TestPlainConversations(t *testing.T) {
	const chunks = "HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nX: y\r\n\r\n"
	const hint = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
	for _, c := range []struct {
		name    string
		answers []string
		conns   int
		want    string // class, status and response of each
	}{
		{"one connection", []string{fine, fine, fine}, 1, `ok 200 "ok"`},
		{"closed by the receiver, unannounced", []string{fine}, 3, `ok 200 "ok"`},
		{"closed by the receiver, announced", []string{"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it"}, 3, `ok 200 "all of it"`},
		{"HTTP/1.0", []string{"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold", ""}, 3, `ok 200 "old"`},
		{"no body", []string{"HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"}, 1, `ok 204 ""`},
		{"chunks and a trailer", []string{chunks, chunks, chunks}, 1, `status 500 "abc"`},
		{"more than was asked for", []string{fine + fine, "", ""}, 3, `ok 200 "ok"`},
		{"early hints", []string{hint + hint + fine, hint + fine, fine}, 1, `ok 200 "ok"`},
		{"nothing but hints", []string{strings.Repeat(hint, 10)}, 3, `protocol 0 ""`},
		{"another protocol", []string{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nhello"}, 3, `status 101 ""`},
		{"a body that is cut off", []string{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"}, 3, `ok 200 "ok"`},
		{"an answer to less than all", []string{"deaf:HTTP/1.1 413 Too large\r\nContent-Length: 0\r\n\r\n"}, 3, `status 413 ""`},
		{"nothing", []string{""}, 3, `reset 0 ""`},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, s := newTalk(t, c.answers...), newSender(t)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			for i := range 3 {
				r := s.Send(ctx, toURL(k.url), withPayload(strings.Repeat("x", 20_000)))
				if got := fmt.Sprintf("%s %d %q", r.Class, r.Status, r.Response); got != c.want {
					t.Errorf("delivery %d: %s, want %s (%s)", i+1, got, c.want, r.Error)
				}
				if len(c.answers) == 1 {
					<-k.closed // so that the next one finds it closed
				}
			}
			_ = s.Close()
			k.mu.Lock()
			defer k.mu.Unlock()
			if k.conns != c.conns {
				t.Errorf("%d connections, want %d", k.conns, c.conns)
			}
		})
	}
}

// What goes over the wire is what http.Transport writes, below, at and beyond the size that is left to it.
func TestPlainWritesWhatTransportWrites(t *testing.T) {
	for _, size := range []int{0, 2, 7000, maxPlainBody, maxPlainBody + 1, 300_000} {
		k, s := newTalk(t, fine, fine, fine), newSender(t)
		sub := toURL(strings.Replace(k.url, "http://", "http://user:pass@", 1))
		sub.Destination.Headers = hook.Headers{{Name: "x-two", Value: "1"}, {Name: "X-Two", Value: "2"}}
		d := withPayload(strings.Repeat("x", size))
		if r := s.Send(t.Context(), sub, d); r.Class != "ok" {
			t.Fatalf("%+v", r)
		}
		c, err := s.call(sub, d)
		if err != nil {
			t.Fatal(err)
		}
		if want := size <= maxPlainBody; s.transport(loop).plain.takes(c) != want {
			t.Errorf("%d bytes: not where they belong", size)
		}
		resp, err := s.transport(loop).other.RoundTrip(c.request())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		_ = s.Close()
		stamp := func(head string) string { // the two may be a second apart
			before, after, _ := strings.Cut(head, "Webhook-Timestamp: ")
			_, after, _ = strings.Cut(after, "\r\n")
			return before + after
		}
		if len(k.heads) != 2 || stamp(k.heads[0]) != stamp(k.heads[1]) || k.bodies[0] != k.bodies[1] || len(k.bodies[0]) != size {
			t.Errorf("%d bytes: %q", size, k.heads)
		}
	}
}

func TestPlainEndsWithItsContext(t *testing.T) {
	k, s := newTalk(t, "HTTP/1.1 200 OK\r\n", fine), newSender(t) // half a head
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan string)
	go func() {
		r := s.Send(ctx, toURL(k.url), withPayload("{}"))
		done <- r.Class + ": " + r.Error
	}()
	for asked := false; !asked; {
		time.Sleep(time.Millisecond)
		k.mu.Lock()
		asked = len(k.heads) == 1
		k.mu.Unlock()
	}
	cancel()
	if got := <-done; got != "gateway: cut off: the gateway stops" {
		t.Error(got)
	}
}

func TestHostPort(t *testing.T) {
	for raw, want := range map[string]string{
		"http://a": "a:80", "http://a:8080/x": "a:8080", "http://u:p@a/": "a:80", "http://[::1]": "[::1]:80",
		"http://[fe80::1%25lo]:1": "[fe80::1%lo]:1", "http://1.2.3.4:": "1.2.3.4:80",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := hostPort(u); got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
	for raw, want := range map[string]bool{"http://a/ü": true, "https://a/": false, "http://größe.example/": false, "http://[fe80::1%25lo]:1": false, "http://[::1]:1": true} {
		u, _ := url.Parse(raw)
		if got := newPlain(nil).takes(&call{url: u}); got != want {
			t.Errorf("%s: %v", raw, got)
		}
	}
}

// Idle connections are bounded for each host and in all, the oldest are closed first, and none is kept for longer than a minute.
func TestPlainIdle(t *testing.T) {
	var closed bytes.Buffer
	p := newPlain(nil)
	put := func(host string, name byte) {
		p.put(&plainConn{Conn: closing{name: name, to: &closed}, addr: host})
	}
	expect := func(what, want string, left int) {
		t.Helper()
		if closed.String() != want || p.all.Len() != left || (p.sweep != nil) != (left > 0) {
			t.Errorf("%s: closed %q, want %q; %d left, want %d", what, closed.String(), want, p.all.Len(), left)
		}
		closed.Reset()
	}
	for i := range maxIdleConnsPerHost + 2 {
		put("a", "xy-"[min(i, 2)])
	}
	expect("of one host", "xy", maxIdleConnsPerHost)
	for i := range maxIdleConns - maxIdleConnsPerHost {
		put(fmt.Sprint("b", i), 'b')
	}
	expect("of many", "", maxIdleConns)
	put("c", 'c')
	expect("of too many", "-", maxIdleConns)
	if c := p.take("c"); c == nil || c.addr != "c" || p.take("c") != nil || p.take("nobody") != nil {
		t.Error("one that is idle is used again, once")
	}
	p.closeIdle(0)
	expect("at the end", strings.Repeat("-", maxIdleConnsPerHost-1)+strings.Repeat("b", maxIdleConns-maxIdleConnsPerHost), 0)

	put("a", '1')
	put("a", '2')
	put("b", '3')
	for e, age := p.all.Front(), time.Duration(0); e != nil; e, age = e.Next(), age+time.Minute {
		c := e.Value.(*plainConn)
		c.since = c.since.Add(-age)
	}
	p.closeIdle(idleConnTimeout)
	expect("after a minute", "12", 1)
	if len(p.idle) != 1 || p.take("b") == nil || len(p.idle) != 0 {
		t.Errorf("%v", p.idle)
	}
	p.closeIdle(idleConnTimeout)
	expect("none", "", 0)
}

type closing struct {
	net.Conn
	name byte
	to   *bytes.Buffer
}

func (c closing) Close() error { c.to.WriteByte(c.name); return nil }
