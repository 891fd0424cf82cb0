package spec

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// The codes of findings that a schema makes.
const (
	codeMissing = "missing-key"
	codeType    = "wrong-type"
	codeValue   = "bad-value"
)

func missingMessage(key string) string { return fmt.Sprintf("the key %q is missing", key) }

// findings says in words, with positions, what the library found in n.
func (s *Schema) findings(e *jsonschema.ValidationError, n *document.Node) diagnostic.List {
	var list diagnostic.List
	add := func(d diagnostic.Diagnostic) {
		if !slices.ContainsFunc(list, func(o diagnostic.Diagnostic) bool {
			return o.Line == d.Line && o.Column == d.Column && o.Message == d.Message
		}) {
			list.Add(d)
		}
	}
	at := n.At(e.InstanceLocation...)
	schema := s.at(e.SchemaURL)
	switch k := e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf:
		if one, ok := k.(*kind.OneOf); ok && len(one.Subschemas) > 1 {
			add(at.Errorf(codeValue, "this fits several of the forms that exclude each other"))
			return list
		}
		return s.alternatives(e, n)
	case *kind.Required:
		for _, name := range k.Missing {
			property := schema.Get("properties").Get(name)
			if property.Get("default") != nil {
				continue
			}
			d := at.Errorf(codeMissing, "%s", missingMessage(name))
			d.Hint = about(name, property)
			add(d)
		}
	case *kind.AdditionalProperties:
		known := schema.Get("properties")
		for _, name := range k.Properties {
			for _, entry := range at.Entries() {
				if entry.Key != name {
					continue
				}
				var names []string
				if known != nil {
					names = known.Keys()
				}
				add(document.UnknownKey(entry, names...))
			}
		}
	case *kind.Group, *kind.Schema, *kind.AllOf, *kind.Reference, *kind.Not, *kind.Contains, *kind.PropertyNames:
		if len(e.Causes) > 0 {
			for _, cause := range e.Causes {
				for _, d := range s.findings(cause, n) {
					add(d)
				}
			}
			return list
		}
		if names, ok := k.(*kind.PropertyNames); ok {
			add(at.Errorf(codeValue, "%q is not allowed as a key", names.Property))
		} else {
			add(at.Errorf(codeValue, "this is not allowed here"))
		}
	case *kind.Type:
		got := at.Kind.String()
		var wanted []string
		for _, t := range k.Want {
			if t != "null" {
				wanted = append(wanted, typeName(t))
			}
		}
		if len(wanted) < len(k.Want) {
			wanted = append(wanted, typeName("null"))
		}
		d := at.Errorf(codeType, "expected %s, got %s", enumerate(wanted), got)
		if slices.Contains(k.Want, "string") && (at.Kind == document.Int || at.Kind == document.Float || at.Kind == document.Bool) {
			d.Hint = "put it in quotes"
		}
		add(d)
	case *kind.Enum:
		var allowed, words []string
		for _, want := range k.Want {
			allowed = append(allowed, inJSON(want))
			if word, ok := want.(string); ok {
				words = append(words, word)
			}
		}
		d := at.Errorf(codeValue, "this is none of the values that are allowed")
		if at.Kind == document.String && !at.Expanded() {
			d.Hint = diagnostic.DidYouMean(at.Value, words)
		}
		if d.Hint == "" && len(allowed) <= 16 {
			d.Hint = "it can be " + enumerate(allowed)
		}
		add(d)
	default:
		add(at.Errorf(codeValue, "%s", rule(e.ErrorKind)))
	}
	return list
}

