package tests

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// need skips a test that lacks a tool of the machine; in CI that is a failure.
func need(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("SWITCHHOOK_CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func (g *gateway) ready() (status int, why string) {
	resp, err := http.Get(g.base + "/readyz")
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

// TestSyncFails has the kernel answer EIO to every sync from some moment on:
// nothing is acknowledged any more, the gateway says why, and a restart
// recovers all that was.
func TestSyncFails(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		need(t, "strace is not installed")
	}
	r := newReceiver(t)
	g := newGateway(t, r.destination())
	g.wrap = []string{strace, "-f", "-qq", "-e", "signal=none", "-o", os.DevNull, "-e", "trace=fsync,fdatasync",
		"-e", "inject=fsync,fdatasync:error=EIO:when=60+"}
	g.start()
	acknowledged := map[int64]bool{}
	n := int64(0)
	g.await("a sync fails", func() bool {
		n++
		status := g.send(n)
		if status == 200 {
			acknowledged[n] = true
		}
		return status == 503
	})
	if len(acknowledged) == 0 {
		t.Fatal("nothing was acknowledged before: the test shows nothing")
	}
	for range 5 {
		n++
		if status := g.send(n); status != 503 {
			t.Errorf("after a failed sync a request was answered %d", status)
		}
	}
	if status, why := g.ready(); status != 503 || !strings.Contains(why, "restart") {
		t.Errorf("readyz says %d %q", status, why)
	}
	g.kill()
	if log := g.logs.String(); !strings.Contains(log, "restart") {
		t.Errorf("the log does not say why:\n%s", log)
	}
	g.wrap = nil
	g.start()
	g.await("everything acknowledged arrives", func() bool {
		for n := range acknowledged {
			if r.count(n) == 0 {
				return false
			}
		}
		return true
	})
	if status := g.send(n + 1); status != 200 {
		t.Errorf("after the restart a request was answered %d", status)
	}
	g.stop()
}

// TestFullDisk fills the disk under the data directory and makes room again.
func TestFullDisk(t *testing.T) {
	r := newReceiver(t)
	g := newGateway(t, r.destination())
	data := filepath.Join(g.dir, "data")
	if err := unix.Mount("tmpfs", data, "tmpfs", 0, "size=32m"); err != nil {
		need(t, fmt.Sprintf("a full disk needs a tmpfs, which could not be mounted: %v", err))
	}
	t.Cleanup(func() { _ = unix.Unmount(data, unix.MNT_DETACH) })
	// The mount hides the key in the data directory, so the URL is another one.
	out, err := g.command("urls").Output()
	if err != nil {
		t.Fatal(err)
	}
	g.url = regexp.MustCompile(`http://\S+`).FindString(string(out))
	g.start()
	ballast := filepath.Join(data, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Fallocate(int(f.Fd()), 0, 0, 26<<20); err != nil {
		t.Fatal(err)
	}
	f.Close()

	acknowledged := map[int64]bool{}
	n := int64(0)
	filler := strings.Repeat("x", 100_000)
	post := func() (int, http.Header) {
		n++
		resp, err := caller.Post(g.url, "application/json", strings.NewReader(fmt.Sprintf(`{"n":%d,"filler":%q}`, n, filler)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == 200 {
			acknowledged[n] = true
		}
		return resp.StatusCode, resp.Header
	}
	g.await("the disk is full", func() bool {
		status, header := post()
		if status == 503 && header.Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
		return status == 503
	})
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	g.await("requests are taken again", func() bool { status, _ := post(); return status == 200 })
	g.await("everything acknowledged arrives", func() bool {
		for n := range acknowledged {
			if r.count(n) == 0 {
				return false
			}
		}
		return true
	})
	g.stop()
}

// TestBadReceivers delivers to receivers that never answer, that reset, that
// answer a byte at a time, or without end, with a certificate that nobody trusts, and
// without TLS, next to a good one: the good one gets everything once, memory stays bounded, and
// of each bad one it is known what is wrong.
func TestBadReceivers(t *testing.T) {
	good := newReceiver(t)
	hang := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		select {
		case <-hang:
		case <-req.Context().Done():
		}
	}))
	defer hanging.Close()
	defer close(hang)
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		chunk := make([]byte, 1<<20)
		for req.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	defer endless.Close()
	resetting, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer resetting.Close()
	go func() {
		for {
			conn, err := resetting.Accept()
			if err != nil {
				return
			}
			_ = conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}
	}()
	// slow answers a byte at a time, and never to its end.
	slow, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	go func() {
		for {
			conn, err := slow.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for _, c := range []byte("HTTP/1.1 200 OK\r\nX-Slow: " + strings.Repeat("x", 10_000)) {
					select {
					case <-hang:
						return
					case <-time.After(20 * time.Millisecond):
					}
					if _, err := conn.Write([]byte{c}); err != nil {
						return
					}
				}
			}()
		}
	}()
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	defer untrusted.Close()
	destination := func(url string) string {
		return fmt.Sprintf(`{type: http, url: "%s", allow: [127.0.0.0/8], retry: {delays: [0s, 1s], timeout: 1s}}`, url)
	}
	g := newGateway(t, good.destination(),
		`      hanging: {integration: echo, selector: "**", destination: `+destination(hanging.URL)+`}`,
		`      endless: {integration: echo, selector: "**", destination: `+destination(endless.URL)+`}`,
		`      resetting: {integration: echo, selector: "**", destination: `+destination("http://"+resetting.Addr().String())+`}`,
		`      nobody: {integration: echo, selector: "**", destination: `+destination("http://127.0.0.1:1")+`}`,
		`      slow: {integration: echo, selector: "**", destination: `+destination("http://"+slow.Addr().String())+`}`,
		`      untrusted: {integration: echo, selector: "**", destination: `+destination(untrusted.URL)+`}`,
		`      plain: {integration: echo, selector: "**", destination: `+destination("https"+strings.TrimPrefix(good.URL, "http"))+`}`)
	g.start()
	const events = 300
	for n := int64(1); n <= events; n++ {
		if status := g.send(n); status != 200 {
			t.Fatalf("answered %d", status)
		}
	}
	g.await("the good receiver has everything", func() bool { all, _ := good.all(); return all == events })
	for name, class := range map[string]string{"hanging": "timeout", "resetting": "reset", "nobody": "refused", "slow": "timeout", "untrusted": "tls", "plain": "tls"} {
		g.await("an attempt at "+name+" is over", func() bool {
			resp, err := http.Get(g.base + "/api/v1/deliveries?limit=1000&subscription=main/" + name)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var list struct {
				Items []struct {
					ID       string
					Attempts int
				}
			}
			if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
				t.Fatal(err)
			}
			tried := ""
			for _, d := range list.Items {
				if d.Attempts > 0 {
					tried = d.ID
				}
			}
			if tried == "" {
				return false
			}
			one, err := http.Get(g.base + "/api/v1/deliveries/" + tried)
			if err != nil {
				t.Fatal(err)
			}
			defer one.Body.Close()
			var d struct {
				History []struct {
					Class  string
					TookMS float64
				}
			}
			if err := json.NewDecoder(one.Body).Decode(&d); err != nil {
				t.Fatal(err)
			}
			for _, a := range d.History {
				if a.Class != class || a.TookMS > 5000 {
					t.Errorf("%s: an attempt ended as %q after %.0f ms, not as %q", name, a.Class, a.TookMS, class)
				}
			}
			return true
		})
	}
	if peak := g.peakMemory(); peak > 400<<20 {
		t.Errorf("the gateway took %d MiB", peak>>20)
	}
	if _, twice := good.all(); twice > 0 {
		t.Errorf("%d events came twice", twice)
	}
	g.stop()
}

