package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// conn is one connection to the database with the statements prepared on it.
// It is used by one goroutine at a time. It stands on the driver and not on
// database/sql, whose pool, locks and conversions cost as much as the
// statements of a small transaction.
type conn struct {
	dc    driver.Conn
	stmts map[string]driver.Stmt
	args  []driver.NamedValue
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
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?mode=" + mode + "&vfs=" + vfsName + "&_error_rc=1&_dqs=0"
	connector, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	dc, err := connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{dc: dc, stmts: map[string]driver.Stmt{}}, nil
}

func (c *conn) close() error {
	var errs []error
	for _, s := range c.stmts {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.dc.Close())...)
}

func (c *conn) prepare(query string) (driver.Stmt, error) {
	if s := c.stmts[query]; s != nil {
		return s, nil
	}
	s, err := c.dc.Prepare(query)
	if err != nil {
		return nil, err
	}
	c.stmts[query] = s
	return s, nil
}

// bind makes the arguments of a statement of values of the types that the
// driver knows: int64, string, []byte, nil.
func (c *conn) bind(values []driver.Value) []driver.NamedValue {
	c.args = c.args[:0]
	for i, v := range values {
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return c.args
}

// exec runs a statement that returns no rows and says how many it changed.
func (c *conn) exec(query string, values ...driver.Value) (int64, error) {
	s, err := c.prepare(query)
	if err != nil {
		return 0, err
	}
	r, err := s.(driver.StmtExecContext).ExecContext(context.Background(), c.bind(values))
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// script runs statements that are not worth keeping prepared.
func (c *conn) script(query string) error {
	_, err := c.dc.(driver.ExecerContext).ExecContext(context.Background(), query, nil)
	return err
}

// row is one row of a result; what it holds is the caller's.
type row []driver.Value

func (r row) int(i int) int64 { v, _ := r[i].(int64); return v }

func (r row) text(i int) string {
	switch v := r[i].(type) {
	case string:
		return v
	case []byte:
		return string(v)
	}
	return ""
}

func (r row) blob(i int) []byte {
	switch v := r[i].(type) {
	case []byte:
		return v
	case string:
		return []byte(v)
	}
	return nil
}

func (r row) null(i int) bool { return r[i] == nil }

func (r row) time(i int) time.Time {
	if r[i] == nil {
		return time.Time{}
	}
	return fromNano(r.int(i))
}

// query calls each for the rows of a result until it returns false. The row is
// overwritten by the next one.
func (c *conn) query(ctx context.Context, query string, each func(row) bool, values ...driver.Value) error {
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	rows, err := s.(driver.StmtQueryContext).QueryContext(ctx, c.bind(values))
	if err != nil {
		return err
	}
	r := make(row, len(rows.Columns()))
	for {
		err := rows.Next(r)
		if err == nil && each(r) {
			continue
		}
		if err == io.EOF {
			err = nil
		}
		return errors.Join(err, rows.Close())
	}
}

// one returns the first row of a result, nil when there is none.
func (c *conn) one(ctx context.Context, query string, values ...driver.Value) (row, error) {
	var first row
	err := c.query(ctx, query, func(r row) bool { first = r; return false }, values...)
	return first, err
}

// number returns the integer that a query yields, 0 when there is none.
func (c *conn) number(query string, values ...driver.Value) (int64, error) {
	r, err := c.one(context.Background(), query, values...)
	if err != nil || r == nil {
		return 0, err
	}
	return r.int(0), nil
}

func fromNano(n int64) time.Time { return time.Unix(0, n).UTC() }

// nullable stores "" as NULL, which takes no room.
func nullable(s string) driver.Value {
	if s == "" {
		return nil
	}
	return s
}

// code is the extended result code of an error of SQLite; 0 of any other error.
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
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
