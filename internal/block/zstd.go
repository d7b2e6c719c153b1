package block

import (
	"math/bits"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// windowBytes is how far back a frame refers. Frames are far smaller but for
// those of very long texts.
const windowBytes = 1 << 20

// compressor makes zstd frames. It is not safe for concurrent use.
type compressor struct{ enc *zstd.Encoder }

func newCompressor(level Level) *compressor {
	z := zstd.SpeedFastest
	if level == Small {
		z = zstd.SpeedBetterCompression
	}
	enc, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(z),
		zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), // a part has one
		zstd.WithWindowSize(windowBytes),
		zstd.WithLowerEncoderMem(true),
		// Codes and random ids have no matches but skewed letters.
		zstd.WithAllLitEntropyCompression(true),
	)
	if err != nil {
		panic(err) // of the options only, which are the same always
	}
	return &compressor{enc}
}

// compress appends a frame of src, which is not empty.
func (c *compressor) compress(dst, src []byte) []byte { return c.enc.EncodeAll(src, dst) }

// overAlloc is room that the decoder likes to have behind what it writes: with it
// it need not check every step.
const overAlloc = 16

// decoder is shared by all readers: DecodeAll may be called concurrently.
var decoder = sync.OnceValue(func() *zstd.Decoder { //nolint:gochecknoglobals // has no state but pooled memory
	dec, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(0),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxChunkBytes),
		zstd.WithDecodeAllCapLimit(true),
	)
	if err != nil {
		panic(err) // of the options only, which are the same always
	}
	return dec
})

// decompress decodes a frame of n bytes to the start of dst, which has capacity
// for them and overAlloc. It reports whether the frame was one of n bytes.
func decompress(dst, frame []byte, n int) ([]byte, bool) {
	out, err := decoder().DecodeAll(frame, dst[:0])
	return out, err == nil && len(out) == n
}

// scratch is pooled memory for what is decoded on the way to something else.
type scratch struct{ b []byte }

// scratchPools holds *scratch of 1<<i bytes at i.
var scratchPools [32]sync.Pool //nolint:gochecknoglobals // a pool, and nothing but one

func getScratch(n int) *scratch {
	class := max(bits.Len(uint(n+overAlloc-1)), 12)
	s, ok := scratchPools[class].Get().(*scratch)
	if !ok {
		s = &scratch{make([]byte, 1<<class)}
	}
	s.b = s.b[:n]
	return s
}

func (s *scratch) put() {
	if class := bits.Len(uint(cap(s.b))) - 1; class <= 20 {
		scratchPools[class].Put(s)
	}
}

func (s *scratch) decompress(frame []byte, n int) bool {
	out, ok := decompress(s.b, frame, n)
	if ok {
		s.b = out
	}
	return ok
}
