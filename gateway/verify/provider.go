package verify

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
	"golang.org/x/time/rate"

	"switchhook/gateway/verify/template"
)

// Provider stands in for all providers in tests: it has a private key of each
// kind, made when it is first needed and kept nowhere, publishes the keys under the parameters that schemes read
// them from, and answers in the place of the network for the certificates and key sets they fetch. Its methods may
// be called from any goroutine. fixture uses it.
type Provider struct {
	ed25519, ecdsa, rsa func() (crypto.Signer, error)
	authority           func() (*authority, error)
	keys                *Keys

	mu           sync.Mutex
	certificates []*certificate
}

// ErrForeignKey is wrapped by the error of a Provider's Sign when the parameters
// have a public key that is not the Provider's.
var ErrForeignKey = errors.New("the parameters have a public key whose private key is not known")

// NewProvider returns a Provider.
func NewProvider() *Provider {
	p := &Provider{
		ed25519: sync.OnceValues(func() (crypto.Signer, error) {
			_, key, err := ed25519.GenerateKey(rand.Reader)
			return key, err
		}),
		ecdsa: sync.OnceValues(func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }),
		rsa:   sync.OnceValues(func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }),
		// A test's clock may stand still, so that a limit by time would never be lifted.
		keys: &Keys{limiter: rate.NewLimiter(rate.Inf, 0), documents: map[string]*fetched{}},
	}
	p.authority = sync.OnceValues(newAuthority)
	p.keys.fetcher = p
	return p
}

