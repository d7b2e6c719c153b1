package export

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/search"
)

// Proofs proves what is in a log. A *ledger.Ledger does.
type Proofs interface { //nolint:interfacebloat // one for each part of a proof
	// Nodes returns the complete subtrees that cover from ≤ seq < to.
	Nodes(ctx context.Context, org string, from, to uint64) ([]ledger.Subtree, error)
	// CheckpointFor returns a signed checkpoint of at least size entries.
	CheckpointFor(ctx context.Context, org string, size uint64) ([]byte, audit.Checkpoint, error)
	// ProveTree proves that a tree extends one that is not empty.
	ProveTree(ctx context.Context, org string, newSize, oldSize uint64) (tlog.TreeProof, error)
	// SignNote signs a text with the log's key.
	SignNote(text, org string) ([]byte, error)
	// VerifierKey and LogVerifierKey are what signatures are verified with.
	VerifierKey() string
	LogVerifierKey(org string) string
	// Origin is the name of a log.
	Origin(org string) string
}

// The files of evidence that the entries are in.
const (
	treeName  = "proof/tree.jsonl"
	jsonlName = "entries.jsonl"
	csvName   = "entries.csv"
)

// maxSchemas bounds the texts of the schemas in a manifest, which is in memory.
const maxSchemas = 4 << 20

// errChanged says that the log changed while it was read, by retention or by an
// erasure: begun again, the export will be whole.
var errChanged = errors.New("the log changed while it was exported")

// maxAttempts is how often an export begins again because the log changed.
const maxAttempts = 5

// evidence is one evidence zip on its way.
type evidence struct {
	*pass
	// sparse says that the engine finds what matches. Otherwise all of the range
	// is read and matched here.
	sparse   bool
	query    audit.Query
	from, to uint64 // the range
	signed   []byte
	cp       audit.Checkpoint
	form     csvForm

	tree    tree
	packing *packing

	targets     int // the most of an entry
	erased      uint64
	first, last uint64 // of the rows
	schemas     map[audit.EvidenceSchema]struct{}
	schemaBytes int
}

// evidence writes the zip. It returns errChanged when it has to begin again;
// attempt counts from 1.
func (p *pass) evidence(ctx context.Context, query audit.Query, attempt int) (err error) {
	if p.x.cfg.Proofs == nil {
		return errNoProofs()
	}
	ev := &evidence{pass: p, query: query, schemas: map[audit.EvidenceSchema]struct{}{}}
	if err := ev.plan(ctx, attempt); err != nil {
		return err
	}
	k, writing, err := p.newPacking(ctx, []string{treeName, jsonlName, csvName})
	if err != nil {
		return err
	}
	ev.packing = k
	defer func() { err = errors.Join(err, k.close()) }()
	if err = ev.entries(writing); err == nil {
		err = k.finish(writing)
	}
	if err != nil {
		return cmp.Or(context.Cause(writing), err)
	}
	if err := ev.confirm(ctx); err != nil {
		return err
	}
	return ev.zip(ctx)
}

func errNoProofs() error {
	return audit.Errorf(audit.CodeInvalidRequest, "This server does not make evidence.")
}

// plan fixes the range, the tree and the form.
func (ev *evidence) plan(ctx context.Context, attempt int) (err error) {
	org, x := ev.job.Organization, ev.x
	size := ev.size()
	older, err := x.olderCheckpoint(org, ev.job.OlderCheckpoint)
	if err != nil {
		return err
	}
	ev.signed, ev.cp, err = x.cfg.Proofs.CheckpointFor(ctx, org, max(size, older.Size))
	if err != nil {
		return fmt.Errorf("sign checkpoint: %w", err)
	}
	if err := ev.bounds(ctx, size); err != nil {
		return err
	}
	found, err := x.cfg.Engine.Survey(ctx, org, ev.query, ev.from, ev.to)
	if err = cmp.Or(err, context.Cause(ctx)); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	ev.job.Total = &found.Entries
	ev.form = csvForm{groups: max(1, found.MaxTargets), raw: ev.job.RawCells}
	// Looking for few entries is faster than reading all, but does not tell what
	// does not match from what retention hides.
	if attempt == 1 && found.Entries <= (ev.to-ev.from)/x.cfg.sparseShare {
		ev.sparse, err = ev.allShown(ctx)
	}
	return err
}

