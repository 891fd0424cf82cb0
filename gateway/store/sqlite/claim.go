package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql/driver"
	"fmt"
	"strconv"
	"time"

	"switchhook/gateway/hook"
)

// The parts of the statements that read deliveries. What they have in common comes first in a row, see decodeDelivery.
const (
	deliveryColumns = `d.id, d.state, d.due, d.attempts, d.lane IS NOT NULL,
		r.request, r.source, r.received, r.trace,
		e.event, e.key, e.selector, e.type, e.duplicate, e.off`
	// payloadColumns have all of a packed body, see payloads.
	payloadColumns = `
		CASE WHEN e.off IS NULL THEN e.payload WHEN c.packed IS NULL THEN substr(c.body, e.off + 1, e.len) ELSE c.body END,
		CASE WHEN e.off IS NULL THEN e.packed ELSE c.packed END, e.len`
	joinEvent = `
		CROSS JOIN requests r ON r.id = d.id >> 20
		CROSS JOIN events e ON e.id = (d.id >> 20 << 20) | d.event`
	joinContents     = ` CROSS JOIN contents c ON c.id = r.id`
	joinSubscription = ` CROSS JOIN subscriptions s ON s.id = d.subscription`
)

// selectDelivery reads a delivery whole.
const selectDelivery = "SELECT " + deliveryColumns + ", s.name," + payloadColumns +
	" FROM deliveries d" + joinEvent + joinContents + joinSubscription + " WHERE d.id = ?"

// selectEntry is selectDelivery without the payload.
const selectEntry = "SELECT " + deliveryColumns + ", s.name FROM deliveries d" + joinEvent + joinSubscription + " WHERE d.id = ?"

// selectClaimed is selectDelivery for a list of ids (JSON), in their order, without the name of the subscription. One
// statement for all of a claim costs half of one for each.
const selectClaimed = "SELECT " + deliveryColumns + ", NULL," + payloadColumns +
	" FROM json_each(?) j CROSS JOIN deliveries d ON d.id = j.value" + joinEvent + joinContents

// decodeDelivery decodes all but the payload.
func (s *Store) decodeDelivery(r row) *hook.Delivery {
	from, _ := s.sources.get(r.int(6))
	e := &hook.Event{
		ID: r.text(9), RequestID: r.text(5), Key: r.text(10), Selector: r.text(11), Type: r.text(12),
		Duplicate: r.int(13) == 1, FromBody: !r.null(14), BodyOffset: int(r.int(14)),
	}
	return &hook.Delivery{
		ID: deliveryID(r.int(0)), Event: e, Subscription: r.text(15),
		Workspace: from.workspace, Integration: from.integration, Webhook: from.webhook, Connector: from.connector,
		ReceivedAt: fromNano(r.int(7)), TraceParent: r.text(8), Ordered: r.int(4) == 1,
		State: nth(states[:], r.int(1)), Attempts: int(r.int(3)), DueAt: r.time(2),
	}
}

// payloads reads the payloads of rows of selectDelivery and selectClaimed. It keeps the last body that it unpacked, since
// deliveries of one request mostly come together.
type payloads struct {
	request string
	body    []byte
}

func (p *payloads) of(r row) ([]byte, error) {
	form := r.int(17)
	if r.null(14) || form == 0 {
		payload, err := unpack(r.blob(16), form)
		if payload == nil && err == nil {
			payload = []byte{}
		}
		return payload, err
	}
	if request := r.text(5); request != p.request {
		body, err := unpack(r.blob(16), form)
		if err != nil {
			return nil, err
		}
		p.request, p.body = request, body
	}
	from, to := r.int(14), r.int(14)+r.int(18)
	if from < 0 || from > to || to > int64(len(p.body)) {
		return nil, &packError{fmt.Errorf("a payload lies outside of it")}
	}
	payload := p.body[from:to:to]
	if len(payload) < len(p.body)/2 { // keeps no body alive of which it is a small part
		payload = bytes.Clone(payload)
	}
	return payload, nil
}