// peakMemory is the most memory the process has had, in bytes.
func (g *gateway) peakMemory() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	if err != nil {
		g.t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		g.t.Fatal("the kernel does not tell the peak of memory")
	}
	kb, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		g.t.Fatal(err)
	}
	return kb << 10
}

// TestGoneDisables answers 410 once: nothing more is sent to that receiver,
// not after a restart either, until a person enables it.
func TestGoneDisables(t *testing.T) {
	var calls atomic.Int64
	gone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			w.WriteHeader(http.StatusGone)
		}
	}))
	defer gone.Close()
	good := newReceiver(t)
	g := newGateway(t, good.destination(),
		fmt.Sprintf(`      gone: {integration: echo, selector: "**", destination: {type: http, url: "%s", allow: [127.0.0.0/8]}}`, gone.URL))
	g.start()
	if status := g.send(1); status != 200 {
		t.Fatalf("answered %d", status)
	}
	g.await("the receiver says that it is gone", func() bool { return calls.Load() == 1 && good.count(1) == 1 })
	g.stop()
	g.start()
	for n := int64(2); n <= 20; n++ {
		if status := g.send(n); status != 200 {
			t.Fatalf("answered %d", status)
		}
	}
	g.await("the other receiver has everything", func() bool { all, _ := good.all(); return all == 20 })
	resp, err := http.Get(g.base + "/api/v1/subscriptions/main/gone")
	if err != nil {
		t.Fatal(err)
	}
	var shown struct{ Disabled string }
	err = json.NewDecoder(resp.Body).Decode(&shown)
	resp.Body.Close()
	if err != nil || !strings.Contains(shown.Disabled, "410") {
		t.Errorf("the subscription is shown as disabled by %q, %v", shown.Disabled, err)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("the receiver that is gone was called %d times", n)
	}
	resp, err = http.Post(g.base+"/api/v1/subscriptions/main/gone/enable", "", nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("enable: %v %v", resp, err)
	}
	resp.Body.Close()
	if status := g.send(21); status != 200 {
		t.Fatalf("answered %d", status)
	}
	g.await("what comes after it was enabled arrives", func() bool { return calls.Load() == 2 })
	g.stop()
}
