package witness

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/storetest"
)

// tree is a log of one organization.
type tree struct {
	mu     sync.Mutex
	signer note.Signer
	n      int64
	hashes []tlog.Hash
	salt   string // another one makes another history
}

func (l *tree) grow(t *testing.T, n int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		added, err := tlog.StoredHashes(l.n, fmt.Append(nil, l.salt, l.n), l.reader())
		if err != nil {
			t.Fatal(err)
		}
		l.hashes = append(l.hashes, added...)
		l.n++
	}
}

func (l *tree) reader() tlog.HashReaderFunc {
	return func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = l.hashes[x]
		}
		return out, nil
	}
}

func (l *tree) Through(context.Context, string) (*audit.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n == 0 {
		return nil, nil //nolint:nilnil // an empty log
	}
	return &audit.Position{Seq: uint64(l.n - 1)}, nil
}

func (l *tree) Checkpoint(_ context.Context, org string) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	root, err := tlog.TreeHash(l.n, l.reader())
	if err != nil {
		return nil, err
	}
	cp := audit.Checkpoint{Origin: "log.example/" + org, Size: uint64(l.n), Root: root}
	return note.Sign(&note.Note{Text: cp.String()}, l.signer)
}

func (l *tree) ProveTree(_ context.Context, _ string, newSize, oldSize uint64) (tlog.TreeProof, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return tlog.ProveTree(int64(newSize), int64(oldSize), l.reader())
}

// server is a witness as the protocol has it, of one log.
type server struct {
	*httptest.Server
	t    *testing.T
	name string
	key  ed25519.PrivateKey

	mu    sync.Mutex
	seen  audit.Checkpoint
	fault int    // what it answers instead, when not 0
	other string // what it signs as
	asked int
}

func newServer(t *testing.T, name string) *server {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, name: name, key: key}
	s.Server = httptest.NewServer(http.HandlerFunc(s.add))
	t.Cleanup(s.Close)
	return s
}

