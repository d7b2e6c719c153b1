package event

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"github.com/stelehq/stele/audit"
)

// decodePlain reads an event without escapes, without numbers other than
// integers of up to 15 digits, and without faults. It reports false for any
// other, which [Decoder.decodeStrict] then reads.
func (d *Decoder) decodePlain(data []byte, ev *Event) bool {
	control, ok := survey(data)
	if !ok {
		return false
	}
	s := scanner{b: data, control: control}
	*ev = Event{Targets: ev.Targets[:0]}
	if !s.event(d, ev) {
		return false
	}
	ev.finish()
	return true
}

// survey looks over a whole text once, so that reading its strings need not: ok
// says that it is valid UTF-8 without a backslash, control that it has control
// characters, be it between values.
func survey(b []byte) (control, ok bool) {
	if bytes.IndexByte(b, '\\') >= 0 {
		return false, false
	}
	const (
		high   = 0x8080808080808080
		spaces = 0x2020202020202020
	)
	var above, below uint64 // high bits: bytes ≥ 0x80, bytes < 0x20
	rest := b
	for ; len(rest) >= 32; rest = rest[32:] {
		v, w := binary.LittleEndian.Uint64(rest), binary.LittleEndian.Uint64(rest[8:])
		x, y := binary.LittleEndian.Uint64(rest[16:]), binary.LittleEndian.Uint64(rest[24:])
		above |= v | w | x | y
		below |= (v-spaces)&^v | (w-spaces)&^w | (x-spaces)&^x | (y-spaces)&^y
	}
	for _, c := range rest {
		above |= uint64(c)
		below |= (uint64(c) - 0x20) &^ uint64(c) & 0x80
	}
	return below&high != 0, above&high == 0 || utf8.Valid(b)
}

// scanner reads plain JSON. Its methods set bad at whatever they do not expect,
// and give zeros from then on.
type scanner struct {
	b       []byte
	i       int
	bad     bool
	control bool // strings must be searched for control characters
	// loose is set when there is white space, or keys are not in order: the
	// metadata being read is not in canonical form.
	loose bool
	keys  int // of the metadata object being read
}

// Fields of an event and of its parts, as bits to find duplicates and gaps.
const (
	hasAction = 1 << iota
	hasVersion
	hasTime
	hasActor
	hasTargets
	hasContext
	hasMetadata
	hasKey
	hasType
	hasID
	hasName
	hasLocation
	hasUserAgent
)

func (s *scanner) event(d *Decoder, ev *Event) bool {
	var seen uint
	for more := s.open('{'); more; more = s.more('}') {
		switch string(s.key()) {
		case "action":
			s.once(&seen, hasAction)
			ev.Action = s.text(audit.MaxActionBytes)
		case "version":
			s.once(&seen, hasVersion)
			ev.Version = s.version()
		case "occurred_at":
			s.once(&seen, hasTime)
			ev.OccurredAt = s.time()
		case "actor":
			s.once(&seen, hasActor)
			s.party(d, &ev.Actor)
		case "targets":
			s.once(&seen, hasTargets)
			s.targets(d, ev)
		case "context":
			s.once(&seen, hasContext)
			s.context(ev)
		case "metadata":
			s.once(&seen, hasMetadata)
			ev.Metadata = s.metadata(d)
		case "idempotency_key":
			s.once(&seen, hasKey)
			ev.IdempotencyKey = s.text(audit.MaxIdempotencyKeyBytes)
		default:
			return false
		}
	}
	s.space()
	const required = hasTime | hasActor
	return !s.bad && s.i == len(s.b) && seen&required == required && len(ev.Action) > 0
}

// party reads an actor or target with its required fields.
func (s *scanner) party(d *Decoder, p *Party) {
	var seen uint
	for more := s.open('{'); more; more = s.more('}') {
		switch string(s.key()) {
		case "type":
			s.once(&seen, hasType)
			p.Type = s.text(audit.MaxStringBytes)
		case "id":
			s.once(&seen, hasID)
			p.ID = s.text(audit.MaxStringBytes)
		case "name":
			s.once(&seen, hasName)
			p.Name = s.text(audit.MaxStringBytes)
		case "metadata":
			s.once(&seen, hasMetadata)
			p.Metadata = s.metadata(d)
		default:
			s.bad = true
		}
	}
	if len(p.Type) == 0 || len(p.ID) == 0 {
		s.bad = true
	}
}

func (s *scanner) targets(d *Decoder, ev *Event) {
	if s.space(); s.null() {
		return
	}
	for more := s.open('['); more; more = s.more(']') {
		n := len(ev.Targets)
		if n == audit.MaxTargets {
			s.bad = true
			return
		}
		ev.Targets = append(ev.Targets, Party{})
		s.party(d, &ev.Targets[n])
	}
}

