// Package keys reads and writes the asymmetric keys that Node's crypto knows:
// PEM, DER and JWK; RSA, ECDSA on the NIST curves, Ed25519 and (without operations)
// X25519. It is pure.
//
// Only gateway/script/host and its sub-packages call it.
package keys

import (
	stdcrypto "crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
)

// The largest RSA keys that are worth the time of an operation, in bits. Node takes public
// keys up to the same size.
const (
	maxPublicBits  = 16384
	maxPrivateBits = 8192
	// maxInput bounds the text of a key.
	maxInput = 1 << 20
)

// Error is why a key could not be read or written. Code is Node's error code. Argument says that
// it is the caller's mistake, for which Node throws a TypeError.
type Error struct {
	Code, Message string
	Argument      bool
}

func (e *Error) Error() string { return e.Message }

func unsupported(format string, args ...any) *Error {
	return &Error{Code: "ERR_OSSL_UNSUPPORTED", Message: fmt.Sprintf(format, args...)}
}

// Key is a public key, or a private one with its public half.
type Key struct {
	// Public is an *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey or *ecdh.PublicKey.
	Public stdcrypto.PublicKey
	// Private is nil for a public key; otherwise an *rsa.PrivateKey, *ecdsa.PrivateKey,
	// ed25519.PrivateKey or *ecdh.PrivateKey.
	Private stdcrypto.PrivateKey
}

// PublicOnly is the key without its private half.
func (k *Key) PublicOnly() *Key { return &Key{Public: k.Public} }

// Type is Node's asymmetricKeyType.
func (k *Key) Type() string {
	switch k.Public.(type) {
	case *rsa.PublicKey:
		return "rsa"
	case *ecdsa.PublicKey:
		return "ec"
	case ed25519.PublicKey:
		return "ed25519"
	}
	return "x25519"
}

// Curve is the OpenSSL name of the curve of an "ec" key, empty for others.
func (k *Key) Curve() string {
	if p, ok := k.Public.(*ecdsa.PublicKey); ok {
		return curveNames[p.Curve]
	}
	return ""
}

var curveNames = map[elliptic.Curve]string{
	elliptic.P224(): "secp224r1", elliptic.P256(): "prime256v1",
	elliptic.P384(): "secp384r1", elliptic.P521(): "secp521r1",
}

// Curves are the OpenSSL names of the curves there are.
func Curves() []string { return []string{"prime256v1", "secp224r1", "secp384r1", "secp521r1"} }

// Equal says whether two keys are the same.
func (k *Key) Equal(other *Key) bool {
	if (k.Private == nil) != (other.Private == nil) {
		return false
	}
	p, ok := k.Public.(interface {
		Equal(stdcrypto.PublicKey) bool
	})
	if !ok || !p.Equal(other.Public) {
		return false
	}
	if k.Private == nil {
		return true
	}
	private, ok := k.Private.(interface {
		Equal(stdcrypto.PrivateKey) bool
	})
	return ok && private.Equal(other.Private)
}

// fromPublic makes a Key of what crypto/x509 parsed.
func fromPublic(p any) (*Key, error) {
	switch p := p.(type) {
	case *rsa.PublicKey:
		if p.N.BitLen() > maxPublicBits {
			return nil, &Error{Code: "ERR_OSSL_RSA_MODULUS_TOO_LARGE", Message: fmt.Sprintf("RSA keys of more than %d bits are not supported", maxPublicBits)}
		}
		if p.E < 3 { // with an exponent of 1 every text is its own signature
			return nil, unsupported("an RSA key with an exponent of %d is not supported", p.E)
		}
	case *ecdsa.PublicKey:
		if curveNames[p.Curve] == "" {
			return nil, unsupported("the curve of this key is not supported; supported are %s", strings.Join(Curves(), ", "))
		}
	case ed25519.PublicKey, *ecdh.PublicKey:
	default:
		return nil, unsupported("keys of this kind are not supported; supported are RSA, EC, Ed25519")
	}
	return &Key{Public: p}, nil
}

// FromCertificate is the public key of a certificate.
func FromCertificate(c *x509.Certificate) (*Key, error) {
	if c.PublicKey == nil {
		return nil, unsupported("the key of this certificate is not supported; supported are RSA, EC, Ed25519")
	}
	return fromPublic(c.PublicKey)
}

func fromPrivate(p any) (*Key, error) {
	switch p := p.(type) {
	case *rsa.PrivateKey:
		if p.N.BitLen() > maxPrivateBits {
			return nil, &Error{Code: "ERR_OSSL_RSA_MODULUS_TOO_LARGE", Message: fmt.Sprintf("private RSA keys of more than %d bits are not supported", maxPrivateBits)}
		}
		return &Key{&p.PublicKey, p}, nil
	case *ecdsa.PrivateKey:
		if _, err := fromPublic(&p.PublicKey); err != nil {
			return nil, err
		}
		return &Key{&p.PublicKey, p}, nil
	case ed25519.PrivateKey:
		return &Key{p.Public(), p}, nil
	case *ecdh.PrivateKey:
		return &Key{p.PublicKey(), p}, nil
	}
	return nil, unsupported("keys of this kind are not supported; supported are RSA, EC, Ed25519")
}

