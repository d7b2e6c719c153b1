package api

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event/eventtest"
	"github.com/stelehq/stele/internal/schema"
)

// page is an answer of the search.
type page struct {
	Entries         []audit.Entry   `json:"entries"`
	Next            string          `json:"next"`
	HasMore         bool            `json:"has_more"`
	CompleteThrough *audit.Position `json:"complete_through"`
}

func (h *host) search(query string) page {
	h.t.Helper()
	var p page
	h.get(events + "?" + query).want(200).into(&p)
	return p
}

// pages reads every page of a search.
func (h *host) pages(query string) []audit.Entry {
	h.t.Helper()
	var all []audit.Entry
	cursor := ""
	for {
		p := h.search(query + cursor)
		all = append(all, p.Entries...)
		if p.Next == "" {
			h.t.Fatalf("no cursor on a page of %s", query)
		}
		if !p.HasMore {
			return all
		}
		cursor = "&cursor=" + url.QueryEscape(p.Next)
	}
}

func seqs(entries []audit.Entry) []uint64 {
	out := []uint64{}
	for _, e := range entries {
		out = append(out, e.Seq)
	}
	return out
}

// exported makes an export and downloads its file, without a key.
func (h *host) exported(body string) string {
	h.t.Helper()
	j := h.export(body)
	res, err := http.Get(j.Download.URL)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		h.t.Fatalf("download: %d %v %.500s", res.StatusCode, err, data)
	}
	if int64(len(data)) != j.Bytes {
		h.t.Fatalf("%d bytes were downloaded, the export has %d", len(data), j.Bytes)
	}
	return string(data)
}

// exportJob is an export as answered.
type exportJob struct {
	ID       string `json:"id"`
	State    string `json:"state"`
	Rows     int    `json:"rows"`
	Bytes    int64  `json:"bytes"`
	Error    string `json:"error"`
	Format   string `json:"format"`
	Download struct {
		URL string `json:"url"`
	} `json:"download"`
}

// export makes an export and asks for it until it is ready.
func (h *host) export(body string) exportJob {
	h.t.Helper()
	var j exportJob
	location := h.call(http.MethodPost, "/v1/organizations/acme/exports", body).want(201).into(&j).header.Get("Location")
	for j.State == "pending" || j.State == "running" {
		h.get(location).want(200).into(&j)
	}
	if j.State != "ready" {
		h.t.Fatalf("export ended as %+v", j)
	}
	return j
}

// TestNothingIsLostOnTheWay records random nasty events and reads them back in
// every way there is.
func TestNothingIsLostOnTheWay(t *testing.T) {
	h := start(t, schema.ModeOpen)
	var recorded []*audit.Event
	rapid.Check(t, func(rt *rapid.T) {
		e := eventtest.Events().Draw(rt, "event")
		body := eventtest.JSON(e)
		if len(body) > audit.MaxEventBytes {
			return
		}
		got := h.append(string(body)).Entries[0]
		recorded = append(recorded, e)
		var entry audit.Entry
		h.get(events + "/" + got.ID).want(200).into(&entry)
		if diff := cmp.Diff(*e, entry.Event, cmpopts.EquateEmpty()); diff != "" {
			rt.Fatalf("recorded and got (-sent +got):\n%s", diff)
		}
	})
	bySeq := func(a, b audit.Entry) int { return int(a.Seq) - int(b.Seq) }
	same := func(how string, got []audit.Entry) {
		t.Helper()
		slices.SortFunc(got, bySeq)
		if len(got) != len(recorded) {
			t.Fatalf("%s: %d of %d", how, len(got), len(recorded))
		}
		for i, e := range got {
			if diff := cmp.Diff(*recorded[i], e.Event, cmpopts.EquateEmpty()); diff != "" || e.Seq != uint64(i) {
				t.Fatalf("%s, seq %d (-sent +got):\n%s", how, e.Seq, diff)
			}
		}
	}
	same("search", h.pages("limit=17"))
	same("search oldest first", h.pages("limit=1000&order=asc"))

	var lines []audit.Entry
	for line := range strings.Lines(h.exported(`{"format":"jsonl"}`)) {
		var e audit.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, e)
	}
	same("JSONL", lines)
	same("CSV", readExport(t, h.exported(`{"format":"csv","neutralize_formulas":false}`)))

	// By each id, name and location: whatever they hold, a filter finds it.
	for i, e := range recorded[:min(20, len(recorded))] {
		q := url.Values{"actor": {e.Actor.ID}, "actor.type": {e.Actor.Type}, "action": {strings.ReplaceAll(e.Action, "*", "")}}
		if e.Context.Location != "" {
			q.Set("location", e.Context.Location)
		}
		for _, target := range e.Targets {
			q.Set("target", target.ID)
		}
		if e.Action != q.Get("action") {
			continue
		}
		if !slices.Contains(seqs(h.pages("limit=1000&"+q.Encode())), uint64(i)) {
			t.Errorf("%s does not find entry %d", q.Encode(), i)
		}
	}
}

