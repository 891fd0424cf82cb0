package sqlite

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"switchhook/gateway/hook"
	"switchhook/gateway/store"
)

// small makes a record with the given number.
func small(n int) *hook.Record {
	id := fmt.Sprintf("req_01KE%022d", n)
	body := bytes.Repeat(fmt.Appendf(nil, "%d,", n), 300)
	e := &hook.Event{ID: "evt_" + id[4:], RequestID: id, Selector: "a/b", Payload: body, FromBody: true}
	return &hook.Record{
		Request: &hook.Request{ID: id, Workspace: "demo", Integration: "i", Webhook: "w", Connector: "c", Method: "POST", Path: "/p",
			Headers: hook.Headers{{Name: "N", Value: fmt.Sprint(n)}}, Body: body, ReceivedAt: time.Unix(1_767_000_000+int64(n), 0)},
		Outcome: hook.Accepted, Response: hook.Response{Status: 200}, Events: []*hook.Event{e},
		Deliveries: []*hook.Delivery{{Event: e, Subscription: "demo/s", DueAt: time.Unix(1_767_000_000, 0)}},
	}
}

// whole says whether a record that small made is stored whole.
func whole(s *Store, n int) error {
	want := small(n)
	got, err := s.Request(context.Background(), want.Request.ID)
	if err != nil {
		return err
	}
	if !bytes.Equal(got.Request.Body, want.Request.Body) || len(got.Request.Headers) != 1 || got.Request.Headers[0] != want.Request.Headers[0] ||
		len(got.Events) != 1 || !bytes.Equal(got.Events[0].Payload, want.Request.Body) || len(got.Deliveries) != 1 {
		return fmt.Errorf("request %d is not whole: %+v", n, got.Record)
	}
	return nil
}

