package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"switchhook/gateway/hook"
	"switchhook/gateway/store"
)

func subscription(name string) *hook.Subscription {
	return &hook.Subscription{
		Workspace: "demo", Name: name, Integration: "github", Webhook: "events", Selector: "push/**",
		Event: "push", Parameters: json.RawMessage(`{"repo":"a<b"}`), Filter: json.RawMessage(`{"ref":{"$in":["x"]}}`),
		Destination: hook.Destination{
			Type: "http", URL: "https://example.com/?a=1&b=2", Headers: hook.Headers{{Name: "X-A", Value: "1"}},
			Secrets: []string{"whsec_abc"}, CloudEvents: "binary", Path: "/p", Subject: "s.{selector}", Topic: "t", Brokers: []string{"b:1"},
			Retry: hook.RetryPolicy{Delays: hook.DefaultRetryDelays, Jitter: 0.25}, Timeout: 15 * time.Second,
			Concurrency: 16, RatePerSecond: 2.5, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
		},
		Ordered: true, Paused: true,
	}
}

func (b *bench) subscriptions() []*hook.Subscription {
	b.t.Helper()
	var subs []*hook.Subscription
	err := b.Subscriptions(b.t.Context(), func(s *hook.Subscription) bool { c := *s; subs = append(subs, &c); return true })
	if err != nil {
		b.t.Fatal(err)
	}
	return subs
}

