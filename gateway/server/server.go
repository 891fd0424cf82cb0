// Package server receives webhooks: an HTTP/1.1 server on fasthttp that gives
// each request to the target its URL names, and answers with what comes back.
// It holds the limits that need no knowledge of webhooks: sizes, times,
// connections, bytes in flight, rates; and it refuses what is not HTTP.
//
// app makes and owns it. It knows neither configuration nor handlers: a
// Gateway says which URLs there are.
package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"switchhook/gateway/hook"
)

// Gateway says which URLs there are.
type Gateway interface {
	// Find returns the target of a path, which is as it came: not decoded, not
	// normalised, without the query. It compares tokens in constant time, and
	// is called before the body is read, at most twice for a request, from
	// many goroutines at once. It does not block.
	Find(path string) (Target, bool)
}

// Target is one webhook URL.
type Target interface {
	// Receive handles one request and returns the answer, never nil. It may
	// keep req and what it refers to, and blocks until the answer is final.
	// ctx ends only when the server gives up draining; a caller that
	// hangs up does not end it.
	Receive(ctx context.Context, req *hook.Request) *hook.Response
}

// Options say how to serve. Fields left zero have the defaults given.
type Options struct {
	Gateway Gateway
	// Logger is where the server says what went wrong on its side; default slog.Default.
	Logger *slog.Logger
	// PublicURL is what providers call, without a trailing slash; Request.URL begins with it.
	// Where it has a path, requests may come with it or without it (when a
	// reverse proxy took it off).
	PublicURL string
	// Now is the clock; default time.Now.
	Now func() time.Time
	// NewID makes request ids; default NewIDs("req_", Now).
	NewID func() string
	// Ready returns an error while requests cannot be stored; they are then
	// answered with 503. Called for every request; nil: always ready.
	Ready func() error
	// Observe is told of every answer, from many goroutines at once; may be nil.
	Observe func(Observation)

	MaxBody        int64         // bytes of a body; default 10 MiB
	MaxHeader      int           // bytes of request line and header; default 64 KiB
	InFlightBytes  int64         // memory of requests under way; default 128 MiB
	MaxConnections int           // default 16,384
	ReadTimeout    time.Duration // a request's first byte to its last; default 30 s
	WriteTimeout   time.Duration // of a response; default 30 s
	IdleTimeout    time.Duration // between requests; default 75 s
	// TrustedProxies are networks whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// RatePerWebhook and RatePerAddress bound the requests in a second to one
	// URL and from one address (for IPv6, its /64), with bursts of twice that; 0: no limit.
	RatePerWebhook, RatePerAddress float64
}

// Observation is one answer.
type Observation struct {
	// Status is the HTTP status.
	Status int
	// Found reports that the URL was that of a target.
	Found bool
	// RequestBytes and ResponseBytes are the sizes of the bodies.
	RequestBytes, ResponseBytes int
	// Took is the time from the end of the header to the answer.
	Took time.Duration
}

// Stats are figures about this moment.
type Stats struct {
	// Connections are open.
	Connections int
	// Requests are being received or handled.
	Requests int
	// Bytes are held by requests and connections, of InFlightBytes.
	Bytes int64
}

// Server serves webhooks. Make it with New.
type Server struct {
	opt Options
}

// New returns a server that is not serving yet.
func New(opt Options) *Server { return &Server{opt: opt} }

// Serve serves the connections of ln until Shutdown, and then returns nil, or
// until ln fails. It closes ln. It may be called once.
func (s *Server) Serve(ln net.Listener) error { return errors.New("server: not there yet") }

// Shutdown stops accepting, closes idle connections, and waits until the
// requests under way are answered; when ctx ends first, their connections are
// closed and ctx's error returned. Afterwards nothing of the server runs.
func (s *Server) Shutdown(ctx context.Context) error { return nil }

// Stats returns figures about this moment.
func (s *Server) Stats() Stats { return Stats{} }

// NewIDs returns a generator of ids: prefix and a ULID, in order of time when
// sorted, even within a millisecond. It may be called from any goroutine.
func NewIDs(prefix string, now func() time.Time) func() string {
	return func() string { return prefix }
}
