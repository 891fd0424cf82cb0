package config

import (
	"switchhook/gateway/hook"
	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// Options change how Load works. The zero value is that of a plain start.
type Options struct {
	// Env looks up an environment variable; nil: os.LookupEnv.
	Env func(name string) (value string, ok bool)
	// Environ lists the environment as os.Environ does, to find SWITCHHOOK_
	// variables that are no setting; nil: os.Environ when Env is nil, else none.
	Environ []string
	// Set are settings from flags, each "server.listen=127.0.0.1:9090".
	Set []string
}

// Load reads and checks the file at path. A setting is taken from
// Options.Set, else from the environment (SWITCHHOOK_SERVER_LISTEN for
// server.listen), else from the file, else it has its default. ${VAR},
// ${VAR:-default} and ${file:path} in strings of the file are expanded. When
// the list has errors the configuration is nil.
func Load(path string, opt Options) (*Config, diagnostic.List) {
	return nil, diagnostic.List{{Code: "unreadable", File: path, Message: "reading configuration is not there yet"}}
}

// DecodeSubscription reads a subscription as it stands in config.yaml (or as
// JSON of the same form). Workspace and Name are left to the caller; relative
// paths are relative to base. The error list also covers the destination.
func DecodeSubscription(n *document.Node, base string) (hook.Subscription, diagnostic.List) {
	return hook.Subscription{}, diagnostic.List{n.Errorf("unsupported", "not there yet")}
}

// DecodeDestination reads a destination as it stands in config.yaml (or as
// JSON of the same form), checks it and applies defaults. Relative paths are
// relative to base; with base "" they are errors.
func DecodeDestination(n *document.Node, base string) (hook.Destination, diagnostic.List) {
	return hook.Destination{}, diagnostic.List{n.Errorf("unsupported", "not there yet")}
}