// Options let schemes fetch from the Provider and from nowhere else.
func (p *Provider) Options() (Options, error) {
	a, err := p.authority()
	if err != nil {
		return Options{}, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	return Options{Keys: p.keys, Roots: roots}, nil
}

// keyedBy is how the parameter of a public key, or the URL of a key set, is called and what it is to be.
type keyedBy struct {
	reference *template.Reference
	value     string
}

// Parameters are those that an integration needs so that the Provider's
// signatures verify: the public keys and key sets that s names, as a map from names to
// values. Without replace, those are left out for which parameters, a JSON object, has a key already. From then
// on certificates that s allows are there to be fetched.
func (p *Provider) Parameters(s *Scheme, parameters json.RawMessage, replace bool) (map[string]string, error) {
	src := &template.Source{Parameters: parameters}
	if len(parameters) == 0 {
		src.Parameters = json.RawMessage("{}")
	}
	p.certify(s.root)
	found, err := p.published(s.root, src, replace)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, k := range found {
		if keys, plain := k.reference.Path.Keys(); plain && len(keys) == 1 {
			out[keys[0]] = k.value
		}
	}
	return out, nil
}

// certify keeps what certificates a rule allows.
func (p *Provider) certify(r *rule) {
	for _, sub := range r.rules {
		p.certify(sub)
	}
	if r.certificate == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(p.certificates, r.certificate) {
		p.certificates = append(p.certificates, r.certificate)
	}
}

// published is what stands, or has to stand, in the parameters for a rule.
func (p *Provider) published(r *rule, src *template.Source, replace bool) ([]keyedBy, error) {
	present := func(ref *template.Reference) bool {
		v, err := ref.Value(src)
		return err != nil || v.Exists() && v.Type != gjson.Null
	}
	switch {
	case r.kind == kindAny && r.algorithm != nil:
		return nil, nil // Standard Webhooks: a secret will do
	case r.kind == kindAny && !replace:
		// One of the ways is enough.
		var first []keyedBy
		for _, sub := range r.rules {
			for _, ref := range sub.secrets {
				if ref.Kind != template.Parameter || present(ref) {
					return nil, nil
				}
			}
			if first == nil {
				var err error
				if first, err = p.published(sub, src, replace); err != nil {
					return nil, err
				}
			}
		}
		return first, nil
	case len(r.rules) > 0:
		var all []keyedBy
		for _, sub := range r.rules {
			some, err := p.published(sub, src, replace)
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
		return all, nil
	case r.jwks != nil:
		if ref := r.jwks.reference; ref != nil && !present(ref) {
			return []keyedBy{{ref, "https://keys.example.com/jwks"}}, nil
		}
		return nil, nil
	case r.certificate != nil, !r.asymmetric():
		return nil, nil
	}
	for _, ref := range r.secrets {
		if ref.Kind != template.Parameter || present(ref) && !replace {
			return nil, nil
		}
	}
	text, err := p.publicKey(r)
	return []keyedBy{{r.secrets[0], text}}, err
}

// asymmetric reports a scheme with public keys.
func (r *rule) asymmetric() bool {
	switch r.kind {
	case kindEd25519, kindECDSA, kindRSA:
		return true
	case kindJWT:
		return !strings.HasPrefix(r.method.Alg(), "HS")
	}
	return false
}

// publicKey is the public key for a rule as a parameter has it.
func (p *Provider) publicKey(r *rule) (string, error) {
	key, err := p.key(r)
	if err != nil {
		return "", err
	}
	b, raw := key.Public().(ed25519.PublicKey)
	if !raw {
		if b, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
			return "", err
		}
	}
	return r.keyPrefix + r.keyEncoding.encode(b), nil
}

// key is the private key for a rule.
func (p *Provider) key(r *rule) (crypto.Signer, error) {
	switch {
	case r.kind == kindEd25519:
		return p.ed25519()
	case r.kind == kindRSA, r.kind == kindJWT && r.method.Alg() == "RS256":
		return p.rsa()
	}
	return p.ecdsa()
}

// Signing returns a Verifier that signs as the Provider in asymmetric schemes.
func (p *Provider) Signing(v *Verifier) *Verifier {
	signing := *v
	signing.signer = &signer{provider: p}
	return &signing
}

// With returns parameters, a JSON object, with values put in.
func With(parameters json.RawMessage, values map[string]string) (json.RawMessage, error) {
	if len(parameters) == 0 {
		parameters = json.RawMessage("{}")
	}
	for name, value := range values {
		var err error
		if parameters, err = sjson.SetBytes(parameters, gjson.Escape(name), value); err != nil {
			return nil, fmt.Errorf("parameters.%s: %w", name, err)
		}
	}
	return parameters, nil
}

// Fetch implements Fetcher: a certificate where a scheme allows one, or else a key set.
func (p *Provider) Fetch(_ context.Context, url string) ([]byte, error) {
	if name, ok := p.certified(url); ok {
		return p.certificate(name)
	}
	type jwk struct {
		Kty string `json:"kty"`
		N   string `json:"n,omitempty"`
		E   string `json:"e,omitempty"`
		Crv string `json:"crv,omitempty"`
		X   string `json:"x,omitempty"`
		Y   string `json:"y,omitempty"`
	}
	encode := base64.RawURLEncoding.EncodeToString
	rsaKey, err := p.rsa()
	if err != nil {
		return nil, err
	}
	ecKey, err := p.ecdsa()
	if err != nil {
		return nil, err
	}
	n := rsaKey.Public().(*rsa.PublicKey)
	point, err := ecKey.Public().(*ecdsa.PublicKey).Bytes() // 4, x, y
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string][]jwk{"keys": {
		{Kty: "RSA", N: encode(n.N.Bytes()), E: encode(big.NewInt(int64(n.E)).Bytes())},
		{Kty: "EC", Crv: "P-256", X: encode(point[1:33]), Y: encode(point[33:])},
	}})
}

// certified is the name that the certificate at url is to be issued for.
func (p *Provider) certified(url string) (name string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.certificates {
		if c.allows(url) {
			return c.name, true
		}
	}
	return "", false
}

// authority issues the certificates.
type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

// The certificates are valid at whatever time a test runs.
var (
	longAgo   = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	farFuture = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	own := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Switchhook fixtures"}, NotBefore: longAgo, NotAfter: farFuture,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, own, own, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &authority{key, certificate}, err
}

func (p *Provider) certificate(name string) ([]byte, error) {
	a, err := p.authority()
	if err != nil {
		return nil, err
	}
	key, err := p.rsa()
	if err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: longAgo, NotAfter: farFuture, KeyUsage: x509.KeyUsageDigitalSignature}
	if name != "" {
		leaf.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
