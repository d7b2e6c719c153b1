package export

import (
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
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/storetest"
)

// chunkEntries is how many entries logs renders at a time.
const chunkEntries = 1024

// logs is a search engine over entries that a function makes. What exports do
// not use is not there.
type logs struct {
	search.Engine
	size  uint64
	entry func(seq uint64, e *event.Entry)
	// parallel renders each entry of a chunk in a goroutine of its own.
	parallel bool
	// surveyed, when set, changes what was counted.
	surveyed func(*search.Survey)
	// onEntry, when set, is called before an entry is handed out; its error
	// ends the scan.
	onEntry func(ctx context.Context, org string, seq uint64) error
}

func (l *logs) Scan(ctx context.Context, org string, q audit.Query, from, to uint64, desc bool) iter.Seq2[*event.Entry, error] {
	return func(yield func(*event.Entry, error) bool) {
		e, matcher := new(event.Entry), search.Compile(q)
		for i := from; i < to && ctx.Err() == nil; i++ { // stops quietly, as no engine should
			seq := i
			if desc {
				seq = to - 1 - (i - from)
			}
			if l.onEntry != nil {
				if err := l.onEntry(ctx, org, seq); err != nil {
					yield(nil, err)
					return
				}
			}
			l.entry(seq, e)
			if matcher.Match(e) && !yield(e, nil) {
				return
			}
		}
	}
}

func (l *logs) Survey(ctx context.Context, org string, q audit.Query, from, to uint64) (search.Survey, error) {
	var s search.Survey
	for e, err := range l.Scan(ctx, org, q, from, to, false) {
		if err != nil {
			return s, err
		}
		s.Entries++
		s.MaxTargets = max(s.MaxTargets, len(e.Targets))
	}
	if l.surveyed != nil {
		l.surveyed(&s)
	}
	return s, nil
}

func (l *logs) Render(
	ctx context.Context, org string, q audit.Query, from, to uint64, desc bool, render func(dst []byte, e *event.Entry) []byte,
) iter.Seq2[search.Chunk, error] {
	return func(yield func(search.Chunk, error) bool) {
		var c search.Chunk
		var parts [chunkEntries][]byte
		var work sync.WaitGroup
		flush := func() bool {
			work.Wait()
			c.Data = c.Data[:0]
			for i := range c.Entries {
				c.Data = append(c.Data, parts[i]...)
			}
			more := c.Entries == 0 || yield(c, nil)
			c.Entries = 0
			return more
		}
		for e, err := range l.Scan(ctx, org, q, from, to, desc) {
			if err != nil {
				work.Wait()
				yield(search.Chunk{}, err)
				return
			}
			part := &parts[c.Entries]
			if l.parallel {
				e := e.Clone()
				work.Go(func() { *part = render((*part)[:0], e) })
			} else {
				*part = render((*part)[:0], e)
			}
			c.Entries++
			c.Passed = e.Seq + 1 - from
			if desc {
				c.Passed = to - e.Seq
			}
			if c.Entries == chunkEntries && !flush() {
				return
			}
		}
		flush()
	}
}

func (l *logs) Through(context.Context, string) (*audit.Position, error) {
	if l.size == 0 {
		return nil, nil //nolint:nilnil // as the ledger does
	}
	return &audit.Position{Seq: l.size - 1, ReceivedAt: time.UnixMilli(1_767_225_600_000).UTC()}, nil
}

// plainEntry makes an entry with seq mod 4 targets.
func plainEntry(seq uint64, e *event.Entry) {
	action := "even"
	if seq%2 == 1 {
		action = "odd"
	}
	*e = event.Entry{
		Event: event.Event{
			Action: []byte(action), Version: 1, OccurredAt: 1_767_225_600_000_000_000,
			Actor: event.Party{Type: []byte("user"), ID: fmt.Appendf(nil, "u%d", seq)}, Targets: e.Targets[:0],
		},
		Seq: seq, ReceivedAt: 1_767_225_600_000,
	}
	copy(e.ID[:], fmt.Sprintf("%026d", seq))
	for i := range seq % 4 {
		e.Targets = append(e.Targets, event.Party{Type: []byte("t"), ID: fmt.Appendf(nil, "%d", i)})
	}
}

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// place is where exports are kept, across restarts.
type place struct {
	dir    string
	kv     catalog.KV
	engine *logs
	clock  *clock
	disk   disk
	room   func(n int64) error
	log    bytes.Buffer
}

