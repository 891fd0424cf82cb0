package verify

import (
	"crypto"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"switchhook/gateway/verify/template"
	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

type kind uint8

const (
	kindNone kind = iota
	kindAny
	kindAll
	kindMAC
	kindDigest
	kindEd25519
	kindECDSA
	kindRSA
	kindJWT
	kindToken
	kindBasic
	kindAbsent
)

// algorithm is what a name under `scheme:` stands for.
type algorithm struct {
	name string
	kind kind
	// newHash is nil for schemes without a hash of their own.
	newHash func() hash.Hash
	hash    crypto.Hash
	// size of a signature in bytes where it is fixed.
	size int
	// encoding of signatures and keyEncoding of keys unless given.
	encoding, keyEncoding encoding
	method                jwt.SigningMethod
	keys                  []string // the settings it takes
}

var (
	placeKeys  = []string{"header", "query", "field", "each", "prefix"}
	signedKeys = slices.Concat(placeKeys, []string{"separator", "encoding", "signed", "timestamp", "bodyHash"})
	secretKeys = []string{"secret", "secrets", "keyEncoding", "keyPrefix"}
	publicKeys = []string{"publicKey", "publicKeys", "keyEncoding", "keyPrefix"}
	jwtKeys    = slices.Concat(placeKeys, []string{"claims", "leeway", "maxAge", "bodyHash"})
)

var algorithms = func() map[string]*algorithm {
	m := map[string]*algorithm{}
	add := func(a algorithm, keys ...[]string) {
		a.keys = slices.Concat(keys...)
		m[a.name] = &a
	}
	add(algorithm{name: "hmac-sha1", kind: kindMAC, newHash: sha1.New, size: sha1.Size, encoding: hexEncoding, keyEncoding: utf8Encoding}, signedKeys, secretKeys)
	add(algorithm{name: "hmac-sha256", kind: kindMAC, newHash: sha256.New, size: sha256.Size, encoding: hexEncoding, keyEncoding: utf8Encoding}, signedKeys, secretKeys)
	add(algorithm{name: "hmac-sha512", kind: kindMAC, newHash: sha512.New, size: sha512.Size, encoding: hexEncoding, keyEncoding: utf8Encoding}, signedKeys, secretKeys)
	add(algorithm{name: "sha256", kind: kindDigest, newHash: sha256.New, size: sha256.Size, encoding: hexEncoding, keyEncoding: utf8Encoding}, signedKeys, secretKeys)
	add(algorithm{name: "ed25519", kind: kindEd25519, size: 64, encoding: hexEncoding, keyEncoding: hexEncoding}, signedKeys, publicKeys)
	add(algorithm{name: "ecdsa-p256", kind: kindECDSA, newHash: sha256.New, hash: crypto.SHA256, encoding: base64Encoding, keyEncoding: base64Encoding}, signedKeys, publicKeys, []string{"signatureFormat"})
	add(algorithm{name: "rsa-sha1", kind: kindRSA, newHash: sha1.New, hash: crypto.SHA1, encoding: base64Encoding, keyEncoding: base64Encoding}, signedKeys, publicKeys, []string{"certificate"})
	add(algorithm{name: "rsa-sha256", kind: kindRSA, newHash: sha256.New, hash: crypto.SHA256, encoding: base64Encoding, keyEncoding: base64Encoding}, signedKeys, publicKeys, []string{"certificate"})
	for _, method := range []*jwt.SigningMethodHMAC{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
		add(algorithm{name: "jwt-" + strings.ToLower(method.Name), kind: kindJWT, method: method, keyEncoding: utf8Encoding}, jwtKeys, secretKeys)
	}
	add(algorithm{name: "jwt-rs256", kind: kindJWT, method: jwt.SigningMethodRS256, keyEncoding: base64Encoding}, jwtKeys, publicKeys, []string{"jwks"})
	add(algorithm{name: "jwt-es256", kind: kindJWT, method: jwt.SigningMethodES256, keyEncoding: base64Encoding}, jwtKeys, publicKeys, []string{"jwks"})
	add(algorithm{name: "standard-webhooks", kind: kindAny}, []string{"secret", "secrets", "headerPrefix", "tolerance"})
	add(algorithm{name: "token", kind: kindToken, keyEncoding: utf8Encoding}, placeKeys, []string{"secret", "secrets"})
	add(algorithm{name: "basic", kind: kindBasic}, []string{"username", "password"})
	add(algorithm{name: "absent", kind: kindAbsent}, []string{"header", "query", "field"})
	add(algorithm{name: "none", kind: kindNone})
	return m
}()

// rule is one block, checked. Settings without a meaning for its kind are zero.
type rule struct {
	*algorithm
	kind  kind
	rules []*rule // of any and all

	place             place
	each              *template.Path
	prefix, separator string
	signatureEncoding encoding
	message           message
	timestamp         *timestamp
	bodyHash          *bodyHash

	secrets     []*template.Reference // or public keys
	keyEncoding encoding
	keyPrefix   string
	// onlyKeys, where set, is the prefix of the keys that are for this rule;
	// notKeys that of keys that are not. Keys of both kinds may stand in one list.
	onlyKeys, notKeys string
	certificate       *certificate
	rawSignature      bool

	jwks           *remote
	claims         []claim
	leeway, maxAge time.Duration

	username, password *template.Reference
}

// message is what is signed: a template or a list of fields.
type message struct {
	template *template.Template
	fields   []*template.Reference
	// hasURL: variants of the URL are to be tried.
	hasURL bool
}

// bodyHash says where the body's SHA-256 stands: a reference, or a claim.
type bodyHash struct {
	reference *template.Reference
	claim     string
	encoding  encoding
}

// claim is a claim that a JWT must have with one of the values.
type claim struct {
	name   string
	values []claimValue
}

// claimValue is text, possibly with references, or (literal) a boolean or number in JSON.
type claimValue struct {
	reference *template.Reference
	text      *template.Template
	literal   string
}

// certificate says where the URL of a certificate stands, and which will do.
type certificate struct {
	reference *template.Reference
	allow     []*URLPattern
	name      string
	unchained bool
}

// remote is a URL: written in the scheme, or in a parameter.
type remote struct {
	url       string
	reference *template.Reference
}

func (r *rule) name() string {
	if len(r.rules) == 0 || r.algorithm != nil {
		return r.algorithm.name
	}
	var names []string
	for _, sub := range r.rules {
		name := sub.name()
		if strings.Contains(name, " ") {
			name = "(" + name + ")"
		}
		if !slices.Contains(names, name) { // variants of one scheme
			names = append(names, name)
		}
	}
	if r.kind == kindAll {
		return strings.Join(names, " and ")
	}
	return strings.Join(names, " or ")
}

type names struct{ parameters, state []string }

// names collects what the rule refers to.
func (r *rule) names() names {
	parameters, state := map[string]bool{}, map[string]bool{}
	see := func(list ...*template.Reference) {
		for _, ref := range list {
			switch {
			case ref == nil:
			case ref.Kind == template.Parameter:
				parameters[ref.ParameterName()] = true
			case ref.Kind == template.State:
				state[ref.Name] = true
			}
		}
	}
	var visit func(r *rule)
	visit = func(r *rule) {
		for _, sub := range r.rules {
			visit(sub)
		}
		see(r.secrets...)
		see(r.username, r.password)
		if r.message.template != nil {
			see(r.message.template.References()...)
		}
		if r.jwks != nil {
			see(r.jwks.reference)
		}
		for _, c := range r.claims {
			for _, v := range c.values {
				see(v.reference)
				if v.text != nil {
					see(v.text.References()...)
				}
			}
		}
	}
	visit(r)
	return names{slices.Sorted(maps.Keys(parameters)), slices.Sorted(maps.Keys(state))}
}

// Parse reads the value of `verify:`. The list says everything that is wrong
// with it at once; the scheme is nil when the list has errors.
func Parse(n *document.Node) (*Scheme, diagnostic.List) {
	p := &parser{}
	root := p.rule(n, 0)
	if !p.list.HasErrors() && !root.proves() {
		p.add(n, "proves-nothing", "set it beside a scheme, within all:", "a request that merely lacks something may come from anybody")
	}
	p.list.Sort()
	if p.list.HasErrors() {
		return nil, p.list
	}
	return &Scheme{root: root}, p.list
}

type parser struct {
	list diagnostic.List
}

// maxNesting bounds any and all within each other.
const maxNesting = 4

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

// text decodes a string that must not be empty.
func (p *parser) text(n *document.Node) string {
	var s string
	if p.decode(n, &s) && s == "" {
		p.add(n, "empty", "", "this must not be empty")
	}
	return s
}

func (p *parser) rule(n *document.Node, depth int) *rule {
	const example = "such as verify: {scheme: hmac-sha256, header: X-Signature, secret: parameters.secret}"
	if n.Kind == document.String && n.Value == "none" {
		return &rule{algorithm: algorithms["none"], kind: kindNone}
	}
	if n.Kind != document.Map {
		hint := example + ", or verify: none"
		if n.Kind == document.String && diagnostic.Nearest(n.Value, []string{"none"}) != "" {
			hint = diagnostic.DidYouMean(n.Value, []string{"none"})
		}
		p.add(n, "wrong-type", hint, "expected a map that has a scheme, or none, got %s", n.Kind)
		return nil
	}
	if depth > maxNesting {
		p.add(n, "too-complex", "", "any and all are nested too deep")
		return nil
	}
	several := map[string]kind{"any": kindAny, "all": kindAll}
	for _, key := range []string{"any", "all"} {
		if list := n.Get(key); list != nil {
			return p.several(n, key, several[key], list, depth)
		}
	}
	at := n.Get("scheme")
	if at == nil {
		p.add(n, "missing-key", example, "the key \"scheme\" is missing")
		p.unknownKeys(n, nil)
		return nil
	}
	var name string
	if !p.decode(at, &name) {
		p.unknownKeys(n, nil)
		return nil
	}
	a := algorithms[name]
	if a == nil {
		d := at.UnknownName("scheme", slices.Collect(maps.Keys(algorithms)))
		if slip := schemeSlips[strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(name))]; d.Hint == "" || slip != "" {
			d.Hint = slip
			if d.Hint == "" {
				d.Hint = "there are: " + strings.Join(slices.Sorted(maps.Keys(algorithms)), ", ")
			}
		}
		p.list.Add(d)
		p.unknownKeys(n, nil)
		return nil
	}
	p.unknownKeys(n, a)
	r := &rule{algorithm: a, kind: a.kind}
	p.settings(r, n)
	return r
}

