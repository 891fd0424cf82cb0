package destination

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"switchhook/gateway/deliver"
	"switchhook/gateway/hook"
)

const (
	lineBatch = 1 << 20          // bytes written in one go
	lineIdle  = 30 * time.Second // how long a file is kept open without use
	lineClose = 2 * time.Second  // how long Close waits for a write that blocks
)

// encodeLine makes the line of a delivery: one JSON object, its members in the
// order {"id","selector","subscription","requestId","receivedAt","payload"},
// the payload without white space but otherwise byte for byte.
func encodeLine(d *hook.Delivery) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(len(d.Event.Payload) + 256)
	b.WriteString(`{"id":`)
	jsonString(&b, d.Event.ID)
	member(&b, "selector", d.Event.Selector)
	member(&b, "subscription", d.Subscription)
	member(&b, "requestId", d.Event.RequestID)
	member(&b, "receivedAt", d.ReceivedAt.UTC().Format(time.RFC3339Nano))
	b.WriteString(`,"payload":`)
	if err := json.Compact(&b, d.Event.Payload); err != nil {
		return nil, fmt.Errorf("the payload is not JSON: %w", err)
	}
	b.WriteString("}\n")
	return b.Bytes(), nil
}

// sink is what lines are appended to.
type sink interface {
	// append writes whole lines. n is how many bytes of them are as durable
	// as the sink makes them; with n < len(b) there is an error.
	append(b []byte) (n int, err error)
	close()
}

// line is a line on its way into a sink.
type line struct {
	data  []byte
	taken bool
	done  chan error // buffered
}

// lineWriter appends the lines of many callers to a sink, all that wait in
// one write. Its goroutine runs while there are lines, and lineIdle longer.
type lineWriter struct {
	open func() sink

	mu      sync.Mutex
	waiting []*line
	running bool
	closing bool
	wake    chan struct{}
	ended   chan struct{} // closed when the goroutine has ended
}

func newLineWriter(open func() sink) *lineWriter {
	return &lineWriter{open: open, wake: make(chan struct{}, 1)}
}

// write appends a line and waits until that is done or ctx ends; then the line
// may or may not be written.
func (w *lineWriter) write(ctx context.Context, data []byte) error {
	l := &line{data: data, done: make(chan error, 1)}
	w.mu.Lock()
	if w.closing {
		w.mu.Unlock()
		return errors.New("the destination is closed")
	}
	w.waiting = append(w.waiting, l)
	if !w.running {
		w.running = true
		w.ended = make(chan struct{})
		go w.run(w.ended)
	} else {
		w.signal()
	}
	w.mu.Unlock()
	select {
	case err := <-l.done:
		return err
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !l.taken {
		for i := range w.waiting {
			if w.waiting[i] == l {
				w.waiting = append(w.waiting[:i], w.waiting[i+1:]...)
				break
			}
		}
	}
	select {
	case err := <-l.done: // it was just in time
		return err
	default:
		return ctx.Err()
	}
}

func (w *lineWriter) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *lineWriter) run(ended chan struct{}) {
	defer close(ended)
	s := w.open()
	defer s.close()
	idle := time.NewTimer(lineIdle)
	defer idle.Stop()
	for {
		batch := w.take()
		if len(batch) > 0 {
			appendLines(s, batch)
			idle.Reset(lineIdle)
			continue
		}
		expired := false
		select {
		case <-w.wake:
		case <-idle.C:
			expired = true
		}
		w.mu.Lock()
		if len(w.waiting) == 0 && (expired || w.closing) {
			w.running = false
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
	}
}

// take takes the lines of one write.
func (w *lineWriter) take() []*line {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, size := 0, 0
	for n < len(w.waiting) && (n == 0 || size+len(w.waiting[n].data) <= lineBatch) {
		w.waiting[n].taken = true
		size += len(w.waiting[n].data)
		n++
	}
	batch := append([]*line(nil), w.waiting[:n]...)
	w.waiting = append(w.waiting[:0], w.waiting[n:]...)
	return batch
}

func appendLines(s sink, batch []*line) {
	data := batch[0].data
	if len(batch) > 1 {
		var all bytes.Buffer
		for _, l := range batch {
			all.Write(l.data)
		}
		data = all.Bytes()
	}
	n, err := s.append(data)
	for _, l := range batch {
		if n -= len(l.data); n >= 0 {
			l.done <- nil
		} else {
			l.done <- err
		}
	}
}

// close writes what waits, and ends the goroutine. A write that blocks is
// left behind after a while.
func (w *lineWriter) close() error {
	w.mu.Lock()
	w.closing = true
	running, ended := w.running, w.ended
	w.signal()
	w.mu.Unlock()
	if !running {
		if ended != nil {
			<-ended
		}
		return nil
	}
	select {
	case <-ended:
		return nil
	case <-time.After(lineClose):
		return errors.New("a write is still blocked")
	}
}

// lineResult makes a Result of the end of lineWriter.write.
func lineResult(ctx context.Context, sub *hook.Subscription, err error, blocked string) deliver.Result {
	switch {
	case err == nil:
		return deliver.Result{Class: "ok"}
	case errors.Is(err, context.DeadlineExceeded):
		return deliver.Result{Class: "timeout", Error: blocked + " within " + sub.Destination.Timeout.String()}
	case ctx.Err() != nil:
		return failure(ctx, sub, err, "io")
	}
	return deliver.Result{Class: "io", Error: clean(err.Error(), sub)}
}

// stdoutSender writes lines to standard output. A delivery is done when the
// write has returned.
type stdoutSender struct{ w *lineWriter }

func newStdout(o Options) *stdoutSender {
	s := &writerSink{w: o.Stdout}
	return &stdoutSender{newLineWriter(func() sink { return s })}
}

func (s *stdoutSender) Send(ctx context.Context, sub *hook.Subscription, d *hook.Delivery) deliver.Result {
	data, err := encodeLine(d)
	if err != nil {
		r := gatewayFailure(sub, err.Error())
		r.Permanent = true
		return r
	}
	return lineResult(ctx, sub, s.w.write(ctx, data), "nothing read standard output")
}

func (s *stdoutSender) Close() error {
	if err := s.w.close(); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

type writerSink struct {
	w    io.Writer
	torn bool // the last line was not written to its end
}

func (s *writerSink) append(b []byte) (int, error) {
	if s.torn {
		if _, err := s.w.Write([]byte{'\n'}); err != nil {
			return 0, fmt.Errorf("write to standard output: %w", err)
		}
		s.torn = false
	}
	n, err := s.w.Write(b)
	if err != nil {
		s.torn = n > 0 && b[n-1] != '\n'
		return n, fmt.Errorf("write to standard output: %w", err)
	}
	return len(b), nil
}

func (s *writerSink) close() {}
