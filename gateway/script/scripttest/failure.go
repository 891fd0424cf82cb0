package scripttest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"switchhook/gateway/body"
	"switchhook/gateway/script"
)

func testShapes(t *testing.T, e script.Engine) {
	const ok = `{selector: 's', payload: 1}`
	for _, c := range []struct{ code, want string }{
		{`return 5`, `expected an object {events, response}, got number`},
		{`return "x"`, `expected an object {events, response}, got string`},
		{`return []`, `expected an object {events, response}, got array`},
		{`return () => 1`, `expected an object {events, response}, got function`},
		{`return async () => 1`, `expected an object {events, response}, got function`},
		{`return {event: []}`, `event: unknown, did you mean "events"?`},
		{`return {respones: {}}`, `respones: unknown, did you mean "response"?`},
		{`return {events: {}}`, `events: expected an array, got object`},
		{`return {events: "x"}`, `events: expected an array, got string`},
		{`return {events: [` + ok + `, 5]}`, `events[1]: expected an object {selector, payload}, got number`},
		{`return {events: [,]}`, `events[0]: expected an object {selector, payload}, got undefined`},
		{`return {events: [[]]}`, `events[0]: expected an object {selector, payload}, got array`},
		{`return {events: [Promise.resolve(` + ok + `)]}`, `events[0].selector: expected a string, got undefined`},
		{`return {events: [` + ok + `, ` + ok + `, {selector: 7, payload: 1}]}`, `events[2].selector: expected a string, got number`},
		{`return {events: [{payload: 1}]}`, `events[0].selector: expected a string, got undefined`},
		{`return {events: [{selektor: 's', payload: 1}]}`, `events[0].selektor: unknown, did you mean "selector"?`},
		{`return {events: [{selector: '', payload: 1}]}`, `events[0].selector: must not be empty`},
		{`return {events: [{selector: ['s'], payload: 1}]}`, `events[0].selector: expected a string, got array`},
		{`return {events: [{selector: new String('s'), payload: 1}]}`, `events[0].selector: expected a string, got object`},
		{`return {events: [{selector: 's'}]}`, `events[0].payload: missing; write payload: null for an event without one`},
		{`return {events: [{selector: 's', data: 1}]}`, `events[0].data: unknown, did you mean "payload"?`},
		{`return {events: [{selector: 's', payload: 1, id: 5}]}`, `events[0].id: expected a string, got number`},
		{`return {events: [{selector: 's', payload: 1, type: {}}]}`, `events[0].type: expected a string, got object`},
		{`return {events: [{selector: 's', payload: {a: [1n]}}]}`, `events[0].payload.a[0]: a BigInt has no form in JSON; use Number(x) or String(x)`},
		{`return {events: [{selector: 's', payload: {f() {}}}]}`, `events[0].payload.f: a function has no form in JSON`},
		{`return {events: [{selector: 's', payload: Symbol()}]}`, `events[0].payload: a symbol has no form in JSON`},
		{`return {events: [{selector: 's', payload: {p: (async () => 1)()}}]}`, `events[0].payload.p: a Promise has no form in JSON; is an await missing?`},
		{`return {events: [{selector: 's', payload: new Map()}]}`, `events[0].payload: a Map has no form in JSON; use Object.fromEntries(map)`},
		{`const a = {"x y": {}}; a["x y"].a = a; return {events: [{selector: 's', payload: a}]}`, `events[0].payload["x y"].a: contains itself, which has no form in JSON`},
		{`return {response: 200}`, `response: expected an object {status, headers, data}, got number`},
		{`return {response: {status: "200"}}`, `response.status: expected an integer from 200 to 599, got string`},
		{`return {response: {status: 200.5}}`, `response.status: expected an integer from 200 to 599, got 200.5`},
		{`return {response: {status: 199}}`, `response.status: expected an integer from 200 to 599, got 199`},
		{`return {response: {status: NaN}}`, `response.status: expected an integer from 200 to 599, got NaN`},
		{`return {response: {statusCode: 201}}`, `response.statusCode: unknown, did you mean "status"?`},
		{`return {response: {status: 201, body: "x"}}`, `response.body: unknown, did you mean "data"?`},
		{`return {response: {headers: []}}`, `response.headers: expected an object of strings, got array`},
		{`return {response: {headers: {"X-A": 1}}}`, `response.headers["X-A"]: expected a string, got number`},
		{`return {response: {headers: {"X-A": "a\r\nSet-Cookie: b"}}}`, `response.headers["X-A"]: contains the control character '\r'`},
		{`return {response: {headers: {"X-A": "a\nb"}}}`, `response.headers["X-A"]: contains the control character '\n'`},
		{`return {response: {headers: {"X-A": "a\u0000"}}}`, `response.headers["X-A"]: contains the control character '\x00'`},
		{`return {response: {headers: {"X A": "b"}}}`, `response.headers["X A"]: is not the name of a header field`},
		{`return {response: {headers: {"": "b"}}}`, `response.headers[""]: is not the name of a header field`},
		{`return {response: {headers: {"Content-Length": "5"}}}`, `response.headers["Content-Length"]: is set by the gateway`},
		{`return {response: {headers: {"transfer-encoding": "chunked"}}}`, `response.headers["transfer-encoding"]: is set by the gateway`},
		{`return {response: {data: {a: 1n}}}`, `response.data.a: a BigInt has no form in JSON; use Number(x) or String(x)`},
		{`return {response: {data: {a: {}}, headers: {"Content-Type": "application/x-www-form-urlencoded"}}}`, `response.data.a: expected a string, number or boolean in a form, got object`},
		{`return {response: {data: [1], headers: {"Content-Type": "application/x-www-form-urlencoded"}}}`, `response.data: expected an object or a string for a form, got array`},
	} {
		_, f := fail(t, e, program(t, "handle", c.code), jsonInput(`{}`))
		if f.Failure.Kind != "shape" || f.Error() != c.want || f.Status != 0 {
			t.Errorf("%s:\n%s %v\nwant %s", c.code, f.Failure.Kind, f, c.want)
		}
	}
}

