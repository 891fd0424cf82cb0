package sqlite

import (
	"context"
	"slices"
	"testing"
	"time"

	"switchhook/gateway/hook"
)

// List is for the tests of the package from outside.
func (s *Store) List(ctx context.Context) error { return s.list(ctx) }

// inState counts the deliveries that are stored in a state.
func inState(t *testing.T, s *Store, state int64) (n int64) {
	t.Helper()
	if err := s.read(t.Context(), func(c *conn) (err error) {
		n, err = c.number("SELECT count(*) FROM deliveries WHERE state = ?", state)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

func mustAppend(t *testing.T, s *Store, n int) string {
	t.Helper()
	rec := small(n)
	if err := s.Append(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	return rec.Deliveries[0].ID
}

func mustClaim(t *testing.T, s *Store, want ...string) {
	t.Helper()
	ds, err := s.Claim(t.Context(), "demo/s", time.Now(), 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range ds {
		got = append(got, d.ID)
		if d.State != hook.Pending {
			t.Errorf("%s is %s", d.ID, d.State)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("claimed %v, want %v", got, want)
	}
}

// TestBehind: what is delivered at once never gets into the index, what is released does, and what comes until that is claimed.
func TestBehind(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	defer s.Close()
	first := mustAppend(t, s, 1)
	if n := inState(t, s, unlisted); n != 1 {
		t.Fatalf("%d are unlisted, want the new one", n)
	}
	s.Release(first)
	second := mustAppend(t, s, 2)
	if n := inState(t, s, pending); n != 1 {
		t.Errorf("%d are listed, want the one that came after a release", n)
	}
	if err := s.list(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := inState(t, s, pending); n != 2 {
		t.Errorf("%d are listed, want both", n)
	}
	if len(s.leases.loose) != 0 {
		t.Error("what is listed is still kept in memory")
	}
	s.Release(second)
	mustClaim(t, s, first, second)
	third := mustAppend(t, s, 3)
	if n := inState(t, s, unlisted); n != 1 {
		t.Errorf("%d are unlisted, want the one that came after all was claimed", n)
	}
	if err := s.Settle(t.Context(), settled(first), settled(second), settled(third)); err != nil {
		t.Fatal(err)
	}
	if n := inState(t, s, done); n != 3 {
		t.Errorf("%d are done, want all", n)
	}
	if l := s.leases; len(l.held)+len(l.queues)+len(l.loose)+len(l.behind) != 0 {
		t.Errorf("kept in memory: %d leases, %d queues, %d loose, %d behind", len(l.held), len(l.queues), len(l.loose), len(l.behind))
	}
}

// TestWhileListed: between the transaction that lists a delivery and what follows in memory it is in both, and is claimed once.
func TestWhileListed(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	defer s.Close()
	id := mustAppend(t, s, 1)
	number, err := deliveryNumber(id)
	if err != nil {
		t.Fatal(err)
	}
	s.Release(id)
	due := s.leases.queues[s.subIDs["demo/s"]].unlisted[0].due
	if err := s.write(t.Context(), 0, func(tx *tx) error {
		_, err := tx.exec("UPDATE deliveries SET state = 0 WHERE id = ?", number)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	mustClaim(t, s, id)
	mustClaim(t, s)
	s.Release(id)
	mustClaim(t, s, id)
	s.leases.placed(s.subIDs["demo/s"], number, due)
	mustClaim(t, s)
	s.Release(id)
	if len(s.leases.loose) != 0 {
		t.Error("a delivery in the index is kept in memory")
	}
	mustClaim(t, s, id)
	mustClaim(t, s)
}

// TestUnlistedAfterKill: what Append had leased when the process was killed is claimed, once, and so is what was released then.
func TestUnlistedAfterKill(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	defer s.Close()
	leased, released, gone := mustAppend(t, s, 1), mustAppend(t, s, 2), mustAppend(t, s, 3)
	s.Release(released)
	if err := s.Settle(t.Context(), settled(gone)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time from a store that has listed them
		dir = copyDir(t, dir)
		after := mustOpen(t, dir)
		defer after.Close()
		if got, err := after.Stats(t.Context()); err != nil || got.Pending != 2 {
			t.Errorf("Stats = %+v, %v, want 2 pending", got, err)
		}
		var subs []string
		if err := after.NextDue(t.Context(), func(sub string, _ time.Time) bool { subs = append(subs, sub); return true }); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(subs, []string{"demo/s"}) {
			t.Errorf("NextDue yields %v", subs)
		}
		mustClaim(t, after, leased, released)
		mustClaim(t, after)
		after.Release(leased, released)
		if err := after.list(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustClaim(t, after, leased, released)
	}
}
