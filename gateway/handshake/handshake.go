// Package handshake answers the requests by which providers check a webhook's
// URL before they use it, as the webhook's `handshake:` block declares. Most of
// them are unsigned, so they are recognised and answered before verification;
// whatever a handshake does, it yields a response and never an event.
//
//	handshake:
//	  when: {method: GET, query: {hub.mode: subscribe}}
//	  require: {query.hub.verify_token: parameters.verifyToken}
//	  respond: {text: "{query.hub.challenge}"}
//
// The block is one handshake or a list of them; the first that a request fits is
// the one that answers. A handshake has:
//
//	when      what the request must be like: method (one or a list), and filters (see package match) on
//	          headers (names in lower case), query and body. All that is given must hold.
//	          The body is parsed by its Content-Type; JSON sent as text counts as JSON.
//	verified  true: the request must have passed verification too. Such a
//	          handshake is asked after the unsigned ones, and after verify.
//	require   places of the request and what must stand there: a parameter
//	          (parameters.NAME), a remembered value (state.NAME) or text.
//	else      the status where that is not so, 403 unless given. With verified also that of a request which did
//	          not verify, then without a body, as providers want it that try a URL with wrong signatures.
//	respond   the answer: status (200 unless given), headers, and text or json.
//	          {query.x}, {header.x} and {body.x} stand for what the request has there (see package
//	          template); in json, a string that is only one such reference keeps
//	          a number or boolean as it is.
//	confirm   where the URL stands that the gateway has to GET before it answers (header, query or
//	          field), and which URLs are allowed (allow: patterns as in package verify, compared with
//	          the URL without its query). Only with verified.
//	remember  names, and the places of the values to keep in the integration's state under them.
//	show      names of remembered values that a person has to type in at the provider, such as a token that
//	          proves that the URL is theirs. Only to those who have opened pairing are they shown.
//	function  true: the webhook's handshake function answers, in place of
//	          respond and remember.
//
// What a request brings is reflected with care, since anyone can send one: as
// text/plain or JSON and never as HTML, with nosniff, up to MaxReflected bytes,
// and into headers without control characters. Nothing secret can be reflected:
// respond cannot name parameters or state. Values are compared in constant time.
// What is called to confirm comes from a request that has been verified, and is allowed by the connector.
//
// live parses, ingest asks and answers.
package handshake

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"switchhook/gateway/body"
	"switchhook/gateway/hook"
	"switchhook/gateway/match"
	"switchhook/gateway/verify"
	"switchhook/gateway/verify/template"
)

// MaxReflected bounds a text, a string of a JSON answer, a header's value and a
// value to be remembered, in bytes.
const MaxReflected = 4096

// Handshake is a parsed `handshake:` block. It is immutable; its methods may be
// called from any goroutine.
type Handshake struct {
	rules []*rule
}

// rule is one handshake.
type rule struct {
	verified bool

	methods []string
	headers *match.Filter
	// headerNames are the headers that the filter looks at; nil: any.
	headerNames []string
	query, body *match.Filter

	requirements []requirement
	elseStatus   int
	elseGiven    bool

	function bool
	confirm  *confirmation
	answer   answer
	remember []memory
	show     []string
}

// requirement is what must stand at a place.
type requirement struct {
	place *template.Reference
	// want is a reference or text.
	want      *template.Reference
	text      *template.Template
	wantShown string
}

// confirmation says where the URL to be called stands, and which will do.
type confirmation struct {
	place *template.Reference
	allow []*verify.URLPattern
}

// answer is what is responded.
type answer struct {
	status  int
	headers []header
	text    *template.Template
	json    *value
}

type header struct {
	name  string
	value *template.Template
}

// value is a JSON value with templates for strings.
type value struct {
	literal json.RawMessage
	text    *template.Template
	items   []*value
	keys    []string // of a map, whose values are items
	isMap   bool
}

// memory is a value to remember.
type memory struct {
	name  string
	place *template.Reference
}

