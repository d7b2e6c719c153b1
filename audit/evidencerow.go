package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strconv"
)

// evidenceRow is a line of proof/tree.jsonl and, for an entry that is in the zip,
// its rows of the other two files; and what was found of them.
type evidenceRow struct {
	tree, jsonl, csv evidenceLine

	node    *treeNode
	noNode  error // the line of the tree is no node
	entry   *Entry
	noEntry error // the rows are not of that entry, or not as it was recorded
}

// evidenceLine is a line that was read.
type evidenceLine struct {
	text   []byte
	number uint64
	err    error // there is none: io.EOF after the last
}

func (l *evidenceLine) ended() bool { return errors.Is(l.err, io.EOF) }

// rowCheck checks rows, each with nothing but the manifest and the row before.
type rowCheck struct {
	manifest *EvidenceManifest
	form     evidenceCSV
	last     *Entry // of the row before, nil for the first
	buf      []byte // what is written to compare it
	*evidenceRow
}

// check finds out whether a row is what it must be, but for its place in the tree.
func (c *rowCheck) check(row *evidenceRow) {
	c.evidenceRow = row
	if row.noNode = c.tree.err; row.noNode != nil {
		return
	}
	var ok bool
	if row.node, c.buf, ok = parseNode(c.tree.text, c.buf); !ok {
		row.noNode = failedIn(treeFile, CheckFormat, "it is not an entry or a subtree as it is written in evidence").onLine(c.tree.number)
		return
	}
	if row.node.Seq == nil {
		return
	}
	if row.entry, row.noEntry = c.entryOf(*row.node.Seq); row.noEntry != nil {
		return
	}
	if row.noEntry = c.against(row.entry, row.node); row.noEntry == nil {
		row.noEntry = c.csvRow(row.entry)
	}
	c.last = row.entry
}

// wrong is about the row of entries.jsonl.
func (c *rowCheck) wrong(seq uint64, check Check, field, format string, args ...any) error {
	return failedIn(jsonlFile, check, format, args...).onLine(c.jsonl.number).of(seq).at(field)
}

