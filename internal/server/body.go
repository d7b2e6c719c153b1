package server

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/stelehq/stele/audit"
)

const (
	// smallBody is what a body may take without being counted: every request
	// in flight has so much.
	smallBody = 16 << 10
	// keptBody is the largest buffer kept for the next request.
	keptBody = 2 << 20
	// maxWindow is the largest zstd window that is decoded: what RFC 8878
	// recommends every decoder to support.
	maxWindow = 8 << 20
)

// buffer is memory for one body.
type buffer struct {
	bytes []byte
	owed  int64 // what was taken from bodyMemory
}

// bodyMemory bounds the larger bodies held at one time. Buffers waiting in a
// pool are not counted: the garbage collector may take them.
type bodyMemory struct {
	free  atomic.Int64
	small sync.Pool // of *buffer with smallBody bytes
	large sync.Pool // of *buffer with more
	gzips sync.Pool
	zstds sync.Pool
}

func (m *bodyMemory) get() *buffer {
	if b, ok := m.small.Get().(*buffer); ok {
		return b
	}
	return &buffer{bytes: make([]byte, 0, smallBody)}
}

// put takes a buffer back.
func (m *bodyMemory) put(b *buffer) {
	m.free.Add(b.owed)
	b.owed, b.bytes = 0, b.bytes[:0]
	switch size := cap(b.bytes); {
	case size <= smallBody:
		m.small.Put(b)
	case size <= keptBody:
		m.large.Put(b)
	}
}

// grow makes a buffer larger, to one byte more than the limit at most: that byte
// tells that the body is too large. It returns the buffer to go on with.
func (m *bodyMemory) grow(b *buffer, limit int) (*buffer, error) {
	was := b
	if kept, ok := m.large.Get().(*buffer); ok && cap(kept.bytes) > cap(was.bytes) {
		b = kept
	} else {
		b = &buffer{bytes: make([]byte, 0, min(2*cap(was.bytes), limit+1))}
	}
	b.owed = int64(cap(b.bytes))
	if m.free.Add(-b.owed) < 0 {
		m.put(b)
		return was, audit.Errorf(audit.CodeOverloaded, "the server holds too many large requests now: try again")
	}
	b.bytes = append(b.bytes, was.bytes...)
	m.put(was)
	return b, nil
}

// fill reads all of src, at most limit bytes, into r.body.
func (m *bodyMemory) fill(r *Request, src io.Reader, limit int) (err error) {
	r.body = m.get()
	for {
		b := r.body
		if len(b.bytes) > limit {
			return tooLarge(limit)
		}
		if len(b.bytes) == cap(b.bytes) {
			if r.body, err = m.grow(b, limit); err != nil {
				return err
			}
			continue
		}
		n, err := src.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		if errors.Is(err, io.EOF) && len(b.bytes) <= limit {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
}

func tooLarge(limit int) *audit.Error {
	return audit.Errorf(audit.CodeTooLarge, "the body is larger than %d bytes", limit)
}

// ReadBody reads the whole body, decompressed as Content-Encoding says (gzip,
// zstd, identity), and refuses one of more than limit bytes, before or after,
// with too_large. It is called once; the bytes are valid until the handler
// returns. Other errors for the caller: unsupported_media for another encoding,
// invalid_request for a body that cannot be decompressed or ends early,
// overloaded when all requests together hold too much.
func ReadBody(r *Request, limit int) ([]byte, error) {
	if r.body != nil {
		return nil, errors.New("read body: read already")
	}
	if r.ContentLength > int64(limit) {
		return nil, tooLarge(limit)
	}
	m := &r.server.bodies
	raw := &r.raw
	*raw = bodyReader{body: r.Body, left: limit, limit: limit}
	src, release, err := m.decoder(raw, r.Header.Get("Content-Encoding"))
	if err != nil {
		return nil, raw.explain(err)
	}
	err = m.fill(r, src, limit)
	if release != nil {
		release()
	}
	if err != nil {
		return nil, raw.explain(err)
	}
	return r.body.bytes, nil
}

// releaseBody gives the body's memory back.
func (r *Request) releaseBody() {
	if r.body != nil {
		r.server.bodies.put(r.body)
	}
}

// decoder wraps src as an encoding says. release, unless nil, must be called
// after use.
func (m *bodyMemory) decoder(src io.Reader, encoding string) (r io.Reader, release func(), err error) {
	if encoding == "" {
		return src, nil, nil
	}
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return src, nil, nil
	case "gzip", "x-gzip":
		return m.gzipReader(src)
	case "zstd":
		return m.zstdReader(src)
	default:
		return nil, nil, audit.FieldErrorf(audit.CodeUnsupportedMedia, "Content-Encoding", "must be gzip, zstd or identity")
	}
}

func (m *bodyMemory) gzipReader(src io.Reader) (io.Reader, func(), error) {
	z, ok := m.gzips.Get().(*gzip.Reader)
	if !ok {
		z = new(gzip.Reader)
	}
	if err := z.Reset(src); err != nil {
		m.gzips.Put(z)
		return nil, nil, err
	}
	return z, func() { m.gzips.Put(z) }, nil
}

func (m *bodyMemory) zstdReader(src io.Reader) (io.Reader, func(), error) {
	z, ok := m.zstds.Get().(*zstd.Decoder)
	if !ok {
		var err error
		z, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, err
		}
	}
	release := func() {
		if z.Reset(nil) == nil {
			m.zstds.Put(z)
		}
	}
	if err := z.Reset(src); err != nil {
		release()
		return nil, nil, err
	}
	return z, release, nil
}

// bodyReader reads the body as sent and remembers what went wrong with it, so
// that this is not taken for a fault in the compression.
type bodyReader struct {
	body  io.Reader
	left  int
	limit int
	err   error
}

func (b *bodyReader) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(p) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.body.Read(p)
	if b.left -= n; b.left < 0 {
		n, err = n+b.left, tooLarge(b.limit)
	}
	b.err = err
	return n, err
}

// explain turns an error of reading into one for the caller.
func (b *bodyReader) explain(err error) error {
	if b.err != nil && !errors.Is(b.err, io.EOF) {
		err = b.err
	}
	if _, ok := errors.AsType[*audit.Error](err); ok {
		return err
	}
	if b.err == nil || errors.Is(b.err, io.EOF) {
		return audit.Errorf(audit.CodeInvalidRequest, "the body cannot be decompressed as Content-Encoding says: %v", err)
	}
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
		return &statusError{http.StatusRequestTimeout, audit.Errorf(audit.CodeInvalidRequest, "the body did not arrive within %s", bodyTime)}
	}
	return audit.Errorf(audit.CodeInvalidRequest, "the body ended early")
}
