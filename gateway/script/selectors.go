package script

import (
	"slices"
	"strings"

	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/token"
)

// Selectors are patterns (in the syntax of package match) of all selectors that the program's events can
// have; ** stands for what is only known when it runs. It is nil when the code does not show them for certain. It
// is for programs of the function handle.
func (p *Program) Selectors() []string {
	tree, err := parseBundle(p.Code)
	if err != nil {
		return nil
	}
	a := analysis{declared: map[string][]ast.Expression{}, changed: map[string]bool{}, uses: map[string]int{}, pushed: map[string][]ast.Expression{}}
	handle := a.survey(tree)
	if handle == nil || !a.certain(a.results(handle, 0)) {
		return nil
	}
	slices.Sort(a.patterns)
	return slices.Compact(a.patterns)
}

// analysis follows where events come from. It knows a name only where the
// bundle declares it once, and gives up on everything else.
type analysis struct {
	// declared has what each name is declared as; nil for a parameter and the like.
	declared map[string][]ast.Expression
	// changed names are assigned to after their declaration.
	changed map[string]bool
	uses    map[string]int
	// pushed is what is pushed to arrays.
	pushed   map[string][]ast.Expression
	unclear  bool
	patterns []string
}

func (a *analysis) certain(ok bool) bool { return ok && !a.unclear && len(a.patterns) > 0 }

// survey finds all declarations, and the function that the module exports.
func (a *analysis) survey(tree *ast.Program) ast.Expression {
	var handle ast.Expression
	exports := 0
	var binding func(target any, value ast.Expression)
	binding = func(target any, value ast.Expression) {
		switch t := target.(type) {
		case *ast.Identifier:
			name := t.Name.String()
			a.declared[name] = append(a.declared[name], value)
		case *ast.Binding:
			binding(t.Target, t.Initializer)
		case *ast.AssignExpression:
			binding(t.Left, nil)
		case *ast.ObjectPattern:
			for _, p := range t.Properties {
				switch p := p.(type) {
				case *ast.PropertyShort:
					binding(&p.Name, nil)
				case *ast.PropertyKeyed:
					binding(p.Value, nil)
				}
			}
			if t.Rest != nil {
				binding(t.Rest, nil)
			}
		case *ast.ArrayPattern:
			for _, e := range t.Elements {
				if e != nil {
					binding(e, nil)
				}
			}
			if t.Rest != nil {
				binding(t.Rest, nil)
			}
		}
	}
	walk(tree, func(n any) bool {
		switch n := n.(type) {
		case *ast.Binding:
			binding(n.Target, n.Initializer)
		case *ast.FunctionDeclaration:
			binding(n.Function.Name, n.Function)
		case *ast.ParameterList:
			for _, b := range n.List {
				binding(b.Target, nil)
			}
			if n.Rest != nil {
				binding(n.Rest, nil)
			}
			return true
		case *ast.ForDeclaration:
			binding(n.Target, nil)
		case *ast.ForIntoVar:
			binding(n.Binding.Target, nil)
		case *ast.CatchStatement:
			if n.Parameter != nil {
				binding(n.Parameter, nil)
			}
		case *ast.ClassLiteral:
			if n.Name != nil {
				binding(n.Name, nil)
			}
		case *ast.Identifier:
			a.uses[n.Name.String()]++
		case *ast.PropertyShort: // its name is not a pointer
			a.uses[n.Name.Name.String()]++
		case *ast.AssignExpression:
			switch left := n.Left.(type) {
			case *ast.Identifier:
				a.changed[left.Name.String()] = true
			case *ast.DotExpression:
				if id, ok := left.Left.(*ast.Identifier); ok && id.Name == "$module" {
					handle = n.Right
					exports++
				}
				// Events that are made bit by bit.
				a.unclear = a.unclear || slices.Contains([]string{"selector", "events"}, left.Identifier.Name.String())
			case *ast.BracketExpression:
				a.unclear = true
			default: // a pattern
				a.unclear = true
			}
		case *ast.UnaryExpression:
			if id, ok := n.Operand.(*ast.Identifier); ok && (n.Operator == token.INCREMENT || n.Operator == token.DECREMENT) {
				a.changed[id.Name.String()] = true
			}
		case *ast.CallExpression:
			if d, ok := n.Callee.(*ast.DotExpression); ok && d.Identifier.Name == "push" {
				if id, ok := d.Left.(*ast.Identifier); ok {
					a.pushed[id.Name.String()] = append(a.pushed[id.Name.String()], n.ArgumentList...)
					a.uses[id.Name.String()]--
				}
			}
		}
		return true
	})
	if exports != 1 {
		return nil
	}
	return handle
}

// value is what a name surely stands for; nil when that is not known.
func (a *analysis) value(id *ast.Identifier) ast.Expression {
	name := id.Name.String()
	if d := a.declared[name]; len(d) == 1 && !a.changed[name] {
		return d[0]
	}
	return nil
}

