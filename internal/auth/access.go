package auth

// Access says who may use a route. The zero Access is none: a route with it
// cannot be registered. Every access with roles admits admins too.
type Access struct {
	kind    accessKind
	roles   []Role
	purpose Purpose
	log     logUse
}

type accessKind uint8

const (
	accessNone accessKind = iota
	accessPublic
	accessSigned
	accessNeed
	accessShared
	accessScoped
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

// ReadsLog marks a route that shows what is in a log: refused with
// audit_log_inactive to keys limited to an inactive organization.
func (a Access) ReadsLog() Access { a.log = logReads; return a }

// WritesLog marks a route that takes events: refused with audit_log_disabled for
// a disabled organization.
func (a Access) WritesLog() Access { a.log = logWrites; return a }

// SharesLog marks a route that hands the log on (exports, portal links): refused
// with audit_log_inactive to everyone while the organization is inactive.
func (a Access) SharesLog() Access { a.log = logShares; return a }
