package deliver

import (
	"time"

	"switchhook/gateway/hook"
)

// settler writes results until there are none: one at once when there is one,
// and all that came in the meantime after that.
func (e *Engine) settler() {
	defer e.settlers.Done()
	var batch []*result
	for {
		e.mu.Lock()
		n := min(len(e.results), settleLimit)
		if n == 0 {
			e.settling = false
			e.results = nil
			e.unlock()
			return
		}
		batch = append(batch[:0], e.results[:n]...)
		clear(e.results[:n])
		e.results = e.results[n:]
		e.unlock()

		// Not reused: a Settle that was given up may still read it.
		settlements := make([]hook.Settlement, 0, n)
		for _, r := range batch {
			settlements = append(settlements, r.settlement)
		}
		e.settled(batch, e.settle(batch, settlements))
		clear(batch)
	}
}

// settle writes a batch, and tries until it is written or the engine stops.
// Meanwhile no attempts begin: they could not be recorded, and would be
// repeated after a restart.
func (e *Engine) settle(batch []*result, settlements []hook.Settlement) error {
	last := false
	for failures := 0; ; failures++ {
		err := e.disable(batch)
		if err == nil {
			began := time.Now()
			err = e.queueResult("settle", e.o.Queue.Settle(e.loopCtx, settlements...))
			if err == nil {
				e.o.Observer.Settled(len(batch), time.Since(began))
				return nil
			}
		}
		e.mu.Lock()
		e.failing = true
		e.unlock()
		if last || e.loopCtx.Err() != nil {
			return err
		}
		// When the engine stops there is one more try, at once.
		last = !e.pause(failures)
	}
}

// disable disables the subscriptions whose receivers are gone.
func (e *Engine) disable(batch []*result) error {
	for _, r := range batch {
		if r.disable == "" {
			continue
		}
		if err := e.queueResult("disable", e.o.Queue.Disable(e.loopCtx, r.l.id, r.disable)); err != nil {
			return err
		}
		e.o.Logger.Warn("subscription is disabled", "subscription", r.l.id, "reason", r.disable)
		if e.o.Disabled != nil {
			e.o.Disabled(r.l.id, r.disable)
		}
		r.disable = ""
	}
	return nil
}

// settled accounts for a batch that was written, or, with an error, given up.
// What is given up stays leased, and comes again after a restart.
func (e *Engine) settled(batch []*result, err error) {
	e.mu.Lock()
	defer e.unlock()
	e.totals.Unsettled -= len(batch)
	lanes := make([]*lane, 0, 16)
	for _, r := range batch {
		l, s := r.l, &r.settlement
		l.unsettled--
		if !l.touched {
			l.touched = true
			lanes = append(lanes, l)
		}
		switch {
		case err != nil:
			e.lost++
		case s.Next == hook.Pending:
			e.dueAt(l, s.RetryAt)
		case r.ordered:
			l.due = true // the next one of its selector
		}
	}
	if err == nil {
		e.failing = false
	}
	for _, l := range lanes {
		l.touched = false
		e.advance(l)
	}
	if len(e.held) > 0 && !e.failing && e.totals.Unsettled < maxUnsettled {
		held := e.held
		e.held = nil
		for _, l := range held {
			l.held = false
			e.advance(l)
		}
	}
}
