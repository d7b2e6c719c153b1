package web

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/stream"
	"github.com/stelehq/stele/internal/web/logview"
)

const (
	streamsSection = "log-streams"
	// streamsPath is the list of streams; each is below it.
	streamsPath = Base + "/" + streamsSection
	// deliveriesPerPage and deadPerPage bound the lists on a stream's page.
	deliveriesPerPage = 20
	deadPerPage       = 50
	// keptDeliveries is how many deliveries a stream remembers.
	keptDeliveries = 200
)

// streamRoutes are for managers: a stream carries the whole log elsewhere.
func (p *pages) streamRoutes() []server.Route {
	managers := auth.Managers()
	const one = streamsSection + "/{id}"
	return []server.Route{
		get("page.streams", streamsSection, managers, p.listStreams),
		get("page.streams.new", streamsSection+"/new", managers, p.newStream),
		post("page.streams.create", streamsSection+"/new", managers, p.createStream),
		get("page.stream", one, managers, p.showStream),
		get("page.stream.edit", one+"/edit", managers, p.editStream),
		post("page.stream.update", one+"/edit", managers, p.updateStream),
		post("page.stream.test", one+"/test", managers, p.testStream),
		post("page.stream.pause", one+"/pause", managers, p.pauseStream),
		post("page.stream.resume", one+"/resume", managers, p.resumeStream),
		get("page.stream.confirm", one+"/delete", managers, p.confirmStream),
		post("page.stream.delete", one+"/delete", managers, p.deleteStream),
		post("page.stream.dead", one+"/dead-letters", managers, p.deadLetters),
		post("page.stream.replay", one+"/replays", managers, p.replayStream),
		post("page.stream.replay.cancel", one+"/replays/{replay}/cancel", managers, p.cancelReplay),
		post("page.stream.reconcile", one+"/reconciliations", managers, p.reconcileStream),
		post("page.stream.reconcile.cancel", one+"/reconciliations/{reconciliation}/cancel", managers, p.cancelReconciliation),
	}
}

// who is the person of a session, as the one who did something to a stream.
func (p *pages) who(r *server.Request) stream.Who {
	a := actorOf(r.Session)
	return stream.Who{
		Type: a.Type, ID: a.ID, Name: a.Name,
		Location: p.clientAddress(r.Request), UserAgent: plain(r.UserAgent(), maxAgentBytes),
	}
}

// streamOf is the stream that the path names: one of this organization.
func (p *pages) streamOf(r *server.Request) (*stream.Stream, error) {
	return p.Streams.Get(r.Context(), r.Session.Organization, r.PathValue("id"))
}

// streamsPage is what log-streams.html shows.
type streamsPage struct {
	Streams []streamCard
	Said    string
	Full    bool // there can be no more of them
	Max     int
}

// listStreams shows a card for each stream of the organization.
func (p *pages) listStreams(w http.ResponseWriter, r *server.Request) error {
	all, err := p.Streams.List(r.Context(), r.Session.Organization)
	if err != nil {
		return err
	}
	page := streamsPage{Said: saidOf(r), Full: len(all) >= stream.MaxStreams, Max: stream.MaxStreams}
	for _, st := range all {
		card, err := p.streamCard(r, st)
		if errors.Is(err, &audit.Error{Code: audit.CodeNotFound}) {
			continue // deleted meanwhile
		}
		if err != nil {
			return err
		}
		page.Streams = append(page.Streams, card)
	}
	return p.show(w, r, "log-streams", view{Title: "Log streams", Section: streamsSection, Data: page, Scripts: []string{"js/streams.js"}})
}

// showStream shows all there is to know about one.
func (p *pages) showStream(w http.ResponseWriter, r *server.Request) error {
	st, err := p.streamOf(r)
	if err != nil {
		return err
	}
	return p.streamPage(w, r, st, streamPage{Said: saidOf(r)})
}

// streamPage is what log-stream.html shows.
type streamPage struct {
	Card     streamCard
	Said     string
	Fault    *audit.Error // why what was asked for was not done
	FaultAt  string       // the form that it is about
	Test     *testView
	Replay   replayForm
	CanList  bool
	Settings []settingFact
	Facts    streamFacts

	Deliveries             []deliveryRow
	OlderBefore            uint64
	Later                  bool
	Dead                   []stream.DeadLetter
	DeadMore               bool
	DeadFrom               string
	Skips                  []stream.Skip
	Replays                []replayRow
	Reconciliations        []reconciliationRow
	Reconciling            bool // one runs
	InFlight               []stream.InFlight
	KeptDeliveries, AllNow int
}

