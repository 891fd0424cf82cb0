package match_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"switchhook/gateway/match"
)

var events = match.Scope{Workspace: "demo", Integration: "github", Webhook: "events"}

// subscribed is what a naive index holds.
type subscribed struct {
	scope    match.Scope
	selector *match.Selector
	filter   *match.Filter
	value    int
}

func naiveMatch(all []subscribed, scope match.Scope, selector string, payload []byte) []int {
	var values []int
	for _, s := range all {
		if s.scope == scope && s.selector.Match(selector) && s.filter.Match(payload) {
			values = append(values, s.value)
		}
	}
	slices.Sort(values)
	return values
}

func indexMatch(x *match.Index[int], scope match.Scope, selector string, payload []byte) []int {
	values := x.Match(nil, scope, selector, payload)
	slices.Sort(values)
	return values
}

// TestIndexAgainstLoop compares an index with a loop over all subscriptions, through additions and removals.
func TestIndexAgainstLoop(t *testing.T) {
	parts := rapid.SampledFrom([]string{"a", "b", "ab", "ba", "", "abc", "é"})
	wild := rapid.SampledFrom([]string{"a", "b", "ab", "", "*", "**", "*", "**", "a*", "*b", "a*b", "a**", "**b", "*a*", "a**b", `\*`, "*b*b*", "**a*"})
	scopes := rapid.SampledFrom([]match.Scope{events, {Workspace: "demo", Integration: "github"}, {Workspace: "demog", Integration: "ithub", Webhook: "events"}})
	filters := []*match.Filter{nil, nil, filter(t, `{"n":{"$gt":3}}`), filter(t, `{"n":{"$lte":3}}`), filter(t, `{"items":{"n":{"$ref":"items[$index].m"}}}`)}
	rapid.Check(t, func(t *rapid.T) {
		var x match.Index[int]
		var all []subscribed
		for i := range rapid.IntRange(0, 60).Draw(t, "subscriptions") {
			if len(all) > 0 && rapid.IntRange(0, 4).Draw(t, "remove") == 0 {
				at := rapid.IntRange(0, len(all)-1).Draw(t, "which")
				s := all[at]
				if !x.Remove(s.scope, s.selector, s.value) || x.Remove(s.scope, s.selector, s.value) {
					t.Fatalf("%s: removed once is not there once", s.selector)
				}
				all = slices.Delete(all, at, at+1)
				continue
			}
			pattern := strings.Join(rapid.SliceOfN(wild, 1, 5).Draw(t, "pattern"), "/")
			p, err := match.ParseSelector(pattern)
			if err != nil {
				continue
			}
			s := subscribed{scopes.Draw(t, "scope"), p, rapid.SampledFrom(filters).Draw(t, "filter"), i}
			all = append(all, s)
			x.Add(s.scope, s.selector, s.filter, s.value)
		}
		if x.Len() != len(all) {
			t.Fatalf("Len %d, want %d", x.Len(), len(all))
		}
		for range 20 {
			selector := strings.Join(rapid.SliceOfN(parts, 1, 6).Draw(t, "selector"), "/")
			scope := scopes.Draw(t, "scope")
			n := rapid.IntRange(0, 6).Draw(t, "n")
			payload := fmt.Appendf(nil, `{"n":%d,"items":[{"n":1,"m":2},{"n":%d,"m":3}]}`, n, n)
			if got, want := indexMatch(&x, scope, selector, payload), naiveMatch(all, scope, selector, payload); !slices.Equal(got, want) {
				t.Fatalf("%s: %v, want %v of %d", selector, got, want, len(all))
			}
		}
		for _, s := range all {
			if !x.Remove(s.scope, s.selector, s.value) {
				t.Fatalf("%s is gone", s.selector)
			}
		}
		if x.Len() != 0 {
			t.Fatal("not empty")
		}
	})
}

func TestIndexAppends(t *testing.T) {
	var x match.Index[string]
	if got := x.Match([]string{"kept"}, events, "a", nil); len(got) != 1 || x.Len() != 0 {
		t.Error(got)
	}
	x.Add(events, selector(t, "a"), nil, "exact")
	x.Add(events, selector(t, "a"), nil, "exact")
	x.Add(events, selector(t, "*"), nil, "star")
	got := x.Match([]string{"kept"}, events, "a", nil)
	slices.Sort(got)
	if !slices.Equal(got, []string{"exact", "exact", "kept", "star"}) {
		t.Error(got)
	}
	if x.Remove(events, selector(t, "b"), "exact") || x.Remove(events, selector(t, "b*"), "star") || x.Remove(match.Scope{}, selector(t, "a"), "exact") || x.Remove(events, selector(t, "a"), "other") {
		t.Error("removed what was never added")
	}
	if x.Len() != 3 {
		t.Error(x.Len())
	}
}

// TestIndexUpdateIsAtomic moves a subscription to and fro while others match: each
// event must find it exactly once.
func TestIndexUpdateIsAtomic(t *testing.T) {
	var x match.Index[int]
	patterns := []*match.Selector{selector(t, "push/x"), selector(t, "push/*"), selector(t, "**"), selector(t, "**/x")}
	for i := range 1000 {
		x.Add(events, selector(t, fmt.Sprintf("push/%d", i)), nil, -i)
	}
	x.Add(events, patterns[0], nil, 1)
	var wait sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		wait.Go(func() {
			var dst []int
			for {
				select {
				case <-done:
					return
				default:
				}
				if dst = x.Match(dst[:0], events, "push/x", nil); len(dst) != 1 || dst[0] != 1 {
					t.Errorf("found %v", dst)
					return
				}
			}
		})
	}
	at := 0
	for i := range 2000 {
		next := (at + 1 + i%3) % len(patterns)
		x.Update(func(e *match.Edit[int]) {
			if !e.Remove(events, patterns[at], 1) {
				t.Error("not there")
			}
			e.Add(events, patterns[next], nil, 1)
		})
		at = next
	}
	close(done)
	wait.Wait()
	if x.Len() != 1001 {
		t.Error(x.Len())
	}
}

