package deliver

import (
	"context"
	"log/slog"
	"time"

	"switchhook/gateway/hook"
)

// Options say what an Engine works with. Queue, Lookup and Senders are
// required; everything else has a default.
type Options struct {
	// Queue is where deliveries are claimed and settled.
	Queue Queue
	// Lookup returns a subscription as it is now. It returns false for one that does not
	// exist or is disabled. It is called for every attempt and with the
	// engine's lock held: it must be quick and must not call the engine.
	Lookup func(subscription string) (*hook.Subscription, bool)
	// Senders are the senders by type of destination. The engine owns them: Stop closes them.
	Senders map[string]Sender
	// Now is the clock that due times are compared with; default time.Now.
	Now func() time.Time
	// Random returns a number in [0,1), for jitter; default math/rand/v2.
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
	// destination's circuit breaker opens; default 10.
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
	// Waiting says why nothing is sent although something is due: "",
	// "breaker", "rate", "retry-after", "store" (attempts cannot be recorded).
	Waiting string
	// NextDue is when the next attempt known to the engine may begin; zero: none is known.
	NextDue time.Time
	// LastError and LastClass are those of the last failed attempt since the
	// engine began to work on this subscription, at LastErrorAt.
	LastError, LastClass string
	LastErrorAt          time.Time
}

// Totals are sums over all subscriptions.
type Totals struct {
	// Lanes is the number of subscriptions that the engine holds anything for.
	Lanes, InFlight, Buffered, Unsettled int
	// BufferedBytes is the size of the payloads in memory.
	BufferedBytes int64
}

// Engine brings deliveries to their destinations. All methods may be called
// from any goroutine.
type Engine struct {
	o Options
}

// New returns an engine that has not started.
func New(o Options) *Engine { return &Engine{o: o} }

// Start begins to deliver: what is due in the Queue, and what is offered. It
// returns at once; Stop must be called. When ctx ends, attempts under way are
// cut off and no new ones begin. Start may be called once.
func (e *Engine) Start(ctx context.Context) error { return nil }

// Stop begins no new attempts, waits for those under way until ctx ends, then
// cuts them off, settles what is over, releases all leases and closes the
// senders. It returns an error when attempts were cut off or attempts that
// were over could not be settled (both are repeated after a restart).
func (e *Engine) Stop(ctx context.Context) error { return nil }

// Offer takes over the deliveries of a record that was just appended, with the
// leases on those that are due. It never blocks and keeps ds' elements. What
// the engine has no room for it releases, to claim it later.
func (e *Engine) Offer(ds []*hook.Delivery) {}

// Wake says that a subscription may have deliveries that are due: after a
// replay, or when it was resumed or enabled.
func (e *Engine) Wake(subscription string) {}

// Reload says that subscriptions changed.
func (e *Engine) Reload() {}

// State returns where one subscription stands.
func (e *Engine) State(subscription string) State { return State{Breaker: "closed"} }

// Totals returns sums over all subscriptions; cheap enough for every scrape.
func (e *Engine) Totals() Totals { return Totals{} }
