package script_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"switchhook/gateway/body"
	"switchhook/gateway/hook"
	"switchhook/gateway/script"
	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// testdata/membrane.jsonl has what the official SDK makes of the mappings below. To make it anew (needs node,
// npm and the npm registry; the package goes to a temporary folder):
//
//go:generate go test -run TestMappingsAgree -update .
var update = flag.Bool("update", false, "ask the SDK again and rewrite testdata/membrane.jsonl")

const (
	membranePackage = "@membranehq/sdk@0.28.3"
	membraneFile    = "testdata/membrane.jsonl"
)

const mappingVariables = `{"parameters":{"userId":"42","a.b":{"c[d":7},"list":[{"price":2,"tags":["x","y"]},{"price":3.5}],"zero":0,"empty":"","none":null,
	"no":false,"yes":true,"mail":"ann@example.com","name":"Ann Maria Bell","one":"Prince","when":"2026-01-02T03:04:05Z","object":{"a":1,"b":{"c":2}},"big":12,"text":"Hello World"}}`

// mappings are tried against the SDK with mappingVariables.
var mappings = []string{
	`plain text`, `12`, `true`, `{}`, `[]`, `{a: {}, b: []}`, `[1, null, x]`,
	`{$var: $.parameters.userId}`, `{$var: parameters.userId}`, `{$var: $}`, `{$var: '$.parameters.list[1].price'}`, `{$var: '$.parameters.list[9].price'}`,
	`{$var: '$.parameters.a\.b.c\[d'}`, `{$var: $.parameters.nothing.below}`, `{$var: $.parameters.userId.length}`, `{$var: $.parameters.none}`,
	`{a: {$var: parameters.nothing}, b: 1}`, `{a: {$var: parameters.nothing}}`, `[{$var: parameters.nothing}, 1]`, `[{$var: parameters.nothing}]`,
	`{$plain: {$var: parameters.userId}}`, `{$plain: {$firstName: {$var: x}}}`,
	`{$tpl: {template: 'user:{id}/{id}', values: {id: {$var: parameters.userId}}}}`, `{$tpl: {template: '{a}-{b}', values: {a: {$var: parameters.nothing}, b: 1}}}`,
	`{$tpl: {template: none}}`,
	`{$concat: [a, {$var: parameters.userId}, '', {$var: parameters.nothing}, 1]}`, `{$concat: {values: [a, b, {$var: parameters.big}], delimiter: ', '}}`,
	`{$concat: {values: [{$var: parameters.nothing}]}}`, `{$concat: {values: {$var: parameters.nothing}}}`,
	`{$map: {value: {$var: parameters.userId}, mapping: [{from: 41, to: no}, {from: 42, to: yes}], default: d}}`,
	`{$map: {value: {$var: parameters.object}, mapping: [{from: {a: 1, b: {c: 2}}, to: hit}]}}`,
	`{$map: {value: x, mapping: [{from: y, to: no}]}}`, `{$map: {value: x, mapping: [], default: {$var: parameters.userId}}}`,
	`{$map: {value: a, mapping: [{from: a, to: {$map: {value: b, mapping: [{from: b, to: inner}]}}}]}}`,
	`{$case: {cases: [{filter: [{field: parameters.userId, operator: is, value: '42'}], value: first}, {value: second}], default: d}}`,
	`{$case: {cases: [{filter: [{field: $.parameters.userId, operator: is, value: '43'}], value: first}, {value: second}], default: d}}`,
	`{$case: {cases: [{filter: [{field: parameters.list.price, operator: more_than, value: 3}], value: some}]}}`,
	`{$case: {cases: [{filter: [{field: parameters.list.price, operator: more_than, value: 9}], value: some}], default: {$var: parameters.big}}}`,
	`{$case: {cases: [{filter: [{field: parameters.text, operator: contains, value: world}], value: a}, {filter: [{field: parameters.text, operator: does_not_contain, value: world}, {field: parameters.userId, operator: is_one_of, value: ['42']}], value: b}]}}`,
	`{$case: {cases: [{filter: [{field: parameters.list.tags, operator: array_includes, value: y}, {field: parameters.yes, operator: is_true}, {field: parameters.no, operator: is_false}], value: a}]}}`,
	`{$case: {cases: [{filter: [], value: always}]}}`, `{$case: {cases: []}}`,
	`{$case: {cases: [{filter: {$eval: {$var: parameters.big}, gt: 10}, value: large}, {value: small}]}}`,
	`{$case: [{filter: {$var: parameters.no}, value: a}, {filter: {$var: parameters.nothing}, value: b}]}`,
	`{$iterate: {source: {$var: parameters.list}, item: {p: {$var: item.price}, u: {$var: parent.parameters.userId}, i: {$var: index}}}}`,
	`{$iterate: {source: {$var: parameters.list}, item: {$var: item.tags}}}`, `{$iterate: {source: {$var: parameters.nothing}, item: x}}`, `{$iterate: {source: [], item: x}}`,
	`{$eval: {$var: parameters.userId}, is: 42}`, `{$eval: {$var: parameters.userId}, isNot: 42}`, `{$eval: {$var: parameters.empty}, isEmpty: true}`,
	`{$eval: {$var: parameters.none}, isEmpty: true}`, `{$eval: {$var: parameters.zero}, isEmpty: true}`, `{$eval: {$var: parameters.object}, isNotEmpty: true}`,
	`{$eval: {$var: parameters.nothing}, isNotEmpty: true}`, `{$eval: {$var: parameters.text}, contains: world}`, `{$eval: {$var: parameters.text}, doesNotContain: x}`,
	`{$eval: {$var: 'parameters.list[0].tags'}, contains: x}`, `{$eval: {$var: 'parameters.list[0].tags'}, doesNotContain: x}`, `{$eval: {$var: parameters.nothing}, contains: x}`,
	`{$eval: {$var: parameters.userId}, oneOf: ['41', '42']}`, `{$eval: {$var: parameters.userId}, noneOf: ['41', '42']}`, `{$eval: {$var: parameters.userId}, oneOf: '42'}`,
	`{$eval: {$var: parameters.big}, gt: 12}`, `{$eval: {$var: parameters.big}, gte: 12}`, `{$eval: {$var: parameters.big}, lt: '13'}`, `{$eval: {$var: parameters.text}, lte: 12}`,
	`{$and: [{$var: parameters.yes}, {$eval: 1, is: 1}]}`, `{$and: [{$var: parameters.yes}, {$var: parameters.no}]}`, `{$and: [{$var: parameters.nothing}]}`, `{$and: [{$var: parameters.nothing}, true]}`,
	`{$or: [{$var: parameters.no}, {$var: parameters.yes}]}`, `{$or: [{$var: parameters.no}, {$var: parameters.none}]}`, `{$or: []}`,
	`{$firstNotEmpty: [{$var: parameters.nothing}, {$var: parameters.none}, {$var: parameters.zero}]}`, `{$firstNotEmpty: [{$var: parameters.nothing}]}`,
	`{$mergeObjects: [{$var: parameters.object}, {a: 2, d: 4}, {$var: parameters.nothing}]}`, `{$mergeObjects: [{$var: parameters.nothing}]}`,
	`{$firstName: {$var: parameters.name}}`, `{$lastName: {$var: parameters.name}}`, `{$firstName: {$var: parameters.one}}`, `{$lastName: {$var: parameters.one}}`,
	`{$firstName: 'Bell, Ann'}`, `{$lastName: 'Bell, Ann'}`, `{$firstName: 'Dr. Ann Bell Jr.'}`, `{$lastName: 'Dr. Ann Bell Jr.'}`, `{$firstName: {$var: parameters.nothing}}`,
	`{$domainFromEmail: {$var: parameters.mail}}`, `{$domainFromEmail: nobody}`,
	`{$extractDate: {$var: parameters.when}}`, `{$extractTime: {$var: parameters.when}}`, `{$extractDate: not a date}`,
	`{a: {$var: parameters.userId}, b: {$copy: a}}`, `{a: {x: [1, 2]}, b: {c: {$copy: '$.a.x[1]'}}}`,
	`{$record: {id: 7}}`,
	`{$formula: {$firstNotEmpty: [{$var: parameters.userId}, {$plain: x}]}}`,
	`{$jsonata: '$sum(parameters.list.price)'}`, `{$jsonata: 'parameters.list[price > 3].price'}`, `{$jsonata: '$uppercase(parameters.text) & "!"'}`, `{$jsonata: parameters.nothing}`,
	`{$jsonata: '{"n": $count(parameters.list), "names": parameters.list.tags}'}`, `{a: [{b: {$jsonata: parameters.big * 2}}]}`,
	`{$iterate: {source: {$var: parameters.list}, item: {d: {$jsonata: item.price * 2}}}}`,
	`{globalWebhookKey: all, globalWebhookEventSelector: {$concat: {values: ['user_id', {$var: $.parameters.userId}], delimiter: ':'}}}`,
}

