package pebblestore

import (
	"container/list"
	"sync"

	"github.com/stelehq/stele/internal/block"
)

// readerCache keeps the readers of blocks that were used last, with the columns
// that these have decoded. Several users share a reader.
type readerCache struct {
	max int64 // bytes

	mu   sync.Mutex
	used int64
	// byBlock has the elements of order, whose values are *cachedReader, the one
	// used last in front.
	byBlock map[*sealedBlock]*list.Element
	order   list.List
}

type cachedReader struct {
	b     *sealedBlock
	r     *block.Reader
	bytes int64
}

// get returns the reader of a block, a new one when there is none.
func (c *readerCache) get(b *sealedBlock, newReader func() *block.Reader) *block.Reader {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el := c.byBlock[b]; el != nil {
		c.order.MoveToFront(el)
		return el.Value.(*cachedReader).r
	}
	r := newReader()
	c.byBlock[b] = c.order.PushFront(&cachedReader{b: b, r: r})
	return r
}

// put says that a user of the block's reader is done with it, and drops the
// readers used longest ago until the rest fits.
func (c *readerCache) put(b *sealedBlock) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el := c.byBlock[b]
	if el == nil {
		return
	}
	e := el.Value.(*cachedReader)
	e.r.DropParts()
	size := e.r.MemoryBytes()
	c.used += size - e.bytes
	e.bytes = size
	for c.used > c.max && c.order.Len() > 0 {
		c.drop(c.order.Back())
	}
}

// clear drops all readers.
func (c *readerCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.order.Len() > 0 {
		c.drop(c.order.Back())
	}
}

// forget drops the reader of a block that is gone.
func (c *readerCache) forget(b *sealedBlock) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el := c.byBlock[b]; el != nil {
		c.drop(el)
	}
}

// drop removes an element. c.mu is held.
func (c *readerCache) drop(el *list.Element) {
	e := c.order.Remove(el).(*cachedReader)
	delete(c.byBlock, e.b)
	c.used -= e.bytes
}

// size returns what the kept readers take.
func (c *readerCache) size() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used
}

// DropColumns forgets all decoded columns: for whoever measures how long questions
// take without them.
func (s *Store) DropColumns() { s.blocks.readers.clear() }
