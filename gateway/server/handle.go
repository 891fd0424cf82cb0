package server

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"switchhook/gateway/hook"
)

// refusedField is where headerReceived leaves word for handle that a request
// is refused, and why. No request can have a field of that name.
var refusedField = []byte("\x00refused")

// headerReceived is called by fasthttp between header and body. What is refused
// for its header alone gets no chance to send a body: fasthttp would wait for
// its first byte, and would invite it with 100 Continue.
func (s *Server) headerReceived(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	p := checkHeader(h)
	if p == nil && h.ContentLength() != -2 && h.ContentLength() != 0 {
		p = s.checkRequest(h)
	}
	if p != nil {
		h.SetCanonical(refusedField, append(strconv.AppendInt(nil, int64(p.status), 10), p.detail...))
		h.Del("Expect")
		h.SetContentLength(0)
		h.SetConnectionClose()
	}
	return fasthttp.RequestConfig{}
}

// refused is what headerReceived found, or nil.
func refused(h *fasthttp.RequestHeader) *problem {
	word := h.PeekCanonical(refusedField)
	if len(word) < 3 {
		return nil
	}
	status, err := strconv.Atoi(string(word[:3]))
	if err != nil {
		status = fasthttp.StatusBadRequest
	}
	return refuse(status, string(word[3:]))
}

// Problems that say the same to everybody.
var (
	// One answer for all URLs that are none: that of a wrong token must not
	// differ from that of an unknown name.
	notFound   = &problem{status: fasthttp.StatusNotFound, detail: "there is no webhook at this URL"}
	overloaded = &problem{status: fasthttp.StatusServiceUnavailable, detail: "too many requests are under way", retryAfter: 1, close: true}
)

// checkRequest says what is wrong with a proper header; nil when the body may come.
func (s *Server) checkRequest(h *fasthttp.RequestHeader) (p *problem) {
	defer func() {
		if r := recover(); r != nil {
			p = s.panicked("", r)
		}
	}()
	_, path, ok := s.locate(string(h.RequestURI()))
	if !ok {
		return notFound
	}
	if _, found := s.opt.Gateway.Find(path); !found {
		return notFound
	}
	return s.checkBody(h)
}

// checkBody says what is wrong with the method and what is announced of the body.
func (s *Server) checkBody(h *fasthttp.RequestHeader) *problem {
	if m := h.Method(); string(m) == "CONNECT" || string(m) == "TRACE" {
		return refuse(fasthttp.StatusMethodNotAllowed, "webhooks are not called with this method")
	}
	if int64(h.ContentLength()) > s.opt.MaxBody {
		return s.tooLarge()
	}
	return nil
}

func (s *Server) tooLarge() *problem {
	return refuse(fasthttp.StatusRequestEntityTooLarge, "the body is larger than "+strconv.FormatInt(s.opt.MaxBody, 10)+" bytes")
}

// locate finds the path and query that a request target names, relative to the
// public URL: origin is both, path the first.
func (s *Server) locate(target string) (origin, path string, ok bool) {
	origin, ok = originForm(target)
	if !ok {
		return "", "", false
	}
	if rest, cut := strings.CutPrefix(origin, s.prefix); cut && strings.HasPrefix(rest, "/") {
		origin = rest
	}
	path, _, _ = strings.Cut(origin, "?")
	return origin, path, true
}

// handle answers one request. Its body has not been read.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	s.requests.Add(1)
	start := s.opt.Now()
	o := Observation{}
	id := s.idAt(start)
	ctx.Response.Header.DisableNormalizing()
	p := s.serve(ctx, id, start, &o)
	if p != nil {
		unread := ctx.Request.Header.ContentLength()
		if o.RequestBytes == 0 && (unread > 0 || unread == -1) && !p.close {
			closing := *p
			closing.close = true
			p = &closing
		}
		o.Status, o.ResponseBytes = p.status, p.write(ctx, id)
	}
	if s.memory.used.Load() > s.opt.InFlightBytes/2 {
		ctx.Response.SetConnectionClose()
	}
	if s.opt.Observe != nil { // reading the clock is not free
		o.Took = s.opt.Now().Sub(start)
		s.opt.Observe(o)
	}
	s.requests.Add(-1)
}

