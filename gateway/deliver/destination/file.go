package destination

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"switchhook/gateway/deliver"
	"switchhook/gateway/hook"
)

// fileSender appends lines to files. A delivery is done when its line is
// written whole and synced to the disk; lines of deliveries that come at the same time
// share a write and a sync. The file and its folders are made when they are
// missing, readable by the gateway's user (files) and group (folders) only. When it was moved or removed, as
// log rotation does, the next lines go to a new one at the same path.
//
// Lines are never mixed. One that could not be written whole, for want of
// space, is cut off again; where that is impossible (another program appended
// to the file meanwhile, or the machine crashed) the next one begins on a new line.
type fileSender struct {
	mu    sync.Mutex
	files map[string]*lineWriter // by path
}

func newFile(Options) *fileSender { return &fileSender{files: map[string]*lineWriter{}} }

func (s *fileSender) Send(ctx context.Context, sub *hook.Subscription, d *hook.Delivery) deliver.Result {
	path := sub.Destination.Path
	if !filepath.IsAbs(path) {
		return gatewayFailure(sub, fmt.Sprintf("the destination's path %q is not absolute", path))
	}
	data, err := encodeLine(d)
	if err != nil {
		r := gatewayFailure(sub, err.Error())
		r.Permanent = true
		return r
	}
	return lineResult(ctx, sub, s.file(filepath.Clean(path)).write(ctx, data), "the line was not written")
}

func (s *fileSender) file(path string) *lineWriter {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.files[path]
	if w == nil {
		w = newLineWriter(func() sink { return &fileSink{path: path} })
		s.files[path] = w
	}
	return w
}

func (s *fileSender) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all error
	for path, w := range s.files {
		if err := w.close(); err != nil {
			all = errors.Join(all, fmt.Errorf("%s: %w", path, err))
		}
	}
	return all
}

// fileSink is a file that is open for appending, or will be.
type fileSink struct {
	path    string
	f       *os.File
	regular bool
	torn    bool // what is in the file does not end with a line's end
}

func (s *fileSink) append(b []byte) (int, error) {
	size, err := s.ready()
	if err != nil {
		return 0, err
	}
	if s.torn {
		if _, err := s.f.Write([]byte{'\n'}); err != nil {
			return 0, err
		}
		s.torn = false
		size++
	}
	n, err := s.f.Write(b)
	if err != nil {
		n = wholeLines(b, n, func(whole int) {
			// What was written of the line that broke off goes away, if it is the file's end.
			info, serr := s.f.Stat()
			if serr != nil || !s.regular || info.Size() != size+int64(n) || s.f.Truncate(size+int64(whole)) != nil {
				s.torn = true
			}
		})
	}
	if s.regular && n > 0 {
		if serr := s.f.Sync(); serr != nil {
			// After a failed sync nobody knows what is on the disk, and the
			// next one may succeed without having written it.
			s.close()
			return 0, errors.Join(err, serr)
		}
	}
	return n, err
}

// wholeLines returns how many of the first n bytes of b are whole lines, and
// calls torn with that when it is not all of them.
func wholeLines(b []byte, n int, torn func(whole int)) int {
	whole := n
	for whole > 0 && b[whole-1] != '\n' {
		whole--
	}
	if whole != n {
		torn(whole)
	}
	return whole
}

// ready sees to it that the file at the path is open, and returns its size.
func (s *fileSink) ready() (int64, error) {
	if s.f != nil {
		now, err := os.Stat(s.path)
		if err == nil {
			var open fs.FileInfo
			if open, err = s.f.Stat(); err == nil && os.SameFile(now, open) {
				return now.Size(), nil
			}
		}
		s.close() // moved, removed or gone
	}
	if err := s.openFile(); err != nil {
		return 0, err
	}
	info, err := s.f.Stat()
	if err != nil {
		s.close()
		return 0, err
	}
	s.regular = info.Mode().IsRegular()
	s.torn = false
	if s.regular && info.Size() > 0 {
		var last [1]byte
		if _, err := s.f.ReadAt(last[:], info.Size()-1); err == nil {
			s.torn = last[0] != '\n'
		}
	}
	return info.Size(), nil
}

func (s *fileSink) openFile() error {
	// Read access is for looking at the last byte only. Without blocking:
	// opening a named pipe that nobody reads would.
	const flags = os.O_APPEND | os.O_CREATE | syscall.O_NONBLOCK
	open := func() (err error) {
		s.f, err = os.OpenFile(s.path, os.O_RDWR|flags, 0o600)
		if errors.Is(err, fs.ErrPermission) {
			s.f, err = os.OpenFile(s.path, os.O_WRONLY|flags, 0o600)
		}
		return err
	}
	err := open()
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(s.path), 0o750); err == nil {
			err = open()
		}
	}
	if err != nil {
		s.f = nil
	}
	return err
}

func (s *fileSink) close() {
	if s.f != nil {
		_ = s.f.Close() // what counts was synced
		s.f = nil
	}
}
