package template_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"switchhook/gateway/body"
	"switchhook/gateway/hook"
	"switchhook/gateway/verify/template"
	"switchhook/spec/document"
)

const all = ^template.Kind(0)

func node(t testing.TB, text string) *document.Node {
	t.Helper()
	doc, list := document.Parse("spec.yml", []byte("- |-\n  "+strings.ReplaceAll(text, "\n", "\n  ")))
	if list.HasErrors() {
		t.Skip()
	}
	return doc.Root.Items()[0]
}

func source(contentType, content string) *template.Source {
	req := &hook.Request{
		Method: "POST", URL: "https://gw.example/a/b?x.y=1%262&z=3&z=4&bad=%zz&p=a%2Bb+c", Path: "/a/b", Query: "x.y=1%262&z=3&z=4&bad=%zz&p=a%2Bb+c",
		Headers: hook.Headers{{Name: "Content-Type", Value: contentType}, {Name: "X-One", Value: "1"}, {Name: "X-Two", Value: "a"}, {Name: "x-two", Value: "b"}, {Name: "X-Empty", Value: ""}},
		Body:    []byte(content),
	}
	return &template.Source{
		Request: req, Parsed: func() *body.Parsed { return body.Parse(contentType, req.Body) },
		Parameters: []byte(`{"secret": "s3cret", "nested": {"n": 5}, "on": true, "twice": 1, "twice": 2}`),
		State:      map[string]string{"kept": "k"}, Timestamp: "17", Secret: "sec", Item: gjson.Parse(`{"a": "item"}`),
	}
}

const document1 = `{"s": "text", "n": 1.50, "big": 9007199254740993, "t": true, "f": false, "nil": null, "m": {"k": "v", "odd.key": "o", "1": "one"}, "l": ["zero", {"x": "y"}], "dup": 1, "dup": 2, "": "empty", "ä": "ü"}`

func TestText(t *testing.T) {
	tests := []struct{ template, want, problem string }{
		{"plain", "plain", ""},
		{"", "", ""},
		{"{{}} {{{body.s}}}", "{} {text}", ""},
		{"v0:{timestamp}:{secret}", "v0:17:sec", ""},
		{"{header.x-one}|{header.X-Empty}", "1|", ""},
		{"{header.x-none?}|{query.none?}|{body.none?}|{item.none?}|{parameters.none?}|{state.none?}", "|||||", ""},
		{"{header.x-none}", "", "header x-none is missing"},
		{"{header.x-two}", "", "header x-two stands there twice"},
		{"{header.x-two?}", "", "header x-two stands there twice"},
		{"{query.x.y}|{query.p}", "1&2|a+b c", ""},
		{"{query.z}", "", "query parameter z stands there twice"},
		{"{query.bad}", "", "query parameter bad is not encoded as one"},
		{"{query.none}", "", "query parameter none is missing"},
		{"{body.s} {body.n} {body.big} {body.t} {body.f}", "text 1.50 9007199254740993 true false", ""},
		{`{body.m.k} {body.m["odd.key"]} {body["m"].k} {body.l[0]} {body.l[1].x} {body.ä} {body.m.1}`, "v o v zero y ü one", ""},
		{"{body.nil}", "", "body.nil is missing"},
		{"{body.nil?}", "", ""},
		{"{body.m}", "", "body.m is a map, not a string"},
		{"{body.l}", "", "body.l is a list, not a string"},
		{"{body.l[2]}", "", "body.l[2] is missing"},
		{"{body.l.x}", "", "body.l.x is missing"},
		{"{body.s.x}", "", "body.s.x is missing"},
		{"{body.m[0]}", "", "body.m[0] is missing"},
		{"{body.dup}", "", `the key "dup" stands twice in the body`},
		{"{body.dup?}", "", `the key "dup" stands twice in the body`},
		{"{item.a}", "item", ""},
		{"{item}", "", "item is a map, not a string"},
		{"{parameters.secret} {parameters.nested.n} {parameters.on}", "s3cret 5 true", ""},
		{"{parameters.twice}", "", `the key "twice" stands twice in the parameters`},
		{"{state.kept}", "k", ""},
		{"{state.none}", "", "state.none is not remembered yet"},
		{"{method} {path} {query}", "POST /a/b x.y=1%262&z=3&z=4&bad=%zz&p=a%2Bb+c", ""},
		{"{url}", "https://gw.example/a/b?x.y=1%262&z=3&z=4&bad=%zz&p=a%2Bb+c", ""},
		{"{sortedForm}", "", "the body is not a form"},
		{"{body}", document1, ""},
	}
	for _, test := range tests {
		s := source("application/json", document1)
		p, list := template.Parse(node(t, test.template), all)
		if list.HasErrors() {
			t.Errorf("Parse of %q: %v", test.template, list)
			continue
		}
		if p.String() != test.template {
			t.Errorf("String = %q, want %q", p.String(), test.template)
		}
		got, err := p.Text(s)
		switch {
		case test.problem == "" && err != nil, test.problem != "" && (err == nil || err.Error() != test.problem):
			t.Errorf("%q: error %v, want %q", test.template, err, test.problem)
		case got != test.want:
			t.Errorf("%q = %q, want %q", test.template, got, test.want)
		}
	}
}

