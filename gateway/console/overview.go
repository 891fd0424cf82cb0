package console

import (
	"net/http"
	"time"

	"switchhook/gateway/activity"
)

// overview is figures of the gateway as a whole, now and over the last hour.
type overview struct {
	Ready      bool      `json:"ready"`
	Reason     string    `json:"reason,omitempty"`
	Version    string    `json:"version"`
	Generation uint64    `json:"generation"`
	StartedAt  time.Time `json:"startedAt"`
	Now        time.Time `json:"now"`
	// Connectors counts them by state.
	Connectors map[string]int `json:"connectors"`
	Store      storeFigures   `json:"store"`
	Delivering totals         `json:"delivering"`
	Streams    streams        `json:"streams"`
	// Recent is the last minute; Hour the last hour by the minute, oldest first.
	Recent point   `json:"recent"`
	Hour   []point `json:"hour"`
}

type storeFigures struct {
	Error         string     `json:"error,omitempty"`
	Requests      int64      `json:"requests"`
	Events        int64      `json:"events"`
	Pending       int64      `json:"pending"`
	Dead          int64      `json:"dead"`
	Bytes         int64      `json:"bytes"`
	OldestPending *time.Time `json:"oldestPending,omitempty"`
	OldestRequest *time.Time `json:"oldestRequest,omitempty"`
}

type totals struct {
	InFlight  int   `json:"inFlight"`
	Buffered  int   `json:"buffered"`
	Unsettled int   `json:"unsettled"`
	Bytes     int64 `json:"bytes"`
}

type streams struct {
	Open    int   `json:"open"`
	Dropped int64 `json:"dropped"`
}

// point is the figures of some time.
type point struct {
	At             time.Time `json:"at"`
	Seconds        int       `json:"seconds"`
	Requests       int64     `json:"requests"`
	Failed         int64     `json:"failed"`
	Refused        int64     `json:"refused"`
	Turned         int64     `json:"turned"`
	Unverified     int64     `json:"unverified"`
	Unavailable    int64     `json:"unavailable"`
	Events         int64     `json:"events"`
	Duplicates     int64     `json:"duplicates"`
	Deliveries     int64     `json:"deliveries"`
	Attempts       int64     `json:"attempts"`
	FailedAttempts int64     `json:"failedAttempts"`
	Done           int64     `json:"done"`
	Dead           int64     `json:"dead"`
	Bytes          int64     `json:"bytes"`
	Ack            latency   `json:"ack"`
	Delivered      latency   `json:"delivered"`
}

// latency are quantiles in milliseconds; all zero where nothing was measured.
type latency struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
}

func viewLatency(l activity.Latency) latency {
	return latency{l.Count, milliseconds(l.P50), milliseconds(l.P95), milliseconds(l.P99)}
}

func viewPoint(p *activity.Point) point {
	return point{
		p.At, p.Seconds, p.Requests, p.Failed, p.Refused, p.Turned, p.Unverified, p.Unavailable, p.Events, p.Duplicates, p.Deliveries,
		p.Attempts, p.FailedAttempts, p.Done, p.Dead, p.Bytes, viewLatency(p.Ack), viewLatency(p.Delivered),
	}
}

func (c *Console) overview(r *http.Request) (int, any, error) {
	if q := newQuery(r); q.err != nil {
		return 0, nil, q.err
	}
	stats, err := c.o.Store.Stats(r.Context())
	if err != nil {
		return 0, nil, err
	}
	g, t := c.o.Live.Current(), c.o.Deliver.Totals()
	recent := c.o.Activity.Recent()
	v := overview{
		Version: c.o.Version, Generation: g.Number, StartedAt: c.o.Activity.Started().UTC(), Now: c.o.Now().UTC(), Connectors: map[string]int{},
		Store: storeFigures{Requests: stats.Requests, Events: stats.Events, Pending: stats.Pending, Dead: stats.Dead, Bytes: stats.Bytes,
			OldestPending: optional(stats.OldestPending), OldestRequest: optional(stats.OldestRequest)},
		Delivering: totals{t.InFlight, t.Buffered, t.Unsettled, t.Bytes}, Recent: viewPoint(&recent),
	}
	v.Streams.Open, v.Streams.Dropped = c.o.Activity.Streams()
	v.Ready, v.Reason = c.readiness()
	if err := c.o.Store.Err(); err != nil {
		v.Store.Error = err.Error()
	}
	for _, k := range g.Connectors {
		state, _ := c.stateOf(k)
		v.Connectors[state]++
	}
	for _, p := range c.o.Activity.Hour() {
		v.Hour = append(v.Hour, viewPoint(&p))
	}
	return http.StatusOK, v, nil
}

// readiness says whether requests are taken, or why not.
func (c *Console) readiness() (ready bool, reason string) {
	if !c.serving.Load() {
		return false, "starting or draining"
	}
	if err := c.o.Ready(); err != nil {
		return false, err.Error()
	}
	return true, ""
}
