package weburl

import (
	"sort"
	"strings"
	"unicode/utf16"

	"switchhook/gateway/script/host/codec"
)

// Pair is one name and its value.
type Pair struct{ Name, Value string }

// ParseForm parses application/x-www-form-urlencoded.
func ParseForm(s string) []Pair {
	if s == "" {
		return nil
	}
	pairs := make([]Pair, 0, strings.Count(s, "&")+1)
	for part := range strings.SplitSeq(s, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		pairs = append(pairs, Pair{formText(name), formText(value)})
	}
	return pairs
}

func formText(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	s = strings.ReplaceAll(s, "+", " ")
	return codec.UTF8Text([]byte(unescape(s)))
}

// FormatForm writes application/x-www-form-urlencoded.
func FormatForm(pairs []Pair) string {
	var s strings.Builder
	for i, p := range pairs {
		if i > 0 {
			s.WriteByte('&')
		}
		writeForm(&s, p.Name)
		s.WriteByte('=')
		writeForm(&s, p.Value)
	}
	return s.String()
}

func writeForm(out *strings.Builder, s string) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ' ':
			out.WriteByte('+')
		case setForm.has(c):
			out.WriteByte('%')
			out.WriteByte(upperHex[c>>4])
			out.WriteByte(upperHex[c&15])
		default:
			out.WriteByte(c)
		}
	}
}

// SortPairs sorts by name in order of UTF-16 code units and keeps the order of equal names.
func SortPairs(pairs []Pair) {
	sort.SliceStable(pairs, func(i, j int) bool { return lessUTF16(pairs[i].Name, pairs[j].Name) })
}

func lessUTF16(a, b string) bool {
	// Bytes of UTF-8 sort like code points; that differs from code units only
	// where a surrogate pair meets U+E000 to U+FFFF.
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	if i == len(a) || i == len(b) {
		return len(a) < len(b)
	}
	if a[i] < 0xee || b[i] < 0xee {
		return a[i] < b[i]
	}
	x, y := utf16.Encode([]rune(a)), utf16.Encode([]rune(b))
	for i := 0; i < len(x) && i < len(y); i++ {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return len(x) < len(y)
}
