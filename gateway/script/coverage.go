package script

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"sort"

	"github.com/dop251/goja"
	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/file"
)

// coverName is the parameter of an instrumented program that counts.
const coverName = "$switchhook_coverage"

// instrumented is a program with counters in front of its statements.
type instrumented struct {
	program    *goja.Program
	insertions []insertion // by offset
	lines      lines       // of the code without counters
	places     []place     // by counter
}

// insertion is text that stands in front of the character at offset in the
// instrumented code only.
type insertion struct {
	offset int
	text   string
}

// place is a line of a file.
type place struct {
	file string
	line int
}

// instrument makes the program with counters; it is done once.
func (p *Program) instrument() (*instrumented, error) {
	p.compiled.coverageOnce.Do(func() {
		p.compiled.coverage, p.compiled.coverageErr = newInstrumented(p)
	})
	return p.compiled.coverage, p.compiled.coverageErr
}

// Lines are the lines of the connector's files, each with a count of 0, that a
// result with coverage of the program counts.
func (p *Program) Lines() (map[string]map[int]int, error) {
	in, err := p.instrument()
	if err != nil {
		return nil, fmt.Errorf("preparing coverage of %s: %w", p.Name, err)
	}
	return in.counts(nil), nil
}

func newInstrumented(p *Program) (*instrumented, error) {
	tree, err := parseBundle(p.Code)
	if err != nil {
		return nil, err
	}
	in := &instrumented{lines: newLines(p.Code)}
	m := instrumenter{program: p, into: in, positions: newPositions(p), counters: map[int]int{}}
	parameters := bytes.IndexByte(p.Code, ')')
	if parameters < 0 {
		return nil, fmt.Errorf("the program has no parameters")
	}
	in.insertions = append(in.insertions, insertion{parameters, ", " + coverName})
	walk(tree, m.visit)
	slices.SortStableFunc(in.insertions, func(a, b insertion) int { return a.offset - b.offset })

	var code bytes.Buffer
	from := 0
	for _, ins := range in.insertions {
		code.Write(p.Code[from:ins.offset])
		code.WriteString(ins.text)
		from = ins.offset
	}
	code.Write(p.Code[from:])
	tree, err = parseBundle(code.Bytes())
	if err != nil {
		return nil, err
	}
	in.program, err = goja.CompileAST(tree, false)
	return in, err
}

type instrumenter struct {
	program   *Program
	into      *instrumented
	positions *positions
	counters  map[int]int // the counter at each offset
}

// count puts a counter in front of the code at i, in the form of an expression within format.
// Code that comes from no file of the connector is not counted.
func (m *instrumenter) count(i file.Idx, format string) {
	at := offset(i)
	if _, ok := m.counters[at]; ok || at < 0 || at >= len(m.program.Code) {
		return
	}
	f, ok := m.positions.original(m.into.lines.at(at))
	if !ok || path.Ext(f.File) == ".json" {
		return
	}
	n := len(m.into.places)
	m.counters[at] = n
	m.into.places = append(m.into.places, place{f.File, f.Line})
	m.into.insertions = append(m.into.insertions, insertion{at, fmt.Sprintf(format, fmt.Sprintf("%s[%d]++", coverName, n))})
}

func (m *instrumenter) visit(n any) bool {
	switch n := n.(type) {
	case *ast.BlockStatement:
		m.list(n.List)
	case *ast.CaseStatement:
		m.list(n.Consequent)
	case *ast.IfStatement:
		m.single(n.Consequent)
		if n.Alternate != nil {
			m.single(n.Alternate)
		}
	case *ast.ForStatement:
		m.single(n.Body)
	case *ast.ForInStatement:
		m.single(n.Body)
	case *ast.ForOfStatement:
		m.single(n.Body)
	case *ast.WhileStatement:
		m.single(n.Body)
	case *ast.DoWhileStatement:
		m.single(n.Body)
	case *ast.WithStatement:
		m.single(n.Body)
	case *ast.ArrowFunctionLiteral:
		if body, ok := n.Body.(*ast.ExpressionBody); ok {
			// Counting yields a falsy value, so the expression is what is evaluated.
			m.count(leftmost(body.Expression), "(%s,0)?0:")
		}
	}
	return true
}

