package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"switchhook/gateway/hook"
)

// Options say what an Engine works with. Queue, Lookup and Senders are
// required; everything else has a default.
type Options struct {
	// Queue is where deliveries are claimed and settled.
	Queue Queue
	// Lookup returns a subscription as it is now. It returns false for one
	// that does not exist or is disabled. It is called for every attempt, with
	// the engine's lock held: it must be quick and must not call the engine.
	Lookup func(subscription string) (*hook.Subscription, bool)
	// Senders are the senders by type of destination. The engine owns them:
	// Stop closes them.
	Senders map[string]Sender
	// Now is the clock that due times are compared with; default time.Now. It
	// may jump: waiting is done on timers that are checked against it again.
	Now func() time.Time
	// Random returns a number in [0,1), for jitter; default math/rand/v2. It
	// is called from many goroutines.
	Random func() float64
	// Logger; default slog.Default().
	Logger *slog.Logger
	// Observer is told what happens; default NopObserver.
	Observer Observer
	// Disabled is called after Queue.Disable succeeded for a subscription
	// whose receiver is gone. When it returns, Lookup must no longer return
	// the subscription. May be nil.
	Disabled func(subscription, reason string)

	// BreakerFailures is how many attempts in a row must fail before a
	// destination's circuit breaker opens; default 10. A receiver that answers
	// with a status below 500, other than 408 and 429, is up: that is no such
	// failure. Deliveries that wait for a breaker are not attempted.
	BreakerFailures int
	// BreakerOpen is how long it stays open before one attempt probes the
	// destination; default 5 s.
	BreakerOpen time.Duration
}

// Observer is told what the engine does; meant for metrics and live views. Its
// methods are called from many goroutines, must return quickly and must not
// call the engine. Embed NopObserver to implement only some.
type Observer interface {
	// Attempted: an attempt ended; next is what becomes of the delivery.
	Attempted(sub *hook.Subscription, d *hook.Delivery, attempt hook.Attempt, next hook.DeliveryState)
	// Settled: one call of Queue.Settle wrote n settlements and took this long.
	Settled(n int, took time.Duration)
	// Breaker: the circuit breaker of a destination changed to "closed", "open" or "half-open".
	Breaker(subscription, state string)
	// QueueFailed: a call of the Queue failed; op is its name, such as "claim".
	QueueFailed(op string, err error)
}

// NopObserver is an Observer that does nothing.
type NopObserver struct{}

// Attempted does nothing.
func (NopObserver) Attempted(*hook.Subscription, *hook.Delivery, hook.Attempt, hook.DeliveryState) {}

// Settled does nothing.
func (NopObserver) Settled(int, time.Duration) {}

// Breaker does nothing.
func (NopObserver) Breaker(string, string) {}

// QueueFailed does nothing.
func (NopObserver) QueueFailed(string, error) {}

// State is where the deliveries of one subscription stand in memory.
type State struct {
	// InFlight attempts are under way, Buffered deliveries are in memory
	// waiting for one, and Unsettled attempts are over but not yet written.
	InFlight, Buffered, Unsettled int
	// Breaker is "closed", "open" or "half-open".
	Breaker string
	// Waiting says what holds back deliveries that are due: "" for nothing,
	// "breaker", "rate", "retry-after", or "store" (attempts cannot be recorded).
	Waiting string
	// NextDue is when the next attempt that the engine knows of may begin;
	// zero where it knows of none.
	NextDue time.Time
	// LastError and LastClass are those of the last attempt that failed,
	// LastErrorAt is when it ended. They are kept while the engine has work
	// for the subscription, and about a minute longer.
	LastError, LastClass string
	LastErrorAt          time.Time
}

// Totals are sums over all subscriptions.
type Totals struct {
	// Lanes is the number of subscriptions that the engine holds anything for.
	Lanes, InFlight, Buffered, Unsettled int
	// Bytes is the size of the payloads in memory, those in flight included.
	Bytes int64
}

// What the engine keeps in memory. A destination that takes nothing holds at
// most one lane's worth; what does not fit waits in the store.
const (
	laneDeliveries  = 512
	laneBytes       = 8 << 20   // at most, and
	laneShare       = 128 << 20 // divided by the number of lanes that hold anything, but
	laneFloor       = 64 << 10  // not less than this
	lowWater        = 128       // claim more when a lane's buffer is down to this
	claimLimit      = 128
	claimers        = 4
	settleLimit     = 256
	maxUnsettled    = 4096
	heldRetryAfter  = time.Minute // longest time that a Retry-After holds a whole lane
	linger          = time.Minute // how long an idle lane is remembered
	recheck         = 15 * time.Second
	minBackoff      = 100 * time.Millisecond
	maxBackoff      = 5 * time.Second
	settleGrace     = 5 * time.Second // for the last settlements, after Stop's context has ended
	defaultTimeout  = 15 * time.Second
	defaultFailures = 10
	defaultOpen     = 5 * time.Second
	clockBatch      = 256 // lanes advanced by the clock in one hold of the lock
)