// entryOf reads the row of entries.jsonl, which must be of this entry.
func (c *rowCheck) entryOf(seq uint64) (*Entry, error) {
	if c.jsonl.ended() {
		return nil, failedIn(jsonlFile, CheckPlace, "it ends before the row of entry %d", seq).of(seq)
	}
	if c.jsonl.err != nil {
		return nil, c.jsonl.err
	}
	e, ok := parseEntry(string(c.jsonl.text))
	if ok {
		var err error
		c.buf, err = e.appendJSON(c.buf[:0])
		c.buf = append(c.buf, '\n')
		ok = err == nil && bytes.Equal(c.buf, c.jsonl.text)
	}
	if !ok {
		return nil, c.wrong(seq, CheckFormat, "", "it is not an entry as a server writes it: a member is unknown, missing or there twice, or the form of a value or the spacing is another")
	}
	if e.Seq != seq {
		return nil, misplaced(jsonlFile, c.jsonl.number, e.Seq, seq)
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
func (c *rowCheck) against(e *Entry, n *treeNode) error {
	m := c.manifest
	ms, seq, ok := parseID(e.ID)
	switch {
	case e.OrganizationID != m.Organization.ID:
		return c.wrong(e.Seq, CheckOrigin, "organization_id", "it is of organization %q, the log of %q", shorten(e.OrganizationID), shorten(m.Organization.ID))
	case !ok || seq != e.Seq || ms != e.ReceivedAt.UnixMilli():
		return c.wrong(e.Seq, CheckPlace, "id", "the id is not that of an entry in this place, received at this time")
	case c.last != nil && e.ReceivedAt.Before(c.last.ReceivedAt):
		return c.wrong(e.Seq, CheckPlace, "received_at", "it was received before the entry of the row before")
	case !inRange(e.ReceivedAt, m.Received.From, m.Received.To):
		return c.wrong(e.Seq, CheckPlace, "received_at", "it was not received in the time that the manifest says")
	}
	digest, err := c.digest(e, n)
	if err != nil {
		return err
	}
	if c.buf, err = e.appendRecord(c.buf[:0], digest); err != nil {
		return c.wrong(e.Seq, CheckFormat, "", "it is not an entry that a log can hold")
	}
	if bytes.Equal(c.buf, n.Record) {
		return nil
	}
	return c.differs(e, n)
}

// differs says in what an entry's record differs from the one that was just made.
func (c *rowCheck) differs(e *Entry, n *treeNode) error {
	v, err := decodeStrict(n.Record)
	recorded, isObject := v.(map[string]any)
	if err != nil || !isObject {
		return failedIn(treeFile, CheckRecord, "the record cannot be read").onLine(c.tree.number).of(e.Seq).at("record")
	}
	switch field := differingMember(recorded, c.buf); field {
	case "":
		return failedIn(treeFile, CheckRecord, "the record is not written as canonical JSON").onLine(c.tree.number).of(e.Seq).at("record")
	case "details":
		return c.wrong(e.Seq, CheckDetails, field, "a name, metadata or the context is not what was recorded: they do not have the digest of its record")
	default:
		return c.wrong(e.Seq, CheckRecord, field, "%s is not what its record says", field)
	}
}

// digest is that of an entry's details. Of details that were erased it is in the
// record alone.
func (c *rowCheck) digest(e *Entry, n *treeNode) (string, error) {
	details, err := e.appendDetails(append(c.buf[:0], n.Salt...))
	c.buf = details
	details = details[len(n.Salt):]
	erased := !e.ErasedAt.IsZero()
	switch {
	case err != nil:
		return "", c.wrong(e.Seq, CheckFormat, "", "it is not an entry that a log can hold")
	case erased && n.Salt != nil:
		return "", c.wrong(e.Seq, CheckDetails, "erased_at", "it says that its details were erased, but the proof has what they are checked with")
	case erased && string(details) != "{}":
		return "", c.wrong(e.Seq, CheckDetails, "details", "it says that its details were erased, but it has a name, metadata or context")
	case !erased && n.Salt == nil:
		return "", c.wrong(e.Seq, CheckDetails, "erased_at", "it does not say that its details were erased, but the proof lacks what they are checked with")
	case !erased:
		digest := sha256.Sum256(c.buf)
		return base64.RawURLEncoding.EncodeToString(digest[:]), nil
	}
	var record struct {
		Details string `json:"details"`
	}
	_ = json.Unmarshal(n.Record, &record) // what cannot be read is not the record
	return record.Details, nil
}

// csvRow checks the row of entries.csv, which must be of this entry.
func (c *rowCheck) csvRow(e *Entry) error {
	if len(e.Targets) > c.form.TargetGroups {
		return failedIn(manifestFile, CheckManifest, "entry %d has %d targets, and the CSV columns for %d", e.Seq, len(e.Targets), c.form.TargetGroups).at("csv")
	}
	row := c.csv.text
	if c.csv.ended() {
		return failedIn(csvFile, CheckPlace, "it ends before the row of entry %d", e.Seq).of(e.Seq)
	}
	if c.csv.err != nil {
		return c.csv.err
	}
	want, err := c.form.row(c.buf[:0], e)
	if err != nil {
		return c.wrong(e.Seq, CheckFormat, "", "it is not an entry that a log can hold")
	}
	c.buf = want
	if bytes.Equal(row, want) {
		return nil
	}
	cells, columns := splitRow(row), c.form.columns()
	if len(cells) != len(columns) {
		return failedIn(csvFile, CheckFormat, "it has %d cells, not %d", len(cells), len(columns)).onLine(c.csv.number).of(e.Seq)
	}
	if seq, err := strconv.ParseUint(cells[1], 10, 40); err == nil && seq != e.Seq {
		return misplaced(csvFile, c.csv.number, seq, e.Seq)
	}
	for i, cell := range splitRow(want) {
		if cell != cells[i] {
			return failedIn(csvFile, CheckRecord, "%s is not what %s says", columns[i], jsonlFile).onLine(c.csv.number).of(e.Seq).at(columns[i])
		}
	}
	return failedIn(csvFile, CheckFormat, "it is not written as an export writes it").onLine(c.csv.number).of(e.Seq)
}
