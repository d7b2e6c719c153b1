package pebblestore

import (
	"bytes"
	"cmp"
	"container/list"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/stelehq/stele/internal/block"
)

// maxParts is how many parts of a block its keys can number.
const maxParts = math.MaxUint16

// sealedBlock is a block in the store. It is immutable but for what is kept of
// its parts.
type sealedBlock struct {
	org string
	*block.Header
	// generation is that of the range's keys: unless it is zero, the block has
	// marks.
	generation uint32
	// removed says that there is no block, since all these entries were removed.
	// Then of the header only its place is known.
	removed bool
	// newest is the newest occurred_at of this block and all before it.
	newest int64
	// filter is kept once it was read, as long as there is room for filters.
	filter atomic.Pointer[block.Filter]
	marks  atomic.Pointer[marks] // likewise
	// damage says why the block cannot be read; then of the header only its place
	// is known.
	damage *CorruptError
}

// damagedBlock stands in a view for entries whose header cannot be read, err, or
// is missing, nil. They may have occurred at any time.
func damagedBlock(org string, from, to uint64, err error) *sealedBlock {
	what := "block"
	if err == nil {
		what = "missing"
	}
	return &sealedBlock{
		org: org, damage: corrupt(org, from, to, what, err),
		Header: &block.Header{FirstSeq: from, Rows: int(to - from), MinOccurred: math.MinInt64, MaxOccurred: math.MaxInt64}, //nolint:gosec // in memory only
	}
}

// removedBlock stands in a view for entries that were removed.
func removedBlock(org string, from, to uint64) *sealedBlock {
	return &sealedBlock{
		org: org, removed: true,
		Header: &block.Header{FirstSeq: from, Rows: int(to - from), MinOccurred: math.MaxInt64, MaxOccurred: math.MinInt64}, //nolint:gosec // in memory only
	}
}

// end is the seq after the last entry.
func (b *sealedBlock) end() uint64 { return b.FirstSeq + uint64(b.Rows) } //nolint:gosec // 1..block.MaxRows

// memory is what is kept of the block outside of the cache of readers.
func (b *sealedBlock) memory() int64 {
	n := 64 + b.MemoryBytes()
	if f := b.filter.Load(); f != nil {
		n += f.MemoryBytes()
	}
	if m := b.marks.Load(); m != nil {
		n += m.memory()
	}
	return int64(n)
}

// sealedView is the blocks of a log at one moment: one after the other from the
// first entry, with something in the place of those that were removed or are
// damaged. It is immutable.
type sealedView struct {
	blocks []*sealedBlock
}

// end is the seq of the first entry that is not in a block.
func (v *sealedView) end() uint64 {
	if len(v.blocks) == 0 {
		return 0
	}
	return v.blocks[len(v.blocks)-1].end()
}

// memory is what is kept of the blocks outside of the cache of readers; nothing for
// a view that is not there.
func (v *sealedView) memory() int64 {
	var n int64
	if v == nil {
		return 0
	}
	for _, b := range v.blocks {
		n += b.memory()
	}
	return n
}

// find returns the number of the block that has an entry, len(v.blocks) for one
// after them.
func (v *sealedView) find(seq uint64) int {
	return sort.Search(len(v.blocks), func(i int) bool { return v.blocks[i].end() > seq })
}

// has reports whether there is a block of just these entries and of that
// generation.
func (v *sealedView) has(from, to uint64, generation uint32) bool {
	i := v.find(from)
	if i == len(v.blocks) {
		return false
	}
	b := v.blocks[i]
	return b.FirstSeq == from && b.end() == to && b.generation == generation && !b.removed
}

// replace returns the view in which blocks take the place of all from the same
// seq on.
func (v *sealedView) replace(blocks []*sealedBlock) *sealedView {
	keep := v.find(blocks[0].FirstSeq)
	next := &sealedView{blocks: make([]*sealedBlock, 0, keep+len(blocks))}
	next.blocks = append(append(next.blocks, v.blocks[:keep]...), blocks...)
	next.age(keep)
	return next
}

// age sets the newest of the blocks from the i-th on.
func (v *sealedView) age(i int) {
	for ; i < len(v.blocks); i++ {
		b := v.blocks[i]
		b.newest = b.MaxOccurred
		if i > 0 {
			b.newest = max(b.newest, v.blocks[i-1].newest)
		}
	}
}

// blockIndex is what memory holds of blocks: their headers, by log, and their
// filters; both are read when they are needed and forgotten when others need the
// room. Decoded columns are in the cache of readers.
type blockIndex struct {
	db      *pebble.DB
	max     int64 // bytes of headers and filters
	readers readerCache

	clock atomic.Uint64
	used  atomic.Int64 // bytes of headers and filters, about

	mu     sync.Mutex
	loaded map[*orgLog]struct{} // those with a view
}

func (x *blockIndex) open(db *pebble.DB, indexBytes, columnBytes int64) {
	x.db, x.max, x.loaded = db, indexBytes, map[*orgLog]struct{}{}
	x.readers.max, x.readers.byBlock = columnBytes, map[*sealedBlock]*list.Element{}
}

