package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"switchhook/gateway/body"
	"switchhook/gateway/fixture"
	"switchhook/gateway/handshake"
	"switchhook/gateway/hook"
	"switchhook/gateway/live"
	"switchhook/gateway/match"
	"switchhook/gateway/script"
	"switchhook/spec"
	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// membrane is the bundled connector that keeps to the layout of Membrane's own,
// so that it is proven to load; it is free of our habits of layout.
const membrane = "todoist"

// TestConnectors demands of every bundled connector what docs/connectors.md promises. What a provider does
// not do (no timestamps, no handshake, no batches) is read from the connector's own spec, so
// that another connector needs no Go.
func TestConnectors(t *testing.T) {
	bench := newBench(t)
	for _, path := range bench.paths(t, filepath.Join(repository(t), "connectors")) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			for _, complaint := range bench.examine(t, path) {
				t.Error(complaint)
			}
		})
	}
}

// TestConnectorsLevel proves that the demands can fail, with connectors that do
// not meet them.
func TestConnectorsLevel(t *testing.T) {
	bench := newBench(t)
	var got strings.Builder
	for _, path := range bench.paths(t, filepath.Join(repository(t), "tests", "testdata", "poor")) {
		fmt.Fprintf(&got, "--- %s\n", filepath.Base(path))
		for _, complaint := range bench.examine(t, path) {
			fmt.Fprintln(&got, strings.ReplaceAll(complaint, repository(t)+"/", ""))
		}
	}
	compareGolden(t, filepath.Join(repository(t), "tests", "testdata", "poor.golden"), took.ReplaceAllString(got.String(), ""))
}

// took is how long a case ran, as reports say it.
var took = regexp.MustCompile(` +[0-9.]+(ns|µs|ms|s)\b`)

// bench runs connectors' fixtures.
type bench struct {
	builder *live.Builder
	runner  *fixture.Runner
	engine  script.Engine
}

func newBench(t *testing.T) *bench {
	engine := script.NewInProcess(script.Options{})
	t.Cleanup(func() { engine.Close() })
	builder := &live.Builder{Engine: engine, URLKey: make(live.URLKey, 32), Now: time.Now}
	return &bench{builder: builder, engine: engine, runner: &fixture.Runner{Engine: engine, Builder: builder, Coverage: true}}
}

func (b *bench) paths(t *testing.T, dir string) []string {
	paths, list := spec.Find(dir)
	if len(list) > 0 {
		t.Fatal(list)
	}
	if len(paths) == 0 {
		t.Fatal("there are no connectors")
	}
	return paths
}

// examine returns everything that keeps a connector from the level.
func (b *bench) examine(t *testing.T, path string) []string {
	c := b.builder.LoadConnector(path, nil)
	x := &examination{connector: c, ours: c.Key != membrane}
	if len(c.Problems) > 0 {
		var text bytes.Buffer
		diagnostic.WriteText(&text, c.Problems, false)
		x.complain("check finds something:\n%s", &text)
		if c.State != live.Up {
			return x.complaints
		}
	}
	x.spec()
	x.configuration()

	cases, findings := fixture.Of(c)
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	suite := &fixture.Suite{Name: c.Key, Results: b.runner.RunConnector(t.Context(), c, cases)}
	if n := fixture.Count([]*fixture.Suite{suite}); n.Failed+n.Broken > 0 || n.Skipped > 0 {
		var text bytes.Buffer
		(&fixture.Text{W: &text}).Report([]*fixture.Suite{suite}, 0)
		x.complain("fixtures fail:\n%s", &text)
		return x.complaints
	}
	for _, w := range c.Spec.Webhooks {
		tried := of(w, suite.Results)
		x.refusals(w, tried)
		x.handshakes(w, tried)
		x.accepted(w, tried)
	}
	x.events(b, t, suite.Results)
	x.coverage(suite.Results)
	return x.complaints
}

// examination collects what is wrong with a connector.
type examination struct {
	connector  *live.Connector
	ours       bool
	complaints []string
}

func (x *examination) complain(format string, args ...any) {
	if s := fmt.Sprintf(format, args...); !slices.Contains(x.complaints, s) {
		x.complaints = append(x.complaints, s)
	}
}

// try is a case and what came of it.
type try struct{ *fixture.Result }

func (t try) parsed() *body.Parsed {
	return body.Parse(t.Request.Headers.Get("Content-Type"), t.Request.Body)
}

// mediaType is that of the request; "" for none.
func (t try) mediaType() string {
	name, _, err := mime.ParseMediaType(t.Request.Headers.Get("Content-Type"))
	if err != nil {
		return t.Request.Headers.Get("Content-Type")
	}
	return name
}

