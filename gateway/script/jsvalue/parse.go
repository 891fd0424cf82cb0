// Package jsvalue carries values over the border between Go and JavaScript:
// Parse makes JavaScript values of JSON, an Encoder makes JSON of JavaScript
// values, and Inspect prints them for people.
//
// Only gateway/script and the packages below it may call it. Values belong to
// one goja runtime and with it to one goroutine.
package jsvalue

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"

	"github.com/dop251/goja"

	"switchhook/gateway/body"
)

// Parser makes JavaScript values of JSON in one runtime.
type Parser struct {
	// AtOnce makes all objects when the text is parsed, and not when they are touched.
	AtOnce bool

	rt      *goja.Runtime
	proxy   func(newTarget *goja.Object, args ...goja.Value) (*goja.Object, error) // the constructor Proxy
	objects *goja.Object                                                           // Object.prototype
	arrays  *goja.Object                                                           // Array.prototype, once it was needed
}

// NewParser returns a Parser for a runtime.
func NewParser(rt *goja.Runtime) *Parser { return &Parser{rt: rt} }

// MayInherit reports whether code may make an object of data the prototype of another.
func MayInherit(code []byte) bool {
	for _, word := range []string{"Object.create(", "setPrototypeOf", "__proto__"} {
		if bytes.Contains(code, []byte(word)) {
			return true
		}
	}
	return false
}

// Prepare takes the constructor that the Parser needs from the runtime's globals. Where code may replace the global
// Proxy it must be called before that runs; else Parse calls it.
func (p *Parser) Prepare() {
	if p.proxy != nil {
		return
	}
	proxy, ok := goja.AssertConstructor(p.rt.Get("Proxy"))
	if !ok {
		panic(p.rt.NewTypeError("there is no Proxy any more"))
	}
	p.proxy, p.objects = proxy, p.rt.NewObject().Prototype()
}

// arrayPrototype is Array.prototype.
func (p *Parser) arrayPrototype() *goja.Object {
	if p.arrays == nil {
		p.arrays = p.rt.NewArray().Prototype()
	}
	return p.arrays
}

// Parse makes the value of one JSON text, which the one that JSON.parse makes cannot be told from: the last of
// repeated keys counts, "__proto__" is an ordinary key, and lone surrogates survive. Bytes that are not
// UTF-8 become U+FFFD. The text is checked as a whole, but an object or array becomes one only when something first
// touches it; see Tree. The error is a *body.SyntaxError.
//
// The values refer to text, which must not change as long as they are in use.
func (p *Parser) Parse(text []byte) (*Tree, error) {
	index, err := body.Index(text)
	if err != nil {
		return nil, err
	}
	return p.ParseIndexed(text, index), nil
}

// ParseIndexed is Parse of a text whose index is known.
func (p *Parser) ParseIndexed(text []byte, index []body.Container) *Tree {
	p.Prepare()
	t := &Tree{Parser: p, text: unsafe.String(unsafe.SliceData(text), len(text)), index: index}
	t.known = make(map[*goja.Object]*container, min(len(index), 16))
	r := reader{tree: t}
	r.space()
	t.root = r.value()
	return t
}

// reader reads values of a text that was found to be JSON.
type reader struct {
	tree *Tree
	i    int // the place in the text
	next int // in the index: the first container that begins at i or behind it
	// exact is where the number stood that was read last, when JavaScript prints it in another way; else its end is 0.
	exact span
	// given are objects and arrays that were made before and are to be used again.
	given []*goja.Object
}

// skip passes over the value at the current place.
func (r *reader) skip() {
	s := r.tree.text
	switch c := s[r.i]; c {
	case '{', '[':
		r.i, r.next = int(r.tree.index[r.next].End), int(r.tree.index[r.next].Next)
	case '"':
		r.skipString()
	default:
		for r.i < len(s) && s[r.i] > ' ' && s[r.i] != ',' && s[r.i] != '}' && s[r.i] != ']' {
			r.i++
		}
	}
}

// skipString passes over a string.
func (r *reader) skipString() {
	s := r.tree.text
	for i := r.i + 1; ; i++ {
		i += strings.IndexByte(s[i:], '"')
		escapes := i - 1
		for s[escapes] == '\\' {
			escapes--
		}
		if (i-escapes)&1 == 1 { // an even number of backslashes
			r.i = i + 1
			return
		}
	}
}

func (r *reader) space() {
	for s := r.tree.text; r.i < len(s) && s[r.i] <= ' '; r.i++ {
	}
}

// span is a part of the text.
type span struct{ start, end int }

// value reads the value at the current place. Of an object or array it reads no more than it must.
func (r *reader) value() goja.Value {
	t := r.tree
	switch t.text[r.i] {
	case '{', '[':
		o := r.container()
		r.i, r.next = int(t.index[r.next].End), int(t.index[r.next].Next)
		return o
	case '"':
		s, units := r.string()
		if units != nil {
			return goja.StringFromUTF16(units)
		}
		return t.rt.ToValue(s)
	case 't':
		r.i += 4
		return trueValue
	case 'f':
		r.i += 5
		return falseValue
	case 'n':
		r.i += 4
		return goja.Null()
	}
	return r.number()
}

