// Package app wires the gateway together and owns its life: New opens
// everything, Run serves until it is told to stop and then drains, Reload takes
// over changed files, Close gives everything back. Only cli calls it.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"switchhook/gateway/activity"
	"switchhook/gateway/config"
	"switchhook/gateway/console"
	"switchhook/gateway/deliver"
	"switchhook/gateway/deliver/destination"
	"switchhook/gateway/fixture"
	"switchhook/gateway/hook"
	"switchhook/gateway/ingest"
	"switchhook/gateway/live"
	"switchhook/gateway/metrics"
	"switchhook/gateway/quarantine"
	"switchhook/gateway/script"
	"switchhook/gateway/script/worker"
	"switchhook/gateway/server"
	"switchhook/gateway/store"
	"switchhook/gateway/store/sqlite"
	"switchhook/gateway/verify"
	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// Options are what a gateway is made from.
type Options struct {
	Config *config.Config
	// LoadConfig reads the configuration again, for Reload.
	LoadConfig func() (*config.Config, diagnostic.List)
	// Version of the program, for the console and outgoing requests.
	Version string
	Logger  *slog.Logger
	// Stdout is where stdout destinations write.
	Stdout io.Writer
	// Now is the clock of everything that is stored, due, or old; default
	// time.Now. It may jump, as clocks do.
	Now func() time.Time
	// Report shows or logs the findings of a reload.
	Report func(diagnostic.List)
}

// Gateway is a running gateway.
type Gateway struct {
	o        Options
	store    store.Store
	engine   script.Engine
	keeper   atomic.Pointer[quarantine.Keeper]
	live     *live.Live
	pipeline *ingest.Pipeline
	deliver  *deliver.Engine
	activity *activity.Log
	metrics  *metrics.Metrics
	server   *server.Server
	console  *console.Console
	admin    *http.Server
	fetching *http.Transport // of certificates and key sets, and to confirm handshakes
	reloaded chan struct{}   // tells limitMemory; holds one
	watcher  *live.Watcher
	// reloading serialises reloads: the configuration read last is the one in force.
	reloading sync.Mutex

	webhooks, adminListener net.Listener
}

// ConfigError is returned by New when the configuration cannot be used.
type ConfigError struct{ List diagnostic.List }

func (e *ConfigError) Error() string { return e.List.Error() }

