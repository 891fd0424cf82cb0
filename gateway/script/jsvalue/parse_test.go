package jsvalue_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/dop251/goja"
	"github.com/google/go-cmp/cmp"

	"switchhook/gateway/body"
	"switchhook/gateway/script/jsvalue"
)

// evaluate runs code with the parsed text as the variable data.
func evaluate(t *testing.T, text, code string) (*goja.Runtime, *jsvalue.Tree, goja.Value) {
	t.Helper()
	rt := goja.New()
	tree, err := jsvalue.NewParser(rt).Parse([]byte(text))
	if err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	if err := rt.Set("data", tree.Root()); err != nil {
		t.Fatal(err)
	}
	v, err := rt.RunString(code)
	if err != nil {
		t.Fatalf("%s: %v", code, err)
	}
	return rt, tree, v
}

// Parsed values must look to a program as those of JSON.parse do.
func TestParsedValuesBehave(t *testing.T) {
	for _, c := range []struct{ text, code, want string }{
		{`{"a":1}`, `Object.keys(data).join()`, `a`},
		{`{"b":1,"a":2,"10":3,"9":4,"01":5}`, `Object.keys(data).join()`, `9,10,b,a,01`},
		{`{"a":1,"b":2,"a":3}`, `JSON.stringify(data)`, `{"a":3,"b":2}`},
		{`{"__proto__":{"x":1}}`, `data.x + " " + Object.keys(data) + " " + (Object.getPrototypeOf(data) === Object.prototype)`, `undefined __proto__ true`},
		{`{"constructor":1,"toString":2,"hasOwnProperty":3}`, `data.constructor + data.toString + data.hasOwnProperty`, `6`},
		{`[1,[2],{"a":[]}]`, `Array.isArray(data) && Array.isArray(data[1]) && data.length === 3 && data instanceof Array`, `true`},
		{`[3,1,2]`, `[...data].sort().join() + data.map(x => x * 2).filter(x => x > 2).reduce((a, b) => a + b, 0)`, `1,2,310`},
		{`[1,2,3]`, `data.push(4); data.shift(); data.length = 2; data.concat([9]).join()`, `2,3,9`},
		{`{"a":{"b":1}}`, `var {a: {b}, ...rest} = data; b + Object.keys(rest).length`, `1`},
		{`{"a":1,"b":2}`, `var s = ""; for (var k in data) s += k + data[k]; s`, `a1b2`},
		{`{"a":1}`, `delete data.a && !("a" in data)`, `true`},
		{`{"a":1}`, `Object.freeze(data); data.a = 2; data.a`, `1`},
		{`{"a":1}`, `JSON.stringify(Object.getOwnPropertyDescriptor(data, "a"))`, `{"value":1,"writable":true,"enumerable":true,"configurable":true}`},
		{`{"a":1}`, `Object.defineProperty(data, "a", {get() { return 7 }}); data.a`, `7`},
		{`{"a":1}`, `({...data, b: 2}).a + Object.assign({}, data).a`, `2`},
		{`"\ud800x"`, `data.charCodeAt(0).toString(16) + data[1]`, `d800x`},
		{`"\ud83d\ude00"`, `data.length + " " + data.codePointAt(0).toString(16)`, `2 1f600`},
		{`"\u0041\n\/\\\"\b\f\r\t é"`, `data`, "A\n/\\\"\b\f\r\t é"},
		{`{"é":1,"\u00e8":2}`, `data.é + data.è`, `3`},
		{`-0`, `1 / data`, `-Infinity`},
		{`1e400`, `data`, `Infinity`},
		{`9007199254740993`, `data`, `9007199254740992`},
		{`123456789012345678901234567890`, `data`, `1.2345678901234568e+29`},
		{`999999999999999`, `data`, `999999999999999`},
		{`-1.5e-3`, `data`, `-0.0015`},
		{`0`, `Number.isInteger(data) && Object.is(data, 0)`, `true`},
		{`null`, `data === null`, `true`},
		{` [ true , false ] `, `data.join()`, `true,false`},
		{"\"\xff\"", `data`, "\uFFFD"},
		{`{"":1}`, `data[""]`, `1`},
		{`{"a":1}`, `structuredSafe = typeof data.toJSON`, `undefined`},
	} {
		_, _, v := evaluate(t, c.text, c.code)
		if got := v.String(); got != c.want {
			t.Errorf("%s with %s: %s, want %s", c.code, c.text, got, c.want)
		}
	}
}

