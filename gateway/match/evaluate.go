package match

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"github.com/tidwall/gjson"
)

// Match reports whether a payload passes the filter. payload is valid JSON and
// does not change until Match returns.
func (f *Filter) Match(payload []byte) bool {
	if f == nil {
		return true
	}
	e := evaluate(payload)
	defer e.release()
	return e.passes(f)
}

// evaluation is the evaluation of filters on one payload. The payload's bytes are
// read as they are; nothing of it is unmarshalled. It belongs to one goroutine.
type evaluation struct {
	root gjson.Result
	// members are the root's, once indexed: filters mostly ask for those, and one
	// event may have many filters to pass.
	members []member
	indexed bool
	// indexes are the places of the items being matched, outermost first.
	indexes []int
	// budget is how many more bytes may be looked at; see budgetFor.
	budget int
	// arrays has the places of the items of those arrays that a path asked for by index.
	arrays []itemPlaces
	// last is the list that $in or $nin looked into last by a $ref.
	last itemSet
}

// itemSet is the strings and numbers of a list; ok unless it has anything else.
type itemSet struct {
	list    string
	strings map[string]struct{}
	numbers map[float64]struct{}
	ok      bool
}

// itemPlaces is where the items of an array begin and end, in turns.
type itemPlaces struct {
	array  string
	bounds []int32
}

var evaluations = sync.Pool{New: func() any { return new(evaluation) }}

func evaluate(payload []byte) *evaluation {
	e := evaluations.Get().(*evaluation)
	// Nobody changes the payload while it is evaluated, and nothing keeps the
	// string longer, so it need not be copied.
	e.root = gjson.Parse(unsafe.String(unsafe.SliceData(payload), len(payload)))
	return e
}

func (e *evaluation) release() {
	clear(e.members)
	if cap(e.members) > 1024 {
		e.members = nil
	}
	*e = evaluation{members: e.members[:0], indexes: e.indexes[:0]}
	evaluations.Put(e)
}

// budgetFor bounds the work of a filter with so many nodes on a payload of so many
// bytes. Usually each node looks at each byte once at most, so the bound grows with both; what takes more are
// comparisons of parts of the payload with one another ($ref), and arrays within arrays
// within arrays. The constant is for those, and some milliseconds of work: a payload,
// which anyone may have written, must not make them slow.
func budgetFor(nodes, payload int) int { return 2<<20 + (8+2*nodes)*payload }

// spend takes n bytes from the budget and reports whether it sufficed. From then on nothing matches.
func (e *evaluation) spend(n int) bool {
	e.budget -= n + 1
	return e.budget >= 0
}

func (e *evaluation) passes(f *Filter) bool {
	e.budget = budgetFor(f.nodes, len(e.root.Raw))
	return e.whole(e.root, f.root) && e.budget >= 0
}

// member returns a member of an object; of equal keys the last, as JSON.parse does.
func (e *evaluation) member(object gjson.Result, name string) (found gjson.Result) {
	if e.isRoot(object) {
		if !e.indexed {
			e.indexed = true
			object.ForEach(func(key, value gjson.Result) bool {
				e.members = append(e.members, member{key.Str, value})
				return true
			})
		}
		for i := len(e.members) - 1; i >= 0; i-- {
			if e.members[i].key == name {
				return e.members[i].value
			}
		}
		return found
	}
	if e.spend(len(object.Raw)) {
		object.ForEach(func(key, value gjson.Result) bool {
			if key.Str == name {
				found = value
			}
			return true
		})
	}
	return found
}

func (e *evaluation) isRoot(v gjson.Result) bool {
	return unsafe.StringData(v.Raw) == unsafe.StringData(e.root.Raw)
}

