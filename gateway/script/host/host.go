// Package host has the objects that functions of connectors can use besides
// the language itself: crypto, Buffer, URL, URLSearchParams, TextEncoder,
// TextDecoder, atob, btoa, structuredClone and DOMException, with the names and the
// behaviour of Node.js. All work on bytes, none can reach files, network or
// environment, and no call allocates more than a bounded amount.
//
// The packages below it divide the work: crypto, buffer and web have the objects,
// bridge what they share; codec, keys and weburl are free of JavaScript.
//
// Only gateway/script may call it.
package host

import (
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dop251/goja"

	"switchhook/gateway/script/host/bridge"
	"switchhook/gateway/script/host/buffer"
	"switchhook/gateway/script/host/crypto"
	"switchhook/gateway/script/host/web"
)

// Options are what the objects take from outside of the runtime.
type Options struct {
	// Random is the source of every random byte; nil: the system's. With a
	// seeded reader all results are deterministic. A failing reader makes the
	// calls that need it throw.
	Random io.Reader
	// Now is the clock for objects that need one; nil: time.Now. None does so far:
	// an X509Certificate tells its dates and leaves it to the script to compare them.
	Now func() time.Time
}

var (
	atob            = bridge.Method(1, web.Atob)
	btoa            = bridge.Method(1, web.Btoa)
	bufferMember    = bridge.Lazy(func(b *bridge.Bridge) goja.Value { return buffer.Constructor(b) })
	url             = bridge.Lazy(func(b *bridge.Bridge) goja.Value { return web.URL(b) })
	urlSearchParams = bridge.Lazy(func(b *bridge.Bridge) goja.Value { return web.URLSearchParams(b) })

	globals = bridge.Members{
		"crypto":          bridge.Lazy(func(b *bridge.Bridge) goja.Value { return b.Module(crypto.Module) }),
		"Buffer":          bufferMember,
		"URL":             url,
		"URLSearchParams": urlSearchParams,
		"TextEncoder":     bridge.Lazy(func(b *bridge.Bridge) goja.Value { return web.TextEncoder(b) }),
		"TextDecoder":     bridge.Lazy(func(b *bridge.Bridge) goja.Value { return web.TextDecoder(b) }),
		"DOMException":    bridge.Lazy(func(b *bridge.Bridge) goja.Value { return web.Exception(b) }),
		"atob":            atob,
		"btoa":            btoa,
		"structuredClone": bridge.Method(1, web.StructuredClone),
	}

	modules = map[string]*bridge.Module{
		"crypto": crypto.Module,
		"buffer": bridge.NewModule(buffer.Members().With(bridge.Members{"atob": atob, "btoa": btoa})),
		"url":    bridge.NewModule(web.Members()),
	}
)

// Install defines the globals in a runtime that has not run any code yet. Each object is
// built when it is first touched, and is a plain, writable property of the global object
// from then on; an untouched one costs nothing. For this an object is put between
// the global object and its prototype: whoever puts another one there must put it
// in front of this one and not in its place.
//
// It must be called once for a runtime, and the runtime belongs to one goroutine.
func Install(rt *goja.Runtime, opt Options) error {
	b := &bridge.Bridge{RT: rt, Random: opt.Random}
	if b.Random == nil {
		b.Random = rand.Reader
	}
	if err := b.Extend(rt.GlobalObject(), globals); err != nil {
		return fmt.Errorf("host objects: %w", err)
	}
	return nil
}

// Module returns what require(name) gives in a runtime for which Install was called: the
// modules "crypto", "buffer" and "url", with or without "node:" in front. The
// value lists all it has as its own properties, and has `default` too, so that default
// and named imports both find what they look for. It reports false for any
// other name.
func Module(rt *goja.Runtime, name string) (goja.Value, bool) {
	m, ok := modules[strings.TrimPrefix(name, "node:")]
	if !ok {
		return nil, false
	}
	b := bridge.Of(rt)
	if b == nil {
		return nil, false
	}
	return b.Module(m), true
}
