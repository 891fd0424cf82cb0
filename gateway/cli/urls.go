package cli

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"switchhook/gateway/app"
	"switchhook/gateway/live"
	"switchhook/gateway/verify"
)

func (p *program) urlsCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "urls",
		Short: "Print the webhook URLs; the gateway need not be running",
		Example: `  switchhook urls
  switchhook urls --json --set server.publicUrl=https://hooks.example.com`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := p.loadConfig()
			if err != nil {
				return err
			}
			key, err := app.URLKey(cfg)
			if err != nil {
				return err
			}
			engine, err := p.engine(cfg.Scripts)
			if err != nil {
				return err
			}
			defer engine.Close()
			builder := live.Builder{Engine: engine, URLKey: key, Verify: verify.Options{}, Now: now}
			g, list := builder.Build(c.Context(), cfg, nil)
			p.report(list)
			if g == nil {
				return &exitError{exitUsage, nil}
			}
			p.report(g.Problems())
			return p.printURLs(g, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return c
}

func (p *program) printURLs(g *live.Generation, asJSON bool) error {
	type webhookURL struct {
		Workspace   string `json:"workspace"`
		Integration string `json:"integration"`
		Connector   string `json:"connector"`
		Webhook     string `json:"webhook"`
		URL         string `json:"url"`
	}
	urls := make([]webhookURL, len(g.Endpoints))
	for i, e := range g.Endpoints {
		urls[i] = webhookURL{e.Workspace, e.Integration, e.Connector.Key, e.Key, e.URL}
	}
	if asJSON {
		encoder := json.NewEncoder(p.streams.Out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(urls)
	}
	table := tabwriter.NewWriter(p.streams.Out, 0, 0, 2, ' ', 0)
	for _, u := range urls {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", u.Workspace, u.Integration, u.Webhook, u.URL)
	}
	return table.Flush()
}
