package worker

import (
	"encoding/json"
	"time"
	"unsafe"

	"switchhook/gateway/body"
	"switchhook/gateway/hook"
	"switchhook/gateway/script"
)

// The forms in which a body's value is sent. The body's bytes are sent once; what is a part of
// them is a range.
const (
	valueNone  = iota // HandleInput.Body is nil, or its Kind is body.None
	valueRange        // JSON, a part of the body
	valueJSON         // JSON of its own (a form)
	valueWhole        // text, the whole body
	valueText         // text of its own
)

const containerSize = int(unsafe.Sizeof(body.Container{}))

// writeProgram writes a frameProgram.
func (w *writer) writeProgram(number uint64, p *script.Program) {
	w.begin(frameProgram)
	w.uint(number)
	w.text(p.ID)
	w.text(p.Connector)
	w.text(p.Name)
	w.text(p.Function)
	w.bytes(p.Code)
	w.bytes(p.SourceMap)
	w.text(p.InlineFile)
	w.int(int64(p.InlineColumn))
	w.end(0)
}

func (r *reader) program() (number uint64, p *script.Program) {
	number = r.uint()
	p = &script.Program{ID: r.text(), Connector: r.text(), Name: r.text(), Function: r.text()}
	p.Code = append([]byte(nil), r.bytes()...)
	p.SourceMap = append([]byte(nil), r.bytes()...)
	p.InlineFile = r.text()
	p.InlineColumn = int(r.int())
	return number, p
}

// writeHandle writes a frameHandle but for the body's bytes, which must follow.
func (w *writer) writeHandle(sequence, program uint64, in *script.HandleInput) {
	req := in.Request
	w.begin(frameHandle)
	w.uint(sequence)
	w.uint(program)
	w.int(int64(in.Timeout))
	w.flag(!in.Now.IsZero())
	if !in.Now.IsZero() {
		w.int(in.Now.Unix())
		w.int(int64(in.Now.Nanosecond()))
	}
	w.uint(in.Seed)
	w.flag(in.Coverage)
	// Only what handlers can see.
	w.text(req.Workspace)
	w.text(req.Integration)
	w.text(req.Method)
	w.text(req.URL)
	w.text(req.Path)
	w.text(req.Query)
	w.int(req.ReceivedAt.Unix())
	w.int(int64(req.ReceivedAt.Nanosecond()))
	w.uint(uint64(len(req.Headers)))
	for _, h := range req.Headers {
		w.text(h.Name)
		w.text(h.Value)
	}
	w.bytes(in.Parameters)
	w.flag(in.State != nil)
	if in.State != nil {
		w.uint(uint64(len(in.State)))
		for k, v := range in.State {
			w.text(k)
			w.text(v)
		}
	}
	b := in.Body
	switch {
	case b == nil:
		w.uint(valueNone)
	case b.Kind == body.JSON && b.Raw && b.Offset+len(b.JSON) <= len(req.Body):
		w.uint(valueRange)
		w.uint(uint64(b.Offset))
		w.uint(uint64(len(b.JSON)))
		// The worker need not look at what has been looked at. Both are the same program on the same machine.
		w.bytes(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(b.Index))), len(b.Index)*containerSize))
	case b.Kind == body.JSON:
		w.uint(valueJSON)
		w.bytes(b.JSON)
	case b.Kind == body.Text && b.Text == unsafe.String(unsafe.SliceData(req.Body), len(req.Body)):
		w.uint(valueWhole)
	case b.Kind == body.Text:
		w.uint(valueText)
		w.text(b.Text)
	default:
		w.uint(valueNone)
	}
	w.end(len(req.Body))
}

// handle reads a frameHandle. All that it returns are parts of the frame, not copies: it lives as long as that.
func (r *reader) handle() (sequence, program uint64, in *script.HandleInput) {
	sequence, program = r.uint(), r.uint()
	req := &hook.Request{}
	in = &script.HandleInput{Request: req, Timeout: time.Duration(r.int())}
	if r.flag() {
		in.Now = time.Unix(r.int(), r.int())
	}
	in.Seed = r.uint()
	in.Coverage = r.flag()
	req.Workspace, req.Integration, req.Method, req.URL, req.Path, req.Query = r.view(), r.view(), r.view(), r.view(), r.view(), r.view()
	req.ReceivedAt = time.Unix(r.int(), r.int())
	req.Headers = make(hook.Headers, r.count(1<<20))
	for i := range req.Headers {
		req.Headers[i] = hook.Header{Name: r.view(), Value: r.view()}
	}
	in.Parameters = json.RawMessage(r.bytes())
	if r.flag() {
		n := r.count(1 << 20)
		in.State = make(map[string]string, n)
		for range n {
			k := r.view()
			in.State[k] = r.view()
		}
	}
	value := r.uint()
	from, length := uint64(0), uint64(0)
	var index []byte
	b := &body.Parsed{}
	switch value {
	case valueNone:
	case valueRange:
		from, length = r.uint(), r.uint()
		index = r.bytes()
	case valueJSON:
		b.Kind, b.JSON = body.JSON, r.bytes()
	case valueWhole:
		b.Kind = body.Text
	case valueText:
		b.Kind, b.Text = body.Text, r.view()
	default:
		r.fail()
	}
	if r.err != nil {
		return 0, 0, nil
	}
	req.Body = r.b
	size := uint64(len(req.Body))
	switch value {
	case valueRange:
		if from > size || length > size-from {
			r.fail()
			return 0, 0, nil
		}
		b.Kind, b.Raw, b.Offset, b.JSON = body.JSON, true, int(from), req.Body[from:from+length:from+length]
		if n := len(index) / containerSize; n > 0 {
			b.Index = make([]body.Container, n)
			copy(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(b.Index))), n*containerSize), index)
		}
	case valueWhole:
		b.Text = unsafe.String(unsafe.SliceData(req.Body), len(req.Body))
	}
	in.Body = b
	return sequence, program, in
}

// writeEval writes a frameEval.
func (w *writer) writeEval(sequence, program uint64, argument json.RawMessage) {
	w.begin(frameEval)
	w.uint(sequence)
	w.uint(program)
	w.bytes(argument)
	w.end(0)
}

func (r *reader) eval() (sequence, program uint64, argument json.RawMessage) {
	return r.uint(), r.uint(), append(json.RawMessage(nil), r.bytes()...)
}