// maxFollowed bounds how deep calls and names are followed.
const maxFollowed = 20

// returns are the values that a function returns; ok is false when e is no known function.
func (a *analysis) returns(e ast.Expression, depth int) (values []ast.Expression, ok bool) {
	var body *ast.BlockStatement
	switch f := e.(type) {
	case *ast.Identifier:
		if v := a.value(f); v != nil && depth < maxFollowed {
			return a.returns(v, depth+1)
		}
		return nil, false
	case *ast.FunctionLiteral:
		if f.Generator {
			return nil, false
		}
		body = f.Body
	case *ast.ArrowFunctionLiteral:
		switch b := f.Body.(type) {
		case *ast.ExpressionBody:
			return []ast.Expression{b.Expression}, true
		case *ast.BlockStatement:
			body = b
		}
	}
	if body == nil {
		return nil, false
	}
	walk(body, func(n any) bool {
		switch n := n.(type) {
		case *ast.FunctionLiteral, *ast.ArrowFunctionLiteral, *ast.ClassLiteral:
			return false
		case *ast.ReturnStatement:
			if n.Argument != nil {
				values = append(values, n.Argument)
			}
		}
		return true
	})
	return values, true
}

// each calls f with every value that e can have: both sides of conditions, and what calls of known functions
// return. Values that are nothing are left out.
func (a *analysis) each(e ast.Expression, depth int, f func(e ast.Expression, depth int) bool) bool {
	if depth > maxFollowed {
		return false
	}
	switch e := e.(type) {
	case *ast.ConditionalExpression:
		return a.each(e.Consequent, depth+1, f) && a.each(e.Alternate, depth+1, f)
	case *ast.AwaitExpression:
		return a.each(e.Argument, depth+1, f)
	case *ast.NullLiteral:
		return true
	case *ast.UnaryExpression:
		if e.Operator == token.VOID {
			return true
		}
	case *ast.SequenceExpression:
		return a.each(e.Sequence[len(e.Sequence)-1], depth+1, f)
	case *ast.CallExpression:
		if id, ok := e.Callee.(*ast.Identifier); ok {
			values, ok := a.returns(id, depth)
			if !ok {
				return false
			}
			for _, v := range values {
				if !a.each(v, depth+1, f) {
					return false
				}
			}
			return true
		}
	}
	return f(e, depth)
}

// results follows what handle returns.
func (a *analysis) results(handle ast.Expression, depth int) bool {
	values, ok := a.returns(handle, depth)
	if !ok {
		return false
	}
	for _, v := range values {
		if !a.each(v, depth, func(e ast.Expression, depth int) bool {
			events, ok := member(e, "events")
			return ok && (events == nil || a.list(events, depth))
		}) {
			return false
		}
	}
	return true
}

// member is the value of a key in an object literal, nil when it has none; ok is
// false when e is something else, or the key could come from elsewhere.
func member(e ast.Expression, key string) (value ast.Expression, ok bool) {
	o, isObject := e.(*ast.ObjectLiteral)
	if !isObject {
		return nil, false
	}
	ok = true
	for _, p := range o.Value {
		switch p := p.(type) {
		case *ast.PropertyShort:
			if p.Name.Name.String() == key {
				value, ok = &p.Name, true
			}
		case *ast.PropertyKeyed:
			name, plain := p.Key.(*ast.StringLiteral)
			switch {
			case p.Computed || !plain || p.Kind != ast.PropertyKindValue && p.Kind != ast.PropertyKindMethod:
				return nil, false
			case name.Value.String() == key:
				value, ok = p.Value, true
			}
		case *ast.SpreadElement:
			value, ok = nil, false // unless it is set behind
		}
	}
	return value, ok
}

// list follows a list of events.
func (a *analysis) list(e ast.Expression, depth int) bool {
	return a.each(e, depth, func(e ast.Expression, depth int) bool {
		if depth > maxFollowed {
			return false
		}
		switch e := e.(type) {
		case *ast.ArrayLiteral:
			for _, item := range e.Value {
				spread, isSpread := item.(*ast.SpreadElement)
				switch {
				case item == nil:
				case isSpread && !a.list(spread.Expression, depth+1):
					return false
				case !isSpread && !a.event(item, depth+1):
					return false
				}
			}
			return true
		case *ast.Identifier:
			value, name := a.value(e), e.Name.String()
			// Besides its declaration and this place it may only be pushed to.
			if _, isArray := value.(*ast.ArrayLiteral); value == nil || isArray && a.uses[name] > 2 || !isArray && len(a.pushed[name]) > 0 {
				return false
			}
			for _, item := range a.pushed[name] {
				if spread, ok := item.(*ast.SpreadElement); ok && !a.list(spread.Expression, depth+1) || !ok && !a.event(item, depth+1) {
					return false
				}
			}
			return a.list(value, depth+1)
		case *ast.CallExpression:
			return a.made(e, depth)
		}
		return false
	})
}

