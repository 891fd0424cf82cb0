package console

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"

	"switchhook/gateway/activity"
	"switchhook/gateway/live"
	"switchhook/spec/diagnostic"
)

type connector struct {
	Key         string `json:"key"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	APIDocsURI  string `json:"apiDocsUri,omitempty"`
	State       string `json:"state"`
	StateReason string `json:"stateReason,omitempty"`
	// LoadedAt is when the version that serves was loaded.
	LoadedAt *time.Time        `json:"loadedAt,omitempty"`
	Problems []finding         `json:"problems"`
	Webhooks []webhook         `json:"webhooks"`
	Events   []connectorEvent  `json:"events"`
	Uses     []use             `json:"integrations"`
	Traffic  traffic           `json:"traffic"`
	Detail   *connectorDetails `json:"detail,omitempty"`
}

// connectorDetails are those parts that lists leave out.
type connectorDetails struct {
	// Markdown is the text of configuration.md, HTML the same without any raw HTML of it or dangerous links.
	Markdown string   `json:"markdown"`
	HTML     string   `json:"html"`
	Reloads  []reload `json:"reloads"`
}

type webhook struct {
	Key         string `json:"key"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// Verify names the scheme; "undeclared" where the connector does not say.
	Verify    string       `json:"verify"`
	Handshake bool         `json:"handshake"`
	URLs      []webhookURL `json:"urls"`
}

type webhookURL struct {
	Workspace   string  `json:"workspace"`
	Integration string  `json:"integration"`
	URL         string  `json:"url"`
	Traffic     traffic `json:"traffic"`
}

type connectorEvent struct {
	Key         string `json:"key"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Webhook     string `json:"webhook,omitempty"`
}

// use is an integration of the connector.
type use struct {
	Workspace string `json:"workspace"`
	Name      string `json:"name"`
}

// finding is a diagnostic with its code frame as text.
type finding struct {
	Severity string `json:"severity"`
	Code     string `json:"code"`
	File     string `json:"file"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"`
	Frame    string `json:"frame,omitempty"`
}

func viewFindings(list diagnostic.List) []finding {
	views := make([]finding, len(list))
	for i, d := range list {
		views[i] = finding{d.Severity.String(), d.Code, d.File, d.Line, d.Column, d.Message, d.Hint, d.Frame()}
	}
	return views
}

// traffic is counts of the last hour, by the minute, oldest first.
type traffic struct {
	Total       int   `json:"total"`
	Failed      int   `json:"failed"`
	PerMinute   []int `json:"perMinute"`
	FailedPerMi []int `json:"failedPerMinute"`
}

func viewTraffic(t *activity.Traffic) traffic {
	if t == nil {
		t = &activity.Traffic{}
	}
	v := traffic{PerMinute: t.All[:], FailedPerMi: t.Failed[:]}
	v.Total, v.Failed = t.Sums()
	return v
}

func (c *Console) listConnectors(r *http.Request) (int, any, error) {
	q := newQuery(r, "state")
	state := q.oneOf("state", []string{string(live.Up), string(live.Stale), string(live.Down), quarantined})
	if q.err != nil {
		return 0, nil, q.err
	}
	g := c.o.Live.Current()
	recent := c.o.Activity.TrafficByConnector()
	p := page[connector]{Items: []connector{}}
	for _, k := range g.Connectors {
		if is, _ := c.stateOf(k); state == "" || state == is {
			p.Items = append(p.Items, c.viewConnector(g, k, recent[k.Key]))
		}
	}
	slices.SortFunc(p.Items, func(a, b connector) int { return strings.Compare(a.Key, b.Key) })
	return http.StatusOK, p, nil
}

