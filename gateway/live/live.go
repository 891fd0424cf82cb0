package live

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"switchhook/gateway/config"
	"switchhook/gateway/hook"
	"switchhook/gateway/match"
	"switchhook/spec/diagnostic"
)

// Live is the configuration as it is now. Reading takes no lock.
type Live struct {
	builder *Builder
	current atomic.Pointer[Generation]
	refused atomic.Pointer[diagnostic.List]

	// mu serialises changes: reloads, and edits of subscriptions made at run time.
	mu      sync.Mutex
	runtime *catalog // the subscriptions made at run time
	states  sync.Map // integration id -> map[string]string, replaced whole
	// disabled maps the ids of disabled subscriptions to the reason.
	disabled sync.Map
	pairing  sync.Map // "workspace/integration/webhook" -> pairing
}

// New returns a Live that has no generation yet: Reload first.
func New(builder *Builder) *Live {
	return &Live{builder: builder, runtime: newCatalog()}
}

// Current is the generation that serves. It is nil before the first Reload.
func (l *Live) Current() *Generation { return l.current.Load() }

// Reload builds a generation of cfg and, unless the list has errors, makes it
// the current one. Requests under way keep the generation that they began with.
func (l *Live) Reload(ctx context.Context, cfg *config.Config) (*Generation, diagnostic.List) {
	l.mu.Lock()
	defer l.mu.Unlock()
	previous := l.current.Load()
	g, list := l.builder.Build(ctx, cfg, previous)
	if g == nil {
		l.Refuse(list)
		return nil, list
	}
	l.current.Store(g)
	l.refused.Store(nil)
	if previous != nil {
		l.resolveAgain(ctx, previous, g)
	}
	return g, list
}

// Refused has the findings for which config.yaml, as it is on disk, was not taken over by the last reload; nil when it was.
// The generation before serves meanwhile.
func (l *Live) Refused() diagnostic.List {
	if list := l.refused.Load(); list != nil {
		return *list
	}
	return nil
}

// Refuse notes that config.yaml could not even be read.
func (l *Live) Refuse(list diagnostic.List) {
	list = slices.Clone(list)
	l.refused.Store(&list)
}

// resolveAgain resolves the subscriptions made at run time whose connectors changed: of a kind that
// names no event once for all of them, and each only where something else comes of it than before.
func (l *Live) resolveAgain(ctx context.Context, previous, g *Generation) {
	stays := map[*kind]bool{}
	l.runtime.update(func(e *edit) {
		for old := range l.runtime.now().each {
			if ctx.Err() != nil {
				return
			}
			k := old.kind
			same, known := stays[k]
			if !known {
				same = previous.connectorOf(k.sub.Workspace, k.sub.Integration) == g.connectorOf(k.sub.Workspace, k.sub.Integration) ||
					k.sub.Event == "" && l.fitsAsBefore(ctx, g, k)
				stays[k] = same
			}
			if !same {
				l.set(e, l.resolve(ctx, g, old.whole().Subscription))
			}
		}
	})
}

// fitsAsBefore reports whether resolving the subscriptions of a kind that names no event changes nothing.
func (l *Live) fitsAsBefore(ctx context.Context, g *Generation, k *kind) bool {
	probe := k.sub
	probe.Selector = "**" // what a selector may be does not depend on connectors
	r := l.resolve(ctx, g, &probe)
	return r.Inactive == k.inactive && r.Subscription.Webhook == k.sub.Webhook
}

// resolve is Generation.Resolve for a subscription that is stored already: a
// mistake makes it inactive.
func (l *Live) resolve(ctx context.Context, g *Generation, sub *hook.Subscription) *Resolved {
	if sub.Event != "" {
		fresh := *sub
		fresh.Webhook, fresh.Selector = "", ""
		sub = &fresh
	}
	r, err := g.Resolve(ctx, l.builder.Engine, sub)
	if err != nil {
		return &Resolved{Subscription: sub, Inactive: err.Error()}
	}
	return r
}

// set makes a subscription made at run time effective, in place of one of the same id.
func (l *Live) set(e *edit, r *Resolved) {
	e.put(newStored(l.runtime.kinds.of(r), r.Subscription), r.Selector)
}

// AddStored takes over subscriptions made at run time as a store has them, at
// start. A subscription that no longer fits the connectors is kept, inactive.
func (l *Live) AddStored(ctx context.Context, each func(yield func(*hook.Subscription) bool) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.current.Load()
	var err error
	l.runtime.update(func(e *edit) {
		err = each(func(sub *hook.Subscription) bool {
			l.addStored(ctx, g, e, sub)
			return ctx.Err() == nil
		})
	})
	return err
}

func (l *Live) addStored(ctx context.Context, g *Generation, e *edit, sub *hook.Subscription) {
	if sub.Event == "" {
		// One of a kind that was found to fit fits too, but for its selector.
		if k := l.runtime.kinds.find(sub, ""); k != nil && k.checked == g.Number {
			s := newStored(k, sub)
			if selector, err := match.ParseSelector(s.pattern()); err == nil {
				e.put(s, selector)
				return
			}
			l.runtime.kinds.release(k)
		}
	}
	r := l.resolve(ctx, g, sub)
	if r.Inactive == "" {
		l.runtime.kinds.of(r).checked = g.Number
	}
	l.set(e, r)
}

