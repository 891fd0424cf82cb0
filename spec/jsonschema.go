package spec

import "embed"

//go:embed schema/*.schema.json
var jsonSchemas embed.FS

// JSONSchema returns a JSON Schema (draft 2020-12) for editors: "connector" (spec.yml of a
// folder), "global-webhook", "event", "connector-file" (the single-file form), "fixtures" or "config" (config.yaml); nil for
// other names. It accepts what is accepted when the file is loaded; of what depends on other values and files it knows nothing.
//
// The first three are made from connector-file by a test with -update. The others are written by hand; tests of config and
// fixture hold them against what these packages read.
func JSONSchema(name string) []byte {
	content, err := jsonSchemas.ReadFile("schema/" + name + ".schema.json")
	if err != nil {
		return nil
	}
	return content
}
