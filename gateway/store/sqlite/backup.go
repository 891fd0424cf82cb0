package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"switchhook/gateway/store"
)

// Backup writes what the store in dir holds at one moment to a new file, which is store.db of another data directory. A process may have
// the store open and go on; its WAL grows meanwhile, since what a reader may still need stays in it.
// The file is complete and synced when Backup returns nil, and not there when it returns an error. Errors: fs.ErrNotExist when there is no
// store, fs.ErrExist when the file is there, *NewerError, store.ErrCorrupt. It blocks for as long as reading and writing all of it takes, or until ctx ends.
func Backup(ctx context.Context, dir, file string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("backing up the store: %w", err)
		}
	}()
	path := filepath.Join(dir, "store.db")
	if _, err := os.Stat(path); err != nil {
		return err
	}
	// Without a process that has it open, a WAL may be damaged, and SQLite would leave out what comes after.
	lock, err := lockDir(dir)
	switch {
	case err == nil:
		defer lock.Close() //nolint:errcheck // nothing was written under it
		text, err := os.ReadFile(filepath.Join(dir, "store.mark"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if _, err := inspectWAL(path, decodeMark(text)); err != nil {
			return err
		}
	case !errors.As(err, new(*LockedError)):
		return err
	}
	c, err := dial(ctx, path, "ro")
	if err != nil {
		return err
	}
	defer c.close() //nolint:errcheck // it has read only
	if err := c.pragma("busy_timeout = 5000"); err != nil {
		return err
	}
	if err := checkSchema(c, path); err != nil {
		return err
	}

	if file, err = filepath.Abs(file); err != nil { // nor is a path that begins with / ever taken for a URI
		return err
	}
	// SQLite takes an empty file as well as none, and leaves it its mode.
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = c.query(ctx, "VACUUM INTO ?", func(row) bool { return true }, file)
	if isDamage(err) {
		err = fmt.Errorf("%w: %s: %w", store.ErrCorrupt, path, err)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = syncDir(filepath.Dir(file))
	}
	if err != nil {
		return errors.Join(err, os.Remove(file))
	}
	return nil
}
