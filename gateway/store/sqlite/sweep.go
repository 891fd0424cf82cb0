package sqlite

import (
	"context"
	"fmt"
	"time"
)

// Bounds of one step of a sweep, which is one op among those of others.
const (
	sweepRequests = 64
	sweepBytes    = 4 << 20 // of bodies
	sweepKeys     = 500
	vacuumPages   = 256 // 2 MiB
)

// Sweep deletes in steps: each takes a few milliseconds of the writer's time, and
// other writes come between them.
func (s *Store) Sweep(ctx context.Context, before time.Time, maxBytes int64, limit int) (swept int, err error) {
	err = s.call(func() error {
		for swept < limit {
			n := 0
			err := s.write(ctx, sweepBytes, func(tx *tx) error {
				var err error
				n, err = tx.sweep(before, maxBytes, min(limit-swept, sweepRequests))
				return err
			})
			swept += n
			if err != nil {
				return fmt.Errorf("sweep: %w", err)
			}
			if n == 0 {
				break
			}
		}
		if err := s.write(ctx, sweepBytes, (*tx).tidy); err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
		return nil
	})
	return swept, err
}

// sweep deletes up to limit requests.
func (tx *tx) sweep(before time.Time, maxBytes int64, limit int) (int, error) {
	s := tx.s
	excess, err := tx.excess(maxBytes)
	if err != nil {
		return 0, err
	}
	var ids []int64
	size := int64(0)
	from := int64(0)
	for len(ids) < limit && size < sweepBytes {
		// By size the oldest go first whenever they arrived; by age those that are old enough.
		bs := s.blocks.above(from, 1, func(b *block) bool {
			return !b.stuck && (excess > size || b.may(time.Time{}, before))
		})
		if len(bs) == 0 || excess <= size && before.IsZero() {
			break
		}
		b := bs[0]
		from = b.id + 1
		stuck := true
		if err := tx.query(context.Background(), `SELECT r.id, r.received, r.body_size, r.outcome,
				EXISTS(SELECT 1 FROM deliveries d WHERE d.id BETWEEN r.id << 20 AND (r.id << 20) + 1048575 AND d.state IN (0, 1, 4))
			FROM requests r WHERE r.id BETWEEN ? AND ? ORDER BY r.id`, func(r row) bool {
			if r.int(3) == deferred || r.int(4) == 1 {
				return true
			}
			stuck = false
			if excess > size || !before.IsZero() && r.int(1) < before.UnixNano() {
				ids = append(ids, r.int(0))
				size += r.int(2) + 1024
			}
			return len(ids) < limit && size < sweepBytes
		}, b.id<<blockBits, (b.id+1)<<blockBits-1); err != nil {
			return 0, err
		}
		if stuck && b.marked {
			tx.after = append(tx.after, func() { s.blocks.update(b.id, func(b *block) { b.stuck = true }) })
		}
	}
	// Consecutive requests go with one statement for each table.
	for i := 0; i < len(ids); {
		j := i + 1
		for j < len(ids) && ids[j] == ids[j-1]+1 && blockOf(ids[j]) == blockOf(ids[i]) {
			j++
		}
		if err := tx.remove(ids[i], ids[j-1]); err != nil {
			return 0, err
		}
		i = j
	}
	if len(ids) > 0 {
		// Numbers are never given twice, though the requests with the highest are gone.
		if _, err := tx.exec("INSERT OR REPLACE INTO meta VALUES('request', ?)", s.lastRequest); err != nil {
			return 0, err
		}
	}
	return len(ids), nil
}

// excess returns by how much the store is larger than it may be, not counting pages that are free.
func (tx *tx) excess(maxBytes int64) (int64, error) {
	if maxBytes <= 0 {
		return 0, nil
	}
	pages, err := tx.number("PRAGMA page_count")
	if err != nil {
		return 0, err
	}
	free, err := tx.number("PRAGMA freelist_count")
	if err != nil {
		return 0, err
	}
	return max(0, (pages-free)*pageSize-maxBytes), nil
}

// remove deletes the requests from first to last, which are all of one block and settled.
func (tx *tx) remove(first, last int64) error {
	lo, _ := span(first)
	_, hi := span(last)
	t := tally{block: blockOf(first)}
	r, err := tx.one(context.Background(), `SELECT count(*), sum(events), sum(deliveries) FROM requests WHERE id BETWEEN ? AND ?`, first, last)
	if err != nil {
		return err
	}
	t.requests, t.events, t.deliveries = -r.int(0), -r.int(1), -r.int(2)
	n, err := tx.number("SELECT count(*) FROM deliveries INDEXED BY deliveries_dead WHERE state = 3 AND id BETWEEN ? AND ?", lo, hi)
	if err != nil {
		return err
	}
	t.dead = -n
	for _, d := range [...]struct {
		query  string
		lo, hi int64
	}{
		{"DELETE FROM attempts WHERE delivery BETWEEN ? AND ?", lo, hi},
		{"DELETE FROM deliveries WHERE id BETWEEN ? AND ?", lo, hi},
		{"DELETE FROM events WHERE id BETWEEN ? AND ?", lo, hi},
		{"DELETE FROM contents WHERE id BETWEEN ? AND ?", first, last},
		{"DELETE FROM requests WHERE id BETWEEN ? AND ?", first, last},
	} {
		if _, err := tx.exec(d.query, d.lo, d.hi); err != nil {
			return err
		}
	}
	return tx.tallyStored(t)
}

// tidy forgets keys whose window is over and names of deleted subscriptions that
// nothing bears any more, and gives free pages back to the file system. Under steady
// churn free pages are used again, so only what is more than a tenth of the file goes.
func (tx *tx) tidy() error {
	s := tx.s
	if _, err := tx.exec(`DELETE FROM keys WHERE (source, key) IN (SELECT source, key FROM keys INDEXED BY keys_at WHERE at <= ? LIMIT ?)`,
		s.now().Add(-s.window).UnixNano(), int64(sweepKeys)); err != nil {
		return err
	}
	oldest, err := tx.number("SELECT coalesce(min(id), ?) FROM requests", s.lastRequest+1)
	if err != nil {
		return err
	}
	n, err := tx.exec("DELETE FROM subscriptions WHERE deleted < ? AND deleted IS NOT NULL AND spec IS NULL AND disabled IS NULL", oldest)
	if err != nil {
		return err
	}
	if n > 0 {
		clear(s.subIDs)
	}
	pages, err := tx.number("PRAGMA page_count")
	if err != nil {
		return err
	}
	free, err := tx.number("PRAGMA freelist_count")
	if err != nil {
		return err
	}
	if free > vacuumPages && free > pages/10 {
		if err := tx.pragma(fmt.Sprintf("incremental_vacuum(%d)", vacuumPages)); err != nil {
			return err
		}
	}
	return nil
}
