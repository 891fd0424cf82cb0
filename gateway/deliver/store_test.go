package deliver_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"switchhook/gateway/deliver"
	"switchhook/gateway/hook"
	"switchhook/gateway/store"
	"switchhook/gateway/store/memory"
	"switchhook/gateway/store/sqlite"
)

// TestWithRealStores delivers through the stores that the gateway uses, with
// failures, an ordered subscription and a restart in the middle of it.
func TestWithRealStores(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		s := memory.New(store.Options{})
		withStore(t, func() store.Store { return s }, func(store.Store) {})
	})
	t.Run("sqlite", func(t *testing.T) {
		dir := t.TempDir()
		open := func() store.Store {
			s, err := sqlite.Open(dir, sqlite.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		withStore(t, open, func(s store.Store) {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	})
}

func withStore(t *testing.T, open func() store.Store, closeStore func(store.Store)) {
	subs := map[string]*hook.Subscription{}
	for i, name := range []string{"a", "b", "ordered"} {
		s := &hook.Subscription{Workspace: "demo", Name: name, Ordered: name == "ordered", Destination: hook.Destination{
			Type: "http", Timeout: 5 * time.Second, Concurrency: 4 + i, Retry: hook.RetryPolicy{Delays: make([]time.Duration, 50)},
		}}
		subs[s.ID()] = s
	}
	var mu sync.Mutex
	delivered := map[string]int{} // by subscription and event
	orders := map[string][]string{}
	total, wrong := 0, 0
	all := make(chan struct{})
	const records, perRecord = 400, 3
	answer := func(ctx context.Context, sub *hook.Subscription, d *hook.Delivery, n int) deliver.Result {
		mu.Lock()
		defer mu.Unlock()
		if string(d.Event.Payload) != `{"of":"`+d.Event.ID+`"}` {
			wrong++
		}
		if n == 1 && len(d.Event.ID)%3 == 0 {
			return deliver.Result{Class: "status", Status: 404, Error: "not at first"}
		}
		delivered[d.Subscription+" "+d.Event.ID]++
		if sub.Ordered {
			orders[d.Event.Selector] = append(orders[d.Event.Selector], d.Event.ID)
		}
		if total++; total == records*perRecord {
			close(all)
		}
		return deliver.Result{Class: "ok", Status: 200}
	}
	s := open()
	engine := func() *deliver.Engine {
		e := deliver.New(deliver.Options{
			Queue:   s,
			Lookup:  func(id string) (*hook.Subscription, bool) { sub, ok := subs[id]; return sub, ok },
			Senders: map[string]deliver.Sender{"http": &sender{answer: answer, count: map[string]int{}, flying: map[string]bool{}, bySub: map[string]int{}, peak: map[string]int{}}},
			Logger:  slog.New(slog.DiscardHandler),
		})
		if err := e.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := engine()
	stop := func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := e.Stop(ctx); err != nil {
			t.Error(err)
		}
	}
	for i := range records {
		if i == records/2 {
			stop()
			closeStore(s)
			s = open()
			e = engine()
		}
		now := time.Now()
		id := fmt.Sprintf("req_%06d", i)
		event := &hook.Event{ID: "evt_" + fmt.Sprint(i), RequestID: id, Selector: fmt.Sprint("order/", i%5)}
		event.Payload = []byte(`{"of":"` + event.ID + `"}`)
		rec := &hook.Record{
			Request: &hook.Request{ID: id, Workspace: "demo", Integration: "shop", Webhook: "events", Connector: "acme",
				Method: "POST", URL: "http://x/", Path: "/", Body: []byte("{}"), ReceivedAt: now},
			Outcome: hook.Accepted, Verified: "none", Response: hook.Response{Status: 200}, Events: []*hook.Event{event},
		}
		for sub := range subs {
			rec.Deliveries = append(rec.Deliveries, &hook.Delivery{Event: event, Subscription: sub, Workspace: "demo", Integration: "shop",
				Webhook: "events", Connector: "acme", ReceivedAt: now, Ordered: subs[sub].Ordered, State: hook.Pending, DueAt: now})
		}
		if err := s.Append(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
		e.Offer(rec.Deliveries)
	}
	select {
	case <-all:
	case <-time.After(30 * time.Second):
		mu.Lock()
		t.Errorf("%d of %d were delivered", total, records*perRecord)
		mu.Unlock()
	}
	stop()
	for key, n := range delivered {
		if n != 1 {
			t.Errorf("%s was delivered %d times", key, n)
		}
	}
	for selector, ids := range orders {
		last := -1
		for _, id := range ids {
			var n int
			_, _ = fmt.Sscanf(id, "evt_%d", &n)
			if n < last {
				t.Errorf("%s: %s came after evt_%d", selector, id, last)
			}
			last = n
		}
	}
	if wrong != 0 {
		t.Errorf("%d had a wrong payload", wrong)
	}
	stats, err := s.Stats(context.Background())
	if err != nil || stats.Pending != 0 || stats.Dead != 0 {
		t.Errorf("%+v %v", stats, err)
	}
	closeStore(s)
}
