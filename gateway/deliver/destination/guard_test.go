package destination

import (
	"net/netip"
	"testing"
)

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestForbidden(t *testing.T) {
	for _, addr := range []string{
		"0.0.0.0", "0.1.2.3",
		"10.0.0.1", "10.255.255.255",
		"100.64.0.1", "100.127.255.254",
		"127.0.0.1", "127.1.2.3", "127.255.255.255",
		"169.254.169.254", "169.254.0.1",
		"172.16.0.1", "172.31.255.255",
		"192.0.0.1", "192.0.0.170",
		"192.0.2.1", "198.51.100.7", "203.0.113.9",
		"192.88.99.1",
		"192.168.0.1", "192.168.255.255",
		"198.18.0.1", "198.19.255.255",
		"224.0.0.1", "239.255.255.255",
		"240.0.0.1", "255.255.255.255",
		"::", "::1", "::2",
		"::127.0.0.1", "::8.8.8.8", // IPv4-compatible
		"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0.0.0.0", "::ffff:7f00:1",
		"::ffff:0:127.0.0.1", // translated (SIIT)
		"64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::",
		"64:ff9b:1::1", "64:ff9b:1::7f00:1",
		"100::1",
		"2001::1", "2001:0:7f00:1::", "2001:0:4136:e378:8000:63bf:80ff:fffe", // Teredo
		"2001:2::1", "2001:10::1", "2001:20::1", // benchmarks, ORCHID
		"2001:db8::1", "3fff::1",
		"2002:7f00:1::", "2002:a00:1::1", "2002:808:808::1", // 6to4
		"5f00::1", "4000::1",
		"fc00::1", "fd12:3456::1",
		"fe80::1", "fe80::1%eth0", "febf::1",
		"fec0::1",
		"ff02::1", "ff05::2",
	} {
		if reason := forbidden(netip.MustParseAddr(addr), nil); reason == "" {
			t.Errorf("%s is let through", addr)
		}
		// Listing another network makes no difference.
		if reason := forbidden(netip.MustParseAddr(addr), prefixes("8.8.8.0/24", "2600::/16")); reason == "" {
			t.Errorf("%s is let through by a list it is not in", addr)
		}
	}
	for _, addr := range []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
		"169.253.255.255", "172.15.255.255", "172.32.0.0", "192.0.1.1", "192.167.255.255", "192.169.0.0", "198.17.255.255",
		"198.20.0.0", "223.255.255.255",
		"::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
		"2001:200::1", "2606:4700:4700::1111", "2a00:1450::1", "3ffe::1",
	} {
		if reason := forbidden(netip.MustParseAddr(addr), nil); reason != "" {
			t.Errorf("%s is refused: %s", addr, reason)
		}
	}
}

func TestAllow(t *testing.T) {
	for _, c := range []struct {
		addr, allow string
		want        bool
	}{
		{"127.0.0.1", "127.0.0.0/8", true},
		{"127.0.0.1", "127.0.0.1/32", true},
		{"127.0.0.2", "127.0.0.1/32", false},
		{"10.1.2.3", "127.0.0.0/8", false},
		{"::ffff:127.0.0.1", "127.0.0.0/8", true},
		{"127.0.0.1", "::ffff:127.0.0.0/104", true},
		{"64:ff9b::127.0.0.1", "127.0.0.0/8", true},
		{"64:ff9b::10.0.0.1", "64:ff9b::/96", true},
		{"::1", "::1/128", true},
		{"::1", "127.0.0.0/8", false},
		{"::1", "0.0.0.0/0", false},
		{"127.0.0.1", "0.0.0.0/0", true},
		{"127.0.0.1", "::/0", false},
		{"fe80::1%eth0", "fe80::/10", true},
		{"fd00::5", "fd00::/8", true},
		{"2002:7f00:1::", "127.0.0.0/8", false},
		{"2002:7f00:1::", "2002::/16", true},
	} {
		if got := forbidden(netip.MustParseAddr(c.addr), prefixes(c.allow)) == ""; got != c.want {
			t.Errorf("%s with %s allowed: %v, want %v", c.addr, c.allow, got, c.want)
		}
	}
}

func TestAllowKey(t *testing.T) {
	if allowKey(nil) != "" || allowKey(prefixes("10.0.0.0/8")) == allowKey(prefixes("10.0.0.0/9")) ||
		allowKey(prefixes("10.0.0.0/8", "127.0.0.0/8")) != allowKey(prefixes("10.0.0.0/8", "127.0.0.0/8")) {
		t.Error("keys do not tell lists apart")
	}
}
