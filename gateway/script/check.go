package script

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"

	"github.com/dop251/goja"
	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/file"
	"github.com/dop251/goja/parser"
	"github.com/dop251/goja/token"

	"switchhook/gateway/body"
	"switchhook/spec/diagnostic"
)

// check finds what esbuild accepts and goja does not have, in the code of a program.
func check(p *Program, src *Source, module bool) diagnostic.List {
	c := checker{program: p, src: src, positions: newPositions(p), lines: newLines(p.Code)}
	tree, err := parseBundle(p.Code)
	var list parser.ErrorList
	if errors.As(err, &list) {
		for _, e := range list {
			c.add(diagnostic.Error, "unsupported-syntax", c.lines.offset(e.Position.Line, e.Position.Column),
				"the engine cannot run this: "+e.Message, "")
		}
		return c.list
	}
	if err != nil {
		c.add(diagnostic.Error, "unsupported-syntax", 0, "the engine cannot run this: "+err.Error(), "")
		return c.list
	}
	c.regexps(tree)
	c.constants(tree)
	if !c.list.HasErrors() {
		if _, err := goja.CompileAST(tree, false); err != nil {
			offset, message := 0, err.Error()
			var syntax *goja.CompilerSyntaxError
			if errors.As(err, &syntax) {
				offset, message = syntax.Offset, syntax.Message
			}
			c.add(diagnostic.Error, "unsupported-syntax", offset, "the engine cannot run this: "+message, "")
		}
	}
	if !module {
		c.exports(tree)
	}
	c.names(tree)
	if f := p.Function; f == SelectorFunction || f == EventConfigFunction {
		c.api(tree)
	}
	c.contentTypes(tree)
	return c.list
}

// contentTypes warns of literal Content-Types of responses that nobody knows.
func (c *checker) contentTypes(tree *ast.Program) {
	walk(tree, func(n any) bool {
		p, ok := n.(*ast.PropertyKeyed)
		if !ok || p.Computed {
			return true
		}
		key, ok := p.Key.(*ast.StringLiteral)
		value, ok2 := p.Value.(*ast.StringLiteral)
		if !ok || !ok2 || !strings.EqualFold(key.Value.String(), "content-type") {
			return true
		}
		if unknown, names := body.UnknownType(value.Value.String()); unknown {
			c.add(diagnostic.Warning, "unknown-content-type", offset(value.Idx), fmt.Sprintf("the Content-Type %q is not known", value.Value.String()),
				diagnostic.DidYouMean(value.Value.String(), names))
		}
		return true
	})
}

// api warns of getters that call the app's API.
func (c *checker) api(tree *ast.Program) {
	found := func(name string, at file.Idx) {
		if slices.Contains(apiNames, name) && !slices.ContainsFunc(c.list, func(d diagnostic.Diagnostic) bool { return d.Code == "no-api-client" }) {
			c.add(diagnostic.Warning, "no-api-client", offset(at), "the function uses "+name+", and the gateway has no API client",
				"where it fails, a subscription can name webhook and selector directly")
		}
	}
	walk(tree, func(n any) bool {
		switch n := n.(type) {
		case *ast.PropertyShort:
			found(n.Name.Name.String(), n.Name.Idx)
		case *ast.PropertyKeyed:
			if s, ok := n.Key.(*ast.StringLiteral); ok {
				found(s.Value.String(), s.Idx)
			}
		case *ast.DotExpression:
			found(n.Identifier.Name.String(), n.Identifier.Idx)
		}
		return true
	})
}

// The bounds of constant expressions of BigInts.
const (
	maxConstantNodes  = 64
	maxConstantDigits = 40
	maxConstantPower  = 4096
)

