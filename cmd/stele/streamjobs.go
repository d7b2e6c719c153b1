package main

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/stelehq/stele/audit"
)

type streamDeliveriesCmd struct {
	oneStream
	Limit int `short:"n" help:"The newest so many; at most 200 are kept." default:"20"`
}

// Run shows the history.
func (c *streamDeliveriesCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	list := first(client.StreamDeliveries(ctx, c.Org, c.ID), c.Limit)
	heading := []string{"ENDED", "ORGANIZATION", "FIRST", "LAST", "EVENTS", "OUTCOME", "ATTEMPTS", "MS", "ANSWER"}
	return show(p, &c.remote, list, heading, func(d *audit.StreamDelivery) []string {
		outcome := d.Outcome
		if d.Checkpoint {
			outcome += " checkpoint"
		}
		if d.Replay != "" {
			outcome += " replay"
		}
		return []string{
			d.EndedAt.Format(time.DateTime), d.OrganizationID, strconv.FormatUint(d.First, 10), strconv.FormatUint(d.Last, 10),
			strconv.Itoa(d.Events), outcome, strconv.Itoa(d.Attempts), strconv.FormatInt(d.Latency, 10), fmt.Sprint(d.Status, " ", d.Text),
		}
	})
}

// first is the beginning of a list.
func first[T any](list iter.Seq2[*T, error], n int) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		left := n
		for v, err := range list {
			if left == 0 && err == nil || !yield(v, err) {
				return
			}
			left--
		}
	}
}

// streamDeadCmd is about dead letters.
type streamDeadCmd struct {
	List    deadListCmd    `cmd:"" default:"withargs" help:"List them with the destination's words."`
	Retry   deadRetryCmd   `cmd:"" help:"Send them again."`
	Discard deadDiscardCmd `cmd:"" help:"Forget them; that is recorded in the log."`
}

type deadListCmd struct{ oneStream }

// Run lists the dead letters.
func (c *deadListCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	heading := []string{"ORGANIZATION", "SEQ", "EVENT", "REFUSED", "TIMES", "CODE", "WORDS"}
	return show(p, &c.remote, client.StreamDeadLetters(ctx, c.Org, c.ID), heading, func(d *audit.StreamDeadLetter) []string {
		return []string{
			d.OrganizationID, strconv.FormatUint(d.Seq, 10), d.EventID, d.LastAt.Format(time.DateTime), strconv.Itoa(d.Times), d.Code, d.Text,
		}
	})
}

// logFlag is whose log a job of an operator's stream is about.
type logFlag struct {
	Log string `help:"Whose log, with --operator." placeholder:"ORG"`
}

type deadRetryCmd struct {
	oneStream
	logFlag
	Seqs []uint64 `arg:"" optional:"" help:"Their seqs; the oldest when none is given."`
}

// Run sends dead letters again.
func (c *deadRetryCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	r, err := client.RetryDeadLetters(ctx, c.Org, c.ID, audit.StreamEvents{OrganizationID: c.Log, Seqs: c.Seqs})
	return show(p, &c.remote, one(r, err), replayHeading(), replayRow)
}

type deadDiscardCmd struct {
	oneStream
	logFlag
	Seqs []uint64 `arg:"" help:"Their seqs."`
}

// Run forgets dead letters.
func (c *deadDiscardCmd) Run(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return client.DiscardDeadLetters(ctx, c.Org, c.ID, audit.StreamEvents{OrganizationID: c.Log, Seqs: c.Seqs})
}

// streamReplayCmd is about replays.
type streamReplayCmd struct {
	Start  replayStartCmd  `cmd:"" default:"withargs" help:"Start one: by seq or by time of receipt; everything when nothing is said."`
	List   replayListCmd   `cmd:"" help:"List them, newest first."`
	Cancel replayCancelCmd `cmd:"" help:"End one that runs."`
}

// rangeFlags are a part of a log.
type rangeFlags struct {
	logFlag
	From *uint64 `help:"First seq." placeholder:"SEQ"`
	To   *uint64 `help:"Last seq." placeholder:"SEQ"`
}

type replayStartCmd struct {
	oneStream
	rangeFlags
	Since time.Time `help:"Received then or later." format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME"`
	Until time.Time `help:"Received before." format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME"`
}

