package block

import (
	"bytes"
	"hash/maphash"
	"math/bits"
)

// Value is one value of a field and in how many rows it is. Text is valid for as
// long as it is referenced, and not to be changed.
type Value struct {
	Text  []byte
	Count int
}

// Values calls fn for every value of a field that rows in within (nil for all)
// have, in no particular order, until fn returns false: once for each different
// text but the empty one, with a row counted once however often it has it. Rows
// are not materialized: it reads the field's dictionary and its codes.
func (r *Reader) Values(f Field, within *Rows, fn func(Value) bool) error {
	if within != nil && within.Empty() {
		return nil
	}
	g, err := r.group(f)
	if err != nil {
		return err
	}
	counts := make([]int, len(g.texts))
	if f.info().about == colTarget {
		err = r.countTargets(g, within, counts)
	} else {
		err = r.countRows(f.info().about, g, within, counts)
	}
	if err != nil {
		return err
	}
	for i, n := range counts {
		if n > 0 && len(g.texts[i]) > 0 && !fn(Value{g.texts[i], n}) {
			return nil
		}
	}
	return nil
}

// grouping says which of its values each code has in a field.
type grouping struct {
	of    []uint32 // by code: its value's number
	texts [][]byte // of the values
}

// add gives the next code a value: that of the code before if that has the same
// text.
func (g *grouping) add(text []byte) {
	if n := len(g.texts); n == 0 || !bytes.Equal(g.texts[n-1], text) {
		g.texts = append(g.texts, text)
	}
	g.of = append(g.of, uint32(len(g.texts)-1)) //nolint:gosec // small
}

// group returns the values of a field.
func (r *Reader) group(f Field) (*grouping, error) {
	info := f.info()
	switch f {
	case FieldVersion, FieldUnregistered:
		return r.groupActions(f)
	case FieldActorType, FieldTargetType:
		return r.groupTypes(info)
	case FieldActorName, FieldTargetName, FieldActorMetadata, FieldTargetMetadata:
		return r.groupAny(info.texts)
	}
	g := &grouping{}
	err := r.eachChunk(info.texts, func(first int, c *chunk) error {
		for i := range c.texts.ends {
			lo, hi := first+i, first+i+1
			if info.types != 0 {
				var err error
				if lo, hi, err = r.profiles(info.types, lo, hi); err != nil {
					return err
				}
			}
			for range hi - lo {
				g.add(c.texts.at(i))
			}
		}
		return nil
	})
	return r.whole(g, info.about), err
}

// whole returns g with a value for every code, whatever the block says.
func (r *Reader) whole(g *grouping, about column) *grouping {
	for len(g.of) < r.h.entries(about) {
		g.add(nil)
	}
	return g
}

// groupActions groups actions by version or registration.
func (r *Reader) groupActions(f Field) (*grouping, error) {
	g, numbers := &grouping{}, newNumbering(0)
	for i := range r.h.counts[perAction] {
		value, err := r.actionValue(f, i)
		if err != nil {
			return nil, err
		}
		g.addAny(value, numbers)
	}
	return g, nil
}

// groupAny groups texts that are in no order.
func (r *Reader) groupAny(col column) (*grouping, error) {
	n := r.h.table[col].n
	g, numbers := &grouping{of: make([]uint32, 0, n)}, newNumbering(n)
	err := r.eachChunk(col, func(_ int, c *chunk) error {
		for i := range c.texts.ends {
			g.addAny(c.texts.at(i), numbers)
		}
		return nil
	})
	return g, err
}

// numbering finds the numbers of texts that are in no order.
type numbering struct {
	table table
	seed  maphash.Seed
}

// newNumbering returns a numbering with room for n texts.
func newNumbering(n int) *numbering {
	size := 1 << bits.Len(uint(2*n|63))
	return &numbering{table: table{slots: make([]uint64, size), hashes: make([]uint64, 0, n)}, seed: maphash.MakeSeed()}
}

func (g *grouping) addAny(text []byte, numbers *numbering) {
	hash := maphash.Bytes(numbers.seed, text)
	n, next := numbers.table.lookup(hash, hash)
	for n >= 0 && !bytes.Equal(g.texts[n], text) {
		n, next = numbers.table.lookup(hash, next)
	}
	if n < 0 {
		n = numbers.table.add(hash)
		g.texts = append(g.texts, text)
	}
	g.of = append(g.of, uint32(n)) //nolint:gosec // small
}