type phase uint8

const (
	phaseNew phase = iota
	phaseRunning
	phaseStopping
)

// Engine brings deliveries to their destinations. All methods may be called
// from any goroutine.
//
// One lock guards everything below it; it is held for short computations only,
// never while calling the Queue or a Sender.
type Engine struct {
	o     Options
	epoch time.Time // zero of the monotonic times in lanes

	attemptCtx  context.Context // of every attempt
	cutAttempts context.CancelFunc
	loopCtx     context.Context // of the calls to the Queue
	endLoops    context.CancelFunc
	attempts    sync.WaitGroup // goroutines that make attempts
	settlers    sync.WaitGroup
	loops       sync.WaitGroup // clock, claimers, scanner
	clockC      chan struct{}  // the head of an agenda changed
	stopping    chan struct{}  // closed when phase becomes stopping
	stopped     chan struct{}  // closed when Stop is done

	mu         sync.Mutex
	phase      phase
	stopCalled bool
	lanes      map[string]*lane
	dues       agenda // lanes by the time their next delivery is due
	timers     agenda // lanes by the time they want to be advanced
	claims     fifo   // lanes that want to claim
	claiming   int    // claimers running
	results    []*result
	settling   bool // a settler is running
	failing    bool // the last Settle failed
	held       []*lane
	scanning   bool // a scanner is running
	scanAgain  bool
	totals     Totals
	holders    int             // lanes that hold payloads
	cut        int             // attempts cut off by Stop
	lost       int             // attempts that Stop could not settle
	broken     map[string]bool // operations of the Queue whose last call failed
	releases   []release
	later      []func() // run when the lock is given up
}

// release is leases to be ended, and when the deliveries are due.
type release struct {
	subscription string
	due          time.Time
	ids          []string
}

// New returns an engine that has not started.
func New(o Options) *Engine {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Observer == nil {
		o.Observer = NopObserver{}
	}
	if o.BreakerFailures <= 0 {
		o.BreakerFailures = defaultFailures
	}
	if o.BreakerOpen <= 0 {
		o.BreakerOpen = defaultOpen
	}
	return &Engine{
		o:        o,
		epoch:    time.Now(),
		lanes:    map[string]*lane{},
		dues:     agenda{kind: byDue},
		timers:   agenda{kind: byTimer},
		broken:   map[string]bool{},
		clockC:   make(chan struct{}, 1),
		stopping: make(chan struct{}),
		stopped:  make(chan struct{}),
	}
}

// Start begins to deliver: what is due in the Queue, and what is offered. It
// returns at once; Stop must be called. When ctx ends, attempts under way are
// cut off and no new ones begin. It fails when called twice.
func (e *Engine) Start(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.phase != phaseNew {
		return errors.New("start delivery engine: it was started or stopped before")
	}
	e.phase = phaseRunning
	e.attemptCtx, e.cutAttempts = context.WithCancel(context.WithoutCancel(ctx))
	e.loopCtx, e.endLoops = context.WithCancel(context.WithoutCancel(ctx))
	e.loops.Add(1)
	go e.clock(ctx)
	e.scan()
	return nil
}

// Stop begins no new attempts, waits for those under way until ctx ends, then
// cuts them off, settles what is over, ends all leases and closes the senders.
// It returns an error when attempts were cut off or could not be settled:
// their deliveries will be attempted again after a restart.
func (e *Engine) Stop(ctx context.Context) error {
	e.mu.Lock()
	first, started := !e.stopCalled, e.phase != phaseNew
	e.stopCalled = true
	e.beginStop()
	e.unlock()
	if !first {
		select {
		case <-e.stopped:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("stop delivery engine: %w", context.Cause(ctx))
		}
	}
	defer close(e.stopped)
	if !started {
		return e.closeSenders()
	}

	uncut := context.AfterFunc(ctx, e.cutAttempts)
	e.attempts.Wait()
	uncut()
	e.cutAttempts()

	// What is over is settled even if ctx has ended, in a moment of its own.
	settled := make(chan struct{})
	go func() {
		e.settlers.Wait()
		close(settled)
	}()
	select {
	case <-settled:
	case <-ctx.Done():
		select {
		case <-settled:
		case <-time.After(settleGrace):
		}
	}
	e.endLoops()
	<-settled
	e.loops.Wait()

	err := e.closeSenders()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cut > 0 {
		err = errors.Join(err, fmt.Errorf("stop delivery engine: %d attempts were cut off, and will be made again", e.cut))
	}
	if e.lost > 0 {
		err = errors.Join(err, fmt.Errorf("stop delivery engine: %d attempts could not be recorded, and will be made again", e.lost))
	}
	return err
}

