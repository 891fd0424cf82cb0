package script

import (
	"strings"
	"unicode/utf8"

	"github.com/dop251/goja"

	"switchhook/gateway/hook"
	"switchhook/gateway/script/jsvalue"
)

// The bounds of what is kept of a call's console.
const (
	maxConsoleLines = 200
	maxConsoleBytes = 64 << 10
)

// console captures what a function prints.
type console struct {
	call      *call
	lines     []hook.ConsoleLine
	bytes     int
	full      bool
	inspector jsvalue.Inspector
}

var consoleLevels = []string{"debug", "log", "info", "warn", "error"}

// object makes the console that code sees.
func (c *console) object() *goja.Object {
	o := c.call.rt.NewObject()
	for _, level := range consoleLevels {
		define(o, level, c.call.native(level, func(fc goja.FunctionCall) goja.Value {
			c.print(level, fc.Arguments)
			return goja.Undefined()
		}))
	}
	return o
}

// print captures one call.
func (c *console) print(level string, args []goja.Value) {
	if c.full {
		return
	}
	if len(c.lines) >= maxConsoleLines || c.bytes >= maxConsoleBytes {
		c.full = true
		c.lines = append(c.lines, hook.ConsoleLine{Level: "warn", Text: "more was printed than is kept"})
		return
	}
	text := c.call.redact(c.format(args...))
	if rest := maxConsoleBytes - c.bytes; len(text) > rest {
		for rest > 0 && !utf8.RuneStart(text[rest]) {
			rest--
		}
		text = text[:rest] + "…"
	}
	c.bytes += len(text)
	c.lines = append(c.lines, hook.ConsoleLine{Level: level, Text: strings.ToValidUTF8(text, "\uFFFD")})
}

// format prints values for people.
func (c *console) format(args ...goja.Value) string {
	if c.inspector.Runtime == nil {
		c.inspector.Runtime = c.call.rt
		c.inspector.Error = c.call.describeError
	}
	return c.inspector.Format(args)
}