// serve reads the request, has it handled and writes the response; or it
// returns the problem to answer with. A panic on the way is one, too.
func (s *Server) serve(ctx *fasthttp.RequestCtx, id string, start time.Time, o *Observation) (p *problem) {
	defer func() {
		if r := recover(); r != nil {
			p = s.panicked(id, r)
		}
	}()
	h := &ctx.Request.Header
	c := ctx.Conn().(*conn)
	p = refused(h)

	var fields hook.Headers
	addr := c.peer
	if within(s.opt.TrustedProxies, addr) {
		fields = headers(h.RawHeaders())
		addr = caller(addr, s.opt.TrustedProxies, fields)
	}
	if wait := s.byAddr.allowAddr(addr, start); wait > 0 {
		return tooMany("too many requests from this address", wait)
	}
	if p != nil {
		return p
	}
	origin, path, ok := s.locate(string(h.RequestURI()))
	if !ok {
		return notFound
	}
	to, found := s.opt.Gateway.Find(path)
	if !found {
		return notFound
	}
	o.Found = true
	if p = s.checkBody(h); p != nil {
		return p
	}
	if wait := s.byURL.allowPath(path, start); wait > 0 {
		return tooMany("too many requests to this URL", wait)
	}
	if s.opt.Ready != nil {
		if err := s.opt.Ready(); err != nil {
			return &problem{status: fasthttp.StatusServiceUnavailable, detail: "requests cannot be stored at the moment", retryAfter: 10}
		}
	}

	body, p := s.readBody(ctx, c)
	if p != nil {
		return p
	}
	o.RequestBytes = len(body)
	if fields == nil {
		fields = headers(h.RawHeaders())
	}
	req := &hook.Request{
		ID: id, Method: method(h.Method()), Headers: fields, Body: body,
		RemoteAddr: c.remoteText(addr), ReceivedAt: s.opt.Now(),
	}
	// Path and Query are parts of URL, which is one allocation.
	req.URL = s.opt.PublicURL + origin
	req.Path, req.Query, _ = strings.Cut(req.URL[len(s.opt.PublicURL)-len(s.prefix):], "?")
	resp := to.Receive(s.base, req)
	if resp == nil {
		panic("server: Receive returned nil")
	}
	s.respond(ctx, id, resp)
	o.Status, o.ResponseBytes = ctx.Response.StatusCode(), len(resp.Body)
	return nil
}

func tooMany(detail string, wait time.Duration) *problem {
	return &problem{status: fasthttp.StatusTooManyRequests, detail: detail, retryAfter: int((wait + time.Second - 1) / time.Second)}
}

// panicked logs a panic and makes the problem to answer with.
func (s *Server) panicked(requestID string, r any) *problem {
	errorID := "err_" + strings.TrimPrefix(s.newID(), "req_")
	s.opt.Logger.Error("panic while a request was handled",
		"requestId", requestID, "errorId", errorID, "panic", r, "stack", string(debug.Stack()))
	return &problem{status: fasthttp.StatusInternalServerError, errorID: errorID, close: true,
		detail: "the gateway failed; its log says why, under the error id"}
}

// remoteText is an address as text; the peer's is kept, since a connection
// carries many requests.
func (c *conn) remoteText(addr netip.Addr) string {
	if addr != c.peer {
		return addr.String()
	}
	if c.remote == "" && addr.IsValid() {
		c.remote = addr.String()
	}
	return c.remote
}

// firstRead is how much memory a body gets before any of it has come; more follows as it comes,
// so that what is announced costs nothing.
const firstRead = 64 << 10

