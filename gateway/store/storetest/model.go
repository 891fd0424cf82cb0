package storetest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"switchhook/gateway/hook"
	"switchhook/gateway/store"
)

// modelled is what the model knows of a delivery.
type modelled struct {
	id, sub string
	due     time.Time
	state   hook.DeliveryState
	leased  bool
}

// testModel does what comes to mind, in an order that nobody thought of, and compares each answer with
// that of a model: who is pending, due and leased.
func testModel(t *testing.T, open opener) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			b := start(t, open)
			m := &model{bench: b, rnd: rand.New(rand.NewPCG(seed, 1)), all: map[string]*modelled{}}
			for range 200 {
				m.step()
				if t.Failed() {
					return
				}
			}
		})
	}
}

type model struct {
	*bench
	rnd *rand.Rand
	all map[string]*modelled
}

func (m *model) sub() string { return fmt.Sprint("demo/s", m.rnd.IntN(3)) }

// those returns what the model has that is as asked, in the order of their ids.
func (m *model) those(is func(*modelled) bool) []*modelled {
	var found []*modelled
	for _, id := range slices.Sorted(maps.Keys(m.all)) {
		if is(m.all[id]) {
			found = append(found, m.all[id])
		}
	}
	return found
}

// some returns a few of them at random.
func (m *model) some(most int, is func(*modelled) bool) []*modelled {
	found := m.those(is)
	m.rnd.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	return found[:min(len(found), m.rnd.IntN(most+1))]
}

func leased(d *modelled) bool { return d.leased }

func (m *model) step() {
	m.t.Helper()
	switch n := m.rnd.IntN(20); {
	case n < 5:
		m.add()
	case n < 9:
		m.take(m.sub(), m.rnd.IntN(6))
	case n < 12:
		for _, d := range m.some(4, leased) {
			m.Release(d.id)
			d.leased = false
		}
	case n < 15:
		m.end()
	case n < 16:
		for _, d := range m.some(2, func(*modelled) bool { return true }) {
			sub, err := m.Replay(m.t.Context(), d.id, m.Now())
			if err != nil || sub != d.sub {
				m.t.Errorf("Replay(%s) = %q, %v", d.id, sub, err)
			}
			d.state, d.due = hook.Pending, m.Now()
		}
	case n < 17:
		m.pass(time.Duration(m.rnd.IntN(120)-20) * time.Second)
	case n < 18 && m.rnd.IntN(4) == 0:
		m.forget(m.sub())
	default:
		m.look()
	}
}

func (m *model) add() {
	m.t.Helper()
	var tos []to
	for range 1 + m.rnd.IntN(3) {
		after := time.Duration(0)
		if m.rnd.IntN(4) == 0 {
			after = time.Duration(m.rnd.IntN(60)) * time.Second
		}
		tos = append(tos, to{sub: m.sub(), after: after})
	}
	for _, d := range m.append(m.record([]string{"a"}, tos...)).Deliveries {
		m.all[d.ID] = &modelled{id: d.ID, sub: d.Subscription, due: d.DueAt, state: hook.Pending, leased: !d.DueAt.After(m.Now())}
	}
}

// take claims, and checks that it is the earliest that are due.
func (m *model) take(sub string, limit int) {
	m.t.Helper()
	due := m.those(func(d *modelled) bool {
		return d.sub == sub && d.state == hook.Pending && !d.leased && !d.due.After(m.Now())
	})
	slices.SortStableFunc(due, func(a, b *modelled) int { return a.due.Compare(b.due) })
	got := m.claim(sub, limit)
	if len(got) != min(limit, len(due)) {
		m.t.Errorf("Claim(%s, %d) = %v, want %d of %d", sub, limit, ids(got), min(limit, len(due)), len(due))
	}
	for i, d := range got {
		known := m.all[d.ID]
		switch {
		case known.leased || known.state != hook.Pending || known.sub != sub:
			m.t.Errorf("claimed %+v", known)
		case i < len(due) && !known.due.Equal(due[i].due):
			m.t.Errorf("claim %d of %s is due at %v, want one of %v", i, sub, known.due, due[i].due)
		}
		known.leased = true
	}
}

