package tests

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestReplayAfterAnOutage lets the deliveries of two subscriptions die, of
// which one is ordered, and replays all of them with the command: each arrives
// once, and those of the ordered one in the order of their arrival, selector by selector.
func TestReplayAfterAnOutage(t *testing.T) {
	const events = 1200 // two steps of the command
	var up atomic.Bool
	var mu sync.Mutex
	got := map[string][]int{} // by subscription and selector
	total := 0
	r := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var event struct{ N int }
		if err := json.NewDecoder(req.Body).Decode(&event); err != nil {
			t.Errorf("what was received is not an event: %v", err)
		}
		if !up.Load() {
			w.WriteHeader(http.StatusBadRequest) // below 500: it does not open the breaker
			return
		}
		mu.Lock()
		defer mu.Unlock()
		key := req.Header.Get("X-Switchhook-Subscription") + " " + req.Header.Get("X-Switchhook-Selector")
		got[key] = append(got[key], event.N)
		total++
	}))
	t.Cleanup(r.Close)
	destination := fmt.Sprintf(`{type: http, url: "%s", allow: [127.0.0.0/8], retry: {delays: [0s]}}`, r.URL)
	g := newGateway(t, destination, `      ordered: {integration: echo, selector: "**", ordered: true, destination: `+destination+`}`)
	write(t, filepath.Join(g.dir, "connectors", "echo.yml"), strings.Replace(echoConnector, "data.n,", "data.n % 3,", 1))
	g.start()
	var next atomic.Int64
	var senders sync.WaitGroup
	for range 8 {
		senders.Go(func() {
			for n := next.Add(1); n <= events; n = next.Add(1) {
				if status := g.send(n); status != 200 {
					t.Errorf("answered %d", status)
				}
			}
		})
	}
	senders.Wait()
	status := func() (dead int) {
		resp, err := http.Get(g.base + "/api/v1/status")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var v struct{ Dead int }
		if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
			t.Fatal(err)
		}
		return v.Dead
	}
	g.await("all deliveries are dead", func() bool { return status() == 2*events })

	// The order of arrival is that of the lists.
	arrived := map[string][]int{}
	for cursor := ""; ; {
		resp, err := http.Get(g.base + "/api/v1/requests?limit=1000&cursor=" + cursor)
		if err != nil {
			t.Fatal(err)
		}
		var page struct {
			Items []struct{ ID string }
			Next  string
		}
		err = json.NewDecoder(resp.Body).Decode(&page)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			resp, err := http.Get(g.base + "/api/v1/requests/" + item.ID)
			if err != nil {
				t.Fatal(err)
			}
			var v struct {
				Events []struct {
					Selector string
					Payload  struct{ N int }
				}
			}
			err = json.NewDecoder(resp.Body).Decode(&v)
			resp.Body.Close()
			if err != nil || len(v.Events) != 1 {
				t.Fatal(v, err)
			}
			key := "main/ordered " + v.Events[0].Selector
			arrived[key] = append([]int{v.Events[0].Payload.N}, arrived[key]...)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}

	if out, err := g.command("replay", "--selector", "n/**", "--dry-run").CombinedOutput(); err != nil || string(out) != fmt.Sprintf("%d deliveries would be replayed\n", 2*events) {
		t.Errorf("dry run: %v %s", err, out)
	}
	up.Store(true)
	if out, err := g.command("replay", "--selector", "n/**").CombinedOutput(); err != nil || !strings.Contains(string(out), fmt.Sprintf("replayed %d deliveries\n", 2*events)) {
		t.Fatalf("replay: %v %s", err, out)
	}
	g.await("everything arrives", func() bool { mu.Lock(); defer mu.Unlock(); return total >= 2*events })
	g.stop()
	for key, ns := range got {
		seen := map[int]bool{}
		for _, n := range ns {
			if seen[n] {
				t.Errorf("%s: event %d came twice", key, n)
			}
			seen[n] = true
		}
		if want := arrived[key]; want != nil && fmt.Sprint(ns) != fmt.Sprint(want) {
			t.Errorf("%s: came out of order:\n got %v\nwant %v", key, ns, want)
		}
	}
	if len(arrived) != 3 || len(got) != 6 {
		t.Errorf("%d selectors, %d kinds of deliveries: the test shows less than it should", len(arrived), len(got))
	}
}
