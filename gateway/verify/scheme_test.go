package verify_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"switchhook/gateway/body"
	"switchhook/gateway/verify"
)

// Examples that providers publish beside those in vectors.json.
func TestPublishedExamples(t *testing.T) {
	const form = formType
	twilioBody := func(pairs ...string) string {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Add(pairs[i], pairs[i+1])
		}
		return v.Encode()
	}
	tests := []struct {
		name, yaml, secret           string
		method, url, body            string
		header, signature, mediaType string
	}{
		// https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests
		{"hubspot v1", `{scheme: sha256, header: X-HubSpot-Signature, signed: "{secret}{body}", secret: parameters.secret}`,
			"yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy", "POST", "",
			`[{"eventId":1,"subscriptionId":12345,"portalId":62515,"occurredAt":1564113600000,"subscriptionType":"contact.creation","attemptNumber":0,"objectId":123,"changeSource":"CRM","changeFlag":"NEW","appId":54321}]`,
			"X-HubSpot-Signature", "232db2615f3d666fe21a8ec971ac7b5402d33b9a925784df3ca654d05f4817de", jsonType},
		{"hubspot v2, GET", `{scheme: sha256, header: X-HubSpot-Signature, signed: "{secret}{method}{url}{body}", secret: parameters.secret}`,
			"yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy", "GET", "https://www.example.com/webhook_uri", "",
			"X-HubSpot-Signature", "eee2dddcc73c94d699f5e395f4b9d454a069a6855fbfa152e91e88823087200e", ""},
		{"hubspot v2, POST", `{scheme: sha256, header: X-HubSpot-Signature, signed: "{secret}{method}{url}{body}", secret: parameters.secret}`,
			"yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy", "POST", "https://www.example.com/webhook_uri", `{"example_field":"example_value"}`,
			"X-HubSpot-Signature", "9569219f8ba981ffa6f6f16aa0f48637d35d728c7e4d93d0d52efaa512af7900", jsonType},
		// https://www.twilio.com/docs/usage/security#validating-requests
		{"twilio", twilio, "12345", "POST", "https://mycompany.com/myapp.php?foo=1&bar=2",
			twilioBody("CallSid", "CA1234567890ABCDE", "Caller", "+14158675309", "Digits", "1234", "From", "+14158675309", "To", "+18005551212"),
			"X-Twilio-Signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8=", form},
		{"twilio, repeated fields", twilio, "12345", "POST", "https://mycompany.com/myapp.php?foo=1&bar=2",
			twilioBody("Sid", "CA123", "SidAccount", "AC123", "Digits", "5678", "Digits", "1234", "Digits", "1234"),
			"X-Twilio-Signature", "IK+Dwps556ElfBT0I3Rgjkr1wJU=", form},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := bind(t, test.yaml, parameters{"secret": test.secret})
			req := request(test.method, test.url, test.body, test.header, test.signature, "Content-Type", test.mediaType)
			accepted(t, v, req, noon)
			req.Body = append(clone(req).Body, ' ')
			refused(t, v, req, noon, "")
		})
	}

	t.Run("adyen", func(t *testing.T) { // https://docs.adyen.com/development-resources/webhooks/verify-hmac-signatures/
		v := bind(t, providerYAML(t, "adyen"), parameters{"secret": "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"})
		item := func(signature, amount string) string {
			return `{"NotificationRequestItem":{"amount":{"value":` + amount + `,"currency":"EUR"},"pspReference":"7914073381342284","eventCode":"AUTHORISATION","merchantAccountCode":"TestMerchant","merchantReference":"TestPayment-1407325143704","success":"true","additionalData":{"hmacSignature":"` + signature + `"}}}`
		}
		const right = "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="
		batch := func(items ...string) string { return `{"notificationItems":[` + strings.Join(items, ",") + `]}` }
		accepted(t, v, request("POST", "", batch(item(right, "1130"))), noon)
		accepted(t, v, request("POST", "", batch(item(right, "1130"), item(right, "1130"))), noon)
		refused(t, v, request("POST", "", batch(item(right, "1131"))), noon, "item 1: the signature does not match")
		refused(t, v, request("POST", "", batch(item(right, "1130"), item(right, "1"))), noon, "item 2: the signature does not match")
		refused(t, v, request("POST", "", batch(item(right, "1130"), `{"NotificationRequestItem":{}}`)), noon, "item 2: item.additionalData.hmacSignature is missing")
		refused(t, v, request("POST", "", batch(item(right, "1130"), `{"Other":{}}`)), noon, "or an item of it has not")
		refused(t, v, request("POST", "", batch()), noon, "is empty")
		refused(t, v, request("POST", "", `{}`), noon, "nothing at notificationItems[*]")
		refused(t, v, request("POST", "", ``), noon, "the body has no fields")
		// What is signed and what the handler would see must be the same.
		twice := strings.Replace(batch(item(right, "1130")), `"success":"true"`, `"success":"true","success":"false"`, 1)
		refused(t, v, request("POST", "", twice), noon, `the key "success" stands twice in the body`)
		twice = strings.Replace(batch(item(right, "1130")), `{"notificationItems"`, `{"notificationItems":[],"notificationItems"`, 1)
		refused(t, v, request("POST", "", twice), noon, `the key "notificationItems" stands twice in the body`)
		twice = strings.Replace(batch(item(right, "1130")), `"success":"true"`, `"success":"true","s\u0075ccess":"false"`, 1)
		refused(t, v, request("POST", "", twice), noon, `the key "success" stands twice in the body`)
	})
}

