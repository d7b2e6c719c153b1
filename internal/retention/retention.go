// Package retention decides how long entries are kept, and takes them out of the
// logs when their time is over.
//
// Three things say whether an entry is shown: the organization's periods (by class
// of action, from received_at), the floors below which nothing is kept whatever
// the periods say now, and legal holds, which keep entries past their time. They
// are put together into a [search.Keep] that every reader asks: an entry is hidden
// from everyone at the moment it is due. Its bytes go later, by a job that works
// range by range, says so with an entry in the log and with a signed certificate,
// and can be broken off anywhere.
//
// Nothing that was due comes back: not by a longer period, and not by a hold made
// afterwards.
package retention

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/search"
)

// Key space in the catalog's store. Each record is JSON with a version.
const (
	prefixHold        = "hold/"                  // organization/ID → Hold
	prefixCertificate = "retention_certificate/" // organization/ULID → Certificate
	prefixJob         = "retention_job/"         // organization → job
	prefixState       = "retention_state/"       // organization → state
	prefixNote        = "retention_note/"        // ULID → change, until it is told
)

// Config is what retention works with. All fields are required but those that say
// otherwise.
type Config struct {
	KV      catalog.KV
	Catalog *catalog.Catalog
	// Store keeps the logs, Engine finds in them what is shown.
	Store  ledger.Store
	Engine search.Engine
	// Log takes entries out and signs certificates.
	Log Log
	// Journal records entries about retention in the organization's own log.
	Journal Journal
	// Server is the server's name and version in certificates.
	Server string
	Now    func() time.Time
	// Logger may be nil: then nothing is logged.
	Logger *slog.Logger
	// Removed, when not nil, is told of each removal that is through.
	Removed func(Removal)
	// Every is how often the job looks what is to be done: DefaultEvery when
	// zero.
	Every time.Duration
}

// Log is what retention needs of the ledger.
type Log interface {
	// Rewrite takes entries out of a log; see ledger.Store.
	Rewrite(ctx context.Context, r ledger.Rewrite) (ledger.Rewritten, error)
	// Scrub returns once no file has bytes of what was taken out.
	Scrub(ctx context.Context) error
	// SignNote signs a text in the name of an organization's log.
	SignNote(text, org string) ([]byte, error)
	// Origin is the name of an organization's log.
	Origin(org string) string
}

// Journal records an event in an organization's own log. An event with an
// idempotency key is recorded once. A log that is gone is no error.
type Journal interface {
	Record(ctx context.Context, org string, e audit.Event) error
}

// The actions of what is recorded about retention.
const (
	ActionChanged     = "audit_log.retention_changed"
	ActionApplied     = "audit_log.retention_applied"
	ActionHoldCreated = "audit_log.hold_created"
	ActionHoldChanged = "audit_log.hold_changed"
	ActionHoldLifted  = "audit_log.hold_lifted"
	ActionHoldEnded   = "audit_log.hold_ended"
)

// Who does something. The zero Who is the server itself.
type Who struct {
	// Type is the type of actor that entries name: WhoKey, or a person's.
	Type string `json:"type,omitempty"`
	ID   string `json:"id,omitempty"`
	// Name is the person's, or the key's as it was called then.
	Name string `json:"name,omitempty"`
	// Location and UserAgent are where a person was.
	Location  string `json:"location,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
}

// WhoKey is the Type of a program with an API key.
const WhoKey = "api_key"

// Key is the program that has an API key.
func Key(id, name string) Who { return Who{Type: WhoKey, ID: id, Name: name} }

// Retention is the periods, holds and removals of all organizations. All methods
// may be called concurrently. There must be one for each store.
type Retention struct {
	cfg Config

	mu      sync.RWMutex
	orgs    map[string]*rules // as of the newest change
	changes uint64            // of holds, so that what was read before one is not kept

	// nextEnd is when the next hold ends, as far as is known: the zero time for
	// never, nil when that is to be looked up.
	nextEnd *time.Time

	locks locks // one for each organization whose holds or periods change

	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
	// removing is held by whoever takes entries out: one at a time, so that the
	// disk is given back once for all.
	removing sync.Mutex
}

// Open takes up retention. Nothing is removed before Start. Close ends it.
func Open(cfg Config) *Retention {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Every = cmp.Or(cfg.Every, DefaultEvery)
	r := &Retention{cfg: cfg, orgs: map[string]*rules{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Close ends the job after the range under way, and waits for it.
func (r *Retention) Close() error {
	r.cancel()
	r.done.Wait()
	return nil
}

// now is the present to the millisecond, as records keep it.
func (r *Retention) now() time.Time { return r.cfg.Now().UTC().Truncate(time.Millisecond) }

// validID keeps what is no id of ours out of keys.
func validID(id, prefix string) bool {
	text, ok := strings.CutPrefix(id, prefix)
	return ok && len(text) == 26 && strings.Trim(text, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == ""
}

func invalid(field, format string, args ...any) *audit.Error {
	return audit.FieldErrorf(audit.CodeInvalidRequest, field, format, args...)
}

func isNotFound(err error) bool { return errors.Is(err, &audit.Error{Code: audit.CodeNotFound}) }

// locks is a lock for each of many names.
type locks struct {
	mu    sync.Mutex
	named map[string]*namedLock
}

type namedLock struct {
	sync.Mutex

	users int
}

// lock waits for the lock of a name and returns what gives it back.
func (l *locks) lock(name string) (unlock func()) {
	l.mu.Lock()
	if l.named == nil {
		l.named = map[string]*namedLock{}
	}
	n := l.named[name]
	if n == nil {
		n = &namedLock{}
		l.named[name] = n
	}
	n.users++
	l.mu.Unlock()
	n.Lock()
	return func() {
		n.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if n.users--; n.users == 0 {
			delete(l.named, name)
		}
	}
}
