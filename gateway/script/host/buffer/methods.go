package buffer

import (
	"bytes"
	"math"
	"math/big"
	"strconv"
	"unicode/utf8"

	"github.com/dop251/goja"

	"switchhook/gateway/script/host/bridge"
	"switchhook/gateway/script/host/codec"
)

func prototypeMembers() bridge.Members {
	return withNumbers(bridge.Members{
		"toString":       bridge.Method(3, toString),
		"toLocaleString": bridge.Method(3, toString),
		"toJSON":         bridge.Method(0, toJSON),
		"equals":         bridge.Method(1, equals),
		"compare":        bridge.Method(5, compare),
		"copy":           bridge.Method(4, copyTo),
		"slice":          bridge.Method(2, subarray),
		"subarray":       bridge.Method(2, subarray),
		"fill":           bridge.Method(4, fillMethod),
		"write":          bridge.Method(4, write),
		"indexOf":        bridge.Method(3, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value { return b.RT.ToValue(search(b, call, true)) }),
		"lastIndexOf":    bridge.Method(3, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value { return b.RT.ToValue(search(b, call, false)) }),
		"includes": bridge.Method(3, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
			return b.RT.ToValue(search(b, call, true) >= 0)
		}),
		"swap16": bridge.Method(0, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value { return swap(b, call, 2) }),
		"swap32": bridge.Method(0, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value { return swap(b, call, 4) }),
		"swap64": bridge.Method(0, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value { return swap(b, call, 8) }),
	})
}

// this returns the memory of the receiver.
func this(b *bridge.Bridge, call goja.FunctionCall) []byte {
	data, ok := b.Uint8(call.This)
	if !ok {
		b.TypeError("ERR_INVALID_ARG_TYPE", "argument must be a buffer")
	}
	return data
}

