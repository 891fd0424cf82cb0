// Package codec turns text into bytes and bytes into text the way Node.js does
// for its Buffer encodings: lenient where Node is lenient, never failing. It is
// pure; the packages of the handlers' objects call it.
package codec

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Encoding is one of Node's Buffer encodings.
type Encoding uint8

// The encodings. ASCII differs from Latin1 only when bytes become text (it drops the
// eighth bit), Base64 from Base64URL only in that direction too.
const (
	UTF8 Encoding = iota
	UTF16LE
	Latin1
	ASCII
	Base64
	Base64URL
	Hex
)

var encodings = map[string]Encoding{
	"utf8": UTF8, "utf-8": UTF8,
	"ucs2": UTF16LE, "ucs-2": UTF16LE, "utf16le": UTF16LE, "utf-16le": UTF16LE,
	"latin1": Latin1, "binary": Latin1,
	"ascii":  ASCII,
	"base64": Base64, "base64url": Base64URL,
	"hex": Hex,
}

// Parse returns the encoding that name stands for, in upper or lower case. The
// empty name is not an encoding.
func Parse(name string) (Encoding, bool) {
	if e, ok := encodings[name]; ok {
		return e, true
	}
	e, ok := encodings[strings.ToLower(name)]
	return e, ok
}

// Text is a JavaScript string: UTF-16 code units. Its String method gives UTF-8
// with U+FFFD for each lone surrogate. A goja.String is a Text.
type Text interface {
	Length() int
	CharAt(int) uint16
	String() string
}

// Decode returns the bytes that t stands for in e. The result may share memory with
// t's own text, so it must not be changed; see Bytes for a private copy.
func Decode(t Text, e Encoding) []byte {
	switch e {
	case UTF16LE:
		n := t.Length()
		out := make([]byte, 2*n)
		for i := range n {
			c := t.CharAt(i)
			out[2*i], out[2*i+1] = byte(c), byte(c>>8)
		}
		return out
	case Latin1, ASCII:
		n := t.Length()
		if s := t.String(); len(s) == n {
			return stringBytes(s)
		}
		out := make([]byte, n)
		for i := range n {
			out[i] = byte(t.CharAt(i))
		}
		return out
	case Base64, Base64URL:
		return decodeBase64(narrow(t, 0xff))
	case Hex:
		return decodeHex(narrow(t, 0))
	default:
		return stringBytes(t.String())
	}
}

// Bytes is Decode with a result that the caller may change.
func Bytes(t Text, e Encoding) []byte {
	b := Decode(t, e)
	switch e {
	case UTF8, Latin1, ASCII:
		return append(make([]byte, 0, len(b)), b...)
	}
	return b
}

// narrow returns one byte for each code unit: the low one, or instead of it other
// for those that are not ASCII. (Node looks at the low byte only when it decodes hex.)
func narrow(t Text, other byte) string {
	n := t.Length()
	s := t.String()
	if len(s) == n {
		return s
	}
	out := make([]byte, n)
	for i := range n {
		c := t.CharAt(i)
		if out[i] = byte(c); c >= 0x80 && other != 0 {
			out[i] = other
		}
	}
	return string(out)
}

func decodeHex(s string) []byte {
	out := make([]byte, len(s)/2)
	n, err := hex.Decode(out, stringBytes(s[:len(s)&^1]))
	if err != nil {
		// Node keeps what came before the first bad pair.
		return out[:n]
	}
	return out
}

// base64Value has the six bits of each letter of both alphabets, 0xff for others.
var base64Value = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = byte(i)
	}
	t['-'], t['_'] = 62, 63
	return t
}()

// Base64Size is the number of bytes for which Node makes room when it decodes s,
// judging by its length and padding only.
func Base64Size(s string) int {
	n := len(s)
	if n > 0 && s[n-1] == '=' {
		n--
	}
	if n > 0 && s[n-1] == '=' {
		n--
	}
	if n <= 1 {
		return 0
	}
	return n/4*3 + (n%4+1)/2
}

