package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"switchhook/gateway/store"
)

// Bounds of one transaction: enough that a sync is shared by all who wait, not
// so much that the first waits long for the last.
const (
	maxBatchOps   = 512
	maxBatchBytes = 16 << 20
)

// op is one write that somebody waits for.
type op struct {
	// run does it within a transaction. It may run again in another one, when
	// the first was rolled back on account of a neighbour; so it keeps nothing
	// of an earlier run. When it fails without having written, the transaction
	// goes on without it, see refuse.
	run  func(*tx) error
	size int64
	done chan error

	// state decides between the writer, which takes it, and a caller that gives up.
	state atomic.Int32
}

const (
	opQueued = iota
	opTaken
	opWithdrawn
)

// refusal is an error of an op that has written nothing.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

func refuse(err error) error { return refusal{err} }

// tx is the transaction that is being made. What an op wants done in memory it
// leaves here, to be done when all is committed.
type tx struct {
	*conn
	s       *Store
	tallies []tally
	leased  []int64
	after   []func()
}

func (tx *tx) tally(t tally) { tx.tallies = append(tx.tallies, t) }

// lease takes a lease before anybody can see the delivery.
func (tx *tx) lease(sub, id, due int64) {
	tx.s.leases.take(sub, id, due)
	tx.leased = append(tx.leased, id)
}

// undo forgets what was left since then.
func (tx *tx) undo(tallies, leased, after int) {
	for _, id := range tx.leased[leased:] {
		tx.s.leases.drop(id)
	}
	tx.tallies, tx.leased, tx.after = tx.tallies[:tallies], tx.leased[:leased], tx.after[:after]
}

// queueOfOps is what waits for the writer.
type queueOfOps struct {
	mu     sync.Mutex
	ops    []*op
	closed bool
	wake   chan struct{}
}

func (q *queueOfOps) put(o *op) bool {
	q.mu.Lock()
	closed := q.closed
	if !closed {
		q.ops = append(q.ops, o)
	}
	q.mu.Unlock()
	if !closed {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	return !closed
}

// take moves the next batch to into.
func (q *queueOfOps) take(into []*op) []*op {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, int64(0)
	for n < len(q.ops) && n < maxBatchOps && (n == 0 || size+q.ops[n].size <= maxBatchBytes) {
		o := q.ops[n]
		n++
		if o.state.CompareAndSwap(opQueued, opTaken) {
			size += o.size
			into = append(into, o)
		}
	}
	if rest := copy(q.ops, q.ops[n:]); rest < len(q.ops) {
		clear(q.ops[rest:])
		q.ops = q.ops[:rest]
	}
	return into
}

func (q *queueOfOps) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
}

