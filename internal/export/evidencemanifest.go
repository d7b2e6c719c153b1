package export

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
)

// zip puts the zip together.
func (ev *evidence) zip(ctx context.Context) error {
	z := ev.newZip()
	for _, f := range ev.packing.files {
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("write zip: %w", err)
		}
		if err := z.copy(f); err != nil {
			return err
		}
	}
	m, err := ev.manifest(ctx)
	if err != nil {
		return err
	}
	if err := z.small("proof/checkpoint", ev.signed); err != nil {
		return err
	}
	if err := ev.olderFiles(ctx, z, m); err != nil {
		return err
	}
	if err := z.small("verify.html", ev.x.cfg.VerifyPage); err != nil {
		return err
	}
	m.Files = maps.Clone(z.files)
	if err := ev.sign(z, m); err != nil {
		return err
	}
	if err := z.w.Close(); err != nil {
		return fmt.Errorf("write zip: %w", err)
	}
	ev.job.Bytes = ev.written
	return nil
}

// sign writes the manifest and its signature.
func (ev *evidence) sign(z *zipFile, m *audit.EvidenceManifest) error {
	text, err := m.Marshal()
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	note, err := ev.x.cfg.Proofs.SignNote(fmt.Sprintf("%s evidence v1\n%x\n", m.Origin, sha256.Sum256(text)), ev.job.Organization)
	if err != nil {
		return fmt.Errorf("sign manifest: %w", err)
	}
	if err := z.small("manifest.json", text); err != nil {
		return err
	}
	return z.small("manifest.note", note)
}

// olderFiles writes the older checkpoint, if there is one, and the proof that the
// log extends it.
func (ev *evidence) olderFiles(ctx context.Context, z *zipFile, m *audit.EvidenceManifest) error {
	if ev.job.OlderCheckpoint == "" {
		return nil
	}
	older, err := ev.x.olderCheckpoint(ev.job.Organization, ev.job.OlderCheckpoint)
	if err != nil {
		return err
	}
	proof, err := ev.x.proveOlder(ctx, ev.job.Organization, ev.cp, older)
	if err != nil {
		return err
	}
	m.Older = &audit.EvidenceTree{Size: older.Size, Root: older.Root}
	var lines strings.Builder
	for _, h := range proof {
		lines.WriteString(h.String() + "\n")
	}
	if err := z.small("proof/older-checkpoint", []byte(ev.job.OlderCheckpoint)); err != nil {
		return err
	}
	return z.small("proof/consistency", []byte(lines.String()))
}

// manifest says what the zip holds, but for its files.
func (ev *evidence) manifest(ctx context.Context) (*audit.EvidenceManifest, error) {
	j, cfg := ev.job, &ev.x.cfg
	filter := ev.query.Normalize()
	received := audit.EvidencePeriod{From: filter.ReceivedFrom, To: filter.ReceivedTo}
	filter.ReceivedFrom, filter.ReceivedTo = time.Time{}, time.Time{}
	name, err := cfg.named(ctx, j.Organization)
	if err != nil {
		return nil, fmt.Errorf("read organization: %w", err)
	}
	by := j.Creator()
	m := &audit.EvidenceManifest{
		Format:       audit.EvidenceFormat,
		Organization: audit.EvidenceOrganization{ID: j.Organization, Name: name},
		Origin:       ev.cp.Origin,
		Filter:       filter.String(),
		Range:        audit.EvidenceRange{From: ev.from, To: ev.to},
		Received:     received,
		RequestedBy:  audit.EvidenceRequester{Type: string(by.Type), ID: by.ID, Name: by.Name},
		CreatedAt:    j.CreatedAt, Zone: j.Zone, Rows: j.Rows, CompleteThrough: j.Through, Erased: ev.erased,
		Schemas:    slices.SortedFunc(maps.Keys(ev.schemas), compareSchemas),
		CSV:        audit.EvidenceCSV{TargetGroups: ev.form.groups, RawCells: ev.form.raw},
		Checkpoint: audit.EvidenceTree{Size: ev.cp.Size, Root: ev.cp.Root},
		Vkey:       cfg.Proofs.LogVerifierKey(j.Organization),
		Server:     audit.EvidenceServer{Name: strings.TrimSuffix(ev.cp.Origin, "/"+j.Organization), Version: cfg.Version},
	}
	if j.Rows > 0 {
		m.FirstSeq, m.LastSeq = &ev.first, &ev.last
	}
	return m, nil
}

