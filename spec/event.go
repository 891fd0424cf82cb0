package spec

import (
	"encoding/json"
	"slices"

	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// The keys of an event's spec.
var (
	eventKeys        = []string{"key", "name", "description", "implementationType", "type", "parametersSchema", "schema", "methods", "functions", "webhook", "selector", "getEventSelector"}
	foreignEventKeys = []string{"id", "uuid", "example", "parameters", "dataSchema", "eventSchema"}
)

const globalWebhookEvent = "global-webhook"

type eventSpec struct {
	Key              string         `yaml:"key"`
	Name             string         `yaml:"name"`
	Description      string         `yaml:"description"`
	Type             *document.Node `yaml:"implementationType|type"`
	ParametersSchema *document.Node `yaml:"parametersSchema"`
	Schema           *document.Node `yaml:"schema"`
	Methods          *document.Node `yaml:"methods|functions"`
	Webhook          *document.Node `yaml:"webhook"`
	Selector         *document.Node `yaml:"selector"`
	GetEventSelector *document.Node `yaml:"getEventSelector"`
}

var getterMethod = method{name: "getEventSelector", spellings: []string{"getEventSelector", "getEventsSelector"}}

// eventFolders loads events/*/spec.yml.
func (l *loader) eventFolders() {
	for _, dir := range l.subfolders(eventsFolder, "an event") {
		if doc := l.readSpec(dir.path); doc != nil {
			l.event(dir, doc.Root, doc.Root)
		}
	}
	l.dataEvents()
}

func (l *loader) inlineEvent(e entry) {
	l.event(place{name: e.key}, e.node, e.at)
}

func (l *loader) event(where place, n, at *document.Node) {
	key := where.name
	if k := n.Get("key"); k != nil && k.Kind == document.String && k.Value != "" && where.path != "" {
		key = k.Value
	}
	// Events of other kinds have keys of their own, so nothing is said about them.
	for _, name := range []string{"implementationType", "type"} {
		if kind := n.Get(name); kind != nil && kind.Value == connectorEvent && l.c.Dir {
			l.connectorEvent(where, n, at, key)
			return
		}
		if kind := n.Get(name); kind != nil && kind.Kind == document.String && kind.Value != globalWebhookEvent {
			l.foreignEvent(key, kind)
			return
		}
	}
	var s eventSpec
	l.add(n.Decode(&s, document.AllowUnknown())...)
	getter := l.declares(getterMethod, s.Methods, s.GetEventSelector) || l.hasFile(getterMethod, where)
	if where.path != "" && present(s.Type) == nil && !getter && s.Selector == nil && s.Webhook == nil {
		l.c.Unserved[key] = ""
		return
	}
	if l.c.Dir && notSupported(getterMethod, s.Methods) {
		l.c.Unserved[key] = "not-supported"
		return
	}
	l.unknownKeys(n, eventKeys, foreignEventKeys)
	e := &Event{Key: key, Name: s.Name, Description: s.Description, Node: n}
	if e.Name == "" {
		e.Name = key
	}
	if k := n.Get("key"); k != nil && k.Value == key {
		at = k
	}
	l.checkKey(n, at, key, "an event")
	if l.c.Event(key) != nil {
		l.add(at.Errorf("duplicate-key", "there is another event with the key %q", key))
	}
	e.ParametersSchema = l.schema(s.ParametersSchema, false)
	e.Schema = l.schema(s.Schema, true)
	l.unknownMethods(s.Methods, getterMethod)
	e.GetEventSelector = l.function(getterMethod, where, s.Methods, s.GetEventSelector)

	switch {
	case s.Selector != nil && getter:
		l.add(s.Selector.Errorf("two-selectors", "the event has both a selector and a function that computes one; keep one of them"))
	case s.Selector != nil:
		e.Selector = l.template(s.Selector, e.ParametersSchema)
		if s.Webhook != nil && s.Webhook.Kind == document.String {
			e.Webhook = s.Webhook.Value
		} else if s.Webhook != nil {
			l.add(s.Webhook.Errorf("wrong-type", "expected the key of a global webhook, got %s", s.Webhook.Kind))
		}
	case s.Webhook != nil && !l.c.Dir && getter:
		l.add(withHint(s.Webhook.Errorf("unused-key", "the function getEventSelector says which webhook it is, so webhook: has no effect"), "leave it out"))
	case !getter && (l.c.Dir || !misspelt(n, "selector", eventKeys) && !misspelt(n, "getEventSelector", eventKeys)):
		l.add(withHint(at.Errorf("no-selector", "the event %q has neither a selector nor a function %q", key, getterMethod.name),
			`declare it, such as selector: "order.created/${parameters.shop}"`))
	}
	l.c.Events = append(l.c.Events, e)
}

// foreignEvent keeps in mind that there is an event of another kind.
func (l *loader) foreignEvent(key string, kind *document.Node) {
	if !l.c.Dir || diagnostic.Nearest(kind.Value, []string{globalWebhookEvent}) != "" {
		d := kind.Errorf("unknown-name", "events are of the kind %s, not %q", globalWebhookEvent, kind.Value)
		d.Hint = diagnostic.DidYouMean(kind.Value, []string{globalWebhookEvent})
		l.add(d)
		return
	}
	l.c.Unserved[key] = kind.Value
}

// template reads a declared selector and checks that the parameters it names can be given.
func (l *loader) template(n *document.Node, parameters *Schema) *Template {
	if n.Kind != document.String || n.Value == "" {
		l.add(n.Errorf("wrong-type", "expected a selector, got %s", n.Kind))
		return nil
	}
	t, err := ParseTemplate(n.Value)
	if err != nil {
		l.add(withHint(n.Errorf("bad-selector", "%s", err), "${parameters.NAME} stands for a parameter"))
		return nil
	}
	var schema struct {
		Properties map[string]json.RawMessage
		Required   []string
	}
	if parameters != nil {
		_ = json.Unmarshal(parameters.Raw(), &schema) // another shape declares nothing
	}
	var names []string
	for name := range schema.Properties {
		names = append(names, name)
	}
	for _, part := range t.parts {
		if part.path == nil {
			continue
		}
		name := part.path[0]
		declared, ok := schema.Properties[name]
		var withDefault struct{ Default json.RawMessage }
		_ = json.Unmarshal(declared, &withDefault)
		switch {
		case !ok:
			d := n.Errorf("unknown-name", "parametersSchema has no parameter %q", name)
			if d.Hint = diagnostic.DidYouMean(name, names); d.Hint == "" {
				d.Hint = "declare it under parametersSchema: properties:"
			}
			l.add(d)
		case len(part.path) == 1 && !part.hasFallback && withDefault.Default == nil && !slices.Contains(schema.Required, name):
			d := n.Warnf("optional-parameter", "the selector needs the parameter %q, which may be left out", name)
			d.Hint = "list it under required:, or write ${parameters." + name + ":-*}"
			l.add(d)
		}
	}
	return t
}

// linkEvents finds the webhooks that declared selectors belong to.
func (l *loader) linkEvents() {
	var keys []string
	for _, w := range l.c.Webhooks {
		keys = append(keys, w.Key)
	}
	for _, e := range l.c.Events {
		at := e.Node.Get("webhook")
		switch {
		case e.Selector == nil:
		case at == nil && len(keys) == 1:
			e.Webhook = keys[0]
		case at == nil && len(keys) > 1:
			l.add(withHint(e.Node.Get("selector").Errorf("missing-key", "the event %q does not say of which global webhook it is", e.Key),
				"add webhook: "+keys[0]))
		case at != nil && e.Webhook != "" && !slices.Contains(keys, e.Webhook):
			l.add(at.UnknownName("global webhook", keys))
		}
	}
}
