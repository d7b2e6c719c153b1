package app_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/app"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/erasure"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/export"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/retention"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/stream"
	"github.com/stelehq/stele/internal/stream/sink"
)

// siem is a receiver that quotes what it refuses, as real ones do.
type siem struct {
	*httptest.Server

	mu     sync.Mutex
	broken bool // refuses everything, as not now
	bodies []string
}

func newSIEM(t *testing.T) *siem {
	s := &siem{}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *siem) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	quote := string(body)
	if at := strings.Index(quote, `"name":`); at >= 0 {
		quote = quote[at:min(len(quote), at+200)]
	}
	switch {
	case s.broken:
		http.Error(w, "busy, keep this: "+quote, http.StatusServiceUnavailable)
	case bytes.Contains(body, []byte("poison")):
		http.Error(w, "cannot read "+quote, http.StatusBadRequest)
	default:
		s.bodies = append(s.bodies, string(body))
	}
}

func (s *siem) set(broken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken, s.bodies = broken, nil
}

func (s *siem) got() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.bodies, "\n")
}

// unique is a text that is nowhere else.
func unique() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// about is an event of u1 with a text in each detail, or about u1.
func about(action, text string, asTarget bool) audit.Event {
	who := audit.Actor{Type: "user", ID: "u1", Name: "Zed " + text, Metadata: audit.Metadata{"mail": text + "@example.com"}}
	e := audit.Event{
		Action: action, OccurredAt: time.Unix(1_772_000_000, 0), Actor: who,
		Targets:  []audit.Target{{Type: "team", ID: "t1", Name: "Team of " + text, Metadata: audit.Metadata{"lead": text}}},
		Context:  audit.Context{Location: "house of " + text, UserAgent: text + "/1.0"},
		Metadata: audit.Metadata{"note": "for " + text, "deep": map[string]any{"er": text}},
	}
	if asTarget {
		e.Actor = audit.Actor{Type: "user", ID: "u2", Name: "Ben"}
		e.Targets = append(e.Targets, audit.Target{Type: "user", ID: "u1", Name: who.Name})
	}
	return e
}

