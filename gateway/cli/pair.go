package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"switchhook/gateway/fixture"
)

func (p *program) pairCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "pair WORKSPACE/INTEGRATION/WEBHOOK",
		Short: "Let the next handshake of a webhook replace the secret that it remembers",
		Long: `Some providers send a secret once, when a webhook is set up, and the gateway
remembers it. What is remembered is never replaced by itself, or anybody could.
Pair opens a window of ten minutes in which the next handshake replaces it. The
first handshake of a webhook needs no window.

Where the provider asks a person for what it has sent (Notion's verification
token), pair waits for it and prints it.`,
		Example: "  switchhook pair demo/asana/events",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || strings.Count(args[0], "/") != 2 {
				return usageError("pair takes one webhook: WORKSPACE/INTEGRATION/WEBHOOK\n'switchhook urls' lists them.")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			gateway, err := p.client()
			if err != nil {
				return err
			}
			var path string
			for _, name := range strings.Split(args[0], "/") {
				path += "/" + url.PathEscape(name)
			}
			opened, err := gateway.pairing(c.Context(), http.MethodPost, path)
			if err != nil {
				return err
			}
			fmt.Fprintf(p.streams.Out, "pairing is open until %s; set the webhook up at the provider now:\n%s\n", opened.Until.Local().Format(time.TimeOnly), opened.URL)
			if len(opened.Shows) == 0 {
				return nil
			}
			printRemembered(p.streams.Out, opened, nil)
			fmt.Fprintln(p.streams.Out, "waiting for what the provider sends; Ctrl-C stops waiting")
			return p.awaitPairing(c.Context(), gateway, path, opened)
		},
	}
}

// pairing is the API's answer about pairing.
type pairing struct {
	URL        string
	Until      time.Time
	Shows      []string
	Remembered map[string]string
}

func (c *client) pairing(ctx context.Context, method, path string) (pairing, error) {
	var p pairing
	answer, err := c.call(ctx, method, "/webhooks"+path+"/pair", nil)
	if err == nil {
		if err = json.Unmarshal(answer, &p); err != nil {
			err = fmt.Errorf("the gateway's answer: %w", err)
		}
	}
	return p, err
}

// awaitPairing asks every half second until something else is remembered.
func (p *program) awaitPairing(ctx context.Context, gateway *client, path string, before pairing) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(before.Until) {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, err := gateway.pairing(ctx, http.MethodGet, path)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case printRemembered(p.streams.Out, now, before.Remembered):
			return nil
		}
	}
	return errors.New("nothing came before pairing closed")
}

// printRemembered prints what is not as it was before, and reports whether there was anything.
func printRemembered(w io.Writer, p pairing, before map[string]string) bool {
	some := false
	for _, name := range p.Shows {
		if value := p.Remembered[name]; value != "" && value != before[name] {
			fmt.Fprintf(w, "%s: %s\n", name, fixture.Printable(value))
			some = true
		}
	}
	return some
}