// streamPage answers with a stream's page, and what came of what was asked for.
func (p *pages) streamPage(w http.ResponseWriter, r *server.Request, st *stream.Stream, page streamPage) error {
	if err := p.fillStream(r, st, &page); err != nil {
		return err
	}
	v := view{Title: st.Name, Section: streamsSection, Data: page, Scripts: []string{"js/streams.js", "js/copy.js"}}
	if page.Fault != nil {
		v.Status = server.StatusOf(page.Fault.Code)
	}
	return p.show(w, r, "log-stream", v)
}

// fillStream reads how a stream is doing.
func (p *pages) fillStream(r *server.Request, st *stream.Stream, page *streamPage) error {
	status, err := p.Streams.Status(r.Context(), st.Organization, st.ID)
	if err != nil {
		return err
	}
	page.Card = p.cardOf(r, st, &status)
	page.Facts, page.Settings = p.streamFacts(st), p.settingFacts(st)
	page.CanList = p.kindOf(st.Kind).Lists
	page.Skips, page.InFlight = status.Skips[st.Organization], status.InFlight
	page.KeptDeliveries, page.AllNow = keptDeliveries, status.DeadNow
	if err := p.fillDeliveries(r, st, page); err != nil {
		return err
	}
	if err := p.fillDead(r, st, page); err != nil {
		return err
	}
	replays, err := p.Streams.Replays(r.Context(), st.Organization, st.ID)
	if err != nil {
		return err
	}
	for i := range replays {
		page.Replays = append(page.Replays, replayRowOf(st, &replays[i]))
	}
	return p.fillReconciliations(r, st, page)
}

// fillReconciliations lists what was compared with the destination.
func (p *pages) fillReconciliations(r *server.Request, st *stream.Stream, page *streamPage) error {
	all, err := p.Streams.Reconciliations(r.Context(), st.Organization, st.ID)
	if err != nil {
		return err
	}
	for i := range all {
		row := reconciliationRowOf(st, &all[i])
		page.Reconciling = page.Reconciling || row.Running
		page.Reconciliations = append(page.Reconciliations, row)
	}
	return nil
}

// fillDeliveries lists the newest batches, or those before one.
func (p *pages) fillDeliveries(r *server.Request, st *stream.Stream, page *streamPage) error {
	all, err := p.Streams.Deliveries(r.Context(), st.Organization, st.ID, keptDeliveries)
	if err != nil {
		return err
	}
	before, err := strconv.ParseUint(r.URL.Query().Get("before"), 10, 64)
	page.Later = err == nil
	for i := range all {
		if page.Later && all[i].Number >= before {
			continue
		}
		if len(page.Deliveries) == deliveriesPerPage {
			page.OlderBefore = page.Deliveries[deliveriesPerPage-1].Number
			break
		}
		page.Deliveries = append(page.Deliveries, deliveryRowOf(&all[i]))
	}
	return nil
}

// fillDead lists dead letters, from a seq on.
func (p *pages) fillDead(r *server.Request, st *stream.Stream, page *streamPage) error {
	var after *stream.DeadLetter
	if seq, err := strconv.ParseUint(r.URL.Query().Get("after"), 10, 64); err == nil {
		after = &stream.DeadLetter{Organization: st.Organization, Seq: seq}
	}
	dead, err := p.Streams.DeadLetters(r.Context(), st.Organization, st.ID, after, deadPerPage+1)
	if err != nil {
		return err
	}
	if page.DeadMore = len(dead) > deadPerPage; page.DeadMore {
		dead = dead[:deadPerPage]
		page.DeadFrom = strconv.FormatUint(dead[deadPerPage-1].Seq, 10)
	}
	page.Dead = dead
	return nil
}

