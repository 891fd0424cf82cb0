package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"switchhook/gateway/fixture"
	"switchhook/gateway/hook"
)

// timeline is what the API says about a request.
type timeline struct {
	ID, Workspace, Integration, Webhook, Connector string
	Method, Path, Query, RemoteAddr, Verified      string
	Headers                                        hook.Headers
	Body                                           []byte
	Text                                           *string
	ReceivedAt                                     time.Time
	Outcome                                        string
	Response                                       struct {
		Status int
		Text   string
	}
	TraceParent string
	Failure     *hook.Failure
	Notes       []string
	Console     []hook.ConsoleLine
	HandlerMs   float64
	Events      []shownEvent
	Deliveries  []struct {
		ID, EventID, Subscription, State string
		DueAt                            *time.Time
		History                          []struct {
			Number                 int
			At                     time.Time
			TookMs                 float64
			Status                 int
			Class, Error, Response string
		}
	}
}

type shownEvent struct {
	ID, Key, Selector, Type string
	Payload                 json.RawMessage
	PayloadSize             int
	Duplicate               bool
}

// shownPayload is what is shown of the payload; the API leaves out those that are very large.
func (e *shownEvent) shownPayload() string {
	if e.Payload == nil {
		return fmt.Sprintf("(%d bytes, too large to show)", e.PayloadSize)
	}
	return short(string(e.Payload))
}

func (p *program) inspectCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "inspect REQUEST_ID",
		Short: "Show what became of a request, from arrival to the last attempt",
		Example: `  switchhook inspect req_01K0000000000000000000000
  switchhook inspect req_01K0000000000000000000000 --json`,
		Args: oneArg("the id of a request, as in X-Request-Id"),
		RunE: func(c *cobra.Command, args []string) error {
			var t timeline
			if err := p.get(c.Context(), "/requests/"+url.PathEscape(args[0]), asJSON, &t); err != nil || asJSON {
				return err
			}
			var b strings.Builder
			t.write(&b)
			_, err := fmt.Fprint(p.streams.Out, fixture.Printable(b.String()))
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the answer of the admin API")
	return c
}

func oneArg(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError("%s takes one argument: %s", strings.TrimPrefix(c.CommandPath(), "switchhook "), what)
		}
		return nil
	}
}

// shownBytes bounds what is shown of a body or payload.
const shownBytes = 4 << 10

func short(s string) string {
	if len(s) > shownBytes {
		return strings.ToValidUTF8(s[:shownBytes], "") + fmt.Sprintf("... (%d bytes, --json shows all)", len(s))
	}
	return s
}

func (t *timeline) write(b *strings.Builder) {
	line := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	target := t.Path
	if t.Query != "" {
		target += "?" + t.Query
	}
	line("%s  %s", t.ID, t.ReceivedAt.Format(time.RFC3339Nano))
	line("  %s %s from %s", t.Method, target, t.RemoteAddr)
	line("  webhook    %s/%s/%s (connector %s)", t.Workspace, t.Integration, t.Webhook, t.Connector)
	line("  verified   %s", t.Verified)
	line("  outcome    %s, answered %d, handler took %.1f ms", t.Outcome, t.Response.Status, t.HandlerMs)
	if t.TraceParent != "" {
		line("  trace      %s", t.TraceParent)
	}
	for _, n := range t.Notes {
		line("  note       %s", n)
	}
	if t.Failure != nil {
		writeFailure(b, t.Failure)
	}
	if len(t.Console) > 0 {
		line("\nconsole")
		for _, l := range t.Console {
			line("  %-5s %s", l.Level, l.Text)
		}
	}
	line("\nrequest")
	for _, h := range t.Headers {
		line("  %s: %s", h.Name, h.Value)
	}
	if t.Text != nil {
		line("\n%s", indent(short(*t.Text)))
	} else {
		line("\n  %d bytes that are not text", len(t.Body))
	}
	if t.Response.Text != "" {
		line("\nresponse %d\n%s", t.Response.Status, indent(short(t.Response.Text)))
	}
	for _, e := range t.Events {
		mark := ""
		if e.Duplicate {
			mark = "  duplicate, not delivered"
		}
		line("\nevent %s  %s%s\n%s", e.ID, e.Selector, mark, indent(e.shownPayload()))
		delivered := false
		for _, d := range t.Deliveries {
			if d.EventID != e.ID {
				continue
			}
			delivered = true
			due := ""
			if d.DueAt != nil {
				due = ", next attempt " + d.DueAt.Format(time.RFC3339)
			}
			line("  delivery %s to %s: %s%s", d.ID, d.Subscription, d.State, due)
			for _, a := range d.History {
				result := a.Class
				if a.Status != 0 {
					result += fmt.Sprintf(" (%d)", a.Status)
				}
				if a.Error != "" {
					result += ": " + a.Error
				}
				line("    attempt %d  %s  %.1f ms  %s", a.Number, a.At.Format(time.RFC3339), a.TookMs, result)
				if a.Class != "ok" && a.Response != "" {
					line("%s", indent(indent(a.Response)))
				}
			}
		}
		if !delivered && !e.Duplicate {
			line("  no subscription wanted it; 'switchhook explain %s' says why", t.ID)
		}
	}
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n  ")
}

