package destination

import (
	"fmt"
	"math/rand/v2"
	"net/textproto"
	"strings"

	"switchhook/gateway/hook"
)

// HeaderProblem is what is wrong with one static header of a destination.
type HeaderProblem struct {
	// Index is its place in the list.
	Index int
	// Message is one line; it never contains the header's value.
	Message string
}

// ValidateHeaders returns everything that is wrong with the static headers of
// a destination (http, or the message headers of nats and kafka); nil when
// they can be sent. A name must be a token (RFC 9110, section 5.6.2) and none
// that the connection or the gateway sets itself; a value must not contain CR,
// LF or other control characters.
func ValidateHeaders(h hook.Headers) []HeaderProblem {
	var problems []HeaderProblem
	for i := range h {
		if m := headerProblem(h[i].Name, h[i].Value); m != "" {
			problems = append(problems, HeaderProblem{i, m})
		}
	}
	return problems
}

func headerProblem(name, value string) string {
	if name == "" {
		return "a header needs a name"
	}
	for i := range len(name) {
		if !tokenByte(name[i]) {
			return fmt.Sprintf("header %q: %q is not allowed in a name", name, name[i])
		}
	}
	if why := reserved(strings.ToLower(name)); why != "" {
		return fmt.Sprintf("header %q cannot be set: %s", name, why)
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Sprintf("header %q: its value contains the control character %#02x", name, c)
		}
	}
	return ""
}

func tokenByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// reserved returns why a static header may not have this lower-case name.
func reserved(name string) string {
	switch name {
	case "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
		"te", "trailer", "transfer-encoding", "upgrade", "expect", "http2-settings":
		return "it belongs to the connection"
	case "content-length", "content-type", "content-encoding", "host", "traceparent", "tracestate":
		return "the gateway sets it"
	}
	for _, prefix := range [...]string{"webhook-", "x-switchhook-", "ce-", "ce_", "nats-"} {
		if strings.HasPrefix(name, prefix) {
			return "names that begin with " + prefix + " are the gateway's"
		}
	}
	return ""
}

// encodeValue makes a header value of any string: what is not printable ASCII
// is percent-encoded, and so are spaces at the ends, which receivers drop. A
// string of printable ASCII, percent signs included, stays as it is.
func encodeValue(s string) string {
	plain := func(i int) bool {
		return s[i] > ' ' && s[i] < 0x7f || s[i] == ' ' && i > 0 && i < len(s)-1
	}
	i := 0
	for i < len(s) && plain(i) {
		i++
	}
	if i == len(s) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if plain(i) {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
	}
	return b.String()
}

// continueTrace returns the traceparent of a request made on behalf of the
// one that came with parent: the same trace, a span of our own
// (https://www.w3.org/TR/trace-context/). It returns "" for what is not a
// traceparent.
func continueTrace(parent string) string {
	const size = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
	if len(parent) < size || len(parent) > size && (parent[:2] == "00" || parent[size] != '-') {
		return ""
	}
	version, trace, span, flags := parent[:2], parent[3:35], parent[36:52], parent[53:55]
	if parent[2] != '-' || parent[35] != '-' || parent[52] != '-' || version == "ff" ||
		!lowerHex(version) || !lowerHex(trace) || !lowerHex(span) || !lowerHex(flags) ||
		strings.Trim(trace, "0") == "" || strings.Trim(span, "0") == "" {
		return ""
	}
	// A later version is continued as the one that we know. Span ids need to
	// be unique, not secret; 0 is not one.
	return fmt.Sprintf("00-%s-%016x-%s", trace, rand.Uint64()|1, flags)
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// message calls set for each header of a message to a broker, and returns its body.
func message(sub *hook.Subscription, d *hook.Delivery, binding cloudEventBinding, set func(name, value string)) (body []byte, err error) {
	body = d.Event.Payload
	contentType := "application/json"
	switch mode := sub.Destination.CloudEvents; mode {
	case "":
	case "binary":
		cloudEventAttributes(d, func(name, value string) { set(binding.prefix+name, binding.encode(value)) })
	case "structured":
		contentType = cloudEventType
		body = cloudEvent(d)
	default:
		return nil, fmt.Errorf("cloudEvents is %q, not binary or structured", mode)
	}
	for _, h := range sub.Destination.Headers {
		if headerProblem(h.Name, h.Value) == "" {
			set(h.Name, h.Value)
		}
	}
	set("content-type", contentType)
	set("webhook-id", encodeValue(d.Event.ID))
	set("x-switchhook-selector", encodeValue(d.Event.Selector))
	set("x-switchhook-subscription", encodeValue(d.Subscription))
	if trace := continueTrace(d.TraceParent); trace != "" {
		set("traceparent", trace)
	}
	return body, nil
}

func canonical(name string) string { return textproto.CanonicalMIMEHeaderKey(name) }