// sealedEnd returns the seq of a log's first entry that is not in a block and was
// not removed, from the last block and the last gap alone.
func sealedEnd(db pebble.Reader, org string) (uint64, error) {
	var end, removed uint64
	err := lastRow(db, appendOrgKey(nil, kindBlock, org), func(key, value []byte) error {
		b, err := decodeBlock(org, key, value)
		if err == nil {
			end = b.end()
		}
		return err
	})
	if err == nil {
		err = lastRow(db, appendOrgKey(nil, kindGap, org), func(key, value []byte) error {
			g, err := decodeGap(key, value)
			removed = g.to
			return err
		})
	}
	return max(end, removed), err
}

// lastRow calls fn with the last row whose key begins with prefix, if there is one.
func lastRow(db pebble.Reader, prefix []byte, fn func(key, value []byte) error) error {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: prefixEnd(prefix)})
	if err != nil {
		return err
	}
	if it.Last() {
		var value []byte
		if value, err = it.ValueAndErr(); err == nil {
			err = fn(it.Key(), value)
		}
	}
	return errors.Join(err, it.Error(), it.Close())
}

// sealed is the part of an orgLog that is about blocks.
type sealed struct {
	view atomic.Pointer[sealedView] // nil when it is not in memory
	// touched is when the view was used last, by the index's clock.
	touched atomic.Uint64
	// mu is held while the view is read from disk, and by the sealer from before
	// it writes until the new view can be seen.
	mu sync.Mutex
	// pinned says that the view must stay, since the sealer is at work on it.
	// The index's mu guards it.
	pinned bool
}

// view returns the blocks of a log as they are now.
func (x *blockIndex) view(log *orgLog) (*sealedView, error) {
	log.sealed.touched.Store(x.clock.Add(1))
	if v := log.sealed.view.Load(); v != nil {
		return v, nil
	}
	log.sealed.mu.Lock()
	defer log.sealed.mu.Unlock()
	return x.viewLocked(log)
}

// viewLocked is view for who holds the log's sealed.mu.
func (x *blockIndex) viewLocked(log *orgLog) (*sealedView, error) {
	if v := log.sealed.view.Load(); v != nil {
		return v, nil
	}
	v, err := loadView(x.db, log.org)
	if log.dropping.Load() {
		return nil, log.gone() // they may be its successor's
	}
	if err != nil {
		return nil, err
	}
	x.keep(log, v)
	return v, nil
}

// keep makes a view the one that is in memory.
func (x *blockIndex) keep(log *orgLog, v *sealedView) {
	x.mu.Lock()
	defer x.mu.Unlock()
	before := log.sealed.view.Swap(v)
	if log.dropping.Load() {
		return
	}
	x.loaded[log] = struct{}{}
	if x.used.Add(v.memory()-before.memory()) > x.max {
		x.evict(log)
	}
}

// doubt forgets a log's view, which may not be what the database shows: whoever
// needs it reads it again.
func (x *blockIndex) doubt(log *orgLog) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, ok := x.loaded[log]; ok {
		delete(x.loaded, log)
		x.used.Add(-log.sealed.view.Swap(nil).memory())
	}
}

// pin has a log's view stay in memory, or no longer.
func (x *blockIndex) pin(log *orgLog, on bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	log.sealed.pinned = on
}

// forget drops what is kept of a log that is gone.
func (x *blockIndex) forget(log *orgLog) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.loaded, log)
	x.used.Add(-log.sealed.view.Load().memory())
}

// evict forgets the views used longest ago, but keep's, until a quarter of the
// room is free. x.mu is held.
func (x *blockIndex) evict(keep *orgLog) {
	type candidate struct {
		log     *orgLog
		touched uint64
		size    int64
	}
	var all []candidate
	var used int64
	for log := range x.loaded {
		c := candidate{log: log, touched: log.sealed.touched.Load(), size: log.sealed.view.Load().memory()}
		used += c.size
		if log != keep && !log.sealed.pinned {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b candidate) int { return cmp.Compare(a.touched, b.touched) })
	for _, c := range all {
		if used <= x.max/4*3 {
			break
		}
		c.log.sealed.view.Store(nil)
		delete(x.loaded, c.log)
		used -= c.size
	}
	x.used.Store(used)
}

// loadView reads the headers of a log's blocks, and what was removed between them.
// Those that cannot be read, or are missing between others, are in the view as
// damaged.
func loadView(db pebble.Reader, org string) (*sealedView, error) {
	l := viewLoad{org: org, view: &sealedView{}}
	var err error
	if l.gaps, err = readGaps(db, org); err == nil {
		prefix := appendOrgKey(nil, kindBlock, org)
		err = eachRowIn(db, prefix, prefixEnd(prefix), l.block)
	}
	if err == nil && l.broken != nil {
		var end uint64
		end, err = endByParts(db, org, l.brokenAt)
		l.upTo(end)
	}
	if err != nil {
		return nil, fmt.Errorf("read blocks: %w", err)
	}
	if n := len(l.gaps); n > 0 {
		l.upTo(l.gaps[n-1].to)
	}
	l.view.age(0)
	return l.view, nil
}

