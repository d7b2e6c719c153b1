package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/web/logview"
)

// patience is how long the histogram may take when it is asked for alone.
const patience = 15 * time.Second

// logChart is the histogram of a view, or why there is none.
type logChart struct {
	logview.Chart
	// Name is what it is called, Total how many events it has in words.
	Name string
	// Late says that counting did not end in its time, Failed that it went
	// wrong. URL asks for the histogram alone, with more time.
	Late, Failed bool
	URL          string
	// Future is how many events are dated after the histogram's end.
	Future    uint64
	FutureURL string
	// Through is the last entry that was looked at; nil in an empty log.
	Through *audit.Position
}

// Sum is how many events the view has; nil when they were not counted.
func (c *logChart) Sum() *uint64 {
	if c.Late || c.Failed {
		return nil
	}
	n := c.Total + c.Future
	return &n
}

// chart counts for the histogram within a time.
func (p *pages) chart(r *server.Request, v logview.View, within time.Duration) *logChart {
	ctx, cancel := context.WithTimeout(r.Context(), within)
	defer cancel()
	out := &logChart{URL: histogramURL(v)}
	err := p.count(ctx, r.Organization.ID, v, out)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		out.Late = true
	case err != nil:
		out.Failed = true
		r.Log(slog.String("histogram_error", err.Error()))
	}
	out.Name = out.Chart.Name(v)
	return out
}

// patientChart is the chart with more time, some of an organization's at once.
func (p *pages) patientChart(r *server.Request, v logview.View) *logChart {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	done := p.counting.take(ctx, r.Organization.ID)
	if done == nil {
		return &logChart{URL: histogramURL(v), Late: true}
	}
	defer done()
	return p.chart(r, v, patience)
}

// histogramURL asks for the histogram of a view alone.
func histogramURL(v logview.View) string { return listPath + "/histogram?" + v.Params().Encode() }

// count fills the chart of a view.
func (p *pages) count(ctx context.Context, org string, v logview.View, out *logChart) error {
	q := v.Query()
	from, to := v.Axis()
	if from.IsZero() { // begins where the events do
		bound := q
		bound.OccurredTo = to
		months, err := p.months(ctx, org, bound)
		if err != nil {
			return err
		}
		from = to.Add(-24 * time.Hour)
		if len(months.Buckets) > 0 {
			from = months.Buckets[0].Start
		}
		if _, end := v.Bounds(); end.IsZero() { // as for ranges that begin somewhere
			_, to = v.Interval(from, to).Bucket(to)
		}
	}
	iv := v.Interval(from, to)
	within := q
	within.OccurredFrom, within.OccurredTo = from, to
	h, err := p.Engine.Histogram(ctx, org, within, iv)
	if err != nil {
		return err
	}
	out.Chart, out.Through = logview.NewChart(v, &h, iv, from, to), h.Through
	if _, end := v.Bounds(); !end.IsZero() {
		return nil
	}
	later := q
	later.OccurredFrom = to
	future, err := p.months(ctx, org, later)
	out.Future, out.FutureURL = future.Total, v.WithBounds(to, time.Time{}).URL()
	return err
}

// months counts by month: of any range, no more than a histogram may have.
func (p *pages) months(ctx context.Context, org string, q audit.Query) (search.Histogram, error) {
	iv, err := search.ParseInterval("month", time.UTC)
	if err != nil {
		return search.Histogram{}, err
	}
	return p.Engine.Histogram(ctx, org, q, iv)
}

// histogram answers with the histogram alone: for a script to put in its place,
// or as a page for whoever follows the link to it.
func (p *pages) histogram(w http.ResponseWriter, r *server.Request) error {
	v, err := logview.Parse(listPath, r.URL.Query(), p.zone(r).Location, p.Now())
	if err != nil {
		return err
	}
	page := &logPage{View: v, Chart: p.patientChart(r, v)}
	shown := view{Title: "Histogram", Section: "audit-log", Data: page, Scripts: logScripts()}
	if page.Chart.Failed || page.Chart.Late {
		shown.Status = http.StatusServiceUnavailable
	}
	if r.Header.Get(fragmentHeader) != "" {
		return p.render(w, r, p.parts, "histogram", shown)
	}
	return p.show(w, r, "histogram", shown)
}
