package deliver_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"switchhook/gateway/deliver"
	"switchhook/gateway/hook"
)

// world is an engine with everything around it.
type world struct {
	t      testing.TB
	q      *queue
	e      *deliver.Engine
	s      *sender
	log    *bytes.Buffer
	offset atomic.Int64 // how far the wall clock is off

	mu   sync.Mutex
	subs map[string]*hook.Subscription
}

// sender calls answer for each attempt, and records them.
type sender struct {
	answer func(ctx context.Context, sub *hook.Subscription, d *hook.Delivery, n int) deliver.Result

	mu       sync.Mutex
	sent     []attempt
	count    map[string]int // attempts by delivery
	flying   map[string]bool
	bySub    map[string]int // in flight
	peak     map[string]int
	problems []string
	closed   bool
}

type attempt struct {
	id, sub, selector string
	at                time.Time
}

func (s *sender) Send(ctx context.Context, sub *hook.Subscription, d *hook.Delivery) deliver.Result {
	s.mu.Lock()
	if s.flying[d.ID] {
		s.problems = append(s.problems, d.ID+" is sent twice at once")
	}
	s.flying[d.ID] = true
	s.count[d.ID]++
	n := s.count[d.ID]
	s.sent = append(s.sent, attempt{d.ID, d.Subscription, d.Event.Selector, time.Now()})
	s.bySub[d.Subscription]++
	s.peak[d.Subscription] = max(s.peak[d.Subscription], s.bySub[d.Subscription])
	answer := s.answer
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.flying, d.ID)
		s.bySub[d.Subscription]--
		s.mu.Unlock()
	}()
	return answer(ctx, sub, d, n)
}

func (s *sender) most(sub string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peak[sub]
}

func (s *sender) Close() error { s.closed = true; return nil }

func (s *sender) attempts() []attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]attempt(nil), s.sent...)
}

func ok(context.Context, *hook.Subscription, *hook.Delivery, int) deliver.Result {
	return deliver.Result{Class: "ok", Status: 200}
}

func fail(context.Context, *hook.Subscription, *hook.Delivery, int) deliver.Result {
	return deliver.Result{Class: "status", Status: 500, Error: "the receiver answered 500"}
}

func hang(ctx context.Context, _ *hook.Subscription, _ *hook.Delivery, _ int) deliver.Result {
	<-ctx.Done()
	return deliver.Result{Class: "timeout", Error: "no answer"}
}

func newWorld(t testing.TB, answer func(context.Context, *hook.Subscription, *hook.Delivery, int) deliver.Result) *world {
	return newWorldWith(t, answer, func(*deliver.Options) {})
}

func newWorldWith(t testing.TB, answer func(context.Context, *hook.Subscription, *hook.Delivery, int) deliver.Result, change func(*deliver.Options)) *world {
	w := &world{t: t, q: newQueue(), log: &bytes.Buffer{}, subs: map[string]*hook.Subscription{},
		s: &sender{answer: answer, count: map[string]int{}, flying: map[string]bool{}, bySub: map[string]int{}, peak: map[string]int{}}}
	o := deliver.Options{
		Queue: w.q,
		Now:   w.now,
		Lookup: func(id string) (*hook.Subscription, bool) {
			w.mu.Lock()
			defer w.mu.Unlock()
			s, ok := w.subs[id]
			return s, ok
		},
		Senders:  map[string]deliver.Sender{"http": w.s},
		Random:   func() float64 { return 0 },
		Logger:   slog.New(slog.NewTextHandler(&syncWriter{w: w.log}, nil)),
		Disabled: func(id, _ string) { w.remove(id) },
	}
	change(&o)
	w.e = deliver.New(o)
	return w
}

type syncWriter struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (w *syncWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(b)
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.offset.Load())) }

// sub makes or changes a subscription.
func (w *world) sub(name string, change func(*hook.Subscription)) *hook.Subscription {
	s := &hook.Subscription{Workspace: "demo", Name: name, Destination: hook.Destination{
		Type: "http", Timeout: 15 * time.Second, Concurrency: 4,
		Retry: hook.RetryPolicy{Delays: []time.Duration{0, 5 * time.Second, 5 * time.Minute}},
	}}
	if change != nil {
		change(s)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subs[s.ID()] = s
	return s
}

func (w *world) remove(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.subs, id)
}

func (w *world) start() {
	w.t.Helper()
	if err := w.e.Start(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

// stop stops the engine and checks what must hold for every run.
func (w *world) stop() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := w.e.Stop(ctx); err != nil {
		w.t.Error(err)
	}
	w.check()
}

func (w *world) check() {
	w.t.Helper()
	if _, leased := w.q.count(); leased != 0 {
		w.t.Errorf("%d deliveries are still leased", leased)
	}
	for _, p := range append(w.q.problems, w.s.problems...) {
		w.t.Error(p)
	}
	if tot := w.e.Totals(); tot.InFlight != 0 || tot.Buffered != 0 || tot.Unsettled != 0 || tot.Bytes != 0 {
		w.t.Errorf("after the end: %+v", tot)
	}
	if !w.s.closed {
		w.t.Error("the sender was not closed")
	}
}

// offer appends n deliveries and offers them.
func (w *world) offer(sub *hook.Subscription, n int) []string {
	var ids []string
	for range n {
		d := w.q.add(sub, "order/1", `{"n":1}`, w.now(), w.now())
		ids = append(ids, d.ID)
		w.e.Offer([]*hook.Delivery{d})
	}
	return ids
}

func (w *world) states() map[hook.DeliveryState]int {
	states, _ := w.q.count()
	return states
}

func TestOfferedDeliveriesAreSentAndSettledWithoutClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok)
		sub := w.sub("a", nil)
		w.start()
		synctest.Wait()
		ids := w.offer(sub, 3)
		synctest.Wait()
		for _, id := range ids {
			d, attempts := w.q.get(id)
			if d.State != hook.Done || len(attempts) != 1 || attempts[0].Number != 1 || attempts[0].Class != "ok" || attempts[0].Status != 200 {
				t.Errorf("%s: %s after %+v", id, d.State, attempts)
			}
		}
		if w.q.stat(&w.q.claims) != 0 {
			t.Errorf("%d claims, want none", w.q.stat(&w.q.claims))
		}
		w.stop()
	})
}

func TestRetriesFollowTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fail)
		sub := w.sub("a", nil)
		w.start()
		began := time.Now()
		id := w.offer(sub, 1)[0]
		time.Sleep(time.Hour)
		synctest.Wait()
		d, attempts := w.q.get(id)
		if d.State != hook.Dead {
			t.Errorf("state is %s, want dead", d.State)
		}
		var at []time.Duration
		for i, a := range attempts {
			at = append(at, a.At.Sub(began).Round(time.Second))
			if a.Number != i+1 || a.Class != "status" || a.Error == "" {
				t.Errorf("attempt %d is recorded as %+v", i+1, a)
			}
		}
		if got, want := fmt.Sprint(at), "[0s 5s 5m5s]"; got != want {
			t.Errorf("attempts at %s, want %s", got, want)
		}
		if w.q.stat(&w.q.claims) > 4 {
			t.Errorf("%d claims for two retries", w.q.stat(&w.q.claims))
		}
		w.stop()
	})
}

func TestWhatIsInTheStoreAtStartIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok)
		sub := w.sub("a", nil)
		now := time.Now()
		for i := range 1000 {
			w.q.store(sub, "order/1", now.Add(-time.Duration(i)*time.Second), now)
		}
		later := w.q.store(sub, "order/1", now.Add(3*time.Hour), now)
		w.start()
		synctest.Wait()
		if got := w.states()[hook.Done]; got != 1000 {
			t.Errorf("%d are done, want 1000", got)
		}
		if w.e.State(sub.ID()).NextDue.IsZero() {
			t.Error("the next due time is not known")
		}
		time.Sleep(3*time.Hour + recheck)
		synctest.Wait()
		if d, _ := w.q.get(later); d.State != hook.Done {
			t.Errorf("the later one is %s", d.State)
		}
		w.stop()
	})
}

const recheck = 15 * time.Second

// A destination that takes nothing holds a bounded number of deliveries; when it
// works again every delivery is sent once, the oldest first.
func TestOverflowWaitsInTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stuck atomic.Bool
		stuck.Store(true)
		gate := make(chan struct{})
		w := newWorld(t, func(ctx context.Context, sub *hook.Subscription, d *hook.Delivery, n int) deliver.Result {
			if stuck.Load() {
				<-gate
			}
			return deliver.Result{Class: "ok"}
		})
		sub := w.sub("a", func(s *hook.Subscription) { s.Destination.Concurrency = 2 })
		w.start()
		synctest.Wait()
		w.offer(sub, 5000)
		synctest.Wait()
		if s := w.e.State(sub.ID()); s.InFlight != 2 || s.Buffered > 512 || s.Buffered < 100 {
			t.Errorf("held: %+v", s)
		}
		stuck.Store(false)
		close(gate)
		synctest.Wait()
		sent := w.s.attempts()
		if len(sent) != 5000 || w.states()[hook.Done] != 5000 {
			t.Errorf("%d attempts, states %v", len(sent), w.states())
		}
		if w.q.stat(&w.q.claims) > 5000/100 {
			t.Errorf("%d claims", w.q.stat(&w.q.claims))
		}
		for i, a := range sent {
			if age := int(a.id[len(a.id)-1]); age == 0 || a.id > fmt.Sprintf("dlv_%06d", i+1+600) {
				t.Fatalf("%s was sent as number %d", a.id, i+1)
			}
		}
		w.stop()
	})
}

// More comes than the destination takes: what waits longest is sent first, so
// that nothing waits for ever.
func TestNewDeliveriesDoNotStarveOlderOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(ctx context.Context, sub *hook.Subscription, d *hook.Delivery, n int) deliver.Result {
			time.Sleep(10 * time.Millisecond)
			return deliver.Result{Class: "ok"}
		})
		sub := w.sub("a", func(s *hook.Subscription) { s.Destination.Concurrency = 1 })
		w.start()
		for range 20_000 { // 200 a second, 100 are taken
			w.offer(sub, 1)
			time.Sleep(5 * time.Millisecond)
		}
		sent := w.s.attempts()
		seen := map[string]bool{}
		for _, a := range sent {
			seen[a.id] = true
		}
		for i := range len(sent) - 1000 {
			if id := fmt.Sprintf("dlv_%06d", i+1); !seen[id] {
				t.Fatalf("after %d attempts %s was not sent", len(sent), id)
			}
		}
		w.stop()
	})
}

