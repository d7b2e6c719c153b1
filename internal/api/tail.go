package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/server"
)

const (
	// tailBeat is how often a tail says that it lives, and looks whether its
	// key still opens the log.
	tailBeat = 15 * time.Second
	// tailChunk is how much is collected, with nothing held in the store,
	// before it is sent.
	tailChunk = 64 << 10
	// tailStep is how many entries are looked through at most, when the filters
	// admit few, before it looks at the time again.
	tailStep = 1 << 18
)

// errClosed ends a stream whose key no longer opens the log.
var errClosed = errors.New("the log is no longer open to the key")

// tail is one client that follows a log.
type tail struct {
	api   *api
	w     http.ResponseWriter
	ctl   *http.ResponseController
	org   string
	query audit.Query
	open  func() error // whether the client would still be let in
	due   time.Time    // when the next beat is, however busy the log
	next  uint64       // seq of the first entry not yet considered
	sent  uint64       // one more than the seq the client was last told
	buf   []byte
}

func (a *api) tailEvents(w http.ResponseWriter, r *server.Request) error {
	p, query, err := parseFilters(r, "from")
	if err != nil {
		return err
	}
	t := &tail{
		api: a, w: w, ctl: http.NewResponseController(w), org: r.Org(), query: query,
		open: func() error { return a.stillOpen(r) }, due: a.Now().Add(a.tailBeat),
	}
	if t.next, err = a.tailStart(r, p); err != nil {
		return err
	}
	t.buf = append(t.buf, "retry: 1000\n\n"...)
	if err := t.appendPosition(r.Context()); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold the entries back
	w.WriteHeader(http.StatusOK)

	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		select {
		case <-ctx.Done():
		case <-r.Draining():
			cancel()
		}
	}()
	// From here on there is no answer to put an error in: the stream ends, and
	// the client asks again from where it was.
	err = t.follow(ctx)
	if ctx.Err() != nil || errors.Is(err, errClosed) {
		return nil // asked again, the client is told why
	}
	return err
}

// tailStart finds the first entry wanted: after Last-Event-ID, at from, or the
// next one to be recorded.
func (a *api) tailStart(r *server.Request, p params) (uint64, error) {
	const header = "Last-Event-ID"
	head, err := a.Ledger.Head(r.Context(), r.Org())
	if err != nil {
		return 0, err
	}
	name, text, add := header, r.Header.Get(header), uint64(1)
	if text == "" {
		name, text, add = "from", p.text("from"), 0
		if !p.has("from") {
			return head.Size, nil
		}
	}
	seq, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, audit.FieldErrorf(audit.CodeInvalidRequest, name, "must be the seq of an entry")
	}
	if seq+add > head.Size {
		return 0, audit.FieldErrorf(audit.CodeInvalidRequest, name, "is past the end: the log has %d entries", head.Size)
	}
	return seq + add, nil
}

// follow sends entries until ctx ends or the log is no longer open, which is
// errClosed.
func (t *tail) follow(ctx context.Context) error {
	for {
		if err := t.catchUp(ctx); err != nil {
			return err
		}
		err := t.wait(ctx)
		if err != nil && (ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded)) {
			return err
		}
	}
}

// wait returns when there are entries not yet considered, or DeadlineExceeded
// when it is time for a beat.
func (t *tail) wait(ctx context.Context) error {
	ctx, cancel := context.WithDeadline(ctx, t.due)
	defer cancel()
	return t.api.Ledger.Wait(ctx, t.org, t.next)
}

// catchUp sends what the log holds now, and beats when it is time. It looks at
// the time before each part, because a log that is never silent, or a long one
// that is read from its beginning, is caught up with for a long time.
func (t *tail) catchUp(ctx context.Context) error {
	for {
		if err := t.beat(ctx); err != nil {
			return err
		}
		head, err := t.api.Ledger.Head(ctx, t.org)
		if err != nil {
			return err
		}
		if err := t.collect(ctx, min(head.Size, t.next+tailStep)); err != nil {
			return err
		}
		if err := t.flush(); err != nil {
			return err
		}
		if t.next >= head.Size {
			return nil
		}
	}
}

// beat, when it is time, checks that the client may go on reading and says that
// the stream lives, and how far it is when entries went by unsent.
func (t *tail) beat(ctx context.Context) error {
	if t.api.Now().Before(t.due) {
		return nil
	}
	t.due = t.api.Now().Add(t.api.tailBeat)
	if t.open() != nil {
		return errClosed
	}
	t.buf = append(t.buf, ": still here\n\n"...)
	if t.sent == t.next {
		return nil
	}
	return t.appendPosition(ctx)
}

// collect puts entries up to seq to into the buffer, until that is full. The
// store is done with when it returns: a slow client holds nothing in it.
func (t *tail) collect(ctx context.Context, to uint64) error {
	for e, err := range t.api.Engine.Scan(ctx, t.org, t.query, t.next, to, false) {
		if err != nil {
			return err
		}
		t.buf = append(t.buf, "event: entry\nid: "...)
		t.buf = strconv.AppendUint(t.buf, e.Seq, 10)
		t.buf = append(t.buf, "\ndata: "...)
		t.buf = e.AppendJSON(t.buf, t.org)
		t.buf = append(t.buf, "\n\n"...)
		t.next, t.sent = e.Seq+1, e.Seq+1
		if len(t.buf) >= tailChunk {
			return nil
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	t.next = max(t.next, to)
	return nil
}

// appendPosition tells the client up to where the stream is complete.
func (t *tail) appendPosition(ctx context.Context) error {
	t.sent = t.next
	if t.next == 0 {
		return nil
	}
	at, err := t.position(ctx)
	if err != nil || at == nil {
		return err
	}
	t.buf = append(t.buf, "event: position\nid: "...)
	t.buf = strconv.AppendUint(t.buf, at.Seq, 10)
	t.buf = append(t.buf, "\ndata: "...)
	t.buf = appendPosition(t.buf, at)
	t.buf = append(t.buf, "\n\n"...)
	return nil
}

// position is that of the last entry that went by. When that is not kept any more,
// it is known of the log's last alone, and nil otherwise: the next entry that is
// sent says how far the stream is.
func (t *tail) position(ctx context.Context) (*audit.Position, error) {
	e, err := t.api.Ledger.EntryAt(ctx, t.org, t.next-1)
	if err == nil {
		return &audit.Position{Seq: e.Seq, ReceivedAt: e.ReceivedTime()}, nil
	}
	if !errors.Is(err, &audit.Error{Code: audit.CodeNotFound}) {
		return nil, err
	}
	at, err := t.api.Ledger.Through(ctx, t.org)
	if err != nil || at == nil || at.Seq != t.next-1 {
		return nil, err
	}
	return at, nil
}

// flush sends the buffer. A client that does not take it for long is let go by
// the server; it comes back with Last-Event-ID.
func (t *tail) flush() error {
	if len(t.buf) == 0 {
		return nil
	}
	if _, err := t.w.Write(t.buf); err != nil {
		return err
	}
	t.buf = t.buf[:0]
	return t.ctl.Flush()
}

// stillOpen says whether the key and the organization would still be let in.
func (a *api) stillOpen(r *server.Request) error {
	_, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if _, err := a.Auth.Authenticate(r.Context(), strings.TrimSpace(key)); err != nil {
		return err
	}
	_, err := r.AllowOrg(r.Org())
	return err
}
