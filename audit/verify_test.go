package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
)

func verifyFiles(t *testing.T, log *testLog, files fs.FS, opts audit.LogOptions) (audit.LogReport, error) {
	t.Helper()
	return audit.VerifyLog(t.Context(), audit.DirLog(files), log.verifier(t), opts)
}

func TestTilePath(t *testing.T) {
	for _, tt := range []struct {
		level int
		index uint64
		width int
		want  string
	}{
		{0, 0, 256, "tile/0/000"},
		{1, 1234067, 1, "tile/1/x001/x234/067.p/1"},
		{-1, 0, 17, "tile/entries/000.p/17"},
		{-1, 273, 256, "tile/entries/273"},
		{7, 1000, 255, "tile/7/x001/000.p/255"},
	} {
		if got := audit.TilePath(tt.level, tt.index, tt.width); got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
	}
}

func TestVerifyLog(t *testing.T) {
	log := newTestLog(t, 0)
	for _, size := range []int{0, 1, 2, 255, 256, 257, 512, 700} {
		for log.size() < size {
			log.add(t, entryAt(log.size()))
		}
		var records [][]byte
		var progress []string
		report, err := verifyFiles(t, log, log.files(t), audit.LogOptions{
			Record: func(seq uint64, record []byte) error {
				if seq != uint64(len(records)) {
					t.Errorf("record %d comes as %d", len(records), seq)
				}
				records = append(records, bytes.Clone(record))
				return nil
			},
			Progress: func(done, total uint64) { progress = append(progress, fmt.Sprint(done, "/", total)) },
		})
		if err != nil {
			t.Errorf("%d entries: %v", size, err)
			continue
		}
		want := audit.LogReport{Checkpoint: audit.Checkpoint{Origin: logOrigin, Size: uint64(size), Root: log.root(t, size)}, Entries: uint64(size)}
		if size > 0 {
			want.FirstReceivedAt, want.LastReceivedAt = log.entries[0].ReceivedAt, log.entries[size-1].ReceivedAt
		}
		if diff := cmp.Diff(want, report); diff != "" {
			t.Errorf("%d entries: %s", size, diff)
		}
		if !slices.EqualFunc(records, log.records, bytes.Equal) || len(progress) != (size+255)/256 {
			t.Errorf("%d entries: %d records, progress %v", size, len(records), progress)
		}
	}
}

// TestVerifyLogDeep is a log with tiles on three levels.
func TestVerifyLogDeep(t *testing.T) {
	log := newTestLog(t, 0)
	for i := range 66_000 {
		log.addRecord(t, fmt.Appendf(nil, `{"id":%q,"received_at":"2026-02-25T06:13:20.000Z"}`, testID(1_772_000_000_000, uint64(i))))
	}
	report, err := verifyFiles(t, log, log.files(t), audit.LogOptions{Older: log.checkpoint(t, 65_537)})
	if err != nil || report.Entries != 66_000 || report.Older.Size != 65_537 {
		t.Errorf("%+v, error %v", report, err)
	}
}

// prunedLog is a log whose owner removed entries: it says so of some files.
type prunedLog struct {
	audit.LogReader
	log  *testLog
	gone map[string]bool
}

func (p prunedLog) ReadTile(ctx context.Context, path string) ([]byte, error) {
	if p.gone[path] {
		return nil, fmt.Errorf("%s: %w", path, audit.ErrRemoved)
	}
	return p.LogReader.ReadTile(ctx, path)
}

// provingLog is one that also proves that it extends an older one.
type provingLog struct{ prunedLog }

func (p provingLog) ReadConsistency(_ context.Context, older, newer uint64) ([]tlog.Hash, error) {
	return tlog.ProveTree(int64(newer), int64(older), p.log)
}

