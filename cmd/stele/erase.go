package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
)

// eraseCmd erases a person, or again those that a file lists.
type eraseCmd struct {
	remote
	Org       string `help:"Organization." xor:"who" required:"" placeholder:"ORG"`
	From      string `help:"Erase again all that this file lists, as \"stele erasures --json\" writes it, such as after a backup was put back; - is standard input." xor:"who" required:"" placeholder:"FILE"`
	Subject   string `help:"Id of the person, as actors and targets have it." placeholder:"ID"`
	Type      string `help:"Only where the actor or target is of this type." placeholder:"TYPE"`
	Reference string `help:"What it is for, such as the number of a ticket. It is kept for good: no names." placeholder:"TEXT"`
	DryRun    bool   `help:"Only say what would be erased."`
	Yes       bool   `help:"Do not ask."`
}

// errUnsure ends a command whose question was not answered with yes.
var errUnsure = errors.New("nothing was erased: it was not confirmed (type yes, or use --yes)")

// Run says what would be erased, asks, and erases.
func (c *eraseCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	if c.From != "" {
		return c.again(ctx, p, client)
	}
	if c.Subject == "" {
		return &exitCodeError{exitUsage, errors.New("--subject is missing: the id of the person, as actors and targets have it")}
	}
	request := audit.ErasureRequest{Subject: c.Subject, SubjectType: c.Type, Reference: c.Reference}
	preview, err := client.PreviewErasure(ctx, c.Org, request)
	if err != nil {
		return err
	}
	if c.DryRun && c.JSON {
		return printJSON(p.stdout, preview)
	}
	c.tell(p.stderr, preview)
	if c.DryRun {
		return nil
	}
	if !c.Yes && !confirmed(p, bufio.NewReader(p.stdin)) {
		return errUnsure
	}
	return c.erase(ctx, p, client, c.Org, request)
}

// tell says what an erasure would do.
func (c *eraseCmd) tell(w io.Writer, preview *audit.ErasurePreview) {
	fmt.Fprintf(w, "%s of %s %s %s as actor or target.\n", amount(preview.Found, "entry", "entries"),
		printable(c.Org), verb(preview.Found, "names", "name"), printable(c.Subject))
	if preview.Erased > 0 {
		fmt.Fprintf(w, "  erased before      %d\n", preview.Erased)
	}
	if preview.Held > 0 {
		fmt.Fprintf(w, "  kept by a hold     %d, which stay as they are\n", preview.Held)
	}
	fmt.Fprintf(w, "  would be erased    %d\n", preview.WouldErase)
	if preview.Oldest != nil && preview.Newest != nil {
		fmt.Fprintf(w, "  received           %s to %s\n", preview.Oldest.ReceivedAt.Format(time.DateOnly), preview.Newest.ReceivedAt.Format(time.DateOnly))
	}
	for i, a := range preview.Actions {
		label := ""
		if i == 0 {
			label = "actions"
		}
		fmt.Fprintf(w, "  %-18s %s %d\n", label, printable(a.Action), a.Count)
	}
	if preview.Exports > 0 {
		fmt.Fprintf(w, "  exports            %s of this organization would be removed: the person may be in %s\n",
			amount(uint64(preview.Exports), "file", "files"), verb(uint64(preview.Exports), "it", "them"))
	}
	if preview.WouldErase > 0 {
		fmt.Fprintln(w, "Names, metadata and context of these entries go for good; ids, times and proofs stay.")
		return
	}
	fmt.Fprintln(w, "No entry would change. Erasing all the same removes what the server keeps of the person beside the log,")
	fmt.Fprintln(w, "files of exports among it, which may have entries that are no longer in the log, and records that it was done.")
}

func amount(n uint64, one, more string) string {
	return strconv.FormatUint(n, 10) + " " + verb(n, one, more)
}