func isValid(data []byte, utf bool) bool {
	if utf {
		return utf8.Valid(data)
	}
	for _, c := range data {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// span reads the start and end of toString.
func span(n int, startArg, endArg goja.Value) (start, end int) {
	if f := startArg.ToFloat(); f > 0 {
		if f >= float64(n) {
			return n, n
		}
		start = int(f)
	}
	end = n
	if !goja.IsUndefined(endArg) {
		if f := endArg.ToFloat(); !(f > float64(n)) {
			end = bridge.Integer(endArg)
		}
	}
	if end < start {
		end = start
	}
	return start, end
}

func toString(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	data := this(b, call)
	if len(call.Arguments) == 0 {
		return b.Text(data, codec.UTF8)
	}
	start, end := span(len(data), call.Argument(1), call.Argument(2))
	if end <= start {
		return b.String("")
	}
	e := codec.UTF8
	if name := call.Argument(0); !goja.IsUndefined(name) {
		e = strictEncoding(b, name)
	}
	return b.Text(data[start:end], e)
}

func toJSON(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	data := this(b, call)
	b.Limit(len(data), bridge.MaxElements, "elements")
	items := make([]any, len(data))
	for i, c := range data {
		items[i] = int(c)
	}
	return b.Object("type", "Buffer", "data", b.RT.NewArray(items...))
}

func equals(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	other, ok := b.Uint8(call.Argument(0))
	if !ok {
		b.BadType("otherBuffer", "an instance of Buffer or Uint8Array", call.Argument(0))
	}
	return b.RT.ToValue(bytes.Equal(this(b, call), other))
}

func compare(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	data := this(b, call)
	target, ok := b.Uint8(call.Argument(0))
	if !ok {
		b.BadType("target", "an instance of Buffer or Uint8Array", call.Argument(0))
	}
	part := func(data []byte, start, end goja.Value, name string) []byte {
		from, to := 0, len(data)
		if !goja.IsUndefined(start) {
			from = integer(b, start, name+"Start", 0, math.MaxInt32)
		}
		if !goja.IsUndefined(end) {
			to = integer(b, end, name+"End", 0, len(data))
		}
		if from >= to {
			return nil
		}
		return data[from:to]
	}
	t := part(target, call.Argument(1), call.Argument(2), "target")
	s := part(data, call.Argument(3), call.Argument(4), "source")
	return b.RT.ToValue(bytes.Compare(s, t))
}

func copyTo(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	source := this(b, call)
	target, ok := b.Uint8(call.Argument(0))
	if !ok {
		b.BadType("target", "an instance of Buffer or Uint8Array", call.Argument(0))
	}
	number := func(i int, name string, or, high int) int {
		v := call.Argument(i)
		if goja.IsUndefined(v) {
			return or
		}
		n := bridge.Integer(v)
		if n < 0 || n > high {
			expected := ">= 0"
			if high != math.MaxInt32 {
				expected += " && <= " + strconv.Itoa(high)
			}
			b.OutOfRange(name, expected, b.RT.ToValue(n))
		}
		return n
	}
	targetStart := number(1, "targetStart", 0, math.MaxInt32)
	start := number(2, "sourceStart", 0, len(source))
	end := min(number(3, "sourceEnd", len(source), math.MaxInt32), len(source))
	if targetStart >= len(target) || start >= end {
		return b.RT.ToValue(0)
	}
	return b.RT.ToValue(copy(target[targetStart:], source[start:end]))
}

func subarray(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	n := len(this(b, call))
	o := call.This.(*goja.Object)
	clamp := func(v goja.Value) int {
		i := bridge.Integer(v)
		if i < 0 {
			return max(i+n, 0)
		}
		return min(i, n)
	}
	start, end := clamp(call.Argument(0)), n
	if v := call.Argument(1); !goja.IsUndefined(v) {
		end = clamp(v)
	}
	return view(b, o.Get("buffer"), int(o.Get("byteOffset").ToInteger())+start, max(end-start, 0))
}

func fillMethod(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	fill(b, this(b, call), call.Argument(0), call.Argument(1), call.Argument(2), call.Argument(3))
	return call.This
}

func fill(b *bridge.Bridge, data []byte, value, offsetArg, endArg, encoding goja.Value) {
	var pattern []byte
	text, isText := value.(goja.String)
	if isText {
		if goja.IsUndefined(offsetArg) || goja.IsString(offsetArg) {
			encoding, offsetArg, endArg = offsetArg, goja.Undefined(), goja.Undefined()
		} else if goja.IsString(endArg) {
			encoding, endArg = endArg, goja.Undefined()
		}
		if !bridge.IsNullish(encoding) && !goja.IsString(encoding) {
			b.BadType("encoding", "of type string", encoding)
		}
		e := looseEncoding(b, encoding)
		if text.Length() == 0 {
			pattern = []byte{0}
		} else {
			pattern = b.StringBytes(text, e)
		}
	}
	limit := func(v goja.Value, name string, or int, high float64) int {
		if goja.IsUndefined(v) {
			return or
		}
		if !goja.IsNumber(v) {
			b.BadType(name, "of type number", v)
		}
		if f := v.ToFloat(); !(f >= 0 && f <= high) {
			expected := ">= 0"
			if !math.IsInf(high, 1) {
				expected += " && <= " + strconv.Itoa(int(high))
			}
			b.OutOfRange(name, expected, v)
		}
		return bridge.Integer(v)
	}
	offset, end := 0, len(data)
	if !goja.IsUndefined(offsetArg) {
		offset = limit(offsetArg, "offset", 0, math.Inf(1))
		end = limit(endArg, "end", len(data), float64(len(data)))
		if offset >= end {
			return
		}
	}
	if !isText {
		if view, ok := b.View(value); ok {
			pattern = append(pattern, view...)
		} else {
			pattern = []byte{toUint8(b, value)}
		}
	}
	if len(pattern) == 0 {
		b.BadValue("value", value)
	}
	part := data[offset:end]
	for n := copy(part, pattern); n < len(part); {
		n += copy(part[n:], part[:n])
	}
}

func write(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	data := this(b, call)
	text, ok := call.Argument(0).(goja.String)
	offsetArg, lengthArg, encoding := call.Argument(1), call.Argument(2), call.Argument(3)
	offset, length := 0, len(data)
	switch {
	case goja.IsUndefined(offsetArg):
		encoding = goja.Undefined()
	case goja.IsUndefined(lengthArg) && goja.IsString(offsetArg):
		encoding = offsetArg
	default:
		offset = integer(b, offsetArg, "offset", 0, len(data))
		length = len(data) - offset
		if goja.IsString(lengthArg) {
			encoding = lengthArg
		} else if !goja.IsUndefined(lengthArg) {
			length = min(length, integer(b, lengthArg, "length", 0, len(data)))
		}
	}
	e := codec.UTF8
	if !bridge.IsNullish(encoding) && encoding.ToBoolean() {
		e = strictEncoding(b, encoding)
	}
	if !ok {
		b.BadType("argument", "of type string", call.Argument(0))
	}
	src := b.StringBytes(text, e)
	room := data[offset : offset+length]
	if len(src) > len(room) {
		n := len(room)
		switch e {
		case codec.UTF8:
			// No part of a character is written.
			for n > 0 && !utf8.RuneStart(src[n]) {
				n--
			}
		case codec.UTF16LE:
			n &^= 1
		}
		src = src[:n]
	}
	return b.RT.ToValue(copy(room, src))
}

// search is indexOf and lastIndexOf; -1 for nothing found.
func search(b *bridge.Bridge, call goja.FunctionCall, forward bool) int {
	data := this(b, call)
	value, at, encoding := call.Argument(0), call.Argument(1), call.Argument(2)
	if goja.IsString(at) {
		encoding, at = at, goja.Undefined()
	}
	f := at.ToFloat()
	if goja.IsUndefined(at) || math.IsNaN(f) {
		if f = 0; !forward {
			f = float64(len(data))
		}
	}
	from := int(min(max(f, math.MinInt32), math.MaxInt32))

	if goja.IsNumber(value) {
		i := position(len(data), from, 1, forward)
		if i < 0 || len(data) == 0 {
			return -1
		}
		c := byte(wrap(value.ToFloat()))
		if forward {
			if j := bytes.IndexByte(data[i:], c); j >= 0 {
				return i + j
			}
			return -1
		}
		return bytes.LastIndexByte(data[:i+1], c)
	}
	var needle []byte
	e := codec.UTF8
	if text, ok := value.(goja.String); ok {
		if !goja.IsUndefined(encoding) {
			e = strictEncoding(b, encoding)
		}
		needle = b.StringBytes(text, e)
	} else if needle, ok = b.Uint8(value); ok {
		if !bridge.IsNullish(encoding) {
			e, _ = codec.Parse(encoding.String())
		}
	} else {
		b.BadType("value", "one of type number or string or an instance of Buffer or Uint8Array", value)
	}
	i := position(len(data), from, len(needle), forward)
	switch {
	case len(needle) == 0:
		return i
	case len(data) == 0 || i < 0 || len(needle) > len(data) || forward && i+len(needle) > len(data):
		return -1
	}
	if e == codec.UTF16LE {
		return searchUnits(data, needle, i, forward)
	}
	if forward {
		if j := bytes.Index(data[i:], needle); j >= 0 {
			return i + j
		}
		return -1
	}
	return bytes.LastIndex(data[:min(i+len(needle), len(data))], needle)
}

// searchUnits finds needle where it begins at an even index.
func searchUnits(data, needle []byte, i int, forward bool) int {
	if len(data) < 2 || len(needle) < 2 {
		return -1
	}
	needle = needle[:len(needle)&^1]
	if forward {
		for i &^= 1; i+len(needle) <= len(data); {
			j := bytes.Index(data[i:], needle)
			if j < 0 {
				return -1
			}
			if (i+j)%2 == 0 {
				return i + j
			}
			i += j + 1
		}
		return -1
	}
	for end := min(i&^1+len(needle), len(data)); ; {
		j := bytes.LastIndex(data[:end], needle)
		if j < 0 || j%2 == 0 {
			return j
		}
		end = j + len(needle) - 1
	}
}

// position is where a search begins, -1 for nowhere.
func position(have, from, need int, forward bool) int {
	switch {
	case from < 0 && from+have >= 0:
		return from + have
	case from < 0 && (forward || need == 0):
		return 0
	case from < 0:
		return -1
	case from+need <= have:
		return from
	case need == 0:
		return have
	case forward:
		return -1
	}
	return have - 1
}

func swap(b *bridge.Bridge, call goja.FunctionCall, width int) goja.Value {
	data := this(b, call)
	if len(data)%width != 0 {
		b.RangeError("ERR_INVALID_BUFFER_SIZE", "Buffer size must be a multiple of %d-bits", 8*width)
	}
	for i := 0; i < len(data); i += width {
		for x, y := i, i+width-1; x < y; x, y = x+1, y-1 {
			data[x], data[y] = data[y], data[x]
		}
	}
	return call.This
}

// withNumbers adds the methods that read and write numbers.
func withNumbers(m bridge.Members) bridge.Members {
	add := func(name string, alias string, member bridge.Member) {
		m[name] = member
		m[alias] = member
	}
	for _, order := range []string{"LE", "BE"} {
		little := order == "LE"
		for _, bits := range []int{8, 16, 32} {
			suffix := order
			if bits == 8 {
				if suffix = ""; !little {
					continue
				}
			}
			n := strconv.Itoa(bits)
			width := bits / 8
			add("readUInt"+n+suffix, "readUint"+n+suffix, bridge.Method(1, readInt(width, little, false)))
			add("readInt"+n+suffix, "readInt"+n+suffix, bridge.Method(1, readInt(width, little, true)))
			add("writeUInt"+n+suffix, "writeUint"+n+suffix, bridge.Method(2, writeInt(width, little, false)))
			add("writeInt"+n+suffix, "writeInt"+n+suffix, bridge.Method(2, writeInt(width, little, true)))
		}
		add("readUInt"+order, "readUint"+order, bridge.Method(2, readSized(little, false)))
		add("readInt"+order, "readInt"+order, bridge.Method(2, readSized(little, true)))
		add("writeUInt"+order, "writeUint"+order, bridge.Method(3, writeSized(little, false)))
		add("writeInt"+order, "writeInt"+order, bridge.Method(3, writeSized(little, true)))
		add("readBigUInt64"+order, "readBigUint64"+order, bridge.Method(1, readBig(little, false)))
		add("readBigInt64"+order, "readBigInt64"+order, bridge.Method(1, readBig(little, true)))
		add("writeBigUInt64"+order, "writeBigUint64"+order, bridge.Method(2, writeBig(little, false)))
		add("writeBigInt64"+order, "writeBigInt64"+order, bridge.Method(2, writeBig(little, true)))
		add("readFloat"+order, "readFloat"+order, bridge.Method(1, readFloat(4, little)))
		add("readDouble"+order, "readDouble"+order, bridge.Method(1, readFloat(8, little)))
		add("writeFloat"+order, "writeFloat"+order, bridge.Method(2, writeFloat(4, little)))
		add("writeDouble"+order, "writeDouble"+order, bridge.Method(2, writeFloat(8, little)))
	}
	return m
}

// at returns the width bytes at an offset that a script gave.
func at(b *bridge.Bridge, data []byte, offset goja.Value, width int) []byte {
	i := 0.0
	if !goja.IsUndefined(offset) {
		if !goja.IsNumber(offset) {
			b.BadType("offset", "of type number", offset)
		}
		i = offset.ToFloat()
	}
	if i >= 0 && i == math.Trunc(i) && i+float64(width) <= float64(len(data)) {
		return data[int(i) : int(i)+width]
	}
	outside(b, offset, i, len(data)-width, "offset", 0)
	return nil
}

func outside(b *bridge.Bridge, v goja.Value, f float64, high int, name string, low int) {
	if goja.IsUndefined(v) {
		v = b.RT.ToValue(f)
	}
	if f != math.Floor(f) {
		b.OutOfRange(name, "an integer", v)
	}
	if high < 0 {
		b.RangeError("ERR_BUFFER_OUT_OF_BOUNDS", "Attempt to access memory outside buffer bounds")
	}
	b.OutOfRange(name, ">= "+strconv.Itoa(low)+" and <= "+strconv.Itoa(high), v)
}

// load reads an unsigned number of 1 to 8 bytes.
func load(p []byte, little bool) uint64 {
	var v uint64
	for i := range p {
		c := p[i]
		if little {
			c = p[len(p)-1-i]
		}
		v = v<<8 | uint64(c)
	}
	return v
}

func store(p []byte, little bool, v uint64) {
	for i := range p {
		if little {
			p[i] = byte(v)
		} else {
			p[len(p)-1-i] = byte(v)
		}
		v >>= 8
	}
}

// signed spreads the sign of a number of width bytes.
func signed(v uint64, width int) int64 {
	shift := 64 - 8*width
	return int64(v<<shift) >> shift
}

func number(b *bridge.Bridge, p []byte, little, sign bool) goja.Value {
	v := load(p, little)
	if sign {
		return b.RT.ToValue(signed(v, len(p)))
	}
	return b.RT.ToValue(v)
}

func readInt(width int, little, sign bool) bridge.Native {
	return func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
		return number(b, at(b, this(b, call), call.Argument(0), width), little, sign)
	}
}

// sizedWidth reads the argument byteLength of readUIntLE and its kin.
func sizedWidth(b *bridge.Bridge, offset, v goja.Value) int {
	if goja.IsUndefined(offset) {
		b.BadType("offset", "of type number", offset)
	}
	if !goja.IsNumber(v) {
		b.BadType("byteLength", "of type number", v)
	}
	f := v.ToFloat()
	if f != math.Trunc(f) || f < 1 || f > 6 {
		outside(b, v, f, 6, "byteLength", 1)
	}
	return int(f)
}

func readSized(little, sign bool) bridge.Native {
	return func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
		data := this(b, call)
		width := sizedWidth(b, call.Argument(0), call.Argument(1))
		return number(b, at(b, data, call.Argument(0), width), little, sign)
	}
}