// proves reports that a request which the rule accepts was sent by the provider,
// or that the rule says openly that it need not be.
func (r *rule) proves() bool {
	switch r.kind {
	case kindAny:
		return !slices.ContainsFunc(r.rules, func(sub *rule) bool { return !sub.proves() })
	case kindAll:
		return slices.ContainsFunc(r.rules, (*rule).proves)
	}
	return r.kind != kindAbsent
}

// schemeSlips are hints for names that other programs use.
var schemeSlips = map[string]string{
	"hmac":      "say which hash: hmac-sha1, hmac-sha256 or hmac-sha512",
	"jwt":       "say how it is signed: jwt-hs256, jwt-hs384, jwt-hs512, jwt-rs256 or jwt-es256",
	"rsa":       "say which hash: rsa-sha1 or rsa-sha256",
	"ecdsa":     "did you mean \"ecdsa-p256\"?",
	"svix":      "did you mean \"standard-webhooks\"?",
	"bearer":    "did you mean \"token\", with header: Authorization and prefix: \"Bearer \"?",
	"apikey":    "did you mean \"token\"?",
	"basicauth": "did you mean \"basic\"?",
}

// unknownKeys reports keys that the algorithm does not take; without one,
// those that none takes.
func (p *parser) unknownKeys(n *document.Node, a *algorithm) {
	all := map[string]bool{"scheme": true, "any": true, "all": true}
	for _, other := range algorithms {
		for _, k := range other.keys {
			all[k] = true
		}
	}
	known := slices.Collect(maps.Keys(all))
	if a != nil {
		known = append([]string{"scheme"}, a.keys...)
	}
	for _, e := range n.Entries() {
		switch {
		case slices.Contains(known, e.Key):
		case all[e.Key]:
			p.add(e.KeyNode, "unknown-key", "it takes: "+strings.Join(a.keys, ", "), "the key %q has no meaning for the scheme %s", e.Key, a.name)
		default:
			p.list.Add(document.UnknownKey(e, known...))
		}
	}
}

