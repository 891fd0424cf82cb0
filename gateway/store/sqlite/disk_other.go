//go:build !linux

package sqlite

import "os"

// allocate does nothing where there is no call for it: then a full disk can show itself when
// the index of the WAL grows, and SQLite reports it.
func allocate(*os.File, int64) error { return nil }

// syncData makes what was written to a file durable.
func syncData(f *os.File) error { return f.Sync() }
