package sqlite

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"sync"
	"sync/atomic"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// SQLite writes a WAL page by page, with two system calls for each, which is a third of the writer's time. The VFS here is the
// system's, but for one thing: what is written to a WAL one piece behind the other is gathered and goes out in one
// piece, before anything that could tell the difference: a sync, a read, a truncation, a question for the size, the
// end. SQLite lets others see what a transaction wrote only after it has synced (synchronous=FULL), so nobody reads
// what is still gathered, and a write that fails makes the sync fail, with the error of the write.
//
// A sync can be put off besides, see deferral.
//
// The types and calling conventions are those of SQLite (https://www.sqlite.org/c3ref/vfs.html), as translated to Go.

const (
	vfsName = "switchhook"
	// gatherBytes is how much is gathered before it goes out in any case.
	gatherBytes = 1 << 20
	// pieceBytes is how much the system's VFS is given at once. It takes no more than 128 KiB - 1.
	pieceBytes = 96 << 10
)

// gatheredFile is a WAL that is open.
type gatheredFile struct {
	system uintptr // sqlite3_io_methods of the system
	at     int64   // where buf goes
	buf    []byte
	// deferral is that of the connection, if it has one.
	deferral *deferral
	// header: the header was written and not synced. It has to be on the disk before the frames of the last
	// round are overwritten, or they could be taken for new ones.
	header bool

	// nextPage is the page of the last frame of which the header was written, nextAt where it goes, and size how long it is
	// when that is what was written last, or else 0.
	nextPage uint32
	nextAt   int64
	size     int
}

// lastFrame is the page that is in a frame: its number, and its CRC. The zero value is one that is not known.
type lastFrame struct{ page, sum uint32 }

// deferral puts off the sync of a connection's WAL that ends a COMMIT: what was gathered is written then, but syncing it is left
// to whoever set on. It belongs to the goroutine that uses the connection.
type deferral struct {
	// on: put off what SQLite wants synced now.
	on bool
	// owed: something was put off.
	owed bool
	// last is the last frame that was written; after a COMMIT, that of what was committed.
	last lastFrame
}

// deferrals has those of connections that are open or being opened, by the value of their option.
var (
	deferrals    sync.Map
	lastDeferral atomic.Int64
)

// deferralOption is the parameter of a connection's name, as a C string, that says which deferral it has.
const deferralOption = "deferral"

// newDeferral makes one and the parameter for the name of its connection.
func newDeferral() (d *deferral, option string) {
	d = new(deferral)
	n := strconv.FormatInt(lastDeferral.Add(1), 10)
	deferrals.Store(n, d)
	return d, "&" + deferralOption + "=" + n
}

// deferralOf finds the deferral that the name of a file asks for, and keeps it for that file alone.
func deferralOf(tls *libc.TLS, name uintptr) *deferral {
	if name == 0 {
		return nil
	}
	key, err := libc.CString(deferralOption)
	if err != nil {
		return nil
	}
	defer libc.Xfree(tls, key)
	value := sqlite3.Xsqlite3_uri_parameter(tls, name, key)
	if value == 0 {
		return nil
	}
	d, _ := deferrals.LoadAndDelete(libc.GoString(value))
	found, _ := d.(*deferral)
	return found
}

var (
	// gathered has the open WALs by the address of their sqlite3_file.
	gathered sync.Map
	// walWrites and walFlushes count what SQLite wrote and what went out, for tests.
	walWrites, walFlushes atomic.Int64

	systemVFS     *sqlite3.Tsqlite3_vfs
	gatherMethods = struct {
		sync.Mutex
		of map[uintptr]uintptr // by those of the system
	}{of: map[uintptr]uintptr{}}
)

