package config

import _ "embed"

// Schema is the JSON Schema (draft 2020-12) of config.yaml, for editors. It accepts
// all that Load accepts, and finds unknown keys and wrong types; what depends
// on other values only Load finds.
//
//go:embed config.schema.json
var Schema []byte
