package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"switchhook/gateway/script"
)

// Engine runs programs in worker processes.
//
// Calls of one connector are a lane. A worker runs the calls of one lane at a time, one after the
// other, with a few more in its pipe so that it never waits for the gateway; a lane has
// half of the workers at most, and lanes that wait take turns.
type Engine struct {
	o           Options
	confinement Confinement
	share       int // the workers that one lane may have
	wantSpares  int

	mu      sync.Mutex
	lanes   map[string]*lane
	recent  [2]use     // the lane that was called last, and the one before it
	waiting []*lane    // that have calls and want a worker, in turn
	active  []*process // that take calls
	idle    []*process // those of active without calls, the last used last
	spares  []*process
	killed  uint64
	closed  bool
	check   time.Time // when the clock looks next; zero: not at all
	clock   *time.Timer

	spawn    chan struct{} // tells the starter to look
	closing  chan struct{}
	running  sync.WaitGroup // processes
	starter  sync.WaitGroup
	calls    sync.WaitGroup // calls that a worker has or is to get
	finished sync.Once
}

// lane is the calls of one connector.
type lane struct {
	connector string
	queue     []*call // that no worker has
	workers   []*process
	pace      time.Duration // how long a call takes, of late
	slow      time.Time     // when one was last slow, or ended its worker
	waits     bool          // is in Engine.waiting
}

// use is when a lane was called.
type use struct {
	lane *lane
	at   time.Time
}

// call is one call of a program.
type call struct {
	program  *script.Program
	input    *script.HandleInput // nil for Eval
	argument json.RawMessage
	timeout  time.Duration
	done     chan outcome // holds one

	// Guarded by Engine.mu.
	worker   *process // nil while it waits
	over     bool
	sequence uint64
	deaths   int // of workers, while they had it
}

// outcome is what became of a call: what the worker says, or why it says nothing.
type outcome struct {
	fields []byte
	from   *process
	err    *script.Error
	took   time.Duration
}

// The pace of the pool.
const (
	// pipeAhead is for how much work a worker has calls in its pipe, and maxAhead how many.
	pipeAhead = 2 * time.Millisecond
	maxAhead  = 8
	// maxDeaths is how many workers may end while they have a call, without it being found guilty.
	maxDeaths = 3
	// longAt is when a call is long, so that its worker lets others go first.
	longAt = 5 * time.Millisecond
	// slowAt is when a call is slow, so that its worker gets less of the processors. It has done
	// its duty with that call, for priorities cannot be raised again.
	slowAt = 100 * time.Millisecond
	// slowFor is how long a lane that had a slow call, or one that ended its worker, gets half of its workers only
	// where other lanes are called: so it leaves them half of the processors.
	slowFor = 10 * time.Second
	// idleFor is how long a worker that is not needed stays.
	idleFor = time.Minute
)

// New starts the first workers. The error says why there are none; a program
// that does not call Main cannot have any.
func New(o Options) (*Engine, error) {
	e := &Engine{o: o.withDefaults(), lanes: map[string]*lane{}, spawn: make(chan struct{}, 1), closing: make(chan struct{})}
	e.share = max(1, e.o.Size/2)
	e.wantSpares = 1
	if e.o.Size >= 4 {
		e.wantSpares = 2
	}
	e.clock = time.AfterFunc(time.Hour, e.tick)
	e.clock.Stop()
	first := make(chan error, 1)
	e.starter.Go(func() { e.startWorkers(first) })
	if err := <-first; err != nil {
		_ = e.Close()
		return nil, fmt.Errorf("starting a script worker: %w", err)
	}
	return e, nil
}

// Confinement is what holds the workers.
func (e *Engine) Confinement() Confinement {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.confinement
}

// Stats are figures of now.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := Stats{Workers: len(e.active) + len(e.spares), Spares: len(e.spares), Busy: len(e.active) - len(e.idle), Killed: e.killed}
	for _, l := range e.lanes {
		s.Waiting += len(l.queue)
	}
	return s
}

// submit gives a call to a worker, or lets it wait. It reports false when the engine is closed.
func (e *Engine) submit(c *call) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	l := e.lanes[c.program.Connector]
	if l == nil {
		l = &lane{connector: c.program.Connector}
		e.lanes[l.connector] = l
	}
	if e.recent[0].lane != l {
		e.recent[1] = e.recent[0]
	}
	e.recent[0] = use{l, time.Now()}
	e.calls.Add(1)
	l.queue = append(l.queue, c)
	e.serve(l)
	return true
}

