package web

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/retention"
	"github.com/stelehq/stele/internal/server"
)

const (
	retentionPath = Base + "/retention"
	// daysOther is the choice of a period that is no preset.
	daysOther = "other"
	// doAdd adds a row to the form, doRemove before a number takes one away.
	doAdd    = "add"
	doRemove = "remove/"
)

// retentionForm is the form of how long entries are kept: what was typed, and what
// is wrong with it.
type retentionForm struct {
	Default periodField
	Rows    []retentionRow
	// Actions are those that a row may name: of the catalogue, and families.
	Actions []string
	// Max is how many rows there can be.
	Max int
	// Faults say what is wrong, by field; that of "" is about none.
	Faults map[string]string
	// Preview is what the change would do; nil before that was asked for.
	Preview *retentionPreview
}

// FaultOf is what is wrong with a field, "" for nothing.
func (f *retentionForm) FaultOf(field string) string { return f.Faults[field] }

// retentionRow is a class of actions with a period of its own.
type retentionRow struct {
	Index   int
	Pattern string
	Period  periodField
	Fault   string
	// Focus says that the row was just added.
	Focus bool
}

// periodField is how long, as it is chosen: a preset, or a number of days.
type periodField struct {
	// Name is that of the field; the number's has "_number" behind it.
	Name string
	// Label is what the period is for, ID tells fields of one name apart.
	Label, ID string
	// Days is the choice: days, or daysOther.
	Days, Number, Fault string
}

// Choices are the periods to choose from.
func (f periodField) Choices() []option {
	out := periodPresets()
	for i := range out {
		out[i].Selected = out[i].Value == f.Days
	}
	return out
}

// periodPresets are the periods that are offered.
func periodPresets() []option {
	return []option{
		{Value: "30", Label: "30 days"},
		{Value: "90", Label: "90 days"},
		{Value: "180", Label: "180 days"},
		{Value: "365", Label: "1 year"},
		{Value: "730", Label: "2 years"},
		{Value: "2555", Label: "7 years"},
		{Value: "3650", Label: "10 years"},
		{Value: "0", Label: "For ever"},
		{Value: daysOther, Label: "Another number of days"},
	}
}

// periodOf is a period as the form has it.
func periodOf(name, id, label string, days int) periodField {
	text := strconv.Itoa(days)
	f := periodField{Name: name, ID: id, Label: label, Days: text}
	if !slices.ContainsFunc(periodPresets(), func(o option) bool { return o.Value == text }) {
		f.Days, f.Number = daysOther, text
	}
	return f
}

// read is the number of days that was chosen or typed.
func (f *periodField) read() (int, error) {
	text := f.Days
	if text == daysOther {
		text = strings.ReplaceAll(strings.TrimSpace(f.Number), ",", "")
	}
	days, err := strconv.Atoi(text)
	forever := days == catalog.RetainForever && f.Days != daysOther
	if err != nil || !forever && (days < catalog.MinRetentionDays || days > catalog.MaxRetentionDays) {
		return 0, audit.Errorf(audit.CodeInvalidRequest, "must be a number of days from %d to %s", catalog.MinRetentionDays, thousands(catalog.MaxRetentionDays))
	}
	return days, nil
}

func (p *pages) editRetention(w http.ResponseWriter, r *server.Request) error {
	policy, err := p.Retention.Policy(r.Context(), r.Session.Organization)
	if err != nil {
		return err
	}
	form := &retentionForm{Default: periodOf("days", "days", "Entries are kept", policy.Days)}
	for _, a := range policy.Actions {
		form.addRow(a.Pattern, periodOf("", "", "", a.Days))
	}
	return p.showRetentionForm(w, r, form)
}

// addRow adds a row with a period.
func (f *retentionForm) addRow(pattern string, period periodField) *retentionRow {
	i := len(f.Rows)
	period.Name, period.ID = "action_days", "action-days-"+strconv.Itoa(i)
	period.Label = "Kept, row " + strconv.Itoa(i+1)
	f.Rows = append(f.Rows, retentionRow{Index: i, Pattern: pattern, Period: period})
	return &f.Rows[i]
}

