package destination

import (
	"context"
	"errors"
	"sync"
	"time"
)

const poolIdle = 5 * time.Minute // how long a connection to a broker is kept without use

var errPoolClosed = errors.New("the destination is closed")

// pool shares connections to brokers between the deliveries that go there. A
// connection is opened when it is first needed, and closed when it was not used for poolIdle.
type pool[T any] struct {
	closeConn func(T)

	mu     sync.Mutex
	conns  map[string]*pooled[T]
	closed bool
	opens  sync.WaitGroup
}

type pooled[T any] struct {
	ready chan struct{} // closed when conn or err is set
	conn  T
	err   error
	users int
	idle  *time.Timer
}

func newPool[T any](closeConn func(T)) *pool[T] {
	return &pool[T]{closeConn: closeConn, conns: map[string]*pooled[T]{}}
}

// get returns the connection of this key. Where there is none it calls open,
// once for all who wait. release must be called after use.
func (p *pool[T]) get(ctx context.Context, key string, open func() (T, error)) (conn T, release func(), err error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return conn, nil, errPoolClosed
	}
	c := p.conns[key]
	if c == nil {
		c = &pooled[T]{ready: make(chan struct{})}
		p.conns[key] = c
		p.opens.Add(1)
		go func() {
			defer p.opens.Done()
			c.conn, c.err = open()
			if c.err != nil {
				p.forget(key, c)
			}
			close(c.ready)
		}()
	}
	c.users++
	if c.idle != nil {
		c.idle.Stop()
		c.idle = nil
	}
	p.mu.Unlock()

	release = func() { p.release(key, c) }
	select {
	case <-c.ready:
		if c.err != nil {
			return conn, nil, c.err
		}
		return c.conn, release, nil
	case <-ctx.Done():
		release()
		return conn, nil, ctx.Err()
	}
}

func (p *pool[T]) release(key string, c *pooled[T]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.users--
	if c.users > 0 || p.closed || p.conns[key] != c {
		return
	}
	c.idle = time.AfterFunc(poolIdle, func() {
		p.mu.Lock()
		unused := c.users == 0 && p.conns[key] == c
		if unused {
			delete(p.conns, key)
		}
		p.mu.Unlock()
		if unused {
			<-c.ready
			if c.err == nil {
				p.closeConn(c.conn)
			}
		}
	})
}

func (p *pool[T]) forget(key string, c *pooled[T]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[key] == c {
		delete(p.conns, key)
	}
}

// discard closes a connection that is of no use any more. Others who use it
// see errors.
func (p *pool[T]) discard(key string, same func(T) bool) {
	p.mu.Lock()
	c := p.conns[key]
	if c != nil {
		select {
		case <-c.ready:
		default:
			c = nil // another one, being opened
		}
	}
	if c == nil || !same(c.conn) {
		p.mu.Unlock()
		return
	}
	delete(p.conns, key)
	p.mu.Unlock()
	p.closeConn(c.conn)
}

// close closes all connections; no get or use is under way.
func (p *pool[T]) close() {
	p.mu.Lock()
	p.closed = true
	conns := p.conns
	p.conns = map[string]*pooled[T]{}
	for _, c := range conns {
		if c.idle != nil {
			c.idle.Stop()
		}
	}
	p.mu.Unlock()
	p.opens.Wait()
	for _, c := range conns {
		if c.err == nil {
			p.closeConn(c.conn)
		}
	}
}
