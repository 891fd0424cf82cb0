package document_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"switchhook/spec/document"
)

func TestRewrite(t *testing.T) {
	for name, c := range map[string]struct {
		source string
		edits  map[string]string // by path; with a + in front, appended
		want   string            // "" where it must be refused
	}{
		"a word":            {"a: one # why\nb: two\n", map[string]string{"a": `"three"`}, "a: three # why\nb: two\n"},
		"a number":          {"a: 1\n", map[string]string{"a": `12345678901234567890`}, "a: 12345678901234567890\n"},
		"looks like others": {"a: x\n", map[string]string{"a": `"true"`}, "a: \"true\"\n"},
		"quoted":            {"a: 'it''s' # why\n", map[string]string{"a": `"x: y"`}, "a: 'x: y' # why\n"},
		"double quoted":     {"a: \"say \\\"x\\\"\", # no\nb: 1\n", map[string]string{"b": `2`}, ""},
		"escapes":           {"a: \"say \\\"x\\\"\"  # yes\n", map[string]string{"a": `"z"`}, "a: z  # yes\n"},
		"in braces":         {"x: {a: 1, b: [one, two]} # c\n", map[string]string{"x.a": `{"n": "p, q"}`, "x.b.1": `null`}, "x: {a: {n: \"p, q\"}, b: [one, null]} # c\n"},
		"whole braces":      {"x: {a: \"}\", b: '{'} # c\ny: 1\n", map[string]string{"x": `{"a": [1, 2]}`}, "x: {a: [1, 2]} # c\ny: 1\n"},
		"lines":             {"x:\n  # first\n  a: 1\n  b:\n    - 2 # two\n    - 3\n# end\ny: 1\n", map[string]string{"x.b.0": `4`}, "x:\n  # first\n  a: 1\n  b:\n    - 4 # two\n    - 3\n# end\ny: 1\n"},
		"a map of lines":    {"x:\n  b:\n    - p: 1\n      q: 2 # two\n    - 3\n", map[string]string{"x.b.0": `{"p": 5, "r": {"s": [1]}}`}, "x:\n  b:\n    - p: 5\n      r:\n        s:\n          - 1 # two\n    - 3\n"},
		"lines to a word":   {"x:\n  a: 1\ny: 2\n", map[string]string{"x": `"gone"`}, "x: gone\ny: 2\n"},
		"lines to nothing":  {"x:\n  - a: 1\ny: 2\n", map[string]string{"x": `[]`}, "x: []\ny: 2\n"},
		"a block":           {"x: |\n  one\n  two\n\ny: 2\n", map[string]string{"x": `"three"`}, "x: three\n\ny: 2\n"},
		"more lines":        {"x: one\n  two\ny: 2\n", map[string]string{"x": `"a\nb"`}, "x: \"a\\nb\"\ny: 2\n"},
		"nothing":           {"x:\ny: 2\n", map[string]string{"x": `[1]`}, "x: [1]\ny: 2\n"},
		"append to lines":   {"x:\n  - a: 1\n    b: 2 # two\n  # last\ny: 2\n", map[string]string{"+x": `{"a": 3, "b": [4]}`}, "x:\n  - a: 1\n    b: 2 # two\n  - a: 3\n    b:\n      - 4\n  # last\ny: 2\n"},
		"append in line":    {"x: [a, {b: 1}] # c\n", map[string]string{"+x": `{"a": 3}`}, "x: [a, {b: 1}, {a: 3}] # c\n"},
		"append to empty":   {"x: []\n", map[string]string{"+x": `{"a": 3}`}, "x: [{a: 3}]\n"},
		"remove from lines": {"x:\n  - a: 1 # one\n    b: 2\n  - 2 # two\n  - 3 # three\ny: 1\n", map[string]string{"x.0.b": "", "x.1": ""}, "x:\n  - a: 1 # one\n  - 3 # three\ny: 1\n"},
		"remove the first":  {"x: [a, b, c]\ny: {p: 1, q: 2, r: 3}\nz:\n  p: 1\n  # q\n  q: 2\n", map[string]string{"x.0": "", "x.2": "", "y.p": "", "y.q": "", "z.p": ""}, "x: [b]\ny: {r: 3}\nz:\n  q: 2\n"},
		"remove all":        {"x: [a]\ny:\n  p: 1\n  q: 2\nz: 1\n", map[string]string{"x.0": "", "y.p": "", "y.q": ""}, "x: []\ny: {}\nz: 1\n"},
		"remove and append": {"x:\n  - a # A\n  - b\n", map[string]string{"x.0": "", "+x": "3"}, "x:\n  - b\n  - 3\n"},
		"a tag":             {"x: !exact {a: 1}\n", map[string]string{"x.a": `2`}, "x: !exact {a: 2}\n"},
		"a tag itself":      {"x: !exact\n  a: 1\n", map[string]string{"x.a": `2`}, "x: !exact\n  a: 2\n"},
		"all with a tag":    {"x: !exact\n  a: 1\ny: !exact {b: 2}\n", map[string]string{"x": `{"c": 3}`, "y": `{"d": 4}`}, "x: !exact\n  c: 3\ny: !exact {d: 4}\n"},
		"an anchor":         {"x: &x {a: 1}\ny: *x\n", map[string]string{"x.a": `2`}, ""},
		"an alias":          {"x: &x {a: 1}\ny: *x\n", map[string]string{"y.a": `2`}, ""},
		"behind a merge":    {"x: &x {a: 1}\ny:\n  <<: *x\n  b: 1\n", map[string]string{"y.b": `2`}, "x: &x {a: 1}\ny:\n  <<: *x\n  b: 2\n"},
		"other characters":  {"x: {ä: ö, b: ü} # ß\n", map[string]string{"x.b": `"é"`}, "x: {ä: ö, b: é} # ß\n"},
		"windows":           {"x: 1\r\ny: 2\r\n", map[string]string{"x": `3`}, "x: 3\r\ny: 2\r\n"},
		"the same":          {"x: 1 # c\n", map[string]string{"x": `1`}, "x: 1 # c\n"},
		"the document":      {"- a: 1\n", map[string]string{"": `[]`}, "[]\n"},
	} {
		t.Run(name, func(t *testing.T) {
			doc, list := document.Parse("x.yml", []byte(c.source))
			if list.HasErrors() {
				if c.want != "" {
					t.Fatal(list)
				}
				return
			}
			var edits []document.Edit
			for path, value := range c.edits {
				at, add := strings.CutPrefix(path, "+")
				n := doc.Root
				if at != "" {
					n = doc.Root.At(strings.Split(at, ".")...)
				}
				edits = append(edits, document.Edit{Node: n, Value: json.RawMessage(value), Append: add, Remove: value == ""})
			}
			got, err := doc.Rewrite(edits)
			if c.want == "" {
				if !errors.Is(err, document.ErrUnwritable) {
					t.Errorf("Rewrite = %q, %v", got, err)
				}
				return
			}
			if err != nil || string(got) != c.want {
				t.Errorf("Rewrite: %v\ngot:\n%s\nwant:\n%s", err, got, c.want)
			}
		})
	}
}

