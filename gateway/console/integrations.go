package console

import (
	"fmt"
	"net/http"
	"strings"

	"switchhook/gateway/config"
	"switchhook/gateway/live"
)

// globalWebhookView is a webhook of an integration, as Membrane's API shows it.
type globalWebhookView struct {
	Key         string `json:"key"`
	Name        string `json:"name"`
	Description string `json:"description"`
	URI         string `json:"uri"`
}

// listGlobalWebhooks lists the webhooks of an integration with the URLs to give to the provider. The path names the
// integration; where several workspaces have one of that name, ?workspace= says which is meant.
func (c *Console) listGlobalWebhooks(r *http.Request) (int, any, error) {
	g := c.o.Live.Current()
	id, workspace := r.PathValue("id"), r.URL.Query().Get("workspace")
	var found []*config.Integration
	for name, w := range g.Config.Workspaces {
		if in := w.Integrations[id]; in != nil && (workspace == "" || workspace == name) {
			found = append(found, in)
		}
	}
	switch {
	case len(found) == 0 && workspace != "":
		return 0, nil, notFound(fmt.Sprintf("there is no integration %q in workspace %q", id, workspace))
	case len(found) == 0:
		return 0, nil, notFound(fmt.Sprintf("there is no integration %q", id))
	case len(found) > 1:
		return 0, nil, badRequest(fmt.Sprintf("several workspaces have an integration %q; say which is meant with ?workspace=", id))
	}
	in := found[0]
	if k := g.Connectors[in.Connector]; k == nil || k.State == live.Down {
		return 0, nil, &problem{Status: http.StatusServiceUnavailable, Detail: fmt.Sprintf("the connector %q is down", in.Connector)}
	}
	list := []globalWebhookView{}
	for _, e := range g.Endpoints {
		if e.Workspace == in.Workspace && e.Integration == in.Name {
			list = append(list, globalWebhookView{e.Key, e.Webhook.Spec.Name, strings.TrimSpace(e.Webhook.Spec.Description), e.URL})
		}
	}
	return http.StatusOK, list, nil
}
