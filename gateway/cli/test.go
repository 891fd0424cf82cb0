package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"switchhook/gateway/config"
	"switchhook/gateway/fixture"
	"switchhook/gateway/live"
	"switchhook/gateway/script"
	"switchhook/spec"
	"switchhook/spec/diagnostic"
)

// testFlags are the flags of test.
type testFlags struct {
	run, junit, lcov                         string
	verbose, watch, update, asJSON, coverage bool
}

func (p *program) testCommand() *cobra.Command {
	var f testFlags
	c := &cobra.Command{
		Use:   "test [PATH]",
		Short: "Run the fixtures of a connector, a folder of connectors, or a whole configuration",
		Long: `Test runs fixtures: requests as a provider would send them, and what is
expected to come of them. PATH is a connector, a folder of connectors, one file of
fixtures, or a configuration; of that all connectors are tested, and the fixtures of
the whole gateway in the folder tests beside it. Without PATH it is the configuration.

Cases take the same way as requests to the gateway, each by itself: the clock
stands at the case's "now" (2026-01-02T03:04:05Z), randomness is seeded with the case's name, nothing is
stored and nothing is fetched from the network. "sign: true" signs as the webhook's verify block expects;
where that has public keys, leave them out of the parameters, and a pair of keys is made
for the run.

With --update the expectations of cases that fail are rewritten in their files to what came;
comments and everything else stay. Look at the difference before you commit it.

Exit code 0: all passed, 1: some failed, 2: some could not run.`,
		Example: `  switchhook test                              # everything, with config.yaml
  switchhook test connectors/github            # one connector
  switchhook test connectors --run 'github/push'
  switchhook test connectors/github/fixtures/push.yml --update
  switchhook test --watch                      # again after each save
  switchhook test --junit report.xml --lcov coverage.info`,
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
			only, err := regexp.Compile(f.run)
			if err != nil {
				return usageError("--run: %w", err)
			}
			if f.watch && (f.update || f.junit != "" || f.lcov != "") {
				return usageError("--watch does not go together with --update, --junit and --lcov")
			}
			t, err := p.newTesting(path, only, f.coverage || f.lcov != "")
			if err != nil {
				return err
			}
			defer t.close()
			if f.watch {
				return t.watch(c.Context(), &f)
			}
			return t.once(c.Context(), &f)
		},
	}
	c.Flags().StringVar(&f.run, "run", "", "run only cases whose \"connector/name\" (or \"tests/file.yml/name\") matches this regular expression")
	c.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "list the cases that passed, too, with what they printed")
	c.Flags().BoolVarP(&f.watch, "watch", "w", false, "run again what a save touches, until interrupted")
	c.Flags().BoolVar(&f.update, "update", false, "rewrite the expectations of cases that fail")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print the results as JSON")
	c.Flags().StringVar(&f.junit, "junit", "", "write the results to this file as JUnit XML")
	c.Flags().BoolVar(&f.coverage, "coverage", false, "show which lines of each handler no case reached")
	c.Flags().StringVar(&f.lcov, "lcov", "", "write the coverage to this file, in the format of lcov")
	return c
}

// testing runs fixtures, all at first and then those that a change touches.
type testing struct {
	p      *program
	path   string
	kind   pathKind
	only   *regexp.Regexp
	engine script.Engine
	runner *fixture.Runner

	mu sync.Mutex
	// seen has the fingerprint of each connector, and of the gateway under "", that its
	// cases ran with; extra the files outside of the connector that they read.
	seen  map[string]string
	extra map[string][]string
}

func (p *program) newTesting(path string, only *regexp.Regexp, coverage bool) (*testing, error) {
	kind, err := kindOf(path)
	if err != nil {
		return nil, err
	}
	t := &testing{p: p, path: path, kind: kind, only: only, seen: map[string]string{}, extra: map[string][]string{}}
	if t.engine, err = p.engine(config.Scripts{}); err != nil {
		return nil, err
	}
	// The connectors of a gateway are loaded once for their own fixtures and once for those of the whole.
	builder := &live.Builder{Engine: t.engine, URLKey: make(live.URLKey, 32), Now: now, Cache: &memoryCache{kept: map[string][]byte{}}}
	t.runner = &fixture.Runner{Engine: t.engine, Builder: builder, Coverage: coverage}
	return t, nil
}