func (s *server) id(name string) (data []byte, id [4]byte) {
	data = append([]byte{4}, s.key.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(append([]byte(name+"\n"), data...))
	return data, [4]byte(sum[:4])
}

func (s *server) vkey() string {
	data, id := s.id(s.name)
	return fmt.Sprintf("%s+%x+%s", s.name, id, base64.StdEncoding.EncodeToString(data))
}

func (s *server) set(fault int, other string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault, s.other = fault, other
}

func (s *server) add(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.fault != 0 || r.URL.Path != "/add-checkpoint" {
		http.Error(w, "no", max(s.fault, 404))
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	head, signed, _ := strings.Cut(string(body), "\n\n")
	lines := strings.Split(head, "\n")
	old, err := strconv.ParseUint(strings.TrimPrefix(lines[0], "old "), 10, 63)
	if err != nil {
		s.t.Errorf("old size: %v", err)
	}
	if old != s.seen.Size {
		w.Header().Set("Content-Type", "text/x.tlog.size")
		http.Error(w, strconv.FormatUint(s.seen.Size, 10), http.StatusConflict)
		return
	}
	text, _, _ := strings.Cut(signed, "\n\n")
	cp, err := audit.ParseCheckpoint(text + "\n")
	if err != nil {
		s.t.Error(err)
	}
	var proof []tlog.Hash
	for _, line := range lines[1:] {
		h, err := tlog.ParseHash(line)
		if err != nil {
			s.t.Error(err)
		}
		proof = append(proof, h)
	}
	seen := s.seen
	if seen.Size == 0 {
		seen = audit.Checkpoint{Origin: cp.Origin, Root: sha256.Sum256(nil)}
	}
	if cp.Extends(seen, proof) != nil {
		http.Error(w, "inconsistent", http.StatusUnprocessableEntity)
		return
	}
	s.seen = cp
	if _, err := fmt.Fprintf(w, "— somebody.else AAAAAAAA\n%s", s.sign(cp)); err != nil {
		s.t.Error(err)
	}
}

func (s *server) sign(cp audit.Checkpoint) string {
	name := s.name
	if s.other != "" {
		name = s.other
	}
	_, id := s.id(name)
	sig := binary.BigEndian.AppendUint64(id[:], 1_790_000_000)
	sig = append(sig, ed25519.Sign(s.key, fmt.Appendf(nil, "cosignature/v1\ntime 1790000000\n%s", cp))...)
	return fmt.Sprintf("— %s %s\n", name, base64.StdEncoding.EncodeToString(sig))
}

// stand is a log, three witnesses of which two suffice, and who asks them.
type stand struct {
	*Cosigner
	log       *tree
	witnesses []*server
	verifier  *audit.Verifier
}

func newStand(t *testing.T) *stand {
	t.Helper()
	skey, vkey, err := note.GenerateKey(nil, "log.example/acme")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{log: &tree{signer: signer}}
	if s.verifier, err = audit.NewVerifier(vkey); err != nil {
		t.Fatal(err)
	}
	text := "log " + vkey + "\n"
	for _, name := range []string{"a", "b", "c"} {
		w := newServer(t, "witness.example/"+name)
		s.witnesses = append(s.witnesses, w)
		text += fmt.Sprintf("witness %s %s %s\n", name, w.vkey(), w.URL)
	}
	policy, err := audit.ParsePolicy(text + "group two 2 a b c\nquorum two\n")
	if err != nil {
		t.Fatal(err)
	}
	s.Cosigner, err = newCosigner(Config{
		Policy: policy, KV: storetest.NewMemory(), Log: s.log, Every: time.Hour, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Organizations: func(context.Context) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) { yield("acme", nil) }
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// want holds the witnessed checkpoint to a size and to who signed it.
func (s *stand) want(t *testing.T, size uint64, by string) {
	t.Helper()
	if err := s.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	signed, err := s.Checkpoint(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	cp, err := s.verifier.Open(signed)
	if err != nil || cp.Size != size {
		t.Errorf("%+v %v, want size %d", cp, err, size)
	}
	list, err := s.cfg.Policy.Cosignatures(signed)
	names := ""
	for _, c := range list {
		names += c.Witness
		if c.At.Unix() != 1_790_000_000 {
			t.Errorf("signed at %s", c.At)
		}
	}
	if err != nil || names != by || !s.cfg.Policy.Satisfied(list) {
		t.Errorf("signed by %q, want %q (%v)", names, by, err)
	}
}

// TestRounds holds that a grown log is witnessed, that a quorum suffices, and that
// what has no quorum is not given out.
func TestRounds(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	if err := s.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Checkpoint(t.Context(), "acme"); !errors.Is(err, &audit.Error{Code: audit.CodeNotFound}) {
		t.Errorf("an empty log: %v", err)
	}
	s.log.grow(t, 3)
	s.want(t, 3, "abc")
	asked := s.witnesses[0].asked
	s.want(t, 3, "abc")
	if s.witnesses[0].asked != asked {
		t.Error("a log that has not grown was witnessed again")
	}
	s.log.grow(t, 1000)
	s.witnesses[1].set(http.StatusInternalServerError, "")
	s.want(t, 1003, "ac")
	s.log.grow(t, 7)
	s.witnesses[2].set(http.StatusNotFound, "")
	s.want(t, 1003, "ac") // a alone is no quorum
	s.witnesses[1].set(0, "")
	s.want(t, 1010, "ab") // and b has missed one
	s.log.grow(t, 1)
	s.witnesses[2].set(0, "witness.example/imposter")
	s.want(t, 1011, "ab")
}

// TestForkIsNotWitnessed holds that witnesses do not sign another history of the
// log, and that the one they signed stays.
func TestForkIsNotWitnessed(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.log.grow(t, 10)
	s.want(t, 10, "abc")
	fork := &tree{signer: s.log.signer, salt: "other "}
	fork.grow(t, 20)
	s.cfg.Log = fork
	s.want(t, 10, "abc")
	behind := &tree{signer: s.log.signer}
	behind.grow(t, 4)
	s.cfg.Log, s.seen = behind, map[string]uint64{}
	s.want(t, 10, "abc")
	s.cfg.Organizations = func(context.Context) iter.Seq2[string, error] { return func(func(string, error) bool) {} }
	if err := s.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Checkpoint(t.Context(), "acme"); err == nil {
		t.Error("still there")
	}
}

// TestOpenRefuses holds that a policy that cannot be asked is refused.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	w := newServer(t, "w")
	for _, text := range []string{"quorum none\n", "witness w " + w.vkey() + "\nquorum w\n", "witness w " + w.vkey() + " ftp://x\nquorum w\n"} {
		policy, err := audit.ParsePolicy(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Config{Policy: policy}); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
