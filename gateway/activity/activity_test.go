package activity_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"switchhook/gateway/activity"
	"switchhook/gateway/hook"
	"switchhook/gateway/ingest"
	"switchhook/gateway/store"
)

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func start() (*activity.Log, *clock) {
	c := &clock{now: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)}
	return activity.New(c.Now), c
}

func record(outcome hook.Outcome, webhook string) *hook.Record {
	e := &hook.Event{ID: "evt_1", Selector: "push/octocat"}
	return &hook.Record{
		Request: &hook.Request{ID: "req_1", Workspace: "w", Integration: "i", Webhook: webhook, Connector: "c", Path: "/w/i/" + webhook, Body: []byte(`{"needle":1}`)},
		Outcome: outcome, Response: hook.Response{Status: 200}, Events: []*hook.Event{e, {Duplicate: true}},
		Deliveries: []*hook.Delivery{{Event: e, Subscription: "w/s"}},
	}
}

func attempt(l *activity.Log, c *clock, sub, class string, next hook.DeliveryState, took time.Duration) {
	l.Attempted(&hook.Subscription{}, &hook.Delivery{ID: "dlv_1", Event: &hook.Event{RequestID: "req_1", Selector: "push/octocat"}, Subscription: sub,
		Workspace: "w", ReceivedAt: c.Now().Add(-time.Second)}, hook.Attempt{At: c.Now(), Took: took, Class: class}, next)
}

func TestFigures(t *testing.T) {
	l, c := start()
	for range 99 {
		l.Stored(record(hook.Accepted, "h"), 2*time.Millisecond)
	}
	l.Stored(record(hook.Failed, "h"), time.Second)
	l.Turned(ingest.Turned{Workspace: "w", Integration: "i", Webhook: "h", Connector: "c", Kind: "unverified", Took: time.Millisecond})
	attempt(l, c, "w/s", "ok", hook.Done, 10*time.Millisecond)
	attempt(l, c, "w/s", "timeout", hook.Pending, 10*time.Second)
	attempt(l, c, "w/s", "gone", hook.Dead, 10*time.Millisecond)
	want := activity.Counts{Requests: 100, Failed: 1, Turned: 1, Unverified: 1, Events: 200, Duplicates: 100, Deliveries: 100,
		Attempts: 3, FailedAttempts: 2, Done: 1, Dead: 1, Bytes: 1200}
	p := l.Recent()
	if p.Counts != want || p.Seconds != 60 {
		t.Errorf("recent: %+v", p)
	}
	near := func(what string, got, want time.Duration) {
		t.Helper()
		if got < want*9/10 || got > want*11/10 {
			t.Errorf("%s: %v, not about %v", what, got, want)
		}
	}
	near("p50", p.Ack.P50, 2*time.Millisecond)
	near("p95", p.Ack.P95, 2*time.Millisecond)
	near("delivered", p.Delivered.P50, 1010*time.Millisecond)
	if p.Ack.Count != 101 {
		t.Errorf("%d measured", p.Ack.Count)
	}
	c.pass(30 * time.Second)
	l.Stored(record(hook.Accepted, "h"), time.Millisecond)
	if got := l.Recent().Requests; got != 101 {
		t.Errorf("half a minute later: %d", got)
	}
	c.pass(35 * time.Second)
	if got := l.Recent().Requests; got != 1 {
		t.Errorf("after a minute: %d", got)
	}
	hour := l.Hour()
	if len(hour) != 60 || hour[58].Requests != 101 || hour[59].Requests != 0 || !hour[59].At.Equal(time.Date(2026, 1, 2, 3, 5, 0, 0, time.UTC)) {
		t.Errorf("the hour ends with %+v, %+v", hour[58].Counts, hour[59])
	}
	c.pass(58 * time.Minute)
	if hour := l.Hour(); hour[0].Requests != 101 {
		t.Errorf("the hour begins with %+v", hour[0])
	}
	c.pass(time.Minute)
	for _, p := range l.Hour() {
		if p.Counts != (activity.Counts{}) {
			t.Errorf("after the hour: %+v", p)
		}
	}
}

