package stream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/stream/format"
	"github.com/stelehq/stele/internal/stream/sink"
)

const (
	// window is how many entries are looked at before progress is kept: a
	// filter that finds nothing does not begin anew after a restart.
	window = 1 << 18
	// keepScanned is how far the cursor may be behind what was looked at and
	// did not match.
	keepScanned = 1 << 16
)

// gathering collects the events of a batch.
type gathering struct {
	f      *follower
	fz     *frozen
	format format.Format
	query  audit.Query
	// every says that the query finds every entry: a seq that is missing then is
	// one that retention has removed. Of others nobody can say any more whether
	// they would have been found.
	every bool
	// maxEvents and maxBytes end the batch; 0 is no limit.
	maxEvents, maxBytes int
	// step is how many entries are read at first, from 1.
	step uint64

	buf   []byte
	ends  []int // of the events in buf
	meta  []sink.Event
	bytes int
	skips []Skip
	// to is the first seq not looked at, full says that a limit ended it.
	to   uint64
	full bool
}

// gather collects entries of a lane with from ≤ seq < to. It reads in steps that
// begin with as many entries as the batch is likely to take and grow while they
// hold few that match: a scan reads ahead, and what is read for nothing is time
// of a processor.
func (g *gathering) gather(ctx context.Context, org string, from, to uint64) error {
	g.to = to
	step := g.step
	for at := from; at < to && !g.full; at += step {
		if at > from {
			step *= 2
		}
		if err := g.scan(ctx, org, at, min(to, at+step)); err != nil {
			return err
		}
	}
	return nil
}

// scan collects entries of a range.
func (g *gathering) scan(ctx context.Context, org string, from, to uint64) error {
	select {
	case g.f.s.reading <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("read log of %s: %w", org, ctx.Err())
	}
	defer func() { <-g.f.s.reading }()
	next := from
	for e, err := range g.f.s.cfg.Scanner.Scan(ctx, org, g.query, from, to, false) {
		if err != nil {
			return fmt.Errorf("read log of %s: %w", org, err)
		}
		g.removed(next, e.Seq)
		next = e.Seq + 1
		if g.excluded(e) {
			continue
		}
		if !g.add(e, org) {
			g.to, g.full = e.Seq, true
			return nil
		}
		if g.maxEvents > 0 && len(g.meta) == g.maxEvents {
			g.to, g.full = e.Seq+1, true
			return nil
		}
	}
	g.removed(next, to)
	return nil
}

// Reasons for what is skipped.
const (
	reasonRemoved = "removed by retention before they could be sent"
	reasonLost    = "removed by retention, or not found by the filter any more since details were erased, before they could be sent"
)

// removed notes that entries with from ≤ seq < to are not there any more.
func (g *gathering) removed(from, to uint64) {
	if g.every && from < to {
		g.skip(Skip{From: from, To: to - 1, Events: to - from, Reason: reasonRemoved})
	}
}

// skip notes what is not sent.
func (g *gathering) skip(s Skip) {
	if n := len(g.skips); n > 0 && g.skips[n-1].Reason == s.Reason {
		g.skips[n-1].To, g.skips[n-1].Events = s.To, g.skips[n-1].Events+s.Events
		return
	}
	g.skips = append(g.skips, s)
}

// excluded reports whether an entry is left out of the batch.
func (g *gathering) excluded(e *event.Entry) bool {
	if slices.Contains(g.fz.Except, e.Seq) {
		return true
	}
	if g.fz.Oldest.IsZero() || e.OccurredAt >= g.fz.Oldest.UnixNano() {
		return false
	}
	g.skip(Skip{
		From: e.Seq, To: e.Seq, Events: 1,
		Reason: fmt.Sprintf("occurred more than %s before they could be sent: the destination takes no older events", g.f.limits.OldestEvent),
	})
	return true
}

// add encodes an entry, unless the batch is full without it.
func (g *gathering) add(e *event.Entry, org string) bool {
	start := len(g.buf)
	g.buf = g.format.Append(g.buf, &format.Input{
		Entry: e, Organization: org, OrganizationName: g.fz.Name, Description: g.f.s.cfg.Describe(e),
		Server: g.fz.Server, Product: g.fz.Product, Replay: g.f.replaying(g.fz),
	})
	size := len(g.buf) - start
	overhead := g.f.limits.EventOverhead
	if g.maxBytes > 0 && len(g.meta) > 0 && g.bytes+size+(len(g.meta)+1)*overhead > g.maxBytes {
		g.buf = g.buf[:start]
		return false
	}
	ev := sink.Event{Seq: e.Seq, ID: e.ID, OccurredAt: e.OccurredTime(), ReceivedAt: e.ReceivedTime()}
	if g.f.kind.Entries {
		ev.Entry = e.Clone()
	}
	g.ends = append(g.ends, len(g.buf))
	g.meta = append(g.meta, ev)
	g.bytes += size
	return true
}

