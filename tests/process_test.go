package tests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// gateway is the real program in a process of its own, with a connector that
// emits each body as one event, and a subscription that sends it to a receiver.
type gateway struct {
	t    testing.TB
	dir  string
	url  string // of the webhook
	base string // of the admin listener
	cmd  *exec.Cmd
	done chan struct{}
	logs *bytes.Buffer
	// wrap is put in front of the program's arguments, such as strace.
	wrap []string
}

const echoConnector = `
key: echo
name: Echo
globalWebhooks:
  events:
    verify: none
    handle: |
      export default ({ data }) => ({ events: [{ selector: 'n/' + data.n, payload: data }] })
`

// newGateway prepares a folder; start runs it. Destination is YAML on one line.
func newGateway(t testing.TB, destination string, more ...string) *gateway {
	t.Helper()
	dir := t.TempDir()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	adminPort, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`
server: {listen: "127.0.0.1:%s"}
admin: {listen: "127.0.0.1:%s"}
workspaces:
  main:
    integrations:
      echo: {connector: echo}
    subscriptions:
      all: {integration: echo, selector: "**", destination: %s}
`, port, adminPort, destination)
	for _, line := range more {
		text += line + "\n"
	}
	write(t, filepath.Join(dir, "config.yaml"), text)
	write(t, filepath.Join(dir, "connectors", "echo.yml"), echoConnector)
	g := &gateway{t: t, dir: dir, base: "http://127.0.0.1:" + adminPort}
	out, err := g.command("urls", "--json").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("switchhook urls: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("switchhook urls: %v", err)
	}
	var urls []struct{ URL string }
	if err := json.Unmarshal(out, &urls); err != nil || len(urls) != 1 {
		t.Fatalf("urls: %v %s", err, out)
	}
	g.url = urls[0].URL
	t.Cleanup(func() {
		if g.cmd != nil {
			g.kill()
		}
	})
	return g
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (g *gateway) command(args ...string) *exec.Cmd {
	args = append([]string{"switchhook"}, args...)
	args = append(append([]string{}, g.wrap...), args...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = g.dir
	return cmd
}

// start runs the gateway until it takes requests.
func (g *gateway) start() {
	g.t.Helper()
	g.logs = new(bytes.Buffer)
	g.cmd = g.command("serve")
	g.cmd.Stderr = g.logs
	// A wrapper and the program are killed together.
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.done = make(chan struct{})
	go func() { _ = g.cmd.Wait(); close(g.done) }()
	g.await("the gateway takes requests", func() bool {
		select {
		case <-g.done:
			g.t.Fatalf("the gateway ended by itself: %v\n%s", g.cmd.ProcessState, g.logs)
		default:
		}
		resp, err := http.Get(g.base + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// await waits until ok, and fails after a long time.
func (g *gateway) await(what string, ok func() bool) {
	g.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatalf("it never happened that %s", what)
		}
	}
}

// kill ends the process as a crash would.
func (g *gateway) kill() {
	_ = syscall.Kill(-g.cmd.Process.Pid, syscall.SIGKILL)
	<-g.done
	g.cmd = nil
}

// stop drains, and demands that the process ends with code 0.
func (g *gateway) stop() {
	g.t.Helper()
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		g.t.Fatal(err)
	}
	select {
	case <-g.done:
	case <-time.After(patience):
		g.t.Fatalf("the gateway does not stop:\n%s", g.logs)
	}
	if code := g.cmd.ProcessState.ExitCode(); code != 0 {
		g.t.Fatalf("the gateway ended with code %d:\n%s", code, g.logs)
	}
	g.cmd = nil
}

var caller = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// send sends event n and returns the status of the answer, 0 for none.
func (g *gateway) send(n int64) int {
	resp, err := caller.Post(g.url, "application/json", bytes.NewReader(fmt.Appendf(nil, `{"n":%d}`, n)))
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// receiver counts the events it gets, by n.
type receiver struct {
	*httptest.Server
	mu   sync.Mutex
	seen map[int64]int
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{seen: map[int64]int{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		var event struct{ N int64 }
		if err := json.NewDecoder(req.Body).Decode(&event); err != nil {
			t.Errorf("what was received is not an event: %v", err)
		}
		r.mu.Lock()
		r.seen[event.N]++
		r.mu.Unlock()
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) count(n int64) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[n]
}

// all returns how many different events there are, and how many came more than once.
func (r *receiver) all() (events, twice int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, times := range r.seen {
		if times > 1 {
			twice++
		}
	}
	return len(r.seen), twice
}

// destination is YAML for an http destination that is tried often.
func (r *receiver) destination() string {
	return fmt.Sprintf(`{type: http, url: "%s", allow: [127.0.0.0/8], retry: {delays: [0s, 50ms, 100ms, 200ms, 500ms, 1s, 1s, 1s, 1s, 1s], timeout: 5s}}`, r.URL)
}

// syncBuffer is a buffer that a process writes to while a test reads it.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
