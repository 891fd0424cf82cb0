// Package scripttest is what every script engine must do: the handle contract, its
// failures, its limits, and that no call sees anything of another. Tests of engines call Test.
package scripttest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"switchhook/gateway/body"
	"switchhook/gateway/hook"
	"switchhook/gateway/script"
)

// Test runs the suite. newEngine makes an engine with the given options; the
// suite closes it.
func Test(t *testing.T, newEngine func(script.Options) script.Engine) {
	e := newEngine(script.Options{})
	defer func() {
		if err := e.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}()
	t.Run("Inputs", func(t *testing.T) { testInputs(t, e) })
	t.Run("Data", func(t *testing.T) { testData(t, e) })
	t.Run("PassThrough", func(t *testing.T) { testPassThrough(t, e) })
	t.Run("Events", func(t *testing.T) { testEvents(t, e) })
	t.Run("Responses", func(t *testing.T) { testResponses(t, e) })
	t.Run("Handshakes", func(t *testing.T) { testHandshakes(t, e) })
	t.Run("Exports", func(t *testing.T) { testExports(t, e) })
	t.Run("Shapes", func(t *testing.T) { testShapes(t, e) })
	t.Run("Thrown", func(t *testing.T) { testThrown(t, e) })
	t.Run("Hostile", func(t *testing.T) { testHostile(t, e) })
	t.Run("Input", func(t *testing.T) { testInputFailures(t, e) })
	t.Run("Console", func(t *testing.T) { testConsole(t, e) })
	t.Run("Secrets", func(t *testing.T) { testSecrets(t, e) })
	t.Run("Host", func(t *testing.T) { testHost(t, e) })
	t.Run("Deterministic", func(t *testing.T) { testDeterministic(t, e) })
	t.Run("Isolation", func(t *testing.T) { testIsolation(t, e) })
	t.Run("Leaks", func(t *testing.T) { testLeaks(t, e) })
	t.Run("Eval", func(t *testing.T) { testEval(t, e) })
	t.Run("Coverage", func(t *testing.T) { testCoverage(t, e) })
	t.Run("Concurrent", func(t *testing.T) { testConcurrent(t, e) })
	t.Run("Limits", func(t *testing.T) { testLimits(t, newEngine) })
	t.Run("Timeout", func(t *testing.T) { testTimeout(t, newEngine) })
	t.Run("Context", func(t *testing.T) { testContext(t, newEngine) })
	t.Run("Close", func(t *testing.T) { testClose(t, newEngine) })
}

// program builds inline code of a function. Code without an export is the
// body of a handle function whose argument is called input.
func program(t testing.TB, function, code string) *script.Program {
	t.Helper()
	if !strings.Contains(code, "export") {
		code = "export default function(input) {\n" + code + "\n}"
	}
	p, list := script.Build(script.Source{Connector: "acme", Function: function, Code: code, File: "acme.yml", Line: 1, Column: 1})
	if p == nil {
		t.Fatalf("build: %v\n%s", list, code)
	}
	return p
}

// input is what handle is called with for a request with this body.
func input(contentType, text string) *script.HandleInput {
	in := &script.HandleInput{
		Request: &hook.Request{
			ID: "req_1", Workspace: "demo", Integration: "shop", Webhook: "orders", Connector: "acme", Method: "POST",
			URL: "https://hooks.example/demo/shop/orders/tok?a=1", Path: "/demo/shop/orders/tok", Query: "a=1",
			Body: []byte(text), ReceivedAt: time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.FixedZone("", 3600)),
		},
		Body:       body.Parse(contentType, []byte(text)),
		Parameters: json.RawMessage(`{"secret":"s3cr3t-value","shop":42}`),
		// Tests run on slow machines too.
		Timeout: 20 * time.Second,
	}
	if contentType != "" {
		in.Request.Headers = hook.Headers{{Name: "Content-Type", Value: contentType}}
	}
	return in
}

func jsonInput(text string) *script.HandleInput { return input("application/json", text) }

// handle runs code and fails the test when that fails.
func handle(t testing.TB, e script.Engine, in *script.HandleInput, code string) *script.HandleResult {
	t.Helper()
	r, err := e.Handle(context.Background(), program(t, "handle", code), in)
	if err != nil {
		t.Fatalf("%s\n%v", code, err)
	}
	return r
}

// payload runs code that returns one event and returns its payload.
func payload(t testing.TB, e script.Engine, in *script.HandleInput, expression string) string {
	t.Helper()
	r := handle(t, e, in, "return {events: [{selector: 's', payload: "+expression+"}]}")
	return string(r.Events[0].Payload)
}

