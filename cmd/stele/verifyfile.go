package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/stelehq/stele/audit"
)

// zipStarts are how zips begin; the second is of an empty one.
var zipStarts = []string{"PK\x03\x04", "PK\x05\x06"} //nolint:gochecknoglobals // a constant

// isZip reports whether what begins so is a zip.
func isZip(start []byte) bool {
	for _, s := range zipStarts {
		if bytes.HasPrefix(start, []byte(s)) {
			return true
		}
	}
	return false
}

// verifyFile checks a file without any server. What it is, it says itself.
func (c *verifyCmd) verifyFile(p *process) error {
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // only read
		var start [4]byte
		if n, _ := io.ReadFull(f, start[:]); isZip(start[:n]) {
			info, err := f.Stat()
			if err != nil {
				return err
			}
			return c.verifyEvidence(p, f, info.Size())
		}
	}
	data, err := readInput(p, c.File)
	if err != nil {
		return err
	}
	switch {
	case isZip(data):
		return c.verifyEvidence(p, bytes.NewReader(data), int64(len(data)))
	case audit.IsCertificate(data):
		return c.verifyCertificate(p, data)
	default:
		return c.verifyProof(p, data)
	}
}

// verifyEvidence checks an evidence zip.
func (c *verifyCmd) verifyEvidence(p *process, zip io.ReaderAt, size int64) error {
	progress := newProgress(p, "rows")
	opts := audit.EvidenceOptions{Progress: progress.show}
	var err error
	if c.Vkey != "" {
		if opts.Keys, err = c.verifier(); err != nil {
			return err
		}
	}
	if c.Checkpoint != "" {
		if opts.Older, err = os.ReadFile(c.Checkpoint); err != nil {
			return err
		}
	}
	report, err := audit.VerifyEvidence(zip, size, opts)
	progress.end()
	if len(report.Problems) == 0 && err != nil {
		return err
	}
	if err == nil && c.Save != "" {
		if err := saveWhole(c.Save, report.Signed); err != nil {
			return fmt.Errorf("save the checkpoint: %w", err)
		}
	}
	if c.JSON {
		if err := printJSONLine(p.stdout, evidenceJSON{err == nil, orNone(report.Verified()), orNone(report.NotVerified()), report}); err != nil {
			return err
		}
	} else if err == nil {
		printEvidence(p.stdout, &report)
	}
	return notVerified(report.Problems)
}

// orNone is a list that is [] in JSON when it is empty.
func orNone(said []string) []string { return append([]string{}, said...) }

// evidenceJSON is what --json prints of an evidence zip.
type evidenceJSON struct {
	Sound       bool                 `json:"sound"`
	Verified    []string             `json:"verified"`
	NotVerified []string             `json:"not_verified"`
	Report      audit.EvidenceReport `json:"report"`
}

// notVerified is the error that names every problem, nil when there is none.
func notVerified(problems []*audit.VerifyError) error {
	if len(problems) == 0 {
		return nil
	}
	said := make([]string, len(problems))
	for i, problem := range problems {
		said[i] = printable(problem.Sentence())
	}
	return &exitCodeError{exitUnsound, errors.New("NOT VERIFIED: " + strings.Join(said, "\n                     "))}
}

// printEvidence says what a sound zip is, what was verified and what was not.
func printEvidence(w io.Writer, r *audit.EvidenceReport) {
	m := r.Manifest
	fmt.Fprintln(w, printable(fmt.Sprintf("Evidence of the log %s%s, made %s for %s %s%s.", m.Origin, inParentheses(m.Organization.Name),
		m.CreatedAt.UTC().Format("2006-01-02 15:04:05 UTC"), m.RequestedBy.Type, m.RequestedBy.ID, inParentheses(m.RequestedBy.Name))))
	if m.Filter != "" {
		fmt.Fprintln(w, printable("Filter: "+m.Filter))
	}
	if !m.Received.From.IsZero() {
		fmt.Fprintln(w, "Received from", m.Received.From.UTC().Format("2006-01-02 15:04:05.000 UTC"))
	}
	if !m.Received.To.IsZero() {
		fmt.Fprintln(w, "Received before", m.Received.To.UTC().Format("2006-01-02 15:04:05.000 UTC"))
	}
	for _, part := range []struct {
		title string
		said  []string
	}{{"Verified:", r.Verified()}, {"Not verified, for nobody can from the file alone:", r.NotVerified()}} {
		fmt.Fprintf(w, "\n%s\n", part.title)
		for _, sentence := range part.said {
			fmt.Fprintln(w, " - "+printable(sentence))
		}
	}
}

func inParentheses(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}
