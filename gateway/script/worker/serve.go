package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"switchhook/gateway/script"
)

// argument is what makes a process a worker. It is no flag of the program or of a test binary, so
// that one that does not call Main ends at once.
const argument = "--switchhook-script-worker"

// exitMemory is the code with which a worker ends that finds itself too large.
const exitMemory = 77

// The pace of a worker.
const (
	// lingers is how long a result may wait for others before the next call begins.
	lingers = 200 * time.Microsecond
	// slowAfter is when a call is slow: what was held back is sent, and memory watched.
	slowAfter = 3 * time.Millisecond
	// watchEvery is how often a slow call's memory is looked at.
	watchEvery = 10 * time.Millisecond
	// tidyAfter is how long a worker without calls keeps memory that it does not use.
	tidyAfter = 2 * time.Second
	// maxStack bounds the stack of natively recursive code, in bytes.
	maxStack = 64 << 20
)

// settings are the first that a worker is told.
type settings struct {
	Timeout   time.Duration
	Memory    int64
	MaxOutput int
	MaxEvents int
}

// Main runs a worker when the process was started as one, and does not return then.
// A program whose engine is made by New calls it before anything else.
func Main() {
	if len(os.Args) != 2 || os.Args[1] != argument {
		return
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "script worker:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// server is the worker's side.
type server struct {
	settings settings
	engine   script.Engine
	programs map[uint64]*script.Program
	in       stream
	began    *uint64 // the sequence of the call that began last; the gateway sees it

	mu    sync.Mutex // of out, which is flushed by the watch too
	out   writer
	since time.Time // when out stopped being empty

	sample  []metrics.Sample
	untidy  bool          // the last call left much memory behind
	running atomic.Uint64 // the sequence of the call under way, or 0
	slow    *time.Timer
	tidy    *time.Timer
}

func serve() error {
	page, err := unix.Mmap(pageFD, 0, pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("the shared page: %w", err)
	}
	_ = syscall.Close(pageFD)
	s := &server{sample: newSample(), programs: map[uint64]*script.Program{}, began: (*uint64)(unsafe.Pointer(unsafe.SliceData(page)))}
	s.in = stream{limit: math.MaxInt32, read: func(b []byte) (int, error) { return readFD(0, b) }}
	kind, fields, err := s.in.next()
	if err != nil {
		return err
	}
	if kind != frameSettings {
		return fmt.Errorf("a frame %q before the settings", kind)
	}
	if err := json.Unmarshal(fields, &s.settings); err != nil {
		return fmt.Errorf("the settings: %w", err)
	}
	// One call at a time: a second processor would only carry the collector's work
	// over and back.
	runtime.GOMAXPROCS(1)
	debug.SetMaxStack(maxStack)
	debug.SetGCPercent(collectAt)
	debug.SetMemoryLimit(s.settings.Memory * 3 / 4)
	hello, err := json.Marshal(confine(s.settings.Memory))
	if err != nil {
		return err
	}
	s.engine = script.NewInProcess(script.Options{Timeout: s.settings.Timeout, Concurrency: 1, MaxOutput: s.settings.MaxOutput, MaxEvents: s.settings.MaxEvents})
	s.slow = time.AfterFunc(math.MaxInt64, s.watch)
	s.tidy = time.AfterFunc(math.MaxInt64, debug.FreeOSMemory)
	s.out.begin(frameHello)
	s.out.b = append(s.out.b, hello...)
	s.out.end(0)
	err = s.loop()
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) {
		return nil // the gateway is done
	}
	return err
}

// collectAt is the growth of memory, in percent, at which it is collected: each call leaves all
// that it made behind, on top of little that stays.
const collectAt = 400

// loop serves calls until the gateway closes the pipe.
func (s *server) loop() error {
	for {
		if !s.in.ready() {
			if err := s.flush(); err != nil {
				return err
			}
			s.tidy.Reset(tidyAfter)
		}
		kind, fields, err := s.in.next()
		if err != nil {
			return err
		}
		r := reader{b: fields}
		switch kind {
		case frameProgram:
			number, p := r.program()
			s.programs[number] = p
		case frameForget:
			delete(s.programs, r.uint())
		case frameHandle:
			s.handle(&r)
		case frameEval:
			s.eval(&r)
		default:
			r.fail()
		}
		if r.err != nil {
			return fmt.Errorf("a frame %q: %w", kind, r.err)
		}
		if s.due() {
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
}

// enter marks the beginning of a call, leave its end.
func (s *server) enter(sequence uint64) {
	if s.untidy {
		debug.FreeOSMemory()
		s.untidy = false
	}
	atomic.StoreUint64(s.began, sequence)
	s.running.Store(sequence)
	s.slow.Reset(slowAfter)
}

func (s *server) leave() (rest bool) {
	s.slow.Stop()
	s.running.Store(0)
	// What one call leaves behind must not be missing to the next, which may be another connector's.
	used := s.memory()
	s.untidy = used > s.settings.Memory/4
	// The system's limit counts what was mapped and given back, too: a worker that came near it
	// may have no room for a stack.
	mapped := int64(s.sample[0].Value.Uint64())
	return used > s.settings.Memory/2 || mapped > s.settings.Memory*5/8
}

// memory is what the Go runtime holds, in bytes.
func (s *server) memory() int64 {
	metrics.Read(s.sample)
	return int64(s.sample[0].Value.Uint64() - s.sample[1].Value.Uint64())
}

func newSample() []metrics.Sample {
	return []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
}

func (s *server) handle(r *reader) {
	sequence, number, in := r.handle()
	p := s.programs[number]
	if r.err != nil || p == nil {
		r.fail()
		return
	}
	s.enter(sequence)
	result, err := s.engine.Handle(context.Background(), p, in)
	a := &answer{rest: s.leave()}
	if result != nil {
		a.handle = *result
	}
	s.send(sequence, a, err, in)
}

func (s *server) eval(r *reader) {
	sequence, number, argument := r.eval()
	p := s.programs[number]
	if r.err != nil || p == nil {
		r.fail()
		return
	}
	s.enter(sequence)
	result, err := s.engine.Eval(context.Background(), p, argument)
	a := &answer{rest: s.leave()}
	if result != nil {
		a.value, a.handle.Console, a.handle.Took = result.Value, result.Console, result.Took
	}
	s.send(sequence, a, err, nil)
}

// send puts a result where flush takes it from.
func (s *server) send(sequence uint64, a *answer, err error, in *script.HandleInput) {
	if err != nil && !errors.As(err, &a.err) {
		a.err = crashed(err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.out.b) == 0 {
		s.since = time.Now()
	}
	s.out.writeResult(sequence, a, in)
}

// due reports whether results should wait no longer for others.
func (s *server) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.out.b) > 0 && (len(s.out.b) >= 32<<10 || time.Since(s.since) > lingers)
}

// flush writes what is ready.
func (s *server) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for b := s.out.b; len(b) > 0; {
		n, err := write(1, b)
		if err != nil && err != syscall.EINTR {
			return err
		}
		b = b[max(n, 0):]
	}
	if cap(s.out.b) > 1<<20 {
		s.out.b = nil
	}
	s.out.b = s.out.b[:0]
	return nil
}

// watch accompanies a slow call: it sends what is held back, and ends the
// process when its memory is over the limit, which the system, where it can, does by itself.
func (s *server) watch() {
	sequence := s.running.Load()
	if sequence == 0 {
		return
	}
	_ = s.flush() // an error is found again by the loop
	sample := newSample()
	for s.running.Load() == sequence {
		metrics.Read(sample)
		if sample[0].Value.Uint64()-sample[1].Value.Uint64() > uint64(s.settings.Memory) {
			os.Exit(exitMemory)
		}
		time.Sleep(watchEvery)
	}
}

// readFD reads from a descriptor that blocks.
func readFD(fd int, b []byte) (int, error) {
	for {
		n, err := read(fd, b)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}
