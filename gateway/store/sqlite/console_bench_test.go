package sqlite

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"switchhook/gateway/hook"
	"switchhook/gateway/store"
)

// fillMixed appends n requests as a gateway sees them over time: one in a
// thousand fails, one in a thousand is refused with 404, handshakes among them;
// of the first tenth the deliveries of one subscription are dead, those of the rest done.
func fillMixed(b *testing.B, s *Store, n int64) {
	b.Helper()
	ctx := context.Background()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if i > n {
					return
				}
				rec := benchRecord(i, 1000)
				rec.Request.Body = fmt.Appendf(nil, `{"number":%d,"text":%q}`, i, benchBody[:150])
				for _, e := range rec.Events {
					e.Payload, e.FromBody = rec.Request.Body, true
				}
				switch i % 1000 {
				case 1:
					rec.Outcome, rec.Response.Status, rec.Failure = hook.Failed, 500, &hook.Failure{Kind: "thrown", Message: "Error: boom"}
				case 2:
					rec.Outcome, rec.Response.Status, rec.Failure = hook.Refused, 404, &hook.Failure{Kind: "refused", Message: "not here"}
				case 3:
					rec.Outcome = hook.Handshake
				}
				if rec.Outcome != hook.Accepted {
					rec.Events, rec.Deliveries = nil, nil
				}
				if err := s.Append(ctx, rec); err != nil {
					b.Error(err)
					return
				}
				var sets []hook.Settlement
				for k, d := range rec.Deliveries {
					x := settled(d.ID)
					if i < n/10 && k == 0 {
						x.Next, x.Attempt.Class, x.Attempt.Error = hook.Dead, "status", "the receiver answered 500"
					}
					sets = append(sets, x)
				}
				if i < n*9/10 {
					if err := s.Settle(ctx, sets...); err != nil {
						b.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkConsole answers what the console asks, of a store with very many
// requests: each of it must take less than 100 ms. The first page of what is
// not there at all is the worst, since it is looked for as far as one page goes.
func BenchmarkConsole(b *testing.B) {
	n := int64(20_000)
	if *million {
		n = 1_000_000
	}
	s := benchOpen(b)
	began := time.Now()
	fillMixed(b, s, n)
	b.Logf("%d requests in %v", n, time.Since(began))
	ctx := context.Background()
	requests := func(q store.RequestQuery) func() error {
		return func() error { _, _, err := s.Requests(ctx, q); return err }
	}
	deliveries := func(q store.DeliveryQuery) func() error {
		return func() error { _, _, err := s.Deliveries(ctx, q); return err }
	}
	for _, c := range []struct {
		name string
		run  func() error
	}{
		{"requests", requests(store.RequestQuery{})},
		{"failed", requests(store.RequestQuery{Outcome: hook.Failed})},
		{"failed of an integration that has none", requests(store.RequestQuery{Outcome: hook.Failed, Integration: "github7"})},
		{"status 404", requests(store.RequestQuery{MinStatus: 404, MaxStatus: 404})},
		{"status nobody got", requests(store.RequestQuery{MinStatus: 418, MaxStatus: 418})},
		{"status of a class nobody got", requests(store.RequestQuery{MinStatus: 300, MaxStatus: 399})},
		{"text that is in one old body", requests(store.RequestQuery{Text: `"number":777,`})},
		{"text that is nowhere", requests(store.RequestQuery{Text: "nowhere to be found"})},
		{"text of an integration", requests(store.RequestQuery{Text: "nowhere to be found", Integration: "github7"})},
		{"a minute long ago", requests(store.RequestQuery{After: began, Before: began.Add(time.Second)})},
		{"deliveries", deliveries(store.DeliveryQuery{})},
		{"dead of a subscription", deliveries(store.DeliveryQuery{Subscription: "demo/sub2", State: hook.Dead})},
		{"dead of one that has none", deliveries(store.DeliveryQuery{Subscription: "demo/sub3", State: hook.Dead})},
		{"deliveries of an old request", deliveries(store.DeliveryQuery{RequestID: benchRecord(777, 1000).Request.ID})},
		{"an old request", func() error { _, err := s.Request(ctx, benchRecord(777, 1000).Request.ID); return err }},
		{"backlog of 1000 subscriptions", func() error {
			for i := range 1000 {
				if _, err := s.Backlog(ctx, fmt.Sprint("demo/sub", i), 1000); err != nil {
					return err
				}
			}
			return nil
		}},
		{"stats", func() error { _, err := s.Stats(ctx); return err }},
	} {
		b.Run(c.name, func(b *testing.B) {
			worst, cpu := time.Duration(0), cpuTime(b)
			for range b.N {
				at := time.Now()
				if err := c.run(); err != nil {
					b.Fatal(err)
				}
				worst = max(worst, time.Since(at))
			}
			b.ReportMetric(float64(worst.Microseconds())/1000, "worst-ms")
			b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}
