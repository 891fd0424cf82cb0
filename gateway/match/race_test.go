//go:build race

package match_test

// underRace: sync.Pool drops what it holds at random.
const underRace = true