// checked reads a number to be stored in width bytes.
func checked(b *bridge.Bridge, v goja.Value, width int, sign bool) uint64 {
	f := v.ToFloat()
	low, high := 0.0, math.Ldexp(1, 8*width)-1
	if sign {
		low, high = -math.Ldexp(1, 8*width-1), math.Ldexp(1, 8*width-1)-1
	}
	if f < low || f > high {
		bits := strconv.Itoa(8 * width)
		expected := ">= 0 and < 2 ** " + bits
		switch {
		case width <= 4:
			expected = ">= " + strconv.Itoa(int(low)) + " and <= " + strconv.Itoa(int(high))
		case sign:
			less := strconv.Itoa(8*width - 1)
			expected = ">= -(2 ** " + less + ") and < 2 ** " + less
		}
		b.OutOfRange("value", expected, b.RT.ToValue(f))
	}
	if math.IsNaN(f) {
		return 0
	}
	return uint64(int64(f))
}

func put(b *bridge.Bridge, data []byte, offset goja.Value, width int, little bool, v uint64) goja.Value {
	p := at(b, data, offset, width)
	store(p, little, v)
	end := width
	if !goja.IsUndefined(offset) {
		end += int(offset.ToInteger())
	}
	return b.RT.ToValue(end)
}

// offsetType throws for an offset that is no number, before the value is looked at, as Node does.
func offsetType(b *bridge.Bridge, offset goja.Value) {
	if !goja.IsUndefined(offset) && !goja.IsNumber(offset) {
		b.BadType("offset", "of type number", offset)
	}
}

