package audit

import "golang.org/x/mod/sumdb/tlog"

// Proof is an entry with all that is needed to check, without the server, that
// it is in its organization's log.
type Proof struct {
	// Entry is what is proved.
	Entry Entry `json:"entry"`
	// Record is the exact text of the entry's record.
	Record string `json:"record"`
	// Salt is that of the details digest, 16 bytes.
	Salt []byte `json:"salt"`
	// Proof is an [InclusionProof] as text (C2SP tlog-proof).
	Proof string `json:"proof"`
}

// ParseProof reads a proof from JSON.
func ParseProof(data []byte) (*Proof, error) { panic("unfinished") }

// Verify checks everything a proof says and returns the checkpoint it hangs on.
func (p *Proof) Verify(v *Verifier) (Checkpoint, error) { panic("unfinished") }

// InclusionProof says that a record is at a place of a log (C2SP tlog-proof).
type InclusionProof struct {
	// Index is the place: the entry's seq.
	Index uint64
	// Hashes lead from the record's hash to the root, nearest first.
	Hashes tlog.RecordProof
	// Checkpoint is the signed checkpoint that has the root.
	Checkpoint []byte
}

// String is the proof as text.
func (p InclusionProof) String() string { panic("unfinished") }

// ParseInclusionProof reads the text of a proof.
func ParseInclusionProof(text string) (InclusionProof, error) { panic("unfinished") }

// Check says whether the record with this hash is in the tree of a checkpoint.
func (p InclusionProof) Check(c Checkpoint, leaf tlog.Hash) error { panic("unfinished") }
