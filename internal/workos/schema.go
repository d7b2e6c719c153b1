package workos

import (
	"cmp"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/schema"
	"github.com/stelehq/stele/internal/server"
)

// schemaView is a version of an action as WorkOS shows it: it has neither an id
// nor the name of its action.
type schemaView struct {
	Object    string       `json:"object"`
	Version   int          `json:"version"`
	Targets   []targetView `json:"targets"`
	Actor     *actorView   `json:"actor,omitempty"`
	Metadata  *objectView  `json:"metadata,omitempty"`
	CreatedAt string       `json:"created_at"`
}

type targetView struct {
	Type     string      `json:"type"`
	Metadata *objectView `json:"metadata,omitempty"`
}

type actorView struct {
	Metadata *objectView `json:"metadata"`
}

// objectView is the JSON Schema of a metadata object. Properties is always
// there: SDKs walk over it.
type objectView struct {
	Type       string              `json:"type"`
	Properties map[string]typeView `json:"properties"`
	Required   []string            `json:"required,omitempty"`
}

type typeView struct {
	Type string `json:"type"`
}

func viewSchema(s *schema.Schema) schemaView {
	v := schemaView{
		Object: "audit_log_schema", Version: s.Version, Targets: make([]targetView, len(s.Targets)),
		Metadata: viewObject(s.Metadata), CreatedAt: stamp(s.CreatedAt),
	}
	for i, t := range s.Targets {
		v.Targets[i] = targetView{Type: t.Type, Metadata: viewObject(t.Metadata)}
	}
	if s.Actor != nil {
		v.Actor = &actorView{Metadata: viewObject(s.Actor.Metadata)}
	}
	return v
}

func viewObject(p *schema.Property) *objectView {
	if p == nil {
		return nil
	}
	v := &objectView{Type: string(schema.TypeObject), Properties: make(map[string]typeView, len(p.Properties)), Required: p.Required}
	for name, property := range p.Properties {
		v.Properties[name] = typeView{Type: viewType(property.Type)}
	}
	return v
}

// viewType is a type as clients of WorkOS know it. They know no integers; arrays
// and objects, which only the native API can register, are shown as they are.
func viewType(t schema.Type) string {
	if t == schema.TypeInteger {
		t = schema.TypeNumber
	}
	return string(t)
}

// createSchema registers the next version of an action, also when it is equal to
// the last.
func (w *dropIn) createSchema(rw http.ResponseWriter, r *server.Request) error {
	f, err := readForm(r)
	if err != nil {
		return err
	}
	next := schema.Schema{Action: r.PathValue("action"), Targets: readTargets(f), Metadata: readObject(f, "metadata")}
	if actor, ok := f.object("actor"); ok {
		next.Actor = &schema.Actor{Metadata: readObject(actor, "metadata")}
	}
	if f.failed() {
		return unprocessable(*f.faults...)
	}
	registered, err := w.Schemas.Register(r.Context(), next)
	if wrong, ok := errors.AsType[*audit.Error](err); ok && server.StatusOf(wrong.Code) < http.StatusInternalServerError {
		return refuse(http.StatusUnprocessableEntity, wrong.Code, "%s", sentence(wrong))
	}
	if err != nil {
		return err
	}
	return answer(rw, http.StatusCreated, viewSchema(&registered))
}

func readTargets(f form) []schema.Target {
	forms, _ := f.objects("targets")
	if len(forms) == 0 && !f.failed() {
		f.fault(faultRequired, "targets", "must have at least one target")
	}
	targets := make([]schema.Target, len(forms))
	for i, t := range forms {
		targets[i] = schema.Target{Type: t.filled("type"), Metadata: readObject(t, "metadata")}
	}
	return targets
}

// readObject reads the JSON Schema of a metadata object: keys with one of three
// types, and which of them are required.
func readObject(f form, name string) *schema.Property {
	obj, ok := f.object(name)
	if !ok {
		return nil
	}
	if t := obj.text("type"); t != "" && t != string(schema.TypeObject) {
		obj.fault(faultValue, "type", `must be "object"`)
	}
	p := &schema.Property{Type: schema.TypeObject, Required: obj.texts("required")}
	properties, ok := obj.object("properties")
	if !ok {
		return p
	}
	p.Properties = make(map[string]*schema.Property, len(properties.members))
	for _, key := range sortedKeys(properties.members) {
		if property, ok := properties.requireObject(key); ok {
			p.Properties[key] = readType(property)
		}
	}
	return p
}

func readType(f form) *schema.Property {
	switch t := schema.Type(f.filled("type")); t {
	case schema.TypeString, schema.TypeNumber, schema.TypeBoolean:
		return &schema.Property{Type: t}
	case "":
	default:
		f.fault(faultValue, "type", "must be string, number or boolean")
	}
	return nil
}

// listSchemas lists the versions of an action. That there is no such action is a
// 404: clients ask in order to find out.
func (w *dropIn) listSchemas(rw http.ResponseWriter, r *server.Request) error {
	p, err := readPage(r)
	if err != nil {
		return err
	}
	versions := w.Schemas.Versions(r.PathValue("action"))
	if len(versions) == 0 {
		return notFound("Audit Log Action not found: '%s'.", short(r.PathValue("action")))
	}
	if p.descending {
		slices.Reverse(versions)
	}
	found, err := window(p, versions, func(s *schema.Schema) string { return "als_" + strconv.Itoa(s.Version) })
	if err != nil {
		return err
	}
	return answer(rw, http.StatusOK, viewList(found, viewSchema))
}

// viewList is a list of what is shown of the items of another.
func viewList[T, V any](l list[T], view func(T) V) list[V] {
	views := make([]V, len(l.Data))
	for i, item := range l.Data {
		views[i] = view(item)
	}
	return list[V]{Object: l.Object, Data: views, Metadata: l.Metadata}
}

// actionView is an action with its newest version.
type actionView struct {
	Object    string     `json:"object"`
	Name      string     `json:"name"`
	Schema    schemaView `json:"schema"`
	CreatedAt string     `json:"created_at"`
	UpdatedAt string     `json:"updated_at"`
}

// action is an action's first and newest version.
type action struct{ first, last *schema.Schema }

// cursor is opaque: actions have no id.
func (a action) cursor() string {
	return "ala_" + base64.RawURLEncoding.EncodeToString([]byte(a.first.Action))
}

func (a action) view() actionView {
	return actionView{
		Object: "audit_log_action", Name: a.last.Action, Schema: viewSchema(a.last),
		CreatedAt: stamp(a.first.CreatedAt), UpdatedAt: stamp(a.last.CreatedAt),
	}
}

func (w *dropIn) listActions(rw http.ResponseWriter, r *server.Request) error {
	p, err := readPage(r)
	if err != nil {
		return err
	}
	found, err := window(p, w.actions(p.descending), action.cursor)
	if err != nil {
		return err
	}
	return answer(rw, http.StatusOK, viewList(found, action.view))
}

// actions are all actions by the time that they were registered, those of one
// time by name.
func (w *dropIn) actions(descending bool) []action {
	names := w.Schemas.Actions()
	all := make([]action, 0, len(names))
	for _, name := range names {
		versions := w.Schemas.Versions(name)
		all = append(all, action{first: versions[0], last: versions[len(versions)-1]})
	}
	slices.SortFunc(all, func(a, b action) int {
		if descending {
			a, b = b, a
		}
		return cmp.Or(a.first.CreatedAt.Compare(b.first.CreatedAt), cmp.Compare(a.first.Action, b.first.Action))
	})
	return all
}
