package export

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/event/eventtest"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/search/searchtest"
	"github.com/stelehq/stele/internal/storetest"
)

// tester is a *testing.T or a *rapid.T.
type tester interface {
	Helper()
	Cleanup(func())
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// scene is a log with a ledger, and exports of it.
type scene struct {
	dir     string
	store   *storetest.Memory
	ledger  *ledger.Ledger
	clock   *clock
	exports *Exports
	keep    atomic.Pointer[search.Keep]
	config  Config
	logged  bytes.Buffer
}

func newScene(t tester, dir string) *scene {
	t.Helper()
	s := &scene{dir: dir, store: storetest.NewMemory(), clock: &clock{t: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)}}
	s.store.SetKeeper(func(string, time.Time) (*search.Keep, error) { return s.keep.Load(), nil })
	key, err := ledger.GenerateKey("audit.example.com")
	if err != nil {
		t.Fatal(err)
	}
	s.ledger, err = ledger.Open(context.Background(), ledger.Config{Store: s.store, KV: s.store, Signer: key, Now: s.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.ledger.Close() })
	s.config = Config{
		Dir: dir, KV: s.store, Engine: s.store, Log: s.ledger, Proofs: s.ledger, Version: "v1.2.3",
		VerifyPage: []byte("<!doctype html>\n"), Now: s.clock.now, Logger: slog.New(slog.NewTextHandler(&s.logged, nil)),
		OrganizationName: func(_ context.Context, org string) (string, error) { return "The " + org, nil },
	}
	return s
}

func (s *scene) open(t tester) *Exports {
	t.Helper()
	x, err := Open(context.Background(), s.config)
	if err != nil {
		t.Fatal(err)
	}
	s.exports = x
	return x
}

// record records events, some at a time.
func (s *scene) record(t tester, events ...*audit.Event) {
	t.Helper()
	b := ledger.NewBatch("org")
	for _, e := range events {
		ev, err := event.FromAudit(e)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Add(ev); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.ledger.Append(context.Background(), b); err != nil {
		t.Fatal(err)
	}
}

// some makes events of two actions.
func some(n int) []*audit.Event {
	var list []*audit.Event
	for i := range n {
		list = append(list, &audit.Event{
			Action: []string{"key.made", "key.used", "key.used"}[i%3], OccurredAt: time.Date(2026, 3, 1, 9, 0, i, 0, time.UTC),
			Actor:   audit.Actor{Type: "user", ID: fmt.Sprint("u", i%7), Name: "Amara"},
			Targets: make([]audit.Target, i%3),
		})
		for k := range list[i].Targets {
			list[i].Targets[k] = audit.Target{Type: "key", ID: fmt.Sprint("k", k), Name: "=1+1"}
		}
	}
	return list
}

// entries are those that are there, erased ones as such.
func (s *scene) entries(t tester) []audit.Entry {
	t.Helper()
	var list []audit.Entry
	for e, err := range s.store.Read(context.Background(), "org", 0, 1<<40) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e.Audit("org"))
	}
	return list
}

// made waits for an evidence export and verifies it.
func (s *scene) made(t tester, x *Exports, spec Spec) (Job, audit.EvidenceReport) {
	t.Helper()
	spec.Organization, spec.Format = "org", Evidence
	j, err := x.Create(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	j = endedIn(t, x, j.ID)
	if j.State != StateReady {
		t.Fatalf("%s: %s\n%s", j.State, j.Error, s.logged.String())
	}
	return j, s.verify(t, x, j.ID, []byte(spec.OlderCheckpoint))
}

// endedIn is ended for tests without a context of their own.
func endedIn(t tester, x *Exports, id string) Job {
	t.Helper()
	for {
		x.mu.Lock()
		waits := slices.ContainsFunc(x.queue, func(t ticket) bool { return t.id == id })
		if _, runs := x.running[id]; waits || runs {
			x.changed.Wait()
		}
		x.mu.Unlock()
		j, err := x.Get(context.Background(), "", id)
		if err != nil {
			t.Fatal(err)
		}
		if j.Ended() {
			return j
		}
	}
}

func (s *scene) verify(t tester, x *Exports, id string, older []byte) audit.EvidenceReport {
	t.Helper()
	f, j, err := x.File(context.Background(), "org", id)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil || info.Size() != j.Bytes {
		t.Errorf("%d bytes, the job says %d: %v", info.Size(), j.Bytes, err)
	}
	keys, err := audit.NewVerifier(s.ledger.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	opts := audit.EvidenceOptions{Keys: keys}
	if len(older) > 0 {
		opts.Older = older
	}
	report, err := audit.VerifyEvidence(f, info.Size(), opts)
	if err != nil {
		t.Fatalf("%v; %v", err, report.Problems)
	}
	return report
}

// zipped returns the files of an evidence zip.
func zipped(t tester, x *Exports, id string) map[string]string {
	t.Helper()
	f, j, err := x.File(context.Background(), "org", id)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	r, err := zip.NewReader(f, j.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, file := range r.File {
		in, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(file.Name, err)
		}
		files[file.Name] = string(data)
	}
	return files
}

// TestEvidence makes evidence of random logs, of which entries are hidden, erased
// and removed, with random filters, and has it verified.
func TestEvidence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkEvidence(t) })
}

