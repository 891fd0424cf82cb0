package jsvalue_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/dop251/goja"

	"switchhook/gateway/script/jsvalue"
)

func encode(t *testing.T, code string, e jsvalue.Encoder) (string, error) {
	t.Helper()
	rt := goja.New()
	v, err := rt.RunString(code)
	if err != nil {
		t.Fatalf("%s: %v", code, err)
	}
	e.Runtime = rt
	var text []byte
	if ex := rt.Try(func() { text, err = e.Append(nil, v) }); ex != nil {
		return "", ex
	}
	return string(text), err
}

// What JSON.stringify makes of a value, an Encoder makes too.
func TestEncodeAgreesWithStringify(t *testing.T) {
	for _, code := range []string{
		`1`, `-0`, `0.1`, `1e21`, `1e300`, `-1.5`, `9007199254740993`, `123456789012345680000`, `NaN`, `Infinity`, `true`, `false`, `null`,
		`""`, `"é\u2028\"\\\n\u0001\u007f"`, `"\ud800"`, `"a\udc00b\ud83d\ude00"`, `"\ufffd"`,
		`[]`, `[1,[2,"x"]]`, `[undefined, null, , 1]`, `new Array(3)`,
		`({})`, `({a: 1, b: undefined, c: null, "d e": [{}]})`, `({2: 1, a: 2, 1: 3})`,
		`new Date(0)`, `({d: new Date(86400000)})`, `new Date(NaN)`,
		`({toJSON() { return {x: 1} }})`, `({a: {toJSON(k) { return k }}})`, `[{toJSON(k) { return typeof k + k }}]`, `({toJSON: 1})`,
		`({a: {toJSON() { return undefined }}, b: 1})`, `[{toJSON() {}}]`,
		`new Number(3)`, `new String("x")`, `new Boolean(false)`, `[new Boolean(true), new Number(NaN)]`,
		`Object.create({a: 1})`, `Object.defineProperty({a: 1}, "b", {value: 2})`, `({get a() { return 5 }})`,
		`new (class A { constructor() { this.x = 1 } get y() { return 1 } })()`,
		`new Error("x")`, `/x/`, `new Uint8Array([1, 2])`, `new Proxy({a: 1}, {})`, `new Proxy([1, {b: 2}], {})`, `new Proxy(new Proxy([1], {}), {})`,
		`new Proxy({a: 1}, {ownKeys() { return ["q"] }, getOwnPropertyDescriptor() { return {value: 1, enumerable: true, configurable: true} }, get(t, k) { return k === "toJSON" ? undefined : "v" + String(k) }})`,
		`JSON.rawJSON("12345678901234567890")`, `({a: JSON.rawJSON('"x"')})`, `(function() { return arguments })(1, 2)`,
		`var o = {x: 1}; [o, o]`, `({[Symbol.iterator]: 1, a: 1})`, `JSON`, `BigInt.prototype.toJSON = function() { return 1 }; ({})`,
	} {
		rt := goja.New()
		want, err := rt.RunString("JSON.stringify(eval(" + quoted(code) + "))")
		if err != nil {
			t.Fatalf("%s: %v", code, err)
		}
		got, err := encode(t, "eval("+quoted(code)+")", jsvalue.Encoder{})
		if err != nil || got != want.String() {
			t.Errorf("%s: %s (%v), want %s", code, got, err, want)
		}
	}
}

func quoted(code string) string {
	return string(jsvalue.AppendString(nil, goja.New().ToValue(code).(goja.String)))
}

func TestEncodeRefuses(t *testing.T) {
	for _, c := range []struct{ code, path, message string }{
		{`(function() {})`, "", "a function has no form in JSON"},
		{`({a: [1, {b: () => 1}]})`, "a[1].b", "a function has no form in JSON"},
		{`[async () => 1]`, "[0]", "a function has no form in JSON"},
		{`({"a b": Symbol("x")})`, `["a b"]`, "a symbol has no form in JSON"},
		{`[1n]`, "[0]", "a BigInt has no form in JSON; use Number(x) or String(x)"},
		{`({n: Object(1n)})`, "n", "a BigInt has no form in JSON; use Number(x) or String(x)"},
		{`({p: Promise.resolve(1)})`, "p", "a Promise has no form in JSON; is an await missing?"},
		{`({m: new Map()})`, "m", "a Map has no form in JSON; use Object.fromEntries(map)"},
		{`({s: new Set()})`, "s", "a Set has no form in JSON; use [...set]"},
		{`var a = {b: [1]}; a.b.push(a); a`, "b[1]", "contains itself, which has no form in JSON"},
		{`var l = []; l.push(l); l`, "[0]", "contains itself, which has no form in JSON"},
		{`var d = {}; for (var i = 0; i < 2000; i++) d = {d}; d`, strings.Repeat("d.", 999) + "d", "is nested deeper than 1000 levels"},
		{`var f = {toJSON() { return {f: {...f}} }}; f`, strings.Repeat("f.", 999) + "f", "is nested deeper than 1000 levels"},
		{`Object.defineProperty(class {}, "name", {value: 1})`, "", "a function has no form in JSON"},
		{`({"": {["` + strings.Repeat("k", 70) + `"]: Symbol()}})`, `[""]["` + strings.Repeat("k", 64) + `…"]`, "a symbol has no form in JSON"},
	} {
		_, err := encode(t, c.code, jsvalue.Encoder{})
		var shape *jsvalue.ShapeError
		if !errors.As(err, &shape) || shape.Path != c.path || shape.Message != c.message {
			t.Errorf("%s: %v, want %s: %s", c.code, err, c.path, c.message)
		}
	}
	// Exceptions come as they are.
	for _, code := range []string{`({get a() { throw new Error("boom") }})`, `({toJSON() { throw new Error("boom") }})`, `new Proxy({}, {ownKeys() { throw new Error("boom") }})`} {
		var ex *goja.Exception
		if _, err := encode(t, code, jsvalue.Encoder{}); !errors.As(err, &ex) || !strings.Contains(ex.Error(), "boom") {
			t.Errorf("%s: %v", code, err)
		}
	}
}

