package main

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// figures are what capacity is computed from; seconds and bytes, each for one request of 7 KB or one delivery of it.
type figures struct {
	Receive  float64 // processor time, the store's share included
	Record   float64 // of which the store's writer, which is one thread
	Written  float64 // bytes to the disk
	Delivery float64 // processor time of a delivery
	Sync     float64 // how long the disk takes to make something durable
}

func (f figures) complete() bool {
	return f.Receive > 0 && f.Record > 0 && f.Written > 0 && f.Delivery > 0 && f.Sync > 0
}

// node is a machine.
type node struct {
	name  string
	cores float64
	disk  float64 // bytes a second
	net   float64 // bytes a second
}

var nodes = []node{
	{"2 cores, 200 MB/s disk, 1 Gbit/s", 2, 200e6, 125e6},
	{"8 cores, 1 GB/s disk, 10 Gbit/s", 8, 1e9, 1.25e9},
	{"32 cores, 3 GB/s disk, 25 Gbit/s", 32, 3e9, 3.1e9},
}

// limit is the rate, in requests a second, at which something on a machine is used up.
type limit struct {
	what string
	rate float64
}

// share is how much of anything is used in earnest: beyond it waiting times grow without end.
const share = 0.7

// limits lists what limits a machine, lowest first, when each request makes so many deliveries.
func (f figures) limits(n node, deliveries float64) []limit {
	list := []limit{
		{"processors", n.cores / (f.Receive + deliveries*f.Delivery)},
		{"the one writer of the store", 1 / f.Record},
		{"disk", n.disk / f.Written},
		{"network", n.net / (pushSize * 1.2 * max(1, deliveries))},
	}
	for i := range list {
		list[i].rate *= share
	}
	slices.SortFunc(list, func(a, b limit) int {
		if a.rate < b.rate {
			return -1
		}
		return 1
	})
	return list
}

// simulate is a machine under requests that come at random at a rate: each takes a core for the handling, then waits for the next commit,
// which takes the disk's time and the writer's for each record in it. It returns how long requests take; a
// machine that cannot keep up shows in that.
func (f figures) simulate(n node, rate float64, requests int, random *rand.Rand) (p50, p99 time.Duration) {
	handling := f.Receive - f.Record
	free := make([]float64, int(n.cores)) // when each core is
	type request struct{ came, ready float64 }
	list := make([]request, requests)
	now := 0.0
	for i := range list {
		now += random.ExpFloat64() / rate
		core := 0
		for c := range free {
			if free[c] < free[core] {
				core = c
			}
		}
		// Handling times differ; a tenth take four times as long.
		took := handling * 0.77
		if random.IntN(10) == 0 {
			took *= 4
		}
		free[core] = max(free[core], now) + took
		list[i] = request{now, free[core]}
	}
	slices.SortFunc(list, func(a, b request) int {
		if a.ready < b.ready {
			return -1
		}
		return 1
	})
	var waits []float64
	commit := 0.0
	for i := 0; i < len(list); {
		begin := max(commit, list[i].ready)
		j := i
		for j < len(list) && list[j].ready <= begin && j-i < 512 {
			j++
		}
		commit = begin + f.Sync + float64(j-i)*f.Record
		for ; i < j; i++ {
			waits = append(waits, commit-list[i].came)
		}
	}
	slices.Sort(waits)
	second := func(s float64) time.Duration { return time.Duration(s * 1e9) }
	return second(waits[len(waits)/2]), second(waits[len(waits)*99/100])
}

// capacity writes the tables of capacity.md.
func (f figures) capacity() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Computed from: %s of processor time to receive a request, of which %s are the store's writer; %s written for it; %s for a delivery; %s for the disk to sync. "+
		"Of everything %.0f%% are used.\n\n", short(seconds(f.Receive)), short(seconds(f.Record)), size(int64(f.Written)), short(seconds(f.Delivery)), short(seconds(f.Sync)), share*100)
	b.WriteString("| Machine | deliveries a request | requests/s | breaks first | then | p50 then (simulated) | p99 |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, n := range nodes {
		for _, d := range []float64{0, 1, 2, 5} {
			l := f.limits(n, d)
			p50, p99 := f.simulate(n, l[0].rate, 60_000, rand.New(rand.NewPCG(1, 2)))
			fmt.Fprintf(&b, "| %s | %.0f | %s | %s | %s at %s | %s | %s |\n", n.name, d, number(round(l[0].rate)), l[0].what, l[1].what, number(round(l[1].rate)), short(p50), short(p99))
		}
	}
	b.WriteString("\n| Requests/s | machines of 2 cores | of 8 | of 32 | written a day | stored a day | network in | network out, 2 deliveries |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, rate := range []float64{1e3, 1e5, 1e6} {
		fmt.Fprintf(&b, "| %s |", number(rate))
		for _, n := range nodes {
			fmt.Fprintf(&b, " %.0f |", math.Ceil(rate/f.limits(n, 2)[0].rate))
		}
		in := rate * pushSize * 1.2
		fmt.Fprintf(&b, " %s | %s | %s/s | %s/s |\n", large(rate*86400*f.Written), large(rate*86400*f.Written/2), large(in), large(2*in))
	}
	return b.Bytes()
}

func seconds(s float64) time.Duration { return time.Duration(s * 1e9) }

// round keeps two digits.
func round(v float64) float64 {
	if v <= 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(v))-1)
	return math.Round(v/unit) * unit
}

func large(n float64) string {
	switch {
	case n >= 1e12:
		return fmt.Sprintf("%.3g TB", n/1e12)
	case n >= 1e9:
		return fmt.Sprintf("%.3g GB", n/1e9)
	}
	return fmt.Sprintf("%.3g MB", n/1e6)
}

// writeCapacity replaces the tables in the folder's capacity.md.
func (f figures) writeCapacity(folder string) error {
	page := filepath.Join(folder, "capacity.md")
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	text, err = replaceMeasured(page, text, f.capacity())
	if err != nil {
		return err
	}
	progress("wrote %s", page)
	return os.WriteFile(page, text, 0o644)
}

// replaceMeasured puts measured text between the marks of a page.
func replaceMeasured(page string, text, measured []byte) ([]byte, error) {
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return nil, fmt.Errorf("%s has no lines %q and %q", page, begin, end)
	}
	return fmt.Appendf(nil, "%s%s\n\n%s\n%s%s", before, begin, bytes.TrimRight(measured, "\n"), end, after), nil
}
