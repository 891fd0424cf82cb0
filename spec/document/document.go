// Package document reads YAML files (JSON is YAML too) and remembers where
// everything stood, so that whoever finds a mistake can point at it. It also
// decodes nodes into Go structs strictly. It is the only package that knows
// the YAML library. spec, config, match, verify and fixture use it.
package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"switchhook/spec/diagnostic"
)

// MaxSize is the largest source taken, in bytes. The nodes of a document take up to a
// few hundred times its size in memory, usually twenty times.
const MaxSize = 16 << 20

// Further limits of one document.
const (
	// maxAliased bounds how many nodes aliases and merges may expand to.
	maxAliased = 100_000
	maxDepth   = 200
	// maxFindings bounds how much is said about one document.
	maxFindings = 100
)

// Kind is what a node is.
type Kind uint8

// The kinds of nodes.
const (
	Null Kind = iota
	Bool
	Int
	Float
	String
	List
	Map
)

func (k Kind) String() string {
	return [...]string{"nothing", "a boolean", "a whole number", "a number", "a string", "a list", "a map"}[k]
}

// Document is one YAML document.
type Document struct {
	// File is the path as it is shown in diagnostics.
	File string
	// Root is never nil; it is of kind Null when the file is empty.
	Root   *Node
	source []byte
	index  sync.Once
	starts []int // offsets in source at which lines begin
}

// Node is a value in a document. Aliases and merge keys are resolved.
type Node struct {
	Kind Kind
	// Quoted reports that a scalar was in quotes or a block, so it is meant as a string.
	Quoted bool
	// Block reports a block scalar (| or >): the text begins on the line
	// after Line, indented. See Code.
	Block bool
	// Folded reports a block scalar of the kind >, whose lines are joined, so that what it contains
	// has other lines than the file.
	Folded   bool
	expanded bool // here, where it takes no room: there are many nodes
	// Line and Column count from 1, Column in characters. Those of an alias are where the alias stands.
	Line, Column int
	// Value is the text of a scalar (for a string: its value).
	Value string
	// Tag is a local tag such as "!exact"; "" for none.
	Tag string

	entries []Entry
	items   []*Node
	doc     *Document
	// alias is the name of the alias that stands at Line and Column; the
	// text itself then is at the anchor, from.
	alias string
	from  position
}

type position struct{ line, column int }

// Entry is one key of a map, in the order of the file.
type Entry struct {
	Key     string
	KeyNode *Node
	Value   *Node
}

// Parse reads source, which must hold exactly one document (or none). File is
// only used in diagnostics. When the list has errors the document is not
// usable, but never nil. Source must not change afterwards.
func Parse(file string, source []byte) (*Document, diagnostic.List) {
	doc := &Document{File: file, source: source}
	doc.Root = &Node{Kind: Null, Line: 1, Column: 1, doc: doc}
	fail := func(at position, code, message, hint string) (*Document, diagnostic.List) {
		return doc, diagnostic.List{{Code: code, File: file, Line: at.line, Column: at.column, Message: message,
			Hint: hint, Snippet: doc.snippet(at.line)}}
	}
	if len(source) > MaxSize {
		doc.source = nil
		return fail(position{}, "file-too-large", fmt.Sprintf("the file is %d bytes long, more than the %d allowed", len(source), MaxSize), "")
	}
	if offset, what := unreadable(source); offset >= 0 {
		code, hint := "invalid-utf8", "save the file as UTF-8"
		if what != notUTF8 {
			code, hint = "control-character", "in double quotes it can be written as an escape, such as \"\\x1b\""
		}
		return fail(doc.positionOf(offset), code, what, hint)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(source))
	var root yaml.Node
	if err := decodeNode(decoder, &root); err != nil {
		if errors.Is(err, io.EOF) {
			return doc, nil
		}
		at, message, hint := doc.syntaxError(decoder, err)
		return fail(at, "yaml-syntax", message, hint)
	}
	var second yaml.Node
	if err := decodeNode(decoder, &second); err == nil {
		return fail(position{second.Line, second.Column}, "several-documents", "the file holds more than one YAML document",
			"remove the line \"---\" and what follows, or use two files")
	} else if !errors.Is(err, io.EOF) {
		at, message, hint := doc.syntaxError(decoder, err)
		return fail(at, "yaml-syntax", message, hint)
	}
	c := converter{doc: doc, open: map[*yaml.Node]bool{}}
	if len(root.Content) > 0 {
		doc.Root = c.convert(root.Content[0], 0)
	}
	return doc, c.list
}

