package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// exportCmd writes entries to a file, through an export job of the server.
type exportCmd struct {
	remote
	queryArgs
	Format   string `help:"csv or jsonl." enum:"csv,jsonl" default:"csv"`
	Output   string `short:"o" help:"File to write; - is standard output." default:"-" placeholder:"FILE"`
	Formulas bool   `help:"Leave cells that a spreadsheet would run as a formula as they are."`
}

// exportJob is what the API says of an export.
type exportJob struct {
	ID       string `json:"id"`
	State    string `json:"state"`
	Rows     uint64 `json:"rows"`
	Total    uint64 `json:"total"`
	Error    string `json:"error"`
	Download struct {
		URL string `json:"url"`
	} `json:"download"`
}

// Run makes the export, waits for it and downloads it. The file appears whole
// or not at all.
func (c *exportCmd) Run(ctx context.Context, p *process) error {
	q, err := c.parse()
	if err != nil {
		return err
	}
	in := map[string]any{"format": c.Format, "query": q.String()}
	if c.Formulas {
		in["neutralize_formulas"] = false
	}
	var job exportJob
	path := orgPath(c.Org) + "/exports"
	if err := c.call(ctx, http.MethodPost, path, in, &job); err != nil {
		return err
	}
	if err := c.wait(ctx, p, path+"/"+job.ID, &job); err != nil {
		return err
	}
	if err := c.download(ctx, p, job.Download.URL); err != nil {
		return fmt.Errorf("download: %w", err)
	}
	fmt.Fprintf(p.stderr, "%d entries\n", job.Rows)
	return nil
}

// wait asks until the job has ended, and says now and then how far it is.
func (c *exportCmd) wait(ctx context.Context, p *process, path string, job *exportJob) error {
	progress := newProgress(p, "entries")
	defer progress.end()
	for pause := 20 * time.Millisecond; job.State != "ready"; pause = min(2*pause, time.Second) {
		if job.State != "pending" && job.State != "running" {
			return fmt.Errorf("the export ended as %s: %s", job.State, job.Error)
		}
		progress.show(job.Rows, job.Total)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		if err := c.call(ctx, http.MethodGet, path, nil, job); err != nil {
			return err
		}
	}
	return nil
}

func (c *exportCmd) download(ctx context.Context, p *process, link string) error {
	res, err := c.send(ctx, http.MethodGet, link, "", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // read to the end below
	if c.Output == "-" {
		_, err = io.Copy(p.stdout, res.Body)
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(c.Output), ".stele-export-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // renamed away when all went well
	n, err := io.Copy(f, res.Body)
	if err == nil && res.ContentLength >= 0 && n != res.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), c.Output)
}
