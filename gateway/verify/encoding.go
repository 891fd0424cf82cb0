package verify

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// encoding is how bytes are written as text.
type encoding uint8

const (
	hexEncoding encoding = iota
	base64Encoding
	base64URLEncoding
	utf8Encoding
)

var encodings = map[string]encoding{"hex": hexEncoding, "base64": base64Encoding, "base64url": base64URLEncoding, "utf8": utf8Encoding}

func (e encoding) String() string { return [...]string{"hex", "base64", "base64url", "text"}[e] }

var errEncoding = errors.New("not so encoded")

// appendDecoded appends the bytes that text stands for. Hex may be in either
// case. Base64 may lack its padding, but has no other freedom: no line breaks, and
// unused bits are zero, so that there is one text for the bytes.
func (e encoding) appendDecoded(dst []byte, text string) ([]byte, error) {
	switch e {
	case hexEncoding:
		dst, err := hex.AppendDecode(dst, []byte(text))
		if err != nil {
			return nil, errEncoding
		}
		return dst, nil
	case base64Encoding, base64URLEncoding:
		if strings.ContainsAny(text, "\r\n") { // which encoding/base64 passes over
			return nil, errEncoding
		}
		raw := strings.TrimRight(text, "=")
		if len(text) != len(raw) && len(text)%4 != 0 || len(text)-len(raw) > 2 {
			return nil, errEncoding
		}
		coder := strictBase64
		if e == base64URLEncoding {
			coder = strictBase64URL
		}
		dst, err := coder.AppendDecode(dst, []byte(raw))
		if err != nil {
			return nil, errEncoding
		}
		return dst, nil
	}
	return append(dst, text...), nil
}

var (
	strictBase64    = base64.RawStdEncoding.Strict()
	strictBase64URL = base64.RawURLEncoding.Strict()
)

func (e encoding) encode(b []byte) string {
	switch e {
	case hexEncoding:
		return hex.EncodeToString(b)
	case base64Encoding:
		return base64.StdEncoding.EncodeToString(b)
	case base64URLEncoding:
		return base64.RawURLEncoding.EncodeToString(b)
	}
	return string(b)
}