func writeFailure(b *strings.Builder, f *hook.Failure) {
	fmt.Fprintf(b, "\n%s: %s", f.Kind, f.Message)
	if f.Path != "" {
		fmt.Fprintf(b, " (at %s)", f.Path)
	}
	if f.ID != "" {
		fmt.Fprintf(b, "  %s", f.ID)
	}
	fmt.Fprintln(b)
	for _, frame := range f.Stack {
		fmt.Fprintf(b, "  at %s:%d:%d", frame.File, frame.Line, frame.Column)
		if frame.Function != "" {
			fmt.Fprintf(b, " in %s", frame.Function)
		}
		fmt.Fprintln(b)
	}
	if f.CodeFrame != "" {
		fmt.Fprintf(b, "%s\n", strings.TrimRight(f.CodeFrame, "\n"))
	}
}

func (p *program) statusCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how the running gateway is",
		Example: `  switchhook status
  switchhook status --json -c /etc/switchhook/config.yaml`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var s overview
			if err := p.get(c.Context(), "/overview", asJSON, &s); err != nil || asJSON {
				return err
			}
			var b strings.Builder
			s.write(&b)
			_, err := fmt.Fprint(p.streams.Out, fixture.Printable(b.String()))
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the answer of the admin API")
	return c
}

// overview is what the API says about the gateway.
type overview struct {
	Ready           bool
	Reason, Version string
	Generation      uint64
	Now, StartedAt  time.Time
	Connectors      map[string]int
	Store           struct {
		Error                                  string
		Requests, Events, Pending, Dead, Bytes int64
		OldestPending                          *time.Time
	}
	Delivering struct{ InFlight int }
	Recent     struct {
		Seconds                                                                             int
		Requests, Failed, Refused, Turned, Unverified, Attempts, FailedAttempts, Done, Dead int64
		Ack, Delivered                                                                      struct {
			Count         int64
			P50, P95, P99 float64
		}
	}
}

func (o *overview) write(b *strings.Builder) {
	line := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	if o.Ready {
		line("ready")
	} else {
		line("not ready: %s", o.Reason)
	}
	line("  version     %s", o.Version)
	line("  up since    %s (%s)", o.StartedAt.Format(time.RFC3339), o.Now.Sub(o.StartedAt).Round(time.Second))
	line("  generation  %d", o.Generation)
	oldest := ""
	if o.Store.OldestPending != nil {
		oldest = fmt.Sprintf(", the oldest since %s (%s)", o.Store.OldestPending.Format(time.RFC3339), o.Now.Sub(*o.Store.OldestPending).Round(time.Second))
	}
	line("  requests    %d\n  events      %d\n  pending     %s%s, %d under way", o.Store.Requests, o.Store.Events, deliveries(int(o.Store.Pending)), oldest, o.Delivering.InFlight)
	line("  dead        %s\n  store       %.1f MiB", deliveries(int(o.Store.Dead)), float64(o.Store.Bytes)/(1<<20))
	if o.Store.Error != "" {
		line("              %s", o.Store.Error)
	}
	for _, state := range slices.Sorted(maps.Keys(o.Connectors)) {
		switch state {
		case "up":
		case "quarantined":
			line("  connectors  %d %s: handlers that end their processes; requests are stored, and run later; the console says more", o.Connectors[state], state)
		default:
			line("  connectors  %d %s; they are in the console, and 'switchhook check' says what is wrong", o.Connectors[state], state)
		}
	}
	r := o.Recent
	line("\nthe last minute")
	line("  requests    %d, %d failed, %d refused; %d more not stored, of which %d did not verify", r.Requests, r.Failed, r.Refused, r.Turned, r.Unverified)
	if r.Ack.Count > 0 {
		line("  answered    p50 %.1f ms, p99 %.1f ms", r.Ack.P50, r.Ack.P99)
	}
	line("  attempts    %d, %d failed; %s done, %d dead", r.Attempts, r.FailedAttempts, deliveries(int(r.Done)), r.Dead)
	if r.Delivered.Count > 0 {
		line("  delivered   p50 %.1f ms, p99 %.1f ms after they arrived", r.Delivered.P50, r.Delivered.P99)
	}
}