func (p *parser) several(n *document.Node, key string, k kind, list *document.Node, depth int) *rule {
	for _, e := range n.Entries() {
		if e.Key != key {
			p.add(e.KeyNode, "unknown-key", fmt.Sprintf("write it into each block under %q", key), "the key %q cannot stand beside %q", e.Key, key)
		}
	}
	if list.Kind != document.List || len(list.Items()) < 2 {
		p.add(list, "wrong-type", "", "%q takes a list of two blocks or more", key)
		return nil
	}
	r := &rule{kind: k}
	for _, item := range list.Items() {
		sub := p.rule(item, depth+1)
		if sub == nil {
			continue
		}
		if sub.kind == kindNone {
			p.add(item, "bad-scheme", "", "none in %q would accept every request or mean nothing", key)
		}
		r.rules = append(r.rules, sub)
	}
	return r
}

func (p *parser) settings(r *rule, n *document.Node) {
	switch {
	case r.algorithm.name == "standard-webhooks":
		p.standardWebhooks(r, n)
		return
	case r.kind == kindNone:
		return
	case r.kind == kindBasic:
		r.username, r.password = p.required(n, "username"), p.required(n, "password")
		return
	case r.kind == kindAbsent:
		r.place.reference, _ = p.reference(n, false, "header", "query", "field")
		return
	}
	p.where(r, n)
	p.keys(r, n)
	switch r.kind {
	case kindToken:
	case kindJWT:
		p.jwt(r, n)
	default:
		p.signature(r, n)
	}
}

