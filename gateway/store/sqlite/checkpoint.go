package sqlite

import (
	"context"
	"fmt"
	"time"
)

// The WAL is checkpointed by a goroutine with a connection of its own, while the writer
// goes on. A PASSIVE checkpoint never catches up with a busy writer, so the WAL
// would grow without end; hence, once it is long and what is left to move is short, the writer is
// held back for that rest, after which it begins the WAL anew. The file
// keeps its size then, which also makes its syncs cheaper: overwriting changes no metadata.

// Variables so that tests need not write so much.
var (
	// checkpointFrames of the WAL that are not in the database begin a
	// checkpoint: 2 MiB. More at once keeps the disk busy for so long that commits wait; less moves the same pages more often.
	checkpointFrames uint32 = 256
	// restartFrames is from what length on the WAL shall begin anew: 64 MiB.
	restartFrames uint32 = 8 << 10
	// restFrames is how much may be left when the writer is held back: 1 MiB.
	restFrames uint32 = 128
	// maxFrames is the length at which the writer is held back whatever is left: 512 MiB.
	maxFrames uint32 = 64 << 10
	// idleTruncate is after how long without a commit the WAL gives its room back.
	idleTruncate = 5 * time.Second
	// keepFrames is how long a WAL may be for it to be left alone when idle.
	keepFrames uint32 = 128
	// longTicks is how many seconds a delivery is leased at least before it is listed, see tidyLeases.
	longTicks = 10
)

// runCheckpoints checkpoints until ctx ends.
func (s *Store) runCheckpoints(ctx context.Context) {
	defer close(s.checkpointDone)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	seen, quiet := s.commits.Load(), time.Now()
	for ticks := 1; ; {
		select {
		case <-ctx.Done():
			return
		case <-s.checkpointNow:
			s.checkpoint(ctx)
		case <-tick.C:
			s.tidyLeases(ctx, ticks%longTicks == 0) //nolint:errcheck // tried again at the next tick
			ticks++
			if f := s.fault.Load(); f != nil && f.due(time.Now()) {
				s.probe()
			}
			if n := s.commits.Load(); n != seen {
				seen, quiet = n, time.Now()
			} else if time.Since(quiet) >= idleTruncate && s.walFrames.Load() > keepFrames {
				s.truncate()
				quiet = time.Now()
			}
		}
	}
}

// checkpoint moves what is in the WAL to the database, and has the WAL begin anew when it is long.
func (s *Store) checkpoint(ctx context.Context) {
	left := uint32(0)
	for range 4 {
		if ctx.Err() != nil || s.fault.Load() != nil {
			return
		}
		if !s.runCheckpoint(s.cp, "PASSIVE") {
			return
		}
		p, ok := s.index.read()
		if ok && p.backfilled < p.frames {
			// SQLite syncs the database when all of the WAL was moved, which with a busy writer is when that is held back. It would
			// wait then for all that was moved since the WAL began.
			if err := s.cp.syncDatabase(); err != nil {
				s.fail("checkpoint", &commitError{fmt.Errorf("syncing the database: %w", err)})
				return
			}
		}
		if !ok || p.frames < restartFrames {
			return
		}
		if left = p.frames - min(p.backfilled, p.frames); left <= restFrames {
			break
		}
	}
	if p, ok := s.index.read(); !ok || left > restFrames && p.frames < maxFrames {
		return
	}
	defer s.hold()()
	s.restart("RESTART")
}

// restart has the WAL begin anew, while all are held. It uses the writer's own
// connection: to the others a WAL that begins anew looks like the work of a stranger,
// which makes them drop all pages they have cached.
func (s *Store) restart(mode string) bool {
	// Readers that began before the rest was moved keep the WAL from beginning
	// anew; they are waited for, but not for long.
	if err := s.w.pragma("busy_timeout = 20"); err != nil {
		return false
	}
	ok := s.runCheckpoint(s.w, mode)
	if err := s.w.pragma(writerTimeout); err != nil {
		s.fail("checkpoint", &commitError{err}) // cannot happen; the writer would give up too early
	}
	return ok
}

// writerTimeout is for how long the writer waits for a process that writes to the database behind our back.
const writerTimeout = "busy_timeout = 10000"

// truncate empties the WAL. The mark is taken back first, and durably: a
// mark of frames that are gone would look like damage.
func (s *Store) truncate() {
	defer s.hold()()
	if s.fault.Load() != nil || !s.restart("RESTART") {
		return
	}
	if err := s.index.settle(markNone); err != nil {
		s.fail("syncing the mark", err)
		return
	}
	if s.restart("TRUNCATE") {
		s.walFrames.Store(0)
	}
}

// runCheckpoint says whether the checkpoint was complete or at least went well. A full disk is
// no harm: everything is still in the WAL. Any other error breaks the store, since a sync
// that failed once says nothing when it succeeds later.
func (s *Store) runCheckpoint(c *conn, mode string) bool {
	busy := false
	err := c.query(context.Background(), "PRAGMA wal_checkpoint("+mode+")", func(r row) bool {
		busy = r.int(0) != 0
		return true
	})
	if err != nil && gradeOf(err) == ofFile {
		s.fail("checkpoint", err)
	}
	return err == nil && (mode == "PASSIVE" || !busy)
}
