package audit

import (
	"bufio"
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"math"
	"slices"
	"unicode/utf8"
)

// The files of an evidence zip.
const (
	manifestFile    = "manifest.json"
	noteFile        = "manifest.note"
	jsonlFile       = "entries.jsonl"
	csvFile         = "entries.csv"
	treeFile        = "proof/tree.jsonl"
	checkpointFile  = "proof/checkpoint"
	olderFile       = "proof/older-checkpoint"
	consistencyFile = "proof/consistency"
	verifierFile    = "verify.html"
)

// evidenceFiles are the files that every evidence zip has; olderFiles come
// together or not at all.
var (
	evidenceFiles = []string{manifestFile, noteFile, jsonlFile, csvFile, treeFile, checkpointFile, verifierFile} //nolint:gochecknoglobals // a constant
	olderFiles    = []string{olderFile, consistencyFile}                                                         //nolint:gochecknoglobals // a constant
)

// Limits of an evidence zip. What is larger is refused before it is read.
const (
	maxLine        = 1 << 20  // of entries.jsonl and proof/tree.jsonl
	maxRow         = 2 << 20  // of entries.csv
	maxLarge       = 8 << 20  // of manifest.json and verify.html
	maxSmall       = 64 << 10 // of the other files that are read whole
	maxDirectory   = 64 << 10 // of the zip
	maxDescriptor  = 24       // between two files of the zip
	maxEvidenceLog = 1 << 40  // entries: seq has 40 bits in ids
)

// The signatures and sizes of a zip's structures.
const (
	zipLocal, zipLocalSize         = 0x04034b50, 30
	zipCentral, zipCentralSize     = 0x02014b50, 46
	zipEnd, zipEndSize             = 0x06054b50, 22
	zipEnd64, zipEnd64Size         = 0x06064b50, 56
	zipLocator64, zipLocator64Size = 0x07064b50, 20
)

// errZip is what is wrong with most zips that are no evidence.
func errZip() error {
	return failed(CheckFormat, "the zip cannot be read: it was cut off, added to or damaged, or is no evidence zip; get it again")
}

// zipPart is a file of a zip.
type zipPart struct {
	name         string
	stored       bool
	packed, size int64 // bytes in the zip, and unpacked
	header, data int64 // where they begin
	source       io.ReaderAt
}

// openZip finds the files of an evidence zip. It reads the one directory at the
// very end, and nothing may be in the zip that is not in a file of it: two readers
// must not see two different things.
func openZip(r io.ReaderAt, size int64) (map[string]*zipPart, error) {
	directory, at, err := readDirectory(r, size)
	if err != nil {
		return nil, err
	}
	parts := map[string]*zipPart{}
	end := int64(0)
	for len(directory) > 0 {
		p, n, err := parsePart(directory)
		if err != nil {
			return nil, err
		}
		directory = directory[n:]
		switch known := slices.Contains(evidenceFiles, p.name) || slices.Contains(olderFiles, p.name); {
		case !known:
			return nil, failed(CheckFormat, "the zip holds %q, which is no part of evidence", shorten(p.name))
		case parts[p.name] != nil:
			return nil, failed(CheckFormat, "the zip holds %s twice", p.name)
		}
		p.source = r
		if err := p.locate(end, at); err != nil {
			return nil, err
		}
		end = p.data + p.packed
		parts[p.name] = p
	}
	if at-end > maxDescriptor {
		return nil, errZip()
	}
	return parts, wantParts(parts)
}

// wantParts says whether files are missing, or too large to be read whole.
func wantParts(parts map[string]*zipPart) error {
	want := evidenceFiles
	if parts[olderFile] != nil || parts[consistencyFile] != nil {
		want = slices.Concat(want, olderFiles)
	}
	for _, name := range want {
		if parts[name] == nil {
			return failed(CheckFormat, "the zip has no %s", name)
		}
	}
	for _, name := range want {
		limit := int64(maxSmall)
		switch name {
		case jsonlFile, csvFile, treeFile:
			continue
		case manifestFile, verifierFile:
			limit = maxLarge
		}
		if parts[name].size > limit {
			return failedIn(name, CheckFormat, "it has more than %d bytes", limit)
		}
	}
	return nil
}

