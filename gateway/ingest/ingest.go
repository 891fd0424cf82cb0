// Package ingest is the path of a request: handshake, verification, the
// connector's handler, matching, storing, and only then the response. The
// server, fixtures and replays all go this way, so what a fixture shows is what
// the gateway does. Nothing else calls handlers.
package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"switchhook/gateway/body"
	"switchhook/gateway/hook"
	"switchhook/gateway/live"
	"switchhook/gateway/match"
	"switchhook/gateway/script"
	"switchhook/gateway/store"
	"switchhook/gateway/verify"
)

// Store is what ingest needs of a store; its contract is that of store.Store.
type Store interface {
	Append(ctx context.Context, rec *hook.Record) error
	State(ctx context.Context, integration string) (map[string]string, error)
	Remember(ctx context.Context, integration, key, value string, replace bool) error
}

// Subscriptions finds who wants an event; *live.Live is one.
type Subscriptions interface {
	Match(dst []*hook.Subscription, g *live.Generation, scope match.Scope, selector string, payload []byte) []*hook.Subscription
	State(integration string) (map[string]string, bool)
	SetState(integration string, state map[string]string)
	// PairingOpen says whether a person has opened pairing for a webhook, so that
	// remembered values may be replaced; ClosePairing ends that.
	PairingOpen(e *live.Endpoint) bool
	ClosePairing(e *live.Endpoint)
}

// Options say what a Pipeline works with. All fields but Offer, Fetcher, Observer, Logger
// and PairingOpen are required.
type Options struct {
	Engine        script.Engine
	Store         Store
	Subscriptions Subscriptions
	// Offer is given the deliveries of every record that was stored; nil: nobody.
	Offer func([]*hook.Delivery)
	// Now is the clock that timestamps are checked against.
	Now func() time.Time
	// NewID returns a new ULID, for error ids.
	NewID func() string
	// Fetcher GETs the URLs that handshakes declare to confirm at; nil: such handshakes are answered 503.
	Fetcher  verify.Fetcher
	Observer Observer
	Logger   *slog.Logger
	// Quarantined says whether the requests of a connector are only verified and
	// stored, to be run later. Nil: never.
	Quarantined func(connector string) bool
}

// Observer is told what became of requests; for metrics, logs and live views.
// Its methods are called on the request's goroutine and must return quickly.
type Observer interface {
	// Stored: the record is durable and is about to be answered.
	Stored(rec *hook.Record, took time.Duration)
	// Turned: the request was answered without being stored: a handshake, or a
	// request that failed verification or could not be stored. The body is
	// not kept.
	Turned(t Turned)
}

// Turned is a request that was answered without being stored.
type Turned struct {
	ID, Workspace, Integration, Webhook, Connector string
	Method, Path, RemoteAddr                       string
	Headers                                        hook.Headers
	BodySize                                       int
	// Kind is "handshake", "unverified", "bad-body" or "unavailable".
	Kind string
	// Reason is one line for people who operate the gateway, without secrets.
	Reason string
	Status int
	At     time.Time
	Took   time.Duration
}

// Pipeline takes requests. Its methods may be called from any goroutine.
type Pipeline struct{ o Options }

// New returns a pipeline.
func New(o Options) *Pipeline {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Pipeline{o: o}
}

// Receive takes a request to an endpoint: it blocks until what came of it is
// durable and returns the answer, never nil.
func (p *Pipeline) Receive(ctx context.Context, e *live.Endpoint, req *hook.Request) *hook.Response {
	began := time.Now()
	req.Workspace, req.Integration, req.Webhook, req.Connector = e.Workspace, e.Integration, e.Key, e.Connector.Key
	if e.Webhook == nil {
		resp := problem(503, "Service Unavailable", "this webhook is being repaired, send the request again later", req.ID)
		resp.Headers = append(resp.Headers, hook.Header{Name: "Retry-After", Value: "30"})
		p.turned(req, "unavailable", "the connector is down", resp.Status, began)
		return resp
	}
	rec, turned := p.Run(ctx, e, req)
	if turned != nil {
		p.turned(req, turned.Kind, turned.Reason, turned.Response.Status, began)
		return turned.Response
	}
	if err := p.o.Store.Append(ctx, rec); err != nil {
		return p.notStored(req, err, began)
	}
	if p.o.Offer != nil && len(rec.Deliveries) > 0 {
		p.o.Offer(rec.Deliveries)
	}
	if p.o.Observer != nil {
		p.o.Observer.Stored(rec, time.Since(began))
	}
	return &rec.Response
}