// A retry has its turn although the buffer never runs empty.
func TestNewDeliveriesDoNotStarveRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var retried time.Time
		began := time.Now()
		w := newWorld(t, func(ctx context.Context, sub *hook.Subscription, d *hook.Delivery, n int) deliver.Result {
			time.Sleep(10 * time.Millisecond)
			if d.Event.Selector == "retry" {
				if n == 1 {
					return deliver.Result{Class: "status", Status: 404, Error: "not yet"}
				}
				retried = time.Now()
			}
			return deliver.Result{Class: "ok"}
		})
		sub := w.sub("a", func(s *hook.Subscription) { s.Destination.Concurrency = 1 })
		w.start()
		w.e.Offer([]*hook.Delivery{w.q.add(sub, "retry", "{}", w.now(), w.now())})
		w.offer(sub, 300)
		for range 10_000 { // as many as are taken: the buffer stays half full
			w.offer(sub, 1)
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		if waited := retried.Sub(began); waited <= 0 || waited > 20*time.Second {
			t.Errorf("the retry that was due after 5s came after %v", waited)
		}
		w.stop()
	})
}

// Destinations that hang hold a bounded amount of memory, and leave enough to
// those that work.
func TestPayloadBytesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		w := newWorld(t, func(ctx context.Context, sub *hook.Subscription, d *hook.Delivery, n int) deliver.Result {
			if sub.Name != "good" {
				<-gate
			}
			time.Sleep(time.Millisecond)
			return deliver.Result{Class: "ok"}
		})
		offer := func(sub *hook.Subscription, payload []byte) {
			d := w.q.add(sub, "s", "", w.now(), w.now())
			w.q.set(func(q *queue) { q.items[d.ID].d.Event.Payload = payload })
			w.e.Offer([]*hook.Delivery{d})
		}
		large := make([]byte, 1<<20)
		w.start()
		for i := range 100 {
			sub := w.sub(fmt.Sprint(i), nil)
			for range 20 {
				offer(sub, large)
			}
		}
		synctest.Wait()
		if got := w.e.Totals().Bytes; got > 400<<20 || got < 100<<20 {
			t.Errorf("%d MiB of %d are in memory", got>>20, 2000)
		}
		good := w.sub("good", nil)
		for range 100 {
			offer(good, make([]byte, 7000))
		}
		synctest.Wait()
		if s := w.e.State(good.ID()); s.InFlight != 4 || s.Buffered < 50 {
			t.Errorf("the one that works: %+v", s)
		}
		time.Sleep(time.Second)
		if got := w.states()[hook.Done]; got != 100 {
			t.Errorf("%d of 100 are done beside those that hang", got)
		}
		// Payloads beyond all bounds are sent nevertheless, one by one.
		for huge, i := make([]byte, 30<<20), 0; i < 30; i++ {
			offer(good, huge)
		}
		time.Sleep(time.Second)
		close(gate)
		time.Sleep(time.Minute)
		if got := w.states()[hook.Done]; got != 2130 {
			t.Errorf("%d of 2130 are done", got)
		}
		// What others no longer hold can be held again.
		gate = make(chan struct{})
		last := w.sub("last", nil)
		for range 20 {
			offer(last, large)
		}
		synctest.Wait()
		if s := w.e.State(last.ID()); s.InFlight+s.Buffered != 8 {
			t.Errorf("the last one: %+v", s)
		}
		close(gate)
		w.stop()
	})
}

// A probe that the rate does not allow yet is made later.
func TestBreakerAndRateTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		w := newWorld(t, func(ctx context.Context, sub *hook.Subscription, d *hook.Delivery, n int) deliver.Result {
			if up.Load() {
				return deliver.Result{Class: "ok"}
			}
			return deliver.Result{Class: "refused", Error: "connection refused"}
		})
		sub := w.sub("a", func(s *hook.Subscription) { s.Destination.RatePerSecond = 0.1 })
		w.start()
		w.offer(sub, 30)
		time.Sleep(106 * time.Second) // ten attempts, the breaker's open time, no token yet
		if s := w.e.State(sub.ID()); s.Breaker != "half-open" || s.Waiting != "rate" {
			t.Errorf("state %+v", s)
		}
		up.Store(true)
		time.Sleep(time.Hour)
		if got := w.states()[hook.Done]; got != 30 {
			t.Errorf("%d of 30 are done", got)
		}
		w.stop()
	})
}

func TestPausedAndMissingSubscriptionsWait(t *testing.T) {
	for _, c := range []struct {
		name          string
		stop, restart func(w *world)
	}{
		{"paused, then woken",
			func(w *world) { w.sub("a", func(s *hook.Subscription) { s.Paused = true }) },
			func(w *world) { w.sub("a", nil); w.e.Wake("demo/a") }},
		{"paused, then reloaded",
			func(w *world) { w.sub("a", func(s *hook.Subscription) { s.Paused = true }) },
			func(w *world) { w.sub("a", nil); w.e.Reload() }},
		{"missing, then reloaded",
			func(w *world) { w.remove("demo/a") },
			func(w *world) { w.sub("a", nil); w.e.Reload() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate := make(chan struct{})
				w := newWorld(t, func(ctx context.Context, sub *hook.Subscription, d *hook.Delivery, n int) deliver.Result {
					<-gate
					return deliver.Result{Class: "ok"}
				})
				sub := w.sub("a", nil)
				w.start()
				w.offer(sub, 100)
				synctest.Wait()
				c.stop(w)
				w.e.Reload()
				w.offer(sub, 10)
				synctest.Wait()
				if s := w.e.State("demo/a"); s.Buffered != 0 || s.InFlight != 4 {
					t.Errorf("held: %+v", s)
				}
				close(gate)
				synctest.Wait()
				if got := w.states()[hook.Done]; got != 4 {
					t.Errorf("%d done, want the 4 that were under way", got)
				}
				if got := w.e.Totals().Lanes; got != 0 {
					t.Errorf("%d lanes are kept", got)
				}
				c.restart(w)
				synctest.Wait()
				if got := w.states()[hook.Done]; got != 110 {
					t.Errorf("%d done, want 110", got)
				}
				w.stop()
			})
		})
	}
}

