// Package quarantine sets connectors aside whose handlers keep ending their worker processes. The
// requests of such a connector are still verified and stored, as deferred, and run when it is released:
// by time, or because it was changed. It says so where people look.
//
// app makes the Keeper; the script engine reports to it, ingest asks it, console shows it.
package quarantine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"switchhook/gateway/hook"
	"switchhook/gateway/ingest"
	"switchhook/gateway/live"
	"switchhook/gateway/script"
	"switchhook/gateway/store"
)

// When a connector is set aside, and for how long.
const (
	// Kills within Within are too many.
	Kills  = 3
	Within = time.Minute
	// First is for how long at first. A connector that is set aside again within
	// Forgotten after its release stays twice as long as before, at most Longest.
	First     = time.Minute
	Longest   = time.Hour
	Forgotten = time.Hour
)

// state is the name under which the store keeps what is remembered here. Those of
// integrations have a slash.
const state = "quarantine"

// Store is what a Keeper needs of a store; its contract is that of store.Store.
type Store interface {
	State(ctx context.Context, integration string) (map[string]string, error)
	Remember(ctx context.Context, integration, key, value string, replace bool) error
	Request(ctx context.Context, id string) (*store.Stored, error)
	Requests(ctx context.Context, q store.RequestQuery) (page []store.RequestSummary, next string, err error)
	ReplayRecord(ctx context.Context, rec *hook.Record) error
}

// Options say what a Keeper works with. All fields are required.
type Options struct {
	Store Store
	// Live has the connectors, and Pipeline runs what was deferred.
	Live     *live.Live
	Pipeline *ingest.Pipeline
	// Offer is given the deliveries of what was run.
	Offer  func([]*hook.Delivery)
	Now    func() time.Time
	Logger *slog.Logger
}

// Entry is a connector that is, or was lately, set aside.
type Entry struct {
	Connector string `json:"connector"`
	// Since and Until are when it was set aside, and when it is released.
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	// Kills is how many calls ended their processes.
	Kills int `json:"kills"`
	// Times is how often in a row.
	Times int `json:"times"`
}

// Keeper knows the connectors that are set aside. Its methods may be called from any goroutine.
type Keeper struct {
	o Options

	mu      sync.RWMutex
	entries map[string]*Entry
	kills   map[string][]time.Time // of the last minute, by connector
	changed map[string]bool        // entries that are not stored yet
	waiting map[string]bool        // connectors that may have deferred requests to run
	wake    chan struct{}
}

// New returns a Keeper that remembers what the store does.
func New(ctx context.Context, o Options) (*Keeper, error) {
	k := &Keeper{o: o, entries: map[string]*Entry{}, kills: map[string][]time.Time{}, changed: map[string]bool{}, waiting: map[string]bool{}, wake: make(chan struct{}, 1)}
	stored, err := o.Store.State(ctx, state)
	if err != nil {
		return nil, fmt.Errorf("reading which connectors are quarantined: %w", err)
	}
	for connector, text := range stored {
		e := &Entry{}
		if json.Unmarshal([]byte(text), e) == nil && e.Connector == connector {
			k.entries[connector] = e
			// Where the gateway ended before all was run.
			k.waiting[connector] = true
		}
	}
	return k, nil
}

// Killed is told that a call of the connector ended its worker.
func (k *Keeper) Killed(connector string) {
	now := k.o.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.entries[connector]
	if e != nil && now.Before(e.Until) {
		return // a call that was under way
	}
	recent := slices.DeleteFunc(append(k.kills[connector], now), func(t time.Time) bool { return now.Sub(t) > Within })
	k.kills[connector] = recent
	if len(recent) < Kills {
		return
	}
	delete(k.kills, connector)
	times := 1
	if e != nil && now.Sub(e.Until) < Forgotten {
		times = e.Times + 1
	}
	pause := min(First<<min(times-1, 10), Longest)
	k.entries[connector] = &Entry{Connector: connector, Since: now, Until: now.Add(pause), Kills: len(recent), Times: times}
	k.o.Logger.Error("a connector is quarantined: its handlers keep ending their processes; its requests are verified and stored, and run later",
		"connector", connector, "kills", len(recent), "until", now.Add(pause).UTC().Format(time.RFC3339))
	k.change(connector)
}

func (k *Keeper) change(connector string) {
	k.changed[connector], k.waiting[connector] = true, true
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Holds reports whether requests of the connector are to be deferred.
func (k *Keeper) Holds(connector string) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	e := k.entries[connector]
	return e != nil && k.o.Now().Before(e.Until)
}

// List has the connectors that are set aside now, by name.
func (k *Keeper) List() []Entry {
	now := k.o.Now()
	k.mu.RLock()
	defer k.mu.RUnlock()
	list := []Entry{}
	for _, name := range slices.Sorted(maps.Keys(k.entries)) {
		if e := k.entries[name]; now.Before(e.Until) {
			list = append(list, *e)
		}
	}
	return list
}