func providerYAML(t *testing.T, name string) string {
	t.Helper()
	for _, p := range providers {
		if p.name == name {
			return p.yaml
		}
	}
	t.Fatalf("no provider %q", name)
	return ""
}

// Our Standard Webhooks and those of the official library understand each other.
func TestStandardWebhooksLibrary(t *testing.T) {
	secret := "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	v := bind(t, `{scheme: standard-webhooks, secret: parameters.secret}`, parameters{"secret": secret})
	library, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := library.Sign("msg_1", noon, []byte("payload"))
	if err != nil {
		t.Fatal(err)
	}
	req := request("POST", "", "payload", "Webhook-Id", "msg_1", "Webhook-Timestamp", strconv.FormatInt(noon.Unix(), 10), "Webhook-Signature", "v1,AAAA "+signature+" v2,x")
	accepted(t, v, req, noon)
	ours := request("POST", "", "payload", "webhook-id", "msg_1")
	if err := v.Sign(ours, nil, noon); err != nil {
		t.Fatal(err)
	}
	if got := ours.Headers.Get("webhook-signature"); got != signature {
		t.Errorf("webhook-signature = %q, the library says %q", got, signature)
	}
	// Without the prefix the secret is the same.
	accepted(t, bind(t, `{scheme: standard-webhooks, secret: parameters.secret}`, parameters{"secret": secret[6:]}), req, noon)
	// Rotation: symmetric and asymmetric keys may stand in one list.
	mixed := bind(t, `{scheme: standard-webhooks, secret: parameters.secret}`, parameters{"secret": []string{"whpk_" + base64.StdEncoding.EncodeToString(make([]byte, 32)), secret}})
	accepted(t, mixed, req, noon)
	for want, change := range map[string]func(){
		"header webhook-signature is missing": func() { req.Headers = req.Headers[:2] },
		`has no part that begins with "v1,"`:  func() { req.Headers.Set("webhook-signature", "v1a,"+signature[3:]) },
		"the signature does not match": func() {
			req.Headers.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(make([]byte, 32)))
		},
		"header webhook-id is missing":                  func() { req.Headers = req.Headers[1:] },
		"the signature is not 32 bytes in base64":       func() { req.Headers.Set("webhook-signature", "v1,AAAA") },
		"the timestamp is not a number of seconds":      func() { req.Headers.Set("webhook-timestamp", "1e9") },
		"the timestamp is 1h old, tolerance is 5m":      func() { req.Headers.Set("webhook-timestamp", strconv.FormatInt(noon.Unix()-3600, 10)) },
		"the timestamp is 12m4s in the future":          func() { req.Headers.Set("webhook-timestamp", strconv.FormatInt(noon.Unix()+724, 10)) },
		"header webhook-id stands there twice":          func() { req.Headers = append(req.Headers, req.Headers[0]) },
		"header webhook-signature has more than 128":    func() { req.Headers.Set("webhook-signature", strings.Repeat("v1,AAAA ", 129)) },
		"header webhook-signature has no part that beg": func() { req.Headers.Set("webhook-signature", "") },
	} {
		before := clone(req)
		change()
		refused(t, v, req, noon, want)
		req = before
	}
}

