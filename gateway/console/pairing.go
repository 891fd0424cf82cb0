package console

import (
	"fmt"
	"net/http"
	"time"

	"switchhook/gateway/live"
)

// pairingTime is how long pairing stays open.
const pairingTime = 10 * time.Minute

// viewPairing is pairing as callers see it.
type viewPairing struct {
	Webhook string    `json:"webhook"`
	URL     string    `json:"url"`
	Until   time.Time `json:"until"`
	// Shows are the names of what a person has to type in at the provider, and
	// Remembered those values, as far as they have come.
	Shows      []string          `json:"shows"`
	Remembered map[string]string `json:"remembered"`
}

// pair opens pairing for a webhook: its next handshake may replace what the
// integration remembers.
func (c *Console) pair(r *http.Request) (int, any, error) {
	e, id, err := c.pairable(r)
	if err != nil {
		return 0, nil, err
	}
	until := c.o.Now().Add(pairingTime)
	c.o.Live.OpenPairing(e, until)
	c.changed(r, "webhook.pair", id, "until %s", until.UTC().Format(time.RFC3339))
	return http.StatusOK, c.viewPairing(e, id, until), nil
}

// getPairing shows what has come since pairing was opened.
func (c *Console) getPairing(r *http.Request) (int, any, error) {
	e, id, err := c.pairable(r)
	if err != nil {
		return 0, nil, err
	}
	until, _ := c.o.Live.Pairing(e)
	if until.IsZero() {
		return 0, nil, conflict(fmt.Sprintf("pairing of the webhook %q is not open", id))
	}
	return http.StatusOK, c.viewPairing(e, id, until), nil
}

func (c *Console) pairable(r *http.Request) (e *live.Endpoint, id string, err error) {
	workspace, integration, webhook := r.PathValue("workspace"), r.PathValue("integration"), r.PathValue("webhook")
	id = workspace + "/" + integration + "/" + webhook
	e = c.o.Live.Current().Endpoint(workspace, integration, webhook)
	switch {
	case e == nil:
		return nil, id, notFound(fmt.Sprintf("there is no webhook %q; 'switchhook urls' lists them", id))
	case e.Webhook.Handshake == nil:
		return nil, id, conflict(fmt.Sprintf("the webhook %q has no handshake, so there is nothing to pair", id))
	}
	return e, id, nil
}

func (c *Console) viewPairing(e *live.Endpoint, id string, until time.Time) viewPairing {
	v := viewPairing{Webhook: id, URL: e.URL, Until: until.UTC(), Shows: []string{}, Remembered: map[string]string{}}
	state, _ := c.o.Live.State(e.IntegrationID())
	for _, name := range e.Webhook.Handshake.ShownNames() {
		v.Shows = append(v.Shows, name)
		if value, ok := state[name]; ok {
			v.Remembered[name] = value
		}
	}
	return v
}
