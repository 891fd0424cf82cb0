// Package mapping compiles functions that are written as a mapping, in the
// published format of Integration.app/Membrane connectors, to JavaScript: YAML
// in which a map whose first key begins with "$" is a formula. Only package
// script uses it.
//
// The code it makes has every formula on the line that it has in the YAML file, so
// what fails when it runs is found there.
package mapping

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// The modules that compiled code imports.
const (
	runtimeModule = "switchhook:mapping"
	jsonataModule = "switchhook:jsonata"
)

//go:embed runtime.js
var runtimeText string

//go:embed jsonata/jsonata.min.js
var jsonataText string

// Module is the text of a module that compiled code imports.
func Module(name string) (text string, ok bool) {
	switch name {
	case runtimeModule:
		return runtimeText, true
	case jsonataModule:
		return jsonataText, true
	}
	return "", false
}

// Version changes when compiled code would do something else.
func Version() string { return version() }

var version = sync.OnceValue(func() string {
	sum := sha256.Sum256([]byte(runtimeText + jsonataText))
	return hex.EncodeToString(sum[:])
})

// Options say for what a mapping is compiled.
type Options struct {
	// Variables are the names that $var can begin with.
	Variables []string
	// CheckJSONata finds out whether an expression can be parsed; its error says what is wrong.
	CheckJSONata func(expression string) error
}

// Compile turns the mapping n into an ES module whose default export is the
// function. The list says all that is wrong with it at once; code is empty
// when it has errors.
func Compile(n *document.Node, o Options) (code string, list diagnostic.List) {
	if n.Kind == document.Null {
		return "", diagnostic.List{n.Errorf("empty-code", "the mapping is empty")}
	}
	g := &generator{options: o, line: 1, async: uses(n, "jsonata")}
	g.write("import * as m from %q; ", runtimeModule)
	if g.async {
		g.write("import jsonata from %q; ", jsonataModule)
	}
	g.write("export default %sfunction (v) { let t; return %s(", g.functions(), map[bool]string{true: "m.copied", false: ""}[uses(n, "copy")])
	g.value(n, scope{names: o.Variables, top: true})
	g.write("); }\n")
	if g.list.HasErrors() {
		return "", g.list
	}
	return g.out.String(), g.list
}

// uses reports whether a formula is used anywhere in n.
func uses(n *document.Node, formula string) bool {
	switch name, _ := formulaOf(n); name {
	case formula:
		return true
	case "plain":
		return false
	}
	return slices.ContainsFunc(n.Entries(), func(e document.Entry) bool { return uses(e.Value, formula) }) ||
		slices.ContainsFunc(n.Items(), func(item *document.Node) bool { return uses(item, formula) })
}

// formulaOf returns the name and the argument of the formula that n is; "" when it is none.
func formulaOf(n *document.Node) (name string, argument *document.Node) {
	entries := n.Entries()
	if len(entries) == 0 || !strings.HasPrefix(entries[0].Key, "$") {
		return "", nil
	}
	return entries[0].Key[1:], entries[0].Value
}

// scope is what $var can name at a place.
type scope struct {
	names []string
	top   bool // not within $iterate
}

type generator struct {
	options Options
	out     strings.Builder
	line    int
	async   bool
	list    diagnostic.List
}

func (g *generator) write(format string, args ...any) { fmt.Fprintf(&g.out, format, args...) }

// at moves on to the line of n.
func (g *generator) at(n *document.Node) {
	for ; g.line < n.Line; g.line++ {
		g.out.WriteByte('\n')
	}
}

// functions is what stands in front of functions.
func (g *generator) functions() string {
	if g.async {
		return "async "
	}
	return ""
}

func (g *generator) fail(n *document.Node, hint, format string, args ...any) {
	d := n.Errorf("bad-mapping", format, args...)
	d.Hint = hint
	g.list.Add(d)
}