// fail runs code that must fail.
func fail(t testing.TB, e script.Engine, p *script.Program, in *script.HandleInput) (*script.HandleResult, *script.Error) {
	t.Helper()
	r, err := e.Handle(context.Background(), p, in)
	var failure *script.Error
	if !errors.As(err, &failure) {
		t.Fatalf("error %v (%T), want a *script.Error\n%s", err, err, p.Code)
	}
	if r != nil && (r.Events != nil || r.Response != nil || r.Remember != nil) {
		t.Errorf("a failed call has a result: %+v", r)
	}
	return r, failure
}

func testInputs(t *testing.T, e script.Engine) {
	in := jsonInput(`{"a":1}`)
	in.Request.Query = "a=1&b=2&b=3&c%5Bd%5D=x&e=%C3%A9"
	in.Request.Headers = hook.Headers{{Name: "X-One", Value: "1"}, {Name: "x-TWO", Value: "a"}, {Name: "X-Two", Value: "b"}, {Name: "__proto__", Value: "p"}, {Name: "X-Bytes", Value: "\xff"}}
	for expression, want := range map[string]string{
		`input.query`:                          `{"a":"1","b":["2","3"],"c":{"d":"x"},"e":"é"}`,
		`input.data`:                           `{"a":1}`,
		`input.headers`:                        `{"x-one":"1","x-two":"a, b","__proto__":"p","x-bytes":"` + "\uFFFD" + `"}`,
		`input.parameters`:                     `{"secret":"s3cr3t-value","shop":42}`,
		`input.rawBody`:                        `"{\"a\":1}"`,
		`[input.method, input.url]`:            `["POST","https://hooks.example/demo/shop/orders/tok?a=1"]`,
		`input.path`:                           `"/demo/shop/orders/tok"`,
		`input.integration`:                    `"shop"`,
		`input.workspace`:                      `"demo"`,
		`input.receivedAt`:                     `"2026-01-02T02:04:05.678Z"`,
		`[...input.rawBytes]`:                  `[123,34,97,34,58,49,125]`,
		`input.rawBytes instanceof Uint8Array`: `true`,
		`typeof input.state`:                   `"undefined"`,
		`Object.keys(input).join()`:            `"query,data,headers,parameters,rawBody,method,url,path,rawBytes,integration,workspace,receivedAt"`,
		`Object.keys({...input}).length`:       `12`,
		`"data" in input && !("state" in input) && input.data === input.data`:                                                                        `true`,
		`(() => { input.data = 1; input.more = 2; delete input.url; return [input.data, input.more, "url" in input, Object.keys(input).length] })()`: `[1,2,false,12]`,
		`(({data: {a}, headers: {"x-one": one}, nothing = "n"}) => [a, one, nothing])(input)`:                                                        `[1,"1","n"]`,
		`(() => { input.rawBytes[0] = 0; return input.rawBody })()`:                                                                                  `"{\"a\":1}"`,
		`(function() { return typeof this })()`:                                                                                                      `"undefined"`,
	} {
		if got := payload(t, e, in, expression); got != want {
			t.Errorf("%s: %s, want %s", expression, got, want)
		}
	}
	in.Parameters = nil
	if got := payload(t, e, in, `input.parameters`); got != `{}` {
		t.Errorf("no parameters: %s", got)
	}
	// The body is not changed by a function that writes to its bytes.
	if string(in.Request.Body) != `{"a":1}` {
		t.Errorf("the body became %q", in.Request.Body)
	}
}

