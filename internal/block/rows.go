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

// fewCodes is how many codes are looked for one by one.
const fewCodes = 12

// matching adds to found the numbers of the column's values that are in codes.
func (r *Reader) matching(codes *Codes, within *Rows, found *set) error {
	few := codes.Len() <= fewCodes
	t := &r.h.table[codes.about]
	for k := range t.chunks() {
		first := k << t.shift
		if within != nil && !within.any(first, first+1<<t.shift) {
			continue
		}
		c, err := r.chunk(codes.about, k)
		if err != nil {
			return err
		}
		if !few {
			if !matchAll(&c.codes, &codes.set, first, within, found) {
				return r.corrupt(codes.about, k, "a code is beyond its dictionary")
			}
			continue
		}
		for code := range codes.All() {
			c.codes.eachEqual(code, func(i int) {
				if within == nil || within.Has(first+i) {
					found.Add(first + i)
				}
			})
		}
	}
	return nil
}

// matchAll adds the numbers of codes, the first of which is first, that are in a
// set. It reports false when one is beyond it.
func matchAll(c *codes, s *set, first int, within *Rows, found *set) bool {
	for j := 0; j < c.len(); j += 64 {
		mask := ^uint64(0)
		if within != nil {
			if mask = within.words[(first+j)/64]; mask == 0 {
				continue
			}
		}
		w, ok := c.match(s, j, min(j+64, c.len()))
		if !ok {
			return false
		}
		found.words[(first+j)/64] |= w & mask
	}
	return true
}

// targetRows is Rows for targets, of which a row has any number.
func (r *Reader) targetRows(codes *Codes, within, rows *Rows) error {
	var slots set
	slots.Reset(r.h.counts[perSlot])
	if err := r.matching(codes, nil, &slots); err != nil || slots.Empty() {
		return err
	}
	t := &r.h.table[colTargetEnd]
	for k := range t.chunks() {
		first := k << t.shift
		lo, hi := r.h.slotsOf(k)
		if slots.next(lo, hi) < 0 || within != nil && !within.any(first, first+1<<t.shift) {
			continue
		}
		c, err := r.chunk(colTargetEnd, k)
		if err != nil {
			return err
		}
		for slot := slots.next(lo, hi); slot >= 0; {
			i := sort.Search(len(c.ends)-2, func(i int) bool { return int(c.ends[i+1]) > slot })
			if row := first + i; within == nil || within.Has(row) {
				rows.Add(row)
			}
			slot = slots.next(int(c.ends[i+1]), hi)
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

// MostTargets returns the number of targets of the row among within (nil for all)
// that has most. It decodes where rows' targets end, not the targets, and stops at
// the most that any row of the block has.
func (r *Reader) MostTargets(within *Rows) (int, error) {
	if within == nil {
		return r.h.MaxTargets, nil
	}
	t, most := &r.h.table[colTargetEnd], 0
	for k := range t.chunks() {
		first := k << t.shift
		if most >= r.h.MaxTargets {
			break
		}
		if lo, hi := r.h.slotsOf(k); hi-lo <= most || !within.any(first, first+1<<t.shift) {
			continue
		}
		c, err := r.chunk(colTargetEnd, k)
		if err != nil {
			return 0, err
		}
		for i, end := range c.ends[1:] {
			if n := int(end) - int(c.ends[i]); n > most && within.Has(first+i) {
				most = n
			}
		}
	}
	return most, nil
}

// Occurred returns the occurred_at of a row, in Unix nanoseconds.
func (r *Reader) Occurred(i int) (int64, error) { return r.time(colOccurred, i) }

// AppendOccurred appends the occurred_at of the rows lo ≤ i < hi.
func (r *Reader) AppendOccurred(dst []int64, lo, hi int) ([]int64, error) {
	return r.appendTimes(dst, colOccurred, lo, hi)
}

// appendTimes appends the values lo ≤ i < hi of a column of times.
func (r *Reader) appendTimes(dst []int64, col column, lo, hi int) ([]int64, error) {
	shift := r.h.table[col].shift
	for lo < hi {
		c, err := r.chunk(col, lo>>shift)
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
	for k := range t.chunks() {
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
