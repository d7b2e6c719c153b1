package block

import "encoding/binary"

// input takes things off the front of bytes that may be anything. After the
// first thing that is wrong it gives zeros only, and bad says what it was.
type input struct {
	rest []byte
	bad  string
}

func (in *input) fail(what string) {
	if in.bad == "" {
		in.bad = what
	}
	in.rest = nil
}

func (in *input) byte() byte {
	if len(in.rest) == 0 {
		in.fail("ends early")
		return 0
	}
	b := in.rest[0]
	in.rest = in.rest[1:]
	return b
}

func (in *input) uvarint() uint64 {
	if len(in.rest) > 0 && in.rest[0] < 0x80 {
		v := in.rest[0]
		in.rest = in.rest[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(in.rest)
	if n <= 0 {
		in.fail("a number ends early or is too large")
		return 0
	}
	in.rest = in.rest[n:]
	return v
}

// length reads a number of bytes that follow, which are there.
func (in *input) length() int {
	n := in.uvarint()
	if n > uint64(len(in.rest)) {
		in.fail("a length is beyond the end")
		return 0
	}
	return int(n) //nolint:gosec // within rest
}

// upTo reads a number that is at most limit.
func (in *input) upTo(limit int) int {
	n := in.uvarint()
	if n > uint64(limit) { //nolint:gosec // not negative
		in.fail("a number is beyond its limit")
		return 0
	}
	return int(n) //nolint:gosec // at most limit
}

// int64 reads a number that is not negative as an int64.
func (in *input) int64() int64 {
	n := in.uvarint()
	if n > 1<<63-1 {
		in.fail("a number is beyond its limit")
		return 0
	}
	return int64(n)
}

// bytes takes n bytes, nil when there are not as many.
func (in *input) bytes(n int) []byte {
	if n < 0 || n > len(in.rest) {
		in.fail("ends early")
		return nil
	}
	b := in.rest[:n:n]
	in.rest = in.rest[n:]
	return b
}

// end fails unless everything has been taken.
func (in *input) end() {
	if len(in.rest) > 0 {
		in.fail("has bytes after its end")
	}
}
