package activity

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"switchhook/gateway/hook"
	"switchhook/gateway/ingest"
	"switchhook/gateway/store"
)

const (
	// maxStreams bounds how many listen at once.
	maxStreams = 64
	// maxQueued is how many messages a stream holds for a reader that is
	// slower than what happens; more are dropped and counted.
	maxQueued = 1024
)

// ErrTooMany is returned by Listen when as many listen as may.
var ErrTooMany = errors.New("too many live streams are open")

// Kinds are the kinds of messages.
var Kinds = []string{"request", "turned", "attempt", "reload", "change"}

// Message is one thing that happened: of the pointers the one named by Kind is set.
type Message struct {
	Kind    string
	Request *store.RequestSummary // it was stored
	Turned  *ingest.Turned        // a request was answered without being stored
	Attempt *Attempt
	Reload  *Reload
	Change  *store.Change // by way of the admin API
}

// Attempt is an attempt of a delivery.
type Attempt struct {
	Delivery, Request, Event, Selector, Subscription string
	// State is what became of the delivery.
	State hook.DeliveryState
	hook.Attempt
}

// Filter says what a stream is for; zero fields do not narrow it. Fields that
// a kind of message does not have exclude it.
type Filter struct {
	Kinds                                      []string
	Workspace, Integration, Webhook, Connector string
	// Outcome is one of hook.Outcome, or the Kind of ingest.Turned.
	Outcome string
	// Status bounds that of the answer; both 0: any.
	MinStatus, MaxStatus int
	// Text must occur in the request's body, id, path or an event's selector.
	Text string
	// Subscription is one that the request's events matched, or that the attempt is for.
	Subscription string
}

func (f *Filter) kind(kind string) bool { return len(f.Kinds) == 0 || slices.Contains(f.Kinds, kind) }

func (f *Filter) webhook(workspace, integration, webhook, connector string) bool {
	return (f.Workspace == "" || f.Workspace == workspace) && (f.Integration == "" || f.Integration == integration) &&
		(f.Webhook == "" || f.Webhook == webhook) && (f.Connector == "" || f.Connector == connector)
}

func (f *Filter) answered(outcome string, status int) bool {
	return (f.Outcome == "" || f.Outcome == outcome) && (f.MinStatus == 0 || status >= f.MinStatus && status <= f.MaxStatus)
}

func (f *Filter) stored(rec *hook.Record) bool {
	r := rec.Request
	if !f.kind("request") || !f.webhook(r.Workspace, r.Integration, r.Webhook, r.Connector) || !f.answered(string(rec.Outcome), rec.Response.Status) {
		return false
	}
	if f.Subscription != "" && !slices.ContainsFunc(rec.Deliveries, func(d *hook.Delivery) bool { return d.Subscription == f.Subscription }) {
		return false
	}
	return f.Text == "" || strings.Contains(r.ID, f.Text) || strings.Contains(r.Path, f.Text) ||
		slices.ContainsFunc(rec.Events, func(e *hook.Event) bool { return strings.Contains(e.Selector, f.Text) }) ||
		bytes.Contains(r.Body, []byte(f.Text))
}

func (f *Filter) turned(t *ingest.Turned) bool {
	return f.kind("turned") && f.Subscription == "" && f.webhook(t.Workspace, t.Integration, t.Webhook, t.Connector) &&
		f.answered(t.Kind, t.Status) && (f.Text == "" || strings.Contains(t.ID, f.Text) || strings.Contains(t.Path, f.Text))
}

func (f *Filter) attempt(d *hook.Delivery, a *hook.Attempt) bool {
	return f.kind("attempt") && f.webhook(d.Workspace, d.Integration, d.Webhook, d.Connector) && f.answered("", a.Status) &&
		(f.Subscription == "" || f.Subscription == d.Subscription) &&
		(f.Text == "" || strings.Contains(d.Event.RequestID, f.Text) || strings.Contains(d.Event.Selector, f.Text))
}

// Stream is one listener. Messages that come faster than they are taken are dropped.
type Stream struct {
	filter Filter
	log    *Log

	mu      sync.Mutex
	queue   []*Message
	dropped int
	ready   chan struct{} // of one: there is something
}

// Listen opens a stream; Close must be called.
func (l *Log) Listen(f Filter) (*Stream, error) {
	l.opening.Lock()
	defer l.opening.Unlock()
	var list []*Stream
	if old := l.streams.Load(); old != nil {
		list = *old
	}
	if len(list) >= maxStreams {
		return nil, ErrTooMany
	}
	s := &Stream{filter: f, log: l, ready: make(chan struct{}, 1)}
	list = append(slices.Clone(list), s)
	l.streams.Store(&list)
	return s, nil
}

