package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"switchhook/gateway/hook"
	"switchhook/gateway/store"
)

// full is a record with every field set, and with bytes that are not text.
func (b *bench) full() *hook.Record {
	rec := b.record([]string{"push/octocat/Hello-World", "star/octocat", "odd/\xff"},
		to{sub: "demo/all"}, to{event: 1, sub: "demo/stars", after: time.Hour}, to{event: 1, sub: "other/lane", ordered: true})
	body := []byte("{\"a\":{\"deep\":[1,2,3]},\"nul\":\"\\u0000\",\"raw\":\"\xff\xfe\"}\x00")
	r := rec.Request
	r.Body = body
	r.Method, r.Query = "PATCH", "a=%ff&b=\xff"
	r.Headers = hook.Headers{
		{Name: "Host", Value: "h"}, {Name: "x-EMPTY", Value: ""}, {Name: "X-Bytes", Value: "caf\xe9 \\n \\ : =;\""},
		{Name: "traceparent", Value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, {Name: "Set", Value: "1"}, {Name: "set", Value: "2"},
	}
	rec.Outcome = hook.Failed
	rec.Verified = "standard-webhooks"
	rec.Response = hook.Response{Status: 500, Headers: hook.Headers{{Name: "Content-Type", Value: "text/plain"}, {Name: "X", Value: ""}}, Body: []byte("oops \xff")}
	rec.Notes = []string{"body is not valid JSON: position 3", ""}
	rec.Console = []hook.ConsoleLine{{Level: "warn", Text: "línea\n2"}, {Level: "log", Text: ""}}
	rec.Failure = &hook.Failure{ID: "err_1", Kind: "thrown", Message: "boom", Path: "events[0]", CodeFrame: "> 1 | x",
		Stack: []hook.Frame{{Function: "handle", File: "handle.ts", Line: 3, Column: 7}}}
	e := rec.Events
	e[0].Payload, e[0].FromBody, e[0].BodyOffset = body[5:21], true, 5
	e[1].Key, e[1].Type, e[1].Payload = "k1", "", []byte(`{"own":"payload","big":12345678901234567890}`)
	e[2].Payload = []byte{}
	for _, d := range rec.Deliveries {
		d.TraceParent = r.Headers.Get("traceparent")
	}
	return rec
}

func testAppend(t *testing.T, open opener) {
	t.Run("reads back whole", func(t *testing.T) {
		b := start(t, open)
		rec := b.full()
		want := clone(rec)
		b.append(rec)
		for i, d := range rec.Deliveries {
			if d.ID == "" || d.State != hook.Pending || d.Attempts != 0 {
				t.Errorf("delivery %d is %+v after Append", i, d)
			}
			want.Deliveries[i].ID, want.Deliveries[i].State = d.ID, hook.Pending
		}
		same(t, "record after Append", rec, want)

		got := b.stored(rec.Request.ID)
		same(t, "stored record", got.Record, *want)
		same(t, "attempts", got.Attempts, nil)
		if got.Request.Body == nil {
			t.Error("the body came back nil")
		}
		for i, d := range got.Deliveries {
			found := false
			for _, e := range got.Events {
				found = found || d.Event == e
			}
			if !found {
				t.Errorf("delivery %d does not point to one of the record's events", i)
			}
			one, _ := b.delivery(d.ID)
			same(t, "single delivery", one, want.Deliveries[i])
		}
	})
	t.Run("keeps nothing of the record", func(t *testing.T) {
		b := start(t, open)
		rec := b.record([]string{"a"}, to{sub: "demo/s", after: time.Minute})
		rec.Request.Body = bytes.Repeat([]byte("x"), 9000)
		rec.Events[0].Payload = rec.Request.Body[10:8000]
		rec.Events[0].BodyOffset = 10
		want := clone(rec)
		b.append(rec)
		id := rec.Deliveries[0].ID
		clear(rec.Request.Body)
		rec.Request.Headers[0].Value = "changed"
		rec.Events[0].Selector = "changed"
		rec.Deliveries[0].Subscription = "changed"
		got := b.stored(rec.Request.ID)
		same(t, "request", got.Request, want.Request)
		same(t, "event", got.Events, want.Events)
		d, _ := b.delivery(id)
		same(t, "subscription", d.Subscription, "demo/s")
	})
	t.Run("a payload that is not where it says", func(t *testing.T) {
		b := start(t, open)
		rec := b.record([]string{"a", "b", "c"})
		rec.Events[0].Payload, rec.Events[0].BodyOffset = []byte(`{"not":"in the body"}`), 2
		rec.Events[1].Payload, rec.Events[1].FromBody, rec.Events[1].BodyOffset = []byte(`{"far":1}`), true, 1<<30
		rec.Events[2].Payload, rec.Events[2].FromBody, rec.Events[2].BodyOffset = []byte(`{"before":1}`), true, -1
		want := clone(rec)
		b.append(rec)
		for i, e := range b.stored(rec.Request.ID).Events {
			if !bytes.Equal(e.Payload, want.Events[i].Payload) {
				t.Errorf("payload %d is %q", i, e.Payload)
			}
		}
	})
	t.Run("due at once is leased, later is not", func(t *testing.T) {
		b := start(t, open)
		rec := b.record([]string{"a"}, to{sub: "demo/s"}, to{sub: "demo/s", after: time.Minute}, to{sub: "demo/s"})
		rec.Deliveries[2].DueAt = time.Time{}
		now, later := rec.Deliveries[0], rec.Deliveries[1]
		b.append(rec)
		if zero := rec.Deliveries[2]; !zero.DueAt.Equal(b.Now()) {
			t.Errorf("a delivery without DueAt is due at %v, want %v", zero.DueAt, b.Now())
		}
		if got := b.claim("demo/s", 10); got != nil {
			t.Errorf("claimed %v, which Append leased", ids(got))
		}
		b.pass(time.Minute)
		same(t, "claim when due", ids(b.claim("demo/s", 10)), []string{later.ID})
		b.Release(now.ID)
		got := b.claim("demo/s", 10)
		same(t, "claim after release", ids(got), []string{now.ID})
		same(t, "payload", got[0].Event.Payload, rec.Request.Body)
	})
	t.Run("a request without events", func(t *testing.T) {
		b := start(t, open)
		rec := b.record(nil)
		rec.Outcome, rec.Request.Body, rec.Request.Headers = hook.Handshake, []byte{}, nil
		want := clone(rec)
		b.append(rec)
		same(t, "stored", b.stored(rec.Request.ID).Record, *want)
	})
	t.Run("an id twice", func(t *testing.T) {
		b := start(t, open)
		first := b.send("demo/s", "a", false)
		rec := b.record([]string{"b"}, to{sub: "demo/s"})
		rec.Request.ID = b.stored("req_01KE0000000000000000000001").Request.ID
		want := clone(rec)
		if err := b.Append(t.Context(), rec); !errors.Is(err, store.ErrConflict) {
			t.Fatalf("Append = %v, want ErrConflict", err)
		}
		same(t, "refused record", rec, want)
		same(t, "stored selector", b.stored(rec.Request.ID).Events[0].Selector, "a")
		page, _, err := b.Deliveries(t.Context(), store.DeliveryQuery{})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "deliveries", ids(page), []string{first.ID})
		b.send("demo/s", "c", false)
	})
	t.Run("a delivery of no event of the record", func(t *testing.T) {
		b := start(t, open)
		for _, e := range []*hook.Event{nil, {ID: "evt_x", Selector: "a"}} {
			rec := b.record([]string{"a"}, to{sub: "demo/s"})
			rec.Deliveries[0].Event = e
			want := clone(rec)
			if err := b.Append(t.Context(), rec); err == nil {
				t.Fatal("Append took it")
			}
			same(t, "refused record", rec, want)
			if _, err := b.Request(t.Context(), rec.Request.ID); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("Request = %v, want ErrNotFound", err)
			}
		}
	})
	t.Run("a context that has ended", func(t *testing.T) {
		b := start(t, open)
		rec := b.record([]string{"a"}, to{sub: "demo/s"})
		want := clone(rec)
		if err := b.Append(canceled(), rec); err == nil {
			t.Fatal("Append took it")
		}
		same(t, "refused record", rec, want)
		if _, err := b.Request(t.Context(), rec.Request.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Request = %v, want ErrNotFound", err)
		}
	})
	t.Run("large bodies and long responses", func(t *testing.T) {
		b := start(t, open)
		rec := b.record([]string{"a"}, to{sub: "demo/s"})
		rec.Request.Body = bytes.Repeat([]byte("0123456789abcdef"), 300_000)
		rec.Events[0].Payload, rec.Events[0].BodyOffset = rec.Request.Body[1_000_003:3_000_003], 1_000_003
		rec.Response.Body = bytes.Repeat([]byte("r"), 5000)
		b.append(rec)
		got := b.stored(rec.Request.ID)
		if !bytes.Equal(got.Request.Body, rec.Request.Body) || !bytes.Equal(got.Events[0].Payload, rec.Events[0].Payload) {
			t.Error("the body or payload came back changed")
		}
		if n := len(got.Response.Body); n < 4096 || !bytes.HasPrefix(rec.Response.Body, got.Response.Body) {
			t.Errorf("%d bytes of the response were kept, want at least its first 4096", n)
		}
	})
	t.Run("nothing by that id", func(t *testing.T) {
		b := start(t, open)
		b.send("demo/s", "a", false)
		if _, err := b.Request(t.Context(), "req_nope"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Request = %v, want ErrNotFound", err)
		}
		for _, id := range []string{"", "nope", "dlv_", "dlv_x", "dlv_-1", "dlv_987654321987654", "dlv_99999999999999999999999"} {
			if _, _, err := b.Delivery(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("Delivery(%q) = %v, want ErrNotFound", id, err)
			}
			if _, err := b.Replay(t.Context(), id, b.Now()); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("Replay(%q) = %v, want ErrNotFound", id, err)
			}
		}
	})
}

