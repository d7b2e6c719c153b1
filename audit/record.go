package audit

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

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
	return e.recordWith(base64.RawURLEncoding.EncodeToString(digest[:]))
}

// recordWith is Record with a digest that is known.
func (e *Entry) recordWith(digest string) ([]byte, error) {
	occurred, err := appendTime(nil, e.OccurredAt)
	if err != nil {
		return nil, fmt.Errorf("occurred_at: %w", err)
	}
	received, err := millisText("received_at", e.ReceivedAt)
	if err != nil {
		return nil, err
	}
	// The members are in canonical order as they stand here.
	w := jsonWriter{b: make([]byte, 0, 512)}
	w.text(`{"action":`, e.Action)
	w.text(`,"actor":{"id":`, e.Actor.ID)
	w.text(`,"type":`, e.Actor.Type)
	w.text(`},"details":`, digest)
	w.text(`,"id":`, e.ID)
	w.raw(`,"occurred_at":"` + string(occurred) + `","received_at":"` + received + `","targets":[`)
	for i, t := range e.Targets {
		w.text([]string{`{"id":`, `,{"id":`}[min(i, 1)], t.ID)
		w.text(`,"type":`, t.Type)
		w.raw("}")
	}
	w.raw(`],"version":` + strconv.Itoa(cmp.Or(e.Version, 1)) + "}")
	return w.b, w.err
}

// millisText writes a time that has milliseconds: received_at or erased_at.
func millisText(field string, t time.Time) (string, error) {
	if t.Nanosecond()%1e6 != 0 {
		return "", fmt.Errorf("%s: is finer than a millisecond", field)
	}
	text, err := appendTime(nil, t)
	if err != nil {
		return "", fmt.Errorf("%s: %w", field, err)
	}
	return string(text), nil
}

// Details returns the canonical details of an entry (RFC 8785): what can be
// erased. What is absent or empty is left out, but where one target has a name or
// metadata there is an object for each.
//
//	{"actor":{"metadata":{…},"name":…},"context":{"location":…,"user_agent":…},
//	"metadata":{…},"targets":[{"metadata":{…},"name":…},{}]}
func (e *Entry) Details() ([]byte, error) {
	details := map[string]any{}
	if actor := partyDetails(e.Actor.Name, e.Actor.Metadata); len(actor) > 0 {
		details["actor"] = actor
	}
	if context := e.contextDetails(); len(context) > 0 {
		details["context"] = context
	}
	if len(e.Metadata) > 0 {
		details["metadata"] = e.Metadata
	}
	targets, any := make([]any, len(e.Targets)), false
	for i, t := range e.Targets {
		target := partyDetails(t.Name, t.Metadata)
		targets[i], any = target, any || len(target) > 0
	}
	if any {
		details["targets"] = targets
	}
	return appendCanonical(nil, details)
}

func partyDetails(name string, metadata Metadata) map[string]any {
	m := map[string]any{}
	if name != "" {
		m["name"] = name
	}
	if len(metadata) > 0 {
		m["metadata"] = metadata
	}
	return m
}

func (e *Entry) contextDetails() map[string]any {
	m := map[string]any{}
	if e.Context.Location != "" {
		m["location"] = e.Context.Location
	}
	if e.Context.UserAgent != "" {
		m["user_agent"] = e.Context.UserAgent
	}
	return m
}

// LeafHash is the hash of a record in its log's tree (RFC 6962).
func LeafHash(record []byte) tlog.Hash { return tlog.RecordHash(record) }
