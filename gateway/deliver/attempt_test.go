package deliver

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// An attempt's context is what context.WithTimeout would be, whoever waits for it and when.
func TestAttemptContext(t *testing.T) {
	type ends struct {
		name string
		end  func(c *attemptContext, engine context.CancelFunc)
		want error
	}
	for _, e := range []ends{
		{"its deadline", func(*attemptContext, context.CancelFunc) { time.Sleep(time.Second) }, context.DeadlineExceeded},
		{"the engine", func(_ *attemptContext, engine context.CancelFunc) { engine() }, context.Canceled},
		{"its end", func(c *attemptContext, _ context.CancelFunc) { c.end() }, context.Canceled},
	} {
		for _, waited := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				type key struct{}
				engine, cut := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
				defer cut()
				c := &attemptContext{engine: engine, deadline: time.Now().Add(time.Second)}
				if waited {
					before := runtime.NumGoroutine()
					child, cancel := context.WithCancel(c)
					defer cancel()
					if n := runtime.NumGoroutine(); n != before {
						t.Errorf("a context made of it takes %d goroutines", n-before)
					}
					defer func() {
						<-child.Done()
						if !errors.Is(child.Err(), e.want) {
							t.Errorf("%s: what was made of it: %v", e.name, child.Err())
						}
					}()
				}
				if c.Err() != nil || c.Value(key{}) != "value" {
					t.Errorf("%v, %v", c.Err(), c.Value(key{}))
				}
				if at, ok := c.Deadline(); !ok || !at.Equal(time.Now().Add(time.Second)) {
					t.Errorf("deadline %v", at)
				}
				e.end(c, cut)
				if waited {
					<-c.Done()
				}
				// Whatever happens after that, it stays what it was.
				for range 2 {
					if !errors.Is(c.Err(), e.want) {
						t.Errorf("%s, waited for: %v: %v, want %v", e.name, waited, c.Err(), e.want)
					}
					c.end()
					cut()
					<-c.Done()
				}
			})
		}
	}
}

func TestAfterCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, cut := context.WithCancel(t.Context())
		c := &attemptContext{engine: engine, deadline: time.Now().Add(time.Second)}
		calls := 0
		AfterCut(c, func() { calls++ })
		stop := AfterCut(c, func() { calls += 100 })
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if calls != 0 {
			t.Errorf("called %d times at the deadline", calls)
		}
		if !stop() {
			t.Error("it was not stopped")
		}
		cut()
		synctest.Wait()
		if calls != 1 {
			t.Errorf("called %d times when it was cut off", calls)
		}
	})
}