func testDedupe(t *testing.T, open opener) {
	keyed := func(b *bench, key string) *hook.Record {
		rec := b.record([]string{"a", "b"}, to{sub: "demo/s"}, to{sub: "demo/t"}, to{event: 1, sub: "demo/s"})
		rec.Events[0].Key = key
		return rec
	}
	t.Run("within the window and after it", func(t *testing.T) {
		b := start(t, open)
		first := b.append(keyed(b, "k"))
		if first.Events[0].Duplicate || len(first.Deliveries) != 3 {
			t.Fatalf("the first is a duplicate: %+v", first.Events[0])
		}
		b.pass(store.DefaultDedupeWindow - time.Nanosecond)
		again := b.append(keyed(b, "k"))
		if !again.Events[0].Duplicate || again.Events[1].Duplicate {
			t.Errorf("duplicate = %v, %v, want true, false", again.Events[0].Duplicate, again.Events[1].Duplicate)
		}
		if len(again.Deliveries) != 1 || again.Deliveries[0].Event != again.Events[1] || again.Deliveries[0].ID == "" {
			t.Errorf("deliveries of the duplicate were not removed: %+v", again.Deliveries)
		}
		got := b.stored(again.Request.ID)
		same(t, "stored events", got.Events, again.Events)
		same(t, "stored deliveries", ids(got.Deliveries), ids(again.Deliveries))
		b.pass(time.Nanosecond) // the duplicate did not begin a new window
		if third := b.append(keyed(b, "k")); third.Events[0].Duplicate {
			t.Error("a duplicate after the window")
		}
		if fourth := b.append(keyed(b, "k")); !fourth.Events[0].Duplicate {
			t.Error("the event after the window did not begin a new one")
		}
	})
	t.Run("the window of the options", func(t *testing.T) {
		b := &bench{t: t, now: epoch}
		b.Store = open(t, store.Options{Now: b.Now, DedupeWindow: time.Minute})
		defer b.Close()
		b.append(keyed(b, "k"))
		b.pass(time.Minute)
		if rec := b.append(keyed(b, "k")); rec.Events[0].Duplicate {
			t.Error("a duplicate after a minute")
		}
	})
	t.Run("of the same webhook only", func(t *testing.T) {
		b := start(t, open)
		b.append(keyed(b, "k"))
		for _, change := range []func(*hook.Request){
			func(r *hook.Request) { r.Workspace = "other" },
			func(r *hook.Request) { r.Integration = "other" },
			func(r *hook.Request) { r.Webhook = "other" },
		} {
			rec := keyed(b, "k")
			change(rec.Request)
			if b.append(rec).Events[0].Duplicate {
				t.Errorf("a duplicate across webhooks: %+v", rec.Request)
			}
		}
		other := keyed(b, "k")
		other.Request.Connector = "renamed"
		if !b.append(other).Events[0].Duplicate {
			t.Error("the connector's key made it another webhook")
		}
		if b.append(keyed(b, "K")).Events[0].Duplicate || b.append(keyed(b, "")).Events[0].Duplicate || b.append(keyed(b, "")).Events[0].Duplicate {
			t.Error("another key, or none, made a duplicate")
		}
	})
	t.Run("within one record", func(t *testing.T) {
		b := start(t, open)
		rec := b.record([]string{"a", "b", "c"}, to{sub: "demo/s"}, to{event: 1, sub: "demo/s"}, to{event: 2, sub: "demo/s"})
		rec.Events[0].Key, rec.Events[2].Key = "k", "k"
		b.append(rec)
		if rec.Events[0].Duplicate || !rec.Events[2].Duplicate || len(rec.Deliveries) != 2 {
			t.Errorf("events %+v %+v, deliveries %v", rec.Events[0], rec.Events[2], ids(rec.Deliveries))
		}
	})
	t.Run("a refused record leaves no key", func(t *testing.T) {
		b := start(t, open)
		first := b.append(b.record(nil))
		rec := keyed(b, "k")
		rec.Request.ID = first.Request.ID
		if err := b.Append(t.Context(), rec); !errors.Is(err, store.ErrConflict) {
			t.Fatalf("Append = %v, want ErrConflict", err)
		}
		if b.append(keyed(b, "k")).Events[0].Duplicate {
			t.Error("the key of a record that was refused counts")
		}
	})
}

