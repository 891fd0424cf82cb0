package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/time/rate"

	"switchhook/gateway/hook"
)

// lane is what the engine holds for one subscription that it has work for.
// Everything in it is guarded by the engine's lock.
type lane struct {
	id string
	// buffer[head:] are leased deliveries that wait for an attempt, in order.
	buffer []*hook.Delivery
	head   int
	bytes  int64 // payloads buffered and in flight
	size   int64 // running mean of payload sizes

	inFlight, unsettled int

	// due: the store may have deliveries that are due.
	// overflow: more waits in the store than there was room for, so that newer
	// ones must go there too until it has been claimed from.
	due, overflow bool
	wants         bool // in Engine.claims
	claiming      bool
	held          bool // in Engine.held
	gone          bool // the receiver answered 410, to be disabled
	touched       bool // used by the settler

	key   [2]int64 // see agenda
	place [2]int

	// What is known about the destination; nil before the first attempt.
	health *health
}

// health is how a destination fares. It lasts as long as its lane.
type health struct {
	breaker   *gobreaker.TwoStepCircuitBreaker[struct{}]
	openUntil int64 // monotonic, while the breaker is open
	limiter   *rate.Limiter
	holdUntil int64 // monotonic: the receiver asked for a pause
	waiting   string
	used      int64 // monotonic time of the last attempt's end

	lastError, lastClass string
	lastErrorAt          time.Time
}

// errNeutral says that an attempt tells nothing about its destination.
var errNeutral = errors.New("not the destination's doing")

// errFailed says that the destination failed.
var errFailed = errors.New("the destination failed")

// lane returns the lane of a subscription, a new one where there is none.
func (e *Engine) lane(subscription string) *lane {
	l := e.lanes[subscription]
	if l == nil {
		l = &lane{id: subscription}
		e.lanes[subscription] = l
	}
	return l
}

func (l *lane) buffered() int { return len(l.buffer) - l.head }

// idle: there is nothing to do, and nothing to wait for.
func (l *lane) idle() bool {
	return l.buffered() == 0 && l.inFlight == 0 && l.unsettled == 0 &&
		!l.due && !l.overflow && !l.claiming && l.key[byDue] == 0
}

// share is how many bytes of payloads a lane may hold. All lanes share alike, so
// that some with much in memory that does not move leave room for others.
func (e *Engine) share() int64 {
	return min(laneBytes, max(laneFloor, laneShare/int64(max(e.holders, 1))))
}

// room reports whether l may hold another payload of this size. A lane that
// holds nothing always may.
func (e *Engine) room(l *lane, size int64) bool {
	if l.buffered() == 0 && l.inFlight == 0 {
		return true
	}
	return l.buffered() < laneDeliveries && l.bytes+size <= e.share()
}

// hold accounts for payloads that come into memory, or with a negative size
// that go.
func (e *Engine) hold(l *lane, size int64) {
	before := l.bytes
	l.bytes += size
	e.totals.Bytes += size
	if before == 0 && l.bytes > 0 {
		e.holders++
	} else if before > 0 && l.bytes == 0 {
		e.holders--
	}
}

func (e *Engine) push(l *lane, d *hook.Delivery) {
	size := int64(len(d.Event.Payload))
	l.buffer = append(l.buffer, d)
	if l.size == 0 {
		l.size = size
	}
	l.size += (size - l.size) / 8
	e.hold(l, size)
	e.totals.Buffered++
}

func (e *Engine) pop(l *lane) *hook.Delivery {
	d := l.buffer[l.head]
	l.buffer[l.head] = nil
	l.head++
	if l.head == len(l.buffer) {
		l.buffer, l.head = l.buffer[:0], 0
		if cap(l.buffer) > lowWater && l.inFlight == 0 {
			l.buffer = nil
		}
	} else if l.head >= laneDeliveries {
		l.buffer, l.head = slices.Delete(l.buffer, 0, l.head), 0
	}
	e.totals.Buffered--
	return d
}