// notStored answers a request that could not be stored: the provider will send
// it again.
func (p *Pipeline) notStored(req *hook.Request, err error, began time.Time) *hook.Response {
	retry := "5"
	if !errors.Is(err, store.ErrFull) {
		retry = "30"
	}
	resp := problem(503, "Service Unavailable", "the request could not be stored, send it again later", req.ID)
	resp.Headers = append(resp.Headers, hook.Header{Name: "Retry-After", Value: retry})
	p.turned(req, "unavailable", "not stored: "+err.Error(), resp.Status, began)
	return resp
}

func (p *Pipeline) turned(req *hook.Request, kind, reason string, status int, began time.Time) {
	if p.o.Observer == nil {
		return
	}
	p.o.Observer.Turned(Turned{
		ID: req.ID, Workspace: req.Workspace, Integration: req.Integration, Webhook: req.Webhook, Connector: req.Connector,
		Method: req.Method, Path: req.Path, RemoteAddr: req.RemoteAddr, Headers: req.Headers, BodySize: len(req.Body),
		Kind: kind, Reason: reason, Status: status, At: req.ReceivedAt, Took: time.Since(began),
	})
}

// Answered is a request that was answered without becoming a record.
type Answered struct {
	// Kind and Reason are those of Turned.
	Kind, Reason string
	Response     *hook.Response
	// Remembered has the keys of the values that a handshake stored.
	Remembered []string
	// Console and Took are those of a handshake function; Failure is set when it failed.
	Console []hook.ConsoleLine
	Took    time.Duration
	Failure *hook.Failure
}

// Option changes Run.
type Option func(*run)

// Unverified skips handshakes and verification: the request was stored after
// it had been verified, and is run again.
func Unverified() Option { return func(r *run) { r.unverified = true } }

// WithInput lets change set fields of the handler's input, such as its clock.
func WithInput(change func(*script.HandleInput)) Option {
	return func(r *run) { r.change = change }
}

// OnResult is called with what the handler returned, before anything is made of it.
func OnResult(f func(*script.HandleResult)) Option { return func(r *run) { r.onResult = f } }

type run struct {
	p          *Pipeline
	e          *live.Endpoint
	req        *hook.Request
	unverified bool
	change     func(*script.HandleInput)
	onResult   func(*script.HandleResult)
	parsed     func() *body.Parsed
}

// Run takes a request as far as a record that could be stored, and stores
// nothing but what a handshake remembers. Exactly one of the results is nil.
// The endpoint's webhook must not be nil.
func (p *Pipeline) Run(ctx context.Context, e *live.Endpoint, req *hook.Request, options ...Option) (*hook.Record, *Answered) {
	r := &run{p: p, e: e, req: req}
	for _, o := range options {
		o(r)
	}
	r.parsed = sync.OnceValue(func() *body.Parsed { return body.Parse(req.Headers.Get("Content-Type"), req.Body) })
	rec := &hook.Record{Request: req, Verified: "none"}
	if !r.unverified {
		if answered := r.handshake(ctx, false); answered != nil {
			return nil, answered
		}
		if answered := r.verify(ctx); answered != nil {
			return nil, answered
		}
		if answered := r.handshake(ctx, true); answered != nil {
			return nil, answered
		}
	}
	if e.Webhook.Scheme != nil {
		rec.Verified = e.Webhook.Scheme.Name()
	}
	r.handle(ctx, rec)
	return rec, nil
}