func (p *parser) required(n *document.Node, key string) *template.Reference {
	at := n.Get(key)
	if at == nil {
		p.add(n, "missing-key", fmt.Sprintf("such as %s: parameters.%s", key, key), "the key %q is missing", key)
		return nil
	}
	return p.secret(at)
}

// secret reads the name of a secret.
func (p *parser) secret(n *document.Node) *template.Reference {
	var text string
	if !p.decode(n, &text) {
		return nil
	}
	if !template.IsReference(text) {
		p.add(n, "bad-reference", "such as parameters.secret; secrets themselves never stand in a connector", "expected the name of a parameter or of a remembered value")
		return nil
	}
	ref, list := template.ParseReference(n, template.Parameter|template.State)
	p.list.Add(list...)
	if ref != nil && ref.Optional {
		p.add(n, "bad-reference", "", "a secret cannot be optional; of several under `secrets:` those that are missing are left out")
	}
	return ref
}

// keys reads secrets or public keys, and how they are written.
func (p *parser) keys(r *rule, n *document.Node) {
	one, many := "secret", "secrets"
	if slices.Contains(r.algorithm.keys, "publicKey") {
		one, many = "publicKey", "publicKeys"
	}
	single, list := n.Get(one), n.Get(many)
	switch {
	case single != nil && list != nil:
		p.add(n, "duplicate-key", "", "%q and %q are the same thing; keep one", one, many)
	case single != nil && single.Kind == document.List:
		p.add(single, "wrong-type", fmt.Sprintf("several stand under %q", many), "expected the name of one parameter, got a list")
	case single != nil:
		if ref := p.secret(single); ref != nil {
			r.secrets = append(r.secrets, ref)
		}
	case list != nil:
		if list.Kind != document.List || len(list.Items()) == 0 {
			p.add(list, "wrong-type", "", "%q takes a list of parameter names", many)
		}
		for _, item := range list.Items() {
			if ref := p.secret(item); ref != nil {
				r.secrets = append(r.secrets, ref)
			}
		}
	case n.Get("jwks") != nil, n.Get("certificate") != nil:
	default:
		hint := fmt.Sprintf("such as %s: parameters.%s", one, one)
		if slices.Contains(r.algorithm.keys, "certificate") {
			hint += ", or a certificate"
		} else if slices.Contains(r.algorithm.keys, "jwks") {
			hint += ", or jwks"
		}
		p.add(n, "missing-key", hint, "the key %q is missing", one)
	}
	r.keyEncoding = r.algorithm.keyEncoding
	if at := n.Get("keyEncoding"); at != nil {
		r.keyEncoding = p.encoding(at, one == "secret")
	}
	if at := n.Get("keyPrefix"); at != nil {
		r.keyPrefix = p.text(at)
	}
	if at := n.Get("jwks"); at != nil {
		r.jwks = p.remote(at)
	}
	if at := n.Get("certificate"); at != nil {
		r.certificate = p.certificate(at, r)
	}
}