func testSubscriptions(t *testing.T, open opener) {
	samePrefix := func(got, want []*hook.Subscription) {
		t.Helper()
		g, _ := json.Marshal(got)
		w, _ := json.Marshal(want)
		same(t, "subscriptions", string(g), string(w))
	}
	t.Run("put, list, delete", func(t *testing.T) {
		b := start(t, open)
		ctx := t.Context()
		same(t, "at first", len(b.subscriptions()), 0)
		bare := &hook.Subscription{Workspace: "a", Name: "bare", Selector: "*"}
		full := subscription("full")
		for _, s := range []*hook.Subscription{full, bare} {
			if err := b.PutSubscription(ctx, s); err != nil {
				t.Fatal(err)
			}
		}
		got := b.subscriptions()
		samePrefix(got, []*hook.Subscription{bare, full})
		if got[0].Filter != nil || got[0].Parameters != nil {
			t.Errorf("nothing became a filter %q, parameters %q", got[0].Filter, got[0].Parameters)
		}
		if got[1].Destination.Allow[0] != full.Destination.Allow[0] {
			t.Errorf("networks came back as %v", got[1].Destination.Allow)
		}
		replaced := subscription("full")
		replaced.Paused = false
		if err := b.PutSubscription(ctx, replaced); err != nil {
			t.Fatal(err)
		}
		samePrefix(b.subscriptions(), []*hook.Subscription{bare, replaced})
		if err := b.DeleteSubscription(ctx, "a/bare"); err != nil {
			t.Fatal(err)
		}
		samePrefix(b.subscriptions(), []*hook.Subscription{replaced})
		for _, id := range []string{"a/bare", "a/never"} {
			if err := b.DeleteSubscription(ctx, id); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("DeleteSubscription(%q) = %v, want ErrNotFound", id, err)
			}
		}
	})
	t.Run("in order of id, all of them, yield calls the store", func(t *testing.T) {
		b := start(t, open)
		var want []string
		for i := range 1500 {
			s := &hook.Subscription{Workspace: fmt.Sprint("w", i%3), Name: fmt.Sprintf("s%d", (i*7919)%1500)}
			want = append(want, s.ID())
			if err := b.PutSubscription(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(want)
		var got []string
		err := b.Subscriptions(t.Context(), func(s *hook.Subscription) bool {
			got = append(got, s.ID())
			if len(got) == 700 {
				b.send(s.ID(), "a", false)
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "ids", got, want)
		n := 0
		b.Subscriptions(t.Context(), func(*hook.Subscription) bool { n++; return n < 3 })
		same(t, "calls until false", n, 3)
	})
	t.Run("what becomes of the deliveries of a deleted one", func(t *testing.T) {
		b := start(t, open)
		ctx := t.Context()
		if err := b.PutSubscription(ctx, subscription("gone")); err != nil {
			t.Fatal(err)
		}
		done, later, flying, head := b.send("demo/gone", "a", false), b.send("demo/gone", "b", false), b.send("demo/gone", "c", false), b.send("demo/gone", "d", true)
		waiting := b.send("demo/gone", "d", true)
		other := b.send("demo/kept", "a", false)
		b.settle(done.ID, hook.Done, 0)
		b.settle(later.ID, hook.Pending, time.Hour)
		if err := b.Disable(ctx, "demo/gone", "410"); err != nil {
			t.Fatal(err)
		}
		if err := b.DeleteSubscription(ctx, "demo/gone"); err != nil {
			t.Fatal(err)
		}
		b.states(map[string]hook.DeliveryState{done.ID: hook.Done, later.ID: hook.Dead, flying.ID: hook.Dead, head.ID: hook.Dead, waiting.ID: hook.Dead, other.ID: hook.Pending})
		if disabled, err := b.Disabled(ctx); err != nil || len(disabled) != 0 {
			t.Errorf("disabled: %v, %v", disabled, err)
		}
		b.settle(flying.ID, hook.Pending, time.Minute)
		b.settle(head.ID, hook.Done, 0)
		b.states(map[string]hook.DeliveryState{flying.ID: hook.Dead, head.ID: hook.Done, waiting.ID: hook.Dead})
		b.pass(2 * time.Hour)
		same(t, "claimed", ids(b.claim("demo/gone", 9)), nil)
		st, err := b.Stats(ctx)
		if err != nil || st.Pending != 1 || st.Dead != 3 {
			t.Errorf("stats: %+v, %v", st, err)
		}
		if err := b.PutSubscription(ctx, subscription("gone")); err != nil {
			t.Fatal(err)
		}
		again := b.send("demo/gone", "a", false)
		b.states(map[string]hook.DeliveryState{again.ID: hook.Pending, later.ID: hook.Dead})
	})
}

func testDisable(t *testing.T, open opener) {
	b := start(t, open)
	ctx := t.Context()
	if err := b.PutSubscription(ctx, subscription("mine")); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		id, reason string
		want       map[string]string
	}{
		{"demo/mine", "receiver answered 410 Gone", map[string]string{"demo/mine": "receiver answered 410 Gone"}},
		{"demo/config", "x", map[string]string{"demo/mine": "receiver answered 410 Gone", "demo/config": "x"}},
		{"demo/mine", "again", map[string]string{"demo/mine": "again", "demo/config": "x"}},
		{"demo/mine", "", map[string]string{"demo/config": "x"}},
		{"demo/never", "", map[string]string{"demo/config": "x"}},
	} {
		if err := b.Disable(ctx, step.id, step.reason); err != nil {
			t.Fatal(err)
		}
		got, err := b.Disabled(ctx)
		if err != nil {
			t.Fatal(err)
		}
		same(t, fmt.Sprintf("after Disable(%q, %q)", step.id, step.reason), got, step.want)
	}
	same(t, "still the only one made at run time", len(b.subscriptions()), 1)
}

func testSweep(t *testing.T, open opener) {
	sweep := func(b *bench, before time.Time, maxBytes int64, limit int) int {
		b.t.Helper()
		n, err := b.Sweep(b.t.Context(), before, maxBytes, limit)
		if err != nil {
			b.t.Fatal(err)
		}
		return n
	}
	left := func(b *bench) (ids []string) {
		b.t.Helper()
		page, _, err := b.Requests(b.t.Context(), store.RequestQuery{Limit: 1000})
		if err != nil {
			b.t.Fatal(err)
		}
		for _, r := range page {
			ids = append(ids, r.ID)
		}
		slices.Reverse(ids)
		return ids
	}
	t.Run("by age", func(t *testing.T) {
		b := start(t, open)
		var recs []*hook.Record
		var want []string
		for range 6 {
			rec := b.append(b.record([]string{"a", "b"}, to{sub: "demo/s"}, to{event: 1, sub: "demo/t"}))
			recs = append(recs, rec)
			want = append(want, rec.Request.ID)
			b.pass(time.Minute)
		}
		if n := sweep(b, b.Now().Add(time.Hour), 0, 100); n != 0 {
			t.Errorf("swept %d requests with pending deliveries", n)
		}
		for i, next := range []hook.DeliveryState{hook.Done, hook.Dead, hook.Pending, hook.Done, hook.Done, hook.Done} {
			b.settle(recs[i].Deliveries[0].ID, next, time.Minute)
			b.settle(recs[i].Deliveries[1].ID, hook.Done, 0)
		}
		if n := sweep(b, epoch, 0, 100); n != 0 {
			t.Errorf("swept %d that are not old enough", n)
		}
		same(t, "swept with limit 1", sweep(b, epoch.Add(4*time.Minute), 0, 1), 1)
		same(t, "left", left(b), want[1:])
		same(t, "swept", sweep(b, epoch.Add(4*time.Minute), 0, 100), 2)
		same(t, "left", left(b), []string{want[2], want[4], want[5]})
		same(t, "swept again", sweep(b, epoch.Add(4*time.Minute), 0, 100), 0)

		if _, err := b.Request(t.Context(), want[1]); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Request = %v, want ErrNotFound", err)
		}
		if _, _, err := b.Delivery(t.Context(), recs[1].Deliveries[0].ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Delivery = %v, want ErrNotFound", err)
		}
		got := b.stored(want[2])
		same(t, "what stays, whole", []int{len(got.Events), len(got.Deliveries), len(got.Attempts)}, []int{2, 2, 2})
		st, err := b.Stats(t.Context())
		if err != nil || st.Requests != 3 || st.Events != 6 || st.Pending != 1 || st.Dead != 0 || !st.OldestRequest.Equal(epoch.Add(2*time.Minute)) {
			t.Errorf("stats: %+v, %v", st, err)
		}
		// a settlement of what was swept is passed over
		b.settle(recs[0].Deliveries[0].ID, hook.Done, 0)
		// once settled it goes too
		b.settle(recs[2].Deliveries[0].ID, hook.Done, 0)
		same(t, "swept at last", sweep(b, epoch.Add(4*time.Minute), 0, 100), 1)
		same(t, "left", left(b), want[4:])
		same(t, "the rest", sweep(b, epoch.Add(time.Hour), 0, 100), 2)
		same(t, "left", left(b), nil)
		if again := b.send("demo/s", "a", false); slices.Contains(ids(recs[5].Deliveries), again.ID) {
			t.Errorf("delivery id %s was given twice", again.ID)
		}
	})
	t.Run("waiting and deferred ones stay", func(t *testing.T) {
		b := start(t, open)
		first := b.send("demo/s", "a", true)
		b.send("demo/s", "a", true)
		deferred := b.record(nil)
		deferred.Outcome = hook.Deferred
		b.append(deferred)
		b.settle(first.ID, hook.Pending, time.Hour)
		b.pass(time.Hour)
		same(t, "swept", sweep(b, b.Now(), 1, 100), 0)
		b.settle(first.ID, hook.Done, 0)
		same(t, "swept", sweep(b, b.Now(), 0, 100), 1)
		same(t, "left", len(left(b)), 2)
	})
	t.Run("keys outlive their requests", func(t *testing.T) {
		b := start(t, open)
		keyed := func() *hook.Event {
			rec := b.record([]string{"a"})
			rec.Events[0].Key = "k"
			return b.append(rec).Events[0]
		}
		keyed()
		b.pass(time.Hour)
		same(t, "swept", sweep(b, b.Now(), 0, 100), 1)
		if !keyed().Duplicate {
			t.Error("the key of a swept request is forgotten within the window")
		}
		b.pass(store.DefaultDedupeWindow)
		sweep(b, b.Now(), 0, 100)
		if keyed().Duplicate {
			t.Error("the key is remembered after the window")
		}
	})
	t.Run("by size", func(t *testing.T) {
		b := start(t, open)
		rnd := rand.NewChaCha8([32]byte{})
		for range 60 {
			rec := b.record([]string{"a"})
			rec.Request.Body = make([]byte, 100_000)
			rnd.Read(rec.Request.Body) // a store may pack what repeats itself
			b.append(rec)
			b.pass(time.Second)
		}
		all := left(b)
		same(t, "swept below the bound", sweep(b, time.Time{}, 1<<40, 100), 0)
		n := 0
		for {
			k := sweep(b, time.Time{}, 3_000_000, 7)
			if k == 0 {
				break
			}
			if n += k; k > 7 {
				t.Fatalf("swept %d at once, limit 7", k)
			}
		}
		// 3 MB hold less than 30 requests of 100 KB, and a store needs some room
		if rest := left(b); len(rest) < 15 || len(rest) > 30 {
			t.Errorf("%d requests are left, want 15 to 30", len(rest))
		} else {
			same(t, "the newest are left", rest, all[n:])
		}
	})
}

// pages walks a list and returns all of it.
func pages[T any](t *testing.T, limit int, list func(cursor string) ([]T, string, error)) []T {
	t.Helper()
	var all []T
	cursor := ""
	for n := 0; ; n++ {
		page, next, err := list(cursor)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) > limit {
			t.Fatalf("a page of %d, limit %d", len(page), limit)
		}
		all = append(all, page...)
		if next == "" {
			return all
		}
		if n > 10_000 {
			t.Fatal("the pages never end")
		}
		cursor = next
	}
}

