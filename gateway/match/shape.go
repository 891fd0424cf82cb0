package match

import "fmt"

// shape is what patterns with wildcards have in common when their literal text
// is in the same places: patterns of one shape differ in that text only.
type shape struct {
	// segments is how many segments a matching selector has; with open, at least.
	segments int
	open     bool
	places   []place
	// inner: one more literal segment, anywhere after the first from segments and
	// before the last behind ones.
	inner        bool
	from, behind int
	// decides: what has the literal text of a pattern in the places matches the pattern.
	decides bool
	// id is equal for equal shapes.
	id string
}

// place is a segment of a selector, or its first or last bytes.
type place struct {
	// segment counts from 0, or from -1 backwards.
	segment int
	// bytes is 0 for the whole segment, n for its first n, -n for its last n bytes.
	bytes int
}

// shapeOf returns the shape of a pattern with wildcards, and its literal text in the places of the shape.
func shapeOf(s *Selector) (*shape, string) {
	segments := s.segments()
	first, last := len(segments), -1 // the segments with **
	for i := range segments {
		if segments[i].crosses() {
			first, last = min(first, i), i
		}
	}
	h := &shape{segments: len(segments), open: last >= 0}
	var literals []byte
	add := func(segment, bytes int, text string) {
		h.places = append(h.places, place{segment, bytes})
		literals = append(append(literals, text...), '/')
	}
	beginning := func(i, segment int) {
		if t := segments[i].tokens; len(t) > 0 && t[0].kind == literal {
			add(segment, len(t[0].text), t[0].text)
		}
	}
	end := func(i, segment int) {
		if t := segments[i].tokens; len(t) > 0 && t[len(t)-1].kind == literal {
			text := t[len(t)-1].text
			add(segment, -len(text), text)
		}
	}
	closed := func(i, segment int) {
		if text, ok := segments[i].literal(); ok {
			add(segment, 0, text)
		} else {
			beginning(i, segment)
			end(i, segment)
		}
	}
	for i := range min(first, len(segments)) {
		closed(i, i)
	}
	if h.open {
		beginning(first, first)
		end(last, last-len(segments))
		for i := last + 1; i < len(segments); i++ {
			closed(i, i-len(segments))
		}
		best := ""
		for i := first + 1; i < last; i++ {
			if text, ok := segments[i].literal(); ok && len(text) > len(best) {
				best = text
			}
		}
		if best != "" {
			h.inner, h.from, h.behind = true, first, len(segments)-1-last
			literals = append(append(literals, best...), '/')
		}
	}
	h.decides = !h.inner && first == last || last < 0
	for i := range segments {
		_, whole := segments[i].literal()
		h.decides = h.decides && (whole || len(segments[i].tokens) == 1)
	}
	h.id = fmt.Sprint(h.segments, h.open, h.places, h.inner, h.from, h.behind, h.decides)
	return h, string(literals)
}

// literal returns the text of a segment without wildcards.
func (g *segment) literal() (string, bool) {
	switch {
	case len(g.tokens) == 0:
		return "", true
	case len(g.tokens) == 1 && g.tokens[0].kind == literal:
		return g.tokens[0].text, true
	}
	return "", false
}

// appendLiterals appends to key what the segments of a selector have in the places of
// the shape. It reports false where no pattern of the shape can match them.
func (h *shape) appendLiterals(key []byte, parts []string) ([]byte, bool) {
	if len(parts) < h.segments || !h.open && len(parts) > h.segments {
		return key, false
	}
	for _, p := range h.places {
		i := p.segment
		if i < 0 {
			i += len(parts)
		}
		text := parts[i]
		switch {
		case p.bytes > 0:
			if len(text) < p.bytes {
				return key, false
			}
			text = text[:p.bytes]
		case p.bytes < 0:
			if len(text) < -p.bytes {
				return key, false
			}
			text = text[len(text)+p.bytes:]
		}
		key = append(append(key, text...), '/')
	}
	return key, true
}
