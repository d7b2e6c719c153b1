package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/stelehq/stele/audit"
)

// importCmd records events from a file of JSON lines.
type importCmd struct {
	remote
	Org   string `help:"Organization." required:"" env:"STELE_ORG" placeholder:"ORG"`
	File  string `arg:"" help:"File of one event a line; - is standard input."`
	Batch int    `help:"Events a request." default:"1000"`
}

// importBytes is the size at which a request is sent even with fewer events:
// well below what the server takes, for the keys that are added.
const importBytes = audit.MaxBatchBytes / 2

// importTries is how often a request is sent before giving up.
const importTries = 8

// importer is one run. Every line goes with an idempotency key made of its
// number and content, so that running the import again, with lines corrected in
// their places, records nothing twice.
type importer struct {
	*importCmd
	p        *process
	progress *progress
	total    uint64 // size of the file, 0 when unknown

	line  uint64 // last line read, from 1
	read  uint64 // bytes read
	body  bytes.Buffer
	lines []uint64 // numbers of the lines in body

	result importResult
}

// importResult is what an import did.
type importResult struct {
	Recorded   int `json:"recorded"`
	Duplicates int `json:"already_recorded"`
	Refused    int `json:"refused"`
}

// Run imports the file; it exits with 4 when lines were refused.
func (c *importCmd) Run(ctx context.Context, p *process) error {
	if c.Batch < 1 || c.Batch > audit.MaxBatchEvents {
		return &exitCodeError{exitUsage, fmt.Errorf("--batch: must be 1 to %d", audit.MaxBatchEvents)}
	}
	in, size, err := c.open(p)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // only read
	im := &importer{importCmd: c, p: p, progress: newProgress(p, "bytes"), total: size}
	err = im.run(ctx, bufio.NewReaderSize(in, 1<<20))
	im.progress.end()
	if err != nil {
		return fmt.Errorf("%w; %d events were recorded: run the same import again to go on", err, im.result.Recorded)
	}
	return im.finish()
}

func (c *importCmd) open(p *process) (io.ReadCloser, uint64, error) {
	if c.File == "-" {
		return io.NopCloser(p.stdin), 0, nil
	}
	f, err := os.Open(c.File)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, uint64(max(info.Size(), 0)), nil
}

func (im *importer) finish() error {
	r := im.result
	if im.JSON {
		if err := printJSONLine(im.p.stdout, r); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(im.p.stdout, "%d recorded, %d already recorded, %d refused\n", r.Recorded, r.Duplicates, r.Refused)
	}
	if r.Refused > 0 {
		return &exitCodeError{exitRefused, fmt.Errorf("%d lines were refused; correct them in their places and import the file again", r.Refused)}
	}
	return nil
}

