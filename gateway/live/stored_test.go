package live

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"switchhook/gateway/hook"
)

// full has something in every field.
func full() *hook.Subscription {
	return &hook.Subscription{
		Workspace: "main", Name: "sub", Integration: "shop", Webhook: "orders", Selector: "created/7", Event: "created",
		Parameters: json.RawMessage(`{"a":1}`), Filter: json.RawMessage(`{"total":5}`), Ordered: true, Paused: true,
		Destination: hook.Destination{
			Type: "http", URL: "https://example.com/hooks", Headers: hook.Headers{{Name: "X-A", Value: "b"}}, Secrets: []string{"whsec_a"},
			CloudEvents: "binary", Path: "/a", Subject: "s", Topic: "t", Brokers: []string{"b:1"},
			Retry:   hook.RetryPolicy{Delays: []time.Duration{0, time.Second}, Jitter: 0.1},
			Timeout: time.Second, Concurrency: 3, RatePerSecond: 1.5, Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		},
	}
}

// A subscription comes out of its packing as it went in, whichever field differs
// from others: none is forgotten where kinds are compared.
func TestStoredKeepsEveryField(t *testing.T) {
	all := []*hook.Subscription{full(), {Workspace: "main", Name: "empty"}}
	var each func(get func(*hook.Subscription) reflect.Value)
	each = func(get func(*hook.Subscription) reflect.Value) {
		if v := get(full()); v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[netip.Prefix]() {
			for i := range v.NumField() {
				each(func(s *hook.Subscription) reflect.Value { return get(s).Field(i) })
			}
			return
		}
		none, other := full(), full()
		get(none).SetZero()
		v := get(other)
		switch v.Kind() {
		case reflect.String:
			v.SetString("other")
		case reflect.Bool:
			v.SetBool(false)
		case reflect.Int, reflect.Int64:
			v.SetInt(99)
		case reflect.Float64:
			v.SetFloat(0.9)
		case reflect.Slice:
			twice := reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, 4), v)
			v.Set(reflect.AppendSlice(twice, v))
		default:
			t.Fatalf("a field of kind %s", v.Kind())
		}
		all = append(all, none, other)
	}
	each(func(s *hook.Subscription) reflect.Value { return reflect.ValueOf(s).Elem() })

	m := kinds{}
	var packed []*stored
	for _, sub := range all {
		packed = append(packed, newStored(m.of(&Resolved{Subscription: sub, Inactive: "not parsed"}), sub))
	}
	for i, s := range packed {
		if diff := cmp.Diff(all[i], s.whole().Subscription, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Errorf("subscription %d: %s", i, diff)
		}
		if s.id() != all[i].ID() || s.whole().Inactive == "" {
			t.Errorf("id %q, inactive %q", s.id(), s.whole().Inactive)
		}
	}
	if a, b := packed[0].kind, newStored(m.of(&Resolved{Subscription: full(), Inactive: "not parsed"}), full()).kind; a != b {
		t.Error("equal subscriptions are of two kinds")
	} else {
		b.users--
	}
	for _, s := range packed {
		m.release(s.kind)
	}
	if len(m) != 0 {
		t.Errorf("%d kinds are left that nobody uses", len(m))
	}
}
