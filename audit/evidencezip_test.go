package audit_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
)

// exported is an export of evidence as a server would make it, made of plain
// parts and with nothing of what it tests but the forms of lines.
type exported struct {
	log      *testLog
	size     int // of the checkpoint
	from, to int // range
	filter   string
	match    func(e *audit.Entry) bool // nil: all
	removed  func(seq int) bool        // nil: none
	older    int                       // size of the older checkpoint; -1: none
	received audit.EvidencePeriod
	raw      bool
}

// evidence is an export whose parts can be altered.
type evidence struct {
	log      *testLog
	manifest *audit.EvidenceManifest
	entries  []*audit.Entry // of the rows
	files    map[string][]byte
	// order is that of the files in the zip.
	order []string
}

func (x exported) why(seq int) audit.Why {
	switch {
	case seq < x.from || seq >= x.to:
		return audit.WhyOutside
	case x.removed != nil && x.removed(seq):
		return audit.WhyRemoved
	case x.match != nil && !x.match(&x.log.entries[seq]):
		return audit.WhyFilter
	}
	return ""
}

// make writes the export.
func (x exported) make(t testing.TB) *evidence {
	t.Helper()
	ev := &evidence{log: x.log, files: map[string][]byte{}, order: []string{
		"entries.jsonl", "entries.csv", "proof/tree.jsonl", "proof/checkpoint", "proof/older-checkpoint", "proof/consistency",
		"verify.html", "manifest.json", "manifest.note",
	}}
	m := &audit.EvidenceManifest{
		Format: audit.EvidenceFormat, Organization: audit.EvidenceOrganization{ID: "org_1", Name: "Acme"}, Origin: logOrigin,
		Filter: x.filter, Range: audit.EvidenceRange{From: uint64(x.from), To: uint64(x.to)}, Received: x.received,
		RequestedBy: audit.EvidenceRequester{Type: "user", ID: "u_7", Name: "Grace"},
		CreatedAt:   time.UnixMilli(1_772_000_100_120).UTC(), Zone: "Europe/Berlin",
		CSV:        audit.EvidenceCSV{TargetGroups: 1, RawCells: x.raw},
		Checkpoint: audit.EvidenceTree{Size: uint64(x.size), Root: x.log.root(t, x.size)},
		Vkey:       x.log.logKey, Server: audit.EvidenceServer{Name: serverName, Version: "v1.2.3"},
	}
	ev.manifest = m
	if x.to > 0 {
		m.CompleteThrough = &audit.Position{Seq: uint64(x.to) - 1, ReceivedAt: x.log.entries[x.to-1].ReceivedAt}
	}
	var rows []*audit.Entry
	var tree []byte
	for seq := 0; seq < x.size; {
		why := x.why(seq)
		if why == "" {
			e := &x.log.entries[seq]
			rows = append(rows, e)
			tree = appendNode(t, tree, x.log, seq)
			seq++
			continue
		}
		level := 0
		for n := 2; seq%n == 0 && seq+n <= x.size && x.allWhy(seq, n, why); n *= 2 {
			level++
		}
		hash := x.log.hashes[tlog.StoredHashIndex(level, int64(seq)>>level)]
		tree = audit.AppendEvidenceSubtree(tree, uint64(seq), level, hash, why)
		seq += 1 << level
	}
	ev.files["proof/tree.jsonl"] = tree
	ev.rows(t, rows)
	ev.files["proof/checkpoint"] = x.log.checkpoint(t, x.size)
	ev.files["verify.html"] = []byte("<!doctype html>\n<title>The verifier</title>\n<p>A server puts its verifier here.</p>\n")
	if x.older >= 0 {
		ev.older(t, x.older, x.size)
	}
	ev.seal(t)
	return ev
}

func (x exported) allWhy(seq, n int, why audit.Why) bool {
	for i := range n {
		if x.why(seq+i) != why {
			return false
		}
	}
	return true
}

