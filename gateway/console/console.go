// Package console serves the admin listener: health and readiness, metrics, and
// the admin API under /api/v1, which openapi.yaml describes: requests with their
// whole timeline, explanations, connectors, deliveries, subscriptions, replays, figures,
// and a live stream. Errors are problem details (RFC 9457). Secrets of
// destinations and parameters of integrations are in no answer. Every change is
// logged and kept. app mounts it.
package console

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"switchhook/gateway/activity"
	"switchhook/gateway/config"
	"switchhook/gateway/console/pages"
	"switchhook/gateway/deliver"
	"switchhook/gateway/fixture"
	"switchhook/gateway/hook"
	"switchhook/gateway/ingest"
	"switchhook/gateway/live"
	"switchhook/gateway/quarantine"
	"switchhook/gateway/store"
	"switchhook/spec/diagnostic"
)

// Deliverer is what the console needs of the delivery engine; *deliver.Engine is one.
type Deliverer interface {
	Offer([]*hook.Delivery)
	Wake(subscription string)
	Reload()
	State(subscription string) deliver.State
	Totals() deliver.Totals
	Try(ctx context.Context, sub *hook.Subscription, event *hook.Event) hook.Attempt
}

// Options say what a Console shows. All fields but Token, Version, Metrics, Quarantine and Logger are required.
type Options struct {
	// Ready says why requests cannot be taken; nil when they can.
	Ready func() error
	Live  *live.Live
	// Version of the program.
	Version string
	// Listen is the address of the admin listener, host:port. Where it is a
	// loopback address, requests under other host names are refused.
	Listen string
	// Token is what callers of the API must present; not set: none.
	Token    config.Secret
	Store    store.Store
	Pipeline *ingest.Pipeline
	Deliver  Deliverer
	Activity *activity.Log
	// Fixtures makes fixtures of stored requests.
	Fixtures *fixture.Runner
	// Metrics serves /metrics; nil: nothing does.
	Metrics http.Handler
	// Quarantine has the connectors that are set aside; nil: none ever is.
	Quarantine func() []quarantine.Entry
	// Logger gets a line for every change; default slog.Default().
	Logger *slog.Logger
	// Now is the clock by which replayed deliveries are due.
	Now func() time.Time
}

// Console is the handler of the admin listener.
type Console struct {
	o       Options
	mux     *http.ServeMux
	guard   guard
	serving atomic.Bool
	// edits serialises changes of subscriptions, which read before they write.
	edits sync.Mutex
	// closing is closed when streams must end.
	closing   chan struct{}
	closeOnce sync.Once
}

// New returns a console.
func New(o Options) *Console {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	c := &Console{o: o, mux: http.NewServeMux(), guard: newGuard(o.Listen, o.Token), closing: make(chan struct{})}
	for pattern, handle := range c.routes() {
		c.mux.Handle(pattern, handle)
	}
	for pattern, handle := range pages.Routes() {
		c.mux.Handle(pattern, handle)
	}
	return c
}

// routes are all there is, by the patterns of http.ServeMux.
func (c *Console) routes() map[string]http.Handler {
	routes := map[string]http.Handler{
		"GET /healthz":          http.HandlerFunc(c.health),
		"GET /readyz":           http.HandlerFunc(c.ready),
		"GET /api/openapi.json": http.HandlerFunc(serveOpenAPI),
		// Where clients of Membrane's API look for it.
		"GET /integrations/{id}/global-webhooks": answer(c.listGlobalWebhooks),
		"GET /api/v1/stream":                     http.HandlerFunc(c.stream),
		"GET /api/v1/requests/{id}/body":         http.HandlerFunc(c.requestBody),
	}
	if c.o.Metrics != nil {
		routes["GET /metrics"] = c.o.Metrics
	}
	for pattern, handle := range map[string]answer{
		"GET /overview":                c.overview,
		"GET /status":                  c.status,
		"GET /requests":                c.listRequests,
		"GET /requests/{id}":           c.getRequest,
		"GET /requests/{id}/explain":   c.explainRequest,
		"GET /requests/{id}/fixture":   c.recordRequest,
		"POST /requests/{id}/replay":   c.replayRequest,
		"GET /turned":                  c.listTurned,
		"GET /deliveries":              c.listDeliveries,
		"GET /deliveries/{id}":         c.getDelivery,
		"POST /deliveries/{id}/replay": c.replayDelivery,
		"POST /replay":                 c.replayMany,
		"GET /connectors":              c.listConnectors,
		"GET /connectors/{key}":        c.getConnector,
		"POST /webhooks/{workspace}/{integration}/{webhook}/pair": c.pair,
		"GET /webhooks/{workspace}/{integration}/{webhook}/pair":  c.getPairing,
		"GET /reloads":                                  c.listReloads,
		"GET /subscriptions":                            c.listSubscriptions,
		"POST /subscriptions":                           c.createSubscription,
		"GET /subscriptions/{workspace}/{name}":         c.getSubscription,
		"PUT /subscriptions/{workspace}/{name}":         c.putSubscription,
		"DELETE /subscriptions/{workspace}/{name}":      c.deleteSubscription,
		"POST /subscriptions/{workspace}/{name}/pause":  c.pauseSubscription,
		"POST /subscriptions/{workspace}/{name}/resume": c.resumeSubscription,
		"POST /subscriptions/{workspace}/{name}/enable": c.enableSubscription,
		"POST /subscriptions/{workspace}/{name}/test":   c.testSubscription,
		"GET /destinations":                             c.listDestinations,
		"GET /destinations/{workspace}/{name}":          c.getDestination,
		"GET /audit":                                    c.listChanges,
	} {
		method, path, _ := strings.Cut(pattern, " ")
		routes[method+" /api/v1"+path] = handle
	}
	return routes
}

