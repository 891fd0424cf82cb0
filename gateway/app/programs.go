package app

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"time"
)

// programCache keeps compiled functions in a folder of the data directory, so that a restart need not compile them
// again. A file is named by a hash of what it was made from, and begins with a hash of the rest. What
// cannot be read or written is compiled.
type programCache struct {
	dir string
	now func() time.Time
}

// programsKept is for how long a program is kept that no start has asked for.
const programsKept = 30 * 24 * time.Hour

// openPrograms makes the folder, and removes from it what was not asked for in a long time.
func openPrograms(data string, now func() time.Time) *programCache {
	c := &programCache{filepath.Join(data, "programs"), now}
	if os.MkdirAll(c.dir, 0o700) != nil {
		return c
	}
	entries, _ := os.ReadDir(c.dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && now().Sub(info.ModTime()) > programsKept {
			_ = os.Remove(filepath.Join(c.dir, e.Name()))
		}
	}
	return c
}

// Get implements script.Cache.
func (c *programCache) Get(key string) ([]byte, bool) {
	path := filepath.Join(c.dir, key)
	text, err := os.ReadFile(path)
	if err != nil || len(text) < sha256.Size {
		return nil, false
	}
	sum, value := text[:sha256.Size], text[sha256.Size:]
	if got := sha256.Sum256(value); !bytes.Equal(sum, got[:]) {
		return nil, false
	}
	if info, err := os.Stat(path); err == nil && c.now().Sub(info.ModTime()) > programsKept/30 {
		_ = os.Chtimes(path, time.Time{}, c.now())
	}
	return value, true
}

// Put implements script.Cache.
func (c *programCache) Put(key string, value []byte) {
	f, err := os.CreateTemp(c.dir, "new-")
	if err != nil {
		return
	}
	sum := sha256.Sum256(value)
	_, err = f.Write(append(sum[:], value...))
	if f.Close() != nil || err != nil || os.Rename(f.Name(), filepath.Join(c.dir, key)) != nil {
		_ = os.Remove(f.Name())
	}
}
