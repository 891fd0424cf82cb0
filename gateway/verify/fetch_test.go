package verify_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"switchhook/gateway/hook"
	"switchhook/gateway/verify"
)

// script answers fetches and counts them.
type script struct {
	count  atomic.Int32
	answer func(ctx context.Context, url string) ([]byte, error)
}

func (s *script) Fetch(ctx context.Context, url string) ([]byte, error) {
	s.count.Add(1)
	return s.answer(ctx, url)
}

func unavailable(t *testing.T, v *verify.Verifier, req *hook.Request, now time.Time, want string) {
	t.Helper()
	err := check(v, req, now)
	if u, ok := errors.AsType[*verify.Unavailable](err); !ok || !strings.Contains(u.Error(), want) {
		t.Errorf("Verify = %v, want an *Unavailable with %q", err, want)
	}
}

func fetches(t *testing.T, s *script, want int) {
	t.Helper()
	if got := int(s.count.Load()); got != want {
		t.Errorf("%d fetches, want %d", got, want)
	}
}

func TestKeySetsAreKept(t *testing.T) {
	broken := errors.New("connection refused")
	var fail error
	s := &script{answer: func(context.Context, string) ([]byte, error) { return keys().jwks, fail }}
	v := bind(t, `{scheme: jwt-rs256, jwks: https://keys.example/jwks, claims: {aud: me}}`, nil, verify.Options{Keys: verify.NewKeys(s)})
	at := func(now time.Time, kid string) *hook.Request {
		return request("POST", "", "", "Authorization", "Bearer "+token(t, jwt.SigningMethodRS256, keys().rsa,
			map[string]any{"exp": now.Add(time.Minute).Unix(), "aud": "me"}, map[string]any{"kid": kid}))
	}
	var wg sync.WaitGroup
	req := at(noon, "one")
	for range 20 {
		wg.Go(func() { accepted(t, v, req, noon) })
	}
	wg.Wait()
	fetches(t, s, 1)

	accepted(t, v, at(noon.Add(59*time.Minute), "one"), noon.Add(59*time.Minute))
	fetches(t, s, 1)
	now := noon.Add(time.Hour)
	accepted(t, v, at(now, "one"), now)
	fetches(t, s, 2)

	// A kid that is not known fetches again, but not at once and not for every request.
	refused(t, v, at(now, "new"), now, "a key that the key set does not have")
	fetches(t, s, 2)
	now = now.Add(30 * time.Second)
	refused(t, v, at(now, "new"), now, "a key that the key set does not have")
	refused(t, v, at(now, "newer"), now, "a key that the key set does not have")
	fetches(t, s, 3)

	// When fetching fails what is there is used, for a day.
	fail = broken
	now = now.Add(2 * time.Hour)
	accepted(t, v, at(now, "one"), now)
	accepted(t, v, at(now, "one"), now)
	fetches(t, s, 4)
	now = now.Add(23 * time.Hour)
	unavailable(t, v, at(now, "one"), now, "fetching https://keys.example/jwks: connection refused")
	unavailable(t, v, at(now, "one"), now, "connection refused")
	fetches(t, s, 5)
	fail = nil
	now = now.Add(30 * time.Second)
	accepted(t, v, at(now, "one"), now)
	fetches(t, s, 6)

	// A key set that is not there is no fault of the request.
	for _, answer := range []func(context.Context, string) ([]byte, error){
		func(context.Context, string) ([]byte, error) { return nil, &verify.FetchError{Status: 404} },
		func(context.Context, string) ([]byte, error) { return []byte("<html>"), nil },
		func(context.Context, string) ([]byte, error) { return []byte(`{"keys":[{"kty":"oct"}]}`), nil },
	} {
		v := bind(t, audienceYAML, nil, verify.Options{Keys: verify.NewKeys(&script{answer: answer})})
		unavailable(t, v, at(noon, "one"), noon, "fetching https://keys.example/jwks")
	}
}

func TestCallerGivesUp(t *testing.T) {
	begun := make(chan struct{})
	s := &script{}
	s.answer = func(ctx context.Context, _ string) ([]byte, error) {
		if s.count.Load() == 1 {
			close(begun)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return keys().jwks, nil
	}
	v := bind(t, `{scheme: jwt-rs256, jwks: https://keys.example/jwks, claims: {aud: me}}`, nil, verify.Options{Keys: verify.NewKeys(s)})
	req := request("POST", "", "", "Authorization", "Bearer "+token(t, jwt.SigningMethodRS256, keys().rsa,
		map[string]any{"exp": noon.Add(time.Minute).Unix(), "aud": "me"}, nil))
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error), make(chan error)
	go func() { first <- v.Verify(ctx, req, nil, nil, noon) }()
	<-begun
	hurried, hurry := context.WithCancel(t.Context())
	go func() { second <- v.Verify(hurried, req, nil, nil, noon) }()
	hurry() // waits for the first one's fetch no longer
	if u, ok := errors.AsType[*verify.Unavailable](<-second); !ok || !errors.Is(u, context.Canceled) {
		t.Errorf("the second Verify: %v", u)
	}
	cancel()
	if u, ok := errors.AsType[*verify.Unavailable](<-first); !ok || !errors.Is(u, context.Canceled) {
		t.Errorf("the first Verify: %v", u)
	}
	// That they gave up is no failure of the key set.
	accepted(t, v, req, noon)
}

