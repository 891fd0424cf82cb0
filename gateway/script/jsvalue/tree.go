package jsvalue

import (
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/dop251/goja"

	"switchhook/gateway/body"
)

// Tree is the JavaScript value of a JSON text, with the memory of where in the text each of its objects and arrays
// stands.
//
// Its objects and arrays are ordinary ones of goja, but they are filled when something first touches them: reads or sets
// a property, lists the keys, freezes it, asks for its prototype, anything. Until then each stands in for itself
// as the proxy of its empty self. JavaScript looks for a trap before it does anything with a proxy; that
// look-up fills the object, puts it back in its own place, and finds no trap, so that what was asked for goes on with an
// ordinary object. So nothing can tell them from what JSON.parse makes, and what is never touched costs next
// to nothing. To read a few properties by their names does not fill an object: for that there is a trap.
//
// There is one exception: goja does not list the inherited keys of an object whose prototype is such a proxy. Where code may
// make a prototype of data, Parser.AtOnce fills all objects when they are made; see MayInherit.
//
// Only Go code can meet an object that is not there yet: see Settle.
type Tree struct {
	*Parser
	text  string
	index []body.Container
	root  goja.Value
	known map[*goja.Object]*container
	trap  goja.Value // of "get", for all containers
	asked *container // which one it was looked up for

	// Containers take their keys and values from here, to save allocations.
	keys   []string
	values []goja.Value
}

// container is one object or array of a Tree.
type container struct {
	tree  *Tree
	start int // in the text
	index int
	array bool

	// Until it is touched, its object is a proxy. self is what the object is in truth.
	waits         bool
	object, proxy *goja.Object
	self          goja.Object
	reads         int            // how many properties were read by name
	given         []*goja.Object // objects and arrays in it that were read so

	// What it was filled with, in the order of the text.
	keys      []string // of an object
	values    []goja.Value
	exact     map[int]span // numbers among the values that JavaScript prints in another way
	irregular bool         // has a repeated or an integer-like key
	odd       bool         // has a key with a lone surrogate, which Go strings cannot name
}

// Up to this many members an object or array without others in it is cheaper made than put off.
const smallMembers = 4

// Root is the value of the whole text.
func (t *Tree) Root() goja.Value { return t.root }

// container makes the object or array at a place of the text.
func (t *Tree) container(start, index int) *goja.Object {
	entry := t.index[index]
	c := &container{tree: t, start: start, index: index, array: t.text[start] == '['}
	now := t.AtOnce || entry.Members <= smallMembers && int(entry.Next) == index+1
	if c.array {
		if now {
			items := c.items()
			list := make([]any, len(items))
			for i, v := range items {
				list[i] = v
			}
			c.object = t.rt.NewArray(list...)
		} else {
			c.object = t.rt.NewArray()
			c.wait()
		}
	} else {
		c.object = t.rt.NewObject()
		if now {
			c.fill()
		} else {
			c.wait()
		}
	}
	t.known[c.object] = c
	return c.object
}

// wait puts a proxy in the place of the object.
func (c *container) wait() {
	t := c.tree
	c.self = *c.object
	proxy, err := t.proxy(nil, &c.self, t.rt.NewDynamicObject(c))
	if err != nil {
		panic(err)
	}
	c.waits, c.proxy = true, proxy
	*c.object = *proxy
}

// settle puts the object back in its place and fills it.
func (c *container) settle() {
	if !c.waits {
		return
	}
	c.waits = false
	// What goes on with the proxy, which is the receiver of the operation that
	// found it, goes on with the object too.
	*c.object, *c.proxy = c.self, c.self
	c.fill()
}

// maxReads is how many properties are read by name, which takes time in proportion to the text, before the object
// is filled.
const maxReads = 8

// Get implements goja.DynamicObject, which is the proxy's handler: it is asked for a trap.
func (c *container) Get(trap string) goja.Value {
	if t := c.tree; trap == "get" && !c.array && c.waits && c.reads < maxReads {
		if t.trap == nil {
			t.trap = t.rt.ToValue(t.read)
		}
		c.reads++
		t.asked = c
		return t.trap
	}
	c.settle()
	return goja.Undefined() // and not nil, which would look for one in Object.prototype
}