// fit gives back what the batch was given too much: the budget counts what is in it.
func (g *gathering) fit() {
	if cap(g.buf) > len(g.buf)+len(g.buf)/4 {
		g.buf = bytes.Clone(g.buf)
	}
}

// events are the collected events with their texts.
func (g *gathering) events() []sink.Event {
	start := 0
	for i := range g.meta {
		g.meta[i].Encoded = g.buf[start:g.ends[i]:g.ends[i]]
		start = g.ends[i]
	}
	return g.meta
}

// replaying reports whether a frozen batch belongs to a replay.
func (f *follower) replaying(fz *frozen) bool { return fz.Replay != "" }

// frozenNow is a frozen batch before it has events.
func (f *follower) frozenNow(ctx context.Context, ln *lane) (*frozen, format.Format, error) {
	org := ln.cur.Organization
	name, err := f.s.cfg.Directory.OrganizationName(ctx, org)
	if err != nil && !isNotFound(err) {
		return nil, nil, fmt.Errorf("name of %s: %w", org, err)
	}
	fm, ok := f.s.cfg.Formats.Get(f.st.Format, 0)
	if !ok {
		return nil, nil, fmt.Errorf("this server does not know the format %q", f.st.Format)
	}
	now := f.s.now()
	fz := &frozen{
		Shape: f.st.Shape, Filter: f.st.Filter, Format: f.st.Format, FormatVersion: fm.Info().Version,
		Name: name, Product: f.s.cfg.Product, Server: f.s.cfg.Server, FrozenAt: now,
	}
	if ln.replay != nil {
		fz.Replay = ln.replay.ID
		if ln.replay.Dead {
			fz.Filter = ""
		}
	}
	if f.limits.OldestEvent > 0 {
		fz.Oldest = now.Add(-f.limits.OldestEvent)
	}
	return fz, fm, nil
}

// freeze makes the next batch of a lane and records what it is made of. Without
// one, it says when to look again.
func (f *follower) freeze(ctx context.Context, b *inflight, size uint64) (time.Time, error) {
	ln := b.lane
	fz, fm, err := f.frozenNow(ctx, ln)
	if err != nil {
		return time.Time{}, err
	}
	ln.cur.alike(fz, max(ln.cur.Next, ln.scanned))
	if old, ok := f.s.cfg.Formats.Get(fz.Format, fz.FormatVersion); ok {
		fm = old
	}
	q, err := query(fz.Filter)
	if err != nil {
		return time.Time{}, err
	}
	for ln.behind(size) {
		from, end := ln.span(size)
		g := &gathering{f: f, fz: fz, format: fm, query: q, every: search.Compile(q).All()}
		g.maxEvents, g.maxBytes = f.bounds(ln.cur)
		g.step = ln.likely(g.maxEvents)
		g.buf = make([]byte, 0, ln.bytes+ln.bytes/8)
		if err := g.gather(ctx, ln.cur.Organization, from, end); err != nil {
			return time.Time{}, err
		}
		if len(g.meta) == 0 {
			if err := f.pass(ctx, ln, g); err != nil {
				return time.Time{}, err
			}
			continue
		}
		if at := f.fillsUntil(ln, g, size); !at.IsZero() {
			return at, nil
		}
		g.fit()
		f.seal(b, g, from)
		return time.Time{}, nil
	}
	return time.Time{}, f.finish(ln)
}

// span is what a lane looks at next.
func (ln *lane) span(size uint64) (from, end uint64) {
	from, end = max(ln.cur.Next, ln.scanned), size
	if ln.replay != nil {
		end = min(end, ln.replay.end())
		if from, ok := ln.replay.following(from); ok {
			return from, from + 1
		}
	}
	if s := ln.cur.Suspect; s != nil {
		end = min(end, s.To)
	}
	return from, min(end, from+window)
}

// bounds are the limits of the next batch of a cursor.
func (f *follower) bounds(c *cursor) (events, size int) {
	events, size = f.limits.MaxEvents, f.limits.MaxBytes
	if f.h.Ramp > 0 {
		events = min(events, f.h.Ramp)
	}
	if f.h.CapBytes > 0 {
		size = min(size, f.h.CapBytes)
	}
	if c.Suspect != nil {
		events = min(events, max(1, (c.Suspect.Events+1)/2))
	}
	return events, size
}

