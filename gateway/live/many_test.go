package live_test

import (
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"switchhook/gateway/hook"
	"switchhook/gateway/match"
)

// many yields n subscriptions as a store does, each of a selector of its own;
// every tenth is a pattern.
func many(n int) func(yield func(*hook.Subscription) bool) error {
	return func(yield func(*hook.Subscription) bool) error {
		for i := range n {
			sub := &hook.Subscription{Workspace: "main", Name: fmt.Sprint("sub", i), Integration: "shop", Webhook: "orders", Selector: fmt.Sprint("created/", i),
				Destination: hook.Destination{Type: "http", URL: "https://example.com/hooks"}}
			if i%10 == 0 {
				sub.Selector += "/*"
			}
			if !yield(sub) {
				break
			}
		}
		return nil
	}
}

const none = `
workspaces:
  main:
    integrations:
      shop: {connector: shop, parameters: {secret: s3cret}}
`

func withMany(t testing.TB, n int) *folder {
	f := newFolder(t, none, map[string]string{"shop.yml": shop})
	f.mustReload()
	if err := f.live.AddStored(t.Context(), many(n)); err != nil {
		t.Fatal(err)
	}
	return f
}

var shopOrders = match.Scope{Workspace: "main", Integration: "shop", Webhook: "orders"}

// Subscriptions that an event does not reach cost it nothing: with a hundred
// thousand it takes about as long to match as with ten.
func TestMatchingDoesNotGrow(t *testing.T) {
	few, lots := withMany(t, 10), withMany(t, 100_000)
	payload := []byte(`{"total": 5}`)
	if got := lots.live.Match(nil, lots.live.Current(), shopOrders, "created/4711", payload); len(got) != 1 || got[0].Name != "sub4711" {
		t.Fatalf("matched %d", len(got))
	}
	took := func(f *folder) time.Duration {
		g, began := f.live.Current(), time.Now()
		for range 1000 {
			if len(f.live.Match(nil, g, shopOrders, "refunded/1/x", payload)) != 0 {
				t.Fatal("it reaches somebody")
			}
		}
		return time.Since(began)
	}
	// The quickest of many rounds, taking turns: other work on the machine slows some.
	a, b := time.Hour, time.Hour
	for range 50 {
		a, b = min(a, took(few)), min(b, took(lots))
	}
	t.Logf("an event that reaches nobody: %v with 10, %v with 100000", a/1000, b/1000)
	if b > 3*a {
		t.Errorf("1000 events took %v with 10 subscriptions, %v with 100000", a, b)
	}
}

