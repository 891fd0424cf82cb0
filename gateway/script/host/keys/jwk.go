package keys

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"math/big"
	"slices"
	"strings"
)

var jwkCurves = map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}

func invalidJWK() *Error {
	return &Error{Code: "ERR_CRYPTO_INVALID_JWK", Message: "Invalid JWK data", Argument: true}
}

func invalidECJWK() *Error {
	return &Error{Code: "ERR_CRYPTO_INVALID_JWK", Message: "Invalid JWK EC key", Argument: true}
}

// ParseJWK reads a JSON Web Key (RFC 7517). The member "kty" must be RSA, EC or OKP, and the members that it
// needs must be there; the caller checks both. With private the private half is read.
func ParseJWK(jwk map[string]string, private bool) (*Key, error) {
	field := func(name string) []byte {
		b, _ := base64.RawURLEncoding.DecodeString(strings.TrimRight(jwk[name], "="))
		return b
	}
	switch jwk["kty"] {
	case "RSA":
		return rsaJWK(field, private)
	case "EC":
		curve := jwkCurves[jwk["crv"]]
		if curve == nil {
			return nil, unsupported("the curve %q is not supported; supported are P-256, P-384, P-521", jwk["crv"])
		}
		size := (curve.Params().BitSize + 7) / 8
		x, y := field("x"), field("y")
		if len(x) > size || len(y) > size || len(x) == 0 || len(y) == 0 {
			return nil, invalidECJWK()
		}
		point := append([]byte{4}, append(pad(x, size), pad(y, size)...)...)
		public, err := ecdsa.ParseUncompressedPublicKey(curve, point)
		if err != nil {
			return nil, invalidECJWK()
		}
		if !private {
			return fromPublic(public)
		}
		d := field("d")
		if len(d) == 0 || len(d) > size {
			return nil, invalidECJWK()
		}
		key, err := ecdsa.ParseRawPrivateKey(curve, pad(d, size))
		if err != nil || !key.PublicKey.Equal(public) {
			return nil, invalidECJWK()
		}
		return fromPrivate(key)
	}
	x, d := field("x"), field("d")
	switch jwk["crv"] {
	case "Ed25519":
		if len(x) != ed25519.PublicKeySize || private && len(d) != ed25519.SeedSize {
			return nil, invalidJWK()
		}
		if private {
			return fromPrivate(ed25519.NewKeyFromSeed(d))
		}
		return fromPublic(ed25519.PublicKey(x))
	case "X25519":
		if private {
			key, err := ecdh.X25519().NewPrivateKey(d)
			if err != nil {
				return nil, invalidJWK()
			}
			return fromPrivate(key)
		}
		key, err := ecdh.X25519().NewPublicKey(x)
		if err != nil {
			return nil, invalidJWK()
		}
		return fromPublic(key)
	}
	return nil, unsupported("the curve %q is not supported; supported are Ed25519 and X25519", jwk["crv"])
}

func rsaJWK(field func(string) []byte, private bool) (*Key, error) {
	number := func(name string) *big.Int { return new(big.Int).SetBytes(field(name)) }
	n, e := number("n"), number("e")
	if n.Sign() == 0 || n.BitLen() > maxPublicBits || !e.IsInt64() || e.Int64() < 3 || e.Int64() >= 1<<31 {
		return nil, invalidJWK()
	}
	public := rsa.PublicKey{N: n, E: int(e.Int64())}
	if !private {
		return fromPublic(&public)
	}
	if n.BitLen() > maxPrivateBits {
		return fromPrivate(&rsa.PrivateKey{PublicKey: public})
	}
	key := &rsa.PrivateKey{PublicKey: public, D: number("d"), Primes: []*big.Int{number("p"), number("q")}}
	if err := key.Validate(); err != nil {
		return nil, invalidJWK()
	}
	key.Precompute()
	return fromPrivate(key)
}

func pad(b []byte, size int) []byte {
	if len(b) >= size {
		return slices.Clone(b)
	}
	return append(make([]byte, size-len(b)), b...)
}

// Member is one member of a JSON Web Key.
type Member struct{ Name, Value string }

// JWK writes the key as a JSON Web Key, with the members in Node's order.
func (k *Key) JWK() ([]Member, error) {
	encode := base64.RawURLEncoding.EncodeToString
	switch p := k.Public.(type) {
	case *rsa.PublicKey:
		m := []Member{{"kty", "RSA"}, {"n", encode(p.N.Bytes())}, {"e", encode(big.NewInt(int64(p.E)).Bytes())}}
		if s, ok := k.Private.(*rsa.PrivateKey); ok {
			if len(s.Primes) != 2 {
				return nil, unsupported("RSA keys of more than two primes are not supported")
			}
			s.Precompute()
			for _, x := range []struct {
				name string
				n    *big.Int
			}{{"d", s.D}, {"p", s.Primes[0]}, {"q", s.Primes[1]}, {"dp", s.Precomputed.Dp}, {"dq", s.Precomputed.Dq}, {"qi", s.Precomputed.Qinv}} {
				m = append(m, Member{x.name, encode(x.n.Bytes())})
			}
		}
		return m, nil
	case *ecdsa.PublicKey:
		point, err := p.Bytes()
		if err != nil || p.Curve == elliptic.P224() {
			return nil, &Error{Code: "ERR_CRYPTO_JWK_UNSUPPORTED_CURVE", Message: "Unsupported JWK EC curve: " + k.Curve() + "."}
		}
		size := len(point) / 2
		m := []Member{{"kty", "EC"}, {"x", encode(point[1 : 1+size])}, {"y", encode(point[1+size:])}, {"crv", p.Params().Name}}
		if s, ok := k.Private.(*ecdsa.PrivateKey); ok {
			d, err := s.Bytes()
			if err != nil {
				return nil, unsupported("the key cannot be written: %v", err)
			}
			m = append(m, Member{"d", encode(d)})
		}
		return m, nil
	case ed25519.PublicKey:
		m := []Member{{"crv", "Ed25519"}}
		if s, ok := k.Private.(ed25519.PrivateKey); ok {
			m = append(m, Member{"d", encode(s.Seed())})
		}
		return append(m, Member{"x", encode(p)}, Member{"kty", "OKP"}), nil
	case *ecdh.PublicKey:
		m := []Member{{"crv", "X25519"}}
		if s, ok := k.Private.(*ecdh.PrivateKey); ok {
			m = append(m, Member{"d", encode(s.Bytes())})
		}
		return append(m, Member{"x", encode(p.Bytes())}, Member{"kty", "OKP"}), nil
	}
	return nil, unsupported("keys of this kind cannot be written as JWK")
}