func (c *Console) viewConnector(g *live.Generation, k *live.Connector, recent *activity.Traffic) connector {
	state, reason := c.stateOf(k)
	v := connector{Key: k.Key, Name: k.Key, State: state, StateReason: reason, LoadedAt: optional(k.LoadedAt), Problems: viewFindings(k.Problems),
		Webhooks: []webhook{}, Events: []connectorEvent{}, Uses: []use{}, Traffic: viewTraffic(recent)}
	for _, w := range g.Config.Workspaces {
		for _, in := range w.Integrations {
			if in.Connector == k.Key {
				v.Uses = append(v.Uses, use{in.Workspace, in.Name})
			}
		}
	}
	slices.SortFunc(v.Uses, func(a, b use) int { return strings.Compare(a.Workspace+"/"+a.Name, b.Workspace+"/"+b.Name) })
	if k.Spec == nil {
		return v
	}
	v.Name, v.Description, v.APIDocsURI = k.Spec.Name, k.Spec.Description, webAddress(k.Spec.APIDocsURI)
	for _, w := range k.Spec.Webhooks {
		built := k.Webhooks[w.Key]
		view := webhook{Key: w.Key, Name: w.Name, Description: w.Description, Verify: "undeclared", Handshake: built.Handshake != nil, URLs: []webhookURL{}}
		if built.Scheme != nil {
			view.Verify = built.Scheme.Name()
		}
		for _, u := range v.Uses {
			if e := g.Endpoint(u.Workspace, u.Name, w.Key); e != nil {
				t := c.o.Activity.TrafficOf(activity.Webhook{Workspace: u.Workspace, Integration: u.Name, Webhook: w.Key, Connector: k.Key})
				view.URLs = append(view.URLs, webhookURL{u.Workspace, u.Name, e.URL, viewTraffic(&t)})
			}
		}
		v.Webhooks = append(v.Webhooks, view)
	}
	for _, e := range k.Spec.Events {
		v.Events = append(v.Events, connectorEvent{e.Key, e.Name, e.Description, e.Webhook})
	}
	return v
}

// webAddress is an address that a link may have; "" for any other.
func webAddress(uri string) string {
	if strings.HasPrefix(uri, "https://") || strings.HasPrefix(uri, "http://") {
		return uri
	}
	return ""
}

// markdown renders configuration.md. What is raw HTML in it goldmark leaves
// out, and links with schemes that run scripts it empties.
var markdown = goldmark.New(goldmark.WithExtensions(extension.GFM))

func (c *Console) getConnector(r *http.Request) (int, any, error) {
	if q := newQuery(r); q.err != nil {
		return 0, nil, q.err
	}
	g, key := c.o.Live.Current(), r.PathValue("key")
	k := g.Connectors[key]
	if k == nil {
		return 0, nil, notFound(fmt.Sprintf("there is no connector %q", key))
	}
	v := c.viewConnector(g, k, c.o.Activity.TrafficByConnector()[key])
	v.Detail = &connectorDetails{Reloads: c.reloadsOf(key)}
	if k.Spec != nil {
		var html bytes.Buffer
		if err := markdown.Convert([]byte(k.Spec.Configuration), &html); err != nil {
			return 0, nil, fmt.Errorf("rendering configuration.md of %s: %w", key, err)
		}
		v.Detail.Markdown, v.Detail.HTML = k.Spec.Configuration, html.String()
	}
	return http.StatusOK, v, nil
}

type reload struct {
	At         time.Time          `json:"at"`
	TookMS     float64            `json:"tookMs"`
	Generation uint64             `json:"generation"`
	OK         bool               `json:"ok"`
	Changed    []changedConnector `json:"changed"`
	Problems   []finding          `json:"problems"`
}

type changedConnector struct {
	Key   string `json:"key"`
	State string `json:"state"`
}

func viewReload(r *activity.Reload) reload {
	v := reload{At: r.At.UTC(), TookMS: milliseconds(r.Took), Generation: r.Generation, OK: r.OK, Changed: []changedConnector{}, Problems: viewFindings(r.Problems)}
	for _, k := range r.Changed {
		v.Changed = append(v.Changed, changedConnector{k.Key, k.State})
	}
	return v
}

// reloadsOf are the reloads that changed a connector; with "" all, newest first.
func (c *Console) reloadsOf(key string) []reload {
	views := []reload{}
	for _, r := range c.o.Activity.Reloads() {
		if key == "" || slices.ContainsFunc(r.Changed, func(k activity.ChangedConnector) bool { return k.Key == key }) {
			views = append(views, viewReload(&r))
		}
	}
	return views
}

func (c *Console) listReloads(r *http.Request) (int, any, error) {
	q := newQuery(r, "connector")
	if q.err != nil {
		return 0, nil, q.err
	}
	return http.StatusOK, page[reload]{Items: c.reloadsOf(q.text("connector"))}, nil
}
