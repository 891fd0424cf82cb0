package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"switchhook/gateway/verify/template"
)

// check is a rule with its parameters.
type check interface {
	// verify returns nil, a *Rejected or a *Unavailable.
	verify(c *call) error
	sign(c *call) error
}

// call is one request being verified or signed.
type call struct {
	ctx context.Context
	now time.Time
	src template.Source

	// for signing
	signer   *signer
	tampered bool
	expired  bool
	// dated: something signed says when it was signed.
	dated bool

	// room that would be allocated otherwise
	valueRoom     [4]string
	candidateRoom [4]string
	signatureRoom [64]byte
	sumRoom       [64]byte
}

// eachItem calls f once, or for every item of path.
func (c *call) eachItem(path *template.Path, f func() error) error {
	if path == nil {
		return f()
	}
	number := 0
	err := path.Walk(&c.src, func(item gjson.Result, _ []int) error {
		number++
		c.src.Item = item
		err := f()
		if r, ok := errors.AsType[*Rejected](err); ok {
			return rejected("item %d: %s", number, r.Reason)
		}
		return err
	})
	return rejectedBy(err)
}

type noneCheck struct{}

func (noneCheck) verify(*call) error { return nil }
func (noneCheck) sign(*call) error   { return nil }

// absentCheck accepts a request that does not have something.
type absentCheck struct{ r *rule }

func (a *absentCheck) verify(c *call) error {
	ref := a.r.place.reference
	if ref.Kind == template.BodyField {
		v, err := ref.Value(&c.src)
		if u, ok := errors.AsType[*template.Unreadable](err); ok && !u.Absent {
			return rejectedBy(err)
		}
		if err == nil && v.Exists() && v.Type != gjson.Null && !(v.IsArray() && len(v.Array()) == 0) {
			return rejected("%s is there", ref)
		}
		return nil
	}
	if _, err := ref.Read(&c.src); isAbsent(err) {
		return nil
	}
	return rejected("%s is there", ref)
}

// sign leaves the request as it is: what it has stays there.
func (a *absentCheck) sign(c *call) error {
	if err := a.verify(c); err != nil {
		return fmt.Errorf("%w: %w", ErrCannotSign, err)
	}
	return nil
}

// anyCheck accepts what one of its checks accepts.
type anyCheck struct {
	checks []check
	names  []string
	// alike: the checks are variants of one scheme, so one reason is enough.
	alike bool
}

func (a *anyCheck) verify(c *call) error {
	var reasons []*Rejected
	var names []string
	var unavailable error
	for i, sub := range a.checks {
		err := sub.verify(c)
		if err == nil {
			return nil
		}
		if r, ok := errors.AsType[*Rejected](err); ok {
			reasons, names = append(reasons, r), append(names, a.names[i])
		} else if unavailable == nil {
			unavailable = err
		}
	}
	if unavailable != nil {
		return unavailable
	}
	if len(reasons) == 1 || a.alike {
		best := reasons[0]
		for _, r := range reasons {
			if best.absent && !r.absent {
				best = r
			}
		}
		return best
	}
	out := &Rejected{absent: true}
	var lines []string
	for i, r := range reasons {
		if line := names[i] + ": " + r.Reason; !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
		out.absent = out.absent && r.absent
	}
	if len(lines) == 1 { // variants of one scheme, to which the same thing is wrong
		out.Reason = reasons[0].Reason
		return out
	}
	out.Reason = fmt.Sprintf("none of the %d ways is met: %s", len(lines), strings.Join(lines, "; "))
	return out
}

// sign signs in the first way that can be signed for.
func (a *anyCheck) sign(c *call) error {
	var first error
	for _, sub := range a.checks {
		err := sub.sign(c)
		if err == nil || !errors.Is(err, ErrCannotSign) {
			return err
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// allCheck accepts what all of its checks accept.
type allCheck struct{ checks []check }

func (a *allCheck) verify(c *call) error {
	for _, sub := range a.checks {
		if err := sub.verify(c); err != nil {
			return err
		}
	}
	return nil
}

func (a *allCheck) sign(c *call) error {
	for _, sub := range a.checks {
		if err := sub.sign(c); err != nil {
			return err
		}
	}
	return nil
}
