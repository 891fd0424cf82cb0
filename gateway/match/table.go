package match

import "hash/maphash"

// table is an immutable hash map from strings. Changing it makes the next
// version, which shares with the old one all but a page of buckets: a reader keeps
// the version it has, without a lock. A look-up touches few cache lines, since what
// it costs in a map of millions is waiting for memory. The zero value is empty.
//
// Versions follow one another in a line: only the newest may be changed. That is why
// an append may use the room behind a slice that older versions share: they do not see it.
type table[V any] struct {
	root *page[V]
	// levels is how many levels of pages lie above those with buckets.
	levels int
	// mask is the number of buckets, a power of two, less one.
	mask uint64
	size int
}

// page is up to 64 buckets, or further pages.
type page[V any] struct {
	pages   []*page[V]
	buckets [][]slot[V]
	edit    *edit
}

type slot[V any] struct {
	hash  uint64
	key   string
	value V
}

// edit is the identity of a writer: pages that it has made, and that no reader can
// have seen yet, it changes in place.
type edit struct{ _ byte }

const (
	pageBits = 6
	pageMask = 1<<pageBits - 1
	// load is how many keys a bucket has on average before there are twice as many buckets.
	load = 3
)

var seed = maphash.MakeSeed()

// get returns the value under key, or nil. The value must not be changed.
func (t *table[V]) get(key string) *V {
	if t.size == 0 {
		return nil
	}
	hash := maphash.String(seed, key)
	bucket := *t.bucket(hash)
	for j := range bucket {
		if s := &bucket[j]; s.hash == hash && s.key == key {
			return &s.value
		}
	}
	return nil
}

// set sets key to value in the version that e makes.
func (t *table[V]) set(e *edit, key string, value V) {
	if n := t.buckets(); t.size >= load*n {
		t.resize(e, max(1, 2*n))
	}
	hash := maphash.String(seed, key)
	bucket := t.own(e, hash)
	for j := range *bucket {
		if s := &(*bucket)[j]; s.hash == hash && s.key == key {
			*bucket = append(make([]slot[V], 0, len(*bucket)), *bucket...)
			(*bucket)[j].value = value
			return
		}
	}
	*bucket = append(*bucket, slot[V]{hash, key, value})
	t.size++
}

// delete removes a key, which is there, from the version that e makes.
func (t *table[V]) delete(e *edit, key string) {
	hash := maphash.String(seed, key)
	bucket := t.own(e, hash)
	left := make([]slot[V], 0, len(*bucket)-1)
	for _, s := range *bucket {
		if s.hash != hash || s.key != key {
			left = append(left, s)
		}
	}
	*bucket = left
	t.size--
	switch n := t.buckets(); {
	case t.size == 0:
		*t = table[V]{}
	case n > 1 && t.size < n/2:
		t.resize(e, n/2)
	}
}

// buckets is the number of buckets.
func (t *table[V]) buckets() int {
	if t.root == nil {
		return 0
	}
	return int(t.mask + 1)
}

// bucket returns the bucket of a hash.
func (t *table[V]) bucket(hash uint64) *[]slot[V] {
	i, p := hash&t.mask, t.root
	for l := t.levels; l > 0; l-- {
		p = p.pages[i>>(pageBits*l)&pageMask]
	}
	return &p.buckets[i&pageMask]
}

// own is bucket for the writer e: the bucket may be replaced.
func (t *table[V]) own(e *edit, hash uint64) *[]slot[V] {
	i, p := hash&t.mask, &t.root
	for l := t.levels; ; l-- {
		if (*p).edit != e {
			*p = &page[V]{append([]*page[V](nil), (*p).pages...), append([][]slot[V](nil), (*p).buckets...), e}
		}
		if l == 0 {
			return &(*p).buckets[i&pageMask]
		}
		p = &(*p).pages[i>>(pageBits*l)&pageMask]
	}
}

// resize spreads the keys over n buckets: twice as many as now, half as many, or the first.
func (t *table[V]) resize(e *edit, n int) {
	old, split := t.root, t.mask+1
	t.mask, t.levels = uint64(n-1), 0
	for n>>(pageBits*(t.levels+1)) > 1 {
		t.levels++
	}
	t.root = newPage[V](e, t.levels, n)
	old.each(func(bucket []slot[V]) {
		if uint64(n) <= split {
			for _, s := range bucket {
				b := t.bucket(s.hash)
				*b = append(*b, s)
			}
			return
		}
		// It falls into two, which share the room of one of the same length.
		upper := 0
		for i := range bucket {
			if bucket[i].hash&split != 0 {
				upper++
			}
		}
		room, lower := make([]slot[V], len(bucket)), len(bucket)-upper
		halves := [2][]slot[V]{room[:0:lower], room[lower:lower]}
		for _, s := range bucket {
			h := &halves[min(s.hash&split, 1)]
			*h = append(*h, s)
		}
		for _, h := range halves {
			if len(h) > 0 {
				*t.bucket(h[0].hash) = h
			}
		}
	})
}

// newPage makes a page with n empty buckets below it.
func newPage[V any](e *edit, level, n int) *page[V] {
	p := &page[V]{edit: e}
	if level == 0 {
		p.buckets = make([][]slot[V], n)
		return p
	}
	each := 1 << (pageBits * level)
	for range n / each {
		p.pages = append(p.pages, newPage[V](e, level-1, each))
	}
	return p
}

func (p *page[V]) each(f func(bucket []slot[V])) {
	if p == nil {
		return
	}
	for _, b := range p.buckets {
		f(b)
	}
	for _, below := range p.pages {
		below.each(f)
	}
}
