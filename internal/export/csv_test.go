package export

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/internal/event"
)

// nasty are texts that a file of comma-separated values gets wrong easily.
var nasty = []string{
	"plain", "", " ", "  both ends  ", "a,b", `say "hi"`, `"`, `""`, "two\nlines", "\n", "cr\rhere", "\r", "crlf\r\nhere",
	"=cmd()", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''=1", " =1", "' =1", "'", "'tis", "=", "'quoted' text",
	"＝1", "＋1", "－1", "＠1", "ａ", "\xef", `=HYPERLINK("http://x","y")`, "مرحبا بالعالم", "\u202Ertl\u202C", "👩‍👩‍👧‍👦 🏳️‍🌈", "id with spaces/and/slashes",
	strings.Repeat("long ", 3000), "ends in quote\"", ";=cmd()", "\\", `\"`, "\ufefftext",
}

func entryOf(texts func() string, targets int) *event.Entry {
	text := func() []byte { return []byte(texts()) }
	object := func() []byte { return fmt.Appendf(nil, `{"k":%q}`, "v") }
	e := &event.Entry{
		Event: event.Event{
			Action: text(), Version: 7, OccurredAt: 1_767_225_600_123_456_789,
			Actor:    event.Party{Type: text(), ID: text(), Name: text(), Metadata: object()},
			Location: text(), UserAgent: text(), Metadata: []byte(`{"a":["x","\"",1],"b":"=1"}`),
		},
		Seq: 12, ReceivedAt: 1_767_225_600_124,
	}
	copy(e.ID[:], "01JGFJJZ00000000000000000A")
	if targets == 1 {
		e.ErasedAt = 1_767_225_600_999
	}
	for range targets {
		e.Targets = append(e.Targets, event.Party{Type: text(), ID: text(), Name: text()})
	}
	return e
}

// cellsOf is what a row holds, before it is written.
func cellsOf(e *event.Entry, groups int) []string {
	party := func(p event.Party) []string {
		return []string{string(p.ID), string(p.Type), string(p.Name), string(p.Metadata)}
	}
	cells := []string{e.ID.String(), "12", string(e.Action), "7", "2026-01-01T00:00:00.123456789Z", "2026-01-01T00:00:00.124Z"}
	cells = append(cells, party(e.Actor)...)
	for i := range groups {
		if i < len(e.Targets) {
			cells = append(cells, party(e.Targets[i])...)
		} else {
			cells = append(cells, "", "", "", "")
		}
	}
	erased := ""
	if e.ErasedAt != 0 {
		erased = "2026-01-01T00:00:00.999Z"
	}
	return append(cells, string(e.Location), string(e.UserAgent), string(e.Metadata), erased)
}

// readCSV reads RFC 4180 to the letter: encoding/csv turns CR LF inside quotes
// into LF.
func readCSV(t testing.TB, data string) [][]string {
	t.Helper()
	var rows [][]string
	for len(data) > 0 {
		var row []string
		for {
			var cell string
			if rest, ok := strings.CutPrefix(data, `"`); ok {
				var b strings.Builder
				for {
					text, after, found := strings.Cut(rest, `"`)
					if !found {
						t.Fatalf("no end of quotes in %.100q", data)
					}
					b.WriteString(text)
					if rest, ok = strings.CutPrefix(after, `"`); !ok {
						cell, data = b.String(), after
						break
					}
					b.WriteByte('"')
				}
			} else {
				end := strings.IndexAny(data, ",\r\n\"")
				if end < 0 {
					t.Fatalf("no end of line in %.100q", data)
				}
				cell, data = data[:end], data[end:]
			}
			row = append(row, cell)
			if rest, ok := strings.CutPrefix(data, "\r\n"); ok {
				data = rest
				break
			}
			if !strings.HasPrefix(data, ",") {
				t.Fatalf("neither comma nor line end at %.100q", data)
			}
			data = data[1:]
		}
		rows = append(rows, row)
	}
	return rows
}

// restore takes the apostrophe off a cell that was neutralised, as the package
// comment says a reader can.
func restore(cell string) string {
	if rest, ok := strings.CutPrefix(cell, "'"); ok && isFormula([]byte(rest)) {
		return rest
	}
	return cell
}

func restoreAll(rows [][]string) [][]string {
	for _, row := range rows {
		for i := range row {
			row[i] = restore(row[i])
		}
	}
	return rows
}

func TestCSVGivesBackEveryText(t *testing.T) {
	for _, raw := range []bool{false, true} {
		form := csvForm{groups: 3, raw: raw}
		file := form.appendHeader(nil)
		var want [][]string
		for i := range nasty {
			n := i
			e := entryOf(func() string { n++; return nasty[n%len(nasty)] }, i%4)
			file = form.appendRow(file, e)
			want = append(want, cellsOf(e, 3))
		}
		got := readCSV(t, string(file))[1:]
		if !raw {
			restoreAll(got)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("raw %v (-want +got):\n%s", raw, diff)
		}
	}
}

// TestCSVStandardReader reads with encoding/csv, whose one liberty is that CR LF
// inside a cell comes back as LF.
func TestCSVStandardReader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.SampledFrom(nasty), rapid.String())
		form := csvForm{groups: rapid.IntRange(1, 4).Draw(t, "groups")}
		n := 0
		e := entryOf(func() string { n++; return text.Draw(t, fmt.Sprint("text", n)) }, rapid.IntRange(0, form.groups).Draw(t, "targets"))
		file := form.appendRow(form.appendHeader(nil), e)
		reader := csv.NewReader(bytes.NewReader(file))
		rows, err := reader.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		want := cellsOf(e, form.groups)
		for i := range want {
			want[i] = strings.ReplaceAll(want[i], "\r\n", "\n")
		}
		if diff := cmp.Diff([][]string{want}, restoreAll(rows[1:])); diff != "" {
			t.Fatal(diff)
		}
		if len(rows[0]) != len(want) {
			t.Fatalf("%d columns are named, %d are there", len(rows[0]), len(want))
		}
	})
}

func TestCSVRunsNoFormula(t *testing.T) {
	form := csvForm{groups: 1}
	for _, text := range nasty {
		e := entryOf(func() string { return text }, 1)
		for _, cell := range readCSV(t, string(form.appendRow(nil, e)))[0] {
			if cell = strings.TrimLeft(cell, " "); cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r\n") {
				t.Errorf("%q begins like a formula, from %q", cell, text)
			}
		}
	}
}

func TestCSVHeader(t *testing.T) {
	got := string(csvForm{groups: 2}.appendHeader(nil))
	want := "id,seq,action,version,occurred_at,received_at,actor_id,actor_type,actor_name,actor_metadata," +
		"target_id_1,target_type_1,target_name_1,target_metadata_1,target_id_2,target_type_2,target_name_2,target_metadata_2," +
		"context_location,context_user_agent,metadata,erased_at\r\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func BenchmarkCSVRow(b *testing.B) {
	n := 0
	words := []string{"api_key.created", "user", "01JGFJJZ00000000000000000A", "Someone Else", "203.0.113.7"}
	e := entryOf(func() string { n++; return words[n%len(words)] }, 2)
	form := csvForm{groups: 3}
	buf := form.appendRow(nil, e)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = form.appendRow(buf[:0], e)
	}
	_, _ = io.Discard.Write(buf)
}
