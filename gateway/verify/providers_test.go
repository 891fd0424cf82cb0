package verify_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"sync"
	"testing"
	"time"

	"switchhook/gateway/verify"
)

const (
	bare256  = `{scheme: hmac-sha256, header: X-Signature, secret: parameters.secret}`
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"
)

// providers has the YAML for every row of the table of providers that the
// connectors are made from. Whatever the scheme, its requests can be signed, and are
// then accepted; what is tampered with, expired or moved is not.
var providers = []struct {
	name, yaml string
	parameters parameters
	state      map[string]string
	// request, POST with a JSON body unless given.
	url, body, contentType string
	headers                []string
	// unsigned: changing the body does not break the signature, because it
	// covers fields or nothing.
	unsigned bool
	// tolerance that the provider documents; 0: no time is checked.
	tolerance time.Duration
	// key says which private key signs.
	key string
}{
	{name: "github", yaml: `
any:
  - {scheme: hmac-sha256, header: X-Hub-Signature-256, prefix: sha256=, secret: parameters.secret}
  - {scheme: hmac-sha1, header: X-Hub-Signature, prefix: sha1=, secret: parameters.secret}`},
	{name: "gitlab token", yaml: `
any:
  - {scheme: token, header: X-Gitlab-Token, secret: parameters.token}
  - {scheme: standard-webhooks, secret: parameters.signingToken}`,
		parameters: parameters{"token": "glpat"}, unsigned: true},
	{name: "gitlab signing token", yaml: `
any:
  - {scheme: token, header: X-Gitlab-Token, secret: parameters.token}
  - {scheme: standard-webhooks, secret: parameters.signingToken}`,
		parameters: parameters{"signingToken": "whsec_c2VjcmV0"}, tolerance: 5 * time.Minute},
	{name: "bitbucket", yaml: `{scheme: hmac-sha256, header: X-Hub-Signature, prefix: sha256=, secret: parameters.secret}`},
	{name: "jira connect app", yaml: `
scheme: jwt-hs256
prefix: "JWT "
header: Authorization
secret: parameters.sharedSecret
claims: {iss: parameters.clientKey, qsh: "{qsh}"}`,
		parameters: parameters{"sharedSecret": "shared", "clientKey": "client"}, url: "https://gw.example/demo/jira/events/token?user_id=a%20b&z=1&z=0",
		unsigned: true, tolerance: 5*time.Minute + 30*time.Second},
	{name: "stripe", yaml: `
scheme: hmac-sha256
header: Stripe-Signature
separator: ","
prefix: v1=
signed: "{timestamp}.{body}"
timestamp: {part: t=}
secret: parameters.secret`, tolerance: 5 * time.Minute},
	{name: "slack", yaml: `
scheme: hmac-sha256
header: X-Slack-Signature
prefix: v0=
signed: "v0:{timestamp}:{body}"
timestamp: {header: X-Slack-Request-Timestamp}
secret: parameters.secret`, tolerance: 5 * time.Minute, body: "token=a&text=b+c", contentType: formType},
	{name: "shopify", yaml: `{scheme: hmac-sha256, header: X-Shopify-Hmac-Sha256, encoding: base64, secret: parameters.secret}`},
	{name: "twilio form", yaml: twilio, url: "https://gw.example/demo/twilio/events/token?a=1", body: "To=%2B1&From=%2B2&Body=hi", contentType: formType},
	{name: "sendgrid", yaml: `
scheme: ecdsa-p256
header: X-Twilio-Email-Event-Webhook-Signature
signed: "{timestamp}{body}"
timestamp: {header: X-Twilio-Email-Event-Webhook-Timestamp, tolerance: 10m}
publicKey: parameters.publicKey`, key: "ecdsa", tolerance: 10 * time.Minute},
	{name: "mailgun", yaml: `
scheme: hmac-sha256
field: signature.signature
signed: "{timestamp}{body.signature.token}"
timestamp: {field: signature.timestamp}
secret: parameters.secret`, body: `{"signature":{"token":"t0k"},"event-data":{"event":"opened"}}`, unsigned: true, tolerance: 5 * time.Minute},
	{name: "mailgun legacy form", yaml: `
scheme: hmac-sha256
field: signature
signed: "{timestamp}{body.token}"
timestamp: {field: timestamp}
secret: parameters.secret`, body: `token=t0k&event=opened`, contentType: formType, unsigned: true, tolerance: 5 * time.Minute},
	{name: "hubspot v1", yaml: `{scheme: sha256, header: X-HubSpot-Signature, signed: "{secret}{body}", secret: parameters.secret}`},
	{name: "hubspot v2", yaml: `{scheme: sha256, header: X-HubSpot-Signature, signed: "{secret}{method}{url}{body}", secret: parameters.secret}`},
	{name: "hubspot v3", yaml: `
scheme: hmac-sha256
header: X-HubSpot-Signature-v3
encoding: base64
signed: "{method}{decodedUrl}{body}{timestamp}"
timestamp: {header: X-HubSpot-Request-Timestamp, unit: ms}
secret: parameters.secret`, url: "https://gw.example/demo/hubspot/events/token?q=a%3Ab%20c%40d", tolerance: 5 * time.Minute},
	{name: "zoom", yaml: `
scheme: hmac-sha256
header: x-zm-signature
prefix: v0=
signed: "v0:{timestamp}:{body}"
timestamp: {header: x-zm-request-timestamp}
secret: parameters.secret`, tolerance: 5 * time.Minute},
	{name: "zendesk", yaml: `
scheme: hmac-sha256
header: X-Zendesk-Webhook-Signature
encoding: base64
signed: "{timestamp}{body}"
timestamp: {header: X-Zendesk-Webhook-Signature-Timestamp, unit: rfc3339}
secret: parameters.secret`, tolerance: 5 * time.Minute},
	{name: "intercom", yaml: `{scheme: hmac-sha1, header: X-Hub-Signature, prefix: sha1=, secret: parameters.secret}`},
	{name: "linear", yaml: `
scheme: hmac-sha256
header: Linear-Signature
timestamp: {field: webhookTimestamp, unit: ms, tolerance: 60s}
secret: parameters.secret`, tolerance: time.Minute},
	{name: "notion", yaml: `{scheme: hmac-sha256, header: X-Notion-Signature, prefix: sha256=, secret: state.verificationToken}`,
		state: map[string]string{"verificationToken": "secret_x"}},
	{name: "discord", yaml: `
scheme: ed25519
header: X-Signature-Ed25519
signed: "{timestamp}{body}"
timestamp: {header: X-Signature-Timestamp}
publicKey: parameters.publicKey`, key: "ed25519", tolerance: 5 * time.Minute},
	{name: "square", yaml: `{scheme: hmac-sha256, header: x-square-hmacsha256-signature, encoding: base64, signed: "{url}{body}", secret: parameters.secret}`},
	{name: "square with a configured url", yaml: `{scheme: hmac-sha256, header: x-square-hmacsha256-signature, encoding: base64, signed: "{parameters.notificationUrl}{body}", secret: parameters.secret}`,
		parameters: parameters{"secret": "s3cret", "notificationUrl": "https://elsewhere.example/hook"}},
	{name: "paypal", yaml: `
scheme: rsa-sha256
header: PAYPAL-TRANSMISSION-SIG
signed: "{header.PAYPAL-TRANSMISSION-ID}|{timestamp}|{parameters.webhookId}|{bodyCRC32}"
timestamp: {header: PAYPAL-TRANSMISSION-TIME, unit: rfc3339, tolerance: 1h}
certificate:
  header: PAYPAL-CERT-URL
  allow: [https://api.paypal.com/v1/notifications/certs/*, https://api.sandbox.paypal.com/v1/notifications/certs/*]`,
		parameters: parameters{"webhookId": "WH-1"}, headers: []string{"PAYPAL-CERT-URL", "https://api.paypal.com/v1/notifications/certs/CERT-1"},
		key: "rsa", tolerance: time.Hour},
	{name: "paypal with a pinned certificate", yaml: `
scheme: rsa-sha256
header: PAYPAL-TRANSMISSION-SIG
signed: "{header.PAYPAL-TRANSMISSION-ID}|{timestamp}|{parameters.webhookId}|{bodyCRC32}"
timestamp: {header: PAYPAL-TRANSMISSION-TIME, unit: rfc3339, tolerance: 1h}
publicKey: parameters.publicKey`, parameters: parameters{"webhookId": "WH-1"}, key: "rsa", tolerance: time.Hour},
	{name: "paddle", yaml: `
scheme: hmac-sha256
header: Paddle-Signature
separator: ";"
prefix: h1=
signed: "{timestamp}:{body}"
timestamp: {part: ts=, tolerance: 5s}
secret: parameters.secret`, tolerance: 5 * time.Second},
	{name: "typeform", yaml: `{scheme: hmac-sha256, header: Typeform-Signature, prefix: sha256=, encoding: base64, secret: parameters.secret}`},
	{name: "calendly", yaml: `
scheme: hmac-sha256
header: Calendly-Webhook-Signature
separator: ","
prefix: v1=
signed: "{timestamp}.{body}"
timestamp: {part: t=, tolerance: 3m}
secret: parameters.secret`, tolerance: 3 * time.Minute},
	{name: "asana", yaml: `{scheme: hmac-sha256, header: X-Hook-Signature, secret: state.hookSecret}`, state: map[string]string{"hookSecret": "b537"}},
	{name: "dropbox", yaml: `{scheme: hmac-sha256, header: X-Dropbox-Signature, secret: parameters.secret}`},
	{name: "salesforce outbound message", yaml: `{scheme: token, query: key, secret: parameters.token}`, parameters: parameters{"token": "k/e+y"},
		body: `<Envelope/>`, contentType: "text/xml", unsigned: true},
	{name: "salesforce marketing cloud", yaml: `{scheme: hmac-sha256, header: x-sfmc-ens-signature, encoding: base64, secret: parameters.secret, keyEncoding: base64}`,
		parameters: parameters{"secret": "c2VjcmV0"}},
	{name: "microsoft graph", yaml: `{scheme: token, each: "value[*]", field: clientState, secret: parameters.clientState}`,
		parameters: parameters{"clientState": "cs"}, body: `{"value":[{"resource":"a"},{"resource":"b"}]}`, unsigned: true},
	{name: "microsoft graph with resource data", yaml: `
all:
  - {scheme: token, each: "value[*]", field: clientState, secret: parameters.clientState}
  - scheme: jwt-rs256
    each: validationTokens[*]
    jwks: https://login.microsoftonline.com/common/discovery/v2.0/keys
    claims: {aud: parameters.appId, azp: 0bf30f3b-4a52-48df-9a82-234910c4a086}`,
		parameters: parameters{"clientState": "cs", "appId": "app"}, body: `{"value":[{"resource":"a"}],"validationTokens":["a","b"]}`,
		unsigned: true, key: "rsa", tolerance: 5*time.Minute + 30*time.Second},
	{name: "microsoft graph, whatever it sends", yaml: `
all:
  - {scheme: token, each: "value[*]", field: clientState, secret: parameters.clientState}
  - any:
      - {scheme: absent, field: validationTokens}
      - scheme: jwt-rs256
        each: validationTokens[*]
        jwks: https://login.microsoftonline.com/common/discovery/v2.0/keys
        claims: {aud: parameters.appId, appid: 0bf30f3b-4a52-48df-9a82-234910c4a086}`,
		parameters: parameters{"clientState": "cs", "appId": []string{"app", "other"}}, body: `{"value":[{"resource":"a"},{"resource":"b"}],"validationTokens":["a"]}`,
		unsigned: true, key: "rsa", tolerance: 5*time.Minute + 30*time.Second},
	{name: "whatsapp", yaml: `{scheme: hmac-sha256, header: X-Hub-Signature-256, prefix: sha256=, secret: parameters.appSecret}`,
		parameters: parameters{"appSecret": "s"}, body: `{"name":"\u00e9"}`},
	{name: "docusign", yaml: `{scheme: hmac-sha256, header: X-DocuSign-Signature-*, encoding: base64, secrets: [parameters.secret, parameters.previousSecret]}`},
	{name: "adyen", yaml: `
scheme: hmac-sha256
each: notificationItems[*].NotificationRequestItem
field: additionalData.hmacSignature
encoding: base64
signed: "{item.pspReference}:{item.originalReference?}:{item.merchantAccountCode}:{item.merchantReference}:{item.amount.value}:{item.amount.currency}:{item.eventCode}:{item.success}"
secret: parameters.secret
keyEncoding: hex`, parameters: parameters{"secret": "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"},
		body: adyenBody, unsigned: true},
	{name: "adyen for platforms", yaml: `{scheme: hmac-sha256, header: HmacSignature, encoding: base64, secret: parameters.secret, keyEncoding: hex}`,
		parameters: parameters{"secret": "44782DEF"}},
	{name: "svix", yaml: `{scheme: standard-webhooks, headerPrefix: svix-, secret: parameters.secret}`,
		parameters: parameters{"secret": "whsec_c2VjcmV0"}, tolerance: 5 * time.Minute},
	{name: "standard webhooks, asymmetric", yaml: `{scheme: standard-webhooks, secret: parameters.publicKey}`, key: "whpk", tolerance: 5 * time.Minute},
	{name: "pipedrive", yaml: `{scheme: basic, username: parameters.username, password: parameters.password}`,
		parameters: parameters{"username": "u", "password": "p:w"}, unsigned: true},
	{name: "monday", yaml: `{scheme: jwt-hs256, header: Authorization, secret: parameters.signingSecret}`,
		parameters: parameters{"signingSecret": "s"}, unsigned: true, tolerance: 5*time.Minute + 30*time.Second},
	{name: "aws sns", yaml: snsYAML, parameters: parameters{"topicArn": "arn:aws:sns:us-east-1:1:t"},
		body:        `{"Type":"Notification","MessageId":"m","TopicArn":"arn:aws:sns:us-east-1:1:t","Message":"hello","SigningCertURL":"https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0.pem"}`,
		contentType: "text/plain; charset=UTF-8", unsigned: true, key: "rsa", tolerance: time.Hour, headers: []string{"x-sign-as", jsonType}},
	{name: "google pub/sub", yaml: `
scheme: jwt-rs256
jwks: https://www.googleapis.com/oauth2/v3/certs
claims:
  aud: ["parameters.audience?", "{url}"]
  email: parameters.email
  email_verified: true
  iss: [https://accounts.google.com, accounts.google.com]`, parameters: parameters{"email": "push@example.com"},
		unsigned: true, key: "rsa", tolerance: 5*time.Minute + 30*time.Second},
	{name: "pagerduty", yaml: `{scheme: hmac-sha256, header: X-PagerDuty-Signature, separator: ",", prefix: v1=, secret: parameters.secret}`},
	{name: "box", yaml: `
scheme: hmac-sha256
header: [BOX-SIGNATURE-PRIMARY, BOX-SIGNATURE-SECONDARY]
encoding: base64
signed: "{body}{timestamp}"
timestamp: {header: BOX-DELIVERY-TIMESTAMP, unit: rfc3339, tolerance: 10m}
secrets: [parameters.primaryKey, parameters.secondaryKey]`, parameters: parameters{"primaryKey": "p", "secondaryKey": "s"}, tolerance: 10 * time.Minute},
	{name: "twitch", yaml: `
scheme: hmac-sha256
header: Twitch-Eventsub-Message-Signature
prefix: sha256=
signed: "{header.Twitch-Eventsub-Message-Id}{timestamp}{body}"
timestamp: {header: Twitch-Eventsub-Message-Timestamp, unit: rfc3339, tolerance: 10m}
secret: parameters.secret`, tolerance: 10 * time.Minute},
	{name: "xero", yaml: `{scheme: hmac-sha256, header: x-xero-signature, encoding: base64, secret: parameters.secret}`},
	{name: "sentry, razorpay, gocardless, coinbase commerce, lemon squeezy, launchdarkly, pusher", yaml: bare256},
	{name: "trello", yaml: `{scheme: hmac-sha1, header: X-Trello-Webhook, encoding: base64, signed: "{body}{url}", secret: parameters.secret}`},
	{name: "vercel", yaml: `{scheme: hmac-sha1, header: x-vercel-signature, secret: parameters.secret}`},
	{name: "paystack", yaml: `{scheme: hmac-sha512, header: x-paystack-signature, secret: parameters.secret}`},
	{name: "woocommerce, line", yaml: `{scheme: hmac-sha256, header: x-line-signature, encoding: base64, secret: parameters.secret}`},
	{name: "x", yaml: `{scheme: hmac-sha256, header: X-Twitter-Webhooks-Signature, prefix: sha256=, encoding: base64, secret: parameters.secret}`},
	{name: "okta", yaml: `{scheme: token, header: Authorization, secret: parameters.token}`, parameters: parameters{"token": "t"}, unsigned: true},
	{name: "telegram", yaml: `{scheme: token, header: X-Telegram-Bot-Api-Secret-Token, secret: parameters.token}`, parameters: parameters{"token": "t0"}, unsigned: true},
	{name: "event grid", yaml: `{scheme: token, query: code, secret: parameters.token}`, parameters: parameters{"token": "t"}, unsigned: true},
	{name: "bearer token", yaml: `{scheme: token, header: Authorization, prefix: "Bearer ", secret: parameters.token}`, parameters: parameters{"token": "t"}, unsigned: true},
	{name: "jwt with a body hash", yaml: `{scheme: jwt-hs512, secret: parameters.secret, bodyHash: {claim: payload_hash}}`,
		tolerance: 5*time.Minute + 30*time.Second},
	{name: "jwt es256", yaml: `{scheme: jwt-es256, publicKey: parameters.publicKey, bodyHash: {claim: h, encoding: base64url}}`, key: "ecdsa",
		tolerance: 5*time.Minute + 30*time.Second},
	{name: "raw ecdsa signatures", yaml: `{scheme: ecdsa-p256, header: X-Signature, signatureFormat: raw, encoding: base64url, publicKey: parameters.publicKey}`, key: "ecdsa"},
	{name: "rsa with sha-1", yaml: `{scheme: rsa-sha1, header: X-Signature, publicKeys: [parameters.publicKey]}`, key: "rsa"},
	{name: "signature in the query", yaml: `{scheme: hmac-sha256, query: sig, encoding: base64url, secret: parameters.secret}`},
	{name: "none", yaml: `none`, unsigned: true},
}

