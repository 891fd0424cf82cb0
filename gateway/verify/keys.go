package verify

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Fetcher gets a document (a certificate, a key set) that a scheme declares to
// need. It must bound size and time, and give up when ctx ends. That the
// document is not there it says with a *FetchError.
type Fetcher interface {
	Fetch(ctx context.Context, url string) ([]byte, error)
}

// FetchError is an HTTP answer other than 200.
type FetchError struct {
	Status int
}

func (e *FetchError) Error() string { return fmt.Sprintf("the answer was %d", e.Status) }

const (
	fetchTimeout = 10 * time.Second
	maxDocument  = 1 << 20
	// documents are fetched again after freshFor, and used for usableFor where that fails.
	freshFor  = time.Hour
	usableFor = 24 * time.Hour
	// a failure is not tried again for retryAfter; nor is a key set fetched
	// more often than that for keys it does not have.
	retryAfter = 30 * time.Second
	// maxDocuments bounds what is kept, newDocuments how many URLs never seen
	// before are fetched at once, and one more a second: requests can name them.
	maxDocuments = 256
	newDocuments = 30
)

// HTTPFetcher fetches over https with the client's transport: 10 s and 1 MiB
// at most, and no redirects.
type HTTPFetcher struct {
	client http.Client
}

// NewHTTPFetcher returns a fetcher that uses transport; nil: http.DefaultTransport.
func NewHTTPFetcher(transport http.RoundTripper) *HTTPFetcher {
	return &HTTPFetcher{client: http.Client{Transport: transport, Timeout: fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// Fetch implements Fetcher.
func (f *HTTPFetcher) Fetch(ctx context.Context, url string) ([]byte, error) {
	if err := checkURL(url); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &FetchError{Status: resp.StatusCode}
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxDocument {
		return nil, fmt.Errorf("the document is larger than %d bytes", maxDocument)
	}
	return b, nil
}

// Keys fetches certificates and key sets, and keeps them. One serves the whole
// process. Its methods may be called from any goroutine.
type Keys struct {
	fetcher Fetcher
	limiter *rate.Limiter

	mu        sync.Mutex
	documents map[string]*fetched
}

// fetched is what was fetched from one URL. All but turn is guarded by Keys.mu.
type fetched struct {
	// turn is held by whoever fetches.
	turn     chan struct{}
	value    any
	at       time.Time
	failure  error
	failedAt time.Time
	usedAt   time.Time
}

// errNoKeys is what schemes that need Keys answer without them.
var errNoKeys = &Unavailable{Err: errors.New("certificates and key sets are not fetched here")}

// NewKeys returns Keys that fetch through f.
func NewKeys(f Fetcher) *Keys {
	return &Keys{fetcher: f, limiter: rate.NewLimiter(1, newDocuments), documents: map[string]*fetched{}}
}

// get returns what parse makes of the document at url, fetched no longer ago
// than age if that is possible. The error is an *Unavailable.
func (k *Keys) get(ctx context.Context, url string, age time.Duration, now time.Time, parse func([]byte) (any, error)) (any, error) {
	d := k.document(url, now)
	value, err, settled := k.kept(d, age, now)
	if settled {
		return value, err
	}
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return nil, &Unavailable{Err: ctx.Err()}
	}
	if value, err, settled = k.kept(d, age, now); settled { // another fetched it meanwhile
		return value, err
	}
	k.mu.Lock()
	first := d.value == nil
	k.mu.Unlock()
	if first && !k.limiter.AllowN(now, 1) {
		return nil, &Unavailable{Err: errors.New("too many certificates and key sets are being asked for")}
	}
	value, err = k.fetch(ctx, url, parse)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		d.value, d.at, d.failure = value, now, nil
		return value, nil
	}
	err = &Unavailable{Err: fmt.Errorf("fetching %s: %w", url, err)}
	if ctx.Err() == nil { // the caller's hurry is no failure of the document
		d.failure, d.failedAt = err, now
	}
	if d.value != nil && within(now, d.at, usableFor) {
		return d.value, nil
	}
	return nil, err
}

func (k *Keys) fetch(ctx context.Context, url string, parse func([]byte) (any, error)) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	b, err := k.fetcher.Fetch(ctx, url)
	if err != nil {
		return nil, err
	}
	return parse(b)
}

