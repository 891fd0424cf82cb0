package sqlite

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"switchhook/gateway/hook"
	"switchhook/gateway/store"
)

func TestNewerSchema(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	if err := s.w.pragma("user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(dir, Options{})
	var newer *NewerError
	if !errors.As(err, &newer) || newer.Version != 99 || newer.Known != int64(len(migrations)) {
		t.Errorf("Open = %v, want NewerError", err)
	}
}

func TestForeignDatabase(t *testing.T) {
	dir := t.TempDir()
	c, err := dial(t.Context(), filepath.Join(dir, "store.db"), "rwc")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.script("CREATE TABLE other(x)"), c.close()); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(filepath.Join(dir, "store.db"))
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("Open = %v", err)
	}
	after, _ := os.ReadFile(filepath.Join(dir, "store.db"))
	if !slices.Equal(before, after) {
		t.Error("the foreign database was changed")
	}
}

// earlier makes the database of an earlier schema, and leaves it open.
func earlier(t *testing.T, dir string, version int) (*conn, error) {
	t.Helper()
	c, err := dial(t.Context(), filepath.Join(dir, "store.db"), "rwc")
	if err != nil {
		t.Fatal(err)
	}
	all := migrations
	defer func() { migrations = all }()
	migrations = all[:version]
	return c, errors.Join(c.pragma(fmt.Sprintf("page_size = %d", pageSize)), c.pragma("journal_mode = WAL"), migrate(t.Context(), c))
}