// pass goes on after a stretch in which nothing is to be sent.
func (f *follower) pass(ctx context.Context, ln *lane, g *gathering) error {
	ln.scanned = g.to
	if s := ln.cur.Suspect; s != nil && g.to >= s.To {
		ln.cur.Suspect, ln.dirty = nil, true
	}
	f.skip(ln, g.skips)
	if len(g.skips) == 0 && ln.scanned-ln.cur.Next < keepScanned && !ln.dirty {
		return nil
	}
	ln.cur.Next, ln.dirty = ln.scanned, true
	return f.flush(ctx)
}

func (f *follower) skip(ln *lane, skips []Skip) {
	for _, s := range skips {
		ln.cur.addSkip(s)
		ln.dirty = true
		f.h.Skipped += s.Events
		f.dirty = true
		f.s.cfg.Delivered(Progress{Kind: f.kind.Name, Skipped: s.Events})
	}
}

// fillsUntil is until when a batch waits for more events; zero when it goes at
// once.
func (f *follower) fillsUntil(ln *lane, g *gathering, size uint64) time.Time {
	if g.full || g.to < size || f.limits.FlushAfter == 0 || ln.replay != nil || ln.cur.Suspect != nil || f.h.Ramp > 0 {
		return time.Time{}
	}
	at := g.meta[0].ReceivedAt.Add(f.limits.FlushAfter)
	if !at.After(f.s.cfg.Now()) {
		return time.Time{}
	}
	return at
}

// seal records a new batch in its lane and makes it ready to be sent.
func (f *follower) seal(b *inflight, g *gathering, from uint64) {
	ln, fz := b.lane, g.fz
	fz.From, fz.To = from, g.to
	fz.First, fz.Last = g.meta[0].Seq, g.meta[len(g.meta)-1].Seq
	fz.Events, fz.Bytes = len(g.meta), g.bytes
	fz.Since = g.meta[0].ReceivedAt
	fz.Digest = sha256.Sum256(g.buf)
	if ln.replay == nil {
		ln.cur.chooses(fz.Filter, from)
	}
	ln.cur.Frozen, ln.cur.Next, ln.dirty = fz, from, true
	ln.width, ln.bytes = g.to-from, g.bytes
	f.ready(b, g)
}

// likely is how many entries the next batch will cover, as far as the last one
// tells.
func (ln *lane) likely(maxEvents int) uint64 {
	const least, most = 64, 4096
	if ln.width > 0 {
		return max(ln.width+ln.width/8, least)
	}
	return uint64(min(max(maxEvents, least), most))
}

// ready makes what is sent of what was gathered.
func (f *follower) ready(b *inflight, g *gathering) {
	fz, org := g.fz, b.lane.cur.Organization
	info := g.format.Info()
	b.skips = g.skips
	b.batch = sink.Batch{
		ID:     batchID(f.id, org, fz.Replay, fz.First, fz.Last, fmt.Sprint(fz.Shape, fz.Except)),
		Stream: f.id, Organization: org, OrganizationName: fz.Name, First: fz.First, Last: fz.Last,
		Events: g.events(), Bytes: g.bytes, Format: info.Name, JSON: info.JSON, ContentType: info.ContentType,
		Replay: fz.Replay,
	}
}

// refill makes the frozen batch of a lane again. It reports false when there is
// nothing left to send of it, and the lane goes on.
func (f *follower) refill(ctx context.Context, b *inflight) (bool, error) {
	ln := b.lane
	fz := ln.cur.Frozen
	fm, ok := f.s.cfg.Formats.Get(fz.Format, fz.FormatVersion)
	if !ok {
		if fm, ok = f.s.cfg.Formats.Get(fz.Format, 0); !ok {
			return false, fmt.Errorf("this server does not know the format %q", fz.Format)
		}
	}
	if fz.Note != "" {
		f.checkpointBatch(b, fm)
		return true, nil
	}
	q, err := query(fz.Filter)
	if err != nil {
		return false, err
	}
	g := &gathering{
		f: f, fz: fz, format: fm, query: q, every: search.Compile(q).All(), step: max(fz.To-fz.From, 1), buf: make([]byte, 0, fz.Bytes),
	}
	if err := g.gather(ctx, ln.cur.Organization, fz.From, fz.To); err != nil {
		return false, err
	}
	if lost := fz.Events - len(g.meta); lost > 0 && !g.every { // otherwise g.skips has them
		f.skip(ln, []Skip{{From: fz.First, To: fz.Last, Events: uint64(lost), Reason: reasonLost}}) // once: fz.Events falls with it
	}
	if len(g.meta) == 0 {
		f.skip(ln, g.skips)
		ln.cur.Next, ln.scanned, ln.cur.Frozen, ln.dirty = fz.To, fz.To, nil, true
		return false, nil
	}
	if f.tooOld(g) {
		ln.cur.giveUp()
		ln.scanned, ln.dirty = fz.From, true
		return false, nil
	}
	if digest := sha256.Sum256(g.buf); !bytes.Equal(digest[:], fz.Digest[:]) {
		f.s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "batch differs from its first attempt", slog.String("stream", f.id),
			slog.String("organization", ln.cur.Organization), slog.Uint64("first", fz.First), slog.Uint64("last", fz.Last))
		fz.Digest, fz.Events, fz.Bytes, fz.Changed, ln.dirty = digest, len(g.meta), g.bytes, true, true
	}
	f.ready(b, g)
	return true, nil
}

