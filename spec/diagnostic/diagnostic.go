// Package diagnostic is how the project tells people what is wrong with a file
// they wrote: where (file:line:col), what, why and how to mend it, with the
// lines of source around it. spec, config, match, verify, script and fixture
// make diagnostics; cli, live and console show them.
//
// It is a leaf: it imports the standard library only.
package diagnostic

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Severity orders diagnostics: an Error makes the file unusable, a Warning
// does not.
type Severity uint8

// The severities.
const (
	Error Severity = iota
	Warning
)

func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// MarshalText makes severities readable in JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Diagnostic is one finding about one place.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	// Code names the kind of finding for machines: stable, kebab-case, such as "unknown-key".
	Code string `json:"code"`
	// File is the path as it is shown to the person.
	File string `json:"file"`
	// Line and Column count from 1, Column in characters; 0 means unknown.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// EndLine and EndColumn point behind the last character; 0 means unknown.
	EndLine   int `json:"endLine,omitempty"`
	EndColumn int `json:"endColumn,omitempty"`
	// Message says what is wrong and why, in a sentence without a full stop.
	Message string `json:"message"`
	// Hint says how to mend it; "" when the message does already.
	Hint string `json:"hint,omitempty"`
	// Snippet is the source around the place.
	Snippet Snippet `json:"snippet,omitzero"`
}

// Snippet is a few lines of a source file.
type Snippet struct {
	// First is the number of Lines[0], counted from 1.
	First int      `json:"first"`
	Lines []string `json:"lines"`
}

// maxSnippetColumns bounds how much of a line is kept, since sources may be minified.
const maxSnippetColumns = 4096

// SnippetAt cuts the lines around line out of source: up to two before it, and
// one behind. Of a very long line only the beginning is kept. It is empty
// where there is no such line.
func SnippetAt(source []byte, line int) Snippet {
	if line < 1 {
		return Snippet{}
	}
	s := Snippet{First: max(1, line-2)}
	for number := 1; number <= line+1 && len(source) > 0; number++ {
		text := source
		if end := bytes.IndexByte(source, '\n'); end >= 0 {
			text, source = source[:end], source[end+1:]
		} else {
			source = nil
		}
		if number >= s.First {
			s.Lines = append(s.Lines, snippetLine(text))
		}
	}
	if len(s.Lines) <= line-s.First {
		return Snippet{}
	}
	return s
}

func snippetLine(text []byte) string {
	text = bytes.TrimRight(text, "\r")
	columns, end := 0, 0
	for end < len(text) && columns < maxSnippetColumns {
		_, size := utf8.DecodeRune(text[end:])
		end += size
		columns++
	}
	s := strings.ToValidUTF8(string(text[:end]), "\uFFFD")
	if end < len(text) {
		s += "…"
	}
	return s
}

// Position is the place as "file:line:col", with what is unknown left out.
func (d Diagnostic) Position() string {
	switch {
	case d.Line == 0:
		return d.File
	case d.Column == 0:
		return fmt.Sprintf("%s:%d", d.File, d.Line)
	}
	return fmt.Sprintf("%s:%d:%d", d.File, d.Line, d.Column)
}

// Error is the diagnostic on one line.
func (d Diagnostic) Error() string {
	s := d.Position() + ": " + d.Message
	if d.Hint != "" {
		s += " (" + d.Hint + ")"
	}
	return s
}

// List is all findings of one look at something. As an error it says how many
// there are and shows the first; it is only returned as an error when
// HasErrors. The zero value is ready to use.
type List []Diagnostic

// Add appends findings.
func (l *List) Add(d ...Diagnostic) { *l = append(*l, d...) }

// HasErrors reports whether any finding is an Error.
func (l List) HasErrors() bool {
	return slices.ContainsFunc(l, func(d Diagnostic) bool { return d.Severity == Error })
}

// Count returns how many errors and warnings there are.
func (l List) Count() (errors, warnings int) {
	for _, d := range l {
		if d.Severity == Error {
			errors++
		} else {
			warnings++
		}
	}
	return errors, warnings
}

// Sort puts findings in order of file, line and column.
func (l List) Sort() {
	slices.SortStableFunc(l, func(a, b Diagnostic) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

func (l List) Error() string {
	errors, _ := l.Count()
	for _, d := range l {
		if d.Severity == Error {
			if errors == 1 {
				return d.Error()
			}
			return fmt.Sprintf("%s (and %s)", d.Error(), plural(errors-1, "more error"))
		}
	}
	return "no errors"
}

// Err returns l as an error when it has errors, else nil.
func (l List) Err() error {
	if l.HasErrors() {
		return l
	}
	return nil
}