func (r *run) verify(ctx context.Context) *Answered {
	if r.e.Verifier == nil {
		return nil
	}
	state, err := r.state(ctx)
	if err != nil {
		return r.unavailable("reading the integration's state", err)
	}
	err = r.e.Verifier.Verify(ctx, r.req, r.parsed, state, r.p.o.Now())
	if err == nil {
		return nil
	}
	var rejected *verify.Rejected
	if !errors.As(err, &rejected) {
		// Not the request's fault, such as a certificate that could not be fetched.
		return r.unavailable("verifying", err)
	}
	answered := &Answered{Kind: "unverified", Reason: rejected.Reason,
		Response: problem(401, "Unauthorized", rejected.Reason, r.req.ID)}
	if shake := r.e.Webhook.Handshake; shake != nil {
		if status := shake.Unverified(r.req, r.parsed); status != 0 {
			answered.Response = &hook.Response{Status: status}
		}
	}
	return answered
}

func (r *run) unavailable(doing string, err error) *Answered {
	resp := problem(503, "Service Unavailable", "the request cannot be taken now, send it again later", r.req.ID)
	resp.Headers = append(resp.Headers, hook.Header{Name: "Retry-After", Value: "5"})
	return &Answered{Kind: "unavailable", Reason: doing + ": " + err.Error(), Response: resp}
}

// state is what the integration remembers, from memory when it was read before.
func (r *run) state(ctx context.Context) (map[string]string, error) {
	id := r.e.IntegrationID()
	if state, ok := r.p.o.Subscriptions.State(id); ok {
		return state, nil
	}
	state, err := r.p.o.Store.State(ctx, id)
	if err != nil {
		return nil, err
	}
	r.p.o.Subscriptions.SetState(id, state)
	return state, nil
}

func (r *run) handle(ctx context.Context, rec *hook.Record) {
	parsed := r.parsed()
	if parsed.Note != "" {
		rec.Notes = append(rec.Notes, parsed.Note)
	}
	if parsed.OverLimit {
		r.refuse(rec, 400, hook.Failure{Kind: "input", Message: parsed.Note})
		return
	}
	if r.quarantined() {
		rec.Outcome = hook.Deferred
		rec.Response = hook.Response{Status: 202}
		rec.Notes = append(rec.Notes, "the connector was quarantined when the request came; it is run when the connector is released")
		return
	}
	in := &script.HandleInput{Request: r.req, Body: parsed, Parameters: r.e.Parameters}
	if r.change != nil {
		r.change(in)
	}
	result, err := r.p.o.Engine.Handle(ctx, r.e.Webhook.Handle, in)
	if result != nil {
		rec.Console, rec.HandlerTime = result.Console, result.Took
		if r.onResult != nil {
			r.onResult(result)
		}
	}
	if err != nil {
		r.failed(rec, err)
		return
	}
	rec.Outcome = hook.Accepted
	rec.Response = hook.Response{Status: 200}
	if result.Response != nil {
		rec.Response = *result.Response
	}
	rec.Events = result.Events
	if err := r.match(ctx, rec); err != nil {
		rec.Events, rec.Deliveries = nil, nil
		r.failed(rec, err)
	}
}

// quarantined reports whether the connector's functions are not to be run now. What is run
// again is run on purpose.
func (r *run) quarantined() bool {
	return !r.unverified && r.p.o.Quarantined != nil && r.p.o.Quarantined(r.e.Connector.Key)
}

// failed makes the record of a handler that did not return events.
func (r *run) failed(rec *hook.Record, err error) {
	var failure *script.Error
	if !errors.As(err, &failure) {
		failure = &script.Error{Failure: hook.Failure{Kind: "unavailable", Message: err.Error()}}
	}
	switch failure.Failure.Kind {
	case "refused":
		r.refuse(rec, failure.Status, failure.Failure)
	case "input":
		r.refuse(rec, failure.Status, failure.Failure)
	default:
		rec.Outcome = hook.Failed
		why := failure.Failure
		why.ID = "err_" + r.p.o.NewID()
		rec.Failure = &why
		status := 500
		if why.Kind == "timeout" {
			status = 504
		}
		rec.Response = *problem(status, statusText(status), "the handler of this webhook failed; the request is kept. Error id: "+why.ID, r.req.ID)
	}
}

// refuse answers with a status that the handler, or the limits of its input, chose.
func (r *run) refuse(rec *hook.Record, status int, why hook.Failure) {
	rec.Outcome = hook.Refused
	rec.Failure = &why
	rec.Response = *problem(status, statusText(status), why.Message, r.req.ID)
}

