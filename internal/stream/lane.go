package stream

import (
	"context"
	"fmt"

	"github.com/stelehq/stele/internal/catalog"
)

// lane is one log, or one replay, of a stream: batches of it follow one another.
type lane struct {
	key    string
	rev    uint64
	cur    *cursor
	replay *Replay // nil for live delivery
	dirty  bool
	// look says that there may be something to do now, again that there will
	// be later.
	look, again bool
	// gone says that there is no such log any more.
	gone bool
	// scanned ≥ cur.Next: nothing between the two matches.
	scanned uint64
	// width is how many entries the last batch covered, bytes its size.
	width uint64
	bytes int
	// witness says that a checkpoint is due.
	witness bool
}

// behind reports whether a lane has entries to look at in a log of a size.
func (ln *lane) behind(size uint64) bool {
	if ln.replay != nil {
		return ln.scanned < min(size, ln.replay.end())
	}
	return ln.scanned < size
}

// change writes a lane's record.
func (ln *lane) change() (catalog.Change, error) {
	if ln.replay != nil {
		ln.replay.Cursor = *ln.cur
		return catalog.Put(ln.key, *ln.replay, ln.rev)
	}
	return catalog.Put(ln.key, *ln.cur, ln.rev)
}

func (f *follower) loadLanes(ctx context.Context) error {
	f.lanes = nil
	for c, err := range catalog.All[cursor](ctx, f.s.cfg.KV, prefixCursor+f.id+"/", "") {
		if err != nil {
			return err
		}
		f.lanes = append(f.lanes, &lane{
			key: c.Key, rev: c.Rev, cur: &c.Value, scanned: c.Value.Next,
			witness: f.st.Checkpoints && !f.st.onSchedule() && c.Value.Witness < c.Value.Next,
		})
	}
	for r, err := range catalog.All[Replay](ctx, f.s.cfg.KV, prefixReplay+f.id+"/", "") {
		if err != nil {
			return err
		}
		if r.Value.State != ReplayRunning {
			continue
		}
		f.lanes = append(f.lanes, &lane{key: r.Key, rev: r.Rev, cur: &r.Value.Cursor, replay: &r.Value, scanned: r.Value.Cursor.Next})
	}
	return nil
}

// newLanes makes the lanes of organizations that an operator's stream has not
// met: they begin with their first entry.
func (f *follower) newLanes(ctx context.Context, all bool, fresh map[string]bool) error {
	known := map[string]bool{}
	if all || len(fresh) > 0 {
		for _, ln := range f.lanes {
			known[ln.cur.Organization] = known[ln.cur.Organization] || ln.replay == nil
		}
	}
	add := func(org string) {
		if !known[org] {
			known[org] = true
			f.lanes = append(f.lanes, &lane{key: prefixCursor + f.id + "/" + org, cur: &cursor{Organization: org}})
		}
	}
	for org := range fresh {
		add(org)
	}
	if !all {
		return nil
	}
	for org, err := range f.s.cfg.Directory.OrganizationIDs(ctx) {
		if err != nil {
			return fmt.Errorf("list organizations: %w", err)
		}
		add(org)
	}
	return nil
}

// reach is the size of a lane's log, and whether it may be handed on: nothing of
// it while the organization's log is inactive. A log that does not exist any more
// leaves the stream.
func (f *follower) reach(ctx context.Context, ln *lane) (size uint64, open bool, err error) {
	org := ln.cur.Organization
	if open = true; f.org == "" { // the operator's own
		_, err = f.s.cfg.Directory.OrganizationName(ctx, org)
	} else {
		open, err = f.s.cfg.Shared(ctx, org)
	}
	if err == nil && open {
		if size, err = f.s.size(ctx, org); err == nil {
			return size, true, f.cut(ctx, ln, size)
		}
	}
	if !isNotFound(err) {
		return 0, false, err
	}
	ln.gone, ln.dirty = true, false
	if ln.rev > 0 {
		f.out = append(f.out, deleted(ln.key, ln.rev))
	}
	return 0, false, nil
}

// cut records what retention has removed before it could be sent, up to the first
// entry that is left: with a filter too, though nobody can say any more what that
// would have found. Entries that are removed after that one are found missing by
// [gathering.removed].
func (f *follower) cut(ctx context.Context, ln *lane, size uint64) error {
	if ln.cur.Frozen != nil || ln.cur.Next >= size || f.st.onSchedule() {
		return nil
	}
	if r := ln.replay; r != nil {
		if len(r.Seqs) > 0 {
			return nil // looked for one by one
		}
		size = min(size, r.end())
	}
	first, err := f.s.cfg.First(ctx, ln.cur.Organization)
	if err != nil {
		return fmt.Errorf("find beginning of log: %w", err)
	}
	if first = min(first, size); ln.cur.Next >= first {
		return nil
	}
	if ln.rev > 0 { // otherwise it begins here
		f.skip(ln, []Skip{{
			From: ln.cur.Next, To: first - 1, Events: first - ln.cur.Next,
			Reason: reasonRemoved,
		}})
	}
	ln.cur.Next, ln.dirty = first, true
	ln.scanned = max(ln.scanned, first)
	return nil
}