func testClaim(t *testing.T, open opener) {
	t.Run("earliest due first, up to the limit", func(t *testing.T) {
		b := start(t, open)
		var want []string
		for _, after := range []time.Duration{5, 3, 1, 4, 2} {
			rec := b.append(b.record([]string{"a", "b"}, to{event: 1, sub: "demo/s", after: after * time.Minute}, to{sub: "demo/other", after: time.Second}))
			want = append(want, rec.Deliveries[0].ID)
		}
		want = []string{want[2], want[4], want[1], want[3], want[0]}
		same(t, "before any is due", ids(b.claim("demo/s", 10)), nil)
		b.pass(4 * time.Minute)
		same(t, "no room", ids(b.claim("demo/s", 0)), nil)
		same(t, "the first two", ids(b.claim("demo/s", 2)), want[:2])
		same(t, "the next", ids(b.claim("demo/s", 10)), want[2:4])
		same(t, "none left", ids(b.claim("demo/s", 10)), nil)
		b.Release(want[1], want[0], "dlv_1", "nonsense", want[0])
		same(t, "released ones", ids(b.claim("demo/s", 10)), want[:2])
		same(t, "nobody's", ids(b.claim("demo/nobody", 10)), nil)
		b.pass(time.Minute)
		got := b.claim("demo/s", 10)
		same(t, "the last", ids(got), want[4:])
		e := got[0].Event
		same(t, "its payload", string(e.Payload), `{"event":1}`)
		same(t, "its selector", e.Selector, "b")
		same(t, "its webhook", []string{got[0].Workspace, got[0].Integration, got[0].Webhook, got[0].Connector}, []string{"demo", "github", "events", "github"})
	})
	t.Run("deliveries due at the same time", func(t *testing.T) {
		b := start(t, open)
		var want []string
		for range 30 {
			rec := b.append(b.record([]string{"a"}, to{sub: "demo/s"}, to{sub: "demo/s"}))
			want = append(want, ids(rec.Deliveries)...)
		}
		b.Release(want...)
		seen := map[string]bool{}
		for range 12 {
			for _, d := range b.claim("demo/s", 5) {
				if seen[d.ID] {
					t.Errorf("%s was claimed twice", d.ID)
				}
				seen[d.ID] = true
			}
		}
		if len(seen) != len(want) {
			t.Errorf("claimed %d, want %d", len(seen), len(want))
		}
	})
	t.Run("a clock that goes back", func(t *testing.T) {
		b := start(t, open)
		d := b.send("demo/s", "a", false)
		b.settle(d.ID, hook.Pending, time.Minute)
		b.pass(2 * time.Minute)
		same(t, "when due", ids(b.claim("demo/s", 1)), []string{d.ID})
		b.pass(-time.Hour)
		early := b.append(b.record([]string{"a"}, to{sub: "demo/s", after: time.Second})).Deliveries[0]
		b.pass(time.Second)
		same(t, "due before what was claimed", ids(b.claim("demo/s", 1)), []string{early.ID})
	})
}

