package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Edit is a change to one value of a document.
type Edit struct {
	Node *Node
	// Value is JSON: what the node becomes, or with Append, what is added to the end of the list that it is.
	Value  json.RawMessage
	Append bool
	// Remove takes the node, an item of a list or the value of a key, out of what it is in, its key too.
	Remove bool
}

// ErrUnwritable is wrapped by the error of Rewrite when a value stands so in
// its file that it cannot be changed without touching others, such as behind an alias.
var ErrUnwritable = errors.New("this has to be changed by hand")

// Rewrite returns the document's text with edits made and everything else left as it
// is: comments, order, and the way values are written. Of edits within each other the outermost is made. Rewrite checks
// that the result is what it has to be, and otherwise returns an error and no text.
func (d *Document) Rewrite(edits []Edit) ([]byte, error) {
	r := rewriter{doc: d, edits: map[*Node][]Edit{}}
	for _, e := range edits {
		r.edits[e.Node] = append(r.edits[e.Node], e)
	}
	var want bytes.Buffer
	if err := r.visit(d.Root, place{}, &want); err != nil {
		return nil, err
	}
	slices.SortStableFunc(r.changes, func(a, b change) int { return a.from - b.from })
	var out bytes.Buffer
	at := 0
	for _, c := range r.changes {
		if c.from < at {
			return nil, r.unwritable(d.positionOf(c.from).line)
		}
		out.Write(d.source[at:c.from])
		out.WriteString(c.text)
		at = c.to
	}
	out.Write(d.source[at:])
	changed, list := Parse(d.File, out.Bytes())
	if list.HasErrors() || !sameJSON(changed.Root.JSON(), want.Bytes()) {
		line := 1
		if len(r.changes) > 0 {
			line = d.positionOf(r.changes[0].from).line
		}
		return nil, r.unwritable(line)
	}
	return out.Bytes(), nil
}

// change replaces the bytes from from to to.
type change struct {
	from, to int
	text     string
}

type rewriter struct {
	doc     *Document
	edits   map[*Node][]Edit
	changes []change
}

// place is where a node stands: in braces or brackets, and, if not, how far its
// key or dash is indented.
type place struct {
	flow   bool
	indent int
	// key is true for the value of a map's key.
	key bool
}

// visit collects the changes at and below n and writes the JSON that is to come out.
func (r *rewriter) visit(n *Node, p place, want *bytes.Buffer) error {
	var added []json.RawMessage
	for _, e := range r.edits[n] {
		switch {
		case e.Append && n.Kind == List:
			added = append(added, e.Value)
		case e.Append:
			return r.unwritable(n.Line)
		case !e.Remove:
			want.Write(e.Value)
			return r.replace(n, p, e.Value)
		}
	}
	var kept []*Node // of the items, or of the values of keys
	starts := map[*Node]position{}
	for _, item := range n.items {
		starts[item] = position{item.Line, item.Column}
		if !r.removed(item) {
			kept = append(kept, item)
		}
	}
	for _, e := range n.entries {
		starts[e.Value] = position{e.KeyNode.Line, e.KeyNode.Column}
		if !r.removed(e.Value) {
			kept = append(kept, e.Value)
		}
	}
	if n.Kind == List && len(kept) == 0 && (len(added) > 0 || len(n.items) > 0) || n.Kind == Map && len(kept) == 0 && len(n.entries) > 0 {
		var whole bytes.Buffer
		if n.Kind == Map {
			whole.WriteString("{}")
		} else {
			writeList(&whole, added)
		}
		want.Write(whole.Bytes())
		return r.replace(n, p, whole.Bytes())
	}

	inner := place{flow: p.flow || r.isFlow(n), indent: r.start(n).column - 1}
	var values []json.RawMessage
	visit := func(child *Node, p place) error {
		var b bytes.Buffer
		err := r.visit(child, p, &b)
		values = append(values, b.Bytes())
		return err
	}
	switch n.Kind {
	case Map:
		inner.key = true
		want.WriteByte('{')
		for i, e := range n.entries {
			if r.removed(e.Value) {
				continue
			}
			inner.indent = e.KeyNode.Column - 1
			if err := visit(e.Value, inner); err != nil {
				return err
			}
			if len(values) > 1 {
				want.WriteByte(',')
			}
			writeJSONString(want, n.entries[i].Key)
			want.WriteByte(':')
			want.Write(values[len(values)-1])
		}
		want.WriteByte('}')
	case List:
		for _, item := range kept {
			if err := visit(item, inner); err != nil {
				return err
			}
		}
		writeList(want, append(values, added...))
		if err := r.append(n, inner.flow, added); err != nil {
			return err
		}
	default:
		n.writeJSON(want)
		return nil
	}
	return r.remove(n, inner.flow, starts)
}

func writeList(b *bytes.Buffer, items []json.RawMessage) {
	b.WriteByte('[')
	for i, item := range items {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(item)
	}
	b.WriteByte(']')
}

func (r *rewriter) unwritable(line int) error {
	return fmt.Errorf("%s:%d: %w", r.doc.File, line, ErrUnwritable)
}

