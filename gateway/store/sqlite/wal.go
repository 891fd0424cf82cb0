package sqlite

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"switchhook/gateway/store"
)

// SQLite recovers a WAL by reading frames until one fails its checksum, and
// takes what comes after for the torn end of a transaction that nobody was told
// about. A bit that flipped in the middle therefore drops, without a word, transactions that were
// synced and acknowledged. inspectWAL reads the WAL before SQLite
// does and tells the two apart, with the help of a mark: after every commit the
// store notes in a small file how far the WAL then reached (a write, not synced: where the
// machine loses power the mark may lag behind, but it is never ahead of
// what was synced).
//
// The formats are those of https://www.sqlite.org/walformat.html.

const (
	walHeaderSize   = 32
	frameHeaderSize = 24
	walMagic        = 0x377f0682 // the lowest bit says that checksums are big-endian
	walVersion      = 3007000
)

// sum is the running checksum of a WAL.
type sum [2]uint32

// add continues the checksum with b, whose length is a multiple of 8.
func (s sum) add(order binary.ByteOrder, b []byte) sum {
	s0, s1 := s[0], s[1]
	if order == binary.LittleEndian { // written out, since this is most of the time it takes to open a large WAL
		for len(b) >= 8 {
			s0 += binary.LittleEndian.Uint32(b) + s1
			s1 += binary.LittleEndian.Uint32(b[4:]) + s0
			b = b[8:]
		}
	} else {
		for len(b) >= 8 {
			s0 += binary.BigEndian.Uint32(b) + s1
			s1 += binary.BigEndian.Uint32(b[4:]) + s0
			b = b[8:]
		}
	}
	return sum{s0, s1}
}

func storedSum(b []byte) sum {
	return sum{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}
}

// mark says how far the WAL was committed.
type mark struct {
	state  uint32
	salt   [8]byte // of the WAL's header: changes whenever the WAL begins anew
	frames uint32
	sum    sum // of the last of the frames
	last   lastFrame
	// ahead is the last frame of what is committed beyond that, and being synced.
	ahead lastFrame
}

// committed says whether the WAL had frames that were committed.
func (m mark) committed() bool { return m.state == markOpen && m.frames > 0 }

// States of a mark. The zero value is a mark that is missing or unreadable.
const (
	_ = iota
	// markOpen: the WAL with this salt reached at least so far.
	markOpen
	// markNone: the database is complete without its WAL.
	markNone
	// markClean: as markNone, and the store was closed.
	markClean
)

const markMagic = "SWHKWAL1"

func (m mark) encode() []byte {
	b := make([]byte, 0, 52)
	b = append(b, markMagic...)
	b = binary.LittleEndian.AppendUint32(b, m.state)
	b = append(b, m.salt[:]...)
	b = binary.LittleEndian.AppendUint32(b, m.frames)
	b = binary.LittleEndian.AppendUint32(b, m.sum[0])
	b = binary.LittleEndian.AppendUint32(b, m.sum[1])
	for _, f := range [...]lastFrame{m.last, m.ahead} {
		b = binary.LittleEndian.AppendUint32(b, f.page)
		b = binary.LittleEndian.AppendUint32(b, f.sum)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

func decodeMark(b []byte) (m mark) {
	end := len(b) - 4
	if end != 48 && end != 32 || string(b[:8]) != markMagic || crc32.ChecksumIEEE(b[:end]) != binary.LittleEndian.Uint32(b[end:]) {
		return m
	}
	if end == 48 { // earlier versions did not note the last frames
		m.last = lastFrame{binary.LittleEndian.Uint32(b[32:]), binary.LittleEndian.Uint32(b[36:])}
		m.ahead = lastFrame{binary.LittleEndian.Uint32(b[40:]), binary.LittleEndian.Uint32(b[44:])}
	}
	m.state = binary.LittleEndian.Uint32(b[8:])
	copy(m.salt[:], b[12:])
	m.frames = binary.LittleEndian.Uint32(b[20:])
	m.sum = sum{binary.LittleEndian.Uint32(b[24:]), binary.LittleEndian.Uint32(b[28:])}
	return m
}

// damage is the error of a WAL that has lost what was committed.
type damage struct {
	path, what string
}

func (d *damage) Error() string {
	return fmt.Sprintf("%s: %s. Opening the database now would silently drop requests that were acknowledged, so it was left as it is. "+
		"Copy the whole data directory first. Then restore a backup; or, to go on with what can still be read, run "+
		"`sqlite3 store.db .recover | sqlite3 recovered.db` in the copy, and put recovered.db in the place of store.db, without the files store.db-wal, store.db-shm and store.mark",
		d.path, d.what)
}

func (d *damage) Is(target error) bool { return target == store.ErrCorrupt }

// moved says whether a database has the last frame that was committed to its WAL. Any program that opens the database after
// a crash, and be it sqlite3 to look at something, moves the WAL to it and removes that. It does so in the order of the pages, so
// the last one of the last transaction comes after nearly all others.
func moved(path string, m mark) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 18)
	if _, err := io.ReadFull(f, head); err != nil {
		return false
	}
	size := int64(binary.BigEndian.Uint16(head[16:]))
	if size == 1 {
		size = 65536
	}
	page := make([]byte, size)
	has := func(fr lastFrame) bool {
		if fr.page == 0 {
			return false
		}
		_, err := f.ReadAt(page, int64(fr.page-1)*size)
		return err == nil && crc32.ChecksumIEEE(page) == fr.sum
	}
	return has(m.last) || has(m.ahead)
}

// inspectWAL reads the WAL of the database at path and returns an error that is store.ErrCorrupt
// when it has lost frames that were committed, judging by m, by the frames
// themselves, and, when there are none, by the database. It reports whether there is anything in the WAL.
func inspectWAL(database string, m mark) (used bool, err error) {
	path := database + "-wal"
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		if m.committed() && !moved(database, m) {
			return false, &damage{path, fmt.Sprintf("the file is missing, but held %d frames that were committed", m.frames)}
		}
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	w := &walReader{r: bufio.NewReaderSize(f, 1<<20)}
	head, err := w.header()
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", path, err)
	}
	if head == nil { // empty, or torn when it began
		if m.committed() && (w.size > 0 || !moved(database, m)) {
			return false, &damage{path, fmt.Sprintf("its header cannot be read, but it held %d frames that were committed", m.frames)}
		}
		if lost, err := w.orphans(); err != nil || lost {
			return false, errors.Join(err, &damage{path, "its header cannot be read, but the frames behind it belong to it"})
		}
		return w.size > 0, nil
	}
	marked := m.state == markOpen && m.salt == head.salt
	if m.state == markOpen && !marked {
		// The WAL began anew after the mark, by which the first half of the salt
		// grows by one; the mark may lag behind by a few of these.
		was, is := binary.BigEndian.Uint32(m.salt[:]), binary.BigEndian.Uint32(head.salt[:])
		if is-was-1 >= 1<<16 {
			return true, &damage{path, "it is older than what was last committed, or its header was changed"}
		}
	}

	// The frames up to the first that fails.
	valid := uint32(0)
	for {
		fr, err := w.next()
		if err != nil {
			return true, fmt.Errorf("reading %s: %w", path, err)
		}
		if fr == nil || !fr.chained || fr.salt != head.salt || fr.page == 0 {
			if marked && valid < m.frames {
				return true, &damage{path, fmt.Sprintf("frame %d of %d that were committed is damaged or missing (at byte %d)",
					valid+1, m.frames, int64(walHeaderSize)+int64(valid)*int64(frameHeaderSize+w.pageSize))}
			}
			if fr == nil {
				return true, nil
			}
			lost, err := w.follows(fr, head.salt)
			if err != nil {
				return true, fmt.Errorf("reading %s: %w", path, err)
			}
			if lost {
				return true, &damage{path, fmt.Sprintf("frame %d is damaged (at byte %d), but transactions committed after it follow",
					valid+1, int64(walHeaderSize)+int64(valid)*int64(frameHeaderSize+w.pageSize))}
			}
			return true, nil
		}
		valid++
		if marked && valid == m.frames && fr.sum != m.sum {
			return true, &damage{path, fmt.Sprintf("frame %d is not the one that was committed", valid)}
		}
	}
}

// walReader reads a WAL frame by frame.
type walReader struct {
	r        *bufio.Reader
	order    binary.ByteOrder
	pageSize int
	size     int64
	last     sum // as stored by the frame before
	buf      []byte
	raw      []byte // the header as it was read
}

type walHead struct{ salt [8]byte }

type frame struct {
	page, commit uint32
	salt         [8]byte
	sum          sum
	// chained: the checksum continues from that of the frame before.
	chained bool
}