// decodeNode turns a panic of the YAML library into an error.
func decodeNode(d *yaml.Decoder, into *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: the parser gave up: %v", r)
		}
	}()
	return d.Decode(into)
}

const notUTF8 = "the file is not UTF-8 text"

// unreadable finds the first byte that is not text; offset is -1 when there is none.
func unreadable(source []byte) (offset int, what string) {
	for i := 0; i < len(source); {
		if c := source[i]; c >= 0x20 && c < 0x7f || c == '\n' || c == '\t' || c == '\r' {
			i++
			continue
		}
		r, size := utf8.DecodeRune(source[i:])
		if r == utf8.RuneError && size == 1 {
			return i, notUTF8
		}
		if r < 0x20 || r >= 0x7f && r < 0xa0 && r != 0x85 || r == 0xFFFE || r == 0xFFFF {
			return i, fmt.Sprintf("the control character %U cannot stand in YAML", r)
		}
		i += size
	}
	return -1, ""
}

// converter turns the library's nodes into ours.
type converter struct {
	doc     *Document
	list    diagnostic.List
	open    map[*yaml.Node]bool // on the path from the root: an alias to one is a cycle
	aliases int                 // on the path from the root
	aliased int                 // nodes made below an alias
	full    bool
}

func (c *converter) add(d diagnostic.Diagnostic) {
	if len(c.list) < maxFindings {
		c.list.Add(d)
	}
}

func (c *converter) convert(y *yaml.Node, depth int) *Node {
	n := &Node{Line: y.Line, Column: y.Column, doc: c.doc}
	if c.aliases > 0 {
		c.aliased++
	}
	if c.full || c.aliased > maxAliased || depth > maxDepth {
		if !c.full {
			c.full = true
			what := fmt.Sprintf("the document is nested deeper than %d levels", maxDepth)
			if depth <= maxDepth {
				what = fmt.Sprintf("the aliases of the document expand to more than %d values", maxAliased)
			}
			c.add(n.Errorf("too-complex", "%s", what))
		}
		return n
	}
	if strings.HasPrefix(y.Tag, "!") && !strings.HasPrefix(y.Tag, "!!") && y.Tag != "!" {
		n.Tag = y.Tag
	}
	switch y.Kind {
	case yaml.AliasNode:
		if c.open[y.Alias] {
			n.alias = y.Value
			c.add(n.Errorf("alias-cycle", "the alias *%s stands inside what it names", y.Value))
			return n
		}
		c.aliases++
		target := c.convert(y.Alias, depth+1)
		c.aliases--
		if target.alias == "" {
			target.from = position{target.Line, target.Column}
		}
		target.alias, target.Line, target.Column = y.Value, y.Line, y.Column
		return target
	case yaml.SequenceNode:
		n.Kind = List
		c.open[y] = true
		for _, item := range y.Content {
			n.items = append(n.items, c.convert(item, depth+1))
		}
		delete(c.open, y)
	case yaml.MappingNode:
		n.Kind = Map
		c.open[y] = true
		c.convertMap(n, y, depth)
		delete(c.open, y)
	default:
		if !n.scalar(y) {
			c.add(n.Errorf("bad-tag", "the value %s is not what its tag %s says", shorten(y.Value), y.Tag))
		}
	}
	return n
}

func (c *converter) convertMap(n *Node, y *yaml.Node, depth int) {
	seen := make(map[string]int, len(y.Content)/2)
	var merged []Entry
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		keyNode := &Node{Kind: String, Line: key.Line, Column: key.Column, Value: key.Value, Quoted: quoted(key), doc: c.doc}
		if key.Kind != yaml.ScalarNode {
			keyNode.Value = ""
			c.add(keyNode.Errorf("bad-key", "a key must be a plain word or a string"))
			continue
		}
		v := c.convert(value, depth+1)
		if key.Tag == "!!merge" {
			merged = append(merged, c.merge(v)...)
			continue
		}
		if line, dup := seen[key.Value]; dup {
			d := keyNode.Errorf("duplicate-key", "the key %q stands here twice; first on line %d", key.Value, line)
			if v.Kind == Map || v.Kind == List {
				d.Hint = fmt.Sprintf("put what it has under the first one, on line %d", line)
			}
			c.add(d)
			continue
		}
		seen[key.Value] = key.Line
		n.entries = append(n.entries, Entry{Key: key.Value, KeyNode: keyNode, Value: v})
	}
	for _, e := range merged {
		if _, have := seen[e.Key]; !have {
			seen[e.Key] = e.KeyNode.Line
			n.entries = append(n.entries, e)
		}
	}
}

