package jsvalue

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/dop251/goja"
)

// The bounds of what an Inspector prints of one value, mostly those of Node.js.
const (
	inspectDepth  = 2
	inspectItems  = 100
	inspectKeys   = 200
	inspectString = 10_000 // bytes
	inspectNodes  = 2_000
	inspectWidth  = 72
)

// Inspector prints values for people, in the manner of Node's util.inspect. It
// runs no getters of properties and no proxy traps, and what it prints is bounded.
// Code that was put in the place of built-in methods may run.
type Inspector struct {
	Runtime *goja.Runtime
	// Error prints an error with its stack; nil: name and message.
	Error func(*goja.Object) string

	descriptor goja.Callable // Object.getOwnPropertyDescriptor
	open       []*goja.Object
	nodes      int
}

// Format is what console.log prints of its arguments: the first may be a format
// with %s, %d, %i, %f, %j, %o, %O, %c and %%; the others are joined by spaces.
// It never panics because of a value.
func (in *Inspector) Format(args []goja.Value) string {
	var b strings.Builder
	if len(args) > 1 {
		if format, ok := args[0].(goja.String); ok && strings.Contains(format.String(), "%") {
			args = in.expand(&b, format.String(), args[1:])
			if len(args) > 0 {
				b.WriteByte(' ')
			}
		}
	}
	for i, v := range args {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(in.top(v))
	}
	return b.String()
}

// expand writes format with its verbs replaced, and returns the arguments left over.
func (in *Inspector) expand(b *strings.Builder, format string, args []goja.Value) []goja.Value {
	for {
		at := strings.IndexByte(format, '%')
		if at < 0 || at+1 == len(format) {
			b.WriteString(format)
			return args
		}
		verb := format[at+1]
		if verb == '%' {
			b.WriteString(format[:at+1])
			format = format[at+2:]
			continue
		}
		if len(args) == 0 || !strings.ContainsRune("sdifjoOc", rune(verb)) {
			b.WriteString(format[:at+2])
			format = format[at+2:]
			continue
		}
		b.WriteString(format[:at])
		format = format[at+2:]
		v := args[0]
		args = args[1:]
		switch verb {
		case 's':
			b.WriteString(in.top(v))
		case 'd', 'i', 'f':
			if _, ok := v.(*goja.Object); ok {
				b.WriteString("NaN")
			} else if _, ok := v.(*goja.Symbol); ok {
				b.WriteString("NaN")
			} else if goja.IsBigInt(v) {
				b.WriteString(v.String() + "n")
			} else if verb == 'i' && goja.IsNumber(v) && !goja.IsNaN(v) && !goja.IsInfinity(v) {
				b.WriteString(strconv.FormatInt(v.ToInteger(), 10))
			} else {
				b.WriteString(v.ToNumber().String())
			}
		case 'j':
			b.WriteString(in.json(v))
		case 'c':
		default:
			b.WriteString(in.value(v))
		}
	}
}

func (in *Inspector) json(v goja.Value) string {
	e := Encoder{Runtime: in.Runtime, Max: inspectString}
	var text []byte
	var err error
	if ex := in.Runtime.Try(func() { text, err = e.Append(nil, v) }); ex != nil || err != nil {
		return "[not JSON]"
	}
	return string(text)
}

// top prints a whole argument: strings as they are.
func (in *Inspector) top(v goja.Value) string {
	if s, ok := v.(goja.String); ok {
		return shorten(s.String())
	}
	return in.value(v)
}

// Value prints one value as it would stand inside of another.
func (in *Inspector) value(v goja.Value) (text string) {
	in.open, in.nodes = in.open[:0], 0
	if ex := in.Runtime.Try(func() { text = in.format(v, 0) }); ex != nil {
		return "[cannot be shown]"
	}
	return text
}

func shorten(s string) string {
	if len(s) <= inspectString {
		return s
	}
	cut := inspectString
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return fmt.Sprintf("%s... %d more bytes", s[:cut], len(s)-cut)
}