// ParameterNames are the parameters that the handshake refers to, sorted.
func (h *Handshake) ParameterNames() []string {
	found := map[string]bool{}
	for _, r := range h.rules {
		for _, q := range r.requirements {
			if q.want != nil && q.want.Kind == template.Parameter {
				found[q.want.ParameterName()] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// StateNames are the names under which the handshake remembers values, sorted.
// What a handshake function remembers is not among them.
func (h *Handshake) StateNames() []string {
	found := map[string]bool{}
	for _, r := range h.rules {
		for _, m := range r.remember {
			found[m.name] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// ShownNames are the names of the remembered values that a person has to type
// in at the provider, sorted.
func (h *Handshake) ShownNames() []string {
	found := map[string]bool{}
	for _, r := range h.rules {
		for _, name := range r.show {
			found[name] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// Matches reports whether a request that has not been verified is a handshake.
// parsed is called only when the block looks into the body.
func (h *Handshake) Matches(req *hook.Request, parsed func() *body.Parsed) bool {
	return h.find(req, parsed, false) != nil
}

// MatchesVerified reports whether a request that has been verified is a
// handshake declared with `verified: true`. Callers ask it after Matches said no and
// verify accepted the request.
func (h *Handshake) MatchesVerified(req *hook.Request, parsed func() *body.Parsed) bool {
	return h.find(req, parsed, true) != nil
}

// Unverified is the status with which to answer, without a body, a request that did not verify and would
// otherwise have been a handshake; 0 where none is declared.
func (h *Handshake) Unverified(req *hook.Request, parsed func() *body.Parsed) int {
	// Bodies of strangers are not looked into where nothing depends on it.
	if !slices.ContainsFunc(h.rules, func(r *rule) bool { return r.verified && r.elseGiven }) {
		return 0
	}
	if r := h.find(req, parsed, true); r != nil && r.elseGiven {
		return r.elseStatus
	}
	return 0
}

func (h *Handshake) find(req *hook.Request, parsed func() *body.Parsed, verified bool) *rule {
	for _, r := range h.rules {
		if r.verified == verified && r.matches(req, parsed) {
			return r
		}
	}
	return nil
}

func (r *rule) matches(req *hook.Request, parsed func() *body.Parsed) bool {
	if len(r.methods) > 0 && !slices.Contains(r.methods, req.Method) {
		return false
	}
	if r.headers != nil && !r.headers.Match(headersJSON(req.Headers, r.headerNames)) {
		return false
	}
	if r.query != nil && !r.query.Match(body.Query(req.Query)) {
		return false
	}
	if r.body != nil {
		src := template.Source{Request: req, Parsed: parsed}
		payload, ok := src.JSON()
		return ok && r.body.Match(payload)
	}
	return true
}

// headersJSON is the headers as handlers see them: names in lower case,
// repeated values joined by commas.
func headersJSON(headers hook.Headers, only []string) []byte {
	out := []byte{'{'}
	for i, h := range headers {
		name := strings.ToLower(h.Name)
		if only != nil && !slices.Contains(only, name) ||
			slices.ContainsFunc(headers[:i], func(before hook.Header) bool { return strings.EqualFold(before.Name, h.Name) }) {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(gjson.AppendJSONString(out, name), ':')
		out = gjson.AppendJSONString(out, strings.Join(headers.Values(name), ", "))
	}
	return append(out, '}')
}

// Refused says why a request that is a handshake was not answered as one.
type Refused struct {
	// Reason contains nothing of the request and no secret.
	Reason string
}

func (e *Refused) Error() string { return "the handshake was refused: " + e.Reason }

// ErrNone is returned by Answer for a request that is no handshake.
var ErrNone = errors.New("the request is not a handshake")

// Reply is what a handshake comes to.
type Reply struct {
	// Response is the answer; nil with UseFunction.
	Response *hook.Response
	// Remember, unless nil, is what to keep in the integration's state. A value that the state holds already must
	// not be replaced unless a person has opened pairing for the webhook; that is for the caller to see to.
	Remember map[string]string
	// UseFunction tells the caller to run the handshake function.
	UseFunction bool
	// Confirm, unless empty, is a URL, which the caller has to GET first; where that fails, nothing
	// has been agreed, and the provider must be told to send the request again.
	Confirm string
}

// Answer answers a request for which Matches or MatchesVerified is true.
//
// The error is a *Refused where the request is not as `require` wants it, names a URL that is not
// allowed, or cannot be reflected; Response is then what to answer. It is ErrNone when no handshake matches.
func (h *Handshake) Answer(req *hook.Request, parsed *body.Parsed, parameters json.RawMessage, state map[string]string) (Reply, error) {
	get := func() *body.Parsed { return parsed }
	r := h.find(req, get, false)
	if r == nil {
		// Not by chance in this order: while an unsigned one matches, nothing has been verified.
		if r = h.find(req, get, true); r == nil {
			return Reply{}, ErrNone
		}
	}
	src := &template.Source{Request: req, Parsed: get, Parameters: parameters, State: state}
	for i := range r.requirements {
		if !r.requirements[i].holds(src) {
			q := &r.requirements[i]
			return refuse(r.elseStatus, fmt.Sprintf("%s is not %s", q.place, q.wantShown))
		}
	}
	if r.function {
		return Reply{UseFunction: true}, nil
	}
	var reply Reply
	if r.confirm != nil {
		var err error
		if reply.Confirm, err = r.confirm.url(src); err != nil {
			return refuse(400, err.Error())
		}
	}
	for _, m := range r.remember {
		text, err := reflected(m.place.Read(src))
		if err == nil && strings.TrimSpace(text) == "" {
			err = fmt.Errorf("%s is empty", m.place)
		}
		if err != nil {
			return refuse(400, err.Error())
		}
		if reply.Remember == nil {
			reply.Remember = map[string]string{}
		}
		reply.Remember[m.name] = text
	}
	var err error
	if reply.Response, err = r.answer.make(src); err != nil {
		return refuse(400, err.Error())
	}
	return reply, nil
}

// url is the URL to be called, if it is allowed.
func (c *confirmation) url(src *template.Source) (string, error) {
	text, err := reflected(c.place.Read(src))
	if err != nil {
		return "", err
	}
	base, query, _ := strings.Cut(text, "?")
	odd := func(b rune) bool { return b <= ' ' || b >= 0x7f || b == '#' }
	if strings.ContainsFunc(query, odd) || !slices.ContainsFunc(c.allow, func(p *verify.URLPattern) bool { return p.Match(base) }) {
		return "", fmt.Errorf("%s is not a URL that the handshake allows", c.place)
	}
	return text, nil
}

func refuse(status int, reason string) (Reply, error) {
	err := &Refused{Reason: reason}
	resp := &hook.Response{Status: status, Headers: hook.Headers{
		{Name: "Content-Type", Value: "text/plain; charset=utf-8"}, {Name: "X-Content-Type-Options", Value: "nosniff"}}, Body: []byte(err.Error() + "\n")}
	return Reply{Response: resp}, err
}

// holds compares in constant time. What is not there, on either side, is not equal.
func (q *requirement) holds(src *template.Source) bool {
	got, err := q.place.Read(src)
	if err != nil {
		return false
	}
	var want string
	if q.want != nil {
		want, err = q.want.Read(src)
	} else {
		want, err = q.text.Text(src)
	}
	if err != nil || want == "" {
		return false
	}
	x, y := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// reflected checks the length of a value of the request.
func reflected(text string, err error) (string, error) {
	if err == nil && len(text) > MaxReflected {
		return "", fmt.Errorf("a value is longer than %d bytes", MaxReflected)
	}
	return text, err
}

func (a *answer) make(src *template.Source) (*hook.Response, error) {
	resp := &hook.Response{Status: a.status}
	for _, h := range a.headers {
		text, err := reflected(h.value.Text(src))
		if err != nil {
			return nil, err
		}
		// RFC 9110, section 5.5: a line break would begin another header.
		if strings.ContainsFunc(text, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
			return nil, fmt.Errorf("the value for header %s has control characters", h.name)
		}
		resp.Headers = append(resp.Headers, hook.Header{Name: h.name, Value: text})
	}
	mediaType := "text/plain; charset=utf-8"
	switch {
	case a.text != nil:
		text, err := reflected(a.text.Text(src))
		if err != nil {
			return nil, err
		}
		resp.Body = []byte(text)
	case a.json != nil:
		b, err := a.json.append(nil, src)
		if err != nil {
			return nil, err
		}
		mediaType, resp.Body = "application/json", b
	default:
		return resp, nil
	}
	if !resp.Headers.Has("Content-Type") {
		resp.Headers = append(resp.Headers, hook.Header{Name: "Content-Type", Value: mediaType})
	}
	resp.Headers.Set("X-Content-Type-Options", "nosniff")
	return resp, nil
}

func (v *value) append(dst []byte, src *template.Source) ([]byte, error) {
	var err error
	switch {
	case v.text != nil:
		if ref := v.text.Only(); ref != nil && ref.Kind == template.BodyField {
			if found, err := ref.Value(src); err == nil && (found.Type == gjson.Number || found.IsBool()) {
				_, err = reflected(found.Raw, nil)
				return append(dst, found.Raw...), err
			}
		}
		text, err := reflected(v.text.Text(src))
		return gjson.AppendJSONString(dst, text), err
	case v.isMap:
		dst = append(dst, '{')
		for i, key := range v.keys {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(gjson.AppendJSONString(dst, key), ':')
			if dst, err = v.items[i].append(dst, src); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	case v.literal == nil:
		dst = append(dst, '[')
		for i, item := range v.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = item.append(dst, src); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	}
	return append(dst, v.literal...), nil
}
