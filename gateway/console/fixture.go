package console

import (
	"fmt"
	"net/http"

	"switchhook/gateway/fixture"
)

// recorded is a stored request as a case of a fixture.
type recorded struct {
	// Name is the case's; YAML is the case as an item of the list in a file of fixtures.
	Name string `json:"name"`
	YAML string `json:"yaml"`
	// Notes say what a person should know about it.
	Notes     []string `json:"notes"`
	Connector string   `json:"connector"`
}

// recordRequest makes a fixture of a request, as 'switchhook record' does:
// without secrets, and expecting what the connector makes of it now. It writes no file.
func (c *Console) recordRequest(r *http.Request) (int, any, error) {
	if q := newQuery(r); q.err != nil {
		return 0, nil, q.err
	}
	stored, err := c.stored(r)
	if err != nil {
		return 0, nil, err
	}
	req := stored.Request
	endpoint := c.o.Live.Current().Endpoint(req.Workspace, req.Integration, req.Webhook)
	if endpoint == nil || endpoint.Webhook == nil {
		return 0, nil, conflict(fmt.Sprintf("the webhook %s/%s/%s is not there, or its connector is down", req.Workspace, req.Integration, req.Webhook))
	}
	in := &fixture.Stored{ID: req.ID, Method: req.Method, Query: shownQuery(req.Query, false), Headers: shownHeaders(req.Headers, false), Body: req.Body,
		ReceivedAt: req.ReceivedAt, Outcome: string(stored.Outcome), Status: stored.Response.Status}
	if stored.Failure != nil {
		in.Failure = stored.Failure.Message
	}
	out, err := c.o.Fixtures.Record(r.Context(), endpoint, in)
	if err != nil {
		return 0, nil, conflict("the request cannot be recorded: " + err.Error())
	}
	return http.StatusOK, recorded{Name: out.Name, YAML: string(out.YAML), Notes: append([]string{}, out.Notes...), Connector: endpoint.Connector.Key}, nil
}
