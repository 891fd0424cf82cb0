// Package verify checks that a request was sent by the provider it claims to
// come from, as the webhook's `verify:` block declares, on the raw bytes and
// before any JavaScript runs. Schemes are general and have settings, so that a
// new provider needs YAML and no Go.
//
//	verify:
//	  scheme: hmac-sha256
//	  header: X-Acme-Signature          # t=1700000000,v1=5257a8...
//	  separator: ","
//	  prefix: v1=
//	  signed: "{timestamp}.{body}"
//	  timestamp: {part: t=, tolerance: 5m}
//	  secret: parameters.secret
//
// # Schemes
//
//	hmac-sha1, hmac-sha256, hmac-sha512   a keyed hash
//	sha256                                a plain hash of a template with {secret}
//	ed25519, ecdsa-p256                   ecdsa-p256 with SHA-256
//	rsa-sha1, rsa-sha256                  PKCS #1 v1.5
//	standard-webhooks                     https://www.standardwebhooks.com: whsec_ and whpk_ keys
//	jwt-hs256, -hs384, -hs512, -rs256, -es256
//	token                                 a shared token, sent as it is
//	basic                                 HTTP basic authentication
//	absent                                a header, query or field that the request does not have; only
//	                                      beside a scheme that says who sent it
//	none                                  every request is taken; `verify: none` for short
//
// In place of a scheme, `any:` has a list of blocks of which one must accept
// the request, `all:` one of which all must.
//
// # Where the signature stands
//
// One of header (a name or a list of names, in which a * stands for any
// characters), query (a query parameter) and field (a path in the body). With
// separator the value is a list. Of its parts those that begin with
// prefix are signatures; one that matches is enough. With `each: items[*]` every
// item of the body has a signature of its own, and field and {item.x} are
// paths in the item. For jwt-* the place is "Authorization: Bearer" unless given.
//
// # What is signed
//
// signed is a template (see package template), "{body}" unless given; or a list
// of body fields, each of which adds its name, a line feed, its value and a line
// feed, with a question mark behind those that may be absent ("Subject?", which
// YAML wants in quotes within brackets). Where a template
// has {url}, the URL with the scheme's default port added, or without its port, is
// tried too, since providers differ in that.
//
// timestamp says where the time of sending stands: header, query, field or part (of the header with the
// signature, by its prefix); unit is s, ms or rfc3339; tolerance is 5m unless
// given and counts in both directions, `tolerance: none` checks nothing. The timestamp must be
// part of what is signed. bodyHash (query, header or, for jwt-*, claim) demands the body's SHA-256 there, as
// hex or in another encoding, for signatures that do not cover the body.
//
// # Keys
//
// secret (or secrets, several) names parameters or, as state.NAME, what a
// handshake remembered; a parameter may be a list of strings. Any of several
// secrets will do, so that they can be rotated. keyEncoding says how bytes are written in the
// parameter (utf8, hex, base64, base64url), keyPrefix what is cut off before.
// publicKey (or publicKeys) does the same for asymmetric schemes: PEM, base64 of
// SubjectPublicKeyInfo, or for ed25519 the 32 bytes. certificate says where the
// URL of a certificate stands (header or field), which URLs are allowed (allow, with * for a part of a label
// or path segment), the name it must be issued for (name), and with `chain: false` that it comes without its issuers. jwks is
// the URL of a key set. Only what these two name is ever fetched; and nothing is where publicKey
// stands beside them and its parameter is given, so that a key can be pinned.
//
// An empty secret never verifies: Bind refuses it, and Verify does where the
// secret is a remembered one. Secrets, signatures and tokens are compared in constant time.
//
// live parses and binds schemes, ingest verifies, fixture and cli sign.
package verify

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"strings"
	"time"

	"switchhook/gateway/body"
	"switchhook/gateway/hook"
)

// Scheme is a parsed `verify:` block. It is immutable and holds no secrets.
type Scheme struct {
	root *rule
}

