package verify

import (
	"maps"
	"slices"
)

// Schemes lists the names that `scheme:` can have, sorted, and the settings that each takes, for documentation.
func Schemes() (names []string, settings map[string][]string) {
	settings = map[string][]string{}
	for name, a := range algorithms {
		settings[name] = slices.Clone(a.keys)
	}
	return slices.Sorted(maps.Keys(settings)), settings
}
