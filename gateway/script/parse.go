package script

import (
	"strings"
	"unicode/utf8"

	"github.com/dop251/goja"

	"switchhook/gateway/script/jsvalue"
)

// maxParsed is for how many texts one call remembers where their parts stand.
const maxParsed = 16

// installParse puts a JSON.parse in place whose objects and arrays are passed on as they stood in the text,
// like those of data: providers send JSON in fields of forms and in strings of JSON, and its large
// integers must survive. Whatever else it is called with, it leaves to the engine's own.
func (c *call) installParse() error {
	object := c.rt.Get("JSON").ToObject(c.rt)
	own, ok := goja.AssertFunction(object.Get("parse"))
	if !ok {
		return nil
	}
	parse := c.rt.ToValue(func(f goja.FunctionCall) goja.Value {
		if tree := c.parseText(f); tree != nil {
			return tree.Root()
		}
		v, err := own(f.This, f.Arguments...)
		if err != nil {
			panic(err)
		}
		return v
	}).ToObject(c.rt)
	for name, value := range map[string]any{"name": "parse", "length": 2} {
		if err := parse.DefineDataProperty(name, c.rt.ToValue(value), goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE); err != nil {
			return err
		}
	}
	return object.DefineDataProperty("parse", parse, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
}

// parseText is nil for what the engine's own JSON.parse is for: texts that are no object or array or are not
// well formed, and calls with a reviver.
func (c *call) parseText(f goja.FunctionCall) *jsvalue.Tree {
	s, ok := f.Argument(0).(goja.String)
	if !ok || len(f.Arguments) > 1 || len(c.encoder.Parsed) == maxParsed {
		return nil
	}
	text := s.String()
	start := strings.TrimLeft(text, " \t\r\n")
	// A lone surrogate is no text that Go could hold.
	if start == "" || start[0] != '{' && start[0] != '[' || strings.ContainsRune(text, utf8.RuneError) {
		return nil
	}
	tree, err := c.parser.Parse([]byte(text))
	if err != nil {
		return nil
	}
	c.encoder.Parsed = append(c.encoder.Parsed, tree)
	return tree
}
