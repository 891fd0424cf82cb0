package config

import (
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// Secret is a string that does not show itself: however it is printed,
// logged or encoded, it is "[secret]", or "" when it is empty.
type Secret struct{ value string }

// NewSecret wraps a string.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the string. Do not log it.
func (s Secret) Reveal() string { return s.value }

// IsSet reports whether the secret is not empty.
func (s Secret) IsSet() bool { return s.value != "" }

func (s Secret) String() string {
	if s.value == "" {
		return ""
	}
	return "[secret]"
}

// Format prints String whatever the verb and the flags.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalText encodes String, for JSON and others.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue logs String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// DecodeNode takes any scalar as it was written, so that a secret of digits
// needs no quotes, and never repeats it.
func (s *Secret) DecodeNode(n *document.Node) diagnostic.List {
	if n.Kind == document.List || n.Kind == document.Map {
		return diagnostic.List{n.Errorf("wrong-type", "expected a string, got %s", n.Kind)}
	}
	s.value = n.Value
	return nil
}

// Size is a number of bytes, at least 0.
type Size int64

// units by name, the longest first so that a suffix is found whole.
var units = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// ParseSize reads "10MiB", "64 KiB", "1.5GB" or "4096".
func ParseSize(s string) (Size, error) {
	number, factor := strings.TrimSpace(s), 1.0
	for _, u := range units {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, factor = strings.TrimRight(rest, " "), u.bytes
			break
		}
	}
	f, err := strconv.ParseFloat(number, 64)
	bytes := f * factor
	if err != nil || strings.ContainsAny(number, "xXpP_+-iInN") || !(bytes >= 0 && bytes < math.MaxInt64) || bytes != math.Trunc(bytes) {
		return 0, fmt.Errorf("%q is not a size", s)
	}
	return Size(bytes), nil
}

func (s Size) String() string {
	for i := 3; i >= 0; i-- {
		if u := Size(units[i].bytes); s >= u && s%u == 0 {
			return strconv.FormatInt(int64(s/u), 10) + units[i].name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// DecodeNode reads a size.
func (s *Size) DecodeNode(n *document.Node) diagnostic.List {
	size, err := ParseSize(n.Value)
	if err != nil || n.Kind == document.List || n.Kind == document.Map || n.Kind == document.Bool {
		d := n.Errorf("bad-size", "this is not a size")
		d.Hint = "a size is a number of bytes with or without a unit, such as 64KiB, 10MiB or 1GB"
		return diagnostic.List{d}
	}
	*s = size
	return nil
}

// DecodeNode reads a URL; a slash at its end is cut off.
func (u *URL) DecodeNode(n *document.Node) diagnostic.List {
	fail := func(message string) diagnostic.List {
		d := n.Errorf("bad-url", "%s", message)
		d.Hint = "such as https://hooks.example.com"
		return diagnostic.List{d}
	}
	if n.Kind != document.String {
		return fail("expected a URL, got " + n.Kind.String())
	}
	parsed, err := url.Parse(strings.TrimRight(n.Value, "/"))
	switch {
	case err != nil:
		return fail("this is not a URL")
	case parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Hostname() == "":
		return fail("expected a URL that begins with http:// or https:// and a host")
	case parsed.User != nil || parsed.RawQuery != "" || parsed.ForceQuery || parsed.Fragment != "":
		return fail("this URL may not have a user, a query or a fragment")
	}
	u.URL = parsed
	return nil
}

// DecodeNode reads a network.
func (p *Prefix) DecodeNode(n *document.Node) diagnostic.List {
	prefix, err := netip.ParsePrefix(n.Value)
	if err != nil {
		var addr netip.Addr
		if addr, err = netip.ParseAddr(n.Value); err == nil && addr.Zone() == "" {
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		} else {
			d := n.Errorf("bad-network", "this is not a network")
			d.Hint = "a network is written as 10.0.0.0/8 or fd00::/8, a single address as 192.0.2.7"
			return diagnostic.List{d}
		}
	}
	if masked := prefix.Masked(); masked != prefix {
		d := n.Errorf("bad-network", "the network %s has bits set behind its prefix length", prefix)
		d.Hint = "did you mean " + masked.String() + "?"
		return diagnostic.List{d}
	}
	p.Prefix = prefix
	return nil
}
