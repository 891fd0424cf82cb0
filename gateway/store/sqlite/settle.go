package sqlite

import (
	"context"
	"fmt"
	"slices"
	"time"

	"switchhook/gateway/hook"
	"switchhook/gateway/store"
)

// The statements that a settlement that went well needs: two, and no reading.
const (
	settleDone    = "UPDATE deliveries SET state = 2, due = NULL, attempts = attempts + 1, total = total + 1 WHERE id = ? AND (state = 0 OR state = 4) AND lane IS NULL"
	insertAttempt = "INSERT INTO attempts VALUES(?1, (SELECT total FROM deliveries WHERE id = ?1), ?, ?, ?, ?, ?, ?)"
)

func (s *Store) Settle(ctx context.Context, settlements ...hook.Settlement) error {
	return s.call(func() error {
		if err := s.settle(ctx, settlements); err != nil {
			return fmt.Errorf("settle: %w", err)
		}
		return nil
	})
}

// queuedAt is a delivery and its place in the queue of its subscription.
type queuedAt struct{ sub, id, due int64 }

func (s *Store) settle(ctx context.Context, settlements []hook.Settlement) error {
	ids := make([]int64, len(settlements))
	size := int64(0)
	for i := range settlements {
		set := &settlements[i]
		n, err := deliveryNumber(set.Attempt.DeliveryID)
		if err != nil {
			return err
		}
		if set.Next != hook.Done && set.Next != hook.Dead && (set.Next != hook.Pending || set.RetryAt.IsZero()) {
			return fmt.Errorf("delivery %s: next is %q, retry at %v", set.Attempt.DeliveryID, set.Next, set.RetryAt)
		}
		ids[i] = n
		size += int64(min(len(set.Attempt.Response), keptResponse)) + 512
	}
	if len(ids) == 0 {
		return ctx.Err()
	}
	var queued []queuedAt
	err := s.write(ctx, size, func(tx *tx) error {
		queued = queued[:0]
		for i := range settlements {
			if err := tx.settle(ids[i], &settlements[i], &queued); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		s.leases.end(id, false)
	}
	for _, q := range queued {
		s.leases.placed(q.sub, q.id, q.due)
	}
	return nil
}

func (tx *tx) settle(id int64, set *hook.Settlement, queued *[]queuedAt) error {
	if set.Next == hook.Done {
		n, err := tx.exec(settleDone, id)
		if err != nil {
			return err
		}
		if n == 1 {
			tx.tally(tally{block: blockOfDelivery(id), open: -1})
			return tx.attempt(id, &set.Attempt)
		}
	}
	old, err := tx.one(context.Background(), "SELECT state, subscription, lane FROM deliveries WHERE id = ?", id)
	if err != nil || old == nil {
		return err
	}
	was, sub := listed(old.int(0)), old.int(1)
	state := was
	var due any
	t := tally{block: blockOfDelivery(id)}
	if set.Next == hook.Pending {
		// One that is no longer pending (its subscription was deleted meanwhile) stays as it is.
		if was == pending {
			at := set.RetryAt.UnixNano()
			due = at
			*queued = append(*queued, queuedAt{sub, id, at})
		}
	} else {
		state, _ = stateCode(set.Next)
		t.open, t.dead = open(state)-open(was), is(state, dead)-is(was, dead)
	}
	if _, err := tx.exec("UPDATE deliveries SET state = ?, due = ?, attempts = attempts + 1, total = total + 1 WHERE id = ?", state, due, id); err != nil {
		return err
	}
	if err := tx.attempt(id, &set.Attempt); err != nil {
		return err
	}
	tx.tally(t)
	if !old.null(2) && was == pending && state != pending {
		return tx.promote(sub, old.text(2), set.Attempt.At.Add(set.Attempt.Took), queued)
	}
	return nil
}

// listed is the state of a delivery that is stored again.
func listed(state int64) int64 {
	if state == unlisted {
		return pending
	}
	return state
}

// open is 1 for a state in which a delivery is not settled.
func open(state int64) int64 { return is(state, pending) + is(state, waiting) }

func is(a, b int64) int64 {
	if a == b {
		return 1
	}
	return 0
}

func (tx *tx) attempt(id int64, a *hook.Attempt) error {
	_, err := tx.exec(insertAttempt, id, a.At.UnixNano(), int64(a.Took), int64(a.Status), a.Class, nullable(a.Error),
		a.Response[:min(len(a.Response), keptResponse)])
	return err
}

// promote makes the first that waits in a lane pending.
func (tx *tx) promote(sub int64, lane string, at time.Time, queued *[]queuedAt) error {
	next, err := tx.number("SELECT id FROM deliveries WHERE subscription = ? AND lane = ? AND state < 2 AND state = 1 ORDER BY id LIMIT 1", sub, lane)
	if err != nil || next == 0 {
		return err
	}
	*queued = append(*queued, queuedAt{sub, next, at.UnixNano()})
	_, err = tx.exec("UPDATE deliveries SET state = 0, due = ? WHERE id = ?", at.UnixNano(), next)
	return err
}

func (s *Store) Replay(ctx context.Context, id string, now time.Time) (subscription string, err error) {
	err = s.call(func() error {
		n, err := deliveryNumber(id)
		if err != nil {
			return fmt.Errorf("replay: %w", err)
		}
		var queued []queuedAt
		err = s.write(ctx, 256, func(tx *tx) error {
			queued = queued[:0]
			old, err := tx.one(context.Background(), `SELECT d.state, d.subscription, d.lane, s.name
				FROM deliveries d JOIN subscriptions s ON s.id = d.subscription WHERE d.id = ?`, n)
			if err != nil {
				return err
			}
			if old == nil {
				return refuse(store.ErrNotFound)
			}
			was, sub := listed(old.int(0)), old.int(1)
			subscription = old.text(3)
			if was == waiting {
				return nil
			}
			state, due := int64(pending), any(now.UnixNano())
			if !old.null(2) && was != pending {
				busy, err := tx.number("SELECT 1 FROM deliveries WHERE subscription = ? AND lane = ? AND state < 2 LIMIT 1", sub, old.text(2))
				if err != nil {
					return err
				}
				if busy == 1 {
					state, due = waiting, nil
				}
			}
			if state == pending {
				queued = append(queued, queuedAt{sub, n, now.UnixNano()})
			}
			tx.tally(tally{block: blockOfDelivery(n), open: 1 - open(was), dead: -is(was, dead)})
			_, err = tx.exec("UPDATE deliveries SET state = ?, due = ?, attempts = 0 WHERE id = ?", state, due, n)
			return err
		})
		if err != nil {
			return fmt.Errorf("replay %s: %w", id, err)
		}
		for _, q := range queued {
			s.leases.placed(q.sub, q.id, q.due)
		}
		return nil
	})
	return subscription, err
}

func (s *Store) Remember(ctx context.Context, integration, key, value string, replace bool) error {
	return s.call(func() error {
		err := s.write(ctx, int64(len(value)+256), func(tx *tx) error {
			old, err := tx.one(context.Background(), "SELECT value FROM state WHERE integration = ? AND key = ?", integration, key)
			if err != nil {
				return err
			}
			if old != nil && old.text(0) == value {
				return nil
			}
			if old != nil && !replace {
				return refuse(store.ErrConflict)
			}
			_, err = tx.exec("INSERT OR REPLACE INTO state VALUES(?, ?, ?)", integration, key, value)
			return err
		})
		if err != nil {
			return fmt.Errorf("remember %s of %s: %w", key, integration, err)
		}
		return nil
	})
}

func (s *Store) PutSubscription(ctx context.Context, sub *hook.Subscription) error {
	return s.call(func() error {
		text, err := encodeSubscription(sub)
		if err == nil {
			err = s.write(ctx, int64(len(text)+256), func(tx *tx) error {
				id, err := tx.subscription(sub.ID())
				if err != nil {
					return err
				}
				_, err = tx.exec("UPDATE subscriptions SET spec = ?, deleted = NULL WHERE id = ?", text, id)
				return err
			})
		}
		if err != nil {
			return fmt.Errorf("put subscription %s: %w", sub.ID(), err)
		}
		return nil
	})
}

// killStep is how many deliveries of a deleted subscription die in one transaction.
const killStep = 1000

func (s *Store) DeleteSubscription(ctx context.Context, id string) error {
	return s.call(func() error {
		var sub, upTo int64
		err := s.write(ctx, 256, func(tx *tx) error {
			row, err := tx.one(context.Background(), "SELECT id FROM subscriptions WHERE name = ? AND spec IS NOT NULL", id)
			if err != nil {
				return err
			}
			if row == nil {
				return refuse(store.ErrNotFound)
			}
			sub, upTo = row.int(0), s.lastRequest
			delete(s.subIDs, id) // so that its next use is noticed
			_, err = tx.exec("UPDATE subscriptions SET spec = NULL, disabled = NULL, deleted = ? WHERE id = ?", upTo, sub)
			return err
		})
		if err == nil {
			err = s.kill(ctx, sub, upTo)
		}
		if err != nil {
			return fmt.Errorf("delete subscription %s: %w", id, err)
		}
		return nil
	})
}

// kill makes the unsettled deliveries of a subscription dead, those of requests
// up to a number, in steps that others can come between.
func (s *Store) kill(ctx context.Context, sub, upTo int64) error {
	_, last := span(upTo)
	unlisted := slices.DeleteFunc(s.leases.find(last), func(d queuedAt) bool { return d.sub != sub || d.id > last })
	if err := s.list(ctx, unlisted); err != nil {
		return err
	}
	for {
		var ids []int64
		err := s.write(ctx, killStep*256, func(tx *tx) error {
			ids = ids[:0]
			gather := func(r row) bool { ids = append(ids, r.int(0)); return true }
			for _, query := range [...]string{
				"SELECT id FROM deliveries WHERE subscription = ? AND state = 0 AND id <= ? LIMIT ?",
				"SELECT id FROM deliveries WHERE subscription = ? AND lane IS NOT NULL AND state < 2 AND id <= ? LIMIT ?",
			} {
				if len(ids) == 0 {
					if err := tx.query(context.Background(), query, gather, sub, last, int64(killStep)); err != nil {
						return err
					}
				}
			}
			for _, id := range ids {
				if _, err := tx.exec("UPDATE deliveries SET state = 3, due = NULL WHERE id = ?", id); err != nil {
					return err
				}
				tx.tally(tally{block: blockOfDelivery(id), open: -1, dead: 1})
			}
			return nil
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			s.leases.gone(sub, id)
		}
	}
}

func (s *Store) Disable(ctx context.Context, id, reason string) error {
	return s.call(func() error {
		err := s.write(ctx, 256, func(tx *tx) error {
			if reason == "" {
				_, err := tx.exec("UPDATE subscriptions SET disabled = NULL WHERE name = ?", id)
				return err
			}
			sub, err := tx.subscription(id)
			if err != nil {
				return err
			}
			_, err = tx.exec("UPDATE subscriptions SET disabled = ? WHERE id = ?", reason, sub)
			return err
		})
		if err != nil {
			return fmt.Errorf("disable %s: %w", id, err)
		}
		return nil
	})
}

// keptChanges is how many changes are kept.
const keptChanges = 100_000

func (s *Store) AddChange(ctx context.Context, c store.Change) error {
	return s.call(func() error {
		err := s.write(ctx, int64(len(c.Detail)+512), func(tx *tx) error {
			if _, err := tx.exec("INSERT INTO changes(at, action, target, detail, remote, agent) VALUES(?, ?, ?, ?, ?, ?)",
				c.At.UnixNano(), c.Action, c.Target, c.Detail, c.Remote, c.Agent); err != nil {
				return err
			}
			_, err := tx.exec("DELETE FROM changes WHERE id <= (SELECT max(id) FROM changes) - ?", int64(keptChanges))
			return err
		})
		if err != nil {
			return fmt.Errorf("keep a change: %w", err)
		}
		return nil
	})
}
