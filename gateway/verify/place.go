package verify

import (
	"errors"
	"fmt"
	"strings"

	"switchhook/gateway/verify/template"
)

// place is where a signature or token stands: headers, or a reference to a
// query parameter or field.
type place struct {
	headers   []headerName
	reference *template.Reference
}

// headerName is the name of a header, or a pattern: before, any characters, after.
type headerName struct {
	name          string
	before, after string
	pattern       bool
}

func (h headerName) matches(name string) bool {
	if !h.pattern {
		return strings.EqualFold(h.name, name)
	}
	return len(name) >= len(h.before)+len(h.after) &&
		strings.EqualFold(name[:len(h.before)], h.before) && strings.EqualFold(name[len(name)-len(h.after):], h.after)
}

func (p *place) String() string {
	switch {
	case p.reference == nil && len(p.headers) == 1:
		return "header " + p.headers[0].name
	case p.reference == nil:
		names := make([]string, len(p.headers))
		for i, h := range p.headers {
			names[i] = h.name
		}
		return "one of the headers " + strings.Join(names, ", ")
	case p.reference.Kind == template.QueryParameter:
		return "query parameter " + p.reference.Name
	}
	return p.reference.String()
}

// maxCandidates bounds the signatures that are looked at in one request.
const maxCandidates = 128

// values appends what stands at the place: the values of all headers that
// match, or the one value of a reference. The error is a *Rejected.
func (p *place) values(dst []string, c *call) ([]string, error) {
	if p.reference != nil {
		v, err := p.reference.Read(&c.src)
		if err != nil {
			return nil, rejectedBy(err)
		}
		return append(dst, v), nil
	}
	headers := c.src.Request.Headers
	for _, h := range p.headers {
		for i := range headers {
			if h.matches(headers[i].Name) {
				dst = append(dst, headers[i].Value)
			}
		}
	}
	if len(dst) == 0 {
		return nil, &Rejected{Reason: p.String() + " is missing", absent: true}
	}
	return dst, nil
}

// candidates appends the texts of the signatures at the place: values, or
// their parts, that begin with the prefix, without it.
func (r *rule) candidates(dst []string, values []string) ([]string, error) {
	for _, value := range values {
		if r.separator == "" {
			if text, ok := cutPrefix(value, r.prefix); ok {
				dst = append(dst, text)
			}
			continue
		}
		for part := range strings.SplitSeq(value, r.separator) {
			if text, ok := strings.CutPrefix(strings.TrimSpace(part), r.prefix); ok && text != "" {
				dst = append(dst, text)
			}
		}
	}
	switch {
	case len(dst) > maxCandidates:
		return nil, rejected("%s has more than %d signatures", &r.place, maxCandidates)
	case len(dst) > 0:
		return dst, nil
	case r.prefix == "":
		return nil, rejected("%s is empty", &r.place)
	case r.separator == "":
		return nil, rejected("%s does not begin with %q", &r.place, r.prefix)
	}
	return nil, rejected("%s has no part that begins with %q", &r.place, r.prefix)
}

// cutPrefix cuts a prefix off. The name of an authentication scheme, which a
// space ends, may be in any case: RFC 9110, section 11.1.
func cutPrefix(value, prefix string) (string, bool) {
	if strings.HasSuffix(prefix, " ") && len(value) >= len(prefix) && strings.EqualFold(value[:len(prefix)], prefix) {
		return value[len(prefix):], true
	}
	return strings.CutPrefix(value, prefix)
}

func rejected(format string, args ...any) *Rejected {
	return &Rejected{Reason: fmt.Sprintf(format, args...)}
}

// rejectedBy makes a *Rejected of a *template.Unreadable.
func rejectedBy(err error) error {
	var why *template.Unreadable
	if errors.As(err, &why) {
		return &Rejected{Reason: why.Message, absent: why.Absent}
	}
	return err
}