func (r *rewriter) removed(n *Node) bool {
	return slices.ContainsFunc(r.edits[n], func(e Edit) bool { return e.Remove })
}

// remove cuts out what is removed of a list or map: what stands before the first that is
// kept up to that, and each of the others with what is in front of it.
func (r *rewriter) remove(n *Node, flow bool, starts map[*Node]position) error {
	all := slices.Clone(n.items)
	for _, e := range n.entries {
		all = append(all, e.Value)
	}
	first := slices.IndexFunc(all, func(c *Node) bool { return !r.removed(c) })
	if first > 0 {
		r.changes = append(r.changes, change{r.doc.offset(starts[all[0]]), r.doc.offset(starts[all[first]]), ""})
	}
	for i := first + 1; i > 0 && i < len(all); i++ {
		if !r.removed(all[i]) {
			continue
		}
		from, err := r.behind(all[i-1], flow)
		if err != nil {
			return err
		}
		to, err := r.behind(all[i], flow)
		if err != nil {
			return err
		}
		r.changes = append(r.changes, change{from, to, ""})
	}
	return nil
}

// start is where a value begins, behind its tag and anchor.
func (r *rewriter) start(n *Node) position {
	return r.doc.skipProperties(position{n.Line, n.Column})
}

// isFlow reports a list or map in brackets or braces.
func (r *rewriter) isFlow(n *Node) bool {
	text := r.doc.after(r.start(n))
	return len(text) > 0 && (n.Kind == Map && text[0] == '{' || n.Kind == List && text[0] == '[')
}

func (r *rewriter) replace(n *Node, p place, value json.RawMessage) error {
	from, to, err := r.extent(n)
	if err != nil {
		return err
	}
	if n.Kind == Null && from == to { // "key:" with nothing behind it
		if p.flow {
			return r.unwritable(n.Line)
		}
		text, err := render(value, true, 0)
		r.changes = append(r.changes, change{from, to, " " + text})
		return err
	}
	block := !p.flow && (n.Kind == List || n.Kind == Map) && !r.isFlow(n)
	text, err := render(value, !block, r.start(n).column-1)
	if err != nil {
		return err
	}
	if !p.flow && !block && utf8.RuneCountInString(text) > 100 && (value[0] == '{' || value[0] == '[') && len(value) > 2 {
		// Too long for one line: below its key, or behind its dash.
		indent := p.indent + 2
		if text, err = render(value, false, indent); err != nil {
			return err
		}
		if p.key {
			for from > 0 && r.doc.source[from-1] == ' ' {
				from--
			}
			text = "\n" + strings.Repeat(" ", indent) + text
		}
	}
	if block && (value[0] != '{' && value[0] != '[' || len(value) == 2) && p.key {
		// A map or list below its key becomes a value behind it.
		for from > 0 && (r.doc.source[from-1] == ' ' || r.doc.source[from-1] == '\n') {
			from--
		}
		text = " " + text
	}
	r.changes = append(r.changes, change{from, to, text})
	return nil
}

func (r *rewriter) append(n *Node, flow bool, items []json.RawMessage) error {
	if len(items) == 0 {
		return nil
	}
	at, err := r.behind(n.items[len(n.items)-1], flow)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, value := range items {
		if flow {
			item, err := render(value, true, 0)
			if err != nil {
				return err
			}
			text.WriteString(", " + item)
			continue
		}
		column := r.start(n).column
		item, err := render(value, false, column+1)
		if err != nil {
			return err
		}
		text.WriteString("\n" + strings.Repeat(" ", column-1) + "- " + item)
	}
	r.changes = append(r.changes, change{at, at, text.String()})
	return nil
}

// behind is where an item or entry ends; if it has lines of its own, with the comment on the last of them.
func (r *rewriter) behind(n *Node, flow bool) (int, error) {
	_, end, err := r.extent(n)
	if err != nil || flow {
		return end, err
	}
	for end < len(r.doc.source) && r.doc.source[end] != '\n' && r.doc.source[end] != '\r' {
		end++
	}
	return end, nil
}

// render writes JSON as YAML: on one line, or as lines of which all but the first are indented.
func render(value json.RawMessage, flow bool, indent int) (string, error) {
	var n yaml.Node
	if err := yaml.Unmarshal(value, &n); err != nil {
		return "", fmt.Errorf("rendering a value: %w", err)
	}
	style(&n, flow)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&n); err != nil {
		return "", fmt.Errorf("rendering a value: %w", err)
	}
	text := strings.TrimRight(b.String(), "\n")
	lines := strings.Split(text, "\n")
	for i := range lines {
		if i > 0 && lines[i] != "" {
			lines[i] = strings.Repeat(" ", indent) + lines[i]
		}
	}
	return strings.Join(lines, "\n"), nil
}

// Render writes JSON as YAML, on lines of their own, without a line break at the end. It reads as the same value again.
func Render(value json.RawMessage) (string, error) {
	text, err := render(value, false, 0)
	if err != nil {
		return "", err
	}
	doc, list := Parse("", []byte(text))
	if list.HasErrors() || !sameJSON(doc.Root.JSON(), value) {
		return "", fmt.Errorf("rendering a value: %w", ErrUnwritable)
	}
	return text, nil
}

