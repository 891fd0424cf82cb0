package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"switchhook/gateway/config"
	"switchhook/gateway/fixture"
)

// client calls the admin API of the running gateway.
type client struct {
	base, token string
}

// client returns one for the gateway of the configuration.
func (p *program) client() (*client, error) {
	cfg, list := config.Load(p.configPath, config.Options{Set: p.set})
	if cfg == nil {
		p.report(list)
		return nil, &exitError{exitUsage, nil}
	}
	// Warnings are for who runs the gateway, not for who asks it.
	return newClient(cfg), nil
}

func newClient(cfg *config.Config) *client {
	host, port, err := net.SplitHostPort(cfg.Admin.Listen)
	if err != nil {
		host, port = cfg.Admin.Listen, "8081"
	}
	if host == "" {
		host = "127.0.0.1"
	} else if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.To4() == nil {
			host = "::1"
		}
	}
	return &client{base: "http://" + net.JoinHostPort(host, port), token: cfg.Admin.Token.Reveal()}
}

// call makes a call; path begins behind /api/v1. It returns the body of a 2xx
// answer. Where nobody answers the exit code is that of usage errors.
func (c *client) call(ctx context.Context, method, path string, body any) (json.RawMessage, error) {
	resp, err := c.open(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the gateway's answer: %w", err)
	}
	return answer, nil
}

// unreachable is the error of a call that nobody answers.
type unreachable struct {
	base string
	err  error
}

func (e *unreachable) Error() string {
	return fmt.Sprintf("the gateway does not answer at %s (admin.listen of the configuration): %v\nStart it with 'switchhook serve', or name its configuration with --config.", e.base, e.err)
}

func (e *unreachable) Unwrap() error { return e.err }

// open makes a call like call, and returns the answer with its body still to be read and closed.
func (c *client) open(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encoding the call: %w", err)
		}
		content = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+"/api/v1"+path, content)
	if err != nil {
		return nil, fmt.Errorf("calling the gateway: %w", err)
	}
	req.Header.Set("User-Agent", "switchhook-cli")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	// No proxy: the gateway is where the configuration says.
	direct := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := direct.Do(req)
	if err != nil {
		var cause *url.Error
		if errors.As(err, &cause) {
			err = cause.Err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &exitError{exitUsage, &unreachable{c.base, err}}
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the gateway's answer: %w", err)
	}
	var problem struct{ Detail string }
	if json.Unmarshal(answer, &problem) != nil || problem.Detail == "" {
		return nil, fmt.Errorf("the gateway at %s answered %s", c.base, resp.Status)
	}
	if resp.StatusCode == http.StatusUnauthorized {
		return nil, usageError("the gateway at %s refuses the token of the configuration: %s", c.base, problem.Detail)
	}
	if resp.StatusCode == http.StatusBadRequest {
		return nil, usageError("%s", fixture.Printable(problem.Detail))
	}
	return nil, errors.New(fixture.Printable(problem.Detail))
}

// get decodes the answer of a GET, or shows it as it is when asJSON.
func (p *program) get(ctx context.Context, path string, asJSON bool, into any) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	answer, err := c.call(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	if asJSON {
		return p.printJSON(answer)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("the gateway's answer: %w", err)
	}
	return nil
}

func (p *program) printJSON(answer []byte) error {
	var out bytes.Buffer
	if err := json.Indent(&out, bytes.TrimSpace(answer), "", "  "); err != nil {
		return fmt.Errorf("the gateway's answer: %w", err)
	}
	out.WriteByte('\n')
	_, err := p.streams.Out.Write(out.Bytes())
	return err
}

// count is a number of things, such as "1 event".
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func events(n int) string     { return count(n, "event", "events") }
func deliveries(n int) string { return count(n, "delivery", "deliveries") }
