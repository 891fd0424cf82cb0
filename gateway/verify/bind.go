package verify

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"sync"

	"github.com/tidwall/gjson"

	"switchhook/gateway/verify/template"
)

// binder resolves the parameters of one integration.
type binder struct {
	parameters json.RawMessage
	opt        Options
	errors     ParameterErrors
}

func (b *binder) prepare() error {
	if t := bytes.TrimSpace(b.parameters); len(t) == 0 || string(t) == "null" {
		b.parameters = json.RawMessage("{}")
	}
	if !json.Valid(b.parameters) || !gjson.ParseBytes(b.parameters).IsObject() {
		return ParameterErrors{{Message: "the parameters are not a map"}}
	}
	return nil
}

func (b *binder) fail(ref *template.Reference, missing bool, format string, args ...any) {
	e := ParameterError{Message: fmt.Sprintf(format, args...), Missing: missing}
	if ref != nil {
		e.Parameter = ref.ParameterName()
	}
	if !slices.Contains(b.errors, e) {
		b.errors = append(b.errors, e)
	}
}

// bind makes the check of a rule, or adds errors.
func (b *binder) bind(r *rule) check {
	switch r.kind {
	case kindNone:
		return noneCheck{}
	case kindAny:
		return b.any(r)
	case kindAll:
		all := &allCheck{}
		for _, sub := range r.rules {
			all.checks = append(all.checks, b.bind(sub))
		}
		return all
	case kindBasic:
		username, password := b.fixed(r.username), b.fixed(r.password)
		return &basicCheck{r: r, username: username, password: password}
	case kindAbsent:
		return &absentCheck{r: r}
	}
	keys := b.keys(r)
	b.templates(r)
	switch r.kind {
	case kindToken:
		return &tokenCheck{r: r, keys: keys}
	case kindJWT:
		check := &jwtCheck{r: r, keys: keys}
		check.claims = b.claims(r)
		if r.jwks != nil && !keys.given() {
			check.keySet, check.url = b.opt.Keys, b.remote(r.jwks)
		}
		return check
	}
	return &signatureCheck{r: r, keys: keys, certificates: b.opt.Keys, roots: b.opt.Roots}
}

// any binds those rules whose parameters are there.
func (b *binder) any(r *rule) check {
	out := &anyCheck{alike: r.algorithm != nil}
	var missing ParameterErrors
	for _, sub := range r.rules {
		one := &binder{parameters: b.parameters, opt: b.opt}
		check := one.bind(sub)
		switch {
		case len(one.errors) == 0:
			out.checks, out.names = append(out.checks, check), append(out.names, sub.name())
		case slices.ContainsFunc(one.errors, func(e ParameterError) bool { return !e.Missing }):
			for _, e := range one.errors {
				if !e.Missing && !slices.Contains(b.errors, e) {
					b.errors = append(b.errors, e)
				}
			}
		default:
			missing = append(missing, one.errors...)
		}
	}
	if len(out.checks) == 0 && len(b.errors) == 0 {
		for _, e := range missing {
			if !slices.Contains(b.errors, e) {
				b.errors = append(b.errors, e)
			}
		}
	}
	return out
}

// values are the strings that a parameter has: one, or those of a list. It
// adds no error when the parameter is missing.
func (b *binder) values(ref *template.Reference) (values []string, missing bool) {
	v, err := ref.Value(&template.Source{Parameters: b.parameters})
	if err != nil {
		b.fail(ref, false, "%s: %s", ref, err)
		return nil, false
	}
	if !v.Exists() || v.Type == gjson.Null {
		return nil, true
	}
	items := []gjson.Result{v}
	if v.IsArray() {
		items = v.Array()
	}
	for _, item := range items {
		switch {
		case item.Type != gjson.String:
			b.fail(ref, false, "%s is not a string, or a list of strings", ref)
			return nil, false
		case strings.TrimSpace(item.Str) == "":
			b.fail(ref, false, "%s is empty", ref)
			return nil, false
		}
		values = append(values, item.Str)
	}
	if len(values) == 0 {
		b.fail(ref, false, "%s is empty", ref)
	}
	return values, false
}

