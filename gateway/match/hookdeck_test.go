package match_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"switchhook/gateway/match"
)

// The tests in this file compare filters with the npm package whose syntax they
// follow. testdata/hookdeck.jsonl has generated cases with the package's answers. To make it
// anew (needs node, npm and the npm registry; the package goes to a temporary folder):
//
//go:generate go test -run TestHookdeckAnswers -update .
var update = flag.Bool("update", false, "ask the npm package again and rewrite testdata/hookdeck.jsonl")

const (
	hookdeckPackage = "simple-json-match@1.3.0"
	hookdeckFile    = "testdata/hookdeck.jsonl"
	// hookdeckFolder names the folder in whose node_modules the package is, for TestHookdeckLive.
	hookdeckFolder = "SWITCHHOOK_SIMPLE_JSON_MATCH"
)

type hookdeckCase struct {
	Payload json.RawMessage `json:"payload"`
	Filter  json.RawMessage `json:"filter"`
	Match   json.RawMessage `json:"match,omitempty"`
}

func (c hookdeckCase) check(t *testing.T) {
	t.Helper()
	f, err := match.ParseFilter(c.Filter)
	if err != nil {
		t.Errorf("%s: %v", c.Filter, err)
		return
	}
	if got := fmt.Sprint(f.Match(c.Payload)); got != string(c.Match) {
		t.Errorf("payload %s filter %s: %s, the npm package says %s", c.Payload, c.Filter, got, c.Match)
	}
	if why := f.Explain(c.Payload); (why == "") != f.Match(c.Payload) {
		t.Errorf("payload %s filter %s: explained as %q", c.Payload, c.Filter, why)
	}
}

