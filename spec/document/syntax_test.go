package document_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with the file testdata/name.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := "testdata/" + name
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); run with -update if that is right:\n%s", file, diff)
	}
}

// Every mistake in YAML points at the place a person would look at.
func TestSyntaxErrors(t *testing.T) {
	sources := []string{
		"a: b: c\n",
		"a:\n\tb: 1\n",
		"\ta: 1\n",
		"a: 1\n  \tb: 2\n",
		"a: @x\n",
		"a: %x\n",
		"a: \"foo\nb: 1\n",
		"x: 1\na: 'foo\n",
		"a: [1, 2\nb: 3\n",
		"a: [1, 2\n",
		"a: {b: 1\n",
		"{a: 1]\n",
		"a: ]\n",
		"a: 1\n b: 2\n",
		"a:\n  b: 1\n c: 2\n",
		"a: 1\n- b\n",
		"- a\nb: 1\n",
		"a: - b\n",
		"key: value\nother\n",
		"a: \"x\" y\n",
		"a: \"\\q\"\n",
		"a: *x\n",
		"a: |2\n x\n",
		"a: 1\n---\nb: 2\n",
		"a: 1\n---\n",
		"a: 1\n---\nb: [\n",
		"a: 1\n...\nb: 2\n",
		"# ok\na: \x00\n",
		"a: é\xff\n",
		"a: &x [*x]\n",
		"a: &x {b: {c: *x}}\n",
		"a: 1\nb: 2\na: 3\na: 4\n",
		"\"a\": 1\n'a': 2\n",
		"? [a]\n: 1\n",
		"<<: 1\n",
		"<<: [{a: 1}, 2]\n",
		"a: !!int foo\n",
		"a: !!bool 3\n",
		"a: !!float x\n",
		"%FOO\n---\na: 1\n",
		"x: !<foo\n",
		"\uFEFFa: b: c\n",
		"a: 1\r\nb: c: d\r\n",
		"a: b\u2028c: d: e\n",
		"aé: \"日本\": c\n",
	}
	var b bytes.Buffer
	for _, source := range sources {
		doc, list := document.Parse("f.yml", []byte(source))
		if doc == nil || doc.Root == nil {
			t.Fatalf("%q: nil document or root", source)
		}
		if !list.HasErrors() {
			t.Errorf("%q: no error", source)
		}
		fmt.Fprintf(&b, "===== %q\n", source)
		if err := diagnostic.WriteText(&b, list, false); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "syntax.golden", b.Bytes())
}
