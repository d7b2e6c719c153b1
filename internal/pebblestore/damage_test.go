package pebblestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/storetest"
)

// rowsOf returns all keys of one kind, in order.
func rowsOf(t testing.TB, s *Store, kind byte) (keys [][]byte) {
	t.Helper()
	err := eachRow(s.db, kind, func(key, _ []byte) error {
		keys = append(keys, slices.Clone(key))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// edit changes the value of a row; nil removes it.
func edit(t testing.TB, s *Store, key []byte, change func(value []byte) []byte) {
	t.Helper()
	value, closer, err := s.db.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	value = change(slices.Clone(value))
	if err := closer.Close(); err != nil {
		t.Fatal(err)
	}
	if value == nil {
		err = s.db.Delete(key, nil)
	} else {
		err = s.db.Set(key, value, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func remove([]byte) []byte { return nil }

// flip returns a change that flips one bit.
func flip(i int) func([]byte) []byte {
	return func(value []byte) []byte {
		value[i%len(value)] ^= 1 << (i % 8)
		return value
	}
}

// fill puts 20,000 entries of "org" and a few of "other" into a store.
func fill(t testing.TB, s *Store) *storetest.Log {
	t.Helper()
	l := storetest.NewLog("org")
	for n := range 20 {
		c := l.Next(int64(n), storetest.MakeEvents(fmt.Sprint(n), 1000), func(i int) (ledger.Key, bool) {
			return storetest.KeyOf("org", fmt.Sprint(n, "-", i)), i%10 == 0
		})
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		l.Add(c)
	}
	other := storetest.NewLog("other")
	if err := s.Commit(t.Context(), other.Next(1, storetest.MakeEvents("o", 300), nil)); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), catalog.Change{Key: "record", Value: []byte("value")}); err != nil {
		t.Fatal(err)
	}
	return l
}

func problems(t testing.TB, s *Store) (list []error) {
	t.Helper()
	if err := s.Check(t.Context(), func(problem error) { list = append(list, problem) }); err != nil {
		t.Fatalf("check: %v", err)
	}
	return list
}

// TestDamage damages rows of every kind. Check finds each, and reading what is
// damaged is an error that says where, never a shorter answer.
func TestDamage(t *testing.T) {
	read := func(from, to uint64) func(t testing.TB, s *Store) error {
		return func(t testing.TB, s *Store) (err error) {
			n := from
			for e, readErr := range s.Read(t.Context(), "org", from, to) {
				if err = readErr; err == nil {
					if e.Seq != n {
						t.Errorf("entry %d in the place of %d", e.Seq, n)
					}
					n++
				}
			}
			if err == nil && n != to {
				t.Errorf("read ended at %d without an error", n)
			}
			return err
		}
	}
	scan := func(t testing.TB, s *Store) (err error) {
		for _, scanErr := range s.Scan(t.Context(), "org", audit.Query{}, 0, math.MaxUint64, true) {
			err = scanErr
		}
		return err
	}
	searchAll := func(t testing.TB, s *Store) error {
		_, err := s.Search(t.Context(), "org", search.Request{Limit: 1000, Ascending: true})
		return err
	}
	tile := func(t testing.TB, s *Store) error {
		_, err := s.Tile(t.Context(), "org", 1, 0, 78)
		return err
	}
	keys := func(t testing.TB, s *Store) error {
		_, err := s.Keys(t.Context(), "org", 1)
		return err
	}
	receipt := func(t testing.TB, s *Store) error {
		_, err := s.Receipt(t.Context(), "org", storetest.KeyOf("org", "0-0"))
		return err
	}
	record := func(t testing.TB, s *Store) error {
		_, err := s.Get(t.Context(), "record")
		return err
	}
	for _, test := range []struct {
		name   string
		kind   byte
		row    int
		change func([]byte) []byte
		reads  []func(testing.TB, *Store) error
		where  string
	}{
		{"bit in a run's header", kindRun, 3, flip(9), []func(testing.TB, *Store) error{read(0, 20_000), read(3500, 3501), scan, searchAll}, `organization "org", entries 3000 to 3999: run: checksum`},
		{"bit in a row", kindRun, 3, flip(5000), []func(testing.TB, *Store) error{read(0, 20_000), read(2999, 3001), scan, searchAll}, `organization "org", entries 3000 to 3999: run: checksum`},
		{"first run missing", kindRun, 0, remove, []func(testing.TB, *Store) error{read(0, 20_000), read(0, 1), scan, searchAll}, `organization "org", entries 0 to 999: missing`},
		{"run missing", kindRun, 3, remove, []func(testing.TB, *Store) error{read(0, 20_000), read(3999, 4001), scan, searchAll}, `organization "org", entries 3000 to 3999: missing`},
		{"last run missing", kindRun, 20, remove, []func(testing.TB, *Store) error{read(0, 20_000), read(19_999, 20_000), scan, searchAll}, `organization "org", entries 19000 to 19999: missing`},
		{"run of a newer version", kindRun, 3, func(v []byte) []byte { v[0] = 2; return v }, []func(testing.TB, *Store) error{read(3000, 3001)}, `version 2`},
		{"bit in keys", kindKeys, 1, flip(77), []func(testing.TB, *Store) error{read(0, 20_000), scan, searchAll, keys}, `organization "org", entries 16384 to 32767: keys: checksum`},
		{"keys missing", kindKeys, 1, remove, []func(testing.TB, *Store) error{read(0, 20_000), scan, searchAll, keys}, `organization "org", entries 16384 to 32767: missing keys`},
		{"bit in a hash", kindNode, 7, flip(77), []func(testing.TB, *Store) error{tile}, `organization "org", entries 1792 to 2047: hash: checksum`},
		{"hash missing", kindNode, 7, remove, []func(testing.TB, *Store) error{tile}, `organization "org", entries 1792 to 2047: missing hash`},
		{"bit in a chunk", kindChunk, 0, flip(77), nil, `checksum`},
		{"chunk missing", kindChunk, 0, remove, nil, `receipts of`},
		{"bit in a filter", kindFilter, 0, flip(77), nil, `checksum`},
		{"bit in receipts of a group", kindReceipts, 0, flip(77), nil, `checksum`},
		{"bit in a record", kindRecord, 0, flip(77), []func(testing.TB, *Store) error{record}, `checksum`},
		{"bit in the head", kindHead, 0, flip(77), []func(testing.TB, *Store) error{read(0, 1), scan, searchAll, keys, tile, receipt}, `checksum`},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := testConfig(t, vfs.NewMem())
			cfg.windowReceipts = 1200
			s := mustOpen(t, cfg)
			fill(t, s)
			settle(t, s)
			if list := problems(t, s); len(list) > 0 {
				t.Fatalf("before any damage: %v", list)
			}
			edit(t, s, rowsOf(t, s, test.kind)[test.row], test.change)
			if test.kind == kindHead {
				s.logs.forget(s.logs.logs["org"])
			}
			list := problems(t, s)
			if !slices.ContainsFunc(list, func(err error) bool { return strings.Contains(err.Error(), test.where) }) {
				t.Errorf("check found %v, want %q", list, test.where)
			}
			for i, fn := range test.reads {
				err := fn(t, s)
				where, what := test.where, test.where
				if n := strings.Index(where, ": "); n >= 0 {
					where, what = where[:n], where[n+2:]
				}
				if err == nil || !strings.Contains(err.Error(), what) {
					t.Errorf("read %d: got %v, want %q", i, err, what)
				}
				from, to := uint64(0), uint64(0)
				if n, _ := fmt.Sscanf(where, `organization "org", entries %d to %d`, &from, &to); n != 2 {
					continue
				}
				if corrupt := new(CorruptError); !errors.As(err, &corrupt) || corrupt.Org != "org" || corrupt.FromSeq < from || corrupt.ToSeq > to+1 {
					t.Errorf("read %d: got %v, want %q", i, err, where)
				}
			}
		})
	}
}

// settle waits until closed windows are rewritten.
func settle(t testing.TB, s *Store) {
	t.Helper()
	if err := s.receipts.tidy(s.now(), s.apply); err != nil {
		t.Fatal(err)
	}
}

// TestCheckBounds writes runs whose checksums are right and whose bounds or places
// are not.
func TestCheckBounds(t *testing.T) {
	s := mustOpen(t, testConfig(t, vfs.NewMem()))
	l := storetest.NewLog("org")
	events := storetest.MakeEvents("a", 30)
	for n := range 3 {
		c := l.Next(int64(n), events[n*10:n*10+10], nil)
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		l.Add(c)
	}
	rows := make([][]byte, 10)
	for i := range rows {
		rows[i] = event.AppendRow(nil, events[10+i])
	}
	good := runHeader{receivedAt: 1, minOccurred: events[10].OccurredAt, maxOccurred: events[19].OccurredAt, priorMax: events[9].OccurredAt}
	put := func(first uint64, h runHeader) {
		var e runEncoder
		key, value := e.encode("org", first, h, rows)
		if err := s.db.Set(key, value, nil); err != nil {
			t.Fatal(err)
		}
	}
	for want, spoil := range map[string]func(h *runHeader) uint64{
		"occurred outside of the bounds": func(h *runHeader) uint64 { h.minOccurred++; return 10 },
		"entry 19: occurred outside":     func(h *runHeader) uint64 { h.maxOccurred--; return 10 },
		"occurred later than it says":    func(h *runHeader) uint64 { h.priorMax--; return 10 },
		"received before":                func(h *runHeader) uint64 { h.receivedAt = -1; return 10 },
		"in the store twice":             func(*runHeader) uint64 { return 15 },
		"beyond the end":                 func(*runHeader) uint64 { return 30 },
		"entries 30 to 39: missing":      func(*runHeader) uint64 { return 40 },
		"run crosses blocks":             func(*runHeader) uint64 { return ledger.BlockSize - 5 },
	} {
		h := good
		first := spoil(&h)
		put(first, h)
		if list := problems(t, s); !strings.Contains(fmt.Sprint(list), want) && first < 30 || len(list) == 0 {
			t.Errorf("%s: check found %v", want, list)
		}
		if first != 10 {
			if err := s.db.Delete(runKey(nil, "org", first), nil); err != nil {
				t.Fatal(err)
			}
		}
		put(10, good)
		if list := problems(t, s); len(list) > 0 {
			t.Fatalf("%s: after repair: %v", want, list)
		}
	}
	if err := s.db.Set([]byte("zebra"), []byte("x"), nil); err != nil {
		t.Fatal(err)
	}
	if list := problems(t, s); len(list) != 1 || !strings.Contains(list[0].Error(), "no known kind") {
		t.Errorf("foreign row: check found %v", list)
	}
}

// TestOpenRefuses opens what is not a store of a known format.
func TestOpenRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		key, value []byte
		want       string
	}{
		"newer format": {[]byte{kindFormat}, seal([]byte{kindFormat}, binary.LittleEndian.AppendUint16([]byte{valueVersion}, format+1), 0), fmt.Sprint("knows formats up to ", format)},
		"damaged":      {[]byte{kindFormat}, []byte("nonsense"), "read format"},
		"foreign":      {[]byte("somebody else's"), []byte("data"), "database of another program"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t, vfs.NewMem())
			if err := cfg.fs.MkdirAll(cfg.Dir, 0o700); err != nil {
				t.Fatal(err)
			}
			db, err := pebble.Open(cfg.Dir, &pebble.Options{FS: cfg.fs, FormatMajorVersion: pebble.FormatTableFormatV6, Logger: pebbleLogger{&Store{log: cfg.Logger, fs: newGuardFS(cfg.fs, time.Now)}}})
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Set(test.key, test.value, pebble.Sync); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			for range 2 { // it lets go of everything
				if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("open: got %v, want %q", err, test.want)
				}
			}
		})
	}
	if _, err := Open(Config{}); err == nil {
		t.Error("opened no directory")
	}
}

// TestDamagedReceipts opens a store with damaged receipts: it says so and serves
// the rest.
func TestDamagedReceipts(t *testing.T) {
	for name, kind := range map[string]byte{"filter": kindFilter, "group": kindReceipts} {
		t.Run(name, func(t *testing.T) {
			var log logBuffer
			cfg := testConfig(t, vfs.NewMem())
			cfg.windowReceipts, cfg.Logger = 1200, log.logger()
			s, err := Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			l := fill(t, s)
			settle(t, s)
			edit(t, s, rowsOf(t, s, kind)[0], flip(50))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = mustOpen(t, cfg)
			if !strings.Contains(log.String(), "damaged idempotency receipts") {
				t.Errorf("the log says nothing of it: %s", log.String())
			}
			lost := 0
			for _, r := range l.Receipts {
				got, err := s.Receipt(t.Context(), "org", r.Key)
				if errors.Is(err, ledger.ErrNotFound) {
					lost++
				} else if err != nil || got != r.Receipt {
					t.Fatalf("receipt: got %+v, %v", got, err)
				}
			}
			if want := map[string]int{"filter": 0, "group": 100}[name]; lost != want {
				t.Errorf("%d receipts are lost, want %d", lost, want)
			}
		})
	}
}
