package sqlite

import (
	"context"
)

// marksOf returns the marks of a block that is not full yet.
func (s *Store) marksOf(id int64) marks {
	m := s.growing[id]
	if m == nil {
		m = marks{}
		s.growing[id] = m
	}
	return m
}

// closeBlocks stores the blocks that are full. It comes first in a transaction, when what is
// known in memory is what is committed.
func (s *Store) closeBlocks(tx *tx) error {
	if len(s.growing) < 2 {
		return nil
	}
	for id, m := range s.growing {
		if id >= blockOf(s.lastRequest) {
			continue
		}
		b, ok := s.blocks.get(id)
		if ok { // else all of it was rolled back, or swept
			if _, err := tx.exec("INSERT OR REPLACE INTO blocks VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
				id, b.requests, b.events, b.deliveries, b.outcomes, b.oldest, b.newest, m.filter()); err != nil {
				return err
			}
		}
		tx.after = append(tx.after, func() {
			delete(s.growing, id)
			s.blocks.update(id, func(b *block) { b.marked = true })
		})
	}
	return nil
}

// remark adds marks to a block of whatever age.
func (tx *tx) remark(id int64, m marks) error {
	if growing := tx.s.growing[id]; growing != nil {
		for h := range m {
			growing.add(h)
		}
	}
	// closed in this very transaction, or long ago
	row, err := tx.one(context.Background(), "SELECT marks FROM blocks WHERE id = ?", id)
	if err != nil || row == nil {
		return err
	}
	filter := row.blob(0)
	for h := range m {
		filterAdd(filter, h)
	}
	_, err = tx.exec("UPDATE blocks SET marks = ? WHERE id = ?", filter, id)
	return err
}

// tallyStored keeps the counts of a stored block in step with a tally. It does nothing to
// one that is not stored yet.
func (tx *tx) tallyStored(t tally) error {
	tx.tally(t)
	if t.block == blockOf(tx.s.lastRequest) {
		return nil
	}
	if _, err := tx.exec("UPDATE blocks SET requests = requests + ?, events = events + ?, deliveries = deliveries + ?, outcomes = outcomes | ? WHERE id = ?",
		t.requests, t.events, t.deliveries, t.outcomes, t.block); err != nil {
		return err
	}
	if t.requests >= 0 {
		return nil
	}
	_, err := tx.exec("DELETE FROM blocks WHERE id = ? AND requests <= 0", t.block)
	return err
}

// loadBlocks reads the blocks at open, and makes those that were not stored: the
// requests behind the last that was, some hundred.
func (s *Store) loadBlocks(c *conn) error {
	ctx := context.Background()
	last := int64(-1)
	var list []block
	if err := c.query(ctx, "SELECT id, requests, events, deliveries, outcomes, oldest, newest FROM blocks ORDER BY id", func(r row) bool {
		b := block{id: r.int(0), requests: r.int(1), events: r.int(2), deliveries: r.int(3), outcomes: r.int(4), oldest: r.int(5), newest: r.int(6), marked: true}
		s.blocks.sum.requests += b.requests
		s.blocks.sum.events += b.events
		s.blocks.sum.deliveries += b.deliveries
		list = append(list, b)
		last = b.id
		return true
	}); err != nil {
		return err
	}
	s.blocks.list = list
	tail := (last + 1) << blockBits
	var tallies []tally
	if err := c.query(ctx, "SELECT id, received, events, deliveries, source, outcome FROM requests WHERE id >= ?", func(r row) bool {
		id := blockOf(r.int(0))
		tallies = append(tallies, tally{block: id, requests: 1, received: r.int(1), events: r.int(2), deliveries: r.int(3), outcomes: 1 << r.int(5)})
		src, _ := s.sources.get(r.int(4))
		s.marksOf(id).request(src, nth(outcomes[:], r.int(5)))
		return true
	}, tail); err != nil {
		return err
	}
	first, _ := span(tail)
	if err := c.query(ctx, "SELECT id, selector FROM events WHERE id >= ?", func(r row) bool {
		s.marksOf(blockOfDelivery(r.int(0))).selector(r.text(1))
		return true
	}, first); err != nil {
		return err
	}
	if err := c.query(ctx, `SELECT d.id, s.name FROM deliveries d JOIN subscriptions s ON s.id = d.subscription WHERE d.id >= ?`, func(r row) bool {
		s.marksOf(blockOfDelivery(r.int(0))).subscription(r.text(1))
		return true
	}, first); err != nil {
		return err
	}
	for _, d := range s.leases.find(0) {
		tallies = append(tallies, tally{block: blockOfDelivery(d.id), open: 1})
	}
	// What else is unsettled, and what is dead, is in small indexes.
	for _, q := range [...]struct {
		query string
		tally tally
	}{
		{"SELECT id FROM deliveries INDEXED BY deliveries_due WHERE state = 0", tally{open: 1}},
		{"SELECT id FROM deliveries INDEXED BY deliveries_lane WHERE lane IS NOT NULL AND state < 2 AND state = 1", tally{open: 1}},
		{"SELECT id FROM deliveries INDEXED BY deliveries_dead WHERE state = 3", tally{dead: 1}},
	} {
		counts := map[int64]int64{}
		if err := c.query(ctx, q.query, func(r row) bool { counts[blockOfDelivery(r.int(0))]++; return true }); err != nil {
			return err
		}
		for id, n := range counts {
			tallies = append(tallies, tally{block: id, open: n * q.tally.open, dead: n * q.tally.dead})
		}
	}
	s.blocks.apply(tallies)
	return nil
}