func compareSchemas(a, b audit.EvidenceSchema) int {
	if n := strings.Compare(a.Action, b.Action); n != 0 {
		return n
	}
	return a.Version - b.Version
}

// named is the name of an organization, "" when it has none that is known.
func (c *Config) named(ctx context.Context, org string) (string, error) {
	if c.OrganizationName == nil {
		return "", nil
	}
	return c.OrganizationName(ctx, org)
}

// maxOlder bounds a checkpoint that is given. Those of a log have some hundred
// bytes, and more for each witness.
const maxOlder = 16 << 10

// checkEvidence says whether evidence can be made of what is asked for, and fills
// in what was left out.
func (x *Exports) checkEvidence(ctx context.Context, s *Spec, through *audit.Position) error {
	if s.Format != Evidence {
		if s.Zone != "" || s.OlderCheckpoint != "" {
			return audit.FieldErrorf(audit.CodeInvalidRequest, "/format", "must be evidence for an export with older_checkpoint or zone")
		}
		return nil
	}
	if x.cfg.Proofs == nil {
		return errNoProofs()
	}
	if s.Descending {
		return audit.FieldErrorf(audit.CodeInvalidRequest, "/order", "must be asc: evidence is in the order of the log")
	}
	if s.Zone == "" {
		s.Zone = "UTC"
	}
	if _, err := time.LoadLocation(s.Zone); err != nil || s.Zone == "Local" {
		return audit.FieldErrorf(audit.CodeInvalidRequest, "/zone", "must be an IANA time zone, such as Europe/Berlin")
	}
	if s.OlderCheckpoint == "" {
		return nil
	}
	older, err := x.olderCheckpoint(s.Organization, s.OlderCheckpoint)
	if err != nil {
		return err
	}
	size := older.Size
	if through != nil {
		size = max(size, through.Seq+1)
	}
	_, cp, err := x.cfg.Proofs.CheckpointFor(ctx, s.Organization, size)
	if errors.Is(err, &audit.Error{Code: audit.CodeNotFound}) {
		return errOlder("is of %d entries, and the log has fewer: it is of another log, or the server's store is an older copy", older.Size)
	}
	if err != nil {
		return fmt.Errorf("sign checkpoint: %w", err)
	}
	_, err = x.proveOlder(ctx, s.Organization, cp, older)
	return err
}

func errOlder(format string, args ...any) error {
	return audit.FieldErrorf(audit.CodeInvalidRequest, "/older_checkpoint", format, args...)
}

// olderCheckpoint reads a checkpoint that was given, of this log; the zero
// Checkpoint for "".
func (x *Exports) olderCheckpoint(org, signed string) (audit.Checkpoint, error) {
	if signed == "" {
		return audit.Checkpoint{}, nil
	}
	if len(signed) > maxOlder {
		return audit.Checkpoint{}, errOlder("is longer than %d bytes; a signed checkpoint is not", maxOlder)
	}
	p := x.cfg.Proofs
	keys, err := audit.NewVerifier(p.LogVerifierKey(org), p.VerifierKey())
	if err != nil {
		return audit.Checkpoint{}, fmt.Errorf("read verifier key: %w", err)
	}
	c, err := keys.Open([]byte(signed))
	if fault, ok := errors.AsType[*audit.VerifyError](err); ok {
		return c, errOlder("cannot be used: %s", fault.Message)
	}
	if err != nil {
		return c, fmt.Errorf("open checkpoint: %w", err)
	}
	if origin := p.Origin(org); c.Origin != origin {
		return c, errOlder("is of the log %s, not of %s", c.Origin, origin)
	}
	return c, nil
}

// proveOlder proves that the log extends an older checkpoint, and that the proof
// holds.
func (x *Exports) proveOlder(ctx context.Context, org string, cp, older audit.Checkpoint) (tlog.TreeProof, error) {
	same := errOlder("does not fit this log: its first %d entries are not those that were signed then; keep it, and ask whoever runs the server", older.Size)
	switch older.Size {
	case 0:
		return nil, nil
	case cp.Size:
		if older.Root != cp.Root {
			return nil, same
		}
		return nil, nil
	}
	proof, err := x.cfg.Proofs.ProveTree(ctx, org, cp.Size, older.Size)
	if err != nil {
		return nil, fmt.Errorf("prove that the log extends the older checkpoint: %w", err)
	}
	if tlog.CheckTree(proof, int64(cp.Size), cp.Root, int64(older.Size), older.Root) != nil { //nolint:gosec // sizes of logs
		return nil, same
	}
	return proof, nil
}
