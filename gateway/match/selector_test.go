package match_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"switchhook/gateway/match"
)

func selector(t testing.TB, pattern string) *match.Selector {
	t.Helper()
	s, err := match.ParseSelector(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSelectorMatch(t *testing.T) {
	for _, test := range []struct {
		pattern  string
		yes, not []string
	}{
		{"push", []string{"push"}, []string{"", "pus", "pushy", "push/", "PUSH"}},
		{"push/octocat/Hello-World", []string{"push/octocat/Hello-World"}, []string{"push/octocat", "push/octocat/Hello-World/x"}},
		{"push/octocat/*", []string{"push/octocat/Hello-World", "push/octocat/"}, []string{"push/octocat", "push/octocat/a/b", "push/acme/x"}},
		{"*/octocat/**", []string{"push/octocat/Hello-World", "/octocat/", "push/octocat/a/b"}, []string{"push/octocat", "a/b/octocat/c", "octocat/x"}},
		{"push/**", []string{"push/", "push/a", "push/a/b"}, []string{"push", "pull/a"}},
		{"**", []string{"", "a", "a/b/c"}, nil},
		{"*", []string{"", "a"}, []string{"/", "a/b"}},
		{"**/x", []string{"/x", "a/x", "a/b/x"}, []string{"x", "a/xx", "a/x/"}},
		{"a/**/z", []string{"a//z", "a/b/z", "a/b/c/z"}, []string{"a/z", "a/b/zz"}},
		{"a**z", []string{"az", "a/z", "abz", "a/b/c/z"}, []string{"a", "z", "azb"}},
		{"order.*/shop_*", []string{"order.paid/shop_1", "order./shop_"}, []string{"order.paid/store_1", "order.a/b/shop_1"}},
		{"*ab*ab*", []string{"abab", "xabyabz", "ababab"}, []string{"ab", "aab", "ab/ab"}},
		{"*a/*b", []string{"a/b", "xa/yb", "aa/bb"}, []string{"a/b/b", "ab"}},
		{"**a*b/c", []string{"ab/c", "x/y/azb/c", "a/ab/c"}, []string{"a/b/c"}},
		{"**/octocat/**", []string{"a/octocat/b", "a/b/octocat/c/d", "/octocat/"}, []string{"octocat/a", "a/octocat"}},
		{`a\*b`, []string{"a*b"}, []string{"ab", "axb", `a\*b`}},
		{`a\\*`, []string{`a\`, `a\x`}, []string{"a", "a*"}},
		{`\**`, []string{"*", "*x"}, []string{"x", "*/"}},
		{"é*", []string{"é", "éa"}, []string{"e", "\xC3"}},
		{"user_id:*", []string{"user_id:7"}, []string{"user_id", "user_id:7/8"}},
	} {
		s := selector(t, test.pattern)
		if s.String() != test.pattern {
			t.Errorf("%s becomes %s", test.pattern, s)
		}
		for _, yes := range test.yes {
			if !s.Match(yes) || s.Explain(yes) != "" {
				t.Errorf("%s does not match %s: %s", test.pattern, yes, s.Explain(yes))
			}
		}
		for _, not := range test.not {
			if s.Match(not) || s.Explain(not) == "" {
				t.Errorf("%s matches %s", test.pattern, not)
			}
		}
	}
}

func TestSelectorErrors(t *testing.T) {
	for _, test := range []struct {
		pattern, want string
		offset        int
	}{
		{"", `selector "": an empty selector at character 1 (** matches every event)`, 0},
		{`a\b`, `selector "a\\b": a backslash must be followed by * or \ at character 2 (a backslash itself is written \\)`, 1},
		{`é\`, `selector "é\\": a backslash must be followed by * or \ at character 2 (a backslash itself is written \\)`, 2},
		{"a/***", `selector "a/***": *** is not a wildcard at character 3 (* matches within a segment, ** across segments; a star itself is written \*)`, 2},
		{"a\xFF*", `selector "a\xff*": a byte that is not UTF-8 at character 2`, 1},
		{"a\nb", `selector "a\nb": a control character (U+000A) at character 2`, 1},
		{strings.Repeat("é", 600), `selector "` + strings.Repeat("é", 65) + "…" + strings.Repeat("é", 32) + `": longer than 1024 bytes at character 513`, 1024},
	} {
		_, err := match.ParseSelector(test.pattern)
		var mistake *match.SelectorError
		if !errors.As(err, &mistake) || err.Error() != test.want || mistake.Offset != test.offset || mistake.Pattern != test.pattern {
			t.Errorf("%q: %v\nwant %s", test.pattern, err, test.want)
		}
	}
}

func TestSelectorLiteral(t *testing.T) {
	for pattern, want := range map[string]struct {
		text  string
		exact bool
	}{
		"push/a": {"push/a", true}, "push/*": {"push/", false}, "*/a": {"", false}, `a\*b`: {"a*b", true}, `a\*b**`: {"a*b", false},
	} {
		if text, exact := selector(t, pattern).Literal(); text != want.text || exact != want.exact {
			t.Errorf("%s: %q %v", pattern, text, exact)
		}
	}
	for _, s := range []string{"a*b", `a\b`, `\`, "**", "push/x"} {
		if text, exact := selector(t, match.Quote(s)).Literal(); text != s || !exact {
			t.Errorf("%s quoted is %s", s, match.Quote(s))
		}
	}
}

func TestSelectorExplain(t *testing.T) {
	for _, test := range []struct{ pattern, selector, want string }{
		{"push/acme/*", "push/octocat/x", `segment 2 is "octocat", pattern wants "acme"`},
		{"push/acme", "push/octocat", `segment 2 is "octocat", pattern wants "acme"`},
		{"push/acme/*", "push/acme", `the selector "push/acme" has 2 segments, pattern wants 3`},
		{"push", "push/acme", `the selector "push/acme" has 2 segments, pattern wants 1`},
		{"push/**/x", "push", `the selector "push" has 1 segment, pattern wants at least 3`},
		{"push/**/x/y", "push/a/b/z/y", `segment 4 is "z", pattern wants "x"`},
		{"push/**/v*/**", "push/a/b/c", `from segment 2 on, "a/b/c" does not match "**/v*/**"`},
		{"push/v*", "push/w1", `segment 2 is "w1", pattern wants "v*"`},
		{`push/\*`, "push/w1", `segment 2 is "w1", pattern wants "\\*"`},
		{"push/a", "push/" + strings.Repeat("x", 300), `segment 2 is "` + strings.Repeat("x", 38) + "…" + strings.Repeat("x", 19) + `", pattern wants "a"`},
		{"push/a", "push/a", ""},
	} {
		if got := selector(t, test.pattern).Explain(test.selector); got != test.want {
			t.Errorf("%s on %s:\n%s\nwant %s", test.pattern, test.selector, got, test.want)
		}
	}
}

// naive is the pattern as a regular expression.
func naive(pattern string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for i := 0; i < len(pattern); i++ {
		switch {
		case pattern[i] == '\\':
			i++
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		case strings.HasPrefix(pattern[i:], "**"):
			b.WriteString(`.*`)
			i++
		case pattern[i] == '*':
			b.WriteString(`[^/]*`)
		default:
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		}
	}
	return regexp.MustCompile(b.String() + `\z`)
}

func FuzzSelector(f *testing.F) {
	for _, pattern := range []string{"push/octocat/*", "*/octocat/**", "**a*b**/c*", `\*\\`, "a/**/b/*/c", "***", "a**b*a**"} {
		for _, s := range []string{"push/octocat/x", "a/b/c", "", "ab/aab/c", "*\\"} {
			f.Add(pattern, s)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		p, err := match.ParseSelector(pattern)
		if err != nil {
			var mistake *match.SelectorError
			if !errors.As(err, &mistake) || mistake.Offset < 0 || mistake.Offset > len(pattern) || mistake.Message == "" {
				t.Fatalf("%q: %#v", pattern, err)
			}
			return
		}
		got := p.Match(s)
		if (p.Explain(s) == "") != got {
			t.Fatalf("%q on %q: %v, explained as %q", pattern, s, got, p.Explain(s))
		}
		if text, exact := p.Literal(); got && !strings.HasPrefix(s, text) || exact && got != (s == text) {
			t.Fatalf("%q on %q: literal %q %v", pattern, s, text, exact)
		}
		// A regular expression sees characters; a pattern is plain bytes. They agree on text.
		if utf8.ValidString(s) && len(pattern) < 100 && len(s) < 1000 {
			if want := naive(pattern).MatchString(s); got != want {
				t.Fatalf("%q on %q: %v", pattern, s, got)
			}
		}
	})
}

// TestSelectorIsNeverSlow would run for ages if a pattern were tried by going back.
func TestSelectorIsNeverSlow(t *testing.T) {
	s := selector(t, strings.Repeat("*a", 250)+"**"+strings.Repeat("*b/*", 50)[1:]+"c")
	if s.Match(strings.Repeat("a", 5_000) + "/" + strings.Repeat("b/", 2_000)) {
		t.Error("matches")
	}
}

func BenchmarkSelector(b *testing.B) {
	for _, pattern := range []string{"push/octocat/*", "*/octocat/**", "**cat/*World", "push/*/Hello-*"} {
		s := selector(b, pattern)
		b.Run(pattern, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !s.Match("push/octocat/Hello-World") {
					b.Fatal("no match")
				}
			}
		})
	}
}
