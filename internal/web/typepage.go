package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/schema"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/web/words"
)

const (
	// typesPath is the catalogue; each action is below it.
	typesPath = Base + "/event-types"
	// typeDays is how far back events are counted.
	typeDays = 90
	// typeCountTime bounds the work of counting for a page.
	typeCountTime = 2 * time.Second
	// typeCountLimit is how many actions are counted.
	typeCountLimit = 10_000
)

func (p *pages) typeRoutes() []server.Route {
	return []server.Route{
		get("page.types", "event-types", auth.Person(), p.listTypes),
		get("page.type", "event-types/{action}", auth.Person(), p.showType),
	}
}

// typesPage is what event-types.html shows.
type typesPage struct {
	Search string
	Groups []typeGroup
	// Shown are how many actions Groups have, Total how many there are.
	Shown, Total int
	// Counted says whether events were counted.
	Counted bool
	Days    int
}

// typeGroup is the actions on one noun, such as "API key".
type typeGroup struct {
	Noun  string
	Types []typeRow
}

// typeRow is one action of the catalogue.
type typeRow struct {
	Action, Path, Description string
	Versions                  int
	// Own says that this server records the action by itself; Unregistered,
	// that it occurs without anybody having said what it means.
	Own, Unregistered bool
	Count             uint64
	// LogURL is the list of the events that were counted.
	LogURL string
}

// listTypes lists every action that is known or occurs, by noun.
func (p *pages) listTypes(w http.ResponseWriter, r *server.Request) error {
	counts, counted := p.countBy(r, audit.Query{}, audit.FieldAction)
	page := typesPage{Search: strings.TrimSpace(r.URL.Query().Get("q")), Counted: counted, Days: typeDays}
	rows := p.typeRowsOf(counts)
	page.Total = len(rows)
	rows = slices.DeleteFunc(rows, func(t typeRow) bool { return !t.matches(page.Search) })
	page.Shown = len(rows)
	for _, row := range rows {
		noun, _, _ := strings.Cut(row.Action, ".")
		noun = words.Title(noun)
		if n := len(page.Groups); n == 0 || page.Groups[n-1].Noun != noun {
			page.Groups = append(page.Groups, typeGroup{Noun: noun})
		}
		g := &page.Groups[len(page.Groups)-1]
		g.Types = append(g.Types, row)
	}
	slices.SortStableFunc(page.Groups, func(a, b typeGroup) int { return strings.Compare(a.Noun, b.Noun) })
	return p.show(w, r, "event-types", view{
		Title: "Event types", Section: "event-types", Data: page, Scripts: []string{"js/filter.js"},
	})
}

// typeRowsOf is every action in the order of names.
func (p *pages) typeRowsOf(counts map[string]uint64) []typeRow {
	rows := map[string]*typeRow{}
	at := func(action string) *typeRow {
		if rows[action] == nil {
			rows[action] = &typeRow{Action: action, Path: typePath(action), Count: counts[action], LogURL: recentURL(action, 0)}
		}
		return rows[action]
	}
	for _, own := range ownActions() {
		row := at(own.Action)
		row.Own, row.Description, row.Versions = true, own.Description, 1
	}
	for _, action := range p.Schemas.Actions() {
		row, versions := at(action), p.Schemas.Versions(action)
		row.Versions = len(versions)
		row.Description = versions[len(versions)-1].Description
	}
	for action := range counts {
		row := at(action)
		row.Unregistered = row.Versions == 0
	}
	out := make([]typeRow, 0, len(rows))
	for _, row := range rows {
		out = append(out, *row)
	}
	slices.SortFunc(out, func(a, b typeRow) int { return strings.Compare(a.Action, b.Action) })
	return out
}