func testRequests(t *testing.T, open opener) {
	b := start(t, open)
	ctx := t.Context()
	var all []*hook.Record // oldest first
	outcomes := []hook.Outcome{hook.Accepted, hook.Accepted, hook.Failed, hook.Handshake, hook.Refused, hook.Deferred}
	const total = 700
	for i := range total {
		rec := b.record([]string{fmt.Sprintf("kind%d/repo%d", i%2, i)}, to{sub: "demo/s"})
		r := rec.Request
		r.Workspace, r.Integration, r.Webhook = fmt.Sprint("w", i%2), fmt.Sprint("int", i%5), fmt.Sprint("hook", i%3)
		r.Connector = fmt.Sprint("con", i%7)
		r.Path = fmt.Sprintf("/w/i/h/token%d", i)
		rec.Outcome = outcomes[i%len(outcomes)]
		if rec.Outcome == hook.Handshake || rec.Outcome == hook.Deferred {
			rec.Events, rec.Deliveries = nil, nil
		}
		if i == 18 {
			r.Body = []byte("a needle in the hay \xff\x00 stack")
			rec.Events[0].Payload = []byte(`{"not searched":"kept apart"}`)
		}
		if i%13 == 11 {
			rec.Response.Status = 400 + i%26
		}
		b.append(rec)
		if len(rec.Deliveries) > 0 && i%10 == 0 {
			b.settle(rec.Deliveries[0].ID, hook.Dead, 0)
		}
		all = append(all, rec)
		b.pass(time.Second)
	}
	list := func(t *testing.T, q store.RequestQuery) []string {
		t.Helper()
		if q.Limit == 0 {
			q.Limit = 100
		}
		var got []string
		for _, s := range pages(t, q.Limit, func(c string) ([]store.RequestSummary, string, error) {
			q.Cursor = c
			return b.Requests(ctx, q)
		}) {
			got = append(got, s.ID)
		}
		return got
	}
	want := func(keep func(i int, r *hook.Record) bool) (ids []string) {
		for i, rec := range slices.Backward(all) {
			if keep(i, rec) {
				ids = append(ids, rec.Request.ID)
			}
		}
		return ids
	}
	at := func(i int) time.Time { return epoch.Add(time.Duration(i) * time.Second) }
	for _, c := range []struct {
		name string
		q    store.RequestQuery
		keep func(i int, r *hook.Record) bool
	}{
		{"all", store.RequestQuery{}, func(int, *hook.Record) bool { return true }},
		{"all, one by one", store.RequestQuery{Limit: 1}, func(int, *hook.Record) bool { return true }},
		{"all, on one page", store.RequestQuery{Limit: 1000}, func(int, *hook.Record) bool { return true }},
		{"workspace", store.RequestQuery{Workspace: "w1"}, func(i int, _ *hook.Record) bool { return i%2 == 1 }},
		{"integration", store.RequestQuery{Integration: "int3", Limit: 7}, func(i int, _ *hook.Record) bool { return i%5 == 3 }},
		{"webhook", store.RequestQuery{Webhook: "hook2"}, func(i int, _ *hook.Record) bool { return i%3 == 2 }},
		{"connector", store.RequestQuery{Connector: "con6"}, func(i int, _ *hook.Record) bool { return i%7 == 6 }},
		{"all four", store.RequestQuery{Workspace: "w0", Integration: "int4", Webhook: "hook1", Connector: "con4"},
			func(i int, _ *hook.Record) bool { return i%2 == 0 && i%5 == 4 && i%3 == 1 && i%7 == 4 }},
		{"outcome", store.RequestQuery{Outcome: hook.Deferred}, func(_ int, r *hook.Record) bool { return r.Outcome == hook.Deferred }},
		{"outcome and integration", store.RequestQuery{Outcome: hook.Failed, Integration: "int0"},
			func(i int, r *hook.Record) bool { return r.Outcome == hook.Failed && i%5 == 0 }},
		{"an unknown outcome", store.RequestQuery{Outcome: "nope"}, func(int, *hook.Record) bool { return false }},
		{"an unknown workspace", store.RequestQuery{Workspace: "nope"}, func(int, *hook.Record) bool { return false }},
		{"one status", store.RequestQuery{MinStatus: 424, MaxStatus: 424}, func(i int, _ *hook.Record) bool { return i%26 == 24 }},
		{"a class of statuses", store.RequestQuery{MinStatus: 400, MaxStatus: 499, Limit: 9}, func(i int, _ *hook.Record) bool { return i%13 == 11 }},
		{"a status nobody answered", store.RequestQuery{MinStatus: 500, MaxStatus: 599}, func(int, *hook.Record) bool { return false }},
		{"after", store.RequestQuery{After: at(600)}, func(i int, _ *hook.Record) bool { return i >= 600 }},
		{"before", store.RequestQuery{Before: at(50)}, func(i int, _ *hook.Record) bool { return i < 50 }},
		{"between", store.RequestQuery{After: at(100), Before: at(101), Limit: 3}, func(i int, _ *hook.Record) bool { return i == 100 }},
		{"between, with more", store.RequestQuery{After: at(100), Before: at(400), Connector: "con2", Outcome: hook.Accepted},
			func(i int, r *hook.Record) bool { return i >= 100 && i < 400 && i%7 == 2 && r.Outcome == hook.Accepted }},
		{"after the end", store.RequestQuery{After: at(total)}, func(int, *hook.Record) bool { return false }},
		{"text in a body", store.RequestQuery{Text: "needle in the hay \xff\x00"}, func(i int, _ *hook.Record) bool { return i == 18 }},
		{"text in a path", store.RequestQuery{Text: "token123"}, func(i int, _ *hook.Record) bool { return i == 123 }},
		{"text in a selector", store.RequestQuery{Text: "kind1/repo3"},
			func(i int, r *hook.Record) bool {
				return len(r.Events) > 0 && strings.Contains(r.Events[0].Selector, "kind1/repo3")
			}},
		{"text in an id", store.RequestQuery{Text: "01KE000000000000000000010"}, func(_ int, r *hook.Record) bool { return strings.Contains(r.Request.ID, "01KE000000000000000000010") }},
		{"text is an id", store.RequestQuery{Text: all[3].Request.ID}, func(i int, _ *hook.Record) bool { return i == 3 }},
		{"text is an id of another workspace", store.RequestQuery{Text: all[3].Request.ID, Workspace: "w0"}, func(int, *hook.Record) bool { return false }},
		{"text of another case", store.RequestQuery{Text: "NEEDLE"}, func(int, *hook.Record) bool { return false }},
		{"text with more", store.RequestQuery{Text: "/repo", Workspace: "w0", Limit: 13}, func(i int, r *hook.Record) bool { return i%2 == 0 && len(r.Events) > 0 }},
		{"text in no payload", store.RequestQuery{Text: "not searched"}, func(int, *hook.Record) bool { return false }},
		{"text that is a pattern elsewhere", store.RequestQuery{Text: "%"}, func(int, *hook.Record) bool { return false }},
	} {
		t.Run(c.name, func(t *testing.T) { same(t, "ids", list(t, c.q), want(c.keep)) })
	}
	t.Run("summary", func(t *testing.T) {
		page, _, err := b.Requests(ctx, store.RequestQuery{After: at(20), Before: at(21)})
		if err != nil || len(page) != 1 {
			t.Fatalf("%+v, %v", page, err)
		}
		r := all[20].Request
		same(t, "summary", page[0], store.RequestSummary{
			ID: r.ID, Workspace: "w0", Integration: "int0", Webhook: "hook2", Connector: "con6", Method: "POST", Path: "/w/i/h/token20",
			Outcome: hook.Failed, Status: 200, ReceivedAt: at(20), HandlerTime: 1234 * time.Microsecond, BodySize: len(r.Body),
			Events: 1, Deliveries: 1, Dead: 1,
		})
		page, _, err = b.Requests(ctx, store.RequestQuery{After: at(21), Before: at(22)})
		if err != nil || len(page) != 1 || page[0].Dead != 0 || page[0].Events != 0 {
			t.Errorf("%+v, %v", page, err)
		}
	})
	t.Run("default limit", func(t *testing.T) {
		page, next, err := b.Requests(ctx, store.RequestQuery{})
		if err != nil || len(page) != 100 || next == "" {
			t.Errorf("%d entries, next %q, %v", len(page), next, err)
		}
		page, next, err = b.Requests(ctx, store.RequestQuery{Limit: 5000})
		if err != nil || len(page) != total || next != "" {
			t.Errorf("%d entries, next %q, %v", len(page), next, err)
		}
	})
	t.Run("cursors", func(t *testing.T) {
		page, next, err := b.Requests(ctx, store.RequestQuery{Limit: 10})
		if err != nil || len(page) != 10 {
			t.Fatal(page, err)
		}
		b.append(b.record([]string{"new"})) // shifts nothing
		page, _, err = b.Requests(ctx, store.RequestQuery{Limit: 1, Cursor: next})
		if err != nil || len(page) != 1 || page[0].ID != all[total-11].Request.ID {
			t.Errorf("the second page begins with %+v, %v", page, err)
		}
		for _, cursor := range []string{"x", "\x00", strings.Repeat("9", 40), "-1", next + "x", "é"} {
			if _, _, err := b.Requests(ctx, store.RequestQuery{Cursor: cursor}); !errors.Is(err, store.ErrCursor) {
				t.Errorf("Requests with cursor %q: %v, want ErrCursor", cursor, err)
			}
			if _, _, err := b.Deliveries(ctx, store.DeliveryQuery{Cursor: cursor}); !errors.Is(err, store.ErrCursor) {
				t.Errorf("Deliveries with cursor %q: %v, want ErrCursor", cursor, err)
			}
		}
		if _, _, err := b.Deliveries(ctx, store.DeliveryQuery{Cursor: next}); !errors.Is(err, store.ErrCursor) {
			t.Errorf("Deliveries with a cursor of Requests: %v, want ErrCursor", err)
		}
	})
}

