package console

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"switchhook/gateway/deliver"
	"switchhook/gateway/hook"
	"switchhook/gateway/live"
	"switchhook/gateway/store"
)

// The values of answers. They are made from those of hook, which have no JSON
// form, so that nothing is shown that was not meant to be.

// redacted stands in place of what is not shown.
const redacted = "[redacted]"

// sensitive tells whether a header field or query parameter of that name holds
// something that lets its owner in. Signatures do not: they go with one body.
func sensitive(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "authorization", "proxy-authorization", "cookie", "set-cookie", "key", "auth":
		return true
	}
	return slices.ContainsFunc([]string{"token", "secret", "password", "api-key", "apikey", "api_key", "access-key"},
		func(part string) bool { return strings.Contains(name, part) })
}

// shownHeaders redacts the values of sensitive fields, or all.
func shownHeaders(headers hook.Headers, all bool) hook.Headers {
	shown := make(hook.Headers, len(headers))
	for i, h := range headers {
		if all || sensitive(h.Name) {
			h.Value = redacted
		}
		shown[i] = h
	}
	return shown
}

// shownQuery redacts the values of sensitive parameters, or all.
func shownQuery(query string, all bool) string {
	if query == "" {
		return ""
	}
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		name, _, has := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if has && (all || err != nil || sensitive(plain)) {
			pairs[i] = name + "=" + redacted
		}
	}
	return strings.Join(pairs, "&")
}

// shownURL removes user and password, and redacts the values of the query.
func shownURL(text string) string {
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil {
		return redacted
	}
	u.User = nil
	u.RawQuery = shownQuery(u.RawQuery, true)
	return u.String()
}

// shownCall is the URL that a webhook was called with.
func shownCall(text string) string {
	base, query, has := strings.Cut(text, "?")
	if !has {
		return base
	}
	return base + "?" + shownQuery(query, false)
}

// optional is a time that is left out when it is zero.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

type requestSummary struct {
	ID          string       `json:"id"`
	Workspace   string       `json:"workspace"`
	Integration string       `json:"integration"`
	Webhook     string       `json:"webhook"`
	Connector   string       `json:"connector"`
	Method      string       `json:"method"`
	Path        string       `json:"path"`
	Outcome     hook.Outcome `json:"outcome"`
	Status      int          `json:"status"`
	ReceivedAt  time.Time    `json:"receivedAt"`
	HandlerMS   float64      `json:"handlerMs"`
	BodySize    int          `json:"bodySize"`
	Events      int          `json:"events"`
	Deliveries  int          `json:"deliveries"`
	Dead        int          `json:"dead"`
}

func viewSummary(s store.RequestSummary) requestSummary {
	return requestSummary{s.ID, s.Workspace, s.Integration, s.Webhook, s.Connector, s.Method, s.Path, s.Outcome, s.Status,
		s.ReceivedAt, milliseconds(s.HandlerTime), s.BodySize, s.Events, s.Deliveries, s.Dead}
}

type request struct {
	ID          string       `json:"id"`
	Workspace   string       `json:"workspace"`
	Integration string       `json:"integration"`
	Webhook     string       `json:"webhook"`
	Connector   string       `json:"connector"`
	Method      string       `json:"method"`
	URL         string       `json:"url"`
	Path        string       `json:"path"`
	Query       string       `json:"query"`
	Headers     hook.Headers `json:"headers"`
	// Body is in base64; Text is set where it is UTF-8.
	Body       []byte             `json:"body"`
	Text       *string            `json:"text,omitempty"`
	RemoteAddr string             `json:"remoteAddr"`
	ReceivedAt time.Time          `json:"receivedAt"`
	Verified   string             `json:"verified"`
	Outcome    hook.Outcome       `json:"outcome"`
	Response   response           `json:"response"`
	Failure    *hook.Failure      `json:"failure,omitempty"`
	Notes      []string           `json:"notes"`
	Console    []hook.ConsoleLine `json:"console"`
	HandlerMS  float64            `json:"handlerMs"`
	// TraceParent is that of the request, which its deliveries continue.
	TraceParent string     `json:"traceParent,omitempty"`
	Events      []event    `json:"events"`
	Deliveries  []delivery `json:"deliveries"`
}

