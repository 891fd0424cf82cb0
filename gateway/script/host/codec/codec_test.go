package codec_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"switchhook/gateway/script/host/codec"
)

// text is a JavaScript string.
type text []uint16

func (s text) Length() int         { return len(s) }
func (s text) CharAt(i int) uint16 { return s[i] }
func (s text) String() string      { return string(utf16.Decode(s)) }

func of(s string) text { return utf16.Encode([]rune(s)) }

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		s    text
		e    codec.Encoding
		want string
	}{
		{of("aé世😀"), codec.UTF8, "61c3a9e4b896f09f9880"},
		{text{'a', 0xd800}, codec.UTF8, "61efbfbd"},
		{of("aé世"), codec.UTF16LE, "6100e900164e"},
		{of("aé世"), codec.Latin1, "61e916"},
		{of("ab"), codec.Latin1, "6162"},
		{of("aé"), codec.ASCII, "61e9"},
		{of("6162zz63"), codec.Hex, "6162"},
		{of("616"), codec.Hex, "61"},
		{of("YW Jj\n"), codec.Base64, "616263"},
		{of("YQ==YQ=="), codec.Base64, "61"},
		{of("-_8"), codec.Base64, "fbff"},
		{of("+/8="), codec.Base64URL, "fbff"},
		{of("Y"), codec.Base64, ""},
		{of("Yé世Q"), codec.Base64, "61"},
	} {
		if got := hex.EncodeToString(codec.Decode(c.s, c.e)); got != c.want {
			t.Errorf("%q as %d: got %s, want %s", c.s, c.e, got, c.want)
		}
	}
}

func TestEncode(t *testing.T) {
	b := []byte{0x61, 0xe2, 0x82, 0xff}
	for e, want := range map[codec.Encoding]string{
		codec.UTF8: "a\ufffd\ufffd", codec.Latin1: "aâ\u0082ÿ", codec.ASCII: "ab\u0002\u007f",
		codec.Base64: "YeKC/w==", codec.Base64URL: "YeKC_w", codec.Hex: "61e282ff", codec.UTF16LE: "\ue261\uff82",
	} {
		if got := codec.Encode(b, e); got != want {
			t.Errorf("%d: got %q, want %q", e, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	for _, name := range []string{"utf8", "UTF-8", "hex", "Base64URL", "ucs2", "binary", "LATIN1"} {
		if _, ok := codec.Parse(name); !ok {
			t.Errorf("%s is not known", name)
		}
	}
	for _, name := range []string{"", "utf", "utf-32", "base 64"} {
		if _, ok := codec.Parse(name); ok {
			t.Errorf("%q is known", name)
		}
	}
}

// FuzzUTF8: the text is valid, and what was valid in it is unchanged.
func FuzzUTF8(f *testing.F) {
	for _, s := range []string{"a\xe2\x82b", "\xf0\x9f\x98\xf0", "\xed\xa0\x80", "\xc0\x80", "é世😀", "\xf4\x90\x80\x80", "\xef\xbb\xbf"} {
		f.Add([]byte(s), 1)
	}
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		whole := codec.UTF8Text(b)
		if !utf8.ValidString(whole) {
			t.Fatalf("%x becomes %q", b, whole)
		}
		if utf8.Valid(b) && whole != string(b) {
			t.Fatalf("%q becomes %q", b, whole)
		}
		for _, e := range []codec.Encoding{codec.UTF8, codec.UTF16LE, codec.Base64} {
			// Chunks of any size give the same as the whole.
			stream := codec.Stream{Encoding: e}
			got := ""
			step := cut%7 + 8
			for i := 0; i < len(b); i += step {
				got += codec.Encode(stream.Next(b[i:min(i+step, len(b))]), e)
			}
			got += codec.Encode(stream.Rest(), e)
			if want := codec.Encode(b, e); got != want {
				t.Fatalf("%x in chunks of %d as %d: got %q, want %q", b, step, e, got, want)
			}
		}
	})
}

// FuzzDecode: what is encoded decodes to itself, and what is not is bounded.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{"YWJj", "YQ==", "-_8", "616263", "=Y=", "Y W\nJj", "\u0661"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := []byte(s)
		for _, e := range []codec.Encoding{codec.Base64, codec.Base64URL, codec.Hex, codec.Latin1} {
			if got := codec.Bytes(of(codec.Encode(b, e)), e); !bytes.Equal(got, b) {
				t.Fatalf("%d: %x becomes %x", e, b, got)
			}
			units := of(s)
			if got := codec.Bytes(units, e); len(got) > len(units) {
				t.Fatalf("%d: %d units become %d bytes", e, len(units), len(got))
			}
		}
		if want, err := base64.StdEncoding.Strict().DecodeString(s); err == nil {
			if got := codec.Decode(of(s), codec.Base64); !bytes.Equal(got, want) {
				t.Fatalf("%q: got %x, want %x", s, got, want)
			}
		}
	})
}
