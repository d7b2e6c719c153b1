package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata/vectors.txt")

const vectorsFile = "testdata/vectors.txt"

// TestVectors checks the stored formats against the file of examples. They are
// readable for ever: what is in the file may be added to, but not change.
func TestVectors(t *testing.T) {
	old, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(old), "\n\n")
	var b strings.Builder
	b.WriteString(head + "\n")
	for block := range strings.SplitSeq(rest, "\n\n") {
		b.WriteString("\n" + vector(t, inputs(block)))
	}
	if diff := cmp.Diff(string(old), b.String()); diff == "" {
		return
	} else if !*update {
		t.Fatalf("%s (-file +now): %s", vectorsFile, diff)
	}
	if err := os.WriteFile(vectorsFile, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// inputs reads the lines "name: value" of a block.
func inputs(block string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(block) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			m[name] = strings.TrimSpace(value)
		}
	}
	return m
}

// vector works out a block of the file from its inputs.
func vector(t *testing.T, in map[string]string) string {
	t.Helper()
	var keys Keys
	for _, k := range []struct {
		name string
		to   []byte
	}{{"salt key", keys.Salt[:]}, {"check key", keys.Check[:]}} {
		if n, err := hex.Decode(k.to, []byte(in[k.name])); err != nil || n != 16 {
			t.Fatalf("%s of %s: %v", k.name, in["example"], err)
		}
	}
	e := &Entry{Event: *decode(t, in["event"])}
	e.Unregistered = in["unregistered"] == "true"
	var err error
	if e.Seq, err = strconv.ParseUint(in["seq"], 10, 64); err != nil {
		t.Fatal(err)
	}
	if e.ReceivedAt, err = strconv.ParseInt(in["received_at"], 10, 64); err != nil {
		t.Fatal(err)
	}
	c := keys.Cipher()
	e.Salt, e.ID = c.Salt(e.Seq), c.ID(e.ReceivedAt, e.Seq)
	details := AppendDetails(nil, &e.Event)
	digest := DetailsDigest(&e.Salt, details)
	record := e.AppendRecord(nil)
	leaf := sha256.Sum256(append([]byte{0}, record...))
	var b bytes.Buffer
	for _, line := range [][2]string{
		{"example", in["example"]},
		{"salt key", in["salt key"]},
		{"check key", in["check key"]},
		{"seq", in["seq"]},
		{"received_at", in["received_at"]},
		{"unregistered", strconv.FormatBool(e.Unregistered)},
		{"event", in["event"]},
		{"row", hex.EncodeToString(AppendRow(nil, &e.Event))},
		{"details", string(details)},
		{"salt", hex.EncodeToString(e.Salt[:])},
		{"digest", base64.RawURLEncoding.EncodeToString(digest[:])},
		{"id", e.ID.String()},
		{"record", string(record)},
		{"leaf hash", hex.EncodeToString(leaf[:])},
		{"entry", string(e.AppendJSON(nil, "org_example"))},
	} {
		fmt.Fprintf(&b, "%s: %s\n", line[0], line[1])
	}
	return b.String()
}
