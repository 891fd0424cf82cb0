package codec

import "unsafe"

// Stream turns chunks of bytes into text, holding back what a later chunk
// may finish: a part of a UTF-8 sequence, of a UTF-16 unit, of a base64 group.
// The zero value is a UTF-8 stream.
type Stream struct {
	Encoding Encoding
	held     []byte
}

// Next returns the bytes of which text can be made now. The result is valid
// until the next call.
func (s *Stream) Next(chunk []byte) []byte {
	b := chunk
	if len(s.held) > 0 {
		b = append(s.held, chunk...)
	}
	keep := 0
	switch s.Encoding {
	case UTF8:
		keep = UnfinishedUTF8(b)
	case UTF16LE:
		keep = len(b) % 2
		// A pair of surrogates stays together.
		if n := len(b) - keep; n >= 2 && b[n-1]&0xfc == 0xd8 {
			keep += 2
		}
	case Base64, Base64URL:
		keep = len(b) % 3
	}
	s.held = append([]byte(nil), b[len(b)-keep:]...)
	return b[:len(b)-keep]
}

// Rest returns the bytes held back and forgets them.
func (s *Stream) Rest() []byte {
	b := s.held
	s.held = nil
	return b
}

// stringBytes is the memory of s. The result must not be changed.
func stringBytes(s string) []byte {
	return unsafe.Slice(unsafe.StringData(s), len(s))
}
