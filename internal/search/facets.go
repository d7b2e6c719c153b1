package search

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

// Limits of what is counted by value.
const (
	// MaxFacetValues is the number of different values that are counted.
	MaxFacetValues = 100_000
	// maxFacetBytes bounds the texts of values and names.
	maxFacetBytes = 64 << 20
)

// FacetCounter counts entries by the values of a field, exactly and in bounded
// memory. It is not safe for concurrent use.
//
// An engine that has entries gives them to Add. One that has columns counts by
// value itself and gives the sums to AddValue, or the members of metadata to
// AddMember. Such values of actor and target ids have no names yet: before Result
// it finds those of the Top values and gives them to OfferName. Both may be mixed:
// what matters is that each entry is counted once.
type FacetCounter struct {
	field       audit.Field
	owner, path string // of metadata
	counts      map[string]*facet
	bytes       int
	entry       uint64 // number of the entry that is being counted
	err         error
}

// facet is one value: how often, and the newest name with the place of the entry
// that gave it.
type facet struct {
	count uint64
	entry uint64 // the last entry that was counted
	name  string
	named Key
}

// NewFacets returns a counter without counts. Text is no field with values: that
// and unknown fields are *audit.Error with code invalid_request and Field
// "field".
func NewFacets(field audit.Field) (*FacetCounter, error) {
	if field == audit.FieldText {
		return nil, audit.FieldErrorf(audit.CodeInvalidRequest, "field", "text has no values to count; name a field such as action")
	}
	known, err := audit.ParseField(string(field))
	if err != nil {
		return nil, audit.FieldErrorf(audit.CodeInvalidRequest, "field", "%v", err)
	}
	c := &FacetCounter{field: known, counts: map[string]*facet{}}
	c.owner, c.path, _ = known.MetadataPath()
	return c, nil
}

// Add counts one entry, once for each different value that it has. It is
// *audit.Error with code too_large once there are too many different values.
func (c *FacetCounter) Add(e *event.Entry) error {
	c.entry++
	switch c.field {
	case audit.FieldID:
		c.add(e.ID[:])
	case audit.FieldAction:
		c.add(e.Action)
	case audit.FieldVersion:
		var b [8]byte
		c.add(strconv.AppendInt(b[:0], int64(e.Version), 10))
	case audit.FieldActorType:
		c.add(e.Actor.Type)
	case audit.FieldActorID:
		c.addNamed(e.Actor.ID, e.Actor.Name, KeyOf(e))
	case audit.FieldActorName:
		c.addText(e.Actor.Name)
	case audit.FieldLocation:
		c.addText(e.Location)
	case audit.FieldUserAgent:
		c.addText(e.UserAgent)
	case audit.FieldSchema:
		if e.Unregistered {
			c.add([]byte(audit.SchemaUnregistered))
		}
	case audit.FieldTargetType, audit.FieldTargetID, audit.FieldTargetName:
		c.addTargets(e)
	default:
		c.addMetadata(e)
	}
	return c.err
}

func (c *FacetCounter) addTargets(e *event.Entry) {
	for i := range e.Targets {
		switch t := &e.Targets[i]; c.field {
		case audit.FieldTargetType:
			c.add(t.Type)
		case audit.FieldTargetID:
			c.addNamed(t.ID, t.Name, KeyOf(e))
		default:
			c.addText(t.Name)
		}
	}
}

func (c *FacetCounter) addMetadata(e *event.Entry) {
	switch c.owner {
	case "actor":
		eachAtPath(e.Actor.Metadata, c.path, c.add)
	case "target":
		for i := range e.Targets {
			eachAtPath(e.Targets[i].Metadata, c.path, c.add)
		}
	default:
		eachAtPath(e.Metadata, c.path, c.add)
	}
}

// addText counts an optional text, which is absent when empty.
func (c *FacetCounter) addText(b []byte) {
	if len(b) > 0 {
		c.add(b)
	}
}

// add counts the entry for a value, once however often the entry has it.
func (c *FacetCounter) add(value []byte) { c.get(value) }