func mustOpen(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	for _, name := range []string{"store.db", "store.db-wal", "store.mark"} {
		text, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// killed returns a data directory as a killed process leaves it: requests 1 to n are in the database,
// n+1 to 2n in the WAL only.
func killed(t testing.TB, n int) string {
	t.Helper()
	dir := t.TempDir()
	s := mustOpen(t, dir)
	add := func(from, to int) {
		for i := from; i <= to; i++ {
			if err := s.Append(context.Background(), small(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(1, n)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir)
	add(n+1, 2*n)
	copied := copyDir(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return copied
}

// TestDamagedWAL flips bits and cuts the WAL at many places. Every request in it
// was acknowledged, so the store must either have all of them or refuse to open.
func TestDamagedWAL(t *testing.T) {
	const n = 6
	dir := killed(t, n)
	wal := filepath.Join(dir, "store.db-wal")
	text, err := os.ReadFile(wal)
	if err != nil {
		t.Fatal(err)
	}
	frame := frameHeaderSize + pageSize
	frames := (len(text) - walHeaderSize) / frame
	t.Logf("%d bytes, %d frames", len(text), frames)

	check := func(t *testing.T, damaged []byte, mayOpen bool) (opened bool) {
		t.Helper()
		dir := copyDir(t, dir)
		path := filepath.Join(dir, "store.db-wal")
		if damaged == nil {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir, Options{})
		if err != nil {
			if !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("Open = %v, want store.ErrCorrupt", err)
			}
			if !strings.Contains(err.Error(), "store.db-wal") || !strings.Contains(err.Error(), ".recover") {
				t.Errorf("the error names neither the file nor the way out: %v", err)
			}
			left, err := os.ReadFile(path)
			if damaged != nil && (err != nil || !bytes.Equal(left, damaged)) {
				t.Errorf("a WAL that was refused was changed (%v)", err)
			}
			return false
		}
		defer s.Close()
		if !mayOpen {
			t.Error("it opened")
		}
		for i := 1; i <= 2*n; i++ {
			if err := whole(s, i); err != nil {
				t.Errorf("request %d was silently lost: %v", i, err)
			}
		}
		return true
	}
	t.Run("not at all", func(t *testing.T) {
		if !check(t, text, true) {
			t.Error("it did not open")
		}
	})
	t.Run("missing", func(t *testing.T) { check(t, nil, false) })
	t.Run("empty", func(t *testing.T) { check(t, []byte{}, false) })

	rnd := rand.New(rand.NewPCG(1, 2))
	places := []int{0, 3, 5, 9, 13, 17, 21, 25, 31} // in the header
	for f := range frames {
		at := walHeaderSize + f*frame
		places = append(places, at+rnd.IntN(4), at+4+rnd.IntN(4), at+8+rnd.IntN(8), at+16+rnd.IntN(8), at+frameHeaderSize+rnd.IntN(pageSize))
	}
	for range 20 {
		places = append(places, rnd.IntN(len(text)))
	}
	for _, at := range places {
		t.Run(fmt.Sprintf("bit flipped at %d", at), func(t *testing.T) {
			damaged := bytes.Clone(text)
			damaged[at] ^= 1 << rnd.IntN(8)
			// the number of the checkpoint says nothing about the frames, but is under the header's checksum
			check(t, damaged, false)
		})
	}
	cuts := []int{1, 31, 32, 33, len(text) - 1, len(text) - frame, len(text) - frame + 10}
	for range 12 {
		cuts = append(cuts, rnd.IntN(len(text)))
	}
	for _, at := range cuts {
		t.Run(fmt.Sprintf("cut at %d", at), func(t *testing.T) { check(t, text[:at], false) })
	}
	t.Run("an older one", func(t *testing.T) {
		// as if the file system had gone back to another generation
		damaged := bytes.Clone(text)
		binary.BigEndian.PutUint32(damaged[16:], binary.BigEndian.Uint32(damaged[16:])-1)
		head := (sum{}).add(binary.LittleEndian, damaged[:24])
		binary.BigEndian.PutUint32(damaged[24:], head[0])
		binary.BigEndian.PutUint32(damaged[28:], head[1])
		check(t, damaged, false)
	})
}

// TestTornWAL: what was never acknowledged may be torn in any way, and the store
// opens without it.
func TestTornWAL(t *testing.T) {
	const n = 4
	dir := killed(t, n)
	path := filepath.Join(dir, "store.db-wal")
	acked, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Two more transactions, of which the mark knows nothing: so many can be unsynced.
	more := copyDir(t, dir)
	s := mustOpenKeepingWAL(t, more)
	frame := frameHeaderSize + pageSize
	if len(s) <= len(acked)+2*frame || !bytes.Equal(s[:len(acked)], acked) {
		t.Fatalf("%d bytes do not continue %d", len(s), len(acked))
	}
	tail := len(s) - len(acked)
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range 60 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			dir := copyDir(t, dir)
			torn := bytes.Clone(s)
			switch i % 4 {
			case 0: // cut
				torn = torn[:len(acked)+rnd.IntN(tail)]
			case 1: // one sector did not get there
				at := len(acked) + rnd.IntN(tail-512)
				clear(torn[at : at+512])
			case 2: // pages got there in any order
				for f := len(acked); f < len(torn); f += frame {
					if rnd.IntN(2) == 0 {
						clear(torn[f : f+frame])
					}
				}
			case 3: // all but the last frame's end
				torn = torn[:len(torn)-1-rnd.IntN(100)]
			}
			if err := os.WriteFile(filepath.Join(dir, "store.db-wal"), torn, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(dir, Options{})
			if err != nil {
				t.Fatalf("it did not open: %v", err)
			}
			defer s.Close()
			for k := 1; k <= 2*n; k++ {
				if err := whole(s, k); err != nil {
					t.Errorf("request %d: %v", k, err)
				}
			}
			if err := s.Append(context.Background(), small(1000+i)); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("the mark lags behind", func(t *testing.T) {
		// Power was lost: the mark of the last transactions did not get to the disk. Damage
		// before the last two still shows.
		for _, name := range []string{"store.mark"} {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		for _, at := range []int{walHeaderSize + 100, walHeaderSize + 2*frame + 5000, len(acked) - 2*frame - 50, len(acked) - 100} {
			dir := copyDir(t, dir)
			damaged := bytes.Clone(s)
			damaged[at] ^= 4
			if err := os.WriteFile(filepath.Join(dir, "store.db-wal"), damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			if s, err := Open(dir, Options{}); !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("a flip at %d: Open = %v, want store.ErrCorrupt", at, err)
				if s != nil {
					s.Close()
				}
			}
		}
	})
}

// mustOpenKeepingWAL appends two more transactions to the WAL of a copy, without
// the checkpoint that Open makes, and returns the WAL.
func mustOpenKeepingWAL(t *testing.T, dir string) []byte {
	t.Helper()
	path := filepath.Join(dir, "store.db")
	keep, err := dial(t.Context(), path, "ro")
	if err != nil {
		t.Fatal(err)
	}
	defer keep.close()
	if _, err := keep.number("SELECT count(*) FROM requests"); err != nil {
		t.Fatal(err)
	}
	w, err := dial(t.Context(), path, "rw")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.pragma("wal_autocheckpoint = 0"), w.pragma("synchronous = FULL"),
		w.script("INSERT INTO state VALUES('a', 'b', hex(zeroblob(20000)))"),
		w.script("INSERT INTO state VALUES('a', 'c', hex(zeroblob(20000)))")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	return text
}

func TestDamagedMark(t *testing.T) {
	dir := killed(t, 2)
	for _, text := range [][]byte{nil, {}, []byte("SWHKWAL1"), bytes.Repeat([]byte{0xff}, 36), bytes.Repeat([]byte("x"), 5000)} {
		dir := copyDir(t, dir)
		if err := os.WriteFile(filepath.Join(dir, "store.mark"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatalf("a mark of %d bytes: %v", len(text), err)
		}
		for i := 1; i <= 4; i++ {
			if err := whole(s, i); err != nil {
				t.Error(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	m := mark{state: markOpen, salt: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, frames: 77, sum: sum{1, 1 << 31}, last: lastFrame{9, 1 << 31}, ahead: lastFrame{1 << 31, 7}}
	if got := decodeMark(m.encode()); got != m {
		t.Errorf("decodeMark = %+v, want %+v", got, m)
	}
}

// TestMovedByAnother: a program that looks at the database after a crash, as sqlite3 does, moves the WAL to it and removes that.
// Nothing is lost then, and the store opens. It does not when the WAL went another way.
func TestMovedByAnother(t *testing.T) {
	const n = 6
	look := func(t *testing.T, dir string) {
		t.Helper()
		c, err := dial(t.Context(), filepath.Join(dir, "store.db"), "rw")
		if err != nil {
			t.Fatal(err)
		}
		count, err := c.number("SELECT count(*) FROM requests")
		if err := errors.Join(err, c.close()); err != nil || count != 2*n {
			t.Fatalf("%d requests, %v", count, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "store.db-wal")); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("the WAL is still there (%v)", err)
		}
	}
	remark := func(dir string, change func(*mark)) error {
		path := filepath.Join(dir, "store.mark")
		text, err := os.ReadFile(path)
		m := decodeMark(text)
		change(&m)
		return errors.Join(err, os.WriteFile(path, m.encode(), 0o600))
	}
	wal := func(dir string) string { return filepath.Join(dir, "store.db-wal") }
	for name, c := range map[string]struct {
		change func(t *testing.T, dir string) error
		opens  bool
	}{
		"moved":             {func(t *testing.T, dir string) error { look(t, dir); return nil }, true},
		"moved and emptied": {func(t *testing.T, dir string) error { look(t, dir); return os.WriteFile(wal(dir), nil, 0o600) }, true},
		"removed":           {func(t *testing.T, dir string) error { return os.Remove(wal(dir)) }, false},
		"emptied":           {func(t *testing.T, dir string) error { return os.Truncate(wal(dir), 0) }, false},
		"moved, and an older database put back": {func(t *testing.T, dir string) error {
			older, err := os.ReadFile(filepath.Join(dir, "store.db"))
			look(t, dir)
			return errors.Join(err, os.WriteFile(filepath.Join(dir, "store.db"), older, 0o600))
		}, false},
		"moved, where the last frame was not noted": {func(t *testing.T, dir string) error {
			look(t, dir)
			return remark(dir, func(m *mark) { m.last = lastFrame{} })
		}, false},
		"moved, before the mark had followed": {func(t *testing.T, dir string) error {
			look(t, dir)
			return remark(dir, func(m *mark) { m.last, m.ahead = lastFrame{m.last.page, m.last.sum + 1}, m.last })
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := killed(t, n)
			if err := c.change(t, dir); err != nil {
				t.Fatal(err)
			}
			s, err := Open(dir, Options{})
			if !c.opens {
				if !errors.Is(err, store.ErrCorrupt) {
					t.Errorf("Open = %v, want store.ErrCorrupt", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for i := 1; i <= 2*n; i++ {
				if err := whole(s, i); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestMarkBefore: the marks of versions that did not note the last frame are read.
func TestMarkBefore(t *testing.T) {
	m := mark{state: markOpen, salt: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, frames: 77, sum: sum{1, 1 << 31}}
	text := m.encode()[:32]
	if got := decodeMark(binary.LittleEndian.AppendUint32(text, crc32.ChecksumIEEE(text))); got != m {
		t.Errorf("decodeMark = %+v, want %+v", got, m)
	}
}

// TestDamagedDatabase: damage in the database itself is found after a run that
// was not closed, and not looked for after one that was.
func TestDamagedDatabase(t *testing.T) {
	dir := killed(t, 30)
	path := filepath.Join(dir, "store.db")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xa5}, 100), 6*pageSize); err != nil {
		t.Fatal(err)
	}
	f.Close()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, Options{})
	if !errors.Is(err, store.ErrCorrupt) {
		t.Fatalf("Open = %v, want store.ErrCorrupt", err)
	}
	if s != nil || !strings.Contains(err.Error(), path) {
		t.Errorf("the error does not name the file: %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("a database that was refused was changed (%v)", err)
	}

	for name, text := range map[string][]byte{"text": bytes.Repeat([]byte("not a database. "), 1000), "zeros": make([]byte, 8192)} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "store.db"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{}); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("a file of %s: Open = %v, want store.ErrCorrupt", name, err)
		}
	}

	t.Run("missing", func(t *testing.T) {
		dir := copyDir(t, killed(t, 2))
		if err := os.Remove(filepath.Join(dir, "store.db")); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{}); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("Open = %v, want store.ErrCorrupt", err)
		}
	})
}

// TestLargeDatabaseIsCheckedMeanwhile: a database too large to wait for is checked while it is in use.
func TestLargeDatabaseIsCheckedMeanwhile(t *testing.T) {
	dir := killed(t, 30)
	c, err := dial(t.Context(), filepath.Join(copyDir(t, dir), "store.db"), "ro")
	if err != nil {
		t.Fatal(err)
	}
	page, err := c.number("SELECT rootpage FROM sqlite_schema WHERE name = 'contents'") // which opening does not read
	if err := errors.Join(err, c.close()); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "store.db"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xa5}, 100), (page-1)*pageSize); err != nil {
		t.Fatal(err)
	}
	// so that it is not in the WAL, and mended from there
	if err := os.WriteFile(filepath.Join(dir, "store.db-wal"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "store.mark")); err != nil {
		t.Fatal(err)
	}
	f.Close()
	old := checkLimit
	checkLimit = 0
	defer func() { checkLimit = old }()
	s := mustOpen(t, dir)
	s.check.Wait()
	if err := s.Err(); !errors.Is(err, store.ErrBroken) || !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("Err = %v, want ErrBroken and ErrCorrupt", err)
	}
	s.Close()
}

// FuzzInspectWAL: whatever the files hold, the inspection ends, without a panic.
func FuzzInspectWAL(f *testing.F) {
	dir := killed(f, 1)
	wal, err := os.ReadFile(filepath.Join(dir, "store.db-wal"))
	if err != nil {
		f.Fatal(err)
	}
	m, err := os.ReadFile(filepath.Join(dir, "store.mark"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wal[:walHeaderSize+2*(frameHeaderSize+pageSize)], m)
	f.Add(wal[:walHeaderSize], []byte{})
	f.Add([]byte{}, m)
	path := filepath.Join(f.TempDir(), "store.db")
	if text, err := os.ReadFile(filepath.Join(dir, "store.db")); err != nil || os.WriteFile(path, text, 0o600) != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, wal, m []byte) {
		if err := os.WriteFile(path+"-wal", wal, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := inspectWAL(path, decodeMark(m)); err != nil && !errors.Is(err, store.ErrCorrupt) {
			t.Error(err)
		}
	})
}