// merge is what the value of a merge key (<<) adds to its map: the
// entries of a map, or of all maps in a list, of which earlier ones win.
func (c *converter) merge(v *Node) []Entry {
	switch v.Kind {
	case Map:
		return v.entries
	case List:
		var entries []Entry
		for _, item := range v.items {
			if item.Kind != Map {
				c.add(item.Errorf("bad-merge", "<< takes maps, not %s", item.Kind))
			}
			entries = append(entries, item.entries...)
		}
		return entries
	}
	c.add(v.Errorf("bad-merge", "<< takes a map, not %s", v.Kind))
	return nil
}

func quoted(y *yaml.Node) bool {
	return y.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
}

// scalar reports whether the value is of the type that its tag claims.
func (n *Node) scalar(y *yaml.Node) bool {
	n.Value = y.Value
	n.Quoted = quoted(y)
	n.Block = y.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0
	n.Folded = y.Style&yaml.FoldedStyle != 0
	tag := y.ShortTag()
	if n.Tag != "" && !n.Quoted { // a local tag: the kind is what the value would have without it
		tag = (&yaml.Node{Kind: yaml.ScalarNode, Value: y.Value}).ShortTag()
	}
	switch tag {
	case "!!null":
		n.Kind = Null
	case "!!bool":
		n.Kind = Bool
		return slices.Contains([]string{"true", "false", "yes", "no", "on", "off"}, strings.ToLower(y.Value))
	case "!!int":
		n.Kind = Int
		return n.number() != "null"
	case "!!float":
		n.Kind = Float
		return n.number() != "null" || strings.Trim(strings.ToLower(y.Value), ".+-") == "inf" || strings.ToLower(y.Value) == ".nan"
	default: // strings, timestamps, binary: what was written
		n.Kind = String
	}
	return true
}

// Entries are the keys of a map in the order of the file; nil for other kinds.
func (n *Node) Entries() []Entry { return n.entries }

// Keys are the names of a map's keys in the order of the file.
func (n *Node) Keys() []string {
	keys := make([]string, len(n.entries))
	for i, e := range n.entries {
		keys[i] = e.Key
	}
	return keys
}

// Items are the items of a list; nil for other kinds.
func (n *Node) Items() []*Node { return n.items }

// Get returns the value of a key of a map, or nil.
func (n *Node) Get(key string) *Node {
	if n == nil {
		return nil
	}
	for _, e := range n.entries {
		if e.Key == key {
			return e.Value
		}
	}
	return nil
}

