package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/workload"
)

const (
	// warmUp is the number of runs before those that count.
	warmUp = 10
	// questionTime bounds the runs of one question, but for the first few.
	questionTime = 20 * time.Second
	fewestRuns   = 20
)

// asker asks one question and returns what was found, to compare: for entries
// their time and action, newest first, for histograms day and count. took is the
// time of asking alone.
type asker func(ctx context.Context, q workload.Question, query audit.Query) (found []string, took time.Duration, err error)

// askAll runs each question many times with changing parameters.
func (b *bench) askAll(ctx context.Context, where string, ask asker) ([]queryReport, error) {
	var reports []queryReport
	for _, q := range workload.Questions() {
		r := queryReport{Name: q.Name}
		for i := range min(warmUp, b.Queries) {
			if _, _, err := ask(ctx, q, q.At(b.Queries+i)); err != nil {
				return nil, fmt.Errorf("%s: %w", q.Name, err)
			}
		}
		var took []time.Duration
		began := b.now()
		for i := range b.Queries {
			if i >= fewestRuns && b.now().Sub(began) > questionTime {
				break
			}
			found, t, err := ask(ctx, q, q.At(i))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", q.Name, err)
			}
			took = append(took, t)
			r.Rows += len(found)
			if err := b.answers.add(answer{where, q.Name, i, found}); err != nil {
				return nil, err
			}
		}
		r.Runs, r.latency = len(took), percentiles(took)
		reports = append(reports, r)
	}
	return reports, nil
}

// askCold runs each question a few times, each after forget.
func (b *bench) askCold(ctx context.Context, reports []queryReport, forget func(context.Context) error, ask asker) ([]queryReport, error) {
	if b.Cold == 0 {
		return reports, nil
	}
	for n, q := range workload.Questions() {
		var took []time.Duration
		for i := range b.Cold {
			if err := forget(ctx); err != nil {
				return nil, err
			}
			_, t, err := ask(ctx, q, q.At(b.Queries+warmUp+i))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", q.Name, err)
			}
			took = append(took, t)
		}
		if len(reports) <= n {
			reports = append(reports, queryReport{Name: q.Name})
		}
		cold := percentiles(took)
		reports[n].Cold = &cold
	}
	return reports, nil
}

func (b *bench) questions(ctx context.Context) error {
	warm, err := b.askAll(ctx, "http", b.askServer)
	for i := range warm {
		if i < len(b.report.Queries) {
			warm[i].Cold = b.report.Queries[i].Cold
		}
	}
	b.report.Queries = warm
	return err
}

// coldQuestions asks each question of a server that has just started.
func (b *bench) coldQuestions(ctx context.Context) error {
	var err error
	b.report.Queries, err = b.askCold(ctx, nil, b.coldRestart, b.askServer)
	return err
}

// askServer asks over HTTP.
func (b *bench) askServer(ctx context.Context, q workload.Question, query audit.Query) ([]string, time.Duration, error) {
	path := questionPath(q, query)
	began := b.now()
	body, err := b.target.do(ctx, http.MethodGet, path, "", nil)
	took := b.now().Sub(began)
	if err != nil {
		return nil, took, err
	}
	found, err := readAnswer(body)
	return found, took, err
}

// questionPath is the address of a question about the big organization.
func questionPath(q workload.Question, query audit.Query) string {
	v, what := query.Values(), "/histogram?"
	if q.Days {
		v.Set("interval", "day")
	} else {
		what = "/events?"
		v.Set("limit", strconv.Itoa(workload.PageSize))
	}
	return "/v1/organizations/" + workload.Organization(0) + what + v.Encode()
}

// readAnswer reads a page of entries or a histogram.
func readAnswer(body []byte) ([]string, error) {
	var page struct {
		Entries []struct {
			OccurredAt string `json:"occurred_at"`
			Action     string `json:"action"`
		} `json:"entries"`
		Buckets []struct {
			Start time.Time `json:"start"`
			Count uint64    `json:"count"`
		} `json:"buckets"`
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	found := []string{}
	for _, e := range page.Entries {
		found = append(found, e.OccurredAt+" "+e.Action)
	}
	for _, k := range page.Buckets {
		found = appendDay(found, k.Start, k.Count)
	}
	return found, nil
}

// appendDay adds a day of a histogram unless nothing happened on it.
func appendDay(found []string, day time.Time, count uint64) []string {
	if count == 0 {
		return found
	}
	return append(found, fmt.Sprintf("%s %d", day.UTC().Format(time.DateOnly), count))
}

// exports writes the big organization's log in both formats and downloads it to
// a file.
func (b *bench) exports(ctx context.Context) error {
	b.memory.take(ctx)
	for _, format := range []string{"csv", "jsonl"} {
		r, err := b.export(ctx, format)
		if err != nil {
			return fmt.Errorf("%s: %w", format, err)
		}
		b.report.Exports = append(b.report.Exports, r)
	}
	b.report.Memory.Exporting = b.memory.take(ctx)
	return nil
}

// export makes one export and downloads it; both are timed together.
func (b *bench) export(ctx context.Context, format string) (exportReport, error) {
	path := "/v1/organizations/" + workload.Organization(0) + "/exports"
	began := b.now()
	body, err := b.target.do(ctx, http.MethodPost, path, "application/json", []byte(`{"format":"`+format+`"}`))
	if err != nil {
		return exportReport{}, err
	}
	var j audit.Export
	for {
		if err := json.Unmarshal(body, &j); err != nil {
			return exportReport{}, err
		}
		if j.State == "ready" {
			break
		}
		if j.State == "error" {
			return exportReport{}, fmt.Errorf("the export failed: %s", j.Error)
		}
		select {
		case <-ctx.Done():
			return exportReport{}, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
		if body, err = b.target.do(ctx, http.MethodGet, path+"/"+j.ID, "", nil); err != nil {
			return exportReport{}, err
		}
	}
	size, err := b.download(ctx, j.Download.URL)
	return newExportReport(format, int(j.Rows), size, b.now().Sub(began)), err //nolint:gosec // a count of rows
}

// download saves what a link leads to and returns its size.
func (b *bench) download(ctx context.Context, link string) (size int64, err error) {
	u, err := url.Parse(link)
	if err != nil {
		return 0, err
	}
	req, err := b.target.request(ctx, http.MethodGet, u.RequestURI(), "", nil)
	if err != nil {
		return 0, err
	}
	dir, err := b.freshDir()
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)                           //nolint:errcheck // a temporary directory
	f, err := os.Create(filepath.Join(dir, "export")) //nolint:gosec // in a directory made above
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // closed before it is looked at, below
	if err := b.target.send(req, f); err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), f.Close()
}