// kept is what is known without fetching; settled: that will do.
func (k *Keys) kept(d *fetched, age time.Duration, now time.Time) (value any, err error, settled bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if d.value != nil && within(now, d.at, age) {
		return d.value, nil, true
	}
	if d.failure != nil && within(now, d.failedAt, retryAfter) {
		if d.value != nil && within(now, d.at, usableFor) {
			return d.value, nil, true
		}
		return nil, d.failure, true
	}
	return nil, nil, false
}

// within reports that the times are less than d apart, whichever is first:
// clocks are set back too.
func within(a, b time.Time, d time.Duration) bool { return a.Sub(b).Abs() < d }

// document returns the entry of a URL, making room for a new one.
func (k *Keys) document(url string, now time.Time) *fetched {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.documents[url]
	if d == nil {
		if len(k.documents) >= maxDocuments {
			oldest := ""
			for u, other := range k.documents {
				if oldest == "" || other.usedAt.Before(k.documents[oldest].usedAt) {
					oldest = u
				}
			}
			delete(k.documents, oldest)
		}
		d = &fetched{turn: make(chan struct{}, 1)}
		k.documents[url] = d
	}
	d.usedAt = now
	return d
}

// certificate returns the public key of the certificate at url, after checking
// when, for whom and by whom it was issued. The error is a *Rejected or *Unavailable.
func (k *Keys) certificate(ctx context.Context, url string, want *certificate, roots *x509.CertPool, now time.Time) (crypto.PublicKey, error) {
	value, err := k.get(ctx, url, freshFor, now, func(b []byte) (any, error) { return parseCertificates(b) })
	if err != nil {
		// The request named the URL: that nothing is there is its fault.
		if f, ok := errors.AsType[*FetchError](err); ok && f.Status >= 400 && f.Status < 500 && f.Status != http.StatusTooManyRequests && f.Status != http.StatusRequestTimeout {
			return nil, rejected("there is no certificate at the URL that was sent")
		}
		return nil, err
	}
	chain := value.([]*x509.Certificate)
	leaf := chain[0]
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return nil, rejected("the certificate is not valid at this time")
	}
	if want.name != "" && leaf.VerifyHostname(want.name) != nil {
		return nil, rejected("the certificate is not issued for %s", want.name)
	}
	if !want.unchained {
		intermediates := x509.NewCertPool()
		for _, c := range chain[1:] {
			intermediates.AddCert(c)
		}
		_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, CurrentTime: now,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		if err != nil {
			return nil, rejected("the certificate is not issued by a known authority")
		}
	}
	return leaf.PublicKey, nil
}

// parseCertificates reads PEM with the certificate first and its issuers behind it.
func parseCertificates(b []byte) ([]*x509.Certificate, error) {
	var list []*x509.Certificate
	for len(list) < 10 {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, errors.New("the document has no certificate")
	}
	return list, nil
}

// namedKey is a key of a key set: RFC 7517.
type namedKey struct {
	id     string
	public crypto.PublicKey
}

// maxUnnamed bounds the keys tried for a token that names none.
const maxUnnamed = 10

// named returns the keys of the set at url that a token naming kid may be
// signed with, and that fit. The error is a *Rejected or *Unavailable.
func (k *Keys) named(ctx context.Context, url, kid string, fits func(crypto.PublicKey) error, now time.Time) ([]crypto.PublicKey, error) {
	// A key that is not known may be new, so the set is then fetched once more.
	for _, age := range []time.Duration{freshFor, retryAfter} {
		value, err := k.get(ctx, url, age, now, func(b []byte) (any, error) { return parseKeySet(b) })
		if err != nil {
			return nil, err
		}
		var found []crypto.PublicKey
		for _, key := range value.([]namedKey) {
			if (kid == "" || key.id == kid) && fits(key.public) == nil && len(found) < maxUnnamed {
				found = append(found, key.public)
			}
		}
		if len(found) > 0 {
			return found, nil
		}
	}
	return nil, rejected("the token is signed with a key that the key set does not have")
}