func TestSecretsRotate(t *testing.T) {
	const yaml = `{scheme: hmac-sha256, header: X-Signature, secrets: [parameters.current, parameters.previous, state.remembered]}`
	old := bind(t, bare256, parameters{"secret": "old"})
	req := request("POST", "", "x")
	if err := old.Sign(req, nil, noon); err != nil {
		t.Fatal(err)
	}
	accepted(t, bind(t, yaml, parameters{"current": "new", "previous": "old"}), req, noon)
	accepted(t, bind(t, yaml, parameters{"current": []string{"new", "newer", "old"}}), req, noon)
	accepted(t, bind(t, yaml, parameters{"current": "new"}), req, noon, map[string]string{"remembered": "old"})
	refused(t, bind(t, yaml, parameters{"current": "new", "previous": "newer"}), req, noon, "the signature does not match the body (checked with 2 secrets)")
	refused(t, bind(t, yaml, parameters{}), req, noon, "state.remembered is not remembered yet: the handshake has not taken place")
	refused(t, bind(t, yaml, parameters{}), req, noon, "is not remembered yet", map[string]string{"remembered": " "})
}

// Nothing is ever verified with an empty secret.
func TestNoSecretNoVerifier(t *testing.T) {
	schemes := map[string][]string{
		bare256: {"secret"},
		`{scheme: sha256, header: X-Signature, signed: "{secret}{body}", secret: parameters.secret}`: {"secret"},
		`{scheme: token, header: X-Token, secret: parameters.secret}`:                                {"secret"},
		`{scheme: jwt-hs256, secret: parameters.secret}`:                                             {"secret"},
		`{scheme: standard-webhooks, secret: parameters.secret}`:                                     {"secret"},
		`{scheme: basic, username: parameters.secret, password: parameters.password}`:                {"secret", "password"},
		`{scheme: ed25519, header: X-Signature, publicKey: parameters.secret}`:                       {"secret"},
		`{any: [` + bare256 + `, {scheme: token, header: X-Token, secret: parameters.secret}]}`:      {"secret"},
		`{all: [` + bare256 + `, {scheme: token, header: X-Token, secret: parameters.token}]}`:       {"secret", "token"},
	}
	for yaml, names := range schemes {
		s := scheme(t, yaml)
		if got := s.ParameterNames(); len(got) != len(names) {
			t.Errorf("%s: ParameterNames = %v, want %v", yaml, got, names)
		}
		for _, value := range []string{`{}`, `{"%s": null}`, `{"%s": ""}`, `{"%s": "  "}`, `{"%s": []}`, `{"%s": [""]}`, `{"%s": ["x", ""]}`, `{"%s": 5}`, `{"%s": {"a": "b"}}`, `[]`, `nonsense`, ``} {
			p := value
			if strings.Contains(value, "%s") {
				p = fmt.Sprintf(value, "secret")
			}
			v, err := s.Bind([]byte(p), verify.Options{})
			if err == nil {
				t.Errorf("Bind of %s with %s: no error, %v", yaml, p, v)
				continue
			}
			var list verify.ParameterErrors
			if !errors.As(err, &list) || len(list) == 0 {
				t.Errorf("Bind of %s with %s: %T, want ParameterErrors", yaml, p, err)
			}
		}
	}
	// What is remembered may be empty only later.
	for _, yaml := range []string{
		`{scheme: hmac-sha256, header: X-Signature, secret: state.secret}`, `{scheme: token, header: X-Signature, secret: state.secret}`,
		`{scheme: sha256, header: X-Signature, signed: "{secret}{body}", secret: state.secret}`, `{scheme: jwt-hs256, header: X-Signature, secret: state.secret}`,
		`{scheme: basic, username: state.secret, password: state.secret}`,
	} {
		v := bind(t, yaml, nil)
		for _, state := range []map[string]string{nil, {"secret": ""}, {"other": "x"}} {
			// The signatures that an empty key would make.
			for _, s := range []string{"b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad", "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"} {
				refused(t, v, request("POST", "", "", "X-Signature", s, "Authorization", "Basic Og=="), noon, "", state)
			}
		}
	}
}

