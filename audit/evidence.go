package audit

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// EvidenceOptions says with what [VerifyEvidence] compares. The zero value needs
// nothing but the zip.
type EvidenceOptions struct {
	// Keys are those that the log is known by. Nil means the key that is in
	// the zip, which anybody could have put there: the report says so.
	Keys *Verifier
	// Older is a signed checkpoint that was kept from earlier: the log must
	// extend it.
	Older []byte
	// Progress, when not nil, is called now and then with the number of rows
	// that were verified, and of all that the manifest says there are.
	Progress func(done, total uint64)
}

// VerifyEvidence checks all that an evidence zip says, in constant memory and
// without a server: that the log's checkpoint is signed; that each row of the
// JSONL and of the CSV is as it was recorded and in its place; that none of the
// range is missing but what is said to be; that the log extends older checkpoints;
// that every file is the one that the signed manifest lists. docs/verification.md
// says how. Rows are read ahead and checked by several goroutines, none of which is
// left when it returns.
//
// What is wrong is a *[VerifyError], the first of [EvidenceReport.Problems]; other
// errors come from reading. The report is of use after an error, too: it says what
// the zip claims, where that could be read.
func VerifyEvidence(r io.ReaderAt, size int64, opts EvidenceOptions) (EvidenceReport, error) {
	w := &evidenceWalk{opts: opts}
	err := w.verify(r, size)
	if fault, ok := errors.AsType[*VerifyError](err); ok {
		w.report.Problems = append(w.report.Problems, fault)
		err = nil
	}
	if err == nil && len(w.report.Problems) > 0 {
		err = w.report.Problems[0]
	}
	return w.report, err
}

// evidenceWalk is one verification on its way.
type evidenceWalk struct {
	opts     EvidenceOptions
	report   EvidenceReport
	parts    map[string]*zipPart
	manifest *EvidenceManifest
	keys     *Verifier
	sums     map[string]string // of the files that were read to their end
}

// problem keeps what is wrong and lets the verification go on; an error from
// reading ends it.
func (w *evidenceWalk) problem(err error) error {
	fault, ok := errors.AsType[*VerifyError](err)
	if !ok {
		return err
	}
	w.report.Problems = append(w.report.Problems, fault)
	return nil
}

func (w *evidenceWalk) verify(r io.ReaderAt, size int64) error {
	var err error
	if w.parts, err = openZip(r, size); err != nil {
		return err
	}
	w.sums = map[string]string{}
	manifest, err := w.whole(manifestFile)
	if err != nil {
		return err
	}
	if w.manifest, err = parseManifest(manifest); err != nil {
		return err
	}
	w.report.Manifest = w.manifest
	if err := w.checkManifest(); err != nil {
		return err
	}
	if err := w.openKeys(); err != nil {
		return err
	}
	if err := w.checkpoints(); err != nil {
		return err
	}
	rows := newEvidenceRows(w)
	if err := w.problem(rows.run()); err != nil {
		return err
	}
	if err := w.problem(w.checkNote(manifest)); err != nil {
		return err
	}
	return w.checkSums()
}

// whole reads a small file; openZip has looked at its size.
func (w *evidenceWalk) whole(name string) ([]byte, error) {
	r := w.parts[name].open()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	w.sums[name] = r.sum()
	return data, nil
}

