package spec

import (
	"slices"

	"switchhook/spec/document"
)

// connectorEvent is the kind of events that are made of another event of the connector.
const connectorEvent = "connector-event"

// dataFolder has the data collections of the published format, of which only such events matter here.
const dataFolder = "data"

// The changes of a collection that events can tell of.
var collectionEvents = []string{"created", "updated", "deleted"}

var (
	configMethod  = method{name: "getEventConfig", spellings: []string{"getEventConfig"}}
	extractMethod = method{name: "extractEvents", spellings: []string{"extractEvents"}}
)

// chainedSpec is what an event of the kind connector-event has, in events/ or in a data collection.
type chainedSpec struct {
	Name             string         `yaml:"name"`
	Description      string         `yaml:"description"`
	ParametersSchema *document.Node `yaml:"parametersSchema"`
	Schema           *document.Node `yaml:"schema"`
	Methods          *document.Node `yaml:"methods|functions"`
}

// chainedEvent loads an event of the kind connector-event.
func (l *loader) chainedEvent(e *Event, config, extract method, where place, methods *document.Node, at *document.Node) {
	e.GetEventConfig = l.function(config, where, methods, nil)
	e.ExtractEvents = l.function(extract, where, methods, nil)
	if e.GetEventConfig == nil && !l.declares(config, methods, nil) && !l.hasFile(config, where) {
		d := at.Warnf("no-function", "the event %q is not served: it has no function %q", e.Key, config.name)
		d.Hint = "write it in " + l.folder.show(where.path+"/"+config.file()+".js")
		l.add(d)
	}
	if e.GetEventConfig == nil {
		l.c.Unserved[e.Key] = connectorEvent
		return
	}
	if l.c.Event(e.Key) != nil {
		l.add(at.Errorf("duplicate-key", "there is another event with the key %q", e.Key))
	}
	l.c.Events = append(l.c.Events, e)
}

// connectorEvent loads events/KEY/spec.yml of that kind.
func (l *loader) connectorEvent(where place, n, at *document.Node, key string) {
	var s chainedSpec
	l.add(n.Decode(&s, document.AllowUnknown())...)
	l.checkKey(n, at, key, "an event")
	e := &Event{Key: key, Name: s.Name, Description: s.Description, Node: n, ParametersSchema: l.schema(s.ParametersSchema, false), Schema: l.schema(s.Schema, true)}
	if e.Name == "" {
		e.Name = key
	}
	l.chainedEvent(e, configMethod, extractMethod, where, s.Methods, at)
}

// dataEvents loads the events of data collections, data/*/spec.yml, that come from an
// event of the connector. Of all else there nothing is said.
func (l *loader) dataEvents() {
	names, err := l.folder.names(dataFolder)
	if err != nil {
		return
	}
	for _, name := range names {
		where := place{name, dataFolder + "/" + name}
		var root *document.Node
		for _, file := range specNames {
			content, err := l.folder.read(where.path+"/"+file, maxSpecSize)
			if err != nil {
				continue
			}
			if doc, list := document.Parse(l.folder.show(where.path+"/"+file), content); !list.HasErrors() {
				root = doc.Root
			}
			break
		}
		for _, kind := range collectionEvents {
			n := root.Get("events").Get(kind)
			if t := n.Get("implementationType"); t == nil || t.Value != connectorEvent {
				continue
			}
			key := name
			if k := root.Get("key"); k != nil && keyPattern.MatchString(k.Value) {
				key = k.Value
			}
			e := &Event{Key: key + "." + kind, Name: key + " " + kind, Node: n, ParametersSchema: l.schema(root.Get("parametersSchema"), false)}
			if title := root.Get("name"); title != nil && title.Value != "" {
				e.Name = title.Value + " " + kind
			}
			if !keyPattern.MatchString(e.Key) {
				l.c.Unserved[e.Key] = connectorEvent
				continue
			}
			config, extract := configMethod, extractMethod
			config.files = []string{"events-" + kind + "-connector-event-get-event-config"}
			extract.files = []string{"events-" + kind + "-connector-event-extract-events"}
			methods := n.Get("methods")
			if methods == nil {
				methods = n.Get("functions")
			}
			l.chainedEvent(e, config, extract, where, methods, n)
		}
	}
}

// file is the name, without ending, of the file that a method is in by default.
func (m method) file() string {
	if len(m.files) > 0 {
		return m.files[0]
	}
	return kebab(m.spellings[0])
}

// isFile reports whether a file of that name, without ending, is the method's.
func (m method) isFile(base string) bool {
	if len(m.files) > 0 {
		return slices.Contains(m.files, base)
	}
	return m.is(base)
}
