package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/storetest"
)

// fillSealed puts 320 entries of "org" in five blocks of 64 and 20 in rows.
func fillSealed(t testing.TB, s *Store) {
	t.Helper()
	l := storetest.NewLog("org")
	for n := range 5 {
		addRows(t, s, l, int64(n), 64)
	}
	sealNow(t, s)
	addRows(t, s, l, 6, 20)
}

func addRows(t testing.TB, s *Store, l *storetest.Log, receivedAt int64, n int) {
	t.Helper()
	c := l.Next(receivedAt, storetest.MakeEvents(fmt.Sprint(receivedAt), n), nil)
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatalf("commit: %v", err)
	}
	l.Add(c)
}

// readsOf are all ways to read a range of a log; each fails when something of it
// cannot be read.
func readsOf(org string, from, to uint64) map[string]func(ctx context.Context, s *Store) error {
	// A text that is in no filter and in none of the entries.
	q := audit.Query{Filters: []audit.Filter{{Field: audit.FieldText, Values: []string{"ada"}}}}
	day, _ := search.ParseInterval("day", time.UTC)
	reads := map[string]func(ctx context.Context, s *Store) error{
		"read": func(ctx context.Context, s *Store) error {
			n := from
			for e, err := range s.Read(ctx, org, from, to) {
				if err != nil {
					return err
				}
				if e.Seq != n {
					return fmt.Errorf("entry %d in the place of %d", e.Seq, n)
				}
				n++
			}
			if n != to {
				return fmt.Errorf("ended at %d without an error", n)
			}
			return nil
		},
		"survey": func(ctx context.Context, s *Store) error {
			sum, err := s.Survey(ctx, org, q, from, to)
			if err == nil && sum.Entries != to-from {
				err = fmt.Errorf("counted %d", sum.Entries)
			}
			return err
		},
	}
	for _, desc := range []bool{false, true} {
		reads[fmt.Sprint("scan ", desc)] = func(ctx context.Context, s *Store) error {
			n := uint64(0)
			for _, err := range s.Scan(ctx, org, q, from, to, desc) {
				if err != nil {
					return err
				}
				n++
			}
			if n != to-from {
				return fmt.Errorf("scanned %d", n)
			}
			return nil
		}
		reads[fmt.Sprint("render ", desc)] = func(ctx context.Context, s *Store) error {
			_, _, err := renderText(ctx, s, org, audit.Query{}, from, to, desc, 0)
			return err
		}
		if from > 0 {
			continue
		}
		reads[fmt.Sprint("search ", desc)] = func(ctx context.Context, s *Store) error {
			_, err := s.Search(ctx, org, search.Request{Query: q, Limit: 1000, Ascending: !desc})
			return err
		}
	}
	if from == 0 {
		reads["histogram"] = func(ctx context.Context, s *Store) error {
			_, err := s.Histogram(ctx, org, q, day)
			return err
		}
		reads["facets"] = func(ctx context.Context, s *Store) error {
			_, err := s.Facets(ctx, org, q, audit.FieldActorID, 10)
			return err
		}
	}
	return reads
}

