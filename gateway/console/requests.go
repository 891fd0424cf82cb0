package console

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"switchhook/gateway/hook"
	"switchhook/gateway/ingest"
	"switchhook/gateway/script"
	"switchhook/gateway/store"
	"switchhook/spec/diagnostic"
)

// page is one page of a list. Next is the cursor of the next one; "" after the last.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
}

// query reads the parameters of a list.
type query struct {
	values url.Values
	err    error
}

func newQuery(r *http.Request, known ...string) *query {
	values, err := url.ParseQuery(r.URL.RawQuery)
	q := &query{values: values}
	if err != nil {
		q.err = badRequest("the query string is malformed")
	}
	for name := range values {
		if !slices.Contains(known, name) {
			detail := fmt.Sprintf("the parameter %q is not known here, known are: %s", name, strings.Join(known, ", "))
			if hint := diagnostic.DidYouMean(name, known); hint != "" {
				detail = fmt.Sprintf("the parameter %q is not known here, %s", name, hint)
			}
			q.err = badRequest(detail)
		}
	}
	return q
}

func (q *query) text(name string) string { return q.values.Get(name) }

func (q *query) time(name string) time.Time {
	t, err := parseTime(name, q.text(name))
	if err != nil {
		q.err = err
	}
	return t
}

func parseTime(name, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, badRequest(fmt.Sprintf("%s: expected a time such as 2026-01-31T15:04:05Z", name))
	}
	return t, nil
}

func (q *query) limit() int {
	text := q.text("limit")
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 1000 {
		q.err = badRequest("limit: expected a number from 1 to 1000")
	}
	return n
}

func (q *query) flag(name string) bool {
	switch q.text(name) {
	case "true":
		return true
	case "false":
	case "":
		return q.values.Has(name)
	default:
		q.err = badRequest(name + ": expected true or false")
	}
	return false
}

var outcomes = []string{string(hook.Accepted), string(hook.Handshake), string(hook.Refused), string(hook.Failed), string(hook.Deferred)}

func (q *query) oneOf(name string, known []string) string {
	value := q.text(name)
	if value != "" && !slices.Contains(known, value) {
		q.err = badRequest(fmt.Sprintf("%s: %q is not known, known are: %s", name, value, strings.Join(known, ", ")))
	}
	return value
}

func (c *Console) listRequests(r *http.Request) (int, any, error) {
	q := newQuery(r, "workspace", "integration", "webhook", "connector", "outcome", "status", "text", "after", "before", "cursor", "limit")
	filter := store.RequestQuery{
		Workspace: q.text("workspace"), Integration: q.text("integration"), Webhook: q.text("webhook"), Connector: q.text("connector"),
		Outcome: hook.Outcome(q.oneOf("outcome", outcomes)), Text: q.text("text"),
		After: q.time("after"), Before: q.time("before"), Cursor: q.text("cursor"), Limit: q.limit(),
	}
	filter.MinStatus, filter.MaxStatus = q.status()
	if q.err != nil {
		return 0, nil, q.err
	}
	found, next, err := c.o.Store.Requests(r.Context(), filter)
	if err != nil {
		return 0, nil, err
	}
	views := make([]requestSummary, len(found))
	for i, s := range found {
		views[i] = viewSummary(s)
	}
	return http.StatusOK, page[requestSummary]{views, next}, nil
}

