package pebblestore

import (
	"errors"
	"fmt"

	"github.com/stelehq/stele/internal/ledger"
)

// ErrInUse says that another process, or another Store of this one, has the data
// directory open.
var ErrInUse = errors.New("data directory is in use by another process")

// What is wrong with a value.
var (
	errShort      = errors.New("value ends early")
	errLength     = errors.New("value has the wrong length")
	errChecksum   = errors.New("checksum does not match")
	errSalt       = errors.New("the marks of its tile have none")
	errGeneration = errors.New("no value of this version has generation 0")
)

func errVersion(v byte) error {
	return fmt.Errorf("value has version %d, which this program does not know", v)
}

// errDropped ends reads of an organization's log that is being removed.
var errDropped = errors.New("the organization's log was removed meanwhile")

// CorruptError says that stored entries are missing or cannot be read.
type CorruptError struct {
	Org            string
	FromSeq, ToSeq uint64 // FromSeq ≤ seq < ToSeq
	What           string
	// Err is what was wrong with the value, nil when it is missing.
	Err error
	// generation is that of the block, if it is about one.
	generation uint32
}

var _ ledger.DamageError = (*CorruptError)(nil)

// Error names organization, entries and fault.
func (e *CorruptError) Error() string {
	entries := fmt.Sprintf("entry %d", e.FromSeq)
	if e.ToSeq != e.FromSeq+1 {
		entries = fmt.Sprintf("entries %d to %d", e.FromSeq, e.ToSeq-1)
	}
	return fmt.Sprintf("organization %q, %s: %s", e.Org, entries, e.What)
}

// Unwrap returns what was wrong with the value.
func (e *CorruptError) Unwrap() error { return e.Err }

// Entries implements ledger.DamageError.
func (e *CorruptError) Entries() (from, to uint64) { return e.FromSeq, e.ToSeq }

func corrupt(org string, from, to uint64, what string, err error) *CorruptError {
	if err != nil {
		what = fmt.Sprintf("%s: %v", what, err)
	}
	return &CorruptError{Org: org, FromSeq: from, ToSeq: to, What: what, Err: err}
}
