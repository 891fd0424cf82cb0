package diagnostic

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// WriteText prints findings for people, each with its code frame, and a closing
// line that counts them. With color, ANSI colours are used. A list without
// findings prints nothing.
func WriteText(w io.Writer, l List, color bool) error {
	paint := func(code, s string) string {
		if !color {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	var b strings.Builder
	for _, d := range l {
		hue := "1;31"
		if d.Severity == Warning {
			hue = "1;33"
		}
		if position := printable(d.Position()); position != "" {
			fmt.Fprintf(&b, "%s: ", paint("1", position))
		}
		label := d.Severity.String()
		if d.Code != "" {
			label += "[" + d.Code + "]"
		}
		fmt.Fprintf(&b, "%s %s\n", paint(hue, label+":"), printable(d.Message))
		writeFrame(&b, d, paint, hue)
		if d.Hint != "" {
			fmt.Fprintf(&b, "  %s %s\n", paint("36", "help:"), printable(d.Hint))
		}
		b.WriteByte('\n')
	}
	if errors, warnings := l.Count(); errors+warnings > 0 {
		var parts []string
		if errors > 0 {
			parts = append(parts, plural(errors, "error"))
		}
		if warnings > 0 {
			parts = append(parts, plural(warnings, "warning"))
		}
		fmt.Fprintln(&b, strings.Join(parts, ", "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Frame is the finding's code frame: numbered lines with a marker under the
// place; "" when the source is not known.
func (d Diagnostic) Frame() string {
	var b strings.Builder
	writeFrame(&b, d, func(_, s string) string { return s }, "")
	return b.String()
}

// How frames are laid out, in columns of a terminal.
const (
	frameWidth = 120
	tabWidth   = 4
)

func writeFrame(b *strings.Builder, d Diagnostic, paint func(code, s string) string, hue string) {
	lines := d.Snippet.Lines
	if len(lines) == 0 {
		return
	}
	width := len(fmt.Sprint(d.Snippet.First + len(lines) - 1))

	// Where the marked line is longer than the frame is wide, all lines are
	// seen through a window around the place.
	from := 0
	marked := d.Line - d.Snippet.First
	hasMarker := marked >= 0 && marked < len(lines) && d.Column > 0
	if hasMarker {
		if total := utf8.RuneCountInString(lines[marked]); total > frameWidth && d.Column > frameWidth*3/4 {
			from = max(0, min(d.Column-frameWidth/2, total-frameWidth))
		}
	}
	for i, text := range lines {
		marker := " "
		if i == marked {
			marker = ">"
		}
		shown, starts := layOut(text, from)
		gutter := fmt.Sprintf("%s %*d |", marker, width, d.Snippet.First+i)
		if shown == "" {
			fmt.Fprintf(b, "%s\n", paint("2", gutter))
		} else {
			fmt.Fprintf(b, "%s %s\n", paint("2", gutter), shown)
		}
		if i != marked || !hasMarker {
			continue
		}
		// starts[k] is where the k-th character of the window begins; the last one is its end.
		first := d.Column - 1 - from
		if first >= len(starts) {
			continue
		}
		last := first + 1
		switch {
		case d.EndLine > d.Line:
			last = len(starts) - 1
		case d.EndColumn > d.Column && d.EndLine <= d.Line:
			last = d.EndColumn - 1 - from
		}
		begin, end := starts[first], starts[min(last, len(starts)-1)]
		fmt.Fprintf(b, "%s %s%s\n", paint("2", fmt.Sprintf("  %*s |", width, "")),
			strings.Repeat(" ", begin), paint(hue, strings.Repeat("^", max(1, end-begin))))
	}
}

// layOut is the part of a line that begins with its character from (counted
// from 0), as a terminal can show it: tabs are spaces, control characters are
// replaced. starts has the terminal column at which each character
// begins, and one more for the end.
func layOut(text string, from int) (shown string, starts []int) {
	var b strings.Builder
	column, index := 0, 0
	for _, r := range text {
		if index++; index <= from {
			continue
		}
		if index == from+1 && from > 0 {
			r = '…'
		}
		if column >= frameWidth {
			b.WriteString("…")
			break
		}
		starts = append(starts, column)
		if r == '\t' {
			n := tabWidth - column%tabWidth
			b.WriteString(strings.Repeat(" ", n))
			column += n
			continue
		}
		b.WriteString(printable(string(r)))
		column += cells(r)
	}
	return strings.TrimRight(b.String(), " "), append(starts, column)
}

// cells is how many columns of a terminal a character takes.
func cells(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me) || r == '\u200D' || r == '\u200B' || r == '\uFEFF':
		return 0
	case unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana),
		r >= 0x3000 && r <= 0x303E, r >= 0xFF01 && r <= 0xFF60, r >= 0xFFE0 && r <= 0xFFE6,
		r >= 0x1F300 && r <= 0x1F64F, r >= 0x1F680 && r <= 0x1F6FF, r >= 0x1F900 && r <= 0x1FAFF:
		return 2
	}
	return 1
}

// printable keeps control characters of a source or message from reaching
// the terminal, and characters that turn the direction of text around, behind which
// code can look like other code.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case r < 0x20, r >= 0x7f && r < 0xa0, r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069:
			return '\uFFFD'
		}
		return r
	}, s)
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// WriteJSON prints findings as one JSON array, for editors and scripts.
func WriteJSON(w io.Writer, l List) error {
	if l == nil {
		l = List{}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(l)
}

// WriteSARIF prints findings in the Static Analysis Results Interchange Format
// 2.1.0 (https://docs.oasis-open.org/sarif/sarif/v2.1.0/), for code hosts.
func WriteSARIF(w io.Writer, l List, toolVersion string) error {
	type object = map[string]any
	rules, seen := []object{}, map[string]bool{}
	results := []object{}
	for _, d := range l {
		if !seen[d.Code] {
			seen[d.Code] = true
			rules = append(rules, object{"id": d.Code})
		}
		text := d.Message
		if d.Hint != "" {
			text += " (" + d.Hint + ")"
		}
		location := object{"artifactLocation": object{"uri": fileURI(d.File)}}
		if d.Line > 0 {
			region := object{"startLine": d.Line}
			if d.Column > 0 {
				region["startColumn"] = d.Column
			}
			if d.EndLine > 0 {
				region["endLine"] = d.EndLine
			}
			if d.EndColumn > 0 {
				region["endColumn"] = d.EndColumn
			}
			location["region"] = region
		}
		result := object{"ruleId": d.Code, "level": d.Severity.String(), "message": object{"text": text}}
		if d.File != "" {
			result["locations"] = []object{{"physicalLocation": location}}
		}
		results = append(results, result)
	}
	driver := object{"name": "switchhook", "rules": rules}
	if toolVersion != "" {
		driver["version"] = toolVersion
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(object{
		"$schema": "https://json.schemastore.org/sarif-2.1.0.json",
		"version": "2.1.0",
		"runs": []object{{
			"tool":       object{"driver": driver},
			"columnKind": "unicodeCodePoints",
			"results":    results,
		}},
	})
}

// fileURI is a path as a URI reference: relative paths stay relative.
func fileURI(file string) string {
	u := url.URL{Path: filepath.ToSlash(file)}
	if filepath.IsAbs(file) {
		u.Scheme = "file"
	}
	return u.String()
}