func TestHookdeckAnswers(t *testing.T) {
	if *update {
		folder := t.TempDir()
		if out, err := exec.Command("npm", "install", "--no-audit", "--no-fund", "--prefix", folder, hookdeckPackage).CombinedOutput(); err != nil {
			t.Fatalf("npm install: %v\n%s", err, out)
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		for _, c := range ask(t, folder, append(writtenCases(), generatedCases(1, 1500)...)) {
			if err := e.Encode(c); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(hookdeckFile, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.Open(hookdeckFile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	answers := map[string]int{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var c hookdeckCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		c.check(t)
		answers[string(c.Match)]++
	}
	if answers["true"] < 300 || answers["false"] < 300 {
		t.Errorf("too few cases of a kind: %v", answers)
	}
}

// TestHookdeckLive asks the package itself about cases that are different in every run.
func TestHookdeckLive(t *testing.T) {
	folder := os.Getenv(hookdeckFolder)
	if folder == "" {
		t.Skipf("set %s to a folder where `npm install %s` ran", hookdeckFolder, hookdeckPackage)
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip(err)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for _, c := range ask(t, folder, generatedCases(seed, 100_000)) {
		c.check(t)
	}
	// What is written about differences is still true of the package.
	var cases []hookdeckCase
	for _, d := range differences {
		cases = append(cases, hookdeckCase{Payload: json.RawMessage(d.payload), Filter: json.RawMessage(d.filter)})
	}
	for i, c := range ask(t, folder, cases) {
		if d := differences[i]; string(c.Match) == fmt.Sprint(d.match) {
			t.Errorf("payload %s filter %s: the package says %s, like this one", d.payload, d.filter, c.Match)
		}
	}
}

// ask returns the cases with the package's answers.
func ask(t *testing.T, folder string, cases []hookdeckCase) []hookdeckCase {
	t.Helper()
	var in bytes.Buffer
	for _, c := range cases {
		fmt.Fprintf(&in, "{\"payload\":%s,\"filter\":%s}\n", c.Payload, c.Filter)
	}
	command := exec.Command("node", "testdata/hookdeck.js", folder)
	command.Stdin, command.Stderr = &in, os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("node testdata/hookdeck.js: %v", err)
	}
	answers := strings.Fields(string(out))
	if len(answers) != len(cases) {
		t.Fatalf("%d answers for %d cases", len(answers), len(cases))
	}
	for i := range cases {
		cases[i].Match = json.RawMessage(answers[i])
	}
	return cases
}

// writtenCases are about what generated ones rarely hit: how JavaScript compares.
func writtenCases() []hookdeckCase {
	var cases []hookdeckCase
	add := func(payload, filter string) {
		cases = append(cases, hookdeckCase{Payload: json.RawMessage(payload), Filter: json.RawMessage(filter)})
	}
	literals := []string{
		`0`, `1`, `-1`, `16`, `8`, `1e3`, `1000`, `0.1`, `1e400`, `9007199254740993`, `9007199254740992`, `true`, `false`, `null`,
		`""`, `" "`, `"0"`, `"1"`, `" 1 "`, `"0x10"`, `"0b1000"`, `"0o10"`, `"0xg"`, `"1e3"`, `"1_0"`, `"+1"`, `"-1"`, `".1"`, `"1."`, `"."`, `"Infinity"`, `"-Infinity"`, `"inf"`, `"NaN"`, `"\u00a01\ufeff"`,
		`"true"`, `"null"`, `"[object Object]"`, `"a"`, `"é"`, `"e\u0301"`,
	}
	for _, a := range literals {
		for _, b := range literals {
			add(`{"a":`+a+`}`, `{"a":`+b+`}`)
		}
		add(`{"a":`+a+`}`, `{"a":{"$gt":"1"}}`)
		add(`{"a":`+a+`}`, `{"a":{"$lte":1}}`)
		add(`{"a":`+a+`}`, `{"a":{"$in":1}}`)
		add(`{"a":`+a+`}`, `{"a":{"$in":[1,"a",""]}}`)
		add(`{"a":`+a+`}`, `{"a":{"$nin":[1,"a",""]}}`)
		add(`{"a":["x",`+a+`]}`, `{"a":1}`)
	}
	texts := []string{`"a"`, `"B"`, `"é"`, `"z"`, `"10"`, `"9"`, `"\ud83d\ude00"`, `"\uffee"`, `"\ud83d\ude01"`, `"a\u0000"`, `""`, `"ab"`, `"éa"`, `"éb"`}
	for _, a := range texts {
		for _, b := range texts {
			add(`{"a":`+a+`}`, `{"a":{"$gt":`+b+`}}`)
		}
	}
	for _, a := range []string{`{"b":1,"c":2}`, `{"c":2,"b":1}`, `{"b":1,"c":2.0}`, `{"b":1,"c":"2"}`, `{"2":1,"1":1}`, `{"1":1,"2":1}`, `{"b":0,"b":1,"c":2}`, `[1,2]`, `[1.0,2e0]`, `[]`, `{}`, `{"b":1e21}`, `{"b":1000000000000000000000}`, `{"b":1e-7}`, `{"b":0.0000001}`, `{"b":-0}`, `{"b":0}`, `{"b":"\u0041"}`, `{"b":"A"}`} {
		for _, b := range []string{`{"b":1,"c":2}`, `{"c":2,"b":1}`, `{"1":1,"2":1}`, `[1,2]`, `[]`, `{}`, `{"b":1e21}`, `{"b":1e-7}`, `{"b":0}`, `{"b":"A"}`} {
			add(`{"a":`+a+`}`, `{"a":{"$eq":`+b+`}}`)
		}
	}
	for _, number := range []string{`1e21`, `1e-7`, `0.5`, `100`, `1e20`, `123456789012345680000`} {
		for _, text := range []string{`"x1e+21x"`, `"1e-7"`, `"0.5"`, `"100000000000000000000"`, `"123456789012345680000"`} {
			add(`{"a":`+text+`}`, `{"a":{"$in":`+number+`}}`)
		}
	}
	for _, path := range []string{`b`, `$.b`, `b.c`, `b[0]`, `b[1].c`, `b[*]`, `b.*`, `b.length`, `b.1`, `['b']`, `$[\"b\"]`, `b['c']`, `c`, `$`} {
		for _, b := range []string{`1`, `"1"`, `2`, `[1]`, `[2,{"c":1}]`, `{"c":1}`, `{"c":[1]}`, `[]`, `{"0":1}`} {
			add(`{"a":1,"b":`+b+`}`, `{"a":{"$ref":"`+path+`"}}`)
			add(`{"a":1,"b":`+b+`}`, `{"a":{"$gte":{"$ref":"`+path+`"}}}`)
		}
	}
	return cases
}

// generatedCases returns cases of that part of the syntax where the two are meant to agree.
func generatedCases(seed uint64, n int) []hookdeckCase {
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	cases := make([]hookdeckCase, 0, n)
	for len(cases) < n {
		c := hookdeckCase{}
		payload := g.object(func() string { return g.payload(2) })
		c.Filter = json.RawMessage(g.filter(2))
		refers := bytes.Contains(c.Filter, []byte("$ref"))
		if g.one(4) && !refers {
			payload = g.payload(3)
		}
		c.Payload = json.RawMessage(payload)
		if refers && (strings.Contains(payload, "null") || bytes.Contains(c.Filter, []byte("$or"))) {
			continue // see differences
		}
		cases = append(cases, c)
	}
	// And filters with [$index], always where there is an item.
	for range n / 10 {
		item := func() string {
			return `{"x":` + g.pick("1", "2", `"1"`, "[1,2]") + `,"y":` + g.pick("1", "2", `"1"`, "[[2],[1]]", "[1]", "[]") + `,"z":[` + g.pick("1", "2", "") + `]}`
		}
		items := make([]string, g.n(4))
		for i := range items {
			items[i] = item()
		}
		path := g.pick("items[$index].y", "items[$index].x", "$.items[$index].y", "items[0].y", "items[$index].z[0]", "items[1].x", "items[$index].y[$index]")
		comparison := `{"$ref":"` + path + `"}`
		if word := g.pick("", "", "$gt", "$lte", "$in", "$startsWith"); word != "" && strings.Count(path, "$index") < 2 {
			comparison = `{"` + word + `":` + comparison + `}`
		}
		filter := `{"items":` + g.pick(`{"x":%s}`, `[{"x":%s}]`, `{"x":%s,"y":1}`, `{"$or":[{"x":%s},{"y":7}]}`) + `}`
		if strings.Count(path, "$index") == 2 {
			filter = `{"items":{"x":%s}}`
			for i := range items { // an inner item for the second index, always
				items[i] = `{"x":` + g.pick("[1,2]", "[2,1]", "[1]") + `,"y":` + g.pick("[1,2]", "[2,2]", "[3,1]") + `}`
			}
		}
		cases = append(cases, hookdeckCase{
			Payload: json.RawMessage(`{"items":[` + strings.Join(items, ",") + `]}`),
			Filter:  json.RawMessage(fmt.Sprintf(filter, comparison)),
		})
	}
	return cases
}

type generator struct{ *rand.Rand }

func (g generator) n(n int) int                  { return g.IntN(n) }
func (g generator) one(in int) bool              { return g.IntN(in) == 0 }
func (g generator) pick(choice ...string) string { return choice[g.n(len(choice))] }

func (g generator) primitive() string {
	return g.pick("0", "1", "2", "5", `""`, `"a"`, `"ab"`, `"1"`, `"5"`, "true", "false", "null")
}

func (g generator) list(n int, item func() string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = item()
	}
	return "[" + strings.Join(items, ",") + "]"
}

// object makes an object of one to three of the fields a, b, c.
func (g generator) object(value func() string) string {
	var fields []string
	for _, name := range []string{"a", "b", "c"}[g.n(3):] {
		fields = append(fields, `"`+name+`":`+value())
	}
	return "{" + strings.Join(fields, ",") + "}"
}

func (g generator) payload(depth int) string {
	below := func() string { return g.payload(depth - 1) }
	switch r := g.n(10); {
	case depth <= 0 || r < 4:
		return g.primitive()
	case r < 7:
		return g.list(g.n(3), below)
	case r < 8:
		return "{}"
	}
	return g.object(below)
}

func (g generator) filter(depth int) string {
	below := func() string { return g.filter(depth - 1) }
	switch r := g.n(14); {
	case depth <= 0 && r < 9 || r < 2:
		return g.primitive()
	case r == 2:
		return `{"$ref":"` + g.path() + `"}`
	case r < 4:
		return g.list(g.n(3), below)
	case depth <= 0 || r < 7:
		return g.operators()
	case r == 7:
		return `{"$or":` + g.list(1+g.n(2), below) + `}`
	case r == 8:
		return `{"$and":` + g.list(1+g.n(2), below) + `}`
	case r == 9:
		for {
			// The package ignores what is false in JavaScript.
			if f := g.filter(depth - 1); f != "0" && f != `""` && f != "false" && f != "null" {
				return `{"$not":` + f + `}`
			}
		}
	}
	return g.object(below)
}

func (g generator) operators() string {
	text := func() string { return g.pick(`"a"`, `""`, `"b"`, `"1"`) }
	names := []string{"$eq", "$neq", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$startsWith", "$endsWith"}
	g.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	if g.one(6) {
		return `{"$exist":` + g.pick("true", "false") + `}`
	}
	var all []string
	for _, name := range names[:1+g.n(2)] {
		operand := ""
		switch name {
		case "$eq", "$neq":
			operand = g.payload(1)
		case "$in", "$nin":
			operand = g.pick(g.list(g.n(4), func() string { return g.pick("0", "1", "2", "5", `"a"`, `"ab"`, `"1"`, `""`) }), text(), "1")
		case "$startsWith", "$endsWith":
			operand = g.pick(text(), g.list(g.n(3), text))
		default:
			operand = g.pick("0", "1", "2", `"a"`, `"1"`)
		}
		if g.one(6) && name != "$eq" && name != "$neq" {
			operand = `{"$ref":"` + g.path() + `"}`
		}
		all = append(all, `"`+name+`":`+operand)
	}
	return "{" + strings.Join(all, ",") + "}"
}

func (g generator) path() string {
	return g.pick("a", "b", "c", "a.b", "b.c", "a[0]", "b[1].c", "$.a", "a[*]", "b.*", "a.b.c", "c[0][0]")
}

// differences is where filters mean something else on purpose; match is what
// they say here. The package says otherwise.
var differences = []struct {
	payload, filter string
	match           bool
}{
	// Operators beside other conditions: all hold.
	{`{"a":{"b":1}}`, `{"a":{"$exist":true,"b":2}}`, false},
	{`{"a":5}`, `{"a":{"$or":[1,5],"$gt":9}}`, false},
	{`{"a":5,"b":5}`, `{"a":{"$ref":"b","$gt":6}}`, false},
	{`{}`, `{"a":{"$exist":false,"b":1}}`, false},
	// $not takes any operand, whatever the payload is.
	{`2`, `{"$not":0}`, true},
	{`[1]`, `{"$not":""}`, true},
	// What $ref names is data.
	{`{"a":1,"b":{"$gt":0}}`, `{"a":{"$ref":"b"}}`, false},
	{`{"a":1,"b":{"$ref":"a"}}`, `{"a":{"$ref":"b"}}`, false},
	{`{"a":{"x":1},"b":{"$or":[{"x":1}]}}`, `{"a":{"$ref":"b"}}`, false},
	{`{"a":[1],"b":[1]}`, `{"a":{"$eq":{"$ref":"b"}}}`, true},
	// A path names the first value there is.
	{`{"a":1,"b":[2,{"c":1}]}`, `{"a":{"$ref":"b[*].c"}}`, true},
	// Paths begin at the payload, under $or on a field too.
	{`{"a":"ab","c":"a"}`, `{"a":{"$or":[{"$startsWith":{"$ref":"c"}}]}}`, true},
	// Names with a dash or other letters need no quotes.
	{`{"a":1,"b-c":1}`, `{"a":{"$ref":"b-c"}}`, true},
	{`{"a":1,"é":1}`, `{"a":{"$ref":"é"}}`, true},
}

func TestDifferences(t *testing.T) {
	for _, d := range differences {
		f, err := match.ParseFilter([]byte(d.filter))
		if err != nil {
			t.Errorf("%s: %v", d.filter, err)
			continue
		}
		if got := f.Match([]byte(d.payload)); got != d.match {
			t.Errorf("payload %s filter %s: %v", d.payload, d.filter, got)
		}
		if why := f.Explain([]byte(d.payload)); (why == "") != d.match {
			t.Errorf("payload %s filter %s: explained as %q", d.payload, d.filter, why)
		}
	}
}
