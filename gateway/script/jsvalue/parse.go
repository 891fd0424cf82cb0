// Package jsvalue carries values over the border between Go and JavaScript:
// Parse makes JavaScript values of JSON, an Encoder makes JSON of JavaScript
// values, and Inspect prints them for people.
//
// Only gateway/script and the packages below it may call it. Values belong to
// one goja runtime and with it to one goroutine.
package jsvalue

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"

	"github.com/dop251/goja"
)

// SyntaxError says where a text is not the JSON that Parse accepts.
type SyntaxError struct {
	// Offset is the place in bytes, from 0.
	Offset int
	// Message says what is wrong there.
	Message string
	// TooDeep: the text may be JSON, but is nested deeper than was allowed.
	TooDeep bool
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s at offset %d", e.Message, e.Offset)
}

// Tree is the JavaScript value made of a JSON text, with the memory of where in
// the text each of its objects and arrays stood.
type Tree struct {
	rt     *goja.Runtime
	text   string
	root   goja.Value
	known  map[*goja.Object]int // the objects made, as indexes of nodes
	nodes  []node
	keys   []string     // of all objects, in the order in which they were closed
	values []goja.Value // of all objects and arrays, likewise
}

// node is one object or array of a Tree as it was in the text.
type node struct {
	start, end  int // in the text
	keys, first int // where its members begin in Tree.keys and Tree.values
	count       int // of its members
	array       bool
	irregular   bool // has a repeated or an integer-like key
}

// Parse makes native values of one JSON text, such as JSON.parse makes: the last of
// repeated keys counts, "__proto__" is an ordinary key, and lone surrogates in strings
// survive. Bytes that are not UTF-8 become U+FFFD. Containers may be
// nested maxDepth deep. The error is a *SyntaxError.
//
// The values refer to text, which must not change as long as they are in use.
func Parse(rt *goja.Runtime, text []byte, maxDepth int) (*Tree, error) {
	t := &Tree{rt: rt, text: unsafe.String(unsafe.SliceData(text), len(text))}
	p := parser{rt: rt, tree: t, s: t.text, depth: maxDepth}
	// Guesses, mostly right, that save growing; bounded, since they may be very wrong.
	containers := min(strings.Count(t.text, "{")+strings.Count(t.text, "["), 4096)
	members := min(strings.Count(t.text, ",")+containers, 4096)
	t.known, t.nodes = make(map[*goja.Object]int, containers), make([]node, 0, containers)
	t.keys, t.values = make([]string, 0, members), make([]goja.Value, 0, members)
	p.space()
	root, err := p.value()
	if err != nil {
		return nil, err
	}
	p.space()
	if p.i < len(p.s) {
		return nil, p.unexpected("the end")
	}
	t.root = root
	return t, nil
}

// Root is the value of the whole text.
func (t *Tree) Root() goja.Value { return t.root }

// Known reports whether o was made from the text, be it changed since or not.
func (t *Tree) Known(o *goja.Object) bool {
	_, ok := t.known[o]
	return ok
}

// Span returns where in the text o stood, when it came from there and neither
// it nor anything below it was changed: then those bytes are its JSON. It looks at every
// member, and runs the getters of those that were replaced by accessors, so
// it may panic with what they throw.
func (t *Tree) Span(o *goja.Object) (start, end int, ok bool) {
	i, known := t.known[o]
	if !known {
		return 0, 0, false
	}
	n := t.nodes[i]
	c := comparison{
		tree: t, objects: t.rt.NewObject().Prototype(), arrays: t.rt.NewArray().Prototype(),
	}
	// A toJSON that was put on a prototype speaks for every object.
	if c.objects.Get("toJSON") != nil || c.arrays.Get("toJSON") != nil {
		return 0, 0, false
	}
	if !c.untouched(o, n) {
		return 0, 0, false
	}
	return n.start, n.end, true
}

// comparison compares objects with what was made for them at first.
type comparison struct {
	tree            *Tree
	objects, arrays *goja.Object // the prototypes
}

func (c *comparison) untouched(o *goja.Object, n node) bool {
	t := c.tree
	values := t.values[n.first : n.first+n.count]
	if n.array {
		if o.Prototype() != c.arrays || o.Get("length").ToInteger() != int64(n.count) {
			return false
		}
		for i, was := range values {
			if !c.same(o.Get(strconv.Itoa(i)), was) {
				return false
			}
		}
		// Further properties of an array are not part of its JSON.
		return true
	}
	if o.Prototype() != c.objects {
		return false
	}
	keys := t.keys[n.keys : n.keys+n.count]
	if n.irregular {
		keys, values = ordered(keys, values)
	}
	now := o.Keys()
	if !slices.Equal(now, keys) {
		return false
	}
	for i, key := range keys {
		if !c.same(o.Get(key), values[i]) {
			return false
		}
	}
	return true
}

