package event

import (
	"bytes"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestAppendStringEverywhere puts every byte at every place among eight and more
// others, alone and before another that is escaped.
func TestAppendStringEverywhere(t *testing.T) {
	oneByOne := func(s []byte) []byte {
		want := []byte{'"'}
		for _, c := range s {
			if c < 0x20 || c == '"' || c == '\\' {
				want = appendEscape(want, c)
			} else {
				want = append(want, c)
			}
		}
		return append(want, '"')
	}
	for _, filler := range []byte{'a', ' ', '!', '#', '[', ']', 0x7f, 0x80, 0xa2, 0xdc, 0xff} {
		for length := 1; length <= 19; length++ {
			for at := range length {
				for c := range 256 {
					s := bytes.Repeat([]byte{filler}, length)
					s[length-1] = '"'
					s[at] = byte(c)
					if got, want := appendString(nil, s), oneByOne(s); !bytes.Equal(got, want) {
						t.Fatalf("%q: got %s, want %s", s, got, want)
					}
				}
			}
		}
	}
}

// TestAppendTimeAsTheLibrary compares times with what package time writes.
func TestAppendTimeAsTheLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		unit := rapid.SampledFrom([]int64{1, 1000, 1_000_000, 1_000_000_000, day * second}).Draw(t, "unit")
		ns := rapid.Int64Range(0, maxTime/unit).Draw(t, "units") * unit
		at := time.Unix(0, ns).UTC()
		format := "2006-01-02T15:04:05.000Z"
		switch {
		case ns%1000 != 0:
			format = "2006-01-02T15:04:05.000000000Z"
		case ns%1_000_000 != 0:
			format = "2006-01-02T15:04:05.000000Z"
		}
		if got, want := string(AppendTime(nil, ns)), at.Format(format); got != want {
			t.Fatalf("%d ns: got %s, want %s", ns, got, want)
		}
		if got, want := string(AppendMillis(nil, ns/1_000_000)), at.Format("2006-01-02T15:04:05.000Z"); got != want {
			t.Fatalf("%d ms: got %s, want %s", ns/1_000_000, got, want)
		}
	})
}
