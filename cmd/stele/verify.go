package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
)

// verifyCmd checks what a server says without trusting it.
type verifyCmd struct {
	remote
	File       string `arg:"" optional:"" help:"Evidence zip, proof of one entry as GET …/events/ID/proof answered it, or destruction certificate; checked without any server. - is standard input." placeholder:"FILE"`
	Org        string `help:"Verify this organization's whole log, read from the server." env:"STELE_ORG" placeholder:"ORG"`
	Vkey       string `help:"Verifier key of the server, as GET /v1/log/vkey gives it, or a file that holds it. Get it once, and keep it yourself." env:"STELE_VKEY" placeholder:"KEY"`
	Checkpoint string `help:"Checkpoint kept from an earlier verification, or proof/checkpoint of an earlier evidence zip: the log must extend it." type:"existingfile" placeholder:"FILE"`
	Save       string `help:"Keep the verified checkpoint in this file, for --checkpoint next time." type:"path" placeholder:"FILE"`
}

// Help says what the exit codes mean.
func (c *verifyCmd) Help() string {
	return `Exit codes: 0 all of it was verified; 1 it could not be read; 2 the command line is wrong; 3 something is not as it was recorded, or cannot be shown to be.`
}

// Run exits with 3 when the file or the log is not sound.
func (c *verifyCmd) Run(ctx context.Context, p *process) error {
	switch {
	case c.File != "" && c.Org != "":
		return &exitCodeError{exitUsage, errors.New("name either a file or --org")}
	case c.File != "":
		return c.verifyFile(p)
	case c.Org != "":
		return c.verifyLog(ctx, p)
	default:
		return &exitCodeError{exitUsage, errors.New("name an evidence zip, a proof or a certificate, or --org to verify a whole log")}
	}
}

func (c *verifyCmd) verifyProof(p *process, data []byte) error {
	if c.Vkey == "" {
		return &exitCodeError{exitUsage, errors.New("no verifier key: set --vkey or STELE_VKEY")}
	}
	v, err := c.verifier()
	if err != nil {
		return err
	}
	proof, err := audit.ParseProof(data)
	if err != nil {
		return unsound(err)
	}
	checkpoint, err := proof.Verify(v)
	if err != nil {
		return unsound(err)
	}
	if c.JSON {
		line := map[string]any{"id": proof.Entry.ID, "seq": proof.Entry.Seq, "origin": checkpoint.Origin, "size": checkpoint.Size}
		if at := proof.Entry.ErasedAt; !at.IsZero() {
			line["erased_at"] = at
		}
		return printJSONLine(p.stdout, line)
	}
	_, err = fmt.Fprintf(p.stdout, "Entry %s is number %d of the log %s, unaltered, within the signed checkpoint of its first %d entries.\n",
		proof.Entry.ID, proof.Entry.Seq, checkpoint.Origin, checkpoint.Size)
	if at := proof.Entry.ErasedAt; err == nil && !at.IsZero() {
		_, err = fmt.Fprintf(p.stdout, "Its details (names, metadata, context) were erased, on %s as the server says; what they were cannot be checked any more.\n",
			at.UTC().Format("2006-01-02"))
	}
	return err
}

func (c *verifyCmd) verifyLog(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	if c.Vkey == "" {
		if err := c.fetchKey(ctx, p, client); err != nil {
			return err
		}
	}
	v, err := c.verifier()
	if err != nil {
		return err
	}
	progress := newProgress(p, "entries")
	kept := &keepingLog{LogReader: client.Log(c.Org)}
	opts := audit.LogOptions{Progress: progress.show}
	if c.Checkpoint != "" {
		if opts.Older, err = os.ReadFile(c.Checkpoint); err != nil {
			return err
		}
	}
	report, err := audit.VerifyLog(ctx, kept, v, opts)
	progress.end()
	if err != nil {
		return unsound(err)
	}
	if c.Save != "" {
		if err := saveWhole(c.Save, kept.checkpoint); err != nil {
			return fmt.Errorf("save the checkpoint: %w", err)
		}
	}
	return c.print(p, report)
}