// constants refuses expressions of BigInt literals whose value may be huge: goja computes constants
// when it compiles, in the gateway, where nothing interrupts it or bounds its memory.
func (c *checker) constants(tree *ast.Program) {
	walk(tree, func(n any) bool {
		e, ok := n.(*ast.BinaryExpression)
		if !ok {
			return true
		}
		k := constant{isConstant: true}
		k.look(e)
		if k.isConstant && k.bigint && (k.nodes > maxConstantNodes || k.huge) {
			c.add(diagnostic.Error, "huge-constant", offset(e.Idx0()), "the value of this expression of BigInts may be too large to compute",
				"a constant power or shift takes numbers up to "+fmt.Sprint(maxConstantPower))
		}
		return !k.isConstant
	})
}

// constant is what is known of an expression.
type constant struct {
	isConstant, bigint, huge bool
	nodes                    int
}

func (k *constant) look(e ast.Expression) {
	if k.nodes++; !k.isConstant || k.huge {
		return
	}
	switch e := e.(type) {
	case *ast.NumberLiteral:
		if _, ok := e.Value.(*big.Int); ok {
			k.bigint = true
		}
	case *ast.StringLiteral, *ast.BooleanLiteral, *ast.NullLiteral:
	case *ast.UnaryExpression:
		k.look(e.Operand)
	case *ast.ConditionalExpression:
		k.isConstant = false // is not computed
	case *ast.BinaryExpression:
		k.look(e.Left)
		k.look(e.Right)
		if e.Operator == token.SHIFT_LEFT || e.Operator == token.SHIFT_RIGHT || e.Operator == token.EXPONENT {
			right, ok := e.Right.(*ast.NumberLiteral)
			left, leftOK := e.Left.(*ast.NumberLiteral)
			k.huge = k.huge || !ok || !leftOK || len(left.Literal) > maxConstantDigits || !below(right.Value, maxConstantPower)
		}
	default:
		k.isConstant = false
	}
}

// below reports whether the value of a literal is an integer from 0 to limit.
func below(v any, limit int64) bool {
	switch v := v.(type) {
	case *big.Int:
		return v.Sign() >= 0 && v.IsInt64() && v.Int64() <= limit
	case int64:
		return v >= 0 && v <= limit
	case float64:
		return v >= 0 && v <= float64(limit)
	}
	return false
}

type checker struct {
	program   *Program
	src       *Source
	positions *positions
	lines     lines
	list      diagnostic.List
}

// add adds a finding about the code at an offset. What is not of the connector's files is
// not reported, but for errors.
func (c *checker) add(severity diagnostic.Severity, code string, offset int, message, hint string) {
	d := diagnostic.Diagnostic{Severity: severity, Code: code, File: c.src.shown(c.src.place()), Message: message, Hint: hint}
	f, ok := c.positions.original(c.lines.at(offset))
	if ok {
		d.File, d.Line, d.Column = c.src.shown(f.File), f.Line, f.Column
		d.Snippet = c.positions.snippet(f)
	} else if severity == diagnostic.Warning {
		return
	}
	if !slices.ContainsFunc(c.list, func(other diagnostic.Diagnostic) bool {
		return other.File == d.File && other.Line == d.Line && other.Column == d.Column && other.Message == d.Message
	}) {
		c.list.Add(d)
	}
}

// offset is the place of a node in the code.
func offset(i file.Idx) int { return int(i) - 1 }

// regexps checks every regular expression by itself, so that all mistakes are found
// at once, and finds those that goja takes and gets wrong.
func (c *checker) regexps(tree *ast.Program) {
	walk(tree, func(n any) bool {
		switch n := n.(type) {
		case *ast.RegExpLiteral:
			if message, hint := checkRegexp(n.Pattern, n.Flags); message != "" {
				c.add(diagnostic.Error, "unsupported-regexp", offset(n.Idx), message, hint)
			}
		case *ast.NewExpression:
			c.regexpCall(n.Callee, n.ArgumentList, n.New)
		case *ast.CallExpression:
			c.regexpCall(n.Callee, n.ArgumentList, n.Callee.Idx0())
		}
		return true
	})
}

