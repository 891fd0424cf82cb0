// Package buffer is Node's Buffer: a Uint8Array that knows encodings. Memory is shared
// where Node shares it (subarray, Buffer.from(arrayBuffer)), and every call is
// bounded by bridge.MaxBytes.
//
// Only gateway/script/host and its sub-packages call it.
package buffer

import (
	"bytes"
	"math"
	"strconv"

	"github.com/dop251/goja"

	"switchhook/gateway/script/host/bridge"
	"switchhook/gateway/script/host/codec"
	"switchhook/gateway/script/jsvalue"
)

// Constructor is the Buffer of a runtime.
func Constructor(b *bridge.Bridge) *goja.Object {
	if b.Buffer != nil {
		return b.Buffer
	}
	constructor := b.RT.ToValue(func(call goja.ConstructorCall) *goja.Object {
		defer b.Guard("Buffer")
		return construct(b, call)
	}).(*goja.Object)
	b.Buffer = constructor
	b.BufferProto = constructor.Get("prototype").(*goja.Object)
	for _, p := range []struct {
		name  string
		value any
	}{{"name", "Buffer"}, {"length", 3}} {
		_ = constructor.DefineDataProperty(p.name, b.RT.ToValue(p.value), goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	}
	if parent, ok := b.RT.Get("Uint8Array").(*goja.Object); ok {
		_ = constructor.SetPrototype(parent)
		if proto, ok := parent.Get("prototype").(*goja.Object); ok {
			_ = b.BufferProto.SetPrototype(proto)
		}
	}
	b.Rethrow(b.Extend(constructor, static))
	b.Rethrow(b.Extend(b.BufferProto, methods))
	return constructor
}

// construct is `new Buffer(...)` and `Buffer(...)`: deprecated, but also what the methods that a
// Buffer inherits from Uint8Array call to make their results.
func construct(b *bridge.Bridge, call goja.ConstructorCall) *goja.Object {
	first := call.Argument(0)
	if !goja.IsNumber(first) {
		return from(b, first, call.Argument(1), call.Argument(2))
	}
	if second := call.Argument(1); goja.IsString(second) {
		b.BadType("string", "of type string", first)
	}
	return New(b, make([]byte, size(b, first)))
}

// New makes a Buffer of data, which is the Buffer's from now on.
func New(b *bridge.Bridge, data []byte) *goja.Object {
	Constructor(b)
	o := b.NewUint8Array(data)
	_ = o.SetPrototype(b.BufferProto)
	return o
}

// Output makes a result in the encoding that a script asked for: a Buffer for none, "buffer",
// and names that are unknown, as Node's crypto does.
func Output(b *bridge.Bridge, data []byte, encoding goja.Value) goja.Value {
	if bridge.IsNullish(encoding) {
		return New(b, data)
	}
	e, ok := codec.Parse(encoding.String())
	if !ok {
		return New(b, data)
	}
	return b.Text(data, e)
}

func view(b *bridge.Bridge, buffer goja.Value, offset, length int) *goja.Object {
	Constructor(b)
	o := b.ViewOn(buffer, offset, length)
	_ = o.SetPrototype(b.BufferProto)
	return o
}

// Members are what require('buffer') gives, but for atob and btoa.
func Members() bridge.Members {
	return bridge.Members{
		"Buffer":     bridge.Lazy(func(b *bridge.Bridge) goja.Value { return Constructor(b) }),
		"kMaxLength": bridge.Constant(bridge.MaxBytes),
		"constants": bridge.Lazy(func(b *bridge.Bridge) goja.Value {
			return b.Object("MAX_LENGTH", bridge.MaxBytes, "MAX_STRING_LENGTH", bridge.MaxBytes)
		}),
		"isUtf8":  bridge.Method(1, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value { return isText(b, call, true) }),
		"isAscii": bridge.Method(1, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value { return isText(b, call, false) }),
	}
}

func isText(b *bridge.Bridge, call goja.FunctionCall, utf bool) goja.Value {
	data, ok := b.BufferSource(call.Argument(0))
	if !ok {
		b.BadType("input", "an instance of ArrayBuffer, Buffer, or TypedArray", call.Argument(0))
	}
	return b.RT.ToValue(isValid(data, utf))
}

// size reads a number of bytes to allocate.
func size(b *bridge.Bridge, v goja.Value) int {
	if !goja.IsNumber(v) {
		b.BadType("size", "of type number", v)
	}
	f := v.ToFloat()
	if !(f >= 0 && f <= bridge.MaxBytes) {
		b.OutOfRange("size", ">= 0 && <= "+strconv.Itoa(bridge.MaxBytes), v)
	}
	return int(f)
}

// integer reads an integer between low and high.
func integer(b *bridge.Bridge, v goja.Value, name string, low, high int) int {
	if !goja.IsNumber(v) {
		b.BadType(name, "of type number", v)
	}
	f := v.ToFloat()
	if f != math.Trunc(f) {
		b.OutOfRange(name, "an integer", v)
	}
	if f < float64(low) || f > float64(high) {
		b.OutOfRange(name, ">= "+strconv.Itoa(low)+" && <= "+strconv.Itoa(high), v)
	}
	return int(f)
}

// strictEncoding reads an encoding where the empty string is not one.
func strictEncoding(b *bridge.Bridge, v goja.Value) codec.Encoding {
	e, ok := codec.Parse(v.String())
	if !ok {
		b.UnknownEncoding(v)
	}
	return e
}

// looseEncoding reads an encoding where anything but a non-empty string means UTF-8.
func looseEncoding(b *bridge.Bridge, v goja.Value) codec.Encoding {
	if s, ok := v.(goja.String); ok && s.Length() > 0 {
		return strictEncoding(b, v)
	}
	return codec.UTF8
}

func decode(b *bridge.Bridge, s goja.String, e codec.Encoding) []byte {
	b.Limit(s.Length(), bridge.MaxText, "characters")
	return codec.Bytes(s, e)
}

// from is Buffer.from.
func from(b *bridge.Bridge, v, encodingOrOffset, length goja.Value) *goja.Object {
	return fromNested(b, v, encodingOrOffset, length, 0)
}

// maxValueOf bounds how often an object's valueOf may give another object.
const maxValueOf = 16

func fromNested(b *bridge.Bridge, v, encodingOrOffset, length goja.Value, depth int) *goja.Object {
	if depth > maxValueOf {
		b.RangeError("", "Maximum call stack size exceeded")
	}
	if s, ok := v.(goja.String); ok {
		return New(b, decode(b, s, looseEncoding(b, encodingOrOffset)))
	}
	if o, ok := v.(*goja.Object); ok {
		if _, callable := goja.AssertFunction(o); !callable {
			if made := fromObject(b, o, encodingOrOffset, length, depth); made != nil {
				return made
			}
		}
	}
	b.TypeError("ERR_INVALID_ARG_TYPE", "The first argument must be of type string or an instance of Buffer, ArrayBuffer, or Array or an Array-like Object. Received %s", b.Describe(v))
	return nil
}

func fromObject(b *bridge.Bridge, o *goja.Object, encodingOrOffset, length goja.Value, depth int) *goja.Object {
	if data, ok := b.ArrayBuffer(o); ok {
		return fromArrayBuffer(b, o, len(data), encodingOrOffset, length)
	}
	if data, ok := b.Uint8(o); ok {
		return New(b, append(make([]byte, 0, len(data)), data...))
	}
	if valueOf, ok := goja.AssertFunction(o.Get("valueOf")); ok {
		inner := b.Call(valueOf, o)
		if !bridge.IsNullish(inner) && inner != goja.Value(o) {
			if _, isObject := inner.(*goja.Object); isObject || goja.IsString(inner) {
				return fromNested(b, inner, encodingOrOffset, length, depth+1)
			}
		}
	}
	if n := o.Get("length"); !bridge.IsUndefined(n) {
		if !goja.IsNumber(n) {
			return New(b, nil)
		}
		return fromArrayLike(b, o, n)
	}
	if t := o.Get("type"); t != nil && goja.IsString(t) && t.String() == "Buffer" {
		if data, ok := o.Get("data").(*goja.Object); ok && jsvalue.IsArray(data) {
			return fromArrayLike(b, data, data.Get("length"))
		}
	}
	if toPrimitive, ok := goja.AssertFunction(o.GetSymbol(goja.SymToPrimitive)); ok {
		if s, ok := b.Call(toPrimitive, o, b.String("string")).(goja.String); ok {
			return New(b, decode(b, s, looseEncoding(b, encodingOrOffset)))
		}
	}
	return nil
}

func fromArrayLike(b *bridge.Bridge, o *goja.Object, length goja.Value) *goja.Object {
	f := length.ToFloat()
	if !(f > 0) {
		return New(b, nil)
	}
	b.Limit(int(min(f, math.MaxInt32)), bridge.MaxElements, "elements")
	data := make([]byte, int(f))
	for i := range data {
		if v := o.Get(strconv.Itoa(i)); v != nil {
			data[i] = toUint8(b, v)
		}
	}
	return New(b, data)
}

// toUint8 is the conversion that storing into a Uint8Array does.
func toUint8(b *bridge.Bridge, v goja.Value) byte {
	if goja.IsBigInt(v) {
		b.TypeError("", "Cannot convert a BigInt value to a number")
	}
	return byte(wrap(v.ToFloat()))
}

// wrap is the low 32 bits of a number, as JavaScript's bit operators see it.
func wrap(f float64) uint32 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	m := math.Mod(math.Trunc(f), 1<<32)
	if m < 0 {
		m += 1 << 32
	}
	return uint32(m)
}

