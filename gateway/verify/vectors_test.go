package verify_test

import (
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"switchhook/gateway/hook"
	"switchhook/gateway/verify"
)

// vectorSchemes has the YAML for each published vector, by its id.
var vectorSchemes = map[string]string{
	"github-docs":                  `{scheme: hmac-sha256, header: X-Hub-Signature-256, prefix: sha256=, secret: parameters.secret}`,
	"bitbucket-docs":               `{scheme: hmac-sha256, header: X-Hub-Signature, prefix: sha256=, secret: parameters.secret}`,
	"jira-docs":                    `{scheme: hmac-sha256, header: X-Hub-Signature, prefix: sha256=, secret: parameters.secret}`,
	"slack-docs":                   `{scheme: hmac-sha256, header: X-Slack-Signature, prefix: v0=, signed: "v0:{timestamp}:{body}", timestamp: {header: X-Slack-Request-Timestamp}, secret: parameters.secret}`,
	"square-docs":                  `{scheme: hmac-sha256, header: x-square-hmacsha256-signature, encoding: base64, signed: "{url}{body}", secret: parameters.secret}`,
	"standardwebhooks-lib":         `{scheme: standard-webhooks, secret: parameters.secret}`,
	"svix-docs":                    `{scheme: standard-webhooks, secret: parameters.secret}`,
	"standardwebhooks-v1a-ed25519": `{scheme: standard-webhooks, secret: parameters.secret}`,
	"notion-docs":                  `{scheme: hmac-sha256, header: X-Notion-Signature, prefix: sha256=, secret: parameters.secret}`,
	"jwt-hs256-rfc7515":            `{scheme: jwt-hs256, secret: parameters.secret, keyEncoding: base64}`,
}

func TestPublishedVectors(t *testing.T) {
	for _, vec := range loadVectors(t).Vectors {
		t.Run(vec.ID, func(t *testing.T) {
			yaml, ok := vectorSchemes[vec.ID]
			if !ok {
				t.Fatal("no scheme for this vector")
			}
			secret := vec.Key
			if vec.KeyDisplay != "" {
				secret = vec.KeyDisplay
			}
			v := bind(t, yaml, parameters{"secret": secret})
			req := request(vec.Request.Method, vec.Request.URL, string(vec.Request.BodyB64))
			for name, value := range vec.Request.Headers {
				req.Headers = append(req.Headers, hook.Header{Name: name, Value: value})
			}
			now := noon
			if vec.Now != 0 {
				now = time.Unix(vec.Now, 0)
			}
			accepted(t, v, req, now)
			negatives(t, v, req, now, vec.Signature)

			// Without its headers nothing verifies, nor with another secret.
			bare := clone(req)
			bare.Headers = nil
			refused(t, v, bare, now, "is missing")
			other := "whsec_" + base64.StdEncoding.EncodeToString([]byte("another secret"))
			if strings.HasPrefix(secret, "whpk_") {
				other = "whpk_" + base64.StdEncoding.EncodeToString(make([]byte, 32))
			} else if !strings.HasPrefix(secret, "whsec_") {
				other = base64.StdEncoding.EncodeToString([]byte("another secret"))
			}
			refused(t, bind(t, yaml, parameters{"secret": other}), req, now, "")
			// With several secrets the right one is enough.
			both := bind(t, yaml, parameters{"secret": []string{other, secret}})
			accepted(t, both, req, now)
		})
	}
}

// negatives flips bits of the body and of the signature, and shifts the clock.
func negatives(t *testing.T, v *verify.Verifier, req *hook.Request, now time.Time, signature string) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	for range 64 {
		if len(req.Body) == 0 {
			break
		}
		bad := clone(req)
		bad.Body[r.IntN(len(bad.Body))] ^= 1 << r.IntN(8)
		refused(t, v, bad, now, "")
	}
	for i := range signature {
		for bit := range 7 {
			flipped := []byte(signature)
			flipped[i] ^= 1 << bit
			// Hex may be in either case.
			if strings.EqualFold(string(flipped), signature) && !strings.ContainsAny(signature, "+/=-_") && len(signature) == 64 {
				continue
			}
			bad := clone(req)
			found := false
			for j := range bad.Headers {
				if strings.Contains(bad.Headers[j].Value, signature) {
					bad.Headers[j].Value = strings.Replace(bad.Headers[j].Value, signature, string(flipped), 1)
					found = true
				}
			}
			if !found {
				t.Fatal("the signature is in no header")
			}
			if check(v, bad, now) == nil {
				t.Fatalf("accepted with bit %d of byte %d of the signature flipped: %s", bit, i, flipped)
			}
		}
	}
	if _, dated := timestamped[headerNames(req)]; dated {
		accepted(t, v, req, now.Add(5*time.Minute))
		accepted(t, v, req, now.Add(-5*time.Minute))
		refused(t, v, req, now.Add(5*time.Minute+time.Second), "the timestamp is 5m1s old, tolerance is 5m")
		refused(t, v, req, now.Add(-5*time.Minute-time.Second), "the timestamp is 5m1s in the future, tolerance is 5m")
	}
}

// timestamped are the headers with a timestamp.
var timestamped = map[string]bool{"x-slack-request-timestamp": true, "webhook-timestamp": true, "svix-timestamp": true}

func headerNames(req *hook.Request) string {
	for _, h := range req.Headers {
		if timestamped[strings.ToLower(h.Name)] {
			return strings.ToLower(h.Name)
		}
	}
	return ""
}
