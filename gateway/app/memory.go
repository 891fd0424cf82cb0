package app

import (
	"context"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// smallestHeap is what the heap may always have besides requests under way.
const smallestHeap = 32 << 20

// limitMemory tells the runtime how much memory the process is to have, at the
// start and after every reload, until ctx ends. Without a limit the heap grows to twice what
// is live, and after a burst of large bodies it stays so. The limit leaves room for all requests that
// may be under way, and half as much again as the configuration takes, so that by
// default the process stays under 300 MB (TestHostileRequests in tests/). GOMEMLIMIT
// in the environment overrides it.
func (g *Gateway) limitMemory(ctx context.Context) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	for {
		g.reloading.Lock()
		debug.FreeOSMemory() // collects too, before which it is not known what is live
		metrics.Read(live)
		heap := max(smallestHeap, int64(live[0].Value.Uint64())*3/2)
		debug.SetMemoryLimit(heap + int64(g.o.Config.Server.InFlightBytes))
		g.reloading.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-g.reloaded:
		}
	}
}

// withoutLimit lets a reload have the memory that it takes, as the start has it, until restore is called. A config.yaml with 100,000
// subscriptions takes ten times as much while it is read as afterwards: under the limit the garbage collector would work all the time.
func withoutLimit() (restore func()) {
	limit := debug.SetMemoryLimit(-1)
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(math.MaxInt64)
	}
	percent := 0
	if os.Getenv("GOGC") == "" {
		percent = debug.SetGCPercent(100)
	}
	return func() {
		debug.SetMemoryLimit(limit)
		if percent != 0 {
			debug.SetGCPercent(percent)
		}
	}
}

// collectLess has the garbage collector work less: each request, and each
// subscription that is loaded at start, leaves little behind and much garbage. What
// this spares in time costs memory: a million subscriptions while they are loaded nearly twice what they take,
// and after that limitMemory sees to it. GOGC in the environment overrides it.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}

// waitingThreads is how many threads more than processors may run Go: the two writers of the store and its checkpoints are mostly in system
// calls that wait for the disk, and the runtime takes a while to see that their processors could be used. On 2 processors it
// is worth a tenth of the throughput (BenchmarkPath with GOMAXPROCS=2 and 4).
const waitingThreads = 2

// processors is how many there are for this process, as the runtime found out when it started.
var processors = runtime.GOMAXPROCS(0)

// useProcessors has the runtime use all processors while it waits for the disk. GOMAXPROCS in the environment overrides it.
func useProcessors() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(processors + waitingThreads)
	}
}
