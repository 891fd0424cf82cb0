package script

import (
	"slices"
	"strings"
	"unsafe"

	"github.com/dop251/goja"

	"switchhook/gateway/body"
	"switchhook/gateway/hook"
	"switchhook/gateway/script/jsvalue"
)

// argumentKeys are the properties of what a handle function is called with, in the
// order in which they are enumerated. Only handshake functions see the last.
var argumentKeys = []string{
	"query", "data", "headers", "parameters", "rawBody", "method", "url", "path", "rawBytes",
	"integration", "workspace", "receivedAt", "state",
}

// argument is what a handle function is called with. A property is made when it is
// first read, because many calls read few.
type argument struct {
	call *call
	// values has the properties made so far, and what the function set.
	// A nil value is a property that was deleted.
	values map[string]goja.Value
	added  []string // keys that the function added
}

func (a *argument) keys() []string {
	if a.call.program.Function == HandshakeFunction {
		return argumentKeys
	}
	return argumentKeys[:len(argumentKeys)-1]
}

// Get implements goja.DynamicObject.
func (a *argument) Get(key string) goja.Value {
	if v, ok := a.values[key]; ok {
		return v
	}
	if !slices.Contains(a.keys(), key) {
		return nil
	}
	v := a.make(key)
	a.put(key, v)
	return v
}

func (a *argument) put(key string, v goja.Value) {
	if a.values == nil {
		a.values = make(map[string]goja.Value, 4)
	}
	a.values[key] = v
}

// Set implements goja.DynamicObject.
func (a *argument) Set(key string, v goja.Value) bool {
	if !a.Has(key) && !slices.Contains(a.keys(), key) {
		a.added = append(a.added, key)
	}
	a.put(key, v)
	return true
}

// Has implements goja.DynamicObject.
func (a *argument) Has(key string) bool {
	if v, ok := a.values[key]; ok {
		return v != nil
	}
	return slices.Contains(a.keys(), key)
}

// Delete implements goja.DynamicObject.
func (a *argument) Delete(key string) bool {
	if i := slices.Index(a.added, key); i >= 0 {
		a.added = slices.Delete(a.added, i, i+1)
		delete(a.values, key)
	} else if slices.Contains(a.keys(), key) {
		a.put(key, nil)
	}
	return true
}

// Keys implements goja.DynamicObject.
func (a *argument) Keys() []string {
	var keys []string
	for _, k := range a.keys() {
		if a.Has(k) {
			keys = append(keys, k)
		}
	}
	return append(keys, a.added...)
}

// make makes a property.
func (a *argument) make(key string) goja.Value {
	c, in := a.call, a.call.in
	rt, req := c.rt, in.Request
	switch key {
	case "query":
		return c.parse(body.Query(req.Query))
	case "data":
		return c.makeData()
	case "headers":
		return c.makeHeaders(req.Headers)
	case "parameters":
		if len(in.Parameters) == 0 {
			return rt.NewObject()
		}
		return c.parse(in.Parameters)
	case "rawBody":
		return c.text(req.Body)
	case "method":
		return rt.ToValue(req.Method)
	case "url":
		return rt.ToValue(req.URL)
	case "path":
		return rt.ToValue(req.Path)
	case "rawBytes":
		return c.bytes(req.Body)
	case "integration":
		return rt.ToValue(req.Integration)
	case "workspace":
		return rt.ToValue(req.Workspace)
	case "receivedAt":
		return rt.ToValue(req.ReceivedAt.UTC().Format("2006-01-02T15:04:05.000Z"))
	case "state":
		o := rt.NewObject()
		jsvalue.Fill(o, func(set func(string, goja.Value)) {
			for k, v := range in.State {
				set(k, rt.ToValue(v))
			}
		})
		return o
	}
	return goja.Undefined()
}

// define makes an ordinary property, whatever its name.
func define(o *goja.Object, key string, v goja.Value) {
	if err := o.DefineDataProperty(key, v, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE); err != nil {
		panic(err)
	}
}

// makeData makes the body's value.
func (c *call) makeData() goja.Value {
	b := c.in.Body
	if b == nil {
		return goja.Undefined()
	}
	switch b.Kind {
	case body.JSON:
		index := b.Index
		if index == nil {
			var err error
			if index, err = body.Index(b.JSON); err != nil {
				c.reject(err)
			}
		}
		tree := c.parser.ParseIndexed(b.JSON, index)
		c.data = tree
		c.encoder.Source = tree
		return tree.Root()
	case body.Text:
		return c.rt.ToValue(b.Text)
	}
	return goja.Undefined()
}

// parse makes the value of JSON that the gateway itself made.
func (c *call) parse(json []byte) goja.Value {
	tree, err := c.parser.Parse(json)
	if err != nil {
		c.reject(err)
	}
	return tree.Root()
}

// reject ends the call because of what it was called with.
func (c *call) reject(err error) {
	c.failed = &Error{Status: 400, Failure: hook.Failure{Kind: "input", Message: "the request cannot be read: " + err.Error()}}
	if syntax, ok := err.(*body.SyntaxError); ok && syntax.OverLimit {
		c.failed = errTooDeep()
	}
	c.rt.Interrupt(c.failed)
	panic(c.rt.NewGoError(c.failed))
}

// makeHeaders makes an object with lower-case names and repeated values joined.
func (c *call) makeHeaders(headers hook.Headers) goja.Value {
	o := c.rt.NewObject()
	jsvalue.Fill(o, func(set func(string, goja.Value)) {
		for i, h := range headers {
			if headers[:i].Has(h.Name) {
				continue
			}
			value := h.Value
			for _, after := range headers[i+1:] {
				if len(after.Name) == len(h.Name) && strings.EqualFold(after.Name, h.Name) {
					value += ", " + after.Value
				}
			}
			set(strings.ToLower(h.Name), c.rt.ToValue(jsvalue.ToUTF8(value)))
		}
	})
	return o
}

// text is a string of bytes that nobody changes.
func (c *call) text(b []byte) goja.Value {
	return c.rt.ToValue(jsvalue.ToUTF8(unsafe.String(unsafe.SliceData(b), len(b))))
}

// bytes is a Uint8Array with a copy of b, because the function may write to it.
func (c *call) bytes(b []byte) goja.Value {
	buffer := c.rt.NewArrayBuffer(append([]byte(nil), b...))
	array, err := c.rt.New(c.rt.GlobalObject().Get("Uint8Array"), c.rt.ToValue(buffer))
	if err != nil {
		panic(err)
	}
	return array
}