// made follows list.map(function), list.flatMap(function) and list.filter(...).
func (a *analysis) made(e *ast.CallExpression, depth int) bool {
	method, ok := e.Callee.(*ast.DotExpression)
	if !ok || len(e.ArgumentList) == 0 {
		return false
	}
	follow := a.event
	switch method.Identifier.Name {
	case "filter":
		return a.list(method.Left, depth+1)
	case "map":
	case "flatMap":
		follow = a.list
	default:
		return false
	}
	values, ok := a.returns(e.ArgumentList[0], depth)
	if !ok {
		return false
	}
	for _, v := range values {
		if !follow(v, depth+1) {
			return false
		}
	}
	return true
}

// event follows one event to its selector.
func (a *analysis) event(e ast.Expression, depth int) bool {
	return a.each(e, depth, func(e ast.Expression, depth int) bool {
		if id, ok := e.(*ast.Identifier); ok {
			// Elsewhere it could be changed.
			value := a.value(id)
			return value != nil && a.uses[id.Name.String()] <= 2 && depth < maxFollowed && a.event(value, depth+1)
		}
		selector, ok := member(e, "selector")
		if !ok || selector == nil {
			return false
		}
		for _, p := range a.text(selector, depth) {
			a.patterns = append(a.patterns, squeeze(p))
		}
		return true
	})
}

// anything is a text that is only known when the code runs.
const anything = "**"

// maxAlternatives bounds the patterns of one text.
const maxAlternatives = 32

// text are the patterns of the texts that an expression can be.
func (a *analysis) text(e ast.Expression, depth int) []string {
	unknown := []string{anything}
	if depth > maxFollowed {
		return unknown
	}
	either := func(x, y ast.Expression) []string {
		return limit(append(a.text(x, depth+1), a.text(y, depth+1)...))
	}
	switch e := e.(type) {
	case *ast.StringLiteral:
		return []string{quoteSelector(e.Value.String())}
	case *ast.TemplateLiteral:
		if e.Tag != nil {
			return unknown
		}
		all := []string{""}
		for i, part := range e.Elements {
			all = join(all, []string{quoteSelector(part.Parsed.String())})
			if i < len(e.Expressions) {
				all = join(all, a.text(e.Expressions[i], depth+1))
			}
		}
		return all
	case *ast.BinaryExpression:
		switch e.Operator {
		case token.PLUS:
			return join(a.text(e.Left, depth+1), a.text(e.Right, depth+1))
		case token.COALESCE, token.LOGICAL_OR:
			return either(e.Left, e.Right)
		}
	case *ast.ConditionalExpression:
		return either(e.Consequent, e.Alternate)
	case *ast.Identifier:
		if value := a.value(e); value != nil {
			return a.text(value, depth+1)
		}
	case *ast.CallExpression:
		if method, ok := e.Callee.(*ast.DotExpression); ok && method.Identifier.Name == "join" && len(e.ArgumentList) == 1 {
			return a.joined(method.Left, e.ArgumentList[0], depth)
		}
		if id, ok := e.Callee.(*ast.Identifier); ok {
			values, ok := a.returns(id, depth)
			if !ok || len(values) == 0 {
				return unknown
			}
			var all []string
			for _, v := range values {
				all = append(all, a.text(v, depth+1)...)
			}
			return limit(all)
		}
	}
	return unknown
}

// joined is [a, b, ...c].join("/").
func (a *analysis) joined(list, separator ast.Expression, depth int) []string {
	items, ok := list.(*ast.ArrayLiteral)
	between, ok2 := separator.(*ast.StringLiteral)
	if !ok || !ok2 {
		return []string{anything}
	}
	all := []string{""}
	for i, item := range items.Value {
		if _, isSpread := item.(*ast.SpreadElement); isSpread || item == nil {
			return join(all, []string{anything}) // perhaps nothing, not even a separator
		}
		if i > 0 {
			all = join(all, []string{quoteSelector(between.Value.String())})
		}
		all = join(all, a.text(item, depth+1))
	}
	return all
}

func join(left, right []string) []string {
	var all []string
	for _, l := range left {
		for _, r := range right {
			all = append(all, l+r)
		}
	}
	return limit(all)
}

func limit(all []string) []string {
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) > maxAlternatives {
		return []string{anything}
	}
	return all
}

func quoteSelector(s string) string { return strings.NewReplacer(`\`, `\\`, `*`, `\*`).Replace(s) }

// squeeze makes one of several wildcards in a row.
func squeeze(pattern string) string {
	for strings.Contains(pattern, anything+anything) {
		pattern = strings.ReplaceAll(pattern, anything+anything, anything)
	}
	return pattern
}