// empty gives the buffer of l back to the store.
func (e *Engine) empty(l *lane) {
	n := l.buffered()
	if n == 0 {
		return
	}
	r := release{subscription: l.id, ids: make([]string, 0, n)}
	for _, d := range l.buffer[l.head:] {
		r.ids = append(r.ids, d.ID)
		e.hold(l, -int64(len(d.Event.Payload)))
	}
	e.totals.Buffered -= n
	l.buffer, l.head = nil, 0
	e.releases = append(e.releases, r)
}

// drop forgets l.
func (e *Engine) drop(l *lane) {
	e.dues.set(l, 0)
	e.timers.set(l, 0)
	delete(e.lanes, l.id)
}

// advance does for l what can be done now: begin attempts, ask for a claim,
// ask to be advanced again, or go. It is called after whatever may have changed
// one of these. The lock is held.
func (e *Engine) advance(l *lane) {
	if e.phase != phaseRunning || e.lanes[l.id] != l {
		return
	}
	sub, ok := e.o.Lookup(l.id)
	if !ok || sub.Paused || l.gone {
		// Wake or Reload looks into the store when that changes.
		e.empty(l)
		l.due, l.overflow = false, false
		e.dues.set(l, 0)
		if l.idle() {
			e.drop(l)
		}
		return
	}
	for {
		d, done := e.take(l, sub)
		if d == nil {
			break
		}
		e.attempts.Add(1)
		go e.work(l, sub, d, done)
	}
	e.refill(l)
	if l.idle() {
		left := int64(0)
		if l.health != nil {
			left = l.health.used + int64(linger) - e.sinceEpoch()
		}
		if left <= 0 {
			e.drop(l)
		} else {
			e.advanceIn(l, time.Duration(left))
		}
	}
}

// take takes a delivery from the buffer for an attempt that may begin now; nil
// when none may. done must be called with the outcome for the breaker.
func (e *Engine) take(l *lane, sub *hook.Subscription) (d *hook.Delivery, done func(error)) {
	if l.buffered() == 0 || l.inFlight >= max(sub.Destination.Concurrency, 1) {
		return nil, nil
	}
	if done = e.admit(l, sub); done == nil {
		return nil, nil
	}
	d = e.pop(l)
	l.inFlight++
	e.totals.InFlight++
	return d, done
}

// admit asks whether an attempt may begin: whether it can be recorded, and
// whether the destination takes it. When it may not, advance will be called again when
// that may have changed.
func (e *Engine) admit(l *lane, sub *hook.Subscription) func(error) {
	h := l.health
	if h == nil {
		h = &health{}
		h.breaker = e.breaker(l.id, h)
		l.health = h
	}
	h.waiting = ""
	now := time.Now()
	mono := int64(now.Sub(e.epoch))
	switch {
	case e.failing || e.totals.Unsettled >= maxUnsettled:
		h.waiting = "store"
		if !l.held {
			l.held = true
			e.held = append(e.held, l)
		}
		return nil
	case h.holdUntil > mono:
		h.waiting = "retry-after"
		e.advanceIn(l, time.Duration(h.holdUntil-mono))
		return nil
	}
	done, err := h.breaker.Allow()
	if err != nil {
		h.waiting = "breaker"
		if errors.Is(err, gobreaker.ErrOpenState) {
			e.advanceIn(l, time.Duration(h.openUntil-mono))
		} // else a probe is under way, and its end advances the lane
		return nil
	}
	if wait := h.limit(now, sub.Destination.RatePerSecond); wait > 0 {
		done(errNeutral)
		h.waiting = "rate"
		e.advanceIn(l, wait)
		return nil
	}
	return done
}

