package spec

import (
	"switchhook/spec/document"
)

// The keys of a global webhook's spec.
var (
	webhookKeys        = []string{"key", "name", "description", "verify", "handshake", "methods", "functions", "handle"}
	foreignWebhookKeys = []string{"id", "uuid", "type", "implementationType", "parametersSchema"}
)

type webhookSpec struct {
	Key         string         `yaml:"key"`
	Name        string         `yaml:"name"`
	Description string         `yaml:"description"`
	Verify      *document.Node `yaml:"verify"`
	Handshake   *document.Node `yaml:"handshake"`
	Methods     *document.Node `yaml:"methods|functions"`
	Handle      *document.Node `yaml:"handle"`
}

var (
	handleMethod    = method{name: "handle", spellings: []string{"handle"}}
	handshakeMethod = method{name: "handshake", spellings: []string{"handshake"}}
)

// webhookFolders loads global-webhooks/*/spec.yml.
func (l *loader) webhookFolders() {
	for _, dir := range l.subfolders(webhooksFolder, "a global webhook") {
		doc := l.readSpec(dir.path)
		if doc == nil {
			continue
		}
		l.webhook(dir, doc.Root, doc.Root)
	}
}

func (l *loader) inlineWebhook(e entry) {
	l.webhook(place{name: e.key}, e.node, e.at)
}

// webhook loads one global webhook from its spec n; at is where mistakes about it as a whole are shown.
func (l *loader) webhook(where place, n, at *document.Node) {
	var s webhookSpec
	l.add(n.Decode(&s, document.AllowUnknown())...)
	l.unknownKeys(n, webhookKeys, foreignWebhookKeys)
	w := &GlobalWebhook{Key: where.name, Name: s.Name, Description: s.Description, Verify: s.Verify, Handshake: s.Handshake, Node: n}
	if where.path != "" && s.Key != "" {
		w.Key = s.Key
	}
	if w.Name == "" {
		w.Name = w.Key
	}
	if k := n.Get("key"); k != nil && k.Value == w.Key {
		at = k
	}
	l.checkKey(n, at, w.Key, "a global webhook")
	if l.c.Webhook(w.Key) != nil {
		l.add(at.Errorf("duplicate-key", "there is another global webhook with the key %q", w.Key))
	}
	if w.Verify != nil || !misspelt(n, "verify", webhookKeys) {
		l.verification(w, at)
	}

	l.unknownMethods(s.Methods, handleMethod, handshakeMethod)
	w.Handle = l.function(handleMethod, where, s.Methods, s.Handle)
	w.HandshakeFunction = l.function(handshakeMethod, where, s.Methods, nil)
	slip := !l.c.Dir && (misspelt(n, "handle", webhookKeys) || s.Methods != nil && misspelt(s.Methods, "handle", []string{"handle", "handshake"}))
	if w.Handle == nil && !slip && !l.declares(handleMethod, s.Methods, s.Handle) && !l.hasFile(handleMethod, where) {
		d := at.Errorf("no-function", "the global webhook %q has no function %q", w.Key, "handle")
		d.Hint = "write it under handle: |"
		if where.path != "" {
			d.Hint = "write it in " + l.folder.show(where.path+"/handle.js")
		}
		l.add(d)
	}
	if w.HandshakeFunction != nil && w.Handshake == nil {
		d := at.Warnf("unused-function", "the function %q is never called", "handshake")
		d.Hint = "say with handshake: which requests it answers"
		l.add(d)
	}
	l.c.Webhooks = append(l.c.Webhooks, w)
}

// verification reports webhooks that do not say how requests are verified: an error
// in the single-file form, which is ours, and a warning in the published format.
func (l *loader) verification(w *GlobalWebhook, at *document.Node) {
	const hint = "declare the provider's scheme under verify:, or say verify: none"
	switch {
	case w.Verify == nil && l.c.Dir:
		l.add(withHint(at.Warnf("no-verification", "requests to the global webhook %q are not verified, so anybody who knows its URL can send it events", w.Key), hint))
	case w.Verify == nil:
		l.add(withHint(at.Errorf("no-verification", "the global webhook %q does not say how requests are verified", w.Key), hint))
	case w.Verify.Kind == document.Null:
		l.add(withHint(w.Verify.Errorf("missing-value", "verify: needs a value"), hint))
		w.Verify = nil
	}
	if w.Handshake != nil && w.Handshake.Kind == document.Null {
		l.add(w.Handshake.Errorf("missing-value", "handshake: needs a value"))
		w.Handshake = nil
	}
}
