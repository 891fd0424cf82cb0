package sqlite

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"modernc.org/libc"
	driverOf "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// newConn is a connection to a new database with a script run.
func newConn(t *testing.T, script string) *conn {
	t.Helper()
	c, err := dial(t.Context(), filepath.Join(t.TempDir(), "x.db"), "rwc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.close(); err != nil {
			t.Error(err)
		}
	})
	if err := c.script("PRAGMA synchronous = OFF;" + script); err != nil {
		t.Fatal(err)
	}
	return c
}

func mustExec(t *testing.T, c *conn, query string, values ...driver.Value) int64 {
	t.Helper()
	n, err := c.exec(query, values...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// TestConnValues: what is bound is what is stored, and what is read.
func TestConnValues(t *testing.T) {
	c := newConn(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
	long := bytes.Repeat([]byte("0123456789abcde\x00"), 5<<20/16)
	values := []driver.Value{nil, []byte(nil), []byte{}, "", int64(0), int64(1), int64(-1), int64(math.MaxInt64), int64(math.MinInt64),
		"a", "a\x00b", "\x00", "ä€𝄞", "\xff\xfe not UTF-8", []byte{0}, []byte("\xff\x00"), string(long), long}
	for _, room := range []int{minRoom, keptRoom} {
		for n := room - 1; n <= room+1; n++ {
			values = append(values, string(long[:n]), long[:n])
		}
	}
	values = append(values, "short again", int64(7))
	for i, v := range values {
		if n := mustExec(t, c, "INSERT INTO t VALUES(?, ?)", int64(i), v); n != 1 {
			t.Errorf("value %d: %d rows", i, n)
		}
	}
	check := func(i int, how string, r row) {
		t.Helper()
		kind, text, blob, number := int32(sqlite3.SQLITE_NULL), "", []byte(nil), int64(0)
		switch v := values[i].(type) {
		case int64:
			kind, number = sqlite3.SQLITE_INTEGER, v
		case string:
			kind, text, blob = sqlite3.SQLITE_TEXT, v, []byte(v)
		case []byte:
			if v != nil {
				kind, text, blob = sqlite3.SQLITE_BLOB, string(v), v
			}
		}
		if r[0].kind != kind || r.null(0) != (kind == sqlite3.SQLITE_NULL) || r.int(0) != number || r.text(0) != text || !bytes.Equal(r.blob(0), blob) {
			t.Errorf("value %d, %s: kind %d, number %d, %.20q, %.20q; not kind %d, number %d, %.20q", i, how, r[0].kind, r.int(0), r.text(0), r.blob(0), kind, number, text)
		}
	}
	at := 0
	if err := c.query(t.Context(), "SELECT v FROM t ORDER BY id", func(r row) bool {
		check(at, "stored", r)
		at++
		return true
	}); err != nil || at != len(values) {
		t.Errorf("%d of %d rows, %v", at, len(values), err)
	}
	for i, v := range values {
		r, err := c.one(t.Context(), "SELECT ?", v)
		if err != nil {
			t.Fatal(err)
		}
		check(i, "echoed", r)
	}
	for query, s := range c.stmts {
		if s.room > keptRoom {
			t.Errorf("%s keeps %d bytes", query, s.room)
		}
	}
	if r, err := c.one(t.Context(), "SELECT 1.5"); err != nil || r.null(0) || r.int(0) != 0 || r.text(0) != "" {
		t.Errorf("a fraction is %v, %v", r, err)
	}
}

// TestConnBinds: values stay what they were while a statement runs, whatever happens to the caller's; and what rows
// held stays when SQLite has gone on.
func TestConnBinds(t *testing.T) {
	c := newConn(t, "")
	var onStack [64]byte
	copy(onStack[:], "on the stack")
	text := string(onStack[:12])
	body := bytes.Repeat([]byte("body"), 1000)
	want := bytes.Clone(body)
	var texts []string
	var blobs [][]byte
	err := c.query(t.Context(), "WITH n(i) AS (VALUES(1), (2), (3)) SELECT ?, ?, ?, i FROM n", func(r row) bool {
		texts = append(texts, r.text(0), r.text(1))
		blobs = append(blobs, r.blob(2))
		moveStack(1000)
		clear(onStack[:])
		clear(body)
		return true
	}, text, onStack[:12], body)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		mustExec(t, c, "SELECT ?, ?, ?", strings.Repeat("x", 12), "y", bytes.Repeat([]byte("z"), 4000))
	}
	if !slices.Equal(texts, slices.Repeat([]string{"on the stack"}, 6)) {
		t.Errorf("texts %q", texts)
	}
	for i, b := range blobs {
		if !bytes.Equal(b, want) {
			t.Errorf("blob %d is %.20q", i, b)
		}
	}
	if len(blobs) != 3 || &blobs[0][0] == &blobs[1][0] {
		t.Error("rows share a blob")
	}
}

// moveStack makes the stack grow, which moves it.
func moveStack(depth int) byte {
	var room [1024]byte
	if depth > 0 {
		room[depth%1024] = moveStack(depth - 1)
	}
	return room[depth%7]
}

// TestConnErrors: errors have SQLite's extended codes and the driver's words, and a statement that failed can be run again.
func TestConnErrors(t *testing.T) {
	c := newConn(t, "CREATE TABLE t(a INTEGER PRIMARY KEY, b UNIQUE, c CHECK(c < 10)); INSERT INTO t VALUES(1, 'one', 1)")
	insert := "INSERT INTO t VALUES(?, ?, ?)"
	failing := []struct {
		query  string
		values []driver.Value
		code   int
	}{
		{insert, []driver.Value{int64(1), "two", int64(2)}, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY},
		{insert, []driver.Value{int64(2), "one", int64(2)}, sqlite3.SQLITE_CONSTRAINT_UNIQUE},
		{insert, []driver.Value{int64(2), "two", int64(20)}, sqlite3.SQLITE_CONSTRAINT_CHECK},
		{"INSERT INTO t VALUES('x', 1, 1)", nil, sqlite3.SQLITE_MISMATCH},
		{"SELECT * FROM nothing", nil, sqlite3.SQLITE_ERROR},
		{"SELEC 1", nil, sqlite3.SQLITE_ERROR},
		{`SELECT "no text"`, nil, sqlite3.SQLITE_ERROR},
		{"SELECT abs(-9223372036854775808)", nil, sqlite3.SQLITE_ERROR},
		{"SELECT zeroblob(2000000000)", nil, sqlite3.SQLITE_TOOBIG},
		{"COMMIT", nil, sqlite3.SQLITE_ERROR},
	}
	name := ""
	if r, err := c.one(t.Context(), "SELECT file FROM pragma_database_list"); err != nil {
		t.Fatal(err)
	} else {
		name = r.text(0)
	}
	connector, err := driverOf.NewConnector("file:" + name + "?_error_rc=1&_dqs=0")
	if err != nil {
		t.Fatal(err)
	}
	other, err := connector.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, f := range failing {
		_, err := c.exec(f.query, f.values...)
		var args []driver.NamedValue
		for i, v := range f.values {
			args = append(args, driver.NamedValue{Ordinal: i + 1, Value: v})
		}
		_, theirs := other.(driver.ExecerContext).ExecContext(t.Context(), f.query, args)
		if code(err) != f.code || fmt.Sprint(err) != fmt.Sprint(theirs) {
			t.Errorf("%s %v: %v (code %d, not %d); the driver says %v", f.query, f.values, err, code(err), f.code, theirs)
		}
		if len(f.values) == 0 {
			if err := c.script(f.query); code(err) != f.code {
				t.Errorf("script %s: %v", f.query, err)
			}
		}
		if err := c.query(t.Context(), f.query, func(row) bool { return true }, f.values...); code(err) != f.code {
			t.Errorf("query %s: %v", f.query, err)
		}
		if isConstraint(err) != (f.code&0xff == sqlite3.SQLITE_CONSTRAINT) || gradeOf(err) != ofCall || isDamage(err) {
			t.Errorf("%s: constraint %v, grade %v", f.query, isConstraint(err), gradeOf(err))
		}
		if n := mustExec(t, c, insert, int64(2), "two", int64(2)); n != 1 {
			t.Errorf("after %s: %d rows inserted", f.query, n)
		}
		if n := mustExec(t, c, "DELETE FROM t WHERE a = 2"); n != 1 {
			t.Errorf("after %s: %d rows deleted", f.query, n)
		}
	}

	// What SQLite says of another error is not said of this one.
	if _, err := c.exec("SELEC 1"); err == nil || c.failure(sqlite3.SQLITE_NOMEM).Error() != "out of memory (7)" {
		t.Errorf("no memory: %v", c.failure(sqlite3.SQLITE_NOMEM))
	}
	mustExec(t, c, "PRAGMA max_page_count = 4")
	if _, err := c.exec("INSERT INTO t VALUES(3, ?, 3)", make([]byte, 100_000)); gradeOf(err) != ofDisk {
		t.Errorf("a full database: %v", err)
	}
	read, err := dial(t.Context(), name, "ro")
	if err != nil {
		t.Fatal(err)
	}
	defer read.close() //nolint:errcheck // it has read only
	if _, err := read.exec("DELETE FROM t"); code(err) != sqlite3.SQLITE_READONLY {
		t.Errorf("a write of one that reads: %v", err)
	}
	missing := filepath.Join(t.TempDir(), "missing.db")
	if _, err := dial(t.Context(), missing, "rw"); code(err) != sqlite3.SQLITE_CANTOPEN || err.Error() != "unable to open database file (14)" {
		t.Errorf("a file that is missing: %v", err)
	}
	if err := os.WriteFile(missing, bytes.Repeat([]byte("no database"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	damaged, err := dial(t.Context(), missing, "rw")
	if err != nil {
		t.Fatal(err)
	}
	defer damaged.close() //nolint:errcheck // there is nothing in it
	if _, err := damaged.number("SELECT count(*) FROM sqlite_schema"); !isDamage(err) || gradeOf(err) != ofFile {
		t.Errorf("a file that is no database: %v", err)
	}
}

// TestConnMisuse: mistakes of callers are errors, and do no harm.
func TestConnMisuse(t *testing.T) {
	c := newConn(t, "CREATE TABLE t(a)")
	for _, f := range []struct {
		query  string
		values []driver.Value
	}{
		{"INSERT INTO t VALUES(?)", nil},
		{"INSERT INTO t VALUES(?)", []driver.Value{int64(1), int64(2)}},
		{"INSERT INTO t VALUES(?)", []driver.Value{1}},
		{"INSERT INTO t VALUES(?)", []driver.Value{true}},
		{"INSERT INTO t VALUES(1); INSERT INTO t VALUES(2)", nil},
		{"INSERT INTO t VALUES(1)\x00", nil},
		{"-- nothing", nil},
		{"", nil},
	} {
		if _, err := c.exec(f.query, f.values...); err == nil {
			t.Errorf("%s with %v was run", f.query, f.values)
		}
	}
	if n, err := c.number("SELECT count(*) FROM t"); n != 0 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
}

// TestConnNested: a statement can be run while the rows of another one are read, and not within itself.
func TestConnNested(t *testing.T) {
	c := newConn(t, "CREATE TABLE t(a, b); INSERT INTO t VALUES(1, 'one'), (2, 'two'), (3, 'three'); CREATE TABLE copied(a, b)")
	outer := "SELECT a, b, ? FROM t WHERE a > ? ORDER BY a"
	var seen []string
	if err := c.query(t.Context(), outer, func(r row) bool {
		if err := c.query(t.Context(), outer, func(row) bool { return true }, "inner", int64(0)); !errors.Is(err, errRunning) {
			t.Errorf("within itself: %v", err)
		}
		if _, err := c.exec(outer, "inner", int64(0)); !errors.Is(err, errRunning) {
			t.Errorf("within itself: %v", err)
		}
		mustExec(t, c, "INSERT INTO copied VALUES(?, ?)", r.int(0), r.text(1))
		b, err := c.one(t.Context(), "SELECT b FROM copied WHERE a = ?", r.int(0))
		if err != nil {
			t.Error(err)
		}
		seen = append(seen, b.text(0)+r.text(1)+r.text(2))
		return true
	}, "outer", int64(0)); err != nil {
		t.Error(err)
	}
	if want := []string{"oneoneouter", "twotwoouter", "threethreeouter"}; !slices.Equal(seen, want) {
		t.Errorf("saw %q, not %q", seen, want)
	}

	func() {
		defer func() {
			if recover() == nil {
				t.Error("a panic was lost")
			}
		}()
		c.query(t.Context(), outer, func(row) bool { panic("within a row") }, "", int64(0)) //nolint:errcheck // it does not return
	}()
	n := 0
	if err := c.query(t.Context(), outer, func(row) bool { n++; return n < 2 }, "", int64(1)); err != nil || n != 2 {
		t.Errorf("after a panic: %d rows, %v", n, err)
	}
	// Neither has left anything open.
	if err := c.script("DROP TABLE t"); err != nil {
		t.Error(err)
	}
}

// askedContext can end, and calls asked each time somebody looks whether it has.
type askedContext struct {
	context.Context
	asked func() error
}

func (c *askedContext) Done() <-chan struct{} { return make(chan struct{}) }
func (c *askedContext) Err() error            { return c.asked() }

// endsAfter is a context that has ended when it was looked at so many times.
func endsAfter(t *testing.T, looks int) *askedContext {
	return &askedContext{t.Context(), func() error {
		if looks--; looks < 0 {
			return context.Canceled
		}
		return nil
	}}
}

const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i % 7) FROM n"

// TestConnEnds: a query ends when its context does: before, in the middle of a row, and between two; and no other ends with it.
func TestConnEnds(t *testing.T) {
	c := newConn(t, "CREATE TABLE t(a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000) INSERT INTO t SELECT i FROM n")
	count := func(ctx context.Context) (n int, err error) {
		err = c.query(ctx, "SELECT a FROM t", func(row) bool { n++; return true })
		return n, err
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := count(ended); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("before: %d rows, %v", n, err)
	}
	if err := c.query(endsAfter(t, 5), endless, func(row) bool { return true }); !errors.Is(err, context.Canceled) {
		t.Errorf("within a row: %v", err)
	}
	if r, err := c.one(endsAfter(t, 5), endless); r != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("within the only row: %v, %v", r, err)
	}
	if n, err := count(t.Context()); n != 10_000 || err != nil {
		t.Errorf("one that may end and does not: %d rows, %v", n, err)
	}
	if n, err := count(context.Background()); n != 10_000 || err != nil {
		t.Errorf("one that cannot end: %d rows, %v", n, err)
	}

	between, cancel := context.WithCancel(t.Context())
	n := 0
	err := c.query(between, "SELECT a FROM t", func(row) bool {
		n++
		if n == 3 {
			cancel()
			// long enough for SQLite to look
			if n := mustExec(t, c, "UPDATE t SET a = a + 1 WHERE a > 0"); n != 10_000 {
				t.Errorf("a statement within it changed %d rows", n)
			}
		}
		return true
	})
	if n != 3 || !errors.Is(err, context.Canceled) {
		t.Errorf("between rows: %d rows, %v", n, err)
	}

	// with nothing but a goroutine that ends it
	running, cancel := context.WithCancel(t.Context())
	go cancel()
	if err := c.query(running, endless, func(row) bool { return true }); !errors.Is(err, context.Canceled) {
		t.Errorf("by another goroutine: %v", err)
	}
	if n, err := count(t.Context()); n != 10_000 || err != nil {
		t.Errorf("after it: %d rows, %v", n, err)
	}
	// An error of its own is not taken for the end.
	if err := c.query(endsAfter(t, 1), "SELECT abs(-9223372036854775808)", func(row) bool { return true }); code(err) != sqlite3.SQLITE_ERROR {
		t.Errorf("an error: %v", err)
	}
}

// TestConnWaits: a query waits for a database that is busy as long as its context lets it.
func TestConnWaits(t *testing.T) {
	c := newConn(t, "CREATE TABLE t(a); INSERT INTO t VALUES(1)")
	r, err := c.one(t.Context(), "SELECT file FROM pragma_database_list")
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := dial(t.Context(), r.text(0), "rw")
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.close() //nolint:errcheck // it has read only
	read := func(ctx context.Context) error {
		n := int64(0)
		err := waiting.query(ctx, "SELECT a FROM t", func(r row) bool { n = r.int(0); return true })
		if err == nil && n != 1 {
			t.Errorf("read %d", n)
		}
		return err
	}
	// PRAGMA busy_timeout installs SQLite's own handler each time.
	for range 2 {
		if err := waiting.pragma("busy_timeout = 60000"); err != nil {
			t.Fatal(err)
		}
		mustExec(t, c, "BEGIN EXCLUSIVE")
		if err := read(endsAfter(t, 3)); !errors.Is(err, context.Canceled) {
			t.Errorf("a wait that was to end: %v", err)
		}
		looks := 0
		if err := read(&askedContext{t.Context(), func() error {
			if looks++; looks == 4 {
				mustExec(t, c, "COMMIT")
			}
			return nil
		}}); err != nil || looks < 4 {
			t.Errorf("a wait that had an end: %v, %d looks", err, looks)
		}
		if n, err := waiting.number("PRAGMA busy_timeout"); n != 60000 || err != nil {
			t.Errorf("the timeout is %d, %v", n, err)
		}
	}
	if err := waiting.pragma("busy_timeout = 5"); err != nil {
		t.Fatal(err)
	}
	mustExec(t, c, "BEGIN EXCLUSIVE")
	for _, ctx := range []context.Context{context.Background(), t.Context()} {
		if err := read(ctx); code(err) != sqlite3.SQLITE_BUSY {
			t.Errorf("a wait that is over: %v", err)
		}
	}
}

// TestConnCloses: a connection can be closed while it has statements, and even while one runs.
func TestConnCloses(t *testing.T) {
	c := newConn(t, "CREATE TABLE t(a); INSERT INTO t VALUES(1), (2), (3)")
	mustExec(t, c, "UPDATE t SET a = a + ?", int64(1))
	n := 0
	if err := c.query(t.Context(), "SELECT a FROM t", func(row) bool {
		n++
		if err := c.close(); err != nil {
			t.Error(err)
		}
		return true
	}); !errors.Is(err, errConnClosed) || n != 1 {
		t.Errorf("closed while it ran: %v, %d rows", err, n)
	}
	if _, err := c.exec("UPDATE t SET a = a + ?", int64(1)); !errors.Is(err, errConnClosed) {
		t.Errorf("exec: %v", err)
	}
	if _, err := c.one(t.Context(), "SELECT a FROM t"); !errors.Is(err, errConnClosed) {
		t.Errorf("one: %v", err)
	}
	if err := c.pragma("user_version = 1"); !errors.Is(err, errConnClosed) {
		t.Errorf("pragma: %v", err)
	}
	if err := c.close(); err != nil {
		t.Errorf("once more: %v", err)
	}
	watched.Range(func(_, v any) bool {
		if v == c {
			t.Error("it is still watched")
		}
		return true
	})
}

// TestConnAllocates: values need no memory of Go's heap, whatever their types, and numbers that are read neither.
func TestConnAllocates(t *testing.T) {
	c := newConn(t, "CREATE TABLE t(a INTEGER PRIMARY KEY, b, c, d)")
	id, text, body := int64(1000), strings.Repeat("text", 10), bytes.Repeat([]byte("body"), 1000)
	mustExec(t, c, "BEGIN")
	if n := testing.AllocsPerRun(1000, func() {
		id++
		if _, err := c.exec("INSERT INTO t VALUES(?, ?, ?, ?)", id, text, body, nullable("")); err != nil {
			t.Error(err)
		}
		if n, err := c.number("SELECT a FROM t WHERE a = ?", id); err != nil || n != id {
			t.Error(n, err)
		}
	}); n > 0 && !underRace {
		t.Errorf("%v allocations", n)
	}
}

// TestConnLeaks: a hundred thousand calls, half of which fail, leave no memory of C behind. Built with the tag memory.counters every
// allocation is counted; without it, what the process has resident.
func TestConnLeaks(t *testing.T) {
	c := newConn(t, "CREATE TABLE t(a INTEGER PRIMARY KEY, b, c)")
	text, body, large, long := strings.Repeat("text", 50), bytes.Repeat([]byte("body"), 100), make([]byte, keptRoom+1), strings.Repeat(" ", 100<<10)
	r, err := c.one(t.Context(), "SELECT file FROM pragma_database_list")
	if err != nil {
		t.Fatal(err)
	}
	name := r.text(0)
	calls := func(n int) {
		mustExec(t, c, "BEGIN")
		for range n {
			if _, err := c.exec("INSERT OR REPLACE INTO t VALUES(1, ?, ?)", text, body); err != nil {
				t.Fatal(err)
			}
			if _, err := c.exec("INSERT INTO t VALUES(1, ?, ?)", text, body); !isConstraint(err) {
				t.Fatal(err)
			}
			if r, err := c.one(t.Context(), "SELECT b, c FROM t WHERE b = ?", text); err != nil || r == nil {
				t.Fatal(r, err)
			}
			if _, err := c.one(t.Context(), "SELECT abs(-9223372036854775808), ?", text); err == nil {
				t.Fatal("no error")
			}
		}
		for range n / 50 {
			for query, values := range map[string][]driver.Value{
				"SELEC 2" + long: nil, "SELECT 1; SELECT 2" + long: nil, "SELECT ?": {1}, "INSERT INTO t VALUES(1, ?, 1)": {large},
			} {
				if _, err := c.exec(query, values...); err == nil {
					t.Fatal("no error")
				}
			}
			if err := c.script("SELECT 1; SELECT 2" + long); err != nil {
				t.Fatal(err)
			}
			if err := c.script("SELECT 1; SELEC 2" + long); err == nil {
				t.Fatal("no error")
			}
			if _, err := dial(t.Context(), filepath.Join(os.DevNull, "x"), "rw"); err == nil {
				t.Fatal("no error")
			}
			other, err := dial(t.Context(), name, "ro")
			if err != nil {
				t.Fatal(err)
			}
			mustExec(t, other, "SELECT ?", long)
			if err := other.close(); err != nil {
				t.Fatal(err)
			}
		}
		mustExec(t, c, "COMMIT")
	}
	calls(1000)
	counted, resident := libc.MemStat(), residentBytes(t)
	calls(25_000)
	if now := libc.MemStat(); now.Allocs > counted.Allocs+10 || now.Bytes > counted.Bytes+64<<10 {
		t.Errorf("C's memory was %+v and is %+v", counted, now)
	}
	if now := residentBytes(t); now > resident+16<<20 {
		t.Errorf("%d KiB resident, and %d before", now>>10, resident>>10)
	}
}

// residentBytes is what the process has resident, after a collection.
func residentBytes(t *testing.T) int64 {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	var all, resident int64
	if _, err := fmt.Sscan(string(text), &all, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}