func testThrown(t *testing.T, e script.Engine) {
	p := program(t, "handle", `
export default async function handle({ data }) {
  await null
  if (data.refuse) throw new HttpError(data.refuse, data.message)
  return deep(data)
}
function deep(data) {
	return 'é😀' + data.a.b.c
}
`)
	_, f := fail(t, e, p, jsonInput(`{"a":{}}`))
	if f.Failure.Kind != "thrown" || !strings.Contains(f.Failure.Message, "TypeError: ") || !strings.Contains(f.Failure.Message, "'c'") || f.Status != 0 {
		t.Errorf("%+v", f)
	}
	if len(f.Failure.Stack) < 2 {
		t.Fatalf("stack: %+v", f.Failure.Stack)
	}
	top := f.Failure.Stack[0]
	if top.File != "acme.yml" || top.Line != 8 || top.Function != "deep" || top.Column < 17 || top.Column > 27 {
		t.Errorf("top of the stack: %+v", top)
	}
	if next := f.Failure.Stack[1]; next.Function != "handle" || next.Line != 5 || next.File != "acme.yml" {
		t.Errorf("next on the stack: %+v", next)
	}
	if !strings.Contains(f.Failure.CodeFrame, "> 8 |") || !strings.Contains(f.Failure.CodeFrame, "'é😀' + data.a.b.c") || !strings.Contains(f.Failure.CodeFrame, "^") {
		t.Errorf("code frame:\n%s", f.Failure.CodeFrame)
	}
	if want := fmt.Sprintf("acme.yml:8:%d: %s", top.Column, f.Failure.Message); f.Error() != want {
		t.Errorf("error %q, want %q", f.Error(), want)
	}

	_, f = fail(t, e, p, jsonInput(`{"refuse":401,"message":"bad signature"}`))
	if f.Failure.Kind != "refused" || f.Failure.Message != "bad signature" || f.Status != 401 || len(f.Failure.Stack) == 0 || f.Failure.Stack[0].Line != 4 {
		t.Errorf("%+v", f)
	}

	for _, c := range []struct {
		code, kind, message string
		status              int
	}{
		{`throw new Error("boom")`, "thrown", "Error: boom", 0},
		{`throw new RangeError("two\nlines")`, "thrown", "RangeError: two lines", 0},
		{`throw new Error("outer", {cause: new TypeError("inner")})`, "thrown", "Error: outer (cause: TypeError: inner)", 0},
		{`throw Object.assign(new Error("x"), {name: "Custom"})`, "thrown", "Custom: x", 0},
		{`class Own extends Error { get name() { return "Own" } }; throw new Own()`, "thrown", "Own", 0},
		{`throw "text"`, "thrown", "text", 0},
		{`throw 5`, "thrown", "threw 5", 0},
		{`throw null`, "thrown", "threw null", 0},
		{`throw undefined`, "thrown", "threw undefined", 0},
		{`throw {code: 1}`, "thrown", "threw { code: 1 }", 0},
		{`throw Symbol("s")`, "thrown", "threw Symbol(s)", 0},
		{`throw () => 1`, "thrown", "threw [Function (anonymous)]", 0},
		{`return Promise.reject(new Error("async"))`, "thrown", "Error: async", 0},
		{`return Promise.reject("async text")`, "thrown", "async text", 0},
		{`return Promise.reject()`, "thrown", "threw undefined", 0},
		{`return {then(ok, no) { no(new Error("thenable")) }}`, "thrown", "Error: thenable", 0},
		{`return {get then() { throw new Error("then") }}`, "thrown", "Error: then", 0},
		{`return {get events() { throw new Error("getter") }}`, "thrown", "Error: getter", 0},
		{`return {events: [{selector: 's', payload: {toJSON() { throw new Error("toJSON") }}}]}`, "thrown", "Error: toJSON", 0},
		{`return new Proxy({}, {get() { throw new Error("proxy") }})`, "thrown", "Error: proxy", 0},
		{`throw new Proxy(new Error("x"), {get() { throw new Error("evil") }})`, "thrown", "threw Error: x", 0},
		{`throw {get message() { throw 1 }, toString() { throw 2 }, get name() { throw 3 }}`, "thrown", "threw { message: [Getter], toString: [Function: toString], name: [Getter] }", 0},
		{`throw Object.defineProperty(new Error("x"), "message", {get() { throw 1 }})`, "thrown", "Error", 0},
		{`throw Object.defineProperty(new Error("x"), "name", {value: {toString() { throw 1 }}})`, "thrown", "Error: x", 0},
		{`const {proxy, revoke} = Proxy.revocable({}, {}); revoke(); throw proxy`, "thrown", "threw <Revoked Proxy>", 0},
		{`const a = {}; a.a = a; throw a`, "thrown", "threw { a: [Circular] }", 0},
		{`const a = undefined; a.x`, "thrown", "TypeError: Cannot read property 'x' of undefined", 0},
		{`nope()`, "thrown", "ReferenceError: nope is not defined", 0},
		{`setTimeout(() => 1, 5)`, "thrown", "ReferenceError: setTimeout is not defined here: handlers have no timers, a call is over when what it returned is settled", 0},
		{`const f = () => f(); f()`, "thrown", "RangeError: functions call one another more than 200 deep (is it an endless recursion?)", 0},
		{`throw new HttpError(418, "teapot")`, "refused", "teapot", 418},
		{`throw new HttpError(503)`, "refused", "", 503},
		{`class Gone extends HttpError { constructor() { super(410, "gone") } }; throw new Gone()`, "refused", "gone", 410},
		{`const e = new HttpError(401, "x"); e.status = 200; throw e`, "refused", "x", 401},
		{`return Promise.reject(new HttpError(404, "none"))`, "refused", "none", 404},
		{`throw new HttpError(200, "fine")`, "thrown", "RangeError: HttpError takes a status from 400 to 599 first, got 200", 0},
		{`throw new HttpError("401", "x")`, "thrown", "RangeError: HttpError takes a status from 400 to 599 first, got 401", 0},
		{`throw new HttpError()`, "thrown", "RangeError: HttpError takes a status from 400 to 599 first, got undefined", 0},
		{`throw Object.assign(Object.create(HttpError.prototype), {status: 401, message: "forged"})`, "thrown", "threw Error {\n", 0},
		{`return new Promise(() => {})`, "pending", "the promise that handle returned never settles: what it waits for does not happen here", 0},
		{`return {then() {}}`, "pending", "the promise that handle returned never settles: what it waits for does not happen here", 0},
		{`return (async () => { for (;;) await new Promise(() => {}) })()`, "pending", "the promise that handle returned never settles: what it waits for does not happen here", 0},
	} {
		if strings.Contains(c.code, "Object.create(HttpError.prototype)") {
			if _, f := fail(t, e, program(t, "handle", c.code), jsonInput(`{}`)); f.Failure.Kind != "thrown" || f.Status != 0 {
				t.Errorf("forged: %+v", f)
			}
			continue
		}
		_, f := fail(t, e, program(t, "handle", c.code), jsonInput(`{}`))
		if f.Failure.Kind != c.kind || f.Failure.Message != c.message || f.Status != c.status || f.Failure.Path != "" {
			t.Errorf("%s:\n%s %q %d\nwant %s %q", c.code, f.Failure.Kind, f.Failure.Message, f.Status, c.kind, c.message)
		}
	}
	for code, want := range map[string]string{
		`if (!(new HttpError(401, "x") instanceof Error)) throw 1; return {events: [{selector: HttpError.name + new HttpError(401, "x"), payload: new HttpError(499, "m").status}]}`: "HttpErrorHttpError: x 499",
		`try { throw new HttpError(400, "caught") } catch (e) { return {events: [{selector: e.message, payload: e instanceof HttpError}]} }`:                                         "caught true",
	} {
		r := handle(t, e, jsonInput(`{}`), code)
		if got := r.Events[0].Selector + " " + string(r.Events[0].Payload); got != want {
			t.Errorf("%s: %s, want %s", code, got, want)
		}
	}
	// Long messages are cut.
	if _, f := fail(t, e, program(t, "handle", `throw new Error("x".repeat(1e6))`), jsonInput(`{}`)); len(f.Failure.Message) > 4_000 {
		t.Errorf("a message of %d bytes", len(f.Failure.Message))
	}
}

