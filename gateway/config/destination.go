package config

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"switchhook/gateway/hook"
	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// destinationKeys are the keys of each type of destination, besides type and retry.
var destinationKeys = map[string][]string{
	"http":   {"url", "headers", "secret", "secrets", "cloudEvents", "concurrency", "rate", "allow"},
	"nats":   {"url", "subject", "headers", "cloudEvents", "concurrency", "rate", "allow"},
	"kafka":  {"brokers", "topic", "headers", "cloudEvents", "concurrency", "rate", "allow"},
	"file":   {"path"},
	"stdout": {},
}

// What a destination has when it does not say.
const (
	defaultTimeout     = 15 * time.Second
	defaultConcurrency = 16
	defaultJitter      = 0.1
)

// fields are the keys of all types of destinations.
type fields struct {
	Type        string           `yaml:"type,required"`
	URL         *document.Node   `yaml:"url"`
	Headers     *document.Node   `yaml:"headers"`
	Secret      *document.Node   `yaml:"secret"`
	Secrets     []*document.Node `yaml:"secrets"`
	CloudEvents string           `yaml:"cloudEvents"`
	Path        string           `yaml:"path"`
	Subject     string           `yaml:"subject"`
	Topic       string           `yaml:"topic"`
	Brokers     []*document.Node `yaml:"brokers"`
	Retry       *document.Node   `yaml:"retry"`
	Concurrency *int             `yaml:"concurrency"`
	Rate        *float64         `yaml:"rate"`
	Allow       []Prefix         `yaml:"allow"`
}

// destination gathers what is wrong with one.
type destination struct {
	fields
	node *document.Node
	list diagnostic.List
	hook.Destination
}

func (d *destination) complain(n *document.Node, code, message, hint string) {
	finding := n.Errorf(code, "%s", message)
	finding.Hint = hint
	d.list.Add(finding)
}

// DecodeDestination reads a destination as it stands in config.yaml (or as
// JSON of the same form), checks it and applies defaults. Relative paths are
// relative to base; with base "" they are errors. Secrets are not shown in findings.
func DecodeDestination(n *document.Node, base string) (hook.Destination, diagnostic.List) {
	d := &destination{node: n}
	if n.Kind != document.Map {
		d.complain(n, "wrong-type", "expected a destination, got "+n.Kind.String(), "such as {type: stdout} or {type: http, url: ...}")
		return d.Destination, d.list
	}
	if !d.keys() {
		return d.Destination, d.list
	}
	d.list.Add(n.Decode(&d.fields, document.AllowUnknown())...)
	d.Destination = hook.Destination{Type: d.fields.Type, Timeout: defaultTimeout, Concurrency: 1,
		Retry: hook.RetryPolicy{Delays: hook.DefaultRetryDelays, Jitter: defaultJitter}}
	switch d.Destination.Type {
	case "http":
		d.address("http", "https")
		d.secrets()
	case "nats":
		d.address("nats", "tls", "ws", "wss")
		d.Destination.Subject = d.template("subject", d.fields.Subject)
		if strings.ContainsAny(d.Destination.Subject, " \t\r\n*>") {
			d.complain(n.Get("subject"), "bad-subject", "a subject to publish to has no spaces and no wildcards", "")
		}
	case "kafka":
		d.brokers()
		d.Destination.Topic = d.template("topic", d.fields.Topic)
	case "file":
		d.path(base)
	}
	if keys := destinationKeys[d.Destination.Type]; slices.Contains(keys, "concurrency") {
		d.oneOf("cloudEvents", d.fields.CloudEvents, "", "binary", "structured")
		d.Destination.CloudEvents = d.fields.CloudEvents
		d.headers()
		d.pace()
	}
	d.retry()
	return d.Destination, d.list
}

