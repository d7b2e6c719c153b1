package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/stream/format"
	"github.com/stelehq/stele/internal/stream/sink"
)

// Log says where logs stand, and signs checkpoints. A *ledger.Ledger does. What
// it returns is durable.
type Log interface {
	// Through returns the position of the newest entry, nil for an empty log.
	Through(ctx context.Context, org string) (*audit.Position, error)
	// Checkpoint returns a signed checkpoint of the log as it is.
	Checkpoint(ctx context.Context, org string) ([]byte, error)
}

// Scanner reads logs. A search.Engine does.
type Scanner interface {
	// Scan yields the entries that match and have from ≤ seq < to, in seq
	// order, or in falling seq order when desc. The entry is valid until the
	// next one. Memory does not grow with the range.
	Scan(ctx context.Context, org string, q audit.Query, from, to uint64, desc bool) iter.Seq2[*event.Entry, error]
	// Survey says how many entries match and have from ≤ seq < to.
	Survey(ctx context.Context, org string, q audit.Query, from, to uint64) (search.Survey, error)
}

// Directory knows the organizations.
type Directory interface {
	// OrganizationName returns the name of an organization; not_found
	// (audit.Error) when there is none.
	OrganizationName(ctx context.Context, org string) (string, error)
	// OrganizationIDs yields the ids of all organizations.
	OrganizationIDs(ctx context.Context) iter.Seq2[string, error]
}

// Journal is told of every change of a stream and of its state: it records an
// entry in the organization's log, and gives notice to whom it concerns. It is
// told again after an error and after a restart, with the same Change.ID.
type Journal interface {
	RecordStreamChange(ctx context.Context, c Change) error
}

// Config is what Open needs. All but the fields that say otherwise are required.
type Config struct {
	KV        catalog.KV
	Log       Log
	Scanner   Scanner
	Directory Directory
	Kinds     *sink.Kinds
	Formats   *format.Registry
	// Keys seal secrets; nil refuses streams that have any.
	Keys *Keyring
	// Journal may be nil.
	Journal Journal
	// Describe returns the description of a version of an action's schema, ""
	// when there is none. It must give the same for an entry for ever. May be
	// nil.
	Describe func(e *event.Entry) string
	// Shared says whether a log may be handed to its organization at present.
	// While it may not, nothing of it is sent and nothing is lost; operators'
	// streams are not asked about. Nil is always.
	Shared func(ctx context.Context, org string) (bool, error)
	// First is the first seq of a log that the Scanner still shows, the log's size
	// if none: what is below was removed by retention, and is recorded as skipped.
	// Nil is 0.
	First func(ctx context.Context, org string) (uint64, error)
	// Delivered is told of every attempt, and of what is skipped; it must be
	// fast. May be nil.
	Delivered func(Progress)
	// Dial connects to destinations, and refuses addresses that the operator
	// has not opened.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Server is the public host name, Product this program's version.
	Server, Product string
	// MaxInFlight bounds the bytes of all batches being sent; 64 MiB when
	// zero. Half of it is for streams that fail or are slow, half for the
	// others, who do not wait for these.
	MaxInFlight int
	// Poll is how often logs are looked at without having been told of a
	// change ([Streams.Notify]), 5 s when zero. Those of operators' streams,
	// and all lags, are looked at every slowPolls times.
	Poll   time.Duration
	Logger *slog.Logger
	Now    func() time.Time
	// Rand gives 0 ≤ x < 1, for jitter; math/rand/v2 when nil.
	Rand func() float64
}

const (
	defaultMaxInFlight = 64 << 20
	defaultPoll        = 5 * time.Second
	// storeRetry is the pause after the store failed.
	storeRetry = 2 * time.Second
	// slowPolls is for what costs more than a look at one log.
	slowPolls = 6
)

// Streams keeps and runs the streams of every organization. Its methods may be
// called concurrently. There must be one for each KV.
type Streams struct {
	cfg  Config
	ctx  context.Context // the life of the goroutines, ended by Close
	stop context.CancelFunc
	work sync.WaitGroup

	healthy, failing *budget
	// reading has an element for each stream that reads a log. Reading waits for
	// nothing but the processors and the disk, so more at once are not faster,
	// while what the store decodes for each takes memory that no budget counts.
	reading chan struct{}
	notes   chan struct{} // there are changes to tell
	// comparing has an element for each reconciliation at work.
	comparing chan struct{}

	// mu guards what follows, and the fields of followers that say so. It is
	// held for moments, never while reading or writing.
	mu        sync.Mutex
	followers map[string]*follower
	byOrg     map[string]map[*follower]bool
	closed    bool

	// manage serializes changes that owners make.
	manage sync.Mutex
}

// Open takes up the streams in the store where they were left.
func Open(ctx context.Context, cfg Config) (*Streams, error) {
	if cfg.MaxInFlight == 0 {
		cfg.MaxInFlight = defaultMaxInFlight
	}
	if cfg.Poll == 0 {
		cfg.Poll = defaultPoll
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Float64
	}
	if cfg.Describe == nil {
		cfg.Describe = func(*event.Entry) string { return "" }
	}
	if cfg.Shared == nil {
		cfg.Shared = func(context.Context, string) (bool, error) { return true, nil }
	}
	if cfg.First == nil {
		cfg.First = func(context.Context, string) (uint64, error) { return 0, nil }
	}
	if cfg.Delivered == nil {
		cfg.Delivered = func(Progress) {}
	}
	s := &Streams{
		cfg:       cfg,
		reading:   make(chan struct{}, 2*runtime.GOMAXPROCS(0)),
		healthy:   newBudget(cfg.MaxInFlight - cfg.MaxInFlight/2),
		failing:   newBudget(cfg.MaxInFlight / 2),
		notes:     make(chan struct{}, 1),
		comparing: make(chan struct{}, maxReconciling),
		followers: map[string]*follower{},
		byOrg:     map[string]map[*follower]bool{},
	}
	s.ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	for st, err := range catalog.All[Stream](ctx, cfg.KV, prefixStream, "") {
		if err != nil {
			s.stop()
			return nil, fmt.Errorf("open streams: %w", err)
		}
		s.follow(&st.Value)
	}
	if err := s.failLeft(ctx, ""); err != nil {
		s.stop()
		return nil, fmt.Errorf("open streams: %w", err)
	}
	s.mu.Lock()
	for _, f := range s.followers {
		s.startLocked(f)
	}
	s.mu.Unlock()
	s.work.Go(s.poller)
	s.work.Go(s.teller)
	return s, nil
}