func (t *testing) close() { _ = t.engine.Close() } // nothing is under way any more

// memoryCache keeps built functions while the program runs.
type memoryCache struct {
	mu   sync.Mutex
	kept map[string][]byte
}

func (c *memoryCache) Get(key string) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	value, ok := c.kept[key]
	return value, ok
}

func (c *memoryCache) Put(key string, value []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept[key] = value
}

// once runs everything, reports and returns the error with the exit code.
func (t *testing) once(ctx context.Context, f *testFlags) error {
	began := time.Now()
	suites, err := t.run(ctx)
	if err != nil {
		return err
	}
	if f.update {
		updated, err := fixture.Update(suites)
		for _, file := range updated.Files {
			fmt.Fprintf(t.p.streams.Err, "updated %s\n", file)
		}
		for _, why := range updated.Left {
			fmt.Fprintf(t.p.streams.Err, "not updated: %s\n", why)
		}
		if err != nil {
			return err
		}
		if len(updated.Files) > 0 {
			t.seen = map[string]string{}
			if suites, err = t.run(ctx); err != nil {
				return err
			}
		}
	}
	if f.run != "" && !slices.ContainsFunc(suites, func(s *fixture.Suite) bool { return len(s.Results) > 0 || s.Findings.HasErrors() }) {
		return usageError("--run: no case matches %q", f.run)
	}
	if err := t.report(suites, time.Since(began), f); err != nil {
		return err
	}
	switch n := fixture.Count(suites); {
	case n.Broken > 0:
		return &exitError{exitUsage, nil}
	case n.Failed > 0:
		return &exitError{exitFindings, nil}
	}
	return nil
}

// watch runs everything, and then what changes touch, until ctx ends.
func (t *testing) watch(ctx context.Context, f *testFlags) error {
	changes := make(chan struct{}, 1)
	changed := func() {
		select {
		case changes <- struct{}{}:
		default: // one is waiting already
		}
	}
	folders, files := t.watched()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop()
	failed := make(chan error, 1)
	watching.Go(func() {
		failed <- live.Watch(ctx, slog.New(slog.DiscardHandler), folders, files, changed)
	})
	changed()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			if ctx.Err() != nil {
				return nil
			}
			return err
		case <-changes:
		}
		began := time.Now()
		suites, err := t.run(ctx)
		var exit *exitError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &exit):
			// Such as a configuration that is broken at the moment.
			if exit.err != nil {
				fmt.Fprintf(t.p.streams.Err, "switchhook: %v\n", exit.err)
			}
		case err != nil:
			return err
		}
		if len(suites) == 0 {
			continue
		}
		if err := t.report(suites, time.Since(began), f); err != nil {
			return err
		}
		if !f.asJSON {
			fmt.Fprintf(t.p.streams.Out, "watching for changes, interrupt to stop\n\n")
		}
	}
}

// watched is what live.Watch has to look at.
func (t *testing) watched() (folders, files []string) {
	switch t.kind {
	case configFile:
		folders, files = []string{filepath.Join(filepath.Dir(t.path), "tests")}, []string{t.path}
		if cfg, _ := config.Load(t.path, config.Options{Set: t.p.set}); cfg != nil {
			folders = append(folders, cfg.Connectors)
		}
	case connectorFile:
		// The files of payloads stand beside it.
		folders = []string{filepath.Dir(t.path)}
	case fixtureFile:
		folders = []string{filepath.Dir(filepath.Dir(t.path))}
	default:
		folders = []string{t.path}
	}
	return folders, files
}