func checkEvidence(t *rapid.T) {
	dir, err := os.MkdirTemp("", "evidence")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	s := newScene(t, dir)
	s.config.sparseShare = rapid.SampledFrom([]uint64{1, 1 << 40}).Draw(t, "sparse share")
	older := ""
	if rapid.Bool().Draw(t, "checkpoint of nothing") {
		older = s.checkpoint(t)
	}
	for range rapid.IntRange(0, 4).Draw(t, "batches") {
		some := rapid.SliceOfN(eventtest.Events(), 1, 4).Draw(t, "events")
		s.record(t, slices.Repeat(some, rapid.SampledFrom([]int{1, 1, 3, 100}).Draw(t, "times"))...)
		s.clock.add(time.Hour)
		if rapid.Bool().Draw(t, "checkpoint") {
			older = s.checkpoint(t)
		}
	}
	keep := s.takeOut(t)
	entries := s.entries(t)
	q := searchtest.Queries(entries).Draw(t, "query")
	var want []uint64
	erased := uint64(0)
	for i := range entries {
		if e := &entries[i]; keep.Shows(e) && q.Match(e) {
			want = append(want, e.Seq)
			if !e.ErasedAt.IsZero() {
				erased++
			}
		}
	}
	x := s.open(t)
	defer x.Close() //nolint:errcheck // always nil
	spec := Spec{Query: q.String(), RawCells: rapid.Bool().Draw(t, "raw"), Zone: "Europe/Berlin"}
	if rapid.Bool().Draw(t, "older") {
		spec.OlderCheckpoint = older
	}
	j, report := s.made(t, x, spec)
	if report.Rows != uint64(len(want)) || report.Erased != erased || j.Rows != report.Rows {
		t.Errorf("%d rows, %d erased, want %d and %d", report.Rows, report.Erased, len(want), erased)
	}
	m := report.Manifest
	shown := uint64(0) // of the range
	for i := range entries {
		e := &entries[i]
		inside := e.Seq >= m.Range.From && e.Seq < m.Range.To
		received := audit.Query{ReceivedFrom: q.ReceivedFrom, ReceivedTo: q.ReceivedTo}.Match(e)
		if keep.Shows(e) && inside != received {
			t.Errorf("entry %d was received in time: %v, and is in the range: %v", e.Seq, received, inside)
		}
		if keep.Shows(e) && inside {
			shown++
		}
	}
	if got := report.Rows + report.LeftOut; got != shown {
		t.Errorf("the filter left out %d of %d entries that are shown", report.LeftOut, shown)
	}
	if (report.Older != nil) != (spec.OlderCheckpoint != "") {
		t.Errorf("older: %v", report.Older)
	}
	var seqs []uint64
	for line := range strings.Lines(zipped(t, x, j.ID)["entries.jsonl"]) {
		_, rest, _ := strings.Cut(line, `,"seq":`)
		var seq uint64
		if _, err := fmt.Sscanf(rest, "%d,", &seq); err != nil {
			t.Fatal(line, err)
		}
		seqs = append(seqs, seq)
	}
	if diff := cmp.Diff(want, seqs); diff != "" {
		t.Error(diff)
	}
}

func (s *scene) checkpoint(t tester) string {
	t.Helper()
	note, err := s.ledger.Checkpoint(context.Background(), "org")
	if err != nil {
		t.Fatal(err)
	}
	return string(note)
}

// takeOut hides, erases and removes entries.
func (s *scene) takeOut(t *rapid.T) searchtest.Keep {
	entries := s.entries(t)
	keep := searchtest.Keeps(entries).Draw(t, "keep")
	erase := audit.Query{Filters: []audit.Filter{{Field: audit.FieldID, Values: []string{"none"}}}}
	if rapid.Bool().Draw(t, "erase") {
		erase = searchtest.Queries(entries).Draw(t, "erased")
	}
	k := keep.New()
	erased, removes := search.Compile(erase), rapid.Bool().Draw(t, "remove")
	_, err := s.ledger.Rewrite(context.Background(), ledger.Rewrite{
		Organization: "org", To: 1 << 40,
		Fate: func(e *event.Entry) ledger.Fate {
			switch {
			case removes && !k.Shows(e):
				return ledger.Removed
			case erased.Match(e) && !k.Held(e):
				return ledger.Erased
			}
			return ledger.Stays
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	// What was due stays due: of an entry that was erased, too.
	s.keep.Store(k)
	return keep
}

var errNoMore = errors.New("no more")

var _ = filepath.Join
var _ = errNoMore
