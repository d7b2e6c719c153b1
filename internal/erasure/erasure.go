// Package erasure takes a person out of an organization's log: the details of
// every entry whose actor or target is the person go, the records stay, and every
// proof still holds. What the server keeps of the person beside the log goes too.
//
// An erasure is a record in the catalog store, and a worker takes it through its
// steps (see [Step]). Each step can be done again: an erasure that a stopped
// server left goes on with the step it was at, on the next start and without
// help. It ends with one entry in the log, subject.erased, and no more than one.
//
// Entries are found by the store's own search, so that what has nothing of the
// person is not read, in all that the store has of the log: those that are past
// their time and hidden are among them; what a legal hold keeps is left as it is
// and counted. Entries that are recorded while the erasure runs are found too,
// until a pass over the log finds none.
package erasure

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/stelehq/stele/audit"
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
	// Steady holds back changes of an organization's holds until release is
	// called, so that a hold which is made while entries are erased is in force
	// either before or after. Nil when there are none.
	Steady func(org string) (release func())
	// Exports keeps files with entries; nil when there are none.
	Exports Exports
	// Forgetters keep something of people beside the log.
	Forgetters []Forgetter
	// Mentioners keep texts that people wrote, which may name somebody.
	Mentioners []Mentioner
	Logger     *slog.Logger
	Now        func() time.Time

	retry time.Duration // pause after a fault, retryEvery unless a test says otherwise
}

// Log is the ledger.
type Log interface {
	Head(ctx context.Context, org string) (ledger.Head, error)
	Rewrite(ctx context.Context, r ledger.Rewrite) (ledger.Rewritten, error)
	Scrub(ctx context.Context) error
	Append(ctx context.Context, b *ledger.Batch) (ledger.Result, error)
}

// Store finds entries.
type Store interface {
	// ScanStored yields, in seq order, the entries that match, have from ≤ seq < to
	// and whose bytes are there: those that are erased, or past their time and
	// hidden, are among them. An entry is valid until the next one. What cannot
	// be read and may match ends the sequence with an error.
	ScanStored(ctx context.Context, org string, q audit.Query, from, to uint64) iter.Seq2[*event.Entry, error]
}

// Exports keeps files with entries.
type Exports interface {
	// CountFiles is how many files RemoveFiles would remove.
	CountFiles(ctx context.Context, org string) (int, error)
	// RemoveFiles removes the files of exports that an organization has, which
	// then say why, and lets exports that are being written start over. It
	// returns how many it has removed for the sake of by, an erasure's id,
	// those of earlier calls included.
	RemoveFiles(ctx context.Context, org, by, why string) (int, error)
}

// Forgetter keeps something of people beside the log, such as sessions and the
// names of those who made a record.
type Forgetter interface {
	// Forget removes what is kept of a person, by the id that actors and
	// targets have. It is called after the person's entries were erased, and
	// may be called again: forgetting somebody who is forgotten is no error.
	Forget(ctx context.Context, org, person string) error
}

// Mentioner keeps texts that people wrote, such as filters and names.
type Mentioner interface {
	// Mentions removes texts that name somebody, or, where that would change
	// what the server does, says which records have one. names reports whether
	// a text does. It is called before entries are erased, since the names are
	// known from these.
	Mentions(ctx context.Context, org string, names func(text string) bool) ([]Mention, error)
}

// Mention is a record of the server that names the subject, for people to change.
type Mention struct {
	Kind string `json:"kind"` // such as "stream" or "hold"
	ID   string `json:"id"`
}

// retryEvery is the pause before an erasure goes on after a fault.
const retryEvery = 15 * time.Second

// Erasures keeps and runs the erasures of every organization. Its methods may be
// called concurrently.
type Erasures struct {
	cfg  Config
	stop context.CancelFunc
	work sync.WaitGroup
	kick chan struct{} // there may be something to do

	// create is held while an erasure is made, so that two of one subject are
	// not made at once.
	create sync.Mutex

	// mu guards what follows. It is held for moments.
	mu      sync.Mutex
	changed chan struct{} // closed when a record has changed, and replaced
	running *run          // nil when none is
}

// run is the erasure that the worker is at.
type run struct {
	org    string
	cancel context.CancelFunc
	done   chan struct{}
}

// Open takes up the erasures in the store that did not end.
func Open(ctx context.Context, cfg Config) (*Erasures, error) {
	if cfg.Log == nil || cfg.Store == nil || cfg.KV == nil || cfg.Logger == nil || cfg.Now == nil {
		return nil, errors.New("open erasures: a log, a store, a KV, a logger and a clock are required")
	}
	if cfg.Steady == nil {
		cfg.Steady = func(string) func() { return func() {} }
	}
	if cfg.retry == 0 {
		cfg.retry = retryEvery
	}
	s := &Erasures{cfg: cfg, kick: make(chan struct{}, 1), changed: make(chan struct{})}
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.work.Go(func() { s.worker(ctx) })
	return s, nil
}

// Close stops the erasure under way; the next Open goes on with it.
func (s *Erasures) Close() error {
	s.stop()
	s.work.Wait()
	return nil
}

// Create keeps an erasure and starts it in the background. The caller has
// checked that the organization exists. Errors: invalid_request naming the
// field, conflict when one of the same subject is under way.
func (s *Erasures) Create(ctx context.Context, r Request) (Record, error) {
	if err := r.check(); err != nil {
		return Record{}, err
	}
	s.create.Lock()
	defer s.create.Unlock()
	open, err := s.open(ctx)
	if err != nil {
		return Record{}, err
	}
	for i := range open {
		if o := &open[i].Value; o.Organization == r.Organization && o.Subject == r.Subject {
			return Record{}, audit.Errorf(audit.CodeConflict, "this subject is being erased already (%s); wait until that is done", o.ID)
		}
	}
	now := s.now()
	rec := Record{
		ID: IDPrefix + catalog.NewULID(now), Organization: r.Organization, Subject: r.Subject, SubjectType: r.SubjectType,
		Reference: r.Reference, RequestedBy: r.RequestedBy, State: StatePending, CreatedAt: now,
	}
	if rec.RequestedBy.ID == rec.Subject {
		// Somebody who erases themselves is not to be named by that.
		rec.RequestedBy = Requester{Type: rec.RequestedBy.Type, ID: rec.RequestedBy.ID}
	}
	err = s.insert(ctx, &rec)
	s.wake() // also after an error: the write may have landed
	if err != nil {
		return Record{}, err
	}
	return rec, nil
}

// Wait returns an erasure once it has ended, or with ctx's error.
func (s *Erasures) Wait(ctx context.Context, org, id string) (Record, error) {
	for {
		s.mu.Lock()
		changed := s.changed // before the record is read, or a change could go unseen
		s.mu.Unlock()
		rec, err := s.Get(ctx, org, id)
		if err != nil || rec.Ended() {
			return rec, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return rec, fmt.Errorf("wait for erasure: %w", context.Cause(ctx))
		}
	}
}

// DropOrganization stops an organization's erasures and removes their records.
func (s *Erasures) DropOrganization(ctx context.Context, org string) error {
	s.create.Lock()
	defer s.create.Unlock()
	if err := s.removeAll(ctx, org); err != nil {
		return err
	}
	s.mu.Lock()
	current := s.running
	s.mu.Unlock()
	if current != nil && current.org == org {
		current.cancel()
		<-current.done
	}
	return s.removeAll(ctx, org) // what it wrote last
}

func (s *Erasures) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// announce tells those who wait that a record has changed.
func (s *Erasures) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Erasures) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Millisecond) }
