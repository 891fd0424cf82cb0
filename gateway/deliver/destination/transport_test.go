package destination

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestGuardedTransport(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	transport := GuardedTransport()
	defer transport.CloseIdleConnections()
	_, err := (&http.Client{Transport: transport}).Get(s.URL)
	var refused *forbiddenError
	if !errors.As(err, &refused) {
		t.Errorf("a loopback address was called: %v", err)
	}
}
