// Package spec knows what a connector is. It loads one from its folder or its
// single YAML file, says at once everything that is wrong with it, with
// positions, and holds the JSON Schemas and the TypeScript types that editors
// use.
//
// It runs no code of connectors and serves nothing: live builds functions from
// what Load returns, verify compiles Verify and Handshake, fixture reads
// Fixtures.
package spec

import (
	"switchhook/spec/document"
)

// Connector is what an external app is: its specs and functions. Nobody
// changes one after Load has returned it.
type Connector struct {
	// Key names the connector in config.yaml and in URLs: letters, digits,
	// dots, dashes and underscores. Where the spec has none it is the name of the folder, or of
	// the file without its ending.
	Key string
	// Name is for people; Key where the spec has none.
	Name string
	// Description is for people, may be empty, as may be the addresses of the app's logo and of
	// its API's documentation.
	Description, LogoURI, APIDocsURI string
	// Dir reports the folder form.
	Dir bool
	// Root is the connector's folder, absolute, with symbolic links resolved;
	// no file outside it belongs to the connector. Empty in the single-file form.
	Root string
	// File is the absolute path of the YAML file that was read first: spec.yml
	// in Root, or the single file.
	File string
	// Shown is the connector's folder, or the folder of the single file, as diagnostics call it: relative to the
	// working directory when below it ("" for the working directory itself), else absolute; with slashes.
	Shown string
	// ParametersSchema is what an integration's parameters must look like; nil when anything goes.
	ParametersSchema *Schema
	// Configuration is the text of configuration.md (Markdown): how a person
	// sets the webhook up at the provider. Empty when there is none.
	Configuration string
	// Webhooks are the global webhooks, sorted by key.
	Webhooks []*GlobalWebhook
	// Events are the events that reach subscriptions through a global webhook, sorted by key.
	Events []*Event
	// Unserved are the keys of events that reach subscriptions in other ways, which we do not
	// serve, and their kinds ("webhook", "polling", ...; "" when the spec does not say).
	Unserved map[string]string
	// Fixtures are the absolute paths of fixtures/*.yml and *.yaml, sorted.
	Fixtures []string
	// InlineFixtures is the value of `fixtures:` of the single-file form, as it is; nil when absent.
	InlineFixtures *document.Node
	// Hash is a hash of the content of all files that matter to serving, so not of fixtures: two loads
	// with the same hash give the same connector. Files that code imports count too. Empty when the
	// connector could not be read.
	Hash string
	// Document is File, parsed.
	Document *document.Document
}

// Webhook returns the global webhook of that key, or nil.
func (c *Connector) Webhook(key string) *GlobalWebhook {
	for _, w := range c.Webhooks {
		if w.Key == key {
			return w
		}
	}
	return nil
}

// Event returns the event of that key, or nil.
func (c *Connector) Event(key string) *Event {
	for _, e := range c.Events {
		if e.Key == key {
			return e
		}
	}
	return nil
}

// GlobalWebhook is one inbound endpoint of a connector.
type GlobalWebhook struct {
	Key, Name, Description string
	// Verify is the value of `verify:`, and Handshake that of `handshake:`, as they are; nil when
	// the key is absent. Package verify compiles them.
	Verify, Handshake *document.Node
	// Handle makes events of a request; nil only when the connector has errors.
	Handle *Function
	// HandshakeFunction is the function `handshake`, which `handshake:` may leave the answer to; nil when absent.
	HandshakeFunction *Function
	// Node is the webhook's spec: the root of its spec.yml, or its entry in the single file.
	// Node.Document is the document it stands in.
	Node *document.Node
}

// Event is a kind of event that subscriptions can name instead of a webhook key and a
// selector, which it computes from parameters: by Selector, GetEventSelector or GetEventConfig, exactly one of
// which is set when the connector has no errors.
type Event struct {
	Key, Name, Description string
	// ParametersSchema is what a subscription's parameters must look like; nil when anything goes.
	ParametersSchema *Schema
	// Schema is what payloads look like, for people and tests; nil when unknown.
	Schema *Schema
	// Webhook is the key of the global webhook whose events these are; set with Selector,
	// otherwise GetEventSelector returns it.
	Webhook string
	// Selector is the declared selector, such as "push/${parameters.repository}".
	Selector *Template
	// GetEventSelector computes {globalWebhookKey, globalWebhookEventSelector} from {parameters}.
	GetEventSelector *Function
	// GetEventConfig names another event of the connector and its parameters, {eventKey, eventParameters}, from
	// {parameters}; this event is then made of that one.
	GetEventConfig *Function
	// ExtractEvents makes {events} of {events}, the payloads of the other event, where GetEventConfig is set; nil
	// takes them as they are.
	ExtractEvents *Function
	// Node is the event's spec: the root of its spec.yml, or its entry in the single file.
	Node *document.Node
}

// The kinds of functions.
const (
	// JavaScript: JavaScript or TypeScript; which one, the ending of the file tells.
	JavaScript = "javascript"
	// Mapping: YAML whose first key begins with "$".
	Mapping = "mapping"
)

// Function says where the code of one function of a connector is: in File, or
// inline.
type Function struct {
	// Name is the canonical name: "handle", "handshake", "getEventSelector", "getEventConfig" or "extractEvents".
	Name string
	// Kind is JavaScript or Mapping.
	Kind string
	// File has the code: relative to Root, slash-separated. Empty when the code is inline.
	File string
	// Code is the inline code.
	Code string
	// Mapping is an inline mapping that is YAML of the spec; Code then is the same as JSON.
	Mapping *document.Node
	// CodeFile is the YAML file that Code stands in: relative to Root, or the base name in
	// the single-file form.
	CodeFile string
	// Line, Column and Indent say where in CodeFile, as document.Node.Code does.
	Line, Column, Indent int
	// Node is the entry in the spec that declares the function; nil when the file alone does.
	Node *document.Node
}
