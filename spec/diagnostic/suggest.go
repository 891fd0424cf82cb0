package diagnostic

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
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
	best, bestDistance := "", 1<<30
	plainWord := plain(word)
	if !slices.IsSorted(candidates) {
		candidates = slices.Sorted(slices.Values(candidates))
	}
	for _, c := range candidates {
		if c == word || c == "" {
			continue
		}
		distance, plainCandidate := 0, plain(c)
		if !slices.Equal(plainCandidate, plainWord) {
			// What counts is the share of letters that differ; where all do, nothing is left of the word.
			limit := max(1, len(plainCandidate)/3)
			if len(plainWord)-len(plainCandidate) > limit || len(plainCandidate)-len(plainWord) > limit {
				continue // as many letters at least
			}
			distance = editDistance(plainWord, plainCandidate)
			if distance > limit || distance >= len(plainCandidate) || distance >= len(plainWord) {
				continue
			}
		}
		if distance < bestDistance {
			best, bestDistance = c, distance
		}
	}
	return best
}

// plain is what is left of a word without case, dashes, underscores and spaces.
func plain(s string) []rune {
	letters := make([]rune, 0, len(s))
	for i := range len(s) {
		switch c := s[i]; {
		case c >= utf8.RuneSelf:
			return []rune(strings.ToLower(separators.Replace(s)))
		case 'A' <= c && c <= 'Z':
			letters = append(letters, rune(c+'a'-'A'))
		case c != '-' && c != '_' && c != ' ':
			letters = append(letters, rune(c))
		}
	}
	return letters
}

var separators = strings.NewReplacer("-", "", "_", "", " ", "")

// editDistance counts insertions, deletions, substitutions and swaps of
// neighbours (the optimal string alignment distance).
func editDistance(a, b []rune) int {
	if len(a) > 64 || len(b) > 64 {
		return 1 << 20
	}
	var room [3][65]int
	before, above, row := room[0][:len(b)+1], room[1][:len(b)+1], room[2][:len(b)+1]
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
