package sqlite

import (
	"encoding/binary"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"switchhook/gateway/hook"
)

// A block is 256 requests with consecutive numbers. What is known of every
// block (how many requests, events, deliveries, unsettled and dead ones; from
// when to when its requests arrived, and with which outcomes) is kept in memory, 90 bytes for
// each; which integrations, subscriptions and selectors are in it is a Bloom filter
// on the disk, the marks. A list goes through the blocks from
// the newest to the oldest, passes over those that cannot hold what is asked for, and
// scans the rest by primary key.
//
// Measured with 7 KB requests of two events and two deliveries (40 µs and 12 KB of WAL each), B-tree
// indexes instead would cost another 3 µs for integration and outcome, 5 to 20 µs for the
// subscription (the more of them, the more), and 27 µs and 11 KB for the
// selector. A block costs some 16 bytes a request, and a few hashes.

const blockBits = 8

// blockOf returns the block of a request's number.
func blockOf(request int64) int64 { return request >> blockBits }

// blockOfDelivery returns the block of a delivery's (or event's) id.
func blockOfDelivery(id int64) int64 { return id >> (numberBits + blockBits) }

// tally is what a write adds to a block.
type tally struct {
	block                        int64
	requests, events, deliveries int64
	open, dead                   int64 // open: pending or waiting
	received                     int64 // of a request that was added; 0: none
	outcomes                     int64 // bits: 1 << outcome, of requests that were added
}

type block struct {
	id                           int64
	requests, events, deliveries int64
	open, dead                   int64
	oldest, newest               int64 // Unix nanoseconds
	outcomes                     int64 // bits: 1 << outcome; may have some that are gone
	// marked: its marks are stored. Else it is not full yet.
	marked bool
	// stuck: a sweep found nothing to delete, and will not until something is settled.
	stuck bool
}

// may reports whether a request of the block may have arrived in [after, before).
func (b *block) may(after, before time.Time) bool {
	return (after.IsZero() || b.newest >= after.UnixNano()) && (before.IsZero() || b.oldest < before.UnixNano())
}

// within reports whether all requests of the block arrived in [after, before).
func (b *block) within(after, before time.Time) bool {
	return (after.IsZero() || b.oldest >= after.UnixNano()) && (before.IsZero() || b.newest < before.UnixNano())
}

// blocks are all blocks, by id. The writer changes them after it has committed.
type blocks struct {
	mu   sync.RWMutex
	list []block
	sum  tally
}

func (bs *blocks) find(id int64) (int, bool) {
	if n := len(bs.list); n > 0 && bs.list[n-1].id == id { // nearly always
		return n - 1, true
	}
	i := sort.Search(len(bs.list), func(i int) bool { return bs.list[i].id >= id })
	return i, i < len(bs.list) && bs.list[i].id == id
}

// apply adds to the blocks what was committed.
func (bs *blocks) apply(tallies []tally) {
	if len(tallies) == 0 {
		return
	}
	bs.mu.Lock()
	defer bs.mu.Unlock()
	for _, t := range tallies {
		i, ok := bs.find(t.block)
		if !ok {
			bs.list = slices.Insert(bs.list, i, block{id: t.block, oldest: 1<<63 - 1, newest: -1 << 63})
		}
		b := &bs.list[i]
		b.requests += t.requests
		b.events += t.events
		b.deliveries += t.deliveries
		b.open += t.open
		b.dead += t.dead
		b.outcomes |= t.outcomes
		b.stuck = false
		if t.received != 0 {
			b.oldest, b.newest = min(b.oldest, t.received), max(b.newest, t.received)
		}
		bs.sum.requests += t.requests
		bs.sum.events += t.events
		bs.sum.deliveries += t.deliveries
		bs.sum.open += t.open
		bs.sum.dead += t.dead
		if b.requests <= 0 && t.requests < 0 {
			bs.list = slices.Delete(bs.list, i, i+1)
		}
	}
}

// update changes one block.
func (bs *blocks) update(id int64, change func(*block)) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if i, ok := bs.find(id); ok {
		change(&bs.list[i])
	}
}

func (bs *blocks) get(id int64) (b block, ok bool) {
	bs.mu.RLock()
	defer bs.mu.RUnlock()
	i, ok := bs.find(id)
	if ok {
		b = bs.list[i]
	}
	return b, ok
}

// below returns up to limit blocks with ids up to id that keep takes, newest first.
func (bs *blocks) below(id int64, limit int, keep func(*block) bool) []block {
	bs.mu.RLock()
	defer bs.mu.RUnlock()
	var found []block
	i, ok := bs.find(id)
	if !ok {
		i--
	}
	for ; i >= 0 && len(found) < limit; i-- {
		if keep(&bs.list[i]) {
			found = append(found, bs.list[i])
		}
	}
	return found
}