func (p *parser) encoding(n *document.Node, textual bool) encoding {
	known := []string{"hex", "base64", "base64url"}
	if textual {
		known = append(known, "utf8")
	}
	var name string
	if !p.decode(n, &name) {
		return hexEncoding
	}
	if !slices.Contains(known, name) {
		p.list.Add(n.UnknownName("encoding", known))
		return hexEncoding
	}
	return encodings[name]
}

// where reads the place of the signature or token.
func (p *parser) where(r *rule, n *document.Node) {
	if at := n.Get("each"); at != nil {
		path, list := template.ParseEach(at)
		p.list.Add(list...)
		r.each = &path
	}
	if at := n.Get("prefix"); at != nil {
		r.prefix = p.text(at)
	}
	if at := n.Get("separator"); at != nil {
		r.separator = p.text(at)
	}
	given := p.exclusive(n, "header", "query", "field")
	switch {
	case given == "header":
		r.place.headers = p.headers(n.Get("header"))
	case given == "query":
		ref, list := template.ParseQuery(n.Get("query"))
		p.list.Add(list...)
		r.place.reference = ref
	case given == "field":
		ref, list := template.ParseField(n.Get("field"), r.each != nil)
		p.list.Add(list...)
		r.place.reference = ref
	case r.each != nil && (r.kind == kindJWT || r.kind == kindToken):
		r.place.reference = itself
	case r.kind == kindJWT:
		r.place.headers = []headerName{{name: "Authorization"}}
		if n.Get("prefix") == nil {
			r.prefix = "Bearer "
		}
	default:
		what := "the signature"
		if r.kind == kindToken {
			what = "the token"
		}
		p.add(n, "missing-key", "", "say where %s stands: header, query or field", what)
	}
}

// exclusive returns which one of the keys n has; "" for none.
func (p *parser) exclusive(n *document.Node, keys ...string) string {
	var given []string
	for _, e := range n.Entries() {
		if slices.Contains(keys, e.Key) {
			given = append(given, e.Key)
			if len(given) > 1 {
				p.add(e.KeyNode, "duplicate-key", "", "only one of %s can be given, and %q is already", strings.Join(keys, ", "), given[0])
			}
		}
	}
	if len(given) == 0 {
		return ""
	}
	return given[0]
}

func (p *parser) headers(n *document.Node) []headerName {
	items := []*document.Node{n}
	if n.Kind == document.List {
		items = n.Items()
		if len(items) == 0 {
			p.add(n, "empty", "", "this must not be empty")
		}
	}
	var list []headerName
	for _, item := range items {
		ref, mistakes := template.ParseHeader(item)
		p.list.Add(mistakes...)
		if ref == nil {
			continue
		}
		before, after, pattern := strings.Cut(ref.Name, "*")
		if strings.Contains(after, "*") || ref.Optional {
			p.add(item, "bad-header", "", "a header's name can have one * and no question mark")
			continue
		}
		list = append(list, headerName{name: ref.Name, before: before, after: after, pattern: pattern})
	}
	return list
}

func (p *parser) signature(r *rule, n *document.Node) {
	r.signatureEncoding = r.algorithm.encoding
	if at := n.Get("encoding"); at != nil {
		r.signatureEncoding = p.encoding(at, false)
	}
	if at := n.Get("signatureFormat"); at != nil {
		var format string
		if p.decode(at, &format) && format != "der" && format != "raw" {
			p.list.Add(at.UnknownName("signature format", []string{"der", "raw"}))
		}
		r.rawSignature = format == "raw"
	}
	if at := n.Get("timestamp"); at != nil {
		r.timestamp = p.timestamp(at, r)
	}
	p.message(r, n)
	if at := n.Get("bodyHash"); at != nil {
		r.bodyHash = p.bodyHash(at, r)
	}
	if at := n.Get("timestamp"); at != nil && r.timestamp.stands() && !r.message.covers(r.timestamp.reference, template.Timestamp) {
		p.add(at, "unsigned-timestamp", "put {timestamp} into `signed`, or leave the timestamp out", "the timestamp is not part of what is signed, so anyone could change it")
	}
}

var (
	wholeBody = template.Must("{body}", template.Body)
	// itself is what an item's token is unless a field is named.
	itself = template.Must("{item}", template.Item).Only()
)

