package sqlite

import (
	"bytes"
	"context"
	"crypto/rand"
	"testing"
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