// TestMigration: every statement of the migrations runs once, in order, and an
// interrupted one leaves the version as it was.
func TestMigration(t *testing.T) {
	old := migrations
	defer func() { migrations = old }()
	dir := t.TempDir()
	if err := mustOpen(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	migrations = append(slices.Clone(old), "CREATE TABLE more(x); INSERT INTO nowhere VALUES(1)")
	if _, err := Open(dir, Options{}); err == nil {
		t.Fatal("a migration that fails did not fail")
	}
	migrations[len(old)] = "CREATE TABLE more(x); INSERT INTO more VALUES(7)"
	for range 2 {
		s := mustOpen(t, dir)
		if n, err := s.w.number("SELECT sum(x) FROM more"); err != nil || n != 7 {
			t.Errorf("%d, %v", n, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFileModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b%20?#'", "data")
	s := mustOpen(t, dir)
	defer s.Close()
	if err := s.Append(t.Context(), small(1)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory is %v, %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s is %v, %v", e.Name(), info.Mode(), err)
		}
	}
	if want := []string{"store.db", "store.db-shm", "store.db-wal", "store.lock", "store.mark"}; !slices.Equal(names, want) {
		t.Errorf("files %v, want %v", names, want)
	}
}

// TestNeighbours: an op that fails after it wrote takes nobody with it.
func TestNeighbours(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	defer s.Close()
	oops := errors.New("oops")
	var all batch
	add := func(run func(*tx) error) {
		all.ops = append(all.ops, &op{run: run, done: make(chan error, 1)})
	}
	put := func(key string, then error) func(*tx) error {
		return func(tx *tx) error {
			if _, err := tx.exec("INSERT INTO state VALUES('i', ?, 'v')", key); err != nil {
				return err
			}
			tx.tally(tally{block: 5, requests: 1})
			tx.lease(1, int64(len(key)), 1, false)
			return then
		}
	}
	add(put("a", nil))
	add(put("bb", oops))
	add(put("ccc", nil))
	add(func(*tx) error { return refuse(store.ErrConflict) })
	add(put("a", nil)) // a constraint
	add(put("dddd", nil))
	s.gate.Lock()
	ops := slices.Clone(all.ops)
	if _, owed := s.commit(&all); owed {
		t.Error("ops that were written one by one are not synced")
	}
	s.gate.Unlock()
	all.answer()
	var got []string
	for _, o := range ops {
		err := <-o.done
		switch {
		case err == nil:
			got = append(got, "ok")
		case errors.Is(err, oops):
			got = append(got, "oops")
		case err == store.ErrConflict:
			got = append(got, "refused")
		case isConstraint(err):
			got = append(got, "constraint")
		default:
			t.Error(err)
		}
	}
	if want := []string{"ok", "oops", "ok", "refused", "constraint", "ok"}; !slices.Equal(got, want) {
		t.Errorf("the ops got %v, want %v", got, want)
	}
	state, err := s.State(t.Context(), "i")
	if want := map[string]string{"a": "v", "ccc": "v", "dddd": "v"}; err != nil || !reflect.DeepEqual(state, want) {
		t.Errorf("state %v, %v, want %v", state, err, want)
	}
	if sum := s.blocks.totals(); sum.requests != 3 {
		t.Errorf("%d were counted, want 3", sum.requests)
	}
	for id, want := range map[int64]bool{1: true, 2: false, 3: true, 4: true} {
		if s.leases.has(id) != want {
			t.Errorf("lease %d is %v", id, !want)
		}
	}
	if s.Err() != nil {
		t.Errorf("Err = %v", s.Err())
	}
}

// TestWithdrawn: what a caller gave up before the writer took it is not written.
func TestWithdrawn(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	defer s.Close()
	s.gate.Lock()
	var wg sync.WaitGroup
	first := make(chan error, 1)
	one := &op{run: func(*tx) error { return nil }, done: first}
	s.queue.put(one)
	ctx, cancel := context.WithCancel(t.Context())
	second := make(chan error, 1)
	wg.Go(func() { second <- s.Append(ctx, small(2)) })
	for s.queueLen() < 2 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Errorf("Append = %v, want context.Canceled", err)
	}
	s.gate.Unlock()
	wg.Wait()
	if err := <-first; err != nil {
		t.Error(err)
	}
	if err := s.Append(t.Context(), small(3)); err != nil {
		t.Error(err)
	}
	if _, err := s.Request(t.Context(), small(2).Request.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("what was withdrawn is stored: %v", err)
	}
}

func (s *Store) queueLen() int {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return len(s.queue.ops)
}

// TestBlocks: with a mix of requests the lists agree with a plain reading of the tables, after
// a restart too, and whatever block they are in.
func TestBlocks(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	rnd := rand.New(rand.NewPCG(7, 7))
	ctx := t.Context()
	const total = 1100 // more than four blocks
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := g; i < total; i += 4 {
				rec := small(i)
				rec.Request.Integration = fmt.Sprint("int", i%50)
				if i == 300 {
					rec.Outcome = hook.Failed
				}
				rec.Events[0].Selector = fmt.Sprintf("a/b%d/c%d", i%3, i)
				rec.Deliveries[0].Subscription = fmt.Sprint("demo/s", i%200)
				if err := s.Append(ctx, rec); err != nil {
					t.Error(err)
					return
				}
				if i%97 == 0 {
					set := settled(rec.Deliveries[0].ID)
					set.Next = hook.Dead
					if err := s.Settle(ctx, set); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	compare := func() {
		t.Helper()
		count := func(query string) int64 {
			n, err := s.w.number(query)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		sum := s.blocks.totals()
		want := tally{
			requests: count("SELECT count(*) FROM requests"), events: count("SELECT count(*) FROM events"),
			deliveries: count("SELECT count(*) FROM deliveries"),
			open:       count("SELECT count(*) FROM deliveries WHERE state IN (0, 1, 4)"), dead: count("SELECT count(*) FROM deliveries WHERE state = 3"),
		}
		if sum != want {
			t.Errorf("totals %+v, want %+v", sum, want)
		}
		for _, b := range s.blocks.list {
			in := fmt.Sprintf("WHERE id >> 28 = %d", b.id)
			if n := count("SELECT count(*) FROM deliveries " + in + " AND state IN (0, 1, 4)"); n != b.open {
				t.Errorf("block %d has %d open, want %d", b.id, b.open, n)
			}
			if n := count("SELECT count(*) FROM deliveries " + in + " AND state = 3"); n != b.dead {
				t.Errorf("block %d has %d dead, want %d", b.id, b.dead, n)
			}
			if n := count(fmt.Sprintf("SELECT count(*) FROM requests WHERE id >> 8 = %d AND received NOT BETWEEN %d AND %d", b.id, b.oldest, b.newest)); n != 0 {
				t.Errorf("block %d: %d requests are outside of its time", b.id, n)
			}
		}
		for range 30 {
			i := rnd.IntN(total)
			ds, next, err := s.Deliveries(ctx, store.DeliveryQuery{Subscription: fmt.Sprint("demo/s", i%200), Selector: fmt.Sprintf("a/b%d/c%d", i%3, i)})
			if swept := count(fmt.Sprintf("SELECT count(*) FROM requests WHERE request = '%s'", small(i).Request.ID)) == 0; err != nil || next != "" && len(ds) == 0 || len(ds) != 1 && !swept {
				t.Errorf("request %d: %d deliveries, next %q, %v", i, len(ds), next, err)
			}
		}
		var failed []store.RequestSummary
		for cursor := ""; ; {
			page, next, err := s.Requests(ctx, store.RequestQuery{Outcome: hook.Failed, Integration: "int0", Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			failed = append(failed, page...)
			if cursor = next; next == "" {
				break
			}
		}
		if n := count("SELECT count(*) FROM requests WHERE outcome = 3"); int64(len(failed)) != n {
			t.Errorf("%d failed, want %d", len(failed), n)
		}
	}
	compare()
	if n := len(s.growing); n > 2 {
		t.Errorf("%d blocks were not stored", n)
	}
	reopen := func() {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, dir)
	}
	reopen()
	compare()
	// delete some, everywhere
	for i := 0; i < 200; i += 2 {
		ds, err := s.Claim(ctx, fmt.Sprint("demo/s", i), time.Now(), 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range ds {
			if err := s.Settle(ctx, settled(d.ID)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n, err := s.Sweep(ctx, time.Now(), 0, 300); err != nil || n != 300 {
		t.Fatalf("Sweep = %d, %v", n, err)
	}
	compare()
	reopen()
	compare()
	if n, err := s.Sweep(ctx, time.Now(), 0, 10_000); err != nil || n == 0 {
		t.Fatalf("Sweep = %d, %v", n, err)
	}
	if n, err := s.Sweep(ctx, time.Now(), 0, 10_000); err != nil || n != 0 {
		t.Fatalf("Sweep = %d, %v", n, err)
	}
	compare()
	// All that is left is stuck; settling one makes its block be looked at again.
	ds, err := s.Claim(ctx, "demo/s1", time.Now(), 1)
	if err != nil || len(ds) != 1 {
		t.Fatal(ds, err)
	}
	if err := s.Settle(ctx, settled(ds[0].ID)); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Sweep(ctx, time.Now(), 0, 10_000); err != nil || n != 1 {
		t.Fatalf("Sweep = %d, %v", n, err)
	}
	defer s.Close()
	compare()
}

// TestChurn: a store that takes and sweeps does not grow, and gives back what it no longer needs.
func TestChurn(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	defer s.Close()
	ctx := t.Context()
	n := 0
	add := func(count int) {
		var wg sync.WaitGroup
		for range 8 {
			base := n
			n += count / 8
			wg.Go(func() {
				for i := range count / 8 {
					rec := small(base + i)
					rec.Deliveries = nil
					rec.Request.Body = noise(20_000)
					if err := s.Append(ctx, rec); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	}
	size := func() int64 {
		pages, err := s.w.number("PRAGMA page_count")
		if err != nil {
			t.Fatal(err)
		}
		return pages * pageSize
	}
	add(400)
	full := size()
	for range 5 {
		if swept, err := s.Sweep(ctx, time.Time{}, full/2, 1000); err != nil || swept == 0 {
			t.Fatalf("Sweep = %d, %v", swept, err)
		}
		add(200)
	}
	if now := size(); now > full*5/4 {
		t.Errorf("under churn it grew from %d to %d bytes", full, now)
	}
	for range 100 {
		if _, err := s.Sweep(ctx, time.Now(), 0, 1000); err != nil {
			t.Fatal(err)
		}
	}
	if now := size(); now > full/4 {
		t.Errorf("emptied it still takes %d of %d bytes", now, full)
	}
}

// TestDeletedNames: names of subscriptions that are gone do not stay for ever.
func TestDeletedNames(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	defer s.Close()
	ctx := t.Context()
	for i := range 20 {
		sub := &hook.Subscription{Workspace: "demo", Name: fmt.Sprint("s", i)}
		if err := s.PutSubscription(ctx, sub); err != nil {
			t.Fatal(err)
		}
		rec := small(i)
		rec.Deliveries[0].Subscription = sub.ID()
		if err := s.Append(ctx, rec); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			if err := s.DeleteSubscription(ctx, sub.ID()); err != nil {
				t.Fatal(err)
			}
		}
	}
	names := func() int64 {
		n, err := s.w.number("SELECT count(*) FROM subscriptions")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if _, err := s.Sweep(ctx, time.Unix(0, 0), 0, 100); err != nil || names() != 20 {
		t.Errorf("%d names, %v", names(), err)
	}
	if err := s.Settle(ctx, settled(deliveryID(1<<numberBits|1))); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Sweep(ctx, time.Now(), 0, 100); err != nil || n != 20 || names() != 1 {
		t.Errorf("swept %d, %d names left, %v", n, names(), err)
	}
}

// TestResumedDelete: a deletion that was cut short goes on at the next start.
func TestResumedDelete(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	for i := range 5 {
		if err := s.Append(t.Context(), small(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.w.script("UPDATE subscriptions SET deleted = 3"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir)
	defer s.Close()
	if st, err := s.Stats(t.Context()); err != nil || st.Dead != 3 || st.Pending != 2 {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestClaimPlan: the query behind Claim goes by the index, whatever the place it begins at.
func TestClaimPlan(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	defer s.Close()
	for query, want := range map[string]string{
		selectDue:     "SEARCH deliveries USING COVERING INDEX deliveries_due (subscription=? AND due>? AND due<?)",
		selectDueSame: "SEARCH deliveries USING COVERING INDEX deliveries_due (subscription=? AND due=? AND rowid>?)",
		"SELECT 1 FROM deliveries WHERE subscription = ? AND lane = ? AND state < 2 LIMIT 1":                                    "deliveries_lane (subscription=? AND lane=? AND state<?)",
		"SELECT id FROM deliveries WHERE subscription = ? AND lane = ? AND state < 2 AND state = 1 ORDER BY id LIMIT 1":         "deliveries_lane (subscription=? AND lane=? AND state=?)",
		"DELETE FROM subscriptions WHERE deleted < ? AND deleted IS NOT NULL AND spec IS NULL AND disabled IS NULL":             "subscriptions_deleted (deleted>? AND deleted<?)",
		"SELECT name, disabled FROM subscriptions WHERE disabled IS NOT NULL":                                                   "subscriptions_disabled",
		"SELECT id, deleted FROM subscriptions WHERE deleted IS NOT NULL":                                                       "subscriptions_deleted",
		"SELECT subscription FROM deliveries INDEXED BY deliveries_due WHERE state = 0 AND subscription > ? ORDER BY 1 LIMIT 1": "deliveries_due (subscription>?)",
	} {
		var plan []string
		if err := s.w.query(t.Context(), "EXPLAIN QUERY PLAN "+query, func(r row) bool { plan = append(plan, r.text(3)); return true },
			make([]driver.Value, strings.Count(query, "?"))...); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(plan, "; "); !strings.Contains(got, want) || strings.Contains(got, "SORT") || strings.Contains(got, "B-TREE") {
			t.Errorf("%s\n goes by %s, want %s", query, got, want)
		}
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("Host", "example.com", "X", "")
	f.Add("a:b\\", "\n\\n: ", "", ":\n")
	f.Add("\xff", "caf\xe9", " ", " lead")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		want := hook.Headers{{Name: a, Value: b}, {Name: c, Value: d}}
		if got := decodeHeaders(encodeHeaders(want)); !reflect.DeepEqual(got, want) {
			t.Errorf("%q became %q", want, got)
		}
	})
}

// TestFilter: a filter has all that was put in, and little else.
func TestFilter(t *testing.T) {
	m := marks{}
	for i := range 3000 {
		m.add(hash('e', fmt.Sprint("selector", i)))
	}
	f := m.filter()
	wrong := 0
	for i := range 3000 {
		if !filterHas(f, []uint64{hash('e', fmt.Sprint("selector", i))}) {
			t.Fatalf("%d is missing", i)
		}
		if filterHas(f, []uint64{hash('e', fmt.Sprint("other", i))}) {
			wrong++
		}
	}
	if wrong > 30 {
		t.Errorf("%d of 3000 seem to be there", wrong)
	}
	for _, c := range []struct{ selector, prefix string }{
		{"push/octocat/Hello", "push/"}, {"push/octocat/Hello", "push/octocat/H"}, {"a/b/c/d/e/f/g/h/i/j/k", "a/b/c/d/e/f/g/h/i/j/"}, {"x", "x"}, {"/", "/"}, {"//a", "//"},
	} {
		m := marks{}
		m.selector(c.selector)
		if !filterHas(m.filter(), asksPrefix(c.prefix)) {
			t.Errorf("%q does not have the prefix %q", c.selector, c.prefix)
		}
	}
}

// TestSubscriptionFields: every field of a subscription is stored. A new field that
// is not would show here.
func TestSubscriptionFields(t *testing.T) {
	var want hook.Subscription
	set(reflect.ValueOf(&want).Elem())
	text, err := encodeSubscription(&want)
	if err != nil {
		t.Fatal(err)
	}
	got := new(hook.Subscription)
	err = decodeSubscription(text, got)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("stored %+v, got %+v", want, *got)
	}

	// The default delays are not written out, and come back.
	want = hook.Subscription{Workspace: "demo", Name: "a", Destination: hook.Destination{Type: "stdout", Retry: hook.RetryPolicy{Delays: slices.Clone(hook.DefaultRetryDelays)}}}
	if text, err = encodeSubscription(&want); err != nil || len(text) > 120 {
		t.Errorf("%d bytes, %v: %s", len(text), err, text)
	}
	if err = decodeSubscription(text, got); err != nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("stored %+v, got %+v, %v", want, got, err)
	}
	// What most have is decoded without encoding/json, to the same.
	want = hook.Subscription{Workspace: "demo", Name: `a"b\\ü`, Integration: "github", Webhook: "events", Selector: "push/<a>/*", Event: "push",
		Parameters: json.RawMessage(`{"a":[1]}`), Filter: json.RawMessage(`{"b":null}`), Ordered: true, Paused: true,
		Destination: hook.Destination{Type: "http", URL: "https://example.com/?a=1&b=\u2028", Secrets: []string{"whsec_a", "whsec_b"}, Timeout: 15 * time.Second, Concurrency: 16,
			Retry: hook.RetryPolicy{Delays: slices.Clone(hook.DefaultRetryDelays), Jitter: 0.1}, Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}}
	if text, err = encodeSubscription(&want); err != nil {
		t.Fatal(err)
	}
	if !simpleSubscription(text, got) || !reflect.DeepEqual(*got, want) {
		t.Errorf("stored %s, got %+v", text, got)
	}
	for _, bad := range []string{text[:len(text)-1], strings.Replace(text, "10.0.0.0/8", "10.0.0.0", 1), strings.Replace(text, `"Ordered"`, `"Later"`, 1)} {
		if simpleSubscription(bad, got) {
			t.Errorf("%s is taken for %+v", bad, got)
		}
	}
	// As it was written before.
	old := `{"Workspace":"demo","Name":"a","Integration":"","Destination":{"Type":"stdout","Headers":null,"Retry":{"Delays":[0,5],"Jitter":0.1},"Allow":null},"Ordered":false}`
	if err = decodeSubscription(old, got); err != nil || !slices.Equal(got.Destination.Retry.Delays, []time.Duration{0, 5}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// set gives every field a value that is not its zero.
func set(v reflect.Value) {
	if p := v.Addr(); p.Type().String() == "*netip.Prefix" {
		if err := p.Interface().(interface{ UnmarshalText([]byte) error }).UnmarshalText([]byte("10.0.0.0/8")); err != nil {
			panic(err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			set(v.Field(i))
		}
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(`{"a":1}`))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			set(v.Index(i))
		}
	default:
		panic(v.Type())
	}
}

// TestCheckpoints: under steady load, with readers, the WAL begins anew again and
// again; idle it is emptied; and at no time does it look damaged.
func TestCheckpoints(t *testing.T) {
	defer func(a, b, c, d uint32, e time.Duration) {
		checkpointFrames, restartFrames, restFrames, keepFrames, idleTruncate = a, b, c, d, e
	}(checkpointFrames, restartFrames, restFrames, keepFrames, idleTruncate)
	checkpointFrames, restartFrames, restFrames, keepFrames, idleTruncate = 20, 100, 60, 0, time.Millisecond
	dir := t.TempDir()
	s := mustOpen(t, dir)
	defer s.Close()
	ctx, stop := context.WithCancel(t.Context())
	var readers, writers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for ctx.Err() == nil {
				if _, _, err := s.Requests(ctx, store.RequestQuery{Limit: 5}); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	const total = 1200
	for g := range 4 {
		writers.Go(func() {
			for i := g; i < total; i += 4 {
				if err := s.Append(ctx, small(i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	stop()
	readers.Wait()
	info, err := os.Stat(s.path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	// Without beginning anew it would have some 2,000 frames.
	if frames := info.Size() / (frameHeaderSize + pageSize); frames > 1000 {
		t.Errorf("the WAL has %d frames", frames)
	}
	look := func(dir string) {
		t.Helper()
		s := mustOpen(t, dir)
		defer s.Close()
		for i := range total {
			if err := whole(s, i); err != nil {
				t.Fatalf("request %d: %v", i, err)
			}
		}
	}
	look(copyDir(t, dir))
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) { // a ticker of a second begins it
		if info, err := os.Stat(s.path + "-wal"); err == nil && info.Size() == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("idle, the WAL is not emptied")
		}
	}
	look(copyDir(t, dir))
	if err := s.Append(t.Context(), small(total)); err != nil {
		t.Fatal(err)
	}
	look(copyDir(t, dir))
}

// TestClaimAndSettle: while a claim reads, from a snapshot in which a delivery may still
// be pending, the delivery's lease does not end, so it cannot be claimed again.
func TestClaimAndSettle(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	defer s.Close()
	rec := small(1)
	if err := s.Append(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	id, err := deliveryNumber(rec.Deliveries[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	s.Release(rec.Deliveries[0].ID)
	if err := s.tidyLeases(t.Context(), false); err != nil { // so that it is walked over
		t.Fatal(err)
	}
	if ds, err := s.Claim(t.Context(), "demo/s", time.Now(), 2); err != nil || len(ds) != 1 {
		t.Fatal(len(ds), err)
	}
	sub := s.subIDs["demo/s"]
	s.leases.mu.Lock()
	s.leases.queues[sub].floor = nowhere
	s.leases.mu.Unlock()
	q := s.leases.lock(sub)
	ended := make(chan error, 1)
	err = s.read(t.Context(), func(c *conn) error {
		return q.walk(t.Context(), c, time.Now().UnixNano(), func(at spot) bool {
			if at.id != id {
				t.Errorf("walked over %d, want %d", at.id, id)
			}
			before := s.commits.Load()
			go func() { ended <- s.Settle(t.Context(), settled(rec.Deliveries[0].ID)) }()
			for s.commits.Load() == before { // it is settled now, but this snapshot is older
				time.Sleep(time.Millisecond)
			}
			select {
			case err := <-ended:
				t.Error("the lease ended while a claim was reading")
				ended <- err
			case <-time.After(50 * time.Millisecond):
			}
			if s.leases.take(sub, at.id, at.due) {
				t.Error("a settled delivery was claimed")
			}
			return true
		})
	})
	s.leases.unlock(q)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if s.leases.has(id) || len(s.leases.queues) != 0 {
		t.Error("the lease did not end")
	}
}