// groupTypes groups profiles by type.
func (r *Reader) groupTypes(info fieldInfo) (*grouping, error) {
	g := &grouping{}
	err := r.eachChunk(info.types, func(_ int, c *chunk) error {
		for i := range c.texts.ends {
			g.texts = append(g.texts, c.texts.at(i))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for ident := range r.h.table[info.types+ofID].n {
		typ, err := r.code(info.types+ofType, ident)
		if err != nil {
			return nil, err
		}
		lo, hi, err := r.profiles(info.types, ident, ident+1)
		if err != nil {
			return nil, err
		}
		for range hi - lo {
			g.of = append(g.of, uint32(typ)) //nolint:gosec // small
		}
	}
	return r.whole(g, info.about), nil
}

// countRows counts the rows of each value, of which each row has one.
func (r *Reader) countRows(about column, g *grouping, within *Rows, counts []int) error {
	t := &r.h.table[about]
	var buf []uint16
	for k := range t.chunks() {
		first := k << t.shift
		if within != nil && !within.any(first, first+1<<t.shift) {
			continue
		}
		var err error
		if buf, err = r.appendCodes(buf[:0], about, first, min(first+1<<t.shift, t.n)); err != nil {
			return err
		}
		for i, code := range buf {
			if within == nil || within.Has(first+i) {
				counts[g.of[code]]++
			}
		}
	}
	return nil
}

// countTargets counts the rows of each value, of which each row has one for every
// target.
func (r *Reader) countTargets(g *grouping, within *Rows, counts []int) error {
	targets, err := r.appendCodes(nil, colTarget, 0, r.h.counts[perSlot])
	if err != nil {
		return err
	}
	last := make([]int, len(g.texts)) // the row after the last that was counted
	t := &r.h.table[colTargetEnd]
	for k := range t.chunks() {
		first := k << t.shift
		if within != nil && !within.any(first, first+1<<t.shift) {
			continue
		}
		c, err := r.chunk(colTargetEnd, k)
		if err != nil {
			return err
		}
		for i, end := range c.ends[1:] {
			row := first + i
			if within != nil && !within.Has(row) {
				continue
			}
			for _, code := range targets[c.ends[i]:end] {
				if v := g.of[code]; last[v] <= row {
					last[v] = row + 1
					counts[v]++
				}
			}
		}
	}
	return nil
}

// NewestName returns the name of the actor or target with the given id, as the
// newest row by (occurred_at, seq) among within (nil for all) has it that has a
// name for it, and that row; without one the name is nil. The field is
// FieldActorID or FieldTargetID.
func (r *Reader) NewestName(f Field, id []byte, within *Rows) (name []byte, row int, err error) {
	var codes Codes
	if err := r.Equal(f, id, &codes); err != nil {
		return nil, 0, err
	}
	rows := r.NewRows()
	if err := r.Rows(&codes, within, rows); err != nil {
		return nil, 0, err
	}
	var newest int64
	for i := range rows.All() {
		at, err := r.Occurred(i)
		if err != nil {
			return nil, 0, err
		}
		if name != nil && at < newest {
			continue
		}
		found, err := r.nameIn(i, f, &codes)
		if err != nil {
			return nil, 0, err
		}
		if found != nil {
			name, row, newest = found, i, at
		}
	}
	return name, row, nil
}

// nameIn returns the name that a row has for one of the codes, the last of them.
func (r *Reader) nameIn(row int, f Field, codes *Codes) (name []byte, err error) {
	info := f.info()
	lo, hi, col := row, row+1, colActor
	if info.about == colTarget {
		col = colTarget
		if lo, hi, err = r.ends(colTargetEnd, row); err != nil {
			return nil, err
		}
	}
	for i := lo; i < hi; i++ {
		code, err := r.code(col, i)
		if err != nil {
			return nil, err
		}
		if !codes.Has(code) {
			continue
		}
		b, err := r.field(info.types+ofName, code)
		if err != nil {
			return nil, err
		}
		if b != nil {
			name = b
		}
	}
	return name, nil
}