// testHostile has results that cost much to read, and must not.
func testHostile(t *testing.T, e script.Engine) {
	for _, code := range []string{
		`const a = []; a.length = 4294967295; return {events: a}`,
		`return {events: [{selector: 's', payload: new Array(4294967295)}]}`,
		`const a = []; a[4294967294] = 1; return {events: [{selector: 's', payload: a}]}`,
		`return {events: [{selector: 's', payload: new Proxy([], {get: (t, k) => k === "length" ? 1e15 : 1})}]}`,
		`let d = {}; for (let i = 0; i < 1e5; i++) d = {d}; return {events: [{selector: 's', payload: d}]}`,
		`const l = new Array(1000).fill(1); const m = new Array(1000).fill(l); return {events: [{selector: 's', payload: new Array(1000).fill(m)}]}`,
		`return {events: [{selector: 's', payload: "x".repeat(2e7)}]}`,
		`return {events: new Array(20000).fill({selector: 's', payload: 1})}`,
		`return {response: {data: "x".repeat(2e7)}}`,
		`return {response: {data: new Uint8Array(2e7)}}`,
		`return {response: {headers: Object.fromEntries(new Array(2000).fill(0).map((x, i) => ["h" + i, "v"]))}}`,
		`const f = {toJSON() { return {f} }}; return {events: [{selector: 's', payload: f}]}`,
		`const f = () => new Proxy({}, {ownKeys: () => ["a"], getOwnPropertyDescriptor: () => ({value: 1, enumerable: true, configurable: true}), get: (t, k) => k === "a" ? f() : undefined}); return {events: [{selector: 's', payload: f()}]}`,
	} {
		if _, f := fail(t, e, program(t, "handle", code), jsonInput(`{}`)); f.Failure.Kind != "shape" {
			t.Errorf("%s: %s %v", code, f.Failure.Kind, f)
		}
	}
}