// registerVFS makes the VFS known to SQLite.
var registerVFS = sync.OnceValue(func() error {
	tls := libc.NewTLS() // for as long as the process runs, like the VFS
	at := sqlite3.Xsqlite3_vfs_find(tls, 0)
	if at == 0 {
		return fmt.Errorf("SQLite has no VFS")
	}
	systemVFS = (*sqlite3.Tsqlite3_vfs)(pointer(at))
	name, err := libc.CString(vfsName)
	if err != nil {
		return err
	}
	own := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(*systemVFS)))
	if own == 0 {
		return fmt.Errorf("SQLite has no memory")
	}
	v := (*sqlite3.Tsqlite3_vfs)(pointer(own))
	*v = *systemVFS
	v.FpNext, v.FzName, v.FxOpen = 0, name, function(gatherOpen)
	if rc := sqlite3.Xsqlite3_vfs_register(tls, own, 0); rc != sqlite3.SQLITE_OK {
		return fmt.Errorf("registering a VFS: SQLite's code %d", rc)
	}
	return nil
})

// pointer is memory that SQLite manages.
func pointer(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

// function is the address by which translated C calls a function of Go, which must be one of the package's own.
func function(f any) uintptr { return (*[2]uintptr)(unsafe.Pointer(&f))[1] }

// callable is the function of Go at such an address.
func callable[F any](p uintptr) F {
	return *(*F)(unsafe.Pointer(&struct{ uintptr }{p}))
}

func gatherOpen(tls *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) int32 {
	open := callable[func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32](systemVFS.FxOpen)
	rc := open(tls, vfs, name, file, flags, outFlags)
	f := (*sqlite3.Tsqlite3_file)(pointer(file))
	if rc != sqlite3.SQLITE_OK || flags&sqlite3.SQLITE_OPEN_WAL == 0 || f.FpMethods == 0 {
		return rc
	}
	// Where a torn write may harm its neighbours, SQLite syncs before the last pages of a transaction and not after.
	system := f.FpMethods
	traits := callable[func(*libc.TLS, uintptr) int32](methods(system).FxDeviceCharacteristics)
	if traits(tls, file)&sqlite3.SQLITE_IOCAP_POWERSAFE_OVERWRITE == 0 {
		return rc
	}
	gatherMethods.Lock()
	defer gatherMethods.Unlock()
	own := gatherMethods.of[system]
	if own == 0 {
		if own = libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_io_methods{}))); own == 0 {
			return rc
		}
		m := methods(own)
		*m = *methods(system)
		m.FxClose, m.FxRead, m.FxWrite = function(gatherClose), function(gatherRead), function(gatherWrite)
		m.FxTruncate, m.FxSync, m.FxFileSize = function(gatherTruncate), function(gatherSync), function(gatherFileSize)
		gatherMethods.of[system] = own
	}
	gathered.Store(file, &gatheredFile{system: system, deferral: deferralOf(tls, name)})
	f.FpMethods = own
	return rc
}

func methods(p uintptr) *sqlite3.Tsqlite3_io_methods {
	return (*sqlite3.Tsqlite3_io_methods)(pointer(p))
}

func gatheredOf(file uintptr) *gatheredFile {
	g, _ := gathered.Load(file)
	return g.(*gatheredFile)
}

// flush sends out what was gathered. What cannot be written is dropped: its transaction fails.
func (g *gatheredFile) flush(tls *libc.TLS, file uintptr) int32 {
	if len(g.buf) == 0 {
		return sqlite3.SQLITE_OK
	}
	walFlushes.Add(1)
	if g.deferral != nil {
		g.deferral.last = lastFrame{}
		if g.size > 0 {
			g.deferral.last = lastFrame{g.nextPage, crc32.ChecksumIEEE(g.buf[len(g.buf)-g.size:])}
		}
	}
	write := callable[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](methods(g.system).FxWrite)
	rc := int32(sqlite3.SQLITE_OK)
	for from := 0; from < len(g.buf) && rc == sqlite3.SQLITE_OK; from += pieceBytes {
		piece := g.buf[from:min(from+pieceBytes, len(g.buf))]
		rc = write(tls, file, uintptr(unsafe.Pointer(unsafe.SliceData(piece))), int32(len(piece)), g.at+int64(from))
	}
	g.buf = g.buf[:0]
	return rc
}