func testData(t *testing.T, e script.Engine) {
	for _, c := range []struct{ contentType, body, expression, want string }{
		{"application/json", `[1,{"a":[]}]`, `input.data`, `[1,{"a":[]}]`},
		{"application/json", `"text"`, `[input.data]`, `["text"]`},
		{"application/json; charset=utf-8", ` {"a" : 1} `, `Object.keys(input.data)`, `["a"]`},
		{"application/json", ``, `typeof input.data`, `"undefined"`},
		{"", ``, `[typeof input.data, input.rawBody, input.rawBytes.length]`, `["undefined","",0]`},
		{"application/json", `{"a":`, `[typeof input.data, input.rawBody]`, `["undefined","{\"a\":"]`},
		{"application/x-www-form-urlencoded", `a=1&b=2&b=3&payload=%7B%22x%22%3A1%7D`, `[input.data.a, input.data.b, JSON.parse(input.data.payload).x]`, `["1",["2","3"],1]`},
		// What JSON.parse makes is passed on as it stood in the text, too; what was changed is not.
		{"text/plain", ` {"id": 9007199254740993, "id" : 1e400, "a":[{"b": 12345678901234567890}]} `, `JSON.parse(input.data)`, `{"id": 9007199254740993, "id" : 1e400, "a":[{"b": 12345678901234567890}]}`},
		{"text/plain", `{"a":[{"b": 12345678901234567890, "c":1.0}]}`, `JSON.parse(input.data).a[0]`, `{"b": 12345678901234567890, "c":1.0}`},
		{"text/plain", `{"a":[{"b": 12345678901234567890}], "n": 1.0}`, `({ ...JSON.parse(input.data), n: 2 })`, `{"a":[{"b": 12345678901234567890}],"n":2}`},
		{"text/plain", `{"a": 1.0}`, `(() => { const d = JSON.parse(input.data); d.b = 2; return d })()`, `{"a":1.0,"b":2}`},
		{"text/plain", `{"a": 1.0}`, `JSON.parse(input.data, (k, v) => v)`, `{"a":1}`},
		{"text/plain", `[{"a": 1.0}]`, `[...Array(40)].map(() => JSON.parse(input.data)[0]).pop()`, `{"a":1}`},
		{"text/plain", `{"a": "\ud800"}`, `JSON.parse(input.data).a.length`, `1`},
		{"text/plain", `{`, `[JSON.parse.name, JSON.parse.length, JSON.parse("5"), JSON.parse(" null "), JSON.parse({ toString: () => "[1]" })]`, `["parse",2,5,null,[1]]`},
		{"text/plain", `{"a":`, `(() => { try { JSON.parse(input.data) } catch (e) { return [e instanceof SyntaxError, e.name] } })()`, `[true,"SyntaxError"]`},
		{"text/plain", `{"a":1}`, `[Object.keys(Object.getOwnPropertyDescriptor(JSON, "parse")), Object.keys(JSON).length]`, `[["value","writable","enumerable","configurable"],0]`},
		{"text/plain", `hello é`, `[input.data]`, `["hello é"]`},
		{"application/xml", `<a>1</a>`, `input.data`, `"<a>1</a>"`},
		{"text/plain", "a\xffb", `[...input.rawBytes]`, `[97,255,98]`},
		// regexp2 before 2.9 overlooked the first of two alternatives here.
		{"text/plain", `<a><b>`, `(r => { r.lastIndex = 3; return r.exec(input.data)[0] })(/<b>|([^<]+)/y)`, `"<b>"`},
		{"text/plain", "a\xffb", `input.rawBody`, `"a` + "\uFFFD" + `b"`},
	} {
		if got := payload(t, e, input(c.contentType, c.body), c.expression); got != c.want {
			t.Errorf("%s %q: %s = %s, want %s", c.contentType, c.body, c.expression, got, c.want)
		}
	}
	// Data behaves as what JSON.parse makes.
	const text = `{"b":1,"a":{"l":[3,1,2]},"2":"x","1":"y","s":"é\ud83d\ude00","n":null,"t":true,"f":1.5}`
	for _, expression := range []string{
		`Object.keys(d)`, `Object.entries(d)`, `JSON.stringify(d)`, `{...d}`, `Array.isArray(d.a.l)`, `[...d.a.l].sort()`, `d.a.l.map(x => x + 1)`, `d.a.l.slice(1).concat([9])`,
		`(() => { const k = []; for (const x in d) k.push(x); return k })()`, `d.hasOwnProperty("a") && !d.hasOwnProperty("toString")`, `"a" in d`, `d.s.length`,
		`(() => { delete d.b; d.c = 3; return d })()`, `(() => { d.a.l.push(4); d.a.l.length = 2; d.a.l.reverse(); return d })()`, `Object.freeze(d) === d && Object.isFrozen(d)`,
		`(({b, ...rest}) => rest)(d)`, `d instanceof Object && d.a.l instanceof Array`, `Object.getPrototypeOf(d) === Object.prototype`, `String(d) + d.a.l`, `d.a.l.includes(3) && d.a.l.indexOf(2)`,
		`Object.assign({}, d, {z: 1})`, `JSON.parse(JSON.stringify(d.a))`, `d.toString === Object.prototype.toString`, `typeof d.n + typeof d.t + typeof d.f`, `d.a.l.at(-1)`, `d.x?.y ?? "none"`,
		`Object.defineProperty(d, "b", {value: 5, enumerable: false})`, `Object.getOwnPropertyDescriptor(d, "b")`,
	} {
		got := payload(t, e, jsonInput(text), `(d => (`+expression+`))(input.data)`)
		want := payload(t, e, jsonInput(text), `(d => (`+expression+`))(JSON.parse(input.rawBody, (_, v) => v))`)
		if got != want && !json.Valid([]byte(got)) || jsonDiff(got, want) != "" {
			t.Errorf("%s: %s, want %s", expression, got, want)
		}
	}
}

