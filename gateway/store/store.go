// Package store keeps what the gateway has accepted: requests, their events,
// deliveries and attempts, integration state, and the subscriptions made at
// run time. It is an interface with a conformance suite (storetest); what is
// underneath differs: store/sqlite is the embedded default, store/memory
// serves fixtures.
//
// Only app opens a store. ingest appends, deliver claims and settles (through
// narrower interfaces of its own), console and cli read.
package store

import (
	"context"
	"errors"
	"time"

	"switchhook/gateway/hook"
)

// Errors a store returns, wrapped; compare with errors.Is.
var (
	// ErrNotFound: there is nothing by that id.
	ErrNotFound = errors.New("not found")
	// ErrFull: the disk is full. Nothing was written; the same call may
	// succeed once there is space.
	ErrFull = errors.New("no space left on the disk")
	// ErrBroken: a write or sync failed in a way after which the state of the file
	// is unknown. Every later write returns it until the process restarts.
	ErrBroken = errors.New("store is broken, restart to recover")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store is closed")
	// ErrConflict: the value is already set and may not be replaced; or a
	// request or event of that id is stored already.
	ErrConflict = errors.New("already set")
	// ErrCursor: the cursor of a list is not one that this store gave out.
	ErrCursor = errors.New("not a cursor of this list")
	// ErrCorrupt: what is on the disk is damaged. A store that finds it when it
	// is opened refuses to open.
	ErrCorrupt = errors.New("store is damaged")
)

// Options are what every store takes.
type Options struct {
	// Now is the clock by which events are duplicates and deliveries are due
	// at once; nil means time.Now.
	Now func() time.Time
	// DedupeWindow is for how long the Key of an event is remembered; 0 means
	// DefaultDedupeWindow.
	DedupeWindow time.Duration
}

// DefaultDedupeWindow is how long the Key of an event is remembered.
const DefaultDedupeWindow = 24 * time.Hour

// MaxPerRequest is how many events, and how many deliveries, one request may
// have in its life, re-runs included.
const MaxPerRequest = 1<<20 - 1

