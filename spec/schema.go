package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// Schema is a compiled JSON Schema that stands in a spec. Its methods may be
// called from any goroutine.
type Schema struct {
	raw      json.RawMessage
	node     *document.Node
	compiled *jsonschema.Schema // nil when it could not be understood, which only the published format may
}

// CompileSchema compiles the JSON Schema in n (draft 2020-12 unless it says otherwise by $schema). Nothing is
// loaded from elsewhere: $ref reaches within the schema only.
// Keywords that JSON Schema does not know are ignored, but for one of the published format: allowCustom: true
// lifts the enum beside it. The schema is nil when the list has errors.
func CompileSchema(n *document.Node) (*Schema, diagnostic.List) {
	return (&schemaCompiler{}).compile(n)
}

// compile leaves out with a warning what it does not understand when it is to be tolerant.
func (c *schemaCompiler) compile(n *document.Node) (*Schema, diagnostic.List) {
	value := c.schema(n) // without what was left out, so that further mistakes come to light
	s := &Schema{raw: n.JSON(), node: n}
	compiled, err := compileValue(value)
	switch {
	case err == nil && c.list.HasErrors():
		return nil, c.list
	case err == nil:
		s.compiled = compiled
		return s, c.list
	}
	list := c.explain(n, err)
	if c.tolerant {
		list = lenient(list)
		for i := range list {
			list[i].Message += "; nothing is checked against this schema"
		}
	} else {
		s = nil
	}
	c.list.Add(list...)
	return s, c.list
}

// schemaURL is what the library calls the schema; it is never loaded.
const schemaURL = "schema:///schema"

func compileValue(value any) (*jsonschema.Schema, error) {
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{})
	compiler.AssertFormat()
	if err := compiler.AddResource(schemaURL, value); err != nil {
		return nil, err
	}
	return compiler.Compile(schemaURL)
}

type noLoader struct{}

func (noLoader) Load(string) (any, error) {
	return nil, errors.New("schemas are not loaded from elsewhere")
}

// schemaCompiler makes of a node the value that the library compiles, and sorts out what it would choke on.
type schemaCompiler struct {
	tolerant bool
	// payload: the schema describes events for people. In the published format it may refer to other files, of which nothing is said.
	payload bool
	list    diagnostic.List
}

// leftOut reports something that is not understood: an error, or a warning when it
// is tolerated.
func (c *schemaCompiler) leftOut(d diagnostic.Diagnostic) {
	if c.tolerant {
		d.Severity = diagnostic.Warning
		d.Message += "; it is ignored"
	}
	c.list.Add(d)
}