func (g *generator) warn(n *document.Node, hint, format string, args ...any) {
	d := n.Warnf("bad-mapping", format, args...)
	d.Hint = hint
	g.list.Add(d)
}

// value writes an expression for n.
func (g *generator) value(n *document.Node, s scope) {
	if n == nil {
		g.write("undefined")
		return
	}
	g.at(n)
	if name, argument := formulaOf(n); name != "" {
		g.formula(n, name, argument, s)
		return
	}
	for i, e := range n.Entries() {
		if i > 0 && known(strings.TrimPrefix(e.Key, "$")) && strings.HasPrefix(e.Key, "$") {
			g.warn(e.KeyNode, "write it as the only key", "%s is no formula here, because it is not the first key", e.Key)
		}
	}
	g.data(n, func(inner *document.Node) { g.value(inner, s) })
}

// data writes n itself, with what inner writes for what it holds.
func (g *generator) data(n *document.Node, inner func(*document.Node)) {
	g.at(n)
	switch n.Kind {
	case document.Map:
		g.write("m.object([")
		for _, e := range n.Entries() {
			g.at(e.KeyNode)
			g.write("%s, ", strconv.QuoteToASCII(strings.ToValidUTF8(e.Key, "\uFFFD")))
			inner(e.Value)
			g.write(", ")
		}
		g.write("])")
	case document.List:
		g.write("m.list([")
		for _, item := range n.Items() {
			inner(item)
			g.write(", ")
		}
		g.write("])")
	default:
		g.write("%s", n.JSON())
	}
}

// plain writes n as data, whatever its keys are.
func (g *generator) plain(n *document.Node) { g.data(n, g.plain) }

// formula writes a call of the formula that n is.
func (g *generator) formula(n *document.Node, name string, argument *document.Node, s scope) {
	if why, ok := absent[name]; ok {
		g.fail(n.Entries()[0].KeyNode, "write the function in JavaScript", "$%s %s", name, why)
		return
	}
	if !known(name) {
		hint := diagnostic.DidYouMean("$"+name, formulaKeys())
		if hint == "" {
			hint = "for data with such a key write $plain: around it"
		}
		g.fail(n.Entries()[0].KeyNode, hint, "there is no formula $%s", name)
		return
	}
	if name != "eval" {
		for _, e := range n.Entries()[1:] {
			g.warn(e.KeyNode, "", "the key %q beside $%s is ignored", e.Key, name)
		}
	}
	write[name](g, n, argument, s)
}

// call writes m.NAME(argument).
func call(name string) func(*generator, *document.Node, *document.Node, scope) {
	return func(g *generator, _, argument *document.Node, s scope) {
		g.write("m.%s(", name)
		g.value(argument, s)
		g.write(")")
	}
}

// listCall is call for formulas that take a list.
func listCall(name string) func(*generator, *document.Node, *document.Node, scope) {
	return func(g *generator, n, argument *document.Node, s scope) {
		if formula, _ := formulaOf(argument); argument.Kind != document.List && formula == "" {
			g.fail(argument, "", "%s takes a list, not %s", n.Entries()[0].Key, argument.Kind)
			return
		}
		call(name)(g, n, argument, s)
	}
}

// part returns the value of a key of a formula's argument, and reports when it is missing.
func (g *generator) part(n, argument *document.Node, keys ...string) *document.Node {
	for _, key := range keys {
		if v := argument.Get(key); v != nil {
			return v
		}
	}
	g.fail(argument, "", "%s needs %s:", n.Entries()[0].Key, keys[0])
	return nil
}

// keys reports whether a formula's argument is a map, and which of its keys mean nothing.
func (g *generator) keys(n, argument *document.Node, keys ...string) bool {
	if argument.Kind != document.Map {
		g.fail(argument, "", "%s takes a map with %s, not %s", n.Entries()[0].Key, strings.Join(keys, ", "), argument.Kind)
		return false
	}
	for _, e := range argument.Entries() {
		if !slices.Contains(keys, e.Key) {
			g.warn(e.KeyNode, diagnostic.DidYouMean(e.Key, keys), "the key %q means nothing to %s", e.Key, n.Entries()[0].Key)
		}
	}
	return true
}

