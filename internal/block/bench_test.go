package block_test

import (
	"bytes"
	"fmt"
	"syscall"
	"testing"

	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/workload"
)

// measure runs fn, which goes through n events. Beside the time it reports the
// CPU that was used, which other programs on the machine change less.
func measure(b *testing.B, n int, fn func()) {
	b.Helper()
	b.ReportAllocs()
	before := cpuNanos()
	for b.Loop() {
		fn()
	}
	cpu := float64(cpuNanos()-before) / float64(b.N)
	b.ReportMetric(cpu/1000, "cpu-µs/op")
	if n > 1 {
		b.ReportMetric(cpu/float64(n), "cpu-ns/event")
	}
}

func cpuNanos() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// benchBlock returns a full block. Its events are gone, so that the collector's
// work is that of the reader.
func benchBlock(b *testing.B) (*block.Header, [][]byte) {
	b.Helper()
	list := workloadEvents(b, block.MaxRows)
	parts := encode(b, block.NewEncoder(block.Fast), list)
	h, err := block.ParseHeader(parts[block.HeaderPart])
	if err != nil {
		b.Fatal(err)
	}
	return h, parts
}

func fetchFrom(parts [][]byte) func(int) ([]byte, error) {
	return func(part int) ([]byte, error) { return parts[part], nil }
}

// rows are what a store has of entries before it seals them.
type rows struct {
	b    []byte
	ends []int
}

func rowsOf(list []*event.Entry) (r rows) {
	for _, e := range list {
		r.b = event.AppendRow(r.b, &e.Event)
		r.ends = append(r.ends, len(r.b))
	}
	return r
}

// addTo decodes the rows and adds them to a block.
func (r *rows) addTo(enc *block.Encoder) {
	var ev event.Event
	start := 0
	for _, end := range r.ends {
		if event.DecodeRow(r.b[start:end], &ev) == nil {
			enc.Add(&ev, 5)
		}
		start = end
	}
}

