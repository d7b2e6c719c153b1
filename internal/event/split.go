package event

import (
	"bytes"
	"iter"
	"slices"

	"github.com/stelehq/stele/audit"
)

// Item is one event's JSON in a body of several.
type Item struct {
	// Line is the line (NDJSON) or the number of the element (array), from 1.
	Line int
	// Data is a part of the body.
	Data []byte
}

// SplitNDJSON yields the lines of a body that are not blank. Lines end with \n
// or \r\n, the last one may end with the body. The error is always nil: what a
// line holds is for [Decoder.Decode] to say.
func SplitNDJSON(body []byte) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for n := 1; len(body) > 0; n++ {
			var line []byte
			line, body, _ = bytes.Cut(body, []byte{'\n'})
			line = trimSpace(line)
			if len(line) > 0 && !yield(Item{Line: n, Data: line}, nil) {
				return
			}
		}
	}
}

// SplitArray yields the elements of a JSON array of objects. It looks only at
// where elements begin and end, the rest is for [Decoder.Decode] to say. A body
// that is no array of objects ends the sequence with an *audit.Error; when that
// is about an element, its Line is set.
func SplitArray(body []byte) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		i := skipSpace(body, 0)
		if i == len(body) || body[i] != '[' {
			yield(Item{}, audit.Errorf(audit.CodeInvalidJSON, "the body must be a JSON array of events"))
			return
		}
		i = skipSpace(body, i+1)
		more := i == len(body) || body[i] != ']'
		for n := 1; more; n++ {
			var data []byte
			var err error
			if data, i, more, err = element(body, i, n); err != nil {
				yield(Item{Line: n}, err)
				return
			}
			if !yield(Item{Line: n, Data: data}, nil) {
				return
			}
		}
		if skipSpace(body, i+1) != len(body) {
			yield(Item{}, audit.Errorf(audit.CodeInvalidJSON, "there is more after the array's closing bracket"))
		}
	}
}

// element takes the nth element, which begins at i, and what follows it: with
// more, end is where the next one begins, else it is at the closing bracket.
func element(body []byte, i, n int) (data []byte, end int, more bool, err error) {
	if i < len(body) && body[i] != '{' {
		return nil, 0, false, elementErrorf(n, "must be an event object, but begins with %q", body[i:i+1])
	}
	start := i
	end = valueEnd(body, i)
	i = skipSpace(body, end)
	if i == len(body) {
		return nil, 0, false, elementErrorf(n, "the body ends in this element or after it; the array is not closed")
	}
	switch body[i] {
	case ',':
		return body[start:end:end], skipSpace(body, i+1), true, nil
	case ']':
		return body[start:end:end], i, false, nil
	}
	return nil, 0, false, elementErrorf(n, "is followed by %q; a comma or the array's end is expected", body[i:i+1])
}

func elementErrorf(line int, format string, args ...any) error {
	err := audit.Errorf(audit.CodeInvalidJSON, format, args...)
	err.Line = line
	return err
}

func trimSpace(b []byte) []byte {
	b = b[skipSpace(b, 0):]
	for len(b) > 0 && skipSpace(b, len(b)-1) == len(b) {
		b = b[:len(b)-1]
	}
	return slices.Clip(b)
}