// write has for each formula what writes its expression.
var write map[string]func(g *generator, n, argument *document.Node, s scope)

func init() { // not a literal, because the functions use formula
	write = map[string]func(g *generator, n, argument *document.Node, s scope){
		"var": func(g *generator, n, argument *document.Node, s scope) {
			if argument.Kind != document.String || argument.Value == "" {
				g.fail(argument, "such as $.parameters.id", "$var takes the path of a variable, not %s", argument.Kind)
				return
			}
			steps, err := parseLocator(argument.Value)
			if err != nil {
				g.fail(argument, "", "%s", err)
				return
			}
			g.checkVariable(argument, steps, s)
			g.write("m.get(v, %s)", stepsCode(steps))
		},
		"plain": func(g *generator, _, argument *document.Node, _ scope) { g.plain(argument) },
		"formula": func(g *generator, _, argument *document.Node, s scope) {
			var inner func(*document.Node)
			inner = func(n *document.Node) {
				if name, _ := formulaOf(n); name == "var" {
					g.value(n, s)
					return
				}
				g.data(n, inner)
			}
			inner(argument)
		},
		"copy": func(g *generator, n, argument *document.Node, s scope) {
			if argument.Kind != document.String || argument.Value == "" {
				g.fail(argument, "such as firstName", "$copy takes the path of another field of the result, not %s", argument.Kind)
				return
			}
			steps, err := parseLocator(argument.Value)
			if err != nil {
				g.fail(argument, "", "%s", err)
				return
			}
			g.write("new m.Copy(%s, %s)", stepsCode(steps), quote(argument.Value))
		},
		"record": func(g *generator, _, argument *document.Node, s scope) {
			g.write("m.get(")
			g.value(argument, s)
			g.write(`, ["id"])`)
		},
		"tpl": func(g *generator, n, argument *document.Node, s scope) {
			if !g.keys(n, argument, "template", "values") {
				return
			}
			template := g.part(n, argument, "template")
			if template == nil {
				return
			}
			if formula, _ := formulaOf(template); template.Kind != document.String && formula == "" {
				g.fail(template, "", "template: must be a string, not %s", template.Kind)
				return
			}
			values := argument.Get("values")
			if values == nil {
				values = &document.Node{Kind: document.Map}
			}
			if template.Kind == document.String {
				for _, name := range values.Keys() {
					if !strings.Contains(template.Value, "{"+name+"}") {
						g.warn(values.Get(name), "", "the template has no {%s}", name)
					}
				}
			}
			g.write("m.tpl(")
			g.value(template, s)
			g.write(", [")
			for _, e := range values.Entries() {
				g.at(e.KeyNode)
				g.write("%s, ", quote(e.Key))
				g.value(e.Value, s)
				g.write(", ")
			}
			g.write("])")
		},
		"concat": func(g *generator, n, argument *document.Node, s scope) {
			g.write("m.concat(")
			if argument.Kind == document.List {
				g.value(argument, s)
			} else {
				if !g.keys(n, argument, "values", "delimiter") {
					return
				}
				g.value(g.part(n, argument, "values"), s)
				if delimiter := argument.Get("delimiter"); delimiter != nil {
					g.write(", ")
					g.value(delimiter, s)
				}
			}
			g.write(")")
		},
		"map": func(g *generator, n, argument *document.Node, s scope) {
			if !g.keys(n, argument, "value", "mapping", "mappings", "default") {
				return
			}
			value, mapping := g.part(n, argument, "value"), g.part(n, argument, "mapping", "mappings")
			if value == nil || mapping == nil {
				return
			}
			if mapping.Kind != document.List {
				g.fail(mapping, "", "expected a list of {from, to}, got %s", mapping.Kind)
				return
			}
			// The value is computed once, and of the others no more than are needed.
			g.write("(t = [")
			g.value(value, s)
			g.write(", t], t = [")
			for _, item := range mapping.Items() {
				if !g.keys(n, item, "from", "to") {
					continue
				}
				g.at(item)
				g.write("m.same(t[0], ")
				g.value(item.Get("from"), s)
				g.write(") ? ")
				g.value(item.Get("to"), s)
				g.write(" : ")
			}
			g.value(argument.Get("default"), s)
			g.write(", t[1]], [t[0], t = t[1]][0])")
		},
		"case": func(g *generator, n, argument *document.Node, s scope) {
			cases, otherwise := argument, (*document.Node)(nil)
			if argument.Kind != document.List {
				if !g.keys(n, argument, "cases", "default") {
					return
				}
				cases, otherwise = g.part(n, argument, "cases"), argument.Get("default")
			}
			if cases == nil {
				return
			}
			if cases.Kind != document.List {
				g.fail(cases, "", "expected a list of {filter, value}, got %s", cases.Kind)
				return
			}
			g.write("(")
			for _, item := range cases.Items() {
				if !g.keys(n, item, "filter", "value") {
					continue
				}
				g.at(item)
				g.filter(item.Get("filter"), s)
				g.write(" ? ")
				g.value(item.Get("value"), s)
				g.write(" : ")
			}
			g.value(otherwise, s)
			g.write(")")
		},
		"iterate": func(g *generator, n, argument *document.Node, s scope) {
			if !g.keys(n, argument, "source", "item") {
				return
			}
			source, item := g.part(n, argument, "source"), g.part(n, argument, "item")
			if source == nil || item == nil {
				return
			}
			// The entries stand in the order of the file, or the lines would be wrong.
			function := func() {
				g.at(item)
				g.write("%s(v) => { let t; return (", g.functions())
				g.value(item, scope{names: []string{"item", "parent", "index"}})
				g.write("); }")
			}
			name := "m.iterate"
			if g.async {
				name = "await m.iterateAsync"
			}
			if item.Line < source.Line {
				g.write("%s(", name)
				function()
				g.write(", v, ")
				g.value(source, s)
				g.write(", true)")
				return
			}
			g.write("%s(", name)
			g.value(source, s)
			g.write(", v, ")
			function()
			g.write(")")
		},
		"eval": func(g *generator, n, argument *document.Node, s scope) {
			if len(n.Entries()) < 2 {
				g.fail(n.Entries()[0].KeyNode, "such as is: or isEmpty:", "$eval needs an operator beside it")
				return
			}
			operator := n.Entries()[1]
			if !slices.Contains(operators, operator.Key) {
				g.list.Add(document.UnknownKey(operator, operators...))
				return
			}
			for _, e := range n.Entries()[2:] {
				g.warn(e.KeyNode, "combine them with $and", "the key %q is ignored; $eval has one operator", e.Key)
			}
			g.write("m.operators.%s(", operator.Key)
			g.value(argument, s)
			g.write(", ")
			g.value(operator.Value, s)
			g.write(")")
		},
		"and": listCall("and"), "or": listCall("or"), "mergeObjects": listCall("mergeObjects"), "firstNotEmpty": listCall("firstNotEmpty"),
		"firstName": call("firstName"), "lastName": call("lastName"),
		"extractDate": call("extractDate"), "extractTime": call("extractTime"), "domainFromEmail": call("domainFromEmail"),
		"jsonata": func(g *generator, _, argument *document.Node, s scope) {
			if formula, _ := formulaOf(argument); argument.Kind != document.String && formula == "" {
				g.fail(argument, "", "$jsonata takes an expression, not %s", argument.Kind)
				return
			}
			if argument.Kind == document.String {
				if err := g.options.CheckJSONata(argument.Value); err != nil {
					g.fail(argument, "", "the JSONata expression is wrong: %s", err)
					return
				}
			}
			g.write("await m.jsonata(jsonata, ")
			g.value(argument, s)
			g.write(", v)")
		},
	}
}

