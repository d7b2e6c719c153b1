package web

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/export"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/web/logview"
)

// The orders of an export.
const (
	orderAsc  = "asc"
	orderDesc = "desc"
)

func orderOf(j *export.Job) string {
	if j.Descending {
		return orderDesc
	}
	return orderAsc
}

// exportForm is the form of a new export: what was typed, and what is wrong with
// it.
type exportForm struct {
	Filter, Range, From, To, Format, Order string
	// Older is an older checkpoint that evidence is to be consistent with.
	Older string
	// Ranges are the ranges that can be chosen.
	Ranges []option
	// Fault is why there is no export, about the field that it names.
	Fault *audit.Error
	// Count is how many entries it would hold now, if that was Counted.
	Count   uint64
	Counted bool
	// Action is where the form is sent.
	Action string

	view logview.View
}

// option is one of several values.
type option struct {
	Value, Label string
	Selected     bool
}

// readExportForm reads what an export is to hold from the parameters of an
// address or of a form. They are those of the list of the log.
func (p *pages) readExportForm(r *server.Request, params url.Values) *exportForm {
	zone := p.zone(r)
	v, err := logview.Parse(exportsPath, params, zone.Location, p.Now())
	form := &exportForm{
		Filter: v.Typed, Range: v.Range, From: params.Get("from"), To: params.Get("to"),
		Format: params.Get("format"), Order: params.Get("order"), Older: strings.ReplaceAll(params.Get("older_checkpoint"), "\r\n", "\n"),
		Action: exportsPath + "?tz=" + url.QueryEscape(zone.Label), view: v,
	}
	if !v.From.IsZero() {
		form.From = logview.FormTime(v.From, zone.Location)
	}
	if !v.To.IsZero() {
		form.To = logview.FormTime(v.To, zone.Location)
	}
	form.check(err)
	form.Ranges = rangeOptions(form.Range)
	return form
}

// check fills in what was left out and says what is wrong.
func (f *exportForm) check(err error) {
	if e, ok := errors.AsType[*audit.Error](err); ok {
		f.Fault = e
		if e.Field == "from" || e.Field == "to" {
			f.Range = logview.RangeCustom
		}
	}
	switch {
	case f.Format == "":
		f.Format = string(export.CSV)
	case !export.Format(f.Format).Known():
		f.Fault = audit.FieldErrorf(audit.CodeInvalidRequest, "format", "Choose CSV, JSON lines or evidence")
	}
	switch f.Order {
	case "":
		f.Order = orderDesc
	case orderAsc, orderDesc:
	default:
		f.Fault = audit.FieldErrorf(audit.CodeInvalidRequest, "order", "Choose an order")
	}
}

// rangeOptions are the ranges of time, as the list of the log has them.
func rangeOptions(selected string) []option {
	var out []option
	for _, preset := range logview.Presets() {
		out = append(out, option{Value: preset.Name, Label: preset.Label})
	}
	out = append(out, option{Value: logview.RangeAll, Label: "All time"}, option{Value: logview.RangeCustom, Label: "From … to …"})
	for i := range out {
		out[i].Selected = out[i].Value == selected
	}
	return out
}

// FaultOf is what is wrong with a field, "" for nothing. The empty name is what
// is about no field.
func (f *exportForm) FaultOf(field string) string {
	return faultOf(f.Fault, field, "q", "from", "to", "range", "format", "order", "older_checkpoint")
}

// spec is the export that the form asks for. Evidence is in the order of the log,
// and knows what zone whoever asks thinks in.
func (f *exportForm) spec(zone string) export.Spec {
	s := export.Spec{Query: f.view.Query().String(), Format: export.Format(f.Format), Descending: f.Order == orderDesc}
	if s.Format == export.Evidence {
		s.Descending, s.Zone = false, zone
		if older := strings.TrimSpace(f.Older); older != "" {
			s.OlderCheckpoint = older + "\n" // which forms may lose
		}
	}
	return s
}

// countExport counts what an export would hold, for as long as somebody waits
// for a page.
func (p *pages) countExport(r *server.Request, f *exportForm) {
	if f.Fault != nil {
		return
	}
	months, err := search.ParseInterval("month", time.UTC)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), countTime)
	defer cancel()
	h, err := p.Engine.Histogram(ctx, r.Session.Organization, f.view.Query(), months)
	if err != nil {
		return // it is only a help; the export itself will count
	}
	f.Count, f.Counted = h.Total, true
}

// exportRow is an export in the list and on its own page.
type exportRow struct {
	ID, Path, FileName    string
	CreatedAt, ReadyAt    time.Time
	ExpiresAt             time.Time
	Who, WhoType, WhoID   string
	Filter, Range, LogURL string
	Format, Order         string
	Rows                  uint64
	Size                  string
	State                 string // as in the API
	StateText             string
	Percent               int
	Error                 string
	Through               *audit.Position
	// Again are the settings of a new export like this one.
	Again []logview.Param
	// Evidence says that the file proves itself, by VerifyCommand; Older, that it
	// also extends an older checkpoint.
	Evidence, Older bool
	VerifyCommand   string
}

