// Package destination has the senders that bring a delivery to its
// destination: http, stdout, file, nats and kafka. Senders makes all of them;
// app hands them to the delivery engine.
//
// Every connection a sender makes goes through a guard that refuses addresses
// of the gateway's own network, after the name was looked up and before
// anything is sent, unless the destination's Allow lists the network.
//
// Nothing a sender returns contains a secret, the user information or query
// of a URL, or the value of a static header.
package destination

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"switchhook/gateway/deliver"
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

// Senders returns the senders by type of destination: "http", "stdout",
// "file", "nats" and "kafka". They hold no connections, files or goroutines before their first
// Send; Close ends them.
func Senders(o Options) map[string]deliver.Sender {
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return map[string]deliver.Sender{
		"http":   newHTTP(o),
		"stdout": newStdout(o),
		"file":   newFile(o),
		"nats":   newNATS(o),
		"kafka":  newKafka(o),
	}
}
