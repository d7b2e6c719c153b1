package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/web/logview"
)

const (
	// liveBeat is how often a page that follows the log hears that it is still
	// followed, and it is looked whether its session may go on.
	liveBeat = 15 * time.Second
	// liveRows bounds what a page is sent in one go. One that was away for
	// longer is told to load anew: it could not show more anyway.
	liveRows = 200
	// liveBehind is how many entries a page may be behind, whether its filter
	// admits them or not.
	liveBehind = 100_000
	// livePause goes between two looks at a log that is never silent.
	livePause = 250 * time.Millisecond
	// liveRetry is when a browser comes back after the connection broke.
	liveRetry = 2 * time.Second
)

var errLiveEnded = errors.New("the session no longer opens the log")

// follower is one page that follows a log.
type follower struct {
	pages *pages
	r     *server.Request
	w     http.ResponseWriter
	ctl   *http.ResponseController
	org   string
	list  logview.View
	rows  rowContext
	due   time.Time // of the next beat
	next  uint64    // seq of the first entry not yet considered
	buf   bytes.Buffer
}

// live sends the rows of a list as their entries are committed, as server-sent
// events:
//
//	row       data {"html":…,"seq":…}; the id is the seq
//	beat      the log was followed up to the id; data {"html":…} for the foot of the list, or null
//	reload    too much has happened: the page should load anew
//	ended     the session has ended
//	full      too many pages follow; data {"message":…}. The page asks again later
//
// Scripts see no status of a stream, so that "full" is an event.
func (p *pages) live(w http.ResponseWriter, r *server.Request) error {
	f, err := p.newFollower(w, r)
	if err != nil {
		return err
	}
	end, full := p.following.begin(r.Session.ID, r.Organization.ID)
	if full == "" {
		defer end()
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold the rows back
	w.WriteHeader(http.StatusOK)
	if full != "" {
		f.event("full", map[string]string{"message": full})
		return f.flush()
	}

	ctx, cancel := context.WithTimeoutCause(r.Context(), r.Session.ExpiresAt.Sub(p.Now()), errLiveEnded)
	defer cancel()
	go func() {
		select {
		case <-ctx.Done():
		case <-r.Draining():
			cancel()
		}
	}()
	err = f.follow(ctx)
	if errors.Is(err, errLiveEnded) || errors.Is(context.Cause(ctx), errLiveEnded) {
		f.event("ended", nil)
		_ = f.flush() // who is gone need not be told
		return nil
	}
	if ctx.Err() != nil {
		return nil // the browser comes back
	}
	return err
}

func (p *pages) newFollower(w http.ResponseWriter, r *server.Request) (*follower, error) {
	zone := p.zone(r).Location
	params := r.URL.Query()
	params.Del("cursor")
	list, err := logview.Parse(Base+"/audit-log", params, zone, p.Now())
	if err != nil {
		return nil, err
	}
	f := &follower{
		pages: p, r: r, w: w, ctl: http.NewResponseController(w), org: r.Organization.ID, list: list,
		rows: rowContext{Org: r.Organization.ID, Zone: zone, Carry: liveCarry(params)},
	}
	if f.next, err = p.liveStart(r); err != nil {
		return nil, err
	}
	f.buf.WriteString("retry: " + strconv.Itoa(int(liveRetry/time.Millisecond)) + "\n\n")
	return f, nil
}

// liveCarry is what the links of rows carry: the list's parameters.
func liveCarry(params url.Values) url.Values {
	out := url.Values{}
	for name, values := range params {
		if name != "since" {
			out[name] = values
		}
	}
	return out
}

// liveStart is the first entry that the page does not have: after
// Last-Event-ID when the browser comes back, from the parameter since when it
// begins, and otherwise the next one to be recorded.
func (p *pages) liveStart(r *server.Request) (uint64, error) {
	head, err := p.Ledger.Head(r.Context(), r.Organization.ID)
	if err != nil {
		return 0, err
	}
	text, more := r.Header.Get("Last-Event-ID"), uint64(1)
	if text == "" {
		text, more = r.URL.Query().Get("since"), 0
	}
	if text == "" {
		return head.Size, nil
	}
	n, err := strconv.ParseUint(text, 10, 62)
	if err != nil {
		return 0, audit.FieldErrorf(audit.CodeInvalidRequest, "since", "must be the seq of an entry")
	}
	return min(n+more, head.Size), nil
}

// follow sends rows until ctx ends or the session does.
func (f *follower) follow(ctx context.Context) error {
	if err := f.beat(ctx); err != nil { // at once: the page says that it is live
		return err
	}
	for {
		if err := f.catchUp(ctx); err != nil {
			return err
		}
		if f.buf.Len() > 0 { // rows: the foot of the list goes with them
			if err := f.beat(ctx); err != nil {
				return err
			}
		}
		err := f.wait(ctx)
		if err != nil && (ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded)) {
			return err
		}
		if !f.pages.Now().Before(f.due) {
			if err := f.beat(ctx); err != nil {
				return err
			}
		}
	}
}

