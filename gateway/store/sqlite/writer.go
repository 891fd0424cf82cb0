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

// Two goroutines write, in turns. While one waits for the disk to sync what it committed, the other makes the next
// transaction, to which it adds what comes in until that sync is done. So the disk and the processors work at the same time,
// and what waits for the disk grows into one transaction.
//
// For this SQLite's own sync in COMMIT is put off (see deferral) and made up for by the goroutine that committed, after it has let the
// other one in; nobody is told before. At any moment at most two transactions are not synced: one whose sync is under
// way, and the one that is made. The second is written to the WAL before the first is known to be durable, which is in
// order since a WAL is recovered from its beginning: the second cannot be there without the first. Checkpoints sync the
// WAL themselves before they move anything to the database.

// writers is how many goroutines write.
const writers = 2

// Bounds of one transaction: enough that a sync is shared by all who wait, not
// so much that the first waits long for the last.
const (
	maxBatchOps   = 512
	maxBatchBytes = 16 << 20
	// maxTaken is how many ops are taken at once, before it is seen whether the disk is free for what is made.
	maxTaken = 32
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

// lease takes a lease before anybody can see the delivery, and says whether that need not be listed.
func (tx *tx) lease(sub, id, due int64, mayBeUnlisted bool) (unlisted bool) {
	tx.leased = append(tx.leased, id)
	return tx.s.leases.takeNew(sub, id, due, mayBeUnlisted)
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
		q.signal()
	}
	return !closed
}

// take moves to a batch what it has room for, up to maxTaken. What is left wakes the next one.
func (q *queueOfOps) take(b *batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for n < min(len(q.ops), maxTaken) && !b.full(q.ops[n].size) {
		o := q.ops[n]
		n++
		if o.state.CompareAndSwap(opQueued, opTaken) {
			b.size += o.size
			b.ops = append(b.ops, o)
		}
	}
	if rest := copy(q.ops, q.ops[n:]); rest < len(q.ops) {
		clear(q.ops[rest:])
		q.ops = q.ops[:rest]
	}
	if len(q.ops) > 0 {
		b.closed = n < maxTaken
		q.signal()
	}
}

// signal wakes a writer.
func (q *queueOfOps) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// batch is what one transaction is made of.
type batch struct {
	ops  []*op
	errs []error // of each op
	size int64
	// closed: there was no room for more
	closed bool
}

// full says whether there is no room for another op.
func (b *batch) full(size int64) bool {
	return len(b.ops) >= maxBatchOps || len(b.ops) > 0 && b.size+size > maxBatchBytes
}

// fail makes err the result of all ops of which it is not known that they failed for a reason of their own.
func (b *batch) fail(err error) {
	for i := range b.errs {
		if b.errs[i] == nil {
			b.errs[i] = err
		}
	}
}

func (b *batch) answer() {
	for i, o := range b.ops {
		o.done <- b.errs[i]
	}
	clear(b.ops)
	clear(b.errs)
	b.ops, b.errs, b.size, b.closed = b.ops[:0], b.errs[:0], 0, false
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

// runWriter commits what is queued, in turns with the other writer, until the queue is closed and empty.
func (s *Store) runWriter() {
	defer s.writing.Done()
	var b batch
	for {
		select {
		case <-s.queue.wake:
			s.turn(&b)
		case <-s.stop:
			for s.turn(&b) {
			}
			return
		}
	}
}

// turn commits what waits, if anything does, and tells the callers.
func (s *Store) turn(b *batch) bool {
	s.gate.Lock()
	// Whoever is about to write comes along. Without this the scheduler lets the writer and
	// the caller that it answered last take turns, and the others wait.
	runtime.Gosched()
	if s.queue.take(b); len(b.ops) == 0 {
		s.gate.Unlock()
		return false
	}
	p, owed := s.commit(b)
	s.gate.Unlock()
	if owed {
		err := syncData(s.wal)
		if err != nil {
			b.fail(s.fail("writing", &commitError{fmt.Errorf("syncing the WAL: %w", err)}))
		} else {
			s.synced(p)
		}
		s.syncing <- struct{}{}
	}
	b.answer()
	return true
}

// synced notes that all is durable up to p. The caller has s.syncing.
func (s *Store) synced(p progress) {
	s.recovered()
	if p.state == markOpen {
		s.index.note(p.mark) //nolint:errcheck // a mark that cannot be written is a smaller net, not a broken store
	}
}

// hold keeps everybody from writing: no transaction is made, and none is unsynced. It returns what lets them go on.
func (s *Store) hold() (release func()) {
	s.gate.Lock()
	<-s.syncing
	began := time.Now()
	return func() {
		s.stall.Store(max(s.stall.Load(), int64(time.Since(began))))
		s.syncing <- struct{}{}
		s.gate.Unlock()
	}
}

// probe tries whether there is room for a small transaction again, after what is in the
// WAL was moved, which makes room in it.
func (s *Store) probe() {
	defer s.hold()()
	if f := s.fault.Load(); f == nil || !f.due(time.Now()) {
		return
	}
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
	}
}

func (tx *tx) begin() error {
	_, err := tx.exec("BEGIN IMMEDIATE")
	return err
}

// start begins a transaction for ops.
func (tx *tx) start() error {
	if err := tx.begin(); err != nil {
		return err
	}
	return tx.s.closeBlocks(tx)
}

