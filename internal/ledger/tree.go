package ledger

import (
	"crypto/sha256"

	"golang.org/x/mod/sumdb/tlog"
)

// tileHeight is log2 of TileWidth: tile level l holds the tree's level 8·l.
const tileHeight = 8

// maxTileLevel is the highest level of a tile that a log can have: the tree of
// maxEntries has 2^40 leaves.
const maxTileLevel = 40 / tileHeight

// leafPrefix is what RFC 6962 puts before a record to hash it. A batch keeps it
// in front of each record, so that a leaf is hashed from one piece of memory.
const leafPrefix = 0x00

// frontier is the right edge of a growing tree: the roots of its complete
// subtrees, the largest first. It is a value without pointers, so that extending
// it allocates nothing.
type frontier struct {
	size   uint64
	len    int
	hashes [64]tlog.Hash
}

// set makes f the frontier of a head, which must be valid.
func (f *frontier) set(h Head) {
	f.size = h.Size
	f.len = copy(f.hashes[:], h.Frontier)
}

// add appends a leaf and those nodes of tile levels 1 and up that it completes.
func (f *frontier) add(leaf tlog.Hash, nodes []Node) []Node {
	h, level := leaf, 0
	for n := f.size; n&1 == 1; n >>= 1 {
		f.len--
		h = tlog.NodeHash(f.hashes[f.len], h)
		level++
		if level%tileHeight == 0 {
			nodes = append(nodes, Node{Level: level / tileHeight, Index: n >> 1, Hash: h})
		}
	}
	f.hashes[f.len] = h
	f.len++
	f.size++
	return nodes
}

// list returns the hashes, valid until the next add.
func (f *frontier) list() []tlog.Hash { return f.hashes[:f.len] }

// frontierRoot folds complete subtrees, the largest first, into the root of the
// tree they make up.
func frontierRoot(hashes []tlog.Hash) tlog.Hash {
	if len(hashes) == 0 {
		return sha256.Sum256(nil)
	}
	h := hashes[len(hashes)-1]
	for i := len(hashes) - 2; i >= 0; i-- {
		h = tlog.NodeHash(hashes[i], h)
	}
	return h
}

// fold returns the root of a complete subtree with the given leaves, a power of
// two of them. It does not change hashes.
func fold(hashes []tlog.Hash) tlog.Hash {
	switch n := len(hashes); n {
	case 1:
		return hashes[0]
	case 2:
		return tlog.NodeHash(hashes[0], hashes[1])
	default:
		return tlog.NodeHash(fold(hashes[:n/2]), fold(hashes[n/2:]))
	}
}