// Close stops delivering and waits until every attempt under way has ended: they
// are broken off. What was not acknowledged is sent again after the next Open.
func (s *Streams) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, f := range s.followers {
		f.disarm()
	}
	s.mu.Unlock()
	s.stop()
	s.work.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, f := range s.followers {
		errs = append(errs, f.closeSink())
	}
	return errors.Join(errs...)
}

// Notify says that a log has grown. It costs next to nothing and never waits.
func (s *Streams) Notify(org string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for f := range s.byOrg[org] {
		f.grown(org)
	}
	if org == "" {
		return
	}
	for f := range s.byOrg[""] {
		f.grown(org)
	}
}

// Kinds lists the kinds of destinations, in the order they are offered; the
// result must not be changed.
func (s *Streams) Kinds() []sink.Kind { return s.cfg.Kinds.All() }

// Formats lists the formats in their newest version, in the order they are
// offered.
func (s *Streams) Formats() []format.Info {
	var list []format.Info
	for _, name := range s.cfg.Formats.Names() {
		if f, ok := s.cfg.Formats.Get(name, 0); ok {
			list = append(list, f.Info())
		}
	}
	return list
}

// follow makes the follower of a stream.
func (s *Streams) follow(st *Stream) {
	f := &follower{s: s, id: st.ID, org: st.Organization, shown: Stat{Kind: st.Kind, State: StateActive}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.followers[f.id] = f
	if s.byOrg[f.org] == nil {
		s.byOrg[f.org] = map[*follower]bool{}
	}
	s.byOrg[f.org][f] = true
}

// startLocked runs a follower unless it runs already; then it looks again before
// it ends.
func (s *Streams) startLocked(f *follower) {
	f.disarm()
	if s.closed || f.removed {
		return
	}
	if f.running {
		f.again = true
		return
	}
	f.running, f.again = true, false
	f.done = make(chan struct{})
	ctx, cancel := context.WithCancel(s.ctx)
	f.cancel = cancel
	s.work.Go(func() {
		defer cancel()
		s.ended(f, f.run(ctx))
	})
}

// ended notes that a follower has nothing to do until wake; never when zero.
func (s *Streams) ended(f *follower, wake time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.running = false
	close(f.done)
	f.notBefore = time.Time{}
	switch {
	case s.closed || f.removed:
	case f.again:
		s.startLocked(f)
	case !wake.IsZero():
		f.notBefore = wake
		f.arm(max(wake.Sub(s.cfg.Now()), time.Millisecond))
	}
}

// wake runs a stream because its owner did something; anew breaks off what it is
// at.
func (s *Streams) wake(id string, anew bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.followers[id]
	if f == nil {
		return
	}
	f.stale, f.parked = true, false
	if anew && f.cancel != nil {
		f.cancel()
	}
	s.startLocked(f)
}

// forget stops a stream for good and waits until it has.
func (s *Streams) forget(id string) error {
	s.mu.Lock()
	f := s.followers[id]
	if f == nil {
		s.mu.Unlock()
		return nil
	}
	f.removed = true
	f.disarm()
	if f.cancel != nil {
		f.cancel()
	}
	delete(s.followers, id)
	delete(s.byOrg[f.org], f)
	if len(s.byOrg[f.org]) == 0 {
		delete(s.byOrg, f.org)
	}
	done := f.done
	running := f.running
	job := f.reconciling
	s.mu.Unlock()
	if job != nil {
		job.cancel()
		<-job.done
	}
	if running {
		<-done
	}
	return f.closeSink()
}

// poller looks at the logs now and then, so that nothing depends on having been
// told, and at the lags.
func (s *Streams) poller() {
	tick := time.NewTicker(s.cfg.Poll)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		s.poll(s.ctx, n%slowPolls == 0)
	}
}

func (s *Streams) poll(ctx context.Context, slow bool) {
	s.mu.Lock()
	var all []*follower
	for _, f := range s.followers {
		all = append(all, f)
	}
	s.mu.Unlock()
	now := s.cfg.Now()
	for _, f := range all {
		due, err := f.due(ctx, now, slow)
		if err != nil && ctx.Err() == nil && !isNotFound(err) {
			s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "look at stream", slog.String("stream", f.id), slog.Any("error", err))
		}
		if due {
			s.mu.Lock()
			f.all = true
			s.startLocked(f)
			s.mu.Unlock()
		}
	}
}

func (s *Streams) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Millisecond) }

// isNotFound reports whether err says that something does not exist.
func isNotFound(err error) bool {
	return errors.Is(err, catalog.ErrNotFound) || errors.Is(err, &audit.Error{Code: audit.CodeNotFound})
}

// InFlight is how many bytes of memory batches take that are being sent.
func (s *Streams) InFlight() int { return s.healthy.inUse() + s.failing.inUse() }
