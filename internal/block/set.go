package block

import (
	"iter"
	"math/bits"
	"slices"
)

// set is a set of numbers below a bound, one bit each. The zero value has bound
// 0.
type set struct {
	n     int
	words []uint64
}

// Reset empties the set and makes it one of members below n.
func (s *set) Reset(n int) {
	words := (n + 63) / 64
	if cap(s.words) < words {
		s.words = make([]uint64, words)
	}
	s.n, s.words = n, s.words[:words]
	clear(s.words)
}

// Bound returns n of the last Reset: members are below it.
func (s *set) Bound() int { return s.n }

// Add adds a member below the bound.
func (s *set) Add(i int) { s.words[uint(i)/64] |= 1 << (uint(i) % 64) }

// Remove removes a member.
func (s *set) Remove(i int) { s.words[uint(i)/64] &^= 1 << (uint(i) % 64) }

// Has reports whether i, which is below the bound, is a member.
func (s *set) Has(i int) bool { return s.words[uint(i)/64]>>(uint(i)%64)&1 != 0 }

// AddRange adds lo ≤ i < hi, as far as that is below the bound.
func (s *set) AddRange(lo, hi int) {
	lo, hi = max(lo, 0), min(hi, s.n)
	if lo >= hi {
		return
	}
	first, last := lo/64, (hi-1)/64
	head := ^uint64(0) << (uint(lo) % 64)
	tail := ^uint64(0) >> (63 - uint(hi-1)%64)
	if first == last {
		s.words[first] |= head & tail
		return
	}
	s.words[first] |= head
	for i := first + 1; i < last; i++ {
		s.words[i] = ^uint64(0)
	}
	s.words[last] |= tail
}

// Len counts the members.
func (s *set) Len() int {
	n := 0
	for _, w := range s.words {
		n += bits.OnesCount64(w)
	}
	return n
}

// Empty reports whether there is no member.
func (s *set) Empty() bool {
	for _, w := range s.words {
		if w != 0 {
			return false
		}
	}
	return true
}

// Invert makes it the set of all others below the bound.
func (s *set) Invert() {
	for i := range s.words {
		s.words[i] = ^s.words[i]
	}
	if tail := uint(s.n) % 64; tail != 0 {
		s.words[len(s.words)-1] &= 1<<tail - 1
	}
}

// All yields the members in order.
func (s *set) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, w := range s.words {
			for ; w != 0; w &= w - 1 {
				if !yield(i*64 + bits.TrailingZeros64(w)) {
					return
				}
			}
		}
	}
}

// Backward yields the members in falling order.
func (s *set) Backward() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, w := range slices.Backward(s.words) {
			for w != 0 {
				top := 63 - bits.LeadingZeros64(w)
				if !yield(i*64 + top) {
					return
				}
				w &^= 1 << top
			}
		}
	}
}

// any reports whether there is a member with lo ≤ i < hi.
func (s *set) any(lo, hi int) bool {
	lo, hi = max(lo, 0), min(hi, s.n)
	for i := lo; i < hi; {
		w := s.words[i/64] >> (uint(i) % 64)
		if left := hi - i; left < 64 {
			w &= 1<<uint(left) - 1
		}
		if w != 0 {
			return true
		}
		i += 64 - i%64
	}
	return false
}

func (s *set) and(other *set) {
	for i := range s.words {
		s.words[i] &= other.words[i]
	}
}

func (s *set) andNot(other *set) {
	for i := range s.words {
		s.words[i] &^= other.words[i]
	}
}

func (s *set) or(other *set) {
	for i := range s.words {
		s.words[i] |= other.words[i]
	}
}

// Rows is a set of rows of one block, by number from 0. The zero value is for
// [Reader.NewRows] or Reset to make ready.
type Rows struct{ set }

// And keeps what is in other too. Both are of the same block.
func (r *Rows) And(other *Rows) { r.and(&other.set) }

// AndNot removes what is in other.
func (r *Rows) AndNot(other *Rows) { r.andNot(&other.set) }

// Or adds what is in other.
func (r *Rows) Or(other *Rows) { r.or(&other.set) }

// Codes is a set of dictionary entries of one block, to be turned into rows by
// [Reader.Rows]. The zero value is empty and takes on what it is about from the
// first field that is asked for into it. From then on only fields about the same
// thing go into it: the action (with version and unregistered), the actor, the
// targets, the location, or the user agent.
type Codes struct {
	set
	about column
	ready bool
}

// And keeps what is in other too. Both are about the same thing. Of targets that
// is more than the intersection of their rows: one target must be in both.
func (c *Codes) And(other *Codes) { c.and(&other.set) }

// Or adds what is in other.
func (c *Codes) Or(other *Codes) { c.or(&other.set) }

// Clear makes it a set of nothing about anything again, and keeps its memory.
func (c *Codes) Clear() { c.ready = false; c.Reset(0) }