// end settles some, not all of which are leased.
func (m *model) end() {
	m.t.Helper()
	var sets []hook.Settlement
	for _, d := range m.some(4, func(d *modelled) bool { return d.leased || d.state == hook.Pending && m.rnd.IntN(8) == 0 }) {
		next := [...]hook.DeliveryState{hook.Done, hook.Done, hook.Dead, hook.Pending}[m.rnd.IntN(4)]
		set := m.settlement(d.id, next, time.Duration(m.rnd.IntN(100)-10)*time.Second)
		sets = append(sets, set)
		d.leased = false
		switch {
		case next != hook.Pending:
			d.state, d.due = next, time.Time{}
		case d.state == hook.Pending: // one that died meanwhile stays so
			d.due = set.RetryAt
		}
	}
	if err := m.Settle(m.t.Context(), sets...); err != nil {
		m.t.Errorf("Settle: %v", err)
	}
}

// forget deletes a subscription, with which what is pending dies, leased or not.
func (m *model) forget(name string) {
	m.t.Helper()
	sub := subscription(name[len("demo/"):])
	if err := m.PutSubscription(m.t.Context(), sub); err != nil {
		m.t.Errorf("PutSubscription: %v", err)
	}
	if err := m.DeleteSubscription(m.t.Context(), sub.ID()); err != nil {
		m.t.Errorf("DeleteSubscription: %v", err)
	}
	for _, d := range m.those(func(d *modelled) bool { return d.sub == sub.ID() && d.state == hook.Pending }) {
		d.state, d.due = hook.Dead, time.Time{}
	}
}

// look compares everything that can be asked for.
func (m *model) look() {
	m.t.Helper()
	next := map[string]time.Time{}
	pending, dead := map[string]int{}, map[string]int{}
	var open int64
	for _, d := range m.all {
		switch d.state {
		case hook.Pending:
			open++
			pending[d.sub]++
			if first, ok := next[d.sub]; !d.leased && (!ok || d.due.Before(first)) {
				next[d.sub] = d.due
			}
		case hook.Dead:
			dead[d.sub]++
		}
	}
	same(m.t, "NextDue", m.nextDue(), next)
	for i := range 3 {
		sub := fmt.Sprint("demo/s", i)
		due, ok, err := m.NextDueOf(m.t.Context(), sub)
		if want, any := next[sub]; err != nil || ok != any || !due.Equal(want) {
			m.t.Errorf("NextDueOf(%s) = %v, %v, %v, want %v, %v", sub, due, ok, err, want, any)
		}
		b, err := m.Backlog(m.t.Context(), sub, 1000)
		if want := (store.Backlog{Open: pending[sub], Dead: dead[sub]}); err != nil || b != want {
			m.t.Errorf("Backlog(%s) = %+v, %v, want %+v", sub, b, err, want)
		}
		ds, _, err := m.Deliveries(m.t.Context(), store.DeliveryQuery{Subscription: sub, State: hook.Pending, Limit: 1000})
		if err != nil || len(ds) != pending[sub] {
			m.t.Errorf("%d deliveries of %s are pending, %v, want %d", len(ds), sub, err, pending[sub])
		}
	}
	stats, err := m.Stats(m.t.Context())
	if err != nil || stats.Pending != open {
		m.t.Errorf("Stats = %+v, %v, want %d pending", stats, err, open)
	}
	for _, d := range m.some(5, func(*modelled) bool { return true }) {
		got, _ := m.delivery(d.id)
		if got.State != d.state || !got.DueAt.Equal(d.due) {
			m.t.Errorf("delivery %s is %s, due at %v, want %s, %v", d.id, got.State, got.DueAt, d.state, d.due)
		}
	}
}
