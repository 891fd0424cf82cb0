package live

import (
	"context"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// The times of a Watch.
const (
	// settle is how long nothing must happen before a change counts as over,
	// so that a checkout of many files is one change.
	settle = 100 * time.Millisecond
	// settleMost bounds settle, or a file that is written to without end would
	// keep every other change from being seen.
	settleMost = time.Second
	// pollEvery is how often the files are looked at by themselves, for file
	// systems that send no events.
	pollEvery = 2 * time.Second
)

// Watch calls changed after files below folders, or one of files, changed, and
// blocks until ctx ends. It watches folders, not files, so it sees editors
// that write a new file and rename it, and folders that come and go; and it
// looks for changes by itself every two seconds, where no events come from a file
// system, or a symbolic link above is swapped. changed is called on Watch's goroutine.
func Watch(ctx context.Context, log *slog.Logger, folders, files []string, changed func()) error {
	w := &watch{folders: folders, files: files}
	events := make(chan fsnotify.Event)
	var failures chan error
	notifier, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("the file system sends no events, files are looked at every two seconds", "error", err)
	} else {
		defer notifier.Close()
		events, failures, w.notifier = notifier.Events, notifier.Errors, notifier
		w.subscribe()
	}
	seen := w.fingerprint()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	var first time.Time // of the events not yet acted on
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-events:
			if !w.matters(e.Name) {
				continue
			}
			if e.Has(fsnotify.Create) {
				w.subscribe() // a new folder must be watched before its files are seen
			}
			if first.IsZero() {
				first = time.Now()
			}
			quiet.Reset(max(0, min(settle, settleMost-time.Since(first))))
		case err := <-failures:
			// Events may have been lost; the next look finds what they said.
			log.Warn("watching files", "error", fmt.Errorf("file system events: %w", err))
		case <-poll.C:
			if !first.IsZero() {
				continue
			}
			if now := w.fingerprint(); now != seen {
				seen = now
				w.subscribe()
				changed()
			}
		case <-quiet.C:
			first = time.Time{}
			// Attributes and the like change nothing.
			if now := w.fingerprint(); now != seen {
				seen = now
				w.subscribe()
				changed()
			}
		}
	}
}

type watch struct {
	folders, files []string
	notifier       *fsnotify.Watcher
}

// matters tells whether a path can be part of what is watched: not a hidden
// file (editors keep theirs so), unless it is Kubernetes' ..data.
func (w *watch) matters(path string) bool {
	name := filepath.Base(path)
	return name == "..data" || !strings.HasPrefix(name, ".") && !strings.HasSuffix(name, "~")
}

// subscribe asks for events of all folders there are. Asking twice is harmless.
func (w *watch) subscribe() {
	if w.notifier == nil {
		return
	}
	for _, file := range w.files {
		_ = w.notifier.Add(filepath.Dir(file)) // polling sees what this misses
	}
	for _, folder := range w.folders {
		w.walk(folder, func(path string, d fs.DirEntry) {
			if d.IsDir() {
				_ = w.notifier.Add(path)
			}
		})
	}
}

// walk visits everything below folder that matters, links followed at the top.
func (w *watch) walk(folder string, visit func(string, fs.DirEntry)) {
	if target, err := filepath.EvalSymlinks(folder); err == nil {
		folder = target
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return
	}
	if info, err := os.Stat(folder); err == nil {
		visit(folder, fs.FileInfoToDirEntry(info))
	}
	for _, top := range entries {
		path := filepath.Join(folder, top.Name())
		if !w.matters(path) || top.Name() == "node_modules" {
			continue
		}
		if top.Type()&fs.ModeSymlink != 0 {
			if target, err := filepath.EvalSymlinks(path); err == nil {
				path = target
			}
		}
		_ = filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil // it is gone again, or not ours to read
			}
			if d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".")) {
				return fs.SkipDir
			}
			visit(path, d)
			return nil
		})
	}
}

// fingerprint changes when a file that is watched does: its name, size, time
// or what a link leads to.
func (w *watch) fingerprint() uint64 {
	h := fnv.New64a()
	add := func(path string) {
		info, err := os.Stat(path)
		if err != nil {
			fmt.Fprintf(h, "%s -\n", path)
			return
		}
		if info.IsDir() {
			fmt.Fprintf(h, "%s/\n", path)
			return
		}
		fmt.Fprintf(h, "%s %d %d %s\n", path, info.Size(), info.ModTime().UnixNano(), info.Mode())
	}
	for _, file := range w.files {
		add(file)
	}
	for _, folder := range w.folders {
		w.walk(folder, func(path string, _ fs.DirEntry) { add(path) })
	}
	return h.Sum64()
}
