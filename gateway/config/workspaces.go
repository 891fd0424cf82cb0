package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"switchhook/gateway/hook"
	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// Names stand in URLs and in ids such as workspace/subscription.
var nameRule = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// CheckName says what is wrong with the name of a workspace, an integration or a
// subscription; n is where it stands.
func CheckName(n *document.Node, what, name string) diagnostic.List {
	if nameRule.MatchString(name) {
		return nil
	}
	d := n.Errorf("bad-name", "this cannot be the name of a %s", what)
	if what == "integration" {
		d.Message = "this cannot be the name of an integration"
	}
	d.Hint = "names have 1 to 63 lower-case letters, digits, - and _, and begin with a letter or digit"
	mended := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(name), "-"), "-_")
	if nameRule.MatchString(mended) {
		d.Hint += "; such as " + mended
	}
	return diagnostic.List{d}
}

var notInNames = regexp.MustCompile(`[^a-z0-9_-]+`)

// named are the entries of a map of names. Those with a bad name are reported
// and still returned, so that what is wrong inside is reported too.
func (l *loader) named(n *document.Node, what string) []document.Entry {
	if n == nil || n.Kind == document.Null {
		return nil
	}
	if n.Kind != document.Map {
		d := n.Errorf("wrong-type", "expected a map of names, got %s", n.Kind)
		d.Hint = "each " + what + " stands under its name"
		l.list.Add(d)
		return nil
	}
	for _, e := range n.Entries() {
		l.list.Add(CheckName(e.KeyNode, what, e.Key)...)
	}
	return n.Entries()
}

type workspaceKeys struct {
	Integrations  *document.Node `yaml:"integrations"`
	Subscriptions *document.Node `yaml:"subscriptions"`
}

type integrationKeys struct {
	Connector  string         `yaml:"connector,required"`
	Parameters *document.Node `yaml:"parameters"`
}

func (l *loader) workspaces(n *document.Node) map[string]*Workspace {
	all := map[string]*Workspace{}
	for _, e := range l.named(n, "workspace") {
		var keys workspaceKeys
		l.list.Add(e.Value.Decode(&keys)...)
		w := &Workspace{Name: e.Key, Node: e.Value, Integrations: map[string]*Integration{}, Subscriptions: map[string]*Subscription{}}
		all[e.Key] = w
		for _, e := range l.named(keys.Integrations, "integration") {
			w.Integrations[e.Key] = l.integration(w.Name, e)
		}
		for _, e := range l.named(keys.Subscriptions, "subscription") {
			s := &Subscription{Node: e.Value}
			var found diagnostic.List
			s.Subscription, found = DecodeSubscription(e.Value, l.dir)
			s.Workspace, s.Name = w.Name, e.Key
			l.list.Add(found...)
			w.Subscriptions[e.Key] = s
			if _, known := w.Integrations[s.Integration]; s.Integration != "" && !known {
				l.list.Add(s.At("integration").UnknownName("integration", slices.Collect(maps.Keys(w.Integrations))))
			}
		}
	}
	return all
}

func (l *loader) integration(workspace string, e document.Entry) *Integration {
	var keys integrationKeys
	l.list.Add(e.Value.Decode(&keys)...)
	if keys.Connector == "" && e.Value.Get("connector") != nil && e.Value.Get("connector").Kind == document.String {
		l.list.Add(e.Value.Get("connector").Errorf("missing-value", "expected the key of a connector"))
	}
	return &Integration{Workspace: workspace, Name: e.Key, Node: e.Value,
		Connector: keys.Connector, Parameters: mapOrNothing(&l.list, keys.Parameters, "parameters")}
}

// mapOrNothing returns n when it is a map, nil when it is absent or null, and
// adds an error otherwise.
func mapOrNothing(list *diagnostic.List, n *document.Node, what string) *document.Node {
	switch {
	case n == nil || n.Kind == document.Null:
		return nil
	case n.Kind != document.Map:
		list.Add(n.Errorf("wrong-type", "expected a map of %s, got %s", what, n.Kind))
		return nil
	}
	return n
}

// subscriptionKeys are the keys of a subscription.
type subscriptionKeys struct {
	Integration string         `yaml:"integration,required"`
	Webhook     string         `yaml:"webhook"`
	Selector    string         `yaml:"selector"`
	Event       string         `yaml:"event"`
	Parameters  *document.Node `yaml:"parameters"`
	Filter      *document.Node `yaml:"filter"`
	Destination *document.Node `yaml:"destination,required"`
	Ordered     bool           `yaml:"ordered"`
	Paused      bool           `yaml:"paused"`
}

// DecodeSubscription reads a subscription as it stands in config.yaml (or as
// JSON of the same form). Workspace and Name are left to the caller; relative
// paths are relative to base, see DecodeDestination. Either Event is set or
// Selector is; Webhook may be empty where the connector has only one. That these and the filter make sense to the
// connector is not checked here.
func DecodeSubscription(n *document.Node, base string) (hook.Subscription, diagnostic.List) {
	var keys subscriptionKeys
	list := n.Decode(&keys)
	if n.Kind != document.Map {
		if n.Kind == document.Null {
			list = diagnostic.List{n.Errorf("missing-value", "expected a subscription: integration, webhook, selector, destination")}
		}
		return hook.Subscription{}, list
	}
	s := hook.Subscription{Integration: keys.Integration, Ordered: keys.Ordered, Paused: keys.Paused}
	s.Webhook, s.Selector, s.Event = keys.Webhook, keys.Selector, keys.Event
	for _, key := range []string{"integration", "webhook", "selector", "event"} {
		if at := n.Get(key); at != nil && at.Kind == document.String && at.Value == "" {
			list.Add(at.Errorf("missing-value", "the key %q needs a value", key))
		}
	}
	has := func(key string) bool { v := n.Get(key); return v != nil && v.Kind != document.Null }
	const either = "a subscription has either selector (and webhook, where the connector has several), or event and parameters"
	hinted := func(d diagnostic.Diagnostic) { d.Hint = either; list.Add(d) }
	switch {
	case has("event") && has("selector"):
		hinted(n.Get("selector").Errorf("conflict", "the event computes the selector; it cannot be given too"))
	case has("event") && has("webhook"):
		hinted(n.Get("webhook").Errorf("conflict", "the event computes the webhook; it cannot be given too"))
	case has("event"):
	case has("parameters"):
		hinted(n.Get("parameters").Errorf("conflict", "parameters are those of an event, and there is no event"))
	case !has("selector") && !has("webhook"):
		hinted(n.Errorf("missing-key", "which events is not said"))
	case !has("selector"):
		hinted(n.Errorf("missing-key", `the key "selector" is missing`))
	}
	if parameters := mapOrNothing(&list, keys.Parameters, "parameters"); parameters != nil {
		s.Parameters = parameters.JSON()
	}
	if keys.Filter != nil && keys.Filter.Kind != document.Null {
		s.Filter = keys.Filter.JSON()
	}
	if keys.Destination != nil && keys.Destination.Kind != document.Null {
		var found diagnostic.List
		s.Destination, found = DecodeDestination(keys.Destination, base)
		list.Add(found...)
	}
	return s, list
}
