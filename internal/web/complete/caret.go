// Package complete reads what is being typed into the search box and says what
// may come next: which term the caret is in, which fields begin so, and which of
// counted values match. It counts nothing itself.
package complete

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Caret is the term that is being typed.
type Caret struct {
	// Start and End are where the term is in the text, in bytes.
	Start, End int
	Not        bool
	// Field is the name before the colon, "" while a name or a text is typed.
	Field string
	// Word is what is typed of the value, the name or the text, up to the
	// caret.
	Word string
	// Rest is the text without the term.
	Rest string
}

// At finds the term at a byte of the text. It is lenient: what is half typed is no
// filter yet.
func At(text string, caret int) Caret {
	caret = min(max(caret, 0), len(text))
	for caret > 0 && caret < len(text) && !utf8.RuneStart(text[caret]) {
		caret--
	}
	start, end := termAt(text, caret)
	c := Caret{Start: start, End: end, Rest: strings.TrimSpace(text[:start] + " " + text[end:])}
	typed := text[start:caret]
	typed, c.Not = strings.CutPrefix(typed, "-")
	name, value, ok := cutName(typed)
	if !ok {
		c.Word = unquote(typed)
		return c
	}
	c.Field, c.Word = name, unquote(value)
	return c
}

// termAt is the run without white space, but for that in quotes, that touches the
// caret; empty where there is none.
func termAt(text string, caret int) (start, end int) {
	quoted := false
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case quoted && r == '\\' && i+1 < len(text):
			i++
			_, n = utf8.DecodeRuneInString(text[i:])
		case r == '"':
			quoted = !quoted
		case !quoted && unicode.IsSpace(r):
			if i >= caret {
				return start, i
			}
			start = i + n
		}
		i += n
	}
	return start, len(text)
}

// cutName splits a term at the colon after the name of a field.
func cutName(term string) (name, value string, ok bool) {
	if rest, quoted := strings.CutPrefix(term, `"`); quoted {
		return strings.Cut(rest, `":`)
	}
	first, _ := utf8.DecodeRuneInString(term)
	name, value, ok = strings.Cut(term, ":")
	return name, value, ok && unicode.IsLetter(first)
}

// unquote reads a value as far as it is typed.
func unquote(s string) string {
	s, quoted := strings.CutPrefix(s, `"`)
	if !quoted {
		return s
	}
	s = strings.TrimSuffix(s, `"`)
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(s)
}

// ByteOf turns a place in UTF-16 units, which scripts count in, into one in
// bytes.
func ByteOf(text string, unit int) int {
	for i, r := range text {
		if unit <= 0 {
			return i
		}
		unit -= len16(r)
	}
	return len(text)
}

// UnitOf turns a place in bytes into one in UTF-16 units.
func UnitOf(text string, at int) int {
	n := 0
	for i, r := range text {
		if i >= at {
			break
		}
		n += len16(r)
	}
	return n
}

func len16(r rune) int {
	if r > 0xffff {
		return 2
	}
	return 1
}
