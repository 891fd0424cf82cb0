package match

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxSelectorLength is the longest pattern, in bytes.
const MaxSelectorLength = 1024

// Selector is a parsed selector pattern. It is immutable.
//
// In a pattern, * stands for any characters, also none, within one of the
// segments that / separates; ** for any characters, also none, slashes among
// them. So "push/**" matches "push/" and "push/octocat/Hello-World", but not
// "push". \* is a star and \\ a backslash. Everything else stands for itself;
// upper and lower case differ.
type Selector struct {
	pattern string
	// prefix and suffix are the literal text before the first and behind the
	// last wildcard; without a wildcard prefix is everything.
	prefix, suffix string
	// middle alternates wildcards and literals: it begins and ends with a
	// wildcard. Empty without a wildcard.
	middle []token
}

// token is a wildcard or a literal.
type token struct {
	kind tokenKind
	text string
}

type tokenKind uint8

const (
	literal tokenKind = iota
	star              // *
	stars             // **
)

// segment is what stands between two slashes of a pattern.
type segment struct {
	tokens []token
	// source is the segment as it was written.
	source string
}

// SelectorError says what is wrong with a pattern, and where.
type SelectorError struct {
	Pattern string
	// Offset is the place of the mistake in Pattern, in bytes.
	Offset int
	// Message says what is wrong, without the place; Hint how to mend it, or "".
	Message, Hint string
}