// readDirectory reads the central directory, and says where it begins.
func readDirectory(r io.ReaderAt, size int64) ([]byte, int64, error) {
	if size < zipEndSize {
		return nil, 0, errZip()
	}
	at := size - zipEndSize
	b, err := readPart(r, at, zipEndSize)
	if err != nil {
		return nil, 0, err
	}
	le := binary.LittleEndian
	if le.Uint32(b) != zipEnd || le.Uint32(b[4:]) != 0 || le.Uint16(b[20:]) != 0 {
		return nil, 0, errZip()
	}
	length, begin := uint64(le.Uint32(b[12:])), uint64(le.Uint32(b[16:]))
	if le.Uint16(b[10:]) == math.MaxUint16 || length == math.MaxUint32 || begin == math.MaxUint32 {
		if at < zipEnd64Size+zipLocator64Size {
			return nil, 0, errZip()
		}
		at -= zipEnd64Size + zipLocator64Size
		if b, err = readPart(r, at, zipEnd64Size+zipLocator64Size); err != nil {
			return nil, 0, err
		}
		locator := b[zipEnd64Size:]
		if le.Uint32(b) != zipEnd64 || le.Uint64(b[4:]) != zipEnd64Size-12 || le.Uint32(locator) != zipLocator64 || le.Uint64(locator[8:]) != uint64(at) {
			return nil, 0, errZip()
		}
		length, begin = le.Uint64(b[40:]), le.Uint64(b[48:])
	}
	if length > maxDirectory || begin > uint64(at) || begin+length != uint64(at) { //nolint:gosec // not negative
		return nil, 0, errZip()
	}
	b, err = readPart(r, int64(begin), int(length)) //nolint:gosec // bounded above
	return b, int64(begin), err                     //nolint:gosec // bounded above
}

// parsePart reads an entry of the directory and says how long it is.
func parsePart(b []byte) (*zipPart, int, error) {
	le := binary.LittleEndian
	if len(b) < zipCentralSize || le.Uint32(b) != zipCentral || le.Uint16(b[32:]) != 0 || le.Uint16(b[34:]) != 0 {
		return nil, 0, errZip()
	}
	nameEnd := zipCentralSize + int(le.Uint16(b[28:]))
	n := nameEnd + int(le.Uint16(b[30:]))
	if len(b) < n {
		return nil, 0, errZip()
	}
	p := &zipPart{name: string(b[zipCentralSize:nameEnd])}
	flags, method := le.Uint16(b[8:]), le.Uint16(b[10:])
	if flags&1 != 0 || method != 0 && method != 8 {
		return nil, 0, failed(CheckFormat, "%q is packed in a way that evidence is not: only deflate and store are", shorten(p.name))
	}
	p.stored = method == 0
	extra := zip64Extra(b[nameEnd:n])
	for _, field := range []struct {
		at int
		to *int64
	}{{24, &p.size}, {20, &p.packed}, {42, &p.header}} {
		v := uint64(le.Uint32(b[field.at:]))
		if v == math.MaxUint32 {
			if len(extra) < 8 {
				return nil, 0, errZip()
			}
			v, extra = le.Uint64(extra), extra[8:]
		}
		if v > 1<<53 { // JavaScript counts no further
			return nil, 0, errZip()
		}
		*field.to = int64(v)
	}
	if p.stored && p.size != p.packed {
		return nil, 0, errZip()
	}
	return p, n, nil
}

// zip64Extra gives the extra field that has 64-bit sizes.
func zip64Extra(b []byte) []byte {
	le := binary.LittleEndian
	for len(b) >= 4 {
		id, n := le.Uint16(b), 4+int(le.Uint16(b[2:]))
		if n > len(b) {
			return nil
		}
		if id == 1 {
			return b[4:n]
		}
		b = b[n:]
	}
	return nil
}

