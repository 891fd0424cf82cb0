package diagnostic_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"switchhook/spec/diagnostic"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := "testdata/" + name
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); run with -update if that is right:\n%s", file, diff)
	}
}

// sample has one finding of each shape.
func sample() diagnostic.List {
	source := func(lines ...string) []byte { return []byte(strings.Join(lines, "\n") + "\n") }
	at := func(text []byte, line, column, endLine, endColumn int) diagnostic.Diagnostic {
		return diagnostic.Diagnostic{Code: "unknown-key", File: "connectors/acme.yml", Line: line, Column: column, EndLine: endLine, EndColumn: endColumn,
			Message: `the key "verfiy" is not known here`, Hint: `did you mean "verify"?`, Snippet: diagnostic.SnippetAt(text, line)}
	}
	yaml := source("key: acme", "globalWebhooks:", "  orders:", "    verfiy: none", "    handle: |", "      x")
	warning := at(yaml, 4, 5, 4, 11)
	warning.Severity = diagnostic.Warning
	long := strings.Repeat("let a=1;", 40) + "boom()" + strings.Repeat(";let b=2", 40)
	return diagnostic.List{
		at(yaml, 4, 5, 4, 11),
		warning,
		at(yaml, 1, 1, 0, 0),
		at(yaml, 4, 0, 0, 0),
		at(yaml, 4, 5, 6, 3),
		at(yaml, 4, 5, 4, 99),
		at(yaml, 4, 99, 4, 100),
		at(source("\thandle: |", "\t\treturn\tdata"), 2, 3, 2, 9),
		at(source("name: \"日本語\" x"), 1, 13, 1, 14),
		at(source("name: 🎉 x", "café: e\u0301 x"), 2, 10, 2, 11),
		at(source("short", long, "short"), 2, 321, 2, 325),
		at(source("short", long), 2, 5, 2, 6),
		at(source("a: \x1b[31mred\x1b[0m", "b: \u202Etxt.exe\u2066"), 2, 4, 2, 6),
		{Code: "no-spec", File: "connectors/box", Message: "there is no spec.yml in this folder"},
		{Code: "x", File: "a\x1b[2Jb", Message: "the name \x1b[31m is odd", Hint: "rename\x07 it"},
		{Message: "nothing is known about the place"},
	}
}

func TestWriteText(t *testing.T) {
	var b bytes.Buffer
	if err := diagnostic.WriteText(&b, sample(), false); err != nil {
		t.Fatal(err)
	}
	golden(t, "text.golden", b.Bytes())
	if strings.Contains(b.String(), "\x1b") {
		t.Error("an escape sequence of a source reaches the terminal")
	}
	for line := range strings.Lines(b.String()) {
		if strings.TrimRight(line, " \n") != strings.TrimRight(line, "\n") {
			t.Errorf("space at the end of %q", line)
		}
		if utf8.RuneCountInString(line) > 140 {
			t.Errorf("a line of %d columns: %s", utf8.RuneCountInString(line), line)
		}
	}
}

func TestWriteTextInColor(t *testing.T) {
	var plain, color bytes.Buffer
	if err := diagnostic.WriteText(&color, sample()[:2], true); err != nil {
		t.Fatal(err)
	}
	golden(t, "color.golden", color.Bytes())
	// Without the colours it is the same text.
	if err := diagnostic.WriteText(&plain, sample()[:2], false); err != nil {
		t.Fatal(err)
	}
	stripped := color.String()
	for _, code := range []string{"0", "1", "2", "36", "1;31", "1;33"} {
		stripped = strings.ReplaceAll(stripped, "\x1b["+code+"m", "")
	}
	if stripped != plain.String() {
		t.Error(cmp.Diff(plain.String(), stripped))
	}
}

func TestWriteNothing(t *testing.T) {
	var b bytes.Buffer
	if err := diagnostic.WriteText(&b, nil, true); err != nil || b.Len() > 0 {
		t.Errorf("text: %q, %v", b.String(), err)
	}
	if err := diagnostic.WriteJSON(&b, nil); err != nil || strings.TrimSpace(b.String()) != "[]" {
		t.Errorf("JSON: %q, %v", b.String(), err)
	}
}

func TestWriteJSON(t *testing.T) {
	var b bytes.Buffer
	if err := diagnostic.WriteJSON(&b, sample()[:5]); err != nil {
		t.Fatal(err)
	}
	golden(t, "findings.json", b.Bytes())
	b.Reset()
	if err := diagnostic.WriteJSON(&b, sample()); err != nil {
		t.Fatal(err)
	}
	var back []map[string]any
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || len(back) != len(sample()) {
		t.Errorf("%d findings, %v", len(back), err)
	}
}

func TestWriteSARIF(t *testing.T) {
	list := append(sample()[:5],
		diagnostic.Diagnostic{Code: "x", File: "/tmp/a folder/ü#1.yml", Line: 1, Message: "absolute"},
		diagnostic.Diagnostic{Code: "x", File: "a b:c.yml", Line: 1, Message: "relative"},
		diagnostic.Diagnostic{Code: "y", Message: "nowhere"})
	var b bytes.Buffer
	if err := diagnostic.WriteSARIF(&b, list, "1.2.3"); err != nil {
		t.Fatal(err)
	}
	golden(t, "findings.sarif", b.Bytes())
	b.Reset()
	if err := diagnostic.WriteSARIF(&b, nil, ""); err != nil {
		t.Fatal(err)
	}
	golden(t, "empty.sarif", b.Bytes())
}