// commitNow commits, and notes how far the WAL is. All that was committed before is synced.
func (tx *tx) commitNow() error {
	if _, err := tx.exec("COMMIT"); err != nil {
		return err
	}
	tx.s.synced(tx.s.committed())
	return nil
}

// commitLater commits and leaves the sync, where it is owed, to the caller. p is how far the WAL is then.
func (tx *tx) commitLater() (p progress, owed bool, err error) {
	d := tx.s.deferral
	d.on, d.owed = true, false
	_, err = tx.exec("COMMIT")
	d.on = false
	if err != nil {
		return p, false, err
	}
	p = tx.s.committed()
	if d.owed {
		tx.s.index.noteAhead(p.last) //nolint:errcheck // as in synced
	}
	return p, d.owed, nil
}

// rollback ends the transaction. SQLite may have done so itself.
func (tx *tx) rollback() {
	tx.exec("ROLLBACK") //nolint:errcheck // see above
	tx.s.forget()
}

// commit runs a batch in one transaction, and what comes in until the sync before it is done. In the rare
// case that an op fails after it wrote, all is rolled back and every op gets
// a transaction of its own. With owed the caller has s.syncing, is to sync the WAL up to p, and then to give it back.
func (s *Store) commit(b *batch) (p progress, owed bool) {
	if f := s.fault.Load(); f != nil && !f.due(time.Now()) {
		b.errs = make([]error, len(b.ops))
		b.fail(f.err)
		return p, false
	}
	tx := &tx{conn: s.w, s: s}
	defer func() {
		if !owed {
			s.syncing <- struct{}{}
		}
	}()
	inOp, err := s.attempt(tx, b)
	if err == nil {
		if p, owed, err = tx.commitLater(); err == nil {
			tx.applied()
			if !owed { // SQLite has synced
				s.synced(p)
			}
			return p, owed
		}
		err = &commitError{err}
	}
	tx.undo(0, 0, 0)
	tx.rollback()
	if !inOp || gradeOf(err) != ofCall || len(b.ops) == 1 {
		if gradeOf(err) != ofCall {
			err = s.fail("writing", err)
		}
		for i := range b.errs {
			b.errs[i] = err
		}
		return p, false
	}
	err = nil
	for i, o := range b.ops {
		if err == nil {
			var refused error
			if refused, err = s.alone(tx, o); err == nil {
				b.errs[i] = refused
				continue
			}
			if gradeOf(err) == ofCall {
				b.errs[i], err = err, nil
				continue
			}
			err = s.fail("writing", err)
		}
		b.errs[i] = err
	}
	return p, false
}

// attempt runs the ops of a batch, and what it takes from the queue besides until what was committed before is synced,
// in a transaction that it leaves open. It returns with s.syncing taken. Errors of ops that wrote nothing are
// in b.errs; any other error is returned. inOp: it was an op that failed.
func (s *Store) attempt(tx *tx, b *batch) (inOp bool, err error) {
	err = tx.start()
	for i := 0; ; i++ {
		if i == len(b.ops) {
			select {
			case <-s.syncing: // whether or not there is more
				return inOp, err
			default:
			}
			select {
			case <-s.syncing:
				return inOp, err
			case <-s.joining(b, err):
				s.queue.take(b)
			}
			i--
			continue
		}
		b.errs = append(b.errs[:i], nil)
		if err == nil {
			if b.errs[i], err = tx.try(b.ops[i]); err != nil {
				inOp = true
			}
		}
	}
}

// joining says that there may be more for a batch; never, when it takes no more.
func (s *Store) joining(b *batch, err error) <-chan struct{} {
	if err != nil || b.closed {
		return nil
	}
	return s.queue.wake
}

// try runs an op. refused is the error of one that wrote nothing.
func (tx *tx) try(o *op) (refused, err error) {
	tallies, leased, after := len(tx.tallies), len(tx.leased), len(tx.after)
	err = o.run(tx)
	if r, ok := errors.AsType[refusal](err); ok {
		tx.undo(tallies, leased, after)
		return r.error, nil
	}
	return nil, err
}

// alone runs an op in a transaction of its own, while all that was committed before is synced.
func (s *Store) alone(tx *tx, o *op) (refused, err error) {
	defer func() {
		if err != nil {
			tx.undo(0, 0, 0)
			tx.rollback()
		}
	}()
	if err := tx.start(); err != nil {
		return nil, err
	}
	if refused, err = tx.try(o); err != nil {
		return nil, err
	}
	if err := tx.commitNow(); err != nil {
		return nil, &commitError{err}
	}
	tx.applied()
	return refused, nil
}

// applied does what is wanted done in memory, now that the transaction is committed.
func (tx *tx) applied() {
	tx.s.blocks.apply(tx.tallies)
	for _, f := range tx.after {
		f()
	}
	tx.tallies, tx.leased, tx.after = tx.tallies[:0], tx.leased[:0], tx.after[:0]
}

// committed looks how far the WAL is, after a commit, and has it checkpointed when it is far enough.
func (s *Store) committed() progress {
	p, ok := s.index.read()
	if !ok {
		return progress{}
	}
	p.last = s.deferral.last
	s.walFrames.Store(p.frames)
	s.commits.Add(1)
	if p.frames-p.backfilled >= checkpointFrames {
		select {
		case s.checkpointNow <- struct{}{}:
		default:
		}
	}
	return p
}

// forget drops what the writer knows of the database, after a rollback.
func (s *Store) forget() {
	clear(s.subIDs)
	s.sources.stale = true
}
