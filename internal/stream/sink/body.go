package sink

import (
	"bytes"
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
)

// These write bodies by appending: a batch is megabytes, and its events are
// already encoded.

// appendText appends a JSON string.
func appendText[T ~string | ~[]byte](dst []byte, text T) []byte {
	quoted, err := json.Marshal(string(text))
	if err != nil {
		return append(dst, `""`...) // a string always encodes
	}
	return append(dst, quoted...)
}

// appendMember appends a member with a text to an open JSON object; nothing for
// an empty one.
func appendMember[T ~string | ~[]byte](dst []byte, name string, text T) []byte {
	if len(text) == 0 {
		return dst
	}
	return appendText(appendName(dst, name), text)
}

// appendName appends a member's name, and the comma before it unless it is the
// first.
func appendName(dst []byte, name string) []byte {
	if n := len(dst); n > 0 && dst[n-1] != '{' && dst[n-1] != '[' {
		dst = append(dst, ',')
	}
	dst = appendText(dst, name)
	return append(dst, ':')
}

// appendEvent appends an event as a JSON value: itself, or as a string where its
// format is not JSON.
func appendEvent(dst []byte, b *Batch, ev *Event) []byte {
	if b.JSON {
		return append(dst, ev.Encoded...)
	}
	return appendText(dst, ev.Encoded)
}

// appendLines appends the events as they are, each with LF.
func appendLines(dst []byte, events []Event) []byte {
	for i := range events {
		dst = append(append(dst, events[i].Encoded...), '\n')
	}
	return dst
}

// appendArray appends the events as a JSON array.
func appendArray(dst []byte, b *Batch) []byte {
	dst = append(dst, '[')
	for i := range b.Events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendEvent(dst, b, &b.Events[i])
	}
	return append(dst, ']')
}

// appendStamp appends a time as a JSON string, RFC 3339 in UTC with
// microseconds.
func appendStamp(dst []byte, t time.Time) []byte {
	dst = append(dst, '"')
	dst = t.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000Z07:00")
	return append(dst, '"')
}

// appendSeq appends a member with a number.
func appendSeq(dst []byte, name string, n uint64) []byte {
	return strconv.AppendUint(appendName(dst, name), n, 10)
}

// gzips keeps compressors between batches: each holds several 100 KB, which 200
// idle streams should not.
var gzips = sync.Pool{New: func() any { //nolint:gochecknoglobals // a pool is of use only when shared
	return gzip.NewWriter(nil)
}}

// compress returns body as gzip. The header has no time: the same body gives the
// same bytes.
func compress(body []byte) []byte {
	w := gzips.Get().(*gzip.Writer) //nolint:forcetypeassert // the pool holds nothing else
	defer gzips.Put(w)
	out := bytes.NewBuffer(make([]byte, 0, len(body)/6+256))
	w.Reset(out)
	_, werr := w.Write(body)
	if err := w.Close(); err != nil || werr != nil {
		panic("sink: compressing into memory failed") // a bytes.Buffer takes everything
	}
	return out.Bytes()
}

// hasID reports whether an event has an id: a checkpoint has none.
func (ev *Event) hasID() bool { return ev.ID[0] != 0 }
