package template

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// Path leads into a JSON value. The zero value is the value itself.
type Path struct {
	text  string
	steps []step
}

// step is a key, a position in a list, or all items of one.
type step struct {
	key   string
	index int // for a list; -1 for a key
	each  bool
}

// maxItems bounds what Each finds in one body.
const maxItems = 10_000

// parsePath reads a path. With each, [*] may stand for all items of a list.
func parsePath(text string, each bool) (Path, *mistake) {
	p := Path{text: text}
	for i := 0; i < len(text); {
		switch {
		case text[i] == '[':
			end := strings.IndexByte(text[i:], ']')
			if strings.HasPrefix(text[i:], `["`) {
				end = strings.Index(text[i:], `"]`) + 1
			}
			if end <= 0 {
				return p, &mistake{i, len(text) - i, "the bracket is not closed", ""}
			}
			inside := text[i+1 : i+end]
			s := step{index: -1}
			switch {
			case strings.HasPrefix(inside, `"`) && len(inside) > 2:
				s.key = inside[1 : len(inside)-1]
			case inside == "*" && each:
				s.each = true
			default:
				n, err := strconv.ParseUint(inside, 10, 31)
				if err != nil {
					want := `a list position such as [0], or a key in quotes such as ["key"]`
					if inside == "*" {
						want = "a position; [*] can only stand in `each`"
					}
					return p, &mistake{i, end + 1, fmt.Sprintf("expected %s", want), ""}
				}
				s.index = int(n)
			}
			p.steps = append(p.steps, s)
			i += end + 1
		default:
			if text[i] == '.' {
				if i == 0 {
					return p, &mistake{0, 1, "a path begins with a key, not with a dot", ""}
				}
				i++
			} else if i > 0 {
				return p, &mistake{i, 1, "expected a dot or a bracket here", ""}
			}
			end := strings.IndexAny(text[i:], ".[]\"{} \t\r\n")
			if end < 0 {
				end = len(text) - i
			}
			if end == 0 {
				return p, &mistake{min(i, len(text)-1), 1, "a key is missing here", `a key with dots, spaces or brackets is written ["a key"]`}
			}
			p.steps = append(p.steps, step{key: text[i : i+end], index: -1})
			i += end
			if i < len(text) && text[i] != '.' && text[i] != '[' {
				return p, &mistake{i, 1, fmt.Sprintf("%q cannot stand here", text[i]), `a key with dots, spaces or brackets is written ["a key"]`}
			}
		}
	}
	return p, nil
}

// String is the path as it was written.
func (p Path) String() string { return p.text }

// IsEach reports whether the path has a [*].
func (p Path) IsEach() bool {
	for _, s := range p.steps {
		if s.each {
			return true
		}
	}
	return false
}

// Keys are the keys of the path, when it has nothing else.
func (p Path) Keys() (keys []string, ok bool) {
	for _, s := range p.steps {
		if s.each || s.index >= 0 {
			return nil, false
		}
		keys = append(keys, s.key)
	}
	return keys, true
}

// find returns the value at the path. It is not there (a result that does not
// exist) or the error says that a key on the way stands twice in where.
func (p Path) find(value gjson.Result, where string) (gjson.Result, error) {
	for i, s := range p.steps {
		var err error
		if value, err = s.take(value, p, i, where); err != nil || !value.Exists() {
			return value, err
		}
	}
	return value, nil
}

// take goes one step down. The JSON is valid, so iteration sees it all.
func (s step) take(value gjson.Result, p Path, place int, where string) (found gjson.Result, err error) {
	switch {
	case s.index < 0 && value.IsObject():
		value.ForEach(func(key, v gjson.Result) bool {
			if key.Str != s.key {
				return true
			}
			if found.Exists() {
				err = unreadable("the key %q stands twice in %s", strings.Join(p.names(place), "."), where)
				return false
			}
			found = v
			return true
		})
	case s.index >= 0 && value.IsArray():
		i := 0
		value.ForEach(func(_, v gjson.Result) bool {
			if i == s.index {
				found = v
			}
			i++
			return !found.Exists()
		})
	}
	return found, err
}

// names are the steps up to and including the one at place, for messages.
func (p Path) names(place int) []string {
	var names []string
	for _, s := range p.steps[:place+1] {
		switch {
		case s.each:
			names = append(names, "*")
		case s.index >= 0:
			names = append(names, strconv.Itoa(s.index))
		default:
			names = append(names, s.key)
		}
	}
	return names
}

// Walk calls f for every item that a path with [*] leads to, in order; at has
// the positions that stand for each [*], and must not be kept. Every list on the way must be
// there and have an item, and so must the rest of the path in every item, so
// that nothing is passed over. The error is a *Unreadable or that of f.
func (p Path) Walk(s *Source, f func(item gjson.Result, at []int) error) error {
	root, err := s.json()
	if err != nil {
		return err
	}
	count := 0
	var walk func(value gjson.Result, place int, at []int) error
	walk = func(value gjson.Result, place int, at []int) error {
		for ; place < len(p.steps) && !p.steps[place].each; place++ {
			if value, err = p.steps[place].take(value, p, place, "the body"); err != nil {
				return err
			}
			if !value.Exists() {
				return unreadable("the body has nothing at %s, or an item of it has not", p.text)
			}
		}
		if place == len(p.steps) {
			if count++; count > maxItems {
				return unreadable("the body has more than %d items at %s", maxItems, p.text)
			}
			return f(value, at)
		}
		if !value.IsArray() {
			return unreadable("the body has no list at %s", p.text)
		}
		i := 0
		var failed error
		value.ForEach(func(_, v gjson.Result) bool {
			failed = walk(v, place+1, append(at, i))
			i++
			return failed == nil
		})
		if i == 0 {
			return unreadable("a list in the body at %s is empty", p.text)
		}
		return failed
	}
	return walk(root, 0, nil)
}

// Syntax is the path as gjson and sjson write it; at has the positions that
// stand for each [*].
func (p Path) Syntax(at ...int) string {
	var b strings.Builder
	for i, s := range p.steps {
		if i > 0 {
			b.WriteByte('.')
		}
		switch {
		case s.each:
			b.WriteString(strconv.Itoa(at[0]))
			at = at[1:]
		case s.index >= 0:
			b.WriteString(strconv.Itoa(s.index))
		default:
			for _, c := range []byte(s.key) {
				if c < 0x80 && c != '_' && c != '-' && !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9') {
					b.WriteByte('\\')
				}
				b.WriteByte(c)
			}
		}
	}
	return b.String()
}

// Steps are the keys and list positions of a path such as "$or[1].amount", as
// document.Node.At takes them; nil where it is not one.
func Steps(path string) []string {
	p, bad := parsePath(path, false)
	if bad != nil || len(p.steps) == 0 {
		return nil
	}
	return p.names(len(p.steps) - 1)
}
