package tests

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"switchhook/gateway/app"
	"switchhook/gateway/config"
	"switchhook/spec/diagnostic"
)

// BenchmarkConsoleOpen measures what it costs requests that somebody looks: the
// whole gateway takes a push over 64 connections, in turns without and with a live stream open
// that is sent requests, as the console's list asks for, or everything. Compared is the CPU time per request, client and reader of the
// stream included; cost-% is the median of the turns.
func BenchmarkConsoleOpen(b *testing.B) {
	b.Run("requests", func(b *testing.B) { benchmarkConsoleOpen(b, "?kinds=request,turned") })
	b.Run("everything", func(b *testing.B) { benchmarkConsoleOpen(b, "") })
}

func benchmarkConsoleOpen(b *testing.B, query string) {
	dir := b.TempDir()
	// In the gateway's own process, so that all CPU time is seen.
	settings := "server: {listen: 127.0.0.1:0}\nadmin: {listen: 127.0.0.1:0}\nscripts: {isolation: in-process}\n" + benchConfig
	cfg := benchFolder(b, dir, settings)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	g, err := app.New(ctx, app.Options{Config: cfg, Version: "bench", Logger: slog.New(slog.DiscardHandler), Stdout: io.Discard, Report: func(diagnostic.List) {},
		LoadConfig: func() (*config.Config, diagnostic.List) { return cfg, nil }})
	if err != nil {
		b.Fatal(err)
	}
	defer g.Close()
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	webhooks, admin := g.Addresses()
	push := newPusher(b, webhooks, g.Live().Current().Endpoints[0].Path)
	push.send(200) // until everything is warm

	var read int64
	cost := func(open bool) float64 {
		if open {
			resp, err := http.Get("http://" + admin + "/api/v1/stream" + query)
			if err != nil || resp.StatusCode != 200 {
				b.Fatal(resp, err)
			}
			var reading sync.WaitGroup
			reading.Go(func() {
				n, _ := io.Copy(io.Discard, resp.Body) // until it is closed
				read += n
			})
			defer reading.Wait()
			defer resp.Body.Close()
		}
		const n = 1000
		before := cpuTime()
		push.send(n)
		return float64((cpuTime() - before).Nanoseconds()) / n
	}
	var shares, closed []float64
	b.ResetTimer()
	for range b.N {
		without, with := cost(false), cost(true)
		shares, closed = append(shares, with/without-1), append(closed, without)
	}
	b.StopTimer()
	slices.Sort(shares)
	slices.Sort(closed)
	b.ReportMetric(100*shares[len(shares)/2], "cost-%")
	b.ReportMetric(closed[len(closed)/2]/1000, "cpu-µs/request")
	b.ReportMetric(float64(read)/float64(b.N*1000), "streamed-B/request")
	b.ReportMetric(0, "ns/op")
	push.close()
	cancel()
	if err := <-done; err != nil {
		b.Error(err)
	}
}

// pusher sends pushes over 64 connections, as cheaply as it can.
type pusher struct {
	b       *testing.B
	todo    chan *sync.WaitGroup
	clients sync.WaitGroup
}

func newPusher(b *testing.B, addr, path string) *pusher {
	body := pushPayload()
	mac := hmac.New(sha256.New, []byte("s3cret"))
	mac.Write(body)
	request := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nX-GitHub-Event: push\r\n"+
		"X-Hub-Signature-256: sha256=%s\r\nContent-Length: %d\r\n\r\n", path, hex.EncodeToString(mac.Sum(nil)), len(body))
	request = append(request, body...)
	p := &pusher{b: b, todo: make(chan *sync.WaitGroup)}
	for range 64 {
		p.clients.Go(func() { p.run(addr, request) })
	}
	return p
}

func (p *pusher) run(addr string, request []byte) {
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		p.b.Error(err)
		return
	}
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 4096)
	for batch := range p.todo {
		_, err := conn.Write(request)
		if err == nil {
			var resp *http.Response
			if resp, err = http.ReadResponse(r, nil); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					err = fmt.Errorf("status %d", resp.StatusCode)
				}
			}
		}
		batch.Done()
		if err != nil {
			p.b.Error(err)
		}
	}
}

// send sends n pushes and returns when all are answered.
func (p *pusher) send(n int) {
	var batch sync.WaitGroup
	batch.Add(n)
	for range n {
		p.todo <- &batch
	}
	batch.Wait()
}

func (p *pusher) close() {
	close(p.todo)
	p.clients.Wait()
}
