package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	gotesting "testing"
	"time"
)

// TestReplayGoesOn replays in steps, shows how to go on when one fails, and
// goes on from there.
func TestReplayGoesOn(t *gotesting.T) {
	const total, step = 2500, 1000
	done, broken := 0, true
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var order struct {
			Subscription, Selector, State, Cursor string
			Limit                                 int
			DryRun                                bool
		}
		if err := json.NewDecoder(r.Body).Decode(&order); err != nil || order.Selector != "it's/**" || order.State != "dead" {
			t.Errorf("order %+v, %v", order, err)
		}
		switch {
		case order.DryRun:
			fmt.Fprintf(w, `{"count": %d, "skipped": 0}`, total-done)
		case order.Limit != step || order.Cursor != fmt.Sprint("c", done) && done > 0:
			t.Errorf("after %d: order %+v", done, order)
		case done == 2*step && broken:
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(503)
			fmt.Fprint(w, `{"detail": "the disk is full"}`)
		default:
			n := min(step, total-done)
			done += n
			next := fmt.Sprint("c", done)
			if done == total {
				next = ""
			}
			fmt.Fprintf(w, `{"count": %d, "skipped": 0, "next": %q}`, n, next)
		}
	}))
	defer gateway.Close()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "connectors"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(path, []byte("admin: {listen: '"+strings.TrimPrefix(gateway.URL, "http://")+"'}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (int, string, string) {
		var out, err bytes.Buffer
		code := Main(append([]string{"--config", path, "replay"}, args...), Streams{In: strings.NewReader(""), Out: &out, Err: &err})
		return code, out.String(), err.String()
	}
	if code, out, err := run("--selector", "it's/**", "--dry-run"); code != 0 || out != "2500 deliveries would be replayed\n" {
		t.Errorf("dry run: %d %q %q", code, out, err)
	}
	code, out, err := run("--selector", "it's/**")
	if code != 1 || out != "" || !strings.Contains(err, "stopped after 2000 of 2500: the disk is full") ||
		!strings.Contains(err, `To go on: switchhook replay --selector 'it'\''s/**' --state 'dead' --cursor 'c2000'`) {
		t.Errorf("stopped: %d %q %q", code, out, err)
	}
	broken = false
	if code, out, err := run("--selector", "it's/**", "--cursor", "c2000"); code != 0 || out != "replayed 500 deliveries\n" || err != "" {
		t.Errorf("going on: %d %q %q", code, out, err)
	}
	for _, args := range [][]string{{}, {"--cursor", "c1"}, {"--failed", "--state", "dead"}, {"--webhook", "main"}, {"dlv_1", "--dry-run"}, {"dlv_1", "--state", "done"}, {"--selector", "x", "--force"}, {"a", "b"}, {"--failed", "--webhook", "a/b/c/d"}} {
		if code, _, err := run(args...); code != 2 || err == "" {
			t.Errorf("%q: %d %q", args, code, err)
		}
	}
}

func TestProgress(t *gotesting.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		terminal bool
		want     string
	}{
		"terminal": {true, "\r\x1b[K[###---------------------------] replayed 10 of 100 (10%), 9s left\r\x1b[K[######------------------------] replayed 20 of 100 (20%), 8s left" +
			"\r\x1b[K[##############################] replayed 120 of 120 (100%), 0s left\r\x1b[K"},
		"file": {false, "replayed 120 of 120 (100%), 0s left, --cursor x\n"},
	} {
		var b bytes.Buffer
		p := newProgress(Streams{Err: &b, ErrTerminal: c.terminal}, "replayed", 100)
		clock := at
		p.now = func() time.Time { return clock }
		p.began, p.last = at, at
		p.at(1, "") // too soon
		clock = at.Add(time.Second)
		p.at(10, "--cursor x")
		clock = at.Add(2 * time.Second)
		p.at(20, "--cursor x")
		clock = at.Add(5 * time.Second)
		p.at(120, "--cursor x")
		p.end()
		p.end()
		if b.String() != c.want {
			t.Errorf("%s:\n got %q\nwant %q", name, b.String(), c.want)
		}
	}
}
