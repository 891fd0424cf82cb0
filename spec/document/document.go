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
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"switchhook/spec/diagnostic"
)

// Limits of one document.
const (
	// MaxSize is the largest source taken, in bytes.
	MaxSize = 16 << 20
	// maxNodes bounds what aliases may expand to.
	maxNodes = 1_000_000
	maxDepth = 200
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
}

// Node is a value in a document. Aliases and merge keys are resolved.
type Node struct {
	Kind Kind
	// Line and Column count from 1, Column in characters.
	Line, Column int
	// Value is the text of a scalar (for a string: its value).
	Value string
	// Quoted reports that a scalar was in quotes or a block, so it is meant as a string.
	Quoted bool
	// Tag is a local tag such as "!exact"; "" for none.
	Tag string
	// Block reports a block scalar (| or >): the text begins on the line
	// after Line, indented. See Code.
	Block bool

	entries  []Entry
	items    []*Node
	doc      *Document
	expanded bool
}

// Entry is one key of a map, in the order of the file.
type Entry struct {
	Key     string
	KeyNode *Node
	Value   *Node
}

var lineInMessage = regexp.MustCompile(`line (\d+)`)

// Parse reads source, which must hold exactly one document (or none). File is
// only used in diagnostics. When the list has errors the document is not
// usable, but never nil.
func Parse(file string, source []byte) (*Document, diagnostic.List) {
	doc := &Document{File: file, source: source}
	doc.Root = &Node{Kind: Null, Line: 1, Column: 1, doc: doc}
	fail := func(line, column int, code, message, hint string) (*Document, diagnostic.List) {
		return doc, diagnostic.List{{Code: code, File: file, Line: line, Column: column, Message: message,
			Hint: hint, Snippet: diagnostic.SnippetAt(source, line)}}
	}
	if len(source) > MaxSize {
		return fail(0, 0, "file-too-large", fmt.Sprintf("the file is %d bytes long, more than the %d allowed", len(source), MaxSize), "")
	}
	if !utf8.Valid(source) {
		line, column := invalidUTF8At(source)
		return fail(line, column, "invalid-utf8", "the file is not UTF-8 text", "save it as UTF-8")
	}
	decoder := yaml.NewDecoder(bytes.NewReader(source))
	var root yaml.Node
	if err := decodeNode(decoder, &root); err != nil {
		if errors.Is(err, io.EOF) {
			return doc, nil
		}
		// The library gives the line in the text of its error only.
		message, line := strings.TrimPrefix(err.Error(), "yaml: "), 0
		if m := lineInMessage.FindStringSubmatch(message); m != nil {
			line, _ = strconv.Atoi(m[1])
			message = strings.TrimPrefix(message, m[0]+": ")
		}
		line = min(line, bytes.Count(source, []byte{'\n'})+1)
		hint := ""
		switch {
		case strings.Contains(message, "cannot start any token"):
			hint = "YAML is indented with spaces, not tabs; and a value that begins with @, ` or % needs quotes"
		case strings.Contains(message, "mapping values are not allowed"):
			hint = "a value that contains \": \" needs quotes; or a line is indented differently from its neighbours"
		case strings.Contains(message, "did not find expected key"):
			hint = "look for a line that is indented differently from its neighbours, or a missing quote"
		}
		return fail(line, 0, "yaml-syntax", "YAML syntax: "+message, hint)
	}
	var second yaml.Node
	if err := decodeNode(decoder, &second); err == nil {
		return fail(second.Line, second.Column, "several-documents", "the file holds more than one YAML document", "remove the line \"---\" and what follows, or use two files")
	} else if !errors.Is(err, io.EOF) {
		return fail(0, 0, "yaml-syntax", "YAML syntax: "+strings.TrimPrefix(err.Error(), "yaml: "), "")
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

func invalidUTF8At(source []byte) (line, column int) {
	line, column = 1, 1
	for len(source) > 0 {
		r, size := utf8.DecodeRune(source)
		if r == utf8.RuneError && size == 1 {
			return line, column
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
		source = source[size:]
	}
	return line, column
}

// converter turns the library's nodes into ours.
type converter struct {
	doc   *Document
	list  diagnostic.List
	open  map[*yaml.Node]bool // on the path from the root: an alias to one is a cycle
	count int
	full  bool
}

func (c *converter) convert(y *yaml.Node, depth int) *Node {
	n := &Node{Line: y.Line, Column: y.Column, doc: c.doc}
	if c.count++; c.count > maxNodes || depth > maxDepth {
		if !c.full {
			c.full = true
			c.list.Add(n.Errorf("too-complex", "the document is nested too deep, or its aliases expand to too much"))
		}
		return n
	}
	if strings.HasPrefix(y.Tag, "!") && !strings.HasPrefix(y.Tag, "!!") {
		n.Tag = y.Tag
	}
	switch y.Kind {
	case yaml.AliasNode:
		if c.open[y.Alias] {
			c.list.Add(n.Errorf("alias-cycle", "the alias *%s stands inside what it names", y.Value))
			return n
		}
		target := c.convert(y.Alias, depth+1)
		target.Line, target.Column = y.Line, y.Column
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
		n.scalar(y)
	}
	return n
}

func (c *converter) convertMap(n *Node, y *yaml.Node, depth int) {
	seen := make(map[string]int, len(y.Content)/2)
	var merged []Entry
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		keyNode := &Node{Kind: String, Line: key.Line, Column: key.Column, Value: key.Value, doc: c.doc}
		if key.Kind != yaml.ScalarNode {
			c.list.Add(keyNode.Errorf("bad-key", "a key must be a plain word or a string"))
			continue
		}
		v := c.convert(value, depth+1)
		if key.Tag == "!!merge" {
			switch v.Kind {
			case Map:
				merged = append(merged, v.entries...)
			case List:
				for _, item := range v.items {
					merged = append(merged, item.entries...)
				}
			default:
				c.list.Add(v.Errorf("bad-merge", "<< takes a map, not %s", v.Kind))
			}
			continue
		}
		if line, dup := seen[key.Value]; dup {
			c.list.Add(keyNode.Errorf("duplicate-key", "the key %q stands here twice; first on line %d", key.Value, line))
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

func (n *Node) scalar(y *yaml.Node) {
	n.Value = y.Value
	n.Quoted = y.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	n.Block = y.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0
	switch y.ShortTag() {
	case "!!null":
		n.Kind = Null
	case "!!bool":
		n.Kind = Bool
	case "!!int":
		n.Kind = Int
	case "!!float":
		n.Kind = Float
	default: // strings, timestamps, binary: what was written
		n.Kind = String
		if n.Tag != "" && !n.Quoted {
			n.Kind = plainKind(y.Value)
		}
	}
}

// plainKind is the kind an unquoted scalar has by itself.
func plainKind(value string) Kind {
	var y yaml.Node
	if yaml.Unmarshal([]byte(value), &y) != nil || len(y.Content) != 1 || y.Content[0].Kind != yaml.ScalarNode {
		return String
	}
	switch y.Content[0].ShortTag() {
	case "!!null":
		return Null
	case "!!bool":
		return Bool
	case "!!int":
		return Int
	case "!!float":
		return Float
	}
	return String
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
		Message: fmt.Sprintf(format, args...), Snippet: diagnostic.SnippetAt(n.doc.source, n.Line)}
	if !n.Block && n.Value != "" && !strings.Contains(n.Value, "\n") {
		d.EndLine, d.EndColumn = n.Line, n.Column+utf8.RuneCountInString(n.Value)
		if n.Quoted {
			d.EndColumn += 2
		}
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
// file, or (line, column+c-1) for l = 1 when not Block.
func (n *Node) Code() (text string, line, column, indent int) {
	if !n.Block {
		column = n.Column
		if n.Quoted {
			column++
		}
		return n.Value, n.Line, column, 0
	}
	lines := bytes.Split(n.doc.source, []byte{'\n'})
	for i := n.Line; i < len(lines); i++ {
		trimmed := bytes.TrimLeft(lines[i], " ")
		if len(bytes.TrimSpace(trimmed)) == 0 {
			continue
		}
		indent = len(lines[i]) - len(trimmed)
		break
	}
	return n.Value, n.Line + 1, indent + 1, indent
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