// Store keeps everything durably. All methods may be called from any
// goroutine. A method that writes returns only after what it wrote is durable
// (fsynced), many callers sharing one sync; when it returns an error nothing
// of that call is visible, now or after a restart, except that after
// ErrBroken this is unknown until a restart.
type Store interface {
	// Append commits a request with its events and deliveries in one
	// transaction. It sets Delivery.ID, sets Event.Duplicate where the
	// event's Key was seen for the same workspace, integration and webhook within the dedupe window
	// (deliveries of duplicates are removed from rec.Deliveries and not stored),
	// and sets Delivery.State (Pending, or Waiting behind an earlier one of an
	// ordered subscription) and Delivery.Attempts (0). The window of a Key begins with the
	// event that was not a duplicate. A delivery with a zero DueAt is due at
	// the store's now; one that is Waiting has none. Pending deliveries that are due at once (DueAt not after the
	// store's now) are returned leased to the caller: Claim does not return them until they are
	// settled, released, or the process restarts.
	//
	// The store keeps nothing of rec. Every delivery's Event must be one of rec.Events.
	// A request id that is stored already is ErrConflict. On an error rec is unchanged.
	Append(ctx context.Context, rec *hook.Record) error

	// Claim leases at most limit deliveries of a subscription that are pending,
	// due at now (DueAt not after it) and not leased, earliest due first. They come with their events
	// and payloads. A lease ends with Settle,
	// Release or a restart. The cost does not grow with the backlog. An unknown
	// subscription has nothing to claim.
	Claim(ctx context.Context, subscription string, now time.Time, limit int) ([]*hook.Delivery, error)
	// Release ends leases without an attempt; the deliveries stay as they were.
	// Ids that are not leased are ignored.
	Release(deliveryIDs ...string)
	// Settle records attempts, moves their deliveries and ends their leases. The store gives
	// an attempt its Number and keeps the first 4 KiB of its Response. When an ordered
	// delivery is settled as Done or Dead, the next one of its subscription and selector
	// (the lowest id) becomes Pending, due at the attempt's end (At plus Took), not leased.
	//
	// All settlements of a call are one transaction. A delivery that is no
	// longer stored is passed over. One that became Dead while the attempt ran
	// (DeleteSubscription) stays so when Next is Pending. The leases stay when Settle fails,
	// as it does when an id is none of this store, Next is none of the three, or RetryAt is missing.
	Settle(ctx context.Context, settlements ...hook.Settlement) error
	// NextDue calls yield for every subscription that has pending deliveries
	// not leased, with the time of its earliest, until yield returns false. Used at start, and
	// after a lease-free wake-up. yield may call the store.
	NextDue(ctx context.Context, yield func(subscription string, due time.Time) bool) error
	// NextDueOf returns when the earliest unleased pending delivery of a subscription is
	// due; ok is false where there is none.
	NextDueOf(ctx context.Context, subscription string) (due time.Time, ok bool, err error)

	Reader
	Replayer

	// State returns what integration (workspace/name) remembers; nil map for nothing.
	State(ctx context.Context, integration string) (map[string]string, error)
	// Remember sets one value of an integration's state. Unless replace, a
	// value that is already set to something else is kept and ErrConflict returned.
	Remember(ctx context.Context, integration, key, value string, replace bool) error

	// PutSubscription creates or replaces a subscription made at run time.
	PutSubscription(ctx context.Context, sub *hook.Subscription) error
	// DeleteSubscription forgets one, and that it was disabled; its deliveries stay as they are,
	// but those pending or waiting become dead. ErrNotFound when there is no such
	// subscription made at run time.
	DeleteSubscription(ctx context.Context, id string) error
	// Subscriptions calls yield for every subscription made at run time, in
	// order of id, until yield returns false. yield may call the store. The
	// subscription is its own until it returns, then it may be overwritten by the next one; what is in it
	// (strings, slices) stays.
	Subscriptions(ctx context.Context, yield func(*hook.Subscription) bool) error
	// Disable marks a subscription (of either origin) as disabled with a reason
	// ("receiver answered 410 Gone"); an empty reason enables it again.
	Disable(ctx context.Context, id, reason string) error
	// Disabled returns the disabled subscriptions with their reasons.
	Disabled(ctx context.Context) (map[string]string, error)

	// AddChange keeps a change that a person made. At least the last 10,000 are kept.
	AddChange(ctx context.Context, c Change) error

	// Sweep deletes at most limit of the oldest requests: those received before the
	// given time, and any as long as the store holds more than maxBytes (0: no bound), with their events and
	// settled deliveries; requests with pending or waiting deliveries stay, and so do
	// Deferred ones, which are still to be handled.
	// It returns how many it deleted; 0 means there is nothing left to do.
	Sweep(ctx context.Context, before time.Time, maxBytes int64, limit int) (int, error)
	// Stats returns sizes and counts, cheaply.
	Stats(ctx context.Context) (Stats, error)
	// Err returns ErrFull or ErrBroken (wrapped, with the cause) while the
	// store does not accept writes, else nil. Cheap: called for every request.
	Err() error
	// Close waits for calls under way, and closes. Every later call returns
	// ErrClosed, a second Close nil.
	Close() error
}

// Reader answers questions about what is stored. Lists are newest first, that
// is in the reverse order of Append, and
// paged by cursor: an opaque string, "" for the first page and after the last.
// Only next == "" says that there is no more: a page may hold fewer than Limit,
// even none, where much had to be looked through. What is appended while
// somebody pages does not shift the pages. Times come back in UTC; empty
// slices may come back nil.
type Reader interface {
	// Request returns the whole record: request, events, deliveries (whose Event
	// points to one of the record's) and attempts.
	Request(ctx context.Context, id string) (*Stored, error)
	// Requests lists summaries.
	Requests(ctx context.Context, q RequestQuery) (page []RequestSummary, next string, err error)
	// Delivery returns one delivery with its event.
	Delivery(ctx context.Context, id string) (*hook.Delivery, []hook.Attempt, error)
	// Deliveries lists deliveries, with their events but without payloads.
	Deliveries(ctx context.Context, q DeliveryQuery) (page []*hook.Delivery, next string, err error)
	// Backlog counts the deliveries of a subscription, each up to most. The cost grows with
	// most, not with what is stored.
	Backlog(ctx context.Context, subscription string, most int) (Backlog, error)
	// Changes lists what AddChange was given; a limit as in RequestQuery.
	Changes(ctx context.Context, cursor string, limit int) (page []Change, next string, err error)
}