// TestVerifyLogRemoved verifies what is left of a log, and says what is not.
func TestVerifyLogRemoved(t *testing.T) {
	log := newTestLog(t, 1500)
	files := log.files(t)
	gone := map[string]bool{}
	for _, tile := range []string{"000", "001", "003"} {
		gone["tile/0/"+tile], gone["tile/entries/"+tile] = true, true
	}
	gone["tile/entries/004"] = true
	seqs := 0
	opts := audit.LogOptions{Record: func(seq uint64, _ []byte) error {
		seqs++
		if seq < 512 || seq >= 768 && seq < 1280 {
			t.Errorf("entry %d was read", seq)
		}
		return nil
	}}
	verify := func(files fs.FS, gone map[string]bool, opts audit.LogOptions) (audit.LogReport, error) {
		return audit.VerifyLog(t.Context(), provingLog{prunedLog{audit.DirLog(files), log, gone}}, log.verifier(t), opts)
	}
	opts.Older = log.checkpoint(t, 300) // inside what is gone
	report, err := verify(files, gone, opts)
	want := audit.LogReport{
		Checkpoint:      audit.Checkpoint{Origin: logOrigin, Size: 1500, Root: log.root(t, 1500)},
		Older:           &audit.Checkpoint{Origin: logOrigin, Size: 300, Root: log.root(t, 300)},
		Entries:         476,
		FirstReceivedAt: log.entries[512].ReceivedAt, LastReceivedAt: log.entries[1499].ReceivedAt,
		Removed: []audit.Range{{From: 0, To: 512}, {From: 768, To: 1280}},
	}
	if diff := cmp.Diff(want, report); err != nil || diff != "" || seqs != 476 {
		t.Errorf("%v, %d records: %s", err, seqs, diff)
	}
	pruned := prunedLog{audit.DirLog(files), log, gone}
	if _, err := audit.VerifyLog(t.Context(), pruned, log.verifier(t), opts); !errors.Is(err, audit.ErrRemoved) {
		t.Errorf("no tiles and no proof: %v", err)
	}
	other := newTestLog(t, 0)
	for i := range 300 {
		e := entryAt(i)
		e.Actor.ID += "x"
		other.add(t, e)
	}
	_, err = verify(files, gone, audit.LogOptions{Older: other.checkpoint(t, 300)})
	wantCheck(t, "another history", err, audit.CheckConsistency, "does not extend")
	// What hides an alteration is noticed where hashes are left.
	for _, name := range []string{"tile/0/004", "tile/1/000.p/5", "tile/0/002", "tile/entries/002"} {
		bad := bytes.Clone(files[name].Data)
		bad[40] ^= 1
		altered := maps.Clone(files) // what reads ahead may go on reading the one before
		altered[name] = &fstest.MapFile{Data: bad}
		if _, err := verify(altered, gone, audit.LogOptions{}); err == nil {
			t.Errorf("%s is altered", name)
		}
	}
	// The newest tile is never without its hashes, nor a tile without that its
	// entries are, nor is what is missing removed.
	for name, more := range map[string]string{"the last tile": "tile/0/005.p/220", "a tile alone": "tile/0/002", "a tile above": "tile/1/000.p/5"} {
		all := maps.Clone(gone)
		all[more], all["tile/entries/005.p/220"] = true, name == "the last tile"
		if _, err := verify(files, all, audit.LogOptions{}); err == nil {
			t.Errorf("%s is gone, and nothing is wrong", name)
		}
	}
	lacking := maps.Clone(files)
	delete(lacking, "tile/entries/002")
	if _, err := verify(lacking, gone, audit.LogOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing bundle: %v", err)
	}
}

// TestVerifyLogFlips flips a bit in each file that is served: each is noticed.
func TestVerifyLogFlips(t *testing.T) {
	log := newTestLog(t, 600)
	files := log.files(t)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		data := files[name].Data
		for _, at := range []int{0, 1, len(data) / 2, len(data) - 40, len(data) - 1} {
			bad := bytes.Clone(data)
			bad[at] ^= 4
			altered := maps.Clone(files)
			altered[name] = &fstest.MapFile{Data: bad}
			_, err := verifyFiles(t, log, altered, audit.LogOptions{})
			if _, ok := errors.AsType[*audit.VerifyError](err); !ok {
				t.Errorf("%s, byte %d: error %v", name, at, err)
			}
		}
	}
}

