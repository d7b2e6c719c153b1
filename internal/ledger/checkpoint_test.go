package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/ledger"
)

// checkpoint asks for a checkpoint of acme's log and opens it.
func checkpoint(t testing.TB, l *ledger.Ledger) (audit.Checkpoint, []byte) {
	t.Helper()
	signed, err := l.Checkpoint(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	cp, err := audit.OpenCheckpoint(signed, l.VerifierKey())
	if err != nil {
		t.Fatalf("%v in\n%s", err, signed)
	}
	return cp, signed
}

func TestCheckpoint(t *testing.T) {
	s := newStore()
	l := open(t, s)
	var last uint64
	for _, n := range []int{0, 1, 254, 1, 1, 300} {
		if n > 0 {
			record(t, l, "acme", 0, n)
		}
		cp, _ := checkpoint(t, l)
		head, err := l.Head(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		if cp.Size != last+uint64(n) || cp.Root != head.Root() || cp.Origin != serverName+"/acme" {
			t.Errorf("got %+v after %d more than %d", cp, n, last)
		}
		last = cp.Size
	}
	verify(t, l, "acme")
}

// Each of the two verifier keys suffices, with note alone.
func TestCheckpointSignatures(t *testing.T) {
	l := open(t, newStore())
	record(t, l, "acme", 0, 5)
	_, signed := checkpoint(t, l)
	for _, vkey := range []string{l.VerifierKey(), l.LogVerifierKey("acme")} {
		v, err := note.NewVerifier(vkey)
		if err != nil {
			t.Fatal(err)
		}
		n, err := note.Open(signed, note.VerifierList(v))
		if err != nil {
			t.Fatalf("%s: %v", vkey, err)
		}
		if len(n.Sigs) != 1 || len(n.UnverifiedSigs) != 1 || strings.Count(n.Text, "\n") != 3 {
			t.Errorf("%s: %+v", vkey, n)
		}
	}
	if v, err := note.NewVerifier(l.LogVerifierKey("globex")); err != nil {
		t.Error(err)
	} else if _, err := note.Open(signed, note.VerifierList(v)); err == nil {
		t.Error("the key of another log verifies the checkpoint")
	}
	name, _, _ := strings.Cut(l.VerifierKey(), "+")
	if name != serverName {
		t.Errorf("the server's key is named %q", name)
	}
}

func TestCheckpointIsSignedOnlyWhenTheLogGrew(t *testing.T) {
	s := newStore()
	l := open(t, s)
	applied := 0
	s.onApply = func() error { applied++; return nil }
	if _, signed := checkpoint(t, l); applied != 0 || !bytes.Contains(signed, []byte("\n0\n")) {
		t.Errorf("the checkpoint of an empty log was remembered, or is\n%s", signed)
	}
	record(t, l, "acme", 0, 5)
	_, first := checkpoint(t, l)
	_, second := checkpoint(t, l)
	if applied != 1 || !bytes.Equal(first, second) {
		t.Errorf("remembered %d times", applied)
	}
	// A restart does not sign again, and a proof of what is covered neither.
	l = open(t, s)
	if _, third := checkpoint(t, l); applied != 1 || !bytes.Equal(first, third) {
		t.Errorf("remembered %d times", applied)
	}
	record(t, l, "acme", 5, 5)
	l = open(t, s)
	if p, err := l.Prove(t.Context(), "acme", 4); err != nil || !strings.HasSuffix(p.Proof, string(first)) || applied != 1 {
		t.Errorf("remembered %d times, %v", applied, err)
	}
	if _, err := l.Prove(t.Context(), "acme", 5); err != nil || applied != 2 {
		t.Errorf("remembered %d times, %v", applied, err)
	}
}

// A checkpoint is remembered before anybody sees it.
func TestCheckpointThatCannotBeRemembered(t *testing.T) {
	s := newStore()
	l := open(t, s)
	record(t, l, "acme", 0, 5)
	s.onApply = func() error { return errDisk }
	if _, err := l.Checkpoint(t.Context(), "acme"); !errors.Is(err, errDisk) {
		t.Errorf("got %v", err)
	}
	s.onApply = func() error { return fmt.Errorf("apply: %w", ledger.ErrDiskFull) }
	_, err := l.Prove(t.Context(), "acme", 0)
	wantCode(t, err, audit.CodeDiskFull)
	s.onApply = nil
	verify(t, l, "acme")
}

func TestTwoServersSign(t *testing.T) {
	s := newStore()
	a, b := open(t, s), open(t, s)
	record(t, a, "acme", 0, 5)
	checkpoint(t, a)
	for i := range 5 {
		record(t, b, "acme", 0, 3)
		want := uint64(8 + 3*i)
		for _, l := range []*ledger.Ledger{b, a} {
			if cp, _ := checkpoint(t, l); cp.Size != want {
				t.Errorf("size %d, want %d", cp.Size, want)
			}
		}
	}
	// One signs while the other is about to.
	record(t, a, "acme", 0, 1)
	s.onApply = func() error {
		s.onApply = nil
		checkpoint(t, b)
		return nil
	}
	if cp, _ := checkpoint(t, a); cp.Size != 21 {
		t.Errorf("size %d", cp.Size)
	}
	// All at the same moment.
	var wg sync.WaitGroup
	record(t, a, "acme", 0, 1)
	for _, l := range []*ledger.Ledger{a, b, open(t, s)} {
		wg.Go(func() {
			if _, err := l.Checkpoint(context.Background(), "acme"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	verify(t, a, "acme")
}

func TestConsistencyOfAllSizes(t *testing.T) {
	l := open(t, newStore())
	var roots []audit.Checkpoint
	for i := range 40 {
		record(t, l, "acme", i, 1+i%17)
		cp, _ := checkpoint(t, l)
		roots = append(roots, cp)
	}
	for i, newer := range roots {
		for _, older := range roots[:i+1] {
			proof, err := l.ProveTree(t.Context(), "acme", newer.Size, older.Size)
			if err != nil {
				t.Fatal(err)
			}
			if err := checkTree(proof, newer, older); err != nil {
				t.Errorf("%d to %d: %v", older.Size, newer.Size, err)
			}
		}
	}
	size := roots[len(roots)-1].Size
	_, err := l.ProveTree(t.Context(), "acme", size+1, 1)
	wantCode(t, err, audit.CodeNotFound)
	for _, sizes := range [][2]uint64{{5, 0}, {5, 6}} {
		_, err = l.ProveTree(t.Context(), "acme", sizes[0], sizes[1])
		wantCode(t, err, audit.CodeInvalidRequest)
	}
}

// rollBack makes the store what it was after n entries, as a restored copy is,
// but keeps what the KV has.
func rollBack(t testing.TB, s *faultyStore, n int) {
	t.Helper()
	older := newStore()
	l := open(t, older)
	record(t, l, "acme", 0, n)
	s.Damage("acme", func(log *rawLog) { older.Damage("acme", func(old *rawLog) { *log = *old }) })
}

func TestRolledBackLogRefusesEvents(t *testing.T) {
	for _, left := range []int{3, 10} { // smaller; as large, but another history
		s, told := newStore(), &bytes.Buffer{}
		l := open(t, s)
		record(t, l, "acme", 0, 10)
		checkpoint(t, l)
		_ = l.Close()
		rollBack(t, s, left)

		l = open(t, s, logTo(told))
		for range 3 {
			_, err := l.Append(t.Context(), newBatch(t, "acme", 0, 1))
			wantCode(t, err, audit.CodeUnavailable)
			_, err = l.Checkpoint(t.Context(), "acme")
			wantCode(t, err, audit.CodeUnavailable)
			_, err = l.Prove(t.Context(), "acme", 0)
			wantCode(t, err, audit.CodeUnavailable)
		}
		if n := strings.Count(told.String(), "older copy"); n != 1 {
			t.Errorf("the operator was told %d times:\n%s", n, told)
		}
		if _, err := l.EntryAt(t.Context(), "acme", 2); err != nil {
			t.Errorf("reading: %v", err)
		}
		if h, err := l.Head(t.Context(), "acme"); err != nil || h.Size != uint64(left) {
			t.Errorf("%+v, %v", h, err)
		}
		record(t, l, "globex", 0, 1)
		verify(t, l, "globex")
	}
}

// A log that grew past its checkpoint after it was rolled back is found out when
// a checkpoint is asked for.
func TestForkIsNotSigned(t *testing.T) {
	s, told := newStore(), &bytes.Buffer{}
	l := open(t, s)
	record(t, l, "acme", 0, 300)
	checkpoint(t, l)
	_ = l.Close()
	rollBack(t, s, 400)
	before := s.record(t, "checkpoint/acme")

	l = open(t, s, logTo(told))
	if _, err := l.Checkpoint(t.Context(), "acme"); err == nil || !strings.Contains(err.Error(), "does not extend") {
		t.Errorf("got %v", err)
	}
	if _, err := l.Prove(t.Context(), "acme", 350); err == nil {
		t.Error("an entry of a forked log was proved")
	}
	if !strings.Contains(told.String(), "does not extend") {
		t.Errorf("operator was told %q", told)
	}
	if !bytes.Equal(before.Value, s.record(t, "checkpoint/acme").Value) {
		t.Error("the newest checkpoint was overwritten")
	}
}

func TestDroppedLogIsNotStartedAgain(t *testing.T) {
	s := newStore()
	l := open(t, s)
	record(t, l, "acme", 0, 10)
	checkpoint(t, l)
	if err := l.Drop(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	_, err := open(t, s).Append(t.Context(), newBatch(t, "acme", 0, 1))
	wantCode(t, err, audit.CodeUnavailable)
}

func TestCheckpointRecordThatCannotBeRead(t *testing.T) {
	for _, value := range []string{"", "\x02" + serverName + "/acme\n1\n", "\x01nonsense"} {
		s := newStore()
		record(t, open(t, s), "acme", 0, 1)
		if err := s.Apply(t.Context(), catalog.Change{Key: "checkpoint/acme", Value: []byte(value)}); err != nil {
			t.Fatal(err)
		}
		l := open(t, s)
		_, err := l.Append(t.Context(), newBatch(t, "acme", 0, 1))
		wantCode(t, err, audit.CodeUnavailable)
		if _, err := l.Checkpoint(t.Context(), "acme"); err == nil {
			t.Errorf("%q was taken for a checkpoint", value)
		}
	}
}

func TestSigningKeyChanges(t *testing.T) {
	s := newStore()
	l := open(t, s)
	record(t, l, "acme", 0, 3)
	checkpoint(t, l)
	other, err := ledger.GenerateKey(serverName)
	if err != nil {
		t.Fatal(err)
	}
	cfg := ledger.Config{Store: s, KV: s, Signer: other}
	if _, err := ledger.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), l.VerifierKey()) {
		t.Fatalf("got %v", err)
	}
	accept := func(c *ledger.Config) { c.Signer, c.AcceptNewKey = other, true }
	l = open(t, s, accept)
	if cp, _ := checkpoint(t, l); cp.Size != 3 {
		t.Errorf("got %+v", cp)
	}
	// From then on it is the key.
	l = open(t, s, func(c *ledger.Config) { c.Signer = other })
	record(t, l, "acme", 3, 3)
	verify(t, l, "acme")
}

func TestOpenRefuses(t *testing.T) {
	s := newStore()
	good := ledger.Config{Store: s, KV: s, Signer: testKey}
	for name, change := range map[string]func(*ledger.Config){
		"no store":   func(c *ledger.Config) { c.Store = nil },
		"no kv":      func(c *ledger.Config) { c.KV = nil },
		"no key":     func(c *ledger.Config) { c.Signer = "" },
		"bad key":    func(c *ledger.Config) { c.Signer = testKey[:len(testKey)-1] },
		"other name": func(c *ledger.Config) { c.Name = "other.example.com" },
	} {
		cfg := good
		change(&cfg)
		if _, err := ledger.Open(t.Context(), cfg); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	good.Name, good.Signer = serverName, testKey+"\n"
	if _, err := ledger.Open(t.Context(), good); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"", "two words", "a+b"} {
		if key, err := ledger.GenerateKey(name); err == nil {
			t.Errorf("made a key for %q: %s", name, key)
		}
	}
}
