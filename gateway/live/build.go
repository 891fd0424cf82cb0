package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"switchhook/gateway/config"
	"switchhook/gateway/handshake"
	"switchhook/gateway/match"
	"switchhook/gateway/script"
	"switchhook/gateway/verify"
	"switchhook/spec"
	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// Builder makes generations. Its fields are not changed after the first Build.
type Builder struct {
	// Engine runs the selector getters of events.
	Engine script.Engine
	// URLKey makes the tokens in URLs.
	URLKey URLKey
	// Cache keeps built functions over restarts; nil for none.
	Cache script.Cache
	// Verify is how verification fetches certificates and keys.
	Verify verify.Options
	// Now is the clock.
	Now func() time.Time
}

// Build makes a generation of cfg and its connectors folder. Connectors that
// did not change since previous (nil at start) are taken over as they are; one
// whose new version is broken keeps its last good version. When the list has
// errors (all of them about cfg; findings about connectors are in
// Generation.Connectors) the generation is nil.
func (b *Builder) Build(ctx context.Context, cfg *config.Config, previous *Generation) (*Generation, diagnostic.List) {
	connectors, list := b.loadConnectors(ctx, cfg, previous)
	if list.HasErrors() {
		return nil, list
	}
	g, list, blame := b.assemble(ctx, cfg, connectors, previous)
	if g == nil && previous != nil && holdBack(connectors, previous, blame) {
		g, list, _ = b.assemble(ctx, cfg, connectors, previous)
	}
	return g, list
}

// holdBack puts the versions that served before in place of those that are new and that config.yaml, which
// fitted, does not fit: as with other mistakes in a connector, the others are not to wait for it. It reports
// whether there were such.
func holdBack(connectors map[string]*Connector, previous *Generation, blame map[string]diagnostic.List) bool {
	held := false
	for key, problems := range blame {
		before, c := previous.Connectors[key], connectors[key]
		if before == nil || before.State == Down || c == before {
			continue
		}
		stale := *before
		// Without a hash it is loaded at the next reload again, since config.yaml may fit then.
		stale.State, stale.hash = Stale, ""
		stale.Problems = slices.Clone(problems)
		if c == nil {
			stale.Problems = diagnostic.List{{Code: "connector-gone", File: shownPath(before.path),
				Message: "the connector is gone, and config.yaml still uses it", Hint: "take out of config.yaml what uses it, or bring it back"}}
		}
		connectors[key], held = &stale, true
	}
	return held
}

// assemble makes a generation of loaded connectors. When config.yaml does not fit them it is nil, and blame has the
// errors by the connectors that they are about.
func (b *Builder) assemble(ctx context.Context, cfg *config.Config, connectors map[string]*Connector, previous *Generation) (g *Generation, list diagnostic.List, blame map[string]diagnostic.List) {
	g = &Generation{
		Number: 1, Config: cfg, urlKey: b.URLKey, BuiltAt: b.Now(),
		Connectors:    connectors,
		endpoints:     map[string]*Endpoint{},
		subscriptions: newCatalog(),
	}
	if previous != nil {
		g.Number = previous.Number + 1
	}
	blame = map[string]diagnostic.List{}
	add := func(w *config.Workspace, integration string, found diagnostic.List) {
		list.Add(found...)
		if in := w.Integrations[integration]; in != nil && found.HasErrors() {
			all := blame[in.Connector]
			all.Add(found...)
			blame[in.Connector] = all
		}
	}
	for _, name := range sortedKeys(cfg.Workspaces) {
		w := cfg.Workspaces[name]
		for _, key := range sortedKeys(w.Integrations) {
			add(w, key, b.bindIntegration(g, w.Integrations[key]))
		}
	}
	// All in one update: one by one, each would copy a part of the index.
	g.subscriptions.update(func(e *edit) {
		for _, name := range sortedKeys(cfg.Workspaces) {
			w := cfg.Workspaces[name]
			for _, key := range sortedKeys(w.Subscriptions) {
				add(w, w.Subscriptions[key].Subscription.Integration, b.addSubscription(ctx, g, e, w.Subscriptions[key]))
			}
		}
	})
	if err := ctx.Err(); err != nil {
		list.Add(diagnostic.Diagnostic{Code: "interrupted", File: cfg.Path, Message: "loading was interrupted: " + err.Error()})
	}
	slices.SortFunc(g.Endpoints, func(a, b *Endpoint) int { return strings.Compare(a.Path, b.Path) })
	if list.HasErrors() {
		return nil, list, blame
	}
	g.Warnings, g.Config = list, cfg.WithoutSource()
	return g, list, nil
}

