package server

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

// budget counts memory.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take reserves n bytes, or nothing when there are not as many.
func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.limit {
		b.used.Add(-n)
		return false
	}
	return true
}

// listener accepts connections up to the limit, and outlives a shortage of
// file descriptors.
type listener struct {
	net.Listener
	server *Server
}

// Close may come second: when the draining begins while a connection is accepted, Serve ends, and closes it, before Shutdown does.
func (l *listener) Close() error {
	if err := l.Listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// How long to wait after a failed accept, and at most.
const (
	firstPause = 5 * time.Millisecond
	maxPause   = time.Second
)

func (l *listener) Accept() (net.Conn, error) {
	s := l.server
	for pause := firstPause; ; {
		if s.draining.Load() {
			return nil, net.ErrClosed
		}
		inner, err := l.Listener.Accept()
		if err != nil {
			if !passing(err) {
				return nil, err
			}
			s.opt.Logger.Warn("cannot accept connections", "error", err, "retryIn", pause)
			select {
			case <-time.After(pause):
			case <-s.base.Done():
			}
			pause = min(2*pause, maxPause)
			continue
		}
		pause = firstPause
		c := &conn{Conn: inner, server: s, peer: peerOf(inner)}
		s.mu.Lock()
		full := len(s.conns) >= s.opt.MaxConnections
		if !full {
			s.conns[c] = struct{}{}
		}
		s.mu.Unlock()
		if !full {
			return c, nil
		}
		c.turnAway("too many connections are open")
		_ = inner.Close()
	}
}

// passing reports whether an error of accept is one that goes away.
func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EPROTO} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func peerOf(c net.Conn) netip.Addr {
	if tcp, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// conn is one connection. Fields without a comment on locking belong to the
// goroutine that serves it.
type conn struct {
	net.Conn
	server *Server
	peer   netip.Addr
	remote string // peer as text, once it was asked for

	// held is the part of the budget that the connection has: base for its
	// buffer as long as it is open, and more during a request.
	held, base int64

	// received counts the bytes of the connection; framing is the count at which a
	// chunked body has more of chunk sizes and extensions than is sensible, 0 outside of one.
	received, framing int64

	// readErr is the last error of Read. fasthttp wraps some so that what they were cannot be found.
	readErr error

	// linger: the caller may still be sending, see Close.
	linger atomic.Bool

	mu       sync.Mutex // guards what follows
	started  bool       // a byte has come
	draining bool       // no first byte is waited for any more
	aborted  bool
}

// take reserves memory until the request is answered.
func (c *conn) take(n int64) bool {
	if !c.server.memory.take(n) {
		return false
	}
	c.held += n
	return true
}

// release gives memory back until n bytes are held.
func (c *conn) release(n int64) {
	c.server.memory.used.Add(n - c.held)
	c.held = n
}

// stateChanged follows a connection through fasthttp. It is called by the
// goroutine that serves it.
func (s *Server) stateChanged(nc net.Conn, state fasthttp.ConnState) {
	c, ok := nc.(*conn)
	if !ok {
		return
	}
	switch state {
	case fasthttp.StateIdle:
		c.release(c.base)
	case fasthttp.StateClosed:
		c.release(0)
		s.mu.Lock()
		delete(s.conns, c)
		if len(s.conns) == 0 && s.empty != nil {
			close(s.empty)
			s.empty = nil
		}
		s.mu.Unlock()
	}
}

// turnAway answers 503 on a connection of which no request was read.
func (c *conn) turnAway(detail string) {
	s := c.server
	p := problem{status: 503, detail: detail, retryAfter: 1}
	_ = c.Conn.SetWriteDeadline(time.Now().Add(time.Second)) // a new connection has room for it
	n, _ := c.Conn.Write(p.raw(s.newID(), s.opt.Now()))
	s.observe(Observation{Status: p.status, ResponseBytes: n})
}

// Read reads from the connection. The first read is of a single byte, before
// fasthttp gets a buffer for the connection; so it is here that a connection is
// turned away for which there is no memory.
func (c *conn) Read(b []byte) (int, error) {
	if c.framing > 0 && c.received > c.framing {
		return 0, errFraming
	}
	n, err := c.Conn.Read(b)
	c.received += int64(n)
	if err != nil {
		c.readErr = err
	}
	if c.base == 0 && n > 0 {
		c.mu.Lock()
		c.started = true
		c.mu.Unlock()
		size := int64(c.server.opt.MaxHeader)
		if !c.take(size) {
			c.turnAway("too many requests are under way")
			c.linger.Store(true)
			return 0, io.EOF
		}
		c.base = size
	}
	return n, err
}

// errFraming ends a chunked body that is mostly chunk extensions or the like.
// fasthttp bounds neither how many nor how long they are.
var errFraming = errors.New("the chunks of the body are mostly framing")

// allowFraming allows a chunked body, whose buffer has size bytes, from begin on a
// further 64 KiB, and 16 bytes of framing for each byte.
func (c *conn) allowFraming(begin, size int64) { c.framing = begin + 64<<10 + 17*size }

// SetReadDeadline sets a deadline, which has passed already for a connection
// that is to wait no longer for its first request.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining && !c.started {
		t = time.Unix(1, 0)
	}
	return c.Conn.SetReadDeadline(t)
}

// drain stops waiting for the first byte of a connection. Those that wait for a further
// request are closed by fasthttp.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	if !c.started {
		_ = c.Conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// abort closes the connection whatever happens on it.
func (c *conn) abort() {
	c.mu.Lock()
	c.aborted = true
	c.mu.Unlock()
	_ = c.Conn.Close()
}

// What Close reads, and how long, before it lets go of a caller that may still be sending.
const (
	lingerBytes = 4 << 20
	lingerTime  = time.Second
)

// Close closes the connection. To close with bytes unread makes the kernel
// reset the connection, which can destroy the answer before the caller has
// read it; so after an answer that was given before the request had come whole, what still comes is
// read for a while.
func (c *conn) Close() error {
	c.mu.Lock()
	aborted := c.aborted
	c.mu.Unlock()
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && !aborted && c.linger.Swap(false) && half.CloseWrite() == nil {
		c.release(0) // fasthttp has given its buffers back
		_ = c.Conn.SetReadDeadline(time.Now().Add(lingerTime))
		var rest [2 << 10]byte
		for read := 0; read < lingerBytes; {
			n, err := c.Conn.Read(rest[:])
			if err != nil {
				break
			}
			read += n
		}
	}
	return c.Conn.Close()
}
