package block

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/internal/event"
)

var update = flag.Bool("update", false, "rewrite the worked example in docs/block.md")

const exampleDoc = "../../docs/block.md"

// exampleEvents are the events of the worked example.
func exampleEvents() []string {
	return []string{
		`{"action":"api_key.created","occurred_at":"2026-03-01T09:30:00.123Z","actor":{"type":"user","id":"u_7","name":"Ada"},
		  "targets":[{"type":"api_key","id":"k_1","name":"Deploy"},{"type":"team","id":"t_1"}],
		  "context":{"location":"203.0.113.7"},"metadata":{"reason":"rotation","ticket":"INC-1"}}`,
		`{"action":"api_key.deleted","occurred_at":"2026-03-01T09:30:02Z","actor":{"type":"user","id":"u_7","name":"Ada"},
		  "targets":[{"type":"api_key","id":"k_1","name":"Deploy"}],"metadata":{"ticket":"INC-22"}}`,
		`{"action":"api_key.created","occurred_at":"2026-03-02T00:00:00Z","actor":{"type":"system","id":"cron"},
		  "targets":[{"type":"api_key","id":"k_2","name":"Deploy"}],"context":{"user_agent":"curl/8"}}`,
	}
}

// TestExample holds the worked example of the documentation to what is written:
// go test -run Example -update rewrites it.
func TestExample(t *testing.T) {
	doc, err := os.ReadFile(exampleDoc)
	if err != nil {
		t.Fatal(err)
	}
	const open, end = "```text\n", "```"
	head, rest, ok := strings.Cut(string(doc), open)
	_, tail, ok2 := strings.Cut(rest, "\n"+end)
	if !ok || !ok2 {
		t.Fatalf("%s has no text block", exampleDoc)
	}
	want := head + open + example(t) + end + tail
	if *update {
		if err := os.WriteFile(exampleDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(doc), want); diff != "" {
		t.Errorf("%s is not what is written (-file +now): %s", exampleDoc, diff)
	}
}

func example(t *testing.T) string {
	t.Helper()
	enc, d := NewEncoder(Fast), event.NewDecoder()
	enc.Reset(16_384)
	for i, js := range exampleEvents() {
		var ev event.Event
		if err := d.Decode([]byte(js), &ev); err != nil {
			t.Fatal(err)
		}
		enc.Add(&ev, 1_772_357_402_500+int64(i/2))
	}
	parts := enc.Finish()
	h, err := ParseHeader(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	p := &printer{}
	p.header(h, parts[0])
	p.filter(parts[1])
	r := NewReader(h, func(part int) ([]byte, error) { return parts[part], nil })
	for i, part := range parts[2:] {
		p.columns(t, r, i+2, part)
	}
	return p.out.String()
}

// printer prints bytes with their meaning.
type printer struct {
	out  strings.Builder
	all  []byte
	rest *input
}

func (p *printer) part(name string, b []byte) {
	fmt.Fprintf(&p.out, "%s, %d bytes\n", name, len(b))
	p.all, p.rest = b, &input{rest: b}
}

// took prints what was taken off since before.
func (p *printer) took(before int, format string, args ...any) {
	at := len(p.all) - before
	b := p.all[at : len(p.all)-len(p.rest.rest)]
	text := fmt.Sprintf(format, args...)
	for i := 0; i < len(b) || i == 0; i += 12 {
		line := fmt.Sprintf("  %04x  %-36s %s", at+i, spaced(b[i:min(i+12, len(b))]), text)
		fmt.Fprintln(&p.out, strings.TrimRight(line, " "))
		text = ""
	}
}

func spaced(b []byte) string {
	s := hex.EncodeToString(b)
	var parts []string
	for i := 0; i < len(s); i += 2 {
		parts = append(parts, s[i:i+2])
	}
	return strings.Join(parts, " ")
}

func (p *printer) bytes(n int, format string, args ...any) []byte {
	before := len(p.rest.rest)
	b := p.rest.bytes(n)
	p.took(before, format, args...)
	return b
}

func (p *printer) num(format string) int {
	before := len(p.rest.rest)
	n := int(p.rest.uvarint())
	if strings.Contains(format, "%") {
		p.took(before, format, n)
	} else {
		p.took(before, "%s %d", format, n)
	}
	return n
}

func (p *printer) header(h *Header, b []byte) {
	p.part("part 0: header", b)
	p.bytes(1, "version 1")
	p.bytes(1, "flags: occurred_at never decreases")
	p.bytes(1, "unit: milliseconds")
	p.num("rows")
	p.num("first_seq")
	p.num("first_received")
	p.num("received_range")
	p.num("min_occurred")
	p.num("occurred_range")
	for range p.num("days") {
		p.num("  day")
		p.num("  rows")
	}
	for _, name := range []string{
		"targets", "actions", "actor types", "actor ids", "actors", "target types", "target ids",
		"target profiles", "locations", "user agents", "shapes",
	} {
		p.num(name)
	}
	p.num("most targets of a row")
	for i := range p.num("paths") {
		p.num(fmt.Sprintf("  kind of path %d:", i))
	}
	for i := range h.table {
		c := &h.table[i]
		if c.n == 0 {
			continue
		}
		name := column(i).name()
		before := len(p.rest.rest)
		shift := p.rest.byte()
		size := p.rest.uvarint()
		p.took(before, "column %d, %s: chunks of %d, the only one has %d bytes", i, name, 1<<shift, size)
		if c.alphabet {
			p.bytes(alphabetBytes, "  letters")
		}
		if column(i) == colTargetEnd {
			p.num("  targets of the chunk's rows")
		}
	}
	p.num("parts of columns")
	p.num("  filter: %d bytes")
	p.bytes(4, "  its checksum")
	p.num("  part 2: %d chunks")
	p.bytes(4, "  its checksum")
	p.bytes(4, "checksum")
}

func (p *printer) filter(b []byte) {
	p.part("\npart 1: filter", b)
	p.bytes(1, "version 1")
	p.bytes(1, "seed")
	bits := p.bytes(1, "segment_bits")[0]
	segments := p.num("segments")
	p.bytes((segments+2)<<(bits-1), "fingerprints")
	p.bytes(4, "checksum")
}

// columns prints the chunks of a part, each with what it decodes to.
func (p *printer) columns(t *testing.T, r *Reader, number int, b []byte) {
	t.Helper()
	p.part(fmt.Sprintf("\npart %d: columns", number), b)
	p.bytes(1, "version 1")
	shapes := make([]shape, len(r.h.table))
	for i := range shapes {
		shapes[i] = r.h.table[i].shape
	}
	for ref := range layout(shapes) {
		col := column(ref.col)
		at := r.h.place(col, ref.chunk)
		if at.part != number {
			continue
		}
		c, err := r.chunk(col, ref.chunk)
		if err != nil {
			t.Fatal(err)
		}
		p.bytes(at.size, "%d %s: %s", ref.col, col.name(), meaning(r, col, c))
	}
	p.bytes(4, "checksum")
}

func meaning(r *Reader, col column, c *chunk) string {
	var list []string
	switch kind := r.h.table[col].kind; kind {
	case kindInts:
		for i := range c.codes.len() {
			list = append(list, fmt.Sprint(c.codes.at(i)))
		}
	case kindTimes, kindSums:
		for _, n := range c.nums {
			list = append(list, fmt.Sprint(n))
		}
	case kindEnds:
		for _, n := range c.ends[1:] {
			list = append(list, fmt.Sprint(n))
		}
	case kindMeta:
		for i := range c.meta.texts.ends {
			list = append(list, string(c.meta.texts.at(i)))
		}
	default:
		for i := range c.texts.ends {
			text := c.texts.at(i)
			if col == colShapePaths || col == colPath && i%pathTexts == pathTexts-1 || col == colPairs {
				list = append(list, "<"+hex.EncodeToString(text)+">")
				continue
			}
			list = append(list, fmt.Sprintf("%q", text))
		}
	}
	return strings.Join(list, " ")
}