func quote(s string) string {
	s = shorten(s)
	mark := byte('\'')
	if strings.Contains(s, "'") {
		if !strings.Contains(s, `"`) {
			mark = '"'
		} else if !strings.Contains(s, "`") {
			mark = '`'
		}
	}
	var b strings.Builder
	b.WriteByte(mark)
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\\':
			b.WriteString(`\\`)
		case r == rune(mark):
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\x%02X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte(mark)
	return b.String()
}

func (in *Inspector) format(v goja.Value, depth int) string {
	in.nodes++
	switch v := v.(type) {
	case nil:
		return "undefined"
	case goja.String:
		return quote(v.String())
	case *goja.Symbol:
		return "Symbol(" + v.String() + ")"
	case *goja.Object:
		return in.object(v, depth)
	}
	switch {
	case goja.IsBigInt(v):
		return v.String() + "n"
	case goja.IsNumber(v) && v.ToFloat() == 0 && v.SameAs(negativeZero):
		return "-0"
	}
	return v.String()
}

var negativeZero = func() goja.Value {
	v, err := goja.New().RunString("-0")
	if err != nil {
		panic(err)
	}
	return v
}()

func (in *Inspector) object(o *goja.Object, depth int) string {
	if Kind(o) == KindProxy {
		for Kind(o) == KindProxy {
			p, _ := o.Export().(goja.Proxy)
			if o = p.Target(); o == nil {
				return "<Revoked Proxy>"
			}
		}
	}
	if slices.Contains(in.open, o) {
		return "[Circular]"
	}
	class := o.ClassName()
	if IsFunction(o) { // functions that are async or generators too
		class = "Function"
	}
	constructor := in.constructor(o)
	name := constructor // to print in front
	if name == "" {
		name = "[" + class + ": null prototype]"
	}
	var head string
	var parts []string
	brackets := "{}"
	deep := depth > inspectDepth || in.nodes > inspectNodes
	in.open = append(in.open, o)
	defer func() { in.open = in.open[:len(in.open)-1] }()
	keys := true // whether own properties follow

	switch class {
	case "Array":
		if length, ok := in.own(o, "length"); deep && ok && length.ToInteger() > 0 {
			return "[Array]"
		}
		brackets = "[]"
		if constructor != "Array" {
			length, _ := in.own(o, "length")
			head = fmt.Sprintf("%s(%s)", name, length)
		}
		parts = in.items(o, depth)
		keys = false
	case "Function":
		head = in.function(o)
	case "Error":
		head = in.error(o)
		if len(in.open) > 1 && !strings.Contains(head, "\n") {
			head = "[" + head + "]"
		}
	case "RegExp":
		head = "/" + in.internal(o, "source") + "/" + in.internal(o, "flags")
	case "Date":
		head = in.date(o)
	case "Number", "Boolean":
		head = fmt.Sprintf("[%s: %v]", class, o.Export())
	case "String":
		length, _ := in.own(o, "length")
		head = fmt.Sprintf("[String of %s characters]", length)
		keys = false
	default:
		switch Kind(o) {
		case KindPromise:
			head = in.promise(o, depth)
			if deep {
				return "[Promise]"
			}
			return head
		case KindMap, KindSet:
			if deep {
				return "[" + name + "]"
			}
			head, parts = in.collection(o, name, depth)
		case KindBytes, KindTyped:
			return in.bytes(o, name)
		case KindBigInt:
			head = fmt.Sprintf("[BigInt: %vn]", o.Export())
		default:
			if deep && len(o.Keys()) > 0 {
				return "[" + strings.Trim(name, "[]") + "]"
			}
			if name != "Object" {
				head = name
			}
		}
	}
	bare := class == "Function" || class == "Error" || class == "RegExp" || class == "Date" || class == "Number" || class == "Boolean" || class == "String" || Kind(o) == KindBigInt
	if keys && !deep {
		parts = append(parts, in.properties(o, depth)...)
	}
	if bare && len(parts) == 0 {
		return head
	}
	return layout(head, brackets, parts)
}

