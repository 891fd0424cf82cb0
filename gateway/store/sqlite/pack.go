package sqlite

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/s2"
)

// Bodies and payloads are kept as blocks of S2 (https://pkg.go.dev/github.com/klauspost/compress/s2, an extension of Snappy's
// format), where that makes them smaller. Everything that is written goes to the disk twice, first to the WAL and then to the
// database, and webhooks shrink to a third or less in as many microseconds as they have kilobytes.
// The caller packs, so that the writer, of which there is one, has less to do.

const (
	// packMin is from what size on packing is tried: what is smaller saves no page.
	packMin = 512
	// packPooled is up to what size a buffer is kept for the next. What is larger is packed one at a
	// time and copied, so that many large bodies at once need little more memory than they take themselves.
	packPooled = 256 << 10
)

var (
	packBuffers = sync.Pool{New: func() any { return new([]byte) }}
	packLarge   sync.Mutex
)

// packed is a blob as it is stored.
type packed struct {
	data []byte
	// form is the value of the column beside it: nil for bytes as they are, or packedS2.
	form any
	buf  *[]byte
}

const packedS2 = int64(1)

// pack makes the form in which b is stored. It may be b itself, which must not change until release is called.
func pack(b []byte) packed {
	if len(b) < packMin {
		return packed{data: b}
	}
	if len(b) > packPooled {
		packLarge.Lock()
		defer packLarge.Unlock()
		if data := s2.Encode(nil, b); worth(data, b) {
			return packed{data: append(make([]byte, 0, len(data)), data...), form: packedS2}
		}
		return packed{data: b}
	}
	buf := packBuffers.Get().(*[]byte)
	data := s2.Encode((*buf)[:cap(*buf)], b)
	*buf = data
	if !worth(data, b) {
		packBuffers.Put(buf)
		return packed{data: b}
	}
	return packed{data: data, form: packedS2, buf: buf}
}

// worth says whether it saves an eighth.
func worth(data, b []byte) bool { return len(data) <= len(b)-len(b)/8 }

// release ends the use of what was packed.
func (p packed) release() {
	if p.buf != nil {
		packBuffers.Put(p.buf)
	}
}

// unpack is the inverse of pack, for a column and the one beside it.
func unpack(data []byte, form int64) ([]byte, error) {
	switch form {
	case 0:
		return data, nil
	case packedS2:
		// A damaged block may claim any size; bodies have 1 GiB at most.
		n, err := s2.DecodedLen(data)
		if err == nil && n > 1<<30 {
			err = s2.ErrTooLarge
		}
		var b []byte
		if err == nil {
			b, err = s2.Decode(nil, data)
		}
		if err != nil {
			return nil, &packError{err}
		}
		return b, nil
	}
	return nil, &packError{fmt.Errorf("form %d is unknown", form)}
}

// packError is a blob that cannot be unpacked: the file is damaged.
type packError struct{ err error }

func (e *packError) Error() string { return "a stored body cannot be unpacked: " + e.err.Error() }

func (e *packError) Unwrap() error { return e.err }
