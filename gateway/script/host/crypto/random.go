package crypto

import (
	"encoding/hex"
	"io"
	"math"
	"reflect"
	"strconv"

	"github.com/dop251/goja"

	"switchhook/gateway/script/host/bridge"
	"switchhook/gateway/script/host/buffer"
	"switchhook/gateway/script/host/web"
)

// fill fills p with random bytes.
func fill(b *bridge.Bridge, p []byte) {
	if _, err := io.ReadFull(b.Random, p); err != nil {
		b.Error("ERR_OPERATION_FAILED", "no random bytes: %v", err)
	}
}

func randomBytes(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	v := call.Argument(0)
	if !goja.IsNumber(v) {
		b.BadType("size", "of type number", v)
	}
	if f := v.ToFloat(); !(f >= 0 && f <= bridge.MaxBytes) {
		b.OutOfRange("size", ">= 0 && <= "+strconv.Itoa(bridge.MaxBytes), v)
	}
	data := make([]byte, int(v.ToFloat()))
	fill(b, data)
	return deliver(b, call.Argument(1), buffer.New(b, data))
}

// deliver returns a result, or gives it to a callback when there is one.
func deliver(b *bridge.Bridge, callback, result goja.Value) goja.Value {
	if goja.IsUndefined(callback) {
		return result
	}
	f, ok := goja.AssertFunction(callback)
	if !ok {
		b.BadType("callback", "of type function", callback)
	}
	return later(b, f, result)
}

func randomFillSync(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	data, ok := b.BufferSource(call.Argument(0))
	if !ok {
		b.BadType("buf", "an instance of ArrayBuffer or ArrayBufferView", call.Argument(0))
	}
	per := 1
	if n := bridge.Property(call.Argument(0), "BYTES_PER_ELEMENT"); goja.IsNumber(n) {
		per = max(int(n.ToInteger()), 1)
	}
	number := func(i int, name string, or, high int) int {
		v := call.Argument(i)
		if goja.IsUndefined(v) {
			return or
		}
		if !goja.IsNumber(v) {
			b.BadType(name, "of type number", v)
		}
		if f := v.ToFloat(); !(f >= 0 && f*float64(per) <= float64(high)) {
			b.OutOfRange(name, ">= 0 && <= "+strconv.Itoa(high), v)
		}
		return int(v.ToFloat()) * per
	}
	offset := number(1, "offset", 0, len(data))
	n := number(2, "size", len(data)-offset, math.MaxInt32)
	if offset+n > len(data) {
		b.OutOfRange("size + offset", "<= "+strconv.Itoa(len(data)), b.RT.ToValue(offset+n))
	}
	fill(b, data[offset:offset+n])
	return call.Argument(0)
}

// maxRange is the largest range of randomInt, as in Node.
const maxRange = 1<<48 - 1

func randomInt(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	low, high, callback := call.Argument(0), call.Argument(1), call.Argument(2)
	if _, ok := goja.AssertFunction(high); ok || goja.IsUndefined(high) {
		low, high, callback = b.RT.ToValue(0), low, high
	}
	safe := func(v goja.Value, name string) int64 {
		f := math.NaN()
		if goja.IsNumber(v) {
			f = v.ToFloat()
		}
		if f != math.Trunc(f) || math.Abs(f) > 1<<53-1 {
			b.BadType(name, "a safe integer", v)
		}
		return int64(f)
	}
	from, to := safe(low, "min"), safe(high, "max")
	if to <= from {
		b.OutOfRange("max", "greater than the value of \"min\" ("+strconv.FormatInt(from, 10)+")", high)
	}
	if to-from > maxRange {
		b.OutOfRange("max - min", "<= "+strconv.Itoa(maxRange), b.RT.ToValue(to-from))
	}
	// Draws beyond the last whole multiple of the range would favour small numbers.
	limit := (int64(1) << 48) - (int64(1)<<48)%(to-from)
	for {
		var p [6]byte
		fill(b, p[:])
		var n int64
		for _, c := range p {
			n = n<<8 | int64(c)
		}
		if n < limit {
			return deliver(b, callback, b.RT.ToValue(from+n%(to-from)))
		}
	}
}

func randomUUID(b *bridge.Bridge, _ goja.FunctionCall) goja.Value {
	var p [16]byte
	fill(b, p[:])
	p[6] = p[6]&0x0f | 0x40
	p[8] = p[8]&0x3f | 0x80
	var out [36]byte
	hex.Encode(out[0:8], p[0:4])
	hex.Encode(out[9:13], p[4:6])
	hex.Encode(out[14:18], p[6:8])
	hex.Encode(out[19:23], p[8:10])
	hex.Encode(out[24:36], p[10:16])
	for _, i := range []int{8, 13, 18, 23} {
		out[i] = '-'
	}
	return b.String(string(out[:]))
}

var floatTypes = map[reflect.Type]bool{reflect.TypeFor[[]float32](): true, reflect.TypeFor[[]float64](): true}

func getRandomValues(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	o, _ := call.Argument(0).(*goja.Object)
	data, ok := b.View(call.Argument(0))
	if !ok || floatTypes[o.ExportType()] || !goja.IsNumber(bridge.Property(o, "BYTES_PER_ELEMENT")) {
		web.Throw(b, "TypeMismatchError", "The data argument must be an integer-type TypedArray")
	}
	if len(data) > 65536 {
		web.Throw(b, "QuotaExceededError", "The requested length exceeds 65,536 bytes")
	}
	fill(b, data)
	return o
}