// Name is the scheme's name, such as "hmac-sha256" or "none"; of several, all
// their names.
func (s *Scheme) Name() string { return s.root.name() }

// None reports `verify: none`: every request is accepted.
func (s *Scheme) None() bool { return s.root.kind == kindNone }

// ParameterNames are the parameters of an integration that the scheme refers
// to, sorted: for parameters.secret, "secret".
func (s *Scheme) ParameterNames() []string { return s.root.names().parameters }

// StateNames are the remembered values that the scheme refers to, sorted: for
// state.hookSecret, "hookSecret".
func (s *Scheme) StateNames() []string { return s.root.names().state }

// Options are what a Verifier may use.
type Options struct {
	// Keys fetch certificates and key sets; nil: a scheme that needs them can
	// be bound, and its Verify returns an *Unavailable.
	Keys *Keys
	// Roots are the authorities that fetched certificates must lead to; nil: those of the system.
	Roots *x509.CertPool
}

// ParameterError is one parameter that a scheme cannot work with.
type ParameterError struct {
	// Parameter is the name of the parameter; "" where the mistake is not one of a parameter.
	Parameter string
	// Message says what is wrong, with the parameter's name and without its value.
	Message string
	// Missing: it is not there at all.
	Missing bool
}

func (e ParameterError) Error() string { return e.Message }

// ParameterErrors is all that Bind found; never empty when returned as an error.
type ParameterErrors []ParameterError

func (l ParameterErrors) Error() string {
	messages := make([]string, len(l))
	for i, e := range l {
		messages[i] = e.Message
	}
	return strings.Join(messages, "; ")
}

// Bind resolves the parameters of one integration, a JSON object with defaults
// applied. The error, a ParameterErrors, says all that is missing or unusable,
// and never a value. Whatever is missing or empty is an error, so that nothing
// is ever verified with an empty secret; but of several secrets, and of the
// blocks of `any:`, those may be missing that others can stand in for. Values from state.* are
// looked up by Verify.
func (s *Scheme) Bind(parameters json.RawMessage, opt Options) (*Verifier, error) {
	b := &binder{parameters: parameters, opt: opt}
	if err := b.prepare(); err != nil {
		return nil, err
	}
	root := b.bind(s.root)
	if len(b.errors) > 0 {
		return nil, b.errors
	}
	return &Verifier{root: root, parameters: parameters}, nil
}

// Verifier checks requests to one webhook of one integration. It is immutable;
// its methods may be called from any goroutine.
type Verifier struct {
	root       check
	parameters json.RawMessage
	signer     *signer
}

// Rejected says that a request did not verify. It is to be answered with 401.
type Rejected struct {
	// Reason says what was wrong, never what would have been right. It contains nothing of the
	// request, only names and texts that the scheme declares, so it may be shown to the caller and logged.
	Reason string
	// absent: what the scheme looks at first is not there at all, so that of several ways another was meant.
	absent bool
}

func (e *Rejected) Error() string { return e.Reason }

// Unavailable says that a request could not be checked, because a certificate
// or key set could not be fetched, or ctx ended. It is to be answered with 503,
// so that the provider sends the request again.
type Unavailable struct{ Err error }

func (e *Unavailable) Error() string { return "the request cannot be verified now: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Unavailable) Unwrap() error { return e.Err }

// Verify checks a request. parsed returns the request's parsed body, and is called only
// when the scheme looks into it; state is what the integration remembers. The error is a *Rejected
// or an *Unavailable. Verify blocks only while a certificate or key set is fetched.
func (v *Verifier) Verify(ctx context.Context, req *hook.Request, parsed func() *body.Parsed, state map[string]string, now time.Time) error {
	c := &call{ctx: ctx, now: now}
	c.src.Request, c.src.Parsed, c.src.Parameters, c.src.State = req, parsed, v.parameters, state
	return v.root.verify(c)
}
