// Package storetest is the conformance suite of store.Store: what every store
// must do, whatever is underneath. The tests of a store call Test, and
// TestDurable where it keeps its content over a restart.
package storetest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"switchhook/gateway/hook"
	"switchhook/gateway/store"
)

// Test runs the suite. open returns an empty store that takes opt; the suite closes it.
func Test(t *testing.T, open func(t *testing.T, opt store.Options) store.Store) {
	for _, group := range []struct {
		name string
		run  func(*testing.T, opener)
	}{
		{"append", testAppend},
		{"dedupe", testDedupe},
		{"claim", testClaim},
		{"settle", testSettle},
		{"ordered", testOrdered},
		{"next due", testNextDue},
		{"replay", testReplay},
		{"replay record", testReplayRecord},
		{"model", testModel},
		{"state", testState},
		{"subscriptions", testSubscriptions},
		{"disable", testDisable},
		{"sweep", testSweep},
		{"requests", testRequests},
		{"deliveries", testDeliveries},
		{"stats", testStats},
		{"backlog", testBacklog},
		{"changes", testChanges},
		{"closed", testClosed},
		{"concurrency", testConcurrency},
	} {
		t.Run(group.name, func(t *testing.T) { group.run(t, open) })
	}
}

type opener = func(t *testing.T, opt store.Options) store.Store

// epoch is when every test begins.
var epoch = time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)

// bench is a store under test with the clock it was given.
type bench struct {
	store.Store
	t *testing.T

	mu  sync.Mutex
	now time.Time
	n   int
}

func start(t *testing.T, open opener) *bench {
	t.Helper()
	b := &bench{t: t, now: epoch}
	b.Store = open(t, store.Options{Now: b.Now})
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b
}

func (b *bench) Now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

// to is a delivery to make: of the record's event number event.
type to struct {
	event   int
	sub     string
	ordered bool
	after   time.Duration // until it is due
}

// record makes a request that arrives now, with an event for each selector,
// the payload of the first being the body.
func (b *bench) record(selectors []string, deliveries ...to) *hook.Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n++
	id := fmt.Sprintf("req_01KE%022d", b.n)
	body := fmt.Appendf(nil, `{"n":%d,"inner":{"a":1}}`, b.n)
	rec := &hook.Record{
		Request: &hook.Request{
			ID: id, Workspace: "demo", Integration: "github", Webhook: "events", Connector: "github",
			Method: "POST", URL: "https://hooks.example.com/demo/github/events/tok?x=1", Path: "/demo/github/events/tok", Query: "x=1",
			Headers:    hook.Headers{{Name: "Host", Value: "hooks.example.com"}, {Name: "X-GitHub-Event", Value: "push"}},
			Body:       body,
			RemoteAddr: "192.0.2.7", ReceivedAt: b.now,
		},
		Outcome: hook.Accepted, Verified: "hmac-sha256",
		Response:    hook.Response{Status: 200},
		HandlerTime: 1234 * time.Microsecond,
	}
	for i, selector := range selectors {
		e := &hook.Event{
			ID: fmt.Sprintf("evt_%s_%d", id[4:], i), RequestID: id, Selector: selector, Type: "push",
			Payload: fmt.Appendf(nil, `{"event":%d}`, i),
		}
		if i == 0 {
			e.Payload, e.FromBody, e.BodyOffset = body, true, 0
		}
		rec.Events = append(rec.Events, e)
	}
	for _, d := range deliveries {
		rec.Deliveries = append(rec.Deliveries, &hook.Delivery{
			Event: rec.Events[d.event], Subscription: d.sub, Ordered: d.ordered, DueAt: b.now.Add(d.after),
			Workspace: "demo", Integration: "github", Webhook: "events", Connector: "github", ReceivedAt: b.now,
		})
	}
	return rec
}

func (b *bench) append(rec *hook.Record) *hook.Record {
	b.t.Helper()
	if err := b.Append(b.t.Context(), rec); err != nil {
		b.t.Fatalf("Append: %v", err)
	}
	return rec
}

// send appends a record with one event and one delivery, which stays leased.
func (b *bench) send(sub, selector string, ordered bool) *hook.Delivery {
	b.t.Helper()
	return b.append(b.record([]string{selector}, to{sub: sub, ordered: ordered})).Deliveries[0]
}

func (b *bench) claim(sub string, limit int) []*hook.Delivery {
	b.t.Helper()
	ds, err := b.Claim(b.t.Context(), sub, b.Now(), limit)
	if err != nil {
		b.t.Fatalf("Claim(%q): %v", sub, err)
	}
	return ds
}

func (b *bench) settle(id string, next hook.DeliveryState, retryIn time.Duration) {
	b.t.Helper()
	if err := b.Settle(b.t.Context(), b.settlement(id, next, retryIn)); err != nil {
		b.t.Fatalf("Settle: %v", err)
	}
}

func (b *bench) settlement(id string, next hook.DeliveryState, retryIn time.Duration) hook.Settlement {
	s := hook.Settlement{Next: next, Attempt: hook.Attempt{DeliveryID: id, At: b.Now(), Took: 250 * time.Millisecond, Status: 200, Class: "ok"}}
	if next != hook.Done {
		s.Attempt.Status, s.Attempt.Class, s.Attempt.Error = 500, "status", "500 Internal Server Error"
	}
	if next == hook.Pending {
		s.RetryAt = b.Now().Add(retryIn)
	}
	return s
}

func (b *bench) delivery(id string) (*hook.Delivery, []hook.Attempt) {
	b.t.Helper()
	d, attempts, err := b.Delivery(b.t.Context(), id)
	if err != nil {
		b.t.Fatalf("Delivery(%q): %v", id, err)
	}
	return d, attempts
}

// state fails the test unless the deliveries stand as given.
func (b *bench) states(want map[string]hook.DeliveryState) {
	b.t.Helper()
	for id, state := range want {
		if d, _ := b.delivery(id); d.State != state {
			b.t.Errorf("delivery %s is %s, want %s", id, d.State, state)
		}
	}
}

func (b *bench) stored(id string) *store.Stored {
	b.t.Helper()
	s, err := b.Request(b.t.Context(), id)
	if err != nil {
		b.t.Fatalf("Request(%q): %v", id, err)
	}
	return s
}

func (b *bench) nextDue() map[string]time.Time {
	b.t.Helper()
	due := map[string]time.Time{}
	err := b.NextDue(b.t.Context(), func(sub string, at time.Time) bool {
		if _, twice := due[sub]; twice {
			b.t.Errorf("NextDue yields %q twice", sub)
		}
		due[sub] = at
		return true
	})
	if err != nil {
		b.t.Fatalf("NextDue: %v", err)
	}
	return due
}

func ids(ds []*hook.Delivery) []string {
	var ids []string
	for _, d := range ds {
		ids = append(ids, d.ID)
	}
	return ids
}

func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// clone copies what a record holds, so that what a store does to it shows.
func clone(rec *hook.Record) *hook.Record {
	c := *rec
	req := *rec.Request
	req.Headers = append(hook.Headers(nil), req.Headers...)
	req.Body = bytes.Clone(req.Body)
	c.Request = &req
	c.Events, c.Deliveries = nil, nil
	place := map[*hook.Event]*hook.Event{}
	for _, e := range rec.Events {
		ec := *e
		ec.Payload = bytes.Clone(e.Payload)
		place[e] = &ec
		c.Events = append(c.Events, &ec)
	}
	for _, d := range rec.Deliveries {
		dc := *d
		if e := place[d.Event]; e != nil {
			dc.Event = e
		}
		c.Deliveries = append(c.Deliveries, &dc)
	}
	return &c
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
