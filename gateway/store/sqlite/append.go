package sqlite

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"switchhook/gateway/hook"
	"switchhook/gateway/store"
)

// keptResponse is how much of a response is kept.
const keptResponse = 4096

// run is what a record adds to a request: made ready by the caller, so that the
// writer has less to do, and told the caller when it is committed.
type run struct {
	rec     *hook.Record
	events  []runEvent
	eventOf []int // of each delivery, the place of its event
	extra   any
	size    int64
	body    packed // of the request; Append only

	// results, of the last time it was written
	duplicate  []bool
	deliveries []runDelivery
	queued     []runDelivery // pending and not leased
}

type runEvent struct {
	off     any    // int64 place in the body, or nil
	payload packed // where off is nil
}

// release ends the use of what was packed for the writer.
func (r *run) release() {
	r.body.release()
	for i := range r.events {
		r.events[i].payload.release()
	}
}

type runDelivery struct {
	kept    bool
	id, due int64
	sub     int64
	state   int64
}

// prepare checks a record and encodes what the writer need not. body is that of the stored request.
func prepare(rec *hook.Record, body []byte) (*run, error) {
	r := &run{rec: rec, events: make([]runEvent, len(rec.Events)), eventOf: make([]int, len(rec.Deliveries))}
	for i, e := range rec.Events {
		end := e.BodyOffset + len(e.Payload)
		if e.FromBody && e.BodyOffset >= 0 && end <= len(body) && bytes.Equal(body[e.BodyOffset:end], e.Payload) {
			r.events[i].off = int64(e.BodyOffset)
		} else {
			r.events[i].payload = pack(e.Payload)
			r.size += int64(len(r.events[i].payload.data))
		}
		r.size += 256
	}
	at := 0 // deliveries mostly come in the order of their events
	for i, d := range rec.Deliveries {
		if at >= len(rec.Events) || d.Event != rec.Events[at] {
			if at = slices.Index(rec.Events, d.Event); at < 0 || d.Event == nil {
				return nil, fmt.Errorf("delivery %d is of none of the record's events", i)
			}
		}
		r.eventOf[i] = at
	}
	r.size += 256 * int64(len(rec.Deliveries))
	if len(rec.Events) > store.MaxPerRequest || len(rec.Deliveries) > store.MaxPerRequest {
		return nil, tooMany
	}
	var err error
	if r.extra, err = encodeExtra(rec); err != nil {
		return nil, err
	}
	return r, nil
}

func (s *Store) Append(ctx context.Context, rec *hook.Record) error {
	return s.call(func() error {
		if err := s.append(ctx, rec); err != nil {
			return fmt.Errorf("append request %s: %w", rec.Request.ID, err)
		}
		return nil
	})
}

