package body

import (
	"bytes"
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"
)

// Parse parses raw by contentType, the value of the Content-Type header ("" when
// there was none):
//
//   - application/json, text/json and anything ending in +json is JSON.
//   - application/x-www-form-urlencoded and multipart/form-data become an object; see Query and the limits.
//     A file of a multipart body is {"filename", "contentType", "size", "base64"}.
//   - Without a Content-Type, and for application/octet-stream, what is valid JSON and
//     begins with { or [ is JSON.
//   - Everything else is text if it is text: decoded by its charset parameter, by the declaration of an
//     XML document, or as UTF-8. text/plain is always text, also when it looks like JSON.
//
// It never fails: a body that does not parse has Kind None and a Note. An empty
// body has Kind None without one. raw must not change as long as the result is used.
//
// A JSON body is checked, but not copied: JSON is a part of raw, also where strings
// in it are not UTF-8 (Note says so; JSON.parse sees U+FFFD there). A byte order mark in front is passed over.
// A charset parameter counts only when the body is not JSON in UTF-8, which by RFC 8259 it has to be.
func Parse(contentType string, raw []byte) *Parsed {
	if len(raw) == 0 {
		return &Parsed{}
	}
	if contentType == "application/json" {
		return parseJSON(raw, "")
	}
	kind, parameters := mediaType(contentType)
	switch {
	case kind == "application/json" || kind == "text/json" || strings.HasSuffix(kind, "+json"):
		return parseJSON(raw, parameters["charset"])
	case kind == "application/x-www-form-urlencoded":
		return parseForm(raw, parameters["charset"])
	case kind == "multipart/form-data":
		return parseMultipart(raw, parameters["boundary"], parameters["charset"])
	case kind == "" || kind == "application/octet-stream":
		if p := sniff(raw); p != nil {
			return p
		}
		if !utf8.Valid(raw) {
			return &Parsed{Note: "the Content-Type says nothing and the body is neither JSON nor text in UTF-8"}
		}
	}
	isXML := kind == "application/xml" || kind == "text/xml" || strings.HasSuffix(kind, "+xml")
	isText := isXML || strings.HasPrefix(kind, "text/") || parameters["charset"] != ""
	if !isText && !utf8.Valid(raw) {
		return &Parsed{Note: fmt.Sprintf("the body is %.80s, which is not text; its bytes are in rawBytes", kind)}
	}
	name := parameters["charset"]
	if m := xmlEncoding.FindSubmatch(raw[:min(len(raw), 256)]); isXML && name == "" && m != nil {
		name = string(m[1])
	}
	d, unknown := charset(name)
	text, note := d.text(raw)
	return &Parsed{Kind: Text, Text: string(text), Note: join(unknown, note)}
}

// mediaType splits a Content-Type. What is wrong behind the type is passed over.
func mediaType(contentType string) (kind string, parameters map[string]string) {
	kind, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		kind, _, _ = strings.Cut(contentType, ";")
		kind = strings.ToLower(strings.TrimSpace(kind))
	}
	return kind, parameters
}

// ofBodies are the limits of JSON bodies. Parsed.Index has up to 16,384 containers, some 200 KB: a body can have as many as a third
// of its bytes, and then their index is larger than it, so whoever needs that one makes it.
var ofBodies = limits{known: 16 << 10, containers: MaxContainers, values: MaxValues}

func parseJSON(raw []byte, charsetName string) *Parsed {
	note := ""
	skip := 0
	if bytes.HasPrefix(raw, []byte("\xEF\xBB\xBF")) {
		skip, note = 3, "a byte order mark in front was passed over"
	}
	index := newIndex(len(raw))
	start, end, ascii, mistake := scanJSON(raw[skip:], &index, ofBodies)
	if mistake == nil && (ascii || charsetName == "" || utf8.Valid(raw)) {
		if start > 0 { // the index counts from the space in front
			index = nil
		}
		start, end = start+skip, end+skip
		if !ascii && !utf8.Valid(raw[start:end]) {
			note = join(note, "strings in the JSON contain bytes that are not UTF-8")
		}
		return &Parsed{Kind: JSON, JSON: raw[start:end:end], Raw: true, Offset: start, Index: index, Note: note}
	}
	// What is not UTF-8 may be in another charset, named or shown by its byte order mark.
	d, unknown := charset(charsetName)
	utf16 := bytes.HasPrefix(raw, []byte("\xFE\xFF")) || bytes.HasPrefix(raw, []byte("\xFF\xFE"))
	if d.encoding != nil && skip == 0 || utf16 {
		text, replaced := d.text(raw)
		text = bytes.TrimPrefix(text, []byte("\uFEFF"))
		if start, end, _, m := scanJSON(text, nil, ofBodies); m == nil {
			return &Parsed{Kind: JSON, JSON: text[start:end:end], Note: join("decoded from another charset than UTF-8", replaced)}
		} else if mistake == nil || m.OverLimit {
			mistake = m
		}
	}
	if mistake == nil { // JSON, but its charset is unknown
		start, end = start+skip, end+skip
		return &Parsed{Kind: JSON, JSON: raw[start:end:end], Raw: true, Offset: start, Note: join(note, unknown)}
	}
	mistake.Offset += skip
	why := "body is not valid JSON: "
	if mistake.OverLimit {
		why = "the JSON was not parsed: "
	}
	return &Parsed{Note: join(why+mistake.Error(), unknown), OverLimit: mistake.OverLimit}
}

// sniff returns raw parsed as JSON when it is an object or array, else nil.
func sniff(raw []byte) *Parsed {
	text := bytes.TrimPrefix(raw, []byte("\xEF\xBB\xBF"))
	if i := skipSpace(text, 0); i == len(text) || text[i] != '{' && text[i] != '[' {
		return nil
	}
	if p := parseJSON(raw, ""); p.Kind == JSON || p.OverLimit {
		return p
	}
	return nil
}

func join(notes ...string) string {
	text := ""
	for _, n := range notes {
		switch {
		case n == "":
		case text == "":
			text = n
		default:
			text += "; " + n
		}
	}
	return text
}
