package app

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/retention"
)

// aged is a server whose clock a test moves.
type aged struct {
	*App
	t      *testing.T
	client *audit.Client
	now    atomic.Int64 // Unix nanoseconds
	cfg    Config
}

const agedKey = "sk_of_the_operator_000000"

func openAged(t *testing.T) *aged {
	t.Helper()
	s := &aged{t: t}
	s.now.Store(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC).UnixNano())
	s.cfg = Config{
		Data: t.TempDir(), Listen: "127.0.0.1:1", RootKey: agedKey, SchemaMode: "warn", IdempotencyWindow: 24 * time.Hour,
		ExportKeep: time.Hour, CacheMiB: 8, Now: func() time.Time { return time.Unix(0, s.now.Load()).UTC() },
	}
	var err error
	if s.App, err = Open(t.Context(), s.cfg); err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.ServeHTTP(w, r) }))
	t.Cleanup(func() {
		front.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.client = audit.NewClient(front.URL, agedKey)
	if _, err := s.client.CreateOrganization(t.Context(), "acme", audit.OrganizationChange{Name: new("Acme Ltd")}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *aged) pass(d time.Duration) { s.now.Add(int64(d)) }

// record records n events of an action in one batch.
func (s *aged) record(action string, n int) {
	s.t.Helper()
	events := make([]*event.Event, n)
	for i := range events {
		ev, err := event.FromAudit(&audit.Event{
			Action: action, Version: 1, OccurredAt: s.cfg.Now(), Actor: audit.Actor{Type: "user", ID: fmt.Sprintf("u%d", i), Name: "Somebody"},
			Metadata: audit.Metadata{"text": fmt.Sprintf("%x", strings.Repeat(fmt.Sprint(i*7919), 8))},
		})
		if err != nil {
			s.t.Fatal(err)
		}
		events[i] = ev
	}
	if err := s.append(s.t.Context(), "acme", events); err != nil {
		s.t.Fatal(err)
	}
}

// counts are how many entries each reader shows.
func (s *aged) counts(ids []string) map[string]int {
	s.t.Helper()
	ctx := s.t.Context()
	out := map[string]int{}
	must := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	q, err := audit.ParseQuery("action:a.*")
	must(err)
	page, err := s.client.Search(ctx, "acme", q, audit.SearchOptions{})
	must(err)
	out["list"] = len(page.Entries)
	for _, id := range ids {
		if _, err := s.client.Entry(ctx, "acme", id); err == nil {
			out["get"]++
		}
		if _, err := s.client.Proof(ctx, "acme", id); err == nil {
			out["proof"]++
		}
	}
	h, err := s.client.Histogram(ctx, "acme", q, "month", "")
	must(err)
	out["histogram"] = int(h.Total)
	f, err := s.client.Facets(ctx, "acme", q, audit.FieldAction, 0)
	must(err)
	for _, v := range f.Values {
		out["facets"] += int(v.Count)
	}
	job, err := s.client.CreateExport(ctx, "acme", q, audit.ExportOptions{Format: "jsonl"})
	must(err)
	job, err = s.client.WaitExport(ctx, "acme", job.ID, nil)
	must(err)
	out["export"] = int(job.Rows)
	return out
}

// TestNoReaderShowsWhatIsDue asks every reader just before and just after entries
// are due, before and after their bytes are gone.
func TestNoReaderShowsWhatIsDue(t *testing.T) {
	s := openAged(t)
	ctx := t.Context()
	s.record("a.short", 3)
	s.record("a.long", 2)
	if _, err := s.client.SetRetention(ctx, "acme", audit.RetentionPolicy{Days: 365, Actions: []audit.RetentionAction{{Pattern: "a.short", Days: 90}}}, nil); err != nil {
		t.Fatal(err)
	}
	var ids []string
	page, err := s.client.Search(ctx, "acme", audit.Query{}, audit.SearchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Entries {
		if strings.HasPrefix(e.Action, "a.") {
			ids = append(ids, e.ID)
		}
	}
	all := func(want int) {
		t.Helper()
		for reader, n := range s.counts(ids) {
			if n != want {
				t.Errorf("at %s %s shows %d, want %d", s.cfg.Now(), reader, n, want)
			}
		}
		if got := len(s.counts(ids)); want > 0 && got != 6 {
			t.Errorf("only %d readers were asked", got)
		}
	}
	bundle := func(want bool) {
		t.Helper()
		_, err := s.Ledger.Bundle(ctx, "acme", 0, 6)
		if (err == nil) != want {
			t.Errorf("entry bundle: %v, want %t", err, want)
		}
	}
	s.pass(90 * 24 * time.Hour)
	all(5)
	bundle(true)
	s.pass(time.Millisecond)
	all(2)
	bundle(false)
	cert, err := s.Retention.Apply(ctx, "acme")
	if err != nil || cert.Removed != 3 {
		t.Fatalf("removed %+v, %v", cert, err)
	}
	all(2)
	bundle(false)
	s.pass(275*24*time.Hour - time.Millisecond)
	all(2)
	s.pass(time.Millisecond)
	all(0)
}

// TestRemovalGivesBackTheDisk removes most of a log and compares what the
// directory takes.
func TestRemovalGivesBackTheDisk(t *testing.T) {
	s := openAged(t)
	for range 5 {
		s.record("a.b", 16384)
	}
	_, err := s.Retention.Update(t.Context(), "acme", retention.Who{}, func(o *catalog.Organization) error {
		o.RetentionDays = 30
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Store.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := s.size()
	s.pass(31 * 24 * time.Hour)
	s.record("a.b", 10)
	cert, err := s.Retention.Apply(t.Context(), "acme")
	if err != nil || cert.Removed < 5*16384 {
		t.Fatalf("removed %+v, %v", cert, err)
	}
	after := s.size()
	t.Logf("%d bytes before, %d after", before, after)
	if after > before/4 {
		t.Errorf("the directory has %d bytes, had %d", after, before)
	}
	h, err := s.Ledger.Check(context.Background(), "acme", nil)
	if err != nil || h.Problems != 0 || h.Removed != cert.Removed {
		t.Errorf("check: %+v, %v", h, err)
	}
}

// size is what the tables of the database take on disk. The files of the
// write-ahead log are of one size, and used again.
func (s *aged) size() (total int64) {
	s.t.Helper()
	err := filepath.WalkDir(filepath.Join(s.cfg.Data, dbDir), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(d.Name()) != ".sst" {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return total
}
