package worker_test

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"switchhook/gateway/script/worker"
)

// TestNothingInherited: a worker has neither the environment nor the files of its parent, be they
// open to children, and it ends with the engine.
func TestNothingInherited(t *testing.T) {
	t.Setenv("SWITCHHOOK_TEST_SECRET", "s3cret")
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], 0); err != nil { // passed on to children, unless somebody cares
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	secret, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(pipe[0]))
	if err != nil {
		t.Fatal(err)
	}
	before := map[string]bool{}
	for _, pid := range children() {
		before[pid] = true
	}
	e, err := worker.New(worker.Options{Size: 4})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Handle(context.Background(), build(t, "any", pushCode), pushInput()); err != nil {
		t.Error(err)
	}
	// One that works and two spares: what is still starting is not confined yet.
	for e.Stats().Workers < 3 {
		time.Sleep(time.Millisecond)
	}
	workers := 0
	for _, pid := range children() {
		if before[pid] {
			continue
		}
		workers++
		environment, err := os.ReadFile("/proc/" + pid + "/environ")
		if err != nil {
			continue // it has not begun, or has ended
		}
		if strings.Contains(string(environment), "s3cret") || strings.Contains(string(environment), "PATH=") {
			t.Errorf("a worker has the environment %q", environment)
		}
		files, _ := os.ReadDir("/proc/" + pid + "/fd")
		for _, f := range files {
			if to, _ := os.Readlink("/proc/" + pid + "/fd/" + f.Name()); to == secret || strings.HasPrefix(to, "socket:") || strings.HasPrefix(to, "/tmp") {
				t.Errorf("a worker has the file %s: %s", f.Name(), to)
			}
		}
		status, _ := os.ReadFile("/proc/" + pid + "/status")
		if os.Getenv("SWITCHHOOK_CI") != "" && (!strings.Contains(string(status), "NoNewPrivs:\t1") || !strings.Contains(string(status), "Seccomp:\t2")) {
			t.Errorf("a worker is not confined:\n%s", status)
		}
	}
	if workers == 0 {
		t.Error("there are no workers")
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	for _, pid := range children() {
		if !before[pid] {
			t.Errorf("the process %s is still there", pid)
		}
	}
}