func testSettle(t *testing.T, open opener) {
	t.Run("done, retried, dead", func(t *testing.T) {
		b := start(t, open)
		d := b.send("demo/s", "a", false)
		b.settle(d.ID, hook.Pending, time.Minute)
		got, attempts := b.delivery(d.ID)
		if got.State != hook.Pending || got.Attempts != 1 || !got.DueAt.Equal(b.Now().Add(time.Minute)) {
			t.Errorf("after a failed attempt it is %s, %d attempts, due at %v", got.State, got.Attempts, got.DueAt)
		}
		want := b.settlement(d.ID, hook.Pending, 0).Attempt
		want.Number = 1
		same(t, "attempts", attempts, []hook.Attempt{want})

		same(t, "before the retry is due", ids(b.claim("demo/s", 9)), nil)
		b.pass(time.Minute)
		claimed := b.claim("demo/s", 9)
		same(t, "the retry", ids(claimed), []string{d.ID})
		if claimed[0].Attempts != 1 {
			t.Errorf("claimed with %d attempts, want 1", claimed[0].Attempts)
		}
		b.settle(d.ID, hook.Dead, 0)
		got, attempts = b.delivery(d.ID)
		if got.State != hook.Dead || got.Attempts != 2 || !got.DueAt.IsZero() {
			t.Errorf("after the last attempt it is %s, %d attempts, due at %v", got.State, got.Attempts, got.DueAt)
		}
		if len(attempts) != 2 || attempts[1].Number != 2 {
			t.Errorf("attempts: %+v", attempts)
		}
		ok := b.send("demo/s", "a", false)
		s := b.settlement(ok.ID, hook.Done, 0)
		s.Attempt.Response = bytes.Repeat([]byte("\x00\xffr"), 3000)
		if err := b.Settle(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		got, attempts = b.delivery(ok.ID)
		if got.State != hook.Done || got.Attempts != 1 || !got.DueAt.IsZero() {
			t.Errorf("after success it is %s, %d attempts, due at %v", got.State, got.Attempts, got.DueAt)
		}
		if !bytes.Equal(attempts[0].Response, s.Attempt.Response[:4096]) {
			t.Errorf("%d bytes of the response were kept, want 4096", len(attempts[0].Response))
		}
		b.pass(100 * time.Hour)
		same(t, "settled ones", ids(b.claim("demo/s", 9)), nil)
	})
	t.Run("several at once", func(t *testing.T) {
		b := start(t, open)
		x, y, z := b.send("demo/s", "a", false), b.send("demo/t", "a", false), b.send("demo/s", "a", false)
		err := b.Settle(t.Context(), b.settlement(x.ID, hook.Done, 0), b.settlement("dlv_999999999999", hook.Done, 0),
			b.settlement(y.ID, hook.Dead, 0), b.settlement(z.ID, hook.Pending, 0))
		if err != nil {
			t.Fatal(err)
		}
		b.states(map[string]hook.DeliveryState{x.ID: hook.Done, y.ID: hook.Dead, z.ID: hook.Pending})
		same(t, "due again", ids(b.claim("demo/s", 9)), []string{z.ID})
		same(t, "attempts of the requests", len(b.stored("req_01KE0000000000000000000001").Attempts), 1)
		if err := b.Settle(t.Context()); err != nil {
			t.Errorf("Settle of nothing: %v", err)
		}
	})
	t.Run("what makes no sense", func(t *testing.T) {
		b := start(t, open)
		d, e := b.send("demo/s", "a", false), b.send("demo/s", "a", false)
		for _, s := range []hook.Settlement{
			b.settlement("nonsense", hook.Done, 0),
			b.settlement(e.ID, hook.Waiting, 0),
			b.settlement(e.ID, "", 0),
			{Attempt: hook.Attempt{DeliveryID: e.ID, At: b.Now()}, Next: hook.Pending}, // no RetryAt
		} {
			if err := b.Settle(t.Context(), b.settlement(d.ID, hook.Done, 0), s); err == nil {
				t.Errorf("Settle took %+v", s)
			}
		}
		b.states(map[string]hook.DeliveryState{d.ID: hook.Pending, e.ID: hook.Pending})
		same(t, "still leased", ids(b.claim("demo/s", 9)), nil)
		if err := b.Settle(canceled(), b.settlement(d.ID, hook.Done, 0)); err == nil {
			t.Error("Settle took a context that has ended")
		}
		b.states(map[string]hook.DeliveryState{d.ID: hook.Pending})
		b.settle(d.ID, hook.Done, 0)
	})
	t.Run("settled twice", func(t *testing.T) {
		b := start(t, open)
		d := b.send("demo/s", "a", false)
		b.settle(d.ID, hook.Dead, 0)
		b.settle(d.ID, hook.Pending, time.Second)
		b.states(map[string]hook.DeliveryState{d.ID: hook.Dead})
		b.settle(d.ID, hook.Done, 0)
		b.states(map[string]hook.DeliveryState{d.ID: hook.Done})
		if _, attempts := b.delivery(d.ID); len(attempts) != 3 || attempts[2].Number != 3 {
			t.Errorf("attempts: %+v", attempts)
		}
		st, err := b.Stats(t.Context())
		if err != nil || st.Pending != 0 || st.Dead != 0 {
			t.Errorf("stats: %+v, %v", st, err)
		}
	})
	t.Run("attempts in order of time", func(t *testing.T) {
		b := start(t, open)
		rec := b.append(b.record([]string{"a"}, to{sub: "demo/s"}, to{sub: "demo/t"}))
		x, y := rec.Deliveries[0].ID, rec.Deliveries[1].ID
		b.settle(y, hook.Pending, time.Second)
		b.pass(time.Second)
		b.settle(x, hook.Pending, time.Second)
		b.pass(time.Second)
		b.settle(y, hook.Done, 0)
		var got []string
		for _, a := range b.stored(rec.Request.ID).Attempts {
			got = append(got, fmt.Sprint(a.DeliveryID, a.Number))
		}
		same(t, "attempts", got, []string{y + "1", x + "1", y + "2"})
	})
}

func testOrdered(t *testing.T, open opener) {
	t.Run("one at a time for each selector", func(t *testing.T) {
		b := start(t, open)
		first := b.send("demo/s", "a", true)
		b.pass(time.Second)
		second := b.send("demo/s", "a", true)
		third := b.append(b.record([]string{"a"}, to{sub: "demo/s", ordered: true, after: time.Hour})).Deliveries[0]
		other := b.send("demo/s", "b", true)
		elsewhere := b.send("demo/t", "a", true)
		free := b.send("demo/s", "a", false)
		if second.State != hook.Waiting || third.State != hook.Waiting || !second.DueAt.IsZero() {
			t.Errorf("behind an earlier one they are %s, %s, due at %v", second.State, third.State, second.DueAt)
		}
		for _, d := range []*hook.Delivery{first, other, elsewhere, free} {
			if d.State != hook.Pending {
				t.Errorf("%+v is not pending", d)
			}
		}
		b.settle(first.ID, hook.Pending, time.Minute) // a retry blocks the lane
		b.pass(time.Minute)
		same(t, "the head again", ids(b.claim("demo/s", 9)), []string{first.ID})
		at := b.Now()
		b.settle(first.ID, hook.Done, 0)
		got, _ := b.delivery(second.ID)
		if got.State != hook.Pending || !got.DueAt.Equal(at.Add(250*time.Millisecond)) {
			t.Errorf("the next is %s, due at %v, want pending at the attempt's end", got.State, got.DueAt)
		}
		b.states(map[string]hook.DeliveryState{third.ID: hook.Waiting})
		b.pass(250 * time.Millisecond)
		got2 := b.claim("demo/s", 9)
		same(t, "the next is not leased", ids(got2), []string{second.ID})
		if !got2[0].Ordered {
			t.Error("it forgot that it is ordered")
		}
		b.settle(second.ID, hook.Dead, 0) // dead unblocks too
		b.states(map[string]hook.DeliveryState{second.ID: hook.Dead, third.ID: hook.Pending})
		b.pass(time.Second)
		same(t, "the last", ids(b.claim("demo/s", 9)), []string{third.ID})
		b.settle(third.ID, hook.Done, 0)
		if next := b.send("demo/s", "a", true); next.State != hook.Pending {
			t.Errorf("in an empty lane it is %s", next.State)
		}
	})
	t.Run("within one record", func(t *testing.T) {
		b := start(t, open)
		rec := b.append(b.record([]string{"a", "a", "b"},
			to{sub: "demo/s", ordered: true}, to{event: 1, sub: "demo/s", ordered: true}, to{event: 2, sub: "demo/s", ordered: true}))
		var got []hook.DeliveryState
		for _, d := range rec.Deliveries {
			got = append(got, d.State)
		}
		same(t, "states", got, []hook.DeliveryState{hook.Pending, hook.Waiting, hook.Pending})
		same(t, "stored states", b.stored(rec.Request.ID).Deliveries[1].State, hook.Waiting)
	})
	t.Run("settled in one call", func(t *testing.T) {
		b := start(t, open)
		x, y, z := b.send("demo/s", "a", true), b.send("demo/s", "b", true), b.send("demo/s", "a", true)
		w := b.send("demo/s", "b", true)
		if err := b.Settle(t.Context(), b.settlement(x.ID, hook.Done, 0), b.settlement(y.ID, hook.Dead, 0)); err != nil {
			t.Fatal(err)
		}
		b.states(map[string]hook.DeliveryState{z.ID: hook.Pending, w.ID: hook.Pending})
	})
	t.Run("replay into a lane", func(t *testing.T) {
		b := start(t, open)
		dead := b.send("demo/s", "a", true)
		b.settle(dead.ID, hook.Dead, 0)
		head, next := b.send("demo/s", "a", true), b.send("demo/s", "a", true)
		if _, err := b.Replay(t.Context(), dead.ID, b.Now()); err != nil {
			t.Fatal(err)
		}
		b.states(map[string]hook.DeliveryState{dead.ID: hook.Waiting, head.ID: hook.Pending, next.ID: hook.Waiting})
		b.settle(head.ID, hook.Done, 0)
		b.states(map[string]hook.DeliveryState{dead.ID: hook.Pending, next.ID: hook.Waiting})
		if sub, err := b.Replay(t.Context(), next.ID, b.Now()); err != nil || sub != "demo/s" {
			t.Errorf("Replay of a waiting one = %q, %v", sub, err)
		}
		b.states(map[string]hook.DeliveryState{dead.ID: hook.Pending, next.ID: hook.Waiting})
		b.pass(time.Second)
		same(t, "claimed", ids(b.claim("demo/s", 9)), []string{dead.ID})
		b.settle(dead.ID, hook.Done, 0)
		b.states(map[string]hook.DeliveryState{next.ID: hook.Pending})
	})
}

func testNextDue(t *testing.T, open opener) {
	b := start(t, open)
	same(t, "of an empty store", b.nextDue(), map[string]time.Time{})
	x := b.send("demo/x", "a", false)
	y := b.send("demo/y", "a", false)
	b.send("demo/leased", "a", false)
	b.send("demo/lane", "a", true)
	b.send("demo/lane", "a", true)
	b.append(b.record([]string{"a"}, to{sub: "demo/z", after: time.Hour}, to{sub: "demo/z", after: time.Minute}, to{sub: "demo/z", after: 2 * time.Hour}))
	due := b.Now()
	b.Release(x.ID)
	b.settle(y.ID, hook.Pending, time.Second)
	want := map[string]time.Time{"demo/x": due, "demo/y": due.Add(time.Second), "demo/z": due.Add(time.Minute)}
	same(t, "next due", b.nextDue(), want)
	for _, sub := range []string{"demo/x", "demo/y", "demo/z", "demo/leased", "demo/lane", "demo/nobody"} {
		at, ok, err := b.NextDueOf(t.Context(), sub)
		if w, has := want[sub]; err != nil || ok != has || !at.Equal(w) {
			t.Errorf("NextDueOf(%q) = %v, %v, %v, want %v, %v", sub, at, ok, err, w, has)
		}
	}
	b.claim("demo/x", 1)
	delete(want, "demo/x")
	b.pass(time.Minute)
	b.claim("demo/z", 1)
	want["demo/z"] = due.Add(time.Hour)
	same(t, "after claims", b.nextDue(), want)
	if at, ok, err := b.NextDueOf(t.Context(), "demo/z"); err != nil || !ok || !at.Equal(want["demo/z"]) {
		t.Errorf("NextDueOf after a claim = %v, %v, %v", at, ok, err)
	}

	calls := 0
	err := b.NextDue(t.Context(), func(sub string, _ time.Time) bool {
		calls++
		b.claim(sub, 1) // yield may call the store
		return false
	})
	if err != nil || calls != 1 {
		t.Errorf("yield returned false, yet there were %d calls (%v)", calls, err)
	}
}

func testReplay(t *testing.T, open opener) {
	b := start(t, open)
	done, dead := b.send("demo/s", "a", false), b.send("demo/s", "b", false)
	pending := b.append(b.record([]string{"c"}, to{sub: "demo/s", after: time.Hour})).Deliveries[0]
	b.settle(done.ID, hook.Done, 0)
	b.settle(dead.ID, hook.Pending, 0)
	b.settle(dead.ID, hook.Dead, 0)
	b.pass(time.Minute)
	for _, d := range []*hook.Delivery{dead, done, pending} {
		b.pass(time.Second)
		sub, err := b.Replay(t.Context(), d.ID, b.Now())
		if err != nil || sub != "demo/s" {
			t.Fatalf("Replay = %q, %v", sub, err)
		}
		got, _ := b.delivery(d.ID)
		if got.State != hook.Pending || got.Attempts != 0 || !got.DueAt.Equal(b.Now()) {
			t.Errorf("after Replay it is %s, %d attempts, due at %v", got.State, got.Attempts, got.DueAt)
		}
	}
	same(t, "not leased", ids(b.claim("demo/s", 9)), []string{dead.ID, done.ID, pending.ID})
	b.settle(dead.ID, hook.Done, 0)
	got, attempts := b.delivery(dead.ID)
	if got.Attempts != 1 || len(attempts) != 3 || attempts[2].Number != 3 {
		t.Errorf("attempts are not counted anew, or not numbered on: %d, %+v", got.Attempts, attempts)
	}
	if st, err := b.Stats(t.Context()); err != nil || st.Pending != 2 || st.Dead != 0 {
		t.Errorf("stats: %+v, %v", st, err)
	}
}

func testReplayRecord(t *testing.T, open opener) {
	rerun := func(b *bench, of *hook.Record, run int, selectors []string, deliveries ...to) *hook.Record {
		rec := b.record(selectors, deliveries...)
		rec.Request = b.stored(of.Request.ID).Request
		for i, e := range rec.Events {
			e.ID, e.RequestID = fmt.Sprintf("evt_%s_r%d_%d", rec.Request.ID[4:], run, i), rec.Request.ID
			if e.FromBody {
				e.Payload = rec.Request.Body
			}
		}
		for _, d := range rec.Deliveries {
			d.ReceivedAt = rec.Request.ReceivedAt
		}
		return rec
	}
	t.Run("a failed request after a fix", func(t *testing.T) {
		b := start(t, open)
		rec := b.full()
		rec.Events, rec.Deliveries = nil, nil
		b.append(rec)
		before := b.append(b.record([]string{"x"}, to{sub: "demo/s"}))
		b.pass(time.Hour)
		again := rerun(b, rec, 1, []string{"a", "b"}, to{sub: "demo/s"}, to{event: 1, sub: "demo/t", after: time.Hour}, to{event: 1, sub: "demo/lane", ordered: true})
		again.Outcome, again.Failure, again.Notes, again.Verified = hook.Accepted, nil, []string{"now"}, "ignored"
		again.Console = []hook.ConsoleLine{{Level: "info", Text: "fixed"}}
		again.HandlerTime = 7 * time.Millisecond
		again.Response = hook.Response{Status: 299}
		want := clone(again)
		if err := b.ReplayRecord(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		for i, d := range again.Deliveries {
			if d.ID == "" || d.State != hook.Pending {
				t.Errorf("delivery %d: %+v", i, d)
			}
			want.Deliveries[i].ID, want.Deliveries[i].State = d.ID, hook.Pending
		}
		got := b.stored(rec.Request.ID)
		want.Request, want.Verified, want.Response = rec.Request, rec.Verified, rec.Response
		for _, d := range want.Deliveries { // the trace is the request's
			d.TraceParent = got.Deliveries[0].TraceParent
		}
		same(t, "stored", got.Record, *want)
		same(t, "leased", ids(b.claim("demo/s", 9)), nil)
		b.Release(again.Deliveries[0].ID, before.Deliveries[0].ID)
		claimed := b.claim("demo/s", 9)
		if len(claimed) != 2 {
			t.Fatalf("claimed %v", ids(claimed))
		}
		b.pass(time.Hour)
		later := b.claim("demo/t", 9)
		same(t, "due later", ids(later), []string{again.Deliveries[1].ID})
		page, _, err := b.Requests(t.Context(), store.RequestQuery{Outcome: hook.Accepted})
		if err != nil || len(page) != 2 || page[1].ID != rec.Request.ID || page[1].Events != 2 || page[1].Deliveries != 3 {
			t.Errorf("accepted: %+v, %v", page, err)
		}
		page, _, err = b.Requests(t.Context(), store.RequestQuery{Outcome: hook.Failed})
		if err != nil || len(page) != 0 {
			t.Errorf("failed: %+v, %v", page, err)
		}
		ds, _, err := b.Deliveries(t.Context(), store.DeliveryQuery{Selector: "b", Subscription: "demo/t"})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "found by selector", ids(ds), []string{again.Deliveries[1].ID})
	})
	t.Run("again and again", func(t *testing.T) {
		b := start(t, open)
		rec := b.append(b.record([]string{"a"}, to{sub: "demo/s"}))
		second := rerun(b, rec, 1, []string{"a", "b"}, to{sub: "demo/s"})
		third := rerun(b, rec, 2, []string{"a"}, to{sub: "demo/s", ordered: true})
		for _, r := range []*hook.Record{second, third} {
			if err := b.ReplayRecord(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		got := b.stored(rec.Request.ID)
		var events []string
		for _, e := range got.Events {
			events = append(events, e.ID)
		}
		same(t, "events", events, []string{rec.Events[0].ID, second.Events[0].ID, second.Events[1].ID, third.Events[0].ID})
		same(t, "deliveries", ids(got.Deliveries), []string{rec.Deliveries[0].ID, second.Deliveries[0].ID, third.Deliveries[0].ID})
		st, err := b.Stats(t.Context())
		if err != nil || st.Requests != 1 || st.Events != 4 || st.Pending != 3 {
			t.Errorf("stats: %+v, %v", st, err)
		}
	})
	t.Run("what it refuses", func(t *testing.T) {
		b := start(t, open)
		rec := b.append(b.record([]string{"a"}, to{sub: "demo/s"}))
		clash := rerun(b, rec, 1, []string{"a", "b"}, to{sub: "demo/s"})
		clash.Events[1].ID = rec.Events[0].ID
		clash.Outcome = hook.Failed
		want := clone(clash)
		if err := b.ReplayRecord(t.Context(), clash); !errors.Is(err, store.ErrConflict) {
			t.Errorf("an event id twice: %v, want ErrConflict", err)
		}
		same(t, "refused record", clash, want)
		unknown := b.record([]string{"a"}, to{sub: "demo/s"})
		if err := b.ReplayRecord(t.Context(), unknown); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("an unknown request: %v, want ErrNotFound", err)
		}
		if got := b.stored(rec.Request.ID); len(got.Events) != 1 || len(got.Deliveries) != 1 || got.Outcome != hook.Accepted {
			t.Errorf("a refused re-run left traces: %+v", got)
		}
	})
	t.Run("keys", func(t *testing.T) {
		b := start(t, open)
		rec := b.record([]string{"a"}, to{sub: "demo/s"})
		rec.Events[0].Key = "mine"
		b.append(rec)
		other := b.record([]string{"a"}, to{sub: "demo/s"})
		other.Events[0].Key = "theirs"
		b.append(other)
		again := rerun(b, rec, 1, []string{"a", "a", "a"}, to{sub: "demo/s"}, to{event: 1, sub: "demo/s"}, to{event: 2, sub: "demo/s"})
		again.Events[0].Key, again.Events[1].Key, again.Events[2].Key = "mine", "theirs", "new"
		if err := b.ReplayRecord(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		same(t, "duplicates", []bool{again.Events[0].Duplicate, again.Events[1].Duplicate, again.Events[2].Duplicate}, []bool{false, true, false})
		if len(again.Deliveries) != 2 {
			t.Errorf("%d deliveries, want 2", len(again.Deliveries))
		}
		late := b.record([]string{"a"})
		late.Events[0].Key = "new"
		if !b.append(late).Events[0].Duplicate {
			t.Error("a key of a re-run is not remembered")
		}
	})
}

func testState(t *testing.T, open opener) {
	b := start(t, open)
	ctx := t.Context()
	state := func(integration string) map[string]string {
		t.Helper()
		s, err := b.State(ctx, integration)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := state("demo/asana"); s != nil {
		t.Errorf("state = %v, want nil", s)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(b.Remember(ctx, "demo/asana", "hookSecret", "s1", false))
	must(b.Remember(ctx, "demo/asana", "other", "", false))
	must(b.Remember(ctx, "demo/asana", "hookSecret", "s1", false)) // the same again is no conflict
	must(b.Remember(ctx, "demo/notion", "hookSecret", "n", false))
	same(t, "state", state("demo/asana"), map[string]string{"hookSecret": "s1", "other": ""})
	err := b.Remember(ctx, "demo/asana", "hookSecret", "s2-private", false)
	if !errors.Is(err, store.ErrConflict) {
		t.Errorf("Remember = %v, want ErrConflict", err)
	}
	if err != nil && (strings.Contains(err.Error(), "s1") || strings.Contains(err.Error(), "s2-private")) {
		t.Errorf("the error shows a secret: %v", err)
	}
	if err := b.Remember(ctx, "demo/asana", "other", "x", false); !errors.Is(err, store.ErrConflict) {
		t.Errorf("an empty value was replaced: %v", err)
	}
	same(t, "kept", state("demo/asana"), map[string]string{"hookSecret": "s1", "other": ""})
	must(b.Remember(ctx, "demo/asana", "hookSecret", "s2", true))
	same(t, "replaced", state("demo/asana"), map[string]string{"hookSecret": "s2", "other": ""})
	same(t, "another's", state("demo/notion"), map[string]string{"hookSecret": "n"})
}
