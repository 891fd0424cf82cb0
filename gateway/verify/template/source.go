package template

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"mime"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"switchhook/gateway/body"
	"switchhook/gateway/hook"
)

// Source is what references read. It serves one request, and one goroutine at
// a time; fields may be changed between reads, but not Request and Parsed.
type Source struct {
	Request *hook.Request
	// Parsed returns the parsed body; called only when a reference looks into it.
	Parsed func() *body.Parsed
	// Parameters of the integration, a JSON object; nil: there are none.
	Parameters json.RawMessage
	// State is what the integration remembers.
	State map[string]string
	// Item is what item.* reads.
	Item gjson.Result
	// URL is read in place of Request.URL unless it is empty.
	URL string
	// Timestamp and Secret are what the words say.
	Timestamp, Secret string

	root    gjson.Result
	rootErr error
	looked  bool
	scratch []byte
}

// Unreadable says why there is nothing to read. The message names the place
// and contains nothing of the request or of secrets.
type Unreadable struct {
	Message string
	// Absent: it is not there, as opposed to there in a form that cannot be taken.
	Absent bool
}

func (e *Unreadable) Error() string { return e.Message }

func unreadable(format string, args ...any) error {
	return &Unreadable{Message: fmt.Sprintf(format, args...)}
}

func absent(format string, args ...any) error {
	return &Unreadable{Message: fmt.Sprintf(format, args...), Absent: true}
}

// Reset makes references read the body anew; for callers that changed it.
func (s *Source) Reset() { s.looked, s.root, s.rootErr = false, gjson.Result{}, nil }

// json is the body as JSON.
func (s *Source) json() (gjson.Result, error) {
	if s.looked {
		return s.root, s.rootErr
	}
	s.looked = true
	p := s.Parsed()
	if p.Kind == body.Text {
		// Some providers send JSON as text/plain.
		if again := body.Parse("application/json", []byte(p.Text)); again.Kind == body.JSON {
			p = again
		}
	}
	if p.Kind != body.JSON {
		s.rootErr = absent("the body has no fields: it is empty, or neither JSON nor a form")
		return s.root, s.rootErr
	}
	s.root = gjson.ParseBytes(p.JSON)
	return s.root, nil
}

// JSON is the body as one JSON value, where text that is JSON counts as JSON;
// false when it is none.
func (s *Source) JSON() (json.RawMessage, bool) {
	root, err := s.json()
	return json.RawMessage(root.Raw), err == nil
}

// Value is the JSON value that a reference to a body field, an item or a
// parameter stands for; it may not exist.
func (r *Reference) Value(s *Source) (gjson.Result, error) {
	switch r.Kind {
	case BodyField:
		root, err := s.json()
		if err != nil {
			return root, err
		}
		return r.Path.find(root, "the body")
	case Item:
		return r.Path.find(s.Item, "the body")
	case Parameter:
		return r.Path.find(gjson.ParseBytes(s.Parameters), "the parameters")
	}
	return gjson.Result{}, unreadable("%s is not a JSON value", r.text)
}

// Read returns what the reference refers to: one value, not empty unless the
// request has it so. Strings are as they are, numbers and booleans as they are
// written. The error is a *Unreadable.
func (r *Reference) Read(s *Source) (string, error) {
	text, err := r.read(s)
	if err != nil && r.Optional {
		var why *Unreadable
		if errors.As(err, &why) && why.Absent {
			return "", nil
		}
	}
	return text, err
}

func (r *Reference) read(s *Source) (string, error) {
	switch r.Kind {
	case Header:
		return readHeader(s.Request.Headers, r.Name)
	case QueryParameter:
		return readQuery(s.Request.Query, r.Name)
	case BodyField, Item, Parameter:
		v, err := r.Value(s)
		if err != nil {
			return "", err
		}
		return scalar(v, r.text)
	case State:
		v, ok := s.State[r.Name]
		if !ok {
			return "", absent("%s is not remembered yet", r.text)
		}
		return v, nil
	case Body:
		return string(s.Request.Body), nil
	case URL:
		return s.url(), nil
	case DecodedURL:
		return decodeSome(s.url()), nil
	case Method:
		return s.Request.Method, nil
	case URLPath:
		return s.Request.Path, nil
	case Query:
		return s.Request.Query, nil
	case SortedForm:
		return sortedForm(s.Request)
	case BodySHA256:
		sum := sha256.Sum256(s.Request.Body)
		return hex.EncodeToString(sum[:]), nil
	case BodyCRC32:
		return strconv.FormatUint(uint64(crc32.ChecksumIEEE(s.Request.Body)), 10), nil
	case QueryHash:
		return queryHash(s.Request)
	case Timestamp:
		return s.Timestamp, nil
	case Secret:
		return s.Secret, nil
	}
	return "", unreadable("%s cannot be read here", r.text)
}