// TestVerifyLogAltered alters a log in ways that somebody might, and wants to be
// told which entry it is.
func TestVerifyLogAltered(t *testing.T) {
	honest := newTestLog(t, 600)
	// forged is a log whose owner changes an entry and signs the whole anew.
	forged := func(seq int, change func(*audit.Entry)) *testLog {
		log := newTestLog(t, 0)
		for i := range 600 {
			e := entryAt(i)
			if i == seq {
				change(&e)
			}
			log.add(t, e)
		}
		return log
	}
	for _, tt := range []struct {
		name  string
		log   *testLog
		alter func(fstest.MapFS)
		check audit.Check
		says  string
	}{
		{"record altered", honest, func(f fstest.MapFS) {
			edit(f, "tile/entries/001", func(b []byte) []byte { return bytes.Replace(b, []byte("user 300"), []byte("user 30x"), 1) })
		}, audit.CheckInclusion, "entry 300 is not what was recorded"},
		{"record dropped", honest, func(f fstest.MapFS) {
			edit(f, "tile/entries/002.p/88", func(b []byte) []byte { return b[2+len(honest.records[512]):] })
		}, audit.CheckInclusion, "entry 512 is not what was recorded"},
		{"last record dropped", honest, func(f fstest.MapFS) {
			edit(f, "tile/entries/002.p/88", func(b []byte) []byte { return b[:len(b)-2-len(honest.records[599])] })
		}, audit.CheckFormat, "entries 512 to 599 ends in the middle of entry 599"},
		{"record added", honest, func(f fstest.MapFS) {
			edit(f, "tile/entries/001", func(b []byte) []byte { return append(b, 0, 1, 'x') })
		}, audit.CheckFormat, "entries 256 to 511 has more than these"},
		{"record and leaf altered", honest, func(f fstest.MapFS) {
			f["tile/entries/001"] = forged(300, func(e *audit.Entry) { e.Actor.Name = "Eve" }).files(t)["tile/entries/001"]
			f["tile/0/001"] = forged(300, func(e *audit.Entry) { e.Actor.Name = "Eve" }).files(t)["tile/0/001"]
		}, audit.CheckTree, "do not lead to the checkpoint's root"},
		{"tile cut", honest, func(f fstest.MapFS) {
			edit(f, "tile/1/000.p/2", func(b []byte) []byte { return b[1:] })
		}, audit.CheckFormat, "tile/1/000.p/2 has 63 bytes, not 64"},
		{"leaves cut", honest, func(f fstest.MapFS) {
			edit(f, "tile/0/000", func(b []byte) []byte { return b[1:] })
		}, audit.CheckFormat, "tile/0/000 has 8191 bytes, not 8192"},
		{"root altered", honest, func(f fstest.MapFS) {
			f["checkpoint"] = &fstest.MapFile{Data: honest.sign(t, audit.Checkpoint{Origin: logOrigin, Size: 600}.String())}
		}, audit.CheckTree, "do not lead to the checkpoint's root"},
		{"id of another place", forged(7, func(e *audit.Entry) { e.ID = testID(e.ReceivedAt.UnixMilli(), 8) }), nil, audit.CheckPlace, "the record in place 7"},
		{"id of another time", forged(7, func(e *audit.Entry) { e.ID = testID(0, 7) }), nil, audit.CheckPlace, "the record in place 7"},
		{"time goes back", forged(7, func(e *audit.Entry) {
			e.ReceivedAt = e.ReceivedAt.Add(-time.Second)
			e.ID = testID(e.ReceivedAt.UnixMilli(), 7)
		}), nil, audit.CheckPlace, "entry 7 was received before the one before it"},
		{"not JSON", recordsOf(t, "{"), nil, audit.CheckFormat, "the record of entry 0 cannot be read"},
		{"empty with a root", newTestLog(t, 0), func(f fstest.MapFS) {
			f["checkpoint"] = &fstest.MapFile{Data: honest.sign(t, audit.Checkpoint{Origin: logOrigin}.String())}
		}, audit.CheckTree, "the root of the empty log"},
	} {
		files := tt.log.files(t)
		if tt.alter != nil {
			tt.alter(files)
		}
		_, err := verifyFiles(t, tt.log, files, audit.LogOptions{})
		wantCheck(t, tt.name, err, tt.check, tt.says)
	}
}

func edit(f fstest.MapFS, name string, change func([]byte) []byte) {
	f[name] = &fstest.MapFile{Data: change(bytes.Clone(f[name].Data))}
}

func recordsOf(t *testing.T, records ...string) *testLog {
	log := newTestLog(t, 0)
	for _, r := range records {
		log.addRecord(t, []byte(r))
	}
	return log
}

