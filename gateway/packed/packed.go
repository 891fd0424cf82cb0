// Package packed keeps very many small things, such as a million subscriptions, in few large pieces of memory without
// pointers: the garbage collector, which looks at everything with a pointer again and again, has nothing to look at, so
// requests cost the same however many there are.
//
// The structures have versions. A copy of the struct is a version that never changes, which any goroutine may read;
// the newest may be changed, by one goroutine at a time, into the next one, with which it shares nearly all memory. Versions follow
// one another in a line: what was changed once is not changed again in another way. Nothing is ever given back: who
// removes much makes a new one of what is left. match and live use it.
package packed

import (
	"hash/maphash"
	"sync/atomic"
	"unsafe"
)

// Arena is a list that grows at its end. T should have no pointers. The zero value is empty.
type Arena[T any] struct {
	chunks [][]T // each as long as its room; all but a first one that is alone of chunkLength
	n      int
}

const (
	chunkBits   = 12
	chunkLength = 1 << chunkBits
	firstChunk  = 16
)

// Len is the number of items.
func (a *Arena[T]) Len() int { return a.n }

// At returns an item, which must not be changed once it was added.
func (a *Arena[T]) At(i uint32) *T { return &a.chunks[i>>chunkBits][i&(chunkLength-1)] }

// Add appends an item and returns its number, from 0.
func (a *Arena[T]) Add(item T) uint32 {
	switch i := a.n >> chunkBits; {
	case i == len(a.chunks) && i > 0:
		a.chunks = append(a.chunks, make([]T, chunkLength))
	case i == len(a.chunks):
		a.chunks = [][]T{make([]T, firstChunk)}
	case a.n == len(a.chunks[0]): // the first, which begins small; older versions keep theirs
		larger := make([]T, 2*a.n)
		copy(larger, a.chunks[0])
		a.chunks = [][]T{larger}
	}
	*a.At(uint32(a.n)) = item
	a.n++
	return uint32(a.n - 1)
}

// Text is a heap of strings. The zero value is empty.
type Text struct {
	chunks [][]byte
	used   int // of the last one
}

// Piece is where a string is in a Text.
type Piece struct{ chunk, from, length uint32 }

// Len is the string's length in bytes.
func (p Piece) Len() int { return int(p.length) }

const (
	smallText = 256
	largeText = 64 << 10
)

// Add keeps the strings as one.
func (t *Text) Add(parts ...string) Piece {
	length := 0
	for _, part := range parts {
		length += len(part)
	}
	if n := len(t.chunks); n == 0 || len(t.chunks[n-1])-t.used < length {
		t.chunks, t.used = append(t.chunks, make([]byte, max(length, min(smallText<<min(n, 10), largeText)))), 0
	}
	chunk := t.chunks[len(t.chunks)-1]
	p := Piece{uint32(len(t.chunks) - 1), uint32(t.used), uint32(length)}
	for _, part := range parts {
		t.used += copy(chunk[t.used:], part)
	}
	return p
}

// At returns a string without copying it.
func (t *Text) At(p Piece) string {
	if p.length == 0 {
		return ""
	}
	return unsafe.String(&t.chunks[p.chunk][p.from], int(p.length))
}

var seed = maphash.MakeSeed()

// Hash is that of a text in a space of its own. It is another one in every process.
func Hash(space uint32, text string) uint32 {
	return uint32((maphash.String(seed, text) ^ uint64(space)*0x9E3779B97F4A7C15) >> 32)
}

// Edit is who makes a version: pages that it has made it changes in place.
type Edit uint64

var edits atomic.Uint64

// NewEdit returns a new one.
func NewEdit() Edit { return Edit(edits.Add(1)) }

// Table finds numbers by a hash. It knows neither keys nor how to compare them: it asks. Numbers are below 1<<32 - 1. The zero value is
// empty.
type Table struct {
	// dir has a page for each value of the first depth bits of a hash. A page that has not been split as often stands there
	// several times.
	dir   []*page
	depth uint8
	edit  Edit // whose dir is
}

const (
	pageSlots = 256
	fullPage  = pageSlots * 3 / 4
)

// page is a hash table with open addressing.
type page struct {
	edit  Edit
	used  uint16
	depth uint8
	slots [pageSlots]slot
}

