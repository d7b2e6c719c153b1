package web

import (
	"cmp"
	"errors"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/stream"
	"github.com/stelehq/stele/internal/stream/sink"
	"github.com/stelehq/stele/internal/web/logview"
)

const (
	// fieldSettings is before the name of a setting, in forms and in errors.
	fieldSettings = "settings/"
	// fieldRemove is before the name of a secret that is to be taken away.
	fieldRemove = "remove/"
	// The buttons of the form, which say what is to be done.
	doSave, doTest, doAnyway = "save", "test", "anyway"
	// doGenerate is before the name of a setting to make a value for.
	doGenerate = "generate/"
)

// streamForm is the form of a stream: what was typed, what is wrong with it, and
// what the destination said.
type streamForm struct {
	// ID is the stream's; "" for a new one.
	ID, Cancel, Action      string
	Kind                    *sink.Kind
	Name, Filter, FilterURL string
	Formats                 []formatOption
	Start, StartDate        string
	Checkpoints             bool
	EveryMinutes            string // of checkpoints alone
	LagMinutes              string
	Fields, Advanced        []streamField
	OpenAdvanced            bool
	Steps                   []guideStep
	Generated               string // the setting that a value was asked for, if any
	// Faults say what is wrong, by field; that of "" is about none.
	Faults map[string]string
	Test   *testView
	// Anyway offers to save what the destination refused.
	Anyway bool
	// Lost says that secrets were entered and are not repeated here.
	Lost bool

	zone   *time.Location
	values sink.Values // as typed
	kept   map[string]stream.Secret
	was    *stream.Stream // nil for a new one
}

// formatOption is a format that the kind can carry.
type formatOption struct {
	Name, Label, Help string
	Selected          bool
}

// streamField is one setting in the form.
type streamField struct {
	*sink.Setting
	Value, Fault string
	Choices      []option
	// Kept says that a secret is there, which stays when nothing is entered.
	Kept bool
	Hint string
	// Removable secrets can be taken away.
	Removable, Removed bool
	// Made says that the value was made just now, Focus that somebody asked for it.
	Made, CanMake, Focus bool
}

// Field is the name and id of the input.
func (f *streamField) Field() string { return fieldSettings + f.Name }

// guideStep is a step at the destination, with the settings that it leads to.
type guideStep struct {
	Number      int
	Text, Paste string
	Fills       []*sink.Setting
}

// streamNewPage is what log-stream-new.html shows.
type streamNewPage struct {
	Kinds []sink.Kind
	Form  *streamForm
}

// newStream lets choose a destination, and then shows its form.
func (p *pages) newStream(w http.ResponseWriter, r *server.Request) error {
	name := r.URL.Query().Get("kind")
	if name == "" {
		return p.show(w, r, "log-stream-new", view{
			Title: "Add a log stream", Section: streamsSection, Data: streamNewPage{Kinds: p.Streams.Kinds()},
		})
	}
	form, err := p.blankForm(r, name)
	if err != nil {
		return err
	}
	return p.showForm(w, r, form)
}

// blankForm is the form of a new stream, with values of its own choice made.
func (p *pages) blankForm(r *server.Request, kind string) (*streamForm, error) {
	form, err := p.formOf(r, kind, nil)
	if err != nil {
		return nil, err
	}
	form.Start = string(stream.StartNow)
	for _, s := range form.Kind.Settings {
		if s.Generate != nil && s.Secret {
			form.values[s.Name] = s.Generate()
		}
	}
	form.Name = form.Kind.Label
	p.fillForm(form, "", slices.Collect(maps.Keys(form.values))...)
	return form, nil
}