func TestTraffic(t *testing.T) {
	l, c := start()
	l.Stored(record(hook.Accepted, "a"), time.Millisecond)
	c.pass(10 * time.Minute)
	l.Stored(record(hook.Failed, "a"), time.Millisecond)
	l.Stored(record(hook.Accepted, "b"), time.Millisecond)
	attempt(l, c, "w/s", "ok", hook.Done, 20*time.Millisecond)
	attempt(l, c, "w/s", "status", hook.Pending, 20*time.Millisecond)
	a := l.TrafficOf(activity.Webhook{Workspace: "w", Integration: "i", Webhook: "a", Connector: "c"})
	if all, failed := a.Sums(); all != 2 || failed != 1 || a.All[49] != 1 || a.All[59] != 1 || a.Failed[59] != 1 {
		t.Errorf("of a: %+v", a)
	}
	if all, _ := l.TrafficByConnector()["c"].Sums(); all != 3 {
		t.Errorf("of the connector: %d", all)
	}
	s := l.SendingOf("w/s")
	if all, failed := s.Sums(); all != 2 || failed != 1 || s.Took.Count != 2 {
		t.Errorf("of the destination: %+v", s)
	}
	c.pass(51 * time.Minute)
	if all, failed := ptr(l.TrafficOf(activity.Webhook{Workspace: "w", Integration: "i", Webhook: "a", Connector: "c"})).Sums(); all != 1 || failed != 1 {
		t.Errorf("an hour after the first: %d, %d", all, failed)
	}
	c.pass(time.Hour)
	if s := l.SendingOf("w/s"); s.Took.Count != 0 {
		t.Errorf("an hour later: %+v", s.Took)
	}
}

func ptr[T any](v T) *T { return &v }

// TestBounds sees to it that nothing grows without end.
func TestBounds(t *testing.T) {
	l, c := start()
	kept := func(n int) (webhooks, destinations int) {
		for i := range n {
			if all, _ := ptr(l.TrafficOf(activity.Webhook{Workspace: "w", Integration: "i", Webhook: fmt.Sprint(i), Connector: "c"})).Sums(); all > 0 {
				webhooks++
			}
			if all, _ := ptr(l.SendingOf(fmt.Sprint("w/", i)).Traffic).Sums(); all > 0 {
				destinations++
			}
		}
		return webhooks, destinations
	}
	const n = 12_000
	for i := range n {
		l.Stored(record(hook.Accepted, fmt.Sprint(i)), time.Millisecond)
		attempt(l, c, fmt.Sprint("w/", i), "ok", hook.Done, time.Millisecond)
	}
	if webhooks, destinations := kept(n); webhooks != 10_000 || destinations != 5_000 {
		t.Errorf("%d webhooks and %d destinations are kept", webhooks, destinations)
	}
	for i := range 150 {
		l.Reloaded(activity.Reload{Generation: uint64(i)})
	}
	if r := l.Reloads(); len(r) != 100 || r[0].Generation != 149 || r[99].Generation != 50 {
		t.Errorf("%d reloads, from %d to %d", len(r), r[0].Generation, r[len(r)-1].Generation)
	}
}

func TestStreams(t *testing.T) {
	l, c := start()
	var kinds = func(f activity.Filter) (got []string) {
		t.Helper()
		s, err := l.Listen(f)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		l.Stored(record(hook.Accepted, "h"), time.Millisecond)
		l.Turned(ingest.Turned{ID: "req_2", Workspace: "w", Integration: "i", Webhook: "h", Connector: "c", Kind: "unverified", Status: 401})
		attempt(l, c, "w/s", "ok", hook.Done, time.Millisecond)
		l.Reloaded(activity.Reload{OK: true})
		l.Changed(store.Change{Action: "replay"})
		messages, dropped := s.Take()
		if dropped != 0 {
			t.Errorf("%d dropped", dropped)
		}
		for _, m := range messages {
			got = append(got, m.Kind)
		}
		return got
	}
	for _, test := range []struct {
		filter activity.Filter
		want   string
	}{
		{activity.Filter{}, "[request turned attempt reload change]"},
		{activity.Filter{Kinds: []string{"attempt", "change"}}, "[attempt change]"},
		{activity.Filter{Kinds: []string{"request"}, Text: "needle"}, "[request]"},
		{activity.Filter{Kinds: []string{"request"}, Text: "octocat"}, "[request]"},
		{activity.Filter{Kinds: []string{"request"}, Text: "req_1"}, "[request]"},
		{activity.Filter{Kinds: []string{"request"}, Text: "haystack"}, "[]"},
		{activity.Filter{Kinds: []string{"request", "turned"}, Outcome: "unverified"}, "[turned]"},
		{activity.Filter{Kinds: []string{"request", "turned"}, MinStatus: 400, MaxStatus: 499}, "[turned]"},
		{activity.Filter{Kinds: []string{"request", "turned", "attempt"}, Workspace: "x"}, "[]"},
		{activity.Filter{Kinds: []string{"request", "turned"}, Connector: "c", Webhook: "h", Integration: "i", Workspace: "w"}, "[request turned]"},
		{activity.Filter{Kinds: []string{"request", "turned", "attempt"}, Subscription: "w/s"}, "[request attempt]"},
		{activity.Filter{Kinds: []string{"request", "attempt"}, Subscription: "w/other"}, "[]"},
	} {
		if got := fmt.Sprint(kinds(test.filter)); got != test.want {
			t.Errorf("%+v: %s, not %s", test.filter, got, test.want)
		}
	}
	if open, _ := l.Streams(); open != 0 {
		t.Errorf("%d are open after all were closed", open)
	}
}