func (t *testing) report(suites []*fixture.Suite, took time.Duration, f *testFlags) error {
	var coverage fixture.Coverage
	var err error
	if f.coverage || f.lcov != "" {
		if coverage, err = fixture.Cover(suites); err != nil {
			return err
		}
	}
	if f.junit != "" {
		err := writeFile(f.junit, func(w io.Writer) error { return fixture.WriteJUnit(w, suites, took) })
		if err != nil {
			return usageError("--junit: %w", err)
		}
	}
	if f.lcov != "" {
		if err := writeFile(f.lcov, coverage.WriteLCOV); err != nil {
			return usageError("--lcov: %w", err)
		}
	}
	if f.asJSON {
		if !f.coverage {
			coverage = nil
		}
		return fixture.WriteJSON(t.p.streams.Out, suites, coverage, took)
	}
	text := fixture.Text{W: t.p.streams.Out, Color: t.p.streams.OutColor, Verbose: f.verbose}
	text.Report(suites, took)
	if f.coverage {
		return coverage.WriteText(t.p.streams.Out)
	}
	return nil
}

func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// run runs the cases of all connectors and of the gateway that changed since they ran last.
func (t *testing) run(ctx context.Context) ([]*fixture.Suite, error) {
	var suites []*fixture.Suite
	var err error
	switch t.kind {
	case connectorFolder, connectorFile:
		suites, err = t.connectors(ctx, []string{t.path}, "")
	case connectorsFolder:
		suites, err = t.folder(ctx, t.path)
	case fixtureFile:
		suites, err = t.file(ctx)
	default:
		suites, err = t.gateway(ctx)
	}
	if err == nil && ctx.Err() != nil {
		err = &exitError{exitFindings, errors.New("interrupted")}
	}
	return suites, err
}

// gateway runs the fixtures of a configuration's connectors, and those in the folder tests beside it.
func (t *testing) gateway(ctx context.Context) ([]*fixture.Suite, error) {
	cfg, list := config.Load(t.path, config.Options{Set: t.p.set})
	t.p.report(list)
	if cfg == nil {
		return nil, &exitError{exitUsage, nil}
	}
	suites, err := t.folder(ctx, cfg.Connectors)
	if err != nil {
		return nil, err
	}
	whole, err := t.whole(ctx, cfg, gatewayFixtures(cfg.Dir))
	return append(suites, whole...), err
}

// file runs one file of fixtures, of a connector or of a gateway.
func (t *testing) file(ctx context.Context) ([]*fixture.Suite, error) {
	folder, err := filepath.Abs(filepath.Dir(t.path))
	if err != nil {
		return nil, err
	}
	above := filepath.Dir(folder)
	switch filepath.Base(folder) {
	case "fixtures":
		return t.connectors(ctx, []string{above}, t.path)
	case "tests":
		for _, name := range []string{"config.yaml", "config.yml"} {
			path := filepath.Join(above, name)
			if _, err := os.Stat(path); err != nil {
				continue
			}
			cfg, list := config.Load(path, config.Options{Set: t.p.set})
			t.p.report(list)
			if cfg == nil {
				return nil, &exitError{exitUsage, nil}
			}
			return t.whole(ctx, cfg, []string{t.path})
		}
		return nil, usageError("%s is a file of fixtures in a folder tests, and there is no config.yaml beside that", t.path)
	}
	return nil, usageError("%s is a file of fixtures; it belongs into the folder fixtures of a connector, or into tests beside config.yaml", t.path)
}

func (t *testing) folder(ctx context.Context, folder string) ([]*fixture.Suite, error) {
	paths, list := spec.Find(folder)
	t.p.report(list)
	if list.HasErrors() || len(paths) == 0 {
		return nil, usageError("%s has no connectors in it", folder)
	}
	return t.connectors(ctx, paths, "")
}

// connectors runs the fixtures of connectors side by side; with file only those that stand in it.
func (t *testing) connectors(ctx context.Context, paths []string, file string) ([]*fixture.Suite, error) {
	suites := make([]*fixture.Suite, len(paths))
	var group errgroup.Group
	group.SetLimit(4)
	for i, path := range paths {
		group.Go(func() error {
			if ctx.Err() == nil && t.changed(path, path) {
				suites[i] = t.connector(ctx, path, file)
			}
			return nil
		})
	}
	_ = group.Wait() // the functions return nil
	return slices.DeleteFunc(suites, func(s *fixture.Suite) bool { return s == nil }), nil
}

