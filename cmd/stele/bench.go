package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/stelehq/stele/internal/workload"
)

// benchCmd measures a server over HTTP with the deterministic workload of
// package workload. Without --server it starts one of its own, in a process of
// its own, on a fresh directory, and removes it afterwards; such a server is also
// stopped, killed and opened without HTTP.
type benchCmd struct {
	Server        string `help:"Server to measure; one is started on a fresh directory when not given. It must not hold the benchmark's organizations yet." env:"STELE_SERVER" placeholder:"URL"`
	APIKey        string `name:"api-key" help:"Admin key of that server." env:"STELE_API_KEY" placeholder:"KEY"`
	Dir           string `help:"Where to put the events to send and, without --server, the data directory." type:"path" placeholder:"DIR"`
	Keep          bool   `help:"Leave the data directory of the server that was started, and say where it is."`
	Store         string `help:"Only ask the questions and export in the store of this data directory, without a server. It must come from --keep, and no server may use it." type:"path" placeholder:"DIR"`
	Events        int    `help:"Events of the bulk load." default:"1000000"`
	Orgs          int    `help:"Small organizations, all alike, that share half of the events; 20 of different sizes when not given." placeholder:"N"`
	Batch         int    `help:"Events a request of the bulk load." default:"1000"`
	Clients       int    `help:"Clients of the bulk load." default:"8"`
	Single        int    `help:"Events sent one a request." default:"60000"`
	SingleClients int    `help:"Clients that send them." default:"32"`
	Serial        int    `help:"Events sent one a request by one client alone." default:"3000"`
	Queries       int    `help:"Runs of each question; fewer where they take more than 20 s." default:"200"`
	Cold          int    `help:"Runs of each question with everything dropped from memory before." default:"3"`
	Idle          int    `help:"Seconds to wait before the memory of the idle server is read. The store is at rest when it stood still for as long, or 12 seconds." default:"30"`
	Export        bool   `help:"Also export everything as CSV and JSON lines." default:"true" negatable:""`
	Seed          uint64 `help:"Seed of the workload." default:"1"`
	JSON          bool   `help:"Print JSON instead of a table."`
	Answers       string `help:"Write what each question found to this file, as JSON lines, to compare with another store." type:"path" placeholder:"FILE"`
	Gate          bool   `help:"Before each step print its name as \"next: NAME\" to standard error and wait for a line on standard input: for a program that has another store take turns."`
}