// wait returns when there are entries not yet considered, or DeadlineExceeded
// when it is time for a beat.
func (f *follower) wait(ctx context.Context) error {
	select {
	case <-time.After(livePause):
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(ctx, f.due.Sub(f.pages.Now()))
	defer cancel()
	return f.pages.Ledger.Wait(ctx, f.org, f.next)
}

// catchUp puts the rows of what the log holds now into the buffer, liveRows at
// most.
func (f *follower) catchUp(ctx context.Context) error {
	head, err := f.pages.Ledger.Head(ctx, f.org)
	if err != nil {
		return err
	}
	f.rows.Now = f.pages.Now()
	if head.Size > f.next+liveBehind {
		f.reload(head.Size)
		return nil
	}
	n := 0
	for e, err := range f.pages.Engine.Scan(ctx, f.org, f.list.Query(), f.next, head.Size, false) {
		if err != nil {
			return err
		}
		if n++; n > liveRows {
			f.reload(head.Size)
			return nil
		}
		if err := f.row(e); err != nil {
			return err
		}
		f.next = e.Seq + 1
	}
	f.next = max(f.next, head.Size)
	return ctx.Err()
}

// reload tells the page that it has missed too much to be told.
func (f *follower) reload(size uint64) {
	f.buf.Reset()
	f.next = size
	f.id(size - 1)
	f.event("reload", nil)
}

// row puts one row into the buffer.
func (f *follower) row(e *event.Entry) error {
	var html bytes.Buffer
	if err := f.pages.parts.ExecuteTemplate(&html, "row", newRow(e, f.rows)); err != nil {
		return err
	}
	f.id(e.Seq)
	f.event("row", map[string]any{"html": html.String(), "seq": e.Seq})
	return nil
}

// beat looks whether the page may go on following, and tells it how far it is.
func (f *follower) beat(ctx context.Context) error {
	f.due = f.pages.Now().Add(liveBeat)
	if err := f.open(ctx); err != nil {
		return err
	}
	through, err := f.pages.Ledger.Through(ctx, f.org)
	if err != nil {
		return err
	}
	if through == nil || f.next <= through.Seq { // not there yet
		f.event("beat", nil)
		return f.flush()
	}
	var html bytes.Buffer
	if err := f.pages.parts.ExecuteTemplate(&html, "log-through", logThrough{through, f.pages.zone(f.r)}); err != nil {
		return err
	}
	f.id(through.Seq)
	f.event("beat", map[string]string{"html": html.String()})
	return f.flush()
}

// open returns errLiveEnded when the session would no longer be let in. Another
// error says nothing about that: the browser comes back.
func (f *follower) open(ctx context.Context) error {
	s, err := f.pages.Sessions.Get(ctx, server.SessionOf(f.r.Request))
	if codeOf(err) == audit.CodeUnauthorized || err == nil && s.Organization != f.org {
		return errLiveEnded
	}
	if err != nil {
		return err
	}
	o, err := f.pages.Catalog.Organization(ctx, f.org)
	if codeOf(err) == audit.CodeNotFound || err == nil && o.CheckShow() != nil {
		return errLiveEnded
	}
	return err
}

func (f *follower) id(seq uint64) {
	f.buf.WriteString("id: " + strconv.FormatUint(seq, 10) + "\n")
}

func (f *follower) event(name string, data any) {
	f.buf.WriteString("event: " + name + "\ndata: ")
	b, err := json.Marshal(data)
	if err != nil {
		panic(err) // strings and numbers
	}
	f.buf.Write(b)
	f.buf.WriteString("\n\n")
}

func (f *follower) flush() error {
	if f.buf.Len() == 0 {
		return nil
	}
	if _, err := f.buf.WriteTo(f.w); err != nil {
		return err
	}
	return f.ctl.Flush()
}
