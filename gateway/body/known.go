package body

import (
	"mime"
	"slices"
	"strings"
)

// known are the media types that webhooks come with and are answered with, as people write them by hand. Those with
// a suffix (+json, +xml) and vendors' own are known too.
var known = []string{
	"application/json", "application/x-www-form-urlencoded", "application/xml", "application/octet-stream", "application/problem+json",
	"application/x-ndjson", "application/ndjson", "application/jsonlines", "application/jose", "application/jwt", "application/javascript", "application/pdf",
	"application/msgpack", "application/x-msgpack", "application/protobuf", "application/x-protobuf", "application/grpc", "application/cbor",
	"application/yaml", "application/x-yaml", "application/zip", "application/gzip", "application/pkcs7-mime", "application/edi-x12", "application/edifact",
	"application/avro", "application/sql", "application/graphql", "application/wasm", "application/rtf", "application/csv", "application/json-seq",
	"multipart/form-data", "multipart/mixed", "multipart/related", "multipart/alternative", "message/rfc822", "message/delivery-status",
	"text/plain", "text/html", "text/xml", "text/json", "text/csv", "text/css", "text/javascript", "text/markdown", "text/calendar", "text/vcard", "text/event-stream", "text/yaml",
}

// UnknownType tells whether a Content-Type is not well formed, or of a media type that nobody has
// registered or uses, which then is a slip as a rule; names are candidates for what was meant.
func UnknownType(contentType string) (unknown bool, names []string) {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		kind, _, _ = strings.Cut(strings.ToLower(contentType), ";")
	}
	top, sub, ok := strings.Cut(strings.TrimSpace(kind), "/")
	switch {
	case !ok || sub == "":
		return true, known
	case slices.Contains([]string{"image", "audio", "video", "font", "model"}, top):
		return false, nil
	case slices.Contains(known, top+"/"+sub):
		return false, nil
	case slices.Contains([]string{"application", "text", "multipart", "message"}, top):
		vendor := strings.HasPrefix(sub, "vnd.") || strings.HasPrefix(sub, "x-") || strings.HasPrefix(sub, "x.") || strings.HasPrefix(sub, "prs.")
		suffix := sub[strings.LastIndexByte(sub, '+')+1:]
		if vendor || suffix != sub && slices.Contains([]string{"json", "xml", "yaml", "cbor", "zip", "gzip", "ber", "der", "jwt"}, suffix) {
			return false, nil
		}
		if extensions, err := mime.ExtensionsByType(top + "/" + sub); err == nil && len(extensions) > 0 {
			return false, nil
		}
	}
	return true, known
}