func TestConcurrencyIsBoundedAndFollowsTheConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(ctx context.Context, sub *hook.Subscription, d *hook.Delivery, n int) deliver.Result {
			time.Sleep(time.Second)
			return deliver.Result{Class: "ok"}
		})
		sub := w.sub("a", func(s *hook.Subscription) { s.Destination.Concurrency = 3 })
		w.start()
		w.offer(sub, 100)
		time.Sleep(5500 * time.Millisecond)
		if got := w.s.most("demo/a"); got != 3 {
			t.Errorf("%d at once, want 3", got)
		}
		w.sub("a", func(s *hook.Subscription) { s.Destination.Concurrency = 10 })
		w.e.Reload()
		time.Sleep(2 * time.Second)
		if got := w.s.most("demo/a"); got != 10 {
			t.Errorf("%d at once after the change, want 10", got)
		}
		w.stop()
	})
}

func TestRateIsBounded(t *testing.T) {
	for _, perSecond := range []float64{0.5, 5, 200} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, ok)
			sub := w.sub("a", func(s *hook.Subscription) {
				s.Destination.RatePerSecond = perSecond
				s.Destination.Concurrency = 16
			})
			w.start()
			n := max(int(perSecond*4), 4)
			w.offer(sub, n)
			synctest.Wait()
			if n > 4 {
				if got := w.e.State(sub.ID()).Waiting; got != "rate" {
					t.Errorf("waiting for %q, want rate", got)
				}
			}
			time.Sleep(time.Duration(float64(n)/perSecond)*time.Second + 2*time.Second)
			sent := w.s.attempts()
			if len(sent) != n {
				t.Fatalf("rate %v: %d of %d were sent in time", perSecond, len(sent), n)
			}
			// In any second: the rate, and a tenth more for the burst.
			most := int(perSecond*1.1) + 1
			for i := range sent {
				in := 0
				for _, a := range sent[i:] {
					if a.at.Sub(sent[i].at) < time.Second {
						in++
					}
				}
				if in > most {
					t.Fatalf("rate %v: %d attempts within a second, want at most %d", perSecond, in, most)
				}
			}
			w.stop()
		})
	}
}

func TestBreakerOpensProbesAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		w := newWorld(t, func(ctx context.Context, sub *hook.Subscription, d *hook.Delivery, n int) deliver.Result {
			if up.Load() {
				return deliver.Result{Class: "ok"}
			}
			time.Sleep(10 * time.Millisecond)
			return deliver.Result{Class: "refused", Error: "connection refused"}
		})
		sub := w.sub("a", func(s *hook.Subscription) {
			s.Destination.Concurrency = 1
			s.Destination.Retry.Delays = []time.Duration{0, time.Hour, time.Hour}
		})
		w.start()
		w.offer(sub, 1000)
		time.Sleep(time.Second)
		sent := len(w.s.attempts())
		if sent != 10 {
			t.Errorf("%d attempts before the breaker opened, want 10", sent)
		}
		s := w.e.State(sub.ID())
		if s.Breaker != "open" || s.Waiting != "breaker" || s.LastClass != "refused" || s.LastError == "" || s.LastErrorAt.IsZero() {
			t.Errorf("state %+v", s)
		}
		if until := s.NextDue.Sub(time.Now()); until <= 3*time.Second || until > 5*time.Second {
			t.Errorf("the next attempt is due in %v", until)
		}
		claims := w.q.stat(&w.q.claims)
		time.Sleep(time.Minute)
		probes := len(w.s.attempts()) - sent
		if probes < 10 || probes > 12 {
			t.Errorf("%d probes in a minute, want one in 5 s", probes)
		}
		if w.q.stat(&w.q.claims)-claims > 2 {
			t.Errorf("%d claims while the breaker was open", w.q.stat(&w.q.claims)-claims)
		}
		// Waiting is not an attempt.
		counted := 0
		for id := range w.q.items {
			d, _ := w.q.get(id)
			counted += d.Attempts
		}
		if all := len(w.s.attempts()); counted != all {
			t.Errorf("%d attempts are counted, %d were made", counted, all)
		}
		up.Store(true)
		time.Sleep(6 * time.Second)
		if got := w.states()[hook.Done]; got < 970 {
			t.Errorf("%d done after it came up", got)
		}
		if got := w.e.State(sub.ID()).Breaker; got != "closed" {
			t.Errorf("the breaker is %s", got)
		}
		if n := strings.Count(w.log.String(), "destination fails"); n != 1 {
			t.Errorf("the log says %d times that the destination fails:\n%s", n, w.log)
		}
		w.stop()
	})
}