func gatherWrite(tls *libc.TLS, file, buf uintptr, amount int32, offset int64) int32 {
	walWrites.Add(1)
	g := gatheredOf(file)
	if len(g.buf) > 0 && (offset != g.at+int64(len(g.buf)) || len(g.buf)+int(amount) > gatherBytes) {
		if rc := g.flush(tls, file); rc != sqlite3.SQLITE_OK {
			return rc
		}
	}
	if len(g.buf) == 0 {
		g.at = offset
	}
	g.header = g.header || offset == 0
	text := unsafe.Slice((*byte)(pointer(buf)), amount)
	g.buf = append(g.buf, text...)
	// SQLite writes a frame's header, and then its page. Whatever else it writes, such as a page once more, makes the last frame unknown.
	g.size = 0
	switch {
	case amount == frameHeaderSize:
		g.nextPage, g.nextAt = binary.BigEndian.Uint32(text), offset+frameHeaderSize
	case offset == g.nextAt && g.nextPage != 0:
		g.size = int(amount)
	}
	return sqlite3.SQLITE_OK
}

func gatherRead(tls *libc.TLS, file, buf uintptr, amount int32, offset int64) int32 {
	g := gatheredOf(file)
	if rc := g.flush(tls, file); rc != sqlite3.SQLITE_OK {
		return rc
	}
	return callable[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](methods(g.system).FxRead)(tls, file, buf, amount, offset)
}

func gatherTruncate(tls *libc.TLS, file uintptr, size int64) int32 {
	g := gatheredOf(file)
	if rc := g.flush(tls, file); rc != sqlite3.SQLITE_OK {
		return rc
	}
	return callable[func(*libc.TLS, uintptr, int64) int32](methods(g.system).FxTruncate)(tls, file, size)
}

func gatherSync(tls *libc.TLS, file uintptr, flags int32) int32 {
	g := gatheredOf(file)
	if rc := g.flush(tls, file); rc != sqlite3.SQLITE_OK {
		return rc
	}
	if d := g.deferral; d != nil && d.on && !g.header {
		d.owed = true
		return sqlite3.SQLITE_OK
	}
	g.header = false
	return callable[func(*libc.TLS, uintptr, int32) int32](methods(g.system).FxSync)(tls, file, flags)
}

func gatherFileSize(tls *libc.TLS, file, size uintptr) int32 {
	g := gatheredOf(file)
	if rc := g.flush(tls, file); rc != sqlite3.SQLITE_OK {
		return rc
	}
	return callable[func(*libc.TLS, uintptr, uintptr) int32](methods(g.system).FxFileSize)(tls, file, size)
}

func gatherClose(tls *libc.TLS, file uintptr) int32 {
	g := gatheredOf(file)
	failed := g.flush(tls, file)
	gathered.Delete(file)
	(*sqlite3.Tsqlite3_file)(pointer(file)).FpMethods = g.system
	rc := callable[func(*libc.TLS, uintptr) int32](methods(g.system).FxClose)(tls, file)
	if failed != sqlite3.SQLITE_OK {
		return failed
	}
	return rc
}

// databaseFile is the database's own file as the connection has it open, a sqlite3_file.
func (c *conn) databaseFile() (uintptr, error) {
	if c.db == 0 {
		return 0, errConnClosed
	}
	out, err := c.malloc(8)
	if err != nil {
		return 0, err
	}
	defer libc.Xfree(c.tls, out)
	if rc := sqlite3.Xsqlite3_file_control(c.tls, c.db, 0 /* the main one */, sqlite3.SQLITE_FCNTL_FILE_POINTER, out); rc != sqlite3.SQLITE_OK {
		return 0, c.failure(rc)
	}
	return *(*uintptr)(pointer(out)), nil
}

// syncDatabase makes durable what checkpoints wrote to the database's own file. A descriptor of our own would not do: when that is
// closed, the system drops the locks of SQLite's.
func (c *conn) syncDatabase() error {
	file, err := c.databaseFile()
	if err != nil {
		return err
	}
	sync := callable[func(*libc.TLS, uintptr, int32) int32](methods((*sqlite3.Tsqlite3_file)(pointer(file)).FpMethods).FxSync)
	if rc := sync(c.tls, file, sqlite3.SQLITE_SYNC_NORMAL); rc != sqlite3.SQLITE_OK {
		return c.failure(rc)
	}
	return nil
}
