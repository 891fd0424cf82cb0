package script

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dop251/goja"
	"github.com/dop251/goja/parser"

	"switchhook/gateway/hook"
	"switchhook/gateway/script/jsvalue"
)

// maxCalls is how deep functions may call one another.
const maxCalls = 200

// call is one call of a program, in a runtime of its own.
type call struct {
	program *Program
	options *Options
	in      *HandleInput // nil for Eval
	rt      *goja.Runtime
	console console
	parser  *jsvalue.Parser
	encoder jsvalue.Encoder
	data    *jsvalue.Tree // of the body, once it was asked for

	random io.Reader        // seeded, or nil for that of the machine
	now    func() time.Time // or nil for the clock of the machine

	expired  atomic.Bool // the soft deadline has passed
	failed   *Error      // what a getter of the argument found wrong with the request
	refusals map[*goja.Object]int
	rejected []*goja.Promise // that nobody handles
	secrets  *strings.Replacer

	output   []byte        // payloads and the response's body
	covering *instrumented // nil without coverage
	counters goja.ArrayBuffer

	took     time.Duration
	coverage map[string]map[int]int
}

func newCall(p *Program, o *Options, now time.Time, seed uint64) *call {
	c := &call{program: p, options: o, rt: goja.New()}
	c.rt.SetMaxCallStackSize(maxCalls)
	// Otherwise eval would read files that a comment in its code names.
	c.rt.SetParserOptions(parser.WithDisableSourceMaps)
	c.rt.SetPromiseRejectionTracker(c.trackRejection)
	if !now.IsZero() {
		c.now = func() time.Time { return now }
		c.rt.SetTimeSource(c.now)
	}
	if seed != 0 {
		c.rt.SetRandSource(rand.New(rand.NewPCG(seed, 1)).Float64)
		var key [32]byte
		for i := range 8 {
			key[i] = byte(seed >> (8 * i))
		}
		c.random = rand.NewChaCha8(key)
	}
	c.parser = jsvalue.NewParser(c.rt)
	c.encoder = jsvalue.Encoder{Runtime: c.rt, Max: o.MaxOutput, Expired: c.expired.Load}
	c.console.call = c
	return c
}

// errTimeout is what the runtime is interrupted with.
var errTimeout = errors.New("the soft deadline has passed")

// run calls f within the deadline, and turns all that can go wrong into a *Error.
func (c *call) run(timeout time.Duration, coverage bool, f func() error) (err error) {
	if timeout <= 0 {
		timeout = c.options.Timeout
	}
	if _, err := c.program.compile(); err != nil {
		return &Error{Failure: hook.Failure{Kind: "crashed", Message: "the program does not compile: " + oneLine(err.Error())}}
	}
	if coverage {
		if c.covering, err = c.program.instrument(); err != nil {
			return &Error{Failure: hook.Failure{Kind: "crashed", Message: "coverage cannot be measured: " + oneLine(err.Error())}}
		}
	}
	start := time.Now()
	timer := time.AfterFunc(timeout, func() {
		c.expired.Store(true)
		c.rt.Interrupt(errTimeout)
	})
	defer func() {
		if x := recover(); x != nil {
			err = c.recovered(x, timeout)
		}
		timer.Stop()
		c.took = time.Since(start)
		if c.failed != nil {
			err = c.failed
		}
		if c.covering != nil {
			c.coverage = c.covering.counts(c.counters.Bytes())
		}
	}()
	return c.failure(f(), timeout)
}

// recovered turns a panic into an error.
func (c *call) recovered(x any, timeout time.Duration) error {
	switch x := x.(type) {
	case *goja.InterruptedError:
		return c.failure(x, timeout)
	case *goja.StackOverflowError:
		return c.failure(x, timeout)
	case *goja.Exception:
		return c.failure(x, timeout)
	}
	return &Error{Failure: hook.Failure{Kind: "crashed", Message: c.plain(fmt.Sprintf("the engine failed: %v", x))}}
}

