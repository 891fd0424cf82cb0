package document_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

func parse(t *testing.T, source string) *document.Node {
	t.Helper()
	doc, list := document.Parse("f.yml", []byte(source))
	if err := list.Err(); err != nil {
		t.Fatalf("Parse(%q): %v", source, err)
	}
	return doc.Root
}

func TestJSON(t *testing.T) {
	tests := []struct{ yaml, want string }{
		{"", "null"},
		{"# only a comment\n", "null"},
		{"~", "null"},
		{"a: 1", `{"a":1}`},
		{"{b: 1, a: 2}", `{"b":1,"a":2}`},
		{"[true, False, yes, null, 'null']", `[true,false,"yes",null,"null"]`},
		{"12345678901234567890123", "12345678901234567890123"},
		{"9007199254740993", "9007199254740993"},
		{"1.10", "1.10"},
		{"0x1F", "31"},
		{"0o17", "15"},
		{"1_000", "1000"},
		{"+5", "5"},
		{".5", "0.5"},
		{"1e3", "1e3"},
		{".inf", "null"},
		{".nan", "null"},
		{"2026-01-02T03:04:05Z", `"2026-01-02T03:04:05Z"`},
		{"2026-01-02", `"2026-01-02"`},
		{"!!str 12", `"12"`},
		{"!exact {a: 1}", `{"a":1}`},
		{"!exact 5", "5"},
		{"!exact '5'", `"5"`},
		{"!exact null", "null"},
		{"\"\\u00e9<&>\\u2028\\x00\"", `"é<&>\u2028\u0000"`},
		{"|\n  a\n   b\n", `"a\n b\n"`},
		{">-\n  a\n  b\n", `"a b"`},
		{"{\"json\": [1, 2.0, \"x\", {\"y\": null}]}", `{"json":[1,2.0,"x",{"y":null}]}`},
		{"a: &x {p: 1}\nb: *x", `{"a":{"p":1},"b":{"p":1}}`},
		{"a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}", `{"a":{"p":1,"q":2},"b":{"q":3,"p":1}}`},
		{"a: &x {p: 1}\nb: &y {p: 2, q: 2}\nc: {<<: [*x, *y]}", `{"a":{"p":1},"b":{"p":2,"q":2},"c":{"p":1,"q":2}}`},
		{"1: a\ntrue: b\n~: c", `{"1":"a","true":"b","~":"c"}`},
		{"'<<': 1", `{"<<":1}`},
	}
	for _, tt := range tests {
		got := string(parse(t, tt.yaml).JSON())
		if got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.yaml, got, tt.want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%q: invalid JSON %s", tt.yaml, got)
		}
	}
}

// The position that Code gives leads to the character itself, whatever the form.
func TestCodePositions(t *testing.T) {
	const first = "export"
	tests := []struct {
		name, yaml         string
		line, column, rest int
	}{
		{"literal", "a:\n  handle: |\n    export f\n    second\n", 3, 5, 4},
		{"strip", "handle: |-\n  export f\n  second\n", 2, 3, 2},
		{"keep", "handle: |+\n  export f\n  second\n\n", 2, 3, 2},
		{"folded", "handle: >\n  export f\n  second\n", 2, 3, 2},
		{"indicator", "handle: |2\n    export f\n  second\n", 2, 3, 2},
		{"indicator and chomping", "a:\n  handle: |-1\n     export f\n   second\n", 3, 4, 3},
		{"comment behind the header", "handle: | # code\n  export f\n  second\n", 2, 3, 2},
		{"anchor", "handle: &code |\n  export f\n  second\n", 2, 3, 2},
		{"tag on a line of its own", "handle: !js\n  |\n  export f\n  second\n", 3, 3, 2},
		{"plain", "handle: export f\n", 1, 9, 0},
		{"double quotes", "handle: \"export f\"\n", 1, 10, 0},
		{"single quotes", "handle: 'export f'\n", 1, 10, 0},
		{"tag and quotes", "handle: !js 'export f'\n", 1, 14, 0},
		{"windows", "handle: |\r\n  export f\r\n  second\r\n", 2, 3, 2},
		{"in a list", "- x: 1\n  handle: |\n      export f\n      second\n", 3, 7, 6},
		{"unicode before", "é: \"ü\"\nhandle: 'export f'\n", 2, 10, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := parse(t, tt.yaml)
			for n.Kind != document.String {
				switch {
				case n.Get("handle") != nil:
					n = n.Get("handle")
				case n.Get("a") != nil:
					n = n.Get("a")
				default:
					n = n.Items()[0]
				}
			}
			text, line, column, indent := n.Code()
			if line != tt.line || column != tt.column || indent != tt.rest {
				t.Errorf("got line %d, column %d, indent %d; want %d, %d, %d", line, column, indent, tt.line, tt.column, tt.rest)
			}
			// The text really is where Code says.
			lines := strings.Split(tt.yaml, "\n")
			source := []rune(strings.TrimRight(lines[line-1], "\r"))[column-1:]
			if want := strings.SplitN(text, "\n", 2)[0]; !n.Folded && !strings.HasPrefix(string(source), want) {
				t.Errorf("at that place stands %q, not %q", string(source), want)
			}
			if i := strings.Index(text, "\nsecond"); i >= 0 && n.Block && !n.Folded {
				if got := strings.TrimRight(lines[line], "\r")[indent:]; got != "second" {
					t.Errorf("the second line at the indent is %q", got)
				}
			}
		})
	}
}

