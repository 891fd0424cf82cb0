package deliver

import (
	"time"

	"switchhook/gateway/hook"
)

// refill asks for a claim when the store has, or may have, more for l and
// there is room. The lock is held.
func (e *Engine) refill(l *lane) {
	if l.wants || l.claiming || !(l.due || l.overflow) {
		return
	}
	n := l.buffered()
	if n > lowWater {
		// So that retries get their turn although new deliveries keep coming.
		l.overflow = true
		return
	}
	if e.claimSize(l) == 0 {
		return // l holds something; the end of an attempt leads here again
	}
	l.wants = true
	e.claims.push(l)
	if e.claiming < claimers {
		e.claiming++
		e.loops.Add(1)
		go e.claimer()
	}
}

// claimSize is how many deliveries l has room for, going by the sizes it saw.
func (e *Engine) claimSize(l *lane) int {
	n := int(min(max(e.share()-l.bytes, 0)/max(l.size, 1), claimLimit))
	if n == 0 && l.buffered() == 0 && l.inFlight == 0 {
		return 1
	}
	return n
}

// claimer claims for the lanes that want it, in turn, until none does.
func (e *Engine) claimer() {
	defer e.loops.Done()
	failures := 0
	for {
		e.mu.Lock()
		l := e.claims.pop()
		if l == nil || e.phase != phaseRunning {
			e.claiming--
			e.unlock()
			return
		}
		l.wants = false
		limit := e.claimSize(l)
		if e.lanes[l.id] != l || limit == 0 || !(l.due || l.overflow) {
			e.unlock()
			continue
		}
		// Set again by whatever comes while the claim is under way.
		l.due, l.overflow = false, false
		l.claiming = true
		e.unlock()

		ds, next, more, err := e.claim(l.id, limit)

		e.mu.Lock()
		l.claiming = false
		for _, d := range ds {
			e.push(l, d)
		}
		switch {
		case err != nil:
			l.due = true
		case more:
			l.due, l.overflow = true, true
		case !next.IsZero():
			e.dueAt(l, next)
		}
		if e.phase != phaseRunning {
			e.empty(l)
		}
		if err == nil {
			e.advance(l)
			e.unlock()
			failures = 0
			continue
		}
		e.unlock()
		if !e.pause(failures) {
			e.mu.Lock()
			e.claiming--
			e.unlock()
			return
		}
		failures++
		e.mu.Lock()
		e.advance(l)
		e.unlock()
	}
}

// claim leases what is due. more: there is more that is due; if not, next is
// when the next one will be, zero for never.
func (e *Engine) claim(subscription string, limit int) (ds []*hook.Delivery, next time.Time, more bool, err error) {
	now := e.o.Now()
	ds, err = e.o.Queue.Claim(e.loopCtx, subscription, now, limit)
	if err = e.queueResult("claim", err); err != nil || len(ds) >= limit {
		return ds, next, err == nil, err
	}
	next, ok, err := e.o.Queue.NextDueOf(e.loopCtx, subscription)
	if !ok {
		next = time.Time{}
	}
	return ds, next, false, e.queueResult("next due", err)
}

// scan starts the scanner. The lock is held.
func (e *Engine) scan() {
	if e.scanning {
		e.scanAgain = true
		return
	}
	e.scanning = true
	e.loops.Add(1)
	go e.scanner()
}

// scanner applies changed subscriptions to the lanes, and makes lanes for
// those that the store has deliveries for.
func (e *Engine) scanner() {
	defer e.loops.Done()
	failures := 0
	for {
		e.mu.Lock()
		e.scanAgain = false
		known := make([]*lane, 0, len(e.lanes))
		for _, l := range e.lanes {
			known = append(known, l)
		}
		e.unlock()
		for len(known) > 0 {
			n := min(len(known), clockBatch)
			e.mu.Lock()
			for _, l := range known[:n] {
				e.advance(l)
			}
			e.unlock()
			known = known[n:]
		}

		err := e.o.Queue.NextDue(e.loopCtx, func(subscription string, due time.Time) bool {
			e.mu.Lock()
			defer e.mu.Unlock() // nothing to do later: only the clock is told
			if e.phase == phaseRunning {
				e.dueAt(e.lane(subscription), due)
			}
			return e.phase == phaseRunning
		})
		if e.queueResult("next due", err) != nil {
			if !e.pause(failures) {
				return
			}
			failures++
			continue
		}
		failures = 0
		e.mu.Lock()
		if !e.scanAgain || e.phase != phaseRunning {
			e.scanning = false
			e.mu.Unlock()
			return
		}
		e.mu.Unlock()
	}
}
