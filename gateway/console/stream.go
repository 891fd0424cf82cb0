package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"switchhook/gateway/activity"
	"switchhook/gateway/hook"
	"switchhook/gateway/ingest"
)

// heartbeat is how often a stream that is silent says that it is there.
const heartbeat = 15 * time.Second

// stream sends what happens as server-sent events, each of the kind that its
// `event` field names, until the client goes or the gateway drains. A client that is too slow
// misses messages, and is told how many by an event `dropped`.
func (c *Console) stream(w http.ResponseWriter, r *http.Request) {
	filter, err := streamFilter(r)
	if err != nil {
		writeProblem(w, err)
		return
	}
	s, err := c.o.Activity.Listen(filter)
	if errors.Is(err, activity.ErrTooMany) {
		w.Header().Set("Retry-After", "5")
		writeProblem(w, &problem{Status: http.StatusServiceUnavailable, Detail: err.Error()})
		return
	}
	defer s.Close()
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy's buffer would hold it back
	fmt.Fprintf(w, "retry: 1000\nevent: hello\ndata: {\"version\":%s}\n\n", encode(c.o.Version))
	beat := time.NewTimer(heartbeat)
	defer beat.Stop()
	var b bytes.Buffer
	for {
		// A reader that takes nothing for so long is gone.
		if out.SetWriteDeadline(time.Now().Add(2*heartbeat)) != nil || out.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-c.closing:
			return
		case <-beat.C:
			fmt.Fprint(w, ":\n\n")
		case <-s.Ready():
			messages, dropped := s.Take()
			b.Reset()
			for _, m := range messages {
				writeMessage(&b, m)
			}
			if dropped > 0 {
				fmt.Fprintf(&b, "event: dropped\ndata: {\"count\":%d}\n\n", dropped)
			}
			if _, err := w.Write(b.Bytes()); err != nil || out.Flush() != nil {
				return
			}
			// What happens until then is written together.
			if !c.sleep(r, activity.Pace(len(messages))) {
				return
			}
		}
		beat.Reset(heartbeat)
	}
}

// sleep returns false when the stream must end.
func (c *Console) sleep(r *http.Request, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
	case <-c.closing:
	}
	return false
}

func streamFilter(r *http.Request) (activity.Filter, error) {
	q := newQuery(r, "kinds", "workspace", "integration", "webhook", "connector", "outcome", "status", "text", "subscription")
	f := activity.Filter{Workspace: q.text("workspace"), Integration: q.text("integration"), Webhook: q.text("webhook"), Connector: q.text("connector"),
		Outcome: q.oneOf("outcome", slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(outcomes), turnedKinds...))))), Text: q.text("text"), Subscription: q.text("subscription")}
	f.MinStatus, f.MaxStatus = q.status()
	if kinds := q.text("kinds"); kinds != "" {
		f.Kinds = strings.Split(kinds, ",")
		for _, k := range f.Kinds {
			if !slices.Contains(activity.Kinds, k) && q.err == nil {
				q.err = badRequest(fmt.Sprintf("kinds: %q is not known, known are: %s", k, strings.Join(activity.Kinds, ", ")))
			}
		}
	}
	return f, q.err
}

// turnedKinds are the kinds of ingest.Turned.
var turnedKinds = []string{"handshake", "unverified", "bad-body", "unavailable"}

// status reads a status (404) or a class of them (4xx).
func (q *query) status() (from, to int) {
	text := q.text("status")
	if text == "" {
		return 0, 0
	}
	if class, ok := strings.CutSuffix(text, "xx"); ok && len(class) == 1 && class >= "1" && class <= "5" {
		n := int(class[0]-'0') * 100
		return n, n + 99
	}
	if n, err := strconv.Atoi(text); err == nil && n >= 100 && n <= 599 {
		return n, n
	}
	q.err = badRequest("status: expected a status such as 404, or a class such as 4xx")
	return 0, 0
}

// turned is a request that was answered without being stored.
type turned struct {
	ID          string    `json:"id"`
	Workspace   string    `json:"workspace"`
	Integration string    `json:"integration"`
	Webhook     string    `json:"webhook"`
	Connector   string    `json:"connector"`
	Method      string    `json:"method"`
	Path        string    `json:"path"`
	RemoteAddr  string    `json:"remoteAddr"`
	Kind        string    `json:"kind"`
	Reason      string    `json:"reason"`
	Status      int       `json:"status"`
	ReceivedAt  time.Time `json:"receivedAt"`
	TookMS      float64   `json:"tookMs"`
	BodySize    int       `json:"bodySize"`
}

func viewTurned(t *ingest.Turned) turned {
	return turned{t.ID, t.Workspace, t.Integration, t.Webhook, t.Connector, t.Method, t.Path, t.RemoteAddr, t.Kind, t.Reason, t.Status, t.At, milliseconds(t.Took), t.BodySize}
}

// attempted is an attempt of a delivery, and what became of the delivery.
type attempted struct {
	DeliveryID   string             `json:"deliveryId"`
	RequestID    string             `json:"requestId"`
	EventID      string             `json:"eventId"`
	Selector     string             `json:"selector"`
	Subscription string             `json:"subscription"`
	State        hook.DeliveryState `json:"state"`
	attempt
}

func writeMessage(b *bytes.Buffer, m *activity.Message) {
	var v any
	switch m.Kind {
	case "request":
		v = viewSummary(*m.Request)
	case "turned":
		v = viewTurned(m.Turned)
	case "attempt":
		a := m.Attempt
		v = attempted{a.Delivery, a.Request, a.Event, a.Selector, a.Subscription, a.State, viewAttempt(a.Attempt)}
	case "reload":
		v = viewReload(m.Reload)
	case "change":
		v = viewChange(*m.Change)
	}
	b.WriteString("event: " + m.Kind + "\ndata: ")
	e := json.NewEncoder(b) // it ends with a line break
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // a buffer takes all
	b.WriteByte('\n')
}
