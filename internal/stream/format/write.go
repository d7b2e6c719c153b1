package format

import (
	"net/netip"
	"strconv"
	"unicode/utf8"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

// unregistered is said of an entry whose action or version had no schema when it
// was recorded.
const unregistered = audit.SchemaUnregistered

// What formats that name their source call it.
const (
	vendorName  = "Stele"
	productName = "Stele Audit Log"
)

func appendInt(dst []byte, n int) []byte { return strconv.AppendInt(dst, int64(n), 10) }

// jsonWriter appends JSON member by member. Names of members are written as they
// are: they are constants without characters to escape.
type jsonWriter struct {
	b []byte
}

func (w *jsonWriter) name(name string) {
	w.comma()
	if name == "" { // an element of an array, or the whole
		return
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, name...)
	w.b = append(w.b, '"', ':')
}

// comma parts a member from the one before it. Nothing but the begin of an
// object or array ends with a brace or bracket that opens.
func (w *jsonWriter) comma() {
	if n := len(w.b); n > 0 {
		switch w.b[n-1] {
		case '{', '[', ':':
		default:
			w.b = append(w.b, ',')
		}
	}
}

func (w *jsonWriter) open(name string) {
	w.name(name)
	w.b = append(w.b, '{')
}

func (w *jsonWriter) close() { w.b = append(w.b, '}') }

func (w *jsonWriter) openArray(name string) {
	w.name(name)
	w.b = append(w.b, '[')
}

func (w *jsonWriter) closeArray() { w.b = append(w.b, ']') }

// text writes a string member.
func (w *jsonWriter) text(name, s string) {
	w.name(name)
	w.b = appendQuoted(w.b, s)
}

// bytes writes a string member, or nothing when s is empty.
func (w *jsonWriter) bytes(name string, s []byte) {
	if len(s) > 0 {
		w.name(name)
		w.b = appendQuoted(w.b, s)
	}
}

// some writes a string member, or nothing when s is empty.
func (w *jsonWriter) some(name, s string) {
	if s != "" {
		w.text(name, s)
	}
}

// raw writes a member whose value is JSON already, or nothing when v is empty.
func (w *jsonWriter) raw(name string, v []byte) {
	if len(v) > 0 {
		w.name(name)
		w.b = append(w.b, v...)
	}
}

func (w *jsonWriter) int(name string, n int64) {
	w.name(name)
	w.b = strconv.AppendInt(w.b, n, 10)
}

func (w *jsonWriter) uint(name string, n uint64) {
	w.name(name)
	w.b = strconv.AppendUint(w.b, n, 10)
}

// yes writes a member that is true, or nothing when it is not.
func (w *jsonWriter) yes(name string, is bool) {
	if is {
		w.name(name)
		w.b = append(w.b, "true"...)
	}
}

// nanos writes a time in RFC 3339, with all the digits it has.
func (w *jsonWriter) nanos(name string, ns int64) {
	w.name(name)
	w.b = append(w.b, '"')
	w.b = event.AppendTime(w.b, ns)
	w.b = append(w.b, '"')
}

// erased writes when the details of an entry were erased, if they were.
func (w *jsonWriter) erased(e *event.Entry) {
	if e.ErasedAt != 0 {
		w.millis("erased_at", e.ErasedAt)
	}
}

// millis writes a time in RFC 3339.
func (w *jsonWriter) millis(name string, ms int64) {
	w.name(name)
	w.b = append(w.b, '"')
	w.b = event.AppendMillis(w.b, ms)
	w.b = append(w.b, '"')
}

// parties writes targets from the given one on as an array of objects of type,
// id, name and metadata; metadata is left out unless full.
func (w *jsonWriter) parties(name string, targets []event.Party, full bool) {
	w.openArray(name)
	for i := range targets {
		p := &targets[i]
		w.open("")
		if full {
			w.party(p)
		} else {
			w.bytes("type", p.Type)
			w.bytes("id", p.ID)
			w.bytes("name", p.Name)
		}
		w.close()
	}
	w.closeArray()
}

// party writes the members of an actor or target.
func (w *jsonWriter) party(p *event.Party) {
	w.bytes("type", p.Type)
	w.bytes("id", p.ID)
	w.bytes("name", p.Name)
	w.raw("metadata", p.Metadata)
}

// checkpointID writes a text that tells a checkpoint record from others: a log
// has one checkpoint of a size.
func (w *jsonWriter) checkpointID(name string, cp *Checkpoint) {
	var buf [96]byte
	w.bytes(name, appendCheckpointID(buf[:0], cp))
}

func appendCheckpointID(dst []byte, cp *Checkpoint) []byte {
	dst = append(dst, "checkpoint-"...)
	dst = append(dst, cp.Organization...)
	dst = append(dst, '-')
	return strconv.AppendUint(dst, cp.Size, 10)
}

// appendQuoted appends text as a JSON string. Only what JSON must escape is
// escaped, and what would end a line for some readers (U+2028, U+2029, U+0085).
func appendQuoted[T string | []byte](dst []byte, s T) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c != 0x7f && c != 0xc2 && c != 0xe2 {
			continue
		}
		n := 1
		var esc string
		switch c {
		case '"':
			esc = `\"`
		case '\\':
			esc = `\\`
		case '\n':
			esc = `\n`
		case '\r':
			esc = `\r`
		case '\t':
			esc = `\t`
		case 0xc2, 0xe2:
			if esc, n = lineEnd(s, i); n == 0 {
				continue
			}
		default:
			dst = append(dst, s[start:i]...)
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			start = i + 1
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = append(dst, esc...)
		i += n - 1
		start = i + 1
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// lineEnd returns how the character at s[i] is escaped when it ends a line, and
// its length; otherwise 0.
func lineEnd[T string | []byte](s T, i int) (esc string, n int) {
	switch {
	case s[i] == 0xc2 && i+1 < len(s) && s[i+1] == 0x85:
		return `\u0085`, 2
	case s[i] == 0xe2 && i+2 < len(s) && s[i+1] == 0x80 && s[i+2] == 0xa8:
		return `\u2028`, 3
	case s[i] == 0xe2 && i+2 < len(s) && s[i+1] == 0x80 && s[i+2] == 0xa9:
		return `\u2029`, 3
	}
	return "", 0
}

// cut returns the longest beginning of s of at most n bytes that ends between
// two characters.
func cut(s []byte, n int) []byte {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// appendMessage appends a line for people: who did what to whom.
func appendMessage(dst []byte, e *event.Event) []byte {
	dst = appendWho(dst, &e.Actor)
	dst = append(dst, ": "...)
	dst = append(dst, e.Action...)
	if len(e.Targets) == 0 {
		return dst
	}
	dst = append(dst, " on "...)
	dst = append(dst, e.Targets[0].Type...)
	dst = append(dst, ' ')
	dst = appendWho(dst, &e.Targets[0])
	if more := len(e.Targets) - 1; more > 0 {
		dst = append(dst, " and "...)
		dst = strconv.AppendInt(dst, int64(more), 10)
		dst = append(dst, " more"...)
	}
	return dst
}

func appendWho(dst []byte, p *event.Party) []byte {
	if len(p.Name) > 0 {
		return append(dst, p.Name...)
	}
	return append(dst, p.ID...)
}

// message writes the line of appendMessage, which a buffer of a usual length
// keeps off the heap.
func (w *jsonWriter) message(name string, e *event.Event) {
	var buf [256]byte
	w.bytes(name, appendMessage(buf[:0], e))
}

// address returns the location as an address. Zones are no part of an address
// that others would understand.
func address(location []byte) (netip.Addr, bool) {
	if len(location) == 0 || len(location) > 45 {
		return netip.Addr{}, false
	}
	for _, c := range location { // most of what is none is seen without a copy
		if (c < '0' || c > ':') && c != '.' && (c|0x20 < 'a' || c|0x20 > 'f') {
			return netip.Addr{}, false
		}
	}
	addr, err := netip.ParseAddr(string(location))
	return addr, err == nil && addr.Zone() == ""
}

// isEmail reports whether a text is a plain mail address: one that every
// receiver's idea of an address has in common.
func isEmail(s []byte) bool {
	at := -1
	for i, c := range s {
		switch {
		case c == '@':
			if at >= 0 {
				return false
			}
			at = i
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-':
		case at < 0 && (c == '_' || c == '+'):
		default:
			return false
		}
	}
	if at < 1 {
		return false
	}
	domain := s[at+1:]
	dot := 0
	for i, c := range domain {
		if c == '.' {
			dot = i
		}
	}
	return dot > 0 && dot < len(domain)-1 && len(s) <= 254
}