// Close ends the streams that are open; later ones end at once.
func (c *Console) Close() { c.closeOnce.Do(func() { close(c.closing) }) }

// SetServing says whether requests to webhooks are being taken; they are not
// at first, nor while the gateway drains.
func (c *Console) SetServing(serving bool) { c.serving.Store(serving) }

func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	if err := c.guard.check(r); err != nil {
		writeProblem(w, err)
		return
	}
	if _, pattern := c.mux.Handler(r); pattern == "" {
		// The mux knows whether it is the path or the method, but says so in plain text.
		probe := &statusOnly{header: w.Header()}
		c.mux.ServeHTTP(probe, r)
		writeProblem(w, &problem{Status: probe.status, Detail: fmt.Sprintf("there is no %s %s", r.Method, r.URL.Path)})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	c.mux.ServeHTTP(w, r)
}

// quarantine has the connectors that are set aside.
func (c *Console) quarantine() []quarantine.Entry {
	if c.o.Quarantine == nil {
		return []quarantine.Entry{}
	}
	return c.o.Quarantine()
}

// quarantined is the state of a connector that is set aside, in place of "up" and "stale".
const quarantined = "quarantined"

// stateOf is the state of a connector, and why it is quarantined, where it is.
func (c *Console) stateOf(k *live.Connector) (state, reason string) {
	for _, e := range c.quarantine() {
		if e.Connector == k.Key && k.State != live.Down {
			return quarantined, fmt.Sprintf("its handlers ended their processes %d times within %v; requests are verified and stored, and run after %s, or once the connector is changed",
				e.Kills, quarantine.Within, e.Until.UTC().Format(time.RFC3339))
		}
	}
	return string(k.State), ""
}

// health answers 200 as long as the process can answer at all.
func (c *Console) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "ok")
}

// ready answers 200 when requests are taken, else 503 and why. With
// ?verbose it lists connectors that are not up; those do not make the gateway
// unready, since the others serve.
func (c *Console) ready(w http.ResponseWriter, r *http.Request) {
	status, reason := http.StatusOK, "ready"
	if ready, why := c.readiness(); !ready {
		status, reason = http.StatusServiceUnavailable, why
	}
	if !r.URL.Query().Has("verbose") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		fmt.Fprintln(w, reason)
		return
	}
	type connector struct {
		Key      string `json:"key"`
		State    string `json:"state"`
		Problems any    `json:"problems"`
	}
	answer := struct {
		Ready      bool        `json:"ready"`
		Reason     string      `json:"reason"`
		Version    string      `json:"version"`
		Generation uint64      `json:"generation"`
		Broken     []connector `json:"broken"`
		// Quarantined are connectors whose requests are stored and run later.
		Quarantined []quarantine.Entry `json:"quarantined"`
		// Config has what is wrong with config.yaml on disk, while an earlier version of it is in force.
		Config diagnostic.List `json:"config,omitempty"`
	}{Quarantined: c.quarantine(), Ready: status == http.StatusOK, Reason: reason, Version: c.o.Version, Broken: []connector{}, Config: c.o.Live.Refused()}
	g := c.o.Live.Current()
	answer.Generation = g.Number
	for _, k := range g.Connectors {
		if k.State != live.Up {
			answer.Broken = append(answer.Broken, connector{k.Key, string(k.State), k.Problems})
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(answer) // the client may be gone
}
