package console

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"switchhook/gateway/hook"
	"switchhook/gateway/live"
	"switchhook/gateway/store"
	"switchhook/spec/document"
)

// sending is where the deliveries of a subscription stand. Figures are of the last hour.
type sending struct {
	Subscription string      `json:"subscription"`
	Destination  destination `json:"destination"`
	Paused       bool        `json:"paused"`
	Disabled     string      `json:"disabled,omitempty"`
	Inactive     string      `json:"inactive,omitempty"`
	Delivering   delivering  `json:"delivering"`
	// Backlog and Dead are counted up to CountedTo; one that is as large may be larger.
	Backlog   int `json:"backlog"`
	Dead      int `json:"dead"`
	CountedTo int `json:"countedTo"`
	Attempts  int `json:"attempts"`
	Failed    int `json:"failed"`
	// SuccessRate is the share of attempts that succeeded; absent where there were none.
	SuccessRate *float64 `json:"successRate,omitempty"`
	Took        latency  `json:"took"`
	Traffic     traffic  `json:"traffic"`
}

// How far deliveries are counted, in a list and of one alone. Counting takes about 0.1 µs each.
const (
	countedInList = 1000
	countedAlone  = 100_000
)

func (c *Console) viewSending(ctx context.Context, s *live.Resolved, most int) (sending, error) {
	id := s.Subscription.ID()
	backlog, err := c.o.Store.Backlog(ctx, id, most)
	if err != nil {
		return sending{}, err
	}
	recent := c.o.Activity.SendingOf(id)
	v := sending{
		Subscription: id, Destination: viewDestination(s.Subscription.Destination), Paused: s.Subscription.Paused,
		Disabled: c.o.Live.DisabledReason(id), Inactive: s.Inactive, Delivering: viewDelivering(c.o.Deliver.State(id)),
		Backlog: backlog.Open, Dead: backlog.Dead, CountedTo: most, Took: viewLatency(recent.Took), Traffic: viewTraffic(&recent.Traffic),
	}
	v.Attempts, v.Failed = recent.Sums()
	if v.Attempts > 0 {
		rate := float64(v.Attempts-v.Failed) / float64(v.Attempts)
		v.SuccessRate = &rate
	}
	return v, nil
}

func (c *Console) listDestinations(r *http.Request) (int, any, error) {
	q := newQuery(r, "workspace", "cursor", "limit")
	workspace, cursor, limit := q.text("workspace"), q.text("cursor"), store.PageLimit(q.limit())
	if q.err != nil {
		return 0, nil, q.err
	}
	found, next := c.subscriptions(workspace, cursor, limit)
	p := page[sending]{Items: make([]sending, len(found)), Next: next}
	for i, s := range found {
		var err error
		if p.Items[i], err = c.viewSending(r.Context(), s, countedInList); err != nil {
			return 0, nil, err
		}
	}
	return http.StatusOK, p, nil
}

func (c *Console) getDestination(r *http.Request) (int, any, error) {
	if q := newQuery(r); q.err != nil {
		return 0, nil, q.err
	}
	s, err := c.subscription(r)
	if err != nil {
		return 0, nil, err
	}
	v, err := c.viewSending(r.Context(), s, countedAlone)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, v, nil
}

// tested is what came of a test-send.
type tested struct {
	EventID  string  `json:"eventId"`
	Selector string  `json:"selector"`
	Attempt  attempt `json:"attempt"`
}

// testSubscription sends an event that nobody received to the destination, once
// and at once. Neither selector nor filter are asked.
func (c *Console) testSubscription(r *http.Request) (int, any, error) {
	s, err := c.subscription(r)
	if err != nil {
		return 0, nil, err
	}
	event := &hook.Event{
		ID: "evt_test_" + strings.ToLower(rand.Text()), RequestID: "req_test", Selector: "test", Type: "test",
		Payload: fmt.Appendf(nil, `{"test":true,"subscription":%q,"sentAt":%q}`, s.Subscription.ID(), c.o.Now().UTC().Format(time.RFC3339Nano)),
	}
	if r.ContentLength != 0 {
		content, err := readBody(r)
		if err != nil {
			return 0, nil, err
		}
		if err := decodeTest(content, event); err != nil {
			return 0, nil, err
		}
	}
	c.changed(r, "subscription.test", s.Subscription.ID(), "event %s", event.ID)
	return http.StatusOK, tested{event.ID, event.Selector, viewAttempt(c.o.Deliver.Try(r.Context(), s.Subscription, event))}, nil
}

func decodeTest(content []byte, event *hook.Event) error {
	doc, list := document.Parse("body", content)
	var body struct {
		Selector *string         `yaml:"selector"`
		Type     *string         `yaml:"type"`
		Payload  json.RawMessage `yaml:"payload"`
	}
	if !list.HasErrors() {
		list.Add(doc.Root.Decode(&body)...)
	}
	if err := mistakesOf(list); err != nil {
		return err
	}
	if body.Selector != nil {
		event.Selector = *body.Selector
	}
	if body.Type != nil {
		event.Type = *body.Type
	}
	if body.Payload != nil {
		event.Payload = body.Payload
	}
	return nil
}
