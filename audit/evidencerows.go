package audit

import (
	"bytes"
	"cmp"
	"errors"
	"io"

	"golang.org/x/mod/sumdb/tlog"
)

// evidenceRows reads the tree and, beside it, the two files of entries.
type evidenceRows struct {
	walk  *evidenceWalk
	tree  *lineReader
	jsonl *lineReader
	csv   *lineReader
	fold  treeFold

	kept     *tlog.Hash              // the root at the size of the checkpoint that the caller has, if the tree shows it
	targets  int                     // the most of a row, at least 1
	schemas  map[EvidenceSchema]bool // those that the manifest lists, and whether a row has them
	unlisted bool                    // a row has another
	first    *uint64
	last     *Entry // of the row that was taken last
}

func newEvidenceRows(w *evidenceWalk) *evidenceRows {
	rows := &evidenceRows{
		walk:  w,
		tree:  w.parts[treeFile].lines(maxLine),
		jsonl: w.parts[jsonlFile].lines(maxLine), csv: w.parts[csvFile].lines(maxRow),
		targets: 1, schemas: map[EvidenceSchema]bool{},
	}
	for _, s := range w.manifest.Schemas {
		rows.schemas[s] = false
	}
	return rows
}

// run checks every row and then all of them together. The files are read to their
// ends whatever is found, so that it can be said which of them was altered.
func (r *evidenceRows) run() error {
	fault := r.rows()
	if _, ok := errors.AsType[*VerifyError](fault); fault != nil && !ok {
		return fault
	}
	for _, l := range []*lineReader{r.tree, r.jsonl, r.csv} {
		err := l.drain()
		if _, damaged := errors.AsType[*VerifyError](err); err != nil && (fault == nil || !damaged) {
			return err
		}
		if err == nil {
			r.walk.sums[l.part.name] = l.sum()
		}
	}
	if fault == nil {
		fault = r.totals()
	}
	return fault
}

// rows checks row by row, and that the files end together.
func (r *evidenceRows) rows() error {
	header, err := r.csv.next()
	if errors.Is(err, io.EOF) || err == nil && !bytes.Equal(header, evidenceCSV{r.walk.manifest.CSV}.header(nil)) {
		return failedIn(csvFile, CheckFormat, "the first row is not that of the columns that the manifest says").onLine(1)
	}
	if err == nil {
		err = r.takeAll()
	}
	if err == nil {
		err = r.ends()
	}
	return err
}

// takeAll takes the rows in order, while others are read and checked.
func (r *evidenceRows) takeAll() error {
	ahead := r.ahead()
	defer ahead.stop()
	r.keep()
	for b := range ahead.ready {
		b.checked.Wait()
		for i := range b.rows {
			if err := r.take(&b.rows[i]); err != nil {
				return err
			}
		}
		clear(b.rows) // what was made of them can go
		ahead.free <- b
	}
	return nil
}

// take adds a row that was checked to the tree and to what is counted.
func (r *evidenceRows) take(row *evidenceRow) error {
	if row.noNode != nil {
		return row.noNode
	}
	n, line := row.node, row.tree.number
	if err := r.place(n, line); err != nil {
		return err
	}
	r.fold.push(n)
	r.keep()
	if n.Seq == nil {
		return r.leftOut(n, line)
	}
	if m := r.walk.manifest; n.First < m.Range.From || n.First >= m.Range.To {
		return failedIn(treeFile, CheckTree, "the entry is not in the range %d to %d", m.Range.From, m.Range.To).onLine(line).of(n.First)
	}
	if row.noEntry != nil {
		return row.noEntry
	}
	r.count(row.entry)
	return nil
}

// place says whether a node is the next of the checkpoint's tree.
func (r *evidenceRows) place(n *treeNode, line uint64) error {
	switch at, size := r.fold.size, r.walk.report.Checkpoint.Size; {
	case n.First != at:
		return failedIn(treeFile, CheckTree, "it begins at entry %d, and the line before ends before entry %d: a line is missing, there twice or moved", n.First, at).onLine(line)
	case n.First%n.count() != 0:
		return failedIn(treeFile, CheckTree, "no subtree of %d entries begins at entry %d", n.count(), n.First).onLine(line)
	case n.count() > size-n.First:
		return failedIn(treeFile, CheckTree, "it goes beyond the %d entries of the checkpoint", size).onLine(line)
	}
	return nil
}

// keep keeps the root where the tree is as large as the caller's checkpoint.
func (r *evidenceRows) keep() {
	if kept := r.walk.report.Kept; kept != nil && kept.Size == r.fold.size {
		root := r.fold.root()
		r.kept = &root
	}
}

