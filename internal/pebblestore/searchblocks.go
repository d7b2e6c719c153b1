package pebblestore

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
)

// maxTogether is how many blocks are searched at once. More are searched than the
// page needs, but no more than so many.
const maxTogether = 8

// pageSearch looks in blocks for what belongs on a page. The first block is
// searched alone, since it often fills the page; a page that is hard to fill has
// more and more searched at once, on all processors.
type pageSearch struct {
	asked

	s     *Store
	log   *orgLog
	pager *search.Pager
	desc  bool
	limit int
}

// blocks is a logWalk's visitor. Entries may be offered again when the walk has to
// begin again.
func (p *pageSearch) blocks(ctx context.Context, w *logWalk, list []*sealedBlock) error {
	var batch [maxTogether]found
	size := 1
	for left := list; len(left) > 0; size = min(2*size, maxTogether) {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, rest, err := p.choose(left, batch[:size])
		if err != nil {
			return err
		}
		left = rest
		p.searchAll(batch[:n])
		for i := range batch[:n] {
			if err := batch[i].err; err != nil {
				return blockError(p.log, batch[i].b, err)
			}
			for _, e := range batch[i].entries {
				p.pager.Offer(e)
			}
		}
	}
	if w.desc {
		w.done(list[0].FirstSeq)
	} else {
		w.done(list[len(list)-1].end() - 1)
	}
	return nil
}

// choose takes the next blocks off the list that may have something for the page.
// It fails with errStop when neither they nor what is before them has.
func (p *pageSearch) choose(list []*sealedBlock, batch []found) (n int, rest []*sealedBlock, err error) {
	for len(list) > 0 && n < len(batch) {
		b := list[0]
		if p.desc {
			b = list[len(list)-1]
			if p.pager.Skips(math.MinInt64, b.newest) {
				if n == 0 {
					err = errStop
				}
				return n, list, err // asked again when those chosen were searched
			}
			list = list[:len(list)-1]
		} else {
			list = list[1:]
		}
		if p.pager.Skips(b.MinOccurred, b.MaxOccurred) {
			continue
		}
		skip, err := p.s.skips(b, p.query)
		if err != nil {
			return 0, nil, blockError(p.log, b, err)
		}
		if !skip {
			batch[n] = found{b: b}
			n++
		}
	}
	return n, list, nil
}

// found is a block and what it has for the page.
type found struct {
	b       *sealedBlock
	entries []*event.Entry
	err     error
}

// searchAll searches blocks, on several processors when there are several blocks.
// Nothing is offered to the pager meanwhile.
func (p *pageSearch) searchAll(batch []found) {
	workers := min(len(batch), runtime.GOMAXPROCS(0))
	if workers <= 1 {
		for i := range batch {
			batch[i].entries, batch[i].err = p.search(batch[i].b)
		}
		return
	}
	var next atomic.Int32
	var wg sync.WaitGroup
	work := func() {
		for i := next.Add(1) - 1; int(i) < len(batch); i = next.Add(1) - 1 {
			batch[i].entries, batch[i].err = p.search(batch[i].b)
		}
	}
	for range workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}

// search returns what a block has for the page, as far as it can be on it.
func (p *pageSearch) search(b *sealedBlock) ([]*event.Entry, error) {
	m := matched{s: p.s, log: p.log, b: b}
	if some, err := m.show(p.keep); err != nil || !some {
		return nil, err
	}
	m.reader = p.s.blocks.reader(b)
	defer p.s.blocks.release(b)
	rows := m.reader.NewRows()
	if err := p.query.Rows(m.source(), rows); err != nil {
		return nil, err
	}
	if rows.Empty() {
		return nil, nil
	}
	if err := p.narrow(m.reader, rows); err != nil {
		return nil, err
	}
	best, err := p.best(m.reader, rows)
	if err != nil || len(best) == 0 {
		return nil, err
	}
	entries := make([]*event.Entry, len(best))
	return entries, m.materialize(best, entries)
}