func TestSettersOnPrototypesAreNotRun(t *testing.T) {
	rt := goja.New()
	if _, err := rt.RunString(`Object.defineProperty(Object.prototype, "a", {set() { throw new Error("ran") }, configurable: true})`); err != nil {
		t.Fatal(err)
	}
	if _, err := jsvalue.NewParser(rt).Parse([]byte(`{"a":1}`)); err != nil {
		t.Error(err)
	}
}

func TestParseErrors(t *testing.T) {
	for text, offset := range map[string]int{``: 0, `{"a":1,}`: 7, `"a`: 2, strings.Repeat("[", 101): 100} {
		_, err := jsvalue.NewParser(goja.New()).Parse([]byte(text))
		var syntax *body.SyntaxError
		if !errors.As(err, &syntax) || syntax.Offset != offset || syntax.OverLimit != (offset == 100) {
			t.Errorf("%.20q: error %v", text, err)
		}
	}
}

// Every way to change a value must be noticed, and none that is not a change.
func TestSpan(t *testing.T) {
	const text = `{"a": {"n": 12345678901234567890, "l": [1, {"z": 1}]}, "b": "x", "2": [], "1": {}}`
	for _, c := range []struct {
		code string // its value is asked for
		want string // "" when it must not pass as the original
	}{
		{`data`, text},
		{`data.a`, `{"n": 12345678901234567890, "l": [1, {"z": 1}]}`},
		{`data.a.l`, `[1, {"z": 1}]`},
		{`data["2"]`, `[]`},
		{`JSON.stringify(data); for (const k in data) data[k]; Object.keys(data); [...data.a.l]; data`, text},
		{`Object.freeze(data); Object.freeze(data.a); data`, text},
		{`data.b = "x"; data`, text},
		{`data.c = 1; delete data.c; data`, text},
		{`data.a.l.extra = 1; data.a.l`, `[1, {"z": 1}]`},
		{`data.b = "y"; data`, ``},
		{`data.b = "y"; data.a`, `{"n": 12345678901234567890, "l": [1, {"z": 1}]}`},
		{`data.a.l[1].z = 2; data`, ``},
		{`data.a.l[1].z = 2; data.a`, ``},
		{`data.a.l[1].z = 2; data.a.l`, ``},
		{`data.a.l[1].z = "1"; data`, ``},
		{`data.a.l[1].z = 2; data["2"]`, `[]`},
		{`data.c = 1; data`, ``},
		{`data.c = undefined; data`, ``},
		{`delete data.b; data`, ``},
		{`delete data.b; data.b = "x"; delete data.a; data`, ``},
		{`data.a.l.push(1); data`, ``},
		{`data.a.l.pop(); data`, ``},
		{`data.a.l.length = 3; data`, ``},
		{`delete data.a.l[0]; data`, ``},
		{`data.a.l.reverse(); data`, ``},
		{`data.a = {...data.a}; data`, ``},
		{`data.a.l[1] = {z: 1}; data`, ``},
		{`data.a.l = [...data.a.l]; data`, ``},
		{`({...data})`, ``},
		{`Object.defineProperty(data, "b", {enumerable: false}); data`, ``},
		{`Object.defineProperty(data, "b", {get() { return 1 }}); data`, ``},
		{`Object.setPrototypeOf(data.a.l[1], {toJSON() { return 1 }}); data`, ``},
		{`Object.setPrototypeOf(data.a.l, {}); data`, ``},
		{`Object.prototype.toJSON = () => 1; data`, ``},
		{`Array.prototype.toJSON = () => 1; data`, ``},
		{`data.a.toJSON = () => 1; data`, ``},
		{`data.a.l[0] = null; data`, ``},
		{`data.self = data; data`, ``},
		{`data.a = data; data`, ``},
		{`[]`, ``},
		{`({})`, ``},
	} {
		_, tree, v := evaluate(t, text, c.code)
		start, end, ok := tree.Span(v.(*goja.Object))
		got := ""
		if ok {
			got = text[start:end]
		}
		if got != c.want {
			t.Errorf("%s: span %q, want %q", c.code, got, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{}`, `[]`, `null`, `{"a":[1,2.5,-0,1e5],"b":{"__proto__":1},"a":2,"1":true}`, `"\ud800\udc00\ud800"`, `"\u00e9é\n"`,
		"\"\xff\xc3\"", ` [ 1 , "x" ] `, `{"a":}`, `[1,]`, `01`, `1e`, `"\x"`, `123456789012345678901234567890`, `1e400`, `{"10":1,"9":2,"b":3,"9":4}`, `[[[[]]]]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		rt := goja.New()
		tree, err := jsvalue.NewParser(rt).Parse(bytes.Clone(text))
		var syntax *body.SyntaxError
		if errors.As(err, &syntax) && syntax.OverLimit {
			return
		}
		if valid := json.Valid(text); valid != (err == nil) {
			t.Fatalf("valid: %v, error: %v", valid, err)
		}
		if err != nil {
			return
		}
		// Untouched, it passes as it came.
		if o, ok := tree.Root().(*goja.Object); ok {
			start, end, ok := tree.Span(o)
			if want := bytes.TrimSpace(text); !ok || !bytes.Equal(text[start:end], want) {
				t.Fatalf("span %d:%d %v, want all of %q", start, end, ok, want)
			}
		}
		// Encoded anew, it says the same as encoding/json understands.
		again, err := (&jsvalue.Encoder{Runtime: rt}).Append(nil, tree.Root())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(decode(t, text), decode(t, again)); diff != "" {
			t.Fatalf("%q became %q: %s", text, again, diff)
		}
		// Read by name, and then changed, it is the same but for the change.
		o, ok := tree.Root().(*goja.Object)
		if !ok || jsvalue.IsArray(o) {
			return
		}
		if tree, err = jsvalue.NewParser(rt).Parse(bytes.Clone(text)); err != nil {
			t.Fatal(err)
		}
		o = tree.Root().(*goja.Object)
		for _, key := range []string{"a", "b", "9", "", "\u00e9"} {
			o.Get(key)
		}
		if err := o.Set("changed", true); err != nil {
			t.Fatal(err)
		}
		if again, err = (&jsvalue.Encoder{Runtime: rt, Source: tree}).Append(nil, o); err != nil {
			t.Fatal(err)
		}
		want, _ := decode(t, text).(map[string]any)
		want["changed"] = true
		if diff := cmp.Diff(any(want), decode(t, again)); diff != "" {
			t.Fatalf("%q, changed, became %q: %s", text, again, diff)
		}
	})
}

// decode decodes JSON with the numbers that JavaScript has.
func decode(t *testing.T, text []byte) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	var walk func(v any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case json.Number:
			f, _ := v.Float64()
			if math.IsInf(f, 0) {
				return nil // as JSON.stringify has it
			}
			return f + 0 // no negative zero
		case string:
			// Broken UTF-8 is replaced in another count than encoding/json does.
			for strings.Contains(v, "\uFFFD\uFFFD") {
				v = strings.ReplaceAll(v, "\uFFFD\uFFFD", "\uFFFD")
			}
			return v
		case []any:
			for i := range v {
				v[i] = walk(v[i])
			}
		case map[string]any:
			m := map[string]any{}
			for k, x := range v {
				k, _ := walk(k).(string)
				m[k] = walk(x)
			}
			return m
		}
		return v
	}
	return walk(v)
}

