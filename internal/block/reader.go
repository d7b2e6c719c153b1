package block

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/stelehq/stele/internal/event"
)

// Reader reads one block. It fetches a part when something in it is asked for
// and keeps what it decoded: the codes and times it went through, and the chunks
// of dictionaries and metadata that single rows needed. MemoryBytes says how much
// that is, and dropping the Reader is how to free it. All methods may be called
// concurrently.
//
// Methods fail with what fetch fails with, or with an error that has
// [ErrCorrupt] and names the part and what is wrong.
type Reader struct {
	h      *Header
	fetch  func(part int) ([]byte, error)
	chunks [][]atomic.Pointer[chunk] // by column of h.table
	plan   atomic.Pointer[plan]
	memory atomic.Int64
	// kept are the parts that decoded codes are the bytes of, by number.
	kept []atomic.Pointer[[]byte]

	recentMu sync.Mutex
	recent   [recentParts]recentPart // guarded by recentMu, the last used first
}

// recentParts is how many parts are kept: chunks that one row needs share parts,
// and the parts of one row are few.
const recentParts = 8

type recentPart struct {
	part int
	b    []byte
}

// chunk is a decoded chunk. It is immutable. Of its fields those are set that the
// column's kind has.
type chunk struct {
	texts textChunk
	codes codes
	nums  []int64  // of rows
	ends  []uint32 // one more than values: where the first begins, and where each ends
	meta  *metaChunk
}

func (c *chunk) memory() int {
	n := c.texts.memory() + 8*cap(c.nums) + 4*cap(c.ends) + 160
	if c.meta != nil {
		n += c.meta.memory()
	}
	if c.codes.low != nil && c.codes.bits == 0 {
		n += c.codes.len() // unless it is a part's bytes
	}
	return n
}

// NewReader returns a reader of the block with the given header. fetch returns a
// part by number; it may be called concurrently, and the Reader may keep the
// bytes it returned for as long as it lives.
func NewReader(h *Header, fetch func(part int) ([]byte, error)) *Reader {
	r := &Reader{h: h, fetch: fetch, chunks: make([][]atomic.Pointer[chunk], len(h.table))}
	n := len(h.starts) - 1
	all := make([]atomic.Pointer[chunk], n)
	for i := range h.table {
		k := h.table[i].chunks()
		r.chunks[i], all = all[:k:k], all[k:]
	}
	r.kept = make([]atomic.Pointer[[]byte], h.Parts)
	r.memory.Store(int64(256 + 8*n + 24*len(h.table) + 8*h.Parts))
	return r
}

// Header returns the block's header.
func (r *Reader) Header() *Header { return r.h }

// MemoryBytes is the size of everything that the Reader keeps now, without its
// header. It grows as more is asked.
func (r *Reader) MemoryBytes() int64 {
	n := r.memory.Load()
	r.recentMu.Lock()
	defer r.recentMu.Unlock()
	for i := range r.recent {
		n += int64(cap(r.recent[i].b))
	}
	return n
}

// NewRows returns an empty set of rows of the block.
func (r *Reader) NewRows() *Rows {
	s := &Rows{}
	s.Reset(r.h.Rows)
	return s
}

// chunk returns a decoded chunk, and keeps it.
func (r *Reader) chunk(col column, k int) (*chunk, error) {
	slot := &r.chunks[col][k]
	if c := slot.Load(); c != nil {
		return c, nil
	}
	c, err := r.decode(col, k)
	if err != nil {
		return nil, err
	}
	if slot.CompareAndSwap(nil, c) {
		r.memory.Add(int64(c.memory()))
	}
	return c, nil
}

// peek returns a decoded chunk and does not keep it.
func (r *Reader) peek(col column, k int) (*chunk, error) {
	if c := r.chunks[col][k].Load(); c != nil {
		return c, nil
	}
	return r.decode(col, k)
}

// Part returns a part as it is stored, checked.
func (r *Reader) Part(part int) ([]byte, error) { return r.part(part, false) }

