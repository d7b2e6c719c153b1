package app

import "github.com/stelehq/stele/internal/auth"

// Uncompressed makes files in which one can look for bytes.
func Uncompressed(c *Config) { c.uncompressed = true }

// Sessions are those of the pages.
func (a *App) Sessions() *auth.Sessions { return a.sessions }

// Signer signs links.
func (a *App) Signer() *auth.Signer { return a.signer }