func (c *call) trackRejection(p *goja.Promise, operation goja.PromiseRejectionOperation) {
	if operation == goja.PromiseRejectionReject {
		if len(c.rejected) < 100 {
			c.rejected = append(c.rejected, p)
		}
		return
	}
	for i, other := range c.rejected {
		if other == p {
			c.rejected = append(c.rejected[:i], c.rejected[i+1:]...)
			return
		}
	}
}

// load runs the program, which defines the function, and returns that.
func (c *call) load() (goja.Callable, error) {
	if err := c.installGlobals(); err != nil {
		return nil, err
	}
	c.parser.AtOnce = c.program.compiled.inherits
	if c.program.compiled.proxies {
		c.parser.Prepare()
	}
	if c.program.compiled.parses {
		if err := c.installParse(); err != nil {
			return nil, err
		}
	}
	compiled := c.program.compiled.program
	var cover goja.Value = goja.Undefined()
	if c.covering != nil {
		compiled = c.covering.program
		var err error
		if cover, err = c.newCounters(); err != nil {
			return nil, err
		}
	}
	v, err := c.rt.RunProgram(compiled)
	if err != nil {
		return nil, err
	}
	body, ok := goja.AssertFunction(v)
	if !ok {
		return nil, errors.New("the program is not a function")
	}
	exports, module := c.rt.NewObject(), c.rt.NewObject()
	if err := module.Set("exports", exports); err != nil {
		return nil, err
	}
	require, host := c.requireFunctions()
	if _, err := body(goja.Undefined(), exports, require, module, module, host, cover); err != nil {
		return nil, err
	}
	var f goja.Callable
	if ex := c.rt.Try(func() { f = c.pick(module.Get("exports")) }); ex != nil {
		return nil, ex
	}
	if f == nil {
		return nil, &Error{Failure: hook.Failure{
			Kind: "thrown", Message: fmt.Sprintf("no function %q is exported", c.program.Function), Stack: []hook.Frame{{File: c.program.Name, Line: 1, Column: 1}},
		}}
	}
	return f, nil
}

// pick finds the function in what a module exports, or nil.
func (c *call) pick(exported goja.Value) goja.Callable {
	for range 2 { // the default export may itself be an object of functions
		if f, ok := goja.AssertFunction(exported); ok {
			return f
		}
		o, ok := exported.(*goja.Object)
		if !ok {
			return nil
		}
		standard := o.Get("default")
		if f, ok := goja.AssertFunction(standard); ok {
			return f
		}
		for _, name := range exportNames(c.program.Function) {
			if f, ok := goja.AssertFunction(o.Get(name)); ok {
				return f
			}
		}
		exported = standard
	}
	return nil
}

// noop lets the runtime run its queue of jobs.
var noop = goja.MustCompile("", "", false)

// settled calls f and waits for the promise that it may return: after the call all jobs have
// run, so what is pending then stays so.
func (c *call) settled(f goja.Callable, argument goja.Value) (goja.Value, error) {
	v, err := f(goja.Undefined(), argument)
	if err != nil {
		return nil, err
	}
	p := promise(v)
	if o, ok := v.(*goja.Object); ok && p == nil {
		var then goja.Value
		if ex := c.rt.Try(func() { then = o.Get("then") }); ex != nil {
			return nil, ex
		}
		if _, ok := goja.AssertFunction(then); ok { // something like a promise
			var resolve func(any) error
			p, resolve, _ = c.rt.NewPromise()
			if err := resolve(v); err != nil {
				return nil, err
			}
			if _, err := c.rt.RunProgram(noop); err != nil {
				return nil, err
			}
		}
	}
	defer c.reportRejections(p)
	if p == nil {
		return v, nil
	}
	switch p.State() {
	case goja.PromiseStateFulfilled:
		return p.Result(), nil
	case goja.PromiseStateRejected:
		// Thrown again, an Error comes with the stack it was made with.
		return nil, c.rt.Try(func() { panic(p.Result()) })
	}
	return nil, &Error{Failure: hook.Failure{
		Kind: "pending", Message: fmt.Sprintf("the promise that %s returned never settles: what it waits for does not happen here", c.program.Function),
	}}
}

