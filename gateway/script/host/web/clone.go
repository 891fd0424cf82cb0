package web

import (
	"math/big"
	"reflect"
	"time"

	"github.com/dop251/goja"

	"switchhook/gateway/script/host/bridge"
	"switchhook/gateway/script/jsvalue"
)

// maxCloneDepth bounds the nesting that structuredClone follows; a Go stack cannot
// throw when it is full.
const maxCloneDepth = 5000

var (
	timeType    = reflect.TypeFor[time.Time]()
	mapType     = reflect.TypeFor[[][2]any]()
	listType    = reflect.TypeFor[[]any]()
	bigType     = reflect.TypeFor[*big.Int]()
	stringType  = reflect.TypeFor[string]()
	promiseType = reflect.TypeFor[*goja.Promise]()
	proxyType   = reflect.TypeFor[goja.Proxy]()
)

// StructuredClone is structuredClone. Transferring is not supported.
func StructuredClone(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	missing(b, call, "value")
	if transfer, ok := bridge.Property(call.Argument(1), "transfer").(*goja.Object); ok && transfer.Get("length").ToInteger() > 0 {
		Throw(b, "DataCloneError", "structuredClone cannot transfer here; it copies without {transfer}")
	}
	c := cloner{b: b, seen: make(map[*goja.Object]*goja.Object)}
	return c.value(call.Argument(0), 0)
}

type cloner struct {
	b    *bridge.Bridge
	seen map[*goja.Object]*goja.Object
}

func (c *cloner) refuse(what string) {
	Throw(c.b, "DataCloneError", "%s could not be cloned.", what)
}

// source is the text of a function for an error message.
func source(o *goja.Object) string {
	s := []rune(o.String())
	if len(s) > 100 {
		return string(s[:100]) + "..."
	}
	return string(s)
}

// refuseObject names an object by its class, as V8 does.
func (c *cloner) refuseObject(o *goja.Object) {
	name := "Object"
	if constructor, ok := o.Get("constructor").(*goja.Object); ok {
		if n := constructor.Get("name"); n != nil && n.String() != "" {
			name = n.String()
		}
	}
	c.refuse("#<" + name + ">")
}

func (c *cloner) value(v goja.Value, depth int) goja.Value {
	o, ok := v.(*goja.Object)
	if !ok {
		if s, ok := v.(*goja.Symbol); ok {
			c.refuse(c.b.Inspect(s))
		}
		return v
	}
	if depth > maxCloneDepth {
		c.b.RangeError("", "Maximum call stack size exceeded")
	}
	if done, ok := c.seen[o]; ok {
		return done
	}
	return c.object(o, depth+1)
}

// make constructs a built-in and remembers it as the clone of o.
func (c *cloner) make(o *goja.Object, class string, args ...goja.Value) *goja.Object {
	constructor := c.b.RT.Get(class)
	if constructor == nil {
		c.b.TypeError("", "%s is not there any more", class)
	}
	made, err := c.b.RT.New(constructor, args...)
	c.b.Rethrow(err)
	c.seen[o] = made
	return made
}

func (c *cloner) object(o *goja.Object, depth int) goja.Value {
	b := c.b
	jsvalue.Settle(o)
	if _, ok := goja.AssertFunction(o); ok {
		c.refuse(source(o))
	}
	kind := o.ExportType()
	switch o.ClassName() {
	case "Array":
		return c.array(o, depth)
	case "Date":
		ms := goja.NaN()
		if kind == timeType {
			if t, ok := o.Export().(time.Time); ok {
				ms = b.RT.ToValue(t.UnixMilli())
			}
		}
		return c.make(o, "Date", ms)
	case "RegExp":
		return c.make(o, "RegExp", o.Get("source"), o.Get("flags"))
	case "Error":
		return c.error(o, depth)
	case "Arguments":
		c.refuseObject(o)
	case "Boolean", "Number", "String":
		return c.make(o, o.ClassName(), c.primitive(o, o.ClassName()))
	}
	if data, ok := b.ArrayBuffer(o); ok {
		b.Limit(len(data), bridge.MaxBytes, "bytes")
		made := b.RT.ToValue(b.RT.NewArrayBuffer(append(make([]byte, 0, len(data)), data...))).(*goja.Object)
		c.seen[o] = made
		return made
	}
	if _, ok := b.View(o); ok {
		return c.view(o, depth)
	}
	switch kind {
	case mapType:
		return c.collection(o, "Map", depth)
	case listType:
		return c.collection(o, "Set", depth)
	case bigType:
		made := o.Export().(*big.Int)
		out := b.RT.ToValue(made).ToObject(b.RT)
		c.seen[o] = out
		return out
	case stringType:
		c.refuse("Object")
	case promiseType, proxyType:
		c.refuseObject(o)
	}
	if bridge.IsInstance(o) {
		c.refuseObject(o)
	}
	if tag := o.GetSymbol(goja.SymToStringTag); tag != nil && goja.IsString(tag) {
		switch tag.String() {
		case "WeakMap", "WeakSet", "Generator", "AsyncGenerator", "Map Iterator", "Set Iterator", "Array Iterator", "String Iterator", "RegExp String Iterator":
			c.refuse("#<" + tag.String() + ">")
		}
	}
	out := b.RT.NewObject()
	c.seen[o] = out
	for _, key := range o.Keys() {
		c.put(out, key, c.value(o.Get(key), depth))
	}
	return out
}

