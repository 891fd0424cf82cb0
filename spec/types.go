package spec

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"switchhook/spec/document"
)

// Types are the TypeScript declarations of what functions of connectors are called with, return and can use.
//
//go:embed switchhook.d.ts
var Types []byte

// openParameters is what Types says of parameters: anything.
var openParameters = []byte("  interface Parameters {\n    [name: string]: any\n  }\n")

// Types are the declarations for the functions of this connector: those of the package, with
// `parameters` as its parametersSchema describes them.
func (c *Connector) Types() []byte {
	if c.ParametersSchema == nil || c.ParametersSchema.node.Get("properties") == nil {
		return Types
	}
	t := typer{root: c.ParametersSchema.node}
	return bytes.Replace(Types, openParameters, []byte("  interface Parameters "+t.object(t.root, "  ", 0)+"\n"), 1)
}

// typer writes JSON Schemas as types of TypeScript. What it does not know is any, so that nothing that is right
// is called wrong.
type typer struct {
	root *document.Node
}

// maxTyped bounds schemas that contain themselves.
const maxTyped = 8

// of is the type of the values that a schema describes.
func (t *typer) of(n *document.Node, indent string, depth int) string {
	if n == nil || n.Kind != document.Map || depth > maxTyped {
		return "any"
	}
	if ref := n.Get("$ref"); ref != nil {
		if !strings.HasPrefix(ref.Value, "#") {
			return "any"
		}
		return t.of(t.root.At(pointer(ref.Value[1:])...), indent, depth+1)
	}
	if value := n.Get("const"); value != nil {
		return literal(value)
	}
	if values := n.Get("enum"); values != nil && !isTrue(n.Get("allowCustom")) {
		return t.union(values, func(v *document.Node) string { return literal(v) })
	}
	for _, key := range []string{"anyOf", "oneOf"} {
		// Beside properties, alternatives only say which of them go together.
		if several := n.Get(key); several != nil && n.Get("type") == nil && n.Get("properties") == nil {
			return t.union(several, func(v *document.Node) string { return t.of(v, indent, depth+1) })
		}
	}
	kind := n.Get("type")
	switch {
	case kind == nil && n.Get("properties") != nil:
		return t.object(n, indent, depth)
	case kind == nil:
		return "any"
	case kind.Kind == document.List:
		return t.union(kind, func(v *document.Node) string { return t.typed(v.Value, n, indent, depth) })
	}
	return t.typed(kind.Value, n, indent, depth)
}

func (t *typer) typed(kind string, n *document.Node, indent string, depth int) string {
	switch kind {
	case "string", "boolean", "null":
		return kind
	case "integer", "number":
		return "number"
	case "object":
		return t.object(n, indent, depth)
	case "array":
		item := t.of(n.Get("items"), indent, depth+1)
		if strings.Contains(item, "|") {
			item = "(" + item + ")"
		}
		return item + "[]"
	}
	return "any"
}

func (t *typer) union(list *document.Node, one func(*document.Node) string) string {
	var types []string
	for _, item := range list.Items() {
		if name := one(item); !slices.Contains(types, name) {
			types = append(types, name)
		}
	}
	if len(types) == 0 || slices.Contains(types, "any") {
		return "any"
	}
	return strings.Join(types, " | ")
}

func (t *typer) object(n *document.Node, indent string, depth int) string {
	var b strings.Builder
	var required []string
	if list := n.Get("required"); list != nil {
		for _, item := range list.Items() {
			required = append(required, item.Value)
		}
	}
	b.WriteString("{\n")
	inner := indent + "  "
	properties := n.Get("properties")
	if properties != nil {
		for _, e := range properties.Entries() {
			if text := e.Value.Get("description"); text != nil && text.Kind == document.String {
				fmt.Fprintf(&b, "%s/** %s */\n", inner, comment.ReplaceAllString(text.Value, " "))
			}
			optional := "?"
			if slices.Contains(required, e.Key) || e.Value.Get("default") != nil {
				optional = ""
			}
			fmt.Fprintf(&b, "%s%s%s: %s\n", inner, propertyName(e.Key), optional, t.of(e.Value, inner, depth+1))
		}
	}
	// A parameter that the schema does not name is rather a slip, unless it says that there are others.
	others := n.Get("additionalProperties")
	if properties == nil && others == nil || n.Get("patternProperties") != nil || others != nil && (others.Kind == document.Map || isTrue(others)) {
		value := "any"
		if properties == nil && n.Get("patternProperties") == nil {
			value = t.of(others, inner, depth+1)
		}
		fmt.Fprintf(&b, "%s[name: string]: %s\n", inner, value)
	}
	b.WriteString(indent + "}")
	return b.String()
}

// comment is what would end a comment or its line.
var comment = regexp.MustCompile(`\s*(\*/|[\r\n\x{2028}\x{2029}])\s*`)

var plainProperty = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

func propertyName(key string) string {
	if plainProperty.MatchString(key) {
		return key
	}
	return quote(key)
}

func literal(n *document.Node) string {
	switch n.Kind {
	case document.String:
		return quote(n.Value)
	case document.Bool, document.Null, document.Int, document.Float:
		return string(n.JSON())
	}
	return "any"
}

// quote writes a string of JavaScript; JSON's are, but for line separators.
func quote(s string) string {
	b, _ := json.Marshal(s) // a string always encodes
	return string(b)
}
