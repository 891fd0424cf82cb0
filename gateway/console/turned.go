package console

import (
	"net/http"

	"switchhook/gateway/hook"
)

// turnedSample is a sample of the requests that were not stored.
type turnedSample struct {
	turned
	Headers hook.Headers `json:"headers"`
}

// listTurned shows samples of the last requests that were answered without
// being stored, so that a person sees why requests do not verify.
func (c *Console) listTurned(r *http.Request) (int, any, error) {
	q := newQuery(r, "workspace", "integration", "webhook", "connector", "kind")
	kind := q.oneOf("kind", turnedKinds)
	if q.err != nil {
		return 0, nil, q.err
	}
	is := func(name, value string) bool { return q.text(name) == "" || q.text(name) == value }
	p := page[turnedSample]{Items: []turnedSample{}}
	for _, t := range c.o.Activity.Turns() {
		if (kind == "" || kind == t.Kind) && is("workspace", t.Workspace) && is("integration", t.Integration) && is("webhook", t.Webhook) && is("connector", t.Connector) {
			p.Items = append(p.Items, turnedSample{viewTurned(&t), shownHeaders(t.Headers, false)})
		}
	}
	return http.StatusOK, p, nil
}
