package body

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strconv"
)

const (
	// MaxParts is how many parts a multipart body may have.
	MaxParts = 1_000
	// maxPartHeader is how many bytes the header of a part may have, and maxPartFields how many fields.
	maxPartHeader = 16 << 10
	maxPartFields = 32
)

// parseMultipart parses a multipart/form-data body (RFC 7578).
func parseMultipart(raw []byte, boundary, charsetName string) *Parsed {
	fail := func(format string, args ...any) *Parsed {
		return &Parsed{Note: "body is not valid multipart/form-data: " + fmt.Sprintf(format, args...)}
	}
	over := func(format string, args ...any) *Parsed {
		return &Parsed{Note: "the form was not parsed: " + fmt.Sprintf(format, args...), OverLimit: true}
	}
	if boundary == "" {
		return fail("the Content-Type names no boundary")
	}
	// The parts are counted first: a million of them would cost memory before they are refused.
	delimiter := []byte("--" + boundary)
	if n := bytes.Count(raw, delimiter); n > MaxParts+1 {
		return over("it has more than %d parts", MaxParts)
	}
	d, note := charset(charsetName)
	f := form{}
	unnamed := 0
	for r := multipart.NewReader(bytes.NewReader(raw), boundary); ; {
		part, err := r.NextPart()
		if err == io.EOF {
			break
		}
		if errors.Is(err, multipart.ErrMessageTooLarge) {
			return over("the header of a part is too large")
		}
		if err != nil {
			return fail("%s", mimeReason(err))
		}
		size, fields := 0, 0
		for name, values := range part.Header {
			for _, v := range values {
				size += len(name) + len(v)
				fields++
			}
		}
		if size > maxPartHeader || fields > maxPartFields {
			return over("the header of a part is larger than %d fields or %d bytes", maxPartFields, maxPartHeader)
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return fail("%s", mimeReason(err))
		}
		disposition, parameters, _ := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		name, named := parameters["name"]
		if disposition != "form-data" || !named {
			unnamed++
			continue
		}
		filename, isFile := parameters["filename"]
		if isFile {
			if base := part.FileName(); base != "" {
				filename = base
			}
			err = f.file(name, filename, part.Header.Get("Content-Type"), content)
		} else {
			decode := d
			if _, p := mediaType(part.Header.Get("Content-Type")); p["charset"] != "" {
				decode, _ = charset(p["charset"])
			}
			if why := f.add(d.string(name), quote(decode.string(string(content)))); why != "" {
				err = errors.New(why)
			}
		}
		if err != nil {
			return over("%s", err)
		}
	}
	switch unnamed {
	case 0:
	case 1:
		note = join(note, "1 part without a name was left out")
	default:
		note = join(note, fmt.Sprintf("%d parts without a name were left out", unnamed))
	}
	return &Parsed{Kind: JSON, JSON: f.json(), Note: note}
}

// file adds a file.
func (f *form) file(name, filename, contentType string, content []byte) error {
	v := append(appendString([]byte(`{"filename":`), filename), `,"contentType":`...)
	if contentType == "" {
		contentType = "application/octet-stream" // RFC 7578, section 4.4, for files
	}
	v = append(appendString(v, contentType), `,"size":`...)
	v = append(strconv.AppendInt(v, int64(len(content)), 10), `,"base64":"`...)
	v = append(base64.StdEncoding.AppendEncode(v, content), `"}`...)
	if why := f.add(name, string(v)); why != "" {
		return errors.New(why)
	}
	return nil
}

// mimeReason says for people why a multipart body could not be read.
func mimeReason(err error) string {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "it ends before its closing boundary"
	}
	return err.Error()
}
