package audit

import (
	"fmt"
	"strconv"
	"strings"
)

// EvidenceReport says what was verified in an evidence zip.
type EvidenceReport struct {
	// Manifest is what the zip says of itself, nil when it could not be read.
	Manifest *EvidenceManifest `json:"manifest,omitempty"`
	// KeyKnown says that the keys were given; else the zip's own was used.
	KeyKnown bool `json:"key_known"`
	// Checkpoint is the signed checkpoint that all of it hangs on.
	Checkpoint Checkpoint `json:"checkpoint"`
	// Signed is that checkpoint as it is signed, to be kept for
	// [EvidenceOptions.Older] next time.
	Signed []byte `json:"-"`
	// Older is the older checkpoint in the zip, and Kept the one that was
	// given: the log extends them. Nil when there was none.
	Older *Checkpoint `json:"older,omitempty"`
	Kept  *Checkpoint `json:"kept,omitempty"`
	// Rows are in both files, as recorded and in their places; Erased of them
	// have no details any more.
	Rows   uint64 `json:"rows"`
	Erased uint64 `json:"erased"`
	// LeftOut and Removed are how many entries of the range the filter left
	// out and retention removed. With Rows they make up the range.
	LeftOut uint64 `json:"left_out"`
	Removed uint64 `json:"removed"`
	// Problems are what is wrong, nil when all was verified.
	Problems []*VerifyError `json:"problems,omitempty"`
}

// Verified says in sentences what was verified; nothing when there are problems.
func (r *EvidenceReport) Verified() []string {
	if len(r.Problems) > 0 || r.Manifest == nil {
		return nil
	}
	c := r.Checkpoint
	key := "the key that came with the file"
	if r.KeyKnown {
		key = "the key that you gave"
	}
	said := []string{fmt.Sprintf("The checkpoint of the log %s, of its first %s, is signed with %s.", c.Origin, number(c.Size, "entry", "entries"), key)}
	switch r.Rows {
	case 0:
		said = append(said, "There is no row, in the JSONL and in the CSV alike.")
	case 1:
		said = append(said, "The row is in its place in that log, and says what was recorded, in the JSONL and in the CSV alike.")
	default:
		said = append(said, fmt.Sprintf("Each of the %s is in its place in that log, and says what was recorded, in the JSONL and in the CSV alike.", number(r.Rows, "row", "rows")))
	}
	if r.Erased > 0 {
		said = append(said, fmt.Sprintf("The details of %s were erased: names, metadata and context are gone; who did what to what, and when, is as it was recorded.", number(r.Erased, "row", "rows")))
	}
	said = append(said, r.complete())
	if r.Older != nil {
		said = append(said, fmt.Sprintf("The log extends the older checkpoint in the file, of %s: none of those was altered or removed from the tree.", number(r.Older.Size, "entry", "entries")))
	}
	if r.Kept != nil {
		said = append(said, fmt.Sprintf("The log extends the checkpoint that you gave, of %s: none of those was altered or removed from the tree.", number(r.Kept.Size, "entry", "entries")))
	}
	return append(said, "Every file is the one that was written, and the manifest that lists them is signed with the same key.")
}

// complete says what became of each entry of the range.
func (r *EvidenceReport) complete() string {
	from, to := r.Manifest.Range.From, r.Manifest.Range.To
	switch {
	case from == to:
		return "The range has no entries, so none is missing."
	case r.LeftOut+r.Removed == 0 && to-from == 1:
		return fmt.Sprintf("Nothing is missing: entry %s is here.", digits(from))
	case r.LeftOut+r.Removed == 0:
		return fmt.Sprintf("Nothing is missing: every entry from %s to %s is here.", digits(from), digits(to-1))
	}
	parts := []string{number(r.Rows, "is", "are") + " here"}
	if r.Rows == 0 {
		parts[0] = "none is here"
	}
	if r.LeftOut > 0 {
		parts = append(parts, number(r.LeftOut, "was", "were")+" left out by the filter")
	}
	if r.Removed > 0 {
		parts = append(parts, number(r.Removed, "was", "were")+" removed by retention")
	}
	last := len(parts) - 1
	return fmt.Sprintf("Nothing is missing: of the %s from %s to %s, %s and %s.", number(to-from, "entry", "entries"),
		digits(from), digits(to-1), strings.Join(parts[:last], ", "), parts[last])
}

// NotVerified says in sentences what nobody can verify with the zip alone, and
// what to do about it; nothing when there are problems.
func (r *EvidenceReport) NotVerified() []string {
	if len(r.Problems) > 0 || r.Manifest == nil {
		return nil
	}
	m := r.Manifest
	var said []string
	if !r.KeyKnown {
		said = append(said, fmt.Sprintf("Whose key it is: anybody can put a key into a file. Compare it with the one that the product gives, or give that one to the verifier. The key in the file is %s", m.Vkey))
	}
	if r.Older == nil && r.Kept == nil {
		said = append(said, "Whether the log is the one that was shown before: nothing older was compared. Keep the checkpoint for next time.")
	}
	if r.LeftOut > 0 {
		said = append(said, fmt.Sprintf("That what was left out does not match the filter %s: of those entries only hashes are here.", m.Filter))
	}
	if !m.Received.From.IsZero() || !m.Received.To.IsZero() {
		said = append(said, "That the range is all that was received in the period: of the entries around it only hashes are here.")
	}
	if r.Removed > 0 {
		said = append(said, "That what was removed was due: only hashes are left of it. The server signs a certificate of each removal.")
	}
	if r.Erased > 0 {
		said = append(said, "What the erased details were, and that they had to go.")
	}
	return append(said, "What the server says of the export itself (who asked, when, the filter, schema marks): it is signed, but not in the log.")
}

// number writes a number with its unit.
func number(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return digits(n) + " " + many
}

// digits writes a number with commas.
func digits(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