func (s *scanner) context(ev *Event) {
	if s.space(); s.null() {
		return
	}
	var seen uint
	for more := s.open('{'); more; more = s.more('}') {
		switch string(s.key()) {
		case "location":
			s.once(&seen, hasLocation)
			ev.Location = s.text(audit.MaxStringBytes)
		case "user_agent":
			s.once(&seen, hasUserAgent)
			ev.UserAgent = s.text(audit.MaxStringBytes)
		default:
			s.bad = true
		}
	}
}

// once notes a field, which must not have been there before.
func (s *scanner) once(seen *uint, field uint) {
	if *seen&field != 0 {
		s.bad = true
	}
	*seen |= field
}

// open takes an opening brace or bracket and tells whether something is in it;
// if not, it takes the closing one as well.
func (s *scanner) open(c byte) bool {
	if !s.take(c) {
		s.bad = true
		return false
	}
	s.space()
	if s.i < len(s.b) && s.b[s.i] == c+2 { // '{' and '}', '[' and ']' are 2 apart
		s.i++
		return false
	}
	return true
}

// more takes a comma, or the closing brace or bracket c, and tells which.
func (s *scanner) more(c byte) bool {
	s.space()
	if s.bad || s.i == len(s.b) {
		s.bad = true
		return false
	}
	got := s.b[s.i]
	s.i++
	s.bad = got != ',' && got != c
	return got == ','
}

// take skips white space and then c, if that is what comes.
func (s *scanner) take(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] != c {
		s.space()
	}
	if s.i == len(s.b) || s.b[s.i] != c {
		return false
	}
	s.i++
	return true
}

// space skips white space, and notes that there was some.
func (s *scanner) space() {
	if s.i < len(s.b) && s.b[s.i] <= ' ' {
		s.i = skipSpace(s.b, s.i)
		s.loose = true
	}
}

// key takes a name and its colon.
func (s *scanner) key() []byte {
	k := s.quoted()
	if !s.take(':') {
		s.bad = true
	}
	return k
}

// text takes a string, or null for an absent one, of at most limit bytes.
func (s *scanner) text(limit int) []byte {
	if s.space(); s.null() {
		return nil
	}
	t := s.quoted()
	if len(t) > limit {
		s.bad = true
	}
	if len(t) == 0 {
		return nil
	}
	return t
}

// quoted takes a string.
func (s *scanner) quoted() []byte {
	if !s.take('"') {
		s.bad = true
		return nil
	}
	rest := s.b[s.i:]
	n := quoteAt(rest)
	if n < 0 {
		s.bad = true
		return nil
	}
	s.i += n + 1
	if s.control && hasControl(rest[:n]) {
		s.bad = true
	}
	return rest[:n:n]
}

// quoteAt is bytes.IndexByte for a quote, faster where it is near.
func quoteAt(b []byte) int {
	const (
		ones   = 0x0101010101010101
		high   = 0x80 * ones
		quotes = '"' * ones
	)
	if len(b) >= 16 {
		v := binary.LittleEndian.Uint64(b) ^ quotes
		if m := (v - ones) &^ v & high; m != 0 {
			return bits.TrailingZeros64(m) >> 3
		}
		v = binary.LittleEndian.Uint64(b[8:]) ^ quotes
		if m := (v - ones) &^ v & high; m != 0 {
			return 8 + bits.TrailingZeros64(m)>>3
		}
	}
	return bytes.IndexByte(b, '"')
}

func hasControl(b []byte) bool {
	for _, c := range b {
		if c < 0x20 {
			return true
		}
	}
	return false
}

// null takes null, if that is what comes.
func (s *scanner) null() bool { return s.word("null") }

func (s *scanner) word(w string) bool {
	if s.i < len(s.b) && s.b[s.i] == w[0] && len(s.b)-s.i >= len(w) && string(s.b[s.i:s.i+len(w)]) == w {
		s.i += len(w)
		return true
	}
	return false
}

func (s *scanner) version() int {
	s.space()
	n := digits(s.integer())
	if n < 1 || n > MaxVersion {
		s.bad = true
	}
	return n
}

func (s *scanner) time() int64 {
	ns, fault := parseTime(s.quoted())
	if fault != "" {
		s.bad = true
	}
	return ns
}

// maxPlainDigits is how many digits of an integer a double keeps for sure.
const maxPlainDigits = 15

// integer takes an integer of few digits that is its own canonical form.
func (s *scanner) integer() []byte {
	start := s.i
	if s.i < len(s.b) && s.b[s.i] == '-' {
		s.i++
	}
	first := s.i
	for s.i < len(s.b) && isDigit(s.b[s.i]) {
		s.i++
	}
	n := s.i - first
	switch {
	case n == 0 || n > maxPlainDigits:
		s.bad = true
	case s.b[first] == '0' && (n > 1 || first > start): // 01, -0
		s.bad = true
	case s.i < len(s.b) && (s.b[s.i] == '.' || s.b[s.i]|0x20 == 'e'):
		s.bad = true
	}
	return s.b[start:s.i]
}
