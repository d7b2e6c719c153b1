package c2sptest

import (
	"context"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/app"
)

const rootKey = "sk_a_key_that_only_these_tests_know"

// server is a whole Stele with one organization, over HTTP.
type server struct {
	*app.App
	*audit.Client
	logURL *url.URL
	vkey   string
}

func start(t *testing.T, change func(*app.Config)) *server {
	t.Helper()
	cfg := app.Config{
		Data: t.TempDir(), Listen: "127.0.0.1:0", Name: "stele.example", RootKey: rootKey, SchemaMode: "open",
		IdempotencyWindow: 24 * 60 * 60e9, ExportKeep: 60 * 60e9, CacheMiB: 16, StreamMaxInFlightMiB: 8,
	}
	if change != nil {
		change(&cfg)
	}
	a, err := app.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(a)
	t.Cleanup(func() {
		web.Close()
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &server{App: a, Client: audit.NewClient(web.URL, rootKey)}
	if _, err := s.CreateOrganization(t.Context(), "acme", audit.OrganizationChange{Name: new("Acme")}); err != nil {
		t.Fatal(err)
	}
	if s.logURL, err = url.Parse(web.URL + "/v1/organizations/acme/log/"); err != nil {
		t.Fatal(err)
	}
	s.vkey = a.Ledger.LogVerifierKey("acme")
	return s
}

// record records n events.
func (s *server) record(t *testing.T, n int) {
	t.Helper()
	for n > 0 {
		events := make([]audit.Event, min(n, 1000))
		for i := range events {
			events[i] = audit.Event{
				Action: "door.opened", OccurredAt: time.Now(), Actor: audit.Actor{Type: "user", ID: fmt.Sprint(i)},
				Metadata: audit.Metadata{"n": i},
			}
		}
		if _, err := s.RecordBatch(t.Context(), "acme", events, audit.BatchOptions{}); err != nil {
			t.Fatal(err)
		}
		n -= len(events)
	}
}

func (s *server) verifier(t *testing.T) note.Verifier {
	t.Helper()
	v, err := note.NewVerifier(s.vkey)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (s *server) fetcher(t *testing.T) *client.HTTPFetcher {
	t.Helper()
	f, err := client.NewHTTPFetcher(s.logURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.SetAuthorizationHeader("Bearer " + rootKey)
	return f
}

// leaves is how fsck hashes the entries of a bundle.
func leaves(bundle []byte) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	var hashes [][]byte
	for _, e := range b.Entries {
		hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(e))
	}
	return hashes, nil
}

// TestFsck has Tessera's checker read a whole log over HTTP: every entry, every
// tile, and the checkpoint.
func TestFsck(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	size := 0
	for _, n := range []int{1, 255, 1, 700, 67_000} { // tiles of three levels
		s.record(t, n)
		size += n
		v := s.verifier(t)
		if err := fsck.New(v.Name(), v, s.fetcher(t), leaves, fsck.Opts{N: 4}).Check(t.Context()); err != nil {
			t.Errorf("%d entries: %v", size, err)
		}
	}
}

// lying is a log of which one entry was changed on the way.
type lying struct {
	*client.HTTPFetcher
	bundle uint64
}

func (l lying) ReadEntryBundle(ctx context.Context, i uint64, p uint8) ([]byte, error) {
	data, err := l.HTTPFetcher.ReadEntryBundle(ctx, i, p)
	if i == l.bundle && err == nil {
		return []byte(strings.Replace(string(data), "door.opened", "door.closed", 1)), nil
	}
	return data, err
}

// TestFsckFinds holds that the checker would have found an entry that was changed.
func TestFsckFinds(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.record(t, 1000)
	v := s.verifier(t)
	// A worker that finds something ends, so there have to be enough of them.
	if err := fsck.New(v.Name(), v, lying{s.fetcher(t), 2}, leaves, fsck.Opts{N: 8}).Check(t.Context()); err == nil {
		t.Error("an entry was changed, and nothing was found")
	}
}

// TestClient has Tessera's client follow a growing log and prove entries in it.
func TestClient(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.record(t, 300)
	f, v := s.fetcher(t), s.verifier(t)
	tracker, err := client.NewLogStateTracker(t.Context(), f.ReadTile, nil, v, v.Name(), client.UnilateralConsensus(f.ReadCheckpoint))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.record(t, 700)
		if _, _, _, err := tracker.Update(t.Context()); err != nil {
			t.Fatalf("the log does not extend what it was: %v", err)
		}
	}
	latest := tracker.Latest()
	if latest.Size != 2400 {
		t.Errorf("the client sees %d entries", latest.Size)
	}
	proofs, err := client.NewProofBuilder(t.Context(), latest.Size, f.ReadTile)
	if err != nil {
		t.Fatal(err)
	}
	for _, index := range []uint64{0, 255, 256, 2304, 2399} {
		path, err := proofs.InclusionProof(t.Context(), index)
		if err != nil {
			t.Fatal(err)
		}
		bundle, err := client.GetEntryBundle(t.Context(), f.ReadEntryBundle, index/256, latest.Size)
		if err != nil {
			t.Fatal(err)
		}
		leaf := rfc6962.DefaultHasher.HashLeaf(bundle.Entries[index%256])
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, latest.Size, leaf, path, latest.Hash); err != nil {
			t.Errorf("entry %d: %v", index, err)
		}
	}
}
