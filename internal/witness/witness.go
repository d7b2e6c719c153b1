// Package witness has the checkpoints of logs counter-signed by witnesses: by
// somebody else's servers, which sign a checkpoint only if it extends every one
// that they have seen of the log (C2SP tlog-witness). Who holds a checkpoint that a
// quorum has signed knows that everybody else sees the same log.
//
// Witnesses are asked in the background, now and then and only about logs that have
// grown; a commit never waits for them. A checkpoint counts as witnessed when the
// policy's quorum has signed it (C2SP tlog-policy), and the newest of each log is
// kept with all its signatures.
package witness

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
)

// Log is where checkpoints come from. A *ledger.Ledger is one.
type Log interface {
	// Through returns the position of a log's newest entry, nil for none.
	Through(ctx context.Context, org string) (*audit.Position, error)
	// Checkpoint returns a signed checkpoint of the log as it is.
	Checkpoint(ctx context.Context, org string) ([]byte, error)
	// ProveTree returns the proof that a tree extends a smaller one.
	ProveTree(ctx context.Context, org string, newSize, oldSize uint64) (tlog.TreeProof, error)
}

// Config is what a Cosigner works with. Policy, KV, Log, Organizations, Logger and
// Now are required.
type Config struct {
	// Policy names the witnesses, with their addresses, and the quorum.
	Policy *audit.Policy
	// KV keeps the witnessed checkpoints.
	KV  catalog.KV
	Log Log
	// Organizations yields the ids of all organizations.
	Organizations func(ctx context.Context) iter.Seq2[string, error]
	// Every is how often logs are looked at; a minute when zero.
	Every time.Duration
	// Client makes the requests; one with a timeout when nil.
	Client *http.Client
	// Signed is called after each request to a witness, with its error. nil is
	// fine.
	Signed func(witness string, err error)
	Logger *slog.Logger
	Now    func() time.Time
}

const (
	defaultEvery = time.Minute
	// requestTimeout is how long a witness may take.
	requestTimeout = 30 * time.Second
)

// Cosigner asks witnesses, from Open to Close.
type Cosigner struct {
	cfg  Config
	stop context.CancelFunc
	work sync.WaitGroup

	// Of the one round that runs at a time.
	round sync.Mutex
	seen  map[string]uint64 // the size up to which each log is witnessed
	said  map[string]string // the last fault of each witness that was logged
}

// Open begins asking the witnesses of a policy, which all have addresses.
func Open(cfg Config) (*Cosigner, error) {
	c, err := newCosigner(cfg)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.work.Go(func() { c.run(ctx) })
	return c, nil
}

// newCosigner makes one that asks only when it is told to.
func newCosigner(cfg Config) (*Cosigner, error) {
	if len(cfg.Policy.Witnesses) == 0 {
		return nil, errors.New("the policy names no witness")
	}
	for _, w := range cfg.Policy.Witnesses {
		if err := checkURL(w.URL); err != nil {
			return nil, fmt.Errorf("witness %s: %w", w.Name, err)
		}
	}
	if cfg.Every == 0 {
		cfg.Every = defaultEvery
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{Timeout: requestTimeout, CheckRedirect: noRedirect}
	}
	return &Cosigner{cfg: cfg, seen: map[string]uint64{}, said: map[string]string{}}, nil
}

// Close ends asking, and waits for what is under way.
func (c *Cosigner) Close() {
	c.stop()
	c.work.Wait()
}

