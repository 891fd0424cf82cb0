package cli

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// gatherFor is how long a line of the log may wait for others, and gatherMost how many bytes.
const (
	gatherFor  = 2 * time.Millisecond
	gatherMost = 32 << 10
)

// lines is a writer for the lines of a log. Under load one system call writes many of them, each at most gatherFor late. Flush
// writes what waits; whoever makes a lines calls it at the end. Should the process be killed, the lines of the
// last gatherFor are missing.
type lines struct {
	to io.Writer

	mu    sync.Mutex
	wait  []byte
	timer *time.Timer
}

// Write implements io.Writer.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := len(l.wait) == 0
	l.wait = append(l.wait, b...)
	switch {
	case len(l.wait) >= gatherMost:
		l.flush()
	case !first:
	case l.timer == nil:
		l.timer = time.AfterFunc(gatherFor, l.Flush)
	default:
		l.timer.Reset(gatherFor)
	}
	return len(b), nil
}

// Flush writes what waits.
func (l *lines) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
}

func (l *lines) flush() {
	if len(l.wait) > 0 {
		_, _ = l.to.Write(l.wait) // nowhere left to complain
		l.wait = l.wait[:0]
	}
}

// forMachines is a handler of slog that writes durations as text, such as "1.4ms", and warnings and errors at once.
// slog's own means for the first, ReplaceAttr, makes every line cost twice as much.
type forMachines struct {
	slog.Handler
	out *lines
}

func (h forMachines) Handle(ctx context.Context, r slog.Record) error {
	durations := false
	r.Attrs(func(a slog.Attr) bool {
		durations = a.Value.Kind() == slog.KindDuration
		return !durations
	})
	if durations {
		readable := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
		r.Attrs(func(a slog.Attr) bool {
			readable.AddAttrs(readableDuration(a))
			return true
		})
		r = readable
	}
	err := h.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		h.out.Flush()
	}
	return err
}

func (h forMachines) WithAttrs(attrs []slog.Attr) slog.Handler {
	readable := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		readable[i] = readableDuration(a)
	}
	return forMachines{h.Handler.WithAttrs(readable), h.out}
}

func (h forMachines) WithGroup(name string) slog.Handler {
	return forMachines{h.Handler.WithGroup(name), h.out}
}

func readableDuration(a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().Round(time.Microsecond).String())
	}
	return a
}