// match makes the deliveries of the record's events. It fails when the function of an event that is
// made of another one does.
func (r *run) match(ctx context.Context, rec *hook.Record) error {
	scope := r.e.Scope()
	var found []*hook.Subscription
	trace := r.req.Headers.Get("traceparent")
	deliver := func(event *hook.Event, sub *hook.Subscription) {
		rec.Deliveries = append(rec.Deliveries, &hook.Delivery{
			Event: event, Subscription: sub.ID(),
			Workspace: r.req.Workspace, Integration: r.req.Integration, Webhook: r.req.Webhook, Connector: r.req.Connector,
			ReceivedAt: r.req.ReceivedAt, TraceParent: trace, Ordered: sub.Ordered,
			State: hook.Pending, DueAt: r.req.ReceivedAt.Add(firstDelay(sub)),
		})
	}
	for i, event := range rec.Events {
		event.RequestID = r.req.ID
		event.ID = eventID(r.req.ID, i)
		found = r.p.o.Subscriptions.Match(found[:0], r.e.Generation, scope, event.Selector, event.Payload)
		var made map[string][]*hook.Event // of event, by the kind of event
		for _, sub := range found {
			extractor := r.extractor(sub)
			if extractor == nil {
				deliver(event, sub)
				continue
			}
			events, ok := made[sub.Event]
			if !ok {
				var err error
				if events, err = r.extract(ctx, extractor, sub.Event, event); err != nil {
					return err
				}
				if made == nil {
					made = map[string][]*hook.Event{}
				}
				made[sub.Event] = events
				rec.Events = append(rec.Events, events...)
			}
			for _, e := range events {
				deliver(e, sub)
			}
		}
	}
	return nil
}

// extractor returns the function that makes what a subscription gets of an event of another kind; nil when it gets the
// event itself.
func (r *run) extractor(sub *hook.Subscription) *script.Program {
	if sub.Event == "" {
		return nil
	}
	return r.e.Connector.Extractors[sub.Event]
}

// extract makes events of the kind of an event of another kind.
func (r *run) extract(ctx context.Context, extractor *script.Program, kind string, event *hook.Event) ([]*hook.Event, error) {
	argument := append(append([]byte(`{"events":[`), event.Payload...), "]}"...)
	result, err := r.p.o.Engine.Eval(ctx, extractor, argument)
	if err != nil {
		return nil, err
	}
	var value struct{ Events []json.RawMessage }
	if err := json.Unmarshal(result.Value, &value); err != nil {
		return nil, &script.Error{Failure: hook.Failure{Kind: "shape", Path: "events",
			Message: fmt.Sprintf("the extractEvents of the event %q must return {events}, a list", kind)}}
	}
	events := make([]*hook.Event, len(value.Events))
	for i, payload := range value.Events {
		events[i] = &hook.Event{
			ID: fmt.Sprintf("%s_%s_%d", event.ID, strings.ReplaceAll(kind, ".", "-"), i), RequestID: event.RequestID, Selector: event.Selector, Type: kind, Payload: payload,
		}
		if event.Key != "" {
			events[i].Key = fmt.Sprintf("%s %s %d", event.Key, kind, i)
		}
	}
	return events, nil
}

func firstDelay(sub *hook.Subscription) time.Duration {
	if d := sub.Destination.Retry.Delays; len(d) > 0 {
		return d[0]
	}
	return 0
}

// eventID derives the id of a request's event from its place, so that it is
// the same however often it is computed.
func eventID(requestID string, place int) string {
	const prefix = len("req_")
	if len(requestID) > prefix {
		requestID = requestID[prefix:]
	}
	return "evt_" + requestID + "_" + strconv.Itoa(place)
}

// problem is an error answer in the form of RFC 9457.
func problem(status int, title, detail, requestID string) *hook.Response {
	return &hook.Response{
		Status:  status,
		Headers: hook.Headers{{Name: "Content-Type", Value: "application/problem+json"}},
		Body: fmt.Appendf(nil, `{"type":"about:blank","title":%s,"status":%d,"detail":%s,"requestId":%s}`+"\n",
			quote(title), status, quote(detail), quote(requestID)),
	}
}
