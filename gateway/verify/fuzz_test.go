package verify_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"switchhook/gateway/verify"
	"switchhook/spec/document"
)

// Whatever stands in a file, Parse says where what is wrong, and what it takes
// can be bound or not, without a panic.
func FuzzParse(f *testing.F) {
	for _, yaml := range mistakes {
		f.Add(yaml)
	}
	for _, p := range providers {
		f.Add(p.yaml)
	}
	f.Fuzz(func(t *testing.T, yaml string) {
		doc, list := document.Parse("spec.yml", []byte(yaml))
		if list.HasErrors() {
			return
		}
		s, list := verify.Parse(doc.Root)
		if (s == nil) != list.HasErrors() {
			t.Fatalf("scheme %v with %v", s, list)
		}
		if s == nil {
			return
		}
		_, _, _ = s.Name(), s.ParameterNames(), s.StateNames()
		v, err := s.Bind([]byte(`{"secret": "s3cret", "token": "t", "publicKey": "AAAA"}`), verify.Options{Keys: verify.NewKeys(fakeFetcher{})})
		if err != nil {
			return
		}
		req := request("POST", "", `{"a": [1, {"b": "c"}]}`, "Content-Type", jsonType)
		err = check(v, req, noon)
		if err == nil && !s.None() {
			t.Fatalf("a request without a signature was accepted by %s", yaml)
		}
		if v.Sign(req, nil, noon) == nil {
			if err := check(v, req, noon); err != nil {
				// What is signed can depend on what signing adds; then it must be refused, not worse.
				if _, ok := errors.AsType[*verify.Rejected](err); !ok {
					t.Fatal(err)
				}
			}
		}
	})
}