func evalMapping(t *testing.T, mapping string) (json.RawMessage, error) {
	t.Helper()
	p, list := script.Build(script.Source{Connector: "c", Function: script.SelectorFunction, Kind: script.Mapping,
		Root: folder(t, map[string]string{"m.map.yml": mapping}), Entry: "m.map.yml"})
	if p == nil {
		t.Fatalf("%s: %s", mapping, show(list))
	}
	e := script.NewInProcess(script.Options{})
	defer e.Close()
	r, err := e.Eval(t.Context(), p, json.RawMessage(mappingVariables))
	if err != nil {
		return nil, err
	}
	return r.Value, nil
}

// Formulas have the values that the official SDK computes.
func TestMappingsAgree(t *testing.T) {
	type answer struct {
		Mapping string          `json:"mapping"`
		Value   json.RawMessage `json:"value"`
	}
	if *update {
		dir := t.TempDir()
		if out, err := exec.Command("npm", "install", "--no-audit", "--no-fund", "--prefix", dir, membranePackage, "yaml@2").CombinedOutput(); err != nil {
			t.Fatalf("npm install: %v\n%s", err, out)
		}
		program := filepath.Join(dir, "ask.js")
		if err := os.WriteFile(program, []byte(`
			const sdk = require('@membranehq/sdk'), yaml = require('yaml')
			const {mappings, variables} = JSON.parse(require('fs').readFileSync(0, 'utf8'))
			;(async () => {
				for (const mapping of mappings) {
					const value = yaml.parse(mapping)
					const result = mapping.includes('$jsonata') ? await sdk.__resolveValue(value, {variables}) : sdk.buildData(value, variables)
					console.log(JSON.stringify({mapping, value: result === undefined ? null : result}))
				}
			})()`), 0o644); err != nil {
			t.Fatal(err)
		}
		input, _ := json.Marshal(map[string]any{"mappings": mappings, "variables": json.RawMessage(mappingVariables)})
		cmd := exec.Command("node", program)
		cmd.Dir, cmd.Stdin, cmd.Stderr = dir, bytes.NewReader(input), os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(membraneFile, out, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(membraneFile)
	if err != nil {
		t.Fatal(err)
	}
	answers := map[string]json.RawMessage{}
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		var a answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		answers[a.Mapping] = a.Value
	}
	for _, m := range mappings {
		want, ok := answers[m]
		if !ok {
			t.Errorf("%s: %s has no answer; run go generate", m, membraneFile)
			continue
		}
		got, err := evalMapping(t, m)
		if err != nil {
			t.Errorf("%s: %v", m, err)
			continue
		}
		var a, b any
		if json.Unmarshal(got, &a) != nil || json.Unmarshal(want, &b) != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("%s\n  is  %s\n  the SDK says %s", m, got, want)
		}
	}
}

