package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/stelehq/stele/audit"
)

// maxAnswer bounds what is read of a witness's answer: some signature lines.
const maxAnswer = 64 << 10

var errRedirect = errors.New("redirects are not followed: put the address that it leads to in the policy")

func noRedirect(*http.Request, []*http.Request) error { return errRedirect }

func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" {
		return fmt.Errorf("%q is not the address of a witness: it must be http:// or https://", text)
	}
	return nil
}

// sizeOf is the size that a signed checkpoint states.
func sizeOf(note string) (uint64, bool) {
	text, _, ok := strings.Cut(note, "\n\n")
	if !ok {
		return 0, false
	}
	cp, err := audit.ParseCheckpoint(text + "\n")
	return cp.Size, err == nil
}

// knowsError says what a witness has seen already.
type knowsError struct{ size uint64 }

func (e *knowsError) Error() string { return fmt.Sprintf("it has seen %d entries", e.size) }

// ask has a witness sign a checkpoint of size entries. held is what it is thought
// to have seen of the log. It returns the signature lines, and what the witness
// has seen now.
func (c *Cosigner) ask(ctx context.Context, w *audit.Witness, org string, note []byte, size, held uint64) (lines []byte, now uint64, err error) {
	if held > size {
		held = 0 // it says itself
	}
	for range 2 {
		var body []byte
		if body, err = c.body(ctx, org, note, size, held); err != nil {
			return nil, held, err
		}
		var answer []byte
		answer, err = c.post(ctx, w, body)
		knows := new(knowsError)
		if errors.As(err, &knows) {
			if knows.size > size {
				return nil, held, fmt.Errorf("it has seen %d entries of this log, which has %d: this store is an older copy, or another server signs for the log", knows.size, size)
			}
			held = knows.size
			continue
		}
		if err != nil {
			return nil, held, err
		}
		if lines, err = c.valid(w, note, answer); err != nil {
			return nil, held, err
		}
		return lines, size, nil
	}
	return nil, held, err
}

// body is the body of an add-checkpoint request.
func (c *Cosigner) body(ctx context.Context, org string, note []byte, size, held uint64) ([]byte, error) {
	body := fmt.Appendf(nil, "old %d\n", held)
	if held > 0 && held < size {
		proof, err := c.cfg.Log.ProveTree(ctx, org, size, held)
		if err != nil {
			return nil, fmt.Errorf("prove that the log extends what the witness has seen: %w", err)
		}
		for _, h := range proof {
			body = fmt.Appendf(body, "%s\n", h)
		}
	}
	return append(append(body, '\n'), note...), nil
}

// post sends a request. The error for a witness that has seen another size than the
// request begins with is a *knowsError.
func (c *Cosigner) post(ctx context.Context, w *audit.Witness, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(w.URL, "/")+"/add-checkpoint", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	res, err := c.cfg.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // what it says is read
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	switch res.StatusCode {
	case http.StatusOK:
		return answer, nil
	case http.StatusConflict:
		size, err := strconv.ParseUint(strings.TrimSuffix(string(answer), "\n"), 10, 63)
		if err != nil {
			return nil, fmt.Errorf("it answered %s without saying what it has seen", res.Status)
		}
		return nil, &knowsError{size}
	case http.StatusNotFound:
		return nil, errors.New("it does not know the log: give it the log's origin and verifier key, as GET …/log/vkey answers")
	default:
		return nil, fmt.Errorf("it answered %s: %.200q", res.Status, answer)
	}
}

// valid returns those lines of an answer that are the witness's own cosignatures.
func (c *Cosigner) valid(w *audit.Witness, note, answer []byte) ([]byte, error) {
	bare := note[:bytes.Index(note, []byte("\n\n"))+2]
	for line := range bytes.Lines(answer) {
		signed, err := c.cfg.Policy.Cosignatures(append(bytes.Clone(bare), line...))
		if err == nil && len(signed) == 1 && signed[0].Witness == w.Name {
			return line, nil
		}
	}
	return nil, errors.New("its answer has no cosignature by the key that the policy has for it")
}
