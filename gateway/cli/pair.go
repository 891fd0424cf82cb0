package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (p *program) pairCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "pair WORKSPACE/INTEGRATION/WEBHOOK",
		Short: "Let the next handshake of a webhook replace the secret that it remembers",
		Long: `Some providers send a secret once, when a webhook is set up, and the gateway
remembers it. What is remembered is never replaced by itself, or anybody could.
Pair opens a window of ten minutes in which the next handshake replaces it. The
first handshake of a webhook needs no window.`,
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
			answer, err := gateway.call(c.Context(), http.MethodPost, "/webhooks"+path+"/pair", nil)
			if err != nil {
				return err
			}
			var opened struct {
				URL   string
				Until time.Time
			}
			if err := json.Unmarshal(answer, &opened); err != nil {
				return fmt.Errorf("the gateway's answer: %w", err)
			}
			fmt.Fprintf(p.streams.Out, "pairing is open until %s; set the webhook up at the provider now:\n%s\n", opened.Until.Local().Format(time.TimeOnly), opened.URL)
			return nil
		},
	}
}
