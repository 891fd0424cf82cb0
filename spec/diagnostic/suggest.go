package diagnostic

import (
	"fmt"
	"slices"
	"strings"
)

// DidYouMean returns `did you mean "x"?` for the candidate that word is most
// likely a slip of, or "" when none is near: at most a third of its letters
// differ, or it is the same but for case, dashes and underscores.
func DidYouMean(word string, candidates []string) string {
	if best := Nearest(word, candidates); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return ""
}

// Nearest is the candidate that DidYouMean would name, or "".
func Nearest(word string, candidates []string) string {
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer("-", "", "_", "", " ", "").Replace(s))
	}
	best, bestDistance := "", 1<<30
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if c == word || c == "" {
			continue
		}
		distance := 0
		if plain(c) != plain(word) {
			distance = editDistance([]rune(plain(word)), []rune(plain(c)))
			// A word of another length by nature differs more; what counts is the share.
			if distance > max(1, len([]rune(c))/3) {
				continue
			}
		}
		if distance < bestDistance {
			best, bestDistance = c, distance
		}
	}
	return best
}

// editDistance counts insertions, deletions, substitutions and swaps of
// neighbours (the optimal string alignment distance).
func editDistance(a, b []rune) int {
	if len(a) > 64 || len(b) > 64 {
		return 1 << 20
	}
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