func (t try) accepted() bool { return t.Outcome == string(hook.Accepted) }
func (t try) unverified() bool {
	return t.Outcome == "unverified" && t.Response != nil && t.Response.Status == 401
}

// of are the tries of one webhook.
func of(w *spec.GlobalWebhook, results []*fixture.Result) []try {
	var list []try
	for _, r := range results {
		if r.Request.Webhook == w.Key {
			list = append(list, try{r})
		}
	}
	return list
}

// find reports whether a try is as it should be.
func find(list []try, is func(try) bool) bool { return slices.ContainsFunc(list, is) }

// --- the specs ---

func (x *examination) spec() {
	c := x.connector.Spec
	if base := filepath.Base(filepath.Dir(c.File)); c.Key != base {
		x.complain("spec.yml: the key is %s, that of the folder %s", c.Key, base)
	}
	if c.APIDocsURI == "" {
		x.complain("spec.yml: apiDocsUri is missing")
	}
	x.parameters()
	if !x.ours {
		return
	}
	if c.Description == "" {
		x.complain("spec.yml: description is missing")
	}
	x.order("spec.yml", c.Document.Root, "key", "name", "description", "apiDocsUri", "parametersSchema")
	if len(c.Webhooks) == 1 && c.Webhooks[0].Key != "events" {
		x.complain("the only webhook has the key %s, not events", c.Webhooks[0].Key)
	}
	for _, w := range c.Webhooks {
		x.order("global-webhooks/"+w.Key+"/spec.yml", w.Node, "name", "description", "verify", "handshake", "methods")
	}
	for _, e := range c.Events {
		x.order("events/"+e.Key+"/spec.yml", e.Node, "name", "description", "implementationType", "webhook", "selector", "parametersSchema", "schema")
	}
	for _, w := range c.Webhooks {
		if !slices.ContainsFunc(c.Events, func(e *spec.Event) bool { return e.Webhook == w.Key && all(e) }) {
			x.complain("no event stands for all of the webhook %s", w.Key)
		}
	}
}

// all reports whether an event is one of any type.
func all(e *spec.Event) bool {
	if e.Selector == nil {
		return false
	}
	text, err := e.Selector.Expand(json.RawMessage("{}"))
	return err == nil && strings.HasPrefix(text, "*")
}

// order demands keys in the order in which all connectors have them.
func (x *examination) order(file string, n *document.Node, keys ...string) {
	last := -1
	for _, key := range n.Keys() {
		at := slices.Index(keys, key)
		if at < 0 || at < last {
			x.complain("%s: the keys are not in the order %s", file, strings.Join(keys, ", "))
			return
		}
		last = at
	}
}

// schemes are the blocks of a `verify:` that have a scheme.
func schemes(n *document.Node) []*document.Node {
	if n == nil || n.Kind != document.Map {
		return nil
	}
	if n.Get("scheme") != nil {
		return []*document.Node{n}
	}
	var list []*document.Node
	for _, e := range n.Entries() {
		for _, item := range e.Value.Items() {
			list = append(list, schemes(item)...)
		}
	}
	return list
}

func schemeOf(block *document.Node) string { return block.Get("scheme").Value }

// parameters demands the names that mean the same everywhere: secret and
// secrets, publicKey, token, username and password.
func (x *examination) parameters() {
	schema := gjson.ParseBytes([]byte("{}"))
	if s := x.connector.Spec.ParametersSchema; s != nil {
		schema = gjson.ParseBytes(s.Raw())
	}
	has := func(name string) bool { return schema.Get("properties." + name).Exists() }
	for _, w := range x.connector.Spec.Webhooks {
		for _, block := range schemes(w.Verify) {
			allowed := []string{"secret", "secrets"}
			switch name := schemeOf(block); {
			case name == "token" && w.Verify.Get("all") != nil:
				continue // one of several demands, of something that is no secret
			case name == "token":
				allowed = []string{"token"}
			case name == "basic":
				allowed = []string{"username", "password"}
			case name == "standard-webhooks":
				allowed = append(allowed, "publicKey")
			case block.Get("publicKey") != nil, block.Get("publicKeys") != nil:
				allowed = []string{"publicKey"}
			}
			for _, key := range []string{"secret", "secrets", "publicKey", "publicKeys", "username", "password"} {
				n := block.Get(key)
				if n == nil {
					continue
				}
				for _, ref := range append(n.Items(), n) {
					name, ok := strings.CutPrefix(ref.Value, "parameters.")
					switch {
					case !ok:
					case !slices.Contains(allowed, name):
						x.complain("the parameter %s of the scheme %s must be called %s", name, schemeOf(block), strings.Join(allowed, " or "))
					case name == "secret" && !has("secrets"):
						x.complain("several secrets cannot be given: there is no parameter secrets")
					}
				}
			}
		}
	}
	schema.Get("properties").ForEach(func(name, property gjson.Result) bool {
		if !property.Get("description").Exists() && x.ours {
			x.complain("spec.yml: the parameter %s has no description", name.Str)
		}
		return true
	})
}

