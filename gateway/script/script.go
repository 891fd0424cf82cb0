// Package script runs the functions of connectors. It is the only package
// that knows goja and esbuild: Build turns JavaScript, TypeScript or a mapping
// into a Program, and an Engine runs Programs, each call in a runtime of its
// own, within limits of time and memory.
//
// live builds programs, ingest and live call engines; nobody else does.
package script

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"switchhook/gateway/body"
	"switchhook/gateway/hook"
)

// Engine runs programs. Its methods may be called from any goroutine and
// block until the call is over or its deadline has passed. In-process and
// worker-process engines are indistinguishable to callers.
type Engine interface {
	// Handle runs a handle or handshake function for one request.
	// The error is a *Error, or ctx.Err() when ctx ended before the call began.
	// A result comes back with an error too when the function printed something.
	Handle(ctx context.Context, p *Program, in *HandleInput) (*HandleResult, error)
	// Eval runs any other function (an event's selector getter) with one
	// argument and returns its result, both JSON. "null" stands for undefined.
	Eval(ctx context.Context, p *Program, argument json.RawMessage) (*EvalResult, error)
	// Close stops the engine after the calls under way.
	Close() error
}

// HandleInput is what a handle function is called with.
type HandleInput struct {
	Request *hook.Request
	// Body is the request's body, parsed by its Content-Type.
	Body *body.Parsed
	// Parameters of the integration, a JSON object.
	Parameters json.RawMessage
	// State is what the integration remembers; only handshake functions see it, as `state`.
	State map[string]string
	// Now is what Date.now() starts from; zero: the clock of the machine.
	Now time.Time
	// Seed makes Math.random and crypto random deterministic; 0: random.
	Seed uint64
	// Timeout is the soft deadline; 0: the engine's default.
	Timeout time.Duration
	// Coverage asks for HandleResult.Coverage.
	Coverage bool
}

// HandleResult is what a handle function returned.
type HandleResult struct {
	// Events have Selector, Type, Key and Payload (FromBody and BodyOffset
	// too); ingest adds the rest.
	Events []*hook.Event
	// Response is nil when the function returned none.
	Response *hook.Response
	// Remember is what a handshake function asked to be remembered.
	Remember map[string]string
	Console  []hook.ConsoleLine
	Took     time.Duration
	// Coverage has the statements reached, by file of the connector: line -> count. Lines with
	// a statement that was not reached have count 0.
	Coverage map[string]map[int]int
}

// EvalResult is what Eval returned.
type EvalResult struct {
	Value   json.RawMessage
	Console []hook.ConsoleLine
	Took    time.Duration
}

// Error is how a call failed. Failure.Kind tells the kinds apart; for kind
// "refused" (the function threw an HttpError) Status is the status thrown,
// for kind "input" (the request itself is unacceptable to the engine, such as
// JSON nested too deep) it is the status to answer with.
type Error struct {
	Failure hook.Failure
	Status  int
}

func (e *Error) Error() string {
	if len(e.Failure.Stack) > 0 {
		f := e.Failure.Stack[0]
		return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, e.Failure.Message)
	}
	if e.Failure.Path != "" {
		return e.Failure.Path + ": " + e.Failure.Message
	}
	return e.Failure.Message
}
