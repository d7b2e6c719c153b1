package audit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ParseQuery reads a filter as text and returns it in its normal form. Errors
// are *[Error] with code invalid_query, say at which character they are, and what
// to do.
//
// A query is a list of terms with white space between:
//
//	action:api_key.*         the field has the value
//	-location:10.0.0.1       the field does not have it
//	dev "api key" -test      free text, each term for itself
//	after:2026-01-01         occurred then or later
//	before:2026-02-01        occurred earlier
//	received.after:… received.before:…
//
// A field named again takes either value (none of them where negated); times
// named again must all hold. Times are dates, meaning midnight UTC, or RFC 3339
// with a time zone.
//
// A value, a text or the name of a field in quotes may hold anything, with
// \" \\ \n \r \t and \uXXXX for what cannot stand for itself:
// "metadata.odd key":"a \"b\"". Without quotes, a term that has a colon and begins
// with a letter names a field; what begins otherwise, such as ::1, is text.
func ParseQuery(text string) (Query, error) {
	p := queryParser{text: text}
	if len(text) > MaxQueryBytes {
		return Query{}, Errorf(CodeInvalidQuery, "the query has %d bytes, more than %d", len(text), MaxQueryBytes)
	}
	if i := invalidUTF8(text); i >= 0 {
		return Query{}, p.fault(i, "not valid UTF-8")
	}
	for p.skipSpace(); p.pos < len(p.text); p.skipSpace() {
		if err := p.term(); err != nil {
			return Query{}, err
		}
	}
	if err := p.query.Validate(); err != nil {
		return Query{}, err
	}
	return p.query.Normalize(), nil
}

// String is the canonical text of a valid query: [ParseQuery] gives back its
// normal form. Equal queries have the same text.
func (q Query) String() string {
	q = q.Normalize()
	var terms []string
	for _, f := range q.Filters {
		for _, v := range f.Values {
			terms = append(terms, f.term(v))
		}
	}
	for _, b := range q.bounds() {
		terms = append(terms, b.name+":"+formatQueryTime(b.t))
	}
	return strings.Join(terms, " ")
}

// term is the text of one value of a filter.
func (f Filter) term(v string) string {
	t := ""
	if f.Not {
		t = "-"
	}
	if f.Field == FieldText {
		return t + quoteUnless(plainText, v)
	}
	return t + quoteUnless(plainName, string(f.Field)) + ":" + quoteUnless(plainValue, v)
}

// queryParser reads terms from text at pos into query.
type queryParser struct {
	text  string
	pos   int
	query Query
}

// fault is an error at a byte of the text. It names the character instead, as a
// person counts.
func (p *queryParser) fault(at int, format string, args ...any) error {
	character := 1 + utf8.RuneCountInString(p.text[:at])
	return Errorf(CodeInvalidQuery, "character %d: %s", character, fmt.Sprintf(format, args...))
}

func (p *queryParser) skipSpace() {
	p.pos = len(p.text) - len(strings.TrimLeftFunc(p.text[p.pos:], unicode.IsSpace))
}

// at reports whether the next byte is c.
func (p *queryParser) at(c byte) bool { return p.pos < len(p.text) && p.text[p.pos] == c }

// term reads one term.
func (p *queryParser) term() error {
	start := p.pos
	not := p.at('-')
	if not {
		p.pos++
	}
	word, quoted, err := p.word()
	if err != nil {
		return err
	}
	switch {
	case p.at(':'):
		p.pos++
		return p.field(start, word, not)
	case !quoted && !not && isOperator(word):
		return p.fault(start, "%s is not part of the language: terms must all hold, a field named again takes either value, "+
			"and - before a term negates it; to find the word itself, quote it", word)
	case word == "" && !quoted && not:
		return p.fault(start, "nothing after -; to find the sign itself, quote it")
	case word == "":
		return p.fault(start, "the text in quotes is empty")
	}
	return p.value(start, Filter{Field: FieldText, Values: []string{word}, Not: not})
}

// isOperator reports whether a word is one of those that other query languages
// give a meaning.
func isOperator(word string) bool { return word == "AND" || word == "OR" || word == "NOT" }

// word reads quoted text, the name of a field, or a bare word. It stops before
// the colon after a name.
func (p *queryParser) word() (s string, quoted bool, err error) {
	if p.at('"') {
		s, err = p.quoted()
		if err == nil && !p.at(':') {
			err = p.atEnd()
		}
		return s, true, err
	}
	rest := p.text[p.pos:]
	end := strings.IndexFunc(rest, unicode.IsSpace)
	if end < 0 {
		end = len(rest)
	}
	first, _ := utf8.DecodeRuneInString(rest[:end])
	if colon := strings.IndexByte(rest[:end], ':'); colon > 0 && unicode.IsLetter(first) {
		end = colon
	}
	s, err = p.bare(end)
	return s, false, err
}

