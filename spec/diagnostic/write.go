package diagnostic

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
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
		fmt.Fprintf(&b, "%s: %s %s\n", paint("1", d.Position()), paint(hue, d.Severity.String()+":"), printable(d.Message))
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

func writeFrame(b *strings.Builder, d Diagnostic, paint func(code, s string) string, hue string) {
	if len(d.Snippet.Lines) == 0 {
		return
	}
	width := len(fmt.Sprint(d.Snippet.First + len(d.Snippet.Lines) - 1))
	for i, text := range d.Snippet.Lines {
		number := d.Snippet.First + i
		marker := " "
		if number == d.Line {
			marker = ">"
		}
		shown := strings.ReplaceAll(text, "\t", " ")
		fmt.Fprintf(b, "%s %s\n", paint("2", fmt.Sprintf("%s %*d |", marker, width, number)), printable(shown))
		if number == d.Line && d.Column > 0 {
			length := 1
			if d.EndLine == d.Line && d.EndColumn > d.Column {
				length = d.EndColumn - d.Column
			}
			if rest := len([]rune(shown)) - (d.Column - 1); length > rest {
				length = max(1, rest)
			}
			if d.Column <= maxSnippetColumns {
				fmt.Fprintf(b, "%s %s%s\n", paint("2", fmt.Sprintf("  %*s |", width, "")),
					strings.Repeat(" ", d.Column-1), paint(hue, strings.Repeat("^", length)))
			}
		}
	}
}

// printable keeps control characters of a source or message from reaching the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' || r >= 0x7f && r < 0xa0 {
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
			text += ". " + d.Hint
		}
		location := object{"artifactLocation": object{"uri": filepath.ToSlash(d.File)}}
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
		results = append(results, object{
			"ruleId": d.Code, "level": d.Severity.String(), "message": object{"text": text},
			"locations": []object{{"physicalLocation": location}},
		})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(object{
		"$schema": "https://json.schemastore.org/sarif-2.1.0.json",
		"version": "2.1.0",
		"runs": []object{{
			"tool":       object{"driver": object{"name": "switchhook", "version": toolVersion, "rules": rules}},
			"columnKind": "unicodeCodePoints",
			"results":    results,
		}},
	})
}