func (e *SelectorError) Error() string {
	s := fmt.Sprintf("selector %s: %s at character %d", shorten(quoted(e.Pattern), 100), e.Message,
		1+utf8.RuneCountInString(e.Pattern[:min(e.Offset, len(e.Pattern))]))
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// ParseSelector parses a pattern. The error is a *SelectorError.
func ParseSelector(pattern string) (*Selector, error) {
	fail := func(offset int, message, hint string) (*Selector, error) {
		return nil, &SelectorError{Pattern: pattern, Offset: offset, Message: message, Hint: hint}
	}
	if pattern == "" {
		return fail(0, "an empty selector", "** matches every event")
	}
	if len(pattern) > MaxSelectorLength {
		return fail(MaxSelectorLength, fmt.Sprintf("longer than %d bytes", MaxSelectorLength), "")
	}
	if !strings.ContainsAny(pattern, `*\`) {
		for i, r := range pattern {
			if m := badCharacter(pattern, i, r); m != "" {
				return fail(i, m, "")
			}
		}
		return &Selector{pattern: pattern, prefix: pattern}, nil
	}
	var tokens []token
	var text strings.Builder
	wildcard := func(k tokenKind) {
		if text.Len() > 0 {
			tokens = append(tokens, token{literal, text.String()})
			text.Reset()
		}
		tokens = append(tokens, token{kind: k})
	}
	for i := 0; i < len(pattern); {
		r, size := utf8.DecodeRuneInString(pattern[i:])
		switch {
		case r == '\\':
			next := byte(0)
			if i+1 < len(pattern) {
				next = pattern[i+1]
			}
			if next != '*' && next != '\\' {
				return fail(i, `a backslash must be followed by * or \`, `a backslash itself is written \\`)
			}
			text.WriteByte(next)
			size = 2
		case r == '*':
			n := len(pattern[i:]) - len(strings.TrimLeft(pattern[i:], "*"))
			if n > 2 {
				return fail(i, strings.Repeat("*", min(n, 5))+" is not a wildcard", "* matches within a segment, ** across segments; a star itself is written \\*")
			}
			wildcard(star + tokenKind(n-1))
			size = n
		default:
			if m := badCharacter(pattern, i, r); m != "" {
				return fail(i, m, "")
			}
			text.WriteString(pattern[i : i+size])
		}
		i += size
	}
	if text.Len() > 0 {
		tokens = append(tokens, token{literal, text.String()})
	}
	s := &Selector{pattern: pattern}
	if tokens[0].kind == literal {
		s.prefix, tokens = tokens[0].text, tokens[1:]
	}
	if n := len(tokens); n > 0 {
		if tokens[n-1].kind == literal {
			s.suffix, tokens = tokens[n-1].text, tokens[:n-1]
		}
		s.middle = tokens
	}
	return s, nil
}

func badCharacter(pattern string, i int, r rune) string {
	switch {
	case r == utf8.RuneError && !strings.HasPrefix(pattern[i:], "\uFFFD"):
		return "a byte that is not UTF-8"
	case unicode.IsControl(r):
		return fmt.Sprintf("a control character (%U)", r)
	}
	return ""
}

// segments cuts the pattern at its slashes.
func (s *Selector) segments() []segment {
	sources := strings.Split(s.pattern, "/")
	segments := make([]segment, 0, len(sources))
	current := segment{}
	add := func(text string) {
		for {
			part, rest, more := strings.Cut(text, "/")
			if part != "" {
				current.tokens = append(current.tokens, token{literal, part})
			}
			if !more {
				return
			}
			current.source = sources[len(segments)]
			segments = append(segments, current)
			current, text = segment{}, rest
		}
	}
	add(s.prefix)
	for _, t := range s.middle {
		if t.kind == literal {
			add(t.text)
		} else {
			current.tokens = append(current.tokens, t)
		}
	}
	if len(s.middle) > 0 {
		add(s.suffix)
	}
	current.source = sources[len(segments)]
	return append(segments, current)
}

// Quote is the pattern that matches exactly the selector s. It is needed where
// a selector was computed, as by an event's getter, and a star in it means a star.
func Quote(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`).Replace(s)
}

// String is the pattern as it was written.
func (s *Selector) String() string { return s.pattern }

// Literal returns the only selector that the pattern matches, and true; or, for
// a pattern with wildcards, the literal text before the first one, and false.
func (s *Selector) Literal() (text string, exact bool) { return s.prefix, len(s.middle) == 0 }

// Match reports whether the pattern matches the whole of an event's selector.
// It takes at most len(pattern) * len(selector) steps.
func (s *Selector) Match(selector string) bool {
	if len(s.middle) == 0 {
		return s.prefix == selector
	}
	if len(selector) < len(s.prefix)+len(s.suffix) || !strings.HasPrefix(selector, s.prefix) || !strings.HasSuffix(selector, s.suffix) {
		return false
	}
	rest := selector[len(s.prefix) : len(selector)-len(s.suffix)]
	if len(s.middle) == 1 {
		return s.middle[0].kind == stars || strings.IndexByte(rest, '/') < 0
	}
	return matchMiddle(s.middle, rest)
}

// matchMiddle keeps the set of places in text that the tokens so far can reach,
// and moves it along token by token. So there is nothing to go back to, and no pattern is slow.
func matchMiddle(tokens []token, text string) bool {
	var small [256]bool
	reached := small[:]
	if len(text)+1 > len(small) {
		reached = make([]bool, len(text)+1)
	}
	reached = reached[:len(text)+1]
	reached[0] = true
	for _, t := range tokens {
		switch t.kind {
		case literal:
			// From the back, so that a place is read before it is overwritten.
			n := len(t.text)
			for i := len(text); i >= 0; i-- {
				reached[i] = i >= n && reached[i-n] && text[i-n:i] == t.text
			}
		default:
			on := false
			for i := range reached {
				if on = on || reached[i]; on {
					reached[i] = true
				}
				if t.kind == star && i < len(text) && text[i] == '/' {
					on = false
				}
			}
		}
	}
	return reached[len(text)]
}

// Explain says in one sentence why the pattern does not match selector; "" when it does.
func (s *Selector) Explain(selector string) string {
	if s.Match(selector) {
		return ""
	}
	parts := strings.Split(selector, "/")
	wanted := s.segments()
	differs := func(part, want int) string {
		if wanted[want].match(parts[part]) {
			return ""
		}
		return fmt.Sprintf("segment %d is %s, pattern wants %s", part+1, show(parts[part]), show(wanted[want].source))
	}
	open := -1 // the first segment with **
	for i := range wanted {
		if wanted[i].crosses() {
			open = i
			break
		}
	}
	front := len(wanted)
	if open >= 0 {
		front = open
	}
	for i := range min(front, len(parts)) {
		if d := differs(i, i); d != "" {
			return d
		}
	}
	if open < 0 {
		return fmt.Sprintf("the selector %s has %s, pattern wants %d", show(selector), count(len(parts), "segment"), len(wanted))
	}
	if len(parts) < len(wanted) {
		return fmt.Sprintf("the selector %s has %s, pattern wants at least %d", show(selector), count(len(parts), "segment"), len(wanted))
	}
	for back := 1; !wanted[len(wanted)-back].crosses(); back++ {
		if d := differs(len(parts)-back, len(wanted)-back); d != "" {
			return d
		}
	}
	rest := make([]string, 0, len(wanted))
	for _, w := range wanted[open:] {
		rest = append(rest, w.source)
	}
	return fmt.Sprintf("from segment %d on, %s does not match %s", open+1, show(strings.Join(parts[open:], "/")), show(strings.Join(rest, "/")))
}

// crosses reports whether ** occurs in the segment.
func (g *segment) crosses() bool {
	for _, t := range g.tokens {
		if t.kind == stars {
			return true
		}
	}
	return false
}

// match reports whether a segment without ** matches a part of a selector.
func (g *segment) match(part string) bool {
	return len(g.tokens) == 0 && part == "" || len(g.tokens) > 0 && matchMiddle(g.tokens, part)
}

// show quotes a value for people and keeps it short.
func show(s string) string { return shorten(quoted(s), 60) }

func quoted(s string) string { return fmt.Sprintf("%q", s) }

// shorten cuts s, which is longer than limit characters, in its middle.
func shorten(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	r := []rune(s)
	return string(r[:limit-limit/3-1]) + "…" + string(r[len(r)-limit/3:])
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
