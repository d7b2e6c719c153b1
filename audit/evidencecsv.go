package audit

import (
	"bytes"
	"cmp"
	"strconv"
	"strings"
)

// evidenceCSV writes the rows that entries.csv must have.
type evidenceCSV struct {
	EvidenceCSV
}

// columns are the names of the columns.
func (f evidenceCSV) columns() []string {
	names := []string{
		"id", "seq", "action", "version", "occurred_at", "received_at",
		"actor_id", "actor_type", "actor_name", "actor_metadata",
	}
	for n := range f.TargetGroups {
		suffix := strconv.Itoa(n + 1)
		names = append(names, "target_id_"+suffix, "target_type_"+suffix, "target_name_"+suffix, "target_metadata_"+suffix)
	}
	return append(names, "context_location", "context_user_agent", "metadata", "erased_at")
}

// header appends the first row.
func (f evidenceCSV) header(dst []byte) []byte {
	return append(append(dst, strings.Join(f.columns(), ",")...), "\r\n"...)
}

// row appends the row of an entry that has no more targets than there are groups.
func (f evidenceCSV) row(dst []byte, e *Entry) ([]byte, error) {
	w := jsonWriter{b: dst}
	w.raw(e.ID + "," + strconv.FormatUint(e.Seq, 10) + ",")
	f.text(&w, e.Action)
	w.raw("," + strconv.Itoa(cmp.Or(e.Version, 1)) + ",")
	w.append(appendTime(w.b, e.OccurredAt))
	w.raw(",")
	w.append(appendTime(w.b, e.ReceivedAt))
	f.party(&w, Target(e.Actor))
	for _, t := range e.Targets {
		f.party(&w, t)
	}
	w.raw(strings.Repeat(",,,,", f.TargetGroups-len(e.Targets)) + ",")
	f.text(&w, e.Context.Location)
	w.raw(",")
	f.text(&w, e.Context.UserAgent)
	f.metadata(&w, e.Metadata)
	w.raw(",")
	if !e.ErasedAt.IsZero() {
		w.append(appendTime(w.b, e.ErasedAt))
	}
	w.raw("\r\n")
	return w.b, w.err
}

// party appends the four cells of an actor or a target.
func (f evidenceCSV) party(w *jsonWriter, p Target) {
	for _, text := range []string{p.ID, p.Type, p.Name} {
		w.raw(",")
		f.text(w, text)
	}
	f.metadata(w, p.Metadata)
}

// text appends a cell that holds somebody's text.
func (f evidenceCSV) text(w *jsonWriter, text string) {
	if !f.RawCells && isFormula(text) {
		text = "'" + text
	}
	w.raw(quoteCell(text))
}

// metadata appends a comma and a cell of JSON.
func (evidenceCSV) metadata(w *jsonWriter, m Metadata) {
	w.raw(",")
	if len(m) == 0 {
		return
	}
	text, err := appendCanonical(nil, m)
	w.append(append(w.b, quoteCell(string(text))...), err)
}

// quoteCell puts a cell in quotes that would end otherwise.
func quoteCell(cell string) string {
	if !strings.ContainsAny(cell, ",\"\r\n") {
		return cell
	}
	return `"` + strings.ReplaceAll(cell, `"`, `""`) + `"`
}

// isFormula reports whether a spreadsheet would run a cell, or whether it looks
// like one that an apostrophe was put before.
func isFormula(cell string) bool {
	cell = strings.TrimLeft(cell, "' ")
	for _, start := range []string{"=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"} {
		if strings.HasPrefix(cell, start) {
			return true
		}
	}
	return false
}

// splitRow splits a row of a CSV into its cells.
func splitRow(row []byte) []string {
	row = bytes.TrimSuffix(bytes.TrimSuffix(row, []byte("\n")), []byte("\r"))
	var cells []string
	var cell []byte
	quoted := false
	for i := 0; i < len(row); i++ {
		switch c := row[i]; {
		case quoted && c == '"' && i+1 < len(row) && row[i+1] == '"':
			cell = append(cell, c)
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			cells, cell = append(cells, string(cell)), cell[:0]
		default:
			cell = append(cell, c)
		}
	}
	return append(cells, string(cell))
}
