package match

import (
	"fmt"
	"strings"

	"github.com/tidwall/gjson"
)

// maxReasons bounds how many conditions Explain names.
const maxReasons = 8

// Explain says which conditions of the filter a payload (valid JSON) does not
// meet, with the values that decided, shortened; "" when it passes.
func (f *Filter) Explain(payload []byte) string {
	if f.Match(payload) {
		return ""
	}
	e := evaluate(payload)
	defer e.release()
	e.budget = budgetFor(f.nodes, len(e.root.Raw))
	x := &explainer{evaluation: e}
	x.node(e.root, f.root, true, "")
	if e.budget < 0 {
		return "the filter compares too much of this payload with itself to be evaluated"
	}
	if len(x.reasons) > maxReasons {
		x.reasons = append(x.reasons[:maxReasons], fmt.Sprintf("and %d more", len(x.reasons)-maxReasons))
	}
	return strings.Join(x.reasons, "; ")
}

// explainer walks where an evaluation went and collects why it failed.
type explainer struct {
	*evaluation
	reasons []string
}

func (x *explainer) add(format string, args ...any) {
	x.reasons = append(x.reasons, fmt.Sprintf(format, args...))
}

// node explains why n fails on v, if it does; whole tells the two ways to evaluate apart.
func (x *explainer) node(v gjson.Result, n *node, whole bool, path string) {
	if whole && x.whole(v, n) || !whole && x.field(v, n) {
		return
	}
	before := len(x.reasons)
	switch {
	case n.conditions == nil && n.items == nil:
		if isArray(v) {
			x.add("no item of %s equals %s: %s", named(path), shown(n.value), shown(v))
		} else {
			x.add("%s, expected %s", is(path, v), shown(n.value))
		}
	case n.conditions == nil:
		if !isArray(v) {
			x.add("%s, expected a list with %s", is(path, v), shown(n.value))
		}
		for _, item := range n.items {
			if isArray(v) && !x.some(v, func(o gjson.Result) bool { return x.field(o, item) }) {
				x.add("no item of %s matches %s: %s", named(path), shown(item.value), shown(v))
			}
		}
	default:
		x.conditions(v, n, whole, path)
	}
	if len(x.reasons) == before {
		x.add("%s, which does not match %s", is(path, v), shown(n.value))
	}
}

func (x *explainer) conditions(v gjson.Result, n *node, whole bool, path string) {
	c := n.conditions
	if whole && isObject(v) && (len(c.operations) > 0 || c.ref != nil) {
		x.add("%s is an object as a whole, which no operator matches", named(path))
		return
	}
	if c.ref != nil && (whole && !isArray(v) || !x.reference(v, c.ref)) {
		x.add("%s, expected %s", is(path, v), x.referred(c.ref))
	}
	for i := range c.operations {
		if op := &c.operations[i]; !x.operation(v, op) {
			x.operationReason(v, op, path)
		}
	}
	g := c.group
	switch {
	case g == nil:
	case isObject(v):
		x.object(v, g, path)
	case isArray(v):
		x.array(v, g, whole, path)
	case whole || len(g.ors) > 0 && v.Exists():
		x.alternatives(v, g, path)
		x.nots(v, g, path)
	case len(g.fields) == 0:
		x.add("%s: $and and $not on a field look at objects only", is(path, v))
	default:
		x.add("%s, expected an object with %s", is(path, v), joinPath("", g.fields[0].name))
	}
}

// object explains a group on an object.
func (x *explainer) object(v gjson.Result, g *group, path string) {
	for i := range g.fields {
		x.node(x.member(v, g.fields[i].name), g.fields[i].node, false, joinPath(path, g.fields[i].name))
	}
	for _, list := range g.ands {
		for _, n := range list {
			x.node(v, n, true, path)
		}
	}
	x.nots(v, g, path)
	x.alternatives(v, g, path)
}

func (x *explainer) nots(v gjson.Result, g *group, path string) {
	for _, n := range g.nots {
		if x.whole(v, n) {
			x.add("%s matches %s, which $not excludes", named(path), shown(n.value))
		}
	}
}