// appendNode appends the line of an entry that is included.
func appendNode(t testing.TB, tree []byte, log *testLog, seq int) []byte {
	t.Helper()
	salt := log.salts[seq][:]
	if !log.entries[seq].ErasedAt.IsZero() {
		salt = nil
	}
	tree, err := audit.AppendEvidenceEntry(tree, uint64(seq), log.records[seq], salt)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// rows writes both files of entries, and what the manifest says of them.
func (ev *evidence) rows(t testing.TB, rows []*audit.Entry) {
	t.Helper()
	m := ev.manifest
	m.Rows, m.Erased, m.Schemas, m.CSV.TargetGroups = uint64(len(rows)), 0, nil, 1
	ev.entries = rows
	for i, e := range rows {
		if i == 0 {
			m.FirstSeq = &e.Seq
		}
		m.LastSeq = &e.Seq
		if !e.ErasedAt.IsZero() {
			m.Erased++
		}
		m.CSV.TargetGroups = max(m.CSV.TargetGroups, len(e.Targets))
		m.Schemas = append(m.Schemas, audit.EvidenceSchema{Action: e.Action, Version: e.Version})
	}
	slices.SortFunc(m.Schemas, func(a, b audit.EvidenceSchema) int {
		if c := strings.Compare(a.Action, b.Action); c != 0 {
			return c
		}
		return a.Version - b.Version
	})
	m.Schemas = slices.Compact(m.Schemas)
	ev.files["entries.jsonl"] = jsonlOf(t, rows)
	ev.files["entries.csv"] = csvOf(t, rows, m.CSV)
}

func (ev *evidence) older(t testing.TB, older, size int) {
	t.Helper()
	ev.manifest.Older = &audit.EvidenceTree{Size: uint64(older), Root: ev.log.root(t, older)}
	ev.files["proof/older-checkpoint"] = ev.log.checkpoint(t, older)
	ev.files["proof/consistency"] = nil
	if older == 0 || older == size {
		return
	}
	proof, err := tlog.ProveTree(int64(size), int64(older), ev.log)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range proof {
		ev.files["proof/consistency"] = append(ev.files["proof/consistency"], h.String()+"\n"...)
	}
}

// seal lists the files as they are in the manifest and signs it.
func (ev *evidence) seal(t testing.TB) {
	t.Helper()
	ev.list()
	ev.write(t)
	sum := sha256.Sum256(ev.files["manifest.json"])
	ev.files["manifest.note"] = ev.log.sign(t, ev.manifest.Origin+" evidence v1\n"+hex.EncodeToString(sum[:])+"\n")
}

// list lists the files as they are.
func (ev *evidence) list() {
	ev.manifest.Files = map[string]audit.EvidenceFile{}
	for name, data := range ev.files {
		if !strings.HasPrefix(name, "manifest.") {
			sum := sha256.Sum256(data)
			ev.manifest.Files[name] = audit.EvidenceFile{SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(data))}
		}
	}
}

// write writes the manifest, and leaves its note as it is.
func (ev *evidence) write(t testing.TB) {
	t.Helper()
	var err error
	if ev.files["manifest.json"], err = ev.manifest.Marshal(); err != nil {
		t.Fatal(err)
	}
}

// zip packs the files.
func (ev *evidence) zip(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range ev.order {
		data, ok := ev.files[name]
		if !ok {
			continue
		}
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// jsonlOf writes entries.jsonl.
func jsonlOf(t testing.TB, rows []*audit.Entry) []byte {
	t.Helper()
	var b []byte
	for _, e := range rows {
		line, err := e.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		b = append(append(b, line...), '\n')
	}
	return b
}

// csvOf writes entries.csv, with the quotes that RFC 4180 asks for.
func csvOf(t testing.TB, rows []*audit.Entry, form audit.EvidenceCSV) []byte {
	t.Helper()
	header := strings.Split("id,seq,action,version,occurred_at,received_at,actor_id,actor_type,actor_name,actor_metadata", ",")
	for n := range form.TargetGroups {
		for _, column := range []string{"id", "type", "name", "metadata"} {
			header = append(header, fmt.Sprintf("target_%s_%d", column, n+1))
		}
	}
	out := [][]string{append(header, "context_location", "context_user_agent", "metadata", "erased_at")}
	text := func(s string) string {
		bare := strings.TrimLeft(s, "' ")
		if !form.RawCells && bare != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(bare)[0]) {
			return "'" + s
		}
		return s
	}
	for _, e := range rows {
		v := members(t, e)
		party := func(p map[string]any) []string {
			str := func(key string) string { s, _ := p[key].(string); return text(s) }
			return []string{str("id"), str("type"), str("name"), canonicalText(t, p["metadata"])}
		}
		row := []string{e.ID, strconv.FormatUint(e.Seq, 10), text(e.Action), strconv.Itoa(e.Version), v["occurred_at"].(string), v["received_at"].(string)}
		row = append(row, party(v["actor"].(map[string]any))...)
		targets := v["targets"].([]any)
		for i := range form.TargetGroups {
			if i < len(targets) {
				row = append(row, party(targets[i].(map[string]any))...)
			} else {
				row = append(row, "", "", "", "")
			}
		}
		erased, _ := v["erased_at"].(string)
		out = append(out, append(row, text(e.Context.Location), text(e.Context.UserAgent), canonicalText(t, v["metadata"]), erased))
	}
	var b []byte
	for _, row := range out {
		for i, cell := range row {
			if strings.ContainsAny(cell, "\",\r\n") {
				row[i] = `"` + strings.ReplaceAll(cell, `"`, `""`) + `"`
			}
		}
		b = append(b, strings.Join(row, ",")+"\r\n"...)
	}
	return b
}
