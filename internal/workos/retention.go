package workos

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/retention"
	"github.com/stelehq/stele/internal/server"
)

// What a month and a year of retention are in days, so that the two forms of
// the request agree on 30 and 365.
const (
	monthDays = 30
	yearDays  = 365
	maxMonths = 11
	maxYears  = 10
)

// foreverDays stands for keeping everything where WorkOS knows only a number: a
// hundred years.
const foreverDays = 100 * yearDays

// configurationView is how an organization's log is set up.
type configurationView struct {
	OrganizationID string      `json:"organization_id"`
	RetentionDays  int         `json:"retention_period_in_days"`
	State          string      `json:"state"`
	LogStream      *streamView `json:"log_stream,omitempty"`
}

func (w *dropIn) getConfiguration(rw http.ResponseWriter, r *server.Request) error {
	v := configurationView{OrganizationID: r.Org(), RetentionDays: r.Organization.RetentionDays, State: string(r.Organization.State)}
	if v.RetentionDays == catalog.RetainForever {
		v.RetentionDays = foreverDays
	}
	var err error
	if v.LogStream, err = w.logStream(r.Context(), r.Org()); err != nil {
		return err
	}
	return answer(rw, http.StatusOK, v)
}

// retentionView is how long entries are kept, nil for ever.
type retentionView struct {
	RetentionDays *int `json:"retention_period_in_days"`
}

func viewRetention(o *catalog.Organization) retentionView {
	if o.RetentionDays == catalog.RetainForever {
		return retentionView{}
	}
	return retentionView{RetentionDays: &o.RetentionDays}
}

func (w *dropIn) getRetention(rw http.ResponseWriter, r *server.Request) error {
	return answer(rw, http.StatusOK, viewRetention(r.Organization))
}

func (w *dropIn) setRetention(rw http.ResponseWriter, r *server.Request) error {
	if err := serverWide(r); err != nil {
		return err
	}
	f, err := readForm(r)
	if err != nil {
		return err
	}
	days := readRetention(f)
	if f.failed() {
		return unprocessable(*f.faults...)
	}
	by := retention.Key(r.Identity.KeyID, r.Identity.KeyName)
	updated, err := w.Retention.Update(r.Context(), r.Org(), by, func(o *catalog.Organization) error {
		o.RetentionDays = days
		return nil
	})
	if err != nil {
		return err
	}
	return answer(rw, http.StatusOK, viewRetention(updated))
}

// readRetention reads a period in either form: days, or the newer months and
// years.
func readRetention(f form) int {
	const inDays, period = "retention_period_in_days", "retention_period"
	if f.raw(period) != nil {
		days, ok := periodDays(f.text(period))
		if !ok {
			f.fault(faultValue, period, "must be 1_MONTH to 11_MONTHS or 1_YEAR to 10_YEARS")
		}
		return days
	}
	n, ok := f.number(inDays)
	switch {
	case f.raw(inDays) == nil:
		f.fault(faultRequired, inDays, "is required")
	case ok && !isPeriod(n):
		f.fault(faultValue, inDays, "must be 30, 365, or another number of whole months of 30 days or years of 365 days")
	}
	return int(n)
}

// periodDays turns "1_MONTH" … "11_MONTHS" and "1_YEAR" … "10_YEARS" into days.
func periodDays(period string) (days int, ok bool) {
	count, unit, _ := strings.Cut(period, "_")
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || count != strconv.Itoa(n) {
		return 0, false
	}
	unit, plural := strings.CutSuffix(unit, "S")
	switch {
	case plural != (n > 1):
		return 0, false
	case unit == "MONTH":
		return n * monthDays, n <= maxMonths
	case unit == "YEAR":
		return n * yearDays, n <= maxYears
	}
	return 0, false
}

// isPeriod says whether a number of days is a period that has a name.
func isPeriod(days int64) bool {
	months, years := days/monthDays, days/yearDays
	return days > 0 && (days%monthDays == 0 && months <= maxMonths || days%yearDays == 0 && years <= maxYears)
}
