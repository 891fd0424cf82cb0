// Package metrics measures the gateway for Prometheus. app makes a Metrics, has
// it observe ingest, deliver and server, and mounts it on the admin listener.
//
// Names follow https://prometheus.io/docs/practices/naming/. How many series
// there can be is bounded: what comes after the first maxLabels webhooks, or
// destinations, is counted under "other".
package metrics

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"switchhook/gateway/deliver"
	"switchhook/gateway/hook"
	"switchhook/gateway/ingest"
	"switchhook/gateway/live"
	"switchhook/gateway/server"
	"switchhook/gateway/store"
	"switchhook/spec/diagnostic"
)

// maxLabels bounds the webhooks, and the subscriptions, that have series of their own.
const maxLabels = 500

const other = "other"

// Sources are asked when somebody reads the metrics. All are required.
type Sources struct {
	Version string
	// Stats and StoreErr are those of store.Store.
	Stats    func(context.Context) (store.Stats, error)
	StoreErr func() error
	Totals   func() deliver.Totals
	Server   func() server.Stats
	Live     func() *live.Generation
	// Quarantined tells whether a connector is set aside.
	Quarantined func(connector string) bool
	Workers     func() Workers
	// Streams is how many live streams are open, and how many messages they missed.
	Streams func() (open int, dropped int64)
}

// Workers are figures about the processes that run handlers; zero where they run in the gateway's own.
type Workers struct {
	Busy, Idle, Spare, Waiting int
	Killed                     uint64
}

// Metrics implements the observers of ingest and deliver.
type Metrics struct {
	deliver.NopObserver
	registry *prometheus.Registry

	requests         *prometheus.CounterVec
	bytes, events    *prometheus.CounterVec
	duplicates       *prometheus.CounterVec
	deliveries       *prometheus.CounterVec
	ack, handler     *prometheus.HistogramVec
	responses        *prometheus.CounterVec
	attempts         *prometheus.CounterVec
	attemptTime      *prometheus.HistogramVec
	settled          *prometheus.CounterVec
	delivered        *prometheus.HistogramVec
	breaker          *prometheus.GaugeVec
	settleTime       prometheus.Histogram
	queueFailures    *prometheus.CounterVec
	reloads          *prometheus.CounterVec
	lastReload       prometheus.Gauge
	lastReloadOK     prometheus.Gauge
	diagnostics      *prometheus.GaugeVec
	webhooks         labels[webhook, *ofWebhook]
	destinations     labels[string, *ofDestination]
	mu               sync.Mutex
	responseCounters sync.Map // response -> prometheus.Counter
}

