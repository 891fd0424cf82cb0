package console

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"switchhook/gateway/store"
)

// changed keeps and logs that a call changed something. What it did is done:
// that it cannot be kept is logged, and no reason to answer with an error.
func (c *Console) changed(r *http.Request, action, target, format string, args ...any) {
	remote, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		remote = r.RemoteAddr
	}
	agent := r.UserAgent()
	change := store.Change{At: c.o.Now(), Action: action, Target: target, Detail: fmt.Sprintf(format, args...), Remote: remote, Agent: agent[:min(len(agent), 100)]}
	c.o.Logger.Info("change", "action", action, "target", target, "detail", change.Detail, "remote", remote, "agent", change.Agent)
	c.o.Activity.Changed(change)
	// The caller may be gone already.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 5*time.Second)
	defer cancel()
	if err := c.o.Store.AddChange(ctx, change); err != nil {
		c.o.Logger.Error("a change is missing from the audit log", "action", action, "target", target, "error", err)
	}
}

type change struct {
	At     time.Time `json:"at"`
	Action string    `json:"action"`
	Target string    `json:"target"`
	Detail string    `json:"detail"`
	Remote string    `json:"remote"`
	Agent  string    `json:"agent"`
}

func viewChange(c store.Change) change {
	return change{c.At, c.Action, c.Target, c.Detail, c.Remote, c.Agent}
}

func (c *Console) listChanges(r *http.Request) (int, any, error) {
	q := newQuery(r, "cursor", "limit")
	cursor, limit := q.text("cursor"), q.limit()
	if q.err != nil {
		return 0, nil, q.err
	}
	found, next, err := c.o.Store.Changes(r.Context(), cursor, limit)
	if err != nil {
		return 0, nil, err
	}
	views := make([]change, len(found))
	for i, f := range found {
		views[i] = viewChange(f)
	}
	return http.StatusOK, page[change]{views, next}, nil
}
