// Package memory is the store that keeps everything in memory: for fixtures,
// and for tests of packages that need a store. It does what store.Store says,
// except that nothing outlives the process, and that Claim takes longer the
// more deliveries of the subscription are pending.
package memory

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"switchhook/gateway/hook"
	"switchhook/gateway/store"
)

// Store is a store.Store in memory. The zero value is not usable; see New.
type Store struct {
	now    func() time.Time
	window time.Duration

	mu         sync.Mutex
	closed     bool
	requests   []*request // in order of seq
	byID       map[string]*request
	seq        int64
	deliveries map[int64]*delivery
	keys       map[key]seen
	state      map[string]map[string]string
	subs       map[string]*hook.Subscription
	disabled   map[string]string
	changes    []store.Change
	bytes      int64
}

var _ store.Store = (*Store)(nil)

type request struct {
	seq        int64
	rec        hook.Record // Deliveries is empty, see deliveries
	deliveries []*delivery
	made       int64 // deliveries ever made, for their numbers
	trace      string
	size       int64
}

type delivery struct {
	number   int64
	req      *request
	d        hook.Delivery
	attempts []hook.Attempt
	leased   bool
}

type key struct{ workspace, integration, webhook, key string }

type seen struct {
	at  time.Time
	req *request
}

// New returns an empty store.
func New(opt store.Options) *Store {
	s := &Store{
		now: opt.Now, window: cmp.Or(opt.DedupeWindow, store.DefaultDedupeWindow),
		byID: map[string]*request{}, deliveries: map[int64]*delivery{}, keys: map[key]seen{},
		state: map[string]map[string]string{}, subs: map[string]*hook.Subscription{}, disabled: map[string]string{},
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// enter locks the store for one call; the caller unlocks it when there is no error.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return store.ErrClosed
	}
	return nil
}

func (s *Store) Append(ctx context.Context, rec *hook.Record) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if s.byID[rec.Request.ID] != nil {
		return fmt.Errorf("append request %s: %w", rec.Request.ID, store.ErrConflict)
	}
	r := *rec.Request
	r.Headers, r.Body = slices.Clone(r.Headers), append([]byte{}, r.Body...)
	r.ReceivedAt = r.ReceivedAt.UTC()
	req := &request{seq: s.seq + 1, rec: *rec}
	req.rec.Request, req.rec.Events, req.rec.Deliveries = &r, nil, nil
	req.rec.Response.Headers = slices.Clone(rec.Response.Headers)
	req.rec.Response.Body = bytes.Clone(rec.Response.Body[:min(len(rec.Response.Body), 4096)])
	if err := s.add(req, rec); err != nil {
		return fmt.Errorf("append request %s: %w", rec.Request.ID, err)
	}
	s.seq++
	s.requests = append(s.requests, req)
	s.byID[r.ID] = req
	size := int64(len(r.Body)) + 1024
	req.size += size
	s.bytes += size
	return nil
}

func (s *Store) ReplayRecord(ctx context.Context, rec *hook.Record) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	req := s.byID[rec.Request.ID]
	if req == nil {
		return fmt.Errorf("replay request %s: %w", rec.Request.ID, store.ErrNotFound)
	}
	for _, e := range rec.Events {
		for _, old := range req.rec.Events {
			if e.ID == old.ID {
				return fmt.Errorf("replay request %s: event %s: %w", rec.Request.ID, e.ID, store.ErrConflict)
			}
		}
	}
	if err := s.add(req, rec); err != nil {
		return fmt.Errorf("replay request %s: %w", rec.Request.ID, err)
	}
	req.rec.Outcome, req.rec.HandlerTime = rec.Outcome, rec.HandlerTime
	req.rec.Failure, req.rec.Console, req.rec.Notes = rec.Failure, rec.Console, rec.Notes
	return nil
}