func (x *explainer) alternatives(v gjson.Result, g *group, path string) {
	for _, list := range g.ors {
		var each []string
		for _, n := range list {
			if x.whole(v, n) {
				each = nil
				break
			}
			inner := &explainer{evaluation: x.evaluation}
			inner.node(v, n, true, path)
			each = append(each, fmt.Sprintf("(%d) %s", len(each)+1, strings.Join(inner.reasons, "; ")))
		}
		if len(each) > 0 {
			more := ""
			if len(each) > 4 {
				more = fmt.Sprintf(", and %d more", len(each)-4)
				each = each[:4]
			}
			x.add("none of $or matches: %s%s", strings.Join(each, ", "), more)
		}
	}
}

// array explains a group on an array by the item that comes nearest.
func (x *explainer) array(v gjson.Result, g *group, whole bool, path string) {
	if whole {
		x.nots(v, g, path)
		if g = g.others; g == nil {
			return
		}
	}
	items := 0
	var nearest []string
	x.some(v, func(item gjson.Result) bool {
		at := fmt.Sprintf("%s[%d]", path, items)
		items++
		if items > 20 {
			return false
		}
		inner := &explainer{evaluation: x.evaluation}
		switch {
		case isObject(item):
			inner.object(item, g, at)
		case isArray(item):
			inner.array(item, g, len(g.ors) > 0, at)
		default:
			inner.add("%s, expected an object", is(at, item))
		}
		if nearest == nil || len(inner.reasons) > 0 && len(inner.reasons) < len(nearest) {
			nearest = inner.reasons
		}
		return false
	})
	switch {
	case items == 0:
		x.add("%s has no items", named(path))
	case nearest == nil:
		x.add("no item of %s matches", named(path))
	default:
		x.add("none of the %d items of %s matches, the nearest: %s", items, named(path), strings.Join(nearest, "; "))
	}
}

var operatorMeanings = [...]string{
	opEq: "equal to", opNeq: "other than", opGt: "greater than", opGte: "at least", opLt: "less than", opLte: "at most",
	opIn: "one of", opNin: "none of", opStartsWith: "starting with", opEndsWith: "ending with",
}

func (x *explainer) operationReason(v gjson.Result, op *operation, path string) {
	if op.operator == opExist {
		if v.Exists() {
			x.add("%s, expected it to be missing", is(path, v))
		} else {
			x.add("%s is missing, expected it to exist", named(path))
		}
		return
	}
	meaning := operatorMeanings[op.operator]
	if op.operand.Type == gjson.String && op.ref == nil {
		switch op.operator {
		case opIn:
			meaning = "a string with"
		case opNin:
			meaning = "a string without"
		}
	}
	operand := shown(op.operand)
	if op.ref != nil {
		operand = x.referred(op.ref)
	}
	x.add("%s, expected %s: %s %s", is(path, v), op.operator, meaning, operand)
}

// referred shows what a $ref stands for.
func (x *explainer) referred(r *reference) string {
	v, ok := x.resolve(r)
	if !ok {
		return fmt.Sprintf("%s, but no item is being matched", r.text)
	}
	if !v.Exists() {
		return fmt.Sprintf("%s, which is missing", r.text)
	}
	return fmt.Sprintf("%s, which is %s", r.text, shown(v))
}

func named(path string) string {
	if path == "" {
		return "the payload"
	}
	return path
}

// is says what value a place of the payload has.
func is(path string, v gjson.Result) string {
	switch {
	case !v.Exists():
		return named(path) + " is missing"
	case isObject(v):
		return named(path) + " is an object"
	case isArray(v):
		return named(path) + " is a list " + shown(v)
	}
	return named(path) + " is " + shown(v)
}

// shown is a value's JSON, shortened.
func shown(v gjson.Result) string {
	raw := v.Raw
	if len(raw) > 4*60 {
		// Cut before it is scanned; what is cut is valid up to a character, which shorten's conversion repairs.
		raw = raw[:2*60] + raw[len(raw)-2*60:]
		if short := shorten(raw, 60); short != raw {
			return short
		}
	}
	return shorten(strings.Join(strings.Fields(raw), " "), 60)
}