// read is the trap for reading a property of the container that was asked for it just now. The arguments are the target,
// the key and the receiver.
func (t *Tree) read(call goja.FunctionCall) goja.Value {
	c := t.asked
	if key, ok := call.Argument(1).(goja.String); ok {
		name := key.String()
		if !strings.Contains(name, "\uFFFD") { // which may stand for a lone surrogate
			if v := c.find(name); v != nil {
				return v
			}
			if t.objects.Get(name) == nil {
				return nil // and not undefined: goja tells by it a hole in a list
			}
		}
	}
	// There is more to it than the object's own properties, such as a getter in the prototype, which
	// wants to know the object that it is for.
	c.settle()
	if symbol, ok := call.Argument(1).(*goja.Symbol); ok {
		return c.object.GetSymbol(symbol)
	}
	return c.object.Get(call.Argument(1).String())
}

// find reads the value of a key without filling the object, or returns nil. The last of repeated keys counts.
func (c *container) find(name string) goja.Value {
	t := c.tree
	s := t.text
	r := reader{tree: t, i: c.start + 1, next: c.index + 1}
	at, next := 0, 0 // the value
	for range t.index[c.index].Members {
		r.space()
		// Most keys are spelled as they are.
		start := r.i + 1
		r.skipString()
		key := s[start : r.i-1]
		same := key == name
		if !same && len(key) > len(name) && strings.IndexByte(key, '\\') >= 0 || !same && !isASCII(key) {
			k := reader{tree: t, i: start - 1}
			if text, units := k.string(); units == nil {
				same = text == name
			}
		}
		r.space()
		r.i++ // the colon
		r.space()
		if same {
			at, next = r.i, r.next
		}
		r.skip()
		r.space()
		r.i++ // the comma or bracket
	}
	if at == 0 {
		return nil
	}
	r = reader{tree: t, i: at, next: next, given: c.given}
	v := r.value()
	if o, ok := v.(*goja.Object); ok && !slices.Contains(c.given, o) {
		c.given = append(c.given, o)
	}
	return v
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Set implements goja.DynamicObject. Nobody has the handler to do more with it.
func (c *container) Set(string, goja.Value) bool { return false }

// Has implements goja.DynamicObject.
func (c *container) Has(string) bool { return false }

// Delete implements goja.DynamicObject.
func (c *container) Delete(string) bool { return false }

// Keys implements goja.DynamicObject.
func (c *container) Keys() []string { return nil }

// fill gives the object its members.
func (c *container) fill() {
	prototype := c.object.Prototype()
	bare(c.object, nil)
	defer bare(c.object, prototype)
	if c.array {
		for i, v := range c.items() {
			define(c.object, strconv.Itoa(i), v)
		}
		return
	}
	t := c.tree
	n := int(t.index[c.index].Members)
	c.keys, c.values = take(&t.keys, n), take(&t.values, n)
	r := reader{tree: t, i: c.start + 1, next: c.index + 1, given: c.given}
	for i := range n {
		r.space()
		key, units := r.string()
		r.space()
		r.i++ // the colon
		r.space()
		v := r.value()
		c.note(&r, i)
		r.space()
		r.i++ // the comma or bracket
		if units != nil {
			c.odd = true
			key = string(utf16.Decode(units))
			t.setOdd(c.object, units, v)
		} else {
			if key != "" && key[0]-'0' <= 9 && isIndex(key) {
				c.irregular = true
			}
			define(c.object, key, v)
		}
		c.keys[i], c.values[i] = key, v
	}
	if n > 1 && repeats(c.keys) {
		c.irregular = true
	}
}

// note remembers how a number that was just read was written.
func (c *container) note(r *reader, i int) {
	if r.exact.end > 0 {
		if c.exact == nil {
			c.exact = map[int]span{}
		}
		c.exact[i] = r.exact
		r.exact = span{}
	}
}

// number returns how a number was written that is still the member i or has that key, "" where JavaScript
// would write it so too or it was another.
func (c *container) number(i int, key string, now goja.Value) string {
	if c == nil || len(c.exact) == 0 || now == nil {
		return ""
	}
	if !c.array {
		for i = len(c.keys) - 1; i >= 0 && c.keys[i] != key; i-- {
		}
	}
	if at, ok := c.exact[i]; ok && c.values[i].SameAs(now) {
		return c.tree.text[at.start:at.end]
	}
	return ""
}

// items reads the items of an array.
func (c *container) items() []goja.Value {
	t := c.tree
	c.values = take(&t.values, int(t.index[c.index].Members))
	r := reader{tree: t, i: c.start + 1, next: c.index + 1}
	for i := range c.values {
		r.space()
		c.values[i] = r.value()
		c.note(&r, i)
		r.space()
		r.i++ // the comma or bracket
	}
	return c.values
}

// Fill gives an object that no code has met yet the members that each hands to its argument, as ordinary properties.
func Fill(o *goja.Object, each func(set func(key string, v goja.Value))) {
	prototype := o.Prototype()
	bare(o, nil)
	each(func(key string, v goja.Value) { define(o, key, v) })
	bare(o, prototype)
}

// define makes an ordinary property of an object without a prototype: with one it would run a setter that the handler put on
// Object.prototype, and take __proto__ for the prototype. Object.DefineDataProperty would need none of that, and costs three times as much.
func define(o *goja.Object, key string, v goja.Value) {
	if err := o.Set(key, v); err != nil {
		panic(err)
	}
}

func bare(o, prototype *goja.Object) {
	if err := o.SetPrototype(prototype); err != nil {
		panic(err)
	}
}

var oddSetter = goja.MustCompile("", "(o, k, v) => { o[k] = v }", true)

// setOdd sets a property whose name has a lone surrogate; goja takes names from Go as UTF-8 only.
func (t *Tree) setOdd(o *goja.Object, key []uint16, v goja.Value) {
	f, err := t.rt.RunProgram(oddSetter)
	if err != nil {
		panic(err)
	}
	set, _ := goja.AssertFunction(f)
	if _, err := set(goja.Undefined(), o, goja.StringFromUTF16(key), v); err != nil {
		panic(err)
	}
}

// take cuts n elements off a stock.
func take[T any](stock *[]T, n int) []T {
	if n > len(*stock) {
		if n > 64 {
			return make([]T, n)
		}
		*stock = make([]T, 128)
	}
	part := (*stock)[:n:n]
	*stock = (*stock)[n:]
	return part
}

var proxyType = reflect.TypeFor[goja.Proxy]()

// Settle makes sure that v, should it be an object of a Tree that nothing has touched yet, is there, so that Go code
// that asks what kind of object it is gets the right answer. It runs no code of a handler.
func Settle(v goja.Value) {
	o, ok := v.(*goja.Object)
	if !ok || o.ExportType() != proxyType {
		return
	}
	p, _ := o.Export().(goja.Proxy)
	if handler := p.Handler(); handler != nil {
		if c, ok := handler.Export().(*container); ok {
			c.settle()
		}
	}
}

// Known reports whether o was made from the text, be it changed since or not.
func (t *Tree) Known(o *goja.Object) bool {
	return t.known[o] != nil
}

// Span returns where in the text o stood, when it came from there and neither
// it nor anything below it was changed: then those bytes are its JSON. It looks at the members of all that was
// touched, and runs the getters of those that were replaced by accessors, so
// it may panic with what they throw.
func (t *Tree) Span(o *goja.Object) (start, end int, ok bool) {
	c := t.known[o]
	if c == nil {
		return 0, 0, false
	}
	// A toJSON that was put on a prototype speaks for every object.
	if t.objects.Get("toJSON") != nil || t.arrayPrototype().Get("toJSON") != nil {
		return 0, 0, false
	}
	if !c.untouched() {
		return 0, 0, false
	}
	return c.start, int(t.index[c.index].End), true
}

// untouched compares the object with what it was filled with.
func (c *container) untouched() bool {
	if c.waits {
		for _, o := range c.given {
			if !c.tree.known[o].untouched() {
				return false
			}
		}
		return true
	}
	o, values := c.object, c.values
	if c.array {
		if o.Prototype() != c.tree.arrayPrototype() || o.Get("length").ToInteger() != int64(len(values)) {
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
	if c.odd || o.Prototype() != c.tree.objects {
		return false
	}
	keys := c.keys
	if c.irregular {
		keys, values = ordered(keys, values)
	}
	if !slices.Equal(o.Keys(), keys) {
		return false
	}
	for i, key := range keys {
		if !c.same(o.Get(key), values[i]) {
			return false
		}
	}
	return true
}

func (c *container) same(now, was goja.Value) bool {
	if now == nil { // a hole in an array
		return false
	}
	if o, ok := was.(*goja.Object); ok {
		return now == was && c.tree.known[o].untouched()
	}
	if _, ok := now.(*goja.Object); ok {
		return false
	}
	return now.SameAs(was)
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