// sparseShare is how many entries there must be for each that matches, for the
// engine to be asked for these alone: those around each are read for the proof.
const sparseShare = 512

// bounds finds the range: of the entries that were received in the time that is
// asked for. What was removed at its ends, and when that was received is not known
// any more, is part of it. Without a time it begins with the first entry that is
// shown.
func (ev *evidence) bounds(ctx context.Context, size uint64) error {
	q := ev.query
	before, ok, err := ev.find(ctx, audit.Query{ReceivedTo: q.ReceivedFrom}, size, true)
	switch {
	case err != nil:
		return err
	case q.ReceivedFrom.IsZero():
		if ev.from, err = ev.x.cfg.Engine.First(ctx, ev.job.Organization); err != nil {
			return fmt.Errorf("read log: %w", err)
		}
	case ok:
		ev.from = before + 1
	}
	after, ok, err := ev.find(ctx, audit.Query{ReceivedFrom: q.ReceivedTo}, size, false)
	if err != nil {
		return err
	}
	ev.to = size
	if ok {
		ev.to = after
	}
	ev.from = min(ev.from, ev.to)
	return nil
}

// find returns the first entry that matches, or the last; none when the query has
// no bound.
func (ev *evidence) find(ctx context.Context, q audit.Query, size uint64, last bool) (uint64, bool, error) {
	if q.ReceivedFrom.IsZero() && q.ReceivedTo.IsZero() {
		return 0, false, nil
	}
	for e, err := range ev.x.cfg.Engine.Scan(ctx, ev.job.Organization, q, 0, size, last) {
		if err != nil {
			return 0, false, fmt.Errorf("read log: %w", err)
		}
		return e.Seq, true, nil
	}
	if err := context.Cause(ctx); err != nil {
		return 0, false, fmt.Errorf("read log: %w", err)
	}
	return 0, false, nil
}

// allShown reports whether every entry of the range is shown.
func (ev *evidence) allShown(ctx context.Context) (bool, error) {
	all, err := ev.x.cfg.Engine.Survey(ctx, ev.job.Organization, audit.Query{}, ev.from, ev.to)
	if err = cmp.Or(err, context.Cause(ctx)); err != nil {
		return false, fmt.Errorf("read log: %w", err)
	}
	return all.Entries == ev.to-ev.from, nil
}

// entries writes the three files that have a line for each entry.
func (ev *evidence) entries(ctx context.Context) error {
	k := ev.packing
	ev.tree.out = func(line []byte) error { k.add(k.files[0], line); return nil }
	k.add(k.files[2], ev.form.appendHeader(nil))
	m := &framer{org: ev.job.Organization, form: ev.form}
	query, why := ev.query, audit.WhyFilter
	if !ev.sparse {
		m.match, query, why = search.Compile(ev.query), audit.Query{}, audit.WhyRemoved
	}
	if err := ev.part(ctx, ev.from, audit.WhyOutside); err != nil {
		return err
	}
	for chunk, err := range ev.x.cfg.Engine.Render(ctx, ev.job.Organization, query, ev.from, ev.to, false, m.append) {
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		if err := ev.chunk(ctx, chunk.Data, why); err != nil {
			return err
		}
		ev.job.Percent = share(rowsPercent, chunk.Passed, ev.to-ev.from)
		if err := ev.note(ctx); err != nil {
			return err
		}
	}
	// An engine that stops quietly when ctx ends must not make a short file.
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if err := ev.part(ctx, ev.to, why); err != nil {
		return err
	}
	return ev.part(ctx, ev.cp.Size, audit.WhyOutside)
}

// part ends a part of the tree, which no subtree goes beyond.
func (ev *evidence) part(ctx context.Context, to uint64, why audit.Why) error {
	if err := ev.leaveOut(ctx, to, why); err != nil {
		return err
	}
	return ev.tree.flush()
}

