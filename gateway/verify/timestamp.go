package verify

import (
	"strconv"
	"strings"
	"time"

	"switchhook/gateway/verify/template"
)

const (
	defaultTolerance = 5 * time.Minute
	// defaultLeeway is for clocks that differ, in checks of a token's exp, nbf and iat.
	defaultLeeway = 30 * time.Second
)

// unit is how a time is written.
type unit uint8

const (
	seconds unit = iota
	milliseconds
	rfc3339
)

var units = map[string]unit{"s": seconds, "ms": milliseconds, "rfc3339": rfc3339}

// timestamp says where the time of sending stands and how old it may be.
type timestamp struct {
	// reference, or part: the prefix of a part of the signature's header.
	reference *template.Reference
	part      string
	unit      unit
	// tolerance in both directions; 0: not checked.
	tolerance time.Duration
}

// stands reports whether it is known where the timestamp stands.
func (t *timestamp) stands() bool { return t != nil && (t.reference != nil || t.part != "") }

// read returns the time as it was sent, and what it is. values are those of
// the signature's place, separator what parts it.
func (t *timestamp) read(c *call, values []string, separator string) (string, time.Time, error) {
	var text string
	if t.part == "" {
		var err error
		if text, err = t.reference.Read(&c.src); err != nil {
			return "", time.Time{}, rejectedBy(err)
		}
	} else {
		found := false
		for _, value := range values {
			for part := range strings.SplitSeq(value, separator) {
				if v, ok := strings.CutPrefix(strings.TrimSpace(part), t.part); ok {
					if found {
						return "", time.Time{}, rejected("the part %q stands there twice", t.part)
					}
					text, found = v, true
				}
			}
		}
		if !found {
			return "", time.Time{}, rejected("the part %q with the timestamp is missing", t.part)
		}
	}
	at, ok := t.unit.parse(text)
	if !ok {
		return "", time.Time{}, rejected("the timestamp is not %s", t.unit)
	}
	return text, at, nil
}

func (u unit) String() string {
	return [...]string{"a number of seconds", "a number of milliseconds", "a time such as 2026-01-02T03:04:05Z"}[u]
}

func (u unit) parse(text string) (time.Time, bool) {
	if u == rfc3339 {
		at, err := time.Parse(time.RFC3339, text)
		return at, err == nil
	}
	if len(text) == 0 || len(text) > 15 {
		return time.Time{}, false
	}
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return time.Time{}, false
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	if u == milliseconds {
		return time.UnixMilli(n), true
	}
	return time.Unix(n, 0), true
}

func (u unit) format(at time.Time) string {
	switch u {
	case rfc3339:
		return at.UTC().Format(time.RFC3339)
	case milliseconds:
		return strconv.FormatInt(at.UnixMilli(), 10)
	}
	return strconv.FormatInt(at.Unix(), 10)
}

// check reports a time that is too far from now.
func (t *timestamp) check(at, now time.Time) error {
	if t.tolerance == 0 {
		return nil
	}
	// Sub saturates, so that times centuries away stay too far.
	switch age := now.Sub(at); {
	case age > t.tolerance:
		return rejected("the timestamp is %s old, tolerance is %s", shortDuration(age), shortDuration(t.tolerance))
	case age < -t.tolerance:
		return rejected("the timestamp is %s in the future, tolerance is %s", shortDuration(-age), shortDuration(t.tolerance))
	}
	return nil
}

// shortDuration is a duration for people: 12m4s, 5m, 40h, 12 days.
func shortDuration(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 3*day {
		return strconv.Itoa(int(d/day)) + " days"
	}
	if d > time.Second {
		d = d.Round(time.Second)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
