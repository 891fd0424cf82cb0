package activity

import (
	"math"
	"time"
)

// histogram counts durations in buckets whose bounds grow by the fourth root
// of two, from 50 µs to half an hour; what it says of them is right to a tenth.
type histogram [buckets]uint32

const (
	buckets     = 102
	firstBucket = 50 * time.Microsecond
	perOctave   = 4
)

func (h *histogram) add(d time.Duration) {
	i := 0
	if d > firstBucket {
		i = min(int(math.Log2(float64(d)/float64(firstBucket))*perOctave)+1, buckets-1)
	}
	h[i]++
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o {
		h[i] += n
	}
}

// Latency are quantiles; zero where nothing was measured.
type Latency struct {
	Count         int64
	P50, P95, P99 time.Duration
}

func (h *histogram) latency() (l Latency) {
	for _, n := range h {
		l.Count += int64(n)
	}
	if l.Count > 0 {
		l.P50, l.P95, l.P99 = h.quantile(0.5, l.Count), h.quantile(0.95, l.Count), h.quantile(0.99, l.Count)
	}
	return l
}

func (h *histogram) quantile(q float64, count int64) time.Duration {
	rank := int64(math.Ceil(q * float64(count)))
	for i, n := range h {
		if rank -= int64(n); rank <= 0 {
			// The geometric middle of the bucket.
			return time.Duration(float64(firstBucket) * math.Exp2((float64(i)-0.5)/perOctave)).Round(time.Microsecond)
		}
	}
	return 0
}

const minutes = int(Window / time.Minute)

// perMinute counts what happened, and what of it failed, for each minute of the window.
type perMinute struct {
	at          [minutes]int32 // Unix minutes; counts of another time are void
	all, failed [minutes]uint32
	used        int64 // Unix seconds
}

func (p *perMinute) add(now time.Time, failed bool) {
	p.used = now.Unix()
	minute := int32(p.used / 60)
	i := int(minute) % minutes
	if p.at[i] != minute {
		p.at[i], p.all[i], p.failed[i] = minute, 0, 0
	}
	p.all[i]++
	if failed {
		p.failed[i]++
	}
}

// Traffic is the counts of each minute of the last hour, oldest first.
type Traffic struct{ All, Failed [minutes]int }

func (t *Traffic) add(p *perMinute, now time.Time) {
	last := int32(now.Unix() / 60)
	for i := range minutes {
		minute := last - int32(minutes-1-i)
		if at := int(minute) % minutes; minute > 0 && p.at[at] == minute {
			t.All[i] += int(p.all[at])
			t.Failed[i] += int(p.failed[at])
		}
	}
}

// Sums are the totals of the hour.
func (t *Traffic) Sums() (all, failed int) {
	for i := range t.All {
		all += t.All[i]
		failed += t.Failed[i]
	}
	return all, failed
}

// traffic is the requests to one webhook.
type traffic struct {
	perMinute
	sampledAt, samples int64 // the second in which so many samples were taken
}

// sample reports whether another sample may be taken.
func (t *traffic) sample(now time.Time) bool {
	if at := now.Unix(); t.sampledAt != at {
		t.sampledAt, t.samples = at, 0
	}
	t.samples++
	return t.samples <= samplesASecond
}

// webhook is the traffic of one. The lock is held.
func (l *Log) webhook(w Webhook, now time.Time) *traffic {
	t := l.webhooks[w]
	if t == nil {
		evict(l.webhooks, maxWebhooks, func(t *traffic) int64 { return t.used })
		t = &traffic{}
		l.webhooks[w] = t
	}
	return t
}

// sendings are the attempts of one subscription, with how long they took.
type sendings struct {
	perMinute
	took [6]histogram // of ten minutes each
	at   [6]int32
}

func (s *sendings) add(now time.Time, ok bool, took time.Duration) {
	s.perMinute.add(now, !ok)
	at := int32(now.Unix() / 600)
	i := int(at) % len(s.took)
	if s.at[i] != at {
		s.at[i], s.took[i] = at, histogram{}
	}
	s.took[i].add(took)
}

// destination is the attempts of one subscription. The lock is held.
func (l *Log) destination(id string, now time.Time) *sendings {
	s := l.destinations[id]
	if s == nil {
		evict(l.destinations, maxDestinations, func(s *sendings) int64 { return s.used })
		s = &sendings{}
		l.destinations[id] = s
	}
	return s
}

// evict makes room for one more: the one that was used longest ago goes, of
// some that the map happens to yield first.
func evict[K comparable, V any](m map[K]V, most int, used func(V) int64) {
	if len(m) < most {
		return
	}
	var oldest K
	first, n := int64(math.MaxInt64), 0
	for k, v := range m {
		if u := used(v); u < first {
			oldest, first = k, u
		}
		if n++; n == 32 {
			break
		}
	}
	delete(m, oldest)
}

// TrafficOf is the requests to a webhook over the last hour.
func (l *Log) TrafficOf(w Webhook) Traffic {
	var t Traffic
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.webhooks[w]; p != nil {
		t.add(&p.perMinute, l.now())
	}
	return t
}

// TrafficByConnector is the traffic of all connectors that had any.
func (l *Log) TrafficByConnector() map[string]*Traffic {
	all := map[string]*Traffic{}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for w, p := range l.webhooks {
		if all[w.Connector] == nil {
			all[w.Connector] = &Traffic{}
		}
		all[w.Connector].add(&p.perMinute, now)
	}
	return all
}

// Sending is the attempts of a subscription in the last hour.
type Sending struct {
	Traffic
	// Took is how long attempts took.
	Took Latency
}

// SendingOf is the attempts of a subscription in the last hour.
func (l *Log) SendingOf(subscription string) Sending {
	var s Sending
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.destinations[subscription]
	if p == nil {
		return s
	}
	now := l.now()
	s.add(&p.perMinute, now)
	var took histogram
	last := int32(now.Unix() / 600)
	for i := range p.took {
		if last-p.at[i] < int32(len(p.took)) {
			took.merge(&p.took[i])
		}
	}
	s.Took = took.latency()
	return s
}
