// Package erasure takes a person out of an organization's log: the details of
// every entry whose actor or target is the person go, the records stay, and every
// proof still holds.
package erasure

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/search"
)

// Config is what Open needs. Log, Store, KV, Logger and Now are required.
type Config struct {
	// Log takes details out and records that they were.
	Log Log
	// Store is where entries are looked for: those too that are past their time
	// and not removed yet, which the ledger shows to nobody.
	Store Store
	// KV keeps the records of erasures.
	KV catalog.KV
	// Keep says what legal holds keep; nil when there are none.
	Keep search.Keeper
	// Exports keeps files with entries; nil when there are none.
	Exports Exports
	// Forgetters keep something of people beside the log.
	Forgetters []Forgetter
	Logger     *slog.Logger
	Now        func() time.Time
}

// Log is the ledger.
type Log interface {
	Head(ctx context.Context, org string) (ledger.Head, error)
	Rewrite(ctx context.Context, r ledger.Rewrite) (ledger.Rewritten, error)
	Scrub(ctx context.Context) error
	Append(ctx context.Context, b *ledger.Batch) (ledger.Result, error)
}

// Store yields the entries whose bytes are there; see [ledger.Store].
type Store interface {
	Read(ctx context.Context, org string, from, to uint64) iter.Seq2[*event.Entry, error]
}

// Exports keeps files with entries.
type Exports interface {
	// CountFiles is how many files RemoveFiles would remove.
	CountFiles(ctx context.Context, org string) (int, error)
	// RemoveFiles removes the files of exports that an organization has, which
	// then say why, and lets exports that are being written start over. It
	// returns how many it removed.
	RemoveFiles(ctx context.Context, org, why string) (int, error)
}

// Person is who is erased.
type Person struct {
	Organization, ID string
	// Names are the names that the erased entries had for the person.
	Names []string
}

// Forgetter keeps something of people beside the log: sessions, the name of who
// made a record, texts of filters.
type Forgetter interface {
	// Forget removes what is kept of a person. Forgetting somebody who is
	// forgotten is no error: it is called more than once.
	Forget(ctx context.Context, p Person) error
}

// Erasures keeps and runs the erasures of every organization. Its methods may be
// called concurrently.
type Erasures struct {
	cfg Config
}

// Open takes up the erasures in the store that did not end.
func Open(_ context.Context, cfg Config) (*Erasures, error) {
	return &Erasures{cfg: cfg}, nil
}

// Close stops the erasure under way; the next Open goes on with it.
func (s *Erasures) Close() error { return nil }

// Preview says what an erasure would do now, and changes nothing. Errors:
// invalid_request naming the field.
func (s *Erasures) Preview(ctx context.Context, r Request) (Preview, error) {
	return Preview{}, errors.ErrUnsupported
}

// Create keeps an erasure and starts it in the background. The caller has
// checked that the organization exists. Errors: invalid_request naming the
// field, conflict when one of the same subject is under way.
func (s *Erasures) Create(ctx context.Context, r Request) (Record, error) {
	return Record{}, errors.ErrUnsupported
}

// Get returns an erasure; not_found when the organization has none of that id.
func (s *Erasures) Get(ctx context.Context, org, id string) (Record, error) {
	return Record{}, errors.ErrUnsupported
}

// List returns up to limit erasures of an organization, newest first, those
// after the one with id after ("" for the first page), and whether there are
// more.
func (s *Erasures) List(ctx context.Context, org, after string, limit int) (list []Record, more bool, err error) {
	return nil, false, errors.ErrUnsupported
}

// Wait returns an erasure once it has ended, or with ctx's error.
func (s *Erasures) Wait(ctx context.Context, org, id string) (Record, error) {
	return Record{}, errors.ErrUnsupported
}

// DropOrganization stops an organization's erasures and removes their records.
func (s *Erasures) DropOrganization(ctx context.Context, org string) error {
	return errors.ErrUnsupported
}