func (p *parser) message(r *rule, n *document.Node) {
	at := n.Get("signed")
	m := &r.message
	switch {
	case at == nil:
		m.template = wholeBody
		at = n
	case at.Kind == document.List:
		if len(at.Items()) == 0 {
			p.add(at, "empty", "", "this must not be empty")
		}
		for _, item := range at.Items() {
			ref, list := template.ParseField(item, r.each != nil)
			p.list.Add(list...)
			if ref != nil {
				m.fields = append(m.fields, ref)
			}
		}
	default:
		// Timestamp is always allowed, so that its own message says what is missing.
		allowed := template.Request | template.Parameter | template.Timestamp
		if r.each != nil {
			allowed |= template.Item
		}
		if r.kind == kindDigest {
			allowed |= template.Secret
		}
		t, list := template.Parse(at, allowed)
		p.list.Add(list...)
		if t == nil {
			return
		}
		m.template = t
		if t.Kinds() == 0 {
			p.add(at, "bad-template", `references stand in braces, such as "{timestamp}.{body}"`, "nothing of the request is signed")
			return
		}
	}
	var kinds template.Kind
	if m.template != nil {
		kinds = m.template.Kinds()
	}
	m.hasURL = kinds&(template.URL|template.DecodedURL) != 0
	if kinds&template.Timestamp != 0 && n.Get("timestamp") == nil {
		p.add(at, "missing-key", "such as timestamp: {header: X-Timestamp}", "{timestamp} is signed, but no `timestamp:` says where it stands")
	}
	if r.kind == kindDigest && kinds&template.Secret == 0 {
		p.add(at, "unkeyed-hash", `such as signed: "{secret}{body}"`, "a plain hash proves nothing unless {secret} is part of what is hashed")
	}
	if f := r.place.reference; f != nil && f.Kind&(template.BodyField|template.Item) != 0 && kinds&(template.Body|template.BodySHA256|template.BodyCRC32|template.SortedForm) != 0 {
		p.add(at, "bad-template", "name the fields that are signed", "the signature stands in the body, so it cannot be one of the whole body")
	}
}

// covers reports whether what ref reads is part of the message, be it by a word.
func (m *message) covers(ref *template.Reference, word template.Kind) bool {
	for _, f := range m.fields {
		if ref != nil && f.Kind == ref.Kind && f.Path.String() == ref.Path.String() {
			return true
		}
	}
	if m.template == nil {
		return false
	}
	kinds := m.template.Kinds()
	if kinds&word != 0 {
		return true
	}
	if ref == nil {
		return false
	}
	switch ref.Kind {
	case template.BodyField:
		if kinds&(template.Body|template.BodySHA256|template.SortedForm) != 0 {
			return true
		}
	case template.QueryParameter:
		if kinds&(template.URL|template.DecodedURL|template.Query) != 0 {
			return true
		}
	}
	for _, other := range m.template.References() {
		if other.Kind == ref.Kind && strings.EqualFold(other.Name, ref.Name) && other.Path.String() == ref.Path.String() {
			return true
		}
	}
	return false
}

// reference reads the one of the keys header, query, field that n has.
func (p *parser) reference(n *document.Node, item bool, keys ...string) (*template.Reference, string) {
	given := p.exclusive(n, keys...)
	var ref *template.Reference
	var list diagnostic.List
	switch given {
	case "header":
		ref, list = template.ParseHeader(n.Get(given))
	case "query":
		ref, list = template.ParseQuery(n.Get(given))
	case "field":
		ref, list = template.ParseField(n.Get(given), item)
	case "":
		p.add(n, "missing-key", "", "say where it stands: %s", strings.Join(keys, ", "))
	}
	p.list.Add(list...)
	return ref, given
}

// mapOf checks that n is a map with some of the keys.
func (p *parser) mapOf(n *document.Node, example string, keys ...string) bool {
	if n.Kind != document.Map {
		p.add(n, "wrong-type", "such as "+example, "expected a map, got %s", n.Kind)
		return false
	}
	for _, e := range n.Entries() {
		if !slices.Contains(keys, e.Key) {
			p.list.Add(document.UnknownKey(e, keys...))
		}
	}
	return true
}