// keys checks the type and that the keys are those of it.
func (d *destination) keys() bool {
	t := d.node.Get("type")
	types := slices.Sorted(maps.Keys(destinationKeys))
	switch {
	case t == nil || t.Kind == document.Null:
		d.complain(d.node, "missing-key", `the key "type" is missing`, "there are: "+strings.Join(types, ", "))
		return false
	case t.Kind != document.String:
		d.complain(t, "wrong-type", "expected the type of a destination, got "+t.Kind.String(), "there are: "+strings.Join(types, ", "))
		return false
	case !slices.Contains(types, t.Value):
		d.list.Add(t.UnknownName("type of destination", types))
		return false
	}
	known := append([]string{"type", "retry"}, destinationKeys[t.Value]...)
	for _, e := range d.node.Entries() {
		if slices.Contains(known, e.Key) {
			continue
		}
		var owners []string
		for _, name := range types {
			if slices.Contains(destinationKeys[name], e.Key) {
				owners = append(owners, name)
			}
		}
		switch {
		case len(owners) > 0:
			d.complain(e.KeyNode, "unknown-key", fmt.Sprintf("a destination of type %s has no %q", t.Value, e.Key),
				"it belongs to "+strings.Join(owners, ", "))
		case e.Key == "timeout":
			d.complain(e.KeyNode, "unknown-key", `the key "timeout" is not known here`, "it stands in retry: retry: {timeout: 15s}")
		default:
			d.list.Add(document.UnknownKey(e, known...))
		}
	}
	return true
}

func (d *destination) oneOf(key, value string, known ...string) {
	if slices.Contains(known, value) {
		return
	}
	hint := diagnostic.DidYouMean(value, known)
	if hint == "" {
		hint = "there are: " + strings.Trim(strings.Join(known, ", "), ", ")
	}
	d.complain(d.node.Get(key), "unknown-value", "this value is not known", hint)
}

// text returns the value of a node that must be a string with something in it.
func (d *destination) text(n *document.Node, what string) (string, bool) {
	switch {
	case n.Kind == document.Int || n.Kind == document.Float || n.Kind == document.Bool:
		d.complain(n, "wrong-type", fmt.Sprintf("expected %s, got %s", what, n.Kind), "put it in quotes")
	case n.Kind != document.String:
		d.complain(n, "wrong-type", fmt.Sprintf("expected %s, got %s", what, n.Kind), "")
	case n.Value == "":
		d.complain(n, "missing-value", fmt.Sprintf("expected %s, got an empty string", what), "")
	default:
		return n.Value, true
	}
	return "", false
}

// address checks url. Messages do not repeat it, since it may hold a password.
func (d *destination) address(schemes ...string) {
	n := d.fields.URL
	if n == nil {
		d.complain(d.node, "missing-key", `the key "url" is missing`, "")
		return
	}
	value, ok := d.text(n, "a URL")
	if !ok {
		return
	}
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Hostname() == "" || !slices.Contains(schemes, strings.ToLower(u.Scheme)):
		d.complain(n, "bad-url", "this is not a URL of a destination of type "+d.Destination.Type,
			"it begins with "+strings.Join(schemes, ":// or ")+":// and has a host")
		return
	case u.User != nil && d.Destination.Type == "http":
		d.complain(n, "bad-url", "a user or password in the URL would be shown wherever the URL is",
			"put it into headers: Authorization")
		return
	case u.Fragment != "":
		d.complain(n, "bad-url", "a URL to deliver to has no fragment (#...)", "")
		return
	}
	d.Destination.URL = value
	// The guard refuses such an address at every attempt, so say it now.
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil || u.Hostname() == "localhost" {
		if u.Hostname() == "localhost" {
			addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
		d.reachable(n, addr)
	}
}

// reachable warns of a private or local address that no entry of allow lets through.
func (d *destination) reachable(n *document.Node, addr netip.Addr) {
	addr = addr.Unmap().WithZone("")
	if !addr.IsPrivate() && !addr.IsLoopback() && !addr.IsLinkLocalUnicast() && !addr.IsUnspecified() {
		return
	}
	for _, p := range d.fields.Allow {
		if p.Contains(addr) {
			return
		}
	}
	finding := n.Warnf("not-allowed", "deliveries to %s are refused, because it is a private or local address", addr)
	finding.Hint = fmt.Sprintf("if that is meant, add allow: [%s]", netip.PrefixFrom(addr, addr.BitLen()))
	d.list.Add(finding)
}

