package audit

import "golang.org/x/mod/sumdb/tlog"

// Checkpoint says that the tree of a log has a size and a root (C2SP
// tlog-checkpoint).
type Checkpoint struct {
	// Origin names the log: "<server name>/<organization id>".
	Origin string
	// Size is the number of entries.
	Size uint64
	// Root is the hash of the tree of that size.
	Root tlog.Hash
}

// String is the checkpoint's text, the part that is signed.
func (c Checkpoint) String() string { panic("unfinished") }

// ParseCheckpoint reads a checkpoint's text, without signatures.
func ParseCheckpoint(text string) (Checkpoint, error) { panic("unfinished") }

// Verifier checks the signatures of checkpoints.
type Verifier struct{}

// NewVerifier makes a Verifier of verifier keys, as a server gives them at
// /v1/log/vkey.
func NewVerifier(vkeys ...string) (*Verifier, error) { panic("unfinished") }

// Open checks a signed checkpoint.
func (v *Verifier) Open(signed []byte) (Checkpoint, error) { panic("unfinished") }

// OpenCheckpoint checks a signed checkpoint with one verifier key.
func OpenCheckpoint(signed []byte, vkey string) (Checkpoint, error) { panic("unfinished") }
