package export

import (
	"bytes"
	"strconv"

	"github.com/stelehq/stele/internal/event"
)

// csvForm is the form of one CSV file. Its methods append whole lines and keep
// nothing.
type csvForm struct {
	groups int  // of target columns, at least 1
	raw    bool // leave formulas as they are
}

// appendHeader appends the line of column names.
func (f csvForm) appendHeader(dst []byte) []byte {
	dst = append(dst, "id,seq,action,version,occurred_at,received_at,actor_id,actor_type,actor_name,actor_metadata"...)
	for n := range f.groups {
		for _, column := range [...]string{",target_id_", ",target_type_", ",target_name_", ",target_metadata_"} {
			dst = append(dst, column...)
			dst = strconv.AppendInt(dst, int64(n)+1, 10)
		}
	}
	return append(dst, ",context_location,context_user_agent,metadata\r\n"...)
}

// appendRow appends the line of one entry, which has no more targets than the
// form has groups.
func (f csvForm) appendRow(dst []byte, e *event.Entry) []byte {
	dst = append(dst, e.ID[:]...)
	dst = append(dst, ',')
	dst = strconv.AppendUint(dst, e.Seq, 10)
	dst = f.appendText(append(dst, ','), e.Action)
	dst = append(dst, ',')
	dst = strconv.AppendInt(dst, int64(e.Version), 10)
	dst = append(dst, ',')
	dst = event.AppendTime(dst, e.OccurredAt)
	dst = append(dst, ',')
	dst = event.AppendMillis(dst, e.ReceivedAt)
	dst = f.appendParty(dst, &e.Actor)
	for i := range e.Targets {
		dst = f.appendParty(dst, &e.Targets[i])
	}
	for range f.groups - len(e.Targets) {
		dst = append(dst, ",,,,"...)
	}
	dst = f.appendText(append(dst, ','), e.Location)
	dst = f.appendText(append(dst, ','), e.UserAgent)
	dst = appendCell(append(dst, ','), e.Metadata)
	return append(dst, "\r\n"...)
}

// appendParty appends the four cells of an actor or a target.
func (f csvForm) appendParty(dst []byte, p *event.Party) []byte {
	dst = f.appendText(append(dst, ','), p.ID)
	dst = f.appendText(append(dst, ','), p.Type)
	dst = f.appendText(append(dst, ','), p.Name)
	return appendCell(append(dst, ','), p.Metadata)
}

// appendText appends a cell that holds somebody's text.
func (f csvForm) appendText(dst, text []byte) []byte {
	if f.raw || !isFormula(text) {
		return appendCell(dst, text)
	}
	if !needsQuotes(text) {
		return append(append(dst, '\''), text...)
	}
	return append(appendQuoted(append(dst, '"', '\''), text), '"')
}

// appendCell appends a cell, in quotes where it needs them.
func appendCell(dst, cell []byte) []byte {
	if !needsQuotes(cell) {
		return append(dst, cell...)
	}
	return append(appendQuoted(append(dst, '"'), cell), '"')
}

// appendQuoted appends what stands between quotes: the text, its quotes doubled.
func appendQuoted(dst, text []byte) []byte {
	for {
		i := bytes.IndexByte(text, '"')
		if i < 0 {
			return append(dst, text...)
		}
		dst = append(append(dst, text[:i+1]...), '"')
		text = text[i+1:]
	}
}

// needsQuotes reports whether a cell holds a character that would end it.
func needsQuotes(cell []byte) bool {
	for _, c := range cell {
		if c <= ',' && (c == ',' || c == '"' || c == '\n' || c == '\r') {
			return true
		}
	}
	return false
}

// isFormula reports whether a spreadsheet would run a cell, or whether it looks
// like one that was neutralised: spaces, which some spreadsheets skip, and
// apostrophes in any mix, then the start of a formula.
func isFormula(cell []byte) bool {
	for len(cell) > 0 && (cell[0] == '\'' || cell[0] == ' ') {
		cell = cell[1:]
	}
	if len(cell) == 0 {
		return false
	}
	switch cell[0] {
	case '=', '+', '-', '@', '\t', '\r', '\n':
		return true
	case 0xEF: // full-width ＝ ＋ － ＠, which some locales' spreadsheets take for the plain ones
		return len(cell) >= 3 && cell[1] == 0xBC && (cell[2] == 0x9D || cell[2] == 0x8B || cell[2] == 0x8D || cell[2] == 0xA0)
	}
	return false
}
