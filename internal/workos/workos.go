// Package workos is the drop-in for the WorkOS Audit Logs API at the root path.
package workos

import (
	"net/http"
	"time"

	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/export"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/schema"
	"github.com/stelehq/stele/internal/server"
)

// Deps is what the routes work with.
type Deps struct {
	Ledger  *ledger.Ledger
	Catalog *catalog.Catalog
	Schemas *schema.Registry
	Exports *export.Exports
	Signer  *auth.Signer
	// PortalURL is the address under which a portal token opens the portal.
	PortalURL func(token string) string
	// PublicURL is how clients reach the server, without a slash at the end.
	PublicURL string
	Now       func() time.Time
}

// New makes the routes.
func New(d Deps) server.Surface {
	return server.Surface{
		Name:     "workos",
		Prefixes: []string{"/"},
		Errors: func(w http.ResponseWriter, _ *server.Request, f server.Failure) {
			w.WriteHeader(f.Status)
		},
	}
}
