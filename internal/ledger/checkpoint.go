package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
)

const (
	// verifierKeyRecord is where the KV keeps the server's verifier key, to
	// notice when the signing key is another one than before.
	verifierKeyRecord = "ledger/verifier-key"
	// recordFormat is the first byte of every value the ledger puts into the
	// KV: the version of what follows, a verifier key or a signed checkpoint
	// as text.
	recordFormat = 1
)

var errRecordFormat = errors.New("the record has a format that this version does not know")

// checkpointKey is where the KV keeps the newest signed checkpoint of a log.
func checkpointKey(org string) string { return "checkpoint/" + org }

// signedCheckpoint is a checkpoint with its signatures, and the revision of the
// record that holds it.
type signedCheckpoint struct {
	audit.Checkpoint
	note []byte // nil when there is none
	rev  uint64
}

// Checkpoint returns a checkpoint (C2SP tlog-checkpoint) of the log as it is, a
// signed note with the lines of two keys: [Ledger.LogVerifierKey] and
// [Ledger.VerifierKey]. It signs when the log has grown since the newest
// checkpoint, and remembers durably what it signed before it returns. The caller
// may keep the bytes and must not change them.
//
// A log that is behind a checkpoint it once signed gives unavailable
// (audit.Error); a tree that does not extend it gives an internal error.
func (l *Ledger) Checkpoint(ctx context.Context, org string) ([]byte, error) {
	head, err := l.Head(ctx, org)
	if err != nil {
		return nil, err
	}
	cp, err := l.checkpoint(ctx, org, head.Size)
	if err != nil {
		return nil, err
	}
	return cp.note, nil
}

// VerifierKey returns the key that verifies the checkpoints of every log of this
// server, named like the server, as a note verifier key.
func (l *Ledger) VerifierKey() string { return l.signer.vkey(l.signer.name) }

// LogVerifierKey returns the key that verifies the checkpoints of one log, named
// like the log's origin, as a note verifier key. It is the same key under another
// name; it does not say that the organization exists.
func (l *Ledger) LogVerifierKey(org string) string { return l.signer.vkey(l.signer.origin(org)) }

// checkpoint returns a signed checkpoint of at least size entries: the newest one
// if that suffices, and a new one otherwise.
func (l *Ledger) checkpoint(ctx context.Context, org string, size uint64) (signedCheckpoint, error) {
	lg, err := l.acquire(org)
	if err != nil {
		return signedCheckpoint{}, err
	}
	defer l.release(lg)
	lg.signing.Lock()
	defer lg.signing.Unlock()
	if lg.verified && lg.newest.note != nil && lg.newest.Size >= size {
		return lg.newest, nil
	}
	for range maxReorders {
		cp, err := l.sign(ctx, lg, size)
		if errors.Is(err, catalog.ErrConflict) {
			continue
		}
		if err != nil {
			return signedCheckpoint{}, err
		}
		lg.newest, lg.verified = cp, true
		return cp, nil
	}
	return signedCheckpoint{}, errors.New("sign checkpoint: another server keeps signing")
}

// sign makes a checkpoint of the current head, unless the newest one has size
// entries. Whoever calls it holds lg.signing.
func (l *Ledger) sign(ctx context.Context, lg *logState, size uint64) (signedCheckpoint, error) {
	old, err := l.newestCheckpoint(ctx, lg.org)
	if err != nil {
		return signedCheckpoint{}, err
	}
	head, err := l.Head(ctx, lg.org)
	if err != nil {
		return signedCheckpoint{}, err
	}
	if err := l.verifyExtends(ctx, lg, head, old); err != nil {
		return signedCheckpoint{}, err
	}
	if old.note != nil && old.Size >= size && l.signer.signed(old.note) {
		return old, nil
	}
	cp := signedCheckpoint{Checkpoint: audit.Checkpoint{
		Origin: l.signer.origin(lg.org), Size: head.Size, Root: head.Root(),
	}}
	if cp.note, err = l.signer.sign(cp.Checkpoint); err != nil {
		return signedCheckpoint{}, fmt.Errorf("sign checkpoint: %w", err)
	}
	if cp.Size == 0 {
		return cp, nil // nothing can contradict it: not worth a record
	}
	changes, err := l.noteSize(ctx, lg.org, old, cp.Size)
	if err != nil {
		return signedCheckpoint{}, err
	}
	changes = append(changes, catalog.Change{Key: checkpointKey(lg.org), Value: append([]byte{recordFormat}, cp.note...), Rev: old.rev})
	if err := l.cfg.KV.Apply(ctx, changes...); err != nil {
		if errors.Is(err, ErrDiskFull) {
			return signedCheckpoint{}, audit.Errorf(audit.CodeDiskFull,
				"The server's disk is full; a new checkpoint cannot be signed.")
		}
		return signedCheckpoint{}, fmt.Errorf("remember checkpoint: %w", err)
	}
	return cp, nil
}