func verb(n uint64, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

// confirmed asks, and reports whether the answer is yes.
func confirmed(p *process, answers *bufio.Reader) bool {
	fmt.Fprint(p.stderr, "Erase? Type yes: ")
	answer, err := answers.ReadString('\n')
	if err != nil {
		fmt.Fprintln(p.stderr)
	}
	return strings.TrimSpace(answer) == "yes"
}

// erase erases one person and waits until that is done.
func (c *eraseCmd) erase(ctx context.Context, p *process, client *audit.Client, org string, request audit.ErasureRequest) error {
	e, err := client.CreateErasure(ctx, org, request)
	if err != nil {
		return err
	}
	if e, err = client.WaitErasure(ctx, org, e.ID, nil); err != nil {
		return err
	}
	if c.JSON {
		return printJSONLine(p.stdout, e)
	}
	fmt.Fprintf(p.stdout, "%s: erased %s of %s", e.ID, amount(e.Erased, "entry", "entries"), printable(org))
	if e.Entry != nil {
		fmt.Fprintf(p.stdout, "; its log says so in entry %d", e.Entry.Seq)
	}
	fmt.Fprintln(p.stdout)
	if e.Held > 0 {
		fmt.Fprintf(p.stdout, "%s kept by a legal hold; erase again once it is lifted\n", amount(e.Held, "entry is", "entries are"))
	}
	for _, m := range e.Mentions {
		fmt.Fprintf(p.stdout, "the %s %s names the person in a text that somebody wrote: change it\n", printable(m.Kind), printable(m.ID))
	}
	return nil
}

// again erases anew what a file lists and the server does not have as erased.
func (c *eraseCmd) again(ctx context.Context, p *process, client *audit.Client) error {
	list, err := c.readList(p)
	if err != nil {
		return err
	}
	var todo []*audit.Erasure
	for _, e := range list {
		preview, err := client.PreviewErasure(ctx, e.OrganizationID, requestOf(e))
		if errors.Is(err, &audit.Error{Code: audit.CodeNotFound}) {
			fmt.Fprintf(p.stderr, "there is no organization %s here: skipped\n", printable(e.OrganizationID))
			continue
		}
		if err != nil {
			return err
		}
		if preview.WouldErase > 0 {
			todo = append(todo, e)
			fmt.Fprintf(p.stderr, "%s, %s: %s to erase\n", printable(e.OrganizationID), printable(e.Subject), amount(preview.WouldErase, "entry", "entries"))
		}
	}
	fmt.Fprintf(p.stderr, "%d of %d erasures are to be done again.\n", len(todo), len(list))
	if c.DryRun || len(todo) == 0 {
		return nil
	}
	if !c.Yes && (c.From == "-" || !confirmed(p, bufio.NewReader(p.stdin))) {
		return errUnsure
	}
	for _, e := range todo {
		if err := c.erase(ctx, p, client, e.OrganizationID, requestOf(e)); err != nil {
			return fmt.Errorf("%s of %s: %w", printable(e.Subject), printable(e.OrganizationID), err)
		}
	}
	return nil
}

func requestOf(e *audit.Erasure) audit.ErasureRequest {
	return audit.ErasureRequest{Subject: e.Subject, SubjectType: e.SubjectType, Reference: e.Reference}
}

// readList reads a file of erasures, one a line.
func (c *eraseCmd) readList(p *process) ([]*audit.Erasure, error) {
	in := p.stdin
	if c.From != "-" {
		f, err := os.Open(c.From)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // only read
		in = f
	}
	var list []*audit.Erasure
	dec := json.NewDecoder(in)
	for n := 1; ; n++ {
		e := new(audit.Erasure)
		err := dec.Decode(e)
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err == nil && (e.OrganizationID == "" || e.Subject == "") {
			err = errors.New("organization_id and subject are missing")
		}
		if err != nil {
			return nil, fmt.Errorf("%s, erasure %d: %w", c.From, n, err)
		}
		list = append(list, e)
	}
}

// erasuresCmd lists erasures.
type erasuresCmd struct {
	remote
	Org string `help:"Organization." xor:"who" required:"" placeholder:"ORG"`
	All bool   `help:"Those of all organizations." xor:"who" required:""`
}

// Run lists erasures, newest first for each organization.
func (c *erasuresCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return show(p, &c.remote, func(yield func(*audit.Erasure, error) bool) {
		for org, err := range c.organizations(ctx, client) {
			if err != nil {
				yield(nil, err)
				return
			}
			for e, err := range client.Erasures(ctx, org) {
				if !yield(e, err) || err != nil {
					return
				}
			}
		}
	}, []string{"ID", "ORGANIZATION", "SUBJECT", "STATE", "ERASED", "HELD", "REFERENCE", "DONE"}, erasureRow)
}

// organizations are those whose erasures are listed.
func (c *erasuresCmd) organizations(ctx context.Context, client *audit.Client) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if !c.All {
			yield(c.Org, nil)
			return
		}
		for o, err := range client.Organizations(ctx, audit.OrganizationOptions{}) {
			if err != nil {
				yield("", err)
				return
			}
			if !yield(o.ID, nil) {
				return
			}
		}
	}
}

func erasureRow(e *audit.Erasure) []string {
	done := ""
	if !e.DoneAt.IsZero() {
		done = e.DoneAt.Format(time.RFC3339)
	}
	return []string{
		e.ID, e.OrganizationID, e.Subject, e.State, strconv.FormatUint(e.Erased, 10), strconv.FormatUint(e.Held, 10), e.Reference, done,
	}
}
