package tests

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"switchhook/gateway/app"
	"switchhook/gateway/config"
	"switchhook/gateway/live"
	"switchhook/spec/diagnostic"
)

// inProcess is a gateway within the test, so that its goroutines and memory can be counted.
type inProcess struct {
	*app.Gateway
	dir string
}

func (g *inProcess) write(t testing.TB, name, text string) {
	t.Helper()
	path := filepath.Join(g.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// startInProcess runs a gateway with the files until the test ends.
func startInProcess(t testing.TB, files map[string]string) *inProcess {
	t.Helper()
	g := &inProcess{dir: t.TempDir()}
	for name, text := range files {
		g.write(t, name, text)
	}
	g.start(t)
	return g
}

// start runs the gateway until the test ends.
func (g *inProcess) start(t testing.TB) {
	t.Helper()
	load := func() (*config.Config, diagnostic.List) {
		return config.Load(filepath.Join(g.dir, "config.yaml"), config.Options{Env: func(string) (string, bool) { return "", false }})
	}
	cfg, list := load()
	if list.HasErrors() {
		t.Fatal(list)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	g.Gateway, err = app.New(ctx, app.Options{Config: cfg, LoadConfig: load, Version: "test", Logger: slog.New(slog.DiscardHandler), Stdout: io.Discard, Report: func(diagnostic.List) {}})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := g.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	running.Go(func() {
		if err := g.Watch(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
}

const reloadConfig = `
server: {listen: "127.0.0.1:0"}
admin: {listen: "127.0.0.1:0"}
workspaces:
  main:
    integrations:
      acme: {connector: acme}
    subscriptions:
      all: {integration: acme, selector: "n/**", destination: {type: stdout}}
`

// reloadConnector is a version of a connector whose answers and events say which version they are of, in two
// places that come from two files.
func reloadConnector(dir string, version int) map[string]string {
	return map[string]string{
		dir + "/spec.yml":                        fmt.Sprintf("name: Acme %d\n", version),
		dir + "/version.js":                      fmt.Sprintf("export const version = %d\n", version),
		dir + "/global-webhooks/orders/spec.yml": "name: Orders\nverify: none\n",
		dir + "/global-webhooks/orders/handle.js": fmt.Sprintf(
			"import { version } from 'version'\nexport default ({ data }) => ({ events: [{ selector: 'n/' + data.n, payload: { version } }], response: { data: { here: %d, there: version } } })\n", version),
	}
}

// TestReloadsUnderLoad changes a connector and config.yaml again and again while requests come in. No request
// fails, each sees one version, in order; and neither goroutines, files nor memory are left behind.
// SWITCHHOOK_SLOW=1 reloads 1,000 times.
func TestReloadsUnderLoad(t *testing.T) {
	reloads := 60
	if os.Getenv("SWITCHHOOK_SLOW") != "" {
		reloads = 1000
	}
	// A version is a folder, and a link leads to the one in force, so that it changes at once.
	files := reloadConnector("versions/0", 0)
	files["config.yaml"] = reloadConfig
	files["connectors/other.yml"] = "name: Other\nglobalWebhooks: {all: {verify: none, handle: 'export default () => ({})'}}\n"
	g := &inProcess{dir: t.TempDir()}
	use := func(version int) {
		t.Helper()
		if err := os.Symlink(fmt.Sprintf("../versions/%d", version), filepath.Join(g.dir, "connectors/.next")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(g.dir, "connectors/.next"), filepath.Join(g.dir, "connectors/acme")); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		g.write(t, name, text)
	}
	use(0)
	g.start(t)
	address, _ := g.Addresses()
	url := "http://" + address + g.Live().Current().Endpoint("main", "acme", "orders").Path

	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}, Timeout: 30 * time.Second}
	var sent, latest atomic.Int64
	send := func() {
		// What was in force before the request was sent is the oldest version that may answer.
		oldest := latest.Load()
		resp, err := client.Post(url, "application/json", strings.NewReader(fmt.Sprintf(`{"n": %d}`, sent.Add(1))))
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		var answer struct{ Here, There int64 }
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != 200 {
			t.Errorf("status %d: %v", resp.StatusCode, err)
			return
		}
		if answer.Here != answer.There || answer.Here < oldest {
			t.Errorf("answered by version %d and %d, when %d was in force", answer.Here, answer.There, oldest)
		}
	}
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					send()
				}
			}
		})
	}
	defer senders.Wait()
	stopped := sync.OnceFunc(func() { close(stop) })
	defer stopped()

	measure := func() (heap uint64, goroutines, files int) {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		entries, _ := os.ReadDir("/proc/self/fd")
		return m.HeapAlloc, runtime.NumGoroutine(), len(entries)
	}
	var heap uint64
	var goroutines, open int
	for i := 1; i <= reloads; i++ {
		switch {
		case i%10 == 3: // a broken save
			for name, text := range reloadConnector(fmt.Sprint("versions/", i), i) {
				g.write(t, name, strings.Replace(text, "({ data })", "({ data )", 1))
			}
			use(i)
			g.Reload(t.Context())
			if c := g.Live().Current().Connectors["acme"]; c.State != live.Stale {
				t.Fatalf("reload %d: the connector is %s", i, c.State)
			}
			continue
		case i%10 == 6: // config.yaml, broken and mended
			g.write(t, "config.yaml", "workspaces: [")
			g.Reload(t.Context())
			if g.Live().Refused() == nil {
				t.Fatalf("reload %d: a broken config.yaml was taken over", i)
			}
			g.write(t, "config.yaml", fmt.Sprintf("%s      more: {integration: acme, selector: m/%d, destination: {type: stdout}}\n", reloadConfig, i))
		default:
			for name, text := range reloadConnector(fmt.Sprint("versions/", i), i) {
				g.write(t, name, text)
			}
			use(i)
		}
		g.Reload(t.Context())
		now := g.Live().Current()
		if c := now.Connectors["acme"]; c.State != live.Up || g.Live().Refused() != nil {
			t.Fatalf("reload %d: the connector is %s: %s", i, c.State, c.Problems)
		}
		if i%10 != 6 {
			latest.Store(int64(i))
		}
		before := sent.Load()
		for deadline := time.Now().Add(patience); sent.Load() < before+4 && time.Now().Before(deadline); {
			runtime.Gosched()
		}
		if i == reloads/4 {
			heap, goroutines, open = measure()
		}
	}
	heapNow, goroutinesNow, openNow := measure()
	stopped()
	senders.Wait()
	t.Logf("%d requests during %d reloads; heap %d KiB, then %d KiB; goroutines %d, then %d; open files %d, then %d",
		sent.Load(), reloads, heap>>10, heapNow>>10, goroutines, goroutinesNow, open, openNow)
	if sent.Load() < int64(reloads) {
		t.Errorf("only %d requests were sent", sent.Load())
	}
	// Connections come and go, and caches fill; a leak of one for every reload would be far above this.
	if slack := max(10, reloads/20); goroutinesNow > goroutines+slack || openNow > open+slack {
		t.Errorf("goroutines %d, then %d; open files %d, then %d", goroutines, goroutinesNow, open, openNow)
	}
	if heapNow > heap+heap/4+8<<20 {
		t.Errorf("the heap grew from %d KiB to %d KiB", heap>>10, heapNow>>10)
	}
}

