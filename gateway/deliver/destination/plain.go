package destination

import (
	"bufio"
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"switchhook/gateway/deliver"
)

// The bounds of all connections to http destinations, those of http.Transport too.
const (
	maxIdleConns        = 1024
	maxIdleConnsPerHost = 64
	idleConnTimeout     = time.Minute
	maxResponseHead     = 64 << 10
	writeBuffer         = 16 << 10 // so that most requests are one write, or two where http.Transport makes them
)

// maxPlainBody bounds the bodies that are written before the answer is read. They fit into the socket's buffers,
// so that the writing does not wait for a receiver that answers without reading.
const maxPlainBody = 32 << 10

// plain makes HTTP/1.1 requests without TLS, each on the goroutine that wants it made. http.Transport has two goroutines for
// every connection, which hand on a request and its answer; that costs a fifth of a delivery. What is written is
// what net/http would write, and answers are read by its rules.
type plain struct {
	dialer *net.Dialer

	mu    sync.Mutex
	idle  map[string][]*plainConn // by host:port, the last used one last
	all   list.List               // of the same, the last used one first
	sweep *time.Timer             // nil while nothing is idle
}

func newPlain(dialer *net.Dialer) *plain {
	return &plain{dialer: dialer, idle: map[string][]*plainConn{}}
}

type plainConn struct {
	net.Conn
	raw  syscall.RawConn
	addr string
	r    *bufio.Reader
	// rest is what was not read of the body of an ordinary answer.
	rest io.LimitedReader
	// headroom is how much more of an answer's head may be read; -1: this is no head.
	headroom int64

	since time.Time // when it became idle
	place *list.Element
}

// errLongHead is worded like the errors of net/http.
var errLongHead = fmt.Errorf("malformed HTTP response: more than %d bytes of header fields", maxResponseHead)

// Read reads for r.
func (c *plainConn) Read(p []byte) (int, error) {
	if c.headroom < 0 {
		return c.Conn.Read(p)
	}
	if c.headroom == 0 {
		return 0, errLongHead
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.headroom)])
	c.headroom -= int64(n)
	return n, err
}

// readHead bounds what is read from now on, until headroom is set to -1.
func (c *plainConn) readHead() { c.headroom = int64(maxResponseHead - c.r.Buffered()) }

// takes reports whether plain can make a call. Others are for http.Transport.
func (p *plain) takes(c *call) bool {
	return c.url.Scheme == "http" && len(c.body) <= maxPlainBody && ordinaryHost(c.url.Host)
}

// exchange makes one call. It calls answered with the answer, whose body can be read there, or returns an error where
// there is none. When ctx ends, both fail.
func (p *plain) exchange(ctx context.Context, q *call, answered func(answer)) error {
	c, err := p.conn(ctx, hostPort(q.url))
	if err != nil {
		return err
	}
	uncut := deliver.AfterCut(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	whole, err := c.roundTrip(q, answered)
	if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
		err = context.DeadlineExceeded // ctx will say so in a moment
	}
	if uncut() && whole {
		p.put(c)
	} else {
		_ = c.Close()
	}
	return err
}

// requests are buffers for what is written, so that idle connections have none.
var requests = sync.Pool{New: func() any { b := make([]byte, 0, writeBuffer); return &b }}

func (c *plainConn) write(q *call) error {
	b := requests.Get().(*[]byte)
	defer requests.Put(b)
	*b = q.appendTo((*b)[:0])
	_, err := c.Conn.Write(*b)
	return err
}

// roundTrip makes a call. whole: it got the whole answer, and the connection can be used again.
func (c *plainConn) roundTrip(q *call, answered func(answer)) (whole bool, err error) {
	written := c.write(q)
	// Even then there may be an answer, by a receiver that did not want to read all.
	c.readHead()
	h, ordinary, err := c.ordinaryHead()
	if ordinary {
		c.headroom = -1
		c.rest = io.LimitedReader{R: c.r, N: h.length}
		a := answer{status: h.status, retryAfter: h.retryAfter}
		if h.length > 0 {
			a.body = &c.rest
		}
		answered(a)
		return written == nil && c.rest.N == 0 && c.r.Buffered() == 0, nil
	}
	var resp *http.Response
	if err == nil {
		// It is not closed: that would read what nobody waits for any more, and there is nothing to be released.
		resp, err = c.response() //nolint:bodyclose
	}
	if err != nil && written != nil {
		return false, written
	} else if err != nil {
		return false, err
	}
	a := answerOf(resp)
	body := &endReader{r: a.body, ended: a.body == nil}
	if a.body != nil {
		a.body = body
	}
	answered(a)
	return written == nil && body.ended && !resp.Close && resp.StatusCode >= 200 && c.r.Buffered() == 0, nil
}

