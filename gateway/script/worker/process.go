package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"switchhook/gateway/hook"
	"switchhook/gateway/script"
)

const (
	// pageFD is the descriptor under which a worker finds the page that it shares with the gateway.
	pageFD   = 3
	pageSize = 4096
	// startWithin bounds the time from a worker's start to its first word.
	startWithin = 10 * time.Second
	// endWithin is how long a worker that is not needed may take to end.
	endWithin = 2 * time.Second
	// maxPrograms bounds the code that a worker holds, in bytes; what was not called for longest goes.
	maxPrograms = 16 << 20
)

// process is a worker as the gateway sees it.
type process struct {
	cmd      *exec.Cmd
	in, out  *os.File
	page     []byte
	wake     chan struct{} // tells the writer to look into outbox
	gone     chan struct{} // closed when the process has ended
	complain complaints

	// Guarded by Engine.mu.
	lane      *lane
	sent      []*call // that it has, the first of which it runs
	outbox    []*call // those of sent that are still to be written
	since     time.Time
	sequence  uint64
	end       end  // why it was killed
	dismissed bool // it is to end
	long      bool // it lets others go first
	yielded   bool // it has given up its priority
	spent     bool // it gets no more calls

	// The writer's own.
	w        writer
	programs map[string]*held
	number   uint64
	size     int
}

// held is a program that a worker has.
type held struct {
	number, used uint64
	size         int
}

// end is why a worker was killed, or how it ended by itself.
type end int

const (
	endSelf end = iota // nobody killed it
	endDeadline
	endDistrust
	endMemory
)

// start starts a worker and waits until it is ready.
func (e *Engine) start() (_ *process, err error) {
	w := &process{wake: make(chan struct{}, 1), gone: make(chan struct{}), programs: map[string]*held{}}
	var files []*os.File // to close when it fails
	var theirs []*os.File
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			if w.page != nil {
				_ = unix.Munmap(w.page)
			}
		}
	}()
	pipe := func(toWorker bool) (ours, their *os.File, err error) {
		r, wr, err := os.Pipe()
		if err != nil {
			return nil, nil, err
		}
		enlarge(wr)
		ours, their = r, wr
		if toWorker {
			ours, their = wr, r
		}
		files, theirs = append(files, ours), append(theirs, their)
		return ours, their, nil
	}
	var stdin, stdout, stderr, complaints *os.File
	if w.in, stdin, err = pipe(true); err != nil {
		return nil, err
	}
	if w.out, stdout, err = pipe(false); err != nil {
		return nil, err
	}
	if complaints, stderr, err = pipe(false); err != nil {
		return nil, err
	}
	shared, err := sharedPage()
	if err != nil {
		return nil, fmt.Errorf("the shared page: %w", err)
	}
	theirs = append(theirs, shared)
	if w.page, err = unix.Mmap(int(shared.Fd()), 0, pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("the shared page: %w", err)
	}
	path, err := self()
	if err != nil {
		return nil, err
	}
	w.cmd = &exec.Cmd{
		Path: path, Args: []string{"switchhook", argument}, Dir: "/",
		Env:   []string{"GOMAXPROCS=1", "GOTRACEBACK=none"},
		Stdin: stdin, Stdout: stdout, Stderr: stderr, ExtraFiles: []*os.File{shared}, SysProcAttr: attributes(),
	}
	if zone, ok := os.LookupEnv("TZ"); ok {
		w.cmd.Env = append(w.cmd.Env, "TZ="+zone)
	}
	if err := w.cmd.Start(); err != nil {
		return nil, err
	}
	var reading sync.WaitGroup
	reading.Go(func() { w.complain.read(complaints) })
	s := stream{read: w.out.Read, limit: 64 << 10}
	if err := w.greet(e, &s); err != nil {
		_ = w.cmd.Process.Kill()
		_ = w.cmd.Wait()
		reading.Wait()
		if said := w.complain.first(); said != "" {
			err = fmt.Errorf("%w: %s", err, said)
		}
		return nil, err
	}
	// Results are bounded by the options, with room for names, what was printed, and coverage.
	s.limit = e.o.MaxOutput + 64<<20
	var own sync.WaitGroup
	own.Go(func() { w.write(e) })
	e.running.Go(func() {
		err := w.read(e, &s)
		if err != nil {
			e.distrust(w, err)
		}
		// A worker that has closed its pipe has no reason to stay.
		stop := time.AfterFunc(endWithin, func() { _ = w.cmd.Process.Kill() })
		_ = w.cmd.Wait() // how it ended is in ProcessState
		stop.Stop()
		close(w.gone)
		reading.Wait()
		own.Wait()
		e.ended(w)
		w.out.Close()
		_ = unix.Munmap(w.page)
	})
	return w, nil
}

