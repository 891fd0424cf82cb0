package handshake

import (
	"errors"
	"mime"
	"regexp"
	"slices"
	"strings"

	"switchhook/gateway/match"
	"switchhook/gateway/verify"
	"switchhook/gateway/verify/template"
	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// Parse reads the value of `handshake:`. hasFunction tells whether the webhook
// has a handshake function. The list says everything that is wrong at once; the
// handshake is nil when the list has errors.
func Parse(n *document.Node, hasFunction bool) (*Handshake, diagnostic.List) {
	p := &parser{hasFunction: hasFunction}
	h := &Handshake{}
	switch {
	case n.Kind == document.Map:
		h.rules = append(h.rules, p.rule(n))
	case n.Kind == document.List && len(n.Items()) > 0:
		for _, item := range n.Items() {
			h.rules = append(h.rules, p.rule(item))
		}
	default:
		p.add(n, "wrong-type", "such as handshake: {when: {method: HEAD}, respond: {status: 200}}", "expected a map with when and respond, or a list of them, got %s", n.Kind)
	}
	if hasFunction && !p.usesFunction && !p.list.HasErrors() {
		d := n.Warnf("unused-function", "the webhook has a handshake function, but no handshake says `function: true`")
		p.list.Add(d)
	}
	p.list.Sort()
	if p.list.HasErrors() {
		return nil, p.list
	}
	return h, p.list
}

type parser struct {
	list                      diagnostic.List
	hasFunction, usesFunction bool
}

func (p *parser) add(n *document.Node, code, hint, format string, args ...any) {
	d := n.Errorf(code, format, args...)
	d.Hint = hint
	p.list.Add(d)
}

func (p *parser) decode(n *document.Node, into any) bool {
	list := n.Decode(into)
	p.list.Add(list...)
	return !list.HasErrors()
}

// mapOf checks that n is a map with some of the keys.
func (p *parser) mapOf(n *document.Node, keys ...string) bool {
	if n.Kind != document.Map {
		p.add(n, "wrong-type", "", "expected a map, got %s", n.Kind)
		return false
	}
	for _, e := range n.Entries() {
		if len(keys) > 0 && !slices.Contains(keys, e.Key) {
			p.list.Add(document.UnknownKey(e, keys...))
		}
	}
	return true
}

func (p *parser) rule(n *document.Node) *rule {
	r := &rule{elseStatus: 403}
	if !p.mapOf(n, "when", "verified", "require", "else", "confirm", "respond", "remember", "show", "function") {
		return r
	}
	if at := n.Get("when"); at != nil {
		p.when(r, at)
	} else {
		p.add(n, "missing-key", "such as when: {method: HEAD}", "the key \"when\" is missing")
	}
	if at := n.Get("verified"); at != nil {
		p.decode(at, &r.verified)
	}
	if at := n.Get("require"); at != nil {
		p.require(r, at)
	}
	if at := n.Get("else"); at != nil && p.decode(at, &r.elseStatus) {
		r.elseGiven = true
		if r.elseStatus < 400 || r.elseStatus > 499 {
			p.add(at, "bad-status", "", "the status of a refusal is between 400 and 499")
		}
		if n.Get("require") == nil && !r.verified {
			p.add(at, "missing-key", "", "else has no meaning without require or verified: true")
		}
	}
	if at := n.Get("function"); at != nil {
		p.function(r, n, at)
		return r
	}
	if at := n.Get("confirm"); at != nil {
		p.confirm(r, at)
	}
	if at := n.Get("remember"); at != nil {
		p.remember(r, at)
	}
	if at := n.Get("show"); at != nil {
		p.show(r, at)
	}
	if at := n.Get("respond"); at != nil {
		p.respond(&r.answer, at)
	} else {
		p.add(n, "missing-key", "such as respond: {status: 200}, or function: true", "say what to answer: the key \"respond\" is missing")
	}
	return r
}

func (p *parser) function(r *rule, n, at *document.Node) {
	p.usesFunction = true
	if !p.decode(at, &r.function) {
		return
	}
	if !r.function {
		p.add(at, "bad-value", "leave the key out, or write true", "function: false has no meaning")
	} else if !p.hasFunction {
		p.add(at, "missing-function", "add a function named handshake beside handle", "the webhook has no handshake function")
	}
	for _, key := range []string{"confirm", "respond", "remember", "show"} {
		if other := n.Get(key); other != nil {
			p.add(other, "duplicate-key", "", "the function answers, so %q cannot be given", key)
		}
	}
}

func (p *parser) when(r *rule, n *document.Node) {
	if !p.mapOf(n, "method", "headers", "query", "body") {
		return
	}
	if at := n.Get("method"); at != nil {
		p.methods(r, at)
	}
	if at := n.Get("headers"); at != nil {
		r.headers = p.filter(at, true)
		p.headerNames(r, at)
	}
	if at := n.Get("query"); at != nil {
		r.query = p.filter(at, true)
	}
	if at := n.Get("body"); at != nil {
		r.body = p.filter(at, false)
	}
	if n.Get("headers") != nil || n.Get("query") != nil || n.Get("body") != nil {
		return
	}
	if n.Get("method") == nil {
		p.add(n, "empty", "such as when: {method: HEAD}", "without a condition every request would be taken for a handshake")
	}
	for _, m := range r.methods {
		if m != "GET" && m != "HEAD" && m != "OPTIONS" {
			p.add(n, "too-wide", "add a filter on headers, query or body", "every %s would be taken for a handshake, and no event would get through", m)
		}
	}
}

var methodForm = regexp.MustCompile(`^[A-Z]+$`)

func (p *parser) methods(r *rule, n *document.Node) {
	items := []*document.Node{n}
	if n.Kind == document.List {
		items = n.Items()
		if len(items) == 0 {
			p.add(n, "empty", "", "this must not be empty")
		}
	}
	for _, item := range items {
		var m string
		if !p.decode(item, &m) {
			continue
		}
		if !methodForm.MatchString(m) {
			hint := ""
			if methodForm.MatchString(strings.ToUpper(m)) {
				hint = "write " + strings.ToUpper(m)
			}
			p.add(item, "bad-method", hint, "a method is written in capitals")
			continue
		}
		r.methods = append(r.methods, m)
	}
}

// filter parses a filter and points at its mistakes.
func (p *parser) filter(n *document.Node, isMap bool) *match.Filter {
	if isMap && n.Kind != document.Map {
		p.add(n, "wrong-type", "", "expected a map of names and conditions, got %s", n.Kind)
		return nil
	}
	if n.Kind == document.Map && len(n.Entries()) == 0 {
		p.add(n, "empty", "", "without a condition the filter passes everything")
		return nil
	}
	f, err := match.ParseFilter(n.JSON())
	if mistakes, ok := errors.AsType[match.FilterErrors](err); ok {
		for _, m := range mistakes {
			at := n
			if steps := template.Steps(m.Path); steps != nil {
				at = n.At(steps...)
			}
			p.add(at, "bad-filter", m.Hint, "%s", m.Message)
		}
		return nil
	}
	for _, m := range f.Warnings() {
		at := n
		if steps := template.Steps(m.Path); steps != nil {
			at = n.At(steps...)
		}
		d := at.Warnf("odd-filter", "%s", m.Message)
		d.Hint = m.Hint
		p.list.Add(d)
	}
	return f
}

// headerNames checks that names are in lower case, as they are matched, and
// finds out which matter.
func (p *parser) headerNames(r *rule, n *document.Node) {
	plain := true
	for _, e := range n.Entries() {
		switch {
		case strings.HasPrefix(e.Key, "$"):
			plain = false
			below := []*document.Node{e.Value}
			if e.Value.Kind == document.List {
				below = e.Value.Items()
			}
			for _, b := range below {
				p.headerNames(&rule{}, b)
			}
		case e.Key != strings.ToLower(e.Key):
			p.add(e.KeyNode, "bad-header", "write "+strings.ToLower(e.Key), "header names are in lower case here, so %q would never match", e.Key)
		default:
			r.headerNames = append(r.headerNames, e.Key)
		}
	}
	if !plain {
		r.headerNames = nil
	}
}

const places = template.Header | template.QueryParameter | template.BodyField

func (p *parser) require(r *rule, n *document.Node) {
	if !p.mapOf(n) {
		return
	}
	if len(n.Entries()) == 0 {
		p.add(n, "empty", "", "this must not be empty")
	}
	for _, e := range n.Entries() {
		q := requirement{}
		var list diagnostic.List
		q.place, list = template.ParseReference(e.KeyNode, places|template.Method)
		p.list.Add(list...)
		if e.Value.Kind == document.String && e.Value.Value == "" {
			p.add(e.Value, "empty", "", "what is required must not be empty")
			continue
		}
		if template.IsReference(e.Value.Value) {
			q.want, list = template.ParseReference(e.Value, template.Parameter|template.State)
			if q.want != nil && q.want.Optional {
				p.add(e.Value, "bad-reference", "", "what is required cannot be optional")
			}
			q.wantShown = "what " + e.Value.Value + " says"
		} else {
			if hint := template.Slip(e.Value.Value); hint != "" {
				p.add(e.Value, "bad-reference", hint, "%q is not a reference", e.Value.Value)
			}
			q.text, list = template.Parse(e.Value, template.Request)
			q.wantShown = "what it has to be"
		}
		p.list.Add(list...)
		r.requirements = append(r.requirements, q)
	}
}

func (p *parser) confirm(r *rule, n *document.Node) {
	if !r.verified {
		p.add(n, "unverified", "add verified: true", "anybody could have the gateway call a URL")
	}
	if !p.mapOf(n, "header", "query", "field", "allow") {
		return
	}
	c := &confirmation{}
	r.confirm = c
	given := ""
	for _, e := range n.Entries() {
		var list diagnostic.List
		switch {
		case e.Key == "allow":
			continue
		case !slices.Contains([]string{"header", "query", "field"}, e.Key):
			continue // reported already
		case given != "":
			p.add(e.KeyNode, "duplicate-key", "", "only one of header, query, field can be given, and %q is already", given)
		case e.Key == "header":
			c.place, list = template.ParseHeader(e.Value)
		case e.Key == "query":
			c.place, list = template.ParseQuery(e.Value)
		default:
			c.place, list = template.ParseField(e.Value, false)
		}
		given = e.Key
		p.list.Add(list...)
	}
	if given == "" {
		p.add(n, "missing-key", "", "say where the URL stands: header, query or field")
	}
	allow := n.Get("allow")
	if allow == nil || allow.Kind != document.List || len(allow.Items()) == 0 {
		if allow == nil {
			allow = n
		}
		p.add(allow, "missing-key", "such as allow: [https://api.example.com/confirm]", "\"allow\" must list the URLs that may be called")
		return
	}
	for _, item := range allow.Items() {
		var text string
		if !p.decode(item, &text) {
			continue
		}
		pattern, err := verify.ParseURLPattern(text)
		if err != nil {
			p.add(item, "bad-url", "", "%s", err)
			continue
		}
		c.allow = append(c.allow, pattern)
	}
}

func (p *parser) respond(a *answer, n *document.Node) {
	a.status = 200
	if !p.mapOf(n, "status", "headers", "text", "json") {
		return
	}
	if at := n.Get("status"); at != nil && p.decode(at, &a.status) && (a.status < 200 || a.status > 599) {
		p.add(at, "bad-status", "", "a status is between 200 and 599")
	}
	if at := n.Get("headers"); at != nil && p.mapOf(at) {
		for _, e := range at.Entries() {
			p.header(a, e)
		}
	}
	text, jsonAt := n.Get("text"), n.Get("json")
	if text != nil && jsonAt != nil {
		p.add(jsonAt, "duplicate-key", "", "the answer is text or json, not both")
	}
	if text != nil {
		t, list := template.Parse(text, template.Request)
		p.list.Add(list...)
		a.text = t
	}
	if jsonAt != nil {
		a.json = p.value(jsonAt)
	}
}

// serverHeaders are set by the server, or would let a request steer a browser.
var serverHeaders = []string{"connection", "content-length", "date", "keep-alive", "location", "refresh", "server", "set-cookie", "te", "trailer", "transfer-encoding", "upgrade"}

func (p *parser) header(a *answer, e document.Entry) {
	if ref, list := template.ParseHeader(e.KeyNode); ref == nil || ref.Optional {
		p.list.Add(list...)
		if ref != nil {
			p.add(e.KeyNode, "bad-header", "", "a header's name has no question mark")
		}
		return
	}
	if slices.Contains(serverHeaders, strings.ToLower(e.Key)) {
		p.add(e.KeyNode, "bad-header", "", "a handshake cannot set the header %s", e.Key)
		return
	}
	t, list := template.Parse(e.Value, template.Request)
	p.list.Add(list...)
	if t == nil {
		return
	}
	if strings.EqualFold(e.Key, "Content-Type") {
		media, _, err := mime.ParseMediaType(t.String())
		if err != nil || media != "text/plain" && media != "application/json" {
			p.add(e.Value, "bad-content-type", "use the handshake function for other types", "what a request brings is only reflected as text/plain or application/json")
		}
	}
	a.headers = append(a.headers, header{name: e.Key, value: t})
}

func (p *parser) value(n *document.Node) *value {
	switch n.Kind {
	case document.String:
		t, list := template.Parse(n, template.Request)
		p.list.Add(list...)
		return &value{text: t}
	case document.List:
		v := &value{}
		for _, item := range n.Items() {
			v.items = append(v.items, p.value(item))
		}
		return v
	case document.Map:
		v := &value{isMap: true}
		for _, e := range n.Entries() {
			v.keys = append(v.keys, e.Key)
			v.items = append(v.items, p.value(e.Value))
		}
		return v
	}
	return &value{literal: n.JSON()}
}

var stateName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)

func (p *parser) remember(r *rule, n *document.Node) {
	if !p.mapOf(n) {
		return
	}
	if len(n.Entries()) == 0 {
		p.add(n, "empty", "", "this must not be empty")
	}
	for _, e := range n.Entries() {
		if !stateName.MatchString(e.Key) {
			p.add(e.KeyNode, "bad-name", "", "a name has letters, digits, dashes and underscores, and begins with a letter")
		}
		ref, list := template.ParseReference(e.Value, places)
		p.list.Add(list...)
		r.remember = append(r.remember, memory{name: e.Key, place: ref})
	}
}

// show reads the names of remembered values that a person is shown.
func (p *parser) show(r *rule, n *document.Node) {
	if !p.decode(n, &r.show) {
		return
	}
	var known []string
	for _, m := range r.remember {
		known = append(known, m.name)
	}
	for _, item := range n.Items() {
		if !slices.Contains(known, item.Value) {
			p.list.Add(item.UnknownName("remembered value", known))
		}
	}
}
