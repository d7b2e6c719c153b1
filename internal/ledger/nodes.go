package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/stelehq/stele/audit"
)

// Nodes returns the maximal complete subtrees that cover the entries from ≤ seq <
// to exactly, left to right, whether the entries are there, hidden or removed.
// from ≤ to ≤ the log's size (invalid_request or not_found, audit.Error). It is
// gone (audit.Error) when an end lies inside a tile (TileWidth) of which nothing
// is left, unless it is a size that was signed; ends at entries that are there,
// and at multiples of TileWidth, always do.
func (l *Ledger) Nodes(ctx context.Context, org string, from, to uint64) ([]Subtree, error) {
	if from > to {
		return nil, audit.Errorf(audit.CodeInvalidRequest, "Entries from %d to %d are none.", from, to)
	}
	head, err := l.Head(ctx, org)
	if err != nil {
		return nil, err
	}
	if to > head.Size {
		return nil, audit.Errorf(audit.CodeNotFound, "The log has %d entries, not %d.", head.Size, to)
	}
	var nodes []Subtree
	for from < to {
		level := bits.Len64(to-from) - 1
		if from > 0 {
			level = min(level, bits.TrailingZeros64(from))
		}
		h, err := l.tiles.node(ctx, org, head.Size, level, from>>level)
		if errors.Is(err, errPruned) {
			return nil, errRetired("Entries around %d were removed by retention, and so were the hashes that cut the log there.", from)
		}
		if err != nil {
			return nil, fmt.Errorf("hash entries from %d: %w", from, err)
		}
		nodes = append(nodes, Subtree{First: from, Level: level, Hash: h})
		from += 1 << level
	}
	return nodes, nil
}

// CheckpointFor returns a signed checkpoint of at least size entries, and what it
// says: the newest one when that suffices, else a new one as [Ledger.Checkpoint]
// makes it. It is not_found (audit.Error) when the log has fewer entries.
func (l *Ledger) CheckpointFor(ctx context.Context, org string, size uint64) ([]byte, audit.Checkpoint, error) {
	head, err := l.Head(ctx, org)
	if err != nil {
		return nil, audit.Checkpoint{}, err
	}
	if size > head.Size {
		return nil, audit.Checkpoint{}, audit.Errorf(audit.CodeNotFound, "The log has %d entries, not %d.", head.Size, size)
	}
	cp, err := l.checkpoint(ctx, org, size)
	return cp.note, cp.Checkpoint, err
}

// SignNote signs a text about an organization's log with the log's key, under the
// two names that checkpoints are signed with: a C2SP signed note, which
// audit.Verifier.OpenNote opens. The text's first line is the log's origin, a
// space and what kind of text it is; the text ends with a newline. A text that
// could be taken for a checkpoint is refused.
func (l *Ledger) SignNote(text, org string) ([]byte, error) {
	return l.signer.signNote(text, l.signer.origin(org))
}

// Origin returns the name of an organization's log, the first line of its
// checkpoints. It does not say that the organization exists.
func (l *Ledger) Origin(org string) string { return l.signer.origin(org) }

var errNoteText = errors.New("sign note: the text must begin with the log's origin, a space and its kind, and must not be a checkpoint's")

// signNote returns a note about the log of an origin, with both signatures.
func (s signer) signNote(text, origin string) ([]byte, error) {
	first, rest, _ := strings.Cut(text, "\n")
	second, _, ok := strings.Cut(rest, "\n")
	if !ok || !strings.HasPrefix(first, origin+" ") || strings.Trim(second, "0123456789") == "" {
		return nil, errNoteText
	}
	return s.signText(text, origin)
}

// signText returns a text with the signatures of the origin and of the server.
func (s signer) signText(text, origin string) ([]byte, error) {
	byOrigin, err := s.as(origin)
	if err != nil {
		return nil, err
	}
	byServer, err := s.as(s.name)
	if err != nil {
		return nil, err
	}
	return note.Sign(&note.Note{Text: text}, byOrigin, byServer)
}