func TestBindSaysAllThatIsWrong(t *testing.T) {
	tests := []struct{ yaml, parameters, want string }{
		{bare256, `{}`, "parameters.secret is missing"},
		{bare256, `{"secret": 5}`, "parameters.secret is not a string, or a list of strings"},
		{`{all: [` + bare256 + `, {scheme: token, header: X-Token, secret: parameters.token}]}`, `{}`, "parameters.secret is missing; parameters.token is missing"},
		{`{any: [` + bare256 + `, {scheme: token, header: X-Token, secret: parameters.token}]}`, `{}`, "parameters.secret is missing; parameters.token is missing"},
		{`{any: [` + bare256 + `, {scheme: token, header: X-Token, secret: parameters.token}]}`, `{"secret": "x", "token": ""}`, "parameters.token is empty"},
		{`{scheme: hmac-sha256, header: X, keyEncoding: hex, secret: parameters.secret}`, `{"secret": "topsecret"}`, "parameters.secret is not valid hex"},
		{`{scheme: standard-webhooks, secret: parameters.secret}`, `{"secret": "whsec_"}`, "parameters.secret is empty"},
		{`{scheme: standard-webhooks, secret: parameters.secret}`, `{"secret": "whsec_!topsecret"}`, "parameters.secret is not valid base64"},
		{`{scheme: standard-webhooks, secret: parameters.secret}`, `{"secret": "whpk_AAAA"}`, "parameters.secret is not a well-formed public key"},
		{`{scheme: ed25519, header: X, publicKey: parameters.publicKey}`, `{"publicKey": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}`, "parameters.publicKey is a private key, expected the public one"},
		{`{scheme: hmac-sha256, header: X, signed: "{parameters.url}{body}", secret: parameters.secret}`, `{"secret": "s"}`, "parameters.url is missing"},
		{`{scheme: hmac-sha256, header: X, signed: "{parameters.url}{body}", secret: parameters.secret}`, `{"secret": "s", "url": ""}`, "parameters.url is empty"},
		{`{scheme: jwt-hs256, secret: parameters.secret, claims: {iss: parameters.issuer}}`, `{"secret": "s"}`, "parameters.issuer is missing"},
		{`{scheme: jwt-rs256, jwks: parameters.jwks, claims: {aud: me}}`, `{"jwks": "http://x.example/"}`, "parameters.jwks: keys are only fetched over https"},
		{`{scheme: jwt-rs256, jwks: parameters.jwks, claims: {aud: me}}`, `{}`, "parameters.jwks is missing"},
	}
	for _, test := range tests {
		_, err := scheme(t, test.yaml).Bind([]byte(test.parameters), verify.Options{})
		if err == nil || err.Error() != test.want {
			t.Errorf("Bind of %s with %s:\n got %v\nwant %s", test.yaml, test.parameters, err, test.want)
		}
	}
}

