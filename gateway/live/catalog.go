package live

import (
	"runtime"
	"sync"
	"sync/atomic"
	"weak"

	"switchhook/gateway/hook"
	"switchhook/gateway/match"
	"switchhook/gateway/packed"
)

// catalog holds subscriptions: those of config.yaml in one generation, or those made at run time. It keeps them packed, so that
// a million of them cost neither much memory nor the garbage collector any time. Reading takes no lock; changes are made by one goroutine at a
// time.
type catalog struct {
	kinds   kinds
	index   match.Index[uint32]
	current atomic.Pointer[listing]
	// wholes has subscriptions while anybody has them, by serial + number: weak.Pointer[whole]. So those who ask get the
	// same one, and the many that nobody asks for take no room.
	wholes sync.Map
}

// listing is one immutable version of a catalog.
type listing struct {
	records packed.Arena[record]
	text    packed.Text
	kinds   []*kind      // by number
	ids     packed.Table // finds records by id
	index   match.View[uint32]
	size    int
	// serial is different after every repacking, which numbers records anew.
	serial uint64
}

// record is a stored without pointers.
type record struct {
	text                  packed.Piece
	selector, url, secret uint32
	kind                  uint32
}

// listed is a subscription in a listing.
type listed struct {
	stored
	number uint32
}

func newCatalog() *catalog {
	c := &catalog{kinds: kinds{}}
	c.current.Store(&listing{})
	return c
}

func (c *catalog) now() *listing { return c.current.Load() }

// at returns a subscription by its number.
func (v *listing) at(n uint32) listed {
	r := v.records.At(n)
	return listed{stored{v.kinds[r.kind], v.text.At(r.text), r.selector, r.url, r.secret}, n}
}

// find returns the number of a subscription.
func (v *listing) find(id string) (n, hash uint32, found bool) {
	hash = packed.Hash(0, id)
	n, found = v.ids.Find(hash, func(n uint32) bool {
		r := v.records.At(n)
		return v.text.At(r.text)[:r.selector] == id
	})
	return n, hash, found
}

func (v *listing) has(id string) bool {
	_, _, found := v.find(id)
	return found
}

// each calls yield with every subscription, in no order, until it returns false.
func (v *listing) each(yield func(listed) bool) {
	v.ids.Each(func(n uint32) bool { return yield(v.at(n)) })
}

// eachID calls yield with the id of every subscription, in no order, until it returns false.
func (v *listing) eachID(yield func(id string) bool) {
	v.each(func(s listed) bool { return yield(s.id()) })
}

// subscription returns a subscription by its id; nil when there is none.
func (c *catalog) subscription(id string) *Resolved {
	v := c.now()
	n, _, found := v.find(id)
	if !found {
		return nil
	}
	return c.whole(v, n)
}

// whole puts a subscription together; the same one for all who have it at the same time.
func (c *catalog) whole(v *listing, n uint32) *Resolved {
	key := v.serial + uint64(n)
	before, there := c.wholes.Load(key)
	if there {
		if w := before.(weak.Pointer[whole]).Value(); w != nil {
			return &w.Resolved
		}
	}
	s := v.at(n)
	w := s.whole()
	mine := weak.Make(w)
	for {
		if there && c.wholes.CompareAndSwap(key, before, mine) {
			break
		}
		if before, there = c.wholes.LoadOrStore(key, mine); !there {
			break
		}
		if other := before.(weak.Pointer[whole]).Value(); other != nil { // somebody was quicker
			return &other.Resolved
		}
	}
	runtime.AddCleanup(w, func(key uint64) { c.wholes.CompareAndDelete(key, mine) }, key)
	return &w.Resolved
}

// edit is a set of changes to a catalog.
type edit struct {
	listing
	catalog *catalog
	matched *match.Edit[uint32]
	pages   packed.Edit
}

// update makes changes that readers see all or none of. Many in one cost much less than one by one.
func (c *catalog) update(change func(*edit)) {
	e := &edit{listing: *c.now(), catalog: c, pages: packed.NewEdit()}
	c.index.Update(func(index *match.Edit[uint32]) {
		e.matched = index
		change(e)
	})
	v := e.listing
	if v.records.Len() > 2*v.size+1000 {
		v = c.repacked(v)
	}
	v.index = c.index.Now()
	c.current.Store(&v)
}

// put adds a subscription, in place of one of the same id. Its users are counted before those of the one it replaces.
func (e *edit) put(s *stored, selector *match.Selector) {
	old, hash, found := e.find(s.id())
	n := e.add(s, hash, old, found)
	if found {
		e.drop(e.at(old))
	}
	if s.kind.inactive == "" {
		e.matched.Add(s.scope(), selector, s.kind.filter, n)
	}
}

// add makes a record of a subscription, in place of an old one where there is one.
func (e *edit) add(s *stored, hash, old uint32, replaces bool) uint32 {
	e.number(s.kind)
	n := e.records.Add(record{e.text.Add(s.text), s.selector, s.url, s.secret, s.kind.number})
	if replaces {
		e.ids.Replace(e.pages, hash, old, n)
	} else {
		e.ids.Add(e.pages, hash, n)
		e.size++
	}
	return n
}

// number gives a kind its number. One that nobody uses any more keeps its place until a repacking.
func (v *listing) number(k *kind) {
	if k.number == 0 {
		if len(v.kinds) == 0 {
			v.kinds = []*kind{nil}
		}
		k.number, v.kinds = uint32(len(v.kinds)), append(v.kinds, k)
	}
}

// remove removes a subscription, if it is there.
func (e *edit) remove(id string) {
	if n, hash, found := e.find(id); found {
		e.ids.Remove(e.pages, hash, n)
		e.size--
		e.drop(e.at(n))
	}
}

// drop takes a subscription out of the index.
func (e *edit) drop(s listed) {
	e.catalog.kinds.release(s.kind)
	if s.kind.inactive == "" {
		selector, _ := match.ParseSelector(s.pattern()) // it was parsed before
		e.matched.Remove(s.scope(), selector, s.number)
	}
}

// repacked is a listing without what was removed. The index is made anew, since the numbers are others.
func (c *catalog) repacked(old listing) listing {
	e := &edit{listing: listing{serial: old.serial + 1<<32}, catalog: c, pages: packed.NewEdit()}
	for _, k := range old.kinds[1:] {
		k.number = 0
	}
	c.index = match.Index[uint32]{}
	c.index.Update(func(index *match.Edit[uint32]) {
		e.matched = index
		for s := range old.each {
			n := e.add(&s.stored, packed.Hash(0, s.id()), 0, false)
			if s.kind.inactive == "" {
				selector, _ := match.ParseSelector(s.pattern())
				index.Add(s.scope(), selector, s.kind.filter, n)
			}
		}
	})
	return e.listing
}

// match appends to dst the subscriptions that an event reaches, except those for whose id skip says so.
func (c *catalog) match(dst []*hook.Subscription, scope match.Scope, selector string, payload []byte, skip func(id string) bool) []*hook.Subscription {
	v := c.now()
	var few [8]uint32
	for _, n := range v.index.Match(few[:0], scope, selector, payload) {
		if s := v.at(n); !skip(s.id()) {
			dst = append(dst, c.whole(v, n).Subscription)
		}
	}
	return dst
}
