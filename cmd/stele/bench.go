package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/stelehq/stele/internal/workload"
)

// benchCmd measures a server over HTTP with the deterministic workload of
// package workload. Without --server it starts one of its own, in a process of
// its own, on a fresh directory, and removes it afterwards.
type benchCmd struct {
	Server        string `help:"Server to measure; one is started on a fresh directory when not given. It must not hold the benchmark's organizations yet." env:"STELE_SERVER" placeholder:"URL"`
	APIKey        string `name:"api-key" help:"Admin key of that server." env:"STELE_API_KEY" placeholder:"KEY"`
	Dir           string `help:"Where to put the events to send and, without --server, the data directory." type:"path" placeholder:"DIR"`
	Events        int    `help:"Events of the bulk load." default:"1000000"`
	Batch         int    `help:"Events a request of the bulk load." default:"1000"`
	Clients       int    `help:"Clients of the bulk load." default:"8"`
	Single        int    `help:"Events sent one a request." default:"60000"`
	SingleClients int    `help:"Clients that send them." default:"32"`
	Serial        int    `help:"Events sent one a request by one client alone." default:"3000"`
	Queries       int    `help:"Runs of each query." default:"50"`
	Export        bool   `help:"Also export everything as CSV and JSON lines." default:"true" negatable:""`
	Seed          uint64 `help:"Seed of the workload." default:"1"`
	JSON          bool   `help:"Print JSON instead of a table."`
}

// Run loads, queries and exports, and prints what it measured.
func (c *benchCmd) Run(ctx context.Context, p *process) error {
	target, err := c.target(ctx, p)
	if err != nil {
		return err
	}
	defer target.stop()
	b := &bench{benchCmd: c, target: target, out: p.stderr, report: benchReport{Events: c.Events, Version: version()}}
	if err := b.run(ctx); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(p.stdout, b.report)
	}
	return b.report.print(p.stdout)
}

// bench is one run.
type bench struct {
	*benchCmd
	target *benchTarget
	out    io.Writer // progress
	report benchReport
}

func (b *bench) run(ctx context.Context) error {
	steps := []struct {
		name string
		n    int
		do   func(context.Context) error
	}{
		{"organizations", 1, b.createOrganizations},
		{"bulk load", b.Events, b.bulk},
		{"single events", b.Single, b.singles},
		{"one client", b.Serial, b.serial},
		{"settle", 1, b.settle},
		{"queries", b.Queries, b.queries},
		{"export", boolToInt(b.Export), b.exports},
	}
	stop := b.target.watchMemory(ctx)
	defer stop()
	for _, s := range steps {
		if s.n == 0 {
			continue
		}
		began := time.Now()
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(b.out, "%s: %s\n", s.name, time.Since(began).Round(time.Millisecond))
	}
	b.report.PeakMemory = b.target.peakMemory()
	return nil
}

func (b *bench) createOrganizations(ctx context.Context) error {
	for i := range workload.Organizations {
		id := workload.Organization(i)
		body := fmt.Sprintf(`{"id":%q,"name":"Benchmark %d"}`, id, i)
		if _, err := b.target.do(ctx, "POST", "/v1/organizations", "application/json", []byte(body)); err != nil {
			return fmt.Errorf("create organization %s: %w", id, err)
		}
	}
	return nil
}

// settle waits until what the server does in the background after a load is
// done, so that what follows is measured alone, and notes the space used.
func (b *bench) settle(ctx context.Context) error {
	var err error
	b.report.DiskBytes, err = b.target.settledDisk(ctx)
	return err
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
