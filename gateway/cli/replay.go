package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"switchhook/gateway/fixture"
	"switchhook/gateway/hook"
)

// replayFlags are what the command replay was told.
type replayFlags struct {
	Subscription  string `json:"subscription,omitempty"`
	Selector      string `json:"selector,omitempty"`
	State         string `json:"state,omitempty"`
	After         string `json:"after,omitempty"`
	Before        string `json:"before,omitempty"`
	Cursor        string `json:"cursor,omitempty"`
	webhook       string
	failed        bool
	dryRun, force bool
}

func (p *program) replayCommand() *cobra.Command {
	var o replayFlags
	c := &cobra.Command{
		Use:   "replay [REQUEST_ID | DELIVERY_ID]",
		Short: "Deliver again, or run stored requests again with the handler as it is now",
		Long: `Replay makes deliveries again: one by its id, or all that are dead (or of another
--state) of a subscription, selector or time, the oldest first. What arrives after
the command began is no part of it. --dry-run counts them.

With the id of a request, its handler is run again, with the same bytes, headers
and clock. It must have failed, unless --force. --failed runs all requests again
that failed. --dry-run stores and delivers nothing; it prints how the events of
now differ from those that are stored.

A replay that was interrupted says how to go on. What is dead and was replayed is
not dead any more, and what failed and was run again is not failed, so the same
command goes on with the rest; a --cursor passes over what died again since.`,
		Example: `  switchhook replay --subscription demo/orders --after 2026-01-31T00:00:00Z
  switchhook replay --failed --webhook demo/github --dry-run
  switchhook replay req_01K0000000000000000000000 --dry-run`,
		RunE: func(c *cobra.Command, args []string) error {
			kind, err := o.check(args, c.Flags().Changed)
			if err != nil {
				return err
			}
			gateway, err := p.client()
			if err != nil {
				return err
			}
			switch kind {
			case "request":
				answer, err := gateway.call(c.Context(), http.MethodPost, fmt.Sprintf("/requests/%s/replay?dryRun=%t&force=%t", url.PathEscape(args[0]), o.dryRun, o.force), nil)
				if err != nil {
					return err
				}
				return p.printRerun(answer)
			case "delivery":
				if _, err := gateway.call(c.Context(), http.MethodPost, "/deliveries/"+url.PathEscape(args[0])+"/replay", nil); err != nil {
					return err
				}
				fmt.Fprintln(p.streams.Out, "replayed 1 delivery")
				return nil
			case "failed":
				return p.replayFailed(c.Context(), gateway, &o)
			}
			return p.replayDeliveries(c.Context(), gateway, &o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Subscription, "subscription", "", "only of this subscription, WORKSPACE/NAME")
	f.StringVar(&o.Selector, "selector", "", "only of this selector; with ** at its end, those that begin so")
	f.StringVar(&o.State, "state", "dead", "only those that are dead, done, pending or waiting")
	f.StringVar(&o.After, "after", "", "only of requests that arrived at or after this time (RFC 3339)")
	f.StringVar(&o.Before, "before", "", "only of requests that arrived before this time (RFC 3339)")
	f.StringVar(&o.Cursor, "cursor", "", "go on where a replay with the same filter stopped")
	f.BoolVar(&o.failed, "failed", false, "run all requests again that failed")
	f.StringVar(&o.webhook, "webhook", "", "with --failed, only those of WORKSPACE[/INTEGRATION[/WEBHOOK]]")
	f.BoolVar(&o.dryRun, "dry-run", false, "store and deliver nothing: count, or show how the events differ")
	f.BoolVar(&o.force, "force", false, "run a request again that did not fail; its events are delivered once more")
	return c
}

// check says what the command is to replay: a "request", a "delivery",
// "deliveries", or requests that "failed".
func (o *replayFlags) check(args []string, changed func(string) bool) (kind string, err error) {
	given := func(names ...string) bool { return slices.ContainsFunc(names, changed) }
	switch {
	case len(args) > 1:
		return "", usageError("replay takes one id at most, got %d", len(args))
	case len(args) == 1 && strings.HasPrefix(args[0], "req_"):
		kind = "request"
	case len(args) == 1:
		kind = "delivery"
	case o.failed:
		kind = "failed"
	default:
		kind = "deliveries"
	}
	switch {
	case len(args) == 1 && (o.failed || given("subscription", "selector", "state", "after", "before", "cursor", "webhook")):
		return "", usageError("give either an id or a filter")
	case kind == "deliveries" && !given("subscription", "selector", "state", "after", "before"):
		return "", usageError("say what to replay: an id, --failed, or a filter such as --subscription demo/orders")
	case kind == "failed" && given("subscription", "selector", "state", "cursor"):
		return "", usageError("--failed is for requests; narrow it with --webhook, --after and --before")
	case o.webhook != "" && kind != "failed":
		return "", usageError("--webhook is for requests: add --failed")
	case o.force && kind != "request", o.dryRun && kind == "delivery":
		return "", usageError("--force is for a request, --dry-run for requests and for filters; the ids of requests begin with req_")
	}
	return kind, nil
}

// replayStep is how many deliveries are replayed in one call of the gateway.
const replayStep = 1000

// replayDeliveries replays what the filter finds, step by step.
func (p *program) replayDeliveries(ctx context.Context, gateway *client, o *replayFlags) error {
	type order struct {
		replayFlags
		Limit  int  `json:"limit,omitempty"`
		DryRun bool `json:"dryRun,omitempty"`
	}
	var answer struct {
		Count, Skipped int
		Next           string
	}
	call := func(body order) error {
		text, err := gateway.call(ctx, http.MethodPost, "/replay", body)
		if err != nil {
			return err
		}
		answer.Next = ""
		if err := json.Unmarshal(text, &answer); err != nil {
			return fmt.Errorf("the gateway's answer: %w", err)
		}
		return nil
	}
	if err := call(order{replayFlags: *o, DryRun: true}); err != nil {
		return err
	}
	total := answer.Count + answer.Skipped
	if o.dryRun {
		fmt.Fprintf(p.streams.Out, "%s would be replayed\n", deliveries(answer.Count))
		p.printSkipped(answer.Skipped)
		return nil
	}
	bar := newProgress(p.streams, "replayed", total)
	replayed, skipped := 0, 0
	next := *o
	for {
		if err := call(order{replayFlags: next, Limit: replayStep}); err != nil {
			bar.end()
			if next.Cursor == o.Cursor {
				return err
			}
			if errors.Is(err, context.Canceled) {
				err = errors.New("interrupted")
			}
			return fmt.Errorf("stopped after %d of %d: %w\nTo go on: %s", replayed+skipped, total, err, next.command())
		}
		replayed, skipped = replayed+answer.Count, skipped+answer.Skipped
		if answer.Next == "" {
			break
		}
		next.Cursor = answer.Next
		bar.at(replayed+skipped, "--cursor "+next.Cursor)
	}
	bar.end()
	fmt.Fprintf(p.streams.Out, "replayed %s\n", deliveries(replayed))
	p.printSkipped(skipped)
	return nil
}

func (p *program) printSkipped(n int) {
	if n > 0 {
		fmt.Fprintf(p.streams.Out, "skipped %d, whose subscriptions are not there any more\n", n)
	}
}

// command is the command line of a replay by filter.
func (o *replayFlags) command() string {
	line := "switchhook replay"
	for _, f := range []struct{ name, value string }{
		{"subscription", o.Subscription}, {"selector", o.Selector}, {"state", o.State}, {"after", o.After}, {"before", o.Before}, {"cursor", o.Cursor},
	} {
		if f.value != "" {
			line += " --" + f.name + " '" + strings.ReplaceAll(f.value, "'", `'\''`) + "'"
		}
	}
	return line
}

// replayFailed runs all requests again that failed, the oldest first.
func (p *program) replayFailed(ctx context.Context, gateway *client, o *replayFlags) error {
	query := url.Values{"outcome": {string(hook.Failed)}, "limit": {"1000"}}
	names := strings.Split(o.webhook, "/")
	if len(names) > 3 {
		return usageError("--webhook %q is not WORKSPACE[/INTEGRATION[/WEBHOOK]]", o.webhook)
	}
	for i, key := range []string{"workspace", "integration", "webhook"} {
		if i < len(names) && names[i] != "" {
			query.Set(key, names[i])
		}
	}
	for key, value := range map[string]string{"after": o.After, "before": o.Before} {
		if value != "" {
			query.Set(key, value)
		}
	}
	var ids []string
	for {
		answer, err := gateway.call(ctx, http.MethodGet, "/requests?"+query.Encode(), nil)
		if err != nil {
			return err
		}
		var page struct {
			Items []struct{ ID string }
			Next  string
		}
		if err := json.Unmarshal(answer, &page); err != nil {
			return fmt.Errorf("the gateway's answer: %w", err)
		}
		for _, r := range page.Items {
			ids = append(ids, r.ID)
		}
		if page.Next == "" {
			break
		}
		query.Set("cursor", page.Next)
	}
	slices.Reverse(ids)
	bar := newProgress(p.streams, "ran again", len(ids))
	outcomes := map[string]int{}
	made := 0
	for i, id := range ids {
		answer, err := gateway.call(ctx, http.MethodPost, fmt.Sprintf("/requests/%s/replay?dryRun=%t", url.PathEscape(id), o.dryRun), nil)
		if err != nil {
			bar.end()
			if errors.Is(err, context.Canceled) {
				err = errors.New("interrupted")
			}
			return fmt.Errorf("stopped at request %s, after %d of %d: %w\nthe same command goes on with those that are failed still", id, i, len(ids), err)
		}
		var r rerun
		if err := json.Unmarshal(answer, &r); err != nil {
			return fmt.Errorf("the gateway's answer: %w", err)
		}
		outcomes[r.Outcome]++
		made += r.Deliveries
		if o.dryRun || r.Outcome == string(hook.Failed) {
			bar.end()
			var b strings.Builder
			fmt.Fprintf(&b, "%s: ", id)
			r.write(&b)
			fmt.Fprint(p.streams.Out, fixture.Printable(b.String()))
		}
		bar.at(i+1, "")
	}
	bar.end()
	done := "ran %d requests again: %d accepted, %d failed still, %d others; %s\n"
	if o.dryRun {
		done = "of %d requests %d would be accepted, %d fail still, %d others; %s (dry run: nothing was stored)\n"
	}
	accepted, failed := outcomes[string(hook.Accepted)], outcomes[string(hook.Failed)]
	fmt.Fprintf(p.streams.Out, done, len(ids), accepted, failed, len(ids)-accepted-failed, deliveries(made))
	if failed > 0 {
		return &exitError{exitFindings, nil}
	}
	return nil
}

// rerun is what came of running a request again.
type rerun struct {
	DryRun     bool
	Outcome    string
	Failure    *hook.Failure
	Console    []hook.ConsoleLine
	Events     []shownEvent
	Diff       []difference
	Deliveries int
}

func (r *rerun) write(b *strings.Builder) {
	for _, l := range r.Console {
		fmt.Fprintf(b, "%-5s %s\n", l.Level, l.Text)
	}
	fmt.Fprintf(b, "outcome %s, %s, %s", r.Outcome, events(len(r.Events)), deliveries(r.Deliveries))
	if r.DryRun {
		b.WriteString(" (dry run: nothing was stored)\n")
		writeDiff(b, r.Diff)
	} else {
		b.WriteString("\n")
		for _, e := range r.Events {
			fmt.Fprintf(b, "  %s  %s\n", e.ID, e.Selector)
		}
	}
	if r.Failure != nil {
		writeFailure(b, r.Failure)
	}
}

// printRerun shows what came of running a request again. A handler that fails
// is a finding.
func (p *program) printRerun(answer []byte) error {
	var r rerun
	if err := json.Unmarshal(answer, &r); err != nil {
		return fmt.Errorf("the gateway's answer: %w", err)
	}
	var b strings.Builder
	r.write(&b)
	if _, err := fmt.Fprint(p.streams.Out, fixture.Printable(b.String())); err != nil {
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
