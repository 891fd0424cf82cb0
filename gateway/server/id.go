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
// may be called from any goroutine. The ids are unique, but no secrets.
func NewIDs(prefix string, now func() time.Time) func() string {
	var seed [32]byte
	_, _ = cryptorand.Read(seed[:]) // never fails
	var (
		mu      sync.Mutex
		entropy = ulid.Monotonic(rand.NewChaCha8(seed), 0)
		last    uint64
	)
	return func() string {
		t := ulid.Timestamp(now())
		mu.Lock()
		last = max(last, t)
		id, err := ulid.New(last, entropy)
		for err != nil { // the millisecond has no greater id left
			last++
			id, err = ulid.New(last, entropy)
		}
		mu.Unlock()
		text := make([]byte, len(prefix)+ulid.EncodedSize)
		copy(text, prefix)
		_ = id.MarshalTextTo(text[len(prefix):]) // the size is right
		return string(text)
	}
}