// manyRows is how many rows one goroutine reads on its own. A row of a block of
// which nothing is decoded costs many times what a goroutine does.
const manyRows = 8

// materialize reads the entries with the given places, on all processors when they are
// many.
func (m *matched) materialize(keys []search.Key, entries []*event.Entry) error {
	m.salts = true
	if err := m.identify(); err != nil {
		return err
	}
	workers := min(len(keys)/manyRows, runtime.GOMAXPROCS(0))
	if workers <= 1 {
		return m.readRows(m.rest, keys, entries)
	}
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for i := range workers {
		lo, hi := i*len(keys)/workers, (i+1)*len(keys)/workers
		work := func() { errs[i] = m.readRows(m.rest.clone(), keys[lo:hi], entries[lo:hi]) }
		if i == workers-1 {
			work()
		} else {
			wg.Go(work)
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// readRows reads entries one by one.
func (m *matched) readRows(rest *completer, keys []search.Key, entries []*event.Entry) (err error) {
	var e event.Entry
	var scratch []byte
	for i, key := range keys {
		if scratch, err = m.reader.Row(int(key.Seq-m.b.FirstSeq), &e, scratch); err != nil { //nolint:gosec // within the block
			return err
		}
		if err = rest.complete(&e); err != nil {
			return err
		}
		entries[i] = e.Clone()
	}
	return nil
}

// narrow removes the rows that cannot be on the page by their time.
func (p *pageSearch) narrow(r *block.Reader, rows *block.Rows) error {
	earliest, latest := p.pager.Open()
	h := r.Header()
	if earliest <= h.MinOccurred && latest >= h.MaxOccurred {
		return nil
	}
	if latest < math.MaxInt64 {
		latest++
	}
	within := r.NewRows()
	if err := r.OccurredBetween(earliest, latest, within); err != nil {
		return err
	}
	rows.And(within)
	return nil
}

// best returns the places of those rows that the page wants, at most one more than
// it has room for: no others of the block can be on it.
func (p *pageSearch) best(r *block.Reader, rows *block.Rows) ([]search.Key, error) {
	h := r.Header()
	each := rows.All()
	if p.desc {
		each = rows.Backward()
	}
	top := keyHeap{ascending: !p.desc}
	for i := range each {
		at, err := r.Occurred(i)
		if err != nil {
			return nil, err
		}
		key := search.Key{OccurredAt: at, Seq: h.FirstSeq + uint64(i)} //nolint:gosec // a row of the block
		if len(top.keys) > p.limit {
			if h.Sorted {
				break // all others come later
			}
			if !key.Before(top.keys[0], top.ascending) {
				continue
			}
		}
		if !p.pager.Wants(key) {
			continue
		}
		if len(top.keys) > p.limit {
			top.keys[0] = key
			heap.Fix(&top, 0)
		} else if top.keys = append(top.keys, key); !h.Sorted {
			heap.Fix(&top, len(top.keys)-1)
		}
	}
	slices.SortFunc(top.keys, func(a, b search.Key) int {
		if p.desc {
			a, b = b, a
		}
		return cmp.Or(cmp.Compare(a.OccurredAt, b.OccurredAt), cmp.Compare(a.Seq, b.Seq))
	})
	return top.keys, nil
}

// keyHeap has the place that comes last on the page in front.
type keyHeap struct {
	keys      []search.Key
	ascending bool
}

// Len implements [heap.Interface].
func (h *keyHeap) Len() int { return len(h.keys) }

// Less implements [heap.Interface].
func (h *keyHeap) Less(i, j int) bool { return h.keys[j].Before(h.keys[i], h.ascending) }

// Swap implements [heap.Interface].
func (h *keyHeap) Swap(i, j int) { h.keys[i], h.keys[j] = h.keys[j], h.keys[i] }

// Push implements [heap.Interface]; it is not used.
func (h *keyHeap) Push(any) {}

// Pop implements [heap.Interface]; it is not used.
func (h *keyHeap) Pop() any { return nil }
