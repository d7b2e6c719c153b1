package api

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/schema"
	"github.com/stelehq/stele/internal/server"
)

const (
	// maxCatalogueBytes bounds a catalogue: some 10,000 schemas.
	maxCatalogueBytes = 8 << 20
	// defaultSchemas is enough for the whole catalogue of most products.
	defaultSchemas = audit.MaxQueryLimit
)

func (a *api) registerSchema(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	body, err := server.ReadBody(r, schema.MaxSchemaBytes)
	if err != nil {
		return err
	}
	s, err := schema.ParseSchema(body)
	if err != nil {
		return err
	}
	made, err := a.Schemas.Register(r.Context(), s)
	if err != nil {
		return err
	}
	return created(w, "/v1/schemas/"+url.PathEscape(made.Action)+"/"+strconv.Itoa(made.Version), schemaOf(&made))
}

// schemaAnswer is a schema in an answer.
type schemaAnswer struct {
	Action      string           `json:"action"`
	Version     int              `json:"version"`
	Description string           `json:"description,omitempty"`
	Targets     []schema.Target  `json:"targets"`
	Actor       *schema.Actor    `json:"actor,omitempty"`
	Metadata    *schema.Property `json:"metadata,omitempty"`
	CreatedAt   stamp            `json:"created_at"`
	Example     *audit.Event     `json:"example,omitempty"`
}

func schemaOf(s *schema.Schema) schemaAnswer {
	return schemaAnswer{
		Action: s.Action, Version: s.Version, Description: s.Description, Targets: slices.Concat([]schema.Target{}, s.Targets),
		Actor: s.Actor, Metadata: s.Metadata, CreatedAt: stamp(s.CreatedAt),
	}
}

func schemasOf(list []*schema.Schema) []schemaAnswer {
	out := make([]schemaAnswer, len(list))
	for i, s := range list {
		out[i] = schemaOf(s)
	}
	return out
}

// schemaList is one page of schemas.
type schemaList struct {
	Schemas []schemaAnswer `json:"schemas"`
	Next    *string        `json:"next"`
	HasMore bool           `json:"has_more"`
}

func (a *api) listSchemas(w http.ResponseWriter, r *server.Request) error {
	p, err := parseParams(r, "action", "versions", "limit", "cursor")
	if err != nil {
		return err
	}
	limit, err := p.limit(defaultSchemas)
	if err != nil {
		return err
	}
	versions, err := p.choice("versions", "latest", "all")
	if err != nil {
		return err
	}
	after, err := parseSchemaCursor(p.text("cursor"))
	if err != nil {
		return err
	}
	list := a.Schemas.All()
	list = slices.DeleteFunc(list, func(s *schema.Schema) bool {
		return !matchAction(p.text("action"), s.Action) || !after.before(s)
	})
	if versions == "latest" {
		list = latest(list)
	}
	more := len(list) > limit
	list = list[:min(len(list), limit)]
	out := schemaList{Schemas: schemasOf(list), HasMore: more}
	out.Next = next(more, func() string { return schemaCursor(list[limit-1].Ref()).String() })
	return server.WriteJSON(w, http.StatusOK, out)
}

// latest keeps the last version of each action of a sorted list.
func latest(list []*schema.Schema) []*schema.Schema {
	var out []*schema.Schema
	for i, s := range list {
		if i == len(list)-1 || list[i+1].Action != s.Action {
			out = append(out, s)
		}
	}
	return out
}

// matchAction reports whether an action is the one asked for or begins like it.
func matchAction(pattern, action string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(action, prefix)
	}
	return pattern == "" || pattern == action
}

// schemaCursor is where a page of schemas ended; the zero one is before all.
type schemaCursor schema.Ref

// before reports whether s is after the cursor.
func (c schemaCursor) before(s *schema.Schema) bool {
	return s.Action > c.Action || s.Action == c.Action && s.Version > c.Version
}

// String is the cursor for a URL.
func (c schemaCursor) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(c.Version) + " " + c.Action))
}

