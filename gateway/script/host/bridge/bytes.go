package bridge

import (
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/dop251/goja"

	"switchhook/gateway/script/host/codec"
)

var arrayBufferType = reflect.TypeFor[goja.ArrayBuffer]()

// viewTypes are the types that goja exports typed arrays as.
var viewTypes = map[reflect.Type]bool{
	reflect.TypeFor[[]int8]():    true,
	reflect.TypeFor[[]uint16]():  true,
	reflect.TypeFor[[]int16]():   true,
	reflect.TypeFor[[]uint32]():  true,
	reflect.TypeFor[[]int32]():   true,
	reflect.TypeFor[[]float32](): true,
	reflect.TypeFor[[]float64](): true,
	reflect.TypeFor[[]int64]():   true,
	reflect.TypeFor[[]uint64]():  true,
}

var byteSliceType = reflect.TypeFor[[]byte]()

// Uint8 returns the memory of a Uint8Array (a Buffer is one).
func (b *Bridge) Uint8(v goja.Value) ([]byte, bool) {
	o, ok := v.(*goja.Object)
	if !ok || o.ExportType() != byteSliceType {
		return nil, false
	}
	// Of an empty array at the end of its buffer Export makes a slice that points behind the buffer, where
	// the garbage collector may find it and give up.
	if n := o.Get("byteLength"); n != nil && goja.IsNumber(n) && n.ToInteger() == 0 {
		return []byte{}, true
	}
	data, ok := o.Export().([]byte)
	return data, ok
}

// View returns the memory of a typed array or a DataView.
func (b *Bridge) View(v goja.Value) ([]byte, bool) {
	o, ok := v.(*goja.Object)
	if !ok {
		return nil, false
	}
	t := o.ExportType()
	if t == byteSliceType {
		return b.Uint8(v)
	}
	if !viewTypes[t] {
		// A DataView exports as a plain object does; ask before reading it
		// as bytes, since that would run through any iterable.
		if t == nil || t.Kind() != reflect.Map || !b.isDataView(o) {
			return nil, false
		}
	}
	var data []byte
	if err := b.RT.ExportTo(o, &data); err != nil {
		return nil, false
	}
	return data, true
}

// isDataView asks the function ArrayBuffer.isView of another runtime, since scripts can replace
// that of their own. It looks at nothing but the kind of the object.
func (b *Bridge) isDataView(o *goja.Object) bool {
	if b.isView == nil {
		b.isView, _ = goja.AssertFunction(Property(goja.New().Get("ArrayBuffer"), "isView"))
	}
	v, err := b.isView(goja.Undefined(), o)
	return err == nil && v.ToBoolean()
}

// ArrayBuffer returns the memory of an ArrayBuffer.
func (b *Bridge) ArrayBuffer(v goja.Value) ([]byte, bool) {
	o, ok := v.(*goja.Object)
	if !ok || o.ExportType() != arrayBufferType {
		return nil, false
	}
	return o.Export().(goja.ArrayBuffer).Bytes(), true
}

// BufferSource returns the memory of a typed array, a DataView or an ArrayBuffer.
func (b *Bridge) BufferSource(v goja.Value) ([]byte, bool) {
	if data, ok := b.View(v); ok {
		return data, true
	}
	return b.ArrayBuffer(v)
}

// Encoding reads an argument that names an encoding. Undefined, null and the empty string are UTF-8.
// ok is false for a name that is unknown.
func (b *Bridge) Encoding(v goja.Value) (e codec.Encoding, ok bool) {
	if IsNullish(v) {
		return codec.UTF8, true
	}
	name := v.String()
	if name == "" {
		return codec.UTF8, true
	}
	return codec.Parse(name)
}

// KnownEncoding is Encoding that throws for a name that is unknown.
func (b *Bridge) KnownEncoding(v goja.Value) codec.Encoding {
	e, ok := b.Encoding(v)
	if !ok {
		b.UnknownEncoding(v)
	}
	return e
}

// UnknownEncoding throws Node's ERR_UNKNOWN_ENCODING.
func (b *Bridge) UnknownEncoding(v goja.Value) {
	name := v.String()
	if len(name) > 64 {
		name = "(a name of " + strconv.Itoa(len(name)) + " characters)"
	}
	b.TypeError("ERR_UNKNOWN_ENCODING", "Unknown encoding: %s", name)
}

