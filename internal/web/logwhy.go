package web

import (
	"context"
	"strings"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/web/logview"
)

// logWhy says why a view shows nothing, and what would show something.
type logWhy struct {
	// Filters are the conditions, Ranges the longer ranges.
	Filters, Ranges []logReason
	// None reports whether removing one of them is not enough.
	None bool
	// Clear is the view without any filter.
	Clear *logReason
	// Late says that not everything could be counted in time.
	Late bool
}

// logReason is one way to see more.
type logReason struct {
	Text string
	// Count is how many events it would show; nil when they could not be
	// counted in time.
	Count *uint64
	URL   string
}

// Shows reports whether it is known to show something.
func (r logReason) Shows() bool { return r.Count != nil && *r.Count > 0 }

// why counts what the view would show without each of its conditions in turn, and
// in each longer range, within a time. It counts the likely ones first.
func (p *pages) why(r *server.Request, page *logPage) *logWhy {
	ctx, cancel := context.WithTimeout(r.Context(), whyTime)
	defer cancel()
	out := &logWhy{}
	count := func(text string, v logview.View) logReason {
		reason := logReason{Text: text, URL: v.URL()}
		h, err := p.months(ctx, r.Organization.ID, v.Query())
		if err != nil {
			out.Late = true
			return reason
		}
		reason.Count = &h.Total
		return reason
	}
	for _, wide := range page.Wider() {
		reason := count(wide.RangeLabel(), wide)
		if last := wide.Range == logview.RangeAll; last || reason.Shows() && !sameCount(out.Ranges, reason) {
			out.Ranges = append(out.Ranges, reason)
		}
	}
	for _, c := range page.Chips {
		out.Filters = append(out.Filters, count(c.Label+" "+c.Verb+" "+strings.Join(c.Shown, " or "), c.Without))
	}
	out.None = !anyShows(out.Filters) && !anyShows(out.Ranges)
	if page.Filtered() && (len(page.Chips) > 1 || out.None) {
		clear := count("All filters", page.WithFilter(audit.Query{}))
		out.Clear = &clear
	}
	return out
}

// sameCount reports whether the range before shows as much.
func sameCount(ranges []logReason, r logReason) bool {
	n := len(ranges)
	return n > 0 && ranges[n-1].Count != nil && r.Count != nil && *ranges[n-1].Count == *r.Count
}

func anyShows(reasons []logReason) bool {
	for _, r := range reasons {
		if r.Shows() {
			return true
		}
	}
	return false
}