func TestWords(t *testing.T) {
	text := func(s *template.Source, word string) string {
		got, err := template.Must("{"+word+"}", all).Text(s)
		if err != nil {
			return "error: " + err.Error()
		}
		return got
	}
	form := source("application/x-www-form-urlencoded; charset=utf-8", "b=2&a=1&b=1&b=2&c=%2B+&=x")
	for word, want := range map[string]string{
		"sortedForm": "xa1b1b2c+ ",
		"body":       "b=2&a=1&b=1&b=2&c=%2B+&=x",
		"body.a":     "1",
		"body.b[1]":  "1",
	} {
		if got := text(form, word); got != want {
			t.Errorf("%s = %q, want %q", word, got, want)
		}
	}
	empty := source("", "")
	for word, want := range map[string]string{
		"sortedForm": "",
		"bodySHA256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"bodyCRC32":  "0",
		"body.a":     "error: the body has no fields: it is empty, or neither JSON nor a form",
	} {
		if got := text(empty, word); got != want {
			t.Errorf("%s = %q, want %q", word, got, want)
		}
	}
	// The check value of CRC-32.
	if got := text(source("text/plain", "123456789"), "bodyCRC32"); got != "3421780262" {
		t.Errorf("bodyCRC32 = %s", got)
	}
	if got := text(source("application/x-www-form-urlencoded", "a=%zz"), "sortedForm"); !strings.HasPrefix(got, "error: the body is not a well-formed form") {
		t.Errorf("sortedForm = %q", got)
	}
	if got := text(source("text/plain; charset=UTF-8", `{"a": "text that is JSON"}`), "body.a"); got != "text that is JSON" {
		t.Errorf("body.a of text = %q", got)
	}
	s := source("", "")
	s.Request.URL = "https://gw.example/a%3Ab%2Fc%2fd%3F%40%21%24%27%28%29%2A%2C%3B%20%25%41%26%"
	if got, want := text(s, "decodedUrl"), "https://gw.example/a:b/c/d?@!$'()*,;%20%25%41%26%"; got != want {
		t.Errorf("decodedUrl = %q, want %q", got, want)
	}
	s.URL = "https://gw.example:443/a"
	if got := text(s, "url"); got != s.URL {
		t.Errorf("url = %q", got)
	}
}