// parseKeySet reads the RSA and P-256 keys of a JSON Web Key Set that are for
// signatures; others are passed over.
func parseKeySet(b []byte) ([]namedKey, error) {
	var set struct {
		Keys []struct {
			Kty string `json:"kty"`
			Use string `json:"use"`
			Kid string `json:"kid"`
			Crv string `json:"crv"`
			N   string `json:"n"`
			E   string `json:"e"`
			X   string `json:"x"`
			Y   string `json:"y"`
		} `json:"keys"`
	}
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(&set); err != nil {
		return nil, fmt.Errorf("the document is not a key set: %w", err)
	}
	var list []namedKey
	for _, j := range set.Keys {
		if j.Use != "" && j.Use != "sig" {
			continue
		}
		switch {
		case j.Kty == "RSA":
			n, e := decodeInteger(j.N), decodeInteger(j.E)
			if n == nil || e == nil || !e.IsInt64() || e.Int64() < 3 || e.Int64() > 1<<31-1 || n.BitLen() > 8192 {
				continue
			}
			list = append(list, namedKey{j.Kid, &rsa.PublicKey{N: n, E: int(e.Int64())}})
		case j.Kty == "EC" && j.Crv == "P-256":
			x, errX := base64URLEncoding.appendDecoded(nil, j.X)
			y, errY := base64URLEncoding.appendDecoded(nil, j.Y)
			if errX != nil || errY != nil || len(x) != 32 || len(y) != 32 {
				continue
			}
			public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
			if err != nil {
				continue
			}
			list = append(list, namedKey{j.Kid, public})
		}
	}
	if len(list) == 0 {
		return nil, errors.New("the key set has no key that can be used")
	}
	return list, nil
}

func decodeInteger(text string) *big.Int {
	b, err := base64URLEncoding.appendDecoded(nil, text)
	if err != nil || len(b) == 0 {
		return nil
	}
	return new(big.Int).SetBytes(b)
}

// URLPattern is an https URL in which * stands for a part of a host's label or
// of a path's segment.
type URLPattern struct {
	expression *regexp.Regexp
	// example is a URL that matches.
	example string
}

// Match reports whether a URL, which must have neither user, port, query nor
// fragment, fits the pattern.
func (p *URLPattern) Match(url string) bool {
	return !strings.Contains(url, "/..") && !strings.Contains(url, "/./") && p.expression.MatchString(url)
}

func (cert *certificate) allows(url string) bool {
	return slices.ContainsFunc(cert.allow, func(p *URLPattern) bool { return p.Match(url) })
}

var literalURL = regexp.MustCompile(`^[a-z0-9._~*/-]+$`)

// ParseURLPattern reads a pattern, such as https://*.example.com/certs/*. The
// last two labels of the host must be written out.
func ParseURLPattern(text string) (*URLPattern, error) {
	rest, ok := strings.CutPrefix(text, "https://")
	if !ok {
		return nil, errors.New("the URL must begin with https://")
	}
	host, path, ok := strings.Cut(rest, "/")
	if !ok {
		return nil, errors.New("the URL must have a path, such as /certs/*")
	}
	labels := strings.Split(host, ".")
	if len(labels) < 2 || strings.Contains(strings.Join(labels[len(labels)-2:], "."), "*") {
		return nil, errors.New("the last two labels of the host must be written out")
	}
	if !literalURL.MatchString(host) || !literalURL.MatchString("/"+strings.ToLower(path)) {
		return nil, errors.New("the URL can have letters, digits, dots, dashes, underscores, slashes and *; the host in lower case, without a port")
	}
	quote := func(s, star string) string {
		return strings.ReplaceAll(regexp.QuoteMeta(s), `\*`, star)
	}
	expression, err := regexp.Compile("^https://" + quote(host, "[a-z0-9-]+") + "/" + quote(path, "[A-Za-z0-9._~-]+") + "$")
	if err != nil {
		return nil, err
	}
	return &URLPattern{expression: expression, example: strings.ReplaceAll(text, "*", "test")}, nil
}
