package deliver_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"switchhook/gateway/deliver"
	"switchhook/gateway/deliver/destination"
	"switchhook/gateway/hook"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// httpWorld is an engine with the real http sender.
type httpWorld struct {
	q    *queue
	e    *deliver.Engine
	subs sync.Map
}

func newHTTPWorld(t testing.TB) *httpWorld {
	w := startHTTPWorld(t)
	t.Cleanup(func() { w.close(t) })
	return w
}

// startHTTPWorld is newHTTPWorld whose close is the caller's to call.
func startHTTPWorld(t testing.TB) *httpWorld {
	w := &httpWorld{q: newQueue()}
	w.e = deliver.New(deliver.Options{
		Queue: w.q,
		Lookup: func(id string) (*hook.Subscription, bool) {
			s, ok := w.subs.Load(id)
			if !ok {
				return nil, false
			}
			return s.(*hook.Subscription), true
		},
		Senders:  destination.Senders(destination.Options{Stdout: io.Discard}),
		Logger:   slog.New(slog.DiscardHandler),
		Disabled: func(id, _ string) { w.subs.Delete(id) },
	})
	if err := w.e.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *httpWorld) close(t testing.TB) {
	w.stop()
	for _, p := range w.q.problems {
		t.Error(p)
	}
}

func (w *httpWorld) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_ = w.e.Stop(ctx) // a receiver may hang on purpose
}

func (w *httpWorld) sub(name, url string, change func(*hook.Subscription)) *hook.Subscription {
	s := &hook.Subscription{Workspace: "demo", Name: name, Destination: hook.Destination{
		Type: "http", URL: url, Allow: loopback, Timeout: 5 * time.Second, Concurrency: 16,
		Secrets: []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
		Retry:   hook.RetryPolicy{Delays: []time.Duration{0, 10 * time.Millisecond, 10 * time.Millisecond}},
	}}
	if change != nil {
		change(s)
	}
	w.subs.Store(s.ID(), s)
	return s
}

func (w *httpWorld) offer(sub *hook.Subscription, payload string) string {
	now := time.Now()
	d := w.q.add(sub, "order/1", payload, now, now)
	w.e.Offer([]*hook.Delivery{d})
	return d.ID
}

// wait waits for a delivery to be settled for good.
func (w *httpWorld) wait(t testing.TB, id string) (hook.Delivery, []hook.Attempt) {
	t.Helper()
	settled := make(chan struct{}, 1)
	w.q.set(func(q *queue) {
		q.onSettle = func(int) {
			select {
			case settled <- struct{}{}:
			default:
			}
		}
	})
	deadline := time.After(20 * time.Second)
	for {
		if d, attempts := w.q.get(id); d.State != hook.Pending {
			return d, attempts
		}
		select {
		case <-settled:
		case <-deadline:
			t.Fatalf("%s is not settled", id)
		}
	}
}

func TestOverHTTP(t *testing.T) {
	for _, c := range []struct {
		name    string
		answer  func(w http.ResponseWriter, n int32)
		state   hook.DeliveryState
		classes string
	}{
		{"at once", func(w http.ResponseWriter, n int32) {}, hook.Done, "ok"},
		{"at the third", func(w http.ResponseWriter, n int32) {
			if n < 3 {
				w.WriteHeader(500)
			}
		}, hook.Done, "status status ok"},
		{"500s until it is dead", func(w http.ResponseWriter, n int32) { w.WriteHeader(500) }, hook.Dead, "status status status"},
		{"429 with Retry-After", func(w http.ResponseWriter, n int32) {
			if n == 1 {
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(429)
			}
		}, hook.Done, "status ok"},
		{"redirects", func(w http.ResponseWriter, n int32) { w.Header().Set("Location", "/"); w.WriteHeader(308) }, hook.Dead, "redirect redirect redirect"},
		{"gone", func(w http.ResponseWriter, n int32) { w.WriteHeader(410) }, hook.Dead, "gone"},
		{"resets, then works", func(w http.ResponseWriter, n int32) {
			if n == 1 {
				panic(http.ErrAbortHandler)
			}
		}, hook.Done, "reset ok"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int32
			var first, last time.Time
			r := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				_, _ = io.Copy(io.Discard, req.Body)
				if last = time.Now(); first.IsZero() {
					first = last
				}
				c.answer(w, n.Add(1))
			}))
			t.Cleanup(r.Close)
			w := newHTTPWorld(t)
			id := w.offer(w.sub("a", r.URL, nil), `{"a":1}`)
			d, attempts := w.wait(t, id)
			var classes []string
			for _, a := range attempts {
				classes = append(classes, a.Class)
				if a.Took <= 0 || a.At.IsZero() || (a.Error == "") != (a.Class == "ok") {
					t.Errorf("%+v", a)
				}
			}
			if d.State != c.state || strings.Join(classes, " ") != c.classes {
				t.Errorf("it is %s after %q", d.State, classes)
			}
			if c.name == "429 with Retry-After" && last.Sub(first) < time.Second {
				t.Errorf("the second attempt came after %v", last.Sub(first))
			}
			if c.name == "gone" && w.q.disabled["demo/a"] == "" {
				t.Error("the subscription is not disabled")
			}
		})
	}
}