// add stores rec's events and deliveries under req, and sets what rec is told.
// On an error nothing has changed.
func (s *Store) add(req *request, rec *hook.Record) error {
	place := make(map[*hook.Event]int, len(rec.Events))
	for i, e := range rec.Events {
		place[e] = i
	}
	for i, d := range rec.Deliveries {
		if _, ok := place[d.Event]; !ok || d.Event == nil {
			return fmt.Errorf("delivery %d is of none of the record's events", i)
		}
	}
	if len(req.rec.Events)+len(rec.Events) > store.MaxPerRequest || req.made+int64(len(rec.Deliveries)) > store.MaxPerRequest {
		return fmt.Errorf("more than %d events or deliveries", store.MaxPerRequest)
	}
	now := s.now()
	r := req.rec.Request
	kept := make([]*hook.Event, len(rec.Events))
	for i, e := range rec.Events {
		c := *e
		if end := e.BodyOffset + len(e.Payload); e.FromBody && e.BodyOffset >= 0 && end <= len(r.Body) && bytes.Equal(r.Body[e.BodyOffset:end], e.Payload) {
			c.Payload = r.Body[e.BodyOffset:end:end]
		} else {
			c.Payload, c.FromBody, c.BodyOffset = append([]byte{}, e.Payload...), false, 0
			req.size += int64(len(e.Payload))
			s.bytes += int64(len(e.Payload))
		}
		c.Duplicate = false
		if e.Key != "" {
			k := key{r.Workspace, r.Integration, r.Webhook, e.Key}
			before, ok := s.keys[k]
			// an earlier run of this request is no reason; an earlier event of this run is
			mine := ok && before.req == req && !slices.ContainsFunc(rec.Events[:i], func(o *hook.Event) bool { return o.Key == e.Key })
			c.Duplicate = ok && !mine && now.Sub(before.at) < s.window
			if !c.Duplicate {
				s.keys[k] = seen{now, req}
			}
		}
		e.Duplicate = c.Duplicate
		kept[i] = &c
	}
	req.rec.Events = append(req.rec.Events, kept...)
	rec.Deliveries = slices.DeleteFunc(rec.Deliveries, func(d *hook.Delivery) bool { return d.Event.Duplicate })
	for _, d := range rec.Deliveries {
		req.trace = cmp.Or(req.trace, d.TraceParent)
		req.made++
		n := &delivery{number: req.seq<<20 | req.made, req: req}
		d.ID, d.State, d.Attempts = "dlv_"+strconv.FormatInt(n.number, 10), hook.Pending, 0
		if d.DueAt.IsZero() {
			d.DueAt = now
		}
		if d.Ordered && s.lane(d.Subscription, d.Event.Selector) != nil {
			d.State, d.DueAt = hook.Waiting, time.Time{}
		}
		n.d = *d
		n.d.Event, n.d.TraceParent = kept[place[d.Event]], req.trace
		n.d.Workspace, n.d.Integration, n.d.Webhook, n.d.Connector, n.d.ReceivedAt = r.Workspace, r.Integration, r.Webhook, r.Connector, r.ReceivedAt
		n.leased = d.State == hook.Pending && !d.DueAt.After(now)
		req.deliveries = append(req.deliveries, n)
		s.deliveries[n.number] = n
		req.size += 256
		s.bytes += 256
	}
	return nil
}

func open(state hook.DeliveryState) bool { return state == hook.Pending || state == hook.Waiting }

// lane returns the first unsettled ordered delivery of a subscription and selector: the
// pending one, if there is one, else the one with the lowest number.
func (s *Store) lane(sub, selector string) *delivery {
	var first *delivery
	for _, n := range s.deliveries {
		if n.d.Ordered && open(n.d.State) && n.d.Subscription == sub && n.d.Event.Selector == selector {
			if n.d.State == hook.Pending {
				return n
			}
			if first == nil || n.number < first.number {
				first = n
			}
		}
	}
	return first
}

func number(id string) (int64, error) {
	digits, ok := strings.CutPrefix(id, "dlv_")
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || n <= 0 {
		return 0, fmt.Errorf("delivery %q: %w", id, store.ErrNotFound)
	}
	return n, nil
}