// decodeBase64 skips what is in neither alphabet, and stops at padding or when the
// room that Base64Size allows is used up.
func decodeBase64(s string) []byte {
	room := Base64Size(s)
	out := make([]byte, room)
	// The standard decoder is many times faster and right for clean input.
	if len(s)%4 == 0 {
		if n, err := base64.StdEncoding.Decode(out[:room:room], stringBytes(s)); err == nil && n == room {
			return out
		}
	}
	k, bits, have := 0, uint32(0), 0
	for i := 0; i < len(s) && k < room; i++ {
		v := base64Value[s[i]]
		if s[i] == '=' {
			break
		}
		if v == 0xff {
			continue
		}
		bits = bits<<6 | uint32(v)
		have += 6
		if have >= 8 {
			have -= 8
			out[k] = byte(bits >> have)
			k++
		}
	}
	return out[:k]
}

// Encode returns b as text in e. For UTF16LE use UTF16, since a Go string cannot hold
// all of its results.
func Encode(b []byte, e Encoding) string {
	switch e {
	case Latin1:
		return latin1(b, 0xff)
	case ASCII:
		return latin1(b, 0x7f)
	case Base64:
		return base64.StdEncoding.EncodeToString(b)
	case Base64URL:
		return base64.RawURLEncoding.EncodeToString(b)
	case Hex:
		return hex.EncodeToString(b)
	case UTF16LE:
		return string(utf16.Decode(UTF16(b)))
	default:
		return UTF8Text(b)
	}
}

// EncodedLen is at least the number of bytes of the string that Encode returns for n
// bytes, without making it.
func EncodedLen(n int, e Encoding) int {
	switch e {
	case Base64, Base64URL:
		return (n + 2) / 3 * 4
	case Hex, Latin1:
		return 2 * n
	default:
		return n
	}
}

// UTF16 returns the code units in b; an odd last byte is dropped.
func UTF16(b []byte) []uint16 {
	out := make([]uint16, len(b)/2)
	for i := range out {
		out[i] = uint16(b[2*i]) | uint16(b[2*i+1])<<8
	}
	return out
}

func latin1(b []byte, mask byte) string {
	high := 0
	for _, c := range b {
		if c&mask >= 0x80 {
			high++
		}
	}
	if high == 0 && mask == 0xff {
		return string(b)
	}
	var s strings.Builder
	s.Grow(len(b) + high)
	for _, c := range b {
		s.WriteRune(rune(c & mask))
	}
	return s.String()
}

// UTF8Text decodes UTF-8 as the WHATWG Encoding Standard wants it: one U+FFFD for each
// maximal part of a sequence that is not valid. (Go's conversion gives one
// for each byte.)
func UTF8Text(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var s strings.Builder
	s.Grow(len(b) + 16)
	for len(b) > 0 {
		i := 0
		for i < len(b) {
			if b[i] < utf8.RuneSelf {
				i++
				continue
			}
			if r, n := utf8.DecodeRune(b[i:]); r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			break
		}
		s.Write(b[:i])
		if b = b[i:]; len(b) == 0 {
			break
		}
		n, _ := badUTF8(b)
		s.WriteRune(utf8.RuneError)
		b = b[n:]
	}
	return s.String()
}

// badUTF8 returns the length of the maximal part of an invalid sequence at the start of b,
// at least 1, and whether more bytes could make it valid.
func badUTF8(b []byte) (n int, unfinished bool) {
	lead, low, high, need := b[0], byte(0x80), byte(0xbf), 0
	switch {
	case lead >= 0xc2 && lead <= 0xdf:
		need = 2
	case lead >= 0xe0 && lead <= 0xef:
		need = 3
		if lead == 0xe0 {
			low = 0xa0
		} else if lead == 0xed {
			high = 0x9f
		}
	case lead >= 0xf0 && lead <= 0xf4:
		need = 4
		if lead == 0xf0 {
			low = 0x90
		} else if lead == 0xf4 {
			high = 0x8f
		}
	default:
		return 1, false
	}
	for n = 1; n < need; n++ {
		if n == len(b) {
			return n, true
		}
		if b[n] < low || b[n] > high {
			return n, false
		}
		low, high = 0x80, 0xbf
	}
	return n, false
}

// UnfinishedUTF8 returns how many bytes at the end of b begin a sequence that
// more bytes could finish: 0 to 3.
func UnfinishedUTF8(b []byte) int {
	for i := 1; i <= 3 && i <= len(b); i++ {
		tail := b[len(b)-i:]
		if tail[0] >= 0xc0 {
			if utf8.FullRune(tail) {
				return 0
			}
			if n, unfinished := badUTF8(tail); unfinished && n == i {
				return i
			}
			return 0
		}
		if tail[0] < 0x80 {
			return 0
		}
	}
	return 0
}
