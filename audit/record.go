package audit

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

// SaltBytes is the size of an entry's salt.
const SaltBytes = 16

// Record returns the canonical record of an entry (RFC 8785): what the log
// commits to. It has what can never be removed, and a digest of the rest:
//
//	{"action":…,"actor":{"id":…,"type":…},"details":"…","id":"…","occurred_at":"…",
//	"received_at":"…","targets":[{"id":…,"type":…}],"version":1}
//
// details is SHA-256 over the salt and then [Entry.Details], in base64url without
// padding. An error says what of the entry no log can hold. The record of an
// entry whose details were erased cannot be made of the entry: its digest of them
// is in the record alone.
func (e *Entry) Record(salt [SaltBytes]byte) ([]byte, error) {
	if !e.ErasedAt.IsZero() {
		return nil, errors.New("the details were erased: what their digest was is in the record alone")
	}
	details, err := e.Details()
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(append(salt[:], details...))
	return e.appendRecord(make([]byte, 0, 512), base64.RawURLEncoding.EncodeToString(digest[:]))
}

// appendRecord appends the record with a digest that is known.
func (e *Entry) appendRecord(dst []byte, digest string) ([]byte, error) {
	// The members are in canonical order as they stand here.
	w := jsonWriter{b: dst}
	w.text(`{"action":`, e.Action)
	w.text(`,"actor":{"id":`, e.Actor.ID)
	w.text(`,"type":`, e.Actor.Type)
	w.text(`},"details":`, digest)
	w.text(`,"id":`, e.ID)
	w.time(`,"occurred_at":"`, "occurred_at", e.OccurredAt)
	w.millis(`","received_at":"`, "received_at", e.ReceivedAt)
	w.raw(`","targets":[`)
	for i, t := range e.Targets {
		w.text([]string{`{"id":`, `,{"id":`}[min(i, 1)], t.ID)
		w.text(`,"type":`, t.Type)
		w.raw("}")
	}
	w.raw(`],"version":` + strconv.Itoa(cmp.Or(e.Version, 1)) + "}")
	return w.b, w.err
}

// Details returns the canonical details of an entry (RFC 8785): what can be
// erased. What is absent or empty is left out, but where one target has a name or
// metadata there is an object for each.
//
//	{"actor":{"metadata":{…},"name":…},"context":{"location":…,"user_agent":…},
//	"metadata":{…},"targets":[{"metadata":{…},"name":…},{}]}
func (e *Entry) Details() ([]byte, error) { return e.appendDetails(nil) }

// appendDetails is Details behind what dst has.
func (e *Entry) appendDetails(dst []byte) ([]byte, error) {
	// The members are in canonical order as they stand here.
	w := jsonWriter{b: append(dst, '{')}
	separator := ""
	member := func(name string) {
		w.raw(separator + name)
		separator = ","
	}
	if e.Actor.Name != "" || len(e.Actor.Metadata) > 0 {
		member(`"actor":`)
		w.details(e.Actor.Name, e.Actor.Metadata)
	}
	if e.Context != (Context{}) {
		member(`"context":`)
		w.context(e.Context)
	}
	if len(e.Metadata) > 0 {
		member(`"metadata":`)
		w.value("", e.Metadata)
	}
	if slices.ContainsFunc(e.Targets, func(t Target) bool { return t.Name != "" || len(t.Metadata) > 0 }) {
		member(`"targets":`)
		for i, t := range e.Targets {
			w.raw([]string{"[", ","}[min(i, 1)])
			w.details(t.Name, t.Metadata)
		}
		w.raw("]")
	}
	w.raw("}")
	return w.b, w.err
}

// LeafHash is the hash of a record in its log's tree (RFC 6962).
func LeafHash(record []byte) tlog.Hash { return tlog.RecordHash(record) }
