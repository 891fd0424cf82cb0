package script

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"time"
)

// Options are the limits of an engine. The zero value has all defaults.
type Options struct {
	// Timeout is the soft deadline of a call that names none; default 1 s.
	Timeout time.Duration
	// Concurrency is how many calls run at once, others wait; default GOMAXPROCS.
	Concurrency int
	// MaxOutput bounds the bytes of all payloads and the response of one
	// call together; default 16 MiB.
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
	return &inProcess{options: o}
}

type inProcess struct {
	options Options
}

func (e *inProcess) Handle(ctx context.Context, p *Program, in *HandleInput) (*HandleResult, error) {
	return nil, errors.New("script: engine is not there yet")
}

func (e *inProcess) Eval(ctx context.Context, p *Program, argument json.RawMessage) (*EvalResult, error) {
	return nil, errors.New("script: engine is not there yet")
}

func (e *inProcess) Close() error { return nil }