// secrets checks secret and secrets, of which only one may be given.
func (d *destination) secrets() {
	nodes := d.fields.Secrets
	if d.fields.Secret != nil && d.fields.Secret.Kind != document.Null {
		if nodes != nil {
			d.complain(d.node.Get("secrets"), "conflict", "secret and secrets cannot both be given", "put all into secrets, the current one first")
		}
		nodes = append([]*document.Node{d.fields.Secret}, nodes...)
	} else if nodes != nil && len(nodes) == 0 {
		d.complain(d.node.Get("secrets"), "missing-value", "expected at least one secret", "leave the key out for deliveries that are not signed")
	}
	const form = "a secret is whsec_ and 24 to 64 random bytes in base64; make one with: echo whsec_$(openssl rand -base64 32)"
	for _, n := range nodes {
		value, ok := d.text(n, "a secret")
		if !ok {
			continue
		}
		encoded, prefixed := strings.CutPrefix(value, "whsec_")
		key, err := base64.StdEncoding.DecodeString(encoded)
		switch {
		case !prefixed:
			d.complain(n, "bad-secret", "the secret does not begin with whsec_", form)
		case err != nil:
			d.complain(n, "bad-secret", "what follows whsec_ is not base64", form)
		case len(key) < 24 || len(key) > 64:
			d.complain(n, "bad-secret", fmt.Sprintf("the secret has %d bytes, not 24 to 64", len(key)), form)
		default:
			d.Destination.Secrets = append(d.Destination.Secrets, value)
		}
	}
}

var placeholder = regexp.MustCompile(`\{([^{}]*)\}`)

// template checks a subject or topic, which may contain placeholders.
func (d *destination) template(key, value string) string {
	n := d.node.Get(key)
	if n == nil || n.Kind == document.Null {
		d.complain(d.node, "missing-key", fmt.Sprintf("the key %q is missing", key), "")
		return ""
	}
	if value == "" && n.Kind == document.String {
		d.complain(n, "missing-value", fmt.Sprintf("the key %q needs a value", key), "")
	}
	known := []string{"selector", "type", "workspace"}
	for _, m := range placeholder.FindAllStringSubmatch(value, -1) {
		if !slices.Contains(known, m[1]) {
			hint := diagnostic.DidYouMean(m[1], known)
			if hint == "" {
				hint = "there are: {selector}, {type}, {workspace}"
			}
			d.complain(n, "unknown-placeholder", fmt.Sprintf("there is no placeholder {%s}", shortened(m[1])), hint)
		}
	}
	if strings.ContainsAny(placeholder.ReplaceAllString(value, ""), "{}") {
		d.complain(n, "bad-placeholder", "a brace is not closed or not opened", "")
	}
	return value
}

func (d *destination) brokers() {
	if len(d.fields.Brokers) == 0 {
		n := d.node.Get("brokers")
		if n == nil || n.Kind == document.Null || n.Kind == document.List {
			d.complain(at(d.node, "brokers"), "missing-key", "expected at least one broker", "such as brokers: [kafka.example.com:9092]")
		}
		return
	}
	for _, n := range d.fields.Brokers {
		value, ok := d.text(n, "a broker")
		if !ok {
			continue
		}
		host, port, err := net.SplitHostPort(value)
		if err != nil || host == "" || port == "" {
			d.complain(n, "bad-address", "expected host:port", "such as kafka.example.com:9092")
			continue
		}
		d.Destination.Brokers = append(d.Destination.Brokers, value)
		if addr, err := netip.ParseAddr(host); err == nil {
			d.reachable(n, addr)
		}
	}
}

func (d *destination) path(base string) {
	n := d.node.Get("path")
	switch {
	case n == nil || n.Kind == document.Null:
		d.complain(d.node, "missing-key", `the key "path" is missing`, "")
		return
	case n.Kind != document.String: // reported already
		return
	case d.fields.Path == "" || strings.ContainsRune(d.fields.Path, 0) || strings.HasSuffix(d.fields.Path, "/"):
		d.complain(n, "bad-path", "expected the path of a file", "")
		return
	case filepath.IsAbs(d.fields.Path):
		d.Destination.Path = filepath.Clean(d.fields.Path)
	case base == "":
		d.complain(n, "bad-path", "expected an absolute path", "such as /var/lib/switchhook/events.ndjson; relative paths work in config.yaml only")
	default:
		d.Destination.Path = filepath.Join(base, d.fields.Path)
	}
}

