package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is a whole comparison.
type report struct {
	Version    string         `json:"postgresql_version"`
	Settings   []string       `json:"postgresql_settings"`
	Events     int            `json:"events"`
	Compared   int            `json:"answers_compared"`
	Rows       int            `json:"rows_compared"`
	PostgreSQL postgresReport `json:"postgresql"`
	Stele      steleReport    `json:"stele"`
}

// postgresReport is what was measured of PostgreSQL.
type postgresReport struct {
	Bulk           load     `json:"bulk"`
	Single         load     `json:"single"`
	Serial         load     `json:"serial"`
	Rows           int      `json:"rows"`
	TableBytes     int64    `json:"table_and_index_bytes"`
	DirectoryBytes int64    `json:"directory_bytes"`
	Loading        int64    `json:"loading_peak_bytes"`
	Exporting      int64    `json:"exporting_peak_bytes"`
	Queries        []query  `json:"queries"`
	Export         exported `json:"export"`
	Restart        restart  `json:"restart"`
}

// steleReport is what stele bench --json prints, of which here is what is
// compared.
type steleReport struct {
	Bulk   load `json:"bulk"`
	Single load `json:"single"`
	Serial load `json:"serial"`
	Disk   struct {
		Bytes         int64   `json:"bytes"`
		BytesPerEvent float64 `json:"bytes_per_event"`
	} `json:"disk"`
	Memory struct {
		Loading   int64 `json:"loading_peak_bytes"`
		Idle      int64 `json:"idle_bytes"`
		Exporting int64 `json:"exporting_peak_bytes"`
	} `json:"memory"`
	Queries []query    `json:"queries"`
	Exports []exported `json:"exports"`
	Restart restart    `json:"restart"`
	Store   struct {
		Queries []query    `json:"queries"`
		Exports []exported `json:"exports"`
	} `json:"store"`
}

type load struct {
	Events  int     `json:"events"`
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"events_per_second"`
	latency
}

type query struct {
	Name string `json:"name"`
	latency
}

type exported struct {
	Format string  `json:"format"`
	Rows   int     `json:"rows"`
	Rate   float64 `json:"rows_per_second"`
}

type restart struct {
	Stop      float64 `json:"stop_seconds"`
	Start     float64 `json:"start_seconds"`
	KillStart float64 `json:"start_after_kill_seconds"`
}

// latency are percentiles in milliseconds.
type latency struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

func newLoad(n int, took time.Duration, series []time.Duration) load {
	return load{Events: n, Seconds: took.Seconds(), Rate: float64(n) / took.Seconds(), latency: percentiles(series)}
}

func percentiles(series []time.Duration) latency {
	if len(series) == 0 {
		return latency{}
	}
	series = slices.Sorted(slices.Values(series))
	at := func(p float64) float64 {
		return float64(series[int(p*float64(len(series)-1))].Microseconds()) / 1000
	}
	return latency{at(0.50), at(0.99), at(1)}
}

func (r *report) writeJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// line is one line of the table. Of rates more is better, of the rest less.
type line struct {
	what, unit string
	pg, stele  float64
	more       bool
}

// ratio is how many times better Stele is.
func (l line) ratio() string {
	better, worse := l.pg, l.stele
	if l.more {
		better, worse = l.stele, l.pg
	}
	if l.pg == 0 || l.stele == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", better/worse)
}

func (l line) cell(v float64) string {
	digits := 2
	if v >= 100 {
		digits = 0
	}
	return strings.TrimSpace(fmt.Sprintf("%.*f %s", digits, v, l.unit))
}

func (r *report) lines() []line {
	p, s := &r.PostgreSQL, &r.Stele
	lines := []line{{"bulk load", "/s", p.Bulk.Rate, s.Bulk.Rate, true}, {"bulk load, p99", "ms", p.Bulk.P99, s.Bulk.P99, false}}
	for _, l := range []struct {
		name      string
		pg, stele load
	}{{"single events", p.Single, s.Single}, {"one client", p.Serial, s.Serial}} {
		lines = append(lines,
			line{l.name, "/s", l.pg.Rate, l.stele.Rate, true},
			line{l.name + ", p50", "ms", l.pg.P50, l.stele.P50, false},
			line{l.name + ", p99", "ms", l.pg.P99, l.stele.P99, false})
	}
	const mib = 1 << 20
	lines = append(lines,
		line{"disk, table and indexes / data directory", "B/event", float64(p.TableBytes) / float64(p.Rows), s.Disk.BytesPerEvent, false},
		line{"disk, data directories", "MiB", float64(p.DirectoryBytes) / mib, float64(s.Disk.Bytes) / mib, false},
		line{"memory, loading", "MiB", float64(p.Loading) / mib, float64(s.Memory.Loading) / mib, false},
		line{"memory, exporting", "MiB", float64(p.Exporting) / mib, float64(s.Memory.Exporting) / mib, false})
	for i, q := range p.Queries {
		http, store := s.Queries[i], s.Store.Queries[i]
		lines = append(lines,
			line{q.Name + ", p50", "ms", q.P50, http.P50, false},
			line{q.Name + ", p99", "ms", q.P99, http.P99, false},
			line{q.Name + ", p50, in the store", "ms", q.P50, store.P50, false})
	}
	for i, e := range s.Exports {
		lines = append(lines,
			line{"export " + e.Format + " to a file", "/s", p.Export.Rate, e.Rate, true},
			line{"export " + e.Format + " to a file, in the store", "/s", p.Export.Rate, s.Store.Exports[i].Rate, true})
	}
	return append(lines,
		line{"start", "s", p.Restart.Start, s.Restart.Start, false},
		line{"start after a crash", "s", p.Restart.KillStart, s.Restart.KillStart, false})
}

// print writes the table as Markdown.
func (r *report) print(w io.Writer) error {
	var text strings.Builder
	_, _ = fmt.Fprintf(&text, "PostgreSQL %s with %s\n\n", r.Version, strings.Join(r.Settings, " "))
	tw := tabwriter.NewWriter(&text, 0, 4, 1, ' ', 0)
	_, _ = fmt.Fprint(tw, "| what\t| PostgreSQL\t| Stele\t| Stele is better by\t|\n|---\t|---\t|---\t|---\t|\n")
	for _, l := range r.lines() {
		_, _ = fmt.Fprintf(tw, "| %s\t| %s\t| %s\t| %s\t|\n", l.what, l.cell(l.pg), l.cell(l.stele), l.ratio())
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s\n%d events; %d answers with %d rows are the same on both sides.\n", text.String(), r.Events, r.Compared, r.Rows)
	return err
}
