package catalog

import "sync"

// maxCached bounds each cache. An organization takes about half a kilobyte.
const maxCached = 1 << 16

// cache keeps records that were read. Writes drop what they changed instead of
// storing it, so that two writers cannot leave the older record behind; and a
// reader that began before a drop does not store what it read.
type cache[K comparable, V any] struct {
	mu    sync.RWMutex
	m     map[K]*V
	drops uint64
}

func (c *cache[K, V]) get(k K) *V {
	c.mu.RLock()
	v := c.m[k]
	c.mu.RUnlock()
	return v
}

// begin is called before a record is read, for put.
func (c *cache[K, V]) begin() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.drops
}

// put stores what was read since begin unless something was dropped meanwhile.
func (c *cache[K, V]) put(k K, v *V, began uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drops != began {
		return
	}
	if c.m == nil {
		c.m = make(map[K]*V)
	}
	for old := range c.m {
		if len(c.m) < maxCached {
			break
		}
		delete(c.m, old)
	}
	c.m[k] = v
}

// drop forgets a record. It is called after the write and before the writer
// returns.
func (c *cache[K, V]) drop(k K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++
	delete(c.m, k)
}
