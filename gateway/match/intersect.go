package match

// Intersects reports whether there is a selector that both patterns match.
func (s *Selector) Intersects(other *Selector) bool {
	a, b := s.units(), other.units()
	type pair struct{ i, j int }
	seen := map[pair]bool{}
	var both func(i, j int) bool
	both = func(i, j int) bool {
		at := pair{i, j}
		if seen[at] {
			return false // it was tried, or is being tried
		}
		seen[at] = true
		switch {
		case i == len(a) && j == len(b):
			return true
		case i < len(a) && a[i].kind != literal:
			// The wildcard is over, or takes what is next in the other.
			return both(i+1, j) || j < len(b) && (b[j].kind != literal || a[i].takes(b[j])) && both(i, j+1)
		case j < len(b) && b[j].kind != literal:
			return both(i, j+1) || i < len(a) && b[j].takes(a[i]) && both(i+1, j)
		}
		return i < len(a) && j < len(b) && a[i].text == b[j].text && both(i+1, j+1)
	}
	return both(0, 0)
}

// takes reports whether a wildcard can stand for a character.
func (t token) takes(character token) bool { return t.kind == stars || character.text != "/" }

// units are the pattern's characters and wildcards.
func (s *Selector) units() []token {
	var units []token
	add := func(text string) {
		for i := range len(text) {
			units = append(units, token{literal, text[i : i+1]})
		}
	}
	add(s.prefix)
	for _, t := range s.middle {
		if t.kind == literal {
			add(t.text)
		} else {
			units = append(units, t)
		}
	}
	add(s.suffix)
	return units
}