// promise returns the promise that v is, or nil.
func promise(v goja.Value) *goja.Promise {
	if o, ok := v.(*goja.Object); ok && o.ClassName() == "Object" && jsvalue.Kind(o) == jsvalue.KindPromise {
		p, _ := o.Export().(*goja.Promise)
		return p
	}
	return nil
}

// reportRejections prints the errors that got lost in promises nobody waits for.
func (c *call) reportRejections(result *goja.Promise) {
	for _, p := range c.rejected {
		if p != result {
			c.console.print("warn", []goja.Value{c.rt.ToValue("a promise was rejected and nobody waits for it (is an await missing?):"), p.Result()})
		}
	}
}

// handle runs a handle or handshake function.
func (c *call) handle(result *HandleResult) error {
	f, err := c.load()
	if err != nil {
		return err
	}
	v, err := c.settled(f, c.rt.NewDynamicObject(&argument{call: c}))
	if err != nil {
		return err
	}
	var shape error
	if ex := c.rt.Try(func() { shape = c.result(v, result) }); ex != nil {
		return ex
	}
	return shape
}

// eval runs any other function.
func (c *call) eval(argument json.RawMessage, result *EvalResult) error {
	c.parser.AtOnce = c.program.compiled.inherits
	tree, err := c.parser.Parse(argument)
	if err != nil {
		return &Error{Failure: hook.Failure{Kind: "input", Message: "the argument is not JSON: " + err.Error()}}
	}
	f, err := c.load()
	if err != nil {
		return err
	}
	root := tree.Root()
	if o, ok := root.(*goja.Object); ok && slices.ContainsFunc(apiNames, func(name string) bool { return bytes.Contains(c.program.Code, []byte(name)) }) {
		root = c.withoutAPI(o)
	}
	v, err := c.settled(f, root)
	if err != nil {
		return err
	}
	c.encoder.Source = tree
	var shape error
	if ex := c.rt.Try(func() { result.Value, shape = c.encoder.Append(nil, v) }); ex != nil {
		return ex
	}
	return shape
}

// withoutAPI makes an argument that has, besides the given one's properties, what other gateways call the app's
// API with, which here says that it is not there.
func (c *call) withoutAPI(argument *goja.Object) *goja.Object {
	o := c.rt.NewObject()
	for _, name := range apiNames {
		define(o, name, c.rt.NewDynamicObject(&absentAPI{c, name}))
	}
	for _, key := range argument.Keys() {
		define(o, key, argument.Get(key))
	}
	return o
}

// apiNames are the arguments with which functions of the published format call APIs.
var apiNames = []string{"apiClient", "externalApiClient"}

// absentAPI throws when it is used.
type absentAPI struct {
	call *call
	name string
}

// Get implements goja.DynamicObject.
func (a *absentAPI) Get(key string) goja.Value {
	o, err := a.call.rt.New(a.call.rt.GlobalObject().Get("Error"),
		a.call.rt.ToValue(fmt.Sprintf("%s.%s: the gateway has no API client, which this function needs", a.name, key)))
	if err != nil {
		panic(err)
	}
	panic(o)
}

// Set implements goja.DynamicObject.
func (a *absentAPI) Set(string, goja.Value) bool { return false }

// Has implements goja.DynamicObject.
func (a *absentAPI) Has(string) bool { return false }

// Delete implements goja.DynamicObject.
func (a *absentAPI) Delete(string) bool { return false }

// Keys implements goja.DynamicObject.
func (a *absentAPI) Keys() []string { return nil }
