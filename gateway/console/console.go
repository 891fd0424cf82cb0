// Package console serves the admin listener: health and readiness, and the
// admin API under /api/v1: requests with their whole timeline, deliveries,
// subscriptions, replays. Errors are problem details (RFC 9457). Secrets of
// destinations and parameters of integrations are in no answer. app mounts it.
package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"switchhook/gateway/config"
	"switchhook/gateway/deliver"
	"switchhook/gateway/hook"
	"switchhook/gateway/ingest"
	"switchhook/gateway/live"
	"switchhook/gateway/store"
)

// Deliverer is what the console needs of the delivery engine; *deliver.Engine is one.
type Deliverer interface {
	Offer([]*hook.Delivery)
	Wake(subscription string)
	Reload()
	State(subscription string) deliver.State
}

// Options say what a Console shows. All fields but Token and Version are required.
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
}

// New returns a console.
func New(o Options) *Console {
	c := &Console{o: o, mux: http.NewServeMux(), guard: newGuard(o.Listen, o.Token)}
	c.mux.HandleFunc("GET /healthz", c.health)
	c.mux.HandleFunc("GET /readyz", c.ready)
	for pattern, handle := range map[string]func(*http.Request) (int, any, error){
		"GET /requests":                c.listRequests,
		"GET /requests/{id}":           c.getRequest,
		"POST /requests/{id}/replay":   c.replayRequest,
		"GET /deliveries":              c.listDeliveries,
		"GET /deliveries/{id}":         c.getDelivery,
		"POST /deliveries/{id}/replay": c.replayDelivery,
		"POST /replay":                 c.replayMany,
		"POST /webhooks/{workspace}/{integration}/{webhook}/pair": c.pair,
		"GET /status":                                   c.status,
		"GET /subscriptions":                            c.listSubscriptions,
		"POST /subscriptions":                           c.createSubscription,
		"GET /subscriptions/{workspace}/{name}":         c.getSubscription,
		"PUT /subscriptions/{workspace}/{name}":         c.putSubscription,
		"DELETE /subscriptions/{workspace}/{name}":      c.deleteSubscription,
		"POST /subscriptions/{workspace}/{name}/pause":  c.pauseSubscription,
		"POST /subscriptions/{workspace}/{name}/resume": c.resumeSubscription,
		"POST /subscriptions/{workspace}/{name}/enable": c.enableSubscription,
	} {
		method, path, _ := strings.Cut(pattern, " ")
		c.mux.Handle(method+" /api/v1"+path, answer(handle))
	}
	return c
}

// SetServing says whether requests to webhooks are being taken; they are not
// at first, nor while the gateway drains.
func (c *Console) SetServing(serving bool) { c.serving.Store(serving) }

func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
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
	if !c.serving.Load() {
		status, reason = http.StatusServiceUnavailable, "starting or draining"
	} else if err := c.o.Ready(); err != nil {
		status, reason = http.StatusServiceUnavailable, err.Error()
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
	}{Ready: status == http.StatusOK, Reason: reason, Version: c.o.Version, Broken: []connector{}}
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
