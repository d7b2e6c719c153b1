package retention

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/search"
)

// ripeAfter is how long entries may be past their time, and hidden, before their
// range is rewritten for their sake. A range of which nothing stays goes as soon as
// that is so.
const ripeAfter = 7 * 24 * time.Hour

// sweeper finds what is to be removed of a log.
type sweeper struct {
	store  ledger.Store
	org    string
	at     time.Time
	policy string
	size   uint64
	// keep is what is kept at that moment, ripe what was ripeAfter before; nil
	// when everything is to go that is due.
	keep, ripe *search.Keep
	holds      []string // ids of those in force
	was        state
	// left is the received_at of the first entry that is due and stays for now.
	left    int64
	firsts  map[uint64]int64 // received_at of the first entry from each block on
	changed bool             // of holds: what was clean need not be any more
}

// begin looks what is due now. The organization's lock makes sure that a hold which
// is not seen here is made later, and does not keep what is due by now.
func (r *Retention) begin(ctx context.Context, org string, all bool) (*sweeper, error) {
	defer r.locks.lock(org)()
	o, err := r.cfg.Catalog.Organization(ctx, org)
	if err != nil {
		return nil, err
	}
	now := r.now()
	s, err := r.sweeper(ctx, o, now, Due(o, now), func(h *Hold) bool { return h.State(now) == HoldActive })
	if err != nil {
		return nil, err
	}
	s.policy = policyOf(o).String()
	if !all {
		s.ripe = s.keep.At(Due(o, s.at.Add(-ripeAfter)))
	}
	return s, nil
}

// resume is the sweeper of a job that was broken off.
func (r *Retention) resume(ctx context.Context, j *job) (*sweeper, error) {
	o, err := r.cfg.Catalog.Organization(ctx, j.Organization)
	if err != nil {
		return nil, err
	}
	queries, err := parseQueries(j.Due)
	if err != nil {
		return nil, err
	}
	return r.sweeper(ctx, o, j.At, queries, func(h *Hold) bool { return slices.Contains(j.Holds, h.ID) })
}

func (r *Retention) sweeper(ctx context.Context, o *catalog.Organization, at time.Time, queries []audit.Query, active func(*Hold) bool) (*sweeper, error) {
	all, err := r.loadHolds(ctx, o.ID)
	if err != nil {
		return nil, err
	}
	holds, err := compileHolds(all, active)
	if err != nil {
		return nil, err
	}
	s := &sweeper{
		store: r.cfg.Store, org: o.ID, at: at, keep: search.NewKeep(queries, holds), left: math.MaxInt64, firsts: map[uint64]int64{},
	}
	for _, h := range all {
		if active(h) {
			s.holds = append(s.holds, h.ID)
		}
	}
	if s.was, err = r.loadState(ctx, o.ID); err != nil {
		return nil, err
	}
	s.changed = slices.ContainsFunc(s.was.Holds, func(id string) bool { return !slices.Contains(s.holds, id) })
	head, err := r.cfg.Store.Head(ctx, o.ID)
	s.size = head.Size
	return s, err
}

// after is the state once everything that was found worth it is removed.
func (s *sweeper) after() state {
	out := state{LookedAt: s.at, Holds: s.holds}
	for _, q := range s.keep.Due() {
		before := q.ReceivedTo
		if s.left < before.UnixMilli() {
			before = time.UnixMilli(s.left).UTC()
		}
		out.Clean = append(out.Clean, clean{Query: classText(q), Before: before})
	}
	return out
}

// classText is what a query says but for times.
func classText(q audit.Query) string { return audit.Query{Filters: q.Filters}.String() }

// span is blocks: from ≤ block < to.
type span struct{ from, to uint64 }

// ranges are the blocks that may have entries which are due and were not when the
// log was looked at last.
func (s *sweeper) ranges(ctx context.Context) ([]span, error) {
	var spans []span
	for _, q := range s.keep.Due() {
		to, err := s.blockAt(ctx, q.ReceivedTo.UnixMilli())
		if err != nil {
			return nil, err
		}
		from := uint64(0)
		i := slices.IndexFunc(s.was.Clean, func(c clean) bool { return c.Query == classText(q) })
		if i >= 0 && !s.changed {
			if from, err = s.blockAt(ctx, s.was.Clean[i].Before.UnixMilli()); err != nil {
				return nil, err
			}
			from -= min(from, 1) // the block before ends with entries of later
		}
		if from < to {
			spans = append(spans, span{from, to})
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var out []span
	for _, sp := range spans {
		if n := len(out); n > 0 && sp.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, sp.to)
			continue
		}
		out = append(out, sp)
	}
	return out, nil
}

// blockAt is the first block all of whose entries, and all later ones, were
// received at a time or later.
func (s *sweeper) blockAt(ctx context.Context, receivedAt int64) (uint64, error) {
	var fault error
	blocks := (s.size + ledger.BlockSize - 1) / ledger.BlockSize
	n := sort.Search(int(blocks), func(i int) bool { //nolint:gosec // a log has far fewer blocks
		first, err := s.first(ctx, uint64(i)) //nolint:gosec // not negative
		if err != nil {
			fault = err
		}
		return first >= receivedAt
	})
	return uint64(n), fault //nolint:gosec // not negative
}

// first is the received_at of the first entry that is there from a block on.
func (s *sweeper) first(ctx context.Context, block uint64) (int64, error) {
	if at, ok := s.firsts[block]; ok {
		return at, nil
	}
	at := int64(math.MaxInt64)
	for e, err := range s.store.Read(ctx, s.org, block*ledger.BlockSize, s.size) {
		if err != nil {
			return 0, err
		}
		at = e.ReceivedAt
		break
	}
	s.firsts[block] = at
	return at, nil
}

// look counts what would go of a block, and says whether that is worth it: when
// nothing of it stays, or when something has been due for long enough.
func (s *sweeper) look(ctx context.Context, block uint64) (t tally, worth bool, err error) {
	t.Block = block
	from, to := block*ledger.BlockSize, min((block+1)*ledger.BlockSize, s.size)
	due := search.NewKeep(s.keep.Due(), nil)
	stays, ripe, oldest := to%ledger.BlockSize != 0, s.ripe == nil, int64(math.MaxInt64)
	for e, err := range s.store.Read(ctx, s.org, from, to) {
		switch {
		case err != nil:
			return t, false, err
		case due.Shows(e):
			stays = true
			continue
		case s.keep.Held(e):
			stays = true
			t.Held++
			continue
		}
		if t.Removed == 0 {
			oldest = e.ReceivedAt
		}
		t.add(e)
		ripe = ripe || !s.ripe.Shows(e)
	}
	if t.Removed == 0 {
		return t, false, nil
	}
	if ripe || !stays {
		return t, true, nil
	}
	s.left = min(s.left, oldest)
	return t, false, nil
}
