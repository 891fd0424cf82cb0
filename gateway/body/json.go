package body

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"unicode/utf8"
)

// SyntaxError says where and why bytes are not JSON (RFC 8259).
type SyntaxError struct {
	// Message says what is wrong, for people.
	Message string
	// Offset is the place in bytes, from 0.
	Offset int
	// OverLimit: the bytes may be JSON, but are nested deeper than MaxDepth, or exceed another limit of bodies.
	OverLimit bool
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.Message, e.Offset) }

// Container is one object or array of a JSON text, as Index finds it.
type Container struct {
	// End is where it ends, behind its bracket.
	End uint32
	// Next is the place in the index of the first container that begins behind this one.
	Next uint32
	// Members is how many members or items it has, repeated keys counted each time.
	Members uint32
}

// Index checks that data is one JSON value as scanJSON does, and returns all its objects and arrays in the order in
// which they begin. With it a reader passes over parts without looking at them. The error is a *SyntaxError.
func Index(data []byte) ([]Container, error) {
	index := newIndex(len(data))
	if len(data) > 64<<10 {
		// An index that grows takes three times what it has in the end, and that may be four times the text.
		index = make([]Container, 0, bytes.Count(data, []byte("{"))+bytes.Count(data, []byte("[")))
	}
	if _, _, _, mistake := scanJSON(data, &index, unlimited); mistake != nil {
		return nil, mistake
	}
	return index, nil
}

// newIndex has room for the containers of most texts of a size, and is never large against it.
func newIndex(size int) []Container { return make([]Container, 0, min(16+size/96, 4096)) }

// limits bound how many of what a text may have; known is how many containers an index holds.
type limits struct{ known, containers, values int }

var unlimited = limits{math.MaxInt, math.MaxInt, math.MaxInt}

// scanJSON checks that data is one JSON value with nothing but space around it,
// nested no deeper than MaxDepth. It returns where the value begins and ends, and whether
// a byte beyond ASCII occurs in it. Strings need not be UTF-8. It looks at each byte once
// and allocates nothing but the mistake, and index where that is wanted (it may be nil). An index of
// more than limit.known containers is given up, and left nil.
func scanJSON(data []byte, index *[]Container, limit limits) (start, end int, ascii bool, mistake *SyntaxError) {
	// isArray says by level what kind of container is open, and place which of the index it is.
	var isArray [MaxDepth + 1]bool
	var place [MaxDepth + 1]uint32
	depth := 0
	high := byte(0)
	containers, values := 0, 0 // each comma is behind a value
	fail := func(i int, format string, args ...any) (int, int, bool, *SyntaxError) {
		return 0, 0, false, &SyntaxError{Message: fmt.Sprintf(format, args...), Offset: i}
	}
	expected := func(i int, what string) (int, int, bool, *SyntaxError) {
		if i >= len(data) {
			return fail(i, "it ends where %s is expected", what)
		}
		return fail(i, "expected %s, got %s", what, character(data[i:]))
	}
	if len(data) > math.MaxUint32 {
		return fail(0, "larger than 4 GiB")
	}
	i := skipSpace(data, 0)
	start = i
value:
	if i >= len(data) {
		return expected(i, "a value")
	}
	switch c := data[i]; c {
	case '{', '[':
		if depth == MaxDepth {
			return 0, 0, false, &SyntaxError{Message: fmt.Sprintf("nested deeper than %d levels", MaxDepth), Offset: i, OverLimit: true}
		}
		if containers++; containers > limit.containers {
			return 0, 0, false, &SyntaxError{Message: fmt.Sprintf("more than %d objects and arrays", limit.containers), Offset: i, OverLimit: true}
		}
		if index != nil && len(*index) >= limit.known {
			*index, index = nil, nil
		}
		depth++
		isArray[depth] = c == '['
		i = skipSpace(data, i+1)
		if i < len(data) && data[i] == c+2 { // } and ] lie two behind { and [
			i++
			depth--
			if index != nil {
				*index = append(*index, Container{End: uint32(i), Next: uint32(len(*index)) + 1})
			}
			goto after
		}
		if index != nil {
			place[depth] = uint32(len(*index))
			*index = append(*index, Container{Members: 1})
		}
		if c == '[' {
			goto value
		}
		goto key
	case '"':
		next, h, reason := scanString(data, i+1)
		if reason != "" {
			return fail(next, "%s", reason)
		}
		i, high = next, high|h
	case 't', 'f', 'n':
		word := "true"
		switch c {
		case 'f':
			word = "false"
		case 'n':
			word = "null"
		}
		if len(data)-i < len(word) || string(data[i:i+len(word)]) != word {
			return expected(i, "a value")
		}
		i += len(word)
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		next, ok := scanNumber(data, i)
		if !ok {
			return expected(next, "a digit")
		}
		i = next
	default:
		return expected(i, "a value")
	}
after:
	if depth == 0 {
		end = i
		if i = skipSpace(data, i); i < len(data) {
			return fail(i, "there is more after the value: %s", character(data[i:]))
		}
		return start, end, high < utf8.RuneSelf, nil
	}
	if i < len(data) && data[i] > ' ' {
		// The usual case: no space before the comma or bracket.
	} else {
		i = skipSpace(data, i)
	}
	if i < len(data) {
		switch c := data[i]; {
		case c == ',':
			if values++; values > limit.values {
				return 0, 0, false, &SyntaxError{Message: fmt.Sprintf("more than %d values", limit.values), Offset: i, OverLimit: true}
			}
			i = skipSpace(data, i+1)
			if index != nil {
				(*index)[place[depth]].Members++
			}
			if isArray[depth] {
				goto value
			}
			goto key
		case c == ']' && isArray[depth], c == '}' && !isArray[depth]:
			i++
			if index != nil {
				(*index)[place[depth]].End, (*index)[place[depth]].Next = uint32(i), uint32(len(*index))
			}
			depth--
			goto after
		}
	}
	if isArray[depth] {
		return expected(i, ", or ]")
	}
	return expected(i, ", or }")
key:
	if i >= len(data) || data[i] != '"' {
		return expected(i, "a key in double quotes")
	}
	next, h, reason := scanString(data, i+1)
	if reason != "" {
		return fail(next, "%s", reason)
	}
	i, high = next, high|h
	if i = skipSpace(data, i); i >= len(data) || data[i] != ':' {
		return expected(i, "a colon")
	}
	i = skipSpace(data, i+1)
	goto value
}