func TestSamples(t *testing.T) {
	l, c := start()
	turn := func(webhook string, n int) {
		for i := range n {
			l.Turned(ingest.Turned{ID: fmt.Sprint(webhook, i), Webhook: webhook, Kind: "unverified", Path: strings.Repeat("p", 5000),
				Headers: hook.Headers{{Name: "a", Value: strings.Repeat("v", 8000)}, {Name: "b", Value: strings.Repeat("v", 8000)}}})
		}
	}
	turn("flood", 1000)
	turn("quiet", 1)
	got := l.Turns()
	if len(got) != 5 || got[0].ID != "quiet0" || got[1].ID != "flood3" || len(got[0].Path) != 1024 || len(got[0].Headers) != 1 {
		t.Fatalf("%d samples, the first with a path of %d and %d fields", len(got), len(got[0].Path), len(got[0].Headers))
	}
	for range 100 {
		c.pass(time.Second)
		turn("flood", 1000)
	}
	if got := l.Turns(); len(got) != 256 || got[0].ID != "flood3" {
		t.Errorf("%d samples", len(got))
	}
}

func TestSlowReaders(t *testing.T) {
	l, _ := start()
	slow, err := l.Listen(activity.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	for range 1500 {
		l.Stored(record(hook.Accepted, "h"), time.Millisecond)
	}
	<-slow.Ready()
	if got, dropped := slow.Take(); len(got) != 1024 || dropped != 476 {
		t.Errorf("%d, and %d dropped", len(got), dropped)
	}
	if _, dropped := l.Streams(); dropped != 476 {
		t.Errorf("%d dropped in all", dropped)
	}
	l.Stored(record(hook.Accepted, "h"), time.Millisecond)
	<-slow.Ready()
	if got, dropped := slow.Take(); len(got) != 1 || dropped != 0 {
		t.Errorf("afterwards: %d, and %d dropped", len(got), dropped)
	}
	for n := 1; ; n++ {
		if _, err := l.Listen(activity.Filter{}); err != nil {
			if n != 64 || err != activity.ErrTooMany {
				t.Errorf("after %d: %v", n, err)
			}
			break
		}
	}
}

// TestTogether has everything happen at once; it is for the race detector.
func TestTogether(t *testing.T) {
	l := activity.New(time.Now)
	c := &clock{now: time.Now()}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for range 200 {
				l.Stored(record(hook.Accepted, fmt.Sprint(i)), time.Millisecond)
				attempt(l, c, "w/s", "ok", hook.Done, time.Millisecond)
			}
		})
		all.Go(func() {
			for range 50 {
				s, err := l.Listen(activity.Filter{})
				if err != nil {
					t.Error(err)
					return
				}
				s.Take()
				s.Close()
				l.Hour()
				l.SendingOf("w/s")
				l.TrafficByConnector()
			}
		})
	}
	all.Wait()
	if got := l.Recent().Requests; got != 800 {
		t.Errorf("%d requests", got)
	}
}

func BenchmarkStored(b *testing.B) {
	for _, streams := range []int{0, 1} {
		b.Run(fmt.Sprint("streams=", streams), func(b *testing.B) {
			l := activity.New(time.Now)
			for range streams {
				s, err := l.Listen(activity.Filter{})
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
			}
			rec := record(hook.Accepted, "h")
			b.ReportAllocs()
			for b.Loop() {
				l.Stored(rec, time.Millisecond)
			}
		})
	}
}
