package web

import "github.com/stelehq/stele/internal/server"

func (p *pages) entryRoutes() []server.Route { return nil }
