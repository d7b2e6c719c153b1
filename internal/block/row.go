package block

import (
	"fmt"
	"iter"
	"slices"
	"sort"

	"github.com/stelehq/stele/internal/event"
)

// Row fills e with one entry, but for ID and Salt. i is from 0. Metadata may be
// built in scratch, which is returned, possibly grown, for the next call; other
// texts point into the Reader's memory, which nobody changes: they stay valid
// for as long as they are referenced. e.Targets is reused.
func (r *Reader) Row(i int, e *event.Entry, scratch []byte) ([]byte, error) {
	if i < 0 || i >= r.h.Rows {
		return scratch, fmt.Errorf("block at %d: row %d of %d", r.h.FirstSeq, i, r.h.Rows)
	}
	occurred, err := r.time(colOccurred, i)
	if err != nil {
		return scratch, err
	}
	received, err := r.time(colReceived, i)
	if err != nil {
		return scratch, err
	}
	*e = event.Entry{
		Event: event.Event{OccurredAt: occurred, Targets: e.Targets[:0]},
		Seq:   r.h.FirstSeq + uint64(i), ReceivedAt: received,
	}
	if err := r.rowAction(i, &e.Event); err != nil {
		return scratch, err
	}
	if err := r.rowParties(i, &e.Event); err != nil {
		return scratch, err
	}
	if e.Location, err = r.coded(colLocation, colLocationText, i); err != nil {
		return scratch, err
	}
	if e.UserAgent, err = r.coded(colAgent, colAgentText, i); err != nil {
		return scratch, err
	}
	scratch, err = r.rowMetadata(i, scratch[:0])
	if len(scratch) > 0 {
		e.Metadata = slices.Clip(scratch)
	}
	return scratch, err
}

// time returns one value of a column of times.
func (r *Reader) time(col column, i int) (int64, error) {
	shift := r.h.table[col].shift
	c, err := r.chunk(col, i>>shift)
	if err != nil {
		return 0, err
	}
	return c.nums[i&(1<<shift-1)], nil
}

// coded returns the text that a row has a code of, nil when it is empty.
func (r *Reader) coded(codes, texts column, i int) ([]byte, error) {
	code, err := r.code(codes, i)
	if err != nil {
		return nil, err
	}
	return r.field(texts, code)
}

// field is text with nil for an empty one, as events have it.
func (r *Reader) field(col column, i int) ([]byte, error) {
	b, err := r.text(col, i)
	if len(b) == 0 {
		return nil, err
	}
	return b, err
}

func (r *Reader) rowAction(i int, ev *event.Event) error {
	code, err := r.code(colAction, i)
	if err != nil {
		return err
	}
	return r.action(code, ev)
}

// action sets what an entry of the dictionary of actions says.
func (r *Reader) action(code int, ev *event.Event) error {
	version, err := r.code(colActionVersion, code)
	if err != nil {
		return err
	}
	flags, err := r.code(colActionFlags, code)
	if err != nil {
		return err
	}
	ev.Version, ev.Unregistered = version, flags&flagUnregistered != 0
	ev.Action, err = r.field(colActionText, code)
	return err
}

func (r *Reader) rowParties(i int, ev *event.Event) error {
	code, err := r.code(colActor, i)
	if err != nil {
		return err
	}
	if err := r.party(colActorTypeText, code, &ev.Actor); err != nil {
		return err
	}
	lo, hi, err := r.ends(colTargetEnd, i)
	if err != nil {
		return err
	}
	for slot := lo; slot < hi; slot++ {
		code, err := r.code(colTarget, slot)
		if err != nil {
			return err
		}
		ev.Targets = append(ev.Targets, event.Party{})
		if err := r.party(colTargetTypeText, code, &ev.Targets[slot-lo]); err != nil {
			return err
		}
	}
	return nil
}

// The columns of a dictionary of parties, after that of the types.
const (
	ofType column = iota + 1
	ofID
	ofEnd
	ofName
	ofMetadata
)

// party fills p with a profile of the dictionary whose types are in a column.
func (r *Reader) party(types column, code int, p *event.Party) error {
	ident, err := r.identOf(types, code)
	if err != nil {
		return err
	}
	typ, err := r.code(types+ofType, ident)
	if err != nil {
		return err
	}
	if p.Type, err = r.field(types, typ); err != nil {
		return err
	}
	if p.ID, err = r.field(types+ofID, ident); err != nil {
		return err
	}
	if p.Name, err = r.field(types+ofName, code); err != nil {
		return err
	}
	p.Metadata, err = r.field(types+ofMetadata, code)
	return err
}

