package block

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func testWriter() *textsWriter {
	w := &textsWriter{}
	w.ints.z = newCompressor(Fast)
	return w
}

func TestInts(t *testing.T) {
	w := testWriter()
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(0, 64).Draw(t, "width")
		low := rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64()).Draw(t, "low")
		n := rapid.OneOf(rapid.IntRange(1, 20), rapid.IntRange(1, 2000)).Draw(t, "n")
		same := rapid.IntRange(1, 50).Draw(t, "runs of")
		vals := make([]uint64, n)
		seed := rapid.Uint64().Draw(t, "seed")
		for i := range vals {
			high := uint64(1)<<width - 1 // all bits for 64
			vals[i] = low + spread(seed+uint64(i/same))&min(high, ^uint64(0)-low)
		}
		b := w.ints.append(nil, vals)
		in := &input{rest: append(bytes.Clone(b), 1, 2, 3)}
		got := make([]uint64, n)
		readInts(in, got)
		if in.bad != "" || len(in.rest) != 3 || !slices.Equal(got, vals) {
			t.Fatalf("%s, %d left: %v, want %v", in.bad, len(in.rest), got, vals)
		}
	})
}

func TestTexts(t *testing.T) {
	w := testWriter()
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(rapid.SliceOfN(rapid.ByteRange('a', 'd'), 0, 40), 1, 300).Draw(t, "texts")
		sorted := rapid.Bool().Draw(t, "sorted")
		if sorted {
			slices.SortFunc(texts, bytes.Compare)
		}
		in := &input{rest: append(w.append(nil, texts, sorted, &storing{}), 9)}
		var got textChunk
		readTexts(in, &got, len(texts), sorted)
		if in.bad != "" || len(in.rest) != 1 {
			t.Fatalf("%s, %d left", in.bad, len(in.rest))
		}
		for i := range texts {
			if !bytes.Equal(got.at(i), texts[i]) {
				t.Fatalf("%d: %q, want %q", i, got.at(i), texts[i])
			}
		}
	})
}

// TestPacked stores texts of few letters, in runs short and long.
func TestPacked(t *testing.T) {
	w := testWriter()
	rapid.Check(t, func(t *rapid.T) {
		few := rapid.IntRange(1, 64).Draw(t, "letters")
		n := rapid.OneOf(rapid.IntRange(smallFrame, 100), rapid.IntRange(400, 3000)).Draw(t, "n")
		seed := rapid.Uint64().Draw(t, "seed")
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(33 + spread(seed+uint64(i))%uint64(few))
		}
		in := &input{rest: append(w.appendBytes(nil, b, &storing{last: storePacked, count: 1}), 9)}
		s := readStored(in, n)
		if s.how != storePacked || len(in.rest) != 1 {
			t.Fatalf("stored in way %d, %d left", s.how, len(in.rest))
		}
		if got, ok := s.expand(make([]byte, n+overAlloc)); !ok || !bytes.Equal(got, b) {
			t.Fatalf("%q %v, want %q", got, ok, b)
		}
		s.size++
		if _, ok := s.expand(make([]byte, n+9+overAlloc)); ok && few > 1 && n%8 == 0 {
			t.Fatal("packed letters of another number are let through")
		}
	})
}

func FuzzInts(f *testing.F) {
	w := testWriter()
	for width := range 64 {
		vals := make([]uint64, 200)
		for i := range vals {
			vals[i] = spread(uint64(i)) >> (63 - width) &^ uint64(i%2)
		}
		f.Add(uint16(len(vals)), w.ints.append(nil, vals))
	}
	f.Fuzz(func(t *testing.T, n uint16, b []byte) {
		wide, narrow := make([]uint64, max(n, 1)), make([]uint32, max(n, 1))
		a, c := &input{rest: b}, &input{rest: b}
		readInts(a, wide)
		readInts(c, narrow)
		if a.bad != c.bad || len(a.rest) != len(c.rest) {
			t.Fatalf("%q, %q; %d left, %d left", a.bad, c.bad, len(a.rest), len(c.rest))
		}
		for i, v := range wide {
			if a.bad == "" && narrow[i] != uint32(v) {
				t.Fatalf("%d: %d, want %d", i, narrow[i], v)
			}
		}
	})
}