var (
	schemaTypes = []string{"string", "integer", "number", "boolean", "object", "array", "null"}
	// Where schemas stand in a schema: by themselves, in a list, or as the values of a map.
	oneSchema   = []string{"additionalProperties", "items", "not", "if", "then", "else", "contains", "propertyNames", "unevaluatedProperties", "unevaluatedItems", "additionalItems"}
	schemaLists = []string{"allOf", "anyOf", "oneOf", "prefixItems", "items"}
	schemaMaps  = []string{"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
)

func (c *schemaCompiler) schema(n *document.Node) any {
	if n.Kind == document.Null { // an empty "items:" and the like
		return true
	}
	if n.Kind != document.Map {
		return plainValue(n)
	}
	object := map[string]any{}
	for _, e := range n.Entries() {
		key, v := e.Key, e.Value
		switch {
		case v.Kind == document.Null && !slices.Contains([]string{"default", "const"}, key) && !slices.Contains(oneSchema, key):
			// A keyword without a value says nothing.
		case key == "type" && !c.types(v):
		case key == "required" && v.Kind == document.Bool && c.tolerant:
			// As in drafts before 4, where it stood in the property.
		case key == "enum" && isTrue(n.Get("allowCustom")):
		case key == "$ref" && !strings.HasPrefix(v.Value, "#") && c.tolerant && c.payload:
		case key == "$ref" && !strings.HasPrefix(v.Value, "#"):
			c.leftOut(withHint(v.Errorf("bad-schema", "the reference leads out of the schema, and nothing is loaded from elsewhere"),
				"copy what it names under $defs:, and write #/$defs/NAME"))
		case key == "$schema" && !knownDraft(v.Value):
			c.leftOut(v.Errorf("bad-schema", "this version of JSON Schema is not known"))
		case key == "$id":
			// It would make the schema one of another address.
		case key == "pattern" && v.Kind == document.String && !c.pattern(v):
		case slices.Contains(schemaMaps, key) && v.Kind == document.Map:
			inner := map[string]any{}
			for _, p := range v.Entries() {
				if key == "patternProperties" && !c.pattern(p.KeyNode) {
					continue
				}
				inner[p.Key] = c.schema(p.Value)
			}
			object[key] = inner
		case slices.Contains(schemaLists, key) && v.Kind == document.List:
			list := make([]any, 0, len(v.Items()))
			for _, item := range v.Items() {
				list = append(list, c.schema(item))
			}
			object[key] = list
		case slices.Contains(oneSchema, key):
			object[key] = c.schema(v)
		default:
			c.misspelled(e)
			object[key] = plainValue(v)
		}
	}
	return object
}

// The keywords that schemas of parameters use, and what is close to one of them and something else.
var (
	usualKeywords = []string{"type", "required", "properties", "additionalProperties", "patternProperties", "items", "enum", "const", "default", "description", "title",
		"format", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "uniqueItems", "anyOf", "oneOf", "allOf", "not", "if", "then", "else"}
	otherKeywords = []string{"contains", "definitions", "multipleOf", "exclusiveMinimum", "exclusiveMaximum", "minProperties", "maxProperties", "minContains", "maxContains",
		"prefixItems", "additionalItems", "unevaluatedItems", "unevaluatedProperties", "propertyNames", "examples", "example", "id", "$id", "note", "options", "order"}
)

// misspelled warns of a key that is close to a keyword and none: JSON Schema ignores it, and with it what was meant to be checked.
func (c *schemaCompiler) misspelled(e document.Entry) {
	if c.payload || slices.Contains(usualKeywords, e.Key) || slices.Contains(otherKeywords, e.Key) {
		return
	}
	if near := diagnostic.DidYouMean(e.Key, usualKeywords); near != "" {
		c.list.Add(withHint(e.KeyNode.Warnf("unknown-keyword", "JSON Schema has no keyword %q, so it is ignored", e.Key), near))
	}
}

// plainValue is a node as the library takes JSON.
func plainValue(n *document.Node) any {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(n.JSON()))
	if err != nil { // JSON() is always valid
		return nil
	}
	return value
}

func isTrue(n *document.Node) bool {
	if n == nil {
		return false
	}
	value, _ := n.Bool()
	return value
}

func knownDraft(id string) bool {
	id = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(id, "https://"), "http://"), "#")
	return slices.Contains([]string{
		"json-schema.org/draft-04/schema", "json-schema.org/draft-06/schema", "json-schema.org/draft-07/schema",
		"json-schema.org/draft/2019-09/schema", "json-schema.org/draft/2020-12/schema", "json-schema.org/schema",
	}, id)
}

// types reports whether the value of type: can be understood.
func (c *schemaCompiler) types(n *document.Node) bool {
	ok := true
	for _, item := range append(n.Items(), n) {
		if item.Kind != document.String || slices.Contains(schemaTypes, item.Value) {
			continue
		}
		ok = false
		d := item.Errorf("bad-schema", "there is no type %q in JSON Schema", item.Value)
		if d.Hint = diagnostic.DidYouMean(item.Value, schemaTypes); d.Hint == "" {
			d.Hint = "there are: " + strings.Join(schemaTypes, ", ")
		}
		c.leftOut(d)
	}
	return ok
}

// pattern reports whether a regular expression can be used.
func (c *schemaCompiler) pattern(n *document.Node) bool {
	_, err := regexp.Compile(n.Value)
	if err == nil {
		return true
	}
	c.leftOut(withHint(n.Errorf("bad-schema", "the pattern cannot be used: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: ")),
		"patterns are those of RE2, without lookahead and back references: https://github.com/google/re2/wiki/Syntax"))
	return false
}

// explain turns an error of the library's compiler into diagnostics.
func (c *schemaCompiler) explain(n *document.Node, err error) diagnostic.List {
	at := func(address string) *document.Node {
		_, fragment, _ := strings.Cut(address, "#")
		return n.At(pointer(fragment)...)
	}
	var (
		invalid   *jsonschema.SchemaValidationError
		notFound  *jsonschema.JSONPointerNotFoundError
		noAnchor  *jsonschema.AnchorNotFoundError
		violation *jsonschema.ValidationError
	)
	switch {
	case errors.As(err, &invalid) && errors.As(invalid.Err, &violation):
		list := (&Schema{node: n}).findings(violation, n)
		for i := range list {
			list[i].Code, list[i].Message = "bad-schema", "the schema is wrong: "+list[i].Message
		}
		if len(list) > 0 {
			return list
		}
	case errors.As(err, &notFound):
		return diagnostic.List{refNode(n, notFound.URL).Errorf("bad-schema", "the reference leads to nothing in this schema")}
	case errors.As(err, &noAnchor):
		return diagnostic.List{refNode(n, noAnchor.Reference).Errorf("bad-schema", "the reference leads to nothing in this schema")}
	}
	return diagnostic.List{at("").Errorf("bad-schema", "the schema cannot be used: %s", strings.ReplaceAll(err.Error(), schemaURL, ""))}
}

