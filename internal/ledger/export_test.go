package ledger

// CachedTiles returns the number of tiles in the cache.
func CachedTiles(l *Ledger) int {
	l.tiles.cache.mu.Lock()
	defer l.tiles.cache.mu.Unlock()
	return len(l.tiles.cache.tiles)
}
