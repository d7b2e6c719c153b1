package audit

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

// evidenceRows reads the tree and, beside it, the two files of entries.
type evidenceRows struct {
	walk  *evidenceWalk
	tree  *treeReader
	jsonl *lineReader
	csv   *lineReader
	form  evidenceCSV

	kept     *tlog.Hash              // the root at the size of the checkpoint that the caller has, if the tree shows it
	targets  int                     // the most of a row, at least 1
	schemas  map[EvidenceSchema]bool // those that the manifest lists, and whether a row has them
	unlisted bool                    // a row has another
	first    *uint64
	last     *Entry // the row before
	buf      []byte
}

func newEvidenceRows(w *evidenceWalk) *evidenceRows {
	rows := &evidenceRows{
		walk:  w,
		tree:  &treeReader{lineReader: w.parts[treeFile].lines(maxLine), size: w.report.Checkpoint.Size},
		jsonl: w.parts[jsonlFile].lines(maxLine), csv: w.parts[csvFile].lines(maxRow),
		form: evidenceCSV{w.manifest.CSV}, targets: 1, schemas: map[EvidenceSchema]bool{},
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
	for _, l := range []*lineReader{r.tree.lineReader, r.jsonl, r.csv} {
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

// rows checks row by row.
func (r *evidenceRows) rows() error {
	header, err := r.csv.next()
	if errors.Is(err, io.EOF) || err == nil && !bytes.Equal(header, r.form.header(nil)) {
		return failedIn(csvFile, CheckFormat, "the first row is not that of the columns that the manifest says").onLine(1)
	}
	if err != nil {
		return err
	}
	for {
		if kept := r.walk.report.Kept; kept != nil && kept.Size == r.tree.fold.size {
			root := r.tree.fold.root()
			r.kept = &root
		}
		n, err := r.tree.next()
		if errors.Is(err, io.EOF) {
			return r.ends()
		}
		if err != nil {
			return err
		}
		if n.Seq == nil {
			err = r.leftOut(n)
		} else {
			err = r.row(n)
		}
		if err != nil {
			return err
		}
	}
}

// leftOut counts a subtree whose entries are not here.
func (r *evidenceRows) leftOut(n *treeNode) error {
	m, report := r.walk.manifest, &r.walk.report
	from, to := n.First, n.First+n.count()
	inside := from >= m.Range.From && to <= m.Range.To
	outside := to <= m.Range.From || from >= m.Range.To
	switch {
	case n.Why == WhyOutside && !outside, n.Why != WhyOutside && !inside:
		return failedIn(treeFile, CheckTree, "entries %d to %d are left out as %q, and the range is %d to %d", from, to-1, string(n.Why), m.Range.From, m.Range.To).onLine(r.tree.line)
	case n.Why == WhyFilter && m.Filter == "":
		return failedIn(treeFile, CheckTree, "entries %d to %d are left out by the filter, and there is none", from, to-1).onLine(r.tree.line)
	case n.Why == WhyFilter:
		report.LeftOut += n.count()
	case n.Why == WhyRemoved:
		report.Removed += n.count()
	}
	return nil
}

// row checks the next row of both files against a record.
func (r *evidenceRows) row(n *treeNode) error {
	m := r.walk.manifest
	seq := *n.Seq
	if seq < m.Range.From || seq >= m.Range.To {
		return failedIn(treeFile, CheckTree, "the entry is not in the range %d to %d", m.Range.From, m.Range.To).onLine(r.tree.line).of(seq)
	}
	e, err := r.entry(seq)
	if err == nil {
		err = r.against(e, n)
	}
	if err == nil {
		err = r.csvRow(e)
	}
	if err != nil {
		return err
	}
	r.count(e)
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

// wrong is about the row of entries.jsonl that was read last.
func (r *evidenceRows) wrong(seq uint64, c Check, field, format string, args ...any) error {
	return failedIn(jsonlFile, c, format, args...).onLine(r.jsonl.line).of(seq).at(field)
}

// entry reads the next line of entries.jsonl, which must be of this entry.
func (r *evidenceRows) entry(seq uint64) (*Entry, error) {
	line, err := r.jsonl.next()
	if errors.Is(err, io.EOF) {
		return nil, failedIn(jsonlFile, CheckPlace, "it ends before the row of entry %d", seq).of(seq)
	}
	if err != nil {
		return nil, err
	}
	e := new(Entry)
	err = json.Unmarshal(line, e)
	if err == nil {
		r.buf, err = e.MarshalJSON()
	}
	if err != nil || !bytes.Equal(append(r.buf, '\n'), line) {
		return nil, r.wrong(seq, CheckFormat, "", "it is not an entry as a server writes it: a member is unknown, missing or there twice, or the form of a value or the spacing is another")
	}
	if e.Seq != seq {
		return nil, misplaced(jsonlFile, r.jsonl.line, e.Seq, seq)
	}
	return e, nil
}

// misplaced is about a row that is of another entry than it should be.
func misplaced(file string, line, seq, want uint64) error {
	if seq > want {
		return failedIn(file, CheckPlace, "the row of entry %d is missing: that of entry %d stands in its place", want, seq).onLine(line).of(want).at("seq")
	}
	return failedIn(file, CheckPlace, "the row of entry %d stands here again or out of order: that of entry %d belongs here", seq, want).onLine(line).of(want).at("seq")
}

// against checks an entry against its record.
func (r *evidenceRows) against(e *Entry, n *treeNode) error {
	m := r.walk.manifest
	ms, seq, ok := parseID(e.ID)
	switch {
	case e.OrganizationID != m.Organization.ID:
		return r.wrong(e.Seq, CheckOrigin, "organization_id", "it is of organization %q, the log of %q", shorten(e.OrganizationID), shorten(m.Organization.ID))
	case !ok || seq != e.Seq || ms != e.ReceivedAt.UnixMilli():
		return r.wrong(e.Seq, CheckPlace, "id", "the id is not that of an entry in this place, received at this time")
	case r.last != nil && e.ReceivedAt.Before(r.last.ReceivedAt):
		return r.wrong(e.Seq, CheckPlace, "received_at", "it was received before the entry of the row before")
	case !inRange(e.ReceivedAt, m.Received.From, m.Received.To):
		return r.wrong(e.Seq, CheckPlace, "received_at", "it was not received in the time that the manifest says")
	}
	digest, err := r.digest(e, n)
	if err != nil {
		return err
	}
	want, err := e.recordWith(digest)
	if err != nil {
		return r.wrong(e.Seq, CheckFormat, "", "it is not an entry that a log can hold")
	}
	if string(want) == n.Record {
		return nil
	}
	v, err := decodeStrict([]byte(n.Record))
	recorded, isObject := v.(map[string]any)
	if err != nil || !isObject {
		return failedIn(treeFile, CheckRecord, "the record cannot be read").onLine(r.tree.line).of(e.Seq).at("record")
	}
	switch field := differingMember(recorded, want); field {
	case "":
		return failedIn(treeFile, CheckRecord, "the record is not written as canonical JSON").onLine(r.tree.line).of(e.Seq).at("record")
	case "details":
		return r.wrong(e.Seq, CheckDetails, field, "a name, metadata or the context is not what was recorded: they do not have the digest of its record")
	default:
		return r.wrong(e.Seq, CheckRecord, field, "%s is not what its record says", field)
	}
}

// digest is that of an entry's details. Of details that were erased it is in the
// record alone.
func (r *evidenceRows) digest(e *Entry, n *treeNode) (string, error) {
	details, err := e.Details()
	erased := !e.ErasedAt.IsZero()
	switch {
	case err != nil:
		return "", r.wrong(e.Seq, CheckFormat, "", "it is not an entry that a log can hold")
	case erased && n.Salt != nil:
		return "", r.wrong(e.Seq, CheckDetails, "erased_at", "it says that its details were erased, but the proof has what they are checked with")
	case erased && string(details) != "{}":
		return "", r.wrong(e.Seq, CheckDetails, "details", "it says that its details were erased, but it has a name, metadata or context")
	case !erased && n.Salt == nil:
		return "", r.wrong(e.Seq, CheckDetails, "erased_at", "it does not say that its details were erased, but the proof lacks what they are checked with")
	case !erased:
		digest := sha256.Sum256(append(bytes.Clone(n.Salt), details...))
		return base64.RawURLEncoding.EncodeToString(digest[:]), nil
	}
	var record struct {
		Details string `json:"details"`
	}
	_ = json.Unmarshal([]byte(n.Record), &record) // what cannot be read is not the record
	return record.Details, nil
}

// csvRow reads the next row of entries.csv, which must be of this entry.
func (r *evidenceRows) csvRow(e *Entry) error {
	if len(e.Targets) > r.form.TargetGroups {
		return failedIn(manifestFile, CheckManifest, "entry %d has %d targets, and the CSV columns for %d", e.Seq, len(e.Targets), r.form.TargetGroups).at("csv")
	}
	row, err := r.csv.next()
	if errors.Is(err, io.EOF) {
		return failedIn(csvFile, CheckPlace, "it ends before the row of entry %d", e.Seq).of(e.Seq)
	}
	if err != nil {
		return err
	}
	want, err := r.form.row(r.buf[:0], e)
	if err != nil {
		return r.wrong(e.Seq, CheckFormat, "", "it is not an entry that a log can hold")
	}
	r.buf = want
	if bytes.Equal(row, want) {
		return nil
	}
	cells, columns := splitRow(row), r.form.columns()
	if len(cells) != len(columns) {
		return failedIn(csvFile, CheckFormat, "it has %d cells, not %d", len(cells), len(columns)).onLine(r.csv.line).of(e.Seq)
	}
	if seq, err := strconv.ParseUint(cells[1], 10, 40); err == nil && seq != e.Seq {
		return misplaced(csvFile, r.csv.line, seq, e.Seq)
	}
	for i, cell := range splitRow(want) {
		if cell != cells[i] {
			return failedIn(csvFile, CheckRecord, "%s is not what %s says", columns[i], jsonlFile).onLine(r.csv.line).of(e.Seq).at(columns[i])
		}
	}
	return failedIn(csvFile, CheckFormat, "it is not written as an export writes it").onLine(r.csv.line).of(e.Seq)
}

// ends says whether both files end with the tree, whose root the checkpoint has.
func (r *evidenceRows) ends() error {
	for _, l := range []*lineReader{r.jsonl, r.csv} {
		_, err := l.next()
		if err == nil {
			return failedIn(l.part.name, CheckPlace, "there is a row more than the proof has entries").onLine(l.line)
		}
		if !errors.Is(err, io.EOF) {
			return err
		}
	}
	if r.tree.fold.root() != r.walk.report.Checkpoint.Root {
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