// filter writes a condition of $case: a formula, or a list of {field, operator, value} that must all hold.
func (g *generator) filter(n *document.Node, s scope) {
	if n == nil || n.Kind == document.Null {
		g.write("true")
		return
	}
	if n.Kind != document.List {
		g.write("m.holds(")
		g.value(n, s)
		g.write(")")
		return
	}
	g.write("(true")
	for _, item := range n.Items() {
		if item.Kind != document.Map {
			g.fail(item, "", "expected {field, operator, value}, got %s", item.Kind)
			continue
		}
		field, operator := item.Get("field"), item.Get("operator")
		if field == nil || operator == nil {
			g.fail(item, "", "a condition has field:, operator: and value:")
			continue
		}
		steps, err := parseLocator(field.Value)
		if err != nil {
			g.fail(field, "", "%s", err)
			continue
		}
		g.checkVariable(field, steps, s)
		function, ok := filterOperators[operator.Value]
		if !ok && !slices.Contains(operators, operator.Value) {
			g.list.Add(operator.UnknownName("operator", append(slices.Sorted(maps.Keys(filterOperators)), operators...)))
			continue
		}
		g.write(" && m.some(v, %s, m.operators.%s, ", stepsCode(steps), cmp.Or(function, operator.Value))
		if value := item.Get("value"); value != nil {
			g.value(value, s)
		} else {
			g.write("undefined")
		}
		g.write(")")
	}
	g.write(")")
}

