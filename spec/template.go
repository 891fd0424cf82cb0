package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Template is the selector of an event, declared rather than computed: text in
// which ${parameters.NAME} stands for a parameter of the subscription, and
// ${parameters.NAME:-TEXT} for it or, where it is absent or empty, TEXT. NAME may be a path
// of several names with dots between them. $${ is a literal ${.
type Template struct {
	source string
	parts  []templatePart
}

// templatePart is literal text, or a reference when path is not nil.
type templatePart struct {
	text        string
	path        []string
	hasFallback bool
	fallback    string
}

// ParseTemplate reads a template. The error says what is wrong with it.
func ParseTemplate(source string) (*Template, error) {
	t := &Template{source: source}
	rest := source
	literal := ""
	for {
		before, after, found := strings.Cut(rest, "${")
		if found && strings.HasSuffix(before, "$") {
			literal += before[:len(before)-1] + "${"
			rest = after
			continue
		}
		literal += before
		if literal != "" {
			t.parts = append(t.parts, templatePart{text: literal})
			literal = ""
		}
		if !found {
			return t, nil
		}
		inside, after, closed := strings.Cut(after, "}")
		if !closed {
			return nil, fmt.Errorf("the ${ in the selector is never closed")
		}
		rest = after
		var part templatePart
		name, fallback, hasFallback := strings.Cut(inside, ":-")
		part.hasFallback, part.fallback = hasFallback, fallback
		dotted, ok := strings.CutPrefix(strings.TrimSpace(name), "parameters.")
		if part.path = strings.Split(dotted, "."); !ok || containsEmpty(part.path) {
			return nil, fmt.Errorf("the selector refers to ${%s}, but only parameters can be referred to", inside)
		}
		t.parts = append(t.parts, part)
	}
}

func containsEmpty(words []string) bool {
	for _, w := range words {
		if w == "" {
			return true
		}
	}
	return false
}

// String is the template as it was written.
func (t *Template) String() string { return t.source }

// Expand returns the selector for the parameters, a JSON object. Values are put in as they are,
// so that wildcards in parameters work as in selectors. It fails on a parameter that is absent or empty and
// has no default, or is neither a string, a number nor a boolean.
func (t *Template) Expand(parameters json.RawMessage) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		if p.path == nil {
			b.WriteString(p.text)
			continue
		}
		value, err := p.value(parameters)
		if err != nil {
			return "", err
		}
		b.WriteString(value)
	}
	return b.String(), nil
}

func (p templatePart) value(parameters json.RawMessage) (string, error) {
	name := strings.Join(p.path, ".")
	value := parameters
	for _, key := range p.path {
		var object map[string]json.RawMessage
		if json.Unmarshal(value, &object) != nil {
			object = nil // not an object: has no such key
		}
		value = object[key]
	}
	value = bytes.TrimSpace(value)
	text := ""
	switch {
	case len(value) == 0 || string(value) == "null":
	case value[0] == '"':
		if err := json.Unmarshal(value, &text); err != nil {
			return "", fmt.Errorf("the parameter %q is not valid JSON: %w", name, err)
		}
	case value[0] == '{' || value[0] == '[':
		return "", fmt.Errorf("the selector needs the parameter %q as a string, a number or a boolean", name)
	default:
		text = string(value) // as it was written: large numbers are not rounded
	}
	if text != "" {
		return text, nil
	}
	if p.hasFallback {
		return p.fallback, nil
	}
	return "", fmt.Errorf("the selector needs the parameter %q", name)
}