// An answer that refuses one delivery does not mean that the destination is down.
func TestRefusedDeliveriesDoNotOpenTheBreaker(t *testing.T) {
	for status, open := range map[int]bool{400: false, 404: false, 302: false, 500: true, 503: true, 429: true, 408: true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(ctx context.Context, sub *hook.Subscription, d *hook.Delivery, n int) deliver.Result {
				return deliver.Result{Class: "status", Status: status, Error: "no"}
			})
			sub := w.sub("a", func(s *hook.Subscription) { s.Destination.Concurrency = 1 })
			w.start()
			w.offer(sub, 30)
			synctest.Wait()
			if got := w.e.State(sub.ID()).Breaker == "open"; got != open {
				t.Errorf("status %d: open is %v, want %v", status, got, open)
			}
			w.stop()
		})
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(ctx context.Context, sub *hook.Subscription, d *hook.Delivery, n int) deliver.Result {
			if n == 1 && d.Event.Selector == "limited" {
				return deliver.Result{Class: "status", Status: 429, Error: "slow down", RetryAfter: 10 * time.Minute}
			}
			return deliver.Result{Class: "ok"}
		})
		sub := w.sub("a", nil)
		w.start()
		began := time.Now()
		limited := w.q.add(sub, "limited", "{}", began, began)
		w.e.Offer([]*hook.Delivery{limited})
		synctest.Wait()
		other := w.q.add(sub, "other", "{}", began, began)
		w.e.Offer([]*hook.Delivery{other})
		synctest.Wait()
		if got := w.e.State(sub.ID()).Waiting; got != "retry-after" {
			t.Errorf("waiting for %q", got)
		}
		time.Sleep(11 * time.Minute)
		at := map[string][]time.Duration{}
		for _, a := range w.s.attempts() {
			at[a.selector] = append(at[a.selector], a.at.Sub(began).Round(time.Second))
		}
		if got := fmt.Sprint(at["limited"]); got != "[0s 10m0s]" {
			t.Errorf("the limited one was sent at %s", got)
		}
		// The others wait too, but not for as long as a receiver may say.
		if got := fmt.Sprint(at["other"]); got != "[1m0s]" {
			t.Errorf("the other one was sent at %s", got)
		}
		w.stop()
	})
}

func TestGoneDisablesTheSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := true
		w := newWorld(t, func(ctx context.Context, sub *hook.Subscription, d *hook.Delivery, n int) deliver.Result {
			if gone {
				return deliver.Result{Class: "gone", Status: 410, Error: "the receiver answered 410 Gone", Gone: true}
			}
			return deliver.Result{Class: "ok"}
		})
		sub := w.sub("a", func(s *hook.Subscription) { s.Destination.Concurrency = 1 })
		w.q.settleErr = errStore // the mark must survive a store that fails at first
		w.start()
		ids := w.offer(sub, 20)
		time.Sleep(time.Second)
		w.q.set(func(q *queue) { q.settleErr = nil })
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := w.q.disabled["demo/a"]; got != "receiver answered 410 Gone" {
			t.Errorf("disabled with the reason %q", got)
		}
		if got := fmt.Sprint(w.states()); got != "map[dead:1 pending:19]" {
			t.Errorf("states %s", got)
		}
		if d, _ := w.q.get(ids[0]); d.State != hook.Dead {
			t.Errorf("the first is %s", d.State)
		}
		// Enabled again, the others go out; and the dead one when it is replayed.
		gone = false
		w.sub("a", nil)
		w.q.replay(ids[0], w.now())
		w.e.Wake("demo/a")
		synctest.Wait()
		if got := w.states()[hook.Done]; got != 20 {
			t.Errorf("%d done after it was enabled", got)
		}
		w.stop()
	})
}

func TestPermanentFailureIsDeadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(ctx context.Context, sub *hook.Subscription, d *hook.Delivery, n int) deliver.Result {
			return deliver.Result{Class: "broker", Error: "too large", Permanent: true}
		})
		sub := w.sub("a", nil)
		w.start()
		w.offer(sub, 30)
		synctest.Wait()
		if got := fmt.Sprint(w.states()); got != "map[dead:30]" {
			t.Errorf("states %s", got)
		}
		w.stop()
	})
}

func TestNoAttemptsWhileTheyCannotBeRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok)
		sub := w.sub("a", nil)
		w.q.set(func(q *queue) { q.settleErr = errStore })
		w.start()
		w.offer(sub, 500)
		synctest.Wait()
		w.offer(sub, 500)
		time.Sleep(time.Hour)
		before := len(w.s.attempts())
		if before > 520 {
			t.Errorf("%d attempts were made while nothing could be recorded", before)
		}
		if got := w.e.State(sub.ID()); got.Buffered > 0 && got.Waiting != "store" {
			t.Errorf("state %+v", got)
		}
		if w.q.stat(&w.q.settles) > 800 {
			t.Errorf("%d tries to settle in an hour", w.q.stat(&w.q.settles))
		}
		w.q.set(func(q *queue) { q.settleErr = nil })
		time.Sleep(10 * time.Second)
		if got := w.states()[hook.Done]; got != 1000 {
			t.Errorf("%d done after the store was mended", got)
		}
		if got := len(w.s.attempts()); got != 1000 {
			t.Errorf("%d attempts for 1000 deliveries", got)
		}
		if n := strings.Count(w.log.String(), "store fails"); n != 1 {
			t.Errorf("the log says %d times that the store fails:\n%s", n, w.log)
		}
		if !strings.Contains(w.log.String(), "store works again") {
			t.Error("the log does not say that the store works again")
		}
		w.stop()
	})
}

func TestFailingClaimsBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok)
		now := time.Now()
		for i := range 50 {
			w.q.store(w.sub(fmt.Sprint(i), nil), "order/1", now, now)
		}
		w.q.claimErr = errStore
		w.start()
		time.Sleep(time.Minute)
		if w.q.stat(&w.q.claims) > 150 {
			t.Errorf("%d claims in a minute of failures", w.q.stat(&w.q.claims))
		}
		w.q.set(func(q *queue) { q.claimErr = nil })
		time.Sleep(10 * time.Second)
		if got := w.states()[hook.Done]; got != 50 {
			t.Errorf("%d done, want 50", got)
		}
		if n := strings.Count(w.log.String(), "store fails"); n > 2 {
			t.Errorf("the log says %d times that the store fails", n)
		}
		w.stop()
	})
}

func TestSettlementsAreBatchedUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok)
		sub := w.sub("a", func(s *hook.Subscription) { s.Destination.Concurrency = 16 })
		w.q.settleTakes = 10 * time.Millisecond
		w.start()
		began := time.Now()
		w.offer(sub, 1)
		time.Sleep(11 * time.Millisecond)
		if got := w.states()[hook.Done]; got != 1 {
			t.Errorf("a single settlement was not written at once")
		}
		w.offer(sub, 1000)
		for w.states()[hook.Done] < 1001 && time.Since(began) < time.Minute {
			time.Sleep(time.Millisecond)
		}
		if w.q.stat(&w.q.settles) > 30 {
			t.Errorf("%d calls of Settle for 1001 settlements", w.q.stat(&w.q.settles))
		}
		w.stop()
	})
}

func TestStopWaitsForAttemptsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(ctx context.Context, sub *hook.Subscription, d *hook.Delivery, n int) deliver.Result {
			time.Sleep(5 * time.Second)
			return deliver.Result{Class: "ok"}
		})
		sub := w.sub("a", nil)
		w.start()
		w.offer(sub, 20)
		synctest.Wait()
		began := time.Now()
		w.stop()
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("it took %v", took)
		}
		if got := fmt.Sprint(w.states()); got != "map[done:4 pending:16]" {
			t.Errorf("states %s", got)
		}
		// What comes now is given back.
		w.offer(sub, 1)
		w.check()
		if err := w.e.Start(context.Background()); err == nil {
			t.Error("it started again")
		}
		if err := w.e.Stop(context.Background()); err != nil {
			t.Errorf("stopped again: %v", err)
		}
	})
}

func TestStopCutsAttemptsOffWhenItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hang)
		sub := w.sub("a", nil)
		w.start()
		ids := w.offer(sub, 20)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		began := time.Now()
		err := w.e.Stop(ctx)
		if err == nil || !strings.Contains(err.Error(), "4 attempts were cut off") {
			t.Errorf("the error is %v", err)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("it took %v", took)
		}
		// A shutdown is not the destination's failure: nothing is counted.
		if d, attempts := w.q.get(ids[0]); d.State != hook.Pending || d.Attempts != 0 || len(attempts) != 0 {
			t.Errorf("the first is %s after %d attempts", d.State, d.Attempts)
		}
		w.check()
	})
}

func TestTheEndOfStartsContextCutsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hang)
		sub := w.sub("a", nil)
		ctx, cancel := context.WithCancel(context.Background())
		if err := w.e.Start(ctx); err != nil {
			t.Fatal(err)
		}
		w.offer(sub, 20)
		synctest.Wait()
		cancel()
		synctest.Wait()
		if got := w.e.Totals(); got.InFlight != 0 || got.Buffered != 0 {
			t.Errorf("held: %+v", got)
		}
		if err := w.e.Stop(context.Background()); err == nil {
			t.Error("Stop does not say that attempts were cut off")
		}
		w.check()
	})
}

func TestStopWithABrokenStoreEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok)
		sub := w.sub("a", nil)
		w.q.set(func(q *queue) { q.settleErr = errStore })
		w.start()
		w.offer(sub, 20)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		began := time.Now()
		err := w.e.Stop(ctx)
		if err == nil || !strings.Contains(err.Error(), "could not be recorded") {
			t.Errorf("the error is %v", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestOfferBeforeStartIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok)
		sub := w.sub("a", nil)
		w.offer(sub, 5)
		w.e.Wake(sub.ID())
		w.e.Reload()
		w.start()
		synctest.Wait()
		if got := w.states()[hook.Done]; got != 5 {
			t.Errorf("%d done", got)
		}
		w.stop()
	})
}

// When the clock jumps forward all retries are due, and each is attempted
// once; when it jumps back they wait, and nothing spins.
func TestClockJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(ctx context.Context, sub *hook.Subscription, d *hook.Delivery, n int) deliver.Result {
			return deliver.Result{Class: "status", Status: 404, Error: "no"}
		})
		sub := w.sub("a", func(s *hook.Subscription) {
			s.Destination.Retry.Delays = []time.Duration{0, time.Hour, time.Hour, time.Hour, time.Hour, time.Hour}
		})
		w.start()
		w.offer(sub, 50)
		time.Sleep(time.Minute)
		if got := len(w.s.attempts()); got != 50 {
			t.Fatalf("%d attempts at first", got)
		}
		w.offset.Store(int64(30 * 24 * time.Hour))
		time.Sleep(time.Minute)
		if got := len(w.s.attempts()); got != 100 {
			t.Errorf("%d attempts after the jump forward, want 100", got)
		}
		claims := w.q.stat(&w.q.claims)
		w.offset.Store(0)
		time.Sleep(2 * time.Hour)
		if got := len(w.s.attempts()); got != 100 {
			t.Errorf("%d attempts after the jump back, want 100", got)
		}
		if w.q.stat(&w.q.claims)-claims > 3 {
			t.Errorf("%d claims after the jump back", w.q.stat(&w.q.claims)-claims)
		}
		// New ones are not affected.
		w.offer(sub, 1)
		synctest.Wait()
		if got := len(w.s.attempts()); got != 101 {
			t.Errorf("%d attempts with a new one, want 101", got)
		}
		w.stop()
	})
}

func TestOrderedDeliveriesComeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(ctx context.Context, sub *hook.Subscription, d *hook.Delivery, n int) deliver.Result {
			time.Sleep(100 * time.Millisecond)
			if d.Event.Selector == "bad" && n == 1 {
				return deliver.Result{Class: "status", Status: 404, Error: "not yet"}
			}
			return deliver.Result{Class: "ok"}
		})
		sub := w.sub("a", func(s *hook.Subscription) { s.Ordered = true })
		w.start()
		for i := range 60 {
			selector := []string{"good", "bad", "other"}[i%3]
			d := w.q.add(sub, selector, "{}", w.now(), w.now())
			w.e.Offer([]*hook.Delivery{d})
		}
		time.Sleep(2200 * time.Millisecond)
		good := 0
		last := map[string]string{}
		for _, a := range w.s.attempts() {
			if a.id < last[a.selector] {
				t.Errorf("%s came after %s", a.id, last[a.selector])
			}
			last[a.selector] = a.id
			if a.selector == "good" {
				good++
			}
		}
		if good != 20 {
			t.Errorf("%d of the good selector were sent, want all 20: a bad one must not block it", good)
		}
		time.Sleep(10 * time.Minute)
		if got := w.states()[hook.Done]; got != 60 {
			t.Errorf("%d done, want 60", got)
		}
		w.stop()
	})
}

func TestFirstDelayIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok)
		sub := w.sub("a", nil)
		w.start()
		d := w.q.add(sub, "s", "{}", w.now().Add(time.Minute), w.now())
		w.e.Offer([]*hook.Delivery{d})
		time.Sleep(59 * time.Second)
		if got := len(w.s.attempts()); got != 0 {
			t.Errorf("%d attempts before the time", got)
		}
		time.Sleep(2 * time.Second)
		if got := len(w.s.attempts()); got != 1 {
			t.Errorf("%d attempts after the time", got)
		}
		w.stop()
	})
}

func TestASenderThatPanicsOrIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(context.Context, *hook.Subscription, *hook.Delivery, int) deliver.Result { panic("oops") })
		a := w.sub("a", nil)
		b := w.sub("b", func(s *hook.Subscription) { s.Destination.Type = "carrier-pigeon" })
		w.start()
		ids := append(w.offer(a, 1), w.offer(b, 1)...)
		synctest.Wait()
		for _, id := range ids {
			d, attempts := w.q.get(id)
			if d.State != hook.Pending || len(attempts) != 1 || attempts[0].Class != "gateway" || attempts[0].Error == "" {
				t.Errorf("%s: %s, %+v", id, d.State, attempts)
			}
		}
		w.stop()
	})
}

// Subscriptions without work cost nothing.
func TestIdleLanesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok)
		w.start()
		synctest.Wait()
		idle := runtime.NumGoroutine()
		for i := range 2000 {
			w.offer(w.sub(fmt.Sprint(i), nil), 1)
		}
		synctest.Wait()
		if got := runtime.NumGoroutine(); got > idle+2 {
			t.Errorf("%d goroutines, %d when idle", got, idle)
		}
		time.Sleep(3 * time.Minute)
		if got := w.e.Totals().Lanes; got != 0 {
			t.Errorf("%d lanes are kept", got)
		}
		w.e.Wake("demo/1")
		synctest.Wait()
		if got := w.e.Totals().Lanes; got != 0 {
			t.Errorf("%d lanes are kept after a vain wake", got)
		}
		w.stop()
	})
}

// One destination hangs with 100,000 waiting; another is sent to as if it
// were alone.
func TestAHangingDestinationCostsOthersNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(ctx context.Context, sub *hook.Subscription, d *hook.Delivery, n int) deliver.Result {
			if sub.Name == "bad" {
				return hang(ctx, sub, d, n)
			}
			time.Sleep(10 * time.Millisecond)
			return deliver.Result{Class: "ok"}
		})
		bad, good := w.sub("bad", nil), w.sub("good", nil)
		now := time.Now()
		for range 100_000 {
			w.q.store(bad, "s", now, now)
		}
		w.start()
		synctest.Wait()
		for range 1000 {
			began := time.Now()
			id := w.offer(good, 1)[0]
			w.offer(bad, 3)
			time.Sleep(10*time.Millisecond + time.Microsecond)
			synctest.Wait()
			if d, _ := w.q.get(id); d.State != hook.Done {
				t.Fatalf("after %v the good one is %s", time.Since(began), d.State)
			}
		}
		if s := w.e.State(bad.ID()); s.Buffered > 512 {
			t.Errorf("the bad one holds %+v", s)
		}
		w.stop()
	})
}

