package web

import "github.com/stelehq/stele/internal/server"

func (p *pages) typeRoutes() []server.Route { return nil }
