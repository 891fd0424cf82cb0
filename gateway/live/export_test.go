package live

import (
	"errors"
	"time"

	"github.com/fsnotify/fsnotify"
)

// WithoutEvents makes a Watcher look by itself only, that often.
func WithoutEvents(poll time.Duration) func(*Watcher) {
	return func(w *Watcher) {
		w.newNotifier = func() (*fsnotify.Watcher, error) { return nil, errors.New("no events here") }
		w.poll = poll
	}
}
