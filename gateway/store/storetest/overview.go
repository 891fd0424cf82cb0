package storetest

import (
	"fmt"
	"testing"
	"time"

	"switchhook/gateway/hook"
	"switchhook/gateway/store"
)

func testBacklog(t *testing.T, open opener) {
	b := start(t, open)
	backlog := func(sub string, most int) store.Backlog {
		t.Helper()
		got, err := b.Backlog(t.Context(), sub, most)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	same(t, "of one that nothing is known of", backlog("demo/none", 10), store.Backlog{})
	first := b.send("demo/s", "a", true)
	b.send("demo/s", "a", true) // it waits for the first
	retried, died := b.send("demo/s", "b", false), b.send("demo/s", "c", false)
	b.send("demo/t", "a", false)
	b.settle(retried.ID, hook.Pending, time.Hour)
	b.settle(died.ID, hook.Dead, 0)
	same(t, "leased, waiting, due later, and dead", backlog("demo/s", 10), store.Backlog{Open: 3, Dead: 1})
	same(t, "up to 2", backlog("demo/s", 2), store.Backlog{Open: 2, Dead: 1})
	b.settle(first.ID, hook.Done, 0)
	if _, err := b.Replay(t.Context(), died.ID, b.Now()); err != nil {
		t.Fatal(err)
	}
	same(t, "after one was done, and the dead one replayed", backlog("demo/s", 10), store.Backlog{Open: 3})
	same(t, "of the other", backlog("demo/t", 10), store.Backlog{Open: 1})
}

func testChanges(t *testing.T, open opener) {
	b := start(t, open)
	list := func(limit int) []store.Change {
		t.Helper()
		return pages(t, limit, func(cursor string) ([]store.Change, string, error) { return b.Changes(t.Context(), cursor, limit) })
	}
	same(t, "at first", list(10), nil)
	var want []store.Change
	for i := range 7 {
		c := store.Change{At: b.Now(), Action: "subscription.put", Target: fmt.Sprint("demo/", i), Detail: "paused", Remote: "192.0.2.7", Agent: "curl/8"}
		if i == 3 {
			c = store.Change{At: b.Now(), Action: "replay"}
		}
		if err := b.AddChange(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		want = append([]store.Change{c}, want...)
		b.pass(time.Second)
	}
	for _, limit := range []int{1, 3, 7, 100} {
		same(t, fmt.Sprint("newest first, by ", limit), list(limit), want)
	}
	if _, _, err := b.Changes(t.Context(), "d7", 1); err == nil {
		t.Error("a cursor of another list is taken")
	}
}