// New opens the store, loads the connectors and listens; it serves nothing
// yet. The error is a *ConfigError when the configuration is at fault. Close
// must be called when it is nil.
func New(ctx context.Context, o Options) (_ *Gateway, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	g := &Gateway{o: o, reloaded: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			_ = g.Close()
		}
	}()
	cfg := o.Config
	// Before anything is loaded, so that no change after that is missed.
	g.watcher = live.NewWatcher([]string{cfg.Connectors}, []string{cfg.Path})
	key, err := URLKey(cfg)
	if err != nil {
		return nil, err
	}
	window := cfg.Dedupe.Window
	if window == 0 {
		window = 1 // a nanosecond: nothing comes twice within it, and 0 is the store's default
	}
	disk, err := sqlite.Open(cfg.Data, sqlite.Options{Now: o.Now, DedupeWindow: window, Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	g.store = disk
	if g.engine, err = Engine(cfg.Scripts, o.Logger, g.killed); err != nil {
		return nil, err
	}
	g.fetching = destination.GuardedTransport()
	fetcher := verify.NewHTTPFetcher(g.fetching)
	builder := &live.Builder{
		Engine: g.engine, URLKey: key, Now: o.Now, Cache: openPrograms(cfg.Data, o.Now),
		Verify: verify.Options{Keys: verify.NewKeys(fetcher)},
	}
	g.live = live.New(builder)
	g.activity = activity.New(o.Now)
	g.metrics = g.newMetrics()
	began := time.Now()
	first, list := g.live.Reload(ctx, cfg)
	if list.HasErrors() {
		return nil, &ConfigError{list}
	}
	g.o.Config = first.Config // in place of the whole
	g.noteReload(began, nil, first, append(slices.Clone(first.Warnings), first.Problems()...))
	collectLess()
	useProcessors()
	if err := g.loadStored(ctx); err != nil {
		return nil, err
	}
	g.deliver = deliver.New(deliver.Options{
		Queue:    g.store,
		Lookup:   g.subscription,
		Senders:  destination.Senders(destination.Options{Stdout: o.Stdout, Now: o.Now}),
		Logger:   o.Logger,
		Now:      o.Now,
		Observer: senders{g.activity, g.metrics},
		Disabled: g.live.SetDisabled,
	})
	g.pipeline = ingest.New(ingest.Options{
		Engine: g.engine, Store: g.store, Subscriptions: g.live, Offer: g.deliver.Offer,
		Quarantined: g.quarantined, Fetcher: fetcher, Now: o.Now, NewID: newULID, Logger: o.Logger, Observer: observers{g.activity, g.metrics, &requestLog{o.Logger}},
	})
	keeper, err := quarantine.New(ctx, quarantine.Options{
		Store: g.store, Live: g.live, Pipeline: g.pipeline, Offer: g.deliver.Offer, Now: o.Now, Logger: o.Logger,
	})
	if err != nil {
		return nil, err
	}
	g.keeper.Store(keeper)
	g.console = console.New(console.Options{
		Quarantine: keeper.List,
		Ready:      g.ready, Live: g.live, Version: o.Version, Listen: cfg.Admin.Listen, Token: cfg.Admin.Token,
		Store: g.store, Pipeline: g.pipeline, Deliver: g.deliver, Now: o.Now,
		Fixtures: &fixture.Runner{Engine: g.engine, Builder: builder}, Activity: g.activity, Metrics: g.metrics.Handler(), Logger: o.Logger,
	})
	g.server = server.New(g.serverOptions())
	if g.webhooks, err = net.Listen("tcp", cfg.Server.Listen); err != nil {
		return nil, fmt.Errorf("listening for webhooks (server.listen): %w", err)
	}
	if g.adminListener, err = net.Listen("tcp", cfg.Admin.Listen); err != nil {
		return nil, fmt.Errorf("listening for the admin API (admin.listen): %w", err)
	}
	return g, nil
}

// URLKey is the key that the tokens in webhook URLs are made with: that of the
// configuration, or else the one in the data directory, which is made when there is none.
func URLKey(cfg *config.Config) (live.URLKey, error) {
	if cfg.URLKey.IsSet() {
		return live.URLKey(cfg.URLKey.Reveal()), nil
	}
	return live.LoadURLKey(cfg.Data)
}

// Engine is the script engine that the settings ask for; the zero Scripts have the defaults.
// Killed is told of calls that ended their process; nil: nobody.
func Engine(s config.Scripts, logger *slog.Logger, killed func(connector string)) (script.Engine, error) {
	if s.Isolation == config.InProcess {
		logger.Warn("handlers run in the gateway's own process: one that hangs or eats memory harms all", "setting", "scripts.isolation")
		return script.NewInProcess(script.Options{Timeout: s.Timeout}), nil
	}
	e, err := worker.New(worker.Options{Timeout: s.Timeout, KillAfter: s.KillAfter, Memory: int64(s.Memory), Killed: killed, Logger: logger})
	if err != nil {
		return nil, fmt.Errorf("%w\nWith scripts.isolation: in-process handlers that are trusted can run without", err)
	}
	logger.Info("handlers run in processes of their own", "confinement", e.Confinement().String())
	return e, nil
}

// killed and quarantined are asked before there is a keeper, while the first generation is built.
func (g *Gateway) killed(connector string) {
	if k := g.keeper.Load(); k != nil {
		k.Killed(connector)
	}
}

func (g *Gateway) quarantined(connector string) bool {
	k := g.keeper.Load()
	return k != nil && k.Holds(connector)
}

func newULID() string { return ulid.Make().String() }

// loadStored takes over what the store knows: subscriptions made at run time,
// and which ones are disabled.
func (g *Gateway) loadStored(ctx context.Context) error {
	disabled, err := g.store.Disabled(ctx)
	if err != nil {
		return fmt.Errorf("reading disabled subscriptions: %w", err)
	}
	for id, reason := range disabled {
		g.live.SetDisabled(id, reason)
	}
	err = g.live.AddStored(ctx, func(yield func(*hook.Subscription) bool) error {
		return g.store.Subscriptions(ctx, yield)
	})
	if err != nil {
		return fmt.Errorf("reading subscriptions: %w", err)
	}
	return nil
}

// subscription is what the delivery engine sees of a subscription.
func (g *Gateway) subscription(id string) (*hook.Subscription, bool) {
	r := g.live.Subscription(id)
	if r == nil || g.live.DisabledReason(id) != "" {
		return nil, false
	}
	return r.Subscription, true
}

// ready says why requests cannot be taken; nil when they can.
func (g *Gateway) ready() error { return g.store.Err() }

// target adapts an endpoint to the server.
type target struct {
	pipeline *ingest.Pipeline
	endpoint *live.Endpoint
}

func (t target) Receive(ctx context.Context, req *hook.Request) *hook.Response {
	return t.pipeline.Receive(ctx, t.endpoint, req)
}

// Find implements server.Gateway.
func (g *Gateway) Find(path string) (server.Target, bool) {
	e := g.live.Current().Find(path)
	if e == nil {
		return nil, false
	}
	return target{g.pipeline, e}, true
}

// Live is the configuration as it is now.
func (g *Gateway) Live() *live.Live { return g.live }

// Addresses are those that webhooks and the admin API are listened on.
func (g *Gateway) Addresses() (webhooks, admin string) {
	return g.webhooks.Addr().String(), g.adminListener.Addr().String()
}

// Run serves until ctx ends, then drains: requests under way are answered,
// attempts under way are settled, both within the configured time. It returns
// nil after a clean drain.
func (g *Gateway) Run(ctx context.Context) error {
	if err := g.deliver.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("starting delivery: %w", err)
	}
	failed := make(chan error, 2)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := g.server.Serve(g.webhooks); err != nil {
			failed <- fmt.Errorf("serving webhooks: %w", err)
		}
	})
	g.admin = &http.Server{Handler: g.console, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(g.o.Logger.Handler(), slog.LevelDebug)}
	serving.Go(func() {
		if err := g.admin.Serve(g.adminListener); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serving the admin API: %w", err)
		}
	})
	background, stopBackground := context.WithCancel(ctx)
	defer stopBackground()
	serving.Go(func() { g.retain(background) })
	serving.Go(func() { g.keeper.Load().Run(background) })
	serving.Go(func() { g.limitMemory(background) })
	g.console.SetServing(true)
	var cause error
	select {
	case <-ctx.Done():
	case cause = <-failed:
	}
	stopBackground()
	g.console.SetServing(false)
	g.o.Logger.Info("draining", "deadline", g.o.Config.Server.DrainTimeout)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.o.Config.Server.DrainTimeout)
	defer cancel()
	if err := g.server.Shutdown(drain); err != nil {
		cause = errors.Join(cause, fmt.Errorf("draining requests: %w", err))
	}
	if err := g.deliver.Stop(drain); err != nil {
		g.o.Logger.Warn("some deliveries were cut off, they will be made again", "error", err)
	}
	g.console.Close()
	adminDrain, cancelAdmin := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancelAdmin()
	if g.admin.Shutdown(adminDrain) != nil {
		_ = g.admin.Close()
	}
	serving.Wait()
	return cause
}