// actOn does something to a stream, and then leads to where that is seen. A
// fault that a person can do something about is shown on the stream's page.
func (p *pages) actOn(w http.ResponseWriter, r *server.Request, at, done string, act func(st *stream.Stream) error) error {
	st, err := p.streamOf(r)
	if err != nil {
		return err
	}
	if err := act(st); err != nil {
		fault := streamFault(err)
		if fault == nil {
			return err
		}
		return p.streamPage(w, r, st, streamPage{Fault: fault, FaultAt: at, Replay: readReplayForm(r)})
	}
	target := streamPath(st) + "?done=" + done
	if r.PostForm.Get("back") == "list" {
		target = streamsPath + "?done=" + done
	}
	if at != "" {
		target += "#" + at
	}
	p.lead(w, r, target)
	return nil
}

// lead leads to another page after a form.
func (p *pages) lead(w http.ResponseWriter, r *server.Request, target string) {
	p.protect(w.Header())
	http.Redirect(w, r.Request, target, http.StatusSeeOther)
}

// streamFault is what the person can do something about; nil for what is the
// server's.
func streamFault(err error) *audit.Error {
	if errors.Is(err, stream.ErrNoKey) {
		return audit.Errorf(audit.CodeUnavailable, "this server has no key to encrypt secrets with, so nothing was saved; whoever runs it must give it one")
	}
	if e, ok := errors.AsType[*audit.Error](err); ok && e.Code != audit.CodeInternal {
		return e
	}
	return nil
}

func (p *pages) pauseStream(w http.ResponseWriter, r *server.Request) error {
	return p.actOn(w, r, "", "paused", func(st *stream.Stream) error {
		_, err := p.Streams.Pause(r.Context(), st.Organization, st.ID, p.who(r))
		return err
	})
}

func (p *pages) resumeStream(w http.ResponseWriter, r *server.Request) error {
	return p.actOn(w, r, "", "resumed", func(st *stream.Stream) error {
		_, err := p.Streams.Resume(r.Context(), st.Organization, st.ID, p.who(r))
		return err
	})
}

// testStream sends the test event of a stream as it is saved.
func (p *pages) testStream(w http.ResponseWriter, r *server.Request) error {
	st, err := p.streamOf(r)
	if err != nil {
		return err
	}
	result, err := p.Streams.Test(r.Context(), st.Organization, st.ID, st.Spec)
	if fault := streamFault(err); fault != nil {
		return p.streamPage(w, r, st, streamPage{Fault: fault})
	}
	if err != nil {
		return err
	}
	return p.streamPage(w, r, st, streamPage{Test: testViewOf(&result)})
}

// confirmStream asks whether a stream is really to be deleted.
func (p *pages) confirmStream(w http.ResponseWriter, r *server.Request) error {
	st, err := p.streamOf(r)
	if err != nil {
		return err
	}
	card, err := p.streamCard(r, st)
	if err != nil {
		return err
	}
	return p.show(w, r, "log-stream-delete", view{Title: "Delete log stream", Section: streamsSection, Data: card})
}

func (p *pages) deleteStream(w http.ResponseWriter, r *server.Request) error {
	st, err := p.streamOf(r)
	if err != nil {
		return err
	}
	if err := p.Streams.Delete(r.Context(), st.Organization, st.ID, p.who(r)); err != nil {
		return err
	}
	p.lead(w, r, streamsPath+"?done=deleted")
	return nil
}

// deadLetters sends dead letters again, or forgets them: those chosen, or all
// that are listed.
func (p *pages) deadLetters(w http.ResponseWriter, r *server.Request) error {
	form := r.PostForm
	if form.Get("do") == "discard" {
		return p.actOn(w, r, "dead-letters", "discarded", func(st *stream.Stream) error {
			seqs, err := seqsOf(form["seq"])
			if err != nil {
				return err
			}
			return p.Streams.DiscardDeadLetters(r.Context(), st.Organization, st.ID, "", p.who(r), seqs)
		})
	}
	return p.actOn(w, r, "replays", "retried", func(st *stream.Stream) error {
		var seqs []uint64
		if form.Get("do") != "retry-all" {
			var err error
			if seqs, err = seqsOf(form["seq"]); err != nil {
				return err
			}
		}
		_, err := p.Streams.RetryDeadLetters(r.Context(), st.Organization, st.ID, "", p.who(r), seqs)
		return err
	})
}