// formOf is an empty form for a kind, or for a stream there is.
func (p *pages) formOf(r *server.Request, kind string, st *stream.Stream) (*streamForm, error) {
	form := &streamForm{Kind: p.kindOf(kind), Faults: map[string]string{}, values: sink.Values{}, was: st, zone: p.zone(r).Location}
	if form.Kind.Open == nil && st != nil {
		return nil, audit.Errorf(audit.CodeConflict, "this server does not know the destination %q, so its settings cannot be changed here", kind)
	}
	if form.Kind.Open == nil {
		return nil, audit.Errorf(audit.CodeNotFound, "there is no such kind of destination")
	}
	form.Action, form.Cancel = streamsPath+"/new", streamsPath+"/new"
	if st != nil {
		form.ID, form.kept = st.ID, st.Secrets
		form.Action, form.Cancel = streamPath(st)+"/edit", streamPath(st)
	}
	form.Action += "?tz=" + url.QueryEscape(p.zone(r).Label)
	return form, nil
}

// fillForm makes the fields of what is typed. made are the settings whose value
// was made just now; other secrets are not repeated.
func (p *pages) fillForm(f *streamForm, format string, made ...string) {
	f.FilterURL = filterURL(f.Filter)
	wanted, _ := f.Kind.Format(format)
	for _, info := range p.Streams.Formats() {
		if _, ok := f.Kind.Format(info.Name); ok {
			f.Formats = append(f.Formats, formatOption{info.Name, info.Label, info.Help, info.Name == wanted})
		}
	}
	for i := range f.Kind.Settings {
		field := f.field(&f.Kind.Settings[i], slices.Contains(made, f.Kind.Settings[i].Name))
		if !field.Advanced {
			f.Fields = append(f.Fields, field)
			continue
		}
		f.Advanced = append(f.Advanced, field)
		f.OpenAdvanced = f.OpenAdvanced || field.Fault != ""
	}
	for i, step := range f.Kind.Guide(f.values) {
		g := guideStep{Number: i + 1, Text: step.Text, Paste: step.Paste}
		for _, name := range step.Fills {
			if s, ok := f.Kind.Setting(name); ok {
				g.Fills = append(g.Fills, s)
			}
		}
		f.Steps = append(f.Steps, g)
	}
}

func (f *streamForm) field(s *sink.Setting, made bool) streamField {
	field := streamField{Setting: s, Value: f.values[s.Name], Fault: f.Faults[fieldSettings+s.Name], Made: made, CanMake: s.Generate != nil, Focus: s.Name == f.Generated}
	if kept, ok := f.kept[s.Name]; ok {
		field.Kept, field.Hint, field.Removable = true, kept.Hint, !s.Required
		_, named := f.values[s.Name]
		field.Removed = named && field.Value == ""
	}
	if s.Secret && !made {
		f.Lost = f.Lost || field.Value != ""
		field.Value = ""
	}
	selected := cmp.Or(field.Value, s.Default)
	if len(s.Options) > 0 && !slices.Contains(s.Options, selected) {
		field.Choices = append(field.Choices, option{Label: "Choose …", Selected: true})
	}
	for _, o := range s.Options {
		field.Choices = append(field.Choices, option{Value: o, Label: o, Selected: o == selected})
	}
	return field
}

// filterURL is the log as a filter finds it.
func filterURL(filter string) string {
	return Base + "/audit-log?" + url.Values{"range": {"30d"}, "q": {filter}}.Encode()
}

// showForm answers with a form.
func (p *pages) showForm(w http.ResponseWriter, r *server.Request, f *streamForm) error {
	v := view{
		Title: "Add " + f.Kind.Label, Section: streamsSection, Data: streamNewPage{Form: f},
		Scripts: []string{"js/streams.js", "js/copy.js"},
	}
	if f.was != nil {
		v.Title = "Edit " + f.was.Name
	}
	if len(f.Faults) > 0 {
		v.Status = http.StatusBadRequest
	}
	return p.show(w, r, "log-stream-new", v)
}