// slot is empty where number is 0; else the number is one less.
type slot struct{ hash, number uint32 }

func (t *Table) index(hash uint32) uint32 { return uint32(uint64(hash) >> (32 - t.depth)) }

// Find returns the first number under a hash of which is says so.
func (t *Table) Find(hash uint32, is func(number uint32) bool) (number uint32, found bool) {
	if len(t.dir) == 0 {
		return 0, false
	}
	p := t.dir[t.index(hash)]
	for i := hash % pageSlots; p.slots[i].number != 0; i = (i + 1) % pageSlots {
		if s := p.slots[i]; s.hash == hash && is(s.number-1) {
			return s.number - 1, true
		}
	}
	return 0, false
}

// Add adds a number.
func (t *Table) Add(e Edit, hash, number uint32) {
	if len(t.dir) == 0 {
		*t = Table{dir: []*page{{edit: e}}, edit: e}
	}
	p := t.own(e, hash)
	for p.used == fullPage {
		t.split(e, hash)
		p = t.dir[t.index(hash)]
	}
	p.add(slot{hash, number + 1})
}

// Replace puts another number in the place of one that is there.
func (t *Table) Replace(e Edit, hash, old, number uint32) {
	p := t.own(e, hash)
	p.slots[p.find(hash, old)].number = number + 1
}

// Remove removes a number that is there.
func (t *Table) Remove(e Edit, hash, number uint32) {
	p := t.own(e, hash)
	gap := p.find(hash, number)
	// What stands behind it only because its place was taken moves up.
	for i := (gap + 1) % pageSlots; p.slots[i].number != 0; i = (i + 1) % pageSlots {
		if (i-p.slots[i].hash)%pageSlots >= (i-gap)%pageSlots {
			p.slots[gap], gap = p.slots[i], i
		}
	}
	p.slots[gap] = slot{}
	p.used--
}

// Each calls yield with every number, in no order, until it returns false.
func (t *Table) Each(yield func(number uint32) bool) {
	for i := 0; i < len(t.dir); {
		p := t.dir[i]
		for _, s := range p.slots {
			if s.number != 0 && !yield(s.number-1) {
				return
			}
		}
		i += 1 << (t.depth - p.depth)
	}
}

// own returns the page of a hash, to be changed.
func (t *Table) own(e Edit, hash uint32) *page {
	if t.edit != e {
		t.dir, t.edit = append([]*page(nil), t.dir...), e
	}
	i := t.index(hash)
	if p := t.dir[i]; p.edit != e {
		own := *p
		own.edit = e
		t.put(i, &own)
	}
	return t.dir[i]
}

// put puts a page wherever it belongs; i is one of the places.
func (t *Table) put(i uint32, p *page) {
	places := uint32(1) << (t.depth - p.depth)
	for j := i &^ (places - 1); places > 0; j, places = j+1, places-1 {
		t.dir[j] = p
	}
}

// split makes two of the page of a hash, which e owns.
func (t *Table) split(e Edit, hash uint32) {
	old := t.dir[t.index(hash)]
	if old.depth == t.depth {
		dir := make([]*page, 2*len(t.dir))
		for i := range dir {
			dir[i] = t.dir[i/2]
		}
		t.dir, t.depth = dir, t.depth+1
	}
	halves := [2]*page{{edit: e, depth: old.depth + 1}, {edit: e, depth: old.depth + 1}}
	for _, s := range old.slots {
		if s.number != 0 {
			halves[s.hash>>(31-old.depth)&1].add(s)
		}
	}
	first := t.index(hash) &^ (1<<(t.depth-old.depth) - 1)
	t.put(first, halves[0])
	t.put(first+1<<(t.depth-old.depth-1), halves[1])
}

func (p *page) add(s slot) {
	i := s.hash % pageSlots
	for p.slots[i].number != 0 {
		i = (i + 1) % pageSlots
	}
	p.slots[i] = s
	p.used++
}

// find returns where a number that is there stands.
func (p *page) find(hash, number uint32) uint32 {
	i := hash % pageSlots
	for p.slots[i] != (slot{hash, number + 1}) {
		i = (i + 1) % pageSlots
	}
	return i
}
