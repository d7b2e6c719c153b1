package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Cosignature says that a witness has seen a checkpoint, and that it extends every
// checkpoint of the log that the witness has seen before (C2SP tlog-cosignature).
type Cosignature struct {
	// Witness is the name that the policy has for the witness.
	Witness string `json:"witness"`
	// Key is the name of the witness's key, as in the checkpoint's signature line.
	Key string `json:"key"`
	// At is when the witness signed, by its own clock.
	At time.Time `json:"at"`
}

// algCosignature is the signature type of timestamped Ed25519 cosignatures.
const algCosignature = 4

// stampBytes is the length of the time before the signature.
const stampBytes = 8

// cosigner verifies the cosignatures of one witness. It is a note.Verifier.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

var errCosigner = errors.New("is not the verifier key of a witness (name+hash+key, of type 4)")

// newCosigner reads a verifier key of type 4.
func newCosigner(vkey string) (*cosigner, error) {
	name, rest, _ := strings.Cut(vkey, "+")
	hash, key, ok := strings.Cut(rest, "+")
	id, err := strconv.ParseUint(hash, 16, 32)
	if !ok || err != nil || len(hash) != 8 || name == "" || strings.ContainsAny(name, " \t\n") {
		return nil, errCosigner
	}
	data, err := base64.StdEncoding.DecodeString(key)
	if err != nil || len(data) != 1+ed25519.PublicKeySize || data[0] != algCosignature {
		return nil, errCosigner
	}
	sum := sha256.Sum256(append([]byte(name+"\n"), data...))
	if binary.BigEndian.Uint32(sum[:]) != uint32(id) {
		return nil, errCosigner
	}
	return &cosigner{name: name, hash: uint32(id), key: data[1:]}, nil
}

// Name implements note.Verifier.
func (c *cosigner) Name() string { return c.name }

// KeyHash implements note.Verifier.
func (c *cosigner) KeyHash() uint32 { return c.hash }

// Verify implements note.Verifier.
func (c *cosigner) Verify(msg, sig []byte) bool {
	at, ok := stampOf(sig)
	if !ok || len(sig) != stampBytes+ed25519.SignatureSize {
		return false
	}
	signed := fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at.Unix(), msg)
	return ed25519.Verify(c.key, signed, sig[stampBytes:])
}

// stampOf reads the time that a cosignature begins with.
func stampOf(sig []byte) (time.Time, bool) {
	if len(sig) < stampBytes {
		return time.Time{}, false
	}
	at := binary.BigEndian.Uint64(sig)
	if at == 0 || at > math.MaxInt64 {
		return time.Time{}, false
	}
	return time.Unix(int64(at), 0).UTC(), true
}

// Cosignatures checks the cosignatures of a signed checkpoint by the policy's
// witnesses; those of others are passed over. One that is wrong is an error, a
// *[VerifyError]. Whether they suffice, [Policy.Satisfied] says; who signed for
// the log itself, [Verifier.Open].
func (p *Policy) Cosignatures(signed []byte) ([]Cosignature, error) {
	verifiers := make([]note.Verifier, len(p.Witnesses))
	for i := range p.Witnesses {
		verifiers[i] = p.Witnesses[i].key
	}
	n, err := note.Open(signed, note.VerifierList(verifiers...))
	if _, none := errors.AsType[*note.UnverifiedNoteError](err); none {
		return nil, nil
	}
	if bad, wrong := errors.AsType[*note.InvalidSignatureError](err); wrong {
		return nil, failed(CheckSignature, "the cosignature by %s is wrong", bad.Name)
	}
	if err != nil {
		return nil, failed(CheckFormat, "the checkpoint is not a signed note")
	}
	var list []Cosignature
	for _, s := range n.Sigs {
		data, err := base64.StdEncoding.DecodeString(s.Base64)
		if err != nil || len(data) < 4 {
			return nil, failed(CheckFormat, "the cosignature by %s cannot be read", s.Name)
		}
		at, _ := stampOf(data[4:]) // verified
		for i := range p.Witnesses {
			if w := &p.Witnesses[i]; w.key.name == s.Name && w.key.hash == s.Hash {
				list = append(list, Cosignature{Witness: w.Name, Key: s.Name, At: at})
			}
		}
	}
	return list, nil
}
