package server

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"switchhook/gateway/hook"
)

// maxFields bounds the header fields of a request.
const maxFields = 256

// isToken tells the characters of names (RFC 9110 section 5.6.2).
var isToken = func() (table [256]bool) {
	for c := range table {
		table[c] = c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c < 0x7f && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), byte(c)) >= 0
	}
	return table
}()

// isValue tells the bytes of values (RFC 9110 section 5.5).
var isValue = func() (table [256]bool) {
	for c := range table {
		table[c] = c == '\t' || c >= ' ' && c != 0x7f
	}
	return table
}()

// checkHeader looks at a request's header as it came, and finds what fasthttp
// takes though another server on the way may read it otherwise, which is how
// requests are smuggled past one (RFC 9112 section 11.2); nil: it is proper.
func checkHeader(h *fasthttp.RequestHeader) *problem {
	if v := h.Protocol(); string(v) != "HTTP/1.1" && string(v) != "HTTP/1.0" {
		return refuse(fasthttp.StatusHTTPVersionNotSupported, "the protocol is not HTTP/1.1 or HTTP/1.0")
	}
	var fields, hosts, lengths, codings int
	for rest := h.RawHeaders(); len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n')
		if end < 1 || rest[end-1] != '\r' {
			return refuse(fasthttp.StatusBadRequest, "a header line does not end with CR LF")
		}
		line := rest[:end-1]
		rest = rest[end+1:]
		if len(line) == 0 {
			if len(rest) > 0 {
				return refuse(fasthttp.StatusBadRequest, "the header ends twice")
			}
			break
		}
		if fields++; fields > maxFields {
			return refuse(fasthttp.StatusRequestHeaderFieldsTooLarge, "the request has too many header fields")
		}
		colon := 0
		for colon < len(line) && isToken[line[colon]] {
			colon++
		}
		if colon == 0 || colon == len(line) || line[colon] != ':' {
			return refuse(fasthttp.StatusBadRequest, "a header line is not a name, a colon and a value")
		}
		for _, c := range line[colon+1:] {
			if !isValue[c] {
				return refuse(fasthttp.StatusBadRequest, "the value of a header field has control characters")
			}
		}
		name := line[:colon]
		switch len(name) {
		case len("Host"):
			if equalFold(name, "host") {
				hosts++
			}
		case len("Expect"):
			if equalFold(name, "expect") && !equalFold(bytes.Trim(line[colon+1:], " \t"), "100-continue") {
				return refuse(fasthttp.StatusExpectationFailed, "the only expectation that is known is 100-continue")
			}
		case len("Content-Length"):
			if equalFold(name, "content-length") {
				lengths++
			}
		case len("Content-Encoding"):
			// Signatures are of the bytes as sent, and a small body that unpacks to a large
			// one is a bomb: no provider needs it, and RFC 9110, section 15.5.16, has an answer.
			if coding := bytes.Trim(line[colon+1:], " \t"); equalFold(name, "content-encoding") && len(coding) > 0 && !equalFold(coding, "identity") {
				return refuse(fasthttp.StatusUnsupportedMediaType, "bodies are taken without a Content-Encoding only")
			}
		case len("Transfer-Encoding"):
			if equalFold(name, "transfer-encoding") {
				codings++
				if !equalFold(bytes.Trim(line[colon+1:], " \t"), "chunked") {
					return refuse(fasthttp.StatusNotImplemented, "the only transfer coding that is known is chunked")
				}
			}
		}
	}
	switch {
	case lengths > 1 || codings > 1 || lengths > 0 && codings > 0:
		return refuse(fasthttp.StatusBadRequest, "the length of the body is said more than once")
	case hosts > 1 || hosts == 0 && h.IsHTTP11():
		return refuse(fasthttp.StatusBadRequest, "there must be one Host")
	}
	return nil
}

// equalFold compares with a lower-case ASCII word.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// headers are the fields of a header that checkHeader found proper, in order.
func headers(raw []byte) hook.Headers {
	text := string(raw) // one copy, that all names and values are parts of
	fields := make(hook.Headers, 0, strings.Count(text, "\n"))
	for {
		line, rest, found := strings.Cut(text, "\r\n")
		if !found || line == "" {
			return fields
		}
		name, value, _ := strings.Cut(line, ":")
		fields = append(fields, hook.Header{Name: name, Value: strings.Trim(value, " \t")})
		text = rest
	}
}

// originForm is a request target as path and query, as they came. ok is false
// for forms that name no path.
func originForm(target string) (origin string, ok bool) {
	if strings.HasPrefix(target, "/") {
		return target, true
	}
	// The absolute form, which servers must take: RFC 9112 section 3.2.2.
	_, rest, absolute := strings.Cut(target, "://")
	if !absolute {
		return "", false
	}
	begin := strings.IndexAny(rest, "/?")
	if begin < 0 {
		return "/", true
	}
	if rest[begin] == '?' {
		return "/" + rest[begin:], true
	}
	return rest[begin:], true
}

// method is a request's method; the usual ones are not copied.
func method(b []byte) string {
	switch string(b) {
	case "POST":
		return "POST"
	case "GET":
		return "GET"
	case "HEAD":
		return "HEAD"
	case "PUT":
		return "PUT"
	}
	return string(b)
}

// caller is the address that a request came from: the peer's, or where that
// is a trusted proxy, the last address in X-Forwarded-For that is not one.
func caller(peer netip.Addr, trusted []netip.Prefix, fields hook.Headers) netip.Addr {
	if !within(trusted, peer) {
		return peer
	}
	values := fields.Values("X-Forwarded-For")
	for _, value := range slices.Backward(values) {
		hops := strings.Split(value, ",")
		for _, hop := range slices.Backward(hops) {
			addr, ok := parseHop(strings.TrimSpace(hop))
			if !ok {
				return peer
			}
			peer = addr
			if !within(trusted, peer) {
				return peer
			}
		}
	}
	return peer
}

// parseHop reads an address, with or without a port.
func parseHop(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		withPort, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = withPort.Addr()
	}
	return addr.Unmap().WithZone(""), true
}

func within(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(addr) })
}