// Mistakes are found when a connector is loaded, all at once and where they are.
func TestMappingMistakes(t *testing.T) {
	for name, test := range map[string]struct{ mapping, want string }{
		"empty": {"", "c/m.map.yml:1:1: error empty-code: the mapping is empty\n"},
		"yaml":  {"a: [", "c/m.map.yml:2:1: error yaml-syntax"},
		"formula": {"a:\n  $vra: x\nb: {$lookup: {query: {}}}\nc: {$var: '$.parameters.a[x]'}\nd: {$var: 7}", "" +
			"c/m.map.yml:2:3: error bad-mapping: there is no formula $vra (did you mean \"$var\"?)\n" +
			"c/m.map.yml:3:5: error bad-mapping: $lookup finds records through the app's API, and the gateway has no API client (write the function in JavaScript)\n" +
			"c/m.map.yml:4:11: error bad-mapping: the path \"$.parameters.a[x]\" has \"[x\" where an index such as [0] is expected\n" +
			"c/m.map.yml:5:11: error bad-mapping: $var takes the path of a variable, not a whole number (such as $.parameters.id)\n"},
		"shapes": {"a: {$map: {value: 1}}\nb: {$case: {cases: 1}}\nc: {$iterate: {source: []}}\nd: {$eval: 1}\ne: {$eval: 1, si: 2}\nf: {$and: 1}\ng: {$tpl: x}\nh: {$jsonata: '$sum('}", "" +
			"c/m.map.yml:1:11: error bad-mapping: $map needs mapping:\n" +
			"c/m.map.yml:2:20: error bad-mapping: expected a list of {filter, value}, got a whole number\n" +
			"c/m.map.yml:3:15: error bad-mapping: $iterate needs item:\n" +
			"c/m.map.yml:4:5: error bad-mapping: $eval needs an operator beside it (such as is: or isEmpty:)\n" +
			"c/m.map.yml:5:15: error unknown-key: the key \"si\" is not known here (did you mean \"is\"?)\n" +
			"c/m.map.yml:6:11: error bad-mapping: $and takes a list, not a whole number\n" +
			"c/m.map.yml:7:11: error bad-mapping: $tpl takes a map with template, values, not a string\n" +
			"c/m.map.yml:8:15: error bad-mapping: the JSONata expression is wrong: Expected \")\" before end of expression\n"},
		"api": {"a: {$var: apiClient.x}\nb: {$var: $.credentials.token}", "" +
			"c/m.map.yml:1:11: error bad-mapping: this needs the app's API (apiClient), and the gateway has no API client (the subscription can name webhook and selector directly instead)\n" +
			"c/m.map.yml:2:11: error bad-mapping: this needs a connection's credentials, and the gateway has no connections (the subscription can name webhook and selector directly instead)\n"},
	} {
		p, list := script.Build(script.Source{Function: script.SelectorFunction, Kind: script.Mapping, Shown: "c",
			Root: folder(t, map[string]string{"m.map.yml": test.mapping}), Entry: "m.map.yml"})
		if got := show(list); p != nil || !strings.HasPrefix(got, test.want) || test.want == "" {
			t.Errorf("%s:\n%swant\n%s", name, got, test.want)
		}
	}
	p, list := script.Build(script.Source{Function: script.SelectorFunction, Kind: script.Mapping, Shown: "c",
		Root: folder(t, map[string]string{"m.map.yml": "a: {$var: paramters.x}\nb: {x: 1, $var: parameters.x}\nc: {$var: parameters.x, y: 1}"}), Entry: "m.map.yml"})
	if got, want := show(list), ""+
		"c/m.map.yml:1:11: warning bad-mapping: there is no variable \"paramters\" here (did you mean \"parameters\"?)\n"+
		"c/m.map.yml:2:11: warning bad-mapping: $var is no formula here, because it is not the first key (write it as the only key)\n"+
		"c/m.map.yml:3:25: warning bad-mapping: the key \"y\" beside $var is ignored\n"; p == nil || got != want {
		t.Errorf("warnings:\n%swant\n%s", got, want)
	}
}

