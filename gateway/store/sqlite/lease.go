package sqlite

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
)

// Leases live in memory: the process owns the file, and after a restart nothing
// is leased.
//
// A delivery must not be claimed from a snapshot of the database in which it is
// still pending although it has been settled since. So a claim holds the lock of its
// subscription from before it begins to read until it has taken its leases, and a lease ends under
// the same lock, after the settlement is committed: a claim either finds the
// lease, or reads what was committed. Append takes its leases before it
// commits, when nobody can see the deliveries.
//
// What Append leases is mostly delivered and settled at once, and nobody ever looks for it in the index of what is due, which has a page for
// every subscription. So it is stored as unlisted: pending, and not in that index. When its lease ends without an
// attempt, or the process does, it is claimed from memory, until list has put it into the index. A subscription that
// this happens to is behind: what Append adds for it is listed at once, until a claim finds nothing more that is due.
//
// No index tells which deliveries are unlisted. They are all in memory, and for the next run meta.listed bounds where they
// are: none is that has this id or a smaller one. tidyLeases moves it on, and lists what is leased for long, which would hold it back.

// spot is where a delivery stands in the queue of its subscription.
type spot struct{ due, id int64 }

func (p spot) before(q spot) bool { return p.due < q.due || p.due == q.due && p.id < q.id }

// queue is what is known of the pending deliveries of a subscription while some
// are leased or unlisted.
type queue struct {
	sub int64

	// mu is held by a claim, and while leases end. Never taken by the writer.
	mu sync.Mutex
	// floor: everything in the index at or before it is leased, so that a claim need not
	// look at it again. Under mu.
	floor spot
	// unlisted deliveries that are not leased, in order. Under mu.
	unlisted []spot

	// pins counts leases, unlisted deliveries and users; the queue is forgotten at 0. Under leases.mu.
	pins int
	// leased counts the unlisted deliveries that are leased. Under leases.mu.
	leased int
}

// lease has no pointer, so that the garbage collector need not look at many of them.
type lease struct {
	sub, due int64
	unlisted bool
}

type leases struct {
	mu     sync.Mutex
	held   map[int64]lease
	queues map[int64]*queue
	// loose are the queues that have unlisted deliveries.
	loose map[*queue]struct{}
	// behind are the subscriptions that are.
	behind map[int64]struct{}

	// newest is the highest id that may be unlisted; listed is below all that are, and stored what meta has of it.
	newest, listed, stored int64
	// old is what newest was when the leases were last looked through for those that are held for long.
	old int64
}

func newLeases() *leases {
	return &leases{held: map[int64]lease{}, queues: map[int64]*queue{}, loose: map[*queue]struct{}{}, behind: map[int64]struct{}{}}
}

func (l *leases) pinLocked(sub int64) *queue {
	q := l.queues[sub]
	if q == nil {
		q = &queue{sub: sub, floor: nowhere}
		l.queues[sub] = q
	}
	q.pins++
	return q
}

func (l *leases) unpinLocked(q *queue) {
	if q.pins--; q.pins == 0 {
		delete(l.queues, q.sub)
	}
}

func (l *leases) holdLocked(id int64, e lease) {
	q := l.pinLocked(e.sub)
	if l.held[id] = e; e.unlisted {
		q.leased++
	}
}

func (l *leases) letGoLocked(id int64, e lease) {
	delete(l.held, id)
	q := l.queues[e.sub]
	if e.unlisted {
		q.leased--
	}
	l.unpinLocked(q)
}

// listedLocked notes that a delivery is not unlisted, if it is leased.
func (l *leases) listedLocked(id int64) {
	if e, ok := l.held[id]; ok && e.unlisted {
		l.queues[e.sub].leased--
		e.unlisted = false
		l.held[id] = e
	}
}

// nowhere is before every place.
var nowhere = spot{-1 << 63, -1 << 63}

// lock pins the queue of a subscription and locks it.
func (l *leases) lock(sub int64) *queue {
	l.mu.Lock()
	q := l.pinLocked(sub)
	l.mu.Unlock()
	q.mu.Lock()
	return q
}

// lockKnown is lock where anything is known of the subscription; else it returns nil.
func (l *leases) lockKnown(sub int64) *queue {
	l.mu.Lock()
	q := l.queues[sub]
	if q != nil {
		q.pins++
	}
	l.mu.Unlock()
	if q != nil {
		q.mu.Lock()
	}
	return q
}

