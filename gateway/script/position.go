package script

import (
	"sort"
	"strings"
	"unicode/utf16"

	"github.com/go-sourcemap/sourcemap"

	"switchhook/gateway/hook"
	"switchhook/spec/diagnostic"
)

// positions leads from places in a program's code to places in the connector's files.
type positions struct {
	consumer *sourcemap.Consumer // nil: nothing can be said
	inline   string
	indent   int
	mapping  bool // the code is a mapping's: its lines are those of the YAML file, its columns are not
}

func newPositions(p *Program) *positions {
	c, err := sourcemap.Parse("", p.SourceMap)
	if err != nil {
		c = nil
	}
	return &positions{consumer: c, inline: p.InlineFile, indent: p.InlineColumn, mapping: p.InlineFile == "" && isMappingFile(p.Name)}
}

// original returns the place in a file of the connector from which line and column
// (both from 1) of the code come. It reports false for code that no file has.
func (m *positions) original(line, column int) (hook.Frame, bool) {
	if m.consumer == nil {
		return hook.Frame{}, false
	}
	source, _, l, c, ok := m.consumer.Source(line, column-1)
	file, own := strings.CutPrefix(source, namespace+":")
	if !ok || !own || l < 1 {
		return hook.Frame{}, false
	}
	// Source maps count UTF-16 units.
	text := lineOf(m.consumer.SourceContent(source), l)
	if m.mapping {
		return hook.Frame{File: file, Line: l, Column: formulaColumn(text)}, true
	}
	shift := 0
	if file == m.inline && m.inline != "" {
		shift = m.indent
		text = text[min(shift, len(text)):]
	}
	units := utf16.Encode([]rune(text))
	c = len(utf16.Decode(units[:min(c, len(units))]))
	return hook.Frame{File: file, Line: l, Column: c + shift + 1}, true
}

// snippet cuts the lines around a place out of the file.
func (m *positions) snippet(f hook.Frame) diagnostic.Snippet {
	if m.consumer == nil {
		return diagnostic.Snippet{}
	}
	return diagnostic.SnippetAt([]byte(m.consumer.SourceContent(namespace+":"+f.File)), f.Line)
}

// lineOf returns the n-th line of text, from 1, or "".
func lineOf(text string, n int) string {
	for ; n > 1; n-- {
		_, rest, ok := strings.Cut(text, "\n")
		if !ok {
			return ""
		}
		text = rest
	}
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// lines finds the line and column of offsets in a text.
type lines []int // the offsets at which lines begin

func newLines(text []byte) lines {
	l := lines{0}
	for i, c := range text {
		if c == '\n' {
			l = append(l, i+1)
		}
	}
	return l
}

// at returns line and column of an offset, both from 1, the column in bytes.
func (l lines) at(offset int) (line, column int) {
	i := sort.Search(len(l), func(i int) bool { return l[i] > offset }) - 1
	return i + 1, offset - l[i] + 1
}

// offset is the reverse of at.
func (l lines) offset(line, column int) int {
	if line < 1 || line > len(l) {
		return 0
	}
	return l[line-1] + column - 1
}
