package match

// Selector is a parsed selector pattern. It is immutable.
type Selector struct {
	pattern string
}

// SelectorError says what is wrong with a pattern and where.
type SelectorError struct {
	Pattern string
	// Offset is the byte offset in Pattern where the mistake is.
	Offset int
	// Message says what is wrong, without the place; Hint how to mend it, or "".
	Message, Hint string
}

func (e *SelectorError) Error() string { return e.Message }

// ParseSelector parses a pattern: * stands for any characters within one
// /-separated segment, ** for any characters, \* is a star and \\ a backslash.
// The error is a *SelectorError.
func ParseSelector(pattern string) (*Selector, error) { return &Selector{pattern: pattern}, nil }

// Quote is the pattern that matches exactly the selector s.
func Quote(s string) string { return s }

// String is the pattern as it was written.
func (s *Selector) String() string { return s.pattern }

// Match reports whether the pattern matches the whole of an event's selector.
func (s *Selector) Match(selector string) bool { return s.pattern == selector }

// Literal returns the only selector that the pattern matches, and true; or the
// literal text before the first wildcard, and false.
func (s *Selector) Literal() (text string, exact bool) { return s.pattern, true }

// Explain says in one sentence why the pattern does not match selector; "" when it does.
func (s *Selector) Explain(selector string) string { return "" }