// Backlog is how many deliveries of a subscription are not done.
type Backlog struct {
	// Open are pending or waiting.
	Open, Dead int
}

// Change is something that a person changed by way of the admin API.
type Change struct {
	At time.Time
	// Action is what was done, such as "subscription.put", and Target to what: an id, or "".
	Action, Target string
	// Detail is one line more, without secrets; may be "".
	Detail string
	// Remote is the caller's IP address, Agent the beginning of its User-Agent.
	Remote, Agent string
}

// Stored is a record as it is read back.
type Stored struct {
	hook.Record
	// Attempts of all deliveries, in order of time.
	Attempts []hook.Attempt
}

// RequestQuery narrows a list of requests; zero fields do not.
type RequestQuery struct {
	Workspace, Integration, Webhook, Connector string
	Outcome                                    hook.Outcome
	// MinStatus and MaxStatus bound the status of the answer; both 0: any.
	MinStatus, MaxStatus int
	// Text must occur in the request's body, id, path or in an event's selector, byte for byte.
	// A Text that is the whole id of a stored request finds that one alone.
	Text string
	// After and Before bound ReceivedAt: After <= ReceivedAt < Before.
	After, Before time.Time
	Cursor        string
	// Limit is 1 to 1000, larger means 1000; 0 means 100.
	Limit int
}

// RequestSummary is a line of a list of requests.
type RequestSummary struct {
	ID                                         string
	Workspace, Integration, Webhook, Connector string
	Method, Path                               string
	Outcome                                    hook.Outcome
	Status                                     int
	ReceivedAt                                 time.Time
	HandlerTime                                time.Duration
	BodySize                                   int
	Events, Deliveries, Dead                   int
}

// DeliveryQuery narrows a list of deliveries; zero fields do not.
type DeliveryQuery struct {
	Subscription string
	// Selector is an exact selector or, with a trailing "**", a prefix.
	Selector  string
	State     hook.DeliveryState
	RequestID string
	// After and Before bound the request's arrival as in RequestQuery; Cursor and Limit too are as there.
	After, Before time.Time
	Cursor        string
	Limit         int
	// Oldest: in the order of Append, in place of newest first. Cursors of one order are none of the
	// other. What is appended while somebody pages comes on the last page.
	Oldest bool
}

// Replayer makes settled deliveries pending again.
type Replayer interface {
	// Replay makes one delivery pending, due at now, its attempts counted anew.
	// A delivery that is pending already is made due at now. An ordered one becomes
	// (or stays) Waiting while another of its subscription and selector is pending or waiting before it.
	// It is not leased by this.
	Replay(ctx context.Context, deliveryID string, now time.Time) (subscription string, err error)
	// ReplayRecord adds the events and deliveries of a re-run of a stored
	// request (which was Failed or Deferred, or is re-run on purpose) and
	// replaces its outcome, failure, console, notes and handler time; the rest of the
	// request stays as it was. Event ids must be new (else ErrConflict). It sets and leases what
	// Append does; Keys that were first seen in this same request do not make
	// its new events duplicates.
	ReplayRecord(ctx context.Context, rec *hook.Record) error
}

// Stats are figures about the store.
type Stats struct {
	Requests, Events int64
	// Pending counts deliveries that are pending or waiting.
	Pending, Dead int64
	// OldestPending is when the request of the oldest of those pending or waiting arrived; zero: none.
	OldestPending time.Time
	// Bytes is what the store takes, on disk where it has one.
	Bytes         int64
	OldestRequest time.Time // zero: none
}

// PageLimit is the number of entries a list returns at most for the Limit of its query.
func PageLimit(limit int) int {
	switch {
	case limit <= 0:
		return 100
	case limit > 1000:
		return 1000
	}
	return limit
}
