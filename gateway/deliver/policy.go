package deliver

import (
	"time"

	"switchhook/gateway/hook"
)

// MaxRetryAfter caps what a receiver may ask for with Retry-After.
const MaxRetryAfter = 24 * time.Hour

// Next returns when the next attempt of a delivery may begin, or that it is
// dead. now is the end of the last attempt and made the number of attempts
// made, that one included. jitter is a random number in [0,1): the delay of the policy is
// lengthened by up to policy.Jitter of it, never shortened. retryAfter is
// what the receiver asked for, 0 for nothing: it can put the attempt off, up to MaxRetryAfter,
// but not bring it forward, and it does not add attempts.
//
// The Standard Webhooks specification asks for a schedule over days with
// jitter, and that Retry-After "be taken into consideration":
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
func Next(now time.Time, made int, jitter float64, policy hook.RetryPolicy, retryAfter time.Duration) (at time.Time, dead bool) {
	made = max(made, 0)
	if made >= len(policy.Delays) {
		return time.Time{}, true
	}
	delay := max(policy.Delays[made], min(retryAfter, MaxRetryAfter), 0)
	share := min(max(policy.Jitter, 0), 1) * min(max(jitter, 0), 1)
	return now.Add(delay + time.Duration(float64(delay)*share)), false
}
