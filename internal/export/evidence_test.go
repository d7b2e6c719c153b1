package export

import (
	"archive/zip"
	"bytes"
	stdcmp "cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"
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

// TestEvidenceManifest holds what is in the zip, and that the same job makes the
// same zip again.
func TestEvidenceManifest(t *testing.T) {
	s := newScene(t, t.TempDir())
	s.record(t, some(10)...)
	older := s.checkpoint(t)
	s.clock.add(time.Hour)
	s.record(t, some(5)...)
	x := s.open(t)
	defer x.Close() //nolint:errcheck // always nil
	j, report := s.made(t, x, Spec{
		Query: "action:key.used received.after:2026-03-01T10:00:00Z", Zone: "Europe/Berlin", OlderCheckpoint: older,
		CreatedBy: Creator{Type: CreatorPerson, ID: "u_1", Name: "Amara"},
	})
	first, last := uint64(11), uint64(14)
	want := &audit.EvidenceManifest{
		Format: audit.EvidenceFormat, Organization: audit.EvidenceOrganization{ID: "org", Name: "The org"},
		Origin: "audit.example.com/org", Filter: "action:key.used", Range: audit.EvidenceRange{From: 10, To: 15},
		Received:    audit.EvidencePeriod{From: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)},
		RequestedBy: audit.EvidenceRequester{Type: "person", ID: "u_1", Name: "Amara"},
		CreatedAt:   s.clock.t, Zone: "Europe/Berlin", Rows: 3, FirstSeq: &first, LastSeq: &last,
		CompleteThrough: &audit.Position{Seq: 14, ReceivedAt: s.clock.t}, Schemas: []audit.EvidenceSchema{{Action: "key.used", Version: 1}},
		CSV: audit.EvidenceCSV{TargetGroups: 2}, Files: report.Manifest.Files, Checkpoint: report.Manifest.Checkpoint,
		Older: &audit.EvidenceTree{Size: 10, Root: report.Older.Root}, Vkey: s.ledger.LogVerifierKey("org"),
		Server: audit.EvidenceServer{Name: "audit.example.com", Version: "v1.2.3"},
	}
	if diff := cmp.Diff(want, report.Manifest); diff != "" {
		t.Error(diff)
	}
	if j.FileName() != "org-audit-log-evidence-2026-03-01T103000Z.zip" || j.Format.ContentType() != "application/zip" {
		t.Errorf("%s, %s", j.FileName(), j.Format.ContentType())
	}
	files := zipped(t, x, j.ID)
	if n := strings.Count(files["proof/tree.jsonl"], "\n"); len(files) != 9 || n != 2+2+3 {
		t.Errorf("%d files, %d lines of the tree:\n%s", len(files), n, files["proof/tree.jsonl"])
	}
	if names := dirNames(t, s.dir); !slices.Equal(names, []string{j.ID + ".zip"}) {
		t.Errorf("files %q", names)
	}
}

func dirNames(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range list {
		names = append(names, f.Name())
	}
	return names
}

