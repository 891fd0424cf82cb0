package weburl

import "strings"

// set is a percent-encode set: which ASCII characters are encoded. All bytes outside of
// ASCII always are.
type set [4]uint32

func newSet(parent set, chars string) set {
	for i := 0; i < len(chars); i++ {
		parent[chars[i]/32] |= 1 << (chars[i] % 32)
	}
	return parent
}

func (s *set) has(c byte) bool {
	return c >= 0x80 || s[c/32]&(1<<(c%32)) != 0
}

// The sets of the URL Standard, section 1.3.
var (
	setControl      = set{0: 0xffffffff, 3: 1 << 31}
	setFragment     = newSet(setControl, " \"<>`")
	setQuery        = newSet(setControl, " \"#<>")
	setSpecialQuery = newSet(setQuery, "'")
	setPath         = newSet(setQuery, "?`{}")
	setUserinfo     = newSet(setPath, "/:;=@[\\]^|")
	setComponent    = newSet(setUserinfo, "$%&+,")
	setForm         = newSet(setComponent, "!'()~")
)

const upperHex = "0123456789ABCDEF"

func escape(s string, set set) string {
	n := 0
	for i := 0; i < len(s); i++ {
		if set.has(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	var out strings.Builder
	out.Grow(len(s) + 2*n)
	for i := 0; i < len(s); i++ {
		c := s[i]
		if set.has(c) {
			out.WriteByte('%')
			out.WriteByte(upperHex[c>>4])
			out.WriteByte(upperHex[c&15])
		} else {
			out.WriteByte(c)
		}
	}
	return out.String()
}

func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// unescape decodes percent-encoded bytes; what is not two hex digits stays.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if high, low := hexValue(s[i+1]), hexValue(s[i+2]); high >= 0 && low >= 0 {
				out = append(out, byte(high<<4|low))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}