func TestToUTF8(t *testing.T) {
	// The table of the Unicode Standard, chapter 3, "U+FFFD Substitution of Maximal Subparts".
	for in, want := range map[string]string{
		"plain é":                              "plain é",
		"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41": "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA",
		"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41": "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA",
		"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42": "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA\uFFFD\uFFFDB",
		"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41": "\uFFFD\uFFFD\uFFFD\uFFFDA",
	} {
		if got := jsvalue.ToUTF8(in); got != want {
			t.Errorf("ToUTF8(%x) = %q, want %q", in, got, want)
		}
	}
}

// A name with a lone surrogate is a name like others, though Go strings have no room for it.
func TestOddNames(t *testing.T) {
	const text = `{"\ud800":{"a":1},"\udc00x":2,"\ufffd":3,"a":{"\ud800":4,"b":[1,2,3,4,5]}}`
	for code, want := range map[string]string{
		`data`: text,
		// Filled, it is encoded anew, which says the same.
		`data["\ud800"].a + data["\udc00x"]; data`: `{"\ud800":{"a":1},"\udc00x":2,"�":3,"a":{"\ud800":4,"b":[1,2,3,4,5]}}`,
		`data.z = 1; data`:                         `{"\ud800":{"a":1},"\udc00x":2,"�":3,"a":{"\ud800":4,"b":[1,2,3,4,5]},"z":1}`,
		`data["\ud800"] = 5; data`:                 `{"\ud800":5,"\udc00x":2,"�":3,"a":{"\ud800":4,"b":[1,2,3,4,5]}}`,
		`data.a["\ud800"] = 5; data.a`:             `{"\ud800":5,"b":[1,2,3,4,5]}`,
	} {
		rt, tree, v := evaluate(t, text, code)
		got, err := (&jsvalue.Encoder{Runtime: rt, Source: tree}).Append(nil, v)
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v; want %s", code, got, err, want)
		}
	}
}

