// Package destination has the senders that bring a delivery to its
// destination: http, stdout, file, nats and kafka. Senders makes all of them;
// app hands them to the delivery engine.
package destination

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"time"

	"switchhook/gateway/deliver"
	"switchhook/gateway/hook"
)

// Options say what the senders work with. All of it has defaults.
type Options struct {
	// Stdout is where the stdout destination writes; default os.Stdout.
	Stdout io.Writer
	// Version is added to the User-Agent: "Switchhook/1.2"; "" for none.
	Version string
	// Now gives webhook-timestamp; default time.Now.
	Now func() time.Time
	// TLS is the base configuration of TLS clients; default: the system's roots.
	TLS *tls.Config
	// Resolver looks up host names; default net.DefaultResolver.
	Resolver *net.Resolver
	// Logger; default slog.Default().
	Logger *slog.Logger
}

// Senders returns the senders by type of destination.
func Senders(o Options) map[string]deliver.Sender { return map[string]deliver.Sender{} }

// HeaderProblem is what is wrong with one static header of a destination.
type HeaderProblem struct {
	// Index is its place in the list.
	Index int
	// Message is one line; it never contains the header's value.
	Message string
}

// ValidateHeaders returns everything that is wrong with the static headers of
// a destination; nil when they can be sent.
func ValidateHeaders(h hook.Headers) []HeaderProblem { return nil }
