package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"switchhook/gateway/app"
	"switchhook/gateway/config"
	"switchhook/gateway/fixture"
	"switchhook/gateway/hook"
	"switchhook/gateway/live"
	"switchhook/gateway/verify"
	"switchhook/spec"
)

// sendFlags are the flags of send.
type sendFlags struct {
	name, to, url, key string
}

func (p *program) sendCommand() *cobra.Command {
	var f sendFlags
	c := &cobra.Command{
		Use:   "send FIXTURE",
		Short: "Post a fixture, signed, to the running gateway",
		Long: `Send posts the request of a fixture to the webhook URL of an integration, signed with the
integration's parameters at this moment, as the provider would. FIXTURE is a file of fixtures or a connector; without
--case its first case is sent that is to be accepted.

Where the configuration uses the connector in several integrations, --to says which one. In schemes with public keys only the
provider can sign, or whoever has the private key (--private-key).

Exit code 0: the answer has the status that the case expects (or 2xx), 1: it has another, 2: nothing was sent.`,
		Example: `  switchhook send connectors/github/fixtures/events.yml
  switchhook send connectors/github --case 'a push becomes one event' --to demo/github
  switchhook send fixtures/events.yml --url http://127.0.0.1:8080`,
		Args: oneArg("a file of fixtures, or a connector"),
		RunE: func(c *cobra.Command, args []string) error { return p.send(c.Context(), args[0], &f) },
	}
	c.Flags().StringVar(&f.name, "case", "", "the case with this name, or whose name begins so")
	c.Flags().StringVar(&f.to, "to", "", "the integration, WORKSPACE/NAME or NAME")
	c.Flags().StringVar(&f.url, "url", "", "send there instead of to server.publicUrl: scheme and host, or a whole URL; it is signed for the webhook's own URL")
	c.Flags().StringVar(&f.key, "private-key", "", "a file with the private key to sign with, in PEM (for Ed25519 also its seed in hex)")
	return c
}

func (p *program) send(ctx context.Context, path string, f *sendFlags) error {
	cfg, err := p.loadConfig()
	if err != nil {
		return err
	}
	key, err := app.URLKey(cfg)
	if err != nil {
		return err
	}
	engine, err := p.engine(config.Scripts{})
	if err != nil {
		return err
	}
	defer engine.Close()
	builder := &live.Builder{Engine: engine, URLKey: key, Verify: verify.Options{}, Now: now}
	g, list := builder.Build(ctx, cfg, nil)
	if g == nil {
		p.report(list)
		return &exitError{exitUsage, nil}
	}
	cases, connector, err := p.casesAt(path)
	if err != nil {
		return err
	}
	one, err := chooseCase(cases, f.name, path)
	if err != nil {
		return err
	}
	e, err := receiver(g, one, connector, f.to)
	if err != nil {
		return err
	}
	if f.key != "" && e.Verifier != nil {
		text, err := os.ReadFile(f.key)
		if err != nil {
			return usageError("--private-key: %w", err)
		}
		own := *e
		if own.Verifier, err = e.Verifier.WithPrivateKey(string(text)); err != nil {
			return usageError("--private-key: %w", err)
		}
		e = &own
	}
	req, err := fixture.NewRequest(e, one, now())
	if err != nil {
		hint := ""
		if errors.Is(err, verify.ErrCannotSign) && f.key == "" {
			hint = "\nGive the private key with --private-key, or a case that is not signed."
		}
		return usageError("%s: %q cannot be signed for %s/%s: %w%s", one.Position(), one.Name, e.Workspace, e.Integration, err, hint)
	}
	return p.post(ctx, e, one, req, f.url)
}

// casesAt are the cases at a path, and the key of their connector ("" for those of a gateway).
func (p *program) casesAt(path string) ([]*fixture.Case, string, error) {
	kind, err := kindOf(path)
	if err != nil {
		return nil, "", err
	}
	folder := ""
	switch kind {
	case fixtureFile:
		abs, err := filepath.Abs(path)
		if err != nil {
			return nil, "", err
		}
		cases, list := fixture.Load(path)
		p.report(list)
		if list.HasErrors() {
			return nil, "", &exitError{exitUsage, nil}
		}
		if filepath.Base(filepath.Dir(abs)) != "fixtures" {
			return cases, "", nil
		}
		folder = filepath.Dir(filepath.Dir(abs))
		c, list := spec.Load(folder)
		if list.HasErrors() {
			p.report(list)
			return nil, "", &exitError{exitUsage, nil}
		}
		return cases, c.Key, nil
	case connectorFolder, connectorFile:
		c, list := spec.Load(path)
		if list.HasErrors() {
			p.report(list)
			return nil, "", &exitError{exitUsage, nil}
		}
		cases, list := fixture.Of(&live.Connector{Key: c.Key, Spec: c})
		p.report(list)
		if list.HasErrors() {
			return nil, "", &exitError{exitUsage, nil}
		}
		return cases, c.Key, nil
	}
	return nil, "", usageError("%s is neither a file of fixtures nor a connector", path)
}