// readRetentionForm reads what was typed. Of rows, the fields come in their order.
func readRetentionForm(posted url.Values) *retentionForm {
	form := &retentionForm{Default: periodField{
		Name: "days", ID: "days", Label: "Entries are kept", Days: posted.Get("days"), Number: posted.Get("days_number"),
	}}
	for i, pattern := range posted["action"] {
		if i >= catalog.MaxRetentionActions {
			break
		}
		period := periodField{Days: at(posted["action_days"], i), Number: at(posted["action_days_number"], i)}
		form.addRow(strings.TrimSpace(pattern), period)
	}
	return form
}

// at is an element, "" behind the end.
func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// policy is what the form says; what is wrong with it is noted at its field. rows
// are the rows that the actions of the policy came from: empty rows say nothing.
func (f *retentionForm) policy() (policy retention.Policy, rows []int) {
	var err error
	if policy.Days, err = f.Default.read(); err != nil {
		f.fault("days", err)
	}
	for i := range f.Rows {
		if f.Rows[i].Pattern == "" {
			continue
		}
		days, err := f.Rows[i].Period.read()
		if err != nil {
			f.fault("actions/"+strconv.Itoa(i)+"/days", err)
		}
		// All that is wrong is said at once: the service names the first alone.
		_, err = catalog.CheckRetentionActions("", []catalog.RetentionAction{{Pattern: f.Rows[i].Pattern}})
		if err != nil {
			f.fault("actions/"+strconv.Itoa(i)+"/pattern", err)
		}
		policy.Actions = append(policy.Actions, catalog.RetentionAction{Pattern: f.Rows[i].Pattern, Days: days})
		rows = append(rows, i)
	}
	return policy, rows
}

// fault notes what is wrong with a field: of a row, by the number of the row.
func (f *retentionForm) fault(field string, err error) {
	if f.Faults == nil {
		f.Faults = map[string]string{}
	}
	fault := shownFault(err)
	text := sentence(fault.Message)
	parts := strings.Split(field, "/")
	if len(parts) == 3 && parts[0] == "actions" {
		if i, err := strconv.Atoi(parts[1]); err == nil && i < len(f.Rows) {
			f.Faults["rows"] = text
			if parts[2] == "days" {
				f.Rows[i].Period.Fault = text
			} else {
				f.Rows[i].Fault = text
			}
			return
		}
	}
	if field == "days" {
		f.Default.Fault = text
	} else if field != "actions" && field != "typed" {
		field = ""
	}
	f.Faults[field] = text
}

// refuse notes a fault of the server at its field. It reports false for what is
// not the person's to mend.
func (f *retentionForm) refuse(err error, rows []int) bool {
	fault := shownFault(err)
	if fault == nil {
		return false
	}
	parts := strings.Split(strings.TrimPrefix(fault.Field, "/"), "/")
	if len(parts) == 3 {
		if i, err := strconv.Atoi(parts[1]); err == nil && i < len(rows) {
			parts[1] = strconv.Itoa(rows[i])
		}
	}
	f.fault(strings.Join(parts, "/"), fault)
	return true
}

// updateRetention saves what the form says: after a preview, when entries would go.
func (p *pages) updateRetention(w http.ResponseWriter, r *server.Request) error {
	form, do := readRetentionForm(r.PostForm), r.PostForm.Get("do")
	row, remove := strings.CutPrefix(do, doRemove)
	switch {
	case do == doEdit:
		return p.showRetentionForm(w, r, form)
	case do == doAdd:
		form.addRow("", periodOf("", "", "", 90)).Focus = true
		return p.showRetentionForm(w, r, form)
	case remove:
		return p.showRetentionForm(w, r, form.without(row))
	}
	policy, rows := form.policy()
	if len(form.Faults) > 0 {
		return p.showRetentionForm(w, r, form)
	}
	done, err := p.saveRetention(r, form, policy, do == doConfirm)
	if err != nil && !form.refuse(err, rows) {
		return err
	}
	if !done {
		return p.showRetentionForm(w, r, form)
	}
	p.lead(w, r, retentionPath+"?done=saved")
	return nil
}

