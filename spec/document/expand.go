package document

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"switchhook/spec/diagnostic"
)

// ParseExpandable is Parse for a document in which ${...} may stand unquoted
// in a flow collection, as in {token: ${TOKEN:-}}, where YAML by itself takes the
// braces for a map. References are left as they are, for Expand. One ends with
// the first closing brace, on the same line.
func ParseExpandable(file string, source []byte) (*Document, diagnostic.List) {
	// Within references, what has a meaning to YAML is replaced by characters
	// that have none and that the source does not use, one for one so that
	// columns stay right, and put back afterwards.
	if len(source) > MaxSize || !bytes.Contains(source, []byte("${")) {
		return Parse(file, source)
	}
	const special = "{}[],:# "
	free := unusedRunes(source, len(special))
	if len(free) < len(special) {
		return Parse(file, source)
	}
	var pairs []string
	for i, r := range free {
		pairs = append(pairs, special[i:i+1], string(r))
	}
	hide := strings.NewReplacer(pairs...)
	for i := 0; i < len(pairs); i += 2 {
		pairs[i], pairs[i+1] = pairs[i+1], pairs[i]
	}
	show := strings.NewReplacer(pairs...)

	var hidden strings.Builder
	rest := string(source)
	for {
		before, reference, found := strings.Cut(rest, "${")
		hidden.WriteString(before)
		if !found {
			break
		}
		end := strings.IndexAny(reference, "}\n")
		if end < 0 || reference[end] == '\n' {
			hidden.WriteString("${")
			rest = reference
			continue
		}
		_, _ = hide.WriteString(&hidden, "${"+reference[:end+1])
		rest = reference[end+1:]
	}

	parsed, list := Parse(file, []byte(hidden.String()))
	doc := &Document{File: file, Root: parsed.Root, source: source}
	doc.adopt(doc.Root, show)
	for i := range list {
		list[i].Message = show.Replace(list[i].Message)
		list[i].Hint = show.Replace(list[i].Hint)
		for j, text := range list[i].Snippet.Lines {
			list[i].Snippet.Lines[j] = show.Replace(text)
		}
	}
	return doc, list
}

// adopt makes the nodes those of d, with what stands for special characters put back.
func (d *Document) adopt(n *Node, show *strings.Replacer) {
	n.doc, n.Value = d, show.Replace(n.Value)
	for _, item := range n.items {
		d.adopt(item, show)
	}
	for i := range n.entries {
		e := &n.entries[i]
		e.Key = show.Replace(e.Key)
		e.KeyNode.doc, e.KeyNode.Value = d, show.Replace(e.KeyNode.Value)
		d.adopt(e.Value, show)
	}
}

// unusedRunes returns up to n characters for private use that do not occur in source.
func unusedRunes(source []byte, n int) []rune {
	used := map[rune]bool{}
	for i := 0; i < len(source); {
		r, size := utf8.DecodeRune(source[i:])
		if r >= 0xE000 {
			used[r] = true
		}
		i += size
	}
	var free []rune
	for r := rune(0xE000); r <= 0xF8FF && len(free) < n; r++ {
		if !used[r] {
			free = append(free, r)
		}
	}
	return free
}

// Expanded reports whether Expand changed the node. Its value then is not what
// stands in the file and may be a secret, so it is not shown to anybody.
func (n *Node) Expanded() bool { return n.expanded }

// Hide masks the scalars of the nodes, in diagnostics made from now on, in the source
// that they show. Call it before Expand. A mere reference such as ${TOKEN} stays readable.
func (d *Document) Hide(nodes ...*Node) {
	d.source = bytes.Clone(d.source)
	for _, n := range nodes {
		d.hide(n)
	}
}

func (d *Document) hide(n *Node) {
	for _, item := range n.items {
		d.hide(item)
	}
	for _, e := range n.entries {
		d.hide(e.Value)
	}
	if n.Kind == List || n.Kind == Map || n.Kind == Null || isReference(n.Value) {
		return
	}
	at := position{n.Line, n.Column}
	if n.alias != "" { // what it stands for is at the anchor
		at = n.from
	}
	start := d.offset(at)
	text := d.source[start:]
	switch {
	case len(text) == 0:
	case !n.Quoted && bytes.HasPrefix(text, []byte(n.Value)):
		mask(text[:len(n.Value)])
	case n.Quoted && !n.Block && text[0] == '"':
		mask(text[1:closing(text, '"')])
	case n.Quoted && !n.Block && text[0] == '\'':
		mask(text[1:closing(text, '\'')])
	default: // of several lines, or with a tag: all that is indented deeper
		end := bytes.IndexByte(text, '\n') + 1
		if end == 0 {
			end = len(text)
		}
		first := d.source[bytes.LastIndexByte(d.source[:start], '\n')+1:]
		indent := len(first) - len(bytes.TrimLeft(first, " "))
		for end < len(text) {
			line, _, _ := bytes.Cut(text[end:], []byte{'\n'})
			trimmed := bytes.TrimLeft(line, " ")
			if len(bytes.TrimSpace(line)) > 0 && len(line)-len(trimmed) <= indent {
				break
			}
			end = min(len(text), end+len(line)+1)
		}
		mask(text[:end])
	}
}

// isReference reports whether value is one ${...} without a default.
func isReference(value string) bool {
	name, ok := strings.CutPrefix(value, "${")
	name, closed := strings.CutSuffix(name, "}")
	return ok && closed && !strings.ContainsAny(name, "{}") && !strings.Contains(name, ":-")
}

// closing is the position of the quote that ends the string text begins with,
// or the length of text when there is none.
func closing(text []byte, quote byte) int {
	for i := 1; i < len(text); i++ {
		switch {
		case quote == '"' && text[i] == '\\':
			i++
		case text[i] == quote && quote == '\'' && i+1 < len(text) && text[i+1] == quote:
			i++
		case text[i] == quote:
			return i
		}
	}
	return len(text)
}

// masked is what Hide leaves of a value.
func masked(value string) []byte {
	text := []byte(value)
	mask(text)
	return text
}

// mask overwrites text with as many characters of the same lengths, so that
// neither offsets nor columns change.
func mask(text []byte) {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r != '\n' && r != '\r' && r != ' ' {
			copy(text[i:i+size], [...]string{"", "*", "·", "•", "🞄"}[size])
		}
		i += size
	}
}
