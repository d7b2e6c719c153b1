package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
)

// checkpointCmd is about the signed checkpoints of logs.
type checkpointCmd struct {
	Show  checkpointShowCmd  `cmd:"" help:"Print the signed checkpoint of a log as it is now."`
	Watch checkpointWatchCmd `cmd:"" help:"Keep the checkpoints of logs outside of the server, and alarm when one does not extend the last."`
}

// checkpointShowCmd prints what the server signs.
type checkpointShowCmd struct {
	remote
	Org       string `help:"Organization." env:"STELE_ORG" required:"" placeholder:"ORG"`
	Witnessed bool   `help:"Print the newest checkpoint that a quorum of the server's witnesses has counter-signed."`
	Policy    string `help:"Policy with the witnesses that you trust (C2SP tlog-policy): say on standard error who has signed, and end with 3 unless they are a quorum." type:"existingfile" placeholder:"FILE"`
}

// Run prints the note as it is: it can be kept and given to verify --checkpoint.
func (c *checkpointShowCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	get := client.Checkpoint
	if c.Witnessed {
		get = client.WitnessedCheckpoint
	}
	note, err := get(ctx, c.Org)
	if err != nil {
		return err
	}
	if _, err = p.stdout.Write(note); err != nil || c.Policy == "" {
		return err
	}
	return c.checkWitnesses(p, note)
}

// checkWitnesses says who has counter-signed a checkpoint.
func (c *checkpointShowCmd) checkWitnesses(p *process, signed []byte) error {
	text, err := os.ReadFile(c.Policy)
	if err != nil {
		return err
	}
	policy, err := audit.ParsePolicy(string(text))
	if err != nil {
		return &exitCodeError{exitUsage, fmt.Errorf("--policy %s: %w", c.Policy, err)}
	}
	list, err := policy.Cosignatures(signed)
	if err != nil {
		return unsound(err)
	}
	for _, s := range list {
		fmt.Fprintf(p.stderr, "%s (%s) signed it at %s.\n", printable(s.Witness), printable(s.Key), s.At.Format(time.RFC3339))
	}
	if !policy.Satisfied(list) {
		return &exitCodeError{exitUnsound, errors.New("NOT WITNESSED: those who signed are no quorum of the policy")}
	}
	return nil
}

// checkpointWatchCmd is a witness on somebody else's machine: it remembers what
// the server has signed, so that the server cannot sign another history.
type checkpointWatchCmd struct {
	remote
	Org    []string      `help:"Organizations whose logs are watched." env:"STELE_ORG" required:"" placeholder:"ORG"`
	Save   string        `help:"Directory in which the checkpoints are kept: on another machine than the server's." type:"path" required:"" placeholder:"DIR"`
	Vkey   string        `help:"Verifier key of the server, or a file that holds it. Without it the key that the server gives the first time is kept in the directory." env:"STELE_VKEY" placeholder:"KEY"`
	Every  time.Duration `help:"How often to look." default:"1m" placeholder:"DURATION"`
	Once   bool          `help:"Look once and end."`
	Notify string        `help:"URL that an alarm is posted to as JSON, beside standard error." placeholder:"URL"`
}

// Validate refuses what would ask without end.
func (c *checkpointWatchCmd) Validate() error {
	if c.Every < time.Second {
		return fmt.Errorf("--every: %s is less than a second", c.Every)
	}
	if c.Notify == "" {
		return nil
	}
	if u, err := url.Parse(c.Notify); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("--notify: must be an http:// or https:// URL")
	}
	return nil
}

