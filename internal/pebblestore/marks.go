package pebblestore

import (
	"encoding/binary"
	"errors"
	"slices"
	"sort"

	"github.com/cockroachdb/pebble/v2"

	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/event"
)

// marks say of the rows of a block which were removed, and stand there with a time
// and nothing else, and which were erased.
type marks struct {
	removed *block.Rows // nil for none
	erased  []erasedRow // ascending
}

// erasedRow is what the block does not have of an entry whose details were erased.
type erasedRow struct {
	row    int
	at     int64
	digest [32]byte
}

// markPart is the number of the part that has the marks.
const markPart = block.HeaderPart

var errMarks = errors.New("marks do not fit the block's rows")

func (m *marks) memory() int {
	n := 64 + 48*cap(m.erased)
	if m.removed != nil {
		n += m.removed.Bound()/8 + 32
	}
	return n
}

// hidden returns the rows that were removed, nil for none.
func (m *marks) hidden() *block.Rows {
	if m == nil {
		return nil
	}
	return m.removed
}

func (m *marks) isRemoved(row int) bool { return m != nil && m.removed != nil && m.removed.Has(row) }

// find returns the number of a row among those that were erased, -1 if it was not.
func (m *marks) find(row int) int {
	if m == nil || len(m.erased) == 0 {
		return -1
	}
	i := sort.Search(len(m.erased), func(i int) bool { return m.erased[i].row >= row })
	if i == len(m.erased) || m.erased[i].row != row {
		return -1
	}
	return i
}

// erase says of an entry, the block's row-th, that it was erased if it was. It
// reports whether it was.
func (m *marks) erase(e *event.Entry, row int) bool {
	i := m.find(row)
	if i < 0 {
		e.ErasedAt, e.Digest = 0, [32]byte{}
		return false
	}
	e.ErasedAt, e.Digest, e.Salt = m.erased[i].at, m.erased[i].digest, [16]byte{}
	return true
}

// remove adds a row to those that were removed. rows is that of the block, or a
// bound of it.
func (m *marks) remove(row, rows int) {
	if m.removed == nil {
		m.removed = &block.Rows{}
		m.removed.Reset(rows)
	}
	m.removed.Add(row)
}

// encode returns the value of the marks. rows is the number of rows of the block.
func (m *marks) encode(key []byte, rows int) []byte {
	spans := m.spans(rows)
	value := binary.AppendUvarint([]byte{valueVersion}, uint64(len(spans)))
	end := 0
	for _, s := range spans {
		value = binary.AppendUvarint(value, uint64(s[0]-end))  //nolint:gosec // ascending
		value = binary.AppendUvarint(value, uint64(s[1]-s[0])) //nolint:gosec // ascending
		end = s[1]
	}
	value = binary.AppendUvarint(value, uint64(len(m.erased)))
	end = 0
	for i := range m.erased {
		e := &m.erased[i]
		value = binary.AppendUvarint(value, uint64(e.row-end)) //nolint:gosec // ascending
		value = append(appendInt(value, e.at), e.digest[:]...)
		end = e.row + 1
	}
	return seal(key, value, 0)
}

// spans returns the removed rows as lo ≤ row < hi.
func (m *marks) spans(rows int) (list [][2]int) {
	if m.removed == nil {
		return nil
	}
	for row := range m.removed.All() {
		if row >= rows {
			break
		}
		if n := len(list); n > 0 && list[n-1][1] == row {
			list[n-1][1]++
		} else {
			list = append(list, [2]int{row, row + 1})
		}
	}
	return list
}

// decodeMarks reads the value of a block's marks.
func decodeMarks(key, value []byte, rows int) (*marks, error) {
	b, err := unseal(key, value)
	if err != nil {
		return nil, err
	}
	in := markInput{rest: b}
	m := &marks{}
	end := 0
	for i := range in.upTo(rows) {
		lo := end + in.upTo(rows-end)
		end = lo + in.upTo(rows-lo)
		if in.bad || end == lo || i > 0 && lo == 0 {
			return nil, errMarks
		}
		for row := lo; row < end; row++ {
			m.remove(row, rows)
		}
	}
	n := in.upTo(rows)
	end = 0
	for range n {
		e := erasedRow{row: end + in.upTo(rows-1-end)}
		e.at = in.erased(&e.digest)
		if in.bad || e.at == 0 || m.isRemoved(e.row) {
			return nil, errMarks
		}
		m.erased, end = append(m.erased, e), e.row+1
	}
	if in.bad || len(in.rest) > 0 {
		return nil, errMarks
	}
	m.erased = slices.Clip(m.erased)
	return m, nil
}

// markInput reads numbers until one is wrong.
type markInput struct {
	rest []byte
	bad  bool
}

// upTo reads a number that is at most limit, zero when it is not.
func (in *markInput) upTo(limit int) int {
	n, size := binary.Uvarint(in.rest)
	if size <= 0 || limit < 0 || n > uint64(limit) {
		in.bad = true
		return 0
	}
	in.rest = in.rest[size:]
	return int(n) //nolint:gosec // at most limit
}

func (in *markInput) erased(digest *[32]byte) (at int64) {
	if len(in.rest) < 8+len(digest) {
		in.bad = true
		return 0
	}
	at = int64At(in.rest, 0)
	in.rest = in.rest[8+copy(digest[:], in.rest[8:]):]
	return at
}

// marksOf returns the marks of a block, nil when it has none, and keeps them while
// there is room.
func (x *blockIndex) marksOf(b *sealedBlock) (*marks, error) {
	if b.generation == 0 {
		return nil, nil //nolint:nilnil // nil is none
	}
	if m := b.marks.Load(); m != nil {
		return m, nil
	}
	m, err := readMarks(x.db, b)
	if err != nil {
		return nil, err
	}
	if size := int64(m.memory()); x.used.Load()+size <= x.max && b.marks.CompareAndSwap(nil, m) {
		x.used.Add(size)
	}
	return m, nil
}

// readMarks reads the marks of a block that has some.
func readMarks(db pebble.Reader, b *sealedBlock) (*marks, error) {
	key := partKey(nil, b.org, b.Header, b.generation, markPart)
	value, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, errMoved
	}
	if err != nil {
		return nil, err
	}
	m, err := decodeMarks(key, value, b.Rows)
	if err != nil {
		err = damagedMarks{err}
	}
	return m, errors.Join(err, closer.Close())
}

// damagedMarks is an error about a block, like those of package block.
type damagedMarks struct{ error }

// Is reports whether target is that of damaged blocks.
func (damagedMarks) Is(target error) bool { return target == block.ErrCorrupt }
