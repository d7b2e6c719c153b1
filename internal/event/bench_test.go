package event

import (
	"strings"
	"testing"
)

// benchEvent is a plain event of the size and shape that the catalogue's events
// have on average: 670 bytes, keys as a program's struct orders them.
const benchEvent = `{"action":"api_key.created","version":1,"occurred_at":"2026-03-01T09:30:00.123Z",` +
	`"actor":{"type":"user","id":"01G0J1F3GQ5B5S7ZK2X9QW4T8N","name":"Ada Lovelace",` +
	`"metadata":{"user_base_role_slug":"admin","user_custom_role_slugs":"responder,on_call"}},` +
	`"targets":[{"type":"api_key","id":"01G1M4T6YH8C3V5B7N9Q2W4E6R","name":"Deploy bot key"},` +
	`{"type":"team","id":"01G1M4T6YH8C3V5B7N9Q2W4E7S","name":"Platform"}],` +
	`"context":{"location":"203.0.113.77","user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"},` +
	`"metadata":{"after_roles":"viewer,editor","before_roles":"viewer","reason":"rotation every 90 days",` +
	`"request_id":"req_7f2c9a1b3d5e","ticket":"INC-10423"}}`

func BenchmarkDecode(b *testing.B) {
	for name, data := range map[string]string{
		"plain":   benchEvent,
		"indent":  strings.ReplaceAll(benchEvent, `,"`, ",\n\t\""),
		"utf8":    strings.Replace(benchEvent, "Ada Lovelace", "Zoë Müller 😀", 1),
		"escape":  strings.Replace(benchEvent, "Ada Lovelace", `Ada \"L\"`, 1),
		"unorder": strings.Replace(benchEvent, `"after_roles"`, `"z_roles"`, 1),
	} {
		b.Run(name, func(b *testing.B) {
			d, ev := NewDecoder(), new(Event)
			in := []byte(data)
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Decode(in, ev); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	ev := new(Event)
	if err := NewDecoder().Decode([]byte(benchEvent), ev); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 0, 4096)
	run := func(name string, fn func()) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				fn()
			}
		})
	}
	run("row", func() { buf = AppendRow(buf[:0], ev) })
	run("record", func() { buf, _ = AppendRecord(buf[:0], ev) })
	run("details", func() { buf = AppendDetails(buf[:0], ev) })
	row := AppendRow(nil, ev)
	var back Event
	run("decode row", func() { _ = DecodeRow(row, &back) })
	entry := &Entry{Event: *ev}
	run("entry JSON", func() { buf = entry.AppendJSON(buf[:0], "org_1") })
	run("entry record", func() { buf = entry.AppendRecord(buf[:0]) })
	keys, _ := NewKeys()
	c := keys.Cipher()
	run("salt", func() { entry.Salt = c.Salt(77) })
	run("id", func() { entry.ID = c.ID(1_772_000_000_000, 77) })
	details := AppendDetails(nil, ev)
	run("digest", func() { DetailsDigest(&entry.Salt, details) })
	run("all", func() {
		d := buf[:0]
		d = AppendRow(d, ev)
		d, _ = AppendRecord(d, ev)
		buf = AppendDetails(d, ev)
	})
}

// BenchmarkIngest is all that is done with an event before its place is known.
func BenchmarkIngest(b *testing.B) {
	d, ev := NewDecoder(), new(Event)
	in := []byte(benchEvent)
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Decode(in, ev); err != nil {
			b.Fatal(err)
		}
		out := AppendRow(buf[:0], ev)
		out, _ = AppendRecord(out, ev)
		AppendDetails(out, ev)
	}
}

func TestNoAllocation(t *testing.T) {
	d, entry := NewDecoder(), new(Entry)
	in := []byte(benchEvent)
	if len(in) < 650 || len(in) > 750 {
		t.Errorf("the event has %d bytes", len(in))
	}
	buf := make([]byte, 0, 8192)
	c := Keys{}.Cipher()
	org := strings.Repeat("o", 64)
	check := func(name string, fn func()) {
		t.Helper()
		if n := testing.AllocsPerRun(100, fn); n > 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
	check("decode", func() { _ = d.Decode(in, &entry.Event) })
	row := AppendRow(nil, &entry.Event)
	check("encode", func() {
		out := AppendRow(buf[:0], &entry.Event)
		out, _ = AppendRecord(out, &entry.Event)
		AppendDetails(out, &entry.Event)
	})
	check("decode row", func() { _ = DecodeRow(row, &entry.Event) })
	check("entry", func() { entry.AppendRecord(entry.AppendJSON(buf[:0], org)) })
	check("salt and id", func() { entry.Salt, entry.ID = c.Salt(7), c.ID(8, 9) })
	check("walk", func() {
		EachMember(entry.Metadata, func(k, v []byte) bool { return KindOf(v) == KindString })
		_, _ = Lookup(entry.Metadata, "ticket")
	})
}
