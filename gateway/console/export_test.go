package console

import (
	"maps"
	"slices"
)

// Routes are the patterns of all that is served.
func (c *Console) Routes() []string { return slices.Sorted(maps.Keys(c.routes())) }