func (p *parser) timestamp(n *document.Node, r *rule) *timestamp {
	if !p.mapOf(n, "timestamp: {header: X-Timestamp, tolerance: 5m}", "header", "query", "field", "part", "unit", "tolerance") {
		return nil
	}
	t := &timestamp{tolerance: defaultTolerance}
	var given string
	t.reference, given = p.reference(n, r.each != nil, "header", "query", "field", "part")
	if given == "part" {
		t.part = p.text(n.Get("part"))
		if r.separator == "" || len(r.place.headers) != 1 || r.place.headers[0].pattern {
			p.add(n.Get("part"), "bad-part", `such as separator: ","`, "a part needs a single header with a separator")
		} else if t.part == r.prefix {
			p.add(n.Get("part"), "bad-part", "", "the timestamp and the signature cannot have the same prefix")
		}
	}
	if at := n.Get("unit"); at != nil {
		var name string
		if p.decode(at, &name) {
			unit, ok := units[name]
			if !ok {
				p.list.Add(at.UnknownName("unit", slices.Collect(maps.Keys(units))))
			}
			t.unit = unit
		}
	}
	if at := n.Get("tolerance"); at != nil {
		t.tolerance = p.tolerance(at)
	}
	return t
}

// tolerance reads a duration, or none (0).
func (p *parser) tolerance(n *document.Node) time.Duration {
	if n.Kind == document.String && n.Value == "none" {
		return 0
	}
	var d time.Duration
	if p.decode(n, &d) && d <= 0 {
		p.add(n, "bad-duration", "a duration such as 5m, or none to check nothing", "a tolerance is longer than nothing")
	}
	return d
}

func (p *parser) bodyHash(n *document.Node, r *rule) *bodyHash {
	keys := []string{"header", "query"}
	if r.kind == kindJWT {
		keys = []string{"claim"}
	}
	if !p.mapOf(n, "bodyHash: {query: bodySHA256}", append(keys, "encoding")...) {
		return nil
	}
	b := &bodyHash{}
	if at := n.Get("encoding"); at != nil {
		b.encoding = p.encoding(at, false)
	}
	if r.kind == kindJWT {
		if at := n.Get("claim"); at != nil {
			b.claim = p.text(at)
		} else {
			p.add(n, "missing-key", "", "the key \"claim\" is missing")
		}
		return b
	}
	b.reference, _ = p.reference(n, false, keys...)
	if b.reference != nil && !r.message.covers(b.reference, 0) {
		p.add(n, "unsigned-hash", "put it into `signed`", "the body's hash is not part of what is signed, so anyone could change it")
	}
	return b
}

func (p *parser) certificate(n *document.Node, r *rule) *certificate {
	if !p.mapOf(n, "certificate: {header: X-Cert-Url, allow: [https://api.example.com/certs/*]}", "header", "field", "allow", "name", "chain") {
		return nil
	}
	c := &certificate{}
	c.reference, _ = p.reference(n, r.each != nil, "header", "field")
	if at := n.Get("allow"); at == nil || at.Kind != document.List || len(at.Items()) == 0 {
		if at == nil {
			at = n
		}
		p.add(at, "missing-key", "such as allow: [https://api.example.com/certs/*]", "\"allow\" must list the URLs that certificates may come from")
	} else {
		for _, item := range at.Items() {
			text := p.text(item)
			if text == "" {
				continue
			}
			pattern, err := ParseURLPattern(text)
			if err != nil {
				p.add(item, "bad-url", "", "%s", err)
			}
			c.allow = append(c.allow, pattern)
		}
	}
	if at := n.Get("name"); at != nil {
		c.name = p.text(at)
	}
	if at := n.Get("chain"); at != nil {
		var chain bool
		if p.decode(at, &chain) {
			c.unchained = !chain
		}
		if c.unchained && c.name == "" {
			p.add(at, "missing-key", "such as name: certs.example.com", "a certificate whose issuers are not checked needs \"name\", the name it is issued for")
		}
	}
	return c
}

func (p *parser) remote(n *document.Node) *remote {
	text := p.text(n)
	if template.IsReference(text) {
		ref, list := template.ParseReference(n, template.Parameter)
		p.list.Add(list...)
		return &remote{reference: ref}
	}
	if err := checkURL(text); text != "" && err != nil {
		p.add(n, "bad-url", "such as https://example.com/keys, or parameters.jwks", "%s", err)
	}
	return &remote{url: text}
}

