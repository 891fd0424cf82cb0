package destination

import (
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// call is the request of one attempt: POST, HTTP/1.1. It is made into what goes over the wire at once, or into a
// request for http.Transport.
type call struct {
	url       *url.URL
	userAgent string
	// fields are the others that net/http does not set by itself. Names are canonical and can repeat.
	fields []field
	body   []byte
}

type field struct{ name, value string }

func (c *call) add(name, value string) { c.fields = append(c.fields, field{name, value}) }

// has reports whether a field is set already.
func (c *call) has(name string) bool {
	return slices.ContainsFunc(c.fields, func(f field) bool { return f.name == name })
}

// request is the call for http.Transport.
func (c *call) request() *http.Request {
	header := make(http.Header, len(c.fields)+1)
	header["User-Agent"] = []string{c.userAgent}
	for _, f := range c.fields {
		header[f.name] = append(header[f.name], f.value)
	}
	// As http.NewRequest makes it, without parsing the URL once more. GetBody lets the transport take another
	// connection where one was closed before anything was written to it.
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c.body)), nil }
	req := &http.Request{
		Method: http.MethodPost, URL: c.url, Host: c.url.Host, Header: header, ContentLength: int64(len(c.body)), GetBody: open,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if req.Body = http.NoBody; len(c.body) > 0 {
		req.Body, _ = open()
	}
	return req
}

// appendTo appends the call as it goes over the wire, which is what http.Request.Write writes where ordinaryHost holds.
func (c *call) appendTo(b []byte) []byte {
	line := func(name, value string) {
		b = append(append(append(append(b, name...), ": "...), value...), "\r\n"...)
	}
	b = append(append(append(b, "POST "...), c.url.RequestURI()...), " HTTP/1.1\r\n"...)
	line("Host", c.url.Host)
	if c.userAgent != "" {
		line("User-Agent", textproto.TrimString(c.userAgent))
	}
	b = append(strconv.AppendInt(append(b, "Content-Length: "...), int64(len(c.body)), 10), "\r\n"...)
	byName := func(x, y field) int { return strings.Compare(x.name, y.name) }
	if !slices.IsSortedFunc(c.fields, byName) {
		slices.SortStableFunc(c.fields, byName)
	}
	for _, f := range c.fields {
		line(f.name, textproto.TrimString(f.value))
	}
	return append(append(b, "\r\n"...), c.body...)
}

// ordinaryHost reports whether a URL's host goes over the wire as it is. Others have to be encoded (IDNA) or cut.
func ordinaryHost(host string) bool {
	for i := range len(host) {
		if c := host[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && strings.IndexByte("-.:[]_", c) < 0 {
			return false
		}
	}
	return true
}

// answer is what a receiver answered.
type answer struct {
	status     int
	retryAfter string
	body       io.Reader // nil for none
}

func answerOf(r *http.Response) answer {
	a := answer{status: r.StatusCode, retryAfter: r.Header.Get("Retry-After")}
	if r.Body != http.NoBody {
		a.body = r.Body
	}
	return a
}

// answerHead is what an ordinary answer says before its body.
type answerHead struct {
	size       int // of the head itself
	status     int
	retryAfter string
	length     int64 // of the body
}

// ordinaryHead reads the head of an answer that begins b. It knows only what most answers are: a final status of HTTP/1.1, a
// body of known length, and a connection that stays open, with nothing about it that could be understood in two ways.
// It returns false for all others, whether they are bad, special or incomplete: those are for http.ReadResponse. What it
// takes it understands as http.ReadResponse does.
func ordinaryHead(b []byte) (h answerHead, ok bool) {
	const begin = "HTTP/1.1 200"
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < len(begin) || string(b[:9]) != begin[:9] {
		return h, false
	}
	h.size = end + 4
	line, fields, _ := bytes.Cut(b[:end], []byte("\r\n"))
	if len(line) < len(begin) {
		return h, false
	}
	status, isNumber := digits(line[9:12])
	if reason := line[12:]; !isNumber || status < 200 || len(reason) > 0 && reason[0] != ' ' || !printable(reason) {
		return h, false
	}
	h.status, h.length = int(status), -1
	retries := false
	for len(fields) > 0 {
		line, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		name, value, isField := bytes.Cut(line, []byte(":"))
		if !isField || len(name) == 0 || !printable(value) {
			return h, false
		}
		for _, c := range name {
			if !tokenByte(c) {
				return h, false
			}
		}
		value = bytes.Trim(value, " \t")
		switch is := func(s string) bool { return len(name) == len(s) && strings.EqualFold(string(name), s) }; {
		case is("Content-Length"):
			n, isNumber := digits(value)
			if !isNumber || h.length >= 0 {
				return h, false
			}
			h.length = n
		case is("Connection"):
			if !strings.EqualFold(string(value), "keep-alive") {
				return h, false
			}
		case is("Transfer-Encoding"):
			return h, false
		case is("Retry-After"):
			if retries {
				return h, false
			}
			retries, h.retryAfter = true, string(value)
		}
	}
	if h.status == http.StatusNoContent || h.status == http.StatusNotModified {
		h.length = 0
	}
	return h, h.length >= 0
}

// printable reports whether there is nothing but printable ASCII, spaces and tabs.
func printable(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c > '~') && c != '\t' {
			return false
		}
	}
	return true
}

// digits is a number of at most 18 digits and nothing else.
func digits(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, true
}
