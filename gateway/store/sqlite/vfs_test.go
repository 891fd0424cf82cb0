package sqlite

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"runtime"
	"testing"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"switchhook/gateway/store"
)

// What a commit writes to the WAL goes out in one piece, and a transaction larger than SQLite's cache, which spills pages to the WAL
// and reads them back before it commits, is whole.
func TestWALIsGathered(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if err := s.Append(ctx, benchRecord(1, 10)); err != nil {
		t.Fatal(err)
	}
	// Other tests may write too, so these only grow faster than what is counted on here.
	writes, flushes, commits := walWrites.Load(), walFlushes.Load(), s.commits.Load()
	for n := int64(2); n <= 101; n++ {
		if err := s.Append(ctx, benchRecord(n, 10)); err != nil {
			t.Fatal(err)
		}
	}
	writes, flushes, commits = walWrites.Load()-writes, walFlushes.Load()-flushes, s.commits.Load()-commits
	if commits != 100 || writes < 10*commits || flushes > 2*commits {
		t.Errorf("%d commits: %d writes went out in %d pieces", commits, writes, flushes)
	}

	large := benchRecord(200, 10)
	large.Request.Body = make([]byte, 12<<20)
	rand.Read(large.Request.Body) //nolint:errcheck // it never fails
	for _, e := range large.Events {
		e.FromBody, e.Payload = false, []byte(`{}`)
	}
	if err := s.Append(ctx, large); err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"open", "opened again"} {
		got, err := s.Request(ctx, large.Request.ID)
		if err != nil || !bytes.Equal(got.Request.Body, large.Request.Body) {
			t.Errorf("%s: the large body came back with %v", how, err)
		}
		if got, err := s.Request(ctx, benchRecord(50, 10).Request.ID); err != nil || !bytes.Equal(got.Request.Body, benchBody) {
			t.Errorf("%s: a small one came back with %v", how, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(dir, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// syncCounter stands before the xSync of one file, of a test that is not parallel.
var syncCounter struct {
	system uintptr
	rc     int32
	calls  int
}

func countSync(tls *libc.TLS, file uintptr, flags int32) int32 {
	syncCounter.calls++
	if syncCounter.rc != sqlite3.SQLITE_OK {
		return syncCounter.rc
	}
	return callable[func(*libc.TLS, uintptr, int32) int32](methods(syncCounter.system).FxSync)(tls, file, flags)
}

// What a checkpoint could move only in part is synced all the same, so that the writer need not wait for that when it is held
// back. When that fails, the store takes no more writes.
func TestCheckpointSyncsDatabase(t *testing.T) {
	defer func(frames uint32) { checkpointFrames = frames }(checkpointFrames)
	checkpointFrames = 1 << 30 // none but those of the test
	s := mustOpen(t, t.TempDir())
	defer s.Close()

	at, err := s.cp.databaseFile()
	if err != nil {
		t.Fatal(err)
	}
	file := (*sqlite3.Tsqlite3_file)(pointer(at))
	counting := *methods(file.FpMethods)
	counting.FxSync = function(countSync)
	pin := new(runtime.Pinner)
	pin.Pin(&counting)
	defer pin.Unpin()
	syncCounter.system, syncCounter.calls, syncCounter.rc = file.FpMethods, 0, sqlite3.SQLITE_OK
	defer func() { file.FpMethods = syncCounter.system }()
	file.FpMethods = uintptr(unsafe.Pointer(&counting))

	// checkpoint makes one beside a reader, who needs some of the WAL as it is.
	checkpoint := func(n int) {
		t.Helper()
		reader := <-s.readers
		defer func() { s.readers <- reader }()
		for i := range 2 {
			if err := s.Append(t.Context(), small(n+i)); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				if _, err := reader.exec("BEGIN"); err != nil {
					t.Fatal(err)
				}
				if _, err := reader.number("SELECT count(*) FROM requests"); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.checkpoint(t.Context())
		if p, ok := s.index.read(); !ok || p.backfilled == 0 || p.backfilled == p.frames {
			t.Errorf("moved %d of %d frames, and not a part of them", p.backfilled, p.frames)
		}
		if _, err := reader.exec("COMMIT"); err != nil {
			t.Fatal(err)
		}
	}
	checkpoint(1)
	if syncCounter.calls != 1 {
		t.Errorf("the database was synced %d times", syncCounter.calls)
	}
	s.checkpoint(t.Context())
	if syncCounter.calls != 2 {
		t.Errorf("%d times after one that moved all", syncCounter.calls)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	syncCounter.rc = sqlite3.SQLITE_IOERR_FSYNC
	checkpoint(10)
	if err := s.Append(t.Context(), small(20)); !errors.Is(err, store.ErrBroken) {
		t.Errorf("after a sync that failed: %v", err)
	}
}
