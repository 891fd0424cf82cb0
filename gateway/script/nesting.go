package script

import (
	"fmt"

	"github.com/evanw/esbuild/pkg/api"
)

// Compilers recurse with the nesting of what they compile, and Go cannot recover from a
// stack that overflows: a file of a million exclamation marks would end the
// process. Some take minutes over a few thousand nested functions. So the nesting is
// estimated before any compiler sees the text.
//
// It is estimated twice. Leaving out strings and comments gives figures for which the limits
// can be strict; but what is a string depends on what is a regular expression, which only a
// parser knows, so text made to deceive could hide there. Of all characters the
// figures are too high, and the limits only such that the stack holds.
var nestingLimits = map[bool]nesting{
	true:  {depth: 500, chain: 10_000, branches: 2_000, arrows: 200, commas: 5_000},
	false: {depth: 20_000, chain: 50_000, branches: 20_000, arrows: 5_000, commas: 1 << 20},
}

// nesting is how much may be nested.
type nesting struct {
	depth    int // brackets within brackets
	chain    int // operators of one expression, as in a.b.c, !!x, a=b=c
	branches int // parts of one statement, as in else if
	arrows   int // arrow functions that return arrow functions
	commas   int // items between parentheses
}

// tooNested says where a file is nested deeper than a compiler bears.
func tooNested(file, text string) []api.Message {
	for _, skip := range []bool{true, false} {
		m := measure{text: text, skip: skip, limit: nestingLimits[skip], line: 1}
		if what := m.run(); what != "" {
			message := fail("too-nested", "", "%s %s than can be compiled", file, what)
			message[0].Location = &api.Location{File: namespace + ":" + file, Line: m.line}
			return message
		}
	}
	return nil
}

// The kinds of words that matter.
const (
	statementWord = 1 << iota // begins a statement, and never stands within an expression
	branchWord                // nests statements, or functions, without brackets
	chainWord                 // an operator
	operandWord               // a slash behind it begins a regular expression
	elseWord                  // goes on with a statement that seemed to be over
)

var words = map[string]int{
	"const": statementWord, "let": statementWord, "var": statementWord, "import": statementWord, "export": statementWord,
	"return": statementWord | operandWord, "throw": statementWord | operandWord, "switch": statementWord, "case": statementWord | operandWord,
	"break": statementWord, "continue": statementWord, "default": statementWord,
	"if": branchWord, "else": branchWord | elseWord | operandWord, "for": branchWord, "while": branchWord | elseWord, "do": branchWord | operandWord,
	"try": branchWord, "catch": elseWord, "finally": elseWord, "with": branchWord, "function": branchWord, "class": branchWord, "extends": branchWord,
	"typeof": chainWord | operandWord, "void": chainWord | operandWord, "delete": chainWord | operandWord, "new": chainWord | operandWord,
	"await": chainWord | operandWord, "yield": chainWord | operandWord, "in": chainWord | operandWord, "of": operandWord,
	"instanceof": chainWord | operandWord, "as": chainWord, "keyof": chainWord,
}

// level is one bracket that is open.
type level struct {
	template                        bool // the bracket is ${
	parenthesis                     bool
	over                            bool // a statement ended just now
	chain, branches, arrows, commas int
}

type measure struct {
	text  string
	skip  bool // strings, comments and regular expressions
	limit nesting

	i, line int
	levels  []level
	operand bool // a slash that comes now begins a regular expression
	member  bool // a word that comes now is the name of a member
}

// run returns how the text goes beyond the limits, at m.line; or "".
func (m *measure) run() string {
	m.levels = []level{{}}
	m.operand = true
	for m.i < len(m.text) {
		m.token()
		l := &m.levels[len(m.levels)-1]
		switch {
		case len(m.levels)-1 > m.limit.depth:
			return fmt.Sprintf("has brackets nested deeper (%d levels)", m.limit.depth)
		case l.chain > m.limit.chain:
			return fmt.Sprintf("has an expression with more operators (%d)", m.limit.chain)
		case l.branches > m.limit.branches:
			return fmt.Sprintf("has a statement with more branches or functions (%d)", m.limit.branches)
		case l.arrows > m.limit.arrows:
			return fmt.Sprintf("has more arrow functions within one another (%d)", m.limit.arrows)
		case l.commas > m.limit.commas:
			return fmt.Sprintf("has a list with more items (%d)", m.limit.commas)
		}
	}
	return ""
}

