package web

import (
	"net/netip"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/server"
)

// The actions that the pages themselves record.
const (
	actionOpened           = "audit_log.opened"
	actionExported         = "audit_log.exported"
	actionExportDownloaded = "audit_log.export_downloaded"
	actionRetentionChanged = "audit_log.retention_changed"
)

// ownAction describes an action that this server records by itself, for the
// catalogue: products register no schemas for these.
type ownAction struct {
	Action, Description string
}

// ownActions are all of them.
func ownActions() []ownAction {
	return []ownAction{
		{actionOpened, "Someone looked at the audit log. Recorded at most once an hour for each person."},
		{actionExported, "Someone asked for an export of the audit log."},
		{actionExportDownloaded, "Someone downloaded the file of an export."},
		{actionRetentionChanged, "Someone changed how long entries are kept."},
	}
}

// personEvent is an event of what the person of a session does now: with the
// person as actor, from where they are.
func (p *pages) personEvent(r *server.Request, action string) audit.Event {
	s := r.Session
	e := audit.Event{
		Action: action, Version: 1, OccurredAt: p.Now().UTC(),
		Actor:   audit.Actor{Type: "user", ID: s.PersonID, Name: s.PersonName},
		Context: audit.Context{Location: clientAddress(r), UserAgent: r.UserAgent()},
	}
	if s.PersonID == "" { // the product did not say who it is
		e.Actor.Type, e.Actor.ID = "portal", s.ID
	}
	return e
}

// clientAddress is where a request comes from.
func clientAddress(r *server.Request) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return at.Addr().Unmap().WithZone("").String()
}