// bare reads the next n bytes, which must not have a quote.
func (p *queryParser) bare(n int) (string, error) {
	s := p.text[p.pos : p.pos+n]
	if q := strings.IndexByte(s, '"'); q >= 0 {
		return "", p.fault(p.pos+q, "a quote inside a word; quote the whole, with \\\" for a quote in it")
	}
	p.pos += n
	return s, nil
}

// quoted reads text in quotes.
func (p *queryParser) quoted() (string, error) {
	start := p.pos
	var b strings.Builder
	for p.pos++; p.pos < len(p.text); {
		switch c := p.text[p.pos]; c {
		case '"':
			p.pos++
			return b.String(), nil
		case '\\':
			if err := p.escape(&b); err != nil {
				return "", err
			}
		default:
			b.WriteByte(c)
			p.pos++
		}
	}
	return "", p.fault(start, "this quote is not closed")
}

// escape reads a backslash and what it stands for.
func (p *queryParser) escape(b *strings.Builder) error {
	rest := p.text[p.pos:]
	if len(rest) > 1 {
		if i := strings.IndexByte(`"\nrt`, rest[1]); i >= 0 {
			b.WriteByte("\"\\\n\r\t"[i])
			p.pos += 2
			return nil
		}
	}
	if len(rest) >= 6 && rest[1] == 'u' {
		if r, ok := hexRune(rest[2:6]); ok {
			b.WriteRune(r)
			p.pos += 6
			return nil
		}
	}
	return p.fault(p.pos, `a backslash in quotes begins one of \" \\ \n \r \t \uXXXX; write \\ for the sign itself`)
}

// hexRune reads four hexadecimal digits. A half of a surrogate pair is no
// character.
func hexRune(s string) (rune, bool) {
	n, err := strconv.ParseUint(s, 16, 16)
	r := rune(n)
	return r, err == nil && utf8.ValidRune(r)
}

// atEnd says whether a quoted text is followed by something that belongs to the
// next term.
func (p *queryParser) atEnd() error {
	r, _ := utf8.DecodeRuneInString(p.text[p.pos:])
	if p.pos == len(p.text) || unicode.IsSpace(r) {
		return nil
	}
	return p.fault(p.pos, "a space is missing after the quote")
}

// field reads what is after a name and its colon.
func (p *queryParser) field(start int, name string, not bool) error {
	from := p.pos
	value, err := p.fieldValue(name)
	if err != nil {
		return err
	}
	if bound := p.query.bound(name); bound != nil {
		if not {
			return p.fault(start, "%s cannot be negated; use the opposite bound", name)
		}
		t, err := parseQueryTime(value)
		if err != nil {
			return p.fault(from, "%s: %v", name, err)
		}
		bound(t)
		return nil
	}
	f, err := ParseField(name)
	if err != nil {
		return p.fault(start, "%v (to find the text itself, quote the whole)", err)
	}
	return p.value(start, Filter{Field: f, Values: []string{value}, Not: not})
}

// fieldValue reads the value of a field.
func (p *queryParser) fieldValue(name string) (string, error) {
	if p.at('"') {
		s, err := p.quoted()
		if err != nil {
			return "", err
		}
		return s, p.atEnd()
	}
	rest := p.text[p.pos:]
	end := strings.IndexFunc(rest, unicode.IsSpace)
	if end < 0 {
		end = len(rest)
	}
	if end == 0 {
		return "", p.fault(p.pos, "no value after %s: (the value follows without a space)", shorten(name))
	}
	return p.bare(end)
}

// value adds a filter when its field can have the value.
func (p *queryParser) value(at int, f Filter) error {
	if err := f.Field.checkValue(f.Values[0]); err != nil {
		return p.fault(at, "%v", err)
	}
	p.query.add(f)
	return nil
}

// timeBound is one end of a range of time.
type timeBound struct {
	name string
	t    time.Time
}

// bounds are the ends of ranges that the query has.
func (q *Query) bounds() []timeBound {
	all := []timeBound{
		{rangeAfter, q.OccurredFrom},
		{rangeBefore, q.OccurredTo},
		{rangeReceivedAfter, q.ReceivedFrom},
		{rangeReceivedBefore, q.ReceivedTo},
	}
	return slices.DeleteFunc(all, func(b timeBound) bool { return b.t.IsZero() })
}

// bound returns how a bound of time narrows the query, nil when name is none.
func (q *Query) bound(name string) func(time.Time) {
	lower := func(at *time.Time) func(time.Time) {
		return func(t time.Time) {
			if at.IsZero() || t.After(*at) {
				*at = t
			}
		}
	}
	upper := func(at *time.Time) func(time.Time) {
		return func(t time.Time) {
			if at.IsZero() || t.Before(*at) {
				*at = t
			}
		}
	}
	switch name {
	case rangeAfter:
		return lower(&q.OccurredFrom)
	case rangeBefore:
		return upper(&q.OccurredTo)
	case rangeReceivedAfter:
		return lower(&q.ReceivedFrom)
	case rangeReceivedBefore:
		return upper(&q.ReceivedTo)
	default:
		return nil
	}
}
