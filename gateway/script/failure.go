package script

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dop251/goja"

	"switchhook/gateway/hook"
	"switchhook/gateway/script/jsvalue"
	"switchhook/spec/diagnostic"
)

// The bounds of what a failure says.
const (
	maxMessage = 2 << 10
	maxFrames  = 20
)

// failure turns an error of a call into the *Error that the engine returns.
func (c *call) failure(err error, timeout time.Duration) error {
	if err == nil {
		return nil
	}
	// Not errors.As: what goja wraps may run code of the function.
	switch err := err.(type) {
	case *Error:
		return err
	case *goja.InterruptedError:
		return c.timeout(err.Stack(), timeout)
	case *goja.StackOverflowError:
		return c.located(hook.Failure{
			Kind: "thrown", Message: fmt.Sprintf("RangeError: functions call one another more than %d deep (is it an endless recursion?)", maxCalls),
		}, err.Stack())
	case *goja.Exception:
		return c.thrown(err)
	case *jsvalue.ShapeError:
		return &Error{Failure: hook.Failure{Kind: "shape", Path: c.plain(err.Path), Message: c.plain(err.Message)}}
	}
	switch err {
	case jsvalue.ErrExpired:
		return c.timeout(nil, timeout)
	case jsvalue.ErrTooLarge:
		return &Error{Failure: hook.Failure{Kind: "shape", Message: fmt.Sprintf("the result is larger than the %d bytes allowed", c.options.MaxOutput)}}
	}
	return &Error{Failure: hook.Failure{Kind: "crashed", Message: c.plain("the engine failed: " + err.Error())}}
}

func (c *call) timeout(stack []goja.StackFrame, timeout time.Duration) error {
	return c.located(hook.Failure{Kind: "timeout", Message: fmt.Sprintf("%s took longer than %v and was stopped", c.program.Function, timeout)}, stack)
}

// thrown is the failure of what the function threw.
func (c *call) thrown(ex *goja.Exception) error {
	v := ex.Value()
	f := hook.Failure{Kind: "thrown", Message: c.plain(c.describeThrown(v))}
	if o, ok := v.(*goja.Object); ok {
		if status, ok := c.refusals[o]; ok {
			f.Kind = "refused"
			f.Message = c.plain(c.errorPart(o, "message"))
			e := c.located(f, ex.Stack())
			e.Status = status
			return e
		}
	}
	return c.located(f, ex.Stack())
}

// describeThrown says what was thrown, on whatever lines it has.
func (c *call) describeThrown(v goja.Value) string {
	if o, ok := v.(*goja.Object); ok && jsvalue.Kind(o) != jsvalue.KindProxy && o.ClassName() == "Error" {
		text := c.errorHead(o)
		if name, rest, ok := strings.Cut(strings.TrimPrefix(text, "ReferenceError: "), " "); ok && rest == "is not defined" {
			if why := absentGlobals[name]; why != "" {
				text += " here: " + why
			}
		}
		if cause, ok := c.property(o, "cause").(*goja.Object); ok && cause != o && jsvalue.Kind(cause) != jsvalue.KindProxy && cause.ClassName() == "Error" {
			text += " (cause: " + c.errorHead(cause) + ")"
		}
		return text
	}
	if s, ok := v.(goja.String); ok {
		return s.String()
	}
	in := jsvalue.Inspector{Runtime: c.rt, Error: c.errorHead}
	return "threw " + in.Format([]goja.Value{v})
}

// errorHead is "name: message" of an error.
func (c *call) errorHead(o *goja.Object) string {
	name, message := c.errorPart(o, "name"), c.errorPart(o, "message")
	switch {
	case name == "":
		name = "Error"
		fallthrough
	case message != "":
		return strings.TrimSuffix(name+": "+message, ": ")
	}
	return name
}

// errorPart reads a property that should be a string, without running
// conversions of other objects.
func (c *call) errorPart(o *goja.Object, key string) string {
	switch v := c.property(o, key).(type) {
	case nil, *goja.Object, *goja.Symbol:
		return ""
	default:
		if goja.IsUndefined(v) || goja.IsNull(v) {
			return ""
		}
		return v.String()
	}
}

