package erasure

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
)

// ActionErased is the action of the entry that an erasure ends with.
const ActionErased = "subject.erased"

// subject finds the entries of who is erased.
type subject struct {
	id, kind []byte // kind is empty for any type
	// own are the places of entries that say that somebody was erased: they name
	// whom by id alone, and are the proof of it.
	own map[uint64]bool
}

// is reports whether a party is the subject.
func (s *subject) is(p *event.Party) bool {
	return string(p.ID) == string(s.id) && (len(s.kind) == 0 || string(p.Type) == string(s.kind))
}

// concerns reports whether an entry names the subject as actor or target.
func (s *subject) concerns(e *event.Entry) bool {
	if s.is(&e.Actor) {
		return true
	}
	return slices.ContainsFunc(e.Targets, func(p event.Party) bool { return s.is(&p) }) && !s.own[e.Seq]
}

// entries yields the entries with from ≤ seq < to that name the subject, each once:
// those whose actor has the id, then those of which a target alone has it.
func (s *subject) entries(ctx context.Context, store Store, org string, from, to uint64) iter.Seq2[*event.Entry, error] {
	return func(yield func(*event.Entry, error) bool) {
		for _, field := range []audit.Field{audit.FieldActorID, audit.FieldTargetID} {
			q := audit.Query{Filters: []audit.Filter{{Field: field, Values: []string{string(s.id)}}}}
			for e, err := range store.ScanStored(ctx, org, q, from, to) {
				if err != nil {
					yield(nil, err)
					return
				}
				again := field == audit.FieldTargetID && bytes.Equal(e.Actor.ID, s.id)
				if !again && s.concerns(e) && !yield(e, nil) {
					return
				}
			}
		}
	}
}

// subjectOf is the subject of a request, with what earlier erasures of the
// organization have recorded.
func (s *Erasures) subjectOf(ctx context.Context, r *Request) (*subject, error) {
	sub := &subject{id: []byte(r.Subject), kind: []byte(r.SubjectType), own: map[uint64]bool{}}
	list, _, err := s.List(ctx, r.Organization, "", -1)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if at := list[i].Entry; at != nil {
			sub.own[at.Seq] = true
		}
	}
	return sub, nil
}

// check says what is wrong with a request.
func (r *Request) check() error {
	for _, f := range []struct {
		name, text string
		most       int
		required   bool
	}{
		{"/subject", r.Subject, MaxSubjectBytes, true},
		{"/subject_type", r.SubjectType, MaxSubjectBytes, false},
		{"/reference", r.Reference, MaxReferenceBytes, false},
	} {
		switch {
		case f.required && f.text == "":
			return audit.FieldErrorf(audit.CodeInvalidRequest, f.name, "is required: the id of the person, as actors and targets have it")
		case len(f.text) > f.most || !utf8.ValidString(f.text) || strings.ContainsRune(f.text, 0):
			return audit.FieldErrorf(audit.CodeInvalidRequest, f.name, "must be at most %d bytes of UTF-8 without NUL", f.most)
		}
	}
	return nil
}

// Preview says what an erasure would do now, and changes nothing. Errors:
// invalid_request naming the field.
func (s *Erasures) Preview(ctx context.Context, r Request) (Preview, error) {
	if err := r.check(); err != nil {
		return Preview{}, err
	}
	sub, err := s.subjectOf(ctx, &r)
	if err != nil {
		return Preview{}, err
	}
	keep, err := s.keep(r.Organization)
	if err != nil {
		return Preview{}, err
	}
	head, err := s.cfg.Log.Head(ctx, r.Organization)
	if err != nil {
		return Preview{}, fmt.Errorf("preview erasure: %w", err)
	}
	var p Preview
	actions := map[string]uint64{}
	for e, err := range sub.entries(ctx, s.cfg.Store, r.Organization, 0, head.Size) {
		if err != nil {
			return Preview{}, fmt.Errorf("preview erasure: %w", err)
		}
		if p.add(e, keep) {
			actions[string(e.Action)]++
		}
	}
	p.Actions = topActions(actions)
	if s.cfg.Exports == nil {
		return p, nil
	}
	p.Exports, err = s.cfg.Exports.CountFiles(ctx, r.Organization)
	return p, err
}

// add counts an entry that names the subject, and reports whether it would be
// erased.
func (p *Preview) add(e *event.Entry, keep *search.Keep) bool {
	p.Found++
	switch {
	case e.ErasedAt != 0:
		p.Erased++
		return false
	case keep.Held(e):
		p.Held++
		return false
	}
	at := &audit.Position{Seq: e.Seq, ReceivedAt: e.ReceivedTime()}
	if p.Oldest == nil || at.Seq < p.Oldest.Seq {
		p.Oldest = at
	}
	if p.Newest == nil || at.Seq > p.Newest.Seq {
		p.Newest = at
	}
	return true
}

// topActions are the most frequent actions.
func topActions(counts map[string]uint64) []ActionCount {
	list := make([]ActionCount, 0, len(counts))
	for action, n := range counts {
		list = append(list, ActionCount{action, n})
	}
	slices.SortFunc(list, func(a, b ActionCount) int {
		if a.Count != b.Count {
			if a.Count > b.Count {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Action, b.Action)
	})
	return list[:min(len(list), MaxActions)]
}

// keep is what holds keep at this moment.
func (s *Erasures) keep(org string) (*search.Keep, error) {
	if s.cfg.Keep == nil {
		return nil, nil
	}
	keep, err := s.cfg.Keep(org, s.cfg.Now())
	if err != nil {
		return nil, fmt.Errorf("read holds of %s: %w", org, err)
	}
	return keep, nil
}

const (
	// maxNames bounds the different texts that the entries had for a person.
	maxNames = 1000
	// minName is the shortest text that is looked for elsewhere: shorter ones
	// are part of too many words.
	minName = 3
)

// names are the texts by which somebody may be named elsewhere: the names of the
// person in their entries, and the addresses in the person's metadata. Lower case.
type names struct {
	texts map[string]bool
	fresh bool // one was added since the last look
}

// collect adds what an entry has of the subject.
func (n *names) collect(e *event.Entry, sub *subject) {
	if sub.is(&e.Actor) {
		n.party(&e.Actor)
	}
	for i := range e.Targets {
		if sub.is(&e.Targets[i]) {
			n.party(&e.Targets[i])
		}
	}
}

func (n *names) party(p *event.Party) {
	n.add(string(p.Name))
	var metadata map[string]any
	if bytes.IndexByte(p.Metadata, '@') >= 0 && json.Unmarshal(p.Metadata, &metadata) == nil {
		n.addresses(metadata)
	}
}

// addresses adds the texts of metadata that have an @: other values, such as
// roles, are not the person's alone.
func (n *names) addresses(v any) {
	switch v := v.(type) {
	case string:
		if strings.Contains(v, "@") {
			n.add(v)
		}
	case []any:
		for _, v := range v {
			n.addresses(v)
		}
	case map[string]any:
		for _, v := range v {
			n.addresses(v)
		}
	}
}

func (n *names) add(text string) {
	text = strings.ToLower(strings.TrimSpace(text))
	if utf8.RuneCountInString(text) < minName || len(n.texts) >= maxNames || n.texts[text] {
		return
	}
	n.texts[text] = true
	n.fresh = true
}

// in reports whether a text has one of them.
func (n *names) in(text string) bool {
	text = strings.ToLower(text)
	for name := range n.texts {
		if strings.Contains(text, name) {
			return true
		}
	}
	return false
}
