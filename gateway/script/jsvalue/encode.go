package jsvalue

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/dop251/goja"
)

// maxDepth is how deep a value to encode may be nested.
const maxDepth = 1000

// ErrExpired is returned when an Encoder was told to stop.
var ErrExpired = errors.New("stopped while reading the result")

// ErrTooLarge is returned when the JSON grows beyond Encoder.Max.
var ErrTooLarge = errors.New("too large")

// ShapeError says which part of a value cannot be encoded, and why.
type ShapeError struct {
	// Path is the place, such as "items[2].name"; "" for the value itself.
	Path    string
	Message string
}

func (e *ShapeError) Error() string {
	if e.Path == "" {
		return e.Message
	}
	return e.Path + ": " + e.Message
}

// At puts a place in front of the error's path.
func (e *ShapeError) At(place string) *ShapeError {
	e.Path = JoinPath(place, e.Path)
	return e
}

// JoinPath appends a path to a place.
func JoinPath(place, path string) string {
	if path == "" || path[0] == '[' || place == "" {
		return place + path
	}
	return place + "." + path
}

// Key is a property's name as it stands in a path.
func Key(name string) string {
	plain := name != "" && len(name) <= 64
	for i, c := range []byte(name) {
		if !(c == '_' || c == '$' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9') {
			plain = false
			break
		}
	}
	if plain {
		return name
	}
	if len(name) > 64 {
		name = strings.ToValidUTF8(name[:64], "") + "…"
	}
	return "[" + strconv.Quote(name) + "]"
}

// Encoder makes JSON as JSON.stringify does, with these differences. What JSON.stringify
// would lose in silence is an error: functions, symbols, promises, maps
// and sets. Parts that are untouched parts of Source or Parsed become their original bytes, and so do
// untouched numbers in objects of theirs that were changed.
type Encoder struct {
	Runtime *goja.Runtime
	// Source is the tree whose untouched parts are passed on; may be nil.
	Source *Tree
	// Parsed are more such trees.
	Parsed []*Tree
	// Max bounds the length of what one call appends to; 0: no bound.
	Max int
	// Expired is asked now and then whether to stop; may be nil.
	Expired func() bool

	changed *goja.Object   // known not to be an untouched part of Source
	open    []*goja.Object // that contain the current place, to find cycles
	steps   int
}

// Append appends the JSON of v to dst; undefined becomes null. The error is a *ShapeError,
// ErrTooLarge, ErrExpired, or what a toJSON function threw. It panics, as goja's methods
// do, with what a getter or a proxy throws; call it within Runtime.Try.
func (e *Encoder) Append(dst []byte, v goja.Value) ([]byte, error) {
	e.changed = nil
	return e.appendRoot(dst, v)
}

// AppendChanged is Append for an object that Source.Span was just found not to know, or to know as changed.
func (e *Encoder) AppendChanged(dst []byte, o *goja.Object) ([]byte, error) {
	e.changed = o
	return e.appendRoot(dst, o)
}

func (e *Encoder) appendRoot(dst []byte, v goja.Value) ([]byte, error) {
	e.open = e.open[:0]
	dst, _, err := e.append(dst, v, "", false)
	return dst, err
}