// TestDamagedBlocks damages and removes headers and parts of a block. Check and
// every reader name the entries, and all others stay readable.
func TestDamagedBlocks(t *testing.T) {
	t.Parallel()
	part := func(first uint64, part int) []byte {
		return partKey(nil, "org", &block.Header{FirstSeq: first, Rows: 64}, 0, part)
	}
	header := func(first uint64) []byte { return blockKey("org", first) }
	for _, test := range []struct {
		name   string
		key    []byte
		change func(t *testing.T, s *Store, v []byte) []byte
		from   uint64 // of the 64 entries concerned
		to     uint64
		what   string
	}{
		{"bit in a header", header(128), flipped(40), 128, 192, "block: checksum"},
		{"bit in the first header", header(0), flipped(40), 0, 64, "block: checksum"},
		{"bit in the last header", header(256), flipped(40), 256, 320, "block: checksum"},
		{"header missing", header(128), gone, 128, 192, "missing"},
		{"last header missing", header(256), gone, 256, 320, "missing"},
		{"header of another", header(128), other(header(64)), 128, 192, "block: checksum"},
		{"bit in the filter", part(128, block.FilterPart), flipped(30), 128, 192, "block"},
		{"filter missing", part(128, block.FilterPart), gone, 128, 192, "block"},
		{"filter of another", part(128, block.FilterPart), other(part(64, block.FilterPart)), 128, 192, "block"},
		{"bit in columns", part(128, 2), flipped(100), 128, 192, "block"},
		{"columns missing", part(128, 2), gone, 128, 192, "block"},
		{"columns of another", part(128, 2), other(part(64, 2)), 128, 192, "block"},
		{"columns cut off", part(128, 2), func(_ *testing.T, _ *Store, v []byte) []byte { return v[:len(v)-1] }, 128, 192, "block"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := testConfig(t, vfs.NewMem())
			cfg.rangeRows = 64
			s, err := Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			fillSealed(t, s)
			if list := problems(t, s); len(list) > 0 {
				t.Fatalf("before any damage: %v", list)
			}
			edit(t, s, test.key, func(v []byte) []byte { return test.change(t, s, v) })
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = mustOpen(t, cfg) // memory has nothing of it
			concerns := func(err error) bool {
				var damage *CorruptError
				return errors.As(err, &damage) && damage.Org == "org" && damage.FromSeq == test.from && damage.ToSeq == test.to &&
					strings.Contains(err.Error(), test.what)
			}
			if list := problems(t, s); !slices.ContainsFunc(list, concerns) {
				t.Errorf("check found %v", list)
			}
			filter := strings.Contains(test.name, "filter")
			for name, read := range readsOf("org", 0, 340) {
				if err := read(t.Context(), s); filter && err == nil {
					continue // who reads everything asks no filter
				} else if !concerns(err) {
					t.Errorf("%s: got %v", name, err)
				}
			}
			for _, r := range [][2]uint64{{0, test.from}, {test.to, 340}} {
				if r[0] >= r[1] {
					continue
				}
				for name, read := range readsOf("org", r[0], r[1]) {
					if name == "search true" || name == "search false" || name == "histogram" || name == "facets" {
						continue // they look at the whole log
					}
					if err := read(t.Context(), s); err != nil {
						t.Errorf("%s of %d to %d: %v", name, r[0], r[1], err)
					}
				}
			}
		})
	}
}

func flipped(i int) func(*testing.T, *Store, []byte) []byte {
	return func(_ *testing.T, _ *Store, v []byte) []byte { return flip(i)(v) }
}

func gone(*testing.T, *Store, []byte) []byte { return nil }