func (t *testing) connector(ctx context.Context, path, file string) *fixture.Suite {
	began := time.Now()
	c := t.runner.Builder.LoadConnector(path, nil)
	s := &fixture.Suite{Name: c.Key, Connector: c}
	if c.State == live.Down {
		s.Findings = c.Problems
		return s
	}
	cases, list := fixture.Of(c)
	s.Findings = list
	if file != "" {
		alone := func(d diagnostic.Diagnostic) bool { return !sameFile(d.File, file) }
		s.Findings = slices.DeleteFunc(s.Findings, alone)
		cases = slices.DeleteFunc(cases, func(c *fixture.Case) bool { return !sameFile(c.Node.Document().File, file) })
	}
	var extra []string
	for _, one := range cases {
		if one.Request.File != "" {
			extra = append(extra, one.Request.File)
		}
	}
	t.mu.Lock()
	t.extra[path] = extra
	t.mu.Unlock()
	s.Results = t.runner.RunConnector(ctx, c, chosen(cases, s.Name, t.only))
	s.Took = time.Since(began)
	return s
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	y, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(x, y)
}

// gatewayFixtures are the files in the folder tests beside a configuration.
func gatewayFixtures(dir string) []string {
	var files []string
	for _, pattern := range []string{"*.yml", "*.yaml"} {
		found, _ := filepath.Glob(filepath.Join(dir, "tests", pattern)) // the pattern is well formed
		files = append(files, found...)
	}
	slices.Sort(files)
	return files
}

// whole runs fixtures of the whole gateway.
func (t *testing) whole(ctx context.Context, cfg *config.Config, files []string) ([]*fixture.Suite, error) {
	if len(files) == 0 || !t.changed("", cfg.Path, filepath.Join(cfg.Dir, "tests"), cfg.Connectors) {
		return nil, nil
	}
	// A new one each time: connectors that broke must not be tested as they were.
	subscriptions := live.New(t.runner.Builder)
	g, list := subscriptions.Reload(ctx, cfg)
	if g == nil {
		t.p.report(list)
		return nil, &exitError{exitUsage, nil}
	}
	var suites []*fixture.Suite
	for _, file := range files {
		began := time.Now()
		cases, findings := fixture.Load(file)
		s := &fixture.Suite{Name: "tests/" + filepath.Base(file), Findings: findings}
		s.Results = t.runner.RunGateway(ctx, g, subscriptions, chosen(cases, s.Name, t.only))
		s.Took = time.Since(began)
		suites = append(suites, s)
	}
	return suites, nil
}

// changed tells whether anything at the paths changed since it was last called for
// key, and takes note of what there is now.
func (t *testing) changed(key string, paths ...string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := fingerprint(append(paths, t.extra[key]...), key == "")
	before, ran := t.seen[key]
	t.seen[key] = now
	return !ran || before != now
}

// fingerprint changes when a file at or below the paths does. The fixtures of connectors can
// be passed over.
func fingerprint(paths []string, passFixtures bool) string {
	var b strings.Builder
	for _, path := range paths {
		if target, err := filepath.EvalSymlinks(path); err == nil {
			path = target
		}
		_ = filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				fmt.Fprintf(&b, "%s: gone\n", path)
				return nil // that it is not there is part of it
			}
			if d.IsDir() && (d.Name() == "node_modules" || passFixtures && d.Name() == "fixtures") {
				return fs.SkipDir
			}
			if info, err := os.Stat(path); err == nil && !info.IsDir() {
				fmt.Fprintf(&b, "%s %d %d %s\n", path, info.Size(), info.ModTime().UnixNano(), info.Mode())
			}
			return nil
		})
	}
	return b.String()
}

func chosen(cases []*fixture.Case, suite string, only *regexp.Regexp) []*fixture.Case {
	return slices.DeleteFunc(cases, func(c *fixture.Case) bool { return !only.MatchString(suite + "/" + c.Name) })
}