// StringBytes returns the bytes of a JavaScript string. They must not be changed.
func (b *Bridge) StringBytes(s goja.String, e codec.Encoding) []byte {
	b.Limit(s.Length(), MaxText, "characters")
	return codec.Decode(s, e)
}

// Data reads an argument that is text (in encoding, where the name may be unknown: then it is UTF-8) or a
// view. The result must not be changed, and not be kept beyond the call.
func (b *Bridge) Data(v goja.Value, encoding goja.Value, what string) []byte {
	if s, ok := v.(goja.String); ok {
		e, _ := b.Encoding(encoding)
		return b.StringBytes(s, e)
	}
	data, ok := b.View(v)
	if !ok {
		b.BadType(what, "of type string or an instance of Buffer, TypedArray, or DataView", v)
	}
	return data
}

// DataOrBuffer is Data that takes an ArrayBuffer too.
func (b *Bridge) DataOrBuffer(v goja.Value, encoding goja.Value, what string) []byte {
	if s, ok := v.(goja.String); ok {
		e, _ := b.Encoding(encoding)
		return b.StringBytes(s, e)
	}
	data, ok := b.BufferSource(v)
	if !ok {
		b.BadType(what, "of type string or an instance of ArrayBuffer, Buffer, TypedArray, or DataView", v)
	}
	return data
}

// Text makes a JavaScript string of bytes.
func (b *Bridge) Text(data []byte, e codec.Encoding) goja.Value {
	if len(data) > MaxText {
		b.Error("ERR_STRING_TOO_LONG", "Cannot create a string of more than 0x%x bytes", MaxText)
	}
	if e == codec.UTF16LE {
		return goja.StringFromUTF16(codec.UTF16(data))
	}
	return b.String(codec.Encode(data, e))
}

// ToString converts a value as String(v) does, without loss for lone surrogates.
func (b *Bridge) ToString(v goja.Value) goja.String {
	if s, ok := v.(goja.String); ok {
		return s
	}
	// Other values than strings and objects have plain texts.
	if o, ok := v.(*goja.Object); ok {
		if s, ok := o.ToString().(goja.String); ok {
			return s
		}
	}
	return b.RT.ToValue(v.String()).(goja.String)
}

// Scalar reads an argument as a string of Unicode scalar values, as the web's
// interfaces do: valid UTF-8, with U+FFFD for lone surrogates.
func (b *Bridge) Scalar(v goja.Value) string {
	if v == nil {
		return "undefined"
	}
	if _, ok := v.(*goja.Symbol); ok {
		b.TypeError("", "Cannot convert a Symbol value to a string")
	}
	s := b.ToString(v)
	b.Limit(s.Length(), MaxText, "characters")
	return strings.ToValidUTF8(s.String(), "\ufffd")
}

// NewUint8Array makes a Uint8Array of data, which is the array's from now on.
func (b *Bridge) NewUint8Array(data []byte) *goja.Object {
	if b.uint8Array == nil {
		b.uint8Array = b.RT.Get("Uint8Array")
	}
	return b.construct(b.uint8Array, b.RT.ToValue(b.RT.NewArrayBuffer(data)))
}

// ViewOn makes a Uint8Array on a part of an ArrayBuffer.
func (b *Bridge) ViewOn(buffer goja.Value, offset, length int) *goja.Object {
	if b.uint8Array == nil {
		b.uint8Array = b.RT.Get("Uint8Array")
	}
	return b.construct(b.uint8Array, buffer, b.RT.ToValue(offset), b.RT.ToValue(length))
}

func (b *Bridge) construct(constructor goja.Value, args ...goja.Value) *goja.Object {
	if constructor == nil {
		b.TypeError("", "Uint8Array is not there any more")
	}
	o, err := b.RT.New(constructor, args...)
	b.Rethrow(err)
	return o
}

// Integer reads a number as ToIntegerOrInfinity does, kept within an int.
func Integer(v goja.Value) int {
	f := v.ToFloat()
	switch {
	case math.IsNaN(f):
		return 0
	case f > math.MaxInt32:
		return math.MaxInt32
	case f < math.MinInt32:
		return math.MinInt32
	}
	return int(f)
}

// Property reads a property of an object; undefined when v is no object.
func Property(v goja.Value, name string) goja.Value {
	if o, ok := v.(*goja.Object); ok {
		if m := o.Get(name); m != nil {
			return m
		}
	}
	return goja.Undefined()
}