// Release lets a connector go, because it was changed: what it did before does not count.
func (k *Keeper) Release(connector string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.kills, connector)
	if e := k.entries[connector]; e == nil || !k.o.Now().Before(e.Until) {
		return
	}
	delete(k.entries, connector)
	k.o.Logger.Info("a connector was changed and is out of quarantine", "connector", connector)
	k.change(connector)
}

// Run stores what is to be remembered and runs what was deferred, until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	for {
		k.store(ctx)
		next := k.runReleased(ctx)
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-k.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// store writes the entries that have changed. What fails is tried again with the next.
func (k *Keeper) store(ctx context.Context) {
	k.mu.Lock()
	texts := map[string]string{}
	for connector := range k.changed {
		texts[connector] = ""
		if e := k.entries[connector]; e != nil {
			text, err := json.Marshal(e)
			if err == nil {
				texts[connector] = string(text)
			}
		}
	}
	k.changed = map[string]bool{}
	k.mu.Unlock()
	for connector, text := range texts {
		if err := k.o.Store.Remember(ctx, state, connector, text, true); err != nil && ctx.Err() == nil {
			k.o.Logger.Error("storing that a connector is quarantined", "connector", connector, "error", err)
			k.mu.Lock()
			k.changed[connector] = true
			k.mu.Unlock()
		}
	}
}

// runReleased runs the deferred requests of connectors that are not held (any longer), and returns when to look again.
func (k *Keeper) runReleased(ctx context.Context) time.Duration {
	next := time.Hour
	k.mu.RLock()
	waiting := slices.Sorted(maps.Keys(k.waiting))
	now := k.o.Now()
	var released []string
	for _, connector := range waiting {
		if e := k.entries[connector]; e != nil && now.Before(e.Until) {
			next = min(next, e.Until.Sub(now))
		} else {
			released = append(released, connector)
		}
	}
	k.mu.RUnlock()
	for _, connector := range released {
		switch done, err := k.runDeferred(ctx, connector); {
		case ctx.Err() != nil:
			return next
		case err != nil:
			k.o.Logger.Error("running deferred requests", "connector", connector, "error", err)
			next = min(next, 10*time.Second)
		case done:
			k.mu.Lock()
			if e := k.entries[connector]; e == nil || !k.o.Now().Before(e.Until) {
				delete(k.waiting, connector)
			}
			k.mu.Unlock()
		default: // held again, or the connector is down
			next = min(next, 10*time.Second)
		}
	}
	return max(next, 10*time.Millisecond)
}

// runDeferred runs the deferred requests of a connector, in the order in which they came. It reports
// false when it stopped before the end.
func (k *Keeper) runDeferred(ctx context.Context, connector string) (done bool, err error) {
	var ids []string
	for cursor := ""; ; {
		page, next, err := k.o.Store.Requests(ctx, store.RequestQuery{Connector: connector, Outcome: hook.Deferred, Cursor: cursor, Limit: 1000})
		if err != nil {
			return false, err
		}
		for _, r := range page {
			ids = append(ids, r.ID)
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	slices.Reverse(ids)
	for n, id := range ids {
		if ctx.Err() != nil || k.Holds(connector) {
			return false, ctx.Err()
		}
		ran, err := k.runOne(ctx, id)
		if err != nil || !ran {
			return false, err
		}
		if n+1 == len(ids) {
			k.o.Logger.Info("the deferred requests of a connector have been run", "connector", connector, "requests", len(ids))
		}
	}
	return true, nil
}

// runOne runs one deferred request. It reports false when its webhook is not there now.
func (k *Keeper) runOne(ctx context.Context, id string) (ran bool, err error) {
	stored, err := k.o.Store.Request(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if stored.Outcome != hook.Deferred {
		return true, nil // somebody was faster
	}
	req := stored.Request
	e := k.o.Live.Current().Endpoint(req.Workspace, req.Integration, req.Webhook)
	if e == nil {
		return true, nil // its integration is gone; it stays for people to see
	}
	if e.Webhook == nil {
		return false, nil
	}
	rec, answered := k.o.Pipeline.Run(ctx, e, req, ingest.Unverified(), ingest.WithInput(func(in *script.HandleInput) { in.Now = req.ReceivedAt }))
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if answered != nil || rec.Failure != nil && rec.Failure.Kind == "unavailable" {
		return false, nil
	}
	rec.Verified = stored.Verified
	switch err := k.o.Store.ReplayRecord(ctx, rec); {
	case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrNotFound):
		return true, nil
	case err != nil:
		return false, err
	}
	if len(rec.Deliveries) > 0 {
		k.o.Offer(rec.Deliveries)
	}
	return true, nil
}