func jsonDiff(a, b string) string {
	var x, y any
	if err := json.Unmarshal([]byte(a), &x); err != nil {
		return err.Error()
	}
	if err := json.Unmarshal([]byte(b), &y); err != nil {
		return err.Error()
	}
	return cmp.Diff(x, y)
}

func testPassThrough(t *testing.T, e script.Engine) {
	const text = ` { "id" : 12345678901234567890, "x": 1.0, "x": 2, "sub": {"k" : [1, 2e0]}, "list":[{"n":1},{"n":2}] } `
	whole := strings.TrimSpace(text)
	for _, c := range []struct{ code, want string }{
		{`return {events: [{selector: 's', payload: input.data}]}`, whole},
		{`return {events: [{selector: 's', payload: input.data.sub}]}`, `{"k" : [1, 2e0]}`},
		{`return {events: [{selector: 's', payload: input.data.sub.k}]}`, `[1, 2e0]`},
		{`JSON.stringify(input.data); return {events: [{selector: 's', payload: input.data}]}`, whole},
		{`const {data} = input; return {events: data.list.map(payload => ({selector: 's', payload}))}`, `{"n":1}|{"n":2}`},
		{`return {events: [{selector: 'a', payload: input.data}, {selector: 'b', payload: input.data}]}`, whole + "|" + whole},
	} {
		r := handle(t, e, jsonInput(text), c.code)
		var payloads []string
		for _, ev := range r.Events {
			payloads = append(payloads, string(ev.Payload))
			if !ev.FromBody || text[ev.BodyOffset:ev.BodyOffset+len(ev.Payload)] != string(ev.Payload) {
				t.Errorf("%s: from body %v at %d", c.code, ev.FromBody, ev.BodyOffset)
			}
		}
		if got := strings.Join(payloads, "|"); got != c.want {
			t.Errorf("%s: %s, want %s", c.code, got, c.want)
		}
	}
	// What was changed, or is new, is encoded; untouched parts within keep their bytes.
	for _, c := range []struct{ code, want string }{
		{`input.data.sub.k.push(3)`, `{"id":12345678901234567890,"x":2,"sub":{"k":[1,2e0,3]},"list":[{"n":1},{"n":2}]}`},
		{`input.data.new = undefined`, `{"id":12345678901234567890,"x":2,"sub":{"k" : [1, 2e0]},"list":[{"n":1},{"n":2}]}`},
		{`delete input.data.id; delete input.data.list`, `{"x":2,"sub":{"k" : [1, 2e0]}}`},
		{`input.data.list[1].n = 3`, `{"id":12345678901234567890,"x":2,"sub":{"k" : [1, 2e0]},"list":[{"n":1},{"n":3}]}`},
		{`input.data = {got: input.data.sub}`, `{"got":{"k" : [1, 2e0]}}`},
		{`Object.setPrototypeOf(input.data, {toJSON() { return 7 }})`, `7`},
	} {
		r := handle(t, e, jsonInput(text), c.code+`; return {events: [{selector: 's', payload: input.data}]}`)
		if got := string(r.Events[0].Payload); got != c.want || r.Events[0].FromBody {
			t.Errorf("%s: %s (from body: %v), want %s", c.code, got, r.Events[0].FromBody, c.want)
		}
	}
	// A form's JSON is not a part of the body.
	r := handle(t, e, input("application/x-www-form-urlencoded", "a=1"), `return {events: [{selector: 's', payload: input.data}]}`)
	if ev := r.Events[0]; string(ev.Payload) != `{"a":"1"}` || ev.FromBody {
		t.Errorf("form: %s, from body: %v", ev.Payload, ev.FromBody)
	}
	// A payload that changes the next one while it is encoded.
	r = handle(t, e, jsonInput(`{"a":{"b":1}}`), `const {data} = input; return {events: [
		{selector: 'x', payload: data.a}, {selector: 'y', payload: {toJSON() { data.a.b = 2; return 0 }}}, {selector: 'z', payload: data.a}]}`)
	if got := string(r.Events[2].Payload); got != `{"b":2}` {
		t.Errorf("changed by toJSON: %s", got)
	}
}

