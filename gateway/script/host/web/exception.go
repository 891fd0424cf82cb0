// Package web has the objects of the web platform that handlers can use: URL,
// URLSearchParams, TextEncoder, TextDecoder, atob, btoa, structuredClone and the
// DOMException that some of them throw. They behave as in Node.js.
//
// Only gateway/script/host calls it.
package web

import (
	"fmt"

	"github.com/dop251/goja"

	"switchhook/gateway/script/host/bridge"
)

// codes are the legacy codes of the names that have one.
var codes = map[string]int{
	"IndexSizeError": 1, "InvalidCharacterError": 5, "NotSupportedError": 9, "InvalidStateError": 11,
	"SyntaxError": 12, "TypeMismatchError": 17, "SecurityError": 18, "NetworkError": 19, "AbortError": 20,
	"QuotaExceededError": 22, "TimeoutError": 23, "DataCloneError": 25,
}

// exception is the class DOMException. Its instances are errors, so that they have a stack.
var exception = &bridge.Class{Name: "DOMException"}

func init() { exception.Build = buildException }

// Exception is the class DOMException in a runtime.
func Exception(b *bridge.Bridge) *goja.Object { return b.Constructor(exception) }

func buildException(b *bridge.Bridge, call goja.ConstructorCall) *goja.Object {
	message, name := "", "Error"
	if v := call.Argument(0); !goja.IsUndefined(v) {
		message = v.String()
	}
	if v := call.Argument(1); !goja.IsUndefined(v) {
		if o, ok := v.(*goja.Object); ok {
			v = bridge.Property(o, "name")
		}
		if !goja.IsUndefined(v) {
			name = v.String()
		}
	}
	return newException(b, name, message)
}

func newException(b *bridge.Bridge, name, message string) *goja.Object {
	o := b.NewError("Error", "", message)
	proto := b.Prototype(exception)
	if parent, ok := b.RT.Get("Error").(*goja.Object); ok && proto.Prototype() != nil {
		if p, ok := parent.Get("prototype").(*goja.Object); ok && proto.Prototype() != p {
			_ = proto.SetPrototype(p)
		}
	}
	_ = o.SetPrototype(proto)
	_ = o.DefineDataProperty("name", b.RT.ToValue(name), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	_ = o.DefineDataProperty("code", b.RT.ToValue(codes[name]), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	return o
}

// Throw throws a DOMException.
func Throw(b *bridge.Bridge, name, format string, args ...any) {
	panic(newException(b, name, fmt.Sprintf(format, args...)))
}

// missing throws Node's ERR_MISSING_ARGS.
func missing(b *bridge.Bridge, call goja.FunctionCall, names ...string) {
	if len(call.Arguments) >= len(names) {
		return
	}
	switch len(names) {
	case 1:
		b.TypeError("ERR_MISSING_ARGS", "The %q argument must be specified", names[0])
	default:
		b.TypeError("ERR_MISSING_ARGS", "The %q and %q arguments must be specified", names[0], names[1])
	}
}