func parseSchemaCursor(text string) (schemaCursor, error) {
	if text == "" {
		return schemaCursor{}, nil
	}
	damaged := audit.FieldErrorf(audit.CodeInvalidCursor, "cursor", "is not a cursor of this list")
	b, err := base64.RawURLEncoding.DecodeString(text)
	version, action, ok := strings.Cut(string(b), " ")
	if err != nil || !ok {
		return schemaCursor{}, damaged
	}
	n, err := parseVersion("cursor", version)
	if err != nil {
		return schemaCursor{}, damaged
	}
	return schemaCursor{Action: action, Version: n}, nil
}

// versions returns every version of the action in the path; not_found when there
// is none.
func (a *api) versions(r *server.Request) ([]*schema.Schema, error) {
	action := r.PathValue("action")
	list := a.Schemas.Versions(action)
	if len(list) == 0 {
		return nil, audit.Errorf(audit.CodeNotFound, "action %q is not registered", action)
	}
	return list, nil
}

func (a *api) schemaVersions(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	list, err := a.versions(r)
	if err != nil {
		return err
	}
	return server.WriteJSON(w, http.StatusOK, struct {
		Action  string         `json:"action"`
		Schemas []schemaAnswer `json:"schemas"`
	}{list[0].Action, schemasOf(list)})
}

func (a *api) getSchema(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	version, err := parseVersion("version", r.PathValue("version"))
	if err != nil {
		return err
	}
	s, err := a.Schemas.Get(r.PathValue("action"), version)
	if err != nil {
		return err
	}
	out := schemaOf(s)
	example := schema.Example(s, a.Now().UTC().Truncate(time.Millisecond))
	out.Example = &example
	return server.WriteJSON(w, http.StatusOK, out)
}

func (a *api) compareSchemas(w http.ResponseWriter, r *server.Request) error {
	p, err := parseParams(r, "from", "to")
	if err != nil {
		return err
	}
	list, err := a.versions(r)
	if err != nil {
		return err
	}
	to, err := p.version("to", len(list))
	if err != nil {
		return err
	}
	from, err := p.version("from", max(1, to-1))
	if err != nil {
		return err
	}
	var pair [2]*schema.Schema
	for i, n := range [2]int{from, to} {
		if pair[i], err = a.Schemas.Get(list[0].Action, n); err != nil {
			return err
		}
	}
	changes := slices.Concat([]schema.Change{}, schema.Compare(pair[0], pair[1]))
	return server.WriteJSON(w, http.StatusOK, struct {
		Action   string          `json:"action"`
		From     int             `json:"from"`
		To       int             `json:"to"`
		Breaking bool            `json:"breaking"`
		Changes  []schema.Change `json:"changes"`
	}{list[0].Action, from, to, slices.ContainsFunc(changes, func(c schema.Change) bool { return c.Breaking }), changes})
}

// applyAnswer is what applying a catalogue did, or would do.
type applyAnswer struct {
	Applied    bool             `json:"applied"`
	Breaking   bool             `json:"breaking"`
	Registered int              `json:"registered"`
	Unchanged  int              `json:"unchanged"`
	Findings   []schema.Finding `json:"findings"`
}

func (a *api) applySchemas(w http.ResponseWriter, r *server.Request) error {
	p, err := parseParams(r, "dry_run")
	if err != nil {
		return err
	}
	dry, err := p.flag("dry_run")
	if err != nil {
		return err
	}
	body, err := server.ReadBody(r, maxCatalogueBytes)
	if err != nil {
		return err
	}
	c, err := schema.ParseCatalogue(body)
	if err != nil {
		return err
	}
	out := a.review(c)
	if !dry {
		report, err := a.Schemas.Apply(r.Context(), c)
		if err != nil {
			return err
		}
		out.Applied, out.Registered, out.Unchanged = true, len(report.Added), report.Unchanged
	}
	return server.WriteJSON(w, http.StatusOK, out)
}

// review says what applying a catalogue would do.
func (a *api) review(c *schema.Catalogue) applyAnswer {
	registered := a.Schemas.All()
	list := make([]schema.Schema, len(registered))
	for i, s := range registered {
		list[i] = *s
	}
	out := applyAnswer{Findings: []schema.Finding{}}
	for _, f := range schema.Review(list, c) {
		out.Breaking = out.Breaking || f.Breaking()
		switch f.Status {
		case schema.StatusUnchanged:
			out.Unchanged++
			continue
		case schema.StatusNew, schema.StatusNext:
			out.Registered++
		}
		out.Findings = append(out.Findings, f)
	}
	return out
}