// cheapReceiver answers requests at as little cost as can be, so that what is
// measured is the gateway. It ends with the test.
func cheapReceiver(t testing.TB, received func(n int)) (url string) {
	url, end := startReceiver(t, received)
	t.Cleanup(end)
	return url
}

func startReceiver(t testing.TB, received func(n int)) (url string, end func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				r := bufio.NewReaderSize(c, 32<<10)
				for {
					size, n := 0, 0
					for {
						line, err := r.ReadSlice('\n')
						if err != nil {
							return
						}
						if len(line) == 2 {
							break
						}
						if v, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
							_, _ = fmt.Sscan(v, &size)
						}
						if v, ok := strings.CutPrefix(string(line), "Webhook-Id: evt_"); ok {
							_, _ = fmt.Sscanf(v, "%d", &n)
						}
					}
					if _, err := r.Discard(size); err != nil {
						return
					}
					received(n)
					if _, err := c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")); err != nil {
						return
					}
				}
			})
		}
	})
	return "http://" + l.Addr().String(), func() { l.Close() } // connections end with the sender's transport
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkHTTPDelivery measures deliveries of 7 KB, signed, from Offer to the
// settlement, to a receiver in the same process.
func BenchmarkHTTPDelivery(b *testing.B) {
	payload := `{"x":"` + strings.Repeat("x", 7000) + `"}`
	for _, concurrency := range []int{1, 16} {
		b.Run(fmt.Sprint("concurrency=", concurrency), func(b *testing.B) {
			w := newHTTPWorld(b)
			url := cheapReceiver(b, func(int) {})
			sub := w.sub("a", url, func(s *hook.Subscription) { s.Destination.Concurrency = concurrency })
			settled := make(chan int, 1024)
			w.q.onSettle = func(n int) { settled <- n }
			b.ReportAllocs()
			b.ResetTimer()
			before := cpuTime()
			done, offered := 0, 0
			for done < b.N {
				for offered < b.N && offered-done < 256 {
					w.offer(sub, payload)
					offered++
				}
				done += <-settled
			}
			b.StopTimer()
			b.ReportMetric(float64(cpuTime()-before)/float64(b.N)/1000, "cpu-µs/op")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
			w.q.set(func(q *queue) { q.onSettle = nil })
		})
	}
}

// lineup is a good destination, and 100,000 deliveries of another one, to
// which more come all the time.
type lineup struct {
	w         *httpWorld
	good, bad *hook.Subscription
	sent      sync.Map
	mu        sync.Mutex
	took      []time.Duration
	arrived   chan struct{}
	close     func()
}

// How the other destination is in a lineup. Alone it is paused, which is the
// same work for everything but the engine.
var lineups = []string{"alone", "hanging", "down"}

