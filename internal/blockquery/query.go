package blockquery

import (
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
)

// Query is an audit.Query made ready to ask blocks. It is immutable and may be
// used concurrently.
type Query struct {
	// occurred_at (Unix nanoseconds) and received_at (Unix milliseconds):
	// from ≤ t < to, math.MinInt64 and math.MaxInt64 where there is no bound.
	occurredFrom, occurredTo int64
	receivedFrom, receivedTo int64

	conditions []condition // from the cheapest to ask on
	// dear are the conditions from byMetadata on, for single entries; readsID
	// says that they look at ids.
	dear    *search.Matcher
	readsID bool
	scratch sync.Pool // of *run
}

// Source is one block.
type Source struct {
	Reader *block.Reader
	// Cipher returns the keys of the entries' ids. It is called only when ids
	// matter.
	Cipher func() (*event.Cipher, error)
	// Hidden are rows that no answer has, as if they were not in the block; nil
	// for none. What the header says of the block is of no use then, but to skip
	// it.
	Hidden *block.Rows
}

// all reports whether an answer has every row of the block, by the header alone.
func (s *Source) all(q *Query) bool { return s.Hidden == nil && q.All(s.Reader.Header()) }

// Compile makes a query ready, which is valid ([audit.Query.Validate]).
func Compile(q audit.Query) *Query {
	m := search.Compile(q)
	c := &Query{}
	c.occurredFrom, c.occurredTo = m.OccurredBounds()
	c.receivedFrom, c.receivedTo = m.ReceivedBounds()
	var dear audit.Query
	for _, f := range q.Normalize().Filters {
		list := conditionsOf(f)
		c.conditions = append(c.conditions, list...)
		if list[0].cost >= byMetadata {
			dear.Filters = append(dear.Filters, f)
			c.readsID = c.readsID || slices.ContainsFunc(list, func(c condition) bool { return len(c.ids) > 0 })
		}
	}
	c.dear = search.Compile(dear)
	slices.SortStableFunc(c.conditions, func(a, b condition) int { return int(a.cost) - int(b.cost) })
	c.scratch.New = func() any { return &run{} }
	return c
}

// Skips reports whether no entry of the block can match, by the times, and the
// seq of the ids that are asked for.
func (q *Query) Skips(h *block.Header) bool {
	if h.MaxOccurred < q.occurredFrom || h.MinOccurred >= q.occurredTo ||
		h.LastReceived < q.receivedFrom || h.FirstReceived >= q.receivedTo {
		return true
	}
	for i := range q.conditions {
		if c := &q.conditions[i]; c.lookup == byID && !c.not && !c.mayBeIn(h) {
			return true
		}
	}
	return false
}

// SkipsFilter reports whether no entry of the block can match, by the filter of
// its values.
func (q *Query) SkipsFilter(f *block.Filter) bool {
	for i := range q.conditions {
		if hashes := q.conditions[i].hashes; len(hashes) > 0 && !slices.ContainsFunc(hashes, f.MayContainHash) {
			return true
		}
	}
	return false
}

// All reports whether every entry of the block matches, by the header alone. Of
// rows that are hidden it knows nothing.
func (q *Query) All(h *block.Header) bool {
	return len(q.conditions) == 0 && q.coversOccurred(h) && q.coversReceived(h)
}

func (q *Query) coversOccurred(h *block.Header) bool {
	return q.occurredFrom <= h.MinOccurred && h.MaxOccurred < q.occurredTo
}

func (q *Query) coversReceived(h *block.Header) bool {
	return q.receivedFrom <= h.FirstReceived && h.LastReceived < q.receivedTo
}

// lookup is how a condition is asked.
type lookup byte

const (
	byID       lookup = iota // the entry's id, from its seq
	byValue                  // in a dictionary, value by value
	byChoice                 // in a dictionary, one text after the other
	byPart                   // parts of the texts of a dictionary
	byObject                 // the metadata of a dictionary's actors or targets
	byMetadata               // the entry's own metadata
	byText                   // free text
)

// condition is one filter of a query in normal form; of free text, which must all
// be there, one of its values.
type condition struct {
	lookup lookup
	cost   lookup // conditions are asked in this order
	not    bool
	field  block.Field
	about  about

	list     []string // of byChoice, sorted
	values   [][]byte // of byValue; in lower case, of byPart and byText
	prefixes [][]byte // of actions
	hashes   []uint64 // of the values, when they must be in the block's filter
	ids      []id     // of byID; of byText, those of the values that are ids
	path     *search.PathFilter
}

// about is what dictionary a condition looks at.
type about byte

const (
	aboutAction about = iota
	aboutActor
	aboutLocation
	aboutAgent
	aboutTargets // the only one of which a row has several
)