func TestCodeBehindBlankLines(t *testing.T) {
	text, line, _, indent := parse(t, "handle: |\n\n\n  export f\n").Get("handle").Code()
	if text != "\n\nexport f\n" || line != 2 || indent != 2 {
		t.Errorf("got %q, line %d, indent %d", text, line, indent)
	}
	if text, line, _, indent = parse(t, "handle: |\n\n\n").Get("handle").Code(); indent != 0 || line != 2 || strings.TrimSpace(text) != "" {
		t.Errorf("blank: got %q, line %d, indent %d", text, line, indent)
	}
}

// An alias is reported where it stands, but its code is where the anchor is.
func TestAliasPositions(t *testing.T) {
	n := parse(t, "a: &code |\n  first\nb: *code\nc: &again [1]\n").Get("b")
	if n.Line != 3 || n.Column != 4 {
		t.Errorf("alias at %d:%d, want 3:4", n.Line, n.Column)
	}
	if d := n.Errorf("x", "x"); d.EndLine != 3 || d.EndColumn != 9 {
		t.Errorf("alias ends at %d:%d, want 3:9", d.EndLine, d.EndColumn)
	}
	if text, line, column, indent := n.Code(); text != "first\n" || line != 2 || column != 3 || indent != 2 {
		t.Errorf("Code() = %q, %d, %d, %d", text, line, column, indent)
	}
}

func TestEnd(t *testing.T) {
	tests := []struct {
		yaml   string
		column int // where the value ends; 0: unknown
	}{
		{"a: word # comment", 8},
		{"a: two words", 13},
		{"a: two\n  lines", 7},
		{`a: "esc\taped" # c`, 15},
		{`a: 'it''s'`, 11},
		{"a: \"two\n  lines\"", 8},
		{"a: !x word # c", 11},
		{"a: |\n  x", 0},
		{"a: [1]", 0},
		{"a:", 0},
		{"a: 日本", 6},
	}
	for _, tt := range tests {
		if d := parse(t, tt.yaml).Get("a").Errorf("x", "x"); d.EndColumn != tt.column {
			t.Errorf("%q: ends at column %d, want %d", tt.yaml, d.EndColumn, tt.column)
		}
	}
}

type inner struct {
	Name string `yaml:"name,required"`
	Port int    `yaml:"port"`
}

type outer struct {
	Text     string            `yaml:"text"`
	Flag     bool              `yaml:"flag"`
	Whole    int               `yaml:"whole|whole-number"`
	Small    uint16            `yaml:"small"`
	Real     float64           `yaml:"real"`
	Wait     time.Duration     `yaml:"wait"`
	Raw      json.RawMessage   `yaml:"raw"`
	Any      any               `yaml:"any"`
	Node     *document.Node    `yaml:"node"`
	List     []inner           `yaml:"list"`
	Map      map[string]*inner `yaml:"map"`
	Optional *inner            `yaml:"optional"`
	Self     even              `yaml:"self"`
	ignored  string
}

type even int

func (e *even) DecodeNode(n *document.Node) diagnostic.List {
	if len(n.Value)%2 != 0 {
		return diagnostic.List{n.Errorf("odd", "%q is odd", n.Value)}
	}
	*e = even(len(n.Value))
	return nil
}