// record appends events to the log of "ours".
func record(t *testing.T, a *app.App, list ...audit.Event) {
	t.Helper()
	b := ledger.NewBatch("ours")
	for i := range list {
		ev, err := event.FromAudit(&list[i])
		if err == nil {
			err = b.Add(ev)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Ledger.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// found says in which files of a directory a text is, as it is or inside what
// zstd has compressed.
func found(t *testing.T, dir, text string) (plain, packed []string) {
	t.Helper()
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil // a file of the store that is gone by now
		}
		if err != nil {
			return err
		}
		if bytes.Contains(bytes.ToLower(b), []byte(text)) {
			plain = append(plain, path)
		}
		if inFrames(dec, b, text) {
			packed = append(packed, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return plain, packed
}

// inFrames reports whether a text is in what decompresses from anywhere in b.
func inFrames(dec *zstd.Decoder, b []byte, text string) bool {
	magic := []byte{0x28, 0xb5, 0x2f, 0xfd}
	for at := bytes.Index(b, magic); at >= 0; {
		if dec.Reset(bytes.NewReader(b[at:])) == nil {
			out, _ := io.ReadAll(io.LimitReader(dec, 16<<20)) // up to where it is no frame any more
			if bytes.Contains(bytes.ToLower(out), []byte(text)) {
				return true
			}
		}
		next := bytes.Index(b[at+4:], magic)
		if next < 0 {
			return false
		}
		at += 4 + next
	}
	return false
}

// until waits for a condition, which something in the background brings about.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited a minute: " + what)
		}
	}
}

// person is a server whose data directory has somebody, u1, in every place that it
// keeps something of people in. The texts all have text.
type person struct {
	a      *app.App
	siem   *siem
	stream *stream.Stream
	export export.Job
	cookie string
	link   string
}

func everywhere(t *testing.T, dir, text string) *person {
	t.Helper()
	p := &person{siem: newSIEM(t)}
	p.a = serve(t, dir, func(c *app.Config) { c.StreamAllow = []string{"127.0.0.1"}; app.Uncompressed(c) })
	organize(t, p.a)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// Entries in blocks, and after them entries in rows.
	for i := range 40 {
		record(t, p.a, about("user.invited", text, i%2 == 0), audit.Event{
			Action: "user.invited", OccurredAt: time.Unix(1_772_000_000, 0), Actor: audit.Actor{Type: "user", ID: fmt.Sprint("u", i+3), Name: "Somebody Else"},
		})
	}
	must(p.a.Store.Seal(ctx))
	must(p.a.Store.Scrub(ctx)) // into tables
	record(t, p.a, about("poison.taken", text, false))
	// A stream of theirs, with a dead letter and a batch that cannot be sent.
	var err error
	spec := hook()
	spec.Settings = sink.Values{"url": p.siem.URL, "ca_certificate": pemOf(p.siem.Server)}
	spec.Start, spec.Filter = stream.Start{Kind: stream.StartBeginning}, "-action:log_stream.*"
	p.stream, err = p.a.Streams.Create(ctx, "ours", spec, stream.Who{Type: "user", ID: "u1", Name: "Zed " + text, Location: text, UserAgent: text})
	must(err)
	until(t, "a dead letter", func() bool { return p.status(t).DeadNow == 1 })
	p.siem.set(true)
	record(t, p.a, about("user.seen", text, false))
	until(t, "a failing batch", func() bool { s := p.status(t); return len(s.InFlight) == 1 && s.InFlight[0].Attempts > 0 })
	// An export by them, about them, with a file.
	p.export, err = p.a.Exports.Create(ctx, export.Spec{
		Organization: "ours", Format: export.JSONL, Query: `"Zed ` + text + `"`,
		CreatedBy: export.Creator{Type: export.CreatorPerson, ID: "u1", Name: "Zed " + text},
	})
	must(err)
	until(t, "an export", func() bool {
		j, err := p.a.Exports.Get(ctx, "ours", p.export.ID)
		return err == nil && j.State == export.StateReady && j.Rows > 40
	})
	evidence, err := p.a.Exports.Create(ctx, export.Spec{Organization: "ours", Format: export.Evidence})
	must(err)
	until(t, "evidence", func() bool {
		j, err := p.a.Exports.Get(ctx, "ours", evidence.ID)
		return err == nil && j.State == export.StateReady
	})
	// A session, and a link that was not opened.
	link := func() string {
		token, err := p.a.Signer().SignPortal(auth.Portal{
			Organization: "ours", Intent: auth.IntentAuditLogs, PersonID: "u1", PersonName: "Zed " + text, Expires: time.Now().Add(auth.MaxLinkLife),
		})
		must(err)
		return token
	}
	p.cookie, _, err = p.a.Sessions().Redeem(ctx, link())
	must(err)
	p.link = link()
	// A hold that they made and that keeps nothing of theirs.
	_, err = p.a.Retention.CreateHold(ctx, "ours", retention.HoldSpec{Name: "A", Query: "action:never", Reason: "B"},
		retention.Who{Type: "user", ID: "u1", Name: "Zed " + text, Location: text})
	must(err)
	record(t, p.a, about("user.seen", text, true))
	return p
}

func (p *person) status(t *testing.T) stream.Status {
	t.Helper()
	s, err := p.a.Streams.Status(t.Context(), "ours", p.stream.ID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestErasedBytesAreGone: after an erasure no file of the data directory has
// anything of the person but the id, no reader gives any, and all proofs hold.
//
// That it could fail shows before: then the text is found in files as it is and
// inside the compressed columns of blocks. Tables are not compressed for that.
func TestErasedBytesAreGone(t *testing.T) {
	dir, text := t.TempDir(), unique()
	p := everywhere(t, dir, text)
	a, ctx := p.a, t.Context()
	plain, packed := found(t, dir, text)
	if len(plain) < 3 || len(packed) == 0 {
		t.Fatalf("nothing to look for: %v, in columns %v", plain, packed)
	}
	if page, err := a.Store.Search(ctx, "ours", search.Request{Query: query(t, text), Limit: 100}); err != nil || len(page.Entries) < 40 {
		t.Fatalf("%d entries, %v", len(page.Entries), err)
	}

	rec, err := a.Erasures.Create(ctx, erasure.Request{Organization: "ours", Subject: "u1", RequestedBy: erasure.Requester{Type: erasure.ByKey, ID: "root"}})
	if err == nil {
		rec, err = a.Erasures.Wait(ctx, "ours", rec.ID)
	}
	if err != nil || rec.State != erasure.StateDone || rec.Erased < 43 || rec.RemovedExports != 2 {
		t.Fatalf("%+v, %v", rec, err)
	}
	look := func(when string) {
		t.Helper()
		if plain, packed := found(t, dir, text); len(plain)+len(packed) > 0 {
			t.Errorf("%s: the text is in %v, in columns of %v", when, plain, packed)
		}
	}
	look("while the server runs")
	if files, err := os.ReadDir(filepath.Join(dir, "exports")); err != nil || len(files) > 0 {
		t.Errorf("files of exports are left: %v, %v", files, err)
	}

	// Nothing that reads has any of it.
	for _, q := range []string{text, "actor.name:*" + text, "location:" + text} {
		if page, err := a.Store.Search(ctx, "ours", search.Request{Query: query(t, q), Limit: 100}); err != nil || len(page.Entries) > 0 {
			t.Errorf("%s finds %d entries, %v", q, len(page.Entries), err)
		}
	}
	if _, err := a.Sessions().Get(ctx, p.cookie); err == nil {
		t.Error("the session goes on")
	}
	if _, _, err := a.Sessions().Redeem(ctx, p.link); err == nil {
		t.Error("a link from before opens a session")
	}
	if j, err := a.Exports.Get(ctx, "ours", p.export.ID); err != nil || j.State != export.StateExpired || !j.QueryRemoved || j.CreatedByName != "" {
		t.Errorf("%+v, %v", j, err)
	}

	// What comes from then on has the marker.
	p.siem.set(false)
	if _, err := a.Streams.Resume(ctx, "ours", p.stream.ID, stream.Key("root")); err != nil {
		t.Fatal(err)
	}
	until(t, "the stream", func() bool { return p.status(t).LagEvents == 0 })
	if got := p.siem.got(); strings.Contains(got, text) || !strings.Contains(got, `"erased_at"`) || !strings.Contains(got, "subject.erased") {
		t.Errorf("the stream delivers %s", got)
	}
	if got := p.exported(t); strings.Contains(got, text) || strings.Count(got, `"erased_at"`) != int(rec.Erased) {
		t.Errorf("an export has %s", got)
	}
	p.prove(t)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	look("after the server was closed")
	sound(t, dir)
	look("after a check")
}

func query(t *testing.T, text string) audit.Query {
	t.Helper()
	q, err := audit.ParseQuery(text)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// exported is an export of everything.
func (p *person) exported(t *testing.T) string {
	t.Helper()
	j, err := p.a.Exports.Create(t.Context(), export.Spec{Organization: "ours", Format: export.JSONL})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "an export", func() bool {
		j, err = p.a.Exports.Get(t.Context(), "ours", j.ID)
		return err == nil && j.Ended()
	})
	f, _, err := p.a.Exports.File(t.Context(), "ours", j.ID)
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

// prove verifies the proof of every entry.
func (p *person) prove(t *testing.T) {
	t.Helper()
	v, err := audit.NewVerifier(p.a.Ledger.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	head, err := p.a.Ledger.Head(t.Context(), "ours")
	if err != nil {
		t.Fatal(err)
	}
	for seq := range head.Size {
		proof, err := p.a.Ledger.Prove(t.Context(), "ours", seq)
		if err == nil {
			_, err = proof.Verify(v)
		}
		if err != nil {
			t.Errorf("entry %d: %v", seq, err)
		}
	}
}

// sound checks a data directory that no server uses.
func sound(t *testing.T, dir string) {
	t.Helper()
	log, err := app.OpenLog(t.Context(), dir, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, err = log.Ledger.Check(t.Context(), "ours", func(p ledger.Problem) { t.Errorf("check: %+v", p) })
	if err == nil {
		err = log.Store.Check(t.Context(), func(problem error) { t.Errorf("check: %v", problem) })
	}
	if err != nil {
		t.Error(err)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
}