func (s *Store) append(ctx context.Context, rec *hook.Record) error {
	req := rec.Request
	r, err := prepare(rec, req.Body)
	if err != nil {
		return err
	}
	defer r.release()
	r.body = pack(req.Body)
	outcome, ok := outcomeCode(rec.Outcome)
	if !ok {
		return fmt.Errorf("outcome %q", rec.Outcome)
	}
	headers, responseHeaders := encodeHeaders(req.Headers), encodeHeaders(rec.Response.Headers)
	responseBody := rec.Response.Body[:min(len(rec.Response.Body), keptResponse)]
	from := source{req.Workspace, req.Integration, req.Webhook, req.Connector}
	received := req.ReceivedAt.UnixNano()
	var trace string
	for _, d := range rec.Deliveries {
		if trace = d.TraceParent; trace != "" {
			break
		}
	}
	err = s.write(ctx, int64(len(r.body.data)+len(headers)+1024)+r.size, func(tx *tx) error {
		src, err := tx.source(from)
		if err != nil {
			return err
		}
		s.lastRequest++
		id := s.lastRequest
		// First of all, since it tells whether the id is new.
		if _, err := tx.exec("INSERT INTO requests VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			id, req.ID, src.id, outcome, int64(rec.Response.Status), received, int64(rec.HandlerTime), req.Method, req.Path,
			int64(len(req.Body)), int64(len(rec.Events)), int64(len(rec.Deliveries)), nullable(trace)); err != nil {
			if isConstraint(err) {
				return refuse(store.ErrConflict)
			}
			return err
		}
		if _, err := tx.exec("INSERT INTO contents VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			id, req.URL, nullable(req.Query), nullable(req.RemoteAddr), headers, nullable(rec.Verified),
			responseHeaders, responseBody, r.extra, r.body.data, r.body.form); err != nil {
			return err
		}
		m := s.marksOf(blockOf(id))
		made, err := tx.add(r, id, 0, 0, src.hook, m)
		if err != nil {
			return err
		}
		if made != int64(len(rec.Deliveries)) { // those of duplicates were left out
			if _, err := tx.exec("UPDATE requests SET deliveries = ? WHERE id = ?", made, id); err != nil {
				return err
			}
		}
		tx.tally(tally{block: blockOf(id), requests: 1, received: received, outcomes: 1 << outcome})
		m.request(from, rec.Outcome)
		return nil
	})
	if err != nil {
		return err
	}
	s.tell(r)
	return nil
}

func (s *Store) ReplayRecord(ctx context.Context, rec *hook.Record) error {
	return s.call(func() error {
		if err := s.replayRecord(ctx, rec); err != nil {
			return fmt.Errorf("replay request %s: %w", rec.Request.ID, err)
		}
		return nil
	})
}

func (s *Store) replayRecord(ctx context.Context, rec *hook.Record) error {
	r, err := prepare(rec, rec.Request.Body)
	if err != nil {
		return err
	}
	defer r.release()
	outcome, ok := outcomeCode(rec.Outcome)
	if !ok {
		return fmt.Errorf("outcome %q", rec.Outcome)
	}
	var trace string
	for _, d := range rec.Deliveries {
		if trace = d.TraceParent; trace != "" {
			break
		}
	}
	err = s.write(ctx, 1024+r.size, func(tx *tx) error {
		old, err := tx.one(context.Background(), `SELECT r.id, r.source, r.outcome, r.events, r.deliveries, r.body_size
			FROM requests r WHERE r.request = ?`, rec.Request.ID)
		if err != nil {
			return err
		}
		if old == nil {
			return refuse(store.ErrNotFound)
		}
		id, events, deliveries := old.int(0), old.int(3), old.int(4)
		if old.int(5) != int64(len(rec.Request.Body)) {
			// The offsets are those of another body: keep the payloads themselves.
			for i, e := range rec.Events {
				r.events[i].payload.release()
				r.events[i] = runEvent{payload: pack(e.Payload)}
			}
		}
		first, last := span(id)
		fresh := map[string]bool{}
		for _, e := range rec.Events {
			fresh[e.ID] = true
		}
		clash := ""
		if err := tx.query(context.Background(), "SELECT event FROM events WHERE id BETWEEN ? AND ?", func(row row) bool {
			if fresh[row.text(0)] {
				clash = row.text(0)
			}
			return clash == ""
		}, first, last); err != nil {
			return err
		}
		if clash != "" {
			return refuse(fmt.Errorf("event %s: %w", clash, store.ErrConflict))
		}
		from, ok := s.sources.get(old.int(1))
		if !ok {
			return fmt.Errorf("source %d is missing", old.int(1))
		}
		src, err := tx.source(from)
		if err != nil {
			return err
		}
		if events+int64(len(rec.Events)) > store.MaxPerRequest || deliveries+int64(len(rec.Deliveries)) > store.MaxPerRequest {
			return refuse(tooMany)
		}
		m := marks{} // the block may be stored already
		made, err := tx.add(r, id, events, deliveries, src.hook, m)
		if err != nil {
			return err
		}
		if _, err := tx.exec("UPDATE requests SET outcome = ?, took = ?, events = ?, deliveries = ?, trace = coalesce(trace, ?) WHERE id = ?",
			outcome, int64(rec.HandlerTime), events+int64(len(rec.Events)), deliveries+made, nullable(trace), id); err != nil {
			return err
		}
		if _, err := tx.exec("UPDATE contents SET extra = ? WHERE id = ?", r.extra, id); err != nil {
			return err
		}
		m.request(from, rec.Outcome)
		if err := tx.tallyStored(tally{block: blockOf(id), outcomes: 1 << outcome}); err != nil {
			return err
		}
		return tx.remark(blockOf(id), m)
	})
	if err != nil {
		return err
	}
	s.tell(r)
	return nil
}

