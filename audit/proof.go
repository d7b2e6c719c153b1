package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Proof is an entry with all that is needed to check, without the server, that
// it is in its organization's log: the JSON answered at
// /v1/organizations/{organization}/events/{id}/proof.
type Proof struct {
	// Entry is what is proved.
	Entry Entry `json:"entry"`
	// Record is the exact text of the entry's record.
	Record string `json:"record"`
	// Salt is that of the record's digest of the details, SaltBytes long;
	// absent for an entry whose details were erased.
	Salt []byte `json:"salt,omitempty"`
	// Proof is an [InclusionProof] as text (C2SP tlog-proof).
	Proof string `json:"proof"`
}

// ParseProof reads a proof from JSON that can be read in one way only: no key is
// unknown or there twice, and nothing in it is left out of the result. Errors are
// *[VerifyError] with CheckFormat.
func ParseProof(data []byte) (*Proof, error) {
	v, err := decodeStrict(data)
	if err != nil {
		return nil, failed(CheckFormat, "the proof cannot be read: %v", err)
	}
	members, ok := v.(map[string]any)
	if !ok {
		return nil, failed(CheckFormat, "the proof is no JSON object")
	}
	for key := range members {
		if !slices.Contains([]string{"entry", "record", "salt", "proof"}, key) {
			return nil, failed(CheckFormat, "the proof has an unknown member %q", shorten(key))
		}
	}
	p := new(Proof)
	if err := json.Unmarshal(data, p); err != nil {
		return nil, failed(CheckFormat, "the proof cannot be read: %v", err)
	}
	if err := sameEntry(members["entry"], &p.Entry); err != nil {
		return nil, err
	}
	return p, nil
}

// sameEntry says whether JSON of an entry says more or other than the entry that
// was read from it.
func sameEntry(v any, e *Entry) error {
	written, err := e.MarshalJSON()
	if err != nil {
		return failed(CheckFormat, "the entry is not one that a log can hold: %v", err)
	}
	again, err := decodeStrict(written)
	if err != nil {
		return failed(CheckFormat, "the entry is not one that a log can hold: %v", err)
	}
	given, err := appendCanonical(nil, v)
	if err != nil {
		return failed(CheckFormat, "the entry is not one that a log can hold: %v", err)
	}
	if read, err := appendCanonical(nil, again); err != nil || !bytes.Equal(given, read) {
		return failed(CheckFormat, "the entry has members that are unknown, or times or numbers that are not as a server writes them")
	}
	return nil
}

// Verify checks everything that a proof says, and returns the signed checkpoint
// that it hangs on: a known key signed the checkpoint, the checkpoint is of the
// entry's organization, the entry is what the record says, its details have the
// record's digest, and the record is at the entry's seq in the tree.
//
// Of an entry whose details were erased (Entry.ErasedAt is set) the record and
// its place are checked, and that no details are claimed: what they were, nobody
// can tell any more.
//
// Only Entry.Schema, which says how the server judged the event, and
// Entry.ErasedAt are not covered. Errors are *[VerifyError], different for each
// check.
func (p *Proof) Verify(v *Verifier) (Checkpoint, error) {
	inclusion, err := ParseInclusionProof(p.Proof)
	if err != nil {
		return Checkpoint{}, err
	}
	c, err := v.Open(inclusion.Checkpoint)
	if err != nil {
		return Checkpoint{}, err
	}
	if org := c.OrganizationID(); org != p.Entry.OrganizationID {
		return Checkpoint{}, failed(CheckOrigin, "the entry is of organization %q, the checkpoint of %q", p.Entry.OrganizationID, c.Origin)
	}
	if err := p.checkPlace(inclusion.Index); err != nil {
		return Checkpoint{}, err
	}
	if err := p.checkRecord(); err != nil {
		return Checkpoint{}, err
	}
	if err := inclusion.Check(c, LeafHash([]byte(p.Record))); err != nil {
		return Checkpoint{}, err
	}
	return c, nil
}

