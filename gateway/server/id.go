package server

import (
	cryptorand "crypto/rand"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// NewIDs returns a generator of ids: prefix and a ULID
// (https://github.com/ulid/spec). They sort in the order in which they were
// made, also within a millisecond and when the clock goes back. The generator
// may be called from any goroutine. The ids are unique, but no secrets. The
// prefix has at most 38 bytes.
func NewIDs(prefix string, now func() time.Time) func() string {
	ids := newIDs(prefix)
	return func() string { return ids.at(now()) }
}

type idMaker struct {
	prefix  string
	mu      sync.Mutex
	entropy *ulid.MonotonicEntropy
	last    uint64
	id      ulid.ULID
}

func newIDs(prefix string) *idMaker {
	var seed [32]byte
	_, _ = cryptorand.Read(seed[:]) // never fails
	return &idMaker{prefix: prefix, entropy: ulid.Monotonic(rand.NewChaCha8(seed), 0)}
}

// at makes an id of the time t, or a little later where that keeps the order.
func (m *idMaker) at(t time.Time) string {
	var buffer [64]byte
	text := append(buffer[:0], m.prefix...)[:len(m.prefix)+ulid.EncodedSize]
	m.mu.Lock()
	m.last = max(m.last, ulid.Timestamp(t))
	for m.entropy.MonotonicRead(m.last, m.id[6:]) != nil { // the millisecond has no greater id left
		m.last++
	}
	_ = m.id.SetTime(m.last)                     // it is in range for 8,000 years
	_ = m.id.MarshalTextTo(text[len(m.prefix):]) // the size is right
	m.mu.Unlock()
	return string(text)
}