var tooMany = fmt.Errorf("more than %d events or deliveries of one request", store.MaxPerRequest)

// add writes the events and deliveries of a run behind those that the request has.
// webhook is the id by which keys are told apart; m takes the marks. It returns how many deliveries it made.
func (tx *tx) add(r *run, request, events, deliveries, webhook int64, m marks) (int64, error) {
	s, rec := tx.s, r.rec
	now := s.now()
	base := request << numberBits
	r.duplicate = append(r.duplicate[:0], make([]bool, len(rec.Events))...)
	r.deliveries = append(r.deliveries[:0], make([]runDelivery, len(rec.Deliveries))...)
	r.queued = r.queued[:0]
	t := tally{block: blockOf(request), events: int64(len(rec.Events))}
	for i, e := range rec.Events {
		var duplicate any
		if e.Key != "" {
			dup, err := tx.seen(rec.Events[:i], e.Key, webhook, request, now)
			if err != nil {
				return 0, err
			}
			if r.duplicate[i] = dup; dup {
				duplicate = int64(1)
			}
		}
		if _, err := tx.exec("INSERT INTO events VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			base|(events+int64(i)+1), e.ID, nullable(e.Key), e.Selector, nullable(e.Type), duplicate,
			r.events[i].off, int64(len(e.Payload)), r.events[i].payload.data, r.events[i].payload.form); err != nil {
			return 0, err
		}
		m.selector(e.Selector)
	}
	made := int64(0)
	for i, d := range rec.Deliveries {
		e := rec.Events[r.eventOf[i]]
		if r.duplicate[r.eventOf[i]] {
			continue
		}
		sub, err := tx.subscription(d.Subscription)
		if err != nil {
			return 0, err
		}
		made++
		rd := runDelivery{kept: true, id: base | (deliveries + made), sub: sub, state: pending, due: now.UnixNano()}
		if !d.DueAt.IsZero() {
			rd.due = d.DueAt.UnixNano()
		}
		var lane any
		if d.Ordered {
			lane = e.Selector
			busy, err := tx.number("SELECT 1 FROM deliveries WHERE subscription = ? AND lane = ? AND state < 2 LIMIT 1", sub, e.Selector)
			if err != nil {
				return 0, err
			}
			if busy == 1 {
				rd.state = waiting
			}
		}
		var due any
		if rd.state == pending {
			due = rd.due
			if rd.due <= now.UnixNano() {
				// Whether an ordered one holds up others is looked up among those that are listed.
				if tx.lease(sub, rd.id, rd.due, !d.Ordered) {
					rd.state = unlisted
				}
			} else {
				r.queued = append(r.queued, rd)
			}
		}
		if _, err := tx.exec("INSERT INTO deliveries VALUES(?, ?, ?, ?, ?, 0, 0, ?)",
			rd.id, events+int64(r.eventOf[i])+1, sub, rd.state, due, lane); err != nil {
			return 0, err
		}
		m.subscription(d.Subscription)
		r.deliveries[i] = rd
	}
	t.deliveries, t.open = made, made
	return made, tx.tallyStored(t)
}

