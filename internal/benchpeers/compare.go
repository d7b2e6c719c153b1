package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/stelehq/stele/internal/workload"
)

// comparison is one run.
type comparison struct {
	options
	now     func() time.Time
	out     io.Writer // progress
	began   time.Time
	dir     string // holds everything, and is removed
	pg      *postgres
	events  *copyFile
	answers answers // of PostgreSQL
	report  report
}

// compare runs both side by side. Nothing of it is left behind, whether or not it
// works.
func compare(ctx context.Context, o options, now func() time.Time, progress io.Writer) (_ *report, err error) {
	c := &comparison{options: o, now: now, out: progress, began: now(), answers: answers{}}
	c.report.Events = o.events
	if c.dir, err = os.MkdirTemp(o.dir, "benchpeers-*"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(c.dir)) }()
	if err := os.Chmod(c.dir, 0o711); err != nil { //nolint:gosec // another user's database is below
		return nil, err
	}
	c.say("make %d events", o.events)
	if c.events, err = writeCopies(c.dir, o); err != nil {
		return nil, fmt.Errorf("make the events: %w", err)
	}
	defer func() { err = errors.Join(err, c.events.close()) }()
	c.say("start PostgreSQL")
	if c.pg, err = startPostgres(ctx, c.dir, now); err != nil {
		return nil, fmt.Errorf("PostgreSQL: %w", err)
	}
	defer func() { err = errors.Join(err, c.pg.stop()) }()
	c.report.Settings, c.report.Version = c.pg.settings, c.pg.version
	stele, err := c.runStele(ctx, c.turn)
	if err != nil {
		return nil, fmt.Errorf("stele bench: %w", err)
	}
	c.report.Stele = stele.report
	if err := c.checkAnswers(stele.answers); err != nil {
		return nil, fmt.Errorf("compare answers: %w", err)
	}
	return &c.report, nil
}

// say prints progress, with the time since the start.
func (c *comparison) say(format string, args ...any) {
	_, _ = fmt.Fprintf(c.out, "%6.1fs  %s\n", c.now().Sub(c.began).Seconds(), fmt.Sprintf(format, args...))
}

// turn has PostgreSQL do what Stele is about to do.
func (c *comparison) turn(ctx context.Context, step string) error {
	p := &c.report.PostgreSQL
	steps := map[string]func(context.Context) error{
		"bulk load": c.bulk,
		"settle":    c.settle,
		"single events": func(ctx context.Context) (err error) {
			p.Single, err = c.oneByOne(ctx, c.single, c.singleClients, "single")
			return err
		},
		"one client": func(ctx context.Context) (err error) {
			p.Serial, err = c.oneByOne(ctx, c.serial, 1, "serial")
			return err
		},
		"settle again": c.settle,
		"questions":    c.questions,
		"export":       c.exportAll,
		"restarts":     c.restarts,
	}
	if do, ok := steps[step]; ok {
		c.say("PostgreSQL: %s", step)
		if err := do(ctx); err != nil {
			return fmt.Errorf("PostgreSQL: %s: %w", step, err)
		}
	}
	c.say("Stele: %s", step)
	return nil
}

// answers are what was found, by question and run.
type answers map[question][]string

// question is one run of one of them.
type question struct {
	Name string `json:"question"`
	Run  int    `json:"run"`
}

// checkAnswers holds that both found the same. A difference is an error: figures
// of wrong answers are worth nothing.
func (c *comparison) checkAnswers(stele map[string]answers) error {
	if len(c.answers) == 0 || len(stele["http"]) == 0 || len(stele["store"]) == 0 {
		return errors.New("a side answered nothing")
	}
	for where, found := range stele {
		for _, q := range workload.Questions() {
			n := 0
			for i := range c.queries {
				at := question{q.Name, i}
				ours, inStele := found[at]
				theirs, inPostgres := c.answers[at]
				if !inStele || !inPostgres {
					continue // one side's time was over
				}
				if fault := difference(theirs, ours, q.Days); fault != "" {
					return fmt.Errorf("%s, run %d, %s: %s", q.Name, i, where, fault)
				}
				n, c.report.Rows = n+1, c.report.Rows+len(ours)
			}
			if n == 0 {
				return fmt.Errorf("%s, %s: no run that both answered", q.Name, where)
			}
			c.report.Compared += n
		}
	}
	for _, e := range c.report.Stele.Exports {
		if e.Rows != c.report.PostgreSQL.Export.Rows {
			return fmt.Errorf("the %s of Stele has %d rows, the export of PostgreSQL %d", e.Format, e.Rows, c.report.PostgreSQL.Export.Rows)
		}
	}
	return nil
}

// difference says how two answers differ, "" when they do not. Entries of one
// time may come in any order, and where the page is full, any of those of its
// last time.
func difference(theirs, ours []string, days bool) string {
	if len(theirs) != len(ours) {
		return fmt.Sprintf("PostgreSQL finds %d rows, Stele %d", len(theirs), len(ours))
	}
	if !days {
		if !slices.IsSortedFunc(ours, laterFirst) {
			return "Stele's rows are not newest first"
		}
		theirs, ours = wholeTimes(theirs), wholeTimes(ours)
	}
	for i := range theirs {
		if i >= len(ours) || theirs[i] != ours[i] {
			return fmt.Sprintf("PostgreSQL finds %q, Stele %q", theirs, ours)
		}
	}
	return ""
}

func timeOf(row string) string { at, _, _ := strings.Cut(row, " "); return at }

func laterFirst(a, b string) int { return strings.Compare(timeOf(b), timeOf(a)) }

// wholeTimes are the sorted rows of an answer without those of the last time of a
// full page.
func wholeTimes(rows []string) []string {
	rows = slices.Clone(rows)
	if len(rows) == workload.PageSize {
		last := timeOf(rows[len(rows)-1])
		rows = slices.DeleteFunc(rows, func(r string) bool { return timeOf(r) == last })
	}
	slices.Sort(rows)
	return rows
}