// readBody reads the body within the limits of size, memory and time.
func (s *Server) readBody(ctx *fasthttp.RequestCtx, c *conn) ([]byte, *problem) {
	length := int64(ctx.Request.Header.ContentLength()) // -1: chunked, -2: none
	stream := ctx.RequestBodyStream()
	if length == 0 || length == -2 || stream == nil {
		return []byte{}, nil
	}
	limit, size := length, min(length, firstRead)
	if length < 0 {
		limit, size = s.opt.MaxBody, min(s.opt.MaxBody, 4<<10)
	}
	if !c.take(size) {
		return nil, overloaded
	}
	body := make([]byte, 0, size)
	begin := c.received
	defer func() { c.framing = 0 }()
	for {
		if length < 0 {
			c.allowFraming(begin, int64(cap(body)))
		}
		if len(body) == cap(body) {
			if int64(len(body)) == limit {
				if length >= 0 {
					return body, nil
				}
				// A chunked body may end here.
				var one [1]byte
				if _, err := io.ReadFull(stream, one[:]); errors.Is(err, io.EOF) {
					return body, nil
				} else if err != nil {
					return nil, c.unreadable(err)
				}
				return nil, s.tooLarge()
			}
			more := min(limit, 2*int64(cap(body))+4<<10) - int64(cap(body))
			if !c.take(more) {
				return nil, overloaded
			}
			grown := make([]byte, len(body), int64(cap(body))+more)
			copy(grown, body)
			body = grown
		}
		n, err := stream.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF):
			// For a body of known length, fasthttp takes the end of the connection for its end.
			if length >= 0 && int64(len(body)) < length {
				return nil, c.unreadable(io.ErrUnexpectedEOF)
			}
			return body, nil
		case err != nil:
			return nil, c.unreadable(err)
		}
	}
}

// unreadable is the problem for an error that reading a body met.
func (c *conn) unreadable(err error) *problem {
	var netErr net.Error
	switch {
	case errors.As(c.readErr, &netErr) && netErr.Timeout():
		return refuse(fasthttp.StatusRequestTimeout, "the request did not come whole in time")
	case c.readErr != nil, errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return refuse(fasthttp.StatusBadRequest, "the request ended early")
	case errors.Is(err, errFraming):
		return refuse(fasthttp.StatusBadRequest, errFraming.Error())
	case errors.Is(err, bufio.ErrBufferFull):
		return refuse(fasthttp.StatusRequestHeaderFieldsTooLarge, "the trailer is too large")
	}
	return refuse(fasthttp.StatusBadRequest, "the body is not properly encoded")
}

// respond makes resp the response of ctx.
func (s *Server) respond(ctx *fasthttp.RequestCtx, id string, resp *hook.Response) {
	h := &ctx.Response.Header
	status := resp.Status
	if status < 200 || status > 599 {
		panic("server: Receive returned the status " + strconv.Itoa(status))
	}
	ctx.Response.SetStatusCode(status)
	for _, f := range resp.Headers {
		if !s.ours(f) {
			h.Add(f.Name, f.Value)
		}
	}
	h.Set("X-Request-Id", id)
	ctx.Response.SetBodyRaw(resp.Body)
}

// ours reports whether a header field of a response is left out: the server sets it
// by itself, it belongs to the connection, or it is not proper.
func (s *Server) ours(f hook.Header) bool {
	switch len(f.Name) {
	case 2, 4, 6, 7, 10, 12, 14, 16, 17: // lengths of the names below
		switch strings.ToLower(f.Name) {
		case "te", "date", "server", "trailer", "upgrade", "connection", "keep-alive", "x-request-id", "content-length", "proxy-connection", "transfer-encoding":
			return true
		}
	case 0:
		return true
	}
	for i := range len(f.Name) {
		if !isToken[f.Name[i]] {
			return true
		}
	}
	for i := range len(f.Value) {
		if !isValue[f.Value[i]] {
			return true
		}
	}
	return false
}

// failed answers what fasthttp could not read. It closes the connection itself.
func (s *Server) failed(ctx *fasthttp.RequestCtx, err error) {
	var small *fasthttp.ErrSmallBuffer
	p := refuse(fasthttp.StatusBadRequest, "this is not a proper HTTP request")
	if c, ok := ctx.Conn().(*conn); ok && c.readErr != nil {
		p = c.unreadable(err)
	} else if errors.As(err, &small) {
		p = refuse(fasthttp.StatusRequestHeaderFieldsTooLarge, "the header is larger than "+strconv.Itoa(s.opt.MaxHeader)+" bytes")
	}
	ctx.Response.Reset()
	o := Observation{Status: p.status}
	o.ResponseBytes = p.write(ctx, s.newID())
	s.observe(o)
}

func (s *Server) newID() string { return s.idAt(s.opt.Now()) }

func (s *Server) observe(o Observation) {
	if s.opt.Observe != nil {
		s.opt.Observe(o)
	}
}
