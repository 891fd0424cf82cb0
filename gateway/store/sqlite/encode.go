package sqlite

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"switchhook/gateway/hook"
	"switchhook/gateway/store"
)

// numberBits is how many bits of an event's or delivery's id count within its request.
const numberBits = 20

// span returns the ids that the events, and the deliveries, of a request may have.
func span(request int64) (first, last int64) {
	return request << numberBits, request<<numberBits | store.MaxPerRequest
}

func deliveryID(n int64) string { return "dlv_" + strconv.FormatInt(n, 10) }

// deliveryNumber is the inverse of deliveryID; an id that is none is ErrNotFound.
func deliveryNumber(id string) (int64, error) {
	digits, ok := strings.CutPrefix(id, "dlv_")
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || n <= 0 {
		return 0, fmt.Errorf("delivery %q: %w", id, store.ErrNotFound)
	}
	return n, nil
}

// States and outcomes as they are stored.
const (
	pending = iota
	waiting
	done
	dead
	unlisted // pending too, see lease.go
)

var states = [...]hook.DeliveryState{pending: hook.Pending, waiting: hook.Waiting, done: hook.Done, dead: hook.Dead, unlisted: hook.Pending}

var outcomes = [...]hook.Outcome{hook.Accepted, hook.Handshake, hook.Refused, hook.Failed, hook.Deferred}

const deferred = 4

func stateCode(s hook.DeliveryState) (int64, bool) { return place(states[:], s) }

func outcomeCode(o hook.Outcome) (int64, bool) { return place(outcomes[:], o) }

func place[T comparable](all []T, one T) (int64, bool) {
	for i, x := range all {
		if x == one {
			return int64(i), true
		}
	}
	return 0, false
}

func nth[T any](all []T, i int64) (x T) {
	if i >= 0 && i < int64(len(all)) {
		x = all[i]
	}
	return x
}

// encodeHeaders writes header fields as lines, so that a person can read them
// and every byte survives: a backslash, a line feed, and in a name a colon, get a
// backslash before them (the line feed as \n).
func encodeHeaders(h hook.Headers) []byte {
	if len(h) == 0 {
		return nil
	}
	size := 0
	for i := range h {
		size += len(h[i].Name) + len(h[i].Value) + 3
	}
	b := make([]byte, 0, size)
	for i := range h {
		b = escape(b, h[i].Name, true)
		b = append(b, ": "...)
		b = escape(b, h[i].Value, false)
		b = append(b, '\n')
	}
	return b
}

func escape(b []byte, s string, name bool) []byte {
	for {
		i := 0
		for i < len(s) && s[i] != '\\' && s[i] != '\n' && s[i] != ':' {
			i++
		}
		if i == len(s) {
			return append(b, s...)
		}
		b = append(b, s[:i]...)
		switch s[i] {
		case '\n':
			b = append(b, `\n`...)
		case ':':
			if name {
				b = append(b, '\\')
			}
			b = append(b, ':')
		default:
			b = append(b, `\\`...)
		}
		s = s[i+1:]
	}
}

// decodeHeaders is the inverse of encodeHeaders.
func decodeHeaders(b []byte) hook.Headers {
	var h hook.Headers
	for len(b) > 0 {
		var f hook.Header
		f.Name, b = unescape(b, ':')
		b = bytes.TrimPrefix(b, []byte(" "))
		f.Value, b = unescape(b, '\n')
		h = append(h, f)
	}
	return h
}

// unescape reads up to the first end that has no backslash before it.
func unescape(b []byte, end byte) (string, []byte) {
	var s []byte
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] == end:
			return string(s), b[i+1:]
		case b[i] == '\\' && i+1 < len(b):
			i++
			if b[i] == 'n' {
				s = append(s, '\n')
			} else {
				s = append(s, b[i])
			}
		default:
			s = append(s, b[i])
		}
	}
	return string(s), nil
}

// extra is what few requests have.
type extra struct {
	Notes   []string           `json:"notes,omitempty"`
	Console []hook.ConsoleLine `json:"console,omitempty"`
	Failure *hook.Failure      `json:"failure,omitempty"`
}

