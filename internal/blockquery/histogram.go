package blockquery

import (
	"time"

	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/search"
)

const dayNanos = int64(24 * time.Hour)

// Histogram counts the rows that match and are not hidden by time. Without
// conditions, and where nothing is hidden, the days that are within one bucket
// and within the query's bounds are counted from the header. The error is that of
// the counter, or the reader's.
func (q *Query) Histogram(s Source, c *search.HistogramCounter) error {
	h := s.Reader.Header()
	if q.Skips(h) {
		return nil
	}
	if s.Hidden == nil && len(q.conditions) == 0 && q.coversReceived(h) {
		return q.days(s.Reader, c)
	}
	rows := s.Reader.NewRows()
	if err := q.Rows(s, rows); err != nil || rows.Empty() {
		return err
	}
	if start, next := c.Bucket(h.MinOccurred); start <= h.MinOccurred && h.MaxOccurred < next {
		return c.Add(h.MinOccurred, uint64(rows.Len())) //nolint:gosec // positive
	}
	return addTimes(s.Reader, rows, c)
}

// days counts the rows between the bounds of occurred_at day by day.
func (q *Query) days(r *block.Reader, c *search.HistogramCounter) error {
	partly := false
	for _, day := range r.Header().Days {
		switch from, to := q.within(day); {
		case from >= to:
		case q.whole(day, c):
			if err := c.Add(from, uint64(day.Rows)); err != nil { //nolint:gosec // positive
				return err
			}
		default:
			partly = true
		}
	}
	if !partly {
		return nil
	}
	count := q.times
	if r.Header().Sorted {
		count = q.sortedTimes
	}
	return count(r, c)
}

// within returns the part of a day that is within the bounds of occurred_at: from
// ≤ t < to, if there is one.
func (q *Query) within(day block.Day) (from, to int64) {
	start := int64(day.Day) * dayNanos
	return max(start, q.occurredFrom), min(start+dayNanos, q.occurredTo)
}

// whole reports whether all of a day is within the bounds and in one bucket.
func (q *Query) whole(day block.Day, c *search.HistogramCounter) bool {
	from, to := q.within(day)
	if to-from != dayNanos {
		return false
	}
	_, next := c.Bucket(from)
	return to <= next
}

// times counts the rows of those days that days did not.
func (q *Query) times(r *block.Reader, c *search.HistogramCounter) error {
	times, err := r.AppendOccurred(nil, 0, r.Header().Rows)
	if err != nil {
		return err
	}
	skip := map[int32]bool{}
	for _, day := range r.Header().Days {
		from, to := q.within(day)
		skip[day.Day] = from >= to || q.whole(day, c)
	}
	for _, at := range times {
		if at < q.occurredFrom || at >= q.occurredTo || skip[int32(at/dayNanos)] { //nolint:gosec // below 2^17
			continue
		}
		if err := c.Add(at, 1); err != nil {
			return err
		}
	}
	return nil
}

// sortedTimes is times for a block in order of time: it looks for where buckets
// end.
func (q *Query) sortedTimes(r *block.Reader, c *search.HistogramCounter) error {
	for _, day := range r.Header().Days {
		from, to := q.within(day)
		if from >= to || q.whole(day, c) {
			continue
		}
		lo, err := occurredBefore(r, from)
		if err != nil {
			return err
		}
		for from < to {
			_, next := c.Bucket(from)
			next = min(next, to)
			hi, err := occurredBefore(r, next)
			if err != nil {
				return err
			}
			if hi > lo {
				if err := c.Add(from, uint64(hi-lo)); err != nil { //nolint:gosec // positive
					return err
				}
			}
			lo, from = hi, next
		}
	}
	return nil
}

// timesAtOnce is how many times are read at once.
const timesAtOnce = 1024

// addTimes counts rows by their times.
func addTimes(r *block.Reader, rows *block.Rows, c *search.HistogramCounter) error {
	var times []int64
	first := 0 // the row of times[0]
	for i := range rows.All() {
		if i >= first+len(times) {
			var err error
			first = i - i%timesAtOnce
			if times, err = r.AppendOccurred(times[:0], first, min(first+timesAtOnce, rows.Bound())); err != nil {
				return err
			}
		}
		if err := c.Add(times[i-first], 1); err != nil {
			return err
		}
	}
	return nil
}
