package document

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"switchhook/spec/diagnostic"
)

// What YAML 1.1 takes for the end of a line, besides \r and \n:
// https://yaml.org/spec/1.1/#id871136
var lineBreaks = []string{"\u0085", "\u2028", "\u2029"}

// indexLines finds where lines begin, as the YAML library counts them.
func (d *Document) indexLines() {
	d.index.Do(func() {
		source := d.source
		// The library does not count a byte order mark.
		d.starts = append(d.starts, len(source)-len(bytes.TrimPrefix(source, []byte("\uFEFF"))))
		for i := 0; i < len(source); i++ {
			switch c := source[i]; {
			case c == '\n', c == '\r' && (i+1 == len(source) || source[i+1] != '\n'):
				d.starts = append(d.starts, i+1)
			case c == 0xC2 || c == 0xE2:
				for _, b := range lineBreaks {
					if bytes.HasPrefix(source[i:], []byte(b)) {
						d.starts = append(d.starts, i+len(b))
					}
				}
			}
		}
	})
}

// line is the text of a line, counted from 1, without its end; nil where there is none.
func (d *Document) line(number int) []byte {
	d.indexLines()
	if number < 1 || number > len(d.starts) {
		return nil
	}
	text := d.source[d.starts[number-1]:]
	if number < len(d.starts) {
		text = text[:d.starts[number]-d.starts[number-1]]
	}
	text = bytes.TrimRight(text, "\r\n")
	for _, b := range lineBreaks {
		text = bytes.TrimSuffix(text, []byte(b))
	}
	return text
}

// offset is where a place is in the source.
func (d *Document) offset(at position) int {
	d.indexLines()
	if at.line < 1 || at.line > len(d.starts) {
		return len(d.source)
	}
	return d.starts[at.line-1] + len(d.line(at.line)) - len(d.after(at))
}

// after is the text from a place to the end of its line.
func (d *Document) after(at position) []byte {
	text := d.line(at.line)
	for range at.column - 1 {
		if len(text) == 0 {
			return nil
		}
		_, size := utf8.DecodeRune(text)
		text = text[size:]
	}
	return text
}

// positionOf is the place of a byte of the source.
func (d *Document) positionOf(offset int) position {
	d.indexLines()
	line := 1
	for line < len(d.starts) && d.starts[line] <= offset {
		line++
	}
	return position{line, utf8.RuneCount(d.source[min(d.starts[line-1], offset):offset]) + 1}
}

// snippet is the lines around a place.
func (d *Document) snippet(number int) diagnostic.Snippet {
	if number < 1 || len(d.source) == 0 {
		return diagnostic.Snippet{}
	}
	// Lines are handed on one by one, since those of YAML may end in other ways than with \n.
	first := max(1, number-2)
	var lines [][]byte
	for i := first; i <= number+1; i++ {
		if i > number && (i > len(d.starts) || d.starts[i-1] >= len(d.source)) {
			break // behind the last line there is nothing to show
		}
		if text := d.line(i); text != nil {
			lines = append(lines, text)
		}
	}
	s := diagnostic.SnippetAt(append(bytes.Join(lines, []byte{'\n'}), '\n'), number-first+1)
	if s.First > 0 {
		s.First += first - 1
	}
	return s
}

// skipProperties is the place behind anchors and tags, which the library takes
// for part of a value.
func (d *Document) skipProperties(at position) position {
	for {
		text := d.after(at)
		if len(text) == 0 || text[0] != '&' && text[0] != '!' {
			return at
		}
		word := bytes.IndexAny(text, " \t")
		if word < 0 { // the value is on a later line
			for at.line++; at.line <= len(d.starts); at.line++ {
				text = d.line(at.line)
				trimmed := bytes.TrimLeft(text, " ")
				if len(trimmed) > 0 && trimmed[0] != '#' {
					at.column = len(text) - len(trimmed) + 1
					break
				}
			}
			continue
		}
		rest := bytes.TrimLeft(text[word:], " \t")
		at.column += utf8.RuneCount(text[:len(text)-len(rest)])
	}
}

// end is the column behind the last character of the node on its first
// line; 0 where that is not known.
func (n *Node) end() int {
	text := n.doc.after(position{n.Line, n.Column})
	switch {
	case len(text) == 0:
		return 0
	case n.alias != "":
		return n.Column + 1 + utf8.RuneCountInString(n.alias)
	case n.Kind == List || n.Kind == Map || n.Block:
		return 0
	case n.Quoted && (text[0] == '"' || text[0] == '\''):
		return n.Column + quotedLength(text)
	case !n.expanded && !n.Quoted && n.Value != "" && (bytes.HasPrefix(text, []byte(n.Value)) || bytes.HasPrefix(text, masked(n.Value))):
		return n.Column + utf8.RuneCountInString(n.Value)
	}
	// It goes on on the next line, or has a tag in front: mark what is left of the line.
	rest, _, _ := strings.Cut(string(text), " #")
	return n.Column + utf8.RuneCountInString(strings.TrimRight(rest, " \t"))
}

// quotedLength counts the characters of the quoted string that text begins with,
// quotes included.
func quotedLength(text []byte) int {
	quote, count := text[0], 1
	for i := 1; i < len(text); {
		_, size := utf8.DecodeRune(text[i:])
		c := text[i]
		i += size
		count++
		switch {
		case c == '\\' && quote == '"' && i < len(text):
			_, size = utf8.DecodeRune(text[i:])
			i += size
			count++
		case c == quote && quote == '\'' && i < len(text) && text[i] == quote: // '' is a quote
			i++
			count++
		case c == quote:
			return count
		}
	}
	return count
}

func leadingSpaces(line []byte) int {
	return len(line) - len(bytes.TrimLeft(line, " "))
}