func testInputFailures(t *testing.T, e script.Engine) {
	deep := strings.Repeat("[", 101) + strings.Repeat("]", 101)
	p := program(t, "handle", `try { input.data } catch {}; return {}`)
	for name, b := range map[string]*body.Parsed{
		"parsed": body.Parse("application/json", []byte(deep)), "unchecked": {Kind: body.JSON, JSON: []byte(deep), Raw: true},
	} {
		in := jsonInput(deep)
		in.Body = b
		if _, f := fail(t, e, p, in); f.Failure.Kind != "input" || f.Status != 400 || !strings.Contains(f.Failure.Message, "nested deeper than 100 levels") {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if got := payload(t, e, jsonInput(deep[1:201]), "input.data"); got != deep[1:201] {
		t.Errorf("100 levels: %s", got)
	}
	in := jsonInput(`{}`)
	in.Body = &body.Parsed{Kind: body.JSON, JSON: []byte(`{`)}
	if _, f := fail(t, e, p, in); f.Failure.Kind != "input" || f.Status != 400 {
		t.Errorf("broken JSON: %+v", f)
	}
}

func testConsole(t *testing.T, e script.Engine) {
	r := handle(t, e, jsonInput(`{"a":[1,{"b":"x"}]}`), `
		console.log("hello", input.data, 1, null); console.info("%s has %d", "x", 2); console.warn(); console.error(new TypeError("bad")); console.debug([1, , 3])
		const {log} = console; log("detached", console.log.name)
		Promise.reject(new Error("lost"))
		Promise.reject(1).catch(() => {})`)
	var got []string
	for _, l := range r.Console {
		got = append(got, l.Level+": "+l.Text)
	}
	want := []string{
		`log: hello { a: [ 1, { b: 'x' } ] } 1 null`, `info: x has 2`, `warn: `, "error: TypeError: bad\n    at handle (acme.yml:3:111)", `debug: [ 1, <1 empty item>, 3 ]`, `log: detached log`,
		"warn: a promise was rejected and nobody waits for it (is an await missing?): Error: lost\n    at handle (acme.yml:5:18)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// What was printed comes with a failure too.
	r, _ = fail(t, e, program(t, "handle", `console.log("before"); throw 1`), jsonInput(`{}`))
	if r == nil || len(r.Console) != 1 || r.Console[0].Text != "before" {
		t.Errorf("console of a failed call: %+v", r)
	}
	for name, code := range map[string]string{
		"lines": `for (let i = 0; i < 10000; i++) console.log("x")`, "bytes": `for (let i = 0; i < 100; i++) console.log("é".repeat(3000))`, "huge": `console.log("x".repeat(1e7), {a: "y".repeat(1e7)})`,
		"objects": `const o = {}; for (let i = 0; i < 1000; i++) o["k" + i] = {v: new Array(1000).fill(o)}; console.log(o)`,
	} {
		r := handle(t, e, jsonInput(`{}`), code)
		size := 0
		for _, l := range r.Console {
			size += len(l.Text)
		}
		if len(r.Console) > 201 || size > 66<<10 {
			t.Errorf("%s: %d lines, %d bytes kept", name, len(r.Console), size)
		}
		if last := r.Console[len(r.Console)-1]; name == "lines" && (len(r.Console) != 201 || last.Text != "more was printed than is kept") {
			t.Errorf("%s: %d lines, last %+v", name, len(r.Console), last)
		}
	}
	// Printing never fails and runs no getters.
	r = handle(t, e, jsonInput(`{}`), `let ran = 0
		console.log({get a() { ran++; throw 1 }}, new Proxy({}, {get() { ran++; throw 1 }}), Symbol(), Object.create(null), {toString() { ran++; throw 1 }}, new Error(), class {}, 1n)
		return {events: [{selector: "s", payload: ran}]}`)
	if string(r.Events[0].Payload) != "0" || len(r.Console) != 1 {
		t.Errorf("printing ran code: %s %+v", r.Events[0].Payload, r.Console)
	}
}

// testSecrets: parameters and state show in nothing that people read.
func testSecrets(t *testing.T, e script.Engine) {
	const secret = "s3cr3t-value"
	in := jsonInput(`{}`)
	in.State = map[string]string{"hook": "remembered-secret"}
	for _, code := range []string{
		`console.log(input.parameters, "key " + input.parameters.secret); throw new Error("with " + input.parameters.secret)`,
		`throw input.parameters`, `throw input.parameters.secret`, `throw new HttpError(401, "not " + input.parameters.secret)`,
		`return {events: [{selector: 1, [input.parameters.secret]: 1}]}`, `return {response: {headers: {[input.parameters.secret]: 1}}}`,
		`return {events: [{selector: "s", payload: {[input.parameters.secret]: 1n}}]}`, `Promise.reject(input.parameters.secret)
			throw 1`,
	} {
		r, f := fail(t, e, program(t, "handle", code), in)
		all, err := json.Marshal([]any{r, f})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(all), secret) {
			t.Errorf("%s: %s", code, all)
		}
	}
	if _, f := fail(t, e, program(t, "handle", `throw new Error("got " + input.parameters.secret)`), in); f.Failure.Message != "Error: got [parameters.secret]" {
		t.Errorf("message %q", f.Failure.Message)
	}
	if _, f := fail(t, e, program(t, "handshake", `throw new Error("got " + input.state.hook)`), in); f.Failure.Message != "Error: got [state.hook]" {
		t.Errorf("message %q", f.Failure.Message)
	}
	// Results are not touched.
	if got := payload(t, e, in, `input.parameters.secret`); got != `"`+secret+`"` {
		t.Errorf("payload %s", got)
	}
}

// testHost: what functions can use besides the language; how these behave is tested where they are made.
func testHost(t *testing.T, e script.Engine) {
	for _, c := range []struct{ code, want string }{
		{`import crypto from "crypto"; export default () => crypto.createHash("sha256").update("a").digest("hex").slice(0, 8)`, `"ca978112"`},
		{`import { createHmac, timingSafeEqual } from "node:crypto"; export default () => [createHmac("sha1", "k").update("a").digest("base64"), timingSafeEqual(Buffer.from("a"), Buffer.from("a"))]`, `["QOfUQcrbF7B/BQNBqiOmgg7YHIs=",true]`},
		{`import * as crypto from "crypto"; export default () => typeof crypto.createHmac + typeof crypto.randomUUID()`, `"functionstring"`},
		{`const crypto = require("crypto"); module.exports = () => crypto.createHash("md5").update("a").digest("hex") // export`, `"0cc175b9c0f1b6a831c399e269772661"`},
		{`const { Buffer: B } = require("node:buffer"); module.exports = () => B.from("6869", "hex").toString() // export`, `"hi"`},
		{`import { Buffer } from "buffer"; export default () => Buffer.from("hi").toString("base64")`, `"aGk="`},
		{`import { URL, URLSearchParams } from "url"; export default () => new URL("https://a.example/b?c=d").searchParams.get("c") + new URLSearchParams({e: "f"})`, `"de=f"`},
		{`export default () => crypto.createHash("sha1").update("a").digest("hex").length + typeof Buffer + typeof URL + typeof TextEncoder`, `"40functionfunctionfunction"`},
		{`export default () => [atob("aGk="), btoa("hi"), structuredClone({a: [1]}).a[0], new TextDecoder().decode(new TextEncoder().encode("é"))]`, `["hi","aGk=",1,"é"]`},
		{`export default () => ["crypto", "Buffer", "URL", "console", "HttpError"].filter(n => n in globalThis).length`, `5`},
		{`export default () => typeof process + typeof setTimeout + typeof fetch + typeof require`, `"undefinedundefinedundefinedfunction"`},
		{`export default () => { try { const load = require; return load("fs") } catch (e) { return e.message } }`, `"there is no module \"fs\": only what is written as require(\"...\") with a fixed name is bundled"`},
		{`export default () => { globalThis.Buffer = 1; return Buffer }`, `1`},
		{`export default () => { globalThis.console = 5; return console }`, `5`},
	} {
		r, err := e.Eval(context.Background(), program(t, "other", c.code), json.RawMessage(`{}`))
		if err != nil {
			t.Errorf("%s: %v", c.code, err)
		} else if string(r.Value) != c.want {
			t.Errorf("%s: %s, want %s", c.code, r.Value, c.want)
		}
	}
	r := handle(t, e, jsonInput(`{}`), `return {response: {data: Buffer.from("hi")}}`)
	if string(r.Response.Body) != "hi" {
		t.Errorf("a Buffer as response: %q", r.Response.Body)
	}
	r = handle(t, e, jsonInput(`{}`), `return {response: {data: new URLSearchParams({a: "b c"}), headers: {"Content-Type": "application/x-www-form-urlencoded"}}}`)
	if string(r.Response.Body) != "a=b+c" {
		t.Errorf("URLSearchParams as response: %q", r.Response.Body)
	}
}

func testDeterministic(t *testing.T, e script.Engine) {
	const code = `[Date.now(), new Date().toISOString(), Math.random(), Math.random(), crypto.randomUUID(), crypto.randomBytes(4).toString("hex")]`
	in := jsonInput(`{}`)
	in.Now, in.Seed = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), 7
	first := payload(t, e, in, code)
	if !strings.HasPrefix(first, `[1767323045000,"2026-01-02T03:04:05.000Z",0.`) {
		t.Errorf("got %s", first)
	}
	if again := payload(t, e, in, code); again != first {
		t.Errorf("%s, then %s", first, again)
	}
	in.Seed = 8
	if other := payload(t, e, in, code); other == first {
		t.Errorf("another seed gives %s too", other)
	}
	in.Now, in.Seed = time.Time{}, 0
	before := time.Now().Add(-time.Second).UnixMilli()
	var now int64
	if err := json.Unmarshal([]byte(payload(t, e, in, "Date.now()")), &now); err != nil || now < before {
		t.Errorf("the clock says %d (%v), want %d", now, err, before)
	}
	if a, b := payload(t, e, in, "Math.random()"), payload(t, e, in, "Math.random()"); a == b {
		t.Errorf("random twice %s", a)
	}
}

// testIsolation: nothing that one call does is seen by another.
func testIsolation(t *testing.T, e script.Engine) {
	probe := program(t, "handle", `
		const found = []
		let count = (globalThis.count || 0) + 1
		globalThis.count = count
		export default function handle(input) {
			for (const k of ["leak", "polluted"]) if (k in {} || k in globalThis || k in [] || k in Function.prototype || k in HttpError || k in console) found.push(k)
			if (JSON.stringify({a: 1}) !== '{"a":1}' || [2, 1].sort()[0] !== 1 || typeof Map !== "function" || Array.isArray([]) !== true) found.push("builtins")
			if (Math.max(1, 2) !== 2 || Date.name !== "Date" || "x".includes("y") || Object.keys(input).length !== 12) found.push("more builtins")
			if (input.parameters.secret !== "s3cr3t-value" || count !== 1) found.push("state")
			return {events: [{selector: "s", payload: found}]}
		}`)
	for _, code := range []string{
		`Object.prototype.polluted = Array.prototype.polluted = Function.prototype.polluted = 1`,
		`globalThis.leak = 1; var leak = 2; HttpError.leak = 1; console.leak = 1`,
		`JSON.stringify = () => "evil"; Array.prototype.sort = () => ["evil"]; Array.isArray = () => false; delete globalThis.Map; Math.max = () => 0; String.prototype.includes = () => true`,
		`Date = class Evil {}; Object.keys = () => []; Object.defineProperty = null; Promise.prototype.then = () => 1; Symbol.iterator`,
		`input.parameters.secret = "changed"; input.parameters = null; input.leak = 1`,
		`Object.freeze(Object.prototype); Object.freeze(globalThis); Object.freeze(Array.prototype)`,
		`Object.setPrototypeOf(globalThis, null); Object.setPrototypeOf(Array.prototype, {polluted: 1})`,
		`new Promise(r => { globalThis.resolve = r }).then(() => { globalThis.leak = 1 }); Promise.resolve().then(() => { throw 1 })`,
		`while (true) input.data`, `const f = () => f(); f()`, `throw new Error("x")`, `return new Promise(() => {})`,
		`eval("var leak = 1"); new Function("globalThis.leak = 1")()`,
		`Error.prepareStackTrace = () => "x"; RegExp.prototype.exec = () => null; Object.prototype.toJSON = () => "evil"`,
	} {
		in := jsonInput(`{"a":1}`)
		in.Timeout = 100 * time.Millisecond
		// How it ends does not matter.
		_, _ = e.Handle(context.Background(), program(t, "handle", code), in)
		for range 3 {
			r, err := e.Handle(context.Background(), probe, jsonInput(`{"a":1}`))
			if err != nil {
				t.Errorf("after %s: %v", code, err)
			} else if got := string(r.Events[0].Payload); got != `[]` {
				t.Errorf("after %s: %s", code, got)
			}
		}
	}
	// Source maps named by evaluated code are not read.
	if got := payload(t, e, jsonInput(`{}`), `eval("1 + 1 //# sourceMappingURL=/proc/self/environ")`); got != "2" {
		t.Errorf("eval with a source map: %s", got)
	}
}

// testLeaks: calls of one program for different integrations see nothing of one another, by
// whatever way, and what ends one call ends no other.
func testLeaks(t *testing.T, e script.Engine) {
	p := program(t, "handle", `
		const pattern = /x/g
		const tag = s => s
		const places = () => [globalThis, Object.prototype, Array.prototype, Function.prototype, Promise, Promise.prototype, JSON, Math, Reflect, RegExp.prototype, Error, HttpError,
			console, crypto, Buffer, URL, URLSearchParams, TextDecoder, structuredClone, atob, pattern, Symbol, Symbol.for("s"), handle, tag`+"`x`"+`, tag`+"`x`.raw"+`, String.prototype, Number, BigInt, Date, Intl]
		export default function handle(input) {
			const found = []
			for (const [i, o] of places().entries()) {
				if (Object.prototype.hasOwnProperty.call(Object(o), "leak")) found.push(i)
				try { Object(o).leak = input.parameters.secret } catch {}
			}
			if (pattern.lastIndex !== 0) found.push("lastIndex")
			pattern.test("xx")
			if (Buffer.allocUnsafe(4096).some(b => b !== 0) || Buffer.allocUnsafeSlow(64).some(b => b !== 0)) found.push("memory")
			Buffer.allocUnsafe(4096).fill(input.parameters.secret)
			Error.stackTraceLimit = 0
			globalThis.Intl = 1
			Promise.resolve().then(() => { globalThis.later = input.parameters.secret })
			if (globalThis.later !== undefined) found.push("later")
			new Promise(() => {}).then(() => 1)
			return {events: [{selector: input.parameters.secret, payload: {found, secret: input.parameters.secret, who: input.integration, data: input.data}}]}
		}
		if (typeof Intl === "undefined") globalThis.Intl = {}`)
	var wg sync.WaitGroup
	for n := range 32 {
		wg.Go(func() {
			for round := range 8 {
				name := fmt.Sprintf("integration-%d-%d", n, round)
				in := jsonInput(`{"of":"` + name + `"}`)
				in.Request.Integration = name
				in.Parameters = json.RawMessage(`{"secret":"secret of ` + name + `"}`)
				r, err := e.Handle(context.Background(), p, in)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				want := fmt.Sprintf(`{"found":[],"secret":"secret of %s","who":"%s","data":{"of":"%s"}}`, name, name, name)
				if got := string(r.Events[0].Payload); got != want || r.Events[0].Selector != "secret of "+name {
					t.Errorf("%s: %s %s", name, r.Events[0].Selector, got)
				}
			}
		})
	}
	wg.Wait()
	// A deadline that passes late, or at the very end, stops no other call.
	loop, short := program(t, "handle", `for (;;);`), program(t, "handle", `let n = 0; for (let i = 0; i < 2e4; i++) n += i; return {}`)
	for n := range 40 {
		in := jsonInput(`{}`)
		in.Timeout = time.Duration(1+n%4) * time.Millisecond
		if n%2 == 0 {
			_, _ = e.Handle(context.Background(), loop, in)
		} else {
			_, _ = e.Handle(context.Background(), short, in)
		}
		if _, err := e.Handle(context.Background(), short, jsonInput(`{}`)); err != nil {
			t.Fatalf("a call after one that was stopped: %v", err)
		}
	}
}

func testEval(t *testing.T, e script.Engine) {
	for _, c := range []struct{ code, argument, want string }{
		{`export default function getEventSelector({ parameters }) { return { globalWebhookKey: "all", globalWebhookEventSelector: "user_id:" + parameters.id } }`, `{"parameters":{"id":7}}`, `{"globalWebhookKey":"all","globalWebhookEventSelector":"user_id:7"}`},
		{`export async function getEventsSelector(a) { return a }`, `{"n":12345678901234567890}`, `{"n":12345678901234567890}`},
		{`const f = x => x + 1; export {f as "get-event-selector"}`, `1`, `2`},
		{`export default () => {}`, `null`, `null`}, {`export default () => null`, `[]`, `null`}, {`export default x => typeof x`, `null`, `"object"`},
	} {
		r, err := e.Eval(context.Background(), program(t, script.SelectorFunction, c.code), json.RawMessage(c.argument))
		if err != nil || string(r.Value) != c.want {
			t.Errorf("%s: %+v %v, want %s", c.code, r, err, c.want)
		}
	}
	for _, c := range []struct{ code, argument, want string }{
		{`export default () => { console.log("p"); throw new Error("x") }`, `1`, "thrown acme.yml:1:48: Error: x"},
		{`export default () => ({a: () => 1})`, `1`, "shape a: a function has no form in JSON"},
		{`export default () => new Promise(() => {})`, `1`, "pending the promise that getEventSelector returned never settles: what it waits for does not happen here"},
		{`export default () => 1`, `{`, "input the argument is not JSON: it ends where a key in double quotes is expected at byte 1"},
	} {
		r, err := e.Eval(context.Background(), program(t, script.SelectorFunction, c.code), json.RawMessage(c.argument))
		var f *script.Error
		if !errors.As(err, &f) || f.Failure.Kind+" "+f.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.code, err, c.want)
		}
		if strings.Contains(c.code, "console") && (r == nil || len(r.Console) != 1) {
			t.Errorf("%s: console of a failed call: %+v", c.code, r)
		}
	}
}