// tooOld reports whether an event has become too old for the destination since
// the batch was frozen.
func (f *follower) tooOld(g *gathering) bool {
	if f.limits.OldestEvent == 0 {
		return false
	}
	oldest := f.s.cfg.Now().Add(-f.limits.OldestEvent)
	for i := range g.meta {
		if g.meta[i].OccurredAt.Before(oldest) {
			return true
		}
	}
	return false
}

// freezeCheckpoint makes a batch of the log's checkpoint, unless the receiver
// has it. A checkpoint that cannot be had is left out: events do not wait for it.
func (f *follower) freezeCheckpoint(ctx context.Context, b *inflight) error {
	ln := b.lane
	ln.witness = false
	note, err := f.s.cfg.Log.Checkpoint(ctx, ln.cur.Organization)
	var size uint64
	if err == nil {
		size, err = noteSize(note)
	}
	if err != nil {
		f.s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "checkpoint for stream", slog.String("stream", f.id),
			slog.String("organization", ln.cur.Organization), slog.Any("error", err))
		return nil
	}
	if size == 0 || size <= ln.cur.Witness {
		return nil
	}
	fz, fm, err := f.frozenNow(ctx, ln)
	if err != nil {
		return err
	}
	fz.From, fz.To, fz.First, fz.Last, fz.Since = ln.cur.Next, ln.cur.Next, size-1, size-1, fz.FrozenAt
	fz.Note = string(note)
	if f.st.onSchedule() {
		fz.To = max(fz.To, size) // the entries before it are not sent
		ln.cur.Chosen, ln.cur.ChosenFrom = "", 0
	}
	ln.cur.Frozen, ln.dirty = fz, true
	f.checkpointBatch(b, fm)
	fz.Events, fz.Bytes = 1, b.batch.Bytes
	return nil
}

// noteSize is the size that a signed note states.
func noteSize(note []byte) (uint64, error) {
	text, _, ok := bytes.Cut(note, []byte("\n\n"))
	if !ok {
		return 0, fmt.Errorf("read checkpoint: it has no signature")
	}
	cp, err := audit.ParseCheckpoint(string(text) + "\n")
	if err != nil {
		return 0, fmt.Errorf("read checkpoint: %w", err)
	}
	return cp.Size, nil
}

// checkpointBatch makes the batch of a frozen checkpoint.
func (f *follower) checkpointBatch(b *inflight, fm format.Format) {
	ln := b.lane
	fz, org := ln.cur.Frozen, ln.cur.Organization
	text := fm.AppendCheckpoint(nil, &format.Checkpoint{
		Organization: org, OrganizationName: fz.Name, Size: fz.Last + 1, Note: []byte(fz.Note),
		ReceivedAt: fz.FrozenAt, Server: fz.Server, Product: fz.Product,
	})
	info := fm.Info()
	b.batch = sink.Batch{
		ID:     batchID(f.id, org, "", fz.Last, fz.Last, "checkpoint"),
		Stream: f.id, Organization: org, OrganizationName: fz.Name, First: fz.Last, Last: fz.Last,
		Events: []sink.Event{{Seq: fz.Last, OccurredAt: fz.FrozenAt, ReceivedAt: fz.FrozenAt, Encoded: text}},
		Bytes:  len(text), Format: info.Name, JSON: info.JSON, ContentType: info.ContentType, Checkpoint: []byte(fz.Note),
	}
}

// digestText is a short name for a text: 128 bits of its SHA-256.
func digestText(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16])
}
