package console

import (
	"fmt"
	"net/http"
	"time"
)

// pairingTime is how long pairing stays open.
const pairingTime = 10 * time.Minute

// pair opens pairing for a webhook: its next handshake may replace what the
// integration remembers.
func (c *Console) pair(r *http.Request) (int, any, error) {
	workspace, integration, webhook := r.PathValue("workspace"), r.PathValue("integration"), r.PathValue("webhook")
	id := workspace + "/" + integration + "/" + webhook
	e := c.o.Live.Current().Endpoint(workspace, integration, webhook)
	switch {
	case e == nil:
		return 0, nil, notFound(fmt.Sprintf("there is no webhook %q; 'switchhook urls' lists them", id))
	case e.Webhook.Handshake == nil:
		return 0, nil, conflict(fmt.Sprintf("the webhook %q has no handshake, so there is nothing to pair", id))
	}
	until := c.o.Now().Add(pairingTime)
	c.o.Live.OpenPairing(e, until)
	c.changed(r, "webhook.pair", id, "until %s", until.UTC().Format(time.RFC3339))
	return http.StatusOK, struct {
		Webhook string    `json:"webhook"`
		URL     string    `json:"url"`
		Until   time.Time `json:"until"`
	}{id, e.URL, until.UTC()}, nil
}