type response struct {
	Status  int          `json:"status"`
	Headers hook.Headers `json:"headers"`
	Text    string       `json:"text"`
}

type event struct {
	ID       string          `json:"id,omitempty"`
	Key      string          `json:"key,omitempty"`
	Selector string          `json:"selector"`
	Type     string          `json:"type,omitempty"`
	Payload  json.RawMessage `json:"payload,omitempty"`
	// PayloadSize is in bytes; a payload that would make the answer too large is left out.
	PayloadSize int  `json:"payloadSize"`
	Duplicate   bool `json:"duplicate,omitempty"`
}

type delivery struct {
	ID           string             `json:"id"`
	RequestID    string             `json:"requestId"`
	EventID      string             `json:"eventId"`
	Selector     string             `json:"selector"`
	Subscription string             `json:"subscription"`
	State        hook.DeliveryState `json:"state"`
	Attempts     int                `json:"attempts"`
	ReceivedAt   time.Time          `json:"receivedAt"`
	DueAt        *time.Time         `json:"dueAt,omitempty"`
	History      []attempt          `json:"history,omitempty"`
}

type attempt struct {
	Number   int       `json:"number"`
	At       time.Time `json:"at"`
	TookMS   float64   `json:"tookMs"`
	Status   int       `json:"status,omitempty"`
	Class    string    `json:"class"`
	Error    string    `json:"error,omitempty"`
	Response string    `json:"response,omitempty"`
}

func viewRequest(s *store.Stored) request {
	r := s.Request
	v := request{
		ID: r.ID, Workspace: r.Workspace, Integration: r.Integration, Webhook: r.Webhook, Connector: r.Connector,
		Method: r.Method, URL: shownCall(r.URL), Path: r.Path, Query: shownQuery(r.Query, false), Headers: shownHeaders(r.Headers, false), Body: r.Body,
		RemoteAddr: r.RemoteAddr, ReceivedAt: r.ReceivedAt, Verified: s.Verified, Outcome: s.Outcome,
		Response: response{s.Response.Status, shownHeaders(s.Response.Headers, false), string(s.Response.Body)},
		Failure:  s.Failure, Notes: append([]string{}, s.Notes...), Console: append([]hook.ConsoleLine{}, s.Console...),
		HandlerMS: milliseconds(s.HandlerTime), TraceParent: r.Headers.Get("traceparent"), Events: viewEvents(s.Events), Deliveries: []delivery{},
	}
	if v.Body == nil {
		v.Body = []byte{}
	}
	if utf8.Valid(r.Body) {
		text := string(r.Body)
		v.Text = &text
	}
	attempts := map[string][]hook.Attempt{}
	for _, a := range s.Attempts {
		attempts[a.DeliveryID] = append(attempts[a.DeliveryID], a)
	}
	for _, d := range s.Deliveries {
		v.Deliveries = append(v.Deliveries, viewDelivery(d, attempts[d.ID]))
	}
	return v
}

// shownPayloads bounds the payloads of one list of events together: a handler
// may pass on a large body very many times.
const shownPayloads = 8 << 20

// eventViewer makes views until the payloads are too many.
type eventViewer struct{ left int }

func (v *eventViewer) view(e *hook.Event) event {
	shown := event{ID: e.ID, Key: e.Key, Selector: e.Selector, Type: e.Type, PayloadSize: len(e.Payload), Duplicate: e.Duplicate}
	if len(e.Payload) <= v.left {
		v.left -= len(e.Payload)
		shown.Payload = viewPayload(e.Payload)
	}
	return shown
}

func viewEvents(events []*hook.Event) []event {
	v := eventViewer{shownPayloads}
	views := make([]event, len(events))
	for i, e := range events {
		views[i] = v.view(e)
	}
	return views
}

// viewPayload is a payload within JSON, which must be UTF-8.
func viewPayload(payload []byte) json.RawMessage {
	if !utf8.Valid(payload) {
		payload = []byte(strings.ToValidUTF8(string(payload), "\uFFFD"))
	}
	return payload
}