// headings are the parts of every configuration.md, and what each must name.
var headings = []struct{ title, mentions string }{
	{"Where the URL goes", "switchhook urls"},
	{"Which events to tick", ""},
	{"Where the secret is", ""},
	{"How to send a test", ""},
	{"What comes out", "dedupe key"},
}

var headingLine = regexp.MustCompile(`(?m)^## (.*)$`)

// configuration demands the parts of configuration.md in their order.
func (x *examination) configuration() {
	c := x.connector.Spec
	text := c.Configuration
	if text == "" {
		x.complain("configuration.md is missing")
		return
	}
	if !strings.HasPrefix(text, "# "+c.Name+"\n") {
		x.complain("configuration.md: the first line is not # %s", c.Name)
	}
	var titles []string
	parts := map[string]string{}
	places := headingLine.FindAllStringSubmatchIndex(text, -1)
	for i, at := range places {
		end := len(text)
		if i+1 < len(places) {
			end = places[i+1][0]
		}
		title := text[at[2]:at[3]]
		titles = append(titles, title)
		parts[title] = strings.Join(strings.Fields(text[at[1]:end]), " ")
	}
	var want []string
	for _, h := range headings {
		want = append(want, h.title)
		if len(parts[h.title]) < 20 {
			x.complain("configuration.md: the part %q says nothing", h.title)
		} else if !strings.Contains(parts[h.title], h.mentions) {
			x.complain("configuration.md: the part %q does not mention %q", h.title, h.mentions)
		}
	}
	if !slices.Equal(titles, want) {
		x.complain("configuration.md: the parts are %q, expected %q", titles, want)
	}
	if s := c.ParametersSchema; s != nil {
		gjson.GetBytes(s.Raw(), "properties").ForEach(func(name, _ gjson.Result) bool {
			if !strings.Contains(text, "`"+name.Str+"`") && !strings.Contains(text, "`"+name.Str+":") {
				x.complain("configuration.md does not name the parameter `%s`", name.Str)
			}
			return true
		})
	}
}

// --- the cases ---

// headersOf are the headers in which a scheme's signature or token stands.
func headersOf(block *document.Node) []string {
	var list []string
	if n := block.Get("header"); n != nil {
		for _, item := range append(n.Items(), n) {
			if item.Value != "" {
				list = append(list, item.Value)
			}
		}
	}
	switch name := schemeOf(block); {
	case name == "standard-webhooks":
		list = append(list, "webhook-signature", "svix-signature")
	case name == "basic", strings.HasPrefix(name, "jwt-") && len(list) == 0:
		list = append(list, "Authorization")
	}
	return list
}

// carries reports whether a request has a signature or token in the place of a scheme.
func carries(block *document.Node, t try) bool {
	for _, name := range headersOf(block) {
		before, after, _ := strings.Cut(strings.ToLower(name), "*")
		for _, h := range t.Request.Headers {
			have := strings.ToLower(h.Name)
			if have == strings.ToLower(name) || strings.Contains(name, "*") && strings.HasPrefix(have, before) && strings.HasSuffix(have, after) {
				return true
			}
		}
	}
	if n := block.Get("query"); n != nil {
		return gjson.GetBytes(body.Query(t.Request.Query), match.Quote(n.Value)).Exists()
	}
	if n := block.Get("field"); n != nil {
		place := n.Value
		if each := block.Get("each"); each != nil {
			place = strings.ReplaceAll(each.Value, "[*]", ".#") + "." + place
			return len(gjson.GetBytes(t.Request.Body, place).Array()) > 0
		}
		v := gjson.GetBytes(t.parsed().JSON, place)
		return v.Exists() && v.Type != gjson.JSON
	}
	return false
}

// timed reports whether a scheme refuses what is old.
func timed(block *document.Node) bool {
	name := schemeOf(block)
	if at := block.Get("timestamp"); at != nil {
		tolerance := at.Get("tolerance")
		return tolerance == nil || tolerance.Value != "none"
	}
	return name == "standard-webhooks" || strings.HasPrefix(name, "jwt-")
}

