// Package api is the native JSON API of Stele under /v1: organizations, events,
// the log with its proofs, schemas, exports and keys. openapi.json beside this
// file is the contract; tests hold every route and every answer to it.
//
// Handlers decode, ask the package that knows, and write; errors go to the
// wrapper in package server, which answers with RFC 9457 problem documents.
package api

import (
	"log/slog"
	"time"

	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/export"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/schema"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/server"
)

// Deps is what the API works with. All fields but PublicURL are required.
type Deps struct {
	Ledger  *ledger.Ledger
	Engine  search.Engine
	Catalog *catalog.Catalog
	Auth    *auth.Authenticator
	Signer  *auth.Signer
	Schemas *schema.Registry
	Exports *export.Exports
	// PublicURL is where clients reach the server, such as
	// "https://audit.example.com", for links in answers. Empty means the
	// scheme and host of the request that asks.
	PublicURL string
	Logger    *slog.Logger
	Now       func() time.Time
}

// New returns the API's routes.
func New(d Deps) server.Surface {
	panic("unfinished")
}
