package worker

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/tidwall/gjson"

	"switchhook/gateway/hook"
	"switchhook/gateway/script"
)

// The forms of an event's payload.
const (
	payloadOwn  = iota // bytes
	payloadBody        // a part of the request's body
	payloadJSON        // a part of Body.JSON where that is not a part of the body
)

// What a frameResult has.
const (
	hasFailure = 1 << iota
	hasResponse
	hasRemember
	hasCoverage
	// wantsRest: the worker holds so much memory that another should take its place.
	wantsRest
)

// The bounds of what a worker may say; those of a result's size come from the options.
const (
	maxStrings  = 1 << 20 // names and texts of one failure, console line, and so on
	maxLines    = 1000
	maxFrames   = 100
	maxCoverage = 1 << 20
)

// answer is what a frameResult says, of either kind of call.
type answer struct {
	handle script.HandleResult
	value  json.RawMessage
	err    *script.Error
	// rest: the worker has had enough.
	rest bool
}

// writeResult writes the frameResult of a call; in is nil for Eval.
func (w *writer) writeResult(sequence uint64, a *answer, in *script.HandleInput) {
	w.begin(frameResult)
	w.uint(sequence)
	r := &a.handle
	var has byte
	if a.err != nil {
		has |= hasFailure
	}
	if r.Response != nil {
		has |= hasResponse
	}
	if r.Remember != nil {
		has |= hasRemember
	}
	if r.Coverage != nil {
		has |= hasCoverage
	}
	if a.rest {
		has |= wantsRest
	}
	w.b = append(w.b, has)
	w.int(int64(r.Took))
	w.uint(uint64(len(r.Console)))
	for _, l := range r.Console {
		w.text(l.Level)
		w.text(l.Text)
	}
	if a.err != nil {
		w.failure(a.err)
	}
	w.bytes(a.value)
	w.uint(uint64(len(r.Events)))
	for _, e := range r.Events {
		w.text(e.Selector)
		w.text(e.Type)
		w.text(e.Key)
		w.payload(e, in)
	}
	if r.Response != nil {
		w.uint(uint64(r.Response.Status))
		w.uint(uint64(len(r.Response.Headers)))
		for _, h := range r.Response.Headers {
			w.text(h.Name)
			w.text(h.Value)
		}
		w.flag(r.Response.Body != nil)
		w.bytes(r.Response.Body)
	}
	if r.Remember != nil {
		w.uint(uint64(len(r.Remember)))
		for k, v := range r.Remember {
			w.text(k)
			w.text(v)
		}
	}
	if r.Coverage != nil {
		w.uint(uint64(len(r.Coverage)))
		for file, lines := range r.Coverage {
			w.text(file)
			w.uint(uint64(len(lines)))
			for line, n := range lines {
				w.uint(uint64(line))
				w.uint(uint64(n))
			}
		}
	}
	w.end(0)
}

func (w *writer) payload(e *hook.Event, in *script.HandleInput) {
	if e.FromBody {
		w.uint(payloadBody)
		w.uint(uint64(e.BodyOffset))
		w.uint(uint64(len(e.Payload)))
		return
	}
	if in != nil && in.Body != nil {
		if from, ok := within(in.Body.JSON, e.Payload); ok {
			w.uint(payloadJSON)
			w.uint(uint64(from))
			w.uint(uint64(len(e.Payload)))
			return
		}
	}
	w.uint(payloadOwn)
	w.bytes(e.Payload)
}

// within reports where in whole the memory of part is.
func within(whole, part []byte) (from int, ok bool) {
	if len(part) == 0 || len(part) > len(whole) {
		return 0, false
	}
	start, at := uintptr(unsafe.Pointer(unsafe.SliceData(whole))), uintptr(unsafe.Pointer(unsafe.SliceData(part)))
	if at < start || at-start > uintptr(len(whole)-len(part)) {
		return 0, false
	}
	return int(at - start), true
}

func (w *writer) failure(e *script.Error) {
	f := &e.Failure
	w.text(f.Kind)
	w.uint(uint64(e.Status))
	w.text(f.Message)
	w.text(f.Path)
	w.text(f.CodeFrame)
	w.uint(uint64(len(f.Stack)))
	for _, at := range f.Stack {
		w.text(at.Function)
		w.text(at.File)
		w.uint(uint64(at.Line))
		w.uint(uint64(at.Column))
	}
}

// limits are what answers are checked against.
type limits struct{ maxOutput, maxEvents int }

