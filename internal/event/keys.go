package event

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"
)

// Keys are the two random keys of a block of entries. Both are secret: Salt
// hides erased details from guessing, Check makes ids unguessable. They are
// separate so that an id says nothing about a salt.
type Keys struct {
	Salt  [16]byte
	Check [16]byte
}

// NewKeys returns fresh random keys.
func NewKeys() (Keys, error) {
	var k Keys
	for _, b := range [][]byte{k.Salt[:], k.Check[:]} {
		if _, err := rand.Read(b); err != nil {
			return Keys{}, fmt.Errorf("make block keys: %w", err)
		}
	}
	return k, nil
}

// Cipher returns the keys prepared for use.
func (k Keys) Cipher() *Cipher {
	c := &Cipher{salt: mustAES(k.Salt), check: mustAES(k.Check)}
	c.scratch.New = func() any { return new([16]byte) }
	return c
}

// mustAES does not panic in truth: aes.NewCipher fails for lengths other than 16,
// 24 and 32 only.
func mustAES(key [16]byte) cipher.Block {
	b, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err)
	}
	return b
}

// Cipher derives the salts and ids of a block of entries from its keys. It may
// be used concurrently.
type Cipher struct {
	salt, check cipher.Block
	// scratch holds *[16]byte: what goes through the cipher.Block interface
	// would be allocated on each call.
	scratch sync.Pool
}

// Salt returns the salt of an entry's details digest: AES-128 under Keys.Salt of
// eight zero bytes and seq, big endian.
func (c *Cipher) Salt(seq uint64) [16]byte { return c.encrypt(c.salt, 0, seq) }

// ID returns an entry's id. ms is its received_at in Unix milliseconds, below
// 2^48; seq is below 2^40. The check bits are the first five bytes of AES-128
// under Keys.Check of ms and seq, eight bytes big endian each.
func (c *Cipher) ID(ms int64, seq uint64) ID {
	t := uint64(ms) //nolint:gosec // below 2^48
	sum := c.encrypt(c.check, t, seq)
	return makeID(t, seq, sum)
}

// Verify tells whether id is the one that c gives for the time and place it
// names. It does not say that such an entry exists.
func (c *Cipher) Verify(id string) bool {
	ms, seq, ok := ParseID(id)
	return ok && c.ID(ms, seq).String() == id
}

func (c *Cipher) encrypt(b cipher.Block, hi, lo uint64) [16]byte {
	p, _ := c.scratch.Get().(*[16]byte)
	binary.BigEndian.PutUint64(p[:8], hi)
	binary.BigEndian.PutUint64(p[8:], lo)
	b.Encrypt(p[:], p[:])
	out := *p
	c.scratch.Put(p)
	return out
}

// Identifier is a Cipher for the use of one goroutine, which has it for many
// entries one after the other.
type Identifier struct {
	c *Cipher
	b [16]byte // here it is not allocated on each call
}

// Identifier returns one.
func (c *Cipher) Identifier() *Identifier { return &Identifier{c: c} }

// SetID sets the id of an entry, which follows from its received_at and seq.
func (i *Identifier) SetID(e *Entry) {
	t := uint64(e.ReceivedAt) //nolint:gosec // below 2^48
	binary.BigEndian.PutUint64(i.b[:8], t)
	binary.BigEndian.PutUint64(i.b[8:], e.Seq)
	i.c.check.Encrypt(i.b[:], i.b[:])
	e.ID = makeID(t, e.Seq, i.b)
}

// SetSalt sets the salt of an entry, which follows from its seq.
func (i *Identifier) SetSalt(e *Entry) {
	binary.BigEndian.PutUint64(i.b[:8], 0)
	binary.BigEndian.PutUint64(i.b[8:], e.Seq)
	i.c.salt.Encrypt(i.b[:], i.b[:])
	e.Salt = i.b
}
