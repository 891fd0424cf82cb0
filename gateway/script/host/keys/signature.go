package keys

import (
	stdcrypto "crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
)

// Node's numbers for RSA padding.
const (
	PaddingPKCS1 = 1
	PaddingNone  = 3
	PaddingOAEP  = 4
	PaddingPSS   = 6
)

// Node's special salt lengths.
const (
	SaltDigest = -1
	SaltAuto   = -2 // when verifying
	SaltMax    = -2 // when signing
)

// Scheme is how to sign with a key where there is a choice. The zero value of Padding means PKCS1.
type Scheme struct {
	Padding    int
	SaltLength int
	// P1363 is the form r||s of an ECDSA signature instead of DER.
	P1363 bool
}

// ErrScheme says that the key cannot sign in this way.
var ErrScheme = errors.New("the padding is not supported for signatures")

// Verify checks a signature on a digest, or on the message itself for Ed25519. Whatever is wrong with
// the signature is false.
func (k *Key) Verify(hash stdcrypto.Hash, digest, signature []byte, s Scheme) (bool, error) {
	switch p := k.Public.(type) {
	case *rsa.PublicKey:
		if err := strong(p); err != nil {
			return false, err
		}
		switch s.Padding {
		case 0, PaddingPKCS1:
			return rsa.VerifyPKCS1v15(p, hash, digest, signature) == nil, nil
		case PaddingPSS:
			salt := rsa.PSSSaltLengthAuto
			switch {
			case s.SaltLength == SaltDigest:
				salt = rsa.PSSSaltLengthEqualsHash
			case s.SaltLength == 0:
				return false, ErrScheme
			case s.SaltLength > 0:
				salt = s.SaltLength
			}
			return rsa.VerifyPSS(p, hash, digest, signature, &rsa.PSSOptions{SaltLength: salt}) == nil, nil
		}
		return false, nil
	case *ecdsa.PublicKey:
		if s.P1363 {
			size := (p.Params().BitSize + 7) / 8
			if len(signature) != 2*size {
				return false, nil
			}
			der, err := asn1.Marshal(pair{new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])})
			return err == nil && ecdsa.VerifyASN1(p, digest, der), nil
		}
		return ecdsa.VerifyASN1(p, digest, signature), nil
	case ed25519.PublicKey:
		return ed25519.Verify(p, digest, signature), nil
	}
	return false, ErrScheme
}

type pair struct{ R, S *big.Int }

// Sign signs a digest, or the message itself for Ed25519. ECDSA is deterministic (RFC 6979); random is
// the source of the salt of RSA-PSS.
func (k *Key) Sign(random io.Reader, hash stdcrypto.Hash, digest []byte, s Scheme) ([]byte, error) {
	switch p := k.Private.(type) {
	case *rsa.PrivateKey:
		if err := strong(&p.PublicKey); err != nil {
			return nil, err
		}
		switch s.Padding {
		case 0, PaddingPKCS1:
			return rsa.SignPKCS1v15(nil, p, hash, digest)
		case PaddingPSS:
			salt := rsa.PSSSaltLengthAuto
			switch {
			case s.SaltLength == SaltDigest:
				salt = rsa.PSSSaltLengthEqualsHash
			case s.SaltLength == 0:
				return nil, ErrScheme
			case s.SaltLength > 0:
				salt = s.SaltLength
			}
			return rsa.SignPSS(random, p, hash, digest, &rsa.PSSOptions{SaltLength: salt})
		}
	case *ecdsa.PrivateKey:
		der, err := p.Sign(nil, digest, hash)
		if err != nil || !s.P1363 {
			return der, err
		}
		var rs pair
		if _, err := asn1.Unmarshal(der, &rs); err != nil {
			return nil, fmt.Errorf("signature: %w", err)
		}
		size := (p.Params().BitSize + 7) / 8
		return append(rs.R.FillBytes(make([]byte, size)), rs.S.FillBytes(make([]byte, size))...), nil
	case ed25519.PrivateKey:
		return ed25519.Sign(p, digest), nil
	}
	return nil, ErrScheme
}

// strong refuses RSA keys that crypto/rsa does, with a reason instead of a false.
func strong(p *rsa.PublicKey) error {
	if p.N.BitLen() < 1024 {
		return fmt.Errorf("RSA keys of less than 1024 bits are not supported, this one has %d", p.N.BitLen())
	}
	return nil
}

// DecryptOAEP decrypts with an RSA key; hash is used for the label and for MGF1.
func (k *Key) DecryptOAEP(hash stdcrypto.Hash, ciphertext, label []byte) ([]byte, error) {
	p, ok := k.Private.(*rsa.PrivateKey)
	if !ok {
		return nil, ErrScheme
	}
	return rsa.DecryptOAEP(hash.New(), nil, p, ciphertext, label)
}

// EncryptOAEP encrypts to an RSA key; random is the source of the seed.
func (k *Key) EncryptOAEP(random io.Reader, hash stdcrypto.Hash, message, label []byte) ([]byte, error) {
	p, ok := k.Public.(*rsa.PublicKey)
	if !ok {
		return nil, ErrScheme
	}
	return rsa.EncryptOAEP(hash.New(), random, p, message, label)
}
