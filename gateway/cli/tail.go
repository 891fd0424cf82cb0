package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"switchhook/gateway/fixture"
)

// tailed is any message of the live stream, and a line of the list of requests.
type tailed struct {
	ID, Workspace, Integration, Webhook, Method, Outcome, Kind, Reason string
	ReceivedAt                                                         time.Time
	Status, BodySize, Events, Deliveries                               int
	HandlerMs, TookMs                                                  float64

	DeliveryID, RequestID, Selector, Subscription, State, Class, Error string
	Number                                                             int
	At                                                                 time.Time

	Generation uint64
	OK         bool
	Changed    []struct{ Key, State string }
	Problems   []any

	Action, Target, Detail, Remote string

	Count int
}

func (p *program) tailCommand() *cobra.Command {
	var asJSON bool
	var lines int
	values := map[string]*string{}
	c := &cobra.Command{
		Use:   "tail",
		Short: "Show what happens, as it happens",
		Long: `Tail prints a line for every request, attempt, reload and change, as they happen,
until it is interrupted. When the gateway goes away it waits for it.`,
		Example: `  switchhook tail --outcome failed
  switchhook tail --kinds request --text octocat/Hello-World --json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if lines < 0 || lines > 1000 {
				return usageError("--lines takes a number from 0 to 1000")
			}
			gateway, err := p.client()
			if err != nil {
				return err
			}
			query := url.Values{}
			for name, value := range values {
				if *value != "" {
					query.Set(name, *value)
				}
			}
			t := &tail{p: p, gateway: gateway, query: query, asJSON: asJSON}
			err = t.run(c.Context(), lines)
			if c.Context().Err() != nil {
				return nil // interrupted, as it is meant to be
			}
			return err
		},
	}
	f := c.Flags()
	for name, usage := range map[string]string{
		"kinds": "only these, with commas between: request, turned (not stored), attempt, reload, change", "workspace": "only of this workspace",
		"integration": "only of this integration", "webhook": "only of this webhook", "connector": "only of this connector",
		"outcome": "only with this outcome: accepted, handshake, refused, failed, deferred, unverified, bad-body, unavailable",
		"status":  "only answered with this status, such as 404 or 4xx", "text": "only with this text in body, id, path or selector",
		"subscription": "only what this subscription gets, WORKSPACE/NAME",
	} {
		values[name] = f.String(name, "", usage)
	}
	f.BoolVar(&asJSON, "json", false, "print JSON, one object a line")
	f.IntVarP(&lines, "lines", "n", 10, "begin with so many of the stored requests")
	return c
}

type tail struct {
	p       *program
	gateway *client
	query   url.Values
	asJSON  bool
}

// run prints until ctx ends. It fails when the gateway does not answer at
// first; when it goes away later, it waits for it.
func (t *tail) run(ctx context.Context, lines int) error {
	for first := true; ; first = false {
		err := t.follow(ctx, func() error {
			if !first {
				fmt.Fprintln(t.p.streams.Err, "the gateway is back")
				return nil
			}
			return t.before(ctx, lines)
		})
		var gone *unreachable
		if ctx.Err() != nil || err != nil && (first || !errors.As(err, &gone)) {
			return err
		}
		if err == nil {
			fmt.Fprintln(t.p.streams.Err, "the gateway went away; waiting for it")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// before prints the last stored requests.
func (t *tail) before(ctx context.Context, lines int) error {
	known := []string{"workspace", "integration", "webhook", "connector", "outcome", "status", "text"}
	query := url.Values{}
	for name, v := range t.query {
		if !slices.Contains(known, name) && name != "kinds" {
			return nil // the list does not know what is asked for
		}
		if name != "kinds" {
			query[name] = v
		}
	}
	kinds, outcome := t.query.Get("kinds"), t.query.Get("outcome")
	if lines == 0 || kinds != "" && !slices.Contains(strings.Split(kinds, ","), "request") ||
		slices.Contains([]string{"unverified", "bad-body", "unavailable"}, outcome) {
		return nil
	}
	query.Set("limit", fmt.Sprint(lines))
	answer, err := t.gateway.call(ctx, http.MethodGet, "/requests?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	var page struct{ Items []json.RawMessage }
	if err := json.Unmarshal(answer, &page); err != nil {
		return fmt.Errorf("the gateway's answer: %w", err)
	}
	for _, item := range slices.Backward(page.Items) {
		if err := t.print("request", item); err != nil {
			return err
		}
	}
	return nil
}

// follow prints the stream until it ends. began is called when it has begun, so
// that nothing is missed between what that lists and the first message.
func (t *tail) follow(ctx context.Context, began func() error) error {
	resp, err := t.gateway.open(ctx, http.MethodGet, "/stream?"+t.query.Encode(), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	scan := bufio.NewScanner(resp.Body)
	scan.Buffer(nil, 16<<20)
	kind := ""
	for scan.Scan() {
		name, value, _ := strings.Cut(scan.Text(), ": ")
		switch {
		case name == "event":
			kind = value
		case name == "data" && kind == "hello":
			if err := began(); err != nil {
				return err
			}
		case name == "data":
			if err := t.print(kind, json.RawMessage(value)); err != nil {
				return err
			}
		}
	}
	return nil // the gateway ended it
}

func (t *tail) print(kind string, data json.RawMessage) error {
	if t.asJSON {
		_, err := fmt.Fprintf(t.p.streams.Out, "{\"event\":%q,\"data\":%s}\n", kind, data)
		return err
	}
	var m tailed
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("the gateway's message: %w", err)
	}
	line := strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		return r
	}, fixture.Printable(m.line(kind)))
	_, err := fmt.Fprintln(t.p.streams.Out, line)
	return err
}

func (m *tailed) line(kind string) string {
	const clock = "15:04:05.000"
	failed := func(class, reason string) string {
		if reason == "" {
			return class
		}
		return class + ": " + reason
	}
	switch kind {
	case "request":
		return fmt.Sprintf("%s  %d %-9s %s/%s/%s  %s %d bytes, %s, %s, %.1f ms  %s", m.ReceivedAt.Local().Format(clock), m.Status, m.Outcome,
			m.Workspace, m.Integration, m.Webhook, m.Method, m.BodySize, events(m.Events), deliveries(m.Deliveries), m.HandlerMs, m.ID)
	case "turned":
		return fmt.Sprintf("%s  %d %s %s/%s/%s  %s %d bytes, not stored  %s", m.ReceivedAt.Local().Format(clock), m.Status, failed(m.Kind, m.Reason),
			m.Workspace, m.Integration, m.Webhook, m.Method, m.BodySize, m.ID)
	case "attempt":
		return fmt.Sprintf("%s    -> %s  %s  attempt %d %s, %.1f ms, now %s  %s %s", m.At.Local().Format(clock), m.Subscription, m.Selector, m.Number,
			failed(m.Class, m.Error), m.TookMs, m.State, m.RequestID, m.DeliveryID)
	case "reload":
		var changed []string
		for _, k := range m.Changed {
			changed = append(changed, k.Key+" "+k.State)
		}
		if !m.OK {
			return fmt.Sprintf("%s  reload failed, %d findings; the last good configuration stays in force", m.At.Local().Format(clock), len(m.Problems))
		}
		return fmt.Sprintf("%s  reloaded, generation %d, changed: %s", m.At.Local().Format(clock), m.Generation, strings.Join(changed, ", "))
	case "change":
		return fmt.Sprintf("%s  %s %s  %s  by %s", m.At.Local().Format(clock), m.Action, m.Target, m.Detail, m.Remote)
	case "dropped":
		return fmt.Sprintf("             %d lines are missing here: they came faster than they could be shown", m.Count)
	}
	return kind
}