// Run loads, queries and exports, and prints what it measured.
func (c *benchCmd) Run(ctx context.Context, p *process) (err error) {
	b := &bench{benchCmd: c, out: p.stderr, in: bufio.NewReader(p.stdin), acks: newAcks(), now: p.now}
	b.report = benchReport{Events: c.Events, Version: version()}
	if err := b.openAnswers(); err != nil {
		return err
	}
	if c.Store != "" {
		err = b.steps(ctx, b.storeSteps(func() string { return c.Store }))
	} else {
		err = b.measureServer(ctx, p)
	}
	if err = errors.Join(err, b.closeAnswers()); err != nil {
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
	target  *benchTarget
	out     io.Writer     // progress
	in      *bufio.Reader // what opens the gate
	now     func() time.Time
	acks    *acks
	memory  *memoryWatch
	answers *answerFile
	report  benchReport
}

// benchStep is one step of a run. One with n = 0 is left out.
type benchStep struct {
	name string
	n    int
	do   func(context.Context) error
}

// measureServer runs everything against a server.
func (b *bench) measureServer(ctx context.Context, p *process) error {
	target, err := b.benchCmd.target(ctx, p)
	if err != nil {
		return err
	}
	defer target.stop()
	b.target = target
	b.memory = watchMemoryOf(ctx, target)
	defer b.memory.stop()
	own := boolToInt(target.child != nil)
	steps := []benchStep{
		{"schemas and organizations", 1, b.prepare},
		{"bulk load", b.Events, b.timedBulk},
		{"settle", 1, b.settle},
		{"single events", b.Single, b.singles},
		{"one client", b.Serial, b.serial},
		{"settle again", b.Single + b.Serial, b.settle},
		{"idle", b.Idle, b.idle},
		{"counts", 1, b.checkCounts},
		{"cold questions", b.Cold * own, b.coldQuestions},
		{"questions", b.Queries, b.questions},
		{"export", boolToInt(b.Export), b.exports},
		{"restarts", own, b.restarts},
	}
	if own == 1 {
		data := filepath.Join(target.dir, "data")
		defer b.keep(data)
		steps = append(steps, benchStep{"stop", 1, func(context.Context) error { return b.end() }})
		steps = append(steps, b.storeSteps(func() string { return data })...)
	}
	return b.steps(ctx, steps)
}

// steps takes the steps one after another.
func (b *bench) steps(ctx context.Context, steps []benchStep) error {
	for _, s := range steps {
		if s.n == 0 {
			continue
		}
		if err := b.gate(s.name); err != nil {
			return err
		}
		began := b.now()
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(b.out, "%s: %s\n", s.name, b.now().Sub(began).Round(time.Millisecond))
	}
	return nil
}

// gate waits for its turn.
func (b *bench) gate(name string) error {
	if !b.Gate {
		return nil
	}
	fmt.Fprintf(b.out, "next: %s\n", name)
	if _, err := b.in.ReadString('\n'); err != nil {
		return fmt.Errorf("wait for a line on standard input before %q: %w", name, err)
	}
	return nil
}

// keep leaves the data directory when asked to.
func (b *bench) keep(data string) {
	if b.Keep {
		b.target.dir = ""
		fmt.Fprintf(b.out, "kept: %s\n", data)
	}
}

// organizations is how many there are, the big one included.
func (c *benchCmd) organizations() int {
	if c.Orgs > 0 {
		return c.Orgs + 1
	}
	return workload.Organizations
}

// workload makes the events of a load.
func (c *benchCmd) workload(seed uint64, events int) *workload.Generator {
	if c.Orgs > 0 {
		return workload.NewSpread(seed, events, c.Orgs)
	}
	return workload.New(seed, events)
}

// prepare registers a schema of every action, so that each event is checked, and
// makes the organizations.
func (b *bench) prepare(ctx context.Context) error {
	if _, err := b.target.do(ctx, http.MethodPost, "/v1/schemas/apply", "application/json", workload.Catalogue()); err != nil {
		return fmt.Errorf("register schemas: %w", err)
	}
	b.report.Organizations = b.organizations()
	var next atomic.Int64
	_, _, err := parallel(ctx, b.Clients, func(ctx context.Context, _ *series) error {
		for {
			i := int(next.Add(1)) - 1
			if i >= b.organizations() {
				return nil
			}
			id := workload.Organization(i)
			body, err := json.Marshal(map[string]string{"id": id, "name": fmt.Sprintf("Benchmark %d", i)})
			if err != nil {
				return err
			}
			if _, err := b.target.do(ctx, http.MethodPost, "/v1/organizations", "application/json", body); err != nil {
				return fmt.Errorf("create organization %s: %w", id, err)
			}
		}
	})
	return err
}

// timedBulk is the bulk load with its pace and memory.
func (b *bench) timedBulk(ctx context.Context) error {
	b.memory.take(ctx)
	err := b.bulk(ctx)
	b.report.Pace = b.acks.pace()
	b.report.Memory.Loading = b.memory.take(ctx)
	return err
}

// idle notes what memory the server keeps when it has nothing to do.
func (b *bench) idle(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Duration(b.Idle) * time.Second):
	}
	b.report.Memory.Idle = b.memory.sample(ctx)
	return nil
}

// freshDir makes a directory for files of the run.
func (b *bench) freshDir() (string, error) { return os.MkdirTemp(b.Dir, "stele-bench-*") }

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
