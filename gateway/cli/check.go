package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"switchhook/gateway/config"
	"switchhook/gateway/fixture"
	"switchhook/gateway/live"
	"switchhook/spec"
	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

func now() time.Time { return time.Now() }

func (p *program) checkCommand() *cobra.Command {
	var format string
	var asJSON, asSARIF bool
	c := &cobra.Command{
		Use:   "check [PATH]",
		Short: "Find every mistake in a connector, a folder of connectors, or a whole configuration",
		Long: `Check reads a connector (a folder with spec.yml, or a YAML file), a folder of
connectors, a file of fixtures, or a configuration with all its connectors, and reports every
mistake at once, each with its place, the lines around it and, where that is known,
what to write instead. Without PATH it checks the configuration.

Errors keep a connector or the configuration from being used. Warnings are about what
works and is rather a slip: what the JavaScript engine does not have, webhooks that do
not verify their requests, selectors that no event can have, filters that no payload passes, Content-Types that
nobody knows.

Exit code 0: no errors (there may be warnings), 1: errors, 2: nothing to check.`,
		Example: `  switchhook check
  switchhook check connectors/github
  switchhook check --sarif > switchhook.sarif    # for code hosts
  switchhook check --json connectors             # for editors and scripts`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError("check takes one path at most, got %d", len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case asJSON && asSARIF, (asJSON || asSARIF) && c.Flags().Changed("format"):
				return usageError("give one format")
			case asJSON:
				format = "json"
			case asSARIF:
				format = "sarif"
			}
			write, ok := formats[format]
			if !ok {
				return usageError("unknown format %q: it is text, json or sarif", format)
			}
			path := p.configPath
			if len(args) > 0 {
				path = args[0]
			}
			list, err := p.check(c.Context(), path)
			if err != nil {
				return err
			}
			list.Sort()
			if err := write(p.streams, list); err != nil {
				return err
			}
			if list.HasErrors() {
				return &exitError{exitFindings, nil}
			}
			return nil
		},
	}
	c.Flags().StringVar(&format, "format", "text", "text, json, or sarif for code hosts")
	c.Flags().BoolVar(&asJSON, "json", false, "the same as --format json")
	c.Flags().BoolVar(&asSARIF, "sarif", false, "the same as --format sarif")
	return c
}

var formats = map[string]func(Streams, diagnostic.List) error{
	"text": func(s Streams, l diagnostic.List) error { return diagnostic.WriteText(s.Out, l, s.OutColor) },
	"json": func(s Streams, l diagnostic.List) error { return diagnostic.WriteJSON(s.Out, l) },
	"sarif": func(s Streams, l diagnostic.List) error {
		return diagnostic.WriteSARIF(s.Out, l, version())
	},
}

// check finds everything that is wrong with what is at path.
func (p *program) check(ctx context.Context, path string) (diagnostic.List, error) {
	engine, err := p.engine(config.Scripts{})
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	// No URL of the builder's is shown, so any key will do.
	builder := &live.Builder{Engine: engine, URLKey: make(live.URLKey, 32), Now: now}
	kind, err := kindOf(path)
	if err != nil {
		return nil, err
	}
	switch kind {
	case configFile:
		cfg, list := config.Load(path, config.Options{Set: p.set})
		if cfg == nil {
			if folder := connectorsOf(path); folder != "" {
				found, err := checkFolder(builder, folder)
				var empty *exitError
				if err != nil && !errors.As(err, &empty) {
					return nil, err
				}
				list.Add(found...)
			}
			return list, nil
		}
		g, more := builder.Build(ctx, cfg, nil)
		list.Add(more...)
		if g != nil {
			for _, c := range g.Connectors {
				list.Add(connectorFindings(c)...)
			}
		} else if isFolder(cfg.Connectors) {
			// The connectors' own mistakes are wanted too.
			found, err := checkFolder(builder, cfg.Connectors)
			if err != nil {
				return nil, err
			}
			list.Add(found...)
		}
		for _, file := range gatewayFixtures(cfg.Dir) {
			_, findings := fixture.Load(file)
			list.Add(findings...)
		}
		return list, nil
	case connectorsFolder:
		return checkFolder(builder, path)
	case fixtureFile:
		_, list := fixture.Load(path)
		return list, nil
	}
	return connectorFindings(builder.LoadConnector(path, nil)), nil
}

// connectorsOf is the folder of connectors of a configuration that cannot be used, or "" when there is none.
func connectorsOf(path string) string {
	source, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	folder := "connectors"
	doc, _ := document.Parse(path, source)
	if n := doc.Root.Get("connectors"); n != nil && n.Kind == document.String {
		folder = n.Value
	}
	if !filepath.IsAbs(folder) {
		folder = filepath.Join(filepath.Dir(path), folder)
	}
	if !isFolder(folder) {
		return ""
	}
	return folder
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// connectorFindings are those of a connector and of its fixtures.
func connectorFindings(c *live.Connector) diagnostic.List {
	_, list := fixture.Of(c)
	return append(slices.Clone(c.Problems), list...)
}

func checkFolder(builder *live.Builder, folder string) (diagnostic.List, error) {
	paths, list := spec.Find(folder)
	for _, path := range paths {
		list.Add(connectorFindings(builder.LoadConnector(path, nil))...)
	}
	if len(paths) == 0 && len(list) == 0 {
		return nil, usageError("%s has no connectors in it", folder)
	}
	return list, nil
}

// pathKind is what a path given to check or test leads to.
type pathKind int

const (
	configFile pathKind = iota
	connectorFolder
	connectorFile
	connectorsFolder
	fixtureFile // of a connector, or of a whole gateway
)

// kindOf tells what a path leads to.
func kindOf(path string) (pathKind, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if path == "config.yaml" {
			return 0, usageError("there is no config.yaml here; give a path, such as connectors/acme, or name the configuration with --config")
		}
		return 0, usageError("%s does not exist", path)
	}
	if err != nil {
		return 0, usageError("reading %s: %w", path, err)
	}
	if info.IsDir() {
		for _, name := range []string{"spec.yml", "spec.yaml", "global-webhooks"} {
			if _, err := os.Stat(filepath.Join(path, name)); err == nil {
				return connectorFolder, nil
			}
		}
		return connectorsFolder, nil
	}
	if !info.Mode().IsRegular() {
		return 0, usageError("%s is neither a file nor a folder", path)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		return 0, usageError("reading %s: %w", path, err)
	}
	doc, _ := document.Parse(path, source)
	for _, key := range []string{"workspaces", "server", "admin", "connectors", "scripts"} {
		if doc.Root.Get(key) != nil {
			return configFile, nil
		}
	}
	if doc.Root.Kind == document.List {
		return fixtureFile, nil
	}
	if doc.Root.Get("globalWebhooks") != nil || doc.Root.Get("key") != nil || filepath.Base(path) != "config.yaml" {
		return connectorFile, nil
	}
	return configFile, nil
}