// endReader notices the end.
type endReader struct {
	r     io.Reader
	ended bool
}

func (r *endReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.ended = r.ended || err == io.EOF
	return n, err
}

// ordinaryHead waits for an answer and reads its head, if that is ordinary and came in one piece. If not, nothing is taken
// from c.r.
func (c *plainConn) ordinaryHead() (h answerHead, ok bool, err error) {
	if _, err = c.r.Peek(1); err == io.EOF {
		return h, false, io.ErrUnexpectedEOF // as http.ReadResponse says it
	} else if err != nil {
		return h, false, err
	}
	came, _ := c.r.Peek(c.r.Buffered())
	if h, ok = ordinaryHead(came); ok {
		_, _ = c.r.Discard(h.size)
	}
	return h, ok, nil
}

// response reads any answer, up to its body.
func (c *plainConn) response() (*http.Response, error) {
	for range 6 {
		c.readHead()
		resp, err := http.ReadResponse(c.r, nil)
		c.headroom = -1
		if err != nil {
			return nil, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, nil
		}
	}
	return nil, errors.New("malformed HTTP response: too many with a status of 1xx")
}

// conn returns a connection that was idle, or a new one.
func (p *plain) conn(ctx context.Context, addr string) (*plainConn, error) {
	deadline, _ := ctx.Deadline()
	for c := p.take(addr); c != nil; c = p.take(addr) {
		// That of its last call may be over, and then nothing can be asked of it.
		if c.SetDeadline(deadline) == nil && c.quiet() {
			return c, nil
		}
		_ = c.Close()
	}
	// The deadline would make an error of its own, maybe before ctx has ended.
	dialing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	conn, err := p.dialer.DialContext(dialing, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &plainConn{Conn: conn, addr: addr, headroom: -1}
	if c.raw, err = conn.(*net.TCPConn).SyscallConn(); err == nil {
		err = c.SetDeadline(deadline)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	c.r = bufio.NewReader(c)
	return c, nil
}

// quiet reports whether an idle connection can be used again: the other side has neither closed it nor said anything unasked.
func (c *plainConn) quiet() bool {
	var got error
	err := c.raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, got = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK) // sockets of package net do not block
		return true
	})
	return err == nil && got == syscall.EAGAIN
}

// take returns the connection that became idle last, nil for none.
func (p *plain) take(addr string) *plainConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	conns := p.idle[addr]
	if len(conns) == 0 {
		return nil
	}
	c := conns[len(conns)-1]
	p.remove(c)
	return c
}

// remove takes a connection out. The lock is held.
func (p *plain) remove(c *plainConn) {
	p.all.Remove(c.place)
	conns := p.idle[c.addr]
	if len(conns) == 1 {
		delete(p.idle, c.addr)
		return
	}
	i := slices.Index(conns, c)
	p.idle[c.addr] = slices.Delete(conns, i, i+1)
}

func (p *plain) put(c *plainConn) {
	var surplus *plainConn
	p.mu.Lock()
	if conns := p.idle[c.addr]; len(conns) == maxIdleConnsPerHost {
		surplus = conns[0]
	} else if p.all.Len() == maxIdleConns {
		surplus = p.all.Back().Value.(*plainConn)
	}
	if surplus != nil {
		p.remove(surplus)
	}
	c.since = time.Now()
	c.place = p.all.PushFront(c)
	p.idle[c.addr] = append(p.idle[c.addr], c)
	if p.sweep == nil {
		p.sweep = time.AfterFunc(idleConnTimeout, func() { p.closeIdle(idleConnTimeout) })
	}
	p.mu.Unlock()
	if surplus != nil {
		_ = surplus.Close()
	}
}

// closeIdle closes the connections that were idle for as long.
func (p *plain) closeIdle(idle time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for e := p.all.Back(); e != nil; e = p.all.Back() {
		c := e.Value.(*plainConn)
		if left := idle - time.Since(c.since); left > 0 {
			p.sweep.Reset(left)
			return
		}
		p.remove(c)
		_ = c.Close()
	}
	if p.sweep != nil {
		p.sweep.Stop()
		p.sweep = nil
	}
}

// hostPort is where the host of an http URL is to be found.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}
