package script

import (
	"fmt"
	"strings"
	"sync"

	"github.com/dop251/goja"

	"switchhook/gateway/script/host"
)

// hostGlobals are the names that package host defines.
var hostGlobals = []string{
	"crypto", "Buffer", "URL", "URLSearchParams", "TextEncoder", "TextDecoder", "atob", "btoa", "structuredClone",
}

// globals is the prototype of the global object: it makes console and HttpError when a
// function first asks for them.
type globals struct {
	call      *call
	console   goja.Value
	httpError goja.Value
}

// Get implements goja.DynamicObject.
func (g *globals) Get(key string) goja.Value {
	switch key {
	case "console":
		if g.console == nil {
			g.console = g.call.console.object()
		}
		return g.console
	case "HttpError":
		if g.httpError == nil {
			g.httpError = g.call.makeHttpError()
		}
		return g.httpError
	}
	return nil
}

// Set implements goja.DynamicObject. What code assigns becomes a property of the
// global object itself, so this is asked only by code that looks for the prototype.
func (g *globals) Set(key string, v goja.Value) bool {
	switch key {
	case "console":
		g.console = v
	case "HttpError":
		g.httpError = v
	default:
		return false
	}
	return true
}

// Has implements goja.DynamicObject.
func (g *globals) Has(key string) bool { return key == "console" || key == "HttpError" }

// Delete implements goja.DynamicObject.
func (g *globals) Delete(key string) bool { return !g.Has(key) }

// Keys implements goja.DynamicObject.
func (g *globals) Keys() []string { return nil }

// installGlobals gives the runtime what functions find besides the language.
func (c *call) installGlobals() error {
	if err := host.Install(c.rt, host.Options{Random: c.random, Now: c.now}); err != nil {
		return fmt.Errorf("install the host objects: %w", err)
	}
	// The host's own lazy globals stand behind the global object too.
	own := c.rt.NewDynamicObject(&globals{call: c})
	if err := own.SetPrototype(c.rt.GlobalObject().Prototype()); err != nil {
		return err
	}
	return c.rt.GlobalObject().SetPrototype(own)
}

// native makes a function of Go one of JavaScript.
func (c *call) native(name string, f func(goja.FunctionCall) goja.Value) *goja.Object {
	o := c.rt.ToValue(f).(*goja.Object)
	// Otherwise it would carry the name that it has in Go.
	if err := o.DefineDataProperty("name", c.rt.ToValue(name), goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE); err != nil {
		panic(err)
	}
	return o
}

// httpErrorClass makes the class HttpError of a function that remembers the status.
var httpErrorClass = goja.MustCompile("HttpError", `(remember => class HttpError extends Error {
	constructor(status, message) {
		super(message);
		remember(this, status);
		this.status = status;
	}
	get name() { return "HttpError" }
})`, true)

// makeHttpError makes the class whose instances, when thrown, answer with their status. Which
// objects are such is remembered here, where code cannot forge or change it.
func (c *call) makeHttpError() goja.Value {
	v, err := c.rt.RunProgram(httpErrorClass)
	if err != nil {
		panic(err)
	}
	make, _ := goja.AssertFunction(v)
	class, err := make(goja.Undefined(), c.native("remember", func(fc goja.FunctionCall) goja.Value {
		status := fc.Argument(1)
		n := status.ToInteger
		if !goja.IsNumber(status) || status.ToFloat() != float64(n()) || n() < 400 || n() > 599 {
			shown := c.console.format(status)
			panic(c.rangeError(fmt.Sprintf("HttpError takes a status from 400 to 599 first, got %s", shown)))
		}
		if c.refusals == nil {
			c.refusals = map[*goja.Object]int{}
		}
		c.refusals[fc.Argument(0).(*goja.Object)] = int(n())
		return goja.Undefined()
	}))
	if err != nil {
		panic(err)
	}
	return class
}

// rangeError makes a RangeError to panic with.
func (c *call) rangeError(message string) goja.Value {
	o, err := c.rt.New(c.rt.GlobalObject().Get("RangeError"), c.rt.ToValue(message))
	if err != nil {
		return c.rt.NewTypeError(message)
	}
	return o
}

// requireFunctions makes what the parameters require and $host of a bundle are.
func (c *call) requireFunctions() (require, hostFunction goja.Value) {
	require, hostFunction = goja.Undefined(), goja.Undefined()
	if c.program.compiled.requires {
		require = c.native("require", func(fc goja.FunctionCall) goja.Value {
			name := fc.Argument(0).String()
			if v, ok := host.Module(c.rt, name); ok {
				return v
			}
			panic(c.rt.NewTypeError("there is no module %q: only what is written as require(\"...\") with a fixed name is bundled", name))
		})
	}
	if c.program.compiled.imports {
		hostFunction = c.native("$host", func(fc goja.FunctionCall) goja.Value {
			v, ok := host.Module(c.rt, fc.Argument(0).String())
			if !ok {
				panic(c.rt.NewTypeError("there is no module %q", fc.Argument(0).String()))
			}
			if len(fc.Arguments) > 1 {
				return v.ToObject(c.rt).Get(fc.Argument(1).String())
			}
			return v
		})
	}
	return require, hostFunction
}

// hostModule is an ES module with what a module of the gateway has. Each export is
// a call that the bundler leaves out where nothing uses it.
func hostModule(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "export default /* @__PURE__ */ $host(%q);\n", name)
	for _, export := range hostExports()[name] {
		fmt.Fprintf(&b, "const $%s = /* @__PURE__ */ $host(%q, %q);\nexport {$%s as %s};\n", export, name, export, export, export)
	}
	return b.String()
}

// hostExports are the names that the gateway's modules have.
var hostExports = sync.OnceValue(func() map[string][]string {
	exports := map[string][]string{}
	rt := goja.New()
	if err := host.Install(rt, host.Options{}); err != nil {
		return exports
	}
	for _, name := range hostModules {
		if exports[name] != nil {
			continue
		}
		v, ok := host.Module(rt, name)
		if !ok {
			continue
		}
		for _, key := range v.ToObject(rt).GetOwnPropertyNames() {
			if key != "default" && isIdentifier(key) {
				exports[name] = append(exports[name], key)
			}
		}
	}
	return exports
})

func isIdentifier(s string) bool {
	for i, c := range []byte(s) {
		if !(c == '_' || c == '$' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return s != ""
}
