package match

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// This file has the rules of ECMAScript that filters are defined by.
// https://tc39.es/ecma262/#sec-islooselyequal and following.

func isObject(v gjson.Result) bool { return v.Type == gjson.JSON && v.Raw[0] == '{' }
func isArray(v gjson.Result) bool  { return v.Type == gjson.JSON && v.Raw[0] == '[' }
func isNull(v gjson.Result) bool   { return v.Type == gjson.Null && v.Raw != "" }
func isBool(v gjson.Result) bool   { return v.Type == gjson.True || v.Type == gjson.False }

// looseEqual is == between primitives; null equals null only.
func looseEqual(a, b gjson.Result) bool {
	switch {
	case a.Type == gjson.JSON || b.Type == gjson.JSON || !a.Exists() || !b.Exists():
		return false
	case a.Type == gjson.Null || b.Type == gjson.Null:
		return a.Type == b.Type
	case a.Type == gjson.String && b.Type == gjson.String:
		return a.Str == b.Str
	}
	return toNumber(a) == toNumber(b)
}

// toNumber is Number(v) of a primitive.
func toNumber(v gjson.Result) float64 {
	switch v.Type {
	case gjson.Number:
		return v.Num
	case gjson.True:
		return 1
	case gjson.String:
		return stringToNumber(v.Str)
	}
	return 0
}

func stringToNumber(s string) float64 {
	s = strings.TrimFunc(s, isSpace)
	if s == "" {
		return 0
	}
	if len(s) > 2 && s[0] == '0' {
		if base := map[byte]int{'x': 16, 'o': 8, 'b': 2}[s[1]|0x20]; base != 0 {
			return digitsToNumber(s[2:], base)
		}
	}
	digit := false
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digit = true
		case c != '.' && c != '+' && c != '-' && c|0x20 != 'e':
			if strings.TrimLeft(s, "+-") == "Infinity" && len(s) <= len("+Infinity") {
				return math.Inf(1 - 2*strings.Count(s, "-"))
			}
			return math.NaN()
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	if !digit || err != nil && !math.IsInf(n, 0) {
		return math.NaN()
	}
	return n
}

// digitsToNumber reads digits of a base that is a power of two.
func digitsToNumber(s string, base int) float64 {
	if n, err := strconv.ParseUint(s, base, 53); err == nil && s[0] != '+' {
		return float64(n)
	}
	for i := range len(s) {
		if _, err := strconv.ParseUint(s[i:i+1], base, 8); err != nil {
			return math.NaN()
		}
	}
	// A hexadecimal float is rounded once, as the language wants it.
	switch base {
	case 8, 2:
		var b strings.Builder
		width := 3
		if base == 2 {
			width = 1
		}
		for i := range len(s) {
			d := strconv.FormatUint(uint64(s[i]-'0'), 2)
			b.WriteString(strings.Repeat("0", width-len(d)) + d)
		}
		binary := b.String()
		binary = strings.Repeat("0", (4-len(binary)%4)%4) + binary
		b.Reset()
		for i := 0; i < len(binary); i += 4 {
			n, _ := strconv.ParseUint(binary[i:i+4], 2, 8)
			b.WriteString(strconv.FormatUint(n, 16))
		}
		s = b.String()
	}
	n, err := strconv.ParseFloat("0x"+s+"p0", 64)
	if err != nil && !math.IsInf(n, 0) {
		return math.NaN()
	}
	return n
}

// isSpace is the language's WhiteSpace and LineTerminator.
func isSpace(r rune) bool {
	switch r {
	case '\t', '\n', '\v', '\f', '\r', ' ', 0xA0, 0xFEFF, 0x2028, 0x2029:
		return true
	}
	return r > 0x7F && unicode.Is(unicode.Zs, r)
}