// item returns an item of an array. Filters ask for the items of the same array one
// after the other, so it is remembered where they are.
func (e *evaluation) item(array gjson.Result, index int) gjson.Result {
	i := slices.IndexFunc(e.arrays, func(p itemPlaces) bool {
		return unsafe.StringData(p.array) == unsafe.StringData(array.Raw)
	})
	if i < 0 {
		if !e.spend(len(array.Raw)) {
			return gjson.Result{}
		}
		p := itemPlaces{array: array.Raw}
		array.ForEach(func(_, item gjson.Result) bool {
			begin := item.Index - array.Index
			p.bounds = append(p.bounds, int32(begin), int32(begin+len(item.Raw)))
			return true
		})
		if len(e.arrays) == 8 {
			e.arrays = slices.Delete(e.arrays, 0, 1)
		}
		i = len(e.arrays)
		e.arrays = append(e.arrays, p)
	}
	if bounds := e.arrays[i].bounds; index < len(bounds)/2 {
		return gjson.Parse(array.Raw[bounds[2*index]:bounds[2*index+1]])
	}
	return gjson.Result{}
}

// some reports whether f holds for an item of an array.
func (e *evaluation) some(array gjson.Result, f func(item gjson.Result) bool) (found bool) {
	if !e.spend(len(array.Raw)) {
		return false
	}
	depth := len(e.indexes)
	e.indexes = append(e.indexes, 0)
	array.ForEach(func(_, item gjson.Result) bool {
		found = f(item)
		e.indexes[depth]++
		return !found && e.budget >= 0
	})
	e.indexes = e.indexes[:depth]
	return found
}

// whole evaluates n on a whole value: the payload, or where the syntax treats a
// field's value like one.
func (e *evaluation) whole(v gjson.Result, n *node) bool {
	if n.conditions == nil {
		switch {
		case isNull(v) || isNull(n.value):
			return false
		case isArray(v) && n.items == nil:
			return e.some(v, func(item gjson.Result) bool { return e.whole(item, n) })
		}
		return e.field(v, n)
	}
	c := n.conditions
	if isObject(v) {
		return len(c.operations) == 0 && c.ref == nil && e.object(v, c.group)
	}
	for i := range c.operations {
		if !e.operation(v, &c.operations[i]) {
			return false
		}
	}
	if c.ref != nil && !(isArray(v) && e.reference(v, c.ref)) {
		return false
	}
	if c.group == nil {
		return c.ref != nil || len(c.operations) > 0 || isArray(v) && e.some(v, func(item gjson.Result) bool { return e.field(item, n) })
	}
	return e.wholeGroup(v, c.group)
}

// wholeGroup is whole for a group and a value that is not an object, unless it is an item.
func (e *evaluation) wholeGroup(v gjson.Result, g *group) bool {
	if isObject(v) {
		return e.object(v, g)
	}
	for _, n := range g.nots {
		if e.whole(v, n) {
			return false
		}
	}
	if isArray(v) {
		if g.others == nil {
			return true
		}
		return e.some(v, func(item gjson.Result) bool {
			if len(g.ors) > 0 {
				return e.wholeGroup(item, g.others)
			}
			return e.fieldGroup(item, g.others)
		})
	}
	if len(g.fields)+len(g.ands) > 0 {
		return false
	}
	return e.alternatives(v, g)
}

func (e *evaluation) alternatives(v gjson.Result, g *group) bool {
	for _, list := range g.ors {
		if !slices.ContainsFunc(list, func(n *node) bool { return e.whole(v, n) }) {
			return false
		}
	}
	return true
}

// object evaluates a group on an object; a nil group passes.
func (e *evaluation) object(v gjson.Result, g *group) bool {
	if g == nil {
		return true
	}
	if len(g.fields) == 1 || e.isRoot(v) {
		for i := range g.fields {
			if !e.field(e.member(v, g.fields[i].name), g.fields[i].node) {
				return false
			}
		}
	} else if len(g.fields) > 0 {
		var few [6]gjson.Result
		values := e.values(few[:0], v, g.fields)
		for i := range g.fields {
			if !e.field(values[i], g.fields[i].node) {
				return false
			}
		}
	}
	for _, list := range g.ands {
		for _, n := range list {
			if !e.whole(v, n) {
				return false
			}
		}
	}
	for _, n := range g.nots {
		if e.whole(v, n) {
			return false
		}
	}
	return e.alternatives(v, g)
}

// values appends the values of fields, in one pass over the object.
func (e *evaluation) values(values []gjson.Result, object gjson.Result, fields []field) []gjson.Result {
	for range fields {
		values = append(values, gjson.Result{})
	}
	if !e.spend(len(object.Raw)) {
		return values
	}
	object.ForEach(func(key, value gjson.Result) bool {
		for i := range fields {
			if fields[i].name == key.Str {
				values[i] = value
			}
		}
		return true
	})
	return values
}

