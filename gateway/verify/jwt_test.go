package verify_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"switchhook/gateway/verify"
)

const audienceYAML = `{scheme: jwt-rs256, jwks: https://keys.example/jwks, claims: {aud: me, email_verified: true, level: 3}}`

func token(t *testing.T, method jwt.SigningMethod, key any, claims map[string]any, header map[string]any) string {
	t.Helper()
	tok := jwt.NewWithClaims(method, jwt.MapClaims(claims))
	for k, v := range header {
		tok.Header[k] = v
	}
	s, err := tok.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestJWT(t *testing.T) {
	rsaKey, publicPEM := keys().rsa, pemSPKI(t, &keys().rsa.PublicKey)
	opt := verify.Options{Keys: verify.NewKeys(fakeFetcher{"https://keys.example/jwks": keys().jwks})}
	hs := bind(t, `{scheme: jwt-hs256, secret: parameters.secret}`, parameters{"secret": "s3cret"})
	pinned := bind(t, `{scheme: jwt-rs256, publicKey: parameters.publicKey}`, parameters{"publicKey": publicPEM})
	fetched := bind(t, audienceYAML, nil, opt)
	fresh := bind(t, `{scheme: jwt-hs256, secret: parameters.secret, maxAge: 1m, leeway: 0s}`, parameters{"secret": "s3cret"})
	hashed := bind(t, `{scheme: jwt-hs256, secret: parameters.secret, bodyHash: {claim: hash}}`, parameters{"secret": "s3cret"})
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	unix := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	valid := func(extra ...any) map[string]any {
		c := map[string]any{"exp": unix(time.Minute), "aud": "me", "email_verified": true, "level": 3}
		for i := 0; i < len(extra); i += 2 {
			if extra[i+1] == nil {
				delete(c, extra[i].(string))
			} else {
				c[extra[i].(string)] = extra[i+1]
			}
		}
		return c
	}
	kid := map[string]any{"kid": "one"}
	hs256, rs256 := jwt.SigningMethodHS256, jwt.SigningMethodRS256
	tests := []struct {
		name, token string
		v           *verify.Verifier
		want        string // "" for accepted
	}{
		{"hs256", token(t, hs256, []byte("s3cret"), valid(), nil), hs, ""},
		{"rs256", token(t, rs256, rsaKey, valid(), nil), pinned, ""},
		{"key set", token(t, rs256, rsaKey, valid(), kid), fetched, ""},
		{"key set, no kid", token(t, rs256, rsaKey, valid(), nil), fetched, ""},
		{"audience in a list", token(t, rs256, rsaKey, valid("aud", []string{"you", "me"}), kid), fetched, ""},
		{"leeway", token(t, hs256, []byte("s3cret"), valid("exp", unix(-29*time.Second)), nil), hs, ""},
		{"iat instead of exp", token(t, hs256, []byte("s3cret"), valid("exp", nil, "iat", unix(-5*time.Minute)), nil), hs, ""},

		{"another secret", token(t, hs256, []byte("s3creT"), valid(), nil), hs, "not signed with HS256 by a key that is known"},
		{"none", token(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, valid(), nil), hs, "not signed with HS256"},
		{"none for rs256", token(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, valid(), nil), pinned, "not signed with RS256"},
		{"another algorithm of the family", token(t, jwt.SigningMethodHS512, []byte("s3cret"), valid(), nil), hs, "not signed with HS256"},
		{"public key as a secret", token(t, hs256, []byte(publicPEM), valid(), nil), pinned, "not signed with RS256"},
		{"pss", token(t, jwt.SigningMethodPS256, rsaKey, valid(), nil), pinned, "not signed with RS256"},
		{"another key", token(t, rs256, stranger, valid(), kid), fetched, "not signed with RS256 by a key that is known"},
		{"unknown kid", token(t, rs256, stranger, valid(), map[string]any{"kid": "three"}), fetched, "a key that the key set does not have"},
		{"kid of a key of another kind", token(t, rs256, rsaKey, valid(), map[string]any{"kid": "two"}), fetched, "a key that the key set does not have"},
		{"key in the token", token(t, rs256, stranger, valid(), map[string]any{"jwk": map[string]any{"kty": "RSA", "n": base64.RawURLEncoding.EncodeToString(stranger.N.Bytes()), "e": "AQAB"}, "jku": "https://evil.example/"}), pinned, "not signed with RS256"},
		{"crit", token(t, hs256, []byte("s3cret"), valid(), map[string]any{"crit": []string{"b64"}, "b64": false}), hs, "\"crit\" header"},
		{"expired", token(t, hs256, []byte("s3cret"), valid("exp", unix(-31*time.Second)), nil), hs, "the token has expired"},
		{"not yet", token(t, hs256, []byte("s3cret"), valid("nbf", unix(time.Minute)), nil), hs, "the token is not valid yet"},
		{"from the future", token(t, hs256, []byte("s3cret"), valid("iat", unix(time.Minute)), nil), hs, "the token is not valid yet"},
		{"no time at all", token(t, hs256, []byte("s3cret"), valid("exp", nil), nil), hs, "neither when it expires (exp) nor when it was made (iat)"},
		{"old without exp", token(t, hs256, []byte("s3cret"), valid("exp", nil, "iat", unix(-6*time.Minute)), nil), hs, "the token is 6m old, the greatest age is 5m"},
		{"exp is text", token(t, hs256, []byte("s3cret"), valid("exp", "tomorrow"), nil), hs, "the token's claims are not well formed"},
		{"older than maxAge", token(t, hs256, []byte("s3cret"), valid("iat", unix(-61*time.Second)), nil), fresh, "the token is 1m1s old, the greatest age is 1m"},
		{"no iat for maxAge", token(t, hs256, []byte("s3cret"), valid(), nil), fresh, "when it was made (iat)"},
		{"wrong audience", token(t, rs256, rsaKey, valid("aud", "you"), kid), fetched, "claim aud is not what it has to be"},
		{"audience in an empty list", token(t, rs256, rsaKey, valid("aud", []string{}), kid), fetched, "claim aud is not what it has to be"},
		{"no audience", token(t, rs256, rsaKey, valid("aud", nil), kid), fetched, "claim aud is missing"},
		{"text for true", token(t, rs256, rsaKey, valid("email_verified", "true"), kid), fetched, "claim email_verified is not what it has to be"},
		{"false for true", token(t, rs256, rsaKey, valid("email_verified", false), kid), fetched, "claim email_verified"},
		{"another number", token(t, rs256, rsaKey, valid("level", 2), kid), fetched, "claim level"},
		{"map for a number", token(t, rs256, rsaKey, valid("level", map[string]any{"x": 3}), kid), fetched, "claim level"},
		{"no body hash", token(t, hs256, []byte("s3cret"), valid(), nil), hashed, "claim hash is missing"},
		{"wrong body hash", token(t, hs256, []byte("s3cret"), valid("hash", strings.Repeat("00", 32)), nil), hashed, "the body is not the one whose hash was sent"},
		{"not a token", "x.y", hs, "not a well-formed JWT"},
		{"not JSON", "e30.eA.eA", hs, "not a well-formed JWT"},
		{"long", strings.Repeat("x", 20000), hs, "longer than 16384 bytes"},
		{"empty", "", hs, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			req := request("POST", "", "body", "Authorization", "Bearer "+test.token)
			if test.want == "" && test.token != "" {
				accepted(t, test.v, req, noon)
			} else {
				refused(t, test.v, req, noon, test.want)
			}
		})
	}
	two := request("POST", "", "", "Authorization", "Bearer "+tests[0].token, "Authorization", "Bearer x.y.z")
	refused(t, hs, two, noon, "header Authorization stands there twice")
	refused(t, hs, request("POST", "", "", "Authorization", tests[0].token), noon, `header Authorization does not begin with "Bearer "`)

	// One text for one signature: unused bits of base64 are zero.
	good := tests[0].token
	alphabet := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, good[len(good)-1])
	refused(t, hs, request("POST", "", "", "Authorization", "Bearer "+good[:len(good)-1]+string(alphabet[last^1])), noon, "")
}

