package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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
	found, next := c.subscriptions(workspace, cursor, limit)
	p := page[subscription]{Items: make([]subscription, len(found)), Next: next}
	for i, s := range found {
		p.Items[i] = c.viewSubscription(s)
	}
	return http.StatusOK, p, nil
}

// subscriptions returns up to limit of them, those of a workspace ("": of all)
// behind a cursor, and the cursor for the next.
func (c *Console) subscriptions(workspace, cursor string, limit int) (found []*live.Resolved, next string) {
	// There may be a million: only the first limit+1 ids behind the cursor are kept.
	var ids []string
	last := "" // what comes after it is on no page of now
	trim := func() {
		slices.Sort(ids)
		if len(ids) > limit {
			ids = ids[:limit+1]
			last = ids[limit]
		}
	}
	within := workspace + "/"
	add := func(id string) bool {
		if workspace != "" && !strings.HasPrefix(id, within) {
			return true
		}
		if id > cursor && (last == "" || id < last) {
			if ids = append(ids, id); len(ids) > 4*limit+1000 {
				trim()
			}
		}
		return true
	}
	g := c.o.Live.Current()
	g.Subscriptions(add)
	c.o.Live.Runtime(func(id string) bool {
		// One of config.yaml hides one of the same id made at run time.
		return g.Subscription(id) != nil || add(id)
	})
	trim()
	if len(ids) > limit {
		ids = ids[:limit]
		next = ids[limit-1]
	}
	for _, id := range ids {
		if s := c.o.Live.Subscription(id); s != nil { // or it was deleted meanwhile
			found = append(found, s)
		}
	}
	return found, next
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
	if err != nil {
		return 0, nil, err
	}
	c.changed(r, "subscription.create", sub.ID(), "to %s", sub.Destination.Type)
	return http.StatusCreated, view, nil
}

// putSubscription creates or replaces one. With keepSecrets, what answers do not
// show of the one that is there is kept, so that a person can edit what was shown.
func (c *Console) putSubscription(r *http.Request) (int, any, error) {
	q := newQuery(r, "keepSecrets")
	keep := q.flag("keepSecrets")
	if q.err != nil {
		return 0, nil, q.err
	}
	sub, err := decode(r)
	if err != nil {
		return 0, nil, err
	}
	c.edits.Lock()
	defer c.edits.Unlock()
	status, action := http.StatusOK, "subscription.replace"
	old := c.o.Live.Subscription(sub.ID())
	if old == nil {
		status, action = http.StatusCreated, "subscription.create"
	} else if keep {
		if err := keepSecrets(&sub.Destination, &old.Subscription.Destination); err != nil {
			return 0, nil, err
		}
	}
	view, err := c.put(r, sub)
	if err != nil {
		return 0, nil, err
	}
	c.changed(r, action, sub.ID(), "to %s", sub.Destination.Type)
	return status, view, nil
}

// keepSecrets puts the secrets of old in the places of d that were shown
// without them. They go nowhere else than before: the type and the host stay.
func keepSecrets(d, old *hook.Destination) error {
	wants := strings.Contains(d.URL, redacted) || slices.ContainsFunc(d.Headers, func(h hook.Header) bool { return h.Value == redacted })
	if d.URL == shownURL(old.URL) {
		d.URL = old.URL
	}
	if d.Type != old.Type || origin(d.URL) != origin(old.URL) || d.Type == "kafka" && !slices.Equal(d.Brokers, old.Brokers) {
		if wants || len(d.Secrets) == 0 && len(old.Secrets) > 0 {
			return badRequest("keepSecrets: the destination goes somewhere else now, so its secrets, header values and query must be given anew")
		}
		return nil
	}
	if strings.Contains(d.URL, redacted) {
		return badRequest("keepSecrets: the url has " + redacted + " in it, but is not the one that was shown")
	}
	for i, h := range d.Headers {
		if h.Value == redacted {
			if !old.Headers.Has(h.Name) {
				return badRequest(fmt.Sprintf("keepSecrets: there was no header %q before, so there is no value to keep", h.Name))
			}
			d.Headers[i].Value = old.Headers.Get(h.Name)
		}
	}
	if len(d.Secrets) == 0 {
		d.Secrets = old.Secrets
	}
	return nil
}

// origin is scheme and host of a URL.
func origin(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
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
	c.changed(r, "subscription.delete", id, "")
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
	action := "subscription.pause"
	if !paused {
		action = "subscription.resume"
		c.o.Deliver.Wake(changed.ID())
	}
	c.changed(r, action, changed.ID(), "")
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
	c.changed(r, "subscription.enable", id, "")
	return http.StatusOK, c.viewSubscription(s), nil
}