func newPlace(t *testing.T, size uint64) *place {
	return &place{
		dir: filepath.Join(t.TempDir(), "exports"), kv: storetest.NewMemory(),
		engine: &logs{size: size, entry: plainEntry},
		clock:  &clock{t: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)},
	}
}

func (p *place) open(t *testing.T) *Exports {
	t.Helper()
	x, err := Open(t.Context(), Config{
		Dir: p.dir, KV: p.kv, Engine: p.engine, Log: p.engine, Now: p.clock.now,
		Logger: slog.New(slog.NewTextHandler(&p.log, nil)), disk: p.disk, Room: p.room,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	return x
}

func (p *place) files(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// ended waits until a job is through.
func ended(t *testing.T, x *Exports, id string) Job {
	t.Helper()
	for {
		x.mu.Lock()
		waits := slices.ContainsFunc(x.queue, func(t ticket) bool { return t.id == id })
		if _, runs := x.running[id]; waits || runs {
			x.changed.Wait()
		}
		x.mu.Unlock()
		j, err := x.Get(t.Context(), "", id)
		if err != nil {
			t.Fatal(err)
		}
		if j.Ended() {
			return j
		}
	}
}

func create(t *testing.T, x *Exports, s Spec) Job {
	t.Helper()
	if s.Organization == "" {
		s.Organization = "org"
	}
	j, err := x.Create(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// content reads the file of a ready job.
func content(t *testing.T, x *Exports, id string) string {
	t.Helper()
	f, _, err := x.File(t.Context(), "org", id)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func code(err error) audit.Code {
	if e, ok := errors.AsType[*audit.Error](err); ok {
		return e.Code
	}
	return ""
}

func TestExportCSV(t *testing.T) {
	p := newPlace(t, 8)
	x := p.open(t)
	j := ended(t, x, create(t, x, Spec{Query: "action:odd", CreatedBy: Creator{Type: CreatorPerson, ID: "u_1", Name: "Amara"}}).ID)
	total := uint64(4)
	want := Job{
		ID: j.ID, Organization: "org", Query: "action:odd", Format: CSV,
		CreatedBy: "u_1", CreatedByName: "Amara", CreatedByType: CreatorPerson,
		Through: &audit.Position{Seq: 7, ReceivedAt: time.UnixMilli(1_767_225_600_000).UTC()},
		State:   StateReady, Rows: 4, Total: &total, Percent: 100, Bytes: j.Bytes,
		CreatedAt: p.clock.t, UpdatedAt: p.clock.t, StartedAt: p.clock.t, ReadyAt: p.clock.t, ExpiresAt: p.clock.t.Add(7 * 24 * time.Hour),
	}
	if diff := cmp.Diff(want, j); diff != "" {
		t.Error(diff)
	}
	file := content(t, x, j.ID)
	if int64(len(file)) != j.Bytes {
		t.Errorf("the job says %d bytes, the file has %d", j.Bytes, len(file))
	}
	rows := readCSV(t, file)
	if len(rows) != 5 || len(rows[0]) != 10+3*4+4 {
		t.Fatalf("%d rows of %d columns", len(rows), len(rows[0]))
	}
	for i, row := range rows[1:] {
		if want := fmt.Sprint(2*i + 1); row[1] != want || len(row) != len(rows[0]) {
			t.Errorf("row %d is seq %s with %d cells, want seq %s with %d", i, row[1], len(row), want, len(rows[0]))
		}
	}
	if diff := cmp.Diff([]string{j.ID + ".csv"}, p.files(t)); diff != "" {
		t.Error(diff)
	}
}

func TestExportJSONL(t *testing.T) {
	p := newPlace(t, 5)
	x := p.open(t)
	j := ended(t, x, create(t, x, Spec{Format: JSONL, Descending: true}).ID)
	var want strings.Builder
	e := new(event.Entry)
	for seq := uint64(5); seq > 0; seq-- {
		plainEntry(seq-1, e)
		want.Write(e.AppendJSON(nil, "org"))
		want.WriteByte('\n')
	}
	if diff := cmp.Diff(want.String(), content(t, x, j.ID)); diff != "" {
		t.Error(diff)
	}
}

// TestRowsAsOneByOne compares files that many goroutines render with the same
// entries rendered one after the other.
func TestRowsAsOneByOne(t *testing.T) {
	p := newPlace(t, 3*chunkEntries+7)
	p.engine.parallel = true
	p.engine.entry = func(seq uint64, e *event.Entry) {
		plainEntry(seq, e)
		e.Location = []byte([]string{"", "=1+1", "a,\"b\"", "x\r\ny"}[seq*7%4])
		e.Metadata = []byte([]string{"", `{"a":"b"}`}[seq*3%2])
	}
	x := p.open(t)
	query := audit.Query{Filters: []audit.Filter{{Field: audit.FieldTargetID, Values: []string{"0"}}}}
	for _, s := range []Spec{
		{Format: CSV},
		{Format: JSONL, Descending: true},
		{Format: CSV, Descending: true, RawCells: true, Query: query.String()},
		{Format: CSV, Query: "location:nowhere"},
		{Format: JSONL, Query: query.String()},
	} {
		q, err := audit.ParseQuery(s.Query)
		if err != nil {
			t.Fatal(err)
		}
		groups, rows := 1, []byte(nil)
		var want []byte
		for _, last := range []bool{false, true} { // how many targets first
			form := csvForm{groups: groups, raw: s.RawCells}
			want = form.appendHeader(want[:0])
			if rows = nil; s.Format == JSONL {
				want = want[:0]
			}
			for e, err := range p.engine.Scan(t.Context(), "org", q, 0, p.engine.size, s.Descending) {
				if err != nil {
					t.Fatal(err)
				}
				groups = max(groups, len(e.Targets))
				switch {
				case s.Format == JSONL:
					rows = append(e.AppendJSON(rows, "org"), '\n')
				case last:
					rows = form.appendRow(rows, e)
				}
			}
		}
		want = append(want, rows...)
		j := ended(t, x, create(t, x, s).ID)
		if got := content(t, x, j.ID); got != string(want) || j.Bytes != int64(len(want)) {
			t.Errorf("%+v: the file of %d bytes is not what its %d entries are one by one, of %d bytes", s, len(got), j.Rows, len(want))
		}
	}
}

// TestSurveyIsHeld has an engine count other than it renders.
func TestSurveyIsHeld(t *testing.T) {
	for name, change := range map[string]func(*search.Survey){
		"too few":         func(s *search.Survey) { s.Entries-- },
		"too many":        func(s *search.Survey) { s.Entries++ },
		"too few targets": func(s *search.Survey) { s.MaxTargets-- },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, 10)
			p.engine.surveyed = change
			x := p.open(t)
			j := ended(t, x, create(t, x, Spec{}).ID)
			if files := p.files(t); j.State != StateError || len(files) > 0 {
				t.Errorf("got %+v, files %q", j, files)
			}
		})
	}
}

// TestRoom gives room for some of a file.
func TestRoom(t *testing.T) {
	const steps = 3
	p := newPlace(t, 1<<20)
	one, left, written := new(event.Entry), steps*roomStep, int64(0)
	plainEntry(3, one)
	p.engine.entry = func(seq uint64, e *event.Entry) { *e = *one; e.Seq = seq }
	p.room = func(n int64) error {
		for _, name := range p.files(t) {
			info, err := os.Stat(filepath.Join(p.dir, name))
			if err != nil {
				return err
			}
			written = max(written, info.Size())
		}
		if left < n {
			return fmt.Errorf("%w: %d bytes are left of the reserve", ledger.ErrDiskFull, left)
		}
		left -= n
		return nil
	}
	x := p.open(t)
	j := ended(t, x, create(t, x, Spec{Format: JSONL}).ID)
	if j.State != StateError || !strings.Contains(j.Error, "disk is full") || len(p.files(t)) > 0 {
		t.Errorf("got %+v, files %q", j, p.files(t))
	}
	if left != 0 || written > steps*roomStep || written < (steps-1)*roomStep {
		t.Errorf("wrote %d bytes before there was no room, with %d left", written, left)
	}
	if j = ended(t, x, create(t, x, Spec{Format: JSONL, Query: "action:none"}).ID); j.State != StateReady {
		t.Errorf("an empty file, which needs no room: %+v", j)
	}
}

// TestExportIsFrozen adds entries between the request and the run.
func TestExportIsFrozen(t *testing.T) {
	p := newPlace(t, 3)
	hold := make(chan struct{})
	p.engine.onEntry = func(context.Context, string, uint64) error { <-hold; return nil }
	x := p.open(t)
	j := create(t, x, Spec{Format: JSONL})
	p.engine.size = 10
	close(hold)
	if j = ended(t, x, j.ID); j.Rows != 3 {
		t.Errorf("%d rows, want the 3 that the log had", j.Rows)
	}
}

func TestExportOfEmptyLog(t *testing.T) {
	x := newPlace(t, 0).open(t)
	for format, want := range map[Format]string{CSV: string(csvForm{groups: 1}.appendHeader(nil)), JSONL: ""} {
		j := ended(t, x, create(t, x, Spec{Format: format}).ID)
		if got := content(t, x, j.ID); got != want || j.Percent != 100 {
			t.Errorf("%s: %q at %d %%, want %q", format, got, j.Percent, want)
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	x := newPlace(t, 1).open(t)
	for _, tt := range []struct {
		spec Spec
		want audit.Code
	}{
		{Spec{Format: "xlsx"}, audit.CodeInvalidRequest},
		{Spec{Query: `"no end`}, audit.CodeInvalidQuery},
	} {
		_, err := x.Create(t.Context(), tt.spec)
		if code(err) != tt.want {
			t.Errorf("%+v: %v, want %s", tt.spec, err, tt.want)
		}
	}
}

// TestRestartInTheMiddle closes while a job runs and another waits.
func TestRestartInTheMiddle(t *testing.T) {
	p := newPlace(t, 10)
	done := p.open(t)
	ready := ended(t, done, create(t, done, Spec{}).ID)
	if err := done.Close(); err != nil {
		t.Fatal(err)
	}

	reached := make(chan struct{})
	var once sync.Once
	p.engine.onEntry = func(ctx context.Context, org string, seq uint64) error {
		if seq == 5 {
			once.Do(func() { close(reached) })
			<-ctx.Done()
		}
		return nil
	}
	x := p.open(t)
	var jobs []Job
	for range 4 {
		jobs = append(jobs, create(t, x, Spec{}))
	}
	<-reached
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{ready.ID + ".part", jobs[0].ID + ".part", jobs[1].ID + ".csv", "01JGFJJZ00000000000000000A.csv", "README"} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	p.engine.onEntry = nil
	x = p.open(t)
	want := []string{ready.ID + ".csv", "README"}
	for _, j := range jobs {
		j = ended(t, x, j.ID)
		if j.State != StateReady || len(readCSV(t, content(t, x, j.ID))) != 11 {
			t.Errorf("after a restart: %+v", j)
		}
		want = append(want, j.ID+".csv")
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, p.files(t)); diff != "" {
		t.Error(diff)
	}
}

func TestScanErrorEndsTheJob(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"internal": {errors.New("block 7 at /var/lib is bad"), "the server could not read the log or write the file; its own log says why, under this export's id"},
		"public":   {audit.Errorf(audit.CodeGone, "the entries were removed"), "the entries were removed"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, 10)
			p.engine.onEntry = func(_ context.Context, _ string, seq uint64) error {
				if seq == 9 {
					return tt.err
				}
				return nil
			}
			x := p.open(t)
			j := ended(t, x, create(t, x, Spec{Format: JSONL}).ID)
			if j.State != StateError || j.Error != tt.want {
				t.Errorf("got %+v", j)
			}
			if files := p.files(t); len(files) > 0 {
				t.Errorf("left %q", files)
			}
			if _, _, err := x.File(t.Context(), "org", j.ID); code(err) != audit.CodeConflict {
				t.Errorf("its file: %v", err)
			}
			_ = x.Close()
			if !strings.Contains(p.log.String(), tt.err.Error()) {
				t.Errorf("the log does not say why: %s", p.log.String())
			}
		})
	}
}

// TestDiskFull makes the file of a waiting job one that is always full.
func TestDiskFull(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	p := newPlace(t, 10)
	reached, hold := make(chan struct{}, 100), make(chan struct{})
	p.engine.onEntry = func(_ context.Context, org string, _ uint64) error {
		if org != "org" {
			reached <- struct{}{}
			<-hold
		}
		return nil
	}
	x := p.open(t)
	for _, org := range []string{"busy", "busy too"} { // as many as there are workers
		create(t, x, Spec{Organization: org})
		<-reached
	}
	j := create(t, x, Spec{})
	if err := os.Symlink("/dev/full", filepath.Join(p.dir, partName(j.ID))); err != nil {
		t.Fatal(err)
	}
	close(hold)
	if j = ended(t, x, j.ID); j.State != StateError || !strings.Contains(j.Error, "disk is full") {
		t.Errorf("got %+v", j)
	}
	if slices.ContainsFunc(p.files(t), func(name string) bool { return strings.HasPrefix(name, j.ID) }) {
		t.Errorf("left a file: %q", p.files(t))
	}
}

// faulty is a disk whose nth operation fails, before it took effect or, when
// landed, after.
type faulty struct {
	disk
	mu     sync.Mutex
	n      int
	landed bool
	done   []string // the operations that were asked for
}

var errFault = errors.New("this operation fails")

func (d *faulty) do(what string, op func() error) error {
	d.mu.Lock()
	d.done = append(d.done, what)
	d.n--
	fails := d.n == 0
	d.mu.Unlock()
	if fails && !d.landed {
		return errFault
	}
	if err := op(); err != nil {
		return err
	}
	if fails {
		return errFault
	}
	return nil
}

func (d *faulty) create(name string) (f file, err error) {
	err = d.do("create", func() error { f, err = d.disk.create(name); return err })
	return &faultyFile{f, d}, err
}

func (d *faulty) open(name string) (r io.ReadCloser, err error) {
	err = d.do("open", func() error { r, err = d.disk.open(name); return err })
	return &faultyReader{r, d}, err
}

func (d *faulty) rename(from, to string) error {
	return d.do("rename", func() error { return d.disk.rename(from, to) })
}
func (d *faulty) sync() error { return d.do("sync directory", d.disk.sync) }

type faultyReader struct {
	io.ReadCloser
	disk *faulty
}

func (f *faultyReader) Read(p []byte) (n int, err error) {
	fault := f.disk.do("read", func() error {
		if n, err = f.ReadCloser.Read(p); errors.Is(err, io.EOF) {
			return nil // the end can fail, too
		}
		return err
	})
	return n, stdcmp.Or(fault, err)
}

func (f *faultyReader) Close() error { return f.disk.do("close", f.ReadCloser.Close) }

type faultyFile struct {
	file
	disk *faulty
}

func (f *faultyFile) Write(p []byte) (n int, err error) {
	err = f.disk.do("write", func() error { n, err = f.file.Write(p); return err })
	return n, err
}
func (f *faultyFile) Sync() error  { return f.disk.do("sync", f.file.Sync) }
func (f *faultyFile) Close() error { return f.disk.do("close", f.file.Close) }

// TestEveryFileOperationFailsOnce fails the first operation, then the second,
// until a job succeeds: before that none may, and none may leave a file.
func TestEveryFileOperationFailsOnce(t *testing.T) {
	for _, landed := range []bool{false, true} {
		for n := 1; ; n++ {
			p := newPlace(t, 10)
			d := &faulty{disk: directory(p.dir), n: n, landed: landed}
			p.disk = d
			x := p.open(t)
			j := ended(t, x, create(t, x, Spec{}).ID)
			if j.State == StateReady {
				want := []string{"create", "write", "sync", "close", "rename", "sync directory"}
				if diff := cmp.Diff(want, d.done); diff != "" || n != len(want)+1 {
					t.Errorf("ready after %d faults (-want +got): %s", n-1, diff)
				}
				break
			}
			if files := p.files(t); j.State != StateError || len(files) > 0 {
				t.Errorf("fault %d, landed %v: %s, files %q", n, landed, j.State, files)
			}
		}
	}
}

// stubborn refuses writes for a while.
type stubborn struct {
	catalog.KV
	mu     sync.Mutex
	refuse int
	armed  func(catalog.Change) bool
}

func (s *stubborn) Apply(ctx context.Context, changes ...catalog.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse > 0 && s.armed(changes[0]) {
		s.refuse--
		return errors.New("no space for a record")
	}
	return s.KV.Apply(ctx, changes...)
}

func TestEndIsStoredWhenTheStoreRecovers(t *testing.T) {
	p := newPlace(t, 3)
	p.kv = &stubborn{KV: p.kv, refuse: 1, armed: func(c catalog.Change) bool {
		return bytes.Contains(c.Value, []byte(`"ready"`))
	}}
	x := p.open(t)
	if j := ended(t, x, create(t, x, Spec{}).ID); j.State != StateReady {
		t.Errorf("got %+v", j)
	}
	if !strings.Contains(p.log.String(), "no space for a record") {
		t.Error("the log does not say that the store refused")
	}
}

func TestExpiry(t *testing.T) {
	p := newPlace(t, 3)
	x := p.open(t)
	j := ended(t, x, create(t, x, Spec{}).ID)

	p.clock.add(7*24*time.Hour - time.Millisecond)
	if err := x.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	f, _, err := x.File(t.Context(), "org", j.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()

	p.clock.add(time.Millisecond)
	if got, err := x.Get(t.Context(), "org", j.ID); err != nil || got.State != StateExpired {
		t.Errorf("before the sweep: %+v, %v", got, err)
	}
	if err := x.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := x.File(t.Context(), "org", j.ID); code(err) != audit.CodeGone {
		t.Errorf("file of an expired job: %v", err)
	}
	if files := p.files(t); len(files) > 0 {
		t.Errorf("left %q", files)
	}
	if b, err := io.ReadAll(f); err != nil || int64(len(b)) != j.Bytes {
		t.Errorf("the file opened before is cut: %d of %d bytes, %v", len(b), j.Bytes, err)
	}

	p.clock.add(recordKeep + time.Millisecond)
	if err := x.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Get(t.Context(), "org", j.ID); code(err) != audit.CodeNotFound {
		t.Errorf("long expired: %v", err)
	}
	if jobs, _, err := x.List(t.Context(), "org", "", 10); err != nil || len(jobs) > 0 {
		t.Errorf("still listed: %v, %v", jobs, err)
	}
}

func TestTooManyOpen(t *testing.T) {
	p := newPlace(t, 1)
	p.engine.onEntry = func(ctx context.Context, _ string, _ uint64) error { <-ctx.Done(); return ctx.Err() }
	x := p.open(t)
	for range MaxOpen {
		create(t, x, Spec{})
	}
	if _, err := x.Create(t.Context(), Spec{Organization: "org"}); code(err) != audit.CodeRateLimited {
		t.Errorf("one more: %v", err)
	}
	create(t, x, Spec{Organization: "another"})
}

func TestDropOrganization(t *testing.T) {
	p := newPlace(t, 3)
	x := p.open(t)
	kept := ended(t, x, create(t, x, Spec{Organization: "or"}).ID) // a prefix of the other's id
	old := ended(t, x, create(t, x, Spec{}).ID)
	reached := make(chan struct{}, 10)
	p.engine.onEntry = func(ctx context.Context, _ string, _ uint64) error {
		reached <- struct{}{}
		<-ctx.Done()
		return nil
	}
	ids := []string{old.ID}
	for range 4 {
		ids = append(ids, create(t, x, Spec{}).ID)
	}
	<-reached
	<-reached
	if err := x.DropOrganization(t.Context(), "org"); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if _, err := x.Get(t.Context(), "", id); code(err) != audit.CodeNotFound {
			t.Errorf("job %s: %v", id, err)
		}
	}
	if diff := cmp.Diff([]string{kept.ID + ".csv"}, p.files(t)); diff != "" {
		t.Error(diff)
	}
	if n := x.open("org"); n > 0 {
		t.Errorf("%d jobs are still open", n)
	}
}

func TestListNewestFirst(t *testing.T) {
	p := newPlace(t, 1)
	x := p.open(t)
	var want []string
	for range 7 {
		p.clock.add(time.Second)
		want = append(want, create(t, x, Spec{}).ID)
		create(t, x, Spec{Organization: "another"})
	}
	slices.Reverse(want)
	var got []string
	after, pages := "", 0
	for more := true; more; pages++ {
		var jobs []Job
		var err error
		if jobs, more, err = x.List(t.Context(), "org", after, 3); err != nil {
			t.Fatal(err)
		}
		for _, j := range jobs {
			got, after = append(got, j.ID), j.ID
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || pages != 3 {
		t.Errorf("%d pages: %s", pages, diff)
	}
	if _, _, err := x.List(t.Context(), "org", "nonsense", 3); code(err) != audit.CodeInvalidCursor {
		t.Errorf("damaged cursor: %v", err)
	}
}

func TestAnotherOrganizationsJob(t *testing.T) {
	p := newPlace(t, 1)
	x := p.open(t)
	j := create(t, x, Spec{})
	for _, id := range []string{j.ID, "", "nonsense", "export_" + j.ID, strings.ToLower(j.ID), j.ID + "/"} {
		if _, err := x.Get(t.Context(), "another", id); code(err) != audit.CodeNotFound {
			t.Errorf("%q: %v", id, err)
		}
		if _, _, err := x.File(t.Context(), "another", id); code(err) != audit.CodeNotFound {
			t.Errorf("file of %q: %v", id, err)
		}
	}
}

func TestFairness(t *testing.T) {
	x := &Exports{
		queue:   []ticket{{"1", "a"}, {"2", "a"}, {"3", "b"}, {"4", "c"}},
		running: map[string]*run{},
	}
	for _, tt := range []struct {
		busy []string
		want string
	}{{nil, "1"}, {[]string{"a"}, "3"}, {[]string{"a", "b"}, "4"}, {[]string{"a", "b", "c"}, "1"}} {
		clear(x.running)
		for _, org := range tt.busy {
			x.running["at "+org] = &run{ticket: ticket{"at " + org, org}}
		}
		if got := x.queue[x.fairest()].id; got != tt.want {
			t.Errorf("with %q busy: %s, want %s", tt.busy, got, tt.want)
		}
	}
}

// TestProgress looks at a job from outside while it runs.
func TestProgress(t *testing.T) {
	p := newPlace(t, 3*chunkEntries)
	reached, hold := make(chan struct{}), make(chan struct{})
	passes := 0
	p.engine.onEntry = func(_ context.Context, _ string, seq uint64) error {
		if seq == 0 {
			passes++
		}
		p.clock.add(time.Second)
		if passes == 2 && seq == 2*chunkEntries {
			close(reached)
			<-hold
		}
		return nil
	}
	x := p.open(t)
	id := create(t, x, Spec{}).ID
	<-reached
	j, err := x.Get(t.Context(), "org", id)
	close(hold)
	if err != nil {
		t.Fatal(err)
	}
	if j.State != StateRunning || j.Rows != 2*chunkEntries || j.Total == nil || *j.Total != 3*chunkEntries || j.Percent != 100*2/3 || j.Bytes == 0 {
		t.Errorf("in the middle: %+v", j)
	}
	if _, _, err := x.File(t.Context(), "org", id); code(err) != audit.CodeConflict {
		t.Errorf("its file: %v", err)
	}
	ended(t, x, id)
}

// TestMemoryIsConstant writes many rows and looks at everything that was
// allocated for them.
func TestMemoryIsConstant(t *testing.T) {
	const rows = 1_000_000
	p := newPlace(t, rows)
	one := new(event.Entry)
	plainEntry(3, one)
	p.engine.entry = func(seq uint64, e *event.Entry) { *e = *one; e.Seq = seq }
	x := p.open(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	j := ended(t, x, create(t, x, Spec{}).ID)
	runtime.ReadMemStats(&after)
	if j.Rows != rows {
		t.Fatalf("got %+v", j)
	}
	perRow := float64(after.TotalAlloc-before.TotalAlloc) / rows
	t.Logf("%.1f bytes a row", perRow)
	if after.TotalAlloc-before.TotalAlloc > 4<<20 {
		t.Errorf("%.0f bytes were allocated for each row", perRow)
	}
}