func skipSpace(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r') {
		i++
	}
	return i
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// scanString returns where a string that begins before i ends, behind its quote,
// and the bits set in any of its bytes; or the place of a mistake and the reason.
func scanString(data []byte, i int) (next int, high byte, reason string) {
	for {
		// Eight bytes at once, up to one that is a quote, a backslash or a control character.
		for i+8 <= len(data) {
			w := binary.LittleEndian.Uint64(data[i:])
			quote, backslash := w^ones*'"', w^ones*'\\'
			stop := ((quote-ones)&^quote | (backslash-ones)&^backslash | (w-ones*0x20)&^w) & highs
			if stop != 0 {
				n := bits.TrailingZeros64(stop) / 8
				if w&(1<<(8*n)-1)&highs != 0 {
					high |= utf8.RuneSelf
				}
				i += n
				break
			}
			if w&highs != 0 {
				high |= utf8.RuneSelf
			}
			i += 8
		}
		if i >= len(data) {
			return i, high, "it ends inside a string"
		}
		switch c := data[i]; {
		case c == '"':
			return i + 1, high, ""
		case c == '\\':
			if i++; i >= len(data) {
				return i, high, "it ends inside a string"
			}
			switch data[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for range 4 {
					if i++; i >= len(data) {
						return i, high, "it ends inside a string"
					}
					if !isHex(data[i]) {
						return i, high, `\u must be followed by four hexadecimal digits`
					}
				}
			default:
				return i, high, `unknown escape \` + string(rune(data[i]&0x7F))
			}
		case c < 0x20:
			return i, high, fmt.Sprintf("a control character (%U) inside a string", c)
		default:
			high |= c
		}
		i++
	}
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

// scanNumber returns where the number at i ends, or where a digit is missing.
func scanNumber(data []byte, i int) (next int, ok bool) {
	if data[i] == '-' {
		i++
	}
	if i < len(data) && data[i] == '0' {
		i++
	} else if i, ok = skipDigits(data, i); !ok {
		return i, false
	}
	if i < len(data) && data[i] == '.' {
		if i, ok = skipDigits(data, i+1); !ok {
			return i, false
		}
	}
	if i < len(data) && data[i]|0x20 == 'e' {
		if i++; i < len(data) && (data[i] == '+' || data[i] == '-') {
			i++
		}
		return skipDigits(data, i)
	}
	return i, true
}

// skipDigits passes over digits and reports whether there was one.
func skipDigits(data []byte, i int) (next int, ok bool) {
	from := i
	for i < len(data) && data[i]-'0' <= 9 {
		i++
	}
	return i, i > from
}

// character names the first character of data for people.
func character(data []byte) string {
	r, size := utf8.DecodeRune(data)
	if r == utf8.RuneError && size == 1 {
		return fmt.Sprintf("the byte 0x%02X", data[0])
	}
	return strconv.QuoteRune(r)
}

// appendString appends s as a JSON string. What is not UTF-8 in it becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[from:i]...), "\uFFFD"...)
				from = i + 1
			}
			i += size
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}