// locate finds where the file's data begin. It must follow what ends at before,
// and end before the directory.
func (p *zipPart) locate(before, directory int64) error {
	gap := p.header - before
	if gap < 0 || gap > maxDescriptor || before == 0 && gap != 0 || directory-p.header < zipLocalSize {
		return errZip()
	}
	b, err := readPart(p.source, p.header, zipLocalSize)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	nameLength, extraLength := int(le.Uint16(b[26:])), int64(le.Uint16(b[28:]))
	if le.Uint32(b) != zipLocal || le.Uint16(b[6:])&1 != 0 || (le.Uint16(b[8:]) == 0) != p.stored || nameLength != len(p.name) {
		return errZip()
	}
	name, err := readPart(p.source, p.header+zipLocalSize, nameLength)
	if err != nil {
		return err
	}
	p.data = p.header + zipLocalSize + int64(nameLength) + extraLength
	if string(name) != p.name || directory-p.data < p.packed {
		return errZip()
	}
	return nil
}

// readPart reads n bytes.
func readPart(r io.ReaderAt, at int64, n int) ([]byte, error) {
	b := make([]byte, n)
	if read, err := r.ReadAt(b, at); read < n {
		if errors.Is(err, io.EOF) {
			return nil, errZip()
		}
		return nil, err
	}
	return b, nil
}

// partReader unpacks a file, and hashes what it gave.
type partReader struct {
	part   *zipPart
	packed *bufio.Reader
	plain  io.Reader
	left   int64
	hash   hash.Hash
	err    error // of the last read; there is no reading on after one
}

// open begins to read a file.
func (p *zipPart) open() *partReader {
	r := &partReader{part: p, left: p.size, hash: sha256.New()}
	r.packed = bufio.NewReaderSize(io.NewSectionReader(p.source, p.data, p.packed), 32<<10)
	r.plain = r.packed
	if !p.stored {
		r.plain = flate.NewReader(r.packed)
	}
	return r
}

// Read implements io.Reader. What is damaged is a *[VerifyError]; other errors
// come from reading the zip.
func (r *partReader) Read(b []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.read(b)
	r.err = err
	return n, err
}

func (r *partReader) read(b []byte) (int, error) {
	n, err := r.plain.Read(b)
	r.hash.Write(b[:n])
	r.left -= int64(n)
	_, corrupt := errors.AsType[flate.CorruptInputError](err)
	switch ended := errors.Is(err, io.EOF); {
	case corrupt || errors.Is(err, io.ErrUnexpectedEOF) || r.left < 0 || ended && r.left > 0:
		return n, r.damaged()
	case ended:
		if _, err := r.packed.ReadByte(); err == nil {
			return n, r.damaged()
		}
	}
	return n, err
}

func (r *partReader) damaged() error {
	return failedIn(r.part.name, CheckFormat, "it cannot be unpacked: the zip is damaged; get it again")
}

// sum is the file's hash, once all of it was read.
func (r *partReader) sum() string { return hex.EncodeToString(r.hash.Sum(nil)) }

// lineReader reads a file line by line.
type lineReader struct {
	*partReader
	buffered *bufio.Reader
	rows     bool // of CSV: what is quoted may have line feeds
	limit    int
	line     uint64 // the one read last, from 1
	buf      []byte
}

func (p *zipPart) lines(limit int) *lineReader {
	r := p.open()
	return &lineReader{partReader: r, buffered: bufio.NewReaderSize(r, 64<<10), limit: limit, rows: p.name == csvFile}
}

// next returns the next line with its end, valid until the next call; io.EOF
// after the last.
func (l *lineReader) next() ([]byte, error) {
	l.buf = l.buf[:0]
	l.line++
	quotes := 0
	for {
		piece, err := l.buffered.ReadSlice('\n')
		if len(l.buf)+len(piece) > l.limit {
			return nil, l.fault("it has more than %d bytes", l.limit)
		}
		l.buf = append(l.buf, piece...)
		if l.rows {
			quotes += bytes.Count(piece, []byte{'"'})
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(l.buf) > 0:
			return nil, l.fault("it is cut off: it does not end with a line feed")
		case err != nil:
			return nil, err
		}
		if quotes%2 == 0 {
			break
		}
	}
	if !utf8.Valid(l.buf) {
		return nil, l.fault("it is not valid UTF-8")
	}
	return l.buf, nil
}

// fault is about the line read last.
func (l *lineReader) fault(format string, args ...any) error {
	return failedIn(l.part.name, CheckFormat, format, args...).onLine(l.line)
}

// drain reads the rest for its hash.
func (l *lineReader) drain() error {
	_, err := io.Copy(io.Discard, l.buffered)
	return err
}
