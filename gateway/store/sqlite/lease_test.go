package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"switchhook/gateway/hook"
)

// List is for the tests of the package from outside.
func (s *Store) List(ctx context.Context) error { return s.tidyLeases(ctx, true) }

// number is what a query finds.
func number(t *testing.T, s *Store, query string, args ...driver.Value) (n int64) {
	t.Helper()
	if err := s.read(t.Context(), func(c *conn) (err error) {
		n, err = c.number(query, args...)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// inState counts the deliveries that are stored in a state.
func inState(t *testing.T, s *Store, state int64) int64 {
	t.Helper()
	return number(t, s, "SELECT count(*) FROM deliveries WHERE state = ?", state)
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
	if err := s.tidyLeases(t.Context(), false); err != nil {
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
		if err := after.tidyLeases(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		mustClaim(t, after, leased, released)
	}
}

// stillUnlisted counts the deliveries that a run after this one would find unlisted.
func stillUnlisted(t *testing.T, s *Store) int64 {
	t.Helper()
	return number(t, s, "SELECT count(*) FROM deliveries WHERE state = 4 AND id > (SELECT value FROM meta WHERE key = 'listed')")
}

func mustTidy(t *testing.T, s *Store, long bool) {
	t.Helper()
	if err := s.tidyLeases(t.Context(), long); err != nil {
		t.Fatal(err)
	}
}

// TestListedBound: the bound passes what is settled and listed, and nothing that is not.
func TestListedBound(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	defer s.Close()
	bound := func() int64 {
		t.Helper()
		return number(t, s, "SELECT value FROM meta WHERE key = 'listed'")
	}
	idOf := func(id string) int64 {
		t.Helper()
		n, err := deliveryNumber(id)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	settle := func(id string) {
		t.Helper()
		if err := s.Settle(t.Context(), settled(id)); err != nil {
			t.Fatal(err)
		}
	}
	first, second, third := mustAppend(t, s, 1), mustAppend(t, s, 2), mustAppend(t, s, 3)
	settle(second)
	mustTidy(t, s, false)
	if got, want := bound(), idOf(first)-1; got != want {
		t.Errorf("while the first is leased the bound is %d, want %d", got, want)
	}
	settle(first)
	mustTidy(t, s, false)
	if got, want := bound(), idOf(third)-1; got != want {
		t.Errorf("while the third is leased the bound is %d, want %d", got, want)
	}
	// What is released, and claimed again from memory, is as unlisted as before.
	s.Release(third)
	if got, _ := s.leases.bound(); got != idOf(third)-1 {
		t.Errorf("with the third released the bound is %d, want %d", got, idOf(third)-1)
	}
	mustClaim(t, s, third)
	mustTidy(t, s, false)
	if n := stillUnlisted(t, s); n != 1 {
		t.Errorf("%d are found unlisted, want the one that was claimed from memory", n)
	}
	settle(third)
	mustTidy(t, s, false)
	if got := bound(); got != idOf(third) {
		t.Errorf("with all settled the bound is %d, want %d", got, idOf(third))
	}

	// A request that is replayed has deliveries below the bound, which are listed for that reason; in the next run too.
	again := small(2)
	replay := func(s *Store, want int64) {
		t.Helper()
		again.Events[0].ID += "_again"
		if err := s.ReplayRecord(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		if n := inState(t, s, pending); n != want {
			t.Errorf("%d are listed, want %d, those of the replayed request", n, want)
		}
	}
	replay(s, 1)
	after := mustOpen(t, copyDir(t, dir))
	replay(after, 2)
	if err := after.Close(); err != nil {
		t.Error(err)
	}
}

// TestListedWhileLeased: what is leased for long is listed meanwhile, once, and settled, released and claimed like others.
func TestListedWhileLeased(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	defer s.Close()
	first, second := mustAppend(t, s, 1), mustAppend(t, s, 2)
	mustTidy(t, s, true)
	if n := inState(t, s, unlisted); n != 2 {
		t.Fatalf("%d are unlisted, want both: they are new", n)
	}
	third := mustAppend(t, s, 3)
	mustTidy(t, s, true)
	if n := inState(t, s, pending); n != 2 {
		t.Fatalf("%d are listed, want the first two", n)
	}
	if n := stillUnlisted(t, s); n != 1 {
		t.Errorf("%d are found unlisted, want the third", n)
	}
	mustClaim(t, s) // all are leased
	if got, err := s.Backlog(t.Context(), "demo/s", 10); err != nil || got.Open != 3 {
		t.Errorf("Backlog = %+v, %v, want 3 open", got, err)
	}
	after := mustOpen(t, copyDir(t, dir))
	mustClaim(t, after, first, second, third)
	if err := after.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Settle(t.Context(), settled(first)); err != nil {
		t.Fatal(err)
	}
	s.Release(second)
	mustClaim(t, s, second)
	if err := s.Settle(t.Context(), settled(second), settled(third)); err != nil {
		t.Fatal(err)
	}
	mustClaim(t, s)
	if l := s.leases; len(l.held)+len(l.queues)+len(l.loose) != 0 {
		t.Errorf("kept in memory: %d leases, %d queues, %d loose", len(l.held), len(l.queues), len(l.loose))
	}
}

// TestDeleteWithUnlisted: what is unlisted of a subscription that is deleted dies, leased or not, and nothing of others.
func TestDeleteWithUnlisted(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	defer s.Close()
	if err := s.PutSubscription(t.Context(), &hook.Subscription{Workspace: "demo", Name: "s", Integration: "i", Webhook: "w", Selector: "a/*"}); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, 1)
	s.Release(mustAppend(t, s, 2))
	other := small(3)
	other.Deliveries[0].Subscription = "demo/other"
	if err := s.Append(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteSubscription(t.Context(), "demo/s"); err != nil {
		t.Fatal(err)
	}
	if dead, open := inState(t, s, dead), inState(t, s, unlisted); dead != 2 || open != 1 {
		t.Errorf("%d are dead and %d unlisted, want 2 and that of the other subscription", dead, open)
	}
}

// TestIndexOfUnlistedBefore: what a version left unlisted that had an index of them is found.
func TestIndexOfUnlistedBefore(t *testing.T) {
	for name, rows := range map[string][]string{
		"unlisted among settled": {"(1, 2)", "(2, 4)", "(3, 2)", "(4, 4)"},
		"all settled":            {"(1, 2)", "(2, 2)"},
		"nothing":                nil,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c, err := earlier(t, dir, 4)
			if err == nil {
				err = c.script("INSERT INTO sources VALUES(1, 'demo', 'i', 'w', 'c'); INSERT INTO subscriptions(id, name) VALUES(1, 'demo/s')")
			}
			want := []string{}
			for i, row := range rows {
				if err == nil {
					err = c.script(fmt.Sprintf(`WITH v(n, state) AS (VALUES %s)
						INSERT INTO deliveries SELECT (n << 20) + 1, 1, 1, state, 1, 0, 0, NULL FROM v;
						WITH v(n, state) AS (VALUES %[1]s) INSERT INTO requests SELECT n, 'req_' || n, 1, 0, 200, n, 1, 'POST', '/p', 2, 1, 1, NULL FROM v;
						WITH v(n, state) AS (VALUES %[1]s) INSERT INTO events SELECT (n << 20) + 1, 'evt_' || n, NULL, 'a', NULL, NULL, NULL, 2, x'7b7d', NULL FROM v;
						WITH v(n, state) AS (VALUES %[1]s) INSERT INTO contents(id, url, body) SELECT n, 'https://example.com/p', x'7b7d' FROM v`, row))
				}
				if row[len(row)-2] == '4' {
					want = append(want, deliveryID(int64(i+1)<<numberBits+1))
				}
			}
			if err := errors.Join(err, c.close()); err != nil {
				t.Fatal(err)
			}
			s := mustOpen(t, dir)
			defer s.Close()
			mustClaim(t, s, want...)
			if n := stillUnlisted(t, s); n != int64(len(want)) {
				t.Errorf("%d are found unlisted, want %d", n, len(want))
			}
		})
	}
}
