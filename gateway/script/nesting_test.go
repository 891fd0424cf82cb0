package script

import (
	"fmt"
	"strings"
	"testing"
)

// Each of these would, unguarded, overflow the stack of a compiler or keep it busy for minutes.
func TestNestingIsRefused(t *testing.T) {
	const size = 900_000
	repeat := func(parts ...string) string { // before, each, middle, each end, after
		for len(parts) < 5 {
			parts = append(parts, "")
		}
		n := size / (len(parts[1]) + len(parts[3]))
		return parts[0] + strings.Repeat(parts[1], n) + parts[2] + strings.Repeat(parts[3], n) + parts[4]
	}
	for name, text := range map[string]string{
		"parentheses":  repeat("f = ", "(", "1", ")"),
		"brackets":     repeat("f = ", "[", "", "]"),
		"blocks":       repeat("", "{", "", "}"),
		"not":          repeat("f = ", "!", "1"),
		"minus":        repeat("f = ", "- ", "1"),
		"typeof":       repeat("f = ", "typeof ", "1"),
		"await":        repeat("async function f() { ", "await ", "1", "", "}"),
		"new":          repeat("f = ", "new ", "a"),
		"yield":        repeat("function* f() { ", "yield ", "1", "", "}"),
		"assignments":  repeat("f = ", "a=", "1"),
		"powers":       repeat("f = ", "a**", "1"),
		"members":      repeat("f = a", ".return"),
		"calls":        repeat("f = a", "()"),
		"tagged":       repeat("f = a", "``"),
		"templates":    repeat("f = ", "`${", "1", "}`"),
		"conditionals": repeat("f = ", "1?(1,1):", "1"),
		"arrows":       repeat("f = ", "a=>", "1"),
		"arrows in ()": repeat("f = ", "(a,b)=>", "1"),
		"arrows in {}": repeat("f = ", "({a})=>1?1:", "1"),
		"functions":    repeat("", "function f(){", "", "}"),
		"classes":      repeat("", "class a extends ", "Object ", "{}"),
		"ifs":          repeat("", "if(1)", ";"),
		"else ifs":     repeat("", "if(1){a;}else ", ";"),
		"else;":        repeat("", "if(1);else ", ";"),
		"whiles":       repeat("", "while(0)", ";"),
		"dos":          repeat("", "do ", ";", "while(0)"),
		"labels":       repeat("", "a:", ";"),
		"commas":       repeat("f = (", "a,", "1)"),
		"types":        repeat("let a: ", "A<", "B", ">"),
		"type guards":  repeat("let a: ", "A extends B?C:", "D"),
		"keyof":        repeat("let a: ", "keyof ", "B"),
		"hidden":       repeat(`if(1)/"/;f = `, "!", "1"),
		"hidden too":   repeat("if(1)/`/;f = ", "(", "1", ")"),
		"json":         repeat("", `{"a":`, "1", "}"),
	} {
		m := tooNested("f.js", text)
		if m == nil {
			t.Errorf("%s: accepted", name)
		} else if !strings.HasPrefix(m[0].Text, "f.js has ") || m[0].Location.Line != 1 {
			t.Errorf("%s: %+v", name, m[0])
		}
	}
}

// Much code is no nested code, with semicolons and without.
func TestOrdinaryCodeIsNotTooNested(t *testing.T) {
	var plain, bare, table strings.Builder
	for i := range 4_000 {
		fmt.Fprintf(&plain, "const f%d = (a, b) => a ? b.c.d : [1, 2, ...a]; // it's a smiley :( if you (do\n", i)
		fmt.Fprintf(&bare, "function g%d(a) {\n  if (a.b) return a\n  else if (a) { a.c = '(' }\n  return x => y => /[\"'`(]/.test(a)\n}\nlet v%d = a => a.b + `x ${ a ? `(${a}` : '' }`\nv%d.x.y.z()\n", i, i, i)
		fmt.Fprintf(&table, "  {id: %d, f: x => x - 1.5, s: \"(\", n: -1e5},\n", i)
	}
	for name, text := range map[string]string{
		"semicolons": plain.String(), "none": bare.String(), "a table": "export default [\n" + table.String() + "]",
		"base64": `export default "` + strings.Repeat("Zm9vYmFyIGZvb2JhciBmb28+", 40_000) + `"`, "comment": "/*" + strings.Repeat("if (the sky is blue. ", 4_000) + "*/",
		"empty": "", "broken": "`${", "broken too": "/* ", "and this": "'\\", "and that": "x = /[", "closing": ")]}",
	} {
		if m := tooNested("f.js", text); m != nil {
			t.Errorf("%s: %s at line %d", name, m[0].Text, m[0].Location.Line)
		}
	}
	// The line is that of the nesting.
	if m := tooNested("f.js", "a\n\"\\\n\"\n/*\n*/`\n`\n"+strings.Repeat("[", 600)); m == nil || m[0].Location.Line != 7 {
		t.Errorf("line of nesting: %+v", m)
	}
}

func FuzzNesting(f *testing.F) {
	for _, s := range []string{"", "a/b/c", "`${`${1}`}`", "/[/]/", "'\\", "/*", "//", "}))", "x=>y=>z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if m := tooNested("f.js", text); m != nil && m[0].Location.Line > strings.Count(text, "\n")+1 {
			t.Errorf("line %d of %q", m[0].Location.Line, text)
		}
	})
}
