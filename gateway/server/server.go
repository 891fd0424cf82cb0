// Package server receives webhooks: an HTTP/1.1 server on fasthttp that gives
// each request to the target its URL names, and answers with what comes back.
// It holds the limits that need no knowledge of webhooks (sizes, times,
// connections, memory, rates) and refuses what is not proper HTTP.
//
// app makes and owns it. It knows neither configuration nor handlers: a
// Gateway says which URLs there are.
package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"switchhook/gateway/hook"
)

// Gateway says which URLs there are.
type Gateway interface {
	// Find returns the target of a path, which is as it came: not decoded, not
	// normalised, without the query. It compares tokens in constant time, does not
	// block, and is called before the body is read, once or twice for a
	// request, from many goroutines at once.
	Find(path string) (Target, bool)
}

// Target is one webhook URL.
type Target interface {
	// Receive handles one request and returns the answer, never nil. It may
	// keep req and what it refers to, and blocks until the answer is final.
	// Workspace, Integration, Webhook and Connector of req are empty. ctx ends
	// only when the server gives up draining, and then Receive returns soon; a caller that
	// hangs up does not end it. The answer must not change afterwards.
	Receive(ctx context.Context, req *hook.Request) *hook.Response
}

// Options say how to serve. Fields left zero have the defaults given.
type Options struct {
	// Gateway is required.
	Gateway Gateway
	// Logger is where the server says what went wrong on its side; default
	// slog.Default. What callers do wrong is logged at debug level only.
	Logger *slog.Logger
	// PublicURL is what providers call, without a trailing slash; hook.Request.URL
	// begins with it. Where it has a path, requests may come with it or without
	// it (when a reverse proxy took it off).
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

	// MaxBody bounds a body, in bytes; default 10 MiB.
	MaxBody int64
	// MaxHeader bounds the request line and header together, in bytes; default 64 KiB.
	MaxHeader int
	// InFlightBytes bounds the memory that requests under way take: bodies,
	// and MaxHeader for each connection that has sent something. From
	// half of it on, connections are closed after each answer. Default 112 MiB.
	InFlightBytes int64
	// MaxConnections bounds the open connections; default 16,384.
	MaxConnections int
	// ReadTimeout bounds the time from a request's first byte to its last, and
	// that of a new connection to its first byte; default 30 s.
	ReadTimeout time.Duration
	// WriteTimeout bounds the time to write a response; default 30 s.
	WriteTimeout time.Duration
	// IdleTimeout bounds the time between requests; default 75 s.
	IdleTimeout time.Duration
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
	// Found reports that the URL is that of a target.
	Found bool
	// RequestBytes and ResponseBytes are the sizes of the bodies, as far as
	// they were read and written.
	RequestBytes, ResponseBytes int
	// Took is the time from the end of the header to the answer; 0 where there was no proper header.
	Took time.Duration
}

// Stats are figures about this moment.
type Stats struct {
	// Connections are open.
	Connections int
	// Requests are being received or handled, counted from the end of their header.
	Requests int
	// Bytes are taken by requests and connections, of InFlightBytes.
	Bytes int64
}

// Server serves webhooks. Make it with New.
type Server struct {
	opt    Options
	prefix string // the path of PublicURL
	idAt   func(time.Time) string
	http   fasthttp.Server
	memory budget
	byURL  *limiter
	byAddr *limiter

	// base is the context of all calls of Receive.
	base context.Context
	end  context.CancelFunc

	requests atomic.Int64
	draining atomic.Bool
	served   atomic.Bool

	mu    sync.Mutex
	conns map[*conn]struct{}
	empty chan struct{} // closed when conns is empty while draining; nil: nobody waits
}