// compareStrings compares by UTF-16 code units, which differs from comparing bytes
// where characters beyond the basic plane meet the last ones in it.
func compareStrings(a, b string) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	for i > 0 && i < len(a) && !utf8.RuneStart(a[i]) {
		i--
	}
	a, b = a[i:], b[i:]
	if a == "" || b == "" {
		return len(a) - len(b)
	}
	r, _ := utf8.DecodeRuneInString(a)
	s, _ := utf8.DecodeRuneInString(b)
	unit := func(r rune) rune {
		if r > 0xFFFF {
			return 0xD800 + (r-0x10000)>>10
		}
		return r
	}
	if u, v := unit(r), unit(s); u != v {
		return int(u - v)
	}
	return int(r - s)
}

// numberText is String(n).
func numberText(n float64) string {
	switch a := math.Abs(n); {
	case n == 0:
		return "0"
	case math.IsInf(n, 0):
		return strings.TrimPrefix(strconv.FormatFloat(n, 'f', -1, 64)[:1]+"Infinity", "+")
	case a >= 1e-6 && a < 1e21:
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	s := strconv.FormatFloat(n, 'e', -1, 64)
	// The language writes e-9 where Go writes e-09.
	if i := len(s) - 2; s[i] == '0' && (s[i-1] == '-' || s[i-1] == '+') {
		s = s[:i] + s[i+1:]
	}
	return s
}

// appendStringified appends a text that is equal for two values when the texts
// of JSON.stringify(JSON.parse(raw)) are. Every byte costs one of budget for each container it is
// in, so that deep nesting ends it: then it reports false.
func appendStringified(dst []byte, v gjson.Result, budget *int) ([]byte, bool) {
	ok := true
	switch v.Type {
	case gjson.String:
		return strconv.AppendQuote(dst, v.Str), true
	case gjson.Number:
		if math.IsInf(v.Num, 0) {
			return append(dst, "null"...), true
		}
		return append(dst, numberText(v.Num)...), true
	case gjson.Null:
		return append(dst, "null"...), true
	case gjson.True, gjson.False:
		return strconv.AppendBool(dst, v.Type == gjson.True), true
	}
	if *budget -= len(v.Raw) + 1; *budget < 0 {
		return dst, false
	}
	if isArray(v) {
		dst = append(dst, '[')
		v.ForEach(func(_, item gjson.Result) bool {
			dst, ok = appendStringified(dst, item, budget)
			dst = append(dst, ',')
			return ok
		})
		return append(dst, ']'), ok
	}
	members := orderedMembers(v)
	dst = append(dst, '{')
	for _, m := range members {
		dst = append(strconv.AppendQuote(dst, m.key), ':')
		if dst, ok = appendStringified(dst, m.value, budget); !ok {
			break
		}
		dst = append(dst, ',')
	}
	return append(dst, '}'), ok
}

type member struct {
	key   string
	value gjson.Result
}

// orderedMembers returns the members of an object as JSON.parse leaves them: of equal keys the last
// value in the place of the first; keys that are array indexes come first, in order.
func orderedMembers(object gjson.Result) []member {
	var members []member
	places := map[string]int{}
	indexes := false
	object.ForEach(func(key, value gjson.Result) bool {
		if i, ok := places[key.Str]; ok {
			members[i].value = value
			return true
		}
		places[key.Str] = len(members)
		members = append(members, member{key.Str, value})
		_, isIndex := arrayIndex(key.Str)
		indexes = indexes || isIndex
		return true
	})
	if indexes {
		slices.SortStableFunc(members, func(a, b member) int {
			i, aIs := arrayIndex(a.key)
			j, bIs := arrayIndex(b.key)
			switch {
			case aIs && bIs:
				return int(i - j)
			case aIs:
				return -1
			case bIs:
				return 1
			}
			return 0
		})
	}
	return members
}

// arrayIndex reports whether a key is a number as an array index is written.
func arrayIndex(key string) (int64, bool) {
	if key == "" || len(key) > 10 || key[0] < '0' || key[0] > '9' || len(key) > 1 && key[0] == '0' {
		return 0, false
	}
	n, err := strconv.ParseInt(key, 10, 64)
	return n, err == nil && n < 1<<32-1
}
