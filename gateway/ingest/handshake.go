package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"switchhook/gateway/hook"
	"switchhook/gateway/script"
	"switchhook/gateway/store"
)

// handshake answers a request that is one; nil when it is not.
func (r *run) handshake(ctx context.Context, verified bool) *Answered {
	shake := r.e.Webhook.Handshake
	switch {
	case shake == nil,
		!verified && !shake.Matches(r.req, r.parsed),
		verified && !shake.MatchesVerified(r.req, r.parsed):
		return nil
	}
	state, err := r.state(ctx)
	if err != nil {
		return r.unavailable("reading the integration's state", err)
	}
	reply, err := shake.Answer(r.req, r.parsed(), r.e.Parameters, state)
	answered := &Answered{Kind: "handshake", Response: reply.Response}
	remember := reply.Remember
	switch {
	case err != nil:
		answered.Reason = err.Error()
		if reply.Response == nil {
			answered.Response = problem(403, statusText(403), err.Error(), r.req.ID)
		}
		return answered
	case reply.Confirm != "":
		if err := r.confirm(ctx, reply.Confirm); err != nil {
			return r.unavailable("confirming a handshake", err)
		}
	case reply.UseFunction && r.quarantined():
		return r.unavailable("answering a handshake", errors.New("the connector is quarantined"))
	case reply.UseFunction:
		if remember = r.handshakeFunction(ctx, state, answered); answered.Failure != nil {
			return answered
		}
	}
	if err := r.remember(ctx, state, remember, answered); err != nil {
		return r.unavailable("remembering a handshake's value", err)
	}
	return answered
}

// confirm calls the URL that a handshake has to be confirmed at. The error does not
// contain it: it may be a secret.
func (r *run) confirm(ctx context.Context, address string) error {
	if r.p.o.Fetcher == nil {
		return errors.New("nothing is fetched here")
	}
	_, err := r.p.o.Fetcher.Fetch(ctx, address)
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return err
}

// handshakeFunction has the connector's handshake function answer.
func (r *run) handshakeFunction(ctx context.Context, state map[string]string, answered *Answered) (remember map[string]string) {
	in := &script.HandleInput{Request: r.req, Body: r.parsed(), Parameters: r.e.Parameters, State: state}
	if r.change != nil {
		r.change(in)
	}
	result, err := r.p.o.Engine.Handle(ctx, r.e.Webhook.HandshakeFunction, in)
	if result != nil {
		answered.Console, answered.Took = result.Console, result.Took
		if r.onResult != nil {
			r.onResult(result)
		}
	}
	if err != nil {
		var failure *script.Error
		if !errors.As(err, &failure) {
			failure = &script.Error{Failure: hook.Failure{Kind: "unavailable", Message: err.Error()}}
		}
		status, detail := 500, "the handshake function of this webhook failed"
		if failure.Failure.Kind == "refused" || failure.Failure.Kind == "input" {
			status, detail = failure.Status, failure.Failure.Message
		}
		answered.Reason = failure.Error()
		answered.Failure = &failure.Failure
		answered.Response = problem(status, statusText(status), detail, r.req.ID)
		return nil
	}
	answered.Response = &hook.Response{Status: 200}
	if result.Response != nil {
		answered.Response = result.Response
	}
	return result.Remember
}

// remember stores what a handshake gave to remember. A value that is set to
// something else already may only be replaced while pairing is open; the
// handshake is then refused, or anyone could put a secret of their own in place.
func (r *run) remember(ctx context.Context, state, remember map[string]string, answered *Answered) error {
	changed := maps.Clone(state)
	if changed == nil {
		changed = map[string]string{}
	}
	id, pairing := r.e.IntegrationID(), r.p.o.Subscriptions.PairingOpen(r.e)
	for _, key := range slices.Sorted(maps.Keys(remember)) {
		value := remember[key]
		if old, ok := state[key]; ok && old == value {
			continue
		}
		err := r.p.o.Store.Remember(ctx, id, key, value, pairing)
		if errors.Is(err, store.ErrConflict) {
			answered.Response = problem(403, statusText(403), "this webhook is paired already; open pairing for it to pair it anew: switchhook pair "+id+"/"+r.e.Key, r.req.ID)
			answered.Reason = "a handshake tried to replace the remembered value " + key + " while pairing is closed"
			return nil
		}
		if err != nil {
			return err
		}
		changed[key] = value
		answered.Remembered = append(answered.Remembered, key)
	}
	if len(answered.Remembered) > 0 {
		r.p.o.Subscriptions.SetState(id, changed)
		if pairing {
			// Done: who comes next is not the one that the person waits for.
			r.p.o.Subscriptions.ClosePairing(r.e)
		}
	}
	return nil
}

func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return text
	}
	return "Error"
}

func quote(s string) string {
	b, _ := json.Marshal(s) // a string always encodes
	return string(b)
}
