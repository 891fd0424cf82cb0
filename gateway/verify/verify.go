// Package verify checks that a request was sent by the provider it claims to
// come from, as the webhook's `verify:` block declares, on the raw bytes.
package verify

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"switchhook/gateway/body"
	"switchhook/gateway/hook"
	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// Scheme is a parsed `verify:` block. It is immutable and holds no secrets.
type Scheme struct{}

// Parse reads the value of `verify:`. The list says everything that is wrong
// with it at once; the scheme is nil when the list has errors.
func Parse(n *document.Node) (*Scheme, diagnostic.List) { return &Scheme{}, nil }

// Name is the scheme's name, such as "hmac-sha256" or "none".
func (s *Scheme) Name() string { return "none" }

// None reports `verify: none`: every request is accepted.
func (s *Scheme) None() bool { return true }

// ParameterNames are the parameters of an integration that the scheme refers
// to, sorted: for parameters.secret, "secret".
func (s *Scheme) ParameterNames() []string { return nil }

// StateNames are the remembered values that the scheme refers to, sorted: for
// state.hookSecret, "hookSecret".
func (s *Scheme) StateNames() []string { return nil }

// Fetcher gets a document (a certificate, a key set) that a scheme declares to need.
type Fetcher interface {
	Fetch(ctx context.Context, url string) ([]byte, error)
}

// Keys fetches and keeps certificates and key sets. One serves the whole
// process. Its methods may be called from any goroutine.
type Keys struct{}

// NewKeys returns Keys that fetch through f.
func NewKeys(f Fetcher) *Keys { return &Keys{} }

// Options are what a Verifier may use.
type Options struct {
	// Keys fetch certificates and key sets; nil: a scheme that needs them cannot be bound.
	Keys *Keys
}

// Bind resolves the parameters of one integration, a JSON object with defaults
// applied. The error, a ParameterErrors, says all that is missing or unusable,
// and never a value. Whatever is missing or empty is an error, so that nothing
// is ever verified with an empty secret; values from state.* are looked up by Verify.
func (s *Scheme) Bind(parameters json.RawMessage, opt Options) (*Verifier, error) {
	return &Verifier{}, nil
}

// ParameterError is one parameter that a scheme cannot work with.
type ParameterError struct {
	// Parameter is the name of the parameter; "" where the mistake is not one of a parameter.
	Parameter string
	// Message says what is wrong, with the parameter's name and without its value.
	Message string
}

func (e ParameterError) Error() string { return e.Message }

// ParameterErrors is all that Bind found; never empty when returned as an error.
type ParameterErrors []ParameterError

func (l ParameterErrors) Error() string { return l[0].Message }

// Verifier checks requests to one webhook of one integration. It is immutable;
// its methods may be called from any goroutine.
type Verifier struct{}

// Rejected says that a request did not verify. It is to be answered with 401.
type Rejected struct {
	// Reason says what was wrong, never what would have been right. It contains nothing
	// that the request contained but names that the scheme declares, so it may be shown to the caller and logged.
	Reason string
}

func (e *Rejected) Error() string { return e.Reason }

// Unavailable says that a request could not be checked, because a certificate
// or key set could not be fetched. It is to be answered with 503, so that the provider sends it again.
type Unavailable struct{ Err error }

func (e *Unavailable) Error() string { return "the request cannot be verified now: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Unavailable) Unwrap() error { return e.Err }

// Verify checks a request. parsed returns the request's parsed body, and is called only
// when the scheme looks into it; state is what the integration remembers. The error is a *Rejected
// or an *Unavailable. Verify blocks only while a certificate or key set is fetched.
func (v *Verifier) Verify(ctx context.Context, req *hook.Request, parsed func() *body.Parsed, state map[string]string, now time.Time) error {
	return nil
}

// ErrCannotSign is wrapped by the errors of Sign when the scheme cannot be signed for.
var ErrCannotSign = errors.New("cannot sign")

// Sign adds to req what the provider would send so that Verify accepts it: headers, query
// parameters or body fields (then req.Body is replaced, not changed).
// A timestamp that is there is kept. It serves fixtures and sample requests.
func (v *Verifier) Sign(req *hook.Request, state map[string]string, now time.Time) error { return nil }

// SignTampered is Sign with a signature that is well formed and wrong.
func (v *Verifier) SignTampered(req *hook.Request, state map[string]string, now time.Time) error {
	return nil
}

// SignExpired is Sign at a time that is too old at now. It fails for schemes
// without a timestamp.
func (v *Verifier) SignExpired(req *hook.Request, state map[string]string, now time.Time) error {
	return nil
}