func testCoverage(t *testing.T, e script.Engine) {
	p := program(t, "handle", `export default function handle({ data }) {
  let n = 0
  for (const x of data.list) {
    if (x > 1) n++
    else
      n--
  }
  if (data.never) {
    n = 5
    return { events: [] }
  }
  const twice = data.list.map(
    x => x * 2)
  function unused() {
    return 1
  }
  switch (n) {
    case 1: n = 2; break
    default:
      n = 3
  }
  return { events: [{ selector: 's', payload: [n, twice] }] }
}
`)
	in := jsonInput(`{"list":[1,2,3]}`)
	in.Coverage = true
	r, err := e.Handle(context.Background(), p, in)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]map[int]int{"acme.yml": {2: 1, 3: 1, 4: 3, 6: 1, 8: 1, 9: 0, 10: 0, 12: 1, 13: 3, 15: 0, 17: 1, 18: 1, 20: 0, 22: 1}}
	if diff := cmp.Diff(want, r.Coverage); diff != "" {
		t.Error(diff)
	}
	if got := string(r.Events[0].Payload); got != `[2,[2,4,6]]` {
		t.Errorf("with coverage the result is %s", got)
	}
	// Without, there is none; and a failure has the place in the source either way.
	p = program(t, "handle", "export default ({data}) => {\n  let a = 1; if (a) { a = 2 }; if (data.fail) throw new Error('x')\n}")
	for _, coverage := range []bool{true, false} {
		in := jsonInput(`{"fail":true}`)
		in.Coverage = coverage
		r, f := fail(t, e, p, in)
		if len(f.Failure.Stack) != 1 || f.Failure.Stack[0].Line != 2 || f.Failure.Stack[0].Column != 53 {
			t.Errorf("coverage %v: %+v", coverage, f.Failure.Stack)
		}
		if got := r != nil && r.Coverage != nil; got != coverage {
			t.Errorf("coverage %v: %+v", coverage, r)
		}
	}
}