// loadConnectors loads the connectors folder.
func (b *Builder) loadConnectors(ctx context.Context, cfg *config.Config, previous *Generation) (map[string]*Connector, diagnostic.List) {
	folder := cfg.Connectors
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		message := fmt.Sprintf("the connectors folder %s is not a folder", folder)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			message = fmt.Sprintf("there is no connectors folder %s", shownPath(folder))
		case err != nil:
			message = fmt.Sprintf("the connectors folder cannot be read: %v", err)
		}
		d := cfg.Document.Root.At("connectors").Errorf("no-connectors-folder", "%s", message)
		d.Hint = "make it, or name another one: connectors: ./my-connectors"
		return nil, diagnostic.List{d}
	}
	paths, list := spec.Find(folder)
	if list.HasErrors() {
		return nil, list
	}
	before := map[string]*Connector{}
	if previous != nil {
		for _, c := range previous.Connectors {
			before[c.path] = c
		}
	}
	loaded := make([]*Connector, len(paths))
	var group errgroup.Group
	group.SetLimit(4)
	for i, path := range paths {
		group.Go(func() error {
			if ctx.Err() == nil {
				loaded[i] = b.LoadConnector(path, before[path])
			}
			return nil
		})
	}
	_ = group.Wait() // the functions return nil
	connectors := map[string]*Connector{}
	for _, c := range loaded {
		if c == nil {
			continue
		}
		other := connectors[c.Key]
		if other == nil {
			connectors[c.Key] = c
			continue
		}
		// The one that served before goes on; it may be shared with the previous generation, so it is copied.
		winner, loser := *other, c
		if before[other.path] == nil && before[c.path] != nil {
			winner, loser = *c, other
		}
		winner.Problems = slices.Clone(winner.Problems)
		winner.Problems.Add(diagnostic.Diagnostic{Code: "duplicate-connector", File: shownPath(loser.path),
			Message: fmt.Sprintf("the connector key %q is taken by %s", c.Key, shownPath(winner.path)),
			Hint:    "give one of them another key"})
		winner.hash = "" // so that the problem goes when the other one does
		if winner.State == Up {
			winner.State = Stale
		}
		connectors[c.Key] = &winner
	}
	return connectors, list
}

// LoadConnector loads and builds the connector at path. Before is what was
// loaded from there last, nil for nothing.
func (b *Builder) LoadConnector(path string, before *Connector) *Connector {
	if before != nil && before.hash != "" && before.hash == spec.Hash(path) {
		return before // without loading it, which costs much more
	}
	loaded, list := spec.Load(path)
	if loaded == nil {
		c := &Connector{Key: strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), State: Down, Problems: list, path: path}
		return keepServing(c, before)
	}
	c := &Connector{
		Key: loaded.Key, State: Up, Spec: loaded, Problems: list, LoadedAt: b.Now(),
		Webhooks: map[string]*Webhook{}, Getters: map[string]*script.Program{}, Extractors: map[string]*script.Program{},
		path: path, hash: loaded.Hash,
	}
	for _, w := range loaded.Webhooks {
		built, problems := b.buildWebhook(loaded, w)
		c.Problems.Add(problems...)
		c.Webhooks[w.Key] = built
	}
	for _, e := range loaded.Events {
		getter := e.GetEventSelector
		if getter == nil {
			getter = e.GetEventConfig
		}
		for f, into := range map[*spec.Function]map[string]*script.Program{getter: c.Getters, e.ExtractEvents: c.Extractors} {
			if f != nil {
				program, problems := b.buildFunction(loaded, f)
				c.Problems.Add(problems...)
				into[e.Key] = program
			}
		}
	}
	c.Problems.Sort()
	if c.Problems.HasErrors() {
		c.State, c.Spec, c.Webhooks, c.Getters, c.Extractors = Down, nil, nil, nil, nil
		return keepServing(c, before)
	}
	return c
}