func testDeliveries(t *testing.T, open opener) {
	b := start(t, open)
	ctx := t.Context()
	type made struct {
		*hook.Delivery
		i     int
		state hook.DeliveryState
		rec   *hook.Record
	}
	var all []made // oldest first
	states := []hook.DeliveryState{hook.Done, hook.Dead, hook.Pending, hook.Done, hook.Done}
	const total = 400
	for i := range total {
		rec := b.append(b.record([]string{fmt.Sprintf("push/org%d/repo%d", i%4, i%20), "star/org"},
			to{sub: fmt.Sprint("demo/s", i%3)}, to{event: 1, sub: "demo/stars"}))
		for j, d := range rec.Deliveries {
			m := made{d, i, hook.Pending, rec}
			if j == 0 {
				if m.state = states[i%len(states)]; m.state != hook.Pending {
					b.settle(d.ID, m.state, 0)
				}
			}
			all = append(all, m)
		}
		b.pass(time.Second)
	}
	lane := b.append(b.record([]string{"lane", "lane"}, to{sub: "demo/lane", ordered: true}, to{event: 1, sub: "demo/lane", ordered: true}))
	for j, d := range lane.Deliveries {
		all = append(all, made{d, total, []hook.DeliveryState{hook.Pending, hook.Waiting}[j], lane})
	}
	at := func(i int) time.Time { return epoch.Add(time.Duration(i) * time.Second) }
	push := func(m made, prefix string) bool { return strings.HasPrefix(m.Event.Selector, prefix) }
	for _, c := range []struct {
		name string
		q    store.DeliveryQuery
		keep func(m made) bool
	}{
		{"all", store.DeliveryQuery{}, func(made) bool { return true }},
		{"all, three by three", store.DeliveryQuery{Limit: 3}, func(made) bool { return true }},
		{"subscription", store.DeliveryQuery{Subscription: "demo/s1", Limit: 9}, func(m made) bool { return m.Subscription == "demo/s1" }},
		{"an unknown subscription", store.DeliveryQuery{Subscription: "demo/nope"}, func(made) bool { return false }},
		{"selector", store.DeliveryQuery{Selector: "push/org3/repo7"}, func(m made) bool { return m.Event.Selector == "push/org3/repo7" }},
		{"selector of nobody", store.DeliveryQuery{Selector: "push/org3"}, func(made) bool { return false }},
		{"selector prefix", store.DeliveryQuery{Selector: "push/org2/**"}, func(m made) bool { return push(m, "push/org2/") }},
		{"selector prefix within a segment", store.DeliveryQuery{Selector: "push/org1/repo1**", Limit: 10}, func(m made) bool { return push(m, "push/org1/repo1") }},
		{"any selector", store.DeliveryQuery{Selector: "**"}, func(made) bool { return true }},
		{"pending", store.DeliveryQuery{State: hook.Pending}, func(m made) bool { return m.state == hook.Pending }},
		{"waiting", store.DeliveryQuery{State: hook.Waiting}, func(m made) bool { return m.state == hook.Waiting }},
		{"done", store.DeliveryQuery{State: hook.Done}, func(m made) bool { return m.state == hook.Done }},
		{"dead", store.DeliveryQuery{State: hook.Dead, Limit: 10}, func(m made) bool { return m.state == hook.Dead }},
		{"no such state", store.DeliveryQuery{State: "lost"}, func(made) bool { return false }},
		{"dead of a subscription", store.DeliveryQuery{State: hook.Dead, Subscription: "demo/s2"}, func(m made) bool { return m.state == hook.Dead && m.Subscription == "demo/s2" }},
		{"request", store.DeliveryQuery{RequestID: all[80].rec.Request.ID}, func(m made) bool { return m.i == 40 }},
		{"request, one by one", store.DeliveryQuery{RequestID: all[80].rec.Request.ID, Limit: 1}, func(m made) bool { return m.i == 40 }},
		{"an unknown request", store.DeliveryQuery{RequestID: "req_nope"}, func(made) bool { return false }},
		{"after and before", store.DeliveryQuery{After: at(100), Before: at(110)}, func(m made) bool { return m.i >= 100 && m.i < 110 }},
		{"everything", store.DeliveryQuery{After: at(10), Before: at(300), Subscription: "demo/s1", Selector: "push/**", State: hook.Dead},
			func(m made) bool {
				return m.i >= 10 && m.i < 300 && m.Subscription == "demo/s1" && push(m, "push/") && m.state == hook.Dead
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := c.q
			if q.Limit == 0 {
				q.Limit = 100
			}
			got := pages(t, q.Limit, func(cursor string) ([]*hook.Delivery, string, error) {
				q.Cursor = cursor
				return b.Deliveries(ctx, q)
			})
			var want []string
			for _, m := range slices.Backward(all) {
				if c.keep(m) {
					want = append(want, m.ID)
				}
			}
			same(t, "ids", ids(got), want)

			q.Oldest, q.Cursor = true, ""
			got = pages(t, q.Limit, func(cursor string) ([]*hook.Delivery, string, error) {
				q.Cursor = cursor
				return b.Deliveries(ctx, q)
			})
			slices.Reverse(want)
			same(t, "ids, oldest first", ids(got), want)
		})
	}
	t.Run("cursors of the other order", func(t *testing.T) {
		for _, oldest := range []bool{false, true} {
			_, next, err := b.Deliveries(ctx, store.DeliveryQuery{Limit: 1, Oldest: oldest})
			if err != nil || next == "" {
				t.Fatal(next, err)
			}
			if _, _, err := b.Deliveries(ctx, store.DeliveryQuery{Cursor: next, Oldest: !oldest}); !errors.Is(err, store.ErrCursor) {
				t.Errorf("cursor %q of the other order: %v", next, err)
			}
		}
	})
	t.Run("oldest first, while they change", func(t *testing.T) {
		q := store.DeliveryQuery{State: hook.Dead, Limit: 7, Oldest: true}
		got := pages(t, q.Limit, func(cursor string) ([]*hook.Delivery, string, error) {
			q.Cursor = cursor
			page, next, err := b.Deliveries(ctx, q)
			for _, d := range page { // as a replay does
				if _, err := b.Replay(ctx, d.ID, b.Now()); err != nil {
					t.Fatal(err)
				}
			}
			return page, next, err
		})
		var want []string
		for _, m := range all {
			if m.state == hook.Dead {
				want = append(want, m.ID)
			}
		}
		same(t, "ids", ids(got), want)
		for _, d := range got { // as it was, for what follows
			b.settle(d.ID, hook.Dead, 0)
		}
	})
	t.Run("entry", func(t *testing.T) {
		page, _, err := b.Deliveries(ctx, store.DeliveryQuery{After: at(101), Before: at(102), State: hook.Dead})
		if err != nil || len(page) != 1 {
			t.Fatalf("%+v, %v", page, err)
		}
		want := *all[202].Delivery
		want.State, want.Attempts, want.DueAt = hook.Dead, 1, time.Time{}
		e := *want.Event
		e.Payload, e.FromBody, e.BodyOffset = nil, page[0].Event.FromBody, page[0].Event.BodyOffset
		want.Event = &e
		same(t, "delivery", page[0], &want)
	})
}