func TestCertificates(t *testing.T) {
	const yaml = `
scheme: rsa-sha256
header: X-Sig
certificate: {header: X-Cert, allow: ["https://certs.example.com/c/*", "https://sns.*.amazonaws.com/S-*.pem"], name: sns.amazonaws.com%s}`
	chained, unchained := strings.Replace(yaml, "%s", "", 1), strings.Replace(yaml, "%s", ", chain: false", 1)
	documents := fakeFetcher{
		"https://certs.example.com/c/chain":             keys().chain,
		"https://certs.example.com/c/leaf":              keys().leaf,
		"https://certs.example.com/c/text":              []byte("no certificate"),
		"https://sns.eu-west-1.amazonaws.com/S-1_a.pem": keys().leaf,
	}
	s := &script{answer: documents.Fetch}
	opt := verify.Options{Keys: verify.NewKeys(s), Roots: keys().roots}
	v, loose := bind(t, chained, nil, opt), bind(t, unchained, nil, opt)
	named := bind(t, strings.Replace(chained, "name: sns", "name: other", 1), nil, opt)
	strangers := bind(t, chained, nil, verify.Options{Keys: opt.Keys})
	signer, err := v.WithPrivateKey(keys().private(t, "rsa"))
	if err != nil {
		t.Fatal(err)
	}
	at := func(url string) *hook.Request {
		req := request("POST", "", "body", "X-Cert", url)
		if err := signer.Sign(req, nil, noon); err != nil {
			t.Fatal(err)
		}
		return req
	}
	accepted(t, v, at("https://certs.example.com/c/chain"), noon)
	accepted(t, loose, at("https://certs.example.com/c/leaf"), noon)
	accepted(t, loose, at("https://sns.eu-west-1.amazonaws.com/S-1_a.pem"), noon)
	refused(t, v, at("https://certs.example.com/c/leaf"), noon, "not issued by a known authority")
	refused(t, strangers, at("https://certs.example.com/c/chain"), noon, "not issued by a known authority")
	refused(t, named, at("https://certs.example.com/c/chain"), noon, "not issued for other.amazonaws.com")
	refused(t, loose, at("https://certs.example.com/c/leaf"), noon.Add(25*time.Hour), "not valid at this time")
	refused(t, loose, at("https://certs.example.com/c/leaf"), noon.Add(-25*time.Hour), "not valid at this time")
	refused(t, v, at("https://certs.example.com/c/gone"), noon, "there is no certificate at the URL that was sent")
	unavailable(t, v, at("https://certs.example.com/c/text"), noon, "the document has no certificate")
	changed := at("https://certs.example.com/c/chain")
	changed.Body = []byte("Body")
	refused(t, v, changed, noon, "the signature does not match the body")

	before := s.count.Load()
	for _, url := range []string{
		"", "https://evil.example/c/leaf", "http://certs.example.com/c/leaf", "https://certs.example.com/c/leaf/more", "https://certs.example.com/c/",
		"https://certs.example.com/c/..", "https://certs.example.com/c/leaf?x", "https://certs.example.com/c/leaf#x", "https://certs.example.com:444/c/leaf",
		"https://user@certs.example.com/c/leaf", "https://certs.example.com/c/%2e", "https://sns.evil.com/S-1.pem?.amazonaws.com/S-1.pem", "https://sns.a.b.amazonaws.com/S-1.pem",
		"https://certs.example.com/./c/leaf", "https://sns.evil.com/x.amazonaws.com/S-1.pem", "HTTPS://certs.example.com/c/leaf", "https://certs.example.com/c/leaf\n", "https://certs.example.com.evil.com/c/leaf", "https://certsXexample.com/c/leaf",
	} {
		refused(t, v, at(url), noon, "the certificate's URL is not one that the scheme allows")
	}
	if s.count.Load() != before {
		t.Error("a URL that is not allowed was fetched")
	}
	refused(t, v, request("POST", "", "", "X-Sig", "AAAA"), noon, "header X-Cert is missing")
}