// fetchKey asks the server for its key: better than nothing, and said so.
func (c *verifyCmd) fetchKey(ctx context.Context, p *process, client *audit.Client) error {
	key, err := client.VerifierKey(ctx)
	if err != nil {
		return err
	}
	c.Vkey = strings.TrimSpace(key)
	fmt.Fprintf(p.stderr, "Using the key the server gave just now; keep it and pass it with --vkey:\n%s\n", c.Vkey)
	return nil
}

func (c *verifyCmd) verifier() (*audit.Verifier, error) {
	text := c.Vkey
	if data, err := os.ReadFile(text); err == nil { //nolint:gosec // a file the caller named
		text = string(data)
	}
	v, err := audit.NewVerifier(strings.Fields(text)...)
	if err != nil {
		return nil, &exitCodeError{exitUsage, fmt.Errorf("--vkey: %w", err)}
	}
	return v, nil
}

func (c *verifyCmd) print(p *process, r audit.LogReport) error {
	if c.JSON {
		return printJSONLine(p.stdout, r)
	}
	if len(r.Removed) == 0 {
		fmt.Fprintf(p.stdout, "The log %s is whole: the hashes of all %d entries, computed again, give the root that was signed.\n",
			r.Checkpoint.Origin, r.Entries)
	} else {
		fmt.Fprintf(p.stdout, "The log %s has the root that was signed, of %d entries. The hashes of %d of them were computed again.\n",
			r.Checkpoint.Origin, r.Checkpoint.Size, r.Entries)
		printRemoved(p, r.Removed)
	}
	if r.Older != nil {
		fmt.Fprintf(p.stdout, "It extends the earlier checkpoint of %d entries: none of those was altered or removed.\n", r.Older.Size)
		return nil
	}
	_, err := fmt.Fprintln(p.stdout, "Nothing was compared with an earlier checkpoint; --save keeps this one for next time.")
	return err
}

// printRemoved says what could not be computed again, and what that means.
func printRemoved(p *process, removed []audit.Range) {
	var n uint64
	var ranges []string
	for i, r := range removed {
		n += r.To - r.From
		if i < maxRanges {
			ranges = append(ranges, fmt.Sprintf("%d to %d", r.From, r.To-1))
		}
	}
	if more := len(removed) - maxRanges; more > 0 {
		ranges = append(ranges, fmt.Sprintf("and %d ranges more", more))
	}
	fmt.Fprintf(p.stdout, "Of %d entries the log gives no records any more, because its retention removed them or others beside them: %s.\n"+
		"Their hashes are in the signed root, so nothing else can have been in their place. That they were due is not shown by this.\n",
		n, strings.Join(ranges, ", "))
}

// maxRanges is how many ranges of removed entries are named.
const maxRanges = 10

// keepingLog remembers the checkpoint it read.
type keepingLog struct {
	audit.LogReader
	checkpoint []byte
}

// ReadConsistency implements [audit.ConsistencyReader].
func (k *keepingLog) ReadConsistency(ctx context.Context, older, newer uint64) ([]tlog.Hash, error) {
	r, ok := k.LogReader.(audit.ConsistencyReader)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return r.ReadConsistency(ctx, older, newer)
}

// ReadCheckpoint reads the checkpoint and keeps it.
func (k *keepingLog) ReadCheckpoint(ctx context.Context) ([]byte, error) {
	var err error
	k.checkpoint, err = k.LogReader.ReadCheckpoint(ctx)
	return k.checkpoint, err
}

// unsound marks what was read and found wrong; a server that cannot be reached
// says nothing about its log.
func unsound(err error) error {
	if _, wrong := errors.AsType[*audit.VerifyError](err); !wrong {
		return err
	}
	return &exitCodeError{exitUnsound, fmt.Errorf("NOT VERIFIED: %w", err)}
}

func readInput(p *process, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(p.stdin)
	}
	return os.ReadFile(name) //nolint:gosec // a file the caller named
}

// saveWhole replaces a file by another, durably and never half: it may be the
// only checkpoint its owner has.
func saveWhole(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".stele-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // renamed away when all went well
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
