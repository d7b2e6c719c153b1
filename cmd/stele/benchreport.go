package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// benchReport is what a run measured; its JSON form is for programs.
type benchReport struct {
	Version    string        `json:"version"`
	Events     int           `json:"events"`
	Bulk       loadReport    `json:"bulk"`
	Single     loadReport    `json:"single"`
	Serial     loadReport    `json:"serial"`
	DiskBytes  int64         `json:"disk_bytes"`
	PeakMemory int64         `json:"peak_memory_bytes"`
	Queries    []queryReport `json:"queries"`
	Exports    []loadReport  `json:"exports"`
}

// loadReport is one load: its rate and how long requests took.
type loadReport struct {
	Name    string  `json:"name,omitempty"`
	Events  int     `json:"events"`
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"events_per_second"`
	latency
}

type queryReport struct {
	Name string `json:"name"`
	Rows int    `json:"rows"`
	latency
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
	row := func(name string, l loadReport) []string {
		return []string{
			name, fmt.Sprintf("%.0f/s", l.Rate),
			fmt.Sprintf("%.2f", l.P50), fmt.Sprintf("%.2f", l.P99), fmt.Sprintf("%.2f", l.Max),
		}
	}
	rows := [][]string{}
	for _, l := range []struct {
		name string
		load loadReport
	}{{"bulk load", r.Bulk}, {"single events", r.Single}, {"one client", r.Serial}} {
		if l.load.Events > 0 {
			rows = append(rows, row(l.name, l.load))
		}
	}
	for _, q := range r.Queries {
		rows = append(rows, []string{
			q.Name, fmt.Sprintf("%d rows", q.Rows),
			fmt.Sprintf("%.2f", q.P50), fmt.Sprintf("%.2f", q.P99), fmt.Sprintf("%.2f", q.Max),
		})
	}
	for _, e := range r.Exports {
		rows = append(rows, row(e.Name, e))
	}
	if err := table(w, []string{"what", "rate", "p50 ms", "p99 ms", "max ms"}, rows); err != nil {
		return err
	}
	total := r.Bulk.Events + r.Single.Events + r.Serial.Events
	_, err := fmt.Fprintf(w, "\n%d events, %.1f bytes each on disk, peak memory %d MiB\n",
		total, float64(r.DiskBytes)/float64(max(total, 1)), r.PeakMemory>>20)
	return err
}
