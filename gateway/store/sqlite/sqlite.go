// Package sqlite is the store of a single gateway: one SQLite database in the
// data directory, through modernc.org/sqlite, which needs no C compiler. Only
// app opens it.
//
// All writes go through one connection, which commits everything that waits in one transaction with
// one sync (WAL, synchronous=FULL), while the next transaction is made (see writer.go). Reads have connections of
// their own. Leases are kept in memory.
//
// The files are store.db (with -wal and -shm), store.mark (how far the WAL was
// committed, see wal.go) and store.lock. Times are kept to the nanosecond, from the year 1678 to 2262.
package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"modernc.org/sqlite"

	"switchhook/gateway/store"
)

// Options of a store.
type Options struct {
	// Now and DedupeWindow are those of store.Options.
	Now          func() time.Time
	DedupeWindow time.Duration
	// Logger is told when the store stops taking writes and when it goes on; nil for nobody.
	Logger *slog.Logger
}

// LockedError says that another process has the data directory open.
type LockedError struct {
	Dir string
	// PID is the process; 0 when it could not be found out.
	PID int
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("the data directory %s is in use by another process", e.Dir)
	}
	return fmt.Sprintf("the data directory %s is in use by process %d: stop it first, or give this one a data directory of its own", e.Dir, e.PID)
}

// Store is a store.Store in a data directory.
type Store struct {
	path   string // of the database
	now    func() time.Time
	window time.Duration
	log    *slog.Logger
	lock   *flock.Flock
	index  *index

	// calls under way, and whether there may be new ones
	mu     sync.RWMutex
	closed bool

	// writer
	queue       queueOfOps
	gate        sync.Mutex    // held while a transaction is made, or must not be; it guards what follows
	syncing     chan struct{} // holds one thing, which the goroutine has that syncs the WAL, or keeps it from being synced
	w           *conn
	deferral    *deferral
	wal         *os.File // to sync it
	stop        chan struct{}
	writing     sync.WaitGroup
	fault       atomic.Pointer[fault]
	lastRequest int64            // the number last given
	subIDs      map[string]int64 // cache
	growing     map[int64]marks  // of the blocks that are not stored

	// readers
	readers chan *conn
	sources sources
	blocks  blocks
	leases  *leases

	// checkpoints
	cp             *conn
	checkpointNow  chan struct{}
	checkpointDone chan struct{}
	commits        atomic.Int64
	stall          atomic.Int64 // the longest time the writer was held back, in nanoseconds
	walFrames      atomic.Uint32

	background context.CancelFunc
	check      sync.WaitGroup
}

var _ store.Store = (*Store)(nil)

// numReaders is how many reads run at once.
const numReaders = 4

// checkLimit is up to what size a database that was not closed is checked
// before it is used; a larger one is checked meanwhile. A process that was killed does not damage the
// database; the check is for disks and power supplies that do.
var checkLimit = int64(256 << 20)

// Open opens the store in dir, and creates the directory and the database where
// there are none. Errors: *LockedError when another process has it open,
// *NewerError when a later version wrote it, store.ErrCorrupt when it is damaged.
func Open(dir string, opt Options) (*Store, error) {
	s := &Store{
		path: filepath.Join(dir, "store.db"),
		now:  opt.Now, window: cmp.Or(opt.DedupeWindow, store.DefaultDedupeWindow), log: opt.Logger,
		syncing: make(chan struct{}, 1), stop: make(chan struct{}),
		subIDs: map[string]int64{}, growing: map[int64]marks{}, leases: newLeases(),
		readers: make(chan *conn, numReaders), checkpointNow: make(chan struct{}, 1), checkpointDone: make(chan struct{}),
	}
	s.queue.wake = make(chan struct{}, 1)
	s.syncing <- struct{}{}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	path, err := filepath.Abs(s.path)
	if err != nil {
		return nil, err
	}
	s.path = path
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("creating the data directory: %w", err)
	}
	if s.lock, err = lockDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if err := s.open(); err != nil {
		if s.background != nil { // it runs already
			err = errors.Join(err, s.Close())
		} else {
			s.release(false) //nolint:errcheck // the error above says more
		}
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	return s, nil
}

