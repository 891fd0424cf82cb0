package packed_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"switchhook/gateway/packed"
)

// version is a version of all three structures, and what it must hold.
type version struct {
	texts packed.Arena[packed.Piece]
	text  packed.Text
	table packed.Table
	want  map[string]uint32
}

func (v *version) find(key string) (number, hash uint32, found bool) {
	hash = packed.Hash(7, key) & 0xffff_000f // so that there are equal ones
	number, found = v.table.Find(hash, func(n uint32) bool { return v.text.At(*v.texts.At(n)) == key })
	return number, hash, found
}

func (v *version) check(t *rapid.T) {
	for key, n := range v.want {
		if got, _, found := v.find(key); !found || got != n {
			t.Fatalf("%s is %d (%v), want %d", key, got, found, n)
		}
	}
	if _, _, found := v.find("nothing"); found {
		t.Fatal("found what was never added")
	}
	all := map[uint32]bool{}
	v.table.Each(func(n uint32) bool { all[n] = true; return true })
	if len(all) != len(v.want) {
		t.Fatalf("%d numbers for %d keys", len(all), len(v.want))
	}
}

// TestVersions changes the structures at random, and checks that every earlier version stays as it was.
func TestVersions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		versions := []version{{want: map[string]uint32{}}}
		keys := rapid.SampledFrom([]int{3, 300, 6000}).Draw(t, "keys")
		for range rapid.IntRange(1, 8).Draw(t, "edits") {
			next := versions[len(versions)-1]
			next.want = maps.Clone(next.want)
			e := packed.NewEdit()
			// A seed and not draws, of which a case has too many otherwise.
			random := rapid.Uint64().Draw(t, "seed")
			for range rapid.IntRange(0, 2*keys).Draw(t, "changes") {
				random = random*6364136223846793005 + 1442695040888963407
				key := fmt.Sprint(strings.Repeat("k", int(random>>60)), random>>33%uint64(keys))
				old, hash, found := next.find(key)
				if found && random>>32&1 == 0 {
					next.table.Remove(e, hash, old)
					delete(next.want, key)
					continue
				}
				n := next.texts.Add(next.text.Add(key[:1], key[1:]))
				if found {
					next.table.Replace(e, hash, old, n)
				} else {
					next.table.Add(e, hash, n)
				}
				next.want[key] = n
			}
			versions = append(versions, next)
		}
		for i := range versions {
			versions[i].check(t)
		}
	})
}

func TestTextOfAnyLength(t *testing.T) {
	var text packed.Text
	var pieces []packed.Piece
	for _, n := range []int{0, 1, 255, 2, 0, 70_000, 3, 65_536, 200_000} {
		pieces = append(pieces, text.Add(strings.Repeat("x", n), "|"), text.Add())
	}
	for i, n := range []int{0, 1, 255, 2, 0, 70_000, 3, 65_536, 200_000} {
		if got := text.At(pieces[2*i]); len(got) != n+1 || strings.Trim(got, "x") != "|" || pieces[2*i].Len() != n+1 {
			t.Errorf("of %d bytes came %d", n, len(got))
		}
		if text.At(pieces[2*i+1]) != "" {
			t.Error("nothing became something")
		}
	}
}
