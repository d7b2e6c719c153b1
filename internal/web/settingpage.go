package web

import "github.com/stelehq/stele/internal/server"

func (p *pages) settingRoutes() []server.Route { return nil }