// rule says in words what is demanded of a value, and not what it is.
func rule(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Const:
		return "this must be " + inJSON(k.Want)
	case *kind.Format:
		return "this is not a valid " + k.Want
	case *kind.Pattern:
		return "this does not match the pattern " + k.Want
	case *kind.MinLength:
		if k.Want == 1 {
			return "this must not be empty"
		}
		return fmt.Sprintf("this must have at least %s", count(k.Want, "character"))
	case *kind.MaxLength:
		return fmt.Sprintf("this must have at most %s", count(k.Want, "character"))
	case *kind.Minimum:
		return "this must be at least " + decimal(k.Want)
	case *kind.Maximum:
		return "this must be at most " + decimal(k.Want)
	case *kind.ExclusiveMinimum:
		return "this must be more than " + decimal(k.Want)
	case *kind.ExclusiveMaximum:
		return "this must be less than " + decimal(k.Want)
	case *kind.MultipleOf:
		return "this must be a multiple of " + decimal(k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("the list must have at least %s", count(k.Want, "item"))
	case *kind.MaxItems:
		return fmt.Sprintf("the list must have at most %s", count(k.Want, "item"))
	case *kind.MinProperties:
		return fmt.Sprintf("the map must have at least %s", count(k.Want, "key"))
	case *kind.MaxProperties:
		return fmt.Sprintf("the map must have at most %s", count(k.Want, "key"))
	case *kind.UniqueItems:
		return fmt.Sprintf("the items %d and %d of the list are the same", k.Duplicates[0]+1, k.Duplicates[1]+1)
	case *kind.DependentRequired:
		return fmt.Sprintf("with the key %q, %s needed too", k.Prop, quoted(k.Missing))
	case *kind.Dependency:
		return fmt.Sprintf("with the key %q, %s needed too", k.Prop, quoted(k.Missing))
	case *kind.MinContains, *kind.MaxContains:
		return "the list has too few or too many items of the kind that is demanded"
	}
	return "this is not allowed here"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func quoted(names []string) string {
	verb := " is"
	if len(names) > 1 {
		verb = " are"
	}
	var all []string
	for _, name := range names {
		all = append(all, fmt.Sprintf("%q", name))
	}
	return strings.Join(all, " and ") + verb
}

// alternatives explains why none of several forms fits: by the one that was most likely meant.
func (s *Schema) alternatives(e *jsonschema.ValidationError, n *document.Node) diagnostic.List {
	at := n.At(e.InstanceLocation...)
	var needed, types []string
	var best diagnostic.List
	bestScore, ties := 1<<30, 0
	for _, cause := range e.Causes {
		list := s.findings(cause, n)
		if len(list) == 1 && list[0].Code == codeMissing && list[0].Line == at.Line && list[0].Column == at.Column {
			needed = append(needed, strings.TrimSuffix(strings.TrimPrefix(list[0].Message, "the key "), " is missing"))
		}
		if k, ok := onlyType(cause, len(e.InstanceLocation)); ok {
			types = append(types, k.Want...)
		}
		score := len(list)
		for _, d := range list {
			if d.Code == codeType && d.Line == at.Line && d.Column == at.Column {
				score += 1000 // it is another kind of thing altogether
			}
		}
		switch {
		case score < bestScore:
			best, bestScore, ties = list, score, 1
		case score == bestScore:
			ties++
		}
	}
	switch {
	case len(types) >= len(e.Causes):
		e := &jsonschema.ValidationError{InstanceLocation: e.InstanceLocation, ErrorKind: &kind.Type{Want: types}}
		return s.findings(e, n)
	case len(needed) == len(e.Causes) && len(needed) > 0:
		return diagnostic.List{at.Errorf("missing-key", "one of the keys %s is needed", enumerate(needed))}
	case ties == 1 && bestScore > 0 && bestScore < 1000:
		return best
	}
	return diagnostic.List{at.Errorf(codeValue, "this fits none of the %d forms that are allowed here", len(e.Causes))}
}

// onlyType reports whether all that is wrong is the type of the value at a depth.
func onlyType(e *jsonschema.ValidationError, depth int) (*kind.Type, bool) {
	for len(e.Causes) == 1 {
		e = e.Causes[0]
	}
	k, ok := e.ErrorKind.(*kind.Type)
	return k, ok && len(e.Causes) == 0 && len(e.InstanceLocation) == depth
}

// at is the part of the schema with an address of the library.
func (s *Schema) at(address string) *document.Node {
	base, fragment, _ := strings.Cut(address, "#")
	if base != schemaURL || s.node == nil {
		return nil
	}
	n := s.node
	for _, name := range pointer(fragment) {
		next := n.At(name)
		if next == n {
			return nil
		}
		n = next
	}
	return n
}

// about is what the schema says about a property, for people.
func about(name string, property *document.Node) string {
	for _, key := range []string{"description", "title"} {
		if text := property.Get(key); text != nil && text.Kind == document.String && text.Value != "" {
			line, _, _ := strings.Cut(text.Value, "\n")
			if r := []rune(line); len(r) > 120 {
				line = string(r[:120]) + "…"
			}
			return name + ": " + line
		}
	}
	return ""
}

func typeName(t string) string {
	switch t {
	case "string":
		return "a string"
	case "integer":
		return "a whole number"
	case "number":
		return "a number"
	case "boolean":
		return "true or false"
	case "object":
		return "a map"
	case "array":
		return "a list"
	}
	return "nothing"
}

// enumerate joins words with commas and an "or".
func enumerate(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

func inJSON(value any) string {
	raw, err := json.Marshal(value)
	if err != nil {
		return "?"
	}
	return string(raw)
}

func decimal(r *big.Rat) string {
	if r.IsInt() {
		return r.RatString()
	}
	return strings.TrimRight(r.FloatString(6), "0")
}