const adyenBody = `{"live":"false","notificationItems":[
 {"NotificationRequestItem":{"amount":{"value":1130,"currency":"EUR"},"pspReference":"7914073381342284","eventCode":"AUTHORISATION","merchantAccountCode":"TestMerchant","merchantReference":"TestPayment-1407325143704","success":"true","additionalData":{}}},
 {"NotificationRequestItem":{"amount":{"value":1,"currency":"EUR"},"pspReference":"2","eventCode":"CAPTURE","merchantAccountCode":"TestMerchant","merchantReference":"r","success":"true","originalReference":"o"}}]}`

const twilio = `
any:
  - {scheme: hmac-sha1, header: X-Twilio-Signature, encoding: base64, signed: "{url}{sortedForm}", secret: parameters.secret}
  - {scheme: hmac-sha1, header: X-Twilio-Signature, encoding: base64, signed: "{url}", bodyHash: {query: bodySHA256}, secret: parameters.secret}`

const snsYAML = `
all:
  - any:
      - &sns
        scheme: rsa-sha256
        field: Signature
        signed: [Message, MessageId, "Subject?", "SubscribeURL?", Timestamp, "Token?", TopicArn, Type]
        timestamp: {field: Timestamp, unit: rfc3339, tolerance: 1h}
        certificate:
          field: SigningCertURL
          allow: ["https://sns.*.amazonaws.com/SimpleNotificationService-*.pem"]
          name: sns.amazonaws.com
          chain: false
      - {<<: *sns, scheme: rsa-sha1}
  - {scheme: token, field: TopicArn, secret: parameters.topicArn}`

