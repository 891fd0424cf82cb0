package destination

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

type closable struct{ closed atomic.Bool }

func TestPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(func(c *closable) { c.closed.Store(true) })
		opened := 0
		open := func() (*closable, error) { opened++; time.Sleep(time.Second); return &closable{}, nil }
		ctx := t.Context()

		// Those who come while it is opened share it.
		type got struct {
			c       *closable
			release func()
		}
		all := make(chan got, 2)
		for range 2 {
			go func() {
				c, release, err := p.get(ctx, "a", open)
				if err != nil {
					t.Error(err)
				}
				all <- got{c, release}
			}()
		}
		first, second := <-all, <-all
		if first.c != second.c || opened != 1 {
			t.Errorf("opened %d times", opened)
		}
		// It stays while somebody uses it, and for a while after that.
		first.release()
		time.Sleep(2 * poolIdle)
		if first.c.closed.Load() {
			t.Error("closed while in use")
		}
		second.release()
		time.Sleep(poolIdle - time.Second)
		c, release, _ := p.get(ctx, "a", open)
		if c != first.c || c.closed.Load() {
			t.Error("closed too early")
		}
		release()
		time.Sleep(poolIdle + time.Second)
		if !c.closed.Load() {
			t.Error("not closed when idle")
		}
		// One that was closed is opened anew; one that is useless can be thrown away.
		c, release, _ = p.get(ctx, "a", open)
		if opened != 2 {
			t.Errorf("opened %d times", opened)
		}
		p.discard("a", func(x *closable) bool { return x != c })
		if c.closed.Load() {
			t.Error("another one was discarded")
		}
		p.discard("a", func(x *closable) bool { return x == c })
		release()
		if !c.closed.Load() {
			t.Error("not discarded")
		}
		// A failure is everybody's, and tried again by who comes next.
		oops := errors.New("oops")
		if _, _, err := p.get(ctx, "b", func() (*closable, error) { return nil, oops }); !errors.Is(err, oops) {
			t.Errorf("%v", err)
		}
		b, releaseB, err := p.get(ctx, "b", open)
		if err != nil {
			t.Fatal(err)
		}
		releaseB()
		// Nobody waits longer than its context.
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		if _, _, err := p.get(short, "c", open); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		p.close()
		if !b.closed.Load() {
			t.Error("not closed at the end")
		}
		if _, _, err := p.get(ctx, "a", open); !errors.Is(err, errPoolClosed) {
			t.Errorf("%v", err)
		}
	})
}

type countingSink struct {
	writes int
	closes atomic.Int64
	data   []byte
	takes  time.Duration
}

func (s *countingSink) append(b []byte) (int, error) {
	time.Sleep(s.takes)
	s.writes++
	s.data = append(s.data, b...)
	return len(b), nil
}

func (s *countingSink) close() { s.closes.Add(1) }

func TestLineWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &countingSink{takes: time.Second}
		opened := 0
		w := newLineWriter(func() sink { opened++; return s })
		write := func() {
			if err := w.write(t.Context(), []byte("x\n")); err != nil {
				t.Error(err)
			}
		}
		go write()
		synctest.Wait() // it is being written
		for range 9 {
			go write()
		}
		time.Sleep(2100 * time.Millisecond)
		synctest.Wait()
		if s.writes != 2 || string(s.data) != "x\nx\nx\nx\nx\nx\nx\nx\nx\nx\n" {
			t.Errorf("%d writes of %q", s.writes, s.data)
		}
		// The file is closed when it is idle, and opened again when it is not.
		time.Sleep(lineIdle - time.Second)
		synctest.Wait()
		if s.closes.Load() != 0 {
			t.Error("closed too early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s.closes.Load() != 1 {
			t.Error("not closed when idle")
		}
		write()
		if opened != 2 || len(s.data) != 22 {
			t.Errorf("opened %d times", opened)
		}
		if err := w.close(); err != nil || s.closes.Load() != 2 {
			t.Errorf("%v, closed %d times", err, s.closes.Load())
		}
	})
}

func TestLineWriterThatIsStuckAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &countingSink{takes: time.Hour}
		w := newLineWriter(func() sink { return s })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.write(ctx, []byte("x\n")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		began := time.Now()
		if err := w.close(); err == nil || time.Since(began) != lineClose {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		time.Sleep(2 * time.Hour)
	})
}