func fromArrayBuffer(b *bridge.Bridge, o *goja.Object, have int, offsetArg, lengthArg goja.Value) *goja.Object {
	offset := 0.0
	if !bridge.IsUndefined(offsetArg) {
		if offset = offsetArg.ToFloat(); math.IsNaN(offset) {
			offset = 0
		}
	}
	room := float64(have) - offset
	if room < 0 || offset < 0 {
		b.RangeError("ERR_BUFFER_OUT_OF_BOUNDS", "\"offset\" is outside of buffer bounds")
	}
	n := room
	if !bridge.IsUndefined(lengthArg) {
		if n = lengthArg.ToFloat(); !(n > 0) {
			n = 0
		} else if n > room {
			b.RangeError("ERR_BUFFER_OUT_OF_BOUNDS", "\"length\" is outside of buffer bounds")
		}
	}
	return view(b, o, int(offset), int(n))
}

// members are the static members and the methods; filled by init, because they
// refer to the constructor, which refers to them.
var static, methods bridge.Members

func init() {
	methods = prototypeMembers()
	static = staticMembers()
}

func staticMembers() bridge.Members {
	return bridge.Members{
		"from": bridge.Method(3, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
			return from(b, call.Argument(0), call.Argument(1), call.Argument(2))
		}),
		"of": bridge.Method(0, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
			data := make([]byte, len(call.Arguments))
			for i, v := range call.Arguments {
				data[i] = toUint8(b, v)
			}
			return New(b, data)
		}),
		"alloc": bridge.Method(3, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
			data := make([]byte, size(b, call.Argument(0)))
			value := call.Argument(1)
			if !goja.IsUndefined(value) && len(data) > 0 && !(goja.IsNumber(value) && value.ToFloat() == 0) {
				fill(b, data, value, b.RT.ToValue(0), b.RT.ToValue(len(data)), call.Argument(2))
			}
			return New(b, data)
		}),
		"allocUnsafe":     bridge.Method(1, allocate),
		"allocUnsafeSlow": bridge.Method(1, allocate),
		"byteLength":      bridge.Method(2, byteLength),
		"compare": bridge.Method(2, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
			x, ok := b.Uint8(call.Argument(0))
			if !ok {
				b.BadType("buf1", "an instance of Buffer or Uint8Array", call.Argument(0))
			}
			y, ok := b.Uint8(call.Argument(1))
			if !ok {
				b.BadType("buf2", "an instance of Buffer or Uint8Array", call.Argument(1))
			}
			return b.RT.ToValue(bytes.Compare(x, y))
		}),
		"concat":        bridge.Method(2, concat),
		"copyBytesFrom": bridge.Method(3, copyBytesFrom),
		"isBuffer": bridge.Method(1, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
			return b.RT.ToValue(isBuffer(b, call.Argument(0)))
		}),
		"isEncoding": bridge.Method(1, isEncoding),
		"poolSize":   bridge.Constant(8192),
	}
}

