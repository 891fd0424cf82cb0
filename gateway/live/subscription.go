package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"switchhook/gateway/hook"
	"switchhook/gateway/match"
	"switchhook/gateway/script"
	"switchhook/spec"
	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// Resolved is a subscription with its selector and filter parsed.
type Resolved struct {
	// Subscription has Webhook and Selector set even where it names an event.
	Subscription *hook.Subscription
	Selector     *match.Selector
	Filter       *match.Filter
	// Inactive says why it can receive nothing at the moment; "" when it can.
	Inactive string
}

// Scope is where the subscription's events are matched.
func (r *Resolved) Scope() match.Scope {
	s := r.Subscription
	return match.Scope{Workspace: s.Workspace, Integration: s.Integration, Webhook: s.Webhook}
}

// FieldError is a mistake in one field of a subscription.
type FieldError struct {
	// Field is "integration", "webhook", "selector", "filter", "event" or "parameters".
	Field string
	// Path is where in a filter, as match.FilterError has it; "" for the whole.
	Path          string
	Message, Hint string
}

func (e FieldError) Error() string {
	if e.Hint != "" {
		return e.Field + ": " + e.Message + " (" + e.Hint + ")"
	}
	return e.Field + ": " + e.Message
}

// FieldErrors is all mistakes found in a subscription.
type FieldErrors []FieldError

func (l FieldErrors) Error() string { return l[0].Error() }

