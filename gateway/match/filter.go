package match

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"switchhook/spec/diagnostic"
)

// MaxFilterDepth is how many objects and arrays of a filter may lie within one another.
const MaxFilterDepth = 64

// Filter is a parsed filter; see the package comment for the syntax. It is
// immutable. A nil *Filter passes everything.
type Filter struct {
	raw      string
	root     *node
	nodes    int
	warnings []FilterError
}

// FilterError is one mistake in a filter.
type FilterError struct {
	// Path names the place in the filter, such as "$or[1].amount.$gte"; "" is the filter itself.
	Path string
	// Message says what is wrong, without the place; Hint how to mend it, or "".
	Message, Hint string
}

func (e FilterError) Error() string {
	s := e.Message
	if e.Path != "" {
		s = e.Path + ": " + s
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// FilterErrors is all mistakes in a filter, in the order of the text; never empty
// when returned as an error.
type FilterErrors []FilterError

func (l FilterErrors) Error() string {
	texts := make([]string, len(l))
	for i := range l {
		texts[i] = l[i].Error()
	}
	return "filter: " + strings.Join(texts, "; ")
}

// node is a place of a filter: a literal, a list or conditions.
type node struct {
	// value is the text of the place; a literal's value too.
	value gjson.Result
	// items is set for a list, conditions for an object.
	items      []*node
	conditions *conditions
}

// conditions is an object of a filter. All that it has must hold.
type conditions struct {
	operations []operation
	ref        *reference
	// group is the fields and $or, $and, $not; nil for none.
	group *group
}

type group struct {
	fields    []field
	ors, ands [][]*node
	nots      []*node
	// others is the group without nots: the group itself, or nil if nothing is left.
	others *group
}

type field struct {
	name string
	node *node
}

// operation is an operator with its operand.
type operation struct {
	operator operator
	operand  gjson.Result
	ref      *reference // the operand is elsewhere in the payload
	// strings and numbers are the items of a list, sorted.
	strings []string
	numbers []float64
	// text is the operand stringified; for $eq and $neq with an object or array.
	text string
}

type operator uint8

const (
	opEq operator = iota
	opNeq
	opGt
	opGte
	opLt
	opLte
	opIn
	opNin
	opStartsWith
	opEndsWith
	opExist
)

var operatorNames = [...]string{"$eq", "$neq", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$startsWith", "$endsWith", "$exist"}

func (o operator) String() string { return operatorNames[o] }

var filterWords = append([]string{"$or", "$and", "$not", "$ref"}, operatorNames[:]...)

// ParseFilter parses a filter written in JSON. The error is a FilterErrors. raw is not kept.
func ParseFilter(raw []byte) (*Filter, error) {
	if !json.Valid(raw) {
		var syntax *json.SyntaxError
		var discard any
		message := "not valid JSON"
		if err := json.Unmarshal(raw, &discard); errors.As(err, &syntax) {
			message = fmt.Sprintf("not valid JSON: %s at byte %d", syntax.Error(), syntax.Offset)
		}
		return nil, FilterErrors{{Message: message}}
	}
	f := &Filter{raw: strings.TrimSpace(string(raw))}
	p := filterParser{filter: f}
	f.root = p.node(gjson.Parse(f.raw), nil, onPayload, 0)
	if len(p.errors) > 0 {
		return nil, p.errors
	}
	return f, nil
}

// String is the filter's JSON.
func (f *Filter) String() string { return f.raw }

// Warnings lists what is valid and yet surely not meant, because of how the syntax is
// defined: conditions that no usual payload can meet.
func (f *Filter) Warnings() []FilterError { return f.warnings }

// standing is what a place of a filter is compared with. The syntax treats a field's
// value and a whole payload (or what $and and $not see of a field) differently.
type standing uint8

const (
	onPayload     standing = iota // the payload, an object as a rule
	onField                       // the value of a field
	onAlternative                 // the value of a field, under $or
	onObject                      // the value of a field, under $and and $not: objects only
)

type filterParser struct {
	filter *Filter
	errors FilterErrors
}

// place is a path in a filter, innermost step first.
type filterPlace struct {
	up    *filterPlace
	key   string
	index int // for key == ""
	isKey bool
}

func (p *filterPlace) String() string {
	if p == nil {
		return ""
	}
	up := p.up.String()
	if !p.isKey {
		return up + "[" + strconv.Itoa(p.index) + "]"
	}
	return joinPath(up, p.key)
}

// joinPath appends a key to a path as people write it.
func joinPath(path, key string) string {
	plain := key != "" && strings.IndexFunc(key, func(r rune) bool {
		return r != '_' && r != '$' && r != '-' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z') && r < 0x80
	}) < 0
	switch {
	case !plain:
		return path + "[" + quoted(key) + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

func (p *filterParser) fail(at *filterPlace, hint, format string, args ...any) {
	p.errors = append(p.errors, FilterError{Path: at.String(), Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (p *filterParser) warn(at *filterPlace, hint, format string, args ...any) {
	p.filter.warnings = append(p.filter.warnings, FilterError{Path: at.String(), Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (p *filterParser) node(v gjson.Result, at *filterPlace, on standing, depth int) *node {
	p.filter.nodes++
	n := &node{value: v}
	if depth > MaxFilterDepth {
		p.fail(at, "", "nested deeper than %d levels", MaxFilterDepth)
		return n
	}
	switch {
	case isArray(v):
		p.checkPlain(v, at, on)
		n.items = []*node{}
		v.ForEach(func(_, item gjson.Result) bool {
			n.items = append(n.items, p.node(item, &filterPlace{up: at, index: len(n.items)}, onField, depth+1))
			return true
		})
	case isObject(v):
		n.conditions = p.conditions(v, at, on, depth)
	default:
		p.checkPlain(v, at, on)
	}
	return n
}

// checkPlain warns of a literal or a list where none can match.
func (p *filterParser) checkPlain(v gjson.Result, at *filterPlace, on standing) {
	switch {
	case on == onPayload:
		p.warn(at, `name the field: {"field": `+shorten(v.Raw, 30)+"}", "compares %s with the payload as a whole, which is an object as a rule", kindOf(v))
	case on == onObject:
		p.warnObjectOnly(at)
	case on == onAlternative && isNull(v):
		p.warn(at, `put $or in front of the field: {"$or": [{"field": null}, ...]}`, "null never matches in the $or of a field")
	}
}

func (p *filterParser) warnObjectOnly(at *filterPlace) {
	p.warn(at, `use $neq or $nin, or put it in front of the field: {"$not": {"field": ...}}`,
		"$and and $not on a field look at objects only: a string, number, boolean or null there never matches")
}

func (p *filterParser) conditions(v gjson.Result, at *filterPlace, on standing, depth int) *conditions {
	c := &conditions{}
	g := &group{}
	var keys []string
	v.ForEach(func(key, value gjson.Result) bool {
		name := key.Str
		here := &filterPlace{up: at, key: name, isKey: true}
		if slices.Contains(keys, name) {
			p.fail(here, "", "the key stands twice in one object")
			return true
		}
		keys = append(keys, name)
		switch {
		case name == "$or", name == "$and":
			list := p.list(value, here, name, inner(on, name), depth)
			if name == "$or" {
				g.ors = append(g.ors, list)
			} else {
				g.ands = append(g.ands, list)
			}
		case name == "$not":
			g.nots = append(g.nots, p.node(value, here, inner(on, name), depth+1))
		case name == "$ref":
			if c.ref = p.reference(value, here); on != onField {
				p.warn(here, `write {"field": {"$ref": ...}}`, "a $ref that does not stand directly on a field never matches an object, string or number")
			}
		case strings.HasPrefix(name, "$"):
			i := slices.Index(operatorNames[:], name)
			if i < 0 {
				hint := diagnostic.DidYouMean(name, filterWords)
				if hint == "" {
					hint = "operators are " + strings.Join(filterWords, " ")
				}
				p.fail(here, hint, "unknown operator %s", show(name))
				return true
			}
			c.operations = append(c.operations, p.operation(operator(i), value, here))
			switch on {
			case onPayload:
				p.warn(here, `name the field: {"field": {"`+name+`": ...}}`, "an operator here is compared with the payload as a whole, and never matches an object")
			case onObject:
				p.warnObjectOnly(here)
			}
		default:
			g.fields = append(g.fields, field{name, p.node(value, here, onField, depth+1)})
		}
		return true
	})
	if len(g.fields)+len(g.ors)+len(g.ands)+len(g.nots) > 0 {
		g.others = g
		if len(g.nots) > 0 {
			g.others = nil
			if len(g.fields)+len(g.ors)+len(g.ands) > 0 {
				g.others = &group{fields: g.fields, ors: g.ors, ands: g.ands}
				g.others.others = g.others
			}
		}
		c.group = g
	}
	return c
}

// inner is the standing of what $or, $and or $not take.
func inner(on standing, word string) standing {
	switch {
	case on == onPayload || on == onObject:
		return on
	case on == onAlternative && word == "$not", word == "$or":
		return onAlternative
	}
	return onObject
}

func (p *filterParser) list(v gjson.Result, at *filterPlace, word string, on standing, depth int) []*node {
	var list []*node
	if !isArray(v) {
		p.fail(at, "", "expected a list of filters, got %s", kindOf(v))
		return nil
	}
	v.ForEach(func(_, item gjson.Result) bool {
		list = append(list, p.node(item, &filterPlace{up: at, index: len(list)}, on, depth+1))
		return true
	})
	if len(list) == 0 {
		p.fail(at, "", "%s needs at least one filter in its list", word)
	}
	return list
}

// reference parses the path of a $ref; it is nil after a mistake.
func (p *filterParser) reference(v gjson.Result, at *filterPlace) *reference {
	if v.Type != gjson.String {
		p.fail(at, "", "expected a path into the payload, got %s", kindOf(v))
		return nil
	}
	r, mistake, hint := parseReference(v.Str)
	if mistake != "" {
		p.fail(at, hint, "%s", mistake)
	}
	return r
}

func (p *filterParser) operation(o operator, v gjson.Result, at *filterPlace) operation {
	op := operation{operator: o, operand: v}
	if isObject(v) && v.Get("$ref").Exists() {
		members := orderedMembers(v)
		for _, m := range members {
			here := &filterPlace{up: at, key: m.key, isKey: true}
			if m.key == "$ref" {
				op.ref = p.reference(m.value, here)
			} else {
				p.fail(here, "", "nothing may stand beside $ref in an operand")
			}
		}
		return op
	}
	expect := func(what string) { p.fail(at, "", "%s takes %s, got %s", o, what, kindOf(v)) }
	switch o {
	case opEq, opNeq:
		if v.Type == gjson.JSON {
			budget := MaxFilterDepth * (len(v.Raw) + MaxFilterDepth)
			text, ok := appendStringified(nil, v, &budget)
			if !ok {
				p.fail(at, "", "nested deeper than %d levels", MaxFilterDepth)
			}
			op.text = string(text)
		}
	case opGt, opGte, opLt, opLte:
		if v.Type != gjson.Number && v.Type != gjson.String {
			expect("a number or a string")
		}
	case opIn, opNin, opStartsWith, opEndsWith:
		numbers := o == opIn || o == opNin
		switch {
		case isArray(v):
			p.items(&op, v, at, numbers)
		case v.Type == gjson.String || v.Type == gjson.Number && numbers:
		case numbers:
			expect("a list, or a string to look for in the value")
		default:
			expect("a string or a list of strings")
		}
	case opExist:
		if !isBool(v) {
			expect("true or false")
		}
	}
	return op
}

func (p *filterParser) items(op *operation, v gjson.Result, at *filterPlace, numbers bool) {
	index := 0
	v.ForEach(func(_, item gjson.Result) bool {
		switch {
		case item.Type == gjson.String:
			op.strings = append(op.strings, item.Str)
		case item.Type == gjson.Number && numbers:
			op.numbers = append(op.numbers, item.Num)
		case numbers:
			p.fail(&filterPlace{up: at, index: index}, `write {"$or": [...]} for other values`, "the list of %s takes strings and numbers, got %s", op.operator, kindOf(item))
		default:
			p.fail(&filterPlace{up: at, index: index}, "", "the list of %s takes strings, got %s", op.operator, kindOf(item))
		}
		index++
		return true
	})
	slices.Sort(op.strings)
	slices.Sort(op.numbers)
}

// kindOf names the type of a value for people.
func kindOf(v gjson.Result) string {
	switch v.Type {
	case gjson.String:
		return "a string"
	case gjson.Number:
		return "a number"
	case gjson.True, gjson.False:
		return v.Raw
	case gjson.JSON:
		if isArray(v) {
			return "a list"
		}
		return "an object"
	}
	if v.Raw == "" {
		return "nothing"
	}
	return "null"
}
