package live

import (
	"context"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
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

// Watcher sees changes of files below folders, and of single files. It watches folders, not files, so it sees editors
// that write a new file and rename it, and folders that come and go; and it
// looks for changes by itself every two seconds, where no events come from a file
// system, or a symbolic link above is swapped.
type Watcher struct {
	folders, files []string
	seen           uint64 // fingerprint of what was last told of
	notifier       *fsnotify.Watcher
	newNotifier    func() (*fsnotify.Watcher, error)
	poll           time.Duration
}

// NewWatcher remembers what the files are like now: Run tells of what differs from that.
func NewWatcher(folders, files []string) *Watcher {
	w := &Watcher{folders: folders, files: files, newNotifier: fsnotify.NewWatcher, poll: pollEvery}
	w.seen = w.fingerprint()
	return w
}

// Watch runs a new Watcher.
func Watch(ctx context.Context, log *slog.Logger, folders, files []string, changed func()) error {
	return NewWatcher(folders, files).Run(ctx, log, changed)
}

// Run calls changed after files changed, on its own goroutine, and blocks until ctx ends. Many changes that come
// together are one. It is called once.
func (w *Watcher) Run(ctx context.Context, log *slog.Logger, changed func()) error {
	events := make(chan fsnotify.Event)
	var failures chan error
	notifier, err := w.newNotifier()
	if err != nil {
		log.Warn("the file system sends no events, files are looked at every two seconds", "error", err)
	} else {
		defer notifier.Close()
		events, failures, w.notifier = notifier.Events, notifier.Errors, notifier
		w.subscribe()
	}
	look := func() bool {
		now := w.fingerprint()
		if now == w.seen {
			return false
		}
		w.seen = now
		changed()
		return true
	}
	look()
	poll := time.NewTicker(w.poll)
	defer poll.Stop()
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	var first time.Time // of the events not yet acted on
	last := w.seen      // what the last look by itself found
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-events:
			if !w.concerns(e.Name) {
				continue
			}
			if e.Has(fsnotify.Create) {
				w.follow(e.Name)
			}
			if first.IsZero() {
				first = time.Now()
			}
			quiet.Reset(max(0, min(settle, settleMost-time.Since(first))))
		case err := <-failures:
			// Events may have been lost; the next look finds what they said.
			log.Warn("watching files", "error", fmt.Errorf("file system events: %w", err))
		case <-poll.C:
			// What differs from one look to the next is perhaps being written just now.
			if now := w.fingerprint(); first.IsZero() && now != w.seen && now != last {
				last = now
			} else if first.IsZero() && look() {
				w.subscribe() // no event told of it
			}
		case <-quiet.C:
			first = time.Time{}
			look() // attributes and the like change nothing
		}
	}
}

// matters tells whether a path can be part of what is watched: not a hidden
// file (editors keep theirs so), unless it is Kubernetes' ..data.
func matters(path string) bool {
	name := filepath.Base(path)
	return name == "..data" || !strings.HasPrefix(name, ".") && !strings.HasSuffix(name, "~")
}

// concerns tells whether an event is about what is watched. Folders that single files, or watched
// folders, are in hold others too, which may change all the time.
func (w *Watcher) concerns(path string) bool {
	dir := filepath.Dir(path)
	beside := func(other string) bool { return filepath.Dir(other) == dir }
	named := slices.Concat(w.files, w.folders)
	return matters(path) && (filepath.Base(path) == "..data" || slices.Contains(named, path) ||
		slices.Contains(w.folders, dir) || !slices.ContainsFunc(named, beside))
}

// follow asks for events of a folder that is new, before its files are seen.
func (w *Watcher) follow(path string) {
	if filepath.Base(path) == "..data" { // what links lead to is another
		w.subscribe()
		return
	}
	info, err := os.Lstat(path)
	switch {
	case err != nil: // it is gone again
	case info.Mode()&fs.ModeSymlink != 0, slices.Contains(w.folders, path):
		w.subscribe()
	case info.IsDir():
		_ = filepath.WalkDir(path, w.below(func(path string, d fs.DirEntry) {
			if d.IsDir() {
				_ = w.notifier.Add(path)
			}
		}))
	}
}

// subscribe asks for events of all folders there are. Asking twice is harmless.
func (w *Watcher) subscribe() {
	if w.notifier == nil {
		return
	}
	for _, path := range slices.Concat(w.files, w.folders) {
		_ = w.notifier.Add(filepath.Dir(path)) // polling sees what this misses
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
func (w *Watcher) walk(folder string, visit func(string, fs.DirEntry)) {
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
		if !matters(path) || top.Name() == "node_modules" {
			continue
		}
		if top.Type()&fs.ModeSymlink != 0 {
			if target, err := filepath.EvalSymlinks(path); err == nil {
				path = target
			}
		}
		_ = filepath.WalkDir(path, w.below(visit))
	}
}

// below makes of visit what filepath.WalkDir takes.
func (w *Watcher) below(visit func(string, fs.DirEntry)) fs.WalkDirFunc {
	return func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it is gone again, or not ours to read
		}
		if d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".")) && !strings.HasPrefix(d.Name(), "..") {
			return fs.SkipDir
		}
		visit(path, d)
		return nil
	}
}

// fingerprint changes when a file that is watched does: its name, size, time
// or what a link leads to.
func (w *Watcher) fingerprint() uint64 {
	h := fnv.New64a()
	add := func(path string) {
		info, err := os.Stat(path)
		if err != nil {
			fmt.Fprintf(h, "%s -\n", path)
			return
		}
		fmt.Fprintf(h, "%s %d %d %s\n", path, info.Size(), info.ModTime().UnixNano(), info.Mode())
	}
	for _, file := range w.files {
		add(file)
	}
	for _, folder := range w.folders {
		w.walk(folder, func(path string, d fs.DirEntry) {
			if d.IsDir() {
				fmt.Fprintf(h, "%s/\n", path)
			} else {
				add(path)
			}
		})
	}
	return h.Sum64()
}
