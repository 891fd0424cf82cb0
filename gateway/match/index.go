package match

import (
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"
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
type Index[T comparable] struct {
	mu      sync.Mutex // one writer at a time
	current atomic.Pointer[version[T]]
}

// version is one immutable state of an Index.
type version[T comparable] struct {
	scopes table[*scoped[T]]
	size   int
}

// scoped is what an index knows about one scope.
type scoped[T comparable] struct {
	exact  table[entries[T]]
	shapes []shaped[T]
	edit   *edit
}

// shaped is the patterns of one shape, by the literal text they have in the places that the shape names.
type shaped[T comparable] struct {
	shape    *shape
	patterns table[[]pattern[T]]
}

type pattern[T comparable] struct {
	selector *Selector
	entries  entries[T]
}

// entries is the values under one pattern. Mostly there is one, and it shares a
// cache line with the pattern.
type entries[T comparable] struct {
	first entry[T]
	rest  *[]entry[T] // nil for none, which is what most have
}

type entry[T comparable] struct {
	filter *Filter
	value  T
}

// Edit is a set of changes to an Index; see Index.Update.
type Edit[T comparable] struct {
	version[T]
	edit *edit
	// last is the scope that was changed last, and what is known about it. Many
	// subscriptions in a row are mostly of one scope.
	last   Scope
	scoped *scoped[T]
}

// Update makes changes that a concurrent Match sees all or none of. change runs
// under the index's lock, so it must not call methods of the index itself; the Edit is
// of no use after it. Many changes in one Update cost much less than one by one.
func (x *Index[T]) Update(change func(*Edit[T])) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := &Edit[T]{edit: new(edit)}
	if v := x.current.Load(); v != nil {
		e.version = *v
	}
	change(e)
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
	added := entry[T]{filter, value}
	if text, exact := selector.Literal(); exact {
		s.exact.set(e.edit, text, s.exact.get(text).with(added))
	} else {
		shape, literals := shapeOf(selector)
		at := s.shaped(shape)
		if at == nil {
			s.shapes = append(s.shapes, shaped[T]{shape: shape})
			at = &s.shapes[len(s.shapes)-1]
		}
		old, i := at.find(literals, selector)
		if i < 0 {
			old = append(old, pattern[T]{selector, (*entries[T])(nil).with(added)})
		} else {
			old = slices.Clone(old)
			old[i].entries = old[i].entries.with(added)
		}
		at.patterns.set(e.edit, literals, old)
	}
	e.size++
}

// Remove is Index.Remove as part of an Update.
func (e *Edit[T]) Remove(scope Scope, selector *Selector, value T) bool {
	s := e.scope(scope)
	defer e.forget(scope, s)
	if text, exact := selector.Literal(); exact {
		old := s.exact.get(text)
		left, found := old.without(value)
		switch {
		case !found:
			return false
		case left == nil:
			s.exact.delete(e.edit, text)
		default:
			s.exact.set(e.edit, text, *left)
		}
	} else {
		shape, literals := shapeOf(selector)
		at := s.shaped(shape)
		if at == nil {
			return false
		}
		old, i := at.find(literals, selector)
		if i < 0 {
			return false
		}
		left, found := old[i].entries.without(value)
		if !found {
			return false
		}
		old = slices.Clone(old)
		if left != nil {
			old[i].entries = *left
		} else {
			old = slices.Delete(old, i, i+1)
		}
		if len(old) > 0 {
			at.patterns.set(e.edit, literals, old)
		} else if at.patterns.delete(e.edit, literals); at.patterns.size == 0 {
			s.shapes = slices.DeleteFunc(s.shapes, func(o shaped[T]) bool { return o.patterns.size == 0 })
		}
	}
	e.size--
	return true
}

// scope returns what the version that is being made knows about a scope, to be changed.
func (e *Edit[T]) scope(scope Scope) *scoped[T] {
	if e.scoped != nil && e.last == scope {
		return e.scoped
	}
	key := string(scope.appendKey(nil))
	var s *scoped[T]
	switch old := e.scopes.get(key); {
	case old == nil:
		s = &scoped[T]{edit: e.edit}
	case (*old).edit == e.edit:
		s = *old
	default:
		s = &scoped[T]{exact: (*old).exact, shapes: slices.Clone((*old).shapes), edit: e.edit}
	}
	e.scopes.set(e.edit, key, s)
	e.last, e.scoped = scope, s
	return s
}

