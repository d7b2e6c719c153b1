package api

import (
	"errors"
	"net/http"
	"strconv"
	"time"
	_ "time/tzdata" // time zones, also on machines without them

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/server"
)

// defaultFacets is how many values of a field are counted when nothing is said.
const defaultFacets = 50

func (a *api) listEvents(w http.ResponseWriter, r *server.Request) error {
	p, query, err := parseFilters(r, "order", "limit", "cursor")
	if err != nil {
		return err
	}
	req := search.Request{Query: query}
	if req.Limit, err = p.limit(audit.DefaultQueryLimit); err != nil {
		return err
	}
	order, err := p.choice("order", "desc", "asc")
	if err != nil {
		return err
	}
	req.Ascending = order == "asc"
	if p.has("cursor") {
		if req.After, err = search.ParseCursor(p.text("cursor")); err != nil {
			return err
		}
	}
	page, err := a.Engine.Search(r.Context(), r.Org(), req)
	if err != nil {
		return err
	}
	return a.answer(w, func(b []byte) []byte { return appendPage(b, r.Org(), &page) })
}

// answer writes JSON that fn appends to a buffer which is used again.
func (a *api) answer(w http.ResponseWriter, fn func([]byte) []byte) error {
	buf, _ := a.answers.Get().(*[]byte)
	defer a.answers.Put(buf)
	*buf = fn((*buf)[:0])
	return writeBytes(w, http.StatusOK, jsonType, *buf)
}

func appendPage(b []byte, org string, page *search.Page) []byte {
	b = append(b, `{"entries":[`...)
	for i, e := range page.Entries {
		if i > 0 {
			b = append(b, ',')
		}
		b = e.AppendJSON(b, org)
	}
	b = append(b, `],"next":`...)
	b = appendText(b, page.Next.String())
	b = append(b, `,"has_more":`...)
	b = strconv.AppendBool(b, page.More)
	b = append(b, `,"complete_through":`...)
	b = appendPosition(b, page.Through)
	return append(b, '}')
}

func (a *api) getEvent(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	e, err := a.Ledger.Entry(r.Context(), r.Org(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return a.answer(w, func(b []byte) []byte { return e.AppendJSON(b, r.Org()) })
}

// histogramAnswer is the answer of the histogram.
type histogramAnswer struct {
	Interval        string         `json:"interval"`
	TimeZone        string         `json:"time_zone"`
	Buckets         []bucketAnswer `json:"buckets"`
	Total           uint64         `json:"total"`
	CompleteThrough *position      `json:"complete_through"`
}

type bucketAnswer struct {
	Start string `json:"start"` // with the offset of the time zone
	Count uint64 `json:"count"`
}

func (a *api) histogram(w http.ResponseWriter, r *server.Request) error {
	p, query, err := parseFilters(r, "interval", "time_zone")
	if err != nil {
		return err
	}
	zone, err := p.zone()
	if err != nil {
		return err
	}
	text := "day"
	if p.has("interval") {
		text = p.text("interval")
	}
	interval, err := search.ParseInterval(text, zone)
	if err != nil {
		return named("interval", err)
	}
	h, err := a.Engine.Histogram(r.Context(), r.Org(), query, interval)
	if err != nil {
		return err
	}
	out := histogramAnswer{
		Interval: interval.String(), TimeZone: zone.String(), Buckets: make([]bucketAnswer, len(h.Buckets)),
		Total: h.Total, CompleteThrough: positionOf(h.Through),
	}
	for i, b := range h.Buckets {
		out.Buckets[i] = bucketAnswer{Start: b.Start.In(zone).Format(time.RFC3339), Count: b.Count}
	}
	return server.WriteJSON(w, http.StatusOK, out)
}

// zone returns the time zone asked for, UTC when none is.
func (p params) zone() (*time.Location, error) {
	name := p.text("time_zone")
	if name == "" {
		return time.UTC, nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, audit.FieldErrorf(audit.CodeInvalidRequest, "time_zone", "must be the IANA name of a time zone, such as Europe/London")
	}
	return zone, nil
}

// facetsAnswer is the answer of the facets.
type facetsAnswer struct {
	Field           string        `json:"field"`
	Values          []facetAnswer `json:"values"`
	Distinct        int           `json:"distinct"`
	CompleteThrough *position     `json:"complete_through"`
}

type facetAnswer struct {
	Value string `json:"value"`
	Name  string `json:"name,omitempty"`
	Count uint64 `json:"count"`
}

func (a *api) facets(w http.ResponseWriter, r *server.Request) error {
	p, query, err := parseFilters(r, "field", "limit")
	if err != nil {
		return err
	}
	limit, err := p.limit(defaultFacets)
	if err != nil {
		return err
	}
	field, err := facetField(p.text("field"))
	if err != nil {
		return err
	}
	f, err := a.Engine.Facets(r.Context(), r.Org(), query, field, limit)
	if err != nil {
		return err
	}
	out := facetsAnswer{
		Field: string(field), Values: make([]facetAnswer, len(f.Values)),
		Distinct: f.Distinct, CompleteThrough: positionOf(f.Through),
	}
	for i, v := range f.Values {
		out.Values[i] = facetAnswer(v)
	}
	return server.WriteJSON(w, http.StatusOK, out)
}

// facetField reads a field whose values can be counted; free text has none.
func facetField(name string) (audit.Field, error) {
	if name == "" {
		return "", audit.FieldErrorf(audit.CodeInvalidRequest, "field", "is missing; name the field whose values to count, such as action or actor")
	}
	field, err := audit.ParseField(name)
	if err != nil {
		return "", named("field", err)
	}
	if field == audit.FieldText {
		return "", audit.FieldErrorf(audit.CodeInvalidRequest, "field", "is free text, whose values cannot be counted")
	}
	return field, nil
}

// named gives an error for the caller that names no field one.
func named(field string, err error) error {
	fault, ok := errors.AsType[*audit.Error](err)
	if !ok || fault.Field != "" {
		return err
	}
	at := *fault
	at.Field = field
	return &at
}
