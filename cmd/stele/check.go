package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/stelehq/stele/internal/app"
	"github.com/stelehq/stele/internal/ledger"
)

// checkCmd re-reads everything in a data directory that no server uses.
type checkCmd struct {
	Data string `help:"Data directory. The server must be stopped." env:"STELE_DATA" type:"path" required:"" placeholder:"DIR"`
	Org  string `help:"Check this organization only." placeholder:"ORG"`
	JSON bool   `help:"Print JSON lines for programs."`
}

// checkLine is what is printed for each problem and, at the end, for each
// organization.
type checkLine struct {
	Organization string `json:"organization,omitempty"` // empty for the store as a whole
	From         uint64 `json:"from,omitempty"`
	To           uint64 `json:"to,omitempty"`
	Problem      string `json:"problem,omitempty"`
	Entries      uint64 `json:"entries,omitempty"`
	Erased       uint64 `json:"erased,omitempty"`
	Removed      uint64 `json:"removed,omitempty"`
	Root         string `json:"root,omitempty"`
	Problems     int    `json:"problems"`
}

// Run exits with 3 when anything is wrong.
func (c *checkCmd) Run(ctx context.Context, p *process) error {
	logger := slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	log, err := app.OpenLog(ctx, c.Data, p.now, logger)
	if err != nil {
		return err
	}
	problems, err := c.checkAll(ctx, p, log)
	if err = errors.Join(err, log.Close()); err != nil {
		return err
	}
	if problems > 0 {
		return &exitCodeError{exitUnsound, fmt.Errorf("%d problems", problems)}
	}
	return nil
}

func (c *checkCmd) checkAll(ctx context.Context, p *process, log *app.Log) (problems int, err error) {
	orgs := []string{c.Org}
	if c.Org != "" {
		if _, err := log.Catalog.Organization(ctx, c.Org); err != nil {
			return 0, err
		}
	}
	if problems, err = c.checkStore(ctx, p, log); err != nil {
		return problems, err
	}
	if c.Org == "" {
		if orgs, err = log.Organizations(ctx); err != nil {
			return problems, err
		}
	}
	for _, org := range orgs {
		n, err := c.checkOne(ctx, p, log, org)
		if err != nil {
			return problems, fmt.Errorf("organization %s: %w", org, err)
		}
		problems += n
	}
	return problems, nil
}

// checkStore checks what the store keeps of all organizations together, and what
// belongs to none: checksums, missing entries, keys and heads, receipts, records.
func (c *checkCmd) checkStore(ctx context.Context, p *process, log *app.Log) (problems int, err error) {
	err = log.Store.Check(ctx, func(problem error) {
		problems++
		if c.JSON {
			_ = printJSONLine(p.stdout, checkLine{Problem: problem.Error(), Problems: 1})
			return
		}
		fmt.Fprintf(p.stdout, "store: %s\n", printable(problem.Error()))
	})
	return problems, err
}

func (c *checkCmd) checkOne(ctx context.Context, p *process, log *app.Log, org string) (problems int, err error) {
	result, err := log.Ledger.Check(ctx, org, func(pr ledger.Problem) {
		line := checkLine{Organization: org, From: pr.From, To: pr.To, Problem: pr.What, Problems: 1}
		if c.JSON {
			_ = printJSONLine(p.stdout, line)
			return
		}
		fmt.Fprintf(p.stdout, "%s: entries %d to %d: %s\n", org, pr.From, pr.To, printable(pr.What))
	})
	if err != nil {
		return 0, err
	}
	if c.JSON {
		return result.Problems, printJSONLine(p.stdout, checkLine{
			Organization: org, Entries: result.Entries, Erased: result.Erased, Removed: result.Removed,
			Root: result.Root.String(), Problems: result.Problems,
		})
	}
	verdict := "sound"
	if result.Problems > 0 {
		verdict = fmt.Sprintf("%d PROBLEMS", result.Problems)
	}
	_, err = fmt.Fprintf(p.stdout, "%s: %s, root %s: %s\n", org, counted(result), result.Root, verdict)
	return result.Problems, err
}

// counted says what there is of a log, and what is not there any more.
func counted(r ledger.CheckResult) string {
	text := fmt.Sprintf("%d entries", r.Entries)
	if r.Erased > 0 {
		text += fmt.Sprintf(", the details of %d of them erased", r.Erased)
	}
	if r.Removed > 0 {
		text += fmt.Sprintf(", %d more removed", r.Removed)
	}
	return text
}
