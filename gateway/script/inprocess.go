package script

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"sync"
	"time"

	"switchhook/gateway/body"
	"switchhook/gateway/hook"
)

// Options are the limits of an engine. The zero value has all defaults.
type Options struct {
	// Timeout is the soft deadline of a call that names none; default 1 s.
	Timeout time.Duration
	// Concurrency is how many calls run at once, others wait; default GOMAXPROCS.
	Concurrency int
	// MaxOutput bounds the bytes of all payloads and the response of one
	// call together, but for payloads that are parts of the body; default 16 MiB.
	MaxOutput int
	// MaxEvents bounds the events of one call; default 10,000.
	MaxEvents int
}

func (o Options) withDefaults() Options {
	if o.Timeout <= 0 {
		o.Timeout = time.Second
	}
	if o.Concurrency <= 0 {
		o.Concurrency = runtime.GOMAXPROCS(0)
	}
	if o.MaxOutput <= 0 {
		o.MaxOutput = 16 << 20
	}
	if o.MaxEvents <= 0 {
		o.MaxEvents = 10_000
	}
	return o
}

// NewInProcess returns an engine that runs programs in this process. It
// contains mistakes, not malice: code that goja cannot interrupt (some regular
// expressions and built-in functions) or that eats memory harms the process. Use it for
// connectors that are trusted, and inside worker processes.
func NewInProcess(o Options) Engine {
	o = o.withDefaults()
	return &inProcess{options: o, slots: make(chan struct{}, o.Concurrency), closing: make(chan struct{})}
}

type inProcess struct {
	options Options
	slots   chan struct{} // holds one element for each call that runs
	closing chan struct{} // closed by Close

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup
}

// enter waits for a slot. When it returns nil, leave must be called.
func (e *inProcess) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return errUnavailable()
	}
	e.calls.Add(1)
	e.mu.Unlock()
	select {
	case e.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case e.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		e.calls.Done()
		return ctx.Err()
	case <-e.closing:
		e.calls.Done()
		return errUnavailable()
	}
}

func (e *inProcess) leave() {
	<-e.slots
	e.calls.Done()
}

func errUnavailable() error {
	return &Error{Failure: hook.Failure{Kind: "unavailable", Message: "the script engine is stopping"}}
}

// Handle implements Engine.
func (e *inProcess) Handle(ctx context.Context, p *Program, in *HandleInput) (*HandleResult, error) {
	if in.Body != nil && in.Body.OverLimit {
		return nil, &Error{Status: 400, Failure: hook.Failure{Kind: "input", Message: in.Body.Note}}
	}
	if err := e.enter(ctx); err != nil {
		return nil, err
	}
	defer e.leave()
	c := newCall(p, &e.options, in.Now, in.Seed)
	c.in = in
	result := &HandleResult{}
	err := c.run(in.Timeout, in.Coverage, func() error { return c.handle(result) })
	if err != nil {
		*result = HandleResult{}
	}
	result.Console, result.Took, result.Coverage = c.console.lines, c.took, c.coverage
	if err != nil {
		return result, err
	}
	return result, nil
}

// Eval implements Engine.
func (e *inProcess) Eval(ctx context.Context, p *Program, argument json.RawMessage) (*EvalResult, error) {
	if err := e.enter(ctx); err != nil {
		return nil, err
	}
	defer e.leave()
	c := newCall(p, &e.options, time.Time{}, 0)
	result := &EvalResult{}
	err := c.run(0, false, func() error { return c.eval(argument, result) })
	if err != nil {
		result.Value = nil
	}
	result.Console, result.Took = c.console.lines, c.took
	if err != nil {
		return result, err
	}
	return result, nil
}

// Close implements Engine. Calls that wait for their turn fail.
func (e *inProcess) Close() error {
	e.mu.Lock()
	if !e.closed {
		e.closed = true
		close(e.closing)
	}
	e.mu.Unlock()
	e.calls.Wait()
	return nil
}

func errTooDeep() *Error {
	return &Error{
		Status:  400,
		Failure: hook.Failure{Kind: "input", Message: fmt.Sprintf("the body is JSON nested deeper than %d levels", body.MaxDepth)},
	}
}