func (c *Console) getRequest(r *http.Request) (int, any, error) {
	stored, err := c.stored(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, viewRequest(stored), nil
}

// requestBody sends a body as the bytes that came. They are anybody's, so
// browsers must save and not show them.
func (c *Console) requestBody(w http.ResponseWriter, r *http.Request) {
	stored, err := c.stored(r)
	if err != nil {
		writeProblem(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="`+name.FindString(stored.Request.ID)+`.body"`)
	w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
	w.Header().Set("Content-Length", strconv.Itoa(len(stored.Request.Body)))
	_, _ = w.Write(stored.Request.Body) // the client may be gone
}

func (c *Console) stored(r *http.Request) (*store.Stored, error) {
	stored, err := c.o.Store.Request(r.Context(), r.PathValue("id"))
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound(fmt.Sprintf("there is no request %q", r.PathValue("id")))
	}
	return stored, err
}

// rerun is what came of running a stored request again.
type rerun struct {
	DryRun  bool               `json:"dryRun"`
	Outcome hook.Outcome       `json:"outcome"`
	Failure *hook.Failure      `json:"failure,omitempty"`
	Console []hook.ConsoleLine `json:"console"`
	// Stored are the events that were stored before, Events those of now.
	Stored []event `json:"stored"`
	Events []event `json:"events"`
	// Diff compares them.
	Diff []difference `json:"diff"`
	// Deliveries is how many deliveries were made, or would be in a dry run.
	Deliveries int `json:"deliveries"`
}

// replayRequest runs a stored request against the handler as it is now, with
// the clock of its arrival and without verification.
func (c *Console) replayRequest(r *http.Request) (int, any, error) {
	q := newQuery(r, "dryRun", "force")
	dryRun, force := q.flag("dryRun"), q.flag("force")
	if q.err != nil {
		return 0, nil, q.err
	}
	stored, err := c.stored(r)
	if err != nil {
		return 0, nil, err
	}
	req := stored.Request
	if !dryRun && !force && stored.Outcome != hook.Failed && stored.Outcome != hook.Deferred {
		return 0, nil, conflict(fmt.Sprintf("the request was %s: its events are delivered already, or were refused on purpose; a dry run (dryRun=true, --dry-run) shows what the handler makes of it now; force (force=true, --force) runs it nevertheless", stored.Outcome))
	}
	endpoint := c.o.Live.Current().Endpoint(req.Workspace, req.Integration, req.Webhook)
	if endpoint == nil || endpoint.Webhook == nil {
		return 0, nil, conflict(fmt.Sprintf("the webhook %s/%s/%s is not there, or its connector is down", req.Workspace, req.Integration, req.Webhook))
	}
	rec, answered := c.o.Pipeline.Run(r.Context(), endpoint, req, ingest.Unverified(),
		ingest.WithInput(func(in *script.HandleInput) { in.Now = req.ReceivedAt }))
	if answered != nil {
		return 0, nil, &problem{Status: http.StatusServiceUnavailable, Detail: answered.Reason}
	}
	if err := r.Context().Err(); err != nil {
		return 0, nil, fmt.Errorf("replaying request %s: %w", req.ID, err)
	}
	result := rerun{DryRun: dryRun, Outcome: rec.Outcome, Failure: rec.Failure, Console: append([]hook.ConsoleLine{}, rec.Console...),
		Stored: viewEvents(stored.Events)}
	if !dryRun {
		// The ids continue those that are stored. Where somebody replays the same
		// request at the same time, the second one is a conflict.
		renumber(rec.Events, req.ID, len(stored.Events))
		if err := c.o.Store.ReplayRecord(r.Context(), rec); err != nil {
			return 0, nil, err
		}
		if len(rec.Deliveries) > 0 {
			c.o.Deliver.Offer(rec.Deliveries)
		}
		c.changed(r, "request.replay", req.ID, "%s, %d events, %d deliveries", rec.Outcome, len(rec.Events), len(rec.Deliveries))
	}
	result.Diff = diff(stored.Events, rec.Events)
	result.Events, result.Deliveries = viewEvents(rec.Events), len(rec.Deliveries)
	return http.StatusOK, result, nil
}

func renumber(events []*hook.Event, requestID string, from int) {
	for i, e := range events {
		e.ID = "evt_" + strings.TrimPrefix(requestID, "req_") + "_" + strconv.Itoa(from+i)
	}
}

// readBody reads the JSON body of a request.
func readBody(r *http.Request) ([]byte, error) {
	content, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the body: %w", err)
	}
	if len(bytes.TrimSpace(content)) == 0 {
		return nil, badRequest("the body is empty, expected a JSON object")
	}
	return content, nil
}

// status is figures about the gateway, few and quick.
func (c *Console) status(r *http.Request) (int, any, error) {
	stats, err := c.o.Store.Stats(r.Context())
	if err != nil {
		return 0, nil, err
	}
	g := c.o.Live.Current()
	type connector struct {
		Key   string `json:"key"`
		State string `json:"state"`
	}
	v := struct {
		Ready         bool        `json:"ready"`
		Reason        string      `json:"reason,omitempty"`
		Version       string      `json:"version"`
		Generation    uint64      `json:"generation"`
		Connectors    []connector `json:"connectors"`
		Requests      int64       `json:"requests"`
		Events        int64       `json:"events"`
		Pending       int64       `json:"pending"`
		Dead          int64       `json:"dead"`
		Bytes         int64       `json:"bytes"`
		OldestPending *time.Time  `json:"oldestPending,omitempty"`
		OldestRequest *time.Time  `json:"oldestRequest,omitempty"`
	}{
		Version: c.o.Version, Generation: g.Number, Connectors: []connector{},
		Requests: stats.Requests, Events: stats.Events, Pending: stats.Pending, Dead: stats.Dead, Bytes: stats.Bytes,
		OldestPending: optional(stats.OldestPending), OldestRequest: optional(stats.OldestRequest),
	}
	v.Ready, v.Reason = c.readiness()
	for _, k := range g.Connectors {
		state, _ := c.stateOf(k)
		v.Connectors = append(v.Connectors, connector{k.Key, state})
	}
	slices.SortFunc(v.Connectors, func(a, b connector) int { return strings.Compare(a.Key, b.Key) })
	return http.StatusOK, v, nil
}
