package app

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"switchhook/gateway/config"
	"switchhook/gateway/hook"
	"switchhook/gateway/script/worker"
	"switchhook/gateway/store"
	"switchhook/spec/diagnostic"
)

func TestMain(m *testing.M) {
	worker.Main() // does not return in a process that runs handlers
	os.Exit(m.Run())
}

const connector = `
key: shop
name: Shop
globalWebhooks:
  events:
    verify: none
    handle: |
      export default ({ data }) => ({ events: [{ selector: 'n/' + data.n, payload: data, id: data.id }], response: { status: 202, data: { n: data.n } } })
`

// clock is a clock that stands still but where it is told to go.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) Now() time.Time       { return time.Unix(0, c.nanos.Load()).UTC() }
func (c *clock) jump(d time.Duration) { c.nanos.Add(int64(d)) }

// running is a gateway on a clock, with a receiver.
type running struct {
	t   *testing.T
	dir string
	*clock
	g    *Gateway
	stop func()

	mu     sync.Mutex
	got    []string // bodies of deliveries, one for each attempt
	answer func(w http.ResponseWriter, attempt int)
	change chan struct{}
	url    string
}

// newRunning prepares a folder with one subscription of everything; start runs it.
func newRunning(t *testing.T, retry, more string) *running {
	r := &running{t: t, dir: t.TempDir(), clock: newClock(), change: make(chan struct{}, 1)}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		r.got = append(r.got, string(body))
		n, answer := len(r.got), r.answer
		r.mu.Unlock()
		select {
		case r.change <- struct{}{}:
		default:
		}
		if answer != nil {
			answer(w, n)
		}
	}))
	t.Cleanup(receiver.Close)
	r.url = receiver.URL
	for name, text := range map[string]string{"connectors/shop.yml": connector, "config.yaml": fmt.Sprintf(`
server: {listen: "127.0.0.1:0", publicUrl: "http://127.0.0.1"}
admin: {listen: "127.0.0.1:0"}
%s
workspaces:
  main:
    integrations: {shop: {connector: shop}}
    subscriptions:
      all: {integration: shop, selector: "**", destination: {type: http, url: %q, allow: [127.0.0.0/8], retry: %s}}
`, more, receiver.URL, retry)} {
		path := filepath.Join(r.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *running) start() {
	r.t.Helper()
	load := func() (*config.Config, diagnostic.List) {
		return config.Load(filepath.Join(r.dir, "config.yaml"), config.Options{Env: func(string) (string, bool) { return "", false }})
	}
	cfg, list := load()
	if list.HasErrors() {
		r.t.Fatal(list)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g, err := New(ctx, Options{Config: cfg, LoadConfig: load, Version: "test", Logger: slog.New(slog.DiscardHandler), Stdout: io.Discard, Now: r.Now, Report: func(diagnostic.List) {}})
	if err != nil {
		cancel()
		r.t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- g.Run(ctx) }()
	r.g = g
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			r.t.Error(err)
		}
		if err := g.Close(); err != nil {
			r.t.Error(err)
		}
	})
	r.t.Cleanup(r.stop)
}

