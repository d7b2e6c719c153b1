package web

import (
	"net/http"

	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/server"
)

func (p *pages) logRoutes() []server.Route {
	return []server.Route{get("log.list", "audit-log", auth.Person(), p.list)}
}

func (p *pages) list(w http.ResponseWriter, r *server.Request) error {
	return p.show(w, r, "audit-log", view{Title: "Audit log", Section: "audit-log"})
}