func TestNames(t *testing.T) {
	s := scheme(t, `
any:
  - {scheme: hmac-sha256, header: X, signed: "{parameters.url}{body}", secrets: [parameters.a.b, state.z, state.y]}
  - {scheme: jwt-rs256, jwks: parameters.jwks, claims: {aud: parameters.audience, iss: "https://{parameters.host}/"}}
  - {scheme: basic, username: parameters.user, password: state.password}`)
	if diff := cmp.Diff([]string{"a", "audience", "host", "jwks", "url", "user"}, s.ParameterNames()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"password", "y", "z"}, s.StateNames()); diff != "" {
		t.Error(diff)
	}
	if got, want := s.Name(), "hmac-sha256 or jwt-rs256 or basic"; got != want {
		t.Errorf("Name = %q, want %q", got, want)
	}
	if s.None() {
		t.Error("None")
	}
	for yaml, want := range map[string]string{`none`: "none", `{scheme: none}`: "none", `{scheme: standard-webhooks, secret: parameters.secret}`: "standard-webhooks",
		`{all: [{scheme: token, field: a, secret: parameters.a}, {any: [{scheme: absent, field: b}, {scheme: hmac-sha1, header: B, secret: parameters.b}, {scheme: hmac-sha1, header: C, secret: parameters.b}]}]}`: "token and (absent or hmac-sha1)",
	} {
		if got := scheme(t, yaml); got.Name() != want || got.None() != (want == "none") {
			t.Errorf("%s: %s, %v", yaml, got.Name(), got.None())
		}
	}
	nested := bind(t, `{scheme: hmac-sha256, header: X, secret: parameters.a.b}`, parameters{"a": map[string]any{"b": "s"}})
	req := request("POST", "", "x")
	if err := nested.Sign(req, nil, noon); err != nil {
		t.Error(err)
	}
}

