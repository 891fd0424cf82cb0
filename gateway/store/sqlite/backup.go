package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Backup copies what the store in dir holds at one moment to another folder, which is one that Open takes then. A process may have
// the store open and go on; its WAL grows meanwhile, since what a reader may still need stays in it.
// The copy is complete and synced when Backup returns its size in bytes, and not there when it returns an error. Errors: fs.ErrNotExist when there is no
// store, fs.ErrExist when the folder has one, *NewerError, store.ErrCorrupt. It blocks for as long as reading and writing all of it takes, or until ctx ends.
func Backup(ctx context.Context, dir, folder string) (size int64, err error) {
	if size, err = backup(ctx, filepath.Join(dir, "store.db"), filepath.Join(folder, "store.db")); err != nil {
		return 0, fmt.Errorf("backing up the store: %w", err)
	}
	return size, nil
}

func backup(ctx context.Context, path, file string) (size int64, err error) {
	if _, err := os.Stat(path); err != nil {
		return 0, err
	}
	// Without a process that has it open, a WAL may be damaged, and SQLite would leave out what comes after.
	dir := filepath.Dir(path)
	lock, err := lockDir(dir)
	switch {
	case err == nil:
		defer lock.Close() //nolint:errcheck // nothing was written under it
		text, err := os.ReadFile(filepath.Join(dir, "store.mark"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, err
		}
		if _, err := inspectWAL(path, decodeMark(text)); err != nil {
			return 0, err
		}
	case !errors.As(err, new(*LockedError)):
		return 0, err
	}
	if file, err = filepath.Abs(file); err != nil { // nor is a path that begins with / ever taken for a URI
		return 0, err
	}
	err = readOnly(ctx, path, func(c *conn) (err error) {
		size, err = c.copyTo(ctx, file)
		return err
	})
	return size, err
}

// copyTo writes a snapshot of the database to a new file, and returns its size.
func (c *conn) copyTo(ctx context.Context, file string) (size int64, err error) {
	// SQLite takes an empty file as well as none, and leaves it its mode.
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	err = c.query(ctx, "VACUUM INTO ?", func(row) bool { return true }, file)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		var info os.FileInfo
		if info, err = f.Stat(); err == nil {
			size = info.Size()
		}
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = syncDir(filepath.Dir(file))
	}
	if err != nil {
		return 0, errors.Join(err, os.Remove(file))
	}
	return size, nil
}