// checkURL reports what keeps a URL from being fetched.
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "":
		return fmt.Errorf("this is not a URL")
	case u.Scheme != "https":
		return fmt.Errorf("keys are only fetched over https")
	case u.User != nil:
		return fmt.Errorf("the URL must not contain a user")
	}
	return nil
}

func (p *parser) jwt(r *rule, n *document.Node) {
	r.leeway = defaultLeeway
	if at := n.Get("leeway"); at != nil {
		p.decode(at, &r.leeway)
	}
	if at := n.Get("maxAge"); at != nil && p.decode(at, &r.maxAge) && r.maxAge == 0 {
		p.add(at, "bad-duration", "a duration such as 5m", "a token's greatest age is longer than nothing")
	}
	if at := n.Get("bodyHash"); at != nil {
		r.bodyHash = p.bodyHash(at, r)
	}
	if at := n.Get("claims"); at != nil {
		if at.Kind != document.Map {
			p.add(at, "wrong-type", "such as claims: {aud: parameters.audience}", "expected a map, got %s", at.Kind)
		}
		for _, e := range at.Entries() {
			r.claims = append(r.claims, p.claim(e))
		}
	}
	audience := slices.ContainsFunc(r.claims, func(c claim) bool { return c.name == "aud" })
	if r.jwks != nil && !audience {
		p.add(n, "missing-key", "such as claims: {aud: parameters.audience}",
			"the keys of a key set sign for many receivers, so `claims` must have \"aud\", or anybody's token would do")
	}
}

func (p *parser) claim(e document.Entry) claim {
	c := claim{name: e.Key}
	switch e.Key {
	case "exp", "nbf", "iat":
		p.add(e.KeyNode, "bad-claim", "see leeway and maxAge", "%q is always checked and cannot be compared", e.Key)
	}
	items := []*document.Node{e.Value}
	if e.Value.Kind == document.List {
		items = e.Value.Items()
	}
	if len(items) == 0 {
		p.add(e.Value, "empty", "", "this must not be empty")
	}
	for _, item := range items {
		switch item.Kind {
		case document.Bool, document.Int, document.Float:
			c.values = append(c.values, claimValue{literal: string(item.JSON())})
			continue
		}
		text := p.text(item)
		if text == "" {
			continue
		}
		if template.IsReference(text) && strings.HasPrefix(text, "parameters.") {
			ref, list := template.ParseReference(item, template.Parameter)
			p.list.Add(list...)
			c.values = append(c.values, claimValue{reference: ref})
			continue
		}
		if hint := template.Slip(text); hint != "" {
			p.add(item, "bad-reference", hint, "%q is not a reference", text)
			continue
		}
		t, list := template.Parse(item, template.Request|template.Parameter)
		p.list.Add(list...)
		c.values = append(c.values, claimValue{text: t})
	}
	return c
}

// standardWebhooks makes the rules for both kinds of keys.
func (p *parser) standardWebhooks(r *rule, n *document.Node) {
	p.keys(r, n)
	tolerance := defaultTolerance
	if at := n.Get("tolerance"); at != nil {
		tolerance = p.tolerance(at)
	}
	prefixes := []string{"webhook-", "svix-"}
	if at := n.Get("headerPrefix"); at != nil {
		ref, list := template.ParseHeader(at)
		p.list.Add(list...)
		if ref == nil {
			return
		}
		prefixes = []string{ref.Name}
	}
	for _, prefix := range prefixes {
		signed := template.Must("{header."+prefix+"id}.{header."+prefix+"timestamp}.{body}", template.Request)
		base := rule{
			place:     place{headers: []headerName{{name: prefix + "signature"}}},
			separator: " ", signatureEncoding: base64Encoding,
			message:   message{template: signed},
			timestamp: &timestamp{reference: signed.References()[1], tolerance: tolerance},
			secrets:   r.secrets, keyEncoding: base64Encoding,
		}
		symmetric, asymmetric := base, base
		symmetric.algorithm, symmetric.kind = algorithms["hmac-sha256"], kindMAC
		symmetric.prefix, symmetric.keyPrefix, symmetric.notKeys = "v1,", "whsec_", "whpk_"
		asymmetric.algorithm, asymmetric.kind = algorithms["ed25519"], kindEd25519
		asymmetric.prefix, asymmetric.keyPrefix, asymmetric.onlyKeys = "v1a,", "whpk_", "whpk_"
		r.rules = append(r.rules, &symmetric, &asymmetric)
	}
}
