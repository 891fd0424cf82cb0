// Package deliver brings deliveries to their destinations: it claims what is
// due, sends it, and settles each attempt, keeping destinations from slowing
// one another. Senders for the kinds of destination are in deliver/destination.
//
// app makes and owns the engine; ingest offers it new deliveries.
//
// A delivery is made at least once. It is made twice only when the process
// ended, or the Queue failed for good, between an attempt and its settlement:
// a delivery in memory is leased, so nobody else has it.
//
// For every subscription that there is work for the engine keeps a lane: a few
// deliveries in memory, the attempts under way (at most the destination's
// concurrency), and what is known of the destination. What does not fit stays
// in the Queue and is claimed in batches. Lanes share nothing but the claimers
// and the settler, which never wait for a destination, and memory, of which
// each has its share.
package deliver

import (
	"context"
	"time"

	"switchhook/gateway/hook"
)

// Queue is what the engine needs of a store. Its contract is that of store.Store.
type Queue interface {
	Claim(ctx context.Context, subscription string, now time.Time, limit int) ([]*hook.Delivery, error)
	Release(deliveryIDs ...string)
	Settle(ctx context.Context, settlements ...hook.Settlement) error
	NextDue(ctx context.Context, yield func(subscription string, due time.Time) bool) error
	NextDueOf(ctx context.Context, subscription string) (due time.Time, ok bool, err error)
	Disable(ctx context.Context, id, reason string) error
}

// Sender brings one delivery to one kind of destination.
type Sender interface {
	// Send makes one attempt within ctx's deadline and blocks until it is
	// over. The delivery's event carries the payload. It never panics and
	// never keeps d.
	Send(ctx context.Context, sub *hook.Subscription, d *hook.Delivery) Result
	// Close releases connections; no Send is under way.
	Close() error
}

// Result is the outcome of one attempt as a Sender saw it.
type Result struct {
	Status   int
	Class    string // of hook.Attempt; "ok" for success
	Error    string
	Response []byte
	// RetryAfter is what the receiver asked for; 0: nothing.
	RetryAfter time.Duration
	// Permanent: trying again cannot help (e.g. the payload is larger than the broker takes).
	Permanent bool
	// Gone: the receiver wants nothing of this subscription any more (410).
	Gone bool
}