// Run looks until it is interrupted. It ends with 3 when a log is not what it
// was; a server that cannot be reached is asked again.
func (c *checkpointWatchCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	w := &checkpointWatch{checkpointWatchCmd: c, p: p, client: client}
	if err := os.MkdirAll(c.Save, 0o700); err != nil {
		return err
	}
	tick := time.NewTicker(c.Every)
	defer tick.Stop()
	for {
		err := w.round(ctx)
		if ctx.Err() != nil {
			return nil // it was told to stop
		}
		if _, final := errors.AsType[*exitCodeError](err); final || c.Once {
			return err
		}
		if err != nil {
			fmt.Fprintf(p.stderr, "%s %v; asking again in %s\n", p.now().UTC().Format(time.RFC3339), err, c.Every)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// checkpointWatch is a watch under way.
type checkpointWatch struct {
	*checkpointWatchCmd
	p        *process
	client   *audit.Client
	verifier *audit.Verifier
}

// round looks at every log once. Of several errors an alarm is the one returned.
func (w *checkpointWatch) round(ctx context.Context) error {
	if w.verifier == nil {
		if err := w.readKey(ctx); err != nil {
			return err
		}
	}
	var failed, alarm error
	for _, org := range w.Org {
		err := w.look(ctx, org)
		if _, wrong := errors.AsType[*audit.VerifyError](err); wrong {
			alarm = errors.Join(alarm, &exitCodeError{exitUnsound, w.alarm(ctx, org, err)})
			continue
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", org, err))
		}
	}
	if alarm != nil {
		return alarm
	}
	return failed
}

// readKey takes the key that was given or kept, or keeps the server's.
func (w *checkpointWatch) readKey(ctx context.Context) error {
	kept := filepath.Join(w.Save, "vkey")
	text := w.Vkey
	if data, err := os.ReadFile(text); err == nil { //nolint:gosec // a file the caller named
		text = string(data)
	}
	if text == "" {
		data, err := os.ReadFile(kept) //nolint:gosec // below the directory the caller named
		if errors.Is(err, fs.ErrNotExist) {
			if text, err = w.client.VerifierKey(ctx); err == nil {
				err = saveWhole(kept, []byte(text))
				fmt.Fprintf(w.p.stderr, "Kept the key that the server gave just now in %s; compare it with one that you got another way:\n%s\n", kept, strings.TrimSpace(text))
			}
		} else {
			text = string(data)
		}
		if err != nil {
			return err
		}
	}
	v, err := audit.NewVerifier(strings.Fields(text)...)
	if err != nil {
		return &exitCodeError{exitUsage, fmt.Errorf("--vkey: %w", err)}
	}
	w.verifier = v
	return nil
}

// look takes a log's checkpoint and holds it to the one that was kept.
func (w *checkpointWatch) look(ctx context.Context, org string) error {
	note, err := w.client.Checkpoint(ctx, org)
	if err != nil {
		return err
	}
	now, err := w.verifier.Open(note)
	if err != nil {
		return w.conflict(org, note, err)
	}
	if now.OrganizationID() != org {
		return w.conflict(org, note, &audit.VerifyError{Check: audit.CheckOrigin, Message: fmt.Sprintf("asked for %s, the server gave the checkpoint of %s", org, now.Origin)})
	}
	kept, err := os.ReadFile(w.file(org, "latest"))
	if errors.Is(err, fs.ErrNotExist) {
		return w.keep(org, now, note, "the first that is kept")
	}
	if err != nil {
		return err
	}
	older, err := w.verifier.Open(kept)
	if err != nil {
		return fmt.Errorf("%s: %w", w.file(org, "latest"), err)
	}
	if now == older {
		return nil
	}
	proof, err := w.proof(ctx, org, older, now)
	if err == nil {
		err = now.Extends(older, proof)
	}
	if err != nil {
		return w.conflict(org, note, err)
	}
	return w.keep(org, now, note, fmt.Sprintf("extends that of %d", older.Size))
}

// proof asks for the proof between two checkpoints, where there has to be one. A
// server that has signed both and has no proof is as bad as one with a wrong one.
func (w *checkpointWatch) proof(ctx context.Context, org string, older, now audit.Checkpoint) ([]tlog.Hash, error) {
	if older.Size == 0 || older.Size >= now.Size {
		return nil, nil
	}
	proof, err := w.client.Consistency(ctx, org, older.Size, now.Size)
	if errors.Is(err, &audit.Error{Code: audit.CodeNotFound}) || errors.Is(err, &audit.Error{Code: audit.CodeGone}) {
		return nil, &audit.VerifyError{Check: audit.CheckConsistency, Message: fmt.Sprintf("the server cannot prove that the log extends the checkpoint of %d entries that it signed: %v", older.Size, err)}
	}
	return proof, err
}

// keep remembers a checkpoint that was verified: as the newest, and as the last of
// its day.
func (w *checkpointWatch) keep(org string, c audit.Checkpoint, note []byte, how string) error {
	if err := os.MkdirAll(filepath.Dir(w.file(org, "latest")), 0o700); err != nil {
		return err
	}
	day := w.p.now().UTC().Format(time.DateOnly) + ".checkpoint"
	if err := errors.Join(saveWhole(w.file(org, day), note), saveWhole(w.file(org, "latest"), note)); err != nil {
		return err
	}
	if w.JSON {
		return printJSONLine(w.p.stdout, c)
	}
	_, err := fmt.Fprintf(w.p.stdout, "%s %s: checkpoint of %d entries, %s\n", w.p.now().UTC().Format(time.RFC3339), printable(c.Origin), c.Size, how)
	return err
}

// file is where something of an organization is kept.
func (w *checkpointWatch) file(org, name string) string {
	return filepath.Join(w.Save, "org-"+url.PathEscape(org), name)
}

// conflict keeps a checkpoint that does not fit beside those that do: with the one
// that was kept it is the evidence.
func (w *checkpointWatch) conflict(org string, note []byte, cause error) error {
	if _, wrong := errors.AsType[*audit.VerifyError](cause); !wrong {
		return cause
	}
	name := w.file(org, "conflict-"+w.p.now().UTC().Format("20060102T150405Z")+".checkpoint")
	err := os.MkdirAll(filepath.Dir(name), 0o700)
	if err == nil {
		err = saveWhole(name, note)
	}
	return errors.Join(cause, err)
}

// alarm says aloud that a log is not what it was.
func (w *checkpointWatch) alarm(ctx context.Context, org string, cause error) error {
	err := fmt.Errorf("ALARM: the log of %s: %w; what the server signed is kept in %s", org, cause, filepath.Dir(w.file(org, "latest")))
	if w.Notify == "" {
		return err
	}
	body, _ := json.Marshal(map[string]string{"type": "stele.checkpoint_alarm", "organization": org, "message": cause.Error(), "at": w.p.now().UTC().Format(time.RFC3339)}) // texts alone
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, reqErr := http.NewRequestWithContext(ctx, http.MethodPost, w.Notify, bytes.NewReader(body))
	if reqErr == nil {
		req.Header.Set("Content-Type", "application/json")
		var res *http.Response
		if res, reqErr = http.DefaultClient.Do(req); reqErr == nil {
			if reqErr = res.Body.Close(); res.StatusCode/100 != 2 {
				reqErr = fmt.Errorf("the receiver answered %s", res.Status)
			}
		}
	}
	if reqErr != nil {
		return errors.Join(err, fmt.Errorf("--notify: %w", reqErr))
	}
	return err
}