// keepServing lets the last good version serve in place of a broken one.
func keepServing(broken, before *Connector) *Connector {
	if before == nil || before.State == Down {
		return broken
	}
	stale := *before
	stale.State, stale.Problems, stale.hash = Stale, broken.Problems, broken.hash
	return &stale
}

func (b *Builder) buildWebhook(c *spec.Connector, w *spec.GlobalWebhook) (*Webhook, diagnostic.List) {
	var list diagnostic.List
	built := &Webhook{Spec: w}
	if w.Verify != nil {
		scheme, problems := verify.Parse(w.Verify)
		list.Add(problems...)
		built.Scheme = scheme
		if scheme != nil && c.ParametersSchema != nil {
			list.Add(undeclaredParameters(c, w.Verify, scheme.ParameterNames())...)
		}
	}
	if w.Handshake != nil {
		shake, problems := handshake.Parse(w.Handshake, w.HandshakeFunction != nil)
		list.Add(problems...)
		built.Handshake = shake
		if shake != nil && c.ParametersSchema != nil {
			list.Add(undeclaredParameters(c, w.Handshake, shake.ParameterNames())...)
		}
	}
	if w.Handle != nil {
		program, problems := b.buildFunction(c, w.Handle)
		list.Add(problems...)
		built.Handle = program
		built.selectors = sync.OnceValue(func() []*match.Selector { return selectorsOf(program) })
	}
	if w.HandshakeFunction != nil {
		program, problems := b.buildFunction(c, w.HandshakeFunction)
		list.Add(problems...)
		built.HandshakeFunction = program
	}
	return built, list
}

// undeclaredParameters reports names that a declaration refers to and
// parametersSchema does not know: nobody could ever give them.
func undeclaredParameters(c *spec.Connector, at *document.Node, names []string) diagnostic.List {
	var schema struct {
		Properties           map[string]json.RawMessage
		AdditionalProperties json.RawMessage
	}
	if json.Unmarshal(c.ParametersSchema.Raw(), &schema) != nil || len(schema.Properties) == 0 {
		return nil
	}
	var list diagnostic.List
	for _, name := range names {
		if _, ok := schema.Properties[name]; !ok {
			d := mention(at, name).Warnf("undeclared-parameter", "parameters.%s is used here, and parametersSchema does not declare it", name)
			d.Hint = diagnostic.DidYouMean(name, sortedKeys(schema.Properties))
			list.Add(d)
		}
	}
	return list
}

// mention is the first string below at that names a parameter, or at.
func mention(at *document.Node, parameter string) *document.Node {
	named := regexp.MustCompile(`\bparameters\.` + regexp.QuoteMeta(parameter) + `\b`)
	var find func(n *document.Node) *document.Node
	find = func(n *document.Node) *document.Node {
		if n.Kind == document.String && named.MatchString(n.Value) {
			return n
		}
		for _, item := range n.Items() {
			if found := find(item); found != nil {
				return found
			}
		}
		for _, e := range n.Entries() {
			if found := find(e.Value); found != nil {
				return found
			}
		}
		return nil
	}
	if found := find(at); found != nil {
		return found
	}
	return at
}

func (b *Builder) buildFunction(c *spec.Connector, f *spec.Function) (*script.Program, diagnostic.List) {
	src := script.Source{
		Connector: c.Key, Function: f.Name, Root: c.Root, Entry: f.File,
		Code: f.Code, File: f.CodeFile, Line: f.Line, Column: f.Column, Shown: c.Shown, Cache: b.Cache,
	}
	if f.Code != "" && f.Node != nil {
		around := diagnostic.SnippetAt(f.Node.Document().Source(), f.Line)
		src.Above = around.Lines[:min(max(0, f.Line-around.First), len(around.Lines))]
	}
	if f.Kind == spec.Mapping {
		src.Kind = script.Mapping
		if f.Mapping != nil {
			src.Mapping, src.Code = f.Mapping, ""
		}
	}
	return script.Build(src)
}

