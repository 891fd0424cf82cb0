package worker

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"switchhook/gateway/body"
	"switchhook/gateway/hook"
	"switchhook/gateway/script"
)

func exampleInput(contentType, text string) *script.HandleInput {
	return &script.HandleInput{
		Request: &hook.Request{Workspace: "demo", Integration: "shop", Method: "POST", URL: "https://a.example/demo/shop/x?a=1", Path: "/demo/shop/x", Query: "a=1",
			Headers: hook.Headers{{Name: "Content-Type", Value: contentType}, {Name: "X-Bytes", Value: "\xff"}}, Body: []byte(text), ReceivedAt: time.Unix(1767323045, 678900000)},
		Body: body.Parse(contentType, []byte(text)), Parameters: json.RawMessage(`{"secret":"s"}`), State: map[string]string{"a": "b"},
		Now: time.Unix(5, 6), Seed: 7, Timeout: time.Second, Coverage: true,
	}
}

// frame encodes a call as the gateway does.
func frame(in *script.HandleInput) []byte {
	w := writer{}
	w.writeHandle(3, 4, in)
	return append(w.b, in.Request.Body...)
}

func TestCallsKeepTheirForm(t *testing.T) {
	for contentType, text := range map[string]string{
		"application/json": ` {"a": [1, "x"]} `, "application/x-www-form-urlencoded": "a=1&b=2", "text/plain": "héllo", "text/plain; charset=latin1": "h\xe9llo", "": "",
		"application/json; charset=utf-8": `{"a":`, "multipart/form-data; boundary=x": "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n",
	} {
		in := exampleInput(contentType, text)
		b := frame(in)
		s := stream{limit: 1 << 20, read: bytes.NewReader(b).Read}
		kind, fields, err := s.next()
		if err != nil || kind != frameHandle {
			t.Fatal(kind, err)
		}
		r := reader{b: fields}
		sequence, program, got := r.handle()
		if r.err != nil || sequence != 3 || program != 4 {
			t.Fatal(r.err, sequence, program)
		}
		want := *in
		want.Body = &body.Parsed{Kind: in.Body.Kind, JSON: in.Body.JSON, Raw: in.Body.Raw, Offset: in.Body.Offset, Index: in.Body.Index, Text: in.Body.Text}
		if len(got.Body.JSON) == 0 {
			got.Body.JSON = in.Body.JSON
		}
		if !reflect.DeepEqual(&want, got) {
			t.Errorf("%q became\n%+v %+v, was\n%+v %+v", contentType, got.Request, got.Body, want.Request, want.Body)
		}
	}
}

func TestResultsKeepTheirForm(t *testing.T) {
	in := exampleInput("application/json", ` {"a": {"b": [1, 2]}} `)
	whole, part := in.Body.JSON, in.Body.JSON[6:19]
	a := &answer{handle: script.HandleResult{
		Events: []*hook.Event{{Selector: "s", Type: "t", Key: "k", Payload: []byte(`{"own":1}`)}, {Selector: "w", Payload: whole, FromBody: true, BodyOffset: in.Body.Offset},
			{Selector: "p", Payload: part, FromBody: true, BodyOffset: in.Body.Offset + 6}},
		Response: &hook.Response{Status: 202, Headers: hook.Headers{{Name: "X-A", Value: "b"}}, Body: []byte("x")}, Console: []hook.ConsoleLine{{Level: "log", Text: "hé"}},
		Took: time.Millisecond, Coverage: map[string]map[int]int{"a.js": {1: 2, 3: 0}},
	}}
	check := func(a *answer, in *script.HandleInput) {
		t.Helper()
		w := writer{}
		w.writeResult(9, a, in)
		r := reader{b: w.b[frameHeader:]}
		if n := r.uint(); n != 9 {
			t.Errorf("sequence %d", n)
		}
		got, err := r.answer(in, limits{1 << 20, 100})
		if err != nil {
			t.Fatal(err)
		}
		if a.value == nil {
			got.value = nil
		}
		if !reflect.DeepEqual(got, a) {
			t.Errorf("got\n%+v, was\n%+v", got, a)
		}
	}
	check(a, in)
	check(&answer{err: &script.Error{Status: 401, Failure: hook.Failure{Kind: "refused", Message: "m", Path: "p", CodeFrame: "c", Stack: []hook.Frame{{Function: "f", File: "x", Line: 1, Column: 2}}}}}, in)
	check(&answer{handle: script.HandleResult{Remember: map[string]string{"a": "b"}}}, in)
	check(&answer{value: json.RawMessage(`{"a":1}`)}, nil)
	form := exampleInput("application/x-www-form-urlencoded", "a=1")
	check(&answer{handle: script.HandleResult{Events: []*hook.Event{{Selector: "s", Payload: form.Body.JSON}}}}, form)
}

