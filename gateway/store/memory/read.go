package memory

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"switchhook/gateway/hook"
	"switchhook/gateway/store"
)

func (s *Store) Request(ctx context.Context, id string) (*store.Stored, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	req := s.byID[id]
	if req == nil {
		return nil, fmt.Errorf("request %s: %w", id, store.ErrNotFound)
	}
	st := &store.Stored{Record: req.rec}
	r := *req.rec.Request
	st.Request = &r
	st.Events = make([]*hook.Event, len(req.rec.Events))
	place := map[*hook.Event]*hook.Event{}
	for i, e := range req.rec.Events {
		c := *e
		st.Events[i], place[e] = &c, &c
	}
	for _, n := range req.deliveries {
		d := n.d
		d.Event = place[d.Event]
		st.Deliveries = append(st.Deliveries, &d)
		st.Attempts = append(st.Attempts, n.attempts...)
	}
	slices.SortStableFunc(st.Attempts, func(a, b hook.Attempt) int { return a.At.Compare(b.At) })
	return st, nil
}

// cursor is where a page ended: everything with a number below it is still to come,
// or above it in a list that begins with the oldest. Start is the cursor of the first page.
func cursor(kind, c string, start int64) (int64, error) {
	if c == "" {
		return start, nil
	}
	digits, ok := strings.CutPrefix(c, kind)
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || n <= 0 || digits != strconv.FormatInt(n, 10) {
		return 0, fmt.Errorf("%q: %w", c, store.ErrCursor)
	}
	return n, nil
}

func within(at, after, before time.Time) bool {
	return !at.Before(after) && (before.IsZero() || at.Before(before))
}

func (s *Store) Requests(ctx context.Context, q store.RequestQuery) ([]store.RequestSummary, string, error) {
	below, err := cursor("r", q.Cursor, 1<<63-1)
	if err != nil {
		return nil, "", err
	}
	if err := s.enter(ctx); err != nil {
		return nil, "", err
	}
	defer s.mu.Unlock()
	var page []store.RequestSummary
	var last int64
	for _, req := range slices.Backward(s.requests) {
		r := req.rec.Request
		if req.seq >= below || !matches(q.Workspace, r.Workspace) || !matches(q.Integration, r.Integration) ||
			!matches(q.Webhook, r.Webhook) || !matches(q.Connector, r.Connector) ||
			!matches(string(q.Outcome), string(req.rec.Outcome)) || !answered(q, req.rec.Response.Status) || !within(r.ReceivedAt, q.After, q.Before) || !s.contains(req, q.Text) {
			continue
		}
		if len(page) == store.PageLimit(q.Limit) {
			return page, "r" + strconv.FormatInt(last, 10), nil
		}
		last = req.seq
		sum := store.RequestSummary{
			ID: r.ID, Workspace: r.Workspace, Integration: r.Integration, Webhook: r.Webhook, Connector: r.Connector,
			Method: r.Method, Path: r.Path, Outcome: req.rec.Outcome, Status: req.rec.Response.Status, ReceivedAt: r.ReceivedAt,
			HandlerTime: req.rec.HandlerTime, BodySize: len(r.Body), Events: len(req.rec.Events), Deliveries: len(req.deliveries),
		}
		for _, n := range req.deliveries {
			if n.d.State == hook.Dead {
				sum.Dead++
			}
		}
		page = append(page, sum)
	}
	return page, "", nil
}

func answered(q store.RequestQuery, status int) bool {
	return q.MinStatus == 0 && q.MaxStatus == 0 || status >= q.MinStatus && status <= q.MaxStatus
}

func matches(want, got string) bool { return want == "" || want == got }

func (s *Store) contains(req *request, text string) bool {
	r := req.rec.Request
	if s.byID[text] != nil {
		return r.ID == text
	}
	return bytes.Contains(r.Body, []byte(text)) || strings.Contains(r.ID, text) || strings.Contains(r.Path, text) ||
		slices.ContainsFunc(req.rec.Events, func(e *hook.Event) bool { return strings.Contains(e.Selector, text) })
}

func (s *Store) Delivery(ctx context.Context, id string) (*hook.Delivery, []hook.Attempt, error) {
	i, err := number(id)
	if err != nil {
		return nil, nil, err
	}
	if err := s.enter(ctx); err != nil {
		return nil, nil, err
	}
	defer s.mu.Unlock()
	n := s.deliveries[i]
	if n == nil {
		return nil, nil, fmt.Errorf("delivery %s: %w", id, store.ErrNotFound)
	}
	return copyOf(n), slices.Clone(n.attempts), nil
}

func (s *Store) Deliveries(ctx context.Context, q store.DeliveryQuery) ([]*hook.Delivery, string, error) {
	kind, start := "d", int64(1<<63-1)
	if q.Oldest {
		kind, start = "o", 0
	}
	at, err := cursor(kind, q.Cursor, start)
	if err != nil {
		return nil, "", err
	}
	if err := s.enter(ctx); err != nil {
		return nil, "", err
	}
	defer s.mu.Unlock()
	var found []*delivery
	prefix, byPrefix := strings.CutSuffix(q.Selector, "**")
	for _, req := range s.requests {
		if !matches(q.RequestID, req.rec.Request.ID) || !within(req.rec.Request.ReceivedAt, q.After, q.Before) {
			continue
		}
		for _, n := range req.deliveries {
			if (q.Oldest && n.number > at || !q.Oldest && n.number < at) &&
				matches(q.Subscription, n.d.Subscription) && matches(string(q.State), string(n.d.State)) &&
				(byPrefix && strings.HasPrefix(n.d.Event.Selector, prefix) || !byPrefix && matches(q.Selector, n.d.Event.Selector)) {
				found = append(found, n)
			}
		}
	}
	slices.SortFunc(found, func(a, b *delivery) int {
		if q.Oldest {
			return cmp.Compare(a.number, b.number)
		}
		return cmp.Compare(b.number, a.number)
	})
	next := ""
	if limit := store.PageLimit(q.Limit); len(found) > limit {
		found = found[:limit]
		next = kind + strconv.FormatInt(found[limit-1].number, 10)
	}
	var page []*hook.Delivery
	for _, n := range found {
		d := copyOf(n)
		d.Event.Payload = nil
		page = append(page, d)
	}
	return page, next, nil
}

func (s *Store) Backlog(ctx context.Context, subscription string, most int) (b store.Backlog, err error) {
	if err := s.enter(ctx); err != nil {
		return b, err
	}
	defer s.mu.Unlock()
	for _, n := range s.deliveries {
		switch {
		case n.d.Subscription != subscription:
		case n.d.State == hook.Dead:
			b.Dead = min(b.Dead+1, most)
		case open(n.d.State):
			b.Open = min(b.Open+1, most)
		}
	}
	return b, nil
}

func (s *Store) AddChange(ctx context.Context, c store.Change) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	c.At = c.At.UTC()
	s.changes = append(s.changes, c)
	return nil
}

func (s *Store) Changes(ctx context.Context, c string, limit int) (page []store.Change, next string, err error) {
	below, err := cursor("c", c, 1<<63-1)
	if err != nil {
		return nil, "", err
	}
	if err := s.enter(ctx); err != nil {
		return nil, "", err
	}
	defer s.mu.Unlock()
	for i := min(int64(len(s.changes)), below-1); i > 0; i-- {
		if len(page) == store.PageLimit(limit) {
			return page, "c" + strconv.FormatInt(i+1, 10), nil
		}
		page = append(page, s.changes[i-1])
	}
	return page, "", nil
}
