package body_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/textproto"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"switchhook/gateway/body"
)

// got is what a test looks at; JSON as text.
type got struct {
	Kind      body.Kind
	Value     string
	Raw       bool
	Note      string
	OverLimit bool
}

func parse(contentType, raw string) got {
	p := body.Parse(contentType, []byte(raw))
	return got{p.Kind, string(p.JSON) + p.Text, p.Raw, p.Note, p.OverLimit}
}

func TestParse(t *testing.T) {
	const bom = "\xEF\xBB\xBF"
	tests := []struct {
		name, contentType, raw string
		want                   got
	}{
		{"empty", "application/json", "", got{}},
		{"empty without a type", "", "", got{}},
		{"json", "application/json", `{"a":1}`, got{Kind: body.JSON, Value: `{"a":1}`, Raw: true}},
		{"json with a charset", "Application/JSON; charset=utf-8", ` {"a":1}` + "\r\n", got{Kind: body.JSON, Value: `{"a":1}`, Raw: true}},
		{"json suffix", "application/cloudevents+json", `[1]`, got{Kind: body.JSON, Value: `[1]`, Raw: true}},
		{"text/json", "text/json", `"x"`, got{Kind: body.JSON, Value: `"x"`, Raw: true}},
		{"json literal", "application/json", `null`, got{Kind: body.JSON, Value: `null`, Raw: true}},
		{"json with a bad parameter", "application/json; charset", `{}`, got{Kind: body.JSON, Value: `{}`, Raw: true}},
		{"json with a byte order mark", "application/json", bom + `{}`, got{Kind: body.JSON, Value: `{}`, Raw: true, Note: "a byte order mark in front was passed over"}},
		{"json with bytes that are not UTF-8", "application/json", "\"a\xFF\"", got{Kind: body.JSON, Value: "\"a\xFF\"", Raw: true, Note: "strings in the JSON contain bytes that are not UTF-8"}},
		{"json in latin-1", "application/json; charset=iso-8859-1", "\"caf\xE9\"", got{Kind: body.JSON, Value: `"café"`, Note: "decoded from another charset than UTF-8"}},
		{"json in UTF-8 that claims to be latin-1", "application/json; charset=iso-8859-1", `"café"`, got{Kind: body.JSON, Value: `"café"`, Raw: true}},
		{"json in UTF-16", "application/json; charset=utf-16le", "\"\x00\xE9\x00\"\x00", got{Kind: body.JSON, Value: `"é"`, Note: "decoded from another charset than UTF-8"}},
		{"json in UTF-16 by its mark", "application/json", "\xFE\xFF\x00\"\x00\xE9\x00\"", got{Kind: body.JSON, Value: `"é"`, Note: "decoded from another charset than UTF-8"}},
		{"json in an unknown charset", "application/json; charset=klingon", "\"\xE9\"", got{Kind: body.JSON, Value: "\"\xE9\"", Raw: true, Note: `unknown charset "klingon", read as UTF-8`}},
		{"not json", "application/json", `{"a":}`, got{Note: "body is not valid JSON: expected a value, got '}' at byte 5"}},
		{"not json behind a mark", "application/json", bom + `{"a":}`, got{Note: "body is not valid JSON: expected a value, got '}' at byte 8"}},
		{"only space", "application/json", " \n", got{Note: "body is not valid JSON: it ends where a value is expected at byte 2"}},
		{"no type, json", "", ` [1] `, got{Kind: body.JSON, Value: `[1]`, Raw: true}},
		{"no type, text", "", `hello`, got{Kind: body.Text, Value: `hello`}},
		{"no type, a number is text", "", `12`, got{Kind: body.Text, Value: `12`}},
		{"no type, broken json is text", "", `{"a":`, got{Kind: body.Text, Value: `{"a":`}},
		{"no type, bytes", "", "\x00\xFF", got{Note: "the Content-Type says nothing and the body is neither JSON nor text in UTF-8"}},
		{"octet-stream, json", "application/octet-stream", `{"a":1}`, got{Kind: body.JSON, Value: `{"a":1}`, Raw: true}},
		{"text stays text", "text/plain; charset=UTF-8", `{"Type":"Notification"}`, got{Kind: body.Text, Value: `{"Type":"Notification"}`}},
		{"text in latin-1", "text/plain; charset=latin1", "caf\xE9", got{Kind: body.Text, Value: "café"}},
		{"text in shift_jis", "text/plain; charset=Shift_JIS", "\x93\xFA\x96\x7B", got{Kind: body.Text, Value: "日本"}},
		{"text that is not UTF-8", "text/plain", "a\xFFb", got{Kind: body.Text, Value: "a\uFFFDb", Note: "bytes that are not UTF-8 were replaced by U+FFFD"}},
		{"text with a mark", "text/plain", bom + "a", got{Kind: body.Text, Value: "a"}},
		{"xml", "application/xml", `<a/>`, got{Kind: body.Text, Value: `<a/>`}},
		{"soap", "application/soap+xml; charset=utf-8", `<a/>`, got{Kind: body.Text, Value: `<a/>`}},
		{"xml that declares its encoding", "text/xml", "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xE9</a>", got{Kind: body.Text, Value: `<?xml version="1.0" encoding="ISO-8859-1"?><a>é</a>`}},
		{"an image", "image/png", "\x89PNG", got{Note: "the body is image/png, which is not text; its bytes are in rawBytes"}},
		{"something else that is text", "application/graphql", "{ me }", got{Kind: body.Text, Value: "{ me }"}},
		{"form", "application/x-www-form-urlencoded", "a=1&b=x+y%21", got{Kind: body.JSON, Value: `{"a":"1","b":"x y!"}`}},
		{"form in latin-1", "application/x-www-form-urlencoded; charset=iso-8859-1", "n=caf%E9", got{Kind: body.JSON, Value: `{"n":"café"}`}},
		{"json sent as a form", "application/x-www-form-urlencoded", `{"a":1}`, got{Kind: body.JSON, Value: `{"{\"a\":1}":""}`, Note: "the body looks like JSON, but its Content-Type says that it is a form"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, parse(test.contentType, test.raw)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseKeepsTheBytes(t *testing.T) {
	raw := []byte("\n  {\"a\": 12345678901234567890}  ")
	p := body.Parse("application/json", raw)
	if p.Offset != 3 || &p.JSON[0] != &raw[3] || string(p.JSON) != `{"a": 12345678901234567890}` {
		t.Errorf("offset %d, %s", p.Offset, p.JSON)
	}
	if cap(p.JSON) != len(p.JSON) {
		t.Error("an append to JSON would write into the body")
	}
}

func TestMistakes(t *testing.T) {
	for raw, want := range map[string]string{
		`[1,]`:               "expected a value, got ']' at byte 3",
		`[1 2]`:              "expected , or ], got '2' at byte 3",
		`{"a" 1}`:            "expected a colon, got '1' at byte 5",
		`{a:1}`:              "expected a key in double quotes, got 'a' at byte 1",
		`{"a":1,}`:           "expected a key in double quotes, got '}' at byte 7",
		`{"a":1]`:            "expected , or }, got ']' at byte 6",
		`{"a":1`:             "it ends where , or } is expected at byte 6",
		`"abc`:               "it ends inside a string at byte 4",
		`"abcdefghij\q"`:     `unknown escape \q at byte 12`,
		`"\u12x4"`:           `\u must be followed by four hexadecimal digits at byte 5`,
		"\"a\nb\"":           "a control character (U+000A) inside a string at byte 2",
		`01`:                 "there is more after the value: '1' at byte 1",
		`-`:                  "it ends where a digit is expected at byte 1",
		`1.e3`:               "expected a digit, got 'e' at byte 2",
		`1e+`:                "it ends where a digit is expected at byte 3",
		`nul`:                "expected a value, got 'n' at byte 0",
		`NaN`:                "expected a value, got 'N' at byte 0",
		`{} {}`:              "there is more after the value: '{' at byte 3",
		"\xFF":               "expected a value, got the byte 0xFF at byte 0",
		`'a'`:                `expected a value, got '\'' at byte 0`,
		"[\u00A01]":          `expected a value, got '\u00a0' at byte 1`,
		`{"a":{"b":[1,{}}}}`: "expected , or ], got '}' at byte 15",
	} {
		if p := body.Parse("application/json", []byte(raw)); p.Kind != body.None || p.Note != "body is not valid JSON: "+want {
			t.Errorf("%q: %q, want %q", raw, p.Note, want)
		}
	}
}

// TestEveryByte puts every byte at every place of a string of two words, since
// strings are looked at eight bytes at once.
func TestEveryByte(t *testing.T) {
	for at := 1; at < 18; at++ {
		for c := range 256 {
			raw := []byte(`"abcdefghijklmnopq"`)
			raw[at] = byte(c)
			if p := body.Parse("application/json", raw); (p.Kind == body.JSON) != json.Valid(raw) {
				t.Errorf("%q: %s", raw, p.Note)
			}
			if p := body.Parse("application/json", raw); c >= 0x80 && p.Note == "" {
				t.Errorf("%q: not noticed that it is not UTF-8", raw)
			}
		}
	}
}

func TestDepth(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	if p := parse("application/json", nested(body.MaxDepth)); p.Kind != body.JSON || p.OverLimit {
		t.Errorf("%d levels: %+v", body.MaxDepth, p)
	}
	mixed := strings.Repeat(`[{"a":`, body.MaxDepth/2)
	for _, raw := range []string{nested(body.MaxDepth + 1), strings.Repeat("[", 3_000_000), mixed + "[1]", strings.Repeat(`{"a":`, 101)} {
		p := parse("application/json", raw)
		if p.Kind != body.None || !p.OverLimit || !strings.HasPrefix(p.Note, "the JSON was not parsed: nested deeper than 100 levels at byte ") {
			t.Errorf("%.20s: %+v", raw, p)
		}
	}
	if p := parse("", nested(101)); !p.OverLimit {
		t.Errorf("without a Content-Type: %+v", p)
	}
	// Siblings do not add up.
	if p := parse("application/json", "["+strings.Repeat("[],", 1000)+"{}]"); p.Kind != body.JSON {
		t.Errorf("siblings: %+v", p)
	}
}

func TestForms(t *testing.T) {
	for raw, want := range map[string]string{
		"":                            `{}`,
		"&&":                          `{}`,
		"a":                           `{"a":""}`,
		"a=":                          `{"a":""}`,
		"=1":                          `{"":"1"}`,
		"a=1=2":                       `{"a":"1=2"}`,
		"b=1&a=2&b=3":                 `{"b":["1","3"],"a":"2"}`,
		"a[b]=1":                      `{"a":{"b":"1"}}`,
		"a%5Bb%5D=1":                  `{"a":{"b":"1"}}`,
		"a[b]=1&a[b]=2":               `{"a":{"b":["1","2"]}}`,
		"a[]=1":                       `{"a":["1"]}`,
		"a[]=1&a[]=2":                 `{"a":["1","2"]}`,
		"a[0][x]=1&a[0][y]=2":         `{"a":[{"x":"1","y":"2"}]}`,
		"a[1]=y&a[0]=x":               `{"a":["x","y"]}`,
		"a[3]=x&a[7]=y":               `{"a":["x","y"]}`,
		"a[20]=x":                     `{"a":["x"]}`,
		"a[21]=x":                     `{"a":{"21":"x"}}`,
		"a[1234]=x&a[0]=y":            `{"a":{"1234":"x","0":"y"}}`,
		"a[01]=x":                     `{"a":{"01":"x"}}`,
		"a[0]=x&a[b]=y":               `{"a":{"0":"x","b":"y"}}`,
		"a[][x]=1&a[][x]=2":           `{"a":[{"x":"1"},{"x":"2"}]}`,
		"a[5]=x&a[]=y":                `{"a":["x","y"]}`,
		"a=1&a[b]=2":                  `{"a":["1",{"b":"2"}]}`,
		"a[]=2&a=1":                   `{"a":["1","2"]}`,
		"a[b][c][d]=1":                `{"a":{"b":{"c":{"d":"1"}}}}`,
		"a[b=1":                       `{"a[b":"1"}`,
		"a[b]c=1":                     `{"a[b]c":"1"}`,
		"a[b]c]=1":                    `{"a[b]c]":"1"}`,
		"a]b[=1":                      `{"a]b[":"1"}`,
		"[a]=1":                       `{"[a]":"1"}`,
		"a[[b]]=1":                    `{"a[[b]]":"1"}`,
		"__proto__[x]=1":              `{"__proto__":{"x":"1"}}`,
		"constructor=1":               `{"constructor":"1"}`,
		"a=%":                         `{"a":"%"}`,
		"a=%4":                        `{"a":"%4"}`,
		"a=%zz%41":                    `{"a":"%zzA"}`,
		"a=%FF":                       "{\"a\":\"\uFFFD\"}",
		"a=%00%22%5C%0A":              `{"a":"\u0000\"\\\n"}`,
		"caf%C3%A9=+%2B":              `{"café":" +"}`,
		"a;b=1":                       `{"a;b":"1"}`,
		"x.y=1":                       `{"x.y":"1"}`,
		"a[x][]=1&a[x][]=2&a[y][0]=3": `{"a":{"x":["1","2"],"y":["3"]}}`,
	} {
		if q := string(body.Query(raw)); q != want {
			t.Errorf("%s: %s, want %s", raw, q, want)
		}
		if raw == "" {
			continue
		}
		if p := parse("application/x-www-form-urlencoded", raw); p.Kind != body.JSON || p.Value != want {
			t.Errorf("form %s: %+v", raw, p)
		}
	}
	// Many indexes that leave no gaps are a list however many there are.
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, "items[%d]=%d&", i, i)
	}
	var v struct{ Items []string }
	if err := json.Unmarshal(body.Query(b.String()), &v); err != nil || len(v.Items) != 100 || v.Items[99] != "99" {
		t.Error(err, len(v.Items))
	}
}

func TestJSONLimits(t *testing.T) {
	items := func(item string, n int) string { return "[" + strings.Repeat(item+",", n-1) + item + "]" }
	for _, raw := range []string{items("{}", body.MaxContainers-1), items("1", body.MaxValues)} {
		if p := parse("application/json", raw); p.Kind != body.JSON {
			t.Error(p.Note)
		}
	}
	for raw, want := range map[string]string{
		items("{}", body.MaxContainers):  "the JSON was not parsed: more than 200000 objects and arrays at byte ",
		items("1", body.MaxValues+2):     "the JSON was not parsed: more than 1000000 values at byte ",
		items("\"a\"", body.MaxValues+2): "the JSON was not parsed: more than 1000000 values at byte ",
	} {
		if p := parse("application/json", raw); p.Kind != body.None || !p.OverLimit || !strings.HasPrefix(p.Note, want) {
			t.Errorf("%d %v %q", p.Kind, p.OverLimit, p.Note)
		}
	}
	if p := parse("application/json", `["`+strings.Repeat(`{,[`, body.MaxValues)+`"]`); p.Kind != body.JSON {
		t.Error("what stands in strings counts: " + p.Note)
	}
}

func TestFormLimits(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	if p := parse(form, strings.Repeat("a=1&", body.MaxFormKeys)); p.Kind != body.JSON {
		t.Error(p.Note)
	}
	many := strings.Repeat("a=1&", body.MaxFormKeys+1)
	if p := parse(form, many); p.Kind != body.None || !p.OverLimit || p.Note != "the form was not parsed: it has more than 10000 fields" {
		t.Errorf("%+v", p)
	}
	if q := string(body.Query(many)); q != "{}" {
		t.Errorf("%.80s", q)
	}
	if p := parse(form, "a"+strings.Repeat("[b]", body.MaxFormDepth)+"=1"); p.Kind != body.JSON {
		t.Error(p.Note)
	}
	if p := parse(form, "a"+strings.Repeat("[b]", body.MaxFormDepth+1)+"=1"); p.Kind != body.None || !p.OverLimit || p.Note != "the form was not parsed: a key has more than 20 brackets" {
		t.Errorf("%+v", p)
	}
}

func TestMultipart(t *testing.T) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	_ = w.WriteField("payload", `{"a":1}`)
	_ = w.WriteField("tags[]", "x")
	_ = w.WriteField("tags[]", "y")
	part, _ := w.CreateFormFile("photo", "../a b.png")
	_, _ = part.Write([]byte("\x89PNG"))
	part, _ = w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="empty"; filename=""`}})
	_, _ = part.Write(nil)
	part, _ = w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="city"`}, "Content-Type": {"text/plain; charset=iso-8859-1"}})
	_, _ = part.Write([]byte("K\xF6ln"))
	part, _ = w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`attachment`}})
	_, _ = part.Write([]byte("lost"))
	_ = w.Close()
	want := got{
		Kind: body.JSON,
		Value: `{"payload":"{\"a\":1}","tags":["x","y"],` +
			`"photo":{"filename":"a b.png","contentType":"application/octet-stream","size":4,"base64":"` + base64.StdEncoding.EncodeToString([]byte("\x89PNG")) + `"},` +
			`"empty":{"filename":"","contentType":"application/octet-stream","size":0,"base64":""},"city":"Köln"}`,
		Note: "1 part without a name was left out",
	}
	if diff := cmp.Diff(want, parse(w.FormDataContentType(), b.String())); diff != "" {
		t.Error(diff)
	}
}

