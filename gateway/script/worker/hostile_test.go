package worker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"switchhook/gateway/script"
	"switchhook/gateway/script/worker"
)

// TestHostile runs each handler of testdata/hostile, two calls at once, while another connector is under
// load. Each must be over within the deadline and hold no more than the memory
// allowed; the other connector must lose no request. In a minute it does so with short
// deadlines; with SWITCHHOOK_SLOW it does so with the defaults, and prints the table of SECURITY.md.
func TestHostile(t *testing.T) {
	if raceDetector {
		t.Skip("what is measured here is time and memory")
	}
	o := worker.Options{Timeout: 100 * time.Millisecond, KillAfter: 250 * time.Millisecond, Memory: 128 << 20, Size: 4}
	slow := os.Getenv("SWITCHHOOK_SLOW") != ""
	if slow {
		o = worker.Options{Timeout: time.Second, KillAfter: 2 * time.Second, Memory: 256 << 20, Size: 4}
	}
	o.Logger = slog.New(slog.DiscardHandler)
	e := engine(t, o)
	files, err := filepath.Glob("testdata/hostile/*.js")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d handlers, %v", len(files), err)
	}

	l := startLoad(t, e)
	l.settle(t, 500)
	var table bytes.Buffer
	tab := tabwriter.NewWriter(&table, 0, 0, 1, ' ', tabwriter.Debug)
	outcomes := map[string]int{}
	var all, baseline []time.Duration // of the other connector
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".js")
		p, list := script.Build(script.Source{Connector: "hostile", Function: "handle", Code: string(source), File: name + ".js", Line: 1, Column: 1})
		if p == nil {
			t.Errorf("%s does not build: %v", name, list)
			continue
		}
		// Alone it is measured in turns with the attacks: what else the machine does is the same for both.
		l.take()
		l.settle(t, 100)
		baseline = append(baseline, l.take()...)
		attack := run(t, e, p)
		l.settle(t, 20) // what it leaves behind is a part of it
		all = append(all, l.take()...)
		outcomes[attack.kind]++
		what, _, _ := strings.Cut(strings.TrimPrefix(string(source), "// "), "\n")
		fmt.Fprintf(tab, " %s \t %s \t %s \t %d ms \t %d MB \t\n", name, what, attack.kind, attack.took.Milliseconds(), attack.memory>>20)
		if limit := o.KillAfter + 10*time.Second; attack.took > limit {
			t.Errorf("%s took %v, which is more than %v", name, attack.took, limit)
		}
		// Beyond its data a worker has its program, which all share, and the stacks of its
		// threads; and Go takes address space 64 MiB at a time.
		if limit := o.Memory + 128<<20; attack.memory > limit {
			t.Errorf("%s: a worker had %d MB, more than %d", name, attack.memory>>20, limit>>20)
		}
	}
	lost := l.stop()
	before, while := percentile(baseline, 99), percentile(all, 99)
	tab.Flush()
	t.Logf("%d handlers: %v\nanother connector meanwhile: %d calls, %d failed, p50 %v, p99 %v (alone: p50 %v, p99 %v)\n%s",
		len(files), outcomes, len(all), lost, percentile(all, 50), while, percentile(baseline, 50), before, table.String())
	if lost > 0 {
		t.Errorf("%d calls of another connector failed", lost)
	}
	// The machine of a test is shared; what is measured is in SECURITY.md.
	if limit := max(20*before, time.Second); while > limit {
		t.Errorf("p99 of another connector is %v, alone it is %v", while, before)
	}
}

// attack is what came of a hostile handler.
type attack struct {
	kind   string
	took   time.Duration
	memory int64 // the most that a worker had
}

func run(t *testing.T, e script.Engine, p *script.Program) attack {
	stop, sampled := make(chan struct{}), make(chan int64)
	go func() {
		most := int64(0)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			for _, pid := range children() {
				most = max(most, resident(pid))
			}
			select {
			case <-tick.C:
			case <-stop:
				sampled <- most
				return
			}
		}
	}()
	kinds := make([]string, 2)
	var calls sync.WaitGroup
	began := time.Now()
	for i := range kinds {
		calls.Go(func() {
			_, err := e.Handle(context.Background(), p, pushInput())
			var f *script.Error
			switch {
			case err == nil:
				kinds[i] = "harmless"
			case errors.As(err, &f):
				kinds[i] = f.Failure.Kind
				if strings.Contains(f.Failure.Message, "killed") {
					kinds[i] = "killed"
				}
				if kinds[i] == "crashed" {
					t.Logf("%s: %v", p.Name, f)
				}
			default:
				kinds[i] = err.Error()
			}
		})
	}
	calls.Wait()
	a := attack{kind: kinds[0], took: time.Since(began)}
	close(stop)
	a.memory = <-sampled
	return a
}

// resident is the memory that a process has, in bytes.
func resident(pid string) int64 {
	statm, err := os.ReadFile("/proc/" + pid + "/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(statm))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// load is a connector that works all the time.
type load struct {
	mu      sync.Mutex
	took    []time.Duration
	lost    int
	ending  chan struct{}
	callers sync.WaitGroup
}

// startLoad has four callers call one after the other, with a pause.
func startLoad(t *testing.T, e script.Engine) *load {
	l := &load{ending: make(chan struct{})}
	p := build(t, "steady", pushCode)
	for range 4 {
		l.callers.Go(func() {
			pause := time.NewTicker(5 * time.Millisecond)
			defer pause.Stop()
			for {
				select {
				case <-l.ending:
					return
				case <-pause.C:
				}
				began := time.Now()
				in := pushInput()
				in.Timeout = 20 * time.Second // a machine that does nothing else cannot be asked for
				r, err := e.Handle(context.Background(), p, in)
				took := time.Since(began)
				l.mu.Lock()
				l.took = append(l.took, took)
				if err != nil || len(r.Events) != 2 {
					l.lost++
					t.Errorf("a call of another connector: %v", err)
				}
				l.mu.Unlock()
			}
		})
	}
	return l
}

// settle waits until so many more calls are done.
func (l *load) settle(t *testing.T, calls int) {
	deadline := time.Now().Add(time.Minute)
	done := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.took)
	}
	for before := done(); done() < before+calls; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the load does not run")
		}
	}
}

func (l *load) take() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	took := l.took
	l.took = nil
	return took
}

func (l *load) stop() (lost int) {
	close(l.ending)
	l.callers.Wait()
	return l.lost
}

func percentile(of []time.Duration, p int) time.Duration {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Clone(of)
	slices.Sort(sorted)
	return sorted[min(len(sorted)-1, len(sorted)*p/100)].Round(time.Microsecond)
}
