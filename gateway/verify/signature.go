package verify

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"strings"

	"switchhook/gateway/verify/template"
)

// signatureCheck checks a signature over parts of the request.
type signatureCheck struct {
	r            *rule
	keys         keySet
	certificates *Keys
	roots        *x509.CertPool
}

func (s *signatureCheck) verify(c *call) error {
	return c.eachItem(s.r.each, func() error { return s.verifyOne(c) })
}

func (s *signatureCheck) verifyOne(c *call) error {
	r := s.r
	values, err := r.place.values(c.valueRoom[:0], c)
	if err != nil {
		return err
	}
	texts, err := r.candidates(c.candidateRoom[:0], values)
	if err != nil {
		return err
	}
	if t := r.timestamp; t != nil {
		text, at, err := t.read(c, values, r.separator)
		if err != nil {
			return err
		}
		if err := t.check(at, c.now); err != nil {
			return err
		}
		c.src.Timestamp = text
	}
	signatures, err := s.decode(c, texts)
	if err != nil {
		return err
	}
	if r.bodyHash != nil {
		if err := r.bodyHash.check(c); err != nil {
			return err
		}
	}
	keys, err := s.keysFor(c)
	if err != nil {
		return err
	}
	ok, err := s.matches(c, keys, signatures)
	if err == nil && !ok && r.message.hasURL {
		c.src.URL = otherPort(c.src.Request.URL)
		ok, err = s.matches(c, keys, signatures)
		c.src.URL = ""
	}
	if err != nil {
		return rejectedBy(err)
	}
	if !ok {
		return s.mismatch(len(keys))
	}
	return nil
}

func (s *signatureCheck) mismatch(keys int) error {
	what := "the fields that are signed"
	if t := s.r.message.template; t == wholeBody {
		what = "the body"
	} else if t != nil {
		what = fmt.Sprintf("%q", t)
	}
	checked := ""
	if keys > 1 {
		checked = fmt.Sprintf(" (checked with %d secrets)", keys)
		if s.keys.r.kind >= kindEd25519 {
			checked = fmt.Sprintf(" (checked with %d keys)", keys)
		}
	}
	return rejected("the signature does not match %s%s", what, checked)
}

// decode decodes the signatures that are well formed, at least one.
func (s *signatureCheck) decode(c *call, texts []string) ([][]byte, error) {
	var room [4][]byte
	signatures := room[:0]
	for i, text := range texts {
		var dst []byte
		if i == 0 {
			dst = c.signatureRoom[:0]
		}
		b, err := s.r.signatureEncoding.appendDecoded(dst, text)
		if err != nil || s.r.size != 0 && len(b) != s.r.size || len(b) == 0 {
			continue
		}
		signatures = append(signatures, b)
	}
	if len(signatures) == 0 {
		if s.r.size != 0 {
			return nil, rejected("the signature is not %d bytes in %s", s.r.size, s.r.signatureEncoding)
		}
		return nil, rejected("the signature is not %s", s.r.signatureEncoding)
	}
	return signatures, nil
}

// keysFor are the keys to check with.
func (s *signatureCheck) keysFor(c *call) ([]key, error) {
	cert := s.r.certificate
	if cert == nil || s.keys.given() {
		return s.keys.get(c)
	}
	at, err := cert.reference.Read(&c.src)
	if err != nil {
		return nil, rejectedBy(err)
	}
	if !cert.allows(at) {
		return nil, rejected("the certificate's URL is not one that the scheme allows")
	}
	if s.certificates == nil {
		return nil, errNoKeys
	}
	public, err := s.certificates.certificate(c.ctx, at, cert, s.roots, c.now)
	if err != nil {
		return nil, err
	}
	if err := s.r.fits(public); err != nil {
		return nil, rejected("the certificate %s", err)
	}
	return []key{{public: public}}, nil
}

// write writes what is signed.
func (m *message) write(w io.Writer, src *template.Source) error {
	if m.template != nil {
		return m.template.Write(w, src)
	}
	for _, f := range m.fields {
		text, err := f.Read(src)
		if err != nil {
			return err
		}
		if text == "" && f.Optional {
			if v, err := f.Value(src); err == nil && (!v.Exists() || v.Raw == "null") {
				continue
			}
		}
		if _, err := io.WriteString(w, f.Path.String()+"\n"+text+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// matches reports whether one of the signatures is right under one of the
// keys. The error is a *template.Unreadable.
func (s *signatureCheck) matches(c *call, keys []key, signatures [][]byte) (bool, error) {
	m := &s.r.message
	switch s.r.kind {
	case kindMAC, kindDigest:
		for i := range keys {
			sum, err := s.digest(c, &keys[i])
			if err != nil {
				return false, err
			}
			for _, signature := range signatures {
				if subtle.ConstantTimeCompare(sum, signature) == 1 {
					return true, nil
				}
			}
		}
		return false, nil
	case kindEd25519:
		var b bytes.Buffer
		if err := m.write(&b, &c.src); err != nil {
			return false, err
		}
		return anyPair(keys, signatures, func(k *key, signature []byte) bool {
			return ed25519.Verify(k.public.(ed25519.PublicKey), b.Bytes(), signature)
		}), nil
	}
	h := s.r.newHash()
	if err := m.write(h, &c.src); err != nil {
		return false, err
	}
	sum := h.Sum(c.sumRoom[:0])
	return anyPair(keys, signatures, func(k *key, signature []byte) bool {
		if s.r.kind == kindRSA {
			return rsa.VerifyPKCS1v15(k.public.(*rsa.PublicKey), s.r.hash, sum, signature) == nil
		}
		public := k.public.(*ecdsa.PublicKey)
		if !s.r.rawSignature {
			return ecdsa.VerifyASN1(public, sum, signature)
		}
		return len(signature) == 64 &&
			ecdsa.Verify(public, sum, new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
	}), nil
}

// maxPairs bounds the checks with public keys that one request can cause.
const maxPairs = 16

func anyPair(keys []key, signatures [][]byte, ok func(*key, []byte) bool) bool {
	left := maxPairs
	for i := range keys {
		for _, signature := range signatures {
			if left--; left < 0 {
				return false
			}
			if ok(&keys[i], signature) {
				return true
			}
		}
	}
	return false
}

// digest is the keyed or plain hash of the message, in the call's room.
func (s *signatureCheck) digest(c *call, k *key) ([]byte, error) {
	if s.r.kind == kindMAC {
		h := k.mac()
		defer k.put(h)
		if err := s.r.message.write(h, &c.src); err != nil {
			return nil, err
		}
		return h.Sum(c.sumRoom[:0]), nil
	}
	h := s.r.newHash()
	c.src.Secret = k.text
	if err := s.r.message.write(h, &c.src); err != nil {
		return nil, err
	}
	return h.Sum(c.sumRoom[:0]), nil
}

// check compares the hash at the reference with that of the body.
func (b *bodyHash) check(c *call) error {
	text, err := b.reference.Read(&c.src)
	if err != nil {
		return rejectedBy(err)
	}
	return b.compare(c, text)
}

func (b *bodyHash) compare(c *call, text string) error {
	sent, err := b.encoding.appendDecoded(nil, text)
	sum := sha256.Sum256(c.src.Request.Body)
	if err != nil || !hmac.Equal(sent, sum[:]) {
		return rejected("the body is not the one whose hash was sent")
	}
	return nil
}

// otherPort is the URL with its scheme's default port added, or with its port
// removed.
func otherPort(u string) string {
	scheme, rest, ok := strings.Cut(u, "://")
	if !ok {
		return u
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host, tail := rest[:end], rest[end:]
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return scheme + "://" + host[:i] + tail
	}
	port := ":443"
	if scheme == "http" {
		port = ":80"
	}
	return scheme + "://" + host + port + tail
}
