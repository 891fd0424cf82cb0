package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"switchhook/gateway/config"
	"switchhook/gateway/hook"
	"switchhook/gateway/live"
	"switchhook/gateway/store"
	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// listSubscriptions pages through the subscriptions of both origins, in order
// of id; the cursor is the last id of the page before.
func (c *Console) listSubscriptions(r *http.Request) (int, any, error) {
	q := newQuery(r, "workspace", "cursor", "limit")
	workspace, cursor, limit := q.text("workspace"), q.text("cursor"), store.PageLimit(q.limit())
	if q.err != nil {
		return 0, nil, q.err
	}
	var found []*live.Resolved
	byID := func(a, b *live.Resolved) int { return strings.Compare(a.Subscription.ID(), b.Subscription.ID()) }
	// There may be a million: only the first limit+1 behind the cursor are kept.
	trim := func() {
		slices.SortFunc(found, byID)
		found = found[:min(len(found), limit+1)]
	}
	add := func(s *live.Resolved) bool {
		if (workspace == "" || s.Subscription.Workspace == workspace) && s.Subscription.ID() > cursor {
			if found = append(found, s); len(found) > 4*limit+1000 {
				trim()
			}
		}
		return true
	}
	g := c.o.Live.Current()
	for _, s := range g.Subscriptions() {
		add(s)
	}
	c.o.Live.Runtime(func(s *live.Resolved) bool {
		// One of config.yaml hides one of the same id made at run time.
		return g.Subscription(s.Subscription.ID()) != nil || add(s)
	})
	trim()
	p := page[subscription]{Items: []subscription{}}
	for i, s := range found {
		if i == limit {
			p.Next = found[i-1].Subscription.ID()
			break
		}
		p.Items = append(p.Items, c.viewSubscription(s))
	}
	return http.StatusOK, p, nil
}

// idOf is the id of the subscription that the path names.
func idOf(r *http.Request) string { return r.PathValue("workspace") + "/" + r.PathValue("name") }

func (c *Console) subscription(r *http.Request) (*live.Resolved, error) {
	s := c.o.Live.Subscription(idOf(r))
	if s == nil {
		return nil, notFound(fmt.Sprintf("there is no subscription %q", idOf(r)))
	}
	return s, nil
}

