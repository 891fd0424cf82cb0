package app

import (
	"slices"
	"strings"
	"time"

	"switchhook/gateway/activity"
	"switchhook/gateway/deliver"
	"switchhook/gateway/hook"
	"switchhook/gateway/ingest"
	"switchhook/gateway/live"
	"switchhook/gateway/metrics"
	"switchhook/gateway/script/worker"
	"switchhook/gateway/server"
	"switchhook/spec/diagnostic"
)

// observers tells several observers what became of requests.
type observers []ingest.Observer

func (o observers) Stored(rec *hook.Record, took time.Duration) {
	for _, each := range o {
		each.Stored(rec, took)
	}
}

func (o observers) Turned(t ingest.Turned) {
	for _, each := range o {
		each.Turned(t)
	}
}

// senders tells several observers what became of deliveries.
type senders []deliver.Observer

func (o senders) Attempted(sub *hook.Subscription, d *hook.Delivery, a hook.Attempt, next hook.DeliveryState) {
	for _, each := range o {
		each.Attempted(sub, d, a, next)
	}
}

func (o senders) Settled(n int, took time.Duration) {
	for _, each := range o {
		each.Settled(n, took)
	}
}

func (o senders) Breaker(subscription, state string) {
	for _, each := range o {
		each.Breaker(subscription, state)
	}
}

func (o senders) QueueFailed(op string, err error) {
	for _, each := range o {
		each.QueueFailed(op, err)
	}
}

func (g *Gateway) newMetrics() *metrics.Metrics {
	return metrics.New(metrics.Sources{
		Version: g.o.Version, Stats: g.store.Stats, StoreErr: g.store.Err, Live: g.live.Current, Streams: g.activity.Streams,
		Quarantined: g.quarantined, Workers: g.workers,
		// They are made later, and before anybody can ask.
		Totals: func() deliver.Totals { return g.deliver.Totals() },
		Server: func() server.Stats { return g.server.Stats() },
	})
}

func (g *Gateway) workers() metrics.Workers {
	e, ok := g.engine.(*worker.Engine)
	if !ok {
		return metrics.Workers{}
	}
	s := e.Stats()
	return metrics.Workers{Busy: s.Busy, Idle: max(0, s.Workers-s.Spares-s.Busy), Spare: s.Spares, Waiting: s.Waiting, Killed: s.Killed}
}

// noteReload puts a reading of the configuration into the history. next is nil
// when it could not be taken over.
func (g *Gateway) noteReload(began time.Time, previous, next *live.Generation, problems diagnostic.List) {
	r := activity.Reload{At: began, Took: time.Since(began), OK: next != nil, Problems: problems}
	if next != nil {
		r.Generation, r.Changed = next.Number, changedConnectors(previous, next)
	} else {
		r.Generation = previous.Number
	}
	g.activity.Reloaded(r)
	g.metrics.Reloaded(began, r.OK, problems)
}

// changedConnectors are those that differ between two generations, by key.
func changedConnectors(previous, next *live.Generation) []activity.ChangedConnector {
	var changed []activity.ChangedConnector
	before := map[string]*live.Connector{}
	if previous != nil {
		before = previous.Connectors
	}
	for key, c := range next.Connectors {
		if before[key] != c {
			changed = append(changed, activity.ChangedConnector{Key: key, State: string(c.State)})
		}
	}
	for key := range before {
		if next.Connectors[key] == nil {
			changed = append(changed, activity.ChangedConnector{Key: key, State: "removed"})
		}
	}
	slices.SortFunc(changed, func(a, b activity.ChangedConnector) int { return strings.Compare(a.Key, b.Key) })
	return changed
}
