package web

import "github.com/stelehq/stele/internal/server"

func (p *pages) exportRoutes() []server.Route { return nil }