// addNamed is add for an id that has a name.
func (c *FacetCounter) addNamed(value, name []byte, at Key) {
	if f := c.get(value); f != nil {
		c.setName(f, name, at)
	}
}

// setName gives a value a name, unless it has one from a newer entry.
func (c *FacetCounter) setName(f *facet, name []byte, at Key) {
	if len(name) == 0 || f.name != "" && at.Compare(f.named) < 0 {
		return
	}
	f.named = at
	if string(name) != f.name {
		c.bytes += len(name) - len(f.name)
		f.name = string(name)
		c.checkSize()
	}
}

// get counts the entry for a value and returns its facet, nil when there is no
// room.
func (c *FacetCounter) get(value []byte) *facet {
	f := c.counts[string(value)]
	if f == nil {
		if c.err != nil {
			return nil
		}
		f = &facet{}
		c.counts[string(value)] = f
		c.bytes += len(value)
		c.checkSize()
	}
	if f.entry != c.entry {
		f.entry = c.entry
		f.count++
	}
	return f
}

func (c *FacetCounter) checkSize() {
	if len(c.counts) > MaxFacetValues || c.bytes > maxFacetBytes {
		c.err = audit.FieldErrorf(audit.CodeTooLarge, "field",
			"%s has more different values here than are counted (%d); narrow the filter, such as with after and before", c.field, MaxFacetValues)
	}
}

// Field returns the field that is counted, with its full name.
func (c *FacetCounter) Field() audit.Field { return c.field }

// AddValue counts n entries, one or more, that have a value and were not counted
// for it before. The error is that of Add.
func (c *FacetCounter) AddValue(value []byte, n uint64) error {
	c.entry++
	if f := c.get(value); f != nil {
		f.count += n - 1 // get counted one
	}
	return c.err
}

// AddMember counts an entry by a member of the metadata that the field leads into:
// its name, escaped as in canonical JSON, and its value. more says that the member
// is of the same entry as the one before. The error is that of Add.
func (c *FacetCounter) AddMember(name, value []byte, more bool) error {
	if !more {
		c.entry++
	}
	Path(c.path).EachOf(name, value, c.add)
	return c.err
}

// Named reports whether values have names, as actor and target ids do.
func (c *FacetCounter) Named() bool {
	return c.field == audit.FieldActorID || c.field == audit.FieldTargetID
}

// NameOf returns the name that a value has as far as is known, and the place of
// the entry that has it; without a name it is "".
func (c *FacetCounter) NameOf(value string) (name string, at Key) {
	if f := c.counts[value]; f != nil {
		return f.name, f.named
	}
	return "", Key{}
}

// OfferName says that the entry at a place has a name for a value. The newest
// name is kept, whatever the order they are offered in. A value that was not
// counted is left alone.
func (c *FacetCounter) OfferName(value string, name []byte, at Key) {
	if f := c.counts[value]; f != nil {
		c.setName(f, name, at)
	}
}

// Top returns the limit most frequent values in the order of Result.
func (c *FacetCounter) Top(limit int) []FacetValue {
	limit = min(max(limit, 0), len(c.counts))
	if limit == 0 {
		return nil
	}
	// Sorted is no more than what may still be among them.
	var top []FacetValue
	least := uint64(0)
	for value, f := range c.counts {
		if f.count < least {
			continue
		}
		top = append(top, FacetValue{Value: value, Name: f.name, Count: f.count})
		if len(top) == 2*limit+topSlack {
			slices.SortFunc(top, compareFacets)
			top = top[:limit]
			least = top[limit-1].Count
		}
	}
	slices.SortFunc(top, compareFacets)
	return slices.Clone(top[:limit])
}

// topSlack is how many values more than needed are looked at together.
const topSlack = 64

// compareFacets orders values: the most frequent first, then by value.
func compareFacets(a, b FacetValue) int {
	return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Value, b.Value))
}

// Result returns the limit most frequent values, complete up to through.
func (c *FacetCounter) Result(limit int, through *audit.Position) Facets {
	return Facets{Values: c.Top(limit), Distinct: len(c.counts), Through: through}
}
