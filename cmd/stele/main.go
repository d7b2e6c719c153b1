// Command stele is the whole of Stele: the server, and the tools around it.
//
// Exit codes: 0 everything worked; 1 it did not, and the last line on standard
// error says why; 2 the command line or the environment is wrong; 3 a
// verification or check found something wrong with the log, or something missing
// at a stream's destination; 4 an import finished but some lines were refused.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	_ "time/tzdata" // histograms by local day, also where the system has no zones

	"github.com/alecthomas/kong"
)

// Exit codes, as documented in the package comment and docs/operations.md.
const (
	exitOK      = 0
	exitError   = 1
	exitUsage   = 2
	exitUnsound = 3
	exitRefused = 4
)

// exitCodeError carries an exit code other than exitError.
type exitCodeError struct {
	code int
	err  error
}

func (e *exitCodeError) Error() string { return e.err.Error() }
func (e *exitCodeError) Unwrap() error { return e.err }

// process is what a command has of the world around it.
type process struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	now            func() time.Time
}

// commands are all of them, in the order help shows.
type commands struct {
	Serve      serveCmd      `cmd:"" help:"Run the server."`
	Demo       demoCmd       `cmd:"" help:"Run a server on this machine with a believable year of events."`
	Import     importCmd     `cmd:"" help:"Record events from a file of JSON lines."`
	Search     searchCmd     `cmd:"" help:"Find entries."`
	Tail       tailCmd       `cmd:"" help:"Print entries as they are recorded."`
	Export     exportCmd     `cmd:"" help:"Write entries to a file: CSV, JSON lines, or evidence."`
	Verify     verifyCmd     `cmd:"" help:"Verify an evidence zip, a proof, a certificate, or a whole log."`
	Checkpoint checkpointCmd `cmd:"" help:"Show and watch the signed checkpoints of logs."`
	Check      checkCmd      `cmd:"" help:"Re-read a data directory and report everything wrong with it."`
	Org        orgCmd        `cmd:"" help:"Manage organizations."`
	Key        keyCmd        `cmd:"" help:"Manage API keys."`
	Schema     schemaCmd     `cmd:"" help:"Manage schemas of actions."`
	Stream     streamCmd     `cmd:"" help:"Manage log streams."`
	Erase      eraseCmd      `cmd:"" help:"Erase a person's details from an organization's log, after a dry run."`
	Erasures   erasuresCmd   `cmd:"" help:"List what was erased."`
	Retention  retentionCmd  `cmd:"" help:"Say how long entries are kept."`
	Hold       holdCmd       `cmd:"" help:"Manage legal holds."`
	Bench      benchCmd      `cmd:"" help:"Measure a server with a deterministic load."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Environ(), &process{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, now: time.Now,
	})
	stop()
	os.Exit(code)
}

// run is main without the process: tests call it.
func run(ctx context.Context, args, environ []string, p *process) int {
	var cmds commands
	exited := -1
	parser, err := kong.New(&cmds,
		kong.Name("stele"),
		kong.Description("An audit log for products that have customers."),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(p.stdout, p.stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(p),
	)
	if err != nil {
		panic(err) // the struct tags above are wrong
	}
	if err := checkEnvironment(parser.Model, environ); err != nil {
		fmt.Fprintln(p.stderr, "stele:", err)
		return exitUsage
	}
	kctx, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err != nil {
		fmt.Fprintf(p.stderr, "stele: %v\nRun \"stele --help\" for usage.\n", err)
		return exitUsage
	}
	if err := kctx.Run(); err != nil {
		fmt.Fprintln(p.stderr, "stele:", err)
		if coded, ok := errors.AsType[*exitCodeError](err); ok {
			return coded.code
		}
		return exitError
	}
	return exitOK
}

// checkEnvironment refuses STELE_ variables that no flag declares: a misspelt
// setting must not be silently without effect.
func checkEnvironment(app *kong.Application, environ []string) error {
	var known []string
	_ = kong.Visit(app, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			known = append(known, flag.Envs...)
		}
		return next(nil)
	})
	slices.Sort(known)
	known = slices.Compact(known)
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "STELE_") && !slices.Contains(known, name) {
			return fmt.Errorf("the environment variable %s is not known; those that are: %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}