func TestReasons(t *testing.T) {
	basic := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	zeros := strings.Repeat("00", 32)
	stripe := providerYAML(t, "stripe")
	tests := []struct {
		yaml    string
		headers []string
		want    string
	}{
		{bare256, nil, "header X-Signature is missing"},
		{bare256, []string{"X-Signature", ""}, "the signature is not 32 bytes in hex"},
		{bare256, []string{"X-Signature", zeros[2:]}, "the signature is not 32 bytes in hex"},
		{bare256, []string{"x-signature", zeros}, "the signature does not match the body"},
		{`{scheme: hmac-sha256, header: X-S, prefix: sha256=, secret: parameters.secret}`, []string{"X-S", zeros}, `header X-S does not begin with "sha256="`},
		{`{scheme: hmac-sha256, header: [A, B-*], secret: parameters.secret}`, []string{"B", zeros}, "one of the headers A, B-* is missing"},
		{`{scheme: hmac-sha256, header: [A, B-*], secret: parameters.secret}`, []string{"b-77", zeros}, "the signature does not match the body"},
		{`{scheme: hmac-sha256, query: sig, secret: parameters.secret}`, nil, "query parameter sig is missing"},
		{`{scheme: hmac-sha256, field: a.sig, signed: "{body.x}", secret: parameters.secret}`, nil, "body.a.sig is missing"},
		{`{scheme: hmac-sha256, field: list, signed: "{body.x}", secret: parameters.secret}`, nil, "body.list is a list, not a string"},
		{`{scheme: hmac-sha256, field: a, signed: "{body.x}", secret: parameters.secret}`, nil, "body.a is a map, not a string"},
		{`{scheme: hmac-sha256, header: X-Signature, signed: "{url}{sortedForm}", secret: parameters.secret}`, []string{"X-Signature", zeros}, "the body is not a form"},
		{stripe, []string{"Stripe-Signature", "v1=" + zeros}, `the part "t=" with the timestamp is missing`},
		{stripe, []string{"Stripe-Signature", "t=1,t=2,v1=" + zeros}, `the part "t=" stands there twice`},
		{stripe, []string{"Stripe-Signature", "t=1"}, `header Stripe-Signature has no part that begins with "v1="`},
		{stripe, []string{"Stripe-Signature", "t=1,v1=" + zeros}, "the timestamp is 20455 days old, tolerance is 5m"},
		{stripe, []string{"Stripe-Signature", "t=" + strconv.FormatInt(noon.Unix(), 10) + ",v1=" + zeros}, `the signature does not match "{timestamp}.{body}"`},
		{stripe, []string{"Stripe-Signature", "t=999999999999999,v1=" + zeros}, "in the future, tolerance is 5m"},
		{stripe, []string{"Stripe-Signature", "t=-5,v1=" + zeros}, "the timestamp is not a number of seconds"},
		{`{scheme: token, header: X-T, secret: parameters.secret}`, nil, "header X-T is missing"},
		{`{scheme: token, header: X-T, secret: parameters.secret}`, []string{"X-T", "s3cre"}, "header X-T is not what parameters.secret says"},
		{`{scheme: token, header: X-T, secret: parameters.secret}`, []string{"X-T", "s3cret", "X-T", "evil"}, "header X-T is not what parameters.secret says"},
		{`{scheme: token, header: X-T, prefix: "Bearer ", secret: parameters.secret}`, []string{"X-T", "s3cret"}, `header X-T does not begin with "Bearer "`},
		{`{scheme: basic, username: parameters.secret, password: parameters.secret}`, nil, "header Authorization is missing"},
		{`{scheme: basic, username: parameters.secret, password: parameters.secret}`, []string{"Authorization", "Bearer x"}, "is not of the Basic scheme"},
		{`{scheme: basic, username: parameters.secret, password: parameters.secret}`, []string{"Authorization", "Basic !"}, "is not well formed"},
		{`{scheme: basic, username: parameters.secret, password: parameters.secret}`, []string{"Authorization", basic("s3cret")}, "is not well formed"},
		{`{scheme: basic, username: parameters.secret, password: parameters.secret}`, []string{"Authorization", basic("s3cret:x")}, "the user name or the password is wrong"},
		{`{scheme: basic, username: parameters.secret, password: parameters.secret}`, []string{"Authorization", basic("x:s3cret")}, "the user name or the password is wrong"},
		{`{scheme: basic, username: parameters.secret, password: parameters.secret}`, []string{"Authorization", basic("s3cret:s3cret"), "Authorization", "Basic x"}, "stands there twice"},
		{`{any: [` + bare256 + `, {scheme: token, header: X-T, secret: parameters.secret}]}`, []string{"X-T", "no"},
			"none of the 2 ways is met: hmac-sha256: header X-Signature is missing; token: header X-T is not what parameters.secret says"},
		{`{all: [` + bare256 + `, {scheme: token, header: X-T, secret: parameters.secret}]}`, []string{"X-T", "s3cret"}, "header X-Signature is missing"},
	}
	for _, test := range tests {
		v := bind(t, test.yaml, parameters{"secret": "s3cret"})
		req := request("POST", "", `{"a": {}, "list": ["x"]}`, append([]string{"Content-Type", jsonType}, test.headers...)...)
		refused(t, v, req, noon, test.want)
		if err := check(v, req, noon); err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the reason has the secret: %v", err)
		}
	}
	ok := bind(t, `{scheme: basic, username: parameters.secret, password: parameters.secret}`, parameters{"secret": "s3cret"})
	accepted(t, ok, request("POST", "", "", "Authorization", "bAsIc "+base64.StdEncoding.EncodeToString([]byte("s3cret:s3cret"))), noon)
}

func TestHexInEitherCaseAndUnpaddedBase64(t *testing.T) {
	for encoding, variants := range map[string][]func(string) string{
		"hex":       {strings.ToUpper},
		"base64":    {func(s string) string { return strings.TrimRight(s, "=") }},
		"base64url": {func(s string) string { return s + "=" }},
	} {
		v := bind(t, `{scheme: hmac-sha256, header: X-Signature, encoding: `+encoding+`, secret: parameters.secret}`, parameters{"secret": "s"})
		req := request("POST", "", "body")
		if err := v.Sign(req, nil, noon); err != nil {
			t.Fatal(err)
		}
		signature := req.Headers.Get("X-Signature")
		for _, change := range variants {
			req.Headers.Set("X-Signature", change(signature))
			accepted(t, v, req, noon)
		}
		for _, bad := range []string{signature + "\n", " " + signature, signature + "==", signature[:10] + "\r\n" + signature[10:], signature + "A"} {
			req.Headers.Set("X-Signature", bad)
			refused(t, v, req, noon, "")
		}
	}
}

