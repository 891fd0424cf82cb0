package cli

import (
	"context"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"switchhook/gateway/config"
	"switchhook/gateway/fixture"
	"switchhook/gateway/live"
	"switchhook/gateway/script"
	"switchhook/spec"
)

func (p *program) testCommand() *cobra.Command {
	var run string
	var verbose bool
	c := &cobra.Command{
		Use:   "test [PATH]",
		Short: "Run the fixtures of a connector, a folder of connectors, or a whole configuration",
		Long: `Test runs fixtures: requests as a provider would send them, and what is
expected to come of them. PATH is a connector, a folder of connectors, or a
configuration; then all its connectors are tested, and the fixtures of the
whole gateway in the folder tests beside it. Without PATH it is the configuration.

Exit code 0: all passed, 1: some failed, 2: some could not run.`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError("test takes one path at most, got %d", len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			path := p.configPath
			if len(args) > 0 {
				path = args[0]
			}
			only, err := regexp.Compile(run)
			if err != nil {
				return usageError("--run: %w", err)
			}
			began := time.Now()
			suites, err := p.test(c.Context(), path, only)
			if err != nil {
				return err
			}
			report := fixture.Text{W: p.streams.Out, Color: p.streams.OutColor, Verbose: verbose}
			report.Report(suites, time.Since(began))
			switch n := fixture.Count(suites); {
			case n.Broken > 0:
				return &exitError{exitUsage, nil}
			case n.Failed > 0:
				return &exitError{exitFindings, nil}
			}
			return nil
		},
	}
	c.Flags().StringVar(&run, "run", "", "run only cases whose \"connector/name\" matches this regular expression")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "list the cases that passed, too")
	return c
}

// test runs the fixtures at path.
func (p *program) test(ctx context.Context, path string, only *regexp.Regexp) ([]*fixture.Suite, error) {
	engine := script.NewInProcess(script.Options{})
	defer engine.Close()
	builder := &live.Builder{Engine: engine, URLKey: make(live.URLKey, 32), Now: now}
	runner := &fixture.Runner{Engine: engine, Builder: builder}
	kind, err := kindOf(path)
	if err != nil {
		return nil, err
	}
	switch kind {
	case connectorFolder, connectorFile:
		return []*fixture.Suite{testConnector(ctx, runner, path, only)}, nil
	case connectorsFolder:
		return p.testFolder(ctx, runner, path, only)
	}
	cfg, list := config.Load(path, config.Options{Set: p.set})
	p.report(list)
	if cfg == nil {
		return nil, &exitError{exitUsage, nil}
	}
	suites, err := p.testFolder(ctx, runner, cfg.Connectors, only)
	if err != nil {
		return nil, err
	}
	whole, err := p.testGateway(ctx, runner, cfg, only)
	return append(suites, whole...), err
}

func (p *program) testFolder(ctx context.Context, runner *fixture.Runner, folder string, only *regexp.Regexp) ([]*fixture.Suite, error) {
	paths, list := spec.Find(folder)
	p.report(list)
	if list.HasErrors() || len(paths) == 0 {
		return nil, usageError("%s has no connectors in it", folder)
	}
	var suites []*fixture.Suite
	for _, path := range paths {
		suites = append(suites, testConnector(ctx, runner, path, only))
	}
	return suites, nil
}

func testConnector(ctx context.Context, runner *fixture.Runner, path string, only *regexp.Regexp) *fixture.Suite {
	began := time.Now()
	c := runner.Builder.LoadConnector(path, nil)
	s := &fixture.Suite{Name: c.Key}
	if c.State == live.Down {
		s.Findings = c.Problems
		return s
	}
	var cases []*fixture.Case
	for _, file := range c.Spec.Fixtures {
		more, list := fixture.Load(file)
		s.Findings.Add(list...)
		cases = append(cases, more...)
	}
	if n := c.Spec.InlineFixtures; n != nil {
		more, list := fixture.FromNode(n, filepath.Dir(c.Spec.File))
		s.Findings.Add(list...)
		cases = append(cases, more...)
	}
	s.Results = runner.RunConnector(ctx, c, chosen(cases, s.Name, only))
	s.Took = time.Since(began)
	return s
}

// testGateway runs the fixtures in the folder tests beside the configuration.
func (p *program) testGateway(ctx context.Context, runner *fixture.Runner, cfg *config.Config, only *regexp.Regexp) ([]*fixture.Suite, error) {
	var files []string
	for _, pattern := range []string{"*.yml", "*.yaml"} {
		found, err := filepath.Glob(filepath.Join(cfg.Dir, "tests", pattern))
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		return nil, nil
	}
	l := live.New(runner.Builder)
	g, list := l.Reload(ctx, cfg)
	if g == nil {
		p.report(list)
		return nil, &exitError{exitUsage, nil}
	}
	var suites []*fixture.Suite
	for _, file := range files {
		began := time.Now()
		cases, findings := fixture.Load(file)
		s := &fixture.Suite{Name: "tests/" + filepath.Base(file), Findings: findings}
		s.Results = runner.RunGateway(ctx, g, l, chosen(cases, s.Name, only))
		s.Took = time.Since(began)
		suites = append(suites, s)
	}
	return suites, nil
}

func chosen(cases []*fixture.Case, suite string, only *regexp.Regexp) []*fixture.Case {
	return slices.DeleteFunc(cases, func(c *fixture.Case) bool { return !only.MatchString(suite + "/" + c.Name) })
}
