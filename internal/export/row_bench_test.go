package export

import (
	"testing"

	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/workload"
)

// BenchmarkRows renders the events of the workload.
func BenchmarkRows(b *testing.B) {
	const n = 1000
	entries := make([]*event.Entry, 0, n)
	g, d := workload.New(1, n), event.NewDecoder()
	for i := range uint64(n) {
		data, _ := g.Next(nil)
		e := &event.Entry{Seq: 1_000_000 + i, ReceivedAt: 1_767_225_600_000 + int64(i)*7}
		if err := d.Decode(data, &e.Event); err != nil {
			b.Fatal(err)
		}
		copy(e.ID[:], "01JGFJJZ00000000000000000A")
		entries = append(entries, e.Clone())
	}
	form := csvForm{groups: 2}
	for name, render := range map[string]func(dst []byte, e *event.Entry) []byte{
		"csv":   form.appendRow,
		"jsonl": func(dst []byte, e *event.Entry) []byte { return append(e.AppendJSON(dst, "bench-00"), '\n') },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i, size, buf := 0, 0, make([]byte, 0, 1<<20)
			for b.Loop() {
				if len(buf) > 256<<10 {
					size += len(buf)
					buf = buf[:0]
				}
				buf = render(buf, entries[i%n])
				i++
			}
			b.ReportMetric(float64(size+len(buf))/float64(i), "B/row")
		})
	}
}
