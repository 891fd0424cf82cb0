package storetest

import (
	"testing"
	"time"

	"switchhook/gateway/hook"
	"switchhook/gateway/store"
)

// TestDurable runs what a store that outlives its process must do besides.
// open opens the store in dir, again and again.
func TestDurable(t *testing.T, open func(t *testing.T, dir string, opt store.Options) store.Store) {
	dir := t.TempDir()
	b := start(t, func(t *testing.T, opt store.Options) store.Store { return open(t, dir, opt) })
	reopen := func() {
		t.Helper()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b.Store = open(t, dir, store.Options{Now: b.Now})
	}
	ctx := t.Context()

	rec := b.append(b.full())
	want := b.stored(rec.Request.ID)
	keyed := b.record([]string{"a"}, to{sub: "demo/s"})
	keyed.Events[0].Key = "k"
	b.append(keyed)
	head, waiting := b.send("demo/lane", "a", true), b.send("demo/lane", "a", true)
	dead := b.send("demo/s", "a", false)
	b.settle(dead.ID, hook.Dead, 0)
	for _, err := range []error{
		b.Remember(ctx, "demo/asana", "secret", "s", false),
		b.PutSubscription(ctx, subscription("run-time")),
		b.Disable(ctx, "demo/s", "gone"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	before, err := b.Stats(ctx)
	if err != nil {
		t.Fatal(err)
	}

	reopen()
	after, err := b.Stats(ctx)
	if err != nil {
		t.Fatal(err)
	}
	after.Bytes = before.Bytes
	same(t, "stats", after, before)
	same(t, "record", b.stored(rec.Request.ID), want)
	b.states(map[string]hook.DeliveryState{head.ID: hook.Pending, waiting.ID: hook.Waiting, dead.ID: hook.Dead})
	same(t, "leases ended", ids(b.claim("demo/lane", 9)), []string{head.ID})
	b.settle(head.ID, hook.Done, 0)
	b.states(map[string]hook.DeliveryState{waiting.ID: hook.Pending})
	again := b.record([]string{"a"})
	again.Events[0].Key = "k"
	if !b.append(again).Events[0].Duplicate {
		t.Error("the key is forgotten")
	}
	state, err := b.State(ctx, "demo/asana")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "state", state, map[string]string{"secret": "s"})
	disabled, err := b.Disabled(ctx)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "disabled", disabled, map[string]string{"demo/s": "gone"})
	if subs := b.subscriptions(); len(subs) != 1 || subs[0].ID() != "demo/run-time" {
		t.Errorf("subscriptions: %+v", subs)
	}

	// ids are never given twice, even when everything was swept in between
	last := b.send("demo/s", "z", false)
	b.pass(time.Hour)
	for _, sub := range []string{"demo/all", "demo/stars", "other/lane", "demo/s", "demo/lane"} {
		for _, d := range b.claim(sub, 99) {
			b.settle(d.ID, hook.Done, 0)
		}
	}
	b.settle(last.ID, hook.Done, 0)
	if n, err := b.Sweep(ctx, b.Now(), 0, 1000); err != nil || n == 0 {
		t.Fatalf("Sweep = %d, %v", n, err)
	}
	if st, err := b.Stats(ctx); err != nil || st.Requests != 0 || st.Events != 0 || st.Pending != 0 {
		t.Fatalf("not everything was swept: %+v, %v", st, err)
	}
	reopen()
	if d := b.send("demo/s", "a", false); d.ID == last.ID || d.ID == rec.Deliveries[0].ID {
		t.Errorf("delivery id %s was given twice", d.ID)
	}
}
