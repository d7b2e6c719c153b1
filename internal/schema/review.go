package schema

import (
	"fmt"
	"slices"
)

// Status is what applying a catalogue file would do with one of its schemas.
type Status string

// The statuses of a schema in a file.
const (
	StatusUnchanged Status = "unchanged" // registered, and the same
	StatusDescribed Status = "described" // registered; only descriptions differ
	StatusNew       Status = "new"       // the first version of an action
	StatusNext      Status = "next"      // a further version of an action
	StatusConflict  Status = "conflict"  // registered, and differs: cannot be applied
	StatusGap       Status = "gap"       // a version before it is missing: cannot be applied
)

// Finding is what applying one schema of a file would do.
type Finding struct {
	Ref
	Status Status `json:"status"`
	// Changes are those from the registered version of the same number
	// (conflict) or from the version before (next, when that version or the
	// action was registered before the file).
	Changes []Change `json:"changes,omitempty"`
}

// Breaking says that the schema cannot be applied, or that a change of it
// breaks those who send or read events of a registered version.
func (f *Finding) Breaking() bool {
	return f.Status == StatusConflict || f.Status == StatusGap ||
		slices.ContainsFunc(f.Changes, func(c Change) bool { return c.Breaking })
}

// Review says what applying a catalogue to the registered schemas would do, by
// action and version. It changes nothing.
func Review(registered []Schema, c *Catalogue) []Finding {
	refs := make([]*Schema, len(registered))
	for i := range registered {
		refs[i] = &registered[i]
	}
	return review(refs, c)
}

// review returns a finding for each of c.sorted().
func review(registered []*Schema, c *Catalogue) []Finding {
	known := make(map[Ref]*Schema, len(registered))
	used := map[string]bool{}
	for _, s := range registered {
		known[s.Ref()] = s
		used[s.Action] = true
	}
	sorted := c.sorted()
	findings := make([]Finding, len(sorted))
	for i, s := range sorted {
		old := known[s.Ref()]
		findings[i] = reviewOne(s, old, known[Ref{s.Action, s.Version - 1}], used[s.Action])
		if old == nil {
			known[s.Ref()] = s
		}
	}
	return findings
}

// reviewOne compares a schema with what is registered under its version (old)
// and with the version before (prev); either may be nil. Nobody uses an action
// that was not registered before, so its versions break nobody.
func reviewOne(s, old, prev *Schema, used bool) Finding {
	f := Finding{Ref: s.Ref()}
	switch {
	case old != nil:
		f.Changes = Compare(old, s)
		f.Status = StatusConflict
		if len(f.Changes) == 0 {
			f.Status = StatusUnchanged
			if !sameDescriptions(old, s) {
				f.Status = StatusDescribed
			}
		}
	case s.Version == 1:
		f.Status = StatusNew
	case prev == nil:
		f.Status = StatusGap
		f.Changes = []Change{{
			Path: "/version", Breaking: true,
			Message: fmt.Sprintf("version %d is neither registered nor in the file", s.Version-1),
		}}
	default:
		f.Status = StatusNext
		if used {
			f.Changes = Compare(prev, s)
		}
	}
	return f
}
