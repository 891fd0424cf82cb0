package sqlite

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"switchhook/gateway/hook"
	"switchhook/gateway/store"
)

var (
	million = flag.Bool("store.million", false, "benchmarks with a million requests, deliveries or subscriptions besides")
	benchTo = flag.String("store.dir", "", "directory for the databases of benchmarks")
)

func benchDir(b *testing.B) string {
	if *benchTo == "" {
		return b.TempDir()
	}
	dir, err := os.MkdirTemp(*benchTo, "bench")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func benchOpen(b *testing.B) *Store {
	s, err := Open(benchDir(b), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

var benchBody = realPush()

var benchHeaders = func() (h hook.Headers) {
	for i := range 14 {
		h = append(h, hook.Header{Name: fmt.Sprintf("X-Header-%d", i), Value: "some value of an ordinary header field"})
	}
	return h
}()

// benchRecord is what a GitHub push becomes: 7 KB, two events, two deliveries.
func benchRecord(n int64, subs int) *hook.Record {
	id := fmt.Sprintf("req_01KE%022d", n)
	now := time.Now()
	rec := &hook.Record{
		Request: &hook.Request{
			ID: id, Workspace: "demo", Integration: fmt.Sprint("github", n%20), Webhook: "events", Connector: "github",
			Method: "POST", URL: "https://hooks.example.com/demo/github/events/0123456789abcdef0123456789abcdef", Path: "/demo/github/events/0123456789abcdef0123456789abcdef",
			Headers: benchHeaders, Body: benchBody, RemoteAddr: "192.0.2.7", ReceivedAt: now,
		},
		Outcome: hook.Accepted, Verified: "hmac-sha256", Response: hook.Response{Status: 200},
	}
	for i := range 2 {
		e := &hook.Event{ID: fmt.Sprintf("evt_%s_%d", id[4:], i), RequestID: id, Selector: fmt.Sprintf("push/org%d/repo%d", n%1000, n%100_000), Type: "push",
			Payload: benchBody, FromBody: true}
		rec.Events = append(rec.Events, e)
		rec.Deliveries = append(rec.Deliveries, &hook.Delivery{Event: e, Subscription: fmt.Sprint("demo/sub", (n*2+int64(i))%int64(subs)), DueAt: now})
	}
	return rec
}

// inParallel runs f b.N times from so many goroutines.
func inParallel(b *testing.B, goroutines int, f func(n int64)) []time.Duration {
	var next atomic.Int64
	var wg sync.WaitGroup
	took := make([]time.Duration, b.N)
	cpu := cpuTime(b)
	b.ResetTimer()
	for range goroutines {
		wg.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					return
				}
				t := time.Now()
				f(n)
				took[n-1] = time.Since(t)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(b.N), "cpu-µs/op")
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
	return took
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// written is how many bytes this process has had written to disk, or will have.
func written(b *testing.B) int64 {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Skip(err)
	}
	for line := range bytesLines(text) {
		var n int64
		if _, err := fmt.Sscanf(line, "wchar: %d", &n); err == nil {
			return n
		}
	}
	return 0
}

func bytesLines(text []byte) func(func(string) bool) {
	return func(yield func(string) bool) {
		for len(text) > 0 {
			i := slices.Index(text, '\n')
			if i < 0 {
				i = len(text)
			}
			if !yield(string(text[:i])) {
				return
			}
			text = text[min(i+1, len(text)):]
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := benchOpen(b)
			before := written(b)
			inParallel(b, writers, func(n int64) {
				if err := s.Append(context.Background(), benchRecord(n, 100)); err != nil {
					b.Error(err)
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(written(b)-before)/float64(b.N), "written-B/op")
			b.ReportMetric(float64(s.commits.Load())/float64(b.N), "commits/op")
			b.ReportMetric(float64(s.stall.Load())/1e6, "stall-ms")
		})
	}
}

// fill appends n records and leaves their deliveries pending.
func fill(b testing.TB, s *Store, n int64, subs int) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if i > n {
					return
				}
				rec := benchRecord(i, subs)
				rec.Request.Body = rec.Request.Body[:200]
				for _, e := range rec.Events {
					e.Payload = e.Payload[:100]
				}
				if err := s.Append(context.Background(), rec); err != nil {
					b.Error(err)
					return
				}
				for _, d := range rec.Deliveries {
					s.Release(d.ID)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkClaim(b *testing.B) {
	sizes := []int64{1e3, 1e5}
	if *million {
		sizes = append(sizes, 1e6)
	}
	for _, backlog := range sizes {
		b.Run(fmt.Sprintf("backlog=%d", backlog), func(b *testing.B) {
			s := benchOpen(b)
			fill(b, s, backlog/2, 1)
			ctx := context.Background()
			b.ResetTimer()
			for range b.N {
				ds, err := s.Claim(ctx, "demo/sub0", time.Now(), 16)
				if err != nil || len(ds) != 16 {
					b.Fatal(len(ds), err)
				}
				for _, d := range ds {
					s.Release(d.ID)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/16, "µs/delivery")
		})
	}
}

// TestClaimingDoesNotGrow: with fifty thousand deliveries waiting a claim takes
// about as long as with five hundred.
func TestClaimingDoesNotGrow(t *testing.T) {
	few, many := mustOpen(t, t.TempDir()), mustOpen(t, t.TempDir())
	defer few.Close()
	defer many.Close()
	fill(t, few, 250, 1)
	fill(t, many, 25_000, 1)
	claim := func(s *Store) time.Duration {
		began := time.Now()
		ds, err := s.Claim(t.Context(), "demo/sub0", time.Now(), 16)
		took := time.Since(began)
		if err != nil || len(ds) != 16 {
			t.Fatal(len(ds), err)
		}
		for _, d := range ds {
			s.Release(d.ID)
		}
		return took
	}
	// The quickest of many, taking turns: other work on the machine slows some.
	a, b := time.Hour, time.Hour
	for range 300 {
		a, b = min(a, claim(few)), min(b, claim(many))
	}
	t.Logf("16 deliveries: %v of 500, %v of 50000", a, b)
	if b > 3*a {
		t.Errorf("claiming 16 deliveries takes %v of 500 waiting, and %v of 50000", a, b)
	}
}

// BenchmarkDrain claims and settles a whole backlog, with many in flight.
func BenchmarkDrain(b *testing.B) {
	s := benchOpen(b)
	fill(b, s, int64(b.N+1)/2, 1)
	ctx := context.Background()
	before := cpuTime(b)
	b.ResetTimer()
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for {
				ds, err := s.Claim(ctx, "demo/sub0", time.Now(), 16)
				if err != nil {
					b.Error(err)
				}
				if len(ds) == 0 {
					return
				}
				var sets []hook.Settlement
				for _, d := range ds {
					sets = append(sets, settled(d.ID))
				}
				if err := s.Settle(ctx, sets...); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/delivery")
}

func settled(id string) hook.Settlement {
	return hook.Settlement{Next: hook.Done, Attempt: hook.Attempt{DeliveryID: id, At: time.Now(), Took: time.Millisecond, Status: 200, Class: "ok", Response: []byte("ok")}}
}

func BenchmarkSettle(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := benchOpen(b)
			fill(b, s, int64(b.N+1)/2, 10)
			before := written(b)
			inParallel(b, callers, func(n int64) {
				n--
				if err := s.Settle(context.Background(), settled(deliveryID((n/2+1)<<numberBits|(n%2+1)))); err != nil {
					b.Error(err)
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
			b.ReportMetric(float64(written(b)-before)/float64(b.N), "written-B/op")
		})
	}
}

// BenchmarkLists answers lists and look-ups of a store with many requests.
func BenchmarkLists(b *testing.B) {
	n := int64(20_000)
	if *million {
		n = 1_000_000
	}
	s := benchOpen(b)
	fill(b, s, n, 1000)
	ctx := context.Background()
	some := benchRecord(n/2, 1000)
	if err := s.Settle(ctx, func() hook.Settlement {
		x := settled(deliveryID(7<<numberBits | 1))
		x.Next = hook.Dead
		return x
	}()); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		run  func() error
	}{
		{"requests", func() error { _, _, err := s.Requests(ctx, store.RequestQuery{}); return err }},
		{"requests of an integration", func() error {
			_, _, err := s.Requests(ctx, store.RequestQuery{Workspace: "demo", Integration: "github7"})
			return err
		}},
		{"requests that failed, none", func() error {
			_, _, err := s.Requests(ctx, store.RequestQuery{Outcome: hook.Failed, Integration: "github7"})
			return err
		}},
		{"requests by text, one page", func() error { _, _, err := s.Requests(ctx, store.RequestQuery{Text: "not to be found"}); return err }},
		{"requests before", func() error {
			_, _, err := s.Requests(ctx, store.RequestQuery{Before: some.Request.ReceivedAt.Add(-time.Hour)})
			return err
		}},
		{"request", func() error { _, err := s.Request(ctx, some.Request.ID); return err }},
		{"request, unknown", func() error { s.Request(ctx, "req_nope"); return nil }},
		{"deliveries", func() error { _, _, err := s.Deliveries(ctx, store.DeliveryQuery{}); return err }},
		{"deliveries of a subscription", func() error {
			_, _, err := s.Deliveries(ctx, store.DeliveryQuery{Subscription: "demo/sub77"})
			return err
		}},
		{"deliveries of a selector", func() error {
			_, _, err := s.Deliveries(ctx, store.DeliveryQuery{Selector: "push/org77/repo77"})
			return err
		}},
		{"deliveries of a selector prefix", func() error {
			_, _, err := s.Deliveries(ctx, store.DeliveryQuery{Selector: "push/org77/**"})
			return err
		}},
		{"deliveries that are dead", func() error { _, _, err := s.Deliveries(ctx, store.DeliveryQuery{State: hook.Dead}); return err }},
		{"deliveries that are done, none", func() error { _, _, err := s.Deliveries(ctx, store.DeliveryQuery{State: hook.Done}); return err }},
		{"stats", func() error { _, err := s.Stats(ctx); return err }},
	} {
		b.Run(c.name, func(b *testing.B) {
			for range b.N {
				if err := c.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSubscriptions loads subscriptions made at run time.
func BenchmarkSubscriptions(b *testing.B) {
	n := 10_000
	if *million {
		n = 1_000_000
	}
	s := benchOpen(b)
	var next atomic.Int64
	var wg sync.WaitGroup
	put := time.Now()
	for range 256 {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(n) {
					return
				}
				sub := &hook.Subscription{Workspace: "demo", Name: fmt.Sprint("sub", i), Integration: "github", Webhook: "events", Selector: fmt.Sprint("push/org/", i),
					Destination: hook.Destination{Type: "http", URL: "https://example.com/hooks", Secrets: []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
						Retry: hook.RetryPolicy{Delays: hook.DefaultRetryDelays, Jitter: 0.1}, Timeout: 15 * time.Second, Concurrency: 16}}
				if err := s.PutSubscription(context.Background(), sub); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.Logf("put %d in %v", n, time.Since(put))
	before := cpuTime(b)
	b.ResetTimer()
	for range b.N {
		got := 0
		if err := s.Subscriptions(context.Background(), func(*hook.Subscription) bool { got++; return true }); err != nil || got != n {
			b.Fatal(got, err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/load")
	b.ReportMetric((cpuTime(b)-before).Seconds()/float64(b.N), "cpu-s/load")
}
