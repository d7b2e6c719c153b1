package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// benchReport is what a run measured; its JSON form is for programs.
type benchReport struct {
	Version       string         `json:"version"`
	Events        int            `json:"events"`
	Organizations int            `json:"organizations"`
	Bulk          loadReport     `json:"bulk"`
	Pace          paceReport     `json:"bulk_pace"`
	Single        loadReport     `json:"single"`
	Serial        loadReport     `json:"serial"`
	Disk          diskReport     `json:"disk"`
	Memory        memoryReport   `json:"memory"`
	Queries       []queryReport  `json:"queries"`
	Exports       []exportReport `json:"exports"`
	Restart       restartReport  `json:"restart"`
	Store         *storeReport   `json:"store,omitempty"`
}

// loadReport is one load: its rate and how long requests took.
type loadReport struct {
	Events  int     `json:"events"`
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"events_per_second"`
	latency
}

// queryReport is one question: warm, and each time with nothing in memory.
type queryReport struct {
	Name string `json:"name"`
	Runs int    `json:"runs"`
	Rows int    `json:"rows"`
	latency
	Cold *latency `json:"cold,omitempty"`
}

// exportReport is one export of everything the big organization has.
type exportReport struct {
	Format  string  `json:"format"`
	Rows    int     `json:"rows"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"rows_per_second"`
}

// latency are percentiles in milliseconds.
type latency struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

func newLoadReport(events int, took time.Duration, series []time.Duration) loadReport {
	return loadReport{
		Events: events, Seconds: took.Seconds(), Rate: float64(events) / took.Seconds(), latency: percentiles(series),
	}
}

func newExportReport(format string, rows int, size int64, took time.Duration) exportReport {
	return exportReport{Format: format, Rows: rows, Bytes: size, Seconds: took.Seconds(), Rate: float64(rows) / took.Seconds()}
}

func percentiles(series []time.Duration) latency {
	if len(series) == 0 {
		return latency{}
	}
	slices.Sort(series)
	at := func(p float64) float64 {
		return float64(series[int(p*float64(len(series)-1))].Microseconds()) / 1000
	}
	return latency{P50: at(0.50), P99: at(0.99), Max: at(1)}
}

func (r *benchReport) print(w io.Writer) error {
	rows := [][]string{}
	for _, l := range []struct {
		name string
		load loadReport
	}{{"bulk load", r.Bulk}, {"single events", r.Single}, {"one client", r.Serial}} {
		if l.load.Events > 0 {
			rows = append(rows, append([]string{l.name, fmt.Sprintf("%.0f/s", l.load.Rate)}, l.load.cells()...))
		}
	}
	rows = append(rows, queryRows("", r.Queries)...)
	rows = append(rows, exportRows("", r.Exports)...)
	if r.Store != nil {
		rows = append(rows, queryRows(" in the store", r.Store.Queries)...)
		rows = append(rows, exportRows(" in the store", r.Store.Exports)...)
	}
	if err := table(w, []string{"what", "rate", "p50 ms", "p99 ms", "max ms", "cold p50"}, rows); err != nil {
		return err
	}
	return r.printRest(w)
}

func (l latency) cells() []string {
	return []string{fmt.Sprintf("%.2f", l.P50), fmt.Sprintf("%.2f", l.P99), fmt.Sprintf("%.2f", l.Max)}
}

func queryRows(where string, queries []queryReport) (rows [][]string) {
	for _, q := range queries {
		row := append([]string{q.Name + where, fmt.Sprintf("%d rows in %d runs", q.Rows, q.Runs)}, q.cells()...)
		if q.Cold != nil {
			row = append(row, fmt.Sprintf("%.2f", q.Cold.P50))
		}
		rows = append(rows, row)
	}
	return rows
}

func exportRows(where string, exports []exportReport) (rows [][]string) {
	for _, e := range exports {
		rows = append(rows, []string{"export " + e.Format + where, fmt.Sprintf("%.0f/s", e.Rate)})
	}
	return rows
}

// printRest prints what is no rate.
func (r *benchReport) printRest(w io.Writer) error {
	_, err := fmt.Fprintln(w)
	line := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, format+"\n", args...)
		}
	}
	if len(r.Pace.PerSecond) > 0 {
		line("bulk load by second: median %d, least %d events", r.Pace.Median, r.Pace.Min)
	}
	if r.Disk.Bytes > 0 {
		line("disk: %.1f bytes an event, at rest %.1f s after the bulk load", r.Disk.BytesPerEvent, r.Disk.SettleSeconds)
		line("memory: %d MiB loading, %d MiB settling, %d MiB idle, %d MiB exporting", r.Memory.Loading>>20, r.Memory.Settling>>20, r.Memory.Idle>>20, r.Memory.Exporting>>20)
	}
	if r.Restart.Start > 0 {
		line("restart: %.2f s to stop, %.2f s to start, %.2f s to start after kill -9; every log complete", r.Restart.Stop, r.Restart.Start, r.Restart.KillStart)
	}
	if r.Store != nil {
		line("store opened in %.2f s", r.Store.OpenSeconds)
	}
	return err
}