// field evaluates n on the value of a field, which need not Exist.
func (e *evaluation) field(v gjson.Result, n *node) bool {
	switch {
	case n.conditions != nil:
		c := n.conditions
		if c.ref != nil && !e.reference(v, c.ref) {
			return false
		}
		for i := range c.operations {
			if !e.operation(v, &c.operations[i]) {
				return false
			}
		}
		switch {
		case c.group != nil:
			return e.fieldGroup(v, c.group)
		case c.ref != nil || len(c.operations) > 0 || isObject(v):
			return true
		}
		return isArray(v) && e.some(v, func(item gjson.Result) bool { return e.field(item, n) })
	case n.items != nil:
		return e.list(v, n.items)
	case isArray(v):
		return e.some(v, func(item gjson.Result) bool { return e.field(item, n) })
	}
	return looseEqual(v, n.value)
}

func (e *evaluation) fieldGroup(v gjson.Result, g *group) bool {
	switch {
	case isObject(v):
		return e.object(v, g)
	case isArray(v):
		return e.some(v, func(item gjson.Result) bool {
			if len(g.ors) > 0 {
				return e.wholeGroup(item, g)
			}
			return e.fieldGroup(item, g)
		})
	case !v.Exists():
		return false
	}
	return len(g.ors) > 0 && e.wholeGroup(v, g)
}

// list evaluates an array of a filter.
func (e *evaluation) list(v gjson.Result, items []*node) bool {
	for i, n := range items {
		switch {
		case isArray(v):
			if !e.some(v, func(item gjson.Result) bool { return e.field(item, n) }) {
				return false
			}
		case isObject(v):
			// An array is an object whose keys are its indexes.
			if !e.field(e.member(v, strconv.Itoa(i)), n) {
				return false
			}
		}
	}
	return v.Type == gjson.JSON
}

// reference evaluates a $ref on the value of a field.
func (e *evaluation) reference(v gjson.Result, r *reference) bool {
	if isArray(v) {
		return e.some(v, func(item gjson.Result) bool { return e.reference(item, r) })
	}
	other, ok := e.resolve(r)
	return ok && e.data(v, orNull(other))
}

// orNull stands in for a value that is not there: == takes undefined for null.
func orNull(v gjson.Result) gjson.Result {
	if !v.Exists() {
		return gjson.Result{Type: gjson.Null, Raw: "null"}
	}
	return v
}

// data compares a value with another one of the payload, as if that were a filter without operators.
func (e *evaluation) data(v, other gjson.Result) bool {
	switch {
	case isArray(other):
		ok := v.Type == gjson.JSON && e.spend(len(other.Raw))
		i := 0
		other.ForEach(func(_, wanted gjson.Result) bool {
			if isArray(v) {
				ok = ok && e.some(v, func(item gjson.Result) bool { return e.data(item, wanted) })
			} else {
				ok = ok && e.data(e.member(v, strconv.Itoa(i)), wanted)
			}
			i++
			return ok
		})
		return ok
	case isArray(v):
		return e.some(v, func(item gjson.Result) bool { return e.data(item, other) })
	case isObject(other):
		if !isObject(v) || !e.spend(len(other.Raw)+len(v.Raw)) {
			return false
		}
		has := map[string]gjson.Result{}
		v.ForEach(func(key, value gjson.Result) bool {
			has[key.Str] = value
			return true
		})
		for _, m := range orderedMembers(other) {
			if !e.data(has[m.key], m.value) {
				return false
			}
		}
		return true
	}
	return looseEqual(v, other)
}