func TestEncodeIsBounded(t *testing.T) {
	for _, code := range []string{
		`new Array(4294967295)`, `"x".repeat(2000)`, `new Array(600).fill(1)`, `var s = "x".repeat(100); new Array(20).fill(s)`,
		`new Proxy([], {get(t, k) { return k === "length" ? 1e15 : undefined }})`, `var a = []; a[4294967294] = 1; a`,
	} {
		if _, err := encode(t, code, jsvalue.Encoder{Max: 1000}); !errors.Is(err, jsvalue.ErrTooLarge) {
			t.Errorf("%s: %v, want ErrTooLarge", code, err)
		}
	}
	if _, err := encode(t, `new Array(100000).fill(1)`, jsvalue.Encoder{Expired: func() bool { return true }}); !errors.Is(err, jsvalue.ErrExpired) {
		t.Errorf("expired: %v", err)
	}
}

// Parts of the source keep their bytes, also within something new.
func TestEncodePassesOriginalBytesOn(t *testing.T) {
	const text = `{"id": 12345678901234567890, "sub": {"a" : 1.0, "a": 2}, "list": [1e2]}`
	for _, c := range []struct{ code, want string }{
		{`data`, text},
		{`({got: data.sub, n: 1})`, `{"got":{"a" : 1.0, "a": 2},"n":1}`},
		{`[data.list, data.list]`, `[[1e2],[1e2]]`},
		{`data.n = 1; data`, `{"id":12345678901234567890,"sub":{"a" : 1.0, "a": 2},"list":[1e2],"n":1}`},
		{`({...data, sub: undefined})`, `{"id":12345678901234567000,"list":[1e2]}`},
		{`data.sub.a = 3; data.sub`, `{"a":3}`},
		{`Object.prototype.toJSON = function() { return 1 }; data`, `1`},
	} {
		rt, tree, v := evaluate(t, text, c.code)
		got, err := (&jsvalue.Encoder{Runtime: rt, Source: tree}).Append(nil, v)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s (%v), want %s", c.code, got, err, c.want)
		}
	}
}