// What fails when it runs is found on its line of the YAML file, in a file and inline.
func TestMappingFailures(t *testing.T) {
	text := "a: 1\nb:\n  - {$var: parameters.userId}\n  - $jsonata: $sum(parameters.text)\n"
	check := func(p *script.Program, line, column int) {
		t.Helper()
		e := script.NewInProcess(script.Options{})
		defer e.Close()
		_, err := e.Eval(t.Context(), p, json.RawMessage(mappingVariables))
		var failure *script.Error
		if !errors.As(err, &failure) || len(failure.Failure.Stack) == 0 {
			t.Fatalf("%v", err)
		}
		f := failure.Failure
		if s := f.Stack[0]; f.Kind != "thrown" || !strings.Contains(f.Message, `$jsonata: Argument 1 of function "sum"`) || s.Line != line || s.Column != column ||
			!strings.Contains(f.CodeFrame, "$jsonata: $sum(parameters.text)") {
			t.Errorf("%+v", f)
		}
	}
	p, list := script.Build(script.Source{Function: script.SelectorFunction, Kind: script.Mapping, Entry: "m.map.yml", Root: folder(t, map[string]string{"m.map.yml": text})})
	if p == nil {
		t.Fatal(show(list))
	}
	check(p, 4, 5)

	spec := "key: x\nget:\n  mapping:\n" + regexp.MustCompile("(?m)^").ReplaceAllString(text, "    ")
	doc, list := document.Parse("spec.yml", []byte(spec))
	if list.HasErrors() {
		t.Fatal(list)
	}
	p, list = script.Build(script.Source{Function: script.SelectorFunction, Kind: script.Mapping, File: "spec.yml", Mapping: doc.Root.Get("get").Get("mapping")})
	if p == nil {
		t.Fatal(show(list))
	}
	check(p, 7, 9)

	// As text, under code: |.
	p, list = script.Build(script.Source{Function: script.SelectorFunction, Kind: script.Mapping, File: "spec.yml", Code: text, Line: 10, Column: 7})
	if p == nil {
		t.Fatal(show(list))
	}
	check(p, 13, 11)
}

