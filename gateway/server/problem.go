package server

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

// problem is an answer that the server gives by itself, in the form of RFC 9457.
type problem struct {
	status int
	// detail says why, to the caller.
	detail string
	// retryAfter is in seconds; 0: not said.
	retryAfter int
	// errorID is set where an error is logged under it.
	errorID string
	// close: the connection cannot go on, since the request was not read whole.
	close bool
}

// refuse makes a problem after which the connection is closed.
func refuse(status int, detail string) *problem {
	return &problem{status: status, detail: detail, close: true}
}

const problemType = "application/problem+json"

func (p *problem) body(requestID string) []byte {
	body, err := json.Marshal(struct {
		Type      string `json:"type"`
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Detail    string `json:"detail,omitempty"`
		ErrorID   string `json:"errorId,omitempty"`
		RequestID string `json:"requestId"`
	}{"about:blank", http.StatusText(p.status), p.status, p.detail, p.errorID, requestID})
	if err != nil {
		panic("server: a problem does not encode: " + err.Error()) // it is strings and numbers
	}
	return append(body, '\n')
}

// write makes the problem the response of ctx.
func (p *problem) write(ctx *fasthttp.RequestCtx, requestID string) (bytes int) {
	body := p.body(requestID)
	h := &ctx.Response.Header
	ctx.Response.SetStatusCode(p.status)
	h.SetContentType(problemType)
	h.Set("X-Request-Id", requestID)
	h.Set("Cache-Control", "no-store")
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.status == http.StatusUnsupportedMediaType {
		h.Set("Accept-Encoding", "identity")
	}
	if p.status == http.StatusMethodNotAllowed {
		h.Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	}
	ctx.Response.SetBodyRaw(body)
	if p.close {
		ctx.Response.SetConnectionClose()
		if c, ok := ctx.Conn().(*conn); ok {
			c.linger.Store(true)
		}
	}
	return len(body)
}

// raw is the whole response, for a connection on which no request was read.
func (p *problem) raw(requestID string, now time.Time) []byte {
	body := p.body(requestID)
	head := "HTTP/1.1 " + strconv.Itoa(p.status) + " " + http.StatusText(p.status) +
		"\r\nDate: " + now.UTC().Format(http.TimeFormat) +
		"\r\nContent-Type: " + problemType +
		"\r\nContent-Length: " + strconv.Itoa(len(body)) +
		"\r\nX-Request-Id: " + requestID +
		"\r\nRetry-After: " + strconv.Itoa(p.retryAfter) +
		"\r\nConnection: close\r\n\r\n"
	return append([]byte(head), body...)
}
