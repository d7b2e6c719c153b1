package block

import (
	"math/bits"
	"sort"
)

// Rows adds to rows those that have one of the codes; of several targets, one is
// enough. within, when not nil, bounds the rows looked at. Without codes nothing
// is fetched.
func (r *Reader) Rows(codes *Codes, within, rows *Rows) error {
	if !codes.ready || codes.Empty() || within != nil && within.Empty() {
		return nil
	}
	if codes.about == colTarget {
		return r.targetRows(codes, within, rows)
	}
	return r.matching(codes, within, &rows.set)
}

// matching adds to found the numbers of the column's values that are in codes.
func (r *Reader) matching(codes *Codes, within *Rows, found *set) error {
	t := &r.h.table[codes.about]
	lo, hi := codes.span()
	for k := range t.chunks {
		first := k << t.shift
		if within != nil && !within.any(first, first+1<<t.shift) {
			continue
		}
		c, err := r.chunk(codes.about, k)
		if err != nil {
			return err
		}
		words := found.words[first/64:]
		for j := 0; j < len(c.codes); j += 64 {
			part := c.codes[j:min(j+64, len(c.codes))]
			mask := ^uint64(0)
			if within != nil {
				if mask = within.words[(first+j)/64]; mask == 0 {
					continue
				}
			}
			if hi > lo {
				words[j/64] |= matchSpan(part, uint16(lo), uint16(hi-lo-1)) & mask //nolint:gosec // codes
			} else {
				words[j/64] |= matchSet(part, codes.words) & mask
			}
		}
	}
	return nil
}

// span returns lo and hi when the members are exactly lo ≤ i < hi, else twice 0.
func (s *set) span() (lo, hi int) {
	lo, hi = -1, 0
	for i, w := range s.words {
		if w == 0 {
			continue
		}
		if lo < 0 {
			lo = i*64 + bits.TrailingZeros64(w)
		}
		hi = i*64 + 64 - bits.LeadingZeros64(w)
	}
	if lo < 0 || hi-lo != s.Len() {
		return 0, 0
	}
	return lo, hi
}

// matchSpan returns a bit for each of up to 64 codes from lo to lo+most.
func matchSpan(codes []uint16, lo, most uint16) (w uint64) {
	for i, c := range codes {
		var b uint64
		if c-lo <= most {
			b = 1
		}
		w |= b << (i & 63)
	}
	return w
}

// matchSet returns a bit for each of up to 64 codes that is in a set.
func matchSet(codes []uint16, set []uint64) (w uint64) {
	for i, c := range codes {
		w |= (set[c>>6] >> (c & 63) & 1) << (i & 63)
	}
	return w
}

// targetRows is Rows for targets, of which a row has any number.
func (r *Reader) targetRows(codes *Codes, within, rows *Rows) error {
	var slots set
	slots.Reset(r.h.counts[perSlot])
	if err := r.matching(codes, nil, &slots); err != nil || slots.Empty() {
		return err
	}
	t := &r.h.table[colTargetEnd]
	for k := range t.chunks {
		first := k << t.shift
		if within != nil && !within.any(first, first+1<<t.shift) {
			continue
		}
		c, err := r.chunk(colTargetEnd, k)
		if err != nil {
			return err
		}
		for slot := int(c.ends[0]); ; slot++ {
			slot = slots.next(slot, int(c.ends[len(c.ends)-1]))
			if slot < 0 {
				break
			}
			i := sort.Search(len(c.ends)-1, func(i int) bool { return int(c.ends[i+1]) > slot })
			if row := first + i; within == nil || within.Has(row) {
				rows.Add(row)
			}
			slot = int(c.ends[i+1]) - 1
		}
	}
	return nil
}

// next returns the first member with from ≤ i < to, -1 when there is none.
func (s *set) next(from, to int) int {
	for i := from; i < to; i += 64 - i%64 {
		if w := s.words[i/64] >> (uint(i) % 64); w != 0 {
			if i += bits.TrailingZeros64(w); i < to {
				return i
			}
			return -1
		}
	}
	return -1
}

// Occurred returns the occurred_at of a row, in Unix nanoseconds.
func (r *Reader) Occurred(i int) (int64, error) { return r.time(colOccurred, i) }

// AppendOccurred appends the occurred_at of the rows lo ≤ i < hi.
func (r *Reader) AppendOccurred(dst []int64, lo, hi int) ([]int64, error) {
	shift := r.h.table[colOccurred].shift
	for lo < hi {
		c, err := r.chunk(colOccurred, lo>>shift)
		if err != nil {
			return dst, err
		}
		j := lo & (1<<shift - 1)
		n := min(hi-lo, len(c.nums)-j)
		dst = append(dst, c.nums[j:j+n]...)
		lo += n
	}
	return dst, nil
}

// OccurredBetween adds to rows those with from ≤ occurred_at < to. Where the
// header says enough nothing is fetched.
func (r *Reader) OccurredBetween(from, to int64, rows *Rows) error {
	switch {
	case r.h.MaxOccurred < from || r.h.MinOccurred >= to:
		return nil
	case r.h.MinOccurred >= from && r.h.MaxOccurred < to:
		rows.AddRange(0, r.h.Rows)
		return nil
	}
	t := &r.h.table[colOccurred]
	for k := range t.chunks {
		c, err := r.chunk(colOccurred, k)
		if err != nil {
			return err
		}
		for i, at := range c.nums {
			if at >= from && at < to {
				rows.Add(k<<t.shift + i)
			}
		}
	}
	return nil
}

// ReceivedBetween returns the rows with from ≤ received_at < to (Unix
// milliseconds): lo ≤ i < hi. Where the header says enough nothing is fetched.
func (r *Reader) ReceivedBetween(from, to int64) (lo, hi int, err error) {
	if lo, err = r.receivedBefore(from); err != nil {
		return 0, 0, err
	}
	hi, err = r.receivedBefore(to)
	return lo, max(lo, hi), err
}

// receivedBefore counts the rows with received_at < t.
func (r *Reader) receivedBefore(t int64) (int, error) {
	if t <= r.h.FirstReceived {
		return 0, nil
	}
	if t > r.h.LastReceived {
		return r.h.Rows, nil
	}
	var failed error
	n := sort.Search(r.h.Rows, func(i int) bool {
		at, err := r.time(colReceived, i)
		if err != nil {
			failed = err
		}
		return at >= t
	})
	return n, failed
}
