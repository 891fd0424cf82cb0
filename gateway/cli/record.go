package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"switchhook/gateway/config"
	"switchhook/gateway/fixture"
	"switchhook/gateway/hook"
	"switchhook/gateway/live"
	"switchhook/gateway/script"
	"switchhook/spec/document"
)

func (p *program) recordCommand() *cobra.Command {
	var output, outcome, workspace, integration, webhook, connector string
	var last int
	c := &cobra.Command{
		Use:   "record [REQUEST_ID...]",
		Short: "Turn stored requests of the running gateway into fixtures",
		Long: `Record asks the running gateway (its admin API) for stored requests and prints them as fixtures: the
ones whose ids are given, or the last ones of those that the flags name. Each case expects what the
connector makes of its request now; one of a request that failed expects that it is accepted, so
it fails until the handler is mended.

Requests are signed anew when the case runs. Redacted are, by these rules:

` + fixture.RedactionRules + `

Exit code 0: recorded, 1: some could not be, 2: there is no such request, or no gateway.`,
		Example: `  switchhook record req_01K0000000000000000000000
  switchhook record --outcome failed --last 3 --output connectors/acme/fixtures/failures.yml
  switchhook record --integration shop --last 1`,
		RunE: func(c *cobra.Command, args []string) error {
			chosen := c.Flags().Changed("last") || outcome != "" || workspace != "" || integration != "" || webhook != "" || connector != ""
			switch {
			case len(args) > 0 && chosen:
				return usageError("give either ids or flags that say which requests")
			case len(args) == 0 && !chosen:
				return usageError("say what to record: ids, or flags such as --outcome failed or --last 1")
			case last < 1 || last > 1000:
				return usageError("--last: expected a number from 1 to 1000")
			}
			cfg, err := p.loadConfig()
			if err != nil {
				return err
			}
			gateway := newClient(cfg)
			if len(args) == 0 {
				q := url.Values{"limit": {strconv.Itoa(last)}}
				for name, value := range map[string]string{"outcome": outcome, "workspace": workspace, "integration": integration, "webhook": webhook, "connector": connector} {
					if value != "" {
						q.Set(name, value)
					}
				}
				answer, err := gateway.call(c.Context(), "GET", "/requests?"+q.Encode(), nil)
				if err != nil {
					return err
				}
				var page struct{ Items []struct{ ID string } }
				if err := json.Unmarshal(answer, &page); err != nil {
					return fmt.Errorf("the gateway's answer: %w", err)
				}
				for i := len(page.Items) - 1; i >= 0; i-- { // the oldest first
					args = append(args, page.Items[i].ID)
				}
				if len(args) == 0 {
					return usageError("the gateway has no such request")
				}
			}
			return p.record(c.Context(), cfg, gateway, args, output)
		},
	}
	f := c.Flags()
	f.StringVarP(&output, "output", "o", "", "add the cases to this file, such as connectors/acme/fixtures/recorded.yml, instead of printing them")
	f.IntVar(&last, "last", 1, "the last so many requests")
	f.StringVar(&outcome, "outcome", "", "only requests with this outcome: accepted, refused, failed")
	f.StringVar(&workspace, "workspace", "", "only requests of this workspace")
	f.StringVar(&integration, "integration", "", "only requests to this integration")
	f.StringVar(&webhook, "webhook", "", "only requests to this webhook")
	f.StringVar(&connector, "connector", "", "only requests of this connector")
	return c
}