// regexpCall checks RegExp("...", "...").
func (c *checker) regexpCall(callee ast.Expression, args []ast.Expression, at file.Idx) {
	if id, ok := callee.(*ast.Identifier); !ok || id.Name != "RegExp" || len(args) == 0 || len(args) > 2 {
		return
	}
	texts := [2]string{}
	for i, a := range args {
		s, ok := a.(*ast.StringLiteral)
		if !ok {
			return
		}
		texts[i] = s.Value.String()
	}
	if message, hint := checkRegexp(texts[0], texts[1]); message != "" {
		c.add(diagnostic.Warning, "unsupported-regexp", offset(at), message, hint)
	}
}

func checkRegexp(pattern, flags string) (message, hint string) {
	for _, f := range flags {
		if f == 'd' || f == 'v' {
			return fmt.Sprintf("the engine does not have the regular expression flag %q", f), ""
		}
	}
	rt := goja.New()
	if _, err := rt.New(rt.Get("RegExp"), rt.ToValue(pattern), rt.ToValue(flags)); err != nil {
		message := "invalid"
		var ex *goja.Exception
		if errors.As(err, &ex) {
			if o, ok := ex.Value().(*goja.Object); ok {
				message = o.Get("message").String()
			}
		}
		return "the engine cannot take this regular expression: " + message, ""
	}
	if strings.Contains(flags, "u") && (strings.Contains(pattern, `\p{`) || strings.Contains(pattern, `\P{`)) {
		return `the engine does not understand \p{...} in regular expressions and would match wrongly`, "list the characters, such as [a-zA-ZÀ-ÿ]"
	}
	return "", ""
}

// exports looks into a CommonJS module for something that can be the function. Where
// exports are computed nothing can be said before it runs.
func (c *checker) exports(tree *ast.Program) {
	accepted := append([]string{"default"}, exportNames(c.program.Function)...)
	found, computed := map[string]bool{}, false
	at := 0
	walk(tree, func(n any) bool {
		switch n := n.(type) {
		case *ast.AssignExpression:
			if isExports(n.Left) {
				at = offset(n.Left.Idx0())
				o, ok := n.Right.(*ast.ObjectLiteral)
				if !ok {
					if id, ok := n.Right.(*ast.Identifier); !ok || id.Name != "exports" {
						computed = true
					}
					break
				}
				for _, p := range o.Value {
					switch p := p.(type) {
					case *ast.PropertyShort:
						found[p.Name.Name.String()] = true
					case *ast.PropertyKeyed:
						if s, ok := p.Key.(*ast.StringLiteral); ok && !p.Computed {
							found[s.Value.String()] = true
						} else {
							computed = true
						}
					default:
						computed = true
					}
				}
				break
			}
			switch left := n.Left.(type) {
			case *ast.DotExpression:
				if isExports(left.Left) {
					found[left.Identifier.Name.String()] = true
				}
			case *ast.BracketExpression:
				if isExports(left.Left) {
					if s, ok := left.Member.(*ast.StringLiteral); ok {
						found[s.Value.String()] = true
					} else {
						computed = true
					}
				}
			}
		case *ast.CallExpression: // Object.assign(exports, ...), defineProperty(exports, ...)
			for _, a := range n.ArgumentList {
				if isExports(a) {
					computed = true
				}
			}
		}
		return true
	})
	if computed || slices.ContainsFunc(accepted, func(name string) bool { return found[name] }) {
		return
	}
	var names []string
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	b := bundler{src: c.src}
	if c.src.Code != "" && c.src.Kind == JavaScript {
		text, _, _ := b.text(c.src.File)
		b.given = map[string]string{c.src.File: text}
	}
	d := b.noFunction(names)
	if f, ok := c.positions.original(c.lines.at(at)); ok && at > 0 {
		d.Line, d.Column, d.Snippet = f.Line, f.Column, c.positions.snippet(f)
	}
	c.list.Add(d)
}

