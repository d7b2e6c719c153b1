package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The formats of an export.
const (
	FormatCSV      = "csv"
	FormatJSONL    = "jsonl"
	FormatEvidence = "evidence" // a zip of both, which VerifyEvidence verifies
)

// The states of an export. It ends as ready or error; a ready one becomes expired
// once its file is removed.
const (
	ExportPending = "pending"
	ExportRunning = "running"
	ExportReady   = "ready"
	ExportError   = "error"
	ExportExpired = "expired"
)

// Export is a file made of what a query finds.
type Export struct {
	ID             string `json:"id"`
	OrganizationID string `json:"organization_id"`
	// Query is the filter as text. QueryRemoved says that it is not known any
	// more, because it named somebody who was erased.
	Query        string `json:"query"`
	QueryRemoved bool   `json:"query_removed,omitempty"`
	Format       string `json:"format"`
	// Order is "asc" or "desc" by seq.
	Order string `json:"order"`
	// NeutralizeFormulas says that cells which a spreadsheet would run are
	// made harmless.
	NeutralizeFormulas bool `json:"neutralize_formulas"`
	// Zone and OlderCheckpoint are those of the options, for evidence.
	Zone            string `json:"zone,omitempty"`
	OlderCheckpoint string `json:"older_checkpoint,omitempty"`
	// State is ExportPending, ExportRunning, ExportReady, ExportError or
	// ExportExpired.
	State string `json:"state"`
	// Rows is how many entries were written so far, Total how many it will be
	// once that is known, Percent how much of the work is done.
	Rows    uint64  `json:"rows"`
	Total   *uint64 `json:"total,omitempty"`
	Percent int     `json:"percent"`
	Bytes   int64   `json:"bytes"`
	// Error says why it ended in ExportError, or why its file was removed
	// before its time.
	Error string `json:"error,omitempty"`
	// CompleteThrough is the newest entry that the export covers.
	CompleteThrough *Position `json:"complete_through"`
	// CreatedBy is the id of who asked, CreatedByName their name and
	// CreatedByType "key" or, at the pages, "person".
	CreatedBy     string    `json:"created_by,omitempty"`
	CreatedByName string    `json:"created_by_name,omitempty"`
	CreatedByType string    `json:"created_by_type,omitempty"`
	CreatedAt     time.Time `json:"created_at"`
	UpdatedAt     time.Time `json:"updated_at"`
	ReadyAt       time.Time `json:"ready_at,omitzero"`
	ExpiresAt     time.Time `json:"expires_at,omitzero"`
	// Download is where the file is; set by [Client.Export] once it is ready.
	Download *Download `json:"download,omitempty"`
}

// Ended reports whether nothing more will be written.
func (e *Export) Ended() bool { return e.State != ExportPending && e.State != ExportRunning }

// Download is a link that needs no key, for a few minutes.
type Download struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"`
}

// ExportOptions says how the file is written.
type ExportOptions struct {
	// Format is FormatCSV, FormatJSONL or FormatEvidence; FormatCSV when "".
	Format string
	// Descending writes the newest entry first; not for evidence.
	Descending bool
	// RawCells leaves cells of a CSV file as they are, even where a
	// spreadsheet would run them as a formula.
	RawCells bool
	// Zone is the IANA time zone that the manifest of evidence names; UTC when
	// "".
	Zone string
	// OlderCheckpoint is a signed checkpoint of the log that was kept from
	// earlier: evidence proves that the log extends it. None when "".
	OlderCheckpoint string
}

// CreateExport begins to write a file of what a query finds up to now.
func (c *Client) CreateExport(ctx context.Context, org string, q Query, opts ExportOptions) (*Export, error) {
	body := map[string]any{"query": q.String(), "neutralize_formulas": !opts.RawCells}
	if opts.Format != "" {
		body["format"] = opts.Format
	}
	if opts.Descending {
		body["order"] = "desc"
	}
	if opts.Zone != "" {
		body["zone"] = opts.Zone
	}
	if opts.OlderCheckpoint != "" {
		body["older_checkpoint"] = opts.OlderCheckpoint
	}
	out := new(Export)
	return out, c.send(ctx, http.MethodPost, orgPath(org, "exports"), body, out)
}

// Export returns an export by its id.
func (c *Client) Export(ctx context.Context, org, id string) (*Export, error) {
	out := new(Export)
	return out, c.get(ctx, orgPath(org, "exports", id), nil, out)
}

// Exports yields the exports of an organization, newest first. It ends after the
// first error.
func (c *Client) Exports(ctx context.Context, org string) iter.Seq2[*Export, error] {
	return list[Export](ctx, c, orgPath(org, "exports"), "exports", url.Values{})
}

// WaitExport returns an export once it is ready; one that ended otherwise is an
// error. progress, when not nil, is called each time the server is asked.
func (c *Client) WaitExport(ctx context.Context, org, id string, progress func(*Export)) (*Export, error) {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		e, err := c.Export(ctx, org, id)
		if err != nil {
			return nil, err
		}
		if progress != nil {
			progress(e)
		}
		switch {
		case e.State == ExportReady:
			return e, nil
		case e.Ended():
			return e, fmt.Errorf("the export ended as %s: %s", e.State, e.Error)
		}
		if err := c.pause(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// DownloadExport writes the file of a ready export to w and returns its size.
// When the connection is lost, it goes on where it was. After an error, w has a
// part of the file.
func (c *Client) DownloadExport(ctx context.Context, org, id string, w io.Writer) (int64, error) {
	d := &download{client: c, w: w}
	for failures := 0; ; failures++ {
		// Asked each time: the link may have expired meanwhile.
		e, err := c.Export(ctx, org, id)
		if err != nil {
			return d.size, err
		}
		if e.Download == nil {
			return d.size, fmt.Errorf("the export has no file: it is %s", e.State)
		}
		before := d.size
		err = d.get(ctx, e.Download.URL)
		if d.size > before {
			failures = 0
		}
		pause, again := pauseAfter(err, failures)
		if err == nil || !again || failures >= c.retries() || c.pause(ctx, pause) != nil {
			return d.size, plainRefusal(err)
		}
	}
}

// download is a file on its way.
type download struct {
	client *Client
	w      io.Writer
	size   int64  // written so far
	etag   string // of the file
}

// get reads the rest of the file.
func (d *download) get(ctx context.Context, link string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return fmt.Errorf("download: %w", err)
	}
	// The bytes of the file are what is counted.
	req.Header.Set("Accept-Encoding", "identity")
	if d.size > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.size))
		req.Header.Set("If-Range", d.etag)
	}
	res, err := d.client.roundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // read to its end below
	if d.size > 0 && !strings.HasPrefix(res.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", d.size)) {
		return errors.New("download: the server does not go on where the connection was lost")
	}
	d.etag = res.Header.Get("ETag")
	out := &writeErrors{w: d.w}
	n, err := io.Copy(out, res.Body)
	d.size += n
	switch {
	case out.err != nil:
		return fmt.Errorf("download: write: %w", out.err)
	case err != nil:
		return &transportError{fmt.Errorf("download: %w", err)}
	}
	return nil
}

// writeErrors keeps the error of the writer apart from that of the reader.
type writeErrors struct {
	w   io.Writer
	err error
}

func (w *writeErrors) Write(b []byte) (int, error) {
	n, err := w.w.Write(b)
	w.err = err
	return n, err
}