// over ends a call; its outcome is the first that it gets.
func (e *Engine) over(c *call, out outcome) {
	if !c.over {
		c.over = true
		c.done <- out
		e.calls.Done()
	}
}

// serve finds workers for what waits in a lane: where its calls are short, those that it has
// already, or else more of them. To wake a process costs as much as a short call.
func (e *Engine) serve(l *lane) {
	if !e.contested(l) {
		for _, w := range l.workers {
			if len(l.queue) > 0 && len(w.sent) <= l.ahead()/2 && !w.spent {
				e.fill(w)
			}
		}
	}
	for len(l.queue) > 0 && len(l.workers) < e.most(l) {
		w := e.free()
		if w == nil {
			break
		}
		e.attach(w, l)
		e.fill(w)
	}
	e.queue(l)
}

// queue puts a lane among those that wait, at the end, or takes it out: as its calls want.
func (e *Engine) queue(l *lane) {
	switch wants := len(l.queue) > 0; {
	case wants && !l.waits:
		e.waiting = append(e.waiting, l)
		e.wakeStarter()
	case !wants && l.waits:
		e.waiting = slices.DeleteFunc(e.waiting, func(x *lane) bool { return x == l })
	}
	l.waits = len(l.queue) > 0
}

// free takes a worker without calls.
func (e *Engine) free() *process {
	if n := len(e.idle); n > 0 {
		w := e.idle[n-1]
		e.idle = e.idle[:n-1]
		return w
	}
	if n := len(e.spares); n > 0 && len(e.active) < e.o.Size {
		w := e.spares[n-1]
		e.spares = e.spares[:n-1]
		e.active = append(e.active, w)
		e.wakeStarter()
		return w
	}
	return nil
}

func (e *Engine) attach(w *process, l *lane) {
	w.lane = l
	l.workers = append(l.workers, w)
}

func (e *Engine) detach(w *process) {
	if l := w.lane; l != nil {
		l.workers = slices.DeleteFunc(l.workers, func(x *process) bool { return x == w })
		w.lane = nil
	}
}

// most is how many workers a lane may have now.
func (e *Engine) most(l *lane) int {
	if l.slow.IsZero() {
		return e.share
	}
	since := time.Now().Add(-slowFor)
	other := e.recent[0]
	if other.lane == l {
		other = e.recent[1]
	}
	if l.slow.After(since) && other.at.After(since) {
		return max(1, e.share/2)
	}
	return e.share
}

// contested reports whether another lane waits for a worker.
func (e *Engine) contested(l *lane) bool {
	for _, other := range e.waiting {
		if other != l && len(other.workers) < e.most(other) {
			return true
		}
	}
	return false
}

// ahead is how many calls a worker of the lane has at once: little work, so that
// none waits long behind another.
func (l *lane) ahead() int {
	if l.pace <= 0 {
		return 1
	}
	return int(min(max(pipeAhead/l.pace, 1), maxAhead))
}