// Header fields that a delivery cannot have: those that belong to the
// connection (RFC 9110 section 7.6.1) or are set by the gateway.
var reservedHeaders = []string{
	"connection", "proxy-connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect", "http2-settings",
	"proxy-authenticate", "proxy-authorization", "host", "content-length", "content-encoding", "content-type",
	"traceparent", "tracestate",
}

// Beginnings of the names of header fields that are the gateway's.
var reservedPrefixes = []string{"webhook-", "x-switchhook-", "ce-", "ce_", "nats-"}

var token = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// headers checks headers. Values may be secrets and are not shown.
func (d *destination) headers() {
	headers := mapOrNothing(&d.list, d.fields.Headers, "headers")
	if headers == nil {
		return
	}
	seen := map[string]string{}
	for _, e := range headers.Entries() {
		name := strings.ToLower(e.Key)
		_, reserved := slices.BinarySearch(sortedHeaders, name)
		switch {
		case !token.MatchString(e.Key):
			d.complain(e.KeyNode, "bad-header", "this cannot be the name of a header field", "")
			continue
		case reserved || slices.ContainsFunc(reservedPrefixes, func(p string) bool { return strings.HasPrefix(name, p) }):
			d.complain(e.KeyNode, "reserved-header", fmt.Sprintf("the header field %s is set by the gateway or belongs to the connection", e.Key), "")
			continue
		case seen[name] != "":
			d.complain(e.KeyNode, "duplicate-key", fmt.Sprintf("%s and %s are the same header field", seen[name], e.Key), "")
			continue
		}
		seen[name] = e.Key
		value, ok := d.text(e.Value, "a string")
		if !ok {
			continue
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7f }) {
			d.complain(e.Value, "bad-header", "the value of a header field cannot contain line breaks or other control characters", "")
			continue
		}
		d.Destination.Headers = append(d.Destination.Headers, hook.Header{Name: e.Key, Value: value})
	}
}

var sortedHeaders = slices.Sorted(slices.Values(reservedHeaders))

// pace checks how fast and where to deliveries may go.
func (d *destination) pace() {
	d.Destination.Concurrency = defaultConcurrency
	if c := d.fields.Concurrency; c != nil {
		d.Destination.Concurrency = *c
		if *c < 1 || *c > 10_000 {
			d.complain(d.node.Get("concurrency"), "out-of-range", fmt.Sprintf("%d is not between 1 and 10000", *c), "")
		}
	}
	if r := d.fields.Rate; r != nil {
		d.Destination.RatePerSecond = *r
		if *r <= 0 {
			d.complain(d.node.Get("rate"), "out-of-range", "a rate is more than 0 deliveries in a second", "leave it out for no limit")
		}
	}
	for _, p := range d.fields.Allow {
		d.Destination.Allow = append(d.Destination.Allow, p.Prefix)
	}
}

// retryKeys are the keys of retry: a list of delays, or a growing one.
type retryKeys struct {
	Delays   []time.Duration `yaml:"delays"`
	Initial  time.Duration   `yaml:"initial"`
	Factor   *float64        `yaml:"factor"`
	Max      time.Duration   `yaml:"max"`
	Attempts *int            `yaml:"attempts"`
	MaxAge   time.Duration   `yaml:"maxAge"`
	Jitter   *float64        `yaml:"jitter"`
	Timeout  time.Duration   `yaml:"timeout"`
}

const (
	maxAttempts = 1000
	maxDelay    = 30 * 24 * time.Hour
)

