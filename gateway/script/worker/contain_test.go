package worker_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"switchhook/gateway/script"
	"switchhook/gateway/script/worker"
)

// failure calls a program and returns its failure.
func failure(t *testing.T, e script.Engine, p *script.Program) *script.Error {
	t.Helper()
	in := pushInput()
	_, err := e.Handle(context.Background(), p, in)
	var f *script.Error
	if !errors.As(err, &f) {
		t.Errorf("%s: %v, want a failure", p.Connector, err)
		return &script.Error{}
	}
	return f
}

const (
	// Code that goja cannot interrupt.
	stuck = `export default function handle() { "x".repeat(60).replace(/^(?=(x+x+)+y)/, "") }`
	// Code that takes memory until there is none, fast and slowly.
	greedy = `export default function handle() { const l = []; for (let i = 0; ; i++) l.push("x".repeat(1e6) + i) }`
	huge   = `export default function handle() { const l = []; for (let i = 0; i < 20; i++) l.push(new ArrayBuffer(1e8)); return {events: l.map(() => 1)} }`
	// Code that ends the process: natively recursive.
	deep = `export default function handle() { let a = []; for (let i = 0; i < 5e6; i++) a = [a]; return {events: [{selector: "s", payload: a.toString()}]} }`
)

// TestKilled: each way in which a call ends its worker has its failure.
func TestKilled(t *testing.T) {
	var mu sync.Mutex
	killed := map[string]int{}
	e := engine(t, worker.Options{Timeout: 100 * time.Millisecond, KillAfter: 400 * time.Millisecond, Memory: 128 << 20, Size: 2,
		Killed: func(connector string) { mu.Lock(); defer mu.Unlock(); killed[connector]++ }})
	for _, c := range []struct{ name, code, kind, message string }{
		{"stuck", stuck, "timeout", "handle could not be interrupted after 100ms and was killed with its process after 400ms"},
		{"huge", huge, "memory", "handle needed more than the 128 MiB of memory allowed, and ended with its process"},
	} {
		if raceDetector && c.kind == "memory" {
			continue
		}
		start := time.Now()
		f := failure(t, e, build(t, c.name, c.code))
		if f.Failure.Kind != c.kind || f.Failure.Message != c.message {
			t.Errorf("%s: %s: %v", c.name, f.Failure.Kind, f)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s took %v", c.name, took)
		}
		mu.Lock()
		if killed[c.name] != 1 {
			t.Errorf("%s: the engine tells of %v", c.name, killed)
		}
		mu.Unlock()
	}
	// The engine goes on.
	in := pushInput()
	in.Timeout = 20 * time.Second
	if _, err := e.Handle(context.Background(), build(t, "good", pushCode), in); err != nil {
		t.Error(err)
	}
	if s := e.Stats(); s.Killed != 2 && !raceDetector {
		t.Errorf("%+v", s)
	}
	for _, code := range []string{greedy, deep} {
		if f := failure(t, e, build(t, "any", code)); f.Failure.Kind == "" {
			t.Errorf("%s: %v", code, f)
		} else {
			t.Logf("%s: %s: %v", code, f.Failure.Kind, f)
		}
	}
}

// TestCallsBehindAKilledOne: they go to another worker, and each is answered once.
func TestCallsBehindAKilledOne(t *testing.T) {
	e := engine(t, worker.Options{Timeout: 100 * time.Millisecond, KillAfter: 200 * time.Millisecond, Size: 2})
	p := build(t, "mixed", `export default function handle({ query }) {
		if (query.n % 16 === 5) "x".repeat(60).replace(/^(?=(x+x+)+y)/, "")
		return { events: [{ selector: "n/" + query.n, payload: null }] }
	}`)
	var wg sync.WaitGroup
	for n := range 64 {
		wg.Go(func() {
			in := pushInput()
			in.Request.Query = fmt.Sprintf("n=%d", n)
			if n%16 != 5 {
				in.Timeout = 20 * time.Second // machines are slow at times
			}
			r, err := e.Handle(context.Background(), p, in)
			if n%16 == 5 {
				var f *script.Error
				if !errors.As(err, &f) || f.Failure.Kind != "timeout" {
					t.Errorf("call %d: %v", n, err)
				}
			} else if err != nil || r.Events[0].Selector != fmt.Sprintf("n/%d", n) {
				t.Errorf("call %d: %+v %v", n, r, err)
			}
		})
	}
	wg.Wait()
	if s := e.Stats(); s.Killed != 4 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
}

// TestHalfOfThePool: a connector whose calls hang leaves half of the workers to others.
func TestHalfOfThePool(t *testing.T) {
	e := engine(t, worker.Options{Timeout: 2 * time.Second, KillAfter: 3 * time.Second, Size: 4})
	bad, good := build(t, "bad", `export default function handle() { for (;;); }`), build(t, "good", pushCode)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_, _ = e.Handle(ctx, bad, pushInput())
		})
	}
	for e.Stats().Busy < 2 {
		time.Sleep(time.Millisecond)
	}
	for range 50 {
		start := time.Now()
		if _, err := e.Handle(context.Background(), good, pushInput()); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("a call of another connector took %v", took)
		}
	}
	if s := e.Stats(); s.Busy > 2 {
		t.Errorf("one connector holds more than half: %+v", s)
	}
	wg.Wait()
}

// TestSlowConnector: a connector whose calls are slow leaves processors to others, where there are others.
func TestSlowConnector(t *testing.T) {
	for _, others := range []bool{false, true} {
		e := engine(t, worker.Options{Timeout: 300 * time.Millisecond, KillAfter: 20 * time.Second, Size: 4})
		bad, good := build(t, "bad", `export default function handle() { for (;;); }`), build(t, "good", pushCode)
		if f := failure(t, e, bad); f.Failure.Kind != "timeout" {
			t.Fatal(f)
		}
		in := pushInput()
		in.Timeout = 20 * time.Second
		if others {
			if _, err := e.Handle(context.Background(), good, in); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { _, _ = e.Handle(context.Background(), bad, pushInput()) })
		}
		want := map[bool]int{false: 2, true: 1}[others] // of the three, which run
		most := 0
		for s := e.Stats(); s.Busy+s.Waiting > 0 || most == 0; s = e.Stats() {
			most = max(most, s.Busy)
			time.Sleep(time.Millisecond)
		}
		wg.Wait()
		if most != want {
			t.Errorf("others %v: %d calls ran at once, not %d", others, most, want)
		}
	}
}
