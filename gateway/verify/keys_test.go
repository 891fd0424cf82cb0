package verify_test

import (
	"context"
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
	"math/big"
	"time"

	"switchhook/gateway/verify"
)

// fakeFetcher has documents by URL.
type fakeFetcher map[string][]byte

func (f fakeFetcher) Fetch(_ context.Context, url string) ([]byte, error) {
	if b, ok := f[url]; ok {
		return b, nil
	}
	return nil, &verify.FetchError{Status: 404}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func makeKeys() *testKeys {
	k := &testKeys{
		rsa:     must(rsa.GenerateKey(rand.Reader, 2048)),
		ecdsa:   must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		ed25519: ed25519.NewKeyFromSeed([]byte("an ed25519 seed of 32 bytes, yes")),
		roots:   x509.NewCertPool(),
	}
	authority := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	rootTemplate := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: noon.AddDate(-1, 0, 0), NotAfter: noon.AddDate(1, 0, 0)}
	root := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, rootTemplate, rootTemplate, &authority.PublicKey, authority))))
	k.roots.AddCert(root)
	middleKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	middleTemplate := *rootTemplate
	middleTemplate.SerialNumber, middleTemplate.Subject.CommonName = big.NewInt(2), "middle"
	middle := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, &middleTemplate, root, &middleKey.PublicKey, authority))))
	leafTemplate := &x509.Certificate{SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "sns.amazonaws.com"}, DNSNames: []string{"sns.amazonaws.com"},
		KeyUsage: x509.KeyUsageDigitalSignature, NotBefore: noon.Add(-24 * time.Hour), NotAfter: noon.Add(24 * time.Hour)}
	leaf := must(x509.CreateCertificate(rand.Reader, leafTemplate, middle, &k.rsa.PublicKey, middleKey))
	k.leaf = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf})
	k.chain = append(append([]byte{}, k.leaf...), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: middle.Raw})...)

	point := must(k.ecdsa.PublicKey.Bytes())
	b64 := base64.RawURLEncoding.EncodeToString
	k.jwks = must(json.Marshal(map[string]any{"keys": []any{
		map[string]any{"kty": "oct", "k": "AAAA"},
		map[string]any{"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"},
		map[string]any{"kty": "RSA", "kid": "one", "use": "sig", "n": b64(k.rsa.N.Bytes()), "e": "AQAB"},
		map[string]any{"kty": "EC", "crv": "P-256", "kid": "two", "x": b64(point[1:33]), "y": b64(point[33:])},
	}}))
	return k
}
