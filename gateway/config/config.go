// Package config reads config.yaml: where the gateway listens, its limits, its
// folders, and the workspaces with their integrations and subscriptions. It
// reports every mistake at once, with its place, and never shows a secret.
//
// It knows the file only. Whether a connector, a webhook or an event of that
// name exists, whether parameters fit the connector's schema, and whether
// selectors and filters are well formed, is checked by live, which finds the
// nodes to point at here. app loads the configuration; console uses
// DecodeSubscription and DecodeDestination for subscriptions made at run time.
package config

import (
	"net/netip"
	"net/url"
	"time"

	"switchhook/gateway/hook"
	"switchhook/spec/document"
)

// Config is a configuration that has been checked, with defaults applied.
// Nobody changes it after Load.
type Config struct {
	// Path is the absolute path of the file, and Dir the folder it is in.
	Path, Dir string
	// Document is the file as read, with expansions done.
	Document *document.Document

	Server Server
	Admin  Admin
	// Connectors is the folder of connectors, absolute.
	Connectors string
	// Data is the data directory, absolute. It need not exist yet.
	Data string
	// URLKey is the key that the tokens of webhook URLs are made with; empty:
	// the one kept in the data directory. At least 16 bytes.
	URLKey    Secret
	Scripts   Scripts
	Retention Retention
	Dedupe    Dedupe
	Log       Log
	// Workspaces by name.
	Workspaces map[string]*Workspace
}

// WithoutSource is a copy without what is of use only until a generation is built of it, which is most of its
// size: the document with its nodes, and the subscriptions.
func (c *Config) WithoutSource() *Config {
	kept := *c
	kept.Document, kept.Workspaces = nil, make(map[string]*Workspace, len(c.Workspaces))
	for name, w := range c.Workspaces {
		integrations := make(map[string]*Integration, len(w.Integrations))
		for key, in := range w.Integrations {
			integrations[key] = &Integration{Workspace: in.Workspace, Name: in.Name, Connector: in.Connector}
		}
		kept.Workspaces[name] = &Workspace{Name: w.Name, Integrations: integrations}
	}
	return &kept
}

// Server is how webhooks are received.
type Server struct {
	// Listen is the address, host:port; default 127.0.0.1:8080.
	Listen string `yaml:"listen"`
	// PublicURL is what providers call: scheme, host and perhaps a path,
	// without a trailing slash. Default: http:// and the listen address.
	PublicURL URL `yaml:"publicUrl"`
	// MaxBody bounds the body of a request; default 10 MiB.
	MaxBody Size `yaml:"maxBody"`
	// MaxHeader bounds the request line and header together; default 64 KiB.
	MaxHeader Size `yaml:"maxHeader"`
	// InFlightBytes bounds the bodies of all requests being served together;
	// default 112 MiB.
	InFlightBytes Size `yaml:"inFlightBytes"`
	// MaxConnections bounds the open connections; default 16,384.
	MaxConnections int `yaml:"maxConnections"`
	// ReadTimeout bounds the time from a request's first byte to its last; default 30 s.
	ReadTimeout time.Duration `yaml:"readTimeout"`
	// WriteTimeout bounds the time to write a response; default 30 s.
	WriteTimeout time.Duration `yaml:"writeTimeout"`
	// IdleTimeout is how long a connection may wait for its next request; default 75 s.
	IdleTimeout time.Duration `yaml:"idleTimeout"`
	// DrainTimeout bounds the time a stopping gateway waits for requests and
	// deliveries under way; default 25 s.
	DrainTimeout time.Duration `yaml:"drainTimeout"`
	// TrustedProxies are the networks of reverse proxies whose
	// X-Forwarded-For is believed.
	TrustedProxies []Prefix `yaml:"trustedProxies"`
	// RateLimit bounds the requests that are taken.
	RateLimit RateLimit `yaml:"rateLimit"`
}

// RateLimit bounds requests in a second; each limit allows bursts of twice
// that many. 0: no limit, the default.
type RateLimit struct {
	// PerWebhook counts the requests to one webhook URL.
	PerWebhook float64 `yaml:"perWebhook"`
	// PerAddress counts the requests from one remote address (for IPv6, its /64).
	PerAddress float64 `yaml:"perAddress"`
}

// Admin is the listener of the admin API and the console.
type Admin struct {
	// Listen is the address; default 127.0.0.1:8081.
	Listen string `yaml:"listen"`
	// Token is what callers must present; empty: none is asked for, which is
	// only allowed on loopback.
	Token Secret `yaml:"token"`
}

// Isolation says where handlers run.
type Isolation string

// The isolations.
const (
	// Process: in worker processes, the default.
	Process Isolation = "process"
	// InProcess: in the gateway's own process, for connectors that are trusted.
	InProcess Isolation = "in-process"
)

// Scripts are the limits of handlers.
type Scripts struct {
	Isolation Isolation `yaml:"isolation"`
	// Timeout is the soft deadline of a call, default 1 s.
	Timeout time.Duration `yaml:"timeout"`
	// KillAfter is the hard deadline, default 2 s; longer than Timeout.
	KillAfter time.Duration `yaml:"killAfter"`
	// Memory bounds each worker process, default 256 MiB.
	Memory Size `yaml:"memory"`
}

// Retention says how long what was received is kept.
type Retention struct {
	// Age is the longest a settled request is kept; default 720h (30 days), 0: for ever.
	Age time.Duration `yaml:"age"`
	// Size bounds the store; default 10 GiB, 0: no bound.
	Size Size `yaml:"size"`
}

// Dedupe is how events that come twice are found.
type Dedupe struct {
	// Window is for how long an event's key is remembered; default 24h, 0: not at all.
	Window time.Duration `yaml:"window"`
}

// Log is what is logged and how.
type Log struct {
	// Level is "debug", "info" (the default), "warn" or "error".
	Level string `yaml:"level"`
	// Format is "text", "json" or "auto" (the default: text on a terminal, else json).
	Format string `yaml:"format"`
}

// Workspace is a tenant of the gateway.
type Workspace struct {
	Name          string
	Integrations  map[string]*Integration
	Subscriptions map[string]*Subscription
	// Node is the workspace's map in the file.
	Node *document.Node
}

// Integration is a connector put to use in a workspace.
type Integration struct {
	Workspace, Name string
	// Connector is the key of the connector; never empty.
	Connector string
	// Parameters is the map of parameters in the file, expanded; nil when
	// there are none. They hold secrets: nobody shows them.
	Parameters *document.Node
	// Node is the integration's map in the file.
	Node *document.Node
}

// At returns the node of one of the integration's keys, or the whole, to point at.
func (i *Integration) At(key string) *document.Node { return at(i.Node, key) }

// Subscription is a subscription of the file. Either Event is set or Selector
// is; Webhook may be empty with Event only.
type Subscription struct {
	hook.Subscription
	// Node is the subscription's map in the file.
	Node *document.Node
}

// At returns the node of one of the subscription's keys, or the whole, to point at.
func (s *Subscription) At(key string) *document.Node { return at(s.Node, key) }

func at(n *document.Node, key string) *document.Node {
	if v := n.Get(key); v != nil {
		return v
	}
	return n
}

// URL is an absolute http or https URL.
type URL struct{ *url.URL }

// Prefix is a network in CIDR notation; a single address stands for itself.
type Prefix struct{ netip.Prefix }
