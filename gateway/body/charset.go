package body

import (
	"bytes"
	"fmt"
	"regexp"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
)

// decoder turns the bytes of a body into UTF-8.
type decoder struct {
	// encoding is nil for UTF-8.
	encoding encoding.Encoding
	name     string
}

// charset returns the decoder for the charset parameter of a Content-Type, ""
// for none. note says that the name is unknown; then it is UTF-8.
func charset(name string) (d decoder, note string) {
	if name == "" {
		return decoder{}, ""
	}
	e, err := htmlindex.Get(name)
	if err != nil {
		return decoder{}, fmt.Sprintf("unknown charset %.40q, read as UTF-8", name)
	}
	if e == unicode.UTF8 {
		return decoder{}, ""
	}
	return decoder{e, name}, ""
}

// text decodes raw. As in a browser, a byte order mark in front goes before what d
// says, and is left out. Bytes that do not decode become U+FFFD; the note says so.
func (d decoder) text(raw []byte) (text []byte, note string) {
	switch {
	case bytes.HasPrefix(raw, []byte("\xEF\xBB\xBF")):
		d, raw = decoder{}, raw[3:]
	case bytes.HasPrefix(raw, []byte("\xFE\xFF")):
		d, raw = decoder{unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), "UTF-16BE"}, raw[2:]
	case bytes.HasPrefix(raw, []byte("\xFF\xFE")):
		d, raw = decoder{unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), "UTF-16LE"}, raw[2:]
	}
	if d.encoding == nil {
		if utf8.Valid(raw) {
			return raw, ""
		}
		text, _ = unicode.UTF8.NewDecoder().Bytes(raw)
		return text, "bytes that are not UTF-8 were replaced by U+FFFD"
	}
	text, err := d.encoding.NewDecoder().Bytes(raw)
	if err != nil || !utf8.Valid(text) {
		text = bytes.ToValidUTF8(text, []byte("\uFFFD"))
		return text, fmt.Sprintf("bytes that are not %.40s were replaced by U+FFFD", d.name)
	}
	return text, ""
}

// string decodes a part of a form, where byte order marks mean nothing.
func (d decoder) string(s string) string {
	if d.encoding == nil {
		return s
	}
	text, err := d.encoding.NewDecoder().String(s)
	if err != nil {
		return s
	}
	return text
}

// xmlEncoding finds the encoding that an XML declaration names.
var xmlEncoding = regexp.MustCompile(`^<\?xml[^>]{0,60}\sencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']`)
