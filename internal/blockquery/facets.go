package blockquery

import (
	"bytes"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
)

// Facets counts the rows that match and are not hidden by the values of the
// counter's field. Names of actor and target ids are not looked at: see
// [Query.Names]. The error is that of the counter, or the reader's.
func (q *Query) Facets(s Source, c *search.FacetCounter) error {
	if q.Skips(s.Reader.Header()) {
		return nil
	}
	var within *block.Rows // all
	if !s.all(q) {
		within = s.Reader.NewRows()
		if err := q.Rows(s, within); err != nil || within.Empty() {
			return err
		}
	}
	return addValues(s, c, within)
}

// addValues counts the rows in within, nil for all, by value.
func addValues(s Source, c *search.FacetCounter, within *block.Rows) error {
	field, _, look := fieldOf(c.Field())
	switch look {
	case byID:
		return addEntries(s, c, within)
	case byMetadata:
		return addMembers(s.Reader, c, within)
	case byObject:
		if field == block.FieldTargetMetadata && s.Reader.Header().MaxTargets > 1 {
			return addTargetObjects(s.Reader, c, within)
		}
		return addObjects(s.Reader, c, field, within)
	}
	var failed error
	err := s.Reader.Values(field, within, func(v block.Value) bool {
		failed = c.AddValue(v.Text, uint64(v.Count)) //nolint:gosec // positive
		return failed == nil
	})
	if err != nil {
		return err
	}
	return failed
}

// addMembers counts by a path into the entries' own metadata.
func addMembers(r *block.Reader, c *search.FacetCounter, within *block.Rows) error {
	var failed error
	last := -1
	err := r.Metadata(pathOf(c).Leads, within, func(row int, name, value []byte) bool {
		failed = c.AddMember(name, value, row == last)
		last = row
		return failed == nil
	})
	if err != nil {
		return err
	}
	return failed
}

func pathOf(c *search.FacetCounter) search.Path {
	_, path, _ := c.Field().MetadataPath()
	return search.Path(path)
}

// object counts the rows that have an object, by the different values that it has
// at a path.
type object struct {
	values [][]byte
	rows   uint64
}

// objects returns the different metadata objects of the actors or targets of rows
// that have values at the counter's path.
func objects(r *block.Reader, c *search.FacetCounter, field block.Field, within *block.Rows) ([]object, error) {
	path := pathOf(c)
	var list []object
	err := r.Values(field, within, func(v block.Value) bool {
		o := object{rows: uint64(v.Count)} //nolint:gosec // positive
		path.Each(v.Text, func(text []byte) {
			for _, have := range o.values {
				if bytes.Equal(have, text) {
					return
				}
			}
			o.values = append(o.values, bytes.Clone(text))
		})
		if len(o.values) > 0 {
			list = append(list, o)
		}
		return true
	})
	return list, err
}

// addObjects counts by a path into the metadata of actors, of which a row has
// one, or of targets where no row has more than that.
func addObjects(r *block.Reader, c *search.FacetCounter, field block.Field, within *block.Rows) error {
	list, err := objects(r, c, field, within)
	if err != nil {
		return err
	}
	for _, o := range list {
		for _, v := range o.values {
			if err := c.AddValue(v, o.rows); err != nil {
				return err
			}
		}
	}
	return nil
}

// mostShared is for how many values the rows are looked for value by value: as
// much work as reading the rows of a block.
const mostShared = 16

// addTargetObjects counts by a path into the metadata of targets. A value that
// several objects have may be in a row twice: its rows are looked for.
func addTargetObjects(r *block.Reader, c *search.FacetCounter, within *block.Rows) error {
	list, err := objects(r, c, block.FieldTargetMetadata, within)
	if err != nil {
		return err
	}
	sums := map[string]uint64{}
	shared := map[string]bool{}
	for _, o := range list {
		for _, v := range o.values {
			if _, ok := sums[string(v)]; ok {
				shared[string(v)] = true
			}
			sums[string(v)] += o.rows
		}
	}
	if len(shared) > mostShared {
		return addEntries(Source{Reader: r}, c, within)
	}
	rows := r.NewRows()
	for v, n := range sums {
		if shared[v] {
			rows.Reset(rows.Bound())
			if err := targetRows(r, pathOf(c), v, within, rows); err != nil {
				return err
			}
			n = uint64(rows.Len()) //nolint:gosec // positive
		}
		if err := c.AddValue([]byte(v), n); err != nil {
			return err
		}
	}
	return nil
}

// targetRows adds the rows with a target that has a value at a path.
func targetRows(r *block.Reader, path search.Path, value string, within, rows *block.Rows) error {
	var codes block.Codes
	filter := search.NewPathFilter(string(path), []string{value})
	if err := r.Select(block.FieldTargetMetadata, filter.Object, &codes); err != nil {
		return err
	}
	return r.Rows(&codes, within, rows)
}

// addEntries counts entry by entry, with ids where these are counted.
func addEntries(s Source, c *search.FacetCounter, within *block.Rows) error {
	return eachEntry(s.Reader, within, func(e *event.Entry) error {
		if c.Field() == audit.FieldID {
			cipher, err := s.Cipher()
			if err != nil {
				return err
			}
			e.ID = cipher.ID(e.ReceivedAt, e.Seq)
		}
		return c.Add(e)
	})
}

// eachEntry calls fn with the entries of the rows in within, nil for all, without
// their ids and salts.
func eachEntry(r *block.Reader, within *block.Rows, fn func(e *event.Entry) error) error {
	row := 0
	for e, err := range r.All(0, r.Header().Rows, false) {
		if err != nil {
			return err
		}
		if within == nil || within.Has(row) {
			if err := fn(e); err != nil {
				return err
			}
		}
		row++
	}
	return nil
}