// refusals demands a case for each way in which a request can be wrong.
func (x *examination) refusals(w *spec.GlobalWebhook, tried []try) {
	blocks := schemes(w.Verify)
	post := func(t try) bool { return t.Request.Method == "POST" }
	signed := func(t try) bool {
		return slices.ContainsFunc(blocks, func(b *document.Node) bool { return carries(b, t) })
	}
	// Public keys cannot sign, so such cases carry what was signed with a key
	// that is kept nowhere, and say in their name what they are.
	named := func(t try, word string) bool {
		return t.Case.Request.Sign == fixture.Unsigned && signed(t) && strings.Contains(t.Case.Name, word)
	}
	if len(blocks) > 0 {
		if !find(tried, func(t try) bool {
			return t.unverified() && (t.Case.Request.Sign == fixture.Tampered || named(t, "tampered"))
		}) {
			x.complain("no case is tampered with")
		}
		if !find(tried, func(t try) bool {
			return t.unverified() && t.Case.Request.Sign == fixture.Unsigned && len(t.Request.Body) > 0 && !signed(t)
		}) {
			x.complain("no case is without a signature")
		}
		if slices.ContainsFunc(blocks, timed) && !find(tried, func(t try) bool {
			return t.unverified() && (t.Case.Request.Sign == fixture.Expired || named(t, "old"))
		}) {
			x.complain("no case is old")
		}
	}
	if !find(tried, func(t try) bool {
		return post(t) && len(t.Request.Body) == 0 && (t.unverified() || t.Outcome == string(hook.Refused))
	}) {
		x.complain("no case has an empty body that is refused")
	}
	good := map[string]bool{}
	for _, t := range tried {
		if t.accepted() {
			good[t.mediaType()] = true
		}
	}
	if !find(tried, func(t try) bool {
		return post(t) && len(t.Request.Body) > 0 && !good[t.mediaType()] && (t.unverified() || t.Outcome == string(hook.Refused))
	}) {
		x.complain("no case has the wrong content type and is refused")
	}
}

// handshakes demands a case for each declared handshake, and one that is
// refused for each that requires something.
func (x *examination) handshakes(w *spec.GlobalWebhook, tried []try) {
	if w.Handshake == nil {
		return
	}
	rules := w.Handshake.Items()
	if w.Handshake.Kind == document.Map {
		rules = []*document.Node{w.Handshake}
	}
	for i, n := range rules {
		rule, list := handshake.Parse(n, w.HandshakeFunction != nil)
		if list.HasErrors() {
			x.complain("handshake %d cannot be read by itself", i+1)
			continue
		}
		answered := func(refused bool) bool {
			return find(tried, func(t try) bool {
				return t.Outcome == "handshake" && t.Response.Status >= 400 == refused &&
					(rule.Matches(t.Request, t.parsed) || rule.MatchesVerified(t.Request, t.parsed))
			})
		}
		if !answered(false) {
			x.complain("no case is answered by handshake %d", i+1)
		}
		if n.Get("require") != nil && !answered(true) {
			x.complain("no case is refused by handshake %d", i+1)
		}
		if n.Get("remember") != nil && !find(tried, func(t try) bool { return t.Case.Expect.Remember != nil }) {
			x.complain("no case expects what handshake %d remembers", i+1)
		}
	}
}

var (
	mapping = regexp.MustCompile(`\.(map|flatMap)\(`)
	idKey   = regexp.MustCompile(`\bid\b *[:,]`)
)

