package match_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"switchhook/gateway/match"
)

func filter(t testing.TB, raw string) *match.Filter {
	t.Helper()
	f, err := match.ParseFilter([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFilterErrors(t *testing.T) {
	for raw, want := range map[string][]string{
		``:         {"not valid JSON: unexpected end of JSON input at byte 0"},
		`{"a":1,}`: {"not valid JSON: invalid character '}' looking for beginning of object key string at byte 8"},
		`{"$or":[{"a":1},{"amount":{"$gte":true}}],"b":{"$sarts":"x"}}`: {
			"$or[1].amount.$gte: $gte takes a number or a string, got true",
			`b.$sarts: unknown operator "$sarts" (operators are $or $and $not $ref $eq $neq $gt $gte $lt $lte $in $nin $startsWith $endsWith $exist)`,
		},
		`{"a":{"$exists":true},"b":{"$ne":1},"c":{"$startswith":"x"},"d":{"$nor":[]}}`: {
			`a.$exists: unknown operator "$exists" (did you mean "$exist"?)`,
			`b.$ne: unknown operator "$ne" (did you mean "$neq"?)`,
			`c.$startswith: unknown operator "$startswith" (did you mean "$startsWith"?)`,
			`d.$nor: unknown operator "$nor" (did you mean "$not"?)`,
		},
		`{"a":{"$exist":1},"b":{"$in":true},"c":{"$in":["x",null,{}]},"d":{"$startsWith":5},"e":{"$endsWith":["x",5]}}`: {
			"a.$exist: $exist takes true or false, got a number",
			"b.$in: $in takes a list, or a string to look for in the value, got true",
			`c.$in[1]: the list of $in takes strings and numbers, got null (write {"$or": [...]} for other values)`,
			`c.$in[2]: the list of $in takes strings and numbers, got an object (write {"$or": [...]} for other values)`,
			"d.$startsWith: $startsWith takes a string or a list of strings, got a number",
			"e.$endsWith[1]: the list of $endsWith takes strings, got a number",
		},
		`{"$or":{"a":1},"$and":[]}`:                       {"$or: expected a list of filters, got an object", "$and: $and needs at least one filter in its list"},
		`{"a":1,"a":2,"x y":{"$in":null}}`:                {"a: the key stands twice in one object", `["x y"].$in: $in takes a list, or a string to look for in the value, got null`},
		`[{"$gt":[]}]`:                                    {"[0].$gt: $gt takes a number or a string, got a list"},
		`{"a":{"$ref":5}}`:                                {"a.$ref: expected a path into the payload, got a number"},
		`{"a":{"$ref":""}}`:                               {`a.$ref: path "": it is empty at character 1 (a path is like order.total or items[$index].price)`},
		`{"a":{"$ref":"b..c"}}`:                           {`a.$ref: path "b..c": recursive descent (..) is not supported at character 2 (a path is like order.total or items[$index].price)`},
		`{"a":{"$ref":"b."}}`:                             {`a.$ref: path "b.": a name is missing at character 3 (a path is like order.total or items[$index].price)`},
		`{"a":{"$ref":"b c"}}`:                            {`a.$ref: path "b c": unexpected " " at character 2 (a name with other characters is written ['like this'])`},
		`{"a":{"$ref":"b[0"}}`:                            {`a.$ref: path "b[0": a ] is missing at character 2`},
		`{"a":{"$ref":"b['c]"}}`:                          {`a.$ref: path "b['c]": the name in brackets does not end at character 2 (it ends with '])`},
		`{"a":{"$ref":"b[?(@.x==1)]"}}`:                   {`a.$ref: path "b[?(@.x==1)]": [?(@.x==1)] is not supported at character 3 (in brackets stands a number, 'a name', * or $index)`},
		`{"a":{"$ref":"b[-1:]"}}`:                         {`a.$ref: path "b[-1:]": [-1:] is not supported at character 3 (in brackets stands a number, 'a name', * or $index)`},
		`{"a":{"$gt":{"$ref":"b[01]","x":1}}}`:            {`a.$gt.$ref: path "b[01]": [01] is not supported at character 3 (in brackets stands a number, 'a name', * or $index)`, "a.$gt.x: nothing may stand beside $ref in an operand"},
		strings.Repeat("[", 66) + strings.Repeat("]", 66): {strings.Repeat("[0]", 65) + ": nested deeper than 64 levels"},
	} {
		_, err := match.ParseFilter([]byte(raw))
		var mistakes match.FilterErrors
		if !errors.As(err, &mistakes) {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		var got []string
		for _, m := range mistakes {
			got = append(got, m.Error())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", raw, diff)
		}
		if err.Error() != "filter: "+strings.Join(want, "; ") {
			t.Errorf("%s: %s", raw, err)
		}
	}
}

func TestFilterWarnings(t *testing.T) {
	for raw, want := range map[string][]string{
		`{"a":1,"$or":[{"b":1},{"c":{"$gt":1}}],"$not":{"d":{"$or":[1,{"$gt":5},{"$not":3}]}}}`: nil,
		`{"a":{"$not":{"b":1}}}`:                 nil,
		`{"status":{"$not":{"$in":["closed"]}}}`: {"status.$not.$in: $and and $not on a field look at objects only"},
		`{"a":{"$and":[{"$gt":1},2]}}`:           {"a.$and[0].$gt: $and and $not on a field look at objects only", "a.$and[1]: $and and $not on a field look at objects only"},
		`{"$gt":1}`:                              {"$gt: an operator here is compared with the payload as a whole"},
		`{"$or":["a",{"b":1}]}`:                  {"$or[0]: compares a string with the payload as a whole"},
		`{"a":{"$or":[null,{"$ref":"b"}]}}`:      {"a.$or[0]: null never matches in the $or of a field", "a.$or[1].$ref: a $ref that does not stand directly on a field"},
	} {
		var got []string
		for _, w := range filter(t, raw).Warnings() {
			got = append(got, w.Path+": "+w.Message)
		}
		ok := len(got) == len(want)
		for i := range want {
			ok = ok && strings.HasPrefix(got[i], want[i])
		}
		if !ok {
			t.Errorf("%s: %q", raw, got)
		}
	}
}

func TestFilterExplain(t *testing.T) {
	const payload = `{"ref":"refs/heads/dev","n":5,"ok":true,"none":null,"user":{"login":"octocat","id":1},
		"tags":["a","b"],"items":[{"sku":"x","price":5,"stock":{"n":0}},{"sku":"y","price":7},3],"long":"` + "0123456789" + `","empty":[]}`
	for raw, want := range map[string]string{
		`{"ref":"refs/heads/dev"}`:                            "",
		`{"ref":"refs/heads/main"}`:                           `ref is "refs/heads/dev", expected "refs/heads/main"`,
		`{"ref":"x","n":6,"ok":false}`:                        `ref is "refs/heads/dev", expected "x"; n is 5, expected 6; ok is true, expected false`,
		`{"missing":1}`:                                       `missing is missing, expected 1`,
		`{"user":{"login":"acme","id":2}}`:                    `user.login is "octocat", expected "acme"; user.id is 1, expected 2`,
		`{"user":"octocat"}`:                                  `user is an object, expected "octocat"`,
		`{"n":{"login":"x"}}`:                                 `n is 5, expected an object with login`,
		`{"n":{"$gte":6}}`:                                    `n is 5, expected $gte: at least 6`,
		`{"n":{"$gt":1,"$lt":4}}`:                             `n is 5, expected $lt: less than 4`,
		`{"n":{"$in":[1,2]}}`:                                 `n is 5, expected $in: one of [1,2]`,
		`{"ref":{"$in":"main"}}`:                              `ref is "refs/heads/dev", expected $in: a string with "main"`,
		`{"ref":{"$startsWith":["refs/tags/"]}}`:              `ref is "refs/heads/dev", expected $startsWith: starting with ["refs/tags/"]`,
		`{"n":{"$exist":false}}`:                              `n is 5, expected it to be missing`,
		`{"m":{"$exist":true}}`:                               `m is missing, expected it to exist`,
		`{"n":{"$gt":{"$ref":"items[1].price"}}}`:             `n is 5, expected $gt: greater than items[1].price, which is 7`,
		`{"n":{"$ref":"nowhere"}}`:                            `n is 5, expected nowhere, which is missing`,
		`{"n":{"$ref":"items[$index].price"}}`:                `n is 5, expected items[$index].price, but no item is being matched`,
		`{"tags":"c"}`:                                        `no item of tags equals "c": ["a","b"]`,
		`{"tags":["a","c"]}`:                                  `no item of tags matches "c": ["a","b"]`,
		`{"n":["a"]}`:                                         `n is 5, expected a list with ["a"]`,
		`{"items":{"sku":"x","price":7}}`:                     `none of the 3 items of items matches, the nearest: items[0].price is 5, expected 7`,
		`{"items":{"stock":{"n":{"$gt":0}}}}`:                 `none of the 3 items of items matches, the nearest: items[0].stock.n is 0, expected $gt: greater than 0`,
		`{"empty":{"a":1}}`:                                   `empty has no items`,
		`{"$or":[{"n":1},{"ok":false}]}`:                      `none of $or matches: (1) n is 5, expected 1, (2) ok is true, expected false`,
		`{"$and":[{"n":5},{"n":{"$lt":2}}]}`:                  `n is 5, expected $lt: less than 2`,
		`{"$not":{"n":5}}`:                                    `the payload matches {"n":5}, which $not excludes`,
		`{"n":{"$or":[1,{"$gt":8}]}}`:                         `none of $or matches: (1) n is 5, expected 1, (2) n is 5, expected $gt: greater than 8`,
		`{"n":{"$not":3}}`:                                    `n is 5: $and and $not on a field look at objects only`,
		`{"$gt":1}`:                                           `the payload is an object as a whole, which no operator matches`,
		`{"long":"` + strings.Repeat("9876543210", 20) + `"}`: "long",
	} {
		got := filter(t, raw).Explain([]byte(payload))
		if want == "long" {
			if len([]rune(got)) > 100 || !strings.Contains(got, "…") {
				t.Errorf("not shortened: %s", got)
			}
			continue
		}
		if got != want {
			t.Errorf("%s:\n%s\nwant %s", raw, got, want)
		}
	}
	var many []string
	for i := range 20 {
		many = append(many, fmt.Sprintf(`"f%d":1`, i))
	}
	if got := filter(t, "{"+strings.Join(many, ",")+"}").Explain([]byte(payload)); !strings.HasSuffix(got, "f7 is missing, expected 1; and 12 more") {
		t.Error(got)
	}
}

func TestNilFilter(t *testing.T) {
	var f *match.Filter
	if !f.Match([]byte(`{}`)) || f.Explain([]byte(`{}`)) != "" {
		t.Error("a nil filter does not pass everything")
	}
}

// TestFilterReadsAsParsed holds what JSON.parse would make of unusual texts.
func TestFilterReadsAsParsed(t *testing.T) {
	for _, test := range []struct {
		payload, filter string
		want            bool
	}{
		{`{"a":1,"a":2}`, `{"a":2}`, true},
		{`{"a":1,"a":2}`, `{"a":1}`, false},
		{`{"x":{"a":1,"b":3,"a":2}}`, `{"x":{"a":2}}`, true},
		{`{"x":{"a":1,"b":3,"a":2}}`, `{"x":{"a":2,"b":3}}`, true},
		{`{"x":{"a":1,"b":3,"a":2}}`, `{"x":{"a":1,"b":3}}`, false},
		{` {"\u0061" : "\u00e9\n" } `, `{"a":"é\n"}`, true},
		{`{"a.b":1}`, `{"a.b":1}`, true},
		{`{"a*":1,"#":2,"@this":3}`, `{"a*":1,"#":2,"@this":3}`, true},
		{`{"":1}`, `{"":1}`, true},
		{`{"a":[ 1 , [ 2 , {"b" : [ 3 ]} ] ]}`, `{"a":{"b":3}}`, true},
	} {
		if got := filter(t, test.filter).Match([]byte(test.payload)); got != test.want {
			t.Errorf("%s on %s: %v", test.filter, test.payload, got)
		}
	}
}

// TestFilterWorkIsBounded gives filters payloads that would take hours if
// parts of a payload were compared with one another without limit.
func TestFilterWorkIsBounded(t *testing.T) {
	ids := strings.TrimSuffix(strings.Repeat("1,", 100_000), ",")
	items := strings.TrimSuffix(strings.Repeat(`{"id":3,"name":"x"},`, 30_000), ",")
	for name, test := range map[string]struct{ payload, filter string }{
		"in":       {`{"items":[` + items + `],"b":[` + ids + `]}`, `{"items":{"id":{"$in":{"$ref":"b"}}}}`},
		"in turns": {`{"items":[` + items + `],"b":[` + ids + `],"c":[` + ids + `]}`, `{"items":{"id":{"$nin":{"$ref":"b"}},"x":{"$nin":{"$ref":"c"}}}}`},
		"prefixes": {`{"items":[` + items + `],"b":[` + ids + `]}`, `{"items":{"name":{"$startsWith":{"$ref":"b"}}}}`},
		"any":      {`{"items":[` + items + `],"b":[` + ids + `]}`, `{"items":{"id":{"$ref":"b[*]"}}}`},
		"lists":    {`{"a":[` + strings.ReplaceAll(ids, "1", "2") + `],"b":[` + ids + `]}`, `{"x":{"$exist":false},"a":[{"$ref":"b"}]}`},
		"objects":  {`{"a":[` + items + `],"b":[` + strings.ReplaceAll(items, "3", "4") + `]}`, `{"a":{"$ref":"b"}}`},
		"opposite": {`{"a":[` + items + `],"b":[` + strings.ReplaceAll(items, "3", "4") + `]}`, `{"$not":{"a":{"$ref":"b"}}}`},
		"nesting":  {`{"a":` + strings.Repeat("[", 300_000) + strings.Repeat("]", 300_000) + `}`, `{"a":1}`},
		"equal":    {`{"a":` + strings.Repeat("[", 300_000) + strings.Repeat("]", 300_000) + `}`, `{"a":{"$eq":[[]]}}`},
	} {
		f := filter(t, test.filter)
		if f.Match([]byte(test.payload)) {
			t.Errorf("%s: matches", name)
		}
		if f.Explain([]byte(test.payload)) == "" {
			t.Errorf("%s: not explained", name)
		}
	}
	// What is linear in the payload stays within the bound, whatever its size.
	var many []string
	for i := range 50_000 {
		many = append(many, fmt.Sprintf(`{"id":%d,"was":%d,"name":"item number %d"}`, i, i+i/49_999-1, i))
	}
	payload := []byte(`{"items":[` + strings.Join(many, ",") + `]}`)
	if f := filter(t, `{"items":{"id":{"$ref":"items[$index].was"}}}`); !f.Match(payload) {
		t.Error(f.Explain(payload))
	}
}

func FuzzFilter(f *testing.F) {
	for _, d := range differences {
		f.Add([]byte(d.filter), []byte(d.payload))
	}
	f.Add([]byte(`{"$or":[{"a":{"$in":["x",1]}},{"b":[{"$ref":"c['d'][$index].*"}]}],"e":{"$exist":false,"$startsWith":["y"]}}`), []byte(`{"a":"x","b":[1],"c":{"d":[[2]]}}`))
	f.Fuzz(func(t *testing.T, raw, payload []byte) {
		parsed, err := match.ParseFilter(raw)
		if err != nil {
			var mistakes match.FilterErrors
			if !errors.As(err, &mistakes) || len(mistakes) == 0 {
				t.Fatalf("%q: %#v", raw, err)
			}
			return
		}
		if !json.Valid(payload) {
			return
		}
		got := parsed.Match(payload)
		if (parsed.Explain(payload) == "") != got {
			t.Fatalf("%s on %s: %v, explained as %q", raw, payload, got, parsed.Explain(payload))
		}
		// The negation of a filter on the whole payload is its opposite.
		if not, err := match.ParseFilter([]byte(`{"$not":` + string(raw) + `}`)); err == nil && len(payload) < 1000 && not.Match(payload) == got {
			t.Fatalf("%s on %s: so is its opposite", raw, payload)
		}
	})
}

func BenchmarkFilter(b *testing.B) {
	payload := pushPayload()
	for _, raw := range []string{
		`{"ref":"refs/heads/main"}`, `{"repository":{"full_name":{"$startsWith":"octocat/"},"private":false},"ref":{"$in":["refs/heads/main","x"]}}`, `{"commits":{"author":{"username":"octocat"}}}`,
	} {
		f := filter(b, raw)
		b.Run(raw, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !f.Match(payload) {
					b.Fatal("no match")
				}
			}
		})
	}
}

// pushPayload is about 7 KB with the mix of strings and numbers of a real one.
func pushPayload() []byte {
	var b strings.Builder
	b.WriteString(`{"ref":"refs/heads/main","before":"6113728f27ae82c7b1a177c8d03f9e96e0adf246","commits":[`)
	for i := range 16 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"%040x","message":"Update README.md\n\nsecond line of commit %d","timestamp":"2026-01-02T03:04:05Z","url":"https://github.com/octocat/Hello-World/commit/%040x",`+
			`"author":{"name":"The Octocat","email":"octocat@example.com","username":"octocat"},"added":[],"removed":["old.txt"],"modified":["README.md","docs/index.md"],"distinct":true}`, i*77777, i, i*77777)
	}
	b.WriteString(`],"repository":{"id":186853002,"full_name":"octocat/Hello-World","private":false}}`)
	return []byte(b.String())
}

// Strings with escapes that lie on the way are unescaped by gjson, at the price of
// two allocations each; nothing else allocates.
func TestFilterAllocations(t *testing.T) {
	if underRace {
		t.Skip("evaluations come from a sync.Pool, which forgets under the race detector")
	}
	for raw, limit := range map[string]float64{
		`{"repository":{"full_name":{"$startsWith":"octocat/"},"private":false},"$not":{"ref":{"$in":["x"]}}}`: 0,
		`{"commits":{"author":{"username":"octocat"}}}`:                                                        2,
	} {
		f := filter(t, raw)
		payload := pushPayload()
		if n := testing.AllocsPerRun(200, func() { f.Match(payload) }); n > limit {
			t.Errorf("%s: %v allocations", raw, n)
		}
	}
}
