package stream

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// sealedVersion begins every sealed secret: AES-256-GCM, nonce of 12 random
// bytes in front, place as additional data (see place).
const sealedVersion = "v1"

var (
	errSealed = errors.New("the secret is damaged, or belongs to another place")
	// ErrNoKey says that a secret cannot be sealed because the server has no key.
	ErrNoKey = errors.New("the server has no key for secrets: give it one and start it again")
)

// Keyring seals and opens the secrets of streams. The first key seals; all open,
// so that a key can be replaced: put the new one first, start, wait for
// [Streams.Rewrap], take the old one away. Methods may be called concurrently.
type Keyring struct {
	ids   []string
	aeads map[string]cipher.AEAD
}

// NewKey makes a line for a key ring: an id and a random key.
func NewKey(id string) string {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	return id + ":" + base64.StdEncoding.EncodeToString(key[:])
}

// ParseKeyring reads a key ring from a file or from the environment: keys
// "id:base64 of 32 bytes", one a line or separated by commas or spaces. Lines
// that begin with # say nothing. The ids are letters, digits, '_' and '-'.
func ParseKeyring(text string) (*Keyring, error) {
	k := &Keyring{aeads: map[string]cipher.AEAD{}}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for word := range strings.FieldsFuncSeq(line, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) }) {
			if err := k.add(word); err != nil {
				return nil, err
			}
		}
	}
	if len(k.ids) == 0 {
		return nil, errors.New("key ring: holds no key; a key is \"id:\" and 32 bytes in base64")
	}
	return k, nil
}

// add takes in one key. Its errors never tell the key.
func (k *Keyring) add(word string) error {
	id, text, ok := strings.Cut(word, ":")
	n := len(k.ids) + 1
	if !ok || id == "" || strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
		return fmt.Errorf("key ring: key %d has no id; a key is \"id:\" and 32 bytes in base64", n)
	}
	if k.aeads[id] != nil {
		return fmt.Errorf("key ring: two keys have the id %q", id)
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != 32 {
		return fmt.Errorf("key ring: key %q is not 32 bytes in base64", id)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return fmt.Errorf("key ring: key %q: %w", id, err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return fmt.Errorf("key ring: key %q: %w", id, err)
	}
	k.ids = append(k.ids, id)
	k.aeads[id] = aead
	return nil
}

// place is the additional data of a secret: it opens only where it was sealed.
// Each part has its length in front, so that no two places are the same.
func place(parts ...string) []byte {
	var b []byte
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	return b
}

// seal encrypts a secret with the first key.
func (k *Keyring) seal(secret string, at []byte) (string, error) {
	if k == nil {
		return "", ErrNoKey
	}
	aead := k.aeads[k.ids[0]]
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(secret)+aead.Overhead())
	_, _ = rand.Read(nonce) // never fails
	box := aead.Seal(nonce, nonce, []byte(secret), at)
	return sealedVersion + "." + k.ids[0] + "." + base64.RawURLEncoding.EncodeToString(box), nil
}

// open decrypts a sealed secret.
func (k *Keyring) open(sealed string, at []byte) (string, error) {
	if k == nil {
		return "", ErrNoKey
	}
	parts := strings.Split(sealed, ".")
	if len(parts) != 3 || parts[0] != sealedVersion {
		return "", errSealed
	}
	aead := k.aeads[parts[1]]
	if aead == nil {
		return "", fmt.Errorf("the key ring has no key %q any more: put it back, after the first one", parts[1])
	}
	box, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(box) < aead.NonceSize() {
		return "", errSealed
	}
	secret, err := aead.Open(nil, box[:aead.NonceSize()], box[aead.NonceSize():], at)
	if err != nil {
		return "", errSealed
	}
	return string(secret), nil
}

// old reports whether a sealed secret is to be sealed anew with the first key.
func (k *Keyring) old(sealed string) bool {
	return k != nil && !strings.HasPrefix(sealed, sealedVersion+"."+k.ids[0]+".")
}