// TestVerifyLogOlder: a log must extend what was signed before.
func TestVerifyLogOlder(t *testing.T) {
	log := newTestLog(t, 600)
	for _, size := range []int{0, 1, 255, 256, 300, 512, 599, 600} {
		report, err := verifyFiles(t, log, log.files(t), audit.LogOptions{Older: log.checkpoint(t, size)})
		if err != nil || report.Older == nil || report.Older.Size != uint64(size) {
			t.Errorf("from %d entries: %+v, error %v", size, report.Older, err)
		}
	}
	past := newTestLog(t, 0)
	for i := range 601 {
		e := entryAt(i)
		if i == 5 {
			e.Action = "what.was.there.before"
		}
		past.add(t, e)
	}
	for _, tt := range []struct {
		name  string
		older []byte
		check audit.Check
		says  string
	}{
		{"longer", past.checkpoint(t, 601), audit.CheckConsistency, "the log has 600 entries, but had 601"},
		{"rewritten", past.checkpoint(t, 300), audit.CheckConsistency, "its first 300 entries are not what they were"},
		{"rewritten, same size", past.checkpoint(t, 600), audit.CheckConsistency, "its first 600 entries are not what they were"},
		{"empty with a root", log.sign(t, audit.Checkpoint{Origin: logOrigin}.String()), audit.CheckConsistency, "its first 0 entries"},
		{"other log", log.sign(t, audit.Checkpoint{Origin: serverName + "/org_2", Size: 1}.String()), audit.CheckOrigin, `of the log "audit.example.com/org_2"`},
		{"altered", bytes.Replace(log.checkpoint(t, 300), []byte("\n300\n"), []byte("\n301\n"), 1), audit.CheckSignature, "was altered"},
	} {
		report, err := verifyFiles(t, log, log.files(t), audit.LogOptions{Older: tt.older})
		wantCheck(t, tt.name, err, tt.check, tt.says)
		if report.Entries != 0 || report.Older != nil {
			t.Errorf("%s: reported as verified: %+v", tt.name, report)
		}
	}
}

// TestVerifyLogFullTiles: a log need not serve partial tiles once they are full.
func TestVerifyLogFullTiles(t *testing.T) {
	log := newTestLog(t, 600)
	files := log.files(t)
	for log.size() < 800 {
		log.add(t, entryAt(log.size()))
	}
	for name, f := range log.files(t) {
		if name != "checkpoint" && !strings.Contains(name, "tile/1/") {
			files[name] = f
		}
	}
	for _, name := range []string{"tile/0/002.p/88", "tile/entries/002.p/88"} {
		if files[name] == nil || files["tile/0/002"] == nil {
			t.Fatal("the test is not what it says")
		}
		delete(files, name)
	}
	if report, err := verifyFiles(t, log, files, audit.LogOptions{}); err != nil || report.Entries != 600 {
		t.Errorf("%+v, error %v", report, err)
	}
}

// brokenLog fails to read what begins with prefix.
type brokenLog struct {
	audit.LogReader

	prefix string
	err    error
}

func (b brokenLog) ReadCheckpoint(ctx context.Context) ([]byte, error) {
	if b.prefix == "checkpoint" {
		return nil, b.err
	}
	return b.LogReader.ReadCheckpoint(ctx)
}

func (b brokenLog) ReadTile(ctx context.Context, path string) ([]byte, error) {
	if strings.HasPrefix(path, b.prefix) {
		return nil, b.err
	}
	return b.LogReader.ReadTile(ctx, path)
}

// TestVerifyLogReadErrors: what cannot be read is no proof of tampering, and no
// success.
func TestVerifyLogReadErrors(t *testing.T) {
	log := newTestLog(t, 600)
	broken := errors.New("connection reset")
	for _, prefix := range []string{"checkpoint", "tile/0/001", "tile/1/", "tile/entries/002"} {
		r := brokenLog{audit.DirLog(log.files(t)), prefix, broken}
		_, err := audit.VerifyLog(t.Context(), r, log.verifier(t), audit.LogOptions{})
		if _, tampered := errors.AsType[*audit.VerifyError](err); tampered || !errors.Is(err, broken) {
			t.Errorf("%s: error %v", prefix, err)
		}
	}
	stop := errors.New("stop")
	_, err := verifyFiles(t, log, log.files(t), audit.LogOptions{Record: func(seq uint64, _ []byte) error {
		if seq == 300 {
			return stop
		}
		return nil
	}})
	if !errors.Is(err, stop) {
		t.Errorf("an error of Record becomes %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = audit.VerifyLog(ctx, audit.DirLog(log.files(t)), log.verifier(t), audit.LogOptions{Progress: func(uint64, uint64) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: error %v", err)
	}
}
