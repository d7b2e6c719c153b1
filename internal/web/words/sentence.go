package words

import (
	"strings"

	"github.com/stelehq/stele/audit"
)

// PartKind says what a part of a sentence is, and so how it is shown.
type PartKind string

// The kinds of parts.
const (
	// PartText is our own words.
	PartText PartKind = "text"
	// PartActor is the name of the actor, or its id without one.
	PartActor PartKind = "actor"
	// PartTarget is the name of a target, or its id without one.
	PartTarget PartKind = "target"
)

// Part is a piece of a sentence. Names are text of the product's and may hold
// anything: they are shown isolated from what is around them.
type Part struct {
	Kind PartKind
	Text string
	// ByID says that Text is an id, because there is no name.
	ByID bool
	// Type and ID are those of the actor or target.
	Type, ID string
}

// Sentence says in English what an entry is about.
type Sentence struct {
	// Actor is who did it.
	Actor Part
	// Parts follow the actor: "created API key", "Deploy bot".
	Parts []Part
	// Apart says that the actor is not the subject of the parts, so that a
	// colon goes between: "System: certificate expired".
	Apart bool
}

// String is the sentence as one line of text.
func (s Sentence) String() string {
	var b strings.Builder
	b.WriteString(s.Actor.Text)
	if s.Apart {
		b.WriteByte(':')
	}
	b.WriteByte(' ')
	b.WriteString(s.Says())
	return b.String()
}

// Says is the sentence without its actor.
func (s Sentence) Says() string {
	var b strings.Builder
	for _, p := range s.Parts {
		b.WriteString(p.Text)
	}
	return b.String()
}

// maxName is how much of a name a sentence shows, in runes: names may have 16
// KiB, and a list has many of them.
const maxName = 160

func part(kind PartKind, t *audit.Target) Part {
	p := Part{Kind: kind, Text: t.Name, Type: t.Type, ID: t.ID}
	if strings.TrimSpace(p.Text) == "" {
		p.Text, p.ByID = t.ID, true
	}
	p.Text = Shorten(p.Text, maxName)
	return p
}

// Shorten cuts a text to at most n runes, the last of which then is "…".
func Shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	seen := 0
	cut := len(s)
	for i := range s {
		if seen == n-1 {
			cut = i
		}
		if seen == n {
			return s[:cut] + "…"
		}
		seen++
	}
	return s
}

// Say makes the sentence of an event out of its action and targets.
func Say(e *audit.Event) Sentence {
	actor := audit.Target(e.Actor)
	s := Sentence{Actor: part(PartActor, &actor)}
	s.Parts = append(s.Parts, Part{Kind: PartText, Text: e.Action})
	for i := range e.Targets {
		s.Parts = append(s.Parts, Part{Kind: PartText, Text: " "}, part(PartTarget, &e.Targets[i]))
	}
	return s
}
