package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchhook/gateway/live"
)

// collector asks the sources when somebody reads the metrics.
type collector struct {
	Sources
	all []*prometheus.Desc

	info, connectors, generation, endpoints                   *prometheus.Desc
	requests, events, pending, dead, oldest, bytes, storeUp   *prometheus.Desc
	inFlight, buffered, unsettled, bufferedBytes, lanes       *prometheus.Desc
	connections, handling, handlingBytes, streams, streamDrop *prometheus.Desc
	workers, workerWaiting, workerKills                       *prometheus.Desc
}

func newCollector(s Sources) *collector {
	var all []*prometheus.Desc
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		d := prometheus.NewDesc("switchhook_"+name, help, labels, nil)
		all = append(all, d)
		return d
	}
	c := &collector{
		Sources:    s,
		info:       desc("build_info", "1; the version is in the label.", "version"),
		connectors: desc("connectors", "Connectors by state: up, stale (its files are broken, the last good version serves), down, quarantined (its handlers ended their processes too often).", "state"),
		generation: desc("config_generation", "The generation of the configuration that serves."),
		endpoints:  desc("webhook_urls", "Webhook URLs that are served."),

		requests: desc("store_requests", "Requests in the store."),
		events:   desc("store_events", "Events in the store."),
		pending:  desc("store_pending_deliveries", "Deliveries that are pending or waiting."),
		dead:     desc("store_dead_deliveries", "Deliveries that are dead, and can be replayed."),
		oldest:   desc("store_oldest_pending_seconds", "Age of the oldest request with a delivery that is pending or waiting; 0 where there is none."),
		bytes:    desc("store_size_bytes", "What the store takes on disk."),
		storeUp:  desc("store_up", "Whether the store takes writes: 1, or 0 while it is full or broken."),

		inFlight:      desc("deliver_in_flight_attempts", "Attempts of deliveries under way."),
		buffered:      desc("deliver_buffered_deliveries", "Deliveries in memory that wait for an attempt."),
		unsettled:     desc("deliver_unsettled_attempts", "Attempts that are over and not yet recorded."),
		bufferedBytes: desc("deliver_buffered_bytes", "Bytes of the payloads in memory."),
		lanes:         desc("deliver_active_subscriptions", "Subscriptions that the delivery engine holds anything for."),

		connections:   desc("http_open_connections", "Connections to the webhook listener."),
		handling:      desc("http_in_flight_requests", "Requests to the webhook listener being received or handled."),
		handlingBytes: desc("http_in_flight_bytes", "Bytes of memory taken by requests being received or handled."),

		workers:       desc("script_workers", "Processes that run handlers: busy, idle, or spare (to replace one that is killed).", "state"),
		workerWaiting: desc("script_waiting_calls", "Calls of handlers that no process has yet."),
		workerKills:   desc("script_worker_kills_total", "Processes that a handler ended, by running too long or taking too much memory."),

		streams:    desc("stream_clients", "Live streams of the admin API that are open."),
		streamDrop: desc("stream_dropped_messages_total", "Messages that slow readers of live streams missed."),
	}
	c.all = all
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.all {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(c.info, 1, c.Version)
	g := c.Live()
	byState := map[string]int{string(live.Up): 0, string(live.Stale): 0, string(live.Down): 0, "quarantined": 0}
	for key, k := range g.Connectors {
		if c.Quarantined(key) && k.State != live.Down {
			byState["quarantined"]++
		} else {
			byState[string(k.State)]++
		}
	}
	for state, n := range byState {
		gauge(c.connectors, float64(n), state)
	}
	gauge(c.generation, float64(g.Number))
	gauge(c.endpoints, float64(len(g.Endpoints)))

	up := 1.0
	if c.StoreErr() != nil {
		up = 0
	}
	gauge(c.storeUp, up)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if s, err := c.Stats(ctx); err == nil { // else it is closed, or very busy: these are missing then
		gauge(c.requests, float64(s.Requests))
		gauge(c.events, float64(s.Events))
		gauge(c.pending, float64(s.Pending))
		gauge(c.dead, float64(s.Dead))
		age := 0.0
		if !s.OldestPending.IsZero() {
			age = max(0, time.Since(s.OldestPending).Seconds())
		}
		gauge(c.oldest, age)
		gauge(c.bytes, float64(s.Bytes))
	}

	t := c.Totals()
	gauge(c.inFlight, float64(t.InFlight))
	gauge(c.buffered, float64(t.Buffered))
	gauge(c.unsettled, float64(t.Unsettled))
	gauge(c.bufferedBytes, float64(t.Bytes))
	gauge(c.lanes, float64(t.Lanes))

	h := c.Server()
	gauge(c.connections, float64(h.Connections))
	gauge(c.handling, float64(h.Requests))
	gauge(c.handlingBytes, float64(h.Bytes))

	w := c.Workers()
	gauge(c.workers, float64(w.Busy), "busy")
	gauge(c.workers, float64(w.Idle), "idle")
	gauge(c.workers, float64(w.Spare), "spare")
	gauge(c.workerWaiting, float64(w.Waiting))
	ch <- prometheus.MustNewConstMetric(c.workerKills, prometheus.CounterValue, float64(w.Killed))

	open, dropped := c.Streams()
	gauge(c.streams, float64(open))
	ch <- prometheus.MustNewConstMetric(c.streamDrop, prometheus.CounterValue, float64(dropped))
}