func testConcurrent(t *testing.T, e script.Engine) {
	p := program(t, "handle", `await1(); async function await1() { await 1 }
		export default async ({data}) => { await null; return {events: [{selector: "n/" + data.n, payload: data}]} }`)
	var wg sync.WaitGroup
	for n := range 64 {
		wg.Go(func() {
			text := fmt.Sprintf(`{"n":%d}`, n)
			r, err := e.Handle(context.Background(), p, jsonInput(text))
			if err != nil || string(r.Events[0].Payload) != text || r.Events[0].Selector != fmt.Sprintf("n/%d", n) {
				t.Errorf("call %d: %+v %v", n, r, err)
			}
		})
	}
	wg.Wait()
}

func testLimits(t *testing.T, newEngine func(script.Options) script.Engine) {
	e := newEngine(script.Options{MaxOutput: 1000, MaxEvents: 3})
	defer e.Close()
	big := `{"x":"` + strings.Repeat("y", 2000) + `"}`
	for _, c := range []struct{ code, want string }{
		{`return {events: [1, 2, 3, 4]}`, "events: has 4 items, more than the 3 allowed"},
		{`return {events: [{selector: 's', payload: "x".repeat(1001)}]}`, "the result is larger than the 1000 bytes allowed"},
		{`return {events: [{selector: 's', payload: "x".repeat(600)}, {selector: 's', payload: "x".repeat(600)}]}`, "the result is larger than the 1000 bytes allowed"},
		{`return {events: [{selector: 's', payload: "x".repeat(600)}], response: {data: "x".repeat(600)}}`, "the result is larger than the 1000 bytes allowed"},
		{`return {events: [{selector: 's', payload: [input.data]}]}`, "the result is larger than the 1000 bytes allowed"},
		{`return {response: {data: {a: new Array(600).fill(1)}}}`, "the result is larger than the 1000 bytes allowed"},
	} {
		if _, f := fail(t, e, program(t, "handle", c.code), jsonInput(big)); f.Failure.Kind != "shape" || f.Error() != c.want {
			t.Errorf("%s: %s %v, want %s", c.code, f.Failure.Kind, f, c.want)
		}
	}
	r := handle(t, e, jsonInput(big), `return {events: new Array(3).fill({selector: 's', payload: input.data}), response: {data: "x".repeat(999)}}`)
	if len(r.Events) != 3 || string(r.Events[2].Payload) != big || len(r.Response.Body) != 999 {
		t.Errorf("payloads from the body count: %+v", r)
	}
}