// breaker makes the circuit breaker of a destination. All its methods are
// called under the engine's lock, and so is OnStateChange.
func (e *Engine) breaker(subscription string, h *health) *gobreaker.TwoStepCircuitBreaker[struct{}] {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1,
		Timeout:     e.o.BreakerOpen,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return c.ConsecutiveFailures >= uint32(e.o.BreakerFailures)
		},
		IsSuccessful: func(err error) bool { return err == nil },
		IsExcluded:   func(err error) bool { return errors.Is(err, errNeutral) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				h.openUntil = e.sinceEpoch() + int64(e.o.BreakerOpen) + int64(time.Millisecond)
			}
			lastError := h.lastError
			e.later = append(e.later, func() {
				e.o.Observer.Breaker(subscription, to.String())
				switch {
				case to == gobreaker.StateOpen && from == gobreaker.StateClosed:
					e.o.Logger.Warn("destination fails; its deliveries wait",
						"subscription", subscription, "failures", e.o.BreakerFailures, "error", lastError)
				case to == gobreaker.StateClosed:
					e.o.Logger.Info("destination works again", "subscription", subscription)
				}
			})
		},
	})
}

// limit takes a token for one attempt, or returns how long there is none.
func (h *health) limit(now time.Time, perSecond float64) time.Duration {
	if perSecond <= 0 {
		h.limiter = nil
		return 0
	}
	if h.limiter == nil || h.limiter.Limit() != rate.Limit(perSecond) {
		// The burst lets high rates be reached with timers of a millisecond,
		// and bounds a second's attempts to a tenth more than the rate.
		h.limiter = rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond/10)))
	}
	if h.limiter.AllowN(now, 1) {
		return 0
	}
	missing := 1 - h.limiter.TokensAt(now)
	seconds := min(max(missing, 0)/perSecond, 24*3600)
	return time.Duration(math.Ceil(seconds*float64(time.Second))) + time.Microsecond
}

// work makes attempts for l, one after the other, as long as it may.
func (e *Engine) work(l *lane, sub *hook.Subscription, d *hook.Delivery, done func(error)) {
	defer e.attempts.Done()
	for d != nil {
		r := e.attempt(l, sub, d)
		e.mu.Lock()
		e.finish(r, d, done)
		d = nil
		if e.phase == phaseRunning && !l.gone {
			var ok bool
			if sub, ok = e.o.Lookup(l.id); ok && !sub.Paused {
				d, done = e.take(l, sub)
			}
		}
		e.advance(l)
		e.unlock()
	}
}

// result is an attempt that is over, on its way to the Queue.
type result struct {
	l          *lane
	settlement hook.Settlement
	ordered    bool
	cut        bool   // by Stop: it never happened
	disable    string // reason to disable the subscription, "" for none
	outcome    error  // for the breaker
	hold       time.Duration
}

// attempt makes one attempt and decides what becomes of the delivery. The lock
// is not held.
func (e *Engine) attempt(l *lane, sub *hook.Subscription, d *hook.Delivery) *result {
	timeout := sub.Destination.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	at, began := e.o.Now(), time.Now()
	ctx := &attemptContext{engine: e.attemptCtx, deadline: began.Add(timeout)}
	res := e.send(ctx, sub, d)
	ctx.end()
	took := time.Since(began)

	r := &result{l: l, ordered: d.Ordered}
	success := res.Class == "ok"
	if !success && e.attemptCtx.Err() != nil {
		r.cut, r.outcome = true, errNeutral
		return r
	}
	r.settlement.Attempt = hook.Attempt{
		DeliveryID: d.ID, Number: d.Attempts + 1, At: at, Took: took,
		Status: res.Status, Class: res.Class, Error: res.Error, Response: res.Response,
	}
	r.outcome = res.outcome()
	next := &r.settlement.Next
	switch {
	case success:
		*next = hook.Done
		r.settlement.Attempt.Error = ""
	case res.Gone:
		*next = hook.Dead
		r.disable = "receiver answered 410 Gone"
	case res.Permanent:
		*next = hook.Dead
	default:
		var dead bool
		r.settlement.RetryAt, dead = Next(e.o.Now(), d.Attempts+1, e.o.Random(), sub.Destination.Retry, res.RetryAfter)
		*next = hook.Pending
		if dead {
			*next = hook.Dead
		}
		r.hold = min(res.RetryAfter, heldRetryAfter)
	}
	if *next == hook.Dead {
		e.o.Logger.Warn("delivery is dead", "delivery", d.ID, "subscription", l.id,
			"attempts", d.Attempts+1, "class", res.Class, "error", res.Error)
	} else if !success && e.o.Logger.Enabled(context.Background(), slog.LevelDebug) {
		e.o.Logger.Debug("attempt failed", "delivery", d.ID, "subscription", l.id,
			"attempts", d.Attempts+1, "class", res.Class, "error", res.Error, "retryAt", r.settlement.RetryAt)
	}
	e.o.Observer.Attempted(sub, d, r.settlement.Attempt, *next)
	return r
}

