package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/workload"
)

// benchQuery is one question, asked with other parameters each time.
type benchQuery struct {
	name string
	path func(i int) string
}

// queriesOf are Q1 to Q7, asked of the big organization.
func queriesOf() []benchQuery {
	big := "/v1/organizations/" + workload.Organization(0)
	actions := workload.Actions()
	events := func(filters ...string) string {
		v := url.Values{"limit": {"50"}}
		for i := 0; i < len(filters); i += 2 {
			v.Add(filters[i], filters[i+1])
		}
		return big + "/events?" + v.Encode()
	}
	day := func(i int) time.Time { return workload.Start().AddDate(0, 0, 30+i%300) }
	return []benchQuery{
		{"Q1 latest 50", func(i int) string { return events("before", day(i+60).Format(time.RFC3339)) }},
		{"Q2 rare action", func(int) string { return events("action", workload.RareAction) }},
		{"Q3 an actor", func(i int) string { return events("actor.id", workload.UserID(5+i)) }},
		{"Q4 a target", func(i int) string { return events("target.id", workload.TargetID(100+7*i)) }},
		{"Q5 3 actions, actor, 30 days", func(i int) string {
			return events("action", actions[1], "action", actions[5], "action", actions[9],
				"actor.id", workload.UserID(5+i), "after", day(i).Format(time.RFC3339), "before", day(i+30).Format(time.RFC3339))
		}},
		{"Q6 histogram by day, 90 days", func(i int) string {
			v := url.Values{"interval": {"day"}, "after": {day(i).Format(time.RFC3339)}, "before": {day(i).AddDate(0, 0, 90).Format(time.RFC3339)}}
			return big + "/histogram?" + v.Encode()
		}},
		{"Q7 substring", func(i int) string { return events("text", fmt.Sprintf("INC-%d", 1000+13*i%9000)) }},
	}
}

func (b *bench) queries(ctx context.Context) error {
	for _, q := range queriesOf() {
		var s series
		rows := 0
		for i := range b.Queries {
			path := q.path(i)
			err := s.time(func() error {
				body, err := b.target.do(ctx, http.MethodGet, path, "", nil)
				rows += bytes.Count(body, []byte(`"organization_id"`))
				return err
			})
			if err != nil {
				return fmt.Errorf("%s: %w", q.name, err)
			}
		}
		b.report.Queries = append(b.report.Queries, queryReport{q.name, rows, percentiles(s.took)})
	}
	return nil
}

// exports writes the big organization's log in both formats and downloads it.
func (b *bench) exports(ctx context.Context) error {
	for _, format := range []string{"csv", "jsonl"} {
		began := time.Now()
		rows, err := b.export(ctx, format)
		if err != nil {
			return fmt.Errorf("%s: %w", format, err)
		}
		r := newLoadReport(rows, time.Since(began), nil)
		r.Name = "export " + format
		b.report.Exports = append(b.report.Exports, r)
	}
	return nil
}

func (b *bench) export(ctx context.Context, format string) (rows int, err error) {
	path := "/v1/organizations/" + workload.Organization(0) + "/exports"
	body, err := b.target.do(ctx, http.MethodPost, path, "application/json", []byte(`{"format":"`+format+`"}`))
	if err != nil {
		return 0, err
	}
	var j audit.Export
	if err := json.Unmarshal(body, &j); err != nil {
		return 0, err
	}
	for j.State != "ready" {
		if j.State == "error" {
			return 0, fmt.Errorf("the export failed: %s", j.Error)
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if body, err = b.target.do(ctx, http.MethodGet, path+"/"+j.ID, "", nil); err != nil {
			return 0, err
		}
		if err := json.Unmarshal(body, &j); err != nil {
			return 0, err
		}
	}
	return int(j.Rows), b.download(ctx, j.Download.URL) //nolint:gosec // a count of rows
}

func (b *bench) download(ctx context.Context, link string) error {
	u, err := url.Parse(link)
	if err != nil {
		return err
	}
	req, err := b.target.request(ctx, http.MethodGet, u.RequestURI(), "", nil)
	if err != nil {
		return err
	}
	return b.target.send(req, io.Discard)
}