// checkManifest says whether the manifest agrees with itself, so far as the rest
// builds on it.
func (w *evidenceWalk) checkManifest() error {
	m := w.manifest
	through := m.CompleteThrough
	switch {
	case m.Origin[strings.LastIndexByte(m.Origin, '/')+1:] != m.Organization.ID:
		return failedIn(manifestFile, CheckOrigin, "the organization is %q, the log %q", shorten(m.Organization.ID), shorten(m.Origin)).at("origin")
	case m.Checkpoint.Size > maxEvidenceLog:
		return failedIn(manifestFile, CheckManifest, "no log has more than %d entries", uint64(maxEvidenceLog)).at("checkpoint")
	case m.Range.From > m.Range.To || m.Range.To > m.Checkpoint.Size:
		return failedIn(manifestFile, CheckManifest, "entries %d to %d are no range of a log of %d", m.Range.From, m.Range.To, m.Checkpoint.Size).at("range")
	case through == nil && m.Range.To > 0, through != nil && (through.Seq >= m.Checkpoint.Size || m.Range.To > through.Seq+1):
		return failedIn(manifestFile, CheckManifest, "the range ends after the last entry that was considered, or that is after the end of the log").at("complete_through")
	case m.CSV.TargetGroups < 1 || m.CSV.TargetGroups > MaxTargets:
		return failedIn(manifestFile, CheckManifest, "a CSV has 1 to %d groups of target columns", MaxTargets).at("csv")
	}
	return nil
}

// openKeys takes the keys that are known, or the one in the zip.
func (w *evidenceWalk) openKeys() error {
	w.report.KeyKnown = w.opts.Keys != nil
	if w.keys = w.opts.Keys; w.keys != nil {
		return nil
	}
	key, err := NewVerifier(w.manifest.Vkey)
	if err != nil {
		return failedIn(manifestFile, CheckSignature, "its key is not a verifier key").at("vkey")
	}
	w.keys = key
	return nil
}

// checkpoints checks the signed checkpoint and what is older.
func (w *evidenceWalk) checkpoints() error {
	c, err := w.checkpoint(checkpointFile)
	if err != nil {
		return err
	}
	m := w.manifest
	if c.Origin != m.Origin {
		return failedIn(checkpointFile, CheckOrigin, "it is of the log %q, the manifest of %q", shorten(c.Origin), shorten(m.Origin))
	}
	if m.Checkpoint != (EvidenceTree{c.Size, c.Root}) {
		return failedIn(checkpointFile, CheckManifest, "size or root are not what the manifest says").at("checkpoint")
	}
	w.report.Checkpoint = c
	if err := w.older(); err != nil {
		return err
	}
	return w.known()
}

// checkpoint opens a signed checkpoint of the zip.
func (w *evidenceWalk) checkpoint(name string) (Checkpoint, error) {
	signed, err := w.whole(name)
	if err != nil {
		return Checkpoint{}, err
	}
	if name == checkpointFile {
		w.report.Signed = signed
	}
	return w.open(name, signed)
}

// open is Verifier.Open with an error that names the file.
func (w *evidenceWalk) open(name string, signed []byte) (Checkpoint, error) {
	c, err := w.keys.Open(signed)
	if fault, ok := errors.AsType[*VerifyError](err); ok {
		fault.File = name
	}
	return c, err
}

// older says whether the log extends the older checkpoint that is in the zip.
func (w *evidenceWalk) older() error {
	m, c := w.manifest, w.report.Checkpoint
	if (m.Older != nil) != (w.parts[olderFile] != nil) {
		return failedIn(manifestFile, CheckManifest, "it names an older checkpoint and the zip has none, or the other way round").at("older")
	}
	if m.Older == nil {
		return nil
	}
	older, err := w.checkpoint(olderFile)
	if err != nil {
		return err
	}
	switch {
	case older.Origin != c.Origin:
		return failedIn(olderFile, CheckOrigin, "it is of the log %q, not of %q", shorten(older.Origin), shorten(c.Origin))
	case *m.Older != EvidenceTree{older.Size, older.Root}:
		return failedIn(olderFile, CheckManifest, "size or root are not what the manifest says").at("older")
	}
	text, err := w.whole(consistencyFile)
	if err != nil {
		return err
	}
	proof, err := parseConsistency(text)
	if err != nil {
		return err
	}
	if !extends(c, older, proof) {
		return failedIn(consistencyFile, CheckConsistency, "it does not prove that the log of %d entries extends the older checkpoint of %d", c.Size, older.Size)
	}
	w.report.Older = &older
	return nil
}