// layout joins the parts on one line, or on lines of their own when they are
// too many.
func layout(head, brackets string, parts []string) string {
	if head != "" {
		head += " "
	}
	if len(parts) == 0 {
		return head + brackets
	}
	width := len(head) + 4
	for _, p := range parts {
		width += len(p) + 2
		if strings.Contains(p, "\n") {
			width += inspectWidth
		}
	}
	if width <= inspectWidth {
		return head + brackets[:1] + " " + strings.Join(parts, ", ") + " " + brackets[1:]
	}
	for i, p := range parts {
		parts[i] = "  " + strings.ReplaceAll(p, "\n", "\n  ")
	}
	return head + brackets[:1] + "\n" + strings.Join(parts, ",\n") + "\n" + brackets[1:]
}

func (in *Inspector) items(o *goja.Object, depth int) []string {
	var parts []string
	length := int64(0)
	if v, ok := in.own(o, "length"); ok {
		length = v.ToInteger()
	}
	holes := 0
	flush := func() {
		if holes == 1 {
			parts = append(parts, "<1 empty item>")
		} else if holes > 1 {
			parts = append(parts, fmt.Sprintf("<%d empty items>", holes))
		}
		holes = 0
	}
	i := int64(0)
	for ; i < length && i < inspectItems && in.nodes <= inspectNodes; i++ {
		text, ok := in.property(o, strconv.FormatInt(i, 10), depth)
		if !ok {
			holes++
			continue
		}
		flush()
		parts = append(parts, text)
	}
	flush()
	if rest := length - i; rest > 0 {
		parts = append(parts, more(rest, "item"))
	}
	return parts
}

func more(n int64, what string) string {
	if n == 1 {
		return "... 1 more " + what
	}
	return fmt.Sprintf("... %d more %ss", n, what)
}

// properties prints the enumerable own properties as "key: value".
func (in *Inspector) properties(o *goja.Object, depth int) []string {
	var parts []string
	keys := o.Keys()
	for i, key := range keys {
		if i == inspectKeys || in.nodes > inspectNodes {
			parts = append(parts, more(int64(len(keys)-i), "property"))
			break
		}
		text, ok := in.property(o, key, depth)
		if !ok {
			continue
		}
		if Key(key) != key {
			key = quote(key)
		}
		parts = append(parts, key+": "+text)
	}
	return parts
}

// property prints the value of an own property without running its getter.
func (in *Inspector) property(o *goja.Object, key string, depth int) (string, bool) {
	d := in.describe(o, key)
	if d == nil {
		return "", false
	}
	get, set := d.Get("get"), d.Get("set")
	hasGet, hasSet := get != nil && !goja.IsUndefined(get), set != nil && !goja.IsUndefined(set)
	switch {
	case hasGet && hasSet:
		return "[Getter/Setter]", true
	case hasGet:
		return "[Getter]", true
	case hasSet:
		return "[Setter]", true
	}
	return in.format(d.Get("value"), depth+1), true
}

// describe returns the descriptor of an own property, or nil.
func (in *Inspector) describe(o *goja.Object, key string) *goja.Object {
	if in.descriptor == nil {
		object, ok := in.Runtime.GlobalObject().Get("Object").(*goja.Object)
		if !ok {
			return nil
		}
		if in.descriptor, ok = goja.AssertFunction(object.Get("getOwnPropertyDescriptor")); !ok {
			return nil
		}
	}
	v, err := in.descriptor(goja.Undefined(), o, in.Runtime.ToValue(key))
	if err != nil {
		return nil
	}
	d, _ := v.(*goja.Object)
	return d
}

// own returns the value of an own data property.
func (in *Inspector) own(o *goja.Object, key string) (goja.Value, bool) {
	d := in.describe(o, key)
	if d == nil {
		return nil, false
	}
	v := d.Get("value")
	return v, v != nil
}

// constructor is the name of what made o, or "".
func (in *Inspector) constructor(o *goja.Object) string {
	for p, n := o.Prototype(), 0; p != nil && n < inspectItems; p, n = p.Prototype(), n+1 {
		if Kind(p) == KindProxy {
			return ""
		}
		if v, ok := in.own(p, "constructor"); ok {
			if f, ok := v.(*goja.Object); ok {
				if name, ok := in.own(f, "name"); ok {
					if s, ok := name.(goja.String); ok && s.Length() > 0 {
						return shorten(s.String())
					}
				}
			}
		}
	}
	return ""
}