// due returns the unleased pending deliveries of sub ("": of all), earliest first.
func (s *Store) due(sub string) []*delivery {
	var ds []*delivery
	for _, n := range s.deliveries {
		if n.d.State == hook.Pending && !n.leased && (sub == "" || n.d.Subscription == sub) {
			ds = append(ds, n)
		}
	}
	slices.SortFunc(ds, func(a, b *delivery) int {
		return cmp.Or(a.d.DueAt.Compare(b.d.DueAt), cmp.Compare(a.number, b.number))
	})
	return ds
}

func (s *Store) Claim(ctx context.Context, subscription string, now time.Time, limit int) ([]*hook.Delivery, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var claimed []*hook.Delivery
	for _, n := range s.due(subscription) {
		if len(claimed) >= limit || n.d.DueAt.After(now) {
			break
		}
		n.leased = true
		claimed = append(claimed, copyOf(n))
	}
	return claimed, nil
}

func copyOf(n *delivery) *hook.Delivery {
	d := n.d
	e := *d.Event
	d.Event = &e
	return &d
}

func (s *Store) Release(deliveryIDs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range deliveryIDs {
		if i, err := number(id); err == nil && s.deliveries[i] != nil {
			s.deliveries[i].leased = false
		}
	}
}

func (s *Store) Settle(ctx context.Context, settlements ...hook.Settlement) error {
	numbers := make([]int64, len(settlements))
	for i, set := range settlements {
		n, err := number(set.Attempt.DeliveryID)
		if err != nil {
			return fmt.Errorf("settle: %w", err)
		}
		if set.Next != hook.Done && set.Next != hook.Dead && (set.Next != hook.Pending || set.RetryAt.IsZero()) {
			return fmt.Errorf("settle %s: next is %q, retry at %v", set.Attempt.DeliveryID, set.Next, set.RetryAt)
		}
		numbers[i] = n
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	for i, set := range settlements {
		n := s.deliveries[numbers[i]]
		if n == nil {
			continue
		}
		a := set.Attempt
		a.Number = len(n.attempts) + 1
		a.Response = bytes.Clone(a.Response[:min(len(a.Response), 4096)])
		n.attempts = append(n.attempts, a)
		n.leased = false
		n.d.Attempts++
		was := n.d.State
		switch {
		case set.Next == hook.Pending && was == hook.Pending:
			n.d.DueAt = set.RetryAt.UTC()
		case set.Next == hook.Pending:
		default:
			n.d.State, n.d.DueAt = set.Next, time.Time{}
			if n.d.Ordered && was == hook.Pending {
				if next := s.lane(n.d.Subscription, n.d.Event.Selector); next != nil {
					next.d.State, next.d.DueAt = hook.Pending, a.At.Add(a.Took).UTC()
				}
			}
		}
	}
	return nil
}

func (s *Store) NextDue(ctx context.Context, yield func(string, time.Time) bool) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	due := s.due("")
	// copied, since yield may call the store
	first := map[string]time.Time{}
	for _, n := range due {
		if _, ok := first[n.d.Subscription]; !ok {
			first[n.d.Subscription] = n.d.DueAt
		}
	}
	s.mu.Unlock()
	for sub, at := range first {
		if !yield(sub, at) {
			break
		}
	}
	return nil
}

func (s *Store) NextDueOf(ctx context.Context, subscription string) (time.Time, bool, error) {
	if err := s.enter(ctx); err != nil {
		return time.Time{}, false, err
	}
	defer s.mu.Unlock()
	if due := s.due(subscription); len(due) > 0 {
		return due[0].d.DueAt, true, nil
	}
	return time.Time{}, false, nil
}

func (s *Store) Replay(ctx context.Context, deliveryID string, now time.Time) (string, error) {
	i, err := number(deliveryID)
	if err != nil {
		return "", fmt.Errorf("replay: %w", err)
	}
	if err := s.enter(ctx); err != nil {
		return "", err
	}
	defer s.mu.Unlock()
	n := s.deliveries[i]
	if n == nil {
		return "", fmt.Errorf("replay %s: %w", deliveryID, store.ErrNotFound)
	}
	if n.d.State == hook.Waiting {
		return n.d.Subscription, nil
	}
	if n.d.Ordered && n.d.State != hook.Pending && s.lane(n.d.Subscription, n.d.Event.Selector) != nil {
		n.d.State, n.d.DueAt = hook.Waiting, time.Time{}
	} else {
		n.d.State, n.d.DueAt = hook.Pending, now.UTC()
	}
	n.d.Attempts = 0
	return n.d.Subscription, nil
}