// property reads a property; nil when that throws.
func (c *call) property(o *goja.Object, key string) (v goja.Value) {
	if ex := c.rt.Try(func() { v = o.Get(key) }); ex != nil {
		return nil
	}
	return v
}

// describeError prints an error with its stack for the console.
func (c *call) describeError(o *goja.Object) string {
	text := c.errorHead(o)
	if ex := c.rt.Try(func() { panic(o) }); ex != nil {
		for _, f := range c.frames(ex.Stack()) {
			text += "\n    at "
			if f.Function != "" {
				text += f.Function + " "
			}
			text += fmt.Sprintf("(%s:%d:%d)", f.File, f.Line, f.Column)
		}
	}
	return text
}

// frames turns goja's stack into places in the connector's files. What is
// not code of the connector has none.
func (c *call) frames(stack []goja.StackFrame) []hook.Frame {
	var frames []hook.Frame
	positions := c.program.compiled.positions()
	for _, s := range stack {
		if s.SrcName() != bundleName {
			continue
		}
		at := s.Position()
		if c.covering != nil {
			at.Column = c.covering.column(at.Line, at.Column)
		}
		f, ok := positions.original(at.Line, at.Column)
		if !ok {
			continue
		}
		switch name := s.FuncName(); name {
		case "<anonymous>":
		case c.program.anonymousName():
			f.Function = c.program.Function
		default:
			f.Function = strings.ToValidUTF8(name, "\uFFFD")
		}
		if frames = append(frames, f); len(frames) == maxFrames {
			break
		}
	}
	return frames
}

// located completes a failure by where it happened.
func (c *call) located(f hook.Failure, stack []goja.StackFrame) *Error {
	f.Stack = c.frames(stack)
	if len(f.Stack) > 0 {
		top := f.Stack[0]
		f.CodeFrame = diagnostic.Diagnostic{
			Line: top.Line, Column: top.Column, Snippet: c.program.compiled.positions().snippet(top),
		}.Frame()
	}
	return &Error{Failure: f}
}

// plain makes one line of a text, bounded and without parameters.
func (c *call) plain(s string) string {
	return oneLine(c.redact(s))
}

func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), " ")
	if len(s) > maxMessage {
		cut := maxMessage
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// redact replaces the values of parameters and of the state in a text that is
// shown to people, since they are secrets or may be. Very short ones are left, or
// nothing could be read.
func (c *call) redact(s string) string {
	if c.in == nil || s == "" {
		return s
	}
	if c.secrets == nil {
		c.secrets = secrets(c.in)
	}
	return c.secrets.Replace(s)
}

// secrets makes what replaces the secrets of a call by their names.
func secrets(in *HandleInput) *strings.Replacer {
	const shortest = 4
	names := map[string]string{} // by value
	var walk func(name string, v any)
	walk = func(name string, v any) {
		switch v := v.(type) {
		case string:
			if old, ok := names[v]; len(v) >= shortest && (!ok || name < old) {
				names[v] = name
			}
		case []any:
			for i, x := range v {
				walk(fmt.Sprintf("%s[%d]", name, i), x)
			}
		case map[string]any:
			for k, x := range v {
				walk(jsvalue.JoinPath(name, jsvalue.Key(k)), x)
			}
		}
	}
	var parameters any
	if len(in.Parameters) > 0 && json.Unmarshal(in.Parameters, &parameters) == nil {
		walk("parameters", parameters)
	}
	for k, v := range in.State {
		walk(jsvalue.JoinPath("state", jsvalue.Key(k)), v)
	}
	// The longest first, because one value may be part of another.
	values := slices.SortedFunc(maps.Keys(names), func(a, b string) int {
		return cmp.Or(len(b)-len(a), strings.Compare(a, b))
	})
	var pairs []string
	for _, v := range values {
		pairs = append(pairs, v, "["+names[v]+"]")
	}
	return strings.NewReplacer(pairs...)
}
