package words

import (
	"slices"
	"strconv"
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
	w := writer{event: e, clause: read(e.Action)}
	if w.clause.person {
		w.signIn()
	} else {
		w.targets()
	}
	return Sentence{Actor: part(PartActor, &actor), Parts: w.parts, Apart: w.clause.apart}
}

// maxNamed is how many targets of one type a sentence names, maxBeside how many
// others.
const (
	maxNamed  = 2
	maxBeside = 3
)

// writer puts a sentence together.
type writer struct {
	event  *audit.Event
	clause clause
	parts  []Part
}

// text adds words of our own, with a space where one is needed.
func (w *writer) text(words ...string) {
	for _, s := range words {
		if s == "" {
			continue
		}
		if n := len(w.parts); n > 0 {
			if last := &w.parts[n-1]; last.Kind == PartText {
				if !strings.HasSuffix(last.Text, "(") && s != ")" {
					last.Text += " "
				}
				last.Text += s
				continue
			}
			if !strings.ContainsAny(s[:1], ",)") {
				s = " " + s
			}
		}
		w.parts = append(w.parts, Part{Kind: PartText, Text: s})
	}
}

func (w *writer) name(t *audit.Target) {
	if n := len(w.parts); n > 0 && w.parts[n-1].Kind == PartText && !strings.HasSuffix(w.parts[n-1].Text, "(") {
		w.parts[n-1].Text += " "
	}
	w.parts = append(w.parts, part(PartTarget, t))
}

// names lists targets: "A, B and 3 more".
func (w *writer) names(list []*audit.Target) {
	named := list[:min(len(list), maxNamed)]
	more := len(list) - len(named)
	for i, t := range named {
		switch {
		case i > 0 && more == 0 && i == len(named)-1:
			w.text("and")
		case i > 0:
			w.text(",")
		}
		w.name(t)
	}
	if more > 0 {
		w.text("and " + strconv.Itoa(more) + " more")
	}
}

// signIn is for what people do at the door.
func (w *writer) signIn() {
	w.text(w.clause.before)
	if len(w.event.Targets) == 0 {
		return
	}
	t := &w.event.Targets[0]
	kind := tokens(t.Type)
	if len(kind) > 0 && people[kind[len(kind)-1]] {
		if t.ID == w.event.Actor.ID {
			return
		}
		w.text("as")
	} else {
		w.text("to")
	}
	w.text(kindOf(kind))
	w.name(t)
}

// people are types of those who can sign in.
var people = verbSet("user member person account employee admin administrator customer contact operator staff") //nolint:gochecknoglobals // a table that is only read

// targets is for everything else.
func (w *writer) targets() {
	how, at := matchTargets(w.clause.noun, w.event.Targets)
	if how == matchNone && len(w.clause.object) > 0 {
		w.compound(&how, &at)
	}
	c := w.clause
	main, rest := w.group(at)
	if !c.itself {
		w.text(c.before)
	}
	switch how {
	case matchNone:
		w.text(phrase(c.noun))
		w.unmatched(main, rest)
		return
	case matchOwner:
		w.text(phrase(c.noun), "of")
	case matchSame:
		w.text(kindOf(number(c.noun, main)))
	}
	w.names(main)
	w.text(c.after)
	w.others(rest)
}

// kindOf is a type in words. Types may be as long as names.
func kindOf(words []string) string { return Shorten(phrase(words), maxName) }

// number makes a noun agree with how many targets it names.
func number(noun []string, main []*audit.Target) []string {
	kind := tokens(main[0].Type)
	switch {
	case len(noun) == 0:
		noun = kind
	case len(kind) > 0 && noun[len(noun)-1] == pluralWord(kind[len(kind)-1]):
		noun = append(slices.Clone(noun[:len(noun)-1]), kind[len(kind)-1]) // files.downloaded
	}
	if len(main) > 1 {
		return plural(noun)
	}
	return noun
}

// compound makes one noun of two where the target is the second: with an export
// as target, audit_log.export_downloaded is about an audit log export.
func (w *writer) compound(how *match, at *int) {
	c := &w.clause
	if m, i := matchTargets(c.object, w.event.Targets); m == matchSame && len(w.event.Targets) > 0 {
		*how, *at = m, i
		c.before, c.noun, c.object = c.verb, append(slices.Clone(c.noun), c.object...), nil
	}
}