func (c *Cosigner) run(ctx context.Context) {
	tick := time.NewTicker(c.cfg.Every)
	defer tick.Stop()
	for {
		if err := c.Round(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Logger.LogAttrs(ctx, slog.LevelError, "have checkpoints witnessed", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Round asks the witnesses about every log that has grown since it was witnessed.
// What a witness does wrong is logged and no error.
func (c *Cosigner) Round(ctx context.Context) error {
	c.round.Lock()
	defer c.round.Unlock()
	known := map[string]bool{}
	for org, err := range c.cfg.Organizations(ctx) {
		if err != nil {
			return fmt.Errorf("list organizations: %w", err)
		}
		known[org] = true
		if err := c.one(ctx, org); err != nil && ctx.Err() == nil {
			c.cfg.Logger.LogAttrs(ctx, slog.LevelError, "have checkpoint witnessed",
				slog.String("organization", org), slog.Any("error", err))
		}
	}
	return errors.Join(ctx.Err(), c.forget(ctx, known))
}

// forget removes what is kept of organizations that are not there any more, whose
// ids are never used again.
func (c *Cosigner) forget(ctx context.Context, known map[string]bool) error {
	for rec, err := range catalog.All[record](ctx, c.cfg.KV, recordKey(""), "") {
		if err != nil {
			return fmt.Errorf("list witnessed checkpoints: %w", err)
		}
		org := strings.TrimPrefix(rec.Key, recordKey(""))
		if known[org] {
			continue
		}
		delete(c.seen, org)
		if err := c.cfg.KV.Apply(ctx, catalog.Change{Key: rec.Key, Rev: rec.Rev, Delete: true}); err != nil {
			return fmt.Errorf("forget witnessed checkpoint: %w", err)
		}
	}
	return nil
}

// one has a log witnessed if it has grown.
func (c *Cosigner) one(ctx context.Context, org string) error {
	through, err := c.cfg.Log.Through(ctx, org)
	if err != nil || through == nil || c.seen[org] > through.Seq {
		return err
	}
	old, err := c.load(ctx, org)
	if err != nil {
		return err
	}
	if size, ok := sizeOf(old.Value.Note); ok && size > through.Seq {
		c.seen[org] = size
		return nil
	}
	note, err := c.cfg.Log.Checkpoint(ctx, org)
	if err != nil {
		return err
	}
	size, ok := sizeOf(string(note))
	if !ok || size == 0 {
		return errors.New("the log's checkpoint cannot be read")
	}
	next := record{Note: old.Value.Note, Sizes: map[string]uint64{}}
	for i := range c.cfg.Policy.Witnesses {
		w := &c.cfg.Policy.Witnesses[i]
		lines, held, err := c.ask(ctx, w, org, note, size, old.Value.Sizes[w.Key])
		next.Sizes[w.Key] = held
		c.report(ctx, w, org, err)
		note = append(note, lines...)
	}
	return c.keep(ctx, org, old, next, string(note), size)
}

// keep records the checkpoint if a quorum has signed it.
func (c *Cosigner) keep(ctx context.Context, org string, old catalog.Stored[record], next record, note string, size uint64) error {
	signed, err := c.cfg.Policy.Cosignatures([]byte(note))
	if err != nil {
		return err
	}
	enough := c.cfg.Policy.Satisfied(signed)
	if enough {
		next.Note = note
	}
	if err := catalog.Save(ctx, c.cfg.KV, recordKey(org), next, old.Rev); err != nil {
		return fmt.Errorf("keep witnessed checkpoint: %w", err)
	}
	if enough {
		c.seen[org] = size
	}
	return nil
}

// report logs a witness's fault when it is another than before, or over.
func (c *Cosigner) report(ctx context.Context, w *audit.Witness, org string, err error) {
	if ctx.Err() != nil {
		return
	}
	if c.cfg.Signed != nil {
		c.cfg.Signed(w.Name, err)
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	if c.said[w.Name] == text {
		return
	}
	c.said[w.Name] = text
	attrs := []slog.Attr{slog.String("witness", w.Name), slog.String("organization", org)}
	if err != nil {
		c.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "a witness did not sign", append(attrs, slog.Any("error", err))...)
		return
	}
	c.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "a witness signs", attrs...)
}

// record is the newest witnessed checkpoint of a log.
type record struct {
	// Note is the checkpoint with all signatures, "" when there was none.
	Note string `json:"note,omitempty"`
	// Sizes are what each witness has seen of the log, by its key.
	Sizes map[string]uint64 `json:"sizes,omitempty"`
}

// recordKey is where the KV keeps the record of an organization.
func recordKey(org string) string { return "witnessed/" + org }

func (c *Cosigner) load(ctx context.Context, org string) (catalog.Stored[record], error) {
	rec, err := catalog.Load[record](ctx, c.cfg.KV, recordKey(org))
	if errors.Is(err, catalog.ErrNotFound) {
		return rec, nil
	}
	if err != nil {
		return rec, fmt.Errorf("read witnessed checkpoint: %w", err)
	}
	return rec, nil
}

// Checkpoint returns the newest checkpoint of a log that a quorum of the policy has
// signed, with all signatures. It is not_found (audit.Error) when there is none yet.
func (c *Cosigner) Checkpoint(ctx context.Context, org string) ([]byte, error) {
	rec, err := c.load(ctx, org)
	if err != nil {
		return nil, err
	}
	if rec.Value.Note == "" {
		return nil, audit.Errorf(audit.CodeNotFound, "no checkpoint of this log has been signed by a quorum of the witnesses yet")
	}
	return []byte(rec.Value.Note), nil
}