// send sends a webhook and returns status and body of the answer.
func (r *running) send(body string) (int, string) {
	r.t.Helper()
	webhooks, _ := r.g.Addresses()
	resp, err := http.Post("http://"+webhooks+r.g.Live().Current().Endpoints[0].Path, "application/json", strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (r *running) attempts() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

// wait waits until so many attempts were made and settled.
func (r *running) wait(attempts int) {
	r.t.Helper()
	deadline := time.After(20 * time.Second)
	settled := func() bool {
		t := r.g.deliver.Totals()
		return t.InFlight+t.Unsettled == 0
	}
	for r.attempts() < attempts || !settled() {
		select {
		case <-r.change:
		case <-time.After(time.Millisecond): // settlements tell nobody
		case <-deadline:
			r.t.Fatalf("%d attempts were made, not %d", r.attempts(), attempts)
		}
	}
	if n := r.attempts(); n > attempts {
		r.t.Fatalf("%d attempts were made, not %d", n, attempts)
	}
}

func (r *running) deliveries(q store.DeliveryQuery) []*hook.Delivery {
	r.t.Helper()
	page, _, err := r.g.store.Deliveries(r.t.Context(), q)
	if err != nil {
		r.t.Fatal(err)
	}
	return page
}

// Clocks that jump make no retry storm: what became due is tried once, what
// is to be tried later stays, and new events are delivered all the while.
func TestClockJumps(t *testing.T) {
	r := newRunning(t, "{delays: [0s, 1h, 1h, 1h, 1h, 1h, 1h, 1h], jitter: 0}", "")
	r.answer = func(w http.ResponseWriter, _ int) { w.WriteHeader(http.StatusBadRequest) } // below 500: it opens no breaker
	r.start()
	n := 0
	send := func(count int) {
		t.Helper()
		for range count {
			n++
			if status, body := r.send(fmt.Sprintf(`{"n":%d}`, n)); status != 202 {
				t.Fatalf("answered %d %s", status, body)
			}
		}
	}
	send(20)
	r.wait(20)
	for _, step := range []struct {
		name string
		jump time.Duration
		// send are new events; due is how many of the old ones are attempted.
		send, due int
	}{
		{"30 days forward", 30 * 24 * time.Hour, 5, 20},
		{"60 days back", -60 * 24 * time.Hour, 5, 0},
		{"a little later", 30 * time.Minute, 0, 0},
		{"an hour forward", time.Hour, 3, 5}, // those sent after the jump back
		{"60 days forward again", 60 * 24 * time.Hour, 1, 33},
		{"back to where it was", -60 * 24 * time.Hour, 1, 0},
	} {
		before := r.attempts()
		r.jump(step.jump)
		r.g.deliver.Wake("main/all") // or wait until the engine looks at the clock again
		send(step.send)
		r.wait(before + step.send + step.due)
		t.Logf("%s: %d attempts", step.name, r.attempts()-before)
	}
	r.stop()
	// Nothing is lost: each delivery still has its turn.
	r.start()
	if got := r.deliveries(store.DeliveryQuery{State: hook.Pending, Limit: 1000}); len(got) != n {
		t.Errorf("%d deliveries are pending, not %d", len(got), n)
	}
}

// A delay that grows, up to a cap and a total age, from config.yaml to the
// attempts that are recorded.
func TestGrowingDelaysAndAttempts(t *testing.T) {
	r := newRunning(t, "{initial: 10s, factor: 2, max: 30s, maxAge: 2m, jitter: 0}", "")
	long := strings.Repeat("no ", 4000)
	r.answer = func(w http.ResponseWriter, _ int) {
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, long)
	}
	r.start()
	began := r.Now()
	r.send(`{"n":1}`)
	for i, want := range []time.Duration{0, 10 * time.Second, 30 * time.Second, time.Minute, 90 * time.Second, 2 * time.Minute} {
		r.wait(i + 1)
		if got := r.Now().Sub(began); got != want {
			t.Errorf("attempt %d after %v, not %v", i+1, got, want)
		}
		d := r.deliveries(store.DeliveryQuery{})[0]
		if i == 5 {
			if d.State != hook.Dead {
				t.Errorf("after %d attempts it is %s", i+1, d.State)
			}
			break
		}
		// A moment too early nothing happens.
		r.jump(d.DueAt.Sub(r.Now()) - 1)
		r.g.deliver.Wake("main/all")
		r.wait(i + 1)
		r.jump(1)
		r.g.deliver.Wake("main/all")
	}
	d := r.deliveries(store.DeliveryQuery{})[0]
	_, attempts, err := r.g.store.Delivery(t.Context(), d.ID)
	if err != nil || len(attempts) != 6 {
		t.Fatalf("%d attempts, %v", len(attempts), err)
	}
	for i, a := range attempts {
		if a.Number != i+1 || a.Status != 409 || a.Class != "status" || a.Took <= 0 || a.At.Before(began) || !strings.Contains(a.Error, "409") || !bytes.Equal(a.Response, []byte(long[:4096])) {
			t.Errorf("attempt %+v", a)
		}
	}
}

// An event whose id was seen is stored as a duplicate, delivered to nobody,
// and the provider gets the same answer; over a restart too, until the window is over.
func TestDuplicates(t *testing.T) {
	r := newRunning(t, "{delays: [0s]}", "dedupe: {window: 1h}")
	r.start()
	status, body := r.send(`{"n":1,"id":"a"}`)
	r.wait(1)
	again := func(want int, what string) {
		t.Helper()
		if s, b := r.send(`{"n":1,"id":"a"}`); s != status || b != body {
			t.Errorf("%s: answered %d %s, at first %d %s", what, s, b, status, body)
		}
		r.wait(want)
	}
	again(1, "at once")
	r.stop()
	r.start()
	r.jump(59 * time.Minute)
	again(1, "after a restart")
	stats, err := r.g.store.Stats(t.Context())
	if err != nil || stats.Requests != 3 || stats.Events != 3 {
		t.Errorf("stored %+v, %v", stats, err)
	}
	requests, _, err := r.g.store.Requests(t.Context(), store.RequestQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range requests { // newest first
		rec, err := r.g.store.Request(t.Context(), s.ID)
		if err != nil {
			t.Fatal(err)
		}
		if first := i == len(requests)-1; rec.Events[0].Duplicate == first || (len(rec.Deliveries) == 1) != first {
			t.Errorf("request %d: duplicate %v, %d deliveries", i, rec.Events[0].Duplicate, len(rec.Deliveries))
		}
	}
	r.jump(time.Minute + time.Second)
	again(2, "after the window")
	// Another id is none.
	r.send(`{"n":1,"id":"b"}`)
	r.wait(3)
}

// What is older than retention says goes, in steps that requests come between;
// what waits for its delivery stays.
func TestRetentionByAge(t *testing.T) {
	r := newRunning(t, "{delays: [0s, 500h]}", "retention: {age: 24h}")
	r.start()
	r.answer = func(w http.ResponseWriter, n int) {
		if n == 1 {
			w.WriteHeader(http.StatusBadRequest) // it waits for its second attempt
		}
	}
	const old = 2000
	var senders sync.WaitGroup
	var next atomic.Int64
	for range 8 {
		senders.Go(func() {
			for n := next.Add(1); n <= old; n = next.Add(1) {
				r.send(fmt.Sprintf(`{"n":%d}`, n))
			}
		})
	}
	senders.Wait()
	r.wait(old)
	if n, err := r.g.sweep(t.Context()); n != 0 || err != nil {
		t.Fatalf("swept %d, %v, before anything is old", n, err)
	}
	r.jump(24*time.Hour + time.Second)
	swept := make(chan error, 1)
	go func() {
		n, err := r.g.sweep(t.Context())
		if err == nil && n != old-1 {
			err = fmt.Errorf("swept %d, not %d", n, old-1)
		}
		swept <- err
	}()
	between := 0
	for done := false; !done; {
		select {
		case err := <-swept:
			if err != nil {
				t.Error(err)
			}
			done = true
		default:
			r.send(`{"n":0}`)
			between++
		}
	}
	if between < 5 {
		t.Errorf("%d requests came through while %d were deleted", between, old)
	}
	r.wait(old + between)
	stats, err := r.g.store.Stats(t.Context())
	if err != nil || stats.Requests != int64(between)+1 || stats.Pending != 1 {
		t.Errorf("%+v, %v; want %d requests and one pending", stats, err, between+1)
	}
}

// Under churn the database does not grow beyond what retention allows.
func TestRetentionBySize(t *testing.T) {
	r := newRunning(t, "{delays: [0s]}", "retention: {size: 16MiB}")
	r.start()
	noise := make([]byte, 48_000)
	rand.NewChaCha8([32]byte{}).Read(noise)            //nolint:errcheck // it never fails
	filler := base64.StdEncoding.EncodeToString(noise) // 64 kB that cannot be packed
	most := int64(0)
	const rounds, each = 12, 64 // 4 MB in a round, 48 MB in all
	for round := range rounds {
		var senders sync.WaitGroup
		for i := range 8 {
			senders.Go(func() {
				for n := range each / 8 {
					r.send(fmt.Sprintf(`{"n":%d,"filler":"%d%s"}`, n, i, filler))
				}
			})
		}
		senders.Wait()
		r.wait((round + 1) * each)
		if _, err := r.g.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(r.dir, "data", "*.db"))
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		info, err := os.Stat(files[0])
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, info.Size())
	}
	// The WAL beside it is bounded by itself.
	if most > 24<<20 {
		t.Errorf("the database took %d MiB, where 16 are allowed and a round adds 4", most>>20)
	}
	if stats, err := r.g.store.Stats(t.Context()); err != nil || stats.Requests == 0 || stats.Requests >= rounds*each {
		t.Errorf("%+v, %v", stats, err)
	}
}