// write has the writer run something in a transaction, and returns when it is
// durable or has failed. When ctx ends before the writer took it, nothing is written.
func (s *Store) write(ctx context.Context, size int64, run func(*tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if f := s.fault.Load(); f != nil && !f.due(time.Now()) {
		return f.err
	}
	o := &op{run: run, size: size, done: make(chan error, 1)}
	if !s.queue.put(o) {
		return store.ErrClosed
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		if o.state.CompareAndSwap(opQueued, opWithdrawn) {
			return ctx.Err()
		}
		return <-o.done
	}
}

// fault is why the store takes no writes.
type fault struct {
	err error
	// full: there may be room again; tried is when that was last seen not to be so.
	full  bool
	tried time.Time
}

// probeInterval is how often a full disk is tried again.
const probeInterval = time.Second

func (f *fault) due(now time.Time) bool { return f.full && now.Sub(f.tried) >= probeInterval }

// fail notes an error after which the store takes no writes, and returns what callers are told.
// It never makes a broken store merely full.
func (s *Store) fail(doing string, err error) error {
	f := &fault{full: gradeOf(err) == ofDisk, tried: time.Now()}
	if f.full {
		f.err = fmt.Errorf("%s: %w: %w", doing, store.ErrFull, err)
	} else {
		f.err = fmt.Errorf("%s: %w: %w", doing, store.ErrBroken, err)
	}
	for {
		old := s.fault.Load()
		if old != nil && !old.full {
			return old.err
		}
		if s.fault.CompareAndSwap(old, f) {
			if old == nil || !f.full {
				s.log.Error("the store takes no writes", "err", f.err)
			}
			return f.err
		}
	}
}

// recovered ends a fault that was a full disk.
func (s *Store) recovered() {
	if f := s.fault.Load(); f != nil && f.full && s.fault.CompareAndSwap(f, nil) {
		s.log.Info("the store takes writes again, there is room on the disk")
	}
}

// runWriter commits what is queued until the queue is closed and empty.
func (s *Store) runWriter() {
	defer close(s.writerDone)
	probe := time.NewTicker(probeInterval)
	defer probe.Stop()
	var batch []*op
	for {
		// Whoever is about to write comes along. Without this the scheduler lets the writer and
		// the caller it answered last take turns, while all others wait for their 10 ms.
		runtime.Gosched()
		batch = s.queue.take(batch[:0])
		if len(batch) > 0 {
			if !s.gate.TryLock() { // a checkpoint holds it
				t := time.Now()
				s.gate.Lock()
				s.stall.Store(max(s.stall.Load(), int64(time.Since(t))))
			}
			s.commit(batch)
			s.gate.Unlock()
			clear(batch)
			continue
		}
		select {
		case <-s.queue.wake:
		case <-probe.C:
			if f := s.fault.Load(); f != nil && f.due(time.Now()) {
				s.gate.Lock()
				s.probe()
				s.gate.Unlock()
			}
		case <-s.stop:
			s.queue.mu.Lock()
			empty := len(s.queue.ops) == 0
			s.queue.mu.Unlock()
			if empty {
				return
			}
		}
	}
}

// probe tries whether there is room for a small transaction again, after what is in the
// WAL was moved, which makes room in it.
func (s *Store) probe() {
	s.w.script("PRAGMA wal_checkpoint(PASSIVE)") //nolint:errcheck // the write below tells
	tx := &tx{conn: s.w, s: s}
	err := tx.begin()
	if err == nil {
		_, err = tx.exec("INSERT INTO meta VALUES('probe', 1) ON CONFLICT DO UPDATE SET value = value + 1")
	}
	if err == nil {
		err = tx.commitNow()
	}
	if err != nil {
		tx.rollback()
		s.fail("trying whether there is room", err)
		return
	}
	s.recovered()
}

func (tx *tx) begin() error {
	_, err := tx.exec("BEGIN IMMEDIATE")
	return err
}

// commitNow commits, and notes how far the WAL is.
func (tx *tx) commitNow() error {
	if _, err := tx.exec("COMMIT"); err != nil {
		return err
	}
	tx.s.committed()
	return nil
}

// rollback ends the transaction. SQLite may have done so itself.
func (tx *tx) rollback() {
	tx.exec("ROLLBACK") //nolint:errcheck // see above
	tx.s.forget()
}

// commit runs a batch in one transaction and tells the callers. In the rare
// case that an op fails after it wrote, all is rolled back and every op gets
// a transaction of its own.
func (s *Store) commit(batch []*op) {
	if f := s.fault.Load(); f != nil && !f.due(time.Now()) {
		answer(batch, f.err)
		return
	}
	errs := make([]error, len(batch))
	tx := &tx{conn: s.w, s: s}
	inOp, err := s.attempt(tx, batch, errs)
	if inOp && gradeOf(err) == ofCall && len(batch) > 1 {
		err = nil
		for i := range batch {
			if err == nil || gradeOf(err) == ofCall {
				_, err = s.attempt(tx, batch[i:i+1], errs[i:i+1])
				if err != nil && gradeOf(err) != ofCall {
					err = s.fail("writing", err)
				}
			}
			if err != nil {
				errs[i] = err
			}
		}
	} else if err != nil {
		if gradeOf(err) != ofCall {
			err = s.fail("writing", err)
		}
		for i := range errs {
			errs[i] = err
		}
	}
	for i, o := range batch {
		o.done <- errs[i]
	}
}

func answer(batch []*op, err error) {
	for _, o := range batch {
		o.done <- err
	}
}

// attempt makes one transaction of the ops. Errors of ops that wrote nothing are
// in errs; any other error is returned, and then nothing was written. inOp: it was an op that failed.
func (s *Store) attempt(tx *tx, batch []*op, errs []error) (inOp bool, err error) {
	defer func() {
		if err != nil {
			tx.undo(0, 0, 0)
			tx.rollback()
		}
	}()
	if err := tx.begin(); err != nil {
		return false, err
	}
	if err := s.closeBlocks(tx); err != nil {
		return false, err
	}
	for i, o := range batch {
		tallies, leased, after := len(tx.tallies), len(tx.leased), len(tx.after)
		errs[i] = nil
		err := o.run(tx)
		if r, ok := errors.AsType[refusal](err); ok {
			errs[i] = r.error
			tx.undo(tallies, leased, after)
			continue
		}
		if err != nil {
			return true, err
		}
	}
	if err := tx.commitNow(); err != nil {
		return false, &commitError{err}
	}
	s.recovered()
	s.blocks.apply(tx.tallies)
	for _, f := range tx.after {
		f()
	}
	tx.tallies, tx.leased, tx.after = tx.tallies[:0], tx.leased[:0], tx.after[:0]
	return false, nil
}

// committed notes how far the WAL is, after a commit.
func (s *Store) committed() {
	p, ok := s.index.read()
	if !ok {
		return
	}
	s.walFrames.Store(p.frames)
	// A mark that cannot be written is a smaller net, not a broken store.
	s.index.note(p.mark) //nolint:errcheck // see above
	s.commits.Add(1)
	if p.frames-p.backfilled >= checkpointFrames {
		select {
		case s.checkpointNow <- struct{}{}:
		default:
		}
	}
}

// forget drops what the writer knows of the database, after a rollback.
func (s *Store) forget() {
	clear(s.subIDs)
	s.sources.stale = true
}