// Every value of the bundled fixtures can be changed to any kind of value, one by one.
func TestRewriteFixtures(t *testing.T) {
	files, err := filepath.Glob("../../connectors/*/fixtures/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	if testing.Short() {
		files = files[:3]
	}
	long, _ := json.Marshal(map[string]any{"a": strings.Repeat("long ", 30), "b": []any{1, map[string]any{}, "x: y #z", nil}}) // it encodes
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		doc, list := document.Parse(file, source)
		if list.HasErrors() {
			t.Fatal(list)
		}
		count := 0
		var visit func(n *document.Node)
		visit = func(n *document.Node) {
			if count++; count%29 == 0 {
				for _, value := range []string{`"word"`, `{"a": {"b": [1]}}`, string(long), `[]`, `"two\nlines"`} {
					if _, err := doc.Rewrite([]document.Edit{{Node: n, Value: json.RawMessage(value)}}); err != nil {
						t.Errorf("to %s: %v", value, err)
					}
				}
				if n.Kind == document.List {
					if _, err := doc.Rewrite([]document.Edit{{Node: n, Value: long, Append: true}}); err != nil {
						t.Errorf("append: %v", err)
					}
				}
			}
			for _, e := range n.Entries() {
				visit(e.Value)
			}
			for _, item := range n.Items() {
				visit(item)
			}
		}
		visit(doc.Root)
	}
}

// Whatever is changed in whatever document: the result reads as it has to, or
// the change is refused, and nothing else in the text changes.
func FuzzRewrite(f *testing.F) {
	for _, seed := range []string{"a: 1 # c\nb: [x, {y: 'z'}]\n", "- a: |\n    text\n  b: >-\n    more\n- !t {c: \"d\"}\n", "x: &a\n  y: *b\n", "? a\n: b\n", "{a: b, c: [d], }", "a:\n\n  - b\n\n  # c\n  - d: e\n    f:\n"} {
		for place := range uint8(6) {
			f.Add(seed, place, place)
		}
	}
	values := []string{`"word"`, `{"a": {"b": [1]}}`, `[]`, `"two\nlines"`, `null`, `[1, {"x": "y: z"}]`, ``}
	f.Fuzz(func(t *testing.T, source string, place, what uint8) {
		doc, list := document.Parse("x.yml", []byte(source))
		if list.HasErrors() {
			return
		}
		var nodes []*document.Node
		var visit func(n *document.Node)
		visit = func(n *document.Node) {
			nodes = append(nodes, n)
			for _, e := range n.Entries() {
				visit(e.Value)
			}
			for _, item := range n.Items() {
				visit(item)
			}
		}
		visit(doc.Root)
		n := nodes[int(place)%len(nodes)]
		value := values[int(what)%len(values)]
		got, err := doc.Rewrite([]document.Edit{{Node: n, Value: json.RawMessage(value), Remove: value == "", Append: what > 200 && value != ""}})
		if err != nil {
			return
		}
		changed, list := document.Parse("x.yml", got)
		if list.HasErrors() {
			t.Fatalf("%q became %q: %v", source, got, list)
		}
		if n != doc.Root && what <= 200 && value != "" && len(changed.Root.JSON()) == 0 {
			t.Fatalf("%q became %q", source, got)
		}
	})
}
