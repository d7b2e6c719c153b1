package workos

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/server"
)

// organizationView is an organization as WorkOS shows it. Domains and Metadata
// are always there: SDKs walk over them.
type organizationView struct {
	Object                           string            `json:"object"`
	ID                               string            `json:"id"`
	Name                             string            `json:"name"`
	AllowProfilesOutsideOrganization bool              `json:"allow_profiles_outside_organization"`
	Domains                          []domainView      `json:"domains"`
	Metadata                         map[string]string `json:"metadata"`
	ExternalID                       *string           `json:"external_id"`
	CreatedAt                        string            `json:"created_at"`
	UpdatedAt                        string            `json:"updated_at"`
}

// domainView is a domain. Stele verifies none: the state is what the product
// says.
type domainView struct {
	Object               string  `json:"object"`
	ID                   string  `json:"id"`
	OrganizationID       string  `json:"organization_id"`
	Domain               string  `json:"domain"`
	State                string  `json:"state"`
	VerificationStrategy string  `json:"verification_strategy"`
	VerificationToken    *string `json:"verification_token"`
	VerificationPrefix   *string `json:"verification_prefix"`
	CreatedAt            string  `json:"created_at"`
	UpdatedAt            string  `json:"updated_at"`
}

func viewOrganization(o *catalog.Organization) organizationView {
	v := organizationView{
		Object: "organization", ID: o.ID, Name: o.Name,
		AllowProfilesOutsideOrganization: o.AllowProfilesOutsideOrganization,
		Domains:                          make([]domainView, len(o.Domains)), Metadata: o.Metadata, ExternalID: pointerTo(o.ExternalID),
		CreatedAt: stamp(o.CreatedAt), UpdatedAt: stamp(o.UpdatedAt),
	}
	if v.Metadata == nil {
		v.Metadata = map[string]string{}
	}
	for i, d := range o.Domains {
		v.Domains[i] = domainView{
			Object: "organization_domain", ID: d.ID, OrganizationID: o.ID, Domain: d.Domain, State: string(d.State),
			VerificationStrategy: "manual", CreatedAt: stamp(d.CreatedAt), UpdatedAt: stamp(d.UpdatedAt),
		}
	}
	return v
}

func (w *dropIn) createOrganization(rw http.ResponseWriter, r *server.Request) error {
	f, err := readForm(r)
	if err != nil {
		return err
	}
	name := f.filled("name")
	change := readOrganization(f)
	if f.failed() {
		return unprocessable(*f.faults...)
	}
	org := catalog.NewOrganization(name)
	change(&org)
	created, err := w.Catalog.CreateOrganization(r.Context(), org)
	if err != nil {
		return organizationFailure(err, &org)
	}
	return answer(rw, http.StatusCreated, viewOrganization(created))
}

func (w *dropIn) updateOrganization(rw http.ResponseWriter, r *server.Request) error {
	if err := serverWide(r); err != nil {
		return err
	}
	f, err := readForm(r)
	if err != nil {
		return err
	}
	name := f.text("name")
	change := readOrganization(f)
	if f.failed() {
		return unprocessable(*f.faults...)
	}
	var asked catalog.Organization
	updated, err := w.Catalog.UpdateOrganization(r.Context(), r.Org(), func(o *catalog.Organization) error {
		if name != "" {
			o.Name = name
		}
		change(o)
		asked = *o
		return nil
	})
	if err != nil {
		return organizationFailure(err, &asked)
	}
	return answer(rw, http.StatusOK, viewOrganization(updated))
}

// readOrganization reads what may be changed beside the name, and returns the
// change. What is absent stays as it is. Null is absent too, but takes away an
// external id or a key of metadata.
func readOrganization(f form) func(*catalog.Organization) {
	allow := f.flag("allow_profiles_outside_organization")
	domains, given := readDomains(f)
	externalID := f.text("external_id")
	metadata, removed := readMetadata(f)
	return func(o *catalog.Organization) {
		if allow != nil {
			o.AllowProfilesOutsideOrganization = *allow
		}
		if given {
			o.Domains = domains
		}
		if f.has("external_id") {
			o.ExternalID = externalID
		}
		if o.Metadata == nil {
			o.Metadata = metadata
			return
		}
		maps.Copy(o.Metadata, metadata)
		for _, key := range removed {
			delete(o.Metadata, key)
		}
	}
}

// readDomains reads domains in either form: names with a state, or the older
// names alone.
func readDomains(f form) (domains []catalog.Domain, given bool) {
	data, given := f.objects("domain_data")
	for _, d := range data {
		domains = append(domains, catalog.Domain{Domain: d.filled("domain"), State: catalog.DomainState(d.text("state"))})
	}
	if given {
		return domains, true
	}
	if f.raw("domains") == nil {
		return nil, false
	}
	for _, name := range f.texts("domains") {
		domains = append(domains, catalog.Domain{Domain: name, State: catalog.DomainPending})
	}
	return domains, true
}