// verifyExtends makes sure that a checkpoint of head is consistent with the
// newest one. Once shown, the ledger's own commits keep it so.
func (l *Ledger) verifyExtends(ctx context.Context, lg *logState, head Head, old signedCheckpoint) error {
	if old.note == nil || old.Size == 0 {
		return nil
	}
	if behind(head, old) {
		return l.rolledBack(ctx, lg, head, old)
	}
	if old.Size == head.Size || lg.verified && old.Checkpoint == lg.newest.Checkpoint {
		return nil
	}
	proof, err := tlog.ProveTree(int64(head.Size), int64(old.Size), l.tiles.hashes(ctx, lg.org, head.Size)) //nolint:gosec // below maxEntries
	if err != nil {
		return fmt.Errorf("prove that the log extends its checkpoint of %d entries: %w", old.Size, err)
	}
	if err := tlog.CheckTree(proof, int64(head.Size), head.Root(), int64(old.Size), old.Root); err != nil { //nolint:gosec // below maxEntries
		l.cfg.Logger.ErrorContext(ctx, "the log does not extend the newest checkpoint that was signed: no checkpoint is signed; run a check",
			slog.String("organization", lg.org), slog.Uint64("entries", head.Size), slog.Uint64("checkpoint", old.Size))
		return fmt.Errorf("the tree of %d entries does not extend the checkpoint of %d that was signed: %w", head.Size, old.Size, err)
	}
	return nil
}

// refuseRollback returns an error when the log is behind the newest checkpoint
// that was signed.
func (l *Ledger) refuseRollback(ctx context.Context, lg *logState, head Head) error {
	old, err := l.newestCheckpoint(ctx, lg.org)
	switch {
	case err != nil:
		return l.internalFault(ctx, lg.org, "read newest checkpoint", err)
	case old.note != nil && behind(head, old):
		return l.rolledBack(ctx, lg, head, old)
	}
	return nil
}

// behind reports whether a head contradicts a checkpoint by what it alone says.
func behind(head Head, cp signedCheckpoint) bool {
	return head.Size < cp.Size || head.Size == cp.Size && head.Root() != cp.Root
}

// rolledBack tells the operator, once for each state of the log, that the log is
// behind what was signed, and returns what callers may know.
func (l *Ledger) rolledBack(ctx context.Context, lg *logState, head Head, old signedCheckpoint) error {
	if lg.warned.CompareAndSwap(false, true) {
		l.cfg.Logger.ErrorContext(ctx, "the log is behind a checkpoint that was signed, as after restoring an older copy of the store: "+
			"it takes no events and signs nothing, because that would make two histories of one log; it can be read. "+
			"Restore a copy that has the entries, or record into a new organization",
			slog.String("organization", lg.org), slog.Uint64("entries", head.Size), slog.Uint64("checkpoint", old.Size))
	}
	return audit.Errorf(audit.CodeUnavailable,
		"The log has %d entries, but a checkpoint of %d was signed: the server's store is an older copy. It takes no events until the operator has restored the log; reading works.",
		head.Size, old.Size)
}

// newestCheckpoint reads the newest checkpoint that was signed; its note is nil
// when none was. The signature is not checked: the key may have changed since.
func (l *Ledger) newestCheckpoint(ctx context.Context, org string) (signedCheckpoint, error) {
	rec, err := l.cfg.KV.Get(ctx, checkpointKey(org))
	if errors.Is(err, catalog.ErrNotFound) {
		return signedCheckpoint{}, nil
	}
	if err != nil {
		return signedCheckpoint{}, fmt.Errorf("read newest checkpoint: %w", err)
	}
	signed, ok := bytes.CutPrefix(rec.Value, []byte{recordFormat})
	if !ok {
		return signedCheckpoint{}, fmt.Errorf("read newest checkpoint: %w", errRecordFormat)
	}
	text, _, _ := strings.Cut(string(signed), "\n\n")
	cp, err := audit.ParseCheckpoint(text + "\n")
	if err != nil {
		return signedCheckpoint{}, fmt.Errorf("read newest checkpoint: %w", err)
	}
	return signedCheckpoint{Checkpoint: cp, note: signed, rev: rec.Rev}, nil
}

// rememberKey compares the signing key with the one that was used before, and
// remembers it. It is catalog.ErrConflict when another server just did.
func (l *Ledger) rememberKey(ctx context.Context) error {
	vkey := l.VerifierKey()
	rec, err := l.cfg.KV.Get(ctx, verifierKeyRecord)
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return fmt.Errorf("read verifier key: %w", err)
	}
	value := append([]byte{recordFormat}, vkey...)
	if bytes.Equal(rec.Value, value) {
		return nil
	}
	if err == nil && !l.cfg.AcceptNewKey {
		return fmt.Errorf("the checkpoints of this store were signed with the key of %s, not %s: restore the signing key, or accept the new one",
			rec.Value[min(1, len(rec.Value)):], vkey)
	}
	if err := l.cfg.KV.Apply(ctx, catalog.Change{Key: verifierKeyRecord, Value: value, Rev: rec.Rev}); err != nil {
		return fmt.Errorf("remember verifier key: %w", err)
	}
	return nil
}
