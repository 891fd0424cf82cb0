package match

import (
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"switchhook/gateway/packed"
)

// Scope is where events come from. Subscriptions and events of different scopes
// never meet.
type Scope struct {
	Workspace, Integration, Webhook string
}

// appendKey appends a string that is different for every scope.
func (s Scope) appendKey(key []byte) []byte {
	key = append(binary.AppendUvarint(key, uint64(len(s.Workspace))), s.Workspace...)
	key = append(binary.AppendUvarint(key, uint64(len(s.Integration))), s.Integration...)
	return append(key, s.Webhook...)
}

// Index finds the values (subscriptions) that an event reaches. Its methods may
// be called from any goroutine. Match takes no lock: it works on the version of
// the index that is current when it begins. The zero value is empty and ready to use.
//
// A subscription without wildcards costs an event nothing unless its selector is
// the event's: finding those is one look-up. Patterns with wildcards are grouped by
// shape: which segments, or beginnings and ends of segments, are literal. Each
// shape costs an event one look-up of the text that the event has in those
// places, however many patterns have the shape ("push/acme/*" and "push/octocat/*"
// have the same one). So the cost grows with the number of shapes, of which people
// write a few, and with the patterns whose only literal text is between two wildcards
// inside a segment ("*foo*"): those are tried one by one, some 50 ns each.
//
// A million subscriptions are to cost the garbage collector nothing. So T should have no pointers, such as a number; besides
// it, an index has pointers only to filters, to the scopes and shapes, and to patterns that their shape does not
// decide (see there).
type Index[T comparable] struct {
	mu      sync.Mutex // one writer at a time
	current atomic.Pointer[version[T]]
	// The numbers that filters and selectors have in the newest version; of those that are not in use any more, too.
	filters   map[*Filter]uint32
	selectors map[string]uint32
}

// version is one immutable state of an Index.
type version[T comparable] struct {
	// scopes finds a number in known by a scope's key.
	scopes packed.Table
	known  packed.Arena[*scoped]
	// spaces is how many spaces have been numbered. A space is the exact selectors of a scope, or the patterns of one shape in it.
	spaces uint32
	// heads finds the first entry under a text in a space: an exact selector, or the literal text that a pattern has in the places of its
	// shape. Further ones follow it.
	heads   packed.Table
	entries packed.Arena[entry[T]]
	text    packed.Text
	// By number; nothing has the number 0.
	filters   []*Filter
	selectors []*Selector
	size      int
}

// scoped is what an index knows about one scope.
type scoped struct {
	key    string
	space  uint32 // of the exact selectors
	exact  int    // how many values they have
	shapes []shaped
	edit   packed.Edit
}

// shaped is the patterns of one shape in a scope.
type shaped struct {
	shape *shape
	space uint32
	size  int
}

// entry is a value under a text.
type entry[T comparable] struct {
	space uint32
	text  packed.Piece
	// next is one more than the number of the next entry under the same text; 0 for none.
	next   uint32
	filter uint32
	// selector is 0 where what has the text matches.
	selector uint32
	value    T
}

// Edit is a set of changes to an Index; see Index.Update.
type Edit[T comparable] struct {
	version[T]
	index *Index[T]
	edit  packed.Edit
	// last is the scope that was changed last, and what is known about it. Many
	// subscriptions in a row are mostly of one scope.
	last   Scope
	scoped *scoped
}

// Update makes changes that a concurrent Match sees all or none of. change runs
// under the index's lock, so it must not call methods of the index itself; the Edit is
// of no use after it. Many changes in one Update cost much less than one by one.
func (x *Index[T]) Update(change func(*Edit[T])) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := &Edit[T]{index: x, edit: packed.NewEdit()}
	if v := x.current.Load(); v != nil {
		e.version = *v
	}
	change(e)
	if max(e.entries.Len(), e.known.Len()) > 2*e.size+1000 { // most of it is gone
		e.repack()
	}
	v := e.version
	x.current.Store(&v)
}

// Add adds a value under a scope, selector and filter (nil for none). A value
// added several times is found several times.
func (x *Index[T]) Add(scope Scope, selector *Selector, filter *Filter, value T) {
	x.Update(func(e *Edit[T]) { e.Add(scope, selector, filter, value) })
}

// Remove removes what one Add added and reports whether it was there. It takes time in
// proportion to the number of values under the same scope and selector.
func (x *Index[T]) Remove(scope Scope, selector *Selector, value T) (found bool) {
	x.Update(func(e *Edit[T]) { found = e.Remove(scope, selector, value) })
	return found
}

// Len is the number of values.
func (x *Index[T]) Len() int {
	if v := x.current.Load(); v != nil {
		return v.size
	}
	return 0
}