// TestDistrusted: what a worker could say to harm the gateway.
func TestDistrusted(t *testing.T) {
	in := exampleInput("application/json", `{"a": 1}`)
	event := func(e hook.Event) *answer {
		return &answer{handle: script.HandleResult{Events: []*hook.Event{&e}}}
	}
	for name, a := range map[string]*answer{
		"not JSON":                  event(hook.Event{Selector: "s", Payload: []byte(`{"a":`)}),
		"no selector":               event(hook.Event{Payload: []byte(`1`)}),
		"selector is not text":      event(hook.Event{Selector: "\xff", Payload: []byte(`1`)}),
		"beyond the body":           event(hook.Event{Selector: "s", Payload: make([]byte, 9), FromBody: true}),
		"far beyond the body":       event(hook.Event{Selector: "s", Payload: make([]byte, 1), FromBody: true, BodyOffset: 1 << 40}),
		"a part that is no value":   event(hook.Event{Selector: "s", Payload: make([]byte, 4), FromBody: true, BodyOffset: 1}),
		"too much":                  event(hook.Event{Selector: "s", Payload: []byte(`"` + strings.Repeat("x", 1000) + `"`)}),
		"many":                      {handle: script.HandleResult{Events: []*hook.Event{{Selector: "s", Payload: []byte("1")}, {Selector: "s", Payload: []byte("1")}, {Selector: "s", Payload: []byte("1")}}}},
		"a header that breaks out":  {handle: script.HandleResult{Response: &hook.Response{Status: 200, Headers: hook.Headers{{Name: "A", Value: "b\r\nC: d"}}}}},
		"a length":                  {handle: script.HandleResult{Response: &hook.Response{Status: 200, Headers: hook.Headers{{Name: "Content-Length", Value: "5"}}}}},
		"a status":                  {handle: script.HandleResult{Response: &hook.Response{Status: 99}}},
		"a large response":          {handle: script.HandleResult{Response: &hook.Response{Status: 200, Body: make([]byte, 1000)}}},
		"a kind":                    {err: &script.Error{Failure: hook.Failure{Kind: "own"}}},
		"refused with 200":          {err: &script.Error{Status: 200, Failure: hook.Failure{Kind: "refused"}}},
		"a failure and a result":    {err: crashed("x"), handle: script.HandleResult{Events: []*hook.Event{{Selector: "s", Payload: []byte("1")}}}},
		"the value of another call": {value: json.RawMessage(`1`)},
		"a level":                   {handle: script.HandleResult{Console: []hook.ConsoleLine{{Level: "fatal"}}}},
	} {
		w := writer{}
		w.writeResult(1, a, in)
		r := reader{b: w.b[frameHeader:]}
		r.uint()
		if got, err := r.answer(in, limits{900, 2}); !errors.Is(err, errMalformed) {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
}

// FuzzResult: no bytes of a worker make the gateway panic, or believe what it must not.
func FuzzResult(f *testing.F) {
	in := exampleInput("application/json", ` {"a": {"b": [1, 2]}} `)
	for _, a := range []*answer{
		{handle: script.HandleResult{Events: []*hook.Event{{Selector: "s", Payload: []byte(`{"own":1}`)}, {Selector: "w", Payload: in.Body.JSON, FromBody: true, BodyOffset: 1}},
			Response: &hook.Response{Status: 200, Headers: hook.Headers{{Name: "A", Value: "b"}}}, Coverage: map[string]map[int]int{"a": {1: 1}}}},
		{err: &script.Error{Status: 401, Failure: hook.Failure{Kind: "refused", Stack: []hook.Frame{{File: "x", Line: 1, Column: 2}}}}, handle: script.HandleResult{Console: []hook.ConsoleLine{{Level: "log"}}}},
		{handle: script.HandleResult{Remember: map[string]string{"a": "b"}}}, {value: json.RawMessage(`1`)},
	} {
		w := writer{}
		w.writeResult(1, a, in)
		f.Add(w.b[frameHeader:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, in := range []*script.HandleInput{in, nil} {
			r := reader{b: b}
			r.uint()
			a, err := r.answer(in, limits{1000, 10})
			if err != nil {
				continue
			}
			if len(a.handle.Events) > 10 {
				t.Errorf("%d events", len(a.handle.Events))
			}
			for _, e := range a.handle.Events {
				if !json.Valid(e.Payload) || e.Selector == "" || !utf8.ValidString(e.Selector) {
					t.Errorf("event %+v", e)
				}
				if e.FromBody && !bytes.Equal(in.Request.Body[e.BodyOffset:e.BodyOffset+len(e.Payload)], e.Payload) {
					t.Errorf("event %+v is no part of the body", e)
				}
			}
			if resp := a.handle.Response; resp != nil {
				if resp.Status < 200 || resp.Status > 599 || len(resp.Body) > 1000 {
					t.Errorf("response %+v", resp)
				}
				for _, h := range resp.Headers {
					if strings.ContainsAny(h.Name+h.Value, "\r\n\x00") {
						t.Errorf("header %+v", h)
					}
				}
			}
			if a.err != nil && a.err.Failure.Kind == "" {
				t.Errorf("failure %+v", a.err)
			}
		}
	})
}

// FuzzRequest: what a worker reads makes it fail, not panic, and is the same when written again.
func FuzzRequest(f *testing.F) {
	for _, in := range []*script.HandleInput{exampleInput("application/json", `{"a":1}`), exampleInput("text/plain", "x"), exampleInput("application/x-www-form-urlencoded", "a=1")} {
		f.Add(frame(in)[frameHeader:])
	}
	w := writer{}
	w.writeProgram(1, &script.Program{ID: "i", Code: []byte("code"), InlineColumn: 3})
	f.Add(w.b[frameHeader:])
	f.Fuzz(func(t *testing.T, b []byte) {
		(&reader{b: b}).program()
		(&reader{b: b}).eval()
		r := reader{b: b}
		sequence, program, in := r.handle()
		if r.err != nil {
			return
		}
		w := writer{}
		w.writeHandle(sequence, program, in)
		again := reader{b: append(w.b, in.Request.Body...)[frameHeader:]}
		_, _, second := again.handle()
		if again.err != nil {
			t.Fatal(again.err)
		}
		if !bytes.Equal(in.Request.Body, second.Request.Body) || !bytes.Equal(in.Body.JSON, second.Body.JSON) || in.Body.Text != second.Body.Text || len(in.Request.Headers) != len(second.Request.Headers) {
			t.Errorf("%+v became %+v", in, second)
		}
	})
}

// FuzzStream: any bytes, in any pieces, become frames or an error, in memory that the bytes
// themselves pay for.
func FuzzStream(f *testing.F) {
	f.Add(frame(exampleInput("application/json", `{"a":1}`)), 3)
	f.Add([]byte{0xff, 0xff, 0xff, 0x7f, 'h'}, 1)
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		rest := b
		s := stream{limit: 64 << 20, read: func(into []byte) (int, error) {
			if len(rest) == 0 {
				return 0, io.EOF
			}
			n := copy(into, rest[:min(len(rest), 1+max(0, piece)%100)])
			rest = rest[n:]
			return n, nil
		}}
		want := b
		for {
			kind, fields, err := s.next()
			if err != nil {
				break
			}
			n := int(binary.LittleEndian.Uint32(want))
			if kind != want[4] || !bytes.Equal(fields, want[5:4+n]) {
				t.Fatalf("frame %q %q of %q", kind, fields, want)
			}
			want = want[4+n:]
		}
		if len(s.buf) > 4*len(b)+streamBuffer {
			t.Errorf("%d bytes of memory for %d", len(s.buf), len(b))
		}
	})
}
