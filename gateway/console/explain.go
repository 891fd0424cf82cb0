package console

import (
	"fmt"
	"net/http"
	"slices"

	"switchhook/gateway/hook"
	"switchhook/gateway/live"
	"switchhook/gateway/match"
	"switchhook/gateway/store"
)

// explained says for the events of a request who got them, and who did not and why.
type explained struct {
	RequestID string       `json:"requestId"`
	Outcome   hook.Outcome `json:"outcome"`
	// Reason says why there are no events; "" where there are.
	Reason string           `json:"reason,omitempty"`
	Events []explainedEvent `json:"events"`
	// Next is the cursor of the subscriptions that follow.
	Next string `json:"next"`
}

type explainedEvent struct {
	ID            string        `json:"id"`
	Selector      string        `json:"selector"`
	Duplicate     bool          `json:"duplicate,omitempty"`
	Subscriptions []explanation `json:"subscriptions"`
}

// explanation is about one event and one subscription.
type explanation struct {
	Subscription string `json:"subscription"`
	// Delivery is the id of the delivery that was made; "" for none.
	Delivery string `json:"delivery,omitempty"`
	// Matches: the subscription as it is now matches the event.
	Matches bool `json:"matches"`
	// Reason says why it does not match, or why there is no delivery although it does.
	Reason string `json:"reason,omitempty"`
	Paused bool   `json:"paused,omitempty"`
}

// explainRequest explains with the subscriptions as they are now: one, or all
// of the request's workspace, in pages.
func (c *Console) explainRequest(r *http.Request) (int, any, error) {
	q := newQuery(r, "subscription", "event", "cursor", "limit")
	id, eventID, cursor, limit := q.text("subscription"), q.text("event"), q.text("cursor"), store.PageLimit(q.limit())
	if q.err != nil {
		return 0, nil, q.err
	}
	stored, err := c.stored(r)
	if err != nil {
		return 0, nil, err
	}
	v := explained{RequestID: stored.Request.ID, Outcome: stored.Outcome, Events: []explainedEvent{}}
	if len(stored.Events) == 0 {
		v.Reason = whyNoEvents(stored)
	}
	var subscriptions []*live.Resolved
	if id != "" {
		s := c.o.Live.Subscription(id)
		if s == nil {
			return 0, nil, notFound(fmt.Sprintf("there is no subscription %q; its id is WORKSPACE/NAME", id))
		}
		subscriptions = append(subscriptions, s)
	} else {
		subscriptions, v.Next = c.subscriptions(stored.Request.Workspace, cursor, limit)
	}
	if eventID != "" && !slices.ContainsFunc(stored.Events, func(e *hook.Event) bool { return e.ID == eventID }) {
		return 0, nil, notFound(fmt.Sprintf("the request %s has no event %q", stored.Request.ID, eventID))
	}
	for _, e := range stored.Events {
		if eventID != "" && e.ID != eventID {
			continue
		}
		view := explainedEvent{ID: e.ID, Selector: e.Selector, Duplicate: e.Duplicate, Subscriptions: []explanation{}}
		for _, s := range subscriptions {
			view.Subscriptions = append(view.Subscriptions, c.explain(stored, e, s))
		}
		v.Events = append(v.Events, view)
	}
	return http.StatusOK, v, nil
}

func whyNoEvents(s *store.Stored) string {
	why := ""
	if s.Failure != nil {
		why = ": " + s.Failure.Message
	}
	switch s.Outcome {
	case hook.Failed:
		return "the handler failed" + why + "; mend it and replay the request"
	case hook.Refused:
		return "the handler refused the request" + why
	case hook.Deferred:
		return "the request waits for its connector, which is quarantined"
	case hook.Handshake:
		return "the request was a handshake, which never has events"
	}
	return "the handler returned no events"
}

func (c *Console) explain(stored *store.Stored, e *hook.Event, s *live.Resolved) explanation {
	id := s.Subscription.ID()
	v := explanation{Subscription: id, Paused: s.Subscription.Paused}
	for _, d := range stored.Deliveries {
		if d.Event == e && d.Subscription == id {
			v.Delivery = d.ID
		}
	}
	r := stored.Request
	v.Reason = s.Reasons(match.Scope{Workspace: r.Workspace, Integration: r.Integration, Webhook: r.Webhook}, e.Selector, e.Payload)
	v.Matches = v.Reason == ""
	switch disabled := c.o.Live.DisabledReason(id); {
	case v.Delivery != "" && !v.Matches:
		v.Reason = "it matched when the event arrived, and would not now: " + v.Reason
	case v.Delivery != "" || !v.Matches:
	case e.Duplicate:
		v.Reason = fmt.Sprintf("it matches, but the event is a duplicate: one with the id %q arrived before, and was delivered then", e.Key)
	case disabled != "":
		v.Reason = "it matches, but is disabled: " + disabled
	default:
		v.Reason = "it matches as it is now; when the event arrived it was not there yet, was disabled, or asked for something else"
	}
	return v
}