// A mapping can be a handler: what it passes on of the body is passed on as the bytes that came.
func TestMappingHandles(t *testing.T) {
	p, list := script.Build(script.Source{Function: script.HandleFunction, Kind: script.Mapping, Entry: "handle.map.yml", Root: folder(t, map[string]string{"handle.map.yml": `
events:
  $iterate:
    source: {$var: $.data.orders}
    item:
      selector: {$tpl: {template: 'order/{id}', values: {id: {$var: item.id}}}}
      payload: {$var: item}
response:
  status: 202
  headers: {X-Method: {$var: method}, X-Secret: {$var: parameters.secret}}
`})})
	if p == nil || len(list) > 0 {
		t.Fatal(show(list))
	}
	e := script.NewInProcess(script.Options{})
	defer e.Close()
	raw := []byte(`{"orders":[{"id": 12345678901234567890},{"id":"b"}]}`)
	r, err := e.Handle(t.Context(), p, &script.HandleInput{Request: &hook.Request{Method: "POST", Body: raw}, Body: body.Parse("application/json", raw), Parameters: json.RawMessage(`{"secret":"s"}`)})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Events) != 2 || r.Events[1].Selector != "order/b" || string(r.Events[0].Payload) != `{"id": 12345678901234567890}` || !r.Events[0].FromBody {
		t.Errorf("%+v", r.Events)
	}
	if r.Response.Status != 202 || r.Response.Headers.Get("X-Method") != "POST" || r.Response.Headers.Get("X-Secret") != "s" {
		t.Errorf("%+v", r.Response)
	}
}

// Whatever a mapping says, the code made of it is code, and running it ends.
func FuzzMapping(f *testing.F) {
	for _, m := range mappings {
		f.Add(m)
	}
	e := script.NewInProcess(script.Options{})
	f.Cleanup(func() { e.Close() })
	f.Fuzz(func(t *testing.T, mapping string) {
		p, list := script.Build(script.Source{Function: script.SelectorFunction, Kind: script.Mapping, File: "m.yml", Line: 1, Column: 1, Code: mapping})
		if mapping == "" {
			return // then there is no code at all
		}
		for _, d := range list {
			if d.Severity == diagnostic.Error && !slices.Contains([]string{"bad-mapping", "unknown-key", "unknown-name", "empty-code"}, d.Code) && d.Line == 0 {
				t.Fatalf("%q: %s", mapping, show(list))
			}
		}
		if p == nil && !list.HasErrors() {
			t.Fatalf("%q: neither a program nor errors", mapping)
		}
		if p != nil {
			_, _ = e.Eval(t.Context(), p, json.RawMessage(mappingVariables))
		}
	})
}

// A mapping that changed is another program, though only code counts among the other files of the folder; one that
// did not comes from the cache.
func TestMappingCache(t *testing.T) {
	kept := memory{}
	for i, want := range []string{`1`, `2`, `1`} {
		dir := folder(t, map[string]string{"m.map.yml": "a: " + want})
		doc, _ := document.Parse("spec.yml", []byte("b: "+want))
		for _, src := range []script.Source{
			{Function: script.SelectorFunction, Kind: script.Mapping, Entry: "m.map.yml", Root: dir, Cache: kept},
			{Function: script.SelectorFunction, Kind: script.Mapping, File: "spec.yml", Mapping: doc.Root, Root: dir, Cache: kept},
		} {
			p, list := script.Build(src)
			if p == nil {
				t.Fatal(show(list))
			}
			if got := eval(t, p); !strings.HasSuffix(got, ":"+want+"}") {
				t.Errorf("%d: %s", i, got)
			}
		}
	}
	if len(kept) != 4 {
		t.Errorf("%d programs are kept, not 4", len(kept))
	}
}

// A getter that needs the app's API says so, when it runs and before.
func TestGettersWithoutAPI(t *testing.T) {
	p, list := script.Build(script.Source{Function: script.SelectorFunction, Shown: "c", Entry: "g.js", Root: folder(t, map[string]string{
		"g.js": "export default async function getEventSelector({ apiClient, parameters }) {\n  if (parameters.id) return { globalWebhookEventSelector: parameters.id }\n  const me = await apiClient.get('users/me')\n  return { globalWebhookEventSelector: me.id }\n}\n",
	})})
	if got, want := show(list), "c/g.js:1:50: warning no-api-client: the function uses apiClient, and the gateway has no API client (where it fails, a subscription can name webhook and selector directly)\n"; p == nil || got != want {
		t.Errorf("%swant\n%s", got, want)
	}
	e := script.NewInProcess(script.Options{})
	defer e.Close()
	if r, err := e.Eval(t.Context(), p, json.RawMessage(`{"parameters":{"id":"x"}}`)); err != nil || string(r.Value) != `{"globalWebhookEventSelector":"x"}` {
		t.Errorf("%v", err)
	}
	_, err := e.Eval(t.Context(), p, json.RawMessage(`{"parameters":{}}`))
	if want := "g.js:3:20: Error: apiClient.get: the gateway has no API client, which this function needs"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
