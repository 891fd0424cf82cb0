//go:build !race

package match_test

const underRace = false
