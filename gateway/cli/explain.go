package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"switchhook/gateway/fixture"
)

// explained is what the API says about who got the events of a request.
type explained struct {
	RequestID, Outcome, Reason, Next string
	Events                           []struct {
		ID, Selector  string
		Duplicate     bool
		Subscriptions []struct {
			Subscription, Delivery, Reason string
			Matches, Paused                bool
		}
	}
}

func (p *program) explainCommand() *cobra.Command {
	var asJSON bool
	var event string
	c := &cobra.Command{
		Use:   "explain REQUEST_ID [SUBSCRIPTION]",
		Short: "Say which subscriptions a request's events reached, and why not the others",
		Long: `Explain says for each event of a stored request which subscriptions of its
workspace it reached, and why it did not reach each other one, by the
subscriptions as they are now. A SUBSCRIPTION is WORKSPACE/NAME.`,
		Example: `  switchhook explain req_01K0000000000000000000000 demo/orders`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usageError("explain takes the id of a request, and the name of a subscription at most")
			}
			gateway, err := p.client()
			if err != nil {
				return err
			}
			query := url.Values{"limit": {"200"}}
			if len(args) == 2 {
				query.Set("subscription", args[1])
			}
			if event != "" {
				query.Set("event", event)
			}
			// Later pages say more about the same events.
			var all explained
			for {
				answer, err := gateway.call(c.Context(), http.MethodGet, "/requests/"+url.PathEscape(args[0])+"/explain?"+query.Encode(), nil)
				if err != nil {
					return err
				}
				if asJSON {
					if err := p.printJSON(answer); err != nil {
						return err
					}
				}
				var page explained
				if err := json.Unmarshal(answer, &page); err != nil {
					return fmt.Errorf("the gateway's answer: %w", err)
				}
				if all.RequestID == "" {
					all = page
				} else {
					for i := range min(len(all.Events), len(page.Events)) { // a replay may add some in between
						all.Events[i].Subscriptions = append(all.Events[i].Subscriptions, page.Events[i].Subscriptions...)
					}
				}
				if page.Next == "" {
					break
				}
				query.Set("cursor", page.Next)
			}
			if asJSON {
				return nil
			}
			var b strings.Builder
			all.write(&b)
			_, err = fmt.Fprint(p.streams.Out, fixture.Printable(b.String()))
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the answers of the admin API")
	c.Flags().StringVar(&event, "event", "", "only the event of this id")
	return c
}

func (e *explained) write(b *strings.Builder) {
	if len(e.Events) == 0 {
		fmt.Fprintf(b, "%s has no events: %s\n", e.RequestID, e.Reason)
		return
	}
	for i, event := range e.Events {
		if i > 0 {
			b.WriteByte('\n')
		}
		mark := ""
		if event.Duplicate {
			mark = "  duplicate, not delivered"
		}
		fmt.Fprintf(b, "event %s  %s%s\n", event.ID, event.Selector, mark)
		for _, s := range event.Subscriptions {
			switch {
			case s.Delivery != "" && s.Reason == "":
				fmt.Fprintf(b, "  + %s: delivery %s", s.Subscription, s.Delivery)
			case s.Delivery != "":
				fmt.Fprintf(b, "  + %s: delivery %s; %s", s.Subscription, s.Delivery, s.Reason)
			default:
				fmt.Fprintf(b, "  - %s: %s", s.Subscription, s.Reason)
			}
			if s.Paused {
				b.WriteString(" (it is paused)")
			}
			b.WriteByte('\n')
		}
		if len(event.Subscriptions) == 0 {
			b.WriteString("  the workspace has no subscriptions\n")
		}
	}
}