// BenchmarkSave is the time from a save to an answer by what was saved, with 200 connectors loaded: events of the file system, the wait
// for them to end, and the reload.
func BenchmarkSave(b *testing.B) {
	files := reloadConnector("connectors/acme", 0)
	files["config.yaml"] = reloadConfig
	for i := range 199 {
		maps.Copy(files, reloadConnector(fmt.Sprint("connectors/acme", i), i))
		for e := range 4 {
			files[fmt.Sprintf("connectors/acme%d/events/e%d/spec.yml", i, e)] = "name: E\nimplementationType: global-webhook\nselector: a/b\n"
		}
	}
	g := startInProcess(b, files)
	address, _ := g.Addresses()
	url := "http://" + address + g.Live().Current().Endpoint("main", "acme", "orders").Path
	version := func() int {
		resp, err := http.Post(url, "application/json", strings.NewReader(`{"n": 1}`))
		if err != nil {
			b.Fatal(err)
		}
		defer resp.Body.Close()
		var answer struct{ There int }
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			b.Fatal(err)
		}
		return answer.There
	}
	var slowest time.Duration
	for i := 1; b.Loop(); i++ {
		began := time.Now()
		g.write(b, "connectors/acme/version.js", fmt.Sprintf("export const version = %d\n", i))
		for version() != i {
			time.Sleep(time.Millisecond)
		}
		slowest = max(slowest, time.Since(began))
	}
	b.ReportMetric(float64(slowest.Milliseconds()), "ms-slowest")
}
