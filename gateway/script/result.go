package script

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"

	"github.com/dop251/goja"

	"switchhook/gateway/hook"
	"switchhook/gateway/script/jsvalue"
	"switchhook/spec/diagnostic"
)

// wrong is the error about one place of a result.
func wrong(path, format string, args ...any) error {
	return &jsvalue.ShapeError{Path: path, Message: fmt.Sprintf(format, args...)}
}

// expected says that a value has the wrong type.
func expected(path, what string, v goja.Value) error {
	return wrong(path, "expected %s, got %s", what, jsvalue.TypeName(v))
}

// absent reports whether an optional property was left out.
func absent(v goja.Value) bool {
	return v == nil || goja.IsUndefined(v) || goja.IsNull(v)
}

// misspelt returns a key of o that was likely meant to be one of the wanted ones, none of
// which it has.
func misspelt(o *goja.Object, wanted map[string]string) (key, meant string) {
	var names []string
	for name := range wanted {
		names = append(names, name)
	}
	for _, key := range o.Keys() {
		if meant, ok := wanted[key]; ok && meant != "" {
			return key, meant
		}
		if meant := diagnostic.Nearest(key, names); meant != "" && wanted[meant] == "" {
			return key, meant
		}
	}
	return "", ""
}

// Keys that results have, and others that people write in their place.
var (
	resultKeys   = map[string]string{"events": "", "response": ""}
	eventKeys    = map[string]string{"selector": "", "payload": "", "data": "payload"}
	responseKeys = map[string]string{"status": "", "headers": "", "data": "", "statusCode": "status", "code": "status", "body": "data"}
)