// New returns a server that is not serving yet.
func New(opt Options) *Server {
	opt.Logger = cmp.Or(opt.Logger, slog.Default())
	if opt.Now == nil {
		opt.Now = time.Now
	}
	opt.MaxBody = cmp.Or(opt.MaxBody, 10<<20)
	opt.MaxHeader = cmp.Or(opt.MaxHeader, 64<<10)
	opt.InFlightBytes = cmp.Or(opt.InFlightBytes, 112<<20)
	opt.MaxConnections = cmp.Or(opt.MaxConnections, 16384)
	opt.ReadTimeout = cmp.Or(opt.ReadTimeout, 30*time.Second)
	opt.WriteTimeout = cmp.Or(opt.WriteTimeout, 30*time.Second)
	opt.IdleTimeout = cmp.Or(opt.IdleTimeout, 75*time.Second)
	opt.PublicURL = strings.TrimSuffix(opt.PublicURL, "/")

	s := &Server{opt: opt, memory: budget{limit: opt.InFlightBytes}, conns: map[*conn]struct{}{}}
	s.idAt = newIDs("req_").at
	if opt.NewID != nil {
		s.idAt = func(time.Time) string { return opt.NewID() }
	}
	if u, err := url.Parse(opt.PublicURL); err == nil {
		s.prefix = u.EscapedPath()
	}
	s.base, s.end = context.WithCancel(context.Background())
	now := opt.Now()
	s.byURL, s.byAddr = newLimiter(opt.RatePerWebhook, now), newLimiter(opt.RatePerAddress, now)
	s.http = fasthttp.Server{
		Handler:        s.handle,
		HeaderReceived: s.headerReceived,
		ErrorHandler:   s.failed,
		ConnState:      s.stateChanged,
		Logger:         debugLogger{opt.Logger},
		// The handler decides before the body is read, and reads it itself,
		// within limits. One byte is the least that fasthttp reads beforehand.
		StreamRequestBody:            true,
		MaxRequestBodySize:           1,
		DisablePreParseMultipartForm: true,
		ReadBufferSize:               opt.MaxHeader,
		WriteBufferSize:              16 << 10,
		ReadTimeout:                  opt.ReadTimeout,
		WriteTimeout:                 opt.WriteTimeout,
		IdleTimeout:                  opt.IdleTimeout,
		// The listener holds the limit, since it answers as all else does; this is never reached.
		Concurrency: opt.MaxConnections + 1024,
		// For so long a goroutine of fasthttp's may remain after Shutdown.
		MaxIdleWorkerDuration: 250 * time.Millisecond,
		// A connection that has sent nothing has no buffers.
		ReduceMemoryUsage:     true,
		LazyRequestTime:       true,
		CloseOnShutdown:       true,
		NoDefaultServerHeader: true,
		NoDefaultContentType:  true,
		SecureErrorLogMessage: true,
	}
	return s
}

// Serve serves the connections of ln until Shutdown, and then returns nil, or
// until ln fails. It closes ln. It may be called once.
func (s *Server) Serve(ln net.Listener) error {
	if s.served.Swap(true) {
		return errors.New("server: Serve was called already")
	}
	defer func() { _ = ln.Close() }()
	err := s.http.Serve(&listener{Listener: ln, server: s})
	if err != nil && !s.draining.Load() {
		return fmt.Errorf("server: serve on %s: %w", ln.Addr(), err)
	}
	return nil
}

// Shutdown stops accepting, closes idle connections, and waits until the
// requests under way are answered; when ctx ends first, their connections are
// closed and ctx's error returned. Afterwards nothing of the server runs,
// unless a Receive ignores the end of its context.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining.Store(true)
	for c := range s.conns {
		c.drain()
	}
	s.mu.Unlock()

	err := s.http.ShutdownWithContext(ctx)
	s.mu.Lock()
	if err != nil {
		s.end()
		for c := range s.conns {
			c.abort()
		}
	}
	empty := make(chan struct{})
	if s.empty = empty; len(s.conns) == 0 {
		close(empty)
		s.empty = nil
	}
	s.mu.Unlock()

	giveUp := time.NewTimer(time.Second)
	defer giveUp.Stop()
	select {
	case <-empty:
	case <-giveUp.C:
	}
	s.end()
	if err != nil {
		return fmt.Errorf("server: requests were still under way: %w", err)
	}
	return nil
}

// Stats returns figures about this moment.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	connections := len(s.conns)
	s.mu.Unlock()
	return Stats{Connections: connections, Requests: int(s.requests.Load()), Bytes: s.memory.used.Load()}
}

// debugLogger is where fasthttp's own messages go: they are about what
// callers do to their connections.
type debugLogger struct{ *slog.Logger }

func (l debugLogger) Printf(format string, args ...any) {
	if l.Enabled(context.Background(), slog.LevelDebug) {
		l.Debug(fmt.Sprintf(format, args...))
	}
}