func testTimeout(t *testing.T, newEngine func(script.Options) script.Engine) {
	e := newEngine(script.Options{Timeout: 50 * time.Millisecond, Concurrency: 1})
	defer e.Close()
	for _, c := range []struct{ code, place string }{
		{"for (;;);", "acme.yml:"},
		{"while (true) { Math.sqrt(2) }", "acme.yml:2"},
		// Between two turns of the job queue no line of the handler is running.
		{"async function f() { for (;;) await null }; return f()", "acme.yml:2 or handle"},
		{"try { for (;;); } finally { for (;;); }", "acme.yml:"},
		{"try { for (;;); } catch (e) { return {} }", "acme.yml:"},
		{"return {get events() { for (;;); }}", "acme.yml:2"},
		{"return {events: [{selector: 's', payload: {toJSON() { for (;;); }}}]}", "acme.yml:2"},
		{"return {then() { for (;;); }}", "acme.yml:2"},
		{"console.log({a: new Proxy({}, {})}); const a = []; for (;;) a.length = 0", "acme.yml:2"},
		{"throw {toString() { for (;;); }, get message() { for (;;); }, [Symbol.toPrimitive]() { for (;;); }}", ""},
	} {
		in := jsonInput(`{}`)
		in.Timeout = 0
		start := time.Now()
		_, f := fail(t, e, program(t, "handle", c.code), in)
		if c.place == "" { // its code is not run at all
			if f.Failure.Kind != "thrown" {
				t.Errorf("%s: %s %v", c.code, f.Failure.Kind, f)
			}
			continue
		}
		if f.Failure.Kind != "timeout" || !strings.HasPrefix(f.Failure.Message, "handle took longer than 50ms") {
			t.Errorf("%s: %s %v", c.code, f.Failure.Kind, f)
		}
		place, otherwise, _ := strings.Cut(c.place, " or ")
		if !strings.HasPrefix(f.Error(), place) && (otherwise == "" || !strings.HasPrefix(f.Error(), otherwise)) {
			t.Errorf("%s: stopped at %v", c.code, f)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: took %v", c.code, took)
		}
	}
	// A module that never ends loading, and an error whose message never ends.
	for _, code := range []string{"for (;;);\nexport default () => 1", "export default () => { throw Object.defineProperty(new Error(), 'message', {get() { for (;;); }}) }"} {
		in := jsonInput(`{}`)
		in.Timeout = 0
		if _, f := fail(t, e, program(t, "handle", code), in); f.Failure.Kind != "timeout" {
			t.Errorf("%s: %s %v", code, f.Failure.Kind, f)
		}
	}
	// The call's own deadline counts, and the engine goes on.
	in := jsonInput(`{}`)
	in.Timeout = 20 * time.Second
	handle(t, e, in, "for (let i = 0; i < 1e6; i++); return {}")
}

