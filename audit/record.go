package audit

import "golang.org/x/mod/sumdb/tlog"

// Details returns the canonical details of an entry.
func (e *Entry) Details() ([]byte, error) { panic("unfinished") }

// Record returns the canonical record of an entry: the leaf of its log.
func (e *Entry) Record(salt [16]byte) ([]byte, error) { panic("unfinished") }

// LeafHash is the hash of a record in its log's tree.
func LeafHash(record []byte) tlog.Hash { panic("unfinished") }
