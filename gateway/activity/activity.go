// Package activity is what the gateway did lately, kept in memory of bounded
// size: figures of the last hour for charts, the history of reloads, and the
// live stream of what happens.
//
// app makes a Log and has it observe ingest and deliver; console reads it. The
// methods of the observers take a lock for less than a microsecond and never wait for a reader.
package activity

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"switchhook/gateway/deliver"
	"switchhook/gateway/hook"
	"switchhook/gateway/ingest"
	"switchhook/spec/diagnostic"
)

// Window is how far back figures go.
const Window = time.Hour

const (
	step  = 10 * time.Second // of the figures of the whole gateway
	steps = int(Window / step)

	maxWebhooks     = 10_000
	maxDestinations = 5_000
	maxReloads      = 100

	// Samples of requests that were not stored: how many, and how much of each.
	maxSamples      = 256
	samplesASecond  = 4 // of one webhook, so that a flood leaves something of the others
	maxSampleHeader = 8 << 10
	maxSamplePath   = 1 << 10
)

// Log is what happened lately. Its methods may be called from any goroutine.
type Log struct {
	deliver.NopObserver
	now     func() time.Time
	started time.Time

	mu           sync.Mutex
	intervals    [steps]interval
	webhooks     map[Webhook]*traffic
	destinations map[string]*sendings
	reloads      []Reload // newest last
	samples      [maxSamples]*ingest.Turned
	sampled      int // ever

	streams atomic.Pointer[[]*Stream] // replaced whole; nil where nobody listens
	opening sync.Mutex
	dropped atomic.Int64
}

var (
	_ ingest.Observer  = (*Log)(nil)
	_ deliver.Observer = (*Log)(nil)
)

// Webhook names a webhook of an integration.
type Webhook struct{ Workspace, Integration, Webhook, Connector string }

// interval is the figures of one step.
type interval struct {
	at int64 // Unix seconds / step; figures of another time are void
	Counts
	ack, delivered histogram
}

// Counts are sums over some time.
type Counts struct {
	// Requests are those that were stored; Failed and Refused are among them.
	Requests, Failed, Refused int64
	// Turned are requests that were answered without being stored:
	// handshakes, Unverified ones, and those that could not be taken.
	Turned, Unverified, Unavailable int64
	Events, Duplicates, Deliveries  int64
	// Attempts of deliveries and those that failed; deliveries that became done and dead.
	Attempts, FailedAttempts, Done, Dead int64
	// Bytes of the bodies of Requests.
	Bytes int64
}

func (c *Counts) add(o *Counts) {
	c.Requests += o.Requests
	c.Failed += o.Failed
	c.Refused += o.Refused
	c.Turned += o.Turned
	c.Unverified += o.Unverified
	c.Unavailable += o.Unavailable
	c.Events += o.Events
	c.Duplicates += o.Duplicates
	c.Deliveries += o.Deliveries
	c.Attempts += o.Attempts
	c.FailedAttempts += o.FailedAttempts
	c.Done += o.Done
	c.Dead += o.Dead
	c.Bytes += o.Bytes
}

// New returns an empty log. now is the clock.
func New(now func() time.Time) *Log {
	return &Log{now: now, started: now(), webhooks: map[Webhook]*traffic{}, destinations: map[string]*sendings{}}
}

// current is the interval of now. The lock is held.
func (l *Log) current(now time.Time) *interval {
	at := now.Unix() / int64(step/time.Second)
	i := &l.intervals[at%int64(steps)]
	if i.at != at {
		*i = interval{at: at}
	}
	return i
}

// Stored implements ingest.Observer.
func (l *Log) Stored(rec *hook.Record, took time.Duration) {
	r := rec.Request
	duplicates := 0
	for _, e := range rec.Events {
		if e.Duplicate {
			duplicates++
		}
	}
	failed := rec.Outcome == hook.Failed
	now := l.now()
	l.mu.Lock()
	i := l.current(now)
	i.Requests++
	i.Bytes += int64(len(r.Body))
	i.Events += int64(len(rec.Events))
	i.Duplicates += int64(duplicates)
	i.Deliveries += int64(len(rec.Deliveries))
	if failed {
		i.Failed++
	} else if rec.Outcome == hook.Refused {
		i.Refused++
	}
	i.ack.add(took)
	l.webhook(Webhook{r.Workspace, r.Integration, r.Webhook, r.Connector}, now).add(now, failed)
	l.mu.Unlock()
	l.publishStored(rec)
}

