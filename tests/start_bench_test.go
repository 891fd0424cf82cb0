package tests

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"switchhook/gateway/hook"
	"switchhook/gateway/store/sqlite"
)

// BenchmarkStart measures the start of the real program with as many stored subscriptions as
// there are rounds, each with a URL and a selector of its own: until it takes
// requests, the CPU time until then, and how much memory it took at most.
func BenchmarkStart(b *testing.B) {
	g := newGateway(b, "{type: stdout}, paused: true")
	s, err := sqlite.Open(filepath.Join(g.dir, "data"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				sub := &hook.Subscription{Workspace: "main", Name: fmt.Sprint("sub", i), Integration: "echo", Webhook: "events", Selector: fmt.Sprint("order/", i),
					Destination: hook.Destination{Type: "http", URL: fmt.Sprintf("https://customer%d.example.com/hooks", i), Secrets: []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
						Retry: hook.RetryPolicy{Delays: hook.DefaultRetryDelays, Jitter: 0.1}, Timeout: 15 * time.Second, Concurrency: 16}}
				if err := s.PutSubscription(context.Background(), sub); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	if b.Failed() {
		b.FailNow()
	}
	b.ResetTimer()
	g.start()
	b.StopTimer()
	pid := g.cmd.Process.Pid
	b.ReportMetric(b.Elapsed().Seconds(), "s/start")
	b.ReportMetric(cpuOf(b, pid).Seconds(), "cpu-s/start")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Skip("the kernel does not tell the memory of processes: ", err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	most, err := strconv.Atoi(string(m[1]))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(most)/1000, "MB-at-most")
	g.kill()
}