// append appends v, which stands under key. Where it is undefined and may be
// left out, it reports that.
func (e *Encoder) append(dst []byte, v goja.Value, key string, optional bool) (_ []byte, omitted bool, err error) {
	if e.steps++; e.steps&1023 == 0 && e.Expired != nil && e.Expired() {
		return dst, false, ErrExpired
	}
	if e.Max > 0 && len(dst) > e.Max {
		return dst, false, ErrTooLarge
	}
	if o, ok := v.(*goja.Object); ok {
		if source := e.source(o); source != nil && o != e.changed {
			if start, end, ok := source.Span(o); ok {
				if e.Max > 0 && len(dst)+end-start > e.Max {
					return dst, false, ErrTooLarge
				}
				return append(dst, source.text[start:end]...), false, nil
			}
		}
		if toJSON, ok := goja.AssertFunction(o.Get("toJSON")); ok {
			if v, err = toJSON(o, e.Runtime.ToValue(key)); err != nil {
				return dst, false, err
			}
		}
	}
	switch v := v.(type) {
	case nil:
		if optional {
			return dst, true, nil
		}
		return append(dst, "null"...), false, nil
	case *goja.Object:
		return e.appendObject(dst, v)
	case goja.String:
		if e.Max > 0 && len(dst)+v.Length() > e.Max {
			return dst, false, ErrTooLarge
		}
		return AppendString(dst, v), false, nil
	case *goja.Symbol:
		return dst, false, &ShapeError{Message: "a symbol has no form in JSON"}
	default:
		switch {
		case goja.IsUndefined(v):
			if optional {
				return dst, true, nil
			}
			return append(dst, "null"...), false, nil
		case goja.IsNull(v):
			return append(dst, "null"...), false, nil
		case goja.IsNumber(v):
			return AppendNumber(dst, v), false, nil
		case goja.IsBigInt(v):
			return dst, false, &ShapeError{Message: "a BigInt has no form in JSON; use Number(x) or String(x)"}
		}
		return strconv.AppendBool(dst, v.ToBoolean()), false, nil
	}
}

// source is the tree that o came from, or nil.
func (e *Encoder) source(o *goja.Object) *Tree {
	if e.Source != nil && e.Source.Known(o) {
		return e.Source
	}
	for _, t := range e.Parsed {
		if t.Known(o) {
			return t
		}
	}
	return nil
}

// container is what o was made from, or nil.
func (e *Encoder) container(o *goja.Object) *container {
	if source := e.source(o); source != nil {
		return source.known[o]
	}
	return nil
}

func (e *Encoder) appendObject(dst []byte, o *goja.Object) ([]byte, bool, error) {
	Settle(o)
	if IsFunction(o) {
		return dst, false, &ShapeError{Message: "a function has no form in JSON"}
	}
	switch o.ClassName() {
	case "Array":
		dst, err := e.appendArray(dst, o)
		return dst, false, err
	case "Number", "String", "Boolean":
		return e.append(dst, Unbox(o), "", false)
	case "RawJSON":
		return append(dst, o.Get("rawJSON").String()...), false, nil
	case "Object":
		switch Kind(o) {
		case KindProxy:
			if proxyOfArray(o) {
				dst, err := e.appendArray(dst, o)
				return dst, false, err
			}
		case KindPromise:
			return dst, false, &ShapeError{Message: "a Promise has no form in JSON; is an await missing?"}
		case KindMap:
			return dst, false, &ShapeError{Message: "a Map has no form in JSON; use Object.fromEntries(map)"}
		case KindSet:
			return dst, false, &ShapeError{Message: "a Set has no form in JSON; use [...set]"}
		case KindBigInt:
			return dst, false, &ShapeError{Message: "a BigInt has no form in JSON; use Number(x) or String(x)"}
		}
	}
	if err := e.enter(o); err != nil {
		return dst, false, err
	}
	defer e.leave()
	dst = append(dst, '{')
	first := len(dst)
	var odd *goja.Object // names and values in turn, where Go strings cannot name the properties
	from := e.container(o)
	for i, key := range o.Keys() {
		before := len(dst)
		if before > first {
			dst = append(dst, ',')
		}
		var v goja.Value
		if !strings.Contains(key, "\uFFFD") {
			dst = appendQuoted(dst, key)
			v = o.Get(key)
		} else { // that may stand for a lone surrogate
			if odd == nil {
				odd = e.entries(o)
			}
			name, _ := odd.Get(strconv.Itoa(2 * i)).(goja.String)
			dst = AppendString(dst, name)
			v = odd.Get(strconv.Itoa(2*i + 1))
		}
		dst = append(dst, ':')
		if text := from.number(0, key, v); text != "" {
			dst = append(dst, text...)
			continue
		}
		var omitted bool
		var err error
		if dst, omitted, err = e.append(dst, v, key, true); err != nil {
			return dst, false, at(err, Key(key))
		}
		if omitted {
			dst = dst[:before]
		}
	}
	return append(dst, '}'), false, nil
}