// isExports recognises exports and module.exports.
func isExports(e ast.Expression) bool {
	switch e := e.(type) {
	case *ast.Identifier:
		return e.Name == "exports"
	case *ast.DotExpression:
		id, ok := e.Left.(*ast.Identifier)
		return ok && id.Name == "module" && e.Identifier.Name == "exports"
	}
	return false
}

// names warns of global names that do not exist. A name that is declared anywhere, or
// asked for with typeof, counts as known, so what is reported is certain but for
// code that never runs.
func (c *checker) names(tree *ast.Program) {
	declared, guarded := map[string]bool{}, map[string]bool{}
	uses := map[string][]file.Idx{} // references, by name
	statics := map[string][]file.Idx{}
	var declare func(target any)
	var visit func(n any) bool
	declare = func(target any) {
		switch t := target.(type) {
		case *ast.Identifier:
			declared[t.Name.String()] = true
		case *ast.ObjectPattern:
			for _, p := range t.Properties {
				switch p := p.(type) {
				case *ast.PropertyShort:
					declared[p.Name.Name.String()] = true
					walk(p.Initializer, visit)
				case *ast.PropertyKeyed:
					if p.Computed {
						walk(p.Key, visit)
					}
					declare(p.Value)
				}
			}
			declare(t.Rest)
		case *ast.ArrayPattern:
			for _, e := range t.Elements {
				declare(e)
			}
			declare(t.Rest)
		case *ast.AssignExpression: // with a default
			declare(t.Left)
			walk(t.Right, visit)
		case *ast.Binding:
			declare(t.Target)
			walk(t.Initializer, visit)
		default:
			walk(t, visit)
		}
	}
	visit = func(n any) bool {
		switch n := n.(type) {
		case *ast.Identifier:
			uses[n.Name.String()] = append(uses[n.Name.String()], n.Idx)
		case *ast.Binding, *ast.ObjectPattern, *ast.ArrayPattern:
			declare(n)
			return false
		case *ast.FunctionLiteral:
			if n.Name != nil {
				declare(n.Name)
			}
			walk(n.ParameterList, visit)
			walk(n.Body, visit)
			return false
		case *ast.ParameterList:
			for _, b := range n.List {
				declare(b)
			}
			declare(n.Rest)
			return false
		case *ast.ClassLiteral:
			if n.Name != nil {
				declare(n.Name)
			}
			walk(n.SuperClass, visit)
			for _, e := range n.Body {
				walk(e, visit)
			}
			return false
		case *ast.CatchStatement:
			declare(n.Parameter)
			walk(n.Body, visit)
			return false
		case *ast.ForDeclaration:
			declare(n.Target)
			return false
		case *ast.LabelledStatement:
			walk(n.Statement, visit)
			return false
		case *ast.BranchStatement, *ast.MetaProperty:
			return false
		case *ast.FieldDefinition:
			if n.Computed {
				walk(n.Key, visit)
			}
			walk(n.Initializer, visit)
			return false
		case *ast.MethodDefinition:
			if n.Computed {
				walk(n.Key, visit)
			}
			walk(n.Body, visit)
			return false
		case *ast.PropertyKeyed:
			if n.Computed {
				walk(n.Key, visit)
			}
			walk(n.Value, visit)
			return false
		case *ast.PropertyShort: // its name is not a pointer
			uses[n.Name.Name.String()] = append(uses[n.Name.Name.String()], n.Name.Idx)
			walk(n.Initializer, visit)
			return false
		case *ast.CallExpression:
			if d, ok := n.Callee.(*ast.DotExpression); ok {
				if id, ok := d.Left.(*ast.Identifier); ok {
					name := id.Name.String() + "." + d.Identifier.Name.String()
					statics[name] = append(statics[name], id.Idx)
					uses[id.Name.String()] = append(uses[id.Name.String()], id.Idx)
					for _, a := range n.ArgumentList {
						walk(a, visit)
					}
					return false
				}
			}
		case *ast.DotExpression:
			if id, ok := n.Left.(*ast.Identifier); ok { // not called: perhaps a test whether it exists
				guarded[id.Name.String()+"."+n.Identifier.Name.String()] = true
			}
			walk(n.Left, visit)
			return false
		case *ast.UnaryExpression:
			if id, ok := n.Operand.(*ast.Identifier); ok && n.Operator == token.TYPEOF {
				guarded[id.Name.String()] = true
				return false
			}
		case *ast.AssignExpression:
			// Without strict mode an assignment makes a global variable.
			if id, ok := n.Left.(*ast.Identifier); ok && n.Operator == token.ASSIGN {
				declared[id.Name.String()] = true
			}
		}
		return true
	}
	walk(tree, visit)

	known := knownGlobals()
	for name, places := range uses {
		if declared[name] || guarded[name] || slices.Contains(known, name) {
			continue
		}
		message, hint := name+" is not defined", ""
		if why := absentGlobals[name]; why != "" {
			message += " here: " + why
		} else {
			var candidates []string
			candidates = append(candidates, known...)
			for d := range declared {
				candidates = append(candidates, d)
			}
			hint = diagnostic.DidYouMean(name, candidates)
		}
		for _, at := range places {
			c.add(diagnostic.Warning, "undefined-name", offset(at), message, hint)
		}
	}
	for name, places := range statics {
		object, _, _ := strings.Cut(name, ".")
		if declared[object] || guarded[name] || !absentStatics()[name] {
			continue
		}
		for _, at := range places {
			c.add(diagnostic.Warning, "unsupported-builtin", offset(at), "the engine does not have "+name, "")
		}
	}
}