func encodeExtra(rec *hook.Record) (any, error) {
	if len(rec.Notes) == 0 && len(rec.Console) == 0 && rec.Failure == nil {
		return nil, nil
	}
	b, err := json.Marshal(extra{rec.Notes, rec.Console, rec.Failure})
	return string(b), err
}

// spec is a subscription as it is stored. The two raw fields are here again so
// that nil stays nil, which json.RawMessage would make of it the text null.
type spec struct {
	*hook.Subscription
	Parameters json.RawMessage `json:",omitempty"`
	Filter     json.RawMessage `json:",omitempty"`
	// DefaultDelays: the delays are the default ones and left out. Where a million subscriptions
	// are loaded most have them, and share them then.
	DefaultDelays bool `json:",omitzero"`
}

func encodeSubscription(sub *hook.Subscription) (string, error) {
	s := spec{Parameters: sub.Parameters, Filter: sub.Filter}
	short := *sub
	if slices.Equal(sub.Destination.Retry.Delays, hook.DefaultRetryDelays) {
		s.DefaultDelays, short.Destination.Retry.Delays = true, nil
	}
	s.Subscription = &short
	b, err := json.Marshal(s)
	return string(b), err
}

// decodeSubscription decodes what encodeSubscription made into sub, which then shares text.
func decodeSubscription(text string, sub *hook.Subscription) error {
	if simpleSubscription(text, sub) {
		return nil
	}
	*sub = hook.Subscription{}
	s := spec{Subscription: sub}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	sub.Parameters, sub.Filter = s.Parameters, s.Filter
	if s.DefaultDelays {
		sub.Destination.Retry.Delays = slices.Clip(hook.DefaultRetryDelays)
	}
	return nil
}

// simpleSubscription decodes what has nothing but the fields that most subscriptions have,
// many times faster than encoding/json: there may be a million to read at start. It reports false for
// others, and for what is not JSON.
func simpleSubscription(text string, sub *hook.Subscription) bool {
	if !gjson.Valid(text) {
		return false
	}
	*sub = hook.Subscription{}
	simple := true
	d := &sub.Destination
	gjson.Parse(text).ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "Workspace":
			sub.Workspace = v.Str
		case "Name":
			sub.Name = v.Str
		case "Integration":
			sub.Integration = v.Str
		case "Webhook":
			sub.Webhook = v.Str
		case "Selector":
			sub.Selector = v.Str
		case "Event":
			sub.Event = v.Str
		case "Parameters":
			sub.Parameters, simple = json.RawMessage(v.Raw), v.Type != gjson.Null
		case "Filter":
			sub.Filter, simple = json.RawMessage(v.Raw), v.Type != gjson.Null
		case "Ordered":
			sub.Ordered = v.Bool()
		case "Paused":
			sub.Paused = v.Bool()
		case "DefaultDelays":
			if v.Bool() {
				d.Retry.Delays = slices.Clip(hook.DefaultRetryDelays)
			}
		case "Destination":
			v.ForEach(func(key, v gjson.Result) bool {
				switch key.Str {
				case "Type":
					d.Type = v.Str
				case "URL":
					d.URL = v.Str
				case "Secrets":
					v.ForEach(func(_, v gjson.Result) bool {
						d.Secrets = append(d.Secrets, v.Str)
						return true
					})
				case "Timeout":
					d.Timeout = time.Duration(v.Int())
				case "Concurrency":
					d.Concurrency = int(v.Int())
				case "Allow":
					v.ForEach(func(_, v gjson.Result) bool {
						p, err := netip.ParsePrefix(v.Str)
						if d.Allow = append(d.Allow, p); err != nil {
							simple = false
						}
						return simple
					})
				case "Retry":
					v.ForEach(func(key, v gjson.Result) bool {
						if simple = key.Str == "Jitter"; simple {
							d.Retry.Jitter = v.Num
						}
						return simple
					})
				default:
					simple = false
				}
				return simple
			})
		default:
			simple = false
		}
		return simple
	})
	return simple
}
