package verify

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"mime"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"switchhook/gateway/body"
	"switchhook/gateway/hook"
	"switchhook/gateway/verify/template"
)

// ErrCannotSign is wrapped by the errors of Sign when the scheme cannot be
// signed for, such as one with public keys and no private key.
var ErrCannotSign = errors.New("cannot sign")

// Sign adds to req what the provider would send so that Verify accepts it:
// headers, query parameters or body fields (the body is then replaced, not changed). Of
// several secrets or ways it takes the first. What is signed and req lacks, such as
// a timestamp or an id in a header, is made up; what it has is kept. When the error is
// not nil, req is as it was. Sign serves fixtures and sample requests.
func (v *Verifier) Sign(req *hook.Request, state map[string]string, now time.Time) error {
	return v.sign(req, &call{now: now}, state)
}

// SignTampered is Sign with a signature, token or password that is well formed
// and wrong.
func (v *Verifier) SignTampered(req *hook.Request, state map[string]string, now time.Time) error {
	return v.sign(req, &call{now: now, tampered: true}, state)
}

// SignExpired is Sign at a time that is too old at now. Timestamps that req
// has are replaced. The error is ErrCannotSign for schemes that check no time.
func (v *Verifier) SignExpired(req *hook.Request, state map[string]string, now time.Time) error {
	return v.sign(req, &call{now: now, expired: true}, state)
}

func (v *Verifier) sign(req *hook.Request, c *call, state map[string]string) error {
	work := *req
	work.Headers = slices.Clone(req.Headers)
	c.ctx, c.signer = context.Background(), v.signer
	c.src = template.Source{Request: &work, Parameters: v.parameters, State: state}
	c.src.Parsed = func() *body.Parsed { return body.Parse(work.Headers.Get("Content-Type"), work.Body) }
	if err := v.root.sign(c); err != nil {
		return err
	}
	if c.expired && !c.dated {
		return fmt.Errorf("%w as expired: the scheme checks no time", ErrCannotSign)
	}
	*req = work
	return nil
}

// signEach calls f once, or for every item of path.
func (c *call) signEach(path *template.Path, f func(at []int) error) error {
	if path == nil {
		return f(nil)
	}
	src := c.src // f changes the body, so the walk has a source of its own
	return path.Walk(&src, func(_ gjson.Result, at []int) error {
		c.look(path, at)
		return f(at)
	})
}

// look makes references read the body as it is now.
func (c *call) look(each *template.Path, at []int) {
	c.src.Reset()
	if each != nil {
		if raw, ok := c.src.JSON(); ok {
			c.src.Item = gjson.GetBytes(raw, each.Syntax(at...))
		}
	}
}

// set puts a value where ref reads it. A number is written as one into JSON.
func (c *call) set(ref *template.Reference, each *template.Path, at []int, value string, number bool) error {
	req := c.src.Request
	switch ref.Kind {
	case template.Header:
		req.Headers.Set(ref.Name, value)
		return nil
	case template.QueryParameter:
		setQuery(req, ref.Name, value)
		return nil
	}
	path := ref.Path.Syntax()
	if ref.Kind == template.Item {
		path = strings.TrimSuffix(each.Syntax(at...)+"."+path, ".")
	}
	parsed := c.src.Parsed()
	if parsed.Kind == body.Text { // as readers take it, too
		parsed = body.Parse("application/json", req.Body)
	}
	keys, plain := ref.Path.Keys()
	switch {
	case parsed.Kind == body.JSON && parsed.Raw:
		var raw any = value
		if number {
			raw = json.RawMessage(value)
		}
		changed, err := sjson.SetBytes(slices.Clone(req.Body), path, raw)
		if err != nil {
			return fmt.Errorf("%w: %s cannot be put into the body: %w", ErrCannotSign, ref, err)
		}
		req.Body = changed
	case plain && len(keys) == 1 && isForm(req):
		form, err := url.ParseQuery(string(req.Body))
		if err != nil {
			return fmt.Errorf("%w: the body is not a well-formed form", ErrCannotSign)
		}
		form.Set(keys[0], value)
		req.Body = []byte(form.Encode())
	default:
		return fmt.Errorf("%w: the scheme needs a JSON body to put %s into", ErrCannotSign, ref)
	}
	c.look(each, at)
	return nil
}

func isForm(req *hook.Request) bool {
	t, _, err := mime.ParseMediaType(req.Headers.Get("Content-Type"))
	return err == nil && t == "application/x-www-form-urlencoded"
}

// setQuery sets a query parameter, keeping the others as they are written.
func setQuery(req *hook.Request, name, value string) {
	var pairs []string
	for pair := range strings.SplitSeq(req.Query, "&") {
		key, _, _ := strings.Cut(pair, "=")
		if k, err := url.QueryUnescape(key); pair != "" && (err != nil || k != name) {
			pairs = append(pairs, pair)
		}
	}
	req.Query = strings.Join(append(pairs, url.QueryEscape(name)+"="+url.QueryEscape(value)), "&")
	base, _, _ := strings.Cut(req.URL, "?")
	req.URL = base + "?" + req.Query
}