// without is the form without one of its rows.
func (f *retentionForm) without(row string) *retentionForm {
	out := &retentionForm{Default: f.Default}
	for i := range f.Rows {
		if strconv.Itoa(i) != row {
			out.addRow(f.Rows[i].Pattern, f.Rows[i].Period)
		}
	}
	return out
}

// saveRetention saves a policy. It reports false when that is to be confirmed
// first: the form then has the preview.
func (p *pages) saveRetention(r *server.Request, form *retentionForm, policy retention.Policy, confirmed bool) (bool, error) {
	org, ctx := r.Session.Organization, r.Context()
	var confirm *uint64
	if confirmed {
		count, err := strconv.ParseUint(r.PostForm.Get("due"), 10, 64)
		if err != nil {
			return false, audit.Errorf(audit.CodeInvalidRequest, "what was confirmed is not there; look at the preview again")
		}
		confirm = &count
	}
	preview, err := p.Retention.Preview(ctx, org, policy)
	if err != nil {
		return false, err
	}
	if preview.Due > 0 {
		form.Preview = previewOf(&preview, r.PostForm)
		if confirm == nil {
			return false, nil
		}
		asked := confirmationOf(*confirm, r.PostForm)
		if fault := asked.check(); fault != nil {
			form.fault("typed", fault)
			return false, nil
		}
	}
	_, err = p.Retention.SetPolicy(ctx, org, policy, confirm, p.retainer(r))
	if more, ok := errors.AsType[*retention.ConfirmError](err); ok {
		form.Preview = previewOf(&more.Preview, nil)
		form.Preview.More = confirmed
		return false, nil
	}
	if err != nil {
		form.Preview = nil
		return false, err
	}
	return true, nil
}

// retainer is the person of a session, as who changes what is kept.
func (p *pages) retainer(r *server.Request) retention.Who {
	a := actorOf(r.Session)
	return retention.Who{
		Type: a.Type, ID: a.ID, Name: a.Name,
		Location: p.clientAddress(r.Request), UserAgent: plain(r.UserAgent(), maxAgentBytes),
	}
}

// retentionPreview is what a change would do, as the page shows it.
type retentionPreview struct {
	retention.Preview

	Confirm confirmation
	// Rows are the classes by which entries would go or are held.
	Rows []retentionClassRow
	// More says that more would go than was confirmed.
	More bool
}

// retentionClassRow is a class of actions in a preview.
type retentionClassRow struct {
	retention.ClassPreview

	// Kept is its period in words.
	Kept string
}

func previewOf(preview *retention.Preview, posted url.Values) *retentionPreview {
	out := &retentionPreview{Preview: *preview, Confirm: confirmationOf(preview.Due, posted)}
	for _, c := range preview.Classes {
		if c.Due > 0 || c.Held > 0 {
			out.Rows = append(out.Rows, retentionClassRow{c, periodWords(c.Days)})
		}
	}
	return out
}

// periodWords is a period as it stands in a table.
func periodWords(days int) string {
	for _, o := range periodPresets() {
		if o.Value == strconv.Itoa(days) {
			return o.Label
		}
	}
	return thousands(days) + " days"
}

// showRetentionForm answers with the form, or with the preview if there is one.
func (p *pages) showRetentionForm(w http.ResponseWriter, r *server.Request, form *retentionForm) error {
	form.Actions, form.Max = p.knownActions(), catalog.MaxRetentionActions
	v := view{Title: "Change the retention", Section: retentionSection, Data: form}
	if len(form.Faults) > 0 {
		v.Status = http.StatusBadRequest
	}
	if form.Preview != nil {
		v.Title = "Review the retention"
		return p.show(w, r, "retention-review", v)
	}
	return p.show(w, r, "retention-edit", v)
}

// maxKnownActions is how many actions a form offers.
const maxKnownActions = 2000

// knownActions are the actions that the catalogue has, each after its families.
func (p *pages) knownActions() []string {
	names := map[string]bool{}
	actions := p.Schemas.Actions()
	for _, own := range ownActions() {
		actions = append(actions, own.Action)
	}
	for _, action := range actions {
		names[action] = true
		for i, c := range action {
			if c == '.' {
				names[action[:i]+".*"] = true
			}
		}
		if len(names) >= maxKnownActions {
			break
		}
	}
	return slices.Sorted(maps.Keys(names))
}
