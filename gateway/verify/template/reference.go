package template

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// Kind is what a reference refers to; a set of kinds is their bits together.
type Kind uint32

// The kinds. The first six have a name or path behind a dot, the others are words.
const (
	Header Kind = 1 << iota
	QueryParameter
	BodyField
	Item
	Parameter
	State
	// Body is the body's bytes as they came.
	Body
	// URL is the public URL as the provider called it.
	URL
	// DecodedURL is URL with the percent-encodings of :/?@!$'()*,; undone, and no others.
	DecodedURL
	Method
	// URLPath is the path of the URL as it came.
	URLPath
	// Query is the query as it came, without the question mark.
	Query
	// SortedForm is the fields of a form body, sorted by name: each name
	// followed by its value, with nothing between; a repeated field's values
	// sorted, each once. A body that is no form is an error, an empty one is empty.
	SortedForm
	// BodySHA256 is the SHA-256 of the body in lower-case hex.
	BodySHA256
	// BodyCRC32 is the CRC-32 (IEEE) of the body in decimal.
	BodyCRC32
	// QueryHash is the query string hash of Atlassian Connect, "qsh": the SHA-256
	// in hex of METHOD&path&query, the query sorted and without the parameter "jwt".
	// https://developer.atlassian.com/cloud/confluence/understanding-jwt/
	QueryHash
	// Timestamp is the timestamp of the request as it was sent.
	Timestamp
	// Secret is the secret being tried.
	Secret
)

// Request is all kinds that only need the request and its body.
const Request = Header | QueryParameter | BodyField | Body | URL | DecodedURL | Method | URLPath | Query | SortedForm | BodySHA256 | BodyCRC32 | QueryHash

var words = map[string]Kind{
	"body": Body, "url": URL, "decodedUrl": DecodedURL, "method": Method, "path": URLPath, "query": Query,
	"sortedForm": SortedForm, "bodySHA256": BodySHA256, "bodyCRC32": BodyCRC32, "qsh": QueryHash,
	"timestamp": Timestamp, "secret": Secret, "item": Item,
}

var prefixes = map[string]Kind{
	"header": Header, "query": QueryParameter, "body": BodyField, "item": Item, "parameters": Parameter, "state": State,
}

// slips are words that people use for what is called otherwise here.
var slips = map[string]string{
	"headers": "header.NAME", "parameter": "parameters.NAME", "params": "parameters.NAME", "data": "body.PATH", "json": "body.PATH",
	"rawBody": "body", "payload": "body", "ts": "timestamp", "uri": "url", "id": "header.NAME", "crc32": "bodyCRC32", "sha256": "bodySHA256",
}

var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Words are the references of the allowed kinds, as they are written, sorted.
func Words(allowed Kind) []string {
	var list []string
	for word, k := range words {
		if allowed&k != 0 {
			list = append(list, word)
		}
	}
	for word, k := range prefixes {
		if allowed&k != 0 {
			name := ".NAME"
			if k&(BodyField|Item) != 0 {
				name = ".PATH"
			}
			list = append(list, word+name)
		}
	}
	slices.Sort(list)
	return list
}

// Reference names one place. It is immutable.
type Reference struct {
	Kind Kind
	// Name of a header, query parameter or remembered value, as it was written.
	Name string
	// Path of a body field, item or parameter.
	Path Path
	// Optional: what is absent is empty.
	Optional bool
	text     string
}

// ParseReference reads the reference in n, a string (or the key of a map). It
// is nil when the list has errors.
func ParseReference(n *document.Node, allowed Kind) (*Reference, diagnostic.List) {
	var text string
	if list := n.Decode(&text); list.HasErrors() {
		return nil, list
	}
	r, mistakes := parseReference(text, allowed)
	if len(mistakes) > 0 {
		return nil, diagnose(n, mistakes)
	}
	return r, nil
}

// IsReference reports whether text has the form of a reference to something
// with a name, such as parameters.secret; it may still be wrong.
func IsReference(text string) bool {
	prefix, name, dotted := strings.Cut(text, ".")
	return dotted && name != "" && prefixes[prefix] != 0 && !strings.ContainsAny(text, "{} ")
}

// Slip returns a hint for text that was meant to be a reference with a name, and
// is none because of a slip, such as parameter.secret; "" for other text.
func Slip(text string) string {
	prefix, name, dotted := strings.Cut(text, ".")
	if !dotted || name == "" || IsReference(text) || strings.ContainsAny(text, "{}/:@ ") {
		return ""
	}
	near := diagnostic.Nearest(prefix, slices.Collect(maps.Keys(prefixes)))
	if near == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", near+"."+name)
}

// ParseHeader returns a reference to a header field.
func ParseHeader(n *document.Node) (*Reference, diagnostic.List) { return named(n, "header", Header) }

// ParseQuery returns a reference to a query parameter.
func ParseQuery(n *document.Node) (*Reference, diagnostic.List) {
	return named(n, "query", QueryParameter)
}