func (p *pages) exportRow(r *server.Request, j *export.Job) exportRow {
	row := exportRow{
		ID: exportPrefix + j.ID, Path: exportPath(j), FileName: j.FileName(),
		CreatedAt: j.CreatedAt, ReadyAt: j.ReadyAt, ExpiresAt: j.ExpiresAt,
		Format: formatWords(j.Format), Order: "oldest first", Rows: j.Rows, Size: byteWords(j.Bytes),
		State: string(j.State), StateText: stateWords(j.State), Percent: j.Percent, Error: sentence(j.Error), Through: j.Through,
		Again: []logview.Param{
			{Name: "q", Value: j.Query},
			{Name: "range", Value: logview.RangeAll},
			{Name: "format", Value: string(j.Format)},
			{Name: "order", Value: orderOf(j)},
		},
		Evidence: j.Format == export.Evidence,
	}
	if j.OlderCheckpoint != "" {
		row.Older = true
		row.Again = append(row.Again, logview.Param{Name: "older_checkpoint", Value: j.OlderCheckpoint})
	}
	if row.Evidence {
		row.VerifyCommand = "stele verify " + shellWord(j.FileName()) + " \\\n  --vkey " + shellWord(p.Ledger.VerifierKey())
	}
	if j.Descending {
		row.Order = "newest first"
	}
	row.who(j.Creator())
	if j.QueryRemoved {
		row.Filter, row.LogURL, row.Again = queryRemoved, Base+"/audit-log?range=all", nil
		return row
	}
	q, err := audit.ParseQuery(j.Query)
	if err != nil { // of an earlier build, perhaps; its text still says something
		row.Filter, row.LogURL = j.Query, Base+"/audit-log?range=all"
		return row
	}
	row.LogURL = logURL(q)
	row.Range = logview.Words(q.OccurredFrom, q.OccurredTo, p.zone(r).Location)
	q.OccurredFrom, q.OccurredTo = time.Time{}, time.Time{}
	row.Filter = q.String()
	return row
}

// queryRemoved stands where the filter of an export stood that named somebody.
const queryRemoved = "(not known any more: it named somebody whose details were erased)"

// who names who made an export.
func (row *exportRow) who(c export.Creator) {
	row.Who, row.WhoID = c.Name, c.ID
	if c.Type == export.CreatorKey {
		row.WhoType = "API key"
	}
	switch {
	case row.Who != "":
	case c.Type == export.CreatorPerson:
		row.Who = "Someone from the product"
	default:
		row.Who = c.ID
	}
}

func formatWords(f export.Format) string {
	switch f {
	case export.JSONL:
		return "JSON lines"
	case export.Evidence:
		return "Evidence"
	}
	return "CSV"
}

func stateWords(s export.State) string {
	switch s {
	case export.StatePending:
		return "Waiting"
	case export.StateRunning:
		return "Running"
	case export.StateReady:
		return "Ready"
	case export.StateError:
		return "Failed"
	case export.StateExpired:
		return "Expired"
	}
	return string(s)
}

// byteWords is a size for people.
func byteWords(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	size, unit := float64(n), ""
	for _, unit = range []string{"kB", "MB", "GB", "TB"} {
		size /= 1000
		if size < 999.5 {
			break
		}
	}
	digits := 0
	if size < 9.95 {
		digits = 1
	}
	return strconv.FormatFloat(size, 'f', digits, 64) + " " + unit
}

// exportProgress is how far an export is, in words too: scripts put them in
// place as they are.
type exportProgress struct {
	State     export.State `json:"state"`
	StateText string       `json:"state_text"`
	Ended     bool         `json:"ended"`
	Percent   int          `json:"percent"`
	Rows      uint64       `json:"rows"`
	RowsText  string       `json:"rows_text"`
	Size      string       `json:"size"`
	// Left is the time that is left, in words.
	Left string `json:"left"`
}

func progressOf(j *export.Job) exportProgress {
	out := exportProgress{
		State: j.State, StateText: stateWords(j.State), Ended: j.Ended(), Percent: j.Percent, Rows: j.Rows, Size: byteWords(j.Bytes),
	}
	out.RowsText = thousands(j.Rows)
	if j.Total != nil && !j.Ended() {
		out.RowsText += " of " + thousands(*j.Total)
	}
	switch left, ok := j.Left(); {
	case j.State == export.StatePending:
		out.Left = "Waits for its turn"
	case ok:
		out.Left = leftWords(left)
	case !j.Ended():
		out.Left = "Not known yet"
	}
	return out
}

// leftWords is a time to come, as exact as an estimate is.
func leftWords(d time.Duration) string {
	switch {
	case d < 5*time.Second:
		return "A few seconds"
	case d < time.Minute:
		return "About " + strconv.Itoa(int((d+4*time.Second)/(5*time.Second))*5) + " seconds"
	case d < 90*time.Second:
		return "About a minute"
	case d < 90*time.Minute:
		return "About " + strconv.Itoa(int((d+30*time.Second)/time.Minute)) + " minutes"
	default:
		return "About " + strconv.Itoa(int((d+30*time.Minute)/time.Hour)) + " hours"
	}
}
