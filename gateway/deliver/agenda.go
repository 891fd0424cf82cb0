package deliver

import (
	"container/heap"
	"context"
	"time"
)

// The agendas a lane can be in.
const (
	byDue   = iota // key: Unix nanoseconds on Options.Now
	byTimer        // key: nanoseconds since Engine.epoch
)

// agenda is a heap of lanes by one of their keys. A lane whose key is 0 is not
// in it.
type agenda struct {
	kind  int
	lanes []*lane
}

// Len, Less, Swap, Push and Pop are for container/heap.
func (a *agenda) Len() int { return len(a.lanes) }

func (a *agenda) Less(i, j int) bool {
	return a.lanes[i].key[a.kind] < a.lanes[j].key[a.kind]
}

func (a *agenda) Swap(i, j int) {
	a.lanes[i], a.lanes[j] = a.lanes[j], a.lanes[i]
	a.lanes[i].place[a.kind], a.lanes[j].place[a.kind] = i, j
}

func (a *agenda) Push(x any) {
	l := x.(*lane)
	l.place[a.kind] = len(a.lanes)
	a.lanes = append(a.lanes, l)
}

func (a *agenda) Pop() any {
	n := len(a.lanes) - 1
	l := a.lanes[n]
	a.lanes[n] = nil
	a.lanes = a.lanes[:n]
	return l
}

// set moves l to the given time, 0 for none. It reports whether l is now first.
func (a *agenda) set(l *lane, at int64) bool {
	old := l.key[a.kind]
	l.key[a.kind] = at
	switch {
	case at == old:
		return false
	case old == 0:
		heap.Push(a, l)
	case at == 0:
		// Its key must not matter any more, so it goes by its place.
		heap.Remove(a, l.place[a.kind])
	default:
		heap.Fix(a, l.place[a.kind])
	}
	return at != 0 && l.place[a.kind] == 0
}

// first returns the lane whose time is earliest, if that is not after now.
func (a *agenda) first(now int64) *lane {
	if len(a.lanes) == 0 || a.lanes[0].key[a.kind] > now {
		return nil
	}
	return a.lanes[0]
}

// fifo is a queue of pointers.
type fifo struct {
	lanes []*lane
	head  int
}

func (q *fifo) push(l *lane) { q.lanes = append(q.lanes, l) }

func (q *fifo) pop() *lane {
	if q.head == len(q.lanes) {
		return nil
	}
	l := q.lanes[q.head]
	q.lanes[q.head] = nil
	q.head++
	if q.head == len(q.lanes) {
		q.lanes, q.head = q.lanes[:0], 0
	} else if q.head > 1024 && q.head > len(q.lanes)/2 {
		q.lanes, q.head = append([]*lane(nil), q.lanes[q.head:]...), 0
	}
	return l
}

// dueAt notes that the store has a delivery of l that is due at t. The lock is held.
func (e *Engine) dueAt(l *lane, t time.Time) {
	at := max(t.UnixNano(), 1)
	if old := l.key[byDue]; old != 0 && old <= at {
		return
	}
	if e.dues.set(l, at) {
		e.wakeClock()
	}
}

// advanceIn asks for l to be advanced after d, or earlier. The lock is held.
func (e *Engine) advanceIn(l *lane, d time.Duration) {
	at := e.sinceEpoch() + int64(max(d, 0)) + 1
	if old := l.key[byTimer]; old != 0 && old <= at {
		return
	}
	if e.timers.set(l, at) {
		e.wakeClock()
	}
}

func (e *Engine) wakeClock() {
	select {
	case e.clockC <- struct{}{}:
	default:
	}
}

// clock advances lanes when their time comes. It sleeps on the monotonic
// clock, and looks at Options.Now again every so often, because that may jump.
func (e *Engine) clock(ctx context.Context) {
	defer e.loops.Done()
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-e.clockC:
		case <-e.stopping:
			return
		case <-ctx.Done():
			e.mu.Lock()
			e.beginStop()
			e.unlock()
			e.cutAttempts()
			return
		}
		if d, ok := e.tick(); ok {
			t.Reset(d)
		} else {
			t.Stop()
		}
	}
}

// tick advances the lanes whose time has come. It returns how long there is
// nothing to do; false: until a lane is added.
func (e *Engine) tick() (time.Duration, bool) {
	e.mu.Lock()
	defer e.unlock()
	now, mono := e.o.Now().UnixNano(), e.sinceEpoch()
	for range clockBatch {
		if l := e.dues.first(now); l != nil {
			e.dues.set(l, 0)
			l.due = true
			e.advance(l)
		} else if l := e.timers.first(mono); l != nil {
			e.timers.set(l, 0)
			e.advance(l)
		} else {
			break
		}
	}
	d, ok := recheck, false
	if len(e.dues.lanes) > 0 {
		d, ok = min(d, time.Duration(e.dues.lanes[0].key[byDue]-now)), true
	}
	if len(e.timers.lanes) > 0 {
		until := time.Duration(e.timers.lanes[0].key[byTimer] - mono)
		if !ok || until < d {
			d = until
		}
		ok = true
	}
	return max(d, 0), ok
}