func allocate(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	return New(b, make([]byte, size(b, call.Argument(0))))
}

func isBuffer(b *bridge.Bridge, v goja.Value) bool {
	o, ok := v.(*goja.Object)
	return ok && b.RT.InstanceOf(o, b.Buffer)
}

func isEncoding(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	s, ok := call.Argument(0).(goja.String)
	if ok {
		_, ok = codec.Parse(s.String())
	}
	return b.RT.ToValue(ok)
}

func byteLength(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	v := call.Argument(0)
	s, ok := v.(goja.String)
	if !ok {
		data, ok := b.BufferSource(v)
		if !ok {
			b.BadType("string", "of type string or an instance of Buffer or ArrayBuffer", v)
		}
		return b.RT.ToValue(len(data))
	}
	n := s.Length()
	e := codec.UTF8
	if name := call.Argument(1); !bridge.IsNullish(name) {
		if known, ok := codec.Parse(name.String()); ok {
			e = known
		}
	}
	switch e {
	case codec.UTF16LE:
		n *= 2
	case codec.Hex:
		n /= 2
	case codec.Base64, codec.Base64URL:
		pad := 0
		if n > 0 && s.CharAt(n-1) == '=' {
			pad = 1
		}
		if n > 1+pad && pad == 1 && s.CharAt(n-2) == '=' {
			pad = 2
		}
		n = (n - pad) * 3 / 4
	case codec.UTF8:
		n = len(s.String())
	}
	return b.RT.ToValue(n)
}