// parseConsistency reads hashes, one a line.
func parseConsistency(text []byte) (tlog.TreeProof, error) {
	var proof tlog.TreeProof
	for line := range strings.Lines(string(text)) {
		line, ended := strings.CutSuffix(line, "\n")
		h, err := tlog.ParseHash(line)
		if err != nil || !ended || h.String() != line || len(proof) == 2*maxProofHashes {
			return nil, failedIn(consistencyFile, CheckFormat, "it is not a list of hashes, one a line")
		}
		proof = append(proof, h)
	}
	return proof, nil
}

// extends says whether a proof of consistency holds.
func extends(c, older Checkpoint, proof tlog.TreeProof) bool {
	switch {
	case older.Size > c.Size:
		return false
	case older.Size == 0:
		return len(proof) == 0 && older.Root == new(treeFold).root()
	case older.Size == c.Size:
		return len(proof) == 0 && older.Root == c.Root
	}
	tree, old := c.tree(), older.tree()
	return tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash) == nil
}

// known compares with the checkpoint that the caller has kept. Where the zip's own
// older checkpoint is not the same, the tree itself shows it, if it has the hashes.
func (w *evidenceWalk) known() error {
	if w.opts.Older == nil {
		return nil
	}
	kept, err := w.open("", w.opts.Older)
	if fault, ok := errors.AsType[*VerifyError](err); ok {
		fault.Message = "the older checkpoint that you gave: " + fault.Message
		return fault
	}
	c := w.report.Checkpoint
	switch {
	case err != nil:
		return err
	case kept.Origin != c.Origin:
		return failed(CheckOrigin, "the older checkpoint that you gave is of the log %q, the zip of %q", shorten(kept.Origin), shorten(c.Origin))
	case kept.Size > c.Size:
		return failed(CheckConsistency, "the checkpoint that you gave is of %d entries, newer than the zip's of %d: export again to compare them", kept.Size, c.Size)
	}
	w.report.Kept = &kept
	return nil
}

// checkNote says whether the manifest is the one that was signed.
func (w *evidenceWalk) checkNote(manifest []byte) error {
	signed, err := w.whole(noteFile)
	if err != nil {
		return err
	}
	text, err := w.keys.OpenNote(signed, w.manifest.Origin+" evidence v1")
	if fault, ok := errors.AsType[*VerifyError](err); ok {
		fault.File = noteFile
	}
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(manifest); text != hex.EncodeToString(sum[:])+"\n" {
		return failedIn(manifestFile, CheckManifest, "it is not the manifest that was signed: something in it was altered")
	}
	return nil
}

// checkSums says whether every file is the one that the manifest lists.
func (w *evidenceWalk) checkSums() error {
	if _, err := w.whole(verifierFile); err != nil {
		return err
	}
	files := slices.Concat(evidenceFiles, olderFiles)
	for _, name := range files {
		listed, ok := w.manifest.Files[name]
		part := w.parts[name]
		switch own := name == manifestFile || name == noteFile; {
		case ok != (part != nil && !own):
			w.add(failedIn(manifestFile, CheckManifest, "the list of files lacks %s, or has it though it is not there", name).at("files"))
		case part == nil || own:
		case listed.Bytes != part.size || listed.SHA256 != cmp.Or(w.sums[name], listed.SHA256):
			w.add(failedIn(name, CheckManifest, "it is not the file that was written: its SHA-256 or size is not what the manifest lists"))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.manifest.Files)) {
		if !slices.Contains(files, name) {
			w.add(failedIn(manifestFile, CheckManifest, "the list of files has %q, which is no part of evidence", shorten(name)).at("files"))
			break
		}
	}
	return nil
}

func (w *evidenceWalk) add(fault *VerifyError) {
	w.report.Problems = append(w.report.Problems, fault)
}
