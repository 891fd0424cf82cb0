package document_test

import (
	"strings"
	"testing"

	"switchhook/spec/document"
)

func TestParseExpandable(t *testing.T) {
	t.Parallel()
	tests := []struct{ source, want string }{
		{"a: {b: ${X:-}}", `{"a":{"b":"${X:-}"}}`},
		{"a: {b: ${X:-}, c: ${Y}}", `{"a":{"b":"${X:-}","c":"${Y}"}}`},
		{"a: [${X}, x${Y:-1, 2}y, '${Z:-it''s}']", `{"a":["${X}","x${Y:-1, 2}y","${Z:-it's}"]}`},
		{"a: ${X:-b: c #d}", `{"a":"${X:-b: c #d}"}`},
		{`a: "${X:-say \"hi\"}"`, `{"a":"${X:-say \"hi\"}"}`},
		{"a: |\n  `${x} ${ {y: 1}.y }`\n", `{"a":"` + "`${x} ${ {y: 1}.y }`" + `\n"}`},
		{"a: {b: ${file:x}} # ${", `{"a":{"b":"${file:x}"}}`},
		{"\uE000${X}: [${Y\uE001}]", "{\"\uE000${X}\":[\"${Y\uE001}\"]}"},
		{"a: $${X}", `{"a":"$${X}"}`},
		{"x: &x ${A,}\ny: {z: *x}", `{"x":"${A,}","y":{"z":"${A,}"}}`},
		{"", "null"},
	}
	for _, test := range tests {
		doc, list := document.ParseExpandable("f.yaml", []byte(test.source))
		if len(list) > 0 {
			t.Errorf("%q: %v", test.source, list)
		}
		if got := string(doc.Root.JSON()); got != test.want {
			t.Errorf("%q:\n got %s\nwant %s", test.source, got, test.want)
		}
	}
}

func TestParseExpandableKeepsPlaces(t *testing.T) {
	t.Parallel()
	const source = "a: {b: ${X:-ä}, c: ${Y}, d: wrong}\n"
	doc, list := document.ParseExpandable("f.yaml", []byte(source))
	if len(list) > 0 {
		t.Fatal(list)
	}
	d := doc.Root.At("a", "d").Errorf("x", "message")
	if d.Position() != "f.yaml:1:29" {
		t.Errorf("position is %s", d.Position())
	}
	if want := strings.TrimSuffix(source, "\n"); len(d.Snippet.Lines) == 0 || d.Snippet.Lines[0] != want {
		t.Errorf("snippet is %q", d.Snippet.Lines)
	}

	_, list = document.ParseExpandable("f.yaml", []byte("a: {b: ${X:-{}\nc: d\n"))
	if len(list) == 0 || list[0].Snippet.Lines[0] != "a: {b: ${X:-{}" {
		t.Errorf("a syntax error shows %+v", list)
	}
}

func TestHide(t *testing.T) {
	t.Parallel()
	const source = `a: {token: geheim, other: shown} # geheim
b:
  token: "ge\"heim"   # shown
  twin: 'ge''heim'
  ref: ${GEHEIM}
  def: ${X:-geheim}
  num: 4711
  block: |
    geheim
    geheim
  long: geheim
    geheim
  tag: !x geheim
  list: [geheim, {k: gehäim🔒}]
last: shown
`
	const want = `a: {token: ******, other: shown} # geheim
b:
  token: "********"   # shown
  twin: '********'
  ref: ${GEHEIM}
  def: ************
  num: ****
  block: *
    ******
    ******
  long: ******
    ******
  tag: ** ******
  list: [******, {k: ***·**🞄}]
last: shown
`
	doc, list := document.ParseExpandable("f.yaml", []byte(source))
	if len(list) > 0 {
		t.Fatal(list)
	}
	doc.Hide(doc.Root.At("a", "token"))
	doc.Hide(doc.Root.Get("b"))
	if got := string(doc.Source()); got != want {
		t.Errorf("got:\n%s", got)
	}
	if d := doc.Root.At("b", "token").Errorf("x", "m"); strings.Contains(strings.Join(d.Snippet.Lines, "\n"), "ge\\") {
		t.Errorf("snippet shows it: %q", d.Snippet.Lines)
	}
	if d := doc.Root.At("b", "num").Errorf("x", "m"); d.EndColumn != d.Column+4 {
		t.Errorf("a hidden number is marked from %d to %d", d.Column, d.EndColumn)
	}
}

// Secrets are found where YAML sees them, be it behind a line break that only YAML knows, or at an anchor.
func TestHideInUnusualPlaces(t *testing.T) {
	t.Parallel()
	for _, source := range []string{
		"a: x\u2028\nb: geheim\n",
		"\uFEFFb: geheim\n",
		"a: 1\rb: geheim\r",
		"b: &s geheim\nc: *s\n",
		"b: &s\n  geheim\n",
	} {
		doc, list := document.ParseExpandable("f.yaml", []byte(source))
		if len(list) > 0 {
			t.Fatal(list)
		}
		doc.Hide(doc.Root.Get("b"))
		if c := doc.Root.Get("c"); c != nil {
			doc.Hide(c)
		}
		d := doc.Root.Get("b").Errorf("x", "m")
		if strings.Contains(string(doc.Source()), "geheim") || strings.Contains(strings.Join(d.Snippet.Lines, "\n"), "geheim") {
			t.Errorf("%q: the secret is shown: %q", source, doc.Source())
		}
	}
	doc, _ := document.ParseExpandable("f.yaml", []byte("x: &s geheim\nc: *s\n"))
	doc.Hide(doc.Root.Get("c"))
	if strings.Contains(string(doc.Source()), "geheim") {
		t.Errorf("the secret is shown at its anchor: %q", doc.Source())
	}
}
