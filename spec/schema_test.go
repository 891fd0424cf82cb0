package spec_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"switchhook/spec"
	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

func schema(t testing.TB, source string) *spec.Schema {
	t.Helper()
	doc, list := document.Parse("schema.yml", []byte(source))
	if list.HasErrors() {
		t.Fatal(list)
	}
	s, list := spec.CompileSchema(doc.Root)
	if list.HasErrors() || s == nil {
		t.Fatalf("%s: %v", source, list)
	}
	return s
}

func node(t testing.TB, source string) *document.Node {
	t.Helper()
	doc, list := document.Parse("config.yaml", []byte(source))
	if list.HasErrors() {
		t.Fatal(list)
	}
	return doc.Root
}

// TestCheck compares all that is said about values that break their schemas.
func TestCheck(t *testing.T) {
	tests := []struct{ schema, value string }{
		{"{type: object, required: [secret], properties: {secret: {type: string, description: The signing secret from the console}}}", "{}"},
		{"{type: object, required: [secret], properties: {secret: {type: string}, other: {type: string}}}", "secrt: x"},
		{"{type: object, additionalProperties: false, required: [secret], properties: {secret: {type: string}, other: {type: string}}}", "secrt: x"},
		{"{type: object, additionalProperties: false, properties: {secret: {type: string}, tolerance: {}}}", "{secret: a, tolerence: 5, zzz: 1}"},
		{"{type: object, properties: {tolerance: {type: integer}}}", "tolerence: 5"},
		{"{type: object, properties: {tolerance: {type: integer}}}", "something: 5"},
		{"{type: object, required: [a, b], properties: {a: {default: 1}, b: {title: The b}}}", "{}"},
		{"{properties: {a: {type: string}, b: {type: integer}, c: {type: [string, \"null\"]}, d: {type: boolean}, e: {type: object}, f: {type: array}}}", "a: 5\nb: x\nc: [1]\nd: 'true'\ne: ~\nf: {}\n"},
		{"{properties: {mode: {enum: [live, test]}}}", "mode: lve"},
		{"{properties: {mode: {enum: [live, test, 5]}}}", "mode: production"},
		{"{properties: {mode: {const: live}}}", "mode: test"},
		{"{properties: {a: {minLength: 8}, b: {maxLength: 1}, c: {minLength: 1}, d: {pattern: '^whsec_'}, e: {format: uri}}}", "a: short\nb: long\nc: ''\nd: sk_x\ne: 'no uri'\n"},
		{"{properties: {a: {minimum: 1}, b: {maximum: 1.5}, c: {exclusiveMinimum: 1}, d: {exclusiveMaximum: 1}, e: {multipleOf: 5}}}", "{a: 0, b: 2, c: 1, d: 1, e: 7}"},
		{"{properties: {a: {minItems: 2}, b: {maxItems: 1}, c: {uniqueItems: true}, d: {minProperties: 1}, e: {maxProperties: 0}, f: {contains: {const: 1}}}}", "{a: [1], b: [1, 2], c: [1, 1], d: {}, e: {x: 1}, f: [2]}"},
		{"{anyOf: [{required: [secret]}, {required: [secrets]}]}", "{x: 1}"},
		{"{properties: {a: {oneOf: [{type: string}, {type: object, required: [b], properties: {b: {type: integer}}}]}}}", "a: {b: x}"},
		{"{properties: {a: {oneOf: [{type: string}, {type: boolean}]}}}", "a: 5"},
		{"{properties: {a: {oneOf: [{type: number}, {type: integer}]}}}", "a: 5"},
		{"{properties: {a: {not: {}}, b: false}}", "{a: 1, b: 2}"},
		{"{properties: {list: {items: {type: object, required: [id], properties: {id: {type: integer}}}}}}", "list:\n  - id: 1\n  - id: x\n  - {}\n"},
		{"{properties: {list: {items: {properties: {name: {type: string}}}}}}", "list: [{nmae: x}]"},
		{"{properties: {a: {oneOf: [{type: string}, {type: array, items: {type: string}}]}}}", "a: [1]"},
		{"{$defs: {name: {type: string}}, properties: {a: {$ref: '#/$defs/name'}}}", "a: 1"},
		{"{allOf: [{required: [a]}, {properties: {b: {type: string}}}]}", "b: 1"},
		{"{dependentRequired: {user: [password, realm]}}", "user: x"},
		{"{propertyNames: {pattern: '^[a-z]+$'}}", "{A: 1}"},
		{"{if: {required: [a]}, then: {required: [b]}}", "a: 1"},
		{"{$schema: 'http://json-schema.org/draft-07/schema#', properties: {a: {type: string}}, dependencies: {b: [c]}}", "{a: 1, b: 2}"},
		{"{properties: {a: {type: number}}}", "a: 1e999999999"},
		{"{properties: {'a/b~c d': {type: string}}}", "'a/b~c d': 1"},
		{"{type: object}", "5"},
		{"{type: object}", ""},
	}
	var b bytes.Buffer
	for _, tt := range tests {
		list := schema(t, tt.schema).Check(node(t, tt.value))
		fmt.Fprintf(&b, "===== %s\n===== %q\n", tt.schema, tt.value)
		if err := diagnostic.WriteText(&b, list, false); err != nil {
			t.Fatal(err)
		}
	}
	if *update {
		if err := os.WriteFile("testdata/check.golden", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/check.golden")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("(-want +got); run with -update if that is right:\n%s", diff)
	}
}

func TestCheckTakesWhatIsRight(t *testing.T) {
	tests := []struct{ schema, value string }{
		{"{type: object, required: [secret], properties: {secret: {type: string}}}", "secret: x"},
		{"{type: object, required: [a], properties: {a: {default: 1}}}", "{}"},
		{"{properties: {scopes: {items: {enum: [a, b], allowCustom: true}}}}", "scopes: [c]"},
		{"{properties: {a:, b: {type:, items:}}}", "{a: 1, b: []}"},
		{"{properties: {id: {type: integer}}}", "id: 9007199254740993"},
		{"{properties: {at: {type: string, format: date-time}}}", "at: 2026-01-02T03:04:05Z"},
		{"{properties: {x: {format: some-future-format, referenceCollection: {key: y}}}}", "x: 1"},
		{"{anyOf: [{required: [secret]}, {required: [secrets]}], properties: {secret: {}, secrets: {}}}", "secret: x"},
		{"{properties: {tree: {$ref: '#'}}}", "tree: {tree: {tree: {}}}"},
		{"{}", "anything: goes"},
	}
	for _, tt := range tests {
		if list := schema(t, tt.schema).Check(node(t, tt.value)); len(list) > 0 {
			t.Errorf("%s, %s: %v", tt.schema, tt.value, list)
		}
	}
}

// Whatever rule a value breaks, it is not shown, be it a secret.
func TestCheckShowsNoValues(t *testing.T) {
	const secret = "hunter2hunter2"
	for _, rule := range []string{
		"type: integer", "enum: [a, b]", "enum: [hunter2hunter3, x]", "const: x", "pattern: '^x'", "minLength: 99", "maxLength: 1", "format: uri", "format: ipv4",
		"not: {}", "oneOf: [{type: integer}, {type: boolean}]", "anyOf: [{pattern: '^x'}, {minLength: 50}]", "type: object", "type: array",
	} {
		s := schema(t, "{properties: {a: {"+rule+"}, list: {items: {"+rule+"}}}}")
		doc, _ := document.Parse("config.yaml", []byte("a: ${SECRET}\nlist: ['${SECRET}']\n"))
		doc.Expand(func(text string) (string, error) { return strings.ReplaceAll(text, "${SECRET}", secret), nil })
		list := s.Check(doc.Root)
		if len(list) < 2 {
			t.Errorf("%s: only %v", rule, list)
		}
		var b bytes.Buffer
		_ = diagnostic.WriteText(&b, list, false)
		_ = diagnostic.WriteJSON(&b, list)
		if strings.Contains(strings.ReplaceAll(b.String(), "hunter2hunter3", ""), "hunter2") {
			t.Errorf("%s: shown: %s", rule, b.String())
		}
		for _, d := range list {
			if strings.Contains(d.Hint, "did you mean") {
				t.Errorf("%s: the hint %q says what the secret is like", rule, d.Hint)
			}
		}
	}
}

func TestDefaults(t *testing.T) {
	tests := []struct{ name, schema, raw, want string }{
		{"nothing to do", "{properties: {a: {type: string}}}", `{"a": 1 }`, `{"a": 1 }`},
		{"all there", "{properties: {a: {default: 1}}}", `{ "a":null}`, `{ "a":null}`},
		{"absent", "{properties: {a: {default: 1}, b: {default: [x, {y: z}]}}}", `{"c":3}`, `{"c":3,"a":1,"b":["x",{"y":"z"}]}`},
		{"null", "{properties: {a: {default: x}}}", "null", `{"a":"x"}`},
		{"empty", "{properties: {a: {default: x}}}", "", `{"a":"x"}`},
		{"empty without defaults", "{}", " ", `{}`},
		{"nested, present", "{properties: {o: {properties: {a: {default: 1}}}}}", `{"o":{"b":2}}`, `{"o":{"b":2,"a":1}}`},
		{"nested, absent", "{properties: {o: {properties: {a: {default: 1}}}}}", `{}`, `{}`},
		{"nested, by default", "{properties: {o: {default: {}, properties: {a: {default: 1}}}}}", `{}`, `{"o":{"a":1}}`},
		{"items", "{properties: {l: {items: {properties: {a: {default: 1}}}}}}", `{"l":[{},{"a":2},5]}`, `{"l":[{"a":1},{"a":2},5]}`},
		{"reference", "{$defs: {o: {properties: {a: {default: 1}}}}, properties: {o: {$ref: '#/$defs/o'}}}", `{"o":{}}`, `{"o":{"a":1}}`},
		{"all of", "{allOf: [{properties: {a: {default: 1}}}, {properties: {b: {default: 2}}}]}", `{}`, `{"a":1,"b":2}`},
		{"large numbers", "{properties: {a: {default: 9007199254740993}}}", `{"b":12345678901234567890.10}`, `{"b":12345678901234567890.10,"a":9007199254740993}`},
		{"order and bytes", "{properties: {m: {default: 1}}}", `{"z":"\u00e9", "a":{"y":1, "x":2}}`, `{"z":"\u00e9","a":{"y":1, "x":2},"m":1}`},
		{"not an object", "{properties: {a: {default: 1}}}", `[1]`, `[1]`},
		{"not JSON", "{properties: {a: {default: 1}}}", `{"a"`, `{"a"`},
		{"endless", "{properties: {a: {$ref: '#'}, b: {default: 1}}}", `{"a":{"a":{}}}`, `{"a":{"a":{"b":1},"b":1},"b":1}`},
		{"endless in two ways", "{allOf: [{$ref: '#/$defs/x'}], $defs: {x: {properties: {a: {allOf: [{$ref: '#/$defs/x'}, {$ref: '#/$defs/x'}, {properties: {b: {default: 1}}}]}}}}}", `{"a":{}}`, `{"a":{"b":1}}`},
		{"deep and wide", "{$defs: {x: {properties: {a: {allOf: [{$ref: '#/$defs/x'}, {$ref: '#/$defs/x'}, {$ref: '#/$defs/x'}]}}}}, $ref: '#/$defs/x'}",
			strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40), strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)},
		{"a loop", "{$defs: {a: {$ref: '#/$defs/b'}, b: {$ref: '#/$defs/a'}}, properties: {x: {$ref: '#/$defs/a'}, y: {default: 1}}}", `{"x":1}`, `{"x":1,"y":1}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, _ := document.Parse("schema.yml", []byte(tt.schema))
			s, list := spec.CompileSchema(doc.Root)
			if s == nil {
				t.Skip(list) // the library refuses loops of references
			}
			if got := string(s.Defaults(json.RawMessage(tt.raw))); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestSchemaFromManyGoroutines(t *testing.T) {
	s := schema(t, "{type: object, required: [a], properties: {a: {type: string}, b: {default: 1}}}")
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			n := node(t, "b: 2")
			for range 50 {
				if list := s.Check(n); len(list) != 1 {
					t.Errorf("got %v", list)
				}
				if got := string(s.Defaults(json.RawMessage("{}"))); got != `{"b":1}` {
					t.Error(got)
				}
			}
		})
	}
	group.Wait()
}

func FuzzSchema(f *testing.F) {
	for _, s := range []string{
		"{type: object, required: [a], properties: {a: {type: string, default: x}}}|{a: 1}", "{$ref: '#'}|1", "{allOf: [{$ref: '#/x'}], x: {$ref: '#'}}|{}",
		"{anyOf: [{required: [a]}, {type: array, items: {enum: [1]}}]}|[2]", "{$defs: {a: {$anchor: b}}, $ref: '#b'}|x", "{pattern: '(', type: [strin]}|x",
		"{oneOf: [{const: 1.0}, {multipleOf: 0.1}]}|1e400", "{$dynamicRef: '#x', $dynamicAnchor: x}|{}", "{properties: {a: {$id: 'http://x/', $ref: y}}}|{a: b}",
		"{$schema: 'http://json-schema.org/draft-04/schema#', id: x, minimum: 1, exclusiveMinimum: true}|0",
	} {
		schema, value, _ := strings.Cut(s, "|")
		f.Add(schema, value)
	}
	f.Fuzz(func(t *testing.T, source, value string) {
		if len(source)+len(value) > 1<<14 {
			return
		}
		doc, list := document.Parse("schema.yml", []byte(source))
		input, more := document.Parse("config.yaml", []byte(value))
		if list.HasErrors() || more.HasErrors() {
			return
		}
		s, list := spec.CompileSchema(doc.Root)
		if (s == nil) != list.HasErrors() {
			t.Fatalf("schema %v, findings %v", s, list)
		}
		if s == nil {
			return
		}
		for _, d := range s.Check(input.Root) {
			if d.Message == "" || d.Code == "" {
				t.Fatalf("a poor diagnostic: %+v", d)
			}
		}
		raw := input.Root.JSON()
		with := s.Defaults(raw)
		if !json.Valid(with) {
			t.Fatalf("Defaults(%s) = %s", raw, with)
		}
		if again := s.Defaults(with); len(again) > 8*len(with)+8*len(s.Raw())*64 {
			t.Fatalf("Defaults grow: %d -> %d", len(with), len(again))
		}
	})
}

// A keyword that is misspelled is ignored by JSON Schema, so somebody has to say it.
func TestMisspelledKeyword(t *testing.T) {
	_, list := spec.CompileSchema(node(t, "{type: object, require: [a], proprties: {type: {type: string, minLenght: 3, x-order: 1, group: b, label: c}}, properties: {require: {}}}"))
	var got []string
	for _, d := range list {
		got = append(got, fmt.Sprintf("%s:%d %s", d.Severity, d.Column, d.Hint))
	}
	want := []string{`warning:16 did you mean "required"?`, `warning:30 did you mean "properties"?`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	_, list = spec.CompileSchema(node(t, "{properties: {type: {type: string, minLenght: 3, x-order: 1, group: b, label: c, value: d, name: e, key: f, hint: g, placeholder: h, secret: true, types: [a]}}}"))
	if len(list) != 2 || list[0].Hint != `did you mean "minLength"?` || list[1].Hint != `did you mean "type"?` {
		t.Error(list)
	}
}