// result reads what a handle or handshake function returned. It calls no code of the
// function but getters, proxies and toJSON; what those throw it panics with.
func (c *call) result(v goja.Value, result *HandleResult) error {
	if absent(v) {
		return nil
	}
	o, ok := v.(*goja.Object)
	if !ok || jsvalue.IsArray(v) || jsvalue.TypeName(v) == "function" {
		return expected("", "an object {events, response}", v)
	}
	events, response, remember := o.Get("events"), o.Get("response"), o.Get("remember")
	if events == nil && response == nil && remember == nil {
		if key, meant := misspelt(o, resultKeys); key != "" {
			return wrong(jsvalue.Key(key), "unknown, did you mean %q?", meant)
		}
	}
	handshake := c.program.Function == HandshakeFunction
	if !absent(events) {
		if handshake {
			return wrong("events", "a handshake function answers, it cannot make events")
		}
		if err := c.events(events, result); err != nil {
			return err
		}
	}
	if !absent(response) {
		var err error
		if result.Response, err = c.response(response); err != nil {
			return err
		}
	}
	if !absent(remember) {
		if !handshake {
			return wrong("remember", "only a handshake function can have something remembered")
		}
		var err error
		if result.Remember, err = c.remember(remember); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) events(v goja.Value, result *HandleResult) error {
	if !jsvalue.IsArray(v) {
		return expected("events", "an array", v)
	}
	o := v.(*goja.Object)
	length := o.Get("length").ToInteger()
	if length > int64(c.options.MaxEvents) {
		return wrong("events", "has %d items, more than the %d allowed", length, c.options.MaxEvents)
	}
	if length == 0 {
		return nil
	}
	// All is read before anything is encoded, so that no code of the function runs between
	// one payload and the next.
	result.Events = make([]*hook.Event, length)
	payloads := make([]goja.Value, length)
	for i := range result.Events {
		if c.expired.Load() {
			return jsvalue.ErrExpired
		}
		index := strconv.Itoa(i)
		var err error
		if result.Events[i], payloads[i], err = c.event("events["+index+"]", o.Get(index)); err != nil {
			return err
		}
	}
	for i, event := range result.Events {
		// Often several events have one payload, which is the same text for all.
		if o, ok := payloads[i].(*goja.Object); ok && i > 0 && payloads[i-1] == goja.Value(o) {
			before := result.Events[i-1]
			event.Payload, event.FromBody, event.BodyOffset = before.Payload, before.FromBody, before.BodyOffset
			continue
		}
		if err := c.payload(event, payloads[i]); err != nil {
			return prefix(err, "events["+strconv.Itoa(i)+"].payload")
		}
	}
	return nil
}

func (c *call) event(path string, v goja.Value) (_ *hook.Event, payload goja.Value, _ error) {
	o, ok := v.(*goja.Object)
	if !ok || jsvalue.IsArray(v) || jsvalue.TypeName(v) == "function" {
		return nil, nil, expected(path, "an object {selector, payload}", v)
	}
	event := &hook.Event{}
	selector := o.Get("selector")
	if selector == nil {
		if key, meant := misspelt(o, eventKeys); key != "" && meant == "selector" {
			return nil, nil, wrong(jsvalue.JoinPath(path, jsvalue.Key(key)), "unknown, did you mean %q?", meant)
		}
	}
	var err error
	if event.Selector, err = str(path+".selector", selector); err != nil {
		return nil, nil, err
	}
	if event.Selector == "" {
		return nil, nil, wrong(path+".selector", "must not be empty")
	}
	if id := o.Get("id"); !absent(id) {
		if event.Key, err = str(path+".id", id); err != nil {
			return nil, nil, err
		}
	}
	if kind := o.Get("type"); !absent(kind) {
		if event.Type, err = str(path+".type", kind); err != nil {
			return nil, nil, err
		}
	}
	payload = o.Get("payload")
	if payload == nil {
		if key, meant := misspelt(o, eventKeys); key != "" && meant == "payload" {
			return nil, nil, wrong(jsvalue.JoinPath(path, jsvalue.Key(key)), "unknown, did you mean %q?", meant)
		}
		return nil, nil, wrong(path+".payload", "missing; write payload: null for an event without one")
	}
	return event, payload, nil
}

// payload encodes an event's payload, or finds that it is a part of the body.
func (c *call) payload(event *hook.Event, v goja.Value) error {
	o, known := v.(*goja.Object)
	if known = known && c.data != nil && c.data.Known(o); known {
		if start, end, ok := c.data.Span(o); ok {
			b := c.in.Body
			event.Payload = b.JSON[start:end:end]
			if b.Raw {
				event.FromBody, event.BodyOffset = true, b.Offset+start
			}
			return nil
		}
	}
	before := len(c.output)
	var err error
	if known {
		c.output, err = c.encoder.AppendChanged(c.output, o)
	} else {
		c.output, err = c.encoder.Append(c.output, v)
	}
	if err != nil {
		return err
	}
	event.Payload = c.output[before:len(c.output):len(c.output)]
	return nil
}

// maxString bounds a selector, an id, a type, the value of a header field or one that is remembered.
const maxString = 64 << 10

// str reads a string.
func str(path string, v goja.Value) (string, error) {
	s, ok := v.(goja.String)
	if !ok {
		return "", expected(path, "a string", v)
	}
	if s.Length() > maxString {
		return "", wrong(path, "is longer than the %d characters allowed", maxString)
	}
	return jsvalue.ToUTF8(s.String()), nil
}

// prefix puts a path in front of that of an error about the shape.
func prefix(err error, path string) error {
	switch e := err.(type) {
	case *jsvalue.ShapeError:
		return e.At(path)
	}
	return err
}

func (c *call) remember(v goja.Value) (map[string]string, error) {
	o, ok := v.(*goja.Object)
	if !ok || jsvalue.IsArray(v) {
		return nil, expected("remember", "an object of strings", v)
	}
	remember := map[string]string{}
	for _, key := range o.Keys() {
		s, err := str(jsvalue.JoinPath("remember", jsvalue.Key(key)), o.Get(key))
		if err != nil {
			return nil, err
		}
		if len(key) > maxString {
			return nil, wrong("remember", "has a name longer than the %d characters allowed", maxString)
		}
		if len(remember) >= 1_000 {
			return nil, wrong("remember", "has more than the 1,000 values allowed")
		}
		remember[jsvalue.ToUTF8(key)] = s
	}
	return remember, nil
}

func (c *call) response(v goja.Value) (*hook.Response, error) {
	o, ok := v.(*goja.Object)
	if !ok || jsvalue.IsArray(v) || jsvalue.TypeName(v) == "function" {
		return nil, expected("response", "an object {status, headers, data}", v)
	}
	r := &hook.Response{Status: 200}
	status, data := o.Get("status"), o.Get("data")
	if status == nil || data == nil {
		if key, meant := misspelt(o, responseKeys); key != "" && o.Get(meant) == nil {
			return nil, wrong(jsvalue.JoinPath("response", jsvalue.Key(key)), "unknown, did you mean %q?", meant)
		}
	}
	if !absent(status) {
		if !goja.IsNumber(status) {
			return nil, expected("response.status", "an integer from 200 to 599", status)
		}
		f := status.ToFloat()
		if f != math.Trunc(f) || f < 200 || f > 599 {
			return nil, wrong("response.status", "expected an integer from 200 to 599, got %s", status)
		}
		r.Status = int(f)
	}
	if headers := o.Get("headers"); !absent(headers) {
		h, ok := headers.(*goja.Object)
		if !ok || jsvalue.IsArray(headers) || jsvalue.TypeName(headers) == "function" {
			return nil, expected("response.headers", "an object of strings", headers)
		}
		for _, name := range h.Keys() {
			path := jsvalue.JoinPath("response.headers", jsvalue.Key(name))
			value, err := str(path, h.Get(name))
			if err != nil {
				return nil, err
			}
			if err := CheckHeader(name, value); err != nil {
				return nil, prefix(err, path)
			}
			r.Headers = append(r.Headers, hook.Header{Name: name, Value: value})
			if len(r.Headers) > 1_000 {
				return nil, wrong("response.headers", "has more than the 1,000 fields allowed")
			}
		}
	}
	contentType := r.Headers.Get("Content-Type")
	body, standard, err := c.responseBody(data, contentType)
	if err != nil {
		return nil, prefix(err, "response.data")
	}
	r.Body = body
	if standard != "" && !r.Headers.Has("Content-Type") {
		r.Headers = append(r.Headers, hook.Header{Name: "Content-Type", Value: standard})
	}
	return r, nil
}

// ownHeaders are header fields that frame the message, which only the server can set right.
var ownHeaders = map[string]bool{
	"content-length": true, "transfer-encoding": true, "connection": true, "keep-alive": true, "upgrade": true, "trailer": true, "te": true,
}

// CheckHeader refuses what would break a message apart: names that are not tokens, values
// with control characters (RFC 9110, section 5), and fields that the gateway itself sets.
func CheckHeader(name, value string) error {
	if name == "" || strings.IndexFunc(name, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	}) >= 0 {
		return wrong("", "is not the name of a header field")
	}
	if i := strings.IndexFunc(value, func(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7f }); i >= 0 {
		return wrong("", "contains the control character %q", value[i])
	}
	if ownHeaders[strings.ToLower(name)] {
		return wrong("", "is set by the gateway")
	}
	return nil
}

