package server

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// limiter bounds the rate of requests for each of any number of keys, in
// constant memory: keys are hashed to cells, each of which is a leaky bucket
// in the form of the generic cell rate algorithm (ITU-T I.371). Keys that
// share a cell share its rate, which for a few thousand keys is rare.
type limiter struct {
	interval time.Duration // between requests at the allowed rate
	burst    time.Duration // by how much requests may come ahead of it
	start    time.Time
	seed     maphash.Seed
	cells    []atomic.Int64 // when the cell has its whole burst again, since start
}

const limiterCells = 1 << 16

// newLimiter returns a limiter of so many requests in a second, nil for 0.
// No time that allow is called with is before start.
func newLimiter(perSecond float64, start time.Time) *limiter {
	if perSecond <= 0 {
		return nil
	}
	l := &limiter{interval: time.Duration(float64(time.Second) / perSecond), seed: maphash.MakeSeed(), start: start, cells: make([]atomic.Int64, limiterCells)}
	// Twice the rate, and never less than one request.
	l.burst = max(time.Second, l.interval) * 2
	return l
}

// allow counts a request for the key; when it is one too many, wait is the
// time until the next one is allowed, else 0.
func (l *limiter) allow(key uint64, now time.Time) (wait time.Duration) {
	cell := &l.cells[key%limiterCells]
	at := now.Sub(l.start)
	for {
		old := cell.Load()
		next := max(time.Duration(old), at) + l.interval
		if early := next - at - l.burst; early > 0 {
			return early
		}
		if cell.CompareAndSwap(old, int64(next)) {
			return 0
		}
	}
}

func (l *limiter) allowPath(path string, now time.Time) time.Duration {
	if l == nil {
		return 0
	}
	return l.allow(maphash.String(l.seed, path), now)
}

func (l *limiter) allowAddr(addr netip.Addr, now time.Time) time.Duration {
	if l == nil || !addr.IsValid() {
		return 0
	}
	if addr.Is6() { // whoever has one address of a /64 has all of them
		if p, err := addr.Prefix(64); err == nil {
			addr = p.Addr()
		}
	}
	return l.allow(maphash.Comparable(l.seed, addr), now)
}