// lockDir locks a data directory and leaves our pid in the lock.
func lockDir(dir string) (*flock.Flock, error) {
	path := filepath.Join(dir, "store.lock")
	lock := flock.New(path, flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking the data directory: %w", err)
	}
	if !ok {
		text, _ := os.ReadFile(path) // whose it is, is a courtesy
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		return nil, &LockedError{dir, pid}
	}
	if err := os.WriteFile(path, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o600); err != nil {
		lock.Close() //nolint:errcheck // the error above says more
		return nil, fmt.Errorf("locking the data directory: %w", err)
	}
	return lock, nil
}

func (s *Store) open() error {
	// fdatasync does all that a commit needs, in less time than fsync. Not available everywhere.
	sqlite.Fdatasync(true) //nolint:errcheck // then it is fsync

	dir := filepath.Dir(s.path)
	markFile, err := os.OpenFile(filepath.Join(dir, "store.mark"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	s.index = &index{mark: markFile}
	text, err := io.ReadAll(io.LimitReader(markFile, 64))
	if err != nil {
		return fmt.Errorf("reading store.mark: %w", err)
	}
	m := decodeMark(text)

	info, err := os.Stat(s.path)
	fresh := errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0
	if err != nil && !fresh {
		return err
	}
	used, err := inspectWAL(s.path, m)
	if err != nil {
		return err
	}
	if !used && m.committed() {
		s.log.Info("another program, such as sqlite3, has moved the WAL into the database; all that was committed is there", "database", s.path)
	}
	if fresh && used {
		return &damage{s.path, "the database is missing, though its -wal is there"}
	}
	if fresh && m.state == markClean {
		return &damage{s.path, "the database is missing, though store.mark says that it was closed in good order (remove store.mark to begin with an empty one)"}
	}
	if fresh {
		// SQLite gives its other files the mode of this one.
		f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close(), syncDir(dir)); err != nil {
			return err
		}
	} else if err := s.examine(m.state == markClean && !used); err != nil {
		return err
	}
	return s.connect(m.state == markClean && !used)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// examine looks at an existing database, and leaves one that is refused as it is.
func (s *Store) examine(clean bool) error {
	return readOnly(context.Background(), s.path, func(c *conn) error {
		if clean {
			return nil
		}
		if info, err := os.Stat(s.path); err != nil || info.Size() > checkLimit {
			return nil //nolint:nilerr // it is looked at meanwhile, or whatever opens it says why not
		}
		return quickCheck(context.Background(), c, s.path)
	})
}

// readOnly runs f with a connection that cannot change the database, which has a schema that we know. What SQLite
// finds damaged is a *damage.
func readOnly(ctx context.Context, path string, f func(*conn) error) error {
	c, err := dial(ctx, path, "ro")
	if err != nil {
		return err
	}
	defer c.close() //nolint:errcheck // it has read only
	if err := c.pragma("busy_timeout = 5000"); err != nil {
		return err
	}
	if err = checkSchema(c, path); err == nil {
		err = f(c)
	}
	if isDamage(err) {
		return &damage{path, fmt.Sprintf("SQLite finds it damaged (%v)", err)}
	}
	return err
}

// quickCheck has SQLite look through the structure of the whole database.
func quickCheck(ctx context.Context, c *conn, path string) error {
	var problems []string
	err := c.query(ctx, "PRAGMA quick_check(5)", func(r row) bool {
		if text := r.text(0); text != "ok" {
			problems = append(problems, text)
		}
		return true
	})
	if len(problems) > 0 || isDamage(err) {
		if err != nil {
			problems = append(problems, err.Error())
		}
		return &damage{path, "SQLite's quick_check finds it damaged: " + strings.Join(problems, "; ")}
	}
	return err
}

// connect opens the connections and starts what runs in the background.
func (s *Store) connect(clean bool) (err error) {
	ctx := context.Background()
	if s.w, s.deferral, err = dialDeferring(ctx, s.path); err != nil {
		return err
	}
	for _, p := range []string{
		writerTimeout,
		fmt.Sprintf("page_size = %d", pageSize), // of a new database
		"auto_vacuum = INCREMENTAL",             // of a new database
		"journal_mode = WAL",
		"synchronous = FULL",
		"wal_autocheckpoint = 0",
		"cache_size = -32768", // KiB
		"temp_store = MEMORY",
		"foreign_keys = OFF",
	} {
		if err := s.w.pragma(p); err != nil {
			return err
		}
	}
	if err := migrate(ctx, s.w); err != nil {
		return err
	}
	if s.wal, err = os.OpenFile(s.path+"-wal", os.O_RDWR, 0); err != nil {
		return err
	}
	if s.cp, err = dial(ctx, s.path, "rw"); err != nil {
		return err
	}
	if err := errors.Join(s.cp.pragma("busy_timeout = 20"), s.cp.pragma("synchronous = FULL"), s.cp.pragma("wal_autocheckpoint = 0")); err != nil {
		return err
	}
	for range numReaders {
		c, err := dial(ctx, s.path, "ro")
		if err != nil {
			return err
		}
		s.readers <- c
		if err := errors.Join(c.pragma("busy_timeout = 5000"), c.pragma("query_only = ON"), c.pragma("cache_size = -8192")); err != nil {
			return err
		}
		if _, err := c.number("SELECT count(*) FROM meta"); err != nil { // opens the file
			return err
		}
	}
	if s.index.shm, err = os.OpenFile(s.path+"-shm", os.O_RDWR, 0); err != nil {
		return err
	}
	if err := s.reserve(); err != nil {
		return err
	}
	// What the last run left in the WAL goes to the database now, so that a WAL
	// holds frames of one run only.
	if err := s.index.settle(markNone); err != nil {
		return fmt.Errorf("syncing store.mark: %w", err)
	}
	if busy, err := s.w.number("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	} else if busy != 0 {
		return fmt.Errorf("%s is being read by another process, such as sqlite3: close it first", s.path)
	}
	if err := s.load(); err != nil {
		return err
	}

	background, cancel := context.WithCancel(ctx)
	s.background = cancel
	if info, err := os.Stat(s.path); err == nil && !clean && info.Size() > checkLimit {
		s.check.Go(func() { s.checkMeanwhile(background) })
	}
	for range writers {
		s.writing.Add(1)
		go s.runWriter()
	}
	go s.runCheckpoints(background)
	return s.resumeDeletes(background)
}

// shmSize is what the index of a WAL of maxFrames takes, and a bit more.
const shmSize = 1 << 20

// reserve makes the index of the WAL as large as it will ever be. It is the one thing
// that grows after the commit mark is on the disk; see gradeOf.
func (s *Store) reserve() error {
	err := allocate(s.index.shm, shmSize)
	if err != nil {
		return fmt.Errorf("reserving room for the index of the WAL: %w", err)
	}
	return nil
}

// load reads what is kept in memory.
func (s *Store) load() error {
	var err error
	if s.lastRequest, err = s.w.number("SELECT max(coalesce((SELECT max(id) FROM requests), 0), coalesce((SELECT value FROM meta WHERE key = 'request'), 0))"); err != nil {
		return err
	}
	if err := s.sources.load(s.w); err != nil {
		return err
	}
	if err := s.loadUnlisted(s.w); err != nil {
		return err
	}
	return s.loadBlocks(s.w)
}

// checkMeanwhile checks a large database while it is in use.
func (s *Store) checkMeanwhile(ctx context.Context) {
	c, err := dial(ctx, s.path, "ro")
	if err != nil {
		return
	}
	defer c.close() //nolint:errcheck // it has read only
	if err := quickCheck(ctx, c, s.path); errors.Is(err, store.ErrCorrupt) {
		s.fail("checking the database", &commitError{err})
	}
}

// resumeDeletes finishes deletions of subscriptions that the end of the last run cut short.
func (s *Store) resumeDeletes(ctx context.Context) error {
	type deletion struct{ sub, upTo int64 }
	var all []deletion
	err := s.read(ctx, func(c *conn) error {
		return c.query(ctx, "SELECT id, deleted FROM subscriptions WHERE deleted IS NOT NULL", func(r row) bool {
			all = append(all, deletion{r.int(0), r.int(1)})
			return true
		})
	})
	for _, d := range all {
		open := int64(s.leases.countUnlisted(d.sub))
		for _, query := range [...]string{
			"SELECT 1 FROM deliveries WHERE subscription = ? AND state = 0 LIMIT 1",
			"SELECT 1 FROM deliveries WHERE subscription = ? AND lane IS NOT NULL AND state < 2 LIMIT 1",
		} {
			if err == nil && open == 0 {
				err = s.read(ctx, func(c *conn) (err error) {
					open, err = c.number(query, d.sub)
					return err
				})
			}
		}
		if err == nil && open > 0 {
			err = s.kill(ctx, d.sub, d.upTo)
		}
	}
	return err
}

// call runs what writes, unless the store is closed.
func (s *Store) call(f func() error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return store.ErrClosed
	}
	return f()
}

// read runs f with a connection of a reader.
func (s *Store) read(ctx context.Context, f func(*conn) error) error {
	return s.call(func() error {
		select {
		case c := <-s.readers:
			defer func() { s.readers <- c }()
			return f(c)
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

func (s *Store) Err() error {
	if f := s.fault.Load(); f != nil {
		return f.err
	}
	return nil
}

func (s *Store) bytesOnDisk() (n int64) {
	for _, suffix := range [...]string{"", "-wal", "-shm"} {
		if info, err := os.Stat(s.path + suffix); err == nil { // SQLite may just have removed it
			n += info.Size()
		}
	}
	return n
}

var errClosed = &fault{err: store.ErrClosed}

func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true // and no call is under way
	s.mu.Unlock()

	s.queue.close()
	close(s.stop)
	s.writing.Wait()
	s.background()
	<-s.checkpointDone
	s.check.Wait()
	sound := s.fault.Load() == nil
	s.fault.Store(errClosed)
	if err := s.release(sound); err != nil {
		return fmt.Errorf("closing the store: %w", err)
	}
	return nil
}

// release closes everything that is open. sound: the database is to be made
// complete, which needs no WAL to be opened again.
func (s *Store) release(sound bool) error {
	var errs []error
	closeConns := func(cs ...*conn) {
		for _, c := range cs {
			if c != nil {
				errs = append(errs, c.close())
			}
		}
	}
	var readers []*conn
	for len(s.readers) > 0 {
		readers = append(readers, <-s.readers)
	}
	if sound {
		closeConns(readers...)
		closeConns(s.cp)
		err := s.index.settle(markNone)
		if err == nil {
			_, err = s.w.exec("PRAGMA wal_checkpoint(TRUNCATE)")
		}
		errs = append(errs, err)
		closeConns(s.w)
		if errors.Join(errs...) == nil {
			errs = append(errs, s.index.settle(markClean))
		}
	} else {
		// The last connection to close would checkpoint, which must not happen
		// after a sync has failed: so it is one that cannot.
		closeConns(s.w, s.cp)
		closeConns(readers...)
	}
	if s.wal != nil {
		errs = append(errs, s.wal.Close())
	}
	if s.index != nil {
		if s.index.shm != nil {
			errs = append(errs, s.index.shm.Close())
		}
		errs = append(errs, s.index.mark.Close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}
