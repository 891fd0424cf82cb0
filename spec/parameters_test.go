package spec_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"switchhook/spec"
)

// The parameters of handlers are typed by the connector's own parametersSchema.
func TestParameterTypes(t *testing.T) {
	for _, c := range []struct{ schema, want string }{
		{`{type: object, required: [a, "b-c"], properties: {a: {type: string, description: The */ secret}, b-c: {type: integer}, d: {type: boolean}, e: {type: number, default: 1}}}`, `{
    /** The secret */
    a: string
    "b-c": number
    d?: boolean
    e: number
  }`},
		{`{type: object, properties: {a: {type: [string, array], items: {type: string}}, b: {enum: [x, 1, null]}, c: {const: k}, d: {type: array, items: {type: [string, "null"]}}, e: {}}}`, `{
    a?: string | string[]
    b?: "x" | 1 | null
    c?: "k"
    d?: (string | null)[]
    e?: any
  }`},
		{`{type: object, properties: {a: {type: object, additionalProperties: {type: integer}}, b: {$ref: "#/$defs/x"}, c: {anyOf: [{type: string}, {type: object, properties: {n: {type: number}}, additionalProperties: true}]}}, anyOf: [{required: [a]}], $defs: {x: {enum: [y]}}}`, `{
    a?: {
      [name: string]: number
    }
    b?: "y"
    c?: string | {
      n?: number
      [name: string]: any
    }
  }`},
		{`{type: object, properties: {a: {enum: [x], allowCustom: true, type: string}, self: {$ref: "#"}}, patternProperties: {"^x-": true}}`, ``},
		{`{type: object}`, `{
    [name: string]: any
  }`},
	} {
		folder := filepath.Join(t.TempDir(), "acme")
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "spec.yml"), []byte("parametersSchema: "+c.schema+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		loaded, list := spec.Load(folder)
		if list.HasErrors() {
			t.Fatal(list)
		}
		got := string(loaded.Types())
		if !strings.Contains(got, "  interface Parameters "+c.want) {
			_, rest, _ := strings.Cut(got, "interface Parameters ")
			t.Errorf("%s gives\n%s\nwant\n%s", c.schema, rest[:min(len(rest), 400)], c.want)
		}
	}
	bare := &spec.Connector{}
	if string(bare.Types()) != string(spec.Types) {
		t.Error("without a schema anything goes")
	}
}
