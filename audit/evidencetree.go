package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
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

// AppendEvidenceEntry appends the line of proof/tree.jsonl for an entry that is in
// the zip: its record, and its salt or, when its details were erased, nil.
func AppendEvidenceEntry(dst []byte, seq uint64, record, salt []byte) ([]byte, error) {
	dst = append(dst, `{"seq":`...)
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
	Seq    *uint64 `json:"seq"` // nil for a subtree
	Record string  `json:"record"`
	Salt   []byte  `json:"salt"`

	First uint64    `json:"first"`
	Level int       `json:"level"`
	Hash  tlog.Hash `json:"hash"`
	Why   Why       `json:"why"`
}

// parseNode reads a line that is written in its one form.
func parseNode(line []byte) (*treeNode, bool) {
	n := plainEntry(line)
	if n == nil {
		n = new(treeNode)
		if json.Unmarshal(line, n) != nil {
			return nil, false
		}
	}
	if n.Seq == nil {
		again := AppendEvidenceSubtree(nil, n.First, n.Level, n.Hash, n.Why)
		known := n.Why == WhyOutside || n.Why == WhyFilter || n.Why == WhyRemoved
		return n, known && n.Level >= 0 && n.Level <= 62 && bytes.Equal(again, line)
	}
	again, err := AppendEvidenceEntry(nil, *n.Seq, []byte(n.Record), n.Salt)
	n.First, n.Hash = *n.Seq, LeafHash([]byte(n.Record))
	return n, err == nil && (n.Salt == nil || len(n.Salt) == SaltBytes) && len(n.Record) <= MaxRecordBytes && bytes.Equal(again, line)
}

// plainEntry reads the line of an entry with a salt whose record has no escapes
// but those of quotes, as nearly all have; nil for any other line. What it reads is
// held to the one form like everything else.
func plainEntry(line []byte) *treeNode {
	const before, between, after = `{"seq":`, `,"record":"`, `","salt":"`
	rest, ok := bytes.CutPrefix(line, []byte(before))
	number, rest, found := bytes.Cut(rest, []byte(between))
	seq, err := strconv.ParseUint(string(number), 10, 64)
	tail := len(rest) - len(after) - base64.StdEncoding.EncodedLen(SaltBytes) - len("\"}\n")
	if !ok || !found || err != nil || tail < 0 {
		return nil
	}
	text, salt := rest[:tail], bytes.TrimPrefix(rest[tail:], []byte(after))
	if bytes.Count(text, []byte{'\\'}) != bytes.Count(text, []byte(`\"`)) || len(salt) != len(rest)-tail-len(after) {
		return nil
	}
	n := &treeNode{Seq: &seq, Record: strings.ReplaceAll(string(text), `\"`, `"`)}
	if n.Salt, err = base64.StdEncoding.DecodeString(string(salt[:len(salt)-len("\"}\n")])); err != nil {
		return nil
	}
	return n
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

// treeReader reads the nodes of proof/tree.jsonl and checks that they are a tree
// of the checkpoint's size.
type treeReader struct {
	*lineReader
	fold treeFold
	size uint64
}

// next returns the next node; io.EOF after the last.
func (t *treeReader) next() (*treeNode, error) {
	line, err := t.lineReader.next()
	switch {
	case errors.Is(err, io.EOF) && t.fold.size < t.size:
		return nil, failedIn(treeFile, CheckTree, "it ends before entry %d, and the checkpoint is of %d entries", t.fold.size, t.size)
	case err != nil:
		return nil, err
	}
	n, ok := parseNode(line)
	switch {
	case !ok:
		return nil, t.fault("it is not an entry or a subtree as it is written in evidence")
	case n.First != t.fold.size:
		return nil, failedIn(treeFile, CheckTree, "it begins at entry %d, and the line before ends before entry %d: a line is missing, there twice or moved", n.First, t.fold.size).onLine(t.line)
	case n.First%n.count() != 0:
		return nil, failedIn(treeFile, CheckTree, "no subtree of %d entries begins at entry %d", n.count(), n.First).onLine(t.line)
	case n.count() > t.size-n.First:
		return nil, failedIn(treeFile, CheckTree, "it goes beyond the %d entries of the checkpoint", t.size).onLine(t.line)
	}
	t.fold.push(n)
	return n, nil
}