func testContext(t *testing.T, newEngine func(script.Options) script.Engine) {
	e := newEngine(script.Options{Concurrency: 1})
	defer e.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := e.Handle(ctx, program(t, "handle", `return {}`), jsonInput(`{}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is over: %v", err)
	}
	// One call holds the only place; another waits, and gives up with its context.
	slow := program(t, "handle", `const end = Date.now() + 300; while (Date.now() < end); return {}`)
	started := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		close(started)
		_, err := e.Handle(context.Background(), slow, jsonInput(`{}`))
		done <- err
	}()
	<-started
	ctx, cancel = context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	for {
		_, err := e.Handle(ctx, program(t, "handle", `return {}`), jsonInput(`{}`))
		if err != nil {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a call that waits: %v", err)
			}
			break
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func testClose(t *testing.T, newEngine func(script.Options) script.Engine) {
	e := newEngine(script.Options{})
	p := program(t, "handle", `return {}`)
	if _, err := e.Handle(context.Background(), p, jsonInput(`{}`)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := e.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	var f *script.Error
	if _, err := e.Handle(context.Background(), p, jsonInput(`{}`)); !errors.As(err, &f) || f.Failure.Kind != "unavailable" {
		t.Errorf("after Close: %v", err)
	}
	if _, err := e.Eval(context.Background(), p, json.RawMessage(`1`)); !errors.As(err, &f) || f.Failure.Kind != "unavailable" {
		t.Errorf("after Close: %v", err)
	}
}