// BenchmarkEncode makes blocks of rows, whose decoding is part of it.
func BenchmarkEncode(b *testing.B) {
	for _, level := range []block.Level{block.Fast, block.Small} {
		for _, n := range []int{1024, block.MaxRows} {
			b.Run(fmt.Sprintf("level=%d/rows=%d", level, n), func(b *testing.B) {
				rows := rowsOf(workloadEvents(b, n))
				enc := block.NewEncoder(level)
				size := 0
				measure(b, n, func() {
					enc.Reset(0)
					rows.addTo(enc)
					size = 0
					for _, p := range enc.Finish() {
						size += len(p)
					}
				})
				b.ReportMetric(float64(size)/float64(n), "B/event")
			})
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	rows := rowsOf(workloadEvents(b, block.MaxRows))
	enc := block.NewEncoder(block.Fast)
	measure(b, block.MaxRows, func() {
		enc.Reset(0)
		rows.addTo(enc)
	})
}

func BenchmarkAll(b *testing.B) {
	h, parts := benchBlock(b)
	for _, desc := range []bool{false, true} {
		b.Run(fmt.Sprintf("desc=%v", desc), func(b *testing.B) {
			measure(b, h.Rows, func() {
				for _, err := range block.NewReader(h, fetchFrom(parts)).All(0, h.Rows, desc) {
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

func BenchmarkRow(b *testing.B) {
	h, parts := benchBlock(b)
	var e event.Entry
	var scratch []byte
	var err error
	i := 0
	row := func(r *block.Reader) {
		i += 7919
		if scratch, err = r.Row(i%h.Rows, &e, scratch); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("cold", func(b *testing.B) {
		measure(b, 1, func() { row(block.NewReader(h, fetchFrom(parts))) })
	})
	b.Run("warm", func(b *testing.B) {
		r := block.NewReader(h, fetchFrom(parts))
		measure(b, 1, func() { row(r) })
		b.ReportMetric(float64(r.MemoryBytes()), "B/reader")
	})
}

func BenchmarkOpen(b *testing.B) {
	h, parts := benchBlock(b)
	b.Run("header", func(b *testing.B) {
		measure(b, 1, func() {
			if _, err := block.ParseHeader(parts[0]); err != nil {
				b.Fatal(err)
			}
		})
		b.ReportMetric(float64(len(parts[0])), "B/header")
		b.ReportMetric(float64(h.MemoryBytes()), "B/memory")
	})
	b.Run("filter", func(b *testing.B) {
		f, err := block.ParseFilter(h, parts[1])
		if err != nil {
			b.Fatal(err)
		}
		hash, _ := block.FilterHash(block.FieldTargetID, []byte(workload.TargetID(7)))
		measure(b, 1, func() { f.MayContainHash(hash) })
		b.ReportMetric(float64(len(parts[1])), "B/filter")
	})
}

// BenchmarkFilter finds the rows with one value of a field.
func BenchmarkFilter(b *testing.B) {
	h, parts := benchBlock(b)
	var e event.Entry
	if _, err := block.NewReader(h, fetchFrom(parts)).Row(77, &e, nil); err != nil {
		b.Fatal(err)
	}
	for _, q := range []struct {
		name  string
		field block.Field
		value []byte
	}{
		{"action", block.FieldAction, e.Action},
		{"actor", block.FieldActorID, e.Actor.ID},
		{"target", block.FieldTargetID, e.Targets[0].ID},
		{"location", block.FieldLocation, e.Location},
		{"type", block.FieldActorType, []byte("workflow")},
	} {
		run := func(r *block.Reader) {
			var codes block.Codes
			rows := r.NewRows()
			if err := r.Equal(q.field, q.value, &codes); err != nil {
				b.Fatal(err)
			}
			if err := r.Rows(&codes, nil, rows); err != nil {
				b.Fatal(err)
			}
			if rows.Empty() {
				b.Fatal("no rows")
			}
		}
		b.Run(q.name+"/cold", func(b *testing.B) {
			measure(b, 1, func() { run(block.NewReader(h, fetchFrom(parts))) })
		})
		b.Run(q.name+"/warm", func(b *testing.B) {
			r := block.NewReader(h, fetchFrom(parts))
			measure(b, 1, func() { run(r) })
		})
	}
}

// BenchmarkQuery is what a page of a store's answer costs a block: the rows with
// one value, and two of them. Cold is with nothing decoded and parts that are
// copied when they are fetched.
func BenchmarkQuery(b *testing.B) {
	h, parts := benchBlock(b)
	var e event.Entry
	if _, err := block.NewReader(h, fetchFrom(parts)).Row(77, &e, nil); err != nil {
		b.Fatal(err)
	}
	action, actor, target := e.Action, e.Actor.ID, e.Targets[0].ID
	var scratch []byte
	for _, q := range []struct {
		name  string
		field block.Field
		value []byte
	}{{"action", block.FieldAction, action}, {"actor", block.FieldActorID, actor}, {"target", block.FieldTargetID, target}} {
		run := func(r *block.Reader) {
			var codes block.Codes
			rows := r.NewRows()
			if err := r.Equal(q.field, q.value, &codes); err != nil {
				b.Fatal(err)
			}
			if err := r.Rows(&codes, nil, rows); err != nil {
				b.Fatal(err)
			}
			n := 0
			for i := range rows.Backward() {
				var err error
				if scratch, err = r.Row(i, &e, scratch); err != nil {
					b.Fatal(err)
				}
				if n++; n == 2 {
					break
				}
			}
		}
		fetch := fetchFrom(parts)
		copied := func(part int) ([]byte, error) {
			b, err := fetch(part)
			return bytes.Clone(b), err
		}
		b.Run(q.name+"/cold", func(b *testing.B) {
			measure(b, 1, func() { run(block.NewReader(h, copied)) })
		})
		b.Run(q.name+"/warm", func(b *testing.B) {
			r := block.NewReader(h, copied)
			measure(b, 1, func() { run(r) })
		})
	}
}

func BenchmarkText(b *testing.B) {
	h, parts := benchBlock(b)
	for _, text := range []string{"inc-4242", "req_00aa", "kestrel", "zzzz", "ab12cd"} {
		b.Run(text, func(b *testing.B) {
			n := 0
			measure(b, 1, func() {
				r := block.NewReader(h, fetchFrom(parts))
				rows := r.NewRows()
				if err := r.Text([]byte(text), nil, rows); err != nil {
					b.Fatal(err)
				}
				n = rows.Len()
			})
			b.ReportMetric(float64(n), "rows")
		})
	}
}

func BenchmarkValues(b *testing.B) {
	h, parts := benchBlock(b)
	for _, c := range []struct {
		name  string
		field block.Field
	}{
		{"action", block.FieldAction},
		{"actor.type", block.FieldActorType},
		{"actor.id", block.FieldActorID},
		{"target.type", block.FieldTargetType},
		{"target.name", block.FieldTargetName},
	} {
		b.Run(c.name, func(b *testing.B) {
			measure(b, 1, func() {
				r := block.NewReader(h, fetchFrom(parts))
				if err := r.Values(c.field, nil, func(block.Value) bool { return true }); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// BenchmarkMostTargets asks for a tenth of the rows, none of which have most.
func BenchmarkMostTargets(b *testing.B) {
	h, parts := benchBlock(b)
	r := block.NewReader(h, fetchFrom(parts))
	var codes block.Codes
	within := r.NewRows()
	if err := r.Prefix(block.FieldAction, []byte("a"), &codes); err != nil {
		b.Fatal(err)
	}
	if err := r.Rows(&codes, nil, within); err != nil {
		b.Fatal(err)
	}
	measure(b, 1, func() {
		if _, err := block.NewReader(h, fetchFrom(parts)).MostTargets(within); err != nil {
			b.Fatal(err)
		}
	})
	b.ReportMetric(float64(within.Len()), "rows")
}

func BenchmarkTimes(b *testing.B) {
	h, parts := benchBlock(b)
	var times []int64
	measure(b, 1, func() {
		var err error
		if times, err = block.NewReader(h, fetchFrom(parts)).AppendOccurred(times[:0], 0, h.Rows); err != nil {
			b.Fatal(err)
		}
	})
}
