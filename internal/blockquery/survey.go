package blockquery

// Survey returns how many rows match and the largest number of targets that one
// of them has, hidden ones left out.
func (q *Query) Survey(s Source) (entries uint64, maxTargets int, err error) {
	h := s.Reader.Header()
	if q.Skips(h) {
		return 0, 0, nil
	}
	if s.all(q) {
		return uint64(h.Rows), h.MaxTargets, nil //nolint:gosec // positive
	}
	rows := s.Reader.NewRows()
	if err := q.Rows(s, rows); err != nil || rows.Empty() {
		return 0, 0, err
	}
	maxTargets, err = s.Reader.MostTargets(rows)
	return uint64(rows.Len()), maxTargets, err //nolint:gosec // positive
}
