package tests

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkDelivery measures durable deliveries from end to end: 64 connections
// send a 7 KB push to the real program, which stores it, runs a handler and delivers the event to
// a local receiver. It reports deliveries a second, the CPU time of the gateway's
// process per delivery, the bytes it had written to disk per request, and the time
// from a webhook's sending to its delivery. A second subscription wants the same events; it is paused,
// or its receiver hangs for its whole timeout, or is down: so the lines show
// what a bad destination costs a good one, too.
func BenchmarkDelivery(b *testing.B) {
	hang := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer hanging.Close()
	defer close(hang)
	for _, other := range []struct{ name, url, more string }{
		{"alone", hanging.URL, "paused: true, "},
		{"beside-hanging", hanging.URL, ""},
		{"beside-down", "http://127.0.0.1:1", ""},
	} {
		b.Run(other.name, func(b *testing.B) {
			benchmarkDelivery(b, fmt.Sprintf(`      other: {integration: echo, selector: "**", %sdestination: {type: http, url: "%s", allow: [127.0.0.0/8]}}`, other.more, other.url))
		})
	}
}

func benchmarkDelivery(b *testing.B, other string) {
	var mu sync.Mutex
	took := make([]time.Duration, 0, b.N)
	sent := make([]atomic.Int64, b.N)
	began := time.Now()
	all := make(chan struct{})
	url := sink(b, func(n int) {
		mu.Lock()
		defer mu.Unlock()
		took = append(took, time.Since(began)-time.Duration(sent[n].Load()))
		if len(took) == b.N {
			close(all)
		}
	})
	g := newGateway(b, fmt.Sprintf(`{type: http, url: "%s", allow: [127.0.0.0/8]}`, url), other)
	g.start()
	pid := g.cmd.Process.Pid
	b.SetBytes(int64(len(pushPayload())))
	cpu, disk := cpuOf(b, pid), writtenBy(b, pid)
	b.ResetTimer()
	began = time.Now()
	pushAll(b, g.url, func(n int64) { sent[n].Store(int64(time.Since(began))) })
	select {
	case <-all:
	case <-time.After(time.Minute):
		b.Fatal("not all arrived")
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
	b.ReportMetric(float64((cpuOf(b, pid)-cpu).Microseconds())/float64(b.N), "cpu-µs/delivery")
	b.ReportMetric(float64(writtenBy(b, pid)-disk)/float64(b.N), "written-B/request")
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	g.kill()
}

// pushAll sends b.N pushes of 7 KB over 64 connections, each with its number.
func pushAll(b *testing.B, url string, sending func(n int64)) {
	push := pushPayload()
	host := strings.TrimPrefix(url, "http://")
	host, path, _ := strings.Cut(host, "/")

	var next atomic.Int64
	var clients sync.WaitGroup
	for range 64 {
		clients.Go(func() {
			conn, err := net.Dial("tcp", host)
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			r := bufio.NewReader(conn)
			for n := next.Add(1) - 1; n < int64(b.N); n = next.Add(1) - 1 {
				// The number stands in the body, so that the receiver knows which it is.
				body := append(fmt.Appendf(nil, `{"n":%08d,`, 0), push[1:]...)
				copy(body[5:], fmt.Sprintf("%8d", n))
				head := fmt.Sprintf("POST /%s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", path, len(body))
				sending(n)
				if _, err := conn.Write(append([]byte(head), body...)); err != nil {
					b.Error(err)
					return
				}
				if err := accepted(r); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// BenchmarkDeliveryApart takes BenchmarkDelivery apart. Pushes are received and stored while their subscription is
// paused, and delivered when it is resumed; then as many are received and delivered at once. So it tells the CPU time of
// the gateway's process for receiving one; for delivering one from the store (claimed, sent with a
// signature, and settled); and for delivering one at once, which is the rest when receiving it is taken off.
func BenchmarkDeliveryApart(b *testing.B) {
	arrived := make(chan struct{}, 2*b.N)
	url := sink(b, func(int) { arrived <- struct{}{} })
	all := func() {
		b.Helper()
		late := time.After(time.Minute)
		for range b.N {
			select {
			case <-arrived:
			case <-late:
				b.Fatal("not all arrived")
			}
		}
	}
	g := newGateway(b, fmt.Sprintf(`{type: http, url: "%s", allow: [127.0.0.0/8], secrets: [whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw]}, paused: true`, url))
	g.start()
	pid := g.cmd.Process.Pid
	cpu := []time.Duration{cpuOf(b, pid)}
	b.ResetTimer()
	pushAll(b, g.url, func(int64) {})
	cpu = append(cpu, cpuOf(b, pid))

	path := filepath.Join(g.dir, "config.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte(", paused: true"), nil, 1), 0o600); err != nil {
		b.Fatal(err)
	}
	all()
	cpu = append(cpu, cpuOf(b, pid))

	pushAll(b, g.url, func(int64) {})
	all()
	cpu = append(cpu, cpuOf(b, pid))
	b.StopTimer()
	each := func(i int) float64 { return float64((cpu[i] - cpu[i-1]).Microseconds()) / float64(b.N) }
	b.ReportMetric(each(1), "cpu-µs/received")
	b.ReportMetric(each(2), "cpu-µs/from-store")
	b.ReportMetric(each(3)-each(1), "cpu-µs/at-once")
	g.kill()
}

// sink answers deliveries as cheaply as can be, and tells the number of each.
func sink(b *testing.B, received func(n int)) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	serve := func(conn net.Conn) {
		defer conn.Close()
		r := bufio.NewReaderSize(conn, 16<<10)
		for {
			size := 0
			for {
				line, err := r.ReadSlice('\n')
				if err != nil {
					return
				}
				if len(line) == 2 {
					break
				}
				if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
					size, _ = strconv.Atoi(string(bytes.TrimSpace(v)))
				}
			}
			start, err := r.Peek(len(`{"n":12345678`))
			if err != nil {
				return
			}
			n, err := strconv.Atoi(string(bytes.TrimSpace(start[5:])))
			if err != nil {
				b.Errorf("what was received is not one of ours: %q", start)
				return
			}
			if _, err := r.Discard(size); err != nil {
				return
			}
			received(n)
			if _, err := conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return "http://" + l.Addr().String()
}

// cpuOf is the CPU time that a process has used, in steps of 10 ms.
func cpuOf(b *testing.B, pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Skip("the kernel does not tell the CPU time of processes: ", err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil {
		b.Fatal(err1, err2)
	}
	return time.Duration(user+system) * time.Second / 100
}

// writtenBy is how many bytes a process has had written to disk: 0 on a file system in memory.
func writtenBy(b *testing.B, pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		b.Skip("the kernel does not tell what processes write: ", err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	return 0
}
