package destination

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// forbiddenError is the refusal of an address by the guard.
type forbiddenError struct {
	addr   netip.Addr
	reason string
}

func (e *forbiddenError) Error() string {
	return fmt.Sprintf("%s is not allowed (%s); to allow it, list its network in the destination's allow", e.addr, e.reason)
}

// special are the networks that are not the public internet, after the IANA
// special-purpose address registries:
// https://www.iana.org/assignments/iana-ipv4-special-registry and
// https://www.iana.org/assignments/iana-ipv6-special-registry.
var special = []struct {
	network netip.Prefix
	reason  string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "this network"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "shared by carriers"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "protocol assignments"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), "6to4 relay"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarks"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("255.255.255.255/32"), "broadcast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},

	{netip.MustParsePrefix("::/128"), "unspecified"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("fc00::/7"), "unique local"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("fec0::/10"), "site-local"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
	{netip.MustParsePrefix("2001::/32"), "Teredo"},
	{netip.MustParsePrefix("2001::/23"), "protocol assignments"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation"},
	{netip.MustParsePrefix("2002::/16"), "6to4"},
	{netip.MustParsePrefix("3fff::/20"), "documentation"},
}

var (
	globalUnicast = netip.MustParsePrefix("2000::/3")
	// nat64 addresses end in an IPv4 address that a translator connects to
	// (RFC 6052). On networks with IPv6 only they are how the public IPv4
	// internet is reached, so the IPv4 address decides.
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

// forbidden returns why an address may not be connected to, "" if it may.
// allow is the destination's list.
func forbidden(addr netip.Addr, allow []netip.Prefix) string {
	addr = addr.WithZone("")
	if allowed(addr, allow) {
		return ""
	}
	addr = addr.Unmap() // ::ffff:a.b.c.d is a.b.c.d to the kernel
	prefix := ""
	if nat64.Contains(addr) {
		b := addr.As16()
		addr, prefix = netip.AddrFrom4([4]byte(b[12:])), "NAT64 of "
	}
	if allowed(addr, allow) {
		return ""
	}
	for _, s := range special {
		if s.network.Contains(addr) {
			return prefix + s.reason
		}
	}
	if addr.Is6() && !globalUnicast.Contains(addr) {
		return "not global unicast"
	}
	return ""
}

func allowed(addr netip.Addr, allow []netip.Prefix) bool {
	for _, p := range allow {
		if p.Contains(addr) {
			return true
		}
		// A prefix written in the mapped form means the IPv4 network.
		if p.Addr().Is4In6() && p.Bits() >= 96 && netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).Contains(addr) {
			return true
		}
	}
	return false
}

// connectTimeout bounds dialing, and a TLS handshake, that nobody waits for
// any more. Attempts have shorter timeouts of their own as a rule.
const connectTimeout = 30 * time.Second

// newDialer returns a dialer that connects to public addresses and to those
// that allow lists.
func newDialer(o Options, allow []netip.Prefix) *net.Dialer {
	return &net.Dialer{
		Timeout:   connectTimeout,
		KeepAlive: 30 * time.Second,
		Resolver:  o.Resolver,
		// Called with the address that is about to be connected to, so a name
		// cannot be one thing when checked and another when used.
		ControlContext: func(_ context.Context, network, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil || !strings.HasPrefix(network, "tcp") {
				return fmt.Errorf("unexpected %s address to connect to", network)
			}
			if reason := forbidden(ap.Addr(), allow); reason != "" {
				return &forbiddenError{ap.Addr(), reason}
			}
			return nil
		},
	}
}

// allowKey is the same for equal lists. Connections are shared only between
// destinations with equal lists: an open connection is not checked again.
func allowKey(allow []netip.Prefix) string {
	if len(allow) == 0 {
		return ""
	}
	var b strings.Builder
	for _, p := range allow {
		b.WriteString(p.String())
		b.WriteByte(' ')
	}
	return b.String()
}