// TestEvidenceRefused holds what cannot be asked for.
func TestEvidenceRefused(t *testing.T) {
	s := newScene(t, t.TempDir())
	s.record(t, some(10)...)
	other := newScene(t, t.TempDir())
	other.record(t, some(10)...)
	other.config.Proofs = nil
	x, without := s.open(t), other.open(t)
	defer x.Close()       //nolint:errcheck // always nil
	defer without.Close() //nolint:errcheck // always nil
	forked, err := s.ledger.SignNote("audit.example.com/org evidence v1\nx\n", "org")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		x    *Exports
		spec Spec
		says string
	}{
		"newest first":        {x, Spec{Descending: true}, "/order"},
		"a zone":              {x, Spec{Zone: "Nowhere/At_All"}, "/zone"},
		"this machine's zone": {x, Spec{Zone: "Local"}, "/zone"},
		"another's":           {x, Spec{OlderCheckpoint: other.checkpoint(t)}, "/older_checkpoint"},
		"no checkpoint":       {x, Spec{OlderCheckpoint: string(forked)}, "/older_checkpoint"},
		"too long":            {x, Spec{OlderCheckpoint: strings.Repeat("x", maxOlder+1)}, "/older_checkpoint"},
		"a CSV with proof":    {x, Spec{OlderCheckpoint: s.checkpoint(t), Format: CSV}, "/format"},
		"no proofs":           {without, Spec{}, ""},
	} {
		c.spec.Organization, c.spec.Format = "org", stdcmp.Or(c.spec.Format, Evidence)
		_, err := c.x.Create(t.Context(), c.spec)
		if e, ok := errors.AsType[*audit.Error](err); !ok || e.Code != audit.CodeInvalidRequest || e.Field != c.says {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// racing is an engine of a log that changes while it is read.
type racing struct {
	search.Engine
	once   sync.Once
	change func()
}

func (r *racing) Render(
	ctx context.Context, org string, q audit.Query, from, to uint64, desc bool, render func(dst []byte, e *event.Entry) []byte,
) iter.Seq2[search.Chunk, error] {
	r.once.Do(r.change)
	return r.Engine.Render(ctx, org, q, from, to, desc, render)
}

// TestEvidenceOfChangingLog takes entries out after the range was fixed: the export
// begins again, or goes on with what is left.
func TestEvidenceOfChangingLog(t *testing.T) {
	for _, share := range []uint64{1, 1 << 40} {
		for name, change := range map[string]func(*scene){
			"due": func(s *scene) {
				s.keep.Store(search.NewKeep([]audit.Query{{ReceivedTo: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)}}, nil))
			},
			"removed": func(s *scene) { s.rewrite(ledger.Removed, "action:key.used") },
			"erased":  func(s *scene) { s.rewrite(ledger.Erased, "actor:u3") },
		} {
			s := newScene(t, t.TempDir())
			s.config.sparseShare = share
			s.record(t, some(700)...)
			s.clock.add(time.Hour)
			s.record(t, some(20)...)
			s.config.Engine = &racing{Engine: s.store, change: func() { change(s) }}
			x := s.open(t)
			_, report := s.made(t, x, Spec{Query: "actor.name:Amara"})
			_ = x.Close()
			entries := s.entries(t)
			want := uint64(0)
			for i := range entries {
				if entries[i].Actor.Name == "Amara" && (name != "due" || entries[i].ReceivedAt.Hour() == 10) {
					want++
				}
			}
			if report.Rows != want {
				t.Errorf("%s, share %d: %d rows, want %d", name, share, report.Rows, want)
			}
		}
	}
}

func (s *scene) rewrite(fate ledger.Fate, query string) {
	q, err := audit.ParseQuery(query)
	if err != nil {
		panic(err)
	}
	m := search.Compile(q)
	_, err = s.ledger.Rewrite(context.Background(), ledger.Rewrite{Organization: "org", To: 1 << 40, Fate: func(e *event.Entry) ledger.Fate {
		if m.Match(e) {
			return fate
		}
		return ledger.Stays
	}})
	if err != nil {
		panic(err)
	}
}

// TestEvidenceOfDamage holds that what does not lead to the signed root is never
// handed out.
func TestEvidenceOfDamage(t *testing.T) {
	s := newScene(t, t.TempDir())
	s.record(t, some(10)...)
	s.config.Engine = &lying{s.store}
	x := s.open(t)
	defer x.Close() //nolint:errcheck // always nil
	j, err := x.Create(t.Context(), Spec{Organization: "org", Format: Evidence})
	if err != nil {
		t.Fatal(err)
	}
	if j = endedIn(t, x, j.ID); j.State != StateError || len(dirNames(t, s.dir)) > 0 {
		t.Errorf("%+v, files %q", j, dirNames(t, s.dir))
	}
}

// lying is an engine that gives one entry another name.
type lying struct{ search.Engine }

func (l *lying) Render(
	ctx context.Context, org string, q audit.Query, from, to uint64, desc bool, render func(dst []byte, e *event.Entry) []byte,
) iter.Seq2[search.Chunk, error] {
	return l.Engine.Render(ctx, org, q, from, to, desc, func(dst []byte, e *event.Entry) []byte {
		if e.Seq == 7 {
			e = e.Clone()
			e.Actor.Name = []byte("Mallory")
		}
		return render(dst, e)
	})
}

// TestEvidenceEveryFileOperationFailsOnce is TestEveryFileOperationFailsOnce for
// evidence.
func TestEvidenceEveryFileOperationFailsOnce(t *testing.T) {
	for _, landed := range []bool{false, true} {
		for n := 1; ; n++ {
			s := newScene(t, t.TempDir())
			s.record(t, some(10)...)
			d := &faulty{disk: directory(s.dir), n: n, landed: landed}
			s.config.disk = d
			x := s.open(t)
			j, err := x.Create(t.Context(), Spec{Organization: "org", Format: Evidence})
			if err != nil {
				t.Fatal(err)
			}
			j = endedIn(t, x, j.ID)
			_ = x.Close()
			names := dirNames(t, s.dir)
			if j.State == StateReady {
				count := map[string]int{}
				for _, what := range d.done {
					count[what]++
				}
				if n != len(d.done)+1 || count["open"] != 3 || count["create"] != 4 || count["read"] < 3 || len(names) != 1 {
					t.Errorf("ready after %d faults of %v, files %q", n-1, count, names)
				}
				break
			}
			if j.State != StateError || len(names) > 0 {
				t.Errorf("fault %d, landed %v: %s, files %q", n, landed, j.State, names)
			}
		}
	}
}

// TestEvidenceRestartInTheMiddle closes while evidence is made, and cancels it.
func TestEvidenceRestartInTheMiddle(t *testing.T) {
	s := newScene(t, t.TempDir())
	s.record(t, some(10)...)
	reached := make(chan struct{}, 2)
	s.config.Engine = &stalling{s.store, reached}
	x := s.open(t)
	j, err := x.Create(t.Context(), Spec{Organization: "org", Format: Evidence})
	if err != nil {
		t.Fatal(err)
	}
	gone, err := x.Create(t.Context(), Spec{Organization: "org", Format: Evidence})
	if err != nil {
		t.Fatal(err)
	}
	<-reached
	<-reached
	if n := len(dirNames(t, s.dir)); n != 2*4 {
		t.Errorf("%d files while two run", n)
	}
	if err := x.Cancel(t.Context(), "org", gone.ID); err != nil {
		t.Fatal(err)
	}
	_ = x.Close()
	if err := os.WriteFile(filepath.Join(s.dir, spoolName(j.ID, 1)), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.config.Engine = s.store
	x = s.open(t)
	defer x.Close() //nolint:errcheck // always nil
	if j = endedIn(t, x, j.ID); j.State != StateReady {
		t.Fatalf("%+v", j)
	}
	s.verify(t, x, j.ID, nil)
	if names := dirNames(t, s.dir); !slices.Equal(names, []string{j.ID + ".zip"}) {
		t.Errorf("files %q", names)
	}
}

// stalling is an engine that gives nothing until it is stopped.
type stalling struct {
	search.Engine
	reached chan struct{}
}

func (s *stalling) Render(
	ctx context.Context, _ string, _ audit.Query, _, _ uint64, _ bool, _ func([]byte, *event.Entry) []byte,
) iter.Seq2[search.Chunk, error] {
	return func(yield func(search.Chunk, error) bool) {
		s.reached <- struct{}{}
		<-ctx.Done()
		yield(search.Chunk{}, ctx.Err())
	}
}

// endless is an engine and a ledger of a log of one entry, many times.
type endless struct {
	search.Engine
	Proofs
	entry event.Entry
	size  uint64
}

func (l *endless) First(context.Context, string) (uint64, error) { return 0, nil }

func (l *endless) Survey(context.Context, string, audit.Query, uint64, uint64) (search.Survey, error) {
	return search.Survey{Entries: l.size, MaxTargets: 1}, nil
}

func (l *endless) Render(
	ctx context.Context, _ string, _ audit.Query, from, to uint64, _ bool, render func([]byte, *event.Entry) []byte,
) iter.Seq2[search.Chunk, error] {
	e := l.entry
	return search.RenderScan(ctx, func(yield func(*event.Entry, error) bool) {
		for e.Seq = range l.size {
			if !yield(&e, nil) {
				return
			}
		}
	}, from, to, false, render)
}

func (l *endless) Through(context.Context, string) (*audit.Position, error) {
	return &audit.Position{Seq: l.size - 1, ReceivedAt: time.UnixMilli(l.entry.ReceivedAt).UTC()}, nil
}

func (l *endless) CheckpointFor(ctx context.Context, org string, _ uint64) ([]byte, audit.Checkpoint, error) {
	note, c, err := l.Proofs.CheckpointFor(ctx, org, 0)
	var fold tree
	e := l.entry
	var record []byte
	for e.Seq = range l.size {
		record = e.AppendRecord(record[:0])
		fold.push(ledger.Subtree{First: e.Seq, Hash: tlog.RecordHash(record)})
	}
	c.Size, c.Root = l.size, fold.root()
	return note, c, err
}

// TestEvidenceMemoryIsConstant makes evidence of two logs, one of ten times as many
// entries, and looks at what was allocated more for it.
func TestEvidenceMemoryIsConstant(t *testing.T) {
	allocated := func(size uint64) uint64 {
		s := newScene(t, t.TempDir())
		e := event.Entry{Event: event.Event{
			Action: []byte("key.used"), Version: 1, Actor: event.Party{Type: []byte("user"), ID: []byte("u1"), Name: []byte("Amara")},
			Targets: []event.Party{{Type: []byte("key"), ID: []byte("k1"), Name: []byte("=1+1")}},
		}, ReceivedAt: s.clock.t.UnixMilli()}
		copy(e.ID[:], "01JGFJJZ00000000000000000A")
		l := &endless{Engine: s.store, Proofs: s.ledger, entry: e, size: size}
		s.config.Engine, s.config.Log, s.config.Proofs = l, l, l
		x := s.open(t)
		defer x.Close() //nolint:errcheck // always nil
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		j, err := x.Create(t.Context(), Spec{Organization: "org", Format: Evidence})
		if err != nil {
			t.Fatal(err)
		}
		if j = endedIn(t, x, j.ID); j.State != StateReady || j.Rows != size {
			t.Fatalf("%+v\n%s", j, s.logged.String())
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	few, many := allocated(10_000), allocated(60_000)
	if t.Logf("%d and %d bytes", few, many); many > few+8<<20 {
		t.Errorf("%d bytes were allocated for 10,000 entries, %d for 60,000", few, many)
	}
}