// part is Part, and keeps the part for good or with those used last.
func (r *Reader) part(part int, keep bool) ([]byte, error) {
	if b := r.kept[part].Load(); b != nil {
		return *b, nil
	}
	b := r.recentPart(part, keep)
	if b == nil {
		var err error
		if b, err = r.fetch(part); err != nil {
			return nil, fmt.Errorf("block at %d: fetch part %d: %w", r.h.FirstSeq, part, err)
		}
		if _, err := r.h.open(part, b); err != nil {
			return nil, fmt.Errorf("block at %d: %w", r.h.FirstSeq, err)
		}
		if !keep {
			r.recentMu.Lock()
			copy(r.recent[1:], r.recent[:])
			r.recent[0] = recentPart{part, b}
			r.recentMu.Unlock()
		}
	}
	if keep && r.kept[part].CompareAndSwap(nil, &b) {
		r.memory.Add(int64(cap(b)))
	}
	return b, nil
}

// recentPart returns a part that was used lately, or nil. take takes it away from
// those.
func (r *Reader) recentPart(part int, take bool) []byte {
	r.recentMu.Lock()
	defer r.recentMu.Unlock()
	for i, p := range r.recent {
		if p.part != part || p.b == nil {
			continue
		}
		if take {
			copy(r.recent[i:], r.recent[i+1:])
			r.recent[recentParts-1] = recentPart{}
		} else {
			copy(r.recent[1:i+1], r.recent[:i])
			r.recent[0] = p
		}
		return p.b
	}
	return nil
}

// DropParts lets go of the parts that were fetched last. A cache calls it when it
// puts a Reader aside: what is decoded stays, and so do parts whose codes need no
// decoding.
func (r *Reader) DropParts() {
	r.recentMu.Lock()
	defer r.recentMu.Unlock()
	r.recent = [recentParts]recentPart{}
}

// decode decodes a chunk, to be kept.
func (r *Reader) decode(col column, k int) (*chunk, error) {
	in, err := r.input(col, k)
	if err != nil {
		return nil, err
	}
	t := &r.h.table[col]
	lo := k << t.shift
	n := min(t.n-lo, 1<<t.shift)
	c := &chunk{}
	switch t.kind {
	case kindInts:
		c.codes = readCodes(in, n, r.h.limit(col))
	case kindSums, kindTimes:
		c.nums = r.h.readTimes(in, col, n)
	case kindEnds:
		c.ends = readSums(in, n, r.h.counts[endsOf(col)])
		if lo, hi := r.h.slotsOf(k); in.bad == "" && col == colTargetEnd && (int(c.ends[0]) != lo || int(c.ends[n]) != hi) {
			in.fail("targets are not as many as the header says")
		}
	case kindTexts, kindSorted:
		readTexts(in, &c.texts, n, t.kind == kindSorted)
	case kindMeta:
		c.meta = &metaChunk{}
		if err := r.indexMeta(in, lo, n, c.meta); err != nil {
			return nil, err
		}
	}
	return c, r.finish(in, col, k)
}

// input returns the bytes of a chunk.
func (r *Reader) input(col column, k int) (*input, error) {
	at := r.h.place(col, k)
	b, err := r.part(at.part, r.h.table[col].kind == kindInts)
	if err != nil {
		return nil, err
	}
	return &input{rest: b[at.offset : at.offset+at.size]}, nil
}

// finish says what was wrong with a chunk, when something was.
func (r *Reader) finish(in *input, col column, k int) error {
	in.end()
	if in.bad != "" {
		return r.corrupt(col, k, in.bad)
	}
	return nil
}

func (r *Reader) corrupt(col column, k int, why string) error {
	at := r.h.place(col, k)
	return fmt.Errorf("block at %d: %w", r.h.FirstSeq, corrupt(at.part, fmt.Sprintf("%s, chunk %d", col.name(), k), why))
}

