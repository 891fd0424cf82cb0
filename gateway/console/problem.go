package console

import (
	"encoding/json"
	"errors"
	"net/http"

	"switchhook/gateway/live"
	"switchhook/gateway/store"
	"switchhook/spec/diagnostic"
)

// maxBody bounds the body of a request to the API.
const maxBody = 1 << 20

// problem is an error answer: problem details as in RFC 9457.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Errors are all mistakes of a body.
	Errors []mistake `json:"errors,omitempty"`
}

// mistake is one mistake in the body of a request. It does not repeat the body.
type mistake struct {
	Field   string `json:"field,omitempty"`
	Code    string `json:"code,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func (p *problem) Error() string { return p.Detail }

func badRequest(detail string) error { return &problem{Status: http.StatusBadRequest, Detail: detail} }
func conflict(detail string) error   { return &problem{Status: http.StatusConflict, Detail: detail} }
func notFound(detail string) error   { return &problem{Status: http.StatusNotFound, Detail: detail} }

// asProblem makes the answer for any error of a handler.
func asProblem(err error) *problem {
	var p *problem
	var fields live.FieldErrors
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &p):
	case errors.As(err, &fields):
		p = &problem{Status: http.StatusBadRequest, Detail: fields.Error()}
		for _, f := range fields {
			p.Errors = append(p.Errors, mistake{Field: f.Field, Message: f.Message, Hint: f.Hint})
		}
	case errors.As(err, &large):
		p = &problem{Status: http.StatusRequestEntityTooLarge, Detail: "the body is larger than 1 MiB"}
	case errors.Is(err, store.ErrNotFound):
		p = &problem{Status: http.StatusNotFound, Detail: err.Error()}
	case errors.Is(err, store.ErrCursor):
		p = &problem{Status: http.StatusBadRequest, Detail: "the cursor is not one of this list"}
	case errors.Is(err, store.ErrConflict):
		p = &problem{Status: http.StatusConflict, Detail: "somebody else changed this at the same time: " + err.Error()}
	case errors.Is(err, store.ErrFull), errors.Is(err, store.ErrBroken), errors.Is(err, store.ErrClosed):
		p = &problem{Status: http.StatusServiceUnavailable, Detail: err.Error()}
	default:
		p = &problem{Status: http.StatusInternalServerError, Detail: err.Error()}
	}
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	return p
}

// mistakesOf is the answer to a body with mistakes; nil when list has no errors.
func mistakesOf(list diagnostic.List) error {
	if !list.HasErrors() {
		return nil
	}
	p := &problem{Status: http.StatusBadRequest}
	for _, d := range list {
		if d.Severity != diagnostic.Error {
			continue
		}
		if p.Detail == "" {
			p.Detail = d.Message
		}
		p.Errors = append(p.Errors, mistake{Code: d.Code, Line: d.Line, Column: d.Column, Message: d.Message, Hint: d.Hint})
	}
	return p
}

func writeProblem(w http.ResponseWriter, err error) {
	p := asProblem(err)
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="switchhook"`)
	}
	writeJSON(w, p.Status, "application/problem+json", p)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, value any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(value) // the client may be gone
}

// answer turns a function of the API into a handler. A nil value has no body.
type answer func(*http.Request) (status int, value any, err error)

func (f answer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, value, err := f(r)
	switch {
	case err != nil:
		writeProblem(w, err)
	case value == nil:
		w.WriteHeader(status)
	default:
		writeJSON(w, status, "application/json", value)
	}
}

// statusOnly keeps the status of an answer, and drops its body.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }
func (s *statusOnly) Write(b []byte) (int, error) { return len(b), nil }
