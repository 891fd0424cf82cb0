package deliver_test

import (
	"testing"
	"time"

	"switchhook/gateway/deliver"
	"switchhook/gateway/hook"
)

func TestNext(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	standard := hook.RetryPolicy{Delays: hook.DefaultRetryDelays, Jitter: 0.1}
	for _, c := range []struct {
		name       string
		made       int
		jitter     float64
		policy     hook.RetryPolicy
		retryAfter time.Duration
		want       time.Duration // -1: dead
	}{
		{"after the first", 1, 0, standard, 0, 5 * time.Second},
		{"with jitter", 1, 0.5, standard, 0, 5250 * time.Millisecond},
		{"with most jitter", 2, 1, standard, 0, 330 * time.Second},
		{"before the last", 9, 0, standard, 0, 24 * time.Hour},
		{"after the last", 10, 0, standard, 0, -1},
		{"after more than the policy now has", 11, 0, standard, 0, -1},
		{"Retry-After later than the schedule", 1, 0, standard, time.Minute, time.Minute},
		{"Retry-After earlier than the schedule", 2, 0, standard, time.Minute, 5 * time.Minute},
		{"Retry-After beyond reason", 1, 0, standard, 1000 * time.Hour, 24 * time.Hour},
		{"Retry-After does not revive", 10, 0, standard, time.Minute, -1},
		{"Retry-After is spread too", 1, 0.5, standard, time.Minute, 63 * time.Second},
		{"one attempt", 1, 0, hook.RetryPolicy{Delays: []time.Duration{0}}, 0, -1},
		{"no attempts at all", 0, 0, hook.RetryPolicy{}, 0, -1},
		{"negative delay", 1, 1, hook.RetryPolicy{Delays: []time.Duration{0, -time.Hour}, Jitter: 1}, 0, 0},
		{"numbers out of range", -3, 7, hook.RetryPolicy{Delays: []time.Duration{time.Second}, Jitter: 9}, 0, 2 * time.Second},
	} {
		at, dead := deliver.Next(now, c.made, c.jitter, c.policy, c.retryAfter)
		if dead != (c.want == -1) || !dead && at.Sub(now) != c.want {
			t.Errorf("%s: %v, dead %v; want %v", c.name, at.Sub(now), dead, c.want)
		}
	}
}
