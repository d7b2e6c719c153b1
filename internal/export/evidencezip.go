package export

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/klauspost/compress/flate"

	"github.com/stelehq/stele/audit"
)

const (
	// pieceBytes is how much of a file is compressed at a time.
	pieceBytes = 256 << 10
	// pieces is how many of them there are at once: one for each file that is
	// being filled, and those that are compressed and written meanwhile.
	pieces = 12
	// packLevel is how hard files are compressed. See docs/performance.md.
	packLevel = 1
)

// lastBlock ends a deflate stream: an empty block that says it is the last.
const lastBlock = "\x03\x00"

// packing compresses several files at once, each into a file of its own, in
// pieces: what a goroutine compresses ends at a byte, so that pieces can be put one
// after the other.
type packing struct {
	pass   *pass
	cancel context.CancelCauseFunc
	files  []*packed
	spare  chan *piece
	work   chan *piece
	done   sync.WaitGroup
}

// piece is a part of a file.
type piece struct {
	plain []byte
	deflt bytes.Buffer
	ready chan struct{} // deflt is there
}

// packed is a file that is being compressed.
type packed struct {
	name  string // in the zip
	spool string // of the file that holds it until then
	file  file
	fill  *piece
	queue chan *piece

	// Of the goroutine that writes, until it is done.
	sum         hash.Hash
	crc         uint32
	size, bytes int64 // before and after
}

// newPacking makes the files to be compressed and starts. ctx ends when a file
// cannot be written. The caller calls close.
func (p *pass) newPacking(ctx context.Context, names []string) (*packing, context.Context, error) {
	k := &packing{pass: p, spare: make(chan *piece, pieces), work: make(chan *piece, pieces)}
	for i, name := range names {
		f := &packed{name: name, spool: spoolName(p.job.ID, i), sum: sha256.New(), queue: make(chan *piece, pieces)}
		k.files = append(k.files, f)
		to, err := p.x.disk.create(f.spool)
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("make part of export: %w", err), k.close())
		}
		f.file = to
	}
	for range pieces {
		k.spare <- &piece{ready: make(chan struct{}, 1)}
	}
	ctx, k.cancel = context.WithCancelCause(ctx)
	for range runtime.GOMAXPROCS(0) {
		k.done.Go(k.compress)
	}
	for _, f := range k.files {
		f.fill = <-k.spare
		k.done.Go(func() { k.write(f) })
	}
	return k, ctx, nil
}

// add adds to a file.
func (k *packing) add(f *packed, data []byte) {
	f.fill.plain = append(f.fill.plain, data...)
	if len(f.fill.plain) >= pieceBytes {
		k.send(f)
		f.fill = <-k.spare
	}
}

// send hands on what a file was filled with.
func (k *packing) send(f *packed) {
	k.work <- f.fill
	f.queue <- f.fill
	f.fill = nil
}

// compress compresses pieces until there are no more.
func (k *packing) compress() {
	w, err := flate.NewWriter(nil, packLevel)
	if err != nil {
		panic("export: " + err.Error()) // the level is a constant
	}
	for p := range k.work {
		p.deflt.Reset()
		w.Reset(&p.deflt)
		_, _ = w.Write(p.plain) // to memory
		_ = w.Flush()
		p.ready <- struct{}{}
	}
}

// write writes the pieces of a file in order.
func (k *packing) write(f *packed) {
	var failed error
	put := func(data []byte) {
		if failed != nil {
			return
		}
		if failed = k.pass.room(int64(len(data))); failed == nil {
			_, failed = f.file.Write(data)
		}
		if failed != nil {
			k.cancel(fmt.Errorf("write part of export: %w", failed))
		}
		f.bytes += int64(len(data))
		k.pass.packed.Add(int64(len(data)))
	}
	for p := range f.queue {
		f.sum.Write(p.plain)
		f.crc = crc32.Update(f.crc, crc32.IEEETable, p.plain)
		f.size += int64(len(p.plain))
		<-p.ready
		put(p.deflt.Bytes())
		p.plain = p.plain[:0]
		k.spare <- p
	}
	put([]byte(lastBlock))
}