// accepted demands of the events that come out that they are named, typed and passed on untouched, and cases
// for lists of events and of secrets.
func (x *examination) accepted(w *spec.GlobalWebhook, tried []try) {
	batch, keyed, rotated := false, false, false
	for _, t := range tried {
		if !t.accepted() {
			continue
		}
		batch = batch || len(t.Events) > 1
		if p := t.Case.Parameters; p != nil {
			for _, e := range p.Entries() {
				rotated = rotated || len(e.Value.Items()) > 1
			}
		}
		parsed := t.parsed()
		for _, e := range t.Events {
			if x.ours && e.Selector != e.Type && !strings.HasPrefix(e.Selector, e.Type+"/") || e.Type == "" {
				x.complain("the selector %q does not begin with the type %q", e.Selector, e.Type)
			}
			keyed = keyed || e.Key != ""
			// Untouched: a part of what was sent, or all of it within something larger. Of
			// several events each may have what they share.
			if parsed.Raw && len(t.Events) == 1 && !bytes.Contains(t.Request.Body, e.Payload) && !bytes.Contains(e.Payload, t.Request.Body) {
				x.complain("%q: the payload of %s is not part of the body as it was sent", t.Case.Name, e.Selector)
			}
		}
	}
	source := x.sources()
	if mapping.MatchString(source) && !batch {
		x.complain("no case yields several events, and the handler makes lists of them")
	}
	if idKey.MatchString(source) && !keyed {
		x.complain("no case has an event with an id, and the handler gives them")
	}
	if !idKey.MatchString(source) && !strings.Contains(strings.Join(strings.Fields(x.connector.Spec.Configuration), " "), "no dedupe key") {
		x.complain("events have no id, and configuration.md does not say that there is no dedupe key")
	}
	shared := slices.ContainsFunc(schemes(w.Verify), func(b *document.Node) bool {
		s := b.Get("secret")
		return b.Get("secrets") != nil || s != nil && strings.HasPrefix(s.Value, "parameters.")
	})
	if shared && !rotated {
		x.complain("no case has several secrets")
	}
}

// sources is the code of the connector's handlers.
func (x *examination) sources() string {
	var b strings.Builder
	for _, w := range x.connector.Webhooks {
		b.Write(w.Handle.Code)
	}
	return b.String()
}

// events demands a case for each declared event, with a payload that its schema allows.
func (x *examination) events(b *bench, t *testing.T, results []*fixture.Result) {
	for _, e := range x.connector.Spec.Events {
		text, err := b.selector(t, x.connector, e)
		if err != nil {
			x.complain("events/%s: %v", e.Key, err)
			continue
		}
		selector, err := match.ParseSelector(text)
		if err != nil {
			x.complain("events/%s: %v", e.Key, err)
			continue
		}
		reached := false
		for _, r := range results {
			for _, got := range r.Events {
				if !selector.Match(got.Selector) {
					continue
				}
				reached = true
				if e.Schema == nil {
					continue
				}
				payload, list := document.Parse("payload", plain(t, got.Payload))
				if !list.HasErrors() {
					list = e.Schema.Check(payload.Root)
				}
				if list.HasErrors() {
					x.complain("%q: the payload of %s is not as the schema of events/%s says: %v", r.Case.Name, got.Selector, e.Key, list)
				}
			}
		}
		if !reached {
			x.complain("no case reaches events/%s (%s)", e.Key, text)
		}
		if e.Schema == nil && x.ours && !all(e) {
			x.complain("events/%s has no schema of its payload", e.Key)
		}
	}
}

// plain is JSON without escapes that YAML does not know.
func plain(t *testing.T, raw []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// selector is that of an event with no parameters but those that it requires,
// which have an example in their schema.
func (b *bench) selector(t *testing.T, c *live.Connector, e *spec.Event) (string, error) {
	parameters := map[string]json.RawMessage{}
	if e.ParametersSchema != nil {
		schema := gjson.ParseBytes(e.ParametersSchema.Raw())
		for _, name := range schema.Get("required").Array() {
			example := schema.Get("properties." + name.Str + ".examples.0")
			if !example.Exists() {
				return "", fmt.Errorf("the parameter %s is required and has no examples", name.Str)
			}
			parameters[name.Str] = json.RawMessage(example.Raw)
		}
	}
	raw, err := json.Marshal(parameters)
	if err != nil {
		t.Fatal(err)
	}
	if e.Selector != nil {
		return e.Selector.Expand(raw)
	}
	result, err := b.engine.Eval(t.Context(), c.Getters[e.Key], json.RawMessage(`{"parameters":`+string(raw)+`}`))
	if err != nil {
		return "", err
	}
	return match.Quote(gjson.GetBytes(result.Value, "globalWebhookEventSelector").Str), nil
}

// coverage demands that every line of the handlers is reached.
func (x *examination) coverage(results []*fixture.Result) {
	lines := map[string]map[int]int{}
	for _, r := range results {
		for file, counts := range r.Coverage {
			if lines[file] == nil {
				lines[file] = map[int]int{}
			}
			for line, n := range counts {
				lines[file][line] += n
			}
		}
	}
	if len(lines) == 0 {
		x.complain("no case runs a handler")
	}
	for file, counts := range lines {
		var missed []int
		for line, n := range counts {
			if n == 0 {
				missed = append(missed, line)
			}
		}
		slices.Sort(missed)
		if len(missed) > 0 {
			x.complain("%s: no case reaches the lines %v", file, missed)
		}
	}
}