func testEvents(t *testing.T, e script.Engine) {
	in := jsonInput(`{"a":1}`)
	for _, code := range []string{``, `return`, `return null`, `return undefined`, `return {}`, `return {events: []}`, `return {events: null, response: null}`, `return {other: 1}`, `return Promise.resolve()`} {
		if r := handle(t, e, in, code); len(r.Events) != 0 || r.Response != nil || r.Remember != nil {
			t.Errorf("%s: %+v", code, r)
		}
	}
	r := handle(t, e, in, `return {events: [
		{selector: 'a/b', payload: {x: 1}, id: 'key-1', type: 'created'},
		{selector: 'é\ud800', payload: null, id: null, type: undefined}, {selector: 's', payload: undefined}, {selector: 's', payload: "text"},
		{selector: 's', payload: new Date(0)}, {selector: 's', payload: [NaN, undefined, -0, 1e21]}, {selector: 's', payload: {u: undefined, d: {toJSON: k => 'json ' + k}}},
		{selector: String('s'), payload: new Proxy({p: 1}, {})}, {selector: 's', payload: Object.create({inherited: 1})},
		{selector: 's', payload: "\ud800 \" \\ \n \u2028"}, new (class { get selector() { return 'getter' } get payload() { return 1 } })(),
	]}`)
	want := []*hook.Event{
		{Selector: "a/b", Payload: []byte(`{"x":1}`), Key: "key-1", Type: "created"},
		{Selector: "é\uFFFD", Payload: []byte(`null`)}, {Selector: "s", Payload: []byte(`null`)}, {Selector: "s", Payload: []byte(`"text"`)},
		{Selector: "s", Payload: []byte(`"1970-01-01T00:00:00.000Z"`)}, {Selector: "s", Payload: []byte(`[null,null,0,1e+21]`)}, {Selector: "s", Payload: []byte(`{"d":"json d"}`)},
		{Selector: "s", Payload: []byte(`{"p":1}`)}, {Selector: "s", Payload: []byte(`{}`)},
		{Selector: "s", Payload: []byte(`"\ud800 \" \\ \n ` + "\u2028" + `"`)}, {Selector: "getter", Payload: []byte(`1`)},
	}
	if diff := cmp.Diff(want, r.Events); diff != "" {
		t.Error(diff)
	}
	if r.Took <= 0 {
		t.Errorf("took %v", r.Took)
	}
}

func testResponses(t *testing.T, e script.Engine) {
	show := func(r *hook.Response) string {
		if r == nil {
			return "none"
		}
		var h []string
		for _, f := range r.Headers {
			h = append(h, f.Name+": "+f.Value)
		}
		return fmt.Sprintf("%d [%s] %s", r.Status, strings.Join(h, ", "), r.Body)
	}
	const text, js = "Content-Type: text/plain; charset=utf-8", "Content-Type: application/json"
	for _, c := range []struct{ code, want string }{
		{`{}`, "200 [] "},
		{`{status: 204}`, "204 [] "},
		{`{status: 599, data: null}`, "599 [] "},
		{`{data: "hi é"}`, "200 [" + text + "] hi é"},
		{`{data: ""}`, "200 [" + text + "] "},
		{`{data: {challenge: "x"}}`, "200 [" + js + `] {"challenge":"x"}`},
		{`{data: [1]}`, "200 [" + js + `] [1]`},
		{`{data: 5}`, "200 [" + js + `] 5`},
		{`{data: false}`, "200 [" + js + `] false`},
		{`{data: new Date(0)}`, "200 [" + js + `] "1970-01-01T00:00:00.000Z"`},
		{`{data: input.data}`, "200 [" + js + `] {"a" : 1}`},
		{`{headers: {"X-A": "1", "x-b": ""}, data: "t"}`, "200 [X-A: 1, x-b: , " + text + "] t"},
		{`{headers: {"content-type": "text/html"}, data: "<p>"}`, "200 [content-type: text/html] <p>"},
		{`{headers: {"Content-Type": "application/vnd.x+json"}, data: {a: 1}}`, `200 [Content-Type: application/vnd.x+json] {"a":1}`},
		{`{headers: {"Content-Type": "application/json"}, data: "{}"}`, `200 [Content-Type: application/json] {}`},
		{`{headers: {"Content-Type": "application/x-www-form-urlencoded"}, data: {a: "1 &", b: [2, true], c: null, "é": "ü"}}`,
			"200 [Content-Type: application/x-www-form-urlencoded] a=1+%26&b=2&b=true&%C3%A9=%C3%BC"},
		{`{headers: {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}, data: "a=b"}`, "200 [Content-Type: application/x-www-form-urlencoded; charset=utf-8] a=b"},
		{`{data: new Uint8Array([104, 105])}`, "200 [Content-Type: application/octet-stream] hi"},
		{`{data: new Uint8Array([1, 104, 105]).subarray(1)}`, "200 [Content-Type: application/octet-stream] hi"},
		{`{data: new Uint16Array([26984])}`, "200 [Content-Type: application/octet-stream] hi"},
		{`{data: new Uint8Array([104, 105]).buffer, headers: {"Content-Type": "image/x"}}`, "200 [Content-Type: image/x] hi"},
		{`null`, "none"}, {`undefined`, "none"},
	} {
		r := handle(t, e, jsonInput(`{"a" : 1}`), "return {response: "+c.code+"}")
		if got := show(r.Response); got != c.want {
			t.Errorf("%s: %q, want %q", c.code, got, c.want)
		}
	}
}