// put puts a signature or token in its place.
func (r *rule) put(c *call, at []int, value string) error {
	if r.place.reference != nil {
		return c.set(r.place.reference, r.each, at, value, false)
	}
	h := r.place.headers[0]
	name := h.name
	if h.pattern {
		name = h.before + "1" + h.after
	}
	c.src.Request.Headers.Set(name, value)
	return nil
}

// date finds or sets the timestamp.
func (t *timestamp) date(c *call, each *template.Path, at []int) error {
	when := c.now
	if t.tolerance > 0 {
		c.dated = true
		if c.expired {
			when = when.Add(-t.tolerance - time.Minute)
		}
	}
	c.src.Timestamp = t.unit.format(when)
	if t.part != "" {
		return nil
	}
	if text, err := t.reference.Read(&c.src); err == nil && text != "" && !c.expired {
		c.src.Timestamp = text
		return nil
	}
	return c.set(t.reference, each, at, c.src.Timestamp, t.unit != rfc3339)
}

// complete makes up headers that are signed and are not there.
func (m *message) complete(c *call) {
	if m.template == nil {
		return
	}
	for _, ref := range m.template.References() {
		if ref.Kind == template.Header && !ref.Optional && !c.src.Request.Headers.Has(ref.Name) {
			sum := sha256.Sum256([]byte(ref.Name + "\n" + c.now.Format(time.RFC3339Nano) + "\n" + string(c.src.Request.Body)))
			c.src.Request.Headers.Set(ref.Name, "msg_"+hex.EncodeToString(sum[:12]))
		}
	}
}

// complete puts a URL that is allowed where the certificate's URL is missing.
func (cert *certificate) complete(c *call, each *template.Path, at []int) error {
	if cert == nil {
		return nil
	}
	if _, err := cert.reference.Read(&c.src); err == nil {
		return nil
	}
	return c.set(cert.reference, each, at, cert.allow[0].example, false)
}

func (s *signatureCheck) sign(c *call) error {
	return c.signEach(s.r.each, func(at []int) error {
		r := s.r
		if r.timestamp != nil {
			if err := r.timestamp.date(c, r.each, at); err != nil {
				return err
			}
		}
		if b := r.bodyHash; b != nil {
			sum := sha256.Sum256(c.src.Request.Body)
			if err := c.set(b.reference, r.each, at, b.encoding.encode(sum[:]), false); err != nil {
				return err
			}
		}
		if err := r.certificate.complete(c, r.each, at); err != nil {
			return err
		}
		r.message.complete(c)
		signature, err := s.signature(c)
		if err != nil {
			return err
		}
		if c.tampered {
			signature[len(signature)-1] ^= 1
		}
		value := r.prefix + r.signatureEncoding.encode(signature)
		if r.timestamp != nil && r.timestamp.part != "" {
			value = r.timestamp.part + c.src.Timestamp + r.separator + value
		}
		return r.put(c, at, value)
	})
}

func (s *signatureCheck) signature(c *call) ([]byte, error) {
	if s.r.kind == kindMAC || s.r.kind == kindDigest {
		keys, err := s.keys.get(c)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCannotSign, err)
		}
		sum, err := s.digest(c, &keys[0])
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCannotSign, err)
		}
		return slices.Clone(sum), nil
	}
	key, err := c.signer.forScheme(s.r, s.keys.fixed)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := s.r.message.write(&b, &c.src); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCannotSign, err)
	}
	message := b.Bytes()
	if s.r.kind != kindEd25519 {
		h := s.r.newHash()
		h.Write(message)
		message = h.Sum(nil)
	}
	signature, err := key.Sign(rand.Reader, message, s.r.hash)
	if err == nil && s.r.rawSignature {
		signature, err = rawSignature(signature)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCannotSign, err)
	}
	return signature, nil
}

func (t *tokenCheck) sign(c *call) error {
	return c.signEach(t.r.each, func(at []int) error {
		keys, err := t.keys.get(c)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCannotSign, err)
		}
		return t.r.put(c, at, t.r.prefix+c.spoil(keys[0].text))
	})
}

// spoil changes text when the call is to be tampered with.
func (c *call) spoil(text string) string {
	switch {
	case !c.tampered:
		return text
	case strings.HasSuffix(text, "0"):
		return text[:len(text)-1] + "1"
	}
	return text[:len(text)-1] + "0"
}

func (b *basicCheck) sign(c *call) error {
	username, password := b.username.read(c), b.password.read(c)
	if username == "" || password == "" {
		return fmt.Errorf("%w: the user name and password are not remembered yet", ErrCannotSign)
	}
	c.src.Request.Headers.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(username+":"+c.spoil(password))))
	return nil
}