func seqsOf(texts []string) ([]uint64, error) {
	if len(texts) == 0 {
		return nil, audit.Errorf(audit.CodeInvalidRequest, "choose at least one event first")
	}
	seqs := make([]uint64, len(texts))
	for i, text := range texts {
		var err error
		if seqs[i], err = strconv.ParseUint(text, 10, 64); err != nil {
			return nil, audit.Errorf(audit.CodeInvalidRequest, "%.40q is not the number of an entry", text)
		}
	}
	return seqs, nil
}

// replayForm is the form of a replay, as it was filled in.
type replayForm struct {
	By, From, To, Since, Until string
}

func readReplayForm(r *server.Request) replayForm {
	f := r.PostForm
	return replayForm{By: f.Get("by"), From: f.Get("from"), To: f.Get("to"), Since: f.Get("since"), Until: f.Get("until")}
}

// spec reads the range: of times unless numbers were chosen. An end that is left
// out is open.
func (f *replayForm) spec(zone *time.Location) (spec stream.ReplaySpec, err error) {
	if f.By == "seq" {
		if spec.From, err = parseSeq("/from", f.From); err == nil {
			spec.To, err = parseSeq("/to", f.To)
		}
		return spec, err
	}
	if spec.Since, err = logview.ParseTime("/since", f.Since, zone); err != nil {
		return spec, err
	}
	spec.Until, err = logview.ParseTime("/until", f.Until, zone)
	return spec, err
}

func parseSeq(field, text string) (*uint64, error) {
	if text = strings.ReplaceAll(strings.TrimSpace(text), ",", ""); text == "" {
		return nil, nil //nolint:nilnil // an open end
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil, audit.FieldErrorf(audit.CodeInvalidRequest, field, "must be the number of an entry, such as 18233")
	}
	return &n, nil
}

func (p *pages) replayStream(w http.ResponseWriter, r *server.Request) error {
	form := readReplayForm(r)
	return p.actOn(w, r, "replays", "replaying", func(st *stream.Stream) error {
		spec, err := form.spec(p.zone(r).Location)
		if err != nil {
			return err
		}
		spec.By = p.who(r)
		_, err = p.Streams.Replay(r.Context(), st.Organization, st.ID, spec)
		return err
	})
}

func (p *pages) cancelReplay(w http.ResponseWriter, r *server.Request) error {
	return p.actOn(w, r, "replays", "canceled", func(st *stream.Stream) error {
		return p.Streams.CancelReplay(r.Context(), st.Organization, st.ID, r.PathValue("replay"), p.who(r))
	})
}

// reconcileStream starts comparing what lies at the destination with the log.
func (p *pages) reconcileStream(w http.ResponseWriter, r *server.Request) error {
	return p.actOn(w, r, "reconcile", "reconciling", func(st *stream.Stream) error {
		_, err := p.Streams.Reconcile(r.Context(), st.Organization, st.ID, stream.ReconcileSpec{By: p.who(r)})
		return err
	})
}

func (p *pages) cancelReconciliation(w http.ResponseWriter, r *server.Request) error {
	return p.actOn(w, r, "reconcile", "unreconciled", func(st *stream.Stream) error {
		return p.Streams.CancelReconciliation(r.Context(), st.Organization, st.ID, r.PathValue("reconciliation"))
	})
}

// saidOf is what the form before led here to say.
func saidOf(r *server.Request) string {
	switch r.URL.Query().Get("done") {
	case "created":
		return "The stream is saved, and delivers."
	case "saved":
		return "The changes are saved. The destination is asked with them at once."
	case "paused":
		return "The stream is paused. Nothing is lost: it goes on where it stopped."
	case "resumed":
		return "The stream goes on where it stopped."
	case "deleted":
		return "The stream is deleted. What it delivered stays where it is."
	case "retried":
		return "The dead letters are sent again."
	case "discarded":
		return "The dead letters are discarded. The entries are still in the log."
	case "replaying":
		return "The replay has begun, beside live delivery."
	case "canceled":
		return "The replay is canceled. What it delivered stays delivered."
	case "reconciling":
		return "The comparison has begun. It takes minutes where there are many objects, and goes on when you leave this page."
	case "unreconciled":
		return "The comparison is canceled."
	}
	return ""
}

func streamPath(st *stream.Stream) string { return streamsPath + "/" + url.PathEscape(st.ID) }