// seen says whether an event of that key is a duplicate, and remembers the key
// when it is not. Keys of earlier runs of the same request do not count, those of
// earlier events of this run do.
func (tx *tx) seen(before []*hook.Event, key string, webhook, request int64, now time.Time) (bool, error) {
	old, err := tx.one(context.Background(), "SELECT at, request FROM keys WHERE source = ? AND key = ?", webhook, key)
	if err != nil {
		return false, err
	}
	if old != nil && now.UnixNano()-old.int(0) < int64(tx.s.window) {
		mine := old.int(1) == request && !slices.ContainsFunc(before, func(e *hook.Event) bool { return e.Key == key })
		if !mine {
			return true, nil
		}
	}
	_, err = tx.exec("INSERT INTO keys VALUES(?, ?, ?, ?) ON CONFLICT DO UPDATE SET at = excluded.at, request = excluded.request",
		webhook, key, now.UnixNano(), request)
	return false, err
}

// tell sets in the record what its contract promises, after the commit.
func (s *Store) tell(r *run) {
	rec := r.rec
	for i, e := range rec.Events {
		e.Duplicate = r.duplicate[i]
	}
	kept := rec.Deliveries[:0]
	for i, d := range rec.Deliveries {
		rd := r.deliveries[i]
		if !rd.kept {
			continue
		}
		d.ID, d.State, d.Attempts = deliveryID(rd.id), states[rd.state], 0
		if rd.state == waiting {
			d.DueAt = time.Time{}
		} else if d.DueAt.IsZero() {
			d.DueAt = fromNano(rd.due)
		}
		kept = append(kept, d)
	}
	clear(rec.Deliveries[len(kept):])
	rec.Deliveries = kept
	for _, rd := range r.queued {
		s.leases.placed(rd.sub, rd.id, rd.due)
	}
}

// source is a webhook of an integration.
type source struct {
	workspace, integration, webhook, connector string
}

// sourceID are the ids of a source: its own, and that of the first with the same webhook.
type sourceID struct{ id, hook int64 }

// source returns the ids of a source, and makes them for a new one.
func (tx *tx) source(from source) (sourceID, error) {
	ss := &tx.s.sources
	if ss.stale {
		if err := ss.load(tx.conn); err != nil {
			return sourceID{}, err
		}
	}
	if id, ok := ss.id(from); ok {
		return id, nil
	}
	id, err := tx.number("SELECT coalesce(max(id), 0) + 1 FROM sources")
	if err != nil {
		return sourceID{}, err
	}
	if _, err := tx.exec("INSERT INTO sources VALUES(?, ?, ?, ?, ?)", id, from.workspace, from.integration, from.webhook, from.connector); err != nil {
		return sourceID{}, err
	}
	return ss.add(id, from), nil
}

// maxSubIDs bounds the cache of subscriptions' ids.
const maxSubIDs = 1 << 17

// subscription returns the id of a subscription's name, and makes one for a new name.
func (tx *tx) subscription(name string) (int64, error) {
	s := tx.s
	if id, ok := s.subIDs[name]; ok {
		return id, nil
	}
	row, err := tx.one(context.Background(), "SELECT id, deleted FROM subscriptions WHERE name = ?", name)
	if err != nil {
		return 0, err
	}
	var id int64
	if row != nil {
		id = row.int(0)
		if !row.null(1) {
			// used again after it was deleted: its row is not to be swept
			if _, err := tx.exec("UPDATE subscriptions SET deleted = NULL WHERE id = ?", id); err != nil {
				return 0, err
			}
		}
	} else {
		if id, err = tx.number("SELECT coalesce(max(id), 0) + 1 FROM subscriptions"); err != nil {
			return 0, err
		}
		if _, err := tx.exec("INSERT INTO subscriptions(id, name) VALUES(?, ?)", id, name); err != nil {
			return 0, err
		}
	}
	if len(s.subIDs) >= maxSubIDs {
		clear(s.subIDs)
	}
	s.subIDs[name] = id
	return id, nil
}