// matches says whether every word is in the action or its description, ignoring
// case. js/filter.js does the same.
func (t *typeRow) matches(words string) bool {
	text := strings.ToLower(t.Action + " " + t.Description)
	for word := range strings.FieldsSeq(strings.ToLower(words)) {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// countBy counts the events of the last days that match by the values of a
// field. It is false when that took too long: a catalogue without numbers is
// better than none.
func (p *pages) countBy(r *server.Request, q audit.Query, field audit.Field) (map[string]uint64, bool) {
	ctx, cancel := context.WithTimeout(r.Context(), typeCountTime)
	defer cancel()
	q.OccurredFrom = p.Now().UTC().AddDate(0, 0, -typeDays)
	facets, err := p.Engine.Facets(ctx, r.Session.Organization, q, field, typeCountLimit)
	if err != nil {
		return nil, false
	}
	return countsOf(facets), true
}

func countsOf(facets search.Facets) map[string]uint64 {
	counts := make(map[string]uint64, len(facets.Values))
	for _, v := range facets.Values {
		counts[v.Value] = v.Count
	}
	return counts
}

func typePath(action string) string { return typesPath + "/" + url.PathEscape(action) }

// recentURL is the list of an action's events in the last days, of one version
// if version is not 0.
func recentURL(action string, version int) string {
	q := ofAction(action)
	if version != 0 {
		q.Filters = append(q.Filters, audit.Filter{Field: audit.FieldVersion, Values: []string{strconv.Itoa(version)}})
	}
	params := url.Values{"q": {q.String()}, "range": {strconv.Itoa(typeDays) + "d"}}
	return Base + "/audit-log?" + params.Encode()
}

func ofAction(action string) audit.Query {
	return audit.Query{Filters: []audit.Filter{{Field: audit.FieldAction, Values: []string{action}}}}
}

// typePage is what event-type.html shows.
type typePage struct {
	typeRow
	Counted bool
	Days    int
	// Versions are the registered ones, newest first.
	Versions []typeVersion
	// Version is the one shown; nil when the action is not registered.
	Version *schema.Schema
	Fields  []fieldRow
	Example string
	// Compare is two versions side by side; nil when not asked for.
	Compare *typeCompare
	// CompareA and CompareB are what the form offers.
	CompareA, CompareB []option
}

// typeVersion is one version of an action.
type typeVersion struct {
	Number      int
	Path        string
	Description string
	CreatedAt   time.Time
	Count       uint64
	LogURL      string
	Shown       bool
	// Registered is false for a version that occurs and is not.
	Registered bool
}

// typeCompare is what changed between two versions.
type typeCompare struct {
	A, B    int
	Changes []typeChange
	Groups  []pairGroup
}

// typeChange is one change between two versions.
type typeChange struct {
	Message  string
	Breaking bool
}

// showType shows one action: what its events have, an example, and two versions
// side by side.
func (p *pages) showType(w http.ResponseWriter, r *server.Request) error {
	action, params := r.PathValue("action"), r.URL.Query()
	counts, counted := p.countBy(r, ofAction(action), audit.FieldVersion)
	page := typePage{typeRow: typeRow{Action: action, Path: typePath(action), LogURL: recentURL(action, 0)}, Counted: counted, Days: typeDays}
	for _, n := range counts {
		page.Count += n
	}
	versions := p.versionsOf(action)
	switch {
	case len(versions) > 0:
		page.typeRow.Versions = len(versions)
		page.Own = isOwn(action)
	case page.Count > 0:
		page.Unregistered = true
	case counted:
		return audit.Errorf(audit.CodeNotFound, "there is no event type %q", action)
	}
	if err := page.fill(versions, params, p.Now()); err != nil {
		return err
	}
	page.listVersions(versions, counts)
	return p.show(w, r, "event-type", view{
		Title: action, Section: "event-types", Data: page, Scripts: []string{"js/copy.js"},
	})
}

// versionsOf are the versions of an action, oldest first: those registered, or
// what this server says of its own.
func (p *pages) versionsOf(action string) []*schema.Schema {
	if versions := p.Schemas.Versions(action); len(versions) > 0 {
		return versions
	}
	for _, own := range ownActions() {
		if own.Action == action {
			return []*schema.Schema{own.schema()}
		}
	}
	return nil
}

func isOwn(action string) bool {
	return slices.ContainsFunc(ownActions(), func(o ownAction) bool { return o.Action == action })
}

// fill puts what a version says on the page, and what a comparison does.
func (t *typePage) fill(versions []*schema.Schema, params url.Values, now time.Time) error {
	if len(versions) == 0 {
		return nil
	}
	shown := versions[len(versions)-1]
	if text := params.Get("version"); text != "" {
		var err error
		if shown, err = versionAt(versions, text); err != nil {
			return err
		}
	}
	t.Version, t.Description, t.Fields = shown, shown.Description, fieldRows(shown)
	var err error
	if t.Example, err = exampleJSON(shown, now.UTC().Truncate(24*time.Hour)); err != nil {
		return err
	}
	return t.compare(versions, params.Get("a"), params.Get("b"))
}

// versionAt is a version by its number as text.
func versionAt(versions []*schema.Schema, text string) (*schema.Schema, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > len(versions) {
		return nil, audit.Errorf(audit.CodeNotFound, "there is no version %q; there are 1 to %d", text, len(versions))
	}
	return versions[n-1], nil
}

// compare puts two versions side by side: those asked for, or the form with the
// newest two.
func (t *typePage) compare(versions []*schema.Schema, a, b string) error {
	if len(versions) < 2 {
		return nil
	}
	first, second := len(versions)-1, len(versions)
	if a != "" || b != "" {
		from, err := versionAt(versions, a)
		if err != nil {
			return err
		}
		to, err := versionAt(versions, b)
		if err != nil {
			return err
		}
		t.Compare = compareVersions(from, to)
		first, second = from.Version, to.Version
	}
	for i := range versions {
		n := i + 1
		text := strconv.Itoa(n)
		t.CompareA = append(t.CompareA, option{text, "Version " + text, n == first})
		t.CompareB = append(t.CompareB, option{text, "Version " + text, n == second})
	}
	return nil
}

func compareVersions(a, b *schema.Schema) *typeCompare {
	out := &typeCompare{A: a.Version, B: b.Version, Groups: pairFields(fieldRows(a), fieldRows(b))}
	for _, c := range schema.Compare(a, b) {
		out.Changes = append(out.Changes, typeChange{Message: c.Message, Breaking: c.Breaking})
	}
	return out
}

// listVersions lists the registered versions and those that occur, newest first.
func (t *typePage) listVersions(versions []*schema.Schema, counts map[string]uint64) {
	for _, s := range versions {
		t.Versions = append(t.Versions, typeVersion{
			Number: s.Version, Description: s.Description, CreatedAt: s.CreatedAt, Registered: true,
			Path: t.Path + "?version=" + strconv.Itoa(s.Version), Shown: s == t.Version,
		})
	}
	for text := range counts {
		if n, err := strconv.Atoi(text); err == nil && n > len(versions) {
			t.Versions = append(t.Versions, typeVersion{Number: n})
		}
	}
	for i := range t.Versions {
		v := &t.Versions[i]
		v.Count, v.LogURL = counts[strconv.Itoa(v.Number)], recentURL(t.Action, v.Number)
	}
	slices.SortFunc(t.Versions, func(a, b typeVersion) int { return b.Number - a.Number })
}
