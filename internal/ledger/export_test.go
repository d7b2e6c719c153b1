package ledger

// CachedTiles returns the number of tiles in the cache.
func CachedTiles(l *Ledger) int {
	l.tiles.cache.mu.Lock()
	defer l.tiles.cache.mu.Unlock()
	return len(l.tiles.cache.tiles)
}

// RootOf returns the root of a complete subtree from those that were kept.
var RootOf = rootOf
