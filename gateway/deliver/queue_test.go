package deliver_test

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"switchhook/gateway/hook"
)

// queue is a deliver.Queue in memory, which checks that the engine keeps to
// the contract and can be made to fail.
type queue struct {
	mu       sync.Mutex
	items    map[string]*item
	pending  map[string]*byDue // by subscription: pending and not leased
	waiting  map[string][]*item
	disabled map[string]string
	seq      int
	problems []string

	claims, settles, nextDues int
	settled                   int
	claimErr, settleErr       error
	settleTakes               time.Duration
	onSettle                  func(n int)
}

type item struct {
	d        hook.Delivery
	leased   bool
	seq      int
	attempts []hook.Attempt
}

type byDue []*item

func (h byDue) Len() int { return len(h) }
func (h byDue) Less(i, j int) bool {
	if !h[i].d.DueAt.Equal(h[j].d.DueAt) {
		return h[i].d.DueAt.Before(h[j].d.DueAt)
	}
	return h[i].seq < h[j].seq
}
func (h byDue) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *byDue) Push(x any)   { *h = append(*h, x.(*item)) }
func (h *byDue) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

func newQueue() *queue {
	return &queue{items: map[string]*item{}, pending: map[string]*byDue{}, waiting: map[string][]*item{}, disabled: map[string]string{}}
}

func (q *queue) heap(subscription string) *byDue {
	h := q.pending[subscription]
	if h == nil {
		h = &byDue{}
		q.pending[subscription] = h
	}
	return h
}

// add stores a delivery as Append would, and returns it leased where it is due.
func (q *queue) add(sub *hook.Subscription, selector string, payload string, due, now time.Time) *hook.Delivery {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.seq++
	id := fmt.Sprintf("dlv_%06d", q.seq)
	it := &item{seq: q.seq, d: hook.Delivery{
		ID: id, Subscription: sub.ID(), Workspace: sub.Workspace, Integration: "shop", Webhook: "events",
		ReceivedAt: now, Ordered: sub.Ordered, State: hook.Pending, DueAt: due,
		Event: &hook.Event{ID: fmt.Sprintf("evt_%06d", q.seq), RequestID: "req_1", Selector: selector, Payload: []byte(payload)},
	}}
	q.items[id] = it
	key := it.d.Subscription + " " + selector
	if sub.Ordered {
		q.waiting[key] = append(q.waiting[key], it)
		if len(q.waiting[key]) > 1 {
			it.d.State = hook.Waiting
		}
	}
	if it.d.State == hook.Pending {
		if due.After(now) {
			heap.Push(q.heap(sub.ID()), it)
		} else {
			it.leased = true
		}
	}
	d := it.d
	return &d
}

// store adds a delivery that is pending and not leased, as after a restart.
func (q *queue) store(sub *hook.Subscription, selector string, due, now time.Time) string {
	d := q.add(sub, selector, "{}", due, now)
	if d.State == hook.Pending && !due.After(now) {
		q.Release(d.ID)
	}
	return d.ID
}

func (q *queue) Claim(ctx context.Context, subscription string, now time.Time, limit int) ([]*hook.Delivery, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.claims++
	if q.claimErr != nil {
		return nil, q.claimErr
	}
	if limit < 1 {
		q.problems = append(q.problems, "claim of nothing")
	}
	h := q.heap(subscription)
	var ds []*hook.Delivery
	for len(*h) > 0 && len(ds) < limit && !(*h)[0].d.DueAt.After(now) {
		it := heap.Pop(h).(*item)
		it.leased = true
		d := it.d
		ds = append(ds, &d)
	}
	return ds, nil
}

func (q *queue) Release(ids ...string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, id := range ids {
		it := q.items[id]
		if !it.leased {
			continue
		}
		it.leased = false
		heap.Push(q.heap(it.d.Subscription), it)
	}
}

func (q *queue) Settle(ctx context.Context, ss ...hook.Settlement) error {
	if q.settleTakes > 0 {
		time.Sleep(q.settleTakes)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.settles++
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if q.settleErr != nil {
		return q.settleErr
	}
	q.settled += len(ss)
	for _, s := range ss {
		it := q.items[s.Attempt.DeliveryID]
		if !it.leased {
			q.problems = append(q.problems, "settlement of "+it.d.ID+" which is not leased")
		}
		it.leased = false
		it.attempts = append(it.attempts, s.Attempt)
		it.d.Attempts++
		it.d.State, it.d.DueAt = s.Next, s.RetryAt
		if s.Next == hook.Pending {
			heap.Push(q.heap(it.d.Subscription), it)
			continue
		}
		if it.d.Ordered {
			key := it.d.Subscription + " " + it.d.Event.Selector
			q.waiting[key] = q.waiting[key][1:]
			if len(q.waiting[key]) > 0 {
				next := q.waiting[key][0]
				next.d.State, next.d.DueAt = hook.Pending, s.Attempt.At
				heap.Push(q.heap(next.d.Subscription), next)
			}
		}
	}
	if q.onSettle != nil {
		q.onSettle(len(ss))
	}
	return nil
}

func (q *queue) NextDue(ctx context.Context, yield func(string, time.Time) bool) error {
	q.mu.Lock()
	q.nextDues++
	type row struct {
		sub string
		due time.Time
	}
	var rows []row
	for sub, h := range q.pending {
		if len(*h) > 0 {
			rows = append(rows, row{sub, (*h)[0].d.DueAt})
		}
	}
	q.mu.Unlock()
	for _, r := range rows {
		if !yield(r.sub, r.due) {
			break
		}
	}
	return nil
}

func (q *queue) NextDueOf(ctx context.Context, subscription string) (time.Time, bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.claimErr != nil {
		return time.Time{}, false, q.claimErr
	}
	h := q.heap(subscription)
	if len(*h) == 0 {
		return time.Time{}, false, nil
	}
	return (*h)[0].d.DueAt, true, nil
}

func (q *queue) Disable(ctx context.Context, id, reason string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.settleErr != nil {
		return q.settleErr
	}
	q.disabled[id] = reason
	return nil
}

// replay makes a delivery due at now, its attempts counted anew.
func (q *queue) replay(id string, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it := q.items[id]
	it.d.State, it.d.DueAt, it.d.Attempts = hook.Pending, now, 0
	if !it.leased {
		heap.Push(q.heap(it.d.Subscription), it)
	}
}

func (q *queue) get(id string) (hook.Delivery, []hook.Attempt) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.items[id].d, q.items[id].attempts
}

// count returns how many deliveries are in each state, and how many are leased.
func (q *queue) count() (states map[hook.DeliveryState]int, leased int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	states = map[hook.DeliveryState]int{}
	for _, it := range q.items {
		states[it.d.State]++
		if it.leased {
			leased++
		}
	}
	return states, leased
}

func (q *queue) set(f func(q *queue)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f(q)
}

var errStore = errors.New("store is broken, restart to recover")

func (q *queue) stat(n *int) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return *n
}
