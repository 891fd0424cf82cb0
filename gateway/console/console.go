// Package console serves the admin listener: health and readiness, and the
// admin API. It reads through narrow interfaces and changes nothing by itself.
// app mounts it.
package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"

	"switchhook/gateway/live"
)

// Options say what a Console shows.
type Options struct {
	// Ready says why requests cannot be taken; nil when they can.
	Ready func() error
	Live  *live.Live
	// Version of the program.
	Version string
}

// Console is the handler of the admin listener.
type Console struct {
	o       Options
	mux     *http.ServeMux
	serving atomic.Bool
}

// New returns a console.
func New(o Options) *Console {
	c := &Console{o: o, mux: http.NewServeMux()}
	c.mux.HandleFunc("GET /healthz", c.health)
	c.mux.HandleFunc("GET /readyz", c.ready)
	return c
}

// SetServing says whether requests to webhooks are being taken; they are not
// at first, nor while the gateway drains.
func (c *Console) SetServing(serving bool) { c.serving.Store(serving) }

func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
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