func (in *Inspector) function(o *goja.Object) string {
	name := ""
	if v, ok := in.own(o, "name"); ok {
		if s, ok := v.(goja.String); ok {
			name = shorten(s.String())
		}
	}
	// The prototype of a class cannot be replaced, that of a function can.
	if d := in.describe(o, "prototype"); d != nil && !d.Get("writable").ToBoolean() {
		if name == "" {
			name = "(anonymous)"
		}
		return "[class " + name + "]"
	}
	if name == "" {
		return "[Function (anonymous)]"
	}
	return "[Function: " + name + "]"
}

func (in *Inspector) error(o *goja.Object) string {
	if in.Error != nil {
		return in.Error(o)
	}
	name, message := in.constructor(o), ""
	if v, ok := in.own(o, "message"); ok {
		if s, ok := v.(goja.String); ok {
			message = shorten(s.String())
		}
	}
	if message == "" {
		return name
	}
	return name + ": " + message
}

// internal reads a built-in accessor of the prototype.
func (in *Inspector) internal(o *goja.Object, name string) string {
	return shorten(o.Get(name).String())
}

func (in *Inspector) date(o *goja.Object) string {
	if iso, ok := goja.AssertFunction(o.Get("toISOString")); ok {
		if v, err := iso(o); err == nil {
			return v.String()
		}
	}
	return "Invalid Date"
}

func (in *Inspector) promise(o *goja.Object, depth int) string {
	p, _ := o.Export().(*goja.Promise)
	switch p.State() {
	case goja.PromiseStatePending:
		return "Promise { <pending> }"
	case goja.PromiseStateRejected:
		return "Promise { <rejected> " + in.format(p.Result(), depth+1) + " }"
	}
	return "Promise { " + in.format(p.Result(), depth+1) + " }"
}

// collection prints the entries of a Map or a Set, which it exports in
// order to run no code of the handler.
func (in *Inspector) collection(o *goja.Object, name string, depth int) (head string, parts []string) {
	size := int64(0)
	if v := o.Get("size"); v != nil {
		size = v.ToInteger()
	}
	i := int64(0)
	in.Runtime.ForOf(o, func(entry goja.Value) bool {
		if i >= inspectItems || in.nodes > inspectNodes {
			return false
		}
		i++
		if Kind(o) == KindMap {
			if pair, ok := entry.(*goja.Object); ok {
				parts = append(parts, in.format(pair.Get("0"), depth+1)+" => "+in.format(pair.Get("1"), depth+1))
			}
			return true
		}
		parts = append(parts, in.format(entry, depth+1))
		return true
	})
	if rest := size - i; rest > 0 {
		parts = append(parts, more(rest, "item"))
	}
	return fmt.Sprintf("%s(%d)", name, size), parts
}

func (in *Inspector) bytes(o *goja.Object, name string) string {
	if b, ok := o.Export().(goja.ArrayBuffer); ok {
		return fmt.Sprintf("ArrayBuffer { byteLength: %d }", len(b.Bytes()))
	}
	length := o.Get("length").ToInteger()
	var parts []string
	if name == "Buffer" {
		for i := int64(0); i < length && i < 50; i++ {
			parts = append(parts, fmt.Sprintf("%02x", o.Get(strconv.FormatInt(i, 10)).ToInteger()))
		}
		text := "<Buffer"
		if len(parts) > 0 {
			text += " " + strings.Join(parts, " ")
		}
		if length > 50 {
			text += " " + more(length-50, "byte")
		}
		return text + ">"
	}
	for i := int64(0); i < length && i < inspectItems; i++ {
		parts = append(parts, o.Get(strconv.FormatInt(i, 10)).String())
	}
	if length > inspectItems {
		parts = append(parts, more(length-inspectItems, "item"))
	}
	return layout(fmt.Sprintf("%s(%d)", name, length), "[]", parts)
}