// Whatever goes wrong in whatever order, every delivery is delivered once and
// nothing is held in the end.
func TestChaos(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			var calm atomic.Bool
			var mu sync.Mutex
			roll := func(n int) int { mu.Lock(); defer mu.Unlock(); return r.IntN(n) }
			w := newWorld(t, func(ctx context.Context, sub *hook.Subscription, d *hook.Delivery, n int) deliver.Result {
				time.Sleep(time.Duration(roll(200)) * time.Millisecond)
				if calm.Load() {
					return deliver.Result{Class: "ok"}
				}
				switch roll(12) {
				case 0:
					return fail(ctx, sub, d, n)
				case 1:
					return hang(ctx, sub, d, n)
				case 2:
					return deliver.Result{Class: "status", Status: 429, Error: "slow", RetryAfter: time.Duration(roll(90)) * time.Second}
				case 3:
					return deliver.Result{Class: "status", Status: 404, Error: "no"}
				}
				return deliver.Result{Class: "ok"}
			})
			delays := make([]time.Duration, 200)
			for i := range delays[1:] {
				delays[i+1] = time.Duration(roll(30000)) * time.Millisecond
			}
			names := []string{"a", "b", "c", "d", "e"}
			change := func(paused bool, i int) *hook.Subscription {
				return w.sub(names[i], func(s *hook.Subscription) {
					s.Paused = paused
					s.Ordered = i == 4
					s.Destination.Concurrency = 1 + i*2
					s.Destination.Retry.Delays = delays
					if i == 3 {
						s.Destination.RatePerSecond = 20
					}
				})
			}
			for i := range names {
				change(false, i)
			}
			w.start()
			total := 0
			for range 400 {
				time.Sleep(time.Duration(roll(300)) * time.Millisecond)
				i := roll(len(names))
				sub := w.subs["demo/"+names[i]]
				switch roll(14) {
				case 0:
					change(true, i)
					if roll(2) == 0 {
						w.e.Reload()
					}
				case 1:
					change(false, i)
					w.e.Wake("demo/" + names[i])
				case 2:
					w.q.set(func(q *queue) { q.settleErr = errStore })
				case 3:
					w.q.set(func(q *queue) { q.claimErr = errStore })
				case 4, 5:
					w.q.set(func(q *queue) { q.settleErr, q.claimErr = nil, nil })
				case 6:
					w.e.Wake("demo/" + names[i])
				case 7:
					w.offset.Add(int64(roll(7200)-3600) * int64(time.Second))
				default:
					if sub == nil {
						continue
					}
					for range roll(60) {
						d := w.q.add(sub, fmt.Sprint("s/", roll(3)), "{}", w.now(), w.now())
						w.e.Offer([]*hook.Delivery{d})
						total++
					}
				}
			}
			calm.Store(true)
			w.q.set(func(q *queue) { q.settleErr, q.claimErr = nil, nil })
			for i := range names {
				change(false, i)
			}
			w.e.Reload()
			time.Sleep(3 * 24 * time.Hour) // the clock was off by hours
			if got := w.states()[hook.Done]; got != total {
				t.Errorf("seed %d: %d of %d done: %v", seed, got, total, w.states())
			}
			w.q.set(func(q *queue) {
				for id, it := range q.items {
					if w.s.count[id] != len(it.attempts) {
						t.Errorf("seed %d: %s was sent %d times, %d are recorded", seed, id, w.s.count[id], len(it.attempts))
					}
				}
			})
			w.stop()
		})
		if t.Failed() {
			return
		}
	}
}

type observer struct {
	deliver.NopObserver
	mu     sync.Mutex
	events []string
}

func (o *observer) note(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, fmt.Sprintf(format, args...))
}

func (o *observer) Attempted(sub *hook.Subscription, d *hook.Delivery, a hook.Attempt, next hook.DeliveryState) {
	o.note("%s %s %s", sub.Name, a.Class, next)
}
func (o *observer) Settled(n int, took time.Duration)  { o.note("settled %d", n) }
func (o *observer) Breaker(subscription, state string) { o.note("breaker %s", state) }
func (o *observer) QueueFailed(op string, err error)   { o.note("%s failed", op) }

func TestObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &observer{}
		w := newWorldWith(t, fail, func(opt *deliver.Options) { opt.Observer, opt.BreakerFailures, opt.BreakerOpen = o, 2, time.Minute })
		sub := w.sub("a", nil)
		w.start()
		w.offer(sub, 1)
		synctest.Wait()
		w.q.set(func(q *queue) { q.settleErr = errStore })
		w.offer(sub, 1)
		synctest.Wait()
		w.q.set(func(q *queue) { q.settleErr = nil })
		w.s.mu.Lock()
		w.s.answer = ok
		w.s.mu.Unlock()
		time.Sleep(10 * time.Minute)
		w.stop()
		settled := 0
		o.events = slices.DeleteFunc(o.events, func(s string) bool {
			n := 0
			_, err := fmt.Sscanf(s, "settled %d", &n)
			settled += n
			return err == nil
		})
		slices.Sort(o.events)
		want := "[a ok done a ok done a status pending a status pending breaker closed breaker half-open breaker open settle failed]"
		if got := fmt.Sprint(o.events); got != want || settled != 4 {
			t.Errorf("%d settled, %s\nwant %s", settled, got, want)
		}
	})
}

func TestStateOfAnUnknownSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok)
		if s := w.e.State("demo/nobody"); s != (deliver.State{Breaker: "closed"}) {
			t.Errorf("%+v", s)
		}
		w.stop()
	})
}
