package export

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
)

// TestOldJobs holds that jobs stored before creators had names stay readable.
func TestOldJobs(t *testing.T) {
	p := newPlace(t, 1)
	x := p.open(t)
	id := catalog.NewULID(p.clock.now())
	type oldJob struct {
		ID           string    `json:"id"`
		Organization string    `json:"organization"`
		Format       Format    `json:"format"`
		CreatedBy    string    `json:"created_by,omitempty"`
		State        State     `json:"state"`
		ExpiresAt    time.Time `json:"expires_at,omitzero"`
	}
	change, err := catalog.Put(jobKey(id), oldJob{id, "org", CSV, "key_1", StateReady, p.clock.now().Add(time.Hour)}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.kv.Apply(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	j, err := x.Get(t.Context(), "org", id)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Creator{Type: CreatorKey, ID: "key_1"}, j.Creator()); diff != "" {
		t.Error(diff)
	}
}

// TestLeft holds the estimate of the time that a job still takes.
func TestLeft(t *testing.T) {
	at := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		job  Job
		want time.Duration
		ok   bool
	}{
		"a quarter in ten seconds": {Job{State: StateRunning, StartedAt: at, UpdatedAt: at.Add(10 * time.Second), Percent: 25}, 30 * time.Second, true},
		"just begun":               {Job{State: StateRunning, StartedAt: at, UpdatedAt: at.Add(100 * time.Millisecond), Percent: 1}, 0, false},
		"nothing done":             {Job{State: StateRunning, StartedAt: at, UpdatedAt: at.Add(10 * time.Second)}, 0, false},
		"waiting":                  {Job{State: StatePending, UpdatedAt: at}, 0, false},
		"of an earlier build":      {Job{State: StateRunning, UpdatedAt: at.Add(10 * time.Second), Percent: 25}, 0, false},
		"ready":                    {Job{State: StateReady, StartedAt: at, UpdatedAt: at.Add(10 * time.Second), Percent: 100}, 0, false},
	} {
		if got, ok := c.job.Left(); got != c.want || ok != c.ok {
			t.Errorf("%s: %v %t, want %v %t", name, got, ok, c.want, c.ok)
		}
	}
}

// TestCancel cancels a job that runs, one that waits and one that is ready, and
// leaves the others.
func TestCancel(t *testing.T) {
	p := newPlace(t, 3)
	x := p.open(t)
	kept, ready := ended(t, x, create(t, x, Spec{}).ID), ended(t, x, create(t, x, Spec{}).ID)
	reached, goOn := make(chan struct{}, 10), make(chan struct{})
	p.engine.onEntry = func(ctx context.Context, _ string, _ uint64) error {
		reached <- struct{}{}
		select {
		case <-goOn:
		case <-ctx.Done():
		}
		return nil
	}
	runs, alsoRuns, waits := create(t, x, Spec{}), create(t, x, Spec{}), create(t, x, Spec{})
	<-reached
	<-reached
	for _, id := range []string{waits.ID, runs.ID, ready.ID} {
		if err := x.Cancel(t.Context(), "another", id); code(err) != audit.CodeNotFound {
			t.Errorf("cancelled by another organization: %v", err)
		}
		if err := x.Cancel(t.Context(), "org", id); err != nil {
			t.Fatal(err)
		}
		if _, err := x.Get(t.Context(), "org", id); code(err) != audit.CodeNotFound {
			t.Errorf("a cancelled job is still there: %v", err)
		}
	}
	close(goOn)
	if j := ended(t, x, alsoRuns.ID); j.State != StateReady {
		t.Errorf("the job beside ended as %s", j.State)
	}
	want := []string{kept.ID + ".csv", alsoRuns.ID + ".csv"}
	slices.Sort(want) // ids of one millisecond are in no order
	if diff := cmp.Diff(want, p.files(t)); diff != "" {
		t.Error(diff)
	}
}
