package event

import "iter"

// Item is one event's JSON in a body of several.
type Item struct {
	// Line is the line (NDJSON) or the number of the element (array), from 1.
	Line int
	// Data is a part of the body.
	Data []byte
}

// SplitNDJSON yields the lines of a body that are not blank. The error is
// always nil: what a line holds is for [Decoder.Decode] to say.
func SplitNDJSON(body []byte) iter.Seq2[Item, error] {
	panic("unfinished")
}

// SplitArray yields the elements of a JSON array of objects. It looks only at
// where elements begin and end, the rest is for [Decoder.Decode] to say. What is
// no array of objects ends the sequence with an *audit.Error that has Line set.
func SplitArray(body []byte) iter.Seq2[Item, error] {
	panic("unfinished")
}
