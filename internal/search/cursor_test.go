package search_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/search"
)

func anyCursor() *rapid.Generator[search.Cursor] {
	return rapid.Custom(func(t *rapid.T) search.Cursor {
		c := search.Cursor{
			Started: rapid.Bool().Draw(t, "started"), Bound: rapid.Uint64().Draw(t, "bound"),
			BoundReceivedAt: rapid.Int64().Draw(t, "received"),
		}
		if c.Started {
			c.Last = search.Key{OccurredAt: rapid.Int64().Draw(t, "occurred"), Seq: rapid.Uint64().Draw(t, "seq")}
		}
		for i := range c.Digest {
			c.Digest[i] = rapid.Byte().Draw(t, "digest")
		}
		return c
	})
}

func TestCursorRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := anyCursor().Draw(t, "cursor")
		text := c.String()
		if strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Fatalf("%q is not for a URL", text)
		}
		got, err := search.ParseCursor(text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, *got); diff != "" {
			t.Fatal(diff)
		}
		// A slip in copying is noticed.
		i := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		for _, damaged := range []string{text[:i], text[:i] + text[i+1:], text[:i] + "!" + text[i:], text + "A", text[:i] + other(text[i]) + text[i+1:]} {
			if _, err := search.ParseCursor(damaged); !errors.Is(err, &audit.Error{Code: audit.CodeInvalidCursor}) {
				t.Fatalf("%q for %q: error %v", damaged, text, err)
			}
		}
	})
}

func other(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

// TestCursorFormat: cursors that were given out keep their meaning.
func TestCursorFormat(t *testing.T) {
	want := search.Cursor{
		Last: search.Key{OccurredAt: 1_772_357_400_123_456_789, Seq: 18233}, Started: true,
		Bound: 20441, BoundReceivedAt: 1_772_357_401_000, Digest: [8]byte{1, 2, 3, 4, 5, 6, 7, 8},
	}
	const text = "AQGq9KWWyOrWmDG5jgHZnwHQ5t2LlWcBAgMEBQYHCFRD9Kw"
	got, err := search.ParseCursor(text)
	if err != nil {
		t.Fatalf("%v; now it is %s", err, want)
	}
	if diff := cmp.Diff(want, *got); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add(search.Cursor{}.String())
	f.Add(search.Cursor{Started: true, Last: search.Key{OccurredAt: -1, Seq: 1 << 60}, Bound: 7}.String())
	f.Fuzz(func(t *testing.T, text string) {
		c, err := search.ParseCursor(text)
		if err != nil {
			if !errors.Is(err, &audit.Error{Code: audit.CodeInvalidCursor}) {
				t.Fatalf("error %v is not invalid_cursor", err)
			}
			return
		}
		if c.String() != text {
			t.Fatalf("%q is read and written as %q", text, c)
		}
	})
}