func chooseCase(cases []*fixture.Case, name, path string) (*fixture.Case, error) {
	var names []string
	for _, exact := range []bool{true, false} {
		for _, c := range cases {
			names = append(names, c.Name)
			switch {
			case name == "" && !exact && c.Skip == "", // any at all
				name == "" && c.Skip == "" && len(c.Expect.Events) > 0 && (c.Request.Sign == fixture.Valid || c.Request.Sign == fixture.Unsigned),
				name != "" && (c.Name == name || !exact && strings.HasPrefix(c.Name, name)):
				return c, nil
			}
		}
	}
	if len(cases) == 0 {
		return nil, usageError("%s has no cases", path)
	}
	slices.Sort(names)
	return nil, usageError("--case: %s has no case %q; it has:\n  %s", path, name, strings.Join(slices.Compact(names), "\n  "))
}

// receiver is the endpoint that a case is for.
func receiver(g *live.Generation, one *fixture.Case, connector, to string) (*live.Endpoint, error) {
	workspace, integration, both := strings.Cut(to, "/")
	if !both {
		workspace, integration = "", to
	}
	if to == "" {
		workspace, integration = one.Workspace, one.Integration
	}
	var found []*live.Endpoint
	var names []string
	for _, e := range g.Endpoints {
		if connector != "" && e.Connector.Key != connector {
			continue
		}
		names = append(names, e.Workspace+"/"+e.Integration)
		if (workspace == "" || e.Workspace == workspace) && (integration == "" || e.Integration == integration) && (one.Webhook == "" || one.Webhook == e.Key) {
			found = append(found, e)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	switch {
	case len(names) == 0:
		return nil, usageError("the configuration has no integration of the connector %q that works", connector)
	case len(found) == 0:
		return nil, usageError("there is no such integration, with a webhook of the case; --to takes one of: %s", strings.Join(names, ", "))
	case len(found) > 1 && slices.ContainsFunc(found, func(e *live.Endpoint) bool { return e.IntegrationID() != found[0].IntegrationID() }):
		return nil, usageError("several integrations could be meant; --to takes one of: %s", strings.Join(names, ", "))
	case len(found) > 1:
		return nil, usageError("the connector has several webhooks; the case does not say which one")
	}
	return found[0], nil
}

// sendTimeout is longer than a handler may take.
const sendTimeout = 30 * time.Second

// post sends the request and shows the answer.
func (p *program) post(ctx context.Context, e *live.Endpoint, one *fixture.Case, req *hook.Request, override string) error {
	target := e.URL
	if override != "" {
		u, err := url.Parse(override)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return usageError("--url: %q is not a URL such as http://127.0.0.1:8080", override)
		}
		if u.Path == "" || u.Path == "/" {
			u.Path = e.Path
		}
		u.RawQuery = ""
		target = u.String()
	}
	if req.Query != "" {
		target += "?" + req.Query
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	out, err := http.NewRequestWithContext(ctx, req.Method, target, bytes.NewReader(req.Body))
	if err != nil {
		return usageError("%s: the request cannot be sent: %w", one.Position(), err)
	}
	out.Header.Set("User-Agent", "switchhook-send")
	for _, h := range req.Headers {
		if strings.EqualFold(h.Name, "Host") {
			out.Host = h.Value
			continue
		}
		out.Header.Add(h.Name, h.Value)
	}
	// Answers are shown as they are.
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	began := time.Now()
	resp, err := client.Do(out)
	if err != nil {
		var cause *url.Error
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return usageError("nobody answers at %s: %w\nStart the gateway with 'switchhook serve', or say with --url where it is.", displayURL(target), err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(io.LimitReader(resp.Body, shownBytes+1))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	fmt.Fprintf(p.streams.Out, "sent %q to %s/%s/%s\n", one.Name, e.Workspace, e.Integration, e.Key)
	fmt.Fprintf(p.streams.Out, "answered %s in %s\n", resp.Status, time.Since(began).Round(time.Millisecond/10))
	if id := resp.Header.Get("X-Request-Id"); id != "" {
		fmt.Fprintf(p.streams.Out, "request %s\n", fixture.Printable(id))
	}
	if len(content) > 0 {
		fmt.Fprintf(p.streams.Out, "\n%s\n", strings.TrimRight(fixture.Printable(short(string(content))), "\n"))
	}
	want := one.Expect.Status
	if want == 0 && resp.StatusCode/100 == 2 || want == resp.StatusCode {
		return nil
	}
	if want == 0 {
		return &exitError{exitFindings, nil}
	}
	return &exitError{exitFindings, fmt.Errorf("the case expects the status %d", want)}
}

// displayURL is a URL without its query, which may have tokens.
func displayURL(target string) string {
	base, _, _ := strings.Cut(target, "?")
	return base
}