// operation evaluates an operator on a value, which need not Exist.
func (e *evaluation) operation(v gjson.Result, op *operation) bool {
	operand := op.operand
	if op.ref != nil {
		other, ok := e.resolve(op.ref)
		if !ok {
			return false
		}
		operand = orNull(other)
	}
	if op.operator == opExist {
		return isBool(operand) && v.Exists() == (operand.Type == gjson.True)
	}
	if !v.Exists() {
		return false
	}
	switch op.operator {
	case opEq:
		return e.equal(v, operand, op)
	case opNeq:
		return !e.equal(v, operand, op)
	case opGt, opGte, opLt, opLte:
		return compare(v, operand, op.operator)
	case opIn, opNin:
		in, ok := e.contains(v, operand, op)
		return ok && in == (op.operator == opIn)
	}
	if v.Type != gjson.String {
		return false
	}
	has := strings.HasPrefix
	if op.operator == opEndsWith {
		has = strings.HasSuffix
	}
	switch {
	case operand.Type == gjson.String:
		return has(v.Str, operand.Str)
	case op.ref == nil:
		return slices.ContainsFunc(op.strings, func(s string) bool { return has(v.Str, s) })
	case isArray(operand) && e.spend(4*len(operand.Raw)):
		found := false
		operand.ForEach(func(_, item gjson.Result) bool {
			found = item.Type == gjson.String && has(v.Str, item.Str)
			return !found
		})
		return found
	}
	return false
}

// equal is $eq: == for primitives, the same JSON for objects and arrays.
func (e *evaluation) equal(v, operand gjson.Result, op *operation) bool {
	if v.Type != gjson.JSON || operand.Type != gjson.JSON {
		return looseEqual(v, operand)
	}
	if v.Raw[0] != operand.Raw[0] {
		return false
	}
	text, ok := appendStringified(nil, v, &e.budget)
	if !ok || op.ref == nil {
		return ok && string(text) == op.text
	}
	other, ok := appendStringified(nil, operand, &e.budget)
	return ok && string(text) == string(other)
}

func compare(v, operand gjson.Result, o operator) bool {
	comparable := func(t gjson.Type) bool { return t == gjson.Number || t == gjson.String }
	if !comparable(v.Type) || !comparable(operand.Type) {
		return false
	}
	var less, greater bool
	if v.Type == gjson.String && operand.Type == gjson.String {
		d := compareStrings(v.Str, operand.Str)
		less, greater = d < 0, d > 0
	} else {
		a, b := toNumber(v), toNumber(operand)
		if a != a || b != b { // NaN
			return false
		}
		less, greater = a < b, a > b
	}
	switch o {
	case opGt:
		return greater
	case opGte:
		return !less
	case opLt:
		return less
	}
	return !greater
}

// contains is $in; ok says whether $in and $nin take such values at all.
func (e *evaluation) contains(v, operand gjson.Result, op *operation) (in, ok bool) {
	if !isArray(operand) {
		// A substring, or a number's text.
		if v.Type != gjson.String {
			return false, false
		}
		switch operand.Type {
		case gjson.String:
			return strings.Contains(v.Str, operand.Str), true
		case gjson.Number:
			return strings.Contains(v.Str, numberText(operand.Num)), true
		}
		return false, false
	}
	if v.Type == gjson.JSON {
		return false, false
	}
	if op.ref == nil {
		switch v.Type {
		case gjson.String:
			_, in = slices.BinarySearch(op.strings, v.Str)
		case gjson.Number:
			_, in = slices.BinarySearch(op.numbers, v.Num)
		}
		return in, true
	}
	set := e.set(operand)
	switch v.Type {
	case gjson.String:
		_, in = set.strings[v.Str]
	case gjson.Number:
		_, in = set.numbers[v.Num]
	}
	return in, set.ok
}

// set returns the items of a list that an operand's $ref names. Mostly it is
// the same list for all items being matched, so the last one is kept.
func (e *evaluation) set(list gjson.Result) *itemSet {
	s := &e.last
	if s.list != "" && unsafe.StringData(s.list) == unsafe.StringData(list.Raw) {
		return s
	}
	*s = itemSet{list: list.Raw, ok: e.spend(len(list.Raw)), strings: map[string]struct{}{}, numbers: map[float64]struct{}{}}
	if s.ok {
		list.ForEach(func(_, item gjson.Result) bool {
			switch item.Type {
			case gjson.String:
				s.strings[item.Str] = struct{}{}
			case gjson.Number:
				s.numbers[item.Num] = struct{}{}
			default:
				s.ok = false
			}
			return s.ok
		})
	}
	return s
}