// expectCodes asks a run of codes in every way there is.
func expectCodes(t interface{ Fatalf(string, ...any) }, c *codes, want []int) {
	limit := 1 + slices.Max(want)
	if got, ok := c.appendTo(nil, 0, len(want), limit); !ok || !slices.EqualFunc(got, want, func(a uint16, b int) bool { return int(a) == b }) {
		t.Fatalf("%v %v, want %v", got, ok, want)
	}
	if _, ok := c.appendTo(nil, 0, len(want), limit-1); ok && limit > 1 && slices.Max(want) > int(c.least) {
		t.Fatalf("a code beyond its limit is let through")
	}
	for _, code := range []int{want[0], want[len(want)/2], want[len(want)-1], limit, 0} {
		var one set
		one.Reset(limit + 1)
		one.Add(code)
		var found []int
		c.eachEqual(code, func(i int) { found = append(found, i) })
		for i, v := range want {
			if c.at(i) != v {
				t.Fatalf("%d: %d, want %d", i, c.at(i), v)
			}
			if slices.Contains(found, i) != (v == code) {
				t.Fatalf("%d is at %v, want %v", code, found, want)
			}
			if w, ok := c.match(&one, i/64*64, min(i/64*64+64, len(want))); !ok || w>>(i%64)&1 != 0 != (v == code) {
				t.Fatalf("%d at %d: %b %v", code, i, w, ok)
			}
		}
	}
}

func TestCodes(t *testing.T) {
	w := testWriter()
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(0, 16).Draw(t, "width")
		low := rapid.IntRange(0, 1<<16-1<<width).Draw(t, "low")
		n := rapid.IntRange(1, 1100).Draw(t, "n")
		same := rapid.IntRange(1, 50).Draw(t, "runs of")
		seed := rapid.Uint64().Draw(t, "seed")
		vals, want := make([]uint64, n), make([]int, n)
		for i := range vals {
			want[i] = low + int(spread(seed+uint64(i/same))&(1<<width-1))
			vals[i] = uint64(want[i])
		}
		b, _ := w.ints.appendCodes(nil, vals, rapid.Bool().Draw(t, "try"))
		in := &input{rest: append(bytes.Clone(b), 1, 2, 3)}
		got := readCodes(in, n, 1<<16)
		if in.bad != "" || len(in.rest) != 3 {
			t.Fatalf("%s, %d left", in.bad, len(in.rest))
		}
		few := max(1, min(n, 150))
		got.n = uint32(few)
		expectCodes(t, &got, want[:few])
		for i, v := range want {
			if got.at(i) != v {
				t.Fatalf("%d: %d, want %d", i, got.at(i), v)
			}
		}
	})
}

// FuzzCodes reads anything as codes: whatever it is, all ways to ask agree.
func FuzzCodes(f *testing.F) {
	w := testWriter()
	for width := range 17 {
		vals := make([]uint64, 200)
		for i := range vals {
			vals[i] = spread(uint64(i)) & (1<<width - 1) &^ uint64(i%2)
		}
		b, _ := w.ints.appendCodes(nil, vals, width%2 == 0)
		f.Add(uint16(len(vals)), b)
	}
	f.Fuzz(func(t *testing.T, n uint16, b []byte) {
		in := &input{rest: b}
		c := readCodes(in, int(n%300)+1, 1<<16)
		if in.bad != "" {
			return
		}
		want := make([]int, c.len())
		for i := range want {
			want[i] = c.at(i)
		}
		if slices.Max(want) < 1<<16 {
			expectCodes(t, &c, want)
		}
	})
}

