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
	f := c.get(value)
	if f == nil || len(name) == 0 || f.name != "" && at.Compare(f.named) < 0 {
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

// Result returns the limit most frequent values, complete up to through.
func (c *FacetCounter) Result(limit int, through *audit.Position) Facets {
	all := make([]FacetValue, 0, len(c.counts))
	for value, f := range c.counts {
		all = append(all, FacetValue{Value: value, Name: f.name, Count: f.count})
	}
	slices.SortFunc(all, func(a, b FacetValue) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Value, b.Value))
	})
	out := Facets{Distinct: len(all), Through: through}
	out.Values = slices.Clone(all[:min(max(limit, 0), len(all))])
	return out
}
