package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// progress shows how far something long is: on a terminal a bar, elsewhere a
// line every few seconds. What is over soon shows nothing.
type progress struct {
	w     io.Writer
	bar   bool
	done  string // what was done to each, such as "replayed"
	total int
	now   func() time.Time
	began time.Time
	last  time.Time // when it was shown
	drawn bool      // a bar stands on the terminal
}

// How often progress is shown.
const (
	barEvery  = 200 * time.Millisecond
	lineEvery = 5 * time.Second
)

func newProgress(s Streams, done string, total int) *progress {
	return &progress{w: s.Err, bar: s.ErrTerminal, done: done, total: total, now: now, began: now(), last: now()}
}

// at says that n are done. Note is added to a line, not to a bar.
func (p *progress) at(n int, note string) {
	now := p.now()
	if every := map[bool]time.Duration{true: barEvery, false: lineEvery}[p.bar]; now.Sub(p.last) < every {
		return
	}
	p.last = now
	// More may have come since they were counted.
	n, total := max(n, 0), max(p.total, n, 1)
	left := time.Duration(float64(now.Sub(p.began)) * float64(total-n) / float64(max(n, 1))).Round(time.Second)
	text := fmt.Sprintf("%s %d of %d (%d%%), %s left", p.done, n, total, 100*n/total, left)
	if !p.bar {
		if note != "" {
			text += ", " + note
		}
		fmt.Fprintln(p.w, text)
		return
	}
	const width = 30
	full := width * n / total
	fmt.Fprintf(p.w, "\r\x1b[K[%s%s] %s", strings.Repeat("#", full), strings.Repeat("-", width-full), text)
	p.drawn = true
}

// end takes the bar away.
func (p *progress) end() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}