func (c *comparison) same(now, was goja.Value) bool {
	if now == nil { // a hole in an array
		return false
	}
	if o, ok := was.(*goja.Object); ok {
		if other, ok := now.(*goja.Object); !ok || other != o {
			return false
		}
		return c.untouched(o, c.tree.nodes[c.tree.known[o]])
	}
	if _, ok := now.(*goja.Object); ok {
		return false
	}
	return now.SameAs(was)
}

// ordered puts members in the order in which JavaScript enumerates them:
// integer keys first, ascending, then the others as they were defined; of a
// repeated key the first place and the last value.
func ordered(keys []string, values []goja.Value) ([]string, []goja.Value) {
	last := make(map[string]int, len(keys))
	for i, k := range keys {
		last[k] = i
	}
	var numbers, names []string
	seen := make(map[string]bool, len(last))
	for _, k := range keys {
		if seen[k] {
			continue
		}
		seen[k] = true
		if isIndex(k) {
			numbers = append(numbers, k)
		} else {
			names = append(names, k)
		}
	}
	slices.SortFunc(numbers, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	order := append(numbers, names...)
	sorted := make([]goja.Value, len(order))
	for i, k := range order {
		sorted[i] = values[last[k]]
	}
	return order, sorted
}

// isIndex reports whether k is an array index in its canonical spelling, which
// objects enumerate before other keys.
func isIndex(k string) bool {
	if k == "" || len(k) > 10 || k[0] == '0' && len(k) > 1 {
		return false
	}
	for i := 0; i < len(k); i++ {
		if k[i] < '0' || k[i] > '9' {
			return false
		}
	}
	n, err := strconv.ParseUint(k, 10, 64)
	return err == nil && n < math.MaxUint32
}

type parser struct {
	rt    *goja.Runtime
	tree  *Tree
	s     string
	i     int
	depth int // levels that may still be opened

	// Members of the containers that are open, innermost last. They move to
	// the tree when their container closes, which keeps them contiguous there.
	openKeys   []string
	openValues []goja.Value
}

func (p *parser) fail(offset int, message string) error {
	return &SyntaxError{Offset: offset, Message: message}
}

// unexpected says what stands at the current place instead of what was wanted.
func (p *parser) unexpected(wanted string) error {
	if p.i >= len(p.s) {
		return p.fail(len(p.s), "expected "+wanted+", got the end of the text")
	}
	r, _ := utf8.DecodeRuneInString(p.s[p.i:])
	return p.fail(p.i, fmt.Sprintf("expected %s, got %q", wanted, r))
}

func (p *parser) space() {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

// value parses the value that begins at the current place.
func (p *parser) value() (goja.Value, error) {
	if p.i >= len(p.s) {
		return nil, p.unexpected("a value")
	}
	switch c := p.s[p.i]; c {
	case '{':
		return p.object()
	case '[':
		return p.array()
	case '"':
		s, units, err := p.string()
		if err != nil {
			return nil, err
		}
		if units != nil {
			return goja.StringFromUTF16(units), nil
		}
		return p.rt.ToValue(s), nil
	case 't':
		return p.word("true", trueValue)
	case 'f':
		return p.word("false", falseValue)
	case 'n':
		return p.word("null", goja.Null())
	default:
		if c == '-' || c >= '0' && c <= '9' {
			return p.number()
		}
		return nil, p.unexpected("a value")
	}
}

var (
	trueValue  = goja.New().ToValue(true)
	falseValue = goja.New().ToValue(false)
)

func (p *parser) word(word string, v goja.Value) (goja.Value, error) {
	if !strings.HasPrefix(p.s[p.i:], word) {
		return nil, p.unexpected("a value")
	}
	p.i += len(word)
	return v, nil
}

func (p *parser) enter() error {
	if p.depth == 0 {
		return &SyntaxError{Offset: p.i, Message: "nested too deep", TooDeep: true}
	}
	p.depth--
	return nil
}

// closeContainer makes the members that were collected since the container opened
// its own.
func (p *parser) closeContainer(o *goja.Object, n node, firstKey, firstValue int) {
	t := p.tree
	n.end = p.i
	n.keys, n.first, n.count = len(t.keys), len(t.values), len(p.openValues)-firstValue
	t.keys = append(t.keys, p.openKeys[firstKey:]...)
	t.values = append(t.values, p.openValues[firstValue:]...)
	p.openKeys = p.openKeys[:firstKey]
	p.openValues = p.openValues[:firstValue]
	t.known[o] = len(t.nodes)
	t.nodes = append(t.nodes, n)
	p.depth++
}

func (p *parser) object() (goja.Value, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	n := node{start: p.i}
	firstKey, firstValue := len(p.openKeys), len(p.openValues)
	p.i++
	p.space()
	if p.i < len(p.s) && p.s[p.i] == '}' {
		p.i++
	} else {
		for {
			if p.i >= len(p.s) || p.s[p.i] != '"' {
				return nil, p.unexpected("a key in quotes")
			}
			key, units, err := p.string()
			if err != nil {
				return nil, err
			}
			if units != nil {
				// goja takes property names from Go as UTF-8 only.
				key = string(utf16.Decode(units))
			}
			p.space()
			if p.i >= len(p.s) || p.s[p.i] != ':' {
				return nil, p.unexpected("a colon")
			}
			p.i++
			p.space()
			v, err := p.value()
			if err != nil {
				return nil, err
			}
			if key != "" && key[0] >= '0' && key[0] <= '9' && isIndex(key) {
				n.irregular = true
			}
			p.openKeys = append(p.openKeys, key)
			p.openValues = append(p.openValues, v)
			p.space()
			if p.i < len(p.s) && p.s[p.i] == ',' {
				p.i++
				p.space()
				continue
			}
			if p.i < len(p.s) && p.s[p.i] == '}' {
				p.i++
				break
			}
			return nil, p.unexpected("a comma or }")
		}
	}
	o := p.rt.NewObject()
	keys, values := p.openKeys[firstKey:], p.openValues[firstValue:]
	for i, key := range keys {
		// Not Set: that would run a setter that the handler put on
		// Object.prototype, and take __proto__ for the prototype.
		if err := o.DefineDataProperty(key, values[i], goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE); err != nil {
			return nil, p.fail(n.start, err.Error())
		}
	}
	if len(keys) > 1 && repeats(keys) {
		n.irregular = true
	}
	p.closeContainer(o, n, firstKey, firstValue)
	return o, nil
}

// repeats reports whether a key occurs twice.
func repeats(keys []string) bool {
	if len(keys) <= 16 {
		for i, k := range keys {
			for _, other := range keys[:i] {
				if k == other {
					return true
				}
			}
		}
		return false
	}
	seen := make(map[string]struct{}, len(keys))
	for _, k := range keys {
		seen[k] = struct{}{}
	}
	return len(seen) < len(keys)
}

func (p *parser) array() (goja.Value, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	n := node{start: p.i, array: true}
	firstValue := len(p.openValues)
	p.i++
	p.space()
	if p.i < len(p.s) && p.s[p.i] == ']' {
		p.i++
	} else {
		for {
			v, err := p.value()
			if err != nil {
				return nil, err
			}
			p.openValues = append(p.openValues, v)
			p.space()
			if p.i < len(p.s) && p.s[p.i] == ',' {
				p.i++
				p.space()
				continue
			}
			if p.i < len(p.s) && p.s[p.i] == ']' {
				p.i++
				break
			}
			return nil, p.unexpected("a comma or ]")
		}
	}
	values := p.openValues[firstValue:]
	items := make([]any, len(values))
	for i, v := range values {
		items[i] = v
	}
	o := p.rt.NewArray(items...)
	p.closeContainer(o, n, len(p.openKeys), firstValue)
	return o, nil
}

// number parses a number. Integers beyond 2^53 lose digits, as in JavaScript.
func (p *parser) number() (goja.Value, error) {
	start := p.i
	negative := p.s[p.i] == '-'
	if negative {
		p.i++
	}
	digits := p.i
	p.digits()
	if p.i == digits {
		return nil, p.unexpected("a digit")
	}
	if p.s[digits] == '0' && p.i > digits+1 {
		p.i = digits + 1
		return nil, p.unexpected("no digit after a leading zero")
	}
	integer := true
	if p.i < len(p.s) && p.s[p.i] == '.' {
		integer = false
		p.i++
		from := p.i
		p.digits()
		if p.i == from {
			return nil, p.unexpected("a digit")
		}
	}
	if p.i < len(p.s) && (p.s[p.i] == 'e' || p.s[p.i] == 'E') {
		integer = false
		p.i++
		if p.i < len(p.s) && (p.s[p.i] == '+' || p.s[p.i] == '-') {
			p.i++
		}
		from := p.i
		p.digits()
		if p.i == from {
			return nil, p.unexpected("a digit")
		}
	}
	if integer && p.i-digits <= 15 { // below 2^53
		var n int64
		for _, c := range []byte(p.s[digits:p.i]) {
			n = n*10 + int64(c-'0')
		}
		if negative && n == 0 {
			return p.rt.ToValue(math.Copysign(0, -1)), nil
		}
		if negative {
			n = -n
		}
		return p.rt.ToValue(n), nil
	}
	// The only error left is that of the range, which comes with the right infinity.
	f, _ := strconv.ParseFloat(p.s[start:p.i], 64)
	return p.rt.ToValue(f), nil
}

func (p *parser) digits() {
	for p.i < len(p.s) && p.s[p.i] >= '0' && p.s[p.i] <= '9' {
		p.i++
	}
}

// string parses a string. When it has a surrogate that is not one of a pair, it comes
// as UTF-16, because UTF-8 has no room for that.
func (p *parser) string() (text string, units []uint16, err error) {
	p.i++
	start := p.i
	ascii := true
	for p.i < len(p.s) {
		c := p.s[p.i]
		switch {
		case c == '"':
			text = p.s[start:p.i]
			p.i++
			if !ascii {
				text = ToUTF8(text)
			}
			return text, nil, nil
		case c == '\\':
			return p.escaped(start)
		case c < 0x20:
			return "", nil, p.fail(p.i, fmt.Sprintf("control character %q in a string", c))
		case c >= utf8.RuneSelf:
			ascii = false
		}
		p.i++
	}
	return "", nil, p.fail(len(p.s), "a string does not end")
}

// escaped parses on from the first backslash of a string that began at start.
func (p *parser) escaped(start int) (string, []uint16, error) {
	var b strings.Builder
	b.WriteString(ToUTF8(p.s[start:p.i]))
	var units []uint16 // not nil once there was a lone surrogate
	write := func(s string) {
		if units != nil {
			units = append(units, utf16.Encode([]rune(s))...)
		} else {
			b.WriteString(s)
		}
	}
	for p.i < len(p.s) {
		c := p.s[p.i]
		switch {
		case c == '"':
			p.i++
			return b.String(), units, nil
		case c < 0x20:
			return "", nil, p.fail(p.i, fmt.Sprintf("control character %q in a string", c))
		case c != '\\':
			from := p.i
			for p.i < len(p.s) && p.s[p.i] != '"' && p.s[p.i] != '\\' && p.s[p.i] >= 0x20 {
				p.i++
			}
			write(ToUTF8(p.s[from:p.i]))
			continue
		}
		p.i++
		if p.i >= len(p.s) {
			break
		}
		c = p.s[p.i]
		if c != 'u' {
			at := strings.IndexByte(`"\/bfnrt`, c)
			if at < 0 {
				return "", nil, p.fail(p.i-1, "invalid escape in a string")
			}
			write("\"\\/\b\f\n\r\t"[at : at+1])
			p.i++
			continue
		}
		unit, ok := p.hex(p.i + 1)
		if !ok {
			return "", nil, p.fail(p.i-1, "invalid escape in a string")
		}
		p.i += 5
		if !utf16.IsSurrogate(rune(unit)) {
			write(string(rune(unit)))
			continue
		}
		if strings.HasPrefix(p.s[p.i:], `\u`) {
			if low, ok := p.hex(p.i + 2); ok {
				if r := utf16.DecodeRune(rune(unit), rune(low)); r != utf8.RuneError {
					p.i += 6
					write(string(r))
					continue
				}
			}
		}
		if units == nil {
			units = utf16.Encode([]rune(b.String()))
		}
		units = append(units, unit)
	}
	return "", nil, p.fail(len(p.s), "a string does not end")
}

// hex reads four hexadecimal digits.
func (p *parser) hex(at int) (uint16, bool) {
	if at+4 > len(p.s) {
		return 0, false
	}
	var n uint16
	for _, c := range []byte(p.s[at : at+4]) {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		n = n<<4 | uint16(c)
	}
	return n, true
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