func TestMultipartMistakes(t *testing.T) {
	const kind = "multipart/form-data; boundary=B"
	field := "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n"
	for _, test := range []struct{ contentType, raw, want string }{
		{"multipart/form-data", field + "--B--\r\n", "the Content-Type names no boundary"},
		{kind, field, "it ends before its closing boundary"},
		{kind, "hello", "it ends before its closing boundary"},
		{kind, "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1", "it ends before its closing boundary"},
		{kind, "--B\r\nno header\r\n\r\n1\r\n--B--\r\n", `malformed MIME header: missing colon: "no header"`},
		{kind, strings.Repeat(field, body.MaxParts+1) + "--B--\r\n", "it has more than 1000 parts"},
		{kind, strings.Repeat(field, 100_000) + "--B--\r\n", "it has more than 1000 parts"},
		{kind, "--B\r\nX: " + strings.Repeat("x", 20_000) + "\r\n\r\n1\r\n--B--\r\n", "the header of a part is larger than 32 fields or 16384 bytes"},
		{kind, "--B\r\n" + strings.Repeat("X: y\r\n", 33) + "\r\n1\r\n--B--\r\n", "the header of a part is larger than 32 fields or 16384 bytes"},
	} {
		p := parse(test.contentType, test.raw)
		want := "body is not valid multipart/form-data: "
		if p.OverLimit {
			want = "the form was not parsed: "
		}
		if p.Kind != body.None || p.Note != want+test.want || p.OverLimit != (strings.Contains(test.want, "than")) {
			t.Errorf("%.40q: %d %q, want %q", test.raw, p.Kind, p.Note, test.want)
		}
	}
	if p := parse(kind, strings.Repeat(field, body.MaxParts)+"--B--\r\n"); p.Kind != body.JSON {
		t.Error(p.Note)
	}
}