func testHandshakes(t *testing.T, e script.Engine) {
	in := jsonInput(`{"challenge":"c"}`)
	in.State = map[string]string{"hookSecret": "old-value"}
	p := program(t, "handshake", `export function handshake({data, state, headers}) {
		return {response: {data: data.challenge + state.hookSecret + Object.keys(state)}, remember: {hookSecret: "new", other: ""}}
	}`)
	r, err := e.Handle(context.Background(), p, in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"hookSecret": "new", "other": ""}, r.Remember); diff != "" || string(r.Response.Body) != "cold-valuehookSecret" {
		t.Errorf("remember %s, response %s", diff, r.Response.Body)
	}
	for code, want := range map[string]string{
		`return {events: [{selector: 's', payload: 1}]}`: "events: a handshake function answers, it cannot make events",
		`return {remember: "x"}`:                         "remember: expected an object of strings, got string",
		`return {remember: ["x"]}`:                       "remember: expected an object of strings, got array",
		`return {remember: {a: 1}}`:                      "remember.a: expected a string, got number",
	} {
		if _, f := fail(t, e, program(t, "handshake", code), in); f.Failure.Kind != "shape" || f.Error() != want {
			t.Errorf("%s: %s %v, want %s", code, f.Failure.Kind, f, want)
		}
	}
	if _, f := fail(t, e, program(t, "handle", `return {remember: {a: "1"}}`), in); f.Error() != "remember: only a handshake function can have something remembered" {
		t.Errorf("handle that remembers: %v", f)
	}
}

func testExports(t *testing.T, e script.Engine) {
	const result = `({events: [{selector: 'ok', payload: null}]})`
	for _, code := range []string{
		`export default function handle() { return ` + result + ` }`,
		`export default async function handle() { await null; return ` + result + ` }`,
		`export default async () => ` + result,
		`export default () => Promise.resolve().then(() => ` + result + `)`,
		`export default () => ({then(f) { f(` + result + `) }})`,
		`export const handle = () => ` + result,
		`export function handle() { return ` + result + ` }; export default 5`,
		`const handle = () => ` + result + `; export { handle }`,
		`const f = () => ` + result + `; export { f as handle }`,
		`export default {handle: () => ` + result + `}`,
		`module.exports = function() { return ` + result + ` } // no export`,
		`module.exports = { handle: async () => ` + result + ` } // no export`,
		`exports.handle = () => ` + result + ` // no export`,
		`module.exports.handle = () => ` + result + ` // no export`,
		`exports.default = () => ` + result + `; Object.defineProperty(exports, "__esModule", {value: true}) // no export`,
		`const handle = (): any => ` + result + `; export default handle as unknown`,
		`export default function* () {}; export const handle = () => ` + result,
	} {
		p := program(t, "handle", code)
		r, err := e.Handle(context.Background(), p, jsonInput(`{}`))
		if strings.Contains(code, "function* ()") {
			if err != nil { // a generator is a function, and its result an object without events
				t.Errorf("%s: %v", code, err)
			}
			continue
		}
		if err != nil || len(r.Events) != 1 {
			t.Errorf("%s: %+v %v", code, r, err)
		}
	}
}
