package destination_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"switchhook/gateway/deliver/destination"
	"switchhook/gateway/hook"
)

var discardLog = log.New(io.Discard, "", 0)

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

const wantLine = `{"id":"evt_1","selector":"order.created/42","subscription":"demo/orders","requestId":"req_1",` +
	`"receivedAt":"2026-01-02T03:04:05.6Z","payload":{"n":9007199254740993,"a":"<&>\u00e9é","a":1e400}}` + "\n"

const linePayload = "{\"n\": 9007199254740993,\n \"a\":\"<&>\\u00e9é\",\r\n\t\"a\" :1e400}"

func TestStdout(t *testing.T) {
	out := &buffer{}
	s := senders(t, destination.Options{Stdout: out})["stdout"]
	if got := send(s, subscription(hook.Destination{Type: "stdout"}), delivery(linePayload)); got.Class != "ok" || got.Error != "" {
		t.Fatalf("%+v", got)
	}
	if got := out.b.String(); got != wantLine {
		t.Errorf("the line is %s\nwant        %s", got, wantLine)
	}
}

func TestStdoutLinesAreNotMixed(t *testing.T) {
	out := &buffer{}
	s := senders(t, destination.Options{Stdout: out})["stdout"]
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if got := send(s, subscription(hook.Destination{Type: "stdout"}), delivery(fmt.Sprintf(`{"i":%d,"x":%q}`, i, strings.Repeat("x", 5000)))); got.Class != "ok" {
				t.Errorf("%+v", got)
			}
		})
	}
	wg.Wait()
	checkLines(t, out.b.Bytes(), 200)
}

// checkLines checks that there are lines for the payloads {"i":0} to {"i":n-1}.
func checkLines(t *testing.T, data []byte, n int) {
	t.Helper()
	seen := map[int]bool{}
	for _, line := range bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n")) {
		var v struct{ Payload struct{ I int } }
		if err := json.Unmarshal(line, &v); err != nil {
			t.Errorf("%v in %.100s", err, line)
		}
		if seen[v.Payload.I] {
			t.Errorf("%d is there twice", v.Payload.I)
		}
		seen[v.Payload.I] = true
	}
	if len(seen) != n {
		t.Errorf("%d lines, want %d", len(seen), n)
	}
}

type stuckWriter struct{ gate chan struct{} }

func (w stuckWriter) Write(p []byte) (int, error) { <-w.gate; return len(p), nil }

func TestStdoutThatNobodyReads(t *testing.T) {
	w := stuckWriter{make(chan struct{})}
	s := senders(t, destination.Options{Stdout: w})["stdout"]
	sub := subscription(hook.Destination{Type: "stdout", Timeout: 50 * time.Millisecond})
	for range 2 { // one that is being written, one that waits behind it
		if got := send(s, sub, delivery("{}")); got.Class != "timeout" || !strings.Contains(got.Error, "50ms") {
			t.Errorf("%+v", got)
		}
	}
	close(w.gate)
	if got := send(s, sub, delivery("{}")); got.Class != "ok" {
		t.Errorf("%+v", got)
	}
}

type failingWriter struct {
	b    bytes.Buffer
	fail int // bytes that are written of the next write, -1 for all
}

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.fail >= 0 {
		n := min(w.fail, len(p))
		w.b.Write(p[:n])
		w.fail = -1
		return n, errors.New("no space")
	}
	return w.b.Write(p)
}

func TestALineThatBreaksOffDoesNotSpoilTheNext(t *testing.T) {
	w := &failingWriter{fail: 20}
	s := senders(t, destination.Options{Stdout: w})["stdout"]
	sub := subscription(hook.Destination{Type: "stdout"})
	if got := send(s, sub, delivery(`{"i":0}`)); got.Class != "io" || !strings.Contains(got.Error, "no space") {
		t.Errorf("%+v", got)
	}
	if got := send(s, sub, delivery(`{"i":0}`)); got.Class != "ok" {
		t.Errorf("%+v", got)
	}
	lines := strings.SplitN(w.b.String(), "\n", 2)
	checkLines(t, []byte(lines[1]), 1)
}

func TestPayloadThatIsNotJSONIsDead(t *testing.T) {
	s := senders(t, destination.Options{Stdout: &buffer{}})["stdout"]
	if got := send(s, subscription(hook.Destination{Type: "stdout"}), delivery(`{"i":`)); got.Class != "gateway" || !got.Permanent {
		t.Errorf("%+v", got)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "folder", "events.ndjson")
	s := senders(t, destination.Options{})["file"]
	sub := subscription(hook.Destination{Type: "file", Path: path})
	if got := send(s, sub, delivery(linePayload)); got.Class != "ok" {
		t.Fatalf("%+v", got)
	}
	if got := read(t, path); got != wantLine {
		t.Errorf("the line is %s\nwant        %s", got, wantLine)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}

	// Rotated: moved away, then removed.
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	send(s, sub, delivery(`{"i":0}`))
	checkLines(t, []byte(read(t, path)), 1)
	if got := read(t, path+".1"); got != wantLine {
		t.Errorf("the moved file has changed: %s", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	send(s, sub, delivery(`{"i":0}`))
	checkLines(t, []byte(read(t, path)), 1)
	// Truncated in place, as copytruncate does.
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	send(s, sub, delivery(`{"i":0}`))
	checkLines(t, []byte(read(t, path)), 1)
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFileOfManyDestinations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.ndjson")
	s := senders(t, destination.Options{})["file"]
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			sub := subscription(hook.Destination{Type: "file", Path: path})
			if got := send(s, sub, delivery(fmt.Sprintf(`{"i":%d,"x":%q}`, i, strings.Repeat("x", i*100)))); got.Class != "ok" {
				t.Errorf("%+v", got)
			}
		})
	}
	wg.Wait()
	checkLines(t, []byte(read(t, path)), 300)
}

// A crash may have left half a line.
func TestFileThatEndsWithinALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(path, []byte(`{"id":"evt_0","sel`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := senders(t, destination.Options{})["file"]
	send(s, subscription(hook.Destination{Type: "file", Path: path}), delivery(`{"i":0}`))
	_, rest, _ := strings.Cut(read(t, path), "\n")
	checkLines(t, []byte(rest), 1)
}

func TestFilesThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := senders(t, destination.Options{})["file"]
	for path, class := range map[string]string{dir: "io", filepath.Join(dir, "file", "x"): "io", "relative": "gateway", "": "gateway", "/dev/full": "io"} {
		got := send(s, subscription(hook.Destination{Type: "file", Path: path}), delivery("{}"))
		if got.Class != class || got.Error == "" {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if got := send(s, subscription(hook.Destination{Type: "file", Path: "/dev/null"}), delivery("{}")); got.Class != "ok" {
		t.Errorf("/dev/null: %+v", got)
	}
}

func TestAClosedSenderSaysSo(t *testing.T) {
	all := destination.Senders(destination.Options{Stdout: &buffer{}})
	for _, s := range all {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if got := all["stdout"].Send(ctx, subscription(hook.Destination{}), delivery("{}")); got.Class != "io" {
		t.Errorf("%+v", got)
	}
	if got := all["nats"].Send(ctx, subscription(hook.Destination{URL: "nats://127.0.0.1:1", Subject: "x"}), delivery("{}")); got.Class != "broker" {
		t.Errorf("%+v", got)
	}
}
