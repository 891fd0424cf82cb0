package sqlite

import "sync"

// Leases live in memory: the process owns the file, and after a restart nothing
// is leased.
//
// A delivery must not be claimed from a snapshot of the database in which it is
// still pending although it has been settled since. So a claim holds the lock of its
// subscription from before it begins to read until it has taken its leases, and a lease ends under
// the same lock, after the settlement is committed: a claim either finds the
// lease, or reads what was committed. Append takes its leases before it
// commits, when nobody can see the deliveries.

// spot is where a delivery stands in the queue of its subscription.
type spot struct{ due, id int64 }

func (p spot) before(q spot) bool { return p.due < q.due || p.due == q.due && p.id < q.id }

// queue is what is known of the pending deliveries of a subscription while some
// are leased.
type queue struct {
	sub int64

	// mu is held by a claim, and while leases end. Never taken by the writer.
	mu sync.Mutex
	// floor: everything at or before it is leased, so that a claim need not
	// look at it again. Under mu.
	floor spot

	// pins counts leases and users; the queue is forgotten at 0. Under leases.mu.
	pins int
}

type lease struct {
	q   *queue
	due int64
}

type leases struct {
	mu     sync.Mutex
	held   map[int64]lease
	queues map[int64]*queue
}

func newLeases() *leases {
	return &leases{held: map[int64]lease{}, queues: map[int64]*queue{}}
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

func (l *leases) unlock(q *queue) {
	q.mu.Unlock()
	l.mu.Lock()
	l.unpinLocked(q)
	l.mu.Unlock()
}

// take leases a delivery unless it is leased.
func (l *leases) take(sub, id, due int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.held[id]; ok {
		return false
	}
	l.held[id] = lease{l.pinLocked(sub), due}
	return true
}

// drop undoes a take that nobody else knows of.
func (l *leases) drop(id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.held[id]; ok {
		delete(l.held, id)
		l.unpinLocked(e.q)
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
		return
	}
	e.q.pins++
	l.mu.Unlock()

	e.q.mu.Lock()
	if again {
		e.q.lower(spot{e.due, id})
	}
	l.drop(id)
	e.q.mu.Unlock()

	l.mu.Lock()
	l.unpinLocked(e.q)
	l.mu.Unlock()
}

// queued says that a delivery is pending, and at a place where it was not before.
func (l *leases) queued(sub, id, due int64) {
	l.mu.Lock()
	q := l.queues[sub]
	if q == nil {
		l.mu.Unlock()
		return
	}
	q.pins++
	l.mu.Unlock()
	q.mu.Lock()
	q.lower(spot{due, id})
	l.unlock(q)
}

// lower moves the floor so that a claim looks at p again.
func (q *queue) lower(p spot) {
	if !q.floor.before(p) {
		q.floor = spot{p.due, p.id - 1}
	}
}