// greet tells a worker its settings and waits for its first word.
func (w *process) greet(e *Engine, s *stream) error {
	said, err := json.Marshal(settings{Timeout: e.o.Timeout, Memory: e.o.Memory, MaxOutput: e.o.MaxOutput, MaxEvents: e.o.MaxEvents})
	if err != nil {
		return err
	}
	w.w.begin(frameSettings)
	w.w.b = append(w.w.b, said...)
	w.w.end(0)
	_, err = w.in.Write(w.w.b)
	w.w.b = w.w.b[:0]
	if err != nil {
		return err
	}
	_ = w.out.SetReadDeadline(time.Now().Add(startWithin)) // where pipes have none, the process is believed
	kind, fields, err := s.next()
	if err != nil {
		return err
	}
	_ = w.out.SetReadDeadline(time.Time{})
	var c Confinement
	if kind != frameHello || json.Unmarshal(fields, &c) != nil {
		return errors.New("the process is not a script worker (does its main function call worker.Main?)")
	}
	e.mu.Lock()
	e.confinement = c
	e.mu.Unlock()
	return nil
}

// read takes results until the worker ends; the error is one of the protocol.
func (w *process) read(e *Engine, s *stream) error {
	for {
		kind, fields, err := s.next()
		switch {
		case errors.Is(err, errMalformed):
			return err
		case err != nil:
			return nil // it has ended
		case kind != frameResult:
			return fmt.Errorf("a frame %q: %w", kind, errMalformed)
		}
		r := reader{b: fields}
		sequence := r.uint()
		if r.err != nil {
			return r.err
		}
		// The buffer is used again, and payloads stay.
		rest := len(r.b) > 0 && r.b[0]&wantsRest != 0
		if err := e.answered(w, sequence, append([]byte(nil), r.b...), rest); err != nil {
			return err
		}
	}
}

// write sends calls until the worker has ended or is dismissed.
func (w *process) write(e *Engine) {
	defer w.in.Close()
	var calls []*call
	for {
		select {
		case <-w.gone:
			return
		case <-w.wake:
		}
		for {
			e.mu.Lock()
			calls, w.outbox = w.outbox, calls[:0]
			dismissed := w.dismissed
			e.mu.Unlock()
			if len(calls) == 0 {
				if dismissed {
					return
				}
				break
			}
			for _, c := range calls {
				w.encode(c)
			}
			clear(calls)
			w.flush()
		}
	}
}

// largeBody is from where on a body is written from where it is, not from the buffer.
const largeBody = 32 << 10

func (w *process) encode(c *call) {
	number := w.program(c.program)
	if c.input == nil {
		w.w.writeEval(c.sequence, number, c.argument)
		return
	}
	w.w.writeHandle(c.sequence, number, c.input)
	if b := c.input.Request.Body; len(b) < largeBody {
		w.w.b = append(w.w.b, b...)
	} else {
		w.flush()
		_, _ = w.in.Write(b) // as in flush
	}
}

func (w *process) flush() {
	_, _ = w.in.Write(w.w.b) // when it fails the worker is gone, which the reader finds
	w.w.b = w.w.b[:0]
	if cap(w.w.b) > 1<<20 {
		w.w.b = nil
	}
}

// program returns the number under which the worker knows a program, and
// sends it before.
func (w *process) program(p *script.Program) uint64 {
	w.number++
	h := w.programs[p.ID]
	if h == nil {
		h = &held{number: w.number, size: len(p.Code) + len(p.SourceMap)}
		w.programs[p.ID] = h
		w.w.writeProgram(h.number, p)
		for w.size += h.size; w.size > maxPrograms && len(w.programs) > 1; {
			w.forget(p.ID)
		}
	}
	h.used = w.number
	return h.number
}