// style undoes the style of JSON.
func style(n *yaml.Node, flow bool) {
	n.Style = 0
	switch n.Kind {
	case yaml.MappingNode, yaml.SequenceNode:
		if flow || len(n.Content) == 0 {
			n.Style = yaml.FlowStyle
		}
	case yaml.ScalarNode:
		if n.Tag == "!!str" && (flow && strings.ContainsAny(n.Value, "\n,[]{}") || strings.ContainsAny(n.Value, "\r\t\u0085\u2028\u2029\uFEFF") ||
			strings.Contains(n.Value, "\n") && strings.TrimLeft(n.Value, " \n") != n.Value) {
			n.Style = yaml.DoubleQuotedStyle
		}
	}
	for _, c := range n.Content {
		style(c, flow)
	}
}

// extent is where the text of a value begins and ends.
func (r *rewriter) extent(n *Node) (from, to int, err error) {
	if n.alias != "" || n.expanded {
		return 0, 0, r.unwritable(n.Line)
	}
	from = r.doc.offset(r.start(n))
	source := r.doc.source
	switch {
	case n.Kind == Null && n.Value == "":
		from = r.doc.offset(position{n.Line, n.Column})
		return from, from, nil
	case n.Block:
		return from, r.blockEnd(n), nil
	case r.isFlow(n):
		end := flowEnd(source, from)
		if end < 0 {
			return 0, 0, r.unwritable(n.Line)
		}
		return from, end, nil
	case n.Kind == Map && len(n.entries) > 0:
		// Merged entries stand elsewhere.
		last := n.entries[len(n.entries)-1]
		if before := n.entries[0].KeyNode; last.KeyNode.Line < before.Line {
			return 0, 0, r.unwritable(n.Line)
		}
		_, to, err = r.extent(last.Value)
		return from, to, err
	case n.Kind == List && len(n.items) > 0:
		_, to, err = r.extent(n.items[len(n.items)-1])
		return from, to, err
	case n.Quoted:
		return from, quotedEnd(source, from), nil
	}
	// A plain scalar. One that goes on on further lines is known by its text.
	if bytes.HasPrefix(source[from:], []byte(n.Value)) {
		return from, from + len(n.Value), nil
	}
	words := strings.Fields(n.Value)
	end := from
	for _, w := range words {
		i := strings.Index(string(source[end:]), w)
		if i < 0 || strings.TrimSpace(string(source[end:end+i])) != "" {
			return 0, 0, r.unwritable(n.Line)
		}
		end += i + len(w)
	}
	return from, end, nil
}

// blockEnd is the end of the last line with text of a block scalar.
func (r *rewriter) blockEnd(n *Node) int {
	_, line, _, indent := n.Code()
	end := r.doc.offset(position{line - 1, 1}) + len(r.doc.line(line-1))
	for ; line <= len(r.doc.starts); line++ {
		text := r.doc.line(line)
		trimmed := len(bytes.TrimSpace(text)) == 0
		if !trimmed && leadingSpaces(text) < max(1, indent) {
			break
		}
		if !trimmed {
			end = r.doc.offset(position{line, 1}) + len(text)
		}
	}
	return end
}

// flowEnd is the place behind the bracket that closes the one at from; -1 when there is none.
func flowEnd(source []byte, from int) int {
	depth := 0
	for i := from; i < len(source); i++ {
		switch c := source[i]; c {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		case '"', '\'':
			// Within a plain word a quote is a character like any other.
			if i > 0 && strings.IndexByte(" \t\n[{,:", source[i-1]) >= 0 {
				i = quotedEnd(source, i) - 1
			}
		case '#':
			if i > 0 && strings.IndexByte(" \t\n", source[i-1]) >= 0 {
				end := bytes.IndexByte(source[i:], '\n')
				if end < 0 {
					return -1
				}
				i += end
			}
		}
	}
	return -1
}

// quotedEnd is the place behind the quote that closes the one at from.
func quotedEnd(source []byte, from int) int {
	quote := source[from]
	for i := from + 1; i < len(source); i++ {
		switch {
		case source[i] == '\\' && quote == '"':
			i++
		case source[i] == quote && quote == '\'' && i+1 < len(source) && source[i+1] == quote:
			i++
		case source[i] == quote:
			return i + 1
		}
	}
	return len(source)
}

// sameJSON compares JSON values, numbers as they are written.
func sameJSON(a, b []byte) bool {
	decode := func(raw []byte) (any, bool) {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		var v any
		if d.Decode(&v) != nil {
			return nil, false
		}
		_, err := d.Token()
		return v, errors.Is(err, io.EOF)
	}
	x, ok := decode(a)
	y, ok2 := decode(b)
	if !ok || !ok2 {
		return false
	}
	encodedX, errX := json.Marshal(x)
	encodedY, errY := json.Marshal(y)
	return errX == nil && errY == nil && bytes.Equal(encodedX, encodedY)
}
