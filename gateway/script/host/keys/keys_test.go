package keys_test

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"testing"

	"switchhook/gateway/script/host/keys"
)

func fixtures(t testing.TB) map[string]string {
	t.Helper()
	data, err := os.ReadFile("../testdata/fixtures.json")
	if err != nil {
		t.Fatal(err)
	}
	var f map[string]string
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// What is wrong with a key is said, without the key.
func TestErrors(t *testing.T) {
	f := fixtures(t)
	cut := strings.Replace(f["rsaPrivate"], "\n", "\nAAAA", 1)
	for _, c := range []struct {
		name, text    string
		private       bool
		code, message string
	}{
		{"no PEM", "s3cret", false, "ERR_OSSL_UNSUPPORTED", `the text is not a public key in PEM: it has no "-----BEGIN ..." block that can be read`},
		{"no PEM, private", "s3cret", true, "ERR_OSSL_UNSUPPORTED", `the text is not a private key in PEM: it has no "-----BEGIN ..." block that can be read`},
		{"another block", "-----BEGIN FOO-----\nAAAA\n-----END FOO-----\n", false, "ERR_OSSL_UNSUPPORTED", `the PEM text has "FOO", which is not a public key`},
		{"public for private", f["rsaPublic"], true, "ERR_OSSL_UNSUPPORTED", `the PEM text has "PUBLIC KEY", which is not a private key`},
		{"encrypted", f["rsaEncrypted"], true, "ERR_MISSING_PASSPHRASE", "encrypted private keys are not supported; store the key without a passphrase"},
		{"a curve that Go does not have", f["k256Public"], false, "ERR_OSSL_ASN1_WRONG_TAG", "the public key cannot be read: x509: unsupported elliptic curve"},
		{"damaged", cut, true, "ERR_OSSL_ASN1_WRONG_TAG", ""},
		{"large", strings.Repeat("x", 2<<20), false, "ERR_OSSL_UNSUPPORTED", "a key of more than 1024 KiB is not supported"},
	} {
		k, err := keys.ParsePEM([]byte(c.text), c.private)
		var e *keys.Error
		if k != nil || !errors.As(err, &e) {
			t.Errorf("%s: %v, %v", c.name, k, err)
			continue
		}
		if e.Code != c.code || c.message != "" && e.Message != c.message {
			t.Errorf("%s: %s: %s", c.name, e.Code, e.Message)
		}
		if strings.Contains(e.Message, "s3cret") || strings.Contains(e.Message, "MII") {
			t.Errorf("%s: the message shows the key: %s", c.name, e.Message)
		}
	}
}

func TestLargeKeys(t *testing.T) {
	n := "v" + strings.Repeat("_", 4000)
	if _, err := keys.ParseJWK(map[string]string{"kty": "RSA", "n": n, "e": "AQAB"}, false); err == nil {
		t.Error("a key of 24000 bits is accepted")
	}
	if _, err := keys.ParseJWK(map[string]string{"kty": "RSA", "n": n[:1000], "e": "AQAAAAAB"}, false); err == nil {
		t.Error("an exponent of 41 bits is accepted")
	}
	small, err := keys.ParseJWK(map[string]string{"kty": "RSA", "n": n[:60], "e": "AQAB"}, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := small.Verify(5, make([]byte, 32), make([]byte, 45), keys.Scheme{}); err == nil || !strings.Contains(err.Error(), "less than 1024 bits") {
		t.Errorf("a key of 360 bits verifies: %v", err)
	}
}

// FuzzParse: nothing that is parsed panics, and what was read can be written and read again.
func FuzzParse(f *testing.F) {
	for name, text := range fixtures(f) {
		f.Add([]byte(text))
		if block, _ := pem.Decode([]byte(text)); block != nil && name != "rsaEncrypted" {
			f.Add(block.Bytes)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, private := range []bool{false, true} {
			if k, err := keys.ParsePEM(data, private); err == nil {
				roundTrip(t, k)
			}
		}
		for _, encoding := range []string{"spki", "pkcs1"} {
			if k, err := keys.ParsePublicDER(data, encoding); err == nil {
				roundTrip(t, k)
			}
		}
		for _, encoding := range []string{"pkcs8", "pkcs1", "sec1"} {
			if k, err := keys.ParsePrivateDER(data, encoding); err == nil {
				roundTrip(t, k)
			}
		}
		if c, err := keys.ParseCertificate(data); err == nil {
			for _, s := range []string{c.Subject(), c.Issuer(), c.SubjectAltName(), c.InfoAccess(), c.ValidFrom(), c.ValidTo(), c.SerialNumber(), c.Fingerprint(1), c.PEM()} {
				_ = s
			}
			c.KeyUsage()
			c.CheckHost("example.com", "always")
			c.CheckIssued(c)
			if k, err := keys.FromCertificate(c.X509); err == nil {
				c.Verify(k.Public)
			}
		}
	})
}

func roundTrip(t *testing.T, k *keys.Key) {
	encoding := "spki"
	if k.Private != nil {
		encoding = "pkcs8"
	}
	der, label, err := k.Marshal(encoding)
	if err != nil {
		t.Fatal(err)
	}
	again, err := keys.ParsePEM(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}), k.Private != nil)
	if err != nil {
		t.Fatal(err)
	}
	if !again.Equal(k) {
		t.Fatal("the key has changed")
	}
	members, err := k.JWK()
	if err != nil {
		return
	}
	jwk := map[string]string{}
	for _, m := range members {
		jwk[m.Name] = m.Value
	}
	if again, err = keys.ParseJWK(jwk, k.Private != nil); err != nil {
		t.Fatal(err)
	}
	if !again.Equal(k) {
		t.Fatal("the key has changed as JWK")
	}
}

// FuzzJWK: the members are anything.
func FuzzJWK(f *testing.F) {
	f.Add("RSA", "", "AQAB", "AQAB", "AQ")
	f.Add("EC", "P-256", "AQ", "AQ", "AQ")
	f.Add("OKP", "Ed25519", strings.Repeat("A", 43), strings.Repeat("A", 43), "")
	f.Add("OKP", "X25519", strings.Repeat("A", 43), strings.Repeat("A", 43), "")
	f.Fuzz(func(t *testing.T, kty, crv, a, b, c string) {
		if kty != "RSA" && kty != "EC" {
			kty = "OKP"
		}
		jwk := map[string]string{"kty": kty, "crv": crv, "n": a, "e": b, "d": c, "p": a, "q": b, "x": a, "y": b}
		for _, private := range []bool{false, true} {
			if k, err := keys.ParseJWK(jwk, private); err == nil && k.Type() == "" {
				t.Fatal("a key without a type")
			}
		}
	})
}