// finish waits until everything is compressed and written. Afterwards there is
// nothing to be added.
func (k *packing) finish(ctx context.Context) error {
	k.end()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	for _, f := range k.files {
		err := f.file.Close()
		f.file = nil
		if err != nil {
			return fmt.Errorf("close part of export: %w", err)
		}
	}
	return nil
}

// end lets the goroutines end and waits for them.
func (k *packing) end() {
	if k.work == nil {
		return
	}
	for _, f := range k.files {
		if f.fill != nil {
			k.send(f)
		}
		close(f.queue)
	}
	close(k.work)
	k.done.Wait()
	k.work = nil
}

// close ends everything and removes the parts.
func (k *packing) close() error {
	if k.cancel != nil {
		k.end()
		k.cancel(nil)
	}
	var errs []error
	for _, f := range k.files {
		if f.file != nil {
			errs = append(errs, f.file.Close())
		}
		errs = append(errs, k.pass.x.disk.remove(f.spool))
	}
	return errors.Join(errs...)
}

// zipFile is the zip that a pass writes.
type zipFile struct {
	pass  *pass
	w     *zip.Writer
	made  time.Time
	files map[string]audit.EvidenceFile
}

func (p *pass) newZip() *zipFile {
	return &zipFile{pass: p, w: zip.NewWriter(passWriter{p}), made: p.job.CreatedAt, files: map[string]audit.EvidenceFile{}}
}

// passWriter writes to the file of a pass.
type passWriter struct{ *pass }

func (w passWriter) Write(data []byte) (int, error) {
	if err := w.write(data); err != nil {
		return 0, err
	}
	return len(data), nil
}

// small adds a file that is in memory.
func (z *zipFile) small(name string, data []byte) error {
	w, err := z.w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: z.made})
	if err == nil {
		_, err = w.Write(data)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	sum := sha256.Sum256(data)
	z.files[name] = audit.EvidenceFile{SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(data))}
	return nil
}

// The fields of a zip's headers.
const (
	zipVersion20   = 20
	zipVersion45   = 45
	zipDescriptor  = 0x8 // sizes follow the data
	zipLargestSize = 1<<32 - 1
)

// copy adds a file that was compressed before.
func (z *zipFile) copy(f *packed) (err error) {
	header := &zip.FileHeader{
		Name: f.name, Method: zip.Deflate, Flags: zipDescriptor, ReaderVersion: zipVersion20, CRC32: f.crc,
		CompressedSize64: uint64(f.bytes), UncompressedSize64: uint64(f.size), //nolint:gosec // not negative
	}
	if max(f.bytes, f.size) >= zipLargestSize {
		header.ReaderVersion = zipVersion45
	}
	header.SetModTime(z.made) //nolint:staticcheck // CreateRaw looks at nothing else
	w, err := z.w.CreateRaw(header)
	if err != nil {
		return fmt.Errorf("write %s: %w", f.name, err)
	}
	from, err := z.pass.x.disk.open(f.spool)
	if err != nil {
		return fmt.Errorf("open part of export: %w", err)
	}
	n, err := io.CopyBuffer(w, struct{ io.Reader }{from}, make([]byte, pieceBytes))
	if err == nil && n != f.bytes {
		err = fmt.Errorf("it has %d bytes of the %d that were written", n, f.bytes)
	}
	if err = errors.Join(err, from.Close()); err != nil {
		return fmt.Errorf("copy part of export: %w", err)
	}
	if err := z.pass.x.disk.remove(f.spool); err != nil { // the room is needed
		return fmt.Errorf("remove part of export: %w", err)
	}
	z.files[f.name] = audit.EvidenceFile{SHA256: hex.EncodeToString(f.sum.Sum(nil)), Bytes: f.size}
	return nil
}
