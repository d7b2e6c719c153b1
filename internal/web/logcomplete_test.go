package web_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/web"
)

// offer is what may come next, as scripts read it.
type offer struct {
	Start, End int
	Items      []struct {
		Insert, Text, Note, Group string
		Count                     *uint64
		More                      bool
	}
	Notes []string
}

func (v *visitor) offers(query string) offer {
	v.t.Helper()
	p := v.get(list + "/complete?" + query)
	if p.Code != http.StatusOK {
		v.t.Fatalf("status %d: %s", p.Code, p.text)
	}
	return decode[offer](v.t, p)
}

func (o offer) inserts() string {
	var out []string
	for _, i := range o.Items {
		out = append(out, i.Insert)
	}
	return strings.Join(out, " ")
}

// TestComplete: fields, actions, actors by name and by id, targets and keys, with
// counts in the range and under the rest of the filter.
func TestComplete(t *testing.T) {
	s := openSite(t)
	v := s.reader(t)
	s.record(t, "ours",
		s.happening("api_key.created", "Ada", "Report", time.Hour), s.happening("api_key.created", "Ada", "Plan", 2*time.Hour),
		s.happening("api_key.deleted", "Bob", "Report", 3*time.Hour), s.happening("document.read", "Bob", "Report", 20*24*time.Hour))
	for query, want := range map[string]string{
		"range=30d&q=act":                           "action: actor: actor.name: actor.type:",
		"range=30d&q=api":                           "action:api_key.created action:api_key.deleted action:api_key.*",
		"range=30d&q=action:api_key.c":              "action:api_key.created",
		"range=30d&q=-action:read":                  "-action:document.read",
		"range=7d&q=action:read":                    "",
		"range=30d&q=actor:ada":                     "actor.id:id_Ada",
		"range=30d&q=actor:":                        "actor.id:id_Ada actor.id:id_Bob actor.id:u_reader",
		"range=30d&q=action:api_key.created+actor:": "actor.id:id_Ada",
		"range=30d&q=ID_b":                          "actor.id:id_Bob",
		"range=30d&q=target:rep":                    "target.id:id_Report",
		"range=30d&q=team":                          "metadata.team:",
		"range=30d&q=metadata.team:":                "metadata.team:core",
		"range=30d&q=location:203":                  "location:203.0.113.7",
		"range=30d&q=nope:x":                        "",
		"range=30d&q=after:":                        "",
		"range=30d&q=%22open+quote":                 "",
		"range=30d&q=broken:%22+actor:":             "",
		"range=30d&field=actor.id&word=ada":         "id_Ada",
		"range=30d&field=action&word=api":           "api_key.created api_key.deleted api_key.*",
		"range=30d&field=text&word=api":             "",
	} {
		if got := v.offers(query).inserts(); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	o := v.offers("range=30d&q=" + url.QueryEscape("é𝛂 actor:ad rest") + "&at=11") // before " rest", in UTF-16 units
	if o.Start != 4 || o.End != 12 && o.End != 11 || len(o.Items) != 0 {
		t.Errorf("the term is from %d to %d: %s", o.Start, o.End, o.inserts())
	}
	o = v.offers("range=30d&q=actor:ada")
	if i := o.Items[0]; i.Text != "Ada" || i.Note != "id_Ada" || i.Group != "Actor" || *i.Count != 2 {
		t.Errorf("%+v", o.Items[0])
	}
	if o := v.offers("range=30d&q=" + strings.Repeat("x", 5000)); len(o.Items) != 0 {
		t.Errorf("a long text: %v", o)
	}
}

// TestCompleteIsBounded: what cannot be counted in time is said not to have been,
// and the answer comes.
func TestCompleteIsBounded(t *testing.T) {
	s := openSite(t)
	v := s.reader(t)
	late := func(ctx context.Context) error {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("no deadline")
		}
		<-ctx.Done()
		return ctx.Err()
	}
	s.engine.onCount.Store(&late)
	begin := time.Now()
	o := v.offers("q=actor:a")
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
	if len(o.Notes) != 1 || !strings.Contains(o.Notes[0], "Actor: not counted in time") {
		t.Errorf("notes %q", o.Notes)
	}
}

// TestCountingTakesTurns: a few of an organization are counted at once, the others
// wait and say so, and those of another organization do not.
func TestCountingTakesTurns(t *testing.T) {
	const most = 4
	s := openSite(t)
	v, other := s.reader(t), s.enter(t, "theirs", auth.PersonViewer, "u9", "Zed")
	s.record(t, "theirs", s.plainEvents("x.y", 3)...)
	ctx, cancel := context.WithCancel(t.Context())
	counting, all := make(chan struct{}), sync.WaitGroup{}
	hook := func(ctx context.Context) error {
		counting <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	s.engine.onCount.Store(&hook)
	for range most {
		all.Go(func() {
			v.ask(httptest.NewRequestWithContext(ctx, http.MethodGet, web.Base+"/audit-log/histogram", nil))
		})
	}
	for range most {
		<-counting
	}
	s.engine.onCount.Store(nil)
	if o := v.offers("q=actor:a"); len(o.Items) > 0 || len(o.Notes) != 1 || !strings.Contains(o.Notes[0], "others of your organization are counting") {
		t.Errorf("a fifth: %+v", o)
	}
	ended, end := context.WithTimeout(t.Context(), time.Millisecond)
	defer end()
	late := v.ask(httptest.NewRequestWithContext(ended, http.MethodGet, web.Base+"/audit-log/histogram", nil))
	late.want(t, http.StatusServiceUnavailable, "Counting takes longer than usual for this filter.")
	if o := other.offers("q=action:x"); len(o.Items) == 0 {
		t.Errorf("of another organization: %+v", o)
	}
	cancel()
	all.Wait()
	if o := v.offers("q=actor:u"); len(o.Items) == 0 {
		t.Errorf("once they are done: %+v", o)
	}
}

// TestCompleteRare: an actor is found by a part of the name, and by the whole id,
// however many others occur more often.
func TestCompleteRare(t *testing.T) {
	s := openSite(t)
	v := s.reader(t)
	var events []audit.Event
	for i := range 500 {
		events = append(events, s.happening("x.y", fmt.Sprintf("Person %03d", i%250), "one", time.Hour))
	}
	events = append(events, s.happening("x.y", "Zed the rare", "one", time.Hour))
	events[500].Actor.ID = "0042"
	s.record(t, "ours", events...)
	for query, want := range map[string]string{"q=actor:rare": "actor.id:0042", "q=actor:0042": "actor.id:0042", "field=actor.id&word=zed": "0042"} {
		if got := v.offers(query).inserts(); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	if got := v.offers("q=rare").inserts(); got != "actor.id:0042" {
		t.Errorf("a word: %s", got)
	}
}
