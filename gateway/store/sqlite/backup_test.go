package sqlite

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"switchhook/gateway/store"
)

// TestBackup: a backup that is made while records are added is a store that has all that came before, whole, and
// nothing but whole records of what came meanwhile.
func TestBackup(t *testing.T) {
	dir, to := t.TempDir(), t.TempDir()
	s := mustOpen(t, dir)
	defer s.Close()
	const before, most = 50, 3000
	for i := 1; i <= before; i++ {
		if err := s.Append(t.Context(), small(i)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var adding sync.WaitGroup
	began := make(chan struct{})
	adding.Go(func() {
		for i := before + 1; i <= most && ctx.Err() == nil; i++ {
			if err := s.Append(t.Context(), small(i)); err != nil {
				t.Error(err)
			}
			if i == before+1 {
				close(began)
			}
		}
	})
	<-began
	file := filepath.Join(to, "store.db")
	size, err := Backup(t.Context(), dir, to)
	stop()
	adding.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Backup(t.Context(), dir, to); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Backup to a file that is there = %v, want fs.ErrExist", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 || info.Size() != size {
		t.Errorf("the backup is %v, %v, want a file of %d bytes for its owner alone", info, err, size)
	}
	after := mustOpen(t, to)
	defer after.Close()
	stats, err := after.Stats(t.Context())
	if err != nil || stats.Requests <= before || stats.Requests > most {
		t.Fatalf("Stats = %+v, %v", stats, err)
	}
	for i := 1; i <= int(stats.Requests); i++ {
		if err := whole(after, i); err != nil {
			t.Error(err)
		}
	}
	if int(stats.Pending) != int(stats.Requests) {
		t.Errorf("%d deliveries are pending of %d", stats.Pending, stats.Requests)
	}
	// It is a store like any other.
	if err := after.Append(t.Context(), small(most+1)); err != nil {
		t.Error(err)
	}
	if n, err := after.w.number("PRAGMA page_size"); err != nil || n != pageSize {
		t.Errorf("its pages have %d bytes, %v", n, err)
	}
	if n, err := after.w.number("PRAGMA auto_vacuum"); err != nil || n != 2 {
		t.Errorf("auto_vacuum is %d, %v", n, err)
	}
}

// TestBackupOfKilled: a store that was killed is backed up with all that is in its WAL, and stays as it is. One that is damaged is
// refused, and so is a folder without a store, and a call that ends; no file is left then.
func TestBackupOfKilled(t *testing.T) {
	const n = 6
	dir := killed(t, n)
	to := t.TempDir()
	if _, err := Backup(t.Context(), dir, to); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{to, dir} {
		s := mustOpen(t, d)
		for i := 1; i <= 2*n; i++ {
			if err := whole(s, i); err != nil {
				t.Error(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}

	damaged := killed(t, n)
	wal := filepath.Join(damaged, "store.db-wal")
	text, err := os.ReadFile(wal)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(wal, text, 0o600); err != nil {
		t.Fatal(err)
	}
	// Damage in the database itself has SQLite end the copy.
	unreadable := killed(t, n)
	if err := os.WriteFile(filepath.Join(unreadable, "store.db"), bytes.Repeat([]byte("not a database. "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		dir  string
		want error
	}{
		"damaged":    {t.Context(), damaged, store.ErrCorrupt},
		"unreadable": {t.Context(), unreadable, store.ErrCorrupt},
		"no store":   {t.Context(), t.TempDir(), fs.ErrNotExist},
		"ended":      {ended, dir, context.Canceled},
	} {
		folder := t.TempDir()
		if _, err := Backup(c.ctx, c.dir, folder); !errors.Is(err, c.want) {
			t.Errorf("%s: Backup = %v, want %v", name, err, c.want)
		}
		if _, err := os.Stat(filepath.Join(folder, "store.db")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a file was left (%v)", name, err)
		}
	}
}
