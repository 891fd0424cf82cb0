package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"switchhook/gateway/hook"
	"switchhook/gateway/ingest"
)

// requestLog logs one line for every request to a webhook.
type requestLog struct{ log *slog.Logger }

func (l *requestLog) Stored(rec *hook.Record, took time.Duration) {
	r := rec.Request
	attrs := []any{
		"id", r.ID, "workspace", r.Workspace, "integration", r.Integration, "webhook", r.Webhook,
		"outcome", string(rec.Outcome), "status", rec.Response.Status, "bytes", len(r.Body),
		"events", len(rec.Events), "deliveries", len(rec.Deliveries), "took", took,
	}
	duplicates := 0
	for _, e := range rec.Events {
		if e.Duplicate {
			duplicates++
		}
	}
	if duplicates > 0 {
		attrs = append(attrs, "duplicates", duplicates)
	}
	if rec.Failure == nil {
		l.log.Info("request", attrs...)
		return
	}
	reason := rec.Failure.Message
	if rec.Failure.Path != "" {
		reason = rec.Failure.Path + ": " + reason
	}
	attrs = append(attrs, "kind", rec.Failure.Kind, "reason", reason)
	if rec.Failure.ID != "" {
		attrs = append(attrs, "errorId", rec.Failure.ID)
	}
	if s := rec.Failure.Stack; len(s) > 0 {
		attrs = append(attrs, "connector", r.Connector, "at", fmt.Sprintf("%s:%d:%d", s[0].File, s[0].Line, s[0].Column))
	}
	l.log.Warn("request", attrs...)
}

func (l *requestLog) Turned(t ingest.Turned) {
	level := slog.LevelInfo
	if t.Kind == "unavailable" {
		level = slog.LevelError
	}
	l.log.Log(context.Background(), level, "request", "id", t.ID, "workspace", t.Workspace, "integration", t.Integration, "webhook", t.Webhook,
		"outcome", t.Kind, "status", t.Status, "bytes", t.BodySize, "reason", t.Reason, "took", t.Took)
}