// Reload reads config.yaml and the connectors folder again. What is wrong in
// config.yaml leaves the current configuration in place; a broken connector
// keeps its last good version. What cannot change while the gateway runs is
// named in a warning.
func (g *Gateway) Reload(ctx context.Context) {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	defer withoutLimit()()
	began, previous := time.Now(), g.live.Current()
	cfg, list := g.o.LoadConfig()
	if cfg != nil && cfg.Document.Root.Kind == document.Null && len(previous.Config.Workspaces) > 0 {
		// Somebody is writing it just now: the URLs are not to answer 404 meanwhile.
		list.Add(diagnostic.Diagnostic{Code: "empty-config", File: cfg.Document.File, Message: "the file is empty, which a reload does not take over",
			Hint: "to run without workspaces write workspaces: {}, or restart"})
		cfg = nil
	}
	if cfg == nil {
		g.live.Refuse(list)
		g.noteReload(began, previous, nil, list)
		g.o.Logger.Error("config is broken, the last good one stays in force")
		g.o.Report(list)
		return
	}
	fixed := fixedSettings(g.o.Config, cfg)
	next, found := g.live.Reload(ctx, inForce(g.o.Config, cfg))
	list.Add(found...)
	if next == nil {
		g.noteReload(began, previous, nil, list)
		g.o.Logger.Error("config is broken, the last good one stays in force")
		g.o.Report(list)
		return
	}
	for _, name := range fixed {
		g.o.Logger.Warn("this setting changes with a restart only", "setting", name)
	}
	g.deliver.Reload()
	for key, c := range next.Connectors {
		if c.State == live.Up && previous.Connectors[key] != c {
			g.keeper.Load().Release(key)
		}
	}
	select {
	case g.reloaded <- struct{}{}:
	default:
	}
	g.o.Logger.Info("reloaded", "generation", next.Number, "connectors", len(next.Connectors), "webhooks", len(next.Endpoints))
	live.LogProblems(g.o.Logger, next)
	list.Add(next.Problems()...)
	g.noteReload(began, previous, next, slices.Clone(list))
	if len(list) > 0 {
		g.o.Report(list)
	}
}

// Watch reloads whenever config.yaml or a connector changes on disk, until ctx ends. It is called once.
func (g *Gateway) Watch(ctx context.Context) error {
	return g.watcher.Run(ctx, g.o.Logger, func() { g.Reload(ctx) })
}

// Close gives back what New opened. After Run has returned, or instead of Run.
func (g *Gateway) Close() error {
	var errs []error
	if g.webhooks != nil {
		_ = g.webhooks.Close() // the server has closed it already, after Run
	}
	if g.adminListener != nil {
		_ = g.adminListener.Close()
	}
	if g.fetching != nil {
		g.fetching.CloseIdleConnections()
	}
	if g.engine != nil {
		errs = append(errs, g.engine.Close())
	}
	if g.store != nil {
		errs = append(errs, g.store.Close())
	}
	return errors.Join(errs...)
}