// forget drops the program that was not called for longest, other than one.
func (w *process) forget(but string) {
	oldest := ""
	for id, h := range w.programs {
		if id != but && (oldest == "" || h.used < w.programs[oldest].used) {
			oldest = id
		}
	}
	w.size -= w.programs[oldest].size
	w.w.begin(frameForget)
	w.w.uint(w.programs[oldest].number)
	w.w.end(0)
	delete(w.programs, oldest)
}

// kill ends the process; Engine.mu is held.
func (w *process) kill(why end) {
	if w.end == endSelf {
		w.end = why
	}
	_ = w.cmd.Process.Kill() // it may have ended already
}

// dismiss ends a worker that has no calls that anybody waits for, by closing its
// pipe; Engine.mu is held.
func (w *process) dismiss() {
	w.dismissed = true
	time.AfterFunc(endWithin, func() { _ = w.cmd.Process.Kill() })
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// longSlice is that of a worker whose call is long, and the most that Linux takes.
const longSlice = 100 * time.Millisecond

// letOthersFirst is for as long as its call takes; Engine.mu is held.
func (w *process) letOthersFirst(long bool) {
	if w.long != long {
		w.long = long
		setSlice(w.pid(), map[bool]time.Duration{true: longSlice}[long])
	}
}

// yield lets others go before the process, from now on; Engine.mu is held.
func (w *process) yield() {
	w.yielded, w.spent = true, true
	_ = unix.Setpriority(unix.PRIO_PGRP, w.pid(), lowPriority) // it is its own group
}

// lowPriority is a tenth of the weight of others.
const lowPriority = 10

func (w *process) pid() int { return w.cmd.Process.Pid }

// lastBegun is the sequence of the call that the worker began last.
func (w *process) lastBegun() uint64 {
	return atomic.LoadUint64((*uint64)(unsafe.Pointer(unsafe.SliceData(w.page))))
}

// cause is how a worker that has ended came to it.
type cause struct {
	end  end
	text string // for people
}

func (c cause) String() string { return c.text }

// cause is asked after the process has ended.
func (w *process) cause() cause {
	said := w.complain.first()
	status, _ := w.cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case w.end == endDeadline:
		return cause{w.end, "killed at the hard deadline"}
	case w.end == endDistrust:
		return cause{w.end, "killed because of what it answered"}
	case status.Exited() && status.ExitStatus() == exitMemory, outOfMemory(said):
		return cause{endMemory, "out of memory"}
	case status.Signaled():
		return cause{endSelf, "ended by the signal " + status.Signal().String()}
	case said != "":
		return cause{endSelf, said}
	}
	return cause{endSelf, "ended with " + w.cmd.ProcessState.String()}
}

// outOfMemory tells from the words of the Go runtime, which has no other
// way of saying so, that the system refused it memory.
func outOfMemory(said string) bool {
	return strings.Contains(said, "out of memory") || strings.Contains(said, "cannot allocate memory")
}

// failure is the failure of the call that ended a worker.
func (c cause) failure(e *Engine, guilty *call) *script.Error {
	name := guilty.program.Function
	switch c.end {
	case endDeadline:
		return &script.Error{Failure: hook.Failure{Kind: "timeout",
			Message: fmt.Sprintf("%s could not be interrupted after %v and was killed with its process after %v", name, guilty.timeout, guilty.timeout+e.o.KillAfter-e.o.Timeout)}}
	case endMemory:
		return &script.Error{Failure: hook.Failure{Kind: "memory",
			Message: fmt.Sprintf("%s needed more than the %d MiB of memory allowed, and ended with its process", name, e.o.Memory>>20)}}
	}
	return crashed(fmt.Sprintf("%s ended its process: %s", name, c.text))
}

// complaints keep the beginning of what a worker writes to its standard error: the Go runtime's last words.
type complaints struct {
	mu   sync.Mutex
	text []byte
}

func (c *complaints) read(f *os.File) {
	defer f.Close()
	b := make([]byte, 4096)
	for {
		n, err := f.Read(b)
		c.mu.Lock()
		c.text = append(c.text, b[:min(n, 8192-len(c.text))]...)
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// first is the line that says most.
func (c *complaints) first() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := strings.Split(strings.ToValidUTF8(string(c.text), "\uFFFD"), "\n")
	best := lines[0]
	for _, l := range lines {
		if strings.HasPrefix(l, "fatal error: ") {
			best = strings.TrimPrefix(l, "fatal error: ")
			break
		}
	}
	return strings.TrimSpace(best[:min(len(best), 300)])
}
