package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"switchhook/gateway/hook"
	"switchhook/gateway/store"
)

var states = []string{string(hook.Pending), string(hook.Waiting), string(hook.Done), string(hook.Dead)}

func (c *Console) listDeliveries(r *http.Request) (int, any, error) {
	q := newQuery(r, "subscription", "selector", "state", "request", "after", "before", "cursor", "limit")
	filter := store.DeliveryQuery{
		Subscription: q.text("subscription"), Selector: q.text("selector"), State: hook.DeliveryState(q.oneOf("state", states)),
		RequestID: q.text("request"), After: q.time("after"), Before: q.time("before"), Cursor: q.text("cursor"), Limit: q.limit(),
	}
	if q.err != nil {
		return 0, nil, q.err
	}
	found, next, err := c.o.Store.Deliveries(r.Context(), filter)
	if err != nil {
		return 0, nil, err
	}
	views := make([]delivery, len(found))
	for i, d := range found {
		views[i] = viewDelivery(d, nil)
	}
	return http.StatusOK, page[delivery]{views, next}, nil
}

func (c *Console) getDelivery(r *http.Request) (int, any, error) {
	d, attempts, err := c.delivery(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, viewDelivery(d, attempts), nil
}

func (c *Console) delivery(r *http.Request) (*hook.Delivery, []hook.Attempt, error) {
	d, attempts, err := c.o.Store.Delivery(r.Context(), r.PathValue("id"))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil, notFound(fmt.Sprintf("there is no delivery %q", r.PathValue("id")))
	}
	return d, attempts, err
}

// replayed is the answer to a replay of deliveries.
type replayed struct {
	Count int `json:"count"`
	// Skipped counts deliveries whose subscription is gone.
	Skipped int `json:"skipped"`
}

func (c *Console) replayDelivery(r *http.Request) (int, any, error) {
	d, _, err := c.delivery(r)
	if err != nil {
		return 0, nil, err
	}
	if c.o.Live.Subscription(d.Subscription) == nil {
		return 0, nil, conflict(fmt.Sprintf("its subscription %q is not there any more", d.Subscription))
	}
	sub, err := c.o.Store.Replay(r.Context(), d.ID, c.o.Now())
	if err != nil {
		return 0, nil, err
	}
	c.o.Deliver.Wake(sub)
	c.changed(r, "delivery.replay", d.ID, "to %s", sub)
	return http.StatusOK, replayed{Count: 1}, nil
}

// maxReplay bounds the deliveries of one call.
const maxReplay = 1_000_000

// replayMany replays what a filter finds, oldest first. When it is cut off,
// those replayed so far are pending, so the same call goes on with the rest.
func (c *Console) replayMany(r *http.Request) (int, any, error) {
	content, err := readBody(r)
	if err != nil {
		return 0, nil, err
	}
	var body struct{ Subscription, Selector, State, After, Before string }
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil {
		return 0, nil, badRequest("the body: " + strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := decoder.Token(); err != io.EOF {
		return 0, nil, badRequest("the body: there is something behind the JSON object")
	}
	q := store.DeliveryQuery{Subscription: body.Subscription, Selector: body.Selector, State: hook.Dead, Limit: 1000}
	if body.State != "" {
		q.State = hook.DeliveryState(body.State)
		if !slices.Contains(states, body.State) {
			return 0, nil, badRequest(fmt.Sprintf("state: %q is not known, known are: %s", body.State, strings.Join(states, ", ")))
		}
	}
	if body.Subscription == "" && body.Selector == "" && body.After == "" && body.Before == "" {
		return 0, nil, badRequest("give at least one of subscription, selector, after and before")
	}
	if q.After, err = parseTime("after", body.After); err != nil {
		return 0, nil, err
	}
	if q.Before, err = parseTime("before", body.Before); err != nil {
		return 0, nil, err
	}
	if body.Subscription != "" && c.o.Live.Subscription(body.Subscription) == nil {
		return 0, nil, notFound(fmt.Sprintf("there is no subscription %q; its id is WORKSPACE/NAME", body.Subscription))
	}
	result, err := c.replay(r.Context(), q)
	if result.Count > 0 {
		c.changed(r, "replay", body.Subscription, "%d deliveries, state %q, selector %q, after %q, before %q", result.Count, q.State, body.Selector, body.After, body.Before)
	}
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, result, nil
}

func (c *Console) replay(ctx context.Context, q store.DeliveryQuery) (replayed, error) {
	type found struct {
		id      string
		ordered bool
	}
	var result replayed
	var ids []found
	subscriptions := map[string]bool{} // whether it is there
	for {
		list, next, err := c.o.Store.Deliveries(ctx, q)
		if err != nil {
			return result, err
		}
		for _, d := range list {
			there, known := subscriptions[d.Subscription]
			if !known {
				there = c.o.Live.Subscription(d.Subscription) != nil
				subscriptions[d.Subscription] = there
			}
			if !there {
				result.Skipped++
				continue
			}
			ids = append(ids, found{d.ID, d.Ordered})
		}
		if len(ids) > maxReplay {
			return result, &problem{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("more than %d deliveries; narrow the time with after and before", maxReplay)}
		}
		if next == "" {
			break
		}
		q.Cursor = next
	}
	defer func() {
		for id, there := range subscriptions {
			if there {
				c.o.Deliver.Wake(id)
			}
		}
	}()
	// Many at once share one sync of the store. Ordered ones go one by one,
	// since the order in which they become pending is theirs.
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(32)
	now := c.o.Now()
	one := func(id string) error {
		_, err := c.o.Store.Replay(groupCtx, id, now)
		if errors.Is(err, store.ErrNotFound) {
			return nil // swept since it was listed
		}
		return err
	}
	for _, d := range slices.Backward(ids) {
		if groupCtx.Err() != nil {
			break
		}
		if !d.ordered {
			group.Go(func() error { return one(d.id) })
			continue
		}
		if err := one(d.id); err != nil {
			group.Go(func() error { return err })
			break
		}
	}
	err := group.Wait()
	if err == nil {
		err = ctx.Err() // the caller is gone
	}
	result.Count = len(ids)
	return result, err
}