func concat(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	list, ok := call.Argument(0).(*goja.Object)
	if !ok || list.ClassName() != "Array" {
		b.BadType("list", "an instance of Array", call.Argument(0))
	}
	limit := -1
	count := int(min(list.Get("length").ToFloat(), math.MaxInt32))
	if v := call.Argument(1); !goja.IsUndefined(v) && count > 0 {
		limit = integer(b, v, "length", 0, bridge.MaxBytes)
	}
	var parts [][]byte
	total := 0
	for i := range count {
		v := list.Get(strconv.Itoa(i))
		data, ok := b.Uint8(v)
		if !ok {
			b.BadType("list["+strconv.Itoa(i)+"]", "an instance of Buffer or Uint8Array", v)
		}
		total += len(data)
		if limit < 0 {
			b.Limit(total, bridge.MaxBytes, "bytes")
		}
		b.Limit(i+1, bridge.MaxElements, "elements")
		parts = append(parts, data)
	}
	if limit < 0 {
		limit = total
	}
	out := make([]byte, limit)
	at := 0
	for _, p := range parts {
		at += copy(out[at:], p)
	}
	return New(b, out)
}

func copyBytesFrom(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	v := call.Argument(0)
	data, ok := b.View(v)
	per := 1
	if ok {
		if n := bridge.Property(v, "BYTES_PER_ELEMENT"); goja.IsNumber(n) {
			per = int(n.ToInteger())
		} else {
			ok = false
		}
	}
	if !ok || per <= 0 {
		b.BadType("view", "an instance of TypedArray", v)
	}
	count := len(data) / per
	start, end := 0, count
	if o := call.Argument(1); !goja.IsUndefined(o) {
		start = min(integer(b, o, "offset", 0, math.MaxInt32), count)
	}
	if l := call.Argument(2); !goja.IsUndefined(l) {
		end = min(start+integer(b, l, "length", 0, math.MaxInt32), count)
	}
	part := data[start*per : end*per]
	return New(b, append(make([]byte, 0, len(part)), part...))
}