// above is below in the other direction, oldest first.
func (bs *blocks) above(id int64, limit int, keep func(*block) bool) []block {
	bs.mu.RLock()
	defer bs.mu.RUnlock()
	var found []block
	for i, _ := bs.find(id); i < len(bs.list) && len(found) < limit; i++ {
		if keep(&bs.list[i]) {
			found = append(found, bs.list[i])
		}
	}
	return found
}

func (bs *blocks) totals() tally {
	bs.mu.RLock()
	defer bs.mu.RUnlock()
	return bs.sum
}

// A mark is a hash of something that a block holds, and that a list may be
// narrowed to.

// hash is FNV-1a with a last mix, since its low bits alone are too regular for the filter.
func hash(kind byte, parts ...string) uint64 {
	h := (uint64(14695981039346656037) ^ uint64(kind)) * 1099511628211
	for _, s := range parts {
		for i := 0; i < len(s); i++ {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
		h = (h ^ 0xff) * 1099511628211 // ends the part; no UTF-8 contains it
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	return h
}

// marks are those of a block that is not full yet. Used by the writer only.
type marks map[uint64]struct{}

func (m marks) add(h uint64) { m[h] = struct{}{} }

// request adds what Requests may be narrowed to: every name alone, and with the outcome.
func (m marks) request(s source, outcome hook.Outcome) {
	for _, o := range [...]string{"", string(outcome)} {
		m.add(hash('w', s.workspace, o))
		m.add(hash('i', s.integration, o))
		m.add(hash('h', s.webhook, o))
		m.add(hash('c', s.connector, o))
		m.add(hash('b', s.workspace, s.integration, o))
	}
	m.add(hash('o', string(outcome)))
}

// asks returns the marks of a block that holds a request of these names.
func (s source) asks(outcome hook.Outcome) (all []uint64) {
	o := string(outcome)
	for _, ask := range [...]struct {
		kind byte
		name string
	}{{'w', s.workspace}, {'i', s.integration}, {'h', s.webhook}, {'c', s.connector}} {
		if ask.name != "" {
			all = append(all, hash(ask.kind, ask.name, o))
		}
	}
	if s.workspace != "" && s.integration != "" {
		all = append(all, hash('b', s.workspace, s.integration, o))
	}
	if o != "" {
		all = append(all, hash('o', o))
	}
	return all
}

func (m marks) subscription(name string) { m.add(hash('s', name)) }

// selector adds a selector and what of it ends at a slash, for the prefixes that are asked for.
func (m marks) selector(selector string) {
	m.add(hash('e', selector))
	for i, n := 0, 0; n < maxPrefixes; n++ {
		j := strings.IndexByte(selector[i:], '/')
		if j < 0 {
			break
		}
		i += j + 1
		m.add(hash('p', selector[:i]))
	}
}

const maxPrefixes = 8

// asksPrefix returns the marks of a block that holds a selector with this prefix.
func asksPrefix(prefix string) []uint64 {
	for strings.Count(prefix, "/") > maxPrefixes {
		prefix = prefix[:strings.LastIndexByte(prefix[:len(prefix)-1], '/')+1]
	}
	i := strings.LastIndexByte(prefix, '/')
	if i < 0 {
		return nil
	}
	return []uint64{hash('p', prefix[:i+1])}
}

// filterProbes is how many bits of the filter each mark sets. With 12 bits
// of room for each, 1 of 300 blocks is scanned in vain.
const filterProbes = 6

// filter makes the Bloom filter that is stored.
func (m marks) filter() []byte {
	words := max(1, (len(m)*12+63)/64)
	f := make([]byte, words*8)
	for h := range m {
		filterAdd(f, h)
	}
	return f
}

// filterAdd adds a mark; more than the filter was made for only make it less selective.
func filterAdd(f []byte, h uint64) {
	probe(f, h, func(word []byte, bit uint64) bool {
		binary.LittleEndian.PutUint64(word, binary.LittleEndian.Uint64(word)|bit)
		return true
	})
}

// filterHas reports whether a block may hold all of what is asked for.
func filterHas(f []byte, asked []uint64) bool {
	if len(f) < 8 {
		return true
	}
	for _, h := range asked {
		if !probe(f, h, func(word []byte, bit uint64) bool { return binary.LittleEndian.Uint64(word)&bit != 0 }) {
			return false
		}
	}
	return true
}

func probe(f []byte, h uint64, each func(word []byte, bit uint64) bool) bool {
	bits := uint64(len(f)) &^ 7 * 8
	step := h>>32 | 1
	for range filterProbes {
		i := h % bits
		if !each(f[i/64*8:], 1<<(i%64)) {
			return false
		}
		h += step
	}
	return true
}
