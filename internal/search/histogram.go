package search

import (
	"maps"
	"slices"
	"time"

	"github.com/stelehq/stele/audit"
)

// MaxBuckets is the largest number of intervals of one histogram, those without
// entries included: more than a year of hours.
const MaxBuckets = 10_000

// HistogramCounter counts times by interval in bounded memory. It is not safe
// for concurrent use.
type HistogramCounter struct {
	interval Interval
	counts   map[int64]uint64 // by the start of the bucket, Unix nanoseconds
	// The bucket that was counted in last: start ≤ t < next.
	start, next int64
	pending     uint64 // counted there, not yet in counts
}

// NewHistogram returns a counter without counts.
func NewHistogram(iv Interval) *HistogramCounter {
	return &HistogramCounter{interval: iv, counts: map[int64]uint64{}}
}

// Add counts n entries that occurred at a time, in Unix nanoseconds. It is
// *audit.Error with code invalid_request once the entries fill too many
// intervals.
func (h *HistogramCounter) Add(occurredAt int64, n uint64) error {
	if occurredAt < h.start || occurredAt >= h.next {
		h.flush()
		if len(h.counts) > MaxBuckets {
			return errTooManyBuckets(h.interval)
		}
		start, next := h.interval.Bucket(time.Unix(0, occurredAt))
		h.start, h.next = start.UnixNano(), next.UnixNano()
	}
	h.pending += n
	return nil
}

// Bucket returns the bucket that a time is in, as Unix nanoseconds: entries known
// to be from start on and before next may be added at once.
func (h *HistogramCounter) Bucket(occurredAt int64) (start, next int64) {
	s, n := h.interval.Bucket(time.Unix(0, occurredAt))
	return s.UnixNano(), n.UnixNano()
}

func (h *HistogramCounter) flush() {
	if h.pending > 0 {
		h.counts[h.start] += h.pending
		h.pending = 0
	}
}

// Result returns the histogram, complete up to through. Errors are those of
// Add.
func (h *HistogramCounter) Result(through *audit.Position) (Histogram, error) {
	h.flush()
	out := Histogram{Through: through}
	starts := slices.Sorted(maps.Keys(h.counts))
	if len(starts) == 0 {
		return out, nil
	}
	last := starts[len(starts)-1]
	for at := starts[0]; at <= last; {
		if len(out.Buckets) == MaxBuckets {
			return Histogram{}, errTooManyBuckets(h.interval)
		}
		start, next := h.interval.Bucket(time.Unix(0, at))
		out.Buckets = append(out.Buckets, Bucket{Start: start, Count: h.counts[at]})
		out.Total += h.counts[at]
		at = next.UnixNano()
	}
	return out, nil
}

func errTooManyBuckets(iv Interval) error {
	return audit.FieldErrorf(audit.CodeInvalidRequest, "interval",
		"the entries span more than %d intervals of one %s; ask for a wider interval or a shorter time with after and before", MaxBuckets, iv)
}
