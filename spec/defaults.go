package spec

import (
	"bytes"
	"encoding/json"
	"strings"

	"switchhook/spec/document"
)

const (
	// maxSchemaDepth bounds how deep schemas that refer to themselves are followed,
	maxSchemaDepth = 32
	// and maxSchemaSteps how often, since one can do so in several places.
	maxSchemaSteps = 10_000
)

// Defaults returns raw, a JSON object, with the schema's defaults put in where
// a property is absent: in nested objects too, where these are present, and in the items of lists. Nothing that is
// there is changed. It returns raw itself when there is nothing to put in; null and
// nothing are taken for an empty object.
func (s *Schema) Defaults(raw json.RawMessage) json.RawMessage {
	if trimmed := bytes.TrimSpace(raw); len(trimmed) == 0 || string(trimmed) == "null" {
		raw = json.RawMessage("{}")
	}
	f := filler{schema: s}
	return f.fill(raw, s.node, 0)
}

// filler puts defaults in.
type filler struct {
	schema *Schema
	steps  int
}

func (f *filler) fill(raw json.RawMessage, schema *document.Node, depth int) json.RawMessage {
	if f.steps++; f.steps > maxSchemaSteps || depth > maxSchemaDepth || schema == nil || schema.Kind != document.Map {
		return raw
	}
	if ref := schema.Get("$ref"); ref != nil && strings.HasPrefix(ref.Value, "#") {
		raw = f.fill(raw, f.schema.at(schemaURL+ref.Value), depth+1)
	}
	if all := schema.Get("allOf"); all != nil {
		for _, part := range all.Items() {
			raw = f.fill(raw, part, depth+1)
		}
	}
	trimmed := bytes.TrimSpace(raw)
	switch {
	case len(trimmed) == 0:
	case trimmed[0] == '{' && schema.Get("properties") != nil:
		return f.object(raw, schema.Get("properties"), depth)
	case trimmed[0] == '[' && schema.Get("items") != nil:
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
			return raw
		}
		changed := false
		for i, item := range items {
			items[i] = f.fill(item, schema.Get("items"), depth+1)
			changed = changed || !bytes.Equal(item, items[i])
		}
		if changed {
			return encodeList(items)
		}
	}
	return raw
}

func (f *filler) object(raw json.RawMessage, properties *document.Node, depth int) json.RawMessage {
	members, ok := splitObject(raw)
	if !ok {
		return raw
	}
	changed := false
	present := make(map[string]bool, len(members))
	for i, m := range members {
		present[m.name] = true
		value := f.fill(m.value, properties.Get(m.name), depth+1)
		changed = changed || !bytes.Equal(value, m.value)
		members[i].value = value
	}
	for _, e := range properties.Entries() {
		if byDefault := e.Value.Get("default"); byDefault != nil && !present[e.Key] {
			members = append(members, member{e.Key, f.fill(byDefault.JSON(), e.Value, depth+1)})
			changed = true
		}
	}
	if !changed {
		return raw
	}
	return encodeObject(members)
}

type member struct {
	name  string
	value json.RawMessage
}

// splitObject takes a JSON object apart, keeping order and bytes.
func splitObject(raw json.RawMessage) ([]member, bool) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, false
	}
	var members []member
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, false
		}
		m := member{name: name.(string)} // a key is always a string
		if d.Decode(&m.value) != nil {
			return nil, false
		}
		members = append(members, m)
	}
	_, err := d.Token()
	return members, err == nil
}

func encodeObject(members []member) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range members {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(m.name) // a string always encodes
		b.Write(name)
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

func encodeList(items []json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('[')
	b.Write(bytes.Join(toBytes(items), []byte{','}))
	b.WriteByte(']')
	return b.Bytes()
}

func toBytes(items []json.RawMessage) [][]byte {
	all := make([][]byte, len(items))
	for i, item := range items {
		all[i] = item
	}
	return all
}