// viewLoad is a view that is being read.
type viewLoad struct {
	org  string
	view *sealedView
	gaps []gap // those not in the view yet

	broken   error // of the header at brokenAt, whose end is not known yet
	brokenAt uint64
}

func (l *viewLoad) block(key, value []byte) error {
	first, ok := keyNumber(key)
	if !ok || first < l.view.end() {
		return corrupt(l.org, first, l.view.end(), "blocks do not follow each other", nil)
	}
	l.upTo(first)
	b, err := decodeBlock(l.org, key, value)
	if err != nil {
		l.broken, l.brokenAt = err, first
		return nil //nolint:nilerr // the view has it
	}
	l.view.blocks = append(l.view.blocks, b)
	return nil
}

// upTo fills the view up to seq with what was removed, and what is damaged or
// missing.
func (l *viewLoad) upTo(seq uint64) {
	for v := l.view; v.end() < seq; {
		from, to := v.end(), seq
		for len(l.gaps) > 0 && l.gaps[0].to <= from {
			l.gaps = l.gaps[1:]
		}
		switch {
		case len(l.gaps) == 0:
		case l.gaps[0].from <= from:
			v.blocks = append(v.blocks, removedBlock(l.org, from, min(to, l.gaps[0].to)))
			continue
		default:
			to = min(to, l.gaps[0].from)
		}
		v.blocks = append(v.blocks, damagedBlock(l.org, from, to, l.broken))
		l.broken = nil
	}
	l.broken = nil
}

// endByParts finds out where a block ends whose header cannot be read.
func endByParts(db pebble.Reader, org string, first uint64) (uint64, error) {
	end := first + 1
	prefix := appendSeqKey(nil, kindPart, org, first)
	err := eachRowIn(db, prefix, prefixEnd(prefix), func(key, _ []byte) error {
		if len(key) >= len(prefix)+4 {
			end = max(end, first+uint64(binary.BigEndian.Uint16(key[len(prefix):])))
		}
		return nil
	})
	return end, err
}

// encodeHeader and decodeBlock are the value of a block: its header, sealed under
// its key, and before that its generation unless that is zero.
func encodeHeader(key, header []byte, generation uint32) []byte {
	value := append(make([]byte, 0, 1+4+len(header)+sumBytes), valueVersion)
	if generation > 0 {
		value[0] = rewrittenVersion
		value = binary.LittleEndian.AppendUint32(value, generation)
	}
	return seal(key, append(value, header...), 0)
}

func decodeBlock(org string, key, value []byte) (*sealedBlock, error) {
	body, version, err := unsealAny(key, value)
	if err != nil {
		return nil, err
	}
	b := &sealedBlock{org: org}
	switch {
	case version == rewrittenVersion && len(body) > 4:
		b.generation, body = binary.LittleEndian.Uint32(body), body[4:]
		if b.generation == 0 {
			return nil, errGeneration
		}
	case version != valueVersion:
		return nil, errVersion(version)
	}
	if b.Header, err = block.ParseHeader(body); err != nil {
		return nil, err
	}
	if first, ok := keyNumber(key); !ok || first != b.FirstSeq {
		return nil, fmt.Errorf("it begins with seq %d", b.FirstSeq)
	}
	return b, nil
}

// errMoved says that a block is no longer where it was: other blocks have its
// entries now. Whoever gets it looks at the log's view again.
var errMoved = errors.New("a part of the block is not there")

// fetch returns a function that reads the parts of a block.
func (x *blockIndex) fetch(b *sealedBlock) func(part int) ([]byte, error) { return fetchPart(x.db, b) }

func fetchPart(db pebble.Reader, b *sealedBlock) func(part int) ([]byte, error) {
	return func(part int) ([]byte, error) {
		value, closer, err := db.Get(partKey(nil, b.org, b.Header, b.generation, part))
		if errors.Is(err, pebble.ErrNotFound) {
			return nil, errMoved
		}
		if err != nil {
			return nil, err
		}
		value = bytes.Clone(value)
		return value, closer.Close()
	}
}

// filter returns the filter of a block, and keeps it while there is room.
func (x *blockIndex) filter(b *sealedBlock) (*block.Filter, error) {
	if f := b.filter.Load(); f != nil {
		return f, nil
	}
	part, err := x.fetch(b)(block.FilterPart)
	if err != nil {
		return nil, err
	}
	f, err := block.ParseFilter(b.Header, part)
	if err != nil {
		return nil, err
	}
	if size := int64(f.MemoryBytes()); x.used.Load()+size <= x.max && b.filter.CompareAndSwap(nil, f) {
		x.used.Add(size)
	}
	return f, nil
}

// reader returns a reader of a block whose decoded columns are kept; release gives
// it back.
func (x *blockIndex) reader(b *sealedBlock) *block.Reader {
	return x.readers.get(b, func() *block.Reader { return block.NewReader(b.Header, x.fetch(b)) })
}

func (x *blockIndex) release(b *sealedBlock) { x.readers.put(b) }