// Run starts a replay.
func (c *replayStartCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	r, err := client.ReplayStream(ctx, c.Org, c.ID, audit.StreamRange{
		OrganizationID: c.Log, From: c.From, To: c.To, Since: c.Since, Until: c.Until,
	})
	return show(p, &c.remote, one(r, err), replayHeading(), replayRow)
}

func replayHeading() []string {
	return []string{"ID", "ORGANIZATION", "FROM", "TO", "NEXT", "STATE", "STARTED"}
}

func replayRow(r *audit.StreamReplay) []string {
	return []string{
		r.ID, r.OrganizationID, strconv.FormatUint(r.From, 10), strconv.FormatUint(r.To, 10), strconv.FormatUint(r.NextSeq, 10),
		r.State, r.CreatedAt.Format(time.DateTime),
	}
}

type replayListCmd struct{ oneStream }

// Run lists the replays.
func (c *replayListCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return show(p, &c.remote, client.StreamReplays(ctx, c.Org, c.ID), replayHeading(), replayRow)
}

type replayCancelCmd struct {
	oneStream
	Replay string `arg:"" help:"Replay."`
}

// Run ends a replay.
func (c *replayCancelCmd) Run(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return client.CancelReplay(ctx, c.Org, c.ID, c.Replay)
}

// streamReconcileCmd is about reconciliations.
type streamReconcileCmd struct {
	Start  reconcileStartCmd  `cmd:"" default:"withargs" help:"Start one and wait for what comes of it: all that was delivered, or part of it by seq."`
	List   reconcileListCmd   `cmd:"" help:"List them with what came of each, newest first."`
	Cancel reconcileCancelCmd `cmd:"" help:"End one that runs."`
}

type reconcileStartCmd struct {
	oneStream
	rangeFlags
}

// Run compares, and exits with 3 when anything is missing. When it is
// interrupted, the server goes on.
func (c *reconcileStartCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	r, err := client.ReconcileStream(ctx, c.Org, c.ID, audit.StreamRange{OrganizationID: c.Log, From: c.From, To: c.To})
	for wait := firstLook; err == nil && r.State == "running"; wait = min(2*wait, longestLook) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server goes on with %s, see stele stream reconcile list: %w", r.ID, ctx.Err())
		case <-time.After(wait):
		}
		r, err = client.StreamReconciliation(ctx, c.Org, c.ID, r.ID)
	}
	switch {
	case err != nil:
		return err
	case r.Found == nil:
		return fmt.Errorf("%s is %s: %s", r.ID, r.State, cmp.Or(r.Error, "somebody ended it"))
	case c.JSON:
		err = printJSON(p.stdout, r)
	default:
		_, err = fmt.Fprintln(p.stdout, r.Found.Summary)
		for _, gap := range r.Found.Gaps {
			fmt.Fprintf(p.stdout, "missing: %d events, seq %d to %d\n", gap.Events, gap.From, gap.To)
		}
	}
	if err != nil || r.Found.Missing == 0 {
		return err
	}
	return &exitCodeError{exitUnsound, fmt.Errorf("%d events are missing", r.Found.Missing)}
}

// The pauses between two looks at what takes time.
const (
	firstLook   = 50 * time.Millisecond
	longestLook = 2 * time.Second
)

type reconcileListCmd struct{ oneStream }

// Run lists the reconciliations.
func (c *reconcileListCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	heading := []string{"ID", "ORGANIZATION", "FROM", "TO", "STATE", "STARTED", "FOUND"}
	return show(p, &c.remote, client.StreamReconciliations(ctx, c.Org, c.ID), heading, func(r *audit.StreamReconciliation) []string {
		found := cmp.Or(r.Error, "–")
		switch {
		case r.Found != nil:
			found = r.Found.Summary
		case r.State == "running":
			found = fmt.Sprintf("%d objects so far, compared up to seq %d", r.Objects, r.NextSeq)
		}
		return []string{
			r.ID, r.OrganizationID, strconv.FormatUint(r.From, 10), strconv.FormatUint(r.To, 10), r.State, r.CreatedAt.Format(time.DateTime), found,
		}
	})
}

type reconcileCancelCmd struct {
	oneStream
	Reconciliation string `arg:"" help:"Reconciliation."`
}

// Run ends a reconciliation.
func (c *reconcileCancelCmd) Run(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return client.CancelReconciliation(ctx, c.Org, c.ID, c.Reconciliation)
}
