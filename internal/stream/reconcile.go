package stream

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/stream/sink"
)

// Reconciliation says what of a log lies at a destination.
type Reconciliation struct {
	Organization string `json:"organization"`
	// From and To are the first and last seq looked at, both included.
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
	// Removed is how many of these entries the log has no more, since retention
	// has removed them: of those nothing is said.
	Removed uint64 `json:"removed,omitempty"`
	// Expected is how many entries the stream's filter finds there. Missing
	// is how many of them are in no object, dead letters and skipped ones
	// among them; Gaps are where, at most maxGaps of them.
	Expected uint64 `json:"expected"`
	Missing  uint64 `json:"missing"`
	Gaps     []Gap  `json:"gaps,omitempty"`
	// Objects is how many objects hold them, Duplicates how many of these hold
	// nothing that another does not.
	Objects    int `json:"objects"`
	Duplicates int `json:"duplicates"`
}

// Summary says it in a sentence.
func (r *Reconciliation) Summary() string {
	delivered := fmt.Sprintf("%d of %d events", r.Expected-r.Missing, r.Expected)
	if r.Missing == 0 {
		delivered = fmt.Sprintf("all %d events", r.Expected)
	}
	text := fmt.Sprintf("seq %d to %d: %s delivered, %d missing, %d duplicate objects", r.From, r.To, delivered, r.Missing, r.Duplicates)
	if r.Removed > 0 {
		text += fmt.Sprintf("; %d entries removed from the log by retention were not compared", r.Removed)
	}
	return text
}

// Gap is a range with entries that are missing.
type Gap struct {
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Events uint64 `json:"events"`
}

const maxGaps = 100

// Reconcile lists what lies at a stream's destination and compares it with what
// was delivered of a log: all of it since the filter is as it is now, or what is
// within from and to. Only object
// stores can be asked. Errors: not_found, invalid_request; the destination's own
// errors are conflict, with its words.
func (s *Streams) Reconcile(ctx context.Context, org, id, log string, from, to *uint64) (Reconciliation, error) {
	st, err := s.Get(ctx, org, id)
	if err != nil {
		return Reconciliation{}, err
	}
	if log == "" {
		log = st.Organization
	}
	if err := st.needEvents(); err != nil {
		return Reconciliation{}, err
	}
	c, err := s.cursorOf(ctx, id, log)
	if err != nil {
		return Reconciliation{}, err
	}
	next := c.Next
	out := Reconciliation{Organization: log, From: c.chosenFrom(st.Filter)}
	if from != nil {
		if *from < out.From {
			return Reconciliation{}, invalid("/from", "must be %d or more: the filter was changed there, and nothing can be said of what another one chose", out.From)
		}
		out.From = *from
	}
	if next == 0 || out.From >= next {
		return Reconciliation{}, invalid("/from", "nothing of this range was delivered yet")
	}
	out.To = next - 1
	if to != nil {
		if *to < out.From {
			return Reconciliation{}, invalid("/to", "must be %d or more, where the range begins", out.From)
		}
		out.To = min(out.To, *to)
	}
	held, err := s.held(ctx, st, log)
	if err != nil {
		return Reconciliation{}, err
	}
	held = slices.DeleteFunc(held, func(h sink.Held) bool { return h.Last < out.From || h.First > out.To })
	out.Objects = len(held)
	return out, s.compare(ctx, st, &out, held)
}

// held lists what lies at the destination.
func (s *Streams) held(ctx context.Context, st *Stream, log string) ([]sink.Held, error) {
	kind, opened, secrets := s.open(st)
	defer func() {
		if err := opened.Close(); err != nil {
			s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "close destination", slog.String("stream", st.ID), slog.Any("error", err))
		}
	}()
	lister, ok := opened.(sink.Lister)
	if !ok {
		if u, broken := opened.(sink.Unreachable); broken {
			return nil, audit.Errorf(audit.CodeConflict, "%s", u.Err.Message)
		}
		return nil, invalid("/kind", "%s cannot say what it holds; only object stores can", cmp.Or(kind.Label, kind.Name))
	}
	var held []sink.Held
	for h, err := range lister.List(ctx, st.ID, log) {
		if err != nil {
			return nil, audit.Errorf(audit.CodeConflict, "the destination could not be listed: %s", sink.Excerpt(sink.AsError(err).Message, secrets...))
		}
		held = append(held, h)
	}
	slices.SortFunc(held, func(a, b sink.Held) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(b.Last, a.Last), cmp.Compare(a.Name, b.Name))
	})
	return held, nil
}

// compare goes over the log and the sorted objects side by side.
func (s *Streams) compare(ctx context.Context, st *Stream, out *Reconciliation, held []sink.Held) error {
	covered := uint64(0) // everything below is held, from the last object's First on
	for _, h := range held {
		if h.Last < covered {
			out.Duplicates++
		}
		covered = max(covered, h.Last+1)
	}
	q, err := query(st.Filter)
	if err != nil {
		return err
	}
	dead := map[uint64]bool{}
	for d, err := range catalog.All[DeadLetter](ctx, s.cfg.KV, prefixDead+st.ID+"/"+out.Organization+"/", "") {
		if err != nil {
			return err
		}
		dead[d.Value.Seq] = true
	}
	left, err := s.cfg.Scanner.Survey(ctx, out.Organization, audit.Query{}, out.From, out.To+1)
	if err != nil {
		return fmt.Errorf("read log of %s: %w", out.Organization, err)
	}
	out.Removed = out.To + 1 - out.From - left.Entries
	at, end := 0, uint64(0) // objects before at begin at or before the entry; end is the largest Last+1 of them
	missingAgain := false
	for e, err := range s.cfg.Scanner.Scan(ctx, out.Organization, q, out.From, out.To+1, false) {
		if err != nil {
			return fmt.Errorf("read log of %s: %w", out.Organization, err)
		}
		out.Expected++
		for at < len(held) && held[at].First <= e.Seq {
			end = max(end, held[at].Last+1)
			at++
		}
		if e.Seq < end && !dead[e.Seq] {
			missingAgain = false
			continue
		}
		out.Missing++
		switch n := len(out.Gaps); {
		case missingAgain && n > 0:
			out.Gaps[n-1].To, out.Gaps[n-1].Events = e.Seq, out.Gaps[n-1].Events+1
		case n < maxGaps:
			out.Gaps = append(out.Gaps, Gap{From: e.Seq, To: e.Seq, Events: 1})
		}
		missingAgain = true
	}
	return nil
}
