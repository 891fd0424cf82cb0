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
			return nil, fmt.Errorf("%s:%d: %w", d.File, d.positionOf(c.from).line, ErrUnwritable)
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
		return nil, fmt.Errorf("%s:%d: %w", d.File, line, ErrUnwritable)
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
	edits := r.edits[n]
	if i := slices.IndexFunc(edits, func(e Edit) bool { return !e.Append }); i >= 0 {
		want.Write(edits[i].Value)
		return r.replace(n, p, edits[i].Value)
	}
	if len(edits) > 0 && n.Kind == List && len(n.items) == 0 {
		whole := json.RawMessage("[")
		for i, e := range edits {
			if i > 0 {
				whole = append(whole, ',')
			}
			whole = append(whole, e.Value...)
		}
		whole = append(whole, ']')
		want.Write(whole)
		return r.replace(n, p, whole)
	}
	if len(edits) > 0 && n.Kind != List {
		return fmt.Errorf("%s:%d: %w", r.doc.File, n.Line, ErrUnwritable)
	}
	flow := p.flow || r.isFlow(n)
	switch n.Kind {
	case Map:
		want.WriteByte('{')
		for i, e := range n.entries {
			if i > 0 {
				want.WriteByte(',')
			}
			writeJSONString(want, e.Key)
			want.WriteByte(':')
			if err := r.visit(e.Value, place{flow, e.KeyNode.Column - 1, true}, want); err != nil {
				return err
			}
		}
		want.WriteByte('}')
	case List:
		want.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				want.WriteByte(',')
			}
			if err := r.visit(item, place{flow: flow, indent: r.start(n).column - 1}, want); err != nil {
				return err
			}
		}
		for _, e := range edits {
			want.WriteByte(',')
			want.Write(e.Value)
		}
		want.WriteByte(']')
		if len(edits) > 0 {
			return r.append(n, flow, edits)
		}
	default:
		n.writeJSON(want)
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
			return fmt.Errorf("%s:%d: %w", r.doc.File, n.Line, ErrUnwritable)
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

func (r *rewriter) append(n *Node, flow bool, edits []Edit) error {
	_, at, err := r.extent(n.items[len(n.items)-1])
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, e := range edits {
		if flow {
			item, err := render(e.Value, true, 0)
			if err != nil {
				return err
			}
			text.WriteString(", " + item)
			continue
		}
		column := r.start(n).column
		item, err := render(e.Value, false, column+1)
		if err != nil {
			return err
		}
		text.WriteString("\n" + strings.Repeat(" ", column-1) + "- " + item)
	}
	r.changes = append(r.changes, change{at, at, text.String()})
	return nil
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

// style undoes the style of JSON.
func style(n *yaml.Node, flow bool) {
	n.Style = 0
	switch n.Kind {
	case yaml.MappingNode, yaml.SequenceNode:
		if flow || len(n.Content) == 0 {
			n.Style = yaml.FlowStyle
		}
	case yaml.ScalarNode:
		if n.Tag == "!!str" && (flow && strings.ContainsAny(n.Value, "\n,[]{}") || strings.ContainsAny(n.Value, "\u0085\u2028\u2029\uFEFF")) {
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
		return 0, 0, fmt.Errorf("%s:%d: %w", r.doc.File, n.Line, ErrUnwritable)
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
			return 0, 0, fmt.Errorf("%s:%d: %w", r.doc.File, n.Line, ErrUnwritable)
		}
		return from, end, nil
	case n.Kind == Map && len(n.entries) > 0:
		// Merged entries stand elsewhere.
		last := n.entries[len(n.entries)-1]
		if before := n.entries[0].KeyNode; last.KeyNode.Line < before.Line {
			return 0, 0, fmt.Errorf("%s:%d: %w", r.doc.File, n.Line, ErrUnwritable)
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
			return 0, 0, fmt.Errorf("%s:%d: %w", r.doc.File, n.Line, ErrUnwritable)
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