// readExport reads a CSV file back into entries, by the names of the columns.
func readExport(t *testing.T, file string) []audit.Entry {
	t.Helper()
	// encoding/csv turns CR LF in a cell into LF, so it is hidden from it.
	const crlf = "\ue000CRLF\ue001"
	if strings.Contains(file, crlf) {
		t.Fatal("the file has the mark in it")
	}
	var hidden strings.Builder
	quoted := false
	for i := 0; i < len(file); i++ {
		if file[i] == '"' {
			quoted = !quoted
		}
		if quoted && strings.HasPrefix(file[i:], "\r\n") {
			hidden.WriteString(crlf)
			i++
			continue
		}
		hidden.WriteByte(file[i])
	}
	rows, err := csv.NewReader(bufio.NewReader(strings.NewReader(hidden.String()))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out []audit.Entry
	for _, row := range rows[1:] {
		cell := func(column string) string {
			if i := slices.Index(rows[0], column); i >= 0 {
				return strings.ReplaceAll(row[i], crlf, "\r\n")
			}
			return ""
		}
		metadata := func(column string) audit.Metadata {
			var m audit.Metadata
			if text := cell(column); text != "" {
				if err := json.Unmarshal([]byte(text), &m); err != nil {
					t.Fatal(err)
				}
			}
			return m
		}
		party := func(who, n string) audit.Target {
			return audit.Target{
				ID: cell(who + "_id" + n), Type: cell(who + "_type" + n), Name: cell(who + "_name" + n), Metadata: metadata(who + "_metadata" + n),
			}
		}
		e := audit.Entry{ID: cell("id")}
		e.Action, e.Actor = cell("action"), audit.Actor(party("actor", ""))
		e.Context = audit.Context{Location: cell("context_location"), UserAgent: cell("context_user_agent")}
		e.Metadata = metadata("metadata")
		for n := 1; cell(fmt.Sprint("target_id_", n)) != ""; n++ {
			e.Targets = append(e.Targets, party("target", fmt.Sprint("_", n)))
		}
		_, err1 := fmt.Sscan(cell("seq"), &e.Seq)
		_, err2 := fmt.Sscan(cell("version"), &e.Version)
		var err3, err4 error
		e.OccurredAt, err3 = time.Parse(time.RFC3339, cell("occurred_at"))
		e.ReceivedAt, err4 = time.Parse(time.RFC3339, cell("received_at"))
		for _, err := range []error{err1, err2, err3, err4} {
			if err != nil {
				t.Fatal(err)
			}
		}
		out = append(out, e)
	}
	return out
}

// TestOneMoment pages through 10,000 events of one timestamp, among which are
// others from a year before.
func TestOneMoment(t *testing.T) {
	const n = 10_000
	h := start(t, schema.ModeOpen)
	h.append(strings.Repeat(minimal+"\n", n), withHeader("Content-Type", ndjson))
	old := strings.Replace(minimal, "2026-03-01", "2025-03-01", 1)
	h.append(old)
	want := []uint64{}
	for i := range uint64(n) {
		want = append(want, n-1-i)
	}
	want = append(want, n)
	if diff := cmp.Diff(want, seqs(h.pages("limit=999"))); diff != "" {
		t.Error(diff)
	}
	slices.Reverse(want)
	if diff := cmp.Diff(want, seqs(h.pages("limit=1000&order=asc"))); diff != "" {
		t.Error(diff)
	}
	// The late one is in the right place of time, and its own received_at.
	got := h.search("before=2026-01-01")
	if len(got.Entries) != 1 || got.Entries[0].Seq != n || got.Entries[0].ReceivedAt.Year() < 2026 {
		t.Errorf("before 2026: %+v", got)
	}
}

// TestCursorGoesOn asks again, at the end, for what was recorded meanwhile.
func TestCursorGoesOn(t *testing.T) {
	h := start(t, schema.ModeOpen)
	empty := h.search("order=asc")
	if empty.Next == "" || empty.HasMore || len(empty.Entries) > 0 || empty.CompleteThrough != nil {
		t.Errorf("an empty log: %+v", empty)
	}
	h.append("[" + minimal + "," + minimal + "]")
	first := h.search("order=asc&cursor=" + url.QueryEscape(empty.Next))
	if diff := cmp.Diff([]uint64{0, 1}, seqs(first.Entries)); diff != "" {
		t.Error(diff)
	}
	h.append(minimal)
	second := h.search("order=asc&cursor=" + url.QueryEscape(first.Next))
	if diff := cmp.Diff([]uint64{2}, seqs(second.Entries)); diff != "" || second.CompleteThrough.Seq != 2 {
		t.Error(diff, second.CompleteThrough)
	}
	for _, q := range []string{"cursor=nonsense", "cursor=", "cursor=" + first.Next, "order=asc&q=action:x&cursor=" + first.Next} {
		h.get(events+"?"+q).fails(400, "invalid_cursor")
	}
}

func TestSearchRefuses(t *testing.T) {
	h := start(t, schema.ModeOpen)
	for q, want := range map[string]struct{ code, field string }{
		"limit=0":                  {"invalid_request", "limit"},
		"limit=1001":               {"invalid_request", "limit"},
		"limit=x":                  {"invalid_request", "limit"},
		"limit=1&limit=2":          {"invalid_request", "limit"},
		"order=up":                 {"invalid_request", "order"},
		"actr=u1":                  {"invalid_request", "actr"},
		"q=actr:u1":                {"invalid_query", "q"},
		`q="open`:                  {"invalid_query", "q"},
		"after=yesterday":          {"invalid_query", "after"},
		"q=after:2026-13-01":       {"invalid_query", "q"},
		"a=%zz":                    {"invalid_request", ""},
		"interval=day":             {"invalid_request", "interval"},
		"metadata=x":               {"invalid_request", "metadata"},
		"-order=asc":               {"invalid_request", "-order"},
		"action=" + nBytes(20_000): {"invalid_query", "action"},
	} {
		if got := h.get(events+"?"+q).fails(400, want.code); got.Field != want.field {
			t.Errorf("%.60s: field %q, want %q: %s", q, got.Field, want.field, got.Detail)
		}
	}
	for _, path := range []string{"/v1/organizations/acme/histogram", "/v1/organizations/acme/facets?field=action", events + "/tail"} {
		sep := map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")]
		h.get(path+sep+"nonsense=1").fails(400, "invalid_request")
		h.get(path+sep+"q=nonsense:1").fails(400, "invalid_query")
	}
}

func nBytes(n int) string { return strings.Repeat("x", n) }

// TestFiltersAsParametersAndAsText asks the same in both ways.
func TestFiltersAsParametersAndAsText(t *testing.T) {
	h := start(t, schema.ModeOpen)
	for i := range 12 {
		h.append(fmt.Sprintf(`{"action":"api_key.%s","occurred_at":"2026-03-%02dT00:00:00Z",
			"actor":{"type":"user","id":"u %d/x","name":"Lisa %d"},
			"targets":[{"type":"api_key","id":"k%d","name":"dev key"}],
			"context":{"location":"10.0.0.%d"},"metadata":{"team":"t%d","deep":{"n":%d}}}`,
			[]string{"created", "deleted"}[i%2], i+1, i%3, i%3, i, i%4, i%2, i))
	}
	for _, tt := range []struct {
		params, text string
		want         []uint64
	}{
		{"", "", []uint64{11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0}},
		{"action=api_key.created&location=10.0.0.2", "action:api_key.created location:10.0.0.2", []uint64{10, 6, 2}},
		{"action=api_key.*&actor=u+1/x&actor=u+2/x&-location=10.0.0.1", `action:api_key.* actor:"u 1/x" actor:"u 2/x" -location:10.0.0.1`, []uint64{11, 10, 8, 7, 4, 2}},
		{"metadata.team=t1&after=2026-03-10", "metadata.team:t1 after:2026-03-10", []uint64{11, 9}},
		{"metadata.deep.n=7", "metadata.deep.n:7", []uint64{7}},
		{"after=2026-03-03&before=2026-03-05", "after:2026-03-03 before:2026-03-05", []uint64{3, 2}},
		{"text=DEV+KEY&target=k5", `"DEV KEY" target:k5`, []uint64{5}},
		{"actor.name=lisa+2&-target.id=k2", `actor.name:"lisa 2" -target.id:k2`, []uint64{11, 8, 5}},
	} {
		for how, q := range map[string]string{"parameters": tt.params, "text": "q=" + url.QueryEscape(tt.text)} {
			if diff := cmp.Diff(tt.want, seqs(h.search(q).Entries)); diff != "" {
				t.Errorf("%s as %s:\n%s", q, how, diff)
			}
		}
	}
}

func TestHistogram(t *testing.T) {
	h := start(t, schema.ModeOpen)
	for _, at := range []string{"2026-03-28T22:30:00Z", "2026-03-28T23:30:00Z", "2026-03-29T22:30:00Z", "2026-04-01T00:00:00Z"} {
		h.append(strings.Replace(minimal, aTime, at, 1))
	}
	var got struct {
		Interval string `json:"interval"`
		Zone     string `json:"time_zone"`
		Buckets  []struct {
			Start string `json:"start"`
			Count int    `json:"count"`
		} `json:"buckets"`
		Total   int             `json:"total"`
		Through *audit.Position `json:"complete_through"`
	}
	h.get("/v1/organizations/acme/histogram?interval=day&time_zone=Europe/Berlin").want(200).into(&got)
	var counts []string
	for _, b := range got.Buckets {
		counts = append(counts, fmt.Sprint(b.Start, " ", b.Count))
	}
	want := []string{
		"2026-03-28T00:00:00+01:00 1", "2026-03-29T00:00:00+01:00 1", "2026-03-30T00:00:00+02:00 1",
		"2026-03-31T00:00:00+02:00 0", "2026-04-01T00:00:00+02:00 1",
	}
	if diff := cmp.Diff(want, counts); diff != "" || got.Total != 4 || got.Through.Seq != 3 || got.Interval != "day" || got.Zone != "Europe/Berlin" {
		t.Errorf("%+v\n%s", got, diff)
	}
	h.get("/v1/organizations/acme/histogram?q=action:none").want(200).into(&got)
	if got.Total != 0 || len(got.Buckets) != 0 || got.Zone != "UTC" {
		t.Errorf("nothing found: %+v", got)
	}
	for q, field := range map[string]string{"interval=fortnight": "interval", "time_zone=Mars/Olympus": "time_zone", "time_zone=Local": "time_zone", "time_zone=../../etc/passwd": "time_zone"} {
		if got := h.get("/v1/organizations/acme/histogram?"+q).fails(400, "invalid_request"); got.Field != field {
			t.Errorf("%s: field %q", q, got.Field)
		}
	}
}

func TestFacets(t *testing.T) {
	h := start(t, schema.ModeOpen)
	for i := range 6 {
		h.append(eventWith(fmt.Sprintf(`"targets":[{"type":"team","id":"t%d","name":"Team %d"}]`, i%3/2, i)))
	}
	type value struct {
		Value, Name string
		Count       int
	}
	var got struct {
		Field    string
		Values   []value
		Distinct int
		Through  *audit.Position `json:"complete_through"`
	}
	h.get("/v1/organizations/acme/facets?field=target").want(200).into(&got)
	want := []value{{"t0", "Team 4", 4}, {"t1", "Team 5", 2}}
	if diff := cmp.Diff(want, got.Values); diff != "" || got.Distinct != 2 || got.Field != "target.id" || got.Through.Seq != 5 {
		t.Errorf("%+v\n%s", got, diff)
	}
	h.get("/v1/organizations/acme/facets?field=target&limit=1&q=target:t1").want(200).into(&got)
	if diff := cmp.Diff(want[1:], got.Values); diff != "" {
		t.Error(diff)
	}
	for _, q := range []string{"", "?field=", "?field=nonsense", "?field=text", "?field=received.after", "?field=action&limit=0"} {
		if got := h.get("/v1/organizations/acme/facets" + q); got.status != 400 {
			t.Errorf("%s: %d", q, got.status)
		}
	}
}

func TestEntryThatIsNotThere(t *testing.T) {
	h := start(t, schema.ModeOpen)
	id := h.append(minimal).Entries[0].ID
	other := strings.Map(func(r rune) rune {
		if r == '0' {
			return '1'
		}
		return r
	}, id)
	for _, bad := range []string{other, strings.ToLower(id), id[:25], id + "0", "nonsense", "%00", "..%2F" + id, "0"} {
		for _, suffix := range []string{"", "/proof"} {
			h.get(events+"/"+bad+suffix).fails(404, "not_found")
		}
	}
	h.get("/v1/organizations/never/events/"+id).fails(404, "not_found")
}
