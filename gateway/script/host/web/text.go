package web

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/dop251/goja"
	"golang.org/x/text/encoding/charmap"

	"switchhook/gateway/script/host/bridge"
	"switchhook/gateway/script/host/codec"
)

type encoder struct{}

var textEncoder = &bridge.Class{
	Name: "TextEncoder",
	New:  func(*bridge.Bridge, goja.ConstructorCall) any { return encoder{} },
	Accessors: map[string]bridge.Accessor{
		"encoding": {Get: func(b *bridge.Bridge, _ any) goja.Value { return b.String("utf-8") }},
	},
	Methods: bridge.Members{
		"encode":     bridge.Method(0, encode),
		"encodeInto": bridge.Method(2, encodeInto),
	},
}

// TextEncoder is the class TextEncoder in a runtime.
func TextEncoder(b *bridge.Bridge) *goja.Object { return b.Constructor(textEncoder) }

// TextDecoder is the class TextDecoder in a runtime.
func TextDecoder(b *bridge.Bridge) *goja.Object { return b.Constructor(textDecoder) }

func encode(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	bridge.This[encoder](b, call, "TextEncoder")
	v := call.Argument(0)
	if goja.IsUndefined(v) {
		return b.NewUint8Array(nil)
	}
	return b.NewUint8Array([]byte(b.Scalar(v)))
}

func encodeInto(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	bridge.This[encoder](b, call, "TextEncoder")
	if !goja.IsString(call.Argument(0)) {
		b.BadType("src", "of type string", call.Argument(0))
	}
	dest, ok := b.Uint8(call.Argument(1))
	if !ok {
		b.BadType("dest", "an instance of Uint8Array", call.Argument(1))
	}
	src := b.Scalar(call.Argument(0))
	n := min(len(src), len(dest))
	for n < len(src) && n > 0 && !utf8.RuneStart(src[n]) {
		n--
	}
	copy(dest, src[:n])
	read := 0
	for _, r := range src[:n] {
		if read++; r > 0xffff {
			read++
		}
	}
	return b.Object("read", read, "written", n)
}

// charset is a character set that TextDecoder knows.
type charset uint8

const (
	charsetUTF8 charset = iota
	charsetUTF16LE
	charsetUTF16BE
	charsetWindows1252
)

var charsetNames = [...]string{"utf-8", "utf-16le", "utf-16be", "windows-1252"}

// labels are the labels of the Encoding Standard, section 4.2, for these sets.
var labels = map[string]charset{}

func init() {
	for set, names := range map[charset]string{
		charsetUTF8:    "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8",
		charsetUTF16LE: "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le",
		charsetUTF16BE: "unicodefffe utf-16be",
		charsetWindows1252: "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 " +
			"iso88591 iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252",
	} {
		for name := range strings.FieldsSeq(names) {
			labels[name] = set
		}
	}
}

type decoder struct {
	set              charset
	fatal, ignoreBOM bool
	// stream, and whether the start of the text is behind us, while {stream: true} is in use.
	stream  codec.Stream
	started bool
}

var textDecoder = &bridge.Class{
	Name: "TextDecoder",
	New: func(b *bridge.Bridge, call goja.ConstructorCall) any {
		label := "utf-8"
		if v := call.Argument(0); !goja.IsUndefined(v) {
			label = v.String()
		}
		set, ok := labels[strings.ToLower(strings.Trim(label, "\t\n\f\r "))]
		if !ok {
			b.RangeError("ERR_ENCODING_NOT_SUPPORTED", "The encoding is not supported: %s", bridge.Unknown(label, charsetNames[:]))
		}
		options := call.Argument(1)
		if _, ok := options.(*goja.Object); !ok && !bridge.IsNullish(options) {
			b.BadType("options", "of type object", options)
		}
		d := &decoder{set: set}
		d.fatal = bridge.Property(options, "fatal").ToBoolean()
		d.ignoreBOM = bridge.Property(options, "ignoreBOM").ToBoolean()
		if set == charsetUTF16LE || set == charsetUTF16BE {
			d.stream.Encoding = codec.UTF16LE
		}
		return d
	},
	Accessors: map[string]bridge.Accessor{
		"encoding":  {Get: func(b *bridge.Bridge, s any) goja.Value { return b.String(charsetNames[s.(*decoder).set]) }},
		"fatal":     {Get: func(b *bridge.Bridge, s any) goja.Value { return b.RT.ToValue(s.(*decoder).fatal) }},
		"ignoreBOM": {Get: func(b *bridge.Bridge, s any) goja.Value { return b.RT.ToValue(s.(*decoder).ignoreBOM) }},
	},
	Methods: bridge.Members{"decode": bridge.Method(0, decode)},
}

