package worker_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"switchhook/gateway/script/worker"
)

// TestLongCallsLetOthersFirst: while a call is long the system prefers others to its worker, and after it no more.
func TestLongCallsLetOthersFirst(t *testing.T) {
	if a, err := unix.SchedGetAttr(0, 0); err != nil || a.Runtime == 0 {
		t.Skip("this system has no slices") // before Linux 6.12
	}
	e := engine(t, worker.Options{Timeout: 20 * time.Second, Size: 2})
	long := build(t, "long", `export default function handle() { for (const end = Date.now() + 50; Date.now() < end;); }`)
	patient := func() bool {
		for _, child := range children() {
			pid, _ := strconv.Atoi(child)
			if a, err := unix.SchedGetAttr(pid, 0); err == nil && a.Runtime >= uint64(50*time.Millisecond) {
				return true
			}
		}
		return false
	}
	deadline := time.Now().Add(time.Minute)
	for seen := false; !seen; {
		over := make(chan error, 1)
		go func() {
			_, err := e.Handle(context.Background(), long, pushInput())
			over <- err
		}()
		for running := true; running; {
			select {
			case err := <-over:
				if err != nil {
					t.Fatal(err)
				}
				running = false
			case <-time.After(time.Millisecond):
				seen = seen || patient()
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("no worker ever let others first")
		}
	}
	for patient() { // one that took too long ends by itself
		if time.Now().After(deadline) {
			t.Fatal("a worker lets others first when its call is over")
		}
		time.Sleep(time.Millisecond)
	}
}