// Turned implements ingest.Observer.
func (l *Log) Turned(t ingest.Turned) {
	now := l.now()
	l.mu.Lock()
	i := l.current(now)
	i.Turned++
	failed := false
	switch t.Kind {
	case "unverified":
		i.Unverified++
		failed = true
	case "unavailable":
		i.Unavailable++
		failed = true
	}
	i.ack.add(t.Took)
	w := l.webhook(Webhook{t.Workspace, t.Integration, t.Webhook, t.Connector}, now)
	w.add(now, failed)
	if w.sample(now) {
		l.samples[l.sampled%maxSamples] = sample(t)
		l.sampled++
	}
	l.mu.Unlock()
	l.publishTurned(&t)
}

// sample is what is kept of a request that was not stored.
func sample(t ingest.Turned) *ingest.Turned {
	t.Path = strings.Clone(t.Path[:min(len(t.Path), maxSamplePath)])
	size, fields := 0, 0
	for _, h := range t.Headers {
		if size += len(h.Name) + len(h.Value); size > maxSampleHeader {
			break
		}
		fields++
	}
	t.Headers = slices.Clone(t.Headers[:fields])
	return &t
}

// Turns are samples of the last requests that were answered without being
// stored, newest first: of each webhook the first few of a second. They have
// no body, and the beginning of their headers only.
func (l *Log) Turns() []ingest.Turned {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []ingest.Turned
	for n := l.sampled - 1; n >= max(0, l.sampled-maxSamples); n-- {
		list = append(list, *l.samples[n%maxSamples])
	}
	return list
}

// Attempted implements deliver.Observer.
func (l *Log) Attempted(sub *hook.Subscription, d *hook.Delivery, a hook.Attempt, next hook.DeliveryState) {
	now := l.now()
	l.mu.Lock()
	i := l.current(now)
	i.Attempts++
	ok := a.Class == "ok"
	if !ok {
		i.FailedAttempts++
	}
	switch next {
	case hook.Done:
		i.Done++
		i.delivered.add(a.At.Add(a.Took).Sub(d.ReceivedAt))
	case hook.Dead:
		i.Dead++
	}
	l.destination(d.Subscription, now).add(now, ok, a.Took)
	l.mu.Unlock()
	l.publishAttempt(d, &a, next)
}

// Reload is one reading of config.yaml and the connectors.
type Reload struct {
	At   time.Time
	Took time.Duration
	// Generation is the one that serves since; where OK is false, the one that stayed.
	Generation uint64
	// OK: the configuration was taken over. Connectors of it may be broken nevertheless.
	OK bool
	// Changed are the connectors that were loaded, became broken, or are gone.
	Changed []ChangedConnector
	// Problems are all findings.
	Problems diagnostic.List
}

// ChangedConnector says what a reload made of a connector.
type ChangedConnector struct {
	Key string
	// State is that of live.Connector, or "removed".
	State string
}

// Reloaded notes a reload.
func (l *Log) Reloaded(r Reload) {
	l.mu.Lock()
	if len(l.reloads) == maxReloads {
		l.reloads = append(l.reloads[:0], l.reloads[1:]...)
	}
	l.reloads = append(l.reloads, r)
	l.mu.Unlock()
	l.publish("reload", &Message{Kind: "reload", Reload: &r}, nil)
}

// Reloads are the last ones, newest first.
func (l *Log) Reloads() []Reload {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]Reload, len(l.reloads))
	for i, r := range l.reloads {
		list[len(list)-1-i] = r
	}
	return list
}

// Started is when the log began.
func (l *Log) Started() time.Time { return l.started }

// Point is the figures of some time.
type Point struct {
	// At is when the time began, and Seconds its length.
	At      time.Time
	Seconds int
	Counts
	// From receipt to acknowledgement, and from receipt to delivery.
	Ack, Delivered Latency
}

// Recent sums the last minute, which ends now.
func (l *Log) Recent() Point { return l.sum(time.Minute, 1)[0] }

// Hour is the last hour by the minute, oldest first; the last point is under way.
func (l *Log) Hour() []Point { return l.sum(time.Minute, 60) }

// sum returns n points of a length that is a multiple of step.
func (l *Log) sum(length time.Duration, n int) []Point {
	per := int64(length / step)
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.now().Unix() / int64(step/time.Second)
	first := last - per + 1 // of a single point: it ends now
	if n > 1 {
		first = (last/per - int64(n) + 1) * per // points begin with the minute
	}
	points := make([]Point, n)
	for i := range points {
		p := &points[i]
		from := first + int64(i)*per
		p.At, p.Seconds = time.Unix(from*int64(step/time.Second), 0).UTC(), int(length/time.Second)
		var ack, delivered histogram
		for at := max(from, 0); at < from+per; at++ {
			if v := &l.intervals[at%int64(steps)]; v.at == at {
				p.add(&v.Counts)
				ack.merge(&v.ack)
				delivered.merge(&v.delivered)
			}
		}
		p.Ack, p.Delivered = ack.latency(), delivered.latency()
	}
	return points
}