func (l *leases) unlock(q *queue) {
	q.mu.Unlock()
	l.mu.Lock()
	l.unpinLocked(q)
	l.mu.Unlock()
}

// take leases a delivery that is in the index, unless it is leased.
func (l *leases) take(sub, id, due int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.held[id]; ok {
		return false
	}
	l.holdLocked(id, lease{sub: sub, due: due})
	return true
}

// takeNew leases a delivery that nobody knows of yet, and says whether it need not be listed.
func (l *leases) takeNew(sub, id, due int64, mayBeUnlisted bool) (unlisted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, behind := l.behind[sub]
	if unlisted = mayBeUnlisted && !behind && id > l.listed; unlisted {
		l.newest = max(l.newest, id)
	}
	l.holdLocked(id, lease{sub, due, unlisted})
	return unlisted
}

// takeUnlisted leases the first unlisted delivery of a queue, which is locked. It returns false where that is leased.
func (l *leases) takeUnlisted(q *queue) (id int64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := q.unlisted[0]
	l.removeLocked(q, 0)
	if _, held := l.held[at.id]; held {
		return 0, false
	}
	l.holdLocked(at.id, lease{q.sub, at.due, true})
	return at.id, true
}

// keepLocked keeps an unlisted delivery that is not leased.
func (l *leases) keepLocked(q *queue, at spot) {
	i, _ := slices.BinarySearchFunc(q.unlisted, at, func(a, b spot) int {
		return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.id, b.id))
	})
	q.unlisted = slices.Insert(q.unlisted, i, at)
	q.pins++
	l.loose[q] = struct{}{}
	l.behind[q.sub] = struct{}{}
}

// removeLocked forgets the unlisted delivery at a place. Somebody else has the queue pinned.
func (l *leases) removeLocked(q *queue, i int) {
	if q.unlisted = slices.Delete(q.unlisted, i, i+1); len(q.unlisted) == 0 {
		q.unlisted = nil
		delete(l.loose, q)
	}
	l.unpinLocked(q)
}

// drop undoes a take that nobody else knows of.
func (l *leases) drop(id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.held[id]; ok {
		l.letGoLocked(id, e)
	}
}

func (l *leases) has(id int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.held[id]
	return ok
}

// end ends a lease. again says that the delivery is still pending where it was.
func (l *leases) end(id int64, again bool) {
	l.mu.Lock()
	e, ok := l.held[id]
	if !ok {
		l.mu.Unlock()
		if !again {
			l.settledUnleased(id)
		}
		return
	}
	q := l.pinLocked(e.sub)
	l.mu.Unlock()

	q.mu.Lock()
	l.mu.Lock()
	if e, ok = l.held[id]; ok { // placed may have changed it
		l.letGoLocked(id, e)
		switch at := (spot{e.due, id}); {
		case again && e.unlisted:
			l.keepLocked(q, at)
		case again:
			q.lower(at)
		}
	}
	l.mu.Unlock()
	l.unlock(q)
}

// settledUnleased forgets a delivery that was settled by somebody who had no lease, if it is unlisted.
func (l *leases) settledUnleased(id int64) {
	for _, sub := range l.looseSubs() {
		l.gone(sub, id)
	}
}

// placed says that a delivery is pending and in the index, at a place where it was not before.
func (l *leases) placed(sub, id, due int64) {
	q := l.lockKnown(sub)
	if q == nil {
		return
	}
	l.mu.Lock()
	l.listedLocked(id)
	if e, ok := l.held[id]; ok {
		e.due = due
		l.held[id] = e
	}
	l.forgetLocked(q, id)
	l.mu.Unlock()
	q.lower(spot{due, id})
	l.unlock(q)
}

// gone says that a delivery is no longer pending, though it may be leased.
func (l *leases) gone(sub, id int64) {
	q := l.lockKnown(sub)
	if q == nil {
		return
	}
	l.mu.Lock()
	l.listedLocked(id)
	l.forgetLocked(q, id)
	l.mu.Unlock()
	l.unlock(q)
}

// forgetLocked forgets an unlisted delivery if it is one.
func (l *leases) forgetLocked(q *queue, id int64) {
	if i := slices.IndexFunc(q.unlisted, func(at spot) bool { return at.id == id }); i >= 0 {
		l.removeLocked(q, i)
	}
}

// caughtUp says that all that is due of a subscription is leased.
func (l *leases) caughtUp(sub int64) {
	l.mu.Lock()
	delete(l.behind, sub)
	l.mu.Unlock()
}