// A reload with unchanged connectors does not resolve a million subscriptions again.
func TestReloadLeavesSubscriptionsOfUnchangedConnectors(t *testing.T) {
	f := withMany(t, 1000)
	before := f.live.Subscription("main/sub7")
	f.mustReload()
	if f.live.Subscription("main/sub7") != before {
		t.Error("it was resolved again, although nothing changed")
	}
	f.write("connectors/shop.yml", shop+"# changed\n")
	f.mustReload()
	if f.live.Subscription("main/sub7") != before {
		t.Error("it was resolved again, although it fits the connector as before")
	}
	if got := f.live.Match(nil, f.live.Current(), shopOrders, "created/7", []byte("{}")); len(got) != 1 {
		t.Errorf("the event reaches %d subscriptions, want 1", len(got))
	}
	// Its webhook goes, and comes back.
	for _, c := range []struct {
		connector string
		reached   int
	}{{strings.ReplaceAll(shop, "orders", "sales"), 0}, {shop, 1}} {
		f.write("connectors/shop.yml", c.connector)
		f.mustReload()
		if got := f.live.Match(nil, f.live.Current(), shopOrders, "created/7", []byte("{}")); len(got) != c.reached {
			t.Errorf("the event reaches %d subscriptions, want %d", len(got), c.reached)
		}
		if r := f.live.Subscription("main/sub7"); (r.Inactive == "") != (c.reached == 1) {
			t.Errorf("inactive: %q", r.Inactive)
		}
	}
	// Config.yaml takes the name of one: that one is hidden, and the event comes once.
	f.write("config.yaml", none+`    subscriptions:
      sub7: {integration: shop, selector: "created/7", destination: {type: stdout}}
`)
	f.mustReload()
	if got := f.live.Match(nil, f.live.Current(), shopOrders, "created/7", []byte("{}")); len(got) != 1 || got[0].Destination.Type != "stdout" {
		t.Errorf("the event reaches %d subscriptions, want that of config.yaml alone", len(got))
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// cpuTime is how long the process has computed.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkMillion loads a million subscriptions made at run time, and matches
// events that reach none and one of them, beside the same with ten.
func BenchmarkMillion(b *testing.B) {
	few := withMany(b, 10)
	before, cpu := heap(), cpuTime()
	lots := withMany(b, 1_000_000)
	cpu = cpuTime() - cpu
	size := heap() - before
	b.Logf("a million take %.1f s of CPU to load, and %d MB", cpu.Seconds(), size>>20)
	for _, c := range []struct {
		name     string
		f        *folder
		selector string
		want     int
	}{
		{"10/none", few, "refunded/1/x", 0},
		{"1000000/none", lots, "refunded/1/x", 0},
		{"10/one", few, "created/7", 1},
		{"1000000/one", lots, "created/777777", 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			g := c.f.live.Current()
			var found []*hook.Subscription
			for range b.N {
				if found = c.f.live.Match(found[:0], g, shopOrders, c.selector, []byte("{}")); len(found) != c.want {
					b.Fatalf("it reaches %d", len(found))
				}
			}
			b.ReportMetric(cpu.Seconds(), "cpu-s/load")
			b.ReportMetric(float64(size>>20), "MB/load")
		})
	}
}

// Subscriptions that come and go leave nothing behind; those that stay are found all the while, and whoever has one keeps it.
func TestSubscriptionsComeAndGo(t *testing.T) {
	f := withMany(t, 100)
	kept := f.live.Subscription("main/sub7")
	old := *kept.Subscription
	put := func(name, selector string) {
		sub := old
		sub.Name, sub.Selector = name, selector
		if _, err := f.live.Put(t.Context(), &sub, func(*hook.Subscription) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	stop, checked := make(chan struct{}), make(chan error)
	go func() {
		defer close(checked)
		for {
			got := f.live.Match(nil, f.live.Current(), shopOrders, "created/9", []byte("{}"))
			if len(got) != 1 || got[0].Name != "sub9" {
				checked <- fmt.Errorf("created/9 reaches %v", got)
				return
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	var before int64
	long := strings.Repeat("/long", 40)
	for i := range 8000 {
		name := fmt.Sprint("new", i%20)
		put(name, fmt.Sprint("new/", i, long))
		put(name, fmt.Sprint("newer/", i, long)) // in its place
		if got := f.live.Match(nil, f.live.Current(), shopOrders, fmt.Sprint("newer/", i, long), []byte("{}")); len(got) != 1 || got[0].Name != name {
			t.Fatalf("%s reaches %v", name, got)
		}
		if found, err := f.live.Delete("main/"+name, func() error { return nil }); !found || err != nil {
			t.Fatal(found, err)
		}
		if f.live.Subscription("main/"+name) != nil {
			t.Fatal("it is still there")
		}
		if i == 2000 {
			before = heap()
		}
	}
	after := heap()
	for range 100 { // until what was put together for a while is gone, too
		if after <= before+1_000_000 {
			break
		}
		after = heap()
	}
	close(stop)
	if err := <-checked; err != nil {
		t.Error(err)
	}
	if after > before+1_000_000 {
		t.Errorf("%d bytes became %d", before, after)
	}
	ids := 0
	f.live.Runtime(func(string) bool { ids++; return true })
	if got := f.live.Subscription("main/sub7"); ids != 100 || got == nil || kept.Subscription.Selector != old.Selector {
		t.Errorf("%d are left", ids)
	}
}
