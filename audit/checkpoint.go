package audit

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint says that the tree of a log has a size and a root (C2SP
// tlog-checkpoint).
type Checkpoint struct {
	// Origin names the log: "<server name>/<organization id>".
	Origin string `json:"origin"`
	// Size is the number of entries, at most 2^63-1.
	Size uint64 `json:"size"`
	// Root is the hash of the tree of that size.
	Root tlog.Hash `json:"root"`
}

// String is the checkpoint's text, the part that is signed: origin, size and root
// on a line each.
func (c Checkpoint) String() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, c.Root)
}

// OrganizationID is the organization whose log it is: what follows the last slash
// of Origin.
func (c Checkpoint) OrganizationID() string {
	return c.Origin[strings.LastIndexByte(c.Origin, '/')+1:]
}

// tree is the checkpoint as package tlog has it.
func (c Checkpoint) tree() tlog.Tree {
	return tlog.Tree{N: int64(c.Size), Hash: c.Root} //nolint:gosec // ParseCheckpoint refuses more
}

// ParseCheckpoint reads a checkpoint's text, without signatures. Lines after the
// root, which other logs may have, are left out.
func ParseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[len(lines)-1] != "" {
		return Checkpoint{}, errors.New("a checkpoint has three lines at least: origin, size, root")
	}
	if slices.Contains(lines[:len(lines)-1], "") {
		return Checkpoint{}, errors.New("a checkpoint has no empty line")
	}
	size, err := strconv.ParseUint(lines[1], 10, 64)
	if err != nil || size > math.MaxInt64 || lines[1] != strconv.FormatUint(size, 10) {
		return Checkpoint{}, fmt.Errorf("%q is not the size of a tree", shorten(lines[1]))
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil || root.String() != lines[2] {
		return Checkpoint{}, fmt.Errorf("%q is not the hash of a root", shorten(lines[2]))
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: root}, nil
}

// Verifier checks the signatures of checkpoints with the public keys of a server
// or of a log. It may be used concurrently.
type Verifier struct {
	keys note.Verifiers
}

// NewVerifier makes a Verifier of verifier keys (C2SP signed-note), such as a
// server gives at /v1/log/vkey for all its logs and at
// /v1/organizations/{organization}/log/vkey for one. With several, as after a
// change of keys, a signature by any of them suffices.
//
// A key is good for logs whose origin is its name, or its name, a slash and an
// organization.
func NewVerifier(vkeys ...string) (*Verifier, error) {
	v := &Verifier{}
	var list []note.Verifier
	seen := map[string]bool{}
	for _, vkey := range vkeys {
		key, err := note.NewVerifier(strings.TrimSpace(vkey))
		if err != nil {
			return nil, fmt.Errorf("%q is not a verifier key (name+hash+key)", shorten(vkey))
		}
		// One that is there twice would be ambiguous.
		if id := fmt.Sprintf("%s+%08x", key.Name(), key.KeyHash()); !seen[id] {
			seen[id] = true
			list = append(list, key)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("a verifier needs a key")
	}
	v.keys = note.VerifierList(list...)
	return v, nil
}

// Open checks a signed checkpoint: that a known key signed it, that no signature
// by a known key is wrong, and that its origin is one the key is good for. Errors
// are *[VerifyError].
func (v *Verifier) Open(signed []byte) (Checkpoint, error) {
	n, err := v.open(signed, "the checkpoint")
	if err != nil {
		return Checkpoint{}, err
	}
	c, err := ParseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, failed(CheckFormat, "the checkpoint cannot be read: %v", err)
	}
	if !goodFor(n, c.Origin) {
		return Checkpoint{}, failed(CheckOrigin, "the checkpoint is of the log %q, for which the key that signed it is not good", c.Origin)
	}
	return c, nil
}

// OpenNote checks a signed note about a log that is no checkpoint, such as a
// destruction certificate, and returns its text after the first line: a known key
// signed it, no signature by a known key is wrong, and the first line is
// firstLine, which begins with the origin of a log that the key is good for, and a
// space. Errors are *[VerifyError].
func (v *Verifier) OpenNote(signed []byte, firstLine string) (string, error) {
	n, err := v.open(signed, "the note")
	if err != nil {
		return "", err
	}
	first, text, _ := strings.Cut(n.Text, "\n")
	if first != firstLine {
		return "", failed(CheckFormat, "the note begins with %q, not with %q", shorten(first), shorten(firstLine))
	}
	origin, _, ok := strings.Cut(firstLine, " ")
	if !ok || !goodFor(n, origin) {
		return "", failed(CheckOrigin, "the note is about the log %q, for which the key that signed it is not good", shorten(origin))
	}
	return text, nil
}

// open checks the signatures of a note, which an error calls what.
func (v *Verifier) open(signed []byte, what string) (*note.Note, error) {
	n, err := note.Open(signed, v.keys)
	if _, ok := errors.AsType[*note.UnverifiedNoteError](err); ok {
		return nil, failed(CheckSignature, "%s is not signed by a key that was given", what)
	}
	if bad, ok := errors.AsType[*note.InvalidSignatureError](err); ok {
		return nil, failed(CheckSignature, "the signature of %s by %s is wrong: it was altered, or another key signed it", what, bad.Name)
	}
	if err != nil {
		return nil, failed(CheckFormat, "%s is not a signed note", what)
	}
	return n, nil
}

// goodFor reports whether one of the keys that signed a note is good for a log.
func goodFor(n *note.Note, origin string) bool {
	organization := origin[strings.LastIndexByte(origin, '/')+1:]
	return slices.ContainsFunc(n.Sigs, func(sig note.Signature) bool {
		return sig.Name == origin || sig.Name+"/"+organization == origin
	})
}

// OpenCheckpoint checks a signed checkpoint with one verifier key. Errors about
// the checkpoint are *[VerifyError].
func OpenCheckpoint(signed []byte, vkey string) (Checkpoint, error) {
	v, err := NewVerifier(vkey)
	if err != nil {
		return Checkpoint{}, err
	}
	return v.Open(signed)
}