// No value of a signature's header is accepted, and every one is answered.
func FuzzSignatureHeader(f *testing.F) {
	var verifiers []*verify.Verifier
	for _, yaml := range []string{
		bare256,
		`{scheme: hmac-sha256, header: X-Signature, separator: ",", prefix: v1=, signed: "{timestamp}.{body}", timestamp: {part: t=}, secret: parameters.secret}`,
		`{scheme: hmac-sha256, header: X-Signature, separator: " ", encoding: base64, signed: "{timestamp}.{body}", timestamp: {header: X-Time, unit: ms}, secret: parameters.secret}`,
		`{scheme: hmac-sha256, header: X-*, encoding: base64url, prefix: "a ", signed: "{timestamp}.{body}", timestamp: {header: X-Time, unit: rfc3339}, secret: parameters.secret}`,
		`{scheme: ecdsa-p256, header: X-Signature, publicKey: parameters.ecdsa}`,
		`{scheme: ecdsa-p256, header: X-Signature, signatureFormat: raw, encoding: hex, publicKey: parameters.ecdsa}`,
		`{scheme: rsa-sha256, header: X-Signature, publicKey: parameters.rsa}`,
		`{scheme: ed25519, header: X-Signature, publicKey: parameters.ed25519}`,
		`{scheme: jwt-hs256, header: X-Signature, secret: parameters.secret}`,
		`{scheme: jwt-es256, header: X-Signature, publicKey: parameters.ecdsa}`,
		`{scheme: basic, username: parameters.secret, password: parameters.secret}`,
		`{scheme: token, header: X-Signature, secret: parameters.secret}`,
	} {
		verifiers = append(verifiers, bind(f, yaml, parameters{"secret": "cannot be guessed: 9f8a7b6c5d4e3f2a", "ecdsa": base64SPKI(f, &keys().ecdsa.PublicKey),
			"rsa": base64SPKI(f, &keys().rsa.PublicKey), "ed25519": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"}))
	}
	for _, v := range verifiers {
		req := request("POST", "", "body")
		if v.SignTampered(req, nil, noon) == nil {
			f.Add(req.Headers.Get("X-Signature"), req.Headers.Get("X-Time"))
		}
	}
	f.Add("t=1,t=1,v1=", "9999-12-31T23:59:59Z")
	f.Add(strings.Repeat("v1=00,", 200), "18446744073709551616")
	f.Add("Basic Og==", "-1")
	f.Add("eyJhbGciOiJub25lIn0.e30.", "")
	f.Fuzz(func(t *testing.T, signature, stamp string) {
		for _, v := range verifiers {
			req := request("POST", "", "body", "X-Signature", signature, "X-Time", stamp, "Authorization", signature)
			err := check(v, req, noon)
			if r, ok := errors.AsType[*verify.Rejected](err); !ok || r.Reason == "" || strings.Contains(r.Reason, "9f8a7b6c5d4e3f2a") {
				t.Fatalf("Verify = %v", err)
			}
		}
	})
}

// No body is accepted where the signature stands in the body.
func FuzzSignedFields(f *testing.F) {
	secret := parameters{"secret": "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056", "topicArn": "arn:aws:sns:us-east-1:1:t"}
	adyen, mailgun, sns := "", "", ""
	for _, p := range providers {
		switch p.name {
		case "adyen":
			adyen = p.yaml
			f.Add(p.body, jsonType)
		case "mailgun":
			mailgun = p.yaml
			f.Add(p.body, jsonType)
		case "aws sns":
			sns = p.yaml
			f.Add(p.body, "text/plain")
		}
	}
	f.Add("signature[token]=a&signature[signature]=b&signature[timestamp]=1", formType)
	opt := verify.Options{Keys: verify.NewKeys(fakeFetcher{"https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0.pem": keys().leaf}), Roots: keys().roots}
	verifiers := []*verify.Verifier{bind(f, adyen, secret), bind(f, mailgun, secret), bind(f, sns, secret, opt)}
	f.Fuzz(func(t *testing.T, body, contentType string) {
		for _, v := range verifiers {
			if err := check(v, request("POST", "", body, "Content-Type", contentType), noon); err == nil {
				t.Fatal("accepted")
			}
		}
	})
}

// A URL that fits a pattern leads, for whoever calls it, to a host and path that
// the pattern names and to nowhere else.
func FuzzURLPattern(f *testing.F) {
	for _, pattern := range []string{"https://sns.*.amazonaws.com/", "https://certs.example.com/c/*.pem", "https://*.example.com/*/x"} {
		for _, u := range []string{"https://sns.us-east-1.amazonaws.com/", "https://certs.example.com/c/a.pem", "https://a.example.com/b/x", "https://a@b.example.com/c/x",
			"https://sns.a\\.amazonaws.com/", "https://sns.a%2e.amazonaws.com/", "https://certs.example.com/c/../a.pem", "https://certs.example.com:443/c/a.pem?b#c"} {
			f.Add(pattern, u)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		p, err := verify.ParseURLPattern(pattern)
		if err != nil || !p.Match(text) {
			return
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Port() != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "" {
			t.Fatalf("%q fits %q: %+v, %v", text, pattern, u, err)
		}
		host, path, _ := strings.Cut(strings.TrimPrefix(pattern, "https://"), "/")
		labels, wanted := strings.Split(u.Host, "."), strings.Split(host, ".")
		if len(labels) != len(wanted) || strings.Join(labels[len(labels)-2:], ".") != strings.Join(wanted[len(wanted)-2:], ".") {
			t.Fatalf("%q fits %q", text, pattern)
		}
		if strings.Count(u.Path, "/") != strings.Count("/"+path, "/") || u.Path != u.EscapedPath() || strings.Contains(u.Path, "/../") || strings.HasSuffix(u.Path, "/..") {
			t.Fatalf("%q fits %q: path %q", text, pattern, u.Path)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	content := `{"payload": "` + strings.Repeat("x", 7<<10) + `"}`
	for _, p := range providers {
		switch p.name {
		case "github", "stripe", "svix", "pagerduty":
		default:
			continue
		}
		b.Run(p.name, func(b *testing.B) {
			secret := p.parameters
			if secret == nil {
				secret = parameters{"secret": "s3cret"}
			}
			v := bind(b, p.yaml, secret)
			req := request("POST", "", content, "Host", "gw.example", "User-Agent", "x", "Accept", "*/*", "Content-Type", jsonType)
			if err := v.Sign(req, nil, noon); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			for b.Loop() {
				if err := v.Verify(b.Context(), req, nil, nil, noon.Add(time.Second)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