// beginStop ends the beginning of attempts. The lock is held.
func (e *Engine) beginStop() {
	if e.phase == phaseStopping {
		return
	}
	e.phase = phaseStopping
	close(e.stopping)
	for _, l := range e.lanes {
		e.empty(l)
	}
}

func (e *Engine) closeSenders() error {
	var err error
	for kind, s := range e.o.Senders {
		if cerr := s.Close(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("close %s sender: %w", kind, cerr))
		}
	}
	return err
}

// Offer takes over the deliveries of a record that was just appended, with
// their leases; those that are not due yet it notes, those that are Waiting it
// passes over. It never blocks, and keeps the elements of ds but not ds. What
// it has no room for it releases, and claims it when there is.
func (e *Engine) Offer(ds []*hook.Delivery) {
	var refused []*hook.Delivery
	e.mu.Lock()
	for _, d := range ds {
		if d.State != hook.Pending {
			continue
		}
		// With a first delay only the store knows whether the delivery was due
		// when it was appended, and so leased. Claiming it settles that.
		if delayed := d.DueAt.After(d.ReceivedAt); delayed || !e.accept(d) {
			refused = append(refused, d)
		}
	}
	e.unlock()
	for _, d := range refused {
		e.giveBack(release{d.Subscription, d.DueAt, []string{d.ID}})
	}
}

// accept takes a leased delivery into its lane. The lock is held.
func (e *Engine) accept(d *hook.Delivery) bool {
	if e.phase != phaseRunning {
		return false
	}
	sub, ok := e.o.Lookup(d.Subscription)
	if !ok || sub.Paused {
		return false
	}
	l := e.lane(d.Subscription)
	size := int64(len(d.Event.Payload))
	// While older deliveries wait in the store, newer ones go there too, or
	// the older ones would wait for as long as newer ones keep coming.
	if l.gone || l.overflow || !e.room(l, size) {
		return false
	}
	e.push(l, d)
	e.advance(l)
	return true
}

// giveBack ends leases, and sees to it that the deliveries are claimed when
// there is room. The lock is not held.
func (e *Engine) giveBack(r release) {
	e.o.Queue.Release(r.ids...)
	e.mu.Lock()
	defer e.unlock()
	if e.phase != phaseRunning {
		return
	}
	l := e.lane(r.subscription)
	if r.due.After(e.o.Now()) {
		e.dueAt(l, r.due)
	} else {
		l.due = true
	}
	e.advance(l)
}

// Wake says that a subscription may have deliveries that are due: after a
// replay, or when it was resumed or enabled.
func (e *Engine) Wake(subscription string) {
	e.mu.Lock()
	defer e.unlock()
	if e.phase != phaseRunning {
		return
	}
	l := e.lane(subscription)
	l.gone = false
	l.due = true
	e.advance(l)
}

// Reload says that any number of subscriptions changed. The engine applies
// their limits as they are now, gives back the deliveries of those that can no
// longer be sent to, and looks for deliveries of those that can. It returns at once.
func (e *Engine) Reload() {
	e.mu.Lock()
	defer e.unlock()
	if e.phase == phaseRunning {
		e.scan()
	}
}

// State returns where one subscription stands.
func (e *Engine) State(subscription string) State {
	e.mu.Lock()
	defer e.unlock()
	l := e.lanes[subscription]
	if l == nil {
		return State{Breaker: "closed"}
	}
	return e.state(l)
}

// Totals returns sums over all subscriptions. It costs next to nothing.
func (e *Engine) Totals() Totals {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.totals
	t.Lanes = len(e.lanes)
	return t
}

// unlock gives up the lock, and then does what could not be done under it.
func (e *Engine) unlock() {
	releases, later := e.releases, e.later
	e.releases, e.later = nil, nil
	e.mu.Unlock()
	for _, f := range later {
		f()
	}
	for _, r := range releases {
		e.giveBack(r)
	}
}

// sinceEpoch is a monotonic time.
func (e *Engine) sinceEpoch() int64 { return int64(time.Since(e.epoch)) }

// queueResult notes whether a call of the Queue failed. It logs the first
// failure of a kind and its end, not what comes between. It returns err.
func (e *Engine) queueResult(op string, err error) error {
	if err != nil && e.loopCtx.Err() != nil {
		return err // the engine stops
	}
	e.mu.Lock()
	changed := e.broken[op] != (err != nil)
	e.broken[op] = err != nil
	e.mu.Unlock()
	if err != nil {
		e.o.Observer.QueueFailed(op, err)
	}
	if changed && err != nil {
		e.o.Logger.Error("store fails; deliveries wait until it works again", "operation", op, "error", err)
	} else if changed {
		e.o.Logger.Info("store works again", "operation", op)
	}
	return err
}

// pause waits for the n-th time (from 0) after a failure, longer each time. It
// returns false when the engine stops.
func (e *Engine) pause(n int) bool {
	t := time.NewTimer(min(minBackoff<<min(n, 10), maxBackoff))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-e.stopping:
		return false
	}
}
