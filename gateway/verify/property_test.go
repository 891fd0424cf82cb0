package verify_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchhook/gateway/hook"
	"switchhook/gateway/verify"
	"switchhook/spec/document"
)

// Whatever the settings, what is signed verifies, and what differs in a bit
// does not.
func TestSignedVerifies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		of := func(name string, values ...string) string { return rapid.SampledFrom(values).Draw(t, name) }
		algorithm := of("scheme", "hmac-sha1", "hmac-sha256", "hmac-sha512", "sha256")
		yaml := "scheme: " + algorithm + "\n"
		switch of("place", "header", "headers", "pattern", "query", "parts") {
		case "header":
			yaml += "header: X-Signature\n"
		case "headers":
			yaml += "header: [X-Signature, Y-Signature]\n"
		case "pattern":
			yaml += "header: X-*-Signature\n"
		case "query":
			yaml += "query: signature\n"
		case "parts":
			yaml += "header: X-Signature\nseparator: " + strconv.Quote(of("separator", ",", ";", " ", "|")) + "\n"
			if rapid.Bool().Draw(t, "dated") {
				yaml += "timestamp: {part: t=, unit: " + of("unit", "s", "ms", "rfc3339") + "}\n"
			}
		}
		if p := of("prefix", "", "v1=", "sha256=", "x "); p != "" && !strings.Contains(yaml, "separator: \" \"") {
			yaml += "prefix: " + strconv.Quote(p) + "\n"
		}
		signed := of("signed", "{body}", "{body}{url}", "{method}.{path}?{query}.{body}", "{decodedUrl}\\n{body}", "{bodySHA256}", "{header.X-Id}.{body}")
		if strings.Contains(yaml, "query: signature") {
			signed = of("signed without url", "{body}", "{method}.{path}.{body}", "{bodySHA256}", "{header.X-Id}.{body}")
		}
		if algorithm == "sha256" {
			signed = "{secret}" + signed
		}
		if strings.Contains(yaml, "timestamp") {
			signed = "{timestamp}." + signed
		} else if of("timestamp", "none", "header") == "header" {
			signed = "{timestamp}." + signed
			yaml += "timestamp: {header: X-Time, unit: " + of("unit", "s", "ms", "rfc3339") + ", tolerance: 1m}\n"
		}
		yaml += "signed: \"" + signed + "\"\nencoding: " + of("encoding", "hex", "base64", "base64url") + "\n"
		secret := rapid.SliceOfN(rapid.Byte(), 1, 80).Draw(t, "secret")
		written := ""
		switch e := of("keyEncoding", "utf8", "hex", "base64", "base64url"); e {
		case "utf8":
			written = "k" + hex.EncodeToString(secret)
			yaml += "secret: parameters.secret\n"
		case "hex":
			written = hex.EncodeToString(secret)
			yaml += "secret: parameters.secret\nkeyEncoding: hex\n"
		case "base64":
			written = "key_" + base64.StdEncoding.EncodeToString(secret)
			yaml += "secret: parameters.secret\nkeyEncoding: base64\nkeyPrefix: key_\n"
		case "base64url":
			written = base64.RawURLEncoding.EncodeToString(secret)
			yaml += "secrets: [parameters.missing, parameters.secret]\nkeyEncoding: base64url\n"
		}
		doc, list := document.Parse("spec.yml", []byte(yaml))
		if list.HasErrors() {
			t.Fatalf("%v\n%s", list, yaml)
		}
		s, list := verify.Parse(doc.Root)
		if len(list) > 0 {
			t.Fatalf("%v\n%s", list, yaml)
		}
		v, err := s.Bind([]byte(`{"secret": `+strconv.Quote(written)+`}`), verify.Options{})
		if err != nil {
			t.Fatalf("%v\n%s", err, yaml)
		}
		content := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "body")
		now := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "now"), 0)
		req := request(of("method", "GET", "POST", "PUT"), of("url", "https://gw.example/a/b?x=1&y=%2F%3A", "http://gw.example:8080/a"), string(content))
		if err := v.Sign(req, nil, now); err != nil {
			t.Fatalf("Sign: %v\n%s", err, yaml)
		}
		if err := check(v, req, now); err != nil {
			t.Fatalf("Verify: %v\n%s", err, yaml)
		}
		bad := clone(req)
		what := of("change", "body", "headers", "secret", "clock", "tampered")
		switch {
		case what == "body" && len(content) > 0:
			bad.Body[rapid.IntRange(0, len(content)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		case what == "headers":
			bad.Headers, bad.Query = hook.Headers{}, ""
		case what == "clock" && strings.Contains(yaml, "timestamp"):
			now = now.Add(rapid.SampledFrom([]time.Duration{-time.Hour, time.Hour}).Draw(t, "shift"))
		case what == "tampered":
			if err := v.SignTampered(bad, nil, now); err != nil {
				t.Fatal(err)
			}
		default:
			if v, err = s.Bind(fmt.Appendf(nil, `{"secret": %q}`, written+"BBBB"), verify.Options{}); err != nil {
				t.Skip()
			}
		}
		if err := check(v, bad, now); err == nil {
			t.Fatalf("accepted with another %s\n%s", what, yaml)
		}
	})
}