// limit is what the values of a column of codes are below.
func (h *Header) limit(col column) int {
	switch col {
	case colAction:
		return h.counts[perAction]
	case colShape:
		return h.counts[perShape]
	case colActor:
		return h.counts[perActor]
	case colTarget:
		return h.counts[perTarget]
	case colLocation:
		return h.counts[perLocation]
	case colAgent:
		return h.counts[perAgent]
	case colActorType:
		return h.counts[perActorType]
	case colTargetType:
		return h.counts[perTargetType]
	case colActionVersion:
		return event.MaxVersion + 1
	default:
		return flagUnregistered + 1
	}
}

// endsOf is what a column of ends is of.
func endsOf(col column) counted {
	switch col {
	case colTargetEnd:
		return perSlot
	case colActorEnd:
		return perActor
	default:
		return perTarget
	}
}

// readTimes decodes times of rows and holds them to the header's bounds.
func (h *Header) readTimes(in *input, col column, n int) []int64 {
	nums := make([]int64, n)
	t := in.uvarint()
	if n > 1 {
		readInts(in, nums[1:])
	}
	low, high, unit := h.FirstReceived, h.LastReceived, int64(1)
	if col == colOccurred {
		low, high, unit = h.MinOccurred, h.MaxOccurred, h.unit
		for i, d := range nums {
			nums[i] = unzigzag(uint64(d)) //nolint:gosec // bits
		}
	}
	first, last := uint64(low/unit), uint64(high/unit) //nolint:gosec // not negative
	for i, d := range nums {
		t += uint64(d) //nolint:gosec // modulo 2^64
		if t-first > last-first {
			in.fail("a time is beyond the header's bounds")
			return nums
		}
		nums[i] = int64(t) * unit //nolint:gosec // within bounds
	}
	return nums
}

// readSums decodes n ends, up to limit, with where the first begins before them.
func readSums(in *input, n, limit int) []uint32 {
	ends := make([]uint32, n+1)
	sum := uint64(in.upTo(limit)) //nolint:gosec // small
	readInts(in, ends[1:])
	ends[0] = uint32(sum) //nolint:gosec // at most limit
	for i, d := range ends[1:] {
		if sum += uint64(d); sum > uint64(limit) { //nolint:gosec // small
			in.fail("an end is beyond the last")
			return ends
		}
		ends[i+1] = uint32(sum) //nolint:gosec // at most limit
	}
	return ends
}

// code returns one value of a column of codes.
func (r *Reader) code(col column, i int) (int, error) {
	shift := r.h.table[col].shift
	c, err := r.chunk(col, i>>shift)
	if err != nil {
		return 0, err
	}
	code := c.codes.at(i & (1<<shift - 1))
	if code >= r.h.limit(col) {
		return 0, r.corrupt(col, i>>shift, "a code is beyond its dictionary")
	}
	return code, nil
}

// appendCodes appends the values lo ≤ i < hi of a column of codes.
func (r *Reader) appendCodes(dst []uint16, col column, lo, hi int) ([]uint16, error) {
	shift, limit := r.h.table[col].shift, r.h.limit(col)
	for lo < hi {
		k := lo >> shift
		c, err := r.chunk(col, k)
		if err != nil {
			return dst, err
		}
		end := min(hi, (k+1)<<shift)
		var ok bool
		if dst, ok = c.codes.appendTo(dst, lo-k<<shift, end-k<<shift, limit); !ok {
			return dst, r.corrupt(col, k, "a code is beyond its dictionary")
		}
		lo = end
	}
	return dst, nil
}

// text returns one text of a column of texts.
func (r *Reader) text(col column, i int) ([]byte, error) {
	shift := r.h.table[col].shift
	c, err := r.chunk(col, i>>shift)
	if err != nil {
		return nil, err
	}
	return c.texts.at(i & (1<<shift - 1)), nil
}

// ends returns where the i-th of a column of ends begins and ends.
func (r *Reader) ends(col column, i int) (lo, hi int, err error) {
	shift := r.h.table[col].shift
	c, err := r.chunk(col, i>>shift)
	if err != nil {
		return 0, 0, err
	}
	j := i & (1<<shift - 1)
	return int(c.ends[j]), int(c.ends[j+1]), nil
}
