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
	level := slog.LevelInfo
	if rec.Failure != nil {
		level = slog.LevelWarn
	}
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	r := rec.Request
	attrs := append(make([]slog.Attr, 0, 16), // on the stack
		slog.String("id", r.ID), slog.String("workspace", r.Workspace), slog.String("integration", r.Integration), slog.String("webhook", r.Webhook),
		slog.String("outcome", string(rec.Outcome)), slog.Int("status", rec.Response.Status), slog.Int("bytes", len(r.Body)),
		slog.Int("events", len(rec.Events)), slog.Int("deliveries", len(rec.Deliveries)), short("took", took))
	duplicates := 0
	for _, e := range rec.Events {
		if e.Duplicate {
			duplicates++
		}
	}
	if duplicates > 0 {
		attrs = append(attrs, slog.Int("duplicates", duplicates))
	}
	if rec.Failure != nil {
		attrs = append(attrs, failure(rec)...)
	}
	l.line(level, attrs...)
}

// line does what slog.Logger.LogAttrs does, but that it does not look where in the code it was called.
func (l *requestLog) line(level slog.Level, attrs ...slog.Attr) {
	r := slog.NewRecord(time.Now(), level, "request", 0)
	r.AddAttrs(attrs...)
	_ = l.log.Handler().Handle(context.Background(), r) // nowhere left to complain
}

// failure is what the log says of a failure.
func failure(rec *hook.Record) []slog.Attr {
	reason := rec.Failure.Message
	if rec.Failure.Path != "" {
		reason = rec.Failure.Path + ": " + reason
	}
	attrs := []slog.Attr{slog.String("kind", rec.Failure.Kind), slog.String("reason", reason)}
	if rec.Failure.ID != "" {
		attrs = append(attrs, slog.String("errorId", rec.Failure.ID))
	}
	if s := rec.Failure.Stack; len(s) > 0 {
		attrs = append(attrs, slog.String("connector", rec.Request.Connector), slog.String("at", fmt.Sprintf("%s:%d:%d", s[0].File, s[0].Line, s[0].Column)))
	}
	return attrs
}

// short is a duration as text, such as "1.4ms": handlers that would make that of it look at all attributes for durations.
func short(key string, d time.Duration) slog.Attr {
	return slog.String(key, d.Round(time.Microsecond).String())
}

func (l *requestLog) Turned(t ingest.Turned) {
	level := slog.LevelInfo
	if t.Kind == "unavailable" {
		level = slog.LevelError
	}
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	l.line(level, slog.String("id", t.ID), slog.String("workspace", t.Workspace), slog.String("integration", t.Integration),
		slog.String("webhook", t.Webhook), slog.String("outcome", t.Kind), slog.Int("status", t.Status), slog.Int("bytes", t.BodySize),
		slog.String("reason", t.Reason), short("took", t.Took))
}
