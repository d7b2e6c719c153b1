package block

import "slices"

// radixFrom is the number of keys from which sorting by bytes is faster.
const radixFrom = 512

// radix sorts numbers byte by byte, the lowest first, in memory that it keeps.
type radix struct{ other []uint64 }

// sort sorts keys.
func (r *radix) sort(keys []uint64) {
	if len(keys) < radixFrom {
		slices.Sort(keys)
		return
	}
	var counts [8][256]uint32
	for _, k := range keys {
		for b := range counts {
			counts[b][byte(k>>(8*b))]++ //nolint:gosec // one byte of it
		}
	}
	r.other = slices.Grow(r.other[:0], len(keys))[:len(keys)]
	from, to := keys, r.other
	for b := range counts {
		count, shift := &counts[b], 8*b
		if int(count[byte(from[0]>>shift)]) == len(keys) { //nolint:gosec // one byte of it
			continue // the same in all
		}
		at := uint32(0)
		for i, n := range count {
			count[i] = at
			at += n
		}
		for _, k := range from {
			c := &count[byte(k>>shift)] //nolint:gosec // one byte of it
			to[*c] = k
			*c++
		}
		from, to = to, from
	}
	if &from[0] != &keys[0] {
		copy(keys, from)
	}
}
