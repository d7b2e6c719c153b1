package audit_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
)

const (
	serverName = "audit.example.com"
	logOrigin  = serverName + "/org_1"
)

// testLog is a log as a server would keep it, made of plain parts.
type testLog struct {
	entries []audit.Entry
	salts   [][audit.SaltBytes]byte
	records [][]byte
	hashes  []tlog.Hash // stored hashes, as tlog counts them
	signers []note.Signer
	// serverKey and logKey are the verifier keys.
	serverKey, logKey string
}

// ReadHashes implements tlog.HashReader.
func (l *testLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = l.hashes[x]
	}
	return out, nil
}

func newTestLog(t testing.TB, size int) *testLog {
	t.Helper()
	l := &testLog{}
	for _, name := range []string{logOrigin, serverName} {
		skey, vkey, err := note.GenerateKey(zeros{}, name)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := note.NewSigner(skey)
		if err != nil {
			t.Fatal(err)
		}
		l.signers = append(l.signers, signer)
		l.logKey, l.serverKey = l.serverKey, vkey
	}
	for i := range size {
		l.add(t, entryAt(i))
	}
	return l
}

// zeros is a source of keys that are the same each time.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func entryAt(seq int) audit.Entry {
	e := sample()
	e.Seq = uint64(seq)
	e.ReceivedAt = time.UnixMilli(1_772_000_000_000 + int64(seq/3)).UTC()
	e.ID = testID(e.ReceivedAt.UnixMilli(), e.Seq)
	e.Actor.ID = fmt.Sprint("user ", seq)
	return e
}

// testID makes an id without secrets.
func testID(ms int64, seq uint64) string {
	var b strings.Builder
	write := func(v uint64, letters int) {
		for i := letters - 1; i >= 0; i-- {
			b.WriteByte("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[v>>(5*i)&31])
		}
	}
	write(uint64(ms), 10)
	write(seq, 8)
	write(0xABCDE, 8)
	return b.String()
}

func (l *testLog) add(t testing.TB, e audit.Entry) {
	t.Helper()
	salt := [audit.SaltBytes]byte(bytes.Repeat([]byte{byte(e.Seq)}, audit.SaltBytes))
	record, err := e.Record(salt)
	if err != nil {
		t.Fatal(err)
	}
	l.addRecord(t, record)
	l.entries, l.salts = append(l.entries, e), append(l.salts, salt)
}

func (l *testLog) addRecord(t testing.TB, record []byte) {
	t.Helper()
	hashes, err := tlog.StoredHashes(int64(len(l.records)), record, l)
	if err != nil {
		t.Fatal(err)
	}
	l.hashes = append(l.hashes, hashes...)
	l.records = append(l.records, record)
}

func (l *testLog) size() int { return len(l.records) }

func (l *testLog) root(t testing.TB, size int) tlog.Hash {
	t.Helper()
	h, err := tlog.TreeHash(int64(size), l)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// checkpoint signs the log at a size.
func (l *testLog) checkpoint(t testing.TB, size int) []byte {
	t.Helper()
	return l.sign(t, audit.Checkpoint{Origin: logOrigin, Size: uint64(size), Root: l.root(t, size)}.String())
}

func (l *testLog) sign(t testing.TB, text string) []byte {
	t.Helper()
	signed, err := note.Sign(&note.Note{Text: text}, l.signers...)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// proof proves an entry in the log at a size.
func (l *testLog) proof(t testing.TB, seq, size int) *audit.Proof {
	t.Helper()
	hashes, err := tlog.ProveRecord(int64(size), int64(seq), l)
	if err != nil {
		t.Fatal(err)
	}
	inclusion := audit.InclusionProof{Index: uint64(seq), Hashes: hashes, Checkpoint: l.checkpoint(t, size)}
	return &audit.Proof{Entry: l.entries[seq], Record: string(l.records[seq]), Salt: l.salts[seq][:], Proof: inclusion.String()}
}

// files are what the log serves, partial tiles of the current size only.
func (l *testLog) files(t testing.TB) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{"checkpoint": {Data: l.checkpoint(t, l.size())}}
	for _, tile := range tlog.NewTiles(8, 0, int64(l.size())) {
		data, err := tlog.ReadTileData(tile, l)
		if err != nil {
			t.Fatal(err)
		}
		files[audit.TilePath(tile.L, uint64(tile.N), tile.W)] = &fstest.MapFile{Data: data}
		if tile.L > 0 {
			continue
		}
		var entries []byte
		for _, record := range l.records[tile.N<<8 : int(tile.N<<8)+tile.W] {
			entries = binary.BigEndian.AppendUint16(entries, uint16(len(record)))
			entries = append(entries, record...)
		}
		files[audit.TilePath(-1, uint64(tile.N), tile.W)] = &fstest.MapFile{Data: entries}
	}
	return files
}

func (l *testLog) verifier(t testing.TB) *audit.Verifier {
	t.Helper()
	v, err := audit.NewVerifier(l.serverKey)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func emptyRoot() tlog.Hash { return sha256.Sum256(nil) }

// readFiles stands for the files of an example: a proof and a key.
func readFiles() (proof []byte, vkey string) {
	var t testing.T
	log := newTestLog(&t, 9)
	proof, err := json.Marshal(log.proof(&t, 3, 9))
	if err != nil {
		panic(err)
	}
	return proof, log.serverKey
}