// ParseField returns a reference to a field by its path: of the body, or, with
// item, of an item of it.
func ParseField(n *document.Node, item bool) (*Reference, diagnostic.List) {
	if item {
		return named(n, "item", Item)
	}
	return named(n, "body", BodyField)
}

func named(n *document.Node, prefix string, k Kind) (*Reference, diagnostic.List) {
	var text string
	if list := n.Decode(&text); list.HasErrors() {
		return nil, list
	}
	if text == "" {
		return nil, diagnostic.List{n.Errorf("empty", "this must not be empty")}
	}
	r, mistakes := parseReference(prefix+"."+text, k)
	for i := range mistakes {
		mistakes[i].offset = max(0, mistakes[i].offset-len(prefix)-1)
		mistakes[i].length = min(mistakes[i].length, len(text)-mistakes[i].offset)
	}
	if len(mistakes) > 0 {
		return nil, diagnose(n, mistakes)
	}
	return r, nil
}

// ParseEach reads the path in n, which must have a [*].
func ParseEach(n *document.Node) (Path, diagnostic.List) {
	var text string
	if list := n.Decode(&text); list.HasErrors() {
		return Path{}, list
	}
	p, bad := parsePath(text, true)
	if bad == nil && !p.IsEach() {
		bad = &mistake{0, len(text), "the path must have a [*], which stands for all items of a list", "such as items[*]"}
	}
	if bad != nil {
		return p, diagnose(n, []mistake{*bad})
	}
	return p, nil
}

func parseReference(text string, allowed Kind) (*Reference, []mistake) {
	whole := func(message, hint string) (*Reference, []mistake) {
		return nil, []mistake{{0, len(text), message, hint}}
	}
	r := &Reference{text: text}
	rest, optional := strings.CutSuffix(text, "?")
	r.Optional = optional
	if strings.TrimSpace(rest) != rest || rest == "" {
		return whole(fmt.Sprintf("expected a reference, got %q", text), known(allowed))
	}
	if k, ok := words[rest]; ok {
		if allowed&k == 0 {
			return whole(fmt.Sprintf("%q has no meaning here", rest), known(allowed))
		}
		r.Kind = k
		return r, nil
	}
	prefix, name, _ := strings.Cut(rest, ".")
	if at := strings.IndexByte(prefix, '['); at >= 0 { // body[0].x
		prefix, name = rest[:at], rest[at:]
	}
	k, ok := prefixes[prefix]
	if !ok {
		hint := diagnostic.DidYouMean(rest, slices.Collect(maps.Keys(words)))
		if hint == "" {
			if near := diagnostic.Nearest(prefix, slices.Collect(maps.Keys(prefixes))); near != "" && name != "" {
				hint = fmt.Sprintf("did you mean %q?", near+"."+name)
			} else if slip := slips[prefix]; slip != "" {
				hint = fmt.Sprintf("did you mean %q?", slip)
			} else if allowed&BodyField != 0 && plainName.MatchString(rest) {
				hint = fmt.Sprintf("did you mean %q, or \"query.%s\"?", "body."+rest, rest)
			} else {
				hint = known(allowed)
			}
		}
		return whole(fmt.Sprintf("%q is not a reference", rest), hint)
	}
	if allowed&k == 0 {
		return whole(fmt.Sprintf("%s.* has no meaning here", prefix), known(allowed))
	}
	r.Kind, r.Name = k, name
	offset := len(rest) - len(name)
	switch {
	case name == "":
		return whole(fmt.Sprintf("%q needs a name behind a dot", prefix), fmt.Sprintf("such as %s.name", prefix))
	case k == Header && strings.ContainsFunc(name, notInToken):
		at := strings.IndexFunc(name, notInToken)
		return nil, []mistake{{offset + at, 1, fmt.Sprintf("a header's name cannot contain %q", []rune(name[at:])[0]), ""}}
	case k&(BodyField|Item|Parameter) != 0:
		path, bad := parsePath(name, false)
		if bad != nil {
			bad.offset += offset
			return nil, []mistake{*bad}
		}
		if _, plain := path.Keys(); k == Parameter && !plain {
			return nil, []mistake{{offset, len(name), "a parameter is named by keys with dots between them", ""}}
		}
		r.Path, r.Name = path, ""
	}
	return r, nil
}

// notInToken reports characters that RFC 9110 section 5.6.2 does not allow in a header's name.
func notInToken(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c < 0x80 && strings.ContainsRune("!#$%&'*+-.^_`|~", c))
}

func known(allowed Kind) string {
	return "there are: " + strings.Join(Words(allowed), ", ")
}

// String is the reference as it was written.
func (r *Reference) String() string { return r.text }

// ParameterName is the parameter that the reference is to, or is within; "" for other kinds.
func (r *Reference) ParameterName() string {
	if r.Kind != Parameter {
		return ""
	}
	return r.Path.steps[0].key
}