// responseBody encodes response.data by the Content-Type, and says which Content-Type
// it has where none was named.
func (c *call) responseBody(v goja.Value, contentType string) (body []byte, standard string, err error) {
	if absent(v) {
		return nil, "", nil
	}
	if s, ok := v.(goja.String); ok {
		text := jsvalue.ToUTF8(s.String())
		if len(text)+len(c.output) > c.options.MaxOutput {
			return nil, "", jsvalue.ErrTooLarge
		}
		return []byte(text), "text/plain; charset=utf-8", nil
	}
	o, isObject := v.(*goja.Object)
	if isObject {
		if b, ok := c.binary(o); ok {
			if len(b)+len(c.output) > c.options.MaxOutput {
				return nil, "", jsvalue.ErrTooLarge
			}
			return append([]byte(nil), b...), "application/octet-stream", nil
		}
	}
	mediaType, _, _ := strings.Cut(contentType, ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	if mediaType == "application/x-www-form-urlencoded" {
		if !isObject || jsvalue.IsArray(v) {
			return nil, "", wrong("", "expected an object or a string for a form, got %s", jsvalue.TypeName(v))
		}
		body, err = c.form(o)
		return body, "", err
	}
	before := len(c.output)
	if c.output, err = c.encoder.Append(c.output, v); err != nil {
		return nil, "", err
	}
	return c.output[before:len(c.output):len(c.output)], "application/json", nil
}

// binary returns the bytes of an ArrayBuffer or a typed array (a Buffer too).
func (c *call) binary(o *goja.Object) ([]byte, bool) {
	switch jsvalue.Kind(o) {
	case jsvalue.KindProxy:
		return nil, false
	case jsvalue.KindBytes:
		switch b := o.Export().(type) {
		case goja.ArrayBuffer:
			return b.Bytes(), true
		case []byte:
			return b, true
		}
	case jsvalue.KindTyped:
		buffer, ok := o.Get("buffer").(*goja.Object)
		if !ok {
			return nil, false
		}
		all, ok := buffer.Export().(goja.ArrayBuffer)
		if !ok {
			return nil, false
		}
		b := all.Bytes()
		from, length := o.Get("byteOffset").ToInteger(), o.Get("byteLength").ToInteger()
		if from < 0 || length < 0 || from+length > int64(len(b)) {
			return nil, false
		}
		return b[from : from+length], true
	}
	return nil, false
}

// form encodes an object as a form: an array is a repeated field.
func (c *call) form(o *goja.Object) ([]byte, error) {
	// URLSearchParams and the like print themselves.
	if text, ok := goja.AssertFunction(o.Get("toString")); ok && len(o.Keys()) == 0 && o.Get("append") != nil {
		v, err := text(o)
		if err != nil {
			return nil, err
		}
		s, ok := v.ToString().(goja.String)
		if !ok {
			return nil, expected("", "a form", v)
		}
		if s.Length()+len(c.output) > c.options.MaxOutput {
			return nil, jsvalue.ErrTooLarge
		}
		return []byte(jsvalue.ToUTF8(s.String())), nil
	}
	var b []byte
	size := func() error {
		if len(b)+len(c.output) > c.options.MaxOutput {
			return jsvalue.ErrTooLarge
		}
		return nil
	}
	field := func(path, name string, v goja.Value) error {
		if _, ok := v.(*goja.Object); ok || jsvalue.TypeName(v) == "symbol" {
			return expected(path, "a string, number or boolean in a form", v)
		}
		if absent(v) {
			return nil
		}
		if len(b) > 0 {
			b = append(b, '&')
		}
		b = append(b, url.QueryEscape(name)...)
		b = append(b, '=')
		b = append(b, url.QueryEscape(jsvalue.ToUTF8(v.String()))...)
		return size()
	}
	for _, name := range o.Keys() {
		path, v := jsvalue.Key(name), o.Get(name)
		if !jsvalue.IsArray(v) {
			if err := field(path, name, v); err != nil {
				return nil, err
			}
			continue
		}
		list := v.(*goja.Object)
		length := list.Get("length").ToInteger()
		if length > int64(c.options.MaxOutput) {
			return nil, jsvalue.ErrTooLarge
		}
		for i := range int(length) {
			if c.expired.Load() {
				return nil, jsvalue.ErrExpired
			}
			if err := field(path+"["+strconv.Itoa(i)+"]", name, list.Get(strconv.Itoa(i))); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}