func TestDecode(t *testing.T) {
	n := parse(t, `
text: hello
flag: true
whole-number: 0x10
small: 65535
real: 1
wait: 1m30s
raw: {b: 1, a: [x]}
any: {a: [1, null]}
node: {x: 1}
list: [{name: a}, {name: b, port: 2}]
map: {k: {name: c}}
optional: ~
self: four
`)
	var got outer
	if list := n.Decode(&got); len(list) > 0 {
		t.Fatal(list)
	}
	if got.Node == nil || got.Node.Get("x") == nil {
		t.Error("the node is missing")
	}
	got.Node = nil
	want := outer{Text: "hello", Flag: true, Whole: 16, Small: 65535, Real: 1, Wait: 90 * time.Second,
		Raw: json.RawMessage(`{"b":1,"a":["x"]}`), Any: map[string]any{"a": []any{1.0, nil}},
		List: []inner{{Name: "a"}, {Name: "b", Port: 2}}, Map: map[string]*inner{"k": {Name: "c"}}, Self: 4}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(outer{})); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeMistakes(t *testing.T) {
	var b strings.Builder
	for _, source := range []string{
		"",
		"[1]",
		"text: 5\nflag: maybe\nwhole: x\nsmall: 70000\nreal: .inf\nwait: 5\n",
		"wait: soon\n",
		"wait: -5s\n",
		"whole: 99999999999999999999\nsmall: -1\n",
		"whole: 1\nwhole-number: 2\n",
		"list:\n  - port: 1\n  - name:\n  - nam: x\n    prot: 3\nmap: []\n",
		"txet: hi\nzzz: 1\n",
		"text: [a]\nlist: {a: 1}\nself: odd\n",
		"text: \"" + strings.Repeat("x", 100) + "\"\nlist: \"" + strings.Repeat("x", 100) + "\"\n",
	} {
		var o struct {
			outer
			Outer outer `yaml:"-"`
		}
		list := parse(t, source).Decode(&o.Outer)
		fmt.Fprintf(&b, "===== %q\n", source)
		for _, d := range list {
			fmt.Fprintf(&b, "%s [%s]\n", d, d.Code)
		}
	}
	var required inner
	for _, d := range parse(t, "").Decode(&required) {
		fmt.Fprintf(&b, "===== an empty file with a required key\n%s [%s]\n", d, d.Code)
	}
	golden(t, "decode.golden", []byte(b.String()))

	var o outer
	if list := parse(t, "txet: hi\nlist: [{name: x, more: 1}]\n").Decode(&o, document.AllowUnknown()); len(list) > 0 {
		t.Errorf("AllowUnknown: %v", list)
	}
}

// What an expansion yields may be a secret, so no message shows it.
func TestExpansionsAreNotShown(t *testing.T) {
	const secret = "hunter2-hunter2"
	doc, _ := document.Parse("f.yml", []byte("text: ${S}\nflag: ${S}\nwhole: ${S}\nsmall: ${S}\nreal: ${S}\nwait: ${S}\nlist: ${S}\nkeep: ${S} # c\nbad: ${BAD}\n"))
	list := doc.Expand(func(s string) (string, error) {
		if strings.Contains(s, "BAD") {
			return "", errors.New("the variable BAD is not set")
		}
		return strings.ReplaceAll(s, "${S}", secret), nil
	})
	if len(list) != 1 || list[0].Line != 9 || list[0].Code != "bad-expansion" {
		t.Errorf("Expand: %v", list)
	}
	var o outer
	list = doc.Root.Decode(&o)
	list.Add(doc.Root.Get("keep").UnknownName("thing", []string{"a", "b"}))
	var b strings.Builder
	_ = diagnostic.WriteText(&b, list, false)
	_ = diagnostic.WriteJSON(&b, list)
	if strings.Contains(b.String(), secret) || strings.Contains(b.String(), "hunter") {
		t.Errorf("the secret is shown:\n%s", b.String())
	}
	if o.Text != secret {
		t.Errorf("text = %q", o.Text)
	}
	if d := doc.Root.Get("keep").Errorf("x", "x"); d.EndColumn != 11 {
		t.Errorf("the mark is as long as the secret: it ends at column %d", d.EndColumn)
	}
}

func TestExpandedScalarsDecodeAsNumbers(t *testing.T) {
	doc, _ := document.Parse("f.yml", []byte("flag: ${A}\nwhole: ${B}\nreal: ${B}\nsmall: ${B}\nwait: ${C}\n"))
	doc.Expand(func(s string) (string, error) {
		return strings.NewReplacer("${A}", "true", "${B}", "12", "${C}", "3s").Replace(s), nil
	})
	var o outer
	if list := doc.Root.Decode(&o); len(list) > 0 {
		t.Fatal(list)
	}
	if !o.Flag || o.Whole != 12 || o.Real != 12 || o.Small != 12 || o.Wait != 3*time.Second {
		t.Errorf("got %+v", o)
	}
}

