package blockquery

import (
	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/event"
)

// Survey returns how many rows match and the largest number of targets that one
// of them has.
func (q *Query) Survey(s Source) (entries uint64, maxTargets int, err error) {
	h := s.Reader.Header()
	if q.Skips(h) {
		return 0, 0, nil
	}
	var within *block.Rows   // all
	entries = uint64(h.Rows) //nolint:gosec // positive
	if !q.All(h) {
		within = s.Reader.NewRows()
		if err := q.Rows(s, within); err != nil || within.Empty() {
			return 0, 0, err
		}
		entries = uint64(within.Len()) //nolint:gosec // positive
	}
	err = eachEntry(s.Reader, within, func(e *event.Entry) error {
		maxTargets = max(maxTargets, len(e.Targets))
		return nil
	})
	return entries, maxTargets, err
}
