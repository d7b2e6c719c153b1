package export

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

// TestRemoveFiles: files go and say why, whatever the next start finds; those of
// others stay.
func TestRemoveFiles(t *testing.T) {
	p := newPlace(t, 10)
	x := p.open(t)
	mine, other := create(t, x, Spec{}), create(t, x, Spec{Organization: "other"})
	ended(t, x, mine.ID)
	ended(t, x, other.ID)
	if n, err := x.CountFiles(t.Context(), "org"); n != 1 || err != nil {
		t.Fatalf("%d files, %v", n, err)
	}
	for range 2 { // the second time nothing is left, and the count is the same
		if n, err := x.RemoveFiles(t.Context(), "org", "erasure_1", "entries in it were erased"); n != 1 || err != nil {
			t.Fatalf("removed %d files, %v", n, err)
		}
	}
	if diff := cmp.Diff([]string{fileName(other.ID, CSV)}, p.files(t)); diff != "" {
		t.Error(diff)
	}
	j, err := x.Get(t.Context(), "org", mine.ID)
	if err != nil || j.State != StateExpired || j.Error != "entries in it were erased" {
		t.Errorf("%+v, %v", j, err)
	}
	_, _, err = x.File(t.Context(), "org", mine.ID)
	if code(err) != audit.CodeGone || !strings.Contains(err.Error(), "entries in it were erased") {
		t.Errorf("the file: %v", err)
	}
	if n, err := x.RemoveFiles(t.Context(), "org", "erasure_2", "other"); n != 0 || err != nil {
		t.Errorf("another one removed %d files, %v", n, err)
	}
}

// TestRemoveFilesRestarts: a job that is being written begins again, and its file
// has what the log has then.
func TestRemoveFilesRestarts(t *testing.T) {
	p := newPlace(t, 10)
	reached, erased := make(chan struct{}, 1), atomic.Bool{}
	p.engine.entry = func(seq uint64, e *event.Entry) {
		plainEntry(seq, e)
		if !erased.Load() {
			e.Actor.Name = []byte("Ada Lovelace")
		}
	}
	p.engine.onEntry = func(ctx context.Context, _ string, seq uint64) error {
		if seq == 9 && !erased.Load() {
			reached <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	x := p.open(t)
	j := create(t, x, Spec{Format: JSONL})
	<-reached
	erased.Store(true)
	if n, err := x.RemoveFiles(t.Context(), "org", "erasure_1", "why"); n != 0 || err != nil {
		t.Fatalf("removed %d files, %v", n, err)
	}
	if j = ended(t, x, j.ID); j.State != StateReady || j.Rows != 10 {
		t.Fatalf("%+v", j)
	}
	if text := content(t, x, j.ID); strings.Contains(text, "Ada") || strings.Count(text, "\n") != 10 {
		t.Errorf("the file has %s", text)
	}
}

// TestForgetPeople: names go from records, filters that name somebody too.
func TestForgetPeople(t *testing.T) {
	p := newPlace(t, 10)
	x := p.open(t)
	ada := Creator{Type: CreatorPerson, ID: "u1", Name: "Ada Lovelace"}
	by := create(t, x, Spec{CreatedBy: ada})
	about := create(t, x, Spec{Query: `actor.name:"Ada Lovelace"`, CreatedBy: Creator{Type: CreatorPerson, ID: "u2", Name: "Ben"}})
	other := create(t, x, Spec{Organization: "other", CreatedBy: ada, Query: `"Ada Lovelace"`})
	for _, j := range []Job{by, about, other} {
		ended(t, x, j.ID)
	}
	names := func(text string) bool { return strings.Contains(text, "Ada") }
	for range 2 {
		if err := x.ForgetCreator(t.Context(), "org", "u1"); err != nil {
			t.Fatal(err)
		}
		if err := x.ForgetQueries(t.Context(), "org", names); err != nil {
			t.Fatal(err)
		}
	}
	get := func(org, id string) Job {
		j, err := x.Get(t.Context(), org, id)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	if j := get("org", by.ID); j.CreatedByName != "" || j.CreatedBy != "u1" || j.QueryRemoved {
		t.Errorf("made by the person: %+v", j)
	}
	if j := get("org", about.ID); j.Query != "" || !j.QueryRemoved || j.CreatedByName != "Ben" || j.State != StateReady {
		t.Errorf("about the person: %+v", j)
	}
	if j := get("other", other.ID); j.CreatedByName == "" || j.Query == "" {
		t.Errorf("another organization's: %+v", j)
	}
}

// TestForgetQueryOfRunning: a job that goes by a filter with a name ends, since
// without the filter it would be another export.
func TestForgetQueryOfRunning(t *testing.T) {
	p := newPlace(t, 10)
	reached := make(chan struct{}, 1)
	p.engine.onEntry = func(ctx context.Context, _ string, _ uint64) error {
		reached <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	x := p.open(t)
	j := create(t, x, Spec{Query: `"Ada Lovelace"`})
	<-reached
	if err := x.ForgetQueries(t.Context(), "org", func(text string) bool { return strings.Contains(text, "Ada") }); err != nil {
		t.Fatal(err)
	}
	j = ended(t, x, j.ID)
	if j.State != StateError || j.Query != "" || !strings.Contains(j.Error, "erased") {
		t.Errorf("%+v", j)
	}
	if files := p.files(t); slices.ContainsFunc(files, func(f string) bool { return strings.Contains(f, j.ID) }) {
		t.Errorf("files left: %v", files)
	}
}
