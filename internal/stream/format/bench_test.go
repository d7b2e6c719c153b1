package format_test

import (
	"testing"

	"github.com/stelehq/stele/internal/stream/format"
)

// BenchmarkAppend is one event of the examples, by format.
func BenchmarkAppend(b *testing.B) {
	r := all(b)
	in := exampleInput(b, examples()[0], 1)
	for _, name := range r.Names() {
		f, _ := r.Get(name, 0)
		b.Run(name, func(b *testing.B) {
			buf := f.Append(nil, in)
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				buf = f.Append(buf[:0], in)
			}
		})
	}
	b.Run("otlp", func(b *testing.B) {
		f, _ := r.Get("json", 0)
		body := f.Append(nil, in)
		buf := format.AppendLogRecord(nil, in, body)
		b.ReportAllocs()
		for b.Loop() {
			buf = format.AppendLogRecord(buf[:0], in, body)
		}
	})
}

// TestAllocations holds formats to what they promise: encoding an event into
// room that is there allocates nothing, but for a copy of the address. The race
// detector has pools drop what they are given now and then, which is made again.
func TestAllocations(t *testing.T) {
	most := 1.0
	if raceEnabled {
		most = 4
	}
	r := all(t)
	for _, e := range examples() {
		in := exampleInput(t, e, 1)
		for _, name := range r.Names() {
			f, _ := r.Get(name, 0)
			buf := f.Append(nil, in)
			if n := testing.AllocsPerRun(50, func() { buf = f.Append(buf[:0], in) }); n > most {
				t.Errorf("%s: %s: %.0f allocations", name, e.Action, n)
			}
		}
	}
}