// others adds the targets that are not the main ones: "assigned role Admin to
// user Ann", or in parentheses.
func (w *writer) others(rest []*audit.Target) {
	to := direction(w.clause.before)
	if to == "" || len(rest) == 0 || w.clause.after != "" || slices.ContainsFunc(rest, func(t *audit.Target) bool { return t.Type != rest[0].Type }) {
		w.beside(rest)
		return
	}
	if to == "for" {
		w.beside(rest)
		return
	}
	w.text(to, kindOf(number(nil, rest)))
	w.names(rest)
}

// group takes the targets of the type of one of them, and the others.
func (w *writer) group(at int) (main, rest []*audit.Target) {
	for i := range w.event.Targets {
		t := &w.event.Targets[i]
		if t.Type == w.event.Targets[at].Type {
			main = append(main, t)
		} else {
			rest = append(rest, t)
		}
	}
	return main, rest
}

// unmatched is for targets that the noun does not name.
func (w *writer) unmatched(main, rest []*audit.Target) {
	c := w.clause
	w.text(c.after)
	if len(main) == 0 {
		if c.open {
			w.close()
		}
		return
	}
	to := direction(c.before)
	switch {
	case c.open:
	case to != "" && c.after == "" && !c.itself:
		w.text(to)
	default:
		w.beside(append(main, rest...))
		return
	}
	w.text(kindOf(number(nil, main)))
	w.names(main)
	w.beside(rest)
}

// close takes back a preposition that no target follows.
func (w *writer) close() {
	last := &w.parts[len(w.parts)-1]
	if at := strings.LastIndexByte(last.Text, ' '); at > 0 {
		last.Text = last.Text[:at]
	}
}

// beside adds targets in parentheses: "(workflow Escalate, 2 more)".
func (w *writer) beside(list []*audit.Target) {
	if len(list) == 0 {
		return
	}
	w.text("(")
	for i, t := range list[:min(len(list), maxBeside)] {
		if i > 0 {
			w.text(",")
		}
		kind := tokens(t.Type)
		if n := len(w.clause.noun); n > 0 && len(kind) > n && slices.Equal(kind[:n], w.clause.noun) {
			kind = kind[n:] // the connector's tool, not the connector's connector tool
		}
		w.text(kindOf(kind))
		w.name(t)
	}
	if more := len(list) - maxBeside; more > 0 {
		w.text("and " + strconv.Itoa(more) + " more")
	}
	w.text(")")
}

// match says how a noun and the type of a target belong together.
type match int

const (
	matchNone  match = iota
	matchOwner       // alert_source has alert_source_config: "config of"
	matchSame        // incident is the private_incident
)

// matchTargets finds the target that a noun names.
func matchTargets(noun []string, targets []audit.Target) (match, int) {
	best, at := matchNone, 0
	if len(targets) == 0 {
		return best, at
	}
	if len(noun) == 0 {
		return matchSame, 0
	}
	for i := range targets {
		kind := tokens(targets[i].Type)
		if slices.Equal(kind, noun) || slices.Equal(plural(kind), noun) {
			return matchSame, i
		}
		if m := matchWords(noun, kind); m > best {
			best, at = m, i
		}
	}
	return best, at
}

func matchWords(noun, kind []string) match {
	switch {
	case len(kind) == 0:
		return matchNone
	case noun[len(noun)-1] == kind[len(kind)-1] && (within(noun, kind) || within(kind, noun)):
		return matchSame
	case len(noun) < len(kind) && slices.Equal(noun, kind[:len(noun)]):
		return matchSame // on_call_upsell, on_call_upsell_request
	case len(kind) < len(noun) && slices.Equal(kind, noun[:len(kind)]):
		return matchOwner
	}
	return matchNone
}

// within says that all words of a are in b, in the same order.
func within(a, b []string) bool {
	for _, w := range b {
		if len(a) > 0 && a[0] == w {
			a = a[1:]
		}
	}
	return len(a) == 0
}