// A provider may sign the URL with or without its port.
func TestURLPorts(t *testing.T) {
	const yaml = `{scheme: hmac-sha256, header: X-Signature, signed: "{url}{body}", secret: parameters.secret}`
	v := bind(t, yaml, parameters{"secret": "s"})
	for ours, theirs := range map[string]string{
		"https://gw.example/a?b=c:d":    "https://gw.example:443/a?b=c:d",
		"http://gw.example/a":           "http://gw.example:80/a",
		"https://gw.example:8443/a:1":   "https://gw.example/a:1",
		"https://[2001:db8::1]/a":       "https://[2001:db8::1]:443/a",
		"https://[2001:db8::1]:8443/a":  "https://[2001:db8::1]/a",
		"https://gw.example?x":          "https://gw.example:443?x",
		"https://gw.example:443/demo/a": "https://gw.example/demo/a",
	} {
		signed := request("POST", theirs, "x")
		if err := v.Sign(signed, nil, noon); err != nil {
			t.Fatal(err)
		}
		signature := signed.Headers.Get("X-Signature")
		accepted(t, v, request("POST", ours, "x", "X-Signature", signature), noon)
		refused(t, v, request("POST", ours+"y", "x", "X-Signature", signature), noon, "does not match")
		refused(t, v, request("POST", strings.Replace(ours, "://", "://x", 1), "x", "X-Signature", signature), noon, "does not match")
	}
}

func TestTwilioJSON(t *testing.T) {
	v := bind(t, twilio, parameters{"secret": "12345"})
	body := `{"property": "value", "boolean": true}`
	req := request("POST", "https://mycompany.com/myapp.php?foo=1&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620", body, "Content-Type", jsonType)
	urlOnly := bind(t, `{scheme: hmac-sha1, header: X-Twilio-Signature, encoding: base64, signed: "{url}", secret: parameters.secret}`, parameters{"secret": "12345"})
	if err := urlOnly.Sign(req, nil, noon); err != nil {
		t.Fatal(err)
	}
	accepted(t, v, req, noon)
	changed := clone(req)
	changed.Body[3] ^= 1
	refused(t, v, changed, noon, "the body is not the one whose hash was sent")
	// Not by calling the changed body something else either: an unread form would count as empty.
	changed.Headers.Set("Content-Type", "text/plain")
	refused(t, v, changed, noon, "the body is not a form")
	changed.Headers.Set("Content-Type", formType)
	refused(t, v, changed, noon, "")
	double := request("POST", req.URL+"&bodySHA256=00", body, "Content-Type", jsonType)
	if err := urlOnly.Sign(double, nil, noon); err != nil {
		t.Fatal(err)
	}
	refused(t, v, double, noon, "query parameter bodySHA256 stands there twice")
}

// The parsed body is asked for only by schemes that look into it.
func TestRawBytes(t *testing.T) {
	v := bind(t, bare256, parameters{"secret": "s"})
	req := request("POST", "", "\xff\xfe\x00 not UTF-8")
	if err := v.Sign(req, nil, noon); err != nil {
		t.Fatal(err)
	}
	err := v.Verify(context.Background(), req, func() *body.Parsed { t.Error("the body was parsed"); return &body.Parsed{} }, nil, noon)
	if err != nil {
		t.Error(err)
	}
}