// checkPlace says whether seq, id and time of receipt agree with the place that
// is proved.
func (p *Proof) checkPlace(index uint64) error {
	e := &p.Entry
	if e.Seq != index {
		return failed(CheckPlace, "the entry has seq %d, the proof is of entry %d", e.Seq, index)
	}
	ms, seq, ok := parseID(e.ID)
	if !ok {
		return failed(CheckPlace, "%q is not the id of an entry", shorten(e.ID))
	}
	if seq != e.Seq || ms != e.ReceivedAt.UnixMilli() {
		return failed(CheckPlace, "the id %s is not of an entry with seq %d received at %s", e.ID, e.Seq, e.ReceivedAt.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	return nil
}

// checkRecord says whether the record is that of the entry.
func (p *Proof) checkRecord() error {
	if !p.Entry.ErasedAt.IsZero() {
		return p.checkErased()
	}
	if len(p.Salt) != SaltBytes {
		return failed(CheckDetails, "the salt has %d bytes, not %d", len(p.Salt), SaltBytes)
	}
	want, err := p.Entry.Record([SaltBytes]byte(p.Salt))
	if err != nil {
		return failed(CheckRecord, "the entry is not one that a log can hold: %v", err)
	}
	if string(want) == p.Record {
		return nil
	}
	// What differs?
	v, err := decodeStrict([]byte(p.Record))
	if err != nil {
		return failed(CheckRecord, "the record cannot be read: %v", err)
	}
	recorded, _ := v.(map[string]any)
	digest, _ := recorded["details"].(string)
	same, err := p.Entry.appendRecord(nil, digest)
	if err == nil && string(same) == p.Record {
		return failed(CheckDetails, "name, metadata or context of the entry are not what was recorded: they do not have the record's digest")
	}
	if name := differingMember(recorded, want); name != "" {
		return failed(CheckRecord, "%s of the entry is not what was recorded", name)
	}
	return failed(CheckRecord, "the record is not written as canonical JSON")
}

// checkErased says whether the record is that of an entry whose details were
// erased, which has none.
func (p *Proof) checkErased() error {
	if len(p.Salt) > 0 {
		return failed(CheckDetails, "the entry says that its details were erased, but the proof has their salt")
	}
	if details, err := p.Entry.Details(); err != nil || string(details) != "{}" {
		return failed(CheckDetails, "the entry says that its details were erased, but it has a name, metadata or context")
	}
	v, err := decodeStrict([]byte(p.Record))
	if err != nil {
		return failed(CheckRecord, "the record cannot be read: %v", err)
	}
	recorded, _ := v.(map[string]any)
	digest, _ := recorded["details"].(string)
	if sum, err := base64.RawURLEncoding.Strict().DecodeString(digest); err != nil || len(sum) != sha256.Size {
		return failed(CheckRecord, "details of the record are not the digest of any")
	}
	want, err := p.Entry.appendRecord(nil, digest)
	if err != nil {
		return failed(CheckRecord, "the entry is not one that a log can hold: %v", err)
	}
	if string(want) == p.Record {
		return nil
	}
	if name := differingMember(recorded, want); name != "" {
		return failed(CheckRecord, "%s of the entry is not what was recorded", name)
	}
	return failed(CheckRecord, "the record is not written as canonical JSON")
}

// differingMember names a member that a record has otherwise than it should; ""
// when they differ in form alone.
func differingMember(recorded map[string]any, want []byte) string {
	v, _ := decodeStrict(want) // it was written just now
	wanted, _ := v.(map[string]any)
	for _, name := range []string{"id", "action", "version", "occurred_at", "received_at", "actor", "targets", "details"} {
		a, errA := appendCanonical(nil, recorded[name])
		b, errB := appendCanonical(nil, wanted[name])
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			return name
		}
	}
	for name := range recorded {
		if _, ok := wanted[name]; !ok {
			return fmt.Sprintf("%q", shorten(name))
		}
	}
	return ""
}

// crockford is the alphabet of ULIDs.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// parseID reads the parts of an entry's id that have a meaning: milliseconds and
// seq. The check bits, which only the server can check, are left out.
func parseID(id string) (ms int64, seq uint64, ok bool) {
	if len(id) != 26 || id[0] > '7' {
		return 0, 0, false
	}
	// 10 letters of 5 bits are 50, of which the first two are 0; then 16
	// letters: 8 of seq, 8 of check.
	for i := range 18 {
		d := strings.IndexByte(crockford, id[i])
		if d < 0 {
			return 0, 0, false
		}
		if i < 10 {
			ms = ms<<5 | int64(d)
		} else {
			seq = seq<<5 | uint64(d)
		}
	}
	check := strings.Trim(id[18:], crockford)
	return ms, seq, check == ""
}
