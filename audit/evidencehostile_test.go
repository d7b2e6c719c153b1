package audit_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stelehq/stele/audit"
)

// packed is a zip that is made byte by byte, in ways that archive/zip does not make.
type packed struct {
	files   []packedFile
	prefix  []byte // before the first file
	comment string // at the end
	zip64   bool   // 64-bit sizes everywhere
	locator uint64 // added to the offset in the Zip64 locator
	more    []byte // at the end of the directory
}

// packedFile is a file in it.
type packedFile struct {
	name, local string // in the directory, and in the local header when that is another
	data        []byte // as it is in the zip
	size        int    // unpacked
	method      uint16
	flags       uint16
	gap         int    // bytes before the local header
	comment     string // in the directory
	over        bool   // points at the local header of the file before
}

// pack packs an export with nothing unusual.
func pack(t testing.TB, ev *evidence, method uint16) *packed {
	t.Helper()
	z := &packed{}
	for _, name := range ev.order {
		data := ev.files[name]
		f := packedFile{name: name, data: data, size: len(data), method: method}
		if method == 8 {
			f.data = deflate(t, data)
		}
		z.files = append(z.files, f)
	}
	return z
}

func deflate(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err == nil {
		_, err = w.Write(data)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// file is one of the files.
func (z *packed) file(name string) *packedFile {
	return &z.files[slices.IndexFunc(z.files, func(f packedFile) bool { return f.name == name })]
}

// bytes writes the zip.
func (z *packed) bytes() []byte {
	le := binary.LittleEndian
	out := slices.Clone(z.prefix)
	var directory []byte
	header := 0
	for _, f := range z.files {
		name := f.name
		if f.local != "" {
			name = f.local
		}
		if !f.over {
			out = append(out, make([]byte, f.gap)...)
			header = len(out) - len(z.prefix)
			out = le.AppendUint32(out, 0x04034b50)
			for _, v := range []uint16{20, f.flags, f.method, 0, 0, 0, 0, 0, 0, 0, 0, uint16(len(name)), 0} {
				out = le.AppendUint16(out, v)
			}
			out = append(append(out, name...), f.data...)
		}
		directory = le.AppendUint32(directory, 0x02014b50)
		for _, v := range []uint16{20, 20, f.flags, f.method, 0, 0, 0, 0} {
			directory = le.AppendUint16(directory, v)
		}
		sizes := []int{len(f.data), f.size, header}
		var extra []byte
		if z.zip64 {
			extra = le.AppendUint16(le.AppendUint16(extra, 9), 1) // one that nobody knows
			extra = append(extra, 0)
			extra = le.AppendUint16(le.AppendUint16(extra, 1), 24)
			for _, i := range []int{1, 0, 2} {
				extra = le.AppendUint64(extra, uint64(sizes[i]))
			}
			sizes = []int{math.MaxUint32, math.MaxUint32, math.MaxUint32}
		}
		directory = le.AppendUint32(le.AppendUint32(directory, uint32(sizes[0])), uint32(sizes[1]))
		for _, v := range []uint16{uint16(len(f.name)), uint16(len(extra)), uint16(len(f.comment)), 0, 0, 0, 0} {
			directory = le.AppendUint16(directory, v)
		}
		directory = le.AppendUint32(directory, uint32(sizes[2]))
		directory = append(append(append(directory, f.name...), extra...), f.comment...)
	}
	directory = append(directory, z.more...)
	at := len(out) - len(z.prefix)
	out = append(out, directory...)
	if z.zip64 {
		end := len(out)
		out = le.AppendUint64(le.AppendUint32(out, 0x06064b50), 44)
		out = append(out, make([]byte, 12)...)
		for _, v := range []int{len(z.files), len(z.files), len(directory), at} {
			out = le.AppendUint64(out, uint64(v))
		}
		out = le.AppendUint32(le.AppendUint32(out, 0x07064b50), 0)
		out = le.AppendUint32(le.AppendUint64(out, uint64(end)+z.locator), 1)
		at, directory = math.MaxUint32, make([]byte, 0)
	}
	out = le.AppendUint32(le.AppendUint32(out, 0x06054b50), 0)
	out = le.AppendUint16(le.AppendUint16(out, uint16(len(z.files))), uint16(len(z.files)))
	out = le.AppendUint32(le.AppendUint32(out, uint32(len(directory))), uint32(at))
	return append(le.AppendUint16(out, uint16(len(z.comment))), z.comment...)
}

// hostileCase is a way to pack an export.
type hostileCase struct {
	name  string
	alter func(t testing.TB, z *packed)
	says  string // "" when it is sound
}

const broken = "the zip cannot be read"

func hostileCases() []hostileCase {
	const large = 40 << 20
	return []hostileCase{
		{"as it is", func(testing.TB, *packed) {}, ""},
		{"Zip64", func(_ testing.TB, z *packed) { z.zip64 = true }, ""},
		{"reversed", func(_ testing.TB, z *packed) { slices.Reverse(z.files) }, ""},
		{"descriptors", func(_ testing.TB, z *packed) { z.files[3].gap = 24 }, ""},
		{"comment", func(_ testing.TB, z *packed) { z.comment = "x" }, broken},
		{"comment that is an end", func(_ testing.TB, z *packed) { z.comment = string(z.bytes()[len(z.bytes())-22:]) }, broken},
		{"prefix", func(_ testing.TB, z *packed) { z.prefix = []byte("#!/bin/sh\n") }, broken},
		{"gap before", func(_ testing.TB, z *packed) { z.files[0].gap = 1 }, broken},
		{"gap between", func(_ testing.TB, z *packed) { z.files[3].gap = 25 }, broken},
		{"one file as another", func(_ testing.TB, z *packed) { z.files[1].over, z.files[1].data = true, z.files[0].data }, broken},
		{"another name inside", func(_ testing.TB, z *packed) { z.files[1].local = "entries.exe" }, broken},
		{"another length of name inside", func(_ testing.TB, z *packed) { z.files[1].local = "entries" }, broken},
		{"encrypted", func(_ testing.TB, z *packed) { z.files[1].flags = 1 }, `"entries.csv" is packed in a way`},
		{"another method", func(_ testing.TB, z *packed) { z.files[1].method = 12 }, `"entries.csv" is packed in a way`},
		{"comment of a file", func(_ testing.TB, z *packed) { z.files[1].comment = "x" }, broken},
		{"half a file in the directory", func(_ testing.TB, z *packed) { z.more = make([]byte, 45) }, broken},
		{"large directory", func(_ testing.TB, z *packed) { z.more = make([]byte, 70_000) }, broken},
		{"Zip64 elsewhere", func(_ testing.TB, z *packed) { z.zip64, z.locator = true, 1 }, broken},
		{"folder", func(_ testing.TB, z *packed) { z.files = append(z.files, packedFile{name: "proof/"}) }, `holds "proof/", which is no part`},
		{"path", func(_ testing.TB, z *packed) { z.files[1].name = "../entries.csv" }, `holds "../entries.csv"`},
		{"size too small", func(_ testing.TB, z *packed) { z.file("proof/checkpoint").size-- }, "proof/checkpoint: it cannot be unpacked"},
		{"size too large", func(_ testing.TB, z *packed) { z.file("proof/checkpoint").size++ }, "proof/checkpoint: it cannot be unpacked"},
		{"more behind the data", func(_ testing.TB, z *packed) {
			f := z.file("proof/checkpoint")
			f.data = append(slices.Clone(f.data), "hidden"...)
		}, "proof/checkpoint: it cannot be unpacked"},
		{"damaged data", func(_ testing.TB, z *packed) {
			f := z.file("proof/checkpoint")
			f.data = slices.Clone(f.data)
			f.data[0] |= 6 // a kind of block that there is not
		}, "proof/checkpoint: it cannot be unpacked"},
		{"data cut off", func(_ testing.TB, z *packed) {
			f := z.file("entries.csv")
			f.data = f.data[:len(f.data)/2]
		}, "entries.csv: it cannot be unpacked"},
		{"manifest that is a bomb", func(t testing.TB, z *packed) {
			f := z.file("manifest.json")
			f.data, f.size = deflate(t, make([]byte, large)), large
		}, "manifest.json: it has more than 8388608 bytes"},
		{"manifest that is a bomb and says it is small", func(t testing.TB, z *packed) {
			z.file("manifest.json").data = deflate(t, make([]byte, large))
		}, "manifest.json: it cannot be unpacked"},
		{"line that is a bomb", func(t testing.TB, z *packed) {
			f := z.file("entries.jsonl")
			f.data, f.size = deflate(t, []byte(strings.Repeat("a", large))), large
		}, "entries.jsonl, line 1: it has more than 1048576 bytes"},
		{"row that is a bomb of lines", func(t testing.TB, z *packed) {
			f := z.file("entries.csv")
			f.data, f.size = deflate(t, []byte(`"`+strings.Repeat("\n", large))), large+1
		}, "entries.csv, row 1: it has more than 2097152 bytes"},
	}
}

// TestEvidenceHostile: a zip that two programs could read in two ways, or that
// unpacks to more than it should, is refused; other ways to pack are not.
func TestEvidenceHostile(t *testing.T) {
	x := evidenceCases(t)["mixed"]
	key := x.log.verifier(t)
	for _, method := range []uint16{8, 0} {
		for _, tt := range hostileCases() {
			if method == 0 && (strings.Contains(tt.says, "unpacked") || strings.Contains(tt.name, "bomb")) {
				continue
			}
			z := pack(t, x.make(t), method)
			tt.alter(t, z)
			_, err := verifyEvidence(z.bytes(), audit.EvidenceOptions{Keys: key})
			fault, ok := errors.AsType[*audit.VerifyError](err)
			if tt.says == "" && err != nil || tt.says != "" && (!ok || !strings.Contains(fault.Sentence(), tt.says)) {
				t.Errorf("%s, method %d: error %v, want %q", tt.name, method, err, tt.says)
			}
		}
	}
}

// brokenDisk fails to read from some place on.
type brokenDisk struct {
	*bytes.Reader
	from int64
}

var errDisk = errors.New("the disk is broken")

func (d brokenDisk) ReadAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) > d.from && off < d.from+40 {
		return 0, errDisk
	}
	return d.Reader.ReadAt(b, off)
}

// TestEvidenceReadErrors: what cannot be read is no proof of tampering, and no
// success.
func TestEvidenceReadErrors(t *testing.T) {
	x := evidenceCases(t)["mixed"]
	data := x.make(t).zip(t)
	for from := 0; from < len(data); from += 50 {
		_, err := audit.VerifyEvidence(brokenDisk{bytes.NewReader(data), int64(from)}, int64(len(data)), audit.EvidenceOptions{Keys: x.log.verifier(t)})
		if _, tampered := errors.AsType[*audit.VerifyError](err); tampered || !errors.Is(err, errDisk) {
			t.Errorf("from byte %d of %d: error %v", from, len(data), err)
		}
	}
}
