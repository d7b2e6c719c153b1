package audit

import (
	"golang.org/x/mod/sumdb/tlog"
)

// Extends says whether the log of checkpoint c is that of an older checkpoint,
// grown: proof is the consistency proof between the two (RFC 6962), empty when
// their sizes are equal or the older one's is zero. Errors are *[VerifyError].
func (c Checkpoint) Extends(older Checkpoint, proof []tlog.Hash) error {
	switch {
	case older.Origin != c.Origin:
		return failed(CheckOrigin, "the older checkpoint is of the log %q, the newer of %q", older.Origin, c.Origin)
	case older.Size > c.Size:
		return failed(CheckConsistency, "the log has %d entries, but had %d when the older checkpoint was signed", c.Size, older.Size)
	case older.Size == 0:
		if empty, _ := tlog.TreeHash(0, nil); older.Root != empty {
			return differs(older)
		}
		return nil
	case older.Size == c.Size:
		if older.Root != c.Root {
			return differs(older)
		}
		return nil
	}
	tree, old := c.tree(), older.tree()
	if tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash) != nil {
		return differs(older)
	}
	return nil
}

func differs(older Checkpoint) error {
	return failed(CheckConsistency, "the log does not extend the older checkpoint: its first %d entries are not what they were", older.Size)
}