func (j *jwtCheck) sign(c *call) error {
	return c.signEach(j.r.each, func(at []int) error {
		when := c.now
		c.dated = true
		if c.expired {
			when = when.Add(-j.r.leeway - max(j.r.maxAge, untimedFor) - time.Hour)
		}
		claims := jwt.MapClaims{"iat": when.Unix(), "exp": when.Add(untimedFor).Unix()}
		for i := range j.claims {
			value, err := j.claims[i].value(c)
			if err != nil {
				return err
			}
			claims[j.claims[i].name] = value
		}
		if h := j.r.bodyHash; h != nil {
			sum := sha256.Sum256(c.src.Request.Body)
			claims[h.claim] = h.encoding.encode(sum[:])
		}
		var key any
		if len(j.keys.r.secrets) > 0 && strings.HasPrefix(j.r.method.Alg(), "HS") {
			keys, err := j.keys.get(c)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrCannotSign, err)
			}
			key = keys[0].secret
		} else {
			signer, err := c.signer.forScheme(j.r, j.keys.fixed)
			if err != nil {
				return err
			}
			key = signer
		}
		token, err := jwt.NewWithClaims(j.r.method, claims).SignedString(key)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCannotSign, err)
		}
		if c.tampered {
			dot := strings.LastIndexByte(token, '.')
			first := byte('A')
			if token[dot+1] == first {
				first = 'B'
			}
			token = token[:dot+1] + string(first) + token[dot+2:]
		}
		return j.r.put(c, at, j.r.prefix+token)
	})
}

// value is one of the values that the claim may have.
func (b *boundClaim) value(c *call) (any, error) {
	switch {
	case len(b.texts) > 0:
		return b.texts[0], nil
	case len(b.literals) > 0:
		return json.RawMessage(b.literals[0]), nil
	}
	text, err := b.templates[0].Text(&c.src)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCannotSign, err)
	}
	return text, nil
}

// signer has a private key, or a provider that has several.
type signer struct {
	key      crypto.Signer
	provider *Provider
}

// WithPrivateKey returns a Verifier that can also sign in asymmetric schemes.
// The key is in PEM; or, for Ed25519, its seed (with or without the public key
// behind it) in hex or base64, with or without "whsk_". The error never contains it.
func (v *Verifier) WithPrivateKey(text string) (*Verifier, error) {
	key, err := parsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("the private key %w", err)
	}
	signing := *v
	signing.signer = &signer{key: key}
	return &signing, nil
}

// forScheme returns the private key if it is one for the rule. A provider signs
// only what one of the known public keys, if there are any, will verify.
func (s *signer) forScheme(r *rule, known []key) (crypto.Signer, error) {
	if s == nil {
		return nil, fmt.Errorf("%w: %s needs a private key", ErrCannotSign, r.name())
	}
	if s.provider != nil {
		private, err := s.provider.key(r)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCannotSign, err)
		}
		own, ok := private.Public().(interface{ Equal(crypto.PublicKey) bool })
		if ok && len(known) > 0 && !slices.ContainsFunc(known, func(k key) bool { return own.Equal(k.public) }) {
			return nil, fmt.Errorf("%w: %w", ErrCannotSign, ErrForeignKey)
		}
		return private, nil
	}
	if err := r.fits(s.key.Public()); err != nil {
		return nil, fmt.Errorf("%w: the private key %w", ErrCannotSign, err)
	}
	return s.key, nil
}

func parsePrivateKey(text string) (crypto.Signer, error) {
	if !strings.Contains(text, "-----BEGIN") {
		text = strings.TrimSpace(strings.TrimPrefix(text, "whsk_"))
		for _, e := range []encoding{hexEncoding, base64Encoding} {
			b, err := e.appendDecoded(nil, text)
			switch {
			case err != nil:
			case len(b) == ed25519.SeedSize:
				return ed25519.NewKeyFromSeed(b), nil
			case len(b) == ed25519.PrivateKeySize:
				return ed25519.NewKeyFromSeed(b[:ed25519.SeedSize]), nil
			}
		}
		return nil, errors.New("is neither PEM nor an Ed25519 key in hex or base64")
	}
	block, _ := pem.Decode([]byte(unescapePEM(text)))
	if block == nil {
		return nil, errors.New("is not well-formed PEM")
	}
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, errors.New("is not well formed")
	}
	return signer, nil
}

// rawSignature turns an ECDSA signature from ASN.1 into 32 bytes each of r and s.
func rawSignature(der []byte) ([]byte, error) {
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &pair); err != nil {
		return nil, err
	}
	out := make([]byte, 64)
	pair.R.FillBytes(out[:32])
	pair.S.FillBytes(out[32:])
	return out, nil
}