// other puts the value of another key in the place.
func other(key []byte) func(*testing.T, *Store, []byte) []byte {
	return func(t *testing.T, s *Store, _ []byte) []byte {
		value, closer, err := s.db.Get(key)
		if err != nil {
			t.Fatal(err)
		}
		value = slices.Clone(value)
		if err := closer.Close(); err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// TestDamagedFilterIsAsked damages a filter: who asks it is told.
func TestDamagedFilterIsAsked(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func([]byte) []byte{"bit": flip(30), "missing": remove} {
		cfg := testConfig(t, vfs.NewMem())
		cfg.rangeRows = 64
		s := mustOpen(t, cfg)
		fillSealed(t, s)
		edit(t, s, partKey(nil, "org", &block.Header{FirstSeq: 128, Rows: 64}, 0, block.FilterPart), change)
		q := audit.Query{Filters: []audit.Filter{{Field: audit.FieldTargetID, Values: []string{"target-3"}}}}
		_, err := s.Search(t.Context(), "org", search.Request{Query: q, Limit: 1000})
		var damage *CorruptError
		if !errors.As(err, &damage) || damage.FromSeq != 128 || damage.ToSeq != 192 {
			t.Errorf("%s: search: %v", name, err)
		}
		if _, err := s.Histogram(t.Context(), "org", q, search.Interval{}); !errors.As(err, &damage) || damage.FromSeq != 128 || damage.ToSeq != 192 {
			t.Errorf("%s: histogram: %v", name, err)
		}
	}
}

// TestOrphanParts leaves parts without a block and a block over runs: Check finds
// them.
func TestOrphanParts(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, vfs.NewMem())
	cfg.rangeRows = 64
	s := mustOpen(t, cfg)
	fillSealed(t, s)
	for _, key := range [][]byte{
		partKey(nil, "org", &block.Header{FirstSeq: 128, Rows: 63}, 0, 2),
		partKey(nil, "org", &block.Header{FirstSeq: 128, Rows: 64}, 0, 9999),
		partKey(nil, "org", &block.Header{FirstSeq: 130, Rows: 64}, 0, 1),
		partKey(nil, "org", &block.Header{FirstSeq: 128, Rows: 64}, 0, block.HeaderPart),
		partKey(nil, "nobody", &block.Header{FirstSeq: 128, Rows: 64}, 0, 1),
	} {
		if err := s.db.Set(key, []byte("part"), nil); err != nil {
			t.Fatal(err)
		}
		if list := problems(t, s); len(list) != 1 || !strings.Contains(list[0].Error(), fmt.Sprintf("%q", key)) {
			t.Errorf("check found %v for %q", list, key)
		}
		if err := s.db.Delete(key, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDamagedRunIsNotSealed damages what is to be sealed: the log says so once, the
// rows stay, other organizations are sealed, and commits go on.
func TestDamagedRunIsNotSealed(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, s *Store){
		"run":         func(t *testing.T, s *Store) { edit(t, s, runKey(nil, "bad", 192), flip(30)) },
		"row":         func(t *testing.T, s *Store) { edit(t, s, runKey(nil, "bad", 192), flip(300)) },
		"run missing": func(t *testing.T, s *Store) { edit(t, s, runKey(nil, "bad", 192), remove) },
		"last header": func(t *testing.T, s *Store) { edit(t, s, blockKey("bad", 128), remove) },
	} {
		t.Run(name, func(t *testing.T) {
			var said logBuffer
			cfg := testConfig(t, vfs.NewMem())
			cfg.rangeRows = 64
			s, err := Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			logs := map[string]*storetest.Log{}
			for _, org := range []string{"a", "bad", "z"} {
				logs[org] = storetest.NewLog(org)
				addRows(t, s, logs[org], 1, 150)
			}
			sealNow(t, s)
			for _, l := range logs {
				addRows(t, s, l, 2, 42)
				addRows(t, s, l, 3, 150)
			}
			damage(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			clean := sealingConfig(t, cfg.fs)
			clean.Logger = said.logger()
			s = mustOpen(t, clean)
			lines := func() int { return strings.Count(said.String(), "cannot be sealed") }
			eventually(t, "the others are sealed and the log says what is not", func() bool {
				a, _ := sealedEnd(s.db, "a")
				z, _ := sealedEnd(s.db, "z")
				return a == 342 && z == 342 && lines() > 0
			})
			bad := logs["bad"]
			for n := range 5 {
				addRows(t, s, bad, int64(10+n), 50)
				addRows(t, s, logs["a"], int64(10+n), 50)
			}
			eventually(t, "what is added elsewhere is sealed", func() bool {
				end, _ := sealedEnd(s.db, "a")
				return end == logs["a"].Head.Size && s.Stats().DueEntries == 0
			})
			if n := lines(); n != 1 || !strings.Contains(said.String(), "organization=bad") {
				t.Errorf("it was said %d times: %s", n, said.String())
			}
			if err := readsOf("bad", 342, bad.Head.Size)["read"](t.Context(), s); err != nil {
				t.Errorf("rows after the damage: %v", err)
			}
			storetest.CheckLog(t, s, logs["a"])
			storetest.CheckLog(t, s, logs["z"])
		})
	}
}

// TestDamagedHeaderIsSealedAround damages the header of one block: entries after it
// go on being sealed and merged.
func TestDamagedHeaderIsSealedAround(t *testing.T) {
	t.Parallel()
	for _, first := range []uint64{0, 64, 128} {
		cfg := testConfig(t, vfs.NewMem())
		cfg.rangeRows = 64
		s, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		l := storetest.NewLog("org")
		addRows(t, s, l, 1, 140) // a small block at the end
		sealNow(t, s)
		edit(t, s, blockKey("org", first), flip(33))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, cfg)
		addRows(t, s, l, 2, 20)
		sealNow(t, s)
		addRows(t, s, l, 3, 100)
		sealNow(t, s)
		if end, err := sealedEnd(s.db, "org"); err != nil || end != l.Head.Size {
			t.Errorf("sealed up to %d, %v; want %d", end, err, l.Head.Size)
		}
		to := min(first+64, 140)
		if err := readsOf("org", to, l.Head.Size)["read"](t.Context(), s); err != nil {
			t.Errorf("after the damage: %v", err)
		}
		var damage *CorruptError
		if err := readsOf("org", 0, l.Head.Size)["read"](t.Context(), s); !errors.As(err, &damage) || damage.FromSeq != first || damage.ToSeq != to {
			t.Errorf("got %v, want damage of %d to %d", err, first, to-1)
		}
	}
}

// setStoredFormat writes the format into a store.
func setStoredFormat(t testing.TB, s *Store, n byte) {
	t.Helper()
	key := []byte{kindFormat}
	if err := s.db.Set(key, seal(key, []byte{valueVersion, n, 0}, 0), pebble.Sync); err != nil {
		t.Fatal(err)
	}
}

func storedFormat(t testing.TB, s *Store) byte {
	t.Helper()
	value, closer, err := s.db.Get([]byte{kindFormat})
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close() //nolint:errcheck // read
	return value[1]
}

// TestFormatOne opens a store of the format before blocks. On a full disk it is
// read as it is. Otherwise it is marked, seals by itself, and answers as before.
func TestFormatOne(t *testing.T) {
	t.Parallel()
	disk := &smallDisk{}
	cfg := testConfig(t, errorfs.Wrap(vfs.NewMem(), disk))
	cfg.rangeRows = 64
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	l, other := storetest.NewLog("org"), storetest.NewLog("other")
	for n := range 10 {
		c := l.Next(int64(n), variedEvents(rng, fmt.Sprint(n), 50), nil)
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		l.Add(c)
		addRows(t, s, other, int64(n), 1)
	}
	setStoredFormat(t, s, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	look := func(what string, s *Store) {
		t.Helper()
		storetest.CheckLog(t, s, l)
		storetest.CheckLog(t, s, other)
		checkAnswers(t, s, rand.New(rand.NewPCG(3, 4)), l, 5)
		if list := problems(t, s); len(list) > 0 {
			t.Errorf("%s: check: %v", what, list)
		}
	}
	disk.full.Store(true)
	if s, err = Open(cfg); err != nil {
		t.Fatalf("open on a full disk: %v", err)
	}
	look("full disk", s)
	if n := storedFormat(t, s); n != 1 {
		t.Errorf("format %d on a full disk", n)
	}
	if err := s.Close(); err == nil {
		t.Error("a store opened on a full disk closed as if all were well")
	}
	disk.full.Store(false)

	live := sealingConfig(t, cfg.fs)
	s, err = Open(live)
	if err != nil {
		t.Fatal(err)
	}
	look("while it seals", s)
	eventually(t, "all is sealed", func() bool {
		end, _ := sealedEnd(s.db, "org")
		few, _ := sealedEnd(s.db, "other")
		return end == l.Head.Size && few == other.Head.Size
	})
	look("sealed", s)
	if n := storedFormat(t, s); n != format || format != 3 {
		t.Errorf("format %d, want 3", n)
	}
	if list := rowsOf(t, s, kindRun); len(list) > 0 {
		t.Errorf("%d runs are left", len(list))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, cfg)
	look("opened again", s)
}
