package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPush(t *testing.T) {
	for _, n := range []int{600, 1_000, 7_000, 1_000_000} {
		if b := push(n); !json.Valid(b) || math.Abs(float64(len(b)-n)) > 400+float64(n)/100 {
			t.Errorf("push(%d) has %d bytes", n, len(b))
		}
	}
}

func TestPlotIsXML(t *testing.T) {
	p := plot{Title: "a < b", X: "x", Y: "y", LogX: true, Lines: []line{{"one & two", []point{{1, 2}, {1000, 4}}}, {"one point", []point{{10, 3}}}}}
	var v any
	if err := xml.Unmarshal(p.svg(), &v); err != nil {
		t.Error(err)
	}
	for _, s := range []string{"a &lt; b", ">1000</text>", "one &amp; two"} {
		if !strings.Contains(string(p.svg()), s) {
			t.Errorf("no %s in %s", s, p.svg())
		}
	}
}

// A run replaces its own sections and leaves others and what is written by hand.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "performance.md")
	if err := os.WriteFile(page, []byte("# By hand\n\n"+begin+"\nold\n"+end+"\n\nfoot\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	one := report{where: "here"}
	first := table{Title: "One", Columns: []string{"a", "b"}}
	first.row("1", "2")
	one.add("start", first, plot{})
	if err := one.write(dir); err != nil {
		t.Fatal(err)
	}
	two := report{where: "there"}
	two.add("compare", table{Title: "Two", Columns: []string{"c"}}, plot{Title: "P", Lines: []line{{"l", []point{{1, 1}}}}})
	if err := two.write(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	got := string(text)
	for _, want := range []string{"# By hand\n", "### Two\n\n| c |\n| --- |\n\n![P](performance-compare.svg)", "| 1 | 2 |", ": there.", ": here.", end + "\n\nfoot\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "old") || strings.Index(got, "Two") > strings.Index(got, "One") {
		t.Errorf("not replaced or not in order:\n%s", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "performance-compare.svg")); err != nil {
		t.Error(err)
	}
}

// What is simulated agrees with arithmetic: below its limit a machine answers in about the time that handling and a commit
// take, beyond it waiting grows, and the limit that is lowest is the one that is named.
func TestCapacity(t *testing.T) {
	f := figures{Receive: 200e-6, Record: 60e-6, Written: 24_000, Delivery: 60e-6, Sync: 300e-6}
	small, large := nodes[0], nodes[2]
	if l := f.limits(small, 0); l[0].what != "disk" || l[1].what != "processors" || math.Abs(l[1].rate-7000) > 1 {
		t.Errorf("small: %v", l)
	}
	if l := f.limits(large, 0); l[0].what != "the one writer of the store" || math.Abs(l[0].rate-0.7/60e-6) > 1 {
		t.Errorf("large: %v", l)
	}
	random := func() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }
	idle, _ := f.simulate(small, 10, 2_000, random())
	if idle < 400*time.Microsecond || idle > 700*time.Microsecond {
		t.Errorf("a request alone takes %v", idle)
	}
	_, within := f.simulate(small, 7_000, 50_000, random())
	_, beyond := f.simulate(small, 20_000, 50_000, random())
	if within > 20*time.Millisecond || beyond < 10*within {
		t.Errorf("p99 within the limit %v, beyond it %v", within, beyond)
	}
	text := string(f.capacity())
	if !strings.Contains(text, "| 1M |") || strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
		t.Error(text)
	}
}

// The command measures what it says: a baseline that answers is driven, and its figures make sense.
func TestDriveBaseline(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("BENCH_SERVE", "1")
	for _, kind := range []string{"echo", "sync"} {
		dir := t.TempDir()
		p, err := launch(t.Context(), kind, dir, true, self, "serve", kind, dir)
		if err != nil {
			t.Fatal(err)
		}
		m := message(p.path, push(pushSize))
		var r result
		// On a machine whose disk is busy a single sync may take longer than that.
		for d := 200 * time.Millisecond; d < 20*time.Second; d *= 4 {
			if r, err = drive(t.Context(), p, 4, d, func(int64) []byte { return m }); !errors.Is(err, errSilent) {
				break
			}
		}
		if stop := p.stop(); err != nil || stop != nil {
			t.Fatal(err, stop)
		}
		if r.rate <= 0 || r.p50 <= 0 || r.p99 < r.p50 {
			t.Errorf("%s: %+v", kind, r)
		}
	}
}

func TestMain(m *testing.M) {
	if os.Getenv("BENCH_SERVE") != "" {
		if err := serveBaseline(os.Args[2:]); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}