// looseSubs returns the subscriptions that have unlisted deliveries, in order.
func (l *leases) looseSubs() []int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	subs := make([]int64, 0, len(l.loose))
	for q := range l.loose {
		subs = append(subs, q.sub)
	}
	slices.Sort(subs)
	return subs
}

// lower moves the floor so that a claim looks at p again.
func (q *queue) lower(p spot) {
	if !q.floor.before(p) {
		q.floor = spot{p.due, p.id - 1}
	}
}

// countUnlisted returns how many deliveries of a subscription are unlisted.
func (l *leases) countUnlisted(sub int64) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if q := l.queues[sub]; q != nil {
		return q.leased + len(q.unlisted)
	}
	return 0
}

// find returns the unlisted deliveries that are not leased, and of those that are the ones up to an id, in order.
func (l *leases) find(upTo int64) (all []queuedAt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if upTo > l.listed {
		for id, e := range l.held {
			if e.unlisted && id <= upTo {
				all = append(all, queuedAt{e.sub, id, e.due})
			}
		}
	}
	for q := range l.loose {
		for _, at := range q.unlisted {
			all = append(all, queuedAt{q.sub, at.id, at.due})
		}
	}
	slices.SortFunc(all, func(a, b queuedAt) int { return cmp.Compare(a.id, b.id) })
	return all
}

// bound moves listed to just below all that are unlisted. From now on nothing becomes so that is not beyond it.
// moved says that meta has not got it.
func (l *leases) bound() (listed int64, moved bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.held[l.listed+1]; !e.unlisted { // else the one that held it back still does
		l.listed = l.newest
		for id, e := range l.held {
			if e.unlisted {
				l.listed = min(l.listed, id-1)
			}
		}
		for q := range l.loose {
			for _, at := range q.unlisted {
				l.listed = min(l.listed, at.id-1)
			}
		}
	}
	return l.listed, l.listed > l.stored
}

// listStep is how many deliveries are listed in one transaction.
const listStep = 256

// tidyLeases puts the unlisted deliveries that are not leased into the index, so that memory need not keep them for
// as long as a subscription is paused or its receiver is down, and moves meta.listed on. With long it also lists those that
// are leased since it did so before. When it fails they stay as they are.
func (s *Store) tidyLeases(ctx context.Context, long bool) error {
	l := s.leases
	old := int64(0)
	if long {
		l.mu.Lock()
		old, l.old = l.old, l.newest
		l.mu.Unlock()
	}
	if err := s.list(ctx, l.find(old)); err != nil {
		return err
	}
	listed, moved := l.bound()
	if !moved {
		return nil
	}
	if err := s.write(ctx, 128, func(tx *tx) error {
		_, err := tx.exec("INSERT OR REPLACE INTO meta VALUES('listed', ?)", listed)
		return err
	}); err != nil {
		return fmt.Errorf("moving the bound of what is listed: %w", err)
	}
	l.mu.Lock()
	l.stored = max(l.stored, listed)
	l.mu.Unlock()
	return nil
}

// list puts unlisted deliveries into the index.
func (s *Store) list(ctx context.Context, all []queuedAt) error {
	for step := range slices.Chunk(all, listStep) {
		var listed []queuedAt
		if err := s.write(ctx, int64(len(step))*128, func(tx *tx) error {
			listed = listed[:0]
			for _, d := range step {
				n, err := tx.exec("UPDATE deliveries SET state = 0 WHERE id = ? AND state = 4", d.id)
				if err != nil {
					return err
				}
				if n == 1 {
					listed = append(listed, d)
				}
			}
			return nil
		}); err != nil {
			return fmt.Errorf("list: %w", err)
		}
		for _, d := range listed {
			s.leases.placed(d.sub, d.id, d.due)
		}
	}
	return nil
}

// loadUnlisted reads what was unlisted when the last run ended.
func (s *Store) loadUnlisted(c *conn) error {
	listed, err := c.number("SELECT value FROM meta WHERE key = 'listed'")
	if err != nil {
		return err
	}
	l := s.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	l.newest, l.listed, l.stored = listed, listed, listed
	return c.query(context.Background(), "SELECT id, subscription, due FROM deliveries WHERE id > ? AND state = 4 ORDER BY id", func(r row) bool {
		q := l.pinLocked(r.int(1))
		l.keepLocked(q, spot{r.int(2), r.int(0)})
		l.unpinLocked(q)
		return true
	}, listed)
}