// bounded is a text of a worker, a part of the frame.
func (r *reader) bounded() string {
	b := r.bytes()
	if len(b) > maxStrings || !utf8.Valid(b) {
		r.fail()
		return ""
	}
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// answer reads what follows the sequence in a frameResult, believing nothing. in is nil for
// Eval. Payloads may be parts of in and of the frame.
func (r *reader) answer(in *script.HandleInput, l limits) (*answer, error) {
	has := r.byte()
	a := &answer{rest: has&wantsRest != 0}
	res := &a.handle
	res.Took = max(0, time.Duration(r.int()))
	if n := r.count(maxLines); n > 0 {
		res.Console = make([]hook.ConsoleLine, n)
		for i := range res.Console {
			level := r.bounded()
			if !slices.Contains([]string{"debug", "log", "info", "warn", "error"}, level) {
				r.fail()
			}
			res.Console[i] = hook.ConsoleLine{Level: level, Text: r.bounded()}
		}
	}
	if has&hasFailure != 0 {
		a.err = r.failure()
	}
	a.value = r.bytes()
	r.events(res, in, l)
	if has&hasResponse != 0 {
		res.Response = r.response(l)
	}
	if has&hasRemember != 0 {
		n := r.count(maxLines * 10)
		res.Remember = make(map[string]string, n)
		for range n {
			k := r.bounded()
			res.Remember[k] = r.bounded()
		}
	}
	if has&hasCoverage != 0 {
		res.Coverage = r.coverage()
	}
	switch {
	case r.err != nil, len(r.b) > 0:
		return nil, errMalformed
	case a.err != nil && (res.Events != nil || res.Response != nil || res.Remember != nil || len(a.value) > 0):
		return nil, fmt.Errorf("a failure with a result: %w", errMalformed)
	case in == nil && (res.Events != nil || res.Response != nil || res.Remember != nil || res.Coverage != nil || a.err == nil && !gjson.ValidBytes(a.value)),
		in != nil && len(a.value) > 0:
		return nil, fmt.Errorf("the result of another kind of call: %w", errMalformed)
	}
	return a, nil
}

var failureKinds = []string{"thrown", "refused", "shape", "timeout", "crashed", "pending", "input", "unavailable"}

func (r *reader) failure() *script.Error {
	e := &script.Error{}
	f := &e.Failure
	f.Kind = r.bounded()
	e.Status = r.small(599)
	f.Message, f.Path, f.CodeFrame = r.bounded(), r.bounded(), r.bounded()
	if n := r.count(maxFrames); n > 0 {
		f.Stack = make([]hook.Frame, n)
		for i := range f.Stack {
			f.Stack[i] = hook.Frame{Function: r.bounded(), File: r.bounded(), Line: r.small(1 << 30), Column: r.small(1 << 30)}
		}
	}
	answers := f.Kind == "refused" || f.Kind == "input" && e.Status != 0
	if !slices.Contains(failureKinds, f.Kind) || answers != (e.Status != 0) || answers && e.Status < 400 {
		r.fail()
	}
	return e
}

func (r *reader) events(res *script.HandleResult, in *script.HandleInput, l limits) {
	n := r.count(l.maxEvents)
	if n == 0 {
		return
	}
	own := 0
	res.Events = make([]*hook.Event, n)
	for i := range res.Events {
		e := &hook.Event{Selector: r.bounded(), Type: r.bounded(), Key: r.bounded()}
		if e.Selector == "" {
			r.fail()
		}
		switch form := r.uint(); {
		case form == payloadOwn:
			e.Payload = r.bytes()
			if own += len(e.Payload); own > l.maxOutput || !gjson.ValidBytes(e.Payload) {
				r.fail()
			}
		case form == payloadBody && in != nil && in.Body != nil && in.Body.Raw:
			e.FromBody = true
			e.Payload, e.BodyOffset = r.part(in.Request.Body, in.Body.JSON, in.Body.Offset)
		case form == payloadJSON && in != nil && in.Body != nil:
			e.Payload, _ = r.part(in.Body.JSON, in.Body.JSON, 0)
		default:
			r.fail()
		}
		if r.err != nil {
			return
		}
		res.Events[i] = e
	}
}

// part reads a range of whole, which must be JSON. value is the part of whole, at offset, that is
// known to be JSON.
func (r *reader) part(whole, value []byte, offset int) ([]byte, int) {
	from, length := r.uint(), r.uint()
	size := uint64(len(whole))
	if r.err != nil || from > size || length > size-from {
		r.fail()
		return nil, 0
	}
	b := whole[from : from+length : from+length]
	if (int(from) != offset || len(b) != len(value)) && !gjson.ValidBytes(b) {
		r.fail()
		return nil, 0
	}
	return b, int(from)
}

func (r *reader) response(l limits) *hook.Response {
	resp := &hook.Response{Status: r.small(599)}
	if resp.Status < 200 {
		r.fail()
	}
	if n := r.count(maxLines + 1); n > 0 {
		resp.Headers = make(hook.Headers, n)
		for i := range resp.Headers {
			h := hook.Header{Name: r.bounded(), Value: r.bounded()}
			if script.CheckHeader(h.Name, h.Value) != nil {
				r.fail()
				return nil
			}
			resp.Headers[i] = h
		}
	}
	some := r.flag()
	b := r.bytes()
	if len(b) > l.maxOutput || !some && len(b) > 0 {
		r.fail()
	}
	if some {
		resp.Body = b
	}
	return resp
}

func (r *reader) coverage() map[string]map[int]int {
	files := map[string]map[int]int{}
	for range r.count(maxCoverage) {
		file := r.bounded()
		n := r.count(maxCoverage)
		lines := make(map[int]int, n)
		for range n {
			line := r.small(1 << 30)
			lines[line] = r.small(1 << 62)
		}
		if r.err != nil {
			return nil
		}
		files[file] = lines
	}
	return files
}
