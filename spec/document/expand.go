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
	const special = "{}[],:# "
	free := unusedRunes(source, len(special))
	if len(free) < len(special) || len(source) > MaxSize || !bytes.Contains(source, []byte("${")) {
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
		used[r] = used[r] || r >= 0xE000
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