var (
	trueValue  = goja.New().ToValue(true)
	falseValue = goja.New().ToValue(false)
)

// container returns the object or array at the current place.
func (r *reader) container() *goja.Object {
	for _, o := range r.given {
		if r.tree.known[o].index == r.next {
			return o
		}
	}
	return r.tree.container(r.i, r.next)
}

// number reads a number. Integers beyond 2^53 lose digits, as in JavaScript.
func (r *reader) number() goja.Value {
	s, start := r.tree.text, r.i
	negative := s[start] == '-'
	i := start
	if negative {
		i++
	}
	digits := i
	var n int64
	for i < len(s) && s[i]-'0' <= 9 {
		n = n*10 + int64(s[i]-'0') // wraps around only where it is not used
		i++
	}
	if i-digits <= 15 && (i == len(s) || s[i] != '.' && s[i]|0x20 != 'e') { // an integer below 2^53
		r.i = i
		if !negative {
			return r.tree.rt.ToValue(n)
		}
		if n == 0 {
			return r.tree.rt.ToValue(math.Copysign(0, -1))
		}
		return r.tree.rt.ToValue(-n)
	}
	for i < len(s) && (s[i]-'0' <= 9 || s[i] == '.' || s[i] == '-' || s[i] == '+' || s[i]|0x20 == 'e') {
		i++
	}
	r.i, r.exact = i, span{start, i}
	// The only error left is that of the range, which comes with the right infinity.
	f, _ := strconv.ParseFloat(s[start:i], 64)
	return r.tree.rt.ToValue(f)
}

// string reads a string. When it has a surrogate that is not one of a pair, it comes
// as UTF-16, because UTF-8 has no room for that.
func (r *reader) string() (text string, units []uint16) {
	s, start := r.tree.text, r.i+1
	high := byte(0)
	for i := start; ; i++ {
		switch c := s[i]; c {
		case '"':
			r.i = i + 1
			if text = s[start:i]; high >= utf8.RuneSelf {
				text = ToUTF8(text)
			}
			return text, nil
		case '\\':
			r.i = i
			return r.escaped(start)
		default:
			high |= c
		}
	}
}

// escaped reads on from the first backslash of a string that began at start.
func (r *reader) escaped(start int) (string, []uint16) {
	s := r.tree.text
	var b strings.Builder
	b.WriteString(ToUTF8(s[start:r.i]))
	var units []uint16 // not nil once there was a lone surrogate
	write := func(s string) {
		if units != nil {
			units = append(units, utf16.Encode([]rune(s))...)
		} else {
			b.WriteString(s)
		}
	}
	for {
		switch s[r.i] {
		case '"':
			r.i++
			return b.String(), units
		case '\\':
		default:
			from := r.i
			for s[r.i] != '"' && s[r.i] != '\\' {
				r.i++
			}
			write(ToUTF8(s[from:r.i]))
			continue
		}
		c := s[r.i+1]
		r.i += 2
		if c != 'u' {
			at := strings.IndexByte(`"\/bfnrt`, c)
			write("\"\\/\b\f\n\r\t"[at : at+1])
			continue
		}
		unit := hex(s[r.i:])
		r.i += 4
		if !utf16.IsSurrogate(rune(unit)) {
			write(string(rune(unit)))
			continue
		}
		if strings.HasPrefix(s[r.i:], `\u`) {
			if c := utf16.DecodeRune(rune(unit), rune(hex(s[r.i+2:]))); c != utf8.RuneError {
				r.i += 6
				write(string(c))
				continue
			}
		}
		if units == nil {
			units = utf16.Encode([]rune(b.String()))
		}
		units = append(units, unit)
	}
}

// hex reads four hexadecimal digits.
func hex(s string) uint16 {
	n, _ := strconv.ParseUint(s[:4], 16, 16)
	return uint16(n)
}

// ToUTF8 returns s with each part that is not UTF-8 replaced by U+FFFD as the
// Encoding Standard does it: once for each longest prefix of a sequence that
// could have become valid (https://encoding.spec.whatwg.org/#utf-8-decoder).
func ToUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 8)
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r != utf8.RuneError || size > 1 {
			b.WriteString(s[i : i+size])
			i += size
			continue
		}
		b.WriteString("\uFFFD")
		i += brokenPrefix(s[i:])
	}
	return b.String()
}

// brokenPrefix is how many bytes at the beginning of s, which is not valid there, one
// replacement stands for.
func brokenPrefix(s string) int {
	need, low, high := 0, byte(0x80), byte(0xBF)
	switch c := s[0]; {
	case c >= 0xC2 && c <= 0xDF:
		need = 1
	case c == 0xE0:
		need, low = 2, 0xA0
	case c == 0xED:
		need, high = 2, 0x9F
	case c >= 0xE1 && c <= 0xEF:
		need = 2
	case c == 0xF0:
		need, low = 3, 0x90
	case c == 0xF4:
		need, high = 3, 0x8F
	case c >= 0xF1 && c <= 0xF3:
		need = 3
	}
	n := 1
	for ; n <= need && n < len(s) && s[n] >= low && s[n] <= high; n++ {
		low, high = 0x80, 0xBF
	}
	return n
}