// fill gives a worker calls of its lane.
func (e *Engine) fill(w *process) {
	l := w.lane
	n := min(l.ahead()-len(w.sent), len(l.queue))
	if n <= 0 {
		return
	}
	if len(w.sent) == 0 {
		w.since = time.Now()
	}
	for _, c := range l.queue[:n] {
		w.sequence++
		c.worker, c.sequence = w, w.sequence
		w.sent = append(w.sent, c)
		w.outbox = append(w.outbox, c)
	}
	l.queue = slices.Delete(l.queue, 0, n)
	e.lookAt(w.since.Add(longAt))
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// next gives a worker that has no calls those of a lane that waits, or lets it be idle.
func (e *Engine) next(w *process) {
	e.detach(w)
	for i, l := range e.waiting {
		if len(l.workers) >= e.most(l) {
			continue
		}
		e.waiting = slices.Delete(e.waiting, i, i+1)
		l.waits = false
		e.attach(w, l)
		e.fill(w)
		e.queue(l)
		return
	}
	w.since = time.Now()
	e.idle = append(e.idle, w)
	e.lookAt(w.since.Add(idleFor))
}

// answered takes the outcome of the first call that a worker has.
func (e *Engine) answered(w *process, sequence uint64, fields []byte, rest bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(w.sent) == 0 || w.sent[0].sequence != sequence {
		return fmt.Errorf("the result of a call that it does not run: %w", errMalformed)
	}
	c, l, now := w.sent[0], w.lane, time.Now()
	w.sent = slices.Delete(w.sent, 0, 1)
	w.letOthersFirst(false)
	took := now.Sub(w.since)
	w.since = now
	if l.pace == 0 {
		l.pace = took
	}
	l.pace += (took - l.pace) / 8
	e.over(c, outcome{fields: fields, from: w})
	w.spent = w.spent || rest
	switch {
	case w.spent:
		if len(w.sent) == 0 {
			e.retire(w)
		}
	case len(w.sent) == 0 && (len(l.queue) == 0 || e.contested(l) || len(l.workers) > e.most(l)):
		e.queue(l)
		e.next(w)
	case len(w.sent) <= l.ahead()/2 && !e.contested(l) && len(l.workers) <= e.most(l):
		e.fill(w)
	}
	e.queue(l)
	return nil
}

// withdraw gives up a call whose caller does not wait any longer, unless it has begun.
func (e *Engine) withdraw(c *call) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch w := c.worker; {
	case c.over:
		return false
	case w == nil:
		l := e.lanes[c.program.Connector]
		l.queue = slices.DeleteFunc(l.queue, func(x *call) bool { return x == c })
		e.queue(l)
	case w.sent[0] == c:
		return false
	}
	e.over(c, outcome{})
	return true
}

// lookAt has the clock look at all workers, at the latest at t.
func (e *Engine) lookAt(t time.Time) {
	if !e.closed && (e.check.IsZero() || t.Before(e.check)) {
		e.check = t
		e.clock.Reset(time.Until(t))
	}
}

// tick kills the workers whose calls are past the hard deadline, and ends those
// that nobody needs.
func (e *Engine) tick() {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	e.check = time.Time{}
	for _, w := range e.active {
		if len(w.sent) == 0 {
			continue
		}
		switch at := w.deadline(e); {
		case !now.Before(at):
			w.kill(endDeadline)
		case w.yielded:
			e.lookAt(at)
		case now.Sub(w.since) >= slowAt:
			w.yield()
			w.lane.slow = now
			e.lookAt(at)
		case w.long:
			e.lookAt(w.since.Add(slowAt))
		case now.Sub(w.since) >= longAt:
			w.letOthersFirst(true)
			e.lookAt(w.since.Add(slowAt))
		default:
			e.lookAt(w.since.Add(longAt))
		}
	}
	for len(e.idle) > 0 && now.Sub(e.idle[0].since) >= idleFor {
		w := e.idle[0]
		e.idle = e.idle[1:]
		e.active = slices.DeleteFunc(e.active, func(x *process) bool { return x == w })
		if len(e.spares) < e.wantSpares {
			e.spares = append(e.spares, w)
		} else {
			w.dismiss()
		}
	}
	if len(e.idle) > 0 {
		e.lookAt(e.idle[0].since.Add(idleFor))
	}
}

// retire ends a worker that is spent, in favour of a spare.
func (e *Engine) retire(w *process) {
	e.detach(w)
	e.active = slices.DeleteFunc(e.active, func(x *process) bool { return x == w })
	w.dismiss()
	e.wakeStarter()
	if next := e.freeForWaiting(); next != nil {
		e.next(next)
	}
}

// deadline is when the first call of a worker has to be over.
func (w *process) deadline(e *Engine) time.Time {
	return w.since.Add(w.sent[0].timeout + e.o.KillAfter - e.o.Timeout)
}

// distrust kills a worker that does not keep to the protocol.
func (e *Engine) distrust(w *process, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if w.end == endDistrust {
		return
	}
	e.o.Logger.Error("a script worker does not keep to the protocol, it is killed", "pid", w.pid(), "error", err)
	w.kill(endDistrust)
}

