package export

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/search"
)

// Config is what Open needs. Logger and Now are required too.
type Config struct {
	// Dir is where files are kept; it is made when missing. Nothing else may
	// write there.
	Dir string
	// KV keeps the jobs.
	KV catalog.KV
	// Engine finds the entries.
	Engine search.Engine
	// Log says where an organization's log stands. A *ledger.Ledger does.
	Log Log
	// Keep is how long a file is kept once ready; 7 days when zero.
	Keep time.Duration
	// Workers is how many jobs run at once; 2 when zero.
	Workers int
	Logger  *slog.Logger
	Now     func() time.Time
}

// Log says where an organization's log stands.
type Log interface {
	// Through returns the position of the newest entry, nil for an empty log.
	Through(ctx context.Context, org string) (*audit.Position, error)
}

// Exports keeps and runs the jobs of every organization. Its methods may be
// called concurrently.
type Exports struct{}

// Open takes over the jobs and files in the store: jobs that did not end start
// again, files that belong to no ready job are removed.
func Open(ctx context.Context, cfg Config) (*Exports, error) { panic("unfinished") }

// Close stops the workers and waits for them. Jobs they were at start again
// with the next Open.
func (x *Exports) Close() error { panic("unfinished") }

// Create starts a job. The caller has checked that the organization exists and
// may export. Errors: invalid_query, invalid_request, rate_limited.
func (x *Exports) Create(ctx context.Context, s Spec) (Job, error) { panic("unfinished") }

// Get returns a job. An empty org means that of any organization. not_found
// when there is none.
func (x *Exports) Get(ctx context.Context, org, id string) (Job, error) { panic("unfinished") }

// List returns up to limit jobs of an organization, newest first, those after
// the job with id after ("" for the first page), and whether there are more.
func (x *Exports) List(ctx context.Context, org, after string, limit int) (jobs []Job, more bool, err error) {
	panic("unfinished")
}

// File opens the file of a ready job; the caller closes it. Once open it can be
// read to its end, even when the job expires meanwhile. Errors: not_found, gone
// for an expired job, conflict for one that is not ready.
func (x *Exports) File(ctx context.Context, org, id string) (*os.File, Job, error) {
	panic("unfinished")
}

// Sign makes the path and query of a link which downloads a job's file without
// a key for LinkLife, and says until when.
func (x *Exports) Sign(j Job) (link string, until time.Time) { panic("unfinished") }

// Verify checks the parts of a link that Sign made, and returns the job's id.
// Errors: forbidden for a link that Sign did not make, gone for an old one.
func (x *Exports) Verify(file, expires, signature string) (id string, err error) { panic("unfinished") }

// DropOrganization stops an organization's jobs and removes them and their
// files.
func (x *Exports) DropOrganization(ctx context.Context, org string) error { panic("unfinished") }