// id is the text of an id, and what it says.
type id struct {
	text string
	ms   int64
	seq  uint64
}

// fieldOf says where the values of a field are and how it is asked.
func fieldOf(f audit.Field) (block.Field, about, lookup) {
	switch f {
	case audit.FieldAction:
		return block.FieldAction, aboutAction, byValue
	case audit.FieldVersion:
		return block.FieldVersion, aboutAction, byChoice
	case audit.FieldSchema:
		return block.FieldUnregistered, aboutAction, byChoice
	case audit.FieldActorType:
		return block.FieldActorType, aboutActor, byChoice
	case audit.FieldActorID:
		return block.FieldActorID, aboutActor, byValue
	case audit.FieldActorName:
		return block.FieldActorName, aboutActor, byPart
	case audit.FieldTargetType:
		return block.FieldTargetType, aboutTargets, byChoice
	case audit.FieldTargetID:
		return block.FieldTargetID, aboutTargets, byValue
	case audit.FieldTargetName:
		return block.FieldTargetName, aboutTargets, byPart
	case audit.FieldLocation:
		return block.FieldLocation, aboutLocation, byValue
	case audit.FieldUserAgent:
		return block.FieldUserAgent, aboutAgent, byPart
	case audit.FieldID:
		return 0, 0, byID
	case audit.FieldText:
		return 0, 0, byText
	}
	switch owner, _, _ := f.MetadataPath(); owner {
	case "actor":
		return block.FieldActorMetadata, aboutActor, byObject
	case "target":
		return block.FieldTargetMetadata, aboutTargets, byObject
	default:
		return 0, 0, byMetadata
	}
}

// conditionsOf returns what a filter asks. All of it must hold.
func conditionsOf(f audit.Filter) []condition {
	c := condition{not: f.Not}
	c.field, c.about, c.lookup = fieldOf(f.Field)
	c.cost = c.lookup
	switch c.lookup {
	case byID:
		for _, v := range f.Values {
			c.addID(v)
		}
	case byValue:
		c.addValues(f.Values)
	case byChoice:
		c.list = f.Values
	case byPart:
		c.values = lowered(f.Values)
	case byText:
		return textConditions(f)
	default:
		_, path, _ := f.Field.MetadataPath()
		c.path = search.NewPathFilter(path, f.Values)
	}
	return []condition{c}
}

// textConditions returns one condition for each text: all are to be found, or
// none.
func textConditions(f audit.Filter) []condition {
	var list []condition
	for _, lower := range lowered(f.Values) {
		c := condition{lookup: byText, cost: byText, not: f.Not, values: [][]byte{lower}}
		c.addID(upperASCII(lower)) // of an id only all of it is found
		list = append(list, c)
	}
	return list
}

func lowered(list []string) [][]byte {
	out := make([][]byte, len(list))
	for i, s := range list {
		out[i] = []byte(strings.ToLower(s))
	}
	return out
}

// upperASCII returns text with the letters of ASCII in upper case. Others have
// upper case in ASCII too, such as ſ, but no id is lowered to them.
func upperASCII(text []byte) string {
	upper := make([]byte, len(text))
	for i, c := range text {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper[i] = c
	}
	return string(upper)
}

// addID adds an id to look for. What cannot be one is not found in any block.
func (c *condition) addID(text string) {
	if ms, seq, ok := event.ParseID(text); ok {
		c.ids = append(c.ids, id{text, ms, seq})
	}
}

// addValues takes values that fields have letter for letter and, of actions,
// beginnings.
func (c *condition) addValues(list []string) {
	for _, s := range list {
		if prefix, ok := strings.CutSuffix(s, "*"); ok && c.field == block.FieldAction {
			c.prefixes = append(c.prefixes, []byte(prefix)) // s itself begins so
			continue
		}
		c.values = append(c.values, []byte(s))
	}
	if c.not || len(c.prefixes) > 0 {
		return
	}
	for _, v := range c.values {
		hash, ok := block.FilterHash(c.field, v)
		if !ok {
			c.hashes = nil
			return
		}
		c.hashes = append(c.hashes, hash)
	}
}

// mayBeIn reports whether a block has an entry of which one of the ids may be.
func (c *condition) mayBeIn(h *block.Header) bool {
	return slices.ContainsFunc(c.ids, func(id id) bool { return id.mayBeIn(h) })
}

func (id *id) mayBeIn(h *block.Header) bool {
	return id.seq >= h.FirstSeq && id.seq-h.FirstSeq < uint64(h.Rows) && //nolint:gosec // positive
		id.ms >= h.FirstReceived && id.ms <= h.LastReceived && id.ms != math.MaxInt64
}