// The hash of the canonical request of
// https://developer.atlassian.com/cloud/bitbucket/query-string-hash/
func TestQueryHash(t *testing.T) {
	hash := func(method, path, query string) string {
		s := source("", "")
		s.Request.Method, s.Request.Path, s.Request.Query = method, path, query
		got, err := template.Must("{qsh}", all).Text(s)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	// sha256 of "GET&/&", the fixed example of many clients.
	if got, want := hash("get", "/", ""), "c88caad15a1c1a900b8ac08aa9686f4e8184539bea1deda36e2f649430df3239"; got != want {
		t.Errorf("qsh = %s, want %s", got, want)
	}
	want := hash("POST", "/a%26b", "a=x%20y,z&b=~&c=%2A")
	for _, same := range []string{"c=*&b=~&a=z&a=x+y", "a=x%20y&jwt=ignored&a=z&b=%7E&c=%2a"} {
		if got := hash("post", "/a&b/", same); got == want {
			t.Errorf("%s: a list's comma is not encoded, that of a value is", same)
		}
		if hash("post", "/a&b/", same) != hash("POST", "/a&b", "a=z&a=x%20y&b=~&c=%2A") {
			t.Errorf("%s differs", same)
		}
	}
}

func TestWalk(t *testing.T) {
	tests := []struct{ path, body, want, problem string }{
		{"[*]", `["a", "b"]`, `0:"a" 1:"b"`, ""},
		{"a[*].b", `{"a": [{"b": 1}, {"b": {"c": 2}}]}`, `0:1 1:{"c": 2}`, ""},
		{"a[*].b[*]", `{"a": [{"b": [1, 2]}, {"b": [3]}]}`, `0.0:1 0.1:2 1.0:3`, ""},
		{"a[*].b[*]", `{"a": [{"b": [1, 2]}, {"b": []}]}`, ``, "a list in the body at a[*].b[*] is empty"},
		{"a[*].b", `{"a": [{"b": 1}, {}]}`, ``, "the body has nothing at a[*].b, or an item of it has not"},
		{"a[*].b", `{"a": []}`, ``, "a list in the body at a[*].b is empty"},
		{"a[*].b", `{"a": {}}`, ``, "the body has no list at a[*].b"},
		{"a[*].b", `{}`, ``, "the body has nothing at a[*].b, or an item of it has not"},
		{"a[*].b", `{"a": [{"b": 1, "b": 2}]}`, ``, `the key "a.*.b" stands twice in the body`},
		{"a[*]", `{"a": [` + strings.Repeat("1,", 10000) + `1]}`, ``, "the body has more than 10000 items at a[*]"},
	}
	for _, test := range tests {
		path, list := template.ParseEach(node(t, test.path))
		if list.HasErrors() {
			t.Fatal(list)
		}
		var got []string
		err := path.Walk(source("application/json", test.body), func(item gjson.Result, at []int) error {
			if test.problem == "" {
				if again := gjson.Get(test.body, path.Syntax(at...)); again.Raw != item.Raw {
					t.Errorf("Syntax(%v) = %s leads to %s, want %s", at, path.Syntax(at...), again.Raw, item.Raw)
				}
			}
			place := ""
			for i, n := range at {
				if i > 0 {
					place += "."
				}
				place += string(rune('0' + n%10))
			}
			got = append(got, place+":"+item.Raw)
			return nil
		})
		if test.problem != "" {
			if err == nil || err.Error() != test.problem {
				t.Errorf("%s of %.60s: %v, want %s", test.path, test.body, err, test.problem)
			}
		} else if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" || err != nil {
			t.Errorf("%s of %s: %v\n%s", test.path, test.body, err, diff)
		}
	}
}

func TestSteps(t *testing.T) {
	for path, want := range map[string][]string{
		"":                         nil,
		"a..b":                     nil,
		"$or[1].amount.$gte":       {"$or", "1", "amount", "$gte"},
		`a["odd.key"][2]`:          {"a", "odd.key", "2"},
		`["X-Hook-Secret"].$exist`: {"X-Hook-Secret", "$exist"},
	} {
		if diff := cmp.Diff(want, template.Steps(path)); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}

func TestSlip(t *testing.T) {
	for text, want := range map[string]string{
		"parameter.secret": `did you mean "parameters.secret"?`, "Parameters.secret": `did you mean "parameters.secret"?`, "sate.x": `did you mean "state.x"?`,
		"parameters.secret": "", "accounts.google.com": "", "https://parameter.com/": "", "plain": "", "a@parameter.com": "", "parameter.": "",
	} {
		if got := template.Slip(text); got != want {
			t.Errorf("Slip(%q) = %q, want %q", text, got, want)
		}
	}
}

// Parse never panics, points into the text, and what it takes is what was written.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"{timestamp}.{body}", `{body["a.b"][0].c?}`, "{{{header.X}}}", "{", "}", "{body.}", "{qurey.x}", `{body["}"]}`, "{item}", "a\n{b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n := node(t, text)
		p, list := template.Parse(n, all)
		if (p == nil) != list.HasErrors() {
			t.Fatalf("%v with %v", p, list)
		}
		for _, d := range list {
			if d.Line < 1 || d.Column < 1 || d.EndLine < d.Line || d.EndLine == d.Line && d.EndColumn < d.Column {
				t.Fatalf("a place that is none: %+v", d)
			}
		}
		if p == nil {
			return
		}
		if p.String() != n.Value {
			t.Fatalf("String = %q, want %q", p.String(), n.Value)
		}
		_, _ = p.Text(source("application/json", document1))
		if !strings.ContainsAny(text, "{}") {
			if got, err := p.Text(source("", "")); got != n.Value || err != nil {
				t.Fatalf("Text = %q, %v, want %q", got, err, n.Value)
			}
		}
	})
}
