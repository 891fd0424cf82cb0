package script

import (
	"bytes"
	"path"
	"strings"
	"sync"

	"github.com/dop251/goja"

	"switchhook/gateway/script/jsvalue"
	"switchhook/spec/document"
)

// The functions of a connector that have a meaning of their own here.
const (
	HandleFunction    = "handle"
	HandshakeFunction = "handshake"
	SelectorFunction  = "getEventSelector"
	// Of events of data collections that come from an event of the connector.
	EventConfigFunction = "getEventConfig"
	ExtractFunction     = "extractEvents"
)

// Kind says in which language a function is written.
type Kind uint8

const (
	// JavaScript: JavaScript or TypeScript, by the ending of the file's name.
	JavaScript Kind = iota
	// Mapping: YAML whose first key begins with "$".
	Mapping
)

// Source says where the code of one function of a connector is.
//
// There are two forms. The function is in the file Entry of the folder Root; or, with
// Code or Mapping set, it was written inline in the YAML file File, and Line
// and Column say where.
type Source struct {
	// Connector is the key of the connector.
	Connector string
	// Function is the canonical name of the function: "handle", "handshake",
	// "getEventSelector". The default export is taken, or module.exports when
	// that is a function, or an export of this name in camelCase or
	// kebab-case; of getEventSelector also under the name getEventsSelector.
	Function string
	// Kind is the language.
	Kind Kind
	// Root is the connector's folder, absolute. Nothing outside it is
	// readable. Empty for a connector that is one file; its code can import
	// only what the gateway provides.
	Root string
	// Entry is the function's file, relative to Root, with slashes.
	Entry string
	// Code is inline code; TypeScript is understood. It may import files of Root.
	Code string
	// Mapping is an inline mapping, in place of Code.
	Mapping *document.Node
	// File is the YAML file in which Code stands, relative to Root, or the
	// base name where there is no Root.
	File string
	// Line and Column are the place in File of Code's first character, both
	// from 1. Each further line of Code begins at Column too, as it does
	// in a YAML block scalar.
	Line, Column int
	// Above is the lines of File directly above Code, the last one next to it; code
	// frames show them. As many as are given, which may be none.
	Above []string
	// Shown is put in front of file names in diagnostics: the connector's
	// folder as people know it, such as "connectors/box". May be empty.
	Shown string
	// Cache keeps what Build makes over restarts; nil for none.
	Cache Cache
}

// Cache keeps the results of Build. Its methods may be called from any
// goroutine. Losing or refusing an entry is always allowed.
type Cache interface {
	// Get returns what was put under key. The caller does not change it.
	Get(key string) ([]byte, bool)
	// Put keeps value, which nobody changes any more.
	Put(key string, value []byte)
}

// Program is one function, bundled with all it imports and ready to run. It is
// plain data, immutable, and may be encoded (as JSON or gob) and sent to
// another process that runs it. Nobody changes the exported fields of a
// Program that Build returned.
type Program struct {
	// ID is a hash of all that follows: equal IDs are equal programs.
	ID string
	// Connector is the key of the connector.
	Connector string
	// Name is the file of the function, relative to the connector's folder.
	Name string
	// Function is that of Source.
	Function string
	// Code is the bundled JavaScript.
	Code []byte
	// SourceMap leads from Code to the connector's files, whose text it contains.
	SourceMap []byte
	// InlineFile is Source.File of inline code, and InlineColumn the number
	// of columns by which it is indented there.
	InlineFile   string
	InlineColumn int

	compiled compiled
}

// compiled is what an engine makes of a program when it first runs it.
type compiled struct {
	once      sync.Once
	program   *goja.Program
	err       error
	positions func() *positions
	requires  bool // the code may call require
	imports   bool // the code calls $host
	proxies   bool // the code may replace the global Proxy
	inherits  bool // the code may make data a prototype
	parses    bool // the code may call JSON.parse

	coverageOnce sync.Once
	coverage     *instrumented
	coverageErr  error
}

// compile makes the program ready to run; it is done once.
func (p *Program) compile() (*goja.Program, error) {
	p.compiled.once.Do(func() {
		p.compiled.positions = sync.OnceValue(func() *positions { return newPositions(p) })
		p.compiled.requires = bytes.Contains(p.Code[min(len(bundleSloppy), len(p.Code)):], []byte("require"))
		p.compiled.inherits = jsvalue.MayInherit(p.Code)
		p.compiled.parses = bytes.Contains(p.Code, []byte("JSON"))
		p.compiled.proxies = bytes.Contains(p.Code, []byte("Proxy"))
		p.compiled.imports = bytes.Contains(p.Code, []byte("$host("))
		ast, err := parseBundle(p.Code)
		if err == nil {
			p.compiled.program, err = goja.CompileAST(ast, false)
		}
		p.compiled.err = err
	})
	return p.compiled.program, p.compiled.err
}

// anonymousName is what the bundler calls a default export without a name.
func (p *Program) anonymousName() string {
	base := path.Base(p.Name)
	base = strings.TrimSuffix(base, path.Ext(base))
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '$' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, base) + "_default"
}

// place is the file in which the function stands.
func (s *Source) place() string {
	if s.Code != "" || s.Mapping != nil {
		return s.File
	}
	return s.Entry
}

// shown is how a file of the connector is called in diagnostics.
func (s *Source) shown(file string) string {
	if s.Shown == "" {
		return file
	}
	return s.Shown + "/" + file
}
