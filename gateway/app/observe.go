package app

import (
	"slices"
	"strings"
	"time"

	"switchhook/gateway/activity"
	"switchhook/gateway/hook"
	"switchhook/gateway/ingest"
	"switchhook/gateway/live"
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
