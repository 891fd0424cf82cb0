package weburl_test

import (
	"slices"
	"strings"
	"testing"

	"switchhook/gateway/script/host/weburl"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ input, base, want string }{
		// The examples of the URL Standard, section 4.1 and 4.4.
		{"https:example.org", "", "https://example.org/"},
		{"https://////example.com///", "", "https://example.com///"},
		{"https://example.com/././foo", "", "https://example.com/foo"},
		{"hello:world", "https://example.com", "hello:world"},
		{"https:example.org", "https://example.com", "https://example.com/example.org"},
		{`\example\..\demo/.\`, "https://example.com", "https://example.com/demo/"},
		{"example", "https://example.com/demo", "https://example.com/example"},
		{"file:///C|/demo", "", "file:///C:/demo"},
		{"..", "file:///C:/demo", "file:///C:/"},
		{"file://loc%61lhost/", "", "file:///"},
		{"https://user:password@example.org/", "", "https://user:password@example.org/"},
		{"https://example.org/foo bar", "", "https://example.org/foo%20bar"},
		{"https://EXAMPLE.com/../x", "", "https://example.com/x"},
		{"https://ex ample.org/", "", ""},
		{"example", "", ""},
		{"https://example.com:demo", "", ""},
		{"http://[www.example.com]/", "", ""},
		{"https://example.org//", "", "https://example.org//"},
		{"https://example.com/[]?[]#[]", "", "https://example.com/[]?[]#[]"},
		{"https://example/%?%#%", "", "https://example/%?%#%"},
		{"https://example/%25?%25#%25", "", "https://example/%25?%25#%25"},
		// Where the answer of Node 20 is not the standard's.
		{"foo://../%2E%2e", "", "foo://../"},
		{"x#y", "foo:bar", ""},
		{"#y", "foo:bar", "foo:bar#y"},
		// Hosts.
		{"http://0x7f.1/", "", "http://127.0.0.1/"},
		{"http://[::FFFF:1.2.3.4]/", "", "http://[::ffff:102:304]/"},
		{"http://[1:0:0:2:0:0:0:3]/", "", "http://[1:0:0:2::3]/"},
		{"http://[1:2:3:4:5:6:7::]/", "", "http://[1:2:3:4:5:6:7:0]/"},
		{"http://[0:0:1:0:0:0:0:0]/", "", "http://[0:0:1::]/"},
		{"http://faß.de/", "", "http://xn--fa-hia.de/"},
		{"http://1.2.3.08/", "", ""},
		{"http://a%2fb/", "", ""},
		{"foo://a%2fb/", "", "foo://a%2fb/"},
		{"foo://a|b/", "", ""},
		{"http://user@/x", "", ""},
		{"http://@h/", "", "http://h/"},
		{"non-special:/..//x", "", "non-special:/.//x"},
	} {
		var base *weburl.URL
		if c.base != "" {
			var ok bool
			if base, ok = weburl.Parse(c.base, nil); !ok {
				t.Fatalf("base %q", c.base)
			}
		}
		u, ok := weburl.Parse(c.input, base)
		got := ""
		if ok {
			got = u.Href()
		}
		if got != c.want {
			t.Errorf("%q against %q: got %q, want %q", c.input, c.base, got, c.want)
		}
	}
}

func TestSetters(t *testing.T) {
	for _, c := range []struct {
		start string
		set   func(u *weburl.URL)
		want  string
	}{
		{"http://h:81/a/b?c#d", func(u *weburl.URL) { u.SetPort("a:6") }, "http://h:81/a/b?c#d"},
		{"http://h:81/a", func(u *weburl.URL) { u.SetPort("") }, "http://h/a"},
		{"foo://h:81/a", func(u *weburl.URL) { u.SetHost(":5") }, "foo://h:81/a"},
		{"foo:/a", func(u *weburl.URL) { u.SetHost("h") }, "foo://h/a"},
		{"foo://h/a", func(u *weburl.URL) { u.SetHost("") }, "foo:///a"},
		{"http://h/a?b", func(u *weburl.URL) { u.SetSearch("") }, "http://h/a"},
		{"http://h/a?b", func(u *weburl.URL) { u.SetQuery("x=%20") }, "http://h/a?x=%20"},
		{"mailto:x   ?q", func(u *weburl.URL) { u.SetSearch("") }, "mailto:x"},
		{"http://h", func(u *weburl.URL) { u.SetPathname("../b#c?d") }, "http://h/b%23c%3Fd"},
		{"http://h", func(u *weburl.URL) { u.SetUsername("a@b:c") }, "http://a%40b%3Ac@h/"},
		{"file:///a", func(u *weburl.URL) { u.SetPassword("x") }, "file:///a"},
		{"https://h:80/", func(u *weburl.URL) { u.SetProtocol("http") }, "http://h/"},
	} {
		u, ok := weburl.Parse(c.start, nil)
		if !ok {
			t.Fatal(c.start)
		}
		c.set(u)
		if got := u.Href(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.start, got, c.want)
		}
	}
}

func TestForm(t *testing.T) {
	pairs := weburl.ParseForm("a=1&b=%E4%B8%96+x&&c&=d&e=%zz%ff")
	want := []weburl.Pair{{Name: "a", Value: "1"}, {Name: "b", Value: "世 x"}, {Name: "c"}, {Value: "d"}, {Name: "e", Value: "%zz\ufffd"}}
	if !slices.Equal(pairs, want) {
		t.Errorf("got %q, want %q", pairs, want)
	}
	if got, want := weburl.FormatForm(pairs), "a=1&b=%E4%B8%96+x&c=&=d&e=%25zz%EF%BF%BD"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	sorted := []weburl.Pair{{Name: "\uffff"}, {Name: "b", Value: "1"}, {Name: "\U0001f600"}, {Name: "a"}, {Name: "b", Value: "0"}, {Name: "ab"}}
	weburl.SortPairs(sorted)
	var names []string
	for _, p := range sorted {
		names = append(names, p.Name+p.Value)
	}
	if got, want := strings.Join(names, " "), "a ab b1 b0 \U0001f600 \uffff"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzParse: a parsed URL written and parsed again is the same, whatever was set.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"http://user:pass@EXAMPLE.com:80/a/../b?c=d#e", "file:///C|/x/../..", "foo://h:81/a b?c", "mailto:x   ?q", "http://[::ffff:1.2.3.4]:1/",
		"//h/x", "http:\\\\a\\b", "https://xn--a/ü", "data:,x", "foo:/..//x", "?q", "#f", "http://0x7f.1", "http://a%00b", "http://日本.jp\t/",
	} {
		f.Add(s, "http://base.example/a/b?q#f", "x:81/..?#@[::1]")
		f.Add(s, "file:///C:/x", "")
	}
	f.Fuzz(func(t *testing.T, input, base, value string) {
		input, base, value = strings.ToValidUTF8(input, "?"), strings.ToValidUTF8(base, "?"), strings.ToValidUTF8(value, "?")
		against, ok := weburl.Parse(base, nil)
		if !ok {
			against = nil
		}
		u, ok := weburl.Parse(input, against)
		if !ok {
			return
		}
		stable := func(what string) {
			href := u.Href()
			again, ok := weburl.Parse(href, nil)
			if !ok {
				t.Fatalf("%s of %q: %q is not a URL", what, input, href)
			}
			if again.Href() != href {
				t.Fatalf("%s of %q: %q becomes %q", what, input, href, again.Href())
			}
			for i := 0; i < len(href); i++ {
				// Opaque paths keep their spaces.
				if c := href[i]; c < ' ' || c >= 0x7f {
					t.Fatalf("%s of %q: %q has a byte %#x", what, input, href, c)
				}
			}
		}
		stable("parsing")
		for _, set := range []struct {
			name string
			set  func(string)
		}{
			{"search", u.SetSearch}, {"hash", u.SetHash}, {"port", u.SetPort}, {"username", u.SetUsername}, {"password", u.SetPassword},
			{"hostname", u.SetHostname}, {"host", u.SetHost}, {"pathname", u.SetPathname}, {"protocol", u.SetProtocol},
		} {
			set.set(value)
			stable(set.name)
		}
	})
}

// FuzzForm: pairs survive being written and parsed.
func FuzzForm(f *testing.F) {
	for _, s := range []string{"a=b&c=d", "a+b=%20&%zz", "&&=&=", "%E4%B8%96=%ff", "a=b=c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		pairs := weburl.ParseForm(strings.ToValidUTF8(s, "?"))
		again := weburl.ParseForm(weburl.FormatForm(pairs))
		if !slices.Equal(pairs, again) {
			t.Fatalf("%q becomes %q", pairs, again)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := weburl.Parse("https://hooks.example.com/services/T000/B000?x=1&y=2#z", nil); !ok {
			b.Fatal("not a URL")
		}
	}
}