// readMetadata reads keys with their new values, and the keys to be removed.
func readMetadata(f form) (set map[string]string, removed []string) {
	obj, _ := f.object("metadata")
	set = make(map[string]string, len(obj.members))
	for _, key := range sortedKeys(obj.members) {
		if obj.raw(key) == nil {
			removed = append(removed, key)
			continue
		}
		set[key] = obj.text(key)
	}
	return set, removed
}

// organizationFailure puts what the catalog refuses in WorkOS's words.
func organizationFailure(err error, o *catalog.Organization) error {
	wrong, ok := errors.AsType[*audit.Error](err)
	if !ok {
		return err
	}
	switch {
	case wrong.Code == audit.CodeConflict && wrong.Field == "/external_id":
		return refuse(http.StatusBadRequest, wrong.Code, "The external_id '%s' is already used by another organization.",
			short(o.ExternalID)).withCode("external_id_already_used")
	case wrong.Code == audit.CodeConflict:
		return refuse(http.StatusConflict, wrong.Code, "An Organization with the domain %s already exists.", takenDomain(wrong, o))
	case wrong.Code == audit.CodeInvalidRequest && strings.HasPrefix(wrong.Field, "/metadata"):
		return refuse(http.StatusBadRequest, wrong.Code, "%s", sentence(wrong)).withCode("invalid_metadata")
	case wrong.Code == audit.CodeInvalidRequest:
		return refuse(http.StatusUnprocessableEntity, wrong.Code, "%s", sentence(wrong))
	default:
		return err
	}
}

// takenDomain is the domain that an error of the catalog points at.
func takenDomain(wrong *audit.Error, o *catalog.Organization) string {
	for i, d := range o.Domains {
		if wrong.Field == domainField(i) {
			return d.Domain
		}
	}
	return wrong.Field
}

func domainField(i int) string { return "/domains/" + strconv.Itoa(i) + "/domain" }

// serverWide refuses keys limited to an organization: what the product sells is
// not for its customer to change.
func serverWide(r *server.Request) error {
	if r.Identity.Limited() {
		return refuse(http.StatusForbidden, audit.CodeForbidden, "This needs an admin key that is not limited to an organization.")
	}
	return nil
}

func (w *dropIn) getOrganization(rw http.ResponseWriter, r *server.Request) error {
	return answer(rw, http.StatusOK, viewOrganization(r.Organization))
}

// findOrganization finds an organization by the product's own id.
func (w *dropIn) findOrganization(rw http.ResponseWriter, r *server.Request) error {
	found, err := w.Catalog.OrganizationByExternalID(r.Context(), r.PathValue("external_id"))
	if err != nil {
		return err
	}
	org, err := r.AllowOrg(found.ID)
	if err != nil {
		return err
	}
	return answer(rw, http.StatusOK, viewOrganization(org))
}

func (w *dropIn) listOrganizations(rw http.ResponseWriter, r *server.Request) error {
	p, err := readPage(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	opts := catalog.ListOptions{
		Search: q.Get("search"), Domains: splitDomains(append(q["domains"], q["domains[]"]...)),
		After: p.after, Before: p.before, Limit: p.limit, Descending: p.descending,
	}
	if scope := r.Scope(); scope != "" {
		return listOwn(rw, r, scope, p, opts)
	}
	found, err := w.Catalog.Organizations(r.Context(), opts)
	if wrong, ok := errors.AsType[*audit.Error](err); ok && server.StatusOf(wrong.Code) < http.StatusInternalServerError {
		return refuse(http.StatusUnprocessableEntity, wrong.Code, "%s", sentence(wrong))
	}
	if err != nil {
		return err
	}
	return answer(rw, http.StatusOK, viewList(newList(p, found.Organizations, found.Before, found.After), viewOrganization))
}

// listOwn lists the only organization that the caller's key opens, if it is one
// of those asked for.
func listOwn(rw http.ResponseWriter, r *server.Request, scope string, p page, opts catalog.ListOptions) error {
	org, err := r.AllowOrg(scope)
	if err != nil {
		return err
	}
	var found []organizationView
	named := strings.Contains(strings.ToLower(org.Name), strings.ToLower(opts.Search))
	if named && (len(opts.Domains) == 0 || hasDomain(org, opts.Domains)) && p.after == "" && p.before == "" {
		found = append(found, viewOrganization(org))
	}
	return answer(rw, http.StatusOK, newList(p, found, "", ""))
}

func hasDomain(o *catalog.Organization, domains []string) bool {
	return slices.ContainsFunc(o.Domains, func(d catalog.Domain) bool {
		return slices.ContainsFunc(domains, func(name string) bool { return strings.EqualFold(name, d.Domain) })
	})
}

// splitDomains takes lists of domains apart: SDKs write a,b or repeat the
// parameter.
func splitDomains(values []string) []string {
	var domains []string
	for _, v := range values {
		for domain := range strings.SplitSeq(v, ",") {
			if domain != "" {
				domains = append(domains, domain)
			}
		}
	}
	return domains
}
