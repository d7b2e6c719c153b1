package export

import (
	"encoding/binary"
	"slices"
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
	return append(dst, ",context_location,context_user_agent,metadata,erased_at\r\n"...)
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
	dst = append(appendCell(append(dst, ','), e.Metadata), ',')
	if e.ErasedAt != 0 {
		dst = event.AppendMillis(dst, e.ErasedAt)
	}
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
	n := len(dst)
	dst = slices.Grow(dst, 2*len(text)+8)
	to := dst[n : n+2*len(text)+8]
	n = 0
	for len(text) >= 8 {
		w := binary.LittleEndian.Uint64(text)
		if has(w, '"') {
			n = quoteEach(to, n, text[:8])
		} else {
			binary.LittleEndian.PutUint64(to[n:], w)
			n += 8
		}
		text = text[8:]
	}
	n = quoteEach(to, n, text)
	return dst[:len(dst)+n]
}

// quoteEach writes text at n, its quotes doubled, and returns where it ends; the
// byte there may be written, too. Quotes are many in JSON: a byte at a time
// without a branch beats a search for each.
func quoteEach(to []byte, n int, text []byte) int {
	for _, c := range text {
		to[n], to[n+1] = c, '"'
		n++
		if c == '"' {
			n++
		}
	}
	return n
}

// needsQuotes reports whether a cell holds a character that would end it,
// looking at eight at a time.
func needsQuotes(cell []byte) bool {
	for len(cell) >= 8 {
		if ends(binary.LittleEndian.Uint64(cell)) {
			return true
		}
		cell = cell[8:]
	}
	for _, c := range cell {
		if c <= ',' && (c == ',' || c == '"' || c == '\n' || c == '\r') {
			return true
		}
	}
	return false
}

// The eight bytes of a word at once.
const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// has reports whether one of eight bytes is c.
func has(w uint64, c byte) bool {
	x := w ^ uint64(c)*ones
	return (x-ones)&^x&highs != 0
}

// ends reports whether one of eight characters would end a cell.
func ends(w uint64) bool {
	// Most texts have few characters up to the comma, the last of them.
	if (w-(','+1)*ones)&^w&highs == 0 {
		return false
	}
	return has(w, ',') || has(w, '"') || has(w, '\n') || has(w, '\r')
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