// Resolve checks a subscription against the generation's connectors and
// computes webhook and selector where it names an event. The error is a
// FieldErrors, or that of ctx. It does not change sub.
func (g *Generation) Resolve(ctx context.Context, engine script.Engine, sub *hook.Subscription) (*Resolved, error) {
	resolved := *sub
	r := &Resolved{Subscription: &resolved}
	var errs FieldErrors
	fail := func(field, hint, format string, args ...any) {
		errs = append(errs, FieldError{Field: field, Message: fmt.Sprintf(format, args...), Hint: hint})
	}

	if len(sub.Filter) > 0 {
		var err error
		var mistakes match.FilterErrors
		if r.Filter, err = match.ParseFilter(sub.Filter); errors.As(err, &mistakes) {
			for _, m := range mistakes {
				at := "the filter"
				if m.Path != "" {
					at = m.Path
				}
				fail("filter", m.Hint, "%s: %s", at, m.Message)
				errs[len(errs)-1].Path = m.Path
			}
		} else if err != nil {
			fail("filter", "", "%s", err)
		}
	}
	c := g.connectorOf(sub.Workspace, sub.Integration)
	switch {
	case c == nil:
		fail("integration", "", "there is no integration %q in workspace %q", sub.Integration, sub.Workspace)
	case c.State == Down:
		r.Inactive = fmt.Sprintf("the connector %q is down", c.Key)
	case sub.Event != "":
		g.resolveEvent(ctx, engine, c, &resolved, fail)
	case resolved.Webhook == "" && len(c.Webhooks) == 1:
		resolved.Webhook = c.Spec.Webhooks[0].Key
	case resolved.Webhook == "":
		fail("webhook", "it has: "+joinKeys(c), "the connector %q has several webhooks; say whose events are wanted", c.Key)
	case c.Webhooks[resolved.Webhook] == nil:
		hint := diagnostic.DidYouMean(resolved.Webhook, c.webhookKeys())
		if hint == "" {
			hint = "it has: " + joinKeys(c)
		}
		fail("webhook", hint, "the connector %q has no webhook %q", c.Key, resolved.Webhook)
	}
	if len(errs) == 0 && r.Inactive == "" {
		var err error
		if r.Selector, err = match.ParseSelector(resolved.Selector); err != nil {
			hint := ""
			var mistake *match.SelectorError
			if errors.As(err, &mistake) {
				hint = mistake.Hint
			}
			fail("selector", hint, "%s", err)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return r, nil
}

func (g *Generation) connectorOf(workspace, integration string) *Connector {
	w := g.Config.Workspaces[workspace]
	if w == nil || w.Integrations[integration] == nil {
		return nil
	}
	return g.Connectors[w.Integrations[integration].Connector]
}

func (c *Connector) webhookKeys() []string {
	var keys []string
	for _, w := range c.Spec.Webhooks {
		keys = append(keys, w.Key)
	}
	return keys
}

func joinKeys(c *Connector) string {
	text := ""
	for i, k := range c.webhookKeys() {
		if i > 0 {
			text += ", "
		}
		text += k
	}
	return text
}

// resolveEvent computes webhook and selector of a subscription that names an event.
func (g *Generation) resolveEvent(ctx context.Context, engine script.Engine, c *Connector, sub *hook.Subscription,
	fail func(field, hint, format string, args ...any)) {
	event := c.Spec.Event(sub.Event)
	if kind, unserved := c.Spec.Unserved[sub.Event]; event == nil && unserved {
		fail("event", "the subscription can name webhook and selector directly instead",
			"the event %q of the connector %q is not served: it does not come by a global webhook (%q)", sub.Event, c.Key, kind)
		return
	}
	if event == nil {
		var keys []string
		for _, e := range c.Spec.Events {
			keys = append(keys, e.Key)
		}
		hint := diagnostic.DidYouMean(sub.Event, keys)
		if hint == "" && len(keys) > 0 && len(keys) <= 16 {
			hint = fmt.Sprintf("it has: %v", keys)
		}
		fail("event", hint, "the connector %q has no event %q", c.Key, sub.Event)
		return
	}
	parameters := sub.Parameters
	if len(parameters) == 0 {
		parameters = json.RawMessage("{}")
	}
	parameters, mistakes := checkParameters(event, parameters)
	for _, d := range mistakes {
		fail("parameters", d.Hint, "%s", d.Message)
	}
	if len(mistakes) > 0 {
		return
	}
	webhook, selector, err := eventSelector(ctx, engine, c, sub.Event, parameters)
	if err != nil {
		fail("event", "the subscription can name webhook and selector directly instead", "%s", err)
		return
	}
	if c.Webhooks[webhook] == nil {
		fail("event", "", "its getter names the webhook %q, which the connector %q does not have", webhook, c.Key)
		return
	}
	sub.Webhook, sub.Selector = webhook, selector
}

// checkParameters applies defaults to the parameters of an event, and returns the errors in them.
func checkParameters(event *spec.Event, parameters json.RawMessage) (json.RawMessage, diagnostic.List) {
	if event.ParametersSchema == nil {
		return parameters, nil
	}
	parameters = event.ParametersSchema.Defaults(parameters)
	doc, list := document.Parse("parameters", parameters)
	if !list.HasErrors() {
		list.Add(event.ParametersSchema.Check(doc.Root)...)
	}
	return parameters, slices.DeleteFunc(list, func(d diagnostic.Diagnostic) bool { return d.Severity != diagnostic.Error })
}

// eventSelector computes webhook key and selector pattern of an event.
func eventSelector(ctx context.Context, engine script.Engine, c *Connector, event string, parameters json.RawMessage) (webhook, selector string, err error) {
	e := c.Spec.Event(event)
	if e.Selector != nil {
		selector, err = e.Selector.Expand(parameters)
		return e.Webhook, selector, err
	}
	argument, err := json.Marshal(map[string]json.RawMessage{"parameters": parameters})
	if err != nil {
		return "", "", fmt.Errorf("encoding parameters: %w", err)
	}
	result, err := engine.Eval(ctx, c.Getters[event], argument)
	if err != nil {
		return "", "", fmt.Errorf("its getter failed: %w", err)
	}
	if e.GetEventConfig != nil {
		return otherSelector(ctx, engine, c, result.Value)
	}
	var value struct {
		GlobalWebhookKey           string
		GlobalWebhookEventSelector *string
	}
	if err := json.Unmarshal(result.Value, &value); err != nil {
		return "", "", fmt.Errorf("its getter must return {globalWebhookKey, globalWebhookEventSelector}, both strings: %w", err)
	}
	if value.GlobalWebhookEventSelector == nil {
		return "", "", errors.New("its getter returned no globalWebhookEventSelector")
	}
	if value.GlobalWebhookKey == "" {
		if len(c.Webhooks) != 1 {
			return "", "", errors.New("its getter returned no globalWebhookKey")
		}
		value.GlobalWebhookKey = c.Spec.Webhooks[0].Key
	}
	// A getter returns the selector that handle will emit, not a pattern.
	return value.GlobalWebhookKey, match.Quote(*value.GlobalWebhookEventSelector), nil
}

// otherSelector computes webhook key and selector pattern of an event that is made of another one, which its
// getEventConfig returned.
func otherSelector(ctx context.Context, engine script.Engine, c *Connector, config json.RawMessage) (webhook, selector string, err error) {
	var value struct {
		EventKey        string
		EventParameters json.RawMessage
	}
	if err := json.Unmarshal(config, &value); err != nil || value.EventKey == "" {
		return "", "", errors.New("its getEventConfig must return {eventKey, eventParameters}, a string and an object")
	}
	other := c.Spec.Event(value.EventKey)
	kind, unserved := c.Spec.Unserved[value.EventKey]
	switch {
	case unserved:
		return "", "", fmt.Errorf("it is made of the event %q, which comes in another way than by a global webhook (%q)", value.EventKey, kind)
	case other == nil:
		return "", "", fmt.Errorf("it is made of the event %q, which the connector %q does not have", value.EventKey, c.Key)
	case other.GetEventConfig != nil:
		return "", "", fmt.Errorf("it is made of the event %q, which itself is made of another one", value.EventKey)
	}
	if len(value.EventParameters) == 0 || string(value.EventParameters) == "null" {
		value.EventParameters = json.RawMessage("{}")
	}
	parameters, mistakes := checkParameters(other, value.EventParameters)
	if len(mistakes) > 0 {
		return "", "", fmt.Errorf("its getEventConfig returned parameters that the event %q does not take: %s", value.EventKey, mistakes[0].Message)
	}
	return eventSelector(ctx, engine, c, other.Key, parameters)
}

// Reasons says for one event why a subscription of its workspace does or does
// not receive it: "" when it does.
func (r *Resolved) Reasons(scope match.Scope, selector string, payload []byte) string {
	own := r.Scope()
	switch {
	case r.Inactive != "":
		return r.Inactive
	case own.Workspace != scope.Workspace:
		return fmt.Sprintf("it belongs to workspace %q, the event to %q", own.Workspace, scope.Workspace)
	case own.Integration != scope.Integration:
		return fmt.Sprintf("it wants events of integration %q, this one came through %q", own.Integration, scope.Integration)
	case own.Webhook != scope.Webhook:
		return fmt.Sprintf("it wants events of webhook %q, this one came through %q", own.Webhook, scope.Webhook)
	}
	if !r.Selector.Match(selector) {
		return fmt.Sprintf("its selector %q does not match %q: %s", r.Selector, selector, r.Selector.Explain(selector))
	}
	if r.Filter != nil && !r.Filter.Match(payload) {
		return "its filter does not pass: " + r.Filter.Explain(payload)
	}
	return ""
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
