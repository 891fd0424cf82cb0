package weburl

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxHost bounds what is worth mapping and encoding: no host of a URL that
// works is longer than 253 bytes, and the work per label is more than linear.
const maxHost = 4096

// domains maps names as the URL Standard's "domain to ASCII" asks with beStrict false.
var domains = idna.New(
	idna.MapForLookup(),
	idna.Transitional(false),
	idna.StrictDomainName(false),
	idna.CheckHyphens(false),
	idna.CheckJoiners(true),
	idna.BidiRule(),
	idna.VerifyDNSLength(false),
)

// display maps back for DomainToUnicode.
var display = idna.New(
	idna.MapForLookup(),
	idna.Transitional(false),
	idna.StrictDomainName(false),
	idna.CheckHyphens(false),
	idna.VerifyDNSLength(false),
)

// forbiddenHost are the ASCII characters that no host may have, and forbiddenDomain those
// that no host of a special scheme may have.
var (
	forbiddenHost   = newSet(set{}, "\x00\t\n\r #/:<>?@[\\]^|")
	forbiddenDomain = newSet(newSet(setControl, string(forbiddenChars)), "%")
	forbiddenChars  = []byte("\x00\t\n\r #/:<>?@[\\]^|")
)

func parseHost(s string, special bool) (string, bool) {
	if strings.HasPrefix(s, "[") {
		if !strings.HasSuffix(s, "]") {
			return "", false
		}
		return parseIPv6(s[1 : len(s)-1])
	}
	if !special {
		for i := 0; i < len(s); i++ {
			if s[i] < 0x80 && forbiddenHost.has(s[i]) {
				return "", false
			}
		}
		return escape(s, setControl), true
	}
	s = unescape(s)
	host, ok := domainToASCII(s)
	if !ok || host == "" {
		return "", false
	}
	for i := 0; i < len(host); i++ {
		if forbiddenDomain.has(host[i]) {
			return "", false
		}
	}
	if endsInNumber(host) {
		return parseIPv4(host)
	}
	return host, true
}

func domainToASCII(s string) (string, bool) {
	plain := true
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			plain = false
			break
		}
	}
	if plain {
		s = strings.ToLower(s)
		if !strings.Contains(s, "xn--") {
			return s, true
		}
	}
	if len(s) > maxHost || !utf8.ValidString(s) {
		return "", false
	}
	host, err := domains.ToASCII(s)
	return host, err == nil
}

// DomainToASCII is Node's url.domainToASCII: the empty string for what is no domain.
func DomainToASCII(s string) string {
	if u, ok := Parse("ws://"+s, nil); ok {
		return u.host
	}
	return ""
}

// DomainToUnicode is Node's url.domainToUnicode.
func DomainToUnicode(s string) string {
	host := DomainToASCII(s)
	if host == "" || !strings.Contains(host, "xn--") {
		return host
	}
	if shown, err := display.ToUnicode(host); err == nil {
		return shown
	}
	return host
}

// endsInNumber says whether the last label looks like a number, so that the host must be
// an IPv4 address.
func endsInNumber(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last == "" {
		return false
	}
	digits := true
	for i := 0; i < len(last); i++ {
		if !isDigit(last[i]) {
			digits = false
		}
	}
	if digits {
		return true
	}
	if len(last) >= 2 && last[0] == '0' && last[1]|0x20 == 'x' {
		for i := 2; i < len(last); i++ {
			if hexValue(last[i]) < 0 {
				return false
			}
		}
		return true
	}
	return false
}

func parseIPv4(host string) (string, bool) {
	parts := strings.Split(strings.TrimSuffix(host, "."), ".")
	if len(parts) > 4 {
		return "", false
	}
	var address uint64
	for i, p := range parts {
		n, ok := parseIPv4Number(p)
		if !ok {
			return "", false
		}
		if i < len(parts)-1 {
			if n > 255 {
				return "", false
			}
			address |= n << (8 * (3 - i))
			continue
		}
		if n >= 1<<(8*(5-len(parts))) {
			return "", false
		}
		address |= n
	}
	a := uint32(address)
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)}).String(), true
}

// parseIPv4Number reads a decimal, octal (0...) or hexadecimal (0x...) number.
func parseIPv4Number(s string) (uint64, bool) {
	if s == "" {
		return 0, false
	}
	base := 10
	if len(s) >= 2 && s[0] == '0' {
		if s[1]|0x20 == 'x' {
			s, base = s[2:], 16
		} else {
			s, base = s[1:], 8
		}
		if s == "" {
			return 0, true
		}
	}
	if s[0] == '+' || s[0] == '-' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, base, 64)
	if err != nil {
		if ne, ok := err.(*strconv.NumError); ok && ne.Err == strconv.ErrRange {
			return math.MaxUint64, true
		}
		return 0, false
	}
	return n, true
}

func parseIPv6(s string) (string, bool) {
	// netip wants four digits at most in a group and no zone, as the standard does.
	if strings.IndexByte(s, '%') >= 0 {
		return "", false
	}
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is6() {
		return "", false
	}
	return "[" + formatIPv6(a.As16()) + "]", true
}

// formatIPv6 writes groups of hexadecimal digits only; netip would write the last two of
// a mapped address as IPv4.
func formatIPv6(a [16]byte) string {
	var groups [8]uint16
	for i := range groups {
		groups[i] = uint16(a[2*i])<<8 | uint16(a[2*i+1])
	}
	start, length := -1, 1
	for i := 0; i < 8; i++ {
		j := i
		for j < 8 && groups[j] == 0 {
			j++
		}
		if j-i > length {
			start, length = i, j-i
		}
		i = max(i, j-1)
	}
	var s strings.Builder
	for i := 0; i < 8; i++ {
		if i == start {
			s.WriteString("::")
			i += length - 1
			continue
		}
		if i > 0 && i != start+length {
			s.WriteByte(':')
		} else if i > 0 && start < 0 {
			s.WriteByte(':')
		}
		s.WriteString(strconv.FormatUint(uint64(groups[i]), 16))
	}
	return s.String()
}
