package sqlite

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// conn is one connection to the database with the statements prepared on it.
// It is used by one goroutine at a time, so SQLite has no mutex for it. It stands on SQLite's C interface as translated
// to Go, and neither on database/sql nor on the driver, which takes a
// fifth of the time of a small statement. The driver's package is still imported, for Fdatasync: its init also corrects the size of pages on arm64.
type conn struct {
	tls   *libc.TLS
	db    uintptr // sqlite3; 0 when it is closed
	stmts map[string]*stmt
	// ctx ends what SQLite does, see watch; nil when nothing does.
	ctx     context.Context
	watched bool
	// wait is what SQLite does while the database is busy, see watch.
	wait uintptr
}

// dialDeferring is dial for the writer, whose syncs in COMMIT the deferral can put off.
func dialDeferring(ctx context.Context, path string) (*conn, *deferral, error) {
	d, option := newDeferral()
	c, err := dial(ctx, path, "rw"+option)
	return c, d, err
}

// dial connects to the file at path. mode is "rw", "rwc" (which creates it) or "ro"; a connection that is
// "ro" never checkpoints, not even when it is the last one that closes.
func dial(ctx context.Context, path, mode string) (*conn, error) {
	if err := registerVFS(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c := &conn{tls: libc.NewTLS(), stmts: map[string]*stmt{}}
	if err := c.open("file:" + (&url.URL{Path: path}).EscapedPath() + "?mode=" + mode); err != nil {
		c.close() //nolint:errcheck // the error above says more
		return nil, err
	}
	return c, nil
}

// open opens the file that a URI names. SQLite leaves a handle to be closed even where it fails.
func (c *conn) open(uri string) error {
	name, err := c.cString(uri)
	if err != nil {
		return err
	}
	defer libc.Xfree(c.tls, name)
	vfs, err := c.cString(vfsName)
	if err != nil {
		return err
	}
	defer libc.Xfree(c.tls, vfs)
	out, err := c.malloc(2 * 8)
	if err != nil {
		return err
	}
	defer libc.Xfree(c.tls, out)
	const flags = sqlite3.SQLITE_OPEN_READWRITE | sqlite3.SQLITE_OPEN_CREATE | sqlite3.SQLITE_OPEN_URI | sqlite3.SQLITE_OPEN_NOMUTEX
	rc := sqlite3.Xsqlite3_open_v2(c.tls, name, out, flags, vfs)
	c.db = *(*uintptr)(pointer(out))
	if rc != sqlite3.SQLITE_OK {
		return c.failure(rc)
	}
	if rc := sqlite3.Xsqlite3_extended_result_codes(c.tls, c.db, 1); rc != sqlite3.SQLITE_OK {
		return c.failure(rc)
	}
	// "x" is a column and never a text.
	for _, option := range [...]int32{sqlite3.SQLITE_DBCONFIG_DQS_DDL, sqlite3.SQLITE_DBCONFIG_DQS_DML} {
		if rc := sqlite3.Xsqlite3_db_config(c.tls, c.db, option, libc.VaList(out, int32(0), uintptr(0))); rc != sqlite3.SQLITE_OK {
			return c.failure(rc)
		}
	}
	return nil
}

// close ends the statements and the connection. A second call does nothing.
func (c *conn) close() error {
	for _, s := range c.stmts {
		s.finalize()
	}
	c.stmts = nil
	if c.db != 0 {
		watched.Delete(c.db)
		if rc := sqlite3.Xsqlite3_close_v2(c.tls, c.db); rc != sqlite3.SQLITE_OK {
			return c.failure(rc)
		}
		c.db = 0
	}
	if c.tls != nil {
		c.tls.Close()
		c.tls = nil
	}
	return nil
}

var errConnClosed = errors.New("the connection to the database is closed")

// prepare makes a statement of a query, or returns that which it made before.
func (c *conn) prepare(query string) (*stmt, error) {
	if s := c.stmts[query]; s != nil {
		return s, nil
	}
	if c.db == 0 {
		return nil, errConnClosed
	}
	s, err := c.newStmt(query)
	if err != nil {
		return nil, err
	}
	c.stmts[query] = s
	return s, nil
}

// exec runs a statement, whose rows nobody wants, and says how many it changed.
// values are of the types int64, string, []byte and nil; nil and a []byte that is nil are NULL. They are not kept.
func (c *conn) exec(query string, values ...driver.Value) (int64, error) {
	s, err := c.prepare(query)
	if err != nil {
		return 0, err
	}
	if err := s.bind(values); err != nil {
		return 0, err
	}
	rc := sqlite3.Xsqlite3_step(c.tls, s.at)
	for rc == sqlite3.SQLITE_ROW {
		rc = sqlite3.Xsqlite3_step(c.tls, s.at)
	}
	if rc != sqlite3.SQLITE_DONE {
		err = c.failure(rc) // before the reset, which may replace the message
	}
	n := sqlite3.Xsqlite3_changes64(c.tls, c.db)
	if rc := s.reset(); rc != sqlite3.SQLITE_OK && err == nil {
		err = c.failure(rc)
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}

// script runs statements that are not worth keeping prepared.
func (c *conn) script(query string) error {
	if c.db == 0 {
		return errConnClosed
	}
	text, err := c.cString(query)
	if err != nil {
		return err
	}
	defer libc.Xfree(c.tls, text)
	if rc := sqlite3.Xsqlite3_exec(c.tls, c.db, text, 0, 0, 0); rc != sqlite3.SQLITE_OK {
		return c.failure(rc)
	}
	return nil
}

// query calls each for the rows of a result until it returns false. The row is
// overwritten by the next one; what it holds is the caller's. each may run other statements of the connection, but not this one.
// When ctx ends, so does the query, with the error of ctx. values are those of exec.
func (c *conn) query(ctx context.Context, query string, each func(row) bool, values ...driver.Value) (err error) {
	if ctx.Done() == nil {
		ctx = nil // and need not be asked
	} else if err := ctx.Err(); err != nil {
		return err
	} else if c.db != 0 {
		c.watch()
	}
	c.ctx = ctx
	s, err := c.prepare(query) // waits, where it has to read the schema
	c.ctx = nil
	if err != nil {
		return givenUp(ctx, err)
	}
	if err := s.bind(values); err != nil {
		return err
	}
	s.running = true
	defer func() { // each may panic
		s.running = false
		clear(s.row)
		if c.db == 0 { // each has closed the connection
			err = errConnClosed
		} else if rc := s.reset(); rc != sqlite3.SQLITE_OK && err == nil {
			err = c.failure(rc)
		}
	}()
	for {
		c.ctx = ctx
		rc := sqlite3.Xsqlite3_step(c.tls, s.at)
		c.ctx = nil
		if rc == sqlite3.SQLITE_DONE {
			return nil
		}
		if rc != sqlite3.SQLITE_ROW {
			return givenUp(ctx, c.failure(rc))
		}
		if err := s.read(); err != nil {
			return err
		}
		if !each(s.row) || c.db == 0 {
			return nil
		}
		if ctx != nil && ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// givenUp is the error of ctx, where that is why a statement failed.
func givenUp(ctx context.Context, err error) error {
	if c := code(err) & 0xff; ctx != nil && (c == sqlite3.SQLITE_INTERRUPT || c == sqlite3.SQLITE_BUSY) {
		return cmp.Or(ctx.Err(), err)
	}
	return err
}

// one returns the first row of a result, nil when there is none.
func (c *conn) one(ctx context.Context, query string, values ...driver.Value) (row, error) {
	var first row
	err := c.query(ctx, query, func(r row) bool { first = slices.Clone(r); return false }, values...)
	return first, err
}

// number returns the integer that a query yields, 0 when there is none.
func (c *conn) number(query string, values ...driver.Value) (n int64, err error) {
	err = c.query(context.Background(), query, func(r row) bool { n = r.int(0); return false }, values...)
	return n, err
}

// watched has the connections, by the address of their sqlite3, of which a call can be ended.
var watched sync.Map

// watchedSteps is how many steps of SQLite's machine lie between two looks at a context: some 20 µs.
const watchedSteps = 1000

// watch has SQLite look, now and then, whether the context of the call has ended. sqlite3_interrupt would take a goroutine
// for each call, comes to nothing just before a statement begins, and ends the next one when it is late. What is seen at once with it is not
// here: that a count of a whole table, and a checkpoint, are to end.
func (c *conn) watch() {
	if !c.watched {
		c.watched = true
		watched.Store(c.db, c)
		sqlite3.Xsqlite3_progress_handler(c.tls, c.db, watchedSteps, function(stopProgress), c.db)
	}
	// PRAGMA busy_timeout puts its own handler back. It is left what it needs, the timeout and its argument, which is the connection.
	if h := &(*sqlite3.Tsqlite3)(pointer(c.db)).FbusyHandler; h.FxBusyHandler != 0 && h.FxBusyHandler != function(stopWaiting) {
		c.wait = h.FxBusyHandler
		h.FxBusyHandler = function(stopWaiting)
	}
}

// ended says whether the context of the call that runs on a connection has ended.
func ended(db uintptr) (*conn, bool) {
	v, _ := watched.Load(db)
	c, _ := v.(*conn)
	return c, c != nil && c.ctx != nil && c.ctx.Err() != nil
}

func stopProgress(_ *libc.TLS, db uintptr) int32 {
	if _, yes := ended(db); yes {
		return 1
	}
	return 0
}

// stopWaiting is SQLite's own handler for a database that is busy, which waits 100 ms at most each time.
func stopWaiting(tls *libc.TLS, db uintptr, count int32) int32 {
	c, yes := ended(db)
	if c == nil || yes {
		return 0
	}
	return callable[func(*libc.TLS, uintptr, int32) int32](c.wait)(tls, db, count)
}

func (c *conn) malloc(n int) (uintptr, error) {
	p := libc.Xmalloc(c.tls, libc.Tsize_t(n))
	if p == 0 {
		return 0, &resultError{code: sqlite3.SQLITE_NOMEM, text: "out of memory"}
	}
	return p, nil
}

// cString copies a text to memory of C, with a NUL behind it. To be freed.
func (c *conn) cString(text string) (uintptr, error) {
	if strings.IndexByte(text, 0) >= 0 {
		return 0, errors.New("a statement or a path has a NUL in it")
	}
	p, err := c.malloc(len(text) + 1)
	if err != nil {
		return 0, err
	}
	memory(p, len(text)+1)[copy(memory(p, len(text)), text)] = 0
	return p, nil
}

// memory is n bytes of C's memory.
func memory(p uintptr, n int) []byte { return unsafe.Slice((*byte)(pointer(p)), n) }

func fromNano(n int64) time.Time { return time.Unix(0, n).UTC() }

// nullable stores "" as NULL, which takes no room.
func nullable(s string) driver.Value {
	if s == "" {
		return nil
	}
	return s
}

// resultError is an error of SQLite.
type resultError struct {
	code int // extended
	text string
}

func (e *resultError) Error() string { return fmt.Sprintf("%s (%d)", e.text, e.code) }

// failure makes an error of a result code: SQLite's text for the code, and what it says of this call, unless
// that is of another.
func (c *conn) failure(rc int32) error {
	e := &resultError{code: int(rc), text: libc.GoString(sqlite3.Xsqlite3_errstr(c.tls, rc))}
	if c.db == 0 {
		return e
	}
	if last := sqlite3.Xsqlite3_extended_errcode(c.tls, c.db); last&0xff == rc&0xff {
		if message := libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db)); message != e.text {
			e.text += ": " + message
		}
	}
	return e
}

// code is the extended result code of an error of SQLite; 0 of any other error.
func code(err error) int {
	if e, ok := errors.AsType[*resultError](err); ok {
		return e.code
	}
	return 0
}

// grade is how bad an error of the writer's connection is.
type grade int

const (
	// ofCall: the statement was at fault, or something passing; the file is as it was.
	ofCall grade = iota
	// ofDisk: there was no room. The transaction is rolled back.
	ofDisk
	// ofFile: reading, writing or syncing failed; what is on the disk is unknown.
	ofFile
)

// gradeOf classifies an error by SQLite's result code.
//
// SQLITE_FULL is what the unix VFS makes of ENOSPC from a write, and of
// nothing else that can happen here; ENOSPC that comes out only at a sync, and
// EDQUOT, are SQLITE_IOERR_*. In WAL mode a transaction is on the disk when its
// last frame is, the one with the commit mark. Frames are written one after the
// other, and the first write that fails ends the commit, so a transaction
// that failed with SQLITE_FULL has no whole commit frame: after a restart
// recovery stops before it, and before that the next transaction overwrites it,
// since the index of the WAL was not advanced. The two ways in which something
// could fail after the commit frame are not SQLITE_FULL or cannot happen:
// padding frames are written only without SQLITE_IOCAP_POWERSAFE_OVERWRITE, which
// the unix VFS has by default, and the index of the WAL (the -shm file) that
// cannot grow is SQLITE_IOERR_SHMSIZE. The latter is why Open reserves
// room for the index: without it a full disk would break the store, rather
// than fill it.
func gradeOf(err error) grade {
	c := code(err) & 0xff
	if c == sqlite3.SQLITE_FULL {
		return ofDisk
	}
	if _, ok := errors.AsType[*commitError](err); ok {
		return ofFile
	}
	switch c {
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY,
		sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_INTERNAL:
		return ofFile
	}
	return ofCall
}

// commitError is a COMMIT that failed. Whatever the reason, unless it was a full disk,
// what is on the disk is unknown then.
type commitError struct{ error }

func (e *commitError) Unwrap() error { return e.error }

// isConstraint says whether a row was refused because there is one like it.
func isConstraint(err error) bool { return code(err)&0xff == sqlite3.SQLITE_CONSTRAINT }

// isDamage says whether SQLite found the file damaged, or no database at all.
func isDamage(err error) bool {
	c := code(err) & 0xff
	return c == sqlite3.SQLITE_CORRUPT || c == sqlite3.SQLITE_NOTADB
}

// pragma sets one and says which when it fails.
func (c *conn) pragma(text string) error {
	if err := c.script("PRAGMA " + text); err != nil {
		return fmt.Errorf("PRAGMA %s: %w", text, err)
	}
	return nil
}
