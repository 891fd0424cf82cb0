package script_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"switchhook/gateway/script"
	"switchhook/spec/diagnostic"
)

// folder writes files into a new folder: "name" -> text.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// eval runs a program with null as argument.
func eval(t testing.TB, p *script.Program) string {
	t.Helper()
	e := script.NewInProcess(script.Options{})
	defer e.Close()
	r, err := e.Eval(context.Background(), p, json.RawMessage(`null`))
	if err != nil {
		t.Errorf("run: %v", err)
		return ""
	}
	return string(r.Value)
}

// lines shows diagnostics, one a line.
func show(list diagnostic.List) string {
	var b strings.Builder
	for _, d := range list {
		fmt.Fprintf(&b, "%s: %s %s: %s", d.Position(), d.Severity, d.Code, d.Message)
		if d.Hint != "" {
			fmt.Fprintf(&b, " (%s)", d.Hint)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

const entry = "global-webhooks/all/handle.js"

func TestImports(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"relative":     {map[string]string{entry: `import {x} from "./lib/x.js"; export default () => x`, "global-webhooks/all/lib/x.js": `export const x = 1`}, `1`},
		"above":        {map[string]string{entry: `import {x} from "../../x.js"; export default () => x`, "x.js": `export const x = 2`}, `2`},
		"bare":         {map[string]string{entry: `import {x} from "common"; export default () => x`, "common.js": `export const x = 3`}, `3`},
		"bare ts":      {map[string]string{entry: `import x from "common"; export default () => x`, "common.ts": `const x: number = 4; export default x`}, `4`},
		"bare path":    {map[string]string{entry: `import x from "lib/deep"; export default () => x`, "lib/deep.js": `export default 5`}, `5`},
		"./ from root": {map[string]string{entry: `import {x} from "./common.js"; export default () => x`, "common.js": `export const x = 6`}, `6`},
		"./ near first": {map[string]string{entry: `import {x} from "./common.js"; export default () => x`, "common.js": `export const x = 0`,
			"global-webhooks/all/common.js": `export const x = 7`}, `7`},
		"js means ts":   {map[string]string{entry: `import {x} from "./x.js"; export default () => x`, "global-webhooks/all/x.ts": `export const x = 8 as number`}, `8`},
		"index":         {map[string]string{entry: `import {x} from "lib"; export default () => x`, "lib/index.js": `export const x = 9`}, `9`},
		"json":          {map[string]string{entry: `import table from "./table.json"; export default () => table.a`, "global-webhooks/all/table.json": `{"a": 10}`}, `10`},
		"require":       {map[string]string{entry: `const {x} = require("common"); module.exports = () => x`, "common.js": `exports.x = 11`}, `11`},
		"require esm":   {map[string]string{entry: `const {x} = require("common"); exports.handle = () => x`, "common.js": `export const x = 12`}, `12`},
		"import cjs":    {map[string]string{entry: `import c from "common"; export default () => c.x`, "common.js": `module.exports = {x: 13}`}, `13`},
		"cycle":         {map[string]string{entry: `import {a} from "./a.js"; export default () => a()`, "a.js": `import {b} from "b"; export const a = () => b; `, "b.js": `import "a"; export const b = 14`}, `14`},
		"dynamic":       {map[string]string{entry: `export default async () => (await import("common")).x`, "common.js": `export const x = 15`}, `15`},
		"re-export":     {map[string]string{entry: `export * from "common"; export {f as handle} from "common"`, "common.js": `export const f = () => 16`}, `16`},
		"star":          {map[string]string{entry: `export * from "common"`, "common.js": `export const handle = () => 17`}, `17`},
		"types":         {map[string]string{entry[:len(entry)-3] + ".ts": `import type {T} from "./nowhere"; import {U} from "./x"; interface V extends T {}; enum E { A = 18 }; export default <X,>(v: V, u: U): E => E.A`, "global-webhooks/all/x.ts": `export type U = 1`}, `18`},
		"own crypto":    {map[string]string{entry: `import {x} from "./crypto.js"; export default () => x`, "global-webhooks/all/crypto.js": `export const x = 19`}, `19`},
		"$host is free": {map[string]string{entry: `import {createHash} from "crypto"; const $host = 20, $module = 0; export default () => createHash ? $host : $module`}, `20`},
		"unused names":  {map[string]string{entry: `import * as c from "crypto"; export default () => Object.keys(c).includes("createHmac")`}, `true`},
	} {
		dir := folder(t, c.files)
		name0 := entry
		if _, ok := c.files[entry]; !ok {
			name0 = entry[:len(entry)-3] + ".ts"
		}
		p, list := script.Build(script.Source{Connector: "box", Function: "handle", Root: dir, Entry: name0})
		if p == nil || len(list) > 0 {
			t.Errorf("%s: %s", name, show(list))
			continue
		}
		if got := eval(t, p); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if p.Connector != "box" || p.Name != name0 || len(p.ID) != 32 {
			t.Errorf("%s: program %s %s %s", name, p.Connector, p.Name, p.ID)
		}
	}
}

// What the language has since ES2017 and people write.
func TestLanguage(t *testing.T) {
	for code, want := range map[string]string{
		`const o = {a: {b: null}}; return o?.a?.b?.c ?? 1`:    `1`,
		`const {a, ...r} = {a: 1, b: 2}; return {...r, c: 3}`: `{"b":2,"c":3}`,
		`let x = null; x ??= 1; x ||= 2; x &&= 3; return x`:   `3`,
		`class A { #p = 1; static s = 2; get p() { return this.#p } static { A.t = 3 } has() { return #p in this } }; return [new A().p, A.s, A.t, new A().has()]`: `[1,2,3,true]`,
		`try { throw 1 } catch { return 2 }`: `2`,
		`return [[1, [2]].flat(2), [1].at(-1), Object.fromEntries([["a", 1]]), "aa".replaceAll("a", "b"), Object.hasOwn({a: 1}, "a")]`: `[[1,2],1,{"a":1},"bb",true]`,
		`return "2026-01-02".match(/(?<y>\d+)-(?<m>\d+)/).groups.m`:                                                                    `"01"`,
		`return [/(?<=a)b/.test("ab"), /(?<!a)b/.test("ab"), /a.b/s.test("a\nb"), /^.$/u.test("😀")]`:                                   `[true,false,true,true]`,
		`return String(2n ** 64n)`: `"18446744073709551616"`,
		`const r = []; for await (const x of [1, Promise.resolve(2)]) r.push(x); return r`:                       `[1,2]`,
		`async function* g() { yield 1; yield 2 }; const r = []; for await (const x of g()) r.push(x); return r`: `[1,2]`,
		`function* g() { yield* [1, 2] }; return [...g()]`:                                                       `[1,2]`,
		`return (await Promise.allSettled([1, Promise.reject(2)])).map(x => x.status)`:                           `["fulfilled","rejected"]`,
		`return 1_000 + 0b11 + 0o7`:                                 `1010`,
		"return `a${`b${1}`}` + String.raw`\\n`":                    `"ab1\\n"`,
		`using x = {[Symbol.for("Symbol.dispose")]() {}}; return 1`: `1`,
		`return [3, 1].toSorted().concat([1, 2].findLast(x => x))`:  `[1,3,2]`,
		`label: for (;;) { for (;;) break label }; return 1`:        `1`,
	} {
		code = "export default async () => {\n" + code + "\n}"
		p, list := script.Build(script.Source{Function: "handle", Code: code, File: "c.yml", Line: 1, Column: 1})
		if p == nil || len(list) > 0 {
			t.Errorf("%s\n%s", code, show(list))
			continue
		}
		if got := eval(t, p); got != want {
			t.Errorf("%s: %s, want %s", code, got, want)
		}
	}
}

func TestDiagnostics(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"syntax": {map[string]string{entry: "export default () => {\n\tconst é = 'ü' ; x x\n}"},
			"connectors/box/global-webhooks/all/handle.js:2:20: error syntax-error: Expected \";\" but found \"x\" (write \";\" here)\n"},
		"many": {map[string]string{entry: "import {a} from './a'\nimport {b} from './b'\nimport 'comon'\nexport default () => a + b", "a.js": "export const a = (", "common.js": ""},
			"connectors/box/a.js:1:19: error syntax-error: Unexpected end of file\n" +
				"connectors/box/global-webhooks/all/handle.js:2:17: error import-not-found: there is no file \"global-webhooks/all/b\"\n" +
				"connectors/box/global-webhooks/all/handle.js:3:8: error import-not-found: there is no \"comon\" in the connector's folder (did you mean \"common\"?)\n"},
		"redeclared": {map[string]string{entry: "export default () => { let x = 1; let x = 2 }"},
			"connectors/box/global-webhooks/all/handle.js:1:39: error syntax-error: The symbol \"x\" has already been declared (The symbol \"x\" was originally declared here (connectors/box/global-webhooks/all/handle.js:1:28))\n"},
		"near file": {map[string]string{entry: "import './halper'\nimport '../halper.js'", "global-webhooks/all/helpers.js": "", "global-webhooks/helper.js": ""},
			"connectors/box/global-webhooks/all/handle.js:1:8: error import-not-found: there is no file \"global-webhooks/all/halper\" (did you mean \"./helpers.js\"?)\n" +
				"connectors/box/global-webhooks/all/handle.js:2:8: error import-not-found: there is no file \"global-webhooks/halper.js\" (did you mean \"../helper.js\"?)\n"},
		"outside": {map[string]string{entry: "import '../../../outside.json'; import '/etc/passwd'; import 'https://x.example/a.js'; export default 1"},
			"connectors/box/global-webhooks/all/handle.js:1:8: error outside-folder: \"../../../outside.json\" leads out of the connector's folder (copy the file into the folder)\n" +
				"connectors/box/global-webhooks/all/handle.js:1:40: error outside-folder: absolute paths cannot be imported (import it by a path that begins with ./)\n" +
				"connectors/box/global-webhooks/all/handle.js:1:62: error import-unsupported: https://x.example/a.js cannot be imported: handlers have no network (copy the code into the connector's folder)\n"},
		"absent modules": {map[string]string{entry: "import fs from 'node:fs'\nimport axios from 'axios'\nimport _ from 'lodash'\nexport default () => fs + axios + _"},
			"connectors/box/global-webhooks/all/handle.js:1:16: error import-unsupported: there is no module \"node:fs\": handlers have no file system\n" +
				"connectors/box/global-webhooks/all/handle.js:2:19: error import-unsupported: there is no module \"axios\": handlers have no network\n" +
				"connectors/box/global-webhooks/all/handle.js:3:15: error import-not-found: there is no \"lodash\" in the connector's folder (packages of npm are not available; copy the file into the connector's folder and import it by ./)\n"},
		"absent crypto": {map[string]string{entry: "import {createCipher} from 'crypto'\nexport default () => createCipher"},
			"connectors/box/global-webhooks/all/handle.js:1:9: error syntax-error: No matching export in \"host:crypto\" for import \"createCipher\"\n"},
		"top-level await": {map[string]string{entry: "const x = await 1\nexport default () => x"},
			"connectors/box/global-webhooks/all/handle.js:1:11: error syntax-error: Top-level await is not available in handlers\n"},
		"regexps": {map[string]string{entry: "export default s => [/a/d, /[a--b]/v, /\\p{L}+/u, /(?i:a)/].map(r => r.test(s)) || new RegExp('a', 'v') && /[b-a]/"},
			"connectors/box/global-webhooks/all/handle.js:1:22: error unsupported-regexp: the engine does not have the regular expression flag 'd'\n" +
				"connectors/box/global-webhooks/all/handle.js:1:28: error unsupported-regexp: the engine does not have the regular expression flag 'v'\n" +
				"connectors/box/global-webhooks/all/handle.js:1:39: error unsupported-regexp: the engine does not understand \\p{...} in regular expressions and would match wrongly (list the characters, such as [a-zA-ZÀ-ÿ])\n" +
				"connectors/box/global-webhooks/all/handle.js:1:50: error unsupported-regexp: the engine cannot take this regular expression: Invalid group\n" +
				"connectors/box/global-webhooks/all/handle.js:1:83: warning unsupported-regexp: the engine does not have the regular expression flag 'v'\n" +
				"connectors/box/global-webhooks/all/handle.js:1:107: error unsupported-regexp: the engine cannot take this regular expression: Invalid regular expression (re2): [b-a] (error parsing regexp: invalid character class range: `b-a`)\n"},
		"no export": {map[string]string{entry: "function handle() {}"},
			"connectors/box/global-webhooks/all/handle.js: error no-function-exported: no function \"handle\" is exported (write export default function handle(...) { ... })\n"},
		"computed": {map[string]string{entry: "export default async name => [\n  await import('../../../' + name), require(name), require?.(`./${name}`), await import(`common`)]", "common.js": ""},
			"connectors/box/global-webhooks/all/handle.js:2:9: error import-computed: only what is imported under a fixed name can be bundled (name every file in an import of its own)\n" +
				"connectors/box/global-webhooks/all/handle.js:2:37: error import-computed: only what is imported under a fixed name can be bundled (name every file in an import of its own)\n" +
				"connectors/box/global-webhooks/all/handle.js:2:52: error import-computed: only what is imported under a fixed name can be bundled (name every file in an import of its own)\n"},
		"empty": {map[string]string{entry: ""},
			"connectors/box/global-webhooks/all/handle.js: error no-function-exported: no function \"handle\" is exported (write export default function handle(...) { ... })\n"},
		"other export": {map[string]string{entry: "export function handel() {}\nexport const x = 1"},
			"connectors/box/global-webhooks/all/handle.js: error no-function-exported: no function \"handle\" is exported, only handel, x (rename handel to handle)\n"},
		"other cjs export": {map[string]string{entry: "\nmodule.exports = { hanlde() {}, other: 1 }"},
			"connectors/box/global-webhooks/all/handle.js:2:1: error no-function-exported: no function \"handle\" is exported, only hanlde, other (rename hanlde to handle)\n"},
		"other exports.x": {map[string]string{entry: "exports.run = () => 1"},
			"connectors/box/global-webhooks/all/handle.js: error no-function-exported: no function \"handle\" is exported, only run (write export default function handle(...) { ... })\n"},
		"missing": {map[string]string{"x.js": ""},
			"connectors/box/global-webhooks/all/handle.js: error unreadable-file: global-webhooks/all/handle.js cannot be read: no such file or directory\n"},
		"folder": {map[string]string{entry + "/x.js": ""},
			"connectors/box/global-webhooks/all/handle.js: error not-a-file: global-webhooks/all/handle.js is not a regular file but a folder\n"},
		"utf-8": {map[string]string{entry: "export default () =>\n 'a\xffb'"},
			"connectors/box/global-webhooks/all/handle.js:2:4: error invalid-utf8: global-webhooks/all/handle.js is not UTF-8: byte 0xff (save the file as UTF-8)\n"},
		"large": {map[string]string{entry: "export default () => '" + strings.Repeat("x", 1<<20) + "'"},
			"connectors/box/global-webhooks/all/handle.js: error file-too-large: global-webhooks/all/handle.js is larger than the 1048576 bytes allowed\n"},
		"large import": {map[string]string{entry: "import x from './x.json'; export default x", "x.json": `"` + strings.Repeat("x", 1<<20) + `"`},
			"connectors/box/global-webhooks/all/handle.js:1:15: error file-too-large: x.json is larger than the 1048576 bytes allowed\n"},
		"nested": {map[string]string{entry: "export default () =>\n" + strings.Repeat("(", 1000) + "1" + strings.Repeat(")", 1000)},
			"connectors/box/global-webhooks/all/handle.js:2:1: error too-nested: global-webhooks/all/handle.js has brackets nested deeper (500 levels) than can be compiled\n"},
		"other files": {map[string]string{entry: "import './a.txt'\nimport './b.d.ts'", "a.txt": "", "b.d.ts": ""},
			"connectors/box/global-webhooks/all/handle.js:1:8: error import-unsupported: a.txt is neither JavaScript nor TypeScript nor JSON\n" +
				"connectors/box/global-webhooks/all/handle.js:2:8: error import-unsupported: b.d.ts is neither JavaScript nor TypeScript nor JSON\n"},
		"broken json": {map[string]string{entry: "import x from './x.json'; export default () => x", "global-webhooks/all/x.json": "{\n  a: 1}"},
			"connectors/box/global-webhooks/all/x.json:2:3: error syntax-error: Expected string in JSON but found \"a\"\n"},
	} {
		dir := folder(t, c.files)
		p, list := script.Build(script.Source{Connector: "box", Function: "handle", Root: dir, Entry: entry, Shown: "connectors/box"})
		if p != nil {
			t.Errorf("%s: built", name)
		}
		if diff := cmp.Diff(c.want, show(list)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		for _, d := range list {
			if d.Line > 0 && len(d.Snippet.Lines) == 0 {
				t.Errorf("%s: no code frame for %v", name, d)
			}
		}
	}
}

func TestWarnings(t *testing.T) {
	for _, c := range []struct{ code, want string }{
		{"export default () => fetch('x')", "a.js:1:22: warning undefined-name: fetch is not defined here: handlers have no network\n"},
		{"export default () => { setTimeout(() => 1); process.env.X }", "a.js:1:24: warning undefined-name: setTimeout is not defined here: handlers have no timers, a call is over when what it returned is settled\n" +
			"a.js:1:45: warning undefined-name: process is not defined here: handlers have no environment\n"},
		{"export default () => new Intl.DateTimeFormat()", "a.js:1:26: warning undefined-name: Intl is not defined here: the engine does not have it\n"},
		{"export default ({data}) => dta.x + consol.log", "a.js:1:28: warning undefined-name: dta is not defined (did you mean \"data\"?)\na.js:1:36: warning undefined-name: consol is not defined (did you mean \"console\"?)\n"},
		{"export default () => Object.groupBy([], x => x)", "a.js:1:22: warning unsupported-builtin: the engine does not have Object.groupBy\n"},
		{"export default () => { const a = {x: 1, x: 2}; return typeof a == 'strnig' }", "a.js:1:41: warning duplicate-object-key: Duplicate key \"x\" in object literal (The original key \"x\" is here (a.js:1:35))\n" +
			"a.js:1:67: warning impossible-typeof: The \"typeof\" operator will never evaluate to \"strnig\"\n"},
		{"export default () => import.meta.url", "a.js:1:22: warning empty-import-meta: \"import.meta\" is not available in handlers and will be empty\n"},
		// Not warned of: what exists, is declared somewhere, or asked for first.
		{"export default () => typeof fetch === 'function' ? fetch : Error.captureStackTrace && Error.captureStackTrace({})", ""},
		{"export default function handle({a: {b = 1}, ...c}, [d, , e], f = d) { try { g() } catch (h) { for (const i of [h]) i } ; label: for (var j in b) break label; class K { l = 1; [m]() {} static #n() {} } function g() { return arguments } ; var m; return {b, c, d, e, f, j, K} }", ""},
		{"export default () => [crypto, Buffer, URL, URLSearchParams, TextEncoder, TextDecoder, atob, btoa, structuredClone, console, HttpError, undefined, NaN, globalThis, Proxy, BigInt, parseInt, eval, Symbol]", ""},
		{"counter = 0; module.exports = () => counter++", ""},
		{"export default async ({data: {x} = {}}) => { ({y: x} = {y: 1}); [x] = [1]; const f = async ({z}, ...w) => z ?? w; await f({}); return `${x}` }", ""},
	} {
		dir := folder(t, map[string]string{"a.js": c.code})
		p, list := script.Build(script.Source{Function: "handle", Root: dir, Entry: "a.js"})
		if p == nil {
			t.Errorf("%s: not built", c.code)
		}
		if diff := cmp.Diff(c.want, show(list)); diff != "" {
			t.Errorf("%s: %s", c.code, diff)
		}
	}
}

// Positions in inline code are those in the YAML file around it.
func TestInlineCode(t *testing.T) {
	const yaml = `key: acme
globalWebhooks:
  orders:
    handle: |
      export default ({ data }) => {
        // é
        return data.a.b
      }
`
	code := "export default ({ data }) => {\n  // é\n  return data.a.b\n}\n"
	src := script.Source{Connector: "acme", Function: "handle", Code: code, File: "acme.yml", Line: 5, Column: 7, Above: strings.Split(yaml, "\n")[2:4], Shown: "connectors"}
	p, list := script.Build(src)
	if p == nil {
		t.Fatal(list)
	}
	e := script.NewInProcess(script.Options{})
	defer e.Close()
	_, err := e.Eval(context.Background(), p, json.RawMessage(`{"data": {}}`))
	f, ok := err.(*script.Error)
	if !ok || len(f.Failure.Stack) == 0 {
		t.Fatalf("%v", err)
	}
	at := f.Failure.Stack[0]
	if line := strings.Split(yaml, "\n")[at.Line-1]; at.File != "acme.yml" || at.Line != 7 || !strings.HasPrefix(line[at.Column-1:], "b") && !strings.HasPrefix(line[at.Column-1:], "data.a.b") {
		t.Errorf("%+v: %q", at, line)
	}
	if want := "> 7 |         return data.a.b\n"; !strings.Contains(f.Failure.CodeFrame, want) {
		t.Errorf("code frame:\n%s\nwant %q", f.Failure.CodeFrame, want)
	}

	src.Code = "export default () => {\n  fetch(1)\n  let é = (;\n}\n"
	_, list = script.Build(src)
	if got, want := show(list), "connectors/acme.yml:7:18: error syntax-error: Unexpected \";\"\n"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if want := "> 7 |         let é = (;\n    |                  ^\n"; !strings.Contains(list[0].Frame(), want) {
		t.Errorf("frame:\n%s", list[0].Frame())
	}
	src.Code = "export default () => {\n  fetch(1)\n}\n"
	_, list = script.Build(src)
	if got, want := show(list), "connectors/acme.yml:6:9: warning undefined-name: fetch is not defined here: handlers have no network\n"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if want := "> 6 |         fetch(1)\n    |         ^\n"; !strings.Contains(list[0].Frame(), want) {
		t.Errorf("frame:\n%s", list[0].Frame())
	}
	src.Code = "const handle = 1"
	_, list = script.Build(src)
	if got, want := show(list), "connectors/acme.yml:5:7: error no-function-exported: no function \"handle\" is exported (write export default function handle(...) { ... })\n"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// What stands above the code is in the frames of findings and of failures.
	above := "  3 |   orders:\n  4 |     handle: |\n> 5 |       "
	if got := list[0].Frame(); !strings.HasPrefix(got, above+"const handle = 1\n") {
		t.Errorf("frame:\n%s", got)
	}
	src.Code = "export default () => null.x"
	p, _ = script.Build(src)
	if _, err = e.Eval(context.Background(), p, json.RawMessage(`{}`)); !errors.As(err, &f) || !strings.HasPrefix(f.Failure.CodeFrame, above) {
		t.Errorf("%v: frame:\n%s", err, f.Failure.CodeFrame)
	}
	src.Code = "import {x} from './common'; import 'fs'; export default () => x"
	_, list = script.Build(src)
	if got, want := show(list), "connectors/acme.yml:5:23: error import-not-found: a connector that is one YAML file cannot import \"./common\" (put the connector into a folder of its own to have several files)\n"+
		"connectors/acme.yml:5:42: error import-unsupported: there is no module \"fs\": handlers have no file system\n"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// Inline code of a connector that is a folder can import its files.
	src.Root, src.File = folder(t, map[string]string{"common.ts": "export const x = 1", "w/spec.yml": ""}), "w/spec.yml"
	src.Code = "import {x} from './common'; export default () => x"
	p, list = script.Build(src)
	if p == nil || eval(t, p) != "1" {
		t.Errorf("inline code with imports: %s", show(list))
	}
}

// Nothing outside of the folder is read, and nothing that is not a file is waited for.
func TestFilesThatAreNone(t *testing.T) {
	outside := folder(t, map[string]string{"secret.js": "export default () => 'secret'", "dir/x.js": "export default () => 'secret'"})
	dir := folder(t, map[string]string{"in/real.js": "export default () => 'real'", "in/common.js": "export default () => 1"})
	link := func(target, name string) {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link(filepath.Join(outside, "secret.js"), "out.js")
	link("../"+filepath.Base(outside)+"/secret.js", "out2.js")
	link(filepath.Join(outside, "dir"), "outdir")
	link("in/real.js", "fine.js")
	link("in", "findir")
	link("nowhere.js", "dangling.js")
	link("loop.js", "loop.js")
	link("/dev/zero", "zero.js")
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo.js"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "locked.js"), nil, 0); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"fine.js": "", "findir/real.js": "",
		"out.js":      "outside-folder: out.js is a symbolic link that leads out of the connector's folder (copy what it needs into the folder)",
		"out2.js":     "outside-folder: out2.js is a symbolic link that leads out of the connector's folder (copy what it needs into the folder)",
		"outdir/x.js": "outside-folder: outdir/x.js is a symbolic link that leads out of the connector's folder (copy what it needs into the folder)",
		"zero.js":     "outside-folder: zero.js is a symbolic link that leads out of the connector's folder (copy what it needs into the folder)",
		"dangling.js": "unreadable-file: dangling.js cannot be read: no such file or directory",
		"loop.js":     "unreadable-file: loop.js cannot be read: too many levels of symbolic links",
		"fifo.js":     "not-a-file: fifo.js is not a regular file but a named pipe",
		"locked.js":   "unreadable-file: locked.js cannot be read: permission denied",
	} {
		if name == "locked.js" && os.Getuid() == 0 {
			continue // root reads everything
		}
		for _, imported := range []bool{false, true} {
			src := script.Source{Function: "handle", Root: dir, Entry: name}
			place := name
			if imported {
				src.Entry, src.Code, src.File, src.Line, src.Column = "", "export {default} from './"+name+"'", "c.yml", 3, 1
				place = "c.yml:3:23"
			}
			p, list := script.Build(src)
			if want == "" {
				if p == nil || eval(t, p) != `"real"` {
					t.Errorf("%s: %s", name, show(list))
				}
				continue
			}
			if got := show(list); p != nil || got != place+": error "+want+"\n" {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
	}
	// A connector's folder may itself be a link, and may be missing.
	link2 := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link2); err != nil {
		t.Fatal(err)
	}
	if p, list := script.Build(script.Source{Function: "handle", Root: link2, Entry: "fine.js"}); p == nil {
		t.Errorf("folder behind a link: %s", show(list))
	}
	if p, list := script.Build(script.Source{Function: "handle", Root: filepath.Join(dir, "none"), Entry: "fine.js"}); p != nil || list[0].Code != "unreadable-folder" {
		t.Errorf("folder that is missing: %s", show(list))
	}
}

// Comments and imports by which esbuild would read any file of the machine do not.
func TestNothingElseIsRead(t *testing.T) {
	outside := folder(t, map[string]string{"secret.js": "the-secret", "secret.map": `{"version":3,"sources":["x"],"sourcesContent":["the-secret"],"mappings":"AAAA","names":[]}`})
	fifo := filepath.Join(outside, "fifo")
	if err := syscall.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	inline := base64.StdEncoding.EncodeToString([]byte(`{"version":3,"sources":["file://` + outside + `/secret.js"],"mappings":"AAAA","names":[]}`))
	for _, code := range []string{
		"export default () => 1\n//# sourceMappingURL=file://" + fifo,
		"export default () => 1\n//@ sourceMappingURL=file://" + fifo,
		"export default () => 1\n/*# sourceMappingURL=file://" + fifo + " */",
		"export default () => 1\n//# sourceMappingURL=file://" + outside + "/secret.map",
		"export default () => 1\n//# sourceMappingURL=data:application/json;base64," + inline,
		"import './other.js'; export default () => 1",
		"export default x => { if (false) require('../../../' + x) }",
		"export default x => { /* @__PURE__ */ require('../../../' + x) }",
		"export default x => { enum E { A = '../../../' }; require(E.A + x) }",
		"export default x => requ\\u0069re(`../../../${x}`)",
		"export default x => { require.resolve('../../../' + x) }",
		"export default x => { new URL('../../../' + x, import.meta.url) }",
		"export default x => { return import(/* c */ '../../../' + x) }",
		"export default x => { return import('../../../' + x, {with: {type: 'json'}}) }",
		"export default x => { const f = y => import(y + '/../'); return f(x) }",
		"import * as ns from '*'; import './*.js'; export default () => ns",
	} {
		dir := folder(t, map[string]string{"a.ts": code, "other.js": "//# sourceMappingURL=file://" + fifo + "\n"})
		p, list := script.Build(script.Source{Function: "handle", Root: dir, Entry: "a.ts"})
		if text := show(list); strings.Contains(text, ".go") || strings.Contains(text, "secret") || strings.Contains(text, "loader") {
			t.Errorf("%s: %s", code, text)
		}
		if p != nil && (bytes.Contains(p.SourceMap, []byte("the-secret")) || bytes.Contains(p.Code, []byte("the-secret")) || bytes.Contains(p.Code, []byte("globRequire"))) {
			t.Errorf("%s: %s %s", code, p.Code, p.SourceMap)
		}
	}
}

// Too much together is refused, though no file is too large.
func TestBundleIsBounded(t *testing.T) {
	files := map[string]string{}
	var imports strings.Builder
	for i := range 5 {
		files[fmt.Sprintf("x%d.js", i)] = fmt.Sprintf("export const x%d = %q", i, strings.Repeat("y", 1_000_000))
		fmt.Fprintf(&imports, "import {x%d} from './x%d.js'\n", i, i)
	}
	files["a.js"] = imports.String() + "export default () => [x0, x1, x2, x3, x4]"
	p, list := script.Build(script.Source{Function: "handle", Root: folder(t, files), Entry: "a.js"})
	if p != nil || len(list) != 1 || list[0].Code != "bundle-too-large" {
		t.Errorf("%s", show(list))
	}
}

func TestProgramsCanBeSent(t *testing.T) {
	src := script.Source{Connector: "acme", Function: "handle", Code: "export default () => {\n  throw new Error('x')\n}", File: "acme.yml", Line: 4, Column: 3}
	p, _ := script.Build(src)
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var sent script.Program
	if err := json.Unmarshal(b, &sent); err != nil {
		t.Fatal(err)
	}
	e := script.NewInProcess(script.Options{})
	defer e.Close()
	for _, p := range []*script.Program{p, &sent} {
		if _, err := e.Eval(context.Background(), p, json.RawMessage(`1`)); err == nil || err.Error() != "acme.yml:5:11: Error: x" {
			t.Errorf("%v", err)
		}
	}
	again, _ := script.Build(src)
	if again.ID != p.ID || !bytes.Equal(again.Code, p.Code) {
		t.Errorf("built again it is %s, not %s", again.ID, p.ID)
	}
	src.Code += " "
	src.Connector = "other"
	if other, _ := script.Build(src); other.ID == p.ID {
		t.Error("another program has the same ID")
	}
}

type memory map[string][]byte

func (m memory) Get(key string) ([]byte, bool) { v, ok := m[key]; return v, ok }
func (m memory) Put(key string, value []byte)  { m[key] = value }

func TestCache(t *testing.T) {
	dir := folder(t, map[string]string{"a.js": "import {x} from 'common'; export default () => fetch && x", "common.js": "export const x = 1", "notes.md": ""})
	cache := memory{}
	src := script.Source{Function: "handle", Root: dir, Entry: "a.js", Cache: cache}
	first, warnings := script.Build(src)
	if len(cache) != 1 || len(warnings) != 1 {
		t.Fatalf("%d entries, %s", len(cache), show(warnings))
	}
	second, again := script.Build(src)
	if len(cache) != 1 || second.ID != first.ID || show(again) != show(warnings) || len(again[0].Snippet.Lines) == 0 {
		t.Errorf("from the cache: %s %s", second.ID, show(again))
	}
	// It is really the cache that answers.
	for k, v := range cache {
		cache[k] = bytes.ReplaceAll(v, []byte(first.ID), []byte(strings.Repeat("0", 32)))
	}
	if third, _ := script.Build(src); third.ID != strings.Repeat("0", 32) {
		t.Error("the cache was not used")
	}
	// Another import, another function or a broken entry is built anew.
	if err := os.WriteFile(filepath.Join(dir, "common.js"), []byte("export const x = 2"), 0o644); err != nil {
		t.Fatal(err)
	}
	if p, _ := script.Build(src); p.ID == first.ID || len(cache) != 2 {
		t.Errorf("after a change: %s, %d entries", p.ID, len(cache))
	}
	for k := range cache {
		cache[k] = []byte("{")
	}
	if p, _ := script.Build(src); p == nil {
		t.Error("a broken entry breaks the build")
	}
	// What fails is not kept, nor is what has links.
	if err := os.WriteFile(filepath.Join(dir, "b.js"), []byte("("), 0o644); err != nil {
		t.Fatal(err)
	}
	entries := len(cache)
	src.Entry = "b.js"
	if p, list := script.Build(src); p != nil || !list.HasErrors() || len(cache) != entries {
		t.Errorf("a failed build: %d entries", len(cache))
	}
	if err := os.Symlink("a.js", filepath.Join(dir, "l.js")); err != nil {
		t.Fatal(err)
	}
	src.Entry = "a.js"
	if p, _ := script.Build(src); p == nil || len(cache) != entries {
		t.Errorf("a folder with links: %d entries", len(cache))
	}
}
