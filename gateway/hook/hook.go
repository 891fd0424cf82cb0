// Package hook is the vocabulary of Switchhook: what a request, an event, a
// subscription, a delivery and an attempt are. Every other package speaks it;
// it imports the standard library only and does nothing by itself.
//
// Values are plain data. Unless a comment says otherwise, a value handed to
// another package is no longer changed by whoever made it, so it may be shared
// between goroutines without a lock.
package hook

import (
	"strings"
	"time"
)

// Header is one header field as it stood in the message.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Headers are header fields in the order in which they came. Names keep the
// spelling they came with and are compared without regard to case.
type Headers []Header

// Get returns the value of the first field called name, or "".
func (h Headers) Get(name string) string {
	for i := range h {
		if strings.EqualFold(h[i].Name, name) {
			return h[i].Value
		}
	}
	return ""
}

// Has reports whether there is a field called name, be its value empty.
func (h Headers) Has(name string) bool {
	for i := range h {
		if strings.EqualFold(h[i].Name, name) {
			return true
		}
	}
	return false
}

// Values returns the values of all fields called name, in order; nil when
// there is none.
func (h Headers) Values(name string) []string {
	var values []string
	for i := range h {
		if strings.EqualFold(h[i].Name, name) {
			values = append(values, h[i].Value)
		}
	}
	return values
}

// Set replaces all fields called name by one.
func (h *Headers) Set(name, value string) {
	kept := (*h)[:0]
	for _, f := range *h {
		if !strings.EqualFold(f.Name, name) {
			kept = append(kept, f)
		}
	}
	*h = append(kept, Header{Name: name, Value: value})
}

// Request is one inbound HTTP request to a webhook URL, kept as it came.
type Request struct {
	// ID is "req_" and a ULID: unique, and in order of arrival when sorted.
	ID string
	// Workspace, Integration and Webhook are the names in the URL; Connector
	// is the key of the connector that the integration uses.
	Workspace, Integration, Webhook, Connector string
	// Method is the HTTP method as sent, upper case for the standard ones.
	Method string
	// URL is the public URL as the provider called it: the configured public
	// base URL, the path and the query.
	URL string
	// Path is the path of URL as it came (still percent-encoded).
	Path string
	// Query is the raw query string, without the question mark.
	Query string
	// Headers are all header fields, Host included.
	Headers Headers
	// Body is the body's bytes exactly as they came (after any transfer
	// coding, before any content coding is undone). Never nil for a request that was received;
	// nobody may change it.
	Body []byte
	// RemoteAddr is the peer's IP address, without a port.
	RemoteAddr string
	// ReceivedAt is when the last byte of the request had been read.
	ReceivedAt time.Time
}

// Response is the answer to a Request.
type Response struct {
	// Status is the HTTP status, 200 to 599.
	Status int
	// Headers are added to those that the server sets by itself.
	Headers Headers
	// Body may be nil.
	Body []byte
}

// Event is what a connector's handle function made of a request.
type Event struct {
	// ID is stable: derived from the request's id and the place of the event
	// in the handler's result, so a repeated attempt carries the same one.
	// It is sent as the webhook-id of deliveries.
	ID string
	// RequestID is the id of the request it came from.
	RequestID string
	// Key is the dedupe key: the `id` the handler gave the event; "" for none.
	Key string
	// Selector is the string by which the event finds its subscriptions.
	Selector string
	// Type is the `type` the handler gave; "" for none.
	Type string
	// Payload is JSON: valid, UTF-8 where the request's body was.
	Payload []byte
	// FromBody reports that Payload is the sub-slice of the request's body
	// that begins at BodyOffset, byte for byte; a store may then keep it once.
	FromBody   bool
	BodyOffset int
	// Duplicate is set by the store: an event with the same Key was accepted
	// for the same webhook within the dedupe window, and this one is not delivered.
	Duplicate bool
}

// Outcome is what became of a request that was kept.
type Outcome string

const (
	// Accepted: the handler ran and its events are stored.
	Accepted Outcome = "accepted"
	// Handshake: a declared handshake was answered; such a request has no events.
	Handshake Outcome = "handshake"
	// Refused: the handler threw an HttpError; it was answered with its status.
	Refused Outcome = "refused"
	// Failed: the handler threw, timed out, or returned a wrong shape. The
	// request can be replayed after the handler is mended.
	Failed Outcome = "failed"
	// Deferred: verified and stored, to be handled later (quarantined connector).
	Deferred Outcome = "deferred"
)

// Failure says why a handler did not produce events. It is shown to people
// who operate the gateway, never to the caller of a webhook.
type Failure struct {
	// ID is the error id that the caller was given: "err_" and a ULID.
	ID string `json:"id,omitempty"`
	// Kind is one of: "thrown", "refused", "shape", "timeout", "memory",
	// "crashed", "pending" (a promise that never settled), "input", "unavailable".
	Kind string `json:"kind"`
	// Message is one line, without secrets.
	Message string `json:"message"`
	// Path names the place in the handler's result, such as
	// "events[2].selector"; only for kind "shape".
	Path string `json:"path,omitempty"`
	// Stack is the call stack in terms of the connector's own files,
	// innermost first.
	Stack []Frame `json:"stack,omitempty"`
	// CodeFrame is the source around Stack[0], ready to print; "" if unknown.
	CodeFrame string `json:"codeFrame,omitempty"`
}

// Frame is one place in a connector's source.
type Frame struct {
	Function string `json:"function,omitempty"`
	// File is relative to the connector's folder.
	File string `json:"file"`
	// Line and Column count from 1.
	Line   int `json:"line"`
	Column int `json:"column"`
}

// ConsoleLine is one call of console.* by a handler.
type ConsoleLine struct {
	// Level is "debug", "log", "info", "warn" or "error".
	Level string `json:"level"`
	Text  string `json:"text"`
}

// Record is everything that is stored about one request, in one transaction.
type Record struct {
	Request *Request
	Outcome Outcome
	// Verified names the scheme that accepted the request, such as
	// "hmac-sha256"; "none" where the webhook declares none.
	Verified string
	// Response is what was answered. Stores may keep only the first 4 KiB of its body.
	Response Response
	// Notes are remarks a reader of the record needs, such as
	// "body is not valid JSON: ...".
	Notes []string
	// Console is what the handler printed.
	Console []ConsoleLine
	// Failure is set when Outcome is Failed or Refused.
	Failure *Failure
	// HandlerTime is how long the handler ran.
	HandlerTime time.Duration
	Events      []*Event
	// Deliveries are the deliveries of Events, in any order. The store gives
	// them their ids, and removes those of events it found to be duplicates.
	Deliveries []*Delivery
}