func FuzzTexts(f *testing.F) {
	w := testWriter()
	texts := [][]byte{[]byte("a"), []byte("abc"), []byte("abcd"), bytes.Repeat([]byte("xyz"), 50)}
	f.Add(uint16(4), true, w.append(nil, texts, true, &storing{}))
	f.Add(uint16(4), false, w.append(nil, texts, false, &storing{}))
	f.Fuzz(func(t *testing.T, n uint16, sorted bool, b []byte) {
		in := &input{rest: b}
		var got textChunk
		readTexts(in, &got, int(n%2048)+1, sorted)
		if in.bad != "" {
			return
		}
		for i := range got.len() {
			got.at(i)
		}
		got.find(newNeedle([]byte("a")), sorted, func(i int) { got.at(i) })
		got.search([]byte("abc"), false)
	})
}

// TestHash compares with the test vectors of XXH64's specification and sanity
// buffer: bytes made with its generator.
func TestHash(t *testing.T) {
	buf := make([]byte, 222)
	gen := uint64(2654435761)
	for i := range buf {
		buf[i] = byte(gen >> 56)
		gen *= 11400714785074694797
	}
	for _, c := range []struct {
		n          int
		seed, want uint64
	}{
		{0, 0, 0xef46db3751d8e999},
		{1, 0, 0xe934a84adb052768},
		{4, 0, 0x9136a0dca57457ee},
		{14, 0, 0x8282dcc4994e35c8},
		{222, 0, 0xb641ae8cb691c174},
		{0, 2654435761, 0xac75fda2929b17ef},
		{222, 2654435761, 0x20cb8ab7ae10c14a},
	} {
		if got := xxh64(c.seed, buf[:c.n]); got != c.want {
			t.Errorf("%d bytes, seed %d: %016x, want %016x", c.n, c.seed, got, c.want)
		}
	}
}

func TestRadix(t *testing.T) {
	var r radix
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 2*radixFrom).Draw(t, "n")
		mask, seed := rapid.Uint64().Draw(t, "mask"), rapid.Uint64().Draw(t, "seed")
		keys := make([]uint64, n)
		for i := range keys {
			keys[i] = spread(seed+uint64(i)) & mask
		}
		want := slices.Sorted(slices.Values(keys))
		if r.sort(keys); !slices.Equal(keys, want) {
			t.Fatalf("%x, want %x", keys, want)
		}
	})
}

func TestSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(t, "n")
		var s set
		s.Reset(n)
		want := map[int]bool{}
		for range rapid.IntRange(0, 20).Draw(t, "steps") {
			lo, hi := rapid.IntRange(0, n-1).Draw(t, "lo"), rapid.IntRange(-1, n+5).Draw(t, "hi")
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				s.Add(lo)
				want[lo] = true
			case 1:
				s.Remove(lo)
				delete(want, lo)
			case 2:
				s.AddRange(lo, hi)
				for i := lo; i < min(hi, n); i++ {
					want[i] = true
				}
			case 3:
				s.Invert()
				for i := range n {
					if want[i] = !want[i]; !want[i] {
						delete(want, i)
					}
				}
			}
		}
		var list []int
		for i := range n {
			if want[i] != s.Has(i) {
				t.Fatalf("%d: %v", i, s.Has(i))
			}
			if want[i] {
				list = append(list, i)
			}
		}
		back := slices.Collect(s.Backward())
		slices.Reverse(back)
		if !slices.Equal(slices.Collect(s.All()), list) || !slices.Equal(back, list) || s.Len() != len(list) || s.Empty() != (len(list) == 0) {
			t.Fatalf("%v, %v, want %v", slices.Collect(s.All()), back, list)
		}
		lo, hi := rapid.IntRange(0, n).Draw(t, "lo"), rapid.IntRange(0, n).Draw(t, "hi")
		next := slices.IndexFunc(list, func(i int) bool { return i >= lo && i < hi })
		got := s.next(lo, hi)
		if s.any(lo, hi) != (next >= 0) || next >= 0 && got != list[next] || next < 0 && got != -1 {
			t.Fatalf("%v from %d to %d: %v %d", list, lo, hi, s.any(lo, hi), got)
		}
	})
}