// header returns nil when there is none that SQLite would take.
func (w *walReader) header() (*walHead, error) {
	b := make([]byte, walHeaderSize)
	n, err := io.ReadFull(w.r, b)
	w.size, w.raw = int64(n), b[:n]
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	w.order = binary.LittleEndian
	magic := binary.BigEndian.Uint32(b)
	if magic&1 == 1 {
		w.order = binary.BigEndian
	}
	w.pageSize = int(binary.BigEndian.Uint32(b[8:]))
	if w.pageSize == 1 {
		w.pageSize = 65536
	}
	if magic&^1 != walMagic || binary.BigEndian.Uint32(b[4:]) != walVersion ||
		w.pageSize < 512 || w.pageSize > 65536 || w.pageSize&(w.pageSize-1) != 0 {
		return nil, nil
	}
	w.last = storedSum(b[24:])
	if (sum{}).add(w.order, b[:24]) != w.last {
		return nil, nil
	}
	w.buf = make([]byte, frameHeaderSize+w.pageSize)
	head := &walHead{}
	copy(head.salt[:], b[16:24])
	return head, nil
}

// next returns nil at the end, a last frame that is cut short included.
func (w *walReader) next() (*frame, error) {
	n, err := io.ReadFull(w.r, w.buf)
	w.size += int64(n)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	b := w.buf
	fr := &frame{page: binary.BigEndian.Uint32(b), commit: binary.BigEndian.Uint32(b[4:]), sum: storedSum(b[16:])}
	copy(fr.salt[:], b[8:16])
	fr.chained = w.last.add(w.order, b[:8]).add(w.order, b[frameHeaderSize:]) == fr.sum
	w.last = fr.sum
	return fr, nil
}

// follows says whether two transactions were committed from the one on that the bad
// frame belongs to, and a third was begun. A commit is synced before the next but one is written (see writer.go), so a
// frame that continues from the second commit mark proves that the
// bad one had been whole on the disk. What was never synced leaves no such
// proof: frames of one transaction may reach the disk in any order, but
// nothing follows them, and frames left over from before do not continue them.
func (w *walReader) follows(bad *frame, salt [8]byte) (bool, error) {
	last := bad.salt == salt && bad.commit != 0
	commits := 0
	for {
		if last {
			commits++
		}
		fr, err := w.next()
		if fr == nil || err != nil {
			return false, err
		}
		if commits >= 2 && last && fr.chained && fr.salt == salt {
			return true, nil
		}
		last = fr.salt == salt && fr.commit != 0
	}
}

// orphans says whether frames carry the salt of a header that was not taken.
func (w *walReader) orphans() (bool, error) {
	if len(w.raw) < walHeaderSize {
		return false, nil
	}
	b := make([]byte, 16)
	n, err := io.ReadFull(w.r, b)
	w.size += int64(n)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return false, nil
	}
	return err == nil && [8]byte(b[8:16]) == [8]byte(w.raw[16:24]), err
}

// index reads the header of the WAL's index, the -shm file, which says how far
// the WAL is committed, and writes the mark.
//
// The file is opened once and closed last: closing any descriptor of it drops the locks
// that SQLite holds on it in this process.
type index struct {
	shm, mark *os.File
	noted     mark
}

// progress is how far a WAL is.
type progress struct {
	mark
	// backfilled is how many of the frames are in the database already.
	backfilled uint32
}

// read returns how far the WAL is. Only the goroutine that just committed, or
// that keeps others from committing, gets an answer that is not half of one and half of another.
func (x *index) read() (p progress, ok bool) {
	b := make([]byte, 136)
	if n, err := x.shm.ReadAt(b, 0); n < len(b) || err != nil && err != io.EOF {
		return p, false
	}
	native := binary.NativeEndian
	if native.Uint32(b) != walVersion || b[12] == 0 {
		return p, false
	}
	p.state = markOpen
	p.frames = native.Uint32(b[16:])
	p.sum = sum{native.Uint32(b[24:]), native.Uint32(b[28:])}
	copy(p.salt[:], b[32:40])
	p.backfilled = native.Uint32(b[96:])
	return p, true
}

// note writes the mark, without a sync. As settle and noteAhead, it is for the goroutine that has Store.syncing, or keeps others from committing.
func (x *index) note(m mark) error {
	x.noted = m
	_, err := x.mark.WriteAt(m.encode(), 0)
	return err
}

// noteAhead adds to the mark the last frame of a transaction that is in the WAL and not synced yet.
func (x *index) noteAhead(last lastFrame) error {
	m := x.noted
	m.ahead = last
	return x.note(m)
}

// settle writes the mark and syncs it.
func (x *index) settle(state uint32) error {
	if err := x.note(mark{state: state}); err != nil {
		return err
	}
	return x.mark.Sync()
}
