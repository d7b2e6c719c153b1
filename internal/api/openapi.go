package api

import (
	_ "embed"
	"net/http"

	"github.com/stelehq/stele/internal/server"
)

// openAPIDocument is the contract of this package.
//
//go:embed openapi.json
var openAPIDocument []byte

func openAPI(w http.ResponseWriter, _ *server.Request) error {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	_, err := w.Write(openAPIDocument)
	return err
}
