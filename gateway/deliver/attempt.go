package deliver

import (
	"context"
	"sync"
	"time"
)

// attemptContext is what context.WithTimeout makes of the engine's context, without its timer, channel and place among the engine's
// children until something waits for it. A sender over http waits for its socket, whose deadline is the attempt's.
type attemptContext struct {
	engine   context.Context
	deadline time.Time

	mu     sync.Mutex
	own    context.Context // made when something waits
	cancel context.CancelFunc
	err    error // why it ended, once somebody knows
}

// AfterCut calls f on a goroutine of its own when ctx ends before its deadline. It is meant for those who keep the deadline
// themselves, and costs less than context.AfterFunc; with a context that is not the engine's it may call f at the deadline, too.
// stop is that of context.AfterFunc.
func AfterCut(ctx context.Context, f func()) (stop func() bool) {
	if c, ok := ctx.(*attemptContext); ok {
		ctx = c.engine
	}
	return context.AfterFunc(ctx, f)
}

// end ends it; its own is let go.
func (c *attemptContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.own != nil {
		c.cancel()
	} else if c.err == nil {
		c.err = context.Canceled
	}
}

func (c *attemptContext) Deadline() (time.Time, bool) { return c.deadline, true }

func (c *attemptContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.own == nil {
		c.own, c.cancel = context.WithDeadline(c.engine, c.deadline)
		if c.err != nil {
			c.cancel()
		}
	}
	return c.own.Done()
}

func (c *attemptContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
	case c.own != nil:
		c.err = c.own.Err()
	case c.engine.Err() != nil:
		c.err = c.engine.Err()
	case !time.Now().Before(c.deadline):
		c.err = context.DeadlineExceeded
	}
	return c.err
}

// Value is that of its own, where there is one, so that contexts made of this one join that without a goroutine.
func (c *attemptContext) Value(key any) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.own != nil {
		return c.own.Value(key)
	}
	return c.engine.Value(key)
}