// token reads on by one token or so.
func (m *measure) token() {
	c := m.text[m.i]
	l := &m.levels[len(m.levels)-1]
	switch {
	case c == '\n':
		m.line++
		m.i++
		return
	case c == ' ' || c == '\t' || c == '\r':
		m.i++
		return
	case m.skip && c == '/' && m.next(1) == '/':
		for m.i < len(m.text) && m.text[m.i] != '\n' {
			m.i++
		}
		return
	case m.skip && c == '/' && m.next(1) == '*':
		for m.i += 2; m.i < len(m.text) && (m.text[m.i] != '*' || m.next(1) != '/'); m.i++ {
			if m.text[m.i] == '\n' {
				m.line++
			}
		}
		m.i = min(m.i+2, len(m.text))
		return
	case isWord(c):
		m.word(l)
		return
	}
	over := l.over
	l.over = false
	m.member = false
	switch {
	case m.skip && (c == '"' || c == '\''):
		m.quoted(c)
		m.operand = false
	case m.skip && c == '`':
		l.chain++ // a`x``y` is a chain
		m.template()
	case m.skip && c == '}' && l.template:
		m.levels = m.levels[:len(m.levels)-1]
		m.template()
	case m.skip && c == '/' && m.operand:
		m.regexp()
		m.operand = false
	case c == '(' || c == '[' || c == '{':
		l.chain++
		m.levels = append(m.levels, level{parenthesis: c == '('})
		m.operand = true
		m.i++
	case c == ')' || c == ']' || c == '}':
		if len(m.levels) > 1 {
			m.levels = m.levels[:len(m.levels)-1]
		}
		m.levels[len(m.levels)-1].over = c == '}'
		m.operand = false
		m.i++
	case c == ';':
		l.over = true
		l.chain, l.arrows = 0, 0
		m.operand = true
		m.i++
	case c == ',':
		l.chain, l.arrows = 0, 0
		if l.parenthesis {
			l.commas++
		}
		m.operand = true
		m.i++
	case c == '=' && m.next(1) == '>':
		l.arrows++
		m.operand = true
		m.i += 2
	case c >= '0' && c <= '9':
		for m.i < len(m.text) && (isWord(m.text[m.i]) || m.text[m.i] == '.') {
			m.i++
		}
		m.operand = false
	default:
		l.over = over && c == '`' // without skipping, quotes mean nothing
		l.chain++
		m.member = c == '.'
		m.operand = true
		m.i++
	}
}

// word reads a name or keyword.
func (m *measure) word(l *level) {
	from := m.i
	for m.i < len(m.text) && isWord(m.text[m.i]) {
		m.i++
	}
	kind := 0
	if !m.member {
		kind = words[m.text[from:m.i]]
	}
	if l.over && kind&elseWord == 0 || kind&statementWord != 0 {
		l.chain, l.branches, l.arrows = 0, 0, 0
	}
	l.over = false
	if kind&branchWord != 0 {
		l.branches++
	}
	if kind&chainWord != 0 {
		l.chain++
	}
	m.operand = kind&operandWord != 0
	m.member = false
}

func isWord(c byte) bool {
	return c == '_' || c == '$' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}

// next is the character n places on, or 0.
func (m *measure) next(n int) byte {
	if m.i+n < len(m.text) {
		return m.text[m.i+n]
	}
	return 0
}

// quoted reads a string. It ends with its line at the latest.
func (m *measure) quoted(quote byte) {
	for m.i++; m.i < len(m.text) && m.text[m.i] != '\n'; m.i++ {
		switch m.text[m.i] {
		case '\\':
			if m.next(1) == '\n' {
				m.line++
			}
			m.i++
		case quote:
			m.i++
			return
		}
	}
	m.i = min(m.i, len(m.text))
}

// template reads a part of a template: to its closing quote, or to ${.
func (m *measure) template() {
	for m.i++; m.i < len(m.text); m.i++ {
		switch m.text[m.i] {
		case '\\':
			m.i++
		case '\n':
			m.line++
		case '`':
			m.i++
			m.operand = false
			return
		case '$':
			if m.next(1) == '{' {
				m.i += 2
				m.levels = append(m.levels, level{template: true})
				m.operand = true
				return
			}
		}
	}
	m.i = min(m.i, len(m.text))
}

// regexp reads a regular expression. It ends with its line at the latest.
func (m *measure) regexp() {
	class := false
	for m.i++; m.i < len(m.text) && m.text[m.i] != '\n'; m.i++ {
		switch m.text[m.i] {
		case '\\':
			m.i++
		case '[':
			class = true
		case ']':
			class = false
		case '/':
			if !class {
				m.i++
				return
			}
		}
	}
	m.i = min(m.i, len(m.text))
}