// patternKinds are kinds of patterns of which an event matches one of many.
var patternKinds = []string{"push/user-%d/repo", "push/user-%d/*", "*/user-%d/**", "push/user-%d/re*", "**/user-%d/**", "**user-%d/repo"}

func filled(t testing.TB, pattern string, n int) *match.Index[int] {
	var x match.Index[int]
	x.Update(func(e *match.Edit[int]) {
		for i := range n {
			e.Add(events, selector(t, fmt.Sprintf(pattern, i)), nil, i)
		}
	})
	return &x
}

func TestIndexOfMany(t *testing.T) {
	const n = 20_000
	for _, kind := range patternKinds {
		x := filled(t, kind, n)
		for _, i := range []int{0, 7, n / 2, n - 1} {
			if got := indexMatch(x, events, fmt.Sprintf("push/user-%d/repo", i), nil); !slices.Equal(got, []int{i}) && !strings.HasPrefix(kind, "**user") {
				t.Errorf("%s: %v, want %d", kind, got, i)
			}
		}
		if got := indexMatch(x, events, "push/nobody/repo", nil); len(got) != 0 {
			t.Errorf("%s: %v", kind, got)
		}
		dst := make([]int, 0, 4)
		if allocs := testing.AllocsPerRun(100, func() { dst = x.Match(dst[:0], events, "push/user-7/repo", nil) }); allocs > 0 {
			t.Errorf("%s: %v allocations", kind, allocs)
		}
	}
}

// BenchmarkIndex is the cost of an event by the number of subscriptions, of which one matches.
func BenchmarkIndex(b *testing.B) {
	for _, kind := range patternKinds {
		for _, n := range []int{10, 1_000, 100_000, 1_000_000} {
			if n > 100_000 && strings.Contains(kind, "*") {
				continue
			}
			b.Run(fmt.Sprintf("%s/%d", strings.ReplaceAll(kind, "/", "|"), n), func(b *testing.B) {
				x := filled(b, kind, n)
				selectors := make([]string, 4096)
				for i := range selectors {
					selectors[i] = fmt.Sprintf("push/user-%d/repo", i*7919%n)
				}
				runtime.GC()
				dst := make([]int, 0, 16)
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if dst = x.Match(dst[:0], events, selectors[i&4095], nil); len(dst) == 0 {
						b.Fatal("no match")
					}
					i++
				}
			})
		}
	}
}

// BenchmarkIndexBuild is the cost of one subscription of a million, in one Update.
func BenchmarkIndexBuild(b *testing.B) {
	selectors := make([]*match.Selector, 1_000_000)
	for i := range selectors {
		selectors[i] = selector(b, fmt.Sprintf("push/user-%d/repo", i))
	}
	var before, after runtime.MemStats
	for b.Loop() {
		var x match.Index[int]
		runtime.GC()
		runtime.ReadMemStats(&before)
		x.Update(func(e *match.Edit[int]) {
			for i, s := range selectors {
				e.Add(events, s, nil, i)
			}
		})
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(&x)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/subscription")
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "B/subscription")
}

// BenchmarkIndexAdd is the cost of one Add to a big index.
func BenchmarkIndexAdd(b *testing.B) {
	x := filled(b, "push/user-%d/repo", 100_000)
	s := selector(b, "push/nobody/repo")
	b.ReportAllocs()
	for b.Loop() {
		x.Add(events, s, nil, -1)
		x.Remove(events, s, -1)
	}
}

// TestIndexLeavesNothingBehind adds and removes many subscriptions one by one: an index does not grow by what is gone, and finds
// the others as before.
func TestIndexLeavesNothingBehind(t *testing.T) {
	var x match.Index[int]
	filters := []*match.Filter{nil, filter(t, `{"n":1}`), filter(t, `{"n":2}`)}
	stays := []string{"push/stays", "push/*", "**/st*", "**", "push/stays"}
	for i, pattern := range stays {
		x.Add(events, selector(t, pattern), filters[i%3], -i)
	}
	old := x.Now()
	size := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var before uint64
	for round := range 20 {
		for i := range 500 {
			scope := events
			scope.Workspace = fmt.Sprint("workspace-", i%50)
			s := selector(t, fmt.Sprint([]string{"push/", "push/*/", "**a/**/", "push/stays"}[i%4], round, i))
			x.Add(scope, s, filters[i%3], i)
			if !x.Remove(scope, s, i) || x.Remove(scope, s, i) {
				t.Fatalf("%s was not there once", s)
			}
		}
		if round == 4 {
			before = size()
		}
	}
	if after := size(); after > before+200_000 {
		t.Errorf("%d bytes became %d", before, after)
	}
	for _, c := range []struct {
		payload string
		want    []int
	}{{`{"n":1}`, []int{-4, -3, -1, 0}}, {`{"n":2}`, []int{-3, -2, 0}}} {
		got := indexMatch(&x, events, "push/stays", []byte(c.payload))
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.payload, got, c.want)
		}
		was := old.Match(nil, events, "push/stays", []byte(c.payload))
		if slices.Sort(was); !slices.Equal(was, c.want) {
			t.Errorf("an old view says %v, want %v", was, c.want)
		}
	}
	for i, pattern := range stays {
		if !x.Remove(events, selector(t, pattern), -i) {
			t.Errorf("%s is gone", pattern)
		}
	}
	if x.Len() != 0 {
		t.Error("not empty")
	}
}
