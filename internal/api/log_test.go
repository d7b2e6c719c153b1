package api

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/schema"
)

const acmeLog = "/v1/organizations/acme/log/"

// httpLog reads a log over HTTP, as a verifier does.
type httpLog struct{ h *host }

func (l httpLog) ReadCheckpoint(context.Context) ([]byte, error) {
	return l.h.get(acmeLog + "checkpoint").want(200).body, nil
}

func (l httpLog) ReadTile(_ context.Context, path string) ([]byte, error) {
	got := l.h.get(acmeLog + path)
	if got.status == http.StatusNotFound {
		return nil, fs.ErrNotExist
	}
	return got.want(200).body, nil
}

// tileReader reads tiles for package tlog, which knows nothing of Stele.
type tileReader struct{ h *host }

func (r tileReader) Height() int { return 8 }

func (r tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

func (r tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, tile := range tiles {
		// In C2SP tlog-tiles the height is not in the path.
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		out = append(out, r.h.get(acmeLog+path).want(200).body)
	}
	return out, nil
}

// TestLogIsVerifiable records entries in several batches and checks the log as
// others would: with this project's verifier, with package tlog, and by hand.
func TestLogIsVerifiable(t *testing.T) {
	h := start(t, schema.ModeOpen)
	lines := withHeader("Content-Type", ndjson)
	h.append(strings.Repeat(minimal+"\n", 255), lines)
	older := h.get(acmeLog + "checkpoint").want(200).body
	h.append(strings.Repeat(minimal+"\n", 300), lines)
	const size = 555

	vkeys := []string{
		strings.TrimSuffix(string(h.get("/v1/log/vkey", withHeader("Authorization", "")).want(200).body), "\n"),
		strings.TrimSuffix(string(h.get(acmeLog+"vkey").want(200).body), "\n"),
	}
	for _, vkey := range vkeys {
		v, err := audit.NewVerifier(vkey)
		if err != nil {
			t.Fatal(err)
		}
		report, err := audit.VerifyLog(t.Context(), httpLog{h}, v, audit.LogOptions{Older: older})
		if err != nil || report.Entries != size {
			t.Errorf("with %s: %d entries, %v", vkey, report.Entries, err)
		}
	}

	// As package tlog does it, and the checkpoint as package note does.
	key, err := note.NewVerifier(vkeys[1])
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Open(h.get(acmeLog+"checkpoint").want(200).body, note.VerifierList(key))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Split(signed.Text, "\n")
	if text[0] != "stele.example.com/acme" || text[1] != fmt.Sprint(size) {
		t.Errorf("checkpoint of %q", text)
	}
	root, err := tlog.ParseHash(text[2])
	if err != nil {
		t.Fatal(err)
	}
	tree := tlog.TileHashReader(tlog.Tree{N: size, Hash: root}, tileReader{h})
	for _, seq := range []int64{0, 254, 255, 256, 511, 554} {
		hashes, err := tree.ReadHashes([]int64{tlog.StoredHashIndex(0, seq)})
		if err != nil {
			t.Fatal(err)
		}
		if record := h.bundled(seq, size); tlog.RecordHash(record) != hashes[0] {
			t.Errorf("record %d is not the one in the tree: %s", seq, record)
		}
	}
}

// bundled reads a record from its entry bundle.
func (h *host) bundled(seq, size int64) []byte {
	h.t.Helper()
	path := fmt.Sprintf("tile/entries/%03d", seq/256)
	if width := size - seq/256*256; width < 256 {
		path += fmt.Sprintf(".p/%d", width)
	}
	b := h.get(acmeLog + path).want(200).body
	for range seq % 256 {
		b = b[2+binary.BigEndian.Uint16(b):]
	}
	return b[2 : 2+binary.BigEndian.Uint16(b)]
}

func TestProof(t *testing.T) {
	h := start(t, schema.ModeOpen)
	sent := eventWith(`"metadata":{"name":"עברית <b> \" \\ \u2028"},"context":{"location":"=1"}`)
	first := h.append(sent).Entries[0]
	h.append("[" + minimal + "," + minimal + "]")
	v, err := audit.NewVerifier(h.ledger.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	path := events + "/" + first.ID + "/proof"
	answer := h.get(path).want(200)
	proof, err := audit.ParseProof(answer.body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proof.Verify(v); err != nil {
		t.Error(err)
	}
	if string(answer.body) == "" || proof.Entry.ID != first.ID {
		t.Errorf("got %s", answer.body)
	}
	// Altered, it must not verify.
	proof.Entry.Context.Location = "=2"
	if _, err := proof.Verify(v); err == nil {
		t.Error("an altered entry verifies")
	}

	for accept, text := range map[string]bool{
		"text/plain": true, "text/plain;q=0.9, application/json": true, "text/*": true,
		"": false, "*/*": false, "application/json": false, "application/json, text/plain": false, "image/png": false,
	} {
		got := h.get(path, withHeader("Accept", accept)).want(200)
		if is := got.header.Get("Content-Type") == textType; is != text {
			t.Errorf("Accept %q: %s", accept, got.header.Get("Content-Type"))
		}
		if text && string(got.body) != proof.Proof {
			t.Errorf("Accept %q:\n%s\nwant\n%s", accept, got.body, proof.Proof)
		}
	}
}

func TestTilesThatAreNotThere(t *testing.T) {
	h := start(t, schema.ModeOpen)
	h.append(strings.Repeat(minimal+"\n", 300), withHeader("Content-Type", ndjson))
	for _, path := range []string{
		"0/000", "0/001.p/44", "0/001.p/1", "0/000.p/255", "1/000.p/1", "entries/000", "entries/001.p/44", "entries/000.p/7",
	} {
		got := h.get(acmeLog + "tile/" + path).want(200)
		cache, kind := got.header.Get("Cache-Control"), got.header.Get("Content-Type")
		if !strings.Contains(cache, "immutable") || !strings.Contains(cache, "private") || kind != "application/octet-stream" {
			t.Errorf("%s: %q, %q", path, cache, kind)
		}
	}
	for _, path := range []string{
		"0/001", "0/001.p/45", "0/002", "1/000", "1/000.p/2", "2/000.p/1", "63/000.p/1", "64/000", "0/x001/000", "entries/001",
		"00/000", "+0/000", "0/0", "0/0000", "0/x000/000", "0/x001", "0/x001/x000", "0/001/000", "0/+00", "0/ 00", "0/000.p/0",
		"0/000.p/256", "0/000.p/01", "0/000.p/+1", "0/000.p/", "0/000.p", "0/000/", "x/000", "-1/000", "0/999999", "entries", "entries/",
		"0/" + strings.Repeat("x999/", 12) + "999", "8/0/000",
	} {
		if got := h.get(acmeLog + "tile/" + path); got.status != 404 {
			t.Errorf("%s: %d", path, got.status)
		}
	}
}

func TestParseIndex(t *testing.T) {
	for text, want := range map[string]uint64{
		"000": 0, "067": 67, "999": 999, "x001/000": 1000, "x001/x234/067": 1_234_067, "x999/x999/999": 999_999_999,
	} {
		if got, ok := parseIndex(text); got != want || !ok {
			t.Errorf("%s: %d, %v, want %d", text, got, ok, want)
		}
	}
}

// TestBundlesAreCompressed when asked.
func TestBundlesAreCompressed(t *testing.T) {
	h := start(t, schema.ModeOpen)
	h.append(strings.Repeat(minimal+"\n", 256), withHeader("Content-Type", ndjson))
	plain := h.get(acmeLog+"tile/entries/000", withHeader("Accept-Encoding", "identity")).want(200)
	for _, accept := range []string{"gzip", "deflate, gzip;q=0.5", "br, gzip"} {
		got := h.get(acmeLog+"tile/entries/000", withHeader("Accept-Encoding", accept)).want(200)
		if got.header.Get("Content-Encoding") != "gzip" || unzip(t, got.body) != string(plain.body) {
			t.Errorf("%s: %q, %d bytes", accept, got.header.Get("Content-Encoding"), len(got.body))
		}
	}
	for _, accept := range []string{"identity", "gzip;q=0", "br"} {
		if got := h.get(acmeLog+"tile/entries/000", withHeader("Accept-Encoding", accept)).want(200); got.header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %q", accept, got.header.Get("Content-Encoding"))
		}
	}
}

// TestCheckpointOfAnEmptyLog: it is a log like any other.
func TestCheckpointOfAnEmptyLog(t *testing.T) {
	h := start(t, schema.ModeOpen)
	got := h.get(acmeLog + "checkpoint").want(200)
	checkpoint, err := audit.OpenCheckpoint(got.body, h.ledger.LogVerifierKey("acme"))
	if err != nil || checkpoint.Size != 0 || got.header.Get("Cache-Control") != "no-cache" {
		t.Errorf("%+v, %v, %q", checkpoint, err, got.header.Get("Cache-Control"))
	}
}

// TestProofText holds the JSON of a proof to one that package audit writes.
func TestProofText(t *testing.T) {
	h := start(t, schema.ModeOpen)
	id := h.append(eventWith(`"metadata":{"k":"\u0001\u2028</script>"}`)).Entries[0].ID
	answer := h.get(events + "/" + id + "/proof").want(200)
	var proof audit.Proof
	answer.into(&proof)
	again, err := json.Marshal(proof)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if json.Unmarshal(answer.body, &a) != nil || json.Unmarshal(again, &b) != nil || fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("answered\n%s\nwritten by package audit\n%s", answer.body, again)
	}
}

// FuzzParseTile holds what is read from a path to the one way to write it.
func FuzzParseTile(f *testing.F) {
	for _, path := range []string{"0/000", "63/x001/x234/067.p/255", "entries/999.p/1", "entries/x999/999", "0/x018/x014/x398/x509/x481/x984"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		at, ok := parseTile(path)
		if !ok {
			return
		}
		level := at.level
		if at.entries {
			level = -1
		}
		if got := audit.TilePath(level, at.index, at.width); got != "tile/"+path {
			t.Errorf("%q is read as %+v, which is written %q", path, at, got)
		}
	})
}
