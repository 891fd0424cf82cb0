package destination

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"unicode/utf8"

	"switchhook/gateway/deliver"
	"switchhook/gateway/hook"
)

// tlsError marks an error as one of a TLS handshake.
type tlsError struct{ err error }

func (e *tlsError) Error() string { return e.err.Error() }
func (e *tlsError) Unwrap() error { return e.err }

// failure makes a Result of an error of a connection. other is the class of
// what is neither a failure to connect nor to be answered in time.
func failure(ctx context.Context, sub *hook.Subscription, err error, other string) deliver.Result {
	class, text := other, err.Error()
	var (
		forbid *forbiddenError
		dns    *net.DNSError
		op     *net.OpError
		netErr net.Error
	)
	switch {
	case errors.As(err, &forbid):
		class, text = "forbidden", forbid.Error()
	case errors.Is(ctx.Err(), context.DeadlineExceeded), err == context.DeadlineExceeded: // plain's
		class, text = "timeout", "no answer within "+sub.Destination.Timeout.String()
		if errors.As(err, &dns) {
			text = "looking up " + dns.Name + " took longer than " + sub.Destination.Timeout.String()
		}
	case ctx.Err() != nil:
		class, text = "gateway", "cut off: the gateway stops"
	case errors.As(err, &dns):
		class = "dns"
	case errors.As(err, new(*tlsError)), errors.As(err, new(tls.RecordHeaderError)),
		errors.As(err, new(*tls.CertificateVerificationError)), errors.As(err, new(x509.UnknownAuthorityError)),
		errors.As(err, new(x509.HostnameError)), errors.As(err, new(x509.CertificateInvalidError)),
		errors.Is(err, http.ErrSchemeMismatch):
		class = "tls"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.EADDRNOTAVAIL):
		class = "gateway"
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		class = "refused"
	case errors.As(err, &netErr) && netErr.Timeout():
		class = "timeout"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		class = "reset"
		if !errors.As(err, &op) {
			text = "the connection was closed before the answer"
		}
	}
	return deliver.Result{Class: class, Error: clean(text, sub)}
}

// gatewayFailure is an attempt that could not be made because of what the
// subscription says.
func gatewayFailure(sub *hook.Subscription, text string) deliver.Result {
	return deliver.Result{Class: "gateway", Error: clean(text, sub)}
}

// clean makes one line of an error's text that people may see: without
// control characters, of bounded length, and without what the destination
// keeps secret. No message is meant to contain that; what libraries put into
// theirs is not in our hands.
func clean(text string, sub *hook.Subscription) string {
	d := &sub.Destination
	for _, s := range d.Secrets {
		text = hide(text, s)
		text = hide(text, strings.TrimPrefix(s, "whsec_"))
	}
	for _, h := range d.Headers {
		text = hide(text, h.Value)
	}
	for _, raw := range strings.Split(d.URL, ",") {
		text = hideURL(text, strings.TrimSpace(raw))
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, text)
	const limit = 500
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "..."
	}
	return text
}

func hideURL(text, raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return hide(text, raw)
	}
	if u.User != nil {
		text = hide(text, u.User.String())
		text = hide(text, u.User.Username())
		if password, ok := u.User.Password(); ok {
			text = hide(text, password)
		}
	}
	return hide(text, u.RawQuery)
}

// hide replaces a secret. What is shorter than four characters is no secret,
// and would mangle the text.
func hide(text, secret string) string {
	if len(secret) < 4 {
		return text
	}
	return strings.ReplaceAll(text, secret, "***")
}