// Add is Index.Add as part of an Update.
func (e *Edit[T]) Add(scope Scope, selector *Selector, filter *Filter, value T) {
	s := e.scope(scope)
	added := entry[T]{filter: number(&e.index.filters, &e.filters, filter, filter), value: value}
	text, exact := selector.Literal()
	if exact {
		added.space = s.space
		s.exact++
	} else {
		var shape *shape
		shape, text = shapeOf(selector)
		at := s.shaped(shape)
		if at == nil {
			s.shapes = append(s.shapes, shaped{shape: shape, space: e.spaces})
			e.spaces++
			at = &s.shapes[len(s.shapes)-1]
		}
		added.space = at.space
		at.size++
		if !at.shape.decides {
			added.selector = number(&e.index.selectors, &e.selectors, selector.pattern, selector)
		}
	}
	e.insert(added, text)
	e.size++
}

// number numbers a filter or selector, from 1; nil is 0.
func number[K comparable, V any](numbers *map[K]uint32, values *[]*V, key K, value *V) uint32 {
	if value == nil {
		return 0
	}
	n, known := (*numbers)[key]
	if !known {
		if *numbers == nil {
			*numbers = map[K]uint32{}
		}
		if len(*values) == 0 {
			*values = []*V{nil}
		}
		n = uint32(len(*values))
		(*numbers)[key], *values = n, append(*values, value)
	}
	return n
}

// insert puts an entry before the others under its text.
func (e *Edit[T]) insert(added entry[T], text string) {
	hash := packed.Hash(added.space, text)
	head, found := e.head(added.space, hash, text)
	if !found {
		added.text = e.text.Add(text)
		e.heads.Add(e.edit, hash, e.entries.Add(added))
		return
	}
	added.text, added.next = e.entries.At(head).text, head+1
	e.heads.Replace(e.edit, hash, head, e.entries.Add(added))
}

// head returns the number of the first entry under a text.
func (v *version[T]) head(space, hash uint32, text string) (uint32, bool) {
	return v.heads.Find(hash, func(n uint32) bool {
		at := v.entries.At(n)
		return at.space == space && v.text.At(at.text) == text
	})
}

// Remove is Index.Remove as part of an Update.
func (e *Edit[T]) Remove(scope Scope, selector *Selector, value T) bool {
	s := e.scope(scope)
	defer e.forget(s)
	text, exact := selector.Literal()
	if exact {
		if !e.remove(s.space, text, 0, value) {
			return false
		}
		s.exact--
	} else {
		var shape *shape
		shape, text = shapeOf(selector)
		at := s.shaped(shape)
		if at == nil {
			return false
		}
		which := uint32(0)
		if !at.shape.decides {
			which = e.index.selectors[selector.pattern]
		}
		if !e.remove(at.space, text, which, value) {
			return false
		}
		if at.size--; at.size == 0 {
			s.shapes = slices.DeleteFunc(s.shapes, func(o shaped) bool { return o.size == 0 })
		}
	}
	e.size--
	return true
}

// remove removes one entry with a value and a selector. Those before it are written again.
func (e *Edit[T]) remove(space uint32, text string, selector uint32, value T) bool {
	hash := packed.Hash(space, text)
	head, found := e.head(space, hash, text)
	if !found {
		return false
	}
	var before []entry[T]
	for n := head; ; {
		at := *e.entries.At(n)
		if at.value == value && at.selector == selector {
			next := at.next
			for _, b := range slices.Backward(before) {
				b.next = next
				next = e.entries.Add(b) + 1
			}
			if next == 0 {
				e.heads.Remove(e.edit, hash, head)
			} else {
				e.heads.Replace(e.edit, hash, head, next-1)
			}
			return true
		}
		if at.next == 0 {
			return false
		}
		before, n = append(before, at), at.next-1
	}
}

// repack leaves behind what was removed.
func (e *Edit[T]) repack() {
	old := e.version
	e.version = version[T]{spaces: old.spaces, size: old.size}
	e.index.filters, e.index.selectors, e.scoped = nil, nil, nil
	for n := range old.scopes.Each {
		s := *old.known.At(n)
		e.scopes.Add(e.edit, packed.Hash(0, s.key), e.known.Add(s))
	}
	for head := range old.heads.Each {
		for n := head + 1; n > 0; {
			at := *old.entries.At(n - 1)
			n = at.next
			if at.filter != 0 {
				f := old.filters[at.filter]
				at.filter = number(&e.index.filters, &e.filters, f, f)
			}
			if at.selector != 0 {
				s := old.selectors[at.selector]
				at.selector = number(&e.index.selectors, &e.selectors, s.pattern, s)
			}
			text := old.text.At(at.text)
			at.next = 0
			e.insert(at, text)
		}
	}
}

