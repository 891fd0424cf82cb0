package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"switchhook/gateway/hook"
	"switchhook/gateway/store/sqlite"
)

// store measures durable commits alone: what a push of 7 KB becomes, two events with a delivery each, written by several
// callers at once. It runs in this process.
func (b *bench) store() error {
	// As the gateway sets its own runtime, see gateway/app/memory.go.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2))
	t := table{Title: "Durable commits", Text: "The store alone: a record is a request of 7 KB with two events and two deliveries. A call returns when it is synced. The callers' own work is on the same processors.",
		Columns: []string{"callers", "records/s", "p50", "p99", "slowest", "CPU per record", "written per record"}}
	for _, callers := range []int{1, 64, 256} {
		var rounds []result
		var slowest time.Duration
		var bytes float64
		for i := range min(3, b.rounds()) {
			r, max, written, err := b.commits(filepath.Join(b.dir, fmt.Sprintf("store-%d-%d", callers, i)), callers)
			if err != nil {
				return err
			}
			rounds, slowest, bytes = append(rounds, r), slowest+max, written
			progress("%3d callers %9.0f/s p99 %v %v", callers, r.rate, r.p99, r.cpu)
		}
		r := median(rounds, func(r result) float64 { return float64(r.p99) })
		t.row(fmt.Sprint(callers), fmt.Sprintf("%.0f", r.rate), short(r.p50), short(r.p99), short(slowest/time.Duration(len(rounds))), short(r.cpu), size(int64(bytes)))
		if callers == 256 {
			b.report.figures.Record, b.report.figures.Written = r.cpu.Seconds(), bytes
		}
	}
	b.report.add("store", t, plot{})
	return nil
}

func (b *bench) commits(dir string, callers int) (r result, slowest time.Duration, written float64, err error) {
	s, err := sqlite.Open(dir, sqlite.Options{})
	if err != nil {
		return r, 0, 0, err
	}
	defer os.RemoveAll(dir)
	defer s.Close()
	body := push(pushSize)
	d := b.duration()
	var next atomic.Int64
	var wg sync.WaitGroup
	times := make([][]time.Duration, callers)
	errs := make([]error, callers)
	cpu, io, began := ownCPU(), ownWritten(), time.Now()
	for c := range callers {
		wg.Go(func() {
			for time.Since(began) < d && b.ctx.Err() == nil {
				n := next.Add(1)
				at := time.Now()
				if errs[c] = s.Append(context.Background(), record(n, body, at)); errs[c] != nil {
					return
				}
				times[c] = append(times[c], time.Since(at))
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	for _, err := range errs {
		if err != nil {
			return r, 0, 0, err
		}
	}
	all := slices.Concat(times...)
	slices.Sort(all)
	n := len(all)
	return result{rate: float64(n) / took.Seconds(), p50: all[n/2], p99: all[n*99/100], cpu: (ownCPU() - cpu) / time.Duration(n)},
		all[n-1], float64(ownWritten()-io) / float64(n), nil
}

// record is what a push becomes.
func record(n int64, body []byte, at time.Time) *hook.Record {
	id := fmt.Sprintf("req_01KE%022d", n)
	rec := &hook.Record{
		Request: &hook.Request{
			ID: id, Workspace: "main", Integration: fmt.Sprint("github", n%20), Webhook: "events", Connector: "github", Method: "POST",
			URL: "https://hooks.example.com/main/github/events/0123456789abcdef0123456789abcdef", Path: "/main/github/events/0123456789abcdef0123456789abcdef",
			Headers: hook.Headers{{Name: "Content-Type", Value: "application/json"}, {Name: "User-Agent", Value: "GitHub-Hookshot/044aadd"}, {Name: "X-GitHub-Event", Value: "push"}},
			Body:    body, RemoteAddr: "192.0.2.7", ReceivedAt: at,
		},
		Outcome: hook.Accepted, Verified: "hmac-sha256", Response: hook.Response{Status: 200},
	}
	for i := range 2 {
		e := &hook.Event{ID: fmt.Sprintf("evt_%s_%d", id[4:], i), RequestID: id, Selector: fmt.Sprintf("push/org%d/repo%d", n%1000, n%100_000), Payload: body, FromBody: true}
		rec.Events = append(rec.Events, e)
		rec.Deliveries = append(rec.Deliveries, &hook.Delivery{Event: e, Subscription: fmt.Sprint("main/sub", (n*2+int64(i))%100), DueAt: at})
	}
	return rec
}

func ownCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// ownWritten is how many bytes this process has written to files.
func ownWritten() (n int64) {
	text, _ := os.ReadFile("/proc/self/io")
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, "wchar: %d", &n); err == nil {
			return n
		}
	}
	return 0
}

// storeSubscriptions stores subscriptions of which none matches the pushes that are sent, as the admin API does, each with a URL and a secret of its own.
func storeSubscriptions(ctx context.Context, dir string, n int) error {
	if n == 0 {
		return nil
	}
	s, err := sqlite.Open(dir, sqlite.Options{})
	if err != nil {
		return err
	}
	progress("storing %d subscriptions", n)
	var next atomic.Int64
	var group errgroup.Group
	for range 256 {
		group.Go(func() error {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := s.PutSubscription(ctx, &hook.Subscription{
					Workspace: "main", Name: fmt.Sprint("s", i), Integration: "bench", Webhook: "events", Selector: fmt.Sprintf("push/org%d/repository%d", i, i),
					Destination: hook.Destination{Type: "http", URL: fmt.Sprintf("https://customer%d.example.com/hooks", i), Secrets: []string{fmt.Sprintf("whsec_%032d", i)},
						Retry: hook.RetryPolicy{Delays: hook.DefaultRetryDelays, Jitter: 0.1}, Timeout: 15 * time.Second, Concurrency: 16},
				}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return errors.Join(group.Wait(), s.Close())
}