func shownPath(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(rel, "..") {
			return filepath.ToSlash(rel)
		}
	}
	return path
}

// bindIntegration checks an integration's parameters and makes its endpoints.
func (b *Builder) bindIntegration(g *Generation, in *config.Integration) diagnostic.List {
	c := g.Connectors[in.Connector]
	if c == nil {
		d := in.At("connector").UnknownName("connector", sortedKeys(g.Connectors))
		if d.Hint == "" {
			d.Hint = fmt.Sprintf("it would be in %s", shownPath(filepath.Join(g.Config.Connectors, in.Connector)))
		}
		return diagnostic.List{d}
	}
	if c.State == Down {
		return diagnostic.List{in.At("connector").Warnf("connector-down", "the connector %q is down; requests to its webhooks are answered 503, and subscriptions to them receive nothing", c.Key)}
	}
	endpoints, list := b.Endpoints(c, in.Workspace, in.Name, in.Parameters, in.Node, g.Config.Server.PublicURL.String())
	for _, e := range endpoints {
		e.Generation = g
		g.Endpoints = append(g.Endpoints, e)
		g.endpoints[in.Workspace+"/"+in.Name+"/"+e.Key] = e
	}
	return list
}

// Endpoints puts a connector that is not Down to use: it checks the parameters
// of an integration (nil for none; then findings point at at) and returns an
// endpoint for each webhook, without a generation.
func (b *Builder) Endpoints(c *Connector, workspace, integration string, parameters, at *document.Node, publicURL string) ([]*Endpoint, diagnostic.List) {
	raw := json.RawMessage("{}")
	if parameters != nil {
		raw = parameters.JSON()
	}
	var list diagnostic.List
	if schema := c.Spec.ParametersSchema; schema != nil {
		if parameters != nil {
			list.Add(schema.Check(parameters)...)
		} else {
			none, _ := document.Parse(at.Document().File, []byte("{}"))
			for _, d := range schema.Check(none.Root) {
				missing := at.Errorf("missing-parameters", "integration %q: %s", integration, d.Message)
				missing.Hint = d.Hint
				list.Add(missing)
			}
		}
		raw = schema.Defaults(raw)
	}
	if list.HasErrors() {
		return nil, list
	}
	if parameters != nil {
		at = parameters
	}
	var endpoints []*Endpoint
	for _, w := range c.Spec.Webhooks {
		webhook := c.Webhooks[w.Key]
		e := &Endpoint{
			Connector: c, Webhook: webhook, Workspace: workspace, Integration: integration, Key: w.Key,
			Path: b.URLKey.Path(workspace, integration, w.Key), Parameters: raw,
		}
		e.URL = publicURL + e.Path
		e.token = e.Path[len(e.Path)-tokenLength:]
		if webhook.Scheme != nil && !webhook.Scheme.None() {
			verifier, err := webhook.Scheme.Bind(raw, b.Verify)
			if err != nil {
				list.Add(at.Errorf("cannot-verify", "webhook %q of integration %q could not be verified: %s", w.Key, integration, err))
				continue
			}
			e.Verifier = verifier
		}
		endpoints = append(endpoints, e)
	}
	return endpoints, list
}

// addSubscription resolves a subscription of config.yaml and indexes it.
func (b *Builder) addSubscription(ctx context.Context, g *Generation, e *edit, s *config.Subscription) diagnostic.List {
	sub := s.Subscription
	if w := g.Config.Workspaces[s.Workspace]; w.Integrations[sub.Integration] != nil && g.connectorOf(s.Workspace, sub.Integration) == nil {
		return nil // that the integration's connector is not there was said
	}
	r, err := g.Resolve(ctx, b.Engine, &sub)
	var mistakes FieldErrors
	switch {
	case errors.As(err, &mistakes):
		var list diagnostic.List
		for _, m := range mistakes {
			d := inFilter(s.At(m.Field), m.Path).Errorf("bad-subscription", "subscription %q: %s", s.Name, m.Message)
			d.Hint = m.Hint
			list.Add(d)
		}
		return list
	case err != nil:
		return nil // ctx ended, which Build reports
	}
	e.put(newStored(g.subscriptions.kinds.of(r), r.Subscription), r.Selector)
	if r.Inactive != "" {
		return nil // that the connector is down was said of the integration
	}
	return g.doubts(s, r)
}