func (s *Store) Claim(ctx context.Context, subscription string, now time.Time, limit int) (claimed []*hook.Delivery, err error) {
	err = s.read(ctx, func(c *conn) error {
		sub, err := subscriptionID(ctx, c, subscription)
		if err != nil || sub == 0 || limit <= 0 {
			return err
		}
		ids, err := s.claim(ctx, c, sub, now.UnixNano(), limit)
		if err == nil && len(ids) > 0 {
			claimed, err = s.claimed(ctx, c, subscription, ids)
		}
		if err != nil {
			for _, id := range ids {
				s.leases.end(id, true)
			}
			claimed = nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("claim of %s: %w", subscription, err)
	}
	return claimed, nil
}

// claimed reads deliveries of a subscription that were leased.
func (s *Store) claimed(ctx context.Context, c *conn, subscription string, ids []int64) ([]*hook.Delivery, error) {
	list := make([]byte, 0, 24*len(ids))
	for i, id := range ids {
		list = strconv.AppendInt(append(list, "[,"[min(i, 1)]), id, 10)
	}
	found := make([]*hook.Delivery, 0, len(ids))
	var payloads payloads
	var damaged error
	err := c.query(ctx, selectClaimed, func(r row) bool {
		d := s.decodeDelivery(r)
		d.Subscription = subscription
		d.Event.Payload, damaged = payloads.of(r)
		found = append(found, d)
		return damaged == nil
	}, string(append(list, ']')))
	err = cmp.Or(err, damaged)
	for i, id := range ids {
		if err == nil && (i == len(found) || found[i].ID != deliveryID(id)) {
			err = fmt.Errorf("delivery %s has lost its event or request", deliveryID(id))
		}
	}
	return found, err
}

func subscriptionID(ctx context.Context, c *conn, name string) (int64, error) {
	r, err := c.one(ctx, "SELECT id FROM subscriptions WHERE name = ?", name)
	if err != nil || r == nil {
		return 0, err
	}
	return r.int(0), nil
}

// selectDue and selectDueSame go through the pending deliveries of a subscription
// in order of (due, id): those due after a time, and those due at a time
// with an id after one. One statement with (due, id) > (?, ?) would not use the index for the id.
const (
	selectDue = `SELECT id, due FROM deliveries INDEXED BY deliveries_due
		WHERE state = 0 AND subscription = ? AND due > ? AND due <= ? ORDER BY due, id`
	selectDueSame = `SELECT id, due FROM deliveries INDEXED BY deliveries_due
		WHERE state = 0 AND subscription = ? AND due = ? AND id > ? ORDER BY id`
)

// walk calls each for the pending deliveries of a queue that are due until a
// time, beyond its floor, until it returns false. The queue is locked.
func (q *queue) walk(ctx context.Context, c *conn, until int64, each func(spot) bool) error {
	more := true
	step := func(r row) bool {
		more = each(spot{r.int(1), r.int(0)})
		return more
	}
	floor := q.floor // each may move it
	if floor != nowhere && floor.due <= until {
		if err := c.query(ctx, selectDueSame, step, q.sub, floor.due, floor.id); err != nil || !more {
			return err
		}
	}
	return c.query(ctx, selectDue, step, q.sub, floor.due, until)
}

// claim leases what is due and returns the ids. With an error come those that were leased before it.
func (s *Store) claim(ctx context.Context, c *conn, sub, now int64, limit int) (ids []int64, err error) {
	q := s.leases.lock(sub)
	defer s.leases.unlock(q)
	// takes those unlisted that come before a place, and says whether more are wanted. One that is being listed is in both; it is taken here.
	unlistedUntil := func(at spot) bool {
		for len(ids) < limit && len(q.unlisted) > 0 && !at.before(q.unlisted[0]) {
			if id, ok := s.leases.takeUnlisted(q); ok {
				ids = append(ids, id)
			}
		}
		return len(ids) < limit
	}
	err = q.walk(ctx, c, now, func(at spot) bool {
		if !unlistedUntil(at) {
			return false
		}
		if s.leases.take(sub, at.id, at.due) {
			ids = append(ids, at.id)
		}
		q.floor = at
		return len(ids) < limit
	})
	if err == nil && unlistedUntil(spot{now, 1<<63 - 1}) {
		s.leases.caughtUp(sub)
	}
	return ids, err
}

func (s *Store) Release(deliveryIDs ...string) {
	for _, id := range deliveryIDs {
		if n, err := deliveryNumber(id); err == nil {
			s.leases.end(n, true)
		}
	}
}

func (s *Store) NextDueOf(ctx context.Context, subscription string) (due time.Time, ok bool, err error) {
	err = s.read(ctx, func(c *conn) error {
		sub, err := subscriptionID(ctx, c, subscription)
		if err != nil || sub == 0 {
			return err
		}
		due, ok, err = s.nextDueOf(ctx, c, sub)
		return err
	})
	if err != nil {
		return time.Time{}, false, fmt.Errorf("next due of %s: %w", subscription, err)
	}
	return due, ok, nil
}

func (s *Store) nextDueOf(ctx context.Context, c *conn, sub int64) (due time.Time, ok bool, err error) {
	q := s.leases.lock(sub)
	defer s.leases.unlock(q)
	err = q.walk(ctx, c, 1<<63-1, func(at spot) bool {
		if !s.leases.has(at.id) {
			due, ok = fromNano(at.due), true
			return false
		}
		q.floor = at
		return true
	})
	if len(q.unlisted) > 0 {
		if first := fromNano(q.unlisted[0].due); !ok || first.Before(due) {
			due, ok = first, err == nil
		}
	}
	return due, ok, err
}

// nextDueStep is how many subscriptions are looked up before yield is called for them.
const nextDueStep = 256

func (s *Store) NextDue(ctx context.Context, yield func(subscription string, due time.Time) bool) error {
	type next struct {
		name string
		due  time.Time
	}
	sub := int64(0)
	loose := s.leases.looseSubs()
	for {
		var found []next
		ended := false
		err := s.read(ctx, func(c *conn) error {
			for len(found) < nextDueStep {
				r, err := c.one(ctx, `SELECT subscription FROM deliveries INDEXED BY deliveries_due
					WHERE state = 0 AND subscription > ? ORDER BY subscription LIMIT 1`, sub)
				if err != nil {
					return err
				}
				for len(loose) > 0 && loose[0] <= sub {
					loose = loose[1:]
				}
				switch {
				case len(loose) > 0 && (r == nil || loose[0] < r.int(0)):
					sub = loose[0]
				case r != nil:
					sub = r.int(0)
				default:
					ended = true
					return nil
				}
				due, ok, err := s.nextDueOf(ctx, c, sub)
				if err != nil {
					return err
				}
				if !ok {
					continue
				}
				name, err := c.one(ctx, "SELECT name FROM subscriptions WHERE id = ?", sub)
				if err != nil {
					return err
				}
				if name != nil {
					found = append(found, next{name.text(0), due})
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("next due: %w", err)
		}
		for _, n := range found {
			if !yield(n.name, n.due) {
				return nil
			}
		}
		if ended {
			return nil
		}
	}
}

func (s *Store) State(ctx context.Context, integration string) (state map[string]string, err error) {
	err = s.read(ctx, func(c *conn) error {
		return c.query(ctx, "SELECT key, value FROM state WHERE integration = ?", func(r row) bool {
			if state == nil {
				state = map[string]string{}
			}
			state[r.text(0)] = r.text(1)
			return true
		}, integration)
	})
	if err != nil {
		return nil, fmt.Errorf("state of %s: %w", integration, err)
	}
	return state, nil
}

func (s *Store) Disabled(ctx context.Context) (map[string]string, error) {
	disabled := map[string]string{}
	err := s.read(ctx, func(c *conn) error {
		return c.query(ctx, "SELECT name, disabled FROM subscriptions WHERE disabled IS NOT NULL", func(r row) bool {
			disabled[r.text(0)] = r.text(1)
			return true
		})
	})
	if err != nil {
		return nil, fmt.Errorf("disabled subscriptions: %w", err)
	}
	return disabled, nil
}

// subscriptionsStep is how many subscriptions are read before yield is called for them.
const subscriptionsStep = 1000

func (s *Store) Subscriptions(ctx context.Context, yield func(*hook.Subscription) bool) error {
	after, texts := "", make([]string, 0, subscriptionsStep)
	var sub hook.Subscription
	for query := "SELECT spec FROM subscriptions WHERE spec IS NOT NULL AND name >= ? ORDER BY name LIMIT ?"; ; {
		texts = texts[:0]
		err := s.read(ctx, func(c *conn) error {
			return c.query(ctx, query, func(r row) bool {
				texts = append(texts, r.text(0))
				return true
			}, driver.Value(after), int64(subscriptionsStep))
		})
		if err != nil {
			return fmt.Errorf("subscriptions: %w", err)
		}
		last := ""
		for i, text := range texts {
			if err := decodeSubscription(text, &sub); err != nil {
				return fmt.Errorf("subscription %d behind %q: %w", i+1, after, err)
			}
			if i == subscriptionsStep-1 {
				last = sub.ID() // its name in the table
			}
			if !yield(&sub) {
				return nil
			}
		}
		if len(texts) < subscriptionsStep {
			return nil
		}
		after = last
		query = "SELECT spec FROM subscriptions WHERE spec IS NOT NULL AND name > ? ORDER BY name LIMIT ?"
	}
}
