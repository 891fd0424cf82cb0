package match

import (
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// versioned is a version of a table and what it must hold.
type versioned struct {
	table table[int]
	want  map[string]int
}

func (v *versioned) check(t *rapid.T) {
	if v.table.size != len(v.want) {
		t.Fatalf("size %d, want %d", v.table.size, len(v.want))
	}
	for k, n := range v.want {
		if got := v.table.get(k); got == nil || *got != n {
			t.Fatalf("%s is %v, want %d", k, got, n)
		}
	}
	if v.table.get("nothing") != nil {
		t.Fatal("found what was never set")
	}
	n := 0
	v.table.root.each(func(b []slot[int]) { n += len(b) })
	if n != v.table.size {
		t.Fatalf("%d slots for %d keys", n, v.table.size)
	}
}

// TestTableVersions changes a table at random and checks that every earlier
// version stays as it was.
func TestTableVersions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		versions := []versioned{{want: map[string]int{}}}
		keys := rapid.SampledFrom([]int{3, 40, 400, 3000}).Draw(t, "keys")
		for range rapid.IntRange(1, 12).Draw(t, "edits") {
			newest := versions[len(versions)-1]
			next := versioned{newest.table, maps.Clone(newest.want)}
			e := new(edit)
			for range rapid.IntRange(0, keys).Draw(t, "changes") {
				key := fmt.Sprint(rapid.IntRange(0, keys).Draw(t, "key"))
				if _, there := next.want[key]; there && rapid.Bool().Draw(t, "delete") {
					next.table.delete(e, key)
					delete(next.want, key)
				} else {
					n := rapid.Int().Draw(t, "value")
					next.table.set(e, key, n)
					next.want[key] = n
				}
			}
			versions = append(versions, next)
		}
		for i := range versions {
			versions[i].check(t)
		}
	})
}

// TestTableCollisions puts keys with equal hashes into one bucket.
func TestTableCollisions(t *testing.T) {
	var x table[int]
	e := new(edit)
	x.set(e, "a", 1)
	bucket := x.own(e, (*x.bucket(0))[0].hash)
	twin := (*bucket)[0]
	twin.key, twin.value = "b", 2
	*bucket = append(*bucket, twin)
	x.size++
	if v := x.get("a"); *v != 1 {
		t.Error(*v)
	}
	// "b" hashes elsewhere, so only the scan of a bucket can tell the two apart.
	for _, s := range *x.bucket(twin.hash) {
		if s.hash != twin.hash {
			t.Error("another hash")
		}
	}
	x.delete(new(edit), "a")
	if left := *x.bucket(twin.hash); x.get("a") != nil || len(left) != 1 || left[0].key != "b" {
		t.Error("the wrong one was deleted")
	}
}