var filterIndex = regexp.MustCompile(`\[(\d+)\]`)

// inFilter is the key at a path such as "$or[1].amount.$gte" in a filter, or what comes nearest to it.
func inFilter(filter *document.Node, path string) *document.Node {
	if path == "" {
		return filter
	}
	names := strings.Split(strings.TrimPrefix(filterIndex.ReplaceAllString(path, ".$1"), "."), ".")
	last := len(names) - 1
	for _, e := range filter.At(names[:last]...).Entries() {
		if e.Key == names[last] {
			return e.KeyNode
		}
	}
	return filter.At(names...)
}

// doubts warns of a subscription of config.yaml that is valid and can surely
// receive nothing.
func (g *Generation) doubts(s *config.Subscription, r *Resolved) diagnostic.List {
	var list diagnostic.List
	if r.Filter != nil {
		for _, w := range r.Filter.Warnings() {
			at := ""
			if w.Path != "" {
				at = w.Path + ": "
			}
			d := inFilter(s.At("filter"), w.Path).Warnf("doubtful-filter", "subscription %q: %s%s", s.Name, at, w.Message)
			d.Hint = w.Hint
			list.Add(d)
		}
	}
	c := g.connectorOf(s.Workspace, s.Integration)
	emitted := c.Webhooks[r.Subscription.Webhook].Selectors()
	if emitted == nil || emitsOneOf(emitted, r.Selector) {
		return list
	}
	forms := make([]string, len(emitted))
	for i, e := range emitted {
		forms[i] = strconv.Quote(strings.ReplaceAll(strings.ReplaceAll(e.String(), "**", "…"), `\*`, "*"))
	}
	place, why := "selector", ""
	if s.Event != "" {
		place, why = "event", ", which its event computes"
		if s.Node.Get("parameters") != nil {
			place = "parameters"
		}
	}
	d := s.At(place).Warnf("unmatchable-selector", "subscription %q receives nothing: no event of the webhook %q can have a selector that %q matches%s; they are %s",
		s.Name, r.Subscription.Webhook, r.Selector, why, strings.Join(forms, " or "))
	if s.Event != "" {
		list.Add(d)
		return list
	}
	pattern := r.Selector.String()
	for _, other := range []string{strings.TrimSuffix(pattern, "/**"), pattern + "/**", pattern + "**"} {
		if changed, err := match.ParseSelector(other); err == nil && other != pattern && emitsOneOf(emitted, changed) {
			d.Hint = fmt.Sprintf("did you mean %q?", other)
			if strings.HasSuffix(pattern, "/**") && other != pattern+"/**" {
				d.Hint = fmt.Sprintf("%q does not match %q; did you mean %q?", pattern, other, other)
			}
			break
		}
	}
	list.Add(d)
	return list
}

func emitsOneOf(emitted []*match.Selector, wanted *match.Selector) bool {
	return slices.ContainsFunc(emitted, wanted.Intersects)
}

func selectorsOf(p *script.Program) []*match.Selector {
	if p == nil {
		return nil
	}
	var list []*match.Selector
	for _, pattern := range p.Selectors() {
		s, err := match.ParseSelector(pattern)
		if err != nil {
			return nil // such as an empty one: the call will fail
		}
		list = append(list, s)
	}
	return list
}

// LogProblems logs every finding about connectors that are not up.
func LogProblems(log *slog.Logger, g *Generation) {
	for _, key := range sortedKeys(g.Connectors) {
		c := g.Connectors[key]
		if c.State == Up {
			continue
		}
		errs, _ := c.Problems.Count()
		log.Error("connector is broken", "connector", key, "state", string(c.State), "errors", errs)
	}
}