var contentTypes = []string{
	"application/json", "application/json; charset=utf-16", "", "text/plain; charset=gbk", "text/xml",
	"application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=shift_jis", "multipart/form-data; boundary=B", "image/png",
}

func FuzzParse(f *testing.F) {
	for _, raw := range []string{
		`{"a":[1,-2.5e+3,"x\u00e9\"",true,false,null,{}]}`, "a[b][]=1&a[b][]=%F0%9F%98%80+", "\xEF\xBB\xBF[]", "<?xml version='1.0' encoding='utf-16'?>",
		"--B\r\nContent-Disposition: form-data; name=\"a[]\"; filename=\"f\"\r\n\r\n1\r\n--B--\r\n", `"12345678\\`, "\"\xF0\x9F\"", "[[[[", "\xFF\xFE\"\x00",
	} {
		for i := range contentTypes {
			f.Add(uint8(i), "", []byte(raw))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, contentType string, raw []byte) {
		if contentType == "" {
			contentType = contentTypes[int(which)%len(contentTypes)]
		}
		before := bytes.Clone(raw)
		p := body.Parse(contentType, raw)
		if !bytes.Equal(before, raw) {
			t.Fatal("the body was changed")
		}
		switch p.Kind {
		case body.JSON:
			if !json.Valid(p.JSON) {
				t.Fatalf("not JSON: %q", p.JSON)
			}
			if p.Raw && !bytes.Equal(p.JSON, raw[p.Offset:p.Offset+len(p.JSON)]) {
				t.Fatal("not the bytes at Offset")
			}
			if !p.Raw && !utf8.Valid(p.JSON) {
				t.Fatalf("not UTF-8: %q", p.JSON)
			}
		case body.Text:
			if !utf8.ValidString(p.Text) {
				t.Fatalf("not UTF-8: %q", p.Text)
			}
		case body.None:
			if len(raw) > 0 && p.Note == "" {
				t.Fatal("no note")
			}
		}
		if n := len(p.JSON) + len(p.Text); n > 8*len(raw)+256 {
			t.Fatalf("%d bytes became %d", len(raw), n)
		}
		if contentType == "application/json" && len(raw) > 0 && !bytes.HasPrefix(raw, []byte("\xEF\xBB\xBF")) && raw[0] < 0xFE {
			if !p.OverLimit && json.Valid(raw) != (p.Kind == body.JSON) {
				t.Fatalf("%q: encoding/json says %v, %s", raw, json.Valid(raw), p.Note)
			}
		}
		if q := body.Query(string(raw)); !json.Valid(q) || q[0] != '{' || !utf8.Valid(q) {
			t.Fatalf("query: %q", q)
		}
	})
}