func (s *Store) State(ctx context.Context, integration string) (map[string]string, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	return maps.Clone(s.state[integration]), nil
}

func (s *Store) Remember(ctx context.Context, integration, key, value string, replace bool) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if old, ok := s.state[integration][key]; ok && old != value && !replace {
		return fmt.Errorf("remember %s of %s: %w", key, integration, store.ErrConflict)
	}
	if s.state[integration] == nil {
		s.state[integration] = map[string]string{}
	}
	s.state[integration][key] = value
	return nil
}

func (s *Store) PutSubscription(ctx context.Context, sub *hook.Subscription) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	c := *sub
	s.subs[sub.ID()] = &c
	return nil
}

func (s *Store) DeleteSubscription(ctx context.Context, id string) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if s.subs[id] == nil {
		return fmt.Errorf("delete subscription %s: %w", id, store.ErrNotFound)
	}
	delete(s.subs, id)
	delete(s.disabled, id)
	for _, n := range s.deliveries {
		if n.d.Subscription == id && open(n.d.State) {
			n.d.State, n.d.DueAt = hook.Dead, time.Time{}
		}
	}
	return nil
}

func (s *Store) Subscriptions(ctx context.Context, yield func(*hook.Subscription) bool) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	var subs []*hook.Subscription
	for _, id := range slices.Sorted(maps.Keys(s.subs)) {
		c := *s.subs[id]
		subs = append(subs, &c)
	}
	s.mu.Unlock()
	for _, sub := range subs {
		if !yield(sub) {
			break
		}
	}
	return nil
}

func (s *Store) Disable(ctx context.Context, id, reason string) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if reason == "" {
		delete(s.disabled, id)
	} else {
		s.disabled[id] = reason
	}
	return nil
}

func (s *Store) Disabled(ctx context.Context) (map[string]string, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	return maps.Clone(s.disabled), nil
}

func (s *Store) Sweep(ctx context.Context, before time.Time, maxBytes int64, limit int) (int, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	now := s.now()
	maps.DeleteFunc(s.keys, func(_ key, at seen) bool { return now.Sub(at.at) >= s.window })
	swept := 0
	s.requests = slices.DeleteFunc(s.requests, func(r *request) bool {
		tooMuch := maxBytes > 0 && s.bytes > maxBytes
		if swept >= limit || r.rec.Outcome == hook.Deferred || !tooMuch && !r.rec.Request.ReceivedAt.Before(before) {
			return false
		}
		if slices.ContainsFunc(r.deliveries, func(n *delivery) bool { return open(n.d.State) }) {
			return false
		}
		delete(s.byID, r.rec.Request.ID)
		for _, n := range r.deliveries {
			delete(s.deliveries, n.number)
		}
		s.bytes -= r.size
		swept++
		return true
	})
	return swept, nil
}

func (s *Store) Stats(ctx context.Context) (store.Stats, error) {
	if err := s.enter(ctx); err != nil {
		return store.Stats{}, err
	}
	defer s.mu.Unlock()
	st := store.Stats{Requests: int64(len(s.requests)), Bytes: s.bytes}
	for i, r := range s.requests {
		if i == 0 {
			st.OldestRequest = r.rec.Request.ReceivedAt
		}
		st.Events += int64(len(r.rec.Events))
		for _, n := range r.deliveries {
			switch {
			case n.d.State == hook.Dead:
				st.Dead++
			case open(n.d.State):
				if st.Pending++; st.OldestPending.IsZero() {
					st.OldestPending = r.rec.Request.ReceivedAt
				}
			}
		}
	}
	return st, nil
}

func (s *Store) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	return nil
}

func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}
