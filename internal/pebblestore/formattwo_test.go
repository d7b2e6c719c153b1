package pebblestore

import (
	"archive/zip"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/storetest"
)

// unpack writes the files of an archive in testdata to a directory.
func unpack(t testing.TB, name, dir string) {
	t.Helper()
	r, err := zip.OpenReader(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // read
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, f := range r.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(f.Name)), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// nextRows is a commit as those that are in format2.zip: every second event has a
// receipt.
func nextRows(l *storetest.Log, at int64, n int) *ledger.Commit {
	return l.Next(at, storetest.MakeEvents(fmt.Sprint(at), n), func(i int) (ledger.Key, bool) {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", l.Org, at, i))
		return ledger.Key(sum[:16]), i%2 == 0
	})
}

// TestFormatTwo opens a store that the last build of format 2 wrote, before entries
// could be taken out: windows of 200 receipts; commits of 300, 300 and, to another
// log, 10 entries; all sealed; opened anew; commits of 90 and 5 entries, which are
// rows; one record. It is read as it is where nothing may be written. Otherwise it
// is marked, answers as before, and entries are taken out of it.
func TestFormatTwo(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, nil)
	unpack(t, "format2.zip", cfg.Dir)
	org, other := storetest.NewLog("org"), storetest.NewLog("other")
	for _, c := range []struct {
		l  *storetest.Log
		at int64
		n  int
	}{{org, 1000, 300}, {org, 1001, 300}, {other, 1002, 10}, {org, 1003, 90}, {other, 1004, 5}} {
		c.l.Add(nextRows(c.l, c.at, c.n))
	}
	look := func(what string, s *Store) {
		t.Helper()
		for _, l := range []*storetest.Log{org, other} {
			storetest.CheckLog(t, s, l)
		}
		if got, err := s.Get(t.Context(), "greeting/1"); err != nil || string(got.Value) != `{"text":"hello"}` || got.Rev == 0 {
			t.Errorf("%s: record %q, %v", what, got.Value, err)
		}
		if list := problems(t, s); len(list) > 0 {
			t.Errorf("%s: check: %v", what, list)
		}
	}
	s, err := open(cfg.withDefaults(), true)
	if err != nil {
		t.Fatal(err)
	}
	if n := storedFormat(t, s); n != 2 {
		t.Fatalf("the archive has format %d", n)
	}
	look("only read", s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	if s, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	if n := storedFormat(t, s); n != format || format != 3 {
		t.Errorf("format %d, want 3", n)
	}
	if end, _ := sealedEnd(s.db, "org"); end != 600 || len(rowsOf(t, s, kindRun)) != 2 {
		t.Errorf("%d entries are sealed and %d runs are not, want 600 and 2", end, len(rowsOf(t, s, kindRun)))
	}
	look("opened", s)
	checkAnswers(t, s, rand.New(rand.NewPCG(3, 4)), org, 5)
	org.Rewrite(t, s, 0, org.Head.Size, 2000, func(e *event.Entry) ledger.Fate {
		return []ledger.Fate{ledger.Stays, ledger.Removed, ledger.Erased}[e.Seq%3]
	})
	look("taken out of", s)
	c := nextRows(org, 2001, 40)
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	org.Add(c)
	if err := s.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	look("gone on", s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, cfg)
	look("opened again", s)
	storetest.CheckRewritten(t, s, org)
	for _, kind := range []byte{kindTile, kindDirt} {
		if n := len(rowsOf(t, s, kind)); n > 0 != (kind == kindTile) {
			t.Errorf("%d rows of %q", n, kind)
		}
	}
}
