package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/stelehq/stele/audit"
)

// remote are the flags of every command that talks to a server.
type remote struct {
	Server string `help:"Address of the server." default:"http://127.0.0.1:8420" env:"STELE_SERVER" placeholder:"URL"`
	APIKey string `name:"api-key" help:"API key; better set in the environment than on the command line." env:"STELE_API_KEY" placeholder:"KEY"`
	JSON   bool   `help:"Print JSON for programs instead of a table for people."`
}

// client returns the client of the server named, or says what is missing.
func (r *remote) client() (*audit.Client, error) {
	if r.APIKey == "" {
		return nil, &exitCodeError{exitUsage, errors.New("no API key: set STELE_API_KEY or --api-key")}
	}
	return audit.NewClient(r.Server, r.APIKey), nil
}

// printJSON writes one indented JSON document.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// printJSONLine writes one JSON document on a line of its own.
func printJSONLine(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table writes rows in aligned columns under a heading.
func table(w io.Writer, heading []string, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	writeRow(tw, heading)
	for _, row := range rows {
		writeRow(tw, row)
	}
	return tw.Flush()
}

func writeRow(w io.Writer, cells []string) {
	for i, cell := range cells {
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		fmt.Fprint(w, printable(cell))
	}
	fmt.Fprintln(w)
}

// printable replaces control characters: what products record must not steer
// the terminal of who reads it.
func printable(s string) string {
	clean := []rune(s)
	for i, r := range clean {
		if r < 0x20 || (r >= 0x7f && r < 0xa0) || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) {
			clean[i] = '\uFFFD'
		}
	}
	return string(clean)
}
