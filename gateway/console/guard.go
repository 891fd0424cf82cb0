package console

import (
	"crypto/sha256"
	"crypto/subtle"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strings"

	"switchhook/gateway/config"
)

// guard decides which requests are let in.
type guard struct {
	// host is that of the listen address.
	host     string
	loopback bool
	token    [sha256.Size]byte
	hasToken bool
}

func newGuard(listen string, token config.Secret) guard {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		host = listen
	}
	return guard{
		host: strings.ToLower(host), loopback: isLoopback(host),
		token: sha256.Sum256([]byte(token.Reveal())), hasToken: token.IsSet(),
	}
}

func isLoopback(host string) bool {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

// check returns a *problem for a request that is not let in.
//
// A page in a browser can make its visitor's browser send requests to a
// loopback address. It is kept out in two ways: a name that an attacker's DNS
// points here is not one of this listener, and requests of other origins, or with
// a content type that a browser sends without asking, are refused.
func (g guard) check(r *http.Request) error {
	if g.loopback {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if !isLoopback(host) && strings.ToLower(host) != g.host {
			return &problem{Status: http.StatusForbidden, Detail: "this host name is not one of the admin listener; use its address, or localhost"}
		}
	}
	if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" && !r.URL.Query().Has("verbose") {
		return nil
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || !strings.EqualFold(u.Host, r.Host) {
			return &problem{Status: http.StatusForbidden, Detail: "requests of other origins are refused"}
		}
	}
	if get := r.Method == http.MethodGet || r.Method == http.MethodHead; get && (r.URL.Path == "/" || strings.HasPrefix(path.Clean(r.URL.Path), "/assets/")) {
		// The pages hold nothing; what they show they ask the API for. A link on another site may lead to them.
		return nil
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return &problem{Status: http.StatusForbidden, Detail: "requests of other sites are refused"}
	}
	if g.hasToken {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(sum[:], g.token[:]) != 1 {
			return &problem{Status: http.StatusUnauthorized, Detail: "present admin.token of the configuration: Authorization: Bearer TOKEN"}
		}
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	contentType := r.Header.Get("Content-Type")
	if contentType == "" && r.ContentLength == 0 {
		return nil
	}
	if media, _, err := mime.ParseMediaType(contentType); err != nil || media != "application/json" {
		return &problem{Status: http.StatusUnsupportedMediaType, Detail: "the content type must be application/json"}
	}
	return nil
}

// secure sets the header fields of every answer: browsers keep nothing, guess no
// types, show it in no frame, and run no scripts but those of the console itself.
func secure(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}