// push is a JSON body of about 7 KB with the mix of strings and numbers of a real one.
func push() []byte {
	var b bytes.Buffer
	b.WriteString(`{"ref":"refs/heads/main","repository":{"id":186853002,"full_name":"octocat/Hello-World","private":false},"commits":[`)
	for i := range 12 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"%040x","message":"Update README.md\n\nsecond line of commit %d","timestamp":"2026-01-02T03:04:05Z","url":"https://github.com/octocat/Hello-World/commit/%040x",`+
			`"author":{"name":"The Octocat","email":"octocat@example.com","username":"octocat"},"added":[],"removed":["old.txt"],"modified":["README.md","docs/index.md"],"distinct":true,"size":%d.5}`, i*77777, i, i*77777, i)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

func BenchmarkJSON(b *testing.B) {
	raw := push()
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if p := body.Parse("application/json", raw); p.Kind != body.JSON {
			b.Fatal(p.Note)
		}
	}
}

// BenchmarkIndex is the index of the same bytes, beside json.Valid, which finds nothing but yes or no.
func BenchmarkIndex(b *testing.B) {
	raw := push()
	b.Run("index", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := body.Index(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("json.Valid", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		for b.Loop() {
			if !json.Valid(raw) {
				b.Fatal("not valid")
			}
		}
	})
}

func BenchmarkForm(b *testing.B) {
	raw := []byte("id=evt_1&type=invoice.paid&data[object][id]=in_1&data[object][lines][0][amount]=100&data[object][lines][1][amount]=200&tags[]=a&tags[]=b&note=hello+world%21")
	b.ReportAllocs()
	for b.Loop() {
		if p := body.Parse("application/x-www-form-urlencoded", raw); p.Kind != body.JSON {
			b.Fatal(p.Note)
		}
	}
}

// TestAllocations holds what the benchmarks say: a JSON body costs its Parsed and the index.
func TestAllocations(t *testing.T) {
	raw := push()
	for _, contentType := range []string{"application/json", "application/json; charset=utf-8"} {
		limit := 2.0
		if contentType != "application/json" {
			limit = 9 // mime.ParseMediaType
		}
		if n := testing.AllocsPerRun(100, func() { body.Parse(contentType, raw) }); n > limit {
			t.Errorf("%s: %v allocations", contentType, n)
		}
	}
}

// TestIndex compares the index with what encoding/json says about where objects and arrays begin and end.
func TestIndex(t *testing.T) {
	for _, text := range []string{`{}`, `[]`, `1`, ` [ ] `, `{"a":[1,2,{"b":{}}],"c":"[}","d":[[],[[]]]}`, ` { "a" : [ 1 , { } ] , "a" : 2 } `, string(push())} {
		checkIndex(t, []byte(text))
	}
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"a":[1,2,{"b":{}}],"c":"[}\"","d":[[],[[]]]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := body.Index(text); (err == nil) != json.Valid(text) && !strings.Contains(fmt.Sprint(err), "deeper") {
			t.Fatalf("%q: %v", text, err)
		} else if err == nil {
			checkIndex(t, text)
		}
	})
}

func checkIndex(t *testing.T, text []byte) {
	t.Helper()
	got, err := body.Index(text)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	var want []body.Container
	var open []int
	var tokens []int // how many stand in each open container
	for {
		token, err := d.Token()
		if err != nil {
			break
		}
		mark, isMark := token.(json.Delim)
		if isMark && (mark == '}' || mark == ']') {
			c := &want[open[len(open)-1]]
			c.End, c.Next, c.Members = uint32(d.InputOffset()), uint32(len(want)), uint32(tokens[len(open)-1])
			if mark == '}' {
				c.Members /= 2
			}
			open, tokens = open[:len(open)-1], tokens[:len(open)-1]
			continue
		}
		if len(open) > 0 {
			tokens[len(open)-1]++
		}
		if isMark {
			open, tokens = append(open, len(want)), append(tokens, 0)
			want = append(want, body.Container{})
		}
	}
	if p := body.Parse("application/json", text); p.Index != nil {
		if diff := cmp.Diff(got, p.Index, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%.300s: as parsed: %s", text, diff)
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%.300s: %s", text, diff)
	}
}