func TestAtAndGet(t *testing.T) {
	n := parse(t, "a: [{b: x}, y]\n")
	for _, tt := range []struct {
		path []string
		want string
	}{
		{[]string{"a", "0", "b"}, `"x"`},
		{[]string{"a", "1"}, `"y"`},
		{[]string{"a", "7", "b"}, `[{"b":"x"},"y"]`},
		{[]string{"a", "-1"}, `[{"b":"x"},"y"]`},
		{[]string{"z"}, `{"a":[{"b":"x"},"y"]}`},
		{nil, `{"a":[{"b":"x"},"y"]}`},
	} {
		if got := string(n.At(tt.path...).JSON()); got != tt.want {
			t.Errorf("At(%v) = %s, want %s", tt.path, got, tt.want)
		}
	}
	var none *document.Node
	if none.Get("x") != nil {
		t.Error("Get on nil")
	}
}

// hostile documents cost bounded time and memory and yield a diagnostic.
func TestHostile(t *testing.T) {
	bomb := "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 20; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1)
	}
	mergeBomb := "a0: &a0 {k: 1}\n"
	for i := 1; i < 40; i++ {
		mergeBomb += fmt.Sprintf("a%d: &a%d {<<: [*a%d, *a%d], k%d: 1}\n", i, i, i-1, i-1, i)
	}
	tests := map[string]struct{ source, code string }{
		"alias bomb":      {bomb, "too-complex"},
		"merge bomb":      {mergeBomb, "too-complex"},
		"deep flow":       {strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "too-complex"},
		"deeper flow":     {strings.Repeat("[", 1<<20), "yaml-syntax"},
		"deep block":      {strings.Repeat("- ", 5000), "too-complex"},
		"duplicate keys":  {strings.Repeat("a: 1\n", 20000), "duplicate-key"},
		"too large":       {strings.Repeat("#", document.MaxSize+1), "file-too-large"},
		"open quote":      {"a: \"" + strings.Repeat("x\n", 20000), "yaml-syntax"},
		"one long string": {"a: " + strings.Repeat("x", 1<<20) + "\na: 1\n", "duplicate-key"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			doc, list := document.Parse("f.yml", []byte(tt.source))
			if len(list) == 0 || list[0].Code != tt.code {
				t.Fatalf("got %v, want the code %s", list.Err(), tt.code)
			}
			if len(list) > 100 {
				t.Errorf("%d findings", len(list))
			}
			if doc.Root == nil {
				t.Fatal("no root")
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("../testdata/*/*/spec.yml")
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(source)
	}
	for _, s := range []string{
		"", "a: 1\n", "a: |2\n   x\n", "a: &x [*x]\n", "a: \"\\x41\\\n  b\"\n", "? |\n  a\n: >\n  b\n", "- !t &a 'x'\n- *a\n",
		"<<: {a: 1}\n", "a: 1\r\nb:\t2\r", "\uFEFFa: 1", "a: \u2028b", "{a: [b, {c: d}], e}", "--- x\n...\n--- y\n", "a: 0x_1\nb: 1e999\nc: -.inf\n", "!x |\n a\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		if len(source) > 1<<16 {
			return
		}
		doc, list := document.Parse("f.yml", source)
		for _, d := range list {
			if d.Message == "" || d.Code == "" || d.Line < 0 || d.Column < 0 {
				t.Fatalf("a poor diagnostic: %+v", d)
			}
			_ = d.Frame()
		}
		if doc == nil || doc.Root == nil {
			t.Fatal("nil document")
		}
		if raw := doc.Root.JSON(); !json.Valid(raw) {
			t.Fatalf("invalid JSON: %s", raw)
		}
		var walk func(n *document.Node)
		walk = func(n *document.Node) {
			text, line, column, indent := n.Code()
			if n.Kind == document.String && (line < 1 || column < 1 || indent < 0 || text != n.Value) {
				t.Fatalf("Code() of %q = %d:%d, %d", n.Value, line, column, indent)
			}
			d := n.Errorf("x", "x")
			if d.EndColumn != 0 && d.EndColumn <= d.Column {
				t.Fatalf("a node ends at column %d where it begins at %d", d.EndColumn, d.Column)
			}
			for _, e := range n.Entries() {
				walk(e.KeyNode)
				walk(e.Value)
			}
			for _, item := range n.Items() {
				walk(item)
			}
		}
		walk(doc.Root)
		var o outer
		_ = doc.Root.Decode(&o)
		_ = doc.Root.Decode(&o, document.AllowUnknown())
		doc.Expand(func(s string) (string, error) { return s + "x", nil })
	})
}