// put defines a property; an assignment could meet a setter, such as that of __proto__.
func (c *cloner) put(o *goja.Object, key string, v goja.Value) {
	if v == nil {
		v = goja.Undefined()
	}
	c.b.Rethrow(o.DefineDataProperty(key, v, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE))
}

// array follows the keys, not the length: a sparse array may claim billions.
func (c *cloner) array(o *goja.Object, depth int) goja.Value {
	out := c.b.RT.NewArray()
	c.seen[o] = out
	keys := o.Keys()
	length := o.Get("length")
	if int64(len(keys)) != length.ToInteger() {
		_ = out.Set("length", length)
	}
	for _, key := range keys {
		c.put(out, key, c.value(o.Get(key), depth))
	}
	return out
}

// primitive takes the value out of a wrapper such as new String("a").
func (c *cloner) primitive(o *goja.Object, class string) goja.Value {
	proto := bridge.Property(c.b.RT.Get(class), "prototype")
	if f, ok := goja.AssertFunction(bridge.Property(proto, "valueOf")); ok {
		return c.b.Call(f, o)
	}
	return c.b.ToString(o)
}

// errorNames are the classes of errors that survive.
var errorNames = map[string]bool{"EvalError": true, "RangeError": true, "ReferenceError": true, "SyntaxError": true, "TypeError": true, "URIError": true}

func (c *cloner) error(o *goja.Object, depth int) goja.Value {
	class := "Error"
	if name := o.Get("name"); name != nil && errorNames[name.String()] {
		class = name.String()
	}
	own := make(map[string]bool)
	for _, name := range o.GetOwnPropertyNames() {
		own[name] = true
	}
	var args []goja.Value
	if own["message"] {
		args = append(args, c.b.ToString(o.Get("message")))
	}
	out := c.make(o, class, args...)
	hidden := func(name string, v goja.Value) {
		_ = out.DefineDataProperty(name, v, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	}
	if stack := o.Get("stack"); stack != nil && goja.IsString(stack) {
		hidden("stack", stack)
	}
	if own["cause"] {
		hidden("cause", c.value(o.Get("cause"), depth))
	}
	return out
}

func (c *cloner) view(o *goja.Object, depth int) goja.Value {
	class := "DataView"
	length := o.Get("byteLength")
	if tag := o.GetSymbol(goja.SymToStringTag); tag != nil && tag.String() != "DataView" {
		class = tag.String()
		length = o.Get("length")
	}
	buffer, ok := o.Get("buffer").(*goja.Object)
	if !ok {
		c.refuseObject(o)
	}
	return c.make(o, class, c.value(buffer, depth), o.Get("byteOffset"), length)
}

func (c *cloner) collection(o *goja.Object, class string, depth int) goja.Value {
	b := c.b
	proto := bridge.Property(b.RT.Get(class), "prototype")
	forEach, ok := goja.AssertFunction(bridge.Property(proto, "forEach"))
	if !ok {
		c.refuseObject(o)
	}
	// What is in it is read first, since cloning a getter's owner may change it.
	var values, keys []goja.Value
	b.Call(forEach, o, b.Func("", 2, func(_ *bridge.Bridge, call goja.FunctionCall) goja.Value {
		values, keys = append(values, call.Argument(0)), append(keys, call.Argument(1))
		return nil
	}))
	out := c.make(o, class)
	name := "add"
	if class == "Map" {
		name = "set"
	}
	add, ok := goja.AssertFunction(out.Get(name))
	if !ok {
		b.TypeError("", "%s.prototype.%s is not there any more", class, name)
	}
	for i := range keys {
		if class == "Map" {
			b.Call(add, out, c.value(keys[i], depth), c.value(values[i], depth))
		} else {
			b.Call(add, out, c.value(values[i], depth))
		}
	}
	return out
}
