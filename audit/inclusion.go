package audit

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// proofHeader is the first line of a C2SP tlog-proof.
const proofHeader = "c2sp.org/tlog-proof@v1"

// maxProofHashes is how many hashes a proof in the largest tree has.
const maxProofHashes = 63

// InclusionProof says that a record is at a place of a log (C2SP tlog-proof).
type InclusionProof struct {
	// Index is the place: the entry's seq, at most 2^63-1.
	Index uint64
	// Hashes lead from the record's hash to the root, nearest first.
	Hashes tlog.RecordProof
	// Checkpoint is the signed checkpoint that has the root.
	Checkpoint []byte
	// Extra is what an application puts beside. Stele's proofs have none;
	// nothing authenticates it.
	Extra []byte
}

// String is the proof as text.
func (p InclusionProof) String() string {
	var b strings.Builder
	b.WriteString(proofHeader + "\n")
	if p.Extra != nil {
		b.WriteString("extra " + base64.StdEncoding.EncodeToString(p.Extra) + "\n")
	}
	b.WriteString("index " + strconv.FormatUint(p.Index, 10) + "\n")
	for _, h := range p.Hashes {
		b.WriteString(h.String() + "\n")
	}
	b.WriteByte('\n')
	b.Write(p.Checkpoint)
	return b.String()
}

// ParseInclusionProof reads the text of a proof. The checkpoint in it is not
// looked at. Errors are *[VerifyError] with CheckFormat.
func ParseInclusionProof(text string) (InclusionProof, error) {
	head, checkpoint, ok := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || lines[0] != proofHeader {
		return InclusionProof{}, failed(CheckFormat, "the proof of inclusion does not begin with %q or has no checkpoint", proofHeader)
	}
	p := InclusionProof{Checkpoint: []byte(checkpoint)}
	lines = lines[1:]
	if len(lines) > 0 {
		if extra, ok := strings.CutPrefix(lines[0], "extra "); ok {
			b, err := base64.StdEncoding.Strict().DecodeString(extra)
			if err != nil {
				return InclusionProof{}, failed(CheckFormat, "the extra data of the proof of inclusion are not base64")
			}
			p.Extra, lines = append([]byte{}, b...), lines[1:]
		}
	}
	if err := p.parseIndex(lines); err != nil {
		return InclusionProof{}, err
	}
	if len(lines)-1 > maxProofHashes {
		return InclusionProof{}, failed(CheckFormat, "the proof of inclusion has %d hashes, more than %d", len(lines)-1, maxProofHashes)
	}
	for _, line := range lines[1:] {
		h, err := tlog.ParseHash(line)
		if err != nil || h.String() != line {
			return InclusionProof{}, failed(CheckFormat, "%q in the proof of inclusion is not a hash", shorten(line))
		}
		p.Hashes = append(p.Hashes, h)
	}
	return p, nil
}

func (p *InclusionProof) parseIndex(lines []string) error {
	if len(lines) > 0 {
		digits, ok := strings.CutPrefix(lines[0], "index ")
		n, err := strconv.ParseUint(digits, 10, 64)
		if ok && err == nil && n <= math.MaxInt64 && digits == strconv.FormatUint(n, 10) {
			p.Index = n
			return nil
		}
	}
	return failed(CheckFormat, "the proof of inclusion has no index")
}

// Check says whether the record with this hash is at the proof's place in the
// tree of a checkpoint, which is that of p.Checkpoint, opened. Errors are
// *[VerifyError] with CheckInclusion.
func (p InclusionProof) Check(c Checkpoint, leaf tlog.Hash) error {
	if p.Index >= c.Size {
		return failed(CheckInclusion, "entry %d is not in a log of %d entries", p.Index, c.Size)
	}
	tree := c.tree()
	if err := tlog.CheckRecord(p.Hashes, tree.N, tree.Hash, int64(p.Index), leaf); err != nil { //nolint:gosec // less than Size
		return failed(CheckInclusion, "the record is not entry %d of the log: its hash and those of the proof do not lead to the checkpoint's root", p.Index)
	}
	return nil
}
