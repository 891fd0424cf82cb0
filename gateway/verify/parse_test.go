package verify_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"switchhook/gateway/verify"
	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

var update = flag.Bool("update", false, "rewrite testdata/*.golden")

// mistakes are blocks with something wrong; what is said about them stands in
// testdata/mistakes.golden.
var mistakes = []string{
	`~`,
	`nonne`,
	`hmac-sha256`,
	`false`,
	`[]`,
	`{}`,
	`{header: X-Signature, secrte: parameters.secret}`,
	`{scheme: 5}`,
	`{scheme: hmac, header: X, secret: parameters.secret}`,
	`{scheme: hmac-sha265, header: X, secret: parameters.secret}`,
	`{scheme: HMAC_SHA256, header: X, secret: parameters.secret}`,
	`{scheme: jwt}`,
	`{scheme: svix}`,
	`{scheme: magic}`,
	`{scheme: hmac-sha256}`,
	`{scheme: hmac-sha256, header: "", secret: ""}`,
	`{scheme: hmac-sha256, header: [], secret: [parameters.a]}`,
	`{scheme: hmac-sha256, header: X Y, query: sig, secret: s3cret}`,
	`{scheme: hmac-sha256, header: "X-*-*", secret: header.x}`,
	`{scheme: hmac-sha256, header: X, secret: parameters.secret, secrets: [parameters.a]}`,
	`{scheme: hmac-sha256, header: X, secrets: []}`,
	`{scheme: hmac-sha256, header: X, secrets: [parameter.a, "parameters.b?", parameters., "parameters.a[0]", 5]}`,
	`{scheme: hmac-sha256, header: X, secret: parameters.secret, encoding: base46, keyEncoding: utf-8}`,
	`{scheme: hmac-sha256, header: X, secret: parameters.secret, publicKey: parameters.x, claims: {}, tollerance: 5m}`,
	`{scheme: hmac-sha256, header: X, secret: parameters.secret, signed: "body"}`,
	`{scheme: hmac-sha256, header: X, secret: parameters.secret, signed: "{timestamp}.{body}"}`,
	`{scheme: hmac-sha256, header: X, secret: parameters.secret, signed: "v0:{ts}:{bdy} {secret} {header}{header.a b}{item.x}{state.x}{body.}{body.a..b}{body[x]}{params.x}{"}`,
	`{scheme: hmac-sha256, header: X, secret: parameters.secret, signed: "}{{}} {body"}`,
	"scheme: hmac-sha256\nheader: X\nsecret: parameters.secret\nsigned: |\n  {method}\n  {paht}\n  {body}\n",
	`{scheme: hmac-sha256, header: X, secret: parameters.secret, signed: []}`,
	`{scheme: hmac-sha256, header: X, secret: parameters.secret, signed: [a, "b c", ""]}`,
	`{scheme: hmac-sha256, header: X, secret: parameters.secret, timestamp: X-Timestamp}`,
	`{scheme: hmac-sha256, header: X, secret: parameters.secret, timestamp: {}}`,
	`{scheme: hmac-sha256, header: X, secret: parameters.secret, timestamp: {header: X-Timestamp}}`,
	`{scheme: hmac-sha256, header: X, secret: parameters.secret, timestamp: {field: sent}, signed: "{body.other}"}`,
	`{scheme: hmac-sha256, header: X, secret: parameters.secret, signed: "{timestamp}{body}", timestamp: {part: t=}}`,
	`{scheme: hmac-sha256, header: X, separator: ",", prefix: v1=, secret: parameters.secret, signed: "{timestamp}{body}", timestamp: {part: v1=, header: Y, unit: sec, tolerance: -5m, tolarance: 5}}`,
	`{scheme: hmac-sha256, header: X, secret: parameters.secret, signed: "{timestamp}{body}", timestamp: {header: T, tolerance: 0s}}`,
	`{scheme: hmac-sha256, header: X, secret: parameters.secret, bodyHash: {query: h}}`,
	`{scheme: hmac-sha256, header: X, secret: parameters.secret, bodyHash: {claim: h}}`,
	`{scheme: hmac-sha256, field: sig, secret: parameters.secret}`,
	`{scheme: hmac-sha256, each: items, field: sig, signed: "{item.x}", secret: parameters.secret}`,
	`{scheme: hmac-sha256, each: "items[*", field: sig, signed: "{item.x}", secret: parameters.secret}`,
	`{scheme: sha256, header: X, secret: parameters.secret}`,
	`{scheme: ecdsa-p256, header: X, publicKey: parameters.key, signatureFormat: dre, keyEncoding: utf8}`,
	`{scheme: rsa-sha256, header: X}`,
	`{scheme: absent, field: a}`,
	`{scheme: absent}`,
	`{any: [{scheme: absent, field: a}, {scheme: token, header: X, secret: parameters.a}]}`,
	`{all: [{scheme: absent, query: a, prefix: b}, {scheme: absent, header: c}]}`,
	`{scheme: rsa-sha256, header: X, certificate: {allow: ["http://a.example/*", "https://*.com/x", "https://a.example", "https://a.example:8443/x", "https://a.example/x?y", 5]}}`,
	`{scheme: rsa-sha256, header: X, certificate: {field: url, chain: false, hosts: []}}`,
	`{scheme: jwt-rs256, jwks: "http://a.example/keys"}`,
	`{scheme: jwt-rs256, jwks: not a url, publicKey: parameters.key, claims: {exp: 5, aud: [], iss: "{issuer}", sub: {a: b}}}`,
	`{scheme: jwt-hs256, secret: parameters.secret, leeway: 5, maxAge: 0s, bodyHash: {}, claims: [aud]}`,
	`{scheme: standard-webhooks, header: X, secret: parameters.secret, headerPrefix: "a b", tolerance: never}`,
	`{scheme: token, header: X}`,
	`{scheme: basic, username: parameters.u}`,
	`{any: [{scheme: token, header: X, secret: parameters.secret}]}`,
	`{any: [none, {scheme: token, header: X, secret: parameters.secret}], scheme: token}`,
	`{all: {scheme: token}}`,
	`{any: [{any: [{any: [{any: [{any: [{any: [none, none]}, none]}, none]}, none]}, none]}, none]}`,
}

func TestMistakes(t *testing.T) {
	var b strings.Builder
	for _, yaml := range mistakes {
		doc, list := document.Parse("spec.yml", []byte(yaml))
		if list.HasErrors() {
			t.Fatalf("YAML: %v\n%s", list, yaml)
		}
		s, list := verify.Parse(doc.Root)
		if s != nil || !list.HasErrors() {
			t.Errorf("no error for %s", yaml)
		}
		b.WriteString("# " + strings.ReplaceAll(yaml, "\n", "\n# ") + "\n")
		for _, d := range list {
			d.Snippet = diagnostic.Snippet{}
			if d.Line == 0 || d.Column == 0 || d.Code == "" {
				t.Errorf("without a place or code: %v", d)
			}
			b.WriteString(d.Error() + "\n")
		}
		b.WriteString("\n")
	}
	golden(t, "testdata/mistakes.golden", b.String())
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (go test -update rewrites it):\n%s", path, diff)
	}
}