// New returns metrics of nothing so far.
func New(s Sources) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		m.registry.MustRegister(v)
		return v
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	short := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}
	long := []float64{.005, .025, .1, .5, 1, 5, 15, 60, 300, 1800, 7200, 36000, 86400}

	m.requests = counter("switchhook_requests_total", "Requests to webhooks by what became of them.", "connector", "webhook", "outcome")
	m.bytes = counter("switchhook_request_body_bytes_total", "Bytes of the bodies of stored requests.", "connector", "webhook")
	m.events = counter("switchhook_events_total", "Events that handlers returned, duplicates among them.", "connector", "webhook")
	m.duplicates = counter("switchhook_duplicate_events_total", "Events that were duplicates, and not delivered.", "connector", "webhook")
	m.deliveries = counter("switchhook_deliveries_total", "Deliveries made of events.", "connector", "webhook")
	m.ack = histogram("switchhook_request_duration_seconds", "From the receipt of a request to its acknowledgement, its handler and the store among it.", short, "connector", "webhook")
	m.handler = histogram("switchhook_handler_duration_seconds", "How long handlers ran.", short, "connector", "webhook")
	m.responses = counter("switchhook_http_responses_total", "Responses of the webhook listener; target says whether the URL is that of a webhook.", "status", "target")
	m.attempts = counter("switchhook_delivery_attempts_total", "Attempts of deliveries by how they ended; class is ok, or why it failed.", "subscription", "type", "class")
	m.attemptTime = histogram("switchhook_delivery_attempt_duration_seconds", "How long attempts took.", []float64{.001, .005, .025, .1, .25, .5, 1, 2.5, 5, 10, 30}, "subscription", "type")
	m.settled = counter("switchhook_deliveries_settled_total", "Deliveries that became done or dead.", "subscription", "type", "state")
	m.delivered = histogram("switchhook_delivery_duration_seconds", "From the receipt of a request to the end of the attempt that delivered its event.", long, "subscription", "type")
	m.breaker = gauge("switchhook_breaker_state", "Circuit breakers of destinations that have ever opened: 0 closed, 1 half-open, 2 open.", "subscription")
	settle := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "switchhook_store_settle_duration_seconds", Help: "How long it took to record a batch of attempts.", Buckets: short})
	m.settleTime = settle
	m.queueFailures = counter("switchhook_store_failures_total", "Calls of the store by the delivery engine that failed.", "operation")
	m.reloads = counter("switchhook_config_reloads_total", "Readings of config.yaml and the connectors, the first one among them.", "result")
	m.lastReload = prometheus.NewGauge(prometheus.GaugeOpts{Name: "switchhook_config_last_reload_timestamp_seconds", Help: "When the configuration was last read."})
	m.lastReloadOK = prometheus.NewGauge(prometheus.GaugeOpts{Name: "switchhook_config_last_reload_successful", Help: "Whether the last reading was taken over: 1, or 0 where an older configuration stays in force."})
	m.diagnostics = gauge("switchhook_diagnostics", "Findings of the last reading of the configuration.", "severity")
	m.webhooks.make, m.destinations.make = m.ofWebhook, m.ofDestination
	m.registry.MustRegister(settle, m.lastReload, m.lastReloadOK, newCollector(s),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, result := range []string{"ok", "failed"} {
		m.reloads.WithLabelValues(result)
	}
	return m
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// Registry has all metrics.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// labels are the values that have series of their own, up to maxLabels.
type labels[K comparable, V any] struct {
	make func(key K, own bool) V

	known sync.Map // K -> V
	mu    sync.Mutex
	n     int
	rest  V // of all others, once there are any
	over  bool
}

func (l *labels[K, V]) get(key K) V {
	if v, ok := l.known.Load(key); ok {
		return v.(V)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if v, ok := l.known.Load(key); ok {
		return v.(V)
	}
	if l.n < maxLabels {
		v := l.make(key, true)
		l.known.Store(key, v)
		l.n++
		return v
	}
	if !l.over {
		l.over, l.rest = true, l.make(key, false)
	}
	return l.rest
}

type webhook struct{ connector, webhook string }

// ofWebhook are the metrics of one webhook of a connector.
type ofWebhook struct {
	outcomes                              map[string]prometheus.Counter // not changed
	bytes, events, duplicates, deliveries prometheus.Counter
	ack, handler                          prometheus.Observer
}

// outcomes are those of hook.Outcome and the kinds of ingest.Turned.
var outcomes = []string{"accepted", "handshake", "refused", "failed", "deferred", "unverified", "bad-body", "unavailable"}

func (m *Metrics) ofWebhook(w webhook, own bool) *ofWebhook {
	if !own {
		w = webhook{other, other}
	}
	v := &ofWebhook{
		outcomes: map[string]prometheus.Counter{},
		bytes:    m.bytes.WithLabelValues(w.connector, w.webhook), events: m.events.WithLabelValues(w.connector, w.webhook),
		duplicates: m.duplicates.WithLabelValues(w.connector, w.webhook), deliveries: m.deliveries.WithLabelValues(w.connector, w.webhook),
		ack: m.ack.WithLabelValues(w.connector, w.webhook), handler: m.handler.WithLabelValues(w.connector, w.webhook),
	}
	for _, o := range outcomes {
		v.outcomes[o] = m.requests.WithLabelValues(w.connector, w.webhook, o)
	}
	return v
}

// Stored implements ingest.Observer.
func (m *Metrics) Stored(rec *hook.Record, took time.Duration) {
	w := m.webhooks.get(webhook{rec.Request.Connector, rec.Request.Webhook})
	if c := w.outcomes[string(rec.Outcome)]; c != nil {
		c.Inc()
	}
	w.bytes.Add(float64(len(rec.Request.Body)))
	w.ack.Observe(took.Seconds())
	if rec.HandlerTime > 0 {
		w.handler.Observe(rec.HandlerTime.Seconds())
	}
	if len(rec.Events) == 0 {
		return
	}
	w.events.Add(float64(len(rec.Events)))
	w.deliveries.Add(float64(len(rec.Deliveries)))
	for _, e := range rec.Events {
		if e.Duplicate {
			w.duplicates.Inc()
		}
	}
}

// Turned implements ingest.Observer.
func (m *Metrics) Turned(t ingest.Turned) {
	w := m.webhooks.get(webhook{t.Connector, t.Webhook})
	if c := w.outcomes[t.Kind]; c != nil {
		c.Inc()
	}
	w.ack.Observe(t.Took.Seconds())
}

type response struct {
	status int
	found  bool
}

// Answered is for server.Options.Observe.
func (m *Metrics) Answered(o server.Observation) {
	key := response{o.Status, o.Found}
	if c, ok := m.responseCounters.Load(key); ok {
		c.(prometheus.Counter).Inc()
		return
	}
	target := "none"
	if o.Found {
		target = "webhook"
	}
	c := m.responses.WithLabelValues(strconv.Itoa(o.Status), target)
	m.responseCounters.Store(key, c)
	c.Inc()
}

// ofDestination are the metrics of one subscription.
type ofDestination struct {
	attempts   *prometheus.CounterVec // by class
	ok         prometheus.Counter
	took       prometheus.Observer
	done, dead prometheus.Counter
	delivered  prometheus.Observer
}

// destination keys are the type and the subscription with a colon between.
func (m *Metrics) ofDestination(key string, own bool) *ofDestination {
	kind, subscription := cutKey(key)
	if !own {
		kind, subscription = other, other
	}
	v := &ofDestination{
		attempts: m.attempts.MustCurryWith(prometheus.Labels{"subscription": subscription, "type": kind}),
		took:     m.attemptTime.WithLabelValues(subscription, kind),
		done:     m.settled.WithLabelValues(subscription, kind, string(hook.Done)), dead: m.settled.WithLabelValues(subscription, kind, string(hook.Dead)),
		delivered: m.delivered.WithLabelValues(subscription, kind),
	}
	v.ok = v.attempts.WithLabelValues("ok")
	return v
}

func cutKey(key string) (kind, subscription string) {
	for i := range len(key) {
		if key[i] == ':' {
			return key[:i], key[i+1:]
		}
	}
	return other, key
}

// Attempted implements deliver.Observer.
func (m *Metrics) Attempted(sub *hook.Subscription, d *hook.Delivery, a hook.Attempt, next hook.DeliveryState) {
	v := m.destinations.get(sub.Destination.Type + ":" + d.Subscription)
	if a.Class == "ok" {
		v.ok.Inc()
	} else {
		v.attempts.WithLabelValues(a.Class).Inc()
	}
	v.took.Observe(a.Took.Seconds())
	switch next {
	case hook.Done:
		v.done.Inc()
		v.delivered.Observe(max(0, a.At.Add(a.Took).Sub(d.ReceivedAt).Seconds()))
	case hook.Dead:
		v.dead.Inc()
	}
}

// Settled implements deliver.Observer.
func (m *Metrics) Settled(_ int, took time.Duration) { m.settleTime.Observe(took.Seconds()) }

// Breaker implements deliver.Observer.
func (m *Metrics) Breaker(subscription, state string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch state {
	case "closed":
		// It works again: its series ends, or they would be as many as there ever were.
		m.breaker.DeleteLabelValues(subscription)
	case "half-open":
		m.breaker.WithLabelValues(subscription).Set(1)
	default:
		m.breaker.WithLabelValues(subscription).Set(2)
	}
}

// QueueFailed implements deliver.Observer.
func (m *Metrics) QueueFailed(op string, _ error) { m.queueFailures.WithLabelValues(op).Inc() }

// Reloaded notes a reading of the configuration, whether it was taken over,
// and what was found.
func (m *Metrics) Reloaded(at time.Time, ok bool, found diagnostic.List) {
	result, value := "ok", 1.0
	if !ok {
		result, value = "failed", 0
	}
	m.reloads.WithLabelValues(result).Inc()
	m.lastReload.Set(float64(at.UnixMilli()) / 1000)
	m.lastReloadOK.Set(value)
	errs, warnings := found.Count()
	m.diagnostics.WithLabelValues("error").Set(float64(errs))
	m.diagnostics.WithLabelValues("warning").Set(float64(warnings))
}
