package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Why says why the entries of a subtree are not in an evidence zip.
type Why string

// Why entries are left out.
const (
	WhyOutside Why = "outside" // of the range
	WhyFilter  Why = "filter"  // they do not match it
	WhyRemoved Why = "removed" // by retention
)

// seqMember begins the line of an entry that is in the zip, and no other.
const seqMember = `{"seq":`

// AppendEvidenceEntry appends the line of proof/tree.jsonl for an entry that is in
// the zip: its record, and its salt or, when its details were erased, nil.
func AppendEvidenceEntry(dst []byte, seq uint64, record, salt []byte) ([]byte, error) {
	dst = append(dst, seqMember...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, `,"record":`...)
	dst, err := appendText(dst, string(record))
	if err != nil {
		return dst, err
	}
	if salt != nil {
		dst = append(dst, `,"salt":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, salt)
		dst = append(dst, '"')
	}
	return append(dst, "}\n"...), nil
}

// AppendEvidenceSubtree appends the line of proof/tree.jsonl for 2^level entries
// from first on, a multiple of 2^level, that are not in the zip.
func AppendEvidenceSubtree(dst []byte, first uint64, level int, hash tlog.Hash, why Why) []byte {
	dst = append(dst, `{"first":`...)
	dst = strconv.AppendUint(dst, first, 10)
	dst = append(dst, `,"level":`...)
	dst = strconv.AppendInt(dst, int64(level), 10)
	dst = append(dst, `,"hash":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, hash[:])
	dst = append(dst, `","why":"`...)
	dst = append(dst, why...)
	return append(dst, "\"}\n"...)
}

// treeNode is a line of proof/tree.jsonl.
type treeNode struct {
	Seq    *uint64 // nil for a subtree
	Record []byte
	Salt   []byte // nil when the line has none

	First uint64
	Level int
	Hash  tlog.Hash
	Why   Why
}

// parseNode reads a line that is written in its one form. It takes a buffer to
// write the line again.
func parseNode(line, buf []byte) (n *treeNode, again []byte, ok bool) {
	p := plainJSON{text: string(line)}
	n = new(treeNode)
	if strings.HasPrefix(p.text, seqMember) {
		n.First = p.uint(seqMember)
		n.Seq = &n.First
		n.Record = []byte(p.string(`,"record":`))
		if strings.HasPrefix(p.text, `,"salt":`) {
			n.Salt = p.bytes(`,"salt":`)
			p.bad = len(n.Salt) != SaltBytes || p.bad
		}
		again, err := AppendEvidenceEntry(buf[:0], n.First, n.Record, n.Salt)
		n.Hash = LeafHash(n.Record)
		return n, again, err == nil && !p.bad && len(n.Record) <= MaxRecordBytes && bytes.Equal(again, line)
	}
	n.First = p.uint(`{"first":`)
	n.Level = int(p.uint(`,"level":`)) //nolint:gosec // bounded below
	copy(n.Hash[:], p.bytes(`,"hash":`))
	n.Why = Why(p.string(`,"why":`))
	known := n.Why == WhyOutside || n.Why == WhyFilter || n.Why == WhyRemoved
	again = AppendEvidenceSubtree(buf[:0], n.First, n.Level, n.Hash, n.Why)
	return n, again, known && !p.bad && n.Level >= 0 && n.Level <= 62 && bytes.Equal(again, line)
}

// count is the number of entries below the node.
func (n *treeNode) count() uint64 { return 1 << n.Level }

// treeFold computes the root of a tree out of its subtrees, left to right: it
// keeps one hash for each bit of the size that is set.
type treeFold struct {
	size  uint64
	stack []tlog.Hash
}

// push adds a node that begins where the tree ends.
func (f *treeFold) push(n *treeNode) {
	hash := n.Hash
	for index := f.size >> n.Level; index&1 == 1; index >>= 1 {
		last := len(f.stack) - 1
		hash = tlog.NodeHash(f.stack[last], hash)
		f.stack = f.stack[:last]
	}
	f.stack = append(f.stack, hash)
	f.size += n.count()
}

// root is that of the tree so far.
func (f *treeFold) root() tlog.Hash {
	if len(f.stack) == 0 {
		return sha256.Sum256(nil)
	}
	last := len(f.stack) - 1
	hash := f.stack[last]
	for i := last - 1; i >= 0; i-- {
		hash = tlog.NodeHash(f.stack[i], hash)
	}
	return hash
}