// checkVariable warns of paths that begin with what is not there.
func (g *generator) checkVariable(n *document.Node, steps []any, s scope) {
	if len(steps) == 0 || len(s.names) == 0 {
		return
	}
	first, ok := steps[0].(string)
	if !ok || slices.Contains(s.names, first) {
		return
	}
	if why, ok := absentVariables[first]; ok && s.top {
		g.fail(n, "the subscription can name webhook and selector directly instead", "%s", why)
		return
	}
	hint := diagnostic.DidYouMean(first, s.names)
	if hint == "" {
		hint = "there are: " + strings.Join(s.names, ", ")
	}
	g.warn(n, hint, "there is no variable %q here", first)
}

func quote(s string) string { return strconv.QuoteToASCII(s) }

// parseLocator takes a path such as $.a.b[0] apart, into names and indexes. A backslash
// in front of a dot or bracket makes it part of a name.
func parseLocator(text string) ([]any, error) {
	rest := strings.TrimPrefix(text, "$")
	if rest == text { // it may begin with a name
		rest = "." + text
	}
	var steps []any
	for rest != "" {
		switch rest[0] {
		case '.':
			var name strings.Builder
			i := 1
			for ; i < len(rest) && rest[i] != '.' && rest[i] != '['; i++ {
				if rest[i] == '\\' && i+1 < len(rest) {
					i++
				}
				name.WriteByte(rest[i])
			}
			if name.Len() == 0 {
				return nil, fmt.Errorf("the path %q has an empty name", text)
			}
			steps, rest = append(steps, name.String()), rest[i:]
		case '[':
			inside, after, ok := strings.Cut(rest[1:], "]")
			index, err := strconv.Atoi(inside)
			if !ok || err != nil || index < 0 {
				return nil, fmt.Errorf("the path %q has %q where an index such as [0] is expected", text, "["+inside)
			}
			steps, rest = append(steps, index), after
		default:
			return nil, fmt.Errorf("the path %q has %q where . or [ is expected", text, rest[:1])
		}
	}
	return steps, nil
}

func stepsCode(steps []any) string {
	parts := make([]string, len(steps))
	for i, s := range steps {
		if name, ok := s.(string); ok {
			parts[i] = quote(name)
		} else {
			parts[i] = fmt.Sprint(s)
		}
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