// scope returns what the version that is being made knows about a scope, to be changed.
func (e *Edit[T]) scope(scope Scope) *scoped {
	if e.scoped != nil && e.last == scope {
		return e.scoped
	}
	key := string(scope.appendKey(nil))
	n, hash, found := e.find(key)
	var s *scoped
	if found {
		s = *e.known.At(n)
	}
	switch {
	case !found:
		s = &scoped{key: key, space: e.spaces, edit: e.edit}
		e.spaces++
		e.scopes.Add(e.edit, hash, e.known.Add(s))
	case s.edit != e.edit:
		s = &scoped{key: key, space: s.space, exact: s.exact, shapes: slices.Clone(s.shapes), edit: e.edit}
		e.scopes.Replace(e.edit, hash, n, e.known.Add(s))
	}
	e.last, e.scoped = scope, s
	return s
}

// find returns the number of a scope.
func (v *version[T]) find(key string) (n, hash uint32, found bool) {
	hash = packed.Hash(0, key)
	n, found = v.scopes.Find(hash, func(n uint32) bool { return (*v.known.At(n)).key == key })
	return n, hash, found
}

// forget removes a scope of which nothing is left.
func (e *Edit[T]) forget(s *scoped) {
	if s.exact+len(s.shapes) == 0 {
		n, hash, _ := e.find(s.key)
		e.scopes.Remove(e.edit, hash, n)
		e.scoped = nil
	}
}

// shaped returns the patterns of a shape, or nil.
func (s *scoped) shaped(shape *shape) *shaped {
	for i := range s.shapes {
		if s.shapes[i].shape.id == shape.id {
			return &s.shapes[i]
		}
	}
	return nil
}

// Match is View.Match of the index as it is now.
func (x *Index[T]) Match(dst []T, scope Scope, selector string, payload []byte) []T {
	return x.Now().Match(dst, scope, selector, payload)
}

// View is an index as it was at one time. The zero value is that of an empty one.
type View[T comparable] struct{ version *version[T] }

// Now returns the index as it is now.
func (x *Index[T]) Now() View[T] { return View[T]{x.current.Load()} }

// Match appends to dst, in no particular order, the values whose selector matches
// an event's and whose filter its payload passes. payload is valid JSON and does not change
// until Match returns; it is read only where a filter must be asked.
func (w View[T]) Match(dst []T, scope Scope, selector string, payload []byte) []T {
	v := w.version
	if v == nil {
		return dst
	}
	var buffer [128]byte
	key := scope.appendKey(buffer[:0])
	n, _, found := v.find(unsafe.String(unsafe.SliceData(key), len(key)))
	if !found {
		return dst
	}
	s := *v.known.At(n)
	m := matching[T]{version: v, dst: dst, selector: selector, payload: payload}
	if s.exact > 0 {
		m.under(s.space, selector)
	}
	if len(s.shapes) > 0 {
		var few [16]string
		parts := appendParts(few[:0], selector)
		for i := range s.shapes {
			key = m.shaped(&s.shapes[i], parts, key[:0])
		}
	}
	if m.evaluation != nil {
		m.evaluation.release()
	}
	return m.dst
}

// matching is one call of Match under way.
type matching[T comparable] struct {
	version    *version[T]
	dst        []T
	selector   string
	payload    []byte
	evaluation *evaluation
}

// under adds the values under a text.
func (m *matching[T]) under(space uint32, text string) {
	head, found := m.version.head(space, packed.Hash(space, text), text)
	if !found {
		return
	}
	asked, matches := uint32(0), true // the pattern that was tried last
	for n := head + 1; n > 0; {
		at := m.version.entries.At(n - 1)
		n = at.next
		if at.selector != asked {
			asked, matches = at.selector, at.selector == 0 || m.version.selectors[at.selector].Match(m.selector)
		}
		if matches && (at.filter == 0 || m.passes(m.version.filters[at.filter])) {
			m.dst = append(m.dst, at.value)
		}
	}
}

func (m *matching[T]) passes(f *Filter) bool {
	if m.evaluation == nil {
		m.evaluation = evaluate(m.payload)
	}
	return m.evaluation.passes(f)
}

// shaped adds the values of the patterns of one shape that match the parts of the selector. key is room for a key, returned for the next.
func (m *matching[T]) shaped(s *shaped, parts []string, key []byte) []byte {
	key, ok := s.shape.appendLiterals(key, parts)
	if !ok {
		return key
	}
	if !s.shape.inner {
		m.under(s.space, unsafe.String(unsafe.SliceData(key), len(key)))
		return key
	}
	// One literal segment may stand anywhere between the others.
	between := parts[s.shape.from : len(parts)-s.shape.behind]
	fixed := len(key)
	for i, part := range between {
		if key = append(append(key[:fixed], part...), '/'); !slices.Contains(between[:i], part) {
			m.under(s.space, unsafe.String(unsafe.SliceData(key), len(key)))
		}
	}
	return key
}

// appendParts appends the /-separated segments of an event's selector.
func appendParts(parts []string, selector string) []string {
	for {
		i := strings.IndexByte(selector, '/')
		if i < 0 {
			return append(parts, selector)
		}
		parts, selector = append(parts, selector[:i]), selector[i+1:]
	}
}
