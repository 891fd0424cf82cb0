package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"switchhook/gateway/hook"
	"switchhook/gateway/store"
)

// TestMain is also the child process of the tests in this file.
func TestMain(m *testing.M) {
	switch os.Getenv("SWITCHHOOK_STORE_CHILD") {
	case "append":
		childAppend()
	case "open":
		s, err := Open(os.Getenv("SWITCHHOOK_STORE_DIR"), Options{})
		var locked *LockedError
		if errors.As(err, &locked) {
			fmt.Printf("locked %d\n%v\n", locked.PID, err)
		} else {
			fmt.Println("opened", s != nil, err)
		}
	default:
		os.Exit(m.Run())
	}
}

// childAppend appends from several goroutines, settles half of the
// deliveries, and prints what was acknowledged, until it is killed or writes fail.
func childAppend() {
	s, err := Open(os.Getenv("SWITCHHOOK_STORE_DIR"), Options{})
	if err != nil {
		fmt.Println("open", err)
		os.Exit(1)
	}
	first, _ := strconv.Atoi(os.Getenv("SWITCHHOOK_STORE_FIRST"))
	fmt.Println("ready")
	next := atomic.Int64{}
	next.Store(int64(first))
	var mu sync.Mutex
	say := func(a ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(a...) // one write for each line: what was printed survives the kill
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				n := int(next.Add(1))
				rec := small(n)
				if err := s.Append(context.Background(), rec); err != nil {
					say("failed", class(err), class(s.Err()))
					return
				}
				say("acked", n)
				if n%2 == 0 {
					if err := s.Settle(context.Background(), settled(rec.Deliveries[0].ID)); err != nil {
						say("failed", class(err), class(s.Err()))
						return
					}
					say("settled", n)
				}
			}
		})
	}
	wg.Wait()
	// After a failure every write must fail, and closing must not checkpoint.
	err = s.Append(context.Background(), small(1<<40))
	say("then", class(err))
	err = s.Close()
	say("closed", err)
}

func class(err error) string {
	switch {
	case err == nil:
		return "nil"
	case errors.Is(err, store.ErrBroken):
		return "broken"
	case errors.Is(err, store.ErrFull):
		return "full"
	}
	return err.Error()
}

func child(what, dir string, first int, prefix ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	args := append(prefix, self)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "SWITCHHOOK_STORE_CHILD="+what, "SWITCHHOOK_STORE_DIR="+dir, "SWITCHHOOK_STORE_FIRST="+strconv.Itoa(first))
	cmd.Stderr = os.Stderr
	return cmd
}

// journal is what a child said it had been promised.
type journal struct {
	acked, settled map[int]bool
	rest           []string
}

func (j *journal) read(line string) {
	word, arg, _ := strings.Cut(line, " ")
	n, err := strconv.Atoi(arg)
	switch {
	case word == "acked" && err == nil:
		j.acked[n] = true
	case word == "settled" && err == nil:
		j.settled[n] = true
	default:
		j.rest = append(j.rest, line)
	}
}