func TestTypeName(t *testing.T) {
	for code, want := range map[string]string{
		`undefined`: "undefined", `null`: "null", `1`: "number", `"x"`: "string", `true`: "boolean", `1n`: "bigint", `Symbol()`: "symbol",
		`[]`: "array", `({})`: "object", `() => 1`: "function", `class {}`: "function", `async () => 1`: "function", `function* () {}`: "function", `new Proxy(() => 1, {})`: "object", `new Proxy([], {})`: "array", `new Proxy({}, {})`: "object",
		`Promise.resolve()`: "Promise", `new Map`: "Map", `new Set`: "Set", `new Date`: "Date", `new Uint8Array`: "bytes", `new Error`: "Error",
		`(() => { const {proxy, revoke} = Proxy.revocable({}, {}); revoke(); return proxy })()`: "object",
	} {
		v, err := goja.New().RunString("(" + code + ")")
		if err != nil {
			t.Fatal(err)
		}
		if got := jsvalue.TypeName(v); got != want {
			t.Errorf("TypeName(%s) = %s, want %s", code, got, want)
		}
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct{ code, want string }{
		{`["a", 1, true, null, undefined, 1n, -0, Symbol("s")]`, `a 1 true null undefined 1n -0 Symbol(s)`},
		{`[{a: 1, b: "x", "c-d": [1, "two", {e: {}}]}]`, `{ a: 1, b: 'x', 'c-d': [ 1, 'two', { e: {} } ] }`},
		{`[{a: {b: {c: {d: 1}}}}, [[[[1]]]]]`, `{ a: { b: { c: [Object] } } } [ [ [ [Array] ] ] ]`},
		{`[[1, , , 2, ,]]`, `[ 1, <2 empty items>, 2, <1 empty item> ]`},
		{`[new Array(105).fill(0).map((x, i) => i).slice(0, 3), []]`, `[ 0, 1, 2 ] []`},
		{`["it's", {s: "it's \n\\"}]`, `it's { s: "it's \n\\" }`},
		{`[{s: "'\"` + "`" + `"}]`, `{ s: '\'"` + "`" + `' }`},
		{`[() => 1, function f() {}, class A {}, class {}]`, `[Function (anonymous)] [Function: f] [class A] [class (anonymous)]`},
		{`[async () => 1, async function g() {}, function* h() {}]`, `[Function (anonymous)] [Function: g] [Function: h]`},
		{`[new (class Point { constructor() { this.x = 1 } })()]`, `Point { x: 1 }`},
		{`[Object.create(null)]`, `[Object: null prototype] {}`},
		{`[{get a() { throw 1 }, set b(x) {}, get c() { return 1 }, set c(x) {}}]`, `{ a: [Getter], b: [Setter], c: [Getter/Setter] }`},
		{`(() => { const a = {x: 1}; a.self = a; return [a] })()`, `{ x: 1, self: [Circular] }`},
		{`[new Map([["k", {v: 1}]]), new Set([1, "a"])]`, `Map(1) { 'k' => { v: 1 } } Set(2) { 1, 'a' }`},
		{`[new Date(0), /a\/b/gi, new Date(NaN)]`, `1970-01-01T00:00:00.000Z /a\/b/gi Invalid Date`},
		{`[new Error("boom"), {e: new TypeError("x")}]`, `Error: boom { e: [TypeError: x] }`},
		{`[Object.assign(new Error("boom"), {code: 7})]`, `Error: boom { code: 7 }`},
		{`[Promise.resolve(1), new Promise(() => {})]`, `Promise { 1 } Promise { <pending> }`},
		{`[new Proxy({a: 1}, {get() { throw 1 }, ownKeys() { throw 1 }})]`, `{ a: 1 }`},
		{`(() => { const {proxy, revoke} = Proxy.revocable({}, {}); revoke(); return [proxy] })()`, `<Revoked Proxy>`},
		{`[new Uint8Array([1, 2]), new ArrayBuffer(3), new Float64Array(1)]`, `Uint8Array(2) [ 1, 2 ] ArrayBuffer { byteLength: 3 } Float64Array(1) [ 0 ]`},
		{`[new Number(1), new Boolean(true), Object(1n)]`, `[Number: 1] [Boolean: true] [BigInt: 1n]`},
		{`["%s is %d%% of %i, %f", "x", "42", 3.7, "1.5", {a: 1}]`, `x is 42% of 3, 1.5 { a: 1 }`},
		{`["%j %o %O %c. %x %", {a: [1]}, {b: 1}, [2], "css"]`, `{"a":[1]} { b: 1 } [ 2 ] . %x %`},
		{`["%s"]`, `%s`}, {`["100%", 1]`, `100% 1`}, {`["%d %d", {}, Symbol()]`, `NaN NaN`}, {`["%j", 1n]`, `[not JSON]`},
		{`[{toString() { throw 1 }, valueOf() { throw 2 }}]`, `{ toString: [Function: toString], valueOf: [Function: valueOf] }`},
		{`[{first: "a long enough value to matter", second: "another long value that breaks", third: [1, 2]}]`,
			"{\n  first: 'a long enough value to matter',\n  second: 'another long value that breaks',\n  third: [ 1, 2 ]\n}"},
		{`[]`, ``},
	} {
		rt := goja.New()
		v, err := rt.RunString(c.code)
		if err != nil {
			t.Fatalf("%s: %v", c.code, err)
		}
		var args []goja.Value
		if err := rt.ExportTo(v, &args); err != nil {
			t.Fatal(err)
		}
		for i, a := range args {
			if a == nil {
				args[i] = goja.Undefined()
			}
		}
		if got := (&jsvalue.Inspector{Runtime: rt}).Format(args); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.code, got, c.want)
		}
	}
}

func TestFormatIsBounded(t *testing.T) {
	for _, code := range []string{
		`new Array(4294967295)`, `new Array(1000).fill(new Array(1000).fill(new Array(1000).fill(1)))`, `"x".repeat(10000000)`, `({a: "x".repeat(10000000)})`,
		`Object.fromEntries(new Array(5000).fill(0).map((x, i) => ["k" + i, i]))`, `new Map(new Array(5000).fill(0).map((x, i) => [i, i]))`, `new Uint8Array(1000000)`,
	} {
		rt := goja.New()
		v, err := rt.RunString(code)
		if err != nil {
			t.Fatal(err)
		}
		if got := (&jsvalue.Inspector{Runtime: rt}).Format([]goja.Value{v}); len(got) > 70_000 || !strings.Contains(got, "more ") && !strings.Contains(got, "empty items") {
			t.Errorf("%s prints %d bytes: %.200s", code, len(got), got)
		}
	}
}