// send calls the sender, and survives it.
func (e *Engine) send(ctx context.Context, sub *hook.Subscription, d *hook.Delivery) (res Result) {
	defer func() {
		if p := recover(); p != nil {
			e.o.Logger.Error("sender panicked", "destination", sub.Destination.Type, "delivery", d.ID,
				"panic", p, "stack", string(debug.Stack()))
			res = Result{Class: "gateway", Error: "internal error of the gateway; see its log"}
		}
	}()
	s := e.o.Senders[sub.Destination.Type]
	if s == nil {
		return Result{Class: "gateway", Error: fmt.Sprintf("there is no destination type %q", sub.Destination.Type)}
	}
	return s.Send(ctx, sub, d)
}

// outcome is what a result says about the destination.
func (r *Result) outcome() error {
	switch {
	case r.Class == "ok":
		return nil
	case r.Class == "gateway" || r.Permanent:
		return errNeutral
	case r.Status >= 300 && r.Status < 500 && r.Status != http.StatusRequestTimeout && r.Status != http.StatusTooManyRequests:
		return nil // it is up, and refuses this delivery
	}
	return errFailed
}

// finish accounts for an attempt. The lock is held.
func (e *Engine) finish(r *result, d *hook.Delivery, done func(error)) {
	l, h := r.l, r.l.health
	l.inFlight--
	e.hold(l, -int64(len(d.Event.Payload)))
	e.totals.InFlight--
	h.used = e.sinceEpoch()
	if a := &r.settlement.Attempt; a.Error != "" {
		h.lastError, h.lastClass, h.lastErrorAt = a.Error, a.Class, a.At.Add(a.Took)
	}
	done(r.outcome)
	if r.cut {
		e.cut++
		e.releases = append(e.releases, release{subscription: l.id, ids: []string{d.ID}})
		return
	}
	if r.hold > 0 {
		h.holdUntil = max(h.holdUntil, h.used+int64(r.hold))
	}
	if r.disable != "" {
		l.gone = true
	}
	l.unsettled++
	e.totals.Unsettled++
	e.results = append(e.results, r)
	if !e.settling {
		e.settling = true
		e.settlers.Add(1)
		go e.settler()
	}
}

// state is State. The lock is held.
func (e *Engine) state(l *lane) State {
	s := State{InFlight: l.inFlight, Buffered: l.buffered(), Unsettled: l.unsettled, Breaker: "closed"}
	mono := e.sinceEpoch()
	var wait time.Duration
	if h := l.health; h != nil {
		s.LastError, s.LastClass, s.LastErrorAt = h.lastError, h.lastClass, h.lastErrorAt
		s.Breaker = h.breaker.State().String()
		if s.Buffered > 0 {
			s.Waiting = h.waiting
		}
		switch s.Waiting {
		case "breaker":
			wait = max(time.Duration(h.openUntil-mono), 0)
		case "retry-after":
			wait = max(time.Duration(h.holdUntil-mono), 0)
		}
	}
	switch {
	case s.Buffered > 0 || l.due || l.overflow:
		s.NextDue = e.o.Now().Add(wait)
	case l.key[byDue] != 0:
		s.NextDue = time.Unix(0, l.key[byDue])
	}
	return s
}