// forget removes a scope of which nothing is left.
func (e *Edit[T]) forget(scope Scope, s *scoped[T]) {
	if s.exact.size+len(s.shapes) == 0 {
		e.scopes.delete(e.edit, string(scope.appendKey(nil)))
		e.scoped = nil
	}
}

// shaped returns the patterns of a shape, or nil.
func (s *scoped[T]) shaped(shape *shape) *shaped[T] {
	for i := range s.shapes {
		if s.shapes[i].shape.id == shape.id {
			return &s.shapes[i]
		}
	}
	return nil
}

// find returns the patterns with literals, and where selector is among them, or -1.
func (s *shaped[T]) find(literals string, selector *Selector) ([]pattern[T], int) {
	patterns := s.patterns.get(literals)
	if patterns == nil {
		return nil, -1
	}
	return *patterns, slices.IndexFunc(*patterns, func(p pattern[T]) bool { return p.selector.pattern == selector.pattern })
}

// others are the entries behind the first.
func (l *entries[T]) others() []entry[T] {
	if l.rest == nil {
		return nil
	}
	return *l.rest
}

// newEntries is the entries of a list that is not empty.
func newEntries[T comparable](first entry[T], others []entry[T]) entries[T] {
	if len(others) == 0 {
		return entries[T]{first: first}
	}
	return entries[T]{first, &others}
}

// with returns entries with one more; nil is none.
func (l *entries[T]) with(added entry[T]) entries[T] {
	if l == nil {
		return entries[T]{first: added}
	}
	return newEntries(l.first, append(l.others(), added))
}

// without returns entries without the first that has value; nil when none is left.
func (l *entries[T]) without(value T) (left *entries[T], found bool) {
	if l == nil {
		return nil, false
	}
	others := l.others()
	switch {
	case l.first.value == value && len(others) == 0:
		return nil, true
	case l.first.value == value:
		e := newEntries(others[0], slices.Clone(others[1:]))
		return &e, true
	}
	i := slices.IndexFunc(others, func(o entry[T]) bool { return o.value == value })
	if i < 0 {
		return l, false
	}
	e := newEntries(l.first, slices.Concat(others[:i], others[i+1:]))
	return &e, true
}

// Match appends to dst, in no particular order, the values whose selector matches
// an event's and whose filter its payload passes. payload is valid JSON and does not change
// until Match returns; it is read only where a filter must be asked.
func (x *Index[T]) Match(dst []T, scope Scope, selector string, payload []byte) []T {
	v := x.current.Load()
	if v == nil {
		return dst
	}
	var buffer [128]byte
	key := scope.appendKey(buffer[:0])
	scoped := v.scopes.get(unsafe.String(unsafe.SliceData(key), len(key)))
	if scoped == nil {
		return dst
	}
	s := *scoped
	m := matching[T]{dst: dst, selector: selector, payload: payload}
	if entries := s.exact.get(selector); entries != nil {
		m.add(entries)
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
	dst        []T
	selector   string
	payload    []byte
	evaluation *evaluation
}

func (m *matching[T]) add(l *entries[T]) {
	m.entry(&l.first)
	others := l.others()
	for i := range others {
		m.entry(&others[i])
	}
}

func (m *matching[T]) entry(e *entry[T]) {
	if e.filter != nil {
		if m.evaluation == nil {
			m.evaluation = evaluate(m.payload)
		}
		if !m.evaluation.passes(e.filter) {
			return
		}
	}
	m.dst = append(m.dst, e.value)
}

// shaped adds the values of the patterns of one shape that match the parts of the selector. key is room for a key, returned for the next.
func (m *matching[T]) shaped(s *shaped[T], parts []string, key []byte) []byte {
	key, ok := s.shape.appendLiterals(key, parts)
	if !ok {
		return key
	}
	if !s.shape.inner {
		m.patterns(s, key)
		return key
	}
	// One literal segment may stand anywhere between the others.
	between := parts[s.shape.from : len(parts)-s.shape.behind]
	fixed := len(key)
	for i, part := range between {
		if key = append(append(key[:fixed], part...), '/'); !slices.Contains(between[:i], part) {
			m.patterns(s, key)
		}
	}
	return key
}

func (m *matching[T]) patterns(s *shaped[T], key []byte) {
	patterns := s.patterns.get(unsafe.String(unsafe.SliceData(key), len(key)))
	if patterns == nil {
		return
	}
	for i := range *patterns {
		// Where the shape says it all, there is no need to look at the pattern.
		if p := &(*patterns)[i]; s.shape.decides || p.selector.Match(m.selector) {
			m.add(&p.entries)
		}
	}
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