func TestSignKeepsWhatIsThere(t *testing.T) {
	v := bind(t, `{scheme: standard-webhooks, secret: parameters.secret}`, parameters{"secret": "whsec_c2VjcmV0"})
	stamp := strconv.FormatInt(noon.Add(-time.Minute).Unix(), 10)
	req := request("POST", "", "x", "webhook-id", "msg_mine", "webhook-timestamp", stamp)
	if err := v.Sign(req, nil, noon); err != nil {
		t.Fatal(err)
	}
	if got := req.Headers.Get("webhook-id") + " " + req.Headers.Get("webhook-timestamp"); got != "msg_mine "+stamp {
		t.Errorf("Sign changed id or timestamp: %s", got)
	}
	accepted(t, v, req, noon)
	if err := v.SignExpired(req, nil, noon); err != nil {
		t.Fatal(err)
	}
	refused(t, v, req, noon, "the timestamp is 6m old, tolerance is 5m")

	before := clone(req)
	state := bind(t, `{scheme: hmac-sha256, header: X, secret: state.x}`, nil)
	if err := state.Sign(req, nil, noon); !errors.Is(err, verify.ErrCannotSign) {
		t.Errorf("Sign = %v", err)
	}
	text := bind(t, providerYAML(t, "mailgun"), parameters{"secret": "s"})
	if err := text.Sign(req, nil, noon); !errors.Is(err, verify.ErrCannotSign) {
		t.Errorf("Sign = %v", err)
	}
	if diff := cmp.Diff(before, req); diff != "" {
		t.Errorf("a failed Sign changed the request: %s", diff)
	}
	if _, err := v.WithPrivateKey("not a key, but topsecret"); err == nil || strings.Contains(err.Error(), "topsecret") {
		t.Errorf("WithPrivateKey = %v", err)
	}
}

// Something is either absent or vouched for.
func TestAbsent(t *testing.T) {
	v := bind(t, `
all:
  - {scheme: token, header: X-Token, secret: parameters.token}
  - any:
      - all: [{scheme: absent, field: data.proof}, {scheme: absent, header: X-Proof}, {scheme: absent, query: proof}]
      - {scheme: hmac-sha256, header: X-Sig, secret: parameters.secret}`, parameters{"token": "t0k", "secret": "s3cret"})
	for _, content := range []string{`{}`, `{"data": 5}`, `{"data": {"proof": null}}`, `{"data": {"proof": []}}`, `[]`, ``, `text`} {
		accepted(t, v, request("POST", "", content, "Content-Type", jsonType, "X-Token", "t0k"), noon)
		refused(t, v, request("POST", "", content, "Content-Type", jsonType), noon, "X-Token")
	}
	for _, content := range []string{`{"data": {"proof": ""}}`, `{"data": {"proof": [1]}}`, `{"data": {"proof": false}}`, `{"data": {"proof": {}}}`} {
		req := request("POST", "", content, "Content-Type", jsonType, "X-Token", "t0k")
		refused(t, v, req, noon, "data.proof is there")
		if err := v.Sign(req, nil, noon); err != nil {
			t.Fatal(err)
		}
		accepted(t, v, req, noon)
	}
	refused(t, v, request("POST", "", `{"data": {"proof": null, "proof": 1}}`, "Content-Type", jsonType, "X-Token", "t0k"), noon, "stands twice")
	refused(t, v, request("POST", "", `{}`, "X-Token", "t0k", "X-Proof", ""), noon, "header.X-Proof is there")
	refused(t, v, request("POST", "", `{}`, "X-Token", "t0k", "X-Proof", "a", "x-proof", "b"), noon, "header.X-Proof is there")
	refused(t, v, request("POST", "https://gw.example/?proof=", `{}`, "X-Token", "t0k"), noon, "query.proof is there")
}

// Ways to which the same thing is wrong are told once.
func TestSameReason(t *testing.T) {
	v := bind(t, `
any:
  - {scheme: hmac-sha256, header: X-Sig, secret: parameters.secret}
  - {scheme: hmac-sha256, header: X-Sig, encoding: base64, secret: parameters.secret}`, parameters{"secret": "s"})
	err := check(v, request("POST", "", "x"), noon)
	if err == nil || err.Error() != "header X-Sig is missing" {
		t.Errorf("Verify = %v", err)
	}
}