// Put checks a subscription made at run time, has save store it, and makes it
// effective. It replaces one of the same id; the id may not be one of
// config.yaml. The error is FieldErrors, that of save, or ctx's.
func (l *Live) Put(ctx context.Context, sub *hook.Subscription, save func(*hook.Subscription) error) (*Resolved, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.current.Load()
	if g.subscriptions.now().has(sub.ID()) {
		return nil, FieldErrors{{Field: "name", Message: fmt.Sprintf("%q is defined in config.yaml", sub.ID()), Hint: "change it there, or choose another name"}}
	}
	r, err := g.Resolve(ctx, l.builder.Engine, sub)
	if err != nil {
		return nil, err
	}
	if err := save(r.Subscription); err != nil {
		return nil, err
	}
	l.runtime.update(func(e *edit) { l.set(e, r) })
	return r, nil
}

// Delete forgets a subscription made at run time after forget has removed it
// from the store. It reports whether there was one.
func (l *Live) Delete(id string, forget func() error) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.runtime.now().has(id) {
		return false, nil
	}
	if err := forget(); err != nil {
		return true, err
	}
	l.runtime.update(func(e *edit) { e.remove(id) })
	return true, nil
}

// Match appends to dst the subscriptions of g and those made at run time that
// an event reaches. Disabled ones are left out; paused ones are not.
func (l *Live) Match(dst []*hook.Subscription, g *Generation, scope match.Scope, selector string, payload []byte) []*hook.Subscription {
	fixed := g.subscriptions.now()
	dst = g.subscriptions.match(dst, scope, selector, payload, l.isDisabled)
	return l.runtime.match(dst, scope, selector, payload, func(id string) bool {
		return fixed.has(id) || l.isDisabled(id) // one of config.yaml hides it
	})
}

func (l *Live) isDisabled(id string) bool {
	_, off := l.disabled.Load(id)
	return off
}

// Subscription returns a subscription by its id, from config.yaml or made at
// run time; nil when there is none.
func (l *Live) Subscription(id string) *Resolved {
	if r := l.Current().Subscription(id); r != nil {
		return r
	}
	return l.runtime.subscription(id)
}

// Runtime calls yield with the id of every subscription made at run time, in no order.
func (l *Live) Runtime(yield func(id string) bool) { l.runtime.now().eachID(yield) }

// SetDisabled marks a subscription as disabled with a reason; "" enables it.
// It does not store anything.
func (l *Live) SetDisabled(id, reason string) {
	if reason == "" {
		l.disabled.Delete(id)
		return
	}
	l.disabled.Store(id, reason)
}

// DisabledReason says why a subscription is disabled; "" when it is not.
func (l *Live) DisabledReason(id string) string {
	if reason, ok := l.disabled.Load(id); ok {
		return reason.(string)
	}
	return ""
}

// State returns what an integration remembers, as last given to SetState; not
// to be changed.
func (l *Live) State(integration string) (state map[string]string, known bool) {
	if s, ok := l.states.Load(integration); ok {
		return s.(map[string]string), true
	}
	return nil, false
}

// SetState keeps what an integration remembers in memory, since verification
// may need it for every request. The caller does not change state afterwards.
func (l *Live) SetState(integration string, state map[string]string) {
	l.states.Store(integration, state)
}

// OpenPairing lets the handshakes of a webhook replace what the integration
// remembers, until a time on the builder's clock, a restart, or the first one that does.
func (l *Live) OpenPairing(e *Endpoint, until time.Time) {
	l.pairing.Store(e.IntegrationID()+"/"+e.Key, pairing{until: until})
}

// pairing is what a person opened: until when, and whether a handshake has made use of it.
type pairing struct {
	until time.Time
	used  bool
}

// Pairing says until when a person has opened pairing for a webhook, be it that
// a handshake has made use of it since; zero when that time is over.
func (l *Live) Pairing(e *Endpoint) (until time.Time, used bool) {
	if p, ok := l.pairing.Load(e.IntegrationID() + "/" + e.Key); ok && l.builder.Now().Before(p.(pairing).until) {
		return p.(pairing).until, p.(pairing).used
	}
	return time.Time{}, false
}

// PairingOpen says whether pairing is open for a webhook.
func (l *Live) PairingOpen(e *Endpoint) bool {
	until, used := l.Pairing(e)
	return !until.IsZero() && !used
}

// ClosePairing ends what OpenPairing began: a handshake has made use of it.
func (l *Live) ClosePairing(e *Endpoint) {
	if until, _ := l.Pairing(e); !until.IsZero() {
		l.pairing.Store(e.IntegrationID()+"/"+e.Key, pairing{until: until, used: true})
	}
}
