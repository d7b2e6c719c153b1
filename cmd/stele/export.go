package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/stelehq/stele/audit"
)

// exportCmd writes entries to a file, through an export job of the server.
type exportCmd struct {
	remote
	queryArgs
	Format     string `help:"csv, jsonl, or evidence: a zip of both with what proves them." enum:"csv,jsonl,evidence" default:"csv"`
	Output     string `short:"o" aliases:"out" help:"File to write; - is standard output." default:"-" placeholder:"FILE"`
	Formulas   bool   `help:"Leave cells that a spreadsheet would run as a formula as they are."`
	Checkpoint string `help:"For evidence: checkpoint kept from earlier, which the log is proved to extend." type:"existingfile" placeholder:"FILE"`
	Zone       string `help:"For evidence: IANA time zone that its manifest names; UTC when not given." placeholder:"ZONE"`
}

// Run makes the export, waits for it and downloads it. The file appears whole
// or not at all.
func (c *exportCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	q, err := c.parse()
	if err != nil {
		return err
	}
	opts := audit.ExportOptions{Format: c.Format, RawCells: c.Formulas, Zone: c.Zone}
	if c.Checkpoint != "" {
		older, err := os.ReadFile(c.Checkpoint)
		if err != nil {
			return err
		}
		opts.OlderCheckpoint = string(older)
	}
	job, err := client.CreateExport(ctx, c.Org, q, opts)
	if err != nil {
		return err
	}
	progress := newProgress(p, "entries")
	job, err = client.WaitExport(ctx, c.Org, job.ID, func(e *audit.Export) {
		total := uint64(0)
		if e.Total != nil {
			total = *e.Total
		}
		progress.show(e.Rows, total)
	})
	progress.end()
	if err != nil {
		return err
	}
	err = c.write(p.stdout, func(w io.Writer) error {
		_, err := client.DownloadExport(ctx, c.Org, job.ID, w)
		return err
	})
	if err != nil {
		return fmt.Errorf("download: %w", err)
	}
	fmt.Fprintf(p.stderr, "%d entries\n", job.Rows)
	if c.Format == audit.FormatEvidence && c.Output != "-" {
		fmt.Fprintf(p.stderr, "To verify it, without any server: stele verify %s, or open verify.html in it.\n", quoteArg(c.Output))
	}
	return nil
}

// quoteArg writes an argument as a shell takes it.
func quoteArg(arg string) string {
	if strings.Trim(arg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-+=:@%,") == "" && arg != "" {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}

// write lets fill write the output: to a file beside the one named, which takes
// its place once it is whole.
func (c *exportCmd) write(stdout io.Writer, fill func(io.Writer) error) error {
	if c.Output == "-" {
		return fill(stdout)
	}
	f, err := os.CreateTemp(filepath.Dir(c.Output), ".stele-export-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // renamed away when all went well
	if err := errors.Join(fill(f), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), c.Output)
}
