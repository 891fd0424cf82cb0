package match

import (
	"testing"

	"pgregory.net/rapid"
)

func TestIntersects(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"push", "**/**", false}, {"push/**", "push", false}, {"push/**", "push**", true}, {"push/*", "**/**", true}, {"push/*/*", "**/**", true},
		{"a/*", "a/b/c", false}, {"a/*", "*/b", true}, {"order.*", "order.**/**", false}, {"order.**", "order.**/**", true}, {"**", "x", true},
		{"*.created", "order.paid", false}, {`a\*`, "ab", false}, {`a\*`, "a*", true}, {"ä*", "äö", true}, {"a*b*c", "**x**", true}, {"a", "b", false},
	} {
		a, err := ParseSelector(c.a)
		if err != nil {
			t.Fatal(err)
		}
		b, err := ParseSelector(c.b)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Intersects(b); got != c.want || b.Intersects(a) != got {
			t.Errorf("%q and %q: %v, the other way round %v; want %v", c.a, c.b, got, b.Intersects(a), c.want)
		}
	}
}

// What both patterns match shows that they intersect.
func TestIntersectsProperty(t *testing.T) {
	pattern := rapid.Custom(func(t *rapid.T) *Selector {
		text := ""
		wild := false
		for _, part := range rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "/", "*", "**"}), 1, 6).Draw(t, "parts") {
			if part[0] == '*' && wild {
				continue
			}
			wild = part[0] == '*'
			text += part
		}
		s, err := ParseSelector(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
	var texts []string
	level := []string{""}
	for range 6 {
		var next []string
		for _, s := range level {
			for _, c := range []string{"a", "b", "/"} {
				next = append(next, s+c)
			}
		}
		texts, level = append(texts, next...), next
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := pattern.Draw(t, "a"), pattern.Draw(t, "b")
		for _, s := range texts {
			if a.Match(s) && b.Match(s) {
				if !a.Intersects(b) {
					t.Fatalf("both match %q", s)
				}
				return
			}
		}
		if a.Intersects(b) && len(a.units())+len(b.units()) <= 5 {
			t.Fatal("no short text shows it")
		}
	})
}
