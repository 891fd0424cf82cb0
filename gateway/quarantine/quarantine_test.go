package quarantine_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"switchhook/gateway/quarantine"
	"switchhook/gateway/store"
	"switchhook/gateway/store/memory"
)

// keeper makes a Keeper with a clock that tests turn, whose Run is stopped at the end.
func keeper(t *testing.T, s store.Store, now *time.Time) *quarantine.Keeper {
	t.Helper()
	k, err := quarantine.New(context.Background(), quarantine.Options{Store: s, Now: func() time.Time { return *now }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestHowLong(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	k := keeper(t, memory.New(store.Options{}), &now)
	kill := func(n int) {
		for range n {
			k.Killed("bad")
			now = now.Add(time.Second)
		}
	}
	kill(2)
	if k.Holds("bad") {
		t.Error("held after two kills")
	}
	now = now.Add(quarantine.Within)
	kill(2)
	if k.Holds("bad") {
		t.Error("held after two kills within the time, and two before it")
	}
	now = now.Add(2 * quarantine.Within)
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		kill(3)
		if !k.Holds("bad") || k.Holds("good") {
			t.Fatal("three kills do not set it aside, it alone")
		}
		e := k.List()[0]
		if got := e.Until.Sub(e.Since); got != want*time.Minute || e.Connector != "bad" || e.Kills != 3 {
			t.Errorf("set aside for %v, want %v: %+v", got, want*time.Minute, e)
		}
		kill(5) // calls that were under way
		if k.List()[0] != e {
			t.Error("kills of a connector that is held already count")
		}
		now = e.Until
		if k.Holds("bad") || len(k.List()) != 0 {
			t.Error("held beyond its time")
		}
	}
	now = now.Add(quarantine.Forgotten)
	kill(3)
	if e := k.List()[0]; e.Until.Sub(e.Since) != quarantine.First || e.Times != 1 {
		t.Errorf("what was long ago counts: %+v", e)
	}
	k.Release("bad")
	if k.Holds("bad") {
		t.Error("held after it was changed")
	}
	kill(2)
	if k.Holds("bad") {
		t.Error("what it did before it was changed counts")
	}
}

func TestRemembered(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := memory.New(store.Options{})
	// run has a Keeper write what it has to, and end.
	run := func(k *quarantine.Keeper, want int) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); k.Run(ctx) }()
		deadline := time.Now().Add(10 * time.Second)
		for {
			state, err := s.State(ctx, "quarantine")
			if err != nil {
				t.Fatal(err)
			}
			if held := state["bad"] != ""; held == (want > 0) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("nothing was stored")
			}
			time.Sleep(time.Millisecond)
		}
		cancel()
		<-done
	}
	k := keeper(t, s, &now)
	for range quarantine.Kills {
		k.Killed("bad")
	}
	run(k, 1)
	again := keeper(t, s, &now)
	if !again.Holds("bad") || again.List()[0] != k.List()[0] {
		t.Errorf("after a restart: %+v, before: %+v", again.List(), k.List())
	}
	again.Release("bad")
	run(again, 0)
	if keeper(t, s, &now).Holds("bad") {
		t.Error("released, and held after a restart")
	}
}
