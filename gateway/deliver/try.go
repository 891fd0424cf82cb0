package deliver

import (
	"context"
	"time"

	"switchhook/gateway/hook"
)

// Try makes one attempt to send an event to a subscription's destination, now,
// and returns what came of it: a person wants to see whether a destination
// works. Nothing of it is stored, counted or tried again, and neither pause nor
// breaker keep it. It blocks for the destination's timeout at most.
func (e *Engine) Try(ctx context.Context, sub *hook.Subscription, event *hook.Event) hook.Attempt {
	timeout := sub.Destination.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	a := hook.Attempt{Number: 1, At: e.o.Now()}
	e.mu.Lock()
	running := e.phase == phaseRunning
	if running {
		e.attempts.Add(1)
	}
	e.mu.Unlock()
	if !running {
		a.Class, a.Error = "gateway", "the gateway is not delivering: it starts, or drains"
		return a
	}
	defer e.attempts.Done()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer context.AfterFunc(e.attemptCtx, cancel)()
	began := time.Now()
	res := e.send(ctx, sub, &hook.Delivery{
		Event: event, Subscription: sub.ID(), Workspace: sub.Workspace, Integration: sub.Integration, Webhook: sub.Webhook,
		ReceivedAt: a.At, State: hook.Pending, DueAt: a.At,
	})
	a.Took, a.Status, a.Class, a.Error, a.Response = time.Since(began), res.Status, res.Class, res.Error, res.Response
	return a
}