// refNode finds the $ref that resolves to an address; n itself where there is none.
func refNode(n *document.Node, address string) *document.Node {
	_, fragment, _ := strings.Cut(address, "#")
	var search func(n *document.Node) *document.Node
	search = func(n *document.Node) *document.Node {
		for _, e := range n.Entries() {
			if e.Key == "$ref" && strings.TrimPrefix(e.Value.Value, "#") == fragment {
				return e.Value
			}
			if found := search(e.Value); found != nil {
				return found
			}
		}
		for _, item := range n.Items() {
			if found := search(item); found != nil {
				return found
			}
		}
		return nil
	}
	if found := search(n); found != nil {
		return found
	}
	return n
}

// pointer splits a JSON Pointer, as it stands in a URL, into its names.
func pointer(fragment string) []string {
	if fragment == "" || fragment == "/" {
		return nil
	}
	names := strings.Split(strings.TrimPrefix(fragment, "/"), "/")
	for i, name := range names {
		if plain, err := url.PathUnescape(name); err == nil {
			name = plain
		}
		names[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
	}
	return names
}

// Raw is the schema as JSON; not to be changed.
func (s *Schema) Raw() json.RawMessage { return s.raw }

// Check returns everything about n that the schema forbids, and warns of keys that look like slips of
// ones it knows. A key that is required and has a default may be absent. Messages never contain values, which may
// be secret.
func (s *Schema) Check(n *document.Node) diagnostic.List {
	if s.compiled == nil {
		return nil
	}
	if list := absurdNumbers(n, nil); len(list) > 0 {
		return list
	}
	var list diagnostic.List
	if err := s.compiled.Validate(plainValue(n)); err != nil {
		var violation *jsonschema.ValidationError
		if !errors.As(err, &violation) {
			return diagnostic.List{n.Errorf("schema", "this cannot be checked against its schema")}
		}
		list = s.findings(violation, n)
	}
	list = s.nearMisses(n, s.node, list, 0)
	list.Sort()
	return list
}

// absurdNumbers reports numbers whose exact value would take the library a lot of memory.
func absurdNumbers(n *document.Node, list diagnostic.List) diagnostic.List {
	if n.Kind == document.Float {
		if _, exponent, ok := strings.Cut(strings.ToLower(n.Value), "e"); ok && len(strings.TrimLeft(exponent, "+-0")) > 3 {
			list.Add(n.Errorf("out-of-range", "the number is too large or too small"))
		}
	}
	for _, e := range n.Entries() {
		list = absurdNumbers(e.Value, list)
	}
	for _, item := range n.Items() {
		list = absurdNumbers(item, list)
	}
	return list
}

// nearMisses reports keys that the schema does not know, but allows, and that look like one it knows. Where
// the key that was meant is missing, that is one mistake and said once.
func (s *Schema) nearMisses(n, schema *document.Node, list diagnostic.List, depth int) diagnostic.List {
	if depth > maxSchemaDepth || schema == nil {
		return list
	}
	for _, item := range n.Items() {
		list = s.nearMisses(item, schema.Get("items"), list, depth+1)
	}
	properties := schema.Get("properties")
	if properties == nil {
		return list
	}
	known := properties.Keys()
	open := schema.Get("additionalProperties") == nil && schema.Get("patternProperties") == nil
	for _, combined := range []string{"allOf", "anyOf", "oneOf", "$ref", "if", "dependentSchemas"} {
		open = open && schema.Get(combined) == nil
	}
	for _, e := range n.Entries() {
		if inner := properties.Get(e.Key); inner != nil {
			list = s.nearMisses(e.Value, inner, list, depth+1)
			continue
		}
		near := diagnostic.Nearest(e.Key, known)
		if near == "" || n.Get(near) != nil {
			continue
		}
		before := len(list)
		list = slices.DeleteFunc(list, func(d diagnostic.Diagnostic) bool {
			return d.Code == codeMissing && d.Line == n.Line && d.Column == n.Column && d.Message == missingMessage(near)
		})
		if !open { // it has been reported as an unknown key
			continue
		}
		d := document.UnknownKey(e, known...)
		if len(list) == before {
			d.Severity = diagnostic.Warning
		}
		list.Add(d)
	}
	return list
}
