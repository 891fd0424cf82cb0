package cli

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

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
	Response                                       struct{ Status int }
	Failure                                        *hook.Failure
	Notes                                          []string
	Console                                        []hook.ConsoleLine
	HandlerMs                                      float64
	Events                                         []shownEvent
	Deliveries                                     []struct {
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
	Duplicate               bool
}

func (p *program) inspectCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "inspect REQUEST_ID",
		Short: "Show what became of a request, from arrival to the last attempt",
		Args:  oneArg("the id of a request, as in X-Request-Id"),
		RunE: func(c *cobra.Command, args []string) error {
			var t timeline
			if err := p.get(c.Context(), "/requests/"+url.PathEscape(args[0]), asJSON, &t); err != nil || asJSON {
				return err
			}
			var b strings.Builder
			t.write(&b)
			_, err := fmt.Fprint(p.streams.Out, printable(b.String()))
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the answer of the admin API")
	return c
}

func oneArg(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError("%s takes one argument: %s", c.CommandPath(), what)
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
	for _, e := range t.Events {
		mark := ""
		if e.Duplicate {
			mark = "  duplicate, not delivered"
		}
		line("\nevent %s  %s%s\n%s", e.ID, e.Selector, mark, indent(short(string(e.Payload))))
		for _, d := range t.Deliveries {
			if d.EventID != e.ID {
				continue
			}
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
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var s struct {
				Ready                                  bool
				Reason, Version                        string
				Generation                             uint64
				Requests, Events, Pending, Dead, Bytes int64
				OldestPending                          *time.Time
				Connectors                             []struct{ Key, State string }
			}
			if err := p.get(c.Context(), "/status", asJSON, &s); err != nil || asJSON {
				return err
			}
			state := "ready"
			if !s.Ready {
				state = "not ready: " + s.Reason
			}
			out := p.streams.Out
			fmt.Fprintf(out, "%s\n  version     %s\n  generation  %d\n", state, s.Version, s.Generation)
			fmt.Fprintf(out, "  requests    %d\n  events      %d\n  pending     %d deliveries", s.Requests, s.Events, s.Pending)
			if s.OldestPending != nil {
				fmt.Fprintf(out, ", the oldest since %s", s.OldestPending.Format(time.RFC3339))
			}
			fmt.Fprintf(out, "\n  dead        %d deliveries\n  store       %.1f MiB\n", s.Dead, float64(s.Bytes)/(1<<20))
			for _, k := range s.Connectors {
				if k.State != "up" {
					fmt.Fprintf(out, "  connector   %s is %s\n", k.Key, k.State)
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the answer of the admin API")
	return c
}
