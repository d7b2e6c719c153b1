package logview

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/search"
)

// Names of parameters.
const (
	paramQuery  = "q"
	paramRange  = "range"
	paramFrom   = "from"
	paramTo     = "to"
	paramCursor = "cursor"
	paramZone   = "tz"
)

// View is what one address shows. Methods that change it return another View, on
// its first page.
type View struct {
	// Filter is the filter without bounds of occurred_at.
	Filter audit.Query
	// Typed is the text in the search box: Filter, or what was typed when that
	// cannot be read.
	Typed string
	// Range is the name of a preset, RangeAll or RangeCustom.
	Range string
	// From and To are the ends of RangeCustom; zero is open.
	From, To time.Time
	// TypedFrom and TypedTo are the ends of a custom range as a form shows
	// them: by the clocks of the zone, or what was typed when that cannot be
	// read.
	TypedFrom, TypedTo string
	// Place is where the page is; nil for the newest.
	Place *Place
	// Now is when the page was asked for.
	Now  time.Time
	Zone *time.Location
	// Path is what addresses begin with.
	Path string
	// Keep are parameters that every address carries on, such as tz.
	Keep url.Values
}

// Parse reads an address. What can be read is in the View even when there is an
// error, so that the page can show it. The error is an *audit.Error that names
// the parameter as its Field.
func Parse(path string, params url.Values, zone *time.Location, now time.Time) (View, error) {
	v := View{
		Typed: params.Get(paramQuery), Range: RangeDefault, Now: now, Zone: zone, Path: path, Keep: url.Values{},
	}
	for _, name := range []string{paramZone, "embed"} {
		if value := params.Get(name); value != "" {
			v.Keep.Set(name, value)
		}
	}
	if by, ok := ZoneNamed(params.Get(paramTyped)); ok {
		v.Typed = ByClocks(v.Typed, by, true)
	} else if zone != time.UTC {
		v.Typed = ByClocks(v.Typed, time.UTC, false) // so that the box says what it means
	}
	rangeErr := v.parseRange(params)
	filter, err := audit.ParseQuery(v.Typed)
	if err != nil {
		return v, named(paramQuery, err)
	}
	if rangeErr != nil {
		v.Filter = filter
		return v, rangeErr
	}
	if err := v.take(filter); err != nil {
		return v, err
	}
	return v, v.parsePlace(params.Get(paramCursor))
}

// named gives an error the name of the parameter that it is about.
func named(param string, err error) error {
	if e, ok := err.(*audit.Error); ok { //nolint:errorlint // package audit returns it bare
		return audit.FieldErrorf(e.Code, param, "%s", e.Message)
	}
	return err
}

// parseRange reads range, from and to.
func (v *View) parseRange(params url.Values) error {
	name := params.Get(paramRange)
	from, fromErr := ParseTime(paramFrom, params.Get(paramFrom), v.Zone)
	to, toErr := ParseTime(paramTo, params.Get(paramTo), v.Zone)
	bounded := params.Get(paramFrom) != "" || params.Get(paramTo) != ""
	v.TypedFrom, v.TypedTo = typedEnd(params.Get(paramFrom), from, v.Zone), typedEnd(params.Get(paramTo), to, v.Zone)
	switch _, preset := presetOf(name); {
	case preset, name == RangeAll:
		v.Range, v.TypedFrom, v.TypedTo = name, "", ""
		return nil
	case name == "" && !bounded:
		return nil
	case name != "" && name != RangeCustom:
		return audit.FieldErrorf(audit.CodeInvalidQuery, paramRange, "%q is not a range", shorten(name))
	case fromErr != nil:
		return fromErr
	case toErr != nil:
		return toErr
	}
	v.setBounds(from, to)
	return v.checkRange()
}

// typedEnd is an end as a form shows it.
func typedEnd(text string, at time.Time, zone *time.Location) string {
	if at.IsZero() {
		return text
	}
	return FormTime(at, zone)
}

// setBounds makes the range one of its own.
func (v *View) setBounds(from, to time.Time) {
	v.Range, v.From, v.To = RangeCustom, from, to
	v.TypedFrom, v.TypedTo = FormTime(from, v.Zone), FormTime(to, v.Zone)
}

// checkRange says whether a custom range can have an entry. One without ends is
// the whole log.
func (v *View) checkRange() error {
	if v.From.IsZero() && v.To.IsZero() {
		v.Range = RangeAll
	}
	if !v.From.IsZero() && !v.To.IsZero() && !v.From.Before(v.To) {
		return audit.FieldErrorf(audit.CodeInvalidQuery, paramTo, "the range ends before it begins")
	}
	return nil
}

// take puts a filter in the view. Bounds of occurred_at in it are a range: they
// narrow a custom one, and go before any other, because they were typed.
func (v *View) take(filter audit.Query) error {
	from, to := filter.OccurredFrom, filter.OccurredTo
	filter.OccurredFrom, filter.OccurredTo = time.Time{}, time.Time{}
	v.Filter = filter
	if from.IsZero() && to.IsZero() {
		return nil
	}
	v.Typed = filter.String()
	if v.Range == RangeCustom {
		if v.From.After(from) {
			from = v.From
		}
		if to.IsZero() || !v.To.IsZero() && v.To.Before(to) {
			to = v.To
		}
	}
	v.setBounds(from, to)
	return v.checkRange()
}

