package spec

import "embed"

//go:embed schema/*.schema.json
var jsonSchemas embed.FS

// JSONSchema returns a JSON Schema (draft 2020-12) of the connector format for editors: "connector" (spec.yml of a
// folder), "global-webhook", "event", or "connector-file" (the single-file form); nil for other names. It accepts
// what Load accepts; of what depends on other values and files it knows nothing.
//
// Only connector-file is written by hand, the others are made from it by a test with -update.
func JSONSchema(name string) []byte {
	content, err := jsonSchemas.ReadFile("schema/" + name + ".schema.json")
	if err != nil {
		return nil
	}
	return content
}

// Types are the TypeScript declarations of what functions of connectors are called with, return and can use.
//
//go:embed switchhook.d.ts
var Types []byte