var entries = goja.MustCompile("", "o => { const list = []; for (const k in o) { list[list.length] = k; list[list.length] = o[k] } return list }", true)

// entries lists the names and values of an object, its own first, in the order of its keys.
func (e *Encoder) entries(o *goja.Object) *goja.Object {
	f, err := e.Runtime.RunProgram(entries)
	if err != nil {
		panic(err)
	}
	call, _ := goja.AssertFunction(f)
	list, err := call(goja.Undefined(), o)
	if err != nil {
		panic(err)
	}
	return list.(*goja.Object)
}

func (e *Encoder) appendArray(dst []byte, o *goja.Object) ([]byte, error) {
	if err := e.enter(o); err != nil {
		return dst, err
	}
	defer e.leave()
	length := o.Get("length").ToInteger()
	// Each item takes two bytes at least, so a huge sparse array is refused
	// before it costs time.
	if e.Max > 0 && length > int64(e.Max/2) {
		return dst, ErrTooLarge
	}
	dst = append(dst, '[')
	from := e.container(o)
	for i := range int(length) {
		if i > 0 {
			dst = append(dst, ',')
		}
		key := strconv.Itoa(i)
		v := o.Get(key)
		if text := from.number(i, "", v); text != "" {
			dst = append(dst, text...)
			continue
		}
		var err error
		if dst, _, err = e.append(dst, v, key, false); err != nil {
			return dst, at(err, "["+key+"]")
		}
	}
	return append(dst, ']'), nil
}

func at(err error, place string) error {
	if shape, ok := err.(*ShapeError); ok {
		return shape.At(place)
	}
	return err
}

func (e *Encoder) enter(o *goja.Object) error {
	if slices.Contains(e.open, o) {
		return &ShapeError{Message: "contains itself, which has no form in JSON"}
	}
	if len(e.open) >= maxDepth {
		return &ShapeError{Message: fmt.Sprintf("is nested deeper than %d levels", maxDepth)}
	}
	e.open = append(e.open, o)
	return nil
}

func (e *Encoder) leave() { e.open = e.open[:len(e.open)-1] }

// AppendNumber appends a number as JavaScript prints it, or null for one that
// JSON does not have.
func AppendNumber(dst []byte, v goja.Value) []byte {
	f := v.ToFloat()
	switch {
	case f == math.Trunc(f) && math.Abs(f) < 1<<53:
		return strconv.AppendInt(dst, int64(f), 10)
	case math.IsNaN(f) || math.IsInf(f, 0):
		return append(dst, "null"...)
	}
	return append(dst, v.String()...)
}

// AppendString appends a string in quotes. Lone surrogates become escapes.
func AppendString(dst []byte, v goja.String) []byte {
	s := v.String()
	if !strings.Contains(s, "\uFFFD") {
		return appendQuoted(dst, s)
	}
	// Either it contains that character, or it stands for a lone surrogate.
	dst = append(dst, '"')
	for i := 0; i < v.Length(); i++ {
		c := v.CharAt(i)
		switch {
		case c >= 0xD800 && c < 0xDC00 && i+1 < v.Length() && v.CharAt(i+1) >= 0xDC00 && v.CharAt(i+1) < 0xE000:
			dst = utf8.AppendRune(dst, 0x10000+(rune(c)-0xD800)<<10+rune(v.CharAt(i+1))-0xDC00)
			i++
		case c >= 0xD800 && c < 0xE000:
			dst = appendUnicodeEscape(dst, c)
		case c < utf8.RuneSelf:
			dst = appendASCII(dst, byte(c))
		default:
			dst = utf8.AppendRune(dst, rune(c))
		}
	}
	return append(dst, '"')
}

func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' {
			dst = append(dst, s[from:i]...)
			dst = appendASCII(dst, c)
			from = i + 1
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

func appendASCII(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	if c < 0x20 {
		return appendUnicodeEscape(dst, uint16(c))
	}
	return append(dst, c)
}