// Bounds are the ends of the range; zero is open. A preset is open at its end, so
// that an entry whose sender's clock is fast is not hidden.
func (v View) Bounds() (from, to time.Time) {
	p, ok := presetOf(v.Range)
	switch {
	case !ok:
		return v.From, v.To
	case v.Place != nil:
		return v.Place.From, time.Time{}
	default:
		return p.from(v.Now, v.Zone), time.Time{}
	}
}

// Query is everything that the view asks for.
func (v View) Query() audit.Query {
	q := v.Filter
	q.OccurredFrom, q.OccurredTo = v.Bounds()
	return q
}

// URL is the address of the view, its place included.
func (v View) URL() string { return v.Path + "?" + v.All().Encode() }

// All are the parameters of the address.
func (v View) All() url.Values {
	p := v.Params()
	if v.Place != nil {
		p.Set(paramCursor, v.Place.String())
	}
	return p
}

// Params are the parameters of the address without a place, for another page that
// is about the same events. The range is always there: a link should not change
// its meaning with the default.
func (v View) Params() url.Values {
	p := url.Values{}
	maps.Copy(p, v.Keep)
	if v.Typed != "" {
		p.Set(paramQuery, v.Typed)
	}
	p.Set(paramRange, v.Range)
	if v.Range == RangeCustom {
		setTime(p, paramFrom, v.From)
		setTime(p, paramTo, v.To)
	}
	return p
}

func setTime(p url.Values, name string, t time.Time) {
	if !t.IsZero() {
		p.Set(name, formatTime(t))
	}
}

// Param is one parameter, for a hidden field of a form.
type Param struct{ Name, Value string }

// Hidden are the parameters of the view that a form sends on, without those that
// it asks for itself.
func (v View) Hidden(without ...string) []Param {
	var out []Param
	for name, values := range v.Params() {
		if !slices.Contains(without, name) {
			out = append(out, Param{name, values[0]})
		}
	}
	slices.SortFunc(out, func(a, b Param) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// WithFilter is the view with another filter.
func (v View) WithFilter(q audit.Query) View {
	v.Filter, v.Typed, v.Place = q.Normalize(), q.String(), nil
	return v
}

// WithRange is the view with a preset or the whole log.
func (v View) WithRange(name string) View {
	v.Range, v.From, v.To, v.Place = name, time.Time{}, time.Time{}, nil
	return v
}

// WithBounds is the view with a range of its own.
func (v View) WithBounds(from, to time.Time) View {
	v.setBounds(from, to)
	v.Place = nil
	return v
}

// WithZone is the view with its times in another zone.
func (v View) WithZone(name string) View {
	keep := url.Values{}
	maps.Copy(keep, v.Keep)
	if name == "" {
		keep.Del(paramZone)
	} else {
		keep.Set(paramZone, name)
	}
	v.Keep = keep
	return v
}

// Newest is the view on its first page.
func (v View) Newest() View {
	v.Place = nil
	return v
}

// Filtered reports whether anything but the range narrows the view.
func (v View) Filtered() bool { return v.Filter.String() != "" }

// RangeLabel is the range in words.
func (v View) RangeLabel() string {
	if p, ok := presetOf(v.Range); ok {
		return p.Label
	}
	return Words(v.From, v.To, v.Zone)
}

// Axis is what the histogram of the view spans. A range that is open at its end
// goes up to the end of now's interval, or is an hour when it begins later. from
// is zero when the range is open at its beginning: that is where the events say.
func (v View) Axis() (from, to time.Time) {
	from, to = v.Bounds()
	if !to.IsZero() {
		return from, to
	}
	to = v.Now
	if from.After(to) {
		return from, from.Add(time.Hour)
	}
	if !from.IsZero() {
		_, to = v.Interval(from, to).Bucket(to)
	}
	return from, to
}

// Interval is that of a histogram from one time to another.
func (v View) Interval(from, to time.Time) search.Interval {
	if p, ok := presetOf(v.Range); ok {
		return interval(p.Interval, v.Zone)
	}
	return IntervalFor(from, to, v.Zone)
}

// Positive are the values that the filter wants a field to have, and the terms
// that say so in the filter language; both empty without.
func (v View) Positive(field audit.Field) (values []string, terms string) {
	for _, f := range v.Filter.Filters {
		if f.Field == field && !f.Not {
			return f.Values, audit.Query{Filters: []audit.Filter{f}}.String()
		}
	}
	return nil, ""
}

// WithoutField is what the view asks for, whatever values a field has.
func (v View) WithoutField(field audit.Field) audit.Query {
	q := v.Query().Normalize()
	q.Filters = slices.DeleteFunc(q.Filters, func(f audit.Filter) bool { return f.Field == field && !f.Not })
	return q
}

// Wider are the views with a longer range, the shortest first; the last is the
// whole log. A view of the whole log has none.
func (v View) Wider() []View {
	if v.Range == RangeAll {
		return nil
	}
	var out []View
	from, to := v.Bounds()
	for _, p := range Presets() {
		// Longer is what contains the range.
		if start := p.from(v.Now, v.Zone); !from.IsZero() && start.Before(from) && !to.After(v.Now) {
			out = append(out, v.WithRange(p.Name))
		}
	}
	return append(out, v.WithRange(RangeAll))
}
