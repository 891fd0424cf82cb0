package sqlite

import (
	"bytes"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// stmt is a statement prepared on a connection.
//
// What is bound to it must not move while it runs, which memory of Go may: stacks do. So texts and blobs are copied to
// memory of C that the statement keeps for the purpose, and SQLite is told that it stays. It stays until the
// next bind, which binds everything anew before SQLite looks at it.
type stmt struct {
	c  *conn
	at uintptr // sqlite3_stmt; 0 when the connection is closed
	// parameters is how many values it takes.
	parameters int
	// running: its rows are being read.
	running bool
	// args has texts and blobs; it has room for so many bytes.
	args uintptr
	room int
	row  row // the row that was read last
}

const (
	// minRoom is what args has from the start, so that it has an address for what is empty.
	minRoom = 256
	// keptRoom is what args has at most between two uses.
	keptRoom = 256 << 10
)

func (c *conn) newStmt(query string) (*stmt, error) {
	text, err := c.cString(query)
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(c.tls, text)
	out, err := c.malloc(2 * 8)
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(c.tls, out)
	at, tail := (*uintptr)(pointer(out)), (*uintptr)(pointer(out+8))
	if rc := sqlite3.Xsqlite3_prepare_v3(c.tls, c.db, text, -1, sqlite3.SQLITE_PREPARE_PERSISTENT, out, out+8); rc != sqlite3.SQLITE_OK {
		return nil, c.failure(rc)
	}
	s := &stmt{c: c, at: *at}
	if s.at == 0 || *tail != text+uintptr(len(query)) {
		s.finalize()
		return nil, fmt.Errorf("not one statement: %q", query)
	}
	s.parameters = int(sqlite3.Xsqlite3_bind_parameter_count(c.tls, s.at))
	if s.parameters > 0 {
		if s.args, err = c.malloc(minRoom); err != nil {
			s.finalize()
			return nil, err
		}
		s.room = minRoom
	}
	return s, nil
}

// finalize ends the statement for good. SQLite says once more what its last run failed with, which is known.
func (s *stmt) finalize() {
	sqlite3.Xsqlite3_finalize(s.c.tls, s.at)
	if s.args != 0 {
		libc.Xfree(s.c.tls, s.args)
	}
	s.at, s.args, s.room = 0, 0, 0
}

var (
	errRunning = errors.New("a statement was run within itself")
	errType    = errors.New("a value of a type that is not for SQLite")
)

// bind gives the statement its values. It keeps nothing of them, so that callers' values need no memory of the heap.
func (s *stmt) bind(values []driver.Value) error {
	if s.running {
		return errRunning
	}
	if len(values) != s.parameters {
		return fmt.Errorf("%d values for %d parameters", len(values), s.parameters)
	}
	size := 0
	for _, v := range values {
		switch v := v.(type) {
		case string:
			size += len(v)
		case []byte:
			size += len(v)
		}
	}
	if size > s.room {
		if err := s.grow(size); err != nil {
			return err
		}
	}
	tls, at, free := s.c.tls, s.at, s.args
	for i, v := range values {
		var rc int32
		n := int32(i + 1)
		switch v := v.(type) {
		case int64:
			rc = sqlite3.Xsqlite3_bind_int64(tls, at, n, v)
		case string:
			copy(memory(free, len(v)), v)
			rc = sqlite3.Xsqlite3_bind_text64(tls, at, n, free, uint64(len(v)), 0, sqlite3.SQLITE_UTF8)
			free += uintptr(len(v))
		case []byte:
			if v == nil {
				rc = sqlite3.Xsqlite3_bind_null(tls, at, n)
				break
			}
			copy(memory(free, len(v)), v)
			rc = sqlite3.Xsqlite3_bind_blob64(tls, at, n, free, uint64(len(v)), 0)
			free += uintptr(len(v))
		case nil:
			rc = sqlite3.Xsqlite3_bind_null(tls, at, n)
		default:
			return errType
		}
		if rc != sqlite3.SQLITE_OK {
			return s.c.failure(rc)
		}
	}
	return nil
}

// grow makes room for so many bytes of values, which are all bound anew then.
func (s *stmt) grow(size int) error {
	room := max(s.room, minRoom)
	for room < size {
		room *= 2
	}
	args, err := s.c.malloc(room)
	if err != nil {
		return err
	}
	libc.Xfree(s.c.tls, s.args)
	s.args, s.room = args, room
	return nil
}

// reset makes the statement ready for the next run. It returns what the last one failed with.
func (s *stmt) reset() int32 {
	rc := sqlite3.Xsqlite3_reset(s.c.tls, s.at)
	if s.room > keptRoom {
		if args, err := s.c.malloc(minRoom); err == nil {
			libc.Xfree(s.c.tls, s.args)
			s.args, s.room = args, minRoom
		}
	}
	return rc
}

// read reads the row at which the statement stands.
func (s *stmt) read() error {
	tls, at := s.c.tls, s.at
	if n := int(sqlite3.Xsqlite3_data_count(tls, at)); n != len(s.row) {
		s.row = make(row, n)
	}
	for i := range s.row {
		v := &s.row[i]
		// The values are not protected from other threads, of which there are none.
		from := sqlite3.Xsqlite3_column_value(tls, at, int32(i))
		*v = value{kind: sqlite3.Xsqlite3_value_type(tls, from)}
		var data uintptr
		switch v.kind {
		case sqlite3.SQLITE_INTEGER:
			v.number = sqlite3.Xsqlite3_value_int64(tls, from)
			continue
		case sqlite3.SQLITE_TEXT:
			data = sqlite3.Xsqlite3_value_text(tls, from)
		case sqlite3.SQLITE_BLOB:
			data = sqlite3.Xsqlite3_value_blob(tls, from)
		default:
			continue
		}
		n := int(sqlite3.Xsqlite3_value_bytes(tls, from))
		if n == 0 {
			continue
		}
		if data == 0 {
			return s.c.failure(sqlite3.SQLITE_NOMEM)
		}
		v.data = bytes.Clone(memory(data, n))
	}
	return nil
}

// row is one row of a result; what it holds is the caller's.
type row []value

// value is one of SQLite's, without an interface, which would take memory for numbers.
type value struct {
	kind   int32  // SQLITE_INTEGER, SQLITE_TEXT and so on
	number int64  // an integer
	data   []byte // a text or a blob, nil when it is empty
}

func (r row) int(i int) int64 { return r[i].number }

func (r row) text(i int) string {
	v := &r[i]
	if v.kind == sqlite3.SQLITE_TEXT { // nobody has it as bytes
		return unsafe.String(unsafe.SliceData(v.data), len(v.data))
	}
	return string(v.data)
}

func (r row) blob(i int) []byte {
	v := &r[i]
	if v.kind == sqlite3.SQLITE_TEXT {
		return append([]byte{}, v.data...)
	}
	return v.data
}

func (r row) null(i int) bool { return r[i].kind == sqlite3.SQLITE_NULL }

func (r row) time(i int) time.Time {
	if r.null(i) {
		return time.Time{}
	}
	return fromNano(r.int(i))
}