// At follows keys and list positions ("0", "1", ...) and returns the node
// there, or the deepest one that exists. Schema validators name places so.
func (n *Node) At(path ...string) *Node {
	for _, p := range path {
		var next *Node
		if n.Kind == List {
			if i, err := strconv.Atoi(p); err == nil && i >= 0 && i < len(n.items) {
				next = n.items[i]
			}
		} else {
			next = n.Get(p)
		}
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

// EmptyMap returns a map without entries that stands where n does.
func (n *Node) EmptyMap() *Node { return &Node{Kind: Map, Line: n.Line, Column: n.Column, doc: n.doc} }

// With returns a copy of a map that also has a string under key, in the place
// of what stood there. What is wrong with it is reported where the map begins.
func (n *Node) With(key, value string) *Node {
	own := func() *Node {
		return &Node{Kind: String, Line: n.Line, Column: n.Column, Value: key, Quoted: true, doc: n.doc}
	}
	keyNode, text := own(), own()
	text.Value = value
	changed := *n
	changed.entries = slices.DeleteFunc(slices.Clone(n.entries), func(e Entry) bool { return e.Key == key })
	changed.entries = append(changed.entries, Entry{Key: key, KeyNode: keyNode, Value: text})
	return &changed
}

// Document returns the document that the node is of.
func (n *Node) Document() *Document { return n.doc }

// Bool returns the value of a boolean; ok is false for other kinds.
func (n *Node) Bool() (value, ok bool) {
	if n.Kind != Bool {
		return false, false
	}
	return strings.EqualFold(n.Value, "true") || strings.EqualFold(n.Value, "yes") || strings.EqualFold(n.Value, "on"), true
}

// JSON is the node as JSON, keys in the order of the file. Numbers keep their
// digits where JSON can say them, so large integers are not rounded. NaN and
// infinities become null.
func (n *Node) JSON() json.RawMessage {
	var b bytes.Buffer
	n.writeJSON(&b)
	return b.Bytes()
}

func (n *Node) writeJSON(b *bytes.Buffer) {
	switch n.Kind {
	case Null:
		b.WriteString("null")
	case Bool:
		v, _ := n.Bool()
		b.WriteString(strconv.FormatBool(v))
	case Int, Float:
		b.WriteString(n.number())
	case String:
		writeJSONString(b, n.Value)
	case List:
		b.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.writeJSON(b)
		}
		b.WriteByte(']')
	case Map:
		b.WriteByte('{')
		for i, e := range n.entries {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSONString(b, e.Key)
			b.WriteByte(':')
			e.Value.writeJSON(b)
		}
		b.WriteByte('}')
	}
}

func writeJSONString(b *bytes.Buffer, s string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	b.Truncate(b.Len() - 1)
}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

func (n *Node) number() string {
	if jsonNumber.MatchString(n.Value) {
		return n.Value
	}
	if n.Kind == Int {
		if i, err := strconv.ParseInt(strings.ReplaceAll(n.Value, "_", ""), 0, 64); err == nil {
			return strconv.FormatInt(i, 10)
		}
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(n.Value, "_", ""), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return "null"
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// Errorf makes an error that points at the node. Code is that of diagnostic.Diagnostic.
func (n *Node) Errorf(code, format string, args ...any) diagnostic.Diagnostic {
	d := diagnostic.Diagnostic{Code: code, File: n.doc.File, Line: n.Line, Column: n.Column,
		Message: fmt.Sprintf(format, args...), Snippet: n.doc.snippet(n.Line)}
	if end := n.end(); end > n.Column {
		d.EndLine, d.EndColumn = n.Line, end
	}
	return d
}

// Warnf is Errorf for a warning.
func (n *Node) Warnf(code, format string, args ...any) diagnostic.Diagnostic {
	d := n.Errorf(code, format, args...)
	d.Severity = diagnostic.Warning
	return d
}

// Code returns the text of a string that is source code in another language, and the
// line and column where its first character stands; indent is how many
// characters each further line is indented by in the file (0 unless Block).
// Position (l, c) of the code, both from 1, is position (line+l-1, c+indent) of the
// file, or (line, column+c-1) for l = 1 when not Block. For strings that are
// Folded, or not Block and have escapes or several lines, positions behind the first
// are approximate.
func (n *Node) Code() (text string, line, column, indent int) {
	at := position{n.Line, n.Column}
	if n.alias != "" {
		at = n.from
	}
	at = n.doc.skipProperties(at)
	if !n.Block {
		if n.Quoted {
			at.column++
		}
		return n.Value, at.line, at.column, 0
	}
	// The indentation is what the first line with text has in the file and not in the
	// value, which may begin with spaces when an indicator says so (|2).
	for i, text := range strings.Split(n.Value, "\n") {
		if strings.TrimSpace(text) == "" {
			continue
		}
		indent = max(0, leadingSpaces(n.doc.line(at.line+1+i))-leadingSpaces([]byte(text)))
		break
	}
	return n.Value, at.line + 1, indent + 1, indent
}

// Source is the document's text; not to be changed.
func (d *Document) Source() []byte { return d.source }

// Expand replaces every string (not keys) by what expand makes of it; a scalar that changed
// may then be decoded as a number or boolean too. Errors become diagnostics at their places.
func (d *Document) Expand(expand func(string) (string, error)) diagnostic.List {
	var list diagnostic.List
	d.Root.expand(expand, &list)
	return list
}

func (n *Node) expand(expand func(string) (string, error), list *diagnostic.List) {
	switch n.Kind {
	case String:
		value, err := expand(n.Value)
		if err != nil {
			list.Add(n.Errorf("bad-expansion", "%s", err))
			return
		}
		if value != n.Value {
			n.Value, n.expanded = value, true
		}
	case List:
		for _, item := range n.items {
			item.expand(expand, list)
		}
	case Map:
		for _, e := range n.entries {
			e.Value.expand(expand, list)
		}
	}
}