// Reading by name leaves an object as it is until it was read often, and finds the last of repeated names.
func TestReadsByName(t *testing.T) {
	const text = `{"a":1,"b":{"c":[1,2,{"d":1}],"\u0065":2,"é":3,"s":"}\\\"]","f":4},"a":{"x":"y"},"n":-1.5e3, "o" : { "p" : true } }`
	rt, tree, v := evaluate(t, text, `[data.a.x, data.b.c[2].d, data.b.e, data.b.é, data.b.s, data.n, data.o.p, data.q, data.b === data.b].join()`)
	if want := `y,1,2,3,}\"],-1500,true,,true`; v.String() != want {
		t.Errorf("%s, want %s", v, want)
	}
	root := tree.Root().(*goja.Object)
	if start, end, ok := tree.Span(root); !ok || text[start:end] != text {
		t.Errorf("reading changed it: %d:%d %v", start, end, ok)
	}
	if _, err := rt.RunString(`data.b.c[2].d = 2`); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := tree.Span(root); ok {
		t.Error("a change deep in an object that was only read by name went unnoticed")
	}
}

// TestAllocations holds what makes data cheap: what is not touched costs nothing, what is read by name little. The
// figures do not depend on the machine.
func TestAllocations(t *testing.T) {
	var text strings.Builder
	text.WriteString(`{"repository":{"full_name":"octocat/Hello-World","owner":{"login":"octocat"}},"commits":[`)
	for i := range 100 {
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString(`{"id":"abc","author":{"name":"Mona","emails":["a@example.com","b@example.com"]},"modified":["a.go","b.go"]}`)
	}
	text.WriteString(`]}`)
	rt := goja.New()
	p := jsvalue.NewParser(rt)
	f, err := rt.RunString(`data => data.repository.full_name`)
	if err != nil {
		t.Fatal(err)
	}
	read, _ := goja.AssertFunction(f)
	// Warm, so that what a runtime makes once is made.
	for name, c := range map[string]struct {
		limit float64
		run   func()
	}{
		"parse":        {24, func() { _, _ = p.Parse([]byte(text.String())) }},
		"read by name": {62, func() { tree, _ := p.Parse([]byte(text.String())); _, _ = read(goja.Undefined(), tree.Root()) }},
		"pass through": {26, func() { tree, _ := p.Parse([]byte(text.String())); tree.Span(tree.Root().(*goja.Object)) }},
	} {
		if n := testing.AllocsPerRun(50, c.run); n > c.limit {
			t.Errorf("%s: %v allocations, more than %v", name, n, c.limit)
		} else {
			t.Logf("%s: %v allocations", name, n)
		}
	}
}

// Numbers that JavaScript cannot hold stay as they were written also where the object around them was changed.
func TestNumbersStayExact(t *testing.T) {
	const text = `{"id":12345678901234567890,"ids":[5,9007199254740993,1.0],"x":{"f":1e400,"a":2,"b":3,"c":4,"d":5},"id":98765432109876543210,"n":-0}`
	for code, want := range map[string]string{
		`data.z = 1; data`:                      `{"id":98765432109876543210,"ids":[5,9007199254740993,1.0],"x":{"f":1e400,"a":2,"b":3,"c":4,"d":5},"n":0,"z":1}`,
		`data.id = 5; data`:                     `{"id":5,"ids":[5,9007199254740993,1.0],"x":{"f":1e400,"a":2,"b":3,"c":4,"d":5},"n":0}`,
		`data.ids.push(2); data.ids`:            `[5,9007199254740993,1.0,2]`,
		`data.ids.reverse(); data.ids`:          `[1,9007199254740993,5]`,
		`data.ids.shift(); data.ids`:            `[9007199254740992,1]`,
		`data.x.a = 1; data.x`:                  `{"f":1e400,"a":1,"b":3,"c":4,"d":5}`,
		`delete data.x.f; data.x.f = 1; data.x`: `{"a":2,"b":3,"c":4,"d":5,"f":1}`,
		`({...data.x})`:                         `{"f":null,"a":2,"b":3,"c":4,"d":5}`,
	} {
		rt, tree, v := evaluate(t, text, code)
		got, err := (&jsvalue.Encoder{Runtime: rt, Source: tree}).Append(nil, v)
		if err != nil || string(got) != want {
			t.Errorf("%s:\n got %s, %v\nwant %s", code, got, err, want)
		}
	}
}
