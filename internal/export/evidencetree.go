package export

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/search"
)

// frame is one entry on its way from the goroutines that render to the one that
// puts the files together: a header of frameSize bytes and then its action, its
// line of JSONL, its row of CSV and its line of the tree. Of an entry that the
// filter leaves out there is the header alone.
//
//	seq       8 bytes, little endian as all numbers
//	leaf     32 bytes: its leaf hash
//	lengths  4 bytes each: of action, JSONL, CSV and tree
//	version   4 bytes: of the schema
//	targets   1 byte
//	flags     1 byte: frameShown, frameErased
type frame []byte

const (
	frameLeaf    = 8
	frameLengths = frameLeaf + tlog.HashSize
	frameVersion = frameLengths + 4*4
	frameTargets = frameVersion + 4
	frameFlags   = frameTargets + 1
	frameSize    = frameFlags + 1

	frameShown  = 1
	frameErased = 2
)

func (f frame) seq() uint64     { return binary.LittleEndian.Uint64(f) }
func (f frame) leaf() tlog.Hash { return tlog.Hash(f[frameLeaf:frameLengths]) }
func (f frame) version() int    { return int(binary.LittleEndian.Uint32(f[frameVersion:])) }
func (f frame) targets() int    { return int(f[frameTargets]) }
func (f frame) shown() bool     { return f[frameFlags]&frameShown != 0 }
func (f frame) erased() bool    { return f[frameFlags]&frameErased != 0 }

// split returns the four parts of an entry and what comes after it.
func (f frame) split() (parts [4][]byte, rest frame) {
	rest = f[frameSize:]
	for i := range parts {
		n := binary.LittleEndian.Uint32(f[frameLengths+4*i:])
		parts[i], rest = rest[:n], rest[n:]
	}
	return parts, rest
}

// framer makes frames. It is used by several goroutines at once.
type framer struct {
	org   string
	form  csvForm
	match *search.Matcher // what is not left out; nil when only such entries come
}

// append appends the frame of an entry.
func (m *framer) append(dst []byte, e *event.Entry) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, frameSize)...)
	shown := m.match == nil || m.match.Match(e)
	var lengths [4]int
	at := len(dst)
	part := func(i int) { lengths[i], at = len(dst)-at, len(dst) }
	if shown {
		dst = append(dst, e.Action...)
		part(0)
		dst = append(e.AppendJSON(dst, m.org), '\n')
		part(1)
		// A row with too many targets has too many cells: the job begins again.
		dst = m.form.appendRow(dst, e)
		part(2)
	}
	// The record stands after what is kept and makes room for the line of it.
	dst = append(dst, leafPrefix)
	dst = e.AppendRecord(dst)
	leaf := sha256.Sum256(dst[at:])
	if shown {
		end := len(dst)
		dst = appendTreeEntry(dst, e, dst[at+1:end])
		dst = append(dst[:at], dst[end:]...)
		part(3)
	} else {
		dst = dst[:at]
	}
	f := dst[start:]
	binary.LittleEndian.PutUint64(f, e.Seq)
	copy(f[frameLeaf:], leaf[:])
	for i, n := range lengths {
		binary.LittleEndian.PutUint32(f[frameLengths+4*i:], uint32(n)) //nolint:gosec // of one entry
	}
	binary.LittleEndian.PutUint32(f[frameVersion:], uint32(e.Version)) //nolint:gosec // at most 65535
	f[frameTargets] = byte(len(e.Targets))                             //nolint:gosec // at most audit.MaxTargets
	if shown {
		f[frameFlags] |= frameShown
	}
	if e.ErasedAt != 0 {
		f[frameFlags] |= frameErased
	}
	return dst
}

// leafPrefix is what RFC 6962 puts before a record to hash it.
const leafPrefix = 0

// appendTreeEntry appends what audit.AppendEvidenceEntry does, without checking
// the record: it is canonical JSON, of which only quotes and backslashes need
// to be escaped.
func appendTreeEntry(dst []byte, e *event.Entry, record []byte) []byte {
	dst = strconv.AppendUint(append(dst, `{"seq":`...), e.Seq, 10)
	dst = appendEscaped(append(dst, `,"record":"`...), record)
	if e.ErasedAt == 0 {
		dst = appendBase64(append(dst, `","salt":"`...), e.Salt[:])
	}
	return append(dst, "\"}\n"...)
}

// tree writes proof/tree.jsonl and folds what it writes into the root.
type tree struct {
	out  func(line []byte) error
	next uint64 // what is written ends before this entry

	// run are the subtrees, in order, that end before next and are not written
	// yet, since they may become parts of larger ones; all of them for one reason.
	run  []ledger.Subtree
	why  audit.Why
	fold []ledger.Subtree // what is written: one for each bit of its size
	line []byte
}

// entry writes the line of an entry.
func (t *tree) entry(leaf tlog.Hash, line []byte) error {
	if err := t.flush(); err != nil {
		return err
	}
	t.push(ledger.Subtree{First: t.next, Hash: leaf})
	t.next++
	return t.out(line)
}

// leaveOut takes in a subtree whose entries are left out.
func (t *tree) leaveOut(s ledger.Subtree, why audit.Why) error {
	if why != t.why {
		if err := t.flush(); err != nil {
			return err
		}
		t.why = why
	}
	t.run = joined(append(t.run, s))
	t.next += 1 << s.Level
	return nil
}

// flush writes the subtrees that are left out.
func (t *tree) flush() error {
	for _, s := range t.run {
		t.push(s)
		t.line = audit.AppendEvidenceSubtree(t.line[:0], s.First, s.Level, s.Hash, t.why)
		if err := t.out(t.line); err != nil {
			return err
		}
	}
	t.run = t.run[:0]
	return nil
}

func (t *tree) push(s ledger.Subtree) { t.fold = joined(append(t.fold, s)) }

// joined joins the last subtrees that are halves of one.
func joined(list []ledger.Subtree) []ledger.Subtree {
	for len(list) > 1 {
		left, right := list[len(list)-2], list[len(list)-1]
		if left.Level != right.Level || left.First&(1<<left.Level) != 0 {
			break
		}
		list = append(list[:len(list)-2], ledger.Subtree{
			First: left.First, Level: left.Level + 1, Hash: tlog.NodeHash(left.Hash, right.Hash),
		})
	}
	return list
}

// root is that of the tree once all of it was written.
func (t *tree) root() tlog.Hash {
	if len(t.fold) == 0 {
		return sha256.Sum256(nil)
	}
	h := t.fold[len(t.fold)-1].Hash
	for _, s := range slices.Backward(t.fold[:len(t.fold)-1]) {
		h = tlog.NodeHash(s.Hash, h)
	}
	return h
}