// fixed is a secret of which there is one: of a parameter, or read from the state by each call.
func (b *binder) fixed(ref *template.Reference) credential {
	if ref.Kind == template.State {
		return credential{reference: ref}
	}
	values, missing := b.values(ref)
	if missing {
		b.fail(ref, true, "%s is missing", ref)
	} else if len(values) > 1 {
		b.fail(ref, false, "%s is a list, expected one string", ref)
	}
	if len(values) == 0 {
		return credential{}
	}
	return credential{text: values[0]}
}

// credential is a text, or a reference to a remembered one.
type credential struct {
	text      string
	reference *template.Reference
}

// read is the text; "" when nothing is remembered.
func (cr credential) read(c *call) string {
	if cr.reference != nil {
		return c.src.State[cr.reference.Name]
	}
	return cr.text
}

// keys resolves the secrets or public keys of a rule.
func (b *binder) keys(r *rule) keySet {
	set := keySet{r: r}
	var missing []*template.Reference
	others := false // keys for a scheme other than this
	before := len(b.errors)
	for _, ref := range r.secrets {
		if ref.Kind == template.State {
			set.state = append(set.state, ref)
			continue
		}
		values, absent := b.values(ref)
		if absent {
			missing = append(missing, ref)
		}
		for _, v := range values {
			if !r.takes(v) {
				others = true
				continue
			}
			k, err := r.key(v)
			if err != nil {
				b.fail(ref, false, "%s %s", ref, err)
				continue
			}
			set.fixed = append(set.fixed, k)
		}
	}
	fetched := r.certificate != nil || r.jwks != nil
	if len(r.secrets) > 0 && !set.given() && !fetched && len(b.errors) == before {
		for _, ref := range missing {
			b.fail(ref, true, "%s is missing", ref)
		}
		if others {
			b.fail(nil, true, "none of the keys is one for %s", r.name())
		}
	}
	return set
}

// templates checks that the parameters in templates are there.
func (b *binder) templates(r *rule) {
	if r.message.template == nil {
		return
	}
	for _, ref := range r.message.template.References() {
		if ref.Kind != template.Parameter {
			continue
		}
		text, err := ref.Read(&template.Source{Parameters: b.parameters})
		if err != nil {
			b.fail(ref, isAbsent(err), "%s", err)
		} else if text == "" && !ref.Optional {
			b.fail(ref, false, "%s is empty", ref)
		}
	}
}

func isAbsent(err error) bool {
	u, ok := errors.AsType[*template.Unreadable](err)
	return ok && u.Absent
}

func (b *binder) remote(r *remote) string {
	if r.reference == nil {
		return r.url
	}
	values, missing := b.values(r.reference)
	switch {
	case missing:
		b.fail(r.reference, true, "%s is missing", r.reference)
	case len(values) > 1:
		b.fail(r.reference, false, "%s is a list, expected one URL", r.reference)
	case len(values) == 1:
		if err := checkURL(values[0]); err != nil {
			b.fail(r.reference, false, "%s: %s", r.reference, err)
		}
		return values[0]
	}
	return ""
}

// takes reports whether a key is for this rule, by its prefix.
func (r *rule) takes(text string) bool {
	return (r.onlyKeys == "" || strings.HasPrefix(text, r.onlyKeys)) && (r.notKeys == "" || !strings.HasPrefix(text, r.notKeys))
}

// key is one secret or public key, ready for use.
type key struct {
	// secret is the bytes of a secret; text is it as it was written.
	secret []byte
	text   string
	// sum is the hash of text, compared in its stead so that lengths do not show.
	sum [sha256.Size]byte
	// macs has keyed hashes to use again.
	macs   *sync.Pool
	public crypto.PublicKey
}

// key makes a key of a parameter's value. The error completes a sentence that
// begins with the parameter's name.
func (r *rule) key(text string) (key, error) {
	k := key{text: text}
	switch {
	case r.kind == kindToken:
		k.sum = sha256.Sum256([]byte(text))
		return k, nil
	case r.kind == kindDigest, r.kind == kindMAC, r.kind == kindJWT && strings.HasPrefix(r.method.Alg(), "HS"):
		secret, err := r.keyEncoding.appendDecoded(nil, strings.TrimPrefix(text, r.keyPrefix))
		if err != nil {
			return k, fmt.Errorf("is not valid %s", r.keyEncoding)
		}
		if len(secret) == 0 {
			return k, errors.New("is empty")
		}
		k.secret, k.text = secret, string(secret)
		if r.kind == kindMAC {
			newHash := r.newHash
			k.macs = &sync.Pool{New: func() any { return hmac.New(newHash, secret) }}
		}
		return k, nil
	}
	public, err := parsePublicKey(strings.TrimPrefix(text, r.keyPrefix), r.keyEncoding, r.kind == kindEd25519)
	if err != nil {
		return k, err
	}
	k.public = public
	return k, r.fits(public)
}