func TestEveryProvider(t *testing.T) {
	for _, p := range providers {
		t.Run(p.name, func(t *testing.T) {
			given := parameters{"secret": "s3cret"}
			if p.parameters != nil {
				given = p.parameters
			}
			switch p.key {
			case "ecdsa":
				given = merged(given, "publicKey", base64SPKI(t, &keys().ecdsa.PublicKey))
			case "rsa":
				given = merged(given, "publicKey", pemSPKI(t, &keys().rsa.PublicKey))
			case "ed25519":
				given = merged(given, "publicKey", hex.EncodeToString(keys().ed25519.Public().(ed25519.PublicKey)))
			case "whpk":
				given = merged(given, "publicKey", "whpk_"+base64.StdEncoding.EncodeToString(keys().ed25519.Public().(ed25519.PublicKey)))
			}
			fetcher := fakeFetcher{
				"https://api.paypal.com/v1/notifications/certs/CERT-1":                keys().chain,
				"https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0.pem": keys().leaf,
				"https://www.googleapis.com/oauth2/v3/certs":                          keys().jwks,
				"https://login.microsoftonline.com/common/discovery/v2.0/keys":        keys().jwks,
			}
			v := bind(t, p.yaml, given, verify.Options{Keys: verify.NewKeys(fetcher), Roots: keys().roots})
			content := p.body
			if content == "" {
				content = `{"a": 1, "b": "Ünïcode"}`
			}
			contentType := p.contentType
			if contentType == "" {
				contentType = jsonType
			}
			plain := request("POST", p.url, content, append([]string{"Content-Type", contentType}, p.headers...)...)
			if p.headers != nil && p.headers[0] == "x-sign-as" { // a field can only be set in what is JSON
				plain.Headers.Set("Content-Type", p.headers[1])
			}

			signing := v
			if p.key != "" {
				if err := v.Sign(clone(plain), p.state, noon); !errors.Is(err, verify.ErrCannotSign) {
					t.Errorf("Sign without a private key = %v", err)
				}
				var err error
				if signing, err = v.WithPrivateKey(keys().private(t, p.key)); err != nil {
					t.Fatal(err)
				}
			}
			signed := clone(plain)
			if err := signing.Sign(signed, p.state, noon); err != nil {
				t.Fatalf("Sign: %v", err)
			}
			if string(plain.Body) != content {
				t.Error("Sign changed the body's bytes")
			}
			again := clone(signed)
			again.Headers.Set("Content-Type", contentType)
			accepted(t, v, again, noon, p.state)
			if p.name == "none" {
				return
			}
			refused(t, v, plain, noon, "", p.state)

			tampered := clone(plain)
			if err := signing.SignTampered(tampered, p.state, noon); err != nil {
				t.Fatalf("SignTampered: %v", err)
			}
			refused(t, v, tampered, noon, "", p.state)

			expired := clone(plain)
			err := signing.SignExpired(expired, p.state, noon)
			switch {
			case p.tolerance == 0 && !errors.Is(err, verify.ErrCannotSign):
				t.Errorf("SignExpired = %v, want ErrCannotSign", err)
			case p.tolerance != 0 && err != nil:
				t.Errorf("SignExpired: %v", err)
			case p.tolerance != 0:
				refused(t, v, expired, noon, "", p.state)
				accepted(t, v, signed, noon.Add(p.tolerance-time.Second), p.state)
				refused(t, v, signed, noon.Add(p.tolerance+time.Second), "", p.state)
			}
			if !p.unsigned {
				for i := range signed.Body {
					changed := clone(signed)
					changed.Body[i] ^= 1
					refused(t, v, changed, noon, "", p.state)
				}
			}
		})
	}
}

func merged(p parameters, name string, value any) parameters {
	out := parameters{name: value}
	for k, v := range p {
		out[k] = v
	}
	return out
}

// testKeys are made once: RSA keys take long.
type testKeys struct {
	rsa         *rsa.PrivateKey
	ecdsa       *ecdsa.PrivateKey
	ed25519     ed25519.PrivateKey
	leaf, chain []byte
	roots       *x509.CertPool
	jwks        []byte
}

var keys = sync.OnceValue(makeKeys)

func (k *testKeys) private(t *testing.T, name string) string {
	t.Helper()
	var key any
	switch name {
	case "rsa":
		key = k.rsa
	case "ecdsa":
		key = k.ecdsa
	case "whpk":
		return "whsk_" + base64.StdEncoding.EncodeToString(k.ed25519)
	case "ed25519":
		return hex.EncodeToString(k.ed25519.Seed())
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func base64SPKI(t testing.TB, public any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func pemSPKI(t testing.TB, public any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}