func (s *Source) url() string {
	if s.URL != "" {
		return s.URL
	}
	return s.Request.URL
}

func scalar(v gjson.Result, name string) (string, error) {
	switch v.Type {
	case gjson.String:
		return v.Str, nil
	case gjson.Number, gjson.True, gjson.False:
		return v.Raw, nil
	case gjson.JSON:
		what := "a map"
		if v.IsArray() {
			what = "a list"
		}
		return "", unreadable("%s is %s, not a string", name, what)
	}
	return "", absent("%s is missing", name)
}

func readHeader(headers hook.Headers, name string) (string, error) {
	found := -1
	for i := range headers {
		if strings.EqualFold(headers[i].Name, name) {
			if found >= 0 {
				return "", unreadable("header %s stands there twice", name)
			}
			found = i
		}
	}
	if found < 0 {
		return "", absent("header %s is missing", name)
	}
	return headers[found].Value, nil
}

func readQuery(raw, name string) (string, error) {
	value, found := "", false
	for pair := range strings.SplitSeq(raw, "&") {
		k, v, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(k)
		if err != nil || key != name {
			continue
		}
		if found {
			return "", unreadable("query parameter %s stands there twice", name)
		}
		if value, err = url.QueryUnescape(v); err != nil {
			return "", unreadable("query parameter %s is not encoded as one", name)
		}
		found = true
	}
	if !found {
		return "", absent("query parameter %s is missing", name)
	}
	return value, nil
}

func sortedForm(req *hook.Request) (string, error) {
	if len(req.Body) == 0 {
		return "", nil
	}
	// A body that is no form would count as an empty one, and so be unsigned.
	if t, _, err := mime.ParseMediaType(req.Headers.Get("Content-Type")); err != nil || t != "application/x-www-form-urlencoded" {
		return "", unreadable("the body is not a form")
	}
	form, err := url.ParseQuery(string(req.Body))
	if err != nil {
		return "", unreadable("the body is not a well-formed form")
	}
	names := make([]string, 0, len(form))
	for name := range form {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		values := form[name]
		slices.Sort(values)
		for _, v := range slices.Compact(values) {
			b.WriteString(name)
			b.WriteString(v)
		}
	}
	return b.String(), nil
}

// decodeSome undoes the percent-encodings that DecodedURL lists.
func decodeSome(u string) string {
	if !strings.Contains(u, "%") {
		return u
	}
	var b strings.Builder
	for i := 0; i < len(u); i++ {
		if u[i] == '%' && i+2 < len(u) {
			if c, err := strconv.ParseUint(u[i+1:i+3], 16, 8); err == nil && strings.IndexByte(":/?@!$'()*,;", byte(c)) >= 0 {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(u[i])
	}
	return b.String()
}

func queryHash(req *hook.Request) (string, error) {
	query, err := url.ParseQuery(req.Query)
	if err != nil {
		return "", unreadable("the query is not well formed")
	}
	delete(query, "jwt")
	type pair struct{ name, values string }
	var pairs []pair
	for name, values := range query {
		for i := range values {
			values[i] = percentEncode(values[i])
		}
		slices.Sort(values)
		pairs = append(pairs, pair{percentEncode(name), strings.Join(values, ",")})
	}
	slices.SortFunc(pairs, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	path := strings.TrimSuffix(req.Path, "/")
	if path == "" {
		path = "/"
	}
	h := sha256.New()
	io.WriteString(h, strings.ToUpper(req.Method)+"&"+strings.ReplaceAll(path, "&", "%26")+"&")
	for i, p := range pairs {
		if i > 0 {
			io.WriteString(h, "&")
		}
		io.WriteString(h, p.name+"="+p.values)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// percentEncode encodes all but the unreserved characters of RFC 3986.
func percentEncode(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}
