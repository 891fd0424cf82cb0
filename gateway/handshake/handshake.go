// Package handshake answers the requests by which providers check a webhook
// URL before they use it, as the webhook's `handshake:` block declares.
package handshake

import (
	"encoding/json"

	"switchhook/gateway/body"
	"switchhook/gateway/hook"
	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// Handshake is a parsed `handshake:` block. It is immutable.
type Handshake struct{}

// Parse reads the value of `handshake:`. hasFunction tells whether the webhook
// has a handshake function. The list says everything that is wrong at once; the
// handshake is nil when the list has errors.
func Parse(n *document.Node, hasFunction bool) (*Handshake, diagnostic.List) {
	return &Handshake{}, nil
}

// ParameterNames are the parameters that the handshake refers to, sorted.
func (h *Handshake) ParameterNames() []string { return nil }

// StateNames are the names under which the handshake remembers values, sorted.
// What a handshake function remembers is not among them.
func (h *Handshake) StateNames() []string { return nil }

// Matches reports whether a request that has not been verified is a handshake.
func (h *Handshake) Matches(req *hook.Request, parsed func() *body.Parsed) bool { return false }

// MatchesVerified reports whether a request that has been verified is a
// handshake declared with `verified: true`. Callers ask it after Matches said no and
// verify accepted the request.
func (h *Handshake) MatchesVerified(req *hook.Request, parsed func() *body.Parsed) bool {
	return false
}

// Answer answers a request for which Matches or MatchesVerified is true. Either
// resp is the answer, and remember, unless nil, is what to keep in the integration's state;
// or useFunction tells the caller to run the handshake function. A value that state holds already
// must not be replaced unless a person has opened pairing for the webhook; that is for the caller to see to.
// err is not nil only when no handshake matches.
func (h *Handshake) Answer(req *hook.Request, parsed *body.Parsed, parameters json.RawMessage, state map[string]string) (resp *hook.Response, remember map[string]string, useFunction bool, err error) {
	return nil, nil, false, nil
}