func viewDelivery(d *hook.Delivery, attempts []hook.Attempt) delivery {
	v := delivery{ID: d.ID, Subscription: d.Subscription, State: d.State, Attempts: d.Attempts, ReceivedAt: d.ReceivedAt}
	if d.Event != nil {
		v.EventID, v.RequestID, v.Selector = d.Event.ID, d.Event.RequestID, d.Event.Selector
	}
	if d.State == hook.Pending {
		v.DueAt = optional(d.DueAt)
	}
	for _, a := range attempts {
		v.History = append(v.History, viewAttempt(a))
	}
	return v
}

func viewAttempt(a hook.Attempt) attempt {
	return attempt{a.Number, a.At, milliseconds(a.Took), a.Status, a.Class, a.Error, string(a.Response)}
}

type subscription struct {
	ID          string          `json:"id"`
	Workspace   string          `json:"workspace"`
	Name        string          `json:"name"`
	Origin      string          `json:"origin"` // "config" or "api"
	Integration string          `json:"integration"`
	Webhook     string          `json:"webhook"`
	Selector    string          `json:"selector"`
	Event       string          `json:"event,omitempty"`
	Parameters  json.RawMessage `json:"parameters,omitempty"`
	Filter      json.RawMessage `json:"filter,omitempty"`
	Ordered     bool            `json:"ordered"`
	Paused      bool            `json:"paused"`
	// Disabled and Inactive say why it gets nothing; "" where it does.
	Disabled    string      `json:"disabled,omitempty"`
	Inactive    string      `json:"inactive,omitempty"`
	Destination destination `json:"destination"`
	Delivering  delivering  `json:"delivering"`
}

type destination struct {
	Type        string       `json:"type"`
	URL         string       `json:"url,omitempty"`
	Headers     hook.Headers `json:"headers,omitempty"`
	Secrets     int          `json:"secrets"` // how many there are
	CloudEvents string       `json:"cloudEvents,omitempty"`
	Path        string       `json:"path,omitempty"`
	Subject     string       `json:"subject,omitempty"`
	Topic       string       `json:"topic,omitempty"`
	Brokers     []string     `json:"brokers,omitempty"`
	Delays      []string     `json:"delays"`
	Jitter      float64      `json:"jitter"`
	Timeout     string       `json:"timeout"`
	Concurrency int          `json:"concurrency"`
	Rate        float64      `json:"rate,omitempty"`
	Allow       []string     `json:"allow,omitempty"`
}

// delivering is where the delivery engine stands with a subscription.
type delivering struct {
	InFlight  int        `json:"inFlight"`
	Buffered  int        `json:"buffered"`
	Breaker   string     `json:"breaker"`
	Waiting   string     `json:"waiting,omitempty"`
	NextDue   *time.Time `json:"nextDue,omitempty"`
	LastError string     `json:"lastError,omitempty"`
}

func viewDelivering(s deliver.State) delivering {
	return delivering{s.InFlight, s.Buffered, s.Breaker, s.Waiting, optional(s.NextDue), s.LastError}
}

func (c *Console) viewSubscription(r *live.Resolved) subscription {
	s := r.Subscription
	v := subscription{
		ID: s.ID(), Workspace: s.Workspace, Name: s.Name, Origin: "api", Integration: s.Integration, Webhook: s.Webhook,
		Selector: s.Selector, Event: s.Event, Parameters: s.Parameters, Filter: s.Filter, Ordered: s.Ordered, Paused: s.Paused,
		Disabled: c.o.Live.DisabledReason(s.ID()), Inactive: r.Inactive, Destination: viewDestination(s.Destination),
		Delivering: viewDelivering(c.o.Deliver.State(s.ID())),
	}
	if c.o.Live.Current().Subscription(s.ID()) != nil {
		v.Origin = "config"
	}
	return v
}

func viewDestination(d hook.Destination) destination {
	v := destination{
		Type: d.Type, URL: shownURL(d.URL), Headers: shownHeaders(d.Headers, true), Secrets: len(d.Secrets), CloudEvents: d.CloudEvents,
		Path: d.Path, Subject: d.Subject, Topic: d.Topic, Brokers: d.Brokers, Delays: []string{}, Jitter: d.Retry.Jitter,
		Timeout: d.Timeout.String(), Concurrency: d.Concurrency, Rate: d.RatePerSecond,
	}
	for _, delay := range d.Retry.Delays {
		v.Delays = append(v.Delays, delay.String())
	}
	for _, p := range d.Allow {
		v.Allow = append(v.Allow, p.String())
	}
	return v
}