// leftOut counts a subtree whose entries are not here.
func (r *evidenceRows) leftOut(n *treeNode, line uint64) error {
	m, report := r.walk.manifest, &r.walk.report
	from, to := n.First, n.First+n.count()
	inside := from >= m.Range.From && to <= m.Range.To
	outside := to <= m.Range.From || from >= m.Range.To
	switch {
	case n.Why == WhyOutside && !outside, n.Why != WhyOutside && !inside:
		return failedIn(treeFile, CheckTree, "entries %d to %d are left out as %q, and the range is %d to %d", from, to-1, string(n.Why), m.Range.From, m.Range.To).onLine(line)
	case n.Why == WhyFilter && m.Filter == "":
		return failedIn(treeFile, CheckTree, "entries %d to %d are left out by the filter, and there is none", from, to-1).onLine(line)
	case n.Why == WhyFilter:
		report.LeftOut += n.count()
	case n.Why == WhyRemoved:
		report.Removed += n.count()
	}
	return nil
}

// count adds a row that is sound.
func (r *evidenceRows) count(e *Entry) {
	report := &r.walk.report
	if report.Rows++; r.first == nil {
		r.first = &e.Seq
	}
	if !e.ErasedAt.IsZero() {
		report.Erased++
	}
	schema := EvidenceSchema{e.Action, cmp.Or(e.Version, 1)}
	if _, listed := r.schemas[schema]; listed {
		r.schemas[schema] = true
	} else {
		r.unlisted = true
	}
	r.targets = max(r.targets, len(e.Targets))
	r.last = e
	if progress := r.walk.opts.Progress; progress != nil && report.Rows%1024 == 0 {
		progress(report.Rows, r.walk.manifest.Rows)
	}
}

// ends says whether both files end with the tree, whose root the checkpoint has.
func (r *evidenceRows) ends() error {
	if size := r.walk.report.Checkpoint.Size; r.fold.size < size {
		return failedIn(treeFile, CheckTree, "it ends before entry %d, and the checkpoint is of %d entries", r.fold.size, size)
	}
	for _, l := range []*lineReader{r.jsonl, r.csv} {
		_, err := l.next()
		if err == nil {
			return failedIn(l.part.name, CheckPlace, "there is a row more than the proof has entries").onLine(l.line)
		}
		if !errors.Is(err, io.EOF) {
			return err
		}
	}
	if r.fold.root() != r.walk.report.Checkpoint.Root {
		return failedIn(treeFile, CheckTree, "its records and hashes do not lead to the root that was signed: a record, a hash or a whole row was altered, or is of another log")
	}
	return r.compareKept()
}

// compareKept says whether the log extends the checkpoint that the caller has.
func (r *evidenceRows) compareKept() error {
	kept, older := r.walk.report.Kept, r.walk.report.Older
	switch {
	case kept == nil || r.kept != nil && *r.kept == kept.Root:
		return nil
	case r.kept == nil && older != nil && *older == *kept:
		return nil
	}
	r.walk.report.Kept = nil
	if r.kept != nil || older != nil && older.Size == kept.Size {
		return failed(CheckConsistency, "the log does not extend the checkpoint that you gave: its first %d entries are not what they were", kept.Size)
	}
	return failed(CheckConsistency, "the zip does not show whether the log extends the checkpoint of %d entries that you gave: export again and name it as the older checkpoint", kept.Size)
}

// totals compares the manifest with what was counted.
func (r *evidenceRows) totals() error {
	m, report := r.walk.manifest, r.walk.report
	wrong := func(field, format string, args ...any) error {
		return failedIn(manifestFile, CheckManifest, format, args...).at(field)
	}
	switch {
	case m.Rows != report.Rows:
		return wrong("rows", "it says that there are %d rows, and there are %d", m.Rows, report.Rows)
	case m.Erased != report.Erased:
		return wrong("erased", "it says that the details of %d rows were erased, and of %d they were", m.Erased, report.Erased)
	case !sameSeq(m.FirstSeq, r.first):
		return wrong("first_seq", "first_seq is not that of the first row")
	case r.last == nil && m.LastSeq != nil, r.last != nil && !sameSeq(m.LastSeq, &r.last.Seq):
		return wrong("last_seq", "last_seq is not that of the last row")
	case m.CSV.TargetGroups != r.targets:
		return wrong("csv", "the CSV has %d groups of target columns, and needs %d", m.CSV.TargetGroups, r.targets)
	case r.last != nil && m.CompleteThrough.Seq == r.last.Seq && !m.CompleteThrough.ReceivedAt.Equal(r.last.ReceivedAt):
		return wrong("complete_through", "complete_through is not when that entry was received")
	case r.last != nil && m.CompleteThrough.ReceivedAt.Before(r.last.ReceivedAt):
		return wrong("complete_through", "complete_through is before the last row was received")
	}
	return r.checkSchemas()
}

// checkSchemas says whether the manifest lists the schemas of the rows.
func (r *evidenceRows) checkSchemas() error {
	wrong := failedIn(manifestFile, CheckManifest, "the schemas are not those of the rows, each once and sorted").at("schemas")
	schemas := r.walk.manifest.Schemas
	if r.unlisted {
		return wrong
	}
	for i, s := range schemas {
		if i > 0 && (s.Action < schemas[i-1].Action || s.Action == schemas[i-1].Action && s.Version <= schemas[i-1].Version) || !r.schemas[s] {
			return wrong
		}
	}
	return nil
}

func sameSeq(a, b *uint64) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}
