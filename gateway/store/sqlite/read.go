package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"switchhook/gateway/hook"
	"switchhook/gateway/store"
)

func (s *Store) Request(ctx context.Context, id string) (st *store.Stored, err error) {
	err = s.read(ctx, func(c *conn) error {
		// One snapshot, or a sweep could come between the statements.
		if _, err := c.exec("BEGIN"); err != nil {
			return err
		}
		defer c.exec("COMMIT") //nolint:errcheck // it has read only
		st, err = s.request(ctx, c, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", id, err)
	}
	return st, nil
}

func (s *Store) request(ctx context.Context, c *conn, id string) (*store.Stored, error) {
	r, err := c.one(ctx, `SELECT r.id, r.source, r.outcome, r.status, r.received, r.took, r.method, r.path, r.trace,
			c.url, c.query, c.remote, c.headers, c.verified, c.response_headers, c.response_body, c.extra, c.body, c.packed
		FROM requests r JOIN contents c ON c.id = r.id WHERE r.request = ?`, id)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, store.ErrNotFound
	}
	number := r.int(0)
	from, _ := s.sources.get(r.int(1))
	body, err := unpack(r.blob(17), r.int(18))
	if err != nil {
		return nil, err
	}
	req := &hook.Request{
		ID: id, Workspace: from.workspace, Integration: from.integration, Webhook: from.webhook, Connector: from.connector,
		Method: r.text(6), URL: r.text(9), Path: r.text(7), Query: r.text(10), Headers: decodeHeaders(r.blob(12)),
		Body: body, RemoteAddr: r.text(11), ReceivedAt: fromNano(r.int(4)),
	}
	if req.Body == nil {
		req.Body = []byte{}
	}
	st := &store.Stored{Record: hook.Record{
		Request: req, Outcome: nth(outcomes[:], r.int(2)), Verified: r.text(13),
		Response:    hook.Response{Status: int(r.int(3)), Headers: decodeHeaders(r.blob(14)), Body: r.blob(15)},
		HandlerTime: time.Duration(r.int(5)),
	}}
	trace := r.text(8)
	if !r.null(16) {
		var x extra
		if err := json.Unmarshal(r.blob(16), &x); err != nil {
			return nil, fmt.Errorf("notes, console or failure: %w", err)
		}
		st.Notes, st.Console, st.Failure = x.Notes, x.Console, x.Failure
	}
	first, last := span(number)
	var damaged error
	if err := c.query(ctx, "SELECT event, key, selector, type, duplicate, off, len, payload, packed FROM events WHERE id BETWEEN ? AND ? ORDER BY id", func(r row) bool {
		e := &hook.Event{ID: r.text(0), RequestID: id, Key: r.text(1), Selector: r.text(2), Type: r.text(3), Duplicate: r.int(4) == 1}
		if from, to := int(r.int(5)), int(r.int(5)+r.int(6)); !r.null(5) && from >= 0 && from <= to && to <= len(req.Body) {
			e.Payload, e.FromBody, e.BodyOffset = req.Body[from:to:to], true, from
		} else if e.Payload, damaged = unpack(r.blob(7), r.int(8)); e.Payload == nil {
			e.Payload = []byte{}
		}
		st.Events = append(st.Events, e)
		return damaged == nil
	}, first, last); err != nil || damaged != nil {
		return nil, cmp.Or(err, damaged)
	}
	if err := c.query(ctx, `SELECT d.id, d.event, s.name, d.state, d.due, d.attempts, d.lane IS NOT NULL
		FROM deliveries d CROSS JOIN subscriptions s ON s.id = d.subscription WHERE d.id BETWEEN ? AND ? ORDER BY d.id`, func(r row) bool {
		d := &hook.Delivery{
			ID: deliveryID(r.int(0)), Subscription: r.text(2), State: nth(states[:], r.int(3)), DueAt: r.time(4), Attempts: int(r.int(5)), Ordered: r.int(6) == 1,
			Workspace: req.Workspace, Integration: req.Integration, Webhook: req.Webhook, Connector: req.Connector,
			ReceivedAt: req.ReceivedAt, TraceParent: trace,
		}
		d.Event = nth(st.Events, r.int(1)-1)
		st.Deliveries = append(st.Deliveries, d)
		return true
	}, first, last); err != nil {
		return nil, err
	}
	if st.Attempts, err = attempts(ctx, c, first, last); err != nil {
		return nil, err
	}
	slices.SortStableFunc(st.Attempts, func(a, b hook.Attempt) int { return a.At.Compare(b.At) })
	return st, nil
}

func attempts(ctx context.Context, c *conn, first, last int64) (all []hook.Attempt, err error) {
	err = c.query(ctx, "SELECT delivery, number, at, took, status, class, error, response FROM attempts WHERE delivery BETWEEN ? AND ? ORDER BY delivery, number", func(r row) bool {
		all = append(all, hook.Attempt{
			DeliveryID: deliveryID(r.int(0)), Number: int(r.int(1)), At: fromNano(r.int(2)), Took: time.Duration(r.int(3)),
			Status: int(r.int(4)), Class: r.text(5), Error: r.text(6), Response: r.blob(7),
		})
		return true
	}, first, last)
	return all, err
}

func (s *Store) Delivery(ctx context.Context, id string) (d *hook.Delivery, as []hook.Attempt, err error) {
	n, err := deliveryNumber(id)
	if err != nil {
		return nil, nil, err
	}
	err = s.read(ctx, func(c *conn) error {
		r, err := c.one(ctx, selectDelivery, n)
		if err != nil {
			return err
		}
		if r == nil {
			return store.ErrNotFound
		}
		d = s.decodeDelivery(r)
		if d.Event.Payload, err = new(payloads).of(r); err != nil {
			return err
		}
		as, err = attempts(ctx, c, n, n)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("delivery %s: %w", id, err)
	}
	return d, as, nil
}

// cursor reads the cursor of a list: everything with an id below it is still to
// come, or above it in a list that begins with the oldest. Start is the cursor of the first page.
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

// effort bounds what one page may look through, so that it answers in some
// 100 ms whatever is stored. A page that ends for this reason has a cursor.
type effort struct{ rows, bytes int }

const (
	maxRows  = 120_000  // rows of requests or deliveries
	maxBytes = 32 << 20 // of bodies, for a text

	// What a block costs in rows: to pass over by its marks, and to open.
	rowsOfMarks = 12
	rowsOfBlock = 40
	// and to search a request for a text.
	rowsOfText = 10
)

func (e *effort) spent() bool { return e.rows > maxRows || e.bytes > maxBytes }

// The orders of lists.
const (
	newestFirst = -1
	oldestFirst = 1
)

// next returns up to limit blocks from id on in an order.
func (bs *blocks) next(order, id int64, limit int, keep func(*block) bool) []block {
	if order == oldestFirst {
		return bs.above(id, limit, keep)
	}
	return bs.below(id, limit, keep)
}

// scan calls each for the blocks from one on that keep takes and whose marks do not
// exclude what is asked for, in an order, until it returns false, or the
// effort is spent. It returns the block at which to go on; -1: none is left.
func (s *Store) scan(ctx context.Context, c *conn, e *effort, order, from int64, keep func(*block) bool, asked []uint64, each func(block) (bool, error)) (int64, error) {
	const step = 64
	for {
		chunk := s.blocks.next(order, from, step, keep)
		if len(chunk) == 0 {
			return -1, nil
		}
		first, last := chunk[0].id, chunk[len(chunk)-1].id
		filters := map[int64][]byte{}
		if len(asked) > 0 {
			if err := c.query(ctx, "SELECT id, marks FROM blocks WHERE id BETWEEN ? AND ?", func(r row) bool {
				if !filterHas(r.blob(1), asked) {
					filters[r.int(0)] = nil
				}
				return true
			}, min(first, last), max(first, last)); err != nil {
				return 0, err
			}
		}
		for _, b := range chunk {
			if e.spent() {
				return b.id, nil
			}
			e.rows += rowsOfMarks
			if _, excluded := filters[b.id]; !excluded {
				e.rows += rowsOfBlock
				if more, err := each(b); err != nil || !more {
					return b.id, err
				}
			}
		}
		from = last + order
	}
}

func (s *Store) Requests(ctx context.Context, q store.RequestQuery) (page []store.RequestSummary, next string, err error) {
	below, err := cursor("r", q.Cursor, 1<<63-1)
	if err != nil {
		return nil, "", err
	}
	err = s.read(ctx, func(c *conn) error {
		page, next, err = s.requests(ctx, c, q, below)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("requests: %w", err)
	}
	return page, next, nil
}

func (s *Store) requests(ctx context.Context, c *conn, q store.RequestQuery, below int64) (page []store.RequestSummary, next string, err error) {
	from := source{q.Workspace, q.Integration, q.Webhook, q.Connector}
	sources := s.sources.matching(from)
	outcome, ok := outcomeCode(q.Outcome)
	if q.Outcome != "" && !ok || sources != nil && len(sources) == 0 {
		return nil, "", nil
	}
	if q.Text != "" {
		r, err := c.one(ctx, "SELECT id FROM requests WHERE request = ?", q.Text)
		if err != nil {
			return nil, "", err
		}
		if r != nil { // that one alone
			id := r.int(0)
			if id >= below {
				return nil, "", nil
			}
			q.Text = ""
			page, _, err := s.requestsIn(ctx, c, &effort{}, q, sources, outcome, block{oldest: -1 << 63, newest: 1<<63 - 1}, id, id, 1)
			return page, "", err
		}
	}
	limit := store.PageLimit(q.Limit)
	e := &effort{}
	keep := func(b *block) bool {
		return b.may(q.After, q.Before) && (q.Outcome == "" || b.outcomes>>outcome&1 == 1)
	}
	at, err := s.scan(ctx, c, e, newestFirst, blockOf(below-1), keep, from.asks(q.Outcome), func(b block) (bool, error) {
		lo, hi := b.id<<blockBits, min((b.id+1)<<blockBits-1, below-1)
		for lo <= hi {
			found, reached, err := s.requestsIn(ctx, c, e, q, sources, outcome, b, lo, hi, limit-len(page))
			if err != nil {
				return false, err
			}
			page = append(page, found...)
			below, hi = reached, reached-1
			if len(page) == limit || e.spent() {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return nil, "", err
	}
	if at < 0 {
		return page, "", nil
	}
	// Blocks between the last that was opened and this one had nothing.
	below = min(below, (at+1)<<blockBits)
	if below <= 1 || !s.more(below-1, keep) {
		return page, "", nil
	}
	return page, "r" + strconv.FormatInt(below, 10), nil
}

// more says whether there is a block for the rest of a list.
func (s *Store) more(id int64, keep func(*block) bool) bool {
	bs := s.blocks.below(blockOf(id), 1, keep)
	return len(bs) > 0
}

// textStep is how many requests are searched for a text at once.
const textStep = 64

// requestsIn returns up to limit requests between two numbers of a block, newest
// first, and the number down to which it looked.
func (s *Store) requestsIn(ctx context.Context, c *conn, e *effort, q store.RequestQuery, sources map[int64]bool, outcome int64, b block, lo, hi int64, limit int) (page []store.RequestSummary, reached int64, err error) {
	// Which, from what the rows hold themselves.
	var ids []int64
	reached = lo
	most := limit
	if q.Text != "" {
		most = textStep
	}
	inside, anyStatus := b.within(q.After, q.Before), q.MinStatus == 0 && q.MaxStatus == 0
	after, before := q.After.UnixNano(), q.Before.UnixNano()
	if err := c.query(ctx, "SELECT id, source, outcome, received, status FROM requests WHERE id BETWEEN ? AND ? ORDER BY id DESC", func(r row) bool {
		e.rows++
		id, at := r.int(0), r.int(3)
		if (sources == nil || sources[r.int(1)]) && (q.Outcome == "" || outcome == r.int(2)) &&
			(anyStatus || q.MinStatus <= int(r.int(4)) && int(r.int(4)) <= q.MaxStatus) &&
			(inside || (q.After.IsZero() || at >= after) && (q.Before.IsZero() || at < before)) {
			ids = append(ids, id)
			if len(ids) == most {
				reached = id
				return false
			}
		}
		return true
	}, lo, hi); err != nil {
		return nil, 0, err
	}
	if q.Text != "" && len(ids) > 0 {
		found, err := s.containing(ctx, c, e, ids, []byte(q.Text))
		if err != nil {
			return nil, 0, err
		}
		if len(found) >= limit {
			found = found[:limit]
			reached = found[limit-1]
		}
		ids = found
	}
	for _, id := range ids {
		r, err := c.one(ctx, "SELECT request, source, outcome, status, received, took, method, path, body_size, events, deliveries FROM requests WHERE id = ?", id)
		if err != nil {
			return nil, 0, err
		}
		if r == nil {
			continue // swept since
		}
		from, _ := s.sources.get(r.int(1))
		sum := store.RequestSummary{
			ID: r.text(0), Workspace: from.workspace, Integration: from.integration, Webhook: from.webhook, Connector: from.connector,
			Method: r.text(6), Path: r.text(7), Outcome: nth(outcomes[:], r.int(2)), Status: int(r.int(3)), ReceivedAt: fromNano(r.int(4)),
			HandlerTime: time.Duration(r.int(5)), BodySize: int(r.int(8)), Events: int(r.int(9)), Deliveries: int(r.int(10)),
		}
		if bb, ok := s.blocks.get(blockOf(id)); ok && bb.dead > 0 && sum.Deliveries > 0 {
			first, last := span(id)
			n, err := c.number("SELECT count(*) FROM deliveries INDEXED BY deliveries_dead WHERE state = 3 AND id BETWEEN ? AND ?", first, last)
			if err != nil {
				return nil, 0, err
			}
			sum.Dead = int(n)
		}
		page = append(page, sum)
	}
	return page, reached, nil
}

// containing returns those of the requests (newest first) in which a text occurs.
func (s *Store) containing(ctx context.Context, c *conn, e *effort, ids []int64, text []byte) (found []int64, err error) {
	newest, oldest := ids[0], ids[len(ids)-1]
	has := map[int64]bool{}
	first, _ := span(oldest)
	_, last := span(newest)
	if err := c.query(ctx, "SELECT id >> 20, selector FROM events WHERE id BETWEEN ? AND ?", func(r row) bool {
		e.rows++
		if strings.Contains(r.text(1), string(text)) {
			has[r.int(0)] = true
		}
		return true
	}, first, last); err != nil {
		return nil, err
	}
	look := func(r row) bool {
		id := r.int(0)
		body, _ := unpack(r.blob(3), r.int(4)) // one that cannot be unpacked is reported when the request is asked for
		e.rows += rowsOfText
		e.bytes += len(body)
		if strings.Contains(r.text(1), string(text)) || strings.Contains(r.text(2), string(text)) || bytes.Contains(body, text) {
			has[id] = true
		}
		return true
	}
	const query = "SELECT r.id, r.request, r.path, c.body, c.packed FROM requests r CROSS JOIN contents c ON c.id = r.id WHERE r.id "
	if newest-oldest < 2*int64(len(ids)) { // one statement for all, where most of them are wanted
		if err := c.query(ctx, query+"BETWEEN ? AND ?", look, oldest, newest); err != nil {
			return nil, err
		}
	} else {
		for _, id := range ids {
			if has[id] {
				continue
			}
			if err := c.query(ctx, query+"= ?", look, id); err != nil {
				return nil, err
			}
		}
	}
	for _, id := range ids {
		if has[id] {
			found = append(found, id)
		}
	}
	return found, nil
}

func (s *Store) Deliveries(ctx context.Context, q store.DeliveryQuery) (page []*hook.Delivery, next string, err error) {
	order, kind, start := int64(newestFirst), "d", int64(1<<63-1)
	if q.Oldest {
		order, kind, start = oldestFirst, "o", 0
	}
	at, err := cursor(kind, q.Cursor, start)
	if err != nil {
		return nil, "", err
	}
	err = s.read(ctx, func(c *conn) error {
		page, next, err = s.deliveries(ctx, c, q, order, at)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("deliveries: %w", err)
	}
	return page, next, nil
}

// deliveryFilter is the part of a list of deliveries that SQL checks.
type deliveryFilter struct {
	where            string
	args             []driver.Value
	events, requests bool // tables it needs besides
}

func (f *deliveryFilter) and(condition string, args ...driver.Value) {
	f.where += " AND " + condition
	f.args = append(f.args, args...)
}

func (s *Store) deliveries(ctx context.Context, c *conn, q store.DeliveryQuery, order, at int64) (page []*hook.Delivery, next string, err error) {
	var f deliveryFilter
	var asked []uint64
	first, last := int64(1), int64(1<<63-2)
	keep := func(b *block) bool { return b.deliveries > 0 && b.may(q.After, q.Before) }
	if q.Subscription != "" {
		sub, err := subscriptionID(ctx, c, q.Subscription)
		if err != nil || sub == 0 {
			return nil, "", err
		}
		f.and("d.subscription = ?", sub)
		asked = append(asked, hash('s', q.Subscription))
	}
	if q.State != "" {
		state, ok := stateCode(q.State)
		if !ok {
			return nil, "", nil
		}
		if state == pending {
			f.and("d.state IN (0, 4)")
		} else {
			f.and("d.state = ?", state)
		}
		any := keep
		switch state {
		case pending, waiting:
			keep = func(b *block) bool { return b.open > 0 && any(b) }
		case dead:
			keep = func(b *block) bool { return b.dead > 0 && any(b) }
		case done:
			keep = func(b *block) bool { return b.deliveries > b.open+b.dead && any(b) }
		}
	}
	if prefix, ok := strings.CutSuffix(q.Selector, "**"); ok {
		if prefix != "" {
			f.events = true
			f.and("e.selector >= ?", prefix)
			if end := prefixEnd(prefix); end != "" {
				f.and("e.selector < ?", end)
			}
			asked = append(asked, asksPrefix(prefix)...)
		}
	} else if q.Selector != "" {
		f.events = true
		f.and("e.selector = ?", q.Selector)
		asked = append(asked, hash('e', q.Selector))
	}
	if q.RequestID != "" {
		r, err := c.one(ctx, "SELECT id FROM requests WHERE request = ?", q.RequestID)
		if err != nil || r == nil {
			return nil, "", err
		}
		first, last = span(r.int(0))
		of := blockOf(r.int(0))
		any := keep
		keep = func(b *block) bool { return b.id == of && any(b) }
		asked = nil
	}
	// What is left: the ids from lo to hi.
	lo, hi := first, min(last, at-1)
	if order == oldestFirst {
		lo, hi = max(first, at+1), last
	}
	if lo > hi {
		return nil, "", nil
	}
	edge := func() int64 { // where to go on
		if order == oldestFirst {
			return lo
		}
		return hi
	}
	limit := store.PageLimit(q.Limit)
	e := &effort{}
	goOn, err := s.scan(ctx, c, e, order, blockOfDelivery(edge()), keep, asked, func(b block) (bool, error) {
		from, to := max(b.id<<(numberBits+blockBits), lo), min((b.id+1)<<(numberBits+blockBits)-1, hi)
		for from <= to {
			found, reached, err := s.deliveriesIn(ctx, c, e, q, f, b, order, from, to, limit-len(page))
			if err != nil {
				return false, err
			}
			page = append(page, found...)
			if order == oldestFirst {
				from = reached + 1
				lo = from
			} else {
				to = reached - 1
				hi = to
			}
			if len(page) == limit || e.spent() {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil || goOn < 0 {
		return page, "", err
	}
	// Blocks between the last that was opened and this one had nothing.
	if order == oldestFirst {
		lo = max(lo, goOn<<(numberBits+blockBits))
		next = "o" + strconv.FormatInt(lo-1, 10)
	} else {
		hi = min(hi, (goOn+1)<<(numberBits+blockBits)-1)
		next = "d" + strconv.FormatInt(hi+1, 10)
	}
	if lo > hi || len(s.blocks.next(order, blockOfDelivery(edge()), 1, keep)) == 0 {
		next = ""
	}
	return page, next, nil
}

// prefixEnd returns the first string after all that have the prefix; "" when there is none.
func prefixEnd(prefix string) string {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return string(b[:i+1])
		}
	}
	return ""
}

// deliveriesStep is how many deliveries are looked at in one statement, which
// matters where one event has very many.
const deliveriesStep = 4096

// deliveriesIn returns up to limit deliveries between two ids of a block, in an
// order, and the id up (or down) to which it looked.
func (s *Store) deliveriesIn(ctx context.Context, c *conn, e *effort, q store.DeliveryQuery, f deliveryFilter, b block, order, lo, hi int64, limit int) (page []*hook.Delivery, reached int64, err error) {
	direction := ""
	reached = hi
	if order == newestFirst {
		direction = " DESC"
		reached = lo
	}
	rows := int(b.deliveries)
	if b.deliveries > deliveriesStep {
		rows = deliveriesStep
		r, err := c.one(ctx, "SELECT id FROM deliveries WHERE id BETWEEN ? AND ? ORDER BY id"+direction+" LIMIT 1 OFFSET ?", lo, hi, int64(deliveriesStep-1))
		if err != nil {
			return nil, 0, err
		}
		if r != nil {
			reached = r.int(0)
		}
	}
	if !b.within(q.After, q.Before) {
		f.requests = true
		if !q.After.IsZero() {
			f.and("r.received >= ?", q.After.UnixNano())
		}
		if !q.Before.IsZero() {
			f.and("r.received < ?", q.Before.UnixNano())
		}
	}
	query := "SELECT d.id FROM deliveries d"
	if f.requests {
		query += " CROSS JOIN requests r ON r.id = d.id >> 20"
	}
	if f.events {
		query += " CROSS JOIN events e ON e.id = (d.id >> 20 << 20) | d.event"
	}
	query += " WHERE d.id BETWEEN ? AND ?" + f.where + " ORDER BY d.id" + direction + " LIMIT ?"
	if order == newestFirst {
		lo = reached
	} else {
		hi = reached
	}
	args := append([]driver.Value{lo, hi}, f.args...)
	var ids []int64
	if err := c.query(ctx, query, func(r row) bool { ids = append(ids, r.int(0)); return true }, append(args, int64(limit))...); err != nil {
		return nil, 0, err
	}
	if len(ids) == limit {
		reached = ids[limit-1]
	}
	e.rows += rows + len(ids)
	for _, id := range ids {
		r, err := c.one(ctx, selectEntry, id)
		if err != nil {
			return nil, 0, err
		}
		if r != nil {
			page = append(page, s.decodeDelivery(r))
		}
	}
	return page, reached, nil
}

func (s *Store) Backlog(ctx context.Context, subscription string, most int) (b store.Backlog, err error) {
	err = s.read(ctx, func(c *conn) error {
		sub, err := subscriptionID(ctx, c, subscription)
		if err != nil || sub == 0 {
			return err
		}
		b.Open = min(s.leases.countUnlisted(sub), most)
		for _, count := range [...]struct {
			into  *int
			query string
		}{
			{&b.Open, "SELECT count(*) FROM (SELECT 1 FROM deliveries INDEXED BY deliveries_due WHERE subscription = ? AND state = 0 LIMIT ?)"},
			{&b.Open, "SELECT count(*) FROM (SELECT 1 FROM deliveries INDEXED BY deliveries_lane WHERE subscription = ? AND lane IS NOT NULL AND state < 2 AND state = 1 LIMIT ?)"},
			{&b.Dead, "SELECT count(*) FROM (SELECT 1 FROM deliveries INDEXED BY deliveries_dead_of WHERE subscription = ? AND state = 3 LIMIT ?)"},
		} {
			n, err := c.number(count.query, sub, int64(most))
			if err != nil {
				return err
			}
			*count.into = min(*count.into+int(n), most)
		}
		return nil
	})
	if err != nil {
		return b, fmt.Errorf("backlog of %s: %w", subscription, err)
	}
	return b, nil
}

func (s *Store) Changes(ctx context.Context, from string, limit int) (page []store.Change, next string, err error) {
	below, err := cursor("c", from, 1<<63-1)
	if err != nil {
		return nil, "", err
	}
	limit = store.PageLimit(limit)
	err = s.read(ctx, func(c *conn) error {
		last := int64(0)
		return c.query(ctx, "SELECT id, at, action, target, detail, remote, agent FROM changes WHERE id < ? ORDER BY id DESC LIMIT ?", func(r row) bool {
			if len(page) == limit {
				next = "c" + strconv.FormatInt(last, 10)
				return false
			}
			last = r.int(0)
			page = append(page, store.Change{At: fromNano(r.int(1)), Action: r.text(2), Target: r.text(3), Detail: r.text(4), Remote: r.text(5), Agent: r.text(6)})
			return true
		}, below, int64(limit+1))
	})
	if err != nil {
		return nil, "", fmt.Errorf("changes: %w", err)
	}
	return page, next, nil
}

func (s *Store) Stats(ctx context.Context) (st store.Stats, err error) {
	err = s.read(ctx, func(c *conn) error {
		sum := s.blocks.totals()
		st = store.Stats{Requests: sum.requests, Events: sum.events, Pending: sum.open, Dead: sum.dead, Bytes: s.bytesOnDisk()}
		r, err := c.one(ctx, "SELECT received FROM requests ORDER BY id LIMIT 1")
		if err != nil {
			return err
		}
		if r != nil {
			st.OldestRequest = fromNano(r.int(0))
		}
		for _, b := range s.blocks.above(0, 1, func(b *block) bool { return b.open > 0 }) {
			r, err := c.one(ctx, `SELECT r.received FROM deliveries d CROSS JOIN requests r ON r.id = d.id >> 20
				WHERE d.id BETWEEN ? AND ? AND d.state IN (0, 1, 4) ORDER BY d.id LIMIT 1`, b.id<<(numberBits+blockBits), (b.id+1)<<(numberBits+blockBits)-1)
			if err != nil {
				return err
			}
			if r != nil {
				st.OldestPending = fromNano(r.int(0))
			}
		}
		return nil
	})
	if err != nil {
		return store.Stats{}, fmt.Errorf("stats: %w", err)
	}
	return st, nil
}