// list counts the statements of a block.
func (m *instrumenter) list(statements []ast.Statement) {
	for _, s := range statements {
		switch s := s.(type) {
		case *ast.FunctionDeclaration, *ast.EmptyStatement:
			continue // nothing happens where it stands
		case *ast.ExpressionStatement:
			if _, ok := s.Expression.(*ast.StringLiteral); ok {
				continue // "use strict" must stay first
			}
			// Its first character may stand in parentheses, where a
			// semicolon cannot be.
			m.count(leftmost(s.Expression), "%s,")
			continue
		}
		m.count(m.start(s), "%s;")
	}
}

// start is where a statement begins. goja does not know it of if statements.
func (m *instrumenter) start(s ast.Statement) file.Idx {
	n, ok := s.(*ast.IfStatement)
	if !ok || n.If > 0 {
		return s.Idx0()
	}
	before := bytes.TrimRight(m.program.Code[:offset(leftmost(n.Test))], "( \t\n")
	if !bytes.HasSuffix(before, []byte("if")) {
		return 0
	}
	return file.Idx(len(before) - len("if") + 1)
}

// single counts a statement that stands alone, such as the one behind if (...).
func (m *instrumenter) single(s ast.Statement) {
	switch s := s.(type) {
	case *ast.ExpressionStatement:
		m.count(leftmost(s.Expression), "%s,")
	case *ast.ReturnStatement:
		if s.Argument != nil {
			m.within(s.Return, s.Argument)
		}
	case *ast.ThrowStatement:
		m.within(s.Throw, s.Argument)
	case *ast.IfStatement:
		m.within(m.start(s), s.Test)
	case *ast.SwitchStatement:
		m.within(s.Switch, s.Discriminant)
	case *ast.WhileStatement:
		m.within(s.While, s.Test)
	}
}

// within counts a statement at the beginning of an expression in it.
func (m *instrumenter) within(statement file.Idx, e ast.Expression) {
	before := len(m.into.insertions)
	m.count(statement, "%s,")
	if len(m.into.insertions) > before {
		m.into.insertions[before].offset = offset(leftmost(e))
	}
}

// leftmost is where an expression begins, parentheses around its beginning aside.
// It is Idx0 but for tagged templates, of which goja names the quote.
func leftmost(e ast.Expression) file.Idx {
	for {
		switch n := e.(type) {
		case *ast.AssignExpression:
			e = n.Left
		case *ast.BinaryExpression:
			e = n.Left
		case *ast.BracketExpression:
			e = n.Left
		case *ast.CallExpression:
			e = n.Callee
		case *ast.ConditionalExpression:
			e = n.Test
		case *ast.DotExpression:
			e = n.Left
		case *ast.PrivateDotExpression:
			e = n.Left
		case *ast.Optional:
			e = n.Expression
		case *ast.OptionalChain:
			e = n.Expression
		case *ast.SequenceExpression:
			e = n.Sequence[0]
		case *ast.TemplateLiteral:
			if n.Tag == nil {
				return n.Idx0()
			}
			e = n.Tag
		case *ast.UnaryExpression:
			if !n.Postfix {
				return n.Idx
			}
			e = n.Operand
		default:
			return e.Idx0()
		}
	}
}

// column is the column in the code without counters of a place in that with them.
// Counters contain no line breaks, so lines are the same.
func (in *instrumented) column(line, column int) int {
	start := in.lines.offset(line, 1)
	first := sort.Search(len(in.insertions), func(i int) bool { return in.insertions[i].offset >= start })
	at := start // in the code without counters
	rest := column - 1
	for _, ins := range in.insertions[first:] {
		if ins.offset-at >= rest {
			break
		}
		rest -= ins.offset - at
		at = ins.offset
		rest = max(0, rest-len(ins.text))
	}
	return at + rest - start + 1
}

// newCounters makes the array in which the instrumented code counts.
func (c *call) newCounters() (goja.Value, error) {
	c.counters = c.rt.NewArrayBuffer(make([]byte, 4*len(c.covering.places)))
	return c.rt.New(c.rt.GlobalObject().Get("Uint32Array"), c.rt.ToValue(c.counters))
}

// counts sums the counters up by file and line. A line counts as often as that of
// its statements that was reached most.
func (in *instrumented) counts(counters []byte) map[string]map[int]int {
	result := map[string]map[int]int{}
	for i, p := range in.places {
		lines := result[p.file]
		if lines == nil {
			lines = map[int]int{}
			result[p.file] = lines
		}
		n := 0
		if 4*i+4 <= len(counters) {
			n = int(binary.NativeEndian.Uint32(counters[4*i:]))
		}
		lines[p.line] = max(lines[p.line], n)
	}
	return result
}