// A public key in the parameters is pinned: nothing is fetched, whatever the request names.
func TestPinnedKeys(t *testing.T) {
	for name, yaml := range map[string]string{
		"certificate": `{scheme: rsa-sha256, header: X-Sig, certificate: {header: X-Cert, allow: ["https://certs.example.com/*"]}, publicKey: parameters.publicKey}`,
		"key set":     `{scheme: jwt-rs256, jwks: https://keys.example/jwks, claims: {aud: me}, publicKey: parameters.publicKey}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{answer: fakeFetcher{"https://keys.example/jwks": keys().jwks, "https://certs.example.com/c": keys().chain}.Fetch}
			opt := verify.Options{Keys: verify.NewKeys(s), Roots: keys().roots}
			fetching := bind(t, yaml, nil, opt)
			pinned := bind(t, yaml, parameters{"publicKey": pemSPKI(t, &keys().rsa.PublicKey)}, opt)
			other, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				t.Fatal(err)
			}
			elsewhere := bind(t, yaml, parameters{"publicKey": pemSPKI(t, &other.PublicKey)}, opt)
			signer, err := fetching.WithPrivateKey(keys().private(t, "rsa"))
			if err != nil {
				t.Fatal(err)
			}
			req := request("POST", "", "body", "X-Cert", "https://certs.example.com/c")
			if err := signer.Sign(req, nil, noon); err != nil {
				t.Fatal(err)
			}
			accepted(t, pinned, req, noon)
			refused(t, elsewhere, req, noon, "")
			fetches(t, s, 0)
			accepted(t, fetching, req, noon)
			fetches(t, s, 1)
			if _, err := scheme(t, yaml).Bind(marshal(t, parameters{"publicKey": "nonsense"}), opt); err == nil {
				t.Error("a public key that is none is bound")
			}
		})
	}
}

// A certificate with a key of another kind is refused, not a crash.
func TestCertificateOfAnotherKind(t *testing.T) {
	v := bind(t, `{scheme: rsa-sha256, header: X-Sig, publicKey: parameters.certificate}`, parameters{"certificate": string(keys().leaf)})
	signer, err := v.WithPrivateKey(keys().private(t, "rsa"))
	if err != nil {
		t.Fatal(err)
	}
	req := request("POST", "", "body")
	if err := signer.Sign(req, nil, noon); err != nil {
		t.Fatal(err)
	}
	accepted(t, v, req, noon)
	for _, yaml := range []string{`{scheme: ecdsa-p256, header: X-Sig, publicKey: parameters.certificate}`, `{scheme: ed25519, header: X-Sig, publicKey: parameters.certificate}`} {
		if _, err := scheme(t, yaml).Bind(marshal(t, parameters{"certificate": string(keys().leaf)}), verify.Options{}); err == nil ||
			!strings.Contains(err.Error(), "is a key of another kind than") {
			t.Errorf("Bind = %v", err)
		}
	}
	// An environment variable may have lost the line breaks.
	bind(t, `{scheme: rsa-sha256, header: X-Sig, publicKey: parameters.certificate}`, parameters{"certificate": strings.ReplaceAll(string(keys().leaf), "\n", `\n`)})
}

// Requests can name certificates that were never seen; how many are fetched is bounded.
func TestNewCertificatesAreBounded(t *testing.T) {
	s := &script{answer: fakeFetcher{}.Fetch}
	v := bind(t, `{scheme: rsa-sha256, header: X-Sig, certificate: {header: X-Cert, allow: ["https://certs.example.com/*"]}}`, nil, verify.Options{Keys: verify.NewKeys(s)})
	for i := range 1000 {
		_ = check(v, request("POST", "", "", "X-Sig", "AAAA", "X-Cert", "https://certs.example.com/c"+time.Duration(i).String()), noon)
	}
	fetches(t, s, 30)
	unavailable(t, v, request("POST", "", "", "X-Sig", "AAAA", "X-Cert", "https://certs.example.com/last"), noon, "too many")
	refused(t, v, request("POST", "", "", "X-Sig", "AAAA", "X-Cert", "https://certs.example.com/last"), noon.Add(time.Minute), "there is no certificate")
}

func TestHTTPFetcher(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			_, _ = w.Write([]byte("document"))
		case "/moved":
			http.Redirect(w, r, "/ok", http.StatusFound)
		case "/large":
			_, _ = w.Write(make([]byte, 1<<20+1))
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	f := verify.NewHTTPFetcher(server.Client().Transport)
	if b, err := f.Fetch(t.Context(), server.URL+"/ok"); err != nil || string(b) != "document" {
		t.Errorf("Fetch = %q, %v", b, err)
	}
	for path, status := range map[string]int{"/moved": 302, "/gone": 404} {
		_, err := f.Fetch(t.Context(), server.URL+path)
		if e, ok := errors.AsType[*verify.FetchError](err); !ok || e.Status != status {
			t.Errorf("Fetch of %s: %v", path, err)
		}
	}
	for url, want := range map[string]string{
		server.URL + "/large":                               "larger than",
		strings.Replace(server.URL, "https", "http", 1):     "only fetched over https",
		strings.Replace(server.URL, "https://", "file:", 1): "not a URL",
		strings.Replace(server.URL, "//", "//user@", 1):     "must not contain a user",
	} {
		if _, err := f.Fetch(t.Context(), url); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Fetch of %s: %v, want %q", url, err, want)
		}
	}
}

func TestWithoutKeys(t *testing.T) {
	v := bind(t, audienceYAML, nil)
	unavailable(t, v, request("POST", "", "", "Authorization", "Bearer "+token(t, jwt.SigningMethodRS256, keys().rsa, nil, nil)), noon, "not fetched here")
	v = bind(t, `{scheme: rsa-sha256, header: X-Sig, certificate: {header: X-Cert, allow: ["https://certs.example.com/*"]}}`, nil)
	unavailable(t, v, request("POST", "", "", "X-Sig", "AAAA", "X-Cert", "https://certs.example.com/c"), noon, "not fetched here")
}
