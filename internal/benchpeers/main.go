package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// options are the size of a run.
type options struct {
	events, batch, clients        int
	single, singleClients, serial int
	queries, cold, idle           int
	seed                          uint64
	dir                           string // for everything that is written; "" is the system's
	root                          string // of the repository
	stele                         string // the program; built from root when ""
	limit                         time.Duration
	asJSON                        bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		_, _ = fmt.Fprintln(os.Stderr, "benchpeers:", err)
		os.Exit(1) //nolint:forbidigo // main
	}
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	o := options{}
	flags := flag.NewFlagSet("benchpeers", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.IntVar(&o.events, "events", 1_000_000, "events of the bulk load")
	flags.IntVar(&o.batch, "batch", 1000, "events a request and a transaction of the bulk load")
	flags.IntVar(&o.clients, "clients", 8, "clients of the bulk load")
	flags.IntVar(&o.single, "single", 60_000, "events recorded one by one")
	flags.IntVar(&o.singleClients, "single-clients", 32, "clients that record them")
	flags.IntVar(&o.serial, "serial", 3000, "events recorded one by one by one client")
	flags.IntVar(&o.queries, "queries", 200, "runs of each question, fewer where they take more than 20 s")
	flags.IntVar(&o.cold, "cold", 3, "runs of each question in Stele with everything dropped from memory before")
	flags.IntVar(&o.idle, "idle", 30, "seconds to wait before Stele's idle memory is read")
	flags.Uint64Var(&o.seed, "seed", 1, "seed of the workload")
	flags.StringVar(&o.dir, "dir", "", "where to put what is written; the user postgres must be able to enter it")
	flags.StringVar(&o.root, "root", "../..", "the repository, to build Stele from")
	flags.StringVar(&o.stele, "stele", "", "the program to measure, instead of building it")
	flags.DurationVar(&o.limit, "limit", 2*time.Hour, "longest time that the run may take")
	flags.BoolVar(&o.asJSON, "json", false, "print JSON instead of a table")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q is no flag; see --help", flags.Arg(0))
	}
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	r, err := compare(ctx, o, time.Now, progress) //nolint:forbidigo // the program's clock
	if err != nil {
		return err
	}
	if o.asJSON {
		return r.writeJSON(out)
	}
	return r.print(out)
}
