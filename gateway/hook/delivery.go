package hook

import (
	"encoding/json"
	"net/netip"
	"time"
)

// Subscription says who wants which events, and where they go. Its JSON, and
// that of its parts, is what stores keep: names do not change, and what is zero is left out.
type Subscription struct {
	// Workspace and Name identify it; see ID.
	Workspace, Name string `json:",omitzero"`
	// Integration and Webhook say whose events: the integration's name in the
	// workspace and the key of the connector's global webhook.
	Integration, Webhook string `json:",omitzero"`
	// Selector is the pattern an event's selector must match: exact, or with
	// * (within a segment) and ** (across segments).
	Selector string `json:",omitzero"`
	// Event and Parameters are set when the subscription names an event of
	// the connector; Webhook and Selector were then computed by its getter.
	Event      string          `json:",omitzero"`
	Parameters json.RawMessage `json:",omitzero"`
	// Filter is the filter in JSON, nil for none.
	Filter json.RawMessage `json:",omitzero"`
	// Destination is where its deliveries go.
	Destination Destination `json:",omitzero"`
	// Ordered: one delivery at a time for each selector, in order of arrival.
	Ordered bool `json:",omitzero"`
	// Paused: events are stored as deliveries, but not sent until it is resumed.
	Paused bool `json:",omitzero"`
}

// ID is "workspace/name", unique in a gateway.
func (s *Subscription) ID() string { return s.Workspace + "/" + s.Name }

// Destination is where deliveries go. Which fields matter depends on Type.
type Destination struct {
	// Type is "http", "stdout", "file", "nats" or "kafka".
	Type string `json:",omitzero"`
	// URL of an http destination; server URL of a nats one.
	URL string `json:",omitzero"`
	// Headers are sent with every http delivery (or as message headers to nats and kafka).
	Headers Headers `json:",omitzero"`
	// Secrets sign http deliveries after the Standard Webhooks specification
	// ("whsec_..." each); the first is the current one, all of them sign, so
	// that receivers can rotate. Empty: unsigned.
	Secrets []string `json:",omitzero"`
	// CloudEvents is "", "binary" or "structured".
	CloudEvents string `json:",omitzero"`
	// Path of a file destination; absolute.
	Path string `json:",omitzero"`
	// Subject of a nats destination, Topic and Brokers of a kafka one. They may
	// contain {selector}, {type} and {workspace}.
	Subject, Topic string   `json:",omitzero"`
	Brokers        []string `json:",omitzero"`
	// Retry says when to try again.
	Retry RetryPolicy `json:",omitzero"`
	// Timeout bounds one attempt, connection included; > 0.
	Timeout time.Duration `json:",omitzero"`
	// Concurrency is how many attempts may run at once; >= 1.
	Concurrency int `json:",omitzero"`
	// RatePerSecond bounds the attempts begun in a second; 0: unbounded.
	RatePerSecond float64 `json:",omitzero"`
	// Allow lists networks that the guard against private addresses lets through.
	Allow []netip.Prefix `json:",omitzero"`
}

// RetryPolicy says when the attempts of a delivery happen.
type RetryPolicy struct {
	// Delays[i] is the time from the end of attempt i (or from the event, for i = 0) to
	// attempt i+1; so its length is the number of attempts. Never empty.
	Delays []time.Duration `json:",omitzero"`
	// Jitter spreads each delay by up to this share of it, 0 to 1.
	Jitter float64 `json:",omitzero"`
}

// DefaultRetryDelays is the schedule that the Standard Webhooks specification
// recommends: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
var DefaultRetryDelays = []time.Duration{
	0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour,
	5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

// DeliveryState is where a delivery stands.
type DeliveryState string

const (
	// Pending: an attempt is due, now or later.
	Pending DeliveryState = "pending"
	// Waiting: an earlier delivery of the same selector to the same ordered
	// subscription must be settled first.
	Waiting DeliveryState = "waiting"
	// Done: an attempt succeeded.
	Done DeliveryState = "done"
	// Dead: the last attempt failed; it can be replayed.
	Dead DeliveryState = "dead"
)

// Delivery is one event on its way to one subscription.
type Delivery struct {
	// ID is given by the store.
	ID string
	// Event is what is delivered.
	Event *Event
	// Subscription is the id ("workspace/name") of the subscription.
	Subscription string
	// Workspace, Integration, Webhook, Connector and ReceivedAt are those of the request.
	Workspace, Integration, Webhook, Connector string
	ReceivedAt                                 time.Time
	// TraceParent is the request's traceparent header (W3C Trace Context), or "".
	TraceParent string
	// Ordered is that of the subscription when the event was matched.
	Ordered bool
	State   DeliveryState
	// Attempts is the number of attempts since it was created or last replayed.
	Attempts int
	// DueAt is when the next attempt may begin; only for Pending.
	DueAt time.Time
}

// Attempt is one try of a delivery, with its outcome.
type Attempt struct {
	DeliveryID string
	// Number counts from 1 over the life of the delivery, replays included.
	Number int
	At     time.Time
	Took   time.Duration
	// Status is the HTTP status of the answer; 0 where there was none.
	Status int
	// Class is "ok", or why it failed: "status", "timeout", "refused",
	// "reset", "dns", "tls", "forbidden" (address not allowed), "redirect", "protocol",
	// "gone" (410), "breaker", "broker", "io", "gateway" (our own fault).
	Class string
	// Error is one line for people; "" when it succeeded.
	Error string
	// Response is the first 4 KiB of the answer's body.
	Response []byte
}

// Settlement is the end of an attempt: what is written about it, and what
// becomes of the delivery.
type Settlement struct {
	Attempt Attempt
	// Next is Done, Dead or Pending; for Pending, RetryAt says when.
	Next    DeliveryState
	RetryAt time.Time
}
