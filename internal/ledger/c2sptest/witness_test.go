package c2sptest

import (
	"bufio"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/app"
)

// built is a program of somebody else's that make deps has built.
func built(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../../bin", runtime.Version(), name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run make deps", err)
	}
	return path
}

// keyAgent serves a new key as ssh-agent does, which the witness signs with.
func keyAgent(t *testing.T) (socket, fingerprint string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	pub, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "agent") //nolint:usetesting // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, conn) }()
		}
	}()
	return socket, ssh.FingerprintSHA256(pub)
}

// litewitness is a witness of torchwood's, as a process.
type litewitness struct {
	db, url, vkey string
}

func startWitness(t *testing.T) *litewitness {
	t.Helper()
	socket, fingerprint := keyAgent(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	w := &litewitness{db: filepath.Join(t.TempDir(), "witness.db"), url: "http://" + addr}
	cmd := exec.Command(built(t, "litewitness"), "-db", w.db, "-name", "witness.example/w1", "-ssh-agent", socket, "-key", fingerprint, "-listen", addr)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait()
	})
	named := make(chan string, 1)
	go func() {
		vkey := regexp.MustCompile(`vkey="?([^\s"]+)`)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if m := vkey.FindStringSubmatch(lines.Text()); m != nil {
				named <- m[1]
			}
		}
	}()
	select {
	case w.vkey = <-named:
	case <-time.After(30 * time.Second):
		t.Fatal("the witness does not say its key")
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		res, err := http.Get(w.url)
		if err == nil {
			_ = res.Body.Close()
			return w
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond) // asks another process; bounded by the deadline
	}
}

// watches tells the witness of a log, as its own tool does.
func (w *litewitness) watches(t *testing.T, origin, vkey string) {
	t.Helper()
	db, err := sqlite.OpenConn(w.db)
	if err != nil {
		t.Fatal(err)
	}
	empty := sha256.Sum256(nil)
	for statement, args := range map[string][]any{
		"INSERT INTO log (origin, tree_size, tree_hash) VALUES (?, 0, ?)": {origin, base64.StdEncoding.EncodeToString(empty[:])},
		"INSERT INTO key (origin, key) VALUES (?, ?)":                     {origin, vkey},
	} {
		if err := sqlitex.Execute(db, statement, &sqlitex.ExecOptions{Args: args}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestWitness has the checkpoints of a growing log signed by a witness that others
// wrote, and checks its signatures.
func TestWitness(t *testing.T) {
	t.Parallel()
	w := startWitness(t)
	policy := fmt.Sprintf("witness one %s %s\nquorum one\n", w.vkey, w.url)
	file := filepath.Join(t.TempDir(), "policy")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, func(cfg *app.Config) { cfg.WitnessPolicy, cfg.WitnessEvery = file, time.Second })
	w.watches(t, "stele.example/acme", s.vkey)
	trusted, err := audit.ParsePolicy(policy)
	if err != nil {
		t.Fatal(err)
	}
	log, err := audit.NewVerifier(s.vkey)
	if err != nil {
		t.Fatal(err)
	}
	var size uint64
	for _, n := range []int{3, 500, 1} {
		s.record(t, n)
		size += uint64(n)
		signed := s.witnessed(t, log, size)
		list, err := trusted.Cosignatures(signed)
		if err != nil || !trusted.Satisfied(list) {
			t.Errorf("%d entries: %v %v", size, list, err)
		}
		if len(list) == 1 && time.Since(list[0].At).Abs() > time.Minute {
			t.Errorf("signed at %s", list[0].At)
		}
	}
}

// witnessed waits until a checkpoint of that size is witnessed.
func (s *server) witnessed(t *testing.T, log *audit.Verifier, size uint64) []byte {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		signed, err := s.WitnessedCheckpoint(t.Context(), "acme")
		if err == nil {
			if c, err := log.Open(signed); err != nil || c.Size == size {
				if err != nil {
					t.Error(err)
				}
				return signed
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("no checkpoint of %d entries is witnessed: %v", size, err)
		}
		time.Sleep(50 * time.Millisecond) // asks the server; bounded by the deadline
	}
}