// editStream shows the form of a stream there is.
func (p *pages) editStream(w http.ResponseWriter, r *server.Request) error {
	st, err := p.streamOf(r)
	if err != nil {
		return err
	}
	form, err := p.formOf(r, st.Kind, st)
	if err != nil {
		return err
	}
	form.Name, form.Filter, form.Checkpoints = st.Name, st.Filter, st.Checkpoints
	form.LagMinutes, form.EveryMinutes = inMinutes(st.LagLimit), inMinutes(st.CheckpointEvery)
	maps.Copy(form.values, st.Settings)
	p.fillForm(form, st.Format)
	return p.showForm(w, r, form)
}

// inMinutes writes seconds as minutes, nothing for none.
func inMinutes(seconds int) string {
	if seconds == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(seconds)/60, 'f', -1, 64)
}

// minutes reads a field of minutes as seconds, none for an empty one.
func (f *streamForm) minutes(field, text string) int {
	if text == "" {
		return 0
	}
	minutes, err := strconv.ParseFloat(text, 64)
	if err != nil || !(minutes >= 0 && minutes <= 366*24*60) {
		f.Faults[field] = "Must be a number of minutes, up to a year."
		return 0
	}
	return int(math.Round(minutes * 60))
}

// createStream tests what was typed, and saves it if it works.
func (p *pages) createStream(w http.ResponseWriter, r *server.Request) error {
	form, err := p.formOf(r, r.PostForm.Get("kind"), nil)
	if err != nil {
		return err
	}
	return p.submitForm(w, r, form, func(spec stream.Spec) (string, error) {
		st, err := p.Streams.Create(r.Context(), r.Session.Organization, spec, p.who(r))
		if err != nil {
			return "", err
		}
		return streamPath(st) + "?done=created", nil
	})
}

// updateStream tests what was typed with the secrets there are, and saves it if
// it works.
func (p *pages) updateStream(w http.ResponseWriter, r *server.Request) error {
	st, err := p.streamOf(r)
	if err != nil {
		return err
	}
	form, err := p.formOf(r, st.Kind, st)
	if err != nil {
		return err
	}
	return p.submitForm(w, r, form, func(spec stream.Spec) (string, error) {
		_, err := p.Streams.Update(r.Context(), st.Organization, st.ID, p.who(r), func(s *stream.Spec) error {
			start := s.Start
			*s = spec
			s.Start = start
			return nil
		})
		return streamPath(st) + "?done=saved", err
	})
}

// submitForm does what the button that was pressed says. save saves what was
// typed and says where that leads.
func (p *pages) submitForm(w http.ResponseWriter, r *server.Request, f *streamForm, save func(stream.Spec) (string, error)) error {
	spec := f.read(r.PostForm)
	do := cmp.Or(r.PostForm.Get("do"), doSave)
	if name, ok := strings.CutPrefix(do, doGenerate); ok {
		clear(f.Faults) // nobody asked yet
		if s, known := f.Kind.Setting(name); known && s.Generate != nil {
			f.values[name], f.Generated = s.Generate(), name
		}
		p.fillForm(f, spec.Format, name)
		return p.showForm(w, r, f)
	}
	if len(f.Faults) > 0 {
		f.checkSettings()
		p.fillForm(f, spec.Format)
		return p.showForm(w, r, f)
	}
	again := func(err error) error {
		if !f.fault(err) {
			return err
		}
		f.checkSettings()
		p.fillForm(f, spec.Format)
		return p.showForm(w, r, f)
	}
	if do != doAnyway {
		result, err := p.Streams.Test(r.Context(), r.Session.Organization, f.ID, spec)
		if err != nil {
			return again(err)
		}
		if do == doTest || !result.OK {
			f.Test, f.Anyway = testViewOf(&result), do == doSave
			p.fillForm(f, spec.Format)
			return p.showForm(w, r, f)
		}
	}
	target, err := save(spec)
	if err != nil {
		return again(err)
	}
	p.lead(w, r, target)
	return nil
}

