package tests

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"switchhook/gateway/config"
	"switchhook/gateway/hook"
	"switchhook/gateway/ingest"
	"switchhook/gateway/live"
	"switchhook/gateway/script"
	"switchhook/gateway/script/worker"
	"switchhook/gateway/server"
	"switchhook/gateway/store/sqlite"
)

// BenchmarkPath measures the path of a request: a 7 KB JSON push comes in, is
// verified, handled by a function that emits two events, matched, stored
// durably and answered; 64 connections, client included. The handler runs in worker processes, as it does by default. Beside it the same
// in process, without JavaScript, without the store, without both, and the server alone,
// so that the share of each is visible. Besides the usual figures it reports
// requests a second and the CPU time (user and system, client included) per request.
func BenchmarkPath(b *testing.B) {
	for _, v := range []struct {
		name     string
		handlers isolation
		store    bool
	}{
		{"full", inWorkers, true},
		{"full-in-process", inGateway, true},
		{"without-script", nowhere, true},
		{"without-store", inWorkers, false},
		{"without-store-in-process", inGateway, false},
		{"without-both", nowhere, false},
	} {
		b.Run(v.name, func(b *testing.B) { benchmarkPath(b, v.handlers, v.store) })
	}
	b.Run("server-only", func(b *testing.B) {
		drive(b, serveTarget(b, gatewayFunc(func(string) (server.Target, bool) { return echoTarget{}, true })), "/x")
	})
}

const benchConnector = `
key: bench
name: Bench
parametersSchema: {type: object, required: [secret], properties: {secret: {type: string}}}
globalWebhooks:
  events:
    verify: {scheme: hmac-sha256, header: X-Hub-Signature-256, prefix: "sha256=", secret: parameters.secret}
    handle: |
      export default function handle({ data, headers }) {
        const repository = data.repository.full_name
        return {
          events: [
            { selector: 'push/' + repository, payload: data },
            { selector: 'ref/' + data.ref, payload: { head: data.after, repository } },
          ],
        }
      }
`

const benchConfig = `
data: data
workspaces:
  main:
    integrations:
      bench: {connector: bench, parameters: {secret: s3cret}}
    subscriptions:
      pushes: {integration: bench, webhook: events, selector: push/octocat/*, destination: {type: stdout}}
      refs: {integration: bench, webhook: events, selector: ref/**, destination: {type: stdout}}
`

// isolation is where the handlers of the benchmark run.
type isolation int

const (
	nowhere isolation = iota
	inGateway
	inWorkers
)