func (c *Console) getSubscription(r *http.Request) (int, any, error) {
	s, err := c.subscription(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, c.viewSubscription(s), nil
}

// name is what a subscription may be called: it is part of paths.
var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// decode reads a subscription from the body. Workspace and name are in the
// body, or those of the path where there are any.
func decode(r *http.Request) (*hook.Subscription, error) {
	content, err := readBody(r)
	if err != nil {
		return nil, err
	}
	// The document is YAML, which is more than JSON.
	if !json.Valid(content) {
		return nil, badRequest("the body is not valid JSON")
	}
	doc, list := document.Parse("body", content)
	if err := mistakesOf(list); err != nil {
		return nil, err
	}
	if doc.Root.Kind != document.Map {
		return nil, badRequest("expected a JSON object, got " + doc.Root.Kind.String())
	}
	sub, list := config.DecodeSubscription(doc.Root, "")
	names := map[string]string{"workspace": r.PathValue("workspace"), "name": r.PathValue("name")}
	for _, e := range doc.Root.Entries() {
		if _, ours := names[e.Key]; ours {
			list = slices.DeleteFunc(list, func(d diagnostic.Diagnostic) bool {
				return d.Code == "unknown-key" && d.Line == e.KeyNode.Line && d.Column == e.KeyNode.Column
			})
		}
	}
	for _, key := range []string{"workspace", "name"} {
		n := doc.Root.Get(key)
		switch {
		case n == nil && names[key] == "":
			list.Add(doc.Root.Errorf("missing-key", "the key %q is missing", key))
		case n == nil:
		case n.Kind != document.String || !name.MatchString(n.Value):
			d := n.Errorf("bad-name", "expected a %s", key)
			d.Hint = "letters, digits, and . _ - after the first"
			list.Add(d)
		case names[key] != "" && n.Value != names[key]:
			list.Add(n.Errorf("conflict", "the path names another %s", key))
		default:
			names[key] = n.Value
		}
		if n == nil && names[key] != "" && !name.MatchString(names[key]) {
			return nil, badRequest(key + ": letters, digits, and . _ - after the first")
		}
	}
	if err := mistakesOf(list); err != nil {
		return nil, err
	}
	sub.Workspace, sub.Name = names["workspace"], names["name"]
	return &sub, nil
}

// mine says why a subscription cannot be changed here; nil when it can.
func (c *Console) mine(id string) error {
	if c.o.Live.Current().Subscription(id) != nil {
		return conflict(fmt.Sprintf("%q is defined in config.yaml, change it there", id))
	}
	return nil
}

// put stores a subscription and makes it effective. The lock edits is held.
func (c *Console) put(r *http.Request, sub *hook.Subscription) (subscription, error) {
	if err := c.mine(sub.ID()); err != nil {
		return subscription{}, err
	}
	resolved, err := c.o.Live.Put(r.Context(), sub, func(s *hook.Subscription) error { return c.o.Store.PutSubscription(r.Context(), s) })
	if err != nil {
		return subscription{}, err
	}
	c.o.Deliver.Reload()
	return c.viewSubscription(resolved), nil
}

func (c *Console) createSubscription(r *http.Request) (int, any, error) {
	sub, err := decode(r)
	if err != nil {
		return 0, nil, err
	}
	c.edits.Lock()
	defer c.edits.Unlock()
	if err := c.mine(sub.ID()); err != nil {
		return 0, nil, err
	}
	if c.o.Live.Subscription(sub.ID()) != nil {
		return 0, nil, conflict(fmt.Sprintf("there is a subscription %q already; PUT replaces it", sub.ID()))
	}
	view, err := c.put(r, sub)
	return http.StatusCreated, view, err
}

func (c *Console) putSubscription(r *http.Request) (int, any, error) {
	sub, err := decode(r)
	if err != nil {
		return 0, nil, err
	}
	c.edits.Lock()
	defer c.edits.Unlock()
	status := http.StatusOK
	if c.o.Live.Subscription(sub.ID()) == nil {
		status = http.StatusCreated
	}
	view, err := c.put(r, sub)
	return status, view, err
}

func (c *Console) deleteSubscription(r *http.Request) (int, any, error) {
	c.edits.Lock()
	defer c.edits.Unlock()
	id := idOf(r)
	if err := c.mine(id); err != nil {
		return 0, nil, err
	}
	there, err := c.o.Live.Delete(id, func() error {
		err := c.o.Store.DeleteSubscription(r.Context(), id)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	if !there {
		return 0, nil, notFound(fmt.Sprintf("there is no subscription %q", id))
	}
	c.o.Live.SetDisabled(id, "")
	c.o.Deliver.Reload()
	return http.StatusNoContent, nil, nil
}

func (c *Console) pauseSubscription(r *http.Request) (int, any, error)  { return c.setPaused(r, true) }
func (c *Console) resumeSubscription(r *http.Request) (int, any, error) { return c.setPaused(r, false) }

func (c *Console) setPaused(r *http.Request, paused bool) (int, any, error) {
	c.edits.Lock()
	defer c.edits.Unlock()
	s, err := c.subscription(r)
	if err != nil {
		return 0, nil, err
	}
	changed := *s.Subscription
	changed.Paused = paused
	if changed.Event != "" {
		changed.Webhook, changed.Selector = "", "" // computed by the event's getter
	}
	view, err := c.put(r, &changed)
	if err != nil {
		return 0, nil, err
	}
	if !paused {
		c.o.Deliver.Wake(changed.ID())
	}
	return http.StatusOK, view, nil
}

// enableSubscription enables one that was disabled, of either origin.
func (c *Console) enableSubscription(r *http.Request) (int, any, error) {
	c.edits.Lock()
	defer c.edits.Unlock()
	s, err := c.subscription(r)
	if err != nil {
		return 0, nil, err
	}
	id := s.Subscription.ID()
	if err := c.o.Store.Disable(r.Context(), id, ""); err != nil {
		return 0, nil, err
	}
	c.o.Live.SetDisabled(id, "")
	c.o.Deliver.Wake(id)
	return http.StatusOK, c.viewSubscription(s), nil
}