func TestDidYouMean(t *testing.T) {
	known := []string{"verify", "handshake", "handle", "globalWebhooks", "get-event-selector", "name", "key", "id", "url", "secret", "secrets"}
	for word, want := range map[string]string{
		"verfiy": "verify", "verifiy": "verify", "Verify": "verify", "veryfi": "verify", "hadle": "handle", "handles": "handle", "handsake": "handshake",
		"global-webhooks": "globalWebhooks", "global_webhook": "globalWebhooks", "globalWebhook": "globalWebhooks", "getEventSelector": "get-event-selector",
		"nmae": "name", "keys": "key", "secert": "secret", "secretz": "secret", "urls": "url",
		"": "", "x": "", "q": "", "on": "", "completely different": "", "verify": "", "zzzzzz": "", "ab": "",
	} {
		if got := diagnostic.Nearest(word, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
		wantText := ""
		if want != "" {
			wantText = fmt.Sprintf("did you mean %q?", want)
		}
		if got := diagnostic.DidYouMean(word, known); got != wantText {
			t.Errorf("DidYouMean(%q) = %q", word, got)
		}
	}
	if got := diagnostic.Nearest(strings.Repeat("x", 1<<16), []string{strings.Repeat("x", 1<<16) + "y"}); got != "" {
		t.Error("very long words are compared")
	}
}

func TestSnippetAt(t *testing.T) {
	source := []byte("1\n2\r\n3\n4\n5")
	for line, want := range map[int]diagnostic.Snippet{
		1: {First: 1, Lines: []string{"1", "2"}},
		2: {First: 1, Lines: []string{"1", "2", "3"}},
		4: {First: 2, Lines: []string{"2", "3", "4", "5"}},
		5: {First: 3, Lines: []string{"3", "4", "5"}},
		0: {}, 6: {}, -1: {}, 100: {},
	} {
		if diff := cmp.Diff(want, diagnostic.SnippetAt(source, line)); diff != "" {
			t.Errorf("line %d: %s", line, diff)
		}
	}
	if s := diagnostic.SnippetAt([]byte("a\xffb"), 1); s.Lines[0] != "a\uFFFDb" {
		t.Errorf("%q", s.Lines)
	}
	if s := diagnostic.SnippetAt([]byte(strings.Repeat("é", 1<<20)), 1); utf8.RuneCountInString(s.Lines[0]) > 5000 {
		t.Error("a very long line is kept whole")
	}
	if s := diagnostic.SnippetAt(nil, 1); len(s.Lines) > 0 {
		t.Errorf("%q", s.Lines)
	}
}

func TestList(t *testing.T) {
	var l diagnostic.List
	if l.HasErrors() || l.Err() != nil || l.Error() != "no errors" {
		t.Error("an empty list has errors")
	}
	l.Add(diagnostic.Diagnostic{Severity: diagnostic.Warning, File: "b", Line: 1, Message: "w"})
	if l.HasErrors() || l.Err() != nil {
		t.Error("a warning is an error")
	}
	l.Add(diagnostic.Diagnostic{File: "b", Line: 2, Column: 3, Message: "e1", Hint: "h"}, diagnostic.Diagnostic{File: "a", Line: 9, Message: "e2"})
	if e, w := l.Count(); e != 2 || w != 1 {
		t.Errorf("Count() = %d, %d", e, w)
	}
	if got := l.Error(); got != "b:2:3: e1 (h) (and 1 more error)" {
		t.Errorf("Error() = %q", got)
	}
	l.Add(diagnostic.Diagnostic{File: "b", Line: 2, Column: 1, Message: "e3"})
	if got := l.Error(); got != "b:2:3: e1 (h) (and 2 more errors)" {
		t.Errorf("Error() = %q", got)
	}
	l.Sort()
	var order []string
	for _, d := range l {
		order = append(order, d.Message)
	}
	if got := strings.Join(order, " "); got != "e2 w e3 e1" {
		t.Errorf("sorted: %s", got)
	}
	wrapped := fmt.Errorf("load: %w", l.Err())
	var back diagnostic.List
	if !errors.As(wrapped, &back) || len(back) != 4 {
		t.Error("errors.As does not find the list")
	}
	if one := (diagnostic.List{l[0]}); one.Error() != "a:9: e2" {
		t.Errorf("Error() = %q", one.Error())
	}
}

func FuzzFrame(f *testing.F) {
	f.Add("a\n\tb\nc", 2, 2, 2, 3)
	f.Add(strings.Repeat("x", 500), 1, 400, 1, 500)
	f.Add("日本\u0301語\x1b\u202e", 1, 3, 9, 1)
	f.Fuzz(func(t *testing.T, source string, line, column, endLine, endColumn int) {
		d := diagnostic.Diagnostic{Line: line, Column: column, EndLine: endLine, EndColumn: endColumn, Snippet: diagnostic.SnippetAt([]byte(source), line)}
		frame := d.Frame()
		if strings.ContainsAny(frame, "\x1b\u202e\t") || !utf8.ValidString(frame) {
			t.Fatalf("%q", frame)
		}
		for text := range strings.Lines(frame) {
			if utf8.RuneCountInString(text) > 2*(120+40) {
				t.Fatalf("a line of %d characters", utf8.RuneCountInString(text))
			}
		}
	})
}