// rowsPercent is how much of the work the rows are; the rest puts the zip together.
const rowsPercent = 95

// chunk takes in entries.
func (ev *evidence) chunk(ctx context.Context, data frame, why audit.Why) error {
	k := ev.packing
	for len(data) > 0 {
		f := data
		var parts [4][]byte
		parts, data = f.split()
		if f.seq() < ev.tree.next || f.seq() >= ev.to {
			return fmt.Errorf("read log: entry %d is out of order", f.seq())
		}
		if err := ev.leaveOut(ctx, f.seq(), why); err != nil {
			return err
		}
		if !f.shown() {
			if err := ev.tree.leaveOut(ledger.Subtree{First: f.seq(), Hash: f.leaf()}, audit.WhyFilter); err != nil {
				return err
			}
			continue
		}
		if err := ev.tree.entry(f.leaf(), parts[3]); err != nil {
			return err
		}
		k.add(k.files[1], parts[1])
		k.add(k.files[2], parts[2])
		if err := ev.count(f, parts[0]); err != nil {
			return err
		}
	}
	return nil
}

// count counts a row.
func (ev *evidence) count(f frame, action []byte) error {
	if ev.job.Rows == 0 {
		ev.first = f.seq()
	}
	ev.last = f.seq()
	ev.job.Rows++
	ev.targets = max(ev.targets, f.targets())
	if f.erased() {
		ev.erased++
	}
	if _, ok := ev.schemas[audit.EvidenceSchema{Action: string(action), Version: f.version()}]; ok {
		return nil
	}
	if ev.schemaBytes += len(action) + 64; ev.schemaBytes > maxSchemas {
		return audit.Errorf(audit.CodeTooLarge, "The entries have more than %d different actions and versions, too many for one manifest; export less at a time.", len(ev.schemas))
	}
	ev.schemas[audit.EvidenceSchema{Action: string(action), Version: f.version()}] = struct{}{}
	return nil
}

// leaveOut takes in the entries that are not there, up to seq.
func (ev *evidence) leaveOut(ctx context.Context, to uint64, why audit.Why) error {
	if ev.tree.next >= to {
		return nil
	}
	nodes, err := ev.x.cfg.Proofs.Nodes(ctx, ev.job.Organization, ev.tree.next, to)
	if errors.Is(err, &audit.Error{Code: audit.CodeGone}) {
		return fmt.Errorf("%w: %w", errChanged, err)
	}
	if err != nil {
		return fmt.Errorf("read tree: %w", err)
	}
	for _, n := range nodes {
		if n.First != ev.tree.next {
			return fmt.Errorf("read tree: the subtree at %d stands where that at %d should", n.First, ev.tree.next)
		}
		if err := ev.tree.leaveOut(n, why); err != nil {
			return err
		}
	}
	if ev.tree.next != to {
		return fmt.Errorf("read tree: it ends at %d, not at %d", ev.tree.next, to)
	}
	return nil
}

// confirm makes sure that what was written is of one log at one time: that the
// tree is the one that was signed, and that what was left out is what it was left
// out for.
func (ev *evidence) confirm(ctx context.Context) error {
	switch {
	case ev.tree.next != ev.cp.Size || ev.tree.root() != ev.cp.Root:
		return fmt.Errorf("%w: its records do not lead to the root of the checkpoint of %d entries", errChanged, ev.cp.Size)
	case max(1, ev.targets) != ev.form.groups:
		return fmt.Errorf("%w: an entry has %d targets, and %d were found before", errChanged, ev.targets, ev.form.groups)
	case ev.job.Rows > *ev.job.Total:
		return fmt.Errorf("%w: %d entries were counted and %d were read", errChanged, *ev.job.Total, ev.job.Rows)
	case !ev.sparse:
		return ev.recount(ctx, ev.query, ev.from, ev.to)
	}
	// What retention hides stays hidden: what is shown now was shown all along.
	switch all, err := ev.allShown(ctx); {
	case err != nil:
		return err
	case !all || ev.job.Rows != *ev.job.Total:
		return fmt.Errorf("%w: entries are past their time since", errChanged)
	}
	return nil
}
