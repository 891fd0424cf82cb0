// Package bridge is what the packages of the handlers' objects share: objects
// whose members are built when they are first touched, instances with Go state
// behind them, errors like Node's, and the way between JavaScript values and bytes.
//
// Only gateway/script/host and its sub-packages call it. Everything here belongs
// to the goroutine of the runtime, and what throws does so by panicking with a
// JavaScript value, as goja wants it of native functions.
package bridge

import (
	"fmt"
	"io"
	"runtime"

	"github.com/dop251/goja"

	"switchhook/gateway/script/jsvalue"
)

// The bounds of one call, so that no small piece of code can ask for much at once. A call that
// needs more throws a RangeError.
const (
	// MaxBytes bounds the bytes of a buffer and of a string.
	MaxBytes = 64 << 20
	// MaxText bounds the bytes that are made text and the characters that are made
	// bytes: both may double or more on the way.
	MaxText = MaxBytes / 2
	// MaxElements bounds how many elements of a list one call reads or makes.
	MaxElements = 1 << 20
)

// Bridge is the state of the objects in one runtime.
type Bridge struct {
	RT *goja.Runtime
	// Random is where all random bytes come from.
	Random io.Reader

	classes map[*Class]*class
	modules map[*Module]*goja.Object
	// Buffer and BufferProto are the constructor and the prototype of Buffer;
	// package buffer fills them.
	Buffer, BufferProto *goja.Object

	uint8Array goja.Value
	isView     goja.Callable
}

// Members are the members of an object by name.
type Members map[string]Member

// Member is how to build one member of an object.
type Member struct {
	build  func(b *Bridge, name string) goja.Value
	hidden bool
}

// Native is a JavaScript function written in Go. It may return nil for undefined.
type Native func(b *Bridge, call goja.FunctionCall) goja.Value

// Method is a member that is a function; length is its number of parameters.
func Method(length int, f Native) Member {
	return Member{build: func(b *Bridge, name string) goja.Value { return b.Func(name, length, f) }}
}

// Lazy is a member with a value that f makes. f may throw, then it is asked again.
func Lazy(f func(b *Bridge) goja.Value) Member {
	return Member{build: func(b *Bridge, _ string) goja.Value { return f(b) }}
}

// Constant is a member with a Go number, string or boolean as its value.
func Constant(v any) Member {
	return Member{build: func(b *Bridge, _ string) goja.Value { return b.RT.ToValue(v) }}
}

// Hidden returns m as a member that a listing of its module leaves out.
func (m Member) Hidden() Member {
	m.hidden = true
	return m
}

// Func makes a JavaScript function.
func (b *Bridge) Func(name string, length int, f Native) *goja.Object {
	fn := b.RT.ToValue(func(call goja.FunctionCall) goja.Value {
		defer b.Guard(name)
		for _, v := range call.Arguments {
			jsvalue.Settle(v)
		}
		return f(b, call)
	}).(*goja.Object)
	b.name(fn, name, length)
	return fn
}

// name gives a function the name that JavaScript and stack traces show. goja names it after
// the Go function otherwise.
func (b *Bridge) name(fn *goja.Object, name string, length int) {
	_ = fn.DefineDataProperty("name", b.RT.ToValue(name), goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	_ = fn.DefineDataProperty("length", b.RT.ToValue(length), goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE)
}

// Guard is deferred by native functions: it turns a panic of Go itself or of its libraries into a JavaScript error, so that a
// mistake in here costs one call and not the process. What goja throws passes.
func (b *Bridge) Guard(name string) {
	switch x := recover().(type) {
	case nil:
	case runtime.Error:
		b.Throw("Error", "ERR_INTERNAL", "%s failed: %v", name, x)
	case string:
		b.Throw("Error", "ERR_INTERNAL", "%s failed: %s", name, x)
	default:
		panic(x)
	}
}

// lazy is put behind an object as its prototype. When a member is not found on the
// object, lazy builds it and puts it there as a plain property.
//
// Accessors would do the same, but each costs two function objects, which
// is 20 µs for a runtime's globals alone.
type lazy struct {
	bridge  *Bridge
	target  *goja.Object
	members Members
	built   map[string]bool
}

func (l *lazy) Get(name string) goja.Value {
	m, ok := l.members[name]
	if !ok || l.built[name] {
		return nil
	}
	v := m.build(l.bridge, name)
	if l.target.DefineDataProperty(name, v, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE) == nil {
		// From here on it is the object's own, to be replaced or deleted.
		if l.built == nil {
			l.built = make(map[string]bool)
		}
		l.built[name] = true
	}
	return v
}

func (l *lazy) Has(name string) bool {
	_, ok := l.members[name]
	return ok && !l.built[name]
}

func (l *lazy) Set(string, goja.Value) bool { return false }
func (l *lazy) Delete(string) bool          { return true }
func (l *lazy) Keys() []string              { return nil }

// Extend gives target members that are built when they are first touched. It puts an object
// between target and its prototype.
func (b *Bridge) Extend(target *goja.Object, members Members) error {
	behind := b.RT.NewDynamicObject(&lazy{bridge: b, target: target, members: members})
	if err := behind.SetPrototype(target.Prototype()); err != nil {
		return fmt.Errorf("lazy members: %w", err)
	}
	if err := target.SetPrototype(behind); err != nil {
		return fmt.Errorf("lazy members: %w", err)
	}
	return nil
}

// Of returns the bridge behind the global object, or nil where there is none.
func Of(rt *goja.Runtime) *Bridge {
	for o, n := rt.GlobalObject().Prototype(), 0; o != nil && n < 8; o, n = o.Prototype(), n+1 {
		if o.ExportType() == lazyType {
			return o.Export().(*lazy).bridge
		}
	}
	return nil
}

// String is a JavaScript string of valid UTF-8.
func (b *Bridge) String(s string) goja.Value { return b.RT.ToValue(s) }

// Strings makes an array of strings.
func (b *Bridge) Strings(values []string) *goja.Object {
	items := make([]any, len(values))
	for i, v := range values {
		items[i] = v
	}
	return b.RT.NewArray(items...)
}

// Object makes an object of names and values in turn.
func (b *Bridge) Object(pairs ...any) *goja.Object {
	o := b.RT.NewObject()
	for i := 0; i+1 < len(pairs); i += 2 {
		_ = o.Set(pairs[i].(string), pairs[i+1])
	}
	return o
}

// Call calls a JavaScript function and throws on what it throws.
func (b *Bridge) Call(f goja.Callable, this goja.Value, args ...goja.Value) goja.Value {
	v, err := f(this, args...)
	b.Rethrow(err)
	return v
}

// Rethrow throws err, if there is one, as what it was before goja returned it.
func (b *Bridge) Rethrow(err error) {
	switch err := err.(type) {
	case nil:
	case *goja.Exception:
		panic(err)
	case *goja.InterruptedError, *goja.StackOverflowError:
		panic(err)
	default:
		panic(b.RT.NewGoError(err))
	}
}

// IsNullish says whether v is undefined or null, or no value at all.
func IsNullish(v goja.Value) bool {
	return v == nil || goja.IsUndefined(v) || goja.IsNull(v)
}

// IsUndefined says whether v is undefined or no value at all.
func IsUndefined(v goja.Value) bool {
	return v == nil || goja.IsUndefined(v)
}