// read reads what was typed, and notes what cannot be read.
func (f *streamForm) read(form url.Values) stream.Spec {
	f.Name, f.Filter, f.Checkpoints = form.Get("name"), strings.TrimSpace(form.Get("filter")), form.Get("checkpoints") != ""
	f.EveryMinutes = strings.TrimSpace(form.Get("checkpoint_every_seconds"))
	f.Start, f.StartDate, f.LagMinutes = form.Get("start/kind"), form.Get("start/date"), strings.TrimSpace(form.Get("lag_limit_seconds"))
	for i := range f.Kind.Settings {
		s := &f.Kind.Settings[i]
		value := form.Get(fieldSettings + s.Name)
		if s.Multiline {
			value = strings.ReplaceAll(value, "\r\n", "\n")
		}
		_, kept := f.kept[s.Name]
		// A secret that is left empty stays as it is.
		if strings.TrimSpace(value) != "" || !s.Secret || kept && form.Get(fieldRemove+s.Name) != "" {
			f.values[s.Name] = value
		}
	}
	spec := stream.Spec{
		Name: f.Name, Kind: f.Kind.Name, Format: form.Get("format"), Filter: f.Filter, Checkpoints: f.Checkpoints,
		Settings: maps.Clone(f.values), Start: stream.Start{Kind: stream.StartKind(f.Start)},
	}
	if f.was != nil {
		spec.Start = f.was.Start
	} else if spec.Start.Kind == stream.StartDate {
		at, err := logview.ParseTime("/start/date", f.StartDate, f.zone)
		if err == nil && at.IsZero() {
			err = audit.FieldErrorf(audit.CodeInvalidRequest, "/start/date", "say from when on")
		}
		f.fault(err)
		spec.Start.Date = at
	}
	spec.LagLimit = f.minutes("lag_limit_seconds", f.LagMinutes)
	spec.CheckpointEvery = f.minutes("checkpoint_every_seconds", f.EveryMinutes)
	if _, err := audit.ParseQuery(f.Filter); err != nil {
		f.fault(err)
	}
	return spec
}

// checkSettings notes what is wrong with the settings when something else was
// found to be wrong first: people are told everything at once.
func (f *streamForm) checkSettings() {
	kind := *f.Kind
	if len(f.kept) > 0 {
		kind.Check = nil // it would miss the secrets that stay
	}
	_, err := kind.Resolve(f.values)
	var faults []*audit.Error
	if all, ok := errors.AsType[*audit.Error](err); ok {
		if faults = all.Errors; len(faults) == 0 {
			faults = []*audit.Error{all}
		}
	}
	for _, fault := range faults {
		name := strings.TrimPrefix(fault.Field, "/"+fieldSettings)
		_, kept := f.kept[name]
		_, named := f.values[name]
		if !kept || named {
			f.fault(fault)
		}
	}
}

// fault notes what is wrong at the field that an error names. It reports whether
// the person can do something about it.
func (f *streamForm) fault(err error) bool {
	fault := streamFault(err)
	if fault == nil || fault.Code == audit.CodeNotFound {
		return false
	}
	for _, each := range fault.Errors {
		f.fault(each)
	}
	if len(fault.Errors) > 0 {
		return true
	}
	field := strings.TrimPrefix(fault.Field, "/")
	if fault.Code == audit.CodeInvalidQuery && !strings.HasPrefix(field, "start") {
		field = "filter"
	}
	if !f.has(field) {
		field = ""
	}
	if f.Faults[field] == "" {
		f.Faults[field] = sentence(fault.Message)
	}
	return true
}

// has reports whether the form has a field.
func (f *streamForm) has(field string) bool {
	if name, ok := strings.CutPrefix(field, fieldSettings); ok {
		_, known := f.Kind.Setting(name)
		return known
	}
	switch field {
	case "name", "format", "filter", "start/date", "lag_limit_seconds":
		return true
	}
	return false
}

// FaultOf is what is wrong with a field; "" for nothing.
func (f *streamForm) FaultOf(field string) string { return f.Faults[field] }
