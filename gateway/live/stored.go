package live

import (
	"bytes"
	"hash/maphash"
	"math"
	"slices"

	"switchhook/gateway/hook"
	"switchhook/gateway/match"
)

// stored is a subscription taken apart: what many have in common is in a kind, the rest in one string. There may be
// a million, so they lie packed in a catalog, and are put together when somebody asks.
type stored struct {
	kind *kind
	// text is the id, the selector, the URL and the secret, one behind the other.
	text                  string
	selector, url, secret uint32 // where in text they begin
}

// whole is a Resolved and its subscription in one piece.
type whole struct {
	Resolved
	subscription hook.Subscription
}

// kind is what subscriptions have in common.
type kind struct {
	// sub is one of them without what is each one's own: name, selector, URL, and the
	// secret where there is one only.
	sub      hook.Subscription
	filter   *match.Filter
	inactive string
	// checked is the number of the generation whose connectors it was last found to fit.
	checked uint64
	hash    uint64
	users   int
	// number is that in the catalog, from 1; 0 before it is there.
	number uint32
}

// own are the parts of a subscription that are not of its kind.
func own(sub *hook.Subscription) (url, secret string) {
	if len(sub.Destination.Secrets) == 1 {
		secret = sub.Destination.Secrets[0]
	}
	return sub.Destination.URL, secret
}

// kinds has each kind once. It belongs to who changes the catalog.
type kinds map[uint64]*kind

var kindSeed = maphash.MakeSeed()

// hashOfKind is equal for subscriptions of one kind.
func hashOfKind(sub *hook.Subscription, inactive string) uint64 {
	var h maphash.Hash
	h.SetSeed(kindSeed)
	text := func(s string) {
		h.WriteString(s)
		h.WriteByte(0)
	}
	number := func(n uint64) { // the bits that matter are the low ones
		h.Write([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24), byte(n >> 32), byte(n >> 40), byte(n >> 48), byte(n >> 56)})
	}
	d := &sub.Destination
	for _, s := range [...]string{sub.Workspace, sub.Integration, sub.Webhook, sub.Event, d.Type, d.CloudEvents, d.Path, d.Subject, d.Topic, inactive} {
		text(s)
	}
	h.Write(sub.Parameters)
	h.WriteByte(0)
	h.Write(sub.Filter)
	for _, f := range d.Headers {
		text(f.Name)
		text(f.Value)
	}
	if len(d.Secrets) != 1 {
		for _, s := range d.Secrets {
			text(s)
		}
	}
	for _, s := range d.Brokers {
		text(s)
	}
	number(uint64(d.Timeout))
	number(uint64(d.Concurrency))
	number(math.Float64bits(d.RatePerSecond))
	return h.Sum64()
}

// has reports whether a subscription is of this kind.
func (k *kind) has(sub *hook.Subscription, inactive string) bool {
	a, b := &k.sub, sub
	x, y := &a.Destination, &b.Destination
	secrets := slices.Equal(x.Secrets, y.Secrets)
	if len(x.Secrets) == 1 {
		secrets = len(y.Secrets) == 1
	}
	return k.inactive == inactive && secrets &&
		a.Workspace == b.Workspace && a.Integration == b.Integration && a.Webhook == b.Webhook && a.Event == b.Event &&
		a.Ordered == b.Ordered && a.Paused == b.Paused && bytes.Equal(a.Parameters, b.Parameters) && bytes.Equal(a.Filter, b.Filter) &&
		x.Type == y.Type && x.CloudEvents == y.CloudEvents && x.Path == y.Path && x.Subject == y.Subject && x.Topic == y.Topic &&
		x.Timeout == y.Timeout && x.Concurrency == y.Concurrency && x.RatePerSecond == y.RatePerSecond && x.Retry.Jitter == y.Retry.Jitter &&
		slices.Equal(x.Retry.Delays, y.Retry.Delays) && slices.Equal(x.Headers, y.Headers) &&
		slices.Equal(x.Brokers, y.Brokers) && slices.Equal(x.Allow, y.Allow)
}

// find returns the kind of a subscription; nil when there is none yet.
func (m kinds) find(sub *hook.Subscription, inactive string) *kind {
	if k := m[hashOfKind(sub, inactive)]; k != nil && k.has(sub, inactive) {
		return k
	}
	return nil
}

// of returns the kind of a resolved subscription, a new one where there is none.
func (m kinds) of(r *Resolved) *kind {
	if k := m.find(r.Subscription, r.Inactive); k != nil {
		return k
	}
	k := &kind{sub: *r.Subscription, filter: r.Filter, inactive: r.Inactive, hash: hashOfKind(r.Subscription, r.Inactive)}
	k.sub.Name, k.sub.Selector, k.sub.Destination.URL = "", "", ""
	if len(k.sub.Destination.Secrets) == 1 {
		k.sub.Destination.Secrets = []string{""}
	}
	if m[k.hash] == nil { // or another one has the same hash, and this one is not shared
		m[k.hash] = k
	}
	return k
}

// release tells that a subscription of the kind is gone.
func (m kinds) release(k *kind) {
	if k.users--; k.users == 0 && m[k.hash] == k {
		delete(m, k.hash)
	}
}

// newStored takes a subscription of a kind apart. It keeps nothing of sub.
func newStored(k *kind, sub *hook.Subscription) *stored {
	k.users++
	url, secret := own(sub)
	s := &stored{kind: k, text: sub.Workspace + "/" + sub.Name + sub.Selector + url + secret}
	s.selector = uint32(len(sub.Workspace) + 1 + len(sub.Name))
	s.url = s.selector + uint32(len(sub.Selector))
	s.secret = s.url + uint32(len(url))
	return s
}

func (s *stored) id() string { return s.text[:s.selector] }

func (s *stored) pattern() string { return s.text[s.selector:s.url] }

// scope is where its events are matched.
func (s *stored) scope() match.Scope {
	return match.Scope{Workspace: s.kind.sub.Workspace, Integration: s.kind.sub.Integration, Webhook: s.kind.sub.Webhook}
}

// whole puts the subscription together.
func (s *stored) whole() *whole {
	w := &whole{subscription: s.kind.sub}
	sub := &w.subscription
	sub.Name, sub.Selector, sub.Destination.URL = s.text[len(sub.Workspace)+1:s.selector], s.pattern(), s.text[s.url:s.secret]
	if len(sub.Destination.Secrets) == 1 {
		sub.Destination.Secrets = []string{s.text[s.secret:]}
	}
	w.Resolved = Resolved{Subscription: sub, Filter: s.kind.filter, Inactive: s.kind.inactive}
	if w.Inactive == "" {
		w.Selector, _ = match.ParseSelector(sub.Selector) // it was parsed before
	}
	return w
}