func decode(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	d := bridge.This[*decoder](b, call, "TextDecoder")
	var data []byte
	if v := call.Argument(0); !goja.IsUndefined(v) {
		var ok bool
		if data, ok = b.BufferSource(v); !ok {
			b.TypeError("ERR_INVALID_ARG_TYPE", "The \"list\" argument must be an instance of SharedArrayBuffer, ArrayBuffer or ArrayBufferView.")
		}
	}
	b.Limit(len(data), bridge.MaxText, "bytes of text")
	more := bridge.Property(call.Argument(1), "stream").ToBoolean()
	if d.set == charsetWindows1252 {
		text, _ := charmap.Windows1252.NewDecoder().Bytes(data)
		return b.String(string(text))
	}
	ready := d.stream.Next(data)
	if !more {
		if rest := d.stream.Rest(); len(rest) > 0 {
			ready = append(ready[:len(ready):len(ready)], rest...)
		}
	}
	var text goja.Value
	var size int
	if d.set == charsetUTF8 {
		if !d.ignoreBOM && !d.started {
			ready = trimBOM(ready, "\xef\xbb\xbf")
		}
		if d.fatal && !utf8.Valid(ready) {
			d.invalid(b)
		}
		size = len(ready)
		text = b.String(codec.UTF8Text(ready))
	} else {
		if d.set == charsetUTF16BE {
			turned := make([]byte, len(ready))
			for i := 0; i+1 < len(ready); i += 2 {
				turned[i], turned[i+1] = ready[i+1], ready[i]
			}
			copy(turned[len(ready)&^1:], ready[len(ready)&^1:])
			ready = turned
		}
		if !d.ignoreBOM && !d.started {
			ready = trimBOM(ready, "\xff\xfe")
		}
		size = len(ready)
		text = d.utf16(b, ready)
	}
	// A byte order mark is looked for until there is text.
	d.started = more && (d.started || size > 0)
	return text
}

func trimBOM(b []byte, bom string) []byte {
	if len(b) >= len(bom) && string(b[:len(bom)]) == bom {
		return b[len(bom):]
	}
	return b
}

func (d *decoder) invalid(b *bridge.Bridge) {
	d.started = false
	d.stream.Rest()
	b.TypeError("ERR_ENCODING_INVALID_ENCODED_DATA", "The encoded data was not valid for encoding %s", charsetNames[d.set])
}

// utf16 decodes UTF-16LE, with U+FFFD for what is alone.
func (d *decoder) utf16(b *bridge.Bridge, data []byte) goja.Value {
	units := codec.UTF16(data)
	bad := len(data)%2 == 1
	for i := 0; i < len(units); i++ {
		switch u := units[i]; {
		case u >= 0xd800 && u < 0xdc00 && i+1 < len(units) && units[i+1] >= 0xdc00 && units[i+1] < 0xe000:
			i++
		case u >= 0xd800 && u < 0xe000:
			units[i] = utf8.RuneError
			bad = true
		}
	}
	if bad && d.fatal {
		d.invalid(b)
	}
	if len(data)%2 == 1 {
		units = append(units, utf8.RuneError)
	}
	return goja.StringFromUTF16(units)
}

// Atob decodes base64 as the web's atob does.
func Atob(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	missing(b, call, "input")
	s := b.Scalar(call.Argument(0))
	s = strings.Map(func(r rune) rune {
		switch r {
		case '\t', '\n', '\f', '\r', ' ':
			return -1
		}
		return r
	}, s)
	if len(s)%4 == 0 {
		s = strings.TrimSuffix(strings.TrimSuffix(s, "="), "=")
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; !(c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/') {
			Throw(b, "InvalidCharacterError", "Invalid character")
		}
	}
	data, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		Throw(b, "InvalidCharacterError", "The string to be decoded is not correctly encoded.")
	}
	return b.Text(data, codec.Latin1)
}

// Btoa encodes base64 as the web's btoa does.
func Btoa(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	missing(b, call, "input")
	s := b.ToString(call.Argument(0))
	b.Limit(s.Length(), bridge.MaxText, "characters")
	data := make([]byte, s.Length())
	for i := range data {
		c := s.CharAt(i)
		if c > 0xff {
			Throw(b, "InvalidCharacterError", "Invalid character")
		}
		data[i] = byte(c)
	}
	return b.Text(data, codec.Base64)
}