// identOf returns the identity of a profile: the first that ends after it.
func (r *Reader) identOf(types column, code int) (int, error) {
	idents := r.h.table[types+ofID].n
	if idents == r.h.table[types+ofName].n {
		return code, nil
	}
	var failed error
	ident := sort.Search(idents-1, func(i int) bool {
		_, end, err := r.ends(types+ofEnd, i)
		if err != nil {
			failed = err
		}
		return end > code
	})
	return ident, failed
}

// rowMetadata appends a row's metadata object, nothing when it has none.
func (r *Reader) rowMetadata(i int, dst []byte) ([]byte, error) {
	p, err := r.getPlan()
	if err != nil {
		return dst, err
	}
	code, err := r.code(colShape, i)
	if err != nil {
		return dst, err
	}
	shape := p.shapes[code]
	if len(shape) == 0 {
		return dst, nil
	}
	shift := r.h.table[colMetadata].shift
	c, err := r.chunk(colMetadata, i>>shift)
	if err != nil {
		return dst, err
	}
	return r.metaObject(p, shape, c.meta, i&(1<<shift-1), dst)
}

// metaObject appends the metadata object of the i-th row of a chunk, which has
// the given shape and that some paths.
func (r *Reader) metaObject(p *plan, shape []byte, m *metaChunk, i int, dst []byte) ([]byte, error) {
	values := m.index[m.starts[i]:]
	for j, path := range shape {
		v, err := r.metaValue(p, m, int(path), values[j])
		if err != nil {
			return dst, err
		}
		if int(path) == p.raw {
			return append(dst, v...), nil
		}
		if j == 0 {
			dst = append(dst, '{')
		} else {
			dst = append(dst, ',')
		}
		dst = append(dst, p.paths[path].label...)
		dst = append(dst, v...)
	}
	return append(dst, '}'), nil
}

// metaValue returns a value of a path by its index.
func (r *Reader) metaValue(p *plan, m *metaChunk, path int, index uint32) ([]byte, error) {
	if pp := &p.paths[path]; pp.dict() {
		return r.text(pp.texts, int(m.codes[index]))
	}
	return m.texts.at(int(index)), nil
}

// All yields the rows lo ≤ i < hi in order, or in falling order when desc, as
// [Reader.Row] gives them; an entry is valid until the next one. What it decodes
// it keeps only while it runs. Of many rows the first are put together one by one,
// so that a caller who needs few is served soon, and then whole dictionaries are
// decoded. An error ends the sequence.
func (r *Reader) All(lo, hi int, desc bool) iter.Seq2[*event.Entry, error] {
	lo, hi = max(lo, 0), min(hi, r.h.Rows)
	return func(yield func(*event.Entry, error) bool) {
		w := rowWalk{r: r.view(), left: max(hi-lo, 0), next: lo, step: 1}
		if desc {
			w.next, w.step = hi-1, -1
		}
		defer w.end()
		for w.left > 0 {
			e, err := w.row()
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// rowWalk goes through rows.
type rowWalk struct {
	r                *Reader
	next, step, left int
	done             int
	bulk             *bulk
	e                event.Entry
	scratch          []byte
}

// end gives back what others can use.
func (w *rowWalk) end() {
	if w.bulk != nil {
		w.bulk.put()
	}
}

func (w *rowWalk) row() (e *event.Entry, err error) {
	if w.bulk == nil && w.done == bulkAfter && w.left >= w.r.h.Rows/bulkFrom {
		if w.bulk, err = w.r.newBulk(); err != nil {
			return nil, err
		}
	}
	i := w.next
	if b := w.bulk; b == nil {
		w.scratch, err = w.r.Row(i, &w.e, w.scratch)
	} else {
		if i < b.lo || i >= b.hi {
			lo := i
			if w.step < 0 {
				lo = i + 1 - min(w.left, bulkWindow)
			}
			if err := b.load(lo, lo+min(w.left, bulkWindow)); err != nil {
				return nil, err
			}
		}
		w.scratch, err = b.row(i, &w.e, w.scratch)
	}
	if err != nil {
		return nil, err
	}
	w.next += w.step
	w.left--
	w.done++
	return &w.e, nil
}

// view returns a reader that begins with what r has decoded and shares nothing
// that it decodes.
func (r *Reader) view() *Reader {
	v := NewReader(r.h, r.fetch)
	for i, chunks := range r.chunks {
		for k := range chunks {
			v.chunks[i][k].Store(chunks[k].Load())
		}
	}
	v.plan.Store(r.plan.Load())
	return v
}
