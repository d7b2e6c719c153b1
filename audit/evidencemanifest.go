package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// EvidenceFormat is the format of evidence zips that this package knows, as
// manifests name it.
const EvidenceFormat = "stele-evidence/v1"

// EvidenceManifest says what an evidence zip holds, and how it came to be: its
// manifest.json. docs/verification.md says what each member means.
type EvidenceManifest struct {
	Format       string               `json:"format"` // EvidenceFormat
	Organization EvidenceOrganization `json:"organization"`
	// Origin is that of the log's checkpoints.
	Origin string `json:"origin"`
	// Filter is the canonical text of the query, its bounds of received_at
	// left out: these are in Received. "" finds everything.
	Filter string `json:"filter"`
	// Range is of the entries of which none is missing.
	Range EvidenceRange `json:"range"`
	// Received bounds when those entries were received.
	Received    EvidencePeriod    `json:"received"`
	RequestedBy EvidenceRequester `json:"requested_by"`
	CreatedAt   time.Time         `json:"created_at"`
	// Zone is the IANA name of the time zone that whoever asked thinks in.
	Zone string `json:"zone"`
	// Rows is the number of entries in each of the two files; the first and
	// last seq of them are nil when there is none.
	Rows     uint64  `json:"rows"`
	FirstSeq *uint64 `json:"first_seq,omitempty"`
	LastSeq  *uint64 `json:"last_seq,omitempty"`
	// CompleteThrough is the last entry that was considered, nil when the
	// range is of none.
	CompleteThrough *Position `json:"complete_through"`
	// Erased is how many of the rows have no details any more.
	Erased uint64 `json:"erased"`
	// Schemas are the actions and versions of the rows, each pair once, sorted.
	Schemas []EvidenceSchema `json:"schemas"`
	CSV     EvidenceCSV      `json:"csv"`
	// Files are all of the zip but manifest.json and manifest.note.
	Files map[string]EvidenceFile `json:"files"`
	// Checkpoint is the tree that the proof is of; Older, when an older
	// checkpoint was named, what it extends.
	Checkpoint EvidenceTree  `json:"checkpoint"`
	Older      *EvidenceTree `json:"older,omitempty"`
	// Vkey is the log's verifier key.
	Vkey   string         `json:"vkey"`
	Server EvidenceServer `json:"server"`
}

// The parts of an [EvidenceManifest].
type (
	// EvidenceOrganization is whose log it is.
	EvidenceOrganization struct {
		ID   string `json:"id"`
		Name string `json:"name,omitempty"`
	}
	// EvidenceRange is From ≤ seq < To.
	EvidenceRange struct {
		From uint64 `json:"from"`
		To   uint64 `json:"to"`
	}
	// EvidencePeriod is From ≤ received_at < To; the zero time is no bound.
	EvidencePeriod struct {
		From time.Time `json:"from,omitzero"`
		To   time.Time `json:"to,omitzero"`
	}
	// EvidenceRequester is who asked for the export.
	EvidenceRequester struct {
		Type string `json:"type"`
		ID   string `json:"id"`
		Name string `json:"name,omitempty"`
	}
	// EvidenceSchema is a version of an action's schema.
	EvidenceSchema struct {
		Action  string `json:"action"`
		Version int    `json:"version"`
	}
	// EvidenceCSV is the form of the CSV: how many groups of target columns it
	// has, and whether formulas were left as they are.
	EvidenceCSV struct {
		TargetGroups int  `json:"target_groups"`
		RawCells     bool `json:"raw_cells"`
	}
	// EvidenceFile is what a file must be.
	EvidenceFile struct {
		SHA256 string `json:"sha256"` // hexadecimal
		Bytes  int64  `json:"bytes"`
	}
	// EvidenceTree is a tree's size and root.
	EvidenceTree struct {
		Size uint64    `json:"size"`
		Root tlog.Hash `json:"root"`
	}
	// EvidenceServer is what made the export.
	EvidenceServer struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	}
)

// Marshal writes the manifest in its one form: canonical JSON (RFC 8785),
// indented by two spaces a level, and a line feed.
func (m *EvidenceManifest) Marshal() ([]byte, error) {
	text, err := m.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// MarshalJSON writes the manifest as canonical JSON, with times as entries have
// them.
func (m *EvidenceManifest) MarshalJSON() ([]byte, error) {
	type plain EvidenceManifest // without this method
	generic, err := toGeneric((*plain)(m))
	if err != nil {
		return nil, err
	}
	members := generic.(map[string]any) // a struct is an object
	period := map[string]any{}
	for name, t := range map[string]time.Time{"from": m.Received.From, "to": m.Received.To} {
		if t.IsZero() {
			continue
		}
		text, err := appendTime(nil, t)
		if err != nil {
			return nil, fmt.Errorf("received.%s: %w", name, err)
		}
		period[name] = string(text)
	}
	created, err := appendTime(nil, m.CreatedAt)
	if err != nil {
		return nil, fmt.Errorf("created_at: %w", err)
	}
	through, err := m.through()
	if err != nil {
		return nil, err
	}
	members["received"], members["created_at"], members["complete_through"] = period, string(created), through
	if m.Schemas == nil {
		members["schemas"] = []any{}
	}
	if m.Files == nil {
		members["files"] = map[string]any{}
	}
	return appendCanonical(nil, members)
}

// through is complete_through as JSON.
func (m *EvidenceManifest) through() (any, error) {
	if m.CompleteThrough == nil {
		return nil, nil
	}
	received, err := appendTime(nil, m.CompleteThrough.ReceivedAt)
	if err != nil {
		return nil, fmt.Errorf("complete_through.received_at: %w", err)
	}
	return map[string]any{"seq": m.CompleteThrough.Seq, "received_at": string(received)}, nil
}

// parseManifest reads a manifest that is written in the one form: nothing in it
// is unknown, there twice or left out of the result.
func parseManifest(data []byte) (*EvidenceManifest, error) {
	m := new(EvidenceManifest)
	if err := json.Unmarshal(data, m); err != nil {
		return nil, failedIn(manifestFile, CheckFormat, "it is not the JSON that a manifest is")
	}
	if m.Format != EvidenceFormat {
		return nil, failedIn(manifestFile, CheckFormat, "its format is %q, and this verifier knows %q: get a newer one", shorten(m.Format), EvidenceFormat).at("format")
	}
	if again, err := m.Marshal(); err != nil || !bytes.Equal(again, data) {
		return nil, failedIn(manifestFile, CheckFormat, "it is not written as a manifest is: a member is unknown, missing or there twice, or the form is another")
	}
	return m, nil
}
