package logview_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event/eventtest"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/search/searchtest"
	"github.com/stelehq/stele/internal/web/logview"
)

const path = "/log"

func at(t testing.TB, text string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// now is in summer time in Berlin.
func now(t testing.TB) time.Time { return at(t, "2026-07-15T10:20:30Z") }

func parse(t testing.TB, query string) (logview.View, error) {
	t.Helper()
	params, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return logview.Parse(path, params, zone(t, "Europe/Berlin"), now(t))
}

func mustParse(t testing.TB, query string) logview.View {
	t.Helper()
	v, err := parse(t, query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

// again is the view that its own address gives.
func again(t testing.TB, v logview.View) logview.View {
	t.Helper()
	p, query, ok := strings.Cut(v.URL(), "?")
	if !ok || p != path {
		t.Fatalf("address %s", v.URL())
	}
	return mustParse(t, query)
}

func TestParse(t *testing.T) {
	for _, tt := range []struct{ query, url, text, label string }{
		{"", "?range=30d", "after:2026-06-14T22:00:00Z", "Last 30 days"},
		{"range=24h", "?range=24h", "after:2026-07-14T10:00:00Z", "Last 24 hours"},
		{"range=7d", "?range=7d", "after:2026-07-08T10:00:00Z", "Last 7 days"},
		{"range=90d&utm=x", "?range=90d", "after:2026-04-15T22:00:00Z", "Last 90 days"},
		{"range=1y", "?range=1y", "after:2025-07-13T22:00:00Z", "Last year"}, // from a Monday
		{"range=all&q=+dev++action:a.b", "?q=+dev++action%3Aa.b&range=all", "action:a.b dev", "All time"},
		{"range=all&from=2026-01-01", "?range=all", "", "All time"},
		{
			"from=2026-03-01&to=2026-03-02T12:30", "?from=2026-02-28T23%3A00%3A00Z&range=custom&to=2026-03-02T11%3A30%3A00Z",
			"after:2026-02-28T23:00:00Z before:2026-03-02T11:30:00Z", "1 Mar 2026 – 2 Mar 2026, 12:30",
		},
		{"range=custom", "?range=all", "", "All time"},
		{"range=custom&from=2026-03-01T00:00:00Z", "?from=2026-03-01T00%3A00%3A00Z&range=custom", "after:2026-03-01", "Since 1 Mar 2026, 01:00"},
		{"range=custom&to=2026-03-01", "?range=custom&to=2026-02-28T23%3A00%3A00Z", "before:2026-02-28T23:00:00Z", "Before 1 Mar 2026"},
		{
			"range=custom&from=2026-03-01&to=2026-03-02", "?from=2026-02-28T23%3A00%3A00Z&range=custom&to=2026-03-01T23%3A00%3A00Z",
			"after:2026-02-28T23:00:00Z before:2026-03-01T23:00:00Z", "1 Mar 2026",
		},
		{
			"range=custom&from=2026-03-01T09:00&to=2026-03-01T10:30:15", "?from=2026-03-01T08%3A00%3A00Z&range=custom&to=2026-03-01T09%3A30%3A15Z",
			"after:2026-03-01T08:00:00Z before:2026-03-01T09:30:15Z", "1 Mar 2026, 09:00 – 10:30:15",
		},
		// What is typed goes before a preset and narrows a range of its own.
		{"range=30d&q=after:2025-01-01+x", "?from=2025-01-01T00%3A00%3A00Z&q=x&range=custom", "x after:2025-01-01", "Since 1 Jan 2025, 01:00"},
		{
			"from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z&q=after:2025-01-01+before:2026-01-15",
			"?from=2026-01-01T00%3A00%3A00Z&range=custom&to=2026-01-15T00%3A00%3A00Z", "after:2026-01-01 before:2026-01-15", "1 Jan 2026, 01:00 – 15 Jan 2026, 01:00",
		},
		{"range=all&q=received.after:2026-01-01&tz=UTC&embed=1", "?embed=1&q=received.after%3A2026-01-01T00%3A00%3A00Z&range=all&tz=UTC", "received.after:2026-01-01", "All time"},
	} {
		v, err := parse(t, tt.query)
		if err != nil {
			t.Errorf("%s: %v", tt.query, err)
			continue
		}
		if got := v.URL(); got != path+tt.url {
			t.Errorf("%s: address %s, want %s", tt.query, got, tt.url)
		}
		if got := v.Query().String(); got != tt.text {
			t.Errorf("%s: asks for %s, want %s", tt.query, got, tt.text)
		}
		if got := v.RangeLabel(); got != tt.label {
			t.Errorf("%s: range %q, want %q", tt.query, got, tt.label)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for query, field := range map[string]string{
		"q=nope:1&range=7d":                         "q",
		"q=%22open":                                 "q",
		"q=after:yesterday":                         "q",
		"range=5d":                                  "range",
		"range=custom&from=yesterday":               "from",
		"range=custom&to=1":                         "to",
		"from=1800-01-01":                           "from",
		"from=2026-03-02&to=2026-03-01":             "to",
		"from=2026-03-02&to=2026-03-02":             "to",
		"from=2026-03-01&q=before:2026-01-01":       "to",
		"cursor=x":                                  "cursor",
		"cursor=o1.AAAA":                            "cursor",
		"cursor=z1." + search.Cursor{}.String():     "cursor",
		"cursor=o-zzzz." + search.Cursor{}.String(): "cursor",
	} {
		v, err := parse(t, query)
		fault, ok := errors.AsType[*audit.Error](err)
		if !ok || fault.Field != field || fault.Message == "" {
			t.Errorf("%s: error %v, want one about %s", query, err, field)
		}
		// What was typed is kept.
		params, _ := url.ParseQuery(query)
		if q := params.Get("q"); v.Typed != q && v.Typed != "" {
			t.Errorf("%s: the box has %q", query, v.Typed)
		}
		if from := params.Get("from"); strings.HasPrefix(field, "f") && v.TypedFrom != from {
			t.Errorf("%s: the form has %q", query, v.TypedFrom)
		}
	}
	for query, want := range map[string]string{"range=30d&from=2026-01-01": "", "range=all&from=2026-01-01": "", "from=2026-01-01&to=soon": "2026-01-01T00:00"} {
		if v, _ := parse(t, query); v.TypedFrom != want {
			t.Errorf("%s: the form has %q, want %q", query, v.TypedFrom, want)
		}
	}
	if v, _ := parse(t, "q=nope:1&range=7d"); v.Typed != "nope:1" || v.Range != "7d" {
		t.Errorf("an unreadable filter: box %q, range %s", v.Typed, v.Range)
	}
}

// TestAddress: the address of a view means the view.
func TestAddress(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := audit.Entry{ID: "01ARYZ6S410000000000000000", ReceivedAt: now(t), Event: *eventtest.Events().Draw(rt, "event")}
		q := searchtest.Queries([]audit.Entry{e}).Draw(rt, "query")
		v := mustParse(t, "range=7d&tz=UTC&embed=1").WithFilter(q)
		v.Filter.OccurredFrom, v.Filter.OccurredTo = time.Time{}, time.Time{}
		v.Typed = v.Filter.String()
		switch rapid.IntRange(0, 2).Draw(rt, "range") {
		case 0:
			v = v.WithRange(rapid.SampledFrom([]string{"24h", "30d", "all"}).Draw(rt, "name"))
		case 1:
			from := now(t).Add(time.Duration(rapid.Int64Range(0, 1e15).Draw(rt, "from")))
			v = v.WithBounds(from, from.Add(time.Duration(rapid.Int64Range(1, 1e15).Draw(rt, "span"))))
		}
		got := again(t, v)
		if got.URL() != v.URL() || got.Query().String() != v.Query().String() || got.RangeLabel() != v.RangeLabel() {
			rt.Fatalf("%s\nis read as %s", v.URL(), got.URL())
		}
	})
}

// TestChips: a chip for each condition; without it, the rest is left; all of them
// removed, nothing is.
func TestChips(t *testing.T) {
	v := mustParse(t, "range=7d&q="+url.QueryEscape(
		`action:a.b action:c.* -actor:u1 target.name:"x y" metadata.team:core dev -test "two words" received.after:2026-01-01 received.before:2026-02-01`))
	var names, terms []string
	for _, c := range v.Chips() {
		names = append(names, c.Name())
		terms = append(terms, c.Terms)
		left := again(t, c.Without)
		if left.Range != "7d" || len(left.Chips()) != len(v.Chips())-1 {
			t.Errorf("without %s: %s", c.Name(), left.URL())
		}
		for _, other := range left.Chips() {
			if other.Name() == c.Name() {
				t.Errorf("%s cannot be removed", c.Name())
			}
		}
	}
	want := []string{
		"Event type is a.b or c.*", "Actor is not u1", "Target name contains x y", "metadata.team is core",
		"Text contains dev", "Text contains two words", "Text does not contain test",
		"Recorded since 1 Jan 2026, 01:00", "Recorded before 1 Feb 2026, 01:00",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	wantTerms := []string{
		"action:a.b action:c.*", "-actor.id:u1", `target.name:"x y"`, "metadata.team:core", "dev", `"two words"`, "-test",
		"received.after:2026-01-01", "received.before:2026-02-01",
	}
	if diff := cmp.Diff(wantTerms, terms); diff != "" {
		t.Error(diff)
	}
	for chips := v.Chips(); len(chips) > 0; chips = v.Chips() {
		v = chips[0].Without
	}
	if v.Filtered() || v.Typed != "" {
		t.Errorf("left is %q", v.Typed)
	}
}

func TestEdit(t *testing.T) {
	for _, tt := range []struct{ form, url string }{
		{"range=7d&field=actor&value=u1", "?q=actor.id%3Au1&range=7d"},
		{"range=7d&q=x&field=action&value=a.b&value=&value=c+d&cursor=", "?q=action%3Aa.b+action%3A%22c+d%22+x&range=7d"},
		// A chip that is edited, negated, emptied.
		{"range=7d&q=action:a+x&drop=action:a&field=action&value=b", "?q=action%3Ab+x&range=7d"},
		{"range=7d&q=action:a+x&drop=action:a&field=action&not=1&value=a", "?q=-action%3Aa+x&range=7d"},
		{"range=7d&q=action:a+x&drop=action:a&field=action&value=+", "?q=x&range=7d"},
		{"range=7d&q=received.after:2026-01-01+x&drop=received.after:2026-01-01&field=received.after&value=2026-02-01", "?q=x+received.after%3A2026-02-01T00%3A00%3A00%2B01%3A00&range=7d"},
		// Of a value, only the negated or the plain one goes.
		{"range=7d&q=action:b+-action:b&drop=-action:b", "?q=action%3Ab&range=7d"},
		{"range=7d&field=actor.id&value=u1&name=ada+", "?q=actor.id%3Au1+actor.name%3Aada&range=7d"},
		{"range=7d&field=target.id&value=&name=ada&not=1", "?q=-target.name%3Aada&range=7d"},
		{"range=7d&field=action&value=&name=ada", "?range=7d"},
		// Nonsense is shown in the box.
		{"range=7d&field=nope&value=1", "?q=nope%3A1&range=7d"},
		{"range=7d&field=version&value=first", "?q=version%3Afirst&range=7d"},
		// Clocks of the form's zone.
		{"range=custom&from=2026-03-01T09:00&to=&by=America/New_York", "?from=2026-03-01T14%3A00%3A00Z&range=custom"},
		{"range=custom&from=2026-03-01T09:00&to=&by=nowhere", "?from=2026-03-01T08%3A00%3A00Z&range=custom"},
		{"range=custom&from=&to=&by=UTC", "?range=all"},
	} {
		params, err := url.ParseQuery(tt.form)
		if err != nil {
			t.Fatal(err)
		}
		if !logview.IsEdit(params) {
			t.Errorf("%s: no edit", tt.form)
		}
		v, err := logview.Edit(path, params, zone(t, "Europe/Berlin"), now(t))
		if err != nil || v.URL() != path+tt.url {
			t.Errorf("%s: %s, error %v, want %s", tt.form, v.URL(), err, tt.url)
		}
	}
	if _, err := logview.Edit(path, url.Values{"range": {"custom"}, "from": {"soon"}, "by": {"UTC"}}, time.UTC, now(t)); err == nil {
		t.Error("a range that cannot be read is no error")
	}
	if logview.IsEdit(url.Values{"q": {"x"}, "from": {"2026-01-01T00:00:00Z"}}) {
		t.Error("an address is taken for a form")
	}
}

func TestWider(t *testing.T) {
	for query, want := range map[string]string{
		"range=24h":                     "7d 30d 90d 1y all",
		"range=90d":                     "1y all",
		"range=1y":                      "all",
		"range=all":                     "",
		"from=2026-07-01&to=2026-07-02": "30d 90d 1y all",
		"from=2020-07-01":               "all",
		"to=2020-07-01":                 "all",
		"from=2027-07-01&to=2028-01-01": "all",
	} {
		var names []string
		for _, w := range mustParse(t, query).Wider() {
			names = append(names, w.Range)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

func TestHidden(t *testing.T) {
	v := mustParse(t, "q=x&from=2026-01-01T00:00:00Z&tz=UTC&embed=1")
	want := []logview.Param{{"embed", "1"}, {"from", "2026-01-01T00:00:00Z"}, {"range", "custom"}, {"tz", "UTC"}}
	if diff := cmp.Diff(want, v.Hidden("q")); diff != "" {
		t.Error(diff)
	}
	if got := v.WithZone("").URL(); strings.Contains(got, "tz=") || !strings.Contains(v.URL(), "tz=UTC") {
		t.Errorf("without a zone: %s", got)
	}
	if got := v.TypedFrom; got != "2026-01-01T01:00" {
		t.Errorf("the form has %q", got)
	}
}

// TestTwice: a time that the clocks show twice says which of the two it is.
func TestTwice(t *testing.T) {
	york := zone(t, "America/New_York")
	for text, want := range map[string]string{
		"2026-11-01T04:59:59Z": "", "2026-11-01T05:00:00Z": "UTC-04:00 ", "2026-11-01T05:30:00Z": "UTC-04:00 ", "2026-11-01T05:59:59Z": "UTC-04:00 ",
		"2026-11-01T06:00:00Z": "UTC-05:00 ", "2026-11-01T06:30:00Z": "UTC-05:00 ", "2026-11-01T07:00:00Z": "",
		"2026-03-08T06:59:59Z": "", "2026-03-08T07:00:00Z": "", "2026-07-01T00:00:00Z": "",
	} {
		if got := logview.Offset(at(t, text), york); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if got := logview.Offset(at(t, "2026-11-01T05:30:00Z"), time.UTC); got != "" {
		t.Errorf("in UTC: %q", got)
	}
	first := logview.Words(at(t, "2026-11-01T05:30:00Z"), at(t, "2026-11-01T05:35:00Z"), york)
	second := logview.Words(at(t, "2026-11-01T06:30:00Z"), at(t, "2026-11-01T06:35:00Z"), york)
	if first == second || second != "1 Nov 2026, 01:30 UTC-05:00 – 01:35 UTC-05:00" {
		t.Errorf("%q and %q", first, second)
	}
}

// TestTypedDates: a date that is typed on a page is of the page's zone, and the
// address says so for everybody; one in an address is the language's, and the box
// says which.
func TestTypedDates(t *testing.T) {
	for _, tt := range []struct{ form, url string }{
		{"range=30d&typed=America/New_York&q=x+after:2026-11-01", "?from=2026-11-01T04%3A00%3A00Z&q=x&range=custom"},
		{"range=7d&typed=America/New_York&q=received.after:2026-11-02T10:00+x", "?q=received.after%3A2026-11-02T10%3A00%3A00-05%3A00+x&range=7d"},
		{"range=7d&typed=UTC&q=%22after:2026-11-02+x%22+received.after:2026-11-02Z", ""},
		{"range=7d&typed=America/New_York&q=%22after:2026-11-02+x%22", "?q=%22after%3A2026-11-02+x%22&range=7d"},
		{"range=7d&field=received.after&value=2026-11-02", "?q=received.after%3A2026-11-02T00%3A00%3A00%2B01%3A00&range=7d"},
		{"range=7d&field=after&value=2026-11-02", "?q=after%3A2026-11-02T00%3A00%3A00%2B01%3A00&range=7d"},
	} {
		params, err := url.ParseQuery(tt.form)
		if err != nil {
			t.Fatal(err)
		}
		v, err := logview.Edit(path, params, zone(t, "Europe/Berlin"), now(t))
		if tt.url == "" {
			if err == nil {
				t.Errorf("%s: no error", tt.form)
			}
			continue
		}
		if err != nil || v.URL() != path+tt.url {
			t.Errorf("%s: %s, error %v, want %s", tt.form, v.URL(), err, tt.url)
		}
	}
	v := mustParse(t, "range=7d&q=received.after:2026-01-01")
	if v.Typed != "received.after:2026-01-01T00:00:00Z" || v.Chips()[0].At != "2026-01-01T01:00:00+01:00" {
		t.Errorf("the box has %q, the chip %q", v.Typed, v.Chips()[0].At)
	}
}