func appendUnicodeEscape(dst []byte, c uint16) []byte {
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'u', digits[c>>12], digits[c>>8&15], digits[c>>4&15], digits[c&15])
}

// ObjectKind tells apart objects that have no class name of their own.
type ObjectKind uint8

// The kinds of objects that Kind knows.
const (
	KindPlain ObjectKind = iota // or anything else
	KindProxy
	KindPromise
	KindMap
	KindSet
	KindBigInt // a BigInt in an object
	KindBytes  // an ArrayBuffer or a Uint8Array
	KindTyped  // another typed array
)

var objectKinds = map[reflect.Type]ObjectKind{}

func init() {
	rt := goja.New()
	for code, kind := range map[string]ObjectKind{
		"new Proxy({}, {})": KindProxy, "Promise.resolve()": KindPromise, "new Map": KindMap, "new Set": KindSet,
		"Object(1n)": KindBigInt, "new ArrayBuffer(1)": KindBytes, "new Uint8Array(1)": KindBytes, "new Int8Array(1)": KindTyped,
		"new Uint16Array(1)": KindTyped, "new Int16Array(1)": KindTyped, "new Uint32Array(1)": KindTyped, "new Int32Array(1)": KindTyped,
		"new Float32Array(1)": KindTyped, "new Float64Array(1)": KindTyped, "new BigInt64Array(1)": KindTyped, "new BigUint64Array(1)": KindTyped,
	} {
		v, err := rt.RunString(code)
		if err != nil {
			panic(err)
		}
		objectKinds[v.ExportType()] = kind
	}
}

// Kind tells what o is without running any code of it.
func Kind(o *goja.Object) ObjectKind {
	Settle(o)
	kind := objectKinds[o.ExportType()]
	if kind == KindSet && o.ClassName() != "Object" { // an array has the same type in Go
		return KindPlain
	}
	return kind
}

// Unbox returns the primitive in a Number, String or Boolean object. It may
// run code of the object, and panic with what that throws.
func Unbox(o *goja.Object) goja.Value {
	switch o.ClassName() {
	case "Number":
		return o.ToNumber()
	case "String":
		return o.ToString()
	}
	b, _ := o.Export().(bool)
	if b {
		return trueValue
	}
	return falseValue
}

// IsFunction reports whether v can be called.
func IsFunction(v goja.Value) bool {
	_, ok := goja.AssertFunction(v)
	return ok
}

// IsArray reports what Array.isArray does.
func IsArray(v goja.Value) bool {
	o, ok := v.(*goja.Object)
	Settle(v)
	return ok && (o.ClassName() == "Array" || Kind(o) == KindProxy && proxyOfArray(o))
}

// proxyOfArray reports whether a proxy stands for an array. A revoked one does not.
func proxyOfArray(o *goja.Object) bool {
	for range maxDepth {
		Settle(o)
		p, ok := o.Export().(goja.Proxy)
		if !ok {
			return o.ClassName() == "Array"
		}
		if o = p.Target(); o == nil {
			return false
		}
	}
	return false
}

// TypeName says what v is, for messages: "a string", "an array", "nothing".
func TypeName(v goja.Value) string {
	switch v := v.(type) {
	case nil:
		return "undefined"
	case goja.String:
		return "string"
	case *goja.Symbol:
		return "symbol"
	case *goja.Object:
		if Kind(v) == KindProxy {
			if proxyOfArray(v) {
				return "array"
			}
			return "object"
		}
		if IsFunction(v) {
			return "function"
		}
		switch class := v.ClassName(); class {
		case "Array":
			return "array"
		case "Date", "Error", "RegExp":
			return class
		}
		switch Kind(v) {
		case KindPromise:
			return "Promise"
		case KindMap:
			return "Map"
		case KindSet:
			return "Set"
		case KindBytes, KindTyped:
			return "bytes"
		}
		return "object"
	}
	switch {
	case goja.IsUndefined(v):
		return "undefined"
	case goja.IsNull(v):
		return "null"
	case goja.IsNumber(v):
		return "number"
	case goja.IsBigInt(v):
		return "bigint"
	}
	return "boolean"
}
