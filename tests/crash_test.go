package tests

import (
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestKilledAtRandom kills the gateway again and again while requests come in
// and deliveries go out: what was answered with 2xx arrives at least once,
// and nothing arrives that was never sent. SWITCHHOOK_SLOW=1 kills 200 times.
func TestKilledAtRandom(t *testing.T) {
	kills := 8
	if os.Getenv("SWITCHHOOK_SLOW") != "" {
		kills = 200
	}
	r := newReceiver(t)
	g := newGateway(t, r.destination())

	var next atomic.Int64
	var mu sync.Mutex
	acknowledged := map[int64]bool{}
	for range kills {
		g.start()
		stop := make(chan struct{})
		var senders sync.WaitGroup
		for range 4 {
			senders.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					n := next.Add(1)
					if g.send(n) == 200 {
						mu.Lock()
						acknowledged[n] = true
						mu.Unlock()
					}
				}
			})
		}
		// The kill is to hit at any moment; this wait is the randomness, nothing depends on its length.
		time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
		g.kill()
		close(stop)
		senders.Wait()
	}
	if len(acknowledged) < kills {
		t.Fatalf("only %d requests were acknowledged in %d rounds: the test shows nothing", len(acknowledged), kills)
	}
	g.start()
	g.await("everything acknowledged arrives", func() bool {
		for n := range acknowledged {
			if r.count(n) == 0 {
				return false
			}
		}
		return true
	})
	g.stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for n := range r.seen {
		if n < 1 || n > next.Load() {
			t.Errorf("event %d arrived and was never sent", n)
		}
	}
	t.Logf("%d kills, %d requests acknowledged, %d events arrived", kills, len(acknowledged), len(r.seen))
}

// TestDrainUnderLoad stops the gateway with SIGTERM while requests come in: it
// ends with code 0, and what was answered with 2xx arrives, once.
func TestDrainUnderLoad(t *testing.T) {
	r := newReceiver(t)
	g := newGateway(t, r.destination())
	var next atomic.Int64
	var mu sync.Mutex
	acknowledged := map[int64]bool{}
	for range 3 {
		g.start()
		stop := make(chan struct{})
		var senders sync.WaitGroup
		busy := make(chan struct{}, 1)
		for range 8 {
			senders.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					n := next.Add(1)
					if g.send(n) == 200 {
						mu.Lock()
						acknowledged[n] = true
						if len(acknowledged)%100 == 99 {
							select {
							case busy <- struct{}{}:
							default:
							}
						}
						mu.Unlock()
					}
				}
			})
		}
		<-busy
		g.stop()
		close(stop)
		senders.Wait()
	}
	g.start()
	g.await("everything acknowledged arrives", func() bool {
		for n := range acknowledged {
			if r.count(n) == 0 {
				return false
			}
		}
		return true
	})
	g.stop()
	if events, twice := r.all(); twice*1000 > events {
		t.Errorf("%d of %d events arrived more than once, although nothing crashed", twice, events)
	}
	t.Logf("%d requests acknowledged", len(acknowledged))
}