// fits reports a public key that is not one for the rule's scheme.
func (r *rule) fits(public crypto.PublicKey) error {
	wantRSA := r.kind == kindRSA || r.kind == kindJWT && r.method.Alg() == "RS256"
	switch p := public.(type) {
	case *rsa.PublicKey:
		if !wantRSA {
			break
		}
		if p.N.BitLen() < 2048 {
			return errors.New("is an RSA key of fewer than 2048 bits")
		}
		return nil
	case *ecdsa.PublicKey:
		if wantRSA || r.kind == kindEd25519 {
			break
		}
		if p.Curve != elliptic.P256() {
			return errors.New("is a key of another curve than P-256")
		}
		return nil
	case ed25519.PublicKey:
		if r.kind == kindEd25519 {
			return nil
		}
	}
	return fmt.Errorf("is a key of another kind than %s needs", r.name())
}

// parsePublicKey reads PEM (a public key or a certificate), or the encoding of
// SubjectPublicKeyInfo, or, with raw, of the 32 bytes of an Ed25519 key.
func parsePublicKey(text string, e encoding, raw bool) (crypto.PublicKey, error) {
	if strings.Contains(text, "-----BEGIN") {
		block, _ := pem.Decode([]byte(unescapePEM(text)))
		if block == nil {
			return nil, errors.New("is not well-formed PEM")
		}
		switch block.Type {
		case "CERTIFICATE":
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, errors.New("is not a well-formed certificate")
			}
			return cert.PublicKey, nil
		case "RSA PUBLIC KEY":
			public, err := x509.ParsePKCS1PublicKey(block.Bytes)
			if err != nil {
				return nil, errors.New("is not a well-formed public key")
			}
			return public, nil
		}
		if strings.Contains(block.Type, "PRIVATE") {
			return nil, errors.New("is a private key, expected the public one")
		}
		return parseSPKI(block.Bytes)
	}
	b, err := e.appendDecoded(nil, strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("is not valid %s, nor PEM", e)
	}
	if raw && len(b) == ed25519.PublicKeySize {
		return ed25519.PublicKey(b), nil
	}
	return parseSPKI(b)
}

func parseSPKI(der []byte) (crypto.PublicKey, error) {
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, errors.New("is not a well-formed public key")
	}
	return public, nil
}

// unescapePEM mends keys whose line breaks became "\n" on their way through an
// environment variable.
func unescapePEM(text string) string {
	if !strings.Contains(text, "\n") {
		return strings.ReplaceAll(text, `\n`, "\n")
	}
	return text
}

// keySet is the keys of one check.
type keySet struct {
	r     *rule
	fixed []key
	// state names the remembered ones.
	state []*template.Reference
}

// given: there are keys in parameters or in the state, so none is fetched.
func (s *keySet) given() bool { return len(s.fixed)+len(s.state) > 0 }

// get returns the keys that there are, at least one. The error is a *Rejected.
func (s *keySet) get(c *call) ([]key, error) {
	if len(s.state) == 0 {
		return s.fixed, nil
	}
	keys := slices.Clone(s.fixed)
	var why error
	for _, ref := range s.state {
		text := c.src.State[ref.Name]
		if strings.TrimSpace(text) == "" {
			why = rejected("%s is not remembered yet: the handshake has not taken place", ref)
			continue
		}
		if !s.r.takes(text) {
			continue
		}
		k, err := s.r.key(text)
		if err != nil {
			why = rejected("%s %s", ref, err)
			continue
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		if why == nil {
			why = rejected("no remembered key is one for %s", s.r.name())
		}
		return nil, why
	}
	return keys, nil
}

// mac gives a keyed hash, to be returned with put.
func (k *key) mac() hash.Hash {
	h := k.macs.Get().(hash.Hash)
	h.Reset()
	return h
}

func (k *key) put(h hash.Hash) { k.macs.Put(h) }
