package script

import (
	"errors"
	"path"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/dop251/goja"
	"github.com/evanw/esbuild/pkg/api"

	"switchhook/gateway/script/mapping"
	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// compileMapping turns the function, which is a mapping, into code.
func (b *bundler) compileMapping() diagnostic.List {
	n := b.src.Mapping
	if n == nil {
		var text string
		if b.src.Code != "" {
			text = indentedCode(b.src)
		} else {
			var messages []api.Message
			if text, messages = b.folder.read(b.src.Entry); messages != nil {
				return b.diagnose(messages, nil)
			}
		}
		doc, list := document.Parse(b.src.shown(b.src.place()), []byte(text))
		if list.HasErrors() {
			return list
		}
		n = doc.Root
	}
	code, list := mapping.Compile(n, mapping.Options{Variables: variables(b.src.Function), CheckJSONata: checkJSONata})
	b.mapping, b.compiled = n.Document(), code
	return list
}

// indentedCode is inline code with each line where it is in its file.
func indentedCode(src *Source) string {
	var text strings.Builder
	text.WriteString(strings.Repeat("\n", max(0, src.Line-1)))
	for line := range strings.Lines(src.Code) {
		if strings.TrimSpace(line) != "" {
			text.WriteString(strings.Repeat(" ", max(0, src.Column-1)))
		}
		text.WriteString(line)
	}
	return text.String()
}

// variables are the names of what a function is called with.
func variables(function string) []string {
	switch function {
	case HandleFunction:
		return argumentKeys[:len(argumentKeys)-1]
	case HandshakeFunction:
		return argumentKeys
	case SelectorFunction, EventConfigFunction:
		return []string{"parameters"}
	case ExtractFunction:
		return []string{"events", "parameters"}
	}
	return nil
}

// mappingSource puts the YAML text in place of the code in a source map, and
// leaves out what is not the connector's.
func (b *bundler) mappingSource(sourceMap []byte) []byte {
	return changeSources(sourceMap, func(name, content string) string {
		if name == namespace+":"+b.entry() {
			return string(b.mapping.Source())
		}
		return ""
	})
}

// isMappingFile tells a mapping's file from one with code.
func isMappingFile(name string) bool {
	return slices.Contains([]string{".yml", ".yaml"}, path.Ext(name))
}

// formulaColumn is where the formula on a line begins, or else the line's text.
func formulaColumn(line string) int {
	at := len(line) - len(strings.TrimLeft(line, " -"))
	for i := range line {
		if line[i] == '$' && (i == 0 || strings.IndexByte(" {,[\"'", line[i-1]) >= 0) {
			at = i
			break
		}
	}
	return utf8.RuneCountInString(line[:at]) + 1
}

// jsonataEngine is the parser of JSONata expressions, in a runtime that is
// used by one at a time.
type jsonataEngine struct {
	mu    sync.Mutex
	rt    *goja.Runtime
	parse goja.Callable
	err   error
}

var newJSONata = sync.OnceValue(func() *jsonataEngine {
	e := &jsonataEngine{rt: goja.New()}
	text, _ := mapping.Module("switchhook:jsonata")
	e.rt.SetMaxCallStackSize(maxCalls)
	module := e.rt.NewObject()
	if e.err = module.Set("exports", e.rt.NewObject()); e.err != nil {
		return e
	}
	v, err := e.rt.RunString("(function (module, exports) {" + text + "\n})")
	if err != nil {
		e.err = err
		return e
	}
	load, _ := goja.AssertFunction(v)
	if _, e.err = load(goja.Undefined(), module, module.Get("exports")); e.err != nil {
		return e
	}
	e.parse, _ = goja.AssertFunction(module.Get("exports"))
	return e
})

// checkJSONata finds out whether an expression can be parsed.
func checkJSONata(expression string) error {
	e := newJSONata()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil || e.parse == nil {
		return e.err
	}
	_, err := e.parse(goja.Undefined(), e.rt.ToValue(expression))
	var ex *goja.Exception
	if errors.As(err, &ex) {
		if o, ok := ex.Value().(*goja.Object); ok && o.Get("message") != nil {
			return errors.New(oneLine(o.Get("message").String()))
		}
	}
	return err
}
