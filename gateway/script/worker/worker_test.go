package worker_test

import (
	"os"
	"testing"
	"time"

	"switchhook/gateway/script"
	"switchhook/gateway/script/scripttest"
	"switchhook/gateway/script/worker"
)

func TestMain(m *testing.M) {
	worker.Probe()
	worker.Main()
	os.Exit(m.Run())
}

// engine makes an engine that the test closes.
func engine(t testing.TB, o worker.Options) *worker.Engine {
	t.Helper()
	e, err := worker.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// TestConformance is the suite that the in-process engine passes.
func TestConformance(t *testing.T) {
	scripttest.Test(t, func(o script.Options) script.Engine {
		w := worker.Options{Timeout: o.Timeout, Size: o.Concurrency, MaxOutput: o.MaxOutput, MaxEvents: o.MaxEvents}
		if raceDetector {
			w.Memory = 8 << 30
		}
		if o.Timeout > 0 {
			w.KillAfter = o.Timeout + 10*time.Second
		}
		return engine(t, w)
	})
}
