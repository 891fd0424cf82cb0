// Package live holds the configuration that the gateway works with at this
// moment: an immutable Generation made of config.yaml and the connectors
// folder, behind one atomic pointer, and the subscriptions made at run time.
//
// app builds and swaps generations; ingest takes one for the whole of a
// request; console and cli read them.
package live

import (
	"encoding/json"
	"strings"
	"time"

	"switchhook/gateway/config"
	"switchhook/gateway/handshake"
	"switchhook/gateway/match"
	"switchhook/gateway/script"
	"switchhook/gateway/verify"
	"switchhook/spec"
	"switchhook/spec/diagnostic"
)

// Generation is everything that config.yaml and the connectors folder said
// when they were last read without an error in config.yaml. Nobody changes one
// after it was built.
type Generation struct {
	// Number counts generations of this process from 1.
	Number uint64
	// Config is what it was built of, without source.
	Config *config.Config
	// Connectors by key.
	Connectors map[string]*Connector
	// Endpoints are all webhook URLs, sorted by path.
	Endpoints []*Endpoint
	// Warnings are findings that do not keep config.yaml from being used.
	Warnings diagnostic.List
	BuiltAt  time.Time

	urlKey        URLKey
	endpoints     map[string]*Endpoint // by "workspace/integration/webhook"
	subscriptions *catalog
}

// ConnectorState is whether a connector serves.
type ConnectorState string

// The states of a connector.
const (
	// Up: the version on disk serves.
	Up ConnectorState = "up"
	// Stale: the version on disk is broken, the last good one serves.
	Stale ConnectorState = "stale"
	// Down: the version on disk is broken and no good one is known. Requests
	// to its webhooks are answered 503, so that providers send them again.
	Down ConnectorState = "down"
)

// Connector is a connector with its functions built.
type Connector struct {
	Key   string
	State ConnectorState
	// Spec is the version that serves; nil when Down.
	Spec *spec.Connector
	// Webhooks by key; empty when Down.
	Webhooks map[string]*Webhook
	// Getters are the functions that compute the selector (or, of an event that is made of another one, which that is)
	// of events that have one, by event key.
	Getters map[string]*script.Program
	// Extractors are the functions that make an event's payloads of those of another event, by event key.
	Extractors map[string]*script.Program
	// Problems are the findings about the version on disk.
	Problems diagnostic.List
	// LoadedAt is when the version that serves was built.
	LoadedAt time.Time

	path string // of the folder or file
	hash string // of the version on disk, good or bad
}

// Webhook is a global webhook with its functions built.
type Webhook struct {
	Spec *spec.GlobalWebhook
	// Scheme is how its requests are verified; nil where the spec does not
	// say (requests are then taken as they come).
	Scheme *verify.Scheme
	// Handshake is nil where none is declared.
	Handshake *handshake.Handshake
	// Handle is never nil. HandshakeFunction may be.
	Handle            *script.Program
	HandshakeFunction *script.Program

	selectors func() []*match.Selector
}

// Selectors are patterns of all selectors that the webhook's events can have, as far as the code of its
// handler shows for certain; nil when it does not.
func (w *Webhook) Selectors() []*match.Selector {
	if w.selectors == nil {
		return nil
	}
	return w.selectors()
}

// Endpoint is one webhook URL: a global webhook of the connector that an
// integration uses.
type Endpoint struct {
	Generation *Generation
	Connector  *Connector
	// Webhook is nil when the connector is Down.
	Webhook *Webhook
	// Workspace, Integration and Key (of the webhook) are the names in the path.
	Workspace, Integration, Key string
	// Path begins with a slash; URL is the public base URL and Path.
	Path, URL string
	// Verifier is the webhook's scheme with the integration's secrets; nil
	// where Webhook.Scheme is nil or "none".
	Verifier *verify.Verifier
	// Parameters are the integration's, with defaults applied: a JSON object.
	// They hold secrets.
	Parameters json.RawMessage

	token string
}

// IntegrationID is "workspace/integration", the name under which a store keeps
// the integration's state.
func (e *Endpoint) IntegrationID() string { return e.Workspace + "/" + e.Integration }

// Scope is where the endpoint's events are matched.
func (e *Endpoint) Scope() match.Scope {
	return match.Scope{Workspace: e.Workspace, Integration: e.Integration, Webhook: e.Key}
}

// Find returns the endpoint that path leads to, or nil. How long it takes does
// not depend on how much of the token is right.
func (g *Generation) Find(path string) *Endpoint {
	names, token, ok := splitPath(path)
	if !ok {
		return nil
	}
	if e := g.endpoints[names]; e != nil {
		if sameToken(e.token, token) {
			return e
		}
		return nil
	}
	// The webhooks of a connector that is down are not known. Its URLs are:
	// they can be computed from the names.
	part := strings.Split(names, "/")
	w := g.Config.Workspaces[part[0]]
	if w == nil || w.Integrations[part[1]] == nil {
		return nil
	}
	c := g.Connectors[w.Integrations[part[1]].Connector]
	if c == nil || c.State != Down || !sameToken(g.urlKey.token(part[0], part[1], part[2]), token) {
		return nil
	}
	return &Endpoint{Generation: g, Connector: c, Workspace: part[0], Integration: part[1], Key: part[2], Path: path}
}

// Endpoint returns the endpoint by its names, or nil.
func (g *Generation) Endpoint(workspace, integration, webhook string) *Endpoint {
	return g.endpoints[workspace+"/"+integration+"/"+webhook]
}

// Subscription returns a subscription of config.yaml by its id, or nil.
func (g *Generation) Subscription(id string) *Resolved { return g.subscriptions.subscription(id) }

// Subscriptions calls yield with the id of every subscription of config.yaml, in no order, until it returns false.
func (g *Generation) Subscriptions(yield func(id string) bool) { g.subscriptions.now().eachID(yield) }

// Problems are the findings about all connectors that are not up, sorted.
func (g *Generation) Problems() diagnostic.List {
	var list diagnostic.List
	for _, c := range g.Connectors {
		if c.State != Up {
			list.Add(c.Problems...)
		}
	}
	list.Sort()
	return list
}
