package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"switchhook/gateway/hook"
)

func (p *program) replayCommand() *cobra.Command {
	var subscription, selector, state, after, before string
	var dryRun, force bool
	c := &cobra.Command{
		Use:   "replay [REQUEST_ID | DELIVERY_ID]",
		Short: "Deliver again, or run a stored request again with the handler as it is now",
		Long: `Replay makes deliveries again: one by its id, or all that are dead (or of another
--state) of a subscription, selector or time.

With the id of a request, its handler is run again, with the same bytes, headers
and clock. It must have failed, unless --force. --dry-run stores and delivers
nothing; it prints how the events of now differ from those that are stored.`,
		Example: `  switchhook replay --subscription demo/orders --after 2026-01-31T00:00:00Z
  switchhook replay req_01K0000000000000000000000 --dry-run`,
		RunE: func(c *cobra.Command, args []string) error {
			changed := c.Flags().Changed
			filtered := changed("subscription") || changed("selector") || changed("state") || changed("after") || changed("before")
			isRequest := len(args) == 1 && strings.HasPrefix(args[0], "req_")
			switch {
			case len(args) > 1:
				return usageError("replay takes one id at most, got %d", len(args))
			case len(args) == 1 && filtered:
				return usageError("give either an id or a filter")
			case len(args) == 0 && !filtered:
				return usageError("say what to replay: an id, or a filter such as --subscription demo/orders")
			case (dryRun || force) && !isRequest:
				return usageError("--dry-run and --force are for requests, whose ids begin with req_")
			}
			gateway, err := p.client()
			if err != nil {
				return err
			}
			path, body := "/replay", any(map[string]string{"subscription": subscription, "selector": selector, "state": state, "after": after, "before": before})
			switch {
			case isRequest:
				path, body = fmt.Sprintf("/requests/%s/replay?dryRun=%t&force=%t", url.PathEscape(args[0]), dryRun, force), nil
			case len(args) == 1:
				path, body = "/deliveries/"+url.PathEscape(args[0])+"/replay", nil
			}
			answer, err := gateway.call(c.Context(), http.MethodPost, path, body)
			if err != nil {
				return err
			}
			if isRequest {
				return p.printRerun(answer)
			}
			var replayed struct{ Count, Skipped int }
			if err := json.Unmarshal(answer, &replayed); err != nil {
				return fmt.Errorf("the gateway's answer: %w", err)
			}
			fmt.Fprintf(p.streams.Out, "replayed %d deliveries\n", replayed.Count)
			if replayed.Skipped > 0 {
				fmt.Fprintf(p.streams.Out, "skipped %d, whose subscriptions are not there any more\n", replayed.Skipped)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&subscription, "subscription", "", "only of this subscription, WORKSPACE/NAME")
	f.StringVar(&selector, "selector", "", "only of this selector; with ** at its end, those that begin so")
	f.StringVar(&state, "state", "dead", "only those that are dead, done, pending or waiting")
	f.StringVar(&after, "after", "", "only of requests that arrived at or after this time (RFC 3339)")
	f.StringVar(&before, "before", "", "only of requests that arrived before this time (RFC 3339)")
	f.BoolVar(&dryRun, "dry-run", false, "store and deliver nothing, show how the events differ")
	f.BoolVar(&force, "force", false, "run a request again that did not fail; its events are delivered once more")
	return c
}

// printRerun shows what came of running a request again. A handler that fails
// is a finding.
func (p *program) printRerun(answer []byte) error {
	var r struct {
		DryRun     bool
		Outcome    string
		Failure    *hook.Failure
		Console    []hook.ConsoleLine
		Events     []shownEvent
		Diff       []difference
		Deliveries int
	}
	if err := json.Unmarshal(answer, &r); err != nil {
		return fmt.Errorf("the gateway's answer: %w", err)
	}
	var b strings.Builder
	for _, l := range r.Console {
		fmt.Fprintf(&b, "%-5s %s\n", l.Level, l.Text)
	}
	fmt.Fprintf(&b, "outcome %s, %d events, %d deliveries", r.Outcome, len(r.Events), r.Deliveries)
	if r.DryRun {
		b.WriteString(" (dry run: nothing was stored)\n")
		writeDiff(&b, r.Diff)
	} else {
		b.WriteString("\n")
		for _, e := range r.Events {
			fmt.Fprintf(&b, "  %s  %s\n", e.ID, e.Selector)
		}
	}
	if r.Failure != nil {
		writeFailure(&b, r.Failure)
	}
	if _, err := fmt.Fprint(p.streams.Out, printable(b.String())); err != nil {
		return err
	}
	if r.Outcome == string(hook.Failed) {
		return &exitError{exitFindings, nil}
	}
	return nil
}

// difference is how an event of now differs from one that is stored.
type difference struct {
	Kind          string
	Before, After *shownEvent
	Changes       []struct {
		Path          string
		Before, After json.RawMessage
	}
}

// writeDiff shows events by line: "-" only stored, "+" only now, "~" with
// changes, which follow, and " " both.
func writeDiff(b *strings.Builder, list []difference) {
	for _, d := range list {
		switch d.Kind {
		case "same":
			fmt.Fprintf(b, "  %s\n", d.Before.line())
		case "removed":
			fmt.Fprintf(b, "- %s\n", d.Before.line())
		case "added":
			fmt.Fprintf(b, "+ %s\n", d.After.line())
		default:
			fmt.Fprintf(b, "~ %s\n", d.Before.Selector)
			for _, c := range d.Changes {
				if c.Before != nil {
					fmt.Fprintf(b, "    - %s: %s\n", c.Path, c.Before)
				}
				if c.After != nil {
					fmt.Fprintf(b, "    + %s: %s\n", c.Path, c.After)
				}
			}
		}
	}
	if len(list) == 0 {
		b.WriteString("  no events, stored or now\n")
	}
}

// line is all that makes an event what it is, but its id.
func (e shownEvent) line() string {
	line := e.Selector
	if e.Type != "" {
		line += " type=" + e.Type
	}
	if e.Key != "" {
		line += " id=" + e.Key
	}
	return line + " " + string(e.Payload)
}
