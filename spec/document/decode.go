package document

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"switchhook/spec/diagnostic"
)

// Decoder is implemented by types that decode themselves. It returns what is
// wrong with the node.
type Decoder interface {
	DecodeNode(n *Node) diagnostic.List
}

// Option changes how Decode works.
type Option func(*decoding)

// AllowUnknown ignores keys that the struct does not have (at every depth).
func AllowUnknown() Option { return func(d *decoding) { d.allowUnknown = true } }

type decoding struct {
	allowUnknown bool
	list         diagnostic.List
}

// Decode stores the node in what into points at, and reports every mistake at
// once: unknown keys (with a suggestion), wrong types, missing required keys.
//
// Struct fields are named by a tag: `yaml:"name"`, `yaml:"name,required"`;
// other spellings follow with bars: `yaml:"getEventSelector|get-event-selector"`.
// Fields without the tag are left alone. Supported are strings,
// booleans, integers, floats, time.Duration ("1m30s"), json.RawMessage,
// *Node (the node itself), any (as encoding/json would give it), pointers,
// slices, maps with string keys, structs, and Decoders. A null leaves the
// field as it is, and counts as missing where the key is required. A scalar given for a list
// of scalars is an error. Values that Expand put in are never shown.
func (n *Node) Decode(into any, options ...Option) diagnostic.List {
	var d decoding
	for _, o := range options {
		o(&d)
	}
	v := reflect.ValueOf(into).Elem()
	if n.Kind == Null && v.Kind() == reflect.Struct { // an empty file lacks what is required
		d.missing(n, fieldsOf(v.Type()), nil)
		return d.list
	}
	d.decode(n, v)
	return d.list
}

var (
	nodeType     = reflect.TypeFor[*Node]()
	rawType      = reflect.TypeFor[json.RawMessage]()
	durationType = reflect.TypeFor[time.Duration]()
)

func (d *decoding) wrong(n *Node, want string) {
	got := n.Kind.String()
	switch {
	case n.Kind == String && !n.expanded:
		got += " (" + shorten(n.Value) + ")"
	case n.Kind == Int, n.Kind == Float, n.Kind == Bool:
		got += " (" + n.Value + ")"
	}
	d.add(n.Errorf("wrong-type", "expected %s, got %s", want, got))
}

func (d *decoding) add(findings ...diagnostic.Diagnostic) {
	d.list.Add(findings[:min(len(findings), max(0, maxFindings-len(d.list)))]...)
}

// shown is a value in a message; what an expansion yielded may be a secret.
func (n *Node) shown() string {
	if n.expanded {
		return "what this expands to"
	}
	return shorten(n.Value)
}

func shorten(s string) string {
	if r := []rune(s); len(r) > 40 {
		s = string(r[:40]) + "…"
	}
	return strconv.Quote(s)
}

