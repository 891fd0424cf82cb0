// Package worker is the script engine that runs handlers in processes of their own: the same binary,
// started again, which gives up files, sockets and memory beyond its limit before it sees any
// code. A handler that cannot be interrupted is killed with its process; the
// calls behind it go to another one.
//
// app makes the engine and main (or a test's TestMain) calls Main first; nobody else
// knows that there are processes.
package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"switchhook/gateway/hook"
	"switchhook/gateway/script"
)

// Options are the limits of an engine. The zero value has all defaults.
type Options struct {
	// Timeout is the soft deadline of a call that names none, by which the
	// worker interrupts it; default 1 s.
	Timeout time.Duration
	// KillAfter is the hard deadline, by which the worker is killed; default 2 s. A call with
	// a soft deadline of its own has as much beyond that as KillAfter is beyond Timeout.
	KillAfter time.Duration
	// Memory bounds the data of a worker, in bytes, stacks of its threads aside; default 256 MiB.
	Memory int64
	// Size is how many calls run at once; default twice GOMAXPROCS. The calls of one
	// connector take at most half, so that it can use all processors and
	// others still have as many workers.
	Size int
	// MaxOutput and MaxEvents are those of script.Options.
	MaxOutput, MaxEvents int
	// Killed is told that a connector's call ended a worker process. It is called
	// without locks, and returns quickly. Nil: nobody.
	Killed func(connector string)
	// Logger; nil: slog.Default().
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Timeout <= 0 {
		o.Timeout = time.Second
	}
	if o.KillAfter <= o.Timeout {
		o.KillAfter = max(2*time.Second, 2*o.Timeout)
	}
	if o.Memory <= 0 {
		o.Memory = 256 << 20
	}
	if o.Size <= 0 {
		o.Size = 2 * runtime.GOMAXPROCS(0)
	}
	if o.MaxOutput <= 0 {
		o.MaxOutput = 16 << 20
	}
	if o.MaxEvents <= 0 {
		o.MaxEvents = 10_000
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// Confinement says what holds a worker.
type Confinement struct {
	// System: it can make no system calls but those for computing and its pipes
	// (seccomp), and gain no privileges.
	System bool
	// Memory: the system refuses it memory beyond the limit. Without, the
	// worker watches itself.
	Memory bool
	// Missing lists what the system does not offer, and why.
	Missing []string
}

// String is the confinement for people.
func (c Confinement) String() string {
	in := []string{"deadlines", "no environment", "no files but its pipes"}
	if c.System {
		in = append(in, "seccomp", "no new privileges")
	}
	if c.Memory {
		in = append(in, "memory limit of the system")
	} else {
		in = append(in, "memory watched by the worker")
	}
	text := strings.Join(in, ", ")
	if len(c.Missing) > 0 {
		text += "; not available: " + strings.Join(c.Missing, ", ")
	}
	return text
}

// Stats are figures about an engine.
type Stats struct {
	// Workers are the processes there are, Spares those of them that wait to
	// replace another, Busy those that run calls.
	Workers, Spares, Busy int
	// Waiting are the calls that no worker has yet.
	Waiting int
	// Killed counts the workers that a call has ended.
	Killed uint64
}

var _ script.Engine = (*Engine)(nil)

// Handle implements script.Engine.
func (e *Engine) Handle(ctx context.Context, p *script.Program, in *script.HandleInput) (*script.HandleResult, error) {
	if in.Body != nil && in.Body.OverLimit {
		return nil, &script.Error{Status: 400, Failure: hook.Failure{Kind: "input", Message: in.Body.Note}}
	}
	a, err := e.call(ctx, &call{program: p, input: in, timeout: in.Timeout})
	if err != nil {
		return nil, err
	}
	if a.err != nil {
		return &a.handle, a.err
	}
	return &a.handle, nil
}

// Eval implements script.Engine.
func (e *Engine) Eval(ctx context.Context, p *script.Program, argument json.RawMessage) (*script.EvalResult, error) {
	a, err := e.call(ctx, &call{program: p, argument: argument})
	if err != nil {
		return nil, err
	}
	result := &script.EvalResult{Value: a.value, Console: a.handle.Console, Took: a.handle.Took}
	if a.err != nil {
		return result, a.err
	}
	return result, nil
}

// call has a worker run c and waits for what comes of it.
func (e *Engine) call(ctx context.Context, c *call) (*answer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.timeout <= 0 {
		c.timeout = e.o.Timeout
	}
	c.done = make(chan outcome, 1)
	if !e.submit(c) {
		return nil, unavailable()
	}
	for ended := ctx.Done(); ; {
		select {
		case out := <-c.done:
			return e.answer(c, out)
		case <-ended:
			if e.withdraw(c) {
				return nil, ctx.Err()
			}
			ended = nil // it has begun, and comes to its end
		}
	}
}

// answer makes of an outcome what callers get.
func (e *Engine) answer(c *call, out outcome) (*answer, error) {
	if out.err != nil {
		if out.took > 0 {
			return &answer{handle: script.HandleResult{Took: out.took}, err: out.err}, nil
		}
		return nil, out.err
	}
	r := reader{b: out.fields}
	a, err := r.answer(c.input, limits{e.o.MaxOutput, e.o.MaxEvents})
	if err != nil {
		e.distrust(out.from, fmt.Errorf("a result: %w", err))
		if e.o.Killed != nil {
			e.o.Killed(c.program.Connector)
		}
		return nil, crashed("the worker process answered what it should not, and was stopped")
	}
	return a, nil
}

func unavailable() *script.Error {
	return &script.Error{Failure: hook.Failure{Kind: "unavailable", Message: "the script engine is stopping"}}
}

func crashed(message string) *script.Error {
	return &script.Error{Failure: hook.Failure{Kind: "crashed", Message: message}}
}