func (im *importer) run(ctx context.Context, in *bufio.Reader) error {
	for {
		text, err := im.next(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if text != nil {
			if len(im.lines) == im.Batch || (len(im.lines) > 0 && im.body.Len()+len(text) > importBytes) {
				if err := im.send(ctx); err != nil {
					return err
				}
			}
			im.add(text)
		}
		if err != nil {
			return im.send(ctx)
		}
	}
}

// next returns the next line that is not blank, nil for one that was refused or
// is blank, and io.EOF with or after the last.
func (im *importer) next(in *bufio.Reader) ([]byte, error) {
	im.line++
	var text []byte
	for {
		part, err := in.ReadSlice('\n')
		im.read += uint64(len(part))
		if len(text) <= audit.MaxEventBytes { // beyond it the line is only skipped
			text = append(text, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		text = bytes.TrimSpace(text)
		switch {
		case len(text) == 0:
			return nil, err
		case len(text) > audit.MaxEventBytes:
			im.refuse(im.line, "", fmt.Sprintf("has more than %d bytes", audit.MaxEventBytes))
			return nil, err
		}
		return text, err
	}
}

// add puts a line into the body, with an idempotency key unless it has one.
func (im *importer) add(text []byte) {
	im.lines = append(im.lines, im.line)
	if rest, ok := bytes.CutPrefix(text, []byte("{")); ok && !hasKey(text) {
		sum := sha256.Sum256(append(strconv.AppendUint(nil, im.line, 10), text...))
		im.body.WriteString(`{"idempotency_key":"import-`)
		im.body.WriteString(base64.RawURLEncoding.EncodeToString(sum[:18]))
		im.body.WriteByte('"')
		if rest = bytes.TrimSpace(rest); !bytes.HasPrefix(rest, []byte("}")) {
			im.body.WriteByte(',')
		}
		text = rest
	}
	im.body.Write(text)
	im.body.WriteByte('\n')
}

// hasKey says whether an event brings its own idempotency key.
func hasKey(text []byte) bool {
	if !bytes.Contains(text, []byte(`"idempotency_key"`)) {
		return false
	}
	var e struct {
		Key *string `json:"idempotency_key"`
	}
	return json.Unmarshal(text, &e) == nil && e.Key != nil
}

// send records the body's events; the valid ones of them.
func (im *importer) send(ctx context.Context) error {
	if len(im.lines) == 0 {
		return nil
	}
	var answer importAnswer
	if err := im.post(ctx, &answer); err != nil {
		return err
	}
	for _, e := range answer.Entries {
		if e.Duplicate {
			im.result.Duplicates++
		} else {
			im.result.Recorded++
		}
	}
	for _, e := range answer.Errors {
		if e.Line < 1 || e.Line > len(im.lines) {
			return fmt.Errorf("the server refused a line %d that was not sent: %s", e.Line, e.Message)
		}
		im.refuse(im.lines[e.Line-1], e.Field, e.Message)
	}
	if n := len(answer.Entries) + len(answer.Errors); n != len(im.lines) {
		return fmt.Errorf("the server answered for %d of %d events", n, len(im.lines))
	}
	im.body.Reset()
	im.lines = im.lines[:0]
	im.progress.show(im.read, im.total)
	return nil
}

// importAnswer is what the server says of a request.
type importAnswer struct {
	Entries []audit.Receipt `json:"entries"`
	Errors  []*audit.Error  `json:"errors"`
}

// noneValid turns the error for a request without a valid event into the answer
// that it is.
func (a *importAnswer) noneValid(err error) bool {
	refused, ok := errors.AsType[*audit.Error](err)
	if !ok || refused.Line == 0 {
		return false
	}
	a.Errors = refused.Errors
	if len(a.Errors) == 0 {
		a.Errors = []*audit.Error{refused}
	}
	return true
}

// post sends the body, again when the server or the way to it fails for a
// while. The keys make that harmless.
func (im *importer) post(ctx context.Context, answer *importAnswer) error {
	path := "/v1/organizations/" + url.PathEscape(im.Org) + "/events?partial=true"
	for try := 1; ; try++ {
		res, err := im.remote.send(ctx, http.MethodPost, path, "application/x-ndjson", bytes.NewReader(im.body.Bytes()))
		if err == nil {
			err = json.NewDecoder(res.Body).Decode(answer)
			return errors.Join(err, res.Body.Close())
		}
		if answer.noneValid(err) {
			return nil
		}
		if try == importTries || ctx.Err() != nil || !worthRetry(err) {
			return err
		}
		fmt.Fprintf(im.p.stderr, "stele: %v; trying again\n", err)
		pause := time.Duration(rand.Int64N(int64(100*time.Millisecond) << try)) //nolint:gosec // only spreads load
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// worthRetry says whether the same request may work later.
func worthRetry(err error) bool {
	refused, ok := errors.AsType[*audit.Error](err)
	if !ok {
		return true // the connection, or a gateway
	}
	switch refused.Code {
	case audit.CodeRateLimited, audit.CodeOverloaded, audit.CodeUnavailable, audit.CodeInternal:
		return true
	default:
		return false
	}
}

// refuse reports a line that cannot be recorded.
func (im *importer) refuse(line uint64, field, message string) {
	im.result.Refused++
	im.progress.end()
	if field != "" {
		message = field + ": " + message
	}
	fmt.Fprintf(im.p.stderr, "line %d: %s\n", line, printable(message))
}