func (d *decoding) decode(n *Node, v reflect.Value) {
	if v.Type() == nodeType {
		v.Set(reflect.ValueOf(n))
		return
	}
	if v.Type() == rawType {
		v.SetBytes(n.JSON())
		return
	}
	if n.Kind == Null {
		return
	}
	if v.CanAddr() {
		if self, ok := v.Addr().Interface().(Decoder); ok {
			d.add(self.DecodeNode(n)...)
			return
		}
	}
	if v.Type() == durationType {
		d.decodeDuration(n, v)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.decode(n, v.Elem())
	case reflect.Interface:
		var value any
		_ = json.Unmarshal(n.JSON(), &value) // JSON() is always valid
		if value != nil {
			v.Set(reflect.ValueOf(value))
		}
	case reflect.String:
		switch {
		case n.Kind == String:
			v.SetString(n.Value)
		case n.Kind == Int || n.Kind == Float || n.Kind == Bool:
			d.add(withHint(n.Errorf("wrong-type", "expected a string, got %s", n.Kind), "put it in quotes: "+shorten(n.Value)))
		default:
			d.wrong(n, "a string")
		}
	case reflect.Bool:
		b, ok := n.Bool()
		if n.expanded {
			var err error
			b, err = strconv.ParseBool(n.Value)
			ok = err == nil
		}
		if !ok {
			d.wrong(n, "true or false")
			return
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(strings.ReplaceAll(n.Value, "_", ""), 0, 64)
		switch {
		case n.isNumber(Int) && (errors.Is(err, strconv.ErrRange) || err == nil && v.OverflowInt(i)):
			d.add(n.Errorf("out-of-range", "%s is too large or too small a number", n.shown()))
		case !n.isNumber(Int) || err != nil:
			d.wrong(n, "a whole number")
		default:
			v.SetInt(i)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u, err := strconv.ParseUint(strings.ReplaceAll(n.Value, "_", ""), 0, 64)
		switch {
		case n.isNumber(Int) && (errors.Is(err, strconv.ErrRange) || err == nil && v.OverflowUint(u)):
			d.add(n.Errorf("out-of-range", "%s is too large a number", n.shown()))
		case !n.isNumber(Int) || err != nil:
			d.wrong(n, "a whole number, zero or above")
		default:
			v.SetUint(u)
		}
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(strings.ReplaceAll(n.Value, "_", ""), 64)
		if !n.isNumber(Int, Float) || err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			d.wrong(n, "a number")
			return
		}
		v.SetFloat(f)
	case reflect.Slice:
		if n.Kind != List {
			d.wrong(n, "a list")
			return
		}
		slice := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
		for i, item := range n.items {
			d.decode(item, slice.Index(i))
		}
		v.Set(slice)
	case reflect.Map:
		if n.Kind != Map {
			d.wrong(n, "a map")
			return
		}
		m := reflect.MakeMapWithSize(v.Type(), len(n.entries))
		for _, e := range n.entries {
			item := reflect.New(v.Type().Elem()).Elem()
			d.decode(e.Value, item)
			m.SetMapIndex(reflect.ValueOf(e.Key).Convert(v.Type().Key()), item)
		}
		v.Set(m)
	case reflect.Struct:
		d.decodeStruct(n, v)
	default:
		panic("document: cannot decode into " + v.Type().String())
	}
}

// isNumber reports whether the node may be read as a number: it is one of the kinds, or expanded.
func (n *Node) isNumber(kinds ...Kind) bool { return n.expanded || slices.Contains(kinds, n.Kind) }

func withHint(d diagnostic.Diagnostic, hint string) diagnostic.Diagnostic {
	d.Hint = hint
	return d
}

func (d *decoding) decodeDuration(n *Node, v reflect.Value) {
	if n.Kind != String {
		if n.Value == "0" {
			v.SetInt(0)
			return
		}
		d.add(withHint(n.Errorf("wrong-type", "expected a duration, got %s", n.Kind), durationHint))
		return
	}
	duration, err := time.ParseDuration(n.Value)
	switch {
	case err != nil:
		d.add(withHint(n.Errorf("bad-duration", "%s is not a duration", n.shown()), durationHint))
	case duration < 0:
		d.add(n.Errorf("bad-duration", "a duration cannot be negative"))
	default:
		v.SetInt(int64(duration))
	}
}

const durationHint = "a duration has a unit, such as 500ms, 5s, 30m or 2h"

type structField struct {
	index    int
	names    []string
	required bool
}

func (d *decoding) decodeStruct(n *Node, v reflect.Value) {
	if n.Kind != Map {
		d.wrong(n, "a map")
		return
	}
	fields := fieldsOf(v.Type())
	filled := make([]string, len(fields)) // the keys that filled them
	for _, e := range n.entries {
		i := slices.IndexFunc(fields, func(f structField) bool { return slices.Contains(f.names, e.Key) })
		if i < 0 {
			if !d.allowUnknown {
				d.add(UnknownKey(e, namesOf(fields)...))
			}
			continue
		}
		if other := filled[i]; other != "" {
			d.add(e.KeyNode.Errorf("duplicate-key", "%q and %q are the same thing; keep one", other, e.Key))
			continue
		}
		filled[i] = e.Key
		if e.Value.Kind == Null && fields[i].required {
			d.add(e.Value.Errorf("missing-value", "the key %q needs a value", e.Key))
			continue
		}
		d.decode(e.Value, v.Field(fields[i].index))
	}
	d.missing(n, fields, filled)
}

// missing reports the required fields that no key filled; filled is nil when there are no keys.
func (d *decoding) missing(n *Node, fields []structField, filled []string) {
	for i, f := range fields {
		if f.required && (filled == nil || filled[i] == "") {
			d.add(n.Errorf("missing-key", "the key %q is missing", f.names[0]))
		}
	}
}

// known has the fields of struct types that were asked for: reflect.Type -> []structField.
var known sync.Map

func fieldsOf(t reflect.Type) []structField {
	if fields, ok := known.Load(t); ok {
		return fields.([]structField)
	}
	var fields []structField
	for i := range t.NumField() {
		tag, ok := t.Field(i).Tag.Lookup("yaml")
		if !ok {
			continue
		}
		names, flags, _ := strings.Cut(tag, ",")
		fields = append(fields, structField{index: i, names: strings.Split(names, "|"), required: flags == "required"})
	}
	known.Store(t, fields)
	return fields
}

func namesOf(fields []structField) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.names[0]
	}
	return names
}

// UnknownKey is the error for a key that is not among known.
func UnknownKey(e Entry, known ...string) diagnostic.Diagnostic {
	d := e.KeyNode.Errorf("unknown-key", "the key %q is not known here", e.Key)
	d.Hint = diagnostic.DidYouMean(e.Key, known)
	if d.Hint == "" && len(known) > 0 && len(known) <= 16 {
		d.Hint = "known are: " + strings.Join(slices.Sorted(slices.Values(known)), ", ")
	}
	return d
}

// UnknownName is the error for a string that must be one of known, such as a
// reference to something defined elsewhere; what says what it names ("connector").
func (n *Node) UnknownName(what string, known []string) diagnostic.Diagnostic {
	d := n.Errorf("unknown-name", "there is no %s %s", what, n.shown())
	d.Hint = diagnostic.DidYouMean(n.Value, known)
	if d.Hint == "" && len(known) > 0 && len(known) <= 16 {
		d.Hint = "there are: " + strings.Join(slices.Sorted(slices.Values(known)), ", ")
	}
	return d
}
