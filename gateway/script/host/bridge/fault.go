package bridge

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"

	"github.com/dop251/goja"

	"switchhook/gateway/script/jsvalue"
	"switchhook/spec/diagnostic"
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

// Limit throws a RangeError when there are more than limit of what one call may have.
func (b *Bridge) Limit(n, limit int, what string) {
	if n > limit {
		b.RangeError("ERR_OUT_OF_RANGE", "The limit of one call is %d %s, got %d", limit, what, n)
	}
}

// Unknown is the end of a message about a name that is not among those known. The name is shown in full or
// not at all, since who reports the message can replace secrets in it only where they are whole.
func Unknown(name string, known []string) string {
	shown := name
	if len(name) > 64 {
		shown = fmt.Sprintf("(a name of %d characters)", len(name))
	} else if hint := diagnostic.DidYouMean(name, known); hint != "" {
		shown += ", " + hint
	}
	return shown + "; supported are " + strings.Join(known, ", ")
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
				return "function " + short(name.String())
			}
			return "function "
		}
		if c, ok := o.Get("constructor").(*goja.Object); ok {
			if name := c.Get("name"); name != nil && name.String() != "" {
				return "an instance of " + short(name.String())
			}
		}
		return "[Object: null prototype] {}"
	}
	var kind string
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
	return "type " + kind + " (" + b.Inspect(v) + ")"
}

// short keeps a name that is long out of a message.
func short(name string) string {
	if len(name) > 64 {
		return "..."
	}
	return name
}

// maxShown is the length of the longest string that an error message shows.
const maxShown = 28

// Inspect shows a value for an error message: strings in quotes, objects only as such. Unlike Node
// it shows a string in full and unescaped or not at all: what is reported is searched for
// secrets, and they are found only when they are whole.
func (b *Bridge) Inspect(v goja.Value) string {
	switch {
	case v == nil || goja.IsUndefined(v):
		return "undefined"
	case goja.IsString(v):
		if n := v.(goja.String).Length(); n > maxShown {
			return fmt.Sprintf("%d characters", n)
		}
		s := v.String()
		if strings.ContainsFunc(s, func(r rune) bool { return r == '\'' || r == '\\' || !unicode.IsPrint(r) }) {
			return fmt.Sprintf("%d characters", v.(goja.String).Length())
		}
		return "'" + s + "'"
	case goja.IsBigInt(v):
		// Writing a large one takes more than linear time.
		if n, ok := v.Export().(*big.Int); ok && n.BitLen() > 128 {
			return fmt.Sprintf("%d bits", n.BitLen())
		}
		return v.String() + "n"
	case goja.IsNumber(v):
		if f := v.ToFloat(); f == 0 && math.Signbit(f) {
			return "-0"
		}
		return v.String()
	}
	if s, ok := v.(*goja.Symbol); ok {
		return "Symbol(" + short(s.String()) + ")"
	}
	if o, ok := v.(*goja.Object); ok {
		jsvalue.Settle(o)
		if o.ClassName() == "Array" {
			return "[]"
		}
		return "{}"
	}
	return v.String()
}
