package pebblestore

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
)

// plainConfig is a store whose tables are not compressed, so that one can look for
// bytes in them.
func plainConfig(t testing.TB, fs vfs.FS) Config {
	cfg := testConfig(t, fs)
	tune := cfg.tune
	cfg.tune = func(o *pebble.Options) {
		tune(o)
		o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	}
	cfg.MemTableBytes = 256 << 10
	return cfg
}

// filesOf returns everything in the files of a directory.
func filesOf(t testing.TB, fs vfs.FS, dir string) map[string][]byte {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, name := range names {
		f, err := fs.Open(fs.PathJoin(dir, name))
		if err != nil {
			continue // it is deleted by now
		}
		b, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = b
		_ = f.Close()
	}
	return files
}

// traces are bytes of the stored values, of the kinds that entries are in, to look
// for: pieces of 24 bytes.
func traces(t testing.TB, s *Store, org string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, kind := range []byte("bckp") {
		prefix := appendOrgKey(nil, kind, org)
		err := eachRowIn(s.db, prefix, prefixEnd(prefix), func(key, value []byte) error {
			if kind == kindKeys && value[0] == valueVersion {
				found[string(value[1:17])] = fmt.Sprintf("salt key of %q", key)
				return nil
			}
			for i := 0; i+24 <= len(value); i += 24 {
				found[string(value[i:i+24])] = fmt.Sprintf("%q at %d", key, i)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// lookFor returns which of the pieces are in a file, and not in the store.
func lookFor(t testing.TB, s *Store, pieces map[string]string, files map[string][]byte) []string {
	t.Helper()
	var all bytes.Buffer
	err := eachRowIn(s.db, nil, nil, func(key, value []byte) error {
		all.Write(key)
		all.Write(value)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	left := index(all.Bytes(), pieces)
	var found []string
	for name, b := range files {
		for piece := range index(b, pieces) {
			if !left[piece] && len(bytes.Trim([]byte(piece), "\x00\xff")) > 12 {
				found = append(found, fmt.Sprintf("%s: %s", name, pieces[piece]))
			}
		}
	}
	return found
}

// index returns which of the pieces are in b.
func index(b []byte, pieces map[string]string) map[string]bool {
	found := map[string]bool{}
	for _, n := range []int{16, 24} {
		for i := 0; i+n <= len(b); i++ {
			if _, ok := pieces[string(b[i:i+n])]; ok {
				found[string(b[i:i+n])] = true
			}
		}
	}
	return found
}

// TestScrub erases and removes entries that are in runs, in blocks and in merged
// blocks, removes a log and changes a record, and looks for what is gone in every
// file, before and after Scrub, while others write and read.
func TestScrub(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	cfg := plainConfig(t, mem)
	cfg.rangeRows = 4096
	s := mustOpen(t, cfg)
	rng := rand.New(rand.NewPCG(1, 2))
	l, gone := newRewritten("org"), newRewritten("gone")
	events := func(n int) []*event.Event {
		list := variedEvents(rng, "t", n)
		for i, e := range list {
			e.Actor.Name = fmt.Appendf(nil, "Ada Lovelace %d", rng.Uint64())
			e.Metadata = fmt.Appendf(nil, `{"n":%d,"secret":"%x"}`, i, rng.Uint64())
		}
		return list
	}
	pieces := map[string]string{}
	note := func() {
		for _, org := range []string{"org", "gone"} {
			maps.Copy(pieces, traces(t, s, org))
		}
	}
	for i := range int64(5) {
		l.add(t, s, i, events(700))
		gone.add(t, s, i, events(100))
		note()
		sealNow(t, s)
		note()
	}
	l.add(t, s, 9, events(30))
	note()
	secret := []byte("a secret of sixty letters that nobody else has in any record")
	put := func(rev uint64, value []byte) {
		t.Helper()
		if err := s.Apply(t.Context(), catalog.Change{Key: "secret", Rev: rev, Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	put(0, secret)
	put(1, []byte("{}"))
	pieces[string(secret[:24])] = "secret"
	l.rewrite(t, s, l.Head.Size, func(e *event.Entry) ledger.Fate {
		if e.Seq < 300 {
			return ledger.Removed
		}
		return ledger.Erased
	})
	if err := s.Drop(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	if list := lookFor(t, s, pieces, filesOf(t, mem, cfg.Dir)); len(list) < 100 {
		t.Fatalf("the test does not find what is there: %q", list)
	}
	var done atomic.Bool
	var others sync.WaitGroup
	busy := newRewritten("busy")
	others.Go(func() {
		for n := int64(0); !done.Load(); n++ {
			busy.add(t, s, n, events(20))
		}
	})
	others.Go(func() {
		for !done.Load() {
			for _, err := range s.Read(t.Context(), "org", 0, l.Head.Size) {
				if err != nil {
					t.Error(err)
				}
			}
		}
	})
	err := s.Scrub(t.Context())
	done.Store(true)
	others.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if list := lookFor(t, s, pieces, filesOf(t, mem, cfg.Dir)); len(list) > 0 {
		t.Errorf("%d pieces are still there, such as %s", len(list), list[0])
	}
	if list := rowsOf(t, s, kindDirt); len(list) > 0 {
		t.Errorf("%d rows say that there is something to scrub", len(list))
	}
	l.check(t, s)
	busy.check(t, s)
}

// TestScrubAfterSnapshot has a snapshot keep what is gone until it is in the last
// level, where nothing is compacted any more. Scrub waits for one that is open, and
// gets rid of what it kept.
func TestScrubAfterSnapshot(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	cfg := plainConfig(t, mem)
	s := mustOpen(t, cfg)
	l := newRewritten("org")
	l.add(t, s, 1, variedEvents(rand.New(rand.NewPCG(1, 2)), "t", 1000))
	sealNow(t, s)
	pieces := traces(t, s, "org")
	raw, open := s.db.NewSnapshot(), s.snapshots.take(s.db)
	l.rewrite(t, s, l.Head.Size, func(*event.Entry) ledger.Fate { return ledger.Erased })
	if err := flush(s); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
		t.Fatal(err)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- s.Scrub(t.Context()) }()
	select {
	case err := <-done:
		t.Fatalf("Scrub did not wait for a snapshot: %v", err)
	case <-time.After(20 * scrubPause):
	}
	if list := lookFor(t, s, pieces, filesOf(t, mem, cfg.Dir)); len(list) < 100 {
		t.Fatalf("the snapshot has kept nothing: %q", list)
	}
	if err := open.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if list := lookFor(t, s, pieces, filesOf(t, mem, cfg.Dir)); len(list) > 0 {
		t.Errorf("%d pieces are still there, such as %s", len(list), list[0])
	}
	l.check(t, s)
}