// ParsePEM reads the first block of text that is a key. Where a public key will do
// (private is false), that may be a certificate or a private key, too.
func ParsePEM(text []byte, private bool) (*Key, error) {
	if len(text) > maxInput {
		return nil, unsupported("a key of more than %d KiB is not supported", maxInput>>10)
	}
	seen := ""
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if seen == "" {
			seen = block.Type
		}
		switch block.Type {
		case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
			if strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
				return nil, encrypted()
			}
			encoding := map[string]string{"PRIVATE KEY": "pkcs8", "RSA PRIVATE KEY": "pkcs1", "EC PRIVATE KEY": "sec1"}[block.Type]
			return ParsePrivateDER(block.Bytes, encoding)
		case "ENCRYPTED PRIVATE KEY":
			return nil, encrypted()
		}
		if private {
			continue
		}
		switch block.Type {
		case "PUBLIC KEY":
			return ParsePublicDER(block.Bytes, "spki")
		case "RSA PUBLIC KEY":
			return ParsePublicDER(block.Bytes, "pkcs1")
		case "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE":
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, unreadable("certificate", err)
			}
			return FromCertificate(c)
		}
	}
	wanted := "a public key"
	if private {
		wanted = "a private key"
	}
	if seen != "" {
		return nil, unsupported("the PEM text has %q, which is not %s", seen, wanted)
	}
	return nil, unsupported("the text is not %s in PEM: it has no \"-----BEGIN ...\" block that can be read", wanted)
}

func encrypted() *Error {
	return &Error{Code: "ERR_MISSING_PASSPHRASE", Message: "encrypted private keys are not supported; store the key without a passphrase", Argument: true}
}

func unreadable(what string, err error) *Error {
	return &Error{Code: "ERR_OSSL_ASN1_WRONG_TAG", Message: fmt.Sprintf("the %s cannot be read: %v", what, err)}
}

// ParsePublicDER reads a public key; encoding is "spki" or "pkcs1".
func ParsePublicDER(der []byte, encoding string) (*Key, error) {
	if len(der) > maxInput {
		return nil, unsupported("a key of more than %d KiB is not supported", maxInput>>10)
	}
	var p any
	var err error
	if encoding == "pkcs1" {
		p, err = x509.ParsePKCS1PublicKey(der)
	} else {
		p, err = x509.ParsePKIXPublicKey(der)
	}
	if err != nil {
		return nil, unreadable("public key", err)
	}
	return fromPublic(p)
}

// ParsePrivateDER reads a private key; encoding is "pkcs8", "pkcs1" or "sec1".
func ParsePrivateDER(der []byte, encoding string) (*Key, error) {
	if len(der) > maxInput {
		return nil, unsupported("a key of more than %d KiB is not supported", maxInput>>10)
	}
	var p any
	var err error
	switch encoding {
	case "pkcs1":
		p, err = x509.ParsePKCS1PrivateKey(der)
	case "sec1":
		p, err = x509.ParseECPrivateKey(der)
	default:
		p, err = x509.ParsePKCS8PrivateKey(der)
	}
	if err != nil {
		// The error must not quote the key; crypto/x509 names the structure only.
		return nil, unreadable("private key", err)
	}
	return fromPrivate(p)
}

// Marshal writes the key; encoding is "spki" or "pkcs1" for a public one, "pkcs8", "pkcs1"
// or "sec1" for a private one. label is what a PEM block of it is called.
func (k *Key) Marshal(encoding string) (der []byte, label string, err error) {
	if k.Private == nil {
		switch encoding {
		case "spki":
			der, err = x509.MarshalPKIXPublicKey(k.Public)
			return der, "PUBLIC KEY", err
		case "pkcs1":
			p, ok := k.Public.(*rsa.PublicKey)
			if !ok {
				return nil, "", onlyFor("pkcs1", "RSA")
			}
			return x509.MarshalPKCS1PublicKey(p), "RSA PUBLIC KEY", nil
		}
		return nil, "", &Error{Code: "ERR_INVALID_ARG_VALUE", Argument: true, Message: "the encoding of a public key is spki or pkcs1"}
	}
	switch encoding {
	case "pkcs8":
		der, err = x509.MarshalPKCS8PrivateKey(k.Private)
		return der, "PRIVATE KEY", err
	case "pkcs1":
		p, ok := k.Private.(*rsa.PrivateKey)
		if !ok {
			return nil, "", onlyFor("pkcs1", "RSA")
		}
		return x509.MarshalPKCS1PrivateKey(p), "RSA PRIVATE KEY", nil
	case "sec1":
		p, ok := k.Private.(*ecdsa.PrivateKey)
		if !ok {
			return nil, "", onlyFor("sec1", "EC")
		}
		der, err = x509.MarshalECPrivateKey(p)
		return der, "EC PRIVATE KEY", err
	}
	return nil, "", &Error{Code: "ERR_INVALID_ARG_VALUE", Argument: true, Message: "the encoding of a private key is pkcs8, pkcs1 or sec1"}
}

func onlyFor(encoding, kind string) *Error {
	return &Error{Code: "ERR_CRYPTO_INCOMPATIBLE_KEY_OPTIONS", Message: fmt.Sprintf("The selected key encoding %s can only be used for %s keys.", encoding, kind)}
}
