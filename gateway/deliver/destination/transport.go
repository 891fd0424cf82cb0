package destination

import (
	"net/http"
	"time"
)

// GuardedTransport is an HTTP transport whose connections go to public
// addresses only, and through no proxy; for what the gateway fetches by itself, such as the
// key sets that verification names. Close its idle connections when done.
func GuardedTransport() *http.Transport {
	return &http.Transport{
		DialContext:         newDialer(Options{}, nil).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		IdleConnTimeout:     30 * time.Second,
		ForceAttemptHTTP2:   true,
	}
}