func writeInt(width int, little, sign bool) bridge.Native {
	return func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
		data := this(b, call)
		if width == 1 {
			offsetType(b, call.Argument(1))
		}
		v := checked(b, call.Argument(0), width, sign)
		return put(b, data, call.Argument(1), width, little, v)
	}
}

func writeSized(little, sign bool) bridge.Native {
	return func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
		data := this(b, call)
		width := sizedWidth(b, b.RT.ToValue(0), call.Argument(2))
		v := checked(b, call.Argument(0), width, sign)
		if goja.IsUndefined(call.Argument(1)) {
			b.BadType("offset", "of type number", call.Argument(1))
		}
		return put(b, data, call.Argument(1), width, little, v)
	}
}

func readBig(little, sign bool) bridge.Native {
	return func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
		v := load(at(b, this(b, call), call.Argument(0), 8), little)
		if sign {
			return b.RT.ToValue(big.NewInt(int64(v)))
		}
		return b.RT.ToValue(new(big.Int).SetUint64(v))
	}
}

func writeBig(little, sign bool) bridge.Native {
	return func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
		data := this(b, call)
		arg := call.Argument(0)
		if !goja.IsBigInt(arg) {
			b.TypeError("", "Cannot mix BigInt and other types, use explicit conversions")
		}
		v := arg.Export().(*big.Int)
		if sign && !v.IsInt64() {
			b.OutOfRange("value", ">= -(2n ** 63n) and < 2n ** 63n", arg)
		}
		if !sign && !v.IsUint64() {
			b.OutOfRange("value", ">= 0n and < 2n ** 64n", arg)
		}
		bits := v.Uint64()
		if sign {
			bits = uint64(v.Int64())
		}
		return put(b, data, call.Argument(1), 8, little, bits)
	}
}

func readFloat(width int, little bool) bridge.Native {
	return func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
		bits := load(at(b, this(b, call), call.Argument(0), width), little)
		if width == 4 {
			return b.RT.ToValue(float64(math.Float32frombits(uint32(bits))))
		}
		return b.RT.ToValue(math.Float64frombits(bits))
	}
}

func writeFloat(width int, little bool) bridge.Native {
	return func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
		data := this(b, call)
		f := call.Argument(0).ToFloat()
		bits := math.Float64bits(f)
		if width == 4 {
			bits = uint64(math.Float32bits(float32(f)))
		}
		return put(b, data, call.Argument(1), width, little, bits)
	}
}
