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
	"strconv"
	"strings"
	"time"

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
	// Next is the cursor to go on with; "" when nothing is left.
	Next string `json:"next,omitempty"`
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

// replayOrder is the body of a replay of many.
type replayOrder struct {
	Subscription, Selector, State, After, Before string
	// Cursor is the Next of the call before, with the same filter.
	Cursor string
	// Limit is after how many deliveries the call ends, to be gone on with; 0: never.
	Limit int
	// DryRun counts, and replays nothing.
	DryRun bool
}

// replayMany replays what a filter finds, oldest first. Without a limit it goes
// on to the end; when it is cut off then, the same call goes on with the rest of those that were dead.
func (c *Console) replayMany(r *http.Request) (int, any, error) {
	content, err := readBody(r)
	if err != nil {
		return 0, nil, err
	}
	var order replayOrder
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&order); err != nil {
		return 0, nil, badRequest("the body: " + strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := decoder.Token(); err != io.EOF {
		return 0, nil, badRequest("the body: there is something behind the JSON object")
	}
	q, err := c.replayQuery(&order)
	if err != nil {
		return 0, nil, err
	}
	result, err := c.replay(r.Context(), q, &order)
	if result.Count > 0 && !order.DryRun {
		c.changed(r, "replay", order.Subscription, "%d deliveries, state %q, selector %q, after %q, before %q", result.Count, q.State, order.Selector, order.After, order.Before)
	}
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, result, nil
}

func (c *Console) replayQuery(order *replayOrder) (store.DeliveryQuery, error) {
	q := store.DeliveryQuery{Subscription: order.Subscription, Selector: order.Selector, State: hook.Dead, Oldest: true}
	var err error
	switch {
	case order.State != "" && !slices.Contains(states, order.State):
		return q, badRequest(fmt.Sprintf("state: %q is not known, known are: %s", order.State, strings.Join(states, ", ")))
	case order.State != "":
		q.State = hook.DeliveryState(order.State)
	}
	if order.Subscription == "" && order.Selector == "" && order.After == "" && order.Before == "" {
		return q, badRequest("give at least one of subscription, selector (** for all), after and before")
	}
	if q.After, err = parseTime("after", order.After); err != nil {
		return q, err
	}
	if q.Before, err = parseTime("before", order.Before); err != nil {
		return q, err
	}
	if order.Limit < 0 {
		return q, badRequest("limit: expected 0, for no limit, or more")
	}
	if order.Subscription != "" && c.o.Live.Subscription(order.Subscription) == nil {
		return q, notFound(fmt.Sprintf("there is no subscription %q; its id is WORKSPACE/NAME", order.Subscription))
	}
	// What arrives while a replay goes on is no part of it, so its cursors say when it began.
	if order.Cursor != "" {
		began, at, found := strings.Cut(order.Cursor, ".")
		nanos, err := strconv.ParseInt(began, 36, 64)
		if !found || at == "" || err != nil {
			return q, badRequest("the cursor is not one of a replay")
		}
		q.Before, q.Cursor = time.Unix(0, nanos), at
	} else if q.Before.IsZero() {
		q.Before = c.o.Now()
	}
	return q, nil
}

func (c *Console) replay(ctx context.Context, q store.DeliveryQuery, order *replayOrder) (replayed, error) {
	var result replayed
	there := map[string]bool{} // subscriptions
	for {
		q.Limit = 1000
		if order.Limit > 0 {
			q.Limit = min(q.Limit, order.Limit-result.Count-result.Skipped)
		}
		page, next, err := c.o.Store.Deliveries(ctx, q)
		if err != nil {
			return result, err
		}
		kept := page[:0]
		for _, d := range page {
			if _, known := there[d.Subscription]; !known {
				there[d.Subscription] = c.o.Live.Subscription(d.Subscription) != nil
			}
			if there[d.Subscription] {
				kept = append(kept, d)
			} else {
				result.Skipped++
			}
		}
		if !order.DryRun {
			if err := c.replayPage(ctx, kept); err != nil {
				return result, err
			}
		}
		result.Count += len(kept)
		if next == "" {
			return result, nil
		}
		if order.Limit > 0 && result.Count+result.Skipped >= order.Limit {
			result.Next = strconv.FormatInt(q.Before.UnixNano(), 36) + "." + next
			return result, nil
		}
		q.Cursor = next
	}
}

// replayPage replays deliveries that are in the order in which they were made.
func (c *Console) replayPage(ctx context.Context, page []*hook.Delivery) error {
	defer func() {
		woken := map[string]bool{}
		for _, d := range page {
			if !woken[d.Subscription] {
				woken[d.Subscription] = true
				c.o.Deliver.Wake(d.Subscription)
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
	for _, d := range page {
		if groupCtx.Err() != nil {
			break
		}
		if !d.Ordered {
			group.Go(func() error { return one(d.ID) })
			continue
		}
		if err := one(d.ID); err != nil {
			group.Go(func() error { return err })
			break
		}
	}
	err := group.Wait()
	if err == nil {
		err = ctx.Err() // the caller is gone
	}
	return err
}
