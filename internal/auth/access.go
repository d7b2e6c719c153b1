package auth

import (
	"slices"
	"strings"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
)

// Access says who may use a route. The zero Access is none: a route with it
// cannot be registered. Every access with roles admits admins too.
type Access struct {
	kind    accessKind
	roles   []Role
	purpose Purpose
	log     logUse
	manages bool // of sessions: managers only
}

type accessKind uint8

const (
	accessNone accessKind = iota
	accessPublic
	accessSigned
	accessNeed
	accessShared
	accessScoped
	accessPerson
)

type logUse uint8

const (
	logUntouched logUse = iota
	logReads
	logWrites
	logShares
)

// Public needs no key.
func Public() Access { return Access{kind: accessPublic} }

// Signed needs no key but a URL signed for the purpose.
func Signed(p Purpose) Access { return Access{kind: accessSigned, purpose: p} }

// Need is for keys with one of the roles. When the pattern has {org}, the key
// must open that organization, which must exist; when it has none, the route is
// server-wide and keys limited to an organization are refused.
func Need(roles ...Role) Access { return Access{kind: accessNeed, roles: roles} }

// Shared is for keys with one of the roles, limited or not, on routes where
// nothing belongs to an organization, such as schemas.
func Shared(roles ...Role) Access { return Access{kind: accessShared, roles: roles} }

// Scoped is for keys with one of the roles on routes where the organization is
// not in the path but in the body, a parameter or the record asked for. The
// handler must ask (Request.AllowOrg or Request.Scope) before it answers; an
// answer without having asked is replaced by an internal error.
func Scoped(roles ...Role) Access { return Access{kind: accessScoped, roles: roles} }

// Person is for people with a session, on routes of the pages. The organization
// is the session's, never the URL's, and must be one whose log is shown.
func Person() Access { return Access{kind: accessPerson} }

// Managers is for people whose session lets them see and change settings.
func Managers() Access { return Access{kind: accessPerson, manages: true} }

// ReadsLog marks a route that shows what is in a log: refused with
// audit_log_inactive to keys limited to an inactive organization.
func (a Access) ReadsLog() Access { a.log = logReads; return a }

// WritesLog marks a route that takes events: refused with audit_log_disabled for
// a disabled organization.
func (a Access) WritesLog() Access { a.log = logWrites; return a }

// SharesLog marks a route that hands the log on (exports, portal links): refused
// with audit_log_inactive to everyone while the organization is inactive.
func (a Access) SharesLog() Access { a.log = logShares; return a }

// Valid says that the access was chosen, and completely.
func (a Access) Valid() bool {
	switch a.kind {
	case accessPublic, accessPerson:
		return true
	case accessSigned:
		return a.purpose != ""
	case accessNeed, accessShared, accessScoped:
		return len(a.roles) > 0 && !slices.ContainsFunc(a.roles, unknownRole)
	default:
		return false
	}
}

func unknownRole(r Role) bool { return r != RoleAdmin && r != RoleWriter && r != RoleReader }

// NeedsKey says that the route is for those with a key.
func (a Access) NeedsKey() bool {
	return a.kind == accessNeed || a.kind == accessShared || a.kind == accessScoped
}

// NeedsSession says that the route is for people with a session.
func (a Access) NeedsSession() bool { return a.kind == accessPerson }

// AllowSession says whether a session may use a route with this access: audit
// forbidden when not.
func (a Access) AllowSession(s *Session) error {
	if a.kind != accessPerson || s == nil {
		return noSession()
	}
	if a.manages && !s.Manager() {
		return audit.Errorf(audit.CodeForbidden, "this is for people who manage the audit log; your link lets you read it")
	}
	return nil
}

// ManagersOnly says that of people with a session only managers are admitted.
func (a Access) ManagersOnly() bool { return a.manages }

// Purpose is what a URL must be signed for; "" when it needs no signature.
func (a Access) Purpose() Purpose { return a.purpose }

// IsScoped says that the handler finds the organization itself.
func (a Access) IsScoped() bool { return a.kind == accessScoped }

// ChecksPath says that the organization in {org} is checked.
func (a Access) ChecksPath() bool { return a.kind == accessNeed }

// Roles are those that are admitted, with admin.
func (a Access) Roles() []Role {
	var out []Role
	for _, r := range []Role{RoleAdmin, RoleWriter, RoleReader} {
		if a.NeedsKey() && a.admits(r) {
			out = append(out, r)
		}
	}
	return out
}

func (a Access) admits(r Role) bool { return r == RoleAdmin || slices.Contains(a.roles, r) }

func (a Access) rolesText() string {
	var names []string
	for _, r := range a.Roles() {
		names = append(names, `"`+string(r)+`"`)
	}
	return strings.Join(names, " or ")
}

// CheckState says whether the organization's state lets the identity use a route
// with this access: audit_log_inactive or audit_log_disabled when not.
func (a Access) CheckState(i Identity, o *catalog.Organization) error {
	switch {
	case a.log == logWrites:
		return o.CheckWrite()
	case a.log == logShares, a.log == logReads && i.Limited():
		return o.CheckShow()
	}
	return nil
}

// String describes the access for tables and tests, such as "reader|admin".
func (a Access) String() string {
	switch a.kind {
	case accessPublic:
		return "public"
	case accessSigned:
		return "signed " + string(a.purpose)
	case accessPerson:
		if a.manages {
			return "session of a manager"
		}
		return "session"
	case accessNeed, accessShared, accessScoped:
		return a.rolesText()
	default:
		return "none"
	}
}
