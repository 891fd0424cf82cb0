package server_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"switchhook/gateway/server"
)

// webhook is a request as GitHub's are: 18 header fields and a body of 7 KB.
func webhook(path string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: hooks.example.com\r\n", path)
	for i := range 14 {
		fmt.Fprintf(&b, "X-Header-Number-%d: some-value-of-usual-length-%d\r\n", i, i)
	}
	body := `{"ref":"refs/heads/main","text":"` + strings.Repeat("0123456789abcdef", 440) + `"}`
	fmt.Fprintf(&b, "User-Agent: GitHub-Hookshot/1a2b3c\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	return b.String()
}

// load sends requests over 16 connections and reads as many answers of a known size.
func load(b *testing.B, addr, request string) {
	b.Helper()
	b.ReportAllocs()
	var left atomic.Int64
	left.Store(int64(b.N))
	// The time of the processor, client included, is steadier than the clock's.
	before := processorTime(b)
	defer func() { b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op") }()
	var wg sync.WaitGroup
	for range 16 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		wg.Go(func() {
			defer func() { _ = c.Close() }()
			r := bufio.NewReaderSize(c, 16<<10)
			message := []byte(request)
			var resp fasthttp.Response
			for left.Add(-1) >= 0 {
				if _, err := c.Write(message); err != nil {
					b.Error(err)
					return
				}
				if err := resp.Read(r); err != nil || resp.StatusCode() != 200 || len(resp.Body()) < 7000 {
					b.Errorf("%v, %d", err, resp.StatusCode())
					return
				}
			}
		})
	}
	wg.Wait()
}

func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkEcho compares with fasthttp alone. A gateway's heap is larger than a
// benchmark's, so the collector runs less often than it would here.
func BenchmarkEcho(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	const path = "/demo/github/events/0123456789abcdef0123456789abcdef"
	b.Run("server", func(b *testing.B) {
		s := start(b, server.Options{Gateway: urls{path: echo}, PublicURL: "https://hooks.example.com"})
		b.ResetTimer()
		load(b, s.addr, webhook(path))
	})
	b.Run("fasthttp", func(b *testing.B) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		bare := fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBody(ctx.PostBody()) }, ReadBufferSize: 64 << 10, MaxIdleWorkerDuration: 250 * time.Millisecond}
		go func() { _ = bare.Serve(ln) }()
		defer func() { _ = bare.Shutdown() }()
		b.ResetTimer()
		load(b, ln.Addr().String(), webhook(path))
	})
}

// BenchmarkUnknownURL is what a guessed token costs.
func BenchmarkUnknownURL(b *testing.B) {
	s := start(b, server.Options{Gateway: urls{}, Logger: slog.New(slog.DiscardHandler)})
	c := s.dial(b)
	var resp fasthttp.Response
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.WriteString(c, "GET /demo/github/events/0123456789abcdef0123456789abcdef HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			b.Fatal(err)
		}
		if err := resp.Read(c.r); err != nil || resp.StatusCode() != 404 {
			b.Fatal(err, resp.StatusCode())
		}
	}
}

func BenchmarkNewIDs(b *testing.B) {
	next := server.NewIDs("req_", time.Now)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			next()
		}
	})
}