// absentGlobals are names that people expect and handlers do not have, and why.
var absentGlobals = func() map[string]string {
	m := map[string]string{}
	for why, names := range map[string]string{
		"handlers have no timers, a call is over when what it returned is settled": "setTimeout setInterval setImmediate clearTimeout clearInterval clearImmediate queueMicrotask requestAnimationFrame",
		"handlers have no network":                    "fetch XMLHttpRequest WebSocket EventSource Headers Request Response FormData navigator",
		"handlers have no environment":                "process Deno Bun performance",
		"handlers have no file system":                "__dirname __filename",
		"use globalThis":                              "global window self",
		"the engine does not have it":                 "Intl WeakRef FinalizationRegistry Atomics SharedArrayBuffer Iterator AsyncIterator Temporal Float16Array DisposableStack AsyncDisposableStack SuppressedError WebAssembly",
		"handlers have no events and no cancellation": "AbortController AbortSignal Event EventTarget CustomEvent MessageChannel",
		"use Buffer or Uint8Array":                    "Blob File ReadableStream WritableStream TransformStream",
	} {
		for _, name := range strings.Fields(names) {
			m[name] = why
		}
	}
	return m
}()

// knownGlobals are the global names that code finds.
var knownGlobals = sync.OnceValue(func() []string {
	names := goja.New().GlobalObject().GetOwnPropertyNames()
	names = append(names, hostGlobals...)
	return append(names, "console", "HttpError", "exports", "require", "module", "$module", "$host", "arguments")
})

// absentStatics are the static functions of later editions of the language that goja lacks.
var absentStatics = sync.OnceValue(func() map[string]bool {
	rt := goja.New()
	absent := map[string]bool{}
	for _, name := range strings.Fields(`Object.groupBy Map.groupBy Array.fromAsync Promise.withResolvers Promise.try RegExp.escape
		Error.captureStackTrace Math.sumPrecise Math.f16round Iterator.from Object.hasOwn Object.fromEntries Promise.any Promise.allSettled
		Uint8Array.fromBase64 Uint8Array.fromHex Array.of BigInt.asIntN Error.isError JSON.rawJSON JSON.isRawJSON String.raw Math.clz32 Symbol.for`) {
		object, member, _ := strings.Cut(name, ".")
		if o, ok := rt.GlobalObject().Get(object).(*goja.Object); !ok || o.Get(member) == nil {
			absent[name] = true
		}
	}
	return absent
})