// verify opens the store after the child's death, and looks for everything.
func (j *journal) verify(t *testing.T, dir string) {
	t.Helper()
	s := mustOpen(t, dir)
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	for n := range j.acked {
		if err := whole(s, n); err != nil {
			t.Errorf("request %d was acknowledged: %v", n, err)
		}
	}
	for n := range j.settled {
		got, err := s.Request(t.Context(), small(n).Request.ID)
		if err != nil {
			t.Error(err)
		} else if got.Deliveries[0].State != hook.Done || len(got.Attempts) != 1 {
			t.Errorf("the delivery of request %d was settled, but is %s with %d attempts", n, got.Deliveries[0].State, len(got.Attempts))
		}
	}
	// What was not settled is there to be claimed, nothing is leased.
	st, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	claimed := 0
	for {
		ds, err := s.Claim(t.Context(), "demo/s", time.Now(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(ds) == 0 {
			break
		}
		claimed += len(ds)
	}
	if int64(claimed) != st.Pending || st.Requests < int64(len(j.acked)) {
		t.Errorf("%d pending by the stats, %d claimed; %d requests, %d acknowledged", st.Pending, claimed, st.Requests, len(j.acked))
	}
	if problems, err := s.w.one(t.Context(), "PRAGMA integrity_check"); err != nil || problems.text(0) != "ok" {
		t.Errorf("integrity_check: %v, %v", problems, err)
	}
}

// TestKill kills a process that appends and settles, again and again on the same
// directory. SWITCHHOOK_SLOW=1 does so 200 times.
func TestKill(t *testing.T) {
	rounds := 20
	if os.Getenv("SWITCHHOOK_SLOW") == "1" {
		rounds = 200
	}
	dir := t.TempDir()
	j := &journal{acked: map[int]bool{}, settled: map[int]bool{}}
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	for round := range rounds {
		cmd := child("append", dir, round*1_000_000)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Killed after a number of lines, not after a time: that is as random, and never too early.
		left := 1 + rnd.IntN(150)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			j.read(lines.Text())
			if left--; left == 0 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		cmd.Wait() //nolint:errcheck // it was killed
		if round%10 == 9 || round == rounds-1 {
			j.verify(t, dir)
		}
		if t.Failed() {
			return
		}
	}
	if len(j.acked) < rounds {
		t.Errorf("only %d requests were acknowledged in %d rounds", len(j.acked), rounds)
	}
	t.Logf("%d acknowledged, %d settled in %d rounds", len(j.acked), len(j.settled), rounds)
}

// need skips a test without what it needs, except in CI.
func need(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("SWITCHHOOK_CI") == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// TestSyncFails has the kernel answer EIO to a sync: whatever was acknowledged before is there after
// a restart, nothing is acknowledged after.
func TestSyncFails(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		need(t, "strace is not installed")
	}
	for _, when := range []string{"30+", "40"} { // the last: a single sync fails, and later ones succeed
		t.Run(when, func(t *testing.T) {
			dir := t.TempDir()
			cmd := child("append", dir, 0, strace, "-f", "-qq", "-e", "signal=none", "-o", "/dev/null",
				"-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO:when="+when)
			out, err := cmd.Output()
			if err != nil {
				need(t, fmt.Sprintf("strace cannot inject faults here: %v: %s", err, out))
			}
			j := &journal{acked: map[int]bool{}, settled: map[int]bool{}}
			for line := range strings.Lines(string(out)) {
				j.read(strings.TrimSpace(line))
			}
			said := strings.Join(j.rest, "\n")
			if strings.Contains(said, "open") {
				t.Skipf("it failed before it was open: %s", said)
			}
			if strings.Count(said, "failed broken broken") == 0 || !strings.Contains(said, "then broken") || strings.Contains(said, "full") || strings.Contains(said, "nil nil") {
				t.Errorf("the child said:\n%s", said)
			}
			if len(j.acked) == 0 {
				t.Error("nothing was acknowledged before")
			}
			if info, err := os.Stat(filepath.Join(dir, "store.db-wal")); err != nil || info.Size() == 0 {
				t.Errorf("closing a broken store checkpointed its WAL away: %v", err)
			}
			j.verify(t, dir)
		})
	}
}

// tmpfs mounts a small file system.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		need(t, fmt.Sprintf("a full disk needs a tmpfs, which could not be mounted: %v", err))
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestFullDisk fills the disk, in three ways, and empties it again.
func TestFullDisk(t *testing.T) {
	for _, c := range []struct {
		name string
		// ballast is a file that takes most of the disk, so that the store fills the rest
		ballast, body int
	}{
		{"small requests", 28 << 20, 0},
		{"large requests", 20 << 20, 1 << 20},
		{"almost no room from the start", 30 << 20, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := tmpfs(t, "32m")
			dir := filepath.Join(disk, "data")
			s := mustOpen(t, dir)
			defer s.Close()
			ballast := filepath.Join(disk, "ballast")
			f, err := os.Create(ballast)
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.Fallocate(int(f.Fd()), 0, 0, int64(c.ballast)); err != nil {
				t.Fatal(err)
			}
			f.Close()

			ctx := t.Context()
			record := func(n int) *hook.Record {
				rec := small(n)
				if c.body > 0 {
					rec.Request.Body = append(rec.Request.Body, noise(c.body)...)
				}
				return rec
			}
			var mu sync.Mutex
			acked := map[int]bool{}
			refused := map[int]bool{}
			fill := func(from int) (full int) {
				var wg sync.WaitGroup
				next := atomic.Int64{}
				next.Store(int64(from))
				for range 8 {
					wg.Go(func() {
						for {
							n := int(next.Add(1))
							rec := record(n)
							err := s.Append(ctx, rec)
							mu.Lock()
							if err == nil {
								acked[n] = true
							} else {
								full++
								refused[n] = true
								if !errors.Is(err, store.ErrFull) {
									t.Errorf("Append = %v, want ErrFull", err)
								}
							}
							mu.Unlock()
							if err != nil {
								return
							}
						}
					})
				}
				wg.Wait()
				return full
			}
			fill(0)
			if err := s.Err(); !errors.Is(err, store.ErrFull) {
				t.Fatalf("Err on a full disk = %v, want ErrFull", err)
			}
			if len(acked) == 0 {
				t.Error("nothing was acknowledged")
			}
			// what is there can be read
			for n := range acked {
				if _, err := s.Request(ctx, small(n).Request.ID); err != nil {
					t.Errorf("request %d on a full disk: %v", n, err)
				}
			}
			// Again and again, while there is no room: it comes and goes.
			for range 3 {
				fill(100_000 + len(refused)*1000)
			}

			// Room again: the store finds out by itself.
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			deadline := time.Now().Add(20 * time.Second)
			for s.Err() != nil {
				if time.Now().After(deadline) {
					t.Fatalf("there is room, but Err = %v", s.Err())
				}
				time.Sleep(10 * time.Millisecond) // the probe goes by the real clock
			}
			rec := small(900_000)
			if err := s.Append(ctx, rec); err != nil {
				t.Fatalf("Append with room again: %v", err)
			}
			acked[900_000] = true
			if err := s.Settle(ctx, settled(rec.Deliveries[0].ID)); err != nil {
				t.Error(err)
			}
			// A process that is killed now has all that was acknowledged, and nothing that was refused.
			after := mustOpen(t, copyDir(t, dir))
			for n := range acked {
				if c.body == 0 {
					if err := whole(after, n); err != nil {
						t.Errorf("request %d was acknowledged: %v", n, err)
					}
				} else if got, err := after.Request(ctx, small(n).Request.ID); err != nil || n != 900_000 && len(got.Request.Body) < c.body {
					t.Errorf("request %d was acknowledged: %v", n, err)
				}
			}
			for n := range refused {
				if _, err := after.Request(ctx, small(n).Request.ID); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("request %d was refused, but is there: %v", n, err)
				}
			}
			if err := after.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSecondProcess: the data directory is locked, and the error says by whom.
func TestSecondProcess(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	out, err := child("open", dir, 0).Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("locked %d\n", os.Getpid()); !strings.HasPrefix(string(out), want) || !strings.Contains(string(out), dir) {
		t.Errorf("the second process said %q, want %q and the directory", out, want)
	}
	var locked *LockedError
	if _, err := Open(dir, Options{}); !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Errorf("a second Open = %v, want LockedError", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	out, err = child("open", dir, 0).Output()
	if err != nil || strings.TrimSpace(string(out)) != "opened true <nil>" {
		t.Errorf("after Close the second process said %q, %v", out, err)
	}
}