func (d *destination) retry() {
	n := d.fields.Retry
	if n == nil || n.Kind == document.Null {
		return
	}
	var keys retryKeys
	found := n.Decode(&keys)
	d.list.Add(found...)
	if found.HasErrors() || n.Kind != document.Map {
		return
	}
	if n.Get("timeout") != nil {
		d.Destination.Timeout = keys.Timeout
		if keys.Timeout <= 0 || keys.Timeout > time.Hour {
			d.complain(n.Get("timeout"), "out-of-range", "the timeout of an attempt is more than 0 and at most 1h", "")
		}
	}
	if keys.Jitter != nil {
		d.Destination.Retry.Jitter = *keys.Jitter
		if *keys.Jitter < 0 || *keys.Jitter > 1 {
			d.complain(n.Get("jitter"), "out-of-range", "jitter is a share of the delay, from 0 to 1", "")
		}
	}
	var growing []string
	for _, key := range []string{"initial", "factor", "max", "attempts", "maxAge"} {
		if n.Get(key) != nil {
			growing = append(growing, key)
		}
	}
	switch {
	case n.Get("delays") != nil && len(growing) > 0:
		d.complain(n.Get(growing[0]), "conflict", fmt.Sprintf("delays and %s cannot both be given", strings.Join(growing, ", ")),
			"give either all delays, or initial, factor, max and attempts or maxAge")
	case n.Get("delays") != nil:
		d.Destination.Retry.Delays = keys.Delays
		at := n.Get("delays")
		if len(keys.Delays) == 0 {
			d.complain(at, "missing-value", "expected at least one delay: [0s] means one attempt at once", "")
		}
		if len(keys.Delays) > maxAttempts {
			d.complain(at, "out-of-range", fmt.Sprintf("more than %d attempts", maxAttempts), "")
		}
		for i, delay := range keys.Delays {
			if delay > maxDelay {
				d.complain(at.Items()[i], "out-of-range", fmt.Sprintf("a delay is at most %s", maxDelay), "")
			}
		}
	case len(growing) > 0:
		d.growing(n, keys)
	}
}

// growing turns initial, factor, max, attempts and maxAge into a list of delays.
func (d *destination) growing(n *document.Node, keys retryKeys) {
	before := len(d.list)
	factor, limit := 2.0, time.Hour
	if keys.Factor != nil {
		factor = *keys.Factor
	}
	if n.Get("max") != nil {
		limit = keys.Max
	}
	if n.Get("initial") == nil {
		d.complain(n, "missing-key", `the key "initial" is missing`, "it is the delay before the second attempt")
	} else if keys.Initial <= 0 || keys.Initial > maxDelay {
		d.complain(n.Get("initial"), "out-of-range", fmt.Sprintf("the first delay is more than 0 and at most %s", maxDelay), "")
	}
	if factor < 1 || factor > 100 {
		d.complain(n.Get("factor"), "out-of-range", "the factor is from 1 to 100", "")
	}
	if n.Get("max") != nil && (limit < keys.Initial || limit > maxDelay) {
		d.complain(n.Get("max"), "out-of-range", fmt.Sprintf("max is at least initial and at most %s", maxDelay), "")
	}
	attempts := maxAttempts
	if keys.Attempts != nil {
		attempts = *keys.Attempts
		if attempts < 1 || attempts > maxAttempts {
			d.complain(n.Get("attempts"), "out-of-range", fmt.Sprintf("the number of attempts is from 1 to %d", maxAttempts), "")
		}
	}
	if keys.Attempts == nil && n.Get("maxAge") == nil {
		d.complain(n, "missing-key", "when to give up is not said", "give attempts, maxAge or both")
	}
	if n.Get("maxAge") != nil && keys.MaxAge <= 0 {
		d.complain(n.Get("maxAge"), "out-of-range", "maxAge is more than 0", "")
	}
	if len(d.list) > before {
		return
	}
	delays, age, next := []time.Duration{0}, time.Duration(0), float64(max(keys.Initial, 0))
	for len(delays) < attempts {
		delay := time.Duration(math.Min(next, float64(max(limit, keys.Initial))))
		if age += delay; keys.MaxAge > 0 && age > keys.MaxAge {
			break
		}
		delays = append(delays, delay)
		next *= factor
	}
	d.Destination.Retry.Delays = delays
}