func benchmarkPath(b *testing.B, handlers isolation, withStore bool) {
	var engine script.Engine = noScript{}
	switch handlers {
	case inGateway:
		engine = script.NewInProcess(script.Options{})
	case inWorkers:
		var err error
		if engine, err = worker.New(worker.Options{}); err != nil {
			b.Fatal(err)
		}
	}
	defer engine.Close()
	dir := b.TempDir()
	var st ingest.Store = noStore{}
	if withStore {
		disk, err := sqlite.Open(filepath.Join(dir, "data"), sqlite.Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer disk.Close()
		st = disk
	}
	pipeline, l := pathOf(b, dir, engine, st)
	addr := serveTarget(b, gatewayFunc(func(path string) (server.Target, bool) {
		e := l.Current().Find(path)
		return pipelineTarget{pipeline, e}, e != nil
	}))
	drive(b, addr, l.Current().Endpoints[0].Path)
}

// benchFolder writes a configuration and the connector that the benchmarks use into dir, and loads it.
func benchFolder(b testing.TB, dir, settings string) *config.Config {
	b.Helper()
	write(b, filepath.Join(dir, "config.yaml"), settings)
	write(b, filepath.Join(dir, "connectors", "bench.yml"), benchConnector)
	cfg, list := config.Load(filepath.Join(dir, "config.yaml"), config.Options{Env: func(string) (string, bool) { return "", false }})
	if list.HasErrors() {
		b.Fatal(list)
	}
	return cfg
}

// accepted reads an answer to its end; one that is not 200 is an error.
func accepted(r *bufio.Reader) error {
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// pathOf makes the path of a request behind the server, for the configuration above.
func pathOf(b testing.TB, dir string, engine script.Engine, st ingest.Store) (*ingest.Pipeline, *live.Live) {
	b.Helper()
	cfg := benchFolder(b, dir, benchConfig)
	builder := script.NewInProcess(script.Options{})
	defer builder.Close()
	l := live.New(&live.Builder{Engine: builder, URLKey: make(live.URLKey, 32), Now: time.Now})
	g, list := l.Reload(b.Context(), cfg)
	if list.HasErrors() {
		b.Fatal(list)
	}
	if problems := g.Problems(); len(problems) > 0 {
		b.Fatal(problems)
	}
	return ingest.New(ingest.Options{Engine: engine, Store: st, Subscriptions: l, Now: time.Now,
		NewID: func() string { return "x" }, Logger: slog.New(slog.DiscardHandler)}), l
}

// TestPathAllocations holds how much the path of a request allocates between the server and the store. Unlike
// time this does not depend on the machine.
func TestPathAllocations(t *testing.T) {
	engine := script.NewInProcess(script.Options{})
	defer engine.Close()
	pipeline, l := pathOf(t, t.TempDir(), engine, noStore{})
	e := l.Current().Endpoints[0]
	body := pushPayload()
	mac := hmac.New(sha256.New, []byte("s3cret"))
	mac.Write(body)
	headers := hook.Headers{{Name: "Content-Type", Value: "application/json"}, {Name: "X-GitHub-Event", Value: "push"},
		{Name: "X-Hub-Signature-256", Value: "sha256=" + hex.EncodeToString(mac.Sum(nil))}}
	n := testing.AllocsPerRun(100, func() {
		req := &hook.Request{Method: "POST", Path: e.Path, Headers: headers, Body: body, ReceivedAt: time.Now()}
		if resp := pipeline.Receive(t.Context(), e, req); resp.Status != 200 {
			t.Fatalf("status %d: %s", resp.Status, resp.Body)
		}
	})
	if limit := 262.0; n > limit {
		t.Errorf("%v allocations, more than %v", n, limit)
	} else {
		t.Logf("%v allocations", n)
	}
}

// drive sends b.N requests over 64 connections, as cheaply as it can.
func drive(b *testing.B, addr, path string) {
	const connections = 64
	body := pushPayload()
	mac := hmac.New(sha256.New, []byte("s3cret"))
	mac.Write(body)
	request := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nX-GitHub-Event: push\r\n"+
		"X-Hub-Signature-256: sha256=%s\r\nContent-Length: %d\r\n\r\n", path, hex.EncodeToString(mac.Sum(nil)), len(body))
	request = append(request, body...)

	todo := make(chan struct{}, connections)
	var clients sync.WaitGroup
	for range connections {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		clients.Go(func() {
			defer conn.Close()
			r := bufio.NewReaderSize(conn, 4096)
			for range todo {
				if _, err := conn.Write(request); err != nil {
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
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	before := cpuTime()
	b.ResetTimer()
	for range b.N {
		todo <- struct{}{}
	}
	close(todo)
	clients.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
	b.ReportMetric(float64((cpuTime()-before).Microseconds())/float64(b.N), "cpu-µs/request")
}

// cpuTime is that of this process and of its workers, which live as long as the measurement.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	total := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		children, _ := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		for _, pid := range strings.Fields(string(children)) {
			stat, _ := os.ReadFile("/proc/" + pid + "/stat")
			fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
			if len(fields) > 12 {
				user, _ := strconv.Atoi(fields[11]) // in 1/100 s
				system, _ := strconv.Atoi(fields[12])
				total += time.Duration(user+system) * 10 * time.Millisecond
			}
		}
	}
	return total
}

// pushPayload is about 7 KB of JSON in the shape of a push.
func pushPayload() []byte {
	type object = map[string]any
	var commits []object
	for i := range 16 {
		commits = append(commits, object{
			"id": fmt.Sprintf("%040x", i), "message": "Mend the thing that was broken in the place where it broke",
			"timestamp": "2026-01-02T03:04:05Z", "url": fmt.Sprintf("https://github.com/octocat/Hello-World/commit/%040x", i),
			"author": object{"name": "Mona Lisa", "email": "mona@example.com", "username": "octocat"},
			"added":  []string{"README.md"}, "removed": []string{}, "modified": []string{"src/main.go", "src/main_test.go"},
		})
	}
	body, err := json.Marshal(object{
		"ref": "refs/heads/main", "before": fmt.Sprintf("%040x", 1), "after": fmt.Sprintf("%040x", 2),
		"repository": object{"id": 1296269, "name": "Hello-World", "full_name": "octocat/Hello-World", "private": false,
			"owner": object{"login": "octocat", "id": 1}, "html_url": "https://github.com/octocat/Hello-World"},
		"pusher": object{"name": "octocat"}, "commits": commits,
	})
	if err != nil {
		panic(err)
	}
	return body
}

func serveTarget(b *testing.B, g server.Gateway) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := server.New(server.Options{Gateway: g, PublicURL: "http://bench", Logger: slog.New(slog.DiscardHandler)})
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			b.Error(err)
		}
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	return ln.Addr().String()
}

type gatewayFunc func(path string) (server.Target, bool)

func (f gatewayFunc) Find(path string) (server.Target, bool) { return f(path) }

type echoTarget struct{}

func (echoTarget) Receive(_ context.Context, req *hook.Request) *hook.Response {
	return &hook.Response{Status: 200, Body: req.Body}
}

type pipelineTarget struct {
	p *ingest.Pipeline
	e *live.Endpoint
}

func (t pipelineTarget) Receive(ctx context.Context, req *hook.Request) *hook.Response {
	return t.p.Receive(ctx, t.e, req)
}

// noScript emits what the handler would, without running it.
type noScript struct{}

func (noScript) Handle(_ context.Context, _ *script.Program, in *script.HandleInput) (*script.HandleResult, error) {
	return &script.HandleResult{Events: []*hook.Event{
		{Selector: "push/octocat/Hello-World", Payload: in.Request.Body, FromBody: true},
		{Selector: "ref/refs/heads/main", Payload: []byte(`{"head":"2","repository":"octocat/Hello-World"}`)},
	}}, nil
}
func (noScript) Eval(context.Context, *script.Program, json.RawMessage) (*script.EvalResult, error) {
	return nil, fmt.Errorf("not here")
}
func (noScript) Close() error { return nil }

// noStore accepts everything and keeps nothing.
type noStore struct{}

func (noStore) Append(context.Context, *hook.Record) error { return nil }
func (noStore) State(context.Context, string) (map[string]string, error) {
	return map[string]string{}, nil
}
func (noStore) Remember(context.Context, string, string, string, bool) error { return nil }

// TestPushPayload keeps the benchmark's body at the size it claims.
func TestPushPayload(t *testing.T) {
	if n := len(pushPayload()); n < 6500 || n > 7500 || !json.Valid(pushPayload()) || !bytes.Contains(pushPayload(), []byte("octocat/Hello-World")) {
		t.Errorf("the push has %d bytes, not about 7,000", n)
	}
}