func newLineup(b *testing.B, other string) *lineup {
	l := &lineup{w: startHTTPWorld(b), arrived: make(chan struct{}, 1<<16)}
	url, end := startReceiver(b, func(n int) {
		if at, ok := l.sent.LoadAndDelete(n); ok {
			l.mu.Lock()
			l.took = append(l.took, time.Since(at.(time.Time)))
			l.mu.Unlock()
			l.arrived <- struct{}{}
		}
	})
	hang := make(chan struct{})
	r := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-hang:
		}
	}))
	if other == "down" {
		r.Close()
	}
	l.close = func() { close(hang); r.Close(); l.w.close(b); end() }
	l.good = l.w.sub("good", url, nil)
	l.bad = l.w.sub("bad", r.URL, func(s *hook.Subscription) { s.Paused = other == "alone" })
	now := time.Now()
	for range 100_000 {
		l.w.q.store(l.bad, "order/1", now, now)
	}
	l.w.e.Wake(l.bad.ID())
	return l
}

func (l *lineup) offer(payload string) {
	now := time.Now()
	d := l.w.q.add(l.good, "order/1", payload, now, now)
	var n int
	_, _ = fmt.Sscanf(d.Event.ID, "evt_%d", &n)
	l.sent.Store(n, now)
	l.w.e.Offer([]*hook.Delivery{d, l.w.q.add(l.bad, "order/1", "{}", now, now)})
}

// BenchmarkFairness compares a good destination alone with the same beside one
// that hangs for its whole timeout, and beside one that is down, each with 100,000
// deliveries waiting: the time from Offer to the receiver at a steady 500 deliveries a
// second, and the deliveries per second (and CPU for each) as fast as it goes. The three take
// turns, and the better quartiles of all turns are compared, because the machine
// has other things to do: -benchtime 20x.
func BenchmarkFairness(b *testing.B) {
	payload := `{"x":"` + strings.Repeat("x", 7000) + `"}`
	p50, p99, perSecond, cpu := make([][]float64, 3), make([][]float64, 3), make([][]float64, 3), make([][]float64, 3)
	b.ResetTimer()
	for round := range b.N {
		for turn := range lineups {
			i := (round + turn) % len(lineups)
			l := newLineup(b, lineups[i])
			runtime.GC()
			tick := time.NewTicker(2 * time.Millisecond)
			for range 500 {
				<-tick.C
				l.offer(payload)
			}
			tick.Stop()
			for range 500 {
				<-l.arrived
			}
			slices.Sort(l.took)
			p50[i] = append(p50[i], float64(l.took[250].Microseconds()))
			p99[i] = append(p99[i], float64(l.took[495].Microseconds()))

			const burst = 5000
			began, cpuBegan := time.Now(), cpuTime()
			for offered, done := 0, 0; done < burst; done++ {
				for offered < burst && offered-done < 256 {
					l.offer(payload)
					offered++
				}
				<-l.arrived
			}
			perSecond[i] = append(perSecond[i], burst/time.Since(began).Seconds())
			cpu[i] = append(cpu[i], float64((cpuTime()-cpuBegan).Microseconds())/burst)
			l.close()
		}
	}
	b.StopTimer()
	for _, m := range []struct {
		name   string
		of     [][]float64
		higher bool // is better
	}{{"p50-µs", p50, false}, {"p99-µs", p99, false}, {"deliveries/s", perSecond, true}, {"cpu-µs", cpu, false}} {
		best := make([]float64, len(lineups))
		for i := range lineups {
			slices.Sort(m.of[i])
			best[i] = m.of[i][len(m.of[i])/4]
			if m.higher {
				best[i] = m.of[i][len(m.of[i])-1-len(m.of[i])/4]
			}
			b.ReportMetric(best[i], lineups[i]+"-"+m.name)
			if i > 0 {
				b.ReportMetric(100*(best[i]-best[0])/best[0], lineups[i]+"-diff-%-"+m.name)
			}
		}
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkOffer measures what the engine costs the request path.
func BenchmarkOffer(b *testing.B) {
	for name, full := range map[string]bool{"room": false, "full": true} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, hang)
			if !full {
				w.s.answer = ok
			}
			sub := w.sub("a", nil)
			w.start()
			if full {
				w.offer(sub, 1000)
			}
			now := time.Now()
			ds := make([]*hook.Delivery, b.N)
			for i := range ds {
				ds[i] = w.q.add(sub, "order/1", "{}", now, now)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for _, d := range ds {
				w.e.Offer([]*hook.Delivery{d})
			}
			b.StopTimer()
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			defer cancel()
			_ = w.e.Stop(ctx)
		})
	}
}
