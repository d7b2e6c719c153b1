package ledger

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/stelehq/stele/audit"
)

// GenerateKey makes a new key that signs the checkpoints of a server: one line
// of text, "PRIVATE+KEY+<name>+<hash>+<base64>", the form of
// golang.org/x/mod/sumdb/note. It is secret. The name becomes part of the origin
// of every log of the server and cannot be changed later; a host name under which
// the server is reached is a good one. It must not have spaces or a plus sign.
func GenerateKey(name string) (skey string, err error) {
	skey, _, err = note.GenerateKey(rand.Reader, name)
	if err != nil {
		return "", fmt.Errorf("generate key: %w", err)
	}
	if _, err := newSigner(skey); err != nil {
		return "", fmt.Errorf("generate key: %q cannot be a server's name: %w", name, err)
	}
	return skey, nil
}

// signer signs the checkpoints of all logs of a server with one key, under two
// names: the log's origin, which tools for such logs expect, and the server's, so
// that who knows the server's one verifier key can check every log.
type signer struct {
	name string
	key  ed25519.PrivateKey
}

// newSigner reads a signing key.
func newSigner(skey string) (signer, error) {
	skey = strings.TrimSpace(skey)
	known, err := note.NewSigner(skey)
	if err != nil {
		return signer{}, fmt.Errorf("read signing key: %w", err)
	}
	// The key is the last of five fields; base 64 may have a plus in it.
	fields := strings.SplitN(skey, "+", 5)
	data, err := base64.StdEncoding.DecodeString(fields[len(fields)-1])
	if err != nil || len(data) != 1+ed25519.SeedSize {
		return signer{}, errors.New("read signing key: not an Ed25519 key")
	}
	return signer{name: known.Name(), key: ed25519.NewKeyFromSeed(data[1:])}, nil
}

// origin names an organization's log.
func (s signer) origin(org string) string { return s.name + "/" + org }

// vkey returns the verifier key under a name.
func (s signer) vkey(name string) string {
	pub, _ := s.key.Public().(ed25519.PublicKey)
	vkey, err := note.NewEd25519VerifierKey(name, pub)
	if err != nil {
		panic(err) // the key's size is right, nothing else can be wrong
	}
	return vkey
}

// sign returns a checkpoint with both signatures.
func (s signer) sign(cp audit.Checkpoint) ([]byte, error) { return s.signText(cp.String(), cp.Origin) }

// signed reports whether a checkpoint has the server's signature.
func (s signer) signed(cp []byte) bool {
	v, err := note.NewVerifier(s.vkey(s.name))
	if err != nil {
		return false
	}
	_, err = note.Open(cp, note.VerifierList(v))
	return err == nil
}

// as returns the signer under a name.
func (s signer) as(name string) (note.Signer, error) {
	v, err := note.NewVerifier(s.vkey(name))
	if err != nil {
		return nil, fmt.Errorf("sign as %q: %w", name, err)
	}
	return namedSigner{Verifier: v, key: s.key}, nil
}

// namedSigner is a note.Signer; name and hash are its verifier's.
type namedSigner struct {
	note.Verifier
	key ed25519.PrivateKey
}

// Sign implements note.Signer.
func (s namedSigner) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }
