package worker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"unsafe"
)

// The protocol. Both directions are streams of frames: a length (4 bytes,
// little-endian) of what follows, a byte that says what it is, and its fields.
// Numbers are varints, texts and lists have their length in front. The worker
// trusts the gateway; the gateway checks all that a worker says.
const (
	frameSettings = 's' // gateway to worker, once, first: settings as JSON
	frameProgram  = 'p' // a program, under a number
	frameForget   = 'f' // the program of this number is not called again
	frameHandle   = 'h' // a call of a handle or handshake function
	frameEval     = 'e' // a call of any other function
	frameHello    = 'H' // worker to gateway, once, first: confinement as JSON
	frameResult   = 'R' // what became of a call; results come in the order of calls
)

const frameHeader = 5 // length and kind

var errMalformed = errors.New("malformed")

// writer builds frames.
type writer struct {
	b     []byte
	start int // where the frame under way begins
}

func (w *writer) begin(kind byte) {
	w.start = len(w.b)
	w.b = append(w.b, 0, 0, 0, 0, kind)
}

// end completes the frame; trailing is the size of what follows in the stream
// without being in the buffer.
func (w *writer) end(trailing int) {
	binary.LittleEndian.PutUint32(w.b[w.start:], uint32(len(w.b)-w.start-4+trailing))
}

func (w *writer) uint(n uint64) { w.b = binary.AppendUvarint(w.b, n) }
func (w *writer) int(n int64)   { w.b = binary.AppendVarint(w.b, n) }
func (w *writer) flag(f bool) {
	var n byte
	if f {
		n = 1
	}
	w.b = append(w.b, n)
}

func (w *writer) text(s string) {
	w.uint(uint64(len(s)))
	w.b = append(w.b, s...)
}

func (w *writer) bytes(b []byte) {
	w.uint(uint64(len(b)))
	w.b = append(w.b, b...)
}

// reader takes the fields of a frame apart. After the first mistake all
// fields are empty, and err says so.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail() {
	r.err = errMalformed
	r.b = nil
}

func (r *reader) uint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) int() int64 {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[size:]
	return n
}

// small is a number that fits an int and is not above limit.
func (r *reader) small(limit int) int {
	n := r.uint()
	if n > uint64(limit) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	n := r.b[0]
	r.b = r.b[1:]
	return n
}

func (r *reader) flag() bool { return r.byte() == 1 }

// bytes is a part of the frame, not a copy.
func (r *reader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) text() string { return string(r.bytes()) }

// view is a text that is a part of the frame, not a copy.
func (r *reader) view() string {
	b := r.bytes()
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// count is the length of a list whose items take at least a byte each.
func (r *reader) count(limit int) int { return r.small(min(limit, len(r.b))) }

// stream cuts a stream of bytes into frames.
type stream struct {
	read func([]byte) (int, error)
	// limit is the length of the longest frame that is accepted.
	limit  int
	buf    []byte
	lo, hi int // what is in buf and not yet taken
}

const streamBuffer = 256 << 10

// ready reports whether next returns without reading.
func (s *stream) ready() bool {
	return s.hi-s.lo >= 4 && s.hi-s.lo >= 4+int(binary.LittleEndian.Uint32(s.buf[s.lo:]))
}

// next returns the kind and the fields of the next frame. They are valid until the
// call after. It is io.EOF when the stream ends between frames.
func (s *stream) next() (kind byte, fields []byte, err error) {
	for {
		have := s.hi - s.lo
		want := frameHeader
		if have >= 4 {
			n := binary.LittleEndian.Uint32(s.buf[s.lo:])
			if n < 1 || uint64(n) > uint64(min(s.limit, math.MaxInt32)) {
				return 0, nil, fmt.Errorf("a frame of %d bytes: %w", n, errMalformed)
			}
			if want = 4 + int(n); have >= want {
				frame := s.buf[s.lo+4 : s.lo+want : s.lo+want]
				s.lo += want
				return frame[0], frame[1:], nil
			}
		}
		s.room(want)
		n, err := s.read(s.buf[s.hi:])
		s.hi += n
		if n > 0 {
			continue
		}
		if err == io.EOF && s.hi > s.lo {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, nil, err
		}
	}
}

// room makes space to read into, on the way to a frame of want bytes. Memory is
// taken as the bytes come: a frame may be announced and never sent.
func (s *stream) room(want int) {
	rest := s.hi - s.lo
	if rest == 0 {
		s.lo, s.hi = 0, 0
		if len(s.buf) > 4*streamBuffer && want <= streamBuffer {
			s.buf = nil // a rare big frame needed it
		}
	}
	if s.hi < len(s.buf) && s.lo+want <= len(s.buf) {
		return
	}
	copy(s.buf, s.buf[s.lo:s.hi])
	s.lo, s.hi = 0, rest
	if rest < len(s.buf) {
		return
	}
	buf := make([]byte, max(streamBuffer, min(want, 2*len(s.buf))))
	copy(buf, s.buf[:rest])
	s.buf = buf
}
