package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"switchhook/gateway/app"
	"switchhook/gateway/config"
	"switchhook/gateway/fixture"
	"switchhook/gateway/live"
	"switchhook/spec/diagnostic"
)

func (p *program) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Receive and deliver webhooks until interrupted (the default)",
		Long: `Serve receives webhooks, stores and delivers them.

SIGINT and SIGTERM drain: requests and attempts under way are finished, then
the process ends with code 0. A second one ends it at once. SIGHUP reads the
configuration and the connectors again.`,
		Example: `  switchhook serve
  switchhook serve -c /etc/switchhook/config.yaml --set log.format=json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.serve(c.Context()) },
	}
}

func (p *program) serve(ctx context.Context) error {
	cfg, err := p.loadConfig()
	if err != nil {
		return err
	}
	logger, flush := p.logger(cfg)
	defer flush()
	report := p.report
	if !p.logsText(cfg) {
		report = func(list diagnostic.List) { logFindings(logger, list) }
	}
	gateway, err := app.New(ctx, app.Options{
		Config:     cfg,
		LoadConfig: func() (*config.Config, diagnostic.List) { return config.Load(p.configPath, config.Options{Set: p.set}) },
		Version:    version(),
		Logger:     logger,
		Stdout:     p.streams.Out,
		Report:     report,
	})
	var unusable *app.ConfigError
	switch {
	case errors.As(err, &unusable):
		report(unusable.List)
		return &exitError{exitUsage, nil}
	case err != nil:
		return err
	}
	defer func() {
		if closeErr := gateway.Close(); closeErr != nil {
			logger.Error("closing", "error", closeErr)
		}
	}()
	g := gateway.Live().Current()
	report(append(slices.Clone(g.Warnings), g.Problems()...))
	live.LogProblems(logger, g)
	webhooks, admin := gateway.Addresses()
	if cfg.Log.Format == "json" {
		logger.Info("serving", "version", version(), "webhooks", webhooks, "admin", admin, "data", cfg.Data, "urls", len(g.Endpoints))
	} else {
		flush()
		p.announce(webhooks, admin, g)
	}

	reloading, cancel := context.WithCancel(ctx)
	var reloaders sync.WaitGroup
	reloaders.Go(func() { reloadOnHangup(reloading, gateway) })
	reloaders.Go(func() {
		if err := gateway.Watch(reloading); err != nil {
			logger.Error("watching for changes", "error", err)
		}
	})
	err = gateway.Run(ctx)
	cancel()
	reloaders.Wait()
	if err == nil {
		logger.Info("drained")
	}
	return err
}

// reloadOnHangup reloads for each SIGHUP until ctx ends.
func reloadOnHangup(ctx context.Context, gateway *app.Gateway) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			gateway.Reload(ctx)
		}
	}
}

// announce tells the person at the terminal where everything is.
func (p *program) announce(webhooks, admin string, g *live.Generation) {
	out := p.streams.Err
	fmt.Fprintf(out, "switchhook %s\n", version())
	fmt.Fprintf(out, "  webhooks  http://%s\n  admin     http://%s\n  data      %s\n", webhooks, admin, g.Config.Data)
	if len(g.Endpoints) == 0 {
		fmt.Fprintf(out, "\nNo webhook URLs: %s has no integrations.\n", g.Config.Path)
		return
	}
	fmt.Fprintln(out, "\nWebhook URLs:")
	for _, e := range g.Endpoints {
		fmt.Fprintf(out, "  %s\n", e.URL)
	}
	for _, e := range g.Endpoints {
		if req := fixture.Sample(e, now()); req != nil {
			fmt.Fprintf(out, "\nSend a sample webhook, signed as %s would:\n\n%s\n\n", e.Connector.Spec.Name, fixture.Curl(req))
			return
		}
	}
}