func testStats(t *testing.T, open opener) {
	b := start(t, open)
	stats := func() store.Stats {
		t.Helper()
		s, err := b.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	same(t, "of an empty store", stats(), store.Stats{Bytes: stats().Bytes})
	x := b.send("demo/s", "a", true)
	b.pass(time.Minute)
	y := b.send("demo/s", "a", true)
	b.append(b.record([]string{"a", "b"}))
	s := stats()
	if s.Bytes <= 0 {
		t.Errorf("it takes %d bytes", s.Bytes)
	}
	same(t, "stats", s, store.Stats{Requests: 3, Events: 4, Pending: 2, OldestPending: epoch, OldestRequest: epoch, Bytes: s.Bytes})
	b.settle(x.ID, hook.Dead, 0)
	s = stats()
	same(t, "after the first died", s, store.Stats{Requests: 3, Events: 4, Pending: 1, Dead: 1, OldestPending: epoch.Add(time.Minute), OldestRequest: epoch, Bytes: s.Bytes})
	b.settle(y.ID, hook.Done, 0)
	s = stats()
	same(t, "at the end", s, store.Stats{Requests: 3, Events: 4, Dead: 1, OldestRequest: epoch, Bytes: s.Bytes})
	if err := b.Err(); err != nil {
		t.Errorf("Err = %v", err)
	}
}

func testClosed(t *testing.T, open opener) {
	b := start(t, open)
	d := b.send("demo/s", "a", false)
	for range 2 {
		if err := b.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	ctx := t.Context()
	b.Release(d.ID)
	for name, call := range map[string]func() error{
		"Append":             func() error { return b.Append(ctx, b.record([]string{"a"})) },
		"Claim":              func() error { _, err := b.Claim(ctx, "demo/s", b.Now(), 1); return err },
		"Settle":             func() error { return b.Settle(ctx, b.settlement(d.ID, hook.Done, 0)) },
		"NextDue":            func() error { return b.NextDue(ctx, func(string, time.Time) bool { return true }) },
		"NextDueOf":          func() error { _, _, err := b.NextDueOf(ctx, "demo/s"); return err },
		"Request":            func() error { _, err := b.Request(ctx, "req_1"); return err },
		"Requests":           func() error { _, _, err := b.Requests(ctx, store.RequestQuery{}); return err },
		"Delivery":           func() error { _, _, err := b.Delivery(ctx, d.ID); return err },
		"Deliveries":         func() error { _, _, err := b.Deliveries(ctx, store.DeliveryQuery{}); return err },
		"Replay":             func() error { _, err := b.Replay(ctx, d.ID, b.Now()); return err },
		"ReplayRecord":       func() error { return b.ReplayRecord(ctx, b.record([]string{"a"})) },
		"State":              func() error { _, err := b.State(ctx, "a/b"); return err },
		"Remember":           func() error { return b.Remember(ctx, "a/b", "k", "v", true) },
		"PutSubscription":    func() error { return b.PutSubscription(ctx, subscription("x")) },
		"DeleteSubscription": func() error { return b.DeleteSubscription(ctx, "demo/x") },
		"Subscriptions":      func() error { return b.Subscriptions(ctx, func(*hook.Subscription) bool { return true }) },
		"Disable":            func() error { return b.Disable(ctx, "demo/s", "x") },
		"Disabled":           func() error { _, err := b.Disabled(ctx); return err },
		"Sweep":              func() error { _, err := b.Sweep(ctx, b.Now(), 0, 1); return err },
		"Stats":              func() error { _, err := b.Stats(ctx); return err },
		"Backlog":            func() error { _, err := b.Backlog(ctx, "demo/s", 1); return err },
		"Changes":            func() error { _, _, err := b.Changes(ctx, "", 1); return err },
		"AddChange":          func() error { return b.AddChange(ctx, store.Change{}) },
		"Err":                b.Err,
	} {
		if err := call(); !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s = %v, want ErrClosed", name, err)
		}
	}
}

// testConcurrency lets everything run against everything, and then counts.
func testConcurrency(t *testing.T, open opener) {
	b := start(t, open)
	ctx := t.Context()
	const writers, each, subs = 8, 40, 3
	var (
		mu       sync.Mutex
		attempts = map[string]int{} // by delivery
		made     = map[string]bool{}
		wg       sync.WaitGroup
	)
	deliver := func(d *hook.Delivery) {
		mu.Lock()
		attempts[d.ID]++
		n := attempts[d.ID]
		mu.Unlock()
		next := hook.Done
		if n == 1 && len(d.Event.Payload)%3 == 0 {
			next = hook.Pending
		}
		if err := b.Settle(ctx, b.settlement(d.ID, next, 0)); err != nil {
			t.Errorf("Settle: %v", err)
		}
	}
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				sub := fmt.Sprint("demo/s", (w+i)%subs)
				rec := b.record([]string{fmt.Sprint("a", i%4), "b"}, to{sub: sub, ordered: w%2 == 0}, to{event: 1, sub: sub, after: -time.Second})
				if err := b.Append(ctx, rec); err != nil {
					t.Errorf("Append: %v", err)
					return
				}
				for _, d := range rec.Deliveries {
					mu.Lock()
					made[d.ID] = true
					mu.Unlock()
					if d.State != hook.Pending {
						continue
					}
					if i%2 == 0 {
						b.Release(d.ID)
					} else {
						deliver(d)
					}
				}
			}
		})
	}
	for s := range subs {
		wg.Go(func() {
			for {
				mu.Lock()
				n := len(made)
				mu.Unlock()
				st, err := b.Stats(ctx)
				if err != nil {
					t.Errorf("Stats: %v", err)
					return
				}
				if n == writers*each*2 && st.Pending == 0 {
					return
				}
				ds, err := b.Claim(ctx, fmt.Sprint("demo/s", s), b.Now().Add(time.Second), 5)
				if err != nil {
					t.Errorf("Claim: %v", err)
					return
				}
				for _, d := range ds {
					deliver(d)
				}
				if t.Failed() {
					return
				}
			}
		})
	}
	readers, stop := context.WithCancel(ctx)
	var reading sync.WaitGroup
	reading.Go(func() {
		for readers.Err() == nil {
			page, _, err := b.Requests(ctx, store.RequestQuery{Limit: 20})
			if err != nil {
				t.Errorf("Requests: %v", err)
				return
			}
			for _, r := range page {
				got, err := b.Request(ctx, r.ID)
				if err != nil {
					t.Errorf("Request: %v", err)
					return
				}
				if len(got.Events) != 2 || len(got.Deliveries) != 2 {
					t.Errorf("a request was seen half: %d events, %d deliveries", len(got.Events), len(got.Deliveries))
					return
				}
			}
			if _, err := b.Sweep(ctx, epoch, 0, 10); err != nil {
				t.Errorf("Sweep: %v", err)
				return
			}
		}
	})
	wg.Wait()
	stop()
	reading.Wait()
	for id, n := range attempts {
		d, as, err := b.Delivery(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if d.State != hook.Done || len(as) != n || n > 2 {
			t.Errorf("%s is %s after %d attempts, %d recorded", id, d.State, n, len(as))
		}
	}
	if len(attempts) != writers*each*2 {
		t.Errorf("%d deliveries were attempted, want %d", len(attempts), writers*each*2)
	}
}