// Close ends a stream.
func (s *Stream) Close() {
	l := s.log
	l.opening.Lock()
	defer l.opening.Unlock()
	list := slices.DeleteFunc(slices.Clone(*l.streams.Load()), func(o *Stream) bool { return o == s })
	if len(list) == 0 {
		l.streams.Store(nil)
		return
	}
	l.streams.Store(&list)
}

// Ready is sent to when Take has something.
func (s *Stream) Ready() <-chan struct{} { return s.ready }

// Take returns what happened since it was called last, and how many more
// messages there were that had no room.
func (s *Stream) Take() (messages []*Message, dropped int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	messages, dropped = s.queue, s.dropped
	s.queue, s.dropped = nil, 0
	return messages, dropped
}

// offer hands a message to the reader; make makes it, unless there is no room.
func (s *Stream) offer(m **Message, make func() *Message) {
	s.mu.Lock()
	full := len(s.queue) >= maxQueued
	if full {
		s.dropped++
	} else {
		if *m == nil {
			*m = make()
		}
		s.queue = append(s.queue, *m)
	}
	first := len(s.queue) == 1
	s.mu.Unlock()
	if full {
		s.log.dropped.Add(1)
	}
	if first {
		select {
		case s.ready <- struct{}{}:
		default:
		}
	}
}

// Streams is how many listen, and how many messages were dropped since the start.
func (l *Log) Streams() (open int, dropped int64) {
	if list := l.streams.Load(); list != nil {
		open = len(*list)
	}
	return open, l.dropped.Load()
}

func (l *Log) publish(kind string, m *Message, want func(*Filter) bool) {
	list := l.streams.Load()
	if list == nil {
		return
	}
	for _, s := range *list {
		if s.filter.kind(kind) && (want == nil || want(&s.filter)) {
			s.offer(&m, nil)
		}
	}
}

// Changed publishes a change made by way of the admin API.
func (l *Log) Changed(c store.Change) { l.publish("change", &Message{Kind: "change", Change: &c}, nil) }

func (l *Log) publishStored(rec *hook.Record) {
	list := l.streams.Load()
	if list == nil {
		return
	}
	var m *Message
	for _, s := range *list {
		if s.filter.stored(rec) {
			s.offer(&m, func() *Message {
				r := rec.Request
				return &Message{Kind: "request", Request: &store.RequestSummary{
					ID: r.ID, Workspace: r.Workspace, Integration: r.Integration, Webhook: r.Webhook, Connector: r.Connector,
					Method: r.Method, Path: r.Path, Outcome: rec.Outcome, Status: rec.Response.Status, ReceivedAt: r.ReceivedAt,
					HandlerTime: rec.HandlerTime, BodySize: len(r.Body), Events: len(rec.Events), Deliveries: len(rec.Deliveries),
				}}
			})
		}
	}
}

func (l *Log) publishTurned(t *ingest.Turned) {
	list := l.streams.Load()
	if list == nil {
		return
	}
	var m *Message
	for _, s := range *list {
		if s.filter.turned(t) {
			s.offer(&m, func() *Message {
				kept := *t
				kept.Headers = nil
				return &Message{Kind: "turned", Turned: &kept}
			})
		}
	}
}

func (l *Log) publishAttempt(d *hook.Delivery, a *hook.Attempt, next hook.DeliveryState) {
	list := l.streams.Load()
	if list == nil {
		return
	}
	var m *Message
	for _, s := range *list {
		if s.filter.attempt(d, a) {
			s.offer(&m, func() *Message {
				kept := Attempt{Delivery: d.ID, Request: d.Event.RequestID, Event: d.Event.ID, Selector: d.Event.Selector,
					Subscription: d.Subscription, State: next, Attempt: *a}
				kept.Response = nil
				return &Message{Kind: "attempt", Attempt: &kept}
			})
		}
	}
}

// Pace is how long a reader of a stream waits before it calls Take again, after
// it took n messages. So messages are written out together, and no stream takes
// more than a thousand a second for long, which nobody can read: it could
// otherwise cost the gateway as much as a tenth of what the requests do.
func Pace(n int) time.Duration { return max(100*time.Millisecond, time.Duration(n)*time.Millisecond) }