// ended sorts what a worker leaves behind: the call that ended it fails, the others
// go to another worker.
func (e *Engine) ended(w *process) {
	why := w.cause()
	began := w.lastBegun()
	e.mu.Lock()
	l := w.lane
	e.detach(w)
	is := func(x *process) bool { return x == w }
	e.active, e.idle, e.spares = slices.DeleteFunc(e.active, is), slices.DeleteFunc(e.idle, is), slices.DeleteFunc(e.spares, is)
	var guilty *call
	var again []*call
	for _, c := range w.sent {
		c.worker = nil
		if c.sequence == began && why.end != endDistrust {
			guilty = c
			if l != nil {
				l.slow = time.Now()
			}
			continue
		}
		if c.deaths++; c.deaths < maxDeaths && !e.closed {
			if !c.over {
				again = append(again, c)
			}
			continue
		}
		e.over(c, outcome{err: crashed(fmt.Sprintf("%d worker processes ended while the call waited in them", maxDeaths))})
	}
	w.sent = nil
	took := time.Since(w.since)
	if l != nil {
		l.queue = append(again, l.queue...)
		l.pace = 0 // one at a time, until it is known better
		e.serve(l)
	}
	if w := e.freeForWaiting(); w != nil {
		e.next(w)
	}
	e.wakeStarter()
	if guilty == nil {
		if !e.closed && !w.dismissed {
			e.o.Logger.Warn("a script worker ended", "why", why.String(), "pid", w.pid())
		}
		e.mu.Unlock()
		return
	}
	e.killed++
	e.mu.Unlock()
	e.o.Logger.Warn("a handler ended its script worker", "connector", guilty.program.Connector, "function", guilty.program.Name, "why", why.String(), "pid", w.pid())
	if e.o.Killed != nil {
		e.o.Killed(guilty.program.Connector)
	}
	e.mu.Lock()
	e.over(guilty, outcome{err: why.failure(e, guilty), took: took})
	e.mu.Unlock()
}

// freeForWaiting takes a worker when some lane may have one.
func (e *Engine) freeForWaiting() *process {
	if len(e.waiting) == 0 {
		return nil
	}
	return e.free()
}

func (e *Engine) wakeStarter() {
	select {
	case e.spawn <- struct{}{}:
	default:
	}
}

// joined takes a new worker in.
func (e *Engine) joined(w *process) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		w.dismiss()
		return
	}
	e.spares = append(e.spares, w)
	if w := e.freeForWaiting(); w != nil {
		e.next(w)
	}
}

// refused notes that no worker can be started. Without any, nothing that waits could run.
func (e *Engine) refused(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.active)+len(e.spares) > 0 {
		return
	}
	for _, l := range e.waiting {
		l.waits = false
		for _, c := range l.queue {
			f := unavailable()
			f.Failure.Message = "no script worker can be started"
			e.over(c, outcome{err: f})
		}
		l.queue = nil
	}
	e.waiting = nil
}

// wants reports whether a worker should be started.
func (e *Engine) wants() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || len(e.spares) >= e.wantSpares {
		return false
	}
	return true
}

// startWorkers keeps the spares complete, until the engine is closed. It reports on the first.
func (e *Engine) startWorkers(first chan<- error) {
	keepFiles()
	release := holdThread()
	defer func() {
		e.running.Wait() // they live no longer than this thread
		release()
	}()
	began := false
	pause := 50 * time.Millisecond
	for {
		for e.wants() {
			w, err := e.start()
			if !began {
				began = true
				first <- err
			}
			if err == nil {
				pause = 50 * time.Millisecond
				e.joined(w)
				continue
			}
			e.refused(err)
			if !errors.Is(err, context.Canceled) {
				e.o.Logger.Error("starting a script worker", "error", err)
			}
			select {
			case <-time.After(pause):
				pause = min(2*pause, 5*time.Second)
			case <-e.closing:
			}
		}
		select {
		case <-e.spawn:
		case <-e.closing:
			return
		}
	}
}

// Close implements script.Engine. Calls that no worker has yet fail.
func (e *Engine) Close() error {
	e.finished.Do(func() {
		e.mu.Lock()
		e.closed = true
		for _, l := range e.lanes {
			for _, c := range l.queue {
				e.over(c, outcome{err: unavailable()})
			}
			l.queue = nil
		}
		e.waiting = nil
		e.mu.Unlock()
		close(e.closing)
		e.calls.Wait()
		e.mu.Lock()
		e.clock.Stop()
		for _, w := range slices.Concat(e.active, e.spares) {
			w.dismiss()
		}
		e.mu.Unlock()
	})
	e.starter.Wait()
	return nil
}
