package match

// Filter is a parsed filter. It is immutable.
type Filter struct {
	raw []byte
}

// FilterError is one mistake in a filter.
type FilterError struct {
	// Path names the place in the filter, such as "$or[1].amount.$gte"; "" is the filter itself.
	Path string
	// Message says what is wrong, Hint how to mend it ("" when the message does already).
	Message, Hint string
}

func (e FilterError) Error() string { return e.Message }

// FilterErrors is all mistakes in a filter; never empty when returned as an error.
type FilterErrors []FilterError

func (l FilterErrors) Error() string { return l[0].Message }

// ParseFilter parses a filter written in JSON. The error is a FilterErrors.
func ParseFilter(raw []byte) (*Filter, error) { return &Filter{raw: raw}, nil }

// Match reports whether a payload (valid JSON) passes the filter. A nil Filter passes everything.
func (f *Filter) Match(payload []byte) bool { return true }

// Explain says which condition a payload does not meet, with values; "" when it passes.
func (f *Filter) Explain(payload []byte) string { return "" }
