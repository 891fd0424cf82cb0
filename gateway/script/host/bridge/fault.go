package bridge

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/dop251/goja"
)

// NewError makes an error of a built-in class, with Node's property `code` when code is not empty.
func (b *Bridge) NewError(class, code, message string) *goja.Object {
	var o *goja.Object
	var err error
	if constructor := b.RT.Get(class); constructor != nil {
		o, err = b.RT.New(constructor, b.String(message))
	}
	if o == nil || err != nil {
		// A script has replaced the class.
		o = b.RT.NewTypeError("%s", message)
	}
	if code != "" {
		_ = o.Set("code", code)
	}
	return o
}

// Throw throws an error of a built-in class, with Node's property `code` when code is not empty.
func (b *Bridge) Throw(class, code, format string, args ...any) {
	panic(b.NewError(class, code, fmt.Sprintf(format, args...)))
}

// TypeError throws a TypeError.
func (b *Bridge) TypeError(code, format string, args ...any) {
	b.Throw("TypeError", code, format, args...)
}

// RangeError throws a RangeError.
func (b *Bridge) RangeError(code, format string, args ...any) {
	b.Throw("RangeError", code, format, args...)
}

// Error throws an Error.
func (b *Bridge) Error(code, format string, args ...any) {
	b.Throw("Error", code, format, args...)
}

// BadType throws Node's ERR_INVALID_ARG_TYPE: what is the argument's name, or a path with a dot
// for a property of it, expected such as "of type string".
func (b *Bridge) BadType(what, expected string, got goja.Value) {
	kind := "argument"
	if strings.Contains(what, ".") {
		kind = "property"
	}
	b.TypeError("ERR_INVALID_ARG_TYPE", "The \"%s\" %s must be %s. Received %s", what, kind, expected, b.Describe(got))
}

// BadValue throws Node's ERR_INVALID_ARG_VALUE.
func (b *Bridge) BadValue(what string, got goja.Value) {
	kind := "argument"
	if strings.Contains(what, ".") {
		kind = "property"
	}
	b.TypeError("ERR_INVALID_ARG_VALUE", "The %s '%s' is invalid. Received %s", kind, what, b.Inspect(got))
}

// OutOfRange throws Node's ERR_OUT_OF_RANGE.
func (b *Bridge) OutOfRange(what, expected string, got goja.Value) {
	b.RangeError("ERR_OUT_OF_RANGE", "The value of \"%s\" is out of range. It must be %s. Received %s", what, expected, grouped(b.Inspect(got)))
}

// TooLarge throws the RangeError of a call that needs more than MaxBytes.
func (b *Bridge) TooLarge(what string) {
	b.RangeError("ERR_OUT_OF_RANGE", "%s is larger than the %d MiB that one call may allocate", what, MaxBytes>>20)
}

// CheckSize throws when a call needs more than MaxBytes.
func (b *Bridge) CheckSize(what string, n int) {
	if n > MaxBytes {
		b.TooLarge(what)
	}
}

// grouped puts an underscore between the thousands of an integer above 2^32, as Node
// does in range errors.
func grouped(s string) string {
	f, err := strconv.ParseFloat(strings.TrimSuffix(s, "n"), 64)
	if err != nil || math.Abs(f) <= 1<<32 || math.IsInf(f, 0) || strings.ContainsAny(s, ".e") {
		return s
	}
	digits, tail := s, ""
	if strings.HasSuffix(s, "n") {
		digits, tail = s[:len(s)-1], "n"
	}
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "_" + digits[i:]
	}
	return sign + digits + tail
}

// Describe names a value for an error message as Node does: "type string ('a')",
// "an instance of Map".
func (b *Bridge) Describe(v goja.Value) string {
	if v == nil || goja.IsUndefined(v) {
		return "undefined"
	}
	if goja.IsNull(v) {
		return "null"
	}
	if o, ok := v.(*goja.Object); ok {
		if _, ok := goja.AssertFunction(o); ok {
			if name := o.Get("name"); name != nil && name.String() != "" {
				return "function " + name.String()
			}
			return "function "
		}
		if c, ok := o.Get("constructor").(*goja.Object); ok {
			if name := c.Get("name"); name != nil && name.String() != "" {
				return "an instance of " + name.String()
			}
		}
		return "[Object: null prototype] {}"
	}
	kind := "object"
	switch {
	case goja.IsString(v):
		kind = "string"
	case goja.IsNumber(v):
		kind = "number"
	case goja.IsBigInt(v):
		kind = "bigint"
	default:
		switch v.(type) {
		case *goja.Symbol:
			kind = "symbol"
		default:
			kind = "boolean"
		}
	}
	shown := b.Inspect(v)
	if utf16Len := len([]rune(shown)); utf16Len > 28 {
		shown = string([]rune(shown)[:25]) + "..."
	}
	return "type " + kind + " (" + shown + ")"
}

// Inspect shows a value for an error message: strings in quotes, objects only as such.
func (b *Bridge) Inspect(v goja.Value) string {
	switch {
	case v == nil || goja.IsUndefined(v):
		return "undefined"
	case goja.IsString(v):
		s := v.String()
		if len(s) > 200 {
			s = strings.ToValidUTF8(s[:200], "") + "..."
		}
		quote := "'"
		if strings.Contains(s, "'") {
			if !strings.Contains(s, `"`) {
				quote = `"`
			} else if !strings.Contains(s, "`") && !strings.Contains(s, "${") {
				quote = "`"
			}
		}
		r := strings.NewReplacer("\\", "\\\\", "\n", "\\n", "\r", "\\r", "\t", "\\t", "\b", "\\b", "\f", "\\f", quote, "\\"+quote)
		return quote + r.Replace(s) + quote
	case goja.IsBigInt(v):
		return v.String() + "n"
	case goja.IsNumber(v):
		if f := v.ToFloat(); f == 0 && math.Signbit(f) {
			return "-0"
		}
		return v.String()
	}
	if s, ok := v.(*goja.Symbol); ok {
		return "Symbol(" + s.String() + ")"
	}
	if o, ok := v.(*goja.Object); ok {
		if o.ClassName() == "Array" {
			return "[]"
		}
		return "{}"
	}
	return v.String()
}
