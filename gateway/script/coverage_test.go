package script_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"switchhook/gateway/hook"
	"switchhook/gateway/script"
)

// Counting must change nothing, however code is written.
func TestCoverageChangesNothing(t *testing.T) {
	for _, code := range []string{
		`let r = []; (0, Array.of)(1); (() => r.push(2))(); [1, 2].forEach(x => r.push(x)); RESULT r`,
		`let a = 1, b; (a ? (b = 2) : 3); ({a, b} = {a: 5, b: 6}); [a, b] = [b, a]; RESULT [a, b]`,
		"let s = ''; String.raw`a${1}`; (x => x)`t`; s += `b${(() => `c${2}`)()}`; RESULT s",
		`let n = 0; for (let i = 0; i < 3; i++) for (const j of [1, 2]) if (j > 1) n++; else if (i) n += 2; else n += 3; RESULT n`,
		`let n = 0; do n++; while (n < 3); while (n > 0) n--; for (const k in {a: 1}) n += k.length; RESULT n`,
		`let n = 0; switch (2) { case 1: n = 1; case 2: n += 2; case 3: { n += 3; break } default: n = 9 } RESULT n`,
		`let r = []; outer: for (const a of [1, 2, 3]) { for (;;) { if (a == 2) continue outer; break } r.push(a) } RESULT r`,
		`let r; try { throw 1 } catch (e) { r = e } finally { r++ } try { null.x } catch { r++ } RESULT r`,
		`const f = x => y => ({x, y}); const g = async x => await x; const h = x => x ? 1 : 2; const i = () => (1, 2); const j = x => x ?? 3; const k = x => x = 4; RESULT [f(1)(2), h(0), i(), j(null), k(), typeof g(1).then]`,
		`class A { #p = (() => 1)(); static { A.s = 2 } get p() { return this.#p } static m = x => x; set q(v) { this.v = v } async a() { return 1 } *g() { yield 1 } } const a = new A(); a.q = 3; RESULT [a.p, A.s, A.m(4), a.v, [...a.g()]]`,
		`function f() { "use strict"; return typeof this } function g(a = (() => 1)(), {b = 2} = {}, ...c) { return [a, b, c] } RESULT [f(), g(), g(undefined, {b: 3}, 4)]`,
		`const o = {m() { return 1 }, get g() { return 2 }, ["c" + 1]: () => 3, async a() {}, f: function() { return 4 }}; RESULT [o.m(), o.g, o.c1(), o.f()]`,
		`let i = 0; i++; --i; +i; !i; typeof i; void 0; delete {}.x; new Date(0); RESULT i`,
		`if (1) { } else ; if (0) ; for (;;) { break } ; { { } } RESULT 5`,
		`var x = 1; if (x) var y = 2; if (!x) throw 1; else x = 3; RESULT [x, y]`,
		`function r(n) { if (n > 0) return r(n - 1); return (n, 7) } RESULT r(5)`,
		`const t = cond => { if (cond) throw new Error("t"); else return 1 }; let m; try { t(1) } catch (e) { m = e.message } RESULT m + t(0)`,
		`let a = {b: {c: () => 5}}; a?.b?.c?.(); a?.x?.y; RESULT (a?.b).c()`,
		`async function f() { for await (const x of [1]) return x } async function* g() { yield 1 } RESULT [typeof f(), typeof g()]`,
		`; RESULT [[3, 1, 2].sort((a, b) => a - b), [1, 2].map(function(x) { return x * 2 }), [1, 2].reduce((a, b) => (a + b), 0)]`,
	} {
		statements, result, _ := strings.Cut(code, " RESULT ")
		body := "export default function handle() {\n" + statements + ";\nreturn {events: [{selector: 's', payload: (" + result + ")}]}\n}"
		p, list := script.Build(script.Source{Function: "handle", Code: body, File: "c.yml", Line: 1, Column: 1})
		if p == nil {
			t.Errorf("%s: %s", code, show(list))
			continue
		}
		e := script.NewInProcess(script.Options{})
		var results []string
		for _, coverage := range []bool{false, true} {
			r, err := e.Handle(context.Background(), p, &script.HandleInput{Request: &hook.Request{}, Coverage: coverage})
			if err != nil {
				t.Errorf("%s (coverage %v): %v", code, coverage, err)
				continue
			}
			results = append(results, string(r.Events[0].Payload))
			if coverage && r.Coverage["c.yml"][3] < 1 {
				t.Errorf("%s: line 3 was not counted: %v", code, r.Coverage)
			}
		}
		if len(results) == 2 && results[0] != results[1] {
			t.Errorf("%s: %s, with coverage %s", code, results[0], results[1])
		}
		_ = e.Close()
	}
}

// Coverage names every file by itself, and counts what its modules do when they load.
func TestCoverageOfSeveralFiles(t *testing.T) {
	dir := folder(t, map[string]string{
		"w/handle.ts":  "import { f } from 'common'\nimport table from './table.json'\nexport default ({ data }: { data?: unknown }) => {\n  if (!data) return { events: [{ selector: f(1), payload: table }] }\n  return {}\n}\n",
		"common.js":    "export const f = x => {\n  return 'x' + x\n}\nexport const unused = () => {\n  return 1\n}\nlet n = 1\nif (n > 1) {\n  n = 2\n}\n",
		"w/table.json": "{\"a\": 1}",
	})
	p, list := script.Build(script.Source{Function: "handle", Root: dir, Entry: "w/handle.ts"})
	if p == nil {
		t.Fatal(list)
	}
	e := script.NewInProcess(script.Options{})
	defer e.Close()
	r, err := e.Handle(context.Background(), p, &script.HandleInput{Request: &hook.Request{}, Coverage: true})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]map[int]int{
		// What nothing uses is not in the bundle.
		"common.js":   {1: 1, 2: 1, 7: 1, 8: 1, 9: 0},
		"w/handle.ts": {3: 1, 4: 1, 5: 0},
	}
	if diff := cmp.Diff(want, r.Coverage); diff != "" {
		t.Error(diff)
	}
	if b, err := json.Marshal(r.Events[0].Selector); err != nil || string(b) != `"x1"` {
		t.Errorf("%s %v", b, err)
	}
}