func TestOptionalClaims(t *testing.T) {
	const yaml = `{scheme: jwt-hs256, secret: parameters.secret, claims: {aud: ["parameters.audience?", "{url}"], iss: "https://{parameters.host}/"}}`
	for _, test := range []struct {
		audience any
		aud      string
		ok       bool
	}{
		{nil, "https://gw.example/demo/app/events/token", true}, {nil, "other", false}, {nil, "", false},
		{"a", "a", true}, {"a", "https://gw.example/demo/app/events/token", true}, {[]string{"a", "b"}, "b", true}, {"a", "b", false},
	} {
		p := parameters{"secret": "s", "host": "h"}
		if test.audience != nil {
			p["audience"] = test.audience
		}
		v := bind(t, yaml, p)
		req := request("POST", "", "", "Authorization", "Bearer "+token(t, jwt.SigningMethodHS256, []byte("s"),
			map[string]any{"exp": noon.Add(time.Minute).Unix(), "aud": test.aud, "iss": "https://h/"}, nil))
		if test.ok {
			accepted(t, v, req, noon)
		} else {
			refused(t, v, req, noon, "claim aud")
		}
	}
	_, err := scheme(t, `{scheme: jwt-hs256, secret: parameters.secret, claims: {aud: "parameters.audience?"}}`).Bind([]byte(`{"secret":"s"}`), verify.Options{})
	if err == nil || !strings.Contains(err.Error(), "there is nothing to compare claim aud with") {
		t.Errorf("Bind = %v", err)
	}
}

// Large numbers are compared as they are written.
func TestNumberClaims(t *testing.T) {
	v := bind(t, `{scheme: jwt-hs256, secret: parameters.secret, claims: {id: 9007199254740993}}`, parameters{"secret": "s"})
	for id, ok := range map[string]bool{"9007199254740993": true, "9007199254740992": false} {
		req := request("POST", "", "", "Authorization", "Bearer "+token(t, jwt.SigningMethodHS256, []byte("s"),
			map[string]any{"exp": noon.Add(time.Minute).Unix(), "id": json.RawMessage(id)}, nil))
		if ok {
			accepted(t, v, req, noon)
		} else {
			refused(t, v, req, noon, "claim id")
		}
	}
}