// record makes fixtures of requests with the connectors of the configuration.
func (p *program) record(ctx context.Context, cfg *config.Config, gateway *client, ids []string, output string) error {
	engine, err := p.engine(config.Scripts{})
	if err != nil {
		return err
	}
	defer engine.Close()
	g, builder, err := p.build(ctx, cfg, engine)
	if err != nil {
		return err
	}
	runner := &fixture.Runner{Engine: engine, Builder: builder}
	there, err := p.casesIn(output)
	if err != nil {
		return err
	}
	var text []byte
	failed := false
	for _, id := range ids {
		answer, err := gateway.call(ctx, "GET", "/requests/"+url.PathEscape(id), nil)
		if err != nil {
			return usageError("%s: %w", id, err)
		}
		var t struct {
			Workspace, Integration, Webhook string
			Method, Query                   string
			Headers                         hook.Headers
			Body                            []byte
			ReceivedAt                      time.Time
			Outcome                         string
			Response                        struct{ Status int }
			Failure                         *hook.Failure
		}
		if err := json.Unmarshal(answer, &t); err != nil {
			return fmt.Errorf("the gateway's answer: %w", err)
		}
		say := func(format string, args ...any) { fmt.Fprintf(p.streams.Err, id+": "+format+"\n", args...) }
		e := g.Endpoint(t.Workspace, t.Integration, t.Webhook)
		if e == nil || e.Webhook == nil {
			say("the configuration has no webhook %s/%s/%s that works", t.Workspace, t.Integration, t.Webhook)
			failed = true
			continue
		}
		stored := &fixture.Stored{ID: id, Method: t.Method, Query: t.Query, Headers: t.Headers, Body: t.Body, ReceivedAt: t.ReceivedAt,
			Outcome: t.Outcome, Status: t.Response.Status}
		if t.Failure != nil {
			stored.Failure = t.Failure.Message
		}
		recorded, err := runner.Record(ctx, e, stored)
		if err != nil {
			say("it cannot be recorded: %v", err)
			failed = true
			continue
		}
		for _, note := range recorded.Notes {
			say("%s", note)
		}
		if output != "" {
			say("recorded as %q", recorded.Name)
		}
		if len(text) > 0 {
			text = append(text, '\n')
		}
		text = append(text, recorded.YAML...)
	}
	if len(text) > 0 {
		if err := p.writeRecorded(there, text, output); err != nil {
			return err
		}
	}
	if failed {
		return &exitError{exitFindings, nil}
	}
	return nil
}

// build makes a generation whose URLs are not shown.
func (p *program) build(ctx context.Context, cfg *config.Config, engine script.Engine) (*live.Generation, *live.Builder, error) {
	builder := &live.Builder{Engine: engine, URLKey: make(live.URLKey, 32), Now: now}
	g, list := builder.Build(ctx, cfg, nil)
	if g == nil {
		p.report(list)
		return nil, nil, &exitError{exitUsage, nil}
	}
	p.report(g.Problems())
	return g, builder, nil
}

// casesIn is what stands in the file that cases are to be added to, ready for more; nothing where there is no file.
func (p *program) casesIn(output string) ([]byte, error) {
	if output == "" {
		return nil, nil
	}
	there, err := os.ReadFile(output)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, usageError("--output: %w", err)
	}
	doc, list := document.Parse(output, there)
	switch {
	case list.HasErrors():
		p.report(list)
		return nil, &exitError{exitUsage, nil}
	case doc.Root.Kind == document.Map:
		return nil, usageError("--output: %s is not a list of cases; of a connector in one file leave --output out, and put what is printed under its fixtures:", output)
	case doc.Root.Kind != document.List && doc.Root.Kind != document.Null:
		return nil, usageError("--output: %s is not a list of cases", output)
	}
	if len(there) > 0 && there[len(there)-1] != '\n' {
		there = append(there, '\n')
	}
	if doc.Root.Kind == document.List {
		there = append(there, '\n')
	}
	return there, nil
}

// writeRecorded prints cases, or writes them to a file, behind what is there.
func (p *program) writeRecorded(there, text []byte, output string) error {
	if output == "" {
		_, err := p.streams.Out.Write(text)
		return err
	}
	whole := append(there, text...)
	if _, list := document.Parse(output, whole); list.HasErrors() {
		return usageError("--output: the cases do not fit behind what is in %s; print them, and add them by hand", output)
	}
	if err := os.WriteFile(output, whole, 0o644); err != nil {
		return usageError("--output: %w", err)
	}
	return nil
}
